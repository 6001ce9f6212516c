"""Saved states: a simulation goes on from one as if it had never stopped, whatever happens to the process."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import long_run
import numpy as np
import pytest
import sweep_builds
from random_networks import longest_period, random_network

import sparseprop as sp
from sparseprop import raster
from sparseprop.run import watching

ENGINES = ["window", "heap", "reference"]
MODELS = {
    "LIF": sp.LIF(tau_m=10.0, I_e=1.3),
    "LIF-ref": sp.LIF(tau_m=10.0, I_e=np.linspace(0.8, 1.5, 20), t_ref=2.0),
    "LIFExp": sp.LIFExp(tau_m=10.0, tau_syn=(3.0, 9.9), I_e=np.linspace(0.8, 1.5, 20), t_ref=2.0),
    "Theta": sp.Theta(tau_m=10.0, I_e=1.5),
    "QIF": sp.QIF(tau_m=10.0, I_e=np.linspace(-0.5, 1.5, 20) ** 3, V_peak=10.0, V_reset=-5.0, t_ref=1.0),
    "EIF": sp.EIF(tau_m=np.linspace(8.0, 12.0, 20), I_e=np.repeat([0.75, 1.25], 10), Delta_T=0.125, t_ref=1.0),
}


def described(model, delay, source):
    """A network of every kind of delay and input."""
    net = sp.Network(seed=5)
    p = net.add(20, MODELS[model], name="p")
    weight = -0.05 if model == "LIF" else 0.05
    delays = {"none": 0.0, "one": 1.3, "each": sp.uniform(0.0, 4.0), "grid": [0.0, 0.5, 1.0, 1.5] * 15}
    last = p.model.n_ports - 1
    net.connect(p, p, sp.fixed_indegree(3), weight=weight, delay=delays[delay], port=last)
    if source == "spikes":
        s = net.add(3, sp.SpikeSource(np.linspace(0.0, 60.0, 41), np.arange(41) % 3), name="s")
        net.connect(s, p, sp.all_to_all(), weight=0.2, delay=0.4)
    elif source == "poisson":
        s = net.add(3, sp.PoissonSource(200.0), name="s")
        net.connect(s, p, sp.fixed_indegree(2), weight=0.1, delay=sp.uniform(0.0, 2.0))
        net.drive(p, sp.poisson([100.0, 400.0], times=[0.0, 20.0]), weight=0.1)
    elif source == "steps":
        net.drive(p, sp.steps([5.0, 20.0, 33.0], [0.3, -0.3, 0.1]))
    return net


DELAYS, INPUTS = ["none", "one", "each", "grid"], ["none", "spikes", "poisson", "steps"]


@pytest.mark.parametrize("recording", ["memory", "file"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ENGINES)
def test_save_and_continue(model, engine, recording, tmp_path):
    """6 models x 3 engines x 4 delays x 4 inputs x 2 records = 576 combinations, each cut twice, at a time and at a
    number of spikes; another engine goes on."""
    for k, (delay, source) in enumerate(itertools.product(DELAYS, INPUTS)):
        net = described(model, delay, source)
        whole = net.run(60.0, progress=False)
        path = tmp_path / "state.h5"
        pieces = []
        sim = sp.Simulation(net, engine=engine)
        for stop in ({"duration": 7.0 + k}, {"n_spikes": 10, "duration": 10.0}, {"duration": 60.0}):
            record = tmp_path / f"{len(pieces)}.h5" if recording == "file" else None
            if len(pieces) == 2:
                stop = {"duration": 61.0 - sim.time}
            pieces.append(sim.run(**stop, record=record, overwrite=recording == "file", progress=False))
            sim.save(path)
            sim = sp.Simulation.load(path, net, engine=ENGINES[(ENGINES.index(engine) + len(pieces)) % 3])
        times = np.concatenate([piece.times for piece in pieces])
        ids = np.concatenate([piece.ids for piece in pieces])
        n = whole.n_spikes
        assert n >= 20
        assert np.array_equal(times[:n], whole.times), (model, delay, source)
        assert np.array_equal(ids[:n], whole.ids)
        assert (times[n:] >= 60.0).all()


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_save_and_continue_on_random_networks(first, tmp_path):
    rng = np.random.default_rng(first)
    path = tmp_path / "state.h5"
    for seed in range(first, first + 50):
        net = random_network(seed)
        try:
            duration = net.run(longest_period(net), n_spikes=400, progress=False).t_stop
            whole = net.run(duration, progress=False)
        except (sp.errors.RunawayError, sp.errors.NumericalError):
            continue
        sim = sp.Simulation(net, engine=rng.choice(ENGINES))
        first_piece = sim.run(duration * rng.random(), n_spikes=int(rng.integers(0, 400)), progress=False)
        sim.save(path)
        sim = sp.Simulation.load(path, net, engine=rng.choice(ENGINES))
        second = sim.run(1.1 * duration - sim.time, progress=False)
        n = whole.n_spikes
        assert np.array_equal(np.concatenate([first_piece.times, second.times])[:n], whole.times), seed
        assert np.array_equal(np.concatenate([first_piece.ids, second.ids])[:n], whole.ids), seed


def test_what_a_saved_simulation_says_of_itself(tmp_path):
    net = described("LIF", "one", "poisson")
    sim = sp.Simulation(net, engine="heap", seed=3)
    res = sim.run(20.0)
    sim.save(tmp_path / "state.h5")
    again = sp.Simulation.load(tmp_path / "state.h5", net)
    assert (again.time, again.n_spikes) == (20.0, res.n_spikes)
    assert np.array_equal(again.V, sim.V, equal_nan=True)
    assert not again.is_resumable
    assert np.array_equal(again.run(20.0).times, sim.run(20.0).times)  # the seed of the run was saved too
    with pytest.raises(sp.errors.ParameterError, match="no run to resume"):
        again.resume()


def test_files_that_do_not_fit_are_refused(tmp_path):
    net = described("LIF", "one", "none")
    path = tmp_path / "state.h5"
    sp.Simulation(net).save(path)
    other = described("LIF", "one", "none")
    other.projections[0].weight = 0.1
    with pytest.raises(sp.errors.CheckpointMismatchError, match="belongs to another network"):
        sp.Simulation.load(path, other)
    with pytest.raises(sp.errors.ParameterError, match="net must be a Network"):
        sp.Simulation.load(path, None)
    with pytest.raises(sp.errors.StorageError, match="cannot read"):
        sp.Simulation.load(tmp_path / "missing.h5", net)
    with pytest.raises(sp.errors.StorageError, match="cannot write .* create it first"):
        sp.Simulation(net).save(tmp_path / "no" / "state.h5")
    net.run(1.0, record=tmp_path / "raster.h5")
    with pytest.raises(sp.errors.FileFormatError, match="not a saved state"):
        sp.Simulation.load(tmp_path / "raster.h5", net)
    with h5py.File(path, "r+") as file:
        file.attrs["sparseprop_state"] = 99
    with pytest.raises(sp.errors.CheckpointMismatchError, match="version 99"):
        sp.Simulation.load(path, net)


def files_of_all_kinds(folder, net):
    """Every kind of file that the package writes, and some that it does not; what each is said to be."""
    net.run(5.0, record=folder / "raster.h5")
    sp.Simulation(net).save(folder / "state.h5")
    trainer().save(folder / "training.h5")
    swept(folder / "sweep.csv", resume=False)
    with h5py.File(folder / "spikes.h5", "w") as file:
        file["spikes/E/timestamps"], file["spikes/E/node_ids"] = [1.0], np.array([0], np.uint64)
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = [1]
    (folder / "empty.h5").touch()
    (folder / "net.toml").write_text("seed = 1")
    return {
        "raster.h5": r"is a raster \(sp.load reads it\)",
        "state.h5": r"is the state of a simulation \(sp.Simulation.load reads it\)",
        "training.h5": r"is the state of a training \(Trainer.resume reads it\)",
        "sweep.csv": None,
        "spikes.h5": "is an HDF5 file of another program",
        "other.h5": "is an HDF5 file of another program",
        "empty.h5": None,
        "net.toml": None,
    }


def swept(path, resume):
    with ThreadPoolExecutor(1) as threads:
        grid = {"I_e": [1.5], "seed": [1]}
        return sp.sweep(sweep_builds.build, grid, duration=1.0, out=path, resume=resume, executor=threads)


def trainer():
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([], []), name="input")
    neurons = net.add(3, sp.LIFExp(tau_m=20.0, tau_syn=10.0), name="output", V=0.0)
    net.connect(source, neurons, np.full((3, 2), 3.0))
    loss = sp.training.FirstSpikeCrossEntropy("output")
    return sp.training.Trainer(net, loss, duration=10.0, batch_size=2, optimizer=sp.training.Adam())


def test_every_loader_says_what_other_files_are(tmp_path):
    net = described("LIF", "one", "none")
    kinds = files_of_all_kinds(tmp_path, net)
    loaders = {
        "sp.load": (sp.load, {"raster.h5", "spikes.h5"}),
        "raster_info": (raster.raster_info, {"raster.h5", "spikes.h5"}),
        "recover_raster": (lambda path: raster.recover_raster(path, tmp_path / "new.h5"), {"raster.h5", "spikes.h5"}),
        "replay": (lambda path: sp.SpikeSource.from_raster(path, None), {"raster.h5", "spikes.h5"}),
        "resume": (lambda path: raster.RasterWriter.resume(path, 0).close(), {"raster.h5"}),
        "Simulation.load": (lambda path: sp.Simulation.load(path, net), {"state.h5"}),
        "Trainer.resume": (lambda path: trainer().resume(path), {"training.h5"}),
        "sweep": (lambda path: swept(path, resume=True), {"sweep.csv"}),
    }
    for loader, (load, right) in loaders.items():
        for name, kind in kinds.items():
            path = tmp_path / name
            before = path.read_bytes()
            if name in right:
                load(path)
                path.write_bytes(before)
                continue
            with pytest.raises(sp.errors.FileFormatError) as error:
                load(path)
            message = str(error.value)
            assert name in message, (loader, name)
            if kind is not None and loader in ("sp.load", "raster_info", "replay", "Simulation.load", "Trainer.resume"):
                assert re.search(kind, message), (loader, name, message)
            assert path.read_bytes() == before


def test_a_checkpoint_replaces_states_only(tmp_path):
    net = described("LIF", "one", "none")
    for name, kind in files_of_all_kinds(tmp_path, net).items():
        before = (tmp_path / name).read_bytes()
        run = dict(checkpoint=tmp_path / name, every=1.0)
        if name in ("state.h5", "training.h5", "empty.h5"):
            net.run(2.0, **run)
            assert sp.Simulation.load(tmp_path / name, net).time == 2.0
            continue
        with pytest.raises(sp.errors.StorageError, match=f"it exists, and {kind or 'is no HDF5 file'}.*; delete it"):
            net.run(2.0, **run)
        assert (tmp_path / name).read_bytes() == before


def test_damage_is_noticed(tmp_path):
    net = described("Theta", "each", "poisson")
    sim = sp.Simulation(net)
    sim.run(10.0)
    path = tmp_path / "state.h5"
    sim.save(path)
    good = path.read_bytes()
    rng = np.random.default_rng(1)
    expected = sp.Simulation.load(path, net).run(10.0).times
    noticed = 0
    for _ in range(150):
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        try:
            times = sp.Simulation.load(path, net).run(10.0).times
        except (sp.errors.FileFormatError, sp.errors.StorageError):
            noticed += 1
        else:
            assert np.array_equal(times, expected)  # the bit had no meaning
    assert noticed > 20


def test_a_full_disk_leaves_the_old_state(tmp_path, monkeypatch):
    net = described("LIF", "one", "none")
    sim = sp.Simulation(net)
    path = tmp_path / "state.h5"
    sim.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sp.files.checkpoint, "_sync", full)
    sim.run(5.0)
    with pytest.raises(sp.errors.StorageError, match="No space left.*untouched"):
        sim.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["state.h5"]


@pytest.fixture
def disk(tmp_path):
    """A disk of 3 MiB; a function that makes it as large as one wants."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options, check=True):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        return subprocess.run(command, capture_output=True, text=True, check=check)

    done = mount("size=3m", check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
    yield folder, lambda size: mount(f"remount,size={size}")
    subprocess.run(["umount", folder], check=True)


def test_a_really_full_disk_leaves_the_old_state(disk):
    folder, _ = disk
    sim = sp.Simulation(sp.balanced_network(20_000, sp.LIF(tau_m=10.0), outdegree=10, seed=1))
    path = folder / "state.h5"
    sim.save(path)
    before = path.read_bytes()
    (folder / "other").write_bytes(bytes(3 * 2**20 - len(before) - len(before) // 2))
    sim.run(5.0)
    for _ in range(2):
        with pytest.raises(sp.errors.StorageError, match="what was there before is untouched"):
            sim.save(path)
    assert path.read_bytes() == before
    (folder / "other").unlink()
    sim.save(path)
    assert [entry.name for entry in folder.iterdir()] == ["state.h5"]
    assert sp.Simulation.load(path, sim.network).time == 5.0


def test_a_run_that_fills_the_disk_is_resumed_when_there_is_room(disk):
    folder, resize = disk
    net = sp.balanced_network(20_000, sp.LIF(tau_m=10.0), outdegree=10, rate=10.0, seed=1)
    state, raster = folder / "state.h5", folder / "raster.h5"
    with pytest.raises(sp.errors.StorageError, match="the disk is nearly full|No space left"):
        net.run(600.0, record=raster, checkpoint=state, every=5.0, progress=False)
    resize("60m")
    sim = sp.Simulation.load(state, net)
    assert 5.0 <= sim.time < 600.0
    result, whole = sim.resume(progress=False), net.run(600.0, progress=False)
    assert np.array_equal(result.times, whole.times) and np.array_equal(result.ids, whole.ids)


# Runs with checkpoints ----------------------------------------------------------------------------------------------

OPTIONS = dict(V={"p": [0, 5]}, V_times=0.7, bins=5.0, record_sources=True)
CURRENTS = dict(I_syn={"p": [3, 1]}, I_syn_times=1.3)


@pytest.mark.parametrize("to_file", [False, True])
@pytest.mark.parametrize("model", ["QIF", "LIFExp"])
def test_an_interrupted_run_is_resumed_as_if_nothing_had_happened(model, to_file, tmp_path, ctrl_c):
    net = described(model, "each", "poisson")
    state = tmp_path / "state.h5"
    options = OPTIONS | (CURRENTS if model == "LIFExp" else {})
    whole = net.run(80.0, record=sp.Record(**options), progress=False)
    record = sp.Record(tmp_path / "raster.h5" if to_file else None, **options)
    seen = []

    def interrupt(simulation):  # as Ctrl-C does, in the middle of the run
        seen.append(simulation.time)
        if simulation.time > 30.0:
            os.kill(os.getpid(), signal.SIGINT)

    first = net.run(80.0, record=record, checkpoint=state, every=9.0, callback=interrupt, progress=False)
    assert first.stop_reason == "interrupted" and 30.0 < first.t_stop < 80.0
    sim = sp.Simulation.load(state, net, engine="heap")
    assert sim.is_resumable
    second = sim.resume(progress=False)
    assert second.t_start == 0.0 and second.t_stop == 80.0 and second.stop_reason == "time"
    for name in ("times", "ids", "V", "V_times", "V_ids", "I_syn", "I_syn_times", "I_syn_ids"):
        np.testing.assert_array_equal(getattr(second, name), getattr(whole, name), err_msg=name)
    assert second.n_spikes == whole.n_spikes and second.n_synaptic_events == whole.n_synaptic_events
    assert all(np.array_equal(second.counts[name], whole.counts[name]) for name in whole.counts)
    if to_file:
        loaded = sp.load(tmp_path / "raster.h5")
        assert np.array_equal(loaded.times, whole.times) and np.array_equal(loaded.V, whole.V)
    assert not sp.Simulation.load(state, net).is_resumable  # it has ended


def test_a_run_from_a_checkpoint_leaves_the_run_that_made_it(tmp_path, ctrl_c):
    net = described("LIF", "one", "none")
    state = tmp_path / "state.h5"
    net.run(50.0, checkpoint=state, every=3.0, callback=lambda _: os.kill(os.getpid(), signal.SIGINT), progress=False)
    sim = sp.Simulation.load(state, net)
    sim.run(5.0)
    with pytest.raises(sp.errors.ParameterError, match="no run to resume"):
        sim.resume()  # its spikes would have a gap


def started(folder):
    """The run in a process of its own that is about to begin, or to go on."""
    process = subprocess.Popen(
        [sys.executable, long_run.__file__], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


@pytest.mark.parametrize("kills", [20, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(0)])])
def test_kill_at_any_moment(kills, tmp_path):
    """kill -9 again and again: in the end the raster is that of the undisturbed run, bit for bit, in one file.

    A run that has ended is followed by another one, until so many were hit; the first one is left in peace, to see how
    long it takes, so that each gets several kills.
    """
    rng = np.random.default_rng(kills)
    whole = long_run.network().run(600.0, record=sp.Record(V=[0], V_times=3.0), progress=False)
    hits = hits_of_this_run = runs = 0
    takes = None
    while hits < kills or hits_of_this_run:
        folder = tmp_path / str(runs)
        folder.mkdir(exist_ok=True)
        with started(folder) as process:
            began = time.perf_counter()
            if takes is not None and hits < kills:
                time.sleep(0.3 * takes * rng.random())
                process.kill()
            out, err = process.communicate()
        if process.returncode == -signal.SIGKILL:
            hits += 1
            hits_of_this_run += 1
            continue
        assert (process.returncode, out, err) == (0, "done\n", "")
        loaded = sp.load(folder / "raster.h5")
        assert np.array_equal(loaded.times, whole.times) and np.array_equal(loaded.ids, whole.ids)
        assert np.array_equal(loaded.V, whole.V)
        assert loaded.stop_reason == "time" and loaded.t_start == 0.0 and loaded.t_stop == 600.0
        takes = takes or time.perf_counter() - began
        runs, hits_of_this_run = runs + 1, 0
    assert hits == kills


def test_ctrl_c_at_200_random_moments_loses_nothing(tmp_path, monkeypatch, ctrl_c):
    """Each is a normal end, and the pieces together are the undisturbed run."""
    net = long_run.network()
    sim = sp.Simulation(net)
    times, ids, interrupts = [], [], 0
    over = threading.Event()
    # A run must not stop to listen between the moment that is chosen and the signal.
    lock = threading.RLock()
    monkeypatch.setattr(watching, "AGAIN_SECONDS", 0.0)  # or the second would end everything

    def under_lock(method):
        def locked(*arguments):
            with lock:
                return method(*arguments)

        return locked

    for name in ("_first", "__exit__"):
        monkeypatch.setattr(watching.Interrupts, name, under_lock(getattr(watching.Interrupts, name)))

    def interrupt():
        """Send a Ctrl-C at random moments, but only where a run listens."""
        rng = np.random.default_rng(4)
        while not over.is_set():
            time.sleep(0.005 * rng.random())
            with lock:
                if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
                    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    try:
        while interrupts < 200:
            record = tmp_path / "piece.h5" if interrupts % 10 == 0 else None
            piece = sim.run(1e6, record=record, overwrite=record is not None, progress=False)
            assert piece.stop_reason == "interrupted"
            interrupts += 1
            if record is not None:
                assert np.array_equal(sp.load(record).times, piece.times)
            times.append(piece.times)
            ids.append(piece.ids)
    finally:
        over.set()
        sender.join()
    whole = net.run(sim.time, progress=False)
    n = whole.n_spikes
    assert n > 1000
    assert np.array_equal(np.concatenate(times)[:n], whole.times)
    assert np.array_equal(np.concatenate(ids)[:n], whole.ids)
    assert (np.concatenate(times)[n:] == sim.time).all()  # of the last instant, which may be at that time
