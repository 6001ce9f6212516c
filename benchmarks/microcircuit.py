"""What does the cortical microcircuit cost, here and in NEST?

The network of `examples/microcircuit.py` (Potjans and Diesmann 2014): at full scale 77,169 LIF neurons with exponential
currents and 0.3 billion synapses, weights and delays from normal distributions (the shortest delay is 0.1 ms), and
Poisson input to each neuron.

- sparseprop's lookahead engine: exact;
- NEST's `iaf_psc_exp`, on a grid of 0.1 ms, and `iaf_psc_exp_ps`, whose spikes are off it.

Each draws synapses and input by itself, from one distribution; with `--same-arrays` NEST gets our synapses, with delays
rounded to its grid, so that statistics can be compared: rates, the irregularity (CV of the interspike intervals) and
the synchrony of each population (variance over mean of how many spikes 1000 of its neurons have in 3 ms). Reported are
seconds of CPU time of the run phase, after 100 ms of transient, per second of network time; seconds of construction and
the peak of memory. Every run has a process of its own, and the simulators take turns.

    python benchmarks/microcircuit.py -o microcircuit.json
    python benchmarks/microcircuit.py --scales 0.1 --same-arrays --simulators sparseprop nest-ps --duration 2000
    python benchmarks/microcircuit.py --scales 1.0 --simulators sparseprop --duration 1000 --threads 2
"""

import argparse
import pathlib
import runpy
import statistics
import sys
import time

import numpy as np
from common import Skip, in_process, markdown, memory, options_of, report_head, save, skipped_without, version_of

import sparseprop as sp

EXAMPLE = runpy.run_path(str(pathlib.Path(__file__).resolve().parent.parent / "examples" / "microcircuit.py"))
NAMES = list(EXAMPLE["POPULATIONS"])
PUBLISHED = [rate for *_, rate in EXAMPLE["POPULATIONS"].values()]
QUICK = {"scales": [0.02], "duration": 50.0, "rounds": 1}
TRANSIENT, STEP = 100.0, 0.1  # ms
BIN, SOME = 3.0, 1000  # ms, neurons: of synchrony


def run_sparseprop(case):
    """Spike times and ids by population, and seconds of construction and of the run."""
    began = time.perf_counter()
    sim = sp.Simulation(EXAMPLE["network"](case["scale"], case["seed"]), engine="lookahead", n_threads=case["threads"])
    built = time.perf_counter() - began
    sim.run(TRANSIENT, progress=False, interrupt="raise")
    cpu, wall = time.process_time(), time.perf_counter()
    res = sim.run(case["duration"], progress=False, interrupt="raise")
    seconds = time.process_time() - cpu, time.perf_counter() - wall
    return [(res[name].times, res[name].ids) for name in NAMES], [p.n for p in res.populations], built, *seconds


def run_nest(case):
    with skipped_without("nest", "nest-simulator"):
        import nest
    net = EXAMPLE["network"](case["scale"], case["seed"])
    if case["scale"] > 0.5:
        raise Skip("NEST's synapses would not fit into 24 GiB")
    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.set(resolution=STEP, local_num_threads=case["threads"], rng_seed=case["seed"])
    began = time.perf_counter()
    populations, recorders = [], []
    for p, drive in zip(net.populations, net.drives, strict=True):
        m = p.model
        parameters = {"tau_m": m.tau_m, "C_m": m.tau_m, "E_L": m.E_L, "V_th": m.V_th, "V_reset": m.V_reset}
        parameters |= {"t_ref": m.t_ref, "tau_syn_ex": m.tau_syn, "tau_syn_in": m.tau_syn, "I_e": m.I_e}
        neurons = nest.Create(case["model"], p.n, params=parameters)
        neurons.V_m = p.V
        generator, recorder = (
            nest.Create("poisson_generator", params={"rate": drive.input.rate}),
            nest.Create("spike_recorder", params={"start": TRANSIENT}),
        )
        nest.Connect(generator, neurons, syn_spec={"weight": drive.weight, "delay": 1.5})
        nest.Connect(neurons, recorder)
        populations.append(neurons)
        recorders.append(recorder)
    for p in net.projections:
        if p.n_synapses == 0:
            continue
        if case["same_arrays"]:
            pre, post = (populations[each.index].tolist()[0] for each in (p.pre, p.post))
            delays = np.maximum(np.round(p.delay / STEP), 1.0) * STEP
            synapses = {"weight": np.array(p.weight), "delay": delays}
            nest.Connect(pre + p.sources.astype(int), post + p.targets.astype(int), "one_to_one", synapses)
            continue
        weight, delay = (p.kept(name).distribution for name in ("weight", "delay"))
        drawn = {}
        for name, d in (("weight", weight), ("delay", delay)):
            low, high = max(d.low, -1e6), min(d.high, 1e6)
            drawn[name] = nest.math.redraw(nest.random.normal(d.mean, d.std), min=low, max=high)
        rule = {"rule": "fixed_total_number", "N": p.n_synapses}
        nest.Connect(populations[p.pre.index], populations[p.post.index], rule, drawn)
    built = time.perf_counter() - began
    with nest.RunManager():
        nest.Run(TRANSIENT)
        cpu, wall = time.process_time(), time.perf_counter()
        nest.Run(case["duration"])
        seconds = time.process_time() - cpu, time.perf_counter() - wall
    events = [recorder.events for recorder in recorders]
    return [(e["times"], e["senders"]) for e in events], [len(p) for p in populations], built, *seconds


