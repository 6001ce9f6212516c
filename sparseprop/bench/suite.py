"""What a synaptic event costs, beside the paper's algorithm and the machine's bound: the command ``sparseprop bench``.

Everything is measured in one process on one network, in turns, so that whatever else the machine does hits all alike:
the engines of this package, the algorithm of the SparseProp paper, the conventional algorithm that looks at every
neuron at every spike, and the machine's bound, which is the memory accesses of the kicks and nothing else.
"""

import datetime
import importlib.metadata
import itertools
import json
import math
import os
import pathlib
import platform
import re
import statistics
import sys
import sysconfig
import time
from dataclasses import dataclass

import numpy as np

from .. import _core
from .._machine import cores
from ..connectivity import Adjacency
from ..errors import ParameterError, StorageError, unknown_name
from ..models import LIF, Theta
from ..network import balanced_network
from ..plotting import COLORS, _require_matplotlib
from ..run.simulation import Simulation
from ._yardsticks import PREFETCHING, Conventional, PaperHeap, random_updates

__all__ = ["FULL", "MODELS", "QUICK", "Case", "build", "compare", "heading", "machine", "measure", "plot", "table"]

MODELS = {model.__name__: model for model in (LIF, Theta)}
TRANSIENT_SPIKES_PER_NEURON = 2  # the stationary state is reached after about one
ELEMENTS = 200_000_000  # neurons that the conventional algorithm may look at per round

# By name: the heading of the column, and what it is.
CONTENDERS = {
    "window": ("window", "this package: the window engine, which is the default"),
    "heap": ("heap", 'engine="heap": the same spikes, bit for bit, with the paper\'s kind of queue'),
    "paper": ("paper", "the paper's algorithm: an indexed heap of phases, and exp and log, or tan and atan, per event"),
    "paper_prefetching": ("paper+", "the same with memory asked for ahead, which the paper's program does not do"),
    "conventional": ("conventional", "all neurons are moved and searched at each spike, vectorised"),
    "bound": ("bound", "the machine's: the memory accesses of the events alone, x[target] += d, known in advance"),
}


@dataclass(frozen=True)
class Case:
    """One network of the paper's kind, and how long to measure.

    Attributes
    ----------
    model : {"LIF", "Theta"}
    n : int
        Number of neurons.
    outdegree : int
        Targets per neuron, K.
    rate : float
        Rate in Hz that the balance equation is given; the one that comes out is higher.
    rounds : int
        How often each contender has its turn.
    spikes, slow_spikes : int
        Spikes per turn of the window engine, and of the slower algorithms.
    seed : int
    """

    model: str
    n: int
    outdegree: int = 100
    rate: float = 1.0
    rounds: int = 5
    spikes: int = 200_000
    slow_spikes: int = 40_000
    seed: int = 1


QUICK = tuple(Case(model, n) for model in MODELS for n in (1000, 10_000, 100_000))
FULL = (
    *(Case(model, n, rounds=7) for model in MODELS for n in (1000, 10_000, 100_000, 1_000_000)),
    *(Case(model, 100_000, outdegree=10, rounds=7) for model in MODELS),
    *(Case(model, 100_000, outdegree=1000, spikes=20_000, slow_spikes=5000, rounds=7) for model in MODELS),
    *(Case(model, 100_000, rate=10.0, rounds=7) for model in MODELS),
)


# Measuring --------------------------------------------------------------------------------------------------------


