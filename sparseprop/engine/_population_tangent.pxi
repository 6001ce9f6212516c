# The tangent pass through what all kinds of neurons share, for the Model of engine/_population.pxi, after
# engine/_population_back.pxi. The names of the pass back are kept, with ..._forth for ..._back. No derivative is
# written here: a neuron has one number to be off by, and the gain from one place to another is the same in both
# directions, so the pass back is asked what it makes of an adjoint of 1.
#
# What is kept of a neuron (its row) is what that adjoint belongs to: in kinds that stand still a coordinate that is
# constant between events; else V at the start of the present stretch, from which `leave` knows the gain to its end.
# A neuron with synaptic currents has a row for each of them besides, and all of them stand still.

from sparseprop.engine._plan cimport (
    ADD, COMBINE, FIRE, FOLLOW, MIX, SCALE, Op, TangentOps, Walk, new_op, new_targets, new_values,
)
from sparseprop.numerics._elementary cimport log

cdef enum:
    MOST_ADJOINT = 16           # doubles, of an adjoint that is not wide


cdef inline double *clear(double *y) noexcept nogil:
    cdef int64_t k
    for k in range(MOST_ADJOINT):
        y[k] = 0.0
    return y


cdef inline int64_t row_of(const Walk *w, const Population *p, neuron_t i) noexcept nogil:
    """The first row of neuron i."""
    return w.first_row[p - w.b.e.populations] + w.width[p - w.b.e.populations] * <int64_t> i


cdef inline double *combine(Walk *w, int64_t row, int64_t n) noexcept nogil:
    """The coefficients of an operation that makes the first of n rows a sum of them; NULL if there is no memory."""
    cdef Op *op = new_op(&w.plan, COMBINE, -1)
    if op == NULL:
        return NULL
    op.row = row
    op.count = n
    return new_values(&w.plan, op, n)


cdef inline double *scale(Walk *w, int64_t row, int64_t n) noexcept nogil:
    """The factors of an operation that multiplies n rows; NULL if there is no memory."""
    cdef Op *op = new_op(&w.plan, SCALE, -1)
    if op == NULL:
        return NULL
    op.row = row
    op.count = n
    return new_values(&w.plan, op, n)


cdef inline void multiply_volume(Walk *w, double factor) noexcept nogil:
    w.product *= fabs(factor)
    if not 1e-100 < w.product < 1e100:
        w.log_volume += log(w.product) if w.product > 0.0 else -INFINITY
        w.product = 1.0


cdef inline double *stretch_of_neuron(const Walk *w, const Population *p, neuron_t i) noexcept nogil:
    return w.stretch[p - w.b.e.populations] + 2 * <int64_t> i


cdef inline void begin_stretch(Walk *w, const Population *p, neuron_t i, double V, double t) noexcept nogil:
    cdef double *stretch = stretch_of_neuron(w, p, i)
    stretch[0] = V
    stretch[1] = t


cdef inline double gain_until(Walk *w, const Population *p, const Model *m, neuron_t i, double *y) noexcept nogil:
    """Of what is kept, for the adjoint y at the end of the present stretch."""
    cdef double *stretch
    cdef When begin
    if stands_still(m):
        return y[0]
    stretch = stretch_of_neuron(w, p, i)
    begin.E = 1.0
    begin.s = 0.0
    begin.tau = tau_of(m, &p.frames[m.frame])
    begin.t = stretch[1]
    return leave(m, y, False, &w.b.sums, p.first + i, &begin, stretch[0], distance_of(m, stretch[0]))


# Kicks ----------------------------------------------------------------------------------------------------------------

