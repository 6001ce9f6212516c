"""sp.analysis: measures computed by hand and by brute force, what is not known is NaN, and bad input is refused."""

import itertools
import math

import matplotlib
import numpy as np
import pytest

import sparseprop as sp
from sparseprop.analysis import SpikeTrains, trains
from sparseprop.errors import ArgumentError, InsufficientMemoryError, ParameterError

matplotlib.use("Agg")
analysis = sp.analysis

# Neuron 0 is regular, 1 is not, 2 has one spike, 3 none; 4 has spikes at both ends and two at one time.
BY_HAND = [[1.0, 3.0, 5.0, 7.0], [1.0, 2.0, 6.0], [4.0], [], [0.0, 5.0, 5.0, 10.0]]


@pytest.fixture
def by_hand():
    return SpikeTrains.from_trains(BY_HAND, 0.0, 10.0)


def random_trains(seed, n=5, rate=20.0, duration=1000.0):
    """Poisson trains of several rates, one of them twice and nearly so, and a silent neuron."""
    rng = np.random.default_rng(seed)
    found = [np.sort(rng.uniform(0.0, duration, rng.poisson(rate * (k + 1) / n))) for k in range(n)]
    found += [found[-1].copy(), np.minimum(found[-1] + rng.normal(0.0, 1e-9, found[-1].size), duration), np.zeros(0)]
    return SpikeTrains.from_trains(found, 0.0, duration), found


def same(found, expected):
    return np.allclose(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


# By hand --------------------------------------------------------------------------------------------------------------


def test_rates(by_hand):
    assert same(analysis.rates(by_hand), [400.0, 300.0, 100.0, 0.0, 400.0])


def test_intervals(by_hand):
    intervals, ids = analysis.isi(by_hand)
    assert intervals.tolist() == [2.0, 2.0, 2.0, 1.0, 4.0, 5.0, 0.0, 5.0] and ids.tolist() == [0, 0, 0, 1, 1, 4, 4, 4]


def test_irregularity(by_hand):
    nan = math.nan
    assert same(analysis.cv(by_hand), [0.0, 1.5 / 2.5, nan, nan, math.sqrt(50.0 / 9.0) / (10.0 / 3.0)])
    assert same(analysis.cv2(by_hand), [0.0, 2 * 3.0 / 5.0, nan, nan, 2.0])
    assert same(analysis.lv(by_hand), [0.0, 3 * 9.0 / 25.0, nan, nan, 3.0])
    assert same(analysis.lvr(by_hand, R=0.0), analysis.lv(by_hand))
    assert same(analysis.lvr(by_hand, R=1.0)[1], 3 * (1.0 - 16.0 / 25.0) * (1.0 + 4.0 / 5.0))


def test_two_successive_intervals_of_0_have_no_local_variation():
    three = SpikeTrains([1.0, 1.0, 1.0, 2.0], [0, 0, 0, 0], 1, 0.0, 5.0)
    assert np.isnan(analysis.cv2(three)).all() and np.isnan(analysis.lv(three)).all()
    assert same(analysis.cv(three), math.sqrt(2.0))
    assert np.isnan(analysis.cv(SpikeTrains([1.0, 1.0, 1.0], [0, 0, 0], 1, 0.0, 5.0))).all()


def test_counts_are_of_whole_bins(by_hand):
    """Of 4 ms in 10 ms there are two; a spike at an edge is in the bin that begins there, also if rounding says no."""
    assert analysis.spike_counts(by_hand, 4.0).tolist() == [[2, 2], [2, 1], [0, 1], [0, 0], [1, 2]]
    assert analysis.spike_counts(([3 * 0.1], [0], 1, 0.0, 0.5), 0.1).tolist() == [[0, 0, 0, 1, 0]]
    assert analysis.spike_counts(([2.1], [0], 1, 0.0, 2.1), 0.3).shape == (1, 7)
    assert analysis.spike_counts(by_hand, 11.0).shape == (5, 0)
    edges, counts, rate = analysis.time_histogram(by_hand, 4.0)
    assert edges.tolist() == [0.0, 4.0, 8.0] and counts.tolist() == [5, 6]
    assert same(rate, [5 / 0.004 / 5, 6 / 0.004 / 5])


def test_fano_factors(by_hand):
    assert same(analysis.fano_factor(by_hand, 4.0), [0.0, 0.25 / 1.5, 0.5, math.nan, 0.25 / 1.5])
    assert np.isnan(analysis.fano_factor(by_hand, 10.0)).all()  # a single window


def test_isi_histograms(by_hand):
    edges, counts = analysis.isi_histogram(by_hand, 2.0)
    assert edges.tolist() == [0.0, 2.0, 4.0, 6.0] and counts.tolist() == [2, 3, 3]
    found = analysis.isi_histogram(by_hand, n_bins=5, longest=5.0)
    assert found.edges.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] and found.counts.tolist() == [1, 1, 3, 0, 1]
    assert (found.density * np.diff(found.edges)).sum() == pytest.approx(1.0)
    assert analysis.isi_histogram(by_hand, n_bins=5).counts.sum() == 8
    found = analysis.isi_histogram(by_hand, n_bins=3, log=True)
    assert found.counts.sum() == 7 and same(found.edges, np.geomspace(1.0, 5.0, 4))
    assert analysis.isi_histogram(by_hand[2]).counts.size == 0 and np.isnan(analysis.cv(by_hand[2])).all()
    equal = analysis.isi_histogram(by_hand[0], n_bins=4, log=True)
    assert equal.counts.sum() == 3 and (np.diff(equal.edges) > 0.0).all()


