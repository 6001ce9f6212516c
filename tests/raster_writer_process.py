"""What the tests of rasters run in another process: ``python raster_writer_process.py <job> <arguments>``.

Each job prints its result as JSON in its last line.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import warnings

import numpy as np

from sparseprop import raster
from sparseprop.errors import FileFormatError, StorageError
from sparseprop.files import raster_reader, raster_writer, space

# "rare" holds up any scheme that commits only whole chunks of every population; "none" never fires.
POPULATIONS = (("E", 80), ("I", 20), ("none", 0), ("rare", 1))


def spikes(n):
    """The first `n` spikes of an endless raster with equal times across populations."""
    k = np.arange(n)
    ids = (k * 2654435761 >> 7) % 100
    ids[k % 977 == 5] = 100
    return (k // 3) * 0.5, ids


def is_prefix(data):
    """Whether a raster is, bit for bit, the beginning of the endless one."""
    times, ids = spikes(data.times.size)
    return (
        data.times.tobytes() == times.tobytes()
        and data.ids.tobytes() == ids.tobytes()
        and data.populations == POPULATIONS
        and np.array_equal(data.header["weights"], np.arange(50.0))
    )


def plain(value):
    """A header or footer in a form that can be compared, arrays with dtype, shape and every bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def write_endlessly(path, pipe, seed):
    """Append random blocks until killed (or close at a random moment); tell the parent what is promised."""
    rnd = random.Random(seed)
    last = rnd.choice([10**9, 10**9, rnd.randrange(5000)])
    times, ids = spikes(200_000)
    writer = raster.RasterWriter(path, POPULATIONS, header={"weights": np.arange(50.0)}, chunk=256)
    os.write(pipe, (0).to_bytes(8, "little"))
    n = 0
    while n < min(last, times.size - 400):
        k = rnd.randrange(1, 400)
        writer.append(times[n : n + k], ids[n : n + k])
        n += k
        promised = writer.flush() if rnd.random() < 0.2 else writer.n_committed
        os.write(pipe, promised.to_bytes(8, "little"))
    writer.close(t_stop=1.0, V=np.arange(3000.0))
    os.write(pipe, n.to_bytes(8, "little"))


def kill(folder, repetitions, seed):
    """Kill writers at random moments; count files that are wrong, by the reason."""
    rnd = random.Random(seed)
    result = {"good": 0, "finished": 0, "spikes": 0, "lost": 0, "bad": []}
    for k in range(repetitions):
        path = os.path.join(folder, f"{k}.h5")
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receive)
            write_endlessly(path, send, seed + k)
            os._exit(0)
        os.close(send)
        acknowledged = os.read(receive, 8)
        time.sleep(rnd.uniform(0.0, 0.2) ** 2 * 5)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while block := os.read(receive, 1 << 16):
            acknowledged += block
        os.close(receive)
        promised = int.from_bytes(acknowledged[-8:], "little")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                data = raster.read_raster(path)
            recovered = raster.recover_raster(path, path + ".new")
            again = raster.read_raster(path + ".new")
            footer = {"t_stop": 1.0, "V": np.arange(3000.0)} if data.finished else {"recovered": True}
            good = (
                is_prefix(data)
                and plain(again.footer) == plain(footer)
                and is_prefix(again)
                and again.finished
                and again.times.size == recovered.times.size == data.times.size
                and bool(caught) != data.finished
                and raster.raster_info(path)["n_spikes"] >= promised
            )
        except (FileFormatError, StorageError) as error:
            result["bad"].append(str(error))
            continue
        result["lost"] += max(promised - data.times.size, 0)
        result["good"] += good
        result["finished"] += data.finished
        result["spikes"] += data.times.size
        for name in (path, path + ".new", os.path.join(folder, f".{k}.h5.ballast")):
            if os.path.exists(name):
                os.unlink(name)
    return result


def go_on(path, n, total, pipe, seed):
    """Go on behind the first `n` spikes up to `total`; tell the parent what is promised."""
    rnd = random.Random(seed)
    times, ids = spikes(total)
    with raster.RasterWriter.resume(path, n, chunk=rnd.choice([64, 256, 5000])) as writer:
        os.write(pipe, writer.n_committed.to_bytes(8, "little"))
        while n < total:
            k = rnd.randrange(1, 400)
            writer.append(times[n : n + k], ids[n : n + k])
            n = writer.n_spikes
            promised = writer.flush() if rnd.random() < 0.2 else writer.n_committed
            os.write(pipe, promised.to_bytes(8, "little"))
        writer.close(t_stop=1.0, V=np.arange(3000.0))


