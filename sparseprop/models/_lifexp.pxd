"""The LIF neuron with synaptic currents: D = V_inf - V and the currents I_k, sums of exponentials between events.

State: 3 + n_ports doubles (n, s, x, a_1, ...). (n, s) is the time `base` of the last kick, spike or change; x and a_k
are extrapolated from there to the start of epoch n. With u the time since then,

    I_k = a_k exp(-u / tau_k)
    D   = exp(-u / tau) (x + sum over near ports of a_k phi_k(u)) + sum over far ports of gain_k I_k

So a kick in the same epoch multiplies and adds, by factors that all neurons of a population share: those of the frames
of its ports. The mathematics is in docs/numerics.md and, operation by operation, in lifexp.py.
"""

from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from sparseprop.models._neuron cimport Kicks, Neurons, Row, Sums, When
from sparseprop.numerics._constants cimport LARGEST_KICK, LARGEST_STATE, NEARLY, ROUNDING
from sparseprop.numerics._decaying cimport last_sign, sum_at, sign_changes
from sparseprop.numerics._frames cimport (
    Frame, Moments, Pair, decay_after, enter_instant, enter_moment, make_moments, never, phi, place_edge, plus,
    shrink_after,
)
from sparseprop.numerics._elementary cimport exp, expm1, log, log1p
from sparseprop.numerics._scan cimport Coupled, couple, find_coupled, prefetch
from sparseprop.numerics._sums cimport sum_of_three
from sparseprop.numerics._typedefs cimport MAX_PORTS, neuron_t


cdef struct Port:
    double tau
    double gain           # of a port whose time constant is far from the membrane's
    double slope          # of one that is near
    double peak           # not below the largest voltage that a unit of current causes
    double rates          # 1 / tau of the port and of the membrane, added up
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

ctypedef LIFExp Model


cdef inline int64_t ports_of(const LIFExp *m) noexcept nogil:
    return m.n_ports


cdef inline int64_t width_of(const LIFExp *m) noexcept nogil:
    return 3 + m.n_ports


cdef inline object fill(LIFExp *m, constants, frames, double H):
    cdef int64_t k
    memset(m, 0, sizeof(LIFExp))
    m.tau = m.longest = constants["tau"]
    m.V_inf, m.V_inf_low = constants["V_inf"], constants["V_inf_low"]
    m.gap, m.depth = constants["gap"], constants["depth"]
    m.V_reset, m.t_ref = constants["V_reset"], constants["t_ref"]
    m.n_ports = len(constants["ports"])
    m.x_factor = exp(-H / m.tau)
    for k in range(m.n_ports):
        port = constants["ports"][k]
        m.ports[k].tau, m.ports[k].near = port["tau"], port["near"]
        m.ports[k].gain, m.ports[k].slope, m.ports[k].peak = port["gain"], port["slope"], port["peak"]
        m.ports[k].rates = 1.0 / m.ports[k].tau + 1.0 / m.tau
        m.ports[k].frame = frames.of_port(m.tau, port)
        m.longest = max(m.longest, m.ports[k].tau)
        m.ports[k].factor = exp(-H / m.ports[k].tau)
        m.ports[k].phi = phi(m.tau, m.ports[k].slope, H) if m.ports[k].near else 0.0
    m.frame = m.ports[0].frame


cdef inline bint gives_current(const LIFExp *m) noexcept nogil:
    return True


cdef inline void give_current(LIFExp *m, double I_e, const double *leak) noexcept nogil:
    # As in sparseprop.models.lif_constants.
    m.V_inf = sum_of_three(leak[0], I_e, 0.0)
    m.V_inf_low = sum_of_three(leak[0], I_e, -m.V_inf)
    m.gap = sum_of_three(leak[0], I_e, -leak[1])
    m.depth = sum_of_three(leak[0], I_e, -leak[2])


cdef inline bint has_currents(const LIFExp *m) noexcept nogil:
    return True


cdef inline void enter_other_frames(const LIFExp *m, Frame *frames, Pair now, int64_t instant) noexcept nogil:
    cdef int64_t k
    for k in range(1, m.n_ports):
        enter_instant(&frames[m.ports[k].frame], now, instant)


