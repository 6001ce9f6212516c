"""What does the backward pass cost, beside the forward pass of each engine?

The balanced inhibitory network of the SparseProp paper with K = 100, LIF and Theta neurons. Each case has a process of
its own: after a transient the same number of spikes is run with the heap, the window, and the window with a tape; then
backward, from random derivatives of the last tenth of the spikes (older ones would be drowned by chaos), with weight
gradients and without them. The window, the tape and the backward passes take turns; ratios are medians over the rounds
of those within a round. CPU time; the allocation of the arrays is part of it. What the kernel takes of it, to hand out
fresh pages, is given apart: on a virtual machine that can be more than the pass.

Then LIF neurons with 1/10 of, and as many as, `--many` spikes, for how cost and memory grow with them.

With `--threads`, networks with delays (one for all synapses, and one for each) are taken back on so many threads and on
one, in turns, from tapes of the lookahead engine: seconds by the clock, and whether the gradients have the same bits.
That needs cores that nothing else uses.

With `--long`, runs of so many spikes with tape="checkpoint", where memory is not to grow with the run (and with a whole
tape for the first number): CPU time of run and pass back, the largest resident set, and whether gradients have the same
bits. Spikes of a hundred neurons are recorded, and the loss is on the last tenth of them.

    python benchmarks/gradients.py -o result.json
    python benchmarks/gradients.py --sizes --long 1000000 10000000 --long-networks LIF Theta LIF-delays
    python benchmarks/gradients.py --sizes --many 10000000
    python benchmarks/gradients.py --sizes --threads 2
"""

import argparse
import hashlib
import os
import statistics
import sys
import time
import warnings

import numpy as np
from common import MODELS, in_process, memory, options_of, report_head, save

import sparseprop as sp

HEADER = (
    "| N | model | spikes | heap (us per spike) | window | with a tape | backward | of it kernel | without weights "
    "| backward / heap | / window | without weights / window | tape (bytes per spike) | peak memory (MiB) |\n| "
    + " | ".join(14 * ["---"])
    + " |"
)

QUICK = {"sizes": [10_000, 100_000], "spikes": 100_000}


def timed(function):
    """CPU seconds of a call, of these in the kernel, and its result."""
    # os.times() alone knows the kernel's part, but only in hundredths of a second.
    before, began = os.times(), time.process_time()
    result = function()
    seconds = time.process_time() - began
    return seconds, min(os.times().system - before.system, seconds), result


def run_case(case):
    """One network: all passes over the same number of spikes."""
    if "threads" in case:
        return run_threads(case)
    if "mode" in case:
        return run_long(case)
    n, spikes = case["n"], case["spikes"]
    net = sp.balanced_network(n, MODELS[case["model"]](tau_m=10.0), case["outdegree"], seed=case["seed"])
    heap = float("nan")
    if not case["no_heap"]:
        simulation = sp.Simulation(net, engine="heap")
        simulation.run(n_spikes=min(n, 200_000), progress=False, interrupt="raise")
        few = min(spikes, 200_000)
        heap = timed(lambda: simulation.run(n_spikes=few, progress=False, interrupt="raise"))[0] * spikes / few
        del simulation
    simulation = sp.Simulation(net)
    simulation.run(n_spikes=2 * n, progress=False, interrupt="raise")
    rounds = [one_round(simulation, case, k) for k in range(case["rounds"])]
    seconds = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    return {
        **case,
        "us_per_spike": {name: 1e6 * value / spikes for name, value in seconds.items() if name in PASSES}
        | {"heap": 1e6 * heap / spikes},
        "us_per_spike_in_kernel": 1e6 * seconds["backward_in_kernel"] / spikes,
        "ratios": {
            "backward / heap": seconds["backward"] / heap,
            "backward / window": statistics.median(r["backward"] / r["window"] for r in rounds),
            "without_weights / window": statistics.median(r["without_weights"] / r["window"] for r in rounds),
        },
        "rounds_done": rounds,
        "tape_bytes_per_spike": seconds["tape"] / spikes,
        "invariant_error": max(r["invariant_error"] for r in rounds),
        "peak_memory_bytes": memory("VmHWM"),
        "load_average": os.getloadavg(),
    }


PASSES = ("window", "taped", "backward", "without_weights")


