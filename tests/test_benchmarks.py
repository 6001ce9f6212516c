"""The benchmark scripts run and say on what and how they measured; how fast they found it is not tested."""

import importlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import chromium
import numpy as np
import pytest

from sparseprop.simulation import ENGINES

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent / "benchmarks"
WITHOUT_DELAYS = [name for name in ENGINES if name != "lookahead"]
COMPILED = [name for name in WITHOUT_DELAYS if name != "reference"]


def run(tmp_path, arguments, script="engine_speed.py"):
    command = [sys.executable, str(BENCHMARKS / script), *arguments.split()]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)


def test_engine_speed(tmp_path):
    done = run(tmp_path, "--sizes 200 500 --spikes 2000 --repeats 2 -o out.json")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["benchmark"] == "engine_speed"
    assert report["command"][0] == "engine_speed.py"
    assert report["seed"] == 1
    assert report["cases"][0]["rate"] == 1.0
    assert set(report["versions"]) == {"sparseprop-sim", "numpy", "python"}
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["cpu"]
    assert len(report["machine"]["load_average"]) == 3
    assert report["build"]["mode"] in ("release", "debug")
    assert report["build"]["fuses_multiply_add"] is False
    assert "-ffp-contract=off" in report["build"]["flags_of_setup_py"]
    assert report["source"] is None or len(report["source"]["commit"]) == 40

    cases = {(case["model"], case["engine"], case["n"]): case for case in report["cases"]}
    assert set(cases) == {(m, e, n) for m in ("LIF", "Theta", "LIFExp", "EIF") for e in COMPILED for n in (200, 500)}
    for (_, _, n), case in cases.items():
        assert case["transient"]["spikes"] == case["transient"]["spikes_wanted"] == 2 * n
        assert len(case["repeats"]) == 2
        for repeat in case["repeats"]:
            assert repeat["n_spikes"] == 2000
            assert repeat["n_synaptic_events"] == 2000 * 100
            assert repeat["us_per_spike"] == pytest.approx(repeat["cpu_seconds"] / 2000 * 1e6)
            assert repeat["cpu_seconds"] > 0.0
        times = [repeat["us_per_spike"] for repeat in case["repeats"]]
        assert case["us_per_spike"] == {"best": min(times), "median": pytest.approx(sum(times) / 2)}
        assert case["ns_per_synaptic_event"]["best"] == pytest.approx(min(times) * 10.0)
        assert case["rate_hz"] > 0.0
        # Python and NumPy alone take more than 10 MiB; the parent's own peak is not in it.
        assert 10 * 2**20 < case["memory_before_bytes"] < case["peak_memory_bytes"] < 500 * 2**20
        assert case["estimated_memory_bytes"] > 400 * n
        assert case["construction_wall_seconds"] > 0.0

    table = done.stdout.splitlines()
    assert len(table) == 2 + len(cases)
    assert table[2].startswith(f"| 200 | LIF | {COMPILED[0]} |")


def test_engine_speed_of_neurons_that_are_not_equal(tmp_path):
    done = run(
        tmp_path, "--sizes 200 --spikes 500 --repeats 1 --models LIF Theta --engines window --own tau_m -o out.json"
    )
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [case["own"] for case in cases] == ["tau_m", "tau_m"] and all(case["rate_hz"] > 0.1 for case in cases)


def test_heterogeneous(tmp_path):
    done = run(
        tmp_path, "--sizes 150 --spikes 200 --rounds 2 --models LIF Theta -o out.json", script="heterogeneous.py"
    )
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [set(case["times_equal"]) for case in cases] == 2 * [{"equal", "tau_m", "I_e"}]
    assert all(len(case["rounds_done"]) == 2 and case["times_equal"]["equal"] == 1.0 for case in cases)


def test_engine_speed_takes_every_engine_through_the_same_spikes(tmp_path):
    engines = " ".join(WITHOUT_DELAYS)
    done = run(tmp_path, f"--sizes 200 --spikes 200 --models LIF --repeats 1 --engines {engines} -o out.json")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [case["engine"] for case in cases] == WITHOUT_DELAYS
    assert len({case["rate_hz"] for case in cases}) == 1


