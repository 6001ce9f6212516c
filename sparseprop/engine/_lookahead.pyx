"""The lookahead engine: what a neuron does in a slice no longer than the smallest delay depends on earlier spikes only.

So every neuron goes through a slice on its own, without a queue, block by block, on all cores. First all rows of
synapses along which something arrives in the slice are gone through, and each weight is put down for the block of its
target; then each block sorts what it got, and its neurons advance (engine/_population_lookahead.pxi); then the spikes
of the slice are put into order and on their way. Slices end with epochs, so that frames and states are of one epoch
throughout, and at changes of parameters.
"""

from libc.math cimport INFINITY, nextafter
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcpy, memmove, memset

import numpy as np

from sparseprop._core cimport Engine
from sparseprop.connectivity._poisson cimport poisson_free
from sparseprop.connectivity._rows cimport table_size
from sparseprop.engine._delivery cimport find_row, train_time
from sparseprop.engine._flights cimport draw_interval, process_time
from sparseprop.engine._instant cimport note_recent, record
from sparseprop.engine._loaded cimport owned, zeros
from sparseprop.engine._queueing cimport anyone_fires, enter_present, first_spike, kicks_so_far
from sparseprop.engine._slice cimport (
    HAS_EXTRA, RUN, Extra, Kick, Part, Recent, Route, RowPart, Spike, Sum, insert_items, note_fault, sort_items,
)
from sparseprop.engine._state cimport (
    N_SOLVED, NO_MEMORY, RUNNING, SPIKES, TIME, Cursor, Flight, Lane, Population, Process, Projection,
    Solved, State, Status, Train, nowhere, population_of, reserve,
)
from sparseprop.engine._team cimport take_next, team_begin, team_do, team_end
from sparseprop.numerics._frames cimport (
    MAX_EPOCH, Frame, Pair, before, enter_epoch, interval, never, not_after, place_edge, plus,
)
from sparseprop.numerics._memory cimport allocate, allocate_large, grow
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport MAX_PORTS, count_t, neuron_t, synapse_t

from .._machine import cores


cdef enum:
    # Neurons of a block: their states, and what arrives at them in a slice, are to stay in the cache near a core.
    BLOCK = 512
    # Rows that a thread takes at a time.
    ROWS = 8
    # Synapses of a row in a block, from which on blocks look up their parts themselves.
    DENSE = 4
    # Kicks of a block, above which slices become shorter.
    MANY = 131072


# Rows ---------------------------------------------------------------------------------------------------------------

cdef inline bint put_down(Bucket *b, neuron_t target, double s, uint32_t what) noexcept nogil:
    """Note a weight that arrives at a neuron, of this place in the block; False if there is no memory."""
    cdef Kick *kick
    if b.size == b.capacity and not grow(<void **> &b.kicks, &b.capacity, b.size + 1, sizeof(Kick)):
        return False
    kick = &b.kicks[b.size]
    b.size += 1
    kick.s, kick.what, kick.target = s, what, <uint16_t> target
    return True


cdef inline bint put_down_one(Bucket *b, neuron_t target, double s, double weight, uint32_t route,
                              int64_t place) noexcept nogil:
    """The same where each has a weight of its own."""
    cdef Extra *extra
    if not grow(<void **> &b.extras, &b.extras_capacity, b.n_extras + 1, sizeof(Extra)):
        return False
    extra = &b.extras[b.n_extras]
    extra.weight, extra.route, extra.place = weight, route, <int> place
    b.n_extras += 1
    return put_down(b, target, s, HAS_EXTRA | <uint32_t> (b.n_extras - 1))


cdef bint go_along(Look *L, Thread *t, const Way *way) noexcept nogil:
    """Put down all that arrives along a row in the slice; False if there is no memory."""
    cdef const State *e = &t.e
    cdef const Projection *c = &e.projections[way.projection]
    cdef Bucket *buckets = t.buckets + L.first_block[c.post]
    cdef Bucket *bucket
    cdef const neuron_t *targets
    cdef const double *weights
    cdef synapse_t k, count
    cdef double s, back, delay
    cdef Cursor *cursor
    cdef uint32_t number = way.number
    cdef int shift = L.shift
    cdef neuron_t within = (1 << shift) - 1
    if way.cursor < 0:
        count = find_row(e, c, way.source, &targets, &weights)
        for k in range(count):
            bucket = &buckets[targets[k] >> shift]
            if weights == NULL:
                if not put_down(bucket, targets[k] & within, way.s, number):
                    return False
            elif not put_down_one(bucket, targets[k] & within, way.s, weights[k], number, k):
                return False
        t.n_synaptic_events += count
        if count:
            t.last = max(t.last, way.s)
        return True
    cursor = &L.cursors[way.cursor]
    back = <double> (L.begin.n - cursor.emission.n) * e.H
    s = -1.0
    k = cursor.at
    while k < cursor.stop:
        # As by `plus`, if it arrives in this epoch; otherwise it is behind the end.
        delay = (cursor.emission.s + c.delays[k]) - back
        if not (delay < L.stop):
            break
        s = max(delay, L.begin.s)
        bucket = &buckets[c.targets[k] >> shift]
        if c.weights == NULL:
            if not put_down(bucket, c.targets[k] & within, s, number):
                return False
        elif not put_down_one(bucket, c.targets[k] & within, s, c.weights[k], number, c.places[k]):
            return False
        k += 1
    t.n_synaptic_events += k - cursor.at
    t.last = max(t.last, s)
    cursor.at = k
    return True


cdef inline void ask_for(const Look *L, const Way *way) noexcept nogil:
    """Ask for what is read first along a row with a delay for each synapse."""
    cdef const Projection *c
    cdef const Cursor *cursor
    cdef int64_t n
    if way.cursor >= 0:
        c = &L.e.projections[way.projection]
        cursor = &L.cursors[way.cursor]
        n = min(cursor.stop - cursor.at, <synapse_t> 256)
        prefetch(c.delays + cursor.at, n * sizeof(double))
        prefetch(c.targets + cursor.at, n * sizeof(neuron_t))


