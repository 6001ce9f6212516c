"""What do delays and Poisson input cost, here and in NEST?

Delays: the paper's balanced LIF network (K = 100), whose neurons have a refractory period of one step of NEST's
resolution, 0.1 ms, which NEST cannot do without. The same synapses and initial voltages, as arrays, for

- sparseprop without delay, with one delay for all synapses, with a delay for each synapse on a grid of 0.1 ms (between
  half of it and one and a half), and with a delay for each synapse that is uniform there;
- NEST's `iaf_psc_delta_ps` with one delay and with the delays of the grid. Skipped if it is not installed.

Spikes are recorded in memory. A delay makes another network: one that synchronises, with long delays. Compare the
times per spike or synaptic event; between ours and NEST's of one network also the spikes, all of which should be the
same.

Poisson input: events per second of CPU time, for neurons that do not fire, of a drive of each neuron and of sources
whose targets share them; and for Brunel's network (case C), per event of any kind.

Every case has a process of its own and is repeated; times are CPU time of the run phase, the best and the median.

    python benchmarks/delays.py -o delays.json
    python benchmarks/delays.py --sizes 100000 --delays 1.5 --durations 300
"""

import argparse
import importlib.metadata
import os
import statistics
import sys
import tempfile
import time

import numpy as np
from common import in_process, markdown, options_of, report_head, save

import sparseprop as sp

QUICK = {"sizes": [2000], "durations": [100.0], "delays": [1.5], "repeats": 1, "scale": 0.05}
STEP = 0.1  # ms, of NEST's resolution and the refractory period
KINDS = ["none", "one", "grid", "each"]
LABELS = {"none": "none", "one": "one", "grid": "per synapse, grid", "each": "per synapse, uniform"}


# Delays -----------------------------------------------------------------------------------------------------------


