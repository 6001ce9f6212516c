"""The lookahead engine: what a neuron does in a slice no longer than the smallest delay depends on earlier spikes only.

So every neuron goes through a slice on its own, without a queue, block by block, on all cores. First all rows of
synapses along which something arrives in the slice are gone through, and each weight is put down for the block of its
target; then each block sorts what it got, and its neurons advance (engine/_population_lookahead.pxi); then the spikes
of the slice are put into order and on their way. Slices end with epochs, so that frames and states are of one epoch
throughout, and at changes of parameters.
"""

from libc.math cimport INFINITY, fabs, floor, nextafter
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, qsort
from libc.string cimport memcpy, memset

import functools

import numpy as np

from sparseprop._core cimport Engine
from sparseprop.connectivity._poisson cimport drawing_free
from sparseprop.engine._blocks cimport go_back, take_blocks, take_ways
from sparseprop.engine._flights cimport is_to_come
from sparseprop.engine._instant cimport note_recent, record
from sparseprop.engine._loaded cimport largest_of, largest_rows, own_frames, owned, row_cuts, zeros
from sparseprop.engine._look cimport Block, Bucket, Flights, Flying, Look, Place, Saved, Thread, Totals
from sparseprop.engine._pull cimport cut_rows, is_flying, land, leave_out, open_spans, put_weights
from sparseprop.engine._queueing cimport anyone_fires, enter_present, kicks_so_far
from sparseprop.engine._slice cimport Recent, Route, Spike, Sum, note_fault
from sparseprop.engine._slice_tape cimport gather_values, note_slice
from sparseprop.engine._state cimport (
    FAILED, N_SOLVED, NO_MEMORY, RUNNING, SPIKES, TIME, Cursor, Lane, Population, Process, Projection, Solved, State,
    Status, nowhere, reserve,
)
from sparseprop.engine._swap cimport all_are, earliest, swap_spikes
from sparseprop.engine._tape cimport TapeBuffer, tape_free
from sparseprop.engine._team cimport team_begin, team_do, team_end
from sparseprop.engine._ways cimport (
    compare_spikes, find_rows, first_event, just_after, nothing_comes, pass_by, send_off, take_sources, trim,
)
from sparseprop.numerics._frames cimport MAX_EPOCH, Frame, Pair, before, interval, never, plus
from sparseprop.numerics._lanes cimport NARROW, WIDE
from sparseprop.numerics._memory cimport allocate, allocate_large, grow
from sparseprop.numerics._typedefs cimport MAX_PORTS, count_t, neuron_t, synapse_t

from .._machine import cores, share_out
from ..connectivity._wiring import row_blocks, rows_of, sort_rows
from . import blocks
from ._loaded import largest_size
from .input import shortest_delay, shortest_slice


cdef enum:
    # Kicks of a block, above which slices become shorter; at least so many, and so many for each neuron.
    MANY = 131072
    MANY_EACH = 16


# Slices -------------------------------------------------------------------------------------------------------------

cdef bint save(Look *L) noexcept nogil:
    """Where everything but states and drives is now; False if there is no memory."""
    cdef Saved *old = &L.saved
    cdef const State *e = L.e
    cdef int64_t k
    for k in range(e.n_populations):
        old.log_size[k] = e.populations[k].log_size
    for k in range(L.n_lanes):
        old.next[k] = L.lanes[k].next
    if not grow(<void **> &old.cursors, &old.cursors_capacity, L.n_cursors, sizeof(Cursor)):
        return False
    if L.n_cursors:
        memcpy(old.cursors, L.cursors, L.n_cursors * sizeof(Cursor))
    old.n_cursors = L.n_cursors
    for k in range(e.n_populations):
        old.n_flying[k] = L.flying[k].size
    for k in range(2):
        old.trains[k] = e.trains[k].at
    for k in range(e.n_processes):
        old.processes[k].k, old.processes[k].at = e.processes[k].poisson.k, e.processes[k].at
    return True


cdef bint begin_again(Look *L) noexcept nogil:
    """Back to where everything was when the slice began; blocks follow by themselves."""
    cdef const Saved *old = &L.saved
    cdef State *e = L.e
    cdef int64_t k
    for k in range(e.n_populations):
        e.populations[k].log_size = old.log_size[k]
    for k in range(L.n_lanes):
        L.lanes[k].next = old.next[k]
    if old.n_cursors:
        memcpy(L.cursors, old.cursors, old.n_cursors * sizeof(Cursor))
    L.n_cursors = old.n_cursors
    for k in range(e.n_populations):
        L.flying[k].size = old.n_flying[k]
    for k in range(2):
        e.trains[k].at = old.trains[k]
    for k in range(e.n_processes):
        if e.processes[k].is_source and not go_back(e, &e.processes[k], &old.processes[k]):
            return False
    L.again = True
    return True


