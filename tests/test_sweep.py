"""Sweeps: rows that depend on nothing but their points, whatever runs them, fails or dies; and their files."""

import contextlib
import itertools
import logging
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sweep_builds
from sweep_builds import build

import sparseprop as sp
from sparseprop.errors import FileFormatError, ParameterError, StorageError
from sparseprop.sweep.table import cell_of, value_of

GRID = {"I_e": [1.5, 2.0, 2.5], "seed": [1, 2]}
RUN = {"duration": 100.0}
OPTIONAL = "an optional way to run sweeps: pip install 'sparseprop-sim[sweep]'"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def thread():
    with ThreadPoolExecutor(1) as executor:
        yield executor


def expected_rows(points):
    """What the rows must be, by runs one after the other."""
    for point in points:
        result = build(point["I_e"], point["seed"]).run(100.0)
        yield point | {
            "n_spikes": result.n_spikes,
            "rate": result.rate,
            "cv_isi": result.cv_isi,
            "t_stop": 100.0,
            "stop_reason": "time",
            "error": None,
        }


def points_of(grid):
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def timeless(rows):
    return [{name: value for name, value in row.items() if name != "wall_time"} for row in rows]


def assert_right(result, grid=GRID):
    assert timeless(result) == list(expected_rows(points_of(grid)))
    assert all(row["n_spikes"] > 100 for row in result)
    assert not result.failures and not result.interrupted


# Rows -------------------------------------------------------------------------------------------------------


def test_rows_are_those_of_single_runs_in_the_order_of_the_grid(threads):
    def build_later_ones_faster(I_e, seed):
        time.sleep(0.05 * (2.5 - I_e))
        return build(I_e, seed)

    result = sp.sweep(build_later_ones_faster, GRID, **RUN, executor=threads)
    assert_right(result)
    assert result.parameters == ("I_e", "seed")
    assert result.columns == (
        *("I_e", "seed", "n_spikes", "rate", "cv_isi", "t_stop", "stop_reason", "wall_time", "error"),
    )
    assert result[1]["seed"] == 2 and result[-1]["I_e"] == 2.5 and len(result[1:3]) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_same_rows(workers):
    assert_right(sp.sweep(build, GRID, **RUN, workers=workers))


def test_a_given_pool_of_processes_stays_open():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        assert_right(sp.sweep(build, GRID, **RUN, executor=executor))
        assert executor.submit(math.sqrt, 4.0).result() == 2.0


def test_joblib_gives_the_same_rows():
    joblib = pytest.importorskip("joblib", reason=OPTIONAL)
    assert_right(sp.sweep(lambda **point: build(**point), GRID, **RUN, executor="joblib", workers=2))
    for backend, order in (("sequential", "generator"), ("threading", "generator_unordered")):
        parallel = joblib.Parallel(n_jobs=2, backend=backend, return_as=order)
        assert_right(sp.sweep(build, GRID, **RUN, executor=parallel))


def test_options_of_the_runs(threads):
    points = [{"seed": 4, "I_e": 2.0}, {"I_e": np.float64(1.5), "seed": np.int64(3)}]
    result = sp.sweep(
        build,
        points,
        n_spikes=50,
        engine="heap",
        seed=7,
        executor=threads,
        measure=lambda result: {"count": np.int64(result.n_spikes), "about": result.header | {"network": None}},
    )
    assert result.columns == ("seed", "I_e", "count", "about", "error")
    assert [row["about"]["engine"] for row in result] == ["heap"] * 2 and result[0]["about"]["seed"] == 7
    expected = [build(**point).run(n_spikes=50, seed=7).n_spikes for point in points]
    assert [row["count"] for row in result] == expected
    assert type(result[0]["count"]) is int and type(result[1]["I_e"]) is float


def test_points_with_parameters_of_their_own(threads):
    points = [{"I_e": 1.5, "seed": 1}, {"I_e": 1.5, "seed": 1, "seconds": 0.01}]
    result = sp.sweep(sweep_builds.build_slowly, points, **RUN, executor=threads)
    assert result.parameters == ("I_e", "seed", "seconds")
    assert [row["seconds"] for row in result] == [None, 0.01]


