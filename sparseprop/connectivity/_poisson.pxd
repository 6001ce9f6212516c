"""Independent Poisson processes, one for each neuron, interval by interval.

The events of neuron i in interval k are a pure function of (key, purpose, index, i, k), so they depend on no engine,
cut or thread. They come from 32-bit words, the blocks (i, block, low and high half of k) of Philox4x32-10 under a key
that Philox4x64-10 makes of (key, purpose, index):

- word 0 is the place in [0, 1) at which the distribution function of the number m of events is inverted;
- words 1 to m are their times, as multiples of the interval over 2^32: exact as doubles, and in order as integers are;
- words m + 1 to 2 m say, where rates change in time, whether each of them counts, drawn at the highest rate.

Where 32 bits do not decide about the number or an event, 32 more do: of word 0 and the words of events those from TAIL
on. So probabilities are right to a double's rounding, not to 2^-32.

The events of all neurons in an interval are brought into the order of time, and of neurons where times are equal, by
distributing them over bins by their leading bits.
"""

from libc.math cimport ldexp, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sparseprop.numerics._elementary cimport exp, exp_many
from sparseprop.numerics._memory cimport allocate, grow
from sparseprop.numerics._philox cimport philox4x64, philox_rows, philox_word_of
from sparseprop.numerics._typedefs cimport count_t, neuron_t

cdef enum:
    # The bits that the number of an interval has at most.
    INTERVAL_BITS = 44
    # No mean is above 12, for which more events than this have a probability of 1e-26.
    MOST_EVENTS = 64
    # Leading bits of word 0 of which a table knows the least number of events.
    GUIDE_BITS = 10
    # The first of the words that decide where others do not.
    TAIL = 1 << 16
    # Neurons whose events are drawn side by side.
    CHUNK = 64
    # Blocks behind its first one that a neuron needs at most, and those that are written whether it needs them or not.
    MOST_ROWS = 2 * MOST_EVENTS // 4
    SPARE_ROWS = 4
    # Events in a bin that are left to insertion.
    FEW = 24
    # Events that are distributed over bins in one turn; more are first cut into parts.
    MANY = 1 << 15


# How often there are 0, 1, 2... events at one mean.
cdef struct Numbers:
    double inverse[MOST_EVENTS + 1]         # 1 / k
    # m events for words from limits[m - 1] to limits[m]; where a word is equal to a limit, more bits decide.
    uint32_t limits[MOST_EVENTS + 1]
    uint8_t guide[1 << GUIDE_BITS]          # the least number by the leading bits


cdef struct Poisson:
    uint64_t key
    neuron_t n
    neuron_t begin          # the neurons whose events are wanted: those from here to before `end`
    neuron_t end
    double interval         # ms, a power of two
    double unit             # ms, of times
    const double *means     # events per interval at a neuron's highest rate: one for all, or one each
    bint mean_each
    Numbers *numbers
    # From times[j] to times[j + 1] the rate is fractions[j] of the highest one, before times[0] it is 0. NULL: always.
    const double *times
    const double *fractions
    int64_t n_times
    bint fraction_each
    # The present interval. An event is its time in the high half and its neuron in the low one.
    int64_t k
    uint64_t *events
    count_t n_events
    count_t capacity


# What is drawn of some neurons at a time: rows of four words in the high halves, as of events.
cdef struct Chunk:
    uint32_t neurons[CHUNK]
    uint32_t zeros[CHUNK]
    double none[CHUNK]                      # the probability of no event
    int32_t numbers[CHUNK]
    uint64_t first[4 * CHUNK]
    uint32_t row_neurons[MOST_ROWS * CHUNK + SPARE_ROWS]
    uint32_t row_blocks[MOST_ROWS * CHUNK + SPARE_ROWS]
    uint64_t rows[4 * (MOST_ROWS * CHUNK + SPARE_ROWS)]


# Scratch for drawing, of a thread.
cdef struct Drawing:
    Chunk *chunk
    uint64_t *events        # not in order
    count_t capacity
    uint32_t *bins
    count_t n_bins          # that are in use
    count_t bins_capacity


cdef inline void poisson_free(Poisson *p) noexcept nogil:
    free(p.events)
    free(p.numbers)


cdef inline void drawing_free(Drawing *d) noexcept nogil:
    free(d.chunk)
    free(d.events)
    free(d.bins)


cdef inline double event_offset(const Poisson *p, count_t at) noexcept nogil:
    """Ms since the interval began."""
    return <double> <int64_t> (p.events[at] >> 32) * p.unit


cdef inline neuron_t event_neuron(const Poisson *p, count_t at) noexcept nogil:
    return <neuron_t> (p.events[at] & 0xFFFFFFFFULL)


# Numbers ------------------------------------------------------------------------------------------------------------

