"""The derivatives of each model, transposed: what the backward pass asks of a neuron.

`y` is what is known of a neuron's adjoint: first dL/d(state), by the stretch of free flow that begins or ends here;
then sums. `t` is in ms since the tape's start, `f` the frame at that time. The gradient g of a stretch's end is dL/dV,
or dL/d(-1/V) where V is infinite. docs/gradients.md has the mathematics.
"""

from libc.math cimport cos, cosh, exp, fabs, isinf, sin, sinh
from libc.stdint cimport int64_t

from sparseprop.models._lif cimport LIF
from sparseprop.models._lifexp cimport LIFExp
from sparseprop.models._lifexp_adjoint cimport (
    KickBack, kick_sums, kicks_now, lifexp_adjoint_width, lifexp_arrive, lifexp_leave, lifexp_sums,
)
from sparseprop.models._qif cimport QIF, ROTATION
from sparseprop.models._table cimport Tabulated, table_stretch, table_velocity
from sparseprop.numerics._frames cimport Frame
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport neuron_t


ctypedef fused Differentiable:
    LIF
    LIFExp
    QIF
    Tabulated


cdef struct Sums:
    # dL/d(parameter), one per neuron (global ids).
    double *I_e
    double *tau_m
    double *threshold
    double *V_reset
    double *t_ref
    double *tau_syn             # of port 0, then of port 1, ...
    int64_t n


cdef inline int64_t adjoint_width(const Differentiable *m, bint wide) noexcept nogil:
    """Doubles per neuron.

    LIF: dL/dx, and if `wide` a sum for tau_m. LIFExp: see _lifexp_adjoint.pxd. QIF: dL/d(angle of V), the time it
    belongs to, and two sums for tau_m and I_e. Tabulated: dL/dV at the end of the stretch, the time of that end, the
    two sums, and V at that end.
    """
    if Differentiable is LIF:
        return 1 + wide
    elif Differentiable is LIFExp:
        return lifexp_adjoint_width(m, wide)
    elif Differentiable is Tabulated:
        return 5
    else:
        return 4


# QIF ----------------------------------------------------------------------------------------------------------------
# The adjoint a is that of an angle chi, d chi = dV / N, N = c + V^2, c = I for rotations and else 1: it is regular
# where V is infinite and, unlike the time to the next spike, at the fixed points. Rotations: chi advances by t / tau.

cdef inline double qif_unit(const QIF *m) noexcept nogil:
    return m.I_e if m.regime == ROTATION else 1.0


cdef inline bint is_far(double V) noexcept nogil:
    """Whether V counts as infinite: its square is not to overflow, and nothing depends on it any more."""
    return fabs(V) > 1e100


cdef inline void flow_back(double I, double root, double u, double p, double q, double *ratio, double *by_I,
                           double *by_u) noexcept nogil:
    """The flow over a time u tau from the direction (p, q), with d chi = p dq - q dp over n = p^2 + q^2.

    n before over n after (d chi after / d chi before); d chi after / d I; d chi after / d u.
    """
    cdef double z = I * u * u, C, S, a, b, after_p, after_q, after, e, square
    if I < 0.0 and root * u > 0.5:
        # In eigen-coordinates, without what grows as exp(2 root u).
        e = exp(-2.0 * root * u)
        a = root * p + q
        b = root * p - q
        after_p = (a * e + b) / (2.0 * root)
        after_q = 0.5 * (a * e - b)
        after = after_p * after_p + after_q * after_q
        ratio[0] = (p * p + q * q) * e / after
        by_I[0] = ((a * a * e + b * b) * (1.0 - e) / (2.0 * root) + 2.0 * a * b * u * e) / (4.0 * root * root * after)
        by_u[0] = (I * p * p + q * q) * e / after
        return
    if I > 0.0:
        C = cos(root * u)
        S = sin(root * u) / root
    elif I < 0.0:
        C = cosh(root * u)
        S = sinh(root * u) / root
    else:
        C = 1.0
        S = u
    after_p = C * p - S * q
    after_q = I * S * p + C * q
    after = after_p * after_p + after_q * after_q
    # The integral of the square of S; its closed form cancels for small z.
    if fabs(z) > 0.5:
        square = (u - S * C) / (2.0 * I)
    else:
        square = u * u * u * small_square(z)
    ratio[0] = (p * p + q * q) / after
    by_I[0] = (0.5 * (u + S * C) * p * p - S * S * p * q + square * q * q) / after
    by_u[0] = (I * p * p + q * q) / after


cdef inline double small_square(double z) noexcept nogil:
    """(1 - sin(2 r) / (2 r)) / (2 z), r^2 = z, for small z of any sign: its Taylor series."""
    cdef double term = 1.0 / 3.0, total = term
    cdef int64_t k
    for k in range(2, 16):
        term *= -4.0 * z / <double> (2 * k * (2 * k + 1))
        total += term
    return total


