"""The backward pass: events in reverse, each of which adds the transpose of its derivative.

docs/gradients.md has the mathematics. The names of the forward pass are kept: what ..._back undoes is what the function
of the name before it does.
"""

from libc.math cimport INFINITY, isnan, nextafter
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, qsort
from libc.string cimport memset

import numpy as np

from sparseprop._core cimport TapePart
from sparseprop.engine._agenda cimport (
    CURSOR, LANE, OPENING, Item, Kind, agenda_free, agenda_has_two, agenda_pop, agenda_push, agenda_replace,
)
from sparseprop.engine._loaded cimport Loaded, owned, restore_pairs, zeros
from sparseprop.engine._delivery cimport add, arrivals_at, can_add, find_row
from sparseprop.engine._pass cimport (
    AT_A_STEP, MOST_FINDINGS, ORDER_SWAP, Delivery, Pass, Return, Stream, Synapses, add_shift, adjoint_of, back_of,
    end_of_period, find, is_swap, look_at_target, look_for_overflow, note_sums, pop_kept, since_start,
)
from sparseprop.engine._state cimport (
    FAR, NO_MEMORY, RUNNING, TIME, Population, Projection, State, Status, clear_bit, nowhere, population_of, reserve,
    set_bit,
)
from sparseprop.engine._streams_back cimport (
    entry_time, is_same, lane_time_back, opening_time, return_time,
)
from sparseprop.engine._tape cimport BEGINS, CLOSE, DRIVEN, EVENT, MERGED, PAST, SPIKE, Entry, TapeBuffer
from sparseprop.numerics._frames cimport Pair, before, enter_epoch, never, plus
from sparseprop.numerics._memory cimport allocate_large, grow
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t

from ..connectivity import extremes
from ..errors import InsufficientMemoryError


cdef inline Pair mirrored(Pair t) noexcept nogil:
    t.n = -t.n
    t.s = -t.s
    return t


cdef Status merged_row_back(Pass *b, const Synapses *c, neuron_t source, double *by_time) noexcept nogil:
    """What a row has of the merged kicks."""
    cdef Population *p = c.post
    cdef double *by_weight = b.by_weight[c.projection] if c.projection >= 0 else b.by_drive[c.process]
    cdef double *by_delay = b.by_delay[c.projection] if c.projection >= 0 else NULL
    cdef double total = 0.0, weight_sum = 0.0, of_time, w
    cdef neuron_t i
    cdef synapse_t k, at
    cdef bint crowded = b.n_near > b.n_here or b.n_close > 0 or not b.one_origin
    for k in range(c.count):
        i = p.first + c.targets[k]
        w = c.weights[k] if c.weights != NULL else c.weight
        of_time = w * b.kick_by_time[i]
        if look_at_target(b, i, source, w, &of_time) != RUNNING:
            return NO_MEMORY
        if crowded and is_swap(b, i) and back_of(p).jumps_at_spikes(p, c.targets[k], w) \
                and not find(b, ORDER_SWAP, i, source):
            return NO_MEMORY
        at = c.first + (c.places[k] if c.places != NULL else k)
        if by_weight != NULL:
            by_weight[at] += b.kick_by_weight[i]
        if by_delay != NULL:
            by_delay[at] += of_time
        weight_sum += b.kick_by_weight[i]
        total += of_time
    note_sums(b, c, weight_sum, total)
    by_time[0] += total
    return RUNNING


cdef inline Status spike_of_entry(Pass *b, count_t k) noexcept nogil:
    """The spike that is entry k of the tape."""
    cdef const Entry *entry = &b.tape.entries[k]
    cdef Population *p = &b.e.populations[population_of(b.e, entry.neuron)]
    return back_of(p).spike_back(b, p, entry.neuron - p.first, (entry.flags & DRIVEN) != 0, &b.by_time[k])


cdef void read_in(Pass *b, neuron_t i, double V, double current, double by_V) noexcept nogil:
    """V of a neuron (global id) is read now; nothing for sources."""
    cdef Population *p = &b.e.populations[population_of(b.e, i)]
    if p.ops != NULL:
        back_of(p).read_back(b, p, i - p.first, V, current, by_V)


# Deliveries, backward -------------------------------------------------------------------------------------------------

cdef Delivery *new_delivery(Pass *b, count_t entry) noexcept nogil:
    """Room for one more; NULL if there is no memory."""
    cdef Delivery *d
    if not grow(<void **> &b.deliveries, &b.deliveries_capacity, b.n_deliveries + 1, sizeof(Delivery)):
        return NULL
    d = &b.deliveries[b.n_deliveries]
    b.n_deliveries += 1
    d.entry = entry
    d.projection = -1
    d.n_projections = 1
    d.at = -1
    d.count = 0
    return d