cdef void enter_slice(Look *L, Thread *t) noexcept nogil:
    """What a thread knows of the slice, once: the epoch and the edge of its frames."""
    cdef int64_t k, j
    cdef Population *p
    cdef double ahead
    if t.slice == L.slice:
        return
    t.slice = L.slice
    t.status = RUNNING
    t.fault.kind = 0
    # Behind the end by more than rounding moves a next spike.
    t.q.edge = plus(L.end, 4.0 * L.e.tolerance + 2.0 * L.e.margin, L.e.H)
    ahead = interval(L.begin, t.q.edge, L.e.H)
    for k in range(L.e.n_populations):
        p = &t.e.populations[k]
        for j in range(p.n_frames if p.epoch != L.begin.n else 0):
            enter_epoch(&p.frames[j], L.begin.n)
        p.epoch = L.begin.n
        for j in range(p.n_frames if p.oscillates else 0):
            place_edge(&p.frames[j], L.begin.n, t.q.edge, ahead, L.e.H)


cdef void take_ways(void *look, int member) noexcept nogil:
    """A thread's part of the rows, of which it puts down what arrives."""
    cdef Look *L = <Look *> look
    cdef Thread *t = &L.threads[member]
    cdef int64_t k
    cdef long long first
    if L.next_way >= L.n_ways:
        return
    enter_slice(L, t)
    t.rows_slice = L.slice
    t.n_synaptic_events = 0
    t.last = -1.0
    for k in range(L.n_blocks):
        t.buckets[k].size = t.buckets[k].n_extras = 0
    while True:
        first = take_next(&L.next_way, ROWS)
        if first >= L.n_ways:
            return
        for k in range(first, min(first + ROWS, <long long> L.n_ways)):
            if k + 1 < L.n_ways:
                ask_for(L, &L.ways[k + 1])
            if not go_along(L, t, &L.ways[k]):
                t.status = NO_MEMORY
                return


# Blocks -------------------------------------------------------------------------------------------------------------

cdef bint go_back(const State *e, Process *c, const Place *place) noexcept nogil:
    """The place in an input where it was; False if there is no memory."""
    if c.poisson.k != place.k:
        c.poisson.k = place.k - 1
        if place.k < 0:
            c.poisson.k = -1
            c.poisson.n_events = 0
        elif not draw_interval(e, c):
            return False
    c.at = place.at
    return True


cdef bint take_drive(Look *L, Thread *t, Block *b, Process *c, uint32_t route) noexcept nogil:
    """The events of a drive for a block in the slice; False if there is no memory."""
    cdef Pair time
    cdef neuron_t i
    while True:
        time = process_time(&t.e, c, c.at)
        if not before(time, L.end):
            return True
        if c.at == c.poisson.n_events:
            if not draw_interval(&t.e, c):
                return False
            continue
        i = c.poisson.events[c.at].neuron
        c.at += 1
        if c.weights == NULL:
            if not put_down(&t.drives, i - b.first, time.s, route):
                return False
        elif not put_down_one(&t.drives, i - b.first, time.s, c.weights[i], route, i):
            return False
        b.n_drive_events += 1
        b.last = max(b.last, time.s)


cdef inline const Bucket *put_down_by(const Look *L, int64_t member, int64_t number) noexcept nogil:
    """What a thread has put down for a block in this slice."""
    return &L.threads[member].buckets[number] if L.threads[member].rows_slice == L.slice else &L.nothing


cdef void keep(void *old, void *states, int64_t size, bint again) noexcept nogil:
    if states == NULL:
        return
    if again:
        memcpy(states, old, size)
    else:
        memcpy(old, states, size)


cdef bint find_pulled(const Look *L, Thread *t, int64_t number, Part *part) noexcept nogil:
    """A block's parts of the rows that blocks look up themselves; False if there is no memory."""
    cdef Block *b = &L.blocks[number]
    cdef const Projection *c
    cdef const Way *way
    cdef const uint32_t *cut
    cdef RowPart *r
    cdef int64_t j, first = L.first_block[b.population], n = L.first_block[b.population + 1] - first
    cdef synapse_t at
    cdef count_t found = 0
    if not grow(<void **> &t.rows, &t.rows_capacity, L.n_pulled, sizeof(RowPart)):
        return False
    for j in range(L.n_pulled):
        way = &L.pulled[j]
        c = &L.e.projections[way.projection]
        if c.post != b.population:
            continue
        cut = L.cuts[way.projection] + way.source * (n + 1) + (number - first)
        if cut[0] == cut[1]:
            continue
        at = c.offsets[way.source] + cut[0]
        r = &t.rows[found]
        found += 1
        r.s, r.route, r.port, r.has_multapses = way.s, way.number, c.port, c.has_multapses
        r.targets, r.count = c.targets + at, cut[1] - cut[0]
        r.weights, r.weight, r.largest = c.weights + at if c.weights != NULL else NULL, c.weight, c.largest
        b.n_kicks += r.count
        prefetch(r.targets, min(r.count, 256) * sizeof(neuron_t))
    part.rows, part.n_rows = t.rows, found
    return True


