"""What all benchmark scripts share: the head of a report, cases in processes of their own, memory, tables, plots."""

import argparse
import ast
import contextlib
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import time

from sparseprop import EIF, LIFExp
from sparseprop.bench import suite as bench
from sparseprop.bench.suite import markdown, save, save_lines  # most of it for the scripts

__all__ = [
    "MODELS",
    "Skip",
    "in_process",
    "markdown",
    "memory",
    "options_of",
    "picture",
    "report_head",
    "run_standalone",
    "save",
    "settle",
    "skipped_without",
    "version_of",
]

# LIFExp: a current that is half as slow as the membrane.
MODELS = {**bench.MODELS, "LIFExp": lambda tau_m: LIFExp(tau_m=tau_m, tau_syn=0.5 * tau_m), "EIF": EIF}

ROOT = pathlib.Path(__file__).resolve().parent.parent


def options_of(parser, run_case, quick):
    """The options of a script; in a process that it began for a single case, runs that and ends.

    Parameters
    ----------
    run_case : callable
        From a case to its figures, both dictionaries.
    quick : dict
        The defaults with ``--quick``.
    """
    parser.add_argument("--quick", action="store_true", help="other defaults, for a minute")
    parser.add_argument("-o", "--out", metavar="FILE.json", help="where the figures go")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**quick)
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(run_case(json.loads(options.case))))
        sys.exit(0)
    return options


def report_head(benchmark, question, **more):
    """What a report begins with; beside what the package knows, the commit and the flags of this tree."""
    head = bench.heading(benchmark, question)
    # The package may have been built from another tree; what this one would use is the best there is to know.
    head["build"]["flags_of_setup_py"] = flags()
    return {**head, "source": commit(), **more}


def commit():
    """Commit of the source tree around this script, and whether files differ from it; None outside of git."""

    def git(*arguments):
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def flags():
    """The compiler's flags in setup.py of this tree, or None."""
    try:
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "compile_args":
                return ast.literal_eval(node.value)
    except OSError:
        pass
    return None


def memory(name):
    """A line of /proc/self/status in bytes. (ru_maxrss would do for the peak, but a child inherits its parent's.)"""
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def in_process(script, case, timeout=None):
    """The figures of a case from a fresh ``script --case JSON``, or the case with ``error``: what went wrong."""
    command = [sys.executable, str(script), "--case", json.dumps(case)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {**case, "error": f"took longer than {timeout:g} s"}
    if done.returncode != 0:
        return {**case, "error": done.stderr.strip() or f"exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])  # simulators greet on stdout


def settle(simulation, wanted, seconds):
    """Run for `wanted` spikes, or fewer if that many seconds of CPU time pass first; what was done."""
    began = time.process_time()
    while simulation.n_spikes < wanted and time.process_time() - began < seconds:
        # In pieces of about a twentieth, which are short enough for the limit of time also with a slow engine.
        piece = max(wanted // 20, 1) if simulation.n_spikes else min(wanted, 2000)
        simulation.run(n_spikes=min(piece, wanted - simulation.n_spikes), progress=False, interrupt="raise")
    return {
        "spikes_wanted": wanted,
        "spikes": simulation.n_spikes,
        "simulated_ms": simulation.time,
        "cpu_seconds": time.process_time() - began,
    }


def picture(report_path, panels, xlabel, ylabel):
    """Draw curves into a file beside the report; without matplotlib, say so."""
    if report_path is None:
        return
    try:
        save_lines(panels, pathlib.Path(report_path).with_suffix(".png"), xlabel, ylabel)
    except ImportError as error:
        print(f"the picture was skipped: {error}", file=sys.stderr)


# Other simulators, which may not be there -----------------------------------------------------------------------------


class Skip(Exception):
    """Why a simulator was left out."""


@contextlib.contextmanager
def skipped_without(module, distribution=None):
    """Turn the failure of an import into a reason to skip."""
    try:
        yield
        importlib.metadata.version(distribution or module)
    except Exception as error:  # an installed package that does not fit to its dependencies fails with anything
        raise Skip(f"cannot import {module}: {error}") from error


def version_of(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_standalone(brian2, net, duration, folder):
    """CPU seconds of the run of a Brian2 network for `duration` ms, as the C++ program that is built in a folder."""
    device = brian2.device
    device.insert_code("before_network_run", "const clock_t run_began = clock();")
    device.insert_code(
        "after_network_run",
        'std::ofstream("cpu_seconds.txt") << double(clock() - run_began) / CLOCKS_PER_SEC;',
    )
    net.run(duration * brian2.ms)
    device.build(directory=folder, compile=True, run=True, debug=False)
    return float(next(pathlib.Path(folder).rglob("cpu_seconds.txt")).read_text())