cdef inline bint is_at_least(uint32_t word, double limit, const Poisson *p, neuron_t i, uint32_t tail,
                             int64_t k) noexcept nogil:
    """Whether the number that begins with a word is at least `limit`, in units of that word."""
    if word >= limit:
        return True
    # The difference is exact, as it is below 1 and both are multiples of the limit's last place.
    return limit - word < 1.0 and philox_word_of(i, TAIL + tail, k, p.key) >= (limit - word) * 4294967296.0


cdef inline int64_t poisson_number(const Poisson *p, double mean, double none, uint32_t word, neuron_t i,
                                   int64_t k) noexcept nogil:
    """A Poisson number by inversion of its distribution function; `none` is exp(-mean)."""
    cdef double probability = none, below = none
    cdef int64_t m = 0
    while m < MOST_EVENTS and is_at_least(word, below * 4294967296.0, p, i, 0, k):
        m += 1
        probability *= mean * p.numbers.inverse[m]
        below += probability
    return m


cdef inline int64_t number_at(const Poisson *p, double mean, double none, uint32_t word, neuron_t i,
                              int64_t k) noexcept nogil:
    """The same, where the word mostly decides."""
    cdef double place = word, probability = 4294967296.0 * none, below = probability
    cdef int64_t m = 0
    while place >= below and m < MOST_EVENTS:
        m += 1
        probability *= mean * p.numbers.inverse[m]
        below += probability
    if below - place < 1.0:
        return poisson_number(p, mean, none, word, i, k)
    return m


cdef inline bint poisson_prepare(Poisson *p, const uint64_t *key, uint64_t purpose, uint64_t index) noexcept nogil:
    """What follows from what a process is described by; False if there is no memory."""
    cdef uint64_t words[4]
    cdef double probability, below, mean = p.means[0]
    cdef Numbers *numbers = p.numbers
    cdef int64_t m, g
    philox4x64(words, 0, 0, index, purpose, key[0], key[1])
    p.key = words[0]
    p.unit = ldexp(p.interval, -32)
    p.begin, p.end = 0, p.n
    if numbers == NULL:
        numbers = <Numbers *> allocate(1, sizeof(Numbers))
        if numbers == NULL:
            return False
        p.numbers = numbers
    probability = below = exp(-mean)
    numbers.inverse[0] = 0.0
    for m in range(MOST_EVENTS + 1):
        if m:
            numbers.inverse[m] = 1.0 / m
            probability *= mean * numbers.inverse[m]
            below += probability
        numbers.limits[m] = <uint32_t> min(<int64_t> (below * 4294967296.0), 0xFFFFFFFFLL)
    numbers.limits[MOST_EVENTS] = 0xFFFFFFFFU
    m = 0
    for g in range(1 << GUIDE_BITS):
        while g << (32 - GUIDE_BITS) > numbers.limits[m]:
            m += 1
        numbers.guide[g] = <uint8_t> m
    return True


cdef inline int64_t draw_numbers(const Poisson *p, Chunk *c, int64_t size, int64_t k, int64_t words) noexcept nogil:
    """How many events each neuron has, each of some words, and the rows that it needs besides; how many rows."""
    cdef const Numbers *numbers = p.numbers
    cdef int64_t j, m, b, more, rows = 0
    cdef uint32_t word
    philox_rows(c.first, c.neurons, c.zeros, size, k, p.key)
    if p.mean_each:
        for j in range(size):
            c.none[j] = -p.means[c.neurons[j]]
        exp_many(c.none, c.none, size)
    for j in range(size):
        word = <uint32_t> (c.first[4 * j] >> 32)
        if p.mean_each:
            m = number_at(p, p.means[c.neurons[j]], c.none[j], word, <neuron_t> c.neurons[j], k)
        else:
            m = numbers.guide[word >> (32 - GUIDE_BITS)]
            while word > numbers.limits[m]:
                m += 1
            if word == numbers.limits[m]:
                m = poisson_number(p, p.means[0], exp(-p.means[0]), word, <neuron_t> c.neurons[j], k)
        c.numbers[j] = <int32_t> m
        if m == 0:
            continue
        more = words * m >> 2
        # Mostly these are enough.
        for b in range(SPARE_ROWS):
            c.row_neurons[rows + b], c.row_blocks[rows + b] = c.neurons[j], <uint32_t> b + 1
        for b in range(SPARE_ROWS, more):
            c.row_neurons[rows + b], c.row_blocks[rows + b] = c.neurons[j], <uint32_t> b + 1
        rows += more
    return rows


# Changing rates -----------------------------------------------------------------------------------------------------

cdef inline int64_t piece_at(const Poisson *p, double time, int64_t low, int64_t high) noexcept nogil:
    """Which rates hold at a time, if it is one of some; -1 before the first ones."""
    cdef int64_t middle
    while low < high:
        middle = (low + high + 1) // 2
        if p.times[middle] <= time:
            low = middle
        else:
            high = middle - 1
    return low


