"""What a run keeps: chosen spikes, membrane potentials, counts; and stopping by a callback."""

import functools
import math

import numpy as np
import pytest

import sparseprop as sp

ENGINES = ["window", "heap", "reference"]


@pytest.fixture
def net():
    net = sp.Network(seed=1)
    E = net.add(80, sp.LIF(tau_m=10.0, I_e=1.3), name="E")
    I = net.add(20, sp.Theta(tau_m=10.0, I_e=0.2), name="I")
    s = net.add(2, sp.SpikeSource([1.0, 30.0], [0, 1]), name="s")
    for post in (E, I):
        net.connect(E, post, sp.fixed_indegree(10), weight=0.02, delay=1.0)
        net.connect(I, post, sp.fixed_indegree(5), weight=-0.1, delay=0.5)
        net.connect(s, post, sp.all_to_all(), weight=0.01)
    return net


def chosen(res, mask):
    return res.times[mask].tolist(), res.ids[mask].tolist()


@pytest.mark.parametrize("to_file", [False, True])
def test_spikes_of_chosen_populations_and_neurons(net, to_file, tmp_path):
    whole = net.run(60.0)
    path = tmp_path / "raster.h5" if to_file else None
    Record = functools.partial(sp.Record, path, overwrite=to_file)
    cases = {
        (("E",)): whole.ids < 80,
        (("I", "E")): whole.ids >= 0,
    }
    for names, mask in cases.items():
        res = net.run(60.0, record=Record(spikes=list(names)))
        assert (res.times.tolist(), res.ids.tolist()) == chosen(whole, mask)
        assert res.n_spikes == whole.n_spikes and res.rate == whole.rate
    res = net.run(60.0, record=Record(spikes={"E": [3, 5], "I": [0]}))
    assert (res.times.tolist(), res.ids.tolist()) == chosen(whole, np.isin(whole.ids, [3, 5, 80]))
    res = net.run(60.0, record=Record(spikes=[net.populations[1]]))
    assert (res.times.tolist(), res.ids.tolist()) == chosen(whole, whole.ids >= 80)
    none = net.run(60.0, record=Record(spikes=False))
    assert none.times.size == 0 and none.n_spikes == whole.n_spikes
    with_sources = net.run(60.0, record=Record(record_sources=True))
    assert with_sources.n_spikes == whole.n_spikes == with_sources.times.size - 2
    assert with_sources.cv_isi == whole.cv_isi


@pytest.mark.parametrize("engine", ENGINES)
def test_potentials_are_those_of_a_run_that_stops_there(net, engine):
    res = net.run(60.0, engine=engine, record=sp.Record(V={"E": [7], "I": True}, V_times=[0.0, 12.5, 31.25, 60.0]))
    assert res.V_times.tolist() == [0.0, 12.5, 31.25]  # a time at the end belongs to the next run
    assert res.V_ids.tolist() == [7, *range(80, 100)] and res.V.shape == (3, 21)
    sim = sp.Simulation(net, engine=engine)
    for k, t in enumerate(res.V_times):
        sim.run(t - sim.time)
        assert np.array_equal(sim.V[res.V_ids], res.V[k])
    assert np.array_equal(net.run(60.0, engine=engine).times, res.times)


def test_a_potential_is_that_of_the_moment_before():
    net = sp.Network(seed=1)
    net.add(1, sp.LIF(tau_m=10.0, I_e=2.0), V=0.0)
    due = net.run(n_spikes=1).times[0]
    V = net.run(30.0, record=sp.Record(V=[0], V_times=[due, np.nextafter(due, 99.0)])).V[:, 0]
    assert V[0] == pytest.approx(1.0, abs=1e-14) and V[1] == pytest.approx(0.0, abs=1e-14)


def test_an_interval_counts_from_the_beginning_of_the_run(net):
    sim = sp.Simulation(net)
    sim.run(7.0)
    res = sim.run(20.0, record=sp.Record(V=[0], V_times=5.0))
    assert res.V_times.tolist() == [7.0, 12.0, 17.0, 22.0]


