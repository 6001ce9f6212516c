"""The command ``sparseprop``: a demonstration, runs of configuration files, a look at what came out, a benchmark.

Exit codes: 0 success, 1 an error (one line on stderr says which), 2 wrong usage, 130 interrupted by Ctrl-C.
"""

import argparse
import contextlib
import importlib.metadata
import logging
import math
import os
import sys
import tomllib
import warnings

import numpy as np

from . import errors
from .errors import FileFormatError, ParameterError, StorageError, unknown_name
from .models import LIF
from .network import Network, balanced_network
from .result import load
from .simulation import ENGINES, StopReason

__all__ = ["main"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
FAILURES = (*(getattr(errors, name) for name in errors.__all__), OSError, MemoryError, ImportError)
RUN_KEYS = ("duration", "n_spikes", "engine", "seed")
CV_MAX_SPIKES = 50_000_000  # the CV needs all spikes in memory
CV_MIN_SPIKES = 20  # per neuron; with fewer the CV is visibly too small

ENDS = {
    StopReason.TIME: "the time was reached",
    StopReason.SPIKES: "the number of spikes was reached",
    StopReason.QUIESCENT: "the network is silent: no neuron will ever fire again without input",
    StopReason.INTERRUPTED: "it was interrupted",
}

EXIT_CODES = "exit codes: 0 success, 1 error (one line on stderr), 2 wrong usage, 130 interrupted by Ctrl-C"

DEMO_HELP = """\
Simulate the balanced network of the SparseProp paper (Engelken 2023): leaky integrate-and-fire neurons
(tau 10 ms) that inhibit 100 others each (K = 100, j0 = 1) and fire irregularly, although no noise drives
them. Writes raster.h5 (all spikes) and raster.png (a picture; needs matplotlib) into the current folder, and
replaces files of these names there. Takes some seconds."""

DEMO_EXAMPLE = """\
examples:
  sparseprop demo
  sparseprop demo --neurons 10000 --duration 5000"""

RUN_HELP = """\
Run the network of a configuration file and stream its spikes into an HDF5 raster (SONATA layout), which
sp.load(), `sparseprop info` and `sparseprop plot` read. Ctrl-C ends the run early; what was recorded stays in
the file."""

RUN_EXAMPLE = """\
example:
  sparseprop run network.toml -o raster.h5 --duration 500

The configuration is TOML: what sp.Network.from_dict takes, and a table [run] that the command line overrules:

  seed = 1

  [[populations]]
  name = "neurons"
  n = 1000
  model = { name = "LIF", tau_m = 10.0, I_e = 1.1 }

  [[projections]]
  pre = "neurons"
  post = "neurons"
  rule = { name = "fixed_outdegree", k = 100 }
  weight = -0.1

  [run]
  duration = 1000.0     # ms; here or on the command line there must be a duration, n_spikes, or both
  n_spikes = 100000     # stop after this many spikes; whichever comes first ends the run
  engine = "heap"
  seed = 2              # of the initial states, if they are to differ from the network's own"""

INFO_HELP = """\
Describe a file. Of a raster: populations, spikes, rates, duration, seed, versions, whether the run finished,
and the network. Of a configuration (*.toml): the network that it builds and the memory that takes."""

INFO_EXAMPLE = """\
examples:
  sparseprop info raster.h5
  sparseprop info network.toml"""

PLOT_HELP = """\
Draw the spikes of a raster, or of any SONATA spike file, over a histogram of the population rates. The suffix
of the picture's name is its format (.png, .pdf, .svg, ...)."""

PLOT_EXAMPLE = """\
examples:
  sparseprop plot raster.h5
  sparseprop plot raster.h5 -o raster.pdf --from 200 --to 400 --neurons 1000"""

BENCH_HELP = """\
Measure what a synaptic event costs on this machine: with this package, with the algorithm of the SparseProp paper,
with the conventional algorithm, and by the machine's bound, its random memory accesses. All take turns in one process
on the paper's balanced network. Writes bench.json (all figures, and on what they were measured) and bench.png (a
picture; needs matplotlib), and replaces files of these names. Takes about half a minute; with --full some minutes
and 1 GiB."""

BENCH_EXAMPLE = """\
examples:
  sparseprop bench
  sparseprop bench --full -o results"""


def main(argv=None):
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; default: those of the process.

    Returns
    -------
    int
        The exit code.
    """
    try:
        arguments = _parser().parse_args(argv)
        code = arguments.command(arguments)
    except SystemExit as stop:  # argparse, after its help or its error
        code = stop.code or OK
    except KeyboardInterrupt as interrupt:
        code = _interrupted(str(interrupt))
    except FAILURES as error:
        code = _failed(error)
    return _flushed(code)


# Subcommands ------------------------------------------------------------------------------------------------


def _demo(arguments):
    outdegree = 100
    _say(
        f"The balanced network of the SparseProp paper: {arguments.neurons:,} leaky integrate-and-fire "
        f"neurons, each of which inhibits {outdegree} others.\n"
    )
    net = balanced_network(arguments.neurons, LIF(tau_m=10.0), outdegree, j0=1.0, seed=arguments.seed)
    _say(net)
    _say(f"\nSimulating {arguments.duration:g} ms, from spike to spike, without time steps ...")
    result = _simulate(net, "raster.h5", {"duration": arguments.duration}, progress=None)
    if result.stop_reason == StopReason.INTERRUPTED:
        return _interrupted(_what_is_kept(result))
    _say(f"\n{_summary(result)}\n")
    _say('raster.h5   all spikes; in Python: sparseprop.load("raster.h5")')
    neurons = min(1000, arguments.neurons)
    try:
        _picture(result, "raster.png", neurons=neurons)
    except ImportError as error:
        _say(f"raster.png  was skipped: {error}")
    else:
        _say(f"raster.png  a picture: the spikes of the first {neurons:,} neurons over the rate of all")
    return OK


def _run(arguments):
    config = _read_config(arguments.config)
    options = _run_table(config, arguments.config)
    for key in RUN_KEYS:
        if getattr(arguments, key) is not None:
            options[key] = getattr(arguments, key)
    if arguments.seed is not None:
        config["seed"] = arguments.seed
    if "duration" not in options and "n_spikes" not in options:
        raise ParameterError(
            "nothing says when to stop: give --duration MS or --n-spikes N, or duration or "
            f"n_spikes in the table [run] of {arguments.config}"
        )
    if os.path.exists(arguments.out) and os.path.samefile(arguments.config, arguments.out):
        raise ParameterError(f"-o must not be the configuration itself, {arguments.out}; give another name")
    net = _build(config, arguments.config)
    say = _ignore if arguments.quiet else _say
    say(net)
    result = _simulate(net, arguments.out, options, progress=False if arguments.quiet else None)
    if result.stop_reason == StopReason.INTERRUPTED:
        return _interrupted(_what_is_kept(result))
    say(f"\n{_summary(result)}\n\nSpikes are in {arguments.out}")
    return OK


def _info(arguments):
    if not arguments.file.lower().endswith(".toml"):
        return _info_raster(arguments.file)
    config = _read_config(arguments.file)
    options = _run_table(config, arguments.file)
    _say(_build(config, arguments.file))
    if options:
        _say("  run: " + ", ".join(f"{key} {value}" for key, value in options.items()))
    return OK


def _info_raster(path):
    from .raster import raster_info

    info = raster_info(path)
    header, footer = info["header"], info["footer"] or {}
    sizes, t_start, t_stop = dict(info["populations"]), header.get("t_start", 0.0), footer.get("t_stop")
    until = ""
    if t_stop is None:  # not finished, or not ours: the spikes themselves must tell
        result = _load(path)
        sizes = {population.name: population.n for population in result.populations}
        t_stop, until = result.t_stop, " (the last spike)"
    duration = t_stop - t_start
    _say(
        f"{path}: {info['n_spikes']:,} spikes of {sum(sizes.values()):,} neurons from {t_start:g} to "
        f"{t_stop:g} ms{until}"
    )
    for name, n in sizes.items():
        count = info["counts"][name]
        rate = f", {1e3 * count / (n * duration):.4g} Hz" if n and duration > 0.0 else ""
        _say(f"  {name}: {n:,} neurons, {count:,} spikes{rate}")
    if not info["finished"]:
        _say("  the run did not finish, or still goes on")
    elif footer.get("stop_reason") in ENDS:
        _say(f"  the run ended because {ENDS[footer['stop_reason']]}")
    elif footer.get("recovered"):
        _say("  recovered from a run that did not finish")
    known = [f"{key} {header[key]}" for key in ("seed", "engine") if key in header]
    known += [f"{name} {version}" for name, version in header.get("versions", {}).items()]
    if known:
        _say(f"  {', '.join(known)}")
    if "network" in header:
        _say("  network:")
        for line in _described(header["network"]):
            _say(f"    {line}")
    return OK


def _plot(arguments):
    result = _load(arguments.file)
    out = arguments.out or os.path.splitext(arguments.file)[0] + ".png"
    _picture(result, out, t_start=arguments.start, t_stop=arguments.stop, neurons=arguments.neurons)
    _say(f"The picture is in {out}")
    return OK


def _bench(arguments):
    from . import bench

    report_path, picture = (os.path.join(arguments.out, name) for name in ("bench.json", "bench.png"))
    try:
        os.makedirs(arguments.out, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {arguments.out}: {error.strerror}") from error
    try:
        report = bench.measure(bench.FULL if arguments.full else bench.QUICK, _say, report_path)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; what was measured until then is in {report_path}") from None
    _say(f"\n{bench.table(report)}\n")
    load = max(case["load_average"][0] for case in report["cases"])
    if load > report["machine"]["cores"]:
        _say(
            f"The machine was busy (load {load:.1f} on {report['machine']['cores']} cores): repeat it on a quiet one.\n"
        )
    _say(f"{report_path}   all figures")
    try:
        bench.plot(report, picture)
    except ImportError as error:
        _say(f"{picture}    was skipped: {error}")
    else:
        _say(f"{picture}    a picture")
    return OK


# Their parts ------------------------------------------------------------------------------------------------


def _read_config(path):
    """The content of a TOML file."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no text in UTF-8 (byte {error.start})") from error


