"""Spikes on their way along dense rows with a delay for each synapse, of which blocks take what arrives at them.

Such a row is cut by blocks of targets, and within a cut it is in the order of delays: a block has a span of each row
that a spike is on its way along, whose beginning moves on slice after slice. All that a synapse has lies in one place,
so that memory makes a block wait once for it and not for each of the arrays that it would be in.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memmove

from sparseprop.engine._lists cimport put_down, put_down_one
from sparseprop.engine._look cimport Block, Bucket, Flights, Flying, Look, Span, Thread
from sparseprop.engine._slice cimport Lists
from sparseprop.engine._state cimport Projection
from sparseprop.numerics._frames cimport Pair, before, not_after, plus
from sparseprop.numerics._lanes cimport WIDE, Synapse, WeightedSynapse, ask, pull, pull_own, synapse_at
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t


cdef enum:
    # Spans ahead of which memory is asked for.
    AHEAD = 16


cdef inline double arrival(const Flying *f, uint32_t k) noexcept nogil:
    """The s in this epoch at which something arrives by synapse k of a row.

    As by `plus`, if it arrives in this epoch; otherwise it is behind the end.
    """
    return (f.emission.s + synapse_at(f.row, f.width, k).delay) - f.back


cdef inline Pair arrival_pair(const Look *L, const Flying *f, uint32_t k) noexcept nogil:
    """The same in any epoch."""
    return plus(f.emission, synapse_at(f.row, f.width, k).delay, L.e.H)


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
    f.row, f.width = L.rows[projection] + L.widths[projection] * row, L.widths[projection]
    f.weight, f.kind = c.weight, L.kind[projection]
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
        while span.at < span.stop and not_after(arrival_pair(L, f, span.at), over):
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
    cdef const char *ahead
    cdef Span *span
    cdef double begin = L.begin.s, last = -1.0
    cdef count_t j, n = 0
    cdef uint32_t k
    for j in range(flights.head, flights.size):
        if j + AHEAD < flights.size:
            f = &flights.items[j + AHEAD]
            ahead = f.row + f.width * <int64_t> b.spans[j + AHEAD].at
            ask(ahead)
            ask(ahead + 64)
            ask(ahead + 128)
        span = &b.spans[j]
        k = span.at
        t.from_[j] = k
        if k == span.stop:
            continue
        f = &flights.items[j]
        if a.own == NULL:
            k = pull(f.row, k, span.stop, f.emission.s, f.back, begin, L.stop, a.counts, a.stride, a.times, a.kinds,
                     f.kind)
        else:
            k = pull_own(f.row, f.width, k, span.stop, f.emission.s, f.back, begin, L.stop, a.counts, a.stride,
                         a.times, a.own, f.weight)
        if k > span.at:
            last = max(last, arrival(f, k - 1))
            n += k - span.at
            span.at = k
    b.n_pulled = n
    if n:
        b.last = max(b.last, max(last, begin))


cdef inline bint put_down_from(const Look *L, Block *b, Bucket *bucket, const Flying *f, uint32_t k,
                               double time) noexcept nogil:
    """What arrives by synapse k of a row; False if there is no memory."""
    cdef const Synapse *synapse = synapse_at(f.row, f.width, k)
    cdef const WeightedSynapse *weighted = <const WeightedSynapse *> synapse
    b.last = max(b.last, time)
    if f.width == WIDE:
        return put_down_one(bucket, synapse.target, time, weighted.weight, f.route, weighted.place)
    return put_down(bucket, synapse.target, time, f.route)


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
    cdef const char *ahead
    cdef Span *span
    cdef double time, stop = L.stop, begin = L.begin.s
    cdef count_t j, n = find_due(L, t, b)
    cdef uint32_t k
    if n < 0:
        return False
    for j in range(n):
        if j + 2 * AHEAD < n:
            f = &items[t.from_[j + 2 * AHEAD]]
            ask(&f.emission)
            ask(&f.route)
        if j + AHEAD < n:
            f = &items[t.from_[j + AHEAD]]
            ahead = f.row + f.width * <int64_t> b.spans[t.from_[j + AHEAD]].at
            ask(ahead)
            ask(ahead + 2 * WIDE)
        span = &b.spans[t.from_[j]]
        f = &items[t.from_[j]]
        k = span.at
        time = INFINITY
        while k < span.stop:
            time = arrival(f, k)
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
    cdef count_t j
    cdef uint32_t k
    for j in range(flights.head, flights.size):
        if j + AHEAD < flights.size:
            f = &flights.items[j + AHEAD]
            ask(f.row + f.width * <int64_t> t.from_[j + AHEAD])
        f = &flights.items[j]
        for k in range(t.from_[j], b.spans[j].at):
            if not chosen[synapse_at(f.row, f.width, k).target]:
                continue
            if not put_down_from(L, b, bucket, f, k, max(arrival(f, k), L.begin.s)):
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
    cdef Span span
    cdef Pair time
    for k in range(n):
        b = &L.blocks[begin + k]
        if j < b.n_spans:
            span = b.spans[j]
        else:
            cut = L.cuts[f.projection] + f.source * (n + 1) + k
            span.at, span.stop = cut[0], cut[1]
        if span.at < span.stop:
            time = arrival_pair(L, f, span.at)
            if before(time, first):
                first = time
    return first


# Rows ---------------------------------------------------------------------------------------------------------------

cdef inline Synapse *synapse_of(Look *L, int64_t number, synapse_t row, uint32_t k) noexcept nogil:
    """Synapse k of a row that begins there in a projection."""
    return <Synapse *> synapse_at(L.rows[number] + L.widths[number] * row, L.widths[number], k)


cdef inline void cut_rows(Look *L, int64_t number, int64_t n, synapse_t begin, synapse_t end, const double *delays,
                          const neuron_t *targets, const neuron_t *places, const double *weights,
                          uint32_t *at) noexcept nogil:
    """Cut some rows of a projection for n blocks, given their synapses in the order of delays and, as they were, their
    weights (or NULL). L.cuts are zeros; `at` is scratch, for each block."""
    cdef const Projection *c = &L.e.projections[number]
    cdef int64_t i, block
    cdef synapse_t k, first, last, skipped = c.offsets[begin]
    cdef uint32_t *cuts
    cdef Synapse *synapse
    cdef WeightedSynapse *weighted
    for i in range(begin, end):
        first, last = c.offsets[i] - skipped, c.offsets[i + 1] - skipped
        cuts = L.cuts[number] + i * (n + 1)
        for k in range(first, last):
            cuts[(targets[k] >> L.shift) + 1] += 1
        for block in range(n):
            cuts[block + 1] += cuts[block]
            at[block] = cuts[block]
        for k in range(first, last):
            block = targets[k] >> L.shift
            synapse = synapse_of(L, number, c.offsets[i], at[block])
            synapse.delay, synapse.target = delays[k], <uint16_t> (targets[k] & ((1 << L.shift) - 1))
            if L.widths[number] == WIDE:
                weighted = <WeightedSynapse *> synapse
                weighted.weight, weighted.place = weights[first + places[k]], places[k]
            at[block] += 1


cdef inline void put_weights(Look *L, int64_t number, int64_t n_pre, const double *weights) noexcept nogil:
    """Other weights into the cuts of a projection."""
    cdef const Projection *c = &L.e.projections[number]
    cdef int64_t i
    cdef synapse_t k
    cdef WeightedSynapse *synapse
    for i in range(n_pre):
        for k in range(c.offsets[i + 1] - c.offsets[i]):
            synapse = <WeightedSynapse *> synapse_of(L, number, c.offsets[i], <uint32_t> k)
            synapse.weight = weights[c.offsets[i] + synapse.place]
