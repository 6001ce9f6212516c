"""The streams of spikes that arrive, going back: what they take from the tape, and when."""

from libc.stdint cimport int64_t

from sparseprop.engine._flights cimport reaches_somebody
from sparseprop.engine._pass cimport Pass, Return, Stream
from sparseprop.engine._state cimport Lane, Population, Projection
from sparseprop.engine._tape cimport EMITTED, PAST, SPIKE, Entry
from sparseprop.numerics._frames cimport Pair, before, never, plus
from sparseprop.numerics._typedefs cimport neuron_t


cdef inline Pair entry_time(const Entry *entry) noexcept nogil:
    cdef Pair t
    t.n = entry.n
    t.s = entry.s
    return t


cdef inline bint is_same(Pair a, Pair b) noexcept nogil:
    return a.n == b.n and a.s == b.s


cdef inline bint next_of_stream(Pass *b, Stream *stream) noexcept nogil:
    """Whether there is an entry of the stream's population at or before its place; goes there."""
    cdef const Population *p = &b.e.populations[stream.population]
    cdef const Entry *entry
    while stream.at >= 0:
        entry = &b.tape.entries[stream.at]
        if (entry.kind == SPIKE or entry.kind == EMITTED or entry.kind == PAST) and entry.neuron >= p.first \
                and entry.neuron - p.first < p.size:
            return True
        stream.at -= 1
    return False


cdef inline bint is_delivered(const Pass *b, Pair arrival, Pair emission) noexcept nogil:
    """Whether an arrival is one of the agenda, and took place while the tape was kept."""
    return not before(b.last, arrival) and before(b.last_before, arrival) and before(emission, arrival)


cdef inline Pair lane_time_back(Pass *b, int64_t lane) noexcept nogil:
    """When the latest spike of a lane that is left arrived; `never` if there is none."""
    cdef Stream *stream = &b.lanes[lane]
    cdef const Lane *along = &b.e.lanes[lane]
    cdef Pair emission, arrival
    cdef neuron_t first = b.e.populations[along.population].first
    while next_of_stream(b, stream):
        emission = entry_time(&b.tape.entries[stream.at])
        arrival = plus(emission, along.delay, b.e.H)
        if along.may_reach_nobody and not reaches_somebody(b.e, along, b.tape.entries[stream.at].neuron - first):
            stream.at -= 1
            continue
        if is_delivered(b, arrival, emission):
            return arrival
        if not before(b.last_before, arrival):
            break
        stream.at -= 1
    return never()


cdef inline Pair opening_time(Pass *b, int64_t projection) noexcept nogil:
    """From when on (going back) the next row of a projection with a delay each must be looked at; or `never`."""
    cdef Stream *stream = &b.openings[projection]
    cdef Pair latest
    if not next_of_stream(b, stream):
        return never()
    latest = plus(entry_time(&b.tape.entries[stream.at]), stream.delay, b.e.H)
    if not before(b.last_before, latest):
        return never()
    return latest if before(latest, b.last) else b.last


cdef inline Pair return_time(Pass *b, Return *r) noexcept nogil:
    """When the latest synapse that is left of a row was reached; `never` if there is none."""
    cdef const Projection *c = &b.e.projections[r.projection]
    cdef const Entry *entry = &b.tape.entries[r.entry]
    cdef Pair arrival
    while r.at >= r.begin:
        arrival = plus(entry_time(entry), c.delays[r.at], b.e.H)
        if is_delivered(b, arrival, entry_time(entry)):
            return arrival
        r.at -= 1
    return never()