cdef Status go_through(Look *L) noexcept nogil:
    """The slice from its beginning to `stop`: states at its end, its spikes in order, and the first fault."""
    cdef const State *e = L.e
    cdef int64_t k
    cdef count_t n = 0
    cdef Block *b
    L.end.n, L.end.s = L.begin.n, L.stop
    if not (L.stop < e.H):
        L.end.n, L.end.s = L.begin.n + 1, 0.0
    if not take_sources(L) or not find_rows(L):
        return NO_MEMORY
    L.slice += 1
    L.next_way = L.next_block = 0
    if L.n_ways:
        team_do(&L.team, take_ways, L)
    team_do(&L.team, take_blocks, L)
    for k in range(L.team.n):
        if L.threads[k].slice == L.slice and L.threads[k].status != RUNNING:
            return L.threads[k].status
    for k in range(L.n_blocks):
        n += L.blocks[k].n_spikes
    if not grow(<void **> &L.spikes, &L.spikes_capacity, n, sizeof(Spike)):
        return NO_MEMORY
    L.n_spikes = 0
    for k in range(L.n_blocks):
        b = &L.blocks[k]
        if b.n_spikes:
            memcpy(L.spikes + L.n_spikes, b.spikes, b.n_spikes * sizeof(Spike))
        L.n_spikes += b.n_spikes
    sum_up(L)
    if L.ranks != NULL and not swap_spikes(L):
        return FAILED
    if L.n_spikes > 1:
        qsort(L.spikes, L.n_spikes, sizeof(Spike), compare_spikes)
    return RUNNING


cdef void sum_up(Look *L) noexcept nogil:
    """What the slice came to, but for its spikes."""
    cdef Totals *a = &L.totals
    cdef const Block *b
    cdef int64_t k
    cdef count_t n_kicks = 0, most = max(<count_t> MANY, <count_t> MANY_EACH << L.shift)
    memset(a, 0, sizeof(Totals))
    a.n_spikes, a.n_synaptic_events, a.last = L.n_spikes, L.n_pulled_events, L.last_pulled
    for k in range(L.team.n):
        if L.threads[k].slice == L.slice:
            note_fault(&a.fault, &L.threads[k].fault)
        if L.threads[k].rows_slice == L.slice:
            a.n_synaptic_events += L.threads[k].n_synaptic_events
            a.last = max(a.last, L.threads[k].last)
    for k in range(L.n_blocks):
        b = &L.blocks[k]
        a.n_drive_events += b.n_drive_events
        a.n_close += b.n_close
        a.n_synaptic_events += b.n_pulled
        a.last = max(a.last, b.last)
        n_kicks = max(n_kicks, b.n_kicks)
    a.load = <double> n_kicks / <double> most


cdef bint record_up_to(Look *L, double stop) noexcept nogil:
    """Record the spikes of the slice before `stop`; in an instant those of sources are first."""
    cdef State *e = L.e
    cdef count_t j = 0, k = 0
    cdef Spike *spike
    e.now.n = L.begin.n
    while True:
        if e.record_sources and j < L.n_emitted and (k == L.n_spikes or L.emitted[j].s <= L.spikes[k].s):
            spike = &L.emitted[j]
            j += 1
        elif k < L.n_spikes:
            spike = &L.spikes[k]
            k += 1
        else:
            return True
        if not (spike.s < stop):
            return True
        e.now.s = spike.s
        if not record(e, spike.neuron):
            return False


cdef bint commit(Look *L) noexcept nogil:
    """The slice is over; False if there is no memory."""
    cdef State *e = L.e
    cdef int64_t k
    cdef count_t kept = 0
    cdef double last = L.totals.last
    cdef Pair time
    if not record_up_to(L, L.stop) or (e.tape != NULL and not note_slice(L)):
        return False
    time.n = L.begin.n
    for k in range(L.n_spikes):
        time.s = L.spikes[k].s
        if not send_off(L, L.spikes[k].neuron, time, nowhere()):
            return False
    e.n_spikes += L.n_spikes
    e.n_input_events += L.n_emitted + L.totals.n_drive_events
    e.n_drive_events += L.totals.n_drive_events
    e.n_close_calls += L.totals.n_close
    e.n_synaptic_events += L.totals.n_synaptic_events
    if L.n_spikes:
        last = max(last, L.spikes[L.n_spikes - 1].s)
    if L.n_emitted:
        last = max(last, L.emitted[L.n_emitted - 1].s)
    L.empty_slices = 0 if last >= 0.0 else L.empty_slices + 1
    if last >= 0.0:
        e.last.n, e.last.s = L.begin.n, last
    e.now = L.end
    for k in range(L.n_cursors):
        if L.cursors[k].at < L.cursors[k].stop:
            if kept < k:
                L.cursors[kept] = L.cursors[k]
            kept += 1
    L.n_cursors = kept
    for k in range(e.n_populations):
        land(L, &L.flying[k], k)
    for k in range(L.n_lanes):
        pass_by(L, &L.lanes[k], L.end)  # where delays of projections without synapses are shorter than a slice
    for k in range(e.n_populations):
        trim(L, k)
    # Who fired within rounding of the end.
    kept = 0
    for k in range(e.n_recent):
        if interval(e.recent[k].time, e.now, e.H) <= e.tolerance:
            e.recent[kept] = e.recent[k]
            kept += 1
    e.n_recent = kept
    for k in range(L.n_spikes - 1, -1, -1):
        time.s = L.spikes[k].s
        if interval(time, e.now, e.H) > e.tolerance:
            break
        if not note_recent(e, time, L.spikes[k].neuron):
            return False
    L.changed = False
    e.forced.size = 0
    if L.totals.load > 1.0:
        L.length = max(0.5 * L.length, L.longest / 1024.0)
    elif L.totals.load < 0.125:
        L.length = min(2.0 * L.length, L.longest)
    return True


