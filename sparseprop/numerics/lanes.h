/* Eight neurons side by side: their kicks into the order of time, and one after the other, without a branch.

   Lists are [slot][lane], so that what the eight do next lies together. Only sums, products, quotients and comparisons
   of single numbers: the wider registers that are chosen at run time give the same bits. */
#ifndef SPARSEPROP_LANES_H
#define SPARSEPROP_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "dispatch.h"
#include "elementary.h"

#define SP_LANES 8
#define SP_SLOT_BITS 7
#define SP_SLOTS (1 << SP_SLOT_BITS) /* the last one is for what is not there: a kick by 0 */
#define SP_NOTHING UINT32_MAX

/* A macro: gcc leaves out a function that only asks for memory. */
#define sp_ask(address) __builtin_prefetch(address)

/* A synapse of a row that is cut by blocks: a delay, and a place in the block. */
typedef struct {
    double delay;
    uint16_t target;
} __attribute__((packed)) sp_synapse;

/* The same with a weight, and a place in the row as it was before it was cut. */
typedef struct {
    sp_synapse synapse;
    double weight;
    int32_t place;
} __attribute__((packed)) sp_weighted_synapse;

#define SP_SYNAPSE_AT(row, width, k) ((const sp_synapse *)((row) + (width) * (int64_t)(k)))

/* Where the next arrival at neuron i goes in lists of `stride` slots; `counts` has all of them, also those for which
   there is no slot. */
#define SP_NEXT_SLOT(i)                            \
    const uint32_t count = counts[i];              \
    counts[i] = count + 1;                         \
    if (count >= stride)                           \
        continue;                                  \
    const int64_t at = (((i) / SP_LANES) * stride + count) * SP_LANES + (i) % SP_LANES

/* What arrives before `stop` of the synapses from `k` on to before `end`, in the order of delays, into lists. Returns
   the first of the others. */
__attribute__((noinline, unused)) static uint32_t sp_pull(const char *restrict row, uint32_t k, uint32_t end, double s,
                                                          double back, double begin, double stop,
                                                          uint32_t *restrict counts, int64_t stride,
                                                          double *restrict times, uint8_t *restrict kinds,
                                                          uint8_t kind) {
    for (; k < end; k++) {
        const sp_synapse *synapse = SP_SYNAPSE_AT(row, sizeof(sp_synapse), k);
        const double time = (s + synapse->delay) - back;
        const uint32_t i = synapse->target;
        if (!(time < stop))
            return k;
        SP_NEXT_SLOT(i);
        times[at] = time > begin ? time : begin;
        kinds[at] = kind;
    }
    return k;
}

/* The same into lists of weights: synapses of so many bytes have one each, or the one given. */
__attribute__((noinline, unused)) static uint32_t sp_pull_own(const char *restrict row, int64_t width, uint32_t k,
                                                              uint32_t end, double s, double back, double begin,
                                                              double stop, uint32_t *restrict counts, int64_t stride,
                                                              double *restrict times, double *restrict own,
                                                              double weight) {
    for (; k < end; k++) {
        const sp_synapse *synapse = SP_SYNAPSE_AT(row, width, k);
        const double time = (s + synapse->delay) - back;
        const uint32_t i = synapse->target;
        if (!(time < stop))
            return k;
        SP_NEXT_SLOT(i);
        times[at] = time > begin ? time : begin;
        own[at] = width == sizeof(sp_weighted_synapse) ? ((const sp_weighted_synapse *)synapse)->weight : weight;
    }
    return k;
}

/* Add what arrives along a row, with a weight for each synapse or one, to the sums of neurons from `first` on;
   those that had none are noted behind the `n` that did. Returns how many have one now. */
