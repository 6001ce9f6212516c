"""The compiled engines: one event loop over two kinds of event queue and the models' inline functions.

Names of phases and the order of everything within an instant are those of :mod:`sparseprop.reference`, which
computes the same numbers bit for bit and is the place to read first.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort
from libc.string cimport memset

import numpy as np

from ._frames cimport (
    MAX_EPOCH, Frame, Pair, before, enter_epoch, enter_instant, never, not_after, place_edge, plus,
)
from ._heap cimport (
    Heap, heap_create, heap_free, heap_is_ordered, heap_key, heap_move, heap_order,
)
from ._lif cimport (
    LIF, lif_fires_before_edge, lif_kick, lif_next_spike, lif_over_threshold, lif_place, lif_reset, lif_voltage,
)
from ._memory cimport allocate, allocate_large, reallocate
from ._qif cimport (
    QIF, ROTATION, SADDLE, SHEAR, qif_fires_before_edge, qif_kick, qif_next_spike, qif_over_threshold, qif_place,
    qif_reset, qif_voltage,
)
from ._philox cimport philox_open, philox_stream
from ._rows cimport draw_row, table_size
from ._scan cimport find_below, find_turned, kick_row, prefetch, subtract, turn
from ._typedefs cimport count_t, neuron_t, synapse_t
from ._window cimport (
    Candidate, Window, window_append, window_free, window_is_ordered, window_key, window_order, window_pop, window_push,
    window_sift_down,
)

from .connectivity import ProceduralAdjacency, Purpose
from .engine_time import FRACTION_BITS, advance_per_epoch
from .errors import EngineFault, InsufficientMemoryError
from .models import lif_constants, qif_constants

import math

cdef extern from *:
    """
    #ifndef SPARSEPROP_DEBUG
    #define SPARSEPROP_DEBUG 0
    #endif
    /* 0 where the compiler kept a multiplication and an addition apart, as the promises need. */
    static double sp_contracted(volatile double a, volatile double b, volatile double c) { return a * b + c; }
    """
    const int DEBUG "SPARSEPROP_DEBUG"
    double sp_contracted(double a, double b, double c) nogil

BUILD_MODE = "debug" if DEBUG else "release"


def contracts_multiply_add():
    """Whether this build fuses a multiplication and an addition, which would change spike trains."""
    cdef double a = 1.0 + 2.0**-30
    return sp_contracted(a, a, -(1.0 + 2.0**-29)) != 0.0


cdef uint64_t PURPOSE = Purpose.CONNECTIVITY


ctypedef fused Model:
    LIF
    QIF

# The event queues. A heap has an entry for every neuron, moved at every kick. A window has entries only for those that
# may fire before its edge, and knows when they can be stale.
ctypedef fused Queue:
    Heap
    Window

cdef enum Status:
    RUNNING = 0
    TIME = 1
    SPIKES = 2
    QUIESCENT = 3
    # Faults: the engine cannot go on.
    RUNAWAY = 4
    NUMERICAL = 5
    NO_MEMORY = 6
    DISORDER = 7

_ENDS = {RUNNING: "running", TIME: "time", SPIKES: "spikes", QUIESCENT: "quiescent"}


cdef struct Projection:
    int64_t post                # index of the target population
    bint procedural             # rows are drawn when they are needed: what follows up to n_post; otherwise stored
    uint64_t key[2]
    uint64_t stream
    bint skip_self
    bint with_replacement
    int64_t n_post
    const synapse_t *offsets
    int64_t degree              # of every source, or -1 if they differ
    const neuron_t *targets
    const double *weights       # one per synapse, or NULL
    double weight               # of all synapses
    double largest              # size of a weight


cdef struct Population:
    neuron_t first              # global id of its first neuron
    neuron_t size
    LIF *lif                    # parameter rows of the model; the other one is NULL
    QIF *qif
    bint heterogeneous          # one row per neuron; otherwise one for all
    Frame *frames
    neuron_t n_frames
    int64_t epoch               # to which frames and states belong
    int64_t width               # doubles of state per neuron
    double *x
    Pair *base                  # QIF: when a shear's state was set, or NULL
    Pair *release               # end of the refractory period, or NULL without one
    uint8_t *waiting            # with `release`: a bit for every neuron that may be refractory
    int64_t first_projection
    int64_t n_projections
    bint one_weight_per_target  # one spike reaches no target twice
    bint oscillates             # some neuron may fire by itself
    bint plain                  # one parameter row, no refractoriness: the hot loops apply


cdef struct List:
    neuron_t *items
    count_t size
    count_t capacity


cdef bint reserve(List *a, count_t n) noexcept nogil:
    """Room for n items; False if there is no memory."""
    cdef void *grown
    if n > a.capacity:
        n = max(n, 2 * a.capacity + 64)
        grown = reallocate(a.items, n, sizeof(neuron_t))
        if grown == NULL:
            return False
        a.items = <neuron_t *> grown
        a.capacity = n
    return True


cdef inline bint append(List *a, neuron_t item) noexcept nogil:
    if a.size == a.capacity and not reserve(a, a.size + 1):
        return False
    a.items[a.size] = item
    a.size += 1
    return True


cdef enum:
    # Neurons that are scanned at a time, so that the scratch of a scan stays small.
    SCAN_BLOCK = 4096
    # States beyond this number, half a MiB of LIF, do not stay in the caches near a core.
    FAR = 65536


cdef struct Gathered:
    Pair time
    neuron_t neuron


cdef struct State:
    double H
    Pair now
    int64_t instant             # counts instants; what frames are stamped with
    neuron_t n
    int64_t n_populations
    Population *populations
    Projection *projections
    double margin               # ms; rounding never moves a next spike by as much
    bint collected              # window: e.due has been filled while the instant was looked for
    Gathered *gathered          # window: entries that are due together, or nearly
    count_t n_gathered
    count_t gathered_capacity
    # This instant.
    List due                    # heap positions, then ids, of the generation
    List driven                 # window: neurons that a kick of this generation brought to threshold
    List found                  # scratch of the hot loops
    List held
    List drawn                  # the present row of a procedural projection
    uint32_t *table             # scratch for drawing, all bits set
    List fired                  # all that fired in this instant
    List touched                # targets with an arriving weight
    uint8_t *has_fired          # bit sets over all neurons
    uint8_t *has_arrival
    double *arriving            # summed weights of this generation, allocated when first needed
    # What came out.
    double *spike_times
    List spike_ids
    count_t spike_capacity
    count_t n_spikes
    count_t n_synaptic_events
    # Where a fault happened.
    neuron_t faulty


cdef inline bint get_bit(const uint8_t *bits, neuron_t i) noexcept nogil:
    return (bits[i >> 3] >> (i & 7)) & 1


cdef inline void set_bit(uint8_t *bits, neuron_t i) noexcept nogil:
    bits[i >> 3] |= <uint8_t> (1 << (i & 7))


cdef inline void clear_bit(uint8_t *bits, neuron_t i) noexcept nogil:
    bits[i >> 3] &= <uint8_t> ~(1 << (i & 7))


cdef int compare_ids(const void *a, const void *b) noexcept nogil:
    cdef neuron_t x = (<const neuron_t *> a)[0], y = (<const neuron_t *> b)[0]
    return (x > y) - (x < y)


cdef inline int64_t population_of(const State *e, neuron_t i) noexcept nogil:
    cdef int64_t low = 0, high = e.n_populations - 1, middle
    while low < high:
        middle = (low + high + 1) // 2
        if e.populations[middle].first <= i:
            low = middle
        else:
            high = middle - 1
    return low


# One neuron, by model: `m` is its parameter row, i its local id ------------------------------------------------------

cdef inline const Model *row(const Population *p, const Model *rows, neuron_t i) noexcept nogil:
    return &rows[i] if p.heterogeneous else rows


cdef inline Frame *frame_now(const State *e, const Population *p, const Model *m) noexcept nogil:
    cdef Frame *f = &p.frames[m.frame]
    enter_instant(f, e.now, e.instant)
    return f


cdef inline Pair next_spike(const State *e, const Population *p, const Model *m, neuron_t i) noexcept nogil:
    """When neuron i fires without input, not before the end of its refractory period."""
    cdef Frame *f = &p.frames[m.frame]
    cdef Pair since = e.now, t
    if p.release != NULL and before(e.now, p.release[i]):
        since = p.release[i]
    if Model is LIF:
        t = lif_next_spike(m, &p.x[i], f, p.epoch, e.H)
    else:
        t = qif_next_spike(m, &p.x[2 * <int64_t> i], p.base + i if p.base != NULL else NULL, f, since, p.epoch, e.H)
    if p.release != NULL and before(t, p.release[i]):
        return p.release[i]
    return t


cdef inline bint fires_before_edge(const State *e, const Window *q, const Population *p, const Model *m,
                                   neuron_t i) noexcept nogil:
    """Whether neuron i may fire before the window's edge; cheap, and never False if it does."""
    if p.release != NULL and not before(p.release[i], q.edge):
        return False
    if Model is LIF:
        return lif_fires_before_edge(m, &p.x[i], &p.frames[m.frame])
    else:
        return qif_fires_before_edge(m, &p.x[2 * <int64_t> i], p.base + i if p.base != NULL else NULL,
                                     &p.frames[m.frame], q.edge, e.H)


