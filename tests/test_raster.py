"""Rasters in files: other programs read them, and crashes, full disks and damage lose nothing silently."""

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import h5py
import libsonata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_writer_process import is_prefix, plain

from sparseprop import raster
from sparseprop.errors import FileFormatError, ParameterError, StorageError
from sparseprop.files import raster_reader, raster_writer, space
from sparseprop.files.raster_reader import raster_info, read_raster
from sparseprop.files.raster_writer import RasterWriter, recover_raster, write_raster

JOBS = Path(__file__).with_name("raster_writer_process.py")
POPULATIONS = (("E", 80), ("I", 20))


def job(name, *arguments, timeout=120, status=0):
    """Run a job of ``raster_writer_process.py``; its result."""
    done = subprocess.run(
        [sys.executable, JOBS, name, *(json.dumps(a, default=str) for a in arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == status, f"exit code {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def spikes(n, n_neurons=100, seed=1):
    """Random spikes, many of them at equal times."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(0, 2, n) * rng.random(n)), rng.integers(0, n_neurons, n)


def same(data, times, ids):
    """Whether the spikes are these, bit for bit."""
    return (
        data.times.dtype == np.float64
        and data.ids.dtype == np.int64
        and data.times.tobytes() == np.asarray(times, np.float64).tobytes()
        and data.ids.tobytes() == np.asarray(ids, np.int64).tobytes()
    )


def check_sonata(path, times, ids, populations):
    """Everything that SONATA asks for, and the spikes of each population as libsonata reads them."""
    reader = libsonata.SpikeReader(str(path))
    assert set(reader.get_population_names()) == {name for name, _ in populations}
    start = 0
    for name, n in populations:
        mine = (ids >= start) & (ids < start + n)
        found = reader[name].get_dict()
        assert reader[name].sorting == "by_time"
        assert reader[name].time_units == "ms"
        assert np.asarray(found["timestamps"], np.float64).tobytes() == times[mine].tobytes()
        assert np.array_equal(found["node_ids"], ids[mine] - start)
        assert reader[name].get() == list(zip(found["node_ids"], times[mine], strict=True))
        start += n
    with h5py.File(path) as file:
        assert file.attrs["magic"] == 0x0A7A and file.attrs["magic"].dtype == np.uint32
        assert file.attrs["version"].tolist() == [0, 1] and file.attrs["version"].dtype == np.uint32
        assert set(file) == {"spikes", "run"} and set(file["spikes"]) == {name for name, _ in populations}
        for group in file["spikes"].values():
            assert h5py.check_enum_dtype(group.attrs.get_id("sorting").dtype) == {"none": 0, "by_id": 1, "by_time": 2}
            assert group.attrs["sorting"] == 2 and group["timestamps"].attrs["units"] == "ms"
            assert set(group) == {"timestamps", "node_ids"}
            for records, dtype in ((group["timestamps"], np.float64), (group["node_ids"], np.uint64)):
                assert records.dtype == dtype and records.fletcher32 and records.compression is None


def test_the_jobs_agree_with_the_module():
    assert JOBS.exists()
    assert raster.__all__ == sorted(raster.__all__)


# -----------------------------------------------------------------------------------------------------------
# What is written is read
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "populations",
    [
        (("E", 100),),
        POPULATIONS,
        (("E", 80), ("none", 0), ("I", 20), ("last", 0)),
        tuple((f"p{k}", 1) for k in range(100)),
        (("ünï cödé", 60), ("b.c", 40)),
    ],
)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("how", ["streamed", "whole"])
def test_round_trip_and_libsonata(tmp_path, populations, n, how):
    path = tmp_path / "raster.h5"
    times, ids = spikes(n)
    header, footer = {"seed": 3, "weights": np.arange(6.0).reshape(2, 3)}, {"t_stop": 10.0, "why": "time"}
    if how == "whole":
        write_raster(path, times, ids, populations, header=header, footer=footer)
    else:
        with RasterWriter(path, populations, header=header, chunk=64) as writer:
            for k in range(0, n, 17):
                writer.append(times[k : k + 17], ids[k : k + 17])
            assert writer.n_spikes == n and writer.n_committed > n - 64
            writer.close(**footer)
    check_sonata(path, times, ids, populations)
    data = read_raster(path)
    assert same(data, times, ids)
    assert (data.populations, data.footer, data.finished) == (populations, footer, True)
    assert data.header["seed"] == 3 and np.array_equal(data.header["weights"], header["weights"])
    info = raster_info(path)
    assert info["n_spikes"] == n == sum(info["counts"].values())
    assert (info["populations"], info["footer"], info["finished"]) == (populations, footer, True)
    assert os.listdir(tmp_path) == ["raster.h5"]


def test_more_populations_than_a_byte_counts(tmp_path):
    populations = tuple((f"p{k}", 1) for k in range(300))
    times, ids = spikes(2000, 300)
    write_raster(tmp_path / "a.h5", times, ids, populations, header={}, footer={})
    assert same(read_raster(tmp_path / "a.h5"), times, ids)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["run/order"].dtype == np.uint16


def test_order_of_equal_times_is_kept(tmp_path):
    ids = np.random.default_rng(2).permutation(100)
    write_raster(tmp_path / "a.h5", np.zeros(100), ids, POPULATIONS, header={}, footer={})
    assert same(read_raster(tmp_path / "a.h5"), np.zeros(100), ids)


def test_extreme_times_keep_their_bits(tmp_path):
    times = np.array([-0.0, 0.0, 5e-324, 1e-320, 2.2e-308, 0.1, 1.0, np.nextafter(1.0, 2.0), 1e300, 1.7e308])
    write_raster(tmp_path / "a.h5", times, range(10), POPULATIONS, header={}, footer={})
    assert same(read_raster(tmp_path / "a.h5"), times, range(10))
    check_sonata(tmp_path / "a.h5", times, np.arange(10), POPULATIONS)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any),
    chunk=st.integers(1, 300),
    blocks=st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=6),
    seed=st.integers(0, 99),
)
def test_any_blocks_any_chunk(sizes, chunk, blocks, seed):
    populations = tuple((f"p{k}", n) for k, n in enumerate(sizes))
    times, ids = spikes(sum(k for k, _ in blocks), sum(sizes), seed)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.h5")
        with RasterWriter(path, populations, header={}, chunk=chunk) as writer:
            n = 0
            for k, flush in blocks:
                writer.append(times[n : n + k], ids[n : n + k])
                n += k
                if flush:
                    assert writer.flush() == n
                    with pytest.warns(UserWarning, match=f"{n} spikes"):
                        assert same(read_raster(path), times[:n], ids[:n])
        assert same(read_raster(path), times, ids)
        check_sonata(path, times, ids, populations)


def equal(a, b):
    """Whether two headers or footers are the same, arrays in dtype, shape and every bit."""
    return plain(a) == plain(b)


def old_layout(path):
    """Turn a finished file without arrays in its footer into one of the version that knew none."""
    with h5py.File(path, "r+") as file:
        del file["run/values"]


@pytest.mark.parametrize("how", ["streamed", "whole", "recovered"])
@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">i4", "<i8", "u8", "f2", "f4", ">f8", "f8", "c8", "c16"])
def test_arrays_come_back_exactly(tmp_path, dtype, how):
    path = tmp_path / "a.h5"
    whole = np.arange(-6, 6).astype(dtype).reshape(3, 4)
    content = {
        "a": whole,
        "b": [{"c": whole[::2, 1], "d": whole.T}],
        "e": whole[0, 0:0],
        "f": np.array(3).astype(dtype),
        "g": np.zeros((2, 0, 3), dtype),
        "h": 1,
        "i": np.arange(3000),
    }
    if how == "streamed":
        with RasterWriter(path, POPULATIONS, header=content) as writer:
            writer.close(**content)
    else:
        write_raster(path, [1.0], [5], POPULATIONS, header=content, footer=content)
    if how == "recovered":
        recover_raster(path, path)
    data, info = read_raster(path), raster_info(path)
    for found in (data.header, data.footer, info["header"], info["footer"]):
        assert equal(found, content)


def test_a_footer_with_the_state_of_a_million_neurons(tmp_path):
    path = tmp_path / "a.h5"
    values = np.random.default_rng(1).random((2, 500_001))
    with RasterWriter(path, POPULATIONS, header={}) as writer:
        writer.append(*spikes(1000))
        writer.close(V=values, last=[values[0], np.float32(values[1])], t_stop=1.0)
    footer = read_raster(path).footer
    assert equal(footer, {"V": values, "last": [values[0], np.float32(values[1])], "t_stop": 1.0})
    check_sonata(path, *spikes(1000), POPULATIONS)


def test_files_of_the_version_without_arrays_in_footers(tmp_path):
    path = tmp_path / "a.h5"
    write_raster(path, *spikes(100), POPULATIONS, header={"a": np.zeros(2)}, footer={"t_stop": 1.0})
    old_layout(path)
    assert same(read_raster(path), *spikes(100)) and raster_info(path)["footer"] == {"t_stop": 1.0}
    recover_raster(path, path)
    assert read_raster(path).footer == {"t_stop": 1.0}


def test_a_footer_that_misses_its_arrays(tmp_path):
    path = tmp_path / "a.h5"
    write_raster(path, *spikes(100), POPULATIONS, header={}, footer={"V": np.zeros(2)})
    with h5py.File(path, "r+") as file:
        file["run/values"].resize((9,))
    for read in (read_raster, raster_info):
        with pytest.raises(FileFormatError, match="a.h5"):
            read(path)
    old_layout(path)
    for read in (read_raster, raster_info):
        with pytest.raises(FileFormatError, match="a.h5 is damaged.*values"):
            read(path)


def test_values_of_the_header_come_back(tmp_path):
    header = {
        "none": None,
        "yes": True,
        "n": 2**80,
        "x": 0.1,
        "text": "grün \ud800 \0",
        "list": [1, [2.5, {}]],
        "tuple": (1, 2),
        "inf": [np.inf, -np.inf],
        "numpy": [np.int8(3), np.float32(0.1), np.bool_(True)],
        "long": "x" * 200_000,
        "": {},
    }
    write_raster(tmp_path / "a.h5", [], [], POPULATIONS, header={**header, "nan": np.nan}, footer={"x": np.inf})
    data = read_raster(tmp_path / "a.h5")
    assert np.isnan(data.header.pop("nan")) and data.footer == {"x": np.inf}
    assert data.header == {**header, "tuple": [1, 2], "numpy": [3, float(np.float32(0.1)), True]}
    with h5py.File(tmp_path / "a.h5") as file:  # strict JSON
        json.loads(file["run/header"][()].tobytes(), parse_constant=pytest.fail)


def test_small_rasters_are_small_files(tmp_path):
    cases = (10, [("E", 100)], 20e3), (10, POPULATIONS, 20e3), (1000, POPULATIONS, 60e3)
    for n, populations, limit in cases:
        write_raster(tmp_path / "a.h5", *spikes(n), populations, header={}, footer={})
        assert os.path.getsize(tmp_path / "a.h5") < limit
        with RasterWriter(tmp_path / "b.h5", populations, header={}) as writer:
            writer.append(*spikes(n))
        assert os.path.getsize(tmp_path / "b.h5") < 100e3


def test_raster_data_is_frozen(tmp_path):
    write_raster(tmp_path / "a.h5", [], [], POPULATIONS, header={}, footer={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_raster(tmp_path / "a.h5").finished = False


# -----------------------------------------------------------------------------------------------------------
# What is refused
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": 3}, "path must be the name of a file, got 3"),
        ({"path": "a\0b"}, "null character"),
        ({"populations": "E"}, "sequence of"),
        ({"populations": 3}, "sequence of"),
        ({"populations": [("E", 1, 2)]}, "sequence of"),
        ({"populations": []}, "1 to 65536"),
        ({"populations": [(3, 1)]}, "name of a population"),
        ({"populations": [("a/b", 1)]}, "name of a population"),
        ({"populations": [("", 1)]}, "name of a population"),
        ({"populations": [("\ud800", 1)]}, "name of a pop"),
        ({"populations": [(".", 1)]}, "name of a population"),
        ({"populations": [("..", -1)]}, "size of population"),
        ({"populations": [("E", 1), ("E", 2)]}, "must differ"),
        ({"populations": [("E", 1.0)]}, "size of population"),
        ({"chunk": 0}, "chunk"),
        ({"chunk": 2**40}, "chunk"),
        ({"atomic": 1}, "atomic"),
        ({"header": None}, "header must be a dict"),
        ({"header": {3: 1}}, "keys in header"),
        ({"header": {"a": {"$b": 1}}}, r"keys in header\['a'\]"),
        ({"header": {"a": [1, {2}]}}, r"header\['a'\]\[1\]"),
        ({"header": {"a": 1j}}, "and arrays, got complex"),
        ({"header": {"a": np.array(["x"])}}, "got dtype <U1"),
        ({"header": {"a": np.zeros(1, np.longdouble)}}, "got dtype"),
        ({"header": {"a": np.array([{}])}}, "dtype object"),
    ],
)
def test_bad_parameters_leave_no_file(tmp_path, change, message):
    arguments = {"path": tmp_path / "a.h5", "populations": POPULATIONS, "header": {}, **change}
    with pytest.raises(ParameterError, match=message):
        RasterWriter(**arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("times", "ids", "message"),
    [
        ([1.0, 0.5], [1, 2], r"must not decrease, got 0.5 after 1.0 at index 1"),
        ([2.0], [1], r"must not decrease, got 2.0 after 3.0 at index 0"),
        ([-1.0], [1], "times must be finite times >= 0"),
        ([np.nan], [1], "times"),
        ([np.inf], [1], "times"),
        ([1.0], [100], "ids"),
        ([1.0], [-1], "ids"),
        ([1.0], [0.5], "ids"),
        ([1.0], [1, 2], "same length"),
        ([[1.0]], [1], "times"),
        (["x"], [1], "times"),
    ],
)
def test_bad_spikes_change_nothing(tmp_path, times, ids, message):
    with RasterWriter(tmp_path / "a.h5", POPULATIONS, header={}) as writer:
        if 2.0 in times:
            writer.append([3.0], [5])
        with pytest.raises(ParameterError, match=message):
            writer.append(times, ids)
        n = writer.n_spikes
        writer.append([4.0], [6])
    assert same(read_raster(tmp_path / "a.h5"), [3.0, 4.0][1 - n :], [5, 6][1 - n :])


def test_whole_raster_refuses_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    write_raster(path, [1.0], [5], POPULATIONS, header={}, footer={})
    before = path.read_bytes()
    cases = [
        ({"ids": [1, 2]}, "same length"),
        ({"times": [np.nan]}, "times"),
        ({"ids": [100]}, "ids"),
        ({"times": [2.0, 1.0], "ids": [1, 1]}, "must not decrease"),
        ({"footer": None}, "footer must be a dict"),
        ({"footer": {"a": {1}}}, "footer"),
        ({"footer": {"a": np.array(["x"])}}, r"footer\['a'\] must be an array of .* got dtype <U1"),
        ({"header": {"a": {1}}}, "header"),
    ]
    for change, message in cases:
        arguments = {"times": [1.0], "ids": [5], "header": {}, "footer": {}, **change}
        with pytest.raises(ParameterError, match=message):
            write_raster(path, populations=POPULATIONS, **arguments)
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.h5"]


def test_a_closed_writer_refuses(tmp_path):
    writer = RasterWriter(tmp_path / "a.h5", POPULATIONS, header={})
    assert "open, 0 spikes, 0 committed" in repr(writer)
    writer.close(a=1)
    writer.close(a=2)  # nothing happens
    for call in (lambda: writer.append([1.0], [1]), writer.flush):
        with pytest.raises(StorageError, match="has been closed"):
            call()
    assert "closed" in repr(writer) and read_raster(tmp_path / "a.h5").footer == {"a": 1}


def test_a_bad_footer_leaves_the_writer_open(tmp_path):
    with RasterWriter(tmp_path / "a.h5", POPULATIONS, header={}) as writer:
        with pytest.raises(ParameterError, match=r"footer\['t'\] must be made of None, bool, .* arrays, got set"):
            writer.close(t={1})
        writer.append([1.0], [1])
        writer.close(t=1)
    assert same(read_raster(tmp_path / "a.h5"), [1.0], [1])


def test_places_that_cannot_be_written_or_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "nowhere" / "x", tmp_path / "broken")
    for path, message in (
        (tmp_path / "no" / "a.h5", "does not exist; create it"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "a device"),
        ("/dev/null", "a device"),
        (tmp_path / ("x" * 250), "File name too long"),
    ):
        with pytest.raises(StorageError, match=message):
            RasterWriter(path, POPULATIONS, header={})
        with pytest.raises(StorageError, match=message):
            write_raster(path, [], [], POPULATIONS, header={}, footer={})
    for path, message in (
        (tmp_path / "no.h5", "No such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "a device"),
        (tmp_path / "broken", "No such file"),
    ):
        for read in (read_raster, raster_info, lambda path: recover_raster(path, tmp_path / "new.h5")):
            with pytest.raises(StorageError, match=message):
                read(path)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_stays_a_link(tmp_path):
    os.symlink(tmp_path / "real.h5", tmp_path / "link.h5")
    write_raster(tmp_path / "link.h5", [1.0], [5], POPULATIONS, header={}, footer={})
    assert os.path.islink(tmp_path / "link.h5") and same(read_raster(tmp_path / "real.h5"), [1.0], [5])


def test_without_permission():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        os.mkdir(os.path.join(folder, "open"))
        secret = os.path.join(folder, "open", "secret.h5")
        write_raster(secret, [], [], POPULATIONS, header={}, footer={})
        os.chmod(secret, 0o200 if os.getuid() else 0o600)
        os.chmod(os.path.join(folder, "open"), 0o777)
        os.chmod(folder, 0o555)
        try:
            folder_message, file_message, read_message = job("permission", folder)
        finally:
            os.chmod(folder, 0o700)
    assert "no permission" in folder_message and "Permission denied" in read_message
    assert "no permission" in file_message or os.getuid()


def test_two_writers_of_one_file(tmp_path):
    path = tmp_path / "a.h5"
    times, ids = spikes(500)
    with RasterWriter(path, POPULATIONS, header={}, chunk=100) as writer:
        writer.append(times, ids)
        for _ in range(2):
            with pytest.raises(StorageError, match="another writer has it open; close that one"):
                RasterWriter(path, POPULATIONS, header={})
            with pytest.raises(StorageError, match="another writer has it open"):
                write_raster(path, [], [], POPULATIONS, header={}, footer={})
        with pytest.raises(StorageError, match="another writer"):
            recover_raster(path, path)
    assert same(read_raster(path), times, ids)
    write_raster(path, [], [], POPULATIONS, header={}, footer={})  # the lock is gone


def test_a_lock_whose_file_was_removed_meanwhile_is_not_trusted(tmp_path, monkeypatch):
    lock = space.fcntl.flock

    def removed(fd, how):
        os.unlink(tmp_path / ".a.h5.ballast")
        lock(fd, how)

    monkeypatch.setattr(space.fcntl, "flock", removed)
    with pytest.raises(StorageError, match="another writer"):
        RasterWriter(tmp_path / "a.h5", POPULATIONS, header={})
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def unsupported(fd, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(space.fcntl, "flock", unsupported)
    write_raster(tmp_path / "a.h5", [1.0], [5], POPULATIONS, header={}, footer={})
    assert same(read_raster(tmp_path / "a.h5"), [1.0], [5])


def test_a_file_that_another_program_writes(tmp_path):
    path = tmp_path / "a.h5"
    with subprocess.Popen(
        [sys.executable, JOBS, "hold", json.dumps(str(path))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match="another program has it open for writing"):
            read_raster(path)
        other.stdin.write("\n")
        other.stdin.flush()
        other.wait()
    with pytest.raises(FileFormatError, match="no spikes in SONATA format"):
        read_raster(path)


# -----------------------------------------------------------------------------------------------------------
# Ends that are no ends: exceptions, kills, forks, interrupts
# -----------------------------------------------------------------------------------------------------------


def test_an_exception_leaves_an_unfinished_file_with_everything(tmp_path):
    path = tmp_path / "a.h5"
    times, ids = spikes(333)
    writer = RasterWriter(path, POPULATIONS, header={"a": 1}, chunk=100)
    with pytest.raises(ZeroDivisionError), writer:
        writer.append(times, ids)
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["a.h5"]
    check_sonata(path, times, ids, POPULATIONS)
    with pytest.warns(UserWarning, match="did not finish.*333 spikes are in it$"):
        data = read_raster(path)
    assert same(data, times, ids) and (data.finished, data.footer, data.header) == (False, None, {"a": 1})
    assert raster_info(path)["finished"] is False
    recovered = recover_raster(path, tmp_path / "b.h5")
    data = read_raster(tmp_path / "b.h5")
    assert same(data, times, ids) and same(recovered, times, ids)
    assert data.finished and data.header == {"a": 1}
    assert data.footer == recovered.footer == {"recovered": True}
    recover_raster(path, path)  # in place
    assert same(read_raster(path), times, ids)


def test_recovering_a_finished_file_keeps_its_footer(tmp_path):
    write_raster(tmp_path / "a.h5", [1.0], [5], POPULATIONS, header={}, footer={"t_stop": 2.0})
    recover_raster(tmp_path / "a.h5", tmp_path / "b.h5")
    assert read_raster(tmp_path / "b.h5").footer == {"t_stop": 2.0}


def test_an_exception_in_an_atomic_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    write_raster(path, [1.0], [5], POPULATIONS, header={}, footer={})
    with pytest.raises(ZeroDivisionError), RasterWriter(path, POPULATIONS, header={}, atomic=True) as writer:
        writer.append(*spikes(1000))
        assert writer.flush() == 0  # nothing is promised before the end
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["a.h5"] and same(read_raster(path), [1.0], [5])


def test_a_forgotten_writer_lets_go_of_its_file(tmp_path):
    path = tmp_path / "a.h5"
    writer = RasterWriter(path, POPULATIONS, header={}, chunk=100)
    writer.append(*spikes(250))
    writer.append([1e9], [1])
    del writer
    assert os.listdir(tmp_path) == ["a.h5"]
    with pytest.warns(UserWarning, match="250 spikes"):
        assert same(read_raster(path), *spikes(250))


def test_reading_while_it_is_written(tmp_path):
    path = tmp_path / "a.h5"
    with RasterWriter(path, POPULATIONS, header={}) as writer:
        with pytest.warns(UserWarning, match="still goes on; 0 spikes"):
            assert same(read_raster(path), [], [])
        assert raster_info(path)["n_spikes"] == 0 and raster_info(path)["counts"] == {"E": 0, "I": 0}
        writer.append([1.0, 2.0], [99, 5])
        assert writer.flush() == 2
        with pytest.warns(UserWarning, match="still goes on; 2 spikes are in it"):
            assert same(read_raster(path), [1.0, 2.0], [99, 5])
        assert raster_info(path)["counts"] == {"E": 1, "I": 1}


def test_a_reader_that_was_overtaken_tries_again(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    write_raster(path, [1.0], [5], POPULATIONS, header={}, footer={})
    read, calls = raster_reader._read_ours, []

    def overtaken(file):
        calls.append(file)
        os.utime(path, ns=(0, len(calls)))
        if len(calls) < n_failures:
            raise FileFormatError("torn")
        return read(file)

    monkeypatch.setattr(raster_reader, "_read_ours", overtaken)
    n_failures = 3
    assert same(read_raster(path), [1.0], [5])
    calls.clear()
    n_failures = 9
    with pytest.raises(FileFormatError, match="torn"):
        read_raster(path)
    assert len(calls) == 3


def test_kill(tmp_path):
    result = job("kill", tmp_path, 20, 1)
    assert result["lost"] == 0 and result["bad"] == [] and result["good"] == 20
    assert result["spikes"] > 1000  # else nothing was tested


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kill_often(tmp_path):
    result = job("kill", tmp_path, 1000, 1000, timeout=1800)
    assert result["lost"] == 0 and result["bad"] == [] and result["good"] == 1000
    assert 50 < result["finished"] < 900 and result["spikes"] > 100_000


# -----------------------------------------------------------------------------------------------------------
# Going on with a raster
# -----------------------------------------------------------------------------------------------------------


def header_text(path):
    with h5py.File(path) as file:
        return file["run/header"][()].tobytes()


@pytest.mark.parametrize("populations", [(("E", 100),), (("E", 80), ("none", 0), ("I", 20), ("last", 0))])
@pytest.mark.parametrize("old", ["killed", "unfinished", "finished", "whole"])
@pytest.mark.parametrize("n", [0, 1, 333, 500, 600])
def test_going_on_gives_the_undisturbed_raster(tmp_path, monkeypatch, populations, old, n):
    monkeypatch.setattr(raster_reader, "_COPY", 97)
    path, copy = tmp_path / "a.h5", tmp_path / "b.h5"
    times, ids = spikes(1000)
    header = {"weights": np.arange(6.0).reshape(2, 3), "more": [np.inf, {"x": np.zeros((0, 2), ">i2")}], "grün": 1}
    if old == "whole":
        write_raster(path, times[:600], ids[:600], populations, header=header, footer={"t_stop": 1.0})
    else:
        writer = RasterWriter(path, populations, header=header, chunk=128)
        with contextlib.suppress(ZeroDivisionError), writer:
            writer.append(times[:600], ids[:600])
            writer.flush()
            copy.write_bytes(path.read_bytes())
            if old == "finished":
                writer.close(t_stop=1.0)
            raise ZeroDivisionError
        if old == "killed":
            os.replace(copy, path)
    with RasterWriter.resume(path, n, chunk=200) as writer:
        assert writer.n_spikes == writer.n_committed == n
        with pytest.warns(UserWarning, match=f"still goes on; {n} spikes"):
            data = read_raster(path)
        assert same(data, times[:n], ids[:n]) and data.footer is None
        if n > 1:
            with pytest.raises(ParameterError, match="times must not decrease"):
                writer.append([np.nextafter(times[n - 1], -1.0)], [0])
        writer.append(times[n:], ids[n:])
        writer.close(t_stop=2.0, V=np.arange(5.0))
    write_raster(copy, times, ids, populations, header=header, footer={})
    check_sonata(path, times, ids, populations)
    data = read_raster(path)
    assert same(data, times, ids) and data.populations == populations and data.finished
    assert equal(data.header, header) and header_text(path) == header_text(copy)
    assert equal(data.footer, {"t_stop": 2.0, "V": np.arange(5.0)})
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "b.h5"]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any),
    chunks=st.lists(st.integers(1, 300), min_size=3, max_size=3),
    cuts=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 700)), min_size=3, max_size=3),
    copy=st.integers(1, 1000),
    seed=st.integers(0, 99),
)
def test_going_on_anywhere_any_number_of_times(sizes, chunks, cuts, copy, seed):
    populations = tuple((f"p{k}", n) for k, n in enumerate(sizes))
    times, ids = spikes(2100, sum(sizes), seed)
    n = 0
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster_reader, "_COPY", copy)
        path = os.path.join(folder, "a.h5")
        write_raster(path, [], [], populations, header={}, footer={})
        for (more, back), chunk in zip(cuts, chunks, strict=True):
            with RasterWriter.resume(path, n, chunk=chunk) as writer:
                writer.append(times[n : n + more], ids[n : n + more])
                n = max(n + more - back, 0)
        with RasterWriter.resume(path, n) as writer:
            writer.append(times[n:], ids[n:])
        assert same(read_raster(path), times, ids)


def test_going_on_before_the_first_commit(tmp_path):
    path, copy = tmp_path / "a.h5", tmp_path / "b.h5"
    with RasterWriter(path, POPULATIONS, header={"a": 1}):
        copy.write_bytes(path.read_bytes())
    with pytest.raises(FileFormatError, match="b.h5: 0 spikes are committed .* first 1; go on"):
        RasterWriter.resume(copy, 1)
    with RasterWriter.resume(copy, 0) as writer:
        writer.append([1.0], [5])
    assert same(read_raster(copy), [1.0], [5]) and read_raster(copy).header == {"a": 1}


def test_going_on_is_refused_and_the_file_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    times, ids = spikes(300)
    write_raster(path, times, ids, POPULATIONS, header={}, footer={"V": np.zeros(3)})
    foreign(tmp_path / "foreign.h5")
    (tmp_path / "none.h5").write_bytes(b"hello")
    os.mkdir(tmp_path / "folder")
    before = {entry: entry.read_bytes() for entry in tmp_path.iterdir() if entry.is_file()}
    for arguments, error, message in (
        ((path, 301), FileFormatError, "a.h5: 300 spikes are committed .* the first 301; go on"),
        ((path, -1), ParameterError, "n_spikes"),
        ((path, 1.5), ParameterError, "n_spikes"),
        ((path, 10, 0), ParameterError, "chunk"),
        ((3, 10), ParameterError, "path"),
        ((tmp_path / "no.h5", 0), StorageError, "cannot read .*no.h5: No such file"),
        ((tmp_path / "no" / "a.h5", 0), StorageError, "No such file"),
        ((tmp_path / "folder", 0), StorageError, "is a folder"),
        ((tmp_path / "none.h5", 0), FileFormatError, "none.h5 is no HDF5 file"),
        ((tmp_path / "foreign.h5", 0), FileFormatError, "foreign.h5: this file of another program cannot be gone on"),
    ):
        with pytest.raises(error, match=message):
            RasterWriter.resume(*arguments[:2], **dict(zip(["chunk"], arguments[2:], strict=False)))
    needed = "needed to begin; make room"
    nearly_full = "nearly full.*; the file is as it was; make room and try again"
    for k, message in enumerate((needed, needed, nearly_full)):  # for the lock, the file, the first commit
        rooms = itertools.chain([1 << 40] * k, [0])
        with monkeypatch.context() as patch:
            patch.setattr(space, "room_at", lambda where, size, rooms=rooms: next(rooms))
            with pytest.raises(StorageError, match=message):
                RasterWriter.resume(path, 300, chunk=100)

    def broken(dataset):
        raise RuntimeError("the disk is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(raster_writer, "_flush", broken)
        with pytest.raises(StorageError, match="on fire.*; the file is as it was"):
            RasterWriter.resume(path, 300)
    assert before == {entry: entry.read_bytes() for entry in tmp_path.iterdir() if entry.is_file()}
    RasterWriter.resume(path, 300).close()  # the lock is gone


def test_going_on_with_a_full_disk(mounted):
    folder = mounted(3000)
    path = folder / "a.h5"
    times, ids = spikes(60_000)
    write_raster(path, times, ids, POPULATIONS, header={}, footer={})
    with pytest.raises(StorageError, match="bytes free, .* needed to begin; make room"):
        RasterWriter.resume(path, 60_000)
    assert same(read_raster(path), times, ids) and os.listdir(folder) == ["a.h5"]
    with RasterWriter.resume(path, 2000) as writer:  # the copy is smaller
        writer.append(times[2000:], ids[2000:])
    assert same(read_raster(path), times, ids)


def test_going_on_needs_the_lock(tmp_path):
    path = tmp_path / "a.h5"
    times, ids = spikes(500)
    with RasterWriter(path, POPULATIONS, header={}, chunk=100) as writer:
        writer.append(times[:300], ids[:300])
        with pytest.raises(StorageError, match="another writer has it open; close that one"):
            RasterWriter.resume(path, 100)
    with RasterWriter.resume(path, 300) as writer:
        for other in (lambda: RasterWriter(path, POPULATIONS, header={}), lambda: RasterWriter.resume(path, 0)):
            with pytest.raises(StorageError, match="another writer has it open"):
                other()
        writer.append(times[300:], ids[300:])
    assert same(read_raster(path), times, ids)


def test_damage_is_found_before_going_on(two_files):
    for path in (*two_files, two_files[0].with_name("c.h5")):
        good = raster_info(path)["n_spikes"]
        content = path.read_bytes()
        with h5py.File(path, "r", swmr=path.name == "c.h5") as file:
            place = file["spikes/E/timestamps"].id.get_chunk_info(0).byte_offset + 20
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        damaged = path.read_bytes()
        for n in (0, good):  # also behind what is kept
            with pytest.raises(FileFormatError, match=path.name):
                RasterWriter.resume(path, n)
        assert path.read_bytes() == damaged


def test_going_on_from_the_commit_before_a_torn_one(tmp_path):
    path, copy = tmp_path / "a.h5", tmp_path / "copy.h5"
    times, ids = spikes(200)
    with RasterWriter(path, POPULATIONS, header={}, chunk=64) as writer:
        for start, stop in ((0, 150), (150, 200)):
            writer.append(times[start:stop], ids[start:stop])
            writer.flush()
        content, slot = bytearray(path.read_bytes()), writer._state.sequence % 2
    copy.write_bytes(content)
    with h5py.File(copy, "r", swmr=True) as file:
        place = file["run/tails"].id.get_chunk_info_by_coord((slot, 0)).byte_offset
    content[place : place + 40] = bytes(40)
    copy.write_bytes(content)
    with pytest.raises(FileFormatError, match="150 spikes are committed .* first 151"):
        RasterWriter.resume(copy, 151)
    with RasterWriter.resume(copy, 150) as writer:
        writer.append(times[150:], ids[150:])
    assert same(read_raster(copy), times, ids)


@pytest.mark.parametrize("after", [False, True])
def test_interrupts_while_going_on(tmp_path, after):
    path = tmp_path / "a.h5"
    times, ids = spikes(400)
    for at in itertools.count():
        write_raster(path, times, ids, POPULATIONS, header={}, footer={"old": True})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(raster_reader, "_COPY", 100)
            interrupting = Interrupting(patch, at, after)
            with contextlib.suppress(KeyboardInterrupt):
                RasterWriter.resume(path, 300, chunk=64).close()
        old = raster_info(path)["footer"] == {"old": True}
        n = 400 if old else 300
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert same(read_raster(path), times[:n], ids[:n])
        assert os.listdir(tmp_path) == ["a.h5"]
        if interrupting.calls <= at:
            break
    assert at > 30 and not old


@pytest.mark.parametrize("after", [False, True])
def test_kill_at_each_step_of_going_on(tmp_path, after):
    result = job("kill_at_each_step", tmp_path, after)
    assert result["wrong"] == [] and result["steps"] > 30 and 20 < result["old"] < result["steps"]


def test_kill_at_each_step_of_appending_loses_nothing_of_earlier_pieces(tmp_path):
    result = job("kill_at_each_step_of_appending", tmp_path)
    assert result["wrong"] == [] and result["steps"] > 25, result
    assert 5 < result["old"] < result["steps"] - 5 and 0 < result["finished"] < 10, result


def check_killed(result):
    assert result["wrong"] == [] and result["good"]
    assert result["during"] > 0 and result["after"] > 0


def test_kill_while_going_on(tmp_path):
    check_killed(job("kill_resumed", tmp_path, 20, 10_000, 3))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kill_while_going_on_often(tmp_path):
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        result = job("kill_resumed", tmp_path / str(seed), 300, 10_000 + 5000 * seed, 1000 * seed, timeout=800)
        check_killed(result)
        assert result["back"] > 5 and result["finished"] > 5


def test_memory_is_bounded_when_going_on(tmp_path):
    result = job("memory_resumed", tmp_path / "a.h5")
    assert result["n_spikes"] == 9_950_000
    assert result["growth"] < 24 * 1024  # KiB; the raster has 170 MB


def test_a_child_process_cannot_write_nor_harm(tmp_path):
    result = job("fork", tmp_path / "a.h5")
    assert result["messages"].count("open it in the process that writes") == 3
    # The with block of the child lets its SystemExit through.
    assert result["status"] == 0 and result["good"]


class Interrupting:
    """Functions of `raster_writer` that raise KeyboardInterrupt at one call, before or after their work."""

    def __init__(self, monkeypatch, at, after):
        self.calls, self.at, self.after = 0, at, after
        for name in ("_write", "_flush", "_sync", "sync_folder"):
            monkeypatch.setattr(raster_writer, name, self.wrapped(getattr(raster_writer, name), name))

    def wrapped(self, function, name):
        def call(*arguments):
            self.calls += 1
            interrupt = self.calls - 1 == self.at
            if interrupt and not self.after:
                raise KeyboardInterrupt
            if name != "_sync":  # slow, and not what this is about
                function(*arguments)
            if interrupt:
                raise KeyboardInterrupt

        return call


def stubbornly(writer, times, ids, footer):
    """Write these spikes, going on after each interrupt."""
    steps = [(0, 50), (50, 130), (130, 131), (131, 331), (331, 400)]
    for k, (start, stop) in enumerate(steps):
        with contextlib.suppress(KeyboardInterrupt):
            writer.append(times[start:stop], ids[start:stop])
        if writer.n_spikes == start:  # the interrupt came before the block was taken
            writer.append(times[start:stop], ids[start:stop])
        if k in (0, 2):
            with contextlib.suppress(KeyboardInterrupt):
                writer.flush()
    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            writer.close(**footer)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("atomic", [False, True])
def test_interrupts_at_every_write(tmp_path, after, atomic):
    times, ids = spikes(400)
    for at in itertools.count():
        path = tmp_path / f"{at}.h5"
        with pytest.MonkeyPatch.context() as patch:
            interrupting = Interrupting(patch, at, after)
            writer = RasterWriter(path, POPULATIONS, header={}, chunk=64, atomic=atomic)
            stubbornly(writer, times, ids, {"t_stop": 1.0, "V": [np.arange(9), np.ones(2000)]})
        data = read_raster(path)
        assert same(data, times, ids) and writer.n_committed == 400
        assert equal(data.footer, {"t_stop": 1.0, "V": [np.arange(9), np.ones(2000)]})
        check_sonata(path, times, ids, POPULATIONS)
        if interrupting.calls <= at:
            break
    assert at > (20 if atomic else 40)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


# An interrupt in one of h5py's weakref callbacks is lost; Python tells it and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_any_moment(tmp_path):
    """Ctrl-C is taken between any two bytecodes; here a timer sends it, not the keyboard."""
    rnd = random.Random(5)
    times, ids = spikes(20_000)
    n_interrupts = 0

    def interrupt(_, frame):
        nonlocal n_interrupts
        if frame.f_code is not run.__code__:  # the loop below has to survive
            n_interrupts += 1
            raise KeyboardInterrupt

    def go_on(writer):
        while writer.n_spikes < times.size:
            n = writer.n_spikes
            writer.append(times[n : n + 70], ids[n : n + 70])
        writer.close()

    def run(writer):
        while not writer._closed:
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_VIRTUAL, rnd.uniform(0.001, 0.02))
                go_on(writer)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    before = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        while n_interrupts < 30:  # how many hit one file depends on the machine
            writer = RasterWriter(tmp_path / "a.h5", POPULATIONS, header={}, chunk=64)
            run(writer)
            assert same(read_raster(tmp_path / "a.h5"), times, ids)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_an_interrupt_while_it_is_set_up(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    write_raster(path, [1.0], [5], POPULATIONS, header={}, footer={})

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for target, name in ((os, "urandom"), (h5py, "File"), (h5py.Group, "create_group"), (os, "replace")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(target, name, interrupt)
            RasterWriter(path, POPULATIONS, header={})
        assert os.listdir(tmp_path) == ["a.h5"] and same(read_raster(path), [1.0], [5])


# -----------------------------------------------------------------------------------------------------------
# No room
# -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mounted(tmp_path):
    """A function that makes a disk of that many KiB."""
    disks = []

    def mount(size, options="rw"):
        folder = tmp_path / f"disk{len(disks)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k,{options}", "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
        disks.append(folder)
        return folder

    yield mount
    for folder in disks:
        subprocess.run(["umount", folder], check=True)


def check_full(path, result):
    """What the jobs that fill a disk must leave behind."""
    assert result["committed"] > 1000
    assert f"; {result['committed']} of " in result["message"]
    assert "spikes are safe in the file" in result["message"]
    assert str(path) in result["message"] and "bytes free" in result["message"]
    with pytest.warns(UserWarning, match="did not finish"):
        data = read_raster(path)
    assert data.times.size >= result["committed"]
    assert is_prefix(data)
    assert not [name for name in os.listdir(path.parent) if name.startswith(".")]


@pytest.mark.parametrize("size", [2048, 3000, 5000])
@pytest.mark.parametrize("guarded", [True, False])
def test_a_full_disk(mounted, size, guarded):
    path = mounted(size) / "a.h5"
    result = job("fill", path, 0, guarded, True)
    check_full(path, result)
    if guarded:
        assert "the disk is nearly full" in result["second"] and "open" in result["repr"]
    else:
        assert result["second"] == result["message"] and "failed" in result["repr"]
        assert "No space left on device" in result["message"]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_full_disk_that_nobody_cares_about(mounted, guarded):
    path = mounted(2048) / "a.h5"
    check_full(path, job("fill", path, 0, guarded, False, status=1))  # a traceback, no segmentation fault


def test_a_disk_too_small_for_the_arrays_of_the_footer(mounted):
    path = mounted(4096) / "a.h5"
    with RasterWriter(path, POPULATIONS, header={}) as writer:
        writer.append(*spikes(1000))
        for size in (380_000, 10**7):
            with pytest.raises(StorageError, match="0 of 1000 spikes are safe.*make room"):
                writer.close(V=np.random.default_rng(1).random(size))
        writer.close(V=np.arange(200_000.0))
    data = read_raster(path)
    assert same(data, *spikes(1000)) and equal(data.footer, {"V": np.arange(200_000.0)})


@pytest.mark.parametrize("limit", [1_500_000, 2_000_000, 3_000_001])
def test_a_limit_of_the_file_size(tmp_path, limit):
    path = tmp_path / "a.h5"
    check_full(path, job("fill", path, limit, True, True))


def test_a_disk_too_full_to_begin(mounted):
    folder = mounted(1600)
    path = folder / "a.h5"
    write_raster(path, [1.0], [5], POPULATIONS, header={}, footer={})
    before = path.read_bytes()
    (folder / "other").write_bytes(bytes(700_000))
    with pytest.raises(StorageError, match="bytes free, .* needed to begin; make room"):
        RasterWriter(path, POPULATIONS, header={})
    with pytest.raises(StorageError, match="needed to begin"):
        write_raster(path, *spikes(10), POPULATIONS, header={}, footer={})
    os.unlink(folder / "other")
    with pytest.raises(StorageError, match="0 of .* spikes are safe"):
        write_raster(path, *spikes(100_000), POPULATIONS, header={}, footer={})
    assert path.read_bytes() == before and os.listdir(folder) == ["a.h5"]


def test_no_room_for_the_ballast(mounted, monkeypatch):
    folder = mounted(300)
    monkeypatch.setattr(space, "room_at", lambda where, size: 1 << 60)
    with pytest.raises(StorageError, match="No space left"):
        RasterWriter(folder / "a.h5", POPULATIONS, header={})
    assert os.listdir(folder) == []


def test_a_writer_goes_on_when_there_is_room_again(tmp_path, monkeypatch):
    times, ids = spikes(1000)
    with RasterWriter(tmp_path / "a.h5", POPULATIONS, header={}, chunk=100) as writer:
        writer.append(times[:300], ids[:300])
        with monkeypatch.context() as patch:
            patch.setattr(space, "room_at", lambda where, size: 0)
            with pytest.raises(StorageError, match="300 of 600 spikes are safe in the file; make room"):
                writer.append(times[300:600], ids[300:600])
            with pytest.raises(StorageError, match="300 of 600"):
                writer.flush()
        assert writer.n_spikes == 600
        writer.append(times[600:], ids[600:])
    assert same(read_raster(tmp_path / "a.h5"), times, ids)


def test_close_can_be_repeated_when_there_is_room_again(tmp_path, monkeypatch):
    times, ids = spikes(1000)
    writer = RasterWriter(tmp_path / "a.h5", POPULATIONS, header={})
    writer.append(times, ids)
    with monkeypatch.context() as patch:
        patch.setattr(space, "room_at", lambda where, size: 0)
        with pytest.raises(StorageError, match="0 of 1000 spikes"):
            writer.close(t=1)
    with monkeypatch.context() as patch:
        patch.setattr(space, "room_at", lambda where, size: 5_000_000)
        with pytest.raises(StorageError, match="0 of 1000 spikes"):  # the arrays are counted
            writer.close(V=np.zeros(10**6))
    writer.close(t=2, V=np.ones(3))
    data = read_raster(tmp_path / "a.h5")
    assert same(data, times, ids) and equal(data.footer, {"t": 2, "V": np.ones(3)})


def test_an_error_of_the_disk_is_told_and_final(tmp_path, monkeypatch):
    times, ids = spikes(1000)
    path = tmp_path / "a.h5"
    writer = RasterWriter(path, POPULATIONS, header={}, chunk=100)
    writer.append(times[:300], ids[:300])

    def broken(dataset):
        raise RuntimeError("the disk is on fire")

    ballast = tmp_path / ".a.h5.ballast"
    assert ballast.stat().st_blocks * 512 >= 500_000
    at_close, close = [], h5py.File.close

    def closing(file):
        at_close.append(ballast.stat().st_size)
        close(file)

    monkeypatch.setattr(raster_writer, "_flush", broken)
    with monkeypatch.context() as patch:
        patch.setattr(h5py.File, "close", closing)
        with pytest.raises(StorageError, match="on fire.*300 of 600 spikes are safe in the file and can be"):
            writer.append(times[300:600], ids[300:600])
    assert at_close == [0]  # there was room for what HDF5 had still to write
    for call in (
        lambda: writer.append([1e9], [1]),
        writer.flush,
        writer.close,
        lambda: writer.__exit__(None, None, None),
    ):
        with pytest.raises(StorageError, match="on fire"):
            call()
    assert os.listdir(tmp_path) == ["a.h5"]
    with pytest.warns(UserWarning, match="300 spikes"):
        assert same(read_raster(path), times[:300], ids[:300])


def test_an_error_while_it_is_set_up(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(h5py.Group, "create_group", broken)
    with pytest.raises(StorageError, match="on fire"):
        RasterWriter(tmp_path / "a.h5", POPULATIONS, header={})
    assert os.listdir(tmp_path) == []


def test_a_disk_that_may_only_be_read(mounted):
    folder = mounted(2048, "ro")
    with pytest.raises(StorageError, match="no permission"):
        RasterWriter(folder / "a.h5", POPULATIONS, header={})


def test_memory_is_bounded(tmp_path):
    result = job("memory", tmp_path / "a.h5")
    assert result["n_spikes"] == 10_000_000
    assert result["growth"] < 8 * 1024  # KiB; the raster has 170 MB


# -----------------------------------------------------------------------------------------------------------
# Damage
# -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_files(tmp_path):
    """A streamed and a whole raster, both small so that damage hits what matters.

    The folder has a third one, as the streaming writer would have left it behind if killed.
    """
    times, ids = spikes(1500)
    header = {"seed": 1, "weights": np.arange(500.0), "text": "x" * 300}
    with RasterWriter(tmp_path / "a.h5", POPULATIONS, header=header, chunk=128) as writer:
        for k in range(0, 1500, 100):
            writer.append(times[k : k + 100], ids[k : k + 100])
        writer.flush()
        (tmp_path / "c.h5").write_bytes((tmp_path / "a.h5").read_bytes())
        writer.close(t_stop=3.0, why="time", V=np.linspace(0.0, 1.0, 500))
    footer = {"t_stop": 3.0, "V": [np.arange(300), np.linspace(0.0, 1.0, 200)]}
    write_raster(tmp_path / "b.h5", times, ids, POPULATIONS, header=header, footer=footer)
    return tmp_path / "a.h5", tmp_path / "b.h5"


def test_damage(two_files):
    for path in (*two_files, two_files[0].with_name("c.h5")):
        result = job("damage", path, 300, 100, 7)
        assert result["wrong"] == [] and result["error"] > 150


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_damage_often(two_files):
    for path in (*two_files, two_files[0].with_name("c.h5")):
        for seed in range(4):
            result = job("damage", path, 1000, 1000, 100 + seed, timeout=600)
            assert result["wrong"] == [] and result["error"] > 1200


def test_damage_that_hdf5_does_not_see(two_files):
    """Contents that HDF5 finds in order, but that are not what was written."""
    for name, message in (
        ("header", "the header does not match"),
        ("footer", "the footer does not match"),
        ("arrays/0", "array 0 of the header"),
        ("values", "array 0 of the footer"),
        ("order", "/run/order do not match"),
        ("../spikes/I/timestamps", "/spikes/I/timestamps do not match"),
        ("../spikes/E/node_ids", "/spikes/E/node_ids do not match"),
    ):
        for path in two_files:
            copy = path.with_name("copy.h5")
            copy.write_bytes(path.read_bytes())
            with h5py.File(copy, "r+") as file:
                dataset = file["run"][name] if name[0] != "." else file[name[3:]]
                dataset[3] += 1
            with pytest.raises(FileFormatError, match=f"copy.h5: .*{message}"):
                read_raster(copy)


def test_one_damaged_row_loses_nothing_two_are_told(two_files):
    for path in two_files:
        good = read_raster(path)
        for rows, word in itertools.product(([0], [1], [0, 1]), (0, 2, 5, -1)):
            copy = path.with_name("copy.h5")
            copy.write_bytes(path.read_bytes())
            with h5py.File(copy, "r+") as file:
                for row in rows:
                    file["run/committed"][row, word] ^= 1
            if len(rows) == 1:
                assert same(read_raster(copy), good.times, good.ids)
            else:
                with pytest.raises(FileFormatError, match="table of committed spikes is damaged"):
                    read_raster(copy)


def test_a_torn_commit_gives_the_one_before(tmp_path):
    """Each thing that the last commit wrote is damaged in turn; nothing of the commit before may be."""
    path, copy = tmp_path / "a.h5", tmp_path / "copy.h5"
    times, ids = spikes(200)
    with RasterWriter(path, POPULATIONS, header={}, chunk=64) as writer:
        for start, stop in ((0, 90), (90, 150), (150, 200)):
            writer.append(times[start:stop], ids[start:stop])
            writer.flush()
        content, sequence = path.read_bytes(), writer._state.sequence
    for name in ("tails", "committed"):
        copy.write_bytes(content)
        with h5py.File(copy, "r", swmr=True) as file:
            info = file["run"][name].id.get_chunk_info_by_coord((sequence % 2, 0))
        torn = bytearray(content)
        torn[info.byte_offset + 8 : info.byte_offset + 40] = bytes(32)
        copy.write_bytes(torn)
        with pytest.warns(UserWarning, match="150 spikes"):
            assert same(read_raster(copy), times[:150], ids[:150])


def test_a_newer_version(two_files):
    with h5py.File(two_files[0], "r+") as file:
        file["run"].attrs["sparseprop_raster"] = np.uint32(3)
    for read in (read_raster, raster_info):
        with pytest.raises(FileFormatError, match=r"newer version of sparseprop \(format 3.*update"):
            read(two_files[0])


def test_not_a_raster(tmp_path):
    path = tmp_path / "a.h5"
    for content in (b"", b"hello", bytes(5000), b"\x89HDF\r\n\x1a\n" + bytes(5000)):
        path.write_bytes(content)
        for read in (read_raster, raster_info):
            with pytest.raises(FileFormatError, match="a.h5 is no HDF5 file, or is damaged"):
                read(path)
    with h5py.File(path, "w") as file:
        file["spikes/E/gids"] = [1]
    for read in (read_raster, raster_info):
        with pytest.raises(FileFormatError, match="no spikes in SONATA format"):
            read(path)


def test_errors_of_the_system_while_reading(two_files, monkeypatch):
    cases = [
        (OSError(errno.EIO, "Input/output error"), StorageError, "Input/output"),
        (MemoryError("much"), MemoryError, "much"),
        (KeyError("x"), FileFormatError, "damaged"),
    ]
    for raised, expected, message in cases:

        def broken(file, raised=raised):
            raise raised

        monkeypatch.setattr(raster_reader, "_read_ours", broken)
        with pytest.raises(expected, match=message):
            read_raster(two_files[0])


# -----------------------------------------------------------------------------------------------------------
# Files of other programs
# -----------------------------------------------------------------------------------------------------------


def foreign(path, units="ms", times=(3.0, 1.0, 2.0), ids=(0, 4, 2), **more):
    """A SONATA file with two populations, the first as given."""
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes/a")
        group.attrs["sorting"] = "by_id"
        group.create_dataset("timestamps", data=times)
        group.create_dataset("node_ids", data=ids, **more)
        if units is not None:
            group["timestamps"].attrs["units"] = units
        file["spikes/b/timestamps"] = [1.0, 2.5]
        file["spikes/b/node_ids"] = np.array([7, 0], np.uint32)
        file["spikes/empty/timestamps"] = np.zeros(0)
        file["spikes/empty/node_ids"] = np.zeros(0, np.uint64)
        file["spikes/else/x"] = 1


@pytest.mark.parametrize("units", ["milliseconds", "seconds"])
def test_names_of_units_in_foreign_files(tmp_path, units):
    factor = 1000.0 if units == "seconds" else 1.0
    foreign(tmp_path / "a.h5", units, times=np.array([3.0, 1.0, 2.0]) / factor)
    assert read_raster(tmp_path / "a.h5").times.tolist() == [1.0, 1.0, 2.0, 2.5, 3.0]


def test_old_layouts_of_foreign_files(tmp_path):
    """Spikes without populations, and ids that are called gids."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spikes/timestamps"], file["spikes/gids"] = [2.0, 1.0], np.array([3, 0])
    data = read_raster(tmp_path / "a.h5")
    assert data.populations == (("spikes", 4),) and same(data, [1.0, 2.0], [0, 3])
    assert raster_info(tmp_path / "a.h5")["counts"] == {"spikes": 2}
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["spikes/E/timestamps"], file["spikes/E/gids"] = [1.0], np.array([2])
        file["spikes/timestamps"], file["spikes/node_ids"] = [2.0], np.array([0])
    assert read_raster(tmp_path / "b.h5").populations == (("spikes", 1), ("E", 3))


@pytest.mark.parametrize(("units", "factor"), [("ms", 1.0), (None, 1.0), ("s", 1000.0), (np.bytes_(b"s"), 1000.0)])
def test_foreign_files(tmp_path, units, factor):
    path = tmp_path / "a.h5"
    foreign(path, units, times=np.array([3.0, 1.0, 2.0]) / factor, compression="gzip")
    data = read_raster(path)
    assert data.populations == (("a", 5), ("b", 8), ("empty", 0))
    assert same(data, [1.0, 1.0, 2.0, 2.5, 3.0], [4, 5 + 7, 2, 5, 0])
    assert (data.header, data.footer, data.finished) == ({}, None, True)
    info = raster_info(path)
    assert info["counts"] == {"a": 3, "b": 2, "empty": 0} and info["n_spikes"] == 5
    assert info["populations"] == (("a", None), ("b", None), ("empty", None))
    recover_raster(path, tmp_path / "b.h5")
    check_sonata(tmp_path / "b.h5", data.times, data.ids, data.populations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": "min"}, "times of population 'a' are in 'min'"),
        ({"times": [1.0, np.nan, 2.0]}, "population 'a' has times that are not finite"),
        ({"times": [1.0, 2.0]}, "no column of numbers"),
        ({"times": [[1.0], [2.0], [3.0]]}, "no column"),
        ({"times": [b"1", b"2", b"3"]}, "no column"),
        ({"ids": [1.0, 2.0, 3.0]}, "no column"),
        ({"ids": [1, -1, 2]}, "ids out of range"),
        ({"ids": np.array([1, 2**63, 2], np.uint64)}, "ids out of range"),
    ],
)
def test_bad_foreign_files(tmp_path, change, message):
    foreign(tmp_path / "a.h5", **change)
    with pytest.raises(FileFormatError, match=message):
        read_raster(tmp_path / "a.h5")
