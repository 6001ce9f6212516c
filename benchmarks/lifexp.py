"""What do exponential synaptic currents cost, beside delta synapses?

The balanced inhibitory network of the SparseProp paper (j0 = 1, tau_m = 10 ms, 1 Hz wanted) with LIF neurons, and with
LIFExp neurons that have one, two, ... synaptic time constants: the synapses are shared evenly among the ports, and a
spike has the same area in V. In one process, after a transient of two spikes per neuron, the networks take turns of the
same number of spikes; the figure is the median over the rounds of the ratio of CPU times within a round, since whatever
else the machine does hits all alike. Then each runs with a tape and backward, in the same way, with weight gradients
and with and without those of time constants, from random derivatives of the last tenth of the spikes.

    python benchmarks/lifexp.py -o result.json
    python benchmarks/lifexp.py --sizes 10000 --rounds 5 --backward-rounds 0
"""

import argparse
import os
import statistics
import sys
import time

import numpy as np
from common import in_process, memory, options_of, report_head, save, settle

import sparseprop as sp

TAU_M = 10.0
# By name: the synaptic time constants in ms. 10.3 is one that the numerics treat as nearly tau_m.
CONTENDERS = {
    "LIF": (),
    "1 port": (5.0,),
    "2 ports": (5.0, 2.0),
    "2 ports, near": (5.0, 10.3),
    "3 ports": (5.0, 2.0, 20.0),
}
PASSES = ("taped", "backward", "backward, no tau")
QUICK = {"sizes": [10_000], "spikes": 20_000, "rounds": 3, "backward_rounds": 1}


def network(case, taus):
    """The balanced network; `taus` () for delta synapses."""
    if not taus:
        return sp.balanced_network(case["n"], sp.LIF(tau_m=TAU_M), case["outdegree"], seed=case["seed"])
    model = sp.LIFExp(tau_m=TAU_M, tau_syn=tuple(taus))
    reference = sp.balanced_network(case["n"], model, case["outdegree"], seed=case["seed"])
    if len(taus) == 1:
        return reference
    neurons, whole = reference.populations[0], reference.projections[0]
    net = sp.Network(seed=case["seed"])
    population = net.add(case["n"], neurons.model, name="neurons", V=neurons.V)
    parts = np.diff(np.linspace(0, case["outdegree"], len(taus) + 1).astype(int)).tolist()
    for port, (tau, part) in enumerate(zip(taus, parts, strict=True)):
        weight = float(whole.weight) * taus[0] / tau
        net.connect(population, population, sp.fixed_outdegree(part), weight=weight, port=port)
    return net


def run_case(case):
    """All contenders of one size."""
    simulations = {}
    for name in case["contenders"]:
        simulations[name] = sp.Simulation(network(case, CONTENDERS[name]), engine=case["engine"])
        settle(simulations[name], 2 * case["n"], case["transient_seconds"])
    turns = list(simulations.items())
    rounds = [{name: forward(simulation, case) for name, simulation in turns} for _ in range(case["rounds"])]
    backward = [
        {name: there_and_back(simulation, case, k) for name, simulation in turns}
        for k in range(case["backward_rounds"])
    ]
    return {
        **case,
        "ns_per_synaptic_event": {name: median(r[name] for r in rounds) for name in simulations},
        "times_LIF": {name: median(r[name] / r["LIF"] for r in rounds) for name in simulations},
        "rounds": rounds,
        "backward_ns_per_synaptic_event": {
            name: {step: median(r[name][step] for r in backward) for step in PASSES} for name in simulations
        },
        "backward_times_LIF": {
            name: {step: median(r[name][step] / r["LIF"][step] for r in backward) for step in PASSES}
            for name in simulations
        },
        "backward_rounds_done": backward,
        "peak_memory_bytes": memory("VmHWM"),
        "load_average": os.getloadavg(),
    }


def median(values):
    """NaN without values."""
    values = list(values)
    return statistics.median(values) if values else float("nan")


def forward(simulation, case):
    """ns of CPU time for each synaptic event."""
    began = time.process_time()
    result = simulation.run(n_spikes=case["spikes"], progress=False, interrupt="raise")
    return 1e9 * (time.process_time() - began) / result.n_synaptic_events


def there_and_back(simulation, case, k):
    """The same for a run with a tape, and for backward passes over it."""
    done = {}
    for step, tau_m in (("backward", True), ("backward, no tau", False)):
        began = time.process_time()
        result = simulation.run(n_spikes=case["spikes"], progress=False, interrupt="raise", tape=True)
        middle = time.process_time()
        dL = np.zeros(result.n_spikes)
        last = max(case["spikes"] // 10, 1)
        dL[-last:] = np.random.default_rng([case["seed"], k]).normal(size=last)
        start = time.process_time()
        result.backward(dL, tau_m=tau_m)
        done[step] = 1e9 * (time.process_time() - start) / result.n_synaptic_events
        done["taped"] = 1e9 * (middle - began) / result.n_synaptic_events
    return done


HEADER = (
    "| N | K | neurons | ns per synaptic event | times LIF | with a tape | backward | times LIF "
    "| backward without time constants | times LIF |\n| " + " | ".join(10 * ["---"]) + " |"
)


def table_rows(done):
    """Rows of the table, in Markdown."""
    if "error" in done:
        return [f"| {done['n']} | {done['outdegree']} | failed: {done['error'].splitlines()[-1]} |"]
    rows = []
    for name in done["contenders"]:
        back, times = done["backward_ns_per_synaptic_event"][name], done["backward_times_LIF"][name]
        rows.append(
            f"| {done['n']} | {done['outdegree']} | {name} | {done['ns_per_synaptic_event'][name]:.3g} "
            f"| {done['times_LIF'][name]:.2f} | {back['taped']:.3g} | {back['backward']:.3g} "
            f"| {times['backward']:.2f} | {back['backward, no tau']:.3g} | {times['backward, no tau']:.2f} |"
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--spikes", type=int, default=100_000, help="of each turn (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--backward-rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS), help="LIF is always one"
    )
    parser.add_argument("--engine", choices=["window", "heap"], default="window", help="default: %(default)s")
    parser.add_argument("--transient-seconds", type=float, default=20.0, help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "What do exponential synaptic currents cost, beside delta synapses?"
    report = {**report_head("lifexp", question, seed=options.seed), "cases": []}
    print(HEADER, flush=True)
    for n in options.sizes:
        names = ("outdegree", "spikes", "rounds", "backward_rounds", "engine", "transient_seconds", "seed")
        case = {"n": n, "contenders": list(dict.fromkeys(["LIF", *options.contenders]))}
        report["cases"].append(in_process(__file__, case | {name: getattr(options, name) for name in names}))
        print("\n".join(table_rows(report["cases"][-1])), flush=True)
        save(report, options.out)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