cdef inline Status schedule(State *e, Queue *q, const Population *p, const Model *m, neuron_t i) noexcept nogil:
    """Neuron i has a new state from which it may fire sooner than the queue knows."""
    cdef Pair t
    if Queue is Heap:
        heap_move(q, p.first + i, next_spike(e, p, m, i))
    elif fires_before_edge(e, q, p, m, i):
        t = next_spike(e, p, m, i)
        if before(t, q.edge) and not window_push(q, window_key(q, t, e.H), p.first + i):
            return NO_MEMORY
    return RUNNING


cdef inline Status kick(State *e, Queue *q, Population *p, const Model *rows, neuron_t i, double weight) noexcept nogil:
    """V += weight now, unless refractory; then the neuron's place in the queue."""
    cdef const Model *m = row(p, rows, i)
    cdef Frame *f
    cdef double *x
    cdef Pair *base
    cdef bint finite, over
    if p.release != NULL and get_bit(p.waiting, i):
        if before(e.now, p.release[i]):
            return RUNNING
        clear_bit(p.waiting, i)
    f = frame_now(e, p, m)
    if Model is LIF:
        x = &p.x[i]
        finite = lif_kick(m, x, f, weight)
        over = weight > 0.0 and lif_over_threshold(m, x, f)
    else:
        x = &p.x[2 * <int64_t> i]
        base = p.base + i if p.base != NULL else NULL
        finite = qif_kick(m, x, base, f, e.now, e.H, weight)
        over = weight > 0.0 and qif_over_threshold(m, x, f)
    if not finite:
        e.faulty = p.first + i
        return NUMERICAL
    if Queue is Heap:
        heap_move(q, p.first + i, e.now if over else next_spike(e, p, m, i))
        return RUNNING
    else:
        if over:
            return RUNNING if append(&e.driven, p.first + i) else NO_MEMORY
        # Inhibition moves a spike later: what the window has stays a lower bound. A shear is set anew by any kick,
        # which may move a spike far ahead by more than the margin.
        if weight > 0.0 or (Model is QIF and m.regime == SHEAR):
            return schedule(e, q, p, m, i)
        return RUNNING