def test_distances(by_hand):
    van_rossum = analysis.van_rossum_distance(by_hand, 2.0)
    assert same(van_rossum[2, 3], 1.0)  # a spike and none
    assert same(van_rossum[3, 4] ** 2, 6 + 2 * (4 * math.exp(-2.5) + math.exp(-5.0)))  # 1 + 4 + 1: two at once are 4
    victor_purpura = analysis.victor_purpura_distance(by_hand, 100.0)
    assert same(victor_purpura[3], [4.0, 3.0, 1.0, 0.0, 4.0])
    assert same(victor_purpura[0, 1], 1 + 0.0 + 0.1 + 0.1)  # 3 -> 2 and 5 -> 6 or 7 -> 6, and one removed
    assert same(analysis.victor_purpura_distance(by_hand, 0.0)[0], [0.0, 1.0, 3.0, 4.0, 0.0])


# By brute force -------------------------------------------------------------------------------------------------------

seeds = pytest.mark.parametrize("seed", range(6))


@seeds
def test_covariances_and_correlations(seed):
    spikes, _ = random_trains(seed)
    counts = analysis.spike_counts(spikes, 25.0)
    assert same(analysis.covariance(spikes, 25.0), np.cov(counts))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.corrcoef(counts)
    found = analysis.correlation_coefficient(spikes, 25.0)
    assert same(found, expected) and np.isnan(found[-1]).all()
    pairs = expected[np.triu_indices(spikes.n, 1)]
    assert same(analysis.mean_correlation(spikes, 25.0), np.nanmean(pairs))


@pytest.mark.parametrize("dense", [0.0, 2.0])
def test_matrices_are_made_in_blocks_of_dense_and_sparse_numbers(dense, monkeypatch):
    spikes, _ = random_trains(1)
    whole = analysis.covariance(spikes, 5.0)
    monkeypatch.setattr(analysis.correlations, "DENSE", dense)
    assert np.array_equal(analysis.covariance(spikes, 5.0), whole)
    monkeypatch.setattr(analysis.correlations, "BLOCK", 20)
    assert np.array_equal(analysis.covariance(spikes, 5.0), whole)


@seeds
def test_cross_correlation_histograms(seed):
    spikes, _ = random_trains(seed)
    a, b = analysis.spike_counts(spikes, 20.0)[[1, 4]]
    for first, second, other in ((spikes[1], spikes[4], b), (spikes[1], None, a)):
        lags, values = analysis.cross_correlation_histogram(first, second, bin_width=20.0, max_lag=100.0)
        assert lags.tolist() == [20.0 * k for k in range(-5, 6)]
        for lag, value in zip(range(-5, 6), values, strict=True):
            assert value == sum(a[t] * other[t + lag] for t in range(50) if 0 <= t + lag < 50)
    lags, values = analysis.cross_correlation_histogram(
        spikes[1], spikes[4], bin_width=20.0, max_lag=100.0, coefficient=True
    )
    assert same(values[5], np.corrcoef(a, b)[0, 1])
    together = analysis.cross_correlation_histogram(spikes[[0, 1]], spikes[4], bin_width=20.0, max_lag=100.0).values
    single = [analysis.cross_correlation_histogram(spikes[k], spikes[4], bin_width=20.0, max_lag=100.0) for k in (0, 1)]
    assert np.array_equal(together, single[0].values + single[1].values)