cdef bint gather_rows(Pass *b, count_t entry, int64_t first, int64_t n) noexcept nogil:
    """The rows of a spike through n projections; False if there is no memory."""
    cdef Delivery *d
    if n == 0:
        return True
    d = new_delivery(b, entry)
    if d == NULL:
        return False
    d.projection = first
    d.n_projections = n
    return True


cdef bint gather_part(Pass *b, count_t entry, int64_t projection, synapse_t at, synapse_t count) noexcept nogil:
    cdef Delivery *d
    if count == 0:
        return True
    d = new_delivery(b, entry)
    if d == NULL:
        return False
    d.projection = projection
    d.at = at
    d.count = count
    return True


cdef bint gather_undelayed(Pass *b, count_t entry) noexcept nogil:
    """Everything that a spike reaches at its own time; False if there is no memory."""
    cdef State *e = b.e
    cdef Pair emission = entry_time(&b.tape.entries[entry])
    cdef const Population *p = &e.populations[population_of(e, b.tape.entries[entry].neuron)]
    cdef neuron_t source = b.tape.entries[entry].neuron - p.first
    cdef const Projection *c
    cdef synapse_t at
    cdef int64_t k
    if not gather_rows(b, entry, p.first_projection, p.n_projections):
        return False
    # By delays too short to move a time.
    for k in range(p.first_lane, p.first_lane + p.n_lanes):
        if is_same(plus(emission, e.lanes[k].delay, e.H), emission):
            if not gather_rows(b, entry, e.lanes[k].first_projection, e.lanes[k].n_projections):
                return False
    for k in range(p.first_delayed, p.first_delayed + p.n_delayed):
        c = &e.projections[k]
        at = c.offsets[source]
        while at < c.offsets[source + 1] and is_same(plus(emission, c.delays[at], e.H), emission):
            at += 1
        if not gather_part(b, entry, k, c.offsets[source], at - c.offsets[source]):
            return False
    return True


cdef void synapses_of(Pass *b, const Delivery *d, int64_t k, Synapses *c) noexcept nogil:
    """The synapses of a delivery in its k-th projection; valid until the next call."""
    cdef State *e = b.e
    cdef const Entry *entry = &b.tape.entries[d.entry]
    cdef const Population *p = &e.populations[population_of(e, entry.neuron)]
    cdef neuron_t source = entry.neuron - p.first
    cdef const Projection *projection
    c.places = NULL
    if d.projection < 0:
        c.projection = -1
        c.process = entry.process_low + 256 * <int64_t> entry.process_high
        c.post = &e.populations[e.processes[c.process].population]
        e.drawn.items[0] = source
        c.targets = e.drawn.items
        c.weights = NULL
        c.weight = e.processes[c.process].weight
        if e.processes[c.process].weights != NULL:
            c.weight = e.processes[c.process].weights[source]
        c.count = 1
        c.first = source
        return
    c.projection = d.projection + k
    projection = &e.projections[c.projection]
    c.post = &e.populations[projection.post]
    c.weight = projection.weight
    if d.at >= 0:
        c.targets = projection.targets + d.at
        c.weights = projection.weights + d.at if projection.weights != NULL else NULL
        c.places = projection.places + d.at
        c.count = d.count
        c.first = projection.offsets[source]
        return
    c.count = find_row(e, projection, source, &c.targets, &c.weights)
    c.first = source * projection.degree if projection.degree >= 0 else projection.offsets[source]


cdef Status deliver_back(Pass *b, bint merged) noexcept nogil:
    """All kicks of a phase."""
    cdef count_t k
    cdef Delivery *d
    cdef Synapses c
    cdef int64_t j
    cdef Status status
    cdef double *by_time
    cdef neuron_t source
    merged = merged or (b.kept != NULL and meet(b))
    if merged:
        status = merge_back(b)
        if status != RUNNING:
            return status
    for k in range(b.n_deliveries - 1, -1, -1):
        d = &b.deliveries[k]
        source = b.tape.entries[d.entry].neuron if d.projection >= 0 else -1
        by_time = &b.by_time[d.entry] if d.projection >= 0 else &b.shift
        for j in range(d.n_projections - 1, -1, -1):
            synapses_of(b, d, j, &c)
            b.n_events += c.count
            if merged and not c.post.ops.has_currents:
                status = merged_row_back(b, &c, source, by_time)
            else:
                status = back_of(c.post).row_back(b, &c, source, by_time)
            if status != RUNNING:
                return status
            if not look_for_overflow(b, by_time[0], b.tape.entries[d.entry].neuron):
                return NO_MEMORY
    b.n_deliveries = 0
    # Who still waits was due when its parameters changed.
    for k in range(b.driven.size):
        clear_bit(b.is_waiting, b.driven.items[k])
        if not isnan(b.waiting[b.driven.items[k]]):
            add_shift(b, b.waiting[b.driven.items[k]])
            if not find(b, AT_A_STEP, b.driven.items[k], -1):
                return NO_MEMORY
    b.driven.size = 0
    return RUNNING