cdef inline Status reset(State *e, Queue *q, Population *p, const Model *rows, neuron_t i) noexcept nogil:
    """The state after a spike now."""
    cdef const Model *m = row(p, rows, i)
    cdef Frame *f = frame_now(e, p, m)
    cdef Pair release = e.now
    if p.release != NULL:
        release = plus(e.now, m.t_ref, e.H)
        p.release[i] = release
        set_bit(p.waiting, i)
    if Model is LIF:
        lif_reset(m, &p.x[i], f, p.epoch, release)
    else:
        qif_reset(m, &p.x[2 * <int64_t> i], p.base + i if p.base != NULL else NULL, f, p.epoch, release)
    return schedule(e, q, p, m, i)


cdef inline double voltage(const State *e, const Population *p, const Model *rows, neuron_t i) noexcept nogil:
    cdef const Model *m = row(p, rows, i)
    cdef Frame *f
    if p.release != NULL and before(e.now, p.release[i]):
        return m.V_reset
    f = frame_now(e, p, m)
    if Model is LIF:
        return lif_voltage(m, &p.x[i], f)
    else:
        return qif_voltage(m, &p.x[2 * <int64_t> i], p.base + i if p.base != NULL else NULL, f, e.now, e.H)


# Whole populations ------------------------------------------------------------------------------------------------

cdef void rescale(Population *p, const Model *rows) noexcept nogil:
    """Take the powers of two that left the frames out of the states, one step after the other."""
    cdef neuron_t i
    cdef int64_t _
    cdef const Model *m
    for i in range(p.size):
        m = row(p, rows, i)
        if Model is QIF:
            # At the unstable point there is no growth, and the length of the vector has no meaning.
            if p.x[2 * <int64_t> i + 1] == 0.0:
                continue
        for _ in range(p.frames[m.frame].steps):
            p.x[p.width * i] *= 5.421010862427522e-20  # 2^-64


cdef void enter_present(State *e, Queue *q) noexcept nogil:
    """Bring all frames and states to the present epoch and mark a new instant."""
    cdef int64_t k
    cdef neuron_t j
    cdef Population *p
    cdef bint scaled
    e.instant += 1
    for k in range(e.n_populations):
        p = &e.populations[k]
        if p.epoch == e.now.n:
            continue
        scaled = False
        for j in range(p.n_frames):
            enter_epoch(&p.frames[j], e.now.n)
            scaled = scaled or p.frames[j].steps > 0
            if Queue is Window and p.oscillates:
                place_edge(&p.frames[j], e.now.n, q.edge, q.length)
        p.epoch = e.now.n
        if scaled and p.lif != NULL:
            rescale(p, p.lif)
        elif scaled:
            rescale(p, p.qif)


cdef Status deliver_each(State *e, Queue *q, Population *p, const Model *rows, const neuron_t *targets,
                         const double *weights, double weight, int64_t count) noexcept nogil:
    """Kick each of `count` targets (local ids) once."""
    cdef int64_t k
    cdef Status status
    for k in range(count):
        status = kick(e, q, p, rows, targets[k], weights[k] if weights != NULL else weight)
        if status != RUNNING:
            return status
    return RUNNING


cdef Status deliver(State *e, Queue *q, Population *p, const Model *rows, const neuron_t *targets,
                    const double *weights, double weight, double largest, int64_t count) noexcept nogil:
    """`deliver_each`, in a hot loop where there is one; no weight is larger in size than `largest`."""
    cdef Frame *f
    cdef double bound
    cdef int64_t k, n, held = 0
    cdef neuron_t i
    cdef Status status
    if Queue is Window:
        if Model is LIF:
            # No sum of kicks of this size leaves the range of a state.
            if not p.heterogeneous and largest * frame_now(e, p, rows).E < 6.668014432879854e240:
                f = frame_now(e, p, rows)
                if weights == NULL and weight <= 0.0 and p.release == NULL:
                    subtract(p.x, targets, count, weight * f.E, p.size > FAR)
                    return RUNNING
                if not reserve(&e.found, count + 1) or not reserve(&e.held, count):
                    return NO_MEMORY
                bound = rows.gap * (f.edge_E if rows.gap > 0.0 and f.edge_E > f.E else f.E)
                n = kick_row(p.x, targets, weights, weight, count, f.E, bound, p.waiting, p.size > FAR,
                             e.found.items, e.held.items, &held)
                for k in range(n):
                    status = settle(e, q, p, rows, e.found.items[k], f)
                    if status != RUNNING:
                        return status
                for k in range(held):
                    i = e.held.items[k]
                    status = kick(e, q, p, rows, targets[i], weights[i] if weights != NULL else weight)
                    if status != RUNNING:
                        return status
                return RUNNING
        else:
            if p.plain and weights == NULL and rows.regime == ROTATION and weight <= 0.0:
                f = frame_now(e, p, rows)
                n = 0
                while True:
                    n += turn(p.x, targets + n, count - n, weight * rows.inverse_root, f.E, f.sine,
                              7.888609052210118e-31, 1.2676506002282294e30)
                    if n == count:
                        return RUNNING
                    status = kick(e, q, p, rows, targets[n], weight)
                    if status != RUNNING:
                        return status
                    n += 1
    return deliver_each(e, q, p, rows, targets, weights, weight, count)


cdef inline Status settle(State *e, Window *q, Population *p, const LIF *m, neuron_t i,
                          const Frame *f) noexcept nogil:
    """The place in the queue of a neuron that excitation brought near its threshold."""
    if lif_over_threshold(m, &p.x[i], f):
        return RUNNING if append(&e.driven, p.first + i) else NO_MEMORY
    return schedule(e, q, p, m, i)


# The queue's part in an instant -------------------------------------------------------------------------------------

cdef inline Pair next_spike_of(const State *e, neuron_t i) noexcept nogil:
    """When the neuron of global id i fires without input."""
    cdef Population *p = &e.populations[population_of(e, i)]
    cdef neuron_t local = i - p.first
    if p.lif != NULL:
        return next_spike(e, p, row(p, p.lif, local), local)
    return next_spike(e, p, row(p, p.qif, local), local)


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
    cdef Status status
    if Queue is Heap or not e.collected:
        e.due.size = 0
    if Queue is Heap:
        # The top of the heap, O(the number of the due).
        if q.size == 0 or not not_after(heap_key(q, 0), e.now):
            return RUNNING
        if not append(&e.due, 0):
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
        status = gather(e, q, window_key(q, e.now, e.H) + e.margin, &first)
        if status == RUNNING:
            status = split_gathered(e, q, e.now)
        if status != RUNNING:
            return status
    sort_due(e)
    return RUNNING


