/* Philox4x32-10 for many counters at once.

   Reference: Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. SC '11,
   doi 10.1145/2063384.2063405.

   A block is four 32-bit words, a pure function of four counter and two key words: all in integers, so that it is the
   same on every machine. Here two blocks go side by side, each word in the low half of 64 bits. The high halves are
   rubbish on the way: products are of low halves. */
#ifndef SPARSEPROP_PHILOX_H
#define SPARSEPROP_PHILOX_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef uint64_t sp_words __attribute__((vector_size(16)));

static inline __attribute__((always_inline)) sp_words sp_words_of(uint64_t x) {
    return (sp_words){x, x};
}

/* The products of the low halves. */
static inline __attribute__((always_inline)) sp_words sp_low_product(sp_words a, sp_words b) {
#if defined(__SSE2__)
    return (sp_words)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & sp_words_of(0xffffffff)) * (b & sp_words_of(0xffffffff));
#endif
}

static inline __attribute__((always_inline)) void sp_philox_turn(sp_words c[4], uint64_t k0, uint64_t k1) {
    sp_words first = sp_low_product(c[0], sp_words_of(0xD2511F53)), second = sp_low_product(c[2], sp_words_of(0xCD9E8D57));
    c[0] = (second >> 32) ^ c[1] ^ sp_words_of(k0);
    c[1] = second;
    c[2] = (first >> 32) ^ c[3] ^ sp_words_of(k1);
    c[3] = first;
}

/* The words of the blocks (neurons[i], blocks[i], low and high half of k): rows[4 i + j] is word j of the i-th in its
   high half and the neuron in its low one. n is rounded up to a multiple of 4: so many are taken in turns, as each has
   to wait for its products. */
static inline void sp_philox_rows(uint64_t *rows, const uint32_t *neurons, const uint32_t *blocks, int64_t n,
                                  uint64_t k, uint64_t key) {
    for (int64_t i = 0; i < n; i += 4) {
        sp_words a = {neurons[i], neurons[i + 1]}, b = {neurons[i + 2], neurons[i + 3]};
        sp_words c[4] = {a, {blocks[i], blocks[i + 1]}, sp_words_of((uint32_t)k), sp_words_of(k >> 32)};
        sp_words d[4] = {b, {blocks[i + 2], blocks[i + 3]}, sp_words_of((uint32_t)k), sp_words_of(k >> 32)};
        uint64_t k0 = (uint32_t)key, k1 = key >> 32;
        for (int turn = 0; turn < 10; turn++) {
            sp_philox_turn(c, k0, k1);
            sp_philox_turn(d, k0, k1);
            k0 += 0x9E3779B9; /* carries stay in the high halves */
            k1 += 0xBB67AE85;
        }
        for (int j = 0; j < 4; j++) {
            c[j] = c[j] << 32 | a;
            d[j] = d[j] << 32 | b;
        }
        sp_words row[8] = {{c[0][0], c[1][0]}, {c[2][0], c[3][0]}, {c[0][1], c[1][1]}, {c[2][1], c[3][1]},
                         {d[0][0], d[1][0]}, {d[2][0], d[3][0]}, {d[0][1], d[1][1]}, {d[2][1], d[3][1]}};
        memcpy(rows + 4 * i, row, sizeof row);
    }
}

/* One word of a neuron in interval k. */
static inline uint32_t sp_philox_word(uint32_t neuron, uint32_t word, uint64_t k, uint64_t key) {
    uint64_t rows[16];
    uint32_t neurons[4] = {neuron}, blocks[4] = {word >> 2};
    sp_philox_rows(rows, neurons, blocks, 1, k, key);
    return (uint32_t)(rows[word & 3] >> 32);
}
#endif
