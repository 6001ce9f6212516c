"""Yardsticks for the benchmarks: what the machine can do, and what other algorithms need on the same network.

Nothing in the package computes with this. `random_updates` is the machine's bound: the memory accesses of a network's
kicks, and nothing else. `PaperHeap` is the algorithm of the SparseProp paper (Engelken 2023) and `Conventional` the
O(N) one before it, each written as well as it can be, but for one kind of network only: one population of oscillating
neurons with equal parameters, out-degrees and weights, and no refractory period. They know nothing of simultaneous
spikes, and their rounding errors are those of a clock that is never set back. `draw_events` is the engines' own drawing
of Poisson events, without anything that happens with them.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from sparseprop.connectivity._poisson cimport (
    Drawing, Poisson, drawing_free, poisson_fill, poisson_free, poisson_prepare,
)
from sparseprop.numerics._elementary cimport atan, exp, log, tan
from sparseprop.numerics._memory cimport allocate_large
from sparseprop.numerics._typedefs cimport count_t, neuron_t

import time

import numpy as np

from ..errors import InsufficientMemoryError, ParameterError, shown

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include "sparseprop/numerics/dispatch.h"

    #define YARD_LANES 32
    #define YARD_BLOCK 1024

    /* Add d to all of x[0..n); the index of the largest one then. */
    SP_WIDEST
    static int64_t yard_shift_and_find(double *x, int64_t n, double d) {
        double best = -INFINITY;
        int64_t begin, best_begin = 0;
        for (begin = 0; begin < n; begin += YARD_BLOCK) {
            int64_t end = begin + YARD_BLOCK < n ? begin + YARD_BLOCK : n, i = begin;
            double top[YARD_LANES], largest = -INFINITY;
            for (int k = 0; k < YARD_LANES; k++)
                top[k] = -INFINITY;
            for (; i + YARD_LANES <= end; i += YARD_LANES)
                for (int k = 0; k < YARD_LANES; k++) {
                    double v = x[i + k] + d;
                    x[i + k] = v;
                    top[k] = v > top[k] ? v : top[k];
                }
            for (; i < end; i++) {
                x[i] += d;
                largest = x[i] > largest ? x[i] : largest;
            }
            for (int k = 0; k < YARD_LANES; k++)
                largest = top[k] > largest ? top[k] : largest;
            if (largest > best) {
                best = largest;
                best_begin = begin;
            }
        }
        while (x[best_begin] != best)
            best_begin++;
        return best_begin;
    }
    """
    int64_t shift_and_find "yard_shift_and_find"(double *x, int64_t n, double d) noexcept nogil
    void prefetch "__builtin_prefetch"(const void *address) noexcept nogil
    void prefetch_for_write "__builtin_prefetch"(const void *address, int write) noexcept nogil

cdef enum:
    LINE = 16           # ids in a cache line
    ROWS_AHEAD = 4      # rows between the one that is worked on and the one that is asked for
    TARGETS_AHEAD = 8   # the same for the targets of `PaperHeap`
    BLOCK = 256         # spikes between two looks for Ctrl-C

PREFETCHING = ("none", "rows", "targets")


# The machine's bound ----------------------------------------------------------------------------------------------


cdef inline void ask_for_row(const neuron_t *row, count_t degree) noexcept nogil:
    cdef count_t k = 0
    while k < degree:
        prefetch(row + k)
        k += LINE


cdef void update_rows(double *x, const neuron_t *targets, count_t degree, const int64_t *rows, count_t n_rows,
                      bint rows_ahead, bint targets_ahead) noexcept nogil:
    cdef count_t e, k
    cdef const neuron_t *row
    cdef const neuron_t *following
    for e in range(n_rows):
        row = targets + rows[e] * degree
        if rows_ahead and e + ROWS_AHEAD < n_rows:
            ask_for_row(targets + rows[e + ROWS_AHEAD] * degree, degree)
        if targets_ahead and e + 1 < n_rows:
            following = targets + rows[e + 1] * degree
            for k in range(degree):
                prefetch_for_write(x + following[k], 1)
                x[row[k]] += 1e-3
        else:
            for k in range(degree):
                x[row[k]] += 1e-3