cdef Status next_instant(State *e, Queue *q, Pair until, Pair *instant) noexcept nogil:
    """The first spontaneous spike. At or after `until` it may be any time from there on; `never` if there is none."""
    cdef Pair t
    cdef double key, soon
    cdef Status status
    if Queue is Heap:
        instant[0] = heap_key(q, 0) if q.size > 0 else never()
        return RUNNING
    else:
        while True:
            if q.size == 0:
                if not_after(until, q.edge) and q.edge.n < never().n:
                    instant[0] = q.edge if anyone_fires(e) else never()
                    return RUNNING
                status = advance_window(e, q)
                if status != RUNNING:
                    return status
                if q.edge.n >= never().n:
                    instant[0] = never()
                    return RUNNING
                continue
            t = refreshed(e, q, &q.entries[0])
            key = window_key(q, t, e.H)
            if q.entries[0].key < key:
                if before(t, q.edge):
                    q.entries[0].key = key
                    window_sift_down(q, 0)
                else:
                    window_pop(q)
                continue
            instant[0] = t
            soon = key + e.margin
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
                if not append(&e.due, q.entries[0].neuron):
                    return NO_MEMORY
                window_pop(q)
            return RUNNING


cdef inline Pair nowhere() noexcept nogil:
    """Before all times."""
    cdef Pair t
    t.n = -1
    t.s = 0.0
    return t


cdef inline Pair refreshed(const State *e, Window *q, const Candidate *entry) noexcept nogil:
    """The next spike of an entry's neuron, or `never` if it is not before the edge."""
    cdef Pair t
    cdef Population *p
    cdef neuron_t i
    # Without a kick since the scan it is the key itself.
    if q.n_synaptic_events == e.n_synaptic_events and entry.key < e.H:
        t.n = q.first_epoch
        t.s = entry.key
        return t
    p = &e.populations[population_of(e, entry.neuron)]
    i = entry.neuron - p.first
    if p.lif != NULL:
        if not fires_before_edge(e, q, p, row(p, p.lif, i), i):
            return never()
        q.looks += 1
        return next_spike(e, p, row(p, p.lif, i), i)
    if not fires_before_edge(e, q, p, row(p, p.qif, i), i):
        return never()
    q.looks += 1
    return next_spike(e, p, row(p, p.qif, i), i)


cdef Status gather(State *e, Window *q, double soon, Pair *first) noexcept nogil:
    """Take all entries with a key up to `soon` out of the window, with their next spikes; the earliest as `first`."""
    cdef count_t k, kept = 0
    cdef Pair t
    e.n_gathered = 0
    first[0] = never()
    while q.size and q.entries[0].key <= soon:
        if e.n_gathered < 64:
            t = refreshed(e, q, &q.entries[0])
            if not keep_gathered(e, t, q.entries[0].neuron):
                return NO_MEMORY
            window_pop(q)
        else:
            # Many: one pass over all entries is cheaper than taking them one by one.
            for k in range(q.size):
                if q.entries[k].key <= soon:
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
    cdef void *grown
    if e.n_gathered == e.gathered_capacity:
        grown = reallocate(e.gathered, 2 * e.gathered_capacity + 64, sizeof(Gathered))
        if grown == NULL:
            return False
        e.gathered = <Gathered *> grown
        e.gathered_capacity = 2 * e.gathered_capacity + 64
    e.gathered[e.n_gathered].time = t
    e.gathered[e.n_gathered].neuron = neuron
    e.n_gathered += 1
    return True


cdef Status split_gathered(State *e, Window *q, Pair now) noexcept nogil:
    """Those that were gathered and are due into e.due, the others back into the window."""
    cdef count_t k, returned = 0
    cdef Pair t
    for k in range(e.n_gathered):
        t = e.gathered[k].time
        if not_after(t, now):
            if not append(&e.due, e.gathered[k].neuron):
                return NO_MEMORY
        elif before(t, q.edge):
            returned += 1
            if returned < 64:
                if not window_push(q, window_key(q, t, e.H), e.gathered[k].neuron):
                    return NO_MEMORY
            elif not window_append(q, window_key(q, t, e.H), e.gathered[k].neuron):
                return NO_MEMORY
    if returned >= 64:
        window_order(q)
    return RUNNING


# The window ---------------------------------------------------------------------------------------------------------

cdef Status scan(State *e, Window *q, Population *p, const Model *rows) noexcept nogil:
    """Append an entry for every neuron of the population that fires before the edge."""
    cdef int64_t k, n, found
    cdef neuron_t i
    cdef const Frame *f
    cdef Pair t
    k = 0
    while k < p.size:
        n = min(<int64_t> p.size - k, SCAN_BLOCK)
        if not reserve(&e.found, n):
            return NO_MEMORY
        f = &p.frames[rows.frame]
        if Model is LIF and not p.heterogeneous:
            found = find_below(p.x + k, n, rows.gap * f.edge_E, e.found.items)
        elif Model is QIF and not p.heterogeneous and rows.regime == ROTATION and not f.edge_is_far:
            found = find_turned(p.x + 2 * k, n, rows.peak_b * f.edge_E - rows.peak_a * f.edge_sine,
                                -rows.peak_b * f.edge_sine - rows.peak_a * f.edge_E, 1.8189894035458565e-12,
                                e.found.items)
        else:
            found = 0
            for i in range(n):
                if fires_before_edge(e, q, p, row(p, rows, <neuron_t> k + i), <neuron_t> k + i):
                    e.found.items[found] = i
                    found += 1
        for n in range(found):
            i = <neuron_t> k + e.found.items[n]
            if p.release != NULL and not before(p.release[i], q.edge):
                continue
            t = next_spike(e, p, row(p, rows, i), i)
            q.looks += 1
            if before(t, q.edge) and not window_append(q, window_key(q, t, e.H), p.first + i):
                return NO_MEMORY
        k += SCAN_BLOCK
    return RUNNING


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


