"""The piecewise linear integrate-and-fire neuron: as LIF in its co-moving frame up to V_T, from a time `base` on above.

State: x = (V_inf - V) E, or 0; and 0, or v = V - V_T > 0 as of `base`. The mathematics is in docs/numerics.md and,
operation by operation, in pwlif.py.
"""

from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t

from sparseprop.models._neuron cimport Neurons, Sums, When
from sparseprop.numerics._constants cimport LARGEST_KICK, LARGEST_STATE
from sparseprop.numerics._elementary cimport exp, expm1, log, log1p
from sparseprop.numerics._frames cimport Frame, Pair, growth_at, growth_time, interval, never, plus
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport neuron_t


cdef struct PWLIF:
    double H
    double tau
    double V_inf
    double V_inf_low      # V_inf + V_inf_low is the drive to twice the precision
    double gap            # E_L + I_e - V_T = gap_mantissa 2^gap_exponent, the drift at V_T
    double gap_mantissa
    int64_t gap_exponent
    double gap_at_spike   # slightly more than x / E at the spike, infinite where that might underflow; -inf for none
    double depth          # V_inf - V_reset
    double slope
    double V_T
    double V_th
    double v_th           # from V_T
    double v_reset
    double speed_th       # the drift at threshold
    double least_kick     # inhibition above V_T by more puts the spike off by more than rounding can move it
    double rise           # from V_T to threshold, in units of tau
    double V_reset
    double t_ref
    bint slow             # `base` says when x passes V_T
    neuron_t frame

ctypedef PWLIF Model


cdef inline int64_t width_of(const PWLIF *m) noexcept nogil:
    return 2


cdef inline object fill(PWLIF *m, constants, frames, double H):
    m.H, m.frame = H, frames.index(constants["frame"])
    m.tau, m.V_inf, m.V_inf_low = constants["tau"], constants["V_inf"], constants["V_inf_low"]
    m.gap, m.depth, m.slope = constants["gap"], constants["depth"], constants["slope"]
    m.gap_mantissa, m.gap_exponent = constants["gap_scaled"]
    m.V_T, m.V_th, m.V_reset, m.t_ref = constants["V_T"], constants["V_th"], constants["V_reset"], constants["t_ref"]
    m.v_th, m.v_reset, m.rise, m.slow = constants["v_th"], constants["v_reset"], constants["rise"], constants["slow"]
    m.speed_th = m.gap + m.slope * m.v_th
    # No drift below threshold is larger, and an epoch is at most some 12 tau.
    m.least_kick = 1e-8 * (m.v_th + max(m.speed_th, 0.0))
    m.gap_at_spike = -INFINITY
    if m.gap > 0.0:
        m.gap_at_spike = INFINITY if m.slow else m.gap * exp(-m.rise) * (1.0 + 1e-9)


cdef inline bint keeps_base(const PWLIF *m) noexcept nogil:
    return True


cdef inline bint keeps_its_scale(const PWLIF *m, const double *x) noexcept nogil:
    return False


cdef inline double relative_expm1(double z) noexcept nogil:
    return expm1(z) / z if z != 0.0 else 1.0


cdef inline double rising(const PWLIF *m, double v, double u) noexcept nogil:
    """v after a time u (in units of tau) above V_T."""
    cdef double speed = m.gap + m.slope * v, z = m.slope * u, half
    if z > 600.0:
        half = exp(0.5 * z)
        return speed * half / m.slope * half
    return v + speed * (u * relative_expm1(z))


cdef inline double since_base(const PWLIF *m, const Pair *base, Pair t) noexcept nogil:
    """In units of tau."""
    return interval(base[0], t, m.H) / m.tau


cdef inline double seen_now(const PWLIF *m, const double *x, const Pair *base, double E, Pair now,
                            double *distance) noexcept nogil:
    """V - V_T where that is > 0; otherwise 0, and V_inf - V. E is the growth now."""
    cdef double v = 0.0, u
    if x[1] > 0.0:
        u = since_base(m, base, now)
        if m.gap + m.slope * x[1] < 0.0:
            u = u + log1p(m.slope * x[1] / m.gap) / m.slope
            if u >= 0.0:
                distance[0] = m.gap * exp(-u)
                return 0.0
            u = since_base(m, base, now)
        return rising(m, x[1], u)
    if m.gap > 0.0:
        if m.slow:
            u = since_base(m, base, now)
            if u > 0.0:
                v = rising(m, 0.0, u)
        elif x[0] < m.gap * E:
            v = rising(m, 0.0, log(m.gap * E / x[0]))
        if v > 0.0:
            return v
    distance[0] = x[0] / E
    return 0.0


