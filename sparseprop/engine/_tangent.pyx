"""The tangent pass: the linear map of each instant, written down as a plan, and vectors taken through it.

docs/dynamics.md has the mathematics. The walk goes through a tape as the pass back does, forward, with its functions
for what arrives when.
"""

from libc.math cimport fabs, isfinite
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memset

import numpy as np

from sparseprop._core cimport TapePart
from sparseprop.engine._bases cimport (
    MOST, MUCH, Bases, Vectors, begin_bases, block_of, end_bases, lower, multiply_blocks, multiply_triangles,
    orthonormal, share_out, width_of,
)
from sparseprop.engine._backward cimport gather_undelayed, new_delivery, synapses_of
from sparseprop.engine._delivery cimport add, arrivals_at, can_add
from sparseprop.engine._loaded cimport Loaded, owned, restore_pairs, zeros
from sparseprop.engine._pass cimport Delivery, Pass, Synapses, since_start
from sparseprop.engine._state cimport (
    NO_MEMORY, RUNNING, Population, State, Status, clear_bit, population_of, reserve,
)
from sparseprop.engine._plan cimport (
    ADD, COMBINE, FIRE, MIX, SCALE, Op, Plan, Walk, new_op, new_targets, new_values, tangent_of,
)
from sparseprop.engine._streams_back cimport entry_time, is_same
from sparseprop.engine._tape cimport BEGINS, CLOSE, DRIVEN, EVENT, MERGED, PAST, SPIKE, Entry, TapeBuffer
from sparseprop.engine._team cimport Team, take_next, team_begin, team_do, team_end
from sparseprop.numerics._elementary cimport log
from sparseprop.numerics._frames cimport Pair, before, enter_epoch
from sparseprop.numerics._memory cimport allocate_lines, grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t

from ..errors import InsufficientMemoryError, NumericalError

cdef extern from *:
    """
    #include <stdint.h>
    #include "sparseprop/numerics/dispatch.h"

    /* Rows of n columns, and `width` of these, a multiple of 8. A multiplication and an addition are rounded each,
       whatever the registers: so are they for one column. */

    static inline void sp_ask(const double *row) {
        __builtin_prefetch(row, 1);
        __builtin_prefetch(row + 8, 1);
    }

    SP_WIDEST
    static void sp_add_rows(double *c, int64_t n, int64_t width, int64_t step, const int32_t *targets,
                            const double *weights, double a, const double *restrict dt, double *restrict scaled,
                            int64_t count) {
        if (!weights)
            for (int64_t q = 0; q < width; q++)
                scaled[q] = a * dt[q];
        for (int64_t k = 0; k < count; k++) {
            double *restrict row = c + n * step * targets[k];
            if (k + 2 < count)
                sp_ask(c + n * step * targets[k + 2]);
            if (weights) {
                double w = a * weights[k];
                for (int64_t q = 0; q < width; q += 8)
                    for (int64_t j = 0; j < 8; j++)
                        row[q + j] += w * dt[q + j];
            } else {
                for (int64_t q = 0; q < width; q += 8)
                    for (int64_t j = 0; j < 8; j++)
                        row[q + j] += scaled[q + j];
            }
        }
    }

    SP_WIDEST
    static void sp_mix_rows(double *c, int64_t n, int64_t width, int64_t step, const int32_t *targets,
                            const double *values, const double *restrict dt, int64_t count) {
        for (int64_t k = 0; k < count; k++) {
            double *restrict row = c + n * step * targets[k];
            double D = values[k], T = values[count + k];
            if (k + 2 < count)
                sp_ask(c + n * step * targets[k + 2]);
            for (int64_t q = 0; q < width; q += 8)
                for (int64_t j = 0; j < 8; j++)
                    row[q + j] = D * row[q + j] + T * dt[q + j];
        }
    }

    SP_WIDEST
    static void sp_scale_rows(double *c, int64_t n, int64_t width, int64_t step, const int32_t *targets,
                              const double *values, int64_t count) {
        for (int64_t k = 0; k < count; k++) {
            double *restrict row = c + n * step * (targets ? targets[k] : k);
            double D = values[k];
            for (int64_t q = 0; q < width; q += 8)
                for (int64_t j = 0; j < 8; j++)
                    row[q + j] *= D;
        }
    }

    /* What the time of a spike is off by, from the rows of its neuron. */
    SP_WIDEST
    static void sp_read_rows(const double *row, int64_t n, int64_t width, const double *values, double *restrict dt,
                             int64_t count) {
        for (int64_t q = 0; q < width; q++)
            dt[q] = values[0] * row[q];
        for (int64_t k = 1; k < count; k++)
            for (int64_t q = 0; q < width; q++)
                dt[q] += values[k] * row[n * k + q];
    }

    static void sp_set_row(double *restrict row, int64_t width, double a, const double *restrict dt) {
        for (int64_t q = 0; q < width; q++)
            row[q] = dt ? a * dt[q] : 0.0;
    }
    """
    void add_rows "sp_add_rows"(double *c, int64_t n, int64_t width, int64_t step, const neuron_t *targets,
                                const double *weights, double a, const double *dt, double *scaled,
                                int64_t count) noexcept nogil
    void mix_rows "sp_mix_rows"(double *c, int64_t n, int64_t width, int64_t step, const neuron_t *targets,
                                const double *values, const double *dt, int64_t count) noexcept nogil
    void scale_rows "sp_scale_rows"(double *c, int64_t n, int64_t width, int64_t step, const neuron_t *targets,
                                    const double *values, int64_t count) noexcept nogil
    void read_rows "sp_read_rows"(const double *row, int64_t n, int64_t width, const double *values, double *dt,
                                  int64_t count) noexcept nogil
    void set_row "sp_set_row"(double *row, int64_t width, double a, const double *dt) noexcept nogil


