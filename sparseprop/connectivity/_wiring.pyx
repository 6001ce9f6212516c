"""Drawing and sorting of connections, compiled: the loops over synapses behind `sparseprop.connectivity`.

Arguments are checked there; here are only the checks without which memory would be at risk. Every function
works with the GIL released. What is drawn for a row depends on nothing but the row, so rows are shared out to all cores
in blocks (`share_out`, which lets Ctrl-C in between); what goes through all synapses one after the other does so on
one core, and looks for Ctrl-C itself.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport sqrt
from libc.stdint cimport INT32_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from sparseprop.connectivity._poisson cimport (
    INTERVAL_BITS, Drawing, Poisson, drawing_free, event_neuron, event_offset, poisson_fill, poisson_free,
    poisson_prepare,
)
from sparseprop.connectivity._rows cimport draw_bernoulli_row, draw_row, table_size
from sparseprop.numerics._elementary cimport cos, exp, log, log1p
from sparseprop.numerics._philox cimport (
    philox4x64, philox_below, philox_open, philox_stream, philox_word, unit_closed_open, unit_open,
)
from sparseprop.numerics._typedefs cimport neuron_t, synapse_t

import functools
import math
import threading

import numpy as np

from .._machine import cores, share_out

MAX_INTERVALS = <int64_t> 1 << INTERVAL_BITS  # of a Poisson process

# Synapses (or rows, if they are empty) that one core does at a time: some milliseconds, so that threads are worth
# their start where there is a second block. A longer row is not interrupted.
PIECE = 1 << 18

# Synapses between two looks for Ctrl-C of what is not shared out: some tens of milliseconds.
cdef synapse_t BLOCK = 1 << 21

# Length of the runs that are sorted by insertion before they are merged.
cdef enum:
    RUN = 8


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


def row_blocks(offsets):
    """Rows in blocks of about PIECE synapses, or rows: the first and the end of each."""
    cdef synapse_t first = 0, stop, n_rows = offsets.shape[0] - 1
    blocks = []
    while first < n_rows:
        stop = np.searchsorted(offsets, offsets[first] + PIECE)
        stop = min(max(stop, first + 1), first + <synapse_t>PIECE, n_rows)
        blocks.append((first, stop))
        first = stop
    return blocks


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
    cdef synapse_t n_rows = offsets.shape[0] - 1, j = 0, k = 0
    cdef synapse_t available = max(n - skip_self, 0)
    cdef synapse_t longest = INT32_MAX if with_replacement and available else available
    cdef bint impossible = False
    cdef uint64_t[2] words
    checked_key(key, words)
    with nogil:
        for j in range(n_rows):
            k = offsets[j + 1] - offsets[j]
            if k < 0 or k > longest:
                impossible = True
                break
    if impossible:
        raise ValueError(f"row {j} cannot have {k} of {available} ids")
    ids = np.empty(offsets[n_rows], dtype=np.int32)
    work = functools.partial(
        _draw_rows, ids, key, purpose, projection, offsets, available, skip_self, with_replacement, first
    )
    share_out(work, row_blocks(offsets.base))
    return ids


def _draw_rows(neuron_t[::1] ids, const uint64_t[::1] key, uint64_t purpose, uint64_t projection,
               const synapse_t[::1] offsets, synapse_t available, bint skip_self, bint with_replacement,
               synapse_t first, synapse_t begin, synapse_t end):
    """Draw the rows from `begin` up to `end`, with a table of their own."""
    cdef synapse_t j, k, scratch = 0
    cdef uint64_t[2] words
    cdef philox_stream stream
    cdef neuron_t *row = neurons_of(ids)
    cdef uint32_t *table
    checked_key(key, words)
    with nogil:
        for j in range(begin, end):
            k = offsets[j + 1] - offsets[j]
            if k:
                scratch = max(scratch, table_size(k, available, with_replacement))
        table = <uint32_t *>malloc((scratch + 1) * sizeof(uint32_t))
        if table != NULL:
            memset(table, 0xFF, scratch * sizeof(uint32_t))
            for j in range(begin, end):
                philox_open(&stream, words, <uint64_t>(first + j), projection, purpose)
                draw_row(row + offsets[j], offsets[j + 1] - offsets[j], available,
                         first + j if skip_self else available, with_replacement, &stream, table)
            free(table)
    if table == NULL:
        raise MemoryError(f"no memory for a scratch table of {scratch} entries")


def draw_bernoulli(const uint64_t[::1] key, uint64_t purpose, uint64_t projection, synapse_t n_rows,
                   synapse_t n, double p, bint skip_self, synapse_t capacity, synapse_t number=0):
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
    number : int
        Of the first row.

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
    cdef uint64_t[2] words
    checked_key(key, words)
    drawn = _InOrder(n_rows, capacity)
    work = functools.partial(_draw_bernoulli, drawn, key, purpose, projection, n, p, skip_self, number)
    step = min(int(PIECE / (p * n + 1.0)) + 1, PIECE)
    share_out(work, [(first, min(first + step, n_rows)) for first in range(0, n_rows, step)])
    drawn.ids.resize(drawn.found, refcheck=False)
    return drawn.offsets, drawn.ids


class _InOrder:
    """Rows whose length nobody knows before they are drawn; blocks wait here until those before them are in place."""

    def __init__(self, n_rows, capacity):
        self.offsets = np.zeros(n_rows + 1, dtype=np.int64)
        self.ids = np.empty(capacity, dtype=np.int32)
        self.found = self.next = 0
        self.waiting = {}
        self.lock = threading.Lock()

    def room(self, begin, end):
        """For how many ids a block should have room: seldom too little."""
        share = self.ids.shape[0] * (end - begin) / (self.offsets.shape[0] - 1)
        return int(share + 4.0 * math.sqrt(share)) + 16

    def put(self, begin, end, ids):
        """The rows from `begin` up to `end`, whose ends within `ids` are in `offsets`."""
        with self.lock:
            self.waiting[begin] = end, ids
            while self.next in self.waiting:
                begin = self.next
                self.next, ids = self.waiting.pop(begin)
                stop = self.found + ids.shape[0]
                if stop > self.ids.shape[0]:
                    self.ids.resize(stop + (stop >> 3) + 1024, refcheck=False)
                self.ids[self.found : stop] = ids
                self.offsets[begin + 1 : self.next + 1] += self.found
                self.found = stop


def _draw_bernoulli(drawn, const uint64_t[::1] key, uint64_t purpose, uint64_t projection, synapse_t n, double p,
                    bint skip_self, synapse_t number, synapse_t begin, synapse_t end):
    """Draw the rows from `begin` up to `end`, and put them where they belong."""
    cdef synapse_t j = begin, found = 0, count = 0, capacity = drawn.room(begin, end)
    cdef synapse_t available = n - skip_self
    cdef double log_miss = log1p(-p)
    cdef uint64_t[2] words
    cdef philox_stream stream
    cdef synapse_t[::1] ends = drawn.offsets
    cdef neuron_t *row
    checked_key(key, words)
    ids = np.empty(capacity, dtype=np.int32)
    while j < end:
        row = neurons_of(ids)
        with nogil:
            while j < end:
                philox_open(&stream, words, <uint64_t>(number + j), projection, purpose)
                count = draw_bernoulli_row(row + found, capacity - found, log_miss, available,
                                           number + j if skip_self else available, &stream)
                if count < 0:
                    break
                found += count
                j += 1
                ends[j] = found
        if count < 0:
            # The row is drawn again from its beginning, into more room.
            capacity += (capacity >> 3) + 1024
            ids.resize(capacity, refcheck=False)
    drawn.put(begin, end, ids[:found])


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
        Row by row, each in [0, n), ascending within each row.
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
    O(n + ids), a counting sort; each core does it for a range of ids, which is one piece of each row.
    """
    cdef synapse_t n_rows = ids.shape[0] // k
    offsets = np.zeros(n + 1, dtype=np.int64)
    rows = np.empty(ids.shape[0], dtype=np.int32)
    parts = 1 if ids.shape[0] <= PIECE else cores()
    step = n // parts + 1
    ranges = [(low, min(low + step, n)) for low in range(0, n, step)]
    # All cores turn the same rows at a time, because a row must come after those before it; Ctrl-C waits so long.
    together = 32 * PIECE // k + 1
    blocks = [(begin, min(begin + together, n_rows)) for begin in range(0, n_rows, together)]
    for block in blocks:
        share_out(functools.partial(_count_in, ids, k, offsets, *block), ranges)
    np.cumsum(offsets, out=offsets)
    for block in blocks:
        share_out(functools.partial(_turn, ids, k, offsets, rows, *block), ranges)
    rewind(offsets)
    return offsets, rows


