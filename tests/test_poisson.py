"""Poisson processes: their events are those of a plain statement, and a Poisson process's, in every engine."""

import functools
import math

import numpy as np
import plain_poisson
import pytest

import sparseprop as sp
from sparseprop import _core
from sparseprop.connectivity import _wiring
from sparseprop.engine._lookahead import Lookahead
from sparseprop.engine.reference import ReferenceEngine

KEY = np.array([0x0123456789ABCDEF, 0xFEDCBA9876543210], np.uint64)
SILENT = sp.LIF(tau_m=10.0)


def drawn(n, means, k, *, interval=0.5, times=None, fractions=None, key=KEY, purpose=4, index=0):
    means = np.atleast_1d(np.asarray(means, float))
    return _wiring.poisson_events(key, purpose, index, n, interval, means, times, fractions, k)


def assert_as_stated(n, means, k, *, interval=0.5, times=None, fractions=None, key=KEY, purpose=4, index=0):
    """All of it, to the bit and in order; returns how many events there are."""
    offsets, neurons = drawn(
        n, means, k, interval=interval, times=times, fractions=fractions, key=key, purpose=purpose, index=index
    )
    expected = plain_poisson.events(key, purpose, index, n, interval, means, times, fractions, k)
    assert np.array_equal(neurons, expected[1])
    assert offsets.tobytes() == expected[0].tobytes()
    return len(neurons)


# The statement ------------------------------------------------------------------------------------------------------

# Random123 1.14, tests/kat_vectors, philox4x32-10.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_statement_has_the_known_answers(counter, key, words):
    counter, (k0, k1), words = ([int(word, 16) for word in text.split()] for text in (counter, key, words))
    assert plain_poisson.philox4x32(counter, k0 | k1 << 32).tolist() == words


@pytest.mark.parametrize("n", [1, 2, 3, 63, 64, 65, 130])
@pytest.mark.parametrize("mean", [1e-3, 0.7, 6.1, 12.0])
def test_events_are_those_that_are_stated(n, mean):
    assert sum(assert_as_stated(n, mean, k) for k in (0, 1, 7, 2**32 - 1, 2**32, 2**44 - 1)) >= (n * mean > 5.0)


def test_each_neuron_with_a_mean_of_its_own():
    rng = np.random.default_rng(1)
    means = rng.uniform(0.0, 12.0, 500) * (rng.random(500) < 0.7)
    total = sum(assert_as_stated(500, means, k, interval=2.0**-7) for k in range(5))
    assert abs(total - 5 * means.sum()) < 5 * math.sqrt(5 * means.sum())
    # Equal means are no other case than one mean for all.
    same = drawn(500, np.full(500, 9.0), 3)
    assert all(np.array_equal(a, b) for a, b in zip(same, drawn(500, 9.0, 3), strict=True))


@pytest.mark.parametrize("each", [False, True])
def test_rates_that_change_within_an_interval(each):
    rng = np.random.default_rng(2)
    times = np.array([0.1, 0.25, 0.26, 1.5, 7.0])
    fractions = rng.random((5, 40 if each else 1))
    fractions[1], fractions[3] = 1.0, 0.0
    seen = [assert_as_stated(40, 11.0, k, times=times, fractions=fractions) for k in range(20)]
    # Nothing where it is silent, all where it is at its highest, and as many as there should be.
    assert seen[3:14] == [0] * 11
    offsets, _ = drawn(40, 11.0, 0, times=times, fractions=fractions)
    assert offsets.min() >= 0.1
    before, _ = drawn(40, 11.0, 0)
    assert np.isin(before[(before >= 0.25) & (before < 0.26)], offsets).all()
    assert all(assert_as_stated(40, means, 1, times=times, fractions=fractions) for means in (1.0, np.full(40, 2.0)))


def test_where_a_word_does_not_decide_more_bits_do():
    """Of the number: the probability of no event ends within the word; of an event: its fraction does."""
    n, key = 400, plain_poisson.process_key(KEY, 4, 0)
    words = plain_poisson.words(key, np.arange(n), 5, 9).astype(float)
    place = np.random.default_rng(3).uniform(0.1, 0.9, n)
    means = -np.log((words[:, 0] + place) / 2.0**32)
    keep = np.flatnonzero((means > 0.05) & (means < 12.0))
    number = np.array([drawn(n, np.where(np.arange(n) == i, means[i], 0.0), 9)[0].size for i in keep])
    assert 0.3 < np.mean(number > 0) < 0.7 and set(number) == {0, 1}
    assert_as_stated(n, np.where((means > 0.05) & (means < 12.0), means, 0.0), 9)
    for i in range(0, n, 40):  # one mean for all has a table
        assert_as_stated(i + 1, float(means[i]), 9)
    means = np.full(n, 1.0)
    count = np.bincount(drawn(n, means, 9)[1], minlength=n)
    one = np.flatnonzero(count == 1)  # their words are number, time, whether it counts
    fractions = np.where(np.isin(np.arange(n), one), (words[:, 2] + place) / 2.0**32, 0.5)[None, :]
    assert_as_stated(n, means, 9, times=np.zeros(1), fractions=fractions)
    counts = np.bincount(drawn(n, means, 9, times=np.zeros(1), fractions=fractions)[1], minlength=n)[one]
    assert 0.3 < counts.mean() < 0.7


