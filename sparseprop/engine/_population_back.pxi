# The pass back through what all kinds of neurons share, for the Model of engine/_population.pxi, after which it is
# included. models/_neuron.pxd says what is asked of a Model. The names of the forward pass are kept: what ..._back
# undoes is what the function of the name before it does.

from libc.math cimport fabs, isinf, isnan

from sparseprop.engine._kernel cimport Kernel
from sparseprop.engine._pass cimport (
    GRAZING, ORDER_SWAP, BackOps, Pass, Synapses, add_shift, adjoint_of, end_of_period, find, is_swap, look_at_target,
    look_for_overflow, note_sums, pop_kept, since_start,
)
from sparseprop.models._neuron cimport Row, When
from sparseprop.numerics._constants cimport SCALE_DOWN
from sparseprop.numerics._frames cimport growth_at
from sparseprop.numerics._typedefs cimport synapse_t

cdef double GRAZES = 1e-6      # of V_th - V_reset; V grazes if tau_m dV/dt at a spike is no more


cdef inline const Frame *frame_back(const State *e, const Population *p, const Model *m) noexcept nogil:
    """The neuron's frame, at the present where the model's derivatives need it."""
    return frame_now(e, p, m) if needs_frame(m) else &p.frames[m.frame]


cdef inline When now_of(const Pass *b, const Model *m, const Frame *f) noexcept nogil:
    """The present, for a neuron with this frame."""
    cdef When w
    w.E = f.E
    w.s = b.e.now.s
    w.tau = tau_of(m, f)
    w.t = b.t
    return w


cdef inline When release_of(const Pass *b, const Population *p, const Model *m, const Frame *f,
                            Pair release) noexcept nogil:
    """The end of a refractory period, for a neuron with this frame."""
    cdef When w
    w.E = growth_at(f, p.epoch, release) if needs_growth(m) else 1.0
    w.s = <double> (release.n - p.epoch) * b.e.H + release.s
    w.tau = tau_of(m, f)
    w.t = since_start(b, release)
    return w


cdef inline double reset_back(Pass *b, const Model *m, double *y, neuron_t g, const When *release,
                              double current) noexcept nogil:
    """The state at the end of the refractory period of neuron g (global id); returns dL/d(release)."""
    cdef double distance = distance_at_reset(m)
    cdef double by_V = leave(m, y, b.wide, &b.sums, g, release, m.V_reset, distance)
    if not isinf(m.V_reset):
        b.sums.V_reset[g] += by_V
    return -by_V * velocity(m, release.tau, m.V_reset, distance, current)


cdef inline void threshold_back(Pass *b, const Model *m, double *y, neuron_t g, const When *w, double current,
                                double by_time) noexcept nogil:
    """A spontaneous spike, which is where V meets the threshold; `by_time` is dL/dt."""
    cdef double distance = distance_at_threshold(m), V = voltage_at_threshold(m)
    cdef double by_threshold = by_time / velocity(m, w.tau, V, distance, current)
    arrive(m, y, b.wide, &b.sums, g, w, V, distance, -by_threshold)
    if not isinf(V):
        b.sums.threshold[g] += by_threshold


# Where neurons hear in the refractory period its end is an event too, and has to come before kicks in it. It is looked
# for when an adjoint is used, and before time enters an earlier epoch.

cdef void release_back(Pass *b, const Population *p, const Model *m, double *y, neuron_t i) noexcept nogil:
    cdef double *end = end_of_period(b, p, y)
    cdef When release = release_of(b, p, m, &p.frames[m.frame], p.release[i])
    end[0] = -INFINITY
    end[1] = reset_back(b, m, y, p.first + i, &release, b.at_release[p.first + i])


cdef inline void pass_release(Pass *b, const Population *p, const Model *m, double *y, neuron_t i) noexcept nogil:
    """Make sure that the end of a refractory period that the neuron is in has been taken."""
    if p.release != NULL and end_of_period(b, p, y)[0] > b.t - 1e-9 * b.e.H and before(b.e.now, p.release[i]):
        release_back(b, p, m, y, i)