cdef inline double fraction_of(const Poisson *p, int64_t piece, neuron_t i) noexcept nogil:
    """The rate over the neuron's highest one."""
    if piece < 0:
        return 0.0
    return p.fractions[piece * p.n + i] if p.fraction_each else p.fractions[piece]


cdef inline int64_t first_interval(const Poisson *p, int64_t k) noexcept nogil:
    """The first one from k on in which there may be events: silence may last for a great many."""
    cdef int64_t piece
    if p.times == NULL:
        return k
    piece = piece_at(p, k * p.interval, -1, p.n_times - 1)
    while piece + 1 < p.n_times and (piece < 0 or not p.fraction_each and p.fractions[piece] == 0.0):
        piece += 1
    if piece < 0 or not p.times[piece] < p.interval * ((<int64_t> 1) << INTERVAL_BITS):
        return (<int64_t> 1) << INTERVAL_BITS
    return max(k, <int64_t> (p.times[piece] / p.interval))


cdef inline uint64_t word_of(const uint64_t *first, const uint64_t *rows, int64_t j) noexcept nogil:
    """Of a neuron's words, the high halves of its first row and those that follow."""
    return first[j] if j < 4 else rows[j - 4]


cdef inline count_t thin_out(const Poisson *p, uint64_t *out, const uint64_t *first, const uint64_t *rows, int64_t m,
                             int64_t low, int64_t high, int64_t k) noexcept nogil:
    """Those of a neuron's events that count; how many."""
    cdef neuron_t i = <neuron_t> (first[0] & 0xFFFFFFFFULL)
    cdef int64_t j
    cdef count_t n = 0
    cdef double time, limit
    for j in range(m):
        out[n] = word_of(first, rows, 1 + j)
        time = k * p.interval + <double> <int64_t> (out[n] >> 32) * p.unit
        limit = fraction_of(p, piece_at(p, time, low, high), i) * 4294967296.0
        n += not is_at_least(<uint32_t> (word_of(first, rows, 1 + m + j) >> 32), limit, p, i, <uint32_t> j + 1, k)
    return n


# Order --------------------------------------------------------------------------------------------------------------

cdef inline bint distribute(Drawing *d, const uint64_t *source, uint64_t *out, count_t n, int known) noexcept nogil:
    """Events in bins by the bits of their times behind the first ones, which are known; False if there is no memory."""
    cdef int bits = 1
    cdef int64_t k, n_bins, bin
    cdef count_t j, begin, base = d.n_bins
    cdef uint32_t *bins
    cdef uint32_t start = 0, size, largest = 0
    cdef uint64_t mask, shift
    if n > MANY:
        while n >> bits > MANY // 8 and bits < 12:
            bits += 1
    else:
        while 4 << bits < 3 * n:
            bits += 1
    bits = min(bits, 32 - known)
    n_bins = 1 << bits
    shift, mask = 64 - known - bits, n_bins - 1
    if not grow(<void **> &d.bins, &d.bins_capacity, base + n_bins, sizeof(uint32_t)):
        return False
    bins = d.bins + base
    memset(bins, 0, n_bins * sizeof(uint32_t))
    for j in range(n):
        bins[source[j] >> shift & mask] += 1
    for k in range(n_bins):
        size = bins[k]
        bins[k] = start
        start += size
        largest = max(largest, size)
    for j in range(n):
        bin = source[j] >> shift & mask
        out[bins[bin]] = source[j]
        bins[bin] += 1
    if largest <= FEW or known + bits == 32:
        return True
    d.n_bins += n_bins
    begin = 0
    for k in range(n_bins):
        start = d.bins[base + k]
        if start - begin > FEW:
            # What was there is not needed any more.
            memcpy(d.events, out + begin, (start - begin) * sizeof(uint64_t))
            if not distribute(d, d.events, out + begin, start - begin, known + bits):
                return False
        begin = start
    d.n_bins = base
    return True


cdef inline void come_forward(uint64_t *events, count_t n) noexcept nogil:
    """Let events change places with the two before them if they are earlier, without a branch."""
    cdef uint64_t last = max(events[0], events[1]), before = min(events[0], events[1]), event, earlier
    cdef count_t j
    for j in range(2, n):
        event = events[j]
        earlier = event if event < last else last
        last = last if event < last else event
        events[j - 2] = earlier if earlier < before else before
        before = before if earlier < before else earlier
    events[n - 2], events[n - 1] = before, last


