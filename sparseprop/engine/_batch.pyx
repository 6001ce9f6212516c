"""Batches: one engine that begins anew with the input of each sample, and the pass back through the tapes it left.

Both go through many samples without the interpreter; batch/ shares the samples out among threads.
"""

from libc.math cimport NAN, fabs, isinf
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from sparseprop._core cimport Engine, TapePart, take_instants_in_window, voltage_of
from sparseprop.engine._loaded cimport owned, zeros
from sparseprop.engine._agenda cimport TRAIN, agenda_push
from sparseprop.engine._backward cimport (
    Adjoint, begin_back, begin_streams_back, go_back, instants_back, is_used_up, read_in,
)
from sparseprop.engine._delivery cimport train_time
from sparseprop.engine._pass cimport MOST_FINDINGS, Pass, adjoint_of, back_of, end_of_period, since_start
from sparseprop.engine._state cimport NO_MEMORY, QUIESCENT, RUNNING, Population, State, Status, Train, population_of
from sparseprop.engine._tape cimport EMITTED, SPIKE, TapeBuffer, tape_create, tape_free
from sparseprop.engine._window cimport Window, window_clear
from sparseprop.numerics._frames cimport Frame, Pair
from sparseprop.numerics._memory cimport allocate, grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t

from ..errors import EngineFault, InsufficientMemoryError


# What is kept of a population's first state.
cdef struct Beginning:
    double *x
    Pair *base
    Pair *release
    uint8_t *waiting
    Frame *frames
    double drift


# What a sample leaves for its gradients.
cdef struct Left:
    TapeBuffer *tape
    Pair last
    Pair *releases              # of all populations that have any


cdef void *copied(const void *memory, size_t size) except? NULL:
    """A copy; NULL of NULL."""
    if memory == NULL:
        return NULL
    cdef void *copy = owned(allocate(size, 1))
    memcpy(copy, memory, size)
    return copy


cdef double current_sum(const State *e, neuron_t i) noexcept nogil:
    """The sum of the synaptic currents of a neuron (global id) now; 0 where there are none."""
    cdef const Population *p = &e.populations[population_of(e, i)]
    return p.ops.current_sum(e, p, i - p.first, e.now) if p.ops != NULL and p.ops.has_currents else 0.0


cdef class StopFlag:
    """Raised from another thread to end the work on samples."""

    cdef int raised

    def set(self):
        self.raised = 1


cdef class Samples:
    """What came out of consecutive samples of a batch.

    Attributes
    ----------
    times, ids : ndarray
        Spikes of neurons, one sample after the other: ms, and global ids.
    ends : ndarray of shape (n,)
        Where the spikes of each sample end.
    V : ndarray of shape (n, times, neurons)
        Of the times and neurons that were asked for.
    counts : ndarray of shape (4,)
        Spikes, synaptic events, input events and close calls.
    """

    cdef Left *left
    cdef count_t n
    cdef readonly object times, ids, ends, V, counts
    cdef object currents        # like V: sums of synaptic currents, which the pass back needs

    def __dealloc__(self):
        cdef count_t k
        if self.left != NULL:
            for k in range(self.n):
                tape_free(self.left[k].tape)
                free(self.left[k].releases)
        free(self.left)


class SampleFault(Exception):
    """A sample in which a run failed, and why."""

    def __init__(self, sample, fault):
        super().__init__(sample, fault)
        self.sample, self.fault = sample, fault


