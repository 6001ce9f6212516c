# What all kinds of neurons share, for a kind `Model` that models/_<m>.pxd declares: included by the unit that setup.py
# writes for that file. models/_neuron.pxd says what is asked of a Model. `m` is a neuron's parameters, i its local id.

from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from sparseprop.engine._heap cimport Heap, heap_move
from sparseprop.engine._state cimport (
    FAR, N_SOLVED, NO_MEMORY, NUMERICAL, RUNNING, Ops, Population, Queue, Solved, State, Status, append, clear_bit,
    get_bit, reserve, set_bit,
)
from sparseprop.engine._tape cimport tape_current, tape_drive, tape_release, tape_targets, tape_values
from sparseprop.engine._window cimport Window, window_append, window_key, window_push
from sparseprop.models._neuron cimport Neurons
from sparseprop.numerics._constants cimport SCALE_DOWN
from sparseprop.numerics._frames cimport Frame, Pair, before, enter_instant, interval, place_edge, plus
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport neuron_t

cdef enum:
    # Neurons that are scanned at a time, so that the scratch of a scan stays small.
    SCAN_BLOCK = 4096


# One neuron -----------------------------------------------------------------------------------------------------------

cdef inline const Model *row(const Population *p, neuron_t i) noexcept nogil:
    return (<const Model *> p.rows) + i if p.heterogeneous else <const Model *> p.rows


cdef inline double *state_of(const Population *p, const Model *m, neuron_t i) noexcept nogil:
    return p.x + width_of(m) * <int64_t> i


cdef inline Pair *base_of(const Population *p, neuron_t i) noexcept nogil:
    return p.base + i if p.base != NULL else NULL


cdef inline Frame *frame_now(const State *e, const Population *p, const Model *m) noexcept nogil:
    cdef Frame *f = &p.frames[m.frame]
    enter_instant(f, e.now, e.instant)
    enter_other_frames(m, p.frames, e.now, e.instant)
    return f


cdef inline Pair solved(const State *e, const Population *p, const Model *m, neuron_t i, Pair since) noexcept nogil:
    """`next_crossing` of neuron i, from memory if it was asked for in the same state before."""
    cdef Solved *memory = &e.solved[(p.first + i) & (N_SOLVED - 1)]
    cdef const double *x = state_of(p, m, i)
    cdef int64_t width = width_of(m)
    if memory.neuron != p.first + i or memcmp(memory.state, x, width * sizeof(double)) != 0:
        memory.t = next_crossing(m, x, base_of(p, i), &p.frames[m.frame], since, p.epoch, e.H)
        memory.neuron = p.first + i
        memcpy(memory.state, x, width * sizeof(double))
    return memory.t


cdef Pair next_spike(const State *e, const Population *p, neuron_t i) noexcept nogil:
    """When neuron i fires without input, not before the end of its refractory period."""
    cdef const Model *m = row(p, i)
    cdef Pair since = e.now, t
    if p.release != NULL and before(e.now, p.release[i]):
        since = p.release[i]
    if is_costly(m):
        t = solved(e, p, m, i, since)
    else:
        t = next_crossing(m, state_of(p, m, i), base_of(p, i), &p.frames[m.frame], since, p.epoch, e.H)
    if p.release != NULL and before(t, p.release[i]):
        return p.release[i]
    return t


cdef inline bint has_own(const Window *q, const Population *p) noexcept nogil:
    """Whether p.own is of the present epoch and edge."""
    return p.own != NULL and p.own_epoch == p.epoch and p.own_edge.n == q.edge.n and p.own_edge.s == q.edge.s


cdef inline Neurons own_of(const Population *p) noexcept nogil:
    """What `own_crosses` and its like read."""
    cdef Neurons all
    all.x, all.size, all.one_frame = p.x, p.size, p.one_frame
    all.own, all.edges, all.shared = p.own, p.edges, p.shared
    return all


cdef inline void place_edge_for(const State *e, const Window *q, const Population *p, const Model *m) noexcept nogil:
    """The edge in the frames of one neuron; with p.own, and many frames, this is done where it is asked for."""
    cdef double ahead = interval(e.now, q.edge, e.H)
    place_edge(&p.frames[m.frame], p.epoch, q.edge, ahead, e.H)
    place_other_edges(m, p.frames, p.epoch, q.edge, ahead, e.H)