SP_UNUSED static int64_t sp_add_row(double *restrict sums, uint8_t *restrict has, int32_t *restrict noted, int64_t n,
                                    const int32_t *restrict targets, const double *restrict weights, double weight,
                                    int64_t count, int32_t first) {
    for (int64_t k = 0; k < count; k++) {
        const int32_t i = targets[k] - first;
        const uint64_t mask = -(uint64_t)has[i];
        uint64_t bits;
        double sum;
        /* No branch. -0.0 + w is w, whatever w is. */
        memcpy(&bits, sums + i, sizeof bits);
        bits = (bits & mask) | (~mask & UINT64_C(0x8000000000000000));
        memcpy(&sum, &bits, sizeof sum);
        sums[i] = sum + (weights ? weights[k] : weight);
        noted[n] = i;
        n += !has[i];
        has[i] = 1;
    }
    return n;
}

/* Kicks by these sums. Returns how many neurons were driven to x <= bound, which go into `found`. */
SP_UNUSED static int64_t sp_kick_sums(double *restrict x, const double *restrict sums, uint8_t *restrict has,
                                      const int32_t *restrict noted, int64_t n, double E, double bound,
                                      int32_t *restrict found) {
    int64_t m = 0;
    for (int64_t k = 0; k < n; k++) {
        const int32_t i = noted[k];
        const double y = x[i] - sums[i] * E;
        x[i] = y;
        has[i] = 0;
        found[m] = i;
        m += (sums[i] > 0.0) & (y <= bound);
    }
    return m;
}

/* Of eight neurons: which kicks come when (their times in 25 bits, which keep their order, and slots), what each takes
   from x, and the x up to which it drives. */
typedef struct {
    uint32_t keys[SP_SLOTS * SP_LANES];
    double steps[SP_SLOTS * SP_LANES];
    double bounds[SP_SLOTS * SP_LANES];
    double x[SP_LANES];
} __attribute__((aligned(64))) sp_group;

/* ---- what kicks do ---- */

/* E = start exp(s / tau) in a slice, and what is made of it. */
typedef struct {
    double begin, stop;             /* of the slice */
    double scale;                   /* from there on in 25 bits */
    double tau, start, gap, least;  /* bounds are gap E, and at least `least` */
    const double *weights;          /* by kind, at least 4 of them */
    int64_t n_kinds;
} sp_kicks_of;

/* Of `n_slots` slots, of which a lane has `counts`; `kinds` says which weight, or `own` has one for each. */
SP_WIDEST SP_UNUSED static void sp_prepare_plain(sp_group *restrict g, const double *restrict times,
                                                 const uint8_t *restrict kinds, const double *restrict own,
                                                 const uint32_t *restrict counts, int64_t n_slots,
                                                 const sp_kicks_of *f) {
    const int64_t n = n_slots * SP_LANES;
    const double begin = f->begin, tau = f->tau, start = f->start, gap = f->gap, least = f->least, scale = f->scale;
    for (int64_t i = 0; i < n; i++)
        g->bounds[i] = times[i] / tau;
    sp_exp_many(g->bounds, g->bounds, n);
    for (int64_t i = 0; i < n; i++)
        g->bounds[i] = start * g->bounds[i];
    for (int64_t i = 0; i < n; i++)
        g->steps[i] = (own ? own[i] : f->weights[kinds[i]]) * g->bounds[i];
    for (int64_t i = 0; i < n; i++) {
        const double bound = gap * g->bounds[i];
        g->bounds[i] = bound > least ? bound : least;
    }
    for (int64_t i = 0; i < n; i++)
        g->keys[i] = (uint32_t)(int32_t)((times[i] - begin) * scale) << SP_SLOT_BITS | (uint32_t)(i / SP_LANES);
    for (int l = 0; l < SP_LANES; l++)
        for (int64_t slot = counts[l]; slot < n_slots; slot++)
            g->keys[slot * SP_LANES + l] = SP_NOTHING;
}

#ifdef SP_AVX2
/* One of four numbers each, by the last two bits. */
typedef struct {
    __m256d even, odd;      /* numbers 0 and 1, and 2 and 3, twice */
} sp_four;