cdef inline void place_other_edges(const LIFExp *m, Frame *frames, int64_t epoch, Pair edge, double ahead,
                                   double H) noexcept nogil:
    cdef int64_t k
    for k in range(1, m.n_ports):
        place_edge(&frames[m.ports[k].frame], epoch, edge, ahead, H)


cdef inline bint has_moments(const LIFExp *m) noexcept nogil:
    return True


cdef inline void make_all_moments(const LIFExp *m, const Frame *frames, const double *s, int64_t n,
                                  Moments *all) noexcept nogil:
    cdef int64_t k
    for k in range(m.n_ports):
        make_moments(&frames[m.ports[k].frame], s, n, &all[k])


cdef inline void enter_all_moments(const LIFExp *m, Frame *frames, const Moments *all, int64_t k,
                                   int64_t instant) noexcept nogil:
    cdef int64_t port
    for port in range(m.n_ports):
        enter_moment(&frames[m.ports[port].frame], &all[port], k, instant)


cdef inline const Frame *port_frame(const LIFExp *m, const Frame *f, int64_t k) noexcept nogil:
    """The frame of port k, of that of port 0; they are in one array."""
    return f + (m.ports[k].frame - m.frame)


cdef inline double from_epoch(const double *x, Pair t, double H) noexcept nogil:
    """The time from the start of base's epoch to t."""
    return (<double> t.n - x[0]) * H + t.s


cdef inline void move_to_epoch(const LIFExp *m, double *x, int64_t n, double H) noexcept nogil:
    """Extrapolate the state to the start of epoch n instead."""
    cdef double u = (<double> n - x[0]) * H
    cdef int64_t k
    for k in range(m.n_ports):
        if m.ports[k].near:
            x[2] = x[2] + x[3 + k] * phi(m.tau, m.ports[k].slope, u)
        x[3 + k] = x[3 + k] * exp(-u / m.ports[k].tau)
    x[2] = x[2] * exp(-u / m.tau)
    x[0] = <double> n


cdef inline void place_at(const LIFExp *m, double *x, Pair *base, double V, const Frame *f, Pair now) noexcept nogil:
    # Without synaptic currents.
    cdef int64_t k
    x[0] = <double> now.n
    x[1] = now.s
    x[2] = ((m.V_inf - V) + m.V_inf_low) * exp(now.s / m.tau)
    for k in range(m.n_ports):
        x[3 + k] = 0.0