cdef inline double qif_leave(const QIF *m, double *y, double t, double V) noexcept nogil:
    """The stretch from V at t to the neuron's next event, transposed; the adjoint then is 0. Returns g at its start."""
    cdef double u, a = y[0], p, q, ratio, by_I, by_u
    y[0] = 0.0
    if a == 0.0:
        return 0.0
    u = (y[1] - t) / m.tau
    if m.regime == ROTATION:
        y[2] += a * u
        if is_far(V):
            return a
        y[3] += a * V / (m.I_e + V * V)
        return a / (m.I_e + V * V)
    if is_far(V):
        p = 0.0
        q = -1.0 if V < 0.0 else 1.0
    elif fabs(V) > 1.0:
        p = 1.0 / V
        q = 1.0
    else:
        p = 1.0
        q = V
    flow_back(m.I_e, m.root, u, p, q, &ratio, &by_I, &by_u)
    y[3] += a * by_I
    y[2] -= a * by_u * u / m.tau
    a *= ratio
    return a if is_far(V) else a / (1.0 + V * V)


cdef inline void qif_arrive(const QIF *m, double *y, double t, double V, double g) noexcept nogil:
    """A stretch ends at V at t with the gradient g; the adjoint was 0."""
    y[1] = t
    if is_far(V):
        y[0] = g
        return
    y[0] = g * (qif_unit(m) + V * V)
    if m.regime == ROTATION:
        y[3] -= g * V


cdef inline double qif_velocity(const QIF *m, double V) noexcept nogil:
    """dV/dt, or d(-1/V)/dt where V is infinite, per ms."""
    return 1.0 / m.tau if is_far(V) else (V * V + m.I_e) / m.tau


cdef inline void qif_kick_back(const QIF *m, double *y, double t, double V, double weight, double *by_weight,
                               double *by_time) noexcept nogil:
    cdef double c, after = V + weight, a = y[0]
    if a == 0.0:
        y[1] = t
        by_weight[0] = 0.0
        by_time[0] = 0.0
        return
    if m.regime == ROTATION:
        y[2] += a * (y[1] - t) / m.tau
        y[1] = t
        if is_far(V):
            by_weight[0] = 0.0
            by_time[0] = 0.0
            return
        c = a / (m.I_e + after * after)
        y[0] = c * (m.I_e + V * V)
        y[3] += c * weight
    else:
        c = qif_leave(m, y, t, after)
        if is_far(after):
            y[0] = c
            y[1] = t
            by_weight[0] = 0.0
            by_time[0] = 0.0
            return
        y[0] = c * (1.0 + V * V)
        y[1] = t
    by_weight[0] = c
    by_time[0] = -c * (V + after) / m.tau


# Tables -------------------------------------------------------------------------------------------------------------

cdef inline double tabulated_leave(const Tabulated *m, double *y, double t, double V) noexcept nogil:
    """The stretch from V at t to the neuron's next event, transposed; the adjoint then is 0. Returns g at its start."""
    cdef double g = y[0], elapsed = y[1] - t, ratio, by_drive, v
    y[0] = 0.0
    if g == 0.0:
        return 0.0
    table_stretch(m, V, elapsed, y[4], &ratio, &by_drive, &v)
    y[3] += g * by_drive
    y[2] -= g * v * elapsed / m.tau
    return g * ratio


cdef inline void tabulated_kick_back(const Tabulated *m, double *y, double t, double V, double weight,
                                     double *by_weight, double *by_time) noexcept nogil:
    cdef double after = V + weight, g = tabulated_leave(m, y, t, after)
    y[0] = g
    y[1] = t
    y[4] = V
    by_weight[0] = g
    by_time[0] = 0.0
    if g != 0.0 and weight != 0.0:
        by_time[0] = -g * (table_velocity(m, after) - table_velocity(m, V)) / weight


# All models ---------------------------------------------------------------------------------------------------------
# `w` is where a stretch begins or ends.

cdef struct When:
    double E                    # of LIF
    double s                    # of LIFExp: the time since the present epoch's start
    double tau
    double t                    # ms since the tape's start


cdef inline double leave(const Differentiable *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w,
                         double V, double distance) noexcept nogil:
    """A stretch of free flow that begins with V, transposed; `distance` is V_inf - V for LIF and LIFExp."""
    cdef double by_V
    if Differentiable is LIF:
        by_V = -w.E * y[0]
        y[0] = 0.0
        sums.I_e[i] -= by_V
        if wide:
            y[1] += by_V * distance * w.t / (w.tau * w.tau)
        return by_V
    elif Differentiable is LIFExp:
        by_V = lifexp_leave(m, y, wide, w.s, distance)
        sums.I_e[i] -= by_V
        return by_V
    elif Differentiable is Tabulated:
        return tabulated_leave(m, y, w.t, V)
    else:
        return qif_leave(m, y, w.t, V)


