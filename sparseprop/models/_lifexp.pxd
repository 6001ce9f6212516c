"""The LIF neuron with synaptic currents: D = V_inf - V and the currents I_k, sums of exponentials between events.

State: 3 + n_ports doubles (n, s, x, a_1, ...). (n, s) is the time `base` of the last kick, spike or change; x and a_k
are extrapolated from there to the start of epoch n. With u the time since then,

    I_k = a_k exp(-u / tau_k)
    D   = exp(-u / tau) (x + sum over near ports of a_k phi_k(u)) + sum over far ports of gain_k I_k

So a kick in the same epoch multiplies and adds, by factors that all neurons of a population share: those of the frames
of its ports. The mathematics is in docs/numerics.md and, operation by operation, in reference.py.
"""

from libc.math cimport INFINITY, exp, fabs, log, log1p
from libc.stdint cimport int64_t

from sparseprop.numerics._frames cimport LARGEST_STATE, Frame, Pair, never, phi, plus
from sparseprop.numerics._typedefs cimport neuron_t

cdef enum:
    MAX_PORTS = 4


cdef struct Port:
    double tau
    double gain           # of a port whose time constant is far from the membrane's
    double slope          # of one that is near
    double peak           # not below the largest voltage that a unit of current causes
    bint near
    neuron_t frame
    # What brings a state to the next epoch: x' = (x + sum of a phi) x_factor, a' = a factor; phi is 0 unless `near`.
    double factor
    double phi


cdef struct LIFExp:
    double tau
    double longest        # of all time constants
    double V_inf
    double V_inf_low      # V_inf + V_inf_low is the drive to twice the precision
    double gap            # V_inf - V_th
    double depth          # V_inf - V_reset
    double V_reset
    double t_ref
    int64_t n_ports
    neuron_t frame        # of port 0
    Port ports[MAX_PORTS]
    double x_factor       # to the next epoch, see Port


cdef inline const Frame *port_frame(const LIFExp *m, const Frame *f, int64_t k) noexcept nogil:
    """The frame of port k, of that of port 0; they are in one array."""
    return f + (m.ports[k].frame - m.frame)


cdef inline double from_epoch(const double *x, Pair t, double H) noexcept nogil:
    """The time from the start of base's epoch to t."""
    return (<double> t.n - x[0]) * H + t.s


cdef inline void lifexp_move(const LIFExp *m, double *x, int64_t n, double H) noexcept nogil:
    """Extrapolate the state to the start of epoch n instead."""
    cdef double u = (<double> n - x[0]) * H
    cdef int64_t k
    for k in range(m.n_ports):
        if m.ports[k].near:
            x[2] = x[2] + x[3 + k] * phi(m.tau, m.ports[k].slope, u)
        x[3 + k] = x[3 + k] * exp(-u / m.ports[k].tau)
    x[2] = x[2] * exp(-u / m.tau)
    x[0] = <double> n


cdef inline void lifexp_place(const LIFExp *m, double *x, double V, Pair now) noexcept nogil:
    cdef int64_t k
    x[0] = <double> now.n
    x[1] = now.s
    x[2] = ((m.V_inf - V) + m.V_inf_low) * exp(now.s / m.tau)
    for k in range(m.n_ports):
        x[3 + k] = 0.0


cdef inline void lifexp_change(const LIFExp *m, const LIFExp *old, double *x, Pair now, double H) noexcept nogil:
    """Other parameters from now on; V and the currents stay."""
    if x[0] != <double> now.n:
        lifexp_move(m, x, now.n, H)
    x[2] = x[2] + ((m.V_inf - old.V_inf) + (m.V_inf_low - old.V_inf_low)) * exp(now.s / m.tau)
    x[1] = now.s


cdef inline bint lifexp_kick(const LIFExp *m, double *x, const Frame *f, Pair now, double H, double weight,
                             int64_t port) noexcept nogil:
    """Whether the new state is in range; if not, it is left as it was. The frames are at `now`."""
    cdef const Frame *g = port_frame(m, f, port)
    cdef double kicked, current
    if x[0] != <double> now.n:
        lifexp_move(m, x, now.n, H)
    kicked = x[2] - weight * g.sine
    current = x[3 + port] + weight * g.E
    x[1] = now.s
    if not (fabs(kicked) < LARGEST_STATE and fabs(current) < LARGEST_STATE):
        return False
    x[2] = kicked
    x[3 + port] = current
    return True


