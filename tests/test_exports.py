"""Results in neo, pandas, pynapple and xarray: read back there, the same bits in the unit of the library."""

import sys

import numpy as np
import pytest

import sparseprop as sp


def installed(library):
    """The library; the test is skipped where it is not."""
    return pytest.importorskip(library, reason=f'{library}: pip install "sparseprop-sim[{library}]"')


def run(duration=200.0):
    """All kinds of recordings, of several populations, not all of which are recorded, or fire."""
    net = sp.Network(seed=3)
    E = net.add(30, sp.LIFExp(tau_m=10.0, tau_syn=(2.0, 5.0), I_e=1.3), name="E")
    I = net.add(10, sp.LIF(tau_m=7.0, I_e=1.2), name="I")
    net.add(2, sp.LIF(tau_m=7.0), name="silent")
    src = net.add(4, sp.PoissonSource(30.0), name="source")
    net.connect(E, I, sp.fixed_indegree(5), weight=0.05)
    net.connect(I, E, sp.fixed_indegree(3), weight=-0.1, delay=1.5)
    net.connect(src, E, sp.all_to_all(), weight=0.2, port=1)
    chosen = {"E": True, "I": [1, 2, 7], "silent": True, "source": True}
    kept = sp.Record(
        spikes=chosen, record_sources=True, bins=7.0,
        V={"E": [0, 3], "I": [9]}, V_times=0.3, I_syn={"E": [2, 5]}, I_syn_times=[1.0, 2.5, 10.0 / 3.0],
    )  # fmt: skip
    return net.run(duration, record=kept)


@pytest.fixture(scope="module")
def res():
    res = run()
    assert len(res.times) > 300
    return res


def whose(res, i):
    info = next(info for info in reversed(res.populations) if info.first <= i)
    return info.name, i - info.first