@pytest.mark.parametrize("width", [1.0, 7.3, 100.0])
def test_counts_are_those_of_the_spikes(net, width):
    sim = sp.Simulation(net)
    sim.run(3.0)
    res = sim.run(60.0, record=sp.Record(bins=width))
    assert set(res.counts) == {"E", "I"}  # sources are counted where they are recorded
    for name in ("E", "I"):
        bins = ((res.population(name).times - res.t_start) / width).astype(int)
        n_bins = math.ceil((res.t_stop - res.t_start) / width)
        assert res.counts[name].tolist() == np.bincount(bins, minlength=n_bins).tolist()
    assert res.bin_width == width
    res = net.run(60.0, record=sp.Record(bins=width, record_sources=True))
    assert res.counts["s"].sum() == 2


def clock(times):
    """A network whose only neuron fires at these times, which a source gives it."""
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource(times, np.zeros(len(times), int)), name="s")
    net.connect(source, net.add(1, sp.LIF(tau_m=10.0), name="p"), sp.all_to_all(), weight=1.5)
    return net


@pytest.mark.parametrize("width", [0.1, 0.3, 0.7, 1e-3])
@pytest.mark.parametrize("t_start", [0.0, 0.3, 7.7])
def test_spikes_at_the_edges_of_bins_are_one_in_each(width, t_start):
    """Whichever way k * width is rounded."""
    times = t_start + np.arange(100) * width
    for given in (times, np.nextafter(times, 0.0), np.nextafter(times, 99.0)):
        sim = sp.Simulation(clock(given[given >= t_start]))
        sim.run(t_start)
        res = sim.run(100 * width, record=sp.Record(bins=width))
        assert res.counts["p"].tolist() == [given[0] >= t_start] + [1] * 99


def test_an_interval_has_as_many_bins_as_it_should():
    for duration, width, n in [
        (2.1, 0.3, 7),
        (0.3, 0.1, 3),
        (0.7, 0.1, 7),
        (1.0, 0.1, 10),
        (2.0, 0.3, 7),
        (0.0, 0.1, 0),
    ]:
        res = clock([]).run(duration, record=sp.Record(bins=width, V={"p": [0]}, V_times=width))
        assert len(res.counts["p"]) == n == len(res.V_times), (duration, width)
        assert res.V_times.tolist() == [k * width for k in range(n)]


def test_samples_of_pieces_are_those_of_one_run():
    """Not twice where the pieces meet, as 7 * 0.3 is below 2.1."""
    sim, record = sp.Simulation(clock([1.0])), sp.Record(V={"p": [0]}, V_times=0.3, bins=0.3)
    joined = sp.concatenate([sim.run(2.1, record=record) for _ in range(5)])
    whole = clock([1.0]).run(10.5, record=record)
    assert len(joined.V_times) == len(whole.V_times) == 35 == len(whole.counts["p"])
    assert joined.V_times == pytest.approx(whole.V_times, rel=1e-15)
    assert np.allclose(joined.V, whole.V, rtol=1e-12, atol=0.0)
    assert joined.counts["p"].tolist() == whole.counts["p"].tolist()


def test_checkpoints_are_not_saved_twice_at_the_end(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(sp.Simulation, "_save", lambda self, path, run, last: saved.append((self.time, run["ended"])))
    clock([]).run(2.1, checkpoint=tmp_path / "state.h5", every=0.3)
    assert saved == [(pytest.approx(0.3 * k), False) for k in range(7)] + [(2.1, True)]


def test_the_rule_for_bins():
    from sparseprop.numerics import bins

    k = np.arange(100_000)
    for width in (0.1, 0.3, 1 / 3, 7.3, 1e-6):
        for start in (0.0, -4.4, 3.3, 1e6):
            edges = bins.edges(start, width, len(k))
            for times in (edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), edges + 0.9 * width):
                assert np.array_equal(bins.bin_of(times, start, width), k)
            early = edges - 2.0 * bins.tolerance(edges, start, width)
            assert np.array_equal(bins.bin_of(early, start, width), k - 1)
            for n in (0, 1, 2, 3, 7, 99, 1000):
                stop = start + n * width
                assert bins.n_bins(start, stop, width) == n and bins.n_points(start, stop, width) == n + 1
                assert bins.n_bins(start, stop + 0.1 * width, width) == n + 1 == bins.n_points(start, stop, width)
                assert bins.is_edge(stop, start, width) and not bins.is_edge(stop + 0.1 * width, start, width)
    assert np.array_equal(bins.bin_of(np.cumsum(np.full(10_000, 0.1)), 0.0, 0.1), np.arange(1, 10_001))
    assert bins.n_points(0.0, -1.0, 0.1) == 0 and bins.tolerance(1.0, 0.0, 0.1) == 1e-9 * 0.1


