"""The instant: what the event loop does between one time and the next, for both kinds of queue.

The names of phases and the order of everything within an instant are those of engine/reference.py, which is the place
to read first.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport qsort
from libc.string cimport memset

from sparseprop.connectivity._poisson cimport event_neuron
from sparseprop.engine._agenda cimport CURSOR, LANE, PROCESS, TRAIN, Item, agenda_has_two
from sparseprop.engine._delivery cimport add, arrivals_at, can_add, find_row, sums_at, train_time
from sparseprop.engine._flights cimport (
    agenda_move, draw_interval, following, pass_cursor, pass_lane, process_time, send,
)
from sparseprop.engine._heap cimport Heap, heap_is_ordered, heap_key
from sparseprop.engine._queueing cimport (
    anyone_fires, collect_due, compare_ids, deliver_row, edge_key, enter_present, key_soon, kick_one, kicks_so_far,
    may_be_due, next_instant, next_spike_of, reset_one, soon_after,
)
from sparseprop.engine._state cimport (
    AHEAD, DISORDER, NO_MEMORY, RUNAWAY, RUNNING, SPIKES, TIME, Ahead, Arrival, Cursor, Gathered, Lane, Population,
    Process, Projection, Queue, State, Status, Train, append, clear_bit, get_bit, population_of, set_bit,
)
from sparseprop.engine._tape cimport CLOSE, DRIVEN, EMITTED, EVENT, MERGED, tape_note, tape_spike, tape_target
from sparseprop.engine._window cimport Window, window_is_ordered, window_key
from sparseprop.numerics._elementary cimport exp_many
from sparseprop.numerics._frames cimport MAX_EPOCH, Frame, Pair, before, interval, never, not_after, plus
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t


cdef extern from *:
    """
    #ifndef SPARSEPROP_DEBUG
    #define SPARSEPROP_DEBUG 0
    #endif
    """
    const int DEBUG "SPARSEPROP_DEBUG"

# Spikes of neurons ----------------------------------------------------------------------------------------------------

cdef inline bint record(State *e, neuron_t i) noexcept nogil:
    """Note a spike now; False if there is no memory."""
    if not append(&e.spike_ids, i) or not grow(<void **> &e.spike_times, &e.spike_capacity, e.spike_ids.capacity,
                                               sizeof(double)):
        return False
    e.spike_times[e.spike_ids.size - 1] = e.now.n * e.H + e.now.s
    return True


cdef inline bint note_recent(State *e, Pair time, neuron_t i) noexcept nogil:
    """Remember that a neuron has just fired; False if there is no memory."""
    if not grow(<void **> &e.recent, &e.recent_capacity, e.n_recent + 1, sizeof(Gathered)):
        return False
    e.recent[e.n_recent].time = time
    e.recent[e.n_recent].neuron = i
    e.n_recent += 1
    return True


cdef inline bint has_just_fired(State *e, Pair now) noexcept nogil:
    """Whether somebody fired within rounding of now, in an earlier instant."""
    if now.n == e.fired_time.n:
        return now.s - e.fired_time.s <= e.tolerance
    return interval(e.fired_time, now, e.H) <= e.tolerance


cdef inline bint keep_recent(State *e, Pair now) noexcept nogil:
    """All who fired within rounding of now into e.recent; False if there is no memory."""
    cdef count_t k, kept = 0
    for k in range(e.fired.size):
        if not note_recent(e, e.fired_time, e.fired.items[k]):
            return False
    e.fired.size = 0
    for k in range(e.n_recent):
        if interval(e.recent[k].time, now, e.H) <= e.tolerance:
            e.recent[kept] = e.recent[k]
            kept += 1
    e.n_recent = kept
    return True


cdef inline bint mark_close(State *e, neuron_t i) noexcept nogil:
    """Kicks of this neuron in this instant are close calls; False if there is no memory."""
    if get_bit(e.is_close, i):
        return True
    set_bit(e.is_close, i)
    return append(&e.close, i)


cdef inline void forget_close(State *e) noexcept nogil:
    cdef count_t k
    for k in range(e.close.size):
        clear_bit(e.is_close, e.close.items[k])
    e.close.size = 0


cdef inline Status fire(State *e, Queue *q) noexcept nogil:
    """Record and reset all neurons of e.due, and send their delayed spikes."""
    cdef count_t k
    cdef neuron_t i
    cdef Population *p
    cdef Status status
    for k in range(e.due.size):
        i = e.due.items[k]
        if get_bit(e.has_fired, i):
            e.faulty = i
            return RUNAWAY
        set_bit(e.has_fired, i)
        if not append(&e.fired, i) or not record(e, i):
            return NO_MEMORY
        if e.close.size:
            clear_bit(e.is_close, i)
        if e.tape != NULL and not tape_spike(e.tape, e.now, i, k == 0):
            return NO_MEMORY
        p = &e.populations[population_of(e, i)]
        status = reset_one(e, q, p, i - p.first)
        if status == RUNNING and (p.n_lanes or p.n_delayed):
            status = send(e, p, i - p.first, e.now)
        if status != RUNNING:
            return status
    e.n_spikes += e.due.size
    e.fired_time = e.now
    return RUNNING


# What arrives -------------------------------------------------------------------------------------------------------

cdef inline void prefetch_rows(State *e, const Window *q) noexcept nogil:
    """Ask for the rows of neurons that will probably fire soon, each only once in a while."""
    cdef count_t k
    cdef int64_t c
    cdef synapse_t count
    cdef const neuron_t *targets
    cdef const double *weights
    cdef neuron_t i
    cdef const Population *p
    for k in range(min(q.size, <count_t> 3)):
        i = q.entries[k].neuron
        if i == e.asked[0] or i == e.asked[1] or i == e.asked[2] or i == e.asked[3]:
            continue
        e.asked[e.next_asked] = i
        e.next_asked = (e.next_asked + 1) & 3
        p = &e.populations[population_of(e, i)]
        for c in range(p.first_projection, p.first_projection + p.n_projections):
            if not e.projections[c].procedural:
                count = find_row(e, &e.projections[c], i - p.first, &targets, &weights)
                prefetch(targets, min(count, <synapse_t> 1024) * sizeof(neuron_t))


cdef inline Status propagate_rows(State *e, Queue *q, neuron_t source, int64_t first, int64_t n) noexcept nogil:
    """The kicks of a single spike of a source (global id) through n projections by which it reaches no target twice."""
    cdef Population *p = &e.populations[population_of(e, source)]
    cdef Population *post
    cdef Projection *c
    cdef int64_t k
    cdef synapse_t count
    cdef const neuron_t *targets
    cdef const double *weights
    cdef Status status
    for k in range(first, first + n):
        c = &e.projections[k]
        count = find_row(e, c, source - p.first, &targets, &weights)
        e.n_synaptic_events += count
        post = &e.populations[c.post]
        status = deliver_row(e, q, post, targets, weights, c.weight, c.largest, count, c.port)
        if status != RUNNING:
            return status
    return RUNNING


cdef inline bint add_row(State *e, int64_t projection, neuron_t source) noexcept nogil:
    """`add` for all synapses of a source (local id); False if there is no memory."""
    cdef const Projection *c = &e.projections[projection]
    cdef neuron_t first = e.populations[c.post].first
    cdef const neuron_t *targets
    cdef const double *weights
    cdef synapse_t at, count = find_row(e, c, source, &targets, &weights)
    e.n_synaptic_events += count
    for at in range(count):
        if not add(e, first + targets[at], weights[at] if weights != NULL else c.weight, c.port):
            return False
    return True


cdef inline bint add_rows(State *e, int64_t projection, neuron_t source, count_t times) noexcept nogil:
    """The same for a source that several spikes of arrive at once: place by place, not spike by spike."""
    cdef const Projection *c = &e.projections[projection]
    cdef neuron_t first = e.populations[c.post].first
    cdef const neuron_t *targets
    cdef const double *weights
    cdef synapse_t at, count = find_row(e, c, source, &targets, &weights)
    cdef count_t _
    e.n_synaptic_events += count * times
    for at in range(count):
        for _ in range(times):
            if not add(e, first + targets[at], weights[at] if weights != NULL else c.weight, c.port):
                return False
    return True


cdef inline Status kick_touched(State *e, Queue *q) noexcept nogil:
    """One kick for each port of each neuron at which something arrived."""
    cdef count_t k
    cdef int64_t port
    cdef neuron_t i
    cdef Population *p
    cdef Status status
    cdef bint names = e.tape != NULL and e.tape.records_kicks and not e.tape.names_targets
    if names and not tape_note(e.tape, MERGED, e.now, 0, 0, 0):
        return NO_MEMORY
    for port in range(e.n_ports):
        for k in range(e.touched[port].size):
            i = e.touched[port].items[k]
            clear_bit(arrivals_at(e, port), i)
            if e.close.size and get_bit(e.is_close, i):
                e.n_close_calls += 1
            p = &e.populations[population_of(e, i)]
            if names and p.ops.notes_states and not tape_target(e.tape, i):
                return NO_MEMORY
            status = kick_one(e, q, p, i - p.first, sums_at(e, port)[i], port)
            if status != RUNNING:
                return status
        e.touched[port].size = 0
    return RUNNING


cdef inline Status propagate_many(State *e, Queue *q) noexcept nogil:
    """The kicks of all neurons in e.due: weights are added per target in order of source, projection and row."""
    cdef count_t k
    cdef int64_t c
    cdef neuron_t source
    cdef Population *p
    if not can_add(e):
        return NO_MEMORY
    for k in range(e.due.size):
        source = e.due.items[k]
        p = &e.populations[population_of(e, source)]
        for c in range(p.first_projection, p.first_projection + p.n_projections):
            if not add_row(e, c, source - p.first):
                return NO_MEMORY
    return kick_touched(e, q)


cdef inline bint arrives_now(const State *e) noexcept nogil:
    return e.agenda.size > 0 and not_after(e.agenda.items[0].time, e.now)


cdef inline Status deliver_first(State *e, Queue *q, bint *done) noexcept nogil:
    """Deliver the first entry of the agenda in a hot loop, if it is the only one now and reaches no target twice."""
    cdef Item item = e.agenda.items[0]
    cdef Lane *lane
    cdef Cursor *cursor
    cdef Projection *c
    cdef Population *p
    cdef Train *train
    cdef Pair next
    cdef synapse_t begin
    cdef count_t number, after
    cdef neuron_t source
    done[0] = False
    if agenda_has_two(&e.agenda, e.now):
        return RUNNING
    if item.kind == LANE:
        lane = &e.lanes[item.index]
        p = &e.populations[lane.population]
        number = lane.next - p.log_start
        after = following(e, lane, lane.next + 1) - p.log_start
        next = never()
        if after < p.log_size:
            next = plus(p.log[after].emission, lane.delay, e.H)
        if not lane.one_weight_per_target or not_after(next, e.now):
            return RUNNING
        done[0] = True
        lane.next = p.log_start + after
        agenda_move(e, next)
        if after + 1 < p.log_size:
            prefetch_row(e, lane, p.log[after + 1].source)
        return propagate_rows(e, q, p.first + p.log[number].source, lane.first_projection, lane.n_projections)
    if item.kind == CURSOR:
        cursor = &e.cursors[item.index]
        c = &e.projections[cursor.projection]
        if c.has_multapses:
            return RUNNING
        done[0] = True
        begin = cursor.at
        while True:
            next = pass_cursor(e, item.index)
            if not not_after(next, e.now):
                break
        agenda_move(e, next)
        return deliver_part(e, q, c, begin, cursor.at - begin)
    if item.kind == TRAIN:
        train = &e.trains[item.index]
        source = <neuron_t> train.ids[train.at]
        p = &e.populations[population_of(e, source)]
        if not p.one_weight_per_target or p.n_lanes or p.n_delayed:
            return RUNNING
        train.at += 1
        next = train_time(e, train)
        if not_after(next, e.now):
            train.at -= 1
            return RUNNING
        done[0] = True
        e.n_input_events += 1
        if e.record_sources and not record(e, source):
            return NO_MEMORY
        if e.tape != NULL and not tape_note(e.tape, EMITTED, e.now, source, 0, 0):
            return NO_MEMORY
        agenda_move(e, next)
        return propagate_rows(e, q, source, p.first_projection, p.n_projections)
    return RUNNING


cdef inline void prefetch_row(const State *e, const Lane *lane, neuron_t source) noexcept nogil:
    """Ask for the rows of a spike (of a local id) that will arrive soon."""
    cdef int64_t k
    cdef synapse_t count
    cdef const neuron_t *targets
    cdef const double *weights
    for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
        if not e.projections[k].procedural:
            count = find_row(e, &e.projections[k], source, &targets, &weights)
            prefetch(targets, min(count, <synapse_t> 1024) * sizeof(neuron_t))


cdef inline Status deliver_part(State *e, Queue *q, Projection *c, synapse_t begin, synapse_t count) noexcept nogil:
    """The kicks of a part of a row."""
    cdef Population *post = &e.populations[c.post]
    cdef const double *weights = c.weights + begin if c.weights != NULL else NULL
    e.n_synaptic_events += count
    return deliver_row(e, q, post, c.targets + begin, weights, c.weight, c.largest, count, c.port)


cdef inline Arrival *new_arrival(State *e) noexcept nogil:
    """Room for one more; NULL if there is no memory."""
    if not grow(<void **> &e.arrivals, &e.arrivals_capacity, e.n_arrivals + 1, sizeof(Arrival)):
        return NULL
    e.n_arrivals += 1
    memset(&e.arrivals[e.n_arrivals - 1], 0, sizeof(Arrival))
    return &e.arrivals[e.n_arrivals - 1]


cdef inline bint note_row(State *e, neuron_t source, neuron_t first, int64_t projection, Pair emission) noexcept nogil:
    cdef Arrival *a = new_arrival(e)
    if a == NULL:
        return False
    a.source = source
    a.target = source - first
    a.projection = projection
    a.rank = e.projections[projection].rank
    a.emission = emission
    a.at = -1
    return True


cdef inline bint note_undelayed(State *e, neuron_t source) noexcept nogil:
    """The rows without delay of a source (global id) that spikes now."""
    cdef Population *p = &e.populations[population_of(e, source)]
    cdef int64_t c
    for c in range(p.first_projection, p.first_projection + p.n_projections):
        if not note_row(e, source, p.first, c, e.now):
            return False
    return True


cdef inline bint note_event(State *e, const Process *process, int64_t index, neuron_t i) noexcept nogil:
    """For the tape: an event of a drive, at neuron i (local id); False if there is no memory."""
    if e.tape == NULL or process.is_source:
        return True
    return tape_note(e.tape, EVENT, e.now, e.populations[process.population].first + i, 0, index)


cdef inline bint note_first(State *e) noexcept nogil:
    """Take the first entry of the agenda: what arrives by it now is noted, sources that spike go into e.emitting."""
    cdef Item item = e.agenda.items[0]
    cdef Lane *lane
    cdef Cursor *cursor
    cdef Projection *c
    cdef Population *p
    cdef Process *process
    cdef Train *train
    cdef Arrival *a
    cdef Pair next
    cdef neuron_t i
    if item.kind == LANE:
        lane = &e.lanes[item.index]
        p = &e.populations[lane.population]
        for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
            if not note_row(e, p.first + p.log[lane.next - p.log_start].source, p.first, k,
                            p.log[lane.next - p.log_start].emission):
                return False
        next = pass_lane(e, lane)
    elif item.kind == CURSOR:
        cursor = &e.cursors[item.index]
        c = &e.projections[cursor.projection]
        a = new_arrival(e)
        if a == NULL:
            return False
        a.source = e.populations[cursor.population].first + cursor.source
        a.projection = cursor.projection
        a.rank = c.rank
        a.place = c.places[cursor.at]
        a.emission = cursor.emission
        a.at = cursor.at
        next = pass_cursor(e, item.index)
    elif item.kind == TRAIN:
        e.n_input_events += 1
        train = &e.trains[item.index]
        if not append(&e.emitting, <neuron_t> train.ids[train.at]):
            return False
        train.at += 1
        next = train_time(e, train)
    else:
        process = &e.processes[item.index]
        p = &e.populations[process.population]
        if process.at == process.poisson.n_events:
            if not draw_interval(e, process):
                return False
        else:
            e.n_input_events += 1
            i = event_neuron(&process.poisson, process.at)
            process.at += 1
            if not note_event(e, process, item.index, i):
                return False
            if process.is_source:
                if not append(&e.emitting, p.first + i):
                    return False
            else:
                e.n_drive_events += 1
                a = new_arrival(e)
                if a == NULL:
                    return False
                a.source = <int64_t> e.n + item.index
                a.projection = -1
                a.place = i
                a.target = p.first + i
                a.weight = process.weights[i] if process.weights != NULL else process.weight
                a.emission = e.now
        next = process_time(e, process, process.at)
    agenda_move(e, next)
    return True


cdef inline int compare_arrivals(const void *x, const void *y) noexcept nogil:
    """Source, projection, place in the row, time of emission."""
    cdef const Arrival *a = <const Arrival *> x
    cdef const Arrival *b = <const Arrival *> y
    if a.source != b.source:
        return 1 if a.source > b.source else -1
    if a.rank != b.rank:
        return 1 if a.rank > b.rank else -1
    if a.place != b.place:
        return 1 if a.place > b.place else -1
    return before(b.emission, a.emission) - before(a.emission, b.emission)


cdef inline Status deliver_all(State *e, Queue *q, bint after_spikes) noexcept nogil:
    """Everything that the agenda has for now, and (after_spikes) the undelayed spikes of e.due: one kick per target."""
    cdef count_t k, times
    cdef Arrival *a
    cdef Projection *c
    cdef Population *p
    cdef neuron_t source
    cdef Status status
    if not can_add(e):
        return NO_MEMORY
    e.n_arrivals = 0
    e.emitting.size = 0
    while arrives_now(e):
        if not note_first(e):
            return NO_MEMORY
    if e.emitting.size > 1:
        qsort(e.emitting.items, e.emitting.size, sizeof(neuron_t), compare_ids)
    for k in range(e.emitting.size):
        source = e.emitting.items[k]
        p = &e.populations[population_of(e, source)]
        if (e.record_sources and not record(e, source)) or not note_undelayed(e, source):
            return NO_MEMORY
        if e.tape != NULL and not tape_note(e.tape, EMITTED, e.now, source, 0, 0):
            return NO_MEMORY
        status = send(e, p, source - p.first, e.now) if p.n_lanes or p.n_delayed else RUNNING
        if status != RUNNING:
            return status
    if after_spikes:
        for k in range(e.due.size):
            if not note_undelayed(e, e.due.items[k]):
                return NO_MEMORY
    # By delays too short to move a time.
    while arrives_now(e):
        if not note_first(e):
            return NO_MEMORY
    if e.n_arrivals > 1:
        qsort(e.arrivals, e.n_arrivals, sizeof(Arrival), compare_arrivals)
    k = 0
    while k < e.n_arrivals:
        a = &e.arrivals[k]
        k += 1
        if a.projection < 0:
            if not add(e, a.target, a.weight, e.processes[a.source - e.n].port):
                return NO_MEMORY
        elif a.at < 0:
            times = 1
            while k < e.n_arrivals and e.arrivals[k].source == a.source and e.arrivals[k].rank == a.rank:
                times += 1
                k += 1
            if not (add_row(e, a.projection, a.target) if times == 1 else add_rows(e, a.projection, a.target, times)):
                return NO_MEMORY
        else:
            c = &e.projections[a.projection]
            e.n_synaptic_events += 1
            if not add(e, e.populations[c.post].first + c.targets[a.at],
                       c.weights[a.at] if c.weights != NULL else c.weight, c.port):
                return NO_MEMORY
    return kick_touched(e, q)


cdef inline bint note_one_close(State *e, neuron_t i, Pair t, bint arrives) noexcept nogil:
    """A neuron that fires by itself at t, if that is soon or, with arrivals, now; False if there is no memory."""
    if not (arrives or before(e.now, t)):
        return True
    if e.tape != NULL and interval(e.now, t, e.H) <= e.tape.near and not tape_note(
        e.tape, CLOSE, e.now, i, 0 if before(e.now, t) else DRIVEN, 0
    ):
        return False
    return interval(e.now, t, e.H) > e.tolerance or mark_close(e, i)


cdef inline Status note_close(State *e, Queue *q) noexcept nogil:
    """Who fires by himself within rounding of this instant, or has just done so; for the tape, who fires soon.

    Rare, but for one look at the first of the queue.
    """
    # Twice as far, so that the rounding of this bound decides nothing: that is for `note_one_close`.
    cdef double near = 2.0 * (max(e.tolerance, e.tape.near) if e.tape != NULL else e.tolerance)
    cdef double key
    cdef bint arrives = arrives_now(e)
    cdef count_t k
    cdef neuron_t i
    cdef Pair soon
    if has_just_fired(e, e.now):
        if not keep_recent(e, e.now):
            return NO_MEMORY
        for k in range(e.n_recent):
            if not mark_close(e, e.recent[k].neuron):
                return NO_MEMORY
    if Queue is Heap:
        soon = plus(e.now, near, e.H)
        if q.size == 0 or before(soon, heap_key(q, 0)):
            return RUNNING
        if not arrives and not before(e.now, heap_key(q, 0)) and (q.size < 2 or before(soon, heap_key(q, 1))) \
                and (q.size < 3 or before(soon, heap_key(q, 2))):
            return RUNNING
        return note_close_in_heap(e, q, soon, arrives)
    else:
        for k in range(e.due.size if arrives and e.collected else 0):
            if not note_one_close(e, e.due.items[k], e.now, True):
                return NO_MEMORY
        key = key_soon(e, q, near)
        if key >= edge_key(e, q):
            # Those that fire behind the edge are not among the entries.
            for i in range(e.n):
                if not note_one_close(e, i, next_spike_of(e, i), arrives):
                    return NO_MEMORY
            return RUNNING
        if q.size == 0 or q.entries[0].key > key:
            return RUNNING
        return note_close_in_window(e, q, key, arrives)


cdef inline Status note_close_in_heap(State *e, Heap *q, Pair soon, bint arrives) noexcept nogil:
    """Look at the top of the heap, O(the number of those up to `soon`)."""
    cdef count_t k = 0
    cdef int64_t child
    cdef neuron_t at
    e.looked.size = 0
    if not append(&e.looked, 0):
        return NO_MEMORY
    while k < e.looked.size:
        at = e.looked.items[k]
        k += 1
        if not note_one_close(e, q.entries[at].neuron, heap_key(q, at), arrives):
            return NO_MEMORY
        for child in range(2 * <int64_t> at + 1, min(2 * <int64_t> at + 3, <int64_t> q.size)):
            if not before(soon, heap_key(q, <neuron_t> child)) and not append(&e.looked, <neuron_t> child):
                return NO_MEMORY
    return RUNNING


cdef inline Status note_close_in_window(State *e, Window *q, double key, bint arrives) noexcept nogil:
    """Look at the entries up to `key`."""
    cdef count_t k = 0, child
    cdef neuron_t i
    e.looked.size = 0
    if not append(&e.looked, 0):
        return NO_MEMORY
    while k < e.looked.size:
        child = 2 * <count_t> e.looked.items[k] + 1
        i = q.entries[e.looked.items[k]].neuron
        k += 1
        if not note_one_close(e, i, next_spike_of(e, i), arrives):
            return NO_MEMORY
        while child < q.size and child <= 2 * <count_t> e.looked.items[k - 1] + 2:
            if q.entries[child].key <= key and not append(&e.looked, <neuron_t> child):
                return NO_MEMORY
            child += 1
    return RUNNING


cdef inline Status take_instant(State *e, Queue *q) noexcept nogil:
    """What arrives at e.now, and all generations of spikes."""
    cdef bint done = False
    cdef Status status
    enter_present(e, q)
    e.last = e.now
    if (e.crowded or e.tape != NULL or has_just_fired(e, e.now)) and note_close(e, q) != RUNNING:
        return NO_MEMORY
    e.crowded = True
    if arrives_now(e):
        # Targets are looked at one by one where some of them are close to a spike.
        status = RUNNING if e.close.size else deliver_first(e, q, &done)
        if status == RUNNING and not done:
            status = deliver_all(e, q, False)
        if status != RUNNING:
            return status
    return take_generations(e, q)


cdef inline Status take_generations(State *e, Queue *q) noexcept nogil:
    """Generations of spikes at e.now until nobody fires."""
    cdef Status status
    cdef count_t k
    cdef Population *p
    e.fired.size = 0
    while True:
        status = collect_due(e, q)
        if status != RUNNING:
            return status
        if e.due.size == 0:
            break
        if Queue is Window:
            prefetch_rows(e, q)
        status = fire(e, q)
        if status != RUNNING:
            return status
        p = &e.populations[population_of(e, e.due.items[0])]
        if arrives_now(e):
            status = deliver_all(e, q, True)
        elif e.due.size == 1 and p.one_weight_per_target and e.close.size == 0:
            status = propagate_rows(e, q, e.due.items[0], p.first_projection, p.n_projections)
        else:
            status = propagate_many(e, q)
        if status != RUNNING:
            return status
    for k in range(e.fired.size):
        clear_bit(e.has_fired, e.fired.items[k])
    forget_close(e)
    if DEBUG and not is_sound(e, q):
        return DISORDER
    return RUNNING


cdef inline bint is_sound(const State *e, const Queue *q) noexcept nogil:
    """The audit of a debug build: the queue's order, and (small networks) that the window misses nobody."""
    cdef neuron_t i
    cdef count_t k
    cdef Pair t
    cdef double key
    cdef const Population *p
    if Queue is Heap:
        return heap_is_ordered(q)
    else:
        for i in range(e.n if e.n <= 300 else 0):
            t = next_spike_of(e, i)
            if not before(t, q.edge):
                continue
            k = 0
            p = &e.populations[population_of(e, i)]
            key = p.ops.coordinate(q, p, i - p.first) if q.has_coordinates else window_key(q, t, e.H)
            key = soon_after(e, q, key)
            while k < q.size and not (q.entries[k].neuron == i and q.entries[k].key <= key):
                k += 1
            if k == q.size:
                return False
        return window_is_ordered(q)


