"""The same numbers as elephant, to 1e-12, on 200 random rasters with edge cases; what it does otherwise is said.

Rasters have empty trains, single spikes, spikes at t_start and t_stop, at edges of bins, at one time, and intervals
that are not a whole number of bins.
"""

import functools
import warnings

import numpy as np
import pytest

import sparseprop as sp

REASON = 'elephant: pip install "sparseprop-sim[elephant]"'
neo = pytest.importorskip("neo", reason=REASON)
pq = pytest.importorskip("quantities", reason=REASON)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    elephant = pytest.importorskip("elephant", reason=REASON)
    from elephant import conversion, spectral, spike_train_correlation, spike_train_dissimilarity, statistics
    from elephant import spike_train_synchrony as synchrony

analysis = sp.analysis
N_RASTERS = 200
pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # elephant says how it rounds, what it drops, and where it divides by 0


@functools.cache
def raster(seed):
    """Times of each neuron, t_start, t_stop and a width of bins in ms."""
    rng = np.random.default_rng(seed)
    t_start = float(rng.choice([0.0, 100.0, -50.0, 3.7]))
    width = float(rng.choice([1.0, 5.0, 0.1, 2.5, 7.3]))
    n_bins = int(rng.integers(40, 200))
    t_stop = t_start + width * n_bins + (0.4 * width if seed % 3 == 0 else 0.0)
    trains = []
    for k in range(int(rng.integers(2, 7))):
        kind = (seed + k) % 6
        if kind == 0:
            times = np.zeros(0)
        elif kind == 1:
            times = rng.uniform(t_start, t_stop, 1)
        elif kind == 2:  # at edges of bins, some several times
            times = t_start + width * rng.integers(0, n_bins, rng.integers(2, 30))
        elif kind == 3:  # at both ends
            times = np.concatenate([[t_start, t_stop], rng.uniform(t_start, t_stop, rng.integers(0, 20))])
        else:
            times = rng.uniform(t_start, t_stop, rng.integers(2, 60))
        trains.append(np.sort(np.minimum(times, t_stop)))
    if seed % 10 == 0:
        trains.append(trains[-1].copy())  # twice the same
    return trains, t_start, t_stop, width


def ours(seed):
    trains, t_start, t_stop, width = raster(seed)
    return analysis.SpikeTrains.from_trains(trains, t_start, t_stop), width


def theirs(seed):
    trains, t_start, t_stop, width = raster(seed)
    return [neo.SpikeTrain(t, units="ms", t_start=t_start, t_stop=t_stop) for t in trains], width * pq.ms


@functools.cache
def binned(seed):
    trains, width = theirs(seed)
    return conversion.BinnedSpikeTrain(trains, bin_size=width)


