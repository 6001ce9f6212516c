"""The rapid theta neuron: two Riccati neurons, of w = a_S V below the glue point 0 and of w = a_U V above it.

State: the two doubles of the neuron below, and 0; or 0, 0, and w > 0 as of the time `base`. The mathematics is in
docs/numerics.md and, operation by operation, in rapid_theta.py.
"""

from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t

from sparseprop.models._neuron cimport Neurons, Sums, When
from sparseprop.models._riccati cimport (
    ROTATION, SHEAR, Riccati, crosses_before_edge as crosses_below, direction_of, fill as fill_below, flow_back,
    is_far, keeps_base as keeps_base_below, keeps_its_scale as keeps_scale_below, kick_state as kick_below,
    next_crossing as crossing_below, place_at as place_below, place_direction, reset_at as reset_below, store,
)
from sparseprop.numerics._constants cimport LARGEST_STATE, ROUNDING
from sparseprop.numerics._elementary cimport atan2, cos, exp, log1p, sin, tanh
from sparseprop.numerics._frames cimport Frame, Pair, interval, never, plus
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport neuron_t

cdef inline double FAR() noexcept nogil:
    """w of a neuron that by rounding has passed infinity: 2^830."""
    return 7.15972597961874e+249


cdef struct RapidTheta:
    Riccati below
    double tau
    double I_e
    double I_U
    double root_U         # sqrt(|I_U|)
    double rise           # from 0 to infinity, in units of tau
    double kick_S         # a_S
    double kick_U         # a_U
    double kick_S_slope   # da_S / d(rapidness)
    double kick_U_slope
    double ratio          # a_U / a_S
    double V_reset
    double t_ref
    bint glued            # whether there is another part above 0: rapidness is not 1
    bint climbs           # whether V passes 0 by itself
    neuron_t frame        # of the neuron below

ctypedef RapidTheta Model


cdef inline int64_t width_of(const RapidTheta *m) noexcept nogil:
    return 3


cdef inline object fill(RapidTheta *m, constants, frames, double H):
    fill_below(&m.below, constants["below"], frames, H)
    m.frame = m.below.frame
    m.tau, m.I_e, m.I_U, m.root_U = constants["tau"], constants["I_e"], constants["I_U"], constants["root_U"]
    m.rise, m.ratio = constants["rise"], constants["ratio"]
    m.kick_S, m.kick_U = constants["kick_S"], constants["kick_U"]
    m.kick_S_slope, m.kick_U_slope = constants["kick_S_slope"], constants["kick_U_slope"]
    m.V_reset, m.t_ref = constants["V_reset"], constants["t_ref"]
    m.glued, m.climbs = constants["glued"], constants["climbs"]


cdef inline bint keeps_base(const RapidTheta *m) noexcept nogil:
    return m.glued or keeps_base_below(&m.below)


cdef inline bint keeps_its_scale(const RapidTheta *m, const double *x) noexcept nogil:
    # What is glued does not grow.
    return m.glued or keeps_scale_below(&m.below, x)


cdef inline double since_base(const RapidTheta *m, const Pair *base, Pair t, double H) noexcept nogil:
    """In units of tau."""
    return interval(base[0], t, H) / m.tau


cdef inline double risen(const RapidTheta *m, double w, double u) noexcept nogil:
    """w after a time u (in units of tau) above 0, and not beyond."""
    cdef double distance, C = 1.0, S = u, left
    if m.I_U < 0.0 and w <= 2.0 * m.root_U:
        # By the distances from the fixed points: nothing is lost near the unstable one.
        distance = (w - m.root_U) / (w + m.root_U)
        if distance == 0.0:
            return w
        distance = distance * exp(2.0 * m.root_U * u)
        return m.root_U * ((1.0 + distance) / (1.0 - distance)) if distance < 1.0 else FAR()
    if m.I_U > 0.0:
        if m.root_U * u > 1.6:
            return FAR()
        C = cos(m.root_U * u)
        S = sin(m.root_U * u) / m.root_U
    elif m.I_U < 0.0:
        S = tanh(m.root_U * u) / m.root_U
    left = C - S * w
    return (m.I_U * S + C * w) / left if left > 0.0 else FAR()


cdef inline double passed(const RapidTheta *m, double over) noexcept nogil:
    """w at a time `over` (in units of tau) after V passed 0 from below."""
    cdef double angle = m.root_U * over, cosine = cos(angle)
    if angle > 1.6 or cosine <= 0.0:
        return FAR()
    return m.root_U * sin(angle) / cosine


cdef inline double climb(const RapidTheta *m, const double *x) noexcept nogil:
    """From the time of a state below, as of a time, to 0, in units of tau; I > 0."""
    return atan2(-x[1], m.below.root * x[0]) / m.below.root


