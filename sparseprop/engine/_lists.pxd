"""What arrives at the neurons of a block in a slice: all of it in the order of time, or a list for each neuron."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from sparseprop.engine._look cimport Bucket, Look, Thread
from sparseprop.engine._slice cimport HAS_EXTRA, RUN, Extra, Kick, Lists, Part, insert_items, sort_items
from sparseprop.engine._state cimport Process
from sparseprop.numerics._lanes cimport LANES, SLOTS
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t


cdef inline bint put_down(Bucket *b, neuron_t target, double s, uint32_t what) noexcept nogil:
    """Note a weight that arrives at a neuron, of this place in the block; False if there is no memory."""
    cdef Kick *kick
    if b.size == b.capacity and not grow(<void **> &b.kicks, &b.capacity, b.size + 1, sizeof(Kick)):
        return False
    kick = &b.kicks[b.size]
    b.size += 1
    kick.s, kick.what, kick.target = s, what, <uint16_t> target
    return True


cdef inline bint put_down_one(Bucket *b, neuron_t target, double s, double weight, uint32_t route,
                              int64_t place) noexcept nogil:
    """The same where each has a weight of its own."""
    cdef Extra *extra
    if not grow(<void **> &b.extras, &b.extras_capacity, b.n_extras + 1, sizeof(Extra)):
        return False
    extra = &b.extras[b.n_extras]
    extra.weight, extra.route, extra.place = weight, route, <int> place
    b.n_extras += 1
    return put_down(b, target, s, HAS_EXTRA | <uint32_t> (b.n_extras - 1))


# By time ------------------------------------------------------------------------------------------------------------

cdef inline bint order_kicks(const Look *L, Thread *t, Part *part) noexcept nogil:
    """What was put down for a block, by time; False if there is no memory."""
    cdef const Bucket *bucket
    cdef int64_t k, bin, n_bins = 16
    cdef count_t j, total = 0, sorted_already = 1
    cdef uint32_t start, size, longest = 0, n_extras
    cdef double scale, begin = L.begin.s
    cdef const Kick *from_
    cdef Kick *kick
    for k in range(t.n_sources):
        total += t.sources[k].size
    part.n_kicks = total
    if total == t.sources[t.n_sources - 1].size:
        # Those of one drive are in order.
        bucket = t.sources[t.n_sources - 1]
        for j in range(1, total):
            sorted_already &= bucket.kicks[j - 1].s <= bucket.kicks[j].s
        if sorted_already:
            part.kicks, part.extras = bucket.kicks, bucket.extras
            return True
    while n_bins < total and n_bins < 1 << 16:
        n_bins *= 2
    # An instant at 0 is shorter than any number.
    scale = n_bins / (L.stop - begin) if L.stop - begin > 1e-300 else 0.0
    if not grow(<void **> &t.kicks.kicks, &t.kicks.capacity, total, sizeof(Kick)):
        return False
    if not grow(<void **> &t.bins, &t.bins_capacity, n_bins + 1, sizeof(uint32_t)):
        return False
    memset(t.bins, 0, (n_bins + 1) * sizeof(uint32_t))
    for k in range(t.n_sources):
        bucket = t.sources[k]
        for j in range(bucket.size):
            t.bins[min(<int64_t> ((bucket.kicks[j].s - begin) * scale), n_bins - 1)] += 1
    start = 0
    for k in range(n_bins + 1):
        size = t.bins[k]
        t.bins[k] = start
        start += size
        longest = max(longest, size)
    t.kicks.n_extras = 0
    for k in range(t.n_sources):
        bucket = t.sources[k]
        n_extras = <uint32_t> t.kicks.n_extras
        for j in range(bucket.size):
            from_ = &bucket.kicks[j]
            bin = min(<int64_t> ((from_.s - begin) * scale), n_bins - 1)
            kick = &t.kicks.kicks[t.bins[bin]]
            # To what has HAS_EXTRA, the highest bit.
            kick.s, kick.target = from_.s, from_.target
            kick.what = from_.what + (from_.what >> 31) * n_extras
            t.bins[bin] += 1
        if bucket.n_extras == 0:
            continue
        if not grow(<void **> &t.kicks.extras, &t.kicks.extras_capacity, t.kicks.n_extras + bucket.n_extras,
                    sizeof(Extra)):
            return False
        memcpy(t.kicks.extras + t.kicks.n_extras, bucket.extras, bucket.n_extras * sizeof(Extra))
        t.kicks.n_extras += bucket.n_extras
    if not grow(<void **> &t.scratch, &t.scratch_capacity, longest, sizeof(Kick)):
        return False
    # Few are in one bin, mostly.
    start = 0
    for k in range(n_bins if longest > RUN else 0):
        size = t.bins[k] - start
        if size > RUN:
            sort_items(t.kicks.kicks + start, size, t.scratch, L.routes)
        start = t.bins[k]
    insert_items(t.kicks.kicks, 0, total, L.routes)
    part.kicks, part.extras = t.kicks.kicks, t.kicks.extras
    return True


# By neuron ----------------------------------------------------------------------------------------------------------

cdef inline bint begin_lists(const Look *L, Thread *t, Part *part, int64_t population) noexcept nogil:
    """Empty lists for the neurons of a block; False if there is no memory."""
    cdef Lists *a = &t.lists
    cdef count_t n, old = t.lists_capacity
    a.stride = min(<int64_t> SLOTS - 1, a.most + a.most // 8 + 3) | 1  # not a multiple of what caches are divided by
    n = ((part.size + LANES - 1) // LANES) * a.stride * LANES
    if n > old:
        n += n // 4
        free(a.times)
        free(a.kinds)
        free(a.own)
        t.lists_capacity = 0
        a.own = NULL
        a.times, a.kinds = <double *> calloc(n, sizeof(double)), <uint8_t *> calloc(n, 1)
        if a.times == NULL or a.kinds == NULL:
            return False
        t.lists_capacity = n
    if L.has_own[population] and a.own == NULL:
        a.own = <double *> calloc(t.lists_capacity, sizeof(double))
        if a.own == NULL:
            return False
    memset(a.counts, 0, ((part.size + LANES - 1) // LANES) * LANES * sizeof(uint32_t))
    part.lists = a[0]
    part.lists.weights, part.lists.n_kinds = L.kinds, L.n_kinds
    if not L.has_own[population]:
        part.lists.own = NULL
    return True


cdef inline void put_in_lists(const Look *L, const Lists *a, const Bucket *bucket) noexcept nogil:
    """What was put down."""
    cdef count_t j
    cdef const Kick *kick
    cdef uint32_t count
    cdef int64_t at, stride = a.stride
    for j in range(bucket.size):
        kick = &bucket.kicks[j]
        count = a.counts[kick.target]
        a.counts[kick.target] = count + 1
        if not count < stride:
            continue
        at = ((kick.target >> 3) * stride + count) * LANES + (kick.target & (LANES - 1))
        a.times[at] = kick.s
        if a.own == NULL:
            a.kinds[at] = L.routes[kick.what].kind
        elif kick.what & HAS_EXTRA:
            a.own[at] = bucket.extras[kick.what & ~<uint32_t> HAS_EXTRA].weight
        else:
            a.own[at] = L.routes[kick.what].weight


cdef inline count_t put_events(const Look *L, const Lists *a, const Process *c, neuron_t begin_of_block, double begin,
                               uint32_t route, double *last) noexcept nogil:
    """The events of a drive before the end of the slice, from the next one on; the first one of the others.

    `begin` is when their interval begins; `last` is to be the time of the last one, if later.
    """
    cdef const uint64_t *events = c.poisson.events
    cdef double s, latest = last[0], stop = L.stop, unit = c.poisson.unit, weight = L.routes[route].weight
    cdef uint8_t kind = L.routes[route].kind
    cdef int64_t stride = a.stride, at
    cdef count_t j = c.at, n = c.poisson.n_events
    cdef uint32_t i, target, count
    while j < n:
        # Events of one neuron mostly follow each other.
        i = <uint32_t> (events[j] & 0xFFFFFFFFULL)
        target = i - <uint32_t> begin_of_block
        count = a.counts[target]
        at = (target >> 3) * stride * LANES + (target & (LANES - 1))
        if c.weights != NULL:
            weight = c.weights[i]
        while j < n and <uint32_t> (events[j] & 0xFFFFFFFFULL) == i:
            s = begin + <double> <int64_t> (events[j] >> 32) * unit
            if not s < stop:
                n = j
                break
            latest = max(latest, s)
            if count < stride:
                a.times[at + count * LANES] = s
                if a.own == NULL:
                    a.kinds[at + count * LANES] = kind
                else:
                    a.own[at + count * LANES] = weight
            count += 1
            j += 1
        a.counts[target] = count
    last[0] = latest
    return j


cdef inline bint take_chosen(Thread *t, const Part *part) noexcept nogil:
    """Instead of all that was put down only what is for the chosen ones; False if there is no memory."""
    cdef Bucket *b = &t.some
    cdef const Bucket *from_
    cdef const Extra *extra
    cdef const Kick *kick
    cdef int64_t k
    cdef count_t j
    b.size = b.n_extras = 0
    for k in range(t.n_sources):
        from_ = t.sources[k]
        for j in range(from_.size):
            kick = &from_.kicks[j]
            if not part.is_chosen[kick.target]:
                continue
            if kick.what & HAS_EXTRA:
                extra = &from_.extras[kick.what & ~<uint32_t> HAS_EXTRA]
                if not put_down_one(b, kick.target, kick.s, extra.weight, extra.route, extra.place):
                    return False
            elif not put_down(b, kick.target, kick.s, kick.what):
                return False
    t.sources[0] = b
    t.n_sources = 1
    return True
