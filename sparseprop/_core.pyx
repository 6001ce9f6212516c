"""The compiled engines: one event loop over two kinds of event queue; kinds of neurons are tables of functions.

Names of phases and the order of everything within an instant are those of :mod:`sparseprop.engine.reference`, which
computes the same numbers bit for bit and is the place to read first.
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from sparseprop.engine._agenda cimport PROCESS, TRAIN, Agenda, Item, Kind, agenda_push
from sparseprop.engine._delivery cimport train_time
from sparseprop.engine._queueing cimport (
    enter_present, forget_solved, kicks_so_far, next_instant, next_spike_of, put_back,
)
from sparseprop.engine._flights cimport draw_interval, is_to_come, process_time, send, trim_log
from sparseprop.engine._instant cimport is_silent, keep_recent, note_recent, take_instant, take_instants
from sparseprop.engine._heap cimport Heap, heap_create, heap_free, heap_order
from sparseprop.engine._loaded cimport Loaded, Series, owned, restore_pairs, saved_pairs, zeros
from sparseprop.engine._state cimport (
    DISORDER, N_SOLVED, NO_MEMORY, QUIESCENT, RUNAWAY, RUNNING, SPIKES, TIME, Cursor, Population, Process, Solved,
    State, Status, Train, append, nowhere, population_of, set_bit,
)
from sparseprop.engine._tape cimport EMITTED, PAST, SPIKE, Entry, tape_create, tape_drive, tape_free, tape_note
from sparseprop.engine._window cimport Window, window_clear, window_free
from sparseprop.numerics._frames cimport Frame, Pair, before, enter_epoch, never, not_after
from sparseprop.numerics._memory cimport allocate, allocate_large
from sparseprop.numerics._scan cimport find_below, find_turned, register_width
from sparseprop.numerics._typedefs cimport count_t, neuron_t

from .engine.input import goes_by_slices
from .errors import EngineFault, InsufficientMemoryError

cdef extern from *:
    """
    /* 0 where the compiler kept a multiplication and an addition apart, as the promises need. */
    static double sp_contracted(volatile double a, volatile double b, volatile double c) { return a * b + c; }
    """
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


cdef class Engine(Loaded):
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

    def __cinit__(self, *_, **__):
        memset(&self.heap, 0, sizeof(Heap))
        memset(&self.window, 0, sizeof(Window))

    def __dealloc__(self):
        free(self.seen)
        heap_free(&self.heap)
        window_free(&self.window)

    def __init__(self, network, name):
        cdef int64_t k
        super().__init__(network)
        self.name = name
        self.windowed = name != "heap"
        self.e.crowded = True
        for k, population in enumerate(network.populations):
            if self.e.populations[k].ops != NULL:
                self._place_population(&self.e.populations[k], population)
        self._start_inputs()
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

    cdef _place_population(self, Population *p, population):
        """The initial states of one population."""
        cdef neuron_t i
        cdef const double[::1] V, refractory
        cdef const double[:, ::1] I_syn
        p.x = <double *> owned(allocate_large(p.width * <int64_t> p.size, sizeof(double)))
        memset(p.x, 0, p.width * <int64_t> p.size * sizeof(double))
        V = population.V
        if self.origins is not None:
            V = V - self.origins[p.first : p.first + p.size]
        refractory = population.refractory if population.refractory is not None else np.zeros(0)
        with nogil:
            p.ops.place(&self.e, p, &V[0] if V.shape[0] else NULL, &refractory[0] if refractory.shape[0] else NULL)
        if population.I_syn is not None:
            I_syn = population.I_syn
            for i in range(p.size):
                p.ops.place_currents(&self.e, p, i, &I_syn[i, 0])

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
        self._begin_process(c)
        if not agenda_push(&self.e.agenda, process_time(&self.e, c, c.at), PROCESS, k):
            owned(NULL)

    cdef _begin_process(self, Process *c):
        """Go to the first event of an input after the last instant."""
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

    def place(self, const int64_t[::1] ids, const double[::1] V, const double[::1] refractory,
              const double[:, ::1] currents):
        """Give neurons another state now; see :meth:`sparseprop.engine.reference_state.ReferenceState.place`."""
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
        """Take instants before the pair `until`; see :meth:`sparseprop.engine.reference.ReferenceEngine.advance`.

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
            status = self._take(stop, most, budget - (before_block - spent))
            if status > QUIESCENT:
                self._fault(status)
            if status == RUNNING or status == SPIKES:
                return _ENDS[status]
            if not before(change, end):
                return _ENDS[TIME if change.n < never().n or not self._is_silent() else QUIESCENT]
            self._change_parameters(change)

    cdef Status _take(self, Pair until, count_t most, count_t budget):
        """Instants before `until`, up to so many spikes in all, for about `budget` events."""
        cdef Status status
        with nogil:
            if self.windowed:
                status = take_instants(&self.e, &self.window, until, most, budget)
            else:
                status = take_instants(&self.e, &self.heap, until, most, budget)
        return status

    cdef bint _is_silent(self):
        """Whether nothing will ever happen, as things are."""
        return is_silent(&self.e)

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
        """What says how the simulation goes on; see :meth:`sparseprop.engine.reference_state.ReferenceState.state`."""
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
                if is_to_come(&self.e, self.e.lanes, self.e.n_lanes, k, p.log_start + j):
                    emissions[k, p.log_start + j] = (
                        p.log[j].emission.n, p.log[j].emission.s, p.first + p.log[j].source
                    )
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

    cdef _note_voltages(self, Population *p):
        """For the tape: V of a population whose parameters are about to change."""
        cdef double[::1] V = np.empty(p.size)
        cdef neuron_t i
        for i in range(p.size):
            V[i] = p.ops.voltage(&self.e, p, i)
        self.tape_part.voltages.append(V.base)

    def start_tape(self, double near, at_release=None):
        """Keep from now on what the backward pass needs; and who is to fire within `near` ms of other events.

        `at_release`: that of the TapePart that ended now.
        """
        self.stop_tape()
        self._enter_present()
        self.tape_part = TapePart(self, self.network, near, at_release)

    def stop_tape(self):
        """The TapePart since `start_tape`, or None."""
        part, self.tape_part = self.tape_part, None
        if part is not None:
            self._enter_present()
            (<TapePart> part).finish(self)
        return part

    @property
    def notes_states(self):
        """Whether a tape has V before each kick, of some population."""
        cdef int64_t k
        for k in range(self.e.n_populations):
            if self.e.populations[k].ops != NULL and self.e.populations[k].ops.notes_states:
                return True
        return False

    @property
    def notes_releases(self):
        """Whether a tape has sums at the ends of refractory periods, of which states do not tell in which order."""
        cdef int64_t k
        cdef const Population *p
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            if p.ops != NULL and p.ops.has_currents and p.release != NULL:
                return True
        return False

    @property
    def at_release(self):
        """As of a TapePart, of the one that is kept now; None without it."""
        return None if self.tape_part is None else (<TapePart> self.tape_part).at_release

    @property
    def tape_size(self):
        """Bytes on the tape; 0 without one."""
        return 0 if self.tape_part is None else self.tape_part.nbytes

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


cdef class TapePart:
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

    def __init__(self, Engine engine, network, double near, at_release=None):
        cdef State *e = &engine.e
        cdef Pair emission
        cdef const double[::1] sums
        cdef int64_t k
        self.network, self.n = network, e.n
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
        self.tape.names_targets = self.tape.records_kicks and goes_by_slices(network)
        self._note_currents(e)
        if at_release is not None:
            # The same sums, but each has been added up in the order of its kicks.
            sums = at_release
            memcpy(self.tape.at_release, &sums[0], e.n * sizeof(double))
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

    @property
    def at_release(self):
        """Of each neuron the sum of its currents at the end of its last refractory period; None without such."""
        cdef double[::1] sums
        if self.tape.at_release == NULL:
            return None
        sums = np.empty(self.n)
        memcpy(&sums[0], self.tape.at_release, self.n * sizeof(double))
        return sums.base

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


cdef Status take_instants_in_window(State *e, Window *q, Pair until, count_t max_spikes, count_t budget) noexcept nogil:
    """`take_instants`, for those who have no loop of their own."""
    return take_instants(e, q, until, max_spikes, budget)
