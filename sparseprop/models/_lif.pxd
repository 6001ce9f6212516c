"""The LIF neuron in its co-moving frame: x = (V_inf - V) E is constant between events.

State: one double. The mathematics is in docs/numerics.md and, operation by operation, in lif.py.
"""

from libc.math cimport INFINITY, fabs, frexp, ldexp
from libc.stdint cimport int64_t, uint8_t

from sparseprop.models._neuron cimport Kicks, Neurons, Row, Sums, When
from sparseprop.numerics._constants cimport LARGEST_KICK, LARGEST_STATE, LOOSE, SMALL
from sparseprop.numerics._elementary cimport exp_many
from sparseprop.numerics._frames cimport Frame, Moments, Pair, growth_at, growth_time, make_growths, never
from sparseprop.numerics._scan cimport find_below, find_below_each, prefetch, register_width, subtract
from sparseprop.numerics._scan cimport kick_row as kick_states
from sparseprop.numerics._sums cimport sum_of_three
from sparseprop.numerics._typedefs cimport neuron_t


cdef enum:
    OWN = 2         # doubles of each neuron for loops over neurons that are not equal
    OWN_BLOCK = 64  # targets that are kicked at a time, each with an exponential of its own


cdef struct LIF:
    double V_inf
    double V_inf_low      # V_inf + V_inf_low is the drive to twice the precision
    double gap            # V_inf - V_th = gap_mantissa 2^gap_exponent
    double inverse_gap
    double gap_mantissa
    int64_t gap_exponent
    double depth          # V_inf - V_reset
    double V_reset
    double t_ref
    neuron_t frame


ctypedef LIF Model


cdef inline int64_t width_of(const LIF *m) noexcept nogil:
    return 1


cdef inline object fill(LIF *m, constants, frames, double H):
    m.frame = frames.index(constants["frame"])
    m.V_inf, m.V_inf_low = constants["V_inf"], constants["V_inf_low"]
    m.gap, m.depth = constants["gap"], constants["depth"]
    m.inverse_gap = 1.0 / m.gap if m.gap > 0.0 else 0.0
    m.gap_mantissa, m.gap_exponent = constants["gap_scaled"]
    m.V_reset, m.t_ref = constants["V_reset"], constants["t_ref"]


cdef inline bint gives_current(const LIF *m) noexcept nogil:
    return True


cdef inline void give_current(LIF *m, double I_e, const double *leak) noexcept nogil:
    # As in sparseprop.models.lif_constants.
    cdef double gap = sum_of_three(leak[0], I_e, -leak[1])
    cdef int k = 0
    m.V_inf = sum_of_three(leak[0], I_e, 0.0)
    m.V_inf_low = sum_of_three(leak[0], I_e, -m.V_inf)
    m.gap = gap
    m.depth = sum_of_three(leak[0], I_e, -leak[2])
    m.inverse_gap = 1.0 / gap if gap > 0.0 else 0.0
    m.gap_mantissa, m.gap_exponent = gap, 0
    if 0.0 < gap < SMALL:  # 2^-100
        frexp(gap, &k)
        m.gap_mantissa, m.gap_exponent = ldexp(gap, -k), k


cdef inline bint may_oscillate(const LIF *m) noexcept nogil:
    return m.gap > 0.0


cdef inline bint keeps_its_scale(const LIF *m, const double *x) noexcept nogil:
    return False


cdef inline void place_at(const LIF *m, double *x, Pair *base, double V, const Frame *f, Pair now) noexcept nogil:
    x[0] = ((m.V_inf - V) + m.V_inf_low) * f.E