def kill_resumed(folder, kills, total, seed):
    """Kill, again and again, processes that go on with one raster; what is wrong, and the raster at the end."""
    rnd = random.Random(seed)
    path = os.path.join(folder, "a.h5")
    raster_reader._COPY = 1000  # several slices
    result = {"during": 0, "after": 0, "finished": 0, "back": 0, "wrong": []}
    raster.RasterWriter(path, POPULATIONS, header={"weights": np.arange(50.0)}).close()
    n, took = 0, 0.02
    for k in range(kills + 1):
        receive, send = os.pipe()
        begin = time.perf_counter()
        child = os.fork()
        if child == 0:
            os.close(receive)
            go_on(path, n, total, send, seed + k)
            os._exit(0)
        os.close(send)
        acknowledged = b""
        if k < kills:
            if rnd.random() < 0.5:  # while it takes the spikes over
                time.sleep(rnd.uniform(0.0, took))
            else:
                acknowledged = os.read(receive, 8)
                took = time.perf_counter() - begin
                time.sleep(rnd.uniform(0.0, 0.1) ** 2 * 3)
            os.kill(child, signal.SIGKILL)
        while block := os.read(receive, 1 << 16):
            acknowledged += block
        os.close(receive)
        killed = os.waitpid(child, 0)[1]
        if killed and k == kills:
            result["wrong"].append(["status", killed])
        result["after" if acknowledged else "during"] += 1
        promised = int.from_bytes(acknowledged[-8:], "little") if acknowledged else n
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = raster.read_raster(path)
        committed = raster.raster_info(path)["n_spikes"]
        result["finished"] += data.finished
        if not is_prefix(data) or not promised <= data.times.size == committed <= total:
            result["wrong"].append([k, n, promised, data.times.size, committed])
        # Go on from the end, or as from a checkpoint that was made some time before; and not only at the end.
        n = rnd.choice([committed, committed, rnd.randint(0, committed)])
        if committed > 0.8 * total:
            n //= 4
            result["back"] += 1
    again = os.path.join(folder, "b.h5")
    with raster.RasterWriter(again, POPULATIONS, header={"weights": np.arange(50.0)}) as writer:
        writer.append(*spikes(total))
        writer.close(t_stop=1.0, V=np.arange(3000.0))
    data, other = raster.read_raster(path), raster.read_raster(again)
    result["good"] = (
        data.times.tobytes() == other.times.tobytes()
        and data.ids.tobytes() == other.ids.tobytes()
        and data.times.size == total
        and plain(data.header) == plain(other.header)
        and plain(data.footer) == plain(other.footer)
        and sorted(os.listdir(folder)) == ["a.h5", "b.h5"]
    )
    return result


def kill_at_each_step(folder, after):
    """Kill a process that goes on with a raster at each of its writes in turn, before or after it."""
    path = os.path.join(folder, "a.h5")
    times, ids = spikes(3000)
    raster_reader._COPY = 1000
    result = {"steps": 0, "old": 0, "wrong": []}
    with raster.RasterWriter(path, POPULATIONS, header={"weights": np.arange(50.0)}, chunk=128) as writer:
        writer.append(times, ids)
        writer.flush()
        shutil.copy(path, path + ".killed")
    alive = True
    while alive:
        shutil.copy(path + ".killed", path)
        before = os.stat(path).st_ino
        child = os.fork()
        if child == 0:
            left = result["steps"]

            def deadly(function):
                def call(*arguments):
                    nonlocal left
                    left -= 1
                    if left < 0 and not after:
                        os.kill(os.getpid(), signal.SIGKILL)
                    function(*arguments)
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

                return call

            for name in ("_write", "_flush", "_sync", "sync_folder"):
                setattr(raster_writer, name, deadly(getattr(raster_writer, name)))
            os.replace = deadly(os.replace)
            writer = raster.RasterWriter.resume(path, 2500, chunk=64)
            writer.append(times[2500:], ids[2500:])
            os._exit(0)
        alive = os.waitpid(child, 0)[1] != 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = raster.read_raster(path)
        old = os.stat(path).st_ino == before
        result["old"] += old
        if not is_prefix(data) or not (data.times.size == 3000 if old else data.times.size >= 2500):
            result["wrong"].append([result["steps"], data.times.size])
        result["steps"] += 1
    return result


