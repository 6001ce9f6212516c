"""Networks of the tests of sweeps, in a module that worker processes can import."""

import os
import signal
import sys
import time
from pathlib import Path

import sparseprop as sp


def build(I_e, seed):
    net = sp.Network(seed)
    neurons = net.add(50, sp.LIF(tau_m=10.0, I_e=I_e), name="E")
    net.connect(neurons, neurons, sp.fixed_outdegree(5), weight=-0.1)
    return net


def build_slowly(I_e, seed, seconds=0.1):
    time.sleep(seconds)
    return build(I_e, seed)


def die(I_e, seed):
    """Kill the worker of one point."""
    if I_e == 2.0:
        os.kill(os.getpid(), signal.SIGKILL)
    return build_slowly(I_e, seed)


def die_once(I_e, seed, marker):
    """Kill the worker of one point, the first time it is tried."""
    if I_e == 2.0 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return build(I_e, seed)


def fail(what, seed):
    """One point for each way to fail."""
    if what == "build":
        raise ZeroDivisionError("no\nnetwork")
    if what == "exit":
        sys.exit("enough")
    if what == "nothing":
        return None
    if what == "run":
        net = sp.Network(seed)
        net.add(3, sp.LIF(tau_m=10.0, I_e=2.0), V=0.0, name="E")
        net.connect("E", "E", sp.all_to_all(), weight=5.0)
        return net
    return build({"measure": 1.5, "twice": 1.6, "list": 1.7, "pickle": 1.8}.get(what, 1.2), seed)


def measure(result):
    """The rate, and failures for some drives."""
    drive = result.header["network"]["populations"][0]["model"]["I_e"]
    if drive == 1.6:
        return {"seed": 5}
    if drive == 1.7:
        return [result.rate]
    if drive == 1.8:
        return {"function": lambda: None}
    return {"rate": result.rate, "half": 1 / (drive - 1.5)}


if __name__ == "__main__":  # the processes that tests interrupt and kill: kind of executor, file
    points = [{"I_e": 1.5, "seed": seed, "seconds": 60.0 if seed > 3 else 0.0} for seed in range(8)]
    executor = None if sys.argv[1] == "pool" else sys.argv[1]
    result = sp.sweep(build_slowly, points, duration=100.0, executor=executor, workers=2, out=sys.argv[2])
    print(len(result), result.interrupted)
