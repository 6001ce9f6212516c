"""The compiled engines: one event loop over two kinds of event queue and the models' inline functions.

Names of phases and the order of everything within an instant are those of :mod:`sparseprop.reference`, which
computes the same numbers bit for bit and is the place to read first.
"""

from libc.math cimport INFINITY, NAN, atan, log
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcpy, memmove, memset

import numpy as np

from sparseprop.connectivity._poisson cimport poisson_fill, poisson_free
from sparseprop.connectivity._rows cimport table_size
from sparseprop.engine._agenda cimport (
    CURSOR, LANE, PROCESS, TRAIN, Agenda, Item, Kind, agenda_free, agenda_has_two, agenda_pop, agenda_push,
    agenda_replace,
)
from sparseprop.engine._delivery cimport add, arrivals_at, can_add, find_row, sums_at, train_time
from sparseprop.engine._heap cimport Heap, heap_create, heap_free, heap_is_ordered, heap_key, heap_order
from sparseprop.engine._kernel cimport Kernel
from sparseprop.engine._state cimport (
    DISORDER, N_SOLVED, NO_MEMORY, QUIESCENT, RUNAWAY, RUNNING, SPIKES, TIME, Arrival, Cursor, Flight, Gathered, Lane,
    Population, Process, Projection, Solved, State, Status, Train, append, clear_bit, get_bit, nowhere, population_of,
    reserve, set_bit,
)
from sparseprop.engine._tape cimport (
    CLOSE, DRIVEN, EMITTED, EVENT, MERGED, PAST, SPIKE, Entry, tape_create, tape_drive, tape_free, tape_note,
    tape_spike, tape_target,
)
from sparseprop.engine._window cimport (
    Candidate, Window, window_append, window_clear, window_free, window_is_ordered, window_key, window_order,
    window_pop, window_push, window_sift_down, window_take,
)
from sparseprop.numerics._frames cimport (
    MAX_EPOCH, Frame, Pair, before, enter_epoch, enter_instant, interval, never, not_after, place_edge, plus,
    same_frame,
)
from sparseprop.numerics._memory cimport allocate, allocate_large, grow
from sparseprop.numerics._scan cimport find_below, find_turned, prefetch, register_width
from sparseprop.numerics._typedefs cimport MAX_PORTS, count_t, neuron_t, synapse_t

from .connectivity import ProceduralAdjacency, Purpose
from .numerics.engine_time import FRACTION_BITS, advance_per_epoch
from .errors import EngineFault, InsufficientMemoryError
from .models import constants_of, voltage_origin
from .engine.input import parameter_rows
from .engine.kernels import kernel

cdef extern from *:
    """
    #ifndef SPARSEPROP_DEBUG
    #define SPARSEPROP_DEBUG 0
    #endif
    /* 0 where the compiler kept a multiplication and an addition apart, as the promises need. */
    static double sp_contracted(volatile double a, volatile double b, volatile double c) { return a * b + c; }
    """
    const int DEBUG "SPARSEPROP_DEBUG"
    const char *MODE "SPARSEPROP_BUILD_MODE"
    double sp_contracted(double a, double b, double c) nogil

BUILD_MODE = MODE.decode()  # "release", "debug", "sanitize" or "debug-sanitize"
FRAME_BYTES = sizeof(Frame)


def contracts_multiply_add():
    """Whether this build fuses a multiplication and an addition, which would change spike trains."""
    cdef double a = 1.0 + 2.0**-30
    return sp_contracted(a, a, -(1.0 + 2.0**-29)) != 0.0