SP_AVX2 SP_MAIN void sp_set_four(sp_four *t, double a, double b, double c, double d) {
    t->even = _mm256_setr_pd(a, b, a, b);
    t->odd = _mm256_setr_pd(c, d, c, d);
}

#define SP_OF_FOUR(t, bits)                                                                  \
    _mm256_blendv_pd(_mm256_permutevar_pd((t).even, _mm256_slli_epi64(bits, 1)),             \
                     _mm256_permutevar_pd((t).odd, _mm256_slli_epi64(bits, 1)),              \
                     _mm256_castsi256_pd(_mm256_slli_epi64(bits, 62)))

/* The same for a slice so short that of the table of exp four numbers in a row are enough, from `first` on; and for at
   most four kinds. */
SP_AVX2 SP_MAIN void sp_prepare_short(sp_group *restrict g, const double *restrict times,
                                      const uint8_t *restrict kinds, const double *restrict own,
                                      const uint32_t *restrict counts, int64_t n_slots, const sp_kicks_of *f,
                                      uint64_t first) {
    const __m256d tau = _mm256_set1_pd(f->tau), start = _mm256_set1_pd(f->start), gap = _mm256_set1_pd(f->gap);
    const __m256d least = _mm256_set1_pd(f->least), begin = _mm256_set1_pd(f->begin), scale = _mm256_set1_pd(f->scale);
    const __m256i n_first = _mm256_set1_epi64x((int64_t)first);
    double high[4];
    sp_four weights, highs, lows;
    for (int k = 0; k < 4; k++)
        high[k] = sp_from_bits(sp_bits(sp_exp_high[(first + k) & 63]) + ((first + k) >> 6 << 52));
    sp_set_four(&highs, high[0], high[1], high[2], high[3]);
    sp_set_four(&lows, sp_exp_low[first & 63], sp_exp_low[(first + 1) & 63], sp_exp_low[(first + 2) & 63],
                sp_exp_low[(first + 3) & 63]);
    sp_set_four(&weights, f->weights[0], f->weights[1], f->weights[2], f->weights[3]);
    for (int half = 0; half < 2; half++) {
        const __m128i count = _mm_loadu_si128((const __m128i *)(counts + 4 * half));
        for (int64_t slot = 0; slot < n_slots; slot++) {
            const int64_t i = slot * SP_LANES + 4 * half;
            const __m256d t = _mm256_loadu_pd(times + i);
            /* As sp_exp_main. */
            const __m256d x = t / tau, shifted = x * SP_EXP_STEPS + SP_ROUND, k = shifted - SP_ROUND;
            const __m256d r = (x - k * SP_EXP_STEP_1) - k * SP_EXP_STEP_2, z = r * r;
            const __m256i n = _mm256_sub_epi64(_mm256_castpd_si256(shifted), n_first);
            const __m256d power = SP_OF_FOUR(highs, n), low = SP_OF_FOUR(lows, n);
            const __m256d growth = (r + low) + (z * (0.5 + r * SP_EXP_0) + (z * z) * (SP_EXP_1 + r * SP_EXP_2));
            const __m256d E = start * (power + power * growth);
            const __m128i here = _mm_set1_epi32((int32_t)slot);
            __m128i key = _mm256_cvttpd_epi32((t - begin) * scale);
            __m256d w;
            if (own)
                w = _mm256_loadu_pd(own + i);
            else {
                int32_t four;
                memcpy(&four, kinds + i, sizeof four);
                const __m256i kind = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
                w = SP_OF_FOUR(weights, kind);
            }
            _mm256_store_pd(g->steps + i, w * E);
            _mm256_store_pd(g->bounds + i, _mm256_max_pd(gap * E, least));
            key = _mm_or_si128(_mm_slli_epi32(key, SP_SLOT_BITS), here);
            key = _mm_or_si128(key, _mm_cmpeq_epi32(_mm_min_epu32(count, here), count));
            _mm_store_si128((__m128i *)(g->keys + i), key);
        }
    }
}

