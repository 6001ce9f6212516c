"""What is on its way in the lookahead engine: spikes of neurons and sources, and the rows by which they arrive."""

from libc.math cimport INFINITY, nextafter
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport qsort
from libc.string cimport memmove

from sparseprop.connectivity._poisson cimport event_neuron
from sparseprop.engine._delivery cimport find_row, train_time
from sparseprop.engine._flights cimport draw_interval, process_time
from sparseprop.engine._look cimport Flights, Flying, Look, Way
from sparseprop.engine._pull cimport fly, is_flying, next_arrival
from sparseprop.engine._queueing cimport first_spike
from sparseprop.engine._slice cimport Route, Spike
from sparseprop.engine._state cimport (
    Cursor, Flight, Lane, Population, Process, Projection, State, Train, nowhere, population_of,
)
from sparseprop.numerics._frames cimport Pair, before, never, not_after, plus
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t

# Spikes on their way ------------------------------------------------------------------------------------------------

cdef inline count_t log_end(const Population *p) noexcept nogil:
    return p.log_start + p.log_size


cdef inline void trim(Look *L, int64_t population) noexcept nogil:
    """Forget the spikes that all lanes of a population have delivered."""
    cdef Population *p = &L.e.populations[population]
    cdef count_t done = log_end(p)
    cdef int64_t k
    for k in range(L.n_lanes):
        if L.lanes[k].population == population:
            done = min(done, L.lanes[k].next)
    done -= p.log_start
    if done > 0:
        memmove(p.log, p.log + done, (p.log_size - done) * sizeof(Flight))
    p.log_start += done
    p.log_size -= done


cdef inline bint send_off(Look *L, neuron_t neuron, Pair emission, Pair over) noexcept nogil:
    """Put a spike (of a global id) on its way; what arrives by `over` is left out. False if there is no memory."""
    cdef State *e = L.e
    cdef int64_t k, number = population_of(e, neuron)
    cdef Population *p = &e.populations[number]
    cdef neuron_t source = neuron - p.origin
    cdef const Projection *c
    cdef Cursor *cursor
    cdef synapse_t at, stop
    if p.log_size == p.log_capacity and not grow(<void **> &p.log, &p.log_capacity, p.log_size + 1, sizeof(Flight)):
        return False
    p.log[p.log_size].emission = emission
    p.log[p.log_size].source = source
    p.log_size += 1
    for k in range(p.first_delayed, p.first_delayed + p.n_delayed):
        c = &e.projections[k]
        if L.rows[k] != NULL:
            if not fly(L, k, number, source, emission, log_end(p) - 1):
                return False
            continue
        at, stop = c.offsets[source], c.offsets[source + 1]
        while at < stop and not_after(plus(emission, c.delays[at], e.H), over):
            at += 1
        if at == stop:
            continue
        if not grow(<void **> &L.cursors, &L.cursors_capacity, L.n_cursors + 1, sizeof(Cursor)):
            return False
        cursor = &L.cursors[L.n_cursors]
        L.n_cursors += 1
        cursor.emission, cursor.source, cursor.population = emission, source, number
        cursor.projection, cursor.number = k, log_end(p) - 1
        cursor.at, cursor.stop = at, stop
    return True


cdef inline Pair lane_time(const Look *L, const Lane *lane, count_t number) noexcept nogil:
    """When a spike of the log arrives along a lane."""
    cdef const Population *p = &L.e.populations[lane.population]
    return plus(p.log[number - p.log_start].emission, lane.delay, L.e.H)


cdef inline Pair just_after(Pair t, double H) noexcept nogil:
    """The next pair there is."""
    t.s = nextafter(t.s, INFINITY)
    if not (t.s < H):
        t.n += 1
        t.s = 0.0
    return t


cdef inline void pass_by(const Look *L, Lane *lane, Pair stop) noexcept nogil:
    """Leave out what arrives along a lane before `stop`."""
    while lane.next < log_end(&L.e.populations[lane.population]) and before(lane_time(L, lane, lane.next), stop):
        lane.next += 1


cdef inline int compare_spikes(const void *a, const void *b) noexcept nogil:
    cdef const Spike *x = <const Spike *> a
    cdef const Spike *y = <const Spike *> b
    if x.s != y.s:
        return 1 if x.s > y.s else -1
    return (x.neuron > y.neuron) - (x.neuron < y.neuron)


cdef inline bint emit(Look *L, double s, neuron_t neuron) noexcept nogil:
    if not grow(<void **> &L.emitted, &L.emitted_capacity, L.n_emitted + 1, sizeof(Spike)):
        return False
    L.emitted[L.n_emitted].s, L.emitted[L.n_emitted].neuron = s, neuron
    L.n_emitted += 1
    return True


