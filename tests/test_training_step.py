"""The compiled loops of a training step have the bits of the NumPy that they stand for."""

import numpy as np
import pytest

from sparseprop import training
from sparseprop.batch import _spikes
from sparseprop.numerics._functions import atan_many, exp_many, log_many
from sparseprop.training import _step

SIZES = [1, 7, 8, 9, 33, 128, 129, 300, 1000]  # NumPy adds up to 7 and to 128 numbers in other ways than more


@pytest.mark.parametrize("n_samples", SIZES)
def test_sums_over_samples(n_samples):
    random = np.random.default_rng(n_samples)
    g, s = random.normal(size=(n_samples, 3)), random.random((n_samples, 5))
    targets, sources = np.repeat(np.arange(3), 5), np.tile(np.arange(5), 3)
    each = np.asfortranarray(g[:, targets] * s[:, sources])
    assert np.array_equal(_step.by_synapse(g, s, sources, targets), each.sum(axis=0))
    weights, total = random.normal(size=15), np.zeros((n_samples, 3))
    for w, j, i in zip(weights, sources, targets, strict=True):
        total[:, i] += w * s[:, j]
    assert np.array_equal(_step.kicked(s, weights, sources, targets, 3), total)


@pytest.mark.parametrize("n", SIZES)
def test_cross_entropy_of_first_spikes(n):
    random = np.random.default_rng(n)
    t, labels = random.uniform(0.0, 50.0, (20, n)), random.integers(0, n, 20)
    tau, alpha, tau_late = 0.7, 3e-3, 6.4
    logits, rows = -t / tau, np.arange(20)
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = exp_many(shifted)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    late = exp_many(np.minimum(t[rows, labels] / tau_late, 700.0))
    value = log_many(total[:, 0]) - shifted[rows, labels] + alpha * (late - 1.0)
    p[rows, labels] -= 1.0
    by_t = -p / tau
    by_t[rows, labels] += alpha * late / tau_late
    found = _step.first_spike_cross_entropy(t, labels, tau, alpha, tau_late)
    assert np.array_equal(found[0], value) and np.array_equal(found[1], by_t / 20)
    assert np.array_equal(found[2], t.argmin(axis=1))
    assert (
        _step.first_spike_cross_entropy(np.ones((2, 3)), np.zeros(2, np.int64), tau, alpha, tau_late)[2] == -1
    ).all()


@pytest.mark.parametrize("n", SIZES)
def test_adam_with_and_without_clipping(n):
    random = np.random.default_rng(n)
    adam, values, m, v = training.Adam(lr=0.1, decay=0.9), random.normal(size=n), np.zeros(n), np.zeros(n)
    for step in range(4):
        gradient = random.normal(size=n) * (100.0 if step == 3 else 1.0)
        new = adam.update("w", values, gradient, epoch=1)
        if step:
            norm, usual = np.sqrt(np.sum(gradient**2)), np.sqrt(np.sum(v) / (1.0 - 0.999**step))
            if norm > 3.0 * usual > 0.0:
                gradient = gradient * (3.0 * usual / norm)
        m, v = 0.9 * m + (1.0 - 0.9) * gradient, 0.999 * v + (1.0 - 0.999) * gradient**2
        unbiased = m / (1.0 - 0.9 ** (step + 1)), v / (1.0 - 0.999 ** (step + 1))
        values = values - 0.1 * 0.9 * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        assert np.allclose(new, values, rtol=1e-13, atol=1e-13)  # powers are those of the C library here
        values = new


def test_angles_of_potentials():
    V, root, tau = np.random.default_rng(1).normal(size=(40, 6)), np.full(6, 0.5), np.full(6, 20.0)
    V[0, 0], V[0, 1] = np.inf, -np.inf
    angle = atan_many(V / root)
    assert np.array_equal(_step.parts(V, root), 0.5 + angle / np.pi)
    assert np.array_equal(_step.next_times(V, root, tau, 35.0), 35.0 + tau / root * (0.5 * np.pi - angle))
    assert np.array_equal(_step.by_V(angle, V, root), angle * (root / (root**2 + V**2)))


def test_input_spikes_are_in_the_order_of_sample_time_and_id():
    times = np.random.default_rng(1).integers(0, 4, (6, 12)).astype(float)
    times[times == 3.0] = np.inf
    found, ids, offsets, places, wrong = _spikes.in_order(times, 3, 10)
    sample, column = np.nonzero(np.isfinite(times))
    there = times[sample, column]
    order = np.lexsort((10 + column // 3, there, sample))
    assert wrong == -1 and np.array_equal(found, there[order]) and np.array_equal(ids, (10 + column // 3)[order])
    assert np.array_equal(places, (12 * sample + column)[order])
    assert np.array_equal(np.diff(offsets), np.bincount(sample, minlength=6))
    times[4, 5] = -1.0
    assert _spikes.in_order(times, 3, 10)[4] == 12 * 4 + 5