cdef inline void kick_forth(Walk *w, const Population *p, const Model *m, neuron_t i, double V, double weight,
                            double *gain, double *by_time) noexcept nogil:
    """What a kick does to what is kept: the factor, and what it adds for a unit of time and weight."""
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y = clear(adjoint)
    cdef double of_weight, after = V + weight
    cdef const Frame *f = frame_back(w.b.e, p, m)
    cdef When now = now_of(&w.b, m, f)
    if stands_still(m):
        y[0] = 1.0
        y[1] = now.t
        kick_back(m, y, False, f, &now, V, weight, 0, &of_weight, by_time)
        gain[0] = y[0]
        return
    arrive(m, y, False, &w.b.sums, p.first + i, &now, after, distance_of(m, after), 1.0)
    kick_back(m, y, False, f, &now, V, weight, 0, &of_weight, by_time)
    gain[0] = gain_until(w, p, m, i, y)
    begin_stretch(w, p, i, after, now.t)


cdef inline bint name_targets(Walk *w, Op *op, const Synapses *c) noexcept nogil:
    """Let an operation have the targets of a row; False if there is no memory."""
    cdef neuron_t *targets
    op.row = w.first_row[c.post - w.b.e.populations]
    op.step = w.width[c.post - w.b.e.populations]
    op.count = c.count
    if c.projection >= 0 and not w.b.e.projections[c.projection].procedural:
        op.targets = c.targets
        return True
    targets = new_targets(&w.plan, op, c.count)
    if targets == NULL:
        return False
    memcpy(targets, c.targets, c.count * sizeof(neuron_t))
    return True


cdef Status row_forth(Walk *w, const Synapses *c, int64_t slot) noexcept nogil:
    """The kicks of a row, one for each target, by an event whose time is dt[slot]."""
    cdef Pass *b = &w.b
    cdef Population *p = c.post
    cdef const Model *m = <const Model *> p.rows
    cdef const double *V = NULL
    cdef double *values
    cdef double gain, by_time, v = 0.0, weight
    cdef Op *op
    cdef neuron_t i
    cdef int64_t k
    if c.count == 0:
        return RUNNING
    w.plan.n_updates += c.count
    if has_currents(m):
        return row_of_currents(w, c, slot)
    if not notes_states(m) and not p.heterogeneous and p.release == NULL:
        # The same for all of them, and rows stay as they are.
        if slot < 0:
            return RUNNING
        kick_forth(w, p, m, 0, 0.0, 1.0, &gain, &by_time)
        op = new_op(&w.plan, ADD, slot)
        if op == NULL or not name_targets(w, op, c):
            return NO_MEMORY
        op.weights = c.weights
        op.a = by_time if c.weights != NULL else by_time * c.weight
        return RUNNING
    if notes_states(m):
        V = b.tape.values + w.value
        w.value += c.count
    op = new_op(&w.plan, MIX if slot >= 0 else SCALE, slot)
    if op == NULL or not name_targets(w, op, c):
        return NO_MEMORY
    values = new_values(&w.plan, op, 2 * c.count if slot >= 0 else c.count)
    if values == NULL:
        return NO_MEMORY
    for k in range(c.count):
        i = c.targets[k]
        gain = 1.0
        by_time = 0.0
        weight = c.weights[k] if c.weights != NULL else c.weight
        if notes_states(m):
            v = V[k]
        if not isnan(v) and (p.release == NULL or not before(b.e.now, p.release[i])):
            kick_forth(w, p, row(p, i), i, v, weight, &gain, &by_time)
            multiply_volume(w, gain)
        values[k] = gain
        if slot >= 0:
            values[c.count + k] = by_time * weight
    return RUNNING


cdef Status merged_forth(Walk *w, Population *p, neuron_t i, double V, double weight) noexcept nogil:
    """One kick by the sum of what arrives at a target; what that adds for a unit of time and weight is noted."""
    cdef double gain = 1.0, by_time = 0.0
    cdef double *value
    if not isnan(V) and (p.release == NULL or not before(w.b.e.now, p.release[i])):
        kick_forth(w, p, row(p, i), i, V, weight, &gain, &by_time)
        multiply_volume(w, gain)
    w.by_time[p.first + i] = by_time
    if gain == 1.0:
        return RUNNING
    value = scale(w, row_of(w, p, i), 1)
    if value == NULL:
        return NO_MEMORY
    value[0] = gain
    w.plan.n_updates += 1
    return RUNNING


