"""A network in the structs that loops go by, made of an EngineInput and owned once.

Engines, and the pass back, are made of it.
"""

from libc.math cimport NAN, fabs
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from sparseprop.connectivity._poisson cimport drawing_free, poisson_free, poisson_prepare
from sparseprop.connectivity._rows cimport table_size
from sparseprop.engine._agenda cimport agenda_free
from sparseprop.engine._flights cimport reaches_somebody
from sparseprop.engine._kernel cimport Kernel
from sparseprop.engine._state cimport Lane, Population, Process, Projection, State, reserve
from sparseprop.models._neuron cimport N_SHARED
from sparseprop.numerics._frames cimport Frame, Pair, enter_epoch
from sparseprop.numerics._memory cimport allocate, allocate_lines
from sparseprop.numerics._typedefs cimport MAX_PORTS, neuron_t, synapse_t

from ..connectivity import ProceduralAdjacency, Purpose, all_of, extremes
from ..connectivity._wiring import sort_rows, take_places
from ..numerics.engine_time import FRACTION_BITS, advance_per_epoch
from ..errors import InsufficientMemoryError
from ..models import KERNELS
from .input import parameter_rows
from .kernels import kernel

cdef class Loaded:
    """The structs of a network, without the states of its neurons.

    Parameters
    ----------
    network : EngineInput
        Populations and projections with plain numbers; the arrays of the projections are used in place.
    """

    def __cinit__(self, *_, **__):
        memset(&self.e, 0, sizeof(State))

    def __dealloc__(self):
        cdef int64_t k
        cdef Population *p
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            free(p.rows)
            free(p.frames)
            free(p.x)
            free(p.base)
            free(p.own)
            free(p.release)
            free(p.waiting)
            free(p.log)
        for k in range(self.e.n_processes):
            poisson_free(&self.e.processes[k].poisson)
        drawing_free(&self.e.drawing)
        free(self.series)
        free(self.e.populations)
        free(self.e.projections)
        free(self.e.lanes)
        free(self.e.cursors)
        free(self.e.processes)
        agenda_free(&self.e.agenda)
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

    def __init__(self, network):
        if self.e.populations != NULL:
            raise RuntimeError(f"a {type(self).__name__} is initialised once; make a new one")
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
        self.e.is_close = <uint8_t *> owned(zeros(self.e.n // 8 + 1, 1))
        self.e.has_fired = <uint8_t *> owned(zeros(self.e.n // 8 + 1, 1))
        self.e.has_arrival = <uint8_t *> owned(zeros(self.e.n_ports * (self.e.n // 8 + 1), 1))

    cdef _add_population(self, Population *p, population):
        """Fill in the constants and frames of one population, and its refractory periods."""
        p.first, p.size = population.first, population.size
        p.origin, p.n_sources = population.sources
        if population.kernel == "source":
            return
        model = KERNELS[population.kernel]
        p.ops = (<Kernel> kernel(population.kernel)).ops
        t_ref = population.parameters["t_ref"]
        if population.refractory is not None or np.max(t_ref, initial=0.0) > 0.0:
            p.release = <Pair *> owned(allocate(p.size, sizeof(Pair)))
            memset(p.release, 0, p.size * sizeof(Pair))
            p.waiting = <uint8_t *> owned(allocate(p.size // 8 + 1, 1))
            memset(p.waiting, 0, p.size // 8 + 1)
        n_rows, rows = parameter_rows(population.parameters, p.size)
        self._set_rows(p, n_rows, (model.constants_of(row) for row in rows))
        self.e.n_ports = max(self.e.n_ports, p.ops.ports(p))
        origin = model.origin_of(population.parameters)
        if origin is not None:
            if self.origins is None:
                self.origins = np.zeros(self.e.n)
            self.origins[p.first : p.first + p.size] = origin

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
        self._take_own(p, n_rows)
        p.heterogeneous = n_rows > 1
        p.plain = not p.heterogeneous and p.release == NULL
        p.epoch = self.e.now.n
        p.n_frames = len(frames.entries)
        p.frames = <Frame *> owned(allocate(p.n_frames, sizeof(Frame)))
        for k in range(p.n_frames):
            rotates, rate, scale, coupling = frames.entries[k]
            memset(&p.frames[k], 0, sizeof(Frame))
            p.frames[k].decay_u = p.frames[k].shrink_u = NAN
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

    cdef _take_own(self, Population *p, int64_t n_rows):
        """Room for what hot loops need of each neuron; what was in it is of other parameters."""
        p.own_epoch = -1
        if n_rows == 1 or not p.own_fits:
            free(p.own)
            p.own = NULL
        elif p.ops.own_width and p.own == NULL:
            p.own = <double *> owned(
                allocate_lines((p.ops.own_width + p.ops.edge_width) * <int64_t> p.size + N_SHARED, sizeof(double))
            )
            p.edges = p.own + p.ops.own_width * <int64_t> p.size
            p.shared = p.edges + p.ops.edge_width * <int64_t> p.size

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
                lane.may_reach_nobody = not all_reach_somebody(&self.e, lane, p.n_sources)
            p.first_delayed, p.n_delayed = filled, len(separate)
            for rank, projection in separate:
                self._add_delayed(filled, rank, projection, True)
                filled += 1
        self.e.table = <uint32_t *> owned(allocate(scratch, sizeof(uint32_t)))
        memset(self.e.table, 0xFF, scratch * sizeof(uint32_t))

    cdef synapse_t _add_projection(self, Projection *c, rank, projection, bint by_delay=False) except -1:
        """Fill in a projection, but for weights that will be in the order of delays; the scratch that drawing needs."""
        cdef const synapse_t[::1] offsets
        cdef const neuron_t[::1] targets
        cdef const double[::1] weights
        memset(c, 0, sizeof(Projection))
        c.post, c.rank, c.has_multapses = projection.post, rank, projection.has_multapses
        c.port = projection.port
        if isinstance(projection.weight, float):
            c.weight, c.largest = projection.weight, fabs(projection.weight)
        if isinstance(projection.adjacency, ProceduralAdjacency):
            return self._add_procedural(c, projection.adjacency, self.network.populations[projection.post])
        offsets, targets = projection.adjacency.offsets, projection.adjacency.targets
        c.offsets = &offsets[0]
        c.degree = uniform_degree(offsets)
        c.targets = &targets[0] if targets.shape[0] else NULL
        self.arrays += [offsets, targets]
        if not isinstance(projection.weight, float) and targets.shape[0] and not by_delay:
            weights = all_of(projection.weight)
            if weights.shape[0] != targets.shape[0]:
                raise ValueError(f"{weights.shape[0]} weights for {targets.shape[0]} synapses")
            self.arrays.append(weights)
            c.weights, c.largest = &weights[0], largest_size(projection.weight)
        return 0

    cdef _add_delayed(self, int64_t number, rank, projection, bint with_places):
        """Fill in a projection with a delay for each synapse: its rows are brought into the order of delays.

        Where in its row each synapse was is kept if it is wanted, or there are weights in that order.
        """
        cdef Projection *c = &self.e.projections[number]
        cdef double[::1] weights
        cdef const double[::1] delays
        cdef const neuron_t[::1] targets, places
        self._add_projection(c, rank, projection, True)
        adjacency = projection.adjacency
        targets, places, delays = sort_rows(adjacency.offsets, projection.delay, adjacency.targets)
        self.arrays += [targets, delays]
        c.targets, c.delays = &targets[0], &delays[0]
        if with_places or not isinstance(projection.weight, float):
            self.arrays.append(places)
            c.places = &places[0]
        if not isinstance(projection.weight, float):
            weights = np.empty(targets.shape[0])
            take_places(adjacency.offsets, places, projection.weight, weights)
            self.delayed.append((number, places.base, weights.base))
            c.weights, c.largest = &weights[0], largest_size(weights.base)

    cdef synapse_t _add_procedural(self, Projection *c, adjacency, post) except -1:
        """Fill in how rows are drawn; the scratch that this needs."""
        cdef const uint64_t[::1] key = adjacency.key
        c.procedural = True
        c.key[0], c.key[1] = key[0], key[1]
        c.stream = adjacency.projection
        c.purpose = Purpose.CONNECTIVITY
        c.degree = adjacency.degree
        c.n_post = adjacency.n_post
        c.low = post.first - post.sources[0]
        c.high = c.low + post.size
        c.skip_self = adjacency.skip_self
        c.with_replacement = adjacency.with_replacement
        if not reserve(&self.e.drawn, c.degree + 1):
            owned(NULL)
        return table_size(c.degree, c.n_post - c.skip_self, c.with_replacement) if c.degree else 0

    def take_weights(self):
        """Go on with what the arrays of weights that the engine was made with contain now."""
        cdef int64_t k
        cdef Projection *c
        for k in range(len(self.network.projections)):
            c = &self.e.projections[k]
            if c.weights != NULL:
                weights = self.network.projections[c.rank].weight
                c.largest = largest_of(weights) if isinstance(weights, np.ndarray) else largest_size(weights)
        for k, places, weights in self.delayed:
            projection = self.network.projections[self.e.projections[k].rank]
            take_places(projection.adjacency.offsets, places, projection.weight, weights)

    cdef _add_inputs(self, network):
        """Point the structs at spike trains and at the rates of Poisson processes."""
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
            c.number = self.e.n_processes
            self.e.n_processes += 1
            self._fill_process(c, process)

    cdef _fill_process(self, Process *c, process):
        """What a Poisson input is; its present interval is another matter."""
        cdef const double[::1] times, means, weights
        cdef const double[:, ::1] fractions
        cdef const uint64_t[::1] key
        c.population, c.is_source, c.port = process.population, process.weight is None, process.port
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
        key = process.key
        if not poisson_prepare(&c.poisson, &key[0], process.purpose, process.index):
            owned(NULL)

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
        self._take_own(p, n_rows)
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
            model = KERNELS[self.network.populations[number].kernel]
            self.constants[key] = model.constants_of(self.bases[number][k] | {"I_e": I_e})
        return self.constants[key]

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


def _only_value(delay):
    """The delay that all synapses have, or None."""
    if isinstance(delay, float):
        return delay
    if not delay.size:
        return 0.0
    low, high = extremes(delay)
    return float(low) if low == high else None


def _one_weight_per_target(members):
    """Whether one spike reaches no port of a target twice through these projections."""
    ends = [(projection.post, projection.port) for _, projection in members]
    return len(set(ends)) == len(ends) and not any(projection.has_multapses for _, projection in members)


cdef bint all_reach_somebody(const State *e, const Lane *lane, int64_t n_sources) noexcept:
    """Whether each source has synapses of a lane."""
    cdef int64_t k
    for k in range(n_sources):
        if not reaches_somebody(e, lane, <neuron_t> k):
            return False
    return True


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


cdef double largest_of(const double[::1] values) noexcept:
    cdef double largest = 0.0
    cdef Py_ssize_t k
    for k in range(values.shape[0]):
        largest = max(largest, fabs(values[k]))
    return largest


def largest_size(values):
    """The largest absolute value, without a copy."""
    low, high = extremes(values)
    return max(high, -low, 0.0)


# For engines whose threads take blocks of neurons ---------------------------------------------------------------------

cdef own_frames(const State *e, Population *populations, Frame **frames):
    """Give a thread's copy of the populations frames of its own."""
    cdef Population *p
    cdef int64_t k, j
    for k in range(e.n_populations):
        p = &populations[k]
        if p.frames == NULL:
            continue
        free(frames[k])
        frames[k] = NULL
        # Not in one line of memory with those of another thread.
        frames[k] = <Frame *> owned(allocate(p.n_frames + 2, sizeof(Frame)))
        memcpy(frames[k] + 1, p.frames, p.n_frames * sizeof(Frame))
        p.frames = frames[k] + 1
        for j in range(p.n_frames):
            p.frames[j].instant = -1


cdef void largest_rows(const State *e, int64_t n_projections, int64_t *degree, int64_t *table) noexcept:
    """The largest number of synapses of a procedural row, and the largest table that drawing one takes."""
    cdef const Projection *c
    cdef int64_t k
    degree[0] = table[0] = 0
    for k in range(n_projections):
        c = &e.projections[k]
        if c.procedural and c.degree:
            degree[0] = max(degree[0], c.degree)
            table[0] = max(table[0], table_size(c.degree, c.n_post - c.skip_self, c.with_replacement))


cdef uint32_t *row_cuts(const Projection *c, int64_t n_pre, int64_t n_blocks, int64_t size) except? NULL:
    """By source and block of `size` targets, the place in the row; NULL if targets do not ascend within rows."""
    cdef uint32_t *cuts = <uint32_t *> owned(allocate(n_pre * (n_blocks + 1), sizeof(uint32_t)))
    cdef uint32_t *at = cuts
    cdef int64_t i, block
    cdef synapse_t k
    for i in range(n_pre):
        block = 0
        for k in range(c.offsets[i], c.offsets[i + 1]):
            if k > c.offsets[i] and c.targets[k] < c.targets[k - 1]:
                free(cuts)
                return NULL
            while block * size <= c.targets[k]:
                at[block] = <uint32_t> (k - c.offsets[i])
                block += 1
        while block <= n_blocks:
            at[block] = <uint32_t> (c.offsets[i + 1] - c.offsets[i])
            block += 1
        at += n_blocks + 1
    return cuts


cdef void *owned(void *memory) except NULL:
    if memory == NULL:
        raise InsufficientMemoryError("not enough memory for the engine's state; use fewer neurons or synapses")
    return memory


cdef void *zeros(size_t n, size_t size) except NULL:
    """n zeroed items of `size` bytes."""
    cdef void *memory = owned(allocate(n, size))
    memset(memory, 0, n * size)
    return memory


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