cdef Status advance_window(State *e, Window *q) noexcept nogil:
    """Move the edge on and collect the candidates; the edge becomes `never` if nobody will fire."""
    cdef int64_t k
    cdef neuron_t j
    cdef Population *p
    cdef Status status
    cdef count_t scanned = 0, done = e.n_spikes * 8 + e.n_synaptic_events + q.looks * 24 - q.work
    cdef Pair start = q.edge
    # Neurons that may fire by themselves; the others can be left out.
    for k in range(e.n_populations):
        if e.populations[k].oscillates:
            scanned += e.populations[k].size
    if scanned == 0:
        q.edge = never()
        return RUNNING
    if q.empty_scans >= 2:
        # A gap: jump over it.
        start = first_spike(e)
        q.empty_scans = 0
        if start.n >= never().n:
            q.edge = start
            return RUNNING
    elif q.empty_scans > 0:
        q.length *= 2.0
    else:
        # So long that the scan is a small part of the work, and the candidates are few.
        q.length *= min(max((0.6 * scanned + 400.0) / (done + 1.0), 0.5), 2.0)
    # Above the resolution of time, so that the edge moves.
    q.length = max(q.length, e.H * 9.313225746154785e-10)
    q.work = e.n_spikes * 8 + e.n_synaptic_events + q.looks * 24
    q.first_epoch = start.n
    q.n_synaptic_events = e.n_synaptic_events
    q.edge = plus(start, q.length, e.H)
    if q.edge.n >= never().n:
        q.edge.n = MAX_EPOCH
        q.edge.s = 0.0
    for k in range(e.n_populations):
        p = &e.populations[k]
        if not p.oscillates:
            continue
        for j in range(p.n_frames):
            place_edge(&p.frames[j], p.epoch, q.edge, q.length)
        if p.lif != NULL:
            status = scan(e, q, p, p.lif)
        else:
            status = scan(e, q, p, p.qif)
        if status != RUNNING:
            return status
    window_order(q)
    q.empty_scans = q.empty_scans + 1 if q.size == 0 else 0
    return RUNNING


# The instant ------------------------------------------------------------------------------------------------------

cdef Status fire(State *e, Queue *q) noexcept nogil:
    """Record and reset all neurons of e.due."""
    cdef count_t k
    cdef neuron_t i
    cdef Population *p
    cdef Status status
    cdef void *grown
    for k in range(e.due.size):
        i = e.due.items[k]
        if get_bit(e.has_fired, i):
            e.faulty = i
            return RUNAWAY
        set_bit(e.has_fired, i)
        if not append(&e.fired, i) or not append(&e.spike_ids, i):
            return NO_MEMORY
        if e.spike_ids.capacity > e.spike_capacity:
            grown = reallocate(e.spike_times, e.spike_ids.capacity, sizeof(double))
            if grown == NULL:
                return NO_MEMORY
            e.spike_times = <double *> grown
            e.spike_capacity = e.spike_ids.capacity
        e.spike_times[e.spike_ids.size - 1] = e.now.n * e.H + e.now.s
        p = &e.populations[population_of(e, i)]
        if p.lif != NULL:
            status = reset(e, q, p, p.lif, i - p.first)
        else:
            status = reset(e, q, p, p.qif, i - p.first)
        if status != RUNNING:
            return status
    e.n_spikes += e.due.size
    return RUNNING


cdef inline synapse_t find_row(const State *e, const Projection *c, neuron_t source, const neuron_t **targets,
                               const double **weights) noexcept nogil:
    """The targets and weights (or NULL) of a source (local id), and how many; valid until the next call."""
    cdef synapse_t begin, count, available
    cdef philox_stream stream
    if c.procedural:
        available = c.n_post - c.skip_self
        philox_open(&stream, c.key, source, c.stream, PURPOSE)
        draw_row(e.drawn.items, c.degree, available, source if c.skip_self else available, c.with_replacement,
                 &stream, e.table)
        targets[0] = e.drawn.items
        weights[0] = NULL
        return c.degree
    if c.degree >= 0:
        begin = source * c.degree
        count = c.degree
    else:
        begin = c.offsets[source]
        count = c.offsets[source + 1] - begin
    targets[0] = c.targets + begin
    weights[0] = c.weights + begin if c.weights != NULL else NULL
    return count


cdef void prefetch_rows(const State *e, const Window *q) noexcept nogil:
    """Ask for the rows of neurons that will probably fire soon; that of the very next one has been asked for before."""
    cdef count_t k
    cdef int64_t c
    cdef synapse_t count
    cdef const neuron_t *targets
    cdef const double *weights
    cdef neuron_t i
    cdef const Population *p
    for k in range(1, min(q.size, <count_t> 3)):
        i = q.entries[k].neuron
        p = &e.populations[population_of(e, i)]
        for c in range(p.first_projection, p.first_projection + p.n_projections):
            if not e.projections[c].procedural:
                count = find_row(e, &e.projections[c], i - p.first, &targets, &weights)
                prefetch(targets, min(count, <synapse_t> 1024) * sizeof(neuron_t))