cdef inline void seen_state(const LIF *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    seen[0] = x[0]


cdef inline void place_seen(const LIF *m, const LIF *old, double *x, Pair *base, const double *seen, const Frame *f,
                            Pair now, double H) noexcept nogil:
    x[0] = seen[0] + ((m.V_inf - old.V_inf) + (m.V_inf_low - old.V_inf_low)) * f.E


cdef inline bint kick_state(const LIF *m, double *x, Pair *base, const Frame *f, Pair now, double H, double weight,
                            int64_t port) noexcept nogil:
    cdef double kicked = x[0] - weight * f.E
    if not (fabs(kicked) < LARGEST_STATE):
        return False
    x[0] = kicked
    return True


cdef inline bint brings_forward(const LIF *m, const double *x, const Frame *f, double weight,
                                int64_t port) noexcept nogil:
    return weight > 0.0


cdef inline bint over_threshold(const LIF *m, const double *x, const Frame *f) noexcept nogil:
    return x[0] <= m.gap * f.E


cdef inline bint adds_up(const LIF *m) noexcept nogil:
    return True


cdef inline double gap_of(const LIF *m) noexcept nogil:
    return m.gap


cdef inline bint has_moments(const LIF *m) noexcept nogil:
    return True


cdef inline void make_all_moments(const LIF *m, const Frame *frames, const double *s, int64_t n,
                                  Moments *all) noexcept nogil:
    make_growths(&frames[m.frame], s, n, all.E)


cdef inline void enter_all_moments(const LIF *m, Frame *frames, const Moments *all, int64_t k,
                                   int64_t instant) noexcept nogil:
    frames[m.frame].instant, frames[m.frame].E = instant, all.E[k]


cdef inline int64_t kick_far_below(const LIF *m, double *x, const uint8_t *waiting, const Frame *f, const Kicks *kicks,
                                   const double *s, const Moments *all, int64_t first, int64_t n,
                                   double epoch) noexcept nogil:
    cdef double weight, kicked, E = f.edge_E
    cdef int64_t k = first
    cdef neuron_t i
    while k < n:
        i = kicks.targets[k]
        weight = kicks.weights[k]
        kicked = x[i] - weight * all.E[k]
        if m.gap <= 0.0:
            E = all.E[k]
        if waiting != NULL and (waiting[i >> 3] >> (i & 7)) & 1:
            break
        if weight > 0.0 and kicked <= m.gap * E or not fabs(kicked) < LARGEST_STATE:
            break
        x[i] = kicked
        k += 1
    return k


cdef inline Pair next_crossing(const LIF *m, const double *x, const Pair *base, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    if m.gap <= 0.0:
        return never()
    return growth_time(f, x[0] / m.gap_mantissa, -m.gap_exponent, epoch, H)


cdef inline bint crosses_before_edge(const LIF *m, const double *x, const Pair *base, Frame *frames, Pair now,
                                     int64_t instant, Pair edge, double H) noexcept nogil:
    return m.gap > 0.0 and x[0] <= m.gap * frames[m.frame].edge_E


cdef inline bint has_coordinate(const LIF *m) noexcept nogil:
    # A smaller gap might make it overflow.
    return m.gap > SMALL


cdef inline double coordinate(const LIF *m, const double *x, const Frame *f) noexcept nogil:
    """E at the next spike."""
    return x[0] * m.inverse_gap if m.gap > 0.0 else INFINITY


cdef inline void reset_at(const LIF *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release, bint now,
                          double H) noexcept nogil:
    x[0] = m.depth * (f.E if now else growth_at(f, epoch, release))


cdef inline double voltage_at(const LIF *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    return m.V_inf - x[0] / f.E


# Many at once ---------------------------------------------------------------------------------------------------------

cdef inline int64_t scan_cost(const LIF *m, bint alone) noexcept nogil:
    return 5 if alone else 1


cdef inline int64_t scan_block(const LIF *m, const Neurons *p, int64_t first, int64_t n,
                               neuron_t *found) noexcept nogil:
    return find_below(register_width(), p.x + first, n, m.gap * p.frame.edge_E, found)


cdef inline int64_t kick_row(const LIF *m, const Neurons *p, const neuron_t *targets, const double *weights,
                             double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                             neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef const Frame *f = p.frame
    # No sum of kicks of this size leaves the range of a state.
    if not largest * f.E < LARGEST_KICK:
        return -1
    n_others[0] = 0
    if weights == NULL and weight <= 0.0 and p.waiting == NULL:
        subtract(p.x, targets, count, weight * f.E, p.far)
        return 0
    return kick_states(p.x, targets, weights, weight, count, f.E,
                       m.gap * (f.edge_E if m.gap > 0.0 and f.edge_E > f.E else f.E), p.waiting, p.far, near, others,
                       n_others)


# Own numbers: E at the epoch's start, and its time constant. At the edge: for all neurons the state up to which they
# may fire before it; then for all the gap.

cdef inline int64_t own_width(const LIF *m) noexcept nogil:
    return OWN


cdef inline int64_t edge_width(const LIF *m) noexcept nogil:
    return 2


cdef inline bint own_suffices(const LIF *m) noexcept nogil:
    return True


cdef inline void own_numbers(const LIF *m, const Frame *f, const Neurons *p, int64_t i) noexcept nogil:
    p.own[OWN * i] = f.start
    p.own[OWN * i + 1] = f.scale
    p.edges[p.size + i] = m.gap


cdef inline void growths_at(const double *own, int64_t n, double s, double *E) noexcept nogil:
    """E of n neurons in a row, at most OWN_BLOCK, at a time s after the epoch's start."""
    cdef int64_t k
    for k in range(n):
        E[k] = own[OWN * k + 1]
    for k in range(n):
        E[k] = s / E[k]
    exp_many(E, E, n)
    for k in range(n):
        E[k] *= own[OWN * k]


cdef inline void growths_of(const double *own, const neuron_t *targets, int64_t n, double s, double *E) noexcept nogil:
    """The same for any neurons."""
    cdef double start[OWN_BLOCK]
    cdef const double *one
    cdef int64_t k
    for k in range(n):
        one = own + OWN * <int64_t> targets[k]
        start[k] = one[0]
        E[k] = one[1]
    for k in range(n):
        E[k] = s / E[k]
    exp_many(E, E, n)
    for k in range(n):
        E[k] *= start[k]


cdef inline void own_edges(const LIF *m, const Neurons *p, double late, double ahead) noexcept nogil:
    cdef double E[OWN_BLOCK]
    cdef const double *gaps = p.edges + p.size
    cdef double *edges = p.edges
    cdef int64_t first = 0, n, k
    if p.one_frame:
        growths_at(p.own, 1, late, E)
        for k in range(1, OWN_BLOCK):
            E[k] = E[0]
    while first < p.size:
        n = min(p.size - first, OWN_BLOCK)
        if not p.one_frame:
            growths_at(p.own + OWN * first, n, late, E)
        for k in range(n):
            edges[first + k] = gaps[first + k] * E[k] * (1.0 + LOOSE) if gaps[first + k] > 0.0 else -INFINITY
        first += n


cdef inline bint own_crosses(const Neurons *p, int64_t i) noexcept nogil:
    return p.x[i] <= p.edges[i]


cdef inline double own_lead(const Neurons *p, int64_t i) noexcept nogil:
    # log(edge / x) = 2 atanh(y) <= 2 (y + y^3 / 3 + y^5 / 3 + ...)
    cdef double x = p.x[i], y = (p.edges[i] - x) / (p.edges[i] + x)
    if not (x > 0.0 and y < 1.0):
        return INFINITY
    return p.own[OWN * i + 1] * 2.0 * y * (1.0 + y * y / (3.0 * (1.0 - y * y))) * (1.0 + LOOSE)


cdef inline bint kick_down(const Neurons *p, const neuron_t *targets, int64_t n, const double *E,
                           double weight) noexcept nogil:
    """Inhibition of n neurons, none of them refractory; False, and nothing done, if that might leave the range."""
    cdef double by[OWN_BLOCK]
    cdef double *x = p.x
    cdef int64_t k
    cdef bint bad = False
    for k in range(n):
        by[k] = weight * E[k]
    for k in range(n):
        bad |= not fabs(by[k]) < LARGEST_KICK
    if bad:
        return False
    for k in range(n):
        x[targets[k]] -= by[k]
    return True


cdef inline int64_t kick_each(const LIF *m, const Neurons *p, const neuron_t *targets, const double *weights,
                              double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                              neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef double E[OWN_BLOCK]
    cdef const double *own = p.own
    cdef const double *edges = p.edges
    cdef const double *gaps = p.edges + p.size
    cdef const uint8_t *waiting = p.waiting
    cdef double *x = p.x
    cdef double w = weight, kicked
    cdef bint down = weights == NULL and weight <= 0.0 and waiting == NULL, far = p.far, one_frame = p.one_frame
    cdef int64_t first = 0, n, k, found = 0, left = 0
    cdef neuron_t i
    n_others[0] = 0
    if one_frame and down and largest * p.frame.E < LARGEST_KICK:
        subtract(x, targets, count, weight * p.frame.E, far)
        return 0
    if one_frame:
        for k in range(OWN_BLOCK):
            E[k] = p.frame.E
    while first < count:
        n = min(count - first, OWN_BLOCK)
        for k in range(n):
            prefetch(&x[targets[first + k]], sizeof(double))
        if far:
            for k in range(first + n, min(first + n + OWN_BLOCK, count)):
                prefetch(&own[OWN * <int64_t> targets[k]], OWN * sizeof(double))
        if not one_frame:
            growths_of(own, targets + first, n, p.now.s, E)
        if down and kick_down(p, targets + first, n, E, weight):
            first += n
            continue
        for k in range(n):
            i = targets[first + k]
            if weights != NULL:
                w = weights[first + k]
            kicked = x[i] - w * E[k]
            if (waiting != NULL and (waiting[i >> 3] >> (i & 7)) & 1) or not fabs(kicked) < LARGEST_STATE:
                others[left] = <neuron_t> (first + k)
                left += 1
                continue
            x[i] = kicked
            near[found] = i
            found += w > 0.0 and (kicked <= edges[i] or kicked <= gaps[i] * E[k])
        first += n
    n_others[0] = left
    return found


cdef inline int64_t scan_each(const LIF *m, const Neurons *p, int64_t first, int64_t n,
                              neuron_t *found) noexcept nogil:
    cdef const double *x = p.x + first
    cdef const double *edges = p.edges + first
    return find_below_each(register_width(), x, edges, n, found)


# For gradients: y is dL/dx, and with `wide` a sum for tau_m -----------------------------------------------------------

cdef inline int64_t adjoint_width(const LIF *m, bint wide) noexcept nogil:
    return 1 + wide


cdef inline bint notes_states(const LIF *m) noexcept nogil:
    return False


cdef inline bint stands_still(const LIF *m) noexcept nogil:
    return True


cdef inline bint needs_growth(const LIF *m) noexcept nogil:
    return True


cdef inline double tau_of(const LIF *m, const Frame *f) noexcept nogil:
    return f.scale


cdef inline double distance_of(const LIF *m, double V) noexcept nogil:
    return (m.V_inf - V) + m.V_inf_low


cdef inline double distance_at_reset(const LIF *m) noexcept nogil:
    return m.depth


cdef inline double distance_at_threshold(const LIF *m) noexcept nogil:
    return m.gap


cdef inline double leave(const LIF *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                         double distance) noexcept nogil:
    cdef double by_V = -w.E * y[0]
    y[0] = 0.0
    sums.I_e[i] -= by_V
    if wide:
        y[1] += by_V * distance * w.t / (w.tau * w.tau)
    return by_V


cdef inline void arrive(const LIF *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                        double distance, double g) noexcept nogil:
    y[0] = -g / w.E
    sums.I_e[i] += g
    if wide:
        y[1] -= g * distance * w.t / (w.tau * w.tau)


cdef inline double velocity(const LIF *m, double tau, double V, double distance, double current) noexcept nogil:
    return (distance + current) / tau


cdef inline void kick_back(const LIF *m, double *y, bint wide, const Frame *f, const When *w, double V, double weight,
                           int64_t port, double *by_weight, double *by_time) noexcept nogil:
    by_weight[0] = -w.E * y[0]
    by_time[0] = by_weight[0] / w.tau
    if wide:
        y[1] -= weight * by_time[0] * w.t / w.tau


cdef inline void settle_sums(const LIF *m, double *y, bint wide, const Sums *sums, int64_t i) noexcept nogil:
    if wide:
        sums.tau_m[i] += y[1]
        y[1] = 0.0


cdef inline bint scales_with_frame(const LIF *m) noexcept nogil:
    return True


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


cdef inline bint row_of_back(const LIF *m, double *y, const Row *row, double *total, double *sum) noexcept nogil:
    cdef const Frame *f = row.frame
    cdef double plain = 0.0
    if row.wide:
        total[0] = lif_wide_row(y, row.targets, row.weights, row.weight, row.count, f.E,
                                f.E * row.now.t / (f.scale * f.scale), row.by_weight, row.far, &plain)
    else:
        total[0] = lif_row(y, row.targets, row.weights, row.weight, row.count, f.E, row.by_weight, row.far, &plain)
    total[0] *= -f.E / f.scale
    sum[0] = -(f.E * plain)
    return True
