"""What tests/test_ranks.py runs on several ranks of MPI; the first one prints JSON.

mpirun -n 3 python tests/ranks_script.py fingerprints THREADS | run RASTER | killed FOLDER | resumed FOLDER | failed
"""

import hashlib
import json
import os
import pathlib
import signal
import sys

from mpi4py import MPI
from random_networks import longest_period, random_network
from test_ranks import build

import sparseprop as sp

WORLD = MPI.COMM_WORLD
DURATION, EVERY = 60.0, 5.0


def digest(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def fingerprints(threads):
    """Of spikes and final states of networks with everything, which every rank must have alike."""
    found = {}
    for seed in range(24):
        net = random_network(seed, delayed=True)
        sim = sp.Simulation(net, engine="lookahead", n_threads=int(threads), comm=WORLD)
        try:
            res = sim.run(longest_period(net), n_spikes=1500, progress=False)
        except (sp.errors.RunawayError, sp.errors.NumericalError) as error:
            found[seed] = str(error)
            continue
        found[seed] = digest(res.times, res.ids, sim.V)
    res = build(WORLD).run(100.0, n_threads=int(threads), progress=False)
    found["shared"] = digest(res.times, res.ids)
    alike = WORLD.allgather(found)
    assert all(each == found for each in alike)
    return {"ranks": WORLD.Get_size()} | {str(name): value for name, value in found.items()}


def told(res):
    return {"n_spikes": res.n_spikes, "spikes": digest(res.times, res.ids), "t_stop": res.t_stop}


def run(path):
    """An undisturbed run."""
    return told(build(WORLD).run(DURATION, record=path, progress=False))


def killed(folder):
    """A run during which one rank is killed after some checkpoints."""
    folder = pathlib.Path(folder)
    sim = sp.Simulation(build(WORLD))
    record, checkpoint = sp.Record(folder / "raster.h5", V=[0], V_times=1.0), folder / "checkpoint.h5"
    voltages = sim._engine.voltages

    def watched(*arguments):  # called for each sample of V
        if WORLD.Get_rank() == 1 and sim.time > 0.6 * DURATION:
            os.kill(os.getpid(), signal.SIGKILL)
        return voltages(*arguments)

    sim._engine.voltages = watched
    sim.run(DURATION, record=record, checkpoint=checkpoint, every=EVERY, progress=False)
    return {"ended": "as if nothing had happened"}


def resumed(folder):
    folder = pathlib.Path(folder)
    sim = sp.Simulation.load(folder / "checkpoint.h5", build(WORLD))
    assert 0.0 < sim.time <= 0.65 * DURATION, sim.time
    sim.resume(progress=False)
    return told(sp.load(folder / "raster.h5"))


def failed():
    """An error that nobody catches, on one rank, outside of what is done together."""
    net = build(WORLD)
    if WORLD.Get_rank() == 2:
        raise ZeroDivisionError("of rank 2")
    return told(net.run(DURATION, progress=False))


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    outcome = globals()[name](*arguments)
    if WORLD.Get_rank() == 0:
        print(json.dumps(outcome))