def close(a, b):
    """Alike to 1e-12 of the largest, NaN where the other is."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    assert a.shape == b.shape
    scale = max(np.abs(b[np.isfinite(b)]).max(initial=0.0), 1.0)
    return np.allclose(a, b, rtol=1e-12, atol=1e-12 * scale, equal_nan=True)


def each(measure, seed, *args, **options):
    """A measure of elephant of the intervals of each neuron; NaN for fewer than two, where it raises or says 0."""
    trains, _ = theirs(seed)
    values = [statistics.isi(train.magnitude) for train in trains]
    return [measure(v, *args, **options) if len(v) > 1 else np.nan for v in values]


seeds = pytest.mark.parametrize("seed", range(N_RASTERS))


@seeds
def test_rates_and_intervals(seed):
    trains, _ = ours(seed)
    others, _ = theirs(seed)
    expected = [statistics.mean_firing_rate(t).rescale("Hz").item() for t in others]
    assert close(analysis.rates(trains), expected)
    assert close(analysis.isi(trains).intervals, np.concatenate([statistics.isi(t.magnitude) for t in others]))
    cv = np.array(each(statistics.cv, seed))
    assert close(analysis.cv(trains), cv)
    assert close(analysis.cv2(trains), each(statistics.cv2, seed))
    assert close(analysis.lv(trains), each(statistics.lv, seed))
    lvr = [statistics.lvr(np.diff(t.magnitude) * pq.ms, R=3 * pq.ms) if len(t) > 2 else np.nan for t in others]
    assert close(analysis.lvr(trains, R=3.0), lvr)


@seeds
def test_counts(seed):
    trains, width = ours(seed)
    others, bin_size = theirs(seed)
    expected = binned(seed).to_array()
    assert np.array_equal(analysis.spike_counts(trains, width), expected)
    edges, counts, rate = analysis.time_histogram(trains, width)
    assert close(edges, binned(seed).bin_edges.magnitude)
    assert np.array_equal(counts, statistics.time_histogram(others, bin_size).magnitude.ravel())
    assert close(rate, statistics.time_histogram(others, bin_size, output="rate").rescale("Hz").magnitude.ravel())
    # Their Fano factor is that of several trains, here one for each window.
    window = 4.0 * width
    theirs_counts = conversion.BinnedSpikeTrain(others, bin_size=4 * bin_size).to_array()
    fano = [statistics.fanofactor([np.zeros(k) for k in row]) for row in theirs_counts]
    assert close(analysis.fano_factor(trains, window), fano)


@seeds
def test_covariances_and_correlations(seed):
    trains, width = ours(seed)
    for fast in (True, False):
        assert close(analysis.covariance(trains, width), spike_train_correlation.covariance(binned(seed), fast=fast))
        with np.errstate(all="ignore"):
            expected = spike_train_correlation.correlation_coefficient(binned(seed), fast=fast)
        found = analysis.correlation_coefficient(trains, width)
        assert close(found, np.where(np.isfinite(expected), expected, np.nan))
    pairs = expected[np.triu_indices(len(expected), 1)]
    pairs = pairs[np.isfinite(pairs)]
    assert close(analysis.mean_correlation(trains, width), pairs.mean() if pairs.size else np.nan)


@seeds
def test_cross_correlation_histograms(seed):
    trains, width = ours(seed)
    rows = [conversion.BinnedSpikeTrain(train, bin_size=width * pq.ms) for train in theirs(seed)[0]]
    for i, j in ((0, 1), (1, 0), (-1, -1)):
        i, j = i % trains.n, j % trains.n
        for coefficient in (False, True):
            expected, lags = spike_train_correlation.cross_correlation_histogram(
                rows[i], rows[j], window=[-9, 9], cross_correlation_coefficient=coefficient, method="memory"
            )
            found = analysis.cross_correlation_histogram(
                trains[i], trains[j], bin_width=width, max_lag=9.0 * width, coefficient=coefficient
            )
            expected = expected.magnitude.ravel()
            assert close(found.lags, lags * width)
            assert close(found.values, np.where(np.isfinite(expected), expected, np.nan))


@seeds
def test_power_spectra(seed):
    trains, width = ours(seed)
    _, _, rate = analysis.time_histogram(trains, width)
    for options in ({}, {"frequency_resolution": 1e3 / (width * 25)}):
        found = analysis.power_spectrum(trains, width, **options)
        frequencies, power = spectral.welch_psd(rate, fs=1e3 / width, **options)
        assert close(found.frequencies, frequencies) and close(found.power, power)


@seeds
def test_van_rossum_distances(seed):
    """Squares to 1e-12; theirs of nearly equal trains is the root of a rounding."""
    trains, _ = ours(seed)
    for tau in (0.5, 20.0, 1000.0):
        found = analysis.van_rossum_distance(trains, tau)
        expected = spike_train_dissimilarity.van_rossum_distance(theirs(seed)[0], time_constant=tau * pq.ms)
        assert close(found**2, expected**2)
        apart = expected > 1e-2 * np.sqrt(trains.n_spikes.max(initial=1))
        assert close(found[apart], expected[apart])
        assert seed % 10 or found[-1, -2] == 0.0


@seeds
def test_victor_purpura_distances(seed):
    trains, _ = ours(seed)
    for cost in (0.0, 5.0, 300.0):
        expected = spike_train_dissimilarity.victor_purpura_distance(theirs(seed)[0], cost_factor=cost * pq.Hz)
        assert close(analysis.victor_purpura_distance(trains, cost), expected)


@seeds
def test_spike_time_tiling_coefficients(seed):
    """Where no two spikes are apart by `dt` and up to 1e-5 of the time: there they count as near, see below."""
    trains, t_start, t_stop, width = raster(seed)
    others, _ = theirs(seed)
    dt = 0.7 * width
    found = analysis.spike_time_tiling_coefficient(ours(seed)[0], dt)
    compared = 0
    for i in range(len(trains)):
        for j in range(i, len(trains)):
            if not len(trains[i]) or not len(trains[j]):
                assert np.isnan(found[i, j])
                continue
            apart = np.abs(trains[i][:, None] - trains[j]) - dt
            if ((apart > -1e-9) & (apart < 1.001e-5 * max(abs(t_start), abs(t_stop)) + 1e-9)).any():
                continue
            expected = spike_train_correlation.spike_time_tiling_coefficient(others[i], others[j], dt=dt * pq.ms)
            assert abs(found[i, j] - expected) < 1e-12 and found[j, i] == found[i, j]
            compared += 1
    assert compared >= len(trains) // 4


@seeds
def test_spike_contrast(seed):
    trains, width = ours(seed)
    others, bin_size = theirs(seed)
    if max(map(len, others)) < 2:
        return
    expected = synchrony.spike_contrast(others, min_bin=2 * bin_size)
    assert abs(analysis.spike_contrast(trains, 2.0 * width) - expected) < 1e-12


def test_neo_trains_and_results_are_taken_alike():
    trains, t_start, t_stop, _ = raster(5)
    in_ms, _ = theirs(5)
    expected = analysis.rates(analysis.SpikeTrains.from_trains(trains, t_start, t_stop))
    assert np.array_equal(analysis.rates(in_ms), expected)
    assert np.array_equal(analysis.rates(in_ms[0]), expected[:1])
    in_s = [train.rescale("s") for train in in_ms]
    assert np.allclose(analysis.rates(in_s), expected, rtol=1e-12)
    assert np.allclose(analysis.cv(in_s), analysis.cv(in_ms), rtol=1e-9, equal_nan=True)
    for a, b in zip(analysis.time_histogram(in_ms, 0.005 * pq.s), analysis.time_histogram(in_ms, 5.0), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(sp.errors.ParameterError, match="bin_width must be a time, or plain numbers in ms"):
        analysis.spike_counts(in_ms, 5.0 * pq.mV)
    with pytest.raises(sp.errors.ParameterError, match="cost_factor must be a rate"):
        analysis.victor_purpura_distance(in_ms, 5.0 * pq.ms)
    assert np.array_equal(
        analysis.victor_purpura_distance(in_ms, 0.1 * pq.kHz), analysis.victor_purpura_distance(in_ms, 100.0)
    )
    other = neo.SpikeTrain([1.0], units="ms", t_start=0.0, t_stop=t_stop + 1.0)
    with pytest.raises(sp.errors.ParameterError, match="t_start must be the same|t_stop must be the same"):
        analysis.rates([in_ms[0], other])


# What elephant 1.2.1 does otherwise; docs/analysis.md says so. If one of these fails, it has changed there. -----------


def test_the_cv_of_a_single_interval_is_0_there():
    assert statistics.cv(np.array([3.0])) == 0.0
    assert np.isnan(analysis.cv(([1.0, 4.0], [0, 0], 1, 0.0, 5.0))).all()


def test_their_tiling_window_grows_with_time():
    """By 1e-5 of the time: spikes 5.5 ms apart are within 5 ms of each other after 100 s."""
    found = []
    for start in (0.0, 1e5):
        ends = {"t_start": start, "t_stop": start + 1000.0}
        a, b = (neo.SpikeTrain([start + t], units="ms", **ends) for t in (100.0, 105.5))
        theirs_sttc = spike_train_correlation.spike_time_tiling_coefficient(a, b, dt=5.0 * pq.ms)
        found.append((theirs_sttc, analysis.spike_time_tiling_coefficient([a, b], 5.0)[0, 1]))
    (theirs_early, ours_early), (theirs_late, ours_late) = found
    assert theirs_early == pytest.approx(ours_early, abs=1e-12) and ours_late == pytest.approx(ours_early, abs=1e-12)
    assert theirs_late == 1.0


def test_their_correlograms_of_a_window_that_is_not_symmetric_are_of_other_lags():
    trains, width = ours(5)
    rows = [conversion.BinnedSpikeTrain(train, bin_size=width * pq.ms) for train in theirs(5)[0]]
    i, j = np.argsort(trains.n_spikes)[-2:]
    values, lags = spike_train_correlation.cross_correlation_histogram(rows[i], rows[j], window=[2, 10])
    right = analysis.cross_correlation_histogram(trains[i], trains[j], bin_width=width, max_lag=10.0 * width)
    assert lags.tolist() == list(range(2, 11)) and values.shape == (1, 1)
    assert values.magnitude.item() == right.values[10]  # of lag 0


def test_their_distances_of_a_train_from_itself_are_not_0_at_the_limits():
    a = neo.SpikeTrain([1.0, 2.0, 3.0], units="ms", t_start=0.0, t_stop=5.0)
    distance = spike_train_dissimilarity.victor_purpura_distance([a, a], cost_factor=np.inf * pq.Hz)
    assert (distance == 6.0).all()
    assert (spike_train_dissimilarity.van_rossum_distance([a, a], time_constant=0.0 * pq.ms) == np.sqrt(6.0)).all()
    assert (
        not analysis.victor_purpura_distance([a, a], 1e9).any() and not analysis.van_rossum_distance([a, a], 1e-6).any()
    )
