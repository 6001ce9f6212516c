"""Philox4x64-10, a counter-based random number generator, and the stream of numbers of one counter; Philox4x32-10.

Reference: Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. SC '11,
doi 10.1145/2063384.2063405.

A block is four 64-bit words, a pure function of four counter and two key words. The package uses
counter = (block, neuron, projection or other index, purpose) and key = seed, so what is drawn depends on
nothing else: not on a process, on an order of calls or on how many others draw. The table of purposes is
``sparseprop.connectivity.Purpose``.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    static inline uint64_t sparseprop_mulhi(uint64_t a, uint64_t b) {
        __extension__ typedef unsigned __int128 uint128;
        return (uint64_t)(((uint128)a * b) >> 64);
    }
    """
    uint64_t sparseprop_mulhi(uint64_t a, uint64_t b) noexcept nogil

cdef extern from "sparseprop/numerics/philox.h" nogil:
    # Philox4x32-10, many blocks at a time.
    void philox_rows "sp_philox_rows"(uint64_t *rows, const uint32_t *neurons, const uint32_t *blocks, int64_t n,
                                      uint64_t k, uint64_t key) noexcept
    uint32_t philox_word_of "sp_philox_word"(uint32_t neuron, uint32_t word, uint64_t k, uint64_t key) noexcept


cdef struct philox_stream:
    uint64_t key[2]
    uint64_t neuron
    uint64_t index
    uint64_t purpose
    uint64_t block          # the next block to compute
    uint64_t words[4]       # the present block
    uint32_t used           # how many of its eight 32-bit halves have been handed out


cdef inline void philox4x64(uint64_t *out, uint64_t c0, uint64_t c1, uint64_t c2, uint64_t c3,
                            uint64_t k0, uint64_t k1) noexcept nogil:
    """The four words of the block (c0, c1, c2, c3) under the key (k0, k1)."""
    cdef uint64_t high0, high1, low0, low1
    cdef int _turn
    for _turn in range(10):
        high0 = sparseprop_mulhi(0xD2E7470EE14C6C93ULL, c0)
        low0 = 0xD2E7470EE14C6C93ULL * c0
        high1 = sparseprop_mulhi(0xCA5A826395121157ULL, c2)
        low1 = 0xCA5A826395121157ULL * c2
        c0 = high1 ^ c1 ^ k0
        c1 = low1
        c2 = high0 ^ c3 ^ k1
        c3 = low0
        # Weyl increments: the golden ratio and sqrt(3) - 1. The last ones are unused, and optimized away.
        k0 = k0 + 0x9E3779B97F4A7C15ULL
        k1 = k1 + 0xBB67AE8584CAA73BULL
    out[0] = c0
    out[1] = c1
    out[2] = c2
    out[3] = c3


cdef inline void philox_open(philox_stream *stream, const uint64_t *key, uint64_t neuron, uint64_t index,
                             uint64_t purpose) noexcept nogil:
    """Put `stream` at the beginning of the numbers of (key, purpose, index, neuron); draws nothing yet."""
    stream.key[0] = key[0]
    stream.key[1] = key[1]
    stream.neuron = neuron
    stream.index = index
    stream.purpose = purpose
    stream.block = 0
    stream.used = 8


cdef inline void philox_refill(philox_stream *stream) noexcept nogil:
    philox4x64(stream.words, stream.block, stream.neuron, stream.index, stream.purpose, stream.key[0],
               stream.key[1])
    stream.block += 1
    stream.used = 0


cdef inline uint64_t philox_word(philox_stream *stream) noexcept nogil:
    """The next 64 bits that lie in one word (half a word left over from `philox_half` is dropped)."""
    cdef uint64_t word
    stream.used = (stream.used + 1) & ~<uint32_t>1
    if stream.used == 8:
        philox_refill(stream)
    word = stream.words[stream.used >> 1]
    stream.used += 2
    return word


cdef inline uint32_t philox_half(philox_stream *stream) noexcept nogil:
    """The next 32 bits: the low half of a word, then its high half."""
    cdef uint32_t half
    if stream.used == 8:
        philox_refill(stream)
    half = <uint32_t>(stream.words[stream.used >> 1] >> ((stream.used & 1) << 5))
    stream.used += 1
    return half


cdef inline uint32_t philox_below(philox_stream *stream, uint32_t bound) noexcept nogil:
    """A whole number in [0, bound), exactly uniform; bound >= 1.

    Multiply-shift with rejection: Lemire (2019), Fast random integer generation in an interval, ACM TOMACS
    29, doi 10.1145/3230636. The division is reached with probability bound / 2^32 only.
    """
    cdef uint64_t product = <uint64_t>philox_half(stream) * bound
    cdef uint32_t threshold
    if <uint32_t>product < bound:
        threshold = (<uint32_t>0 - bound) % bound
        while <uint32_t>product < threshold:
            product = <uint64_t>philox_half(stream) * bound
    return <uint32_t>(product >> 32)


cdef inline double unit_closed_open(uint64_t word) noexcept nogil:
    """A multiple of 2^-53 in [0, 1)."""
    return <double>(word >> 11) * (1.0 / 9007199254740992.0)


cdef inline double unit_open(uint64_t word) noexcept nogil:
    """An odd multiple of 2^-53 in (0, 1): never 0, never 1, so its logarithm is finite and negative."""
    return (<double>(word >> 12) + 0.5) * (1.0 / 4503599627370496.0)
