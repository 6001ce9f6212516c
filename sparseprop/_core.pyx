"""The compiled engine: event loop and event queue over the models' inline functions.

Names of phases and the order of everything within an instant are those of :mod:`sparseprop.reference`, which
computes the same numbers bit for bit and is the place to read first.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, qsort
from libc.string cimport memset

import numpy as np

from ._frames cimport (
    MAX_EPOCH, Frame, Pair, before, enter_epoch, enter_instant, never, not_after, plus,
)
from ._heap cimport (
    Heap, heap_create, heap_free, heap_is_ordered, heap_key, heap_move, heap_order,
)
from ._lif cimport (
    LIF, lif_kick, lif_next_spike, lif_over_threshold, lif_place, lif_reset, lif_voltage,
)
from ._memory cimport allocate, reallocate
from ._qif cimport (
    QIF, ROTATION, SADDLE, SHEAR, qif_kick, qif_next_spike, qif_over_threshold, qif_place, qif_reset, qif_voltage,
)
from ._typedefs cimport count_t, neuron_t, synapse_t

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


ctypedef fused Model:
    LIF
    QIF

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
    const synapse_t *offsets
    const neuron_t *targets
    const double *weights       # one per synapse, or NULL
    double weight               # of all synapses


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
    int64_t first_projection
    int64_t n_projections
    bint one_weight_per_target  # one spike reaches no target twice


cdef struct List:
    neuron_t *items
    count_t size
    count_t capacity


cdef inline bint append(List *a, neuron_t item) noexcept nogil:
    cdef void *grown
    if a.size == a.capacity:
        grown = reallocate(a.items, 2 * a.capacity + 64, sizeof(neuron_t))
        if grown == NULL:
            return False
        a.items = <neuron_t *> grown
        a.capacity = 2 * a.capacity + 64
    a.items[a.size] = item
    a.size += 1
    return True


cdef struct State:
    double H
    Pair now
    int64_t instant             # counts instants; what frames are stamped with
    neuron_t n
    int64_t n_populations
    Population *populations
    Projection *projections
    Heap queue
    # This instant.
    List due                    # heap positions, then ids, of the generation
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
    """When neuron i fires without input, not before the end of its refractory period; s is NaN for a fault."""
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


cdef inline Status requeue(State *e, Population *p, neuron_t i, Pair key) noexcept nogil:
    if key.s != key.s:
        e.faulty = p.first + i
        return NUMERICAL
    heap_move(&e.queue, p.first + i, key)
    return RUNNING


cdef inline Status kick(State *e, Population *p, const Model *rows, neuron_t i, double weight) noexcept nogil:
    """V += weight now, unless refractory; then the neuron's place in the queue."""
    cdef const Model *m = row(p, rows, i)
    cdef Frame *f
    cdef double *x
    cdef Pair *base
    cdef bint finite, over
    if p.release != NULL and before(e.now, p.release[i]):
        return RUNNING
    f = frame_now(e, p, m)
    if Model is LIF:
        x = &p.x[i]
        finite = lif_kick(m, x, f, weight)
        over = lif_over_threshold(m, x, f)
    else:
        x = &p.x[2 * <int64_t> i]
        base = p.base + i if p.base != NULL else NULL
        finite = qif_kick(m, x, base, f, e.now, e.H, weight)
        over = qif_over_threshold(m, x, f)
    if not finite:
        e.faulty = p.first + i
        return NUMERICAL
    return requeue(e, p, i, e.now if over else next_spike(e, p, m, i))


cdef inline Status reset(State *e, Population *p, const Model *rows, neuron_t i) noexcept nogil:
    """The state after a spike now."""
    cdef const Model *m = row(p, rows, i)
    cdef Frame *f = frame_now(e, p, m)
    cdef Pair release = e.now
    if p.release != NULL:
        release = plus(e.now, m.t_ref, e.H)
        p.release[i] = release
    if Model is LIF:
        lif_reset(m, &p.x[i], f, p.epoch, release)
    else:
        qif_reset(m, &p.x[2 * <int64_t> i], p.base + i if p.base != NULL else NULL, f, p.epoch, release)
    return requeue(e, p, i, next_spike(e, p, m, i))


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
        for _ in range(p.frames[m.frame].steps):
            p.x[p.width * i] *= 5.421010862427522e-20  # 2^-64


cdef void enter_present(State *e) noexcept nogil:
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
        p.epoch = e.now.n
        if scaled and p.lif != NULL:
            rescale(p, p.lif)
        elif scaled:
            rescale(p, p.qif)


cdef Status deliver(State *e, Population *p, const Model *rows, const neuron_t *targets, const double *weights,
                    double weight, int64_t count) noexcept nogil:
    """Kick each of `count` targets (local ids) once."""
    cdef int64_t k
    cdef Status status
    for k in range(count):
        status = kick(e, p, rows, targets[k], weights[k] if weights != NULL else weight)
        if status != RUNNING:
            return status
    return RUNNING