cdef double earliest(const State *e, const Window *q, const Population *p, neuron_t i) noexcept nogil:
    """A key that is not above that of neuron i, and cheap; infinite if it does not fire before the edge."""
    cdef Neurons all
    if not has_own(q, p):
        return -INFINITY
    all = own_of(p)
    if not own_crosses(&all, i) or (p.release != NULL and not before(p.release[i], q.edge)):
        return INFINITY
    return window_key(q, q.edge, e.H) - own_lead(&all, i)


cdef bint fires_before_edge(const State *e, const Window *q, const Population *p, neuron_t i) noexcept nogil:
    """Whether neuron i may fire before the window's edge; cheap, and never False if it does."""
    cdef const Model *m
    cdef Neurons all
    if p.release != NULL and not before(p.release[i], q.edge):
        return False
    if has_own(q, p):
        all = own_of(p)
        if not own_crosses(&all, i):
            return False
        if p.own_suffices:
            return True
        if not p.one_frame:
            place_edge_for(e, q, p, row(p, i))
    m = row(p, i)
    return crosses_before_edge(m, state_of(p, m, i), base_of(p, i), p.frames, e.now, e.instant, q.edge, e.H)


cdef double window_coordinate(const Window *q, const Population *p, neuron_t i) noexcept nogil:
    """The key of neuron i in a window that orders by coordinates; infinite if it does not fire before the edge."""
    cdef const Model *m = row(p, i)
    if p.release != NULL and not before(p.release[i], q.edge):
        return INFINITY
    return coordinate(m, state_of(p, m, i), &p.frames[m.frame])


cdef Status schedule(State *e, Queue *q, const Population *p, neuron_t i) noexcept nogil:
    """Neuron i has a new state from which it may fire sooner than the queue knows."""
    cdef const Model *m = row(p, i)
    cdef Pair t
    cdef double key
    if Queue is Heap:
        heap_move(q, p.first + i, next_spike(e, p, i))
    elif q.has_coordinates:
        key = window_coordinate(q, p, i)
        if key <= q.edge_key and not window_push(q, key, p.first + i):
            return NO_MEMORY
    else:
        if p.own != NULL:
            key = earliest(e, q, p, i)
            if key > -INFINITY:
                if key < INFINITY and (q.live == NULL or key < q.live[p.first + i]):
                    return RUNNING if window_push(q, key, p.first + i) else NO_MEMORY
                return RUNNING
        if has_soonest(m) and (p.release == NULL or not before(e.now, p.release[i])):
            # An earlier entry is looked at before this neuron can fire.
            key = window_key(q, e.now, e.H) + soonest(m, state_of(p, m, i), p.frames, e.now, e.instant)
            if key >= q.live[p.first + i] or key >= window_key(q, q.edge, e.H) + e.margin:
                return RUNNING
            if fires_before_edge(e, q, p, i) and not window_push(q, key, p.first + i):
                return NO_MEMORY
        elif fires_before_edge(e, q, p, i):
            t = next_spike(e, p, i)
            if before(t, q.edge):
                key = window_key(q, t, e.H)
                if q.live != NULL and key >= q.live[p.first + i]:
                    return RUNNING
                if not window_push(q, key, p.first + i):
                    return NO_MEMORY
    return RUNNING


cdef enum Outcome:
    DROPPED     # in the refractory period, of a neuron without synaptic currents
    HELD        # in the refractory period: the currents have changed
    KICKED
    DROVE       # to threshold or above
    FAILED      # out of range: the state is as it was, and e.faulty says whose


cdef inline Outcome give_kick(State *e, Population *p, const Model *m, neuron_t i, double weight,
                              int64_t port) noexcept nogil:
    """V, or the current of a port, += weight now."""
    cdef Frame *f
    cdef double *x = state_of(p, m, i)
    if p.release != NULL and get_bit(p.waiting, i):
        if before(e.now, p.release[i]):
            if not has_currents(m):
                return DROPPED
            if not kick_held(m, x, &p.frames[m.frame], e.now, e.H, weight, port):
                e.faulty = p.first + i
                return FAILED
            if e.tape != NULL:
                e.tape.at_release[p.first + i] += weight * left_of_current(
                    m, port, interval(e.now, p.release[i], e.H)
                )
            return HELD
        clear_bit(p.waiting, i)
    f = frame_now(e, p, m)
    if not kick_state(m, x, base_of(p, i), f, e.now, e.H, weight, port):
        e.faulty = p.first + i
        return FAILED
    if weight > 0.0 and over_threshold(m, x, f):
        if e.tape != NULL:
            tape_drive(e.tape, p.first + i)
        return DROVE
    return KICKED


