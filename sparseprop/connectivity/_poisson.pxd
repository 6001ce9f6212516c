"""Independent Poisson processes, one for each neuron, interval by interval.

The events of neuron i in interval k are a pure function of (key, purpose, index, i, k): their number first, then their
times, then (where rates change in time) whether each of them counts. So they depend on no engine, cut or thread. The
events of all neurons in an interval are brought into the order of time by a bucket sort.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from sparseprop.numerics._elementary cimport exp
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._philox cimport philox_open, philox_stream, philox_word, unit_closed_open
from sparseprop.numerics._typedefs cimport count_t, neuron_t

cdef enum:
    # The low bits of a stream's index are the number of the interval, the others that of the drive.
    INTERVAL_BITS = 44
    # No mean is above 4, for which more events than this have a probability of 1e-40.
    MOST_EVENTS = 64


cdef struct Event:
    double offset           # ms since the interval began
    neuron_t neuron


cdef struct Poisson:
    uint64_t key[2]
    uint64_t purpose
    uint64_t index
    neuron_t n
    neuron_t begin          # the neurons whose events are wanted: those from here to before `end`
    neuron_t end
    double interval         # ms, a power of two
    const double *means     # events per interval at a neuron's highest rate: one for all, or one each
    bint mean_each
    # From times[j] to times[j + 1] the rate is fractions[j] of the highest one, before times[0] it is 0. NULL: always.
    const double *times
    const double *fractions
    int64_t n_times
    bint fraction_each
    # The present interval.
    int64_t k
    Event *events
    count_t n_events
    count_t capacity
    Event *unsorted
    count_t unsorted_capacity
    uint32_t *buckets
    count_t buckets_capacity


cdef inline void poisson_free(Poisson *p) noexcept nogil:
    free(p.events)
    free(p.unsorted)
    free(p.buckets)


cdef inline int64_t poisson_count(double mean, double none, double u) noexcept nogil:
    """A Poisson number by inversion of its distribution function; `none` is exp(-mean)."""
    cdef double probability = none, below = none
    cdef int64_t k = 0
    while u >= below and k < MOST_EVENTS:
        k += 1
        probability *= mean / k
        below += probability
    return k


cdef inline double poisson_fraction(const Poisson *p, double time, neuron_t i) noexcept nogil:
    """The rate at a time over the neuron's highest one."""
    cdef int64_t low = -1, high = p.n_times - 1, middle
    while low < high:
        middle = (low + high + 1) // 2
        if p.times[middle] <= time:
            low = middle
        else:
            high = middle - 1
    if low < 0:
        return 0.0
    return p.fractions[low * p.n + i] if p.fraction_each else p.fractions[low]


cdef inline bint poisson_append(Poisson *p, count_t at, double offset, neuron_t i) noexcept nogil:
    if not grow(<void **> &p.unsorted, &p.unsorted_capacity, at + 1, sizeof(Event)):
        return False
    p.unsorted[at].offset = offset
    p.unsorted[at].neuron = i
    return True


cdef inline bint poisson_sort(Poisson *p, count_t n) noexcept nogil:
    """p.events: the unsorted ones by time, and by neuron where times are equal; False if there is no memory."""
    cdef count_t j, at, n_buckets = n // 2 + 1
    cdef uint32_t start, size
    cdef double scale = n_buckets / p.interval
    cdef Event event
    if not grow(<void **> &p.buckets, &p.buckets_capacity, n_buckets + 1, sizeof(uint32_t)):
        return False
    if not grow(<void **> &p.events, &p.capacity, n, sizeof(Event)):
        return False
    memset(p.buckets, 0, (n_buckets + 1) * sizeof(uint32_t))
    for j in range(n):
        p.buckets[<count_t> (p.unsorted[j].offset * scale)] += 1
    start = 0
    for j in range(n_buckets + 1):
        size = p.buckets[j]
        p.buckets[j] = start
        start += size
    for j in range(n):
        at = <count_t> (p.unsorted[j].offset * scale)
        p.events[p.buckets[at]] = p.unsorted[j]
        p.buckets[at] += 1
    # Within a bucket they are in the order of neurons: insertion keeps it where times are equal.
    for j in range(1, n):
        if p.events[j - 1].offset <= p.events[j].offset:
            continue
        event = p.events[j]
        at = j
        while at > 0 and p.events[at - 1].offset > event.offset:
            p.events[at] = p.events[at - 1]
            at -= 1
        p.events[at] = event
    return True


cdef inline bint poisson_fill(Poisson *p, int64_t k) noexcept nogil:
    """The events of interval k, of the neurons that are wanted; False if there is no memory."""
    cdef neuron_t i
    cdef count_t n = 0
    cdef int64_t left
    cdef double mean = p.means[0], none = exp(-p.means[0]), offset
    cdef philox_stream stream
    p.k = k
    for i in range(p.begin, p.end):
        if p.mean_each:
            mean = p.means[i]
            none = exp(-mean)
        if mean == 0.0:
            continue
        philox_open(&stream, p.key, i, p.index << INTERVAL_BITS | <uint64_t> k, p.purpose)
        left = poisson_count(mean, none, unit_closed_open(philox_word(&stream)))
        while left > 0:
            left -= 1
            offset = p.interval * unit_closed_open(philox_word(&stream))
            if p.times != NULL and (
                unit_closed_open(philox_word(&stream)) >= poisson_fraction(p, k * p.interval + offset, i)
            ):
                continue
            if not poisson_append(p, n, offset, i):
                return False
            n += 1
    p.n_events = n
    return poisson_sort(p, n)
