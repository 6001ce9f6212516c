"""The Riccati neuron, tau dV/dt = V^2 + I, in the coordinates of its regime.

State: two doubles (a, b).

- rotation (I > 0): V / sqrt(I) = q / p, and (p, q) = (a, b) is constant in the frame that rotates by alpha;
- saddle (I < 0): V = kappa (a - b E) / (a + b E), kappa = sqrt(-I);
- shear (I near or at 0): V = b / a at the time `base` of the last kick or spike, kept beside the state.

The mathematics is in docs/numerics.md and, operation by operation, in reference.py.
"""

from libc.math cimport INFINITY, atan2, cos, fabs, isinf, log1p, sin, tanh
from libc.stdint cimport int64_t

from sparseprop.numerics._frames cimport (
    LARGEST_STATE, Frame, Pair, growth_at, growth_time, never, plus, rotation_at, rotation_time,
)
from sparseprop.numerics._typedefs cimport neuron_t

cdef enum:
    ROTATION = 0
    SADDLE = 1
    SHEAR = 2

cdef struct QIF:
    double tau
    double I_e
    double root           # sqrt(|I_e|)
    double inverse_root
    double peak_a         # the direction of V_peak in the regime's coordinates
    double peak_b
    double reset_a        # the direction of V_reset
    double reset_b
    double V_peak
    double V_reset
    double t_ref
    neuron_t frame        # none (0) for shears
    neuron_t regime
    bint finite_peak


cdef inline bint store(double *x, double a, double b, double unit) noexcept nogil:
    """x = (a, b), rescaled by a power of two when far from `unit`; False, and x as it was, if that is not finite.

    Kicks are shears of the plane, so the length drifts; only the direction has a meaning.
    """
    cdef double size = fabs(a) + fabs(b) * unit
    if not (size < LARGEST_STATE):
        return False
    if size > unit * 1.2676506002282294e30:
        a *= 7.888609052210118e-31
        b *= 7.888609052210118e-31
    elif size < unit * 7.888609052210118e-31:
        a *= 1.2676506002282294e30
        b *= 1.2676506002282294e30
    x[0] = a
    x[1] = b
    return True


cdef inline double elapsed(Pair since, Pair t, double H, double tau) noexcept nogil:
    """The time from `since` to `t` in units of tau."""
    return (<double> (t.n - since.n) * H + (t.s - since.s)) / tau


cdef inline void shear(const QIF *m, const double *x, double u, double *p, double *q) noexcept nogil:
    """The flow of (p, q) over a time u tau, up to a positive factor; exact for every I, well-conditioned near 0."""
    cdef double C, S
    if m.I_e > 0.0:
        C = cos(m.root * u)
        S = sin(m.root * u) / m.root
        p[0] = C * x[0] - S * x[1]
        q[0] = m.I_e * S * x[0] + C * x[1]
    else:
        S = tanh(m.root * u) / m.root if m.I_e < 0.0 else u
        p[0] = x[0] - S * x[1]
        q[0] = m.I_e * S * x[0] + x[1]


cdef inline void qif_place_direction(const QIF *m, double *x, Pair *base, double P, double Q, const Frame *f,
                                     Pair now) noexcept nogil:
    """The state of a neuron with V = Q / P now, where P >= 0."""
    cdef double first = P, second = Q, size, p, q
    if m.regime == SADDLE:
        first = m.root * P + Q
        second = m.root * P - Q
    elif m.regime == ROTATION:
        first = m.root * P
    size = max(fabs(first), fabs(second))
    p = first / size
    q = second / size
    if m.regime == ROTATION:
        x[0] = p * f.E + q * f.sine
        x[1] = q * f.E - p * f.sine
    elif m.regime == SADDLE:
        x[0] = p * f.E
        x[1] = q
    else:
        x[0] = p
        x[1] = q
        base[0] = now


cdef inline void qif_place(const QIF *m, double *x, Pair *base, double V, const Frame *f, Pair now) noexcept nogil:
    """The state of a neuron whose voltage now is V (finite, or -inf)."""
    if isinf(V):
        qif_place_direction(m, x, base, 0.0, -1.0, f, now)
    else:
        qif_place_direction(m, x, base, 1.0, V, f, now)


cdef inline void qif_direction(const QIF *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                               double *P, double *Q) noexcept nogil:
    """(P, Q) with V = Q / P now, up to a positive factor."""
    if m.regime == ROTATION:
        P[0] = x[0] * f.E - x[1] * f.sine
        Q[0] = m.root * (x[0] * f.sine + x[1] * f.E)
    elif m.regime == SADDLE:
        P[0] = x[0] + x[1] * f.E
        Q[0] = m.root * (x[0] - x[1] * f.E)
    else:
        shear(m, x, elapsed(base[0], now, H, m.tau), P, Q)


cdef inline bint qif_kick(const QIF *m, double *x, Pair *base, const Frame *f, Pair now, double H,
                          double weight) noexcept nogil:
    """Whether the new state is in range; if not, it is left as it was."""
    cdef double d, p, q
    if m.regime == ROTATION:
        d = weight * m.inverse_root * (x[0] * f.E - x[1] * f.sine)
        return store(x, x[0] + d * f.sine, x[1] + d * f.E, 1.0)
    if m.regime == SADDLE:
        d = weight * (x[0] + x[1] * f.E) / (2.0 * m.root)
        return store(x, x[0] + d, x[1] - d / f.E, f.E)
    shear(m, x, elapsed(base[0], now, H, m.tau), &p, &q)
    if not store(x, p, q + weight * p, 1.0):
        return False
    base[0] = now
    return True