cdef class Runner:
    """Runs of one network with the inputs of many samples.

    Parameters
    ----------
    network : EngineInput
        Without Poisson processes and changes of parameters.
    near : float
        ms; see :meth:`Engine.start_tape`.
    """

    cdef readonly Engine engine
    cdef readonly TapePart beginning
    cdef Beginning *beginnings
    cdef Pair start
    cdef count_t n_releases
    cdef double near

    def __dealloc__(self):
        cdef int64_t k
        if self.beginnings != NULL:
            for k in range(self.engine.e.n_populations):
                free(self.beginnings[k].x)
                free(self.beginnings[k].base)
                free(self.beginnings[k].release)
                free(self.beginnings[k].waiting)
                free(self.beginnings[k].frames)
        free(self.beginnings)

    def __init__(self, network, double near):
        cdef int64_t k
        cdef Population *p
        cdef Beginning *first
        self.near = near
        self.engine = Engine(network, "window")
        self.engine.start_tape(near)
        self.beginning = self.engine.stop_tape()
        self.start = self.engine.e.now
        self.beginnings = <Beginning *> zeros(self.engine.e.n_populations, sizeof(Beginning))
        for k in range(self.engine.e.n_populations):
            p = &self.engine.e.populations[k]
            first = &self.beginnings[k]
            first.drift = p.drift
            first.x = <double *> copied(p.x, p.width * <size_t> p.size * sizeof(double))
            first.base = <Pair *> copied(p.base, p.size * sizeof(Pair))
            first.release = <Pair *> copied(p.release, p.size * sizeof(Pair))
            first.waiting = <uint8_t *> copied(p.waiting, p.size // 8 + 1)
            first.frames = <Frame *> copied(p.frames, p.n_frames * sizeof(Frame))
            if p.release != NULL:
                self.n_releases += p.size

    def take_weights(self):
        self.engine.take_weights()

    cdef bint begin(self, const double *times, const int64_t *ids, count_t n) noexcept nogil:
        """Back to the first state, with these input spikes; False if there is no memory."""
        cdef State *e = &self.engine.e
        cdef Window *q = &self.engine.window
        cdef Train *train = &e.trains[0]
        cdef int64_t k
        cdef Population *p
        cdef const Beginning *first
        for k in range(e.n_populations):
            p = &e.populations[k]
            first = &self.beginnings[k]
            p.epoch = self.start.n
            p.own_epoch = -1
            p.log_start = p.log_size = 0
            p.drift = first.drift
            if p.x != NULL:
                memcpy(p.x, first.x, p.width * <size_t> p.size * sizeof(double))
                memcpy(p.frames, first.frames, p.n_frames * sizeof(Frame))
            if p.base != NULL:
                memcpy(p.base, first.base, p.size * sizeof(Pair))
            if p.release != NULL:
                memcpy(p.release, first.release, p.size * sizeof(Pair))
                memcpy(p.waiting, first.waiting, p.size // 8 + 1)
        for k in range(e.n_lanes):
            e.lanes[k].next = 0
        e.n_cursors, e.free_cursor = 0, -1
        e.agenda.size = 0
        e.now = self.start
        e.last.n, e.last.s = -1, 0.0
        # Stamps of frames are older than any instant that comes.
        e.instant += 1
        e.n_recent = e.fired.size = 0
        train.times, train.ids, train.size, train.at = times, ids, n, 0
        window_clear(q, e.n)
        q.edge, q.nobody, q.empty_scans = self.start, False, 0
        q.timed_key = q.confirmed_key = NAN
        return n == 0 or agenda_push(&e.agenda, train_time(e, train), TRAIN, 0)

    cdef bint begin_tape(self, Left *left) noexcept nogil:
        """Keep a tape of the sample; False if there is no memory."""
        cdef State *e = &self.engine.e
        cdef const TapeBuffer *first = self.beginning.tape
        left.tape = tape_create(e.n)
        if left.tape == NULL:
            return False
        left.tape.near, left.tape.records_kicks = self.near, first.records_kicks
        if first.at_release != NULL:
            left.tape.at_release = <double *> allocate(e.n, sizeof(double))
            if left.tape.at_release == NULL:
                return False
            memcpy(left.tape.at_release, first.at_release, e.n * sizeof(double))
        e.tape = left.tape
        return True

    cdef bint end_tape(self, Left *left) noexcept nogil:
        """The sample is over; False if there is no memory."""
        cdef State *e = &self.engine.e
        cdef int64_t k
        cdef count_t n = 0
        cdef const Population *p
        e.tape = NULL
        left.last = e.last
        if self.n_releases:
            left.releases = <Pair *> allocate(self.n_releases, sizeof(Pair))
            if left.releases == NULL:
                return False
            for k in range(e.n_populations):
                p = &e.populations[k]
                if p.release != NULL:
                    memcpy(left.releases + n, p.release, p.size * sizeof(Pair))
                    n += p.size
        return True

    cdef Status sample(self, Left *left, const int64_t *stop_epochs, const double *stop_s, count_t n_stops, Pair until,
                       const int64_t *V_ids, count_t n_ids, double *V, double *currents) noexcept nogil:
        """Run one sample to its end; V and the sum of the synaptic currents of neurons at each stop."""
        cdef State *e = &self.engine.e
        cdef Window *q = &self.engine.window
        cdef count_t k, j
        cdef Pair stop
        cdef Status status = RUNNING
        for k in range(n_stops + 1):
            stop = until
            if k < n_stops:
                stop.n, stop.s = stop_epochs[k], stop_s[k]
            status = take_instants_in_window(e, q, stop, (<count_t> 1) << 62, (<count_t> 1) << 61)
            if status > QUIESCENT:
                break
            for j in range(n_ids if k < n_stops else 0):
                V[k * n_ids + j] = voltage_of(e, <neuron_t> V_ids[j])
                currents[k * n_ids + j] = current_sum(e, <neuron_t> V_ids[j])
        if left != NULL and not self.end_tape(left):
            return NO_MEMORY
        return status

    def run(self, const double[::1] times, const int64_t[::1] ids, const int64_t[::1] offsets, count_t first, count_t n,
            until, const int64_t[::1] stop_epochs, const double[::1] stop_s, const int64_t[::1] V_ids, bint keep,
            StopFlag flag):
        """The samples `first`, `first` + 1, ..., n of them, or those before the flag was raised.

        Parameters
        ----------
        times, ids : ndarray
            Input spikes of all samples of the batch, in the order of time and id within each.
        offsets : ndarray
            Where those of each sample begin.
        until : tuple
            The pair at which samples end.
        stop_epochs, stop_s, V_ids : ndarray
            When to look at V, and of which neurons.
        keep : bool
            Whether to keep tapes.

        Returns
        -------
        Samples
        """
        cdef State *e = &self.engine.e
        cdef Samples samples = Samples()
        cdef Left *left = NULL
        cdef Status status = RUNNING
        cdef count_t k = 0, n_stops = stop_epochs.shape[0], n_ids = V_ids.shape[0]
        cdef count_t spikes = e.n_spikes, kicks = e.n_synaptic_events, events = e.n_input_events
        cdef count_t close = e.n_close_calls
        cdef int64_t[::1] ends = np.zeros(n, np.int64)
        cdef double[:, :, ::1] V = np.empty((n, n_stops, n_ids))
        cdef double[:, :, ::1] currents = np.empty((n, n_stops, n_ids))
        cdef double *values = &V[0, 0, 0] if n * n_stops * n_ids else NULL
        cdef double *sums = &currents[0, 0, 0] if n * n_stops * n_ids else NULL
        cdef const int64_t *look_n = &stop_epochs[0] if n_stops else NULL
        cdef const double *look_s = &stop_s[0] if n_stops else NULL
        cdef const int64_t *look_ids = &V_ids[0] if n_ids else NULL
        cdef const double *all_times = &times[0] if times.shape[0] else NULL
        cdef const int64_t *all_ids = &ids[0] if ids.shape[0] else NULL
        cdef Pair end
        end.n, end.s = until
        if keep:
            left = samples.left = <Left *> zeros(n, sizeof(Left))
        samples.n = n
        e.spike_ids.size = 0
        e.tape = NULL
        with nogil:
            while k < n and not flag.raised:
                if not self.begin(all_times + offsets[first + k], all_ids + offsets[first + k],
                                  offsets[first + k + 1] - offsets[first + k]):
                    status = NO_MEMORY
                elif keep and not self.begin_tape(&left[k]):
                    status = NO_MEMORY
                else:
                    status = self.sample(&left[k] if keep else NULL, look_n, look_s, n_stops, end, look_ids, n_ids,
                                         values + k * n_stops * n_ids, sums + k * n_stops * n_ids)
                e.tape = NULL
                if status > QUIESCENT:
                    break
                ends[k] = e.spike_ids.size
                k += 1
        if status > QUIESCENT:
            try:
                self.engine._fault(status)
            except EngineFault as fault:
                raise SampleFault(first + k, fault) from None
        samples.times, samples.ids = self.engine.take()
        samples.ends, samples.V, samples.currents = ends.base, V.base, currents.base
        samples.counts = np.array([
            e.n_spikes - spikes, e.n_synaptic_events - kicks, e.n_input_events - events, e.n_close_calls - close
        ], np.int64)
        return samples


cdef class BackwardRunner:
    """The pass back through samples that a Runner of the same network has left.

    Parameters
    ----------
    adjoint : Adjoint
        Which the derivatives are added up in.
    beginning : TapePart
        That of the Runner.
    """

    cdef readonly Adjoint adjoint
    cdef TapePart beginning
    cdef double *by_time
    cdef count_t capacity

    def __dealloc__(self):
        free(self.by_time)

    def __init__(self, Adjoint adjoint, TapePart beginning):
        self.adjoint, self.beginning = adjoint, beginning

    cdef bint load(self, Left *left, const double *by_spike) noexcept nogil:
        """Take up the tape of a sample, whose spikes have these derivatives; False if there is no memory."""
        cdef Pass *b = &self.adjoint.b
        cdef State *e = b.e
        cdef TapeBuffer *tape = left.tape
        cdef Population *p
        cdef Pair before_all
        cdef int64_t k
        cdef neuron_t i
        cdef count_t n = 0, spike = 0
        if not grow(<void **> &self.by_time, &self.capacity, tape.size + 1, sizeof(double)):
            return False
        for k in range(tape.size):
            self.by_time[k] = 0.0
            if tape.entries[k].kind == SPIKE:
                self.by_time[k] = by_spike[spike]
                spike += 1
        b.by_time = self.by_time
        for k in range(e.n_populations):
            if b.y[k] != NULL:
                memset(b.y[k], 0, b.widths[k] * <size_t> e.populations[k].size * sizeof(double))
        before_all.n, before_all.s = -1, 0.0
        begin_back(b, tape, before_all, left.last, self.beginning.start)
        for k in range(e.n_populations):
            p = &e.populations[k]
            if p.release == NULL:
                continue
            memcpy(p.release, left.releases + n, p.size * sizeof(Pair))
            n += p.size
            if p.ops != NULL and p.ops.has_currents:
                memcpy(b.at_release + p.first, tape.at_release + p.first, p.size * sizeof(double))
                for i in range(p.size):
                    end_of_period(b, p, adjoint_of(b, p, i))[0] = since_start(b, p.release[i])
        return begin_streams_back(b)

    def run(self, Samples samples, count_t first, const double[::1] by_spike, const int64_t[::1] stop_epochs,
            const double[::1] stop_s, const int64_t[::1] V_ids, const double[:, :, ::1] by_V,
            double[::1] by_start, list by_current, double[::1] by_input, const int64_t[::1] offsets, StopFlag flag):
        """Use up the tapes of samples.

        Parameters
        ----------
        samples : Samples
            The samples `first`, `first` + 1, ... of the batch.
        by_spike : ndarray
            dL/d(time) of their spikes.
        stop_epochs, stop_s, V_ids, by_V : ndarray
            When V of which neurons was recorded, and dL/dV, of shape (n, times, neurons).
        by_start : ndarray of shape (neurons,)
            dL/dV at the beginning, summed over samples, is added.
        by_current : list
            By population the same for its synaptic currents, of shape (size, ports), or None.
        by_input : ndarray
            dL/d(time) of all input spikes of the batch; those of these samples are set.
        offsets : ndarray
            Where the input spikes of each sample begin.

        Returns
        -------
        float
            The largest relative error of the sum that is zero because nothing changes if everything happens later.
        """
        cdef Pass *b = &self.adjoint.b
        cdef State *e = b.e
        cdef Population *p
        cdef Status status = RUNNING
        cdef Pair stop
        cdef count_t k, j, spike = 0, given
        cdef int64_t i
        cdef bint fits = True
        cdef double explicit, rest, size, error = 0.0
        cdef const double *V_values
        cdef const double[:, :, ::1] V = samples.V, S = samples.currents
        cdef const int64_t[::1] ends = samples.ends
        cdef const double[::1] V_start = self.beginning.V
        cdef double[::1] by_V_start = np.zeros(max(e.n, 1))
        cdef list currents = self.beginning.currents
        cdef const double[:, ::1] of_population
        cdef double[:, ::1] sums
        cdef const double **at_start = <const double **> zeros(e.n_populations, sizeof(double *))
        cdef double **current_sums = <double **> zeros(e.n_populations, sizeof(double *))
        cdef double[::1] by_currents = np.zeros(max(e.n_ports * e.n, 1))
        cdef const double *by_spikes = &by_spike[0] if by_spike.shape[0] else NULL
        for k in range(e.n_populations):
            if currents[k] is not None:
                of_population, sums = currents[k], by_current[k]
                at_start[k], current_sums[k] = &of_population[0, 0], &sums[0, 0]
        with nogil:
            for k in range(samples.n):
                if flag.raised:
                    break
                b.sample = first + k
                b.shift = b.shift_size = 0.0
                b.has_overflowed = False
                if not self.load(&samples.left[k], by_spikes + spike):
                    status = NO_MEMORY
                    break
                explicit = 0.0
                for j in range(spike, ends[k]):
                    explicit += by_spike[j]
                spike = ends[k]
                for j in range(stop_epochs.shape[0] - 1, -1, -1):
                    stop.n, stop.s = stop_epochs[j], stop_s[j]
                    status = instants_back(b, stop, (<count_t> 1) << 61)
                    if status == NO_MEMORY:
                        break
                    go_back(b, stop)
                    for i in range(V_ids.shape[0]):
                        if by_V[k, j, i] != 0.0:
                            read_in(b, <neuron_t> V_ids[i], V[k, j, i], S[k, j, i], by_V[k, j, i])
                if status == NO_MEMORY:
                    break
                stop.n, stop.s = -1, 0.0
                status = instants_back(b, stop, (<count_t> 1) << 61)
                if status == NO_MEMORY:
                    break
                if not is_used_up(b):
                    fits = False
                    break
                go_back(b, self.beginning.start)
                for i in range(e.n_populations):
                    p = &e.populations[i]
                    if p.ops == NULL or p.size == 0:
                        continue
                    V_values = &V_start[p.first]
                    if not back_of(p).leave(b, p, V_values, True, at_start[i], &by_V_start[p.first], &by_currents[0]):
                        status = NO_MEMORY
                        break
                    for j in range(p.first, p.first + p.size):
                        if not isinf(V_start[j]):
                            by_start[j] += by_V_start[j]
                    if current_sums[i] != NULL:
                        for j in range(p.size * p.ops.ports(p)):
                            current_sums[i][j] += by_currents[j]
                if status == NO_MEMORY:
                    break
                given = offsets[first + k]
                rest = size = 0.0
                for j in range(b.tape.size):
                    size += fabs(self.by_time[j])
                    if b.tape.entries[j].kind == EMITTED:
                        by_input[given] = self.by_time[j]
                        rest += self.by_time[j]
                        given += 1
                size += b.shift_size
                if size > 0.0 and not b.has_overflowed:
                    error = max(error, fabs(b.shift + rest - explicit) / size)
                tape_free(samples.left[k].tape)
                samples.left[k].tape = NULL
        free(at_start)
        free(current_sums)
        if status == NO_MEMORY:
            raise InsufficientMemoryError("the backward pass ran out of memory")
        if not fits:
            raise AssertionError("the backward pass does not fit to the forward pass; please report this as a bug")
        return error

    def take_weights(self):
        self.adjoint.loaded.take_weights()

    def clear(self):
        """Begin anew with what is found and counted. (The arrays of sums are the caller's.)"""
        cdef Pass *b = &self.adjoint.b
        b.n_findings = b.n_ties = 0
        self.adjoint.weight_sums[:] = 0.0
        self.adjoint.delay_sums[:] = 0.0
        self.adjoint.drive_sums[:] = 0.0

    @property
    def findings(self):
        """(sample, kind, neuron, source or -1, ms) of what has no gradient, and how many there are."""
        cdef count_t k
        cdef Pass *b = &self.adjoint.b
        return [
            (int(b.findings[k].sample), int(b.findings[k].kind), int(b.findings[k].neuron), int(b.findings[k].other),
             float(b.findings[k].time))
            for k in range(min(b.n_findings, b.findings_capacity, MOST_FINDINGS))
        ], int(b.n_findings)
