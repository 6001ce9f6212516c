"""The queues of next spikes in an instant: who is due, when the next one is, and where the window's edge is."""

from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t
from libc.stdlib cimport qsort

from sparseprop.engine._heap cimport Heap, heap_key
from sparseprop.engine._state cimport (
    N_SOLVED, NO_MEMORY, RUNNING, Gathered, Population, Queue, State, Status, append, nowhere, population_of,
)
from sparseprop.engine._window cimport (
    Candidate, Window, window_append, window_key, window_order, window_pop, window_push, window_sift_down, window_take,
)
from sparseprop.numerics._constants cimport SCALE_DOWN
from sparseprop.numerics._elementary cimport atan, log
from sparseprop.numerics._frames cimport (
    MAX_EPOCH, Frame, Pair, before, enter_epoch, enter_instant, interval, never, not_after, place_edge, plus,
    same_frame,
)
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t

cdef inline double COORDINATE_MARGIN() noexcept nogil:
    """Coordinates that are nearer than this, relatively or as an angle, may be in the wrong order by rounding."""
    return 1.4551915228366852e-11  # 2^-36


cdef enum:
    # The longest window, in epochs.
    LONGEST_WINDOW = 1024


cdef inline int compare_ids(const void *a, const void *b) noexcept nogil:
    cdef neuron_t x = (<const neuron_t *> a)[0], y = (<const neuron_t *> b)[0]
    return (x > y) - (x < y)


cdef inline void forget_solved(State *e) noexcept nogil:
    """Other parameters give other next spikes to the same states."""
    cdef int64_t k
    for k in range(N_SOLVED if e.solved != NULL else 0):
        e.solved[k].neuron = -1


cdef inline void rescale_keys(Window *q, int64_t steps) noexcept nogil:
    """The same for the coordinates of a window's entries."""
    cdef count_t k
    cdef int64_t _
    for _ in range(steps):
        for k in range(q.size):
            q.entries[k].key *= SCALE_DOWN
        q.edge_key *= SCALE_DOWN
    q.timed_key = NAN
    q.confirmed_key = NAN


cdef inline void enter_present(State *e, Queue *q) noexcept nogil:
    """Bring all frames and states to the present epoch and mark a new instant."""
    cdef int64_t k
    e.instant += 1
    for k in range(e.n_populations):
        if e.populations[k].epoch != e.now.n:
            enter_present_epoch(e, q)
            return


cdef inline void enter_present_epoch(State *e, Queue *q) noexcept nogil:
    """Bring all frames and states to the present epoch."""
    cdef int64_t k, steps = 0
    cdef neuron_t j
    cdef Population *p
    cdef bint scaled
    for k in range(e.n_populations):
        p = &e.populations[k]
        if p.epoch == e.now.n:
            continue
        scaled = False
        for j in range(p.n_frames):
            enter_epoch(&p.frames[j], e.now.n)
            scaled = scaled or p.frames[j].steps > 0
        p.epoch = e.now.n
        if Queue is Window and p.oscillates:
            place_edge_of(e, q, p)
        if scaled:
            p.ops.rescale(p)
            if Queue is Window and p.oscillates and q.has_coordinates:
                # All oscillating populations have the same frame; their states are rescaled together.
                steps = p.frames[0].steps
    if Queue is Window:
        if steps > 0:
            rescale_keys(q, steps)


# The population's part in an instant --------------------------------------------------------------------------------

cdef inline Status reset_one(State *e, Queue *q, Population *p, neuron_t i) noexcept nogil:
    if Queue is Heap:
        return p.ops.reset_in_heap(e, q, p, i)
    else:
        return p.ops.reset_in_window(e, q, p, i)


cdef inline Status kick_one(State *e, Queue *q, Population *p, neuron_t i, double weight, int64_t port) noexcept nogil:
    if Queue is Heap:
        return p.ops.kick_in_heap(e, q, p, i, weight, port)
    else:
        return p.ops.kick_in_window(e, q, p, i, weight, port)


cdef inline Status deliver_row(State *e, Queue *q, Population *p, const neuron_t *targets, const double *weights,
                               double weight, double largest, int64_t count, int64_t port) noexcept nogil:
    if Queue is Heap:
        return p.ops.deliver_in_heap(e, q, p, targets, weights, weight, largest, count, port)
    else:
        return p.ops.deliver_in_window(e, q, p, targets, weights, weight, largest, count, port)


# The queue's part in an instant -------------------------------------------------------------------------------------