cdef inline bint is_sorted(const Spike *spikes, count_t n) noexcept nogil:
    cdef count_t k
    for k in range(1, n):
        if compare_spikes(&spikes[k - 1], &spikes[k]) > 0:
            return False
    return True


cdef inline bint take_sources(Look *L) noexcept nogil:
    """The spikes of sources in the slice, in order and on their way; False if there is no memory."""
    cdef State *e = L.e
    cdef int64_t k
    cdef Train *train
    cdef Process *c
    cdef Pair time
    L.n_emitted = 0
    for k in range(2):
        train = &e.trains[k]
        while True:
            time = train_time(e, train)
            if not before(time, L.end):
                break
            if not emit(L, max(time.s, L.begin.s) if time.n == L.begin.n else L.begin.s,
                        <neuron_t> train.ids[train.at]):
                return False
            train.at += 1
    for k in range(e.n_processes):
        c = &e.processes[k]
        if not c.is_source:
            continue
        while True:
            time = process_time(e, c, c.at)
            if not before(time, L.end):
                break
            if c.at == c.poisson.n_events:
                if not draw_interval(e, c):
                    return False
                continue
            if not emit(L, time.s, e.populations[c.population].first + event_neuron(&c.poisson, c.at)):
                return False
            c.at += 1
    if not is_sorted(L.emitted, L.n_emitted):  # where they are of several inputs
        qsort(L.emitted, L.n_emitted, sizeof(Spike), compare_spikes)
    time.n = L.begin.n
    for k in range(L.n_emitted):
        time.s = L.emitted[k].s
        if not send_off(L, L.emitted[k].neuron, time, nowhere()):
            return False
    return True


cdef inline Way *add_way(Look *L, int64_t projection, int64_t population, neuron_t source,
                         Pair emission) noexcept nogil:
    """A row along which something arrives in the slice, with a route; NULL if there is no memory."""
    cdef const State *e = L.e
    cdef bint pulled = L.cuts[projection] != NULL
    cdef Way *way
    if not grow(<void **> &L.routes, &L.routes_capacity, L.n_routes + 1, sizeof(Route)):
        return NULL
    if pulled:
        if not grow(<void **> &L.pulled, &L.pulled_capacity, L.n_pulled + 1, sizeof(Way)):
            return NULL
        way = &L.pulled[L.n_pulled]
        L.n_pulled += 1
    else:
        if not grow(<void **> &L.ways, &L.ways_capacity, L.n_ways + 1, sizeof(Way)):
            return NULL
        way = &L.ways[L.n_ways]
        L.n_ways += 1
    way.projection, way.source, way.number = projection, source, <uint32_t> L.n_routes
    way.route.source = e.populations[population].origin + source
    way.route.rank, way.route.port = e.projections[projection].rank, e.projections[projection].port
    way.route.emission, way.route.weight = emission, e.projections[projection].weight
    way.route.kind = L.kind[projection]
    L.routes[L.n_routes] = way.route
    L.n_routes += 1
    return way


cdef inline int compare_ways(const void *a, const void *b) noexcept nogil:
    cdef const Way *x = <const Way *> a
    cdef const Way *y = <const Way *> b
    if x.s != y.s:
        return 1 if x.s > y.s else -1
    if x.route.source != y.route.source:
        return 1 if x.route.source > y.route.source else -1
    if x.route.rank != y.route.rank:
        return 1 if x.route.rank > y.route.rank else -1
    return before(y.route.emission, x.route.emission) - before(x.route.emission, y.route.emission)


cdef inline bint find_flights(Look *L) noexcept nogil:
    """Routes of the spikes along rows of which blocks have spans; False if there is no memory."""
    cdef const State *e = L.e
    cdef Flights *flights
    cdef Flying *f
    cdef Route *route
    cdef int64_t j, k
    for j in range(e.n_populations):
        flights = &L.flying[j]
        if not grow(<void **> &L.routes, &L.routes_capacity, L.n_routes + flights.size - flights.head, sizeof(Route)):
            return False
        for k in range(flights.head, flights.size):
            f = &flights.items[k]
            f.back = <double> (L.begin.n - f.emission.n) * e.H
            f.route = <uint32_t> L.n_routes
            route = &L.routes[L.n_routes]
            L.n_routes += 1
            route.source = e.populations[f.population].origin + f.source
            route.rank, route.port = e.projections[f.projection].rank, e.projections[f.projection].port
            route.emission, route.weight, route.kind = f.emission, f.weight, f.kind
    return True


