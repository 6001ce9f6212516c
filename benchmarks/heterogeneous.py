"""What do neurons of which each has its own tau_m or I_e cost, beside equal ones?

The balanced inhibitory network of the SparseProp paper (j0 = 1, tau_m = 10 ms, 1 Hz wanted), with equal neurons, and
with another value of a parameter for each neuron, up to 5 % off. In one process, after a transient, the networks take
turns of the same number of spikes. The figures are medians over the rounds, of CPU time and of the ratio within a
round, since whatever else the machine does hits all alike.

    python benchmarks/heterogeneous.py -o result.json
    python benchmarks/heterogeneous.py --sizes 10000 --models LIF Theta --rounds 15
"""

import argparse
import os
import statistics
import sys
import time

from common import MODELS, in_process, options_of, report_head, save, settle
from engine_speed import with_own

import sparseprop as sp

OWN = ("tau_m", "I_e")
OF_ALL_CASES = ("outdegree", "spikes", "rounds", "engine", "transient_seconds", "seed")
QUICK = {"sizes": [10_000], "spikes": 2000, "rounds": 5}


def simulations_of(case):
    """By name: the network with equal neurons, and with each parameter that may have a value for each neuron."""
    made = {}
    for own in ("equal", *OWN):
        net = sp.balanced_network(
            case["n"], MODELS[case["model"]](tau_m=10.0), case["outdegree"], j0=1.0, rate=1.0, seed=case["seed"]
        )
        try:
            if own != "equal":
                net = with_own(net, {**case, "own": own})
            made[own] = sp.Simulation(net, engine=case["engine"])
        except sp.errors.ParameterError:  # a table for each different I_e
            continue
        settle(made[own], 2 * case["n"], case["transient_seconds"])
    return made


def run_case(case):
    """One model and size."""
    simulations = simulations_of(case)
    rounds = [{own: turn(simulations[own], case) for own in simulations} for _ in range(case["rounds"])]
    return {
        **case,
        "ns_per_synaptic_event": {own: statistics.median(r[own] for r in rounds) for own in simulations},
        "times_equal": {own: statistics.median(r[own] / r["equal"] for r in rounds) for own in simulations},
        "rounds_done": rounds,
        "load_average": os.getloadavg(),
    }


def turn(simulation, case):
    """ns of CPU time for each synaptic event."""
    began = time.process_time()
    result = simulation.run(n_spikes=case["spikes"], progress=False, interrupt="raise")
    return 1e9 * (time.process_time() - began) / result.n_synaptic_events


HEADER = (
    "| N | model | equal (ns per synaptic event) | own tau_m | times equal | own I_e | times equal |\n| "
    + " | ".join(7 * ["---"])
    + " |"
)


def table_row(done):
    """One row of the table, in Markdown."""
    if "error" in done:
        return f"| {done['n']} | {done['model']} | failed: {done['error'].splitlines()[-1]} |"
    cells = [f"{done['n']}", done["model"], f"{done['ns_per_synaptic_event']['equal']:.3g}"]
    for own in OWN:
        there = own in done["times_equal"]
        cells += (
            [f"{done['ns_per_synaptic_event'][own]:.3g}", f"{done['times_equal'][own]:.1f}"] if there else ["-", "-"]
        )
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000], metavar="N")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--spikes", type=int, default=5000, help="of each turn (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=25, help="default: %(default)s")
    parser.add_argument("--engine", choices=["window", "heap"], default="window", help="default: %(default)s")
    parser.add_argument("--transient-seconds", type=float, default=10.0, help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "What do neurons of which each has its own tau_m or I_e cost, beside equal ones?"
    report = {**report_head("heterogeneous", question, seed=options.seed), "cases": []}
    print(HEADER, flush=True)
    for n in options.sizes:
        for model in options.models:
            case = {"n": n, "model": model} | {name: getattr(options, name) for name in OF_ALL_CASES}
            report["cases"].append(in_process(__file__, case))
            print(table_row(report["cases"][-1]), flush=True)
            save(report, options.out)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
