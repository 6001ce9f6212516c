"""How large can a network be: memory and cost per synaptic event up to a hundred million neurons?

The paper's balanced LIF network with K = 100, of the sizes that fit into the memory, with stored rows and with rows
that are drawn anew at each spike (`fixed_outdegree(100, procedural=True)`). Each case has a process of its own, so
that its peak memory is its own. A transient of a number of spikes per neuron is followed by the timed spikes; the
initial states are uniform in phase, so that a short transient distorts the cost only little.

    python benchmarks/large.py -o result.json
    python benchmarks/large.py --sizes 1000000 100000000 --rows procedural
"""

import argparse
import math
import os
import sys
import time

from common import in_process, markdown, memory, options_of, picture, report_head, save, settle

import sparseprop as sp
from sparseprop._machine import available_memory

QUICK = {"sizes": [10**4, 10**5, 10**6], "spikes": 200_000, "transient_seconds": 10.0}
BYTES_PER_NEURON = {"stored": 4, "procedural": 0}  # and target


def network(case):
    """The balanced network, with rows that are stored or not."""
    K = case["outdegree"]
    model = sp.LIF(tau_m=10.0, I_e=1.0 + 10.0e-3 * math.sqrt(K))
    net = sp.Network(seed=case["seed"])
    neurons = net.add(case["n"], model, name="neurons", V=sp.uniform_phase())
    rule = sp.fixed_outdegree(K, procedural=case["rows"] == "procedural")
    net.connect(neurons, neurons, rule, weight=-1.0 / math.sqrt(K))
    return net


def run_case(case):
    """Build, settle and time one network; `case` is what :func:`main` puts together."""
    needed = case["n"] * (18 + case["outdegree"] * BYTES_PER_NEURON[case["rows"]])
    if needed > available_memory():
        return {**case, "skipped": f"needs about {needed / 2**30:.0f} GiB, more than is free"}
    before = memory("VmRSS")
    began = time.process_time()
    try:
        net = network(case)
    except sp.errors.ConnectivityError:
        raise
    except sp.errors.ParameterError as error:
        return {**case, "skipped": str(error)}
    simulation = sp.Simulation(net)
    construction = time.process_time() - began
    transient = settle(simulation, int(case["transient"] * case["n"]), case["transient_seconds"])
    began = time.process_time(), time.perf_counter()
    result = simulation.run(n_spikes=case["spikes"], progress=False, interrupt="raise")
    cpu, wall = time.process_time() - began[0], time.perf_counter() - began[1]
    return {
        **case,
        "construction_cpu_seconds": construction,
        "transient": transient,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "n_spikes": result.n_spikes,
        "simulated_ms": result.duration,
        "rate_hz": result.rate,
        "ns_per_synaptic_event": 1e9 * cpu / result.n_synaptic_events,
        "peak_memory_bytes": memory("VmHWM"),
        "memory_before_bytes": before,
        "load_average": os.getloadavg(),
    }


def row(done, cases):
    """One row of the table."""
    start = [f"{done['n']:,}", done["rows"]]
    if "ns_per_synaptic_event" not in done:
        reason = done.get("skipped") or done["error"].splitlines()[-1]
        return [*start, f"skipped: {reason}", *5 * ["-"]]
    cost, million = done["ns_per_synaptic_event"], None
    for case in cases:
        if case["n"] == 1_000_000 and case["rows"] == done["rows"]:
            million = case.get("ns_per_synaptic_event")
    return [
        *start,
        f"{cost:.3g}",
        "-" if million is None else f"{cost / million:.2f}",
        f"{done['rate_hz']:.3g}",
        f"{done['transient']['spikes'] / done['n']:.2g}",
        f"{done['construction_cpu_seconds']:.3g}",
        f"{done['peak_memory_bytes'] / 2**20:,.0f}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [10**4, 10**5, 10**6, 10**7, 10**8]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, metavar="N")
    parser.add_argument("--rows", nargs="+", choices=list(BYTES_PER_NEURON), default=list(BYTES_PER_NEURON))
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--spikes", type=int, default=1_000_000, help="that are timed (default: %(default)s)")
    parser.add_argument("--transient", type=float, default=0.2, help="spikes per neuron before (default: %(default)s)")
    parser.add_argument("--transient-seconds", type=float, default=60.0, help="at most (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds per case (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "How do memory and the cost of a synaptic event grow with the network?"
    report = {**report_head("large", question, seed=options.seed), "cases": []}
    cases = report["cases"]
    for rows in options.rows:
        for n in options.sizes:
            case = {"n": n, "rows": rows}
            names = ("outdegree", "spikes", "transient", "transient_seconds", "seed")
            case |= {name: getattr(options, name) for name in names}
            print(f"N = {n:,}, rows {rows} ...", file=sys.stderr, flush=True)
            cases.append(in_process(__file__, case, options.timeout))
            save(report, options.out)
    columns = ["N", "rows", "ns per synaptic event", "relative to 10^6", "rate (Hz)", "spikes per neuron before"]
    columns += ["construction (s)", "peak memory (MiB)"]
    print(markdown(columns, [row(done, cases) for done in cases]))
    done = [case for case in cases if "ns_per_synaptic_event" in case]
    for quantity, label in (
        ("ns_per_synaptic_event", "CPU time per synaptic event (ns)"),
        ("peak_memory_bytes", "peak memory (bytes)"),
    ):
        curves = {
            rows: tuple([case[name] for case in done if case["rows"] == rows] for name in ("n", quantity))
            for rows in options.rows
        }
        suffix = "" if quantity == "ns_per_synaptic_event" else "_memory"
        out = options.out and f"{options.out.removesuffix('.json')}{suffix}.json"
        picture(out, {f"LIF, K = {options.outdegree}": curves}, "number of neurons N", label)
    return 1 if any("error" in case for case in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
