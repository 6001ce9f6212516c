# Neurons of a kind `Model`, each on its own through a slice of time: for the lookahead engine. Included by the unit of
# that kind, after _population.pxi. Within an instant everything is in the order of engine/_instant.pxd.

from sparseprop.engine._slice cimport Fault, Kick, Part, note_fault, sort_kicks
from sparseprop.engine._state cimport RUNAWAY, nowhere
from sparseprop.numerics._frames cimport never
from sparseprop.numerics._memory cimport grow
from sparseprop.engine._slice cimport Spike
from sparseprop.numerics._typedefs cimport count_t


cdef inline Pair soon(const State *e, const Window *q, const Population *p, neuron_t i) noexcept nogil:
    """When neuron i fires without input, if that may be before the edge; otherwise `never`."""
    if not p.oscillates or not fires_before_edge(e, q, p, i):
        return never()
    return next_spike(e, p, i)


cdef inline bint is_forced(const Part *w, neuron_t neuron) noexcept nogil:
    cdef count_t k
    for k in range(w.n_forced):
        if w.forced[k] == neuron:
            return True
    return False


cdef inline bint is_close_to_spike(const State *e, const Part *w, neuron_t neuron, Pair due,
                                   Pair fired) noexcept nogil:
    """Whether a neuron fires by itself within rounding of now, or has just fired in an earlier instant."""
    cdef count_t k
    if due.n < never().n and interval(e.now, due, e.H) <= e.tolerance:
        return True
    if fired.n >= 0:
        return interval(fired, e.now, e.H) <= e.tolerance
    for k in range(w.n_recent):
        if w.recent[k].neuron == neuron and interval(w.recent[k].time, e.now, e.H) <= e.tolerance:
            return True
    return False


cdef inline void fail(State *e, Part *w, Status kind, int64_t port, int64_t source, int64_t rank, int64_t place,
                      neuron_t neuron) noexcept nogil:
    cdef Fault fault
    fault.s = e.now.s
    fault.kind = kind
    fault.port, fault.source, fault.rank, fault.place = port, source, rank, place
    fault.neuron = neuron
    note_fault(&w.fault, &fault)


cdef inline Outcome take_arriving(State *e, Population *p, Part *w, const Model *m, neuron_t i, const Kick *kicks,
                                  int64_t n, bint close) noexcept nogil:
    """One kick for each port at which something arrives now; whether any DROVE it, or FAILED."""
    cdef Outcome outcome, most = DROPPED
    cdef int64_t port, k, first
    cdef double sum
    for port in range(ports_of(m)):
        first = -1
        sum = 0.0
        for k in range(n):
            if w.routes[kicks[k].route].port == port:
                sum = kicks[k].weight if first < 0 else sum + kicks[k].weight
                if first < 0:
                    first = k
        if first < 0:
            continue
        w.n_close += close
        outcome = give_kick(e, p, m, i, sum, port)
        if outcome == FAILED:
            fail(e, w, NUMERICAL, port, w.routes[kicks[first].route].source, w.routes[kicks[first].route].rank,
                 kicks[first].place, p.first + i)
            return FAILED
        most = max(most, outcome)
    return most


cdef inline Status advance_neuron(State *e, Window *q, Population *p, Part *w, neuron_t i, Kick *kicks,
                                  int64_t n) noexcept nogil:
    """Everything that happens at neuron i in the slice."""
    cdef const Model *m = row(p, i)
    cdef Pair due, fires, fired = nowhere()
    cdef int64_t k = 0, stop
    cdef bint forced = w.n_forced > 0 and is_forced(w, p.first + i)
    cdef Outcome outcome
    e.now = w.begin
    e.instant += 1
    due = soon(e, q, p, i)
    if n > 1:
        sort_kicks(kicks, n, w.scratch, w.routes)
    while True:
        fires = w.begin if forced or (w.changed and before(due, w.begin)) else due
        if k < n and not (fires.n == w.begin.n and fires.s < kicks[k].s):
            e.now.n = w.begin.n
            e.now.s = kicks[k].s
        elif before(fires, w.end):
            e.now = fires
        else:
            return RUNNING
        e.instant += 1
        stop = k
        while stop < n and kicks[stop].s <= e.now.s:
            stop += 1
        outcome = DROPPED
        if stop > k:
            outcome = take_arriving(e, p, w, m, i, kicks + k, stop - k,
                                    is_close_to_spike(e, w, p.first + i, due, fired))
            if outcome == FAILED:
                return RUNNING
            k = stop
            if outcome != DROPPED:
                due = soon(e, q, p, i)
        if outcome != DROVE and not forced and before(e.now, due):
            continue
        forced = False
        renew(e, p, m, i)
        if not grow(<void **> &w.spikes, &w.capacity, w.n_spikes + 1, sizeof(Spike)):
            return NO_MEMORY
        w.spikes[w.n_spikes].s = e.now.s
        w.spikes[w.n_spikes].neuron = p.first + i
        w.n_spikes += 1
        fired = e.now
        due = soon(e, q, p, i)
        if not before(e.now, due):
            fail(e, w, RUNAWAY, 0, p.first + i, 0, 0, p.first + i)
            return RUNNING


cdef Status advance(State *e, Window *q, Population *p, Part *w) noexcept nogil:
    """Some neurons through a slice; the first fault of one, which ends there, is noted in the part."""
    cdef neuron_t k
    cdef Status status
    for k in range(w.size):
        if w.starts[k + 1] == w.starts[k] and not p.oscillates and w.n_forced == 0:
            continue
        status = advance_neuron(e, q, p, w, w.first + k, w.kicks + w.starts[k], w.starts[k + 1] - w.starts[k])
        if status != RUNNING:
            return status
    return RUNNING


OPS.advance = advance
