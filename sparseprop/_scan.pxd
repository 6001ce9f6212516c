"""The hot loops over plain arrays, in C: scans of all states, and kicks of one row of targets.

The scans only compare, so the wider registers that are chosen at run time give the same bits.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <math.h>

    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
    #define SP_DISPATCH __attribute__((target_clones("avx512f", "avx2", "default")))
    #else
    #define SP_DISPATCH
    #endif

    /* Neurons that are compared at once; flags of the width of a double, so that they need no repacking. */
    #define SP_BLOCK 32
    /* How far ahead of the target that is kicked memory is asked for. */
    #define SP_AHEAD 24

    /* Which of x[0..n) are at or below `bound`: their indices into `found`; returns how many. */
    SP_DISPATCH
    static int64_t sp_find_below(const double *x, int64_t n, double bound, int32_t *found) {
        int64_t i = 0, count = 0;
        for (; i + SP_BLOCK <= n; i += SP_BLOCK) {
            int64_t any = 0;
            for (int k = 0; k < SP_BLOCK; k++)
                any |= x[i + k] <= bound;
            if (any)
                for (int k = 0; k < SP_BLOCK; k++) {
                    found[count] = (int32_t)(i + k);
                    count += x[i + k] <= bound;
                }
        }
        for (; i < n; i++)
            if (x[i] <= bound)
                found[count++] = (int32_t)i;
        return count;
    }

    /* Which of the vectors (x[2i], x[2i + 1]) have a x[2i] + b x[2i + 1] <= margin (|x[2i]| + |x[2i + 1]|). */
    SP_DISPATCH
    static int64_t sp_find_turned(const double *x, int64_t n, double a, double b, double margin, int32_t *found) {
        int64_t i = 0, count = 0;
        for (; i + SP_BLOCK <= n; i += SP_BLOCK) {
            int64_t any = 0;
            for (int k = 0; k < SP_BLOCK; k++) {
                double p = x[2 * (i + k)], q = x[2 * (i + k) + 1];
                any |= a * p + b * q <= margin * (fabs(p) + fabs(q));
            }
            if (any)
                for (int k = 0; k < SP_BLOCK; k++) {
                    double p = x[2 * (i + k)], q = x[2 * (i + k) + 1];
                    found[count] = (int32_t)(i + k);
                    count += a * p + b * q <= margin * (fabs(p) + fabs(q));
                }
        }
        for (; i < n; i++) {
            double p = x[2 * i], q = x[2 * i + 1];
            if (a * p + b * q <= margin * (fabs(p) + fabs(q)))
                found[count++] = (int32_t)i;
        }
        return count;
    }

    /* x[target] -= d for each target; `far` where x is larger than the caches near the core. */
    static inline void sp_subtract(double *x, const int32_t *targets, int64_t count, double d, int far) {
        int64_t k = 0;
        for (; far && k + SP_AHEAD < count; k++) {
            __builtin_prefetch(&x[targets[k + SP_AHEAD]], 1);
            x[targets[k]] -= d;
        }
        for (; k < count; k++)
            x[targets[k]] -= d;
    }

    /* LIF kicks of a row, x[target] -= w E. Neurons that excitation brought to or below `bound` go into `found`, the
       result is how many. Targets with their bit set may be refractory: not kicked, their places in the row go into
       `held`. With constants for weights and bits the compiler leaves out what is not needed. */
    static inline __attribute__((always_inline)) int64_t sp_kick_row(
        double *x, const int32_t *targets, const double *weights, double weight, int64_t count, double E, double bound,
        const uint8_t *bits, int far, int32_t *found, int32_t *held, int64_t *n_held) {
        int64_t k, n = 0, m = 0;
        for (k = 0; k < count; k++) {
            int32_t i = targets[k];
            double w = weights ? weights[k] : weight, kicked;
            if (far && k + SP_AHEAD < count)
                __builtin_prefetch(&x[targets[k + SP_AHEAD]], 1);
            if (bits && (bits[i >> 3] >> (i & 7)) & 1) {
                held[m++] = (int32_t)k;
                continue;
            }
            kicked = x[i] - w * E;
            x[i] = kicked;
            found[n] = i;
            n += (w > 0.0) & (kicked <= bound);
        }
        *n_held = m;
        return n;
    }

    static int64_t sp_kicks(double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
                            double E, double bound, const uint8_t *bits, int far, int32_t *found, int32_t *held,
                            int64_t *n_held) {
        if (weights && bits)
            return sp_kick_row(x, targets, weights, weight, count, E, bound, bits, far, found, held, n_held);
        if (weights)
            return sp_kick_row(x, targets, weights, weight, count, E, bound, NULL, far, found, held, n_held);
        if (bits)
            return sp_kick_row(x, targets, NULL, weight, count, E, bound, bits, far, found, held, n_held);
        return sp_kick_row(x, targets, NULL, weight, count, E, bound, NULL, far, found, held, n_held);
    }

    /* Kicks of rotating vectors: v += c (p cos - q sin) (sin, cos). The length may drift out of [low, high], where
       a power of two must be taken out: returns how many targets were kicked before the first that does. */
    static inline int64_t sp_turn(double *x, const int32_t *targets, int64_t count, double c, double cosine,
                                  double sine, double low, double high) {
        int64_t k;
        for (k = 0; k < count; k++) {
            double *v = x + 2 * (int64_t)targets[k];
            double p = v[0], q = v[1];
            double d = c * (p * cosine - q * sine);
            if (k + SP_AHEAD < count)
                __builtin_prefetch(x + 2 * (int64_t)targets[k + SP_AHEAD], 1);
            p += d * sine;
            q += d * cosine;
            double size = fabs(p) + fabs(q);
            if (!(size >= low && size <= high))
                return k;
            v[0] = p;
            v[1] = q;
        }
        return count;
    }

    /* Neurons with one exponential current, four doubles each: epoch, s, x, a; see _lifexp.pxd. */
    struct sp_coupled {
        double epoch, s;                        /* the present */
        double E, reach, psi, growth, decay;    /* of the current's frame, now */
        double edge_E, edge_psi, edge_decay;    /* and at the window's edge */
        double gap;
        double x_factor, cross, a_factor;       /* to the present epoch from the one before: x' = x f + a cross */
    };

    static inline __attribute__((always_inline)) int64_t sp_may_reach(
        const double *v, const struct sp_coupled f, double span, double bound, double least) {
        const double tiny = 1.8189894035458565e-12;
        int64_t fresh = v[0] == f.epoch, known = fresh | (v[0] == f.epoch - 1.0);
        double a = v[3] * (fresh ? 1.0 : f.a_factor), x = v[2] * (fresh ? 1.0 : f.x_factor);
        x += v[3] * (fresh ? 0.0 : f.cross);
        double part = a * f.edge_psi, late = a * f.edge_decay, early = a * f.decay;
        double low = f.gap + (late < early ? late : early);
        low = low < 0.0 ? low : 0.0;
        return !known
               | (x + part - bound + low * span <= tiny * (fabs(x) + fabs(part) + f.edge_E * fabs(early)) + least);
    }

    /* Which may reach threshold before the edge, with a margin; those of older epochs count as such. */
    SP_DISPATCH
    static int64_t sp_find_coupled(const double *x, int64_t n, const struct sp_coupled *shared, int32_t *found) {
        const struct sp_coupled f = *shared;
        const double span = f.edge_E - f.growth, bound = f.gap * f.edge_E;
        const double least = 1.8189894035458565e-12 * fabs(bound);
        int64_t i = 0, count = 0;
    #define SP_MAY(v) sp_may_reach(v, f, span, bound, least)
        for (; i + SP_BLOCK <= n; i += SP_BLOCK) {
            int64_t any = 0;
            for (int k = 0; k < SP_BLOCK; k++)
                any |= SP_MAY(x + 4 * (i + k));
            if (any)
                for (int k = 0; k < SP_BLOCK; k++) {
                    found[count] = (int32_t)(i + k);
                    count += SP_MAY(x + 4 * (i + k));
                }
        }
        for (; i < n; i++)
            if (SP_MAY(x + 4 * i))
                found[count++] = (int32_t)i;
        return count;
    #undef SP_MAY
    }

    /* Kicks of a row. Those after which the next spike may be earlier than before go into `found`, the result is how
       many. Targets with their bit set may be refractory: not kicked, nor are those of another epoch; their places in
       the row go into `held`. */
    static inline __attribute__((always_inline)) int64_t sp_couple_row(
        double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
        const struct sp_coupled *f, const uint8_t *bits, int32_t *found, int32_t *held, int64_t *n_held) {
        const double epoch = f->epoch, s = f->s, E = f->E, reach = f->reach, psi = f->psi, growth = f->growth;
        const double bound = f->gap * growth, least = 9.5367431640625e-07 * fabs(bound);
        int64_t k, n = 0, m = 0;
        for (k = 0; k < count && k < SP_AHEAD; k++)
            __builtin_prefetch(x + 4 * (int64_t)targets[k], 1);
        for (k = 0; k < count; k++) {
            int32_t i = targets[k];
            double *v = x + 4 * (int64_t)i, w = weights ? weights[k] : weight, a, part, room;
            if (k + SP_AHEAD < count)
                __builtin_prefetch(x + 4 * (int64_t)targets[k + SP_AHEAD], 1);
            if (v[0] != epoch || (bits && (bits[i >> 3] >> (i & 7)) & 1)) {
                held[m++] = (int32_t)k;
                continue;
            }
            v[1] = s;
            v[2] = v[2] - w * reach;
            v[3] = a = v[3] + w * E;
            part = a * psi;
            room = 9.5367431640625e-07 * (fabs(v[2]) + fabs(part)) + least;
            found[n] = i;
            n += (w > 0.0) | (v[2] + part - bound <= room) | (fabs(w * reach) <= room);
        }
        *n_held = m;
        return n;
    }

    static int64_t sp_couple(double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
                             const struct sp_coupled *f, const uint8_t *bits, int32_t *found, int32_t *held,
                             int64_t *n_held) {
        if (weights && bits)
            return sp_couple_row(x, targets, weights, weight, count, f, bits, found, held, n_held);
        if (weights)
            return sp_couple_row(x, targets, weights, weight, count, f, NULL, found, held, n_held);
        if (bits)
            return sp_couple_row(x, targets, NULL, weight, count, f, bits, found, held, n_held);
        return sp_couple_row(x, targets, NULL, weight, count, f, NULL, found, held, n_held);
    }

    static inline void sp_prefetch(const void *start, int64_t bytes) {
        for (int64_t k = 0; k < bytes; k += 64)
            __builtin_prefetch((const char *)start + k);
    }
    """
    int64_t find_below "sp_find_below"(const double *x, int64_t n, double bound, int32_t *found) noexcept nogil
    int64_t find_turned "sp_find_turned"(const double *x, int64_t n, double a, double b, double margin,
                                         int32_t *found) noexcept nogil
    void subtract "sp_subtract"(double *x, const int32_t *targets, int64_t count, double d, bint far) noexcept nogil
    int64_t kick_row "sp_kicks"(double *x, const int32_t *targets, const double *weights, double weight,
                                int64_t count, double E, double bound, const uint8_t *bits, bint far, int32_t *found,
                                int32_t *held, int64_t *n_held) noexcept nogil
    int64_t turn "sp_turn"(double *x, const int32_t *targets, int64_t count, double c, double cosine, double sine,
                           double low, double high) noexcept nogil
    struct Coupled "sp_coupled":
        double epoch, s, E, reach, psi, growth, decay, edge_E, edge_psi, edge_decay, gap, x_factor, cross, a_factor
    int64_t find_coupled "sp_find_coupled"(const double *x, int64_t n, const Coupled *f, int32_t *found) noexcept nogil
    int64_t couple "sp_couple"(double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
                               const Coupled *f, const uint8_t *bits, int32_t *found, int32_t *held,
                               int64_t *n_held) noexcept nogil
    void prefetch "sp_prefetch"(const void *start, int64_t bytes) noexcept nogil