def same(a, b):
    """The same bits, in an array of its own."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype.kind == b.dtype.kind and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


# neo ----------------------------------------------------------------------------------------------------------------


def test_neo_has_each_train_with_the_same_bits(res):
    neo = installed("neo")
    (segment,) = res.to_neo().segments
    trains, expected = segment.spiketrains, res.spike_trains()
    assert len(trains) == len(expected) == 30 + 3 + 2 + 4
    for train, (i, times) in zip(trains, expected.items(), strict=True):
        assert isinstance(train, neo.SpikeTrain) and str(train.units.dimensionality) == "ms"
        assert same(train.magnitude, times) and train.segment is segment
        about = train.annotations
        assert (about["channel_id"], (about["population"], about["neuron"])) == (i, whose(res, i))
        assert (train.t_start.item(), train.t_stop.item()) == (0.0, 200.0)
    assert trains[-5].name == "silent 1" and len(trains[-5]) == 0


def test_neo_has_what_else_was_recorded(res):
    neo = installed("neo")
    (segment,) = res.to_neo("mV").segments
    V, *currents = segment.irregularlysampledsignals
    assert isinstance(V, neo.IrregularlySampledSignal) and str(V.units.dimensionality) == "mV"
    assert same(V.magnitude, res.V) and same(V.times.rescale("ms").magnitude, res.V_times)
    assert V.array_annotations["population"].tolist() == ["E", "E", "I"]
    assert V.array_annotations["neuron"].tolist() == [0, 3, 9]
    assert [signal.name for signal in currents] == ["I_syn of port 0", "I_syn of port 1"]
    for port, signal in enumerate(currents):
        assert same(signal.magnitude, res.I_syn[:, :, port])
    counts = {signal.name: signal for signal in segment.analogsignals}
    assert same(counts["counts of I"].magnitude[:, 0].astype(np.int64), res.counts["I"])
    assert counts["counts of I"].sampling_period.item() == 7.0


def test_neo_refuses_a_unit_that_there_is_not(res):
    installed("neo")
    with pytest.raises(sp.errors.ParameterError, match="to_neo: unit must be the name of a unit .* got 'milli'"):
        res.to_neo("milli")


# pandas -------------------------------------------------------------------------------------------------------------


def test_pandas_has_the_spikes_in_their_order(res, tmp_path):
    installed("pandas")
    table = res.to_pandas()
    assert same(table["time"], res.times) and same(table["id"], res.ids)
    assert list(zip(table["population"], table["neuron"], strict=True)) == [whose(res, i) for i in res.ids.tolist()]
    assert (table.attrs["t_start"], table.attrs["t_stop"]) == (0.0, 200.0)
    table.to_csv(tmp_path / "spikes.csv", index=False)
    first, *rows = (tmp_path / "spikes.csv").read_text().splitlines()
    assert first == "time,id,population,neuron"
    assert same([float(row.partition(",")[0]) for row in rows], res.times)


def test_pandas_has_what_else_was_recorded(res):
    installed("pandas")
    V, I_syn, counts = (res.to_pandas(what) for what in ("V", "I_syn", "counts"))
    assert same(V.index, res.V_times) and same(V["I", 9], res.V[:, 2]) and same(V.to_numpy(), res.V)
    assert same(I_syn["E", 5, 1], res.I_syn[:, 1, 1]) and I_syn.shape == (3, 4)
    assert same(counts["E"], res.counts["E"]) and same(counts.index, 7.0 * np.arange(29))


def test_a_table_is_a_copy(res):
    installed("pandas")
    before = res.times[0]
    table = res.to_pandas()
    table.loc[0, "time"] = -1.0
    assert res.times[0] == before


# pynapple -----------------------------------------------------------------------------------------------------------


def test_pynapple_has_each_train_in_seconds(res):
    installed("pynapple")
    group, expected = res.to_pynapple(), res.spike_trains()
    assert list(group.keys()) == list(expected)
    for i, times in expected.items():
        assert same(group[i].t, times / 1000.0)
        assert (group["population"][i], group["neuron"][i]) == whose(res, i)
    assert group.time_support.start.tolist() == [0.0] and group.time_support.end.tolist() == [0.2]
    assert same(group["rate"].to_numpy(), [len(times) / 0.2 for times in expected.values()])


def test_pynapple_keeps_spikes_at_both_ends():
    installed("pynapple")
    net = sp.Network(seed=1)
    net.add(2, sp.SpikeSource([0.0, 0.3, 7.0], [0, 1, 1]), name="in")
    net.add(1, sp.LIF(tau_m=10.0), name="E")
    res = net.run(0.1 + 7.0, record=sp.Record(record_sources=True))
    group = res.between(0.0, 7.1).to_pynapple()
    assert [len(group[i]) for i in (0, 1, 2)] == [1, 2, 0]  # a neuron's only spike, and a silent one
    clock = sp.Network(seed=1)
    clock.add(1, sp.LIF(tau_m=10.0, I_e=1.1))
    ended = clock.run(n_spikes=3)
    assert ended.times[-1] == ended.t_stop
    assert same(ended.to_pynapple()[0].t, ended.times / 1000.0)


def test_pynapple_has_V_and_I_syn(res):
    installed("pynapple")
    V, I_syn = res.to_pynapple("V"), res.to_pynapple("I_syn")
    assert same(V.t, res.V_times / 1000.0) and same(V.values, res.V) and V.columns.tolist() == res.V_ids.tolist()
    assert same(I_syn.values, res.I_syn) and same(I_syn.t, res.I_syn_times / 1000.0)


def test_pynapple_refuses_what_it_has_nothing_for(res):
    installed("pynapple")
    with pytest.raises(sp.errors.ParameterError, match="counts have bins, which pynapple has not"):
        res.to_pynapple("counts")
    with pytest.raises(sp.errors.ParameterError, match="drops intervals without duration"):
        run(0.0).to_pynapple()
    net = sp.Network(seed=1)
    net.add(1, sp.LIF(tau_m=10.0))
    with pytest.raises(sp.errors.ParameterError, match="no neuron was recorded"):
        net.run(1.0, record=sp.Record(spikes=False)).to_pynapple()


# xarray -------------------------------------------------------------------------------------------------------------


def test_xarray_has_all_that_was_recorded(res):
    installed("xarray")
    data = res.to_xarray()
    assert same(data["time"], res.times) and same(data["id"], res.ids)
    names = data["population"].values[data["of_population"]]
    pairs = zip(names.tolist(), data["neuron"].values.tolist(), strict=True)
    assert list(pairs) == [whose(res, i) for i in res.ids.tolist()]
    assert same(data["V"], res.V) and same(data["V_time"], res.V_times)
    assert data["V"].sel(V_id=39).dims == ("V_time",)
    assert same(data["I_syn"], res.I_syn) and data["I_syn"].dims == ("I_syn_time", "I_syn_id", "port")
    assert same(data["counts"].sel(counted="I"), res.counts["I"]) and data["counts"].attrs["bin_width"] == 7.0
    assert data.attrs["t_stop"] == 200.0 and data["time"].attrs["units"] == "ms"


# All ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["neo", "pandas", "pynapple", "xarray"])
def test_results_without_spikes_and_parts(library):
    installed(library)
    net = sp.Network(seed=1)
    net.add(3, sp.LIF(tau_m=10.0), name="E")
    export = f"to_{library}"
    for res in (net.run(10.0), net.run(10.0)["E"], net.run(10.0).between(2.0, 5.0)):
        assert getattr(res, export)() is not None
    assert getattr(run()["I"], export)() is not None


def test_files_of_other_programs(tmp_path):
    """Of which nobody knows how many neurons were recorded: those that fired."""
    installed("pandas")
    import h5py

    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["spikes/E/timestamps"], file["spikes/E/node_ids"] = [1.0, 2.0], np.array([4, 1], np.uint64)
    res = sp.load(tmp_path / "s.h5")
    assert res.to_pandas()["neuron"].tolist() == [4, 1]
    installed("neo")
    assert [train.annotations["neuron"] for train in res.to_neo().segments[0].spiketrains] == [1, 4]


def test_what_was_not_recorded_is_named(res):
    installed("pandas")
    net = sp.Network(seed=1)
    net.add(1, sp.LIF(tau_m=10.0))
    empty = net.run(1.0)
    for what, remedy in (("V", r"V=\.\.\., V_times"), ("I_syn", r"I_syn=\.\.\."), ("counts", "bins")):
        with pytest.raises(sp.errors.ParameterError, match=rf"to_pandas: there is no {what} here; .*Record\({remedy}"):
            empty.to_pandas(what)
    with pytest.raises(sp.errors.ParameterError, match="unknown part of a Result for to_pandas: 'v' .*mean 'V'"):
        res.to_pandas("v")
    with pytest.raises(sp.errors.ParameterError, match="to_pandas: what must be one of 'spikes'.*got 3"):
        res.to_pandas(3)


@pytest.mark.parametrize("library", ["neo", "pandas", "pynapple", "xarray"])
def test_a_missing_library_is_explained(monkeypatch, res, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"to_{library} needs {library}: run `pip install .*\[{library}\]"):
        getattr(res, f"to_{library}")()