cdef Status row_of_currents(Walk *w, const Synapses *c, int64_t slot) noexcept nogil:
    """`row_forth` for neurons with synaptic currents: a kick adds to the row of V, and to that of a current."""
    cdef State *e = w.b.e
    cdef Population *p = c.post
    cdef const Model *m = <const Model *> p.rows
    cdef const Frame *f
    cdef int64_t port = e.projections[c.projection].port if c.projection >= 0 else e.processes[c.process].port
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y
    cdef double[2] by_time
    cdef double of_weight, weight
    cdef double *values
    cdef When now
    cdef Op *op
    cdef int64_t k, r
    cdef neuron_t i
    if p.release != NULL:
        for k in range(c.count):
            if pass_release_forth(w, p, c.targets[k]) != RUNNING:
                return NO_MEMORY
    if slot < 0:
        return RUNNING
    by_time[0] = by_time[1] = 0.0
    for r in range(2):
        op = new_op(&w.plan, ADD, slot)
        if op == NULL or not name_targets(w, op, c):
            return NO_MEMORY
        op.row += r * (1 + port)
        op.a = 1.0
        values = new_values(&w.plan, op, c.count)
        if values == NULL:
            return NO_MEMORY
        for k in range(c.count):
            i = c.targets[k]
            m = row(p, i)
            if k == 0 or p.heterogeneous:
                f = frame_back(e, p, m)
                now = now_of(&w.b, m, f)
                y = clear(adjoint)
                y[r * (1 + port)] = 1.0
                kick_back(m, y, False, f, &now, 0.0, 1.0, port, &of_weight, &by_time[r])
            weight = c.weights[k] if c.weights != NULL else c.weight
            values[k] = 0.0 if r == 0 and is_held(w, p, i) else weight * by_time[r]
    return RUNNING


# Spikes ---------------------------------------------------------------------------------------------------------------

cdef inline bint is_held(const Walk *w, const Population *p, neuron_t i) noexcept nogil:
    """Whether the end of a refractory period is still to come, of a neuron with synaptic currents."""
    return p.release != NULL and get_bit(w.held, p.first + i)


cdef Status release_forth(Walk *w, const Population *p, neuron_t i) noexcept nogil:
    """The end of a refractory period, where V begins to depend on the time of the spike, and on the currents."""
    cdef const Model *m = row(p, i)
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y = clear(adjoint)
    cdef When release = release_of(&w.b, p, m, &p.frames[m.frame], p.release[i])
    cdef int64_t k, width = w.width[p - w.b.e.populations]
    cdef double *values = combine(w, row_of(w, p, i), width)
    if values == NULL:
        return NO_MEMORY
    y[0] = 1.0
    values[0] = reset_back(&w.b, m, y, p.first + i, &release, w.at_release[p.first + i])
    for k in range(1, width):
        values[k] = y[k]
    multiply_volume(w, values[0])
    clear_bit(w.held, p.first + i)
    return RUNNING


cdef inline Status pass_release_forth(Walk *w, const Population *p, neuron_t i) noexcept nogil:
    """Make sure that the end of a refractory period that is over has been taken."""
    if is_held(w, p, i) and not before(w.b.e.now, p.release[i]):
        return release_forth(w, p, i)
    return RUNNING