def test_the_last_spike_is_counted_too():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([2.0, 4.0], [0, 0]), name="s")
    net.connect(source, net.add(1, sp.LIF(tau_m=10.0), name="p"), sp.all_to_all(), weight=1.5)
    res = net.run(n_spikes=2, record=sp.Record(bins=2.0))
    assert res.t_stop == 4.0 and res.counts["p"].tolist() == [0, 1, 1]
    assert net.run(4.0, record=sp.Record(bins=2.0)).counts["p"].tolist() == [0, 1]


@pytest.mark.parametrize("options", [dict(bins=1e-6), dict(V=[0], V_times=1e-6)])
def test_records_that_no_memory_could_hold_are_refused(net, options):
    with pytest.raises(sp.errors.InsufficientMemoryError, match="GiB of memory are available; choose wider bins"):
        net.run(1e9, record=sp.Record(**options))


@pytest.mark.parametrize("save", [False, True])
def test_potentials_and_counts_are_in_the_file(net, save, tmp_path):
    record = dict(V={"E": [1, 2]}, V_times=4.0, bins=10.0, record_sources=True)
    path = tmp_path / "raster.h5"
    res = net.run(50.0, record=sp.Record(None if save else path, **record))
    if save:
        res.save(path)
    loaded = sp.load(path)
    for name in ("V", "V_times", "V_ids", "times", "ids"):
        assert np.array_equal(getattr(loaded, name), getattr(res, name)), name
    assert loaded.bin_width == 10.0 and loaded.n_spikes == res.n_spikes and loaded.rate == res.rate
    assert all(np.array_equal(loaded.counts[name], res.counts[name]) for name in res.counts)
    assert [info.is_source for info in loaded.populations] == [False, False, True]


def test_a_callback_sees_the_simulation_and_ends_the_run():
    net = sp.balanced_network(2000, sp.LIF(tau_m=10.0), outdegree=100, seed=1)
    sim = sp.Simulation(net)
    seen = []

    def callback(simulation):
        seen.append((simulation.time, simulation.n_spikes, simulation.V.size))
        return len(seen) == 3

    first = sim.run(1e6, callback=callback)
    assert first.stop_reason == sp.StopReason.CALLBACK and "callback" in str(first)
    assert len(seen) == 3 and seen[-1] == (first.t_stop, first.n_spikes, 2000)
    second = sim.run(100.0)
    whole = net.run(first.t_stop + 100.0)
    n = first.n_spikes + second.n_spikes
    assert np.array_equal(np.concatenate([first.times, second.times]), whole.times[:n])


def net_with_currents():
    """LIFExp neurons with two ports and one, that start with currents; and others without."""
    net = sp.Network(seed=3)
    two = net.add(5, sp.LIFExp(tau_m=10.0, tau_syn=(5.0, 10.3), I_e=1.4, t_ref=2.0), name="two", I_syn=[0.5, -0.2])
    one = net.add(4, sp.LIFExp(tau_m=10.0, tau_syn=3.0, I_e=1.2), name="one", I_syn=[0.1, 0.2, 0.3, 0.4], V=0.0)
    lif = net.add(6, sp.LIF(tau_m=10.0, I_e=1.3), name="lif")
    net.connect(lif, two, sp.fixed_indegree(3), weight=-0.3, port=1, delay=0.7)
    net.connect(two, one, sp.all_to_all(), weight=0.2)
    return net