def test_engine_speed_tells_of_a_case_that_fails(tmp_path):
    """150 targets cannot be drawn from 99 others; the other case is measured all the same."""
    options = "--sizes 100 200 --outdegree 150 --spikes 500 --models LIF --engines heap --repeats 1 -o out.json"
    done = run(tmp_path, options)
    assert done.returncode == 1
    assert "ConnectivityError" in done.stderr
    assert "failed" in done.stdout
    first, second = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert "ConnectivityError" in first["error"]
    assert second["repeats"][0]["n_spikes"] == 500


def test_engine_speed_limits_the_transient(tmp_path):
    done = run(tmp_path, "--sizes 500 --spikes 10 --models LIF --engines heap --transient-seconds 0 -o out.json")
    assert done.returncode == 0, done.stderr
    case = json.loads((tmp_path / "out.json").read_text())["cases"][0]
    assert case["transient"]["spikes"] == 0 < case["transient"]["spikes_wanted"]


def test_engine_speed_refuses_an_unknown_engine(tmp_path):
    done = run(tmp_path, "--engines warp")
    assert done.returncode == 2
    assert "invalid choice: 'warp'" in done.stderr


def test_engine_speed_draws_and_takes_degree_and_rate(tmp_path):
    options = "--quick --sizes 200 --outdegree 30 --rate 5 --spikes 500 --models LIF --repeats 1 -o out.json --plot"
    done = run(tmp_path, options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    for case in json.loads((tmp_path / "out.json").read_text())["cases"]:
        assert (case["outdegree"], case["rate"], case["transient_seconds"]) == (30, 5.0, 3.0)
        assert case["rate_hz"] > 5.0


def test_bound_and_paper(tmp_path):
    options = "--quick --sizes 200 300 --outdegrees 20 100 --models LIF --events 20000 --rounds 2 -o out.json"
    done = run(tmp_path, options, "bound_and_paper.py")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["benchmark"] == "bound_and_paper"
    assert "-ffp-contract=off" in report["build"]["flags_of_setup_py"]
    sizes = [(case["n"], case["outdegree"], case["spikes"], case["slow_spikes"]) for case in report["cases"]]
    assert sizes == [(200, 20, 1000, 200), (300, 20, 1000, 200), (200, 100, 200, 40), (300, 100, 200, 40)]
    assert sum(line.startswith("|") for line in done.stdout.splitlines()) == 2 + 4
    assert (tmp_path / "out.png").is_file()


def test_construction(tmp_path):
    """With two threads where the process may use two cores."""
    options = "--quick --n 200 --outdegree 10 --rules pairwise_bernoulli procedural --delays uniform one -o out.json"
    done = run(tmp_path, options, "construction.py")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [(case["rule"], case["delays"], case["threads"]) for case in cases] == [
        (rule, delays, threads)
        for rule, delays in (("pairwise_bernoulli", "uniform"), ("pairwise_bernoulli", "one"), ("procedural", "one"))
        for threads in (1, 2)
    ]
    for case in cases:
        if "skipped" in case:
            assert case["threads"] > len(os.sched_getaffinity(0))
        else:
            assert 1000 < case["n_synapses"] < 3000
            assert case["connect"]["wall_seconds"] > 0.0
            assert case["simulation"]["wall_seconds"] > 0.0
    assert sum(line.startswith("|") for line in done.stdout.splitlines()) == 2 + len(cases)


def test_large(tmp_path):
    options = "--quick --sizes 200 2000000000 --spikes 500 -o out.json"
    done = run(tmp_path, options, "large.py")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [(case["n"], case["rows"]) for case in cases] == [
        (n, rows) for rows in ("stored", "procedural") for n in (200, 2_000_000_000)
    ]
    small, huge = cases[::2], cases[1::2]
    assert all("GiB, more than is free" in case["skipped"] for case in huge)
    assert len({case["rate_hz"] for case in small}) == 1  # the same network, drawn or stored
    assert all(case["ns_per_synaptic_event"] > 0.0 and case["n_spikes"] == 500 for case in small)
    assert done.stdout.count("skipped: needs about") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"out.json", "out.png", "out_memory.png"}