# The plan of a tape ---------------------------------------------------------------------------------------------------

cdef inline int64_t slot_of(const Walk *w, count_t entry) noexcept nogil:
    """Where the time is that an entry is off by; -1 for what comes from outside, which is frozen."""
    return entry - w.first_entry if w.b.tape.entries[entry].kind == SPIKE else -1


cdef Status go_forth(Walk *w, Pair now) noexcept nogil:
    """Bring frames and rows to the time `now`."""
    cdef State *e = w.b.e
    cdef Population *p
    cdef int64_t k
    cdef neuron_t j
    cdef bint scaled
    e.now = now
    e.instant += 1
    w.b.t = since_start(&w.b, now)
    for k in range(e.n_populations):
        p = &e.populations[k]
        if p.epoch == now.n:
            continue
        if p.ops != NULL and tangent_of(p).move_forth(w, p, now.n) != RUNNING:
            return NO_MEMORY
        scaled = False
        for j in range(p.n_frames):
            enter_epoch(&p.frames[j], now.n)
            scaled = scaled or p.frames[j].steps != 0
        p.epoch = now.n
        if scaled and p.ops != NULL and tangent_of(p).rescale_forth(w, p) != RUNNING:
            return NO_MEMORY
    return RUNNING


cdef Status merge_forth(Walk *w) noexcept nogil:
    """One kick for each target, by the sum of what arrives there."""
    cdef State *e = w.b.e
    cdef TapeBuffer *tape = w.b.tape
    cdef Population *p
    cdef Synapses c
    cdef count_t k
    cdef int64_t j
    cdef neuron_t i
    cdef double V
    cdef Status status
    if not can_add(e):
        return NO_MEMORY
    for k in range(w.b.n_deliveries):
        for j in range(w.b.deliveries[k].n_projections):
            synapses_of(&w.b, &w.b.deliveries[k], j, &c)
            if c.post.ops.has_currents:
                continue
            for i in range(c.count):
                if not add(e, c.post.first + c.targets[i], c.weights[i] if c.weights != NULL else c.weight, 0):
                    return NO_MEMORY
    for k in range(e.touched[0].size):
        i = e.touched[0].items[k]
        clear_bit(arrivals_at(e, 0), i)
        p = &e.populations[population_of(e, i)]
        V = 0.0
        if p.ops.notes_states:
            i = tape.targets[w.target]
            V = tape.values[w.value]
            w.target += 1
            w.value += 1
            p = &e.populations[population_of(e, i)]
        status = tangent_of(p).merged_forth(w, p, i - p.first, V, e.arriving[i])
        if status != RUNNING:
            return status
    e.touched[0].size = 0
    return RUNNING