cdef Status spike_of_currents(Walk *w, Population *p, neuron_t i, int64_t slot, bint driven) noexcept nogil:
    """`spike_forth` for a neuron with synaptic currents."""
    cdef Pass *b = &w.b
    cdef const Model *m = row(p, i)
    cdef const Frame *f = frame_back(b.e, p, m)
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y = clear(adjoint)
    cdef double *values
    cdef double current, after
    cdef int64_t k, width = w.width[p - b.e.populations]
    cdef When now = now_of(b, m, f)
    cdef Op *op
    if pass_release_forth(w, p, i) != RUNNING:
        return NO_MEMORY
    w.current += p.release != NULL
    current = b.tape.currents[w.current]
    w.current += 1
    # V that was at threshold when it began, or touches it, has a fixed time.
    driven = driven or distance_at_threshold(m) + current <= 0.0
    w.n_driven += driven
    op = new_op(&w.plan, FOLLOW if driven else FIRE, slot)
    values = new_values(&w.plan, op, width + 1) if op != NULL else NULL
    if values == NULL:
        return NO_MEMORY
    op.row = row_of(w, p, i)
    op.count = width
    if not driven:
        threshold_back(b, m, y, p.first + i, &now, current, 1.0)
    for k in range(width):
        values[k] = y[k]
    values[width] = 1.0
    multiply_volume(w, values[0])
    if p.release != NULL:
        p.release[i] = plus(b.e.now, m.t_ref, b.e.H)
        w.at_release[p.first + i] = w.after_spikes[w.spike]
        w.spike += 1
        set_bit(w.held, p.first + i)
        return RUNNING
    clear(y)
    y[0] = 1.0
    after = reset_back(b, m, y, p.first + i, &now, current)
    values = combine(w, row_of(w, p, i), width)
    if values == NULL:
        return NO_MEMORY
    values[0] = after
    for k in range(1, width):
        values[k] = y[k]
    multiply_volume(w, after)
    return RUNNING


cdef Status spike_forth(Walk *w, Population *p, neuron_t i, int64_t slot, bint driven, int64_t cause) noexcept nogil:
    """A spike of neuron i now: what its time is off by, and the reset."""
    cdef Pass *b = &w.b
    cdef const Model *m = row(p, i)
    cdef const Frame *f = frame_back(b.e, p, m)
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y = clear(adjoint)
    cdef double of_time = 0.0, after
    cdef double *values
    cdef When now = now_of(b, m, f), release = now
    cdef Op *op
    if has_currents(m):
        return spike_of_currents(w, p, i, slot, driven)
    op = new_op(&w.plan, FOLLOW if driven else FIRE, slot)
    if op == NULL:
        return NO_MEMORY
    w.n_driven += driven
    op.cause = cause
    op.row = row_of(w, p, i)
    op.count = 1
    if not driven:
        threshold_back(b, m, y, p.first + i, &now, 0.0, 1.0)
        of_time = gain_until(w, p, m, i, y)
    if p.release != NULL:
        p.release[i] = plus(b.e.now, m.t_ref, b.e.H)
        release = release_of(b, p, m, f, p.release[i])
    clear(y)
    if stands_still(m):
        y[0] = 1.0
    else:
        arrive(m, y, False, &b.sums, p.first + i, &release, m.V_reset, distance_at_reset(m), 1.0)
        begin_stretch(w, p, i, m.V_reset, release.t)
    after = reset_back(b, m, y, p.first + i, &release, 0.0)
    values = new_values(&w.plan, op, 2)
    if values == NULL:
        return NO_MEMORY
    values[0] = of_time
    values[1] = after
    multiply_volume(w, of_time * after)
    return RUNNING


# Time -----------------------------------------------------------------------------------------------------------------

cdef Status move_neuron(Walk *w, const Population *p, neuron_t i, int64_t from_epoch, int64_t to_epoch) noexcept nogil:
    """Bring the rows of a neuron with currents to a later epoch; not that of V where that is not what it says."""
    cdef const Model *m = row(p, i)
    cdef int64_t k, first = row_of(w, p, i), width = w.width[p - w.b.e.populations]
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y = clear(adjoint)
    cdef double *values
    cdef Span span
    if from_epoch == to_epoch:
        return RUNNING
    span_of(m, <double> (to_epoch - from_epoch) * w.b.e.H, False, &span)
    if not is_held(w, p, i):
        y[0] = 1.0
        move_back(m, y, False, &span)
        values = combine(w, first, width)
        if values == NULL:
            return NO_MEMORY
        for k in range(width):
            values[k] = y[k]
        multiply_volume(w, values[0])
    values = scale(w, first + 1, width - 1)
    if values == NULL:
        return NO_MEMORY
    for k in range(1, width):
        clear(y)
        y[k] = 1.0
        move_back(m, y, False, &span)
        values[k - 1] = y[k]
        multiply_volume(w, y[k])
    return RUNNING