cdef inline synapse_t first_from(const neuron_t *row, synapse_t k, synapse_t low, synapse_t n) noexcept nogil:
    """The first place in an ascending row of ids below `n` at which there is `low` or more; `k` if there is none."""
    cdef synapse_t at = 0, half
    if low == 0 or low == n:
        return k if low else 0
    while k > 0:
        half = (k + 1) >> 1
        at += half if row[at + half - 1] < low else 0
        k -= half
    return at


def _count_in(const neuron_t[::1] ids, synapse_t k, synapse_t[::1] counts, synapse_t begin, synapse_t end,
              synapse_t low, synapse_t high):
    """Add to ``counts[i + 1]`` how often each id i in [low, high) is in the rows from `begin` up to `end`."""
    cdef const neuron_t *row = const_neurons_of(ids)
    cdef synapse_t _j, i, n = counts.shape[0] - 1
    row += begin * k
    with nogil:
        for _j in range(begin, end):
            for i in range(first_from(row, k, low, n), first_from(row, k, high, n)):
                counts[row[i] + 1] += 1
            row += k


def _turn(const neuron_t[::1] ids, synapse_t k, synapse_t[::1] cursor, neuron_t[::1] rows, synapse_t begin,
          synapse_t end, synapse_t low, synapse_t high):
    """Put the rows from `begin` up to `end` where the cursor of each id in [low, high) is."""
    cdef const neuron_t *row = const_neurons_of(ids)
    cdef neuron_t *target = neurons_of(rows)
    cdef synapse_t j, i, n = cursor.shape[0] - 1
    row += begin * k
    with nogil:
        for j in range(begin, end):
            for i in range(first_from(row, k, low, n), first_from(row, k, high, n)):
                target[cursor[row[i]]] = <neuron_t>j
                cursor[row[i]] += 1
            row += k


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