# The instant ------------------------------------------------------------------------------------------------------

cdef Status collect_due(State *e) noexcept nogil:
    """The ids of all neurons that are due, ascending, in e.due: the top of the heap, O(their number)."""
    cdef count_t k = 0
    cdef int64_t child
    cdef neuron_t at
    e.due.size = 0
    if e.queue.size == 0 or not not_after(heap_key(&e.queue, 0), e.now):
        return RUNNING
    if not append(&e.due, 0):
        return NO_MEMORY
    while k < e.due.size:
        at = e.due.items[k]
        for child in range(2 * <int64_t> at + 1, min(2 * <int64_t> at + 3, <int64_t> e.queue.size)):
            if not_after(heap_key(&e.queue, <neuron_t> child), e.now) and not append(&e.due, <neuron_t> child):
                return NO_MEMORY
        e.due.items[k] = e.queue.entries[at].neuron
        k += 1
    if e.due.size > 1:
        qsort(e.due.items, e.due.size, sizeof(neuron_t), compare_ids)
    return RUNNING


cdef Status fire(State *e) noexcept nogil:
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
            status = reset(e, p, p.lif, i - p.first)
        else:
            status = reset(e, p, p.qif, i - p.first)
        if status != RUNNING:
            return status
    e.n_spikes += e.due.size
    return RUNNING


cdef Status propagate_one(State *e, neuron_t source) noexcept nogil:
    """The kicks of a single spike that reaches no target twice."""
    cdef Population *p = &e.populations[population_of(e, source)]
    cdef Population *post
    cdef Projection *c
    cdef int64_t k
    cdef synapse_t begin, count
    cdef const double *weights
    cdef Status status
    for k in range(p.first_projection, p.first_projection + p.n_projections):
        c = &e.projections[k]
        post = &e.populations[c.post]
        begin = c.offsets[source - p.first]
        count = c.offsets[source - p.first + 1] - begin
        weights = c.weights + begin if c.weights != NULL else NULL
        e.n_synaptic_events += count
        if post.lif != NULL:
            status = deliver(e, post, post.lif, c.targets + begin, weights, c.weight, count)
        else:
            status = deliver(e, post, post.qif, c.targets + begin, weights, c.weight, count)
        if status != RUNNING:
            return status
    return RUNNING


cdef Status propagate_many(State *e) noexcept nogil:
    """The kicks of all neurons in e.due: weights are added per target in order of source, projection and row."""
    cdef count_t k
    cdef int64_t c, at
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
            for at in range(projection.offsets[source - p.first], projection.offsets[source - p.first + 1]):
                i = e.populations[projection.post].first + projection.targets[at]
                weight = projection.weights[at] if projection.weights != NULL else projection.weight
                e.n_synaptic_events += 1
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
            status = kick(e, p, p.lif, i - p.first, e.arriving[i])
        else:
            status = kick(e, p, p.qif, i - p.first, e.arriving[i])
        if status != RUNNING:
            return status
    return RUNNING


cdef Status take_instant(State *e) noexcept nogil:
    """All generations of spikes at e.now."""
    cdef Status status
    cdef count_t k
    enter_present(e)
    e.fired.size = 0
    while True:
        status = collect_due(e)
        if status != RUNNING:
            return status
        if e.due.size == 0:
            break
        status = fire(e)
        if status != RUNNING:
            return status
        if e.due.size == 1 and e.populations[population_of(e, e.due.items[0])].one_weight_per_target:
            status = propagate_one(e, e.due.items[0])
        else:
            status = propagate_many(e)
        if status != RUNNING:
            return status
    for k in range(e.fired.size):
        clear_bit(e.has_fired, e.fired.items[k])
    if DEBUG and not heap_is_ordered(&e.queue):
        return DISORDER
    return RUNNING


cdef Status take_instants(State *e, Pair until, count_t max_spikes, count_t budget) noexcept nogil:
    """Instants before `until`, up to `max_spikes` spikes in all, for about `budget` events."""
    cdef Status status
    cdef Pair instant
    cdef count_t stop = e.n_spikes + e.n_synaptic_events + budget
    while e.n_spikes < max_spikes:
        if e.n_spikes + e.n_synaptic_events >= stop:
            return RUNNING
        # The earliest of all sources of events; so far the queue of spontaneous spikes is the only one.
        instant = heap_key(&e.queue, 0) if e.queue.size > 0 else never()
        if instant.n >= never().n:
            if until.n < MAX_EPOCH:
                e.now = until
            return QUIESCENT
        if not before(instant, until):
            e.now = until
            return TIME
        e.now = instant
        status = take_instant(e)
        if status != RUNNING:
            return status
    return SPIKES


