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
    writer.close(t_stop=1.0)
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
            good = (
                is_prefix(data)
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


def damage(path, flips, truncations, seed):
    """Damage copies of a file; count the outcomes. The alarm ends a hang, visibly for the parent."""
    with open(path, "rb") as file:
        whole = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file that is not finished
        good = raster.read_raster(path)
    info = repr(raster.raster_info(path))
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
                and repr(data.header) == repr(good.header)
                and data.populations == good.populations
                and data.footer == good.footer
                and data.finished == good.finished == (not caught)
            )
            result["same"] += same
            if not same:
                result["wrong"].append([k, at])
        except FileFormatError:
            result["error"] += 1
        try:
            if good.finished and repr(raster.raster_info(copy)) != info:
                result["wrong"].append([k, at, "info"])
        except FileFormatError:
            pass
    return result


def fill(path, limit, guarded, caught):
    """Write until the disk is full, or the file may not grow."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if not guarded:
        raster._room = lambda where, size: 1 << 60
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