cdef bint meet(const Pass *b) noexcept nogil:
    """Whether several kicks of a phase may be of one target."""
    cdef count_t k, n = 0
    cdef int64_t j
    cdef const Delivery *d
    for k in range(b.n_deliveries):
        d = &b.deliveries[k]
        n += d.n_projections
        for j in range(d.projection, d.projection + d.n_projections):
            if j >= 0 and b.e.projections[j].has_multapses:
                return True
    return n > 1


cdef Status merge_back(Pass *b) noexcept nogil:
    """One kick for each target, by the sum of what arrives there."""
    cdef State *e = b.e
    cdef TapeBuffer *tape = b.tape
    cdef count_t k
    cdef int64_t j
    cdef synapse_t at
    cdef Synapses c
    cdef Population *p
    cdef neuron_t i
    cdef Status status
    if not can_add(e):
        return NO_MEMORY
    for k in range(b.n_deliveries):
        for j in range(b.deliveries[k].n_projections):
            synapses_of(b, &b.deliveries[k], j, &c)
            if c.post.ops.has_currents:
                continue
            for at in range(c.count):
                if not add(e, c.post.first + c.targets[at], c.weights[at] if c.weights != NULL else c.weight, 0):
                    return NO_MEMORY
    for k in range(e.touched[0].size):
        i = e.touched[0].items[k]
        clear_bit(arrivals_at(e, 0), i)
        p = &e.populations[population_of(e, i)]
        if p.ops.notes_states and b.kept != NULL:
            status = back_of(p).merged_kick_back(b, p, i - p.first, pop_kept(b, i))
        elif p.ops.notes_states:
            tape.n_values -= 1
            tape.n_targets -= 1
            i = tape.targets[tape.n_targets]
            p = &e.populations[population_of(e, i)]
            status = back_of(p).merged_kick_back(b, p, i - p.first, tape.values[tape.n_values])
        else:
            status = back_of(p).merged_kick_back(b, p, i - p.first, 0.0)
        if status != RUNNING:
            return status
    e.touched[0].size = 0
    return RUNNING


# Spikes on their way, backward ----------------------------------------------------------------------------------------

cdef bint push_back(Pass *b, Pair time, Kind kind, int64_t index) noexcept nogil:
    if time.n >= never().n:
        return True
    return agenda_push(&b.agenda, mirrored(time), kind, index)


cdef bint open_return(Pass *b, int64_t projection, count_t entry) noexcept nogil:
    """Put a spike on its way back through a row; False if there is no memory."""
    cdef const Projection *c = &b.e.projections[projection]
    cdef neuron_t neuron = b.tape.entries[entry].neuron
    cdef neuron_t source = neuron - b.e.populations[population_of(b.e, neuron)].first
    cdef count_t k = b.free_return
    cdef Pair time
    if k < 0:
        k = b.n_returns
        if not grow(<void **> &b.returns, &b.returns_capacity, k + 1, sizeof(Return)):
            return False
        b.n_returns += 1
    else:
        b.free_return = b.returns[k].next_free
    b.returns[k].entry = entry
    b.returns[k].projection = projection
    b.returns[k].begin = c.offsets[source]
    b.returns[k].at = c.offsets[source + 1] - 1
    time = return_time(b, &b.returns[k])
    if time.n >= never().n:
        b.returns[k].next_free = b.free_return
        b.free_return = k
        return True
    return push_back(b, time, CURSOR, k)


cdef inline Pair just_after(Pair t) noexcept nogil:
    """When a row is opened that reaches something at t: before all that happens then."""
    if t.n < never().n:
        t.s = nextafter(t.s, INFINITY)
    return t


cdef inline void agenda_move_back(Pass *b, Pair time) noexcept nogil:
    """The first entry's stream goes on at `time`, or has ended if that is `never`."""
    if time.n >= never().n:
        agenda_pop(&b.agenda)
    else:
        agenda_replace(&b.agenda, mirrored(time))


cdef bint gather_first(Pass *b) noexcept nogil:
    """Take the first entry of the agenda; False if there is no memory."""
    cdef Item item = b.agenda.items[0]
    cdef Return *r
    cdef Pair now = mirrored(item.time), next
    cdef synapse_t stop
    cdef count_t entry
    if item.kind == LANE:
        if not gather_rows(b, b.lanes[item.index].at, b.e.lanes[item.index].first_projection,
                           b.e.lanes[item.index].n_projections):
            return False
        b.lanes[item.index].at -= 1
        agenda_move_back(b, lane_time_back(b, item.index))
        return True
    if item.kind == CURSOR:
        r = &b.returns[item.index]
        stop = r.at + 1
        while r.at >= r.begin and is_same(plus(entry_time(&b.tape.entries[r.entry]),
                                               b.e.projections[r.projection].delays[r.at], b.e.H), now):
            r.at -= 1
        if not gather_part(b, r.entry, r.projection, r.at + 1, stop - r.at - 1):
            return False
        next = return_time(b, r)
        agenda_move_back(b, next)
        if next.n >= never().n:
            r.next_free = b.free_return
            b.free_return = item.index
        return True
    # A row is near.
    entry = b.openings[item.index].at
    b.openings[item.index].at -= 1
    agenda_move_back(b, just_after(opening_time(b, item.index)))
    return open_return(b, item.index, entry)


