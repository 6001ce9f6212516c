"""Batches: one engine that begins anew with the input of each sample, and the pass back through the tapes it left.

Both go through all samples of a batch without the interpreter, on all threads of a Crew: going forward each takes one
sample after the other, and going back one piece of the batch after the other, as sums are made piece by piece.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport NAN, fabs, isinf
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport getpid, pid_t

import numpy as np

from sparseprop._core cimport Engine, TapePart, take_instants_in_window, voltage_of
from sparseprop.engine._loaded cimport owned, zeros
from sparseprop.engine._agenda cimport TRAIN, agenda_push
from sparseprop.engine._backward cimport (
    Adjoint, begin_back, begin_streams_back, go_back, instants_back, is_used_up, read_in,
)
from sparseprop.engine._delivery cimport train_time
from sparseprop.engine._pass cimport MOST_FINDINGS, Finding, Pass, adjoint_of, back_of, end_of_period, since_start
from sparseprop.engine._state cimport NO_MEMORY, QUIESCENT, RUNNING, Population, State, Status, Train, population_of
from sparseprop.engine._tape cimport EMITTED, SPIKE, Entry, TapeBuffer, tape_create, tape_free
from sparseprop.engine._team cimport Team, take_next, team_begin, team_do, team_end
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


# What one thread runs samples with.
cdef struct Course:
    State *e
    Window *q
    const TapeBuffer *first     # what all tapes begin with
    Beginning *beginnings       # by population
    Pair start
    count_t n_releases
    double near
    count_t usual[3]            # entries, values and currents on the last tape


# Whose spikes of a sample are where.
cdef struct Part:
    int member
    count_t begin
    count_t end


# When to look at V, and of which neurons.
cdef struct Readings:
    const int64_t *epochs
    const double *s
    count_t n
    const int64_t *ids
    count_t n_ids


# The samples of a batch, forward.
cdef struct Forward:
    Course **members            # by thread; as many as take part
    int n_members
    const double *times         # of input spikes
    const int64_t *ids
    const int64_t *offsets
    Pair until
    Readings look
    double *V
    double *currents
    Left *left                  # by sample; NULL without tapes
    Part *parts                 # by sample
    count_t n
    long long next
    int raised                  # ends it
    Status *status              # by thread: that of the last sample that it took
    count_t *last               # by thread: which one that was
    void *errors                # a list


# What one thread goes back through samples with.
cdef struct Return:
    Pass *b
    Pair start
    const double *V_start       # of all neurons
    double *by_V_start          # scratch
    double *by_currents         # the same
    const double **at_start     # by population: synaptic currents at the beginning; or NULL
    double **by_current         # by population: dL/d of them
    double *by_start            # dL/dV at the beginning
    double *by_time             # of the entries of the present tape
    count_t capacity
    double *flat                # all sums: what the pass adds to, and, at its end, those by projection
    count_t size
    int64_t n_projections


# What comes out of a piece of a batch besides sums.
cdef struct Piece:
    double error                # the largest relative error of the sum that is zero
    count_t n_findings
    count_t n_kept
    Finding *findings
    count_t n_ties
    bint fits
    Status status


# The samples of a batch, backward.
cdef struct Backward:
    Return **members
    int n_members
    Left *left
    const int64_t *spikes       # where those of each sample begin
    const double *by_spike
    const int64_t *offsets      # where input spikes of each sample begin
    double *by_input
    Readings look
    const double *V
    const double *currents
    const double *by_V
    Piece *pieces
    count_t n_pieces
    count_t size                # of a piece, in samples
    count_t n                   # samples
    double *flats               # by piece
    long long next
    int raised
    void *errors


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


cdef class Crew:
    """Threads that go through samples together.

    Parameters
    ----------
    n : int
        How many, the one that calls included.
    """

    cdef Team team
    cdef pid_t process

    def __cinit__(self, int n):
        self.process = getpid()
        owned(<void *> 1 if team_begin(&self.team, n) else NULL)

    def __dealloc__(self):
        # The helpers do not live on in a forked child.
        if self.process == getpid():
            team_end(&self.team)


cdef bint is_interrupted(void *errors) noexcept with gil:
    """Whether a signal's handler has raised something, which is kept."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<list> errors).append(error)
        return True
    return False