cdef Status merged_row_forth(Walk *w, const Synapses *c, int64_t slot) noexcept nogil:
    """What a row has of the merged kicks: their times are off by a mean of those of the spikes."""
    cdef Op *op
    cdef double *weights
    cdef neuron_t *targets
    cdef synapse_t k
    if slot < 0 or c.count == 0:
        return RUNNING
    op = new_op(&w.plan, ADD, slot)
    weights = new_values(&w.plan, op, c.count) if op != NULL else NULL
    targets = new_targets(&w.plan, op, c.count) if weights != NULL else NULL
    if targets == NULL:
        return NO_MEMORY
    op.row = w.first_row[c.post - w.b.e.populations]
    op.step = w.width[c.post - w.b.e.populations]
    op.count = c.count
    op.a = 1.0
    for k in range(c.count):
        targets[k] = c.targets[k]
        weights[k] = (c.weights[k] if c.weights != NULL else c.weight) * w.by_time[c.post.first + c.targets[k]]
    w.plan.n_updates += c.count
    return RUNNING


cdef Status deliver_forth(Walk *w, bint merged) noexcept nogil:
    """All kicks of a phase."""
    cdef Delivery *d
    cdef Synapses c
    cdef count_t k
    cdef int64_t j
    cdef Status status
    if merged and merge_forth(w) != RUNNING:
        return NO_MEMORY
    for k in range(w.b.n_deliveries):
        d = &w.b.deliveries[k]
        for j in range(d.n_projections):
            synapses_of(&w.b, d, j, &c)
            if merged and not c.post.ops.has_currents:
                status = merged_row_forth(w, &c, slot_of(w, d.entry))
            else:
                status = tangent_of(c.post).row_forth(w, &c, slot_of(w, d.entry))
            if status != RUNNING:
                return status
    return RUNNING


cdef int64_t cause_of(Walk *w, neuron_t neuron) noexcept nogil:
    """The slot of the spike whose kick, in the phase before, drove a neuron (global id) over threshold.

    -1 for what comes from outside, and for a neuron that was due when its parameters changed. Of several it is the last
    one: if all that happens in the instant follows from one event, their times are the same.
    """
    cdef Synapses c
    cdef count_t k
    cdef int64_t j, slot = -1
    cdef synapse_t at
    for k in range(w.b.n_deliveries):
        for j in range(w.b.deliveries[k].n_projections):
            synapses_of(&w.b, &w.b.deliveries[k], j, &c)
            if neuron < c.post.first or neuron - c.post.first >= c.post.size:
                continue
            for at in range(c.count):
                if c.post.first + c.targets[at] == neuron and (
                        c.weights[at] if c.weights != NULL else c.weight) > 0.0:
                    slot = slot_of(w, w.b.deliveries[k].entry)
    return slot