cdef int compare_deliveries(const void *x, const void *y) noexcept nogil:
    cdef const Delivery *a = <const Delivery *> x
    cdef const Delivery *b = <const Delivery *> y
    if not is_same(a.emission, b.emission):
        return -1 if before(a.emission, b.emission) else 1
    if a.neuron != b.neuron:
        return -1 if a.neuron < b.neuron else 1
    if a.projection != b.projection:
        return -1 if a.projection < b.projection else 1
    return (a.entry > b.entry) - (a.entry < b.entry)


cdef bint gather_arrivals(Pass *b) noexcept nogil:
    """What was on its way and arrives now, in an order that does not depend on the agenda; False without memory."""
    cdef count_t k, first = b.n_deliveries
    cdef Delivery *d
    while b.agenda.size and is_same(mirrored(b.agenda.items[0].time), b.e.now):
        if not gather_first(b):
            return False
    if b.n_deliveries - first > 1:
        for k in range(first, b.n_deliveries):
            d = &b.deliveries[k]
            d.emission, d.neuron = entry_time(&b.tape.entries[d.entry]), b.tape.entries[d.entry].neuron
        qsort(b.deliveries + first, b.n_deliveries - first, sizeof(Delivery), compare_deliveries)
    return True


# The instant, backward ------------------------------------------------------------------------------------------------

cdef inline bint is_entry_at(const Pass *b, count_t k, Pair t) noexcept nogil:
    return k >= 0 and b.tape.entries[k].kind != PAST and is_same(entry_time(&b.tape.entries[k]), t)


cdef Pair latest(const Pass *b) noexcept nogil:
    """The latest instant that is left, or the time `nowhere` if there is none."""
    cdef Pair t = nowhere(), other
    if b.at >= 0 and b.tape.entries[b.at].kind != PAST:
        t = entry_time(&b.tape.entries[b.at])
    if b.agenda.size:
        other = mirrored(b.agenda.items[0].time)
        if before(t, other):
            t = other
    return t


cdef void go_back(Pass *b, Pair now) noexcept nogil:
    """Bring frames and adjoints to the time `now`."""
    cdef State *e = b.e
    cdef int64_t k
    cdef neuron_t j
    cdef Population *p
    cdef bint scaled
    e.now = now
    e.instant += 1
    b.t = since_start(b, now)
    for k in range(e.n_populations):
        p = &e.populations[k]
        if p.epoch == now.n:
            continue
        scaled = False
        if p.ops != NULL and back_of(p).changes_with_epochs and now.n < p.epoch:
            back_of(p).move_back(b, p, now.n)
        for j in range(p.n_frames):
            enter_epoch(&p.frames[j], now.n)
            scaled = scaled or p.frames[j].steps != 0
        p.epoch = now.n
        if scaled and back_of(p).scales_with_frame:
            back_of(p).rescale_back(b, p)


cdef void look_around(Pass *b) noexcept nogil:
    """Mark the neurons that fire within `near` of now, and those that fire now; count what this instant began with."""
    cdef State *e = b.e
    cdef const Entry *entry
    cdef count_t k = b.at, origins = 0
    b.n_here = 0
    b.n_close = 0
    while is_entry_at(b, k, e.now):
        entry = &b.tape.entries[k]
        if entry.kind == SPIKE:
            b.n_here += 1
            origins += not (entry.flags & DRIVEN)
            set_bit(e.has_fired, entry.neuron)
        elif entry.kind == CLOSE:
            set_bit(b.is_close, entry.neuron)
            b.n_close += 1
            origins += (entry.flags & DRIVEN) != 0
        elif entry.kind != MERGED:
            origins += 1
        k -= 1
    if b.agenda.size and is_same(mirrored(b.agenda.items[0].time), e.now):
        origins += 1 + agenda_has_two(&b.agenda, mirrored(e.now))
    b.one_origin = origins <= 1
    b.n_ties += origins > 1
    while b.near_high > b.near_low and \
            since_start(b, entry_time(&b.tape.entries[b.near_high - 1])) > b.t + b.near:
        b.near_high -= 1
        entry = &b.tape.entries[b.near_high]
        if entry.kind == SPIKE:
            b.n_near -= 1
            clear_bit(b.is_near, entry.neuron)
    while b.near_low > 0 and since_start(b, entry_time(&b.tape.entries[b.near_low - 1])) >= b.t - b.near:
        b.near_low -= 1
        entry = &b.tape.entries[b.near_low]
        if entry.kind == SPIKE:
            b.n_near += 1
            set_bit(b.is_near, entry.neuron)


