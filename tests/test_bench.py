"""The yardsticks compute the same spikes as the engines, and `sparseprop bench` reports what it measured."""

import json
import math

import numpy as np
import pytest

import sparseprop as sp
from sparseprop.bench import suite as bench
from sparseprop.bench._yardsticks import PREFETCHING, Conventional, PaperHeap, Phases, draw_events, random_updates
from sparseprop.cli import commands as cli

TINY = bench.Case("LIF", 200, outdegree=20, rounds=2, spikes=600, slow_spikes=300)


def network(model="LIF", n=500, outdegree=30):
    return sp.balanced_network(n, bench.MODELS[model](tau_m=10.0), outdegree, seed=4)


@pytest.mark.parametrize("model", bench.MODELS)
@pytest.mark.parametrize(
    ("algorithm", "options"), [(PaperHeap, {}), (PaperHeap, {"prefetching": True}), (Conventional, {})]
)
def test_yardsticks_fire_the_spikes_of_the_engines(model, algorithm, options):
    """Hundreds of spikes: theta networks are chaotic, so that later rounding errors decide about the order."""
    net = network(model)
    result = net.run(n_spikes=400)
    yardstick = bench.yardstick(net, algorithm, **options)
    parts = [yardstick.advance(n) for n in (1, 0, 299, 100)]
    times, ids = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    assert ids.dtype == np.int64
    assert np.array_equal(ids, result.ids[:400])
    assert times == pytest.approx(result.times[:400], abs=1e-6, rel=0.0)


def test_yardsticks_start_from_the_state_they_are_given():
    net = bench.settled(network())
    result = net.run(n_spikes=200)
    for algorithm in (PaperHeap, Conventional):
        times, ids = bench.yardstick(net, algorithm).advance(200)
        assert np.array_equal(ids, result.ids[:200])
        assert times == pytest.approx(result.times[:200], abs=1e-9)


def test_settling_takes_two_spikes_per_neuron_and_keeps_the_synapses():
    net = network()
    settled = bench.settled(net)
    simulation = sp.Simulation(net)
    simulation.run(n_spikes=2 * 500)
    assert settled.projections[0].targets is net.projections[0].targets
    np.testing.assert_allclose(settled.populations[0].V, simulation.V, rtol=1e-15)
    assert isinstance(net.populations[0].V, type(sp.uniform_phase()))


def test_yardsticks_refuse_networks_they_are_not_made_for():
    def refused(change, match, model=None):
        net = sp.Network(seed=1)
        neurons = net.add(10, model or sp.LIF(tau_m=10.0, I_e=2.0))
        change(net, neurons)
        with pytest.raises(sp.errors.ParameterError, match=match):
            bench.yardstick(net, PaperHeap)

    def ring(net, neurons):
        net.connect(neurons, neurons, sp.fixed_outdegree(3), weight=-0.1)

    refused(lambda net, neurons: None, "one projection")
    refused(
        lambda net, neurons: net.connect(neurons, neurons, sp.fixed_outdegree(3), weight=-0.1 * np.ones(30)),
        "equal weights",
    )
    refused(
        lambda net, neurons: net.connect(neurons, neurons, sp.edges([0, 1, 1], [1, 2, 3]), weight=-0.1),
        "out-degrees",
    )
    refused(
        lambda net, neurons: net.connect(neurons, neurons, sp.fixed_outdegree(3, procedural=True), weight=-0.1),
        "stored synapses",
    )
    refused(ring, "equal neurons", sp.LIF(tau_m=10.0, I_e=0.5))
    refused(ring, "equal neurons", sp.LIF(tau_m=10.0, I_e=np.full(10, 2.0)))
    refused(ring, "no t_ref", sp.LIF(tau_m=10.0, I_e=2.0, t_ref=1.0))
    refused(ring, "infinite V_peak", sp.QIF(tau_m=10.0, I_e=2.0, V_peak=10.0))


