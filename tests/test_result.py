"""Results: whose spikes they are, what of them was recorded, their parts and pieces, and the files that hold them."""

import copy
import os
import pickle
import re
import signal

import h5py
import numpy as np
import pytest

import sparseprop as sp
from sparseprop.errors import CheckpointMismatchError, FileFormatError, ParameterError, StorageError
from sparseprop.files.raster_reader import raster_info
from sparseprop.files.raster_writer import RasterWriter, recover_raster

ENGINES = ["window", "heap", "reference"]


def cells_of(table):
    """The texts of the cells of a table for notebooks, row by row."""
    return re.findall("<td[^>]*>([^<]*)</td>", table)


def network(seed=1):
    net = sp.Network(seed=seed)
    E = net.add(80, sp.LIF(tau_m=10.0, I_e=1.3), name="E")
    I = net.add(20, sp.LIFExp(tau_m=10.0, tau_syn=2.0, I_e=1.2), name="I")
    s = net.add(2, sp.SpikeSource([1.0, 30.0, 31.0], [0, 1, 1]), name="s")
    for post in (E, I):
        net.connect(E, post, sp.fixed_indegree(10), weight=0.02, delay=1.0)
        net.connect(I, post, sp.fixed_indegree(5), weight=-0.1, delay=0.5)
        net.connect(s, post, sp.all_to_all(), weight=0.01)
    return net


@pytest.fixture(scope="module")
def net():
    return network()


def same(a, b):
    """Whether two results have the same spikes, and the same was recorded besides."""
    arrays = ("times", "ids", "V", "V_times", "V_ids", "I_syn", "I_syn_times", "I_syn_ids")
    equal = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)
    counts = (a.counts is None) == (b.counts is None)
    if counts and a.counts is not None:
        counts = all(np.array_equal(a.counts[name], b.counts[name]) for name in a.counts)
    numbers = ("n_spikes", "t_start", "t_stop", "stop_reason", "n_synaptic_events", "populations")
    return equal and counts and all(getattr(a, name) == getattr(b, name) for name in numbers)


FULL = dict(V={"E": [7], "I": True}, V_times=2.5, I_syn={"I": [3, 1]}, I_syn_times=5.0, bins=2.5, record_sources=True)


# Identity -----------------------------------------------------------------------------------------------------------


def test_a_result_never_returns_the_spikes_of_another_run(net, tmp_path):
    """Of runs with the same number of spikes in one file."""
    results, expected = [], []
    for seed in range(3):
        results.append(net.run(n_spikes=50, seed=seed, record=tmp_path / "t.h5", overwrite=True))
        expected.append(net.run(n_spikes=50, seed=seed))
    assert np.array_equal(results[2].times, expected[2].times)
    for result in results[:2]:
        with pytest.raises(StorageError, match="does not have the 50 spikes that this run .* was replaced since"):
            _ = result.times
        assert "spikes are in" in str(result)  # and a summary does not fail
    assert len({result.run_id for result in results + expected}) == 6
    assert all(len(result.run_id) == 32 and int(result.run_id, 16) >= 0 for result in results)


def test_the_identity_is_in_the_file(net, tmp_path):
    streamed, kept = net.run(20.0, record=tmp_path / "a.h5"), net.run(20.0)
    kept.save(tmp_path / "b.h5")
    for result, name in ((streamed, "a.h5"), (kept, "b.h5")):
        assert raster_info(tmp_path / name)["header"]["run_id"] == result.run_id
        assert sp.load(tmp_path / name).run_id == result.run_id


def test_a_result_survives_the_replacement_of_its_file_by_one_of_another_kind(net, tmp_path):
    result = net.run(20.0, record=tmp_path / "a.h5")
    sp.Simulation(net).save(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match="it is the state of a simulation"):
        _ = result.times
    os.unlink(tmp_path / "a.h5")
    with pytest.raises(StorageError, match="cannot read"):
        _ = result.times
    assert "CV" not in str(result) and result._repr_html_()


# Existing files -----------------------------------------------------------------------------------------------------