cdef Status move_forth(Walk *w, Population *p, int64_t epoch) noexcept nogil:
    """Bring all rows from the population's epoch to a later one, with the ends of refractory periods until then."""
    cdef int64_t earlier = p.epoch, release
    cdef neuron_t i
    cdef Status status = RUNNING
    if not changes_with_epochs(<const Model *> p.rows):
        return RUNNING
    for i in range(p.size):
        release = earlier
        if is_held(w, p, i) and p.release[i].n < epoch:
            release = max(p.release[i].n, earlier)
            status = move_neuron(w, p, i, earlier, release)
            p.epoch = release
            if status == RUNNING:
                status = release_forth(w, p, i)
            p.epoch = earlier
        if status == RUNNING:
            status = move_neuron(w, p, i, release, epoch)
        if status != RUNNING:
            return status
    return RUNNING


cdef Status rescale_forth(Walk *w, Population *p) noexcept nogil:
    """Take the powers of two out of rows that leave a growing frame."""
    cdef double *values
    cdef neuron_t i
    cdef int64_t _
    if not scales_with_frame(<const Model *> p.rows):
        return RUNNING
    values = scale(w, row_of(w, p, 0), p.size)
    if values == NULL:
        return NO_MEMORY
    for i in range(p.size):
        values[i] = 1.0
        for _ in range(p.frames[row(p, i).frame].steps):
            values[i] *= SCALE_DOWN
        multiply_volume(w, values[i])
    return RUNNING


# At a fixed time ------------------------------------------------------------------------------------------------------
# Coordinates of measurement: V, or -1/V, times measure_of; in a refractory period V at its end, as it follows from that
# time. Neurons with synaptic currents: V and the currents now; in a refractory period the time of its end in tau_m.

cdef inline double arrival(Walk *w, const Population *p, const Model *m, neuron_t i, const double *V,
                           double *y) noexcept nogil:
    """The adjoint of a unit of V now, or at the end of a refractory period; returns V there."""
    cdef const Frame *f = frame_back(w.b.e, p, m)
    cdef When now = now_of(&w.b, m, f)
    cdef double v = V[i]
    if p.release != NULL and not has_currents(m) and before(w.b.e.now, p.release[i]):
        v = m.V_reset
        now = release_of(&w.b, p, m, f, p.release[i])
    arrive(m, clear(y), False, &w.b.sums, p.first + i, &now, v, distance_of(m, v), 1.0)
    return v


cdef inline double current_gain(Walk *w, const Population *p, const Model *m, int64_t port) noexcept nogil:
    """What a unit of the row of a current comes to now."""
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y = clear(adjoint)
    cdef double of_weight, of_time
    cdef const Frame *f = frame_back(w.b.e, p, m)
    cdef When now = now_of(&w.b, m, f)
    y[1 + port] = 1.0
    kick_back(m, y, False, f, &now, 0.0, 1.0, port, &of_weight, &of_time)
    return 1.0 / of_weight


cdef Status measure_population(Walk *w, Population *p, const double *V, double *gain) noexcept nogil:
    """What a unit of each row comes to now in the coordinates of measurement; V is that of all its neurons now."""
    cdef const Model *m
    cdef double[MOST_ADJOINT] y
    cdef double *values
    cdef double v
    cdef neuron_t i
    cdef int64_t k, width = w.width[p - w.b.e.populations]
    for i in range(p.size):
        m = row(p, i)
        if not has_currents(m):
            v = arrival(w, p, m, i, V, y)
            gain[i] = measure_of(m, v) * gain_until(w, p, m, i, y)
            continue
        if pass_release_forth(w, p, i) != RUNNING:
            return NO_MEMORY
        for k in range(1, width):
            gain[width * i + k] = current_gain(w, p, m, k - 1)
        gain[width * i] = 1.0 / tau_of(m, &p.frames[m.frame])
        if not is_held(w, p, i):
            gain[width * i] = 1.0
            arrival(w, p, m, i, V, y)
            values = combine(w, row_of(w, p, i), width)
            if values == NULL:
                return NO_MEMORY
            for k in range(width):
                values[k] = y[k]
            multiply_volume(w, y[0])
    return RUNNING


