"""Engine time and co-moving frames in C, operation by operation as in frames.py and engine_time.py.

A frame is what all neurons with one time constant (or one rotation rate) share: the growth E(n, s) of the
exponential flow as mantissa and exponent, or the angle alpha(n, s) of the rotation. Both are pure functions of
the engine-time pair.
"""

from libc.math cimport floor, ldexp
from libc.stdint cimport int64_t, uint64_t

from sparseprop.numerics._constants cimport ROUNDING
from sparseprop.numerics._elementary cimport cos, exp, exp_many, expm1, log, sin

cdef extern from *:
    """
    #include <stdint.h>
    /* n times a fixed-point number with 128 binary places: the whole part, and the first 64 places of the rest. */
    static inline int64_t sp_advance(uint64_t whole, uint64_t high, uint64_t low, int64_t n, uint64_t *places) {
        unsigned __int128 l = (unsigned __int128)(uint64_t)n * low;
        unsigned __int128 h = (unsigned __int128)(uint64_t)n * high + (uint64_t)(l >> 64);
        *places = (uint64_t)h;
        return (int64_t)((uint64_t)n * whole + (uint64_t)(h >> 64));
    }
    """
    int64_t sp_advance(uint64_t whole, uint64_t high, uint64_t low, int64_t n, uint64_t *places) noexcept nogil

cdef extern from *:
    """
    #include <math.h>
    #include <string.h>
    /* ldexp without a call, where 2^exponent is a normal number: both round once. */
    static inline double sp_scaled(double x, int64_t exponent) {
        if (exponent < -1000 || exponent > 1000)
            return ldexp(x, (int)exponent);
        uint64_t bits = (uint64_t)(exponent + 1023) << 52;
        double power;
        memcpy(&power, &bits, sizeof power);
        return x * power;
    }
    """
    double scaled "sp_scaled"(double x, int64_t exponent) noexcept nogil

cdef enum:
    # Frames of growth are rescaled in steps of 2^64, and states with them, so that both stay in range.
    SCALE_STEP = 64

cdef enum:
    # Beyond 2^52 epochs an n would not be exact as a double; nothing happens there.
    MAX_EPOCH = 4503599627370496

cdef inline double LN2() noexcept nogil:
    return 0.6931471805599453

cdef inline double TWO_PI() noexcept nogil:
    return 6.283185307179586


cdef struct Pair:
    int64_t n
    double s


cdef struct Frame:
    # The advance per epoch, in powers of two or in turns.
    uint64_t whole
    uint64_t high
    uint64_t low
    # Growth: the time constant T in ms. Rotation: the rate in rad/ms.
    double scale
    # At the start of the present epoch. Growth: E = mantissa 2^exponent. Rotation: whole turns and the angle.
    double mantissa
    int64_t exponent
    double start                # growth: E 2^-shift there
    bint rotates
    # The power of two by which the last change of epoch rescaled the states, in steps of 2^64.
    int64_t steps
    # At the present instant, valid if `instant` is the engine's. Growth: E 2^-shift. Rotation: cos and sin of alpha.
    int64_t instant
    double E
    double sine
    # At the window's edge. Growth: slightly more than E, at the present scale. Rotation: cos and sin of alpha, and
    # whether the window is too long for the sign of a sine to tell who fires in it.
    double edge_E
    double edge_sine
    bint edge_is_far
    # Of a synaptic current: E grows with its time constant from the start of each epoch, and so does the membrane with
    # its own, by `growth`. A unit of current at that start would add psi to D growth; a kick now adds `sine` = E psi.
    bint couples
    bint near
    double tau
    double gain
    double slope
    double growth
    double psi
    double decay                # 1 / E
    double edge_psi
    double edge_decay
    # exp(-u / scale) and exp(-u / tau) for the u that they were asked for last; NaN: none yet. Neurons that were kicked
    # together ask for the same.
    double decay_u
    double decay_by_scale
    double shrink_u
    double shrink_by_tau