cdef inline Pair next_spike_of(const State *e, neuron_t i) noexcept nogil:
    """When the neuron of global id i fires without input."""
    cdef const Population *p = &e.populations[population_of(e, i)]
    return p.ops.next_spike(e, p, i - p.first) if p.ops != NULL else never()


cdef inline void sort_due(State *e) noexcept nogil:
    """e.due ascending, each neuron once."""
    cdef count_t k, kept = 0
    if e.due.size < 2:
        return
    qsort(e.due.items, e.due.size, sizeof(neuron_t), compare_ids)
    for k in range(e.due.size):
        if kept == 0 or e.due.items[k] != e.due.items[kept - 1]:
            e.due.items[kept] = e.due.items[k]
            kept += 1
    e.due.size = kept


cdef inline Status collect_due(State *e, Queue *q) noexcept nogil:
    """The ids of all neurons that are due, ascending, in e.due."""
    cdef count_t k = 0
    cdef int64_t child
    cdef neuron_t at
    cdef Pair first
    cdef double soon
    cdef Status status
    if Queue is Heap or not e.collected:
        e.due.size = 0
    if Queue is Heap:
        # The top of the heap, O(the number of the due).
        if q.size > 0 and not_after(heap_key(q, 0), e.now) and not append(&e.due, 0):
            return NO_MEMORY
        while k < e.due.size:
            at = e.due.items[k]
            for child in range(2 * <int64_t> at + 1, min(2 * <int64_t> at + 3, <int64_t> q.size)):
                if not_after(heap_key(q, <neuron_t> child), e.now) and not append(&e.due, <neuron_t> child):
                    return NO_MEMORY
            e.due.items[k] = q.entries[at].neuron
            k += 1
    elif e.collected:
        e.collected = False
    else:
        for k in range(e.driven.size):
            if not append(&e.due, e.driven.items[k]):
                return NO_MEMORY
        e.driven.size = 0
        soon = soon_after(e, q, key_of_now(e, q)) if q.size else 0.0
        if q.size and q.entries[0].key <= soon:
            status = gather(e, q, soon, &first)
            if status == RUNNING:
                status = split_gathered(e, q, e.now)
        else:
            status = RUNNING
        if status != RUNNING:
            return status
    for k in range(e.forced.size):
        if not append(&e.due, e.forced.items[k]):
            return NO_MEMORY
    e.forced.size = 0
    sort_due(e)
    return RUNNING


cdef inline Status next_instant(State *e, Queue *q, Pair until, Pair *instant) noexcept nogil:
    """The first spontaneous spike; if it is not before `until`, any time from there on, or `never`.

    The window's edge is then behind `until`.
    """
    cdef Pair t
    cdef double soon
    cdef Status status
    if Queue is Heap:
        instant[0] = heap_key(q, 0) if q.size > 0 else never()
        return RUNNING
    else:
        while True:
            if q.size == 0:
                if before(until, q.edge) or q.edge.n >= MAX_EPOCH or (q.nobody and until.n >= MAX_EPOCH
                                                                      and kicks_so_far(e) == q.kicks):
                    instant[0] = never()
                    return RUNNING
                status = advance_window(e, q, until)
                if status != RUNNING:
                    return status
                continue
            if not is_confirmed(e, q, &t):
                continue
            instant[0] = t
            soon = soon_after(e, q, q.entries[0].key)
            if (q.size > 1 and q.entries[1].key <= soon) or (q.size > 2 and q.entries[2].key <= soon):
                # Several are due together, or nearly: rounding may have put them in any order.
                status = gather(e, q, soon, instant)
                if status != RUNNING:
                    return status
                e.due.size = 0
                e.collected = before(instant[0], until)
                return split_gathered(e, q, instant[0] if e.collected else nowhere())
            if before(t, until):
                e.due.size = 0
                e.collected = True
                # Nobody else fires soon, and nothing arrives.
                e.crowded = soon >= edge_key(e, q)
                if not append(&e.due, q.entries[0].neuron):
                    return NO_MEMORY
                window_take(q, &q.entries[0])
                window_pop(q)
            return RUNNING


cdef inline Status put_back(State *e, Window *q) noexcept nogil:
    """Return those that `next_instant` has collected to the window."""
    cdef count_t k
    cdef neuron_t i
    cdef Population *p
    cdef Pair t
    cdef Status status = RUNNING
    if not e.collected:
        return RUNNING
    e.collected = False
    for k in range(e.due.size):
        p = &e.populations[population_of(e, e.due.items[k])]
        i = e.due.items[k] - p.first
        if q.live == NULL:
            status = p.ops.schedule(e, q, p, i)
        else:
            # Not by `soonest`: the key of a neuron that has not been kicked since the scan is taken for its next spike.
            t = p.ops.next_spike(e, p, i)
            if before(t, q.edge) and not window_push(q, window_key(q, t, e.H), p.first + i):
                status = NO_MEMORY
        if status != RUNNING:
            return status
    e.due.size = 0
    return RUNNING