cdef inline void seen_state(const LIFExp *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    pass


cdef inline void place_seen(const LIFExp *m, const LIFExp *old, double *x, Pair *base, const double *seen,
                            const Frame *f, Pair now, double H) noexcept nogil:
    # The currents stay as well.
    if x[0] != <double> now.n:
        move_to_epoch(m, x, now.n, H)
    x[2] = x[2] + ((m.V_inf - old.V_inf) + (m.V_inf_low - old.V_inf_low)) * exp(now.s / m.tau)
    x[1] = now.s


cdef inline bint kick_state(const LIFExp *m, double *x, Pair *base, const Frame *f, Pair now, double H, double weight,
                            int64_t port) noexcept nogil:
    cdef const Frame *g = port_frame(m, f, port)
    cdef double kicked, current
    if x[0] != <double> now.n:
        move_to_epoch(m, x, now.n, H)
    kicked = x[2] - weight * g.sine
    current = x[3 + port] + weight * g.E
    x[1] = now.s
    if not (fabs(kicked) < LARGEST_STATE and fabs(current) < LARGEST_STATE):
        return False
    x[2] = kicked
    x[3 + port] = current
    return True


cdef inline void set_depth(const LIFExp *m, double *x, const Frame *f) noexcept nogil:
    """D = depth at `base`, whatever the currents are."""
    cdef double value = m.depth
    cdef int64_t k
    for k in range(m.n_ports):
        if not m.ports[k].near:
            value = value - m.ports[k].gain * (x[3 + k] * decay_after(port_frame(m, f, k), x[1]))
    value = value * exp(x[1] / m.tau)
    for k in range(m.n_ports):
        if m.ports[k].near:
            value = value - x[3 + k] * phi(m.tau, m.ports[k].slope, x[1])
    x[2] = value


cdef inline void reset_at(const LIFExp *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release,
                          bint now, double H) noexcept nogil:
    if x[0] != <double> release.n:
        move_to_epoch(m, x, release.n, H)
    x[1] = release.s
    set_depth(m, x, f)


cdef inline bint kick_held(const LIFExp *m, double *x, const Frame *f, Pair now, double H, double weight,
                           int64_t port) noexcept nogil:
    # The end of the period is `base`: the current has the kick, V does not.
    cdef double current = x[3 + port] + weight * exp(from_epoch(x, now, H) / m.ports[port].tau)
    if not (fabs(current) < LARGEST_STATE):
        return False
    x[3 + port] = current
    set_depth(m, x, f)
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


cdef inline bint over_threshold(const LIFExp *m, const double *x, const Frame *f) noexcept nogil:
    return False


cdef inline double voltage_at(const LIFExp *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    # As `value_at`; neurons are mostly looked at together.
    cdef double inner = x[2], outer = 0.0, u = from_epoch(x, now, H)
    cdef int64_t k
    for k in range(m.n_ports):
        if m.ports[k].near:
            inner = inner + x[3 + k] * phi(m.tau, m.ports[k].slope, u)
        else:
            outer = outer + m.ports[k].gain * (x[3 + k] * decay_after(port_frame(m, f, k), u))
    return m.V_inf - (inner * shrink_after(f, u) + outer)


cdef inline double port_current(const LIFExp *m, const double *x, Pair now, double H, int64_t port) noexcept nogil:
    return x[3 + port] * exp(-from_epoch(x, now, H) / m.ports[port].tau)


cdef inline double left_of_current(const LIFExp *m, int64_t port, double u) noexcept nogil:
    return exp(-u / m.ports[port].tau)


cdef inline double current_at(const LIFExp *m, const double *x, const Frame *f, Pair now, double H) noexcept nogil:
    cdef double total = 0.0, u = from_epoch(x, now, H)
    cdef int64_t k
    for k in range(m.n_ports):
        total += x[3 + k] * decay_after(port_frame(m, f, k), u)
    return total


# The next spike -----------------------------------------------------------------------------------------------------

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
            second = second + rate * m.ports[k].rates
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


cdef inline Pair next_crossing(const LIFExp *m, const double *state, const Pair *_, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    """The first root of D = gap from the time of the state on.

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
        currents[k] = state[3 + k] * decay_after(port_frame(m, f, k), s)
    x = x * shrink_after(f, s)
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
    return value <= NEARLY * size or largest <= NEARLY * size


cdef inline bint is_costly(const LIFExp *m) noexcept nogil:
    return True


cdef inline bint is_unchanged_since(const LIFExp *m, const double *x, Pair since) noexcept nogil:
    return <int64_t> x[0] < since.n or (<int64_t> x[0] == since.n and x[1] < since.s)


cdef inline bint brings_forward(const LIFExp *m, const double *x, const Frame *f, double weight,
                                int64_t port) noexcept nogil:
    # A neuron that is driven exactly to threshold comes so near to it that rounding may move a far spike by any time.
    return weight > 0.0 or m.gap == 0.0 or is_close(m, x, f, -weight * fabs(port_frame(m, f, port).sine))


cdef inline bint crosses_before_edge(const LIFExp *m, const double *state, const Pair *base, Frame *frames, Pair now,
                                     int64_t instant, Pair edge, double H) noexcept nogil:
    """By the currents, and D, at the edge.

    V can only cross where the sum of the currents exceeds -gap. Where it does all the time, D at the edge decides;
    otherwise D may have been lower before, by no more than the lowest sum can have raised it.
    """
    cdef double moved[3 + MAX_PORTS]
    cdef const double *x = state
    cdef Frame *f = &frames[m.frame]
    cdef const Frame *g
    cdef double high = m.gap, low = m.gap, D, currents = 0.0, value, size, now_current, edge_current, part, drop = 0.0
    cdef int64_t k
    enter_instant(f, now, instant)
    enter_other_frames(m, frames, now, instant)
    if state[0] != <double> now.n:
        for k in range(3 + m.n_ports):
            moved[k] = state[k]
        move_to_epoch(m, moved, now.n, H)
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
    if high <= -ROUNDING * (currents + fabs(m.gap)):
        return False
    if m.gap <= 0.0:
        # What is to come of the currents cannot lift V by more than their peaks.
        D = D / f.growth
        if min(D, 0.0) - drop > m.gap + ROUNDING * (fabs(D) + drop - m.gap):
            return False
    if f.edge_is_far:
        return True
    if low < 0.0:
        value += low * (f.edge_E - f.growth)
        size -= low * f.edge_E
    return value <= ROUNDING * size


cdef inline int64_t kick_far_below(const LIFExp *m, double *states, const uint8_t *waiting, const Frame *f,
                                   const Kicks *kicks, const double *s, const Moments *all, int64_t first, int64_t n,
                                   double epoch) noexcept nogil:
    # As find_coupled of numerics/_scan.pxd, with what holds for all of these instants.
    cdef const Frame *g
    cdef double psi[MAX_PORTS]
    cdef double early[MAX_PORTS]
    cdef double late[MAX_PORTS]
    cdef double sizes[MAX_PORTS]
    cdef double a, kicked, current, value, low, size, weight, span, bound = m.gap * f.edge_E, tiny = 4.0 * ROUNDING
    cdef int64_t width = width_of(m), k = first, j, port
    cdef double *x
    cdef neuron_t i
    if first >= n or m.gap == 0.0 or f.edge_is_far:
        return first
    bound += tiny * fabs(bound)
    span = f.edge_E - all[0].growth[first]
    for j in range(m.n_ports):
        g = port_frame(m, f, j)
        psi[j], late[j] = g.edge_psi, g.edge_decay
        early[j] = 1.0 / all[j].E[first]
        sizes[j] = fabs(g.edge_psi) + f.edge_E * early[j]
    while k < n:
        i = kicks.targets[k]
        if waiting != NULL and (waiting[i >> 3] >> (i & 7)) & 1:
            break
        x = states + width * i
        if x[0] != epoch:
            break
        weight, port = kicks.weights[k], kicks.ports[k]
        # As kick_state.
        kicked = x[2] - weight * all[port].sine[k]
        current = x[3 + port] + weight * all[port].E[k]
        value, size, low = kicked, fabs(kicked), m.gap
        for j in range(m.n_ports):
            a = current if j == port else x[3 + j]
            low += min(a * early[j], a * late[j])
            value += a * psi[j]
            size += fabs(a) * sizes[j]
        value += 0.5 * (low - fabs(low)) * span  # min(low, 0.0), exactly: a branch would be guessed wrong
        if not (value - tiny * size > bound and fabs(kicked) < LARGEST_STATE and fabs(current) < LARGEST_STATE):
            break
        x[1], x[2], x[3 + port] = s[k], kicked, current
        k += 1
    return k


cdef inline bint has_soonest(const LIFExp *m) noexcept nogil:
    # Not of neurons driven exactly to threshold, which rounding may let fire at any time.
    return m.gap != 0.0


cdef inline double soonest(const LIFExp *m, const double *x, Frame *frames, Pair now, int64_t instant) noexcept nogil:
    """By what is left of D, over the current that drives it to `gap`.

    If the positive currents stayed as they are, and the negative ones were gone, D would be at `gap` after
    tau log(1 + y), which is more than 2 tau y / (2 + y); y is what is left of D over the current that drives it there.
    """
    cdef const Frame *g
    cdef Frame *f = &frames[m.frame]
    cdef double left, size, driving = m.gap, currents = fabs(m.gap), part
    cdef int64_t k
    enter_instant(f, now, instant)
    enter_other_frames(m, frames, now, instant)
    if x[0] != <double> now.n:
        return 0.0
    left = x[2] - m.gap * f.growth
    size = fabs(x[2]) + fabs(m.gap) * f.growth
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
    left -= ROUNDING * size
    driving = (driving + ROUNDING * currents) * f.growth
    if left <= 0.0:
        return 0.0
    if driving <= 0.0:
        return INFINITY
    return 1.999999999998 * m.tau * left / (2.0 * driving + left)


# Many at once ---------------------------------------------------------------------------------------------------------

cdef inline void coupled(Coupled *shared, const LIFExp *m, const Frame *f, Pair now, int64_t port) noexcept nogil:
    """What the hot loops of neurons with currents share; kicks are for `port`."""
    cdef const Frame *g
    cdef int64_t k
    shared.epoch = <double> now.n
    shared.s = now.s
    shared.growth = f.growth
    shared.edge_E = f.edge_E
    shared.edge_is_far = f.edge_is_far
    shared.gap = m.gap
    shared.x_factor = m.x_factor
    shared.ports = m.n_ports
    shared.port = port
    for k in range(m.n_ports):
        g = port_frame(m, f, k)
        shared.psi[k] = g.psi
        shared.decay[k] = g.decay
        shared.edge_psi[k] = g.edge_psi
        shared.edge_decay[k] = g.edge_decay
        shared.phi[k] = m.ports[k].phi
        shared.a_factor[k] = m.ports[k].factor
    g = port_frame(m, f, port)
    shared.E = g.E
    shared.reach = g.sine


cdef inline int64_t scan_cost(const LIFExp *m, bint alone) noexcept nogil:
    return 6 if alone else 2


cdef inline bint scan_is_rough(const LIFExp *m) noexcept nogil:
    return True


cdef inline int64_t scan_block(const LIFExp *m, const Neurons *p, int64_t first, int64_t n,
                               neuron_t *found) noexcept nogil:
    cdef Coupled shared
    if p.frame.edge_is_far:
        return -1
    coupled(&shared, m, p.frame, p.now, 0)
    return find_coupled(p.x + width_of(m) * first, n, &shared, found)


cdef inline int64_t kick_row(const LIFExp *m, const Neurons *p, const neuron_t *targets, const double *weights,
                             double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                             neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef Coupled shared
    if m.gap == 0.0:
        return -1
    coupled(&shared, m, p.frame, p.now, port)
    if not largest * max(shared.E, fabs(shared.reach)) < LARGEST_KICK:
        return -1
    n_others[0] = 0
    return couple(p.x, targets, weights, weight, count, &shared, p.waiting, near, others, n_others)


include "sparseprop/models/_lifexp_own.pxi"


# For gradients --------------------------------------------------------------------------------------------------------
# The adjoint in the coordinates of the engine, dL/d(x, a_1, ...), is constant between events and at kicks, as that of
# LIF neurons is: a target costs two multiplications and additions, by factors that a population shares. All adjoints
# belong to the present epoch, and are brought to an earlier one together. Beside it, `wide` ones have its derivatives
# for time constants: what a unit of x or a_k that comes in gives.
#
# Where things are in an adjoint: dL/dx, dL/da_1, ...; if wide, their derivatives for tau_m, that of dL/da_k for tau_k
# (nothing else feels tau_k later), and the sums for tau_m and for each tau_k.

cdef inline int64_t adjoint_width(const LIFExp *m, bint wide) noexcept nogil:
    return (1 + m.n_ports) + (2 + 3 * m.n_ports if wide else 0)


cdef inline double *of_tau_m(const LIFExp *m, double *y) noexcept nogil:
    return y + 1 + m.n_ports


cdef inline double *of_tau_syn(const LIFExp *m, double *y) noexcept nogil:
    return y + 2 * (1 + m.n_ports)


cdef inline double *sums_of(const LIFExp *m, double *y) noexcept nogil:
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


cdef struct Span:
    # To a later epoch, forward: x' = f x + sum of cross a, a' = factor a; and the derivatives.
    double f
    double by_f
    double factor[MAX_PORTS]
    double by_factor[MAX_PORTS]
    double cross[MAX_PORTS]
    double by_tau_m[MAX_PORTS]
    double by_tau_syn[MAX_PORTS]


cdef inline bint changes_with_epochs(const LIFExp *m) noexcept nogil:
    return True


cdef inline void span_of(const LIFExp *m, double u, bint wide, Span *move) noexcept nogil:
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


cdef inline void move_back(const LIFExp *m, double *y, bint wide, const Span *move) noexcept nogil:
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

cdef inline double leave(const LIFExp *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                         double distance) noexcept nogil:
    cdef Reach r
    cdef double x = y[0], u = w.s, by_D
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *by_port = of_tau_syn(m, y)
    cdef int64_t k
    if x == 0.0 and not (wide and by_tau[0] != 0.0):
        return 0.0
    reach_at(m, u, wide, &r)
    by_D = r.growth * x
    sums.I_e[i] += by_D
    for k in range(m.n_ports):
        y[1 + k] -= r.psi[k] * x
    y[0] = 0.0
    if wide:
        sums_of(m, y)[0] += distance * (r.growth * by_tau[0] - by_D * u / (m.tau * m.tau))
        for k in range(m.n_ports):
            by_tau[1 + k] -= r.psi[k] * by_tau[0] + r.by_tau_m[k] * x
            by_port[k] -= r.by_tau_syn[k] * x
        by_tau[0] = 0.0
    return -by_D


cdef inline void arrive(const LIFExp *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                        double distance, double g) noexcept nogil:
    cdef Reach r
    cdef double x, u = w.s
    cdef double *by_tau = of_tau_m(m, y)
    cdef double *by_port = of_tau_syn(m, y)
    cdef int64_t k
    sums.I_e[i] += g
    if g == 0.0:
        return
    reach_at(m, u, wide, &r)
    x = -g / r.growth
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
    cdef double *sums = sums_of(m, y)
    sums[0] += weight * (c.E * by_tau[1 + port] - c.reach * by_tau[0] - c.reach_by_tau_m * y[0])
    sums[1 + port] += weight * (c.E * of_tau_syn(m, y)[port] + c.E_by_tau_syn * y[1 + port]
                                - c.reach_by_tau_syn * y[0])


cdef inline double row_sums(const LIFExp *m, double *y, int64_t width, bint wide, const neuron_t *targets,
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


cdef inline void kick_back(const LIFExp *m, double *y, bint wide, const Frame *f, const When *w, double V,
                           double weight, int64_t port, double *by_weight, double *by_time) noexcept nogil:
    cdef KickBack shared
    kicks_now(m, f, w.s, port, wide, &shared)
    by_weight[0] = shared.E * y[1 + port] - shared.reach * y[0]
    by_time[0] = shared.E_by_time * y[1 + port] - shared.reach_by_time * y[0]
    if wide:
        kick_sums(m, y, &shared, port, weight)


cdef inline bint row_of_back(const LIFExp *m, double *y, const Row *row, double *total, double *sum) noexcept nogil:
    cdef KickBack shared
    kicks_now(m, row.frame, row.now.s, row.port, row.wide, &shared)
    if row.wide:  # a constant where it is asked for each target
        total[0] = row_sums(m, y, row.width, True, row.targets, row.weights, row.weight, row.count, &shared,
                            row.port, row.by_weight, sum)
    else:
        total[0] = row_sums(m, y, row.width, False, row.targets, row.weights, row.weight, row.count, &shared,
                            row.port, row.by_weight, sum)
    return True


cdef inline void settle_sums(const LIFExp *m, double *y, bint wide, const Sums *sums, int64_t i) noexcept nogil:
    cdef int64_t k
    cdef double *own = sums_of(m, y)
    if not wide:
        return
    sums.tau_m[i] += own[0]
    own[0] = 0.0
    for k in range(m.n_ports):
        sums.tau_syn[k * sums.n + i] += own[1 + k]
        own[1 + k] = 0.0


cdef inline bint notes_states(const LIFExp *m) noexcept nogil:
    return False


cdef inline bint stands_still(const LIFExp *m) noexcept nogil:
    return True


cdef inline double tau_of(const LIFExp *m, const Frame *f) noexcept nogil:
    return m.tau


cdef inline double velocity(const LIFExp *m, double tau, double V, double distance, double current) noexcept nogil:
    return (distance + current) / tau


cdef inline bint jumps_at_spikes(const LIFExp *m, double weight) noexcept nogil:
    # V and its time are continuous where the order changes, unless inhibition prevents the spike.
    return weight < 0.0


cdef inline double distance_of(const LIFExp *m, double V) noexcept nogil:
    return (m.V_inf - V) + m.V_inf_low


cdef inline double distance_at_reset(const LIFExp *m) noexcept nogil:
    return m.depth


cdef inline double distance_at_threshold(const LIFExp *m) noexcept nogil:
    return m.gap
