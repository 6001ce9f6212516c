"""Samples as ragged arrays: the spikes, gradients and weights of pairs; files of SHD's layout; events of tonic."""

import hashlib

import h5py
import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import FileFormatError, ParameterError, StorageError

LIFEXP = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
DURATION = 60.0


def pairs_of(n=20, sources=7, seed=1):
    """Samples with 0 to 12 spikes, the first one with none; sources may fire several times, and not in order."""
    rng = np.random.default_rng(seed)
    sizes = [0, *rng.integers(0, 13, n - 1)]
    pairs = [(rng.uniform(0.0, 40.0, size), rng.integers(0, sources, size)) for size in sizes]
    pairs[5] = np.round(pairs[5][0], -1), pairs[5][1]  # at the same times
    return pairs


def data_of(pairs, n=7, **options):
    offsets = np.concatenate([[0], np.cumsum([len(times) for times, _ in pairs])])
    return training.SpikeData(*(np.concatenate(part) for part in zip(*pairs, strict=True)), offsets, n=n, **options)


def in_order(times, ids):
    """Of spikes: by time, then by id."""
    return np.lexsort((ids, times))


def network():
    return training.layered_network([7, 12, 3], LIFEXP, seed=2)


def test_samples_are_taken_as_lists_are():
    pairs, labels = pairs_of(), np.arange(20) % 3
    data = data_of(pairs, labels=labels)
    assert len(data) == 20 and data.n_spikes == sum(len(times) for times, _ in pairs)
    assert data.counts.tolist() == [len(times) for times, _ in pairs]
    for chosen in ([3, 0, 3, 19], slice(4, 15, 3), labels == 1, [], np.random.default_rng(1).permutation(20)):
        numbers = np.arange(20)[chosen] if len(np.shape(chosen)) != 1 or len(chosen) else []
        some = data[chosen]
        assert len(some) == len(numbers) and some.n == 7 and np.array_equal(some.labels, labels[numbers])
        for k, number in enumerate(numbers):
            for mine, theirs in zip(some[k], pairs[number], strict=True):
                assert np.array_equal(mine, theirs[in_order(*pairs[number])])
    assert all(np.array_equal(a, b) for a, b in zip(data[-1], data[19], strict=True))
    assert len(list(data)) == 20  # an iteration ends
    with pytest.raises(ValueError, match="read-only"):
        data.times[0] = 0.0
    with pytest.raises(IndexError, match="there are 20 samples, got the number 20"):
        data[20]


def test_a_batch_has_the_spikes_and_gradients_of_pairs():
    pairs = pairs_of()
    data = data_of(pairs)
    one, two = (sp.run_batch(network(), given, DURATION, tape=True, n_threads=1) for given in (pairs, data))
    assert one.n_spikes > 20 and np.array_equal(one.times, two.times) and np.array_equal(one.ids, two.ids)
    first, second = (result.backward(np.linspace(0.0, 1.0, one.n_spikes)) for result in (one, two))
    for k in (0, 1):
        assert np.array_equal(first.weight[k], second.weight[k])
    assert second.input_times["input"].shape == data.times.shape
    theirs = [by_time[in_order(*pair)] for by_time, pair in zip(first.input_times["input"], pairs, strict=True)]
    assert np.array_equal(np.concatenate(theirs), second.input_times["input"])
    assert np.any(second.input_times["input"])


def test_two_sources_may_be_given_in_two_ways():
    net = network()
    more = net.add(2, sp.SpikeSource([], []), name="more")
    net.connect(more, net.populations[2], sp.all_to_all(), weight=3.0)
    pairs, times = pairs_of(), np.random.default_rng(5).uniform(0.0, 30.0, (20, 2))
    one, two = (
        sp.run_batch(net, {"more": times, "input": given}, DURATION, tape=True) for given in (pairs, data_of(pairs))
    )
    assert np.array_equal(one.times, two.times)
    first, second = (result.backward(np.ones(one.n_spikes)).input_times for result in (one, two))
    assert np.array_equal(first["more"], second["more"]) and second["more"].shape == (20, 2)
    theirs = [by_time[in_order(*pair)] for by_time, pair in zip(first["input"], pairs, strict=True)]
    assert np.array_equal(np.concatenate(theirs), second["input"])


def test_a_training_has_the_weights_of_pairs_and_does_not_depend_on_threads():
    pairs, labels = pairs_of(64), np.arange(64) % 3
    weights = []
    for inputs, n_threads in ((pairs, 1), (data_of(pairs, labels=labels), 1), (data_of(pairs, labels=labels), 2)):
        trainer = training.Trainer(network(), training.FirstSpikeCrossEntropy(), duration=DURATION, n_threads=n_threads)
        trainer.fit(inputs, labels, 3, validation=(inputs[:10], labels[:10]))
        weights.append([p.weight for p in trainer.network.projections])
    assert not np.array_equal(weights[0][0], network().projections[0].weight)
    for other in weights[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(weights[0], other, strict=True))