cdef enum:
    # Instants of which a frame's numbers are made together.
    MOMENTS = 64


# The numbers of a frame that couples, at some instants one after the other.
cdef struct Moments:
    double E[MOMENTS]
    double growth[MOMENTS]
    double sine[MOMENTS]


cdef inline bint not_after(Pair a, Pair b) noexcept nogil:
    return a.n < b.n or (a.n == b.n and a.s <= b.s)


cdef inline bint before(Pair a, Pair b) noexcept nogil:
    return a.n < b.n or (a.n == b.n and a.s < b.s)


cdef inline Pair never() noexcept nogil:
    cdef Pair p
    p.n = (<int64_t> 1) << 62
    p.s = 0.0
    return p


cdef inline double interval(Pair a, Pair b, double H) noexcept nogil:
    """The time from a to b."""
    return <double> (b.n - a.n) * H + (b.s - a.s)


cdef inline Pair plus(Pair a, double interval, double H) noexcept nogil:
    """a + interval; `never` beyond 2^52 epochs."""
    cdef double s = a.s + interval, carry
    if 0.0 <= s < H and a.n <= MAX_EPOCH:
        # As below, without a division.
        a.s = s
        return a
    carry = floor(s / H)
    if not (carry <= <double> MAX_EPOCH - a.n):
        return never()
    a.n += <int64_t> carry
    a.s = s - carry * H
    return a


# Growth -----------------------------------------------------------------------------------------------------------

cdef inline int64_t growth_epoch(const Frame *f, int64_t n, double *mantissa) noexcept nogil:
    """E at the start of epoch n: the mantissa in [1, 2), and the exponent as the result."""
    cdef uint64_t places
    cdef int64_t exponent = sp_advance(f.whole, f.high, f.low, n, &places)
    mantissa[0] = exp(<double> (places >> 11) * 1.1102230246251565e-16 * LN2())
    return exponent


cdef inline int64_t growth_shift(const Frame *f) noexcept nogil:
    """The power of two taken out of E and of all states in the present epoch."""
    return f.exponent & ~(<int64_t> (SCALE_STEP - 1))


cdef inline double growth_at(const Frame *f, int64_t epoch, Pair t) noexcept nogil:
    """E at any time t, with the present epoch's power of two taken out; infinite far in the future."""
    cdef double mantissa
    cdef int64_t exponent
    if t.n == epoch:
        return f.start * exp(t.s / f.scale)
    exponent = growth_epoch(f, t.n, &mantissa)
    return ldexp(mantissa * exp(t.s / f.scale), <int> min(max(exponent - growth_shift(f), -3000), 3000))


# Rotation ---------------------------------------------------------------------------------------------------------

cdef inline int64_t rotation_epoch(const Frame *f, int64_t n, double *angle) noexcept nogil:
    """The angle at the start of epoch n in [0, 2 pi], and the whole turns as the result."""
    cdef uint64_t places
    cdef int64_t turns = sp_advance(f.whole, f.high, f.low, n, &places)
    angle[0] = <double> (places >> 11) * 1.1102230246251565e-16 * TWO_PI()
    return turns


cdef inline double rotation_at(const Frame *f, int64_t epoch, Pair t) noexcept nogil:
    """alpha at any time t, up to whole turns."""
    cdef double angle = f.mantissa
    if t.n != epoch:
        rotation_epoch(f, t.n, &angle)
    return angle + f.scale * t.s


# The present ------------------------------------------------------------------------------------------------------