@seeds
def test_van_rossum_distances(seed, monkeypatch):
    """By double sums of the kernel; nearly equal trains by their differences, as exp(-d / tau) - 1 with d = 1e-9."""
    spikes, times = random_trains(seed)
    tau = [0.1, 10.0, 1e4][seed % 3]

    def product(a, b):
        return np.exp(-np.abs(a[:, None] - b) / tau).sum()

    expected = [[math.sqrt(max(product(a, a) + product(b, b) - 2 * product(a, b), 0.0)) for b in times] for a in times]
    found = analysis.van_rossum_distance(spikes, tau)
    assert np.allclose(found, expected, rtol=1e-11, atol=1e-5) and np.array_equal(found, found.T)
    assert found[4, 5] == 0.0 and not np.diagonal(found).any()
    nearly = math.sqrt(sum(2 * -math.expm1(-abs(a - b) / tau) for a, b in zip(times[5], times[6], strict=True)))
    if tau == 0.1:  # pairs that do not see the others
        assert found[5, 6] == pytest.approx(nearly, rel=1e-3)
    monkeypatch.setattr(analysis.distances, "EVENTS", 3)
    monkeypatch.setattr(analysis.distances, "PAIRED", 1)
    assert np.allclose(analysis.van_rossum_distance(spikes, tau), found, rtol=1e-11, atol=1e-12)


def test_van_rossum_distance_is_the_integral():
    spikes = SpikeTrains.from_trains([[3.0, 9.0, 9.5], [4.0]], 0.0, 20.0)
    t, step = np.linspace(0.0, 200.0, 4_000_001, retstep=True)
    f, g = (sum(np.where(t >= s, np.exp(-np.maximum(t - s, 0.0) / 5.0), 0.0) for s in train) for train in
            ([3.0, 9.0, 9.5], [4.0]))  # fmt: skip
    integral = 2.0 / 5.0 * ((f - g) ** 2).sum() * step
    assert analysis.van_rossum_distance(spikes, 5.0)[0, 1] ** 2 == pytest.approx(integral, rel=1e-4)