cdef bint order_kicks(const Look *L, Thread *t, int64_t number, Part *part) noexcept nogil:
    """What was put down for a block, by time; False if there is no memory."""
    cdef const Bucket *bucket
    cdef int64_t k, bin, n_bins = 16
    cdef count_t j, total = t.drives.size, sorted_already = 1
    cdef uint32_t start, size, longest = 0
    cdef double scale, begin = L.begin.s
    cdef Kick *kick
    for k in range(L.team.n):
        total += put_down_by(L, k, number).size
    part.n_kicks = total
    if total == t.drives.size:
        # Those of one drive are in order.
        for j in range(1, total):
            sorted_already &= t.drives.kicks[j - 1].s <= t.drives.kicks[j].s
        if sorted_already:
            part.kicks, part.extras = t.drives.kicks, t.drives.extras
            return True
    while n_bins < total and n_bins < 1 << 16:
        n_bins *= 2
    scale = n_bins / (L.stop - begin)
    if not grow(<void **> &t.kicks.kicks, &t.kicks.capacity, total, sizeof(Kick)):
        return False
    if not grow(<void **> &t.bins, &t.bins_capacity, n_bins + 1, sizeof(uint32_t)):
        return False
    memset(t.bins, 0, (n_bins + 1) * sizeof(uint32_t))
    for k in range(L.team.n + 1):
        bucket = put_down_by(L, k, number) if k < L.team.n else &t.drives
        for j in range(bucket.size):
            t.bins[min(<int64_t> ((bucket.kicks[j].s - begin) * scale), n_bins - 1)] += 1
    start = 0
    for k in range(n_bins + 1):
        size = t.bins[k]
        t.bins[k] = start
        start += size
        longest = max(longest, size)
    t.kicks.n_extras = 0
    for k in range(L.team.n + 1):
        bucket = put_down_by(L, k, number) if k < L.team.n else &t.drives
        for j in range(bucket.size):
            bin = min(<int64_t> ((bucket.kicks[j].s - begin) * scale), n_bins - 1)
            kick = &t.kicks.kicks[t.bins[bin]]
            kick[0] = bucket.kicks[j]
            if kick.what & HAS_EXTRA:
                kick.what += <uint32_t> t.kicks.n_extras
            t.bins[bin] += 1
        if bucket.n_extras == 0:
            continue
        if not grow(<void **> &t.kicks.extras, &t.kicks.extras_capacity, t.kicks.n_extras + bucket.n_extras,
                    sizeof(Extra)):
            return False
        memcpy(t.kicks.extras + t.kicks.n_extras, bucket.extras, bucket.n_extras * sizeof(Extra))
        t.kicks.n_extras += bucket.n_extras
    if not grow(<void **> &t.scratch, &t.scratch_capacity, longest, sizeof(Kick)):
        return False
    # Few are in one bin, mostly.
    start = 0
    for k in range(n_bins if longest > RUN else 0):
        size = t.bins[k] - start
        if size > RUN:
            sort_items(t.kicks.kicks + start, size, t.scratch, L.routes)
        start = t.bins[k]
    insert_items(t.kicks.kicks, 0, total, L.routes)
    part.kicks, part.extras = t.kicks.kicks, t.kicks.extras
    return True


