"""Drawing one row: the targets of one source neuron, or the sources of one target neuron.

Used where rows are stored (_wiring.pyx), and meant for an engine that draws a row each time it is needed.

Rows come out in ascending order. The trick that gives distinctness and order at once, in O(k): the values are
uniform, so their own high bits are a good hash, and one that keeps the order. An open-addressing table with
that hash, whose clusters are kept sorted, is read off from left to right. A free slot holds UINT32_MAX, which
is greater than any value: ids are below 2^31.
"""

from libc.stdint cimport UINT32_MAX, uint32_t

from sparseprop.numerics._elementary cimport log
from sparseprop.numerics._philox cimport philox_below, philox_stream, philox_word, unit_open
from sparseprop.numerics._typedefs cimport neuron_t, synapse_t

cdef inline int table_shift(synapse_t n, synapse_t m) noexcept nogil:
    """How many low bits of a value below `n` to drop so that `m` values fill the table by 1/4 to 1/2."""
    cdef int shift = 0
    while ((n - 1) >> (shift + 1)) + 1 >= 2 * m:
        shift += 1
    return shift


cdef inline synapse_t table_size(synapse_t k, synapse_t n, bint with_replacement) noexcept nogil:
    """Slots that `draw_row` needs for these arguments; all must be free before and are free after it."""
    cdef synapse_t m = k
    if 2 * k > n:
        if with_replacement:
            return n
        m = n - k
    if m == 0:
        return 0
    # A cluster may run over the end, by at most the number of values.
    return ((n - 1) >> table_shift(n, m)) + 1 + m


cdef inline bint table_insert(uint32_t *table, int shift, uint32_t value, bint repeat) noexcept nogil:
    """Insert `value`; with `repeat` once more if it is there already, else report False."""
    cdef uint32_t *slot = table + (value >> shift)
    cdef uint32_t moved
    while slot[0] < value:
        slot += 1
    if slot[0] == value and not repeat:
        return False
    while slot[0] != UINT32_MAX:
        moved = slot[0]
        slot[0] = value
        value = moved
        slot += 1
    slot[0] = value
    return True


cdef inline void draw_row(neuron_t *row, synapse_t k, synapse_t n, synapse_t skip, bint with_replacement,
                          philox_stream *stream, uint32_t *table) noexcept nogil:
    """Draw `k` of `n` ids, uniformly, into `row`, in ascending order.

    Parameters
    ----------
    row : out, k ids
    k : 0 <= k <= n, or any k >= 0 with replacement if n >= 1
    n : number of ids to choose from, below 2^31
    skip : the id left out, with the ids from there on moved up by one; `n` if none is left out
    table : scratch of `table_size(k, n, with_replacement)` slots

    Notes
    -----
    O(k), whatever n is: above n / 2 the ids that are *not* in the row are drawn (with replacement: how often
    each id is in it).
    """
    cdef synapse_t found = 0, drawn = 0, m, value, excluded
    cdef uint32_t *slot = table
    cdef int shift
    if k == 0:
        return
    if 2 * k <= n:
        shift = table_shift(n, k)
        while drawn < k:
            drawn += table_insert(table, shift, philox_below(stream, <uint32_t>n), with_replacement)
        while found < k:
            # Without a branch: half of the slots are free, which no processor can predict.
            row[found] = <neuron_t>(slot[0] + (slot[0] >= <uint32_t>skip))
            found += slot[0] != UINT32_MAX
            slot[0] = UINT32_MAX
            slot += 1
    elif with_replacement:
        while drawn < k:
            table[philox_below(stream, <uint32_t>n)] += 1      # UINT32_MAX + 1 == 0
            drawn += 1
        for value in range(n):
            while table[value] != UINT32_MAX:
                table[value] -= 1
                row[found] = <neuron_t>(value + (value >= skip))
                found += 1
    else:
        m = n - k
        value = 0
        if m > 0:
            shift = table_shift(n, m)
            while drawn < m:
                drawn += table_insert(table, shift, philox_below(stream, <uint32_t>n), False)
            while m > 0:
                if slot[0] != UINT32_MAX:
                    excluded = slot[0]
                    slot[0] = UINT32_MAX
                    m -= 1
                    while value < excluded:
                        row[found] = <neuron_t>(value + (value >= skip))
                        found += 1
                        value += 1
                    value += 1
                slot += 1
        while value < n:
            row[found] = <neuron_t>(value + (value >= skip))
            found += 1
            value += 1


cdef inline synapse_t draw_bernoulli_row(neuron_t *row, synapse_t room, double log_miss, synapse_t n,
                                         synapse_t skip, philox_stream *stream) noexcept nogil:
    """Take each of `n` ids with probability p, into `row`, in ascending order; return how many.

    Parameters
    ----------
    row : out, up to `room` ids
    log_miss : log(1 - p), for 0 < p < 1
    n, skip : as in `draw_row`

    Returns
    -------
    The number of ids, or -1 if there are more than `room`.

    Notes
    -----
    The number of misses before the next hit is geometric: floor(log(U) / log(1 - p)). It is compared as a
    double, because for small p it may be greater than any integer. O(hits).
    """
    cdef synapse_t found = 0, value = 0
    cdef double misses
    while True:
        misses = log(unit_open(philox_word(stream))) / log_miss
        if misses >= <double>(n - value):
            return found
        value += <synapse_t>misses
        if found == room:
            return -1
        row[found] = <neuron_t>(value + (value >= skip))
        found += 1
        value += 1