def test_progress(threads):
    seen = []
    sp.sweep(sweep_builds.build_slowly, GRID, **RUN, executor=threads, progress=seen.append)
    assert seen == sorted(seen) and 0.0 < seen[0] < 1.0 == seen[-1]


# Failures ---------------------------------------------------------------------------------------------------


def test_failures_are_rows_and_the_other_points_go_on(threads):
    ways = ["none", "build", "exit", "nothing", "run", "measure", "twice", "list", "pickle", "none again"]
    result = sp.sweep(
        sweep_builds.fail,
        {"what": ways, "seed": [1]},
        **RUN,
        measure=sweep_builds.measure,
        executor=threads,
        out="t.csv",
    )
    errors = {row["what"]: row["error"] for row in result}
    assert errors.pop("none") is None and errors.pop("none again") is None
    assert result[0]["rate"] == result[-1]["rate"] > 10.0
    for what, error in {
        "build": "ZeroDivisionError: no network",
        "exit": "SystemExit: enough",
        "nothing": "ParameterError: build must return a Network, got None",
        "run": "RunawayError: neuron ",
        "measure": "ZeroDivisionError: ",
        "twice": "ParameterError: measure must not return a column 'seed'",
        "list": "ParameterError: measure must return a dict ",
        "pickle": "",
    }.items():
        assert errors[what].startswith(error) and errors[what]
    assert [failure.point["what"] for failure in result.failures] == ways[1:-1]
    assert [failure.error for failure in result.failures] == [row["error"] for row in result[1:-1]]
    assert 'raise ZeroDivisionError("no\\nnetwork")' in result.failures[0].traceback
    assert "in sweep_builds" not in str(result) and "8 failed" in str(result)
    assert Path("t.csv").read_text().splitlines()[2] == "build,1,,,ZeroDivisionError: no network"


def test_a_point_that_kills_its_worker_is_found_and_loses_no_other(caplog):
    result = sp.sweep(sweep_builds.die, GRID, **RUN, workers=2)
    right = [row for row in result if row["I_e"] != 2.0]
    assert timeless(right) == [row for row in expected_rows(points_of(GRID)) if row["I_e"] != 2.0]
    killers = [row for row in result if row["I_e"] == 2.0]
    assert len(killers) == 2 and all(row["error"].startswith("TerminatedWorkerError: ") for row in killers)
    assert [failure.point["seed"] for failure in result.failures] == [1, 2]
    assert "will be tried again" in caplog.text


def test_a_worker_that_dies_once_costs_nothing(caplog):
    grid = GRID | {"marker": [os.path.abspath("died")]}
    result = sp.sweep(sweep_builds.die_once, grid, **RUN, workers=2)
    assert Path("died").exists()
    assert_right(result, grid)


def test_an_executor_of_the_user_that_breaks_stays_broken():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        result = sp.sweep(sweep_builds.die, GRID, **RUN, executor=executor)
    assert [row["error"] is None for row in result] == [True, True, False, False, False, False]
    assert all(row["error"].startswith("BrokenProcessPool: ") for row in result[2:])
    assert timeless(result[:2]) == list(expected_rows(points_of(GRID)))[:2]


def test_workers_of_joblib_that_die(caplog):
    pytest.importorskip("joblib", reason=OPTIONAL)
    result = sp.sweep(sweep_builds.die, GRID, **RUN, executor="joblib", workers=2)
    assert [row["error"] is None for row in result] == [True, True, False, False, True, True]
    assert result[2]["error"].startswith("TerminatedWorkerError: ")
    assert timeless(result[4:]) == list(expected_rows(points_of(GRID)))[4:]


@pytest.mark.filterwarnings("default")  # those of dask are not ours
def test_a_cluster_of_dask_that_loses_a_worker():
    distributed = pytest.importorskip("distributed", reason=OPTIONAL)
    grid = {"I_e": [1.5, 2.0, 2.5], "seed": [1, 2, 3, 4]}
    killed = []

    def kill_one(fraction):
        if not killed and 0.0 < fraction < 1.0:
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = list(client.run(os.getpid).values())
        result = sp.sweep(sweep_builds.build_slowly, grid, **RUN, executor=client, progress=kill_one, out="sweep.csv")
        assert client.submit(math.sqrt, 4.0).result() == 2.0
    assert killed
    assert_right(result, grid)