def count_repeats(const synapse_t[::1] offsets, const neuron_t[::1] targets, bint same_population):
    """Count the autapses and the repeated edges where the targets of each row ascend.

    Parameters
    ----------
    offsets, targets, same_population
        As in :func:`audit`.

    Returns
    -------
    n_autapses, n_multapses : int
    """
    counts = []
    share_out(functools.partial(_count_repeats, counts, offsets, targets, same_population), row_blocks(offsets.base))
    return tuple(sum(column) for column in zip((0, 0), *counts, strict=True))


def _count_repeats(counts, const synapse_t[::1] offsets, const neuron_t[::1] targets, bint same_population,
                   synapse_t begin, synapse_t end):
    cdef synapse_t j, s, n_autapses = 0, n_multapses = 0
    with nogil:
        for j in range(begin, end):
            for s in range(offsets[j], offsets[j + 1]):
                n_autapses += same_population and targets[s] == j
                n_multapses += s > offsets[j] and targets[s] == targets[s - 1]
    counts.append((n_autapses, n_multapses))


def synapse_values(const uint64_t[::1] key, uint64_t purpose, uint64_t projection, const synapse_t[::1] offsets,
                   str kind, double a, double b, double low, double high, uint64_t first=0):
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
    first : int
        The number of the first row, of a part of all rows.

    Returns
    -------
    ndarray of float64, shape (n_synapses,)
        Those of a row depend on (key, purpose, projection, row, length of the row) only.

    Notes
    -----
    Normal numbers by the transformation of Box and Muller (1958), doi 10.1214/aoms/1177706645.
    """
    cdef uint64_t[2] k
    checked_key(key, k)
    values = np.empty(offsets[offsets.shape[0] - 1], dtype=np.float64)
    work = functools.partial(_synapse_values, values, key, purpose, projection, offsets, kind, a, b, low, high, first)
    share_out(work, row_blocks(offsets.base))
    return values


def _synapse_values(double[::1] out, const uint64_t[::1] key, uint64_t purpose, uint64_t projection,
                    const synapse_t[::1] offsets, str kind, double a, double b, double low, double high,
                    uint64_t first, synapse_t begin, synapse_t end):
    """The numbers of the rows from `begin` up to `end`."""
    cdef uint64_t[2] k
    cdef philox_stream stream
    cdef synapse_t row, at
    cdef double radius, value
    cdef bint normal = kind != "uniform"
    cdef bint exponential = kind == "lognormal"
    checked_key(key, k)
    with nogil:
        for row in range(begin, end):
            philox_open(&stream, k, first + row, projection, purpose)
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


def sort_rows(const synapse_t[::1] offsets, values, const neuron_t[::1] targets, bint by_all_cores=True):
    """Bring each row into the order of its values; those with equal ones stay in their order.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_rows + 1,)
    values : ndarray of float64, shape (n_synapses,), or Drawn
        No NaN. Those to be drawn are drawn a block of rows at a time.
    targets : ndarray of int32, shape (n_synapses,)
    by_all_cores : bool

    Returns
    -------
    targets : ndarray of int32, shape (n_synapses,)
    places : ndarray of int32, shape (n_synapses,)
        Where in its row each synapse was.
    values : ndarray of float64, shape (n_synapses,)

    Raises
    ------
    ValueError
        If there are not as many values as targets.
    MemoryError

    Notes
    -----
    O(n_synapses log(longest row)): a merge sort; scratch of 12 bytes per synapse of the longest row, for each core.
    """
    cdef synapse_t n = offsets[offsets.shape[0] - 1]
    if values.size != n or targets.shape[0] != n:
        raise ValueError(f"there are {values.size} values and {targets.shape[0]} targets for {n} synapses")
    new = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n)
    sort = functools.partial(_sort_rows, *new, offsets, values, targets)
    if by_all_cores:
        share_out(sort, row_blocks(offsets.base))
    else:
        sort(0, offsets.shape[0] - 1)
    return new


def _sort_rows(neuron_t[::1] new_targets, neuron_t[::1] new_places, double[::1] new_values,
               const synapse_t[::1] offsets, values, const neuron_t[::1] targets, synapse_t begin, synapse_t end):
    """Sort the rows from `begin` up to `end`, with scratch of their own."""
    cdef synapse_t j, s, n, longest = 0, before = offsets[begin]
    cdef double *scratch
    cdef const double[::1] given
    if before == offsets[end]:
        return
    given = rows_of(values, offsets, begin, end)
    with nogil:
        for j in range(begin, end):
            longest = max(longest, offsets[j + 1] - offsets[j])
        scratch = <double *>malloc(longest * (sizeof(double) + sizeof(neuron_t)))
        if scratch != NULL:
            for j in range(begin, end):
                s, n = offsets[j], offsets[j + 1] - offsets[j]
                if n:
                    sort_row(n, &given[s - before], &new_values[s], &new_places[s], scratch,
                             <neuron_t *>(scratch + longest))
            for j in range(begin, end):
                for s in range(offsets[j], offsets[j + 1]):
                    new_targets[s] = targets[offsets[j] + new_places[s]]
            free(scratch)
    if scratch == NULL:
        raise MemoryError(f"no memory to sort a row of {longest} synapses")


cdef void sort_row(synapse_t n, const double *given, double *values, neuron_t *places, double *other_values,
                   neuron_t *other_places) noexcept nogil:
    """Sort one row into `values` and `places`, with as much scratch."""
    cdef synapse_t width = RUN, first = 0, i, at
    cdef double value
    while width < n:
        # Each merge goes from one pair of arrays to the other; the last one must end in the right one.
        values, other_values = other_values, values
        places, other_places = other_places, places
        width *= 2
    for i in range(n):
        if i % RUN == 0:
            first = i
        value, at = given[i], i
        while at > first and values[at - 1] > value:
            values[at], places[at] = values[at - 1], places[at - 1]
            at -= 1
        values[at], places[at] = value, <neuron_t>i
    width = RUN
    while width < n:
        first = 0
        while first < n:
            merge(first, min(first + width, n), min(first + 2 * width, n), values, places, other_values, other_places)
            first += 2 * width
        values, other_values = other_values, values
        places, other_places = other_places, places
        width *= 2


cdef inline void merge(synapse_t a, synapse_t middle, synapse_t end, const double *values, const neuron_t *places,
                       double *new_values, neuron_t *new_places) noexcept nogil:
    """Merge the sorted pieces [a, middle) and [middle, end); of equal values the first piece's come first."""
    cdef synapse_t b = middle, at = a, source
    cdef bint second
    while a < middle and b < end:
        # Without a branch, which no processor could predict.
        second = values[b] < values[a]
        source = a + second * (b - a)
        new_values[at], new_places[at] = values[source], places[source]
        a += not second
        b += second
        at += 1
    if a < middle:
        memcpy(new_values + at, values + a, (middle - a) * sizeof(double))
        memcpy(new_places + at, places + a, (middle - a) * sizeof(neuron_t))
    else:
        memcpy(new_values + at, values + b, (end - b) * sizeof(double))
        memcpy(new_places + at, places + b, (end - b) * sizeof(neuron_t))