cdef inline void set_depth(const LIFExp *m, double *x) noexcept nogil:
    """D = depth at `base`, whatever the currents are."""
    cdef double value = m.depth
    cdef int64_t k
    for k in range(m.n_ports):
        if not m.ports[k].near:
            value = value - m.ports[k].gain * (x[3 + k] * exp(-x[1] / m.ports[k].tau))
    value = value * exp(x[1] / m.tau)
    for k in range(m.n_ports):
        if m.ports[k].near:
            value = value - x[3 + k] * phi(m.tau, m.ports[k].slope, x[1])
    x[2] = value


cdef inline void lifexp_reset(const LIFExp *m, double *x, Pair release, double H) noexcept nogil:
    if x[0] != <double> release.n:
        lifexp_move(m, x, release.n, H)
    x[1] = release.s
    set_depth(m, x)


cdef inline bint lifexp_kick_held(const LIFExp *m, double *x, Pair now, double H, double weight,
                                  int64_t port) noexcept nogil:
    """A kick in the refractory period, whose end is `base`: the current has it, V does not."""
    cdef double current = x[3 + port] + weight * exp(from_epoch(x, now, H) / m.ports[port].tau)
    if not (fabs(current) < LARGEST_STATE):
        return False
    x[3 + port] = current
    set_depth(m, x)
    return True


cdef inline double value_at(const LIFExp *m, double x, const double *currents, double u, double *later) noexcept nogil:
    """D and the currents after a time u, from x and currents at 0."""
    cdef double inner = x, outer = 0.0
    cdef int64_t k
    for k in range(m.n_ports):
        later[k] = currents[k] * exp(-u / m.ports[k].tau)
        if m.ports[k].near:
            inner = inner + currents[k] * phi(m.tau, m.ports[k].slope, u)
        else:
            outer = outer + m.ports[k].gain * later[k]
    return inner * exp(-u / m.tau) + outer


cdef inline double lifexp_voltage(const LIFExp *m, const double *x, Pair now, double H) noexcept nogil:
    cdef double currents[MAX_PORTS]
    return m.V_inf - value_at(m, x[2], x + 3, from_epoch(x, now, H), currents)


cdef inline double current_at(const LIFExp *m, const double *x, Pair now, double H) noexcept nogil:
    """The sum of the currents."""
    cdef double total = 0.0, u = from_epoch(x, now, H)
    cdef int64_t k
    for k in range(m.n_ports):
        total += x[3 + k] * exp(-u / m.ports[k].tau)
    return total


# The next spike -----------------------------------------------------------------------------------------------------

cdef inline double last_sign(const double *weights, const double *taus, int64_t n) noexcept nogil:
    """A number with the sign that a sum of decaying exponentials has in the end."""
    cdef double slowest = 0.0, sign = 0.0
    cdef int64_t k
    for k in range(n):
        if weights[k] != 0.0 and taus[k] >= slowest:
            slowest = taus[k]
            sign = weights[k]
    return sign


cdef inline double sum_at(const double *weights, const double *taus, int64_t n, double constant,
                          double u) noexcept nogil:
    cdef double total = constant
    cdef int64_t k
    for k in range(n):
        total = total + weights[k] * exp(-u / taus[k])
    return total


cdef inline double zero_between(const double *weights, const double *taus, int64_t n, double constant, double low,
                                double high, bint positive) noexcept nogil:
    """The zero in [low, high] of a sum that is positive at `low` or not, by Newton's method kept in the interval."""
    cdef double u = 0.5 * (low + high), value, slope, term, step, new
    cdef bint inside
    cdef int64_t k, _
    for _ in range(200):
        value = constant
        slope = 0.0
        for k in range(n):
            term = weights[k] * exp(-u / taus[k])
            value = value + term
            slope = slope - term / taus[k]
        if (value > 0.0) == positive:
            low = u
        else:
            high = u
        inside = False
        new = 0.0
        if slope != 0.0:
            step = -value / slope
            new = u + step
            if fabs(step) <= 9.313225746154785e-10 * u and low <= new and new <= high:
                return new
            inside = low < new and new < high
        if not inside:
            new = 0.5 * (low + high)
        if new == u:
            return new
        u = new
    return u