SP_AVX2 SP_UNUSED static void sp_prepare_kinds_256(sp_group *g, const double *times, const uint8_t *kinds,
                                                   const uint32_t *counts, int64_t n_slots, const sp_kicks_of *f,
                                                   uint64_t first) {
    sp_prepare_short(g, times, kinds, NULL, counts, n_slots, f, first);
}

SP_AVX2 SP_UNUSED static void sp_prepare_own_256(sp_group *g, const double *times, const double *own,
                                                 const uint32_t *counts, int64_t n_slots, const sp_kicks_of *f,
                                                 uint64_t first) {
    sp_prepare_short(g, times, NULL, own, counts, n_slots, f, first);
}
#endif

static inline void sp_prepare(sp_group *g, const double *times, const uint8_t *kinds, const double *own,
                              const uint32_t *counts, int64_t n_slots, const sp_kicks_of *f) {
    for (int l = 0; l < SP_LANES; l++) {
        g->steps[(SP_SLOTS - 1) * SP_LANES + l] = 0.0;
        g->bounds[(SP_SLOTS - 1) * SP_LANES + l] = -INFINITY;
    }
#ifdef SP_AVX2
    double rest;
    const uint64_t first = sp_exp_reduce(f->begin / f->tau, &rest), last = sp_exp_reduce(f->stop / f->tau, &rest);
    if (sp_has_avx2() && f->stop / f->tau < 690.0 && last - first < 4 && (own || f->n_kinds <= 4)) {
        if (own)
            sp_prepare_own_256(g, times, own, counts, n_slots, f, first);
        else
            sp_prepare_kinds_256(g, times, kinds, counts, n_slots, f, first);
        return;
    }
#endif
    sp_prepare_plain(g, times, kinds, own, counts, n_slots, f);
}

/* ---- order ---- */

typedef uint32_t sp_row __attribute__((vector_size(4 * SP_LANES)));

/* The lower numbers into a, the higher ones into b. */
SP_MAIN void sp_order(sp_row *a, sp_row *b) {
    const sp_row u = *a, v = *b, less = (sp_row)(u < v);
    *a = (u & less) | (v & ~less);
    *b = (v & less) | (u & ~less);
}

#ifdef SP_AVX2
SP_AVX2 SP_MAIN void sp_order_256(sp_row *a, sp_row *b) {
    const __m256i u = (__m256i)*a, v = (__m256i)*b;
    *a = (sp_row)_mm256_min_epu32(u, v);
    *b = (sp_row)_mm256_max_epu32(u, v);
}
#endif

/* Each lane of some rows in ascending order, with rows of SP_NOTHING up to a multiple of 8. Blocks of 8 rows are sorted
   in registers; then two runs become one: the rows of one are compared with those of the other from its end on, and so
   on within halves, down to blocks. Rows that are not there would come after all others. */
