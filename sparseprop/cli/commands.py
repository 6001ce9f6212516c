"""The command ``sparseprop``: a demonstration, runs and sweeps of configuration files, a look at what came out, and a
benchmark.

Exit codes: 0 success, 1 an error (one line on stderr says which), 2 wrong usage, 130 interrupted by Ctrl-C.
"""

import argparse
import contextlib
import copy
import functools
import importlib.metadata
import logging
import math
import os
import sys
import tomllib
import warnings

import numpy as np

from .. import errors
from ..errors import FileFormatError, ParameterError, StorageError, shown, unknown_name
from ..files.raster_reader import raster_info, refuse_existing
from ..models import LIF, MODELS
from ..network import ENTRIES, Network, balanced_network
from ..plotting import save_raster_plot
from ..run.loading import describe, load
from ..run.recording import Record
from ..run.simulation import ENGINES, Simulation
from ..run.stopping import REASONS, StopReason
from ..sweep import sweep

__all__ = ["main"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
FAILURES = (*(getattr(errors, name) for name in errors.__all__), OSError, MemoryError, ImportError)
RUN_KEYS = ("duration", "n_spikes", "engine", "seed", "checkpoint", "every")
CV_MAX_SPIKES = 50_000_000  # the CV needs all spikes in memory
CV_MIN_SPIKES = 20  # per neuron; with fewer the CV is visibly too small


EXIT_CODES = "exit codes: 0 success, 1 error (one line on stderr), 2 wrong usage, 130 interrupted by Ctrl-C"

DEMO_HELP = """\
Simulate the balanced network of the SparseProp paper (Engelken 2023): leaky integrate-and-fire neurons
(tau 10 ms) that inhibit 100 others each (K = 100, j0 = 1) and fire irregularly, although no noise drives
them. Writes raster.h5 (all spikes) and raster.png (a picture; needs matplotlib) into the current folder, in
place of those of an earlier demo; a raster.h5 of anything else is replaced only with --overwrite. Takes some
seconds."""

DEMO_EXAMPLE = """\
examples:
  sparseprop demo
  sparseprop demo --neurons 10000 --duration 5000"""

RUN_HELP = """\
Run the network of a configuration file and stream its spikes into an HDF5 raster (SONATA layout), which
sp.load(), `sparseprop info` and `sparseprop plot` read. Ctrl-C ends the run early; what was recorded stays in
the file. Of a raster instead of a configuration the run that wrote it is repeated, bit for bit (on the same
machine and C library). With --checkpoint the state is saved again and again, and after a crash the same
command with --resume ends the run as if nothing had happened."""

RUN_EXAMPLE = """\
examples:
  sparseprop run network.toml -o raster.h5 --duration 500
  sparseprop run raster.h5 -o again.h5
  sparseprop run network.toml -o raster.h5 --checkpoint state.h5 --every 100
  sparseprop run network.toml -o raster.h5 --checkpoint state.h5 --every 100 --resume

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
  seed = 2              # of initial states and Poisson input, if they are to differ from the network's own
  # checkpoint = "state.h5"
  # every = 100.0       # ms between two checkpoints"""

SWEEP_HELP = """\
Run the network of a configuration file with many parameters, in several processes, and measure each run: one
row of a CSV file, written as soon as it has finished. A point that fails is a row with an error, and the
others go on. Ctrl-C ends the sweep early; rows that had finished stay in the file, and --resume goes on from
there."""

SWEEP_EXAMPLE = """\
example:
  sparseprop sweep network.toml -o sweep.csv --workers 4

The configuration is that of `sparseprop run` and a table [sweep], of which all combinations are run. Its keys
are paths into the configuration, with populations by name or number and projections by number from 0:

  [sweep]
  "populations.neurons.model.I_e" = [1.05, 1.1, 1.2]
  "projections.0.weight" = [-0.05, -0.1]
  seed = [1, 2, 3]"""

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
    if not _is_of_demo("raster.h5", net):
        _refuse_existing("raster.h5", arguments.overwrite, "or go to another folder")
    _say(net)
    _say(f"\nSimulating {arguments.duration:g} ms, from spike to spike, without time steps ...")
    result = _simulate(net, "raster.h5", {"duration": arguments.duration, "overwrite": True}, progress=None)
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
    config, options, record = _run_of(arguments.config)
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
    _check_out(arguments)
    checkpoint = options.get("checkpoint")
    if arguments.resume and checkpoint is None:
        raise ParameterError("--resume needs --checkpoint FILE, or checkpoint in the table [run]: where the state is")
    resumed = arguments.resume and os.path.exists(checkpoint)
    if not resumed:
        _refuse_existing(arguments.out, arguments.overwrite, "or another name after -o")
    net = _build(config, arguments.config)
    say = _ignore if arguments.quiet else _say
    say(net)
    progress = False if arguments.quiet else None
    if resumed:
        simulation = Simulation.load(checkpoint, net, engine=options.get("engine"))
        _check_same_run(simulation, net, checkpoint, options, Record(**(record | {"path": arguments.out})))
        if not simulation.is_resumable:
            say(f"\nThe run has ended already, at {simulation.time:g} ms; spikes are in {arguments.out}")
            return OK
        say(f"\nGoing on from {simulation.time:g} ms, where {checkpoint} was saved")
        with _without_log():
            result = simulation.resume(progress)
    else:
        record = Record(**(record | {"path": arguments.out, "overwrite": True}))
        result = _simulate(net, record, options, progress)
    if result.stop_reason == StopReason.INTERRUPTED:
        return _interrupted(_what_is_kept(result))
    say(f"\n{_summary(result)}\n\nSpikes are in {arguments.out}")
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
    config = _read_config(path)
    options = _run_table(config, path, RUN_KEYS[:4])
    if "duration" not in options and "n_spikes" not in options:
        raise ParameterError(f"nothing says when to stop: give duration or n_spikes in the table [run] of {path}")
    grid = _sweep_table(config, path)
    if not grid:
        raise ParameterError(f'{path} has no table [sweep]; add one, such as "projections.0.weight" = [-0.1, -0.2]')
    _check_out(arguments)
    with _without_log():
        result = sweep(
            functools.partial(_swept_network, config),
            grid,
            **options,
            workers=arguments.workers,
            out=arguments.out,
            resume=arguments.resume,
            progress=False if arguments.quiet else None,
        )
    if result.interrupted:
        return _interrupted(f"; the {len(result)} points that had finished are in {arguments.out}, use --resume")
    if not arguments.quiet:
        _say(f"{result}\n\nThe table is in {arguments.out}")
    if result.failures:
        return _failed(f"{len(result.failures)} of {len(result)} points failed: see the last column of {arguments.out}")
    return OK


def _info(arguments):
    if not arguments.file.lower().endswith(".toml"):
        return _info_raster(arguments.file)
    config = _read_config(arguments.file)
    options = _run_table(config, arguments.file)
    grid = _sweep_table(config, arguments.file)
    _say(_build(config, arguments.file))
    if options:
        _say("  run: " + ", ".join(f"{key} {value}" for key, value in options.items()))
    if grid:
        _say(f"  sweep: {math.prod(map(len, grid.values()))} points of {', '.join(grid)}")
    return OK


def _info_raster(path):
    info = raster_info(path)
    header, footer = info["header"], info["footer"] or {}
    result, until = describe(path), ""
    if result is None:  # not finished, or not ours: the spikes themselves must tell
        result, until = _load(path), " (the last spike)"
    n_neurons = sum(population.n for population in result.populations)
    _say(
        f"{path}: {info['n_spikes']:,} spikes of {n_neurons:,} neurons from {result.t_start:g} to "
        f"{result.t_stop:g} ms{until}"
    )
    for population in result.populations:
        _say(f"  {population.name}: {_spikes_of(result, population, info['counts'][population.name])}")
    if len(result.pieces) > 1:
        ends = ", ".join(f"{piece.t_stop:g}" for piece in result.pieces[:10])
        more = ", ..." if len(result.pieces) > 10 else ""
        _say(f"  {len(result.pieces)} pieces of one simulation, which end at {ends}{more} ms")
    if not info["finished"]:
        _say("  the run did not finish, or still goes on")
    elif footer.get("stop_reason") in REASONS:
        _say(f"  the run ended because {REASONS[footer['stop_reason']]}")
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


def _spikes_of(result, population, n_in_file):
    """What a raster has of a population, in words; its spikes are not read for that."""
    recorded = result.recorded[population.name]
    n_recorded = None if recorded is None else population.n if recorded is True else len(recorded)
    if n_recorded == 0 and population.is_source:
        return f"{population.n:,} sources, not recorded"
    n_spikes = n_in_file if n_recorded == population.n else result.spikes_of.get(population.name)
    rate = ""
    if n_spikes is not None and population.n and result.duration > 0.0:
        rate = f", {1e3 * n_spikes / (population.n * result.duration):.4g} Hz"
    if n_recorded is None:
        return f"{population.n:,} neurons (the largest id + 1), {n_in_file:,} spikes"
    if n_recorded == population.n:
        return f"{population.n:,} neurons, {n_in_file:,} spikes{rate}"
    in_all = "" if n_spikes is None else f" of {n_spikes:,}"
    return f"{population.n:,} neurons, {n_recorded:,} of them recorded, {n_in_file:,}{in_all} spikes{rate}"


def _plot(arguments):
    result = _load(arguments.file)
    out = arguments.out or os.path.splitext(arguments.file)[0] + ".png"
    _picture(result, out, t_start=arguments.start, t_stop=arguments.stop, neurons=arguments.neurons)
    _say(f"The picture is in {out}")
    return OK


def _bench(arguments):
    from ..bench import suite as bench

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


def _run_of(path):
    """The network, the run and the Record (as dictionaries) of a configuration, or of the run that wrote a raster."""
    if not path.lower().endswith((".h5", ".hdf5")):
        config = _read_config(path)
        return config, _run_table(config, path), {}
    header = raster_info(path)["header"]
    if "network" not in header or "run" not in header:
        raise ParameterError(f"{path} does not say how it was made: it has no network and run in its header")
    if "earlier" in header:
        raise ParameterError(f"{path} holds {len(header['earlier']) + 1} pieces of a simulation; repeat them in Python")
    if header.get("t_start", 0.0) != 0.0:
        raise ParameterError(
            f"{path} holds a later piece of a simulation, from {header['t_start']:g} ms on; repeat all of it"
        )
    options = {key: header["run"][key] for key in ("duration", "n_spikes") if header["run"][key] is not None}
    return header["network"], options | {key: header[key] for key in ("engine", "seed")}, header["run"]["record"]


def _run_table(config, path, keys=RUN_KEYS):
    """Take the table [run] out of a configuration."""
    options = config.pop("run", {})
    if not isinstance(options, dict):
        raise ParameterError(f"{path}: run must be a table, [run], got {shown(options)}")
    for key in options:
        if key not in keys:
            raise ParameterError(f"{path}: {unknown_name('entry of [run]', key, keys)}")
    return options


def _sweep_table(config, path):
    """Take the table [sweep] out of a configuration, as a grid of paths that are there."""
    table = config.pop("sweep", {})
    if not isinstance(table, dict):
        raise ParameterError(f"{path}: sweep must be a table, [sweep], got {shown(table)}")
    grid = dict(_flat(table))
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ParameterError(
                f"{path}: {name} in [sweep] must be a list of values such as [1, 2], got {shown(values)}"
            )
        try:
            _place(config, name)
        except ParameterError as error:
            raise ParameterError(f"{path}: {error}") from error
    return grid


def _flat(table, path=""):
    """(path, values) of a table; without quotes around a path, TOML makes tables in tables of it."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield path + key, value


def _place(config, path):
    """The table or list that a path leads to, and the key in it."""
    place, above = config, []
    parts = path.split(".")
    for k, part in enumerate(parts):
        if isinstance(place, list):
            names = [entry.get("name") if isinstance(entry, dict) else None for entry in place]
            keys = {str(key): key for key in range(len(place))} | {
                name: key for key, name in enumerate(names) if above == ["populations"] and isinstance(name, str)
            }
        elif isinstance(place, dict):
            keys = {key: key for key in [*place, *_optional_entries(place, above)]}
        else:
            keys = {}
        if part not in keys:
            what = f"part of the path {shown(path)} in [sweep]"
            if not keys:
                raise ParameterError(f"unknown {what}: {shown(part)}, as {'.'.join(parts[:k])} has no parts")
            raise unknown_name(what, part, keys)
        above.append(part)
        if k < len(parts) - 1:
            if isinstance(place, dict) and keys[part] not in place:
                raise ParameterError(
                    f"path {shown(path)} in [sweep] leads through {shown(part)}, which the configuration lacks"
                )
            place = place[keys[part]]
    return place, keys[part]


def _optional_entries(table, above):
    """What a table of a configuration may have besides what it has."""
    if not above or (len(above) == 2 and above[0] in ENTRIES):
        required, optional = ENTRIES[above[0] if above else "network"]
        return required + optional
    if above[0] == "populations" and above[2:] == ["model"] and str(table.get("name")) in MODELS:
        return list(MODELS[table["name"]].table)
    return []


def _swept_network(config, **point):
    """The network of a configuration with other values at some paths."""
    config = copy.deepcopy(config)
    for path, value in point.items():
        place, key = _place(config, path)
        place[key] = copy.deepcopy(value)
    return Network.from_dict(config)


def _check_out(arguments):
    if os.path.exists(arguments.out) and os.path.samefile(arguments.config, arguments.out):
        raise ParameterError(f"-o must not be the configuration itself, {arguments.out}; give another name")


def _build(config, path):
    """The network of a configuration; messages begin with its name."""
    try:
        return Network.from_dict(config)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error


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
        _complain(f"warning: {warning.message}")
    return result


def _picture(result, path, **options):
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
        lines.append(f"End           {REASONS[result.stop_reason]}")
    if result.n_close_calls:
        lines.append(
            f"Close calls   {result.n_close_calls:,}: kicks at a spike of their target, whose order is rounding"
        )
    lines.append(f"Computing     {': '.join([f'{result.wall_time:.3g} s', *filter(None, [result.speed()])])}")
    return "\n".join(lines)


def _what_is_kept(result):
    return f" at {result.t_stop:g} ms; the {result.n_in_file:,} spikes until then are in {result.path}"


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
    demo.add_argument("--overwrite", action="store_true", help="replace a raster.h5 that is not of a demo")

    run = command("run", _run, "run the network of a configuration file", RUN_HELP, RUN_EXAMPLE)
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
        help="how to compute; all give the same spikes (default: that of [run], else window)",
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

    sweep = command("sweep", _sweep, "run a network with many parameters", SWEEP_HELP, SWEEP_EXAMPLE)
    sweep.add_argument("config", metavar="CONFIG.toml", help="the network, with a table [sweep]")
    sweep.add_argument("-o", "--out", required=True, metavar="OUT.csv", help="the table; an existing file is replaced")
    sweep.add_argument(
        "--workers", type=_whole(1), metavar="N", help="number of processes (default: one for each core)"
    )
    sweep.add_argument("--resume", action="store_true", help="run only points that OUT.csv lacks, or that failed there")
    sweep.add_argument("--quiet", action="store_true", help="print nothing but errors, and show no progress")

    info = command("info", _info, "describe a raster or a configuration file", INFO_HELP, INFO_EXAMPLE)
    info.add_argument("file", metavar="FILE", help="a raster, or a configuration (*.toml)")

    plot = command("plot", _plot, "draw a raster", PLOT_HELP, PLOT_EXAMPLE)
    plot.add_argument("file", metavar="FILE.h5", help="the raster")
    plot.add_argument("-o", "--out", metavar="OUT.png", help="the picture (default: FILE.png beside it)")
    plot.add_argument("--from", dest="start", type=_any_time, metavar="MS", help="begin, in ms (default: all)")
    plot.add_argument("--to", dest="stop", type=_any_time, metavar="MS", help="end, in ms (default: all)")
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
