"""Neurons whose flow is in a table (tables.py): EIF and NumericalIF.

State: two doubles, a time x along the flow and the number of the half of the table that it is in, as of the time `base`
of the last kick or spike, kept beside the state. At and above threshold x is -1.

The mathematics is in docs/numerics.md and, operation by operation, in tables.py and reference.py.
"""

from libc.math cimport INFINITY, exp, fabs, log
from libc.stdint cimport int32_t, int64_t

from ._frames cimport LARGEST_STATE, Pair, never, plus
from ._typedefs cimport neuron_t

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
    /* 2^-200: no distance from a fixed point is less. As SMALLEST in tables.py. */
    #define SP_SMALLEST 6.223015277861142e-61
    """
    int64_t exponent_of "sp_exponent"(double x) noexcept nogil
    int64_t mantissa_of "sp_mantissa"(double x, int32_t shift) noexcept nogil
    const double SMALLEST "SP_SMALLEST"

cdef enum:
    # As DEGREE + 3 in tables.py: centre, 1 / half width, and coefficients of a piece.
    PIECE = 12
    # As MAX_HALVES in tables.py.
    HALVES = 32


cdef struct Grid:
    const double *pieces
    const int32_t *octaves      # the first piece of each, and by how much its bits are to be shifted
    int64_t lowest              # biased exponent of the first octave; piece 0 is what is below
    int64_t n_octaves
    int64_t last                # piece


# See Half in tables.py.
cdef struct Half:
    double high
    double anchor
    double sign
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


cdef struct Flow:
    int64_t n
    double v_th
    double v_min
    Half halves[HALVES]


cdef struct Tabulated:
    const Flow *flow
    double tau
    double offset               # V = offset + unit v
    double unit
    double inverse_unit
    double reset_x
    double reset_half
    double V_threshold
    double V_reset
    double t_ref
    neuron_t frame              # none (0)


cdef inline int64_t piece_of(const Grid *g, double x) noexcept nogil:
    """The piece of x >= 0."""
    cdef int64_t octave = exponent_of(x) - g.lowest
    if octave < 0:
        return 0
    if octave >= g.n_octaves:
        return g.last
    return min(g.octaves[2 * octave] + mantissa_of(x, g.octaves[2 * octave + 1]), g.last)


cdef inline double grid_at(const Grid *g, double x) noexcept nogil:
    cdef const double *c = g.pieces + PIECE * piece_of(g, x)
    cdef double t = (x - c[0]) * c[1], t2 = t * t, t4 = t2 * t2
    cdef double low = (c[3] + c[4] * t) + (c[5] + c[6] * t) * t2
    cdef double high = (c[7] + c[8] * t) + (c[9] + c[10] * t) * t2
    return c[2] + t * ((low + high * t4) + c[11] * (t4 * t4))


cdef inline double grid_slope(const Grid *g, double x) noexcept nogil:
    cdef const double *c = g.pieces + PIECE * piece_of(g, x)
    cdef double t = (x - c[0]) * c[1], total = 0.0
    cdef int64_t k
    for k in range(PIECE - 3, 0, -1):
        total = total * t + <double> k * c[2 + k]
    return total * c[1]


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
    if h.rising:
        x = x + u
        over = x - h.length
    else:
        x = x - u
        over = -x
    while over > 0.0:
        if h.next < 0:
            return 0.0
        half[0] = h.next
        entry = h.entry
        h = &flow.halves[h.next]
        if h.rising:
            x = entry + over
            over = x - h.length
        else:
            x = entry - over
            over = -x
    return x


cdef inline double voltage_in_table(const Flow *flow, double x, int64_t half) noexcept nogil:
    cdef const Half *h = &flow.halves[half]
    return h.anchor + h.sign * distance_of_time(h, x)


cdef inline double to_spike(const Flow *flow, double x, int64_t half) noexcept nogil:
    """The time to threshold in units of tau, infinite if it is never reached."""
    cdef const Half *h = &flow.halves[half]
    return (h.length - x if h.rising else x) + h.after


cdef inline double since_base(const Tabulated *m, Pair base, Pair t, double H) noexcept nogil:
    return (<double> (t.n - base.n) * H + (t.s - base.s)) / m.tau


cdef inline double table_now(const Tabulated *m, const double *x, const Pair *base, Pair now, double H) noexcept nogil:
    """The voltage of the table now."""
    cdef int64_t half = <int64_t> x[1]
    cdef double t = flow_on(m.flow, x[0], since_base(m, base[0], now, H), &half)
    return voltage_in_table(m.flow, t, half)


cdef inline void table_place(const Tabulated *m, double *x, Pair *base, double v, Pair now) noexcept nogil:
    """The state of a neuron whose voltage in the table is v now."""
    cdef int64_t half
    x[0] = place_in_table(m.flow, v, &half)
    x[1] = <double> half
    base[0] = now


cdef inline bint table_kick(const Tabulated *m, double *x, Pair *base, Pair now, double H,
                            double weight) noexcept nogil:
    """Whether the new state is in range; if not, it is left as it was."""
    cdef double v = table_now(m, x, base, now, H) + weight * m.inverse_unit
    if not (fabs(v) < LARGEST_STATE) or v < m.flow.v_min:
        return False
    table_place(m, x, base, v, now)
    return True


cdef inline bint table_over_threshold(const Tabulated *m, const double *x) noexcept nogil:
    return x[0] == -1.0 and <int64_t> x[1] == m.flow.n - 1


cdef inline Pair table_next_spike(const Tabulated *m, const double *x, const Pair *base, double H) noexcept nogil:
    cdef double u = to_spike(m.flow, x[0], <int64_t> x[1])
    if not u < INFINITY:
        return never()
    return plus(base[0], m.tau * max(u, 0.0), H)


cdef inline bint table_fires_before_edge(const Tabulated *m, const double *x, const Pair *base, Pair edge,
                                         double H) noexcept nogil:
    """Whether the neuron may fire before the window's edge; never False if it does."""
    cdef double u = to_spike(m.flow, x[0], <int64_t> x[1]), left
    if not u < INFINITY:
        return False
    left = since_base(m, base[0], edge, H)
    return u - left <= (u + fabs(left)) * 9.094947017729282e-13