cdef inline double soon_after(const State *e, const Window *q, double key) noexcept nogil:
    """The last key that rounding may have put after `key` although its spike is not later."""
    if not q.has_coordinates:
        return key + e.margin
    if q.rotates:
        return key + COORDINATE_MARGIN() * (1.0 + key * key)
    return key * (1.0 + COORDINATE_MARGIN())


cdef inline double key_time(const State *e, Window *q, double key) noexcept nogil:
    """The time of a key in ms since the window's first epoch, to the engine's margin."""
    if not q.has_coordinates:
        return key
    if key != q.timed_key:
        q.timed_key = key
        q.timed = window_key(q, q.edge, e.H) + (
            atan(key) / q.scale if q.rotates else q.scale * log(key / q.edge_key)
        )
    return q.timed


cdef inline double key_of_now(const State *e, const Window *q) noexcept nogil:
    """The key of a neuron whose next spike is now."""
    cdef Frame *f
    if not q.has_coordinates:
        return window_key(q, e.now, e.H)
    f = &e.populations[q.oscillator].frames[0]
    enter_instant(f, e.now, e.instant)
    if f.rotates:
        return (f.sine * f.edge_E - f.E * f.edge_sine) / (f.E * f.edge_E + f.sine * f.edge_sine)
    return f.E


cdef inline double key_soon(const State *e, const Window *q, double near) noexcept nogil:
    """No neuron whose next spike is within `near` ms, far less than its time constant, has a larger key."""
    cdef double key = key_of_now(e, q)
    if not q.has_coordinates:
        return soon_after(e, q, key + near)
    if q.rotates:
        return soon_after(e, q, key + 2.0 * near * q.scale * (1.0 + key * key))
    return soon_after(e, q, key * (1.0 + 2.0 * near / q.scale))


cdef inline double edge_key(const State *e, const Window *q) noexcept nogil:
    """The key of a neuron that fires at the edge."""
    return q.edge_key if q.has_coordinates else window_key(q, q.edge, e.H)


cdef inline bint may_be_due(const State *e, Window *q, Pair t) noexcept nogil:
    """Whether the first entry may be due at t, or an instant later."""
    return key_time(e, q, q.entries[0].key) <= window_key(q, t, e.H) + e.margin


cdef inline bint is_confirmed(const State *e, Window *q, Pair *t) noexcept nogil:
    """Whether the first entry is what its neuron's state says, and t, its next spike; if not, the entry is moved."""
    cdef double key
    cdef neuron_t neuron = q.entries[0].neuron
    cdef const Population *p
    if q.has_coordinates:
        p = &e.populations[population_of(e, neuron)]
        key = p.ops.coordinate(q, p, neuron - p.first)
        if q.entries[0].key >= key:
            if q.confirmed_key == q.entries[0].key and q.confirmed == neuron:
                t[0] = q.confirmed_time
                return True
            t[0] = p.ops.next_spike(e, p, neuron - p.first)
            q.looks += 1
            if before(t[0], q.edge):
                q.confirmed_key, q.confirmed, q.confirmed_time = q.entries[0].key, neuron, t[0]
                return True
            key = INFINITY
        if key <= q.edge_key:
            q.entries[0].key = key
            window_sift_down(q, 0)
        else:
            window_pop(q)
        return False
    if q.live != NULL and q.live[neuron] != q.entries[0].key:
        window_pop(q)
        return False
    p = &e.populations[population_of(e, neuron)]
    if p.own != NULL:
        # Keys are bounds: one that is below the present bound is that of an earlier state.
        key = p.ops.earliest(e, q, p, neuron - p.first)
        if q.entries[0].key < key:
            if key == INFINITY:
                window_take(q, &q.entries[0])
                window_pop(q)
                return False
            q.entries[0].key = key
            if q.live != NULL:
                q.live[neuron] = key
            window_sift_down(q, 0)
            return False
    t[0] = refreshed(e, q, &q.entries[0])
    key = window_key(q, t[0], e.H)
    if q.entries[0].key >= key:
        return True
    if before(t[0], q.edge):
        q.entries[0].key = key
        if q.live != NULL:
            q.live[neuron] = key
        window_sift_down(q, 0)
        return q.entries[0].neuron == neuron and q.entries[0].key == key
    else:
        window_take(q, &q.entries[0])
        window_pop(q)
    return False


