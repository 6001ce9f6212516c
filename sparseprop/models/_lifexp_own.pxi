# LIFExp neurons of which each has its own parameters: part of _lifexp.pxd.

from libc.math cimport NAN

from sparseprop.numerics._elementary cimport exp_many
from sparseprop.numerics._scan cimport Interval, couple_each, find_each, may_cross

# Own numbers: the gap, tau_m, the factor to the next epoch, and the gain of each port. At the edge: the membrane's
# growth, NaN where the edge is too far, and at the time when that was computed; `Interval` is shared. Synaptic time
# constants are the same for all; and tau_m, where one of them is near it.

cdef enum:
    OWN = 8         # doubles of each neuron for loops over neurons that are not equal
    OWN_GAIN = 3    # the first one of ports
    OWN_BLOCK = 64  # targets that are kicked at a time, each with an exponential of its own


cdef inline int64_t own_width(const LIFExp *m) noexcept nogil:
    return OWN


cdef inline int64_t edge_width(const LIFExp *m) noexcept nogil:
    return 2


cdef inline bint own_fits(const LIFExp *m, const LIFExp *other) noexcept nogil:
    cdef int64_t k
    for k in range(m.n_ports):
        if other.ports[k].tau != m.ports[k].tau or (other.tau != m.tau and (m.ports[k].near or other.ports[k].near)):
            return False
    return True


cdef inline void own_numbers(const LIFExp *m, const Frame *f, const Neurons *p, int64_t i) noexcept nogil:
    cdef double *own = p.own + OWN * i
    cdef int64_t k
    own[0] = m.gap
    own[1] = m.tau
    own[2] = m.x_factor
    own[OWN - 1] = 0.0
    for k in range(MAX_PORTS):
        own[OWN_GAIN + k] = m.ports[k].gain if k < m.n_ports else 0.0


cdef inline void own_edges(const LIFExp *m, const Neurons *p, double late, double ahead) noexcept nogil:
    cdef Interval *f = <Interval *> p.shared
    cdef double late_E[OWN_BLOCK]
    cdef double E[OWN_BLOCK]
    cdef double s = p.now.s, tau
    cdef int64_t first = 0, n, k
    f.epoch, f.ahead, f.ports = <double> p.now.n, ahead, <double> m.n_ports
    for k in range(m.n_ports):
        tau = m.ports[k].tau
        f.decay[k] = exp(-s / tau)
        f.edge_decay[k] = exp(-late / tau) if late < 300.0 * tau else NAN
        f.near[k] = m.ports[k].near
        f.psi[k] = phi(m.tau, m.ports[k].slope, s) if m.ports[k].near else 0.0
        f.edge_psi[k] = phi(m.tau, m.ports[k].slope, late) if m.ports[k].near else 0.0
        f.phi[k], f.a_factor[k] = m.ports[k].phi, m.ports[k].factor
    while first < p.size:
        n = min(p.size - first, OWN_BLOCK)
        for k in range(n):
            tau = p.own[OWN * (first + k) + 1]
            E[k] = s / tau
            late_E[k] = late / tau
        exp_many(E, E, n)
        exp_many(late_E, late_E, n)
        for k in range(n):
            p.edges[2 * (first + k)] = late_E[k] if late < 30.0 * p.own[OWN * (first + k) + 1] else NAN
            p.edges[2 * (first + k) + 1] = E[k]
        first += n


cdef inline bint own_crosses(const Neurons *p, int64_t i) noexcept nogil:
    cdef const Interval *f = <const Interval *> p.shared
    return may_cross(p.x + (3 + <int64_t> f.ports) * i, p.own + OWN * i, p.edges + 2 * i, f, <int> f.ports)


cdef inline double own_lead(const Neurons *p, int64_t i) noexcept nogil:
    """As `soonest`, from the beginning of the Interval on, to which a state that has changed since is traced back."""
    cdef const Interval *f = <const Interval *> p.shared
    cdef const double *own = p.own + OWN * i
    cdef const double *x = p.x + (3 + <int64_t> f.ports) * i
    cdef double gap = own[0], growth = p.edges[2 * i + 1], left, size, driving = gap, currents = fabs(gap), part
    cdef int64_t k
    if x[0] != f.epoch or gap == 0.0:
        return INFINITY
    left = x[2] - gap * growth
    size = fabs(x[2]) + fabs(gap) * growth
    for k in range(<int64_t> f.ports):
        part = x[3 + k] * (f.psi[k] if f.near[k] != 0.0 else own[OWN_GAIN + k] * growth * f.decay[k])
        left += part
        size += fabs(part)
        part = x[3 + k] * f.decay[k]
        currents += fabs(part)
        if part > 0.0:
            driving += part
    left -= 4.0 * ROUNDING * size
    driving = (driving + 4.0 * ROUNDING * currents) * growth
    if not left > 0.0:
        return INFINITY
    if driving <= 0.0:
        return 0.0
    return max(f.ahead - 1.99999999 * own[1] * left / (2.0 * driving + left), 0.0)


cdef inline int64_t scan_each(const LIFExp *m, const Neurons *p, int64_t first, int64_t n,
                              neuron_t *found) noexcept nogil:
    return find_each(p.x + width_of(m) * first, n, p.own + OWN * first, p.edges + 2 * first,
                     <const Interval *> p.shared, found)


cdef inline int64_t kick_each(const LIFExp *m, const Neurons *p, const neuron_t *targets, const double *weights,
                              double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                              neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef Coupled shared
    cdef double growth[OWN_BLOCK]
    cdef double s = p.now.s
    cdef int64_t first = 0, n, k, held, found = 0, left = 0
    coupled(&shared, m, p.frame, p.now, port)
    if not largest * shared.E < LARGEST_KICK:
        return -1
    for k in range(OWN_BLOCK):
        growth[k] = shared.growth
    while first < count:
        n = min(count - first, OWN_BLOCK)
        if not p.one_frame:
            for k in range(n):
                growth[k] = p.own[OWN * <int64_t> targets[first + k] + 1]
            for k in range(n):
                growth[k] = s / growth[k]
            exp_many(growth, growth, n)
        found += couple_each(p.x, targets + first, weights + first if weights != NULL else NULL, weight, n, &shared,
                             p.own, growth, p.one_frame, p.waiting, near + found, others + left, &held)
        for k in range(held):
            others[left + k] += <neuron_t> first
        left += held
        first += n
    n_others[0] = left
    return found