cdef Status instant_back(Pass *b, Pair now) noexcept nogil:
    """All generations of the instant `now`, the last one first, and then what had arrived."""
    cdef TapeBuffer *tape = b.tape
    cdef count_t k, low, here
    cdef bint merged
    cdef Status status
    cdef Delivery *d
    go_back(b, now)
    look_around(b)
    here = b.at
    while True:
        merged = is_entry_at(b, b.at, now) and tape.entries[b.at].kind == MERGED
        b.at -= merged
        if not is_entry_at(b, b.at, now) or tape.entries[b.at].kind != SPIKE:
            break
        low = b.at
        while not tape.entries[low].flags & BEGINS:
            low -= 1
        ask_for_rows(b, low)
        for k in range(low, b.at + 1):
            if not gather_undelayed(b, k):
                return NO_MEMORY
        status = deliver_back(b, merged)
        if status != RUNNING:
            return status
        for k in range(b.at, low - 1, -1):
            status = spike_of_entry(b, k)
            if status != RUNNING:
                return status
        b.n_events += b.at + 1 - low
        b.at = low - 1
    while is_entry_at(b, b.at, now):
        if tape.entries[b.at].kind == CLOSE:
            b.at -= 1
            continue
        if tape.entries[b.at].kind == EVENT:
            d = new_delivery(b, b.at)
            if d == NULL:
                return NO_MEMORY
        elif not gather_undelayed(b, b.at):
            return NO_MEMORY
        b.at -= 1
    if not gather_arrivals(b):
        return NO_MEMORY
    status = deliver_back(b, merged)
    for k in range(here, b.at, -1):
        clear_bit(b.e.has_fired, tape.entries[k].neuron)
        clear_bit(b.is_close, tape.entries[k].neuron)
    return status


cdef inline void ask_for_rows(const Pass *b, count_t k) noexcept nogil:
    """Ask for the memory of spikes that come soon: all are known."""
    cdef const State *e = b.e
    cdef const Entry *entry
    cdef const Population *p
    cdef const neuron_t *targets
    cdef const double *weights
    cdef synapse_t count
    cdef int64_t c
    cdef double *by_weight
    if k < 3 or b.tape.entries[k - 3].kind != SPIKE:
        return
    entry = &b.tape.entries[k - 3]
    p = &e.populations[population_of(e, entry.neuron)]
    for c in range(p.first_projection, p.first_projection + p.n_projections):
        if e.projections[c].procedural:
            continue
        count = find_row(e, &e.projections[c], entry.neuron - p.first, &targets, &weights)
        prefetch(targets, min(count, <synapse_t> 1024) * sizeof(neuron_t))
        by_weight = b.by_weight[c]
        if by_weight != NULL:
            prefetch(by_weight + (targets - e.projections[c].targets), min(count, <synapse_t> 1024) * sizeof(double))
        if weights != NULL:
            prefetch(weights, min(count, <synapse_t> 1024) * sizeof(double))
    prefetch(adjoint_of(b, p, entry.neuron - p.first), 1)
    prefetch(&b.sums.I_e[entry.neuron], 1)
    prefetch(&b.sums.threshold[entry.neuron], 1)
    prefetch(&b.sums.V_reset[entry.neuron], 1)
    prefetch(&b.sums.t_ref[entry.neuron], 1)
    if b.tape.entries[k - 1].kind == SPIKE:
        ask_for_targets(b, b.tape.entries[k - 1].neuron)


cdef inline void ask_for_targets(const Pass *b, neuron_t neuron) noexcept nogil:
    """Ask for the adjoints of a spike's first targets; for the others there is time in the loop over the row."""
    cdef const State *e = b.e
    cdef const Population *p = &e.populations[population_of(e, neuron)]
    cdef const Population *post
    cdef const neuron_t *targets
    cdef const double *weights
    cdef synapse_t count, at
    cdef int64_t c
    for c in range(p.first_projection, p.first_projection + p.n_projections):
        post = &e.populations[e.projections[c].post]
        if e.projections[c].procedural or post.size <= FAR or post.ops == NULL:
            continue
        count = find_row(e, &e.projections[c], neuron - p.first, &targets, &weights)
        for at in range(min(count, <synapse_t> 24)):
            prefetch(adjoint_of(b, post, targets[at]), 1)


cdef Status instants_back(Pass *b, Pair until, count_t budget) noexcept nogil:
    """All instants at or after `until`, for about `budget` events."""
    cdef Pair now
    cdef Status status
    cdef count_t stop = b.n_events + budget
    while True:
        while b.agenda.size and b.agenda.items[0].kind == OPENING:
            if not gather_first(b):
                return NO_MEMORY
        now = latest(b)
        if now.n < 0 or before(now, until):
            return TIME
        if b.n_events >= stop:
            return RUNNING
        status = instant_back(b, now)
        if status != RUNNING:
            return status


