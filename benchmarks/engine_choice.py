"""Which engine is faster for networks with delays, and is it the one that is chosen?

Random networks of N neurons with K synapses each, over models, sizes, delays and input: balanced and inhibitory,
without noise, at some rate; or in a Poisson drive strong enough to make them fire. Each is run for the same time by the
window engine and by the lookahead engine on one thread, in turns within one process; reported are CPU seconds per
second of network time (medians), their ratio, and what `sp.Simulation(net)` takes.

    python benchmarks/engine_choice.py -o engine_choice.json
    python benchmarks/engine_choice.py --sizes 1000 --outdegrees 100 --models Theta
"""

import argparse
import statistics
import sys
import time

from common import in_process, markdown, options_of, report_head, save

import sparseprop as sp

QUICK = {"sizes": [1000], "outdegrees": [50], "events": 2e5, "rounds": 1}
MODELS = {
    "LIF": lambda: sp.LIF(tau_m=10.0),
    "Theta": lambda: sp.Theta(tau_m=10.0),
    "LIFExp": lambda: sp.LIFExp(tau_m=10.0, tau_syn=5.0),
    "EIF": lambda: sp.EIF(tau_m=10.0),
}
DELAYS = {
    "1.5": lambda: 1.5,
    "0.1": lambda: 0.1,
    "0.5 to 2.5": lambda: sp.uniform(0.5, 2.5),
    "0.1 to 2.5": lambda: sp.uniform(0.1, 2.5),
}
INPUTS = ("none", "drive")
ENGINES = ("window", "lookahead")
RATE = 10.0  # Hz, about


def network(case):
    """A network of a case."""
    n, K, delay = case["n"], case["outdegree"], DELAYS[case["delays"]]()
    if case["input"] == "none":
        plain = sp.balanced_network(n, MODELS[case["model"]](), K, rate=RATE, seed=case["seed"])
        model, weight = plain.populations[0].model, plain.projections[0].weight
    else:
        model, weight = sp.LIF(tau_m=10.0), -2.0 / K
    net = sp.Network(seed=case["seed"])
    neurons = net.add(n, model, name="neurons")
    net.connect(neurons, neurons, sp.fixed_outdegree(K), weight=weight, delay=delay)
    if case["input"] == "drive":
        net.drive(neurons, sp.poisson(8000.0), weight=0.02)
    return net


def run_case(case):
    """Both engines in turns."""
    net = network(case)
    chosen = sp.Simulation(net).engine
    simulations = {name: sp.Simulation(net, engine=name, n_threads=1) for name in ENGINES}
    # The same piece of time for all: as long as takes some number of events, after a while that is not timed.
    first = simulations["window"].run(20.0, progress=False)
    simulations["lookahead"].run(20.0, progress=False)
    piece = 20.0 * case["events"] / max(first.n_spikes * case["outdegree"] + 8.0 * 20.0 * case["n"], 1.0)
    piece = min(max(piece, 1.0), 1000.0)
    seconds = {name: [] for name in ENGINES}
    for _ in range(case["rounds"]):
        for name, simulation in simulations.items():
            began = time.process_time()
            spikes = simulation.run(piece, progress=False, interrupt="raise").n_spikes
            seconds[name].append(time.process_time() - began)
    cost = {name: 1e3 * statistics.median(values) / piece for name, values in seconds.items()}
    return {
        **case,
        "chosen": chosen,
        "rate_hz": 1e3 * spikes / piece / case["n"],
        "cpu_s_per_s": cost,
        "ratio": cost["window"] / cost["lookahead"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["LIF"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 1000, 10_000, 100_000], metavar="N")
    parser.add_argument("--outdegrees", nargs="+", type=int, default=[10, 100, 1000], metavar="K")
    parser.add_argument("--delays", nargs="+", choices=DELAYS, default=["1.5", "0.5 to 2.5"])
    parser.add_argument("--input", nargs="+", choices=INPUTS, default=list(INPUTS))
    parser.add_argument("--events", type=float, default=1e7, help="synaptic and input events of a piece, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = options_of(parser, run_case, QUICK)
    cases = [
        {"model": model, "n": n, "outdegree": K, "delays": delays, "input": given}
        for model in options.models
        for given in (options.input if model == "LIF" else ["none"])
        for delays in options.delays
        for n in options.sizes
        for K in options.outdegrees
        if n > K
    ]
    runs = []
    for case in cases:
        more = {"events": options.events, "rounds": options.rounds, "seed": options.seed}
        runs.append(in_process(__file__, case | more))
        print(f"{case}: {runs[-1].get('error') or runs[-1]['ratio']}", file=sys.stderr, flush=True)
    print(
        markdown(
            ["model", "input", "delays (ms)", "N", "K", "rate (Hz)", "window", "lookahead", "ratio", "chosen"],
            [
                [
                    *(str(run[name]) for name in ("model", "input", "delays", "n", "outdegree")),
                    f"{run['rate_hz']:.1f}",
                    *(f"{run['cpu_s_per_s'][name]:.3g}" for name in ENGINES),
                    f"{run['ratio']:.2f}",
                    run["chosen"],
                ]
                for run in runs
                if "ratio" in run
            ],
        )
    )
    if options.out:
        question = "Which engine is faster for networks with delays?"
        save({**report_head("engine_choice", question), "runs": runs}, options.out)


if __name__ == "__main__":
    main()