cdef Status instant_forth(Walk *w) noexcept nogil:
    """What arrives first, and then one generation of spikes after the other."""
    cdef Pass *b = &w.b
    cdef const TapeBuffer *tape = b.tape
    cdef const Entry *entry
    cdef Population *p
    cdef Delivery *d
    cdef Pair now = entry_time(&tape.entries[b.at])
    cdef bint merged = False
    cdef int64_t cause
    cdef count_t low, k
    cdef Status status = go_forth(w, now)
    if status != RUNNING:
        return status
    w.first_entry = b.at
    b.n_deliveries = 0
    while is_ahead(b, now) and tape.entries[b.at].kind != SPIKE:
        if tape.entries[b.at].kind == MERGED:
            merged = True
        elif tape.entries[b.at].kind == EVENT:
            d = new_delivery(b, b.at)
            if d == NULL:
                return NO_MEMORY
        elif tape.entries[b.at].kind != CLOSE and not gather_undelayed(b, b.at):
            return NO_MEMORY
        b.at += 1
    status = deliver_forth(w, merged)
    while status == RUNNING and is_ahead(b, now):
        low = b.at
        while is_ahead(b, now) and tape.entries[b.at].kind == SPIKE and (
                b.at == low or not tape.entries[b.at].flags & BEGINS):
            entry = &tape.entries[b.at]
            p = &b.e.populations[population_of(b.e, entry.neuron)]
            cause = cause_of(w, entry.neuron) if entry.flags & DRIVEN else -1
            status = tangent_of(p).spike_forth(w, p, entry.neuron - p.first, slot_of(w, b.at),
                                               (entry.flags & DRIVEN) != 0, cause)
            if status != RUNNING:
                return status
            b.at += 1
        b.n_deliveries = 0
        for k in range(low, b.at):
            if tape.entries[k].kind == SPIKE and not gather_undelayed(b, k):
                return NO_MEMORY
        merged = False
        while is_ahead(b, now) and tape.entries[b.at].kind != SPIKE:
            merged = merged or tape.entries[b.at].kind == MERGED
            b.at += 1
        status = deliver_forth(w, merged)
    w.plan.n_slots = max(w.plan.n_slots, b.at - w.first_entry)
    return status


cdef inline bint is_ahead(const Pass *b, Pair now) noexcept nogil:
    """Whether the next entry is of this instant."""
    return b.at < b.tape.size and is_same(entry_time(&b.tape.entries[b.at]), now)


cdef bint look_ahead(Walk *w, Pair start) noexcept nogil:
    """Find the currents at the ends of refractory periods, which are noted with the spike after; False if no memory."""
    cdef const TapeBuffer *tape = w.b.tape
    cdef const Entry *entry
    cdef const Population *p
    cdef count_t k, current = tape.n_currents, spike = 0
    cdef double *next_one = w.by_time
    cdef int64_t j
    cdef neuron_t i
    w.current = w.spike = 0
    if tape.at_release == NULL:
        return True
    for k in range(tape.size):
        spike += tape.entries[k].kind == SPIKE
    if not grow(<void **> &w.after_spikes, &w.spikes_capacity, spike, sizeof(double)):
        return False
    for i in range(w.b.e.n):
        next_one[i] = tape.at_release[i]
    spike = w.spikes_capacity
    for k in range(tape.size - 1, -1, -1):
        entry = &tape.entries[k]
        p = &w.b.e.populations[population_of(w.b.e, entry.neuron)]
        if entry.kind != SPIKE or not p.ops.has_currents:
            continue
        current -= 1
        if p.release == NULL:
            continue
        current -= 1
        spike -= 1
        w.after_spikes[spike] = next_one[entry.neuron]
        next_one[entry.neuron] = tape.currents[current]
    w.spike = spike
    for j in range(w.b.e.n_populations):
        p = &w.b.e.populations[j]
        for i in range(p.size if p.release != NULL else 0):
            # An end before this tape may not have been taken yet.
            if before(start, p.release[i]):
                w.at_release[p.first + i] = next_one[p.first + i]
    return True


cdef Status instants_forth(Walk *w, Pair until) noexcept nogil:
    """All instants of the tape before `until`."""
    cdef Pass *b = &w.b
    cdef Status status = RUNNING
    while status == RUNNING and b.at < b.tape.size:
        if b.tape.entries[b.at].kind == PAST:
            b.at += 1
        elif before(entry_time(&b.tape.entries[b.at]), until):
            status = instant_forth(w)
        else:
            break
    return status


# Vectors --------------------------------------------------------------------------------------------------------------

