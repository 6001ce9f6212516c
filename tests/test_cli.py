"""The command: what it prints and writes, its errors and its exit codes."""

import csv
import importlib.metadata
import itertools
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

import sparseprop as sp
from sparseprop.cli import commands as cli
from sparseprop.files.raster_writer import RasterWriter, recover_raster

SCRIPT = Path(sys.executable).with_name("sparseprop")
CONFIG = """\
seed = 3

[[populations]]
name = "E"
n = 80
model = { name = "LIF", tau_m = 10.0, I_e = 1.5 }

[[populations]]
name = "I"
n = 20
model = { name = "QIF", tau_m = 10.0, I_e = 1.0 }

[[projections]]
pre = "I"
post = "E"
rule = { name = "fixed_outdegree", k = 10 }
weight = -0.1
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run the command in this process: exit code, stdout, stderr."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def fails(run, empty_folder):
    """Run a command that must fail with one line on stderr and write no file."""

    def fails(code, *arguments):
        before = sorted(empty_folder.iterdir())
        got, _, err = run(*arguments)
        assert got == code
        assert err.startswith("sparseprop: error: ") and err.count("\n") == 1 and err.endswith("\n")
        assert sorted(empty_folder.iterdir()) == before
        return err.removeprefix("sparseprop: error: ").strip()

    return fails


def config(text=CONFIG, name="network.toml"):
    Path(name).write_text(text)
    return name


def network():
    """What CONFIG describes."""
    net = sp.Network(seed=3)
    net.add(80, sp.LIF(tau_m=10.0, I_e=1.5), name="E")
    net.add(20, sp.QIF(tau_m=10.0, I_e=1.0), name="I")
    net.connect("I", "E", sp.fixed_outdegree(10), weight=-0.1)
    return net


def assert_same_spikes(result, expected):
    assert expected.n_spikes > 0
    assert np.array_equal(result.times, expected.times)
    assert np.array_equal(result.ids, expected.ids)


# demo -------------------------------------------------------------------------------------------------------


def test_demo(run, empty_folder):
    code, out, err = run("demo", "--neurons", 500, "--duration", 200, "--seed", 7)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in empty_folder.iterdir()) == ["raster.h5", "raster.png"]
    assert Path("raster.png").read_bytes().startswith(b"\x89PNG")
    net = sp.balanced_network(500, sp.LIF(tau_m=10.0), outdegree=100, j0=1.0, rate=1.0, seed=7)
    expected = net.run(200.0)
    assert_same_spikes(sp.load("raster.h5"), expected)
    for part in (
        "500 neurons",
        f"{expected.n_spikes:,} in 200 ms",
        f"{expected.rate:.3g} Hz",
        f"{expected.cv_isi:.2f}: the CV",
        "per spike",
        "it grows with the duration",
        "raster.h5",
        "raster.png",
    ):
        assert part in out


def test_a_demo_replaces_its_own_files_only(run, empty_folder):
    assert run("demo", "--neurons", 300, "--duration", 20)[0] == 0
    assert run("demo", "--neurons", 200, "--duration", 10, "--seed", 2)[0] == 0
    network().run(10.0).save("raster.h5")
    before = Path("raster.h5").read_bytes()
    code, out, err = run("demo", "--neurons", 200, "--duration", 10)
    assert code == 1 and "raster.h5: it exists, and is the raster of another run" in err
    assert "give --overwrite to replace it, or go to another folder" in err and Path("raster.h5").read_bytes() == before
    assert run("demo", "--neurons", 200, "--duration", 10, "--overwrite")[0] == 0
    assert sp.load("raster.h5").n_neurons == 200


def test_demo_without_matplotlib(run, empty_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run("demo", "--neurons", 200, "--duration", 20)
    assert (code, err) == (0, "")
    assert 'raster.png  was skipped: plots need matplotlib: run `pip install "sparseprop-sim[plot]"`' in out
    assert [path.name for path in empty_folder.iterdir()] == ["raster.h5"]


def test_demo_that_is_interrupted(run, monkeypatch):
    def interrupted(*arguments, record, **options):
        Path(record).touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(sp.Network, "run", interrupted)
    code, _, err = run("demo", "--neurons", 200)
    assert code == 130
    assert err == "sparseprop: interrupted; what was recorded until then is in raster.h5\n"


# run --------------------------------------------------------------------------------------------------------


def test_run(run):
    code, out, err = run("run", config(), "-o", "out.h5", "--duration", 100)
    assert (code, err) == (0, "")
    expected = network().run(100.0)
    result = sp.load("out.h5")
    assert_same_spikes(result, expected)
    assert result.stop_reason == sp.StopReason.TIME and result.t_stop == 100.0
    assert str(network()) in out
    assert f"{expected.n_spikes:,} in 100 ms" in out and "Spikes are in out.h5" in out


def test_run_table_and_command_line(run):
    name = config(CONFIG + '[run]\nduration = 50\nengine = "reference"\nseed = 9\n')
    assert run("run", name, "-o", "out.h5")[0] == 0
    result = sp.load("out.h5")
    assert_same_spikes(result, network().run(50.0, seed=9))
    assert result.header["engine"] == "reference" and result.header["seed"] == 9

    assert run("run", name, "-o", "out.h5", "--duration", 20, "--engine", "heap", "--seed", 11, "--overwrite")[0] == 0
    result = sp.load("out.h5")
    net = sp.Network.from_dict(network().to_dict() | {"seed": 11})
    assert_same_spikes(result, net.run(20.0))
    assert result.header["engine"] == "heap"
    assert result.header["seed"] == result.header["network"]["seed"] == 11


def test_run_does_not_replace_a_raster_unless_told(run):
    arguments = "run", config(), "-o", "out.h5", "--duration", 10
    assert run(*arguments)[0] == 0
    before = Path("out.h5").read_bytes()
    code, out, err = run(*arguments)
    assert (code, out) == (1, "") and "give --overwrite to replace it, or another name after -o" in err
    assert Path("out.h5").read_bytes() == before
    assert run(*arguments, "--overwrite")[0] == 0 and Path("out.h5").read_bytes() != before
    Path("out.h5").unlink()  # --resume begins, as there is no checkpoint yet, and goes on without --overwrite
    for _ in range(2):
        assert run(*arguments, "--resume", "--checkpoint", "state.h5", "--every", 5)[0] == 0
    Path("state.h5").unlink()
    assert run(*arguments, "--resume", "--checkpoint", "state.h5", "--every", 5)[0] == 1


def test_run_stops_at_spikes(run):
    code, out, _ = run("run", config(CONFIG + "[run]\nduration = 1000\n"), "-o", "out.h5", "--n-spikes", 50)
    assert code == 0 and "End           the number of spikes was reached" in out
    assert sp.load("out.h5").n_spikes == 50


def test_run_of_a_silent_network(run):
    code, out, _ = run(
        "run", config(CONFIG.replace("1.5", "0.5").replace("1.0 }", "-1.0 }")), "-o", "out.h5", "--duration", 10
    )
    assert code == 0 and "the network is silent" in out
    assert sp.load("out.h5").n_spikes == 0


def test_run_for_no_time(run):
    code, out, _ = run("run", config(), "-o", "out.h5", "--duration", 0)
    assert code == 0 and "0 in 0 ms" in out and "nan" not in out


def test_run_quiet(run):
    assert run("run", config(), "-o", "out.h5", "--duration", 10, "--quiet") == (0, "", "")
    assert sp.load("out.h5").n_spikes > 0


def test_run_without_a_seed_says_which_one_it_took(run):
    code, _, err = run("run", config(CONFIG.replace("seed = 3", "")), "-o", "out.h5", "--duration", 10)
    assert code == 0 and err.startswith("sparseprop: no seed given, using Network(seed=")
    assert f"seed={sp.load('out.h5').header['seed']})" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seed = 3", "sed = 3"), "network.toml: unknown entry of the network: 'sed' ... mean 'seed'?"),
        (("n = 80", "m = 80"), "network.toml: unknown entry of populations[0]: 'm'"),
        (("LIF", "LFI"), "network.toml: unknown neuron model: 'LFI' ... did you mean 'LIF'?"),
        (("I_e = 1.5", "I_ee = 1.5"), "unknown entry of populations[0].model: 'I_ee' ... did you mean 'I_e'?"),
        (("tau_m = 10.0, I_e = 1.5", "tau_m = -1.0"), "LIF.tau_m must be a finite time > 0 ms, got -1.0"),
        (("k = 10", "k = 1000"), "network.toml: "),
        (("fixed_outdegree", "fixed_outdegre"), "did you mean 'fixed_outdegree'?"),
        (('pre = "I"', 'pre = "J"'), "unknown population: 'J'"),
        (("weight = -0.1", ""), "weight of projection 'I' -> 'E' is missing"),
        (("weight = -0.1", 'weight = "strong"'), "weight of projection 'I' -> 'E' must be a finite number"),
        (
            ("weight = -0.1", "weight = -0.1\n[run]\ndurations = 5"),
            "network.toml: unknown entry of [run]: 'durations' ... did you mean 'duration'?",
        ),
        (("weight = -0.1", 'weight = -0.1\n[run]\nduration = "long"'), "duration must be a finite time >= 0"),
        (("weight = -0.1", 'weight = -0.1\n[run]\nengine = "hep"'), "unknown engine: 'hep'"),
        (("seed = 3", "seed = 3\nrun = 5"), "network.toml: run must be a table, [run], got 5"),
        (("seed = 3", "seed 3"), "network.toml is not valid TOML: ... line 1"),
    ],
)
def test_run_bad_config(fails, change, message):
    assert change[0] in CONFIG
    error = fails(1, "run", config(CONFIG.replace(*change, 1)), "-o", "out.h5", "--n-spikes", 10)
    for part in message.split(" ... "):
        assert part in error


def test_run_config_of_wrong_encoding(fails):
    Path("network.toml").write_bytes(b'seed = 1\nname = "\xff"\n')
    assert fails(1, "run", "network.toml", "-o", "out.h5") == "network.toml is no text in UTF-8 (byte 17)"


def test_run_needs_a_stop_rule(fails):
    assert fails(1, "run", config(), "-o", "out.h5").startswith("nothing says when to stop: give --duration")


def test_run_missing_files(fails):
    error = fails(1, "run", "missing.toml", "-o", "out.h5")
    assert error == "cannot read missing.toml: No such file or directory"
    error = fails(1, "run", config(), "-o", "missing/out.h5", "--duration", 10)
    assert "missing does not exist" in error


def test_run_does_not_replace_its_configuration(fails):
    assert "must not be the configuration itself" in fails(1, "run", config(), "-o", "./network.toml", "--duration", 10)
    assert Path("network.toml").read_text() == CONFIG


def test_error_of_the_simulation(fails, empty_folder):
    text = """
        seed = 1
        populations = [{ name = "E", n = 3, model = { name = "LIF", tau_m = 10.0, I_e = 2.0 }, V = 0.0 }]
        projections = [{ pre = "E", post = "E", rule = { name = "all_to_all" }, weight = 5.0 }]
    """
    Path("out.h5").touch()
    error = fails(1, "run", config(text), "-o", "out.h5", "--duration", 100)
    assert "would fire twice in one instant" in error


def test_memory_that_is_missing(fails, monkeypatch):
    def too_much(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(sp.Network, "run", too_much)
    assert fails(1, "run", config(), "-o", "out.h5", "--duration", 100) == "MemoryError"


# sweep ------------------------------------------------------------------------------------------------------

SWEEP = """
[run]
duration = 50.0

