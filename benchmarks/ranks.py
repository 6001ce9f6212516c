"""What do several MPI ranks gain: time, memory and communication of one network on more and more of them?

LIF neurons, four fifths of them excitatory, K = 100 inputs each, inhibition six times as strong; one delay of 1.5 ms,
or one for each synapse, uniform in 0.5 to 2.5 ms. Strong scaling: one network on 1, 2... ranks, in turns.
Each run begins its own `mpirun`; the first rank tells what all of them measured: wall time of the run, CPU time of each
rank, and how much of the wall time the slowest rank spent in exchanges of spikes (which for the others includes that
they wait for it). The spikes must be the same.

    pip install ".[mpi]"
    python benchmarks/ranks.py --ranks 1 2 4 -o ranks.json
    python benchmarks/ranks.py --model ranks.json    # what more ranks would do, from what was measured
    python benchmarks/ranks.py --sizes 100000 --ranks 1 2 4 --rounds 1
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np
from common import markdown, memory, options_of, report_head, save

import sparseprop as sp

QUICK = {"sizes": [20_000], "rounds": 1, "duration": 50.0}
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none", "-x", "OMP_NUM_THREADS"]


def network(case, comm=None):
    """Excitatory and inhibitory neurons."""
    n, K = case["n"], case["indegree"]
    net = sp.Network(seed=case["seed"], comm=comm)
    model = sp.LIF(tau_m=10.0, I_e=1.0 + 4e-3 * math.sqrt(K))
    E = net.add(n - n // 5, model, name="E", V=sp.uniform_phase())
    I = net.add(n // 5, model, name="I", V=sp.uniform_phase())
    delay = 1.5 if case["delays"] == "one" else sp.uniform(0.5, 2.5)
    for pre, weight in ((E, 0.1), (I, -0.6)):
        k = 4 * K // 5 if pre is E else K // 5
        for post in (E, I):
            net.connect(pre, post, sp.fixed_indegree(k), weight=weight / math.sqrt(K), delay=delay)
    return net


def on_rank(case):
    """What this rank measured, and those that all of them did on the first one."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    exchange = {"seconds": 0.0, "calls": 0, "bytes": 0}
    began = time.perf_counter()
    net = network(case, comm)
    simulation = sp.Simulation(net, engine="lookahead", n_threads=case["threads"])
    construction = time.perf_counter() - began
    simulation.run(case["transient"], progress=False)
    if simulation._ranks is not None:
        watch(simulation._ranks, exchange)
    comm.Barrier()
    began = time.perf_counter(), time.process_time()
    result = simulation.run(case["duration"], progress=False)
    comm.Barrier()
    mine = {
        "wall_seconds": time.perf_counter() - began[0],
        "cpu_seconds": time.process_time() - began[1],
        "construction_seconds": construction,
        "peak_memory_bytes": memory("VmHWM"),
        "exchange": exchange,
    }
    every = comm.gather(mine)
    if comm.Get_rank() == 0:
        spikes = hashlib.sha256(result.times.tobytes() + result.ids.tobytes()).hexdigest()
        counts = {name: getattr(result, name) for name in ("n_spikes", "n_synaptic_events", "rate")}
        print(json.dumps({"ranks": every, "spikes": spikes, **counts}))


def watch(ranks, seen):
    """Measure what the exchanges of a Ranks take from now on."""
    gather = ranks.gather

    def watched(payload):
        began = time.perf_counter()
        parts = gather(payload)
        seen["seconds"] += time.perf_counter() - began
        seen["calls"] += 1
        seen["bytes"] += sum(map(len, parts))
        return parts

    ranks.gather = watched


def on_ranks(case):
    """The figures of one case, from `mpirun`."""
    command = [*MPIRUN, "-n", str(case["ranks"]), sys.executable, __file__, "--on-rank", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=case["timeout"])
    if done.returncode:
        return {**case, "error": done.stderr.strip()[-2000:]}
    told = json.loads(done.stdout.splitlines()[-1])
    every = told.pop("ranks")
    slowest = min(each["exchange"]["seconds"] for each in every)
    return {
        **case,
        **told,
        "wall_seconds": max(each["wall_seconds"] for each in every),
        "cpu_seconds": sum(each["cpu_seconds"] for each in every),
        "construction_seconds": max(each["construction_seconds"] for each in every),
        "peak_memory_bytes": [each["peak_memory_bytes"] for each in every],
        "exchange_seconds": slowest,
        "exchanges": every[0]["exchange"]["calls"],
        "exchanged_bytes": every[0]["exchange"]["bytes"],
        "load_average": os.getloadavg(),
    }


def row(cases, one):
    """A row of the table, of all rounds of a case."""
    if any("error" in case for case in cases):
        return [f"{cases[0]['n']:,}", cases[0]["delays"], cases[0]["ranks"], cases[0]["threads"], "failed", *5 * ["-"]]
    case = cases[0]
    wall = statistics.median(each["wall_seconds"] for each in cases)
    exchange = statistics.median(each["exchange_seconds"] for each in cases)
    return [
        f"{case['n']:,}",
        case["delays"],
        case["ranks"],
        case["threads"],
        f"{wall:.3g}",
        "-" if one is None else f"{one / wall:.2f}",
        f"{100.0 * exchange / wall:.2g}",
        f"{1e6 * exchange / max(case['exchanges'], 1):.3g}",
        f"{statistics.median(each['construction_seconds'] for each in cases):.3g}",
        f"{max(case['peak_memory_bytes']) / 2**20:,.0f}",
    ]