def _run_table(config, path):
    """Take the table [run] out of a configuration."""
    options = config.pop("run", {})
    if not isinstance(options, dict):
        raise ParameterError(f"{path}: run must be a table, [run], got {options!r}")
    for key in options:
        if key not in RUN_KEYS:
            raise ParameterError(f"{path}: {unknown_name('entry of [run]', key, RUN_KEYS)}")
    return options


def _build(config, path):
    """The network of a configuration; messages begin with its name."""
    try:
        return Network.from_dict(config)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error


def _simulate(net, out, options, progress):
    """Run and record into a file."""
    with _without_log():
        try:
            return net.run(**options, record=out, progress=progress)
        except KeyboardInterrupt:  # before the first spike, or a second Ctrl-C that did not wait for the file
            raise KeyboardInterrupt(f"; what was recorded until then is in {out}") from None


@contextlib.contextmanager
def _without_log():
    """Keep the library's log from the terminal: the command has its own words for an interrupt."""
    log, handler = logging.getLogger("sparseprop"), logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _load(path):
    """A raster; warnings about it become a line on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = load(path)
    for warning in caught:
        _complain(f"warning: {warning.message}")
    return result


def _picture(result, path, **options):
    from .plotting import save_raster_plot

    save_raster_plot(result, path, **options)


def _summary(result):
    """What happened, for people who have not seen such a result before."""
    lines = [f"Spikes        {result.n_spikes:,} in {result.duration:g} ms of the network's time"]
    if result.duration > 0.0:
        lines.append(f"Rate          {result.rate:.3g} Hz: spikes of a neuron per second, on average")
    cv = result.cv_isi if result.n_spikes <= CV_MAX_SPIKES else math.nan
    if not math.isnan(cv):
        lines.append(
            f"Irregularity  {cv:.2f}: the CV of the intervals between a neuron's spikes (a clock "
            "has 0, a Poisson process 1)"
        )
        if result.n_spikes < CV_MIN_SPIKES * result.n_neurons:
            lines.append("              (short runs miss the long intervals: it grows with the duration)")
    if result.stop_reason != StopReason.TIME:
        lines.append(f"End           {ENDS[result.stop_reason]}")
    speed = f"Computing     {result.wall_time:.3g} s"
    if result.n_synaptic_events:
        speed += (
            f": {1e6 * result.wall_time / result.n_spikes:.3g} microseconds per spike, "
            f"{1e9 * result.wall_time / result.n_synaptic_events:.3g} ns per synaptic event"
        )
    return "\n".join([*lines, speed])


def _what_is_kept(result):
    return f" at {result.t_stop:g} ms; the {result.n_spikes:,} spikes until then are in {result.path}"


def _described(network):
    """Lines about a network in its dictionary form, without building it."""
    yield f"seed {network['seed']}"
    for population in network["populations"]:
        yield f"{population['name']}: {population['n']:,} neurons, {_call(population['model'])}"
    for projection in network["projections"]:
        weight = f", weight {_short(projection['weight'])}" if "weight" in projection else ""
        yield f"{projection['pre']} -> {projection['post']}: {_call(projection['rule'])}{weight}"


def _call(table):
    """``name(key=value, ...)`` of a model's or a rule's table."""
    parameters = [f"{key}={_short(value)}" for key, value in table.items() if key != "name"]
    return f"{table['name']}({', '.join(parameters)})"


def _short(value):
    """A value in a few characters."""
    if isinstance(value, (list, tuple)) and len(value) > 3:
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        span = f" from {value.min():g} to {value.max():g}" if value.size else ""
        return f"<{value.size:,} values{span}>"
    return f"{value:g}" if isinstance(value, float) else str(value)


# Talking ----------------------------------------------------------------------------------------------------


def _say(text):
    _print(text, sys.stdout)


def _complain(text):
    _print(f"sparseprop: {text}", sys.stderr)


def _ignore(text):
    """Say nothing."""


def _print(text, file):
    """Print at once. When nobody reads any more (``| head``), go on with the work in silence."""
    try:
        print(text, file=file, flush=True)
    except BrokenPipeError:
        _silence(file)


def _silence(file):
    """Let all further output to `file`, and Python's own at exit, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def _flushed(code):
    """The exit code, after everything was printed; Python's flush at exit would end in a traceback."""
    if sys.stdout is None:  # closed by the shell
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        if code == OK and not isinstance(error, BrokenPipeError):
            code = _failed(error)
    return code