cdef inline bint qif_over_threshold(const QIF *m, const double *x, const Frame *f) noexcept nogil:
    """Whether a neuron that was just kicked is at or above V_peak; an infinite one cannot be reached by a kick."""
    if not m.finite_peak:
        return False
    if m.regime == ROTATION:
        return (m.peak_b * (x[0] * f.E - x[1] * f.sine) - m.peak_a * (x[0] * f.sine + x[1] * f.E)) <= 0.0
    if m.regime == SADDLE:
        return m.peak_a * (x[1] * f.E) - m.peak_b * x[0] <= 0.0
    return m.peak_b * x[0] - m.peak_a * x[1] <= 0.0


cdef inline Pair qif_next_spike(const QIF *m, const double *x, const Pair *base, const Frame *f, Pair since,
                                int64_t epoch, double H) noexcept nogil:
    """The next spike without input; `since` (now, or the release time) selects the turn of a rotation."""
    cdef double across, along, u
    if m.regime == ROTATION:
        return rotation_time(
            f, atan2(m.peak_b * x[0] - m.peak_a * x[1], m.peak_a * x[0] + m.peak_b * x[1]), since, epoch, H
        )
    if m.regime == SADDLE:
        # The distance to threshold, peak_a b E - peak_b a, is positive and must fall.
        if m.peak_a * x[1] >= 0.0:
            return never()
        return growth_time(f, (m.peak_b * x[0]) / (m.peak_a * x[1]), 0, epoch, H)
    across = m.peak_b * x[0] - m.peak_a * x[1]
    along = m.peak_b * x[1] + m.peak_a * m.I_e * x[0]
    if m.I_e > 0.0:
        u = atan2(m.root * across, along) / m.root
    elif along <= 0.0:
        return never()
    elif m.I_e == 0.0:
        u = across / along
    else:
        u = m.root * across / along
        if u >= 1.0:
            return never()
        u = 0.5 * log1p(2.0 * u / (1.0 - u)) / m.root
    return plus(base[0], m.tau * max(u, 0.0), H)


cdef inline bint qif_fires_before_edge(const QIF *m, const double *x, const Pair *base, const Frame *f, Pair edge,
                                       double H) noexcept nogil:
    """Whether the neuron may fire before the window's edge; never False if it does.

    The distance to threshold at the edge, with a margin for rounding.
    """
    cdef double across, along, u, size
    if m.regime == ROTATION:
        if f.edge_is_far:
            return True
        across = m.peak_b * (x[0] * f.edge_E - x[1] * f.edge_sine) - m.peak_a * (x[0] * f.edge_sine + x[1] * f.edge_E)
        size = fabs(x[0]) + fabs(x[1])
        return across <= size * 9.094947017729282e-13
    if m.regime == SADDLE:
        size = fabs(x[0]) + fabs(x[1]) * f.edge_E
        return m.peak_a * (x[1] * f.edge_E) - m.peak_b * x[0] <= size * 9.094947017729282e-13
    u = elapsed(base[0], edge, H, m.tau)
    if m.root * u > 1.0:
        return True
    across = m.peak_b * x[0] - m.peak_a * x[1]
    along = m.peak_b * x[1] + m.peak_a * m.I_e * x[0]
    # tan z <= z (1 + z^2) for z <= 1, and tanh z <= z
    if m.I_e > 0.0:
        u *= 1.0 + m.I_e * u * u
    size = fabs(across) + fabs(u * along)
    return u >= 0.0 and across - u * along <= size * 9.094947017729282e-13


cdef inline double qif_coordinate(const QIF *m, const double *x, const Frame *f) noexcept nogil:
    """A rotation's tangent of the angle from the window's edge to the next spike, which is at most a quarter turn."""
    cdef double P = x[0] * f.edge_E - x[1] * f.edge_sine
    cdef double Q = x[0] * f.edge_sine + x[1] * f.edge_E
    cdef double across = m.peak_b * P - m.peak_a * Q
    cdef double along = m.peak_a * P + m.peak_b * Q
    if along > 0.0:
        return across / along
    return INFINITY if across > 0.0 else -INFINITY


cdef inline void qif_reset(const QIF *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release,
                           bint now) noexcept nogil:
    cdef double alpha, c = f.E, s = f.sine
    if m.regime == ROTATION:
        if not now:
            alpha = rotation_at(f, epoch, release)
            c = cos(alpha)
            s = sin(alpha)
        x[0] = m.reset_a * c + m.reset_b * s
        x[1] = m.reset_b * c - m.reset_a * s
    elif m.regime == SADDLE:
        x[0] = m.reset_a * (f.E if now else growth_at(f, epoch, release))
        x[1] = m.reset_b
    else:
        x[0] = m.reset_a
        x[1] = m.reset_b
        base[0] = release


cdef inline double qif_voltage(const QIF *m, const double *x, const Pair *base, const Frame *f, Pair now,
                               double H) noexcept nogil:
    cdef double P, Q
    qif_direction(m, x, base, f, now, H, &P, &Q)
    return Q / P
