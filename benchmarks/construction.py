"""What does the construction of a network cost, and what do more cores gain?

Synapses of each rule are drawn, with one weight, and with one delay or one for each synapse from a distribution; then
a simulation is made of the network, which brings rows into the order of their delays. CPU time (of all threads, and
that of the system for fresh memory) and wall time of both. Each case has a process of its own; rounds are interleaved,
and figures are medians. With ``--before`` another build, such as that of an older commit, takes its turns too.

    python benchmarks/construction.py -o construction.json
    python benchmarks/construction.py --before /path/to/older/tree
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from common import markdown, memory, options_of, report_head, save

import sparseprop as sp

QUICK = {"n": 10_000, "rounds": 1}
RULES = {
    "fixed_outdegree": lambda n, k: sp.fixed_outdegree(k),
    "fixed_indegree": lambda n, k: sp.fixed_indegree(k),
    "pairwise_bernoulli": lambda n, k: sp.pairwise_bernoulli(k / n),
    "fixed_total_number": lambda n, k: sp.fixed_total_number(n * k),
    "procedural": lambda n, k: sp.fixed_outdegree(k, procedural=True),
}
DELAYS = {
    "one": lambda: 1.0,
    "uniform": lambda: sp.uniform(0.5, 2.5),
    "normal": lambda: sp.normal(1.5, 0.3, low=0.1),
    "normal, weights too": lambda: sp.normal(1.5, 0.3, low=0.1),
}


def run_case(case):
    """Connect, and make a simulation; `case` is what :func:`main` puts together."""
    cores = sorted(os.sched_getaffinity(0))
    if case["threads"] > len(cores):
        return {**case, "skipped": f"this process may use {len(cores)} cores only"}
    os.sched_setaffinity(0, cores[: case["threads"]])
    net = sp.Network(seed=1)
    neurons = net.add(case["n"], sp.LIF(tau_m=10.0, I_e=1.1))
    rule, delay = RULES[case["rule"]](case["n"], case["outdegree"]), DELAYS[case["delays"]]()
    weight = sp.normal(-0.1, 0.01) if "weights" in case["delays"] else -0.1
    before = memory("VmRSS")
    figures = {}
    for name, step in (
        ("connect", lambda: net.connect(neurons, neurons, rule, weight=weight, delay=delay)),
        ("simulation", lambda: sp.Simulation(net, engine=case["engine"])),
    ):
        began = os.times(), time.perf_counter()
        step()
        ended = os.times()
        figures[name] = {
            "user_seconds": ended.user - began[0].user,
            "system_seconds": ended.system - began[0].system,
            "wall_seconds": time.perf_counter() - began[1],
        }
    return {
        **case,
        **figures,
        "n_synapses": net.n_synapses,
        "peak_memory_bytes": memory("VmHWM") - before,
        "load_average": os.getloadavg(),
    }


def once(case, tree):
    """The figures of a case from a process of its own, with the package of `tree` where that is given."""
    environment = os.environ | ({"PYTHONPATH": tree} if tree else {})
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        return {**case, "error": done.stderr.strip()}
    return json.loads(done.stdout.splitlines()[-1])


def row(rounds):
    """One row of the table: medians."""
    first = rounds[0]
    start = [first["rule"], first["delays"], first["build"], first["threads"]]
    wrong = [done.get("skipped") or done["error"].splitlines()[-1] for done in rounds if "connect" not in done]
    if wrong:
        return [*start, f"skipped: {wrong[0]}", *5 * ["-"]]

    def median(quantity):
        return statistics.median(quantity(done) for done in rounds)

    columns = [median(lambda done, step=step: done[step]["user_seconds"]) for step in ("connect", "simulation")]
    columns += [
        median(lambda done, name=name: done["connect"][name] + done["simulation"][name])
        for name in ("user_seconds", "system_seconds", "wall_seconds")
    ]
    bytes_each = median(lambda done: done["peak_memory_bytes"] / done["n_synapses"])
    return [*start, *(f"{value:.2f}" for value in columns), f"{bytes_each:.1f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000, help="neurons (default: %(default)s)")
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--engine", choices=["window", "heap", "lookahead"], help="default: the one chosen by itself")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--delays", nargs="+", choices=list(DELAYS), default=list(DELAYS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="cores (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--before", metavar="TREE", help="a source tree with another build in place, on one core")
    options = options_of(parser, run_case, QUICK)
    report = {**report_head("construction", "What does the construction of a network cost?"), "cases": []}
    cases = [
        {
            "n": options.n,
            "outdegree": options.outdegree,
            "engine": options.engine,
            "rule": rule,
            "delays": delays,
            "threads": n,
            "build": build,
        }
        for rule in options.rules
        for delays in options.delays
        if rule != "procedural" or delays == "one"
        for build, threads in [("before", [1])] * bool(options.before) + [("now", options.threads)]
        for n in threads
    ]
    for k in range(options.rounds):
        for case in cases:
            print(f"round {k + 1}: {case} ...", file=sys.stderr, flush=True)
            report["cases"].append(once(case, options.before if case["build"] == "before" else None))
            save(report, options.out)
    columns = ["rule", "delays", "build", "threads", "connect: user (s)", "simulation: user (s)"]
    columns += ["both: user (s)", "system (s)", "wall (s)", "peak bytes per synapse"]
    rows = [row([d for d in report["cases"] if all(d[key] == case[key] for key in case)]) for case in cases]
    print(markdown(columns, rows))
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