cdef inline void arrive(const Differentiable *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w,
                        double V, double distance, double g) noexcept nogil:
    """A stretch of free flow that ends with V and the gradient g."""
    if Differentiable is LIF:
        y[0] = -g / w.E
        sums.I_e[i] += g
        if wide:
            y[1] -= g * distance * w.t / (w.tau * w.tau)
    elif Differentiable is LIFExp:
        lifexp_arrive(m, y, wide, w.s, g)
        sums.I_e[i] += g
    elif Differentiable is Tabulated:
        y[0] = g
        y[1] = w.t
        y[4] = V
    else:
        qif_arrive(m, y, w.t, V, g)


cdef inline double velocity(const Differentiable *m, double tau, double V, double distance,
                            double current) noexcept nogil:
    """How fast V changes (-1/V where it is infinite), per ms; `current` is the sum of the synaptic ones."""
    if Differentiable is Tabulated:
        return table_velocity(m, V)
    elif Differentiable is QIF:
        return qif_velocity(m, V)
    else:
        return (distance + current) / tau


cdef inline double tau_of(const Differentiable *m, const Frame *f) noexcept nogil:
    """tau_m."""
    if Differentiable is LIF:
        return f.scale
    else:
        return m.tau


cdef inline bint jumps_at_spikes(const Differentiable *m, double weight) noexcept nogil:
    """Whether it matters if a kick comes shortly before or shortly after the neuron's own spike."""
    if Differentiable is LIF or Differentiable is Tabulated:
        return True
    elif Differentiable is LIFExp:
        # V and its time are continuous where the order changes, unless inhibition prevents the spike.
        return weight < 0.0
    else:
        return m.finite_peak or not isinf(m.V_reset)


cdef inline double distance_of(const Differentiable *m, double V) noexcept nogil:
    """V_inf - V of LIF and LIFExp neurons."""
    if Differentiable is LIF or Differentiable is LIFExp:
        return (m.V_inf - V) + m.V_inf_low
    else:
        return 0.0


cdef inline double reset_back(const Differentiable *m, double *y, bint wide, const Sums *sums, int64_t i,
                              const When *release, double current) noexcept nogil:
    """The state at the end of the refractory period; returns dL/d(release)."""
    cdef double distance = 0.0, g
    if Differentiable is LIF or Differentiable is LIFExp:
        distance = m.depth
    g = leave(m, y, wide, sums, i, release, m.V_reset, distance)
    if not isinf(m.V_reset):
        sums.V_reset[i] += g
    return -g * velocity(m, release.tau, m.V_reset, distance, current)


cdef inline void threshold_back(const Differentiable *m, double *y, bint wide, const Sums *sums, int64_t i,
                                const When *w, double current, double by_time) noexcept nogil:
    """A spontaneous spike, which is where V meets the threshold; `by_time` is dL/dt."""
    cdef double distance = 0.0, V = 0.0, g
    if Differentiable is Tabulated:
        V = m.V_threshold
    elif Differentiable is QIF:
        V = m.V_peak
    else:
        distance = m.gap
    g = by_time / velocity(m, w.tau, V, distance, current)
    arrive(m, y, wide, sums, i, w, V, distance, -g)
    if not isinf(V):
        sums.threshold[i] += g


cdef inline void kick_back(const Differentiable *m, double *y, bint wide, const Frame *f, const When *w, double V,
                           double weight, int64_t port, double *by_weight, double *by_time) noexcept nogil:
    """A kick: dL/d(weight), and dL/dt over the weight. The frame is at the present, but for QIF."""
    cdef KickBack shared
    if Differentiable is LIF:
        by_weight[0] = -w.E * y[0]
        by_time[0] = by_weight[0] / w.tau
        if wide:
            y[1] -= weight * by_time[0] * w.t / w.tau
    elif Differentiable is LIFExp:
        kicks_now(m, f, w.s, port, wide, &shared)
        by_weight[0] = shared.E * y[1 + port] - shared.reach * y[0]
        by_time[0] = shared.E_by_time * y[1 + port] - shared.reach_by_time * y[0]
        if wide:
            kick_sums(m, y, &shared, port, weight)
    elif Differentiable is Tabulated:
        tabulated_kick_back(m, y, w.t, V, weight, by_weight, by_time)
    else:
        qif_kick_back(m, y, w.t, V, weight, by_weight, by_time)