cdef inline int64_t sign_changes(const double *weights, const double *taus, int64_t n, double constant,
                                 double *zeros) noexcept nogil:
    """The zeros u > 0 of constant + sum of weights[k] exp(-u / taus[k]), ascending; how many, at most n.

    Multiplied by exp(u / taus[0]) and differentiated, it loses a term; between the zeros of what remains there is at
    most one.
    """
    cdef double inner[MAX_PORTS]
    cdef double derived[MAX_PORTS]
    cdef double first = taus[0], longest = taus[0], left = 0.0, right, end, step, ratio
    cdef bint left_sign, right_sign
    cdef int64_t k, _, n_inner, count = 0
    if n == 1:
        ratio = -weights[0] / constant if constant != 0.0 else 0.0
        if ratio > 1.0:
            zeros[0] = taus[0] * log(ratio)
            return 1
        return 0
    for k in range(1, n):
        longest = max(longest, taus[k])
        derived[k - 1] = weights[k] * ((taus[k] - first) / (first * taus[k]))
    n_inner = sign_changes(derived, taus + 1, n - 1, constant / first, inner)
    left_sign = sum_at(weights, taus, n, constant, 0.0) > 0.0
    for k in range(n_inner):
        right = inner[k]
        right_sign = sum_at(weights, taus, n, constant, right) > 0.0
        if left_sign != right_sign:
            zeros[count] = zero_between(weights, taus, n, constant, left, right, left_sign)
            count += 1
        left = right
        left_sign = right_sign
    end = constant if constant != 0.0 else last_sign(weights, taus, n)
    if left_sign != (end > 0.0):
        step = longest
        for _ in range(12):
            right = left + step
            if (sum_at(weights, taus, n, constant, right) > 0.0) != left_sign:
                zeros[count] = zero_between(weights, taus, n, constant, left, right, left_sign)
                return count + 1
            step = 2.0 * step
    return count


cdef inline double inhibited_start(const LIFExp *m, double x, double D) noexcept nogil:
    """Where the search for the root begins in neurons with inhibition alone."""
    return m.tau * log((x if x > m.gap else D) / m.gap)


cdef inline bint find_root(const LIFExp *m, double x, const double *currents, double D, double begin, double end,
                           double *root) noexcept nogil:
    """The root of D = gap in [begin, end], or from `begin` on (`end` < 0; False where there is none after all).

    A step goes to where D would be at `gap` if the currents stayed as they are, and then once more with their mean over
    that step. It is exact without currents; its error is of third order in the step, which tells when to stop. An
    interval that holds the root makes it safe.
    """
    cdef double later[MAX_PORTS]
    cdef double low = begin, high = end, u = begin, tau = m.tau, F, S, first, second, rate, step, mean, new, size, turn
    cdef bint bounded = end >= 0.0, inhibited = m.gap > 0.0, inside
    cdef int64_t k, _
    for k in range(m.n_ports):
        inhibited = inhibited and currents[k] <= 0.0
    if inhibited:
        u = inhibited_start(m, x, D)
        if not (u > low):
            u = low
    for _ in range(100):
        if end < 0.0 and u > 200.0 * m.longest and m.gap == 0.0:
            return False
        F = value_at(m, x, currents, u, later) - m.gap
        S = m.gap
        first = second = 0.0
        for k in range(m.n_ports):
            rate = fabs(later[k]) / m.ports[k].tau
            S = S + later[k]
            first = first + rate
            second = second + rate * (1.0 / m.ports[k].tau + 1.0 / tau)
        if F > 0.0:
            low = u
        else:
            high = u
            bounded = True
        inside = False
        new = 0.0
        if S > 0.0 and F > -S:
            step = tau * log1p(F / S)
            mean = m.gap
            for k in range(m.n_ports):
                mean = mean + (later[k] / (1.0 + step / (2.0 * m.ports[k].tau)) if step > -m.ports[k].tau else later[k])
            if mean > 0.0 and F > -mean:
                step = tau * log1p(F / mean)
            new = u + step
            size = fabs(step)
            turn = first * step / S
            if size * (turn * turn + size * size * second / S) <= 2.220446049250313e-16 * (u + tau):
                root[0] = low if new < begin else new
                return True
            inside = low < new and (not bounded or new < high)
        if not inside:
            new = 0.5 * (low + high) if bounded else low + tau
        if new == u:
            root[0] = new
            return True
        u = new
    root[0] = u
    # Driven exactly to threshold, V may come ever nearer to it without an end.
    return bounded or m.gap != 0.0


