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
    void prefetch "sp_prefetch"(const void *start, int64_t bytes) noexcept nogil