cdef void move_population_back(Pass *b, Population *p, int64_t epoch) noexcept nogil:
    """Bring adjoints from the epoch of the population to an earlier one."""
    cdef const Model *m
    cdef int64_t number = p - b.e.populations, width = b.widths[number], later = p.epoch, release
    cdef double *y = b.y[number]
    cdef neuron_t i
    cdef Span shared, span
    cdef double H = b.e.H
    if not p.heterogeneous:
        span_of(<const Model *> p.rows, <double> (later - epoch) * H, b.wide, &shared)
    for i in range(p.size):
        m = row(p, i)
        release = later
        if has_currents(m) and p.release != NULL and end_of_period(b, p, y)[0] > -INFINITY \
                and p.release[i].n > epoch:
            release = min(p.release[i].n, later)
            if release < later:
                span_of(m, <double> (later - release) * H, b.wide, &span)
                move_back(m, y, b.wide, &span)
            p.epoch = release
            release_back(b, p, m, y, i)
            p.epoch = later
        if p.heterogeneous or release < later:
            span_of(m, <double> (release - epoch) * H, b.wide, &span)
            move_back(m, y, b.wide, &span)
        else:
            move_back(m, y, b.wide, &shared)
        y += width


cdef void rescale_population_back(Pass *b, Population *p) noexcept nogil:
    """Bring adjoints that shrink as the frame grows to the scale of the population's epoch."""
    cdef neuron_t i
    cdef int64_t _
    cdef double *y
    for i in range(p.size):
        y = adjoint_of(b, p, i)
        for _ in range(min(-p.frames[row(p, i).frame].steps, 40)):
            y[0] *= SCALE_DOWN


# Kicks ----------------------------------------------------------------------------------------------------------------

cdef Status row_back(Pass *b, const Synapses *c, neuron_t source, double *by_time) noexcept nogil:
    """The kicks of a row, one for each target; adds dL/d(time) of its arrival to `by_time`."""
    cdef State *e = b.e
    cdef Population *p = c.post
    cdef const Model *m = <const Model *> p.rows
    cdef int64_t number = p - e.populations, width = b.widths[number], k
    cdef double *y = b.y[number]
    cdef double *by_weight = b.by_weight[c.projection] if c.projection >= 0 else b.by_drive[c.process]
    cdef double *by_delay = b.by_delay[c.projection] if c.projection >= 0 else NULL
    cdef double total = 0.0, weight_sum = 0.0, of_weight, of_time, w, v = 0.0
    cdef int64_t port = b.e.projections[c.projection].port if c.projection >= 0 else b.e.processes[c.process].port
    cdef const Frame *f
    cdef const double *V = NULL
    cdef When now
    cdef Row all
    cdef neuron_t i
    cdef synapse_t at
    cdef bint close = b.driven.size > 0
    cdef bint simple = not p.heterogeneous and not close and by_delay == NULL and c.places == NULL and c.projection >= 0
    cdef bint crowded = b.n_near > b.n_here or b.n_close > 0 or not b.one_origin
    if notes_states(m) and b.kept != NULL:
        if not grow(<void **> &b.popped, &b.popped_capacity, c.count, sizeof(double)):
            return NO_MEMORY
        for k in range(c.count):
            b.popped[k] = pop_kept(b, p.first + c.targets[k])
        V = b.popped
    elif notes_states(m):
        b.tape.n_values -= c.count
        V = b.tape.values + b.tape.n_values
    if by_weight != NULL:
        by_weight += c.first
    if has_currents(m) and p.release != NULL:
        for k in range(c.count):
            i = c.targets[k]
            pass_release(b, p, row(p, i), y + width * i, i)
    if simple and not (crowded and jumps_at_spikes(m, -1.0)) \
            and (p.release == NULL or has_currents(m) or notes_states(m)):
        all.targets, all.weights, all.weight, all.V, all.count = c.targets, c.weights, c.weight, V, c.count
        all.port, all.width, all.wide, all.far, all.by_weight = port, width, b.wide, p.size > FAR, by_weight
        all.frame = frame_back(e, p, m)
        all.now = now_of(b, m, all.frame)
        if row_of_back(m, y, &all, &total, &weight_sum):
            by_time[0] += total
            note_sums(b, c, weight_sum, total)
            return RUNNING
    if by_delay != NULL:
        by_delay += c.first
    for k in range(c.count):
        i = c.targets[k]
        w = c.weights[k] if c.weights != NULL else c.weight
        if notes_states(m):
            v = V[k]
            if isnan(v):
                continue
        elif not has_currents(m):
            if p.release != NULL and before(e.now, p.release[i]):
                if crowded and is_swap(b, p.first + i) and not find(b, ORDER_SWAP, p.first + i, source):
                    return NO_MEMORY
                continue
        m = row(p, i)
        f = frame_back(e, p, m)
        now = now_of(b, m, f)
        kick_back(m, y + width * i, b.wide, f, &now, v, w, port, &of_weight, &of_time)
        of_time *= w
        if not has_currents(m):
            if close and look_at_target(b, p.first + i, source, w, &of_time) != RUNNING:
                return NO_MEMORY
        if crowded and jumps_at_spikes(m, w) and is_swap(b, p.first + i) \
                and not find(b, ORDER_SWAP, p.first + i, source):
            return NO_MEMORY
        at = c.places[k] if c.places != NULL else k
        if by_weight != NULL:
            by_weight[at] += of_weight
        if by_delay != NULL:
            by_delay[at] += of_time
        weight_sum += of_weight
        total += of_time
    note_sums(b, c, weight_sum, total)
    by_time[0] += total
    return RUNNING