def test_yardsticks_check_their_arguments():
    good = {
        "model": "LIF",
        "phases": np.zeros(4),
        "targets": np.array([1, 2, 3, 0], np.int32),
        "degree": 1,
        "kick": 0.1,
        "omega": 0.5,
        "period": 10.0,
    }
    for algorithm in (PaperHeap, Conventional):
        assert algorithm(**good).advance(2)[0].shape == (2,)
        for change, match in [
            ({"model": "EIF"}, "model must be"),
            ({"period": 0.0}, "period and omega"),
            ({"omega": math.nan}, "period and omega"),
            ({"degree": 2}, "4 rows of 2"),
            ({"phases": np.zeros(0)}, "0 rows of 1"),
            ({"targets": np.array([1, 2, 3, 4], np.int32)}, r"in \[0, 4\)"),
            ({"phases": np.array([0.0, 0.0, 0.0, 1.0])}, "below 1"),
            ({"phases": np.array([0.0, 0.0, 0.0, math.nan])}, "below 1"),
        ]:
            with pytest.raises(sp.errors.ParameterError, match=match):
                algorithm(**(good | change))
        with pytest.raises(sp.errors.ParameterError, match="n_spikes must be >= 0"):
            algorithm(**good).advance(-1)
        with pytest.raises(sp.errors.ParameterError, match="the network not empty"):
            algorithm.__new__(algorithm).advance(1)
    with pytest.raises(NotImplementedError):
        Phases(**good)
    again = PaperHeap(**good)
    with pytest.raises(sp.errors.ParameterError, match="initialised twice"):
        again.__init__(**good)


@pytest.mark.parametrize("means", [np.array([9.0]), np.linspace(1.0, 12.0, 500)])
def test_drawing_events_takes_time(means):
    n_events, ns = draw_events(means, 500, 64, 40)
    expected = 20_000 * means.mean()
    assert abs(n_events - expected) < 5.0 * math.sqrt(expected) and 0.0 < ns < 1e5
    assert n_events == draw_events(means, 500, 500, 40)[0]
    for arguments in ((means, 0, 1, 1), (means, 500, 0, 1), (means, 500, 1, 0), (0.0 * means, 500, 1, 1),
                      (20.0 * means, 500, 1, 1), (np.ones(3), 500, 1, 1)):  # fmt: skip
        with pytest.raises(sp.errors.ParameterError, match="numbers, of which the largest is in"):
            draw_events(*arguments)


def test_the_bound_takes_time():
    net = network()
    targets, rows = net.projections[0].adjacency.targets, np.arange(500) % 7
    for mode in PREFETCHING:
        assert 0.0 < random_updates(targets, 30, np.tile(rows, 200), 500, mode) < 1e6
    for arguments, match in [
        ((targets, 30, rows, 400), "400 rows of 30"),
        ((targets, 30, np.array([500]), 500), r"in \[0, 500\)"),
        ((targets, 30, np.zeros(0, np.int64), 500), "one or more"),
        ((targets, 30, rows, 500, "all"), "one of none, rows, targets"),
    ]:
        with pytest.raises(sp.errors.ParameterError, match=match):
            random_updates(*arguments)


@pytest.mark.parametrize("model", bench.MODELS)
def test_compare_reports_all_contenders(model):
    case = bench.Case(model, 200, outdegree=20, rounds=3, spikes=600, slow_spikes=300)
    done = bench.compare(case)
    assert (done["model"], done["n"], done["outdegree"], done["n_synapses"]) == (model, 200, 20, 4000)
    assert set(done["ns_per_synaptic_event"]) == set(done["ratio_to_window"]) == set(bench.CONTENDERS)
    assert set(done["bound_by_prefetching"]) == set(PREFETCHING)
    for cost in done["ns_per_synaptic_event"].values():
        assert len(cost["turns"]) == 3
        assert 0.0 < cost["best"] == min(cost["turns"]) <= cost["median"] == sorted(cost["turns"])[1]
    assert done["ratio_to_window"]["window"] == 1.0
    assert done["same_spikes_as_window"]["heap"] == 300
    assert done["same_spikes_as_window"]["paper"] >= 200
    assert done["us_per_spike"] == pytest.approx(done["ns_per_synaptic_event"]["window"]["median"] * 0.02)
    assert done["rate_hz"] > 1.0


