"""The Riccati neuron, tau dV/dt = V^2 + I, in the coordinates of its regime.

State: two doubles (a, b).

- rotation (I > 0): V / sqrt(I) = q / p, and (p, q) = (a, b) is constant in the frame that rotates by alpha;
- saddle (I < 0): V = kappa (a - b E) / (a + b E), kappa = sqrt(-I);
- shear (I near or at 0): V = b / a at the time `base` of the last kick or spike, kept beside the state.

The mathematics is in docs/numerics.md and, operation by operation, in riccati.py.
"""

from libc.math cimport INFINITY, NAN, fabs, isinf
from libc.stdint cimport int64_t, uint8_t

from sparseprop.models._neuron cimport Neurons, Row, Sums, When
from sparseprop.numerics._constants cimport LARGE, LARGEST_STATE, LOOSE, ROUNDING, SMALL
from sparseprop.numerics._frames cimport Frame, Pair, growth_at, growth_time, never, plus, rotation_at, rotation_time
from sparseprop.numerics._elementary cimport atan2, cos, cosh, exp, log1p, sin, sincos_many, sinh, tanh
from sparseprop.numerics._scan cimport find_turned, normalise, prefetch, register_width, turn, turn_far
from sparseprop.numerics._typedefs cimport neuron_t

cdef enum:
    ROTATION = 0
    SADDLE = 1
    SHEAR = 2
    # Powers of two by which lengths of vectors may have drifted since they were last brought near 1.
    MOST_DRIFT = 600
    OWN = 4  # doubles of each neuron for loops over neurons that are not equal
    OWN_BLOCK = 64  # targets that are kicked at a time, each with a sine and cosine of its own
    FARTHEST = 1 << 12  # rad; beyond, rounding moves angles by more than ROUNDING

cdef struct Riccati:
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

ctypedef Riccati Model


cdef inline int64_t width_of(const Riccati *m) noexcept nogil:
    return 2


cdef inline object fill(Riccati *m, constants, frames, double H):
    m.frame = frames.index(constants["frame"])
    m.regime = {"rotation": ROTATION, "saddle": SADDLE, "shear": SHEAR}[constants["regime"]]
    m.tau, m.I_e, m.root = constants["tau"], constants["I_e"], constants["root"]
    m.inverse_root = 1.0 / m.root if m.regime != SHEAR else 0.0
    m.peak_a, m.peak_b = constants["peak"]
    m.reset_a, m.reset_b = constants["reset"]
    m.V_peak, m.V_reset, m.t_ref = constants["V_peak"], constants["V_reset"], constants["t_ref"]
    m.finite_peak = constants["finite_peak"]


cdef inline bint keeps_base(const Riccati *m) noexcept nogil:
    return m.regime == SHEAR


cdef inline bint keeps_its_scale(const Riccati *m, const double *x) noexcept nogil:
    # At the unstable point there is no growth, and the length of the vector has no meaning.
    return x[1] == 0.0


cdef inline bint store(double *x, double a, double b, double unit) noexcept nogil:
    """x = (a, b), rescaled by a power of two when far from `unit`; False, and x as it was, if that is not finite.

    Kicks are shears of the plane, so the length drifts; only the direction has a meaning.
    """
    cdef double size = fabs(a) + fabs(b) * unit
    if not (size < LARGEST_STATE):
        return False
    if size > unit * LARGE:
        a *= SMALL
        b *= SMALL
    elif size < unit * SMALL:
        a *= LARGE
        b *= LARGE
    x[0] = a
    x[1] = b
    return True


cdef inline double elapsed(Pair since, Pair t, double H, double tau) noexcept nogil:
    """The time from `since` to `t` in units of tau."""
    return (<double> (t.n - since.n) * H + (t.s - since.s)) / tau


cdef inline void shear(const Riccati *m, const double *x, double u, double *p, double *q) noexcept nogil:
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