cdef inline Status kick_neuron(State *e, Queue *q, Population *p, neuron_t i, double weight,
                               int64_t port) noexcept nogil:
    """The kick, then the neuron's place in the queue."""
    cdef const Model *m = row(p, i)
    cdef Outcome outcome = give_kick(e, p, m, i, weight, port)
    if outcome == DROPPED:
        return RUNNING
    if outcome == HELD:
        return schedule(e, q, p, i)
    if outcome == FAILED:
        return NUMERICAL
    if Queue is Heap:
        heap_move(q, p.first + i, e.now if outcome == DROVE else next_spike(e, p, i))
        return RUNNING
    else:
        if outcome == DROVE:
            return RUNNING if append(&e.driven, p.first + i) else NO_MEMORY
        if p.oscillates and brings_forward(m, state_of(p, m, i), &p.frames[m.frame], weight, port):
            return schedule(e, q, p, i)
        return RUNNING


cdef inline bint note_currents(State *e, Population *p, const Model *m, neuron_t i) noexcept nogil:
    """For the tape, before a reset: the currents at the spike and, for now, at the end of its refractory period."""
    cdef const double *x = state_of(p, m, i)
    cdef const Frame *f = &p.frames[m.frame]
    cdef double *at_release
    if p.release != NULL:
        at_release = &e.tape.at_release[p.first + i]
        if not tape_current(e.tape, at_release[0]):
            return False
        at_release[0] = current_at(m, x, f, plus(e.now, m.t_ref, e.H), e.H)
    return tape_current(e.tape, current_at(m, x, f, e.now, e.H))


cdef inline Status renew(State *e, Population *p, const Model *m, neuron_t i) noexcept nogil:
    """The state after a spike now, and the refractory period."""
    cdef Frame *f = frame_now(e, p, m)
    cdef Pair release = e.now
    if has_currents(m):
        if e.tape != NULL and not note_currents(e, p, m, i):
            return NO_MEMORY
    if p.release != NULL:
        if e.tape != NULL and not tape_release(e.tape, p.release[i]):
            return NO_MEMORY
        release = plus(e.now, m.t_ref, e.H)
        p.release[i] = release
        set_bit(p.waiting, i)
    reset_at(m, state_of(p, m, i), base_of(p, i), f, p.epoch, release, p.release == NULL, e.H)
    return RUNNING


cdef Status reset(State *e, Queue *q, Population *p, neuron_t i) noexcept nogil:
    """The state after a spike now, and the neuron's place in the queue."""
    cdef Status status = renew(e, p, row(p, i), i)
    return schedule(e, q, p, i) if status == RUNNING else status


cdef double voltage(const State *e, const Population *p, neuron_t i) noexcept nogil:
    cdef const Model *m = row(p, i)
    if p.release != NULL and before(e.now, p.release[i]):
        return m.V_reset
    return voltage_at(m, state_of(p, m, i), base_of(p, i), frame_now(e, p, m), e.now, e.H)


cdef double port_current_of(const State *e, const Population *p, neuron_t i, int64_t port) noexcept nogil:
    cdef const Model *m = row(p, i)
    return port_current(m, state_of(p, m, i), e.now, e.H, port)


cdef double current_sum(const State *e, const Population *p, neuron_t i, Pair t) noexcept nogil:
    cdef const Model *m = row(p, i)
    return current_at(m, state_of(p, m, i), &p.frames[m.frame], t, e.H)


cdef bint is_unchanged(const Population *p, neuron_t i, Pair since) noexcept nogil:
    cdef const Model *m = row(p, i)
    return is_unchanged_since(m, state_of(p, m, i), since)