cdef inline bint find_rows(Look *L) noexcept nogil:
    """All rows along which something arrives in the slice; False if there is no memory."""
    cdef const State *e = L.e
    cdef int64_t j, k
    cdef Lane *lane
    cdef Cursor *cursor
    cdef const Population *p
    cdef const Flight *flight
    cdef const Projection *c
    cdef Way *way
    cdef Pair time
    cdef double s
    cdef synapse_t count
    L.n_routes = e.n_processes
    for k in range(e.n_processes):
        L.routes[k].weight = e.processes[k].weight
    L.n_ways = L.n_pulled = L.n_pulled_events = 0
    L.last_pulled = -1.0
    for j in range(L.n_lanes):
        lane = &L.lanes[j]
        p = &e.populations[lane.population]
        while lane.next < log_end(p):
            time = lane_time(L, lane, lane.next)
            if not before(time, L.end):
                break
            flight = &p.log[lane.next - p.log_start]
            s = max(time.s, L.begin.s) if time.n == L.begin.n else L.begin.s
            for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
                way = add_way(L, k, lane.population, flight.source, flight.emission)
                if way == NULL:
                    return False
                way.s, way.cursor = s, -1
                if L.cuts[k] != NULL:
                    c = &e.projections[k]
                    count = c.offsets[flight.source + 1] - c.offsets[flight.source]
                    L.n_pulled_events += count
                    if count:
                        L.last_pulled = max(L.last_pulled, s)
            lane.next += 1
    if L.n_pulled > 1:
        qsort(L.pulled, L.n_pulled, sizeof(Way), compare_ways)
    for k in range(L.n_cursors):
        cursor = &L.cursors[k]
        s = e.projections[cursor.projection].delays[cursor.at]
        if before(plus(cursor.emission, s, e.H), L.end):
            way = add_way(L, cursor.projection, cursor.population, cursor.source, cursor.emission)
            if way == NULL:
                return False
            way.s, way.cursor = 0.0, k
    return find_flights(L)


# Waiting ------------------------------------------------------------------------------------------------------------

cdef inline Pair first_event(Look *L) noexcept nogil:
    """When something happens next."""
    cdef State *e = L.e
    cdef Pair first = first_spike(e), time
    cdef int64_t j, k
    for k in range(L.n_lanes):
        if L.lanes[k].next < log_end(&e.populations[L.lanes[k].population]):
            time = lane_time(L, &L.lanes[k], L.lanes[k].next)
            if before(time, first):
                first = time
    for k in range(L.n_cursors):
        time = plus(L.cursors[k].emission, e.projections[L.cursors[k].projection].delays[L.cursors[k].at], e.H)
        if before(time, first):
            first = time
    for k in range(e.n_populations):
        for j in range(L.flying[k].head, L.flying[k].size):
            first = next_arrival(L, k, j, first)
    for k in range(2):
        time = train_time(e, &e.trains[k])
        if before(time, first):
            first = time
    for k in range(e.n_processes):
        if e.processes[k].is_source:
            time = process_time(e, &e.processes[k], e.processes[k].at)
            if before(time, first):
                first = time
    for k in range(L.n_drives):
        time = process_time(e, &L.drives[k], L.drives[k].at)
        if before(time, first):
            first = time
    return first


cdef inline bint nothing_comes(Look *L) noexcept nogil:
    """Whether there is nothing to wait for but spikes that neurons fire by themselves, or spikes that reach nobody."""
    cdef State *e = L.e
    cdef int64_t j, k
    cdef const Lane *lane
    cdef const Population *p
    cdef count_t number
    cdef const neuron_t *targets
    cdef const double *weights
    if L.n_cursors:
        return False
    for k in range(e.n_populations):
        for j in range(L.flying[k].head, L.flying[k].size):
            if is_flying(L, k, j):
                return False
    for k in range(2):
        if train_time(e, &e.trains[k]).n < never().n:
            return False
    for k in range(e.n_processes):
        if e.processes[k].is_source and process_time(e, &e.processes[k], e.processes[k].at).n < never().n:
            return False
    for k in range(L.n_drives):
        if process_time(e, &L.drives[k], L.drives[k].at).n < never().n:
            return False
    for j in range(L.n_lanes):
        lane = &L.lanes[j]
        p = &e.populations[lane.population]
        for number in range(lane.next, log_end(p)):
            for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
                if find_row(e, &e.projections[k], p.log[number - p.log_start].source, &targets, &weights):
                    return False
    return True