def random_updates(const neuron_t[::1] targets, count_t degree, const int64_t[::1] rows, count_t n, prefetching="none"):
    """Time ``x[target] += d`` over the targets of some rows: what no simulation of this network can undercut.

    Parameters
    ----------
    targets : ndarray of int32, shape (n * degree,)
        The rows of all neurons one after the other, ids in [0, n).
    degree : int
        Length of a row.
    rows : ndarray of int64
        Whose rows to take, in this order: the neurons that fired.
    n : int
        Number of neurons; x has this many doubles.
    prefetching : {"none", "rows", "targets"}
        Ask for nothing ahead, for the row that comes in 4 rows, or besides for all of x that the next row needs.
        A simulation cannot know the next rows so well.

    Returns
    -------
    float
        CPU time per update in ns.

    Raises
    ------
    ParameterError
        If the rows do not fit to each other.

    Notes
    -----
    O(len(rows) * degree), and O(n * degree) to check the targets first.
    """
    checked_rows(targets, degree, n)
    if rows.shape[0] == 0 or np.min(rows) < 0 or np.max(rows) >= n:
        raise ParameterError(f"rows must be one or more neurons in [0, {n})")
    if prefetching not in PREFETCHING:
        raise ParameterError(f"prefetching must be one of {', '.join(PREFETCHING)}, got {shown(prefetching)}")
    cdef bint rows_ahead = prefetching != "none", targets_ahead = prefetching == "targets"
    values = np.ones(n)
    cdef double[::1] x = values
    began = time.process_time_ns()
    with nogil:
        update_rows(&x[0], &targets[0], degree, &rows[0], rows.shape[0], rows_ahead, targets_ahead)
    return (time.process_time_ns() - began) / (rows.shape[0] * degree)


def draw_events(const double[::1] means, neuron_t n, count_t block, count_t intervals):
    """Draw the events of Poisson processes and bring them into order, block by block, as engines do.

    Parameters
    ----------
    means : ndarray, shape (1,) or (n,)
        Expected events of a neuron in an interval, at most 12.
    n : int
        Number of neurons.
    block : int
        Neurons whose events are drawn together.
    intervals : int
        How many intervals to draw.

    Returns
    -------
    n_events : int
    ns : float
        CPU time per event.
    """
    if means.shape[0] not in (1, n) or n < 1 or block < 1 or intervals < 1 or not 0.0 < np.max(means) <= 12.0:
        raise ParameterError("means must be 1 or n numbers, of which the largest is in (0, 12], and all else positive")
    cdef Poisson p
    cdef Drawing d
    cdef uint64_t[2] key
    cdef count_t total = 0, first
    cdef int64_t k
    cdef bint done
    memset(&p, 0, sizeof(Poisson))
    memset(&d, 0, sizeof(Drawing))
    key[0] = key[1] = 1
    p.n, p.interval, p.means, p.mean_each = n, 1.0, &means[0], means.shape[0] > 1
    done = poisson_prepare(&p, key, 0, 0)
    for k in range(-1, intervals):
        if k == 0:  # before, memory was taken
            total, began = 0, time.process_time_ns()
        first = 0
        while done and first < n:
            p.begin, p.end = <neuron_t> first, <neuron_t> min(first + block, <count_t> n)
            done = poisson_fill(&p, &d, k + 1)
            total += p.n_events
            first += block
    taken = time.process_time_ns() - began
    poisson_free(&p)
    drawing_free(&d)
    if not done:
        raise MemoryError("not enough memory for the events of a Poisson input")
    return total, taken / max(total, 1)


cdef checked_rows(const neuron_t[::1] targets, count_t degree, count_t n):
    if degree < 1 or n < 1 or n > (<count_t>1 << 31) - 1 or targets.shape[0] != n * degree:
        raise ParameterError(
            f"targets must be {n} rows of {degree} >= 1 neurons, one after the other, got {targets.shape[0]} entries"
        )
    if np.min(targets) < 0 or np.max(targets) >= n:
        raise ParameterError(f"targets must be in [0, {n})")


# The algorithms ---------------------------------------------------------------------------------------------------


cdef struct Curve:
    # What a kick does to a phase, and where spike and reset are.
    double omega
    double kick
    double threshold
    double reset
    double period


ctypedef fused Model:
    LIFCurve
    QIFCurve


cdef struct LIFCurve:
    Curve curve


cdef struct QIFCurve:
    Curve curve


cdef inline double kicked(const Model *model, double phase) noexcept nogil:
    """The phase after a kick (the phase transition curve)."""
    if Model is LIFCurve:
        return -model.curve.omega * log(exp(-phase / model.curve.omega) + model.curve.kick)
    else:
        return 2.0 * atan(tan(0.5 * phase) + model.curve.kick)