def compare(case):
    """Measure one case.

    Parameters
    ----------
    case : Case

    Returns
    -------
    dict
        The case's attributes, and among others ``ns_per_synaptic_event`` (CPU time by contender: median, best, and
        every turn), ``ratio_to_window`` (medians over the rounds of the ratio within a round), and
        ``same_spikes_as_window`` (how many spikes from the common initial state are in the same order).

    Raises
    ------
    ParameterError
        For a model that is not there, or what :func:`sparseprop.balanced_network` refuses.
    KeyboardInterrupt
        On Ctrl-C.
    """
    if case.model not in MODELS:
        raise unknown_name("model", case.model, MODELS)
    began = time.process_time()
    net = balanced_network(
        case.n, MODELS[case.model](tau_m=10.0), case.outdegree, j0=1.0, rate=case.rate, seed=case.seed
    )
    construction = time.process_time() - began
    net = settled(net)
    window, heap = Simulation(net, engine="window"), Simulation(net, engine="heap")
    paper, prefetching = yardstick(net, PaperHeap), yardstick(net, PaperHeap, prefetching=True)
    conventional = yardstick(net, Conventional)
    targets = net.projections[0].adjacency.targets

    def engine(simulation, spikes):
        result = _run(simulation, spikes)
        return result.ids, result.n_synaptic_events

    def other(algorithm, spikes):
        return algorithm.advance(spikes)[1], spikes * case.outdegree

    contenders = {
        "window": (engine, window, case.spikes),
        "heap": (engine, heap, case.slow_spikes),
        "paper": (other, paper, case.slow_spikes),
        "paper_prefetching": (other, prefetching, case.slow_spikes),
        "conventional": (other, conventional, max(min(case.slow_spikes, ELEMENTS // case.n), 1)),
    }
    turns = {name: [] for name in CONTENDERS}
    bounds = {mode: [] for mode in PREFETCHING}
    same = None
    for _ in range(case.rounds):
        ids = {}
        for name, (run, it, spikes) in contenders.items():
            began = time.process_time_ns()
            ids[name], n_events = run(it, spikes)
            turns[name].append((time.process_time_ns() - began) / n_events)
        for mode in PREFETCHING:
            bounds[mode].append(random_updates(targets, case.outdegree, ids["window"], case.n, mode))
        turns["bound"].append(min(bounds[mode][-1] for mode in PREFETCHING))
        same = same or {name: _common(ids["window"], found) for name, found in ids.items()}
    return {
        **vars(case),
        "construction_cpu_seconds": construction,
        "n_synapses": net.n_synapses,
        "rate_hz": 1e3 * window.n_spikes / (case.n * window.time),
        "ns_per_synaptic_event": {name: _summary(values) for name, values in turns.items()},
        "bound_by_prefetching": {mode: _summary(values) for mode, values in bounds.items()},
        "us_per_spike": statistics.median(turns["window"]) * case.outdegree * 1e-3,
        "ratio_to_window": {
            name: statistics.median(x / w for x, w in zip(values, turns["window"], strict=True))
            for name, values in turns.items()
        },
        "same_spikes_as_window": same,
        "load_average": os.getloadavg(),
    }


def measure(cases, say, path=None, head=None):
    """Measure cases one after the other, telling of each.

    Parameters
    ----------
    cases : sequence of Case
    say : callable
        Takes a line of text.
    path : path, optional
        Where the report is written as JSON, again after each case.
    head : dict, optional
        What the report begins with; default: :func:`heading`.

    Returns
    -------
    dict
        The report: what was measured on what, and ``cases``.

    Raises
    ------
    StorageError
        If the report cannot be written.
    """
    report = {**(heading("bench", QUESTION) if head is None else head), "cases": []}
    save(report, path)
    for case in cases:
        say(f"{case.model}, N = {case.n:,}, K = {case.outdegree}, {case.rate:g} Hz wanted ...")
        report["cases"].append(compare(case))
        save(report, path)
    return report


def save(report, path):
    """Write a report as JSON; nothing if `path` is None."""
    if path is None:
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def settled(net):
    """The network with the state after two spikes per neuron as its initial one; the synapses are shared."""
    simulation = Simulation(net)
    _run(simulation, TRANSIENT_SPIKES_PER_NEURON * net.n_neurons)
    (old,) = net.populations
    # A voltage is rounded; at the threshold the spike would already be.
    V = np.minimum(simulation.V, np.nextafter(old.model.threshold(), -np.inf))
    return net._copy(lambda population: {"V": V})


def yardstick(net, algorithm, **options):
    """The paper's or the conventional algorithm for a network and its initial state.

    Parameters
    ----------
    net : Network
        One population of oscillating neurons without refractory period, one projection with equal weights and
        out-degrees.
    algorithm : {PaperHeap, Conventional}
    **options
        Of the algorithm.

    Returns
    -------
    PaperHeap or Conventional

    Raises
    ------
    ParameterError
        For any other network.
    """
    if len(net.populations) != 1 or len(net.projections) != 1:
        raise ParameterError("the yardsticks need a network of one population and one projection")
    (population,), (projection,) = net.engine_input().populations, net.projections
    model, rows = net.populations[0].model, projection.adjacency
    if model.size is not None or model.t_ref > 0.0 or not math.isfinite(model.free_period()):
        raise ParameterError("the yardsticks need equal neurons that oscillate without input, and no t_ref")
    if not isinstance(rows, Adjacency) or not isinstance(projection.weight, float) or np.ptp(np.diff(rows.offsets)):
        raise ParameterError("the yardsticks need stored synapses with equal weights and out-degrees")
    period = float(model.free_period())
    if model.is_linear and not model.has_currents:
        V_inf = model.E_L + model.I_e
        depth, omega = V_inf - model.V_reset, model.tau_m / period
        name, phases, threshold = "LIF", omega * np.log(depth / (V_inf - population.V)), 1.0
        kick = -projection.weight / depth
    elif model.is_quadratic:
        if math.isfinite(model.V_peak) or math.isfinite(model.V_reset):
            raise ParameterError("the yardsticks need QIF neurons with infinite V_peak and V_reset")
        root, omega = math.sqrt(model.I_e), 1.0
        name, phases, threshold = "QIF", 2.0 * np.arctan(population.V / root), np.pi
        kick = projection.weight / root
    else:
        raise ParameterError("the yardsticks need LIF, QIF or theta neurons, whose phases the paper's algorithm knows")
    phases = np.minimum(phases, np.nextafter(threshold, 0.0))
    return algorithm(name, phases, rows.targets, int(rows.offsets[1]), kick, omega, period, **options)


def _run(simulation, n_spikes):
    return simulation.run(n_spikes=n_spikes, progress=False, interrupt="raise")


def _common(a, b):
    """How many entries from the first on are equal."""
    n = min(a.size, b.size)
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if different.size else n


def _summary(values):
    return {"median": statistics.median(values), "best": min(values), "turns": values}


# What was measured on what ----------------------------------------------------------------------------------------

QUESTION = "What does a synaptic event cost, beside the paper's algorithm and the machine's bound?"


def heading(benchmark, question):
    """What a report begins with: the question, the command, the date, the machine, the build and the versions."""
    return {
        "benchmark": benchmark,
        "question": question,
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "build": build(),
        "versions": versions(),
    }


def machine():
    """Processor, cores, memory and load."""
    cpu = platform.processor()
    total = None
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
        total = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) * 1024
    except (OSError, TypeError):
        pass  # another system, or another processor; what is not known is not said
    return {
        "cpu": cpu,
        "cores": cores(),
        "memory_bytes": total,
        "load_average": os.getloadavg(),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
    }


def build():
    """Compiler and flags of the extension, as far as they are known."""
    found = re.search(rb"(GCC: \([ -~]+|(?:[ -~]*)clang version [ -~]+)", pathlib.Path(_core.__file__).read_bytes())
    return {
        "mode": _core.BUILD_MODE,
        "compiler": found[1].decode("ascii") if found else None,
        "flags_of_python": sysconfig.get_config_var("CFLAGS"),
        "fuses_multiply_add": _core.contracts_multiply_add(),
    }


def versions():
    """Versions of what takes part."""
    packages = {name: importlib.metadata.version(name) for name in ("sparseprop-sim", "numpy")}
    return {**packages, "python": platform.python_version()}


# Showing ----------------------------------------------------------------------------------------------------------


def markdown(columns, rows):
    """A table in Markdown, padded so that it reads well on a terminal too."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    )


def table(report):
    """The cases of a report as a table, and above it what it means.

    Parameters
    ----------
    report : dict
        What :func:`measure` returns.

    Returns
    -------
    str
    """
    headings = [heading for heading, _ in CONTENDERS.values()]
    rows = []
    for case in report["cases"]:
        cost, ratio = case["ns_per_synaptic_event"], case["ratio_to_window"]
        rows.append(
            [
                *(case["model"], f"{case['n']:,}", case["outdegree"], f"{case['rate_hz']:.3g}"),
                *(f"{cost[name]['median']:.3g}" for name in CONTENDERS),
                f"{ratio['paper']:.1f}x ({ratio['paper_prefetching']:.1f}x)",
                f"{ratio['bound']:.0%} ({1.0 / ratio['bound']:.2f}x)",
            ]
        )
    contenders = "\n".join(f"  {name:13} {meaning}" for name, meaning in CONTENDERS.values())
    cells = markdown(["model", "N", "K", "Hz", *headings, "speed-up", "of bound"], rows)
    return EXPLANATION.format(contenders=contenders) + f"\n\n{cells}"


EXPLANATION = """\
Nanoseconds of CPU time per synaptic event (one kick of one target neuron), medians of turns in one process:

{contenders}

Speed-up: of window over paper (over paper+). Of bound: the share of window's time that the memory accesses alone would
take (window's time in units of the bound). Both are medians of the ratios within a round. Hz is the neurons' rate."""


def plot(report, path):
    """Draw costs over the number of neurons, for the cases at the paper's K and rate.

    Parameters
    ----------
    report : dict
        What :func:`measure` returns.
    path : path
        The picture; its suffix is its format.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    StorageError
        If the picture cannot be written.
    """
    panels = {}
    for model in MODELS:
        cases = [c for c in report["cases"] if (c["model"], c["outdegree"], c["rate"]) == (model, 100, 1.0)]
        panels[f"{model}, K = 100"] = {
            label: ([c["n"] for c in cases], [c["ns_per_synaptic_event"][name]["median"] for c in cases])
            for name, (label, _) in CONTENDERS.items()
        }
    save_lines(panels, path, "number of neurons N", "CPU time per synaptic event (ns)")


def save_lines(panels, path, xlabel, ylabel):
    """Draw curves on logarithmic axes into a file.

    Parameters
    ----------
    panels : dict
        By title a dictionary of curves: by name x and y; all with the same names. Panels without points are left out.
    path : path
    xlabel, ylabel : str

    Raises
    ------
    ImportError, StorageError
        As :func:`plot`.
    """
    _require_matplotlib()
    from matplotlib.figure import Figure

    panels = {title: curves for title, curves in panels.items() if any(x for x, _ in curves.values())}
    figure = Figure(figsize=(1.5 + 4.5 * max(len(panels), 1), 4.0), layout="constrained")
    for k, (title, curves) in enumerate(panels.items()):
        ax = figure.add_subplot(1, len(panels), k + 1)
        for color, (name, (x, y)) in zip(itertools.cycle(COLORS), curves.items(), strict=False):
            ax.loglog(x, y, "o-", color=color, label=name, markersize=4)
        ax.set_title(title)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.grid(alpha=0.3)
    if panels:  # all have the same curves
        figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize="small")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
