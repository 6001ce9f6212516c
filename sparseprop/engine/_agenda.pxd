"""What is to happen at known times: a binary min-heap of (time, what) entries.

Spikes that are on their way, input spikes and events of drives; next spikes of neurons are in the queues. There is one
entry for each stream of such events (its next one), so the heap is small.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free

from sparseprop.numerics._frames cimport Pair, before
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t

cdef enum Kind:
    LANE        # spikes of a population with one delay
    CURSOR      # one spike on its way through synapses with a delay each
    TRAIN       # the given spikes of sources
    PROCESS     # a Poisson input
    OPENING     # in the pass back: a spike begins its way back through synapses with a delay each


cdef struct Item:
    Pair time
    Kind kind
    int64_t index


cdef struct Agenda:
    Item *items
    count_t size
    count_t capacity


cdef inline void agenda_free(Agenda *a) noexcept nogil:
    free(a.items)


cdef inline void agenda_replace(Agenda *a, Pair time) noexcept nogil:
    """Give the first entry another, later time."""
    cdef Item item = a.items[0]
    cdef count_t at = 0, child
    item.time = time
    while True:
        child = 2 * at + 1
        if child >= a.size:
            break
        if child + 1 < a.size and before(a.items[child + 1].time, a.items[child].time):
            child += 1
        if not before(a.items[child].time, time):
            break
        a.items[at] = a.items[child]
        at = child
    a.items[at] = item


cdef inline void agenda_pop(Agenda *a) noexcept nogil:
    """Remove the first entry."""
    a.size -= 1
    if a.size:
        a.items[0] = a.items[a.size]
        agenda_replace(a, a.items[0].time)


cdef inline bint agenda_push(Agenda *a, Pair time, Kind kind, int64_t index) noexcept nogil:
    """False if there is no memory."""
    cdef count_t at = a.size, parent
    if not grow(<void **> &a.items, &a.capacity, a.size + 1, sizeof(Item)):
        return False
    a.size += 1
    while at > 0:
        parent = (at - 1) // 2
        if not before(time, a.items[parent].time):
            break
        a.items[at] = a.items[parent]
        at = parent
    a.items[at].time = time
    a.items[at].kind = kind
    a.items[at].index = index
    return True


cdef inline bint agenda_has_two(const Agenda *a, Pair time) noexcept nogil:
    """Whether an entry besides the first one is not after `time`."""
    if a.size > 1 and not before(time, a.items[1].time):
        return True
    return a.size > 2 and not before(time, a.items[2].time)
