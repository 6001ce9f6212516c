"""An indexed binary min-heap of neurons keyed by engine time; every neuron is always in it.

Ties in time may come out in any order: the event loop collects all that are due and sorts them.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free

from sparseprop.numerics._frames cimport Pair, before
from sparseprop.numerics._memory cimport allocate
from sparseprop.numerics._typedefs cimport neuron_t


cdef struct Entry:
    int64_t n
    double s
    neuron_t neuron

cdef struct Heap:
    Entry *entries
    neuron_t *position     # of each neuron
    neuron_t size


cdef inline bint heap_create(Heap *h, neuron_t size) noexcept nogil:
    """Allocate; False if there is not enough memory. Keys are set by the caller, who then calls heap_order."""
    cdef neuron_t i
    h.size = size
    h.entries = <Entry *> allocate(size, sizeof(Entry))
    h.position = <neuron_t *> allocate(size, sizeof(neuron_t))
    if h.entries == NULL or h.position == NULL:
        return False
    for i in range(size):
        h.entries[i].neuron = i
        h.position[i] = i
    return True


cdef inline void heap_free(Heap *h) noexcept nogil:
    free(h.entries)
    free(h.position)


cdef inline bint earlier(const Entry *a, const Entry *b) noexcept nogil:
    return a.n < b.n or (a.n == b.n and a.s < b.s)


cdef inline void put(Heap *h, neuron_t at, Entry entry) noexcept nogil:
    h.entries[at] = entry
    h.position[entry.neuron] = at


cdef inline void sift_down(Heap *h, neuron_t at) noexcept nogil:
    cdef Entry entry = h.entries[at]
    cdef int64_t child
    while True:
        child = 2 * <int64_t> at + 1
        if child >= h.size:
            break
        if child + 1 < h.size and earlier(&h.entries[child + 1], &h.entries[child]):
            child += 1
        if not earlier(&h.entries[child], &entry):
            break
        put(h, at, h.entries[child])
        at = <neuron_t> child
    put(h, at, entry)


cdef inline void sift_up(Heap *h, neuron_t at) noexcept nogil:
    cdef Entry entry = h.entries[at]
    cdef neuron_t parent
    while at > 0:
        parent = (at - 1) // 2
        if not earlier(&entry, &h.entries[parent]):
            break
        put(h, at, h.entries[parent])
        at = parent
    put(h, at, entry)


cdef inline void heap_order(Heap *h) noexcept nogil:
    """Establish the heap property from any order, O(N)."""
    cdef neuron_t at
    for at in range(h.size // 2 - 1, -1, -1):
        sift_down(h, at)


cdef inline void heap_move(Heap *h, neuron_t neuron, Pair key) noexcept nogil:
    """Give `neuron` a new key, O(log N)."""
    cdef neuron_t at = h.position[neuron]
    cdef Entry *entry = &h.entries[at]
    cdef bint sooner = key.n < entry.n or (key.n == entry.n and key.s < entry.s)
    entry.n = key.n
    entry.s = key.s
    if sooner:
        sift_up(h, at)
    else:
        sift_down(h, at)


cdef inline Pair heap_key(const Heap *h, neuron_t at) noexcept nogil:
    cdef Pair key
    key.n = h.entries[at].n
    key.s = h.entries[at].s
    return key


cdef inline bint heap_is_ordered(const Heap *h) noexcept nogil:
    """The audit of a debug build: heap property, positions, and no NaN among the keys. O(N)."""
    cdef neuron_t at
    for at in range(h.size):
        if h.position[h.entries[at].neuron] != at or h.entries[at].s != h.entries[at].s:
            return False
        if at > 0 and before(heap_key(h, at), heap_key(h, (at - 1) // 2)):
            return False
    return True