def _failed(error):
    message = str(error) or type(error).__name__
    _complain("error: " + " ".join(message.splitlines()))
    return FAILED


def _interrupted(what):
    _complain(f"interrupted{what}")
    return INTERRUPTED


# Arguments --------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """argparse with one line per error."""

    def error(self, message):
        self.exit(USAGE, f"sparseprop: error: {message} (see `{self.prog} --help`)\n")


def _time(text):
    """An argument that is a time in ms."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        raise argparse.ArgumentTypeError(f"must be a time >= 0 in ms, got {text!r}")
    return value


def _whole(low):
    """A type for arguments that are whole numbers >= `low`."""

    def whole(text):
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"must be a whole number >= {low}, got {text!r}")
        return value

    return whole


def _parser():
    parser = _Parser(
        prog="sparseprop",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Exact event-based simulation of sparse spiking networks.",
        epilog=f"Begin with `sparseprop demo`. `sparseprop COMMAND --help` tells more.\n\n{EXIT_CODES}",
    )
    parser.add_argument(
        "--version", action="version", version=f"sparseprop {importlib.metadata.version('sparseprop-sim')}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name, function, summary, description, example):
        sub = commands.add_parser(
            name,
            help=summary,
            description=description,
            epilog=f"{example}\n\n{EXIT_CODES}",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=function)
        return sub

    demo = command("demo", _demo, "simulate the paper's network of 100,000 neurons", DEMO_HELP, DEMO_EXAMPLE)
    demo.add_argument(
        "--neurons",
        type=_whole(101),
        default=100_000,
        metavar="N",
        help="number of neurons, more than 100 (default: 100000)",
    )
    demo.add_argument(
        "--duration", type=_time, default=1000.0, metavar="MS", help="time to simulate in ms (default: 1000)"
    )
    demo.add_argument(
        "--seed", type=_whole(0), default=1, metavar="N", help="of the wiring and the initial states (default: 1)"
    )

    run = command("run", _run, "run the network of a configuration file", RUN_HELP, RUN_EXAMPLE)
    run.add_argument("config", metavar="CONFIG.toml", help="the network")
    run.add_argument("-o", "--out", required=True, metavar="OUT.h5", help="the raster; an existing file is replaced")
    run.add_argument("--duration", type=_time, metavar="MS", help="time to simulate in ms (default: that of [run])")
    run.add_argument(
        "--n-spikes", type=_whole(0), metavar="N", help="stop after this many spikes (default: that of [run])"
    )
    run.add_argument(
        "--engine",
        choices=tuple(ENGINES),
        help="how to compute; both give the same spikes (default: that of [run], else heap)",
    )
    run.add_argument(
        "--seed", type=_whole(0), metavar="N", help="of everything random, in place of the configuration's seeds"
    )
    run.add_argument("--quiet", action="store_true", help="print nothing but errors, and show no progress")

    info = command("info", _info, "describe a raster or a configuration file", INFO_HELP, INFO_EXAMPLE)
    info.add_argument("file", metavar="FILE", help="a raster, or a configuration (*.toml)")

    plot = command("plot", _plot, "draw a raster", PLOT_HELP, PLOT_EXAMPLE)
    plot.add_argument("file", metavar="FILE.h5", help="the raster")
    plot.add_argument("-o", "--out", metavar="OUT.png", help="the picture (default: FILE.png beside it)")
    plot.add_argument("--from", dest="start", type=_time, metavar="MS", help="begin, in ms (default: all)")
    plot.add_argument("--to", dest="stop", type=_time, metavar="MS", help="end, in ms (default: all)")
    plot.add_argument(
        "--neurons", type=_whole(1), metavar="N", help="show only the first N neurons of each population (default: all)"
    )

    bench = command("bench", _bench, "measure the speed on this machine", BENCH_HELP, BENCH_EXAMPLE)
    sizes = bench.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="1000 to 100,000 neurons (the default)")
    sizes.add_argument("--full", action="store_true", help="up to a million neurons, and other K and rates")
    bench.add_argument(
        "-o", "--out", default=".", metavar="DIR", help="folder for the files (default: the current one)"
    )
    return parser