def test_peers_skips_what_is_not_installed(tmp_path):
    if importlib.util.find_spec("nest"):
        pytest.skip("NEST is installed")
    done = run(tmp_path, "--sizes 200 --durations 100 --peers nest -o out.json", "peers.py")
    assert done.returncode == 0, done.stderr
    ours, nest = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert ours["peer"] == "sparseprop" and ours["rate_hz"] > 1.0
    assert nest["peer"] == "nest" and "cannot import nest" in nest["skipped"]
    assert "skipped: cannot import nest" in done.stdout


def test_brunel(tmp_path):
    simulators = "window lookahead nest brian2-cpp" if not importlib.util.find_spec("nest") else "window lookahead"
    command = f"--quick --n 500 --cases C-one C-each --simulators {simulators} -o out.json"
    done = run(tmp_path, command, "brunel.py")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    found = {(row["case"], row["simulator"]): row["rate_hz"] for row in report["medians"]}
    assert found["C-one", "window"] == found["C-one", "lookahead"] > 0.0
    assert found["C-each", "window"] == found["C-each", "lookahead"] > 0.0
    if "nest" in simulators:
        assert "cannot import nest" in done.stderr


def test_microcircuit(tmp_path):
    simulators = "sparseprop nest" if not importlib.util.find_spec("nest") else "sparseprop"
    command = f"--scales 0.03 --duration 60 --rounds 1 --simulators {simulators} -o out.json"
    done = run(tmp_path, command, "microcircuit.py")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    (found,) = [case for case in report["runs"] if "rates_hz" in case]
    assert len(found["rates_hz"]) == len(report["populations"]) == 8 and 0.5 < np.mean(found["rates_hz"]) < 10.0
    assert "published" in done.stdout
    if "nest" in simulators:
        assert "cannot import nest" in done.stderr


def test_peers_wants_a_duration_for_each_size(tmp_path):
    done = run(tmp_path, "--sizes 200 --durations 100 50", "peers.py")
    assert done.returncode == 2
    assert "--durations needs 1 times" in done.stderr


