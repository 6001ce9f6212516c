"""Spikes on their way, and the events of inputs: when the next ones arrive."""

from libc.stdint cimport int64_t
from libc.string cimport memmove

from sparseprop.connectivity._poisson cimport event_offset, first_interval, poisson_fill, poisson_fill_unordered
from sparseprop.engine._agenda cimport CURSOR, LANE, agenda_pop, agenda_push, agenda_replace
from sparseprop.engine._state cimport (
    NO_MEMORY, RUNNING, Cursor, Flight, Lane, Population, Process, Projection, State, Status,
)
from sparseprop.numerics._frames cimport Pair, before, interval, never, not_after, plus
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t

# Spikes on their way ------------------------------------------------------------------------------------------------

cdef inline Pair lane_time(const State *e, const Lane *lane) noexcept nogil:
    """When the next spike of a lane arrives."""
    cdef const Population *p = &e.populations[lane.population]
    return plus(p.log[lane.next - p.log_start].emission, lane.delay, e.H)


cdef inline bint reaches_somebody(const State *e, const Lane *lane, neuron_t source) noexcept nogil:
    """Whether a source (local id) has synapses of a lane."""
    cdef const Projection *c
    cdef int64_t k
    for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
        c = &e.projections[k]
        if c.degree > 0 or (c.degree < 0 and c.offsets[source] < c.offsets[source + 1]):
            return True
    return False


cdef inline count_t following(const State *e, const Lane *lane, count_t number) noexcept nogil:
    """The first spike in the log, from this one on, that reaches somebody: the others are no instant."""
    cdef const Population *p = &e.populations[lane.population]
    while (lane.may_reach_nobody and number < p.log_start + p.log_size
            and not reaches_somebody(e, lane, p.log[number - p.log_start].source)):
        number += 1
    return number


cdef inline bint is_to_come(const State *e, const Lane *lanes, int64_t n_lanes, int64_t population,
                            count_t number) noexcept nogil:
    """Whether a spike in the log of a population is still to arrive somewhere by one of the lanes."""
    cdef const Population *p = &e.populations[population]
    cdef int64_t k
    for k in range(n_lanes):
        if (lanes[k].population == population and lanes[k].next <= number
                and reaches_somebody(e, &lanes[k], p.log[number - p.log_start].source)):
            return True
    return False


cdef inline void trim_log(State *e, Population *p) noexcept nogil:
    """Forget the spikes that all lanes have delivered."""
    cdef int64_t k
    cdef count_t done = p.log_start + p.log_size
    for k in range(p.first_lane, p.first_lane + p.n_lanes):
        done = min(done, e.lanes[k].next)
    done -= p.log_start
    if done > 0:
        memmove(p.log, p.log + done, (p.log_size - done) * sizeof(Flight))
    p.log_start += done
    p.log_size -= done


cdef inline Status send(State *e, Population *p, neuron_t source, Pair emission) noexcept nogil:
    """Put a spike on its way through all synapses with a delay."""
    cdef int64_t k
    cdef Lane *lane
    cdef Pair arrival
    cdef count_t number = p.log_start + p.log_size
    if p.n_lanes:
        if p.log_size == p.log_capacity:
            trim_log(e, p)
            # Where little was to be forgotten, so that this is rare.
            if not grow(<void **> &p.log, &p.log_capacity, 2 * p.log_size + 1, sizeof(Flight)):
                return NO_MEMORY
        p.log[p.log_size].emission = emission
        p.log[p.log_size].source = source
        p.log_size += 1
    else:
        p.log_start += 1
    for k in range(p.first_lane, p.first_lane + p.n_lanes):
        lane = &e.lanes[k]
        if lane.next != number:
            continue
        arrival = lane_time(e, lane)
        if following(e, lane, number) > number or (e.restoring and not_after(arrival, e.last)):
            lane.next += 1
        elif not agenda_push(&e.agenda, arrival, LANE, k):
            return NO_MEMORY
    for k in range(p.first_delayed, p.first_delayed + p.n_delayed):
        if not open_cursor(e, p, k, source, emission, number):
            return NO_MEMORY
    return RUNNING


