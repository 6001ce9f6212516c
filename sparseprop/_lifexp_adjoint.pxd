"""The adjoint of LIF neurons with synaptic currents.

With U = V - V_inf the free flow of (U, I_1, ...) is linear, and so is its transpose: nothing of the state is needed
between events, and a neuron's adjoint is brought to an event's time only there. docs/gradients.md has the mathematics.

Beside g, the derivative for the state, three more are kept of what is linear in the state that comes in with a kick, a
reset or the beginning: those for time constants, and for the times at which V was read (for the self-test alone).
"""

from libc.math cimport exp, expm1, fabs
from libc.stdint cimport int64_t

from sparseprop._frames cimport Pair
from sparseprop._lifexp cimport LIFExp

cdef enum:
    # Where things are in an adjoint: the pair that it belongs to; whether the neuron is in its refractory period, and
    # then dL/d(its end). From G on: dL/d(U, I_1, ...), the one of readings; for tau_m; for each tau_syn.
    WHEN_N = 0
    WHEN_S = 1
    HELD = 2
    BY_RELEASE = 3
    G = 4


cdef inline int64_t lifexp_adjoint_width(const LIFExp *m, bint wide) noexcept nogil:
    """Doubles per neuron; `wide`: with those for time constants."""
    return G + 2 * (1 + m.n_ports) + (1 + 2 * m.n_ports if wide else 0)


cdef inline double *of_readings(const LIFExp *m, double *y) noexcept nogil:
    return y + G + 1 + m.n_ports


cdef inline double *of_tau_m(const LIFExp *m, double *y) noexcept nogil:
    return y + G + 2 * (1 + m.n_ports)


cdef inline double *of_tau_syn(const LIFExp *m, double *y) noexcept nogil:
    """One for each port: only its own current feels its time constant."""
    return y + G + 3 * (1 + m.n_ports)


cdef inline double slope_of_relative_expm1(double z) noexcept nogil:
    """The derivative of (e^z - 1) / z for small z: its Taylor series."""
    cdef double power = 0.5, total = power
    cdef int64_t n
    for n in range(2, 16):
        power *= z / <double> (n + 1)
        total += <double> n * power
    return total


cdef inline void lifexp_flow_back(const LIFExp *m, double *y, bint wide, double u) noexcept nogil:
    """A time u of free flow, transposed.

    U at its end is e^(-u / tau) U + sum of K_k I_k, K_k = u / tau W, W = e^(-u / tau) (e^z - 1) / z.
    """
    cdef double *g = y + G
    cdef double *read = of_readings(m, y)
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *by_port = of_tau_syn(m, y)
    cdef double tau = m.tau, q = u / tau, membrane = exp(-q), tau_k, decay, z, W, slope, K
    cdef int64_t k
    for k in range(m.n_ports):
        tau_k = m.ports[k].tau
        decay = exp(-u / tau_k)
        z = (tau_k - tau) / (tau * tau_k) * u
        if fabs(z) > 0.5:
            W = (decay - membrane) / z
            slope = (decay - W) / z
        else:
            W = membrane * (expm1(z) / z if z != 0.0 else 1.0)
            slope = membrane * slope_of_relative_expm1(z)
        K = q * W
        if wide:
            by_port[k] = decay * (by_port[k] + g[1 + k] * u / (tau_k * tau_k)) + q * slope * u / (tau_k * tau_k) * g[0]
            by_tau[1 + k] = decay * by_tau[1 + k] + K * by_tau[0] + ((q - 1.0) * W - q * slope) * u / (tau * tau) * g[0]
        read[1 + k] = decay * read[1 + k] + K * read[0]
        g[1 + k] = decay * g[1 + k] + K * g[0]
    if wide:
        by_tau[0] = membrane * (by_tau[0] + g[0] * u / (tau * tau))
    read[0] *= membrane
    g[0] *= membrane


cdef inline void lifexp_hold_back(const LIFExp *m, double *y, bint wide, double u) noexcept nogil:
    """A time u of the refractory period, transposed: the currents decay."""
    cdef double *g = y + G
    cdef double *read = of_readings(m, y)
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *by_port = of_tau_syn(m, y)
    cdef double tau_k, decay
    cdef int64_t k
    for k in range(m.n_ports):
        tau_k = m.ports[k].tau
        decay = exp(-u / tau_k)
        if wide:
            by_port[k] = decay * (by_port[k] + g[1 + k] * u / (tau_k * tau_k))
            by_tau[1 + k] *= decay
        read[1 + k] *= decay
        g[1 + k] *= decay


cdef inline void lifexp_back_to(const LIFExp *m, double *y, bint wide, Pair t, double H) noexcept nogil:
    """Bring the adjoint to the time t."""
    cdef double u = (y[WHEN_N] - <double> t.n) * H + (y[WHEN_S] - t.s)
    if u > 0.0:
        if y[HELD] != 0.0:
            lifexp_hold_back(m, y, wide, u)
        else:
            lifexp_flow_back(m, y, wide, u)
    y[WHEN_N] = <double> t.n
    y[WHEN_S] = t.s


cdef inline void lifexp_forget_U(const LIFExp *m, double *y, bint wide) noexcept nogil:
    """U is given here: nothing before matters to it."""
    y[G] = 0.0
    of_readings(m, y)[0] = 0.0
    if wide:
        of_tau_m(m, y)[0] = 0.0
