"""What do a spike and a synaptic event cost, and how much memory does a network take?

The balanced inhibitory network of the SparseProp paper (j0 = 1, 1 Hz wanted, tau_m = 10 ms) with a fixed out-degree,
LIF, Theta and LIFExp (tau_syn = tau_m / 2) neurons, for several sizes and engines. Each case has a process of its own,
so that its peak memory is its own, and does this:

1. build the network and the simulation (timed together);
2. a transient that is not timed: two spikes per neuron, or fewer if `--transient-seconds` of CPU time pass first;
3. `--repeats` times: go on for `--spikes` spikes, recorded in memory, and take the CPU time of the process and the
   wall time.

The figure to compare is the CPU time. Wall time suffers from whatever else the machine does.

    python benchmarks/engine_speed.py -o result.json
    python benchmarks/engine_speed.py --sizes 1000 10000 --spikes 100000 --engines heap --repeats 5
    python benchmarks/engine_speed.py --sizes 10000 --models LIF Theta --engines window --own tau_m
"""

import argparse
import dataclasses
import os
import statistics
import sys
import time

import numpy as np
from common import MODELS, in_process, memory, options_of, picture, report_head, save, settle

import sparseprop as sp
from sparseprop.simulation import ENGINES

TRANSIENT_SPIKES_PER_NEURON = 2
OF_ALL_CASES = ("outdegree", "own", "rate", "seed", "spikes", "repeats", "transient_seconds")
QUICK = {"sizes": [1000, 10_000, 100_000], "spikes": 50_000, "transient_seconds": 3.0}


# One case, in a process of its own --------------------------------------------------------------------------------


def run_case(case):
    """Build, settle and time one network; `case` is what :func:`main` puts together."""
    before = memory("VmRSS")
    began = time.process_time(), time.perf_counter()
    net = sp.balanced_network(
        case["n"], MODELS[case["model"]](tau_m=10.0), case["outdegree"], j0=1.0, rate=case["rate"], seed=case["seed"]
    )
    if case["own"]:
        net = with_own(net, case)
    simulation = sp.Simulation(net, engine=case["engine"])
    construction = time.process_time() - began[0], time.perf_counter() - began[1]

    transient = settle(simulation, TRANSIENT_SPIKES_PER_NEURON * case["n"], case["transient_seconds"])

    repeats = []
    for _ in range(case["repeats"]):
        began = time.process_time(), time.perf_counter()
        result = simulation.run(n_spikes=case["spikes"], progress=False, interrupt="raise")
        cpu, wall = time.process_time() - began[0], time.perf_counter() - began[1]
        if result.stop_reason != sp.StopReason.SPIKES:
            raise RuntimeError(f"the run ended early: {result.stop_reason}")
        repeats.append(
            {
                "cpu_seconds": cpu,
                "wall_seconds": wall,
                "n_spikes": result.n_spikes,
                "n_synaptic_events": result.n_synaptic_events,
                "simulated_ms": result.duration,
                "rate_hz": result.rate,
                "us_per_spike": 1e6 * cpu / result.n_spikes,
                "ns_per_synaptic_event": 1e9 * cpu / result.n_synaptic_events,
            }
        )
    return {
        **case,
        "construction_cpu_seconds": construction[0],
        "construction_wall_seconds": construction[1],
        "transient": transient,
        "repeats": repeats,
        "us_per_spike": summary(repeats, "us_per_spike"),
        "ns_per_synaptic_event": summary(repeats, "ns_per_synaptic_event"),
        "wall_us_per_spike": summary([{"w": 1e6 * r["wall_seconds"] / r["n_spikes"]} for r in repeats], "w"),
        "rate_hz": sum(r["n_spikes"] for r in repeats) / case["n"] / sum(r["simulated_ms"] for r in repeats) * 1e3,
        "peak_memory_bytes": memory("VmHWM"),
        "memory_before_bytes": before,
        "estimated_memory_bytes": net.estimate_memory(),
        "load_average": os.getloadavg(),
    }