cdef inline Pair a_little_before(Pair t, double by, double H) noexcept nogil:
    """t less a time that is short against an epoch."""
    t.s -= by
    if t.s < 0.0:
        t.n -= 1
        t.s += H
    return t


cdef inline void look_ahead(State *e, const Process *process, const Population *p) noexcept nogil:
    """The frame's numbers at an event of a drive, if they are one exponential: of the next events, all at once."""
    cdef Frame *f = p.frames
    cdef Ahead *ahead = &e.ahead
    cdef count_t at
    cdef int64_t j
    if p.n_frames != 1 or f.rotates or f.couples:
        return
    at = process.at - ahead.first
    if not (0 <= at < ahead.n and ahead.process == process and ahead.k == process.poisson.k and ahead.scale == f.scale):
        ahead.process, ahead.k, ahead.first, ahead.scale = process, process.poisson.k, process.at, f.scale
        ahead.n = min(process.poisson.n_events - process.at, <count_t> AHEAD)
        at = 0
        for j in range(ahead.n):
            ahead.s[j] = process_time(e, process, process.at + j).s
            ahead.growth[j] = ahead.s[j] / f.scale
        exp_many(ahead.growth, ahead.growth, ahead.n)
    if ahead.s[at] == e.now.s:
        # As by `enter_instant`.
        f.E = f.start * ahead.growth[at]
        f.instant = e.instant