# Files --------------------------------------------------------------------------------------------------------------


def write_shd(path, samples, labels, times_dtype=np.float16, units_dtype=np.uint16):
    """A file in the layout of SHD, with what else there is in it."""
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", len(samples), h5py.vlen_dtype(times_dtype))
        units = file.create_dataset("spikes/units", len(samples), h5py.vlen_dtype(units_dtype))
        for k, (t, u) in enumerate(samples):
            times[k], units[k] = np.asarray(t, times_dtype), np.asarray(u, units_dtype)
        file["labels"] = np.asarray(labels, np.uint16)
        file["extra/speaker"] = np.zeros(len(samples), np.uint16)
        file["extra/keys"] = np.array([b"zero", b"null"])


def shd(n=9, seed=4):
    rng = np.random.default_rng(seed)
    sizes = [0, *rng.integers(1, 60, n - 1)]
    return [(np.sort(rng.uniform(0.0, 1.4, size)), rng.integers(0, 700, size)) for size in sizes]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_file_of_shds_layout(tmp_path, dtype):
    samples, labels = shd(), np.arange(9) * 2
    write_shd(tmp_path / "shd.h5", samples, labels, dtype)
    data = training.read_shd(tmp_path / "shd.h5")
    assert len(data) == 9 and data.n == 700
    assert data.labels.dtype == np.int64 and data.labels.tolist() == labels.tolist()
    for k, (times, units) in enumerate(samples):
        mine, ids = data[k]
        order = in_order(times.astype(dtype), units)
        assert np.array_equal(mine, times.astype(dtype)[order].astype(float) * 1000.0)
        assert np.array_equal(ids, units[order])
        assert mine == pytest.approx(times * 1000.0, abs={np.float16: 0.5, np.float32: 1e-4, np.float64: 0.0}[dtype])
    assert 100.0 < data.times.max() < 1401.0  # ms
    part = training.read_shd(tmp_path / "shd.h5", samples=slice(2, 5))
    assert np.array_equal(part.times, data[2:5].times) and np.array_equal(part.labels, data.labels[2:5])
    assert np.array_equal(training.read_shd(tmp_path / "shd.h5", unit="ms").times * 1000.0, data.times)


