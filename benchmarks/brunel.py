"""What does Brunel's network cost, here, in NEST and in Brian2?

Brunel's model A (J. Comput. Neurosci. 8:183, 2000), the network that simulators are compared on: 10,000 excitatory and
2,500 inhibitory LIF neurons, 1250 synapses into each, refractory for 2 ms, each with a Poisson input of its own. Three
cases: C (g = 5, eta = 2, asynchronous, some 38 Hz) with one delay of 1.5 ms, the same with a delay for each synapse,
uniform from 0.5 to 2.5 ms, and D (g = 4.5, eta = 0.9, slow) with one delay.

- sparseprop with each engine: exact;
- NEST's `iaf_psc_delta` and Brian2 as a standalone C++ program: a grid of 0.1 ms.

Each draws synapses and input by itself, from one distribution, and begins with all neurons at rest; compare rates too.
Reported are seconds of CPU time of the run phase (no construction, no compilation) per second of network time. Every
run has a process of its own; the simulators take turns, round after round, and medians are compared. With
``--threads`` above 1 also the time that passed.

    python benchmarks/brunel.py -o brunel.json
    python benchmarks/brunel.py --cases C-one --simulators window lookahead --rounds 3
"""

import argparse
import contextlib
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
from common import (
    Skip,
    in_process,
    markdown,
    options_of,
    report_head,
    run_standalone,
    save,
    skipped_without,
    version_of,
)

import sparseprop as sp

CASES = {"C-one": (5.0, 2.0, "one"), "C-each": (5.0, 2.0, "each"), "D-one": (4.5, 0.9, "one")}
ENGINES = ("window", "lookahead")
QUICK = {"n": 1250, "duration": 20.0, "rounds": 1}
TAU, THRESHOLD, V_RESET, T_REF, J = 20.0, 20.0, 10.0, 2.0, 0.1
ONE, EACH, STEP = 1.5, (0.5, 2.5), 0.1  # ms: one delay, each delay, and the step of the others