cdef Status advance_block(Look *L, Thread *t, int64_t number) noexcept nogil:
    """All that happens to the neurons of a block in the slice."""
    cdef Block *b = &L.blocks[number]
    cdef Population *p = &t.e.populations[b.population]
    cdef const Population *q = &L.e.populations[b.population]
    cdef Part part
    cdef int64_t k, m
    cdef Status status
    if L.keeps:
        m = b.population
        keep(L.saved.x[m] + q.width * <int64_t> b.first, q.x + q.width * <int64_t> b.first,
             q.width * b.size * sizeof(double), L.again)
        if q.base != NULL:
            keep(L.saved.base[m] + b.first, q.base + b.first, b.size * sizeof(Pair), L.again)
        if q.release != NULL:
            keep(L.saved.release[m] + b.first, q.release + b.first, b.size * sizeof(Pair), L.again)
            keep(L.saved.waiting[m] + b.first // 8, q.waiting + b.first // 8, (b.size + 7) // 8, L.again)
    b.n_spikes = b.n_close = b.n_drive_events = b.n_kicks = 0
    b.last = -1.0
    t.drives.size = t.drives.n_extras = 0
    for k in range(b.first_drive, b.first_drive + b.n_drives):
        if L.again:
            if not go_back(&t.e, &L.drives[k], &L.saved.drives[k]):
                return NO_MEMORY
        elif L.keeps:
            L.saved.drives[k].k, L.saved.drives[k].at = L.drives[k].poisson.k, L.drives[k].at
        if not take_drive(L, t, b, &L.drives[k], <uint32_t> L.drives[k].number):
            return NO_MEMORY
    if not find_pulled(L, t, number, &part) or not order_kicks(L, t, number, &part):
        return NO_MEMORY
    b.n_kicks += part.n_kicks
    if part.n_kicks == 0 and part.n_rows == 0 and not p.oscillates and L.e.forced.size == 0:
        return RUNNING
    part.begin, part.end, part.stop = L.begin, L.end, L.stop
    part.first, part.size = b.first, b.size
    part.routes = L.routes
    part.changed = L.changed
    part.forced, part.n_forced = L.e.forced.items, L.e.forced.size
    part.recent, part.n_recent = L.recent, L.n_recent
    part.sums, part.has_sum, part.has_fired = t.sums, t.has_sum, t.has_fired
    for k in range(MAX_PORTS):
        part.touched[k] = t.touched + (k << L.shift)
        part.n_touched[k] = 0
    part.together_targets, part.together_weights = t.together_targets, t.together_weights
    part.together, part.together_capacity = t.together, t.together_capacity
    part.spikes, part.n_spikes, part.capacity = b.spikes, 0, b.capacity
    part.n_close = 0
    part.fault.kind = 0
    status = p.ops.advance(&t.e, &t.q, p, &part)
    t.together, t.together_capacity = part.together, part.together_capacity
    b.spikes, b.n_spikes, b.capacity, b.n_close = part.spikes, part.n_spikes, part.capacity, part.n_close
    note_fault(&t.fault, &part.fault)
    return status


cdef void take_blocks(void *look, int member) noexcept nogil:
    """A thread's part of the blocks."""
    cdef Look *L = <Look *> look
    cdef Thread *t = &L.threads[member]
    cdef long long number
    if L.next_block >= L.n_blocks:
        return
    enter_slice(L, t)
    while t.status == RUNNING:
        number = take_next(&L.next_block, 1)
        if number >= L.n_blocks:
            return
        t.status = advance_block(L, t, number)


# Spikes on their way ------------------------------------------------------------------------------------------------

cdef inline count_t log_end(const Population *p) noexcept nogil:
    return p.log_start + p.log_size


cdef void trim(Look *L, int64_t population) noexcept nogil:
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


cdef bint send_off(Look *L, neuron_t neuron, Pair emission, Pair over) noexcept nogil:
    """Put a spike (of a global id) on its way; what arrives by `over` is left out. False if there is no memory."""
    cdef State *e = L.e
    cdef int64_t k, number = population_of(e, neuron)
    cdef Population *p = &e.populations[number]
    cdef neuron_t source = neuron - p.first
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


cdef void pass_by(const Look *L, Lane *lane, Pair stop) noexcept nogil:
    """Leave out what arrives along a lane before `stop`."""
    while lane.next < log_end(&L.e.populations[lane.population]) and before(lane_time(L, lane, lane.next), stop):
        lane.next += 1


cdef int compare_spikes(const void *a, const void *b) noexcept nogil:
    cdef const Spike *x = <const Spike *> a
    cdef const Spike *y = <const Spike *> b
    if x.s != y.s:
        return 1 if x.s > y.s else -1
    return (x.neuron > y.neuron) - (x.neuron < y.neuron)


cdef bint emit(Look *L, double s, neuron_t neuron) noexcept nogil:
    if not grow(<void **> &L.emitted, &L.emitted_capacity, L.n_emitted + 1, sizeof(Spike)):
        return False
    L.emitted[L.n_emitted].s, L.emitted[L.n_emitted].neuron = s, neuron
    L.n_emitted += 1
    return True


cdef bint take_sources(Look *L) noexcept nogil:
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
            if not emit(L, time.s, e.populations[c.population].first + c.poisson.events[c.at].neuron):
                return False
            c.at += 1
    if L.n_emitted > 1:
        qsort(L.emitted, L.n_emitted, sizeof(Spike), compare_spikes)
    time.n = L.begin.n
    for k in range(L.n_emitted):
        time.s = L.emitted[k].s
        if not send_off(L, L.emitted[k].neuron, time, nowhere()):
            return False
    return True


cdef Way *add_way(Look *L, int64_t projection, int64_t population, neuron_t source, Pair emission) noexcept nogil:
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
    way.route.source = e.populations[population].first + source
    way.route.rank, way.route.port = e.projections[projection].rank, e.projections[projection].port
    way.route.emission, way.route.weight = emission, e.projections[projection].weight
    L.routes[L.n_routes] = way.route
    L.n_routes += 1
    return way


cdef int compare_ways(const void *a, const void *b) noexcept nogil:
    cdef const Way *x = <const Way *> a
    cdef const Way *y = <const Way *> b
    if x.s != y.s:
        return 1 if x.s > y.s else -1
    if x.route.source != y.route.source:
        return 1 if x.route.source > y.route.source else -1
    if x.route.rank != y.route.rank:
        return 1 if x.route.rank > y.route.rank else -1
    return before(y.route.emission, x.route.emission) - before(x.route.emission, y.route.emission)


cdef bint find_rows(Look *L) noexcept nogil:
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
    return True


# Slices -------------------------------------------------------------------------------------------------------------

cdef bint save(Look *L) noexcept nogil:
    """Where everything but states and drives is now; False if there is no memory."""
    cdef Saved *old = &L.saved
    cdef const State *e = L.e
    cdef int64_t k
    for k in range(e.n_populations):
        old.log_size[k] = e.populations[k].log_size
    for k in range(L.n_lanes):
        old.next[k] = L.lanes[k].next
    if not grow(<void **> &old.cursors, &old.cursors_capacity, L.n_cursors, sizeof(Cursor)):
        return False
    if L.n_cursors:
        memcpy(old.cursors, L.cursors, L.n_cursors * sizeof(Cursor))
    old.n_cursors = L.n_cursors
    for k in range(2):
        old.trains[k] = e.trains[k].at
    for k in range(e.n_processes):
        old.processes[k].k, old.processes[k].at = e.processes[k].poisson.k, e.processes[k].at
    return True


cdef bint begin_again(Look *L) noexcept nogil:
    """Back to where everything was when the slice began; blocks follow by themselves."""
    cdef const Saved *old = &L.saved
    cdef State *e = L.e
    cdef int64_t k
    for k in range(e.n_populations):
        e.populations[k].log_size = old.log_size[k]
    for k in range(L.n_lanes):
        L.lanes[k].next = old.next[k]
    if old.n_cursors:
        memcpy(L.cursors, old.cursors, old.n_cursors * sizeof(Cursor))
    L.n_cursors = old.n_cursors
    for k in range(2):
        e.trains[k].at = old.trains[k]
    for k in range(e.n_processes):
        if e.processes[k].is_source and not go_back(e, &e.processes[k], &old.processes[k]):
            return False
    L.again = True
    return True


cdef Status go_through(Look *L) noexcept nogil:
    """The slice from its beginning to `stop`: states at its end, its spikes in order, and the first fault."""
    cdef const State *e = L.e
    cdef int64_t k
    cdef count_t n = 0
    cdef Block *b
    L.end.n, L.end.s = L.begin.n, L.stop
    if not (L.stop < e.H):
        L.end.n, L.end.s = L.begin.n + 1, 0.0
    if not take_sources(L) or not find_rows(L):
        return NO_MEMORY
    L.slice += 1
    L.next_way = L.next_block = 0
    if L.n_ways:
        team_do(&L.team, take_ways, L)
    team_do(&L.team, take_blocks, L)
    L.fault.kind = 0
    for k in range(L.team.n):
        if L.threads[k].slice != L.slice:
            continue
        if L.threads[k].status != RUNNING:
            return L.threads[k].status
        note_fault(&L.fault, &L.threads[k].fault)
    for k in range(L.n_blocks):
        n += L.blocks[k].n_spikes
    if not grow(<void **> &L.spikes, &L.spikes_capacity, n, sizeof(Spike)):
        return NO_MEMORY
    L.n_spikes = 0
    for k in range(L.n_blocks):
        b = &L.blocks[k]
        if b.n_spikes:
            memcpy(L.spikes + L.n_spikes, b.spikes, b.n_spikes * sizeof(Spike))
        L.n_spikes += b.n_spikes
    if L.n_spikes > 1:
        qsort(L.spikes, L.n_spikes, sizeof(Spike), compare_spikes)
    return RUNNING


cdef bint record_up_to(Look *L, double stop) noexcept nogil:
    """Record the spikes of the slice before `stop`; in an instant those of sources are first."""
    cdef State *e = L.e
    cdef count_t j = 0, k = 0
    cdef Spike *spike
    e.now.n = L.begin.n
    while True:
        if e.record_sources and j < L.n_emitted and (k == L.n_spikes or L.emitted[j].s <= L.spikes[k].s):
            spike = &L.emitted[j]
            j += 1
        elif k < L.n_spikes:
            spike = &L.spikes[k]
            k += 1
        else:
            return True
        if not (spike.s < stop):
            return True
        e.now.s = spike.s
        if not record(e, spike.neuron):
            return False


cdef bint commit(Look *L) noexcept nogil:
    """The slice is over; False if there is no memory."""
    cdef State *e = L.e
    cdef int64_t k
    cdef count_t kept = 0, n_kicks = 0
    cdef double last = -1.0
    cdef Pair time
    if not record_up_to(L, L.stop):
        return False
    time.n = L.begin.n
    for k in range(L.n_spikes):
        time.s = L.spikes[k].s
        if not send_off(L, L.spikes[k].neuron, time, nowhere()):
            return False
    e.n_spikes += L.n_spikes
    e.n_input_events += L.n_emitted
    e.n_synaptic_events += L.n_pulled_events
    last = max(last, L.last_pulled)
    for k in range(L.team.n):
        if L.threads[k].rows_slice == L.slice:
            e.n_synaptic_events += L.threads[k].n_synaptic_events
            last = max(last, L.threads[k].last)
    for k in range(L.n_blocks):
        e.n_input_events += L.blocks[k].n_drive_events
        e.n_drive_events += L.blocks[k].n_drive_events
        e.n_close_calls += L.blocks[k].n_close
        last = max(last, L.blocks[k].last)
        n_kicks = max(n_kicks, L.blocks[k].n_kicks)
    if L.n_spikes:
        last = max(last, L.spikes[L.n_spikes - 1].s)
    if L.n_emitted:
        last = max(last, L.emitted[L.n_emitted - 1].s)
    L.empty_slices = 0 if last >= 0.0 else L.empty_slices + 1
    if last >= 0.0:
        e.last.n, e.last.s = L.begin.n, last
    e.now = L.end
    for k in range(L.n_cursors):
        if L.cursors[k].at < L.cursors[k].stop:
            if kept < k:
                L.cursors[kept] = L.cursors[k]
            kept += 1
    L.n_cursors = kept
    for k in range(L.n_lanes):
        pass_by(L, &L.lanes[k], L.end)  # where delays of projections without synapses are shorter than a slice
    for k in range(e.n_populations):
        trim(L, k)
    # Who fired within rounding of the end.
    kept = 0
    for k in range(e.n_recent):
        if interval(e.recent[k].time, e.now, e.H) <= e.tolerance:
            e.recent[kept] = e.recent[k]
            kept += 1
    e.n_recent = kept
    for k in range(L.n_spikes - 1, -1, -1):
        time.s = L.spikes[k].s
        if interval(time, e.now, e.H) > e.tolerance:
            break
        if not note_recent(e, time, L.spikes[k].neuron):
            return False
    L.changed = False
    e.forced.size = 0
    if n_kicks > MANY:
        L.length = max(0.5 * L.length, L.longest / 1024.0)
    elif n_kicks < MANY // 8:
        L.length = min(2.0 * L.length, L.longest)
    return True


cdef Status take_slice(Look *L, Pair until, count_t most, bint instant) noexcept nogil:
    """The next slice, or only the present instant; up to so many spikes in all, and not up to `until`."""
    cdef State *e = L.e
    cdef Pair span
    cdef Status status
    cdef count_t k
    cdef double cut
    cdef int64_t j
    for j in range(e.n_populations):
        if e.populations[j].epoch != e.now.n:
            enter_present(e, L.window)
    L.begin = e.now
    span = plus(e.now, L.length, e.H)
    L.stop = span.s if span.n == e.now.n else e.H
    if until.n == e.now.n:
        L.stop = min(L.stop, until.s)
    if instant:
        L.stop = nextafter(e.now.s, INFINITY)
    if not grow(<void **> &L.recent, &L.recent_capacity, e.n_recent, sizeof(Recent)):
        return NO_MEMORY
    for k in range(e.n_recent):
        L.recent[k].time, L.recent[k].neuron = e.recent[k].time, e.recent[k].neuron
    L.n_recent = e.n_recent
    L.again = False
    L.keeps = most < (<count_t> 1) << 62
    if L.keeps and not save(L):
        return NO_MEMORY
    status = go_through(L)
    if status != RUNNING:
        return status
    cut = INFINITY
    if e.n_spikes + L.n_spikes >= most:
        cut = L.spikes[most - e.n_spikes - 1].s
    if L.fault.kind and L.fault.s <= cut:
        e.faulty = L.fault.neuron
        status = <Status> L.fault.kind if record_up_to(L, L.fault.s) else NO_MEMORY
        e.now.n, e.now.s = L.begin.n, L.fault.s
        return status
    if cut < L.stop:
        # Once more, up to this instant.
        L.stop = nextafter(cut, INFINITY)
        if not begin_again(L):
            return NO_MEMORY
        status = go_through(L)
        if status != RUNNING:
            return status
    if not commit(L):
        return NO_MEMORY
    if cut < INFINITY:
        e.now.n, e.now.s = L.begin.n, cut
    return RUNNING


cdef Pair first_event(Look *L) noexcept nogil:
    """When something happens next."""
    cdef State *e = L.e
    cdef Pair first = first_spike(e), time
    cdef int64_t k
    for k in range(L.n_lanes):
        if L.lanes[k].next < log_end(&e.populations[L.lanes[k].population]):
            time = lane_time(L, &L.lanes[k], L.lanes[k].next)
            if before(time, first):
                first = time
    for k in range(L.n_cursors):
        time = plus(L.cursors[k].emission, e.projections[L.cursors[k].projection].delays[L.cursors[k].at], e.H)
        if before(time, first):
            first = time
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


cdef bint nothing_comes(Look *L) noexcept nogil:
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


cdef Status take_slices(Look *L, Pair until, count_t most, count_t budget) noexcept nogil:
    """Slices up to `until`, up to so many spikes in all, for about `budget` events."""
    cdef State *e = L.e
    cdef count_t stop = e.n_spikes + kicks_so_far(e) + budget
    cdef Pair next
    cdef Status status = RUNNING
    while status == RUNNING:
        if e.n_spikes >= most:
            return SPIKES
        if e.n_spikes + kicks_so_far(e) >= stop:
            return RUNNING
        if not before(e.now, until):
            e.now = until
            return TIME
        if until.n >= MAX_EPOCH and nothing_comes(L) and not anyone_fires(e):
            # Where it was.
            if e.last.n == e.populations[0].epoch:
                e.now = e.last
            return TIME
        if L.empty_slices >= 2:
            L.empty_slices = 0
            next = first_event(L)
            if not before(next, until):
                e.now = until
                continue
            if before(e.now, next):
                e.now = next
        status = take_slice(L, until, most, False)
    return status


cdef class Lookahead(Engine):
    """The engine without a queue, for networks in which all synapses between neurons have a delay.

    Parameters
    ----------
    network : EngineInput
        Projections from neurons have delays of at least :func:`shortest_slice`.
    n_threads : int, optional
        The results are the same bits for any number. Default: the cores that the process may use.
    block : int
        Neurons that advance together: a power of two from 8 to 65536.
    longest : float, optional
        ms, of a slice at most.
    dense : float
        Blocks look up their parts of the rows of synapses with one delay themselves, if they get at least so many
        synapses of a row on average.
    """

    def __cinit__(self, *_, **__):
        memset(&self.look, 0, sizeof(Look))
        self.look.e = &self.e
        self.look.window = &self.window

    def __dealloc__(self):
        cdef Look *L = &self.look
        cdef int64_t j, k
        for j in range(L.n_made):
            for k in range(self.e.n_populations if L.threads[j].frames != NULL else 0):
                free(L.threads[j].frames[k])
            for k in range(L.n_blocks if L.threads[j].buckets != NULL else 0):
                free(L.threads[j].buckets[k].kicks)
                free(L.threads[j].buckets[k].extras)
            free(L.threads[j].frames)
            free(L.threads[j].buckets)
            free(L.threads[j].drives.kicks)
            free(L.threads[j].drives.extras)
            free(L.threads[j].kicks.kicks)
            free(L.threads[j].kicks.extras)
            free(L.threads[j].scratch)
            free(L.threads[j].together)
            free(L.threads[j].bins)
            free(L.threads[j].rows)
            free(L.threads[j].sums)
            free(L.threads[j].has_sum)
            free(L.threads[j].has_fired)
            free(L.threads[j].touched)
            free(L.threads[j].together_targets)
            free(L.threads[j].together_weights)
            free(L.threads[j].q.entries)
            free(L.threads[j].e.populations)
            free(L.threads[j].e.drawn.items)
            free(L.threads[j].e.due.items)
            free(L.threads[j].e.found.items)
            free(L.threads[j].e.held.items)
            free(L.threads[j].e.driven.items)
            free(L.threads[j].e.looked.items)
            free(L.threads[j].e.table)
            free(L.threads[j].e.solved)
        free(L.threads)
        for k in range(L.n_blocks):
            free(L.blocks[k].spikes)
        free(L.blocks)
        free(L.first_block)
        for k in range(L.n_drives):
            poisson_free(&L.drives[k].poisson)
        free(L.drives)
        free(L.lanes)
        free(L.cursors)
        free(L.routes)
        free(L.ways)
        free(L.pulled)
        for k in range(L.n_cuts):
            free(L.cuts[k])
        free(L.cuts)
        free(L.spikes)
        free(L.emitted)
        free(L.recent)
        for k in range(self.e.n_populations if L.saved.waiting != NULL else 0):
            free(L.saved.x[k])
            free(L.saved.base[k])
            free(L.saved.release[k])
            free(L.saved.waiting[k])
        free(L.saved.x)
        free(L.saved.base)
        free(L.saved.release)
        free(L.saved.waiting)
        free(L.saved.log_size)
        free(L.saved.next)
        free(L.saved.cursors)
        free(L.saved.processes)
        free(L.saved.drives)

    def __init__(self, network, n_threads=None, int64_t block=BLOCK, longest=None, double dense=DENSE):
        cdef Look *L = &self.look
        shortest = shortest_delay(network)
        if shortest < shortest_slice(network.clock):
            raise ValueError(f"a delay of {shortest} ms between neurons is too short for slices of time")
        if not 8 <= block <= 1 << 16 or block & (block - 1):
            raise ValueError(f"a block has a power of two from 8 to 65536 neurons, got {block}")
        super().__init__(network, "lookahead")
        L.longest = min(shortest, self.e.H, INFINITY if longest is None else longest)
        L.length = L.longest
        L.shift = block.bit_length() - 1
        self.n_threads = cores() if n_threads is None else n_threads
        self._place_lanes()
        self._place_blocks()
        self._cut_rows(dense)
        self._make_threads()
        self._start_inputs()
        L.stale = True

    cdef _place_lanes(self):
        """Those of the State, and one without delay for each population of sources."""
        cdef Look *L = &self.look
        cdef Population *p
        cdef int64_t k
        L.lanes = <Lane *> zeros(self.e.n_lanes + self.e.n_populations, sizeof(Lane))
        memcpy(L.lanes, self.e.lanes, self.e.n_lanes * sizeof(Lane))
        L.n_lanes = self.e.n_lanes
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            if p.ops == NULL and p.n_projections:
                L.lanes[L.n_lanes].population = k
                L.lanes[L.n_lanes].first_projection = p.first_projection
                L.lanes[L.n_lanes].n_projections = p.n_projections
                L.n_lanes += 1

    cdef _place_blocks(self):
        """Blocks of neurons, and the drives of each."""
        cdef Look *L = &self.look
        cdef State *e = &self.e
        cdef Population *p
        cdef Block *b
        cdef int64_t j, k, n = 0, at
        for k in range(e.n_populations):
            if e.populations[k].ops != NULL:
                n += ((e.populations[k].size - 1) >> L.shift) + 1
        L.blocks = <Block *> zeros(n, sizeof(Block))
        L.first_block = <int64_t *> zeros(e.n_populations + 1, sizeof(int64_t))
        for k in range(e.n_populations):
            p = &e.populations[k]
            L.first_block[k] = L.n_blocks
            at = 0
            while p.ops != NULL and at < p.size:
                b = &L.blocks[L.n_blocks]
                L.n_blocks += 1
                b.population, b.first = k, <neuron_t> at
                b.size = <neuron_t> min(<int64_t> 1 << L.shift, p.size - at)
                at += b.size
        L.first_block[e.n_populations] = L.n_blocks
        n = 0
        for j in range(e.n_processes):
            for k in range(L.n_blocks if not e.processes[j].is_source else 0):
                n += L.blocks[k].population == e.processes[j].population
        L.drives = <Process *> zeros(n, sizeof(Process))
        L.saved.drives = <Place *> zeros(n, sizeof(Place))
        for k in range(L.n_blocks):
            b = &L.blocks[k]
            b.first_drive = L.n_drives
            for j in range(e.n_processes):
                if not e.processes[j].is_source and e.processes[j].population == b.population:
                    L.drives[L.n_drives].number = j
                    L.n_drives += 1
                    b.n_drives += 1
        L.routes_capacity = e.n_processes
        L.routes = <Route *> zeros(e.n_processes, sizeof(Route))
        for j in range(e.n_processes):
            L.routes[j].source, L.routes[j].port = <int64_t> e.n + j, e.processes[j].port

    cdef _cut_rows(self, double dense):
        """Where blocks begin in rows of which they get enough."""
        cdef Look *L = &self.look
        cdef const Projection *c
        cdef const Lane *lane
        cdef int64_t j, k, n_pre, n
        n = len(self.network.projections)
        L.cuts = <uint32_t **> zeros(n, sizeof(uint32_t *))
        L.n_cuts = n
        for j in range(L.n_lanes):
            lane = &L.lanes[j]
            n_pre = self.e.populations[lane.population].size
            for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
                c = &self.e.projections[k]
                n = L.first_block[c.post + 1] - L.first_block[c.post]
                if not c.procedural and c.offsets[n_pre] >= dense * n * n_pre:
                    L.cuts[k] = self._cut(c, n_pre)

    cdef uint32_t *_cut(self, const Projection *c, int64_t n_pre) except? NULL:
        """By source and block, the place in the row; NULL if targets do not ascend within rows."""
        cdef Look *L = &self.look
        cdef int64_t n = L.first_block[c.post + 1] - L.first_block[c.post], i, block
        cdef synapse_t k
        cdef uint32_t *cuts = <uint32_t *> owned(allocate(n_pre * (n + 1), sizeof(uint32_t)))
        cdef uint32_t *at = cuts
        for i in range(n_pre):
            block = 0
            for k in range(c.offsets[i], c.offsets[i + 1]):
                if k > c.offsets[i] and c.targets[k] < c.targets[k - 1]:
                    free(cuts)
                    return NULL
                while block <= c.targets[k] >> L.shift:
                    at[block] = <uint32_t> (k - c.offsets[i])
                    block += 1
            while block <= n:
                at[block] = <uint32_t> (c.offsets[i + 1] - c.offsets[i])
                block += 1
            at += n + 1
        return cuts

    cdef _make_threads(self):
        """What each thread has for itself, and what a slice needs that may be taken again."""
        cdef Look *L = &self.look
        cdef State *e = &self.e
        cdef Thread *t
        cdef Projection *c
        cdef int64_t j, k, degree = 0, table = 0
        cdef Saved *old = &L.saved
        for k in range(len(self.network.projections)):
            c = &e.projections[k]
            if c.procedural and c.degree:
                degree = max(degree, c.degree)
                table = max(table, table_size(c.degree, c.n_post - c.skip_self, c.with_replacement))
        L.n_threads = max(1, min(self.n_threads, L.n_blocks))
        L.threads = <Thread *> zeros(L.n_threads, sizeof(Thread))
        for j in range(L.n_threads):
            t = &L.threads[j]
            L.n_made += 1
            t.frames = <Frame **> zeros(e.n_populations, sizeof(Frame *))
            t.buckets = <Bucket *> zeros(L.n_blocks, sizeof(Bucket))
            t.sums = <double *> zeros(MAX_PORTS << L.shift, sizeof(double))
            t.has_sum = <uint8_t *> zeros(MAX_PORTS << L.shift, 1)
            t.has_fired = <uint8_t *> zeros(1 << L.shift, 1)
            t.touched = <Sum *> zeros(MAX_PORTS << L.shift, sizeof(Sum))
            t.together_targets = <neuron_t *> zeros(1 << L.shift, sizeof(neuron_t))
            t.together_weights = <double *> zeros(1 << L.shift, sizeof(double))
            t.e.populations = <Population *> zeros(e.n_populations, sizeof(Population))
            t.e.table = <uint32_t *> owned(allocate(table, sizeof(uint32_t)))
            memset(t.e.table, 0xFF, table * sizeof(uint32_t))
            if not reserve(&t.e.drawn, degree + 1):
                owned(NULL)
            if e.solved != NULL:
                t.e.solved = <Solved *> zeros(N_SOLVED, sizeof(Solved))
        old.x = <double **> zeros(e.n_populations, sizeof(double *))
        old.base = <Pair **> zeros(e.n_populations, sizeof(Pair *))
        old.release = <Pair **> zeros(e.n_populations, sizeof(Pair *))
        old.waiting = <uint8_t **> zeros(e.n_populations, sizeof(uint8_t *))
        old.log_size = <count_t *> zeros(e.n_populations, sizeof(count_t))
        old.next = <count_t *> zeros(L.n_lanes, sizeof(count_t))
        old.processes = <Place *> zeros(e.n_processes, sizeof(Place))

    cdef _make_saved(self):
        """Memory for the states at the beginning of a slice."""
        cdef Population *p
        cdef Saved *old = &self.look.saved
        cdef int64_t k
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            if p.x != NULL and old.x[k] == NULL:
                old.x[k] = <double *> owned(allocate_large(p.width * <int64_t> p.size, sizeof(double)))
            if p.base != NULL and old.base[k] == NULL:
                old.base[k] = <Pair *> owned(allocate_large(p.size, sizeof(Pair)))
            if p.release != NULL and old.release[k] == NULL:
                old.release[k] = <Pair *> owned(allocate_large(p.size, sizeof(Pair)))
                old.waiting[k] = <uint8_t *> owned(allocate(p.size // 8 + 1, 1))

    cdef _copy_frames(self):
        """Give each thread frames of its own, and everything else as it is."""
        cdef Look *L = &self.look
        cdef State *e = &self.e
        cdef State mine
        cdef Thread *t
        cdef Population *p
        cdef int64_t j, k
        for j in range(L.n_threads):
            t = &L.threads[j]
            mine = t.e
            t.e = e[0]
            t.e.populations, t.e.table, t.e.drawn = mine.populations, mine.table, mine.drawn
            t.e.due, t.e.found, t.e.held, t.e.driven, t.e.looked = (
                mine.due, mine.found, mine.held, mine.driven, mine.looked
            )
            t.e.solved, t.e.instant, t.e.tape = mine.solved, mine.instant, NULL
            memcpy(t.e.populations, e.populations, e.n_populations * sizeof(Population))
            for k in range(N_SOLVED if t.e.solved != NULL else 0):
                t.e.solved[k].neuron = -1
            for k in range(e.n_populations):
                p = &t.e.populations[k]
                if p.frames == NULL:
                    continue
                free(t.frames[k])
                t.frames[k] = <Frame *> owned(allocate(p.n_frames, sizeof(Frame)))
                memcpy(t.frames[k], p.frames, p.n_frames * sizeof(Frame))
                p.frames = t.frames[k]
        for j in range(L.n_threads):
            for k in range(e.n_populations):
                for i in range(L.threads[j].e.populations[k].n_frames):
                    L.threads[j].e.populations[k].frames[i].instant = -1
        L.stale = False

    # What the loop over instants has in a queue and in an agenda

    cdef _order(self):
        self.look.stale = True
        self.look.empty_slices = 0
        Engine._order(self)

    cdef _start_train(self, int64_t k):
        Engine._start_train(self, k)
        self.e.agenda.size = 0
        self.look.empty_slices = 0

    cdef _start_process(self, int64_t k):
        cdef Look *L = &self.look
        cdef Process *c
        cdef Process old
        cdef const Block *b
        cdef int64_t j, d
        L.empty_slices = 0
        if self.e.processes[k].is_source:
            Engine._start_process(self, k)
            self.e.agenda.size = 0
            return
        for j in range(L.n_blocks):
            b = &L.blocks[j]
            for d in range(b.first_drive, b.first_drive + b.n_drives):
                c = &L.drives[d]
                if c.number != k:
                    continue
                old = c[0]
                c[0] = self.e.processes[k]
                c.number = k
                c.poisson.begin, c.poisson.end = b.first, b.first + b.size
                c.poisson.events, c.poisson.capacity = old.poisson.events, old.poisson.capacity
                c.poisson.unsorted, c.poisson.unsorted_capacity = old.poisson.unsorted, old.poisson.unsorted_capacity
                c.poisson.buckets, c.poisson.buckets_capacity = old.poisson.buckets, old.poisson.buckets_capacity
                self._begin_process(c)

    def set_flights(self, emissions, last):
        """The spikes on their way, as in a state; what arrives by `last` is over."""
        cdef Look *L = &self.look
        cdef int64_t k
        cdef Pair emission
        self.e.last.n, self.e.last.s = last
        for k in range(self.e.n_populations):
            self.e.populations[k].log_start = self.e.populations[k].log_size = 0
        for k in range(L.n_lanes):
            L.lanes[k].next = 0
        L.n_cursors = 0
        self._start_inputs()
        for n, s, source in emissions.tolist():
            emission.n, emission.s = n, s
            if not send_off(L, <neuron_t> source, emission, self.e.last):
                owned(NULL)
        for k in range(L.n_lanes):
            pass_by(L, &L.lanes[k], just_after(self.e.last, self.e.H))

    def emissions(self):
        """(n, s, id) of the spikes whose effect may be still to come, ascending."""
        cdef Look *L = &self.look
        cdef int64_t j, k
        cdef Population *p
        cdef Cursor *cursor
        emissions = {}
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            trim(L, k)
            for j in range(p.log_size):
                emissions[k, p.log_start + j] = (p.log[j].emission.n, p.log[j].emission.s, p.first + p.log[j].source)
        for k in range(L.n_cursors):
            cursor = &L.cursors[k]
            emissions[cursor.population, cursor.number] = (
                cursor.emission.n, cursor.emission.s, self.e.populations[cursor.population].first + cursor.source
            )
        return np.array(sorted(emissions.values()), dtype=float).reshape(-1, 3)

    # The loop

    cdef Status _take(self, Pair until, count_t most, count_t budget):
        cdef Look *L = &self.look
        cdef Status status
        if L.stale:
            self._copy_frames()
        if most < (<count_t> 1) << 62:
            self._make_saved()
        with nogil:
            if not team_begin(&L.team, L.n_threads):
                status = NO_MEMORY
            else:
                status = take_slices(L, until, most, budget)
                team_end(&L.team)
        return status

    cdef bint _is_silent(self):
        return nothing_comes(&self.look) and not anyone_fires(&self.e)

    cdef _take_forced(self):
        cdef Look *L = &self.look
        cdef Status status
        self._copy_frames()
        L.changed = True
        with nogil:
            if not team_begin(&L.team, 1):
                status = NO_MEMORY
            else:
                status = take_slice(L, never(), (<count_t> 1) << 62, True)
                team_end(&L.team)
        if status != RUNNING:
            self._fault(status)

    def start_tape(self, double near):
        raise ValueError("the lookahead engine keeps no tape")


def shortest_slice(clock):
    """Delays between neurons that are shorter, in ms, are not for slices of time: there would be too many of these."""
    return 2.0**-20 * clock.epoch


def shortest_delay(network):
    """The smallest delay of a synapse between neurons, in ms; infinite if there is none."""
    shortest = np.inf
    for projection in network.projections:
        if network.populations[projection.pre].kernel == "source" or projection.adjacency.n_synapses == 0:
            continue
        shortest = min(shortest, float(np.min(projection.delay)))
    return shortest
