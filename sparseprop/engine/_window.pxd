"""The candidates of a time window: a binary min-heap of (time, neuron) entries.

An entry's key is a lower bound of its neuron's next spike, to the engine's margin for rounding. It is a time in ms
since the window's first epoch; or, where the neurons of all populations share a frame, something of the state that is
in the same order and costs no logarithm: the growth E, or (for rotations) the tangent of the angle from the edge, at
which the neuron fires. Every neuron that fires before the window's edge has an entry; a neuron may have several, of
which the stale ones are found out at the top. In networks with a model whose next spikes are costly, `live` has the key
of the one entry that counts for each neuron.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t


cdef struct Candidate:
    double key
    neuron_t neuron


cdef struct Window:
    double *live           # by neuron: the key of its entry, infinite without one; NULL where there may be several
    Candidate *entries
    count_t size
    count_t capacity
    Pair edge              # all that fire before it are among the entries
    Pair scanned           # when all states were looked at
    int64_t first_epoch    # what keys count from
    double length          # ms, of the present window
    bint has_coordinates   # keys are not times, but E or the tangent of an angle
    int64_t oscillator     # a population with the shared frame
    bint rotates
    double scale           # of the shared frame
    double edge_key
    double timed_key       # the key whose time was asked for last, and that time in ms
    double timed
    double confirmed_key   # the entry whose next spike was asked for last, and that pair
    neuron_t confirmed
    Pair confirmed_time
    count_t work           # at the time of the last scan: spikes, kicks and looks at entries
    count_t looks          # at entries, since the start
    int64_t empty_scans    # in a row
    count_t kicks          # before the last scan, since the start
    bint nobody            # would fire without further kicks, at the last scan


cdef inline void window_free(Window *w) noexcept nogil:
    free(w.entries)
    free(w.live)


cdef inline void window_clear(Window *w, neuron_t n) noexcept nogil:
    """No entries of n neurons."""
    cdef neuron_t i
    w.size = 0
    for i in range(n if w.live != NULL else 0):
        w.live[i] = INFINITY


cdef inline double window_key(const Window *w, Pair t, double H) noexcept nogil:
    return <double> (t.n - w.first_epoch) * H + t.s


cdef inline void window_sift_down(Window *w, count_t at) noexcept nogil:
    cdef Candidate *entries = w.entries
    cdef Candidate entry = entries[at]
    cdef count_t size = w.size, child = 2 * at + 1
    while child + 1 < size:
        # Without a branch: which of two children is earlier, no processor can predict.
        child += entries[child + 1].key < entries[child].key
        if entries[child].key >= entry.key:
            entries[at] = entry
            return
        entries[at] = entries[child]
        at = child
        child = 2 * at + 1
    if child < size and entries[child].key < entry.key:
        entries[at] = entries[child]
        at = child
    entries[at] = entry


cdef inline bint window_append(Window *w, double key, neuron_t neuron) noexcept nogil:
    """Add an entry without ordering; False if there is no memory."""
    if not grow(<void **> &w.entries, &w.capacity, w.size + 1, sizeof(Candidate)):
        return False
    if w.live != NULL:
        w.live[neuron] = key
    w.entries[w.size].key = key
    w.entries[w.size].neuron = neuron
    w.size += 1
    return True


cdef inline void window_order(Window *w) noexcept nogil:
    """Establish the heap property from any order."""
    cdef count_t at
    for at in range(w.size // 2 - 1, -1, -1):
        window_sift_down(w, at)


cdef inline bint window_push(Window *w, double key, neuron_t neuron) noexcept nogil:
    cdef count_t at, parent
    if not window_append(w, key, neuron):
        return False
    at = w.size - 1
    while at > 0:
        parent = (at - 1) // 2
        if w.entries[parent].key <= key:
            break
        w.entries[at] = w.entries[parent]
        at = parent
    w.entries[at].key = key
    w.entries[at].neuron = neuron
    return True


cdef inline void window_pop(Window *w) noexcept nogil:
    """Remove the earliest entry."""
    w.size -= 1
    if w.size:
        w.entries[0] = w.entries[w.size]
        window_sift_down(w, 0)


cdef inline bint window_take(Window *w, const Candidate *entry) noexcept nogil:
    """Whether an entry that is about to be removed or moved is the one that counts; its neuron then has none."""
    if w.live == NULL:
        return True
    if w.live[entry.neuron] != entry.key:
        return False
    w.live[entry.neuron] = INFINITY
    return True


cdef inline bint window_is_ordered(const Window *w) noexcept nogil:
    """The audit of a debug build."""
    cdef count_t at
    for at in range(1, w.size):
        if w.entries[at].key < w.entries[(at - 1) // 2].key:
            return False
    return True