def with_own(net, case):
    """The network with another value of a parameter for each neuron, up to 5 % off."""
    population, projection = net.populations[0], net.projections[0]
    values = getattr(population.model, case["own"]) * np.random.default_rng(case["seed"]).uniform(0.95, 1.05, case["n"])
    other = sp.Network(seed=case["seed"])
    neurons = other.add(case["n"], dataclasses.replace(population.model, **{case["own"]: values}), V=population.V)
    other.connect(neurons, neurons, sp.fixed_outdegree(case["outdegree"]), weight=projection.weight)
    return other


def summary(repeats, name):
    """Median and best of the repeats."""
    values = [repeat[name] for repeat in repeats]
    return {"median": statistics.median(values), "best": min(values)}


# All of them ------------------------------------------------------------------------------------------------------


HEADER = (
    "| N | model | engine | us per spike, median (best) | ns per synaptic event | wall / CPU | rate (Hz) | "
    "spikes per neuron before | construction (s) | peak memory (MiB) |\n| " + " | ".join(10 * ["---"]) + " |"
)


def table_row(done):
    """One row of the table, in Markdown."""
    if "error" in done:
        return f"| {done['n']} | {done['model']} | {done['engine']} | failed: {done['error'].splitlines()[-1]} |"
    spike, event = done["us_per_spike"], done["ns_per_synaptic_event"]
    before = done["transient"]["spikes"] / done["n"]
    return (
        f"| {done['n']} | {done['model']} | {done['engine']} | {spike['median']:.3g} ({spike['best']:.3g}) "
        f"| {event['median']:.3g} ({event['best']:.3g}) | {done['wall_us_per_spike']['median'] / spike['median']:.2f} "
        f"| {done['rate_hz']:.3f} | {before:.2g} | {done['construction_cpu_seconds']:.2f} "
        f"| {done['peak_memory_bytes'] / 2**20:.0f} |"
    )


def draw(report, path):
    """Costs over N, one panel per model."""
    panels = {}
    for case in report["cases"]:
        if "error" not in case:
            curves = panels.setdefault(f"{case['model']}, K = {case['outdegree']}", {})
            sizes, costs = curves.setdefault(case["engine"], ([], []))
            sizes.append(case["n"])
            costs.append(case["ns_per_synaptic_event"]["median"])
    picture(path, panels, "number of neurons N", "CPU time per synaptic event (ns)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--spikes", type=int, default=200_000, help="of each repeat (default: %(default)s)")
    parser.add_argument(
        "--engines",
        nargs="+",
        choices=[name for name in ENGINES if name != "lookahead"],  # which needs delays
        default=[name for name in ENGINES if name not in ("reference", "lookahead")],
        help="default: all compiled ones",
    )
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--own", choices=("tau_m", "I_e"), help="a parameter of which each neuron gets another value")
    parser.add_argument("--rate", type=float, default=1.0, help="in Hz, wanted; more comes out (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--transient-seconds", type=float, default=10.0, help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--plot", action="store_true", help="also draw FILE.png (needs matplotlib)")
    options = options_of(parser, run_case, QUICK)

    question = "What do a spike and a synaptic event of the paper's balanced network cost?"
    report = {**report_head("engine_speed", question, seed=options.seed), "cases": []}
    print(HEADER, flush=True)
    for model in options.models:
        for engine in options.engines:
            for n in options.sizes:
                case = {"n": n, "model": model, "engine": engine}
                case |= {name: getattr(options, name) for name in OF_ALL_CASES}
                report["cases"].append(in_process(__file__, case))
                print(table_row(report["cases"][-1]), flush=True)
                save(report, options.out)  # also after each case, in case a later one takes too long
    if options.plot:
        draw(report, options.out)
    failed = [case for case in report["cases"] if "error" in case]
    for case in failed:
        print(f"\n{case['model']}, N = {case['n']}, {case['engine']}:\n{case['error']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