def test_a_file_of_another_run_is_refused(net, tmp_path):
    path = tmp_path / "raster.h5"
    net.run(20.0, record=path)
    before = path.read_bytes()
    attempts = [
        lambda: net.run(20.0, record=path),
        lambda: net.run(20.0, record=sp.Record(path, V=[0], V_times=1.0)),
        lambda: sp.Simulation(net).run(20.0, record=os.fsencode(path)),
        lambda: net.run(20.0).save(path, overwrite=False),
    ]
    for attempt in attempts:
        with pytest.raises(StorageError, match=r"it exists, and is the raster of another run.* give overwrite=True"):
            attempt()
        assert path.read_bytes() == before
    path.write_text("a thesis")
    with pytest.raises(StorageError, match="it exists, and is not a raster"):
        net.run(20.0, record=path)
    assert path.read_text() == "a thesis" and [p.name for p in tmp_path.iterdir()] == ["raster.h5"]


def test_a_file_is_replaced_if_that_is_asked_for_or_nothing_is_in_it(net, tmp_path):
    path = tmp_path / "raster.h5"
    path.touch()  # as tempfile.NamedTemporaryFile leaves it
    net.run(20.0, record=path)
    for again in (
        lambda: net.run(30.0, record=path, overwrite=True),
        lambda: net.run(30.0, record=sp.Record(path, overwrite=True)),
        lambda: net.run(30.0).save(path),
        lambda: net.run(30.0).save(path, overwrite=True),
    ):
        net.run(20.0).save(path)
        again()
        assert sp.load(path).t_stop == 30.0
    writer = RasterWriter(path, [("E", 80), ("I", 20), ("s", 2)], header={})  # killed before its first commit
    writer._finalizer()
    net.run(20.0, record=path)
    assert sp.load(path).t_stop == 20.0


def test_a_run_that_is_refused_has_changed_nothing(net, tmp_path):
    path = tmp_path / "raster.h5"
    net.run(5.0).save(path)
    sim = sp.Simulation(net)
    first = sim.run(20.0)
    with pytest.raises(StorageError, match="it exists"):
        sim.run(20.0, record=path)
    second = sim.run(20.0)
    assert second.follows == first.run_id and second.t_start == 20.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(overwrite=True), "overwrite=True needs the path of the file"),
        (dict(overwrite="yes"), "overwrite must be True or False, got 'yes'"),
    ],
)
def test_bad_overwrite_is_refused(net, options, message, tmp_path):
    with pytest.raises(ParameterError, match=message):
        net.run(5.0, **options)
    with pytest.raises(ParameterError, match=message):
        sp.Record(**options)
    with pytest.raises(ParameterError, match="overwrite must be True or False, got 1"):
        net.run(5.0).save(tmp_path / "x.h5", overwrite=1)


# Pieces -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["appended", "joined", "joined and saved", "saved and appended", "mixed files"])
def test_pieces_together_are_the_undisturbed_run(net, how, tmp_path):
    whole = net.run(60.0, record=sp.Record(**FULL))
    path, sim = tmp_path / "raster.h5", sp.Simulation(net)
    pieces = []
    for k, duration in enumerate((10.0, 20.0, 30.0)):
        if how == "saved and appended" and k == 1:
            pieces[0].save(path)
        file = {"appended": path, "saved and appended": path if k else None, "mixed files": tmp_path / f"{k}.h5"}
        pieces.append(sim.run(duration, record=sp.Record(file.get(how), **FULL)))
    if how == "mixed files":
        joined = sp.concatenate([pieces[0], sp.load(tmp_path / "1.h5"), pieces[2]])
    elif how.startswith("joined"):
        joined = sp.concatenate([sp.concatenate(pieces[:2]), pieces[2]])
    if how == "joined and saved":
        joined.save(path)
    if "appended" in how or "saved" in how:
        for piece in pieces:  # each still finds its own in the file
            piece = copy.copy(piece)
            assert piece.times.min() >= piece.t_start and piece.times.max() <= piece.t_stop
        joined = sp.load(path)
    assert same(joined, whole)
    assert [(p.t_start, p.t_stop) for p in joined.pieces] == [(0.0, 10.0), (10.0, 30.0), (30.0, 60.0)]
    assert [p.run_id for p in joined.pieces] == [p.run_id for p in pieces]
    assert all(same(p, q) for p, q in zip(joined.pieces, pieces, strict=True))
    assert joined.run_id == sp.concatenate(pieces).run_id and joined.run_id not in [p.run_id for p in pieces]
    assert joined.rate == whole.rate and joined.cv_isi == whole.cv_isi and "in 3 pieces" in str(joined)


