"""The tape of a run by slices: each block keeps its own in a slice, which are then put into order.

V before kicks stays with the blocks until the tape ends: for each neuron it is in order.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset

from sparseprop.engine._look cimport Block, Look, Thread
from sparseprop.engine._state cimport Population, population_of
from sparseprop.engine._tape cimport (
    BEGINS, CLOSE, DRIVEN, EMITTED, EVENT, SPIKE, Entry, TapeBuffer, tape_current, tape_release,
)
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport neuron_t


cdef inline void begin_block_tape(const Look *L, Thread *t, Block *b) noexcept nogil:
    """What the thread notes in this slice is of this block."""
    cdef TapeBuffer *tape = b.tape
    cdef neuron_t first = L.e.populations[b.population].first + b.first
    t.e.tape = tape
    if tape == NULL:
        return
    tape.driven = t.driven
    memset(t.driven + (first >> 3), 0, ((first + b.size - 1) >> 3) - (first >> 3) + 1)
    tape.size = tape.n_spikes = tape.n_releases = tape.n_currents = 0
    if L.again:
        tape.n_values = b.n_values_before
        tape.n_targets = tape.n_values if tape.names_targets else 0
    b.n_values_before = tape.n_values


cdef inline int place_in_instant(const Entry *entry) noexcept nogil:
    """What is noted first."""
    if entry.kind == CLOSE:
        return 0
    if entry.kind == EVENT:
        return 1
    return 2 if entry.kind == EMITTED else 3


cdef inline int compare_entries(const void *x, const void *y) noexcept nogil:
    cdef const Entry *a = <const Entry *> x
    cdef const Entry *b = <const Entry *> y
    cdef int p, q
    if a.s != b.s:
        return 1 if a.s > b.s else -1
    p, q = place_in_instant(a), place_in_instant(b)
    if p != q:
        return p - q
    p, q = a.process_low + 256 * <int> a.process_high, b.process_low + 256 * <int> b.process_high
    if p != q:
        return p - q
    return (a.neuron > b.neuron) - (a.neuron < b.neuron)


cdef inline bint gather_notes(Look *L) noexcept nogil:
    """The entries of the slice in order; n of a spike is its number among those of its block. False: no memory."""
    cdef const TapeBuffer *tape
    cdef Entry *entry
    cdef int64_t k, j, number
    L.n_notes = L.n_emitted
    for k in range(L.n_blocks):
        L.n_notes += L.blocks[k].tape.size
    if not grow(<void **> &L.notes, &L.notes_capacity, L.n_notes, sizeof(Entry)):
        return False
    memset(L.notes, 0, L.n_emitted * sizeof(Entry))
    for k in range(L.n_emitted):
        L.notes[k].s, L.notes[k].neuron, L.notes[k].kind = L.emitted[k].s, L.emitted[k].neuron, EMITTED
    entry = L.notes + L.n_emitted
    for k in range(L.n_blocks):
        tape = L.blocks[k].tape
        number = 0
        for j in range(tape.size):
            entry[0] = tape.entries[j]
            if entry.kind == SPIKE:
                entry.n = number
                number += 1
            entry += 1
    if L.n_notes > 1:
        qsort(L.notes, L.n_notes, sizeof(Entry), compare_entries)
    return True


cdef inline bint note_slice(Look *L) noexcept nogil:
    """Put what blocks have noted in the slice onto the tape; False if there is no memory."""
    cdef TapeBuffer *tape = L.e.tape
    cdef const TapeBuffer *own
    cdef const Population *p
    cdef Entry *entry
    cdef int64_t k, number, per_spike
    cdef double s = -1.0
    cdef neuron_t i
    if not gather_notes(L) \
            or not grow(<void **> &tape.entries, &tape.capacity, tape.size + L.n_notes, sizeof(Entry)):
        return False
    for k in range(L.n_notes):
        entry = &tape.entries[tape.size + k]
        entry[0] = L.notes[k]
        number = entry.n
        entry.n = L.begin.n
        if entry.kind != SPIKE:
            continue
        i = entry.neuron
        tape.n_spikes += 1
        if entry.s != s:
            entry.flags |= BEGINS
        s = entry.s
        # By a change of its parameters.
        if tape.driven[i >> 3] & (1 << (i & 7)):
            entry.flags |= DRIVEN
            tape.driven[i >> 3] &= <unsigned char> ~(1 << (i & 7))
        p = &L.e.populations[population_of(L.e, i)]
        own = L.blocks[L.first_block[population_of(L.e, i)] + ((i - p.first) >> L.shift)].tape
        if p.release != NULL and not tape_release(tape, own.releases[number]):
            return False
        if p.ops.has_currents:
            per_spike = 2 if p.release != NULL else 1
            if not tape_current(tape, own.currents[number * per_spike]):
                return False
            if per_spike == 2 and not tape_current(tape, own.currents[number * per_spike + 1]):
                return False
    tape.size += L.n_notes
    return True


cdef inline bint gather_values(Look *L) noexcept nogil:
    """Put V before all kicks, which blocks have kept until now, onto the tape; False if there is no memory."""
    cdef TapeBuffer *tape = L.e.tape
    cdef const TapeBuffer *own
    cdef int64_t k, n = tape.n_values
    for k in range(L.n_blocks):
        n += L.blocks[k].tape.n_values
    if not grow(<void **> &tape.values, &tape.values_capacity, n, sizeof(double)) \
            or not grow(<void **> &tape.targets, &tape.targets_capacity, n, sizeof(neuron_t)):
        return False
    for k in range(L.n_blocks):
        own = L.blocks[k].tape
        if own.n_values:
            memcpy(tape.values + tape.n_values, own.values, own.n_values * sizeof(double))
            memcpy(tape.targets + tape.n_values, own.targets, own.n_values * sizeof(neuron_t))
        tape.n_values += own.n_values
    tape.n_targets = tape.n_values
    return True