def rows_of(values, offsets, first, stop):
    """The values of the synapses of some rows, an array or Drawn."""
    return values[offsets[first] : offsets[stop]] if isinstance(values, np.ndarray) else values.rows(first, stop)


def take_places(const synapse_t[::1] offsets, const neuron_t[::1] places, values, double[::1] out):
    """Values of synapses, an array or Drawn, in the order of :func:`sort_rows`, into `out`.

    Raises
    ------
    ValueError
        If the arrays have different lengths.
    """
    if not places.shape[0] == values.size == out.shape[0] == offsets[offsets.shape[0] - 1]:
        raise ValueError(f"there are {values.size} values for {places.shape[0]} synapses")
    share_out(functools.partial(_take_places, offsets, places, values, out), row_blocks(offsets.base))


def _take_places(const synapse_t[::1] offsets, const neuron_t[::1] places, values, double[::1] out, synapse_t begin,
                 synapse_t end):
    cdef synapse_t j, s, before = offsets[begin]
    cdef const double[::1] given = rows_of(values, offsets, begin, end)
    with nogil:
        for j in range(begin, end):
            for s in range(offsets[j], offsets[j + 1]):
                out[s] = given[offsets[j] - before + places[s]]


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
    cdef Drawing d
    cdef bint found
    cdef uint64_t[2] words
    cdef const double[::1] starts
    cdef const double[:, ::1] parts
    checked_key(key, words)
    if means.shape[0] not in (1, n) or k < 0 or k >> INTERVAL_BITS:
        raise ValueError(f"{means.shape[0]} means for {n} neurons in interval {k}")
    memset(&p, 0, sizeof(Poisson))
    memset(&d, 0, sizeof(Drawing))
    p.n, p.interval = n, interval
    p.means, p.mean_each = &means[0], means.shape[0] > 1
    if times is not None:
        starts, parts = times, fractions
        p.times, p.fractions, p.n_times, p.fraction_each = &starts[0], &parts[0, 0], len(times), parts.shape[1] > 1
    with nogil:
        found = poisson_prepare(&p, words, purpose, index) and poisson_fill(&p, &d, k)
    drawing_free(&d)
    if not found:
        poisson_free(&p)
        raise MemoryError("not enough memory for the events of a Poisson input")
    offsets, neurons = np.empty(p.n_events, np.float64), np.empty(p.n_events, np.int32)
    cdef double[::1] o = offsets
    cdef neuron_t[::1] i = neurons
    cdef synapse_t j
    for j in range(p.n_events):
        o[j], i[j] = event_offset(&p, j), event_neuron(&p, j)
    poisson_free(&p)
    return offsets, neurons