cdef void place_one(State *e, Population *p, neuron_t i, double V, double refractory) noexcept nogil:
    """Neuron i at voltage V now, or refractory for a time in ms, in both cases without synaptic currents."""
    cdef const Model *m = row(p, i)
    cdef Frame *f = frame_now(e, p, m)
    if refractory > 0.0:
        p.release[i] = plus(e.now, refractory, e.H)
        set_bit(p.waiting, i)
        place_at(m, state_of(p, m, i), base_of(p, i), m.V_reset, f, e.now)
        reset_at(m, state_of(p, m, i), base_of(p, i), f, p.epoch, p.release[i], False, e.H)
    else:
        if p.release != NULL and before(e.now, p.release[i]):
            p.release[i] = e.now
        place_at(m, state_of(p, m, i), base_of(p, i), V, f, e.now)


cdef void place_currents(State *e, Population *p, neuron_t i, const double *currents) noexcept nogil:
    """Synaptic currents of a neuron that has none, by port: they are kicks."""
    cdef const Model *m = row(p, i)
    cdef int64_t k
    for k in range(ports_of(m) if has_currents(m) else 0):
        if currents[k] == 0.0:
            continue
        if p.release != NULL and before(e.now, p.release[i]):
            kick_held(m, state_of(p, m, i), &p.frames[m.frame], e.now, e.H, currents[k], k)
        else:
            kick_state(m, state_of(p, m, i), base_of(p, i), frame_now(e, p, m), e.now, e.H, currents[k], k)


# Whole populations ----------------------------------------------------------------------------------------------------

cdef void place(State *e, Population *p, const double *V, const double *refractory) noexcept nogil:
    """The initial states: at voltage V, or V_reset for the refractory (remaining times in ms)."""
    cdef neuron_t i
    for i in range(p.size):
        place_one(e, p, i, V[i], refractory[i] if refractory != NULL else 0.0)


cdef void rescale(Population *p) noexcept nogil:
    """Take the powers of two that left the frames out of the states, one step after the other."""
    cdef neuron_t i
    cdef int64_t _
    cdef const Model *m
    cdef double *x
    for i in range(p.size):
        m = row(p, i)
        x = state_of(p, m, i)
        if keeps_its_scale(m, x):
            continue
        for _ in range(p.frames[m.frame].steps):
            x[0] *= SCALE_DOWN


cdef void look(const State *e, const Population *p, double *seen) noexcept nogil:
    """What `take_over` needs of the states under the parameters so far: two numbers for each neuron."""
    cdef neuron_t i
    cdef const Model *m
    for i in range(p.size):
        m = row(p, i)
        seen_state(m, state_of(p, m, i), base_of(p, i), frame_now(e, p, m), e.now, e.H, seen + 2 * <int64_t> i)


cdef void take_over(State *e, Population *p, const void *old, bint heterogeneous, const double *seen) noexcept nogil:
    """The states of neurons whose parameters change now from those of the rows `old`; V stays."""
    cdef const Model *old_rows = <const Model *> old
    cdef neuron_t i
    cdef const Model *m
    cdef Frame *f
    for i in range(p.size):
        m = row(p, i)
        f = frame_now(e, p, m)
        if p.release != NULL and before(e.now, p.release[i]):
            reset_at(m, state_of(p, m, i), base_of(p, i), f, p.epoch, p.release[i], False, e.H)
        else:
            place_seen(m, old_rows + i if heterogeneous else old_rows, state_of(p, m, i), base_of(p, i),
                       seen + 2 * <int64_t> i, f, e.now, e.H)


cdef inline Neurons neurons_now(const State *e, const Window *q, Population *p) noexcept nogil:
    """A population, for the loops over many of its neurons."""
    cdef Neurons all = own_of(p)
    all.base = p.base
    all.far = p.size > FAR
    all.drift = &p.drift
    all.waiting = p.waiting
    all.frame = frame_now(e, p, <const Model *> p.rows)
    all.now = e.now
    all.edge = q.edge
    all.H = e.H
    return all


cdef Status note_states(State *e, Population *p, const neuron_t *targets, int64_t count) noexcept nogil:
    """For the tape: V of neurons that are about to be kicked, NaN where the kick will be dropped."""
    cdef double *values
    cdef const Model *m = <const Model *> p.rows
    cdef int64_t k
    if count == 0:
        return RUNNING
    values = tape_values(e.tape, count)
    if values == NULL or (e.tape.names_targets and not tape_targets(e.tape, p.first, targets, count)):
        return NO_MEMORY
    if p.plain and voltages_of_row(m, p.x, frame_now(e, p, m), targets, count, values):
        return RUNNING
    for k in range(count):
        if p.release != NULL and before(e.now, p.release[targets[k]]):
            values[k] = NAN
        else:
            values[k] = voltage(e, p, targets[k])
    return RUNNING


