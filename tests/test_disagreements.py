"""Where other simulators and readers do otherwise (docs/disagreements.md): what this package does there."""

import h5py
import numpy as np
import pytest

import sparseprop as sp

LIF = sp.LIF(tau_m=20.0, V_th=20.0, V_reset=10.0, I_e=30.0, t_ref=0.123456789)


def test_refractory_periods_are_not_rounded_to_a_grid():
    net = sp.Network(seed=1)
    net.add(1, LIF, V=10.0)
    intervals = np.diff(net.run(200.0).times)
    assert intervals == pytest.approx(LIF.free_period() + 0.123456789, abs=1e-12) and intervals.size > 5


@pytest.mark.parametrize("delay", [0.0, 1.0, 1.23456789])
def test_given_spikes_and_delays_are_not_moved_to_a_grid(delay):
    """Nor to the start of a step, as in Brian2, nor to its end, as in NEST."""
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([0.123456789], [0]), name="source")
    target = net.add(1, sp.LIF(tau_m=20.0), name="target", V=0.0)
    net.connect(source, target, sp.all_to_all(), weight=2.0, delay=delay)
    assert net.run(10.0)["target"].times.tolist() == pytest.approx([0.123456789 + delay], abs=1e-15)


@pytest.mark.parametrize("engine", ["reference", "heap", "window"])
def test_what_arrives_together_does_not_depend_on_who_was_made_first(engine):
    """In NEURON a kick of 1.5 and one of -1 at one time fire or not by the order of creation."""
    for weights in ([1.5, -1.0], [-1.0, 1.5]):
        net = sp.Network(seed=1)
        source = net.add(2, sp.SpikeSource([1.0, 1.0], [0, 1]), name="source")
        target = net.add(1, sp.LIF(tau_m=20.0), name="target", V=0.0)
        net.connect(source, target, sp.all_to_all(), weight=weights)
        assert net.run(10.0, engine=engine)["target"].n_spikes == 0


def test_spikes_come_in_the_order_of_time():
    net = sp.Network(seed=1)
    E = net.add(200, LIF, name="E")
    net.connect(E, E, sp.fixed_indegree(20), weight=-0.5, delay=sp.uniform(0.1, 3.0))
    for engine in ("window", "lookahead"):
        assert (np.diff(net.run(200.0, engine=engine).times) >= 0.0).all()


def test_neurons_made_with_another_rest_begin_there():
    """In NEST they begin at the rest of the default."""
    net = sp.Network(seed=1)
    E = net.add(3, sp.LIF(tau_m=20.0, E_L=-55.0, V_th=-50.0, V_reset=-60.0), name="E")
    assert sp.Simulation(net).state["V"].tolist() == [-55.0] * E.n


def test_our_files_have_nothing_that_other_readers_cannot_read(tmp_path):
    """libsonata: no compression, `sorting` an enum, units; older HDF5: no newer layouts than those of 1.10."""
    path = tmp_path / "raster.h5"
    sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=20, seed=1).run(200.0, record=str(path))
    with h5py.File(path) as file:
        group = file["spikes"][next(iter(file["spikes"]))]
        assert h5py.check_enum_dtype(group.attrs.get_id("sorting").dtype) == {"none": 0, "by_id": 1, "by_time": 2}
        assert group["timestamps"].attrs["units"] == "ms"
        assert all(group[name].compression is None for name in ("timestamps", "node_ids"))
        assert file.id.get_create_plist().get_version()[0] <= 3  # the superblock


@pytest.mark.parametrize("sorting", ["by_time", "none", None])
def test_files_that_others_cannot_read_are_read(tmp_path, sorting):
    """With gzip and `sorting` in words, as bmtk writes them; rows in any order."""
    times, ids = np.array([3.0, 1.0, 2.0]), np.array([0, 1, 0], np.uint64)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        group = file.create_group("spikes/E")
        if sorting is not None:
            group.attrs["sorting"] = sorting
        if sorting == "by_time":
            times, ids = np.sort(times), ids[np.argsort(times)]
        group.create_dataset("timestamps", data=times, compression="gzip").attrs["units"] = "ms"
        group.create_dataset("node_ids", data=ids, compression="gzip")
    res = sp.load(tmp_path / "other.h5")
    assert res.times.tolist() == [1.0, 2.0, 3.0] and res.ids.tolist() == [1, 0, 0]


def test_windows_have_one_end():
    """libsonata's have both, and 1e-6 ms more: a spike at a border is in two of them."""
    net = sp.Network(seed=1)
    net.add(1, sp.SpikeSource([5.0, 10.0, 10.0000005], [0, 0, 0]), name="source")
    net.add(1, sp.LIF(tau_m=20.0), name="E")
    res = net.run(20.0, record=sp.Record(record_sources=True))
    assert [res.between(a, b).times.size for a, b in ((0.0, 10.0), (10.0, 20.0))] == [1, 2]


def test_a_spike_at_the_end_is_in_no_bin():
    """As in elephant: bins are open at their ends; whoever counts it extends t_stop."""
    trains = sp.analysis.SpikeTrains([1.0, 10.0], [0, 0], 1, 0.0, 10.0)
    assert sp.analysis.spike_counts(trains, bin_width=5.0).tolist() == [[1.0, 0.0]]
    assert sp.analysis.rates(trains).tolist() == [200.0]


def test_a_single_interval_has_no_cv():
    """elephant's is 0."""
    assert np.isnan(sp.analysis.cv(sp.analysis.SpikeTrains([1.0, 2.0], [0, 0], 1, 0.0, 10.0))[0])


def test_every_cell_is_recorded_wherever_it_projects():
    """In Arbor not those that project to nobody."""
    net = sp.Network(seed=1)
    net.add(5, LIF, name="lonely")
    assert np.unique(net.run(50.0).ids).size == 5
