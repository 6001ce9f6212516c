"""What a run leaves for the backward pass: spikes and input events in their order, and what cannot be derived again.

Everything else (deliveries, sums, frames) follows from these and the network. docs/gradients.md has the structure.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memset

from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._memory cimport allocate, grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t

cdef enum EntryKind:
    SPIKE       # of a neuron
    EMITTED     # a spike of a source
    EVENT       # of a Poisson drive
    MERGED      # the kicks of this phase were added per target first
    PAST        # a spike from before the tape that was still on its way
    CLOSE       # a neuron that is about to fire by itself, within `near`, when something else happens

cdef enum EntryFlag:
    BEGINS = 1  # the first of its generation
    DRIVEN = 2  # over threshold by a kick of this instant, or due when its parameters changed


cdef struct Entry:
    int64_t n
    double s
    neuron_t neuron             # global id
    uint8_t kind
    uint8_t flags
    uint8_t process_low         # of an event: the number of the drive
    uint8_t process_high


cdef struct TapeBuffer:
    Entry *entries
    count_t size
    count_t capacity
    count_t n_spikes            # of neurons, among the entries
    # By order of the kicks, for models that need it: V before, NaN where the kick was dropped.
    double *values
    count_t n_values
    count_t values_capacity
    bint records_kicks          # some population has such a model
    # With merged kicks the targets are recorded too; with `names_targets` those of all kicks, in networks in which all
    # synapses between neurons have a delay. Then it is enough that the kicks of each neuron are in order.
    bint names_targets
    neuron_t *targets
    count_t n_targets
    count_t targets_capacity
    # By order of the spikes of neurons with refractory periods: the ends of the periods before.
    Pair *releases
    count_t n_releases
    count_t releases_capacity
    # By order of the spikes of neurons with synaptic currents: their sum at the end of the refractory period before (if
    # the population has any), and at the spike.
    double *currents
    count_t n_currents
    count_t currents_capacity
    double *at_release          # of each neuron, the sum at the end of the last refractory period; NULL without such
    double near                 # ms
    uint8_t *driven             # bit set of neurons that were driven over threshold and have not fired yet


cdef inline TapeBuffer *tape_create(neuron_t n) noexcept nogil:
    """An empty tape for n neurons and sources, or NULL."""
    cdef TapeBuffer *tape = <TapeBuffer *> allocate(1, sizeof(TapeBuffer))
    if tape == NULL:
        return NULL
    memset(tape, 0, sizeof(TapeBuffer))
    tape.driven = <uint8_t *> allocate(n // 8 + 1, 1)
    if tape.driven == NULL:
        free(tape)
        return NULL
    memset(tape.driven, 0, n // 8 + 1)
    return tape


cdef inline void tape_free(TapeBuffer *tape) noexcept nogil:
    if tape == NULL:
        return
    free(tape.entries)
    free(tape.values)
    free(tape.targets)
    free(tape.releases)
    free(tape.currents)
    free(tape.at_release)
    free(tape.driven)
    free(tape)


cdef inline bint tape_note(TapeBuffer *tape, EntryKind kind, Pair time, neuron_t neuron, int32_t flags,
                           int64_t process) noexcept nogil:
    """Append an entry; False if there is no memory."""
    cdef Entry *entry
    if not grow(<void **> &tape.entries, &tape.capacity, tape.size + 1, sizeof(Entry)):
        return False
    entry = &tape.entries[tape.size]
    entry.n = time.n
    entry.s = time.s
    entry.neuron = neuron
    entry.kind = <uint8_t> kind
    entry.flags = <uint8_t> flags
    entry.process_low = <uint8_t> (process & 255)
    entry.process_high = <uint8_t> (process >> 8)
    tape.size += 1
    return True


cdef inline bint tape_spike(TapeBuffer *tape, Pair time, neuron_t neuron, bint begins) noexcept nogil:
    """A neuron fires; False if there is no memory."""
    cdef int32_t flags = BEGINS if begins else 0
    cdef uint8_t bit = <uint8_t> (1 << (neuron & 7))
    if tape.driven[neuron >> 3] & bit:
        flags |= DRIVEN
    tape.driven[neuron >> 3] &= <uint8_t> ~bit
    tape.n_spikes += 1
    return tape_note(tape, SPIKE, time, neuron, flags, 0)


cdef inline void tape_drive(TapeBuffer *tape, neuron_t neuron) noexcept nogil:
    """A kick has brought a neuron to its threshold."""
    tape.driven[neuron >> 3] |= <uint8_t> (1 << (neuron & 7))


cdef inline bint tape_release(TapeBuffer *tape, Pair release) noexcept nogil:
    """The end of a refractory period that is about to be forgotten; False if there is no memory."""
    if not grow(<void **> &tape.releases, &tape.releases_capacity, tape.n_releases + 1, sizeof(Pair)):
        return False
    tape.releases[tape.n_releases] = release
    tape.n_releases += 1
    return True


cdef inline bint tape_current(TapeBuffer *tape, double current) noexcept nogil:
    """A sum of synaptic currents; False if there is no memory."""
    if not grow(<void **> &tape.currents, &tape.currents_capacity, tape.n_currents + 1, sizeof(double)):
        return False
    tape.currents[tape.n_currents] = current
    tape.n_currents += 1
    return True


cdef inline double tape_reach(const TapeBuffer *tape, double tolerance) noexcept nogil:
    """How near a neuron's own spike matters: `tolerance`, and with a tape what is to be noted there."""
    return max(tolerance, tape.near) if tape != NULL else tolerance


cdef inline double *tape_values(TapeBuffer *tape, count_t count) noexcept nogil:
    """Room for `count` more values, or NULL."""
    if not grow(<void **> &tape.values, &tape.values_capacity, tape.n_values + count, sizeof(double)):
        return NULL
    tape.n_values += count
    return tape.values + tape.n_values - count


cdef inline bint tape_target(TapeBuffer *tape, neuron_t neuron) noexcept nogil:
    """The target (global id) of a merged kick; False if there is no memory."""
    if not grow(<void **> &tape.targets, &tape.targets_capacity, tape.n_targets + 1, sizeof(neuron_t)):
        return False
    tape.targets[tape.n_targets] = neuron
    tape.n_targets += 1
    return True


cdef inline bint tape_targets(TapeBuffer *tape, neuron_t first, const neuron_t *targets, count_t count) noexcept nogil:
    """The targets of kicks, with ids from `first` on; False if there is no memory."""
    cdef count_t k
    if not grow(<void **> &tape.targets, &tape.targets_capacity, tape.n_targets + count, sizeof(neuron_t)):
        return False
    for k in range(count):
        tape.targets[tape.n_targets + k] = first + targets[k]
    tape.n_targets += count
    return True
