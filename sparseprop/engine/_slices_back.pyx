"""The pass back by slices of time, on all cores: for networks in which all synapses between neurons have a delay.

engine/_lookback.pxd says how.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sparseprop.engine._backward cimport Adjoint, go_back
from sparseprop.engine._loaded cimport largest_rows, own_frames, owned, row_cuts, zeros
from sparseprop.engine._lookback cimport BlockBack, BucketBack, Slices, ThreadBack, find_latest, slice_back
from sparseprop.engine._pass cimport Pass
from sparseprop.engine._state cimport NO_MEMORY, RUNNING, TIME, Population, Projection, State, Status, reserve
from sparseprop.engine._team cimport team_begin, team_end
from sparseprop.numerics._frames cimport Frame, Pair, before
from sparseprop.numerics._memory cimport allocate, allocate_large, grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t

from .._machine import cores
from ..errors import InsufficientMemoryError
from .input import goes_by_slices, shortest_delay

cdef enum:
    # Blocks of a population, if it is large.
    MOST_BLOCKS = 64
    LEAST_BLOCKS = 4
    # Neurons of a block at least.
    FEWEST = 1024
    # Synapses of a row that a block is to get on average.
    PART = 12
    # With fewer of them rows are put down synapse by synapse.
    DENSE = 2
    # Synapses and entries of a slice that are worth waking other threads for.
    FEW = 8192


cdef Status slices_back(Slices *S, Pair until, count_t budget) noexcept nogil:
    """All instants at or after `until`, for about `budget` events."""
    cdef Pass *b = S.b
    cdef Pair now
    cdef Status status
    cdef count_t stop = b.n_events + budget
    while True:
        if not find_latest(S, &now):
            return NO_MEMORY
        if now.n < 0 or before(now, until):
            return TIME
        if b.n_events >= stop:
            return RUNNING
        go_back(b, now)
        status = slice_back(S, now, until)
        if status != RUNNING:
            return status


cdef class AdjointBySlices(Adjoint):
    """:class:`Adjoint` for networks whose synapses between neurons all have a delay; the same bits on any threads.

    Parameters
    ----------
    n_threads : int, optional
        Default: the cores that the process may use.
    block : int, optional
        Neurons that go back together, for tests: sums are added block by block. Default: so many that blocks get parts
        of rows that are worth while.
    longest : float, optional
        ms, of a slice at most.
    few : int
        Slices with fewer synapses and entries of the tape are gone through by one thread.
    """

    cdef Slices S
    cdef readonly int n_threads

    def __cinit__(self, *_, **__):
        memset(&self.S, 0, sizeof(Slices))
        self.S.b = &self.b

    def __dealloc__(self):
        cdef Slices *S = &self.S
        cdef int64_t j, k
        cdef State *e = self.b.e
        for j in range(S.n_made):
            self._free_thread(&S.threads[j])
        free(S.threads)
        for k in range(S.n_blocks if S.blocks != NULL else 0):
            free(S.blocks[k].marks)
            free(S.blocks[k].by_open)
        free(S.blocks)
        free(S.first_block)
        free(S.block_size)
        for k in range(S.n_cuts):
            free(S.cuts[k])
        free(S.cuts)
        for k in range(e.n_processes if S.by_process != NULL else 0):
            free(S.by_process[k])
        free(S.by_process)
        free(S.shift)
        free(S.shift_size)
        free(S.open)
        free(S.active)
        free(S.unused)
        free(S.waiting)
        free(S.next_waiting)
        free(S.end_waiting)
        free(S.ways)
        free(S.pulled)
        free(S.by_way)
        free(S.due)

    cdef _free_thread(self, ThreadBack *t):
        cdef int64_t k
        for k in range(self.b.e.n_populations if t.frames != NULL else 0):
            free(t.frames[k])
        for k in range(self.S.n_blocks if t.buckets != NULL else 0):
            free(t.buckets[k].kicks)
        free(t.frames)
        free(t.buckets)
        free(t.e.populations)
        free(t.drawn.items)
        free(t.table)
        free(t.is_waiting)
        free(t.is_near)
        free(t.is_close)
        free(t.b.driven.items)
        free(t.b.findings)
        free(t.found)
        free(t.part.seen)
        free(t.part.origin)
        free(t.part.cause)
        free(t.part.sum)
        free(t.part.of_weight)
        free(t.part.of_time)
        free(t.part.together)
        free(t.rows)
        free(t.kicks)
        free(t.scratch)
        free(t.bins)

    def __init__(self, network, start, sums, by_weight, by_delay, by_drive, bint wide, double near, n_threads=None,
                 block=None, longest=None, int64_t few=FEW):
        if not goes_by_slices(network):
            raise ValueError("a delay between neurons is too short for slices of time")
        super().__init__(network, start, sums, by_weight, by_delay, by_drive, wide, near)
        # Shorter than the smallest delay by more than rounding.
        self.S.longest = min(0.999 * shortest_delay(network), self.b.e.H, INFINITY if longest is None else longest)
        self.n_threads = cores() if n_threads is None else n_threads
        self.S.few = few
        self._place_blocks(network, block)
        self._cut_rows(network)
        self._make_sums(network)
        self._make_threads(network)

    cdef _place_blocks(self, network, block):
        """So many that the states of each stay in a cache, as long as each gets a few synapses of a row."""
        cdef Slices *S = &self.S
        cdef State *e = self.b.e
        cdef Population *p
        cdef BlockBack *b
        cdef int64_t k, at
        S.first_block = <int64_t *> zeros(e.n_populations + 1, sizeof(int64_t))
        S.block_size = <neuron_t *> zeros(e.n_populations, sizeof(neuron_t))
        total = 0
        for k in range(e.n_populations):
            p = &e.populations[k]
            S.block_size[k] = p.size
            if p.ops != NULL:
                S.block_size[k] = _block_size(network, k) if block is None else block
                total += (p.size - 1) // S.block_size[k] + 1
        S.blocks = <BlockBack *> zeros(total, sizeof(BlockBack))
        for k in range(e.n_populations):
            p = &e.populations[k]
            S.first_block[k] = S.n_blocks
            at = 0
            while p.ops != NULL and at < p.size:
                b = &S.blocks[S.n_blocks]
                S.n_blocks += 1
                b.population, b.first = k, <neuron_t> at
                b.size = <neuron_t> min(<int64_t> S.block_size[k], p.size - at)
                at += b.size
            S.most_blocks = max(S.most_blocks, S.n_blocks - S.first_block[k])
        S.first_block[e.n_populations] = S.n_blocks

    cdef _cut_rows(self, network):
        """Where blocks begin in rows of which they get enough."""
        cdef Slices *S = &self.S
        cdef State *e = self.b.e
        cdef const Projection *c
        cdef int64_t k, n, n_pre
        S.cuts = <uint32_t **> zeros(len(network.projections), sizeof(uint32_t *))
        S.n_cuts = len(network.projections)
        S.next_waiting = <count_t *> zeros(S.n_cuts, sizeof(count_t))
        S.end_waiting = <count_t *> zeros(S.n_cuts, sizeof(count_t))
        for k in range(S.n_cuts):
            c = &e.projections[k]
            n_pre = network.populations[network.projections[c.rank].pre].size
            n = S.first_block[c.post + 1] - S.first_block[c.post]
            if not c.procedural and c.delays == NULL and c.offsets[n_pre] >= DENSE * n * n_pre:
                S.cuts[k] = self._cut(c, n_pre)

    cdef uint32_t *_cut(self, const Projection *c, int64_t n_pre) except? NULL:
        """By source and block, the place in the row; NULL if targets do not ascend within rows."""
        cdef Slices *S = &self.S
        cdef int64_t n = S.first_block[c.post + 1] - S.first_block[c.post], i
        cdef uint32_t *cuts
        if n > 1:
            return row_cuts(c, n_pre, n, S.block_size[c.post])
        # One block has all of a row, in any order.
        cuts = <uint32_t *> owned(allocate(n_pre * 2, sizeof(uint32_t)))
        for i in range(n_pre):
            cuts[2 * i], cuts[2 * i + 1] = 0, <uint32_t> (c.offsets[i + 1] - c.offsets[i])
        return cuts

    cdef _make_sums(self, network):
        """Sums that are kept by target."""
        cdef Slices *S = &self.S
        cdef State *e = self.b.e
        cdef int64_t k
        S.by_process = <double **> zeros(e.n_processes, sizeof(double *))
        for k in range(e.n_processes):
            S.by_process[k] = _cleared(e.populations[e.processes[k].population].size)
        S.shift, S.shift_size = _cleared(e.n), _cleared(e.n)

    cdef _make_threads(self, network):
        """What each thread has for itself."""
        cdef Slices *S = &self.S
        cdef State *e = self.b.e
        cdef ThreadBack *t
        cdef int64_t j, k, degree, table, largest = 1
        largest_rows(e, S.n_cuts, &degree, &table)
        for k in range(S.n_blocks):
            largest = max(largest, <int64_t> S.blocks[k].size)
        S.n_threads = max(1, min(self.n_threads, S.n_blocks))
        S.threads = <ThreadBack *> zeros(S.n_threads, sizeof(ThreadBack))
        for j in range(S.n_threads):
            t = &S.threads[j]
            S.n_made += 1
            t.frames = <Frame **> zeros(e.n_populations, sizeof(Frame *))
            t.buckets = <BucketBack *> zeros(S.n_blocks, sizeof(BucketBack))
            t.e.populations = <Population *> zeros(e.n_populations, sizeof(Population))
            t.is_waiting = <uint8_t *> zeros(e.n // 8 + 1, 1)
            t.is_near = <uint8_t *> zeros(e.n // 8 + 1, 1)
            t.is_close = <uint8_t *> zeros(e.n // 8 + 1, 1)
            t.table = <uint32_t *> owned(allocate(table, sizeof(uint32_t)))
            memset(t.table, 0xFF, table * sizeof(uint32_t))
            if not reserve(&t.drawn, degree + 1):
                owned(NULL)
            t.part.seen = <int64_t *> zeros(largest, sizeof(int64_t))
            t.part.origin = <count_t *> zeros(largest, sizeof(count_t))
            t.part.cause = <count_t *> zeros(largest, sizeof(count_t))
            t.part.sum = <double *> zeros(largest, sizeof(double))
            t.part.of_weight = <double *> zeros(largest, sizeof(double))
            t.part.of_time = <double *> zeros(largest, sizeof(double))
        S.stale = True

    cdef _copy_frames(self):
        """Give each thread frames of its own, and everything else as it is."""
        cdef Slices *S = &self.S
        cdef State *e = self.b.e
        cdef ThreadBack *t
        cdef Pass old
        cdef Population *populations
        cdef int64_t j, instant
        for j in range(S.n_threads):
            t = &S.threads[j]
            old, populations, instant = t.b, t.e.populations, t.e.instant
            t.e = e[0]
            t.e.populations, t.e.instant, t.e.drawn, t.e.table = populations, instant, t.drawn, t.table
            memcpy(populations, e.populations, e.n_populations * sizeof(Population))
            t.b = self.b
            t.b.e, t.b.tape = &t.e, &t.tape
            t.b.is_waiting, t.b.is_near, t.b.is_close = t.is_waiting, t.is_near, t.is_close
            t.b.driven = old.driven
            t.b.driven.size = 0
            t.b.findings, t.b.findings_capacity, t.b.n_findings = old.findings, old.findings_capacity, 0
            t.b.shift = t.b.shift_size = 0.0
            own_frames(e, populations, t.frames)
        S.stale = False

    cdef _begin_streams(self):
        cdef Slices *S = &self.S
        cdef Pass *b = &self.b
        cdef int64_t k
        b.agenda.size = 0
        for k in range(b.e.n_lanes):
            b.lanes[k].at = b.at
        for k in range(S.n_cuts):
            b.openings[k].at = b.at
        self._let_wait()
        S.stale = True

    cdef _let_wait(self):
        """Rows that reached synapses in this part, too, wait for their spike; others are of no more use."""
        cdef Slices *S = &self.S
        cdef count_t k, n = 0
        cdef int64_t projection
        if not grow(<void **> &S.waiting, &S.waiting_capacity, S.n_active, sizeof(int64_t)) \
                or not grow(<void **> &S.unused, &S.unused_capacity, S.n_unused + S.n_active, sizeof(int64_t)):
            owned(NULL)
        for k in range(S.n_active):
            if not S.open[S.active[k]].waits:
                S.unused[S.n_unused] = S.active[k]
                S.n_unused += 1
        # Each projection opens its rows in the order of their spikes, the latest first.
        for projection in range(S.n_cuts):
            S.next_waiting[projection] = n
            for k in range(S.n_active):
                if S.open[S.active[k]].waits and S.open[S.active[k]].projection == projection:
                    S.waiting[n] = S.active[k]
                    n += 1
            S.end_waiting[projection] = n
        S.n_active = 0

    cdef _set_parameters(self, int64_t k, int64_t n_changes):
        Adjoint._set_parameters(self, k, n_changes)
        self.S.stale = True

    def run(self, until, count_t budget):
        """See :meth:`Adjoint.run`."""
        cdef Slices *S = &self.S
        cdef Pair end
        cdef Status status
        end.n, end.s = until
        if S.stale:
            self._copy_frames()
        with nogil:
            if not team_begin(&S.team, S.n_threads):
                status = NO_MEMORY
            else:
                status = slices_back(S, end, budget)
                team_end(&S.team)
        if status == NO_MEMORY:
            raise InsufficientMemoryError("the backward pass ran out of memory")
        return status != RUNNING

    def add_up(self):
        """See :meth:`Adjoint.add_up`."""
        cdef Slices *S = &self.S
        cdef Pass *b = &self.b
        cdef State *e = b.e
        cdef int64_t k
        for k in range(e.n_processes):
            b.drive_sums[k] += _taken_up(S.by_process[k], e.populations[e.processes[k].population].size)
        b.shift += _taken_up(S.shift, e.n)
        b.shift_size += _taken_up(S.shift_size, e.n)

    def is_used_up(self):
        """See :meth:`Adjoint.is_used_up`."""
        cdef Pair latest
        if not find_latest(&self.S, &latest):
            owned(NULL)
        return latest.n < 0 and self._is_popped()


cdef double *_cleared(int64_t n) except NULL:
    cdef double *sums = <double *> owned(allocate_large(n, sizeof(double)))
    memset(sums, 0, n * sizeof(double))
    return sums


cdef double _taken_up(double *sums, int64_t n) noexcept:
    """The sum of all, which are 0 then."""
    cdef int64_t k
    cdef double total = 0.0
    for k in range(n):
        total += sums[k]
        sums[k] = 0.0
    return total


def _block_size(network, number):
    """Of a population, by the network alone: sums go block by block."""
    size = network.populations[number].size
    n, rows = 0, 0
    for projection in network.projections:
        if projection.post == number and isinstance(projection.delay, float):
            n += projection.adjacency.n_synapses
            rows += network.populations[projection.pre].size
    blocks = MOST_BLOCKS
    # A part of a row takes a while beside its synapses.
    if n >= DENSE * LEAST_BLOCKS * rows and n:
        blocks = min(max(n // (PART * rows), LEAST_BLOCKS), MOST_BLOCKS)
    blocks = max(min(blocks, size // FEWEST), 1)
    return (size - 1) // blocks + 1
