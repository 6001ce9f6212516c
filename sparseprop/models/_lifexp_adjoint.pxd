"""The adjoint of LIF neurons with synaptic currents, in the coordinates of the engine: dL/d(x, a_1, ...).

It is constant between events and at kicks, as that of LIF neurons is: a target costs two multiplications and
additions, by factors that a population shares. All adjoints belong to the present epoch, and are brought to an earlier
one together. docs/gradients.md has the mathematics.

Beside the adjoint, `wide` ones have its derivatives for time constants: what a unit of x or a_k that comes in gives.
"""

from libc.math cimport INFINITY, exp, expm1, fabs
from libc.stdint cimport int64_t

from sparseprop.models._lifexp cimport MAX_PORTS, LIFExp, port_frame
from sparseprop.numerics._frames cimport Frame, phi
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport neuron_t

# Where things are in an adjoint: dL/dx, dL/da_1, ...; if wide, their derivatives for tau_m, that of dL/da_k for tau_k
# (nothing else feels tau_k later), and the sums for tau_m and for each tau_k. At the end, where there is
# refractoriness: the end of the period that is still to come (ms since the start, -inf if there is none), and dL/d(the
# end of the one that the neuron is in).

cdef inline int64_t lifexp_adjoint_width(const LIFExp *m, bint wide) noexcept nogil:
    """Doubles per neuron, without what refractoriness needs."""
    return (1 + m.n_ports) + (2 + 3 * m.n_ports if wide else 0)


cdef inline double *of_tau_m(const LIFExp *m, double *y) noexcept nogil:
    return y + 1 + m.n_ports


cdef inline double *of_tau_syn(const LIFExp *m, double *y) noexcept nogil:
    return y + 2 * (1 + m.n_ports)


cdef inline double *lifexp_sums(const LIFExp *m, double *y) noexcept nogil:
    """For tau_m, and for each tau_syn."""
    return y + 2 + 3 * m.n_ports


# Time, backward -----------------------------------------------------------------------------------------------------

cdef inline double slope_of_relative_expm1(double z) noexcept nogil:
    """The derivative of (e^z - 1) / z; a Taylor series where its closed form cancels."""
    cdef double power = 0.5, total = power
    cdef int64_t n
    if fabs(z) > 0.5:
        return (exp(z) - expm1(z) / z) / z
    for n in range(2, 16):
        power *= z / <double> (n + 1)
        total += <double> n * power
    return total


cdef inline void phi_slopes(const LIFExp *m, int64_t k, double u, double *by_tau_m, double *by_tau_syn) noexcept nogil:
    """The derivatives of phi of a near port at u for both time constants."""
    cdef double tau = m.tau, tau_k = m.ports[k].tau, q = u / tau, slope
    if u > 700.0 * tau:
        by_tau_m[0] = 0.0
        by_tau_syn[0] = 0.0
        return
    slope = slope_of_relative_expm1(m.ports[k].slope * u)
    by_tau_m[0] = (q * q * slope - phi(tau, m.ports[k].slope, u)) / tau
    by_tau_syn[0] = -q * slope * u / (tau_k * tau_k)


cdef struct Reach:
    # D growth = x + sum of a psi, and the derivatives of psi for time constants.
    double growth
    double psi[MAX_PORTS]
    double by_tau_m[MAX_PORTS]
    double by_tau_syn[MAX_PORTS]


cdef inline void reach_at(const LIFExp *m, double u, bint wide, Reach *r) noexcept nogil:
    """At a time u from the start of the epoch."""
    cdef double tau_k, gain
    cdef int64_t k
    r.growth = exp(u / m.tau)
    for k in range(m.n_ports):
        tau_k = m.ports[k].tau
        gain = m.ports[k].gain
        if m.ports[k].near:
            r.psi[k] = phi(m.tau, m.ports[k].slope, u)
            if wide:
                phi_slopes(m, k, u, &r.by_tau_m[k], &r.by_tau_syn[k])
        else:
            r.psi[k] = gain * r.growth * exp(-u / tau_k)
            if wide:
                r.by_tau_m[k] = -r.psi[k] * (gain / tau_k + u / (m.tau * m.tau))
                r.by_tau_syn[k] = r.psi[k] * (gain * m.tau + u) / (tau_k * tau_k)