def populations(n):
    """Sizes of E and I, and how many synapses of each a neuron gets."""
    return (4 * n // 5, n - 4 * n // 5), (2 * n // 25, n // 50)


def external_rate(eta):
    """Events of the Poisson input of a neuron, per ms."""
    return eta * THRESHOLD / (J * TAU)


# The simulators: each returns spikes, and CPU and wall seconds of the run. --------------------------------------------


def run_sparseprop(case):
    g, eta, delays = CASES[case["case"]]
    sizes, degrees = populations(case["n"])
    net = sp.Network(seed=case["seed"])
    neuron = sp.LIF(tau_m=TAU, V_th=THRESHOLD, V_reset=V_RESET, t_ref=T_REF)
    E, I = (net.add(size, neuron, name=name, V=0.0) for size, name in zip(sizes, "EI", strict=True))
    for post in (E, I):
        for pre, degree, weight in ((E, degrees[0], J), (I, degrees[1], -g * J)):
            delay = ONE if delays == "one" else sp.uniform(*EACH)
            net.connect(pre, post, sp.fixed_indegree(degree), weight=weight, delay=delay)
        net.drive(post, sp.poisson(1e3 * external_rate(eta)), weight=J)
    more = {"n_threads": case["threads"]} if case["simulator"] == "lookahead" else {}
    simulation = sp.Simulation(net, engine=case["simulator"], **more)
    with timed() as seconds:
        result = simulation.run(case["duration"], progress=False, interrupt="raise")
    return result.n_spikes, seconds


def run_nest(case):
    with skipped_without("nest", "nest-simulator"):
        import nest
    g, eta, delays = CASES[case["case"]]
    sizes, degrees = populations(case["n"])
    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.set(resolution=STEP, local_num_threads=case["threads"], rng_seed=case["seed"])
    parameters = {"tau_m": TAU, "C_m": TAU, "E_L": 0.0, "V_th": THRESHOLD, "V_reset": V_RESET}
    # V_m would stay at -70 mV, the E_L of before.
    parameters |= {"t_ref": T_REF, "V_m": 0.0}
    E, I = (nest.Create("iaf_psc_delta", size, params=parameters) for size in sizes)
    neurons = E + I
    delay = ONE if delays == "one" else nest.random.uniform(*EACH)
    for pre, degree, weight in ((E, degrees[0], J), (I, degrees[1], -g * J)):
        rule = {"rule": "fixed_indegree", "indegree": degree}
        nest.Connect(pre, neurons, rule, {"weight": weight, "delay": delay})
    drive = nest.Create("poisson_generator", params={"rate": 1e3 * external_rate(eta)})
    nest.Connect(drive, neurons, syn_spec={"weight": J, "delay": STEP})
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    with nest.RunManager(), timed() as seconds:
        nest.Run(case["duration"])
    return int(recorder.n_events), seconds


def run_brian2(case):
    with skipped_without("brian2"):
        import brian2
    if case["threads"] > 1:
        raise Skip("Brian2's standalone programs are measured on one thread")
    g, eta, delays = CASES[case["case"]]
    sizes, degrees = populations(case["n"])
    ms, rng = brian2.ms, np.random.default_rng(case["seed"])
    with tempfile.TemporaryDirectory() as folder:
        brian2.set_device("cpp_standalone", directory=folder, build_on_run=False)
        brian2.seed(case["seed"])
        brian2.defaultclock.dt = STEP * ms
        group = brian2.NeuronGroup(
            case["n"],
            "dv/dt = -v / tau : 1 (unless refractory)",
            threshold="v >= threshold",
            reset="v = V_reset",
            refractory=T_REF * ms,
            method="exact",
            namespace={"tau": TAU * ms, "threshold": THRESHOLD, "V_reset": V_RESET},
        )
        parts = [group]
        for first, size, degree, weight in ((0, sizes[0], degrees[0], J), (sizes[0], sizes[1], degrees[1], -g * J)):
            synapses = brian2.Synapses(group, group, on_pre="v_post += w", namespace={"w": weight})
            sources = first + rng.integers(0, size, case["n"] * degree)
            synapses.connect(i=sources, j=np.repeat(np.arange(case["n"]), degree))
            synapses.delay = ONE * ms if delays == "one" else rng.uniform(*EACH, sources.size) * ms
            parts.append(synapses)
        external = degrees[0]
        parts.append(brian2.PoissonInput(group, "v", external, 1e3 * external_rate(eta) / external * brian2.Hz, J))
        monitor = brian2.SpikeMonitor(group, record=False)
        net = brian2.Network(*parts, monitor)
        seconds = run_standalone(brian2, net, case["duration"], folder)
        return int(monitor.num_spikes), {"cpu": seconds, "wall": None}


@contextlib.contextmanager
def timed():
    """CPU and wall seconds of what is within, when it is over."""
    seconds, cpu, wall = {}, time.process_time(), time.perf_counter()
    yield seconds
    seconds.update(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall)


SIMULATORS = {**dict.fromkeys(ENGINES, run_sparseprop), "nest": run_nest, "brian2-cpp": run_brian2}
NAMES = {"window": "window", "lookahead": "lookahead", "nest": "NEST", "brian2-cpp": "Brian2 C++"}
TITLES = {"C-one": "C, 1.5 ms", "C-each": "C, 0.5 to 2.5 ms", "D-one": "D, 1.5 ms"}
DISTRIBUTIONS = {"nest": "nest-simulator", "brian2-cpp": "brian2"}


def run_case(case):
    """One run of one simulator, in this process."""
    try:
        spikes, seconds = SIMULATORS[case["simulator"]](case)
    except Skip as reason:
        return {**case, "skipped": str(reason)}
    per = 1e3 / case["duration"]  # per second of network time
    figures = {f"{name}_s_per_s": None if value is None else value * per for name, value in seconds.items()}
    return {**case, "rate_hz": spikes * per / case["n"], **figures}


# The report -----------------------------------------------------------------------------------------------------------


def medians(runs):
    """By case and simulator: the median of all rounds."""
    found = {}
    for run in runs:
        if "rate_hz" in run:
            found.setdefault((run["case"], run["simulator"]), []).append(run)
    return [
        {
            "case": case,
            "simulator": simulator,
            "rounds": len(rounds),
            **{
                name: statistics.median(run[name] for run in rounds) if rounds[0][name] is not None else None
                for name in ("rate_hz", "cpu_s_per_s", "wall_s_per_s")
            },
        }
        for (case, simulator), rounds in found.items()
    ]


def draw(table, path):
    """Bars of the CPU time of each simulator, by case."""
    from matplotlib.figure import Figure

    cases = list(dict.fromkeys(row["case"] for row in table))
    figure = Figure(figsize=(2.6 * len(cases) + 0.6, 3.0), layout="constrained")
    for k, case in enumerate(cases):
        rows = [row for row in table if row["case"] == case]
        ax = figure.add_subplot(1, len(cases), k + 1)
        bars = ax.bar([NAMES[row["simulator"]] for row in rows], [row["cpu_s_per_s"] for row in rows], color="0.75")
        for bar, row in zip(bars, rows, strict=True):
            if row["simulator"] in ENGINES:
                bar.set_color("C0")
        ax.bar_label(bars, fmt="%.1f", fontsize="small")
        ax.set_title(TITLES[case], fontsize="medium")
        ax.tick_params(axis="x", labelsize="small", rotation=30)
        ax.spines[["top", "right"]].set_visible(False)
        if k == 0:
            ax.set_ylabel("CPU s per s of the network")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--simulators", nargs="+", choices=SIMULATORS, default=list(SIMULATORS))
    parser.add_argument("--n", type=int, default=12_500, metavar="N", help="neurons; with them goes the indegree")
    parser.add_argument("--duration", type=float, default=200.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the lookahead engine, and of NEST")
    parser.add_argument("--seed", type=int, default=1)
    options = options_of(parser, run_case, QUICK)
    runs = []
    for round_ in range(options.rounds):
        for name in options.cases:
            for simulator in options.simulators:
                case = {"case": name, "simulator": simulator, "n": options.n, "duration": options.duration}
                case |= {"threads": options.threads, "seed": options.seed + round_}
                run = in_process(__file__, case)
                runs.append(run)
                said = run.get("skipped") or run.get("error") or f"{run.get('cpu_s_per_s', 0.0):.2f} s/s"
                print(f"round {round_ + 1}: {name} {simulator}: {said}", file=sys.stderr, flush=True)
    table = medians(runs)
    print(
        markdown(
            ["case", "simulator", "rate (Hz)", "CPU s per s", "wall s per s"],
            [
                [
                    row["case"],
                    row["simulator"],
                    f"{row['rate_hz']:.1f}",
                    f"{row['cpu_s_per_s']:.2f}",
                    "" if row["wall_s_per_s"] is None else f"{row['wall_s_per_s']:.2f}",
                ]
                for row in table
            ],
        )
    )
    if options.out:
        versions = {name: version_of(name) for name in DISTRIBUTIONS.values()}
        question = "What does Brunel's network cost?"
        save({**report_head("brunel", question, peers=versions), "runs": runs, "medians": table}, options.out)
        try:
            draw(table, pathlib.Path(options.out).with_suffix(".png"))
        except ImportError as error:
            print(f"the picture was skipped: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
