"""Spikes on their way along dense rows with a delay for each synapse, of which blocks take what arrives at them.

Such a row is cut by blocks of targets, and within a cut it is in the order of delays: a block has a span of each row
that a spike is on its way along, whose beginning moves on slice after slice.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memmove, memset

from sparseprop.engine._lists cimport put_down, put_down_one
from sparseprop.engine._look cimport Block, Bucket, Flights, Flying, Look, Span, Thread
from sparseprop.engine._slice cimport Lists
from sparseprop.engine._state cimport Projection
from sparseprop.numerics._frames cimport Pair, before, not_after, plus
from sparseprop.numerics._lanes cimport ask, pull, pull_own
from sparseprop.numerics._memory cimport allocate, grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t


cdef enum:
    # Spans ahead of which memory is asked for.
    AHEAD = 8


cdef inline double ROUNDING_OF_FLOAT() noexcept nogil:
    return 5.9604644775390625e-08  # 2^-24


cdef inline bint fly(Look *L, int64_t projection, int64_t population, neuron_t source, Pair emission,
                     count_t number) noexcept nogil:
    """Put a spike on its way along a row that is cut; False if there is no memory."""
    cdef const Projection *c = &L.e.projections[projection]
    cdef Flights *flights = &L.flying[c.post]
    cdef Flying *f
    cdef synapse_t row = c.offsets[source]
    if row == c.offsets[source + 1]:
        return True
    if not grow(<void **> &flights.items, &flights.capacity, flights.size + 1, sizeof(Flying)):
        return False
    f = &flights.items[flights.size]
    flights.size += 1
    f.emission, f.source, f.population, f.projection, f.number = emission, source, population, projection, number
    f.delays, f.targets = c.delays + row, L.local[projection] + row
    f.weights, f.places = NULL, NULL
    f.weight, f.kind = c.weight, L.kind[projection]
    if c.weights != NULL:
        f.weights, f.places = c.weights + row, c.places + row
    return True


cdef inline bint open_spans(const Look *L, Thread *t, Block *b, int64_t number) noexcept nogil:
    """Spans of the spikes that were sent off since the slice before; False if there is no memory."""
    cdef const Flights *flights = &L.flying[b.population]
    cdef const Flying *f
    cdef const uint32_t *cut
    cdef int64_t first = L.first_block[b.population], n = L.first_block[b.population + 1] - first
    if not grow(<void **> &b.spans, &b.spans_capacity, flights.size, sizeof(Span)):
        return False
    if not grow(<void **> &t.from_, &t.from_capacity, flights.size, sizeof(uint32_t)):
        return False
    while b.n_spans < flights.size:
        f = &flights.items[b.n_spans]
        cut = L.cuts[f.projection] + f.source * (n + 1) + (number - first)
        b.spans[b.n_spans].at, b.spans[b.n_spans].stop = cut[0], cut[1]
        b.n_spans += 1
    return True


cdef inline void leave_out(const Look *L, Block *b, Pair over) noexcept nogil:
    """Pass by what arrives up to a time."""
    cdef const Flying *f
    cdef Span *span
    cdef count_t j
    for j in range(b.n_spans):
        f = &L.flying[b.population].items[j]
        span = &b.spans[j]
        while span.at < span.stop and not_after(plus(f.emission, f.delays[span.at], L.e.H), over):
            span.at += 1


cdef inline bint keep_spans(const Look *L, Block *b) noexcept nogil:
    """Spans as they were when the slice began; False if there is no memory."""
    if L.again:
        b.n_spans = b.n_kept
        b.n_due = 0
        if b.n_kept:
            memcpy(b.spans, b.kept, b.n_kept * sizeof(Span))
        return True
    if not grow(<void **> &b.kept, &b.kept_capacity, b.n_spans, sizeof(Span)):
        return False
    if b.n_spans:
        memcpy(b.kept, b.spans, b.n_spans * sizeof(Span))
    b.n_kept = b.n_spans
    return True


cdef inline void pull_into_lists(const Look *L, Thread *t, Block *b, const Lists *a) noexcept nogil:
    """What arrives in the slice into the lists of neurons."""
    cdef const Flights *flights = &L.flying[b.population]
    cdef const Flying *f
    cdef Span *span
    cdef double s, begin = L.begin.s, last = -1.0
    cdef count_t j, n = 0
    cdef uint32_t k
    for j in range(flights.head, flights.size):
        if j + AHEAD < flights.size:
            f = &flights.items[j + AHEAD]
            k = b.spans[j + AHEAD].at
            ask(f.delays + k)
            ask(f.delays + k + 8)
            ask(f.delays + k + 16)
            ask(f.targets + k)
        span = &b.spans[j]
        k = span.at
        t.from_[j] = k
        if k == span.stop:
            continue
        f = &flights.items[j]
        s = f.emission.s
        # As by `plus`, if it arrives in this epoch; otherwise it is behind the end.
        if a.own == NULL:
            k = pull(k, span.stop, f.delays, f.targets, s, f.back, begin, L.stop, a.counts, a.stride, a.times,
                     a.kinds, f.kind)
        else:
            k = pull_own(k, span.stop, f.delays, f.targets, s, f.back, begin, L.stop, a.counts, a.stride, a.times,
                         a.own, f.weights, f.weight)
        if k > span.at:
            last = max(last, (s + f.delays[k - 1]) - f.back)
            n += k - span.at
            span.at = k
    b.n_pulled = n
    if n:
        b.last = max(b.last, max(last, begin))


cdef inline bint put_down_from(const Look *L, Block *b, Bucket *bucket, const Flying *f, uint32_t k,
                               double time) noexcept nogil:
    """What arrives by synapse k of a row; False if there is no memory."""
    b.last = max(b.last, time)
    if f.weights == NULL:
        return put_down(bucket, f.targets[k], time, f.route)
    return put_down_one(bucket, f.targets[k], time, f.weights[k], f.route, f.places[k])


cdef inline count_t find_due(const Look *L, Thread *t, Block *b) noexcept nogil:
    """Into t.from_, the spans along which something may arrive in the slice; how many. -1 if there is no memory."""
    cdef const Flights *flights = &L.flying[b.population]
    cdef count_t j, n = 0
    if b.due_epoch != L.begin.n:
        b.n_due = 0
    b.due_epoch = L.begin.n
    if not grow(<void **> &b.due, &b.due_capacity, flights.size, sizeof(float)):
        return -1
    for j in range(b.n_due, flights.size):
        b.due[j] = -INFINITY
    b.n_due = flights.size
    for j in range(flights.head, flights.size):
        t.from_[n] = <uint32_t> j
        n += b.due[j] < L.stop
    return n


cdef inline bint pull_kicks(const Look *L, Thread *t, Block *b, Bucket *bucket) noexcept nogil:
    """What arrives in the slice into a bucket; False if there is no memory."""
    cdef const Flying *items = L.flying[b.population].items
    cdef const Flying *f
    cdef Span *span
    cdef double time, stop = L.stop, begin = L.begin.s
    cdef count_t j, n = find_due(L, t, b)
    cdef uint32_t k, end
    if n < 0:
        return False
    for j in range(n):
        if j + 2 * AHEAD < n:
            f = &items[t.from_[j + 2 * AHEAD]]
            ask(&f.emission)
            ask(&f.places)
        if j + AHEAD < n:
            f = &items[t.from_[j + AHEAD]]
            k = b.spans[t.from_[j + AHEAD]].at
            ask(f.delays + k)
            ask(f.targets + k)
            if f.weights != NULL:
                ask(f.weights + k)
                ask(f.places + k)
        span = &b.spans[t.from_[j]]
        f = &items[t.from_[j]]
        k, end = span.at, span.stop
        time = INFINITY
        while k < end:
            time = (f.emission.s + f.delays[k]) - f.back
            if not time < stop:
                break
            if not put_down_from(L, b, bucket, f, k, max(time, begin)):
                return False
            k += 1
            time = INFINITY
        b.n_pulled += k - span.at
        span.at = k
        # Rounded to a float it is not behind.
        b.due[t.from_[j]] = <float> (time * (1.0 - 2.0 * ROUNDING_OF_FLOAT()))
    return True


cdef inline bint pull_chosen(const Look *L, const Thread *t, Block *b, Bucket *bucket,
                             const uint8_t *chosen) noexcept nogil:
    """Of what has been pulled into lists that of the chosen ones into a bucket; False if there is no memory."""
    cdef const Flights *flights = &L.flying[b.population]
    cdef const Flying *f
    cdef double time
    cdef count_t j
    cdef uint32_t k
    for j in range(flights.head, flights.size):
        if j + AHEAD < flights.size:
            f = &flights.items[j + AHEAD]
            k = t.from_[j + AHEAD]
            ask(f.delays + k)
            ask(f.delays + k + 8)
            ask(f.targets + k)
        f = &flights.items[j]
        for k in range(t.from_[j], b.spans[j].at):
            if not chosen[f.targets[k]]:
                continue
            time = max((f.emission.s + f.delays[k]) - f.back, L.begin.s)
            if not put_down_from(L, b, bucket, f, k, time):
                return False
    return True


cdef inline void land(Look *L, Flights *flights, int64_t population) noexcept nogil:
    """Forget the spikes that have arrived everywhere."""
    cdef const Flying *f
    cdef Block *b
    cdef int64_t k
    while flights.head < flights.size:
        f = &flights.items[flights.head]
        if not before(plus(f.emission, L.longest_delay[f.projection], L.e.H), L.end):
            break
        flights.head += 1
    if flights.head < 1024 or flights.head < flights.size // 2:
        return
    memmove(flights.items, flights.items + flights.head, (flights.size - flights.head) * sizeof(Flying))
    for k in range(L.first_block[population], L.first_block[population + 1]):
        b = &L.blocks[k]
        if b.n_spans > flights.head:
            memmove(b.spans, b.spans + flights.head, (b.n_spans - flights.head) * sizeof(Span))
        if b.n_due > flights.head:
            memmove(b.due, b.due + flights.head, (b.n_due - flights.head) * sizeof(float))
        b.n_spans = max(b.n_spans - flights.head, <count_t> 0)
        b.n_due = max(b.n_due - flights.head, <count_t> 0)
    flights.size -= flights.head
    flights.head = 0


cdef inline bint is_flying(const Look *L, int64_t population, count_t j) noexcept nogil:
    """Whether a spike has something still to come."""
    cdef const Block *b
    cdef int64_t k
    for k in range(L.first_block[population], L.first_block[population + 1]):
        b = &L.blocks[k]
        if j >= b.n_spans or b.spans[j].at < b.spans[j].stop:
            return True
    return False


cdef inline Pair next_arrival(const Look *L, int64_t population, count_t j, Pair first) noexcept nogil:
    """When something of a spike arrives next, or `first` if that is earlier."""
    cdef const Flying *f = &L.flying[population].items[j]
    cdef const uint32_t *cut
    cdef const Block *b
    cdef int64_t k, begin = L.first_block[population], n = L.first_block[population + 1] - begin
    cdef uint32_t at, stop
    cdef Pair time
    for k in range(n):
        b = &L.blocks[begin + k]
        if j < b.n_spans:
            at, stop = b.spans[j].at, b.spans[j].stop
        else:
            cut = L.cuts[f.projection] + f.source * (n + 1) + k
            at, stop = cut[0], cut[1]
        if at < stop:
            time = plus(f.emission, f.delays[at], L.e.H)
            if before(time, first):
                first = time
    return first


# Rows ---------------------------------------------------------------------------------------------------------------

# Scratch for a row.
cdef struct Sorting:
    double *values
    neuron_t *places
    uint32_t *where
    uint32_t *at


cdef inline bint sort_by_block(Look *L, int64_t number, int64_t n_pre, Sorting *scratch) noexcept nogil:
    """Bring the rows of a projection into the order of blocks, and of delays as they were; False without memory."""
    cdef Projection *c = &L.e.projections[number]
    cdef int64_t n = L.first_block[c.post + 1] - L.first_block[c.post], i, k, block
    cdef synapse_t longest = 0, size, at
    cdef uint32_t *cut
    cdef uint32_t *where
    cdef neuron_t within = (1 << L.shift) - 1
    # These arrays are the engine's own.
    cdef double *delays = <double *> c.delays
    cdef double *weights = <double *> c.weights
    cdef neuron_t *places = <neuron_t *> c.places
    for i in range(n_pre):
        longest = max(longest, c.offsets[i + 1] - c.offsets[i])
    scratch.values = <double *> allocate(longest, sizeof(double))
    scratch.places = <neuron_t *> allocate(longest, sizeof(neuron_t))
    scratch.where = where = <uint32_t *> allocate(longest, sizeof(uint32_t))
    scratch.at = <uint32_t *> allocate(n, sizeof(uint32_t))
    if scratch.values == NULL or scratch.places == NULL or scratch.where == NULL or scratch.at == NULL:
        return False
    for i in range(n_pre):
        at, size = c.offsets[i], c.offsets[i + 1] - c.offsets[i]
        cut = L.cuts[number] + i * (n + 1)
        memset(cut, 0, (n + 1) * sizeof(uint32_t))
        for k in range(size):
            cut[(c.targets[at + k] >> L.shift) + 1] += 1
        for block in range(n):
            cut[block + 1] += cut[block]
            scratch.at[block] = cut[block]
        for k in range(size):
            block = c.targets[at + k] >> L.shift
            where[k] = scratch.at[block]
            scratch.at[block] += 1
            L.local[number][at + where[k]] = <uint16_t> (c.targets[at + k] & within)
            scratch.values[where[k]] = delays[at + k]
        if size:
            L.longest_delay[number] = max(L.longest_delay[number], delays[at + size - 1])
            memcpy(delays + at, scratch.values, size * sizeof(double))
        if size == 0 or weights == NULL:
            continue
        for k in range(size):
            scratch.places[where[k]] = places[at + k]
            scratch.values[where[k]] = weights[at + k]
        memcpy(places + at, scratch.places, size * sizeof(neuron_t))
        memcpy(weights + at, scratch.values, size * sizeof(double))
    return True
