"""The hot loops over plain arrays, in C: scans of all states, and kicks of one row of targets.

The scans only compare, so the wider registers that are chosen at run time give the same bits.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from sparseprop.numerics._constants cimport ROUNDING  # whose C names are used here

cdef extern from *:
    """
    #include <stdint.h>
    #include <math.h>
    #include "sparseprop/numerics/dispatch.h"

    #if defined(__x86_64__) && defined(__GNUC__)
    #define SP_WIDE
    #include <immintrin.h>
    #endif

    /* Neurons that are compared at once. */
    #define SP_BLOCK 32
    /* How far ahead of the target that is kicked memory is asked for. */
    #define SP_AHEAD 24
    #define SP_AHEAD_COUPLED 12

    /* Which of x[0..n) are at or below `bound`: their indices into `found`; returns how many.
       And which of the vectors (x[2i], x[2i + 1]) have a x[2i] + b x[2i + 1] <= margin (|x[2i]| + |x[2i + 1]|). */
    static int64_t sp_find_below_plain(const double *x, int64_t i, int64_t n, double bound, int32_t *found) {
        int64_t count = 0;
        for (; i < n; i++)
            if (x[i] <= bound)
                found[count++] = (int32_t)i;
        return count;
    }

    /* x[i] <= bounds[i]; without a branch where a bound is met often. */
    static int64_t sp_find_below_each_plain(const double *x, const double *bounds, int64_t i, int64_t n,
                                            int32_t *found) {
        int64_t count = 0;
        for (; i < n; i++) {
            found[count] = (int32_t)i;
            count += x[i] <= bounds[i];
        }
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

    __attribute__((target("avx2")))
    static int64_t sp_find_below_each_256(const double *x, const double *bounds, int64_t n, int32_t *found) {
        int64_t i = 0, count = 0;
        for (; i + 32 <= n; i += 32) {
            uint32_t bits = 0;
            for (int k = 0; k < 8; k++)
                bits |= (uint32_t)_mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(x + i + 4 * k),
                                                                   _mm256_loadu_pd(bounds + i + 4 * k), _CMP_LE_OQ))
                        << 4 * k;
            if (bits)
                count += sp_take_bits(bits, i, found + count);
        }
        return count + sp_find_below_each_plain(x, bounds, i, n, found + count);
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

    /* The widest registers of this processor: 2 for AVX-512, 1 for AVX2, else 0. Scans only compare, so they find the
       same with all. */
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

    static int64_t sp_find_below(int width, const double *x, int64_t n, double bound, int32_t *found) {
    #ifdef SP_WIDE
        if (width == 2)
            return sp_find_below_512(x, n, bound, found);
        if (width == 1)
            return sp_find_below_256(x, n, bound, found);
    #endif
        return sp_find_below_plain(x, 0, n, bound, found);
    }

    static int64_t sp_find_below_each(int width, const double *x, const double *bounds, int64_t n, int32_t *found) {
    #ifdef SP_WIDE
        if (width)
            return sp_find_below_each_256(x, bounds, n, found);
    #endif
        return sp_find_below_each_plain(x, bounds, 0, n, found);
    }

    static int64_t sp_find_turned(int width, const double *x, int64_t n, double a, double b, double margin,
                                  int32_t *found) {
    #ifdef SP_WIDE
        if (width == 2)
            return sp_find_turned_512(x, n, a, b, margin, found);
        if (width == 1)
            return sp_find_turned_256(x, n, a, b, margin, found);
    #endif
        return sp_find_turned_plain(x, 0, n, a, b, margin, found);
    }

    /* x[target] -= d for each target; `far` where x is larger than the caches near the core. */
    static inline void sp_subtract(double *x, const int32_t *targets, int64_t count, double d, int far) {
        int64_t k = 0;
        if (far) {
    #pragma GCC unroll 4
            for (; k + SP_AHEAD < count; k++) {
                __builtin_prefetch(&x[targets[k + SP_AHEAD]], 1);
                x[targets[k]] -= d;
            }
        }
    #pragma GCC unroll 8
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

    typedef double sp_vector __attribute__((vector_size(16)));

    static inline sp_vector sp_turned(sp_vector v, double c, sp_vector seen, sp_vector direction) {
        sp_vector parts = v * seen;
        double d = c * (parts[0] - parts[1]);
        sp_vector step = {d, d};
        return v + step * direction;
    }

    /* Kicks of rotating vectors: v += c (p cos - q sin) (sin, cos). Their lengths drift; the caller knows how far. */
    static inline void sp_turn(double *x, const int32_t *targets, int64_t count, double c, double cosine, double sine) {
        const sp_vector seen = {cosine, sine}, direction = {sine, cosine};
        for (int64_t k = 0; k < count; k++) {
            sp_vector *v = (sp_vector *)x + targets[k];
            *v = sp_turned(*v, c, seen, direction);
        }
    }

    /* The same where x is larger than the caches near the core, which leaves time to look at each length: returns how
       many were kicked before the first whose length would leave [low, high]. */
    static inline int64_t sp_turn_far(double *x, const int32_t *targets, int64_t count, double c, double cosine,
                                      double sine, double low, double high) {
        const sp_vector seen = {cosine, sine}, direction = {sine, cosine};
        for (int64_t k = 0; k < count; k++) {
            sp_vector *v = (sp_vector *)x + targets[k], turned = sp_turned(*v, c, seen, direction);
            double size = fabs(turned[0]) + fabs(turned[1]);
            if (k + SP_AHEAD < count)
                __builtin_prefetch((sp_vector *)x + targets[k + SP_AHEAD], 1);
            if (!(size >= low && size <= high))
                return k;
            *v = turned;
        }
        return count;
    }

    /* Bring the lengths of vectors back into [low, high] by 2^100 or 2^-100; true if all are in range then. */
    SP_WIDEST
    static int sp_normalise(double *x, int64_t n, double low, double high) {
        int good = 1;
        for (int64_t i = 0; i < n; i += 64) {
            int64_t end = i + 64 < n ? i + 64 : n, out = 0;
            for (int64_t k = i; k < end; k++) {
                double size = fabs(x[2 * k]) + fabs(x[2 * k + 1]);
                out |= size < low || size > high;
            }
            for (int64_t k = i; out && k < end; k++) {
                double size = fabs(x[2 * k]) + fabs(x[2 * k + 1]);
                double factor = size > high ? SP_SMALL : size < low ? SP_LARGE : 1.0;
                x[2 * k] *= factor;
                x[2 * k + 1] *= factor;
                good &= size * factor >= low && size * factor <= high;
            }
        }
        return good;
    }

    /* Neurons with exponential currents: epoch, s, x and one number for each current; see _lifexp.pxd. */
    #define SP_PORTS 4
    struct sp_coupled {
        double epoch, s;                        /* the present */
        double growth, edge_E;                  /* of the membrane, now and at the window's edge */
        double E, reach;                        /* what a unit of weight adds to the kicked current and takes from x */
        double gap, x_factor;                   /* from the epoch before: x' = (x + sum of a phi) x_factor */
        double psi[SP_PORTS], decay[SP_PORTS];  /* by port: of the current's frame, now */
        double edge_psi[SP_PORTS], edge_decay[SP_PORTS];
        double phi[SP_PORTS], a_factor[SP_PORTS];  /* phi is 0 for ports that are not near */
        int64_t ports, port;                    /* how many; the one that is kicked */
        int64_t edge_is_far;                    /* so that what is of the edge does not hold */
    };

    /* Blocks are brought to the present epoch and to arrays by variable first: loads with a stride are slow in wide
       registers. */
    static inline __attribute__((always_inline)) int64_t sp_find_coupled_of(
        const double *x, int64_t n, const struct sp_coupled *f, const int ports, int32_t *found) {
        const double tiny = 2.0 * SP_ROUNDING, span = f->edge_E - f->growth, gap = f->gap, epoch = f->epoch;
        const double bound = gap * f->edge_E + tiny * fabs(gap * f->edge_E);
        double xs[SP_BLOCK], currents[SP_PORTS][SP_BLOCK];
        double part[SP_PORTS], early[SP_PORTS], late[SP_PORTS], size[SP_PORTS];
        int64_t i, k, count = 0, may[SP_BLOCK];
        for (int j = 0; j < ports; j++) {
            part[j] = f->edge_psi[j];
            early[j] = f->decay[j];
            late[j] = f->edge_decay[j];
            /* Twice what the present would need: a state that is moved here is rounded more often. */
            size[j] = 2.0 * tiny * (fabs(part[j]) + f->edge_E * early[j]);
        }
        for (i = 0; i < n; i += SP_BLOCK) {
            const int64_t m = n - i < SP_BLOCK ? n - i : SP_BLOCK;
            int64_t any = 0;
            const double *v = x + (3 + ports) * i;
            for (k = 0; k < m; k++, v += 3 + ports) {
                xs[k] = v[2];
                for (int j = 0; j < ports; j++)
                    currents[j][k] = v[3 + j];
                if (v[0] != epoch) {
                    for (int j = 0; j < ports; j++) {
                        xs[k] += v[3 + j] * f->phi[j];
                        currents[j][k] *= f->a_factor[j];
                    }
                    xs[k] = v[0] == epoch - 1.0 ? xs[k] * f->x_factor : -INFINITY;
                }
            }
            for (; k < SP_BLOCK; k++) {
                xs[k] = 0.0;
                for (int j = 0; j < ports; j++)
                    currents[j][k] = 0.0;
            }
            for (k = 0; k < SP_BLOCK; k++) {
                double value = xs[k], low = gap, room = 2.0 * tiny * fabs(value);
                for (int j = 0; j < ports; j++) {
                    const double a = currents[j][k], least = a * late[j], most = a * early[j];
                    low += least < most ? least : most;
                    value += a * part[j];
                    room += fabs(a) * size[j];
                }
                low = low < 0.0 ? low : 0.0;
                may[k] = value + low * span - room <= bound;
                any |= may[k];
            }
            for (k = 0; any && k < m; k++) {
                found[count] = (int32_t)(i + k);
                count += may[k];
            }
        }
        return count;
    }

    /* Which may reach threshold before the edge, with a margin; those of older epochs count as such. */
    SP_WIDEST
    static int64_t sp_find_coupled(const double *x, int64_t n, const struct sp_coupled *shared, int32_t *found) {
        switch (shared->ports) {
        case 1: return sp_find_coupled_of(x, n, shared, 1, found);
        case 2: return sp_find_coupled_of(x, n, shared, 2, found);
        case 3: return sp_find_coupled_of(x, n, shared, 3, found);
        default: return sp_find_coupled_of(x, n, shared, 4, found);
        }
    }

    /* Kicks of a row. Those after which the next spike may be earlier than before, and before the edge, go into
       `found`, the result is how many. Targets with their bit set may be refractory: not kicked, nor are those of older
       epochs than the one before; their places in the row go into `held`. With constants for ports, weights and bits
       the compiler leaves out what is not needed. */
    static inline __attribute__((always_inline)) int64_t sp_couple_row(
        double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
        const struct sp_coupled *f, const int ports, const uint8_t *bits, int32_t *found, int32_t *held,
        int64_t *n_held) {
        const double epoch = f->epoch, s = f->s, E = f->E, reach = f->reach;
        const double bound = f->gap * f->growth, least = SP_NEARLY * fabs(bound);
        const int64_t width = 3 + ports, port = 3 + (ports > 1 ? f->port : 0);
        int64_t k, n = 0, m = 0;
        const double x_factor = f->x_factor;
        /* At the edge: as in sp_find_coupled_of. */
        const double tiny = 2.0 * SP_ROUNDING, gap = f->gap, span = f->edge_E - f->growth;
        const double edge = gap * f->edge_E + tiny * fabs(gap * f->edge_E);
        const int far = f->edge_is_far != 0;
        double psi[SP_PORTS], phi[SP_PORTS], factors[SP_PORTS], part[SP_PORTS], early[SP_PORTS], late[SP_PORTS];
        double margin[SP_PORTS];
        int near[SP_PORTS];
        for (k = 0; k < ports; k++) {
            psi[k] = f->psi[k];
            phi[k] = f->phi[k];
            factors[k] = f->a_factor[k];
            near[k] = phi[k] != 0.0;
            part[k] = f->edge_psi[k];
            early[k] = f->decay[k];
            late[k] = f->edge_decay[k];
            margin[k] = 2.0 * tiny * (fabs(part[k]) + f->edge_E * early[k]);
        }
        /* A state may lie across two lines of the caches. */
        for (k = 0; k < count && k < SP_AHEAD_COUPLED; k++) {
            __builtin_prefetch(x + width * (int64_t)targets[k], 1);
            if (ports > 1)
                __builtin_prefetch(x + width * (int64_t)targets[k] + width - 1, 1);
        }
        for (k = 0; k < count; k++) {
            int32_t i = targets[k];
            double *v = x + width * (int64_t)i, w = weights ? weights[k] : weight, value, size, least_change;
            if (k + SP_AHEAD_COUPLED < count) {
                __builtin_prefetch(x + width * (int64_t)targets[k + SP_AHEAD_COUPLED], 1);
                if (ports > 1)
                    __builtin_prefetch(x + width * (int64_t)targets[k + SP_AHEAD_COUPLED] + width - 1, 1);
            }
            if (bits && (bits[i >> 3] >> (i & 7)) & 1) {
                held[m++] = (int32_t)k;
                continue;
            }
            if (v[0] != epoch) {
                if (v[0] != epoch - 1.0) {
                    held[m++] = (int32_t)k;
                    continue;
                }
                /* As lifexp_move does it. */
                v[0] = epoch;
                for (int j = 0; j < ports; j++) {
                    if (near[j])
                        v[2] += v[3 + j] * phi[j];
                    v[3 + j] *= factors[j];
                }
                v[2] *= x_factor;
            }
            v[1] = s;
            value = v[2] - w * reach;
            v[2] = value;
            v[port] += w * E;
            found[n] = i;
            if (w > 0.0) {
                double room = 2.0 * tiny * fabs(value), low = gap;
                for (int j = 0; j < ports; j++) {
                    const double a = v[3 + j], least = a * late[j], most = a * early[j];
                    low += least < most ? least : most;
                    value += a * part[j];
                    room += fabs(a) * margin[j];
                }
                low = low < 0.0 ? low : 0.0;
                n += far | (value + low * span - room <= edge);
                continue;
            }
            size = fabs(value);
            for (int j = 0; j < ports; j++) {
                double now = v[3 + j] * psi[j];
                value += now;
                size += fabs(now);
            }
            value -= bound;
            least_change = fabs(w * reach);
            n += (value < least_change ? value : least_change) <= SP_NEARLY * size + least;
        }
        *n_held = m;
        return n;
    }

    static inline __attribute__((always_inline)) int64_t sp_couple_of(
        double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
        const struct sp_coupled *f, const int ports, const uint8_t *bits, int32_t *found, int32_t *held,
        int64_t *n_held) {
        if (weights && bits)
            return sp_couple_row(x, targets, weights, weight, count, f, ports, bits, found, held, n_held);
        if (weights)
            return sp_couple_row(x, targets, weights, weight, count, f, ports, NULL, found, held, n_held);
        if (bits)
            return sp_couple_row(x, targets, NULL, weight, count, f, ports, bits, found, held, n_held);
        return sp_couple_row(x, targets, NULL, weight, count, f, ports, NULL, found, held, n_held);
    }

    static int64_t sp_couple(double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
                             const struct sp_coupled *f, const uint8_t *bits, int32_t *found, int32_t *held,
                             int64_t *n_held) {
        switch (f->ports) {
        case 1: return sp_couple_of(x, targets, weights, weight, count, f, 1, bits, found, held, n_held);
        case 2: return sp_couple_of(x, targets, weights, weight, count, f, 2, bits, found, held, n_held);
        case 3: return sp_couple_of(x, targets, weights, weight, count, f, 3, bits, found, held, n_held);
        default: return sp_couple_of(x, targets, weights, weight, count, f, 4, bits, found, held, n_held);
        }
    }

    /* Where neurons differ in their gap, and unless `one` also in tau: `own` has the numbers of _lifexp.pxd. Time
       constants of ports are shared. */
    #define SP_OWN 8
    #define SP_GAIN 3

    /* From when this was made, `ahead` ms before the window's edge, to that. */
    struct sp_interval {
        double epoch, ahead, ports;
        double decay[SP_PORTS], edge_decay[SP_PORTS];
        double near[SP_PORTS], psi[SP_PORTS], edge_psi[SP_PORTS]; /* the latter two of near ports */
        double phi[SP_PORTS], a_factor[SP_PORTS];
    };

    /* Whether a neuron may reach threshold in it: as sp_find_coupled_of. `e` has the growth at the edge and at the
       beginning. A state that has changed since is traced back to the beginning. */
    static inline __attribute__((always_inline)) int sp_may_cross(
        const double *x, const double *own, const double *e, const struct sp_interval *f, const int ports) {
        const double tiny = 2.0 * SP_ROUNDING, gap = own[0], edge_E = e[0], bound = gap * edge_E;
        double value = x[2], low = gap, high = gap, size = fabs(gap), left, begin, room, current[SP_PORTS];
        for (int j = 0; j < ports; j++)
            current[j] = x[3 + j];
        if (x[0] != f->epoch) {
            if (x[0] != f->epoch - 1.0)
                return 1;
            for (int j = 0; j < ports; j++) {
                value += current[j] * f->phi[j];
                current[j] *= f->a_factor[j];
            }
            value *= own[2];
        }
        begin = fabs(value) + fabs(gap) * e[1];
        left = value - gap * e[1];
        room = fabs(value) + fabs(bound);
        for (int j = 0; j < ports; j++) {
            const double a = current[j], least = a * f->edge_decay[j], most = a * f->decay[j];
            const double part = f->near[j] != 0.0 ? f->edge_psi[j] : own[SP_GAIN + j] * edge_E * f->edge_decay[j];
            low += least < most ? least : most;
            value += a * part;
            room += 2.0 * fabs(a) * (fabs(part) + edge_E * f->decay[j]);
        }
        low = low < 0.0 ? low : 0.0;
        if (value + low * (edge_E - e[1]) - 2.0 * tiny * room > bound)
            return 0;
        /* Or the currents exceed the drive all the time, and V falls from below threshold. */
        for (int j = 0; j < ports; j++) {
            const double a = current[j], now = a * f->decay[j], later = a * f->edge_decay[j];
            const double part = a * (f->near[j] != 0.0 ? f->psi[j] : own[SP_GAIN + j] * e[1] * f->decay[j]);
            high += now > later ? now : later;
            size += fabs(now);
            left += part;
            begin += fabs(part);
        }
        return !(high <= -tiny * size && left > SP_NEARLY * begin);
    }

    static int64_t sp_find_each(const double *x, int64_t n, const double *own, const double *edges,
                                const struct sp_interval *f, int32_t *found) {
        const int ports = (int)f->ports;
        int64_t i, count = 0;
        for (i = 0; i < n; i++, x += 3 + ports, own += SP_OWN, edges += 2) {
            found[count] = (int32_t)i;
            count += ports == 1 ? sp_may_cross(x, own, edges, f, 1) : sp_may_cross(x, own, edges, f, ports);
        }
        return count;
    }

    static inline __attribute__((always_inline)) int64_t sp_couple_each_of(
        double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
        const struct sp_coupled *f, const int ports, const double *own, const double *growth, const int one,
        const uint8_t *bits, int32_t *found, int32_t *held, int64_t *n_held) {
        const struct sp_coupled shared = *f;
        const double epoch = shared.epoch, s = shared.s, E = shared.E;
        const int64_t width = 3 + ports, port = ports > 1 ? shared.port : 0;
        int64_t k, n = 0, m = 0;
        for (k = 0; k < count; k++) {
            __builtin_prefetch(x + width * (int64_t)targets[k], 1);
            if (ports > 1)
                __builtin_prefetch(x + width * (int64_t)targets[k] + width - 1, 1);
            __builtin_prefetch(own + SP_OWN * (int64_t)targets[k]);
        }
        for (k = 0; k < count; k++) {
            int32_t i = targets[k];
            const double *o = own + SP_OWN * (int64_t)i;
            double *v = x + width * (int64_t)i, w = weights ? weights[k] : weight, value, size, least_change;
            const double grown = growth[k], bound = o[0] * grown;
            const double reach = one ? shared.reach : o[SP_GAIN + port] * grown;
            if ((bits && (bits[i >> 3] >> (i & 7)) & 1) || !(fabs(w * reach) < SP_LARGEST_KICK) || o[0] == 0.0) {
                held[m++] = (int32_t)k;
                continue;
            }
            if (v[0] != epoch) {
                if (v[0] != epoch - 1.0) {
                    held[m++] = (int32_t)k;
                    continue;
                }
                /* As lifexp_move does it. */
                v[0] = epoch;
                for (int j = 0; j < ports; j++) {
                    if (shared.phi[j] != 0.0)
                        v[2] += v[3 + j] * shared.phi[j];
                    v[3 + j] *= shared.a_factor[j];
                }
                v[2] *= o[2];
            }
            v[1] = s;
            value = v[2] - w * reach;
            v[2] = value;
            v[3 + port] += w * E;
            size = fabs(value);
            for (int j = 0; j < ports; j++) {
                double part = v[3 + j] * (one ? shared.psi[j] : o[SP_GAIN + j] * grown * shared.decay[j]);
                value += part;
                size += fabs(part);
            }
            value -= bound;
            least_change = fabs(w * reach);
            found[n] = i;
            n += (w > 0.0) | ((value < least_change ? value : least_change) <= SP_NEARLY * (size + fabs(bound)));
        }
        *n_held = m;
        return n;
    }

    static int64_t sp_couple_each(double *x, const int32_t *targets, const double *weights, double weight,
                                  int64_t count, const struct sp_coupled *f, const double *own, const double *growth,
                                  int one, const uint8_t *bits, int32_t *found, int32_t *held, int64_t *n_held) {
        if (f->ports == 1)
            return sp_couple_each_of(x, targets, weights, weight, count, f, 1, own, growth, one, bits, found, held,
                                     n_held);
        if (f->ports == 2)
            return sp_couple_each_of(x, targets, weights, weight, count, f, 2, own, growth, one, bits, found, held,
                                     n_held);
        return sp_couple_each_of(x, targets, weights, weight, count, f, (int)f->ports, own, growth, one, bits, found,
                                 held, n_held);
    }

    static inline void sp_prefetch(const void *start, int64_t bytes) {
        for (int64_t k = 0; k < bytes; k += 64)
            __builtin_prefetch((const char *)start + k);
    }
    """
    int register_width "sp_width"() noexcept nogil
    int64_t find_below "sp_find_below"(int width, const double *x, int64_t n, double bound,
                                       int32_t *found) noexcept nogil
    int64_t find_below_each "sp_find_below_each"(int width, const double *x, const double *bounds, int64_t n,
                                                 int32_t *found) noexcept nogil
    int64_t find_turned "sp_find_turned"(int width, const double *x, int64_t n, double a, double b, double margin,
                                         int32_t *found) noexcept nogil
    void subtract "sp_subtract"(double *x, const int32_t *targets, int64_t count, double d, bint far) noexcept nogil
    int64_t kick_row "sp_kicks"(double *x, const int32_t *targets, const double *weights, double weight,
                                int64_t count, double E, double bound, const uint8_t *bits, bint far, int32_t *found,
                                int32_t *held, int64_t *n_held) noexcept nogil
    void turn "sp_turn"(double *x, const int32_t *targets, int64_t count, double c, double cosine,
                        double sine) noexcept nogil
    int64_t turn_far "sp_turn_far"(double *x, const int32_t *targets, int64_t count, double c, double cosine,
                                   double sine, double low, double high) noexcept nogil
    bint normalise "sp_normalise"(double *x, int64_t n, double low, double high) noexcept nogil
    struct Coupled "sp_coupled":
        double epoch, s, growth, edge_E, E, reach, gap, x_factor
        double psi[4]
        double decay[4]
        double edge_psi[4]
        double edge_decay[4]
        double phi[4]
        double a_factor[4]
        int64_t ports, port, edge_is_far
    int64_t find_coupled "sp_find_coupled"(const double *x, int64_t n, const Coupled *f, int32_t *found) noexcept nogil
    int64_t couple "sp_couple"(double *x, const int32_t *targets, const double *weights, double weight, int64_t count,
                               const Coupled *f, const uint8_t *bits, int32_t *found, int32_t *held,
                               int64_t *n_held) noexcept nogil
    ctypedef struct Interval "struct sp_interval":
        double epoch, ahead, ports
        double decay[4]
        double edge_decay[4]
        double near[4]
        double psi[4]
        double edge_psi[4]
        double phi[4]
        double a_factor[4]
    bint may_cross "sp_may_cross"(const double *x, const double *own, const double *e, const Interval *f,
                                  int ports) noexcept nogil
    int64_t find_each "sp_find_each"(const double *x, int64_t n, const double *own, const double *edges,
                                     const Interval *f, int32_t *found) noexcept nogil
    int64_t couple_each "sp_couple_each"(double *x, const int32_t *targets, const double *weights, double weight,
                                         int64_t count, const Coupled *shared, const double *own,
                                         const double *growth, bint one, const uint8_t *bits, int32_t *found,
                                         int32_t *held, int64_t *n_held) noexcept nogil
    void prefetch "sp_prefetch"(const void *start, int64_t bytes) noexcept nogil