cdef inline void place_direction(const Riccati *m, double *x, Pair *base, double P, double Q, const Frame *f,
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


cdef inline void place_at(const Riccati *m, double *x, Pair *base, double V, const Frame *f,
                          Pair now) noexcept nogil:
    # V is finite, or -inf.
    if isinf(V):
        place_direction(m, x, base, 0.0, -1.0, f, now)
    else:
        place_direction(m, x, base, 1.0, V, f, now)


cdef inline void direction_of(const Riccati *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
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


cdef inline void seen_state(const Riccati *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    direction_of(m, x, base, f, now, H, &seen[0], &seen[1])


cdef inline void place_seen(const Riccati *m, const Riccati *old, double *x, Pair *base, const double *seen,
                            const Frame *f, Pair now, double H) noexcept nogil:
    place_direction(m, x, base, seen[0], seen[1], f, now)


cdef inline bint kick_state(const Riccati *m, double *x, Pair *base, const Frame *f, Pair now, double H,
                            double weight, int64_t port) noexcept nogil:
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


cdef inline bint brings_forward(const Riccati *m, const double *x, const Frame *f, double weight,
                                int64_t port) noexcept nogil:
    # A shear is set anew by any kick, which may move a spike far ahead by more than the margin.
    return weight > 0.0 or m.regime == SHEAR


cdef inline bint over_threshold(const Riccati *m, const double *x, const Frame *f) noexcept nogil:
    if not m.finite_peak:  # which no kick reaches
        return False
    if m.regime == ROTATION:
        return (m.peak_b * (x[0] * f.E - x[1] * f.sine) - m.peak_a * (x[0] * f.sine + x[1] * f.E)) <= 0.0
    if m.regime == SADDLE:
        return m.peak_a * (x[1] * f.E) - m.peak_b * x[0] <= 0.0
    return m.peak_b * x[0] - m.peak_a * x[1] <= 0.0


cdef inline Pair next_crossing(const Riccati *m, const double *x, const Pair *base, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    # `since` (now, or the release time) selects the turn of a rotation.
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


cdef inline bint crosses_before_edge(const Riccati *m, const double *x, const Pair *base, Frame *frames, Pair now,
                                     int64_t instant, Pair edge, double H) noexcept nogil:
    # By the distance to threshold at the edge, with a margin for rounding.
    cdef const Frame *f = &frames[m.frame]
    cdef double across, along, u, size
    if m.regime == ROTATION:
        if f.edge_is_far:
            return True
        across = m.peak_b * (x[0] * f.edge_E - x[1] * f.edge_sine) - m.peak_a * (x[0] * f.edge_sine + x[1] * f.edge_E)
        size = fabs(x[0]) + fabs(x[1])
        return across <= size * ROUNDING
    if m.regime == SADDLE:
        size = fabs(x[0]) + fabs(x[1]) * f.edge_E
        return m.peak_a * (x[1] * f.edge_E) - m.peak_b * x[0] <= size * ROUNDING
    u = elapsed(base[0], edge, H, m.tau)
    if m.root * u > 1.0:
        return True
    across = m.peak_b * x[0] - m.peak_a * x[1]
    along = m.peak_b * x[1] + m.peak_a * m.I_e * x[0]
    # tan z <= z (1 + z^2) for z <= 1, and tanh z <= z
    if m.I_e > 0.0:
        u *= 1.0 + m.I_e * u * u
    size = fabs(across) + fabs(u * along)
    return u >= 0.0 and across - u * along <= size * ROUNDING


cdef inline bint has_coordinate(const Riccati *m) noexcept nogil:
    return m.regime == ROTATION


cdef inline double coordinate(const Riccati *m, const double *x, const Frame *f) noexcept nogil:
    """A rotation's tangent of the angle from the window's edge to the next spike, which is at most a quarter turn."""
    cdef double P = x[0] * f.edge_E - x[1] * f.edge_sine
    cdef double Q = x[0] * f.edge_sine + x[1] * f.edge_E
    cdef double across = m.peak_b * P - m.peak_a * Q
    cdef double along = m.peak_a * P + m.peak_b * Q
    if along > 0.0:
        return across / along
    return INFINITY if across > 0.0 else -INFINITY


cdef inline void reset_at(const Riccati *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release,
                          bint now, double H) noexcept nogil:
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


cdef inline double voltage_at(const Riccati *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    cdef double P, Q
    direction_of(m, x, base, f, now, H, &P, &Q)
    return Q / P


# Many at once ---------------------------------------------------------------------------------------------------------

cdef inline int64_t scan_cost(const Riccati *m, bint alone) noexcept nogil:
    return 5 if alone else 2


cdef inline int64_t scan_block(const Riccati *m, const Neurons *p, int64_t first, int64_t n,
                               neuron_t *found) noexcept nogil:
    cdef const Frame *f = p.frame
    if m.regime != ROTATION or f.edge_is_far:
        return -1
    return find_turned(register_width(), p.x + 2 * first, n, m.peak_b * f.edge_E - m.peak_a * f.edge_sine,
                       -m.peak_b * f.edge_sine - m.peak_a * f.edge_E, 2.0 * ROUNDING, found)


cdef inline int64_t turn_one_by_one(const Riccati *m, const Neurons *p, const neuron_t *targets, const double *weights,
                                    double weight, int64_t count, neuron_t *near, neuron_t *others,
                                    int64_t *n_others) noexcept nogil:
    """`kick_row` of rotations, with weights of their own or excitation."""
    cdef const Frame *f = p.frame
    cdef const uint8_t *waiting = p.waiting
    cdef double *states = p.x
    cdef double *x
    cdef double c = f.E, s = f.sine, inverse_root = m.inverse_root, w = weight, d, a, b, size
    # At the edge the distance to threshold is a multiple of that of (a, b) to this direction; beyond a finite peak it
    # may be any.
    cdef double edge_a = m.peak_b * f.edge_E - m.peak_a * f.edge_sine
    cdef double edge_b = -m.peak_b * f.edge_sine - m.peak_a * f.edge_E
    cdef bint any_may = f.edge_is_far or m.finite_peak
    cdef int64_t k, found = 0, left = 0
    cdef neuron_t i
    for k in range(count):
        if p.far and k + 24 < count:
            prefetch(&states[2 * <int64_t> targets[k + 24]], 2 * sizeof(double))
        i = targets[k]
        x = states + 2 * <int64_t> i
        if weights != NULL:
            w = weights[k]
        d = w * inverse_root * (x[0] * c - x[1] * s)
        a = x[0] + d * s
        b = x[1] + d * c
        size = fabs(a) + fabs(b)
        if (waiting != NULL and (waiting[i >> 3] >> (i & 7)) & 1) or not SMALL <= size <= LARGE:
            others[left] = <neuron_t> k
            left += 1
            continue
        x[0] = a
        x[1] = b
        near[found] = i
        found += w > 0.0 and (any_may or edge_a * a + edge_b * b <= 2.0 * ROUNDING * size)
    n_others[0] = left
    return found


cdef inline int64_t kick_row(const Riccati *m, const Neurons *p, const neuron_t *targets, const double *weights,
                             double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                             neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef const Frame *f = p.frame
    cdef double kick = weight * m.inverse_root
    cdef int64_t n = 0, left = 0
    if m.regime != ROTATION:
        return -1
    if p.waiting != NULL or weights != NULL or weight > 0.0:
        return turn_one_by_one(m, p, targets, weights, weight, count, near, others, n_others)
    if not p.far and settle_lengths(p, fabs(weight) * m.inverse_root):
        turn(p.x, targets, count, kick, f.E, f.sine)
    else:
        while True:
            n += turn_far(p.x, targets + n, count - n, kick, f.E, f.sine, SMALL, LARGE)
            if n == count:
                break
            others[left] = <neuron_t> n
            left += 1
            n += 1
    n_others[0] = left
    return 0


# Own numbers: the angle at the epoch's start, its rate, what a weight is in the plane of states, and the angle of the
# threshold. At the edge: the direction of the distance to threshold in the plane of states; NaN if that is not known.

cdef inline int64_t own_width(const Riccati *m) noexcept nogil:
    return OWN


cdef inline int64_t edge_width(const Riccati *m) noexcept nogil:
    return 2


cdef inline bint own_suffices(const Riccati *m) noexcept nogil:
    return m.regime == ROTATION


cdef inline void own_numbers(const Riccati *m, const Frame *f, const Neurons *p, int64_t i) noexcept nogil:
    cdef double *own = p.own + OWN * i
    own[0] = f.mantissa
    own[1] = f.scale
    own[2] = m.inverse_root if m.regime == ROTATION else NAN
    own[3] = atan2(m.peak_b, m.peak_a) if m.regime == ROTATION else NAN


cdef inline void own_edges(const Riccati *m, const Neurons *p, double late, double ahead) noexcept nogil:
    cdef double cosine[OWN_BLOCK]
    cdef double sine[OWN_BLOCK]
    cdef const double *own
    cdef double *edge
    cdef int64_t first = 0, n, k
    while first < p.size:
        n = min(p.size - first, OWN_BLOCK)
        own = p.own + OWN * first
        for k in range(n):
            sine[k] = own[OWN * k + 3] - (own[OWN * k] + own[OWN * k + 1] * late)
        sincos_many(sine, cosine, sine, n)
        for k in range(n):
            edge = p.edges + 2 * (first + k)
            # Too far away for the sign of a sine to tell who fires before it, or for its angle to be known.
            if not (own[OWN * k + 1] * ahead < 1.5 and own[OWN * k + 1] * late < FARTHEST):
                edge[0] = edge[1] = NAN
                continue
            edge[0] = sine[k]
            edge[1] = -cosine[k]
        first += n


cdef inline bint crosses_by(const double *edge, const double *x) noexcept nogil:
    return not edge[0] * x[0] + edge[1] * x[1] > LOOSE * (fabs(x[0]) + fabs(x[1]))


cdef inline bint own_crosses(const Neurons *p, int64_t i) noexcept nogil:
    return crosses_by(p.edges + 2 * i, p.x + 2 * i)


cdef inline double own_lead(const Neurons *p, int64_t i) noexcept nogil:
    cdef const double *edge = p.edges + 2 * i
    cdef const double *x = p.x + 2 * i
    cdef double across = edge[0] * x[0] + edge[1] * x[1], along = edge[0] * x[1] - edge[1] * x[0], angle, square
    if not along > 0.0:
        return INFINITY
    # An angle is at most its tangent z, and z - z^3 / 3 + z^5 / 5.
    angle = -across / along
    square = angle * angle
    if square < 1.0:
        angle *= 1.0 - square * (1.0 / 3.0 - 0.2 * square)
    return (angle + ROUNDING) / p.own[OWN * i + 1] * (1.0 + LOOSE)


cdef inline int64_t scan_each(const Riccati *m, const Neurons *p, int64_t first, int64_t n,
                              neuron_t *found) noexcept nogil:
    cdef const double *x = p.x + 2 * first
    cdef const double *edges = p.edges + 2 * first
    cdef int64_t k, count = 0
    for k in range(n):
        found[count] = <neuron_t> k
        count += crosses_by(edges + 2 * k, x + 2 * k)
    return count


cdef inline bint scan_is_rough(const Riccati *m) noexcept nogil:
    # `scan_each` leaves saddles and shears to be looked at.
    return m.regime != ROTATION


cdef inline void directions_of(const double *own, const neuron_t *targets, int64_t n, double s, double *cosine,
                               double *sine) noexcept nogil:
    """Cosine and sine of alpha, of n neurons, at most OWN_BLOCK, at a time s after the epoch's start."""
    cdef const double *one
    cdef int64_t k
    for k in range(n):
        one = own + OWN * <int64_t> targets[k]
        sine[k] = one[0] + one[1] * s
    sincos_many(sine, cosine, sine, n)


cdef inline int64_t kick_each(const Riccati *m, const Neurons *p, const neuron_t *targets, const double *weights,
                              double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                              neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef double cosine[OWN_BLOCK]
    cdef double sine[OWN_BLOCK]
    cdef const double *own = p.own
    cdef const double *edges = p.edges
    cdef const uint8_t *waiting = p.waiting
    cdef double *states = p.x
    cdef double *x
    cdef double c, s, d, a, b, size, w = weight
    cdef bint far = p.far
    cdef int64_t first = 0, n, k, found = 0, left = 0
    cdef neuron_t i
    while first < count:
        n = min(count - first, OWN_BLOCK)
        for k in range(n):
            prefetch(&states[2 * <int64_t> targets[first + k]], 2 * sizeof(double))
        if far:
            for k in range(first + n, min(first + n + OWN_BLOCK, count)):
                prefetch(&own[OWN * <int64_t> targets[k]], OWN * sizeof(double))
        directions_of(own, targets + first, n, p.now.s, cosine, sine)
        for k in range(n):
            i = targets[first + k]
            x = states + 2 * <int64_t> i
            c = cosine[k]
            s = sine[k]
            if weights != NULL:
                w = weights[first + k]
            d = w * own[OWN * <int64_t> i + 2] * (x[0] * c - x[1] * s)
            a = x[0] + d * s
            b = x[1] + d * c
            size = fabs(a) + fabs(b)
            if (waiting != NULL and (waiting[i >> 3] >> (i & 7)) & 1) or not SMALL <= size <= LARGE:
                others[left] = <neuron_t> (first + k)
                left += 1
                continue
            x[0] = a
            x[1] = b
            if w > 0.0:
                near[found] = i
                found += crosses_by(edges + 2 * <int64_t> i, x)
        first += n
    n_others[0] = left
    return found


cdef inline bint settle_lengths(const Neurons *p, double c) noexcept nogil:
    """Make sure that vectors kicked by c stay in range; False if c is too large for that.

    A kick makes a vector at most 1 + 2 |c| times as long, or as short.
    """
    cdef double drift = c * 2.885390081777927  # 2 / log 2
    if p.drift[0] + drift >= MOST_DRIFT:
        if drift >= MOST_DRIFT:
            return False
        while not normalise(p.x, p.size, SMALL, LARGE):
            pass
        p.drift[0] = 0.0
    p.drift[0] += drift
    return True


cdef inline bint voltages_of_row(const Riccati *m, const double *x, const Frame *f, const neuron_t *targets,
                                 int64_t count, double *V) noexcept nogil:
    cdef int64_t k
    cdef const double *v
    if m.regime != ROTATION:
        return False
    for k in range(count):
        if k + 24 < count:
            prefetch(x + 2 * <int64_t> targets[k + 24], 1)
        v = x + 2 * <int64_t> targets[k]
        V[k] = m.root * (v[0] * f.sine + v[1] * f.E) / (v[0] * f.E - v[1] * f.sine)
    return True


# For gradients --------------------------------------------------------------------------------------------------------
# y is dL/d(angle of V), the time that it belongs to, and two sums, for tau_m and I_e. The adjoint a is that of an angle
# chi, d chi = dV / N, N = c + V^2, c = I for rotations and else 1: it is regular where V is infinite and, unlike the
# time to the next spike, at the fixed points. Rotations: chi advances by t / tau.

cdef inline int64_t adjoint_width(const Riccati *m, bint wide) noexcept nogil:
    return 4


cdef inline bint needs_frame(const Riccati *m) noexcept nogil:
    return False


cdef inline double tau_of(const Riccati *m, const Frame *f) noexcept nogil:
    return m.tau


cdef inline double voltage_at_threshold(const Riccati *m) noexcept nogil:
    return m.V_peak


cdef inline bint jumps_at_spikes(const Riccati *m, double weight) noexcept nogil:
    return m.finite_peak or not isinf(m.V_reset)


cdef inline bint is_far(double V) noexcept nogil:
    """Whether V counts as infinite: its square is not to overflow, and nothing depends on it any more."""
    return fabs(V) > 1e100


cdef inline bint stands_still(const Riccati *m) noexcept nogil:
    return m.regime == ROTATION


cdef inline double measure_of(const Riccati *m, double V) noexcept nogil:
    """Of the angle of (sqrt(I), V), or of (1, V) where that does not rotate."""
    cdef double unit = m.root if m.regime == ROTATION else 1.0
    return unit if is_far(V) else unit / (unit * unit + V * V)


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
        if b == 0.0 and e < 1e-100:
            # At the unstable fixed point; what follows would underflow.
            ratio[0] = 1.0 / e
            by_I[0] = 0.5 / (root * (1.0 + root * root) * e)
            by_u[0] = 0.0
            return
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


cdef inline double leave_at(const Riccati *m, double *y, double t, double V) noexcept nogil:
    """`leave`, of a stretch that begins with V at t; the adjoint then is 0."""
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


cdef inline double leave(const Riccati *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                         double distance) noexcept nogil:
    return leave_at(m, y, w.t, V)


cdef inline void arrive(const Riccati *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                        double distance, double g) noexcept nogil:
    y[1] = w.t
    if is_far(V):
        y[0] = g
        return
    y[0] = g * ((m.I_e if m.regime == ROTATION else 1.0) + V * V)
    if m.regime == ROTATION:
        y[3] -= g * V


cdef inline double velocity(const Riccati *m, double tau, double V, double distance, double current) noexcept nogil:
    return 1.0 / m.tau if is_far(V) else (V * V + m.I_e) / m.tau


cdef inline double velocity_size(const Riccati *m, double V) noexcept nogil:
    return V * V


cdef inline void kick_back(const Riccati *m, double *y, bint wide, const Frame *f, const When *w, double V,
                           double weight, int64_t port, double *by_weight, double *by_time) noexcept nogil:
    cdef double c, after = V + weight, a = y[0], t = w.t
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
        c = leave_at(m, y, t, after)
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


cdef inline void settle_sums(const Riccati *m, double *y, bint wide, const Sums *sums, int64_t i) noexcept nogil:
    if m.regime == ROTATION:
        sums.I_e[i] += (y[2] - y[3]) / (2.0 * m.I_e)
        sums.tau_m[i] -= y[2] / m.tau
    else:
        sums.I_e[i] += y[3]
        sums.tau_m[i] += y[2]
    y[2] = 0.0
    y[3] = 0.0


cdef inline double rotation_row(const Riccati *m, double *y, const neuron_t *targets, const double *weights,
                                double weight, const double *V, int64_t count, double t, double *by_weight, bint far,
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


cdef inline bint row_of_back(const Riccati *m, double *y, const Row *row, double *total, double *sum) noexcept nogil:
    if m.regime != ROTATION:
        return False
    total[0] = rotation_row(m, y, row.targets, row.weights, row.weight, row.V, row.count, row.now.t, row.by_weight,
                            row.far, sum)
    return True
