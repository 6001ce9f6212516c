"""What the ranks that share a network say to each other in the lookahead engine: a word after each slice.

All of them go through the same slices, and know all spikes, so that each decides alike when to stop. They speak through
the gather() of a :class:`sparseprop._ranks.Ranks`; what went wrong there is its `failure`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from sparseprop.engine._look cimport Look, Totals
from sparseprop.engine._slice cimport Spike, note_fault
from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t


cdef inline bint has_failed(Look *L, error) noexcept:
    (<object> L.ranks).failure = error
    L.failed = True
    return False


cdef inline bint swap_spikes(Look *L) noexcept with gil:
    """The spikes of the slice on all ranks, in no order, and what it came to; False if that failed."""
    cdef Totals *a = &L.totals
    cdef const Totals *other
    cdef const char *words
    cdef char *mine
    cdef count_t n = 0
    try:
        payload = PyBytes_FromStringAndSize(NULL, sizeof(Totals) + L.n_spikes * sizeof(Spike))
        mine = PyBytes_AS_STRING(payload)
        memcpy(mine, a, sizeof(Totals))
        if L.n_spikes:
            memcpy(mine + sizeof(Totals), L.spikes, L.n_spikes * sizeof(Spike))
        parts = (<object> L.ranks).gather(payload)
        memset(a, 0, sizeof(Totals))
        a.last = -1.0
        for part in parts:
            other = <const Totals *> PyBytes_AS_STRING(part)
            a.n_spikes += other.n_spikes
            a.n_synaptic_events += other.n_synaptic_events
            a.n_drive_events += other.n_drive_events
            a.n_close += other.n_close
            a.last, a.load = max(a.last, other.last), max(a.load, other.load)
            note_fault(&a.fault, &other.fault)
        if not grow(<void **> &L.spikes, &L.spikes_capacity, a.n_spikes, sizeof(Spike)):
            raise MemoryError("the engine ran out of memory for the spikes of other ranks")
        for part in parts:
            words = PyBytes_AS_STRING(part)
            other = <const Totals *> words
            if other.n_spikes:
                memcpy(L.spikes + n, words + sizeof(Totals), other.n_spikes * sizeof(Spike))
            n += other.n_spikes
        L.n_spikes = n
        return True
    except BaseException as error:
        return has_failed(L, error)


cdef inline bint all_are(Look *L, bint mine) noexcept with gil:
    """Whether something holds on all ranks; False, too, if they could not speak."""
    try:
        return all((<object> L.ranks).gather_objects(bool(mine)))
    except BaseException as error:
        return has_failed(L, error)


cdef inline Pair earliest(Look *L, Pair mine) noexcept with gil:
    """The earliest of a time that each rank has."""
    try:
        mine.n, mine.s = min((<object> L.ranks).gather_objects((mine.n, mine.s)))
    except BaseException as error:
        has_failed(L, error)
    return mine