def one_round(simulation, case, k):
    """Seconds of each pass, bytes of the tape, and the error of the self-test."""
    spikes = case["spikes"]
    done = {"window": timed(lambda: simulation.run(n_spikes=spikes, progress=False, interrupt="raise"))[0]}
    for name, weights in (("backward", True), ("without_weights", False)):
        done["taped"], _, res = timed(
            lambda: simulation.run(n_spikes=spikes, progress=False, interrupt="raise", tape=True)
        )
        done["tape"] = res._tape.parts[0].nbytes
        dL = np.zeros(res.n_spikes)
        dL[-(spikes // 10) :] = np.random.default_rng([case["seed"], k]).normal(size=spikes // 10)
        done[name], system, grads = timed(lambda r=res, d=dL, w=weights: r.backward(d, weights=w))
        if weights:
            done["backward_in_kernel"] = system
        done["invariant_error"] = float(grads.invariant_error)
        del grads
    return done


def delayed_network(case):
    """The balanced network, with delays."""
    k, model = case["outdegree"], MODELS[case["model"]]
    net = sp.Network(seed=case["seed"])
    drive = 0.01 * k**0.5 + (1.0 if case["model"] == "LIF" else 0.0)
    neurons = net.add(case["n"], model(tau_m=10.0, I_e=drive), name="neurons")
    delay = 1.5 if case["delays"] == "one" else sp.uniform(0.5, 2.5)
    net.connect(neurons, neurons, sp.fixed_outdegree(k), weight=-1.0 / k**0.5, delay=delay)
    return net


def run_threads(case):
    """The pass back through one network with delays, on one thread and on several: each has its own run, all alike."""
    net, spikes = delayed_network(case), case["spikes"]
    rounds, digests = [], set()
    for k in range(case["rounds"]):
        done = {}
        for n_threads in (1, case["threads"]):
            res = net.run(n_spikes=spikes, engine="lookahead", progress=False, interrupt="raise", tape=True)
            dL = np.zeros(res.n_spikes)
            dL[-(spikes // 10) :] = np.random.default_rng([case["seed"], k]).normal(size=len(dL[-(spikes // 10) :]))
            began = time.perf_counter()
            done[f"cpu_{n_threads}"], _, grads = timed(lambda r=res, d=dL, t=n_threads: r.backward(d, n_threads=t))
            done[f"clock_{n_threads}"] = time.perf_counter() - began
            parts = [grads.I_e, grads.V, grads.tau_m, grads.weight[0], np.asarray(grads.delay[0])]
            digests.add((k, hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()))
            del res, grads
        rounds.append(done)
    threads = case["threads"]
    return {
        **case,
        "us_per_spike": {
            name: 1e6 * statistics.median(r[name] for r in rounds) / spikes
            for name in ("clock_1", f"clock_{threads}", "cpu_1", f"cpu_{threads}")
        },
        "times_faster": statistics.median(r["clock_1"] / r[f"clock_{threads}"] for r in rounds),
        "same_bits": len(digests) == len(rounds),
        "rounds_done": rounds,
        "peak_memory_bytes": memory("VmHWM"),
        "load_average": os.getloadavg(),
    }


def run_long(case):
    """One long run and its gradient."""
    model, _, delays = case["network"].partition("-")
    if delays:
        net = delayed_network(case | {"model": model, "delays": "each"})
    else:
        net = sp.balanced_network(case["n"], MODELS[model](tau_m=10.0), case["outdegree"], seed=case["seed"])
    record = sp.Record(spikes={"neurons": np.arange(100)})
    before = memory("VmHWM")
    mode = True if case["mode"] == "whole" else case["mode"]
    forward, _, res = timed(
        lambda: net.run(n_spikes=case["spikes"], record=record, progress=False, interrupt="raise", tape=mode)
    )
    after = memory("VmHWM")
    dL = np.zeros(len(res.times))
    few = -(-len(dL) // 10)
    dL[-few:] = np.random.default_rng(case["seed"]).normal(size=few)
    n_states = len(res._tape.parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sp.errors.GradientOverflowWarning)
        backward, _, grads = timed(lambda: res.backward(dL))
    parts = [grads.I_e, grads.V, grads.tau_m, grads.weight[0], np.asarray(grads.delay[0])]
    return {
        **case,
        "us_per_spike": {"run": 1e6 * forward / case["spikes"], "backward": 1e6 * backward / case["spikes"]},
        "ms": res.t_stop,
        "n_states": n_states,
        "overflows": bool(grads.warnings) and grads.warnings[-1].kind == "overflow",
        "invariant_error": float(grads.invariant_error),
        "digest": hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest(),
        "peak_memory_bytes": {"network": before, "run": after, "backward": memory("VmHWM")},
        "load_average": os.getloadavg(),
    }


def long_row(done, same):
    """One row of the table of long runs, in Markdown."""
    if "error" in done:
        return f"| {done['network']} | {done['spikes']} | failed: {done['error'].splitlines()[-1]} |"
    us, peak = done["us_per_spike"], done["peak_memory_bytes"]
    sizes = " | ".join(f"{peak[name] / 2**20:.0f}" for name in ("network", "run", "backward"))
    return (
        f"| {done['n']} | {done['network']} | {done['spikes']} | {done['mode']} | {us['run']:.3g} "
        f"| {us['backward']:.3g} | {done['n_states']} | {sizes} | {same} |"
    )


def long_runs(options, report):
    """Runs of each length, and a whole tape for the shortest."""
    print("\n| N | network | spikes | tape | run (us per spike) | backward | kept | peak memory with the network (MiB) "
          "| after the run | after backward | bits |\n| " + " | ".join(11 * ["---"]) + " |", flush=True)  # fmt: skip
    for network in options.long_networks:
        wanted = None
        for spikes in sorted(options.long):
            modes = ["checkpoint"] if wanted or options.no_whole else ["whole", "checkpoint"]
            for mode in modes:
                case = {"n": options.long_size, "network": network, "spikes": spikes, "mode": mode}
                case |= {"outdegree": options.outdegree, "seed": options.seed}
                report["cases"].append(done := in_process(__file__, case))
                same = ""
                if mode == "whole":
                    wanted = done.get("digest", "none")
                elif len(modes) == 2:
                    same = "same" if done.get("digest") == wanted else "DIFFER"
                print(long_row(done, same), flush=True)
                save(report, options.out)


def threads_row(done):
    """One row of the table of threads, in Markdown."""
    if "error" in done:
        return f"| {done['n']} | {done['model']} | {done['delays']} | failed: {done['error'].splitlines()[-1]} |"
    us = done["us_per_spike"]
    return (
        f"| {done['n']} | {done['model']} | {done['delays']} | {us['clock_1']:.3g} "
        f"| {us['clock_' + str(done['threads'])]:.3g} | {done['times_faster']:.2f} | {done['same_bits']} "
        f"| {done['peak_memory_bytes'] / 2**20:.0f} |"
    )


def table_row(done):
    """One row of the table, in Markdown."""
    if "error" in done:
        return f"| {done['n']} | {done['model']} | {done['spikes']} | failed: {done['error'].splitlines()[-1]} |"
    us = done["us_per_spike"]
    columns = [us[name] for name in ("heap", "window", "taped", "backward")]
    columns += [done["us_per_spike_in_kernel"], us["without_weights"], *done["ratios"].values()]
    figures = " | ".join(f"{value:.3g}" for value in columns)
    return (
        f"| {done['n']} | {done['model']} | {done['spikes']} | {figures} | {done['tape_bytes_per_spike']:.0f} "
        f"| {done['peak_memory_bytes'] / 2**20:.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--spikes", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--many", type=int, default=0, help="also so many spikes, and a tenth of it; 10000000 takes 30 s"
    )
    parser.add_argument(
        "--many-size", type=int, default=100_000, help="of the network for these (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=0, help="also networks with delays, on so many threads")
    parser.add_argument(
        "--delayed-size", type=int, default=100_000, help="of the networks for these (default: %(default)s)"
    )
    parser.add_argument("--long", type=int, nargs="*", default=[], metavar="SPIKES", help="also long runs")
    parser.add_argument("--long-size", type=int, default=100_000, help="of the networks for these")
    parser.add_argument(
        "--long-networks", nargs="+", default=["LIF", "Theta"], help="models; with -delays, one for each synapse"
    )
    parser.add_argument("--no-whole", action="store_true", help="no whole tapes of these")
    parser.add_argument("--no-heap", action="store_true", help="leave out the heap engine")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "What does the backward pass cost, beside the forward pass?"
    report = {**report_head("gradients", question, seed=options.seed), "cases": []}
    print(HEADER, flush=True)
    cases = [{"n": n, "model": model, "spikes": options.spikes} for model in options.models for n in options.sizes]
    many = [spikes for spikes in (options.many // 10, options.many) if spikes]
    fixed = {"n": options.many_size, "model": "LIF", "no_heap": True, "rounds": 1}
    cases += [{**fixed, "spikes": spikes} for spikes in many]
    for case in cases:
        defaults = {name: getattr(options, name) for name in ("outdegree", "seed", "no_heap", "rounds")}
        report["cases"].append(in_process(__file__, defaults | case))
        print(table_row(report["cases"][-1]), flush=True)
        save(report, options.out)
    if options.threads:
        print(f"\n| N | model | delays | one thread (us per spike) | {options.threads} threads | times faster | "
              "same bits | peak memory (MiB) |\n| " + " | ".join(8 * ["---"]) + " |", flush=True)  # fmt: skip
    for model in options.models if options.threads else []:
        for delays in ("one", "each"):
            case = {"n": options.delayed_size, "model": model, "delays": delays, "threads": options.threads}
            case |= {name: getattr(options, name) for name in ("spikes", "outdegree", "seed", "rounds")}
            report["cases"].append(in_process(__file__, case))
            print(threads_row(report["cases"][-1]), flush=True)
            save(report, options.out)
    if options.long:
        long_runs(options, report)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