cdef inline double seen_now(const RapidTheta *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *P, double *Q) noexcept nogil:
    """w > 0 of above; or 0, and w as Q / P."""
    cdef double u, over = 0.0, w
    if x[2] > 0.0:
        u = since_base(m, base, now, H)
        if m.I_U < 0.0 and x[2] < m.root_U:
            over = u - 0.5 * log1p(2.0 * x[2] / (m.root_U - x[2])) / m.root_U
            if over >= 0.0:
                P[0] = 1.0
                Q[0] = -(m.below.root * tanh(m.below.root * over))
                return 0.0
        P[0] = 1.0
        Q[0] = 0.0
        return max(risen(m, x[2], u), 0.0)
    direction_of(&m.below, x, base, f, now, H, P, Q)
    if m.climbs:
        if m.below.regime == SHEAR:
            over = since_base(m, base, now, H) - climb(m, x)
        elif Q[0] > 0.0:
            over = atan2(Q[0], m.below.root * P[0]) / m.below.root
        if over > 0.0:
            w = passed(m, over)
            if w > 0.0:
                return w
    return 0.0


cdef inline void put_below(const RapidTheta *m, double *x, Pair *base, double P, double Q, const Frame *f,
                           Pair now) noexcept nogil:
    """w = Q / P <= 0."""
    x[2] = 0.0
    place_direction(&m.below, x, base, P, Q, f, now)


cdef inline bint put_above(double *x, Pair *base, double w, Pair now) noexcept nogil:
    """w > 0, if it is in range; whether it is."""
    if not w < LARGEST_STATE:
        return False
    x[0] = 0.0
    x[1] = 0.0
    x[2] = w
    base[0] = now
    return True


cdef inline void place_at(const RapidTheta *m, double *x, Pair *base, double V, const Frame *f,
                          Pair now) noexcept nogil:
    if m.glued and V > 0.0:
        put_above(x, base, m.kick_U * V, now)
    else:
        x[2] = 0.0
        place_below(&m.below, x, base, m.kick_S * V, f, now)