def test_keys_purposes_and_indices_have_streams_of_their_own():
    seen = [
        drawn(200, 10.0, 5, key=key, purpose=purpose, index=index)[0]
        for key in (KEY, KEY + np.uint64(1))
        for purpose in (4, 5)
        for index in (0, 1, 2**40)
    ]
    together = np.concatenate(seen)
    # 24,000 times of 2^32: some 0.07 pairs of equal ones by chance.
    assert np.unique(together).size >= together.size - 2
    assert_as_stated(200, 10.0, 5, purpose=5, index=2**40)


# Order --------------------------------------------------------------------------------------------------------------


def assert_in_order(offsets, neurons):
    order = np.lexsort((neurons, offsets))
    assert np.array_equal(order, np.arange(len(order)))


@pytest.mark.parametrize("n", [1, 5, 100, 3_000, 40_000])
def test_events_are_in_order(n):
    """From few, which are inserted, to so many that they are cut into parts first."""
    offsets, neurons = drawn(n, 9.0, 2)
    assert_in_order(offsets, neurons)
    assert abs(len(offsets) - 9.0 * n) < 5.0 * math.sqrt(9.0 * n)
    some = np.unique(np.random.default_rng(4).integers(0, n, 50))
    expected = plain_poisson.events(KEY, 4, 0, n, 0.5, 9.0, None, None, 2, neurons=some)
    at = np.isin(neurons, some)
    assert np.array_equal(offsets[at], expected[0]) and np.array_equal(neurons[at], expected[1])


@pytest.mark.parametrize("width", [2.0**-3, 2.0**-10, 2.0**-20])
@pytest.mark.parametrize("n", [200, 60_000])
def test_events_that_are_close_together_are_in_order(n, width):
    """A rate that is high for a small part of an interval only: all events fall into few bins."""
    times, fractions = np.array([1.0, 1.0 + 2048.0 * width]), np.array([[1.0], [0.0]])
    offsets, neurons = drawn(n, 12.0, 0, interval=2048.0, times=times, fractions=fractions)
    assert_in_order(offsets, neurons)
    mean = 12.0 * n * width
    assert abs(len(offsets) - mean) < 5.0 * math.sqrt(mean) + 2.0
    assert ((offsets >= 1.0) & (offsets < times[1])).all()


def test_equal_times_are_in_the_order_of_neurons():
    """So many neurons in one interval of 2^32 times that some hundred are equal."""
    offsets, neurons = drawn(300_000, 5.0, 0)
    assert_in_order(offsets, neurons)
    assert abs(np.sum(np.diff(offsets) == 0.0) / (len(offsets) ** 2 / 2.0**33) - 1.0) < 0.3


# Statistics ---------------------------------------------------------------------------------------------------------


def chi_square(observed, expected):
    """The probability of a worse fit; bins of less than 10 are taken together."""
    stats = pytest.importorskip("scipy.stats", reason="scipy")
    few = expected < 10.0
    observed = np.append(observed[~few], observed[few].sum())
    expected = np.append(expected[~few], expected[few].sum())
    if expected[-1] < 10.0:
        observed, expected = observed[:-1], expected[:-1]
    return stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("mean", [0.05, 1.0, 6.001, 8.7, 12.0])