def kill_at_each_step_of_appending(folder):
    """Kill a run that is appended to a raster before each of its writes in turn; what is left of the piece before."""
    import sparseprop as sp

    path = os.path.join(folder, "a.h5")
    raster_writer._CHUNK_MAX, raster_reader._COPY = 64, 200  # several of both
    net = sp.Network(seed=1)
    net.add(50, sp.LIF(tau_m=10.0, I_e=1.5), name="E")
    net.add(10, sp.LIF(tau_m=12.0, I_e=1.4), name="I")
    sim = sp.Simulation(net)
    record = sp.Record(path, V=[0, 55], V_times=0.5, bins=3.0)
    sim.run(60.0, record=record, progress=False)
    whole, first = net.run(120.0, progress=False), sp.load(path)
    shutil.copy(path, path + ".first")
    result = {"steps": 0, "old": 0, "finished": 0, "wrong": []}
    alive = True
    while alive:
        shutil.copy(path + ".first", path)
        child = os.fork()
        if child == 0:
            left = result["steps"]

            def deadly(function):
                def call(*arguments):
                    nonlocal left
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    function(*arguments)

                return call

            for name in ("_write", "_flush", "_sync", "sync_folder"):
                setattr(raster_writer, name, deadly(getattr(raster_writer, name)))
            os.replace = deadly(os.replace)
            sim.run(60.0, record=record, progress=False)
            os._exit(0)
        alive = os.waitpid(child, 0)[1] != 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = sp.load(path)
        piece, n = loaded.pieces[0], len(loaded.times)
        result["old"] += len(loaded.pieces) == 1
        result["finished"] += loaded.t_stop == 120.0
        same = all(
            np.array_equal(getattr(piece, name), getattr(first, name)) for name in ("times", "ids", "V", "V_times")
        )
        same &= all(np.array_equal(piece.counts[name], first.counts[name]) for name in first.counts)
        same &= piece.run_id == first.run_id and piece.t_stop == 60.0 and piece.n_spikes == first.n_spikes
        if (
            not same
            or not np.array_equal(loaded.times, whole.times[:n])
            or not np.array_equal(loaded.ids, whole.ids[:n])
        ):
            result["wrong"].append([result["steps"], n])
        result["steps"] += 1
    return result


