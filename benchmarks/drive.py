"""How many Poisson events a core draws, and delivers.

Drawing: events of independent processes, brought into the order of time, and nothing done with them; for all neurons
of a population together, as in the window engine, or for blocks of 512, as in the lookahead engine; with one rate for
all, or one for each.

Delivery: the same with kicks of LIF neurons that seldom or never fire, in the window engine (a network without
synapses) and in the lookahead engine (on one thread), and of theta neurons.

CPU time of one core, medians over rounds in which all cases take turns.

    python benchmarks/drive.py -o drive.json
"""

import argparse
import statistics
import sys
import time

import numpy as np
from common import markdown, options_of, report_head, save

import sparseprop as sp
from sparseprop.bench._yardsticks import draw_events

QUICK = {"rounds": 1, "events": 200_000}

# Neurons, expected events in an interval, neurons of a block.
DRAWN = [(12_500, 10.0, 512), (12_500, 6.5, 512), (12_500, 10.0, 12_500), (100_000, 9.0, 100_000)]
DRAWN += [(1_000_000, 9.0, 1_000_000)]
# Model, engine, neurons, rate in Hz.
DELIVERED = [
    ("LIF", "window", 10_000, 1e3),
    ("LIF", "window", 12_500, 2e4),
    ("LIF", "window", 100_000, 1e3),
    ("theta", "window", 10_000, 1e3),
    ("LIF", "lookahead", 12_500, 2e4),
    ("LIF", "lookahead", 100_000, 1e3),
    ("theta", "lookahead", 10_000, 1e3),
]


def drawing_time(n, mean, block, each, events):
    """ns per event."""
    means = np.linspace(0.5, 1.0, n) * mean if each else np.array([mean])
    return draw_events(means, n, block, max(1, round(events / (n * mean))))[1]


def delivery_time(model, engine, n, rate, events):
    """ns per event, of kicks so small that they do not drive a neuron to threshold."""
    net = sp.Network(seed=1)
    neuron = sp.LIF(tau_m=20.0, t_ref=2.0) if model == "LIF" else sp.Theta(tau_m=10.0, I_e=-1.0)
    neurons = net.add(n, neuron, name="neurons", V=0.0 if model == "LIF" else -1.0)
    net.drive(neurons, sp.poisson(rate), weight=0.2 / (rate * 0.02))
    if engine == "lookahead":  # slices end with a delay
        net.connect(neurons, neurons, sp.edges([0], [1]), weight=0.0, delay=1.5)
    simulation = sp.Simulation(net, engine=engine, n_threads=1 if engine == "lookahead" else None)
    simulation.run(2.0, progress=False)
    before, began = simulation._engine.n_drive_events, time.process_time()
    simulation.run(max(2.0, 1e3 * events / (n * rate)), progress=False)
    return 1e9 * (time.process_time() - began) / (simulation._engine.n_drive_events - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--events", type=int, default=5_000_000, help="of each case and round (default: %(default)s)")
    options = options_of(parser, dict, QUICK)
    cases = [("drawn", *case, each) for case in DRAWN for each in (False, True)]
    cases += [("delivered", *case) for case in DELIVERED]
    taken = {case: [] for case in cases}
    for _ in range(options.rounds):
        for what, *case in cases:
            print(f"{what}: {case} ...", file=sys.stderr, flush=True)
            measure = drawing_time if what == "drawn" else delivery_time
            taken[what, *case].append(measure(*case, options.events))
    figures = {case: statistics.median(times) for case, times in taken.items()}
    report = report_head("drive", "How many Poisson events does a core draw, and deliver?", seed=1)
    report["drawn"] = [
        {"n": n, "mean": mean, "block": block, "rates": "each" if each else "one", "ns": figures["drawn", *case, each]}
        for case in DRAWN
        for n, mean, block in [case]
        for each in (False, True)
    ]
    report["delivered"] = [
        {"model": model, "engine": engine, "n": n, "rate": rate, "ns": figures["delivered", *case]}
        for case in DELIVERED
        for model, engine, n, rate in [case]
    ]
    rows = [[f"{d['n']:,}", f"{d['block']:,}", f"{d['mean']:g}", d["rates"], f"{d['ns']:.1f}", f"{1e9 / d['ns']:.3g}"]
            for d in report["drawn"]]  # fmt: skip
    print(markdown(["N", "block", "events in an interval", "rates", "ns per event", "events per second"], rows))
    rows = [[d["engine"], d["model"], f"{d['n']:,}", f"{d['rate']:g}", f"{d['ns']:.1f}", f"{1e9 / d['ns']:.3g}"]
            for d in report["delivered"]]  # fmt: skip
    print()
    print(markdown(["engine", "model", "N", "rate (Hz)", "ns per event", "events per second"], rows))
    save(report, options.out)


if __name__ == "__main__":
    main()