cdef inline Status take_kicks(State *e, Window *q, Pair until, count_t stop) noexcept nogil:
    """Single kicks that are first on the agenda (events of drives, synapses with their own delays), one after the
    other as long as nothing else happens."""
    cdef Item item
    cdef Process *process
    cdef Cursor *cursor
    cdef Projection *c
    cdef Population *p
    cdef Pair next
    cdef neuron_t i
    cdef int64_t port
    cdef double weight
    cdef Status status
    # Nobody is within rounding of a spike (see `note_close`) between these two.
    cdef Pair begin = plus(e.fired_time, 2.0 * e.tolerance, e.H)
    cdef Pair end = a_little_before(q.edge, 4.0 * e.tolerance, e.H)
    if before(until, end):
        end = until
    while e.agenda.size and e.n_spikes + kicks_so_far(e) < stop:
        item = e.agenda.items[0]
        if item.kind == PROCESS:
            process = &e.processes[item.index]
            if process.is_source or process.at == process.poisson.n_events:
                return RUNNING
            next = process_time(e, process, process.at + 1)
            p = &e.populations[process.population]
            i = event_neuron(&process.poisson, process.at)
            weight = process.weights[i] if process.weights != NULL else process.weight
            port = process.port
        elif item.kind == CURSOR:
            cursor = &e.cursors[item.index]
            c = &e.projections[cursor.projection]
            next = never()
            if cursor.at + 1 < cursor.stop:
                next = plus(cursor.emission, c.delays[cursor.at + 1], e.H)
            p = &e.populations[c.post]
            i = c.targets[cursor.at]
            weight = c.weights[cursor.at] if c.weights != NULL else c.weight
            port = c.port
        else:
            return RUNNING
        if (
            not before(item.time, end) or not before(item.time, next) or agenda_has_two(&e.agenda, item.time)
            or before(item.time, begin) or (q.size and may_be_due(e, q, item.time))
        ):
            return RUNNING
        e.now = item.time
        e.last = item.time
        if p.epoch != item.time.n:
            enter_present(e, q)
        else:
            e.instant += 1
        if e.tape != NULL:
            # For the tape alone: nobody is within rounding.
            if note_close(e, q) != RUNNING:
                return NO_MEMORY
            forget_close(e)
        if item.kind == PROCESS:
            e.n_input_events += 1
            e.n_drive_events += 1
            if not note_event(e, process, item.index, i):
                return NO_MEMORY
            look_ahead(e, process, p)
            process.at += 1
            if process.at + 8 < process.poisson.n_events:
                prefetch(&p.x[p.width * event_neuron(&process.poisson, process.at + 8)], 1)
        else:
            e.n_synaptic_events += 1
            pass_cursor(e, item.index)
        agenda_move(e, next)
        status = kick_one(e, q, p, i, weight, port)
        if status == RUNNING and e.driven.size:
            # Who fires may reach the stop rule.
            return take_generations(e, q)
        if status != RUNNING:
            return status
    return RUNNING