cdef Status kick(State *e, Queue *q, Population *p, neuron_t i, double weight, int64_t port) noexcept nogil:
    """`kick_neuron`, and what the tape needs."""
    if notes_states(<const Model *> p.rows) and e.tape != NULL and note_states(e, p, &i, 1) != RUNNING:
        return NO_MEMORY
    return kick_neuron(e, q, p, i, weight, port)


cdef Status deliver(State *e, Queue *q, Population *p, const neuron_t *targets, const double *weights, double weight,
                    double largest, int64_t count, int64_t port) noexcept nogil:
    """Kick each of `count` targets (local ids) once; no weight is larger in size than `largest`."""
    cdef const Model *m = <const Model *> p.rows
    cdef Neurons all
    cdef int64_t k, n, held
    cdef Status status
    if notes_states(m) and e.tape != NULL and note_states(e, p, targets, count) != RUNNING:
        return NO_MEMORY
    if Queue is Window:
        if not p.heterogeneous or p.own != NULL:
            if not reserve(&e.found, count + 1) or not reserve(&e.held, count):
                return NO_MEMORY
            all = neurons_now(e, q, p)
            if p.heterogeneous:
                take_own(e, q, p)
                n = kick_each(m, &all, targets, weights, weight, largest, count, port, e.found.items, e.held.items,
                              &held)
            else:
                n = kick_row(m, &all, targets, weights, weight, largest, count, port, e.found.items, e.held.items,
                             &held)
            if n >= 0:
                for k in range(n):
                    status = settle(e, q, p, e.found.items[k])
                    if status != RUNNING:
                        return status
                for k in range(held):
                    n = e.held.items[k]
                    status = kick_neuron(e, q, p, targets[n], weights[n] if weights != NULL else weight, port)
                    if status != RUNNING:
                        return status
                return RUNNING
    for k in range(count):
        if k + 16 < count:
            prefetch(&p.x[p.width * targets[k + 16]], p.width * sizeof(double))
        status = kick_neuron(e, q, p, targets[k], weights[k] if weights != NULL else weight, port)
        if status != RUNNING:
            return status
    return RUNNING


cdef void take_own(const State *e, const Window *q, Population *p) noexcept nogil:
    """p.own for the present epoch and edge, if it is of others."""
    cdef Neurons all
    cdef neuron_t i
    if has_own(q, p):
        return
    all = own_of(p)
    all.now = e.now
    if p.own_epoch != p.epoch:
        for i in range(p.size):
            own_numbers(row(p, i), &p.frames[row(p, i).frame], &all, i)
    own_edges(<const Model *> p.rows, &all, <double> (q.edge.n - p.epoch) * e.H + q.edge.s,
              interval(e.now, q.edge, e.H))
    if p.one_frame and not p.own_suffices:
        place_edge_for(e, q, p, <const Model *> p.rows)
    p.own_epoch = p.epoch
    p.own_edge = q.edge


cdef inline Status settle(State *e, Window *q, Population *p, neuron_t i) noexcept nogil:
    """The place in the queue of a neuron that a kick brought near its threshold."""
    cdef const Model *m = row(p, i)
    if over_threshold(m, state_of(p, m, i), frame_now(e, p, m)):
        if e.tape != NULL:
            tape_drive(e.tape, p.first + i)
        return RUNNING if append(&e.driven, p.first + i) else NO_MEMORY
    return schedule(e, q, p, i)