cdef void begin_back(Pass *b, TapeBuffer *tape, Pair last_before, Pair last, Pair start) noexcept nogil:
    """Take up a tape at its end; its spikes have b.by_time already."""
    b.tape = tape
    b.last_before, b.last = last_before, last
    b.at = tape.size - 1
    b.near_low = b.near_high = tape.size
    if b.n_near:
        # Those of the last instants of the tape before.
        memset(b.is_near, 0, b.e.n // 8 + 1)
        b.n_near = 0
    go_back(b, last if last.n >= 0 else start)


cdef bint sort_values(Pass *b, TapeBuffer *tape) noexcept nogil:
    """Put V before kicks into an array by neuron; the tape has none then. False if there is no memory."""
    cdef neuron_t i
    cdef count_t k, total = 0, size
    free(b.kept)
    b.kept = <double *> allocate_large(tape.n_values, sizeof(double))
    if b.n_kept == NULL:
        b.n_kept = <count_t *> allocate_large(b.e.n, sizeof(count_t))
    if b.kept == NULL or b.n_kept == NULL:
        return False
    memset(b.n_kept, 0, b.e.n * sizeof(count_t))
    for k in range(tape.n_values):
        b.n_kept[tape.targets[k]] += 1
    b.kept_begin = 0
    for i in range(b.e.n):
        size = b.n_kept[i]
        b.n_kept[i] = total
        b.kept_begin += total
        total += size
    # What is the place of a neuron's next value becomes the end of all.
    for k in range(tape.n_values):
        i = tape.targets[k]
        b.kept[b.n_kept[i]] = tape.values[k]
        b.n_kept[i] += 1
    free(tape.values)
    free(tape.targets)
    tape.values, tape.targets = NULL, NULL
    tape.n_values = tape.n_targets = tape.values_capacity = tape.targets_capacity = 0
    return True


cdef bint all_popped(const Pass *b) noexcept nogil:
    """Whether no V before a kick is left."""
    cdef neuron_t i
    cdef count_t total = 0
    for i in range(b.e.n if b.kept != NULL else 0):
        total += b.n_kept[i]
    return b.kept == NULL or total == b.kept_begin


cdef bint is_used_up(const Pass *b) noexcept nogil:
    """Whether all that was on the tape has been used."""
    cdef const TapeBuffer *tape = b.tape
    if not all_popped(b):
        return False
    if tape.n_values or tape.n_targets or tape.n_releases or tape.n_currents or b.agenda.size:
        return False
    return b.at < 0 or tape.entries[b.at].kind == PAST


cdef bint begin_streams_back(Pass *b) noexcept nogil:
    """Put what takes spikes from the tape onto the agenda; False if there is no memory."""
    cdef State *e = b.e
    cdef int64_t k, j
    cdef Population *p
    b.agenda.size = 0
    b.n_returns, b.free_return = 0, -1
    for k in range(e.n_lanes):
        b.lanes[k].at = b.at
        if not push_back(b, lane_time_back(b, k), LANE, k):
            return False
    for j in range(e.n_populations):
        p = &e.populations[j]
        for k in range(p.first_delayed, p.first_delayed + p.n_delayed):
            b.openings[k].at = b.at
            if not push_back(b, just_after(opening_time(b, k)), OPENING, k):
                return False
    return True


cdef class Adjoint:
    """The backward pass over one TapePart or, from the last one on, several.

    Parameters
    ----------
    network : EngineInput
        That of the engine.
    start : tuple
        The pair from which times are counted.
    sums : dict of ndarray
        dL/d(parameter) of each neuron (global ids), added to: ``I_e, tau_m, threshold, V_reset, t_ref,
        shape``.
    by_weight, by_delay : list
        For each projection an array with one per synapse that is added to, or None.
    by_drive : list
        For each Poisson process an array with one per neuron, or None.
    wide : bool
        Whether neurons keep sums for tau_m and tau_syn where these cost something.
    near : float
        ms; kicks that come so near to a spike of their target are found.
    """

    def __cinit__(self):
        memset(&self.b, 0, sizeof(Pass))

    def __dealloc__(self):
        cdef int64_t k
        cdef Pass *b = &self.b
        if b.y != NULL:
            for k in range(b.e.n_populations):
                free(b.y[k])
        free(b.y)
        free(b.widths)
        free(b.by_release)
        free(b.at_release)
        free(b.by_weight)
        free(b.by_delay)
        free(b.by_drive)
        agenda_free(&b.agenda)
        free(b.lanes)
        free(b.openings)
        free(b.returns)
        free(b.deliveries)
        free(b.is_waiting)
        free(b.waiting)
        free(b.driven.items)
        free(b.kept)
        free(b.n_kept)
        free(b.popped)
        free(b.kick_by_weight)
        free(b.kick_by_time)
        free(b.is_near)
        free(b.is_close)
        free(b.findings)

    def __init__(self, network, start, sums, by_weight, by_delay, by_drive, bint wide, double near):
        cdef Pass *b = &self.b
        cdef State *e
        cdef int64_t k, j
        cdef Population *p
        self.loaded = Loaded(network)
        self.kept = []
        b.start.n, b.start.s = start
        e = b.e = &self.loaded.e
        b.near, b.wide, b.free_return = near, wide, -1
        b.y = <double **> zeros(e.n_populations, sizeof(double *))
        b.widths = <int64_t *> zeros(e.n_populations, sizeof(int64_t))
        for k in range(e.n_populations):
            p = &e.populations[k]
            if p.ops != NULL:
                b.widths[k] = back_of(p).adjoint_width(p, wide)
                b.y[k] = <double *> owned(allocate_large(b.widths[k] * <int64_t> p.size, sizeof(double)))
                memset(b.y[k], 0, b.widths[k] * <int64_t> p.size * sizeof(double))
        b.sums.I_e, b.sums.tau_m = self._pointer(sums["I_e"]), self._pointer(sums["tau_m"])
        b.sums.threshold, b.sums.V_reset = self._pointer(sums["threshold"]), self._pointer(sums["V_reset"])
        b.sums.t_ref, b.sums.tau_syn = self._pointer(sums["t_ref"]), self._pointer(sums["tau_syn"])
        b.sums.shape, b.sums.n = self._pointer(sums["shape"]), e.n
        n_projections, n_processes = len(network.projections), len(network.processes)
        self.weight_sums, self.delay_sums = np.zeros(n_projections + 1), np.zeros(n_projections + 1)
        self.drive_sums = np.zeros(n_processes + 1)
        b.weight_sums, b.delay_sums = &self.weight_sums[0], &self.delay_sums[0]
        b.drive_sums = &self.drive_sums[0]
        b.by_weight = <double **> zeros(n_projections, sizeof(double *))
        b.by_delay = <double **> zeros(n_projections, sizeof(double *))
        b.by_drive = <double **> zeros(n_processes, sizeof(double *))
        for k in range(n_projections):
            b.by_weight[k] = self._pointer(by_weight[e.projections[k].rank])
            b.by_delay[k] = self._pointer(by_delay[e.projections[k].rank])
        for k in range(n_processes):
            b.by_drive[k] = self._pointer(by_drive[k])
        b.is_waiting = <uint8_t *> zeros(e.n // 8 + 1, 1)
        b.is_near = <uint8_t *> zeros(e.n // 8 + 1, 1)
        b.is_close = <uint8_t *> zeros(e.n // 8 + 1, 1)
        b.waiting = <double *> zeros(e.n, sizeof(double))
        if network.changes:
            b.by_release = <double *> zeros(e.n, sizeof(double))
        for k in range(e.n_populations):
            p = &e.populations[k]
            if p.ops != NULL and p.ops.has_currents and b.at_release == NULL:
                b.at_release = <double *> zeros(e.n, sizeof(double))
            if p.ops != NULL and p.ops.notes_states and b.kick_by_weight == NULL:
                b.kick_by_weight = <double *> zeros(e.n, sizeof(double))
                b.kick_by_time = <double *> zeros(e.n, sizeof(double))
        if not reserve(&e.drawn, 1):
            owned(NULL)
        b.lanes = <Stream *> zeros(e.n_lanes, sizeof(Stream))
        b.openings = <Stream *> zeros(n_projections, sizeof(Stream))
        for k in range(e.n_lanes):
            b.lanes[k].population = e.lanes[k].population
        for k in range(e.n_populations):
            p = &e.populations[k]
            for j in range(p.first_delayed, p.first_delayed + p.n_delayed):
                b.openings[j].population = k
                b.openings[j].delay = extremes(network.projections[e.projections[j].rank].delay)[1]

    cdef double *_pointer(self, array):
        """Where an array begins; it is kept alive. NULL for None and for an empty one."""
        cdef double[::1] view
        if array is None or array.size == 0:
            return NULL
        self.kept.append(array)
        view = array
        return &view[0]

    def load(self, TapePart part, double[::1] by_time, first_before=None):
        """Go on with the part of the run that came before, which is used up.

        `by_time`, shape (len(part),), is dL/d(time) of its entries so far, and becomes all of it. `first_before` is the
        instant that was taken last before all parts, as a pair; default: this is the first one.
        """
        cdef Pass *b = &self.b
        cdef State *e = b.e
        cdef int64_t k
        cdef Population *p
        cdef bint was_loaded = self.has_begun
        cdef Pair later
        cdef neuron_t i
        later = self.part.start if was_loaded else part.start
        self.part = part
        self.by_time = by_time
        b.by_time = &by_time[0] if by_time.shape[0] else NULL
        if by_time.shape[0] != part.tape.size:
            raise ValueError(f"{by_time.shape[0]} values for {part.tape.size} entries")
        if part.tape.names_targets and not sort_values(b, part.tape):
            owned(NULL)
        begin_back(b, part.tape, part.last_before, part.last, part.start)
        b.first_before = part.last_before
        if first_before is not None:
            b.first_before.n, b.first_before.s = first_before
        if not self.has_begun:
            self.has_begun = True
            for k in range(e.n_populations):
                self._set_parameters(k, part.n_changes)
        for k in range(e.n_populations):
            p = &e.populations[k]
            if p.release != NULL and part.releases[k] is not None:
                restore_pairs(p.release, part.releases[k])
                if p.ops.has_currents:
                    # What the later part knows of periods that end in it stays.
                    for i in range(p.size):
                        if not was_loaded or not before(later, p.release[i]):
                            b.at_release[p.first + i] = b.tape.at_release[p.first + i]
                        if not was_loaded:
                            end_of_period(b, p, adjoint_of(b, p, i))[0] = since_start(b, p.release[i])
        self._begin_streams()

    cdef _begin_streams(self):
        """Begin to take spikes from the tape."""
        if not begin_streams_back(&self.b):
            owned(NULL)

    cdef _set_parameters(self, int64_t k, int64_t n_changes):
        """Give population k the parameters that it has after so many changes."""
        self.loaded._after_changes(k, n_changes)

    def run(self, until, count_t budget):
        """Take instants at or after the pair `until` in reverse; False if the budget ended it."""
        cdef Pair end
        cdef Status status
        end.n, end.s = until
        with nogil:
            status = instants_back(&self.b, end, budget)
        if status == NO_MEMORY:
            raise InsufficientMemoryError("the backward pass ran out of memory")
        return status != RUNNING

    def read(self, time, const int64_t[::1] ids, const double[::1] V, const double[::1] currents,
             const double[::1] by_V):
        """V of neurons (global ids) had these values at the pair `time`; add dL/dV.

        `currents` are the sums of their synaptic currents, 0 where there are none.
        """
        cdef int64_t k
        cdef Pair now
        now.n, now.s = time
        go_back(&self.b, now)
        if self.loaded.origins is not None:
            V = V.base - self.loaded.origins[ids.base]
        for k in range(ids.shape[0]):
            if by_V[k] != 0.0:
                read_in(&self.b, <neuron_t> ids[k], V[k], currents[k], by_V[k])

    def leave(self, time, int64_t k, const double[::1] V, bint begins, double[:, ::1] currents=None):
        """The pair `time` is where population k begins with V; dL/dV, or dL/d(-1/V) where V is infinite.

        `begins`: the whole run begins there, with these synaptic currents, and not only other parameters. The second
        result is dL/d(current), of the shape of `currents`, or None.
        """
        cdef Pair now
        cdef Population *p
        cdef double *at_start = NULL
        cdef double *by_start = NULL
        cdef double[:, ::1] by_current
        cdef double[::1] by_V = np.empty(V.shape[0])
        now.n, now.s = time
        if currents is not None:
            by_current = np.empty((currents.shape[0], currents.shape[1]))
            at_start, by_start = &currents[0, 0], &by_current[0, 0]
        go_back(&self.b, now)
        p = &self.b.e.populations[k]
        if not back_of(p).leave(&self.b, p, &V[0], begins, at_start, &by_V[0], by_start):
            owned(NULL)
        return by_V.base, None if currents is None else by_current.base

    def arrive(self, int64_t k, const double[::1] V, const double[::1] by_V, int64_t n_changes):
        """Population k has come to V now, with the parameters after so many changes."""
        cdef Population *p = &self.b.e.populations[k]
        self._set_parameters(k, n_changes)
        back_of(p).arrive(&self.b, p, &V[0], &by_V[0])

    def add_up(self):
        """Bring sums of derivatives up to date: of weights, of drives, and `shift`."""

    def is_used_up(self):
        """Whether all that was on the tape has been used."""
        return is_used_up(&self.b)

    cdef bint _is_popped(self):
        """Whether what the tape has by order of spikes and kicks has been used."""
        return all_popped(&self.b) and self.b.tape.n_releases == 0 and self.b.tape.n_currents == 0

    @property
    def shift(self):
        """dL/d(time) of all that happened at fixed times, besides spikes on the tape; and the sum of its sizes."""
        return self.b.shift, self.b.shift_size

    @property
    def ranks(self):
        """Which projection of the network the sums are of."""
        return [int(self.b.e.projections[k].rank) for k in range(len(self.loaded.network.projections))]

    @property
    def n_ties(self):
        """How many instants there were in which independent things happened."""
        return self.b.n_ties

    @property
    def findings(self):
        """(kind, neuron, source or -1, ms) of what has no gradient, and how many there are."""
        cdef count_t k
        return [
            (int(self.b.findings[k].kind), int(self.b.findings[k].neuron), int(self.b.findings[k].other),
             float(self.b.findings[k].time))
            for k in range(min(self.b.n_findings, self.b.findings_capacity, MOST_FINDINGS))
        ], int(self.b.n_findings)