cdef Status merged_kick_back(Pass *b, Population *p, neuron_t i, double V) noexcept nogil:
    """One kick by the sum of what arrives at a target."""
    cdef State *e = b.e
    cdef const Model *m = row(p, i)
    cdef const Frame *f
    cdef When now
    cdef neuron_t g = p.first + i
    b.kick_by_weight[g] = 0.0
    b.kick_by_time[g] = 0.0
    if isnan(V) or (p.release != NULL and before(e.now, p.release[i])):
        return RUNNING
    f = frame_back(e, p, m)
    now = now_of(b, m, f)
    kick_back(m, adjoint_of(b, p, i), b.wide, f, &now, V, e.arriving[g], 0, &b.kick_by_weight[g], &b.kick_by_time[g])
    return RUNNING


# Spikes ---------------------------------------------------------------------------------------------------------------

cdef Status spike_back(Pass *b, Population *p, neuron_t i, bint driven, double *by_time) noexcept nogil:
    """A spike of neuron i now: its reset, and what made its time."""
    cdef const Model *m = row(p, i)
    cdef const Frame *f = frame_back(b.e, p, m)
    cdef double *y = adjoint_of(b, p, i)
    cdef double *end = NULL
    cdef neuron_t g = p.first + i
    cdef double by_release, current = 0.0, slope
    cdef When now = now_of(b, m, f), release = now
    if has_currents(m):
        b.tape.n_currents -= 1
        current = b.tape.currents[b.tape.n_currents]
    if p.release == NULL:
        by_release = reset_back(b, m, y, g, &now, current)
    else:
        if has_currents(m):
            pass_release(b, p, m, y, i)
            end = end_of_period(b, p, y)
            by_release = end[1]
            end[1] = 0.0
            b.tape.n_currents -= 1
            b.at_release[g] = b.tape.currents[b.tape.n_currents]
        else:
            release = release_of(b, p, m, f, p.release[i])
            by_release = reset_back(b, m, y, g, &release, 0.0)
            if b.by_release != NULL:
                by_release += b.by_release[g]
                b.by_release[g] = 0.0
        b.tape.n_releases -= 1
        p.release[i] = b.tape.releases[b.tape.n_releases]
        if has_currents(m):
            end[0] = since_start(b, p.release[i])
    b.sums.t_ref[g] += by_release
    by_time[0] += by_release
    if not look_for_overflow(b, by_time[0], g):
        return NO_MEMORY
    if driven:
        # NaN stands for a cause that has been found.
        b.waiting[g] = INFINITY if isnan(by_time[0]) else by_time[0]
        set_bit(b.is_waiting, g)
        return RUNNING if append(&b.driven, g) else NO_MEMORY
    if has_currents(m):
        slope = distance_at_threshold(m) + current
        if slope <= GRAZES * (distance_at_reset(m) - distance_at_threshold(m)) and not find(b, GRAZING, g, -1):
            return NO_MEMORY
        if slope <= 0.0:
            # V has been at threshold when it began, or touches it.
            add_shift(b, by_time[0])
            return RUNNING
    threshold_back(b, m, y, g, &now, current, by_time[0])
    return RUNNING


# Voltages at fixed times ----------------------------------------------------------------------------------------------

cdef inline void shift_back(Pass *b, const Model *m, const When *now, double V, double distance, double current,
                            double by_V) noexcept nogil:
    """dL/d(the fixed time) at which a stretch of free flow ends at V (or begins, with -by_V)."""
    add_shift(b, by_V * velocity(m, now.tau, V, distance, current))
    if not isinf(V):
        b.shift_size += fabs(by_V) * (velocity_size(m, V) + fabs(current)) / now.tau