cdef inline Pair lifexp_next_spike(const LIFExp *m, const double *state, double H) noexcept nogil:
    """The first root of D = gap from `base` on.

    exp(u / tau) (D - gap) falls where the sum of the currents exceeds -gap and rises where not. So the ends of the
    intervals in which it falls tell whether one of these has a root.
    """
    cdef double currents[MAX_PORTS]
    cdef double flowing[MAX_PORTS]  # those that are not 0
    cdef double taus[MAX_PORTS]
    cdef double turns[MAX_PORTS]
    cdef double later[MAX_PORTS]
    cdef double s = state[1], x = state[2], D, outer = 0.0, positive = 0.0, at_once = m.gap, begin = 0.0, u
    cdef int64_t k, n_turns, n = 0
    cdef bint falls, rises = m.gap > 0.0
    cdef Pair base
    base.n = <int64_t> state[0]
    base.s = s
    for k in range(m.n_ports):
        if m.ports[k].near:
            x = x + state[3 + k] * phi(m.tau, m.ports[k].slope, s)
        currents[k] = state[3 + k] * exp(-s / m.ports[k].tau)
    x = x * exp(-s / m.tau)
    for k in range(m.n_ports):
        if not m.ports[k].near:
            outer = outer + m.ports[k].gain * currents[k]
        positive = positive + max(currents[k], 0.0)
        at_once = at_once + currents[k]
    D = x + outer
    if not (D - m.gap > 0.0):
        return base
    if positive + m.gap <= 0.0:
        return never()
    for k in range(m.n_ports):
        if currents[k] != 0.0:
            flowing[n] = currents[k]
            taus[n] = m.ports[k].tau
            n += 1
            rises = rises and currents[k] < 0.0
    falls = at_once > 0.0
    n_turns = 0
    # Inhibition leaves nothing to divide the time by if the sum is positive where the search for the root begins.
    if n and not (rises and (falls or sum_at(flowing, taus, n, m.gap, inhibited_start(m, x, D)) > 0.0)):
        n_turns = sign_changes(flowing, taus, n, m.gap, turns)
    if not falls and n_turns == 0:
        falls = m.gap > 0.0 or (m.gap == 0.0 and last_sign(flowing, taus, n) > 0.0)
    # Where currents underflow, their sum has no sign.
    while n_turns and m.gap == 0.0 and turns[n_turns - 1] > 200.0 * m.longest:
        n_turns -= 1
    for k in range(n_turns):
        if falls and not (value_at(m, x, currents, turns[k], later) - m.gap > 0.0):
            find_root(m, x, currents, D, begin, turns[k], &u)
            return plus(base, u, H)
        falls = not falls
        begin = turns[k]
    if not falls or m.gap < 0.0 or not find_root(m, x, currents, D, begin, -1.0, &u):
        return never()
    return plus(base, u, H)


# For the window -----------------------------------------------------------------------------------------------------

cdef inline bint is_close(const LIFExp *m, const double *x, const Frame *f, double largest) noexcept nogil:
    """Whether V is so near to threshold, or a kick with an effect of `largest` so small, that rounding could matter.

    For a state in the present epoch, and frames at the present. Otherwise inhibition puts the next spike off by far
    more than rounding may move it.
    """
    cdef const Frame *g = f
    cdef double value = x[2] - m.gap * f.growth, size = fabs(x[2]) + fabs(m.gap) * f.growth, part
    cdef int64_t k
    for k in range(m.n_ports):
        g = port_frame(m, f, k)
        part = x[3 + k] * g.psi
        value += part
        size += fabs(part)
    return value <= 9.5367431640625e-07 * size or largest <= 9.5367431640625e-07 * size