def test_an_executor_that_takes_nothing_more(caplog):
    class Closing(Executor):
        def __init__(self):
            self.thread = ThreadPoolExecutor(1)

        def submit(self, function, *arguments):
            if len(arguments) == 4 and arguments[1]["seed"] == 2:
                self.thread.shutdown()
            return self.thread.submit(function, *arguments)

    result = sp.sweep(build, {"I_e": [1.5], "seed": [1, 2, 3]}, **RUN, executor=Closing())
    assert [row["error"] is None for row in result] == [True, False, False]
    assert "cannot schedule new futures after shutdown (also alone)" in result[1]["error"]


# Files ------------------------------------------------------------------------------------------------------


def test_rows_are_in_the_file_as_soon_as_their_points_have_finished(thread):
    lines = []

    def look(I_e, seed):
        until = time.monotonic() + 60.0
        while len(found := Path("sweep.csv").read_text().splitlines()) <= len(lines) and time.monotonic() < until:
            time.sleep(0.01)
        lines.append(found)
        return build(I_e, seed)

    result = sp.sweep(look, GRID, **RUN, executor=thread, out="sweep.csv")
    assert [len(found) for found in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[0] == ["I_e,seed,error"]
    final = Path("sweep.csv").read_text().splitlines()
    assert final[:6] == lines[-1] and final[0] == ",".join(result.columns)
    assert result.path == os.path.abspath("sweep.csv")
    assert os.listdir() == ["sweep.csv"]


def test_the_file_is_in_the_order_of_the_grid_and_gives_the_values_back(threads):
    def build_later_ones_faster(I_e, seed):
        time.sleep(0.05 * (2.5 - I_e))
        return build(I_e, seed)

    result = sp.sweep(build_later_ones_faster, GRID, **RUN, executor=threads, out="sweep.csv")
    again = sp.sweep(no_build, GRID, **RUN, executor=threads, out="sweep.csv", resume=True)
    assert list(again) == list(result) and again.columns == result.columns
    result.to_csv("copy.csv")
    assert Path("copy.csv").read_bytes() == Path("sweep.csv").read_bytes()


def no_build(**point):
    raise AssertionError("this point has finished before")


def test_resuming_runs_only_what_is_missing_or_failed(thread):
    called = []

    def first(I_e, seed):
        if I_e == 2.0:
            raise ValueError("not yet")
        return build(I_e, seed)

    def second(I_e, seed):
        called.append((I_e, seed))
        return build(I_e, seed)

    sp.sweep(first, GRID, **RUN, executor=thread, out="sweep.csv")
    # As a killed process leaves it: without order, and with half a line.
    header, *lines = Path("sweep.csv").read_text().splitlines(keepends=True)
    Path("sweep.csv").write_text(header + lines[5] + lines[2] + lines[0] + lines[3] + lines[1][:20])
    result = sp.sweep(second, GRID, **RUN, executor=thread, out="sweep.csv", resume=True)
    assert called == [(1.5, 2), (2.0, 1), (2.0, 2), (2.5, 1)]
    assert_right(result)

    called.clear()
    wider = GRID | {"seed": [1, 2, 3]}
    assert_right(sp.sweep(second, wider, **RUN, executor=thread, out="sweep.csv", resume=True), wider)
    assert called == [(1.5, 3), (2.0, 3), (2.5, 3)]


def test_without_resume_a_file_is_replaced_and_with_it_it_need_not_be_there(threads):
    Path("sweep.csv").write_text("old")
    assert_right(sp.sweep(build, GRID, **RUN, executor=threads, out="sweep.csv"))
    assert_right(sp.sweep(build, GRID, **RUN, executor=threads, out="new.csv", resume=True))
    assert len(Path("new.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", FileFormatError, "is no table of a sweep"),
        ("\n", ParameterError, "out must be a file of the same sweep"),
        ("I_e,seed\n1.5,1\n", ParameterError, "columns I_e, seed, and the grid has I_e, seed"),
        ("I_e,n,error\n1.5,1,\n", ParameterError, "columns I_e, n, error, and the grid has I_e, seed"),
        ("I_e,seed,error\n1.5,1\n", FileFormatError, "2 cells in line 2, and 3 columns"),
        ("I_e,seed,error\n1.5,1,\n7.5,1,\n", ParameterError, "in line 3 a point that the grid has not"),
        (
            "I_e,seed,more,error\n1.5,1,1,\n1.5,1,2,\n",
            ParameterError,
            "in line 3 a point that the grid has not, or has once",
        ),
        (b"I_e,seed,error\n\xff,1,\n", FileFormatError, "is no table of a sweep"),
        ('I_e,seed,error\n1.5,"1"x,\n', FileFormatError, "is no table of a sweep"),
    ],
)
def test_files_that_cannot_be_resumed(threads, content, error, message):
    content = content if isinstance(content, bytes) else content.encode()
    Path("sweep.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        sp.sweep(build, GRID, **RUN, executor=threads, out="sweep.csv", resume=True)
    assert Path("sweep.csv").read_bytes() == content


def test_files_that_cannot_be_written_or_read(threads):
    with pytest.raises(StorageError, match="cannot write .*missing/sweep.csv: No such file"):
        sp.sweep(no_build, GRID, **RUN, executor=threads, out="missing/sweep.csv")
    Path("folder").mkdir()
    with pytest.raises(StorageError, match="cannot write .*folder: Is a directory"):
        sp.sweep(no_build, GRID, **RUN, executor=threads, out="folder")
    with pytest.raises(StorageError, match="cannot read .*folder: Is a directory"):
        sp.sweep(no_build, GRID, **RUN, executor=threads, out="folder", resume=True)
    assert os.listdir() == ["folder"]


def test_a_file_that_cannot_be_written_any_more(thread):
    def remove(I_e, seed):
        # A row that is being written meanwhile may bring the file back.
        while I_e == 2.0 and not Path("sweep.csv").is_dir():
            Path("sweep.csv").unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError):
                Path("sweep.csv").mkdir()
        return build(I_e, seed)

    with pytest.raises(StorageError, match="cannot write .*sweep.csv"):
        sp.sweep(remove, GRID, **RUN, executor=thread, out="sweep.csv")