cdef class Phases:
    """What both algorithms share: the network, and phases that all grow with the same velocity.

    Parameters
    ----------
    model : {"LIF", "QIF"}
        LIF: phases from 0 to 1, ``phase -> -omega log(exp(-phase / omega) + kick)``; QIF: phases from -pi to pi,
        ``phase -> 2 atan(tan(phase / 2) + kick)``.
    phases : ndarray of float64, shape (n,)
        Initial ones, below the threshold.
    targets : ndarray of int32, shape (n * degree,)
        The rows of all neurons one after the other.
    degree : int
        Length of a row.
    kick, omega : float
        See `model`; QIF does not use omega.
    period : float
        ms from reset to threshold without kicks.

    Raises
    ------
    ParameterError
        For values that do not fit to each other.
    InsufficientMemoryError
        If the memory is not there.
    """

    cdef Curve curve
    cdef bint is_lif
    cdef const neuron_t[::1] targets
    cdef count_t size, degree

    def __init__(self, model, const double[::1] phases, const neuron_t[::1] targets, count_t degree, double kick,
                 double omega, double period):
        if model not in ("LIF", "QIF"):
            raise ParameterError(f"model must be 'LIF' or 'QIF', got {shown(model)}")
        if not (period > 0.0 and omega > 0.0):
            raise ParameterError(f"period and omega must be > 0, got {period} and {omega}")
        checked_rows(targets, degree, phases.shape[0])
        self.is_lif = model == "LIF"
        self.curve.omega = omega
        self.curve.kick = kick
        self.curve.period = period
        self.curve.threshold = 1.0 if self.is_lif else np.pi
        self.curve.reset = 0.0 if self.is_lif else -np.pi
        if not np.max(phases) < self.curve.threshold:
            raise ParameterError(f"phases must be below {self.curve.threshold:.6g}, got {np.max(phases)}")
        self.targets = targets
        self.size = phases.shape[0]
        self.degree = degree
        self.set_up(phases)

    cdef set_up(self, const double[::1] phases):
        """Fill the algorithm's own memory."""
        raise NotImplementedError

    cdef void lif_spikes(self, double *times, int64_t *ids, count_t n) noexcept nogil:
        """Go on for n spikes; times in units of phase."""

    cdef void qif_spikes(self, double *times, int64_t *ids, count_t n) noexcept nogil:
        """The same."""

    def advance(self, count_t n_spikes):
        """Go on.

        Parameters
        ----------
        n_spikes : int
            For this many spikes.

        Returns
        -------
        times : ndarray of float64
            ms since the start.
        ids : ndarray of int64

        Raises
        ------
        ParameterError
            If `n_spikes` is negative, or there is no network because ``__init__`` was not called.

        Notes
        -----
        O(n_spikes * degree * log(n)) for `PaperHeap`, O(n_spikes * (n + degree)) for `Conventional`.
        """
        if n_spikes < 0 or self.size == 0:
            raise ParameterError(f"n_spikes must be >= 0 and the network not empty, got {n_spikes} and {self.size}")
        spike_times, spike_ids = np.empty(n_spikes), np.empty(n_spikes, np.int64)
        cdef double[::1] times = spike_times
        cdef int64_t[::1] ids = spike_ids
        cdef count_t done = 0, block
        while done < n_spikes:
            block = min(n_spikes - done, BLOCK)
            with nogil:
                if self.is_lif:
                    self.lif_spikes(&times[done], &ids[done], block)
                else:
                    self.qif_spikes(&times[done], &ids[done], block)
            done += block
            PyErr_CheckSignals()
        spike_times *= self.curve.period / (self.curve.threshold - self.curve.reset)
        return spike_times, spike_ids


# The paper's ------------------------------------------------------------------------------------------------------


cdef struct Entry:
    double key              # phase minus the shift of all
    neuron_t neuron


cdef struct Queue:
    Entry *entries          # binary heap, the largest first
    neuron_t *places        # where in it a neuron is
    count_t size


cdef inline void put(Queue *queue, count_t place, Entry entry) noexcept nogil:
    queue.entries[place] = entry
    queue.places[entry.neuron] = <neuron_t>place


cdef inline void sink(Queue *queue, count_t place, Entry entry) noexcept nogil:
    """Put an entry at `place` or below, where the heap is in order but for it."""
    cdef count_t child = 2 * place + 1
    while child < queue.size:
        if child + 1 < queue.size:
            child += queue.entries[child + 1].key > queue.entries[child].key
        if queue.entries[child].key <= entry.key:
            break
        put(queue, place, queue.entries[child])
        place = child
        child = 2 * place + 1
    put(queue, place, entry)


cdef inline void change(Queue *queue, neuron_t neuron, double key) noexcept nogil:
    """Give a neuron another key."""
    cdef count_t place = queue.places[neuron], parent
    cdef Entry entry
    cdef double old = queue.entries[place].key
    entry.key = key
    entry.neuron = neuron
    if key < old:
        sink(queue, place, entry)
        return
    while place > 0:
        parent = (place - 1) >> 1
        if queue.entries[parent].key >= key:
            break
        put(queue, place, queue.entries[parent])
        place = parent
    put(queue, place, entry)