cdef inline void seen_state(const RapidTheta *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    cdef double w = seen_now(m, x, base, f, now, H, &seen[0], &seen[1])
    if w > 0.0:
        # No neuron below has a direction without a length.
        seen[0] = INFINITY
        seen[1] = w


cdef inline void place_seen(const RapidTheta *m, const RapidTheta *old, double *x, Pair *base, const double *seen,
                            const Frame *f, Pair now, double H) noexcept nogil:
    if seen[0] == INFINITY:
        put_above(x, base, seen[1], now)
    else:
        put_below(m, x, base, seen[0], seen[1], f, now)


cdef inline bint kick_state(const RapidTheta *m, double *x, Pair *base, const Frame *f, Pair now, double H,
                            double weight, int64_t port) noexcept nogil:
    cdef double w, P = 0.0, Q = 0.0
    if not m.glued:
        return kick_below(&m.below, x, base, f, now, H, m.kick_S * weight, port)
    w = seen_now(m, x, base, f, now, H, &P, &Q)
    if w > 0.0:
        w = w + m.kick_U * weight
        if w > 0.0:
            return put_above(x, base, w, now)
        if not w > -LARGEST_STATE:
            return False
        put_below(m, x, base, 1.0, w / m.ratio, f, now)
        return True
    if P <= 0.0:
        return True  # at infinity, where kicks do nothing
    Q = Q + m.kick_S * weight * P
    if Q > 0.0:
        return put_above(x, base, Q / P * m.ratio, now)
    if x[2] > 0.0:
        if not Q > -LARGEST_STATE:
            return False
        put_below(m, x, base, P, Q, f, now)
        return True
    return kick_below(&m.below, x, base, f, now, H, m.kick_S * weight, port)


cdef inline bint brings_forward(const RapidTheta *m, const double *x, const Frame *f, double weight,
                                int64_t port) noexcept nogil:
    return weight > 0.0 or x[2] > 0.0 or m.below.regime == SHEAR


cdef inline bint over_threshold(const RapidTheta *m, const double *x, const Frame *f) noexcept nogil:
    return False


cdef inline Pair next_crossing(const RapidTheta *m, const double *x, const Pair *base, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    cdef double w = x[2], u
    if w > 0.0:
        if m.I_U > 0.0:
            u = atan2(m.root_U, w) / m.root_U
        elif m.I_U == 0.0:
            u = 1.0 / w
        elif w <= m.root_U:
            return never()
        else:
            u = 0.5 * log1p(2.0 * m.root_U / (w - m.root_U)) / m.root_U
        return plus(base[0], m.tau * u, H)
    if m.glued and m.below.regime == SHEAR:
        if not m.climbs:
            return never()
        return plus(base[0], m.tau * (climb(m, x) + m.rise), H)
    return crossing_below(&m.below, x, base, f, since, epoch, H)


cdef inline bint crosses_before_edge(const RapidTheta *m, const double *x, const Pair *base, Frame *frames, Pair now,
                                     int64_t instant, Pair edge, double H) noexcept nogil:
    cdef double left, w = x[2]
    if w > 0.0:
        if m.I_U < 0.0 and w <= m.root_U:
            return False
        # atan z >= z / (1 + z^2) for z = root_U / w, and atanh z >= z
        left = since_base(m, base, edge, H)
        return w <= (w * w + max(m.I_U, 0.0)) * (left + (fabs(left) + 1.0) * 1e-9)
    if m.glued and m.below.regime == SHEAR:
        left = since_base(m, base, edge, H)
        return m.climbs and m.rise <= left + (fabs(left) + m.rise) * 1e-9
    return crosses_below(&m.below, x, base, frames, now, instant, edge, H)


cdef inline void reset_at(const RapidTheta *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release,
                          bint now, double H) noexcept nogil:
    x[2] = 0.0
    reset_below(&m.below, x, base, f, epoch, release, now, H)


cdef inline double voltage_at(const RapidTheta *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    cdef double P = 0.0, Q = 0.0, w = seen_now(m, x, base, f, now, H, &P, &Q)
    return w / m.kick_U if w > 0.0 else Q / P / m.kick_S


# Many at once ---------------------------------------------------------------------------------------------------------

cdef inline int64_t scan_cost(const RapidTheta *m, bint alone) noexcept nogil:
    return 16 if alone else 3


cdef inline int64_t scan_block(const RapidTheta *m, const Neurons *p, int64_t first, int64_t n,
                               neuron_t *found) noexcept nogil:
    cdef const Frame *f = p.frame
    cdef const double *x = p.x + 3 * first
    cdef double a, b
    cdef int64_t k, count = 0
    if m.below.regime != ROTATION or f.edge_is_far:
        return -1
    a = m.below.peak_b * f.edge_E - m.below.peak_a * f.edge_sine
    b = -m.below.peak_b * f.edge_sine - m.below.peak_a * f.edge_E
    # Without branches: those above 0 are looked at again.
    for k in range(n):
        found[count] = <neuron_t> k
        count += not a * x[3 * k] + b * x[3 * k + 1] > 2.0 * ROUNDING * (fabs(x[3 * k]) + fabs(x[3 * k + 1]))
    return count


cdef inline bint scan_is_rough(const RapidTheta *m) noexcept nogil:
    return True


cdef inline int64_t kick_row(const RapidTheta *m, const Neurons *p, const neuron_t *targets, const double *weights,
                             double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                             neuron_t *others, int64_t *n_others) noexcept nogil:
    """Inhibition of neurons that are below and stay there."""
    cdef const Frame *f = p.frame
    cdef double kick = m.kick_S * weight, P, Q, d
    cdef double *x
    cdef int64_t k, left = 0
    if p.waiting != NULL or weights != NULL or m.below.regime != ROTATION or weight > 0.0:
        return -1
    for k in range(count):
        if p.far and k + 24 < count:
            prefetch(&p.x[3 * <int64_t> targets[k + 24]], 3 * sizeof(double))
        x = p.x + 3 * <int64_t> targets[k]
        P = x[0] * f.E - x[1] * f.sine
        Q = x[0] * f.sine + x[1] * f.E
        d = kick * m.below.inverse_root * P
        if m.glued and (x[2] > 0.0 or Q > 0.0 or P <= 0.0) or not store(x, x[0] + d * f.sine, x[1] + d * f.E, 1.0):
            others[left] = <neuron_t> k
            left += 1
    n_others[0] = left
    return 0


# For gradients --------------------------------------------------------------------------------------------------------
# y is dL/d(angle of V) at the end of the stretch, the time of that end, and sums for tau_m, I_e and rapidness. The
# angle chi, d chi = dV / (1 + (a V)^2), goes on through 0, and is regular where V is infinite.

cdef inline int64_t adjoint_width(const RapidTheta *m, bint wide) noexcept nogil:
    return 5


cdef inline bint needs_frame(const RapidTheta *m) noexcept nogil:
    return False


cdef inline double tau_of(const RapidTheta *m, const Frame *f) noexcept nogil:
    return m.tau


cdef inline double voltage_at_threshold(const RapidTheta *m) noexcept nogil:
    return INFINITY


cdef inline bint jumps_at_spikes(const RapidTheta *m, double weight) noexcept nogil:
    return False


cdef inline double curvature(const RapidTheta *m, double V) noexcept nogil:
    return m.kick_U if V > 0.0 else m.kick_S


cdef inline double measure_of(const RapidTheta *m, double V) noexcept nogil:
    """Of the angle chi."""
    cdef double a = curvature(m, V)
    return 1.0 / (a * a) if is_far(V) else 1.0 / (1.0 + a * V * (a * V))


cdef inline double velocity(const RapidTheta *m, double tau, double V, double distance,
                            double current) noexcept nogil:
    cdef double a = curvature(m, V)
    return a / m.tau if is_far(V) else (a * V * V + m.I_e) / m.tau


cdef inline double velocity_size(const RapidTheta *m, double V) noexcept nogil:
    return curvature(m, V) * V * V


cdef inline double part_back(const RapidTheta *m, double *y, bint above, double V, double u, double a,
                             double tau_share) noexcept nogil:
    """A stretch on one side of 0 from V for a time u, transposed: dL/d chi at its beginning, from `a` at its end.

    The sum for tau_m gets dL/d(the end's time) times `tau_share`.
    """
    cdef double curve = m.kick_U if above else m.kick_S, slope = m.kick_U_slope if above else m.kick_S_slope
    cdef double drive = m.I_U if above else m.below.I_e, root = m.root_U if above else m.below.root
    cdef double w, p = 1.0, q, ratio, by_I, by_u
    if is_far(V):
        p = 0.0
        q = -1.0 if V < 0.0 else 1.0
        w = 0.0
    else:
        q = w = curve * V
        if fabs(w) > 1.0:
            p = 1.0 / fabs(w)
            q = 1.0 if w > 0.0 else -1.0
    flow_back(drive, root, u, p, q, &ratio, &by_I, &by_u)
    y[3] += a * by_I
    y[2] -= a * by_u / curve * tau_share
    # w begins with curve V, and I is curve I_e.
    y[4] += a * slope / curve * (by_I * m.I_e + (0.0 if is_far(V) else ratio * (V / (1.0 + w * w))))
    return a * ratio


cdef inline double leave_at(const RapidTheta *m, double *y, double t, double V) noexcept nogil:
    """`leave`, of a stretch that begins with V at t; the adjoint then is 0."""
    cdef double a = y[0], u, first = INFINITY, w, share
    cdef bint above = V > 0.0
    y[0] = 0.0
    if a == 0.0:
        return 0.0
    u = (y[1] - t) / m.tau
    share = u / m.tau
    w = curvature(m, V) * V
    if above:
        if m.I_U < 0.0 and w < m.root_U:
            first = 0.5 * log1p(2.0 * w / (m.root_U - w)) / m.root_U
    elif m.below.I_e > 0.0:
        first = (1.5707963267948966 if is_far(V) else atan2(-w, m.below.root)) / m.below.root
    if u > first:
        # The drift is continuous, so the time of the passage makes no difference.
        a = part_back(m, y, not above, 0.0, u - first, a, share)
        a = part_back(m, y, above, V, first, a, 0.0)
    else:
        a = part_back(m, y, above, V, u, a, share)
    w = curvature(m, V)
    return a / (w * w) if is_far(V) else a / (1.0 + w * V * (w * V))


cdef inline double leave(const RapidTheta *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w,
                         double V, double distance) noexcept nogil:
    return leave_at(m, y, w.t, V)


cdef inline void arrive(const RapidTheta *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                        double distance, double g) noexcept nogil:
    cdef double a = curvature(m, V)
    y[1] = w.t
    if is_far(V):
        y[0] = g * a * a
        return
    y[0] = g * (1.0 + a * V * (a * V))
    # V is w / a.
    y[4] -= g * V * ((m.kick_U_slope if V > 0.0 else m.kick_S_slope) / a)


cdef inline void kick_back(const RapidTheta *m, double *y, bint wide, const Frame *f, const When *w, double V,
                           double weight, int64_t port, double *by_weight, double *by_time) noexcept nogil:
    cdef double after = V + weight, g
    by_weight[0] = 0.0
    by_time[0] = 0.0
    if is_far(V):
        return  # at infinity a kick does nothing, and the stretch goes on
    g = leave_at(m, y, w.t, after)
    if is_far(after):
        y[1] = w.t
        return
    arrive(m, y, wide, NULL, 0, w, V, 0.0, g)
    by_weight[0] = g
    if g != 0.0 and weight != 0.0:
        by_time[0] = -g * (velocity(m, m.tau, after, 0.0, 0.0) - velocity(m, m.tau, V, 0.0, 0.0)) / weight


cdef inline void settle_sums(const RapidTheta *m, double *y, bint wide, const Sums *sums, int64_t i) noexcept nogil:
    sums.tau_m[i] += y[2]
    sums.I_e[i] += y[3]
    sums.shape[i] += y[4]
    y[2] = 0.0
    y[3] = 0.0
    y[4] = 0.0