@pytest.mark.parametrize(
    "value",
    [
        *(0, -7, 2**70, True, False, None, 0.1, 1e-320, -0.0, 1e300, math.inf, -math.inf, 5.0, 1 / 3),
        *("", "text", "1", "1.0", "1_0", " 1", "nan", "True", "None", '"', '"quoted"', "[1]", "{", "a,b", "a\nb", "\r"),
        *("\u00e9\u4e2d", "\u2028", "\ud800", "\x00", [1, 2.5, "a"], {"name": "LIF", "tau_m": 10.0}, [], {}, [None]),
    ],
)
def test_cells_give_values_back(value):
    back = value_of(cell_of(value))
    assert back == value and type(back) is type(value) and str(back) == str(value)
    assert "\n" not in cell_of(value) and "\r" not in cell_of(value)


def test_cells_of_other_values():
    assert math.isnan(value_of(cell_of(math.nan)))
    assert value_of(cell_of(np.float32(0.5))) == 0.5 and value_of(cell_of(np.True_)) is True
    assert value_of(cell_of(np.arange(3.0))) == [0.0, 1.0, 2.0] and value_of(cell_of((1, 2))) == [1, 2]
    assert value_of(cell_of([np.arange(2)])) == [[0, 1]]
    assert cell_of(sp.LIF(tau_m=10.0)).startswith(f"{sp.LIF(tau_m=10.0)!r} #")
    assert cell_of({1j}) == "{1j}"