def test_peers_finds_where_two_spike_trains_part(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    peers = importlib.import_module("peers")
    exact = {"times": np.array([0.11, 0.12, 0.31, 0.42, 0.55]), "ids": np.array([3, 1, 3, 0, 2])}
    same = peers.compared(exact, exact)
    assert same == {"same_spikes": 5, "diverges": False, "diverges_at_ms": None, "largest_error_us": 0.0}
    # On a grid the first two come at once, in whatever order; then neurons 2 and 0 change places.
    grid = {"times": np.array([0.2, 0.2, 0.4, 0.5, 0.6]), "ids": np.array([1, 3, 3, 2, 0])}
    found = peers.compared(exact, grid)
    assert (found["same_spikes"], found["diverges"], found["diverges_at_ms"]) == (3, True, 0.42)
    assert found["largest_error_us"] == pytest.approx(90.0)
    # A spike that the exact train does not have, and a train that is shorter but the same.
    other = {"times": np.array([0.11, 0.115, 0.12]), "ids": np.array([3, 3, 1])}
    assert peers.compared(exact, other)["same_spikes"] == 1
    assert not peers.compared(exact, {name: values[:4] for name, values in exact.items()})["diverges"]
    assert peers.compared(exact, {"times": np.array([0.1]), "ids": np.array([2])})["largest_error_us"] is None
    with pytest.raises(RuntimeError, match="no spikes to compare"):
        peers.compared(exact, {"times": np.zeros(0), "ids": np.zeros(0, np.int64)})


def test_gradients(tmp_path):
    options = "--sizes 300 --spikes 3000 --rounds 2 --many 2000 --many-size 200 -o out.json"
    done = run(tmp_path, options, "gradients.py")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    spikes = [case["spikes"] for case in report["cases"]]
    assert spikes == [3000, 3000, 3000, 3000, 200, 2000]
    for case in report["cases"]:
        assert len(case["rounds_done"]) == case["rounds"]
        assert set(case["us_per_spike"]) == {"heap", "window", "taped", "backward", "without_weights"}
        assert case["invariant_error"] < 1e-12
        assert case["tape_bytes_per_spike"] >= 24.0


def test_lifexp(tmp_path):
    options = "--sizes 300 --spikes 500 --rounds 2 --backward-rounds 1 -o out.json"
    done = run(tmp_path, options, "lifexp.py")
    assert done.returncode == 0, done.stderr
    (case,) = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert case["contenders"] == ["LIF", "1 port", "2 ports", "2 ports, near", "3 ports"]
    assert case["times_LIF"]["LIF"] == case["backward_times_LIF"]["LIF"]["backward"] == 1.0
    assert len(case["rounds"]) == 2
    assert all(value > 0.0 for values in case["rounds"] for value in values.values())
    assert len(done.stdout.splitlines()) == 2 + 5


def test_delays(tmp_path):
    done = run(tmp_path, "--sizes 300 --durations 60 --delays 1.5 --repeats 1 --scale 0.005 -o out.json", "delays.py")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    ours = [case for case in report["delays"] if case["simulator"] == "sparseprop"]
    assert [case["kind"] for case in ours] == ["none", "one", "grid", "each"]
    assert all(case["n_spikes"] > 30 and case["ns_per_synaptic_event"]["best"] > 0.0 for case in ours)
    for case in report["delays"]:  # NEST's spikes are ours, if it is there
        assert "skipped" in case or case["simulator"] == "sparseprop" or case["same_spikes"] == case["of"]
    assert len(report["poisson"]) == 6
    for case in report["poisson"]:
        assert case["n_input_events"] > 100 and case["events_per_second"]["best"] > 0.0
    assert run(tmp_path, "--delays 0.01", "delays.py").returncode == 2


def test_drive(tmp_path):
    done = run(tmp_path, "--rounds 1 --events 20000 -o out.json", "drive.py")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out.json").read_text())
    assert {case["rates"] for case in report["drawn"]} == {"one", "each"}
    assert {case["engine"] for case in report["delivered"]} == {"window", "lookahead"}
    assert all(0.1 < case["ns"] < 1e6 for case in report["drawn"] + report["delivered"])
    assert done.stdout.count("events per second") == 2


def test_train_yin_yang(tmp_path):
    options = "--contenders Theta LIFExp --epochs 2 --samples 320 -o out.json"
    done = run(tmp_path, options, "train_yin_yang.py")
    assert done.returncode == 0, done.stderr
    theta, lifexp = json.loads((tmp_path / "out.json").read_text())["cases"]
    for case in (theta, lifexp):
        assert case["ms_per_sample"] > 0.0 and 0.0 <= case["accuracy"] <= 1.0
        assert case["seconds_to_975"] is None or case["seconds_to_975"] > 0.0
        assert 0.0 <= case["accuracy_of_others"] <= 1.0
    assert len(done.stdout.splitlines()) == 2 + 2
    options = "--contenders Theta --epochs 1 --samples 64 --decay"
    assert [run(tmp_path, f"{options} {decay}", "train_yin_yang.py").returncode for decay in ("cosine", "a")] == [0, 2]


def test_spoken_digits(tmp_path):
    """Beside snnTorch where it is installed."""
    done = run(tmp_path, "--quick --seconds 0.1 -o out.json", "spoken_digits.py")
    assert done.returncode == 0, done.stdout + done.stderr
    ours, other = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert ours["contender"] == "sparseprop" and other["contender"] == "snntorch" and other["step"] == 10.0
    for case in (case for case in (ours, other) if "skipped" not in case):
        assert case["ms_per_sample"] > 0.0 and case["curve"][-1]["seconds"] > 0.1
        assert all(0.0 <= point["accuracy"] <= 1.0 and point["hidden_spikes"] > 0.0 for point in case["curve"])


def test_exact_and_surrogate(tmp_path):
    """Beside snnTorch and Norse where they are installed."""
    options = "--quick --seconds 0.1 --steps 0.1 --samples 96 --tests 50 --angle-epochs 1 -o out.json"
    done = run(tmp_path, options, "exact_and_surrogate.py")
    assert done.returncode == 0, done.stdout + done.stderr
    *trained, compared = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [case["contender"] for case in trained] == ["sparseprop", "snntorch", "norse"]
    for case in (case for case in trained if "skipped" not in case):
        assert case["ms_per_sample"] > 0.0 and case["hidden_spikes"] > 0.0
        assert 0.0 <= case["accuracy"] <= 1.0 and 0.0 <= case["accuracy_run_exactly"] <= 1.0
    for row in (row for row in compared["angles"] if "skipped" not in row):
        assert len(row["degrees"]) == 3 and all(0.0 <= angle <= 180.0 for angle in row["degrees"])
        if row["library"] == "snntorch" and row["when"] == "as drawn":
            # The gradient of readouts asks for no derivative of a spike, so that it is exact but for the steps.
            assert row["degrees"][2] < 10.0 and row["length"][2] == pytest.approx(1.0, rel=0.1)
            assert row["loss"] == pytest.approx(row["exact_loss"], rel=0.1)


def test_lyapunov(tmp_path):
    done = run(tmp_path, "--quick -o out.json", "lyapunov.py")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = {case["name"]: case for case in json.loads((tmp_path / "out.json").read_text())["cases"]}
    assert list(cases) == ["full", "first", "dense", "threads"]
    assert cases["full"]["n"] == 100 and cases["first"]["n_exponents"] == 5
    for name in ("full", "first", "dense"):
        assert cases[name]["cpu_seconds"] > 0.0 and cases[name]["largest"] > 0.0
    assert cases["full"]["times_bound"] > 0.0 and cases["full"]["streaming_seconds"] > 0.0
    assert cases["dense"]["times_faster"] > 0.0 and len(cases["threads"]["wall_seconds"]) == 3


def test_analysis(tmp_path):
    """Beside elephant where it is installed."""
    measures = "cv synchrony_index correlation_coefficient van_rossum_distance"
    options = f"--neurons 30 --pair-neurons 4 --spikes 600 --rounds 1 --measures {measures} -o out.json"
    done = run(tmp_path, options, "analysis.py")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [case["measure"] for case in cases] == measures.split()
    assert [(case["neurons"], case["spikes"]) for case in cases] == [(30, 600), (30, 600), (4, 80), (4, 80)]
    for case in cases:
        assert case["from_arrays"] > 0.0 and case["from_objects"] > 0.0
        assert "skipped" in case or case["difference"] < 1e-12
    assert cases[1]["skipped"] and len(done.stdout.splitlines()) == 2 + 4


def test_exports(tmp_path):
    """Of the libraries that are installed."""
    done = run(tmp_path, "--spikes 500 --sizes 20 --rounds 1 -o out.json", "exports.py")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [case["library"] for case in cases] == ["pandas", "xarray", "neo", "pynapple"]
    assert all(case.get("seconds", 1.0) > 0.0 and ("skipped" in case or "seconds" in case) for case in cases)


def test_viewer(tmp_path):
    if chromium.found() is None:
        pytest.skip("there is no Chromium here")
    done = run(tmp_path, f"--spikes 500 --rounds 1 -o out.json --pictures {tmp_path}", "viewer.py")
    assert done.returncode == 0, done.stderr
    (case,) = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert 500 <= case["shown"] < 520 and case["bytes"] > 20_000 and case["first_picture_ms"][0] > 0.0
    assert len(case["frames_ms"]) == len(case["drawing_ms"]) > 20
    assert (tmp_path / "looking_5e2.png").read_bytes().startswith(b"\x89PNG")
    assert done.stdout.count("\n") == 3
