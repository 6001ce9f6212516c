"""What do other simulators need for the same network, and how long do they fire the same spikes?

The paper's balanced LIF network with K = 100 in its stationary state. Every simulator gets the same synapses and the
same initial voltages, as arrays, in a process of its own, and simulates the same time:

- sparseprop, the window engine: exact, and what the others are compared with;
- Brian2 as a standalone C++ program and with its Cython run time: a grid of times, no delay;
- NEST, `iaf_psc_delta_ps`: exact spike times, but a delay and a refractory period of at least one step of its
  resolution, so that it is another network, close to ours;
- NEURON with an artificial cell of its own (`driven_lif.mod`), without delay: exact, event by event.

Each is optional and skipped with a reason. Reported are the CPU time of the run phase alone (no construction, no
compilation), all spikes recorded; the rate; the first spike that another neuron fires than in the exact run, where
spikes in one step of a grid may come in any order; and the largest error of the spike times before that one.

    python benchmarks/peers.py -o result.json
    python benchmarks/peers.py --sizes 100000 --durations 300 --peers brian2-cpp --steps 0.1 0.01
"""

import argparse
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from common import (
    Skip,
    in_process,
    markdown,
    memory,
    options_of,
    picture,
    report_head,
    run_standalone,
    save,
    skipped_without,
)

import sparseprop as sp
from sparseprop.bench.suite import settled

QUICK = {"sizes": [2000], "durations": [500.0]}
# As many as fit into the memory of the machine, and can be made from Python in a minute.
NEURON_CONNECTIONS = 20_000_000


# The simulators: each takes the case and the network's arrays, and returns spike times, ids, and CPU seconds. --------


def run_sparseprop(case, data):
    net = paper_network(case)
    simulation = sp.Simulation(net)
    if not np.array_equal(simulation.V, data["V"]):
        raise RuntimeError("the initial voltages are not those of the other simulators")
    began = time.process_time()
    result = simulation.run(case["duration"], progress=False, interrupt="raise")
    return result.times, result.ids, time.process_time() - began


def run_brian2(case, data, standalone):
    with skipped_without("brian2"):
        import brian2
    ms = brian2.ms
    with tempfile.TemporaryDirectory() as folder:
        if standalone:
            brian2.set_device("cpp_standalone", directory=folder, build_on_run=False)
        else:
            brian2.prefs.codegen.target = "cython"
        brian2.defaultclock.dt = case["step"] * ms
        group = brian2.NeuronGroup(
            case["n"],
            "dv/dt = (drive - v) / (10*ms) : 1",
            threshold="v >= 1",
            reset="v = 0",
            method="exact",
            namespace={"drive": float(data["drive"])},
        )
        group.v = data["V"]
        synapses = brian2.Synapses(group, group, on_pre="v_post += w", namespace={"w": float(data["weight"])})
        synapses.connect(i=sources(case), j=data["targets"])
        monitor = brian2.SpikeMonitor(group)
        net = brian2.Network(group, synapses, monitor)
        if standalone:
            seconds = run_standalone(brian2, net, case["duration"], folder)
        else:
            net.run(0 * ms)  # compiles
            began = time.process_time()
            net.run(case["duration"] * ms)
            seconds = time.process_time() - began
        # A spike is found at the end of the step whose beginning is its time.
        return np.asarray(monitor.t / ms) + case["step"], np.asarray(monitor.i, dtype=np.int64), seconds


def run_nest(case, data):
    with skipped_without("nest", "nest-simulator"):
        import nest
    n, step = case["n"], case["step"]
    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.resolution = step
    parameters = {"tau_m": 10.0, "C_m": 10.0, "E_L": 0.0, "V_th": 1.0, "V_reset": 0.0, "t_ref": step}
    neurons = nest.Create("iaf_psc_delta_ps", n, params=parameters | {"I_e": float(data["drive"])})
    neurons.V_m = data["V"]
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    synapse = {
        "weight": np.full(data["targets"].size, float(data["weight"])),
        "delay": np.full(data["targets"].size, step),
    }
    nest.Connect(sources(case) + 1, data["targets"].astype(np.int64) + 1, "one_to_one", synapse)
    with nest.RunManager():
        began = time.process_time()
        nest.Run(case["duration"])
        seconds = time.process_time() - began
    events = recorder.events
    return np.asarray(events["times"]), np.asarray(events["senders"], dtype=np.int64) - 1, seconds