cdef void take_through(const Plan *plan, double *c, int64_t n, int64_t width, double *dt,
                       double *scaled) noexcept nogil:
    """Columns (a multiple of 8) of those in c, n in each row, through the whole plan; dt has as many for each slot."""
    cdef const Op *op
    cdef const neuron_t *targets
    cdef const double *values
    cdef double *rows
    cdef double *time
    cdef count_t k
    for k in range(plan.n_ops):
        op = &plan.ops[k]
        rows = c + n * op.row
        time = dt + width * op.slot
        targets = op.targets if op.targets_at < 0 else plan.targets + op.targets_at
        values = plan.values + op.values_at
        if op.kind == ADD:
            add_rows(rows, n, width, op.step, targets, values if op.values_at >= 0 else op.weights, op.a, time, scaled,
                     op.count)
        elif op.kind == MIX:
            mix_rows(rows, n, width, op.step, targets, values, time, op.count)
        elif op.kind == COMBINE:
            read_rows(rows, n, width, values, scaled, op.count)
            set_row(rows, width, 1.0, scaled)
        elif op.kind == SCALE:
            scale_rows(rows, n, width, op.step, targets, values, op.count)
        elif op.kind == FIRE:
            read_rows(rows, n, width, values, time, op.count)
            set_row(rows, width, values[op.count], time)
        elif op.cause >= 0:
            set_row(time, width, 1.0, dt + width * op.cause)
            set_row(rows, width, values[op.count], time)
        else:
            set_row(time, width, 0.0, NULL)
            set_row(rows, width, 0.0, NULL)


# Columns that are taken through a plan, in parts of blocks.
cdef struct Application:
    const Plan *plan
    const Vectors *v
    int64_t width               # of a part
    double *times               # of each member: for each slot, and a row behind them
    long long next
    Team team