cdef inline Pair kink_of(const PWLIF *m, double x, const Frame *f, int64_t epoch) noexcept nogil:
    """When x passes V_T."""
    return growth_time(f, x / m.gap_mantissa, -m.gap_exponent, epoch, m.H)


cdef inline bint put_below(const PWLIF *m, double *x, Pair *base, double grown, const Frame *f,
                           int64_t epoch) noexcept nogil:
    """Set x, if it is in range; whether it is."""
    if not fabs(grown) < LARGEST_STATE:
        return False
    x[0] = grown
    x[1] = 0.0
    if m.slow:
        base[0] = kink_of(m, grown, f, epoch)
    return True


cdef inline bint put_above(const PWLIF *m, double *x, Pair *base, double v, Pair since) noexcept nogil:
    """Set v as of `since`, if it is in range; whether it is."""
    if not v < LARGEST_STATE:
        return False
    x[0] = 0.0
    x[1] = v
    base[0] = since
    return True


cdef inline void place_at(const PWLIF *m, double *x, Pair *base, double V, const Frame *f, Pair now) noexcept nogil:
    cdef double v = V - m.V_T
    if v > 0.0:
        put_above(m, x, base, v, now)
    else:
        put_below(m, x, base, ((m.V_inf - V) + m.V_inf_low) * f.E, f, now.n)