def test_results_are_pickled_with_their_pieces(net, tmp_path):
    sim = sp.Simulation(net)
    pieces = [sim.run(10.0, record=sp.Record(tmp_path / f"{k}.h5", bins=1.0)) for k in range(2)]
    for joined in (sp.concatenate(pieces), sp.run.loading.describe(tmp_path / "1.h5")):
        again = pickle.loads(pickle.dumps(joined))
        assert same(again, joined) and [p.run_id for p in again.pieces] == [p.run_id for p in joined.pieces]
        assert same(pickle.loads(pickle.dumps(joined)).pieces[-1], pieces[-1])  # when they have been read, too


def test_libsonata_reads_an_appended_raster(net, tmp_path):
    import libsonata

    path, sim = tmp_path / "raster.h5", sp.Simulation(net)
    pieces = [sim.run(15.0, record=path) for _ in range(3)]
    found = libsonata.SpikeReader(str(path))["E"].get_dict()
    expected = sp.concatenate(pieces)["E"]
    assert np.array_equal(found["timestamps"], expected.times) and np.array_equal(found["node_ids"], expected.ids)


def test_windows_of_libsonata(tmp_path):
    """What docs/files.md says of them; ours are disjoint."""
    import libsonata

    times = [10.0 - 9e-7, 10.0, 10.0 + 9e-7]
    res = sp.Result(
        (np.array([10.0 - 1.1e-6, *times, 10.0 + 1.1e-6, 20.0]), np.arange(6)),
        [sp.run.result.PopulationInfo("E", 6)], t_start=0.0, t_stop=20.0,
    )  # fmt: skip
    res.save(tmp_path / "a.h5")
    spikes = libsonata.SpikeReader(str(tmp_path / "a.h5"))["E"]
    assert [i for i, _ in spikes.get(tstart=0.0, tstop=10.0)] == [0, 1, 2, 3]
    assert [i for i, _ in spikes.get(tstart=10.0, tstop=20.0)] == [1, 2, 3, 4, 5]
    assert res.between(0.0, 10.0).ids.tolist() == [0, 1] and res.between(10.0, 20.0).ids.tolist() == [2, 3, 4, 5]
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["spikes/E/timestamps"][0] = -1.0
    with pytest.raises(libsonata.SonataError, match="Times cannot be negative"):
        libsonata.SpikeReader(str(tmp_path / "a.h5"))["E"].get()


def test_pieces_that_a_number_of_spikes_ends(net, tmp_path):
    """Counts do not fit together then, and are those of the pieces; nothing else is lost."""
    sim = sp.Simulation(net)
    record = sp.Record(tmp_path / "raster.h5", bins=1.0)
    pieces = [sim.run(n_spikes=30, record=record) for _ in range(3)]
    whole = net.run(n_spikes=sum(p.n_spikes for p in pieces))
    loaded = sp.load(tmp_path / "raster.h5")
    assert np.array_equal(loaded.times, whole.times) and np.array_equal(loaded.ids, whole.ids)
    assert loaded.n_spikes == whole.n_spikes and loaded.counts is None
    for piece, own in zip(loaded.pieces, pieces, strict=True):
        assert all(np.array_equal(piece.counts[name], own.counts[name]) for name in own.counts)
        assert sum(counts.sum() for counts in piece.counts.values()) == piece.n_spikes


def test_counts_of_a_spike_between_two_pieces_are_added():
    """A run that a number of spikes ends counts a spike at its end in the bin that the next one begins with."""
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([2.0, 4.0, 4.5], [0, 0, 1]), name="s")
    target = net.add(2, sp.LIF(tau_m=10.0), name="p")
    net.connect(source, target, sp.one_to_one(), weight=1.5)
    sim = sp.Simulation(net)
    record = sp.Record(bins=2.0)
    joined = sp.concatenate([sim.run(n_spikes=2, record=record), sim.run(4.0, record=record)])
    assert joined.counts["p"].tolist() == [0, 1, 2, 0] and joined.n_spikes == 3


def test_a_piece_goes_on_after_the_simulation_was_saved(net, tmp_path):
    path = tmp_path / "raster.h5"
    sim = sp.Simulation(net)
    sim.run(20.0, record=path)
    sim.save(tmp_path / "state.h5")
    sim = sp.Simulation.load(tmp_path / "state.h5", net, engine="heap")
    sim.run(20.0, record=path)
    whole = net.run(40.0)
    assert np.array_equal(sp.load(path).times, whole.times)
    # Another one from the same state is another run: its spikes are not those behind 40 ms.
    other = sp.Simulation.load(tmp_path / "state.h5", net)
    with pytest.raises(StorageError, match="raster of another run"):
        other.run(20.0, record=path)