cdef inline bint open_cursor(State *e, Population *p, int64_t projection, neuron_t source, Pair emission,
                             count_t number) noexcept nogil:
    """Begin the way of a spike through a row of synapses with a delay each; False if there is no memory."""
    cdef const Projection *c = &e.projections[projection]
    cdef Cursor *cursor
    cdef count_t k
    cdef synapse_t at = c.offsets[source], stop = c.offsets[source + 1]
    if e.restoring:
        while at < stop and not_after(plus(emission, c.delays[at], e.H), e.last):
            at += 1
    if at == stop:
        return True
    k = e.free_cursor
    if k < 0:
        k = e.n_cursors
        if not grow(<void **> &e.cursors, &e.cursors_capacity, k + 1, sizeof(Cursor)):
            return False
        e.n_cursors += 1
    else:
        e.free_cursor = e.cursors[k].next_free
    cursor = &e.cursors[k]
    cursor.emission = emission
    cursor.source = source
    cursor.population = p - e.populations
    cursor.projection = projection
    cursor.number = number
    cursor.at = at
    cursor.stop = stop
    return agenda_push(&e.agenda, plus(emission, c.delays[at], e.H), CURSOR, k)


cdef inline void agenda_move(State *e, Pair time) noexcept nogil:
    """The first entry's stream goes on at `time`, or has ended if that is `never`."""
    if time.n >= never().n:
        agenda_pop(&e.agenda)
    else:
        agenda_replace(&e.agenda, time)


cdef inline Pair pass_lane(State *e, Lane *lane) noexcept nogil:
    """Go on to the next spike of a lane; when that arrives."""
    cdef const Population *p = &e.populations[lane.population]
    lane.next = following(e, lane, lane.next + 1)
    return lane_time(e, lane) if lane.next < p.log_start + p.log_size else never()


cdef inline Pair pass_cursor(State *e, int64_t k) noexcept nogil:
    """Go on to the next synapse; when the spike arrives there."""
    cdef Cursor *cursor = &e.cursors[k]
    cursor.at += 1
    if cursor.at < cursor.stop:
        return plus(cursor.emission, e.projections[cursor.projection].delays[cursor.at], e.H)
    cursor.next_free = e.free_cursor
    cursor.population = -1
    e.free_cursor = k
    return never()


cdef inline Pair interval_start(const State *e, const Process *c, int64_t k) noexcept nogil:
    """The pair at which interval k of a Poisson input begins; lengths are powers of two, so it is exact."""
    cdef Pair start
    cdef int64_t ratio
    if k >= c.n_intervals:
        return never()
    start.s = 0.0
    if c.poisson.interval > e.H:
        start.n = k * <int64_t> (c.poisson.interval / e.H)
    else:
        ratio = <int64_t> (e.H / c.poisson.interval)
        start.n = k // ratio
        start.s = <double> (k - start.n * ratio) * c.poisson.interval
    return start


cdef inline Pair process_time(const State *e, const Process *c, count_t at) noexcept nogil:
    """When event `at` of the interval happens; behind the last one, the start of the next interval."""
    if at < c.poisson.n_events:
        return plus(c.start, event_offset(&c.poisson, at), e.H)
    return interval_start(e, c, first_interval(&c.poisson, c.poisson.k + 1))


cdef inline bint draw_interval(State *e, Process *c) noexcept nogil:
    """The events of the next interval; False if there is no memory."""
    return draw_before(e, c, NULL)


cdef inline bint draw_before(State *e, Process *c, const Pair *end) noexcept nogil:
    """The same, in any order if the interval ends by then; NULL: in the order of time."""
    cdef int64_t k = first_interval(&c.poisson, c.poisson.k + 1)
    c.start = interval_start(e, c, k)
    c.at = 0
    if end != NULL and not before(end[0], interval_start(e, c, k + 1)):
        return poisson_fill_unordered(&c.poisson, &e.drawing, k)
    return poisson_fill(&c.poisson, &e.drawing, k)
