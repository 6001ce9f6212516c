"""The benchmark scripts run and say on what and how they measured; how fast they found it is not tested."""

import json
import pathlib
import subprocess
import sys

import pytest

from sparseprop.simulation import ENGINES

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent / "benchmarks"
COMPILED = [name for name in ENGINES if name != "reference"]


def run(tmp_path, arguments):
    command = [sys.executable, str(BENCHMARKS / "engine_speed.py"), *arguments.split()]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)


def test_engine_speed(tmp_path):
    done = run(tmp_path, "--sizes 200 500 --spikes 2000 --repeats 2 -o out.json")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["benchmark"] == "engine_speed"
    assert report["command"][0] == "engine_speed.py"
    assert report["seed"] == 1
    assert set(report["versions"]) == {"sparseprop-sim", "numpy", "python"}
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["cpu"]
    assert len(report["machine"]["load_average"]) == 3
    assert report["build"]["mode"] in ("release", "debug")
    assert report["build"]["fuses_multiply_add"] is False
    assert "-ffp-contract=off" in report["build"]["flags_of_setup_py"]
    assert report["source"] is None or len(report["source"]["commit"]) == 40

    cases = {(case["model"], case["engine"], case["n"]): case for case in report["cases"]}
    assert set(cases) == {(m, e, n) for m in ("LIF", "Theta") for e in COMPILED for n in (200, 500)}
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


def test_engine_speed_takes_every_engine_through_the_same_spikes(tmp_path):
    engines = " ".join(ENGINES)
    done = run(tmp_path, f"--sizes 200 --spikes 200 --models LIF --repeats 1 --engines {engines} -o out.json")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert [case["engine"] for case in cases] == list(ENGINES)
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