def edited(a, b, per_ms):
    """Victor and Purpura's recursion."""
    costs = np.zeros((len(a) + 1, len(b) + 1))
    costs[:, 0], costs[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        move = costs[i - 1, j - 1] + per_ms * abs(a[i - 1] - b[j - 1])
        costs[i, j] = min(costs[i - 1, j] + 1, costs[i, j - 1] + 1, move)
    return costs[-1, -1]


@seeds
def test_victor_purpura_distances(seed, monkeypatch):
    spikes, times = random_trains(seed)
    cost = [10.0, 200.0, 1e6][seed % 3]
    expected = [[edited(a, b, 1e-3 * cost) for b in times] for a in times]
    found = analysis.victor_purpura_distance(spikes, cost)
    assert same(found, expected) and np.array_equal(found, found.T) and not np.diagonal(found).any()
    monkeypatch.setattr(analysis.distances, "CELLS", 1)
    assert np.array_equal(analysis.victor_purpura_distance(spikes, cost), found)


@seeds
def test_spike_time_tiling_coefficients(seed):
    spikes, times = random_trains(seed)
    dt = [2.0, 20.0, 400.0][seed % 3]

    def covered(train):
        fine = np.linspace(0.0, 1000.0, 200_001)
        return (np.abs(fine[:, None] - train).min(axis=1) <= dt).mean()

    def near(a, b):
        return (np.abs(a[:, None] - b).min(axis=1) <= dt).mean()

    found = analysis.spike_time_tiling_coefficient(spikes, dt)
    assert np.isnan(found[-1]).all() and np.isnan(found[:, -1]).all() and np.array_equal(found, found.T, equal_nan=True)
    for i, j in itertools.combinations_with_replacement(range(spikes.n - 1), 2):
        T, P = (covered(times[i]), covered(times[j])), (near(times[i], times[j]), near(times[j], times[i]))
        halves = [(p - t) / (1 - p * t) if p * t < 1 else 1.0 for p, t in zip(P, reversed(T), strict=True)]
        if all(p * t < 0.99 for p, t in zip(P, reversed(T), strict=True)):
            assert found[i, j] == pytest.approx(sum(halves) / 2, abs=2e-3)
    assert same(np.diagonal(found)[:-1], 1.0)


def test_trains_that_cover_all_the_time_are_tiled():
    full = SpikeTrains.from_trains([[5.0], [4.0, 6.0], [0.5]], 0.0, 10.0)
    found = analysis.spike_time_tiling_coefficient(full, 6.0)
    assert found[0, 1] == 1.0 and same(found, 1.0)
    far = SpikeTrains.from_trains([[5.0], [0.5]], 0.0, 10.0)
    assert same(analysis.spike_time_tiling_coefficient(far, 4.0)[0, 1], (-0.45 - 0.8) / 2)


@seeds
def test_synchrony(seed):
    spikes, _ = random_trains(seed)
    counts = analysis.spike_counts(spikes, 10.0)
    expected = math.sqrt(counts.mean(axis=0).var() / counts.var(axis=1).mean())
    assert same(analysis.synchrony_index(spikes, 10.0), expected)
    assert same(analysis.synchrony_index(spikes[[4, 5]], 10.0), 1.0)
    assert np.isnan(analysis.synchrony_index(spikes[7], 10.0))


@seeds
def test_spike_contrast(seed):
    """By histograms of each neuron with overlapping bins."""
    spikes, times = random_trains(seed)
    shortest = min(np.diff(train).min() for train in times if train.size > 1)
    best, width = 0.0, 500.0
    while width >= max(shortest / 2, 25.0):
        edges = np.arange(0.0 - shortest, 1000.0 + shortest + width / 2, width / 2)
        single = np.array([np.histogram(train, edges)[0] for train in times])
        overlapping = single[:, :-1] + single[:, 1:]
        theta, active = overlapping.sum(axis=0), (overlapping > 0).sum(axis=0)
        participation = ((theta * active).sum() / theta.sum() - 1) / (len(times) - 1)
        best = max(best, participation * np.abs(np.diff(theta)).sum() / (2 * sum(map(len, times))))
        width *= 0.8
    assert same(analysis.spike_contrast(spikes, 25.0, shrink_factor=0.8), best)
    assert np.isnan(analysis.spike_contrast(spikes[1])) and np.isnan(analysis.spike_contrast(spikes, 501.0))


def test_power_spectra():
    """Flat at 2 r / n for Poisson processes; a peak where the rate has a rhythm."""
    rng = np.random.default_rng(1)
    n, r, duration = 50, 20.0, 100_000.0
    times = rng.uniform(0.0, duration, rng.poisson(n * r * duration / 1000.0))
    poisson = SpikeTrains(times, rng.integers(0, n, times.size), n, 0.0, duration)
    frequencies, power = analysis.power_spectrum(poisson, frequency_resolution=5.0)
    assert frequencies[1] == 5.0 and frequencies[-1] == 500.0
    assert power[2:-1].mean() == pytest.approx(2.0 * r / n, rel=0.02)
    rhythm = times[rng.uniform(size=times.size) < 0.5 + 0.5 * np.sin(2 * np.pi * 0.04 * times)]
    frequencies, power = analysis.power_spectrum((rhythm, np.zeros(rhythm.size, int), 1, 0.0, duration))
    assert frequencies[power.argmax()] == pytest.approx(40.0, abs=0.1)


# What is taken, and what is not known ---------------------------------------------------------------------------------


def network():
    net = sp.Network(seed=1)
    E = net.add(40, sp.LIF(tau_m=10.0, I_e=1.3), name="E")
    I = net.add(10, sp.LIF(tau_m=10.0, I_e=1.2), name="I")
    s = net.add(3, sp.SpikeSource([1.0, 30.0, 31.0], [0, 1, 1]), name="s")
    for post in (E, I):
        net.connect(E, post, sp.fixed_indegree(10), weight=0.02)
        net.connect(I, post, sp.fixed_indegree(5), weight=-0.1)
        net.connect(s, post, sp.all_to_all(), weight=0.01)
    return net


@pytest.fixture(scope="module")
def net():
    return network()


@pytest.fixture(scope="module")
def res(net):
    return net.run(300.0, record=sp.Record(record_sources=True))


EACH = {
    "rates": analysis.rates,
    "cv": analysis.cv,
    "cv2": analysis.cv2,
    "lv": analysis.lv,
    "lvr": analysis.lvr,
    "fano_factor": lambda spikes: analysis.fano_factor(spikes, 20.0),
    "spike_counts": lambda spikes: analysis.spike_counts(spikes, 20.0),
}
PAIRS = {
    "covariance": lambda spikes: analysis.covariance(spikes, 20.0),
    "correlation_coefficient": lambda spikes: analysis.correlation_coefficient(spikes, 20.0),
    "van_rossum_distance": lambda spikes: analysis.van_rossum_distance(spikes, 10.0),
    "victor_purpura_distance": lambda spikes: analysis.victor_purpura_distance(spikes, 100.0),
    "spike_time_tiling_coefficient": analysis.spike_time_tiling_coefficient,
}
TOGETHER = {
    "time_histogram": lambda spikes: analysis.time_histogram(spikes, 20.0).rate,
    "isi_histogram": lambda spikes: analysis.isi_histogram(spikes, 5.0).counts,
    "mean_correlation": lambda spikes: analysis.mean_correlation(spikes, 20.0),
    "cross_correlation_histogram": lambda spikes: (
        analysis.cross_correlation_histogram(spikes, bin_width=20.0, max_lag=60.0).values
    ),
    "power_spectrum": lambda spikes: analysis.power_spectrum(spikes, 5.0).power,
    "synchrony_index": lambda spikes: analysis.synchrony_index(spikes, 20.0),
    "spike_contrast": analysis.spike_contrast,
}
ALL = EACH | PAIRS | TOGETHER


@pytest.mark.parametrize("name", ALL)
def test_results_files_tuples_and_trains_are_taken_alike(name, res, tmp_path):
    measure, path = ALL[name], tmp_path / "raster.h5"
    res.save(path)
    whole, population = measure(res), measure(res["E"])
    assert np.array_equal(measure(path), whole, equal_nan=True)
    assert np.array_equal(measure(str(path)), whole, equal_nan=True)
    assert np.array_equal(measure(SpikeTrains.of(res)), whole, equal_nan=True)
    E = res["E"]
    order = np.random.default_rng(1).permutation(E.times.size)
    as_tuple = (E.times[order], E.ids[order], 40, 0.0, 300.0)
    assert np.array_equal(measure(as_tuple), population, equal_nan=True)
    assert np.array_equal(measure(SpikeTrains.of(res)[:40]), population, equal_nan=True)
    assert np.isfinite(population).all()


def test_results_say_the_same(res):
    assert np.array_equal(analysis.rates(res), res.rates, equal_nan=True)
    without = analysis.cv(SpikeTrains.of(res)[:50])
    assert np.nanmean(without) == res.cv_isi
    counted = SpikeTrains.of(res)
    assert counted.n_pooled == 50 and not counted.pooled[50:].any()
    assert analysis.time_histogram(res, 300.0).rate[0] == pytest.approx(res.rate)


@pytest.mark.parametrize("name", EACH)
def test_neurons_that_were_not_recorded_are_nan(name, net, res):
    part = net.run(300.0, record=sp.Record(spikes={"E": [3, 5]}))
    found, whole = EACH[name](part), EACH[name](res)
    assert np.array_equal(found[[3, 5]], whole[[3, 5]], equal_nan=True)
    assert np.isnan(np.delete(found, [3, 5], axis=0)).all()


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_with_neurons_that_were_not_recorded_are_nan(name, net, res):
    part = net.run(300.0, record=sp.Record(spikes={"E": [3, 5]}))
    found, whole = PAIRS[name](part), PAIRS[name](res)
    assert np.isfinite(found[np.ix_([3, 5], [3, 5])]).all()
    assert np.allclose(found[np.ix_([3, 5], [3, 5])], whole[np.ix_([3, 5], [3, 5])], rtol=1e-12)
    found[np.ix_([3, 5], [3, 5])] = np.nan
    assert np.isnan(found).all()


@pytest.mark.parametrize("name", TOGETHER)
def test_what_is_said_of_all_is_that_of_recorded_neurons(name, net, res):
    part = net.run(300.0, record=sp.Record(spikes={"E": [3, 5]}))
    expected = TOGETHER[name](SpikeTrains.of(res)[[3, 5]])
    assert np.array_equal(TOGETHER[name](part), expected, equal_nan=True)
    nobody = net.run(300.0, record=sp.Record(spikes=False))
    if name != "isi_histogram":
        assert np.isnan(TOGETHER[name](nobody)).all()


def test_files_of_other_programs_say_nothing_of_how_many_neurons_there_are(tmp_path, res):
    """What does not depend on that is known, the rest is NaN unless sizes are given."""
    import h5py

    E = res["E"]
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["spikes/E/timestamps"], f["spikes/E/node_ids"] = E.times, E.ids.astype(np.uint64)
        f["spikes/E/timestamps"].attrs["units"] = "ms"
    guessed, told = sp.load(tmp_path / "other.h5"), sp.load(tmp_path / "other.h5", sizes={"E": 45}, t_stop=300.0)
    for name in ("time_histogram", "power_spectrum", "synchrony_index", "spike_contrast"):
        assert np.isnan(TOGETHER[name](guessed)).all() and np.isfinite(TOGETHER[name](told)).all()
    assert np.isfinite(analysis.mean_correlation(guessed, 20.0)) and np.isfinite(analysis.cv(guessed)).all()
    assert analysis.rates(told)[40:].tolist() == [0.0] * 5
    some = SpikeTrains.of(guessed)[[3, 5]]
    assert some.n_pooled == 2 and np.isfinite(analysis.time_histogram(some, 20.0).rate).all()


def test_a_neuron_of_which_nobody_knows_whether_it_was_recorded(tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["spikes/E/timestamps"], f["spikes/E/node_ids"] = [1.0, 2.0, 3.0, 9.0], np.array([0, 2, 2, 2], np.uint64)
        f["spikes/E/timestamps"].attrs["units"] = "ms"
    spikes = SpikeTrains.of(tmp_path / "other.h5")
    assert spikes.known.tolist() == [True, False, True] and np.isnan(spikes.n_pooled)
    assert np.isnan(analysis.rates(spikes)).tolist() == [False, True, False]
    assert np.isnan(spikes[[0, 1]].n_pooled) and spikes[[2, 0]].n_pooled == 2.0


def test_runs_of_no_time_and_without_spikes(net):
    empty = SpikeTrains([], [], 3, 0.0, 0.0)
    for name, measure in ALL.items():
        if name in ("cross_correlation_histogram", "power_spectrum"):
            with pytest.raises(ParameterError):
                measure(empty)
        elif "distance" in name:
            assert not measure(empty).any()
        elif name not in ("isi_histogram", "spike_counts", "time_histogram"):
            assert np.isnan(measure(empty)).all(), name
        measure(SpikeTrains([], [], 3, 0.0, 1000.0))
        measure(SpikeTrains([], [], 0, 0.0, 1000.0))


def test_chosen_neurons():
    spikes, times = random_trains(2)
    chosen = spikes[[4, 0, 7]]
    assert chosen.n == 3 and len(chosen) == 3 and chosen.n_spikes.tolist() == [times[4].size, times[0].size, 0]
    assert np.array_equal(chosen.times, np.concatenate([times[4], times[0]]))
    assert spikes[1].n == 1 and np.array_equal(spikes[1].times, times[1]) and spikes[2:4].n == 2
    assert np.array_equal(chosen[0].times, times[4]) and spikes[[]].n == 0
    assert "8 neurons, 0 to 1000 ms" in repr(spikes)
    with pytest.raises(TypeError):
        iter(spikes)


def test_recorded_neurons_of_arrays():
    spikes = SpikeTrains([1.0, 2.0], [1, 1], 3, 0.0, 5.0, recorded=[0, 1])
    assert np.array_equal(analysis.rates(spikes), [0.0, 400.0, np.nan], equal_nan=True) and spikes.n_pooled == 2


# Bad input ------------------------------------------------------------------------------------------------------------

SPIKES = ([1.0, 2.0, 4.0], [0, 1, 0], 2, 0.0, 5.0)
BAD = [
    (lambda: analysis.cv(3), r"spikes must be a Result, the path of a raster, a tuple .* got 3"),
    (lambda: analysis.cv([[1.0, 2.0], [3.0]]), "SpikeTrains.from_trains takes a list of arrays"),
    (lambda: SpikeTrains([1.0], [0, 1], 2, 0.0, 5.0), "times and ids must have one length, got 1 and 2"),
    (lambda: SpikeTrains([6.0], [0], 1, 0.0, 5.0), "t_start and t_stop must enclose the spikes, from 6 to 6 ms"),
    (lambda: SpikeTrains([math.nan], [0], 1, 0.0, 5.0), "SpikeTrains: times must be finite times"),
    (lambda: SpikeTrains([1.0], [2], 2, 0.0, 5.0), r"SpikeTrains: ids must be in \[0, 2\), got 2 at index 0"),
    (lambda: SpikeTrains([1.0], [0], 1.5, 0.0, 5.0), "SpikeTrains: n must be a whole number"),
    (lambda: SpikeTrains([], [], 1, 5.0, 0.0), r"SpikeTrains: t_stop must be a time in ms >= t_start, 5, got 0\.0"),
    (lambda: SpikeTrains([1.0], [0], 2, 0.0, 5.0, recorded=[1]), "recorded must have .* got spikes of neuron 0"),
    (lambda: SpikeTrains(*SPIKES)[[0, 0]], "ids must have each neuron once"),
    (lambda: SpikeTrains(*SPIKES)[2], r"id must be an id in \[0, 2\), got 2"),
    (lambda: SpikeTrains.from_trains([[1.0]]), "from_trains: t_start must be given"),
    (lambda: SpikeTrains.from_trains([1.0, 2.0], 0.0, 5.0), "trains must be a sequence with an array"),
    (lambda: SpikeTrains.from_trains([["a"]], 0.0, 5.0), "from_trains: train 0 must be an array of real numbers"),
    (lambda: analysis.spike_counts(SPIKES, 0.0), r"spike_counts: bin_width must be a finite time > 0 ms, got 0\.0"),
    (lambda: analysis.time_histogram(SPIKES, "1"), "time_histogram: bin_width must be a finite time > 0 ms, got '1'"),
    (lambda: analysis.fano_factor(SPIKES, 1e-300), "fano_factor: window must be at least .* ms"),
    (lambda: analysis.fano_factor(SPIKES, -1.0), r"fano_factor: window .* got -1\.0"),
    (lambda: analysis.lvr(SPIKES, -1.0), r"lvr: R must be a finite time >= 0 ms, got -1\.0"),
    (lambda: analysis.isi_histogram(SPIKES, 1e-9), "isi_histogram: bin_width must be at least"),
    (lambda: analysis.isi_histogram(SPIKES, 1.0, log=True), "bin_width must be left out with log=True"),
    (lambda: analysis.isi_histogram(SPIKES, n_bins=0), "n_bins must be a whole number >= 1, got 0"),
    (lambda: analysis.isi_histogram(SPIKES, longest=0.0), "longest must be a finite time > 0 ms"),
    (lambda: analysis.isi_histogram(SPIKES, log=1), "log must be True or False, got 1"),
    (
        lambda: analysis.cross_correlation_histogram(SPIKES, bin_width=1.0, max_lag=1e300),
        "max_lag must be less than the interval of 5 bins, 5 ms, got 1e",
    ),
    (
        lambda: analysis.cross_correlation_histogram(SPIKES, bin_width=1.0, max_lag=5.0),
        "max_lag must be less than the interval of 5 bins, 5 ms, got 5",
    ),
    (
        lambda: analysis.cross_correlation_histogram(SPIKES, ([], [], 1, 0.0, 6.0), bin_width=1.0, max_lag=2.0),
        "other must be of the same interval, got 0 to 5 ms and 0 to 6 ms",
    ),
    (lambda: analysis.power_spectrum(SPIKES, 10.0), r"segments must have 2 to 0 bins"),
    (lambda: analysis.power_spectrum(SPIKES, 1.0, frequency_resolution=0.0), "a finite frequency > 0 Hz"),
    (lambda: analysis.power_spectrum(SPIKES, 1.0, n_segments=0), "n_segments must be a whole number >= 1"),
    (lambda: analysis.van_rossum_distance(SPIKES, 0.0), r"tau must be a finite time > 0 ms, got 0\.0"),
    (lambda: analysis.van_rossum_distance(SPIKES, math.inf), "tau must be a finite time > 0 ms, got inf"),
    (lambda: analysis.victor_purpura_distance(SPIKES, -1.0), r"cost_factor must be a finite rate >= 0 Hz, got -1\.0"),
    (lambda: analysis.spike_time_tiling_coefficient(SPIKES, 0.0), "dt must be a finite time > 0 ms"),
    (lambda: analysis.spike_contrast(SPIKES, shrink_factor=1.0), r"shrink_factor must be a number in \(0, 1\)"),
    (lambda: analysis.plot_distribution(SPIKES, "cv3"), "unknown measure of plot_distribution: 'cv3'.*did you mean"),
    (lambda: analysis.plot_matrix(np.zeros((2, 3))), r"matrix must have shape \(n, n\), got \(2, 3\)"),
    (lambda: analysis.plot_isi(SPIKES, ax=3), "ax must be Axes of matplotlib, got 3"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


def test_wrong_arguments_are_explained():
    with pytest.raises(ArgumentError, match=r"spike_counts needs bin_width \(float: ms"):
        analysis.spike_counts(SPIKES)
    with pytest.raises(ParameterError, match="bin_width") as error:
        analysis.spike_counts(SPIKES, 1.0 + 1j)
    assert "1+1j" in str(error.value)


def test_matrices_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(trains, "available_memory", lambda: 100)
    spikes = SpikeTrains(*SPIKES)
    for name in (*PAIRS, "spike_counts", "mean_correlation", "synchrony_index", "time_histogram"):
        if name in ("mean_correlation", "synchrony_index", "time_histogram", "spike_counts"):
            with pytest.raises(InsufficientMemoryError, match="GiB of memory are available; take"):
                getattr(analysis, name)(spikes, bin_width=0.01)
        else:
            with pytest.raises(InsufficientMemoryError, match="take fewer neurons"):
                PAIRS[name](SpikeTrains([], [], 50, 0.0, 5.0))


class Quantity:
    """A time as pint has it."""

    magnitude = None

    def __init__(self, magnitude, factor):
        self.magnitude, self.factor = magnitude, factor

    def m_as(self, unit):
        if unit != "ms":
            raise ValueError("not a time")
        return np.asarray(self.magnitude) * self.factor


def test_units_are_converted_or_refused():
    in_s = (Quantity([0.001, 0.002, 0.004], 1e3), [0, 1, 0], 2, Quantity(0.0, 1e3), Quantity(0.005, 1e3))
    assert np.array_equal(analysis.rates(in_s), analysis.rates(SPIKES))
    assert np.array_equal(analysis.spike_counts(SPIKES, Quantity(0.001, 1e3)), analysis.spike_counts(SPIKES, 1.0))
    with pytest.raises(ParameterError, match="cost_factor must be a rate"):
        analysis.victor_purpura_distance(SPIKES, Quantity(1.0, 1e3))


# Pictures -------------------------------------------------------------------------------------------------------------


def test_pictures_take_and_return_axes(res):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4)
    axes = iter(axes.ravel())
    drawn = [
        analysis.plot_time_histogram(res, next(axes), bin_width=5.0),
        analysis.plot_isi(res["E"], next(axes)),
        analysis.plot_isi(res["E"], next(axes), log=True),
        analysis.plot_distribution(res["E"], "cv", next(axes)),
        analysis.plot_power_spectrum(res, next(axes)),
        analysis.plot_cross_correlation(res["E"], res["I"], next(axes), max_lag=20.0),
        analysis.plot_matrix(analysis.correlation_coefficient(res["I"], 10.0), next(axes), label="r"),
        analysis.plot_matrix(analysis.van_rossum_distance(res["I"], 10.0), next(axes)),
    ]
    assert all(ax.figure is figure for ax in drawn)
    assert [ax.get_xlabel() for ax in drawn][:6] == [
        "time (ms)", "interspike interval (ms)", "interspike interval (ms)", "CV", "frequency (Hz)", "lag (ms)"
    ]  # fmt: skip
    steps = drawn[0].patches[0].get_data()
    assert np.array_equal(steps.values, analysis.time_histogram(res, 5.0).rate)
    curve = drawn[4].lines[0]
    assert np.array_equal(curve.get_ydata(), analysis.power_spectrum(res).power[1:])
    density = drawn[1].patches[0].get_data()
    assert (density.values * np.diff(density.edges)).sum() == pytest.approx(1.0)
    figure.canvas.draw()
    assert isinstance(analysis.plot_isi(res), matplotlib.axes.Axes)
    pyplot.close("all")


def test_pictures_of_nothing():
    from matplotlib import pyplot

    silent = SpikeTrains([], [], 2, 0.0, 100.0)
    for plot in (
        analysis.plot_time_histogram, analysis.plot_isi, analysis.plot_distribution, analysis.plot_power_spectrum,
        lambda spikes: analysis.plot_matrix(analysis.correlation_coefficient(spikes, 1.0)),
        lambda spikes: analysis.plot_cross_correlation(spikes, max_lag=10.0),
    ):  # fmt: skip
        plot(silent).figure.canvas.draw()
    pyplot.close("all")