cdef void read_back(Pass *b, Population *p, neuron_t i, double V, double current, double by_V) noexcept nogil:
    """V of neuron i is read now; `current` is the sum of its synaptic ones."""
    cdef State *e = b.e
    cdef const Model *m = row(p, i)
    cdef double *y = adjoint_of(b, p, i)
    cdef neuron_t g = p.first + i
    cdef double distance = distance_of(m, V)
    cdef When now
    if has_currents(m):
        pass_release(b, p, m, y, i)
    if p.release != NULL and before(e.now, p.release[i]):
        b.sums.V_reset[g] += by_V
        return
    now = now_of(b, m, frame_back(e, p, m))
    shift_back(b, m, &now, V, distance, current, by_V)
    if not has_currents(m):
        by_V += leave(m, y, b.wide, &b.sums, g, &now, V, distance)
    arrive(m, y, b.wide, &b.sums, g, &now, V, distance, by_V)


cdef bint leave_population(Pass *b, Population *p, const double *V, bint begins, const double *currents, double *by_V,
                           double *by_current) noexcept nogil:
    """All stretches that begin now, at V or at the end of a refractory period; with `begins` the run does too.

    Then `currents` are the synaptic ones, if there are any, and their derivatives come out. False if there is no
    memory.
    """
    cdef State *e = b.e
    cdef const Model *m
    cdef const Frame *f
    cdef double *y
    cdef neuron_t i, g
    cdef int64_t k, ports
    cdef double distance, by_release, current = 0.0, of_time
    cdef When now, release
    for i in range(p.size):
        m = row(p, i)
        f = frame_back(e, p, m)
        y = adjoint_of(b, p, i)
        g = p.first + i
        now = now_of(b, m, f)
        ports = ports_of(m) if has_currents(m) and begins else 0
        if has_currents(m):
            pass_release(b, p, m, y, i)
            current = 0.0
            for k in range(ports):
                current += currents[i * ports + k]
        if p.release != NULL and before(e.now, p.release[i]):
            by_V[i] = 0.0
            if has_currents(m):
                by_release = end_of_period(b, p, y)[1]
            else:
                release = release_of(b, p, m, f, p.release[i])
                by_release = reset_back(b, m, y, g, &release, 0.0)
                if b.by_release != NULL:
                    b.by_release[g] += by_release
                    by_release = b.by_release[g]
            if begins:
                add_shift(b, by_release)
        else:
            distance = distance_of(m, V[i])
            by_V[i] = leave(m, y, b.wide, &b.sums, g, &now, V[i], distance)
            shift_back(b, m, &now, V[i], distance, current, -by_V[i])
        for k in range(ports):
            # A current at the beginning is a kick then.
            current = currents[i * ports + k]
            kick_back(m, y, b.wide, f, &now, 0.0, current, k, &by_current[i * ports + k], &of_time)
            add_shift(b, current * of_time)
        settle_sums(m, y, b.wide, &b.sums, g)
        if begins and not look_for_overflow(b, by_V[i], g):
            return False
    return True


cdef void arrive_population(Pass *b, Population *p, const double *V, const double *by_V) noexcept nogil:
    """All stretches that end now, at V; not those of refractory neurons."""
    cdef State *e = b.e
    cdef const Model *m
    cdef neuron_t i
    cdef double distance
    cdef When now
    for i in range(p.size):
        if p.release != NULL and before(e.now, p.release[i]):
            continue
        m = row(p, i)
        now = now_of(b, m, frame_back(e, p, m))
        distance = distance_of(m, V[i])
        shift_back(b, m, &now, V[i], distance, 0.0, by_V[i])
        arrive(m, adjoint_of(b, p, i), b.wide, &b.sums, p.first + i, &now, V[i], distance, by_V[i])


# The table ------------------------------------------------------------------------------------------------------------

cdef int64_t adjoint_width_in(const Population *p, bint wide) noexcept nogil:
    """Doubles per neuron; those that hear in refractory periods keep two for the present one."""
    cdef const Model *m = <const Model *> p.rows
    return adjoint_width(m, wide) + (2 if has_currents(m) and p.release != NULL else 0)


cdef bint jumps_in(const Population *p, neuron_t i, double weight) noexcept nogil:
    return jumps_at_spikes(row(p, i), weight)


cdef BackOps BACK
BACK.adjoint_width = adjoint_width_in
BACK.jumps_at_spikes = jumps_in
BACK.row_back = row_back
BACK.merged_kick_back = merged_kick_back
BACK.spike_back = spike_back
BACK.read_back = read_back
BACK.leave = leave_population
BACK.arrive = arrive_population
BACK.changes_with_epochs = changes_with_epochs(NULL)
BACK.move_back = move_population_back
BACK.scales_with_frame = scales_with_frame(NULL)
BACK.rescale_back = rescale_population_back

OPS.back = &BACK
KERNEL = Kernel()
(<Kernel> KERNEL).ops = &OPS
