"""Drawing and sorting of connections, compiled: the loops over synapses behind `sparseprop.connectivity`.

Arguments are checked there; here are only the checks without which memory would be at risk. Every function
works with the GIL released, in blocks of whole rows and about 2 million synapses, and lets Ctrl-C in between.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport cos, exp, log, log1p, sqrt
from libc.stdint cimport INT32_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove, memset

from sparseprop.connectivity._poisson cimport INTERVAL_BITS, Poisson, poisson_fill, poisson_free
from sparseprop.connectivity._rows cimport draw_bernoulli_row, draw_row, table_size
from sparseprop.numerics._philox cimport (
    philox4x64, philox_below, philox_open, philox_stream, philox_word, unit_closed_open, unit_open,
)
from sparseprop.numerics._typedefs cimport neuron_t, synapse_t

import numpy as np

MAX_INTERVALS = <int64_t> 1 << INTERVAL_BITS  # of a Poisson process

# Synapses (or rows, if they are empty) between two looks for Ctrl-C: some tens of milliseconds. A longer row
# is not interrupted.
cdef synapse_t BLOCK = 1 << 21


# Random numbers drawn ahead, so that the memory they point at has been fetched when it is needed.
cdef enum:
    AHEAD = 64

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *address) noexcept nogil


cdef object checked_key(const uint64_t[::1] key, uint64_t *words):
    if key.shape[0] != 2:
        raise ValueError(f"a key has 2 words, got {key.shape[0]}")
    words[0] = key[0]
    words[1] = key[1]


cdef inline neuron_t *neurons_of(neuron_t[::1] array) noexcept nogil:
    """Where the array begins; of an empty one no entry has an address."""
    return &array[0] if array.shape[0] else NULL


cdef inline const neuron_t *const_neurons_of(const neuron_t[::1] array) noexcept nogil:
    return &array[0] if array.shape[0] else NULL


def philox(counter, key):
    """The block of Philox4x64-10 for one counter.

    Parameters
    ----------
    counter : sequence of 4 uint64
        Block, neuron, index, purpose.
    key : sequence of 2 uint64

    Returns
    -------
    ndarray of uint64, shape (4,)

    Raises
    ------
    ValueError
        If there are not 4 words and 2.

    References
    ----------
    Salmon et al. (2011), doi 10.1145/2063384.2063405.
    """
    cdef const uint64_t[::1] c = np.asarray(counter, dtype=np.uint64)
    cdef uint64_t[2] k
    checked_key(np.asarray(key, dtype=np.uint64), k)
    if c.shape[0] != 4:
        raise ValueError(f"a counter has 4 words, got {c.shape[0]}")
    words = np.empty(4, dtype=np.uint64)
    cdef uint64_t[::1] out = words
    philox4x64(&out[0], c[0], c[1], c[2], c[3], k[0], k[1])
    return words


def uniforms(const uint64_t[::1] key, uint64_t purpose, uint64_t index, synapse_t n, synapse_t first=0):
    """One uniform number per neuron.

    Parameters
    ----------
    key : ndarray of uint64, shape (2,)
    purpose, index : int
        What the numbers are for, and which one of these (a population, say).
    n : int
        How many.
    first : int
        Of which neuron the first one is.

    Returns
    -------
    ndarray of float64, shape (n,)
        Multiples of 2^-53 in [0, 1). That of neuron i depends on (key, purpose, index, i) only: it is the first
        word of the block (0, i, index, purpose).

    Raises
    ------
    ValueError
        If the key has not two words, or `n` is negative.

    Notes
    -----
    O(n).
    """
    cdef uint64_t[2] k
    cdef uint64_t[4] words
    cdef synapse_t i = 0, stop
    checked_key(key, k)
    values = np.empty(n, dtype=np.float64)
    cdef double[::1] out = values
    while i < n:
        stop = min(n, i + BLOCK)
        with nogil:
            while i < stop:
                philox4x64(words, 0, <uint64_t>(first + i), index, purpose, k[0], k[1])
                out[i] = unit_closed_open(words[0])
                i += 1
        PyErr_CheckSignals()
    return values


def draw_rows(const uint64_t[::1] key, uint64_t purpose, uint64_t projection, const synapse_t[::1] offsets,
              synapse_t n, bint skip_self, bint with_replacement, synapse_t first=0):
    """Draw the ids of every row, uniformly.

    Parameters
    ----------
    key : ndarray of uint64, shape (2,)
    purpose, projection : int
        With the number of the row they select its stream of random numbers.
    offsets : ndarray of int64, shape (n_rows + 1,)
        Where each row begins, starting from 0, ascending; so also how long it is.
    n : int
        Ids are drawn from [0, n), n < 2^31.
    skip_self : bool
        Leave id j out of row j.
    with_replacement : bool
        Whether an id may come several times in a row.
    first : int
        Number of the first row.

    Returns
    -------
    ndarray of int32, shape (offsets[-1],)
        Ids, ascending within each row. Row j depends on (key, purpose, projection, j), on its own length and
        on `n, skip_self, with_replacement`.

    Raises
    ------
    ValueError
        If a row is longer than what there is to draw from, or than 2^31 - 1.
    MemoryError

    Notes
    -----
    O(number of ids drawn); scratch of a few times the longest row that is drawn by its table.
    """
    cdef synapse_t n_rows = offsets.shape[0] - 1, j = 0, k, size, scratch = 0, budget
    cdef synapse_t available = max(n - skip_self, 0)
    cdef synapse_t longest = INT32_MAX if with_replacement and available else available
    cdef bint impossible = False
    cdef uint64_t[2] words
    cdef philox_stream stream
    cdef uint32_t *table
    cdef neuron_t *row
    checked_key(key, words)
    with nogil:
        for j in range(n_rows):
            k = offsets[j + 1] - offsets[j]
            if k < 0 or k > longest:
                impossible = True
                break
            size = table_size(k, available, with_replacement) if k else 0
            scratch = max(scratch, size)
    if impossible:
        raise ValueError(f"row {j} cannot have {k} of {available} ids")
    ids = np.empty(offsets[n_rows], dtype=np.int32)
    row = neurons_of(ids)
    table = <uint32_t *>malloc((scratch + 1) * sizeof(uint32_t))
    if table == NULL:
        raise MemoryError(f"no memory for a scratch table of {scratch} entries")
    try:
        memset(table, 0xFF, scratch * sizeof(uint32_t))
        j = 0
        while j < n_rows:
            budget = BLOCK
            with nogil:
                while j < n_rows and budget > 0:
                    k = offsets[j + 1] - offsets[j]
                    philox_open(&stream, words, <uint64_t>(first + j), projection, purpose)
                    draw_row(row, k, available, first + j if skip_self else available, with_replacement, &stream,
                             table)
                    row += k
                    budget -= k + 1
                    j += 1
            PyErr_CheckSignals()
    finally:
        free(table)
    return ids


def draw_bernoulli(const uint64_t[::1] key, uint64_t purpose, uint64_t projection, synapse_t n_rows,
                   synapse_t n, double p, bint skip_self, synapse_t capacity):
    """Take every id of every row with probability p, independently.

    Parameters
    ----------
    key, purpose, projection, n, skip_self
        As in :func:`draw_rows`.
    n_rows : int
        Number of rows.
    p : float
        Probability, 0 < p < 1.
    capacity : int
        How many ids to make room for at first; the array grows when they are more.

    Returns
    -------
    offsets : ndarray of int64, shape (n_rows + 1,)
    ids : ndarray of int32, shape (offsets[-1],)
        Ascending within each row.

    Raises
    ------
    MemoryError

    Notes
    -----
    O(n_rows + number of ids): the misses between two hits are drawn at once.
    """
    cdef synapse_t j = 0, found = 0, count = 0, budget
    cdef synapse_t available = n - skip_self
    cdef double log_miss = log1p(-p)
    cdef uint64_t[2] words
    cdef philox_stream stream
    cdef neuron_t *row
    checked_key(key, words)
    offsets = np.zeros(n_rows + 1, dtype=np.int64)
    cdef synapse_t[::1] ends = offsets
    ids = np.empty(capacity, dtype=np.int32)
    row = neurons_of(ids)
    while j < n_rows:
        budget = BLOCK
        with nogil:
            while j < n_rows and budget > 0:
                philox_open(&stream, words, <uint64_t>j, projection, purpose)
                count = draw_bernoulli_row(row + found, capacity - found, log_miss, available,
                                           j if skip_self else available, &stream)
                if count < 0:
                    break
                found += count
                budget -= count + 1
                j += 1
                ends[j] = found
        if count < 0:
            # The row is drawn again from its beginning, into more room.
            capacity += (capacity >> 3) + 1024
            ids.resize(capacity, refcheck=False)
            row = neurons_of(ids)
            count = 0
        PyErr_CheckSignals()
    ids.resize(found, refcheck=False)
    return offsets, ids


def draw_row_lengths(const uint64_t[::1] key, uint64_t purpose, uint64_t projection, synapse_t n_rows,
                     synapse_t width, synapse_t total, bint with_replacement):
    """How many of `total` edges, drawn uniformly among all cells of a table, fall into each row.

    Parameters
    ----------
    key, purpose, projection
        They select the stream of random numbers (that of neuron 0).
    n_rows, width : int
        The table: its rows and the cells of each, both below 2^31.
    total : int
        Number of edges; without replacement at most n_rows * width, and best no more than half of it.
    with_replacement : bool
        Whether a cell may be drawn several times.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Multivariate hypergeometric; multinomial with replacement.

    Raises
    ------
    ValueError
        If there are not so many cells.

    Notes
    -----
    O(n_rows + total). Given its length, a row is a uniform subset, so the lengths are all that must be drawn
    jointly. They come from the very process of drawing distinct cells one by one: a cell of row r is refused
    if it was drawn before, that is with probability length[r] / width.
    """
    cdef synapse_t drawn = 0, stop
    cdef int i
    cdef uint32_t[AHEAD] row, cell
    cdef uint64_t[2] words
    cdef philox_stream stream
    checked_key(key, words)
    if total > 0 and (n_rows < 1 or width < 1 or (total > n_rows * width and not with_replacement)):
        raise ValueError(f"there are not {total} cells in {n_rows} rows of {width}")
    lengths = np.zeros(n_rows, dtype=np.int64)
    cdef synapse_t[::1] length = lengths
    philox_open(&stream, words, 0, projection, purpose)
    while drawn < total:
        stop = min(total, drawn + BLOCK)
        with nogil:
            while drawn < stop:
                for i in range(AHEAD):
                    row[i] = philox_below(&stream, <uint32_t>n_rows)
                    if not with_replacement:
                        cell[i] = philox_below(&stream, <uint32_t>width)
                    prefetch(&length[row[i]])
                for i in range(AHEAD):
                    if drawn < total and (with_replacement or cell[i] >= length[row[i]]):
                        length[row[i]] += 1
                        drawn += 1
        PyErr_CheckSignals()
    return lengths


def transpose(const neuron_t[::1] ids, synapse_t k, synapse_t n):
    """Turn rows of equal length around: from the sources of each target to the targets of each source.

    Parameters
    ----------
    ids : ndarray of int32, shape (n_rows * k,)
        Row by row, each in [0, n).
    k : int
        Length of the rows, at least 1.
    n : int
        Number of different ids.

    Returns
    -------
    offsets : ndarray of int64, shape (n + 1,)
    rows : ndarray of int32, shape (n_rows * k,)
        The rows in which each id is, ascending.

    Notes
    -----
    O(n + ids), a counting sort.
    """
    cdef synapse_t n_rows = ids.shape[0] // k, j = 0, i, stop, step = BLOCK // k + 1
    cdef const neuron_t *source = const_neurons_of(ids)
    cdef neuron_t *target
    offsets = np.zeros(n + 1, dtype=np.int64)
    rows = np.empty(ids.shape[0], dtype=np.int32)
    cdef synapse_t[::1] cursor = offsets
    target = neurons_of(rows)
    count_ids(ids, cursor)
    while j < n_rows:
        stop = min(n_rows, j + step)
        with nogil:
            while j < stop:
                for i in range(k):
                    target[cursor[source[i]]] = <neuron_t>j
                    cursor[source[i]] += 1
                source += k
                j += 1
        PyErr_CheckSignals()
    rewind(cursor)
    return offsets, rows


def sort_by_source(const neuron_t[::1] sources, synapse_t n):
    """Sort edges by their source, keeping the order of those with the same source.

    Parameters
    ----------
    sources : ndarray of int32
        One per edge, in [0, n).
    n : int
        Number of sources.

    Returns
    -------
    offsets : ndarray of int64, shape (n + 1,)
    order : ndarray of int64, shape (n_edges,)
        Edge ``order[s]`` comes at place s.

    Notes
    -----
    O(n + n_edges), a counting sort.
    """
    cdef synapse_t n_edges = sources.shape[0], s = 0, stop
    offsets = np.zeros(n + 1, dtype=np.int64)
    order = np.empty(n_edges, dtype=np.int64)
    cdef synapse_t[::1] cursor = offsets, place = order
    count_ids(sources, cursor)
    while s < n_edges:
        stop = min(n_edges, s + BLOCK)
        with nogil:
            while s < stop:
                place[cursor[sources[s]]] = s
                cursor[sources[s]] += 1
                s += 1
        PyErr_CheckSignals()
    rewind(cursor)
    return offsets, order


cdef object count_ids(const neuron_t[::1] ids, synapse_t[::1] offsets):
    """Where each id begins in a sorted list; `offsets` comes filled with zeros."""
    cdef synapse_t n_ids = ids.shape[0], s = 0, stop
    while s < n_ids:
        stop = min(n_ids, s + BLOCK)
        with nogil:
            while s < stop:
                offsets[ids[s] + 1] += 1
                s += 1
        PyErr_CheckSignals()
    with nogil:
        for s in range(1, offsets.shape[0]):
            offsets[s] += offsets[s - 1]


cdef object rewind(synapse_t[::1] cursor):
    """Back from where each id ends, which is where the next one begins, to where it begins."""
    memmove(&cursor[0] + 1, &cursor[0], (cursor.shape[0] - 1) * sizeof(synapse_t))
    cursor[0] = 0


def audit(const synapse_t[::1] offsets, const neuron_t[::1] targets, synapse_t n_post, bint same_population):
    """Count the autapses and the repeated edges, and find the first of each.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_pre + 1,)
    targets : ndarray of int32
        Row by row, in [0, n_post), in any order.
    n_post : int
        Number of targets.
    same_population : bool
        Whether source i and target i are the same neuron.

    Returns
    -------
    n_autapses, first_autapse, n_multapses, first_multapse : int
        The first is a place in `targets`, -1 if there is none. Of edges between the same two neurons all but
        one are counted; the first is the first that repeats another.

    Raises
    ------
    MemoryError

    Notes
    -----
    O(n_post + number of edges).
    """
    cdef synapse_t n_pre = offsets.shape[0] - 1, j = 0, s, budget
    cdef synapse_t n_autapses = 0, n_multapses = 0, first_autapse = -1, first_multapse = -1
    seen = np.full(n_post, -1, dtype=np.int32)
    # The last row in which each target was.
    cdef neuron_t *last = neurons_of(seen)
    while j < n_pre:
        budget = BLOCK
        with nogil:
            while j < n_pre and budget > 0:
                for s in range(offsets[j], offsets[j + 1]):
                    if last[targets[s]] == j:
                        n_multapses += 1
                        if first_multapse < 0:
                            first_multapse = s
                    last[targets[s]] = <neuron_t>j
                    if same_population and targets[s] == j:
                        n_autapses += 1
                        if first_autapse < 0:
                            first_autapse = s
                budget -= offsets[j + 1] - offsets[j] + 1
                j += 1
        PyErr_CheckSignals()
    return n_autapses, first_autapse, n_multapses, first_multapse


def synapse_values(const uint64_t[::1] key, uint64_t purpose, uint64_t projection, const synapse_t[::1] offsets,
                   str kind, double a, double b, double low, double high):
    """One random number per synapse.

    Parameters
    ----------
    key : ndarray of uint64, shape (2,)
    purpose, projection : int
    offsets : ndarray of int64, shape (n_rows + 1,)
        Synapses of row j are from ``offsets[j]`` to ``offsets[j + 1]``.
    kind : {"uniform", "normal", "lognormal"}
    a, b : float
        Bounds of the uniform distribution; mean and standard deviation of the normal one, or of the logarithm.
    low, high : float
        Numbers outside are drawn again. Refusing bounds that would never be met is up to the caller.

    Returns
    -------
    ndarray of float64, shape (n_synapses,)
        Those of a row depend on (key, purpose, projection, row, length of the row) only.

    Notes
    -----
    Normal numbers by the transformation of Box and Muller (1958), doi 10.1214/aoms/1177706645.
    """
    cdef uint64_t[2] k
    cdef philox_stream stream
    cdef synapse_t row, at
    cdef double radius, value
    cdef bint normal = kind != "uniform"
    cdef bint exponential = kind == "lognormal"
    checked_key(key, k)
    values = np.empty(offsets[offsets.shape[0] - 1], dtype=np.float64)
    cdef double[::1] out = values
    for row in range(offsets.shape[0] - 1):
        philox_open(&stream, k, row, projection, purpose)
        for at in range(offsets[row], offsets[row + 1]):
            while True:
                if normal:
                    radius = sqrt(-2.0 * log(unit_open(philox_word(&stream))))
                    value = a + b * radius * cos(6.283185307179586 * unit_closed_open(philox_word(&stream)))
                    if exponential:
                        value = exp(value)
                else:
                    value = a + (b - a) * unit_closed_open(philox_word(&stream))
                if low <= value <= high:
                    break
            out[at] = value
        if row & 0xFFF == 0:
            PyErr_CheckSignals()
    return values


def poisson_events(const uint64_t[::1] key, uint64_t purpose, uint64_t index, neuron_t n, double interval,
                   const double[::1] means, times, fractions, int64_t k):
    """The events of `n` independent Poisson processes in one interval; see ``_poisson.pxd``.

    Parameters
    ----------
    key : ndarray of uint64, shape (2,)
    purpose, index : int
    n : int
    interval : float
        Its length in ms.
    means : ndarray, shape (1,) or (n,)
        Expected number of events at the highest rate.
    times, fractions : ndarray or None
        Shapes (T,), and (T, 1) or (T, n): from times[j] on the rate is that fraction of the highest one.
    k : int
        Number of the interval.

    Returns
    -------
    offsets : ndarray of float64
        Times in ms since the interval began, ascending.
    neurons : ndarray of int32
    """
    cdef Poisson p
    cdef bint found
    cdef uint64_t[2] words
    cdef const double[::1] starts
    cdef const double[:, ::1] parts
    checked_key(key, words)
    if means.shape[0] not in (1, n) or k < 0 or k >> INTERVAL_BITS:
        raise ValueError(f"{means.shape[0]} means for {n} neurons in interval {k}")
    memset(&p, 0, sizeof(Poisson))
    p.key[0], p.key[1] = words[0], words[1]
    p.purpose, p.index, p.n, p.interval = purpose, index, n, interval
    p.begin, p.end = 0, n
    p.means, p.mean_each = &means[0], means.shape[0] > 1
    if times is not None:
        starts, parts = times, fractions
        p.times, p.fractions, p.n_times, p.fraction_each = &starts[0], &parts[0, 0], len(times), parts.shape[1] > 1
    with nogil:
        found = poisson_fill(&p, k)
    if not found:
        poisson_free(&p)
        raise MemoryError("not enough memory for the events of a Poisson input")
    offsets, neurons = np.empty(p.n_events, np.float64), np.empty(p.n_events, np.int32)
    cdef double[::1] o = offsets
    cdef neuron_t[::1] i = neurons
    cdef synapse_t j
    for j in range(p.n_events):
        o[j] = p.events[j].offset
        i[j] = p.events[j].neuron
    poisson_free(&p)
    return offsets, neurons