cdef void heap_spikes(const Model *model, Queue *queue, double *shift, const neuron_t *targets, count_t degree,
                      double *times, int64_t *ids, count_t n, bint ahead) noexcept nogil:
    cdef count_t e, k
    cdef neuron_t neuron
    cdef const neuron_t *row
    for e in range(n):
        neuron = queue.entries[0].neuron
        shift[0] = model.curve.threshold - queue.entries[0].key
        times[e] = shift[0]
        ids[e] = neuron
        row = targets + neuron * degree
        if ahead and queue.size > 2:
            ask_for_row(targets + queue.entries[1].neuron * degree, degree)
            ask_for_row(targets + queue.entries[2].neuron * degree, degree)
        for k in range(degree):
            if ahead:
                if k + 2 * TARGETS_AHEAD < degree:
                    prefetch(queue.places + row[k + 2 * TARGETS_AHEAD])
                if k + TARGETS_AHEAD < degree:
                    prefetch(queue.entries + queue.places[row[k + TARGETS_AHEAD]])
            change(queue, row[k], kicked(model, queue.entries[queue.places[row[k]]].key + shift[0]) - shift[0])
        change(queue, neuron, model.curve.reset - shift[0])


@cython.final
cdef class PaperHeap(Phases):
    """The paper's algorithm: an indexed binary heap of phases, a shift of all, and a phase transition per target.

    Parameters are those of `Phases`, and

    Parameters
    ----------
    prefetching : bool
        Ask for the memory of later targets and of likely next rows ahead, which the paper's program does not do. It
        is faster where the network is larger than the caches.
    """

    cdef Queue queue
    cdef double shift
    cdef bint ahead

    def __init__(self, *args, bint prefetching=False, **kwargs):
        self.ahead = prefetching
        super().__init__(*args, **kwargs)

    def __dealloc__(self):
        free(self.queue.entries)
        free(self.queue.places)

    cdef set_up(self, const double[::1] phases):
        cdef Entry entry
        cdef count_t i
        if self.queue.entries:
            raise ParameterError("a PaperHeap cannot be initialised twice; make a new one")
        self.queue.entries = <Entry *>allocate_large(self.size, sizeof(Entry))
        self.queue.places = <neuron_t *>allocate_large(self.size, sizeof(neuron_t))
        if not self.queue.entries or not self.queue.places:
            raise InsufficientMemoryError(f"no memory for a heap of {self.size:,} neurons")
        self.queue.size = self.size
        for i in range(self.size):
            entry.key = phases[i]
            entry.neuron = <neuron_t>i
            put(&self.queue, i, entry)
        for i in range(self.size // 2 - 1, -1, -1):
            sink(&self.queue, i, self.queue.entries[i])

    cdef void lif_spikes(self, double *times, int64_t *ids, count_t n) noexcept nogil:
        heap_spikes[LIFCurve](<LIFCurve *>&self.curve, &self.queue, &self.shift, &self.targets[0], self.degree, times,
                              ids, n, self.ahead)

    cdef void qif_spikes(self, double *times, int64_t *ids, count_t n) noexcept nogil:
        heap_spikes[QIFCurve](<QIFCurve *>&self.curve, &self.queue, &self.shift, &self.targets[0], self.degree, times,
                              ids, n, self.ahead)


# The conventional one ---------------------------------------------------------------------------------------------


cdef void scan_spikes(const Model *model, double *phases, count_t size, double *behind, double *now,
                      const neuron_t *targets, count_t degree, double *times, int64_t *ids,
                      count_t n) noexcept nogil:
    cdef count_t e, k, neuron
    cdef const neuron_t *row
    for e in range(n):
        # All but the kicked ones are still where they were at the last spike; one pass brings them here.
        neuron = shift_and_find(phases, size, behind[0])
        behind[0] = model.curve.threshold - phases[neuron]
        now[0] += behind[0]
        times[e] = now[0]
        ids[e] = neuron
        row = targets + neuron * degree
        for k in range(degree):
            phases[row[k]] = kicked(model, phases[row[k]] + behind[0]) - behind[0]
        phases[neuron] = model.curve.reset - behind[0]


@cython.final
cdef class Conventional(Phases):
    """The conventional event-based algorithm: all phases are moved to each spike, and searched for the next one.

    One pass over all neurons per spike does both, with the widest registers that the processor has. Parameters are
    those of `Phases`.
    """

    cdef double[::1] phases
    cdef double behind, now

    cdef set_up(self, const double[::1] phases):
        self.phases = np.array(phases)
        self.behind = 0.0
        self.now = 0.0

    cdef void lif_spikes(self, double *times, int64_t *ids, count_t n) noexcept nogil:
        scan_spikes[LIFCurve](<LIFCurve *>&self.curve, &self.phases[0], self.size, &self.behind, &self.now,
                              &self.targets[0], self.degree, times, ids, n)

    cdef void qif_spikes(self, double *times, int64_t *ids, count_t n) noexcept nogil:
        scan_spikes[QIFCurve](<QIFCurve *>&self.curve, &self.phases[0], self.size, &self.behind, &self.now,
                              &self.targets[0], self.degree, times, ids, n)