cdef void apply_to_parts(void *shared, int member) noexcept nogil:
    """A job of the team."""
    cdef Application *s = <Application *> shared
    cdef const Vectors *v = s.v
    cdef int64_t in_block = (v.block + s.width - 1) // s.width, n = s.plan.n_slots * s.width, part, first
    cdef double *times = s.times + (n + s.width) * member
    while True:
        part = take_next(&s.next, 1)
        if part >= v.n_blocks * in_block:
            return
        first = s.width * (part % in_block)
        take_through(s.plan, block_of(v, part // in_block) + first, v.block, min(s.width, v.block - first), times,
                     times + n)


cdef class Tangent:
    """Vectors of what all neurons are off by, and what a trajectory makes of them.

    Parameters
    ----------
    network : EngineInput
        That of the engine whose tapes are loaded; without delays.
    n_columns : int
        How many vectors.
    block : int
        Columns that are taken through a plan together, a multiple of 8; up to 64 if they are to be decomposed.
    """

    cdef Walk w
    cdef Loaded loaded
    cdef TapePart part
    cdef list kept
    cdef Vectors v
    cdef int64_t n_changes      # of parameters, so far
    cdef int64_t n_applied      # updates of rows

    def __cinit__(self):
        memset(&self.w, 0, sizeof(Walk))
        memset(&self.v, 0, sizeof(Vectors))

    def __dealloc__(self):
        cdef int64_t k
        if self.w.stretch != NULL:
            for k in range(self.w.b.e.n_populations):
                free(self.w.stretch[k])
        free(self.w.stretch)
        free(self.w.first_row)
        free(self.w.width)
        free(self.w.by_time)
        free(self.w.held)
        free(self.w.at_release)
        free(self.w.after_spikes)
        free(self.w.plan.ops)
        free(self.w.plan.values)
        free(self.w.plan.targets)
        free(self.w.b.deliveries)
        free(self.v.columns)

    def __init__(self, network, int64_t n_columns, int64_t block):
        cdef Walk *w = &self.w
        cdef Vectors *v = &self.v
        cdef State *e
        cdef Population *p
        cdef int64_t k
        self.loaded = Loaded(network)
        self.kept = []
        e = w.b.e = &self.loaded.e
        w.product = 1.0
        w.first_row = <int64_t *> zeros(e.n_populations, sizeof(int64_t))
        w.width = <int64_t *> zeros(e.n_populations, sizeof(int64_t))
        w.stretch = <double **> zeros(e.n_populations, sizeof(double *))
        w.by_time = <double *> zeros(e.n, sizeof(double))
        w.at_release = <double *> zeros(e.n, sizeof(double))
        w.held = <uint8_t *> zeros(e.n // 8 + 1, 1)
        for k in range(e.n_populations):
            p = &e.populations[k]
            w.first_row[k] = v.n_rows
            if p.ops == NULL:
                continue
            w.width[k] = tangent_of(p).width(p)
            v.n_rows += w.width[k] * <int64_t> p.size
            if network.changes or not tangent_of(p).stands_still(p):
                w.stretch[k] = <double *> zeros(2 * <int64_t> p.size, sizeof(double))
        w.b.sums.n = e.n
        # What the pass back adds up for parameters is of no interest here.
        w.b.sums.I_e = w.b.sums.tau_m = w.b.sums.threshold = w.b.sums.V_reset = w.b.sums.t_ref = w.b.sums.shape = \
            w.b.sums.tau_syn = self._scratch(e.n * e.n_ports)
        if not reserve(&e.drawn, 1):
            owned(NULL)
        v.n_columns, v.block, v.n_blocks = n_columns, block, (n_columns + block - 1) // block
        v.columns = <double *> owned(allocate_lines(v.n_blocks * v.n_rows * block, sizeof(double)))
        memset(v.columns, 0, v.n_blocks * v.n_rows * block * sizeof(double))

    cdef double *_scratch(self, int64_t n):
        cdef double[::1] view = np.zeros(n)
        self.kept.append(view)
        return &view[0]

    def begin(self, engine):
        """The vectors that are put next belong to the engine's present.

        Returns
        -------
        ndarray of shape (rows,)
            What a unit of each row comes to in the coordinates of measurement.
        """
        cdef int64_t k
        cdef Population *p
        cdef Walk *w = &self.w
        cdef double[::1] gain = np.ones(self.v.n_rows)
        cdef double[::1] V = engine.voltages(internal=True)
        cdef Status status = RUNNING
        w.b.start.n, w.b.start.s = engine.now
        self._set_parameters(engine.n_changes)
        self._go(engine.now)
        self.clear()
        w.log_volume, w.product = 0.0, 1.0
        for k in range(w.b.e.n_populations):
            p = &w.b.e.populations[k]
            if p.ops != NULL and status == RUNNING:
                restore_pairs(p.release, engine.releases(k))
                status = tangent_of(p).begin(w, p, &V[p.first], &gain[w.first_row[k]])
        if status != RUNNING:
            owned(NULL)
        return gain.base

    def _set_parameters(self, int64_t n_changes):
        cdef int64_t k
        if n_changes != self.n_changes:
            for k in range(self.w.b.e.n_populations):
                self.loaded._after_changes(k, n_changes)
            self.n_changes = n_changes

    def _go(self, pair):
        cdef Pair now
        now.n, now.s = pair
        if go_forth(&self.w, now) != RUNNING:
            owned(NULL)

    def measure(self, engine):
        """What a unit of each row comes to in the coordinates of measurement, now: an array of shape (rows,)."""
        cdef double[::1] gain = np.ones(self.v.n_rows)
        cdef double[::1] V = engine.voltages(internal=True)
        cdef Population *p
        cdef int64_t k
        cdef Status status = RUNNING
        self._go(engine.now)
        for k in range(self.w.b.e.n_populations):
            p = &self.w.b.e.populations[k]
            if p.ops != NULL and status == RUNNING:
                status = tangent_of(p).measure(&self.w, p, &V[p.first], &gain[self.w.first_row[k]])
        if status != RUNNING:
            owned(NULL)
        self._apply_now()
        return gain.base

    def _apply_now(self):
        """What is on the plan because time went on."""
        if self.w.plan.n_ops:
            self.apply()
            self.clear()

    def load(self, TapePart part):
        """Make a plan of what happened on a tape."""
        cdef Pair end
        cdef int64_t k
        self.part = part
        self.w.b.tape = part.tape
        self.w.b.at = self.w.value = self.w.target = 0
        if not look_ahead(&self.w, part.start):
            owned(NULL)
        for k in range(part.n_changes_before, part.n_changes):
            end.n, end.s = self.loaded.change_n[k], self.loaded.change_s[k]
            self._plan_until(end)
            self._change(k, part.voltages[k - part.n_changes_before])
        end.n = (<int64_t> 1) << 62
        end.s = 0.0
        self._plan_until(end)
        self.w.b.tape = NULL
        self.part = None

    cdef _plan_until(self, Pair end):
        cdef Status status
        with nogil:
            status = instants_forth(&self.w, end)
        if status != RUNNING:
            raise InsufficientMemoryError("not enough memory for the plan of the tangent pass")

    cdef _change(self, int64_t k, const double[::1] V):
        """The k-th change of parameters, of a population whose V it leaves as it is."""
        cdef int64_t number = self.loaded.change_number[k], r, n
        cdef Population *p = &self.w.b.e.populations[number]
        cdef double[::1] old = np.empty(p.size), new = np.empty(p.size)
        cdef double *values
        cdef Op *op
        cdef Walk *w = &self.w
        self._go((self.loaded.change_n[k], self.loaded.change_s[k]))
        if tangent_of(p).change(w, p, &V[0], False, &old[0]) != RUNNING:
            owned(NULL)
        self.loaded._after_changes(number, k + 1)
        self.n_changes = k + 1
        tangent_of(p).change(w, p, &V[0], True, &new[0])
        n = w.width[number]
        op = new_op(&w.plan, SCALE, -1)
        values = new_values(&w.plan, op, p.size) if op != NULL else NULL
        if values == NULL:
            owned(NULL)
        op.row, op.step, op.count = w.first_row[number], n, p.size
        for r in range(p.size):
            values[r] = old[r] / new[r]
            self.w.log_volume += log(fabs(values[r]))
            if not isfinite(values[r]):
                raise NumericalError(
                    f"neuron {p.first + r} was refractory when its current changed at "
                    f"{self.loaded.clock.milliseconds((self.loaded.change_n[k], self.loaded.change_s[k]))} ms, and "
                    "V_reset was its resting point: what its release is off by is not known. Change I_e a little"
                )

    def clear(self):
        """Forget the plan."""
        self.w.plan.n_ops = self.w.plan.n_values = self.w.plan.n_targets = 0
        self.n_applied = self.w.plan.n_updates

    def apply(self, int n_threads=1):
        """Take all columns through the plan."""
        cdef Application s
        cdef int64_t parts = 1
        if (self.w.plan.n_updates - self.n_applied) * self.v.n_columns <= MUCH:
            n_threads = 1
        # Threads are done at about the same time if each has several parts.
        while n_threads > 1 and self.v.n_blocks * parts < 4 * n_threads and self.v.block % (16 * parts) == 0:
            parts *= 2
        s.plan, s.v, s.width, s.next = &self.w.plan, &self.v, self.v.block // parts, 0
        s.times = <double *> owned(allocate_lines((s.plan.n_slots + 1) * s.width * n_threads, sizeof(double)))
        with nogil:
            if team_begin(&s.team, n_threads):
                team_do(&s.team, apply_to_parts, &s)
                team_end(&s.team)
            free(s.times)
        if s.next == 0:
            owned(NULL)

    cdef inline double *_row(self, int64_t b, int64_t r):
        return block_of(&self.v, b) + r * self.v.block

    def put(self, const double[:, :] vectors, const double[::1] gain):
        """The vectors, shape (rows, columns), each row of them over its gain."""
        cdef int64_t b, r, k
        cdef double over
        cdef double *row
        # Columns behind the last one, too: vectors that left the range of a double leave NaNs there.
        memset(self.v.columns, 0, self.v.n_blocks * self.v.n_rows * self.v.block * sizeof(double))
        for b in range(self.v.n_blocks):
            for r in range(self.v.n_rows):
                row = self._row(b, r)
                over = 1.0 / gain[r]
                for k in range(width_of(&self.v, b)):
                    row[k] = vectors[r, b * self.v.block + k] * over
        self._apply_now()

    def get(self, double[:, :] vectors, const double[::1] gain):
        """The vectors, each row times its gain."""
        cdef int64_t b, r, k
        cdef const double *row
        for b in range(self.v.n_blocks):
            for r in range(self.v.n_rows):
                row = self._row(b, r)
                for k in range(width_of(&self.v, b)):
                    vectors[r, b * self.v.block + k] = row[k] * gain[r]

    def put_back(self, const double[::1] gain, int n_threads=1):
        """The same vectors as they are after `begin`, each row over its gain."""
        cdef Bases s
        cdef double[::1] factors = 1.0 / np.asarray(gain)
        cdef Status status = self._begin_bases(&s, False, n_threads, factors, None)
        with nogil:
            if status == RUNNING:
                share_out(&s, multiply_blocks, 0, 0)
            end_bases(&s)
        if status != RUNNING:
            owned(NULL)
        self._apply_now()

    def make_lower(self, const double[::1] gain, double[:, ::1] triangle=None, int n_threads=1):
        """The lower factor of an LU decomposition, with exchanges of rows, which stay where they are.

        That of the vectors, each row times its gain. Returns the diagonal of the other factor, which is written to
        `triangle`, of `padded` rows and columns.
        """
        return self._make(False, gain, triangle, n_threads)

    def make_orthonormal(self, const double[::1] gain, double[:, ::1] triangle=None, int n_threads=1):
        """The same by a QR decomposition, with a diagonal that is not negative."""
        return self._make(True, gain, triangle, n_threads)

    def _make(self, bint is_orthonormal, const double[::1] gain, double[:, ::1] triangle, int n_threads):
        cdef Bases s
        cdef double[::1] diagonal = np.zeros(self.v.n_columns)
        cdef Status status
        if self.v.block > MOST:
            raise ValueError(f"blocks of {self.v.block} columns cannot be decomposed")
        status = self._begin_bases(&s, is_orthonormal, n_threads, gain, triangle)
        s.diagonal = &diagonal[0]
        with nogil:
            if status == RUNNING and is_orthonormal:
                orthonormal(&s)
            elif status == RUNNING:
                lower(&s)
            end_bases(&s)
        if status != RUNNING:
            owned(NULL)
        return diagonal.base

    cdef Status _begin_bases(self, Bases *s, bint with_reflectors, int n_threads, const double[::1] factors,
                             double[:, ::1] triangle):
        cdef bint is_ready = begin_bases(s, &self.v, with_reflectors, n_threads)
        s.factors = &factors[0]
        if triangle is not None:
            s.triangle = &triangle[0, 0]
        return RUNNING if is_ready else NO_MEMORY

    @property
    def n_rows(self):
        return self.v.n_rows

    @property
    def padded(self):
        """Columns with those behind the last one."""
        return self.v.n_blocks * self.v.block

    @property
    def neurons(self):
        """The first row of each neuron, or None if each has one row."""
        cdef int64_t k
        parts = [
            self.w.first_row[k] + self.w.width[k] * np.arange(self.w.b.e.populations[k].size)
            for k in range(self.w.b.e.n_populations) if self.w.width[k]
        ]
        rows = np.concatenate([np.zeros(0, np.int64), *parts])
        return None if len(rows) == self.v.n_rows else rows

    @property
    def log_volume(self):
        """The log of what the volume of rows has been multiplied by, by all plans since `begin`."""
        return self.w.log_volume + log(self.w.product)

    @property
    def n_driven(self):
        """Spikes whose time is that of something else, each of which takes a dimension from the vectors."""
        return self.w.n_driven


def product(const double[:, ::1] first, const double[:, ::1] second, int64_t n):
    """Of upper triangles of n rows and columns, in arrays with a multiple of 8 columns."""
    cdef double[:, ::1] result = np.zeros((first.shape[0], first.shape[1]))
    cdef double[::1] buffer = np.empty(8 * n)
    with nogil:
        multiply_triangles(&result[0, 0], &first[0, 0], &second[0, 0], n, first.shape[1], &buffer[0])
    return result.base
