"""Eight neurons side by side: their kicks into the order of time, and one after the other, without a branch.

Lists are [slot][lane], so that what the eight do next lies together. Only sums, products and comparisons of single
numbers: the wider registers that are chosen at run time give the same bits.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>
    #include "sparseprop/numerics/dispatch.h"

    #define SP_LANES 8
    #define SP_SLOT_BITS 7
    #define SP_SLOTS (1 << SP_SLOT_BITS)    /* the last one is for what is not there: a kick by 0 */
    #define SP_NOTHING UINT32_MAX

    /* A macro: gcc leaves out a function that only asks for memory. */
    #define sp_ask(address) __builtin_prefetch(address)

    /* The k-th of numbers that may be anywhere in memory. */
    static inline double sp_number(const char *numbers, int64_t k) {
        double number;
        memcpy(&number, numbers + k * (int64_t)sizeof number, sizeof number);
        return number;
    }

    /* What arrives before `stop` of the synapses from `k` on to before `end`, in the order of delays, into lists of
       `stride` slots; `counts` has all of it. Returns the first of the others. */
    __attribute__((noinline))
    static uint32_t sp_pull(uint32_t k, uint32_t end, const char *restrict delays, const uint16_t *restrict targets,
                            double s, double back, double begin, double stop, uint32_t *restrict counts,
                            int64_t stride, double *restrict times, uint8_t *restrict kinds, uint8_t kind) {
        for (; k < end; k++) {
            const double time = (s + sp_number(delays, k)) - back;
            const uint32_t i = targets[k], count = counts[i];
            int64_t at;
            if (!(time < stop))
                return k;
            counts[i] = count + 1;
            if (count >= stride)
                continue;
            at = ((i / SP_LANES) * stride + count) * SP_LANES + i % SP_LANES;
            times[at] = time > begin ? time : begin;
            kinds[at] = kind;
        }
        return k;
    }

    /* The same with a weight for each synapse, or one. */
    __attribute__((noinline))
    static uint32_t sp_pull_own(uint32_t k, uint32_t end, const char *restrict delays,
                                const uint16_t *restrict targets, double s, double back, double begin, double stop,
                                uint32_t *restrict counts, int64_t stride, double *restrict times,
                                double *restrict own, const char *restrict weights, double weight) {
        for (; k < end; k++) {
            const double time = (s + sp_number(delays, k)) - back;
            const uint32_t i = targets[k], count = counts[i];
            int64_t at;
            if (!(time < stop))
                return k;
            counts[i] = count + 1;
            if (count >= stride)
                continue;
            at = ((i / SP_LANES) * stride + count) * SP_LANES + i % SP_LANES;
            times[at] = time > begin ? time : begin;
            own[at] = weights ? sp_number(weights, k) : weight;
        }
        return k;
    }

    /* Add what arrives along a row, with a weight for each synapse or one, to the sums of neurons from `first` on;
       those that had none are noted behind the `n` that did. Returns how many have one now. */
    static int64_t sp_add_row(double *restrict sums, uint8_t *restrict has, int32_t *restrict noted, int64_t n,
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
    static int64_t sp_kick_sums(double *restrict x, const double *restrict sums, uint8_t *restrict has,
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

    /* Batcher's networks for 8, 16, ... rows: which pairs of rows are compared. */
    static uint8_t sp_pairs[SP_SLOTS / 8 + 1][1480][2];
    static int32_t sp_n_pairs[SP_SLOTS / 8 + 1];

    static void sp_make_networks(void) {
        for (int c = 1; c <= SP_SLOTS / 8; c++) {
            int n = 0, rows = 8 * c;
            for (int p = 1; p < rows; p *= 2)
                for (int k = p; k >= 1; k /= 2)
                    for (int j = k % p; j + k < rows; j += 2 * k)
                        for (int i = 0; i < k && i + j + k < rows; i++)
                            if ((i + j) / (2 * p) == (i + j + k) / (2 * p)) {
                                sp_pairs[c][n][0] = (uint8_t)(i + j);
                                sp_pairs[c][n++][1] = (uint8_t)(i + j + k);
                            }
            sp_n_pairs[c] = n;
        }
    }

    /* Times in 25 bits, which keep their order, and slots. */
    SP_WIDEST
    static void sp_make_keys(uint32_t *keys, const double *times, int64_t n_slots, double begin, double scale) {
        for (int64_t i = 0; i < n_slots * SP_LANES; i++)
            keys[i] = (uint32_t)(int32_t)((times[i] - begin) * scale) << SP_SLOT_BITS | (uint32_t)(i / SP_LANES);
    }

    typedef uint32_t sp_row __attribute__((vector_size(4 * SP_LANES)));

    /* Each lane of `n_slots` rows in ascending order; lanes of fewer numbers end with SP_NOTHING. */
    SP_WIDEST
    static void sp_sort_lanes(uint32_t *keys, int64_t n_slots) {
        const int64_t c = (n_slots + 7) / 8;
        const uint8_t (*p)[2] = sp_pairs[c], (*end)[2] = p + sp_n_pairs[c];
        for (int64_t i = n_slots * SP_LANES; i < c * 8 * SP_LANES; i++)
            keys[i] = SP_NOTHING;
        for (; p < end; p++) {
            uint32_t *a = keys + (*p)[0] * SP_LANES, *b = keys + (*p)[1] * SP_LANES;
            sp_row u, v, low, high;     /* arrays are not made wide */
            memcpy(&u, a, sizeof u);
            memcpy(&v, b, sizeof v);
            for (int l = 0; l < SP_LANES; l++) {
                low[l] = u[l] < v[l] ? u[l] : v[l];
                high[l] = u[l] < v[l] ? v[l] : u[l];
            }
            memcpy(a, &low, sizeof u);
            memcpy(b, &high, sizeof v);
        }
    }

    /* Lanes of which two keys have the same time, as bits. */
    SP_WIDEST
    static uint32_t sp_tied_lanes(const uint32_t *keys, int64_t n_slots) {
        uint32_t tied[SP_LANES] = {0}, all = 0;
        for (int64_t i = SP_LANES; i < n_slots * SP_LANES; i += SP_LANES)
            for (int l = 0; l < SP_LANES; l++)
                tied[l] |= ((keys[i + l] ^ keys[i + l - SP_LANES]) < SP_SLOTS) & (keys[i + l] != SP_NOTHING);
        for (int l = 0; l < SP_LANES; l++)
            all |= tied[l] << l;
        return all;
    }

    /* What each kick takes from x, and the x up to which it drives, in place of exponentials. `kinds` says which
       weight, or `own` has one for each. The last slot takes nothing. */
    SP_WIDEST
    static void sp_make_steps(double *restrict steps, double *restrict bounds, int64_t n, const uint8_t *kinds,
                              const double *own, const double *weights, int64_t n_kinds, double start, double gap,
                              double least) {
        for (int64_t i = 0; i < n; i++)
            bounds[i] = start * bounds[i];
        if (own)
            for (int64_t i = 0; i < n; i++)
                steps[i] = own[i] * bounds[i];
        else if (n_kinds <= 4) {
            const double w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
            for (int64_t i = 0; i < n; i++) {
                const int64_t kind = kinds[i];
                const double a = kind & 1 ? w1 : w0, b = kind & 1 ? w3 : w2, w = kind & 2 ? b : a;
                steps[i] = w * bounds[i];
            }
        } else
            for (int64_t i = 0; i < n; i++)
                steps[i] = weights[kinds[i]] * bounds[i];
        for (int64_t i = 0; i < n; i++) {
            const double bound = gap * bounds[i];
            bounds[i] = bound > least ? bound : least;
        }
        for (int64_t i = (SP_SLOTS - 1) * SP_LANES; i < SP_SLOTS * SP_LANES; i++) {
            steps[i] = 0.0;
            bounds[i] = -INFINITY;
        }
    }

    /* All kicks of all lanes; returns which lanes came to the bound of one, as bits. */
    static uint32_t sp_kick_lanes(double *x, const uint32_t *keys, int64_t n_slots, const double *steps,
                                  const double *bounds) {
        double y[SP_LANES];
        uint32_t hit[SP_LANES] = {0}, all = 0;
        memcpy(y, x, sizeof y);
        for (int64_t i = 0; i < n_slots; i++, keys += SP_LANES)
            for (int l = 0; l < SP_LANES; l++) {
                const uint32_t at = (keys[l] & (SP_SLOTS - 1)) * SP_LANES + (uint32_t)l;
                y[l] -= steps[at];
                hit[l] |= y[l] <= bounds[at];
            }
        memcpy(x, y, sizeof y);
        for (int l = 0; l < SP_LANES; l++)
            all |= hit[l] << l;
        return all;
    }
    """
    enum:
        LANES "SP_LANES"
        SLOTS "SP_SLOTS"
    uint32_t NOTHING "SP_NOTHING"
    void ask "sp_ask"(const void *address) noexcept nogil
    double number_at "sp_number"(const char *numbers, int64_t k) noexcept nogil
    uint32_t pull "sp_pull"(uint32_t k, uint32_t end, const char *delays, const uint16_t *targets, double s,
                            double back, double begin, double stop, uint32_t *counts, int64_t stride, double *times,
                            uint8_t *kinds, uint8_t kind) noexcept nogil
    uint32_t pull_own "sp_pull_own"(uint32_t k, uint32_t end, const char *delays, const uint16_t *targets, double s,
                                    double back, double begin, double stop, uint32_t *counts, int64_t stride,
                                    double *times, double *own, const char *weights, double weight) noexcept nogil
    int64_t add_row "sp_add_row"(double *sums, uint8_t *has, int32_t *noted, int64_t n, const int32_t *targets,
                                 const double *weights, double weight, int64_t count, int32_t first) noexcept nogil
    int64_t kick_sums "sp_kick_sums"(double *x, const double *sums, uint8_t *has, const int32_t *noted, int64_t n,
                                     double E, double bound, int32_t *found) noexcept nogil
    void make_networks "sp_make_networks"() noexcept nogil
    void make_keys "sp_make_keys"(uint32_t *keys, const double *times, int64_t n_slots, double begin,
                                  double scale) noexcept nogil
    void sort_lanes "sp_sort_lanes"(uint32_t *keys, int64_t n_slots) noexcept nogil
    uint32_t tied_lanes "sp_tied_lanes"(const uint32_t *keys, int64_t n_slots) noexcept nogil
    void make_steps "sp_make_steps"(double *steps, double *bounds, int64_t n, const uint8_t *kinds, const double *own,
                                    const double *weights, int64_t n_kinds, double start, double gap,
                                    double least) noexcept nogil
    uint32_t kick_lanes "sp_kick_lanes"(double *x, const uint32_t *keys, int64_t n_slots, const double *steps,
                                        const double *bounds) noexcept nogil