cdef inline Status take_instants(State *e, Queue *q, Pair until, count_t max_spikes, count_t budget) noexcept nogil:
    """Instants before `until`, up to `max_spikes` spikes in all, for about `budget` events."""
    cdef Status status
    cdef Pair instant, known
    cdef count_t stop = e.n_spikes + kicks_so_far(e) + budget
    while e.n_spikes < max_spikes:
        if Queue is Window:
            if e.agenda.size:
                status = take_kicks(e, q, until, stop)
                if status != RUNNING:
                    return status
                if e.n_spikes >= max_spikes:
                    break
        if e.n_spikes + kicks_so_far(e) >= stop:
            return RUNNING
        known = e.agenda.items[0].time if e.agenda.size else never()
        status = next_instant(e, q, until if before(until, known) else known, &instant)
        if status != RUNNING:
            return status
        if not before(instant, known):
            instant = known
        if before(instant, until):
            e.now = instant
            status = take_instant(e, q)
            if status != RUNNING:
                return status
            continue
        if until.n < MAX_EPOCH:
            e.now = until
            enter_present(e, q)
        return TIME
    return SPIKES


cdef inline bint is_silent(State *e) noexcept nogil:
    """Whether nothing will ever happen, as things are."""
    return not something_comes(e) and not anyone_fires(e)


cdef inline bint something_comes(State *e) noexcept nogil:
    """Whether the agenda has anything."""
    cdef count_t j
    for j in range(e.agenda.size):
        if e.agenda.items[j].time.n < never().n:
            return True
    return False
