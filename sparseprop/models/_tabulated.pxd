"""Neurons whose flow is in a table (numerics/tables.py): EIF and NumericalIF.

State: the time (n, s) of the last kick or spike, a time along the flow, and the number of the half of the table that it
is in. At and above threshold the time along the flow is -1.

The mathematics is in docs/numerics.md and, operation by operation, in numerics/halves.py and
models/tabulated.py.
"""

from libc.math cimport INFINITY, fabs
from libc.stdint cimport int32_t, int64_t, uint8_t

from sparseprop.models._neuron cimport Neurons, Sums, When
from sparseprop.numerics._constants cimport LARGEST_STATE, ROUNDING
from sparseprop.numerics._frames cimport Frame, Pair, never, plus
from sparseprop.numerics._elementary cimport exp, log
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport neuron_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* The exponent of |x|, biased, and the first bits of its mantissa. */
    static inline int64_t sp_exponent(double x) {
        uint64_t bits;
        memcpy(&bits, &x, sizeof bits);
        return (int64_t)(bits >> 52 & 0x7FF);
    }
    static inline int64_t sp_mantissa(double x, int32_t shift) {
        uint64_t bits;
        memcpy(&bits, &x, sizeof bits);
        return (int64_t)((bits & 0xFFFFFFFFFFFFFu) >> shift);
    }
    /* A piece at x: c has the centre, 1 / half width, c0, c9, and in pairs c1 c5, c2 c6, c3 c7, c4 c8. */
    typedef double sp_two __attribute__((vector_size(16), aligned(8)));
    static inline double sp_piece(const double *c, double x) {
        const sp_two *pairs = (const sp_two *)(c + 4);
        double t = (x - c[0]) * c[1], t2 = t * t, t4 = t2 * t2;
        sp_two both = (pairs[0] + pairs[1] * t) + (pairs[2] + pairs[3] * t) * t2;
        return c[2] + t * ((both[0] + both[1] * t4) + c[3] * (t4 * t4));
    }
    /* 2^-200: no distance from a fixed point is less. As SMALLEST in halves.py. */
    #define SP_SMALLEST 6.223015277861142e-61
    /* As TINY there, for derivatives. */
    #define SP_TINY 1e-250
    """
    int64_t exponent_of "sp_exponent"(double x) noexcept nogil
    int64_t mantissa_of "sp_mantissa"(double x, int32_t shift) noexcept nogil
    double polynomial "sp_piece"(const double *c, double x) noexcept nogil
    const double SMALLEST "SP_SMALLEST"
    const double TINY "SP_TINY"

cdef enum:
    # As DEGREE + 3 in series.py: centre, 1 / half width, and coefficients of a piece, in the order c0 c9 c1 c5 ...
    PIECE = 12
    # As MAX_HALVES in table_builder.py.
    HALVES = 32
    # Kicks that are taken step by step together.
    BLOCK = 64
    # So many halves are told apart without a loop.
    FEW = 4


cdef struct Grid:
    const double *pieces
    const int32_t *octaves      # the first piece of each, and by how much its bits are to be shifted
    int64_t below               # biased exponent of what is below the first octave, all of it in row 0
    int64_t above               # the row of what is above the last one


# See Half in halves.py.
cdef struct Half:
    double high
    double anchor
    double sign
    double step                 # of x with time: 1 or -1
    double bound                # of step x, where the half ends
    double length
    double z_tail
    double x_tail
    double z_far
    double leak
    Grid to_x
    Grid to_z
    double rate
    double entry
    double after
    int64_t next
    bint rising
    Grid to_W
    double W_tail
    double W_whole
    double entry_W
    double direction            # 1 where v rises, -1 where it falls
    Grid to_F


cdef struct Flow:
    int64_t n
    double v_th
    double v_min
    double high[FEW]            # of the first halves but the last; infinite where there is none
    Half halves[HALVES]


cdef struct Tabulated:
    const Flow *flow
    double tau
    double inverse_tau
    double offset               # V = offset + unit v
    double unit
    double inverse_unit
    double reset_x
    double reset_half
    double V_threshold
    double V_reset
    double t_ref
    neuron_t frame              # none (0)

ctypedef Tabulated Model


cdef inline int64_t width_of(const Tabulated *m) noexcept nogil:
    return 4


cdef inline object fill(Tabulated *m, constants, frames, double H):
    cdef uint8_t[::1] flow
    flow, is_new = frames.memory(constants["table"], sizeof(Flow))
    if is_new:
        fill_flow(<Flow *> &flow[0], constants["table"])
    m.flow = <const Flow *> &flow[0]
    m.frame = frames.index(None)
    m.tau, m.offset, m.unit = constants["tau"], constants["offset"], constants["unit"]
    m.inverse_tau, m.inverse_unit = constants["inverse_tau"], constants["inverse_unit"]
    half, m.reset_x = constants["reset"]
    m.reset_half = half
    m.V_threshold, m.V_reset, m.t_ref = constants["V_threshold"], constants["V_reset"], constants["t_ref"]


cdef inline object fill_grid(Grid *g, grid):
    cdef const double[:, ::1] pieces = grid.pieces
    cdef const int32_t[:, ::1] octaves = grid.octaves
    g.pieces, g.octaves = &pieces[0, 0], &octaves[0, 0]
    g.below, g.above = grid.lowest + 1022, octaves.shape[0] - 1


cdef inline object fill_flow(Flow *flow, table):
    cdef int64_t k
    flow.n, flow.v_th, flow.v_min = len(table.halves), table.v_th, table.v_min
    if flow.n > HALVES:
        raise ValueError(f"a table of {flow.n} halves")
    for k in range(FEW):
        flow.high[k] = table.halves[k].high if k < flow.n - 1 else INFINITY
    for k in range(flow.n):
        half = table.halves[k]
        flow.halves[k].anchor, flow.halves[k].sign, flow.halves[k].high = half.anchor, half.sign, half.high
        flow.halves[k].rising, flow.halves[k].next = half.rising, half.next
        flow.halves[k].step = 1.0 if half.rising else -1.0
        flow.halves[k].bound = half.length if half.rising else 0.0
        flow.halves[k].length, flow.halves[k].entry, flow.halves[k].after = half.length, half.entry, half.after
        flow.halves[k].z_tail, flow.halves[k].x_tail, flow.halves[k].rate = half.z_tail, half.x_tail, half.rate
        flow.halves[k].z_far, flow.halves[k].leak = half.z_far, half.leak
        flow.halves[k].W_tail, flow.halves[k].W_whole = half.W_tail, half.W_whole
        flow.halves[k].entry_W, flow.halves[k].direction = half.entry_W, half.direction
        fill_grid(&flow.halves[k].to_x, half.to_x)
        fill_grid(&flow.halves[k].to_z, half.to_z)
        fill_grid(&flow.halves[k].to_W, half.to_W)
        fill_grid(&flow.halves[k].to_F, half.to_F)


cdef inline int64_t piece_of(const Grid *g, double x) noexcept nogil:
    """The piece of x >= 0."""
    cdef const int32_t *row = g.octaves + 2 * min(max(exponent_of(x) - g.below, 0), g.above)
    return row[0] + mantissa_of(x, row[1])


cdef inline double grid_at(const Grid *g, double x) noexcept nogil:
    return polynomial(g.pieces + PIECE * piece_of(g, x), x)


cdef inline double time_of(const Half *h, double z) noexcept nogil:
    if z < h.z_tail:
        return h.x_tail + log(h.z_tail / max(z, SMALLEST)) / h.rate
    if z > h.z_far:
        return -log((z + h.leak) / (h.z_far + h.leak))
    return max(grid_at(&h.to_x, max(z, 0.0)), 0.0)


cdef inline double distance_of_time(const Half *h, double x) noexcept nogil:
    if x > h.x_tail:
        return h.z_tail * exp((h.x_tail - x) * h.rate)
    if x < 0.0 and h.z_far < INFINITY:
        return (h.z_far + h.leak) * exp(-x) - h.leak
    return grid_at(&h.to_z, max(x, 0.0))


cdef inline double place_in_table(const Flow *flow, double v, int64_t *half) noexcept nogil:
    """The half and the time of a voltage."""
    cdef int64_t k = 0, last = flow.n - 1
    cdef const Half *h
    if v >= flow.v_th:
        half[0] = last
        return -1.0
    while k < last and v >= flow.halves[k].high:
        k += 1
    half[0] = k
    h = &flow.halves[k]
    return time_of(h, (v - h.anchor) * h.sign)


cdef inline double flow_on(const Flow *flow, double x, double u, int64_t *half) noexcept nogil:
    """The time in the table after a time u (in units of tau); the half may become another."""
    cdef const Half *h = &flow.halves[half[0]]
    cdef double over, entry
    x = x + h.step * u
    over = h.step * x - h.bound
    while over > 0.0:
        if h.next < 0:
            return 0.0
        half[0] = h.next
        entry = h.entry
        h = &flow.halves[h.next]
        x = entry + h.step * over
        over = h.step * x - h.bound
    return x


cdef inline double voltage_in_table(const Flow *flow, double x, int64_t half) noexcept nogil:
    cdef const Half *h = &flow.halves[half]
    return h.anchor + h.sign * distance_of_time(h, x)


cdef inline double to_spike(const Flow *flow, double x, int64_t half) noexcept nogil:
    """The time to threshold in units of tau, infinite if it is never reached."""
    cdef const Half *h = &flow.halves[half]
    return (h.bound - h.step * x) + h.after


cdef inline double since_base(const Tabulated *m, const double *x, Pair t, double H) noexcept nogil:
    """The time since that of the state in units of tau."""
    return ((<double> t.n - x[0]) * H + (t.s - x[1])) * m.inverse_tau


cdef inline double table_now(const Tabulated *m, const double *x, Pair now, double H) noexcept nogil:
    """The voltage of the table now."""
    cdef int64_t half = <int64_t> x[3]
    cdef double t = flow_on(m.flow, x[2], since_base(m, x, now, H), &half)
    return voltage_in_table(m.flow, t, half)


cdef inline void place_in_units(const Tabulated *m, double *x, double v, Pair now) noexcept nogil:
    """The state of a neuron whose voltage in the table is v now."""
    cdef int64_t half
    x[2] = place_in_table(m.flow, v, &half)
    x[3] = <double> half
    x[0] = <double> now.n
    x[1] = now.s


cdef inline void place_at(const Tabulated *m, double *x, Pair *base, double V, const Frame *f, Pair now) noexcept nogil:
    place_in_units(m, x, (V - m.offset) / m.unit, now)


cdef inline void seen_state(const Tabulated *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    seen[0] = table_now(m, x, now, H)


cdef inline void place_seen(const Tabulated *m, const Tabulated *old, double *x, Pair *base, const double *seen,
                            const Frame *f, Pair now, double H) noexcept nogil:
    place_in_units(m, x, seen[0], now)


cdef inline bint kick_state(const Tabulated *m, double *x, Pair *base, const Frame *f, Pair now, double H,
                            double weight, int64_t port) noexcept nogil:
    cdef double v = table_now(m, x, now, H) + weight * m.inverse_unit
    if not (fabs(v) < LARGEST_STATE) or v < m.flow.v_min:
        return False
    place_in_units(m, x, v, now)
    return True


cdef inline bint over_threshold(const Tabulated *m, const double *x, const Frame *f) noexcept nogil:
    return x[2] == -1.0 and <int64_t> x[3] == m.flow.n - 1


cdef inline Pair next_crossing(const Tabulated *m, const double *x, const Pair *base, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    cdef double u = to_spike(m.flow, x[2], <int64_t> x[3])
    cdef Pair start
    if not u < INFINITY:
        return never()
    start.n = <int64_t> x[0]
    start.s = x[1]
    return plus(start, m.tau * max(u, 0.0), H)


cdef inline bint crosses_before_edge(const Tabulated *m, const double *x, const Pair *base, Frame *frames, Pair now,
                                     int64_t instant, Pair edge, double H) noexcept nogil:
    cdef double u = to_spike(m.flow, x[2], <int64_t> x[3]), left = since_base(m, x, edge, H)
    return (u - left <= (u + fabs(left)) * ROUNDING) & (u < INFINITY)


cdef inline void reset_at(const Tabulated *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release,
                          bint now, double H) noexcept nogil:
    x[0] = <double> release.n
    x[1] = release.s
    x[2] = m.reset_x
    x[3] = m.reset_half


cdef inline double voltage_at(const Tabulated *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    return m.offset + m.unit * table_now(m, x, now, H)


# Many at once ---------------------------------------------------------------------------------------------------------

cdef inline int64_t table_row(const Tabulated *m, double *x, const neuron_t *targets, const double *weights,
                              double weight, int64_t count, const uint8_t *waiting, Pair now, Pair edge, double H,
                              int32_t *soon, int32_t *others, int64_t *n_others) noexcept nogil:
    """`kick_state` of at most BLOCK targets, one after the other in each of four steps.

    One kick is a long chain of operations; this way those of many targets overlap. Nothing is done for those in whose
    way there is something rare (or a refractory period); they are put into `others`, by their places in the row. Those
    that may fire before the edge are put into `soon`; their number is returned.
    """
    cdef const Flow *flow = m.flow
    cdef const Half *h
    cdef const double *pieces[BLOCK]
    cdef double at[BLOCK]
    cdef double later[BLOCK]
    cdef double v[BLOCK]
    cdef int32_t place[BLOCK]
    cdef int32_t crossing[BLOCK]
    cdef int64_t halves[BLOCK]
    cdef int64_t k, j, n = 0, n_crossing = 0, number, found = 0, last = flow.n - 1
    cdef double n_now = <double> now.n, u, z, w = weight * m.inverse_unit
    cdef double reach = ((<double> edge.n - n_now) * H + (edge.s - now.s)) * m.inverse_tau, size = fabs(reach)
    cdef double *state
    cdef bint good, excites = weights != NULL or weight > 0.0
    n_others[0] = 0
    # Where they are now. No branches, whose outcomes no processor can predict, but lists of what is different: entering
    # another half, tails, and neurons that may be refractory.
    for k in range(count):
        state = x + 4 * <int64_t> targets[k]
        number = <int64_t> state[3]
        h = &flow.halves[number]
        u = state[2] + h.step * since_base(m, state, now, H)
        z = h.step * u
        good = (z <= h.bound) & (u <= h.x_tail) & (u >= 0.0)
        if waiting != NULL:
            good = good & (1 ^ (waiting[targets[k] >> 3] >> (targets[k] & 7)) & 1)
        pieces[n] = h.to_z.pieces + PIECE * piece_of(&h.to_z, u)
        at[n] = u
        later[k] = (h.bound - z) + h.after
        halves[n] = number
        place[n] = <int32_t> k
        n += good
        crossing[n_crossing] = <int32_t> k
        n_crossing += not good
    for j in range(n_crossing):
        k = crossing[j]
        state = x + 4 * <int64_t> targets[k]
        number = <int64_t> state[3]
        u = flow_on(flow, state[2], since_base(m, state, now, H), &number)
        h = &flow.halves[number]
        good = (u <= h.x_tail) & (u >= 0.0)
        if waiting != NULL:
            good = good & (1 ^ (waiting[targets[k] >> 3] >> (targets[k] & 7)) & 1)
        pieces[n] = h.to_z.pieces + PIECE * piece_of(&h.to_z, u)
        at[n] = u
        later[k] = (h.bound - h.step * u) + h.after
        halves[n] = number
        place[n] = <int32_t> k
        n += good
        others[n_others[0]] = <int32_t> k
        n_others[0] += not good
    if weights == NULL:
        for j in range(n):
            h = &flow.halves[halves[j]]
            v[j] = (h.anchor + h.sign * polynomial(pieces[j], at[j])) + w
    else:
        for j in range(n):
            h = &flow.halves[halves[j]]
            v[j] = (h.anchor + h.sign * polynomial(pieces[j], at[j])) + weights[place[j]] * m.inverse_unit
    count = n
    n = 0
    for j in range(count):
        if last < FEW:
            number = (v[j] >= flow.high[0]) + (v[j] >= flow.high[1]) + (v[j] >= flow.high[2])
        else:
            number = 0
            for k in range(last):
                number += v[j] >= flow.halves[k].high
        h = &flow.halves[number]
        z = (v[j] - h.anchor) * h.sign
        good = (z >= h.z_tail) & (z <= h.z_far) & (v[j] < flow.v_th) & (v[j] >= flow.v_min)
        pieces[n] = h.to_x.pieces + PIECE * piece_of(&h.to_x, z)
        at[n] = z
        halves[n] = number
        others[n_others[0]] = place[j]
        place[n] = place[j]
        n += good
        n_others[0] += not good
    for j in range(n):
        k = place[j]
        h = &flow.halves[halves[j]]
        u = max(polynomial(pieces[j], at[j]), 0.0)
        state = x + 4 * <int64_t> targets[k]
        state[0] = n_now
        state[1] = now.s
        state[2] = u
        state[3] = <double> halves[j]
        u = (h.bound - h.step * u) + h.after
        soon[found] = <int32_t> k
        # Inhibition that has put the spike off by more than rounding leaves the queue as it is.
        z = later[k]
        good = (u <= z + (z + 1.0) * ROUNDING) & (u < INFINITY)
        if excites:
            good = good & (u - reach <= (u + size) * ROUNDING)
        found += good
    return found


cdef inline int64_t kick_row(const Tabulated *m, const Neurons *p, const neuron_t *targets, const double *weights,
                             double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                             neuron_t *others, int64_t *n_others) noexcept nogil:
    cdef int32_t soon[BLOCK]
    cdef int32_t rare[BLOCK]
    cdef int64_t first = 0, n, k, n_rare, found = 0, left = 0
    for k in range(min(count, BLOCK)):
        prefetch(&p.x[4 * <int64_t> targets[k]], 4 * sizeof(double))
    while first < count:
        n = min(count - first, BLOCK)
        for k in range(first + n, min(first + n + BLOCK, count)):
            prefetch(&p.x[4 * <int64_t> targets[k]], 4 * sizeof(double))
        n = table_row(m, p.x, targets + first, weights + first if weights != NULL else NULL, weight, n, p.waiting,
                      p.now, p.edge, p.H, soon, rare, &n_rare)
        for k in range(n):
            near[found] = targets[first + soon[k]]
            found += 1
        for k in range(n_rare):
            others[left] = <neuron_t> (first + rare[k])
            left += 1
        first += BLOCK
    n_others[0] = left
    return found


# For gradients: y is dL/dV at the end of the stretch, the time of that end, two sums, and V there ---------------------

cdef inline int64_t adjoint_width(const Tabulated *m, bint wide) noexcept nogil:
    return 5


cdef inline bint needs_frame(const Tabulated *m) noexcept nogil:
    return False


cdef inline double tau_of(const Tabulated *m, const Frame *f) noexcept nogil:
    return m.tau


cdef inline double voltage_at_threshold(const Tabulated *m) noexcept nogil:
    return m.V_threshold


cdef inline double speed_at(const Half *h, double z) noexcept nogil:
    """|F| at a distance, to a relative precision."""
    z = max(z, 0.0)             # at threshold it may be less by rounding
    if z < h.z_tail:
        return h.rate * max(z, TINY)
    if z > h.z_far:
        return z + h.leak
    return grid_at(&h.to_F, z)


cdef inline double W_at(const Half *h, double z) noexcept nogil:
    """The integral of dz / F^2 from the origin of the half."""
    z = max(z, 0.0)
    if z < h.z_tail:
        return h.W_tail + (1.0 / max(z, TINY) - 1.0 / h.z_tail) / (h.rate * h.rate)
    if z > h.z_far:
        return 1.0 / (z + h.leak) - 1.0 / (h.z_far + h.leak)
    return grid_at(&h.to_W, z)


cdef inline double table_velocity(const Tabulated *m, double V) noexcept nogil:
    """dV/dt per ms."""
    cdef double v = min((V - m.offset) / m.unit, m.flow.v_th)
    cdef int64_t k = 0, last = m.flow.n - 1
    cdef const Half *h
    while k < last and v >= m.flow.halves[k].high:
        k += 1
    h = &m.flow.halves[k]
    return h.direction * speed_at(h, (v - h.anchor) * h.sign) * m.unit / m.tau


cdef inline void table_stretch(const Tabulated *m, double V, double elapsed, double V_end, double *ratio,
                               double *by_drive, double *velocity) noexcept nogil:
    """Free flow from V to V_end in `elapsed` ms: dV/dV, dV/d(drive) and dV/dt at its end.

    Next to a fixed point V_end has no digits for its distance, which is taken from the time instead; where V runs away,
    the time has none.
    """
    cdef const Flow *flow = m.flow
    cdef const Half *h
    cdef int64_t k
    cdef double x, z, first, last, begin, integral = 0.0
    x = max(place_in_table(flow, (V - m.offset) / m.unit, &k), 0.0 if V >= m.V_threshold else -INFINITY)
    h = &flow.halves[k]
    z = distance_of_time(h, x)
    first = speed_at(h, z)
    begin = W_at(h, z)
    cdef double over
    x = x + h.step * (elapsed * m.inverse_tau)
    over = h.step * x - h.bound
    while over > 0.0:
        if h.next < 0:
            x = 0.0
            break
        integral += h.W_whole - begin if h.rising else begin
        begin = h.entry_W
        x = h.entry
        h = &flow.halves[h.next]
        x = x + h.step * over
        over = h.step * x - h.bound
    if h.rate > 0.0:
        z = distance_of_time(h, x)
    else:
        z = (min((V_end - m.offset) / m.unit, flow.v_th) - h.anchor) * h.sign
    last = speed_at(h, z)
    integral += W_at(h, z) - begin if h.rising else begin - W_at(h, z)
    ratio[0] = last / first
    by_drive[0] = last * integral
    velocity[0] = h.direction * last * m.unit / m.tau


cdef inline double leave_at(const Tabulated *m, double *y, double t, double V) noexcept nogil:
    """`leave`, of a stretch that begins with V at t; the adjoint then is 0."""
    cdef double g = y[0], elapsed = y[1] - t, ratio, by_drive, v
    y[0] = 0.0
    if g == 0.0:
        return 0.0
    table_stretch(m, V, elapsed, y[4], &ratio, &by_drive, &v)
    y[3] += g * by_drive
    y[2] -= g * v * elapsed / m.tau
    return g * ratio


cdef inline double leave(const Tabulated *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w,
                         double V, double distance) noexcept nogil:
    return leave_at(m, y, w.t, V)


cdef inline void arrive(const Tabulated *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
                        double distance, double g) noexcept nogil:
    y[0] = g
    y[1] = w.t
    y[4] = V


cdef inline double velocity(const Tabulated *m, double tau, double V, double distance, double current) noexcept nogil:
    return table_velocity(m, V)


cdef inline double velocity_size(const Tabulated *m, double V) noexcept nogil:
    return fabs(V) + m.unit


cdef inline void kick_back(const Tabulated *m, double *y, bint wide, const Frame *f, const When *w, double V,
                           double weight, int64_t port, double *by_weight, double *by_time) noexcept nogil:
    cdef double after = V + weight, t = w.t, g = leave_at(m, y, t, after)
    y[0] = g
    y[1] = t
    y[4] = V
    by_weight[0] = g
    by_time[0] = 0.0
    if g != 0.0 and weight != 0.0:
        by_time[0] = -g * (table_velocity(m, after) - table_velocity(m, V)) / weight


cdef inline void settle_sums(const Tabulated *m, double *y, bint wide, const Sums *sums, int64_t i) noexcept nogil:
    sums.I_e[i] += y[3]
    sums.tau_m[i] += y[2]
    y[2] = 0.0
    y[3] = 0.0