def test_compare_refuses_an_unknown_model():
    with pytest.raises(sp.errors.ParameterError, match="unknown model: 'LIV'"):
        bench.compare(bench.Case("LIV", 200))


def test_an_interrupt_of_a_turn_is_an_interrupt(monkeypatch):
    class Interrupted:
        def run(self, **options):
            assert options["interrupt"] == "raise"
            raise KeyboardInterrupt

    monkeypatch.setattr(bench, "Simulation", lambda *args, **options: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        bench.compare(TINY)


def test_the_command_writes_figures_and_a_picture(tmp_path, monkeypatch, capsys):
    cases = (bench.Case("LIF", 200, outdegree=100, rounds=2, spikes=600, slow_spikes=300), TINY)
    monkeypatch.setattr(bench, "QUICK", cases)
    assert cli.main(["bench", "--quick", "-o", str(tmp_path / "new" / "folder")]) == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "new" / "folder" / "bench.json").read_text())
    assert {"benchmark", "question", "command", "date", "machine", "build", "versions", "cases"} == set(report)
    assert report["build"]["mode"] in ("release", "debug")
    assert report["machine"]["cores"] >= 1
    assert [case["outdegree"] for case in report["cases"]] == [100, 20]
    assert (tmp_path / "new" / "folder" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "the machine's: the memory accesses" in out and "Nanoseconds of CPU time per synaptic event" in out
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2
    assert len({len(row) for row in rows}) == 1


def test_the_command_says_when_the_machine_is_busy(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "FULL", (TINY,))
    monkeypatch.setattr(bench.os, "getloadavg", lambda: (1e3, 1e3, 1e3))
    assert cli.main(["bench", "--full", "-o", str(tmp_path)]) == 0
    assert "The machine was busy (load 1000.0" in capsys.readouterr().out


def test_the_command_does_without_matplotlib(tmp_path, monkeypatch, capsys):
    def missing(report, path):
        raise ImportError("plots need matplotlib")

    monkeypatch.setattr(bench, "QUICK", (TINY,))
    monkeypatch.setattr(bench, "plot", missing)
    assert cli.main(["bench", "-o", str(tmp_path)]) == 0
    assert "was skipped: plots need matplotlib" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


def test_an_interrupted_command_keeps_what_was_measured(tmp_path, monkeypatch, capsys):
    compare = bench.compare

    def second_interrupted(case):
        if case.outdegree == 20:
            raise KeyboardInterrupt
        return compare(case)

    monkeypatch.setattr(bench, "QUICK", (bench.Case("LIF", 200, outdegree=30, rounds=1, spikes=300), TINY))
    monkeypatch.setattr(bench, "compare", second_interrupted)
    assert cli.main(["bench", "-o", str(tmp_path)]) == 130
    assert "what was measured until then is in" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "bench.json").read_text())["cases"]) == 1


def test_the_command_explains_a_folder_it_cannot_write(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["bench", "-o", str(tmp_path / "file")]) == 1
    assert "cannot make the folder" in capsys.readouterr().err
    (tmp_path / "bench.json").mkdir()
    assert cli.main(["bench", "-o", str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err
    (tmp_path / "bench.png").mkdir()
    with pytest.raises(sp.errors.StorageError, match="cannot write"):
        bench.plot({"cases": []}, tmp_path / "bench.png")


def test_the_command_takes_one_of_quick_and_full(capsys):
    assert cli.main(["bench", "--quick", "--full"]) == 2
    assert "not allowed with" in capsys.readouterr().err
