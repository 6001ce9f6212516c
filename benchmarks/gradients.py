"""What does the backward pass cost, beside the forward pass of each engine?

The balanced inhibitory network of the SparseProp paper with K = 100, LIF and Theta neurons. Each case has a process of
its own: after a transient the same number of spikes is run with the heap, the window, and the window with a tape; then
backward, from random derivatives of the last tenth of the spikes (older ones would be drowned by chaos), with weight
gradients and without them. CPU time; the allocation of the arrays is part of it.

    python benchmarks/gradients.py -o result.json
"""

import argparse
import json
import os
import sys
import time

import numpy as np
from common import MODELS, in_process, memory, report_head, save

import sparseprop as sp

HEADER = (
    "| N | model | heap (us per spike) | window | with a tape | backward | without weights | backward / heap "
    "| / window | without weights / window | tape (bytes per spike) | peak memory (MiB) |\n| "
    + " | ".join(12 * ["---"])
    + " |"
)


def timed(function):
    """CPU seconds of a call, and its result."""
    began = time.process_time()
    result = function()
    return time.process_time() - began, result


def run_case(case):
    """One network: all passes over the same number of spikes."""
    n, spikes = case["n"], case["spikes"]
    net = sp.balanced_network(n, MODELS[case["model"]](tau_m=10.0), case["outdegree"], seed=case["seed"])
    seconds = {}
    if not case["no_heap"]:
        heap = sp.Simulation(net, engine="heap")
        heap.run(n_spikes=min(n, 200_000), progress=False)
        few = min(spikes, 200_000)
        seconds["heap"] = timed(lambda: heap.run(n_spikes=few, progress=False))[0] * spikes / few
        del heap
    simulation = sp.Simulation(net)
    simulation.run(n_spikes=2 * n, progress=False)
    seconds["window"], _ = timed(lambda: simulation.run(n_spikes=spikes, progress=False))
    for name, weights in (("backward", True), ("without_weights", False)):
        seconds["taped"], res = timed(lambda: simulation.run(n_spikes=spikes, progress=False, tape=True))
        tape = res._tape.parts[0].nbytes
        dL = np.zeros(res.n_spikes)
        dL[-(spikes // 10) :] = np.random.default_rng(case["seed"]).normal(size=spikes // 10)
        seconds[name], grads = timed(lambda r=res, d=dL, w=weights: r.backward(d, weights=w))
    return {
        **case,
        "us_per_spike": {name: 1e6 * value / spikes for name, value in seconds.items()},
        "tape_bytes_per_spike": tape / spikes,
        "invariant_error": float(grads.invariant_error),
        "peak_memory_bytes": memory("VmHWM"),
        "load_average": os.getloadavg(),
    }


def table_row(done):
    """One row of the table, in Markdown."""
    if "error" in done:
        return f"| {done['n']} | {done['model']} | failed: {done['error'].splitlines()[-1]} |"
    us = {"heap": float("nan")} | done["us_per_spike"]
    columns = [us[name] for name in ("heap", "window", "taped", "backward", "without_weights")]
    columns += [us["backward"] / us["heap"], us["backward"] / us["window"], us["without_weights"] / us["window"]]
    figures = " | ".join(f"{value:.3g}" for value in columns)
    return (
        f"| {done['n']} | {done['model']} | {figures} | {done['tape_bytes_per_spike']:.0f} "
        f"| {done['peak_memory_bytes'] / 2**20:.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--spikes", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--no-heap", action="store_true", help="leave out the heap engine")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("-o", "--out", metavar="FILE.json", help="where the figures go")
    parser.add_argument("--case", help=argparse.SUPPRESS)  # used for the processes of the single cases
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(run_case(json.loads(options.case))))
        return 0
    question = "What does the backward pass cost, beside the forward pass?"
    report = {**report_head("gradients", question, seed=options.seed), "cases": []}
    print(HEADER, flush=True)
    for model in options.models:
        for n in options.sizes:
            case = {"n": n, "model": model}
            case |= {name: getattr(options, name) for name in ("outdegree", "spikes", "seed", "no_heap")}
            report["cases"].append(in_process(__file__, case))
            print(table_row(report["cases"][-1]), flush=True)
            save(report, options.out)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