@pytest.mark.parametrize("engine", ENGINES)
def test_currents_are_the_sums_of_decaying_kicks(engine):
    """From the spikes alone, in and out of refractory periods; and the same numbers from all engines."""
    net = net_with_currents()
    record = sp.Record(I_syn={"one": True, "two": [4, 0]}, I_syn_times=[0.0, 13.0, 41.5])
    res = net.run(60.0, engine=engine, record=record)
    assert res.I_syn_ids.tolist() == [5, 6, 7, 8, 4, 0] and res.I_syn.shape == (3, 6, 2)
    assert np.isnan(res.I_syn[:, :4, 1]).all()
    lif_to_two, two_to_one = net.projections
    for k, t in enumerate(res.I_syn_times):
        for j, i in enumerate(res.I_syn_ids):
            expected = [0.5 * math.exp(-t / 5.0), -0.2 * math.exp(-t / 10.3)]
            if i < 5:
                for source in lif_to_two.sources[lif_to_two.targets == i] + 9:
                    arrivals = res.times[res.ids == source] + 0.7
                    expected[1] -= 0.3 * np.exp(-(t - arrivals[arrivals < t]) / 10.3).sum()
            else:
                spikes = res.times[(res.ids < 5) & (res.times < t)]
                expected = [0.1 * (i - 4) * math.exp(-t / 3.0) + 0.2 * np.exp(-(t - spikes) / 3.0).sum()]
            assert res.I_syn[k, j, : len(expected)] == pytest.approx(expected, rel=1e-13, abs=1e-15)
    same = net.run(60.0, record=sp.Record(I_syn={"one": True, "two": [4, 0]}, I_syn_times=[0.0, 13.0, 41.5]))
    assert same.I_syn.tobytes() == res.I_syn.tobytes()


@pytest.mark.parametrize("save", [False, True])
def test_currents_are_in_the_file(save, tmp_path):
    path = tmp_path / "raster.h5"
    record = dict(I_syn={"two": [1]}, I_syn_times=7.0, V={"two": [1]}, V_times=[7.0])
    res = net_with_currents().run(50.0, record=sp.Record(None if save else path, **record))
    if save:
        res.save(path)
    loaded = sp.load(path)
    for name in ("V", "I_syn", "I_syn_times", "I_syn_ids"):
        assert np.array_equal(getattr(loaded, name), getattr(res, name)), name
    assert res.I_syn.shape == (8, 1, 2)


def test_currents_are_for_neurons_that_have_them():
    with pytest.raises(
        sp.errors.ParameterError, match="I_syn is for LIFExp neurons, got neuron 10 of population 'lif'"
    ):
        net_with_currents().run(1.0, record=sp.Record(I_syn=[10], I_syn_times=1.0))


BAD = [
    (dict(I_syn=[0]), "I_syn and I_syn_times belong together"),
    (dict(I_syn=[0], I_syn_times=[2.0, 1.0]), "I_syn_times must ascend"),
    (dict(I_syn=[1000], I_syn_times=1.0), r"I_syn must be in \[0, 102\), got 1000"),
    (dict(V=[0]), "V and V_times belong together"),
    (dict(V=[0], V_times=-1.0), "V_times must be an interval >= 1e-06 ms, got -1.0"),
    (dict(V=[0], V_times=[2.0, 1.0]), "V_times must ascend"),
    (dict(V=[1000], V_times=1.0), r"V must be in \[0, 102\), got 1000"),
    (dict(V={"X": [0]}, V_times=1.0), "unknown population in Record.V: 'X'"),
    (dict(V={"I": [20]}, V_times=1.0), r"V of 'I' must be in \[0, 20\), got 20"),
    (dict(spikes="E"), "must be True, False, a list of populations"),
    (dict(spikes=["X"]), "unknown population in Record.spikes: 'X'"),
    (dict(bins=0.0), "bins must be a width >= 1e-06 ms, got 0.0"),
    (dict(bins=1e-300), "bins must be a width >= 1e-06 ms, got 1e-300"),
    (dict(V=[0], V_times=1e-300), "V_times must be an interval >= 1e-06 ms, got 1e-300"),
    (dict(record_sources=1), "record_sources must be True or False"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_records_are_refused(net, options, message):
    with pytest.raises(sp.errors.ParameterError, match=message):
        net.run(1.0, record=sp.Record(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(record=5), "record must be None, the path of a raster, or sp.Record"),
        (dict(callback=5), "callback must be callable, got 5"),
        (dict(every=5.0), "checkpoint and every belong together"),
        (dict(checkpoint="x.h5", every=1e-300), "every must be a time >= 1e-06 ms, got 1e-300"),
        (dict(checkpoint=5, every=1.0), "path must be the name of a file, got 5"),
        (dict(checkpoint="x.h5", every=1.0, record="./x.h5"), "the checkpoint and the raster must be two files"),
        (dict(checkpoint="x.h5", every=0.0), "every must be a time >= 1e-06 ms, got 0.0"),
    ],
)
def test_bad_options_of_runs_are_refused(net, options, message):
    with pytest.raises(sp.errors.ParameterError, match=message):
        net.run(1.0, **options)