@pytest.mark.parametrize(
    "make",
    [
        lambda x: sp.LIF(tau_m=10.0, I_e=np.array([1.2, x, 1.9])),
        lambda x: sp.uniform(1.2 + 1e-9 * x, 1.9),
        lambda x: sp.SpikeSource([1.0, x], [0, 0]),
        lambda x: sp.edges([0, 1], [1, int(10 * x)]),
        lambda x: {"delay": sp.normal(1.0 + 1e-9 * x, 0.1, low=0.1)},
        lambda x: [sp.LIF(tau_m=10.0, I_e=np.array([1.2, x, 1.9]))],
    ],
    ids=["model", "distribution", "source", "rule", "dict", "list"],
)
def test_objects_with_the_same_repr_are_different_points(make):
    """With one text for both, resume=True would give the row of the other one."""
    assert str(make(1.5)) == str(make(1.6))
    assert cell_of(make(1.5)) == cell_of(make(1.5)) != cell_of(make(1.6))


# Interrupts -------------------------------------------------------------------------------------------------


def started(kind):
    """A process with a sweep of which four points have finished, and the others go on."""
    script = Path(sweep_builds.__file__)
    process = subprocess.Popen(
        [sys.executable, script, kind, "sweep.csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not (Path("sweep.csv").exists() and Path("sweep.csv").read_text().count("\n") == 5):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("kind", ["pool", "joblib"])
def test_ctrl_c_keeps_what_has_finished(kind, ctrl_c):
    if kind == "joblib":
        pytest.importorskip("joblib", reason=OPTIONAL)
    with started(kind) as process:
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 20.0  # the points that ran would have taken a minute
    assert process.returncode == 0 and out == "4 True\n"
    assert "interrupted: 4 of 8 points of the sweep had finished" in err
    points = [{"I_e": 1.5, "seed": seed, "seconds": 0.0} for seed in range(4)]
    rows = sp.sweep(no_build, points, **RUN, executor=ThreadPoolExecutor(1), out="sweep.csv", resume=True)
    assert timeless(rows) == list(expected_rows(points))


def test_a_killed_sweep_leaves_its_rows_and_no_workers():
    with started("pool") as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.communicate(timeout=30)
    assert len(children) >= 2 and Path("sweep.csv").read_text().count("\n") == 5
    until = time.monotonic() + 30
    while any(Path(f"/proc/{child}/stat").exists() and alive(child) for child in children):
        assert time.monotonic() < until
        time.sleep(0.02)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def interrupted_workers(monkeypatch, ctrl_c):
    """Runs with I_e = 2 are interrupted."""
    run = sp.Simulation.run

    def interrupted(simulation, *arguments, **options):
        if "I_e=2.0" in str(simulation.network):
            raise KeyboardInterrupt
        return run(simulation, *arguments, **options)

    monkeypatch.setattr(sp.Simulation, "run", interrupted)


def test_an_interrupt_that_hits_a_worker(thread, interrupted_workers, caplog):
    result = sp.sweep(build, GRID, **RUN, executor=thread, out="sweep.csv")
    assert (
        result.interrupted
        and len(result) == 2
        and str(result).endswith("\n2 points, interrupted: points that had not finished are missing")
    )
    assert timeless(result) == list(expected_rows(points_of(GRID)[:2]))
    assert len(Path("sweep.csv").read_text().splitlines()) == 3
    assert "interrupted: 2 of 6 points of the sweep had finished; the script goes on; Ctrl-C once more" in caplog.text
    with pytest.raises(KeyboardInterrupt, match="2 of 6 points"):  # so soon again: it ends a loop of sweeps
        sp.sweep(build, GRID, **RUN, executor=thread)


def test_an_interrupt_raises_if_that_is_wanted(thread, interrupted_workers, caplog):
    with pytest.raises(KeyboardInterrupt, match="2 of 6 points"):
        sp.sweep(build, GRID, **RUN, executor=thread, out="sweep.csv", interrupt="raise")
    assert len(Path("sweep.csv").read_text().splitlines()) == 3 and caplog.text == ""


def test_ctrl_c_in_a_run_of_a_sweep_counts_once(ctrl_c, caplog):
    """Where the points run in the main thread, the run hears it first."""
    joblib = pytest.importorskip("joblib", reason=OPTIONAL)

    def interrupt(I_e, seed):
        net = build(I_e, seed)
        net.engine_input = lambda seed: (os.kill(os.getpid(), signal.SIGINT), sp.Network.engine_input(net, seed))[1]
        return net

    parallel = joblib.Parallel(n_jobs=1, backend="sequential", return_as="generator")
    assert sp.sweep(interrupt, GRID, **RUN, executor=parallel).interrupted
    assert "0 of 6 points" in caplog.text


# Tables -----------------------------------------------------------------------------------------------------


def test_the_table_is_aligned(threads):
    def look(result):
        return {"mean": result.n_spikes / 3e5, "name": "x" * result.n_neurons, "nothing": None}

    result = sp.sweep(build, {"I_e": [1.5, 2.0], "seed": [1]}, **RUN, executor=threads, measure=look)
    means = [f"{row['mean']:.6g}" for row in result]
    width = max(map(len, means))
    assert result.table() == (
        f"I_e  seed  {'mean':>{width}}  {'name':50}  nothing\n"
        f"1.5     1  {means[0]:>{width}}  {'x' * 50}\n"
        f"  2     1  {means[1]:>{width}}  {'x' * 50}"
    )
    assert str(result) == f"{result.table()}\n2 points"
    assert repr(result) == "<SweepResult: 2 points of I_e, seed, 0 failed>"
    assert result["seed"] == [row["seed"] for row in result]
    with pytest.raises(ParameterError, match="unknown column: 'sed' .* did you mean 'seed'"):
        result["sed"]


def test_long_tables_are_shortened():
    result = sp.SweepResult(["a"], [{"a": value, "text": "y" * 100} for value in range(100)])
    lines = str(result).splitlines()
    assert len(lines) == 63 and lines[31].split() == ["...", "..."] and lines[30].split()[0] == "29"
    assert lines[32].split() == ["70", "y" * 57 + "..."] and lines[-1] == "100 points"
    assert len(result.table().splitlines()) == 101


def test_tables_in_notebooks():
    rows = [{"a": value, "name": "<b>", "share": np.float64(1 / 3), "nothing": None} for value in range(100)]
    shown = sp.SweepResult(["a"], rows, interrupted=True)._repr_html_()
    assert shown.count("<tr>") == 62 and ">29</td>" in shown and ">30</td>" not in shown and ">70</td>" in shown
    assert '<td style="text-align: right">0.333333</td>' in shown and "&lt;b&gt;" in shown and "<b>" in shown
    assert "100 points, interrupted: points that had not finished are missing" in shown and "error" not in shown


def test_to_pandas(threads):
    pandas = pytest.importorskip("pandas", reason=OPTIONAL)
    result = sp.sweep(build, GRID, **RUN, executor=threads, out="sweep.csv")
    frame = result.to_pandas()
    assert list(frame.columns) == list(result.columns) and list(frame["rate"]) == [row["rate"] for row in result]
    assert np.allclose(pandas.read_csv("sweep.csv")["rate"], frame["rate"], rtol=1e-14)


def test_what_is_missing_is_explained(monkeypatch):
    for name in ("joblib", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'needs pandas: run `pip install "sparseprop-sim\[sweep\]"`'):
        sp.SweepResult(["a"], [{"a": 1}]).to_pandas()
    with pytest.raises(ImportError, match=r'needs joblib: run `pip install "sparseprop-sim\[sweep\]"`'):
        sp.sweep(build, GRID, **RUN, executor="joblib")


# Bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"build": 5}, "build must be a function that returns a Network, got 5"),
        ({"measure": "rate"}, "measure must be None or a function of a Result that returns a dict, got 'rate'"),
        ({"duration": None}, "sweep() needs a duration in ms, or n_spikes, or both"),
        ({"duration": -1.0}, "duration must be a finite time >= 0 ms, got -1.0"),
        ({"n_spikes": 1.5}, "n_spikes must be a whole number"),
        (
            {"engine": "hep"},
            "unknown engine: 'hep' (there are: window, heap, lookahead, reference); did you mean 'heap'?",
        ),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"grid": 5}, "grid must be a dict of sequences, or a sequence of dicts, got 5"),
        ({"grid": [{"a": 1}, 5]}, "grid must be a dict of sequences, or a sequence of dicts"),
        ({"grid": {"a": 5}}, "grid['a'] must be a sequence of values such as [1, 2], got 5"),
        ({"grid": {"a": "text"}}, "grid['a'] must be a sequence of values"),
        ({"grid": {}}, "grid must have at least one point"),
        ({"grid": {"a": [1], "b": []}}, "grid must have at least one point"),
        ({"grid": {5: [1]}}, "names of the grid must be printable texts, got 5"),
        ({"grid": {"rate": [1]}}, "name 'rate' of the grid is also a column of the results"),
        ({"grid": {"error": [1]}, "measure": len}, "name 'error' of the grid is also a column of the results"),
        ({"grid": {"a": [1, 2, 1]}}, "grid must have each point once, got {'a': 1} twice; let a seed"),
        ({"executor": "threads"}, "executor must be None, a concurrent.futures.Executor, 'joblib', a joblib.Parallel"),
        ({"workers": 0}, "workers must be a whole number >= 1, got 0"),
        ({"executor": ThreadPoolExecutor(1), "workers": 2}, "workers must be None if an executor is given"),
        ({"resume": True}, "resume=True needs the file to go on from"),
        ({"resume": 1, "out": "sweep.csv"}, "resume must be True or False, got 1"),
        ({"progress": 1}, "progress must be None, True, False or a callable, got 1"),
    ],
)
def test_bad_input(options, message, empty_folder):
    options = {"build": build, "grid": GRID, "duration": 10.0} | options
    with pytest.raises(ParameterError) as caught:
        sp.sweep(options.pop("build"), options.pop("grid"), **options)
    assert message in str(caught.value)
    assert list(empty_folder.iterdir()) == []