def damage(path, flips, truncations, seed):
    """Damage copies of a file; count the outcomes. The alarm ends a hang, visibly for the parent."""
    with open(path, "rb") as file:
        whole = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file that is not finished
        good = raster.read_raster(path)
    info = plain(raster.raster_info(path))
    rnd = random.Random(seed)
    copy = path + ".damaged"
    result = {"error": 0, "same": 0, "wrong": []}
    for k in range(flips + truncations):
        signal.alarm(20)
        if k < flips:
            at = rnd.randrange(8 * len(whole))
            content = bytearray(whole)
            content[at // 8] ^= 1 << at % 8
        else:
            at = rnd.randrange(len(whole))
            content = whole[:at]
        with open(copy, "wb") as file:
            file.write(content)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                data = raster.read_raster(copy)
            n = data.times.size
            # Of an unfinished file the beginning is right as well: it is told how many spikes there are.
            complete = n == good.times.size or (caught and not good.finished)
            same = bool(
                complete
                and data.times.tobytes() == good.times[:n].tobytes()
                and data.ids.tobytes() == good.ids[:n].tobytes()
                and plain(data.header) == plain(good.header)
                and data.populations == good.populations
                and plain(data.footer) == plain(good.footer)
                and data.finished == good.finished == (not caught)
            )
            result["same"] += same
            if not same:
                result["wrong"].append([k, at])
        except FileFormatError:
            result["error"] += 1
        try:
            if good.finished and plain(raster.raster_info(copy)) != info:
                result["wrong"].append([k, at, "info"])
        except FileFormatError:
            pass
    return result


def fill(path, limit, guarded, caught):
    """Write until the disk is full, or the file may not grow."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if not guarded:
        space.room_at = lambda where, size: 1 << 60
    times, ids = spikes(4_000_000)
    writer = raster.RasterWriter(path, POPULATIONS, header={"weights": np.arange(50.0)}, chunk=1000)
    try:
        for k in range(0, times.size, 700):
            writer.append(times[k : k + 700], ids[k : k + 700])
    except StorageError as error:
        result = {"committed": writer.n_committed, "message": str(error)}
        if not caught:
            print(json.dumps(result), flush=True)
            raise
        result["repr"] = repr(writer)
        try:
            with writer:  # its end tries again, and then lets go of the file
                pass
        except StorageError as second:
            result["second"] = str(second)
        return result
    return {}


def memory(path):
    """Growth of the resident memory (KiB) while 10^7 spikes are streamed, after the first 10^6."""
    n = 100_000
    rng = np.random.default_rng(1)
    with raster.RasterWriter(path, POPULATIONS, header={}) as writer:
        for k in range(100):
            if k == 10:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            writer.append(np.linspace(k, k + 1, n, endpoint=False), rng.integers(0, 101, n))
    return {
        "growth": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
        "n_spikes": raster.raster_info(path)["n_spikes"],
    }


def memory_resumed(path):
    """Growth of the resident memory (KiB) while some 10^7 spikes are taken over from a raster."""
    n = 100_000
    rng = np.random.default_rng(1)
    with raster.RasterWriter(path, POPULATIONS, header={}) as writer:
        for k in range(100):
            writer.append(np.linspace(k, k + 1, n, endpoint=False), rng.integers(0, 101, n))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raster.RasterWriter.resume(path, 9_950_000):
        pass
    return {
        "growth": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
        "n_spikes": raster.raster_info(path)["n_spikes"],
    }


def fork(path):
    """A child that has the writer of its parent: it cannot write, and its exit must not touch the file."""
    times, ids = spikes(10_000)
    writer = raster.RasterWriter(path, POPULATIONS, header={"weights": np.arange(50.0)}, chunk=256)
    closed = raster.RasterWriter(path + ".closed", POPULATIONS, header={})
    closed.close()
    writer.append(times[:3000], ids[:3000])
    result = {}
    receive, send = os.pipe()
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        for call in (lambda: writer.append(times, ids), writer.flush, writer.close):
            try:
                call()
            except StorageError as error:
                os.write(send, str(error).encode() + b"\n")
        os.close(send)
        os.read(wait, 1)
        with writer:
            sys.exit(0)  # the exit handlers of Python, h5py and HDF5 run; they know a shorter file
    os.close(send)
    with os.fdopen(receive) as messages:
        result["messages"] = messages.read()
    writer.append(times[3000:9000], ids[3000:9000])
    os.close(go)
    result["status"] = os.waitpid(child, 0)[1]
    committed = writer.n_committed
    shutil.copy(path, path + ".copy")  # what a kill at this moment would leave
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = raster.read_raster(path + ".copy")
    result["good"] = is_prefix(copy) and copy.times.size == committed
    writer.append(times[9000:], ids[9000:])
    writer.close()
    result["good"] &= is_prefix(raster.read_raster(path)) and writer.n_committed == times.size
    return result


def permission(folder):
    """As a user who may not: messages of what is refused."""
    if os.getuid() == 0:
        os.setuid(65534)
    result = []
    secret = os.path.join(folder, "open", "secret.h5")
    for call in (
        lambda: raster.RasterWriter(os.path.join(folder, "new.h5"), [("E", 1)], header={}),
        lambda: raster.RasterWriter(secret, [("E", 1)], header={}),
        lambda: raster.read_raster(secret),
    ):
        try:
            call()
            result.append("no error")
        except StorageError as error:
            result.append(str(error))
    return result


def hold(path):
    """Have a file open for writing, as other programs do, until the parent says so."""
    import h5py

    with h5py.File(path, "w") as file:
        file["x"] = 1
        print("open", flush=True)
        sys.stdin.readline()
    return {}


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    print(json.dumps(globals()[job](*(json.loads(argument) for argument in arguments))))