def run_neuron(case, data):
    if case["n"] * case["outdegree"] > NEURON_CONNECTIONS:
        raise Skip(f"more than {NEURON_CONNECTIONS:,} connections, which take 440 bytes each")
    with skipped_without("neuron"):
        import neuron
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(pathlib.Path(__file__).with_name("driven_lif.mod"), folder)
        compiler = pathlib.Path(sys.executable).with_name("nrnivmodl")
        command = [str(compiler) if compiler.exists() else "nrnivmodl"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        except OSError as error:
            raise Skip(f"cannot run {command[0]}, which compiles the neuron: {error}") from error
        if done.returncode != 0:
            raise Skip(f"{command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
        neuron.load_mechanisms(folder)
    h = neuron.h
    cells = [h.DrivenLIF() for _ in range(case["n"])]
    for cell, V in zip(cells, data["V"], strict=True):
        cell.tau, cell.drive, cell.V_start = 10.0, float(data["drive"]), V
    times, ids, weight = h.Vector(), h.Vector(), float(data["weight"])
    connections = [h.NetCon(cell, None) for cell in cells]
    for i, connection in enumerate(connections):
        connection.record(times, ids, i)
    for source, target in zip(sources(case).tolist(), data["targets"].tolist(), strict=True):
        connection = h.NetCon(cells[source], cells[target])
        connection.delay, connection.weight[0] = 0.0, weight
        connections.append(connection)
    solver = h.CVode()
    solver.active(True)
    h.finitialize()
    began = time.process_time()
    solver.solve(case["duration"])
    seconds = time.process_time() - began
    return times.as_numpy().copy(), ids.as_numpy().astype(np.int64), seconds


PEERS = {
    "sparseprop": run_sparseprop,
    "brian2-cpp": lambda case, data: run_brian2(case, data, standalone=True),
    "brian2-cython": lambda case, data: run_brian2(case, data, standalone=False),
    "nest": run_nest,
    "neuron": run_neuron,
}
DISTRIBUTIONS = {"brian2-cpp": "brian2", "brian2-cython": "brian2", "nest": "nest-simulator"}


# One network ------------------------------------------------------------------------------------------------------


def paper_network(case):
    """The network in its stationary state; the same in every process."""
    model, K = sp.LIF(tau_m=10.0), case["outdegree"]
    return settled(sp.balanced_network(case["n"], model, K, rate=case["rate"], seed=case["seed"]))


def sources(case):
    """The source of every synapse."""
    return np.repeat(np.arange(case["n"]), case["outdegree"])


def run_case(case):
    """Run one simulator; its spikes go into the file that the case names."""
    data = np.load(case["network"])
    before = time.perf_counter()
    try:
        times, ids, seconds = PEERS[case["peer"]](case, data)
    except Skip as skip:
        return {**case, "skipped": str(skip)}
    order = np.argsort(times, kind="stable")
    inside = order[times[order] < case["duration"]]
    np.savez(case["spikes"], times=times[inside], ids=ids[inside])
    distribution = DISTRIBUTIONS.get(case["peer"], "sparseprop-sim")
    return {
        **case,
        "version": importlib.metadata.version(distribution),
        "cpu_seconds": seconds,
        "total_wall_seconds": time.perf_counter() - before,
        "n_spikes": int(inside.size),
        "rate_hz": 1e3 * inside.size / (case["n"] * case["duration"]),
        "us_per_spike": 1e6 * seconds / max(times.size, 1),
        "ns_per_synaptic_event": 1e9 * seconds / max(times.size * case["outdegree"], 1),
        "peak_memory_bytes": memory("VmHWM"),
        "load_average": os.getloadavg(),
    }


def compared(exact, other):
    """Where two spike trains part, and the largest difference of times before, as parts of a report.

    A spike is identified as the m-th one of its neuron. Spikes of `other` at equal times are taken in the order of the
    exact train.
    """

    def numbered(ids):
        """Which one of its neuron's spikes each spike is."""
        order = np.argsort(ids, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(ids[order]) != 0])
        number = np.empty(ids.size, np.int64)
        number[order] = np.arange(ids.size) - np.repeat(starts, np.diff(np.r_[starts, ids.size]))
        return number

    if not exact["ids"].size or not other["ids"].size:
        raise RuntimeError("there are no spikes to compare; simulate longer")
    n = int(max(exact["ids"].max(), other["ids"].max())) + 1
    keys, wanted = (numbered(train["ids"]) * n + train["ids"] for train in (exact, other))
    order = np.argsort(keys)
    found = np.minimum(np.searchsorted(keys, wanted, sorter=order), keys.size - 1)
    rank = np.where(keys[order[found]] == wanted, order[found], keys.size)
    taken = np.lexsort((rank, other["times"]))
    size = min(rank.size, keys.size)
    wrong = np.flatnonzero(rank[taken][:size] != np.arange(size))
    first = int(wrong[0]) if wrong.size else size
    errors = np.abs(other["times"][taken][:first] - exact["times"][:first])
    return {
        "same_spikes": first,
        "diverges": bool(wrong.size),
        "diverges_at_ms": float(exact["times"][first]) if wrong.size else None,
        "largest_error_us": 1e3 * float(errors.max()) if first else None,
    }


# All of them ------------------------------------------------------------------------------------------------------


def row(done, cases):
    """One row of the table."""
    start = [f"{done['n']:,}", done["peer"], done["step"] or "exact"]
    if "us_per_spike" not in done:
        return [*start, "skipped: " + (done.get("skipped") or done["error"].splitlines()[-1]), *5 * ["-"]]
    ours = [c for c in cases if c["peer"] == "sparseprop" and c["n"] == done["n"] and "us_per_spike" in c]
    ratio = done["us_per_spike"] / ours[0]["us_per_spike"] if ours else None
    compared = "same_spikes" in done
    return [
        *(*start, f"{done['us_per_spike']:.3g}", f"{done['ns_per_synaptic_event']:.3g}"),
        "-" if ratio is None else f"{ratio:.1f}",
        f"{done['rate_hz']:.4f}",
        f"{done['same_spikes']:,} of {ours[0]['n_spikes']:,}" if compared else "-",
        f"{done['largest_error_us']:.3g}" if compared and done["largest_error_us"] is not None else "-",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    parser.add_argument(
        "--durations", type=float, nargs="+", default=[3000.0, 300.0], metavar="MS", help="one per size"
    )
    parser.add_argument("--peers", nargs="+", choices=list(PEERS)[1:], default=list(PEERS)[1:])
    parser.add_argument("--steps", type=float, nargs="+", default=[0.1], metavar="MS", help="default: 0.1")
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1.0, help="in Hz, wanted; more comes out (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds per simulator (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    if len(options.durations) != len(options.sizes):
        parser.error(f"--durations needs {len(options.sizes)} times, one per size, got {len(options.durations)}")
    question = "What do other simulators need for the same network, and how exact are they?"
    report = {**report_head("peers", question, seed=options.seed), "cases": []}
    cases = report["cases"]
    with tempfile.TemporaryDirectory() as folder:
        for n, duration in zip(options.sizes, options.durations, strict=True):
            shared = {"n": n, "duration": duration, "outdegree": options.outdegree}
            shared |= {"rate": options.rate, "seed": options.seed}
            shared["network"] = os.path.join(folder, f"network_{n}.npz")
            net = paper_network(shared)
            projection, population = net.projections[0], net.populations[0]
            np.savez(
                shared["network"],
                targets=projection.adjacency.targets,
                V=sp.Simulation(net).V,
                drive=population.model.I_e,
                weight=projection.weight,
            )
            exact = os.path.join(folder, f"exact_{n}.npz")
            runs = [("sparseprop", None)]
            for peer in options.peers:
                runs += [(peer, step) for step in ([None] if peer == "neuron" else options.steps)]
            for peer, step in runs:
                print(f"N = {n:,}: {peer} ...", file=sys.stderr, flush=True)
                spikes = exact if peer == "sparseprop" else os.path.join(folder, f"{peer}_{step}_{n}.npz")
                done = in_process(__file__, {**shared, "peer": peer, "step": step, "spikes": spikes}, options.timeout)
                if spikes != exact and "us_per_spike" in done and os.path.exists(exact):
                    done |= compared(np.load(exact), np.load(spikes))
                cases.append(done)
                save(report, options.out)
    columns = ["N", "simulator", "step (ms)", "us per spike", "ns per synaptic event", "relative to sparseprop"]
    columns += ["rate (Hz)", "first spikes in the same order", "largest error before (us)"]
    print(markdown(columns, [row(done, cases) for done in cases]))
    for case in cases:
        if "error" in case:
            print(f"\n{case['peer']}, N = {case['n']}:\n{case['error']}", file=sys.stderr)
    curves = {}
    for case in cases:
        if "us_per_spike" in case:
            name = case["peer"] if case["step"] is None else f"{case['peer']}, {case['step']:g} ms"
            points = curves.setdefault(name, ([], []))
            points[0].append(case["n"])
            points[1].append(case["us_per_spike"])
    picture(options.out, {f"LIF, K = {options.outdegree}": curves}, "number of neurons N", "CPU time per spike (us)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