@pytest.mark.parametrize("gap", ["a run in memory", "another file", "a failed run"])
def test_a_gap_between_pieces_is_refused(net, gap, tmp_path):
    path, sim = tmp_path / "raster.h5", sp.Simulation(net)
    sim.run(10.0, record=path)
    if gap == "a failed run":
        with pytest.raises(ZeroDivisionError):
            sim.run(1e5, progress=lambda fraction: 1 // 0)
    else:
        sim.run(10.0, record=tmp_path / "other.h5" if gap == "another file" else None)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="raster of another run"):
        sim.run(10.0, record=path)
    assert path.read_bytes() == before


def test_a_run_that_did_not_finish_is_not_appended_to(net, tmp_path):
    path, sim = tmp_path / "raster.h5", sp.Simulation(net)
    sim.run(10.0, record=path)
    with pytest.raises(ZeroDivisionError):
        sim.run(1e5, record=path, progress=lambda fraction: 1 // 0)
    with pytest.raises(StorageError, match="raster of another run"):
        sim.run(10.0, record=path)
    with pytest.warns(UserWarning, match="did not finish"):
        loaded = sp.load(path)
    assert loaded.pieces[0].t_stop == 10.0 and loaded.pieces[0].stop_reason == "time"
    assert loaded.pieces[1].stop_reason is None and loaded.n_spikes == len(loaded.times) > 500
    recover_raster(path, tmp_path / "recovered.h5")
    recovered = sp.load(tmp_path / "recovered.h5")
    assert np.array_equal(recovered.times, loaded.times) and len(recovered.pieces) == 2


def test_pieces_record_the_same(net, tmp_path):
    path, sim = tmp_path / "raster.h5", sp.Simulation(net)
    first = sim.run(10.0, record=sp.Record(path, spikes={"E": [1, 2]}, V=[0], V_times=1.0))
    with pytest.raises(ParameterError, match="spikes of other neurons of this Simulation; record the same ones"):
        sim.run(10.0, record=path)
    second = sim.run(10.0, record=sp.Record(path, spikes={"E": [2, 1]}, V=[3], V_times=1.0))
    loaded = sp.load(path)
    assert loaded.V is None and [p.V_ids.tolist() for p in loaded.pieces] == [[0], [3]]
    assert np.array_equal(loaded.pieces[1].V, second.V) and np.array_equal(loaded.pieces[0].V, first.V)


def test_what_does_not_belong_together_is_not_joined(net):
    sim, other = sp.Simulation(net), sp.Simulation(net)
    a, b, c = (sim.run(10.0) for _ in range(3))
    foreign = [other.run(10.0) for _ in range(2)]
    fewer = sp.Simulation(net)
    part = [fewer.run(10.0, record=sp.Record(spikes=["E"])), fewer.run(10.0)]
    for results, message in {
        (a, c): r"results\[1\] begins at 20.0 ms and results\[0\] ends at 10.0 ms",
        (b, a): r"results\[1\] begins at 0.0 ms",
        (a, foreign[1]): r"results\[1\] is not the run that came after results\[0\] on the same Simulation",
        (a["E"], b): "other populations",
        tuple(part): "the spikes of other neurons",
        (): "at least one Result",
        (1, 2): "must be a sequence of Results",
    }.items():
        with pytest.raises(ParameterError, match=message):
            sp.concatenate(results)
    with pytest.raises(ParameterError, match="must be a sequence of Results, got Result"):
        sp.concatenate(a)
    assert sp.concatenate([a]) is a
    assert np.array_equal(sp.concatenate([a["E"], b["E"]]).times, sp.concatenate([a, b])["E"].times)


def test_an_interrupted_run_in_an_appended_raster_is_resumed(net, tmp_path, ctrl_c):
    path, state, sim = tmp_path / "raster.h5", tmp_path / "state.h5", sp.Simulation(net)
    record = sp.Record(path, **FULL)
    sim.run(20.0, record=record)

    def interrupt(simulation):
        if simulation.time > 25.0:
            os.kill(os.getpid(), signal.SIGINT)

    first = sim.run(3000.0, record=record, checkpoint=state, every=400.0, callback=interrupt, progress=False)
    assert first.stop_reason == "interrupted" and 25.0 < first.t_stop < 3020.0
    unread = copy.copy(first)
    loaded = sp.Simulation.load(state, net)
    second = loaded.resume(progress=False)
    whole = net.run(3020.0, record=sp.Record(**FULL))
    assert second.t_start == 20.0 and second.run_id == first.run_id
    assert same(sp.load(path), whole) and len(sp.load(path).pieces) == 2
    # What the interrupted run returned are still its spikes, of which the file has more now.
    assert len(unread.times) == first.n_spikes + np.count_nonzero(unread.ids >= 100)
    assert np.array_equal(unread.times, whole.times[whole.times >= 20.0][: len(unread.times)])
    third = loaded.run(10.0, record=record)
    assert third.follows == second.run_id and len(sp.load(path).pieces) == 3


def test_checkpoints_of_versions_without_identities_are_not_resumed(net, tmp_path, ctrl_c):
    stop = dict(every=5.0, callback=lambda simulation: os.kill(os.getpid(), signal.SIGINT), progress=False)
    net.run(20_000.0, checkpoint=tmp_path / "state.h5", **stop)
    sim = sp.Simulation.load(tmp_path / "state.h5", net)
    del sim._unfinished["run_id"]
    with pytest.raises(CheckpointMismatchError, match="of an earlier version.*end the run with that one"):
        sim.resume(progress=False)


def test_a_raster_of_another_run_is_not_resumed(net, tmp_path, ctrl_c):
    path, state = tmp_path / "raster.h5", tmp_path / "state.h5"
    stop = dict(checkpoint=state, every=5.0, callback=lambda simulation: os.kill(os.getpid(), signal.SIGINT))
    net.run(20_000.0, record=path, progress=False, **stop)
    net.run(20_100.0, record=path, overwrite=True)
    before = path.read_bytes()
    sim = sp.Simulation.load(state, net)
    for _ in range(2):  # and it can be tried again when the right file is back
        with pytest.raises(FileFormatError, match="this is the raster of run .*, not of"):
            sim.resume(progress=False)
    assert path.read_bytes() == before


# What was recorded --------------------------------------------------------------------------------------------------


def test_rates_of_what_was_partly_recorded_are_right_or_nan(net, tmp_path):
    whole = net.run(100.0, record=sp.Record(record_sources=True))
    true = {name: whole[name].rate for name in "EIs"}
    assert true["s"] == 15.0
    for spikes, recorded in {
        "E": {"E": True, "I": [], "s": []},
        "few": {"E": [0, 1, 2], "I": [], "s": []},
        "none": {"E": [], "I": [], "s": []},
        "all": {"E": True, "I": True, "s": []},
    }.items():
        options = {"E": ["E"], "few": {"E": [2, 0, 1]}, "none": False, "all": True}
        for path in (None, tmp_path / "raster.h5"):
            res = net.run(100.0, record=sp.Record(path, spikes=options[spikes], overwrite=path is not None))
            if path is None:
                res.save(tmp_path / "raster.h5")
            for result in (res, sp.load(tmp_path / "raster.h5")):
                kept = {n: r if r is True else r.tolist() for n, r in result.recorded.items()}
                assert kept == recorded
                assert result.rate == whole.rate and result.n_spikes == whole.n_spikes
                for name in "EI":  # all neurons were counted, whether recorded or not
                    assert result[name].rate == true[name] and result[name].n_spikes == whole[name].n_spikes
                assert np.isnan(result["s"].rate) and result["s"].n_spikes is None and np.isnan(result["s"].cv_isi)
                assert np.isnan(result["I"].cv_isi) == (spikes != "all")
                ids = recorded["E"] if spikes != "none" else []
                expected = np.full(80, np.nan)
                mine = np.arange(80) if ids is True else np.array(ids, int)
                expected[mine] = np.bincount(whole["E"].ids, minlength=80)[mine] / 0.1
                assert np.array_equal(result["E"].rates, expected, equal_nan=True)
                assert list(result["E"].spike_trains()) == mine.tolist()


def test_what_was_recorded_can_be_recorded_again(net):
    first = net.run(20.0, record=sp.Record(spikes={"E": [3, 5], "I": True}))
    again = net.run(20.0, record=sp.Record(spikes=first.recorded))
    assert np.array_equal(first.times, again.times)


def test_parts_of_what_was_partly_recorded(net):
    whole = net.run(60.0)
    res = net.run(60.0, record=sp.Record(spikes={"E": [0, 1, 2], "I": True}))
    part = res.between(20.0)
    assert np.isnan(part.rate) and part.n_spikes is None and np.isnan(part["E"].rate)
    assert part["I"].rate == whole.between(20.0)["I"].rate
    assert (
        np.array_equal(part["E"].rates[:3], whole.between(20.0)["E"].rates[:3]) and np.isnan(part["E"].rates[3:]).all()
    )
    assert (
        "an unknown number of spikes" in str(part)
        and "an unknown number" in repr(part)
        and cells_of(part._repr_html_())[4:6] == ["?", "nan"]
    )


def test_files_of_earlier_versions_say_what_was_recorded_in_their_way(net, tmp_path, monkeypatch):
    own = sp.Result.file_header

    def earlier(self, *arguments):
        header = own(self, *arguments)
        return {name: value for name, value in header.items() if name not in ("run_id", "follows", "recorded")}

    monkeypatch.setattr(sp.Result, "file_header", earlier)
    footer = sp.Result.file_footer
    monkeypatch.setattr(
        sp.Result, "file_footer", lambda self: {k: v for k, v in footer(self).items() if k != "spikes_of"}
    )
    res = net.run(60.0, record=sp.Record(spikes={"E": [4, 2]}, bins=1.0))
    res.save(tmp_path / "raster.h5")
    loaded = sp.load(tmp_path / "raster.h5")
    assert {n: r.tolist() for n, r in loaded.recorded.items()} == {"E": [2, 4], "I": [], "s": []}
    assert np.isnan(loaded["E"].rate) and loaded["E"].n_spikes is None and loaded.rate == res.rate
    net.run(60.0).save(tmp_path / "raster.h5")
    loaded = sp.load(tmp_path / "raster.h5")
    assert loaded["E"].rate == res["E"].rate and np.isnan(loaded["s"].rate) and len(loaded.run_id) == 32


def test_the_file_says_to_readers_of_sonata_what_was_recorded(net, tmp_path):
    path = tmp_path / "raster.h5"
    sim = sp.Simulation(net)
    for _ in range(2):  # appending keeps it
        sim.run(10.0, record=sp.Record(path, spikes={"E": [0, 1, 2], "I": True}))
        with h5py.File(path) as file:
            kept = {name: tuple(int(group.attrs[a]) for a in ("n_recorded", "n_neurons")) for name, group in
                    file["spikes"].items()}  # fmt: skip
        assert kept == {"E": (3, 80), "I": (20, 20), "s": (0, 2)}
    recover_raster(path, tmp_path / "copy.h5")
    with h5py.File(tmp_path / "copy.h5") as file:
        assert file["spikes/E"].attrs["n_recorded"] == 3


# Files of other programs --------------------------------------------------------------------------------------------


def foreign(path, times, ids, name="V1"):
    with h5py.File(path, "w") as file:
        group = file.create_group(f"spikes/{name}")
        group["timestamps"], group["node_ids"] = np.array(times, float), np.array(ids, np.uint64)
    return path


def test_a_file_with_negative_times(tmp_path):
    path = foreign(tmp_path / "negative.h5", [-50.0, -20.0, 0.0, 30.0, 50.0], [0, 1, 0, 1, 0])
    res = sp.load(path)
    assert (res.t_start, res.t_stop, res.duration) == (-50.0, 50.0, 100.0)
    assert "from -50 to 50 ms" in str(res) and res.between(-20.0, 50.0).times.tolist() == [-20.0, 0.0, 30.0, 50.0]
    assert res.between(-20.0, 30.0).times.tolist() == [-20.0, 0.0]
    res = sp.load(path, sizes={"V1": 10}, t_start=-100.0, t_stop=100.0)
    assert res.rate == 5 / 10 / 0.2 and res.t_start == -100.0
    with pytest.raises(
        ParameterError, match=r"times >= 0 ms \(readers of SONATA refuse others; cut or shift them\), got -50"
    ):
        res.save(tmp_path / "again.h5")
    res.between(0.0).save(tmp_path / "again.h5")
    assert sp.load(tmp_path / "again.h5").t_start == 0.0
    with pytest.raises(ParameterError, match="times >= 0 ms, got -50.0"):
        sp.SpikeSource.from_raster(path)
    assert sp.load(foreign(path, [5.0, 8.0], [0, 1])).t_start == 0.0
    assert sp.load(foreign(path, [-9.0, -8.0], [0, 1])).t_stop == -8.0


def test_a_file_that_does_not_say_what_was_recorded_has_no_rate(tmp_path):
    path = foreign(tmp_path / "a.h5", [1.0, 2.0, 4.0, 8.0], [5, 99, 5, 5])
    res = sp.load(path)
    assert res.recorded == {"V1": None} and res.n_spikes == 4 and np.isnan(res.rate) and np.isnan(res["V1"].rate)
    assert sorted(res.spike_trains()) == [5, 99] and np.isnan(res.rates[:5]).all() and res.rates[99] == 125.0
    assert np.isfinite(res.cv_isi)
    res = sp.load(path, sizes={"V1": 200}, t_stop=10.0)
    assert res.rate == 4 / 200 / 0.01 and len(res.spike_trains()) == 200
    for options, message in {
        "sizes": (dict(sizes={"V1": 99}), "sizes of 'V1' must be at least the largest id . 1, 100, got 99"),
        "name": (dict(sizes={"V2": 99}), "unknown population in sizes: 'V2'"),
        "kind": (dict(sizes=5), "sizes must be a dict of numbers by population, got int"),
        "stop": (dict(t_stop=5.0), "must enclose the spikes, from 1 to 8 ms, got 0 and 5"),
        "start": (dict(t_start=2.0), "must enclose the spikes"),
    }.values():
        with pytest.raises(ParameterError, match=message):
            sp.load(path, **options)


def test_sizes_of_several_populations_move_global_ids(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, ids in (("A", [0, 3]), ("B", [1])):
            file[f"spikes/{name}/timestamps"] = np.arange(1.0, 1.0 + len(ids))
            file[f"spikes/{name}/node_ids"] = np.array(ids, np.uint64)
    res = sp.load(path, sizes={"A": 10})
    assert res.ids.tolist() == [0, 11, 3] and res["B"].ids.tolist() == [1]
    assert res.recorded == {"A": True, "B": None} and np.isfinite(res["A"].rate) and np.isnan(res.rate)


def test_what_our_files_know_is_not_overruled(net, tmp_path):
    net.run(5.0).save(tmp_path / "a.h5")
    with pytest.raises(ParameterError, match="t_stop is for files of other programs, and .* has its own; leave it out"):
        sp.load(tmp_path / "a.h5", t_stop=3.0)


# Parts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_part_is_what_a_run_of_that_time_gives(net, engine):
    res = net.run(60.0, engine=engine, record=sp.Record(**FULL))
    first = net.run(20.0, engine=engine, record=sp.Record(**FULL))
    sim = sp.Simulation(net, engine=engine)
    sim.run(20.0)
    second = sim.run(30.0, record=sp.Record(**FULL))
    for part, expected in ((res.between(0.0, 20.0), first), (res.between(20.0, 50.0), second)):
        for result in (part, expected):  # what is known of whole runs only
            result.n_synaptic_events = result.stop_reason = None
        assert same(part, expected) and part.rate == expected.rate and part.run_id == res.run_id
    assert same(res.between(0.0), res) and res.between(0.0, 60.0).stop_reason == "time"
    assert res.between(20.0).t_stop == 60.0 and res.between(20.0).path is None


def test_parts_that_are_not_whole_bins_have_no_counts(net):
    res = net.run(50.0, record=sp.Record(bins=0.3))
    assert res.between(1.0).counts is None
    part = res.between(0.9, 2.1)
    assert part.counts["E"].tolist() == res.counts["E"][3:7].tolist()
    assert res.between(0.9).counts["E"].tolist() == res.counts["E"][3:].tolist()


def test_a_spike_at_the_end_is_in_the_last_part_only(net):
    res = net.run(n_spikes=100)
    middle = float(res.times[50])
    a, b = res.between(0.0, middle), res.between(middle)
    assert a.times[-1] < middle == b.times[0] and b.times[-1] == res.t_stop
    assert a.n_spikes + b.n_spikes == 100
    joined = sp.concatenate([a, b])
    assert np.array_equal(joined.times, res.times) and joined.run_id == res.run_id and len(joined.pieces) == 1


def test_parts_of_pieces(net):
    sim = sp.Simulation(net)
    joined = sp.concatenate([sim.run(10.0, record=sp.Record(**FULL)) for _ in range(4)])
    whole = net.run(40.0, record=sp.Record(**FULL))
    for t0, t1 in ((5.0, 35.0), (10.0, 30.0), (12.5, 17.5), (0.0, 40.0), (40.0, 40.0), (10.0, 10.0)):
        part, expected = joined.between(t0, t1), whole.between(t0, t1)
        part.n_synaptic_events = expected.n_synaptic_events = None
        part.stop_reason = expected.stop_reason = None  # the end of a piece is one, too
        assert same(part, expected), (t0, t1)
    assert [p.t_start for p in joined.between(5.0, 25.0).pieces] == [5.0, 10.0, 20.0]


def test_bad_intervals_are_refused(net):
    sim = sp.Simulation(net)
    sim.run(10.0)
    res = sim.run(50.0)
    for arguments, message in {
        (5.0,): "between: t0 must be within the run, from 10 to 60 ms, got 5",
        (20.0, 61.0): "t1 must be within the run, from 10 to 60 ms, got 61",
        (30.0, 20.0): "t0 must be at most t1, got 30 and 20 ms",
        ("20",): "t0 must be a finite time in ms, got '20'",
    }.items():
        with pytest.raises(ParameterError, match=message):
            res.between(*arguments)
    assert res.between(20.0, 60.0 * (1.0 + 1e-15)).t_stop == 60.0  # a rounding is no error


def test_gradients_are_of_the_whole_run(net):
    net = sp.Network(seed=1)
    net.add(5, sp.LIF(tau_m=10.0, I_e=1.5))
    res = net.run(20.0, tape=True)
    for part in (res.between(0.0), res.between(5.0), res[net.populations[0]]):
        with pytest.raises(ParameterError, match="this Result has no tape"):
            part.backward(np.zeros(part.n_spikes))
    assert len(res.backward(np.zeros(res.n_spikes)).I_e) == 5


def test_populations_by_name(net):
    res = net.run(50.0, record=sp.Record(**FULL))
    assert same(res["I"], res.population("I")) and same(res[net.populations[1]], res["I"])
    part = res["I"]
    assert (
        part.V_ids.tolist() == list(range(20))
        and np.array_equal(part.V, res.V[:, 1:])
        and res["E"].V_ids.tolist() == [7]
    )
    assert res["s"].counts["s"].sum() == 3 and net.run(9.0, record=sp.Record(bins=1.0))["s"].counts is None
    assert part.I_syn_ids.tolist() == [3, 1] and np.array_equal(part.I_syn, res.I_syn)
    assert list(part.counts) == ["I"] and part.counts["I"].sum() == part.n_spikes
    assert "E" in res and net.populations[0] in res and "X" not in res
    with pytest.raises(ParameterError, match=r"unknown population: 'e' \(there are: E, I, s\)"):
        res["e"]
    with pytest.raises(TypeError, match="not iterable"):
        list(res)


def test_spike_trains(net):
    res = net.run(50.0)
    trains = res.spike_trains()
    assert list(trains) == list(range(100))  # and no sources, which were not recorded
    assert all(np.array_equal(train, res.times[res.ids == i]) for i, train in trains.items())
    assert all(np.array_equal(train, trains[80 + i]) for i, train in res["I"].spike_trains().items())


# What is shown ------------------------------------------------------------------------------------------------------


def test_a_summary_does_not_depend_on_what_was_looked_at_before(net, tmp_path):
    kept, streamed = net.run(100.0), net.run(100.0, record=tmp_path / "raster.h5")
    for res in (kept, streamed, sp.load(tmp_path / "raster.h5")):
        text = str(res)
        assert f"CV of the interspike intervals {kept.cv_isi:.3g}" in text
        _ = res.times, res.cv_isi
        assert str(res) == text


def test_a_summary_reads_no_large_files(net, tmp_path, monkeypatch):
    monkeypatch.setattr(sp.run.result, "SHOWN_CV_IN_FILE", 10)
    res = net.run(100.0, record=tmp_path / "raster.h5")
    text = str(res)
    assert "CV" not in text and callable(res._spikes) and "80" in cells_of(res._repr_html_()) and callable(res._spikes)
    _ = res.times
    assert str(res) == text


def test_a_table_for_notebooks(tmp_path):
    net = sp.Network(seed=1)
    net.add(10, sp.LIF(tau_m=10.0, I_e=1.5), name="<b>&", V=0.0)
    net.add(2, sp.SpikeSource([1.0], [0]), name="s")
    res = net.run(100.0, record=sp.Record(spikes={"<b>&": [0, 1, 2]}))
    table = res._repr_html_()
    cells = ["&lt;b&gt;&amp;", "LIF", "10", "3", "90", "90", "0"]
    assert cells_of(table)[:6] == cells[:-1] and "<b>&" not in table
    assert cells_of(table)[7:13] == ["s", "SpikeSource", "2", "0", "?", "nan"]
    assert table.count("<tr>") == table.count("</tr>") == 3
