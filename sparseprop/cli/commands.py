"""The command ``sparseprop``: a demonstration, runs and sweeps of configuration files, a look at what came out, and a
benchmark.

Exit codes: 0 success, 1 an error (one line on stderr says which), 2 wrong usage, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import logging
import math
import os
import warnings
from typing import TYPE_CHECKING

from .. import errors
from ..errors import FileFormatError, ParameterError, RankError, StorageError, shown
from ..files.raster_reader import raster_info, refuse_existing
from ..models import LIF
from ..network import balanced_network
from ..plotting import save_raster_plot
from ..run.loading import describe, load
from ..run.recording import Record
from ..run.simulation import ENGINES, Simulation
from ..run.stopping import REASONS, StopReason
from ..sweep import sweep
from ..viewer import view
from . import texts
from .configuration import RUN_KEYS, network_of, read_config, run_of, run_table, sweep_table, swept_network
from .descriptions import described, spikes_of, summary, what_is_kept
from .launched import is_first, ranks_of_run, refuse_ranks
from .talking import OK, USAGE, complain, failed, flushed, ignore, interrupted, say

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

FAILURES = (*(getattr(errors, name) for name in errors.__all__), OSError, MemoryError, ImportError)


def main(argv: Sequence[str] | None = None) -> int:
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
        if arguments.command is not _run:
            refuse_ranks(arguments.command.__name__.removeprefix("_"))
        code = arguments.command(arguments)
    except SystemExit as stop:  # argparse, after its help or its error
        code = stop.code or OK
    except KeyboardInterrupt as interrupt:
        code = interrupted(str(interrupt))
    except FAILURES as error:
        code = failed(error)
        if isinstance(error, (ParameterError, RankError)) and not is_first():
            code = OK  # the first process says it, and nobody is to end it before that
    return flushed(code)


def _demo(arguments):
    outdegree = 100
    say(
        f"The balanced network of the SparseProp paper: {arguments.neurons:,} leaky integrate-and-fire "
        f"neurons, each of which inhibits {outdegree} others.\n"
    )
    net = balanced_network(arguments.neurons, LIF(tau_m=10.0), outdegree, j0=1.0, seed=arguments.seed)
    if not _is_of_demo("raster.h5", net):
        _refuse_existing("raster.h5", arguments.overwrite, "or go to another folder")
    say(net)
    say(f"\nSimulating {arguments.duration:g} ms, from spike to spike, without time steps ...")
    result = _simulate(net, "raster.h5", {"duration": arguments.duration, "overwrite": True}, progress=None)
    if result.stop_reason == StopReason.INTERRUPTED:
        return interrupted(what_is_kept(result))
    say(f"\n{summary(result)}\n")
    say('raster.h5   all spikes; in Python: sparseprop.load("raster.h5")')
    neurons = min(1000, arguments.neurons)
    try:
        _picture(result, "raster.png", neurons=neurons)
    except ImportError as error:
        say(f"raster.png  was skipped: {error}")
    else:
        say(f"raster.png  a picture: the spikes of the first {neurons:,} neurons over the rate of all")
    return OK


def _is_of_demo(path, net):
    """Whether there is a raster that a demo wrote, and would write again: its network, of any size and seed."""
    try:
        header = raster_info(path)["header"]
        was, would_be = header["network"], net.to_dict()
        would_be["seed"], would_be["populations"][0]["n"] = was["seed"], was["populations"][0]["n"]
    except (FileFormatError, StorageError, LookupError):
        return False
    return was == would_be


def _refuse_existing(path, overwrite, or_else):
    """Refuse to replace a file, unless --overwrite was given."""
    refuse_existing(path, overwrite, "--overwrite", or_else)


def _run(arguments):
    config, options, record = run_of(arguments.config)
    if "sweep" in config:
        raise ParameterError(f"{arguments.config} has a table [sweep]; use `sparseprop sweep`, or take it out")
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
    ranks = ranks_of_run()
    with contextlib.nullcontext() if ranks is None else ranks.as_one():
        return _run_network(arguments, config, options, record, ranks)


def _run_network(arguments, config, options, record, ranks):
    """The run that was asked for, on all ranks; the first one looks after files."""
    writes = ranks is None or ranks.is_first
    _check_out(arguments)
    checkpoint = options.get("checkpoint")
    if arguments.resume and checkpoint is None:
        raise ParameterError("--resume needs --checkpoint FILE, or checkpoint in the table [run]: where the state is")
    resumed = arguments.resume and os.path.exists(checkpoint)
    if not resumed and writes:
        _refuse_existing(arguments.out, arguments.overwrite, "or another name after -o")
    net = network_of(config, arguments.config, ranks)
    tell = ignore if arguments.quiet else say
    tell(net)
    progress = False if arguments.quiet else None
    if resumed:
        simulation = Simulation.load(checkpoint, net, engine=options.get("engine"), comm=ranks)
        _check_same_run(simulation, net, checkpoint, options, Record(**(record | {"path": arguments.out})))
        if not simulation.is_resumable:
            tell(f"\nThe run has ended already, at {simulation.time:g} ms; spikes are in {arguments.out}")
            return OK
        tell(f"\nGoing on from {simulation.time:g} ms, where {checkpoint} was saved")
        with _without_log():
            result = simulation.resume(progress)
    else:
        record = Record(**(record | {"path": arguments.out, "overwrite": True}))
        result = _simulate(net, record, options, progress)
    if result.stop_reason == StopReason.INTERRUPTED:
        return interrupted(what_is_kept(result))
    tell(f"\n{summary(result)}\n\nSpikes are in {arguments.out}")
    return OK


def _check_same_run(simulation, net, checkpoint, options, record):
    """Refuse to resume a run that is not the one that was asked for: nothing of it can be changed now."""
    run = simulation.checkpointed_run
    if run is None:
        raise ParameterError(f"{checkpoint} is not a checkpoint of a run; Simulation.save wrote it. Load it in Python")
    seed = net.seed if options.get("seed") is None else options["seed"]
    pairs = [("seed", run["seed"], seed)]
    pairs += [(name, run[name], options.get(name)) for name in ("duration", "n_spikes", "every")]
    pairs.append(("-o", run["record"]["path"], record.to_dict()["path"]))
    for name, was, wanted in pairs:
        if was != wanted:
            raise ParameterError(
                f"{checkpoint} is of a run with {name} = {was}, and now it is {wanted}; resume with what the run was "
                "begun with, or begin anew with another checkpoint"
            )


def _sweep(arguments):
    path = arguments.config
    config = read_config(path)
    options = run_table(config, path, RUN_KEYS[:4])
    if "duration" not in options and "n_spikes" not in options:
        raise ParameterError(f"nothing says when to stop: give duration or n_spikes in the table [run] of {path}")
    grid = sweep_table(config, path)
    if not grid:
        raise ParameterError(f'{path} has no table [sweep]; add one, such as "projections.0.weight" = [-0.1, -0.2]')
    _check_out(arguments)
    with _without_log():
        result = sweep(
            functools.partial(swept_network, config),
            grid,
            **options,
            workers=arguments.workers,
            out=arguments.out,
            resume=arguments.resume,
            progress=False if arguments.quiet else None,
        )
    if result.interrupted:
        return interrupted(f"; the {len(result)} points that had finished are in {arguments.out}, use --resume")
    if not arguments.quiet:
        say(f"{result}\n\nThe table is in {arguments.out}")
    if result.failures:
        return failed(f"{len(result.failures)} of {len(result)} points failed: see the last column of {arguments.out}")
    return OK


def _info(arguments):
    if not arguments.file.lower().endswith(".toml"):
        return _info_raster(arguments.file)
    config = read_config(arguments.file)
    options = run_table(config, arguments.file)
    grid = sweep_table(config, arguments.file)
    say(network_of(config, arguments.file))
    if options:
        say("  run: " + ", ".join(f"{key} {value}" for key, value in options.items()))
    if grid:
        say(f"  sweep: {math.prod(map(len, grid.values()))} points of {', '.join(grid)}")
    return OK


def _info_raster(path):
    info = raster_info(path)
    header, footer = info["header"], info["footer"] or {}
    result, until = describe(path), ""
    if result is None:  # not finished, or not ours: the spikes themselves must tell
        result, until = _load(path), " (the last spike)"
    n_neurons = sum(population.n for population in result.populations)
    say(
        f"{path}: {info['n_spikes']:,} spikes of {n_neurons:,} neurons from {result.t_start:g} to "
        f"{result.t_stop:g} ms{until}"
    )
    for population in result.populations:
        say(f"  {population.name}: {spikes_of(result, population, info['counts'][population.name])}")
    if len(result.pieces) > 1:
        ends = ", ".join(f"{piece.t_stop:g}" for piece in result.pieces[:10])
        more = ", ..." if len(result.pieces) > 10 else ""
        say(f"  {len(result.pieces)} pieces of one simulation, which end at {ends}{more} ms")
    if not info["finished"]:
        say("  the run did not finish, or still goes on")
    elif footer.get("stop_reason") in REASONS:
        say(f"  the run ended because {REASONS[footer['stop_reason']]}")
    elif footer.get("recovered"):
        say("  recovered from a run that did not finish")
    known = [f"{key} {header[key]}" for key in ("seed", "engine") if key in header]
    known += [f"{name} {version}" for name, version in header.get("versions", {}).items()]
    if known:
        say(f"  {', '.join(known)}")
    if "network" in header:
        say("  network:")
        for line in described(header["network"]):
            say(f"    {line}")
    return OK


def _plot(arguments):
    result = _load(arguments.file)
    out = arguments.out or os.path.splitext(arguments.file)[0] + ".png"
    _picture(result, out, t_start=arguments.start, t_stop=arguments.stop, neurons=arguments.neurons)
    say(f"The picture is in {out}")
    return OK


def _view(arguments):
    given = {"t_start": arguments.start, "t_stop": arguments.stop, "max_spikes": arguments.max_spikes}
    given = {name: value for name, value in given.items() if value is not None}
    out = arguments.out or os.path.splitext(arguments.file)[0] + ".html"
    _refuse_existing(out, arguments.overwrite, "or another name after -o")
    page = view(_load(arguments.file), out, title=os.path.basename(arguments.file), overwrite=True, **given)
    say(f"The page is in {out} ({page.stat().st_size / 1e6:.2g} MB); open it in a browser")
    return OK


def _convert(arguments):
    from ..interop import convert

    options = {"source_format": arguments.source_format, "target_format": arguments.target_format}
    options |= {"spikes_only": arguments.spikes_only, "overwrite": arguments.overwrite}
    sizes = dict(arguments.size or ())
    known = {"sizes": sizes or None, "t_start": arguments.start, "t_stop": arguments.stop}
    options |= {name: value for name, value in known.items() if value is not None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = convert(arguments.source, arguments.target, **options)
    for warning in caught:
        complain(f"warning: {warning.message}")
    names = ", ".join(f"{info.name}: {info.n:,}" for info in result.populations)
    say(
        f"{len(result.times):,} spikes ({names} neurons) from {result.t_start:g} to {result.t_stop:g} ms are in "
        f"{arguments.target}"
    )
    return OK


def _bench(arguments):
    from ..bench import suite as bench

    report_path, picture = (os.path.join(arguments.out, name) for name in ("bench.json", "bench.png"))
    try:
        os.makedirs(arguments.out, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {arguments.out}: {error.strerror}") from error
    try:
        report = bench.measure(bench.FULL if arguments.full else bench.QUICK, say, report_path)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; what was measured until then is in {report_path}") from None
    say(f"\n{bench.table(report)}\n")
    load = max(case["load_average"][0] for case in report["cases"])
    if load > report["machine"]["cores"]:
        say(
            f"The machine was busy (load {load:.1f} on {report['machine']['cores']} cores): repeat it on a quiet one.\n"
        )
    say(f"{report_path}   all figures")
    try:
        bench.plot(report, picture)
    except ImportError as error:
        say(f"{picture}    was skipped: {error}")
    else:
        say(f"{picture}    a picture")
    return OK


def _check_out(arguments):
    if os.path.exists(arguments.out) and os.path.samefile(arguments.config, arguments.out):
        raise ParameterError(f"-o must not be the configuration itself, {arguments.out}; give another name")


def _simulate(net, record, options, progress):
    """Run and record into a file."""
    with _without_log():
        try:
            return net.run(**options, record=record, progress=progress)
        except KeyboardInterrupt:  # before the first spike, or a second Ctrl-C that did not wait for the file
            raise KeyboardInterrupt(f"; what was recorded until then is in {getattr(record, 'path', record)}") from None


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
        complain(f"warning: {warning.message}")
    return result


def _picture(result, path, **options):
    save_raster_plot(result, path, **options)


class _Parser(argparse.ArgumentParser):
    """argparse with one line per error."""

    def error(self, message):
        self.exit(USAGE, f"sparseprop: error: {message} (see `{self.prog} --help`)\n")


def _time(text, low=0.0, allowed="a time >= 0 in ms"):
    """An argument that is a time in ms."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= low):
        raise argparse.ArgumentTypeError(f"must be {allowed}, got {shown(text)}")
    return value