cdef class HeapEngine:
    """The paper's indexed binary heap over all neurons, with kicks in co-moving frames: O(K log N) per spike.

    Parameters
    ----------
    network : EngineInput
        Populations and projections with plain numbers; the arrays of the projections are used in place.

    Attributes
    ----------
    now : tuple
        The present as an engine-time pair.
    n_spikes, n_synaptic_events : int
        Since the start.
    """

    name = "heap"

    cdef State e
    cdef object clock
    cdef list arrays            # keeps alive what the structs point into

    def __cinit__(self):
        memset(&self.e, 0, sizeof(State))

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
        free(self.e.populations)
        free(self.e.projections)
        heap_free(&self.e.queue)
        free(self.e.due.items)
        free(self.e.fired.items)
        free(self.e.touched.items)
        free(self.e.has_fired)
        free(self.e.has_arrival)
        free(self.e.arriving)
        free(self.e.spike_times)
        free(self.e.spike_ids.items)

    def __init__(self, network):
        if self.e.populations != NULL:
            raise RuntimeError("a HeapEngine is initialised once; make a new one")
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
        if not heap_create(&self.e.queue, self.e.n):
            owned(NULL)
        cdef int64_t k
        cdef Status status = RUNNING
        for k in range(self.e.n_populations):
            if self.e.populations[k].lif != NULL:
                status = first_keys(&self.e, &self.e.populations[k], self.e.populations[k].lif)
            else:
                status = first_keys(&self.e, &self.e.populations[k], self.e.populations[k].qif)
            if status != RUNNING:
                self._fault(status)
        heap_order(&self.e.queue)

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
        p.x = <double *> owned(allocate(p.width * <int64_t> p.size, sizeof(double)))
        if population.refractory is not None or any(values["t_ref"] > 0.0 for values in rows):
            p.release = <Pair *> owned(allocate(p.size, sizeof(Pair)))
            memset(p.release, 0, p.size * sizeof(Pair))
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
                offsets, targets = projection.offsets, projection.targets
                c.post = projection.post
                c.offsets = &offsets[0]
                c.targets = &targets[0] if targets.shape[0] else NULL
                c.weights, c.weight = NULL, 0.0
                if isinstance(projection.weight, float):
                    c.weight = projection.weight
                elif targets.shape[0]:
                    weights = projection.weight
                    self.arrays.append(weights)
                    c.weights = &weights[0]
                self.arrays += [offsets, targets]
                filled += 1
            p.n_projections = filled - p.first_projection
            posts = [projection.post for projection in outgoing]
            p.one_weight_per_target = len(set(posts)) == len(posts) and not any(
                projection.has_multapses for projection in outgoing
            )

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
            raise RuntimeError("this HeapEngine was never initialised")
        cdef Pair end
        cdef count_t most = (<count_t> 1) << 62 if max_spikes is None else max_spikes
        cdef Status status
        end.n, end.s = until
        with nogil:
            status = take_instants(&self.e, end, most, budget)
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
        enter_present(&self.e)
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
            if Model is LIF:
                lif_reset(m, &p.x[i], f, p.epoch, p.release[i])
            else:
                qif_reset(m, &p.x[2 * <int64_t> i], p.base + i if p.base != NULL else NULL, f, p.epoch, p.release[i])
        elif Model is LIF:
            lif_place(m, &p.x[i], V[i], f.E)
        else:
            base = p.base + i if p.base != NULL else NULL
            qif_place(m, &p.x[2 * <int64_t> i], base, V[i], f, e.now)


cdef Status first_keys(State *e, Population *p, const Model *rows) noexcept nogil:
    """The first spike of every neuron, into the queue in any order."""
    cdef neuron_t i
    cdef Pair key
    for i in range(p.size):
        key = next_spike(e, p, row(p, rows, i), i)
        if key.s != key.s:
            e.faulty = p.first + i
            return NUMERICAL
        e.queue.entries[p.first + i].n = key.n
        e.queue.entries[p.first + i].s = key.s
    return RUNNING


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
    m.tau, m.V_inf, m.V_inf_low = constants["tau"], constants["V_inf"], constants["V_inf_low"]
    m.gap, m.depth = constants["gap"], constants["depth"]
    m.V_reset, m.t_ref = constants["V_reset"], constants["t_ref"]


cdef fill_qif(QIF *m, constants, frame):
    m.frame = frame
    m.regime = {"rotation": ROTATION, "saddle": SADDLE, "shear": SHEAR}[constants["regime"]]
    m.tau, m.I_e, m.root = constants["tau"], constants["I_e"], constants["root"]
    m.inverse_root = 1.0 / m.root if m.regime != SHEAR else 0.0
    m.peak_a, m.peak_b = constants["peak"]
    m.reset_a, m.reset_b = constants["reset"]
    m.V_reset, m.t_ref = constants["V_reset"], constants["t_ref"]
    m.finite_peak, m.flips = constants["finite_peak"], constants["flips"]