cdef inline Pair refreshed(const State *e, Window *q, const Candidate *entry) noexcept nogil:
    """The next spike of an entry's neuron, or `never` if it is not before the edge."""
    cdef Pair t
    cdef Population *p
    cdef neuron_t i
    p = &e.populations[population_of(e, entry.neuron)]
    i = entry.neuron - p.first
    # Without a kick since the scan it is the key itself, where that was no bound.
    if 0.0 <= entry.key < e.H and not q.has_coordinates and p.own == NULL and (
        (q.kicks == kicks_so_far(e) and q.live == NULL) or p.ops.is_unchanged(p, i, q.scanned)
    ):
        t.n = q.first_epoch
        t.s = entry.key
        return t
    if not p.ops.fires_before_edge(e, q, p, i):
        return never()
    q.looks += 1
    return p.ops.next_spike(e, p, i)


cdef inline Status gather(State *e, Window *q, double soon, Pair *first) noexcept nogil:
    """Take all entries with a key up to `soon` out of the window, with their next spikes; the earliest as `first`."""
    cdef count_t k, kept = 0
    cdef Pair t
    e.n_gathered = 0
    first[0] = never()
    while q.size and q.entries[0].key <= soon:
        if e.n_gathered < 64:
            if window_take(q, &q.entries[0]):
                t = refreshed(e, q, &q.entries[0])
                if not keep_gathered(e, t, q.entries[0].neuron):
                    return NO_MEMORY
            window_pop(q)
        else:
            # Many: one pass over all entries is cheaper than taking them one by one.
            for k in range(q.size):
                if q.entries[k].key <= soon:
                    if not window_take(q, &q.entries[k]):
                        continue
                    t = refreshed(e, q, &q.entries[k])
                    if not keep_gathered(e, t, q.entries[k].neuron):
                        return NO_MEMORY
                else:
                    q.entries[kept] = q.entries[k]
                    kept += 1
            q.size = kept
            window_order(q)
            break
    for k in range(e.n_gathered):
        if before(e.gathered[k].time, first[0]):
            first[0] = e.gathered[k].time
    return RUNNING


cdef inline bint keep_gathered(State *e, Pair t, neuron_t neuron) noexcept nogil:
    if not grow(<void **> &e.gathered, &e.gathered_capacity, e.n_gathered + 1, sizeof(Gathered)):
        return False
    e.gathered[e.n_gathered].time = t
    e.gathered[e.n_gathered].neuron = neuron
    e.n_gathered += 1
    return True


cdef inline Status split_gathered(State *e, Window *q, Pair now) noexcept nogil:
    """Those that were gathered and are due into e.due, the others back into the window."""
    cdef count_t k, returned = 0
    cdef Pair t
    cdef double key
    cdef const Population *p
    for k in range(e.n_gathered):
        t = e.gathered[k].time
        if not_after(t, now):
            if not append(&e.due, e.gathered[k].neuron):
                return NO_MEMORY
        elif before(t, q.edge):
            p = &e.populations[population_of(e, e.gathered[k].neuron)]
            key = window_key(q, t, e.H)
            if q.has_coordinates:
                key = p.ops.coordinate(q, p, e.gathered[k].neuron - p.first)
            returned += 1
            if returned < 64:
                if not window_push(q, key, e.gathered[k].neuron):
                    return NO_MEMORY
            elif not window_append(q, key, e.gathered[k].neuron):
                return NO_MEMORY
    if returned >= 64:
        window_order(q)
    return RUNNING


# The window ---------------------------------------------------------------------------------------------------------

cdef inline Pair first_spike(State *e) noexcept nogil:
    """The earliest next spike of all neurons, by looking at each."""
    cdef const Population *p
    cdef int64_t k
    cdef neuron_t i
    cdef Pair first = never(), t
    for k in range(e.n_populations):
        p = &e.populations[k]
        for i in range(p.size if p.ops != NULL else 0):
            t = p.ops.next_spike(e, p, i)
            if before(t, first):
                first = t
    return first


cdef inline bint anyone_fires(const State *e) noexcept nogil:
    """Whether some neuron will ever fire without input; the first one that does ends the search."""
    cdef const Population *p
    cdef int64_t k
    cdef neuron_t i
    for k in range(e.n_populations):
        p = &e.populations[k]
        for i in range(p.size if p.ops != NULL else 0):
            if p.ops.next_spike(e, p, i).n < never().n:
                return True
    return False