def _any_time(text):
    """An argument that is a time in ms, which in files of other programs may be below 0."""
    return _time(text, -math.inf, "a time in ms")


def _size(text):
    """An argument that is the size of a population."""
    name, _, n = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"must be NAME=N, such as E=8000, got {shown(text)}")
    return name, _whole(1)(n)


def _whole(low):
    """A type for arguments that are whole numbers >= `low`."""

    def whole(text):
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"must be a whole number >= {low}, got {shown(text)}")
        return value

    return whole


def _parser():
    parser = _Parser(
        prog="sparseprop",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Exact event-based simulation of sparse spiking networks.",
        epilog=f"Begin with `sparseprop demo`. `sparseprop COMMAND --help` tells more.\n\n{texts.EXIT_CODES}",
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
            epilog=f"{example}\n\n{texts.EXIT_CODES}",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=function)
        return sub

    demo = command(
        "demo", _demo, "simulate the paper's network of 100,000 neurons", texts.DEMO_HELP, texts.DEMO_EXAMPLE
    )
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
    demo.add_argument("--overwrite", action="store_true", help="replace a raster.h5 that is not of a demo")

    run = command("run", _run, "run the network of a configuration file", texts.RUN_HELP, texts.RUN_EXAMPLE)
    run.add_argument("config", metavar="CONFIG", help="the network (*.toml), or a raster (*.h5) to repeat")
    run.add_argument("-o", "--out", required=True, metavar="OUT.h5", help="the raster")
    run.add_argument("--overwrite", action="store_true", help="replace an existing file OUT.h5; else that is an error")
    run.add_argument("--duration", type=_time, metavar="MS", help="time to simulate in ms (default: that of [run])")
    run.add_argument(
        "--n-spikes", type=_whole(0), metavar="N", help="stop after this many spikes (default: that of [run])"
    )
    run.add_argument(
        "--engine",
        choices=tuple(ENGINES),
        help="how to compute; all give the same spikes (default: that of [run], else the faster one)",
    )
    run.add_argument(
        "--seed", type=_whole(0), metavar="N", help="of everything random, in place of the configuration's seeds"
    )
    run.add_argument("--checkpoint", metavar="STATE.h5", help="save the state in this file, again and again")
    run.add_argument("--every", type=_time, metavar="MS", help="simulated ms between two checkpoints")
    run.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint, if there is one; else from the beginning",
    )
    run.add_argument("--quiet", action="store_true", help="print nothing but errors, and show no progress")

    sweep = command("sweep", _sweep, "run a network with many parameters", texts.SWEEP_HELP, texts.SWEEP_EXAMPLE)
    sweep.add_argument("config", metavar="CONFIG.toml", help="the network, with a table [sweep]")
    sweep.add_argument("-o", "--out", required=True, metavar="OUT.csv", help="the table; an existing file is replaced")
    sweep.add_argument(
        "--workers", type=_whole(1), metavar="N", help="number of processes (default: one for each core)"
    )
    sweep.add_argument("--resume", action="store_true", help="run only points that OUT.csv lacks, or that failed there")
    sweep.add_argument("--quiet", action="store_true", help="print nothing but errors, and show no progress")

    info = command("info", _info, "describe a raster or a configuration file", texts.INFO_HELP, texts.INFO_EXAMPLE)
    info.add_argument("file", metavar="FILE", help="a raster, or a configuration (*.toml)")

    plot = command("plot", _plot, "draw a raster", texts.PLOT_HELP, texts.PLOT_EXAMPLE)
    plot.add_argument("file", metavar="FILE.h5", help="the raster")
    plot.add_argument("-o", "--out", metavar="OUT.png", help="the picture (default: FILE.png beside it)")
    plot.add_argument("--from", dest="start", type=_any_time, metavar="MS", help="begin, in ms (default: all)")
    plot.add_argument("--to", dest="stop", type=_any_time, metavar="MS", help="end, in ms (default: all)")
    plot.add_argument(
        "--neurons", type=_whole(1), metavar="N", help="show only the first N neurons of each population (default: all)"
    )

    page = command("view", _view, "a page to look at a raster in", texts.VIEW_HELP, texts.VIEW_EXAMPLE)
    page.add_argument("file", metavar="FILE.h5", help="the raster")
    page.add_argument("-o", "--out", metavar="OUT.html", help="the page (default: FILE.html beside it)")
    page.add_argument("--from", dest="start", type=_any_time, metavar="MS", help="begin, in ms (default: all)")
    page.add_argument("--to", dest="stop", type=_any_time, metavar="MS", help="end, in ms (default: all)")
    page.add_argument("--max-spikes", type=_whole(0), metavar="N", help="refuse more spikes (default: 10000000)")
    page.add_argument("--overwrite", action="store_true", help="replace an existing file OUT.html")

    convert = command(
        "convert", _convert, "spikes to and from NWB, CSV, npz and SONATA", texts.CONVERT_HELP, texts.CONVERT_EXAMPLE
    )
    convert.add_argument("source", metavar="SOURCE", help="the file to read")
    convert.add_argument("target", metavar="TARGET", help="the file to write")
    convert.add_argument("--from", dest="source_format", metavar="FORMAT", help="of SOURCE (default: by its suffix)")
    convert.add_argument("--to", dest="target_format", metavar="FORMAT", help="of TARGET (default: by its suffix)")
    convert.add_argument("--spikes-only", action="store_true", help="leave out V, I_syn and counts")
    convert.add_argument("--overwrite", action="store_true", help="replace an existing file TARGET")
    convert.add_argument(
        "--size", type=_size, action="append", metavar="NAME=N", help="how many neurons a population has"
    )
    convert.add_argument("--start", type=_any_time, metavar="MS", help="when the run began, if SOURCE does not say it")
    convert.add_argument("--stop", type=_any_time, metavar="MS", help="when it ended")

    bench = command("bench", _bench, "measure the speed on this machine", texts.BENCH_HELP, texts.BENCH_EXAMPLE)
    sizes = bench.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="1000 to 100,000 neurons (the default)")
    sizes.add_argument("--full", action="store_true", help="up to a million neurons, and other K and rates")
    bench.add_argument(
        "-o", "--out", default=".", metavar="DIR", help="folder for the files (default: the current one)"
    )
    return parser