cdef Status scan(State *e, Window *q, Population *p) noexcept nogil:
    """Append an entry for every neuron of the population that fires before the edge."""
    cdef const Model *m = <const Model *> p.rows
    cdef Neurons all
    cdef int64_t k, n, found
    cdef neuron_t i
    cdef Pair t
    cdef double key
    if not p.heterogeneous or p.own != NULL:
        all = neurons_now(e, q, p)
    if p.heterogeneous and p.own != NULL:
        take_own(e, q, p)
    k = 0
    while k < p.size:
        n = min(<int64_t> p.size - k, SCAN_BLOCK)
        if not reserve(&e.found, n):
            return NO_MEMORY
        if not p.heterogeneous:
            found = scan_block(m, &all, k, n, e.found.items)
        else:
            found = scan_each(m, &all, k, n, e.found.items) if p.own != NULL else -1
        if found < 0:
            found = 0
            for i in range(n):
                if fires_before_edge(e, q, p, <neuron_t> k + i):
                    e.found.items[found] = i
                    found += 1
        for n in range(found):
            i = <neuron_t> k + e.found.items[n]
            if q.has_coordinates:
                key = window_coordinate(q, p, i)
                if key <= q.edge_key and not window_append(q, key, p.first + i):
                    return NO_MEMORY
                continue
            if p.release != NULL and not before(p.release[i], q.edge):
                continue
            if p.own != NULL:
                key = earliest(e, q, p, i)
                if key > -INFINITY:
                    if not window_append(q, key, p.first + i):
                        return NO_MEMORY
                    continue
            if scan_is_rough(m) and not fires_before_edge(e, q, p, i):
                continue
            t = next_spike(e, p, i)
            q.looks += 1
            if before(t, q.edge) and not window_append(q, window_key(q, t, e.H), p.first + i):
                return NO_MEMORY
        k += SCAN_BLOCK
    return RUNNING


# Parameters -----------------------------------------------------------------------------------------------------------

cdef bint describe(Population *p, int64_t n_rows) noexcept nogil:
    """What follows from all rows together; whether the population needs `base`."""
    cdef const Model *rows = <const Model *> p.rows
    cdef bint wanted = False
    cdef int64_t k
    p.width = width_of(rows)
    p.scan_cost = scan_cost(rows, n_rows > 1)
    p.oscillates = False
    p.own_fits = p.own_suffices = p.one_frame = True
    for k in range(n_rows):
        p.own_fits = p.own_fits and own_fits(rows, &rows[k])
        p.own_suffices = p.own_suffices and own_suffices(&rows[k])
        p.one_frame = p.one_frame and rows[k].frame == rows[0].frame
        p.oscillates = p.oscillates or may_oscillate(&rows[k])
        wanted = wanted or keeps_base(&rows[k])
    return wanted


cdef object fill_row(void *rows, int64_t k, constants, frames, double H):
    fill(<Model *> rows + k, constants, frames, H)


cdef void give_current_to(void *rows, int64_t k, double I_e, const double *leak) noexcept nogil:
    give_current(<Model *> rows + k, I_e, leak)


cdef bint has_coordinate_in(const Population *p) noexcept nogil:
    """Whether all its neurons could share windows that order by coordinates."""
    return not p.heterogeneous and has_coordinate(<const Model *> p.rows)


cdef int64_t ports_in(const Population *p) noexcept nogil:
    return ports_of(<const Model *> p.rows)


cdef Ops OPS
OPS.row_size = sizeof(Model)
OPS.fill = fill_row
OPS.describe = describe
if gives_current(NULL):
    OPS.give_current = give_current_to
OPS.is_costly = is_costly(NULL)
OPS.has_currents = has_currents(NULL)
OPS.notes_states = notes_states(NULL)
OPS.own_width = own_width(NULL)
OPS.edge_width = edge_width(NULL)
OPS.ports = ports_in
OPS.has_coordinate = has_coordinate_in
OPS.rescale = rescale
OPS.place = place
OPS.look = look
OPS.take_over = take_over
OPS.scan = scan
OPS.take_own = take_own
OPS.place_one = place_one
OPS.place_currents = place_currents
OPS.next_spike = next_spike
OPS.fires_before_edge = fires_before_edge
OPS.earliest = earliest
OPS.coordinate = window_coordinate
OPS.is_unchanged = is_unchanged
OPS.voltage = voltage
OPS.port_current = port_current_of
OPS.current_sum = current_sum
OPS.schedule = schedule[Window]
OPS.reset_in_heap = reset[Heap]
OPS.reset_in_window = reset[Window]
OPS.kick_in_heap = kick[Heap]
OPS.kick_in_window = kick[Window]
OPS.deliver_in_heap = deliver[Heap]
OPS.deliver_in_window = deliver[Window]