cdef struct Move:
    # To a later epoch, forward: x' = f x + sum of cross a, a' = factor a; and the derivatives.
    double f
    double by_f
    double factor[MAX_PORTS]
    double by_factor[MAX_PORTS]
    double cross[MAX_PORTS]
    double by_tau_m[MAX_PORTS]
    double by_tau_syn[MAX_PORTS]


cdef inline void move_over(const LIFExp *m, double u, bint wide, Move *move) noexcept nogil:
    """Over a time u, a multiple of the epoch's length."""
    cdef double tau_k, shift = 0.0, by_tau_m = 0.0, by_tau_syn = 0.0
    cdef int64_t k
    move.f = exp(-u / m.tau)
    move.by_f = move.f * u / (m.tau * m.tau)
    for k in range(m.n_ports):
        tau_k = m.ports[k].tau
        shift = phi(m.tau, m.ports[k].slope, u) if m.ports[k].near else 0.0
        if wide and m.ports[k].near:
            phi_slopes(m, k, u, &by_tau_m, &by_tau_syn)
        else:
            by_tau_m = by_tau_syn = 0.0
        move.factor[k] = exp(-u / tau_k)
        move.by_factor[k] = move.factor[k] * u / (tau_k * tau_k)
        move.cross[k] = shift * move.f
        move.by_tau_m[k] = by_tau_m * move.f + shift * move.by_f
        move.by_tau_syn[k] = by_tau_syn * move.f


cdef inline void lifexp_move_back(const LIFExp *m, double *y, bint wide, const Move *move) noexcept nogil:
    cdef double x = y[0]
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *by_port = of_tau_syn(m, y)
    cdef int64_t k
    if wide:
        for k in range(m.n_ports):
            by_port[k] = move.factor[k] * by_port[k] + move.by_factor[k] * y[1 + k] + move.by_tau_syn[k] * x
            by_tau[1 + k] = move.factor[k] * by_tau[1 + k] + move.cross[k] * by_tau[0] + move.by_tau_m[k] * x
        by_tau[0] = move.f * by_tau[0] + move.by_f * x
    for k in range(m.n_ports):
        y[1 + k] = move.factor[k] * y[1 + k] + move.cross[k] * x
    y[0] = move.f * x


# Where V is given, or matters ---------------------------------------------------------------------------------------

cdef inline double lifexp_leave(const LIFExp *m, double *y, bint wide, double u, double distance) noexcept nogil:
    """V is given at a time u from the start of the epoch, V_inf - V = `distance`; returns dL/dV."""
    cdef Reach r
    cdef double x = y[0], by_D
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *by_port = of_tau_syn(m, y)
    cdef int64_t k
    if x == 0.0 and not (wide and by_tau[0] != 0.0):
        return 0.0
    reach_at(m, u, wide, &r)
    by_D = r.growth * x
    for k in range(m.n_ports):
        y[1 + k] -= r.psi[k] * x
    y[0] = 0.0
    if wide:
        lifexp_sums(m, y)[0] += distance * (r.growth * by_tau[0] - by_D * u / (m.tau * m.tau))
        for k in range(m.n_ports):
            by_tau[1 + k] -= r.psi[k] * by_tau[0] + r.by_tau_m[k] * x
            by_port[k] -= r.by_tau_syn[k] * x
        by_tau[0] = 0.0
    return -by_D


cdef inline void lifexp_arrive(const LIFExp *m, double *y, bint wide, double u, double by_V) noexcept nogil:
    """V matters at a time u from the start of the epoch."""
    cdef Reach r
    cdef double x
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *by_port = of_tau_syn(m, y)
    cdef int64_t k
    if by_V == 0.0:
        return
    reach_at(m, u, wide, &r)
    x = -by_V / r.growth
    y[0] += x
    for k in range(m.n_ports):
        y[1 + k] += x * r.psi[k]
    if wide:
        by_tau[0] += x * u / (m.tau * m.tau)
        for k in range(m.n_ports):
            by_tau[1 + k] += x * (r.by_tau_m[k] + r.psi[k] * u / (m.tau * m.tau))
            by_port[k] += x * r.by_tau_syn[k]