# What a network between machines takes: the time of a message and of a byte, of an InfiniBand of 100 Gbit/s.
LATENCY, BYTE = 2e-6, 8e-11
SPIKE_BYTES = 16
FEW = 1e6  # neurons


def costs(cases):
    """CPU seconds of an event, which ranks share, and of a spike on each rank, by least squares over their numbers."""
    ranks = np.array([case["ranks"] for case in cases])
    work = np.array([case["cpu_seconds"] - case["ranks"] * case["exchange_seconds"] for case in cases])
    (shared, each), *_ = np.linalg.lstsq(np.stack([np.ones(len(ranks)), ranks], axis=1), work, rcond=None)
    return shared / cases[0]["n_synaptic_events"], each / cases[0]["n_spikes"]


def modelled(cost, n, indegree, rate, slices, ranks):
    """Seconds per second of the network, of a rank's own events, of all spikes, and of exchanges."""
    spikes = n * rate
    events = cost[0] * spikes * indegree / ranks
    exchange = slices * LATENCY * math.ceil(math.log2(ranks)) if ranks > 1 else 0.0
    exchange += BYTE * SPIKE_BYTES * spikes * (ranks - 1) / ranks
    return events, cost[1] * spikes if ranks > 1 else 0.0, exchange


def model(path):
    """What 10, 100, 1000 ranks would do, from the costs that were measured."""
    report = json.loads(pathlib.Path(path).read_text())
    done = [case for case in report["cases"] if "error" not in case]
    for delays in dict.fromkeys(case["delays"] for case in done):
        n = max(case["n"] for case in done if case["delays"] == delays)
        cases = [case for case in done if (case["n"], case["delays"]) == (n, delays)]
        cost, first = costs(cases), cases[0]
        smallest = 1.5 if delays == "one" else 0.5
        print(
            f"\n{n:,} neurons, delays: {delays}. {1e9 * cost[0]:.0f} ns an event, "
            f"{1e9 * cost[1]:.0f} ns a spike and rank"
        )
        rows = []
        for scaling, size in (("strong", lambda ranks: FEW), ("weak", lambda ranks: FEW * ranks)):
            for ranks in (1, 10, 100, 1000):
                parts = modelled(cost, size(ranks), first["indegree"], 10.0, 1000.0 / smallest, ranks)
                rows.append(
                    [scaling, f"{size(ranks):.0e}", ranks, *(f"{part:.2g}" for part in parts), f"{sum(parts):.3g}"]
                )
        columns = ["scaling", "N at 10 Hz", "ranks", "events (s/s)", "all spikes (s/s)", "exchange (s/s)", "sum (s/s)"]
        print(markdown(columns, rows))


def main():
    if sys.argv[1:2] == ["--on-rank"]:
        on_rank(json.loads(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="default: %(default)s")
    parser.add_argument("--delays", choices=["one", "each"], nargs="+", default=["one", "each"])
    parser.add_argument("--threads", type=int, default=1, help="of each rank (default: %(default)s)")
    parser.add_argument("--indegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=200.0, help="ms that are timed (default: %(default)s)")
    parser.add_argument("--transient", type=float, default=50.0, help="ms before them (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of all cases in turns (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=1200.0, help="seconds per case (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--model", metavar="FILE.json", help="no runs: what follows from a report")
    options = options_of(parser, on_ranks, QUICK)
    if options.model is not None:
        model(options.model)
        return 0
    if shutil.which("mpirun") is None:
        print('benchmarks/ranks.py needs mpirun and mpi4py: pip install ".[mpi]"', file=sys.stderr)
        return 1
    report = {**report_head("ranks", "What do several MPI ranks gain?", seed=options.seed), "cases": []}
    names = ("threads", "indegree", "duration", "transient", "timeout", "seed")
    cases = [
        {"n": n, "delays": delays, "ranks": ranks} | {name: getattr(options, name) for name in names}
        for n in options.sizes
        for delays in options.delays
        for ranks in options.ranks
    ]
    for round in range(options.rounds):
        for case in cases:
            print(
                f"round {round + 1}: {case['n']:,} neurons, {case['delays']}, {case['ranks']} ranks ...",
                file=sys.stderr,
                flush=True,
            )
            report["cases"].append(on_ranks(case))
            save(report, options.out)
    rows, ones = [], {}
    for case in cases:
        same = {name: case[name] for name in ("n", "delays", "ranks")}
        done = [each for each in report["cases"] if same.items() <= each.items()]
        which = case["n"], case["delays"]
        if case["ranks"] == 1 and not any("error" in each for each in done):
            ones[which] = statistics.median(each["wall_seconds"] for each in done)
        rows.append(row(done, ones.get(which)))
    columns = ["N", "delays", "ranks", "threads each", "wall (s)", "times one rank", "exchanges (% of wall)"]
    columns += ["one exchange (microseconds)", "construction (s)", "peak memory of a rank (MiB)"]
    print(markdown(columns, rows))
    for n, delays in {(case["n"], case["delays"]) for case in cases}:
        spikes = {each.get("spikes") for each in report["cases"] if (each["n"], each["delays"]) == (n, delays)}
        if len(spikes) != 1 or None in spikes:
            print(f"{n:,} neurons, {delays}: not the same spikes on all ranks: {spikes}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
