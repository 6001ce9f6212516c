"""The fingerprints by which builds are compared: what they are of, and that they are the same each time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from verification import machines, same_bits

SCRIPT = Path(same_bits.__file__)
SOME = ["raster/LIFExp/delays", "input/sources", "gradient/Theta/delays", "checkpoint/window", "training/*Theta"]


def run_script(*arguments, hash_seed):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, str(SCRIPT), *SOME, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_two_processes_have_the_same_fingerprints(tmp_path):
    path = str(tmp_path / "before.json")
    first = run_script("--save", path, hash_seed="1")
    assert first.returncode == 0, first.stderr
    second = run_script("--compare", path, hash_seed="2")
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stdout == first.stdout + f"0 of {len(SOME)} differ from {path}\n"
    assert len(set(json.loads(Path(path).read_text())["sha256"].values())) == len(SOME)


def test_what_differs_is_named(tmp_path, capsys):
    names = ["raster/LIF/delays", "raster/LIF/no_delay", "raster/LIF/one_delay"]
    path = tmp_path / "before.json"
    assert same_bits.main(["raster/LIF/*", "--save", str(path)]) == 0
    saved = json.loads(path.read_text())
    assert sorted(saved["sha256"]) == names
    assert same_bits.main(["raster/LIF/*", "--compare", str(path)]) == 0
    saved["sha256"][names[0]] = "0" * 64
    del saved["sha256"][names[2]]
    saved["sha256"]["raster/LIF/gone"] = "1" * 64
    path.write_text(json.dumps(saved))
    capsys.readouterr()
    assert same_bits.main(["raster/LIF/*", "--compare", str(path)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert [line.partition(":")[0] for line in lines] == [names[0], "raster/LIF/gone", names[2]]


def test_what_is_recorded_can_be_compared_with():
    assert same_bits.main(["raster/RapidTheta/*", "--compare", str(machines.RECORDED)]) == 0


def test_all_engines_have_the_same_fingerprint():
    found = same_bits.fingerprints(["engine/*"])
    assert len(found) == 3 and len(set(found.values())) == 1


def test_fingerprints_see_each_bit_and_nothing_else():
    values = np.array([[1.0, 0.0], [np.nan, 3.0]])
    of = same_bits.sha256(values)
    assert of == same_bits.sha256(values.astype(">f8")) == same_bits.sha256(np.asfortranarray(values))
    assert (
        of
        == same_bits.sha256(np.repeat(values, 2, axis=1)[:, ::2])
        == same_bits.sha256(np.where(values > 9, 0, values))
    )
    assert of == same_bits.sha256(np.copysign(values, np.where(np.isnan(values), -1.0, 1.0)))  # the sign of a NaN
    others = [values.T, values.ravel(), np.nextafter(values, 9.0), np.where(values == 0.0, -0.0, values), [values]]
    assert len({of, *(same_bits.sha256(other) for other in others)}) == 1 + len(others)
    assert same_bits.sha256(np.arange(3, dtype=np.int32)) == same_bits.sha256(np.arange(3))
    assert same_bits.sha256(np.arange(3)) != same_bits.sha256(np.arange(3.0))
    assert same_bits.sha256("1", "23") != same_bits.sha256("12", "3")
    assert same_bits.sha256({"a": 1}) != same_bits.sha256({"b": 1})


def test_padding_of_structures_is_not_in_fingerprints():
    kind = np.dtype([("id", np.int32), ("age", float)], align=True)
    structures = np.frombuffer(bytes(range(16)) * 2, kind), np.frombuffer(bytes(range(16)) * 2, kind).copy()
    structures[1].view(np.uint8)[4:8] = 77
    assert structures[0].tobytes() != structures[1].tobytes()
    assert same_bits.sha256(structures[0]) == same_bits.sha256(structures[1])


def test_long_doubles_are_refused():
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long double is double here")
    with pytest.raises(TypeError, match="the same everywhere"):
        same_bits.sha256(np.zeros(3, np.longdouble))


def test_ways_are_compared_with_what_is_recorded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(machines, "RECORDED", tmp_path / "recorded.json")
    recorded = same_bits.fingerprints(["raster/LIF/*"]) | {"raster/LIFExp/delays": "of no interest here"}
    machines.RECORDED.write_text(json.dumps(recorded | {"raster/LIF/delays": "0" * 64}))
    assert machines.main(["normal", "--only", "raster/LIF/*"]) == 1
    shown = capsys.readouterr().out
    assert "1 of 3" in shown
    assert [line.split() for line in shown.splitlines() if line.startswith("raster/")] == [["raster/LIF/delays", "x"]]


def test_a_way_that_changes_nothing_is_none(tmp_path):
    first = machines.Ready("normal", machines.WAYS["normal"], machines.Builder(tmp_path), None)
    for changes in ("glibc", "numpy"):
        with pytest.raises(machines.Impossible, match="would test nothing"):
            way = machines.Way("as normal", environment={"NPY_DISABLE_CPU_FEATURES": ""}, changes=changes)
            first.probed["numpy takes"] = []
            machines.Ready(changes, way, machines.Builder(tmp_path), first)


def test_levels_that_the_processor_has_not_are_skipped(monkeypatch):
    monkeypatch.setattr(machines.platform, "machine", lambda: "x86_64")
    monkeypatch.setitem(machines.LEVELS, "x86-64-v2", {"an_instruction_of_the_future"})
    monkeypatch.setattr(machines.Path, "read_text", lambda path: "flags : fpu sse2\n")
    with pytest.raises(machines.Impossible, match="is no x86-64-v3: it has no an_instruction_of_the_future"):
        machines.require_level("x86-64-v3")
    with pytest.raises(machines.Impossible, match="no-such-compiler not installed"):
        machines.require("no-such-compiler")


def test_this_build_has_the_recorded_bits():
    recorded = json.loads(machines.RECORDED.read_text())
    found = same_bits.fingerprints()
    assert [name for name in recorded | found if recorded.get(name) != found.get(name)] == []