def test_numbers_are_poisson(mean, each):
    stats = pytest.importorskip("scipy.stats", reason="scipy")
    n, intervals = 20_000, 10
    means = np.full(n, mean) if each else mean
    counts = np.array([np.bincount(drawn(n, means, k, index=each)[1], minlength=n) for k in range(intervals)])
    observed = np.bincount(counts.ravel(), minlength=65)
    assert chi_square(observed, counts.size * stats.poisson.pmf(np.arange(65), mean)) > 1e-3
    # Of one neuron in neighbouring intervals, and of neighbours in one interval.
    for a, b in ((counts[1:], counts[:-1]), (counts[:, 1:], counts[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4.5 / math.sqrt(a.size)
    # The variance of sums over intervals, and over groups of neurons, is their mean.
    for sums in (counts.sum(axis=0), counts.reshape(intervals, -1, 100).sum(axis=2).ravel()):
        assert abs(sums.var() / sums.mean() - 1.0) < 4.5 * math.sqrt(2.0 / len(sums)) + 1.0 / sums.mean() / len(sums)


def test_times_are_uniform_and_independent():
    stats = pytest.importorskip("scipy.stats", reason="scipy")
    n, parts = 30_000, [drawn(30_000, 9.0, k) for k in range(4)]
    offsets = np.concatenate([offset for offset, _ in parts]) * 2.0
    assert 0.0 <= offsets.min() < 1e-5 and 1.0 - 1e-5 < offsets.max() < 1.0
    assert stats.kstest(offsets, "uniform").pvalue > 1e-3
    words = (offsets * 2.0**32).astype(np.uint64)
    assert np.array_equal(words / 2.0**32, offsets)
    for shift in (0, 8, 16, 24):  # all bits
        observed = np.bincount((words >> np.uint64(shift) & np.uint64(255)).astype(np.int64), minlength=256)
        assert chi_square(observed, np.full(256, len(words) / 256.0)) > 1e-4
    # Pairs within a neuron, of neighbours, and of one neuron in neighbouring intervals, on a grid of 16 x 16.
    last = [np.full(n, np.nan) for _ in parts]
    for column, (offset, neuron) in zip(last, parts, strict=True):
        column[neuron] = offset * 2.0  # the latest one of each
    order = np.lexsort((np.random.default_rng(1).random(len(parts[0][1])), parts[0][1]))
    offset, neuron = parts[0][0][order] * 2.0, parts[0][1][order]
    same = np.flatnonzero(np.diff(neuron) == 0)[::2]
    pairs = [(offset[same], offset[same + 1])]
    pairs.append((offset[np.flatnonzero(np.diff(neuron))], offset[np.flatnonzero(np.diff(neuron)) + 1]))
    for a, b in pairs:
        grid = np.histogram2d(a, b, 16, [[0.0, 1.0], [0.0, 1.0]])[0].ravel()
        assert chi_square(grid, np.full(256, len(a) / 256.0)) > 1e-3
    fine = ~np.isnan(last[0]) & ~np.isnan(last[1])
    assert abs(stats.spearmanr(last[0][fine], last[1][fine]).statistic) < 4.5 / math.sqrt(fine.sum())


def test_intervals_between_events_are_exponential_across_the_boundaries_of_intervals():
    """The process does not know where it was cut: neither gaps nor counts around boundaries are others."""
    stats = pytest.importorskip("scipy.stats", reason="scipy")
    n, intervals = 300, 40
    parts = [drawn(n, 10.0, k, interval=1.0) for k in range(intervals)]
    times = np.concatenate([k + offset for k, (offset, _) in enumerate(parts)])
    neurons = np.concatenate([neuron for _, neuron in parts])
    order = np.lexsort((times, neurons))
    gaps = np.diff(times[order])[np.diff(neurons[order]) == 0]
    assert stats.kstest(gaps, "expon", (0.0, 0.1)).pvalue > 1e-3
    across = np.histogram(times - 0.05, np.arange(0.0, intervals - 1.0, 0.1))[0]
    assert chi_square(across.astype(float), np.full(len(across), n * 1.0)) > 1e-3


def test_changing_rates_have_their_numbers():
    """A sine, in 64 pieces over many intervals, at rates of neurons that differ by 10^4."""
    n, k = 2_000, np.arange(64)
    times, wave = 2.0 * k, 0.5 * (1.0 + np.sin(2.0 * np.pi * k / 64.0))
    highest = np.repeat([12.0, 1.2e-3], n // 2)
    events = [drawn(n, highest, j, interval=1.0, times=times, fractions=np.tile(wave[:, None], n)) for j in range(128)]
    often = [np.sum(neurons < n // 2) for _, neurons in events]
    rare = np.sum([np.sum(neurons >= n // 2) for _, neurons in events])
    expected = np.repeat(12.0 * wave, 2) * (n // 2)
    assert chi_square(np.array(often, float), expected) > 1e-3
    assert abs(rare - expected.sum() * 1e-4) < 4.5 * math.sqrt(expected.sum() * 1e-4)


@pytest.mark.parametrize(
    ("rate", "n", "duration"),
    [(1e6, 1, 30.0), (1e6, 40, 1.0), (1e-6, 1_000_000, 1e5), (1e-3, 1_000_000, 3000.0), (20.0, 1_000_000, 2.0)],
)
def test_rates_from_the_smallest_to_the_largest(rate, n, duration):
    net = sp.Network(seed=5)
    net.add(1, SILENT)
    net.add(n, sp.PoissonSource(rate), name="s")
    expected = rate * n * duration * 1e-3
    res = net.run(duration, record=sp.Record(record_sources=True), progress=False).population("s")
    assert abs(len(res.times) - expected) < 4.5 * math.sqrt(expected)
    assert (np.diff(res.times) >= 0.0).all() and res.times[-1] < duration
    if n > 1:
        assert abs(res.ids.mean() / n - 0.5) < 4.5 / math.sqrt(12.0 * len(res.ids)) + 1.0 / n


# Engines ------------------------------------------------------------------------------------------------------------

ENGINES = {
    "window": functools.partial(_core.Engine, name="window"),
    "heap": functools.partial(_core.Engine, name="heap"),
    **{
        f"lookahead, {n} threads, blocks of {block}, slices of {longest}": functools.partial(
            Lookahead, n_threads=n, block=block, longest=longest
        )
        for n, block, longest in ((1, 512, None), (2, 8, 0.3), (3, 16, 0.01))
    },
}

DRIVES = {
    # Intervals of a small part of a slice, of several slices, and of many epochs.
    "often": (sp.poisson(90_000.0), 0.02, 1.5),
    "each": (sp.poisson([0.0, 0.5, *np.linspace(10.0, 2000.0, 28)]), np.linspace(0.0, 0.3, 30), 30.0),
    "seldom": (sp.poisson(0.5), 1.2, 1500.0),
    "changing": (sp.poisson([0.0, 800.0, 100.0], [0.0, 2.0, 9.1]), 0.2, 30.0),
}


@pytest.mark.parametrize("case", DRIVES)
def test_all_engines_take_the_same_events(case):
    input_, weight, duration = DRIVES[case]
    net = sp.Network(seed=8)
    p = net.add(30, sp.LIF(tau_m=10.0, I_e=0.7, t_ref=0.1), V=0.0)
    net.drive(p, input_, weight=weight)
    net.drive(p, sp.poisson(100.0), weight=0.1)
    net.connect(p, p, sp.fixed_outdegree(5), weight=-0.05, delay=0.4)
    net.connect(net.add(3, sp.PoissonSource(50.0)), p, sp.all_to_all(), weight=0.2, delay=0.5)
    source = sp.Simulation(net)._source

    def seen(engine):
        engine.advance(source.clock.pair(duration), 10**9)
        times, ids = engine.take()
        return [
            np.asarray(times).tobytes(), np.asarray(ids, np.int64).tolist(), np.asarray(engine.voltages()).tobytes(),
            engine.n_drive_events, engine.n_input_events,
        ]  # fmt: skip

    expected = seen(ReferenceEngine(source))
    assert len(expected[1]) > 5 and expected[3] > 20
    for name, make in ENGINES.items():
        assert seen(make(source)) == expected, name


def test_events_so_often_that_times_are_rounded():
    """Beginnings of intervals and offsets add up with rounding, and many times are equal."""
    net = sp.Network(seed=8)
    p = net.add(30, sp.LIF(tau_m=10.0, I_e=0.7, t_ref=0.1), V=0.0)
    drive = net.drive(p, sp.poisson(100.0), weight=1e-3)
    net.connect(p, p, sp.fixed_outdegree(5), weight=-0.05, delay=0.4)
    seen = []
    for engine in ("reference", "heap", "window", "lookahead"):
        sim = sp.Simulation(net, engine=engine)
        sim.run(100.0, progress=False)
        sim.set_drive(drive, 1e12)
        res = sim.run(1e-6, progress=False)
        seen.append((res.n_drive_events, res.times.tolist(), sim.V.tolist()))
        assert abs(res.n_drive_events - 30_000) < 5.0 * math.sqrt(30_000) and res.n_spikes > 25
        assert seen[-1] == seen[0], engine


def test_cuts_do_not_move_events(tmp_path):
    """Taken up anywhere in an interval: between runs, from a file in another engine, and after so many spikes."""
    net = sp.Network(seed=9)
    p = net.add(40, sp.LIF(tau_m=10.0, I_e=0.9, t_ref=1.0), V=0.0)
    net.drive(p, sp.poisson(1500.0), weight=0.05)
    net.connect(p, p, sp.fixed_outdegree(5), weight=-0.05, delay=1.5)
    whole = {engine: net.run(40.0, engine=engine, progress=False) for engine in ("window", "lookahead", "reference")}
    for engine, res in whole.items():
        assert res.n_spikes > 100 and np.array_equal(res.times, whole["reference"].times)
        sim = sp.Simulation(net, engine=engine)
        times = [sim.run(duration, progress=False).times for duration in (0.1, 7.9, 8.0, 0.0078125, 3.3)]
        times.append(sim.run(n_spikes=17, progress=False).times)
        sim.save(tmp_path / "state.h5")
        again = sp.Simulation.load(tmp_path / "state.h5", net, engine="window")
        times.append(again.run(40.0 - again.time, progress=False).times)
        assert np.array_equal(np.concatenate(times), res.times)