[sweep]
"populations.E.model.I_e" = [1.5, 2.0]
"populations.1.n" = [20]
projections.0.weight = [-0.1, -0.2]
"projections.0.rule.k" = [10]
seed = [3, 4]
"""


def test_sweep(run):
    code, out, err = run("sweep", config(CONFIG + SWEEP), "-o", "out.csv", "--workers", 2)
    assert (code, err) == (0, "")
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and "8 points\n\nThe table is in out.csv" in out
    points = itertools.product([1.5, 2.0], [-0.1, -0.2], [3, 4])
    for (drive, weight, seed), row in zip(points, rows, strict=True):
        net = sp.Network(seed=seed)
        net.add(80, sp.LIF(tau_m=10.0, I_e=drive), name="E")
        net.add(20, sp.QIF(tau_m=10.0, I_e=1.0), name="I")
        net.connect("I", "E", sp.fixed_outdegree(10), weight=weight)
        expected = net.run(50.0)
        assert [row[name] for name in list(row)[:5]] == [repr(drive), "20", repr(weight), "10", str(seed)]
        assert int(row["n_spikes"]) == expected.n_spikes > 0 and float(row["cv_isi"]) == expected.cv_isi


def test_sweep_of_what_the_configuration_leaves_to_its_defaults(run):
    text = CONFIG.replace("seed = 3", "") + (
        '[run]\nn_spikes = 50\n[sweep]\nseed = [5]\n"populations.0.V" = [0.5]\n"populations.E.model.t_ref" = [1.0]\n'
        '"populations.I.model" = [{ name = "Theta", tau_m = 10.0, I_e = 2.0 }]\n'
        '"projections.0.allow_autapses" = [true]\n'
    )
    assert run("sweep", config(text), "-o", "out.csv", "--quiet") == (0, "", "")
    net = sp.Network(seed=5)
    net.add(80, sp.LIF(tau_m=10.0, I_e=1.5, t_ref=1.0), name="E", V=0.5)
    net.add(20, sp.Theta(tau_m=10.0, I_e=2.0), name="I")
    net.connect("I", "E", sp.fixed_outdegree(10), weight=-0.1, allow_autapses=True)
    expected = net.run(n_spikes=50)
    with open("out.csv", newline="") as file:
        [row] = csv.DictReader(file)
    assert int(row["n_spikes"]) == expected.n_spikes and float(row["t_stop"]) == expected.t_stop
    assert row["populations.0.V"] == "0.5" and '"name": "Theta"' in row["populations.I.model"]


def test_sweep_with_points_that_fail_and_are_resumed(run):
    bad = CONFIG + SWEEP.replace("seed = [3, 4]", "seed = [3, -4]")
    code, out, err = run("sweep", config(bad), "-o", "out.csv", "--workers", 1)
    assert code == 1 and "8 points, 4 failed" in out
    assert err == "sparseprop: error: 4 of 8 points failed: see the last column of out.csv\n"
    before = Path("out.csv").read_text().splitlines()
    assert before[2].endswith(',"ParameterError: Network.seed must be a whole number >= 0, got -4"')
    again = run("sweep", "network.toml", "-o", "out.csv", "--resume", "--quiet", "--workers", 1)
    assert again == (1, "", err)
    assert Path("out.csv").read_text().splitlines() == before  # also the wall times: nothing was run again
    assert "the grid has" in run("sweep", config(CONFIG + SWEEP.replace("seed =", "#")), "-o", "out.csv", "--resume")[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("E.model", "EE.model"),
            "'populations.EE.model.I_e' in [sweep]: 'EE' (there are: 0, 1, E, I); did you mean 'E'?",
        ),
        (
            ("model.I_e", "model.Ie"),
            "unknown part of the path 'populations.E.model.Ie' in [sweep]: 'Ie' (there are: name, ",
        ),
        (("populations.1.n", "populations.2.n"), "'populations.2.n' in [sweep]: '2' (there are: 0, 1, E, I)"),
        (("populations.1.n", "populations.1.m"), "'m' (there are: name, n, model, V, phase, I_syn)"),
        (("projections.0.w", "projections.E.w"), "'projections.E.weight' in [sweep]: 'E' (there are: 0)"),
        (("rule.k", "rule.j"), "'j' (there are: name, k)"),
        (("rule.k", "weight.k"), "unknown part ... 'k', as projections.0.weight has no parts"),
        (("rule.k", "delay.k"), "leads through 'delay', which the configuration lacks"),
        (("seed =", "sed ="), "unknown part of the path 'sed' in [sweep]: 'sed' ... did you mean 'seed'?"),
        (("seed =", '"run.duration" ='), "'run' (there are: seed, populations, projections, drives)"),
        (("seed = [3, 4]", "seed = 3"), "network.toml: seed in [sweep] must be a list of values such as [1, 2], got 3"),
        (("seed = [3, 4]", "seed = []"), "seed in [sweep] must be a list of values such as [1, 2], got []"),
        (("seed = [3, 4]", "seed = [3, 3]"), "grid must have each point once"),
        ((SWEEP, "[run]\nduration = 5\n"), "network.toml has no table [sweep]; add one, such as"),
        (("duration = 50.0", ""), "nothing says when to stop: give duration or n_spikes in the table [run] of"),
        (("duration = 50.0", "duration = -1"), "duration must be a finite time >= 0 ms, got -1.0"),
    ],
)
def test_sweep_bad_config(fails, change, message):
    assert change[0] in SWEEP
    error = fails(1, "sweep", config(CONFIG + SWEEP.replace(*change, 1)), "-o", "out.csv")
    for part in message.split(" ... "):
        assert part in error


def test_sweep_other_errors(fails):
    name = config("sweep = 5\n" + CONFIG + "[run]\nduration = 5\n")
    assert fails(1, "sweep", name, "-o", "out.csv") == "network.toml: sweep must be a table, [sweep], got 5"
    name = config(CONFIG + SWEEP)
    assert "must not be the configuration itself" in fails(1, "sweep", name, "-o", "network.toml")
    assert "cannot write " in fails(1, "sweep", name, "-o", "missing/out.csv")
    assert fails(1, "run", name, "-o", "out.h5").startswith("network.toml has a table [sweep]; use `sparseprop sweep`")


def test_sweep_that_is_interrupted(run, monkeypatch):
    def interrupted(build, grid, **options):
        assert sorted(options) == ["duration", "out", "progress", "resume", "workers"]
        return sp.SweepResult(list(grid), [dict.fromkeys(grid, 1)], interrupted=True)

    monkeypatch.setattr(cli, "sweep", interrupted)
    code, out, err = run("sweep", config(CONFIG + SWEEP), "-o", "out.csv")
    assert (code, out) == (130, "")
    assert err == "sparseprop: interrupted; the 1 points that had finished are in out.csv, use --resume\n"


# info -------------------------------------------------------------------------------------------------------


def test_info_of_a_raster(run):
    result = network().run(100.0, record="out.h5")
    code, out, err = run("info", "out.h5")
    assert (code, err) == (0, "")
    excitatory = result.population("E")
    for part in (
        f"out.h5: {result.n_spikes:,} spikes of 100 neurons from 0 to 100 ms",
        f"E: 80 neurons, {excitatory.n_spikes:,} spikes, {excitatory.rate:.4g} Hz",
        "the run ended because the time was reached",
        "seed 3, engine window, sparseprop ",
        "E: 80 neurons, LIF(tau_m=10, E_L=0, V_th=1, V_reset=0, I_e=1.5, t_ref=0)",
        "I: 20 neurons, QIF(tau_m=10, I_e=1, V_peak=inf, V_reset=-inf, t_ref=0)",
        "I -> E: fixed_outdegree(k=10, procedural=False), weight -0.1",
    ):
        assert part in out


def test_info_of_values_per_neuron_and_synapse(run):
    net = sp.Network(seed=1)
    net.add(4, sp.LIF(tau_m=[10.0, 12.0, 14.0, 16.0], I_e=2.0), name="E")
    net.connect("E", "E", sp.edges([0, 1], [1, 2]), weight=[-0.1, -0.2])
    net.run(10.0).save("out.h5")
    code, out, _ = run("info", "out.h5")
    assert code == 0
    assert "LIF(tau_m=<4 values from 10 to 16>" in out and "weight <2 values from -0.2 to -0.1>" in out


def test_info_of_distributions_and_ports(run):
    net = sp.Network(seed=1)
    E = net.add(10, sp.LIF(tau_m=sp.normal(10.0, 1.0, low=5.0), I_e=1.5), name="E")
    I = net.add(10, sp.LIFExp(tau_m=10.0, tau_syn=(sp.uniform(2.0, 4.0), 5.0)), name="I")
    net.connect(E, I, sp.one_to_one(), weight=sp.lognormal(-3.0, 0.5))
    net.run(10.0, record="out.h5")
    code, out, err = run("info", "out.h5")
    assert (code, err) == (0, "")
    assert "LIF(tau_m=normal(10, 1, low=5, high=inf), E_L=0" in out
    assert "LIFExp(tau_m=10, tau_syn=(uniform(2, 4), 5), E_L=0" in out
    assert "E -> I: one_to_one(), weight lognormal(-3, 0.5, low=0, high=inf)" in out


def test_info_of_a_raster_that_is_not_finished(run):
    with pytest.raises(ZeroDivisionError), RasterWriter("out.h5", [("E", 10)], header={"seed": 5}) as writer:
        writer.append(np.array([1.0, 8.0]), np.array([3, 4]))
        raise ZeroDivisionError
    code, out, err = run("info", "out.h5")
    assert code == 0
    assert "out.h5: 2 spikes of 10 neurons from 0 to 8 ms (the last spike)" in out
    assert "the run did not finish, or still goes on" in out and "seed 5" in out
    assert err.startswith("sparseprop: warning: ") and err.count("\n") == 1
    recover_raster("out.h5", "new.h5")
    code, out, err = run("info", "new.h5")
    assert (code, err) == (0, "") and "recovered from a run that did not finish" in out


def test_info_of_a_file_of_another_program(run):
    with h5py.File("nest.h5", "w") as file:
        group = file.create_group("spikes/V1")
        group["timestamps"] = [1.0, 2.0, 4.0]
        group["node_ids"] = np.array([0, 4, 2], np.uint64)
    code, out, err = run("info", "nest.h5")
    assert (code, err) == (0, "")
    assert "nest.h5: 3 spikes of 5 neurons from 0 to 4 ms (the last spike)" in out
    assert "V1: 5 neurons (the largest id + 1), 3 spikes\n" in out  # and no rate
    assert run("plot", "nest.h5")[0] == 0


def test_info_of_what_was_partly_recorded(run):
    net = network()
    net.add(3, sp.SpikeSource([1.0], [0]), name="s")
    whole = net.run(100.0)
    res = net.run(100.0, record=sp.Record("out.h5", spikes={"E": [0, 1, 2]}))
    code, out, err = run("info", "out.h5")
    assert (code, err) == (0, "")
    kept, all_of_them, rate = len(res.times), whole["E"].n_spikes, whole["E"].rate
    assert f"E: 80 neurons, 3 of them recorded, {kept} of {all_of_them:,} spikes, {rate:.4g} Hz\n" in out
    assert f"I: 20 neurons, 0 of them recorded, 0 of {whole['I'].n_spikes} spikes, {whole['I'].rate:.4g} Hz\n" in out
    assert "s: 3 sources, not recorded\n" in out


def test_info_of_pieces_and_of_negative_times(run):
    sim = sp.Simulation(network())
    pieces = [sim.run(duration, record="out.h5") for duration in (10.0, 20.0)]
    code, out, err = run("info", "out.h5")
    assert (code, err) == (0, "")
    assert f"out.h5: {sum(p.n_spikes for p in pieces):,} spikes of 100 neurons from 0 to 30 ms\n" in out
    assert (
        f"E: 80 neurons, {sum(p['E'].n_spikes for p in pieces):,} spikes, {sp.concatenate(pieces)['E'].rate:.4g} Hz"
        in out
    )
    assert "2 pieces of one simulation, which end at 10, 30 ms" in out
    assert "out.h5 holds 2 pieces of a simulation; repeat them in Python" in run("run", "out.h5", "-o", "again.h5")[2]
    with h5py.File("negative.h5", "w") as file:
        file["spikes/V1/timestamps"], file["spikes/V1/node_ids"] = [-50.0, 50.0], np.array([0, 1], np.uint64)
    code, out, err = run("info", "negative.h5")
    assert (code, err) == (0, "") and "2 spikes of 2 neurons from -50 to 50 ms (the last spike)" in out
    assert run("plot", "negative.h5", "--from", "-60", "--to", -10)[0] == 0


def test_info_of_a_configuration(run, empty_folder):
    code, out, err = run("info", config(CONFIG + "[run]\nduration = 50.0\n"))
    assert (code, err) == (0, "")
    assert str(network()) in out and "in a simulation" in out and "run: duration 50.0" in out
    assert [path.name for path in empty_folder.iterdir()] == ["network.toml"]


def test_info_errors(fails):
    assert "cannot read " in fails(1, "info", "missing.h5")
    assert "cannot read missing.toml" in fails(1, "info", "missing.toml")
    Path("text.h5").write_text("no raster")
    assert "is no HDF5 file" in fails(1, "info", "text.h5")
    with h5py.File("other.h5", "w") as file:
        file["x"] = 1
    assert "no spikes in SONATA format" in fails(1, "info", "other.h5")


# plot -------------------------------------------------------------------------------------------------------


def test_plot(run):
    network().run(100.0).save("out.h5")
    assert run("plot", "out.h5") == (0, "The picture is in out.png\n", "")
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert run("plot", "out.h5", "-o", "part.pdf", "--from", 20, "--to", 40, "--neurons", 5)[0] == 0
    assert Path("part.pdf").read_bytes().startswith(b"%PDF")


def test_plot_errors(fails, monkeypatch):
    network().run(100.0).save("out.h5")
    assert "cannot read " in fails(1, "plot", "missing.h5")
    assert "must end in one of" in fails(1, "plot", "out.h5", "-o", "out.txt")
    assert "t_start must be before t_stop" in fails(1, "plot", "out.h5", "--from", 60, "--to", 40)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert 'pip install "sparseprop-sim[plot]"' in fails(1, "plot", "out.h5")


# view -------------------------------------------------------------------------------------------------------


def test_view(run):
    network().run(100.0).save("out.h5")
    code, out, err = run("view", "out.h5")
    assert (code, err) == (0, "") and re.fullmatch(
        r"The page is in out\.html \(0\.\d+ MB\); open it in a browser\n", out
    )
    text = Path("out.html").read_text()
    assert "<title>out.h5</title>" in text and '"start": 0.0, "stop": 100.0' in text
    assert run("view", "out.h5", "-o", "part.html", "--from", 20, "--to", 40)[0] == 0
    assert '"start": 20.0, "stop": 40.0' in Path("part.html").read_text()
    assert run("view", "out.h5", "--to", 50, "--overwrite")[0] == 0
    assert '"start": 0.0, "stop": 50.0' in Path("out.html").read_text()


def test_view_errors(fails, empty_folder):
    assert "cannot read " in fails(1, "view", "missing.h5")
    network().run(100.0).save("out.h5")
    message = fails(1, "view", "out.h5", "--max-spikes", 3)
    assert "more than max_spikes, 3; give t_start and t_stop (on the command line --from and --to)" in message
    assert "t_start must be before t_stop" in fails(1, "view", "out.h5", "--from", 60, "--to", 40)
    Path("out.html").write_text("mine")
    assert "give --overwrite to replace it, or another name after -o" in fails(1, "view", "out.h5")
    assert Path("out.html").read_text() == "mine"


# Usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["rum"], "invalid choice: 'rum'"),
        (["demo", "--neurons", "100"], "--neurons: must be a whole number >= 101, got '100'"),
        (["demo", "--duration", "-1"], "--duration: must be a time >= 0 in ms, got '-1'"),
        (["demo", "--duration", "inf"], "--duration: must be a time >= 0 in ms, got 'inf'"),
        (["demo", "--seed", "x"], "--seed: must be a whole number >= 0, got 'x'"),
        (["demo", "--dura", "1"], "unrecognized arguments: --dura"),
        (["run", "network.toml"], "the following arguments are required: -o/--out"),
        (["run", "network.toml", "-o", "x.h5", "--engine", "hep"], "--engine: invalid choice: 'hep'"),
        (["sweep", "network.toml"], "the following arguments are required: -o/--out"),
        (["sweep", "network.toml", "-o", "x.csv", "--workers", "0"], "--workers: must be a whole number >= 1, got '0'"),
        (["plot", "x.h5", "--from", "soon"], "--from: must be a time in ms, got 'soon'"),
    ],
)
def test_usage_errors(fails, arguments, message):
    error = fails(2, *arguments)
    assert message in error and error.endswith("--help`)")


@pytest.mark.parametrize("command", [[], ["demo"], ["run"], ["sweep"], ["info"], ["plot"], ["view"]])
def test_help(run, command):
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, "")
    for name in command:
        assert f"\n  sparseprop {name} " in out or f"\n  sparseprop {name}\n" in out
    assert "exit codes: 0 success, 1 error" in out
    assert max(map(len, out.splitlines())) <= 110


def test_the_configuration_in_the_help_works(run):
    _, out, _ = run("run", "--help")
    text = out[out.index("  seed = 1") : out.index("exit codes")]
    assert run("run", config(text), "-o", "out.h5", "--duration", 10)[0] == 0


def test_the_sweep_in_the_help_works(run):
    _, out, _ = run("run", "--help")
    network = out[out.index("  seed = 1") : out.index("exit codes")].replace("duration = 1000.0", "duration = 10.0")
    _, out, _ = run("sweep", "--help")
    table = out[out.index("  [sweep]") : out.index("exit codes")]
    code, out, _ = run("info", config(network + table))
    assert code == 0 and "sweep: 18 points of populations.neurons.model.I_e, projections.0.weight, seed" in out
    assert run("sweep", "network.toml", "-o", "out.csv", "--quiet") == (0, "", "")


def test_version(run):
    assert run("--version") == (0, f"sparseprop {importlib.metadata.version('sparseprop-sim')}\n", "")


def test_a_full_disk_behind_stdout(run, monkeypatch):
    name = config()
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = cli.main(["info", name])
        monkeypatch.undo()
    assert code == 1


# As a process -----------------------------------------------------------------------------------------------


def process(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([str(argument) for argument in arguments], **options)


def test_installed_script_and_module(empty_folder):
    for command in ([SCRIPT], [sys.executable, "-m", "sparseprop"]):
        with process(*command, "--version") as started:
            out, err = started.communicate(timeout=60)
        assert (started.returncode, err) == (0, "") and out.startswith("sparseprop ")


def test_installed_script_demo(empty_folder):
    with process(SCRIPT, "demo", "--neurons", 300, "--duration", 50) as started:
        out, err = started.communicate(timeout=100)
    assert (started.returncode, err) == (0, "")
    assert sorted(path.name for path in empty_folder.iterdir()) == ["raster.h5", "raster.png"]
    assert "raster.png  a picture" in out


def test_command_leaves_pyplot_alone():
    network().run(100.0).save("out.h5")
    code = (
        "import sys; from sparseprop.cli import main; main(['plot', 'out.h5']); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    with process(sys.executable, "-c", code) as started:
        out, err = started.communicate(timeout=60)
    assert (out, err) == ("The picture is in out.png\nFalse\n", "")


def test_a_reader_that_goes_away_stops_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with process(SCRIPT, "run", config(), "-o", "out.h5", "--duration", 10, stdout=writer) as started:
            _, err = started.communicate(timeout=60)
        with process(SCRIPT, "--help", stdout=writer) as helped:
            _, help_err = helped.communicate(timeout=60)
    finally:
        os.close(writer)
    assert (started.returncode, err) == (0, "") and (helped.returncode, help_err) == (0, "")
    assert sp.load("out.h5").stop_reason == sp.StopReason.TIME


def test_interrupt(ctrl_c):
    with process(SCRIPT, "run", config(), "-o", "out.h5", "--duration", 1e9) as started:
        until = time.monotonic() + 60
        while not (Path("out.h5").exists() and Path("out.h5").stat().st_size > 200_000):
            assert started.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
    assert started.returncode == 130
    result = sp.load("out.h5")
    assert err == (
        f"sparseprop: interrupted at {result.t_stop:g} ms; the {result.n_spikes:,} spikes until then are in "
        f"{Path('out.h5').absolute()}\n"
    )
    assert out == f"{network()}\n"
    assert result.stop_reason == sp.StopReason.INTERRUPTED and result.n_spikes > 0
    assert_same_spikes(result, network().run(n_spikes=result.n_spikes))


# Checkpoints, and runs that are repeated ----------------------------------------------------------------------------

DRIVEN = """
seed = 5