#define SP_SORT_LANES(name, attribute, order)                                                                 \
    attribute SP_UNUSED static void name(sp_row *rows, int64_t n_rows) {                                      \
        static const uint8_t sorted[19][2] = {{0, 1}, {2, 3}, {4, 5}, {6, 7}, {0, 2}, {1, 3}, {4, 6},         \
                                              {5, 7}, {1, 2}, {5, 6}, {0, 4}, {3, 7}, {1, 5}, {2, 6},         \
                                              {1, 4}, {3, 6}, {2, 4}, {3, 5}, {3, 4}};                        \
        static const uint8_t merged[12][2] = {{0, 4}, {1, 5}, {2, 6}, {3, 7}, {0, 2}, {1, 3},                 \
                                              {4, 6}, {5, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}};                \
        const int64_t n = (n_rows + 7) / 8;                                                                   \
        sp_row v[8];                                                                                          \
        memset(rows + n_rows, 0xff, (size_t)(8 * n - n_rows) * sizeof *rows);                                 \
        for (int64_t b = 0; b < n; b++)                                                                       \
            SP_BLOCK_OF_ROWS(b, sorted, 19, order)                                                            \
        for (int64_t run = 1; run < n; run *= 2)                                                              \
            for (int64_t g = 0; g + run < n; g += 2 * run) {                                                  \
                const int64_t end = g + 2 * run < n ? g + 2 * run : n, top = 8 * (g + 2 * run) - 1;           \
                for (int64_t i = top + 1 - 8 * end; i < 8 * run; i++)                                         \
                    order(&rows[8 * g + i], &rows[top - i]);                                                  \
                for (int64_t k = run / 2; k >= 1; k /= 2)                                                     \
                    for (int64_t b = g; b + k < end; b += (b + 1) & (k - 1) ? 1 : k + 1)                      \
                        for (int64_t i = 8 * b; i < 8 * b + 8; i++)                                           \
                            order(&rows[i], &rows[i + 8 * k]);                                                \
                for (int64_t b = g; b < end; b++)                                                             \
                    SP_BLOCK_OF_ROWS(b, merged, 12, order)                                                    \
            }                                                                                                 \
    }
#define SP_BLOCK_OF_ROWS(b, pairs, n_pairs, order)   \
    {                                                \
        _Pragma("GCC unroll 8")                      \
        for (int r = 0; r < 8; r++)                  \
            v[r] = rows[8 * (b) + r];                \
        _Pragma("GCC unroll 19")                     \
        for (int p = 0; p < n_pairs; p++)            \
            order(&v[pairs[p][0]], &v[pairs[p][1]]); \
        _Pragma("GCC unroll 8")                      \
        for (int r = 0; r < 8; r++)                  \
            rows[8 * (b) + r] = v[r];                \
    }

SP_SORT_LANES(sp_sort_rows_plain, , sp_order)
#ifdef SP_AVX2
SP_SORT_LANES(sp_sort_rows_256, SP_AVX2, sp_order_256)
#endif

static inline void sp_sort_lanes(sp_group *g, int64_t n_slots) {
#ifdef SP_AVX2
    if (sp_has_avx2()) {
        sp_sort_rows_256((sp_row *)g->keys, n_slots);
        return;
    }
#endif
    sp_sort_rows_plain((sp_row *)g->keys, n_slots);
}

/* ---- kicks ---- */

/* Lanes of which two keys have the same time, as bits. */
SP_WIDEST SP_UNUSED static uint32_t sp_tied_lanes(const sp_group *g, int64_t n_slots) {
    const uint32_t *keys = g->keys;
    uint32_t tied[SP_LANES] = {0}, all = 0;
    for (int64_t i = SP_LANES; i < n_slots * SP_LANES; i += SP_LANES)
        for (int l = 0; l < SP_LANES; l++)
            tied[l] |= ((keys[i + l] ^ keys[i + l - SP_LANES]) < SP_SLOTS) & (keys[i + l] != SP_NOTHING);
    for (int l = 0; l < SP_LANES; l++)
        all |= tied[l] << l;
    return all;
}

/* All kicks of all lanes; returns which lanes came to the bound of one, as bits. */
SP_UNUSED static uint32_t sp_kick_lanes(sp_group *g, int64_t n_slots) {
    const uint32_t *keys = g->keys;
    double y[SP_LANES];
    uint32_t hit[SP_LANES] = {0}, all = 0;
    memcpy(y, g->x, sizeof y);
    for (int64_t i = 0; i < n_slots; i++, keys += SP_LANES)
        for (int l = 0; l < SP_LANES; l++) {
            const uint32_t at = (keys[l] & (SP_SLOTS - 1)) * SP_LANES + (uint32_t)l;
            y[l] -= g->steps[at];
            hit[l] |= y[l] <= g->bounds[at];
        }
    memcpy(g->x, y, sizeof y);
    for (int l = 0; l < SP_LANES; l++)
        all |= hit[l] << l;
    return all;
}

#endif