cdef inline void settle_sums(const Differentiable *m, double *y, bint wide, const Sums *sums, int64_t i) noexcept nogil:
    """Add the sums that are kept beside the adjoint to those of the parameters."""
    cdef int64_t k
    cdef double *own
    if Differentiable is LIF:
        if wide:
            sums.tau_m[i] += y[1]
            y[1] = 0.0
    elif Differentiable is LIFExp:
        if wide:
            own = lifexp_sums(m, y)
            sums.tau_m[i] += own[0]
            own[0] = 0.0
            for k in range(m.n_ports):
                sums.tau_syn[k * sums.n + i] += own[1 + k]
                own[1 + k] = 0.0
    elif Differentiable is Tabulated:
        sums.I_e[i] += y[3]
        sums.tau_m[i] += y[2]
        y[2] = 0.0
        y[3] = 0.0
    else:
        if m.regime == ROTATION:
            sums.I_e[i] += (y[2] - y[3]) / (2.0 * m.I_e)
            sums.tau_m[i] -= y[2] / m.tau
        else:
            sums.I_e[i] += y[3]
            sums.tau_m[i] += y[2]
        y[2] = 0.0
        y[3] = 0.0


# Rows of kicks of equal neurons -------------------------------------------------------------------------------------

cdef inline void lif_rescale_back(double *y, int64_t steps) noexcept nogil:
    """Bring an adjoint that shrinks as E grows to the scale of an earlier epoch."""
    cdef int64_t _
    for _ in range(min(steps, 40)):
        y[0] *= 5.421010862427522e-20  # 2^-64


cdef inline double lif_row(const double *y, const neuron_t *targets, const double *weights, double weight,
                           int64_t count, double E, double *by_weight, bint far, double *sum) noexcept nogil:
    """For a row of kicks of equal LIF neurons: the sum of dL/dx, times the weight; dL/dw; the sum of dL/dx."""
    cdef double total = 0.0, plain = 0.0, value
    cdef int64_t k
    for k in range(count):
        if far and k + 24 < count:
            prefetch(&y[targets[k + 24]], 1)
        value = y[targets[k]]
        if weights != NULL:
            total += weights[k] * value
        plain += value
        if by_weight != NULL:
            by_weight[k] -= E * value
    sum[0] += plain
    return total if weights != NULL else weight * plain


cdef inline double lif_wide_row(double *y, const neuron_t *targets, const double *weights, double weight, int64_t count,
                                double E, double tau_factor, double *by_weight, bint far, double *sum) noexcept nogil:
    """The same with sums for tau_m: `tau_factor` times weight times dL/dx."""
    cdef double total = 0.0, plain = 0.0, value, weighted
    cdef double *at
    cdef int64_t k
    for k in range(count):
        if far and k + 24 < count:
            prefetch(&y[2 * <int64_t> targets[k + 24]], 1)
        at = y + 2 * <int64_t> targets[k]
        value = at[0]
        weighted = (weights[k] if weights != NULL else weight) * value
        at[1] += tau_factor * weighted
        total += weighted
        plain += value
        if by_weight != NULL:
            by_weight[k] -= E * value
    sum[0] += plain
    return total


cdef inline void rotated_voltages(const double *x, const neuron_t *targets, int64_t count, double root, double cosine,
                                  double sine, double *V) noexcept nogil:
    """V of rotating vectors."""
    cdef int64_t k
    cdef const double *v
    for k in range(count):
        if k + 24 < count:
            prefetch(x + 2 * <int64_t> targets[k + 24], 1)
        v = x + 2 * <int64_t> targets[k]
        V[k] = root * (v[0] * sine + v[1] * cosine) / (v[0] * cosine - v[1] * sine)


cdef inline double rotation_row(const QIF *m, double *y, const neuron_t *targets, const double *weights, double weight,
                                const double *V, int64_t count, double t, double *by_weight, bint far,
                                double *sum) noexcept nogil:
    """For a row of kicks of equal rotations: dL/dt of all; dL/dw; the sum of these."""
    cdef double total = 0.0, plain = 0.0, w = weight, I_e = m.I_e, per_tau = 1.0 / m.tau, a, c, before, after
    cdef double *at
    cdef int64_t k
    for k in range(count):
        if far and k + 12 < count:
            prefetch(&y[4 * <int64_t> targets[k + 12]], 1)
        at = y + 4 * <int64_t> targets[k]
        before = V[k]
        if weights != NULL:
            w = weights[k]
        a = at[0]
        if not fabs(before) < 1e100:
            # Dropped, or at infinity, where a kick does nothing.
            if before == before:
                at[2] += a * (at[1] - t) * per_tau
                at[1] = t
            continue
        after = before + w
        c = a / (I_e + after * after)
        at[0] = c * (I_e + before * before)
        at[2] += a * (at[1] - t) * per_tau
        at[1] = t
        at[3] += c * w
        total += c * w * (before + after)
        plain += c
        if by_weight != NULL:
            by_weight[k] += c
    sum[0] += plain
    return -total * per_tau