def network(case):
    """The network, and its synapses as arrays: sources, targets, delays."""
    n, K = case["n"], case["outdegree"]
    plain = sp.balanced_network(n, sp.LIF(tau_m=10.0), K, rate=case["rate"], seed=case["seed"])
    I_e, weight = plain.populations[0].model.I_e, float(plain.projections[0].weight)
    net = sp.Network(seed=case["seed"])
    # Given as numbers: by default some neurons would begin within their refractory periods, unknown to NEST.
    V = sp.Simulation(plain).V
    neurons = net.add(n, sp.LIF(tau_m=10.0, I_e=I_e, t_ref=STEP), name="neurons", V=V)
    rule = sp.fixed_outdegree(K)
    rng, steps = np.random.default_rng(case["seed"]), round(case["delay"] / STEP)
    delay = {
        "none": lambda: 0.0,
        "one": lambda: case["delay"],
        "grid": lambda: STEP * rng.integers(max(steps // 2, 1), steps + (steps + 1) // 2 + 1, n * K),
        "each": lambda: rng.uniform(0.5 * case["delay"], 1.5 * case["delay"], n * K),
    }[case["kind"]]()
    projection = net.connect(neurons, neurons, rule, weight=weight, delay=delay)
    return net, projection, float(np.max(I_e)), weight


def timed_sparseprop(case):
    net, _, _, _ = network(case)
    seconds = []
    for _ in range(case["repeats"]):
        simulation = sp.Simulation(net)
        began = time.process_time()
        result = simulation.run(case["duration"], progress=False, interrupt="raise")
        seconds.append(time.process_time() - began)
    return result.times, result.ids, seconds


def timed_nest(case):
    import nest

    net, projection, I_e, weight = network(case)
    V = sp.Simulation(net).V
    seconds = []
    for _ in range(case["repeats"]):
        nest.ResetKernel()
        nest.resolution = STEP
        parameters = {"tau_m": 10.0, "C_m": 10.0, "E_L": 0.0, "V_th": 1.0, "V_reset": 0.0, "t_ref": STEP, "I_e": I_e}
        neurons = nest.Create("iaf_psc_delta_ps", case["n"], params=parameters)
        neurons.V_m = V
        recorder = nest.Create("spike_recorder")
        nest.Connect(neurons, recorder)
        size = projection.n_synapses
        synapses = {"weight": np.full(size, weight), "delay": np.broadcast_to(projection.delay, size).astype(float)}
        sources, targets = np.asarray(projection.sources), np.asarray(projection.targets)
        nest.Connect(sources.astype(np.int64) + 1, targets.astype(np.int64) + 1, "one_to_one", synapses)
        with nest.RunManager():
            began = time.process_time()
            nest.Run(case["duration"])
            seconds.append(time.process_time() - began)
        events = recorder.events
    return np.asarray(events["times"]), np.asarray(events["senders"], dtype=np.int64) - 1, seconds


def run_delays(case):
    """One network in one simulator; its spikes go into the file that the case names."""
    try:
        times, ids, seconds = (timed_nest if case["simulator"] == "NEST" else timed_sparseprop)(case)
    except ImportError as error:
        return {**case, "skipped": str(error)}
    # Times that differ by rounding are the same.
    order = np.lexsort((ids, np.round(times, 9)))
    order = order[times[order] < case["duration"] - STEP]
    np.savez(case["spikes"], times=times[order], ids=ids[order])
    figures = {"best": min(seconds), "median": statistics.median(seconds)}
    return {
        **case,
        "version": importlib.metadata.version("nest-simulator" if case["simulator"] == "NEST" else "sparseprop-sim"),
        "n_spikes": int(times.size),
        "rate_hz": 1e3 * times.size / (case["n"] * case["duration"]),
        "us_per_spike": {k: 1e6 * v / max(times.size, 1) for k, v in figures.items()},
        "ns_per_synaptic_event": {k: 1e9 * v / max(times.size * case["outdegree"], 1) for k, v in figures.items()},
        "load_average": os.getloadavg(),
    }


def compared(path, other):
    """How many first spikes are the same, of how many, and the largest difference of their times in ms."""
    ours, theirs = np.load(path), np.load(other)
    size = min(ours["ids"].size, theirs["ids"].size)
    same = (ours["ids"][:size] == theirs["ids"][:size]) & (np.abs(ours["times"][:size] - theirs["times"][:size]) < 1e-9)
    first = size if same.all() else int(np.argmin(same))
    difference = np.abs(ours["times"][:first] - theirs["times"][:first])
    return {"same_spikes": first, "of": ours["ids"].size, "largest_difference_ms": float(difference.max(initial=0.0))}


# Poisson input ----------------------------------------------------------------------------------------------------


def poisson_network(case):
    """Neurons and their input, of which there are about so many events in the time of the case."""
    net = sp.Network(seed=case["seed"])
    n, rate = case["n"], case["input_rate"]
    if case["what"] == "brunel":
        neuron = sp.LIF(tau_m=20.0, V_th=20.0, V_reset=10.0, t_ref=2.0)
        E, I = net.add(4 * n // 5, neuron, name="E", V=0.0), net.add(n // 5, neuron, name="I", V=0.0)
        for post in (E, I):
            net.connect(E, post, sp.fixed_indegree(2 * n // 25), weight=0.1, delay=1.5)
            net.connect(I, post, sp.fixed_indegree(n // 50), weight=-0.5, delay=1.5)
            net.drive(post, sp.poisson(rate), weight=0.1)
        return net
    model = sp.LIF(tau_m=10.0) if case["model"] == "LIF" else sp.Theta(tau_m=10.0, I_e=-1.0)
    neurons = net.add(n, model, name="neurons")
    weight = 0.1 / (rate * 0.01)
    if case["what"] == "drive":
        net.drive(neurons, sp.poisson(rate), weight=weight)
    else:
        sources = net.add(n // 100, sp.PoissonSource(rate), name="sources")
        net.connect(sources, neurons, sp.fixed_indegree(1), weight=weight)
    return net


def run_poisson(case):
    net = poisson_network(case)
    rates = []
    for _ in range(case["repeats"]):
        simulation = sp.Simulation(net)
        began = time.process_time()
        result = simulation.run(case["duration"], progress=False, interrupt="raise")
        seconds = time.process_time() - began
        n_input = simulation._engine.n_input_events
        rates.append((result.n_synaptic_events + (n_input if case["what"] != "sources" else 0)) / seconds)
    return {
        **case,
        "n_spikes": result.n_spikes,
        "n_input_events": n_input,
        "n_synaptic_events": result.n_synaptic_events,
        "events_per_second": {"best": max(rates), "median": statistics.median(rates)},
        "load_average": os.getloadavg(),
    }


POISSON = [
    ("drive", "LIF", 10_000, 1e3, 2e3),
    ("drive", "LIF", 10_000, 1e4, 2e2),
    ("drive", "LIF", 100_000, 1e3, 2e2),
    ("drive", "Theta", 10_000, 1e3, 2e3),
    ("sources", "LIF", 10_000, 1e3, 2e3),
    ("brunel", "LIF", 12_500, 2e4, 1e2),
]


# All of them ------------------------------------------------------------------------------------------------------


def delay_row(done):
    start = [f"{done['n']:,}", LABELS[done["kind"]], "-" if done["kind"] == "none" else f"{done['delay']:g}"]
    start.append(done["simulator"])
    if "us_per_spike" not in done:
        return [*start, (done.get("skipped") or done["error"]).splitlines()[-1], *4 * ["-"]]
    event, spike = done["ns_per_synaptic_event"], done["us_per_spike"]
    compared = "same_spikes" in done
    return [
        *(*start, f"{event['median']:.3g} ({event['best']:.3g})", f"{spike['median']:.3g}"),
        f"{done['relative']:.3g}" if "relative" in done else "-",
        f"{done['rate_hz']:.3f}",
        f"{done['same_spikes']:,} of {done['of']:,} ({done['largest_difference_ms']:.0e} ms)" if compared else "-",
    ]


def poisson_row(done):
    start = [done["what"], done["model"], f"{done['n']:,}", f"{done['input_rate']:g}"]
    if "error" in done:
        return [*start, done["error"].splitlines()[-1], "-", "-"]
    speed = done["events_per_second"]
    return [
        *(*start, f"{done['n_input_events']:.3g}", f"{done['n_synaptic_events']:.3g}"),
        f"{speed['median']:.3g} ({speed['best']:.3g})",
    ]


def run_case(case):
    """One case, of input or of delays."""
    return run_poisson(case) if "what" in case else run_delays(case)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000], metavar="N")
    parser.add_argument("--durations", type=float, nargs="+", default=[300.0], metavar="MS", help="one per size")
    parser.add_argument("--delays", type=float, nargs="+", default=[0.1, 1.5, 5.0], metavar="MS")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1.0, help="in Hz, wanted; more comes out (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds per case (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the durations of Poisson input; 0: none of it")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    if len(options.durations) != len(options.sizes):
        parser.error(f"--durations needs {len(options.sizes)} times, one per size, got {len(options.durations)}")
    if any(delay < STEP for delay in options.delays):
        parser.error(f"--delays must be at least {STEP} ms, NEST's resolution")
    question = "What do delays and Poisson input cost, here and in NEST?"
    report = {**report_head("delays", question, seed=options.seed), "delays": [], "poisson": []}
    shared = {name: getattr(options, name) for name in ("outdegree", "rate", "repeats", "seed")}
    with tempfile.TemporaryDirectory() as folder:
        for n, duration in zip(options.sizes, options.durations, strict=True):
            networks = [(kind, d) for kind in options.kinds for d in (options.delays if kind != "none" else [0.0])]
            for kind, delay in networks:
                base = None
                for simulator in ("sparseprop", "NEST") if kind in ("one", "grid") else ("sparseprop",):
                    print(f"N = {n:,}, {kind} {delay:g} ms: {simulator} ...", file=sys.stderr, flush=True)
                    case = {**shared, "n": n, "duration": duration, "kind": kind, "delay": delay}
                    case |= {"simulator": simulator, "spikes": os.path.join(folder, f"{simulator}.npz")}
                    done = in_process(__file__, case, options.timeout)
                    if "us_per_spike" in done and simulator == "sparseprop":
                        base = done
                    elif "us_per_spike" in done and base is not None:
                        done |= compared(base["spikes"], done["spikes"])
                        done["relative"] = done["us_per_spike"]["median"] / base["us_per_spike"]["median"]
                    report["delays"].append(done)
                    save(report, options.out)
        for what, model, n, input_rate, duration in POISSON if options.scale > 0.0 else ():
            print(f"Poisson input: {what}, {model}, N = {n:,} ...", file=sys.stderr, flush=True)
            case = {"what": what, "model": model, "n": n, "input_rate": input_rate, "seed": options.seed}
            case |= {"duration": duration * options.scale, "repeats": options.repeats}
            report["poisson"].append(in_process(__file__, case, options.timeout))
            save(report, options.out)
    columns = ["N", "delays", "delay (ms)", "simulator", "ns per synaptic event, median (best)", "us per spike"]
    columns += ["relative to sparseprop", "rate (Hz)", "first spikes that are the same (largest difference)"]
    print(markdown(columns, [delay_row(done) for done in report["delays"]]))
    columns = ["input", "model", "N", "rate (Hz)", "input events", "synaptic events"]
    columns.append("events per second, median (best)")
    print()
    print(markdown(columns, [poisson_row(done) for done in report["poisson"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
