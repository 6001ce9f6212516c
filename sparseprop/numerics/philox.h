/* Philox4x32-10 for many counters at once.

   Reference: Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. SC '11,
   doi 10.1145/2063384.2063405.

   A block is four 32-bit words, a pure function of four counter and two key words: all in integers, so that it is the
   same on every machine. Here two or four blocks go side by side, each word in the low half of 64 bits. The high halves
   are rubbish on the way: products are of low halves. */
#ifndef SPARSEPROP_PHILOX_H
#define SPARSEPROP_PHILOX_H

#include <stdint.h>
#include <string.h>

#include "dispatch.h"

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
   to wait for its products. From the block i on. */
static inline void sp_philox_rows_plain(uint64_t *rows, const uint32_t *neurons, const uint32_t *blocks, int64_t i,
                                        int64_t n, uint64_t k, uint64_t key) {
    for (; i < n; i += 4) {
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

#ifdef SP_AVX2
/* The same eight at a time, as long as there are so many; the first block that is left. */
SP_AVX2 static __attribute__((unused)) int64_t sp_philox_rows_256(uint64_t *rows, const uint32_t *neurons,
                                                                  const uint32_t *blocks, int64_t n, uint64_t k,
                                                                  uint64_t key) {
    const __m256i first_factor = _mm256_set1_epi64x(0xD2511F53), second_factor = _mm256_set1_epi64x(0xCD9E8D57);
    const __m256i low = _mm256_set1_epi64x((uint32_t)k), high = _mm256_set1_epi64x((int64_t)(k >> 32));
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i c[2][4], neuron[2];
        uint64_t k0 = (uint32_t)key, k1 = key >> 32;
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            neuron[h] = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(neurons + i + 4 * h)));
            c[h][0] = neuron[h];
            c[h][1] = _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(blocks + i + 4 * h)));
            c[h][2] = low;
            c[h][3] = high;
        }
        for (int turn = 0; turn < 10; turn++) {
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                const __m256i first = _mm256_mul_epu32(c[h][0], first_factor);
                const __m256i second = _mm256_mul_epu32(c[h][2], second_factor);
                c[h][0] = _mm256_srli_epi64(second, 32) ^ c[h][1] ^ _mm256_set1_epi64x((int64_t)k0);
                c[h][1] = second;
                c[h][2] = _mm256_srli_epi64(first, 32) ^ c[h][3] ^ _mm256_set1_epi64x((int64_t)k1);
                c[h][3] = first;
            }
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m256i *row = (__m256i *)(rows + 4 * (i + 4 * h));
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                c[h][j] = _mm256_or_si256(_mm256_slli_epi64(c[h][j], 32), neuron[h]);
            /* Words of a block side by side. */
            const __m256i a = _mm256_unpacklo_epi64(c[h][0], c[h][1]), b = _mm256_unpackhi_epi64(c[h][0], c[h][1]);
            const __m256i d = _mm256_unpacklo_epi64(c[h][2], c[h][3]), e = _mm256_unpackhi_epi64(c[h][2], c[h][3]);
            _mm256_storeu_si256(row, _mm256_permute2x128_si256(a, d, 0x20));
            _mm256_storeu_si256(row + 1, _mm256_permute2x128_si256(b, e, 0x20));
            _mm256_storeu_si256(row + 2, _mm256_permute2x128_si256(a, d, 0x31));
            _mm256_storeu_si256(row + 3, _mm256_permute2x128_si256(b, e, 0x31));
        }
    }
    return i;
}
#endif

static inline void sp_philox_rows(uint64_t *rows, const uint32_t *neurons, const uint32_t *blocks, int64_t n,
                                  uint64_t k, uint64_t key) {
    int64_t i = 0;
#ifdef SP_AVX2
    if (sp_has_avx2())
        i = sp_philox_rows_256(rows, neurons, blocks, n, k, key);
#endif
    sp_philox_rows_plain(rows, neurons, blocks, i, n, k, key);
}

/* One word of a neuron in interval k. */
static inline uint32_t sp_philox_word(uint32_t neuron, uint32_t word, uint64_t k, uint64_t key) {
    uint64_t rows[16];
    uint32_t neurons[4] = {neuron}, blocks[4] = {word >> 2};
    sp_philox_rows(rows, neurons, blocks, 1, k, key);
    return (uint32_t)(rows[word & 3] >> 32);
}
#endif
