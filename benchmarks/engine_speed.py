"""What do a spike and a synaptic event cost, and how much memory does a network take?

The balanced inhibitory network of the SparseProp paper (j0 = 1, 1 Hz wanted, tau_m = 10 ms) with a fixed out-degree,
LIF and Theta neurons, for several sizes and engines. Each case has a process of its own, so that its peak memory is
its own, and does this:

1. build the network and the simulation (timed together);
2. a transient that is not timed: two spikes per neuron, or fewer if `--transient-seconds` of CPU time pass first;
3. `--repeats` times: go on for `--spikes` spikes, recorded in memory, and take the CPU time of the process and the
   wall time.

The figure to compare is the CPU time. Wall time suffers from whatever else the machine does.

    python benchmarks/engine_speed.py -o result.json
    python benchmarks/engine_speed.py --sizes 1000 10000 --spikes 100000 --engines heap --repeats 5
"""

import argparse
import ast
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import sysconfig
import time

import sparseprop as sp
from sparseprop import _core
from sparseprop.simulation import ENGINES

MODELS = {"LIF": sp.LIF, "Theta": sp.Theta}
ROOT = pathlib.Path(__file__).resolve().parent.parent
TRANSIENT_SPIKES_PER_NEURON = 2


# One case, in a process of its own --------------------------------------------------------------------------------