cdef inline void seen_state(const PWLIF *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    seen[1] = seen_now(m, x, base, f.E, now, &seen[0])


cdef inline void place_seen(const PWLIF *m, const PWLIF *old, double *x, Pair *base, const double *seen,
                            const Frame *f, Pair now, double H) noexcept nogil:
    if seen[1] > 0.0:
        put_above(m, x, base, seen[1], now)
    else:
        put_below(m, x, base, (seen[0] + ((m.V_inf - old.V_inf) + (m.V_inf_low - old.V_inf_low))) * f.E, f, now.n)


cdef inline bint kick_state(const PWLIF *m, double *x, Pair *base, const Frame *f, Pair now, double H, double weight,
                            int64_t port) noexcept nogil:
    cdef double edge = m.gap * f.E, grown, distance = 0.0, v
    if x[1] > 0.0 or (edge > 0.0 and (m.slow or x[0] < edge)):
        v = seen_now(m, x, base, f.E, now, &distance)
        if v > 0.0:
            v = v + weight
            if v > 0.0:
                return put_above(m, x, base, v, now)
            return put_below(m, x, base, (m.gap - v) * f.E, f, now.n)
        grown = (distance - weight) * f.E
    else:
        grown = x[0] - weight * f.E
    if grown < edge:
        v = m.gap - grown / f.E
        if v > 0.0:
            return put_above(m, x, base, v, now)
    return put_below(m, x, base, grown, f, now.n)


cdef inline bint brings_forward(const PWLIF *m, const double *x, const Frame *f, double weight,
                                int64_t port) noexcept nogil:
    return weight > 0.0 or (x[1] > 0.0 and weight > -m.least_kick) or m.slow


cdef inline bint may_oscillate(const PWLIF *m) noexcept nogil:
    # Otherwise not even from V_T on.
    return m.speed_th > 0.0


cdef inline bint over_threshold(const PWLIF *m, const double *x, const Frame *f) noexcept nogil:
    return x[1] >= m.v_th


cdef inline Pair next_crossing(const PWLIF *m, const double *x, const Pair *base, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    cdef double speed, way
    if x[1] > 0.0:
        speed, way = m.gap + m.slope * x[1], m.v_th - x[1]
        if speed <= 0.0:
            return never()
        return plus(base[0], m.tau * (log1p(m.slope * way / speed) / m.slope if way > 0.0 else 0.0), H)
    if m.gap <= 0.0:
        return never()
    return plus(base[0] if m.slow else kink_of(m, x[0], f, epoch), m.tau * m.rise, H)


cdef inline bint crosses_before_edge(const PWLIF *m, const double *x, const Pair *base, Frame *frames, Pair now,
                                     int64_t instant, Pair edge, double H) noexcept nogil:
    cdef double left, speed, way
    if x[1] > 0.0:
        speed, way = m.gap + m.slope * x[1], m.v_th - x[1]
        if speed <= 0.0:
            return False
        # V is nowhere faster than at threshold.
        left = since_base(m, base, edge)
        return way <= (speed + m.slope * way) * (left + (fabs(left) + 1.0) * 1e-9)
    return not x[0] > m.gap_at_spike * frames[m.frame].edge_E


cdef inline void reset_at(const PWLIF *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release, bint now,
                          double H) noexcept nogil:
    if m.v_reset > 0.0:
        put_above(m, x, base, m.v_reset, release)
    else:
        put_below(m, x, base, m.depth * (f.E if now else growth_at(f, epoch, release)), f, epoch)


cdef inline double voltage_at(const PWLIF *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    cdef double distance = 0.0, v = seen_now(m, x, base, f.E, now, &distance)
    return m.V_T + v if v > 0.0 else m.V_inf - distance


# Many at once ---------------------------------------------------------------------------------------------------------

cdef inline int64_t scan_cost(const PWLIF *m, bint alone) noexcept nogil:
    return 2


cdef inline int64_t scan_block(const PWLIF *m, const Neurons *p, int64_t first, int64_t n,
                               neuron_t *found) noexcept nogil:
    cdef int64_t k, count = 0
    cdef const double *x = p.x + 2 * first
    cdef double least = m.gap_at_spike * p.frame.edge_E
    # Without branches: those above V_T are looked at again.
    for k in range(n):
        found[count] = <neuron_t> k
        count += (x[2 * k + 1] > 0.0) | (not x[2 * k] > least)
    return count


cdef inline bint scan_is_rough(const PWLIF *m) noexcept nogil:
    return True


cdef inline int64_t kick_row(const PWLIF *m, const Neurons *p, const neuron_t *targets, const double *weights,
                             double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                             neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef const Frame *f = p.frame
    cdef double E = f.E, edge = m.gap * E, least = m.gap_at_spike * f.edge_E, w = weight, grown, v
    cdef double *x
    cdef Pair since
    cdef int64_t k, found = 0, left = 0
    cdef neuron_t i
    # No sum of kicks of this size leaves the range of a state.
    if m.slow or not largest * E < LARGEST_KICK:
        return -1
    for k in range(count):
        if p.far and k + 24 < count:
            prefetch(&p.x[2 * <int64_t> targets[k + 24]], 2 * sizeof(double))
        i = targets[k]
        x = p.x + 2 * <int64_t> i
        if weights != NULL:
            w = weights[k]
        if p.waiting != NULL and (p.waiting[i >> 3] >> (i & 7)) & 1:
            others[left] = <neuron_t> k
            left += 1
            continue
        grown = x[0] - w * E
        if x[1] == 0.0 and grown >= edge and (x[0] >= edge or m.gap <= 0.0):
            x[0] = grown
            if w > 0.0 and not grown > least:
                near[found] = i
                found += 1
            continue
        grown, v, since = x[0], x[1], p.base[i]
        if not kick_state(m, x, &p.base[i], f, p.now, p.H, w, port) or (w <= 0.0 and over_threshold(m, x, f)):
            x[0], x[1], p.base[i] = grown, v, since
            others[left] = <neuron_t> k
            left += 1
        elif brings_forward(m, x, f, w, port) and (
            over_threshold(m, x, f)
            or crosses_before_edge(m, x, &p.base[i], p.frame - m.frame, p.now, 0, p.edge, p.H)
        ):
            near[found] = i
            found += 1
    n_others[0] = left
    return found


# For gradients: y is dL/dV at the end of the stretch, the time of that end, and sums for tau_m, I_e and slope ---------

cdef inline int64_t adjoint_width(const PWLIF *m, bint wide) noexcept nogil:
    return 5


cdef inline bint needs_frame(const PWLIF *m) noexcept nogil:
    return False


cdef inline double tau_of(const PWLIF *m, const Frame *f) noexcept nogil:
    return m.tau


cdef inline double voltage_at_threshold(const PWLIF *m) noexcept nogil:
    return m.V_th


cdef inline double from_kink(const PWLIF *m, double V) noexcept nogil:
    """V - V_T; that of threshold and reset with the digits that engines have."""
    return m.v_th if V == m.V_th else m.v_reset if V == m.V_reset else V - m.V_T


cdef inline double velocity(const PWLIF *m, double tau, double V, double distance, double current) noexcept nogil:
    cdef double v = from_kink(m, V)
    return (m.gap + (m.slope * v if v > 0.0 else -v)) / m.tau


cdef inline double velocity_size(const PWLIF *m, double V) noexcept nogil:
    cdef double v = from_kink(m, V)
    return m.slope * v if v > 0.0 else -v


# What a stretch on one side of V_T does to its end: derivatives by its beginning, drive and slope; and tau dV/dt there.
cdef struct Stretch:
    double ratio
    double by_drive
    double by_slope
    double speed


cdef inline Stretch stretch_below(const PWLIF *m, double v, double u) noexcept nogil:
    cdef Stretch s
    s.ratio = exp(-u)
    s.by_drive = -expm1(-u)
    s.by_slope = 0.0
    s.speed = (m.gap - v) * s.ratio
    return s


cdef inline Stretch stretch_above(const PWLIF *m, double v, double u) noexcept nogil:
    cdef Stretch s
    cdef double z = m.slope * u, mean = relative_expm1(z), steepness
    s.ratio = exp(z)
    s.by_drive = u * mean
    # Of (e^z - 1) / z.
    steepness = (s.ratio - mean) / z if fabs(z) > 1e-2 else 0.5 + z * (
        1.0 / 3.0 + z * (0.125 + z * (1.0 / 30.0 + z / 144.0)))
    s.by_slope = v * u * s.ratio + m.gap * u * u * steepness
    s.speed = (m.gap + m.slope * v) * s.ratio
    return s


cdef inline Stretch stretch_of(const PWLIF *m, double V, double u) noexcept nogil:
    """Free flow from V for a time u in units of tau, perhaps through V_T."""
    cdef double v = from_kink(m, V), first = INFINITY
    cdef bint above = v > 0.0
    cdef Stretch s, t
    if above and m.gap + m.slope * v < 0.0:
        first = -log1p(m.slope * v / m.gap) / m.slope
    elif not above and m.gap > 0.0:
        first = log1p(-v / m.gap)
    s = stretch_above(m, v, min(u, first)) if above else stretch_below(m, v, min(u, first))
    if u > first:
        t = stretch_below(m, 0.0, u - first) if above else stretch_above(m, 0.0, u - first)
        # The drift is continuous, so the time of the passage makes no difference.
        t.by_drive += t.ratio * s.by_drive
        t.by_slope += t.ratio * s.by_slope
        t.ratio *= s.ratio
        return t
    return s


cdef inline double leave(const PWLIF *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                         double distance) noexcept nogil:
    cdef double g = y[0], u = (y[1] - w.t) / m.tau
    cdef Stretch s
    y[0] = 0.0
    if g == 0.0:
        return 0.0
    s = stretch_of(m, V, u)
    y[2] -= g * s.speed * u / m.tau
    y[3] += g * s.by_drive
    y[4] += g * s.by_slope
    return g * s.ratio


cdef inline void arrive(const PWLIF *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                        double distance, double g) noexcept nogil:
    y[0] = g
    y[1] = w.t


cdef inline void kick_back(const PWLIF *m, double *y, bint wide, const Frame *f, const When *w, double V,
                           double weight, int64_t port, double *by_weight, double *by_time) noexcept nogil:
    cdef double after = V + weight, g = leave(m, y, wide, NULL, 0, w, after, 0.0)
    y[0] = g
    y[1] = w.t
    by_weight[0] = g
    by_time[0] = 0.0
    if g != 0.0 and weight != 0.0:
        by_time[0] = -g * (velocity(m, m.tau, after, 0.0, 0.0) - velocity(m, m.tau, V, 0.0, 0.0)) / weight


cdef inline void settle_sums(const PWLIF *m, double *y, bint wide, const Sums *sums, int64_t i) noexcept nogil:
    sums.tau_m[i] += y[2]
    sums.I_e[i] += y[3]
    sums.shape[i] += y[4]
    y[2] = 0.0
    y[3] = 0.0
    y[4] = 0.0