cdef inline bint lifexp_brings_forward(const LIFExp *m, const double *x, const Frame *f, double weight,
                                       int64_t port) noexcept nogil:
    """Whether a kick that was just given may have moved the next spike to an earlier time, by more than the margin.

    A neuron that is driven exactly to threshold comes so near to it that rounding may move a far spike by any time.
    """
    return weight > 0.0 or m.gap == 0.0 or is_close(m, x, f, -weight * fabs(port_frame(m, f, port).sine))


cdef inline bint lifexp_fires_before_edge(const LIFExp *m, const double *state, const Frame *f, Pair now,
                                          double H) noexcept nogil:
    """Whether the neuron may fire before the window's edge; never False if it does. The frames are at `now`.

    V can only cross where the sum of the currents exceeds -gap. Where it does all the time, D at the edge decides;
    otherwise D may have been lower before, by no more than the lowest sum can have raised it.
    """
    cdef double moved[3 + MAX_PORTS]
    cdef const double *x = state
    cdef const Frame *g
    cdef double high = m.gap, low = m.gap, D, currents = 0.0, value, size, now_current, edge_current, part, drop = 0.0
    cdef int64_t k
    if state[0] != <double> now.n:
        for k in range(3 + m.n_ports):
            moved[k] = state[k]
        lifexp_move(m, moved, now.n, H)
        x = moved
    D = x[2]
    value = x[2] - m.gap * f.edge_E
    size = fabs(x[2]) + fabs(m.gap) * f.edge_E
    for k in range(m.n_ports):
        g = port_frame(m, f, k)
        now_current = x[3 + k] * g.decay
        edge_current = x[3 + k] * g.edge_decay
        D += x[3 + k] * g.psi
        currents += fabs(now_current)
        if x[3 + k] > 0.0:
            high += now_current
            low += edge_current
            drop += now_current * m.ports[k].peak
        else:
            high += edge_current
            low += now_current
        part = x[3 + k] * g.edge_psi
        value += part
        size += fabs(part)
    if is_close(m, x, f, size):
        return True
    if high <= -9.094947017729282e-13 * (currents + fabs(m.gap)):
        return False
    if m.gap <= 0.0:
        # What is to come of the currents cannot lift V by more than their peaks.
        D = D / f.growth
        if min(D, 0.0) - drop > m.gap + 9.094947017729282e-13 * (fabs(D) + drop - m.gap):
            return False
    if f.edge_is_far:
        return True
    if low < 0.0:
        value += low * (f.edge_E - f.growth)
        size -= low * f.edge_E
    return value <= 9.094947017729282e-13 * size


cdef inline double lifexp_soonest(const LIFExp *m, const double *x, const Frame *f, Pair now) noexcept nogil:
    """No neuron in this state fires earlier than after so many ms; infinite if it never does. The frames are at `now`.

    If the positive currents stayed as they are, and the negative ones were gone, D would be at `gap` after
    tau log(1 + y), which is more than 2 tau y / (2 + y); y is what is left of D over the current that drives it there.
    """
    cdef const Frame *g
    cdef double left = x[2] - m.gap * f.growth, size = fabs(x[2]) + fabs(m.gap) * f.growth
    cdef double driving = m.gap, currents = fabs(m.gap), part
    cdef int64_t k
    if x[0] != <double> now.n:
        return 0.0
    for k in range(m.n_ports):
        g = port_frame(m, f, k)
        part = x[3 + k] * g.psi
        left += part
        size += fabs(part)
        part = x[3 + k] * g.decay
        currents += fabs(part)
        if part > 0.0:
            driving += part
    # Both by f.growth; where rounding could matter, the bound is lower.
    left -= 9.094947017729282e-13 * size
    driving = (driving + 9.094947017729282e-13 * currents) * f.growth
    if left <= 0.0:
        return 0.0
    if driving <= 0.0:
        return INFINITY
    return 1.999999999998 * m.tau * left / (2.0 * driving + left)