def test_joblib_that_returns_a_list_is_refused():
    joblib = pytest.importorskip("joblib", reason=OPTIONAL)
    with pytest.raises(ParameterError, match="return_as='generator_unordered', got return_as='list'"):
        sp.sweep(build, GRID, **RUN, executor=joblib.Parallel(n_jobs=2))


def test_functions_that_workers_cannot_get():
    lock = threading.Lock()
    with pytest.raises(ParameterError, match=r"that the workers can get: define .* Got .*(pickle|Pickl)"):
        sp.sweep(lambda **point: build(**point) if lock else None, GRID, **RUN, workers=1, out="sweep.csv")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        with pytest.raises(ParameterError, match=r"or leave executor out, for .* Got .*(pickle|Pickl)"):
            sp.sweep(lambda **point: build(**point), GRID, **RUN, executor=executor, out="sweep.csv")
    assert os.listdir() == []


def test_functions_that_no_worker_could_import_are_sent():
    assert_right(sp.sweep(lambda **point: build(**point), GRID, **RUN, workers=2))


@pytest.mark.parametrize("measure", ["None", "lambda result: {'rate': result.rate}"])
def test_functions_of_a_notebook(measure):
    """As there, the main module has no file that workers could import."""
    session = (
        "import sparseprop as sp\n"
        "def build(I_e):\n    net = sp.Network(1)\n    net.add(50, sp.LIF(tau_m=10.0, I_e=I_e))\n    return net\n"
        f"rows = sp.sweep(build, {{'I_e': [0.5, 1.5]}}, duration=1e3, workers=2, measure={measure})\n"
        "print([round(row['rate']) for row in rows])\n"
    )
    done = subprocess.run([sys.executable, "-c", session], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[0, 91]\n", "")


def test_a_script_needs_no_guard_for_its_sweep():
    Path("script.py").write_text(
        "import sparseprop as sp\n"
        "def build(seed):\n"
        "    net = sp.Network(seed)\n    net.add(5, sp.LIF(tau_m=10.0, I_e=1.5))\n    return net\n"
        'print(len(sp.sweep(build, {"seed": [1, 2]}, duration=30.0, workers=2, out="sweep.csv")))\n'
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    assert sorted(os.listdir()) == ["script.py", "sweep.csv"]