def test_a_network_is_trained_on_a_file_of_shds_layout(tmp_path):
    """Two classes: low channels first, or high ones."""
    rng, samples, labels = np.random.default_rng(2), [], np.arange(60) % 2
    for label in labels:
        times = np.sort(rng.uniform(0.0, 0.05, 40))
        units = np.where((times < 0.025) == (label == 0), rng.integers(0, 350, 40), rng.integers(350, 700, 40))
        samples.append((times, units))
    write_shd(tmp_path / "shd.h5", samples, labels, np.float32)
    data = training.read_shd(tmp_path / "shd.h5")
    few = training.SpikeData(data.times, data.ids // 70, data.offsets, data.labels)  # 10 sources
    net = training.layered_network([few.n, 20, 2], LIFEXP, weight_mean=[0.4, 1.0], weight_std=[0.3, 0.5], seed=3)
    loss = training.FirstSpikeCrossEntropy()
    trainer = training.Trainer(net, loss, duration=80.0, optimizer=training.Adam(lr=0.02), batch_size=10, n_threads=1)
    before = trainer.evaluate(few, few.labels)["loss"]
    trainer.fit(few, few.labels, 15)
    after = trainer.evaluate(few, few.labels)
    assert after["loss"] < 0.5 * before and after["accuracy"] > 0.9


def test_files_of_another_layout_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(StorageError, match="cannot read"):
        training.read_shd(path)
    path.write_bytes(b"no file of HDF5")
    with pytest.raises(FileFormatError, match="no HDF5 file"):
        training.read_shd(path)
    with h5py.File(path, "w") as file:
        file["spikes/times"] = np.zeros(3)
    with pytest.raises(FileFormatError, match="'spikes/times' must be a dataset of arrays of any length"):
        training.read_shd(path)
    write_shd(path, shd(), np.zeros(8))
    with pytest.raises(FileFormatError, match="a label, times and units for each sample"):
        training.read_shd(path)
    write_shd(path, shd(), np.zeros(9))
    with pytest.raises(
        FileFormatError, match=r"spikes/units must be in \[0, 70\).*; n is the number of sources, here 70"
    ):
        training.read_shd(path, n=70)
    write_shd(path, [([0.1, 0.2], [1, 2]), ([0.1], [1, 2])], [0, 1])
    with pytest.raises(FileFormatError, match="sample 1 has 1 times and 2 units"):
        training.read_shd(path)
    write_shd(path, [([-0.1], [1])], [0])
    with pytest.raises(FileFormatError, match="times must be finite times >= 0 ms"):
        training.read_shd(path)


# Spoken digits --------------------------------------------------------------------------------------------------------


def test_spoken_digits_are_the_same_everywhere():
    data = training.spoken_digits(6, seed=3)
    found = hashlib.sha256(data.times.tobytes() + data.ids.tobytes() + data.labels.tobytes()).hexdigest()
    assert found == "9e8ac994003f465d35ba0bbe3646704ba80544058ab8458647cae3caac6d3124"
    other = training.spoken_digits(6, seed=4)
    assert not np.array_equal(other.times[:100], data.times[:100])
    assert len(training.spoken_digits(0, seed=3)) == 0


def test_spoken_digits_have_the_sizes_of_shd():
    data = training.spoken_digits(200, seed=1)
    assert data.n == 700 and set(data.labels.tolist()) == set(range(20))
    assert 7000 < data.counts.mean() < 9000 and data.counts.min() > 3000
    assert data.times.min() >= 0.0 and data.times.max() < 1000.0
    alone = training.spoken_digits(100, seed=1, speakers=[3])
    assert set(alone.labels.tolist()) <= set(range(20)) and len(alone) == 100


def test_order_alone_tells_a_word_from_its_reverse():
    """Nearest centroids of counts by channel know the sounds but not their order; those of counts in time know both."""
    train, tests = training.spoken_digits(600, seed=1, speakers=[2]), training.spoken_digits(200, seed=2, speakers=[2])

    def right(n_bins):
        """(share of tests that are right, share that are right but for the order)."""
        parts = [counts(data, n_bins) for data in (train, tests)]
        centroids = np.array([parts[0][train.labels == k].mean(axis=0) for k in range(20)])
        nearest = ((parts[1][:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
        return np.mean(nearest == tests.labels), np.mean(nearest % 10 == tests.labels % 10)

    def counts(data, n_bins):
        """Square roots of numbers of spikes: 35 bands of channels, and bins of time over the sample."""
        sample = np.repeat(np.arange(len(data)), data.counts)
        ends = data.times[data.offsets[1:] - 1]
        bins = np.minimum((data.times / ends[sample] * n_bins).astype(int), n_bins - 1)
        at = (sample * 35 + data.ids // 20) * n_bins + bins
        return np.sqrt(np.bincount(at, minlength=len(data) * 35 * n_bins).reshape(len(data), -1))

    (by_channel, sounds), (in_time, both) = right(1), right(6)
    assert sounds > 0.8 and 0.35 < by_channel < 0.65  # a coin decides on the order
    assert in_time > 0.75 and both > 0.8


def test_spikes_are_written_in_shds_layout(tmp_path):
    data = training.spoken_digits(7, seed=5)
    training.write_shd(tmp_path / "words.h5", data)
    again = training.read_shd(tmp_path / "words.h5")
    assert np.array_equal(again.ids, data.ids) and np.array_equal(again.labels, data.labels)
    assert np.array_equal(again.offsets, data.offsets) and again.n == 700
    np.testing.assert_allclose(again.times, data.times, rtol=4e-16)
    few = training.SpikeData([1.0], [2], [0, 0, 1], [4, 0], n=3)
    training.write_shd(tmp_path / "words.h5", few)  # replaced; a sample without spikes
    assert training.read_shd(tmp_path / "words.h5", n=3).counts.tolist() == [0, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["words.h5"]
    with pytest.raises(StorageError, match="does not exist"):
        training.write_shd(tmp_path / "no" / "words.h5", data)


# Events ---------------------------------------------------------------------------------------------------------------

AUDIO = np.dtype([("t", int), ("x", int), ("p", int)])  # tonic's SHD
CAMERA = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])  # tonic's cameras


def test_events_of_a_camera():
    rng = np.random.default_rng(1)
    samples = []
    for size in (5, 0, 8):
        sample = np.zeros(size, CAMERA)
        sample["x"], sample["y"] = rng.integers(0, 34, size), rng.integers(0, 20, size)
        sample["t"], sample["p"] = np.sort(rng.integers(0, 300_000, size)), rng.integers(0, 2, size)
        samples.append(sample)
    data = training.spikes_from_events(samples, (34, 20, 2), labels=["a", "b", "c"])
    assert data.n == 34 * 20 * 2 and data.counts.tolist() == [5, 0, 8] and data.labels.tolist() == ["a", "b", "c"]
    for k, sample in enumerate(samples):
        times, ids = data[k]
        assert np.array_equal(times, sample["t"] / 1000.0)
        assert np.array_equal(np.unravel_index(ids, (2, 20, 34)), [sample["p"], sample["y"], sample["x"]])


class Dataset:
    """As those of tonic: pairs (events, label) by number."""

    sensor_size = (700, 1, 1)

    def __init__(self, samples, labels):
        self.samples, self.labels = samples, labels

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index], self.labels[index]


def test_tonics_shd_is_that_of_the_file(tmp_path):
    """To the microsecond, at which tonic cuts times."""
    write_shd(tmp_path / "shd.h5", shd(), np.arange(9), np.float32)
    data, samples = training.read_shd(tmp_path / "shd.h5"), []
    for k in range(9):
        times, ids = data[k]
        sample = np.zeros(len(times), AUDIO)
        sample["t"], sample["x"], sample["p"] = times * 1000.0, ids, 1
        samples.append(sample)
    dataset = Dataset(samples, data.labels.tolist())
    theirs = training.spikes_from_events(dataset, dataset.sensor_size)
    assert theirs.n == 700 and np.array_equal(theirs.ids, data.ids) and np.array_equal(theirs.labels, data.labels)
    assert np.array_equal(theirs.offsets, data.offsets) and np.abs(theirs.times - data.times).max() < 1.001e-3


def events(**options):
    options = {"events": [np.array([(1, 2, 0)], AUDIO)], "sensor_size": (3, 1, 2)} | options
    return lambda: training.spikes_from_events(**options)


def data(times=(1.0, 2.0), ids=(0, 1), offsets=(0, 1, 2), **options):
    return lambda: training.SpikeData(times, ids, offsets, **options)


REFUSED = [
    (data(times=[1.0, -2.0]), "times must be finite times >= 0 ms, got -2.0 at index 1"),
    (data(times=[1.0, np.inf]), "times must be finite times >= 0 ms, got inf"),
    (data(ids=[0]), "ids must be one for each of the 2 times, got 1"),
    (data(ids=[0, -1]), "ids must be in"),
    (data(ids=[0.0, 1.0]), "ids must be an array of integers"),
    (data(offsets=[0, 1]), "offsets must go up from 0 to the number of spikes, 2"),
    (data(offsets=[1, 2]), "offsets must go up"),
    (data(offsets=[0, 2, 1, 2]), "offsets must go up"),
    (data(offsets=[]), "offsets must go up"),
    (data(labels=[1]), "labels must be one for each of the 2 samples, got 1"),
    (data(labels=3), "labels must be one for each of the 2 samples, got 3"),
    (data(labels=[[1], [1, 2]]), "labels must be an array"),
    (data(n=1), "n must be a whole number above all ids, of which the largest is 1, got 1"),
    (lambda: data()()[[True]], r"a mask must be of shape \(2,\)"),
    (lambda: data()()[[2]], r"samples must be in \[0, 2\), got 2"),
    (lambda: sp.run_batch(network(), data(n=8)(), 9.0), "inputs of 'input' must be of its 7 sources, got <SpikeData"),
    (events(events=None), "events must be a sequence"),
    (events(events=[np.zeros(3)]), "events of sample 0 must be a structured array with the fields t, x, p"),
    (events(sensor_size=(3, 2, 2)), r"the fields t, x, p \(and y\)"),
    (events(sensor_size=(2, 1, 2)), r"x of events must be in \[0, 2\), got 2"),
    (events(sensor_size=3), "sensor_size must be"),
    (events(sensor_size=(3, 0, 1)), r"sensor_size\[1\] must be"),
    (events(unit="m"), "unknown unit: 'm'"),
    (events(events=[(np.array([(1, 2, 0)], AUDIO), 3)], labels=[3]), "labels must not be given"),
    (lambda: training.read_shd("a.h5", samples=[1]), "samples must be a slice"),
    (lambda: training.read_shd("a.h5", n=0), "n must be a whole number >= 1"),
    (lambda: training.spoken_digits(-1, 0), "n of spoken_digits must be"),
    (lambda: training.spoken_digits(1, -1), "seed of spoken_digits must be"),
    (lambda: training.spoken_digits(1, 0, speakers=[12]), "speakers must be in"),
    (lambda: training.spoken_digits(1, 0, speakers=[]), "speakers must name at least one"),
    (lambda: training.write_shd("a.h5", [1]), "data must be a SpikeData"),
    (lambda: training.write_shd("a.h5", training.SpikeData([], [], [0])), "a label for each sample"),
    (lambda: training.write_shd("a.h5", training.SpikeData([], [], [0, 0], [0.5])), "labels of data"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "match"), REFUSED, ids=[match for _, match in REFUSED])
def test_what_is_refused(call, match):
    with pytest.raises(ParameterError, match=match):
        call()