# Kicks --------------------------------------------------------------------------------------------------------------

cdef struct KickBack:
    # By a unit of weight a_k grows by E and x falls by reach; their derivatives for the time and time constants.
    double E
    double reach
    double E_by_time
    double reach_by_time
    double E_by_tau_syn
    double reach_by_tau_m
    double reach_by_tau_syn


cdef inline void kicks_now(const LIFExp *m, const Frame *f, double s, int64_t port, bint wide,
                           KickBack *c) noexcept nogil:
    """The frame, of port 0, is at the present, s after the start of the epoch."""
    cdef const Frame *g = port_frame(m, f, port)
    cdef double tau = m.tau, tau_k = m.ports[port].tau, gain = m.ports[port].gain
    c.E = g.E
    c.reach = g.sine
    c.E_by_time = g.E / tau_k
    if m.ports[port].near:
        c.reach_by_time = g.sine / tau_k - g.growth / tau
    else:
        c.reach_by_time = g.sine / tau
    if not wide:
        return
    c.E_by_tau_syn = -g.E * s / (tau_k * tau_k)
    if m.ports[port].near:
        phi_slopes(m, port, s, &c.reach_by_tau_m, &c.reach_by_tau_syn)
        c.reach_by_tau_m *= g.E
        c.reach_by_tau_syn = g.E * c.reach_by_tau_syn - g.sine * s / (tau_k * tau_k)
    else:
        c.reach_by_tau_m = -g.sine * (gain / tau_k + s / (tau * tau))
        c.reach_by_tau_syn = g.sine * gain * tau / (tau_k * tau_k)


cdef inline void kick_sums(const LIFExp *m, double *y, const KickBack *c, int64_t port, double weight) noexcept nogil:
    """What a kick gives for the time constants."""
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *sums = lifexp_sums(m, y)
    sums[0] += weight * (c.E * by_tau[1 + port] - c.reach * by_tau[0] - c.reach_by_tau_m * y[0])
    sums[1 + port] += weight * (c.E * of_tau_syn(m, y)[port] + c.E_by_tau_syn * y[1 + port]
                                - c.reach_by_tau_syn * y[0])


cdef inline double lifexp_row_of(const LIFExp *m, double *y, int64_t width, bint wide, const neuron_t *targets,
                                 const double *weights, double weight, int64_t count, const KickBack *c, int64_t port,
                                 double *by_weight, double *sum) noexcept nogil:
    cdef double of_x = 0.0, of_a = 0.0, total_x = 0.0, total_a = 0.0, x, a, E = c.E, reach = c.reach
    cdef double *at
    cdef int64_t k
    for k in range(count):
        if k + 16 < count:
            at = y + width * <int64_t> targets[k + 16]
            prefetch(at, 1)
            if wide:
                prefetch(at + width - 1, 1)
        at = y + width * <int64_t> targets[k]
        x = at[0]
        a = at[1 + port]
        if by_weight != NULL:
            by_weight[k] += E * a - reach * x
        if wide:
            kick_sums(m, at, c, port, weights[k] if weights != NULL else weight)
        of_x += x
        of_a += a
        if weights != NULL:
            total_x += weights[k] * x
            total_a += weights[k] * a
    sum[0] += E * of_a - reach * of_x
    if weights == NULL:
        total_x = weight * of_x
        total_a = weight * of_a
    return c.E_by_time * total_a - c.reach_by_time * total_x


cdef inline double lifexp_row(const LIFExp *m, double *y, int64_t width, bint wide, const neuron_t *targets,
                              const double *weights, double weight, int64_t count, const KickBack *c, int64_t port,
                              double *by_weight, double *sum) noexcept nogil:
    """For a row of kicks of equal neurons: dL/dt of all; dL/dw; the sum of these."""
    if wide:
        return lifexp_row_of(m, y, width, True, targets, weights, weight, count, c, port, by_weight, sum)
    return lifexp_row_of(m, y, width, False, targets, weights, weight, count, c, port, by_weight, sum)