cdef Status take_slice(Look *L, Pair until, count_t most, bint instant) noexcept nogil:
    """The next slice, or only the present instant; up to so many spikes in all, and not up to `until`."""
    cdef State *e = L.e
    cdef Pair span
    cdef Status status
    cdef count_t k
    cdef double cut
    cdef int64_t j
    for j in range(e.n_populations):
        if e.populations[j].epoch != e.now.n:
            enter_present(e, L.window)
    L.begin = e.now
    span = plus(e.now, L.length, e.H)
    L.stop = span.s if span.n == e.now.n else e.H
    # Of an interval in one slice nothing needs to be put into order but lists.
    cut = L.grid * floor(L.stop / L.grid) if L.grid > 0.0 else 0.0
    if cut - e.now.s >= 0.9 * L.length:
        L.stop = cut
    if until.n == e.now.n:
        L.stop = min(L.stop, until.s)
    if instant:
        L.stop = nextafter(e.now.s, INFINITY)
    if not grow(<void **> &L.recent, &L.recent_capacity, e.n_recent, sizeof(Recent)):
        return NO_MEMORY
    for k in range(e.n_recent):
        L.recent[k].time, L.recent[k].neuron = e.recent[k].time, e.recent[k].neuron
    L.n_recent = e.n_recent
    L.again = False
    L.keeps = most < (<count_t> 1) << 62
    if L.keeps and not save(L):
        return NO_MEMORY
    status = go_through(L)
    if status != RUNNING:
        return status
    cut = INFINITY
    if e.n_spikes + L.n_spikes >= most:
        cut = L.spikes[most - e.n_spikes - 1].s
    if L.totals.fault.kind and L.totals.fault.s <= cut:
        e.faulty = L.totals.fault.neuron
        status = <Status> L.totals.fault.kind if record_up_to(L, L.totals.fault.s) else NO_MEMORY
        e.now.n, e.now.s = L.begin.n, L.totals.fault.s
        return status
    if cut < L.stop:
        # Once more, up to this instant.
        L.stop = nextafter(cut, INFINITY)
        if not begin_again(L):
            return NO_MEMORY
        status = go_through(L)
        if status != RUNNING:
            return status
    if not commit(L):
        return NO_MEMORY
    if cut < INFINITY:
        e.now.n, e.now.s = L.begin.n, cut
    return RUNNING


cdef bint is_silent(Look *L) noexcept nogil:
    """Whether nothing will ever happen, as things are."""
    cdef bint silent = nothing_comes(L) and not anyone_fires(L.e)
    return silent if L.ranks == NULL else all_are(L, silent)


cdef Pair first_of_all(Look *L) noexcept nogil:
    """When something happens next."""
    cdef Pair first = first_event(L)
    return first if L.ranks == NULL else earliest(L, first)


cdef Status take_slices(Look *L, Pair until, count_t most, count_t budget) noexcept nogil:
    """Slices up to `until`, up to so many spikes in all, for about `budget` events."""
    cdef State *e = L.e
    cdef count_t stop = e.n_spikes + kicks_so_far(e) + budget
    cdef Pair next
    cdef Status status = RUNNING
    while status == RUNNING:
        if e.n_spikes >= most:
            return SPIKES
        if e.n_spikes + kicks_so_far(e) >= stop:
            return RUNNING
        if not before(e.now, until):
            e.now = until
            return TIME
        if until.n >= MAX_EPOCH and is_silent(L):
            # Where it was.
            if e.last.n == e.populations[0].epoch:
                e.now = e.last
            return TIME
        if L.failed:
            return FAILED
        if L.empty_slices >= 2:
            L.empty_slices = 0
            next = first_of_all(L)
            if L.failed:
                return FAILED
            if not before(next, until):
                e.now = until
                continue
            if before(e.now, next):
                e.now = next
        status = take_slice(L, until, most, False)
    return status