cdef double seconds() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <double> t.tv_sec + 1e-9 * <double> t.tv_nsec


cdef bint is_over(double *looked, int member, int *raised, void *errors) noexcept nogil:
    """Whether to end before the next sample; the thread that leads looks for signals now and then."""
    cdef double now
    if member == 0 and not raised[0]:
        now = seconds()
        if looked[0] == 0.0:
            looked[0] = now
        if now - looked[0] > 0.05:
            looked[0] = now
            if is_interrupted(errors):
                raised[0] = 1
    return raised[0]


cdef class Samples:
    """What came out of the samples of a batch.

    Attributes
    ----------
    times, ids : ndarray
        Spikes of neurons, one sample after the other: ms, and global ids.
    offsets : ndarray of shape (n + 1,)
        Where the spikes of each sample begin.
    V : ndarray of shape (n, times, neurons)
        Of the times and neurons that were asked for.
    counts : tuple of int
        Spikes, synaptic events, input events and close calls.
    """

    cdef Left *left
    cdef count_t n
    cdef readonly object times, ids, offsets, V, counts
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
    cdef Course course

    def __dealloc__(self):
        cdef int64_t k
        cdef Beginning *first = self.course.beginnings
        if first != NULL:
            for k in range(self.engine.e.n_populations):
                free(first[k].x)
                free(first[k].base)
                free(first[k].release)
                free(first[k].waiting)
                free(first[k].frames)
        free(first)

    def __init__(self, network, double near):
        cdef int64_t k
        cdef Population *p
        cdef Beginning *first
        cdef Course *c = &self.course
        self.engine = Engine(network, "window")
        self.engine.start_tape(near)
        self.beginning = self.engine.stop_tape()
        c.e, c.q, c.first = &self.engine.e, &self.engine.window, self.beginning.tape
        c.near, c.start = near, self.engine.e.now
        c.beginnings = <Beginning *> zeros(self.engine.e.n_populations, sizeof(Beginning))
        for k in range(self.engine.e.n_populations):
            p = &self.engine.e.populations[k]
            first = &c.beginnings[k]
            first.drift = p.drift
            first.x = <double *> copied(p.x, p.width * <size_t> p.size * sizeof(double))
            first.base = <Pair *> copied(p.base, p.size * sizeof(Pair))
            first.release = <Pair *> copied(p.release, p.size * sizeof(Pair))
            first.waiting = <uint8_t *> copied(p.waiting, p.size // 8 + 1)
            first.frames = <Frame *> copied(p.frames, p.n_frames * sizeof(Frame))
            if p.release != NULL:
                c.n_releases += p.size

    def take_weights(self):
        self.engine.take_weights()


# Forward --------------------------------------------------------------------------------------------------------------

cdef bint begin(const Course *c, const double *times, const int64_t *ids, count_t n) noexcept nogil:
    """Back to the first state, with these input spikes; False if there is no memory."""
    cdef State *e = c.e
    cdef Window *q = c.q
    cdef Train *train = &e.trains[0]
    cdef int64_t k
    cdef Population *p
    cdef const Beginning *first
    for k in range(e.n_populations):
        p = &e.populations[k]
        first = &c.beginnings[k]
        p.epoch = c.start.n
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
    e.now = c.start
    e.last.n, e.last.s = -1, 0.0
    # Stamps of frames are older than any instant that comes.
    e.instant += 1
    e.n_recent = e.fired.size = 0
    train.times, train.ids, train.size, train.at = times, ids, n, 0
    window_clear(q, e.n)
    q.edge, q.nobody, q.empty_scans = c.start, False, 0
    q.timed_key = q.confirmed_key = NAN
    return n == 0 or agenda_push(&e.agenda, train_time(e, train), TRAIN, 0)


cdef bint begin_tape(Course *c, Left *left) noexcept nogil:
    """Keep a tape of the sample; False if there is no memory."""
    cdef State *e = c.e
    cdef const TapeBuffer *first = c.first
    left.tape = tape_create(e.n)
    if left.tape == NULL:
        return False
    left.tape.near, left.tape.records_kicks = c.near, first.records_kicks
    # One piece of memory for what comes, which mostly is about as much as before.
    if not (grow(<void **> &left.tape.entries, &left.tape.capacity, c.usual[0] + c.usual[0] // 8, sizeof(Entry))
            and grow(<void **> &left.tape.values, &left.tape.values_capacity, c.usual[1] + c.usual[1] // 8,
                     sizeof(double))
            and grow(<void **> &left.tape.currents, &left.tape.currents_capacity, c.usual[2] + c.usual[2] // 8,
                     sizeof(double))):
        return False
    if first.at_release != NULL:
        left.tape.at_release = <double *> allocate(e.n, sizeof(double))
        if left.tape.at_release == NULL:
            return False
        memcpy(left.tape.at_release, first.at_release, e.n * sizeof(double))
    e.tape = left.tape
    return True


cdef bint end_tape(Course *c, Left *left) noexcept nogil:
    """The sample is over; False if there is no memory."""
    cdef State *e = c.e
    cdef int64_t k
    cdef count_t n = 0
    cdef const Population *p
    e.tape = NULL
    left.last = e.last
    c.usual[0], c.usual[1], c.usual[2] = left.tape.size, left.tape.n_values, left.tape.n_currents
    if c.n_releases:
        left.releases = <Pair *> allocate(c.n_releases, sizeof(Pair))
        if left.releases == NULL:
            return False
        for k in range(e.n_populations):
            p = &e.populations[k]
            if p.release != NULL:
                memcpy(left.releases + n, p.release, p.size * sizeof(Pair))
                n += p.size
    return True


cdef Status run_sample(Course *c, const Forward *all, count_t number) noexcept nogil:
    """One sample, to its end."""
    cdef State *e = c.e
    cdef Left *left = all.left + number if all.left != NULL else NULL
    cdef const Readings *look = &all.look
    cdef double *V = all.V + number * look.n * look.n_ids
    cdef double *currents = all.currents + number * look.n * look.n_ids
    cdef count_t k, j, first = all.offsets[number]
    cdef Pair stop
    cdef Status status = RUNNING
    if not begin(c, all.times + first, all.ids + first, all.offsets[number + 1] - first):
        return NO_MEMORY
    if left != NULL and not begin_tape(c, left):
        return NO_MEMORY
    for k in range(look.n + 1):
        stop = all.until
        if k < look.n:
            stop.n, stop.s = look.epochs[k], look.s[k]
        status = take_instants_in_window(e, c.q, stop, (<count_t> 1) << 62, (<count_t> 1) << 61)
        if status > QUIESCENT:
            break
        for j in range(look.n_ids if k < look.n else 0):
            V[k * look.n_ids + j] = voltage_of(e, <neuron_t> look.ids[j])
            currents[k * look.n_ids + j] = current_sum(e, <neuron_t> look.ids[j])
    if left != NULL and not end_tape(c, left):
        return NO_MEMORY
    return status


cdef void run_samples(void *shared, int member) noexcept nogil:
    """What one thread does of a batch: the samples that it comes to."""
    cdef Forward *all = <Forward *> shared
    cdef Course *c
    cdef count_t k
    cdef double looked = 0.0
    if member >= all.n_members:
        return
    c = all.members[member]
    while not is_over(&looked, member, &all.raised, all.errors):
        k = take_next(&all.next, 1)
        if k >= all.n:
            return
        all.last[member] = k
        all.parts[k].member = member
        all.parts[k].begin = c.e.spike_ids.size
        all.status[member] = run_sample(c, all, k)
        c.e.tape = NULL
        all.parts[k].end = c.e.spike_ids.size
        if all.status[member] > QUIESCENT:
            all.raised = 1


cdef class Given:
    """Input spikes of a batch and when to look at V: arrays that C loops point into.

    Parameters
    ----------
    times, ids : ndarray
        Input spikes of all samples of the batch, in the order of time and id within each.
    offsets : ndarray of shape (samples + 1,)
        Where those of each sample begin.
    epochs, s, V_ids : ndarray
        When to look at V, and of which neurons.
    """

    cdef const double[::1] times, s
    cdef const int64_t[::1] ids, offsets, epochs, V_ids
    cdef Readings look

    def __init__(self, times, ids, offsets, epochs, s, V_ids):
        self.times, self.ids, self.offsets, self.epochs, self.s, self.V_ids = times, ids, offsets, epochs, s, V_ids
        self.look.n, self.look.n_ids = self.epochs.shape[0], self.V_ids.shape[0]
        if self.look.n:
            self.look.epochs, self.look.s = &self.epochs[0], &self.s[0]
        if self.look.n_ids:
            self.look.ids = &self.V_ids[0]


def run(Crew crew, list runners, Given given, until, bint keep):
    """All samples of a batch.

    Parameters
    ----------
    crew : Crew or None
        None: this thread alone.
    runners : list of Runner
        One for each thread that is to take part. After an exception they are of no use any more.
    given : Given
    until : tuple
        The pair at which samples end.
    keep : bool
        Whether to keep tapes.

    Returns
    -------
    Samples

    Raises
    ------
    SampleFault
        Of the first sample that failed.
    """
    cdef Samples samples = Samples()
    cdef Forward all
    cdef Runner runner
    cdef count_t n = given.offsets.shape[0] - 1
    cdef count_t counts[4]
    cdef int member, n_members = len(runners)
    cdef list errors = []
    memset(&all, 0, sizeof(Forward))
    memset(counts, 0, sizeof(counts))
    samples.n = n
    samples.V = np.empty((n, given.look.n, given.look.n_ids))
    samples.currents = np.empty((n, given.look.n, given.look.n_ids))
    if keep:
        samples.left = <Left *> zeros(n, sizeof(Left))
    all.times = &given.times[0] if given.times.shape[0] else NULL
    all.ids = &given.ids[0] if given.times.shape[0] else NULL
    all.offsets, all.look, all.left, all.n = &given.offsets[0], given.look, samples.left, n
    all.V, all.currents = pointer(samples.V), pointer(samples.currents)
    all.until.n, all.until.s = until
    all.n_members, all.errors = n_members, <void *> errors
    try:
        all.members = <Course **> zeros(n_members, sizeof(Course *))
        all.status = <Status *> zeros(n_members, sizeof(Status))
        all.last = <count_t *> zeros(n_members, sizeof(count_t))
        all.parts = <Part *> zeros(n, sizeof(Part))
        for member in range(n_members):
            runner = runners[member]
            all.members[member] = &runner.course
            runner.course.e.spike_ids.size = 0
            runner.course.e.tape = NULL
            add_counts(counts, runner.course.e, -1)
        with nogil:
            if crew is None:
                run_samples(&all, 0)
            else:
                team_do(&crew.team, run_samples, &all)
        if errors:
            raise errors[0]
        if all.raised:
            raise first_fault(&all, runners)
        for member in range(n_members):
            add_counts(counts, all.members[member].e, 1)
        samples.counts = (counts[0], counts[1], counts[2], counts[3])
        put_together(samples, &all)
    finally:
        free(all.members)
        free(all.status)
        free(all.last)
        free(all.parts)
    return samples


cdef double *pointer(array) except? NULL:
    """Where a contiguous array of doubles begins; NULL of an empty one."""
    cdef const double[::1] flat
    if array is None or array.size == 0:
        return NULL
    flat = array.reshape(-1)
    return <double *> &flat[0]


cdef void add_counts(count_t *counts, const State *e, count_t sign) noexcept nogil:
    counts[0] += sign * e.n_spikes
    counts[1] += sign * e.n_synaptic_events
    counts[2] += sign * e.n_input_events
    counts[3] += sign * e.n_close_calls


cdef first_fault(const Forward *all, list runners):
    """The error of the first sample that failed."""
    cdef int member, who = -1
    cdef Runner runner
    for member in range(all.n_members):
        if all.status[member] > QUIESCENT and (who < 0 or all.last[member] < all.last[who]):
            who = member
    runner = runners[who]
    try:
        runner.engine._fault(all.status[who])
    except EngineFault as fault:
        return SampleFault(all.last[who], fault)
    except Exception as error:
        return error


cdef put_together(Samples samples, const Forward *all):
    """The spikes that threads have recorded, sample by sample."""
    cdef count_t k, j, size, at = 0
    cdef const Part *part
    cdef const State *e
    cdef int64_t[::1] offsets = np.zeros(all.n + 1, np.int64), ids
    cdef double[::1] times
    for k in range(all.n):
        offsets[k + 1] = offsets[k] + (all.parts[k].end - all.parts[k].begin)
    times, ids = np.empty(offsets[all.n]), np.empty(offsets[all.n], np.int64)
    for k in range(all.n):
        part = &all.parts[k]
        e = all.members[part.member].e
        size = part.end - part.begin
        for j in range(size):
            times[at + j] = e.spike_times[part.begin + j]
            ids[at + j] = e.spike_ids.items[part.begin + j]
        at += size
    samples.times, samples.ids, samples.offsets = times.base, ids.base, offsets.base


# Backward -------------------------------------------------------------------------------------------------------------

cdef class BackwardRunner:
    """The pass back through samples that a Runner of the same network has left.

    Parameters
    ----------
    adjoint : Adjoint
        Which the derivatives are added up in.
    beginning : TapePart
        That of the Runner.
    flat : ndarray
        Of which all arrays that are added to are parts. The last of it are the sums by weight and by delay, one for
        each projection.
    by_start : ndarray of shape (neurons,)
        That of dL/dV at the beginning.
    by_current : list
        By population the same for its synaptic currents, of shape (size, ports), or None.
    """

    cdef readonly Adjoint adjoint
    cdef TapePart beginning
    cdef Return way
    cdef list kept              # what it points into

    def __dealloc__(self):
        free(self.way.by_time)
        free(self.way.by_V_start)
        free(self.way.by_currents)
        free(self.way.at_start)
        free(self.way.by_current)

    def __init__(self, Adjoint adjoint, TapePart beginning, flat, by_start, list by_current):
        cdef Return *r = &self.way
        cdef State *e = adjoint.b.e
        cdef int64_t k
        self.adjoint, self.beginning, self.kept = adjoint, beginning, [flat, by_start, by_current]
        r.b, r.start, r.V_start = &adjoint.b, beginning.start, pointer(beginning.V)
        r.by_V_start = <double *> zeros(e.n, sizeof(double))
        r.by_currents = <double *> zeros(e.n_ports * e.n, sizeof(double))
        r.at_start = <const double **> zeros(e.n_populations, sizeof(double *))
        r.by_current = <double **> zeros(e.n_populations, sizeof(double *))
        for k in range(e.n_populations):
            r.at_start[k], r.by_current[k] = pointer(beginning.currents[k]), pointer(by_current[k])
        r.by_start, r.flat, r.size = pointer(by_start), pointer(flat), flat.size
        r.n_projections = len(adjoint.loaded.network.projections)

    def take_weights(self):
        self.adjoint.loaded.take_weights()


cdef bint load(Return *r, Left *left, const double *by_spike) noexcept nogil:
    """Take up the tape of a sample, whose spikes have these derivatives; False if there is no memory."""
    cdef Pass *b = r.b
    cdef State *e = b.e
    cdef TapeBuffer *tape = left.tape
    cdef Population *p
    cdef Pair before_all
    cdef int64_t k
    cdef neuron_t i
    cdef count_t n = 0, spike = 0
    if not grow(<void **> &r.by_time, &r.capacity, tape.size + 1, sizeof(double)):
        return False
    for k in range(tape.size):
        r.by_time[k] = 0.0
        if tape.entries[k].kind == SPIKE:
            r.by_time[k] = by_spike[spike]
            spike += 1
    b.by_time = r.by_time
    for k in range(e.n_populations):
        if b.y[k] != NULL:
            memset(b.y[k], 0, b.widths[k] * <size_t> e.populations[k].size * sizeof(double))
    before_all.n, before_all.s = -1, 0.0
    begin_back(b, tape, before_all, left.last, r.start)
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


cdef Status read_back(Return *r, const Backward *all, count_t number) noexcept nogil:
    """All instants of a sample, and the readings of V between them."""
    cdef Pass *b = r.b
    cdef const Readings *look = &all.look
    cdef count_t first = number * look.n * look.n_ids, at
    cdef Pair stop
    cdef int64_t i, j
    for j in range(look.n - 1, -1, -1):
        stop.n, stop.s = look.epochs[j], look.s[j]
        if instants_back(b, stop, (<count_t> 1) << 61) == NO_MEMORY:
            return NO_MEMORY
        go_back(b, stop)
        for i in range(look.n_ids):
            at = first + j * look.n_ids + i
            if all.by_V[at] != 0.0:
                read_in(b, <neuron_t> look.ids[i], all.V[at], all.currents[at], all.by_V[at])
    stop.n, stop.s = -1, 0.0
    return instants_back(b, stop, (<count_t> 1) << 61)


cdef bint leave_start(Return *r) noexcept nogil:
    """The initial state, at which a sample begins; False if there is no memory."""
    cdef Pass *b = r.b
    cdef State *e = b.e
    cdef Population *p
    cdef int64_t i, j
    go_back(b, r.start)
    for i in range(e.n_populations):
        p = &e.populations[i]
        if p.ops == NULL or p.size == 0:
            continue
        if not back_of(p).leave(b, p, r.V_start + p.first, True, r.at_start[i], r.by_V_start + p.first,
                                r.by_currents):
            return False
        for j in range(p.first, p.first + p.size):
            if not isinf(r.V_start[j]):
                r.by_start[j] += r.by_V_start[j]
        if r.by_current[i] != NULL:
            for j in range(p.size * p.ops.ports(p)):
                r.by_current[i][j] += r.by_currents[j]
    return True


cdef double rest_of(Return *r, const Backward *all, count_t number) noexcept nogil:
    """dL/d(time) of input spikes; the relative error of the sum that is zero because nothing changes if everything
    happens later."""
    cdef Pass *b = r.b
    cdef count_t k, given = all.offsets[number]
    cdef double explicit = 0.0, rest = 0.0, size = 0.0
    for k in range(all.spikes[number], all.spikes[number + 1]):
        explicit += all.by_spike[k]
    for k in range(b.tape.size):
        size += fabs(r.by_time[k])
        if b.tape.entries[k].kind == EMITTED:
            all.by_input[given] = r.by_time[k]
            rest += r.by_time[k]
            given += 1
    size += b.shift_size
    return fabs(b.shift + rest - explicit) / size if size > 0.0 and not b.has_overflowed else 0.0


cdef Status sample_back(Return *r, const Backward *all, count_t number, Piece *piece) noexcept nogil:
    """One sample, whose tape is used up."""
    cdef Pass *b = r.b
    b.sample = number
    b.shift = b.shift_size = 0.0
    b.has_overflowed = False
    if not load(r, &all.left[number], all.by_spike + all.spikes[number]):
        return NO_MEMORY
    if read_back(r, all, number) == NO_MEMORY:
        return NO_MEMORY
    if not is_used_up(b):
        piece.fits = False
        return RUNNING
    if not leave_start(r):
        return NO_MEMORY
    piece.error = max(piece.error, rest_of(r, all, number))
    tape_free(all.left[number].tape)
    all.left[number].tape = NULL
    return RUNNING


cdef void begin_piece(Return *r) noexcept nogil:
    """No sums, and nothing found."""
    cdef Pass *b = r.b
    memset(r.flat, 0, r.size * sizeof(double))
    b.n_findings = b.n_ties = 0
    memset(b.weight_sums, 0, (r.n_projections + 1) * sizeof(double))
    memset(b.delay_sums, 0, (r.n_projections + 1) * sizeof(double))


cdef bint end_piece(Return *r, Piece *piece, double *flat) noexcept nogil:
    """Put sums, and what was found, where the batch has them; False if there is no memory."""
    cdef Pass *b = r.b
    cdef int64_t k, n = r.n_projections
    for k in range(n):
        r.flat[r.size - 2 * n + b.e.projections[k].rank] = b.weight_sums[k]
        r.flat[r.size - n + b.e.projections[k].rank] = b.delay_sums[k]
    memcpy(flat, r.flat, r.size * sizeof(double))
    piece.n_findings, piece.n_ties = b.n_findings, b.n_ties
    piece.n_kept = min(b.n_findings, min(b.findings_capacity, <count_t> MOST_FINDINGS))
    if piece.n_kept:
        piece.findings = <Finding *> allocate(piece.n_kept, sizeof(Finding))
        if piece.findings == NULL:
            return False
        memcpy(piece.findings, b.findings, piece.n_kept * sizeof(Finding))
    return True


cdef void go_back_through(void *shared, int member) noexcept nogil:
    """What one thread does of a batch: the pieces that it comes to."""
    cdef Backward *all = <Backward *> shared
    cdef Return *r
    cdef Piece *piece
    cdef count_t k, number
    cdef double looked = 0.0
    if member >= all.n_members:
        return
    r = all.members[member]
    while True:
        k = take_next(&all.next, 1)
        if k >= all.n_pieces:
            return
        piece = &all.pieces[k]
        piece.fits = True
        begin_piece(r)
        for number in range(k * all.size, min((k + 1) * all.size, all.n)):
            if is_over(&looked, member, &all.raised, all.errors):
                return
            piece.status = sample_back(r, all, number, piece)
            if piece.status == NO_MEMORY or not piece.fits:
                all.raised = 1
                return
        if not end_piece(r, piece, all.flats + k * r.size):
            piece.status = NO_MEMORY
            all.raised = 1


def run_back(Crew crew, list runners, Samples samples, Given given, count_t size, const double[::1] by_spike,
             const double[:, :, ::1] by_V):
    """Use up the tapes of a batch.

    Parameters
    ----------
    crew : Crew or None
        None: this thread alone.
    runners : list of BackwardRunner
        One for each thread that is to take part. After an exception they are of no use any more.
    samples : Samples
    given : Given
        With which these were run.
    size : int
        Samples of a piece; sums are added up within pieces first, so that they do not depend on threads.
    by_spike : ndarray
        dL/d(time) of the spikes.
    by_V : ndarray of the shape of samples.V

    Returns
    -------
    sums : ndarray
        Of the size of the runners' `flat`.
    by_input : ndarray
        dL/d(time) of all input spikes of the batch.
    findings : list of tuple
        (sample, kind, neuron, source or -1, ms) of what has no gradient.
    n_findings, n_ties : int
    error : float
        The largest relative error, of all samples, of the sum that is zero because nothing changes if everything
        happens later.
    """
    cdef Backward all
    cdef BackwardRunner runner
    cdef const int64_t[::1] spikes = samples.offsets
    cdef double[::1] by_input = np.zeros(given.times.shape[0])
    cdef double[:, ::1] flats
    cdef double[::1] total
    cdef count_t k, j, n_findings = 0, n_ties = 0
    cdef double error = 0.0
    cdef const Finding *found
    cdef int member, n_members = len(runners)
    cdef list errors = [], findings = []
    memset(&all, 0, sizeof(Backward))
    all.n, all.size, all.n_pieces = samples.n, size, (samples.n + size - 1) // size
    runner = runners[0]
    flats = np.empty((all.n_pieces, runner.way.size))
    total = np.zeros(runner.way.size)
    all.left, all.spikes, all.offsets, all.look = samples.left, &spikes[0], &given.offsets[0], given.look
    all.by_spike = &by_spike[0] if by_spike.shape[0] else NULL
    all.by_input = &by_input[0] if by_input.shape[0] else NULL
    all.V, all.currents = pointer(samples.V), pointer(samples.currents)
    all.by_V = &by_V[0, 0, 0] if all.V != NULL else NULL
    all.flats = &flats[0, 0] if all.n_pieces and runner.way.size else NULL
    all.n_members, all.errors = n_members, <void *> errors
    try:
        all.members = <Return **> zeros(n_members, sizeof(Return *))
        all.pieces = <Piece *> zeros(all.n_pieces, sizeof(Piece))
        for member in range(n_members):
            runner = runners[member]
            all.members[member] = &runner.way
        with nogil:
            if crew is None:
                go_back_through(&all, 0)
            else:
                team_do(&crew.team, go_back_through, &all)
        if errors:
            raise errors[0]
        for k in range(all.n_pieces):
            if all.pieces[k].status == NO_MEMORY:
                raise InsufficientMemoryError("the backward pass ran out of memory")
        if all.raised:
            raise AssertionError("the backward pass does not fit to the forward pass; please report this as a bug")
        # In the order of the pieces, so that rounding does not depend on threads.
        for k in range(all.n_pieces):
            for j in range(total.shape[0]):
                total[j] = flats[k, j] if k == 0 else total[j] + flats[k, j]
            n_findings += all.pieces[k].n_findings
            n_ties += all.pieces[k].n_ties
            error = max(error, all.pieces[k].error)
            for j in range(all.pieces[k].n_kept):
                found = &all.pieces[k].findings[j]
                findings.append((int(found.sample), int(found.kind), int(found.neuron), int(found.other),
                                 float(found.time)))
    finally:
        free(all.members)
        for k in range(all.n_pieces if all.pieces != NULL else 0):
            free(all.pieces[k].findings)
        free(all.pieces)
    return total.base, by_input.base, findings, int(n_findings), int(n_ties), float(error)