SIMULATORS = {"sparseprop": run_sparseprop, "nest": run_nest, "nest-ps": run_nest}
MODELS = {"nest": "iaf_psc_exp", "nest-ps": "iaf_psc_exp_ps"}


def mean_cv(times, ids, t_stop):
    """The mean CV of the interspike intervals, of those neurons that have two; NaN if none has."""
    active, ids = np.unique(ids, return_inverse=True)
    cv = sp.analysis.cv((times, ids, max(len(active), 1), 0.0, t_stop))
    return float(cv[np.isfinite(cv)].mean()) if np.isfinite(cv).any() else float("nan")


def synchrony(times, ids, t_stop):
    """Variance over mean of the spikes that the first neurons of a population have in a bin; NaN without spikes."""
    chosen = np.asarray(times)[np.asarray(ids) - np.min(ids) < SOME] if len(ids) else np.zeros(0)
    counts, _ = np.histogram(chosen, np.arange(TRANSIENT, t_stop, BIN))
    return float(counts.var() / counts.mean()) if counts.any() else float("nan")


def run_case(case):
    """One run of one simulator, in this process."""
    try:
        trains, sizes, built, cpu, wall = SIMULATORS[case["simulator"]](
            {**case, "model": MODELS.get(case["simulator"])}
        )
    except Skip as reason:
        return {**case, "skipped": str(reason)}
    per = 1e3 / case["duration"]
    return {
        **case,
        "rates_hz": [len(times) * per / n for (times, _), n in zip(trains, sizes, strict=True)],
        "cv": [mean_cv(times, ids, TRANSIENT + case["duration"]) for times, ids in trains],
        "synchrony": [synchrony(times, ids, TRANSIENT + case["duration"]) for times, ids in trains],
        "construction_s": built,
        "cpu_s_per_s": cpu * per,
        "wall_s_per_s": wall * per,
        "peak_memory_bytes": memory("VmHWM"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", nargs="+", type=float, default=[0.1, 0.3])
    parser.add_argument("--simulators", nargs="+", choices=SIMULATORS, default=list(SIMULATORS))
    parser.add_argument("--duration", type=float, default=500.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--same-arrays", action="store_true", help="NEST gets our synapses")
    parser.add_argument("--seed", type=int, default=1)
    options = options_of(parser, run_case, QUICK)
    runs = []
    for round_ in range(options.rounds):
        for scale in options.scales:
            for simulator in options.simulators:
                case = {"scale": scale, "simulator": simulator, "duration": options.duration}
                case |= {"same_arrays": options.same_arrays, "threads": options.threads, "seed": options.seed + round_}
                run = in_process(__file__, case)
                runs.append(run)
                said = run.get("skipped") or run.get("error") or f"{run.get('cpu_s_per_s', 0.0):.2f} s/s"
                print(f"round {round_ + 1}: scale {scale:g} {simulator}: {said}", file=sys.stderr, flush=True)
    rows, by = [["published", "", *(f"{rate:.2f}" for rate in PUBLISHED), "", "", ""]], {}
    for run in runs:
        if "rates_hz" in run:
            by.setdefault((run["scale"], run["simulator"]), []).append(run)
    for (scale, simulator), found in by.items():
        rates = np.mean([run["rates_hz"] for run in found], axis=0)
        seconds, wall, built = (
            statistics.median(run[name] for run in found) for name in ("cpu_s_per_s", "wall_s_per_s", "construction_s")
        )
        peak = max(run["peak_memory_bytes"] for run in found) / 2**30
        rows.append(
            [simulator, f"{scale:g}", *(f"{rate:.2f}" for rate in rates), f"{seconds:.2f}", f"{wall:.2f}",
             f"{built:.1f} s, {peak:.2f} GiB"]
        )  # fmt: skip
    print(markdown(["simulator", "scale", *NAMES, "CPU s per s", "wall s per s", "construction"], rows))
    measured = []
    for (scale, simulator), found in by.items():
        for name in ("cv", "synchrony"):
            means = np.nanmean([run[name] for run in found], axis=0)
            measured.append([simulator, f"{scale:g}", name, *(f"{mean:.2f}" for mean in means)])
    print("\n" + markdown(["simulator", "scale", "", *NAMES], measured))
    if options.out:
        head = report_head(
            "microcircuit", "What does the microcircuit cost?", peers={"nest-simulator": version_of("nest-simulator")}
        )
        save({**head, "runs": runs, "populations": NAMES, "published_hz": PUBLISHED}, options.out)


if __name__ == "__main__":
    main()