cdef inline double table_voltage(const Tabulated *m, const double *x, const Pair *base, Pair now,
                                 double H) noexcept nogil:
    return m.offset + m.unit * table_now(m, x, base, now, H)


# Derivatives --------------------------------------------------------------------------------------------------------

cdef inline double speed_at(const Half *h, double z) noexcept nogil:
    """|F| at a distance, to a relative precision."""
    if z < h.z_tail:
        return h.rate * max(z, SMALLEST)
    if z > h.z_far:
        return z + h.leak
    return 1.0 / fabs(grid_slope(&h.to_x, max(z, 0.0)))


cdef inline double W_at(const Half *h, double z) noexcept nogil:
    """The integral of dz / F^2 from the origin of the half."""
    if z < h.z_tail:
        return h.W_tail + (1.0 / max(z, SMALLEST) - 1.0 / h.z_tail) / (h.rate * h.rate)
    if z > h.z_far:
        return 1.0 / (z + h.leak) - 1.0 / (h.z_far + h.leak)
    return grid_at(&h.to_W, max(z, 0.0))


cdef inline double table_velocity(const Tabulated *m, double V) noexcept nogil:
    """dV/dt per ms."""
    cdef double v = min((V - m.offset) / m.unit, m.flow.v_th)
    cdef int64_t k = 0, last = m.flow.n - 1
    cdef const Half *h
    while k < last and v >= m.flow.halves[k].high:
        k += 1
    h = &m.flow.halves[k]
    return h.direction * speed_at(h, (v - h.anchor) * h.sign) * m.unit / m.tau


cdef inline void table_stretch(const Tabulated *m, double V, double elapsed, double *ratio, double *by_drive,
                               double *velocity) noexcept nogil:
    """Free flow from V for `elapsed` ms: dV/dV, dV/d(drive) and dV/dt at its end.

    Times and distances are taken from the beginning on: a voltage near a fixed point has no digits for its distance.
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
    cdef double u = elapsed / m.tau, over
    if h.rising:
        x = x + u
        over = x - h.length
    else:
        x = x - u
        over = -x
    while over > 0.0:
        if h.next < 0:
            x = 0.0
            break
        integral += h.W_whole - begin if h.rising else begin
        begin = h.entry_W
        x = h.entry
        h = &flow.halves[h.next]
        if h.rising:
            x = x + over
            over = x - h.length
        else:
            x = x - over
            over = -x
    z = distance_of_time(h, x)
    last = speed_at(h, z)
    integral += W_at(h, z) - begin if h.rising else begin - W_at(h, z)
    ratio[0] = last / first
    by_drive[0] = last * integral
    velocity[0] = h.direction * last * m.unit / m.tau