cdef class Lookahead(Engine):
    """The engine without a queue, for networks in which all synapses between neurons have a delay.

    Parameters
    ----------
    network : EngineInput
        Projections from neurons have delays of at least :func:`shortest_slice`.
    n_threads : int, optional
        The results are the same bits for any number. Default: the cores that the process may use.
    block : int, optional
        Neurons that advance together: a power of two from 8 to 65536. Default: so many that blocks get parts of rows
        that are worth while.
    longest : float, optional
        ms, of a slice at most.
    dense : float
        Blocks look up their parts of the rows of synapses with one delay themselves, if they get at least so many
        synapses of a row on average.
    ranks : Ranks, optional
        Among which the network is shared, of which this is one rank's part; `longest` is then to be at most the
        smallest delay of all. See :mod:`sparseprop.engine.distributed`.
    """

    def __cinit__(self, *_, **__):
        memset(&self.look, 0, sizeof(Look))
        self.look.e = &self.e
        self.look.window = &self.window

    def __dealloc__(self):
        cdef Look *L = &self.look
        cdef int64_t j, k
        for j in range(L.n_made):
            self._free_thread(&L.threads[j])
        free(L.threads)
        self._drop_block_tapes()
        for k in range(L.n_blocks):
            free(L.blocks[k].spikes)
            free(L.blocks[k].spans)
            free(L.blocks[k].kept)
            free(L.blocks[k].due)
        free(L.blocks)
        free(L.first_block)
        for k in range(L.n_drives):
            free(L.drives[k].poisson.events)
        free(L.drives)
        free(L.largest)
        free(L.kind)
        free(L.has_own)
        free(L.lanes)
        free(L.cursors)
        free(L.routes)
        free(L.ways)
        free(L.pulled)
        for k in range(L.n_cuts):
            free(L.cuts[k])
            free(L.rows[k])
        free(L.cuts)
        free(L.rows)
        free(L.widths)
        free(L.longest_delay)
        for k in range(self.e.n_populations if L.flying != NULL else 0):
            free(L.flying[k].items)
        free(L.flying)
        free(L.spikes)
        free(L.emitted)
        free(L.notes)
        free(L.recent)
        for k in range(self.e.n_populations if L.saved.waiting != NULL else 0):
            free(L.saved.x[k])
            free(L.saved.base[k])
            free(L.saved.release[k])
            free(L.saved.waiting[k])
        free(L.saved.x)
        free(L.saved.base)
        free(L.saved.release)
        free(L.saved.waiting)
        free(L.saved.at_release)
        free(L.saved.log_size)
        free(L.saved.next)
        free(L.saved.n_flying)
        free(L.saved.cursors)
        free(L.saved.processes)
        free(L.saved.drives)

    cdef _free_thread(self, Thread *t):
        cdef int64_t k
        for k in range(self.e.n_populations if t.frames != NULL else 0):
            free(t.frames[k])
        for k in range(self.look.n_blocks if t.buckets != NULL else 0):
            free(t.buckets[k].kicks)
            free(t.buckets[k].extras)
        free(t.driven)
        free(t.frames)
        free(t.buckets)
        free(t.drives.kicks)
        free(t.drives.extras)
        free(t.kicks.kicks)
        free(t.kicks.extras)
        free(t.scratch)
        free(t.together)
        free(t.away)
        free(t.sources)
        free(t.pulled.kicks)
        free(t.pulled.extras)
        free(t.from_)
        free(t.some.kicks)
        free(t.some.extras)
        free(t.lists.counts)
        free(t.lists.times)
        free(t.lists.kinds)
        free(t.lists.own)
        free(t.is_chosen)
        free(t.chosen)
        free(t.bins)
        free(t.rows)
        free(t.sums)
        free(t.has_sum)
        free(t.has_fired)
        free(t.touched)
        free(t.together_targets)
        free(t.together_weights)
        free(t.q.entries)
        free(t.e.populations)
        free(t.e.drawn.items)
        free(t.e.due.items)
        free(t.e.found.items)
        free(t.e.held.items)
        free(t.e.driven.items)
        free(t.e.looked.items)
        drawing_free(&t.e.drawing)
        free(t.e.table)
        free(t.e.solved)

    def __init__(self, network, n_threads=None, block=None, longest=None, double dense=blocks.DENSE, ranks=None):
        cdef Look *L = &self.look
        shortest = shortest_delay(network)
        if shortest < shortest_slice(network.clock):
            raise ValueError(f"a delay of {shortest} ms between neurons is too short for slices of time")
        self.n_threads = cores() if n_threads is None else n_threads
        block = blocks.block_size(network, self.n_threads) if block is None else block
        if not 8 <= block <= 1 << 16 or block & (block - 1):
            raise ValueError(f"a block has a power of two from 8 to 65536 neurons, got {block}")
        L.shift, self.dense = block.bit_length() - 1, dense
        self._make_cuts(len(network.projections))
        super().__init__(network, "lookahead")
        if ranks is not None:
            self.ranks, L.ranks = ranks, <void *> ranks
        L.longest = min(shortest, self.e.H, INFINITY if longest is None else longest)
        L.length = L.longest
        self._place_lanes()
        self._place_blocks()
        self._cut_rows()
        self._find_kinds()
        self._make_threads()
        self._start_inputs()
        L.stale = True

    cdef _place_lanes(self):
        """Those of the State, and one without delay for each population of sources."""
        cdef Look *L = &self.look
        cdef Population *p
        cdef int64_t k
        L.lanes = <Lane *> zeros(self.e.n_lanes + self.e.n_populations, sizeof(Lane))
        memcpy(L.lanes, self.e.lanes, self.e.n_lanes * sizeof(Lane))
        L.n_lanes = self.e.n_lanes
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            if p.ops == NULL and p.n_projections:
                L.lanes[L.n_lanes].population = k
                L.lanes[L.n_lanes].first_projection = p.first_projection
                L.lanes[L.n_lanes].n_projections = p.n_projections
                L.n_lanes += 1

    cdef _place_blocks(self):
        """Blocks of neurons, and the drives of each."""
        cdef Look *L = &self.look
        cdef State *e = &self.e
        cdef Population *p
        cdef Block *b
        cdef int64_t j, k, n = 0, at
        for k in range(e.n_populations):
            if e.populations[k].ops != NULL:
                n += ((e.populations[k].size - 1) >> L.shift) + 1
        L.blocks = <Block *> zeros(n, sizeof(Block))
        L.first_block = <int64_t *> zeros(e.n_populations + 1, sizeof(int64_t))
        L.largest = <double *> zeros(e.n_populations, sizeof(double))
        for k in range(e.n_populations):
            p = &e.populations[k]
            L.first_block[k] = L.n_blocks
            at = 0
            while p.ops != NULL and at < p.size:
                b = &L.blocks[L.n_blocks]
                L.n_blocks += 1
                b.population, b.first = k, <neuron_t> at
                b.size = <neuron_t> min(<int64_t> 1 << L.shift, p.size - at)
                at += b.size
        L.first_block[e.n_populations] = L.n_blocks
        n = 0
        for j in range(e.n_processes):
            if not e.processes[j].is_source and e.processes[j].n_intervals:
                L.grid = min(e.processes[j].poisson.interval, L.grid if L.grid > 0.0 else INFINITY)
            for k in range(L.n_blocks if not e.processes[j].is_source else 0):
                n += L.blocks[k].population == e.processes[j].population
        L.drives = <Process *> zeros(n, sizeof(Process))
        L.saved.drives = <Place *> zeros(n, sizeof(Place))
        for k in range(L.n_blocks):
            b = &L.blocks[k]
            b.first_drive = L.n_drives
            for j in range(e.n_processes):
                if not e.processes[j].is_source and e.processes[j].population == b.population:
                    L.drives[L.n_drives].number = j
                    L.n_drives += 1
                    b.n_drives += 1
        L.routes_capacity = e.n_processes
        L.routes = <Route *> zeros(e.n_processes, sizeof(Route))
        for j in range(e.n_processes):
            L.routes[j].source, L.routes[j].port = <int64_t> e.n + j, e.processes[j].port

    cdef _find_kinds(self):
        """The weights of projections and drives that have only one, if there are few."""
        cdef Look *L = &self.look
        cdef State *e = &self.e
        cdef int64_t k, n = len(self.network.projections)
        L.kind = <uint8_t *> zeros(n, 1)
        L.has_own = <uint8_t *> zeros(e.n_populations, 1)
        for k in range(n):
            L.has_own[e.projections[k].post] |= self._take_kind(
                e.projections[k].weights == NULL and L.widths[k] != WIDE, e.projections[k].weight, &L.kind[k]
            )
        for k in range(e.n_processes):
            L.has_own[e.processes[k].population] |= self._take_kind(
                e.processes[k].weights == NULL, e.processes[k].weight, &L.routes[k].kind
            )

    cdef bint _take_kind(self, bint is_one, double weight, uint8_t *kind):
        """Which of the kinds a weight is; True if it is none."""
        cdef Look *L = &self.look
        cdef int64_t k
        for k in range(L.n_kinds if is_one else 0):
            if L.kinds[k] == weight:
                kind[0] = <uint8_t> k
                return False
        if not is_one or L.n_kinds == 256:
            return True
        kind[0] = <uint8_t> L.n_kinds
        L.kinds[L.n_kinds] = weight
        L.n_kinds += 1
        return False

    cdef _make_cuts(self, int64_t n):
        """Room for what is known of the cuts of n projections."""
        cdef Look *L = &self.look
        L.cuts = <uint32_t **> zeros(n, sizeof(uint32_t *))
        L.rows = <char **> zeros(n, sizeof(char *))
        L.widths = <int *> zeros(n, sizeof(int))
        L.longest_delay = <double *> zeros(n, sizeof(double))
        L.n_cuts = n

    cdef int64_t _blocks_along(self, const Projection *c, int64_t n_pre):
        """How many blocks its rows are cut for; 0 if these are not dense."""
        cdef const Population *post = &self.e.populations[c.post]
        cdef int64_t n = ((post.size - 1) >> self.look.shift) + 1
        return n if c.offsets[n_pre] and c.offsets[n_pre] >= self.dense * n * n_pre else 0

    cdef _cut_rows(self):
        """Where blocks begin in rows with one delay of which they get enough."""
        cdef Look *L = &self.look
        cdef const Projection *c
        cdef const Lane *lane
        cdef int64_t j, k, n_pre, n
        L.flying = <Flights *> zeros(self.e.n_populations, sizeof(Flights))
        for j in range(L.n_lanes):
            lane = &L.lanes[j]
            n_pre = self.e.populations[lane.population].n_sources
            for k in range(lane.first_projection, lane.first_projection + lane.n_projections):
                c = &self.e.projections[k]
                n = 0 if c.procedural else self._blocks_along(c, n_pre)
                if n:
                    L.cuts[k] = row_cuts(c, n_pre, n, 1 << L.shift)

    cdef _add_delayed(self, int64_t number, rank, projection, bint with_places):
        """As :meth:`Loaded._add_delayed`, but dense rows are cut, and in the order of blocks and delays."""
        cdef Look *L = &self.look
        cdef Projection *c = &self.e.projections[number]
        cdef int64_t n_pre = self.e.populations[projection.pre].n_sources, n
        self._add_projection(c, rank, projection, True)
        n = self._blocks_along(c, n_pre)
        if n == 0:
            return Engine._add_delayed(self, number, rank, projection, False)
        n_synapses, wide = projection.adjacency.n_synapses, not isinstance(projection.weight, float)
        if projection.delay.size != n_synapses or (wide and projection.weight.size != n_synapses):
            raise ValueError(f"there are other numbers of delays or weights than {n_synapses} synapses")
        L.widths[number] = WIDE if wide else NARROW
        L.cuts[number] = <uint32_t *> owned(allocate_large(n_pre * (n + 1), sizeof(uint32_t)))
        memset(L.cuts[number], 0, n_pre * (n + 1) * sizeof(uint32_t))
        L.rows[number] = <char *> owned(allocate_large(n_synapses, L.widths[number]))
        if wide:
            c.largest = largest_size(projection.weight)
        share_out(functools.partial(self._cut_some, number, n, projection), row_blocks(projection.adjacency.offsets))
        c.targets = NULL

    def _cut_some(self, int64_t number, int64_t n, projection, synapse_t begin, synapse_t end):
        """Sort and cut some rows, as a thread does it."""
        cdef Look *L = &self.look
        cdef const Projection *c = &self.e.projections[number]
        cdef synapse_t first = c.offsets[begin], last = c.offsets[end]
        cdef const double[::1] delays, weights = None
        cdef const neuron_t[::1] targets, places
        cdef uint32_t[::1] at = np.empty(n, np.uint32)
        offsets, targets = projection.adjacency.offsets, projection.adjacency.targets[first:last]
        delays = rows_of(projection.delay, offsets, begin, end)
        targets, places, delays = sort_rows(offsets[begin : end + 1] - first, delays.base, targets, False)
        if L.widths[number] == WIDE:
            weights = rows_of(projection.weight, offsets, begin, end)
        if first == last:
            return  # no synapses: `cuts` are zeros
        L.longest_delay[number] = max(L.longest_delay[number], <double> np.max(delays))
        with nogil:
            cut_rows(L, number, n, begin, end, &delays[0], &targets[0], &places[0],
                     &weights[0] if weights is not None else NULL, &at[0])

    cdef _make_threads(self):
        """What each thread has for itself, and what a slice needs that may be taken again."""
        cdef Look *L = &self.look
        cdef State *e = &self.e
        cdef Thread *t
        cdef int64_t j, degree, table
        cdef Saved *old = &L.saved
        largest_rows(e, len(self.network.projections), &degree, &table)
        L.n_threads = max(1, min(self.n_threads, L.n_blocks))
        L.threads = <Thread *> zeros(L.n_threads, sizeof(Thread))
        for j in range(L.n_threads):
            t = &L.threads[j]
            L.n_made += 1
            t.frames = <Frame **> zeros(e.n_populations, sizeof(Frame *))
            t.buckets = <Bucket *> zeros(L.n_blocks, sizeof(Bucket))
            t.sources = <const Bucket **> zeros(L.n_threads + 4, sizeof(const Bucket *))
            t.lists.counts = <uint32_t *> zeros(1 << L.shift, sizeof(uint32_t))
            t.lists.most = 24
            t.is_chosen = <uint8_t *> zeros(1 << L.shift, 1)
            t.chosen = <neuron_t *> zeros(1 << L.shift, sizeof(neuron_t))
            t.sums = <double *> zeros(MAX_PORTS << L.shift, sizeof(double))
            t.has_sum = <uint8_t *> zeros(MAX_PORTS << L.shift, 1)
            t.has_fired = <uint8_t *> zeros(1 << L.shift, 1)
            t.touched = <Sum *> zeros(MAX_PORTS << L.shift, sizeof(Sum))
            t.together_targets = <neuron_t *> zeros((1 << L.shift) + 1, sizeof(neuron_t))
            t.together_weights = <double *> zeros(1 << L.shift, sizeof(double))
            t.e.populations = <Population *> zeros(e.n_populations, sizeof(Population))
            t.e.table = <uint32_t *> owned(allocate(table, sizeof(uint32_t)))
            memset(t.e.table, 0xFF, table * sizeof(uint32_t))
            if not reserve(&t.e.drawn, degree + 1):
                owned(NULL)
            if e.solved != NULL:
                t.e.solved = <Solved *> zeros(N_SOLVED, sizeof(Solved))
        old.x = <double **> zeros(e.n_populations, sizeof(double *))
        old.base = <Pair **> zeros(e.n_populations, sizeof(Pair *))
        old.release = <Pair **> zeros(e.n_populations, sizeof(Pair *))
        old.waiting = <uint8_t **> zeros(e.n_populations, sizeof(uint8_t *))
        old.log_size = <count_t *> zeros(e.n_populations, sizeof(count_t))
        old.n_flying = <count_t *> zeros(e.n_populations, sizeof(count_t))
        old.next = <count_t *> zeros(L.n_lanes, sizeof(count_t))
        old.processes = <Place *> zeros(e.n_processes, sizeof(Place))

    cdef _make_saved(self):
        """Memory for the states at the beginning of a slice."""
        cdef Population *p
        cdef Saved *old = &self.look.saved
        cdef int64_t k
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            if p.x != NULL and old.x[k] == NULL:
                old.x[k] = <double *> owned(allocate_large(p.width * <int64_t> p.size, sizeof(double)))
            if p.base != NULL and old.base[k] == NULL:
                old.base[k] = <Pair *> owned(allocate_large(p.size, sizeof(Pair)))
            if p.release != NULL and old.release[k] == NULL:
                old.release[k] = <Pair *> owned(allocate_large(p.size, sizeof(Pair)))
                old.waiting[k] = <uint8_t *> owned(allocate(p.size // 8 + 1, 1))
        if self.e.tape == NULL or self.e.tape.at_release == NULL:
            free(old.at_release)
            old.at_release = NULL
        elif old.at_release == NULL:
            old.at_release = <double *> owned(allocate_large(self.e.n, sizeof(double)))

    cdef _weigh(self):
        """The largest weights, by target population."""
        cdef Look *L = &self.look
        cdef const Projection *c
        cdef const Process *d
        cdef double *largest
        cdef int64_t j, k
        memset(L.largest, 0, self.e.n_populations * sizeof(double))
        for j in range(len(self.network.projections)):
            c = &self.e.projections[j]
            L.largest[c.post] = max(L.largest[c.post], c.largest)
        for j in range(self.e.n_processes):
            d = &self.e.processes[j]
            largest = &L.largest[d.population]
            largest[0] = max(largest[0], fabs(d.weight))
            for k in range(self.e.populations[d.population].size if d.weights != NULL else 0):
                largest[0] = max(largest[0], fabs(d.weights[k]))

    def take_weights(self):
        cdef Look *L = &self.look
        cdef const double[::1] weights
        cdef Projection *c
        cdef int64_t k
        Engine.take_weights(self)
        for k in range(len(self.network.projections)):
            c = &self.e.projections[k]
            given = self.network.projections[c.rank].weight
            if L.widths[k] == WIDE and isinstance(given, np.ndarray):
                weights, c.largest = given, largest_of(given)
                put_weights(L, k, self.network.projections[c.rank].adjacency.offsets.shape[0] - 1, &weights[0])
        self._weigh()

    cdef _copy_frames(self):
        """Give each thread frames of its own, and everything else as it is."""
        cdef Look *L = &self.look
        cdef State *e = &self.e
        cdef State mine
        cdef Thread *t
        cdef int64_t j, k
        self._weigh()
        for j in range(L.n_threads):
            t = &L.threads[j]
            mine = t.e
            t.e = e[0]
            t.e.populations, t.e.table, t.e.drawn = mine.populations, mine.table, mine.drawn
            t.e.drawing = mine.drawing
            t.e.due, t.e.found, t.e.held, t.e.driven, t.e.looked = (
                mine.due, mine.found, mine.held, mine.driven, mine.looked
            )
            t.e.solved, t.e.instant, t.e.tape = mine.solved, mine.instant, NULL
            memcpy(t.e.populations, e.populations, e.n_populations * sizeof(Population))
            for k in range(N_SOLVED if t.e.solved != NULL else 0):
                t.e.solved[k].neuron = -1
            own_frames(e, t.e.populations, t.frames)
        L.stale = False

    # What the loop over instants has in a queue and in an agenda

    cdef _order(self):
        self.look.stale = True
        self.look.empty_slices = 0
        Engine._order(self)

    cdef _start_train(self, int64_t k):
        Engine._start_train(self, k)
        self.e.agenda.size = 0
        self.look.empty_slices = 0

    cdef _start_process(self, int64_t k):
        cdef Look *L = &self.look
        cdef Process *c
        cdef Process old
        cdef const Block *b
        cdef int64_t j, d
        cdef neuron_t shift
        L.empty_slices = 0
        if self.e.processes[k].is_source:
            Engine._start_process(self, k)
            self.e.agenda.size = 0
            return
        for j in range(L.n_blocks):
            b = &L.blocks[j]
            for d in range(b.first_drive, b.first_drive + b.n_drives):
                c = &L.drives[d]
                if c.number != k:
                    continue
                old = c[0]
                c[0] = self.e.processes[k]
                c.number = k
                shift = self.e.populations[b.population].first - self.e.populations[b.population].origin
                c.poisson.begin, c.poisson.end = shift + b.first, shift + b.first + b.size
                c.poisson.events, c.poisson.capacity = old.poisson.events, old.poisson.capacity
                self._begin_process(c)

    def set_flights(self, emissions, last):
        """The spikes on their way, as in a state; what arrives by `last` is over."""
        cdef Look *L = &self.look
        cdef int64_t k
        cdef Pair emission
        self.e.last.n, self.e.last.s = last
        for k in range(self.e.n_populations):
            self.e.populations[k].log_start = self.e.populations[k].log_size = 0
        for k in range(L.n_lanes):
            L.lanes[k].next = 0
        L.n_cursors = 0
        for k in range(self.e.n_populations):
            L.flying[k].head = L.flying[k].size = 0
        for k in range(L.n_blocks):
            L.blocks[k].n_spans = L.blocks[k].n_due = 0
        self._start_inputs()
        for n, s, source in emissions.tolist():
            emission.n, emission.s = n, s
            if not send_off(L, <neuron_t> source, emission, self.e.last):
                owned(NULL)
        for k in range(L.n_lanes):
            pass_by(L, &L.lanes[k], just_after(self.e.last, self.e.H))
        for k in range(L.n_blocks):
            if not open_spans(L, &L.threads[0], &L.blocks[k], k):
                owned(NULL)
            leave_out(L, &L.blocks[k], self.e.last)

    def emissions(self):
        """(n, s, id) of the spikes whose effect may be still to come, ascending."""
        cdef Look *L = &self.look
        cdef int64_t j, k
        cdef Population *p
        cdef Cursor *cursor
        cdef const Flying *f
        emissions = {}
        for k in range(self.e.n_populations):
            p = &self.e.populations[k]
            trim(L, k)
            for j in range(p.log_size):
                if is_to_come(&self.e, L.lanes, L.n_lanes, k, p.log_start + j):
                    emissions[k, p.log_start + j] = (
                        p.log[j].emission.n, p.log[j].emission.s, p.origin + p.log[j].source
                    )
        for k in range(L.n_cursors):
            cursor = &L.cursors[k]
            emissions[cursor.population, cursor.number] = (
                cursor.emission.n, cursor.emission.s, self.e.populations[cursor.population].origin + cursor.source
            )
        for k in range(self.e.n_populations):
            for j in range(L.flying[k].head, L.flying[k].size):
                f = &L.flying[k].items[j]
                if is_flying(L, k, j):
                    emissions[f.population, f.number] = (
                        f.emission.n, f.emission.s, self.e.populations[f.population].origin + f.source
                    )
        return np.array(sorted(emissions.values()), dtype=float).reshape(-1, 3)

    # The loop

    cdef Status _take(self, Pair until, count_t most, count_t budget):
        cdef Look *L = &self.look
        cdef Status status
        if L.stale:
            self._copy_frames()
        if most < (<count_t> 1) << 62:
            self._make_saved()
        with nogil:
            if not team_begin(&L.team, L.n_threads):
                status = NO_MEMORY
            else:
                status = take_slices(L, until, most, budget)
                team_end(&L.team)
        return status

    cdef bint _is_silent(self):
        cdef bint silent
        with nogil:
            silent = is_silent(&self.look)
        if self.look.failed:
            self._fault(FAILED)
        return silent

    cdef _fault(self, Status status):
        if status == FAILED:
            self.look.failed = False
            raise self.ranks.failure
        Engine._fault(self, status)

    cdef _take_forced(self):
        cdef Look *L = &self.look
        cdef Status status
        self._copy_frames()
        L.changed = True
        with nogil:
            if not team_begin(&L.team, 1):
                status = NO_MEMORY
            else:
                status = take_slice(L, never(), (<count_t> 1) << 62, True)
                team_end(&L.team)
        if status != RUNNING:
            self._fault(status)

    # The tape

    def start_tape(self, double near, at_release=None):
        """See :meth:`Engine.start_tape`."""
        cdef Look *L = &self.look
        cdef Block *b
        cdef int64_t k
        Engine.start_tape(self, near, at_release)
        L.stale = True
        for k in range(L.n_threads):
            if L.threads[k].driven == NULL:
                L.threads[k].driven = <uint8_t *> zeros(self.e.n // 8 + 1, 1)
        for k in range(L.n_blocks):
            b = &L.blocks[k]
            b.tape = <TapeBuffer *> zeros(1, sizeof(TapeBuffer))
            b.tape.near, b.tape.names_targets = near, self.e.tape.names_targets
            b.tape.at_release = self.e.tape.at_release

    def stop_tape(self):
        """See :meth:`Engine.stop_tape`."""
        if self.e.tape != NULL and self.e.tape.names_targets and not gather_values(&self.look):
            owned(NULL)
        self._drop_block_tapes()
        return Engine.stop_tape(self)

    cdef _drop_block_tapes(self):
        cdef Look *L = &self.look
        cdef TapeBuffer *tape
        cdef int64_t k
        for k in range(L.n_blocks if L.blocks != NULL else 0):
            tape = L.blocks[k].tape
            if tape != NULL:
                # What is of all blocks belongs to others.
                tape.driven, tape.at_release = NULL, NULL
                tape_free(tape)
                L.blocks[k].tape = NULL
        L.stale = True

    @property
    def tape_size(self):
        """Bytes on the tape, with what blocks still keep of it; 0 without one."""
        cdef int64_t k, size = Engine.tape_size.__get__(self)
        for k in range(self.look.n_blocks if self.e.tape != NULL else 0):
            size += self.look.blocks[k].tape.n_values * (sizeof(double) + sizeof(neuron_t))
        return size