[[populations]]
name = "E"
n = 200
model = { name = "LIF", tau_m = 10.0, I_e = 1.1 }

[[populations]]
name = "s"
n = 2
model = { name = "SpikeSource", times = [1.0, 2.0], ids = [0, 1] }

[[projections]]
pre = "E"
post = "E"
rule = { name = "fixed_outdegree", k = 20 }
weight = { distribution = "normal", mean = -0.05, std = 0.01 }
delay = { distribution = "uniform", low = 0.5, high = 2.0 }

[[drives]]
population = "E"
input = { name = "poisson", rate = [100.0, 300.0], times = [0.0, 40.0] }
weight = 0.05

[run]
duration = 100.0
seed = 9
"""


def test_a_raster_is_repeated_bit_for_bit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(DRIVEN)
    assert cli.main(["run", "net.toml", "-o", "first.h5", "--quiet"]) == 0
    assert cli.main(["run", "first.h5", "-o", "second.h5", "--quiet"]) == 0
    first, second = sp.load("first.h5"), sp.load("second.h5")
    assert first.n_spikes > 500 and first.header["seed"] == 9
    assert np.array_equal(first.times, second.times) and np.array_equal(first.ids, second.ids)
    sim = sp.Simulation(sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=20, seed=1))
    sim.run(5.0)
    sim.run(5.0, record="piece.h5")
    capsys.readouterr()
    assert cli.main(["run", "piece.h5", "-o", "third.h5"]) == 1
    assert "holds a later piece" in capsys.readouterr().err


def test_a_run_is_resumed(tmp_path, monkeypatch, capsys, ctrl_c):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(DRIVEN)
    run = ["run", "net.toml", "-o", "raster.h5", "--checkpoint", "state.h5", "--every", "10", "--quiet"]
    assert cli.main([*run[:4], "--quiet"]) == 0
    whole = sp.load("raster.h5")
    net = sp.Network.from_dict(tomllib.loads(DRIVEN.replace("[run]\nduration = 100.0\nseed = 9\n", "")))
    net.run(  # ends early, as if killed behind a checkpoint
        100.0, seed=9, record="raster.h5", checkpoint="state.h5", every=10.0, progress=False, overwrite=True,
        callback=lambda simulation: os.kill(os.getpid(), signal.SIGINT),
    )  # fmt: skip
    for change, message in {
        ("--duration", "200"): "of a run with duration = 100.0, and now it is 200.0",
        ("--n-spikes", "7"): "of a run with n_spikes = None, and now it is 7",
        ("--every", "5"): "of a run with every = 10.0, and now it is 5.0",
        ("-o", "other.h5"): "raster.h5, and now it is",
    }.items():
        capsys.readouterr()
        assert cli.main([*run, "--resume", *change]) == 1
        assert message in capsys.readouterr().err
    assert not os.path.exists("other.h5")
    sp.Simulation(net, seed=9).save("saved.h5")
    assert cli.main([*run, "--resume", "--checkpoint", "saved.h5"]) == 1
    assert "not a checkpoint of a run" in capsys.readouterr().err
    assert cli.main([*run, "--resume", "--engine", "heap"]) == 0
    resumed = sp.load("raster.h5")
    assert np.array_equal(resumed.times, whole.times) and np.array_equal(resumed.ids, whole.ids)
    assert cli.main([argument for argument in [*run, "--resume"] if argument != "--quiet"]) == 0
    assert "has ended already, at 100 ms" in capsys.readouterr().out
    assert cli.main([*run, "--resume", "--duration", "200"]) == 1
    assert cli.main(["run", "net.toml", "-o", "raster.h5", "--resume"]) == 1
    assert "--resume needs --checkpoint" in capsys.readouterr().err