def find_with_registers(int width, const double[::1] x, double bound):
    """The scans with registers of a given width (0, 1 or 2), for tests: what they find of numbers and of vectors.

    Returns
    -------
    below : ndarray
        Where x is at or below `bound`.
    turned : ndarray
        Where, of x as vectors (a, b), a <= bound (|a| + |b|) - 0.5 b.
    """
    cdef neuron_t[::1] found = np.empty(x.shape[0] + 1, np.int32)
    if width > register_width():
        raise ValueError(f"this processor has registers of width {register_width()} at most, got {width}")
    below = found.base[:find_below(width, &x[0], x.shape[0], bound, &found[0])].copy()
    turned = found.base[:find_turned(width, &x[0], x.shape[0] // 2, 1.0, 0.5, bound, &found[0])].copy()
    return below, turned


_ENDS = {RUNNING: "running", TIME: "time", SPIKES: "spikes", QUIESCENT: "quiescent"}


cdef inline double COORDINATE_MARGIN() noexcept nogil:
    """Coordinates that are nearer than this, relatively or as an angle, may be in the wrong order by rounding."""
    return 1.4551915228366852e-11  # 2^-36


cdef enum:
    # The longest window, in epochs.
    LONGEST_WINDOW = 1024


cdef int compare_ids(const void *a, const void *b) noexcept nogil:
    cdef neuron_t x = (<const neuron_t *> a)[0], y = (<const neuron_t *> b)[0]
    return (x > y) - (x < y)


cdef void forget_solved(State *e) noexcept nogil:
    """Other parameters give other next spikes to the same states."""
    cdef int64_t k
    for k in range(N_SOLVED if e.solved != NULL else 0):
        e.solved[k].neuron = -1


cdef void rescale_keys(Window *q, int64_t steps) noexcept nogil:
    """The same for the coordinates of a window's entries."""
    cdef count_t k
    cdef int64_t _
    for _ in range(steps):
        for k in range(q.size):
            q.entries[k].key *= 5.421010862427522e-20  # 2^-64
        q.edge_key *= 5.421010862427522e-20
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


cdef void enter_present_epoch(State *e, Queue *q) noexcept nogil:
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
            if Queue is Window and p.oscillates:
                place_edge(&p.frames[j], e.now.n, q.edge, interval(e.now, q.edge, e.H), e.H)
        p.epoch = e.now.n
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


cdef void sort_due(State *e) noexcept nogil:
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


cdef Status collect_due(State *e, Queue *q) noexcept nogil:
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


cdef Status next_instant(State *e, Queue *q, Pair until, Pair *instant) noexcept nogil:
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


cdef Status put_back(State *e, Window *q) noexcept nogil:
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
    t[0] = refreshed(e, q, &q.entries[0])
    key = window_key(q, t[0], e.H)
    if q.entries[0].key >= key:
        return True
    if before(t[0], q.edge):
        q.entries[0].key = key
        if q.live != NULL:
            q.live[neuron] = key
        window_sift_down(q, 0)
    else:
        window_take(q, &q.entries[0])
        window_pop(q)
    return False


cdef inline Pair refreshed(const State *e, Window *q, const Candidate *entry) noexcept nogil:
    """The next spike of an entry's neuron, or `never` if it is not before the edge."""
    cdef Pair t
    cdef Population *p
    cdef neuron_t i
    # Without a kick since the scan it is the key itself.
    if q.kicks == kicks_so_far(e) and 0.0 <= entry.key < e.H and not q.has_coordinates and q.live == NULL:
        t.n = q.first_epoch
        t.s = entry.key
        return t
    p = &e.populations[population_of(e, entry.neuron)]
    i = entry.neuron - p.first
    if not q.has_coordinates and 0.0 <= entry.key < e.H and p.ops.is_unchanged(p, i, q.scanned):
        t.n = q.first_epoch
        t.s = entry.key
        return t
    if not p.ops.fires_before_edge(e, q, p, i):
        return never()
    q.looks += 1
    return p.ops.next_spike(e, p, i)


cdef Status gather(State *e, Window *q, double soon, Pair *first) noexcept nogil:
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


cdef Status split_gathered(State *e, Window *q, Pair now) noexcept nogil:
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

cdef Pair first_spike(State *e) noexcept nogil:
    """The earliest next spike of all neurons, by looking at each."""
    cdef neuron_t i
    cdef Pair first = never(), t
    for i in range(e.n):
        t = next_spike_of(e, i)
        if before(t, first):
            first = t
    return first


cdef bint anyone_fires(const State *e) noexcept nogil:
    """Whether some neuron will ever fire without input; the first one that does ends the search."""
    cdef neuron_t i
    for i in range(e.n):
        if next_spike_of(e, i).n < never().n:
            return True
    return False


cdef inline count_t kicks_so_far(const State *e) noexcept nogil:
    return e.n_synaptic_events + e.n_input_events


cdef inline count_t work_so_far(const State *e, const Window *q) noexcept nogil:
    """In units of a kick."""
    return e.n_spikes * 8 + kicks_so_far(e) + q.looks * 24


cdef void choose_keys(const State *e, Window *q) noexcept nogil:
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


cdef void place_edges(State *e, const Window *q) noexcept nogil:
    """Bring the frames of the window's edge to it."""
    cdef int64_t k
    cdef neuron_t j
    cdef Population *p
    for k in range(e.n_populations):
        p = &e.populations[k]
        if p.oscillates:
            for j in range(p.n_frames):
                place_edge(&p.frames[j], p.epoch, q.edge, interval(e.now, q.edge, e.H), e.H)


cdef Status advance_window(State *e, Window *q, Pair until) noexcept nogil:
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


# The instant ------------------------------------------------------------------------------------------------------

cdef bint record(State *e, neuron_t i) noexcept nogil:
    """Note a spike now; False if there is no memory."""
    if not append(&e.spike_ids, i) or not grow(<void **> &e.spike_times, &e.spike_capacity, e.spike_ids.capacity,
                                               sizeof(double)):
        return False
    e.spike_times[e.spike_ids.size - 1] = e.now.n * e.H + e.now.s
    return True


cdef bint note_recent(State *e, Pair time, neuron_t i) noexcept nogil:
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


cdef bint keep_recent(State *e, Pair now) noexcept nogil:
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


cdef Status fire(State *e, Queue *q) noexcept nogil:
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


# Spikes on their way ------------------------------------------------------------------------------------------------

cdef inline Pair lane_time(const State *e, const Lane *lane) noexcept nogil:
    """When the next spike of a lane arrives."""
    cdef const Population *p = &e.populations[lane.population]
    return plus(p.log[lane.next - p.log_start].emission, lane.delay, e.H)


cdef inline bint lane_is_empty(const State *e, const Lane *lane) noexcept nogil:
    cdef const Population *p = &e.populations[lane.population]
    return lane.next == p.log_start + p.log_size


cdef void trim_log(State *e, Population *p) noexcept nogil:
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


cdef Status send(State *e, Population *p, neuron_t source, Pair emission) noexcept nogil:
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
        if e.restoring and not_after(arrival, e.last):
            lane.next += 1
        elif not agenda_push(&e.agenda, arrival, LANE, k):
            return NO_MEMORY
    for k in range(p.first_delayed, p.first_delayed + p.n_delayed):
        if not open_cursor(e, p, k, source, emission, number):
            return NO_MEMORY
    return RUNNING


cdef bint open_cursor(State *e, Population *p, int64_t projection, neuron_t source, Pair emission,
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
    lane.next += 1
    return never() if lane_is_empty(e, lane) else lane_time(e, lane)


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
        return plus(c.start, c.poisson.events[at].offset, e.H)
    return interval_start(e, c, c.poisson.k + 1)


cdef bint draw_interval(State *e, Process *c) noexcept nogil:
    """The events of the next interval; False if there is no memory."""
    c.start = interval_start(e, c, c.poisson.k + 1)
    c.at = 0
    return poisson_fill(&c.poisson, c.poisson.k + 1)


# What arrives -------------------------------------------------------------------------------------------------------

cdef void prefetch_rows(State *e, const Window *q) noexcept nogil:
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


cdef Status propagate_rows(State *e, Queue *q, neuron_t source, int64_t first, int64_t n) noexcept nogil:
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


cdef bint add_row(State *e, int64_t projection, neuron_t source) noexcept nogil:
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


cdef bint add_rows(State *e, int64_t projection, neuron_t source, count_t times) noexcept nogil:
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


cdef Status kick_touched(State *e, Queue *q) noexcept nogil:
    """One kick for each port of each neuron at which something arrived."""
    cdef count_t k
    cdef int64_t port
    cdef neuron_t i
    cdef Population *p
    cdef Status status
    if e.tape != NULL and e.tape.records_kicks and not tape_note(e.tape, MERGED, e.now, 0, 0, 0):
        return NO_MEMORY
    for port in range(e.n_ports):
        for k in range(e.touched[port].size):
            i = e.touched[port].items[k]
            clear_bit(arrivals_at(e, port), i)
            if e.close.size and get_bit(e.is_close, i):
                e.n_close_calls += 1
            p = &e.populations[population_of(e, i)]
            if e.tape != NULL and p.ops.notes_states and not tape_target(e.tape, i):
                return NO_MEMORY
            status = kick_one(e, q, p, i - p.first, sums_at(e, port)[i], port)
            if status != RUNNING:
                return status
        e.touched[port].size = 0
    return RUNNING


cdef Status propagate_many(State *e, Queue *q) noexcept nogil:
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


cdef Status deliver_first(State *e, Queue *q, bint *done) noexcept nogil:
    """Deliver the first entry of the agenda in a hot loop, if it is the only one now and reaches no target twice."""
    cdef Item item = e.agenda.items[0]
    cdef Lane *lane
    cdef Cursor *cursor
    cdef Projection *c
    cdef Population *p
    cdef Train *train
    cdef Pair next
    cdef synapse_t begin
    cdef neuron_t source
    done[0] = False
    if agenda_has_two(&e.agenda, e.now):
        return RUNNING
    if item.kind == LANE:
        lane = &e.lanes[item.index]
        p = &e.populations[lane.population]
        begin = lane.next - p.log_start
        next = never()
        if begin + 1 < p.log_size:
            next = plus(p.log[begin + 1].emission, lane.delay, e.H)
        if not lane.one_weight_per_target or not_after(next, e.now):
            return RUNNING
        done[0] = True
        lane.next += 1
        agenda_move(e, next)
        if begin + 2 < p.log_size:
            prefetch_row(e, lane, p.log[begin + 2].source)
        return propagate_rows(e, q, p.first + p.log[begin].source, lane.first_projection, lane.n_projections)
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


cdef Status deliver_part(State *e, Queue *q, Projection *c, synapse_t begin, synapse_t count) noexcept nogil:
    """The kicks of a part of a row."""
    cdef Population *post = &e.populations[c.post]
    cdef const double *weights = c.weights + begin if c.weights != NULL else NULL
    e.n_synaptic_events += count
    return deliver_row(e, q, post, c.targets + begin, weights, c.weight, c.largest, count, c.port)


cdef Arrival *new_arrival(State *e) noexcept nogil:
    """Room for one more; NULL if there is no memory."""
    if not grow(<void **> &e.arrivals, &e.arrivals_capacity, e.n_arrivals + 1, sizeof(Arrival)):
        return NULL
    e.n_arrivals += 1
    memset(&e.arrivals[e.n_arrivals - 1], 0, sizeof(Arrival))
    return &e.arrivals[e.n_arrivals - 1]


cdef bint note_row(State *e, neuron_t source, neuron_t first, int64_t projection, Pair emission) noexcept nogil:
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


cdef bint note_undelayed(State *e, neuron_t source) noexcept nogil:
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


cdef bint note_first(State *e) noexcept nogil:
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
            i = process.poisson.events[process.at].neuron
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


cdef int compare_arrivals(const void *x, const void *y) noexcept nogil:
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


cdef Status deliver_all(State *e, Queue *q, bint after_spikes) noexcept nogil:
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


cdef Status note_close(State *e, Queue *q) noexcept nogil:
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


cdef Status note_close_in_heap(State *e, Heap *q, Pair soon, bint arrives) noexcept nogil:
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


cdef Status note_close_in_window(State *e, Window *q, double key, bint arrives) noexcept nogil:
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


cdef Status take_instant(State *e, Queue *q) noexcept nogil:
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


cdef Status take_generations(State *e, Queue *q) noexcept nogil:
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


cdef bint is_sound(const State *e, const Queue *q) noexcept nogil:
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


cdef inline Pair a_little_before(Pair t, double interval, double H) noexcept nogil:
    """t less an interval that is short against an epoch."""
    t.s -= interval
    if t.s < 0.0:
        t.n -= 1
        t.s += H
    return t


cdef Status take_kicks(State *e, Window *q, Pair until, count_t stop) noexcept nogil:
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
            i = process.poisson.events[process.at].neuron
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
            process.at += 1
            if process.at + 8 < process.poisson.n_events:
                prefetch(&p.x[p.width * process.poisson.events[process.at + 8].neuron], 1)
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


cdef Status take_instants(State *e, Queue *q, Pair until, count_t max_spikes, count_t budget) noexcept nogil:
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


cdef bint is_silent(State *e) noexcept nogil:
    """Whether nothing will ever happen, as things are."""
    return not something_comes(e) and not anyone_fires(e)


cdef bint something_comes(State *e) noexcept nogil:
    """Whether the agenda has more than spikes that reach nobody."""
    cdef count_t j, number
    cdef int64_t k
    cdef Lane *lane
    cdef Population *p
    cdef const neuron_t *targets
    cdef const double *weights
    for j in range(e.agenda.size):
        if e.agenda.items[j].time.n >= never().n:
            continue
        if e.agenda.items[j].kind != LANE:
            return True
        lane = &e.lanes[e.agenda.items[j].index]
        p = &e.populations[lane.population]
        for number in range(lane.next, p.log_start + p.log_size):
            for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
                if find_row(e, &e.projections[k], p.log[number - p.log_start].source, &targets, &weights):
                    return True
    return False


cdef class Engine:
    """The event loop in C, with one of two event queues; the spikes are the same bit for bit.

    Parameters
    ----------
    network : EngineInput
        Populations and projections with plain numbers; the arrays of the projections are used in place.
    name : {"window", "heap"}
        ``"heap"``: the paper's indexed binary heap over all neurons, O(K log N) per spike. ``"window"``: only the
        neurons that may fire soon are queued, amortised O(K) per spike.

    Attributes
    ----------
    now, last : tuple
        The present as an engine-time pair, and the instant that was taken last.
    n_spikes, n_synaptic_events, n_input_events, n_drive_events, n_close_calls : int
        Since the start.
    """

    def __cinit__(self):
        memset(&self.e, 0, sizeof(State))
        memset(&self.heap, 0, sizeof(Heap))
        memset(&self.window, 0, sizeof(Window))

    def __dealloc__(self):
        cdef int64_t k
        cdef Population *p
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            free(p.rows)
            free(p.frames)
            free(p.x)
            free(p.base)
            free(p.release)
            free(p.waiting)
            free(p.log)
        for k in range(self.e.n_processes):
            poisson_free(&self.e.processes[k].poisson)
        free(self.series)
        free(self.seen)
        free(self.e.populations)
        free(self.e.projections)
        free(self.e.lanes)
        free(self.e.cursors)
        free(self.e.processes)
        agenda_free(&self.e.agenda)
        heap_free(&self.heap)
        window_free(&self.window)
        free(self.e.due.items)
        free(self.e.forced.items)
        free(self.e.driven.items)
        free(self.e.found.items)
        free(self.e.held.items)
        free(self.e.drawn.items)
        free(self.e.fired.items)
        for k in range(MAX_PORTS):
            free(self.e.touched[k].items)
        free(self.e.emitting.items)
        free(self.e.spike_ids.items)
        free(self.e.gathered)
        free(self.e.table)
        free(self.e.arrivals)
        free(self.e.has_fired)
        free(self.e.has_arrival)
        free(self.e.arriving)
        free(self.e.is_close)
        free(self.e.close.items)
        free(self.e.looked.items)
        free(self.e.recent)
        free(self.e.spike_times)
        free(self.e.solved)

    def __init__(self, network, name):
        cdef int64_t k
        if self.e.populations != NULL:
            raise RuntimeError("an Engine is initialised once; make a new one")
        self.name = name
        self.windowed = name == "window"
        self.network = network
        self.clock = network.clock
        self.arrays, self.delayed = [], []
        self.flows, self.bases, self.constants = {}, {}, {}
        self.e.H = network.clock.epoch
        self.e.n = network.size
        self.e.n_ports = 1
        self.e.last.n = -1
        self.e.free_cursor = -1
        self.e.populations = <Population *> owned(allocate(len(network.populations), sizeof(Population)))
        memset(self.e.populations, 0, len(network.populations) * sizeof(Population))
        for population in network.populations:
            # Counted only now, so that __dealloc__ frees what is there if this one fails.
            self.e.n_populations += 1
            self._add_population(&self.e.populations[self.e.n_populations - 1], population)
        self._add_projections(network)
        self._add_inputs(network)
        self.series = <Series *> owned(zeros(self.e.n_populations, sizeof(Series)))
        self.set_changes(network.changes, 0)
        self.e.tolerance = network.clock.tolerance
        self.e.crowded = True
        self.e.is_close = <uint8_t *> owned(zeros(self.e.n // 8 + 1, 1))
        self.e.has_fired = <uint8_t *> owned(allocate(self.e.n // 8 + 1, 1))
        self.e.has_arrival = <uint8_t *> owned(allocate(self.e.n_ports * (self.e.n // 8 + 1), 1))
        memset(self.e.has_fired, 0, self.e.n // 8 + 1)
        memset(self.e.has_arrival, 0, self.e.n_ports * (self.e.n // 8 + 1))
        for k in range(self.e.n_populations):
            if self.e.populations[k].ops != NULL and self.e.populations[k].ops.is_costly and self.e.solved == NULL:
                self.e.solved = <Solved *> zeros(N_SOLVED, sizeof(Solved))
                forget_solved(&self.e)
                if self.windowed:
                    self.window.live = <double *> owned(allocate(self.e.n, sizeof(double)))
        if self.windowed:
            self.window.length = self.e.H / 64.0
        elif not heap_create(&self.heap, self.e.n):
            owned(NULL)
        self._order()

    cdef _add_population(self, Population *p, population):
        """Fill in the constants, frames and initial states of one population."""
        cdef neuron_t i
        cdef const double[::1] V, refractory
        cdef const double[:, ::1] I_syn
        p.first, p.size = population.first, population.size
        if population.kernel == "source":
            return
        p.ops = (<Kernel> kernel(population.kernel)).ops
        t_ref = population.parameters["t_ref"]
        if population.refractory is not None or np.max(t_ref) > 0.0:
            p.release = <Pair *> owned(allocate(p.size, sizeof(Pair)))
            memset(p.release, 0, p.size * sizeof(Pair))
            p.waiting = <uint8_t *> owned(allocate(p.size // 8 + 1, 1))
            memset(p.waiting, 0, p.size // 8 + 1)
        n_rows, rows = parameter_rows(population.parameters, p.size)
        self._set_rows(p, n_rows, (constants_of(population.kernel, row) for row in rows))
        self.e.n_ports = max(self.e.n_ports, p.ops.ports(p))
        p.x = <double *> owned(allocate_large(p.width * <int64_t> p.size, sizeof(double)))
        memset(p.x, 0, p.width * <int64_t> p.size * sizeof(double))
        V = population.V
        origin = voltage_origin(population.parameters)
        if origin is not None:
            if self.origins is None:
                self.origins = np.zeros(self.e.n)
            self.origins[p.first : p.first + p.size] = origin
            V = np.ascontiguousarray(population.V - origin)
        refractory = population.refractory if population.refractory is not None else np.zeros(0)
        with nogil:
            p.ops.place(&self.e, p, &V[0] if V.shape[0] else NULL, &refractory[0] if refractory.shape[0] else NULL)
        if population.I_syn is not None:
            I_syn = population.I_syn
            for i in range(p.size):
                p.ops.place_currents(&self.e, p, i, &I_syn[i, 0])

    cdef _set_rows(self, Population *p, int64_t n_rows, rows):
        """Fill in the constants of all rows (one, or one for each neuron) and their frames, in the present epoch."""
        cdef int64_t k
        frames = _Frames(self.clock.epoch, self.flows)
        p.rows = owned(allocate(n_rows, p.ops.row_size))
        for k, constants in enumerate(rows):
            p.ops.fill(p.rows, k, constants, frames, self.e.H)
        if p.ops.describe(p, n_rows) and p.base == NULL:
            p.base = <Pair *> owned(allocate(p.size, sizeof(Pair)))
            memset(p.base, 0, p.size * sizeof(Pair))
        p.heterogeneous = n_rows > 1
        p.plain = not p.heterogeneous and p.release == NULL
        p.epoch = self.e.now.n
        p.n_frames = len(frames.entries)
        p.frames = <Frame *> owned(allocate(p.n_frames, sizeof(Frame)))
        for k in range(p.n_frames):
            rotates, rate, scale, coupling = frames.entries[k]
            memset(&p.frames[k], 0, sizeof(Frame))
            if coupling is not None:
                p.frames[k].couples = True
                p.frames[k].tau, p.frames[k].near, p.frames[k].gain, p.frames[k].slope = coupling
            p.frames[k].whole = rate >> FRACTION_BITS
            p.frames[k].high = (rate >> 64) & 0xFFFFFFFFFFFFFFFF
            p.frames[k].low = rate & 0xFFFFFFFFFFFFFFFF
            p.frames[k].scale = scale
            p.frames[k].rotates = rotates
            enter_epoch(&p.frames[k], p.epoch)
            # Rounding moves a next spike by some 2^-52 of the slowest time scale; the margin is far above that.
            self.e.margin = max(self.e.margin, (1.0 / scale if rotates else scale) * 2.0**-36)

    cdef _order(self):
        """Fill the queue of spontaneous spikes from the states."""
        if self.windowed:
            # Nothing is known of what comes next: the window is to begin now.
            window_clear(&self.window, self.e.n)
            self.window.edge = self.e.now
            self.window.nobody = False
            self.window.empty_scans = 0
        else:
            with nogil:
                order_by_first_spike(&self.e, &self.heap)

    cdef _add_projections(self, network):
        """Point the structs at the adjacency arrays: by source population without delay, by delay, and with many."""
        cdef int64_t k, filled = 0
        cdef synapse_t scratch = 0
        cdef Population *p
        cdef Lane *lane
        self.e.projections = <Projection *> owned(allocate(len(network.projections), sizeof(Projection)))
        self.e.lanes = <Lane *> owned(allocate(len(network.projections), sizeof(Lane)))
        ranked = list(enumerate(network.projections))
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            groups = {0.0: [], None: []}
            for rank, projection in ranked:
                if projection.pre == k:
                    groups.setdefault(_only_value(projection.delay), []).append((rank, projection))
            for members in groups.values():
                # A neuron is kicked through one port after the other; among those of one the order stays.
                members.sort(key=lambda member: member[1].port)
            undelayed, separate = groups.pop(0.0), groups.pop(None)
            p.first_projection, p.n_projections = filled, len(undelayed)
            p.one_weight_per_target = _one_weight_per_target(undelayed)
            for rank, projection in undelayed:
                scratch = max(scratch, self._add_projection(&self.e.projections[filled], rank, projection))
                filled += 1
            p.first_lane, p.n_lanes = self.e.n_lanes, len(groups)
            for delay, members in groups.items():
                lane = &self.e.lanes[self.e.n_lanes]
                memset(lane, 0, sizeof(Lane))
                self.e.n_lanes += 1
                lane.population, lane.delay = k, delay
                lane.first_projection, lane.n_projections = filled, len(members)
                lane.one_weight_per_target = _one_weight_per_target(members)
                for rank, projection in members:
                    scratch = max(scratch, self._add_projection(&self.e.projections[filled], rank, projection))
                    filled += 1
            p.first_delayed, p.n_delayed = filled, len(separate)
            for rank, projection in separate:
                self._add_delayed(filled, rank, projection)
                filled += 1
        self.e.table = <uint32_t *> owned(allocate(scratch, sizeof(uint32_t)))
        memset(self.e.table, 0xFF, scratch * sizeof(uint32_t))

    cdef synapse_t _add_projection(self, Projection *c, rank, projection) except -1:
        """Fill in a projection; the scratch that drawing its rows needs."""
        cdef const synapse_t[::1] offsets
        cdef const neuron_t[::1] targets
        cdef const double[::1] weights
        memset(c, 0, sizeof(Projection))
        c.post, c.rank, c.has_multapses = projection.post, rank, projection.has_multapses
        c.port = projection.port
        c.largest = largest_size(projection.weight)
        if isinstance(projection.adjacency, ProceduralAdjacency):
            c.weight = projection.weight
            return self._add_procedural(c, projection.adjacency)
        offsets, targets = projection.adjacency.offsets, projection.adjacency.targets
        c.offsets = &offsets[0]
        c.degree = uniform_degree(offsets)
        c.targets = &targets[0] if targets.shape[0] else NULL
        if isinstance(projection.weight, float):
            c.weight = projection.weight
        elif targets.shape[0]:
            weights = projection.weight
            if weights.shape[0] != targets.shape[0]:
                raise ValueError(f"{weights.shape[0]} weights for {targets.shape[0]} synapses")
            self.arrays.append(weights)
            c.weights = &weights[0]
        self.arrays += [offsets, targets]
        return 0

    cdef _add_delayed(self, int64_t number, rank, projection):
        """Fill in a projection with a delay for each synapse: its rows are brought into the order of delays."""
        cdef Projection *c = &self.e.projections[number]
        cdef double[::1] weights
        cdef const double[::1] delays
        cdef const neuron_t[::1] targets, places
        self._add_projection(c, rank, projection)
        adjacency = projection.adjacency
        sources = adjacency.sources
        order = np.lexsort((projection.delay, sources))
        targets = adjacency.targets[order]
        places = (order - adjacency.offsets[sources]).astype(np.int32)
        delays = projection.delay[order]
        self.arrays += [targets, places, delays]
        c.targets, c.places, c.delays = &targets[0], &places[0], &delays[0]
        if c.weights != NULL:
            weights = projection.weight[order]
            self.delayed.append((number, order, weights.base))
            c.weights = &weights[0]

    def take_weights(self):
        """Go on with what the arrays of weights that the engine was made with contain now."""
        cdef int64_t k
        cdef Projection *c
        for k in range(len(self.network.projections)):
            c = &self.e.projections[k]
            if c.weights != NULL:
                c.largest = largest_size(self.network.projections[c.rank].weight)
        for k, order, weights in self.delayed:
            np.take(self.network.projections[self.e.projections[k].rank].weight, order, out=weights)

    cdef synapse_t _add_procedural(self, Projection *c, adjacency) except -1:
        """Fill in how rows are drawn; the scratch that this needs."""
        cdef const uint64_t[::1] key = adjacency.key
        c.procedural = True
        c.key[0], c.key[1] = key[0], key[1]
        c.stream = adjacency.projection
        c.purpose = Purpose.CONNECTIVITY
        c.degree = adjacency.degree
        c.n_post = adjacency.n_post
        c.skip_self = adjacency.skip_self
        c.with_replacement = adjacency.with_replacement
        if not reserve(&self.e.drawn, c.degree + 1):
            owned(NULL)
        return table_size(c.degree, c.n_post - c.skip_self, c.with_replacement) if c.degree else 0

    cdef _add_inputs(self, network):
        """Point the structs at spike trains and at the rates of Poisson processes; each gets onto the agenda."""
        cdef const double[::1] times
        cdef const int64_t[::1] ids
        cdef Process *c
        times, ids = network.spikes
        self.e.trains[0].size = times.shape[0]
        if times.shape[0]:
            self.arrays += [times, ids]
            self.e.trains[0].times, self.e.trains[0].ids = &times[0], &ids[0]
        self.processes = list(network.processes)
        self.e.processes = <Process *> owned(allocate(len(network.processes), sizeof(Process)))
        for process in self.processes:
            c = &self.e.processes[self.e.n_processes]
            memset(c, 0, sizeof(Process))
            self.e.n_processes += 1
            self._fill_process(c, process)
        self._start_inputs()

    cdef _fill_process(self, Process *c, process):
        """What a Poisson input is; its present interval is another matter."""
        cdef const double[::1] times, means, weights
        cdef const double[:, ::1] fractions
        cdef const uint64_t[::1] key
        c.population, c.is_source, c.port = process.population, process.weight is None, process.port
        key = process.key
        c.poisson.key[0], c.poisson.key[1] = key[0], key[1]
        c.poisson.purpose, c.poisson.index = process.purpose, process.index
        c.poisson.n, c.poisson.interval = process.n, process.interval
        means = process.means
        c.poisson.means, c.poisson.mean_each = &means[0], means.shape[0] > 1
        c.n_intervals = process.n_intervals
        c.poisson.times, c.poisson.fractions, c.poisson.n_times = NULL, NULL, 0
        if process.times is not None:
            times, fractions = process.times, process.fractions
            c.poisson.times, c.poisson.n_times = &times[0], times.shape[0]
            c.poisson.fractions, c.poisson.fraction_each = &fractions[0, 0], fractions.shape[1] > 1
        if isinstance(process.weight, np.ndarray):
            weights = process.weight
            c.weights = &weights[0]
        elif process.weight is not None:
            c.weight = process.weight

    cdef _start_inputs(self):
        """Put all inputs onto the agenda, at what comes after the last instant."""
        cdef int64_t k
        for k in range(2):
            self._start_train(k)
        for k in range(self.e.n_processes):
            self._start_process(k)

    cdef _start_train(self, int64_t k):
        cdef Train *train = &self.e.trains[k]
        train.at = 0
        while train.at < train.size and not_after(train_time(&self.e, train), self.e.last):
            train.at += 1
        if train.at < train.size and not agenda_push(&self.e.agenda, train_time(&self.e, train), TRAIN, k):
            owned(NULL)

    cdef _start_process(self, int64_t k):
        cdef Process *c = &self.e.processes[k]
        c.at = c.poisson.n_events = 0
        c.poisson.k = -1
        if self.e.last.n >= 0:
            c.poisson.k = max(int(self.e.last.n * (self.e.H / c.poisson.interval))
                              + int(self.e.last.s / c.poisson.interval) - 1, -1)
            while not_after(process_time(&self.e, c, c.at), self.e.last):
                if c.at < c.poisson.n_events:
                    c.at += 1
                elif not draw_interval(&self.e, c):
                    owned(NULL)
        if not agenda_push(&self.e.agenda, process_time(&self.e, c, c.at), PROCESS, k):
            owned(NULL)

    # Steering: what changes between two instants

    @property
    def injected(self):
        """The injected spikes that have not been taken yet: times in ms, and global ids."""
        cdef Train *train = &self.e.trains[1]
        if self.added is None:
            return np.zeros(0), np.zeros(0, np.int64)
        return tuple(column[train.at:] for column in self.added)

    @injected.setter
    def injected(self, spikes):
        cdef const double[::1] times
        cdef const int64_t[::1] ids
        cdef Train *train = &self.e.trains[1]
        times, ids = self.added = spikes
        agenda_drop(&self.e.agenda, TRAIN, 1)
        train.size = times.shape[0]
        if train.size:
            train.times, train.ids = &times[0], &ids[0]
        self._start_train(1)

    def set_process(self, int64_t k, process):
        """From now on, input number k of the network is another one, of which nothing comes before now."""
        agenda_drop(&self.e.agenda, PROCESS, k)
        self.processes[k] = process
        self._fill_process(&self.e.processes[k], process)
        self._start_process(k)

    def set_changes(self, changes, int64_t n_changes):
        """Other :class:`Changes`, of which so many are over; what is due already comes before anything else."""
        cdef const double[:, ::1] currents
        cdef int64_t k
        self.changes, self.n_changes = changes, n_changes
        self.change_n, self.change_s = self.clock.pairs(changes.times)
        self.change_number, self.change_row = changes.populations, changes.rows
        for k in range(self.e.n_populations):
            self.series[k].currents = NULL
            if k in changes.currents:
                currents = changes.currents[k]
                self.series[k].currents, self.series[k].width = &currents[0, 0], currents.shape[1]

    def place(self, const int64_t[::1] ids, const double[::1] V, const double[::1] refractory,
              const double[:, ::1] currents):
        """Give neurons another state now; see :meth:`sparseprop.reference.ReferenceEngine.place`."""
        cdef int64_t k
        cdef Population *p
        self._enter_present()
        for k in range(ids.shape[0]):
            p = &self.e.populations[population_of(&self.e, <neuron_t> ids[k])]
            origin = 0.0 if self.origins is None else self.origins[ids[k]]
            p.ops.place_one(&self.e, p, <neuron_t> ids[k] - p.first, V[k] - origin, refractory[k])
            if p.ops.has_currents:
                p.ops.place_currents(&self.e, p, <neuron_t> ids[k] - p.first, &currents[k, 0])
        forget_solved(&self.e)
        self._order()

    def set_flights(self, emissions, last):
        """The spikes on their way, as in a state; what arrives by `last` is over."""
        cdef int64_t k
        cdef Population *p
        cdef Pair emission
        self.e.last.n, self.e.last.s = last
        for k in range(self.e.n_populations):
            self.e.populations[k].log_start = self.e.populations[k].log_size = 0
        for k in range(self.e.n_lanes):
            self.e.lanes[k].next = 0
        self.e.n_cursors, self.e.free_cursor = 0, -1
        self.e.agenda.size = 0
        self._start_inputs()
        self.e.restoring = True
        for n, s, source in emissions.tolist():
            emission.n, emission.s = n, s
            p = &self.e.populations[population_of(&self.e, <neuron_t> source)]
            if send(&self.e, p, <neuron_t> source - p.first, emission) != RUNNING:
                owned(NULL)
        self.e.restoring = False

    @property
    def now(self):
        return self.e.now.n, self.e.now.s

    @property
    def last(self):
        return self.e.last.n, self.e.last.s

    @property
    def n_spikes(self):
        return self.e.n_spikes

    @property
    def n_synaptic_events(self):
        return self.e.n_synaptic_events

    @property
    def n_input_events(self):
        return self.e.n_input_events

    @property
    def n_drive_events(self):
        return self.e.n_drive_events

    @property
    def n_close_calls(self):
        return self.e.n_close_calls

    @property
    def record_sources(self):
        return self.e.record_sources

    @record_sources.setter
    def record_sources(self, bint wanted):
        self.e.record_sources = wanted

    def advance(self, until, max_spikes=None, count_t budget=1 << 62):
        """Take instants before the pair `until`; see :meth:`sparseprop.reference.ReferenceEngine.advance`.

        `budget` counts spikes, synaptic events and input events.
        """
        if self.e.populations == NULL:
            raise RuntimeError("this Engine was never initialised")
        cdef Pair end, change, stop
        cdef count_t most = (<count_t> 1) << 62 if max_spikes is None else max_spikes
        cdef count_t spent, before_block
        cdef Status status = RUNNING
        end.n, end.s = until
        budget = min(budget, (<count_t> 1) << 61)
        spent = self.e.n_spikes + kicks_so_far(&self.e)
        while True:
            change = self._next_change()
            stop = change if before(change, end) else end
            before_block = self.e.n_spikes + kicks_so_far(&self.e)
            with nogil:
                if self.windowed:
                    status = take_instants(&self.e, &self.window, stop, most, budget - (before_block - spent))
                else:
                    status = take_instants(&self.e, &self.heap, stop, most, budget - (before_block - spent))
            if status > QUIESCENT:
                self._fault(status)
            if status == RUNNING or status == SPIKES:
                return _ENDS[status]
            if not before(change, end):
                return _ENDS[TIME if change.n < never().n or not is_silent(&self.e) else QUIESCENT]
            self._change_parameters(change)

    cdef Pair _next_change(self):
        """When parameters change next."""
        cdef Pair change = never()
        if self.n_changes < self.change_n.shape[0]:
            change.n, change.s = self.change_n[self.n_changes], self.change_s[self.n_changes]
            if before(change, self.e.now):  # by rounding, of one that was made now
                change = self.e.now
        return change

    cdef _change_parameters(self, Pair now):
        """The changes that are due now."""
        cdef Series *series
        cdef const double *currents
        cdef int64_t number
        self.e.now = now
        self._enter_present()
        while not before(now, self._next_change()):
            number = self.change_number[self.n_changes]
            series = &self.series[number]
            currents = &series.currents[self.change_row[self.n_changes] * series.width]
            self.n_changes += 1
            self._change_population(number, currents, series.width)
        self._order()
        self._take_forced()

    cdef _take_forced(self):
        """Let those fire that were due when parameters changed."""
        cdef Pair instant, now = self.e.now
        cdef Status status
        # By rounding, a spike under the new parameters may lie a little before the change.
        with nogil:
            if self.windowed:
                status = next_instant(&self.e, &self.window, now, &instant)
                if status == RUNNING:
                    status = put_back(&self.e, &self.window)
                if status == RUNNING and (self.e.forced.size or before(instant, now)):
                    status = take_instant(&self.e, &self.window)
            else:
                status = next_instant(&self.e, &self.heap, now, &instant)
                if status == RUNNING and (self.e.forced.size or before(instant, now)):
                    status = take_instant(&self.e, &self.heap)
        if status != RUNNING:
            self._fault(status)

    cdef _change_population(self, int64_t number, const double *currents, int64_t width):
        """Give a population another I_e, one for all or one for each neuron; V stays."""
        cdef Population *p = &self.e.populations[number]
        cdef void *rows = p.rows
        cdef Frame *frames = p.frames
        cdef bint heterogeneous = p.heterogeneous
        cdef neuron_t i
        if self.seen == NULL:
            self.seen = <double *> owned(allocate(2 * <int64_t> self.e.n, sizeof(double)))
        for i in range(p.size):
            if not_after(p.ops.next_spike(&self.e, p, i), self.e.now):
                if not append(&self.e.forced, p.first + i):
                    owned(NULL)
                if self.e.tape != NULL:
                    tape_drive(self.e.tape, p.first + i)
        if self.e.tape != NULL:
            self._note_voltages(p)
        p.ops.look(&self.e, p, self.seen)
        forget_solved(&self.e)
        try:
            self._set_currents(number, currents, width)
            p.ops.take_over(&self.e, p, rows, heterogeneous, self.seen)
        finally:
            if p.rows != rows:
                free(rows)
            if p.frames != frames:
                free(frames)

    cdef _set_currents(self, int64_t number, const double *currents, int64_t width):
        """Rows, and frames if they change, of a population for another I_e; the old ones are left to be freed."""
        cdef Population *p = &self.e.populations[number]
        cdef Series *series = &self.series[number]
        cdef int64_t k, n_rows, size = p.ops.row_size
        cdef char *old = <char *> p.rows
        cdef char *rows
        if p.ops.give_current == NULL:
            bases = len(self._base(number))
            n_rows = max(width, <int64_t> bases)
            self._set_rows(p, n_rows, [
                self._constants(number, k if bases > 1 else 0, currents[k if width > 1 else 0]) for k in range(n_rows)
            ])
            return
        # Only some sums of a leaky neuron's constants change, and neither time constants nor frames.
        if series.leaks == NULL:
            self._base(number)
        n_rows = max(width, series.n_leaks)
        n_rows = p.size if n_rows > 1 or p.heterogeneous else 1
        rows = <char *> owned(allocate(n_rows, size))
        for k in range(n_rows):
            memcpy(rows + k * size, old + (k * size if p.heterogeneous else 0), size)
            p.ops.give_current(rows, k, currents[k if width > 1 else 0],
                               &series.leaks[3 * k if series.n_leaks > 1 else 0])
        p.rows = rows
        p.ops.describe(p, n_rows)
        p.heterogeneous = n_rows > 1
        p.plain = not p.heterogeneous and p.release == NULL

    cdef list _base(self, int64_t number):
        """The parameters of a population whose I_e changes, row by row; for leaky neurons also in its Series."""
        cdef double[:, ::1] leaks
        cdef Series *series = &self.series[number]
        if number not in self.bases:
            population = self.network.populations[number]
            self.bases[number] = rows = list(parameter_rows(population.parameters, population.size)[1])
            if self.e.populations[number].ops.give_current != NULL:
                leaks = np.array([[row["E_L"], row["V_th"], row["V_reset"]] for row in rows])
                self.arrays.append(leaks)
                series.leaks, series.n_leaks = &leaks[0, 0], leaks.shape[0]
        return self.bases[number]

    cdef _constants(self, int64_t number, int64_t k, double I_e):
        """The constants of row k of a population with this I_e, which may come again."""
        key = number, k, I_e
        if key not in self.constants:
            if len(self.constants) > 1 << 16:
                self.constants.clear()
            self.constants[key] = constants_of(
                self.network.populations[number].kernel, self.bases[number][k] | {"I_e": I_e}
            )
        return self.constants[key]

    cdef _fault(self, Status status):
        if status == NO_MEMORY:
            raise InsufficientMemoryError("the engine ran out of memory for spikes or arriving weights")
        if status == DISORDER:
            raise AssertionError(f"the event queue lost its order at {self.clock.milliseconds(self.now)} ms")
        kind = "runaway" if status == RUNAWAY else "numerical"
        voltage_before = self.voltages(np.array([self.e.faulty], np.int64)).item()
        raise EngineFault(kind, int(self.e.faulty), self.clock.milliseconds(self.now), voltage_before)

    def take(self):
        """Times in ms (float64) and global ids (int64) of the spikes since the last call."""
        cdef count_t k, n = self.e.spike_ids.size
        cdef double[::1] times = np.empty(n)
        cdef int64_t[::1] ids = np.empty(n, np.int64)
        for k in range(n):
            times[k] = self.e.spike_times[k]
            ids[k] = self.e.spike_ids.items[k]
        self.e.spike_ids.size = 0
        return times.base, ids.base

    def _enter_present(self):
        if self.windowed:
            enter_present(&self.e, &self.window)
        else:
            enter_present(&self.e, &self.heap)

    def voltages(self, ids=None, bint internal=False):
        """V now of all neurons, or of those with the given global ids (int64); NaN for sources.

        `internal`: as the backward pass knows them, before `origins` are added.
        """
        cdef const int64_t[::1] chosen = np.arange(self.e.n, dtype=np.int64) if ids is None else ids
        cdef double[::1] V = np.empty(chosen.shape[0])
        cdef int64_t k
        self._enter_present()
        for k in range(chosen.shape[0]):
            if not 0 <= chosen[k] < self.e.n:
                raise ValueError(f"there is no neuron {chosen[k]}")
            V[k] = voltage_of(&self.e, <neuron_t> chosen[k])
        return V.base if internal or self.origins is None else V.base + self.origins[chosen.base]

    def currents(self, const int64_t[::1] ids):
        """Synaptic currents now of neurons with these global ids: an array of shape (ids, ports), NaN for no port."""
        cdef int64_t k, j, ports = self.e.n_ports
        cdef double[:, ::1] currents = np.full((ids.shape[0], ports), np.nan)
        cdef const Population *p
        self._enter_present()
        for k in range(ids.shape[0]):
            if not 0 <= ids[k] < self.e.n:
                raise ValueError(f"there is no neuron {ids[k]}")
            p = &self.e.populations[population_of(&self.e, <neuron_t> ids[k])]
            if p.ops != NULL and p.ops.has_currents:
                for j in range(p.ops.ports(p)):
                    currents[k, j] = p.ops.port_current(&self.e, p, <neuron_t> ids[k] - p.first, j)
        return currents.base

    def state(self):
        """All that says how the simulation goes on; see :meth:`sparseprop.reference.ReferenceEngine.state`."""
        cdef int64_t k, j
        cdef Population *p
        cdef double[:, ::1] x
        self._enter_present()
        if not keep_recent(&self.e, self.e.now):
            owned(NULL)
        populations = []
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            if p.x == NULL:
                populations.append(None)
                continue
            x = np.empty((p.size, p.width))
            memcpy(&x[0, 0], p.x, p.size * p.width * sizeof(double))
            populations.append({
                "x": x.base, "base": saved_pairs(p.base, p.size), "release": saved_pairs(p.release, p.size),
            })
        return {
            "now": self.now,
            "last": self.last,
            "n_spikes": self.e.n_spikes,
            "n_synaptic_events": self.e.n_synaptic_events,
            "n_input_events": self.e.n_input_events,
            "n_drive_events": self.e.n_drive_events,
            "n_close_calls": self.e.n_close_calls,
            "n_changes": self.n_changes,
            "populations": populations,
            "emissions": self.emissions(),
            "injected": self.injected,
            "recent": np.array([
                (self.e.recent[j].time.n, self.e.recent[j].time.s, self.e.recent[j].neuron)
                for j in range(self.e.n_recent)
            ], dtype=float).reshape(-1, 3),
        }

    def emissions(self):
        """(n, s, id) of the spikes whose effect may be still to come, ascending."""
        cdef int64_t k, j
        cdef Population *p
        cdef Cursor *cursor
        emissions = {}
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            trim_log(&self.e, p)
            for j in range(p.log_size):
                emissions[k, p.log_start + j] = (p.log[j].emission.n, p.log[j].emission.s, p.first + p.log[j].source)
        for k in range(self.e.n_cursors):
            cursor = &self.e.cursors[k]
            if cursor.population >= 0:
                emissions[cursor.population, cursor.number] = (
                    cursor.emission.n, cursor.emission.s, self.e.populations[cursor.population].first + cursor.source
                )
        return np.array(sorted(emissions.values()), dtype=float).reshape(-1, 3)

    def releases(self, int64_t k):
        """The ends of the last refractory periods of the neurons of a population, as pairs: shape (size, 2)."""
        cdef Population *p = &self.e.populations[k]
        return np.zeros((p.size, 2)) if p.release == NULL else saved_pairs(p.release, p.size)

    cdef _after_changes(self, int64_t number, int64_t n_changes):
        """Rows and frames of a population after so many changes, in the present epoch."""
        cdef Population *p = &self.e.populations[number]
        cdef Series *series = &self.series[number]
        cdef void *rows = p.rows
        cdef Frame *frames = p.frames
        cdef const double[::1] first
        cdef int64_t k
        if series.currents == NULL:
            return
        k = self.changes.last(number, n_changes)
        if k >= 0:
            self._set_currents(number, series.currents + self.change_row[k] * series.width, series.width)
        else:
            first = np.atleast_1d(np.asarray(self.network.populations[number].parameters["I_e"], dtype=float))
            self._set_currents(number, &first[0], first.shape[0])
        free(rows)
        if p.frames != frames:
            free(frames)

    cdef _note_voltages(self, Population *p):
        """For the tape: V of a population whose parameters are about to change."""
        cdef double[::1] V = np.empty(p.size)
        cdef neuron_t i
        for i in range(p.size):
            V[i] = p.ops.voltage(&self.e, p, i)
        self.recording.voltages.append(V.base)

    def start_tape(self, double near):
        """Keep from now on what the backward pass needs; and who is to fire within `near` ms of other events."""
        self.stop_tape()
        self._enter_present()
        self.recording = Recording(self, self.network, near)

    def stop_tape(self):
        """The Recording since `start_tape`, or None."""
        recording, self.recording = self.recording, None
        if recording is not None:
            self._enter_present()
            (<Recording> recording).finish(self)
        return recording

    @property
    def tape_size(self):
        """Bytes on the tape; 0 without one."""
        return 0 if self.recording is None else self.recording.nbytes

    def restore(self, state):
        """Go on from what `state` of an engine of the same network returned; only for a fresh engine."""
        cdef int64_t k
        cdef neuron_t i
        cdef Population *p
        cdef Pair time
        cdef const double[:, ::1] x
        self.e.now.n, self.e.now.s = state["now"]
        self.e.last.n, self.e.last.s = state["last"]
        self.e.n_spikes, self.e.n_synaptic_events = state["n_spikes"], state["n_synaptic_events"]
        self.e.n_input_events, self.n_changes = state["n_input_events"], state["n_changes"]
        self.e.n_drive_events, self.e.n_close_calls = state.get("n_drive_events", 0), state.get("n_close_calls", 0)
        for k, saved in enumerate(state["populations"]):
            p = &self.e.populations[k]
            if saved is None:
                continue
            self._after_changes(k, self.n_changes)
            p.epoch = self.e.now.n
            for i in range(p.n_frames):
                enter_epoch(&p.frames[i], p.epoch)
            x = saved["x"]
            if x.shape[0] != p.size or x.shape[1] != p.width:
                raise ValueError(f"states of shape {saved['x'].shape} for {p.size} neurons")
            memcpy(p.x, &x[0, 0], p.size * p.width * sizeof(double))
            restore_pairs(p.base, saved["base"])
            restore_pairs(p.release, saved["release"])
            for i in range(p.size if p.release != NULL else 0):
                if before(self.e.now, p.release[i]):
                    set_bit(p.waiting, i)
        self.injected = state.get("injected", self.injected)
        self.set_flights(state["emissions"], state["last"])
        self.e.n_recent = self.e.fired.size = 0
        self.e.fired_time = nowhere()
        for n, s, i in np.asarray(state.get("recent", np.zeros((0, 3)))).tolist():
            time.n, time.s = n, s
            if not note_recent(&self.e, time, i):
                owned(NULL)
            self.e.fired_time = time
        self._order()


cdef class Recording:
    """The tape of a run or of a part of one, with the states at its ends.

    Attributes
    ----------
    last_before_pair : tuple
        The instant that was taken last before it began.
    n_changes_before, n_changes : int
        Changes of parameters before it began, and before it ended.
    V : ndarray
        Of all neurons when it began.
    voltages : list of ndarray
        V of a population at each change.
    currents : list of ndarray
        By population: the synaptic currents of its neurons when it began, of shape (size, ports), or None.
    """

    def __cinit__(self):
        self.tape = NULL

    def __dealloc__(self):
        tape_free(self.tape)

    def __init__(self, Engine engine, network, double near):
        cdef State *e = &engine.e
        cdef Pair emission
        cdef int64_t k
        self.network = network
        self.start, self.last_before = e.now, e.last
        self.n_changes_before = engine.n_changes
        self.voltages = []
        self.V = engine.voltages(internal=True)
        self.tape = tape_create(e.n)
        owned(self.tape)
        self.tape.near = near
        for k in range(e.n_populations):
            if e.populations[k].ops != NULL and e.populations[k].ops.notes_states:
                self.tape.records_kicks = True
        self._note_currents(e)
        for n, s, i in engine.state()["emissions"].tolist():
            emission.n, emission.s = n, s
            if not tape_note(self.tape, PAST, emission, <neuron_t> i, 0, 0):
                owned(NULL)
        e.tape = self.tape

    cdef _note_currents(self, State *e):
        """Synaptic currents now, and their sums at the ends of refractory periods."""
        cdef int64_t k, j
        cdef neuron_t i
        cdef Population *p
        cdef double[:, ::1] currents
        self.currents = []
        for k in range(e.n_populations):
            p = &e.populations[k]
            if p.ops == NULL or not p.ops.has_currents:
                self.currents.append(None)
                continue
            if self.tape.at_release == NULL:
                self.tape.at_release = <double *> zeros(e.n, sizeof(double))
            currents = np.empty((p.size, p.ops.ports(p)))
            for i in range(p.size):
                for j in range(currents.shape[1]):
                    currents[i, j] = p.ops.port_current(e, p, i, j)
                if p.release != NULL and before(e.now, p.release[i]):
                    self.tape.at_release[p.first + i] = p.ops.current_sum(e, p, i, p.release[i])
            self.currents.append(currents.base)

    cdef finish(self, Engine engine):
        cdef int64_t k
        engine.e.tape = NULL
        self.last = engine.e.last
        self.n_changes = engine.n_changes
        self.releases = [
            saved_pairs(engine.e.populations[k].release, engine.e.populations[k].size)
            for k in range(engine.e.n_populations)
        ]

    @property
    def nbytes(self):
        return (self.tape.size * sizeof(Entry) + self.tape.n_values * sizeof(double)
                + self.tape.n_targets * sizeof(neuron_t) + self.tape.n_releases * sizeof(Pair)
                + self.tape.n_currents * sizeof(double))

    @property
    def n_spikes(self):
        """Of neurons."""
        return self.tape.n_spikes

    @property
    def last_before_pair(self):
        return self.last_before.n, self.last_before.s

    def entries(self, wanted):
        """Epochs, times in the epoch, and global ids of all entries of a kind, and where they are."""
        cdef int64_t kind = {"spikes": SPIKE, "emitted": EMITTED, "past": PAST}[wanted]
        cdef count_t k, n = 0
        for k in range(self.tape.size):
            n += self.tape.entries[k].kind == kind
        cdef int64_t[::1] epochs = np.empty(n, np.int64), ids = np.empty(n, np.int64), where = np.empty(n, np.int64)
        cdef double[::1] s = np.empty(n)
        n = 0
        for k in range(self.tape.size):
            if self.tape.entries[k].kind == kind:
                epochs[n] = self.tape.entries[k].n
                s[n] = self.tape.entries[k].s
                ids[n] = self.tape.entries[k].neuron
                where[n] = k
                n += 1
        return epochs.base, s.base, ids.base, where.base

    def __len__(self):
        return self.tape.size


def _only_value(delay):
    """The delay that all synapses have, or None."""
    if isinstance(delay, float):
        return delay
    return float(delay[0]) if delay.size and (delay == delay[0]).all() else None if delay.size else 0.0


def _one_weight_per_target(members):
    """Whether one spike reaches no port of a target twice through these projections."""
    ends = [(projection.post, projection.port) for _, projection in members]
    return len(set(ends)) == len(ends) and not any(projection.has_multapses for _, projection in members)


cdef saved_pairs(const Pair *pairs, neuron_t n):
    """An array of shape (n, 2), or None."""
    if pairs == NULL:
        return None
    cdef double[:, ::1] array = np.empty((n, 2))
    cdef neuron_t i
    for i in range(n):
        array[i, 0] = pairs[i].n
        array[i, 1] = pairs[i].s
    return array.base


cdef restore_pairs(Pair *pairs, saved):
    cdef const double[:, ::1] array
    cdef neuron_t i
    if pairs == NULL or saved is None:
        return
    array = saved
    for i in range(array.shape[0]):
        pairs[i].n = <int64_t> array[i, 0]
        pairs[i].s = array[i, 1]


cdef double voltage_of(const State *e, neuron_t i) noexcept nogil:
    """V of the neuron of global id i now; NaN for a source."""
    cdef const Population *p = &e.populations[population_of(e, i)]
    return p.ops.voltage(e, p, i - p.first) if p.ops != NULL else NAN


cdef void agenda_drop(Agenda *a, Kind kind, int64_t index) noexcept nogil:
    """Remove the entry of a stream, wherever it is."""
    cdef count_t k, size = a.size
    cdef Item item
    a.size = 0
    for k in range(size):
        # Behind what is written here.
        item = a.items[k]
        if item.kind != kind or item.index != index:
            agenda_push(a, item.time, item.kind, item.index)


cdef void order_by_first_spike(State *e, Heap *h) noexcept nogil:
    """Fill in the first spike of every neuron and order the heap."""
    cdef neuron_t i
    cdef Pair key
    for i in range(e.n):
        key = next_spike_of(e, h.entries[i].neuron)
        h.entries[i].n = key.n
        h.entries[i].s = key.s
    heap_order(h)


cdef int64_t uniform_degree(const synapse_t[::1] offsets) noexcept:
    """The number of synapses of every source, or -1 if they differ."""
    cdef Py_ssize_t k
    cdef int64_t degree = offsets[1] - offsets[0]
    for k in range(offsets.shape[0] - 1):
        if offsets[k + 1] - offsets[k] != degree:
            return -1
    return degree


class _Frames:
    """The distinct frames of a population: (rotates, advance per epoch, scale, coupling) each."""

    def __init__(self, epoch, shared):
        self.epoch = epoch
        self.entries = []
        self.known = {}
        self.shared = shared

    def index(self, frame):
        """Where this frame is; a neuron without one gets a frame at rest, which is never read."""
        key = None if frame is None else (frame["rotates"], frame["tau"], frame["root"])
        if key not in self.known:
            self.known[key] = len(self.entries)
            if frame is None:
                self.entries.append((True, 0, 1.0, None))
            else:
                tau, root, rotates = frame["tau"], frame["root"], frame["rotates"]
                rate = advance_per_epoch("turns" if rotates else "powers of two", self.epoch, tau, frame["square"])
                self.entries.append((rotates, rate, root / tau if rotates else tau / root, None))
        return self.known[key]

    def of_port(self, tau, port):
        """Where the frame of a synaptic current is; it begins anew in each epoch."""
        key = tau, port["tau"]
        if key not in self.known:
            self.known[key] = len(self.entries)
            self.entries.append((False, 0, port["tau"], (tau, port["near"], port["gain"], port["slope"])))
        return self.known[key]

    def memory(self, key, size):
        """Memory that all populations share, kept as long as the engine; and whether it is new."""
        is_new = key not in self.shared
        if is_new:
            self.shared[key] = np.zeros(size, np.uint8)
        return self.shared[key], is_new


def largest_size(values):
    """The largest absolute value, without a copy."""
    return max(float(np.max(values, initial=0.0)), -float(np.min(values, initial=0.0)))


cdef void *owned(void *memory) except NULL:
    if memory == NULL:
        raise InsufficientMemoryError("not enough memory for the engine's state; use fewer neurons or synapses")
    return memory


cdef void *zeros(size_t n, size_t size) except NULL:
    """n zeroed items of `size` bytes."""
    cdef void *memory = owned(allocate(n, size))
    memset(memory, 0, n * size)
    return memory