cdef inline bint sort_events(Poisson *p, Drawing *d, count_t n) noexcept nogil:
    """p.events: the unsorted ones by time, and by neuron where times are equal; False if there is no memory."""
    cdef count_t j, at
    cdef uint64_t event
    # Bins are counted in 32 bits.
    if n >> 32:
        return False
    if n > p.capacity and not grow(<void **> &p.events, &p.capacity, n + <count_t> (6.0 * sqrt(n)), sizeof(uint64_t)):
        return False
    d.n_bins = 0
    if n <= FEW:
        memcpy(p.events, d.events, n * sizeof(uint64_t))
    elif not distribute(d, d.events, p.events, n, 0):
        return False
    else:
        come_forward(p.events, n)
    for j in range(1, n):
        event = p.events[j]
        if p.events[j - 1] <= event:
            continue
        at = j
        while at > 0 and p.events[at - 1] > event:
            p.events[at] = p.events[at - 1]
            at -= 1
        p.events[at] = event
    p.n_events = n
    return True


# Intervals ----------------------------------------------------------------------------------------------------------

cdef inline count_t expected_events(const Poisson *p) noexcept nogil:
    """So many in an interval that more are rare."""
    cdef double total = 0.0
    cdef neuron_t i
    if p.mean_each:
        for i in range(p.begin, p.end):
            total += p.means[i]
    else:
        total = p.means[0] * (p.end - p.begin)
    return <count_t> (total + 6.0 * sqrt(total))


cdef inline bint draw_chunk(const Poisson *p, Drawing *d, int64_t size, int64_t k, bint changes, int64_t low,
                            int64_t high, count_t *n) noexcept nogil:
    """The events of some neurons behind the first n; False if there is no memory."""
    cdef Chunk *c = d.chunk
    cdef int64_t words = 1 + changes, rows = draw_numbers(p, c, size, k, words), j, m, more
    cdef const uint64_t *next = c.rows
    cdef uint64_t *out
    philox_rows(c.rows, c.row_neurons, c.row_blocks, rows, k, p.key)
    # As many words as there are, and what is written beyond the last one.
    if not grow(<void **> &d.events, &d.capacity, n[0] + 4 * (rows + size + SPARE_ROWS), sizeof(uint64_t)):
        return False
    for j in range(size):
        m = c.numbers[j]
        if m == 0:
            continue
        out = d.events + n[0]
        more = words * m >> 2
        if changes:
            n[0] += thin_out(p, out, c.first + 4 * j, next, m, low, high, k)
        else:
            memcpy(out, c.first + 4 * j + 1, 3 * sizeof(uint64_t))
            # Mostly these are enough; what is too much is overwritten.
            memcpy(out + 3, next, 12 * sizeof(uint64_t))
            if more > 3:
                memcpy(out + 15, next + 12, 4 * (more - 3) * sizeof(uint64_t))
            n[0] += m
        next += 4 * more
    return True


cdef inline bint draw_events(Poisson *p, Drawing *d, int64_t k, count_t *n) noexcept nogil:
    """Into d.events, those of interval k, of the neurons that are wanted; False if there is no memory."""
    cdef neuron_t i = p.begin
    cdef int64_t size, low = -1, high = -1
    cdef bint changes = p.times != NULL
    p.k = k
    p.n_events = n[0] = 0
    if not p.mean_each and p.means[0] == 0.0:
        return True
    if changes:
        low = piece_at(p, k * p.interval, -1, p.n_times - 1)
        high = piece_at(p, (k + 1) * p.interval, low, p.n_times - 1)
        if low == high and not p.fraction_each:
            if fraction_of(p, low, 0) == 0.0:
                return True
            changes = fraction_of(p, low, 0) < 1.0
    if d.chunk == NULL:
        d.chunk = <Chunk *> allocate(1, sizeof(Chunk))
        if d.chunk == NULL:
            return False
        memset(d.chunk, 0, sizeof(Chunk))
    if d.capacity == 0 and not grow(<void **> &d.events, &d.capacity, expected_events(p) + 4096, sizeof(uint64_t)):
        return False
    while i < p.end:
        size = 0
        while i < p.end and size < CHUNK:
            d.chunk.neurons[size] = i
            size += not p.mean_each or p.means[i] > 0.0
            i += 1
        if not draw_chunk(p, d, size, k, changes, low, high, n):
            return False
    return True


cdef inline bint poisson_fill(Poisson *p, Drawing *d, int64_t k) noexcept nogil:
    """The events of interval k, of the neurons that are wanted, by time; False if there is no memory."""
    cdef count_t n
    return draw_events(p, d, k, &n) and (n == 0 or sort_events(p, d, n))


cdef inline bint poisson_fill_unordered(Poisson *p, Drawing *d, int64_t k) noexcept nogil:
    """The same neuron by neuron."""
    cdef count_t n
    if not draw_events(p, d, k, &n):
        return False
    p.events, d.events = d.events, p.events
    p.capacity, d.capacity = d.capacity, p.capacity
    p.n_events = n
    return True