cdef inline count_t kicks_so_far(const State *e) noexcept nogil:
    return e.n_synaptic_events + e.n_input_events


cdef inline count_t work_so_far(const State *e, const Window *q) noexcept nogil:
    """In units of a kick."""
    return e.n_spikes * 8 + kicks_so_far(e) + q.looks * 24


cdef inline void choose_keys(const State *e, Window *q) noexcept nogil:
    """Whether entries of this window are ordered by coordinates, and where its edge is in these."""
    cdef int64_t k
    cdef const Population *p
    cdef const Frame *f
    cdef const Frame *shared = NULL
    q.has_coordinates = False
    for k in range(e.n_populations):
        p = &e.populations[k]
        if not p.oscillates:
            continue
        f = &p.frames[0]
        if not p.ops.has_coordinate(p) or (f.rotates and f.edge_is_far):
            return
        if shared == NULL:
            shared = f
            q.oscillator = k
        if not same_frame(f, shared):
            return
    if shared == NULL:
        return
    q.has_coordinates = True
    q.rotates = shared.rotates
    q.scale = shared.scale
    q.edge_key = COORDINATE_MARGIN() if shared.rotates else shared.edge_E
    q.timed_key = NAN
    q.confirmed_key = NAN


cdef inline void place_edge_of(State *e, const Window *q, Population *p) noexcept nogil:
    """Bring what a population knows of the window's edge to it."""
    cdef neuron_t j
    if p.own != NULL and p.heterogeneous:
        p.ops.take_own(e, q, p)
        return
    for j in range(p.n_frames):
        place_edge(&p.frames[j], p.epoch, q.edge, interval(e.now, q.edge, e.H), e.H)


cdef inline void place_edges(State *e, const Window *q) noexcept nogil:
    cdef int64_t k
    for k in range(e.n_populations):
        if e.populations[k].oscillates:
            place_edge_of(e, q, &e.populations[k])


cdef inline Status advance_window(State *e, Window *q, Pair until) noexcept nogil:
    """Move the edge on and collect the candidates; the edge becomes `never` if nobody can fire by himself."""
    cdef int64_t k
    cdef Population *p
    cdef Status status
    cdef count_t scanned = 0, done = work_so_far(e, q) - q.work
    cdef Pair start = q.edge
    if q.nobody and q.kicks == kicks_so_far(e) and until.n < MAX_EPOCH:
        # Nothing has changed since: go to where something may.
        q.first_epoch = until.n
        q.edge = plus(until, q.length, e.H)
        place_edges(e, q)
        choose_keys(e, q)
        return RUNNING
    # Neurons that may fire by themselves; the others can be left out.
    for k in range(e.n_populations):
        if e.populations[k].oscillates:
            scanned += e.populations[k].size * e.populations[k].scan_cost
    if scanned == 0:
        q.edge = never()
        return RUNNING
    q.nobody = False
    if q.empty_scans >= 2:
        # A gap: jump over it.
        q.empty_scans = 0
        start = first_spike(e)
        if start.n >= never().n:
            # Nobody fires without input. The edge only says up to where kicked neurons become candidates at once.
            q.nobody = True
            start = e.now if before(q.edge, e.now) else q.edge
    elif q.empty_scans > 0:
        q.length *= 2.0
    else:
        # So long that the scan is a small part of the work, and the candidates are few.
        q.length *= min(max((0.45 * scanned + 400.0) / (done + 1.0), 0.5), 2.0)
    # Above the resolution of time, so that the edge moves; and so short that keys stay precise.
    q.length = min(max(q.length, e.H * 9.313225746154785e-10), LONGEST_WINDOW * e.H)
    q.work = work_so_far(e, q)
    q.kicks = kicks_so_far(e)
    q.scanned = e.now
    q.first_epoch = start.n
    q.edge = plus(start, q.length, e.H)
    if q.edge.n >= never().n:
        q.edge.n = MAX_EPOCH
        q.edge.s = 0.0
    place_edges(e, q)
    choose_keys(e, q)
    for k in range(e.n_populations):
        p = &e.populations[k]
        if q.nobody or not p.oscillates:
            continue
        status = p.ops.scan(e, q, p)
        if status != RUNNING:
            return status
    window_order(q)
    q.empty_scans = q.empty_scans + 1 if q.size == 0 and not q.nobody else 0
    return RUNNING
