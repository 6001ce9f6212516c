"""The Poisson processes of ``connectivity/_poisson.pxd`` in plain numpy: what their events are, and no more."""

from fractions import Fraction

import numpy as np

from sparseprop.numerics import _functions

MOST_EVENTS, TAIL = 64, 1 << 16
MASK = np.uint64(0xFFFFFFFF)


def philox4x32(counter, key):
    """Philox4x32-10: four words for each counter, an array of shape (..., 4); the key is of 64 bits."""
    c0, c1, c2, c3 = (np.asarray(counter, np.uint64)[..., j] for j in range(4))
    k0, k1 = int(key) & 0xFFFFFFFF, int(key) >> 32
    for _ in range(10):
        first, second = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (second >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            second & MASK,
            (first >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            first & MASK,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


def process_key(key, purpose, index):
    """The key of one process: the first word of numpy's Philox4x64-10, which counts before it draws."""
    counter = (purpose << 192) + (index << 128) - 1
    return int(np.random.Philox(counter=counter, key=int(key[0]) + (int(key[1]) << 64)).random_raw())


def words(key, neurons, number, k):
    """Words 0, 1... of neurons in interval k, shape (neurons, number) and more."""
    blocks = -(-number // 4)
    counter = np.zeros((len(neurons), blocks, 4), np.uint64)
    counter[..., 0], counter[..., 1] = np.asarray(neurons)[:, None], np.arange(blocks)
    counter[..., 2], counter[..., 3] = k & 0xFFFFFFFF, k >> 32
    return philox4x32(counter, key).reshape(len(neurons), -1)


def tail(key, neuron, number, k):
    """The 32 bits that follow those of a word that does not decide."""
    place = TAIL + number
    return int(philox4x32([neuron, place >> 2, k & 0xFFFFFFFF, k >> 32], key)[place & 3])


def at_least(word, limit, bits):
    """Whether word, followed by the 32 bits that `bits` draws, is at least a double: as fractions of 2^32."""
    sure = word >= limit
    for j in np.flatnonzero((word < limit) & (word + 1.0 > limit)):
        sure[j] = Fraction(int(word[j])) + Fraction(bits(j), 1 << 32) >= Fraction(float(limit[j]))
    return sure


def numbers(key, means, neurons, word, k):
    """How many events each neuron has: its distribution function, summed up, against word 0."""
    probability = below = _functions.exp_many(-means)
    number, going = np.zeros(len(neurons), np.int64), np.ones(len(neurons), bool)
    for m in range(1, MOST_EVENTS + 1):
        going &= at_least(word, below * 2.0**32, lambda j: tail(key, int(neurons[j]), 0, k))
        number += going
        probability = probability * (means * (1.0 / m))
        below = below + probability
    return number


def events(key, purpose, index, n, interval, means, times, fractions, k, *, neurons=None):
    """The same as ``_wiring.poisson_events``; of some neurons only, if they are given."""
    key = process_key(key, purpose, index)
    neurons = np.arange(n) if neurons is None else np.asarray(neurons)
    means = np.broadcast_to(np.asarray(means, float), (n,))[neurons]
    first = words(key, neurons, 1, k)[:, 0].astype(float)
    number = numbers(key, means, neurons, first, k)
    drawn = words(key, neurons, 1 + 2 * int(number.max(initial=0)), k)
    offsets, whose = [], []
    for j in np.flatnonzero(number):
        m, i = int(number[j]), int(neurons[j])
        offset = drawn[j, 1 : 1 + m].astype(float) * (interval * 2.0**-32)
        if times is not None:
            piece = np.searchsorted(times, k * interval + offset, side="right") - 1
            fraction = np.broadcast_to(fractions, (len(times), n))[piece, i] * (piece >= 0)
            word = drawn[j, 1 + m : 1 + 2 * m].astype(float)
            gone = at_least(word, fraction * 2.0**32, lambda e, i=i: tail(key, i, 1 + int(e), k))
            offset = offset[~gone]
        offsets.append(offset)
        whose.append(np.full(len(offset), i))
    offsets, whose = np.concatenate([np.zeros(0), *offsets]), np.concatenate([np.zeros(0, np.int64), *whose])
    order = np.lexsort((whose, offsets))
    return offsets[order], whose[order]
