"""What spikes and inputs bring: rows of synapses, the sums of what arrives together, given spikes."""

from libc.stdint cimport int64_t, uint8_t

from sparseprop.connectivity._rows cimport draw_row
from sparseprop.engine._state cimport Projection, State, Train, append, get_bit, set_bit
from sparseprop.numerics._frames cimport Pair, never, plus
from sparseprop.numerics._memory cimport allocate
from sparseprop.numerics._philox cimport philox_open, philox_stream
from sparseprop.numerics._typedefs cimport neuron_t, synapse_t


cdef inline synapse_t share_of_row(neuron_t *row, const Projection *c, const neuron_t **targets) noexcept nogil:
    """The targets of a drawn row that are on this rank, and how many."""
    cdef synapse_t begin = 0, end = c.degree, k
    while begin < end and row[begin] < c.low:
        begin += 1
    while begin < end and row[end - 1] >= c.high:
        end -= 1
    targets[0] = row + begin
    for k in range(begin, end):
        row[k] -= c.low
    return end - begin


cdef inline synapse_t find_row(const State *e, const Projection *c, neuron_t source, const neuron_t **targets,
                               const double **weights) noexcept nogil:
    """The targets and weights (or NULL) of a source (local id), and how many; valid until the next call."""
    cdef synapse_t begin, count, available
    cdef philox_stream stream
    if c.procedural:
        available = c.n_post - c.skip_self
        philox_open(&stream, c.key, source, c.stream, c.purpose)
        draw_row(e.drawn.items, c.degree, available, source if c.skip_self else available, c.with_replacement,
                 &stream, e.table)
        weights[0] = NULL
        if c.high - c.low == c.n_post:
            targets[0] = e.drawn.items
            return c.degree
        return share_of_row(e.drawn.items, c, targets)
    if c.degree >= 0:
        begin = source * c.degree
        count = c.degree
    else:
        begin = c.offsets[source]
        count = c.offsets[source + 1] - begin
    targets[0] = c.targets + begin
    weights[0] = c.weights + begin if c.weights != NULL else NULL
    return count


cdef inline uint8_t *arrivals_at(const State *e, int64_t port) noexcept nogil:
    return e.has_arrival + port * (e.n // 8 + 1)


cdef inline double *sums_at(const State *e, int64_t port) noexcept nogil:
    return e.arriving + port * e.n


cdef inline bint add(State *e, neuron_t i, double weight, int64_t port) noexcept nogil:
    """Add a weight to what arrives at a neuron (global id) in this phase; False if there is no memory."""
    cdef uint8_t *bits = arrivals_at(e, port)
    if get_bit(bits, i):
        sums_at(e, port)[i] += weight
        return True
    if not append(&e.touched[port], i):
        return False
    set_bit(bits, i)
    sums_at(e, port)[i] = weight
    return True


cdef inline bint can_add(State *e) noexcept nogil:
    """Make the memory for sums; False if there is none."""
    if e.arriving == NULL:
        e.arriving = <double *> allocate(e.n_ports * e.n, sizeof(double))
    return e.arriving != NULL


cdef inline Pair train_time(const State *e, const Train *train) noexcept nogil:
    """The next given spike; times in ms are pairs exactly."""
    cdef Pair start
    if train.at == train.size:
        return never()
    start.n = 0
    start.s = 0.0
    return plus(start, train.times[train.at], e.H)
