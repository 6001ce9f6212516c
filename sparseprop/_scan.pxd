"""The hot loops over plain arrays, in C: scans of all states, and kicks of one row of targets.

The scans only compare, so the wider registers that are chosen at run time give the same bits.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <math.h>

    #if defined(__x86_64__) && defined(__GNUC__)
    #define SP_WIDE
    #include <immintrin.h>
    #endif

    /* How far ahead of the target that is kicked memory is asked for. */
    #define SP_AHEAD 24

    /* Which of x[0..n) are at or below `bound`: their indices into `found`; returns how many.
       And which of the vectors (x[2i], x[2i + 1]) have a x[2i] + b x[2i + 1] <= margin (|x[2i]| + |x[2i + 1]|). */
    static int64_t sp_find_below_plain(const double *x, int64_t i, int64_t n, double bound, int32_t *found) {
        int64_t count = 0;
        for (; i < n; i++)
            if (x[i] <= bound)
                found[count++] = (int32_t)i;
        return count;
    }

    static int64_t sp_find_turned_plain(const double *x, int64_t i, int64_t n, double a, double b, double margin,
                                        int32_t *found) {
        int64_t count = 0;
        for (; i < n; i++) {
            double p = x[2 * i], q = x[2 * i + 1];
            if (a * p + b * q <= margin * (fabs(p) + fabs(q)))
                found[count++] = (int32_t)i;
        }
        return count;
    }

    #ifdef SP_WIDE
    static inline int64_t sp_take_bits(uint32_t bits, int64_t first, int32_t *found) {
        int64_t count = 0;
        for (; bits; bits &= bits - 1)
            found[count++] = (int32_t)(first + __builtin_ctz(bits));
        return count;
    }

    __attribute__((target("avx512f")))
    static int64_t sp_find_below_512(const double *x, int64_t n, double bound, int32_t *found) {
        int64_t i = 0, count = 0;
        __m512d limit = _mm512_set1_pd(bound);
        for (; i + 32 <= n; i += 32) {
            uint32_t bits = 0;
            for (int k = 0; k < 4; k++)
                bits |= (uint32_t)_mm512_cmp_pd_mask(_mm512_loadu_pd(x + i + 8 * k), limit, _CMP_LE_OQ) << 8 * k;
            if (bits)
                count += sp_take_bits(bits, i, found + count);
        }
        return count + sp_find_below_plain(x, i, n, bound, found + count);
    }

    __attribute__((target("avx2")))
    static int64_t sp_find_below_256(const double *x, int64_t n, double bound, int32_t *found) {
        int64_t i = 0, count = 0;
        __m256d limit = _mm256_set1_pd(bound);
        for (; i + 32 <= n; i += 32) {
            uint32_t bits = 0;
            for (int k = 0; k < 8; k++)
                bits |= (uint32_t)_mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(x + i + 4 * k), limit, _CMP_LE_OQ))
                        << 4 * k;
            if (bits)
                count += sp_take_bits(bits, i, found + count);
        }
        return count + sp_find_below_plain(x, i, n, bound, found + count);
    }

    __attribute__((target("avx512f")))
    static int64_t sp_find_turned_512(const double *x, int64_t n, double a, double b, double margin, int32_t *found) {
        int64_t i = 0, count = 0;
        const __m512d as = _mm512_set1_pd(a), bs = _mm512_set1_pd(b), margins = _mm512_set1_pd(margin);
        const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
        const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
        for (; i + 32 <= n; i += 32) {
            uint32_t bits = 0;
            for (int k = 0; k < 4; k++) {
                __m512d low = _mm512_loadu_pd(x + 2 * (i + 8 * k)), high = _mm512_loadu_pd(x + 2 * (i + 8 * k) + 8);
                __m512d p = _mm512_permutex2var_pd(low, even, high), q = _mm512_permutex2var_pd(low, odd, high);
                __m512d across = _mm512_add_pd(_mm512_mul_pd(as, p), _mm512_mul_pd(bs, q));
                __m512d size = _mm512_add_pd(_mm512_abs_pd(p), _mm512_abs_pd(q));
                bits |= (uint32_t)_mm512_cmp_pd_mask(across, _mm512_mul_pd(margins, size), _CMP_LE_OQ) << 8 * k;
            }
            if (bits)
                count += sp_take_bits(bits, i, found + count);
        }
        return count + sp_find_turned_plain(x, i, n, a, b, margin, found + count);
    }

    __attribute__((target("avx2")))
    static int64_t sp_find_turned_256(const double *x, int64_t n, double a, double b, double margin, int32_t *found) {
        int64_t i = 0, count = 0;
        const __m256d as = _mm256_set1_pd(a), bs = _mm256_set1_pd(b), margins = _mm256_set1_pd(margin);
        const __m256d sign = _mm256_set1_pd(-0.0);
        for (; i + 32 <= n; i += 32) {
            uint32_t bits = 0;
            for (int k = 0; k < 8; k++) {
                const double *v = x + 2 * (i + 4 * k);
                __m256d first = _mm256_loadu_pd(v), second = _mm256_loadu_pd(v + 4);
                __m256d low = _mm256_permute2f128_pd(first, second, 0x20);
                __m256d high = _mm256_permute2f128_pd(first, second, 0x31);
                __m256d p = _mm256_unpacklo_pd(low, high), q = _mm256_unpackhi_pd(low, high);
                __m256d across = _mm256_add_pd(_mm256_mul_pd(as, p), _mm256_mul_pd(bs, q));
                __m256d size = _mm256_add_pd(_mm256_andnot_pd(sign, p), _mm256_andnot_pd(sign, q));
                bits |= (uint32_t)_mm256_movemask_pd(_mm256_cmp_pd(across, _mm256_mul_pd(margins, size), _CMP_LE_OQ))
                        << 4 * k;
            }
            if (bits)
                count += sp_take_bits(bits, i, found + count);
        }
        return count + sp_find_turned_plain(x, i, n, a, b, margin, found + count);
    }
    #endif

    /* The widest registers of this processor: 2 for AVX-512, 1 for AVX2, else 0. Comparisons give the same bits in all. */
    static int sp_width(void) {
        static int width = -1;
        if (width < 0)
    #ifdef SP_WIDE
            width = __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx2") ? 1 : 0;
    #else
            width = 0;
    #endif
        return width;
    }

    static int64_t sp_find_below(const double *x, int64_t n, double bound, int32_t *found) {
    #ifdef SP_WIDE
        if (sp_width() == 2)
            return sp_find_below_512(x, n, bound, found);
        if (sp_width() == 1)
            return sp_find_below_256(x, n, bound, found);
    #endif
        return sp_find_below_plain(x, 0, n, bound, found);
    }

    static int64_t sp_find_turned(const double *x, int64_t n, double a, double b, double margin, int32_t *found) {
    #ifdef SP_WIDE
        if (sp_width() == 2)
            return sp_find_turned_512(x, n, a, b, margin, found);
        if (sp_width() == 1)
            return sp_find_turned_256(x, n, a, b, margin, found);
    #endif
        return sp_find_turned_plain(x, 0, n, a, b, margin, found);
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