cdef Status propagate_one(State *e, Queue *q, neuron_t source) noexcept nogil:
    """The kicks of a single spike that reaches no target twice."""
    cdef Population *p = &e.populations[population_of(e, source)]
    cdef Population *post
    cdef Projection *c
    cdef int64_t k
    cdef synapse_t count
    cdef const neuron_t *targets
    cdef const double *weights
    cdef Status status
    for k in range(p.first_projection, p.first_projection + p.n_projections):
        c = &e.projections[k]
        post = &e.populations[c.post]
        count = find_row(e, c, source - p.first, &targets, &weights)
        e.n_synaptic_events += count
        if post.lif != NULL:
            status = deliver(e, q, post, post.lif, targets, weights, c.weight, c.largest, count)
        else:
            status = deliver(e, q, post, post.qif, targets, weights, c.weight, c.largest, count)
        if status != RUNNING:
            return status
    return RUNNING


cdef Status propagate_many(State *e, Queue *q) noexcept nogil:
    """The kicks of all neurons in e.due: weights are added per target in order of source, projection and row."""
    cdef count_t k
    cdef int64_t c
    cdef synapse_t count, at
    cdef const neuron_t *targets
    cdef const double *weights
    cdef neuron_t source, i
    cdef Population *p
    cdef Projection *projection
    cdef double weight
    cdef Status status = RUNNING
    if e.arriving == NULL:
        e.arriving = <double *> allocate(e.n, sizeof(double))
        if e.arriving == NULL:
            return NO_MEMORY
    e.touched.size = 0
    for k in range(e.due.size):
        source = e.due.items[k]
        p = &e.populations[population_of(e, source)]
        for c in range(p.first_projection, p.first_projection + p.n_projections):
            projection = &e.projections[c]
            count = find_row(e, projection, source - p.first, &targets, &weights)
            e.n_synaptic_events += count
            for at in range(count):
                i = e.populations[projection.post].first + targets[at]
                weight = weights[at] if weights != NULL else projection.weight
                if get_bit(e.has_arrival, i):
                    e.arriving[i] += weight
                    continue
                if not append(&e.touched, i):
                    return NO_MEMORY
                set_bit(e.has_arrival, i)
                e.arriving[i] = weight
    for k in range(e.touched.size):
        i = e.touched.items[k]
        clear_bit(e.has_arrival, i)
        p = &e.populations[population_of(e, i)]
        if p.lif != NULL:
            status = kick(e, q, p, p.lif, i - p.first, e.arriving[i])
        else:
            status = kick(e, q, p, p.qif, i - p.first, e.arriving[i])
        if status != RUNNING:
            return status
    return RUNNING


cdef Status take_instant(State *e, Queue *q) noexcept nogil:
    """All generations of spikes at e.now."""
    cdef Status status
    cdef count_t k
    enter_present(e, q)
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
        if e.due.size == 1 and e.populations[population_of(e, e.due.items[0])].one_weight_per_target:
            status = propagate_one(e, q, e.due.items[0])
        else:
            status = propagate_many(e, q)
        if status != RUNNING:
            return status
    for k in range(e.fired.size):
        clear_bit(e.has_fired, e.fired.items[k])
    if DEBUG and not is_sound(e, q):
        return DISORDER
    return RUNNING


cdef bint is_sound(const State *e, const Queue *q) noexcept nogil:
    """The audit of a debug build: the queue's order, and (small networks) that the window misses nobody."""
    cdef neuron_t i
    cdef count_t k
    cdef Pair t
    if Queue is Heap:
        return heap_is_ordered(q)
    else:
        for i in range(e.n if e.n <= 300 else 0):
            t = next_spike_of(e, i)
            if not before(t, q.edge):
                continue
            k = 0
            while k < q.size and not (q.entries[k].neuron == i
                                      and q.entries[k].key <= window_key(q, t, e.H) + e.margin):
                k += 1
            if k == q.size:
                return False
        return window_is_ordered(q)