cdef Status begin_population(Walk *w, Population *p, const double *V, double *gain) noexcept nogil:
    """Vectors are given now: the gains over which they become rows, and what is to be done with these then."""
    cdef const Model *m
    cdef double[MOST_ADJOINT] y
    cdef double *values
    cdef neuron_t i
    cdef int64_t k, width = w.width[p - w.b.e.populations]
    for i in range(p.size):
        m = row(p, i)
        if has_currents(m):
            for k in range(1, width):
                gain[width * i + k] = current_gain(w, p, m, k - 1)
            gain[width * i] = 1.0 / tau_of(m, &p.frames[m.frame])
            if p.release != NULL:
                clear_bit(w.held, p.first + i)
                if before(w.b.e.now, p.release[i]):
                    set_bit(w.held, p.first + i)
                    continue
            gain[width * i] = 1.0
            arrival(w, p, m, i, V, y)
            values = combine(w, row_of(w, p, i), width)
            if values == NULL:
                return NO_MEMORY
            values[0] = 1.0 / y[0]
            for k in range(1, width):
                values[k] = -y[k] / y[0]
            multiply_volume(w, values[0])
            continue
        if not stands_still(m):
            if p.release != NULL and before(w.b.e.now, p.release[i]):
                begin_stretch(w, p, i, m.V_reset, since_start(&w.b, p.release[i]))
            else:
                begin_stretch(w, p, i, V[i], w.b.t)
        gain[i] = measure_of(m, arrival(w, p, m, i, V, y)) * gain_until(w, p, m, i, y)
    return RUNNING


cdef Status change_population(Walk *w, Population *p, const double *V, bint begins, double *gain) noexcept nogil:
    """Parameters change now: what a unit of each row comes to in V, or in a refractory period in the time of its end.

    With the parameters before, and then, with `begins`, those after. Rows of neurons with currents stay as they are.
    """
    cdef const Model *m
    cdef double[MOST_ADJOINT] adjoint
    cdef double *y
    cdef neuron_t i
    cdef When release
    for i in range(p.size):
        gain[i] = 1.0
        m = row(p, i)
        if has_currents(m):
            if not begins and pass_release_forth(w, p, i) != RUNNING:
                return NO_MEMORY
            continue
        y = adjoint
        if p.release != NULL and before(w.b.e.now, p.release[i]):
            release = release_of(&w.b, p, m, frame_back(w.b.e, p, m), p.release[i])
            if not stands_still(m):
                if begins:
                    begin_stretch(w, p, i, m.V_reset, release.t)
                arrive(m, clear(y), False, &w.b.sums, p.first + i, &release, m.V_reset, distance_at_reset(m), 1.0)
            else:
                clear(y)
                y[0] = 1.0
            gain[i] = 1.0 / reset_back(&w.b, m, y, p.first + i, &release, 0.0)
            continue
        if begins and not stands_still(m):
            begin_stretch(w, p, i, V[i], w.b.t)
        arrival(w, p, m, i, V, y)
        gain[i] = gain_until(w, p, m, i, y)
    return RUNNING


# The table ------------------------------------------------------------------------------------------------------------

cdef int64_t rows_of_neuron(const Population *p) noexcept nogil:
    cdef const Model *m = <const Model *> p.rows
    return 1 + ports_of(m) if has_currents(m) else 1


cdef bint all_stand_still(const Population *p) noexcept nogil:
    cdef neuron_t i
    for i in range(p.size if p.heterogeneous else 1):
        if not stands_still(row(p, i)):
            return False
    return True


cdef TangentOps TANGENT
TANGENT.width = rows_of_neuron
TANGENT.stands_still = all_stand_still
TANGENT.row_forth = row_forth
TANGENT.merged_forth = merged_forth
TANGENT.spike_forth = spike_forth
TANGENT.move_forth = move_forth
TANGENT.rescale_forth = rescale_forth
TANGENT.measure = measure_population
TANGENT.begin = begin_population
TANGENT.change = change_population

OPS.tangent = &TANGENT
