"""The counter-based generator: published answers, numpy's implementation, and uniform numbers made of it."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sparseprop.connectivity import _wiring

KEY = np.random.SeedSequence(2024).generate_state(2, np.uint64)

# Random123 1.14, tests/kat_vectors, philox4x64-10.
KNOWN_ANSWERS = [
    (
        [0, 0, 0, 0],
        [0, 0],
        [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B],
    ),
    (
        [2**64 - 1] * 4,
        [2**64 - 1] * 2,
        [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
    ),
    (
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter, key, words):
    assert _wiring.philox(counter, key).tolist() == words


def test_same_as_numpy():
    rng = np.random.default_rng(1)
    for _ in range(200):
        counter = rng.integers(0, 2**64, 4, dtype=np.uint64)
        counter[0] %= 2**63  # numpy steps the counter, so that nothing may carry
        key = rng.integers(0, 2**64, 2, dtype=np.uint64)
        theirs = np.random.Philox(counter=counter, key=key).random_raw(12).reshape(3, 4)
        for block in range(3):  # numpy counts first and draws then
            ours = _wiring.philox(counter + np.array([block + 1, 0, 0, 0], np.uint64), key)
            assert ours.dtype == np.uint64
            assert ours.tolist() == theirs[block].tolist()


@pytest.mark.parametrize(("counter", "key"), [([0] * 3, [0] * 2), ([0] * 5, [0] * 2), ([0] * 4, [0] * 3)])
def test_philox_wants_four_words_and_two(counter, key):
    with pytest.raises(ValueError, match="has [42] words, got"):
        _wiring.philox(counter, key)


def test_each_uniform_is_the_first_word_of_its_own_block():
    values = _wiring.uniforms(KEY, 2, 7, 100)
    assert values.dtype == np.float64
    for i in range(100):
        assert values[i] == (int(_wiring.philox([0, i, 7, 2], KEY)[0]) >> 11) / 2**53
    np.testing.assert_array_equal(_wiring.uniforms(KEY, 2, 7, 10), values[:10])
    assert _wiring.uniforms(KEY, 2, 7, 0).shape == (0,)


def test_uniforms_are_uniform_and_independent_of_each_other():
    n = 20_000
    streams = {
        (seed, purpose, index): _wiring.uniforms(
            np.random.SeedSequence(seed).generate_state(2, np.uint64), purpose, index, n
        )
        for seed, purpose, index in itertools.product((1, 2), (1, 2), (0, 1))
    }
    for u in streams.values():
        assert ((u >= 0) & (u < 1)).all()
        assert stats.kstest(u, "uniform").pvalue > 1e-3
        assert stats.kstest((u[1:] - u[:-1]) % 1, "uniform").pvalue > 1e-3
    for u, v in itertools.combinations(streams.values(), 2):
        # Neither the same numbers nor the same ones a place further, nor related ones.
        for a, b in ((u, v), (u[1:], v[:-1]), (u[:-1], v[1:])):
            assert stats.kstest((a - b) % 1, "uniform").pvalue > 1e-4
    assert np.unique(np.concatenate(list(streams.values()))).size > 8 * n - 3


def test_uniforms_refuse_a_bad_key_and_a_bad_number():
    with pytest.raises(ValueError, match="a key has 2 words, got 3"):
        _wiring.uniforms(np.zeros(3, np.uint64), 2, 0, 1)
    with pytest.raises(ValueError, match="negative"):
        _wiring.uniforms(KEY, 2, 0, -1)