def memory(name):
    """A line of /proc/self/status in bytes. (ru_maxrss would do for the peak, but a child inherits its parent's.)"""
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def run_case(case):
    """Build, settle and time one network; `case` is what :func:`main` puts together."""
    before = memory("VmRSS")
    began = time.process_time(), time.perf_counter()
    net = sp.balanced_network(
        case["n"], MODELS[case["model"]](tau_m=10.0), outdegree=case["outdegree"], j0=1.0, rate=1.0, seed=case["seed"]
    )
    simulation = sp.Simulation(net, engine=case["engine"])
    construction = time.process_time() - began[0], time.perf_counter() - began[1]

    began = time.process_time()
    wanted = TRANSIENT_SPIKES_PER_NEURON * case["n"]
    while simulation.n_spikes < wanted and time.process_time() - began < case["transient_seconds"]:
        # In pieces of about a twentieth, which are short enough for the limit of time also with a slow engine.
        simulation.run(n_spikes=min(max(wanted // 20, 1), 2000, wanted - simulation.n_spikes), progress=False)
    transient = {
        "spikes_wanted": wanted,
        "spikes": simulation.n_spikes,
        "simulated_ms": simulation.time,
        "cpu_seconds": time.process_time() - began,
    }

    repeats = []
    for _ in range(case["repeats"]):
        began = time.process_time(), time.perf_counter()
        result = simulation.run(n_spikes=case["spikes"], progress=False)
        cpu, wall = time.process_time() - began[0], time.perf_counter() - began[1]
        if result.stop_reason != sp.StopReason.SPIKES:
            raise RuntimeError(f"the run ended early: {result.stop_reason}")
        repeats.append(
            {
                "cpu_seconds": cpu,
                "wall_seconds": wall,
                "n_spikes": result.n_spikes,
                "n_synaptic_events": result.n_synaptic_events,
                "simulated_ms": result.duration,
                "rate_hz": result.rate,
                "us_per_spike": 1e6 * cpu / result.n_spikes,
                "ns_per_synaptic_event": 1e9 * cpu / result.n_synaptic_events,
            }
        )
    return {
        **case,
        "construction_cpu_seconds": construction[0],
        "construction_wall_seconds": construction[1],
        "transient": transient,
        "repeats": repeats,
        "us_per_spike": summary(repeats, "us_per_spike"),
        "ns_per_synaptic_event": summary(repeats, "ns_per_synaptic_event"),
        "wall_us_per_spike": summary([{"w": 1e6 * r["wall_seconds"] / r["n_spikes"]} for r in repeats], "w"),
        "rate_hz": sum(r["n_spikes"] for r in repeats) / case["n"] / sum(r["simulated_ms"] for r in repeats) * 1e3,
        "peak_memory_bytes": memory("VmHWM"),
        "memory_before_bytes": before,
        "estimated_memory_bytes": net.estimate_memory(),
        "load_average": os.getloadavg(),
    }


def summary(repeats, name):
    """Median and best of the repeats."""
    values = [repeat[name] for repeat in repeats]
    return {"median": statistics.median(values), "best": min(values)}


# What was measured on what ----------------------------------------------------------------------------------------


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
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": total,
        "load_average": os.getloadavg(),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
    }


def commit():
    """Commit of the source tree around this script, and whether files differ from it; None outside of git."""

    def git(*arguments):
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def build():
    """Compiler and flags of the extension, as far as they are known."""
    found = re.search(rb"(GCC: \([ -~]+|(?:[ -~]*)clang version [ -~]+)", pathlib.Path(_core.__file__).read_bytes())
    flags = None
    try:
        # The package may have been built from another tree; what this one would use is the best there is to know.
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "compile_args":
                flags = ast.literal_eval(node.value)
                break
    except OSError:
        pass
    return {
        "mode": _core.BUILD_MODE,
        "compiler": found[1].decode("ascii") if found else None,
        "flags_of_setup_py": flags,
        "flags_of_python": sysconfig.get_config_var("CFLAGS"),
        "fuses_multiply_add": _core.contracts_multiply_add(),
    }


def versions():
    """Versions of what takes part."""
    packages = {name: importlib.metadata.version(name) for name in ("sparseprop-sim", "numpy")}
    return {**packages, "python": platform.python_version()}


# All of them ------------------------------------------------------------------------------------------------------


def measure(case):
    """The case's figures, or what went wrong, from a fresh process."""
    command = [sys.executable, os.path.abspath(__file__), "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {**case, "error": done.stderr.strip() or f"exit code {done.returncode}"}
    return json.loads(done.stdout)


HEADER = (
    "| N | model | engine | us per spike, median (best) | ns per synaptic event | wall / CPU | rate (Hz) | "
    "spikes per neuron before | construction (s) | peak memory (MiB) |\n| " + " | ".join(10 * ["---"]) + " |"
)


def table_row(done):
    """One row of the table, in Markdown."""
    if "error" in done:
        return f"| {done['n']} | {done['model']} | {done['engine']} | failed: {done['error'].splitlines()[-1]} |"
    spike, event = done["us_per_spike"], done["ns_per_synaptic_event"]
    before = done["transient"]["spikes"] / done["n"]
    return (
        f"| {done['n']} | {done['model']} | {done['engine']} | {spike['median']:.3g} ({spike['best']:.3g}) "
        f"| {event['median']:.3g} ({event['best']:.3g}) | {done['wall_us_per_spike']['median'] / spike['median']:.2f} "
        f"| {done['rate_hz']:.3f} | {before:.2g} | {done['construction_cpu_seconds']:.2f} "
        f"| {done['peak_memory_bytes'] / 2**20:.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--spikes", type=int, default=200_000, help="of each repeat (default: %(default)s)")
    parser.add_argument(
        "--engines",
        nargs="+",
        choices=list(ENGINES),
        default=[name for name in ENGINES if name != "reference"],
        help="default: all compiled ones",
    )
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--transient-seconds", type=float, default=10.0, help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("-o", "--out", metavar="FILE.json", help="where the figures go")
    parser.add_argument("--case", help=argparse.SUPPRESS)  # used for the processes of the single cases
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(run_case(json.loads(options.case))))
        return 0

    report = {
        "benchmark": "engine_speed",
        "question": "What do a spike and a synaptic event of the paper's balanced network cost?",
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "source": commit(),
        "build": build(),
        "versions": versions(),
        "seed": options.seed,
        "cases": [],
    }
    print(HEADER, flush=True)
    for model in options.models:
        for engine in options.engines:
            for n in options.sizes:
                case = {"n": n, "model": model, "engine": engine, "outdegree": options.outdegree, "seed": options.seed}
                case |= {name: getattr(options, name) for name in ("spikes", "repeats", "transient_seconds")}
                report["cases"].append(measure(case))
                print(table_row(report["cases"][-1]), flush=True)
                if options.out is not None:  # also after each case, in case a later one takes too long
                    with open(options.out, "w", encoding="utf-8") as file:
                        json.dump(report, file, indent=1)
    failed = [case for case in report["cases"] if "error" in case]
    for case in failed:
        print(f"\n{case['model']}, N = {case['n']}, {case['engine']}:\n{case['error']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