cdef Status take_instants(State *e, Queue *q, Pair until, count_t max_spikes, count_t budget) noexcept nogil:
    """Instants before `until`, up to `max_spikes` spikes in all, for about `budget` events."""
    cdef Status status
    cdef Pair instant
    cdef count_t stop = e.n_spikes + e.n_synaptic_events + budget
    while e.n_spikes < max_spikes:
        if e.n_spikes + e.n_synaptic_events >= stop:
            return RUNNING
        # The earliest of all sources of events; so far the queue of spontaneous spikes is the only one.
        status = next_instant(e, q, until, &instant)
        if status != RUNNING:
            return status
        if instant.n >= never().n:
            if until.n < MAX_EPOCH:
                e.now = until
            return QUIESCENT
        if not before(instant, until):
            e.now = until
            return TIME
        e.now = instant
        status = take_instant(e, q)
        if status != RUNNING:
            return status
    return SPIKES


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
    now : tuple
        The present as an engine-time pair.
    n_spikes, n_synaptic_events : int
        Since the start.
    """

    cdef readonly str name
    cdef State e
    cdef Heap heap
    cdef Window window
    cdef bint windowed
    cdef object clock
    cdef list arrays            # keeps alive what the structs point into

    def __cinit__(self):
        memset(&self.e, 0, sizeof(State))
        memset(&self.heap, 0, sizeof(Heap))
        memset(&self.window, 0, sizeof(Window))

    def __dealloc__(self):
        cdef int64_t k
        cdef Population *p
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            free(p.lif)
            free(p.qif)
            free(p.frames)
            free(p.x)
            free(p.base)
            free(p.release)
            free(p.waiting)
        free(self.e.populations)
        free(self.e.projections)
        heap_free(&self.heap)
        window_free(&self.window)
        free(self.e.due.items)
        free(self.e.driven.items)
        free(self.e.found.items)
        free(self.e.held.items)
        free(self.e.drawn.items)
        free(self.e.gathered)
        free(self.e.table)
        free(self.e.fired.items)
        free(self.e.touched.items)
        free(self.e.has_fired)
        free(self.e.has_arrival)
        free(self.e.arriving)
        free(self.e.spike_times)
        free(self.e.spike_ids.items)

    def __init__(self, network, name):
        if self.e.populations != NULL:
            raise RuntimeError("an Engine is initialised once; make a new one")
        self.name = name
        self.windowed = name == "window"
        self.clock = network.clock
        self.arrays = []
        self.e.H = network.clock.epoch
        self.e.n = network.size
        self.e.populations = <Population *> owned(allocate(len(network.populations), sizeof(Population)))
        memset(self.e.populations, 0, len(network.populations) * sizeof(Population))
        for population in network.populations:
            # Counted only now, so that __dealloc__ frees what is there if this one fails.
            self.e.n_populations += 1
            self._add_population(&self.e.populations[self.e.n_populations - 1], population)
        self._add_projections(network)
        self.e.has_fired = <uint8_t *> owned(allocate(self.e.n // 8 + 1, 1))
        self.e.has_arrival = <uint8_t *> owned(allocate(self.e.n // 8 + 1, 1))
        memset(self.e.has_fired, 0, self.e.n // 8 + 1)
        memset(self.e.has_arrival, 0, self.e.n // 8 + 1)
        # Rounding moves a next spike by some 2^-52 of the slowest time scale; the margin is far above that.
        self.e.margin *= 2.0**-36
        if self.windowed:
            self.window.length = self.e.H / 64.0
        else:
            if not heap_create(&self.heap, self.e.n):
                owned(NULL)
            with nogil:
                order_by_first_spike(&self.e, &self.heap)

    cdef _add_population(self, Population *p, population):
        """Fill in the constants, frames and initial states of one population."""
        cdef neuron_t k
        cdef const double[::1] V, refractory
        p.first, p.size = population.first, population.size
        rows = population.rows()
        frames = _Frames(self.clock.epoch)
        if population.kernel == "LIF":
            p.width = 1
            p.lif = <LIF *> owned(allocate(len(rows), sizeof(LIF)))
            for k in range(len(rows)):
                constants = lif_constants(math.fsum, **rows[k])
                fill_lif(&p.lif[k], constants, frames.index(constants["frame"]))
        else:
            p.width = 2
            p.qif = <QIF *> owned(allocate(len(rows), sizeof(QIF)))
            for k in range(len(rows)):
                constants = qif_constants(math.sqrt, **rows[k])
                fill_qif(&p.qif[k], constants, frames.index(constants["frame"]))
                if p.qif[k].regime == SHEAR and p.base == NULL:
                    p.base = <Pair *> owned(allocate(p.size, sizeof(Pair)))
                    memset(p.base, 0, p.size * sizeof(Pair))
        p.heterogeneous = len(rows) > 1
        p.oscillates = p.qif != NULL or any(p.lif[k].gap > 0.0 for k in range(len(rows)))
        p.n_frames = len(frames.entries)
        p.frames = <Frame *> owned(allocate(p.n_frames, sizeof(Frame)))
        for k in range(p.n_frames):
            rotates, rate, scale = frames.entries[k]
            memset(&p.frames[k], 0, sizeof(Frame))
            p.frames[k].whole = rate >> FRACTION_BITS
            p.frames[k].high = (rate >> 64) & 0xFFFFFFFFFFFFFFFF
            p.frames[k].low = rate & 0xFFFFFFFFFFFFFFFF
            p.frames[k].scale = scale
            p.frames[k].rotates = rotates
            enter_epoch(&p.frames[k], 0)
            self.e.margin = max(self.e.margin, 1.0 / scale if rotates else scale)
        p.x = <double *> owned(allocate_large(p.width * <int64_t> p.size, sizeof(double)))
        if population.refractory is not None or any(values["t_ref"] > 0.0 for values in rows):
            p.release = <Pair *> owned(allocate(p.size, sizeof(Pair)))
            memset(p.release, 0, p.size * sizeof(Pair))
            p.waiting = <uint8_t *> owned(allocate(p.size // 8 + 1, 1))
            memset(p.waiting, 0, p.size // 8 + 1)
        p.plain = not p.heterogeneous and p.release == NULL
        V = population.V
        refractory = population.refractory if population.refractory is not None else np.zeros(0)
        with nogil:
            if p.lif != NULL:
                place(&self.e, p, p.lif, &V[0] if V.shape[0] else NULL,
                      &refractory[0] if refractory.shape[0] else NULL)
            else:
                place(&self.e, p, p.qif, &V[0] if V.shape[0] else NULL,
                      &refractory[0] if refractory.shape[0] else NULL)

    cdef _add_projections(self, network):
        """Point the structs at the adjacency arrays, grouped by source population in order of creation."""
        cdef int64_t k, filled = 0
        cdef synapse_t scratch = 0
        cdef Population *p
        cdef Projection *c
        cdef const synapse_t[::1] offsets
        cdef const neuron_t[::1] targets
        cdef const double[::1] weights
        self.e.projections = <Projection *> owned(allocate(len(network.projections), sizeof(Projection)))
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            p.first_projection = filled
            outgoing = [projection for projection in network.projections if projection.pre == k]
            for projection in outgoing:
                c = &self.e.projections[filled]
                filled += 1
                memset(c, 0, sizeof(Projection))
                c.post = projection.post
                c.largest = float(np.abs(projection.weight).max(initial=0.0))
                if isinstance(projection.adjacency, ProceduralAdjacency):
                    c.weight = projection.weight
                    scratch = max(scratch, self._add_procedural(c, projection.adjacency))
                    continue
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
            p.n_projections = filled - p.first_projection
            posts = [projection.post for projection in outgoing]
            p.one_weight_per_target = len(set(posts)) == len(posts) and not any(
                projection.has_multapses for projection in outgoing
            )
        self.e.table = <uint32_t *> owned(allocate(scratch, sizeof(uint32_t)))
        memset(self.e.table, 0xFF, scratch * sizeof(uint32_t))

    cdef synapse_t _add_procedural(self, Projection *c, adjacency) except -1:
        """Fill in how rows are drawn; the scratch that this needs."""
        cdef const uint64_t[::1] key = adjacency.key
        c.procedural = True
        c.key[0], c.key[1] = key[0], key[1]
        c.stream = adjacency.projection
        c.degree = adjacency.degree
        c.n_post = adjacency.n_post
        c.skip_self = adjacency.skip_self
        c.with_replacement = adjacency.with_replacement
        if not reserve(&self.e.drawn, c.degree + 1):
            owned(NULL)
        return table_size(c.degree, c.n_post - c.skip_self, c.with_replacement) if c.degree else 0

    @property
    def now(self):
        return self.e.now.n, self.e.now.s

    @property
    def n_spikes(self):
        return self.e.n_spikes

    @property
    def n_synaptic_events(self):
        return self.e.n_synaptic_events

    def advance(self, until, max_spikes=None, count_t budget=1 << 62):
        """Take instants before the pair `until`; see :meth:`sparseprop.reference.ReferenceEngine.advance`.

        `budget` counts spikes and synaptic events.
        """
        if self.e.populations == NULL:
            raise RuntimeError("this Engine was never initialised")
        cdef Pair end
        cdef count_t most = (<count_t> 1) << 62 if max_spikes is None else max_spikes
        cdef Status status
        end.n, end.s = until
        with nogil:
            if self.windowed:
                status = take_instants(&self.e, &self.window, end, most, budget)
            else:
                status = take_instants(&self.e, &self.heap, end, most, budget)
        if status > QUIESCENT:
            self._fault(status)
        return _ENDS[status]

    cdef _fault(self, Status status):
        if status == NO_MEMORY:
            raise InsufficientMemoryError("the engine ran out of memory for spikes or arriving weights")
        if status == DISORDER:
            raise AssertionError(f"the event queue lost its order at {self.clock.milliseconds(self.now)} ms")
        cdef Population *p = &self.e.populations[population_of(&self.e, self.e.faulty)]
        cdef neuron_t i = self.e.faulty - p.first
        V = voltage(&self.e, p, p.lif, i) if p.lif != NULL else voltage(&self.e, p, p.qif, i)
        kind = "runaway" if status == RUNAWAY else "numerical"
        raise EngineFault(kind, int(self.e.faulty), self.clock.milliseconds(self.now), V)

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

    def voltages(self):
        """V of all neurons now, shape (n,)."""
        cdef double[::1] V = np.empty(self.e.n)
        cdef int64_t k
        cdef neuron_t i
        cdef Population *p
        if self.windowed:
            enter_present(&self.e, &self.window)
        else:
            enter_present(&self.e, &self.heap)
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            for i in range(p.size):
                V[p.first + i] = voltage(&self.e, p, p.lif, i) if p.lif != NULL else voltage(&self.e, p, p.qif, i)
        return V.base


cdef void place(State *e, Population *p, const Model *rows, const double *V, const double *refractory) noexcept nogil:
    """The initial states: at voltage V, or V_reset for the refractory (remaining times in ms)."""
    cdef neuron_t i
    cdef const Model *m
    cdef Frame *f
    cdef Pair *base
    for i in range(p.size):
        m = row(p, rows, i)
        f = frame_now(e, p, m)
        if refractory != NULL and refractory[i] > 0.0:
            p.release[i] = plus(e.now, refractory[i], e.H)
            set_bit(p.waiting, i)
            if Model is LIF:
                lif_reset(m, &p.x[i], f, p.epoch, p.release[i])
            else:
                qif_reset(m, &p.x[2 * <int64_t> i], p.base + i if p.base != NULL else NULL, f, p.epoch, p.release[i])
        elif Model is LIF:
            lif_place(m, &p.x[i], V[i], f.E)
        else:
            base = p.base + i if p.base != NULL else NULL
            qif_place(m, &p.x[2 * <int64_t> i], base, V[i], f, e.now)


cdef void order_by_first_spike(State *e, Heap *h) noexcept nogil:
    """Fill in the first spike of every neuron and order the heap."""
    cdef neuron_t i
    cdef Pair key
    for i in range(e.n):
        key = next_spike_of(e, i)
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
    """The distinct frames of a population: (rotates, advance per epoch, scale) each."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.entries = []
        self.known = {}

    def index(self, frame):
        """Where this frame is; a neuron without one gets a frame at rest, which is never read."""
        key = None if frame is None else (frame["rotates"], frame["tau"], frame["root"])
        if key not in self.known:
            self.known[key] = len(self.entries)
            if frame is None:
                self.entries.append((True, 0, 1.0))
            else:
                tau, root, rotates = frame["tau"], frame["root"], frame["rotates"]
                rate = advance_per_epoch("turns" if rotates else "powers of two", self.epoch, tau, frame["square"])
                self.entries.append((rotates, rate, root / tau if rotates else tau / root))
        return self.known[key]


cdef void *owned(void *memory) except NULL:
    if memory == NULL:
        raise InsufficientMemoryError("not enough memory for the engine's state; use fewer neurons or synapses")
    return memory


cdef fill_lif(LIF *m, constants, frame):
    m.frame = frame
    m.V_inf, m.V_inf_low = constants["V_inf"], constants["V_inf_low"]
    m.gap, m.depth = constants["gap"], constants["depth"]
    m.gap_mantissa, m.gap_exponent = constants["gap_scaled"]
    m.V_reset, m.t_ref = constants["V_reset"], constants["t_ref"]


cdef fill_qif(QIF *m, constants, frame):
    m.frame = frame
    m.regime = {"rotation": ROTATION, "saddle": SADDLE, "shear": SHEAR}[constants["regime"]]
    m.tau, m.I_e, m.root = constants["tau"], constants["I_e"], constants["root"]
    m.inverse_root = 1.0 / m.root if m.regime != SHEAR else 0.0
    m.peak_a, m.peak_b = constants["peak"]
    m.reset_a, m.reset_b = constants["reset"]
    m.V_reset, m.t_ref = constants["V_reset"], constants["t_ref"]
    m.finite_peak = constants["finite_peak"]