cdef inline void enter_epoch(Frame *f, int64_t n) noexcept nogil:
    """Move the frame to epoch n; `steps` tells how often states must be multiplied by 2^-64."""
    cdef int64_t shift
    f.steps = 0
    f.instant = -1
    if f.rotates:
        f.exponent = rotation_epoch(f, n, &f.mantissa)
        return
    shift = growth_shift(f)
    f.exponent = growth_epoch(f, n, &f.mantissa)
    f.steps = min((growth_shift(f) - shift) // SCALE_STEP, 40)
    f.start = ldexp(f.mantissa, <int> (f.exponent - growth_shift(f)))


cdef inline void enter_instant(Frame *f, Pair now, int64_t instant) noexcept nogil:
    """The frame's numbers at `now`, which lies in the frame's epoch."""
    cdef double alpha
    if f.instant == instant:
        return
    f.instant = instant
    if f.rotates:
        alpha = rotation_at(f, now.n, now)
        f.E = cos(alpha)
        f.sine = sin(alpha)
    elif f.couples:
        f.E = exp(now.s / f.scale)
        f.growth = exp(now.s / f.tau)
        f.sine = f.E * phi(f.tau, f.slope, now.s) if f.near else f.gain * f.growth
        f.decay = 1.0 / f.E
        f.psi = f.sine * f.decay
    else:
        f.E = growth_at(f, now.n, now)


cdef inline void make_moments(const Frame *f, const double *s, int64_t n, Moments *c) noexcept nogil:
    """The numbers of a frame that couples at times in its epoch, as by `enter_instant`."""
    cdef int64_t k
    for k in range(n):
        c.E[k] = s[k] / f.scale
        c.growth[k] = s[k] / f.tau
    exp_many(c.E, c.E, n)
    exp_many(c.growth, c.growth, n)
    if f.near:
        for k in range(n):
            c.sine[k] = c.E[k] * phi(f.tau, f.slope, s[k])
    else:
        for k in range(n):
            c.sine[k] = f.gain * c.growth[k]


cdef inline void make_growths(const Frame *f, const double *s, int64_t n, double *E) noexcept nogil:
    """E of a frame that neither rotates nor couples, likewise."""
    cdef int64_t k
    for k in range(n):
        E[k] = s[k] / f.scale
    exp_many(E, E, n)
    for k in range(n):
        E[k] = f.start * E[k]


cdef inline void enter_moment(Frame *f, const Moments *c, int64_t k, int64_t instant) noexcept nogil:
    """`enter_instant` at the k-th of these times."""
    f.instant = instant
    f.E, f.growth, f.sine = c.E[k], c.growth[k], c.sine[k]
    f.decay = 1.0 / f.E
    f.psi = f.sine * f.decay


cdef inline double phi(double tau, double slope, double u) noexcept nogil:
    """Minus the convolution of two exponentials with nearly equal time constants, times exp(u / tau)."""
    cdef double z = slope * u
    if u > 700.0 * tau:
        return 0.0
    return -(u / tau) * (expm1(z) / z if z != 0.0 else 1.0)


cdef inline double decay_after(const Frame *f, double u) noexcept nogil:
    """exp(-u / scale) of a frame that couples."""
    cdef Frame *memory = <Frame *> f
    if memory.decay_u != u:
        memory.decay_u, memory.decay_by_scale = u, exp(-u / f.scale)
    return memory.decay_by_scale


cdef inline double shrink_after(const Frame *f, double u) noexcept nogil:
    """exp(-u / tau) of a frame that couples."""
    cdef Frame *memory = <Frame *> f
    if memory.shrink_u != u:
        memory.shrink_u, memory.shrink_by_tau = u, exp(-u / f.tau)
    return memory.shrink_by_tau


cdef inline void place_edge(Frame *f, int64_t epoch, Pair edge, double ahead, double H) noexcept nogil:
    """The frame's numbers at the window's edge, which is `ahead` ms after the present.

    (Not only the window's length: one that begins behind a gap is further away than it is long, and a kick in the gap
    can bring a neuron to fire in all that time.)
    """
    cdef double alpha
    if f.couples:
        alpha = <double> (edge.n - epoch) * H + edge.s
        f.edge_is_far = not (alpha < 30.0 * f.tau and alpha < 300.0 * f.scale)
        if not f.edge_is_far:
            f.edge_E = exp(alpha / f.tau)
            f.edge_decay = exp(-alpha / f.scale)
            f.edge_psi = phi(f.tau, f.slope, alpha) if f.near else f.gain * f.edge_E * f.edge_decay
        else:
            f.edge_E = f.edge_decay = f.edge_psi = 0.0
        return
    if f.rotates:
        alpha = rotation_at(f, epoch, edge)
        f.edge_E = cos(alpha)
        f.edge_sine = sin(alpha)
        f.edge_is_far = not (f.scale * ahead < 1.5)
    else:
        f.edge_E = growth_at(f, epoch, edge) * (1.0 + ROUNDING)


cdef inline bint same_frame(const Frame *f, const Frame *g) noexcept nogil:
    """Whether both are the same function of time."""
    return (f.rotates == g.rotates and f.scale == g.scale and f.whole == g.whole and f.high == g.high
            and f.low == g.low)


# From a value back to the time at which the frame takes it ----------------------------------------------------------

cdef inline double offset(const Frame *f, bint rotates, double value, int64_t anchor, int64_t epoch,
                          int64_t n) noexcept nogil:
    """The s, any real number, for which E(n, s) = value 2^anchor, or alpha(n, s) = value + 2 pi anchor."""
    cdef double mantissa = f.mantissa
    cdef int64_t exponent = f.exponent
    if n != epoch:
        exponent = rotation_epoch(f, n, &mantissa) if rotates else growth_epoch(f, n, &mantissa)
    if rotates:
        return ((value - mantissa) + TWO_PI() * <double> (anchor - exponent)) / f.scale
    return f.scale * log(scaled(value / mantissa, anchor - exponent))


cdef inline Pair locate(const Frame *f, bint rotates, double value, int64_t anchor, int64_t epoch,
                        double H) noexcept nogil:
    """The pair at which E = value 2^anchor or alpha = value + 2 pi anchor; the present epoch is only a start.

    Its n is the smallest one for which s < H, and s is at least 0: a pure function of value and anchor. `never`
    where that is beyond the largest time, or value is infinite.
    """
    cdef Pair t
    cdef double earlier
    # s is rounded relative to H and to the frame's time scale, which may be much longer.
    cdef double margin = ROUNDING * (H + (1.0 / f.scale if rotates else f.scale))
    t.n = epoch
    t.s = offset(f, rotates, value, anchor, epoch, epoch)
    if not (0.0 <= t.s < H):
        if not (t.s < H * <double> MAX_EPOCH):
            return never()
        t.n += <int64_t> floor(t.s / H)
        if t.n < 0:
            t.n = 0
        t.s = offset(f, rotates, value, anchor, epoch, t.n)
        while t.s >= H:
            t.n += <int64_t> floor(t.s / H)
            t.s = offset(f, rotates, value, anchor, epoch, t.n)
    # Within rounding of an epoch's start the epoch before may still hold it: the smallest n counts.
    while t.s < margin and t.n > 0:
        earlier = offset(f, rotates, value, anchor, epoch, t.n - 1)
        if earlier >= H:
            break
        t.n -= 1
        t.s = earlier
    if t.s < 0.0:
        t.s = 0.0
    return t


cdef inline Pair growth_time(const Frame *f, double value, int64_t power, int64_t epoch, double H) noexcept nogil:
    """The pair at which E, with the present epoch's power of two taken out, is value 2^power."""
    return locate(f, False, value, growth_shift(f) + power, epoch, H)


cdef inline Pair rotation_time(const Frame *f, double beta, Pair since, int64_t epoch, double H) noexcept nogil:
    """The pair at which alpha = beta modulo 2 pi, from a quarter turn before `since` to three quarters after."""
    cdef double angle = f.mantissa
    cdef int64_t turns = f.exponent
    if since.n != epoch:
        turns = rotation_epoch(f, since.n, &angle)
    turns -= <int64_t> floor((beta - (angle + f.scale * since.s)) / TWO_PI() + 0.25)
    return locate(f, True, beta, turns, epoch, H)
