/* The ways of sparseprop/numerics/lanes.h and philox.h beside each other: kicks prepared by every way that this machine
   has, and sorted by every way and by qsort; blocks of Philox. Prints how often they differ. */
#include "../../sparseprop/numerics/lanes.h"
#include "../../sparseprop/numerics/philox.h"
#include <stdio.h>
#include <stdlib.h>

static uint64_t state;

static double uniform(void) { /* splitmix64 */
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int compare(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Rows in order, lane by lane. */
static int are_sorted(const sp_group *g, const sp_group *sorted, int n_slots) {
    const int rows = (n_slots + 7) / 8 * 8;
    for (int l = 0; l < SP_LANES; l++) {
        uint32_t lane[SP_SLOTS];
        for (int i = 0; i < rows; i++)
            lane[i] = i < n_slots ? g->keys[i * SP_LANES + l] : SP_NOTHING;
        qsort(lane, (size_t)rows, sizeof *lane, compare);
        for (int i = 0; i < rows; i++)
            if (lane[i] != sorted->keys[i * SP_LANES + l])
                return 0;
    }
    return 1;
}

/* What is prepared for kicks that are there; the rest is anything. */
static int are_equal(const sp_group *a, const sp_group *b, const uint32_t *counts, int n_slots) {
    for (int i = 0; i < n_slots * SP_LANES; i++) {
        if (a->keys[i] != b->keys[i])
            return 0;
        if (i / SP_LANES < (int)counts[i % SP_LANES]
            && (memcmp(&a->steps[i], &b->steps[i], 8) || memcmp(&a->bounds[i], &b->bounds[i], 8)))
            return 0;
    }
    return 1;
}

static int draws_differ(int n) {
    uint32_t neurons[40], blocks[40];
    uint64_t one[160], two[160], k = (uint64_t)(uniform() * 0x1p53) << 11, key = (uint64_t)(uniform() * 0x1p53) << 11;
    for (int i = 0; i < 40; i++) {
        neurons[i] = (uint32_t)(0x1p32 * uniform());
        blocks[i] = (uint32_t)(8 * uniform());
    }
    sp_philox_rows(one, neurons, blocks, n, k, key);
    sp_philox_rows_plain(two, neurons, blocks, 0, n, k, key);
    return memcmp(one, two, 32 * (size_t)n) != 0;
}

int main(void) {
    static sp_group one, two, sorted;
    static double times[SP_SLOTS * SP_LANES], own[SP_SLOTS * SP_LANES];
    static uint8_t kinds[SP_SLOTS * SP_LANES];
    const double weights[6] = {0.1, -0.5, 0.3, -0.0, 2.0, -3.0};
    int different = 0, by_two_ways = 0;
    for (int k = 0; k < 5000; k++) {
        const int n_slots = 1 + (int)(127 * uniform()), n_kinds = k % 5 ? 4 : 6;
        const double begin = k % 7 ? 128.0 * uniform() : 0.0, length = k % 3 ? 0.5 : k % 11 ? 3.0 : 0x1p-30;
        const double gap = k % 2 ? -0.7 : 0.9;
        sp_kicks_of f = {begin, begin + length, 33554431.0 / length, k % 13 ? 20.0 : 0.1, 0.5 + uniform(), gap,
                         gap > 0.0 ? 0.8 : -INFINITY, weights, n_kinds};
        uint32_t counts[SP_LANES];
        different += draws_differ(1 + k % 32);
        for (int l = 0; l < SP_LANES; l++)
            counts[l] = (uint32_t)((n_slots + 1) * uniform());
        for (int i = 0; i < SP_SLOTS * SP_LANES; i++) {
            times[i] = begin + length * uniform() * (k % 17 ? 1.0 : 0x1p-20);
            times[i] = times[i] < f.stop ? times[i] : begin;
            kinds[i] = (uint8_t)(n_kinds * uniform());
            own[i] = uniform() - 0.5;
        }
        sp_prepare(&one, times, kinds, k % 4 ? NULL : own, counts, n_slots, &f);
        sp_prepare_plain(&two, times, kinds, k % 4 ? NULL : own, counts, n_slots, &f);
        different += !are_equal(&one, &two, counts, n_slots);
        sorted = one;
        sp_sort_rows_plain((sp_row *)sorted.keys, n_slots);
        different += !are_sorted(&one, &sorted, n_slots);
#ifdef SP_AVX2
        if (sp_has_avx2()) {
            sorted = one;
            sp_sort_rows_256((sp_row *)sorted.keys, n_slots);
            different += !are_sorted(&one, &sorted, n_slots);
            by_two_ways++;
        }
#endif
    }
    printf("%d of 5000 differ, %d by two ways\n", different, by_two_ways);
    return different != 0;
}
