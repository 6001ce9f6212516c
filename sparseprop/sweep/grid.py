"""Many networks over a grid of parameters: processes, joblib or a cluster; one table, in memory and in a file."""

import contextlib
import csv
import io
import itertools
import json
import logging
import os
import pickle
import queue
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass

import numpy as np

from .. import _html, _validation
from .._machine import cores
from ..errors import FileFormatError, ParameterError, StorageError, named_arguments, shown, unknown_name
from ..files.checkpoint import fingerprint
from ..run.simulation import Simulation, check_start, check_stop_rules
from ..run.watching import ONCE_MORE, Progress, check_interrupt, ends_all, noted_interrupt

__all__ = ["PointFailure", "SweepResult", "sweep"]

log = logging.getLogger("sparseprop")

SHOWN_ROWS = 60  # more than these are shortened in str()
SHOWN_WIDTH = 60  # characters of a cell of text
EXTRA = 'pip install "sparseprop-sim[sweep]"'


DEFAULT_COLUMNS = ("n_spikes", "rate", "cv_isi", "t_stop", "stop_reason", "wall_time")


def _measured(result):
    """The columns that a sweep has if it is not told others."""
    return {name: getattr(result, name) for name in DEFAULT_COLUMNS} | {"stop_reason": str(result.stop_reason)}


@dataclass(frozen=True)
class PointFailure:
    """A point of a sweep that has no result.

    Attributes
    ----------
    point : dict
        Its parameters.
    error : str
        Type and message of the exception, as in the column ``error``.
    traceback : str
        Of the exception, where it was raised; empty if a worker died.
    """

    point: dict
    error: str
    traceback: str


@named_arguments
class SweepResult(Sequence):
    """The table of a sweep: a sequence of rows, each a dict with all columns, in the order of the grid.

    ``result[0]`` is the first row, ``result["rate"]`` the column of that name as a list.

    Attributes
    ----------
    parameters : tuple of str
        The columns that the grid gives.
    columns : tuple of str
        All of them: parameters, what was measured, and ``error``, which is None where all went well. What a row has no
        value for is None.
    failures : tuple of PointFailure
        The points that failed, with tracebacks.
    interrupted : bool
        Whether Ctrl-C ended the sweep; points that had not finished then have no row.
    path : str or None
        The file with the same table.
    """

    def __init__(self, parameters, rows, failures=(), interrupted=False, path=None):
        self.parameters = tuple(parameters)
        self.columns = tuple(_columns(parameters, rows))
        self.failures, self.interrupted, self.path = tuple(failures), interrupted, path
        self._rows = [{column: row.get(column) for column in self.columns} for row in rows]

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        if isinstance(index, str):
            if index not in self.columns:
                raise unknown_name("column", index, self.columns)
            return [row[index] for row in self._rows]
        return self._rows[index]

    def table(self, max_rows=None):
        """The rows as aligned text.

        Parameters
        ----------
        max_rows : int, optional
            Leave out the middle of a longer table; default: show all.
        """
        columns = self._shown_columns()
        lines = [columns] + [[_shown(row[column]) for column in columns] for row in self._rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = [isinstance(_first(row[column] for row in self._rows), str) for column in columns]
        if max_rows is not None and len(self) > max_rows:
            tail = max_rows // 2
            lines[1 + max_rows - tail : len(lines) - tail] = [["..."] * len(columns)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if left else cell.rjust(width)
                for cell, width, left in zip(cells, widths, text, strict=True)
            ).rstrip()
            for cells in lines
        )

    def _ending(self):
        """How many points there are, and what is missing."""
        failed = f", {len(self.failures)} failed" if self.failures else ""
        stopped = ", interrupted: points that had not finished are missing" if self.interrupted else ""
        return f"{len(self)} points{failed}{stopped}"

    def _shown_columns(self):
        return [column for column in self.columns if column != "error" or self.failures]

    def _repr_html_(self):
        columns = self._shown_columns()
        rows = [[_shown_in_html(row[column]) for column in columns] for row in self._rows]
        if len(rows) > SHOWN_ROWS:
            rows[SHOWN_ROWS - SHOWN_ROWS // 2 : -(SHOWN_ROWS // 2)] = [["..."] * len(columns)]
        return _html.page(f"Sweep: {self._ending()}", _html.table(rows, columns))

    def __str__(self):
        return f"{self.table(SHOWN_ROWS)}\n{self._ending()}"

    def __repr__(self):
        return f"<SweepResult: {len(self)} points of {', '.join(self.parameters)}, {len(self.failures)} failed>"

    def to_csv(self, path):
        """Write the table as CSV.

        Floats by their repr, None as an empty cell, lists and dicts as JSON, objects as their repr with a digest.

        Raises
        ------
        StorageError
            If it cannot be written; an existing file is then left as it was.
        """
        _write(os.fspath(path), self.columns, self._rows)

    def to_pandas(self):
        """The table as a DataFrame; needs pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError(f"to_pandas() needs pandas: run `{EXTRA}`") from error
        return pandas.DataFrame(self._rows, columns=list(self.columns))


@named_arguments
def sweep(
    build,
    grid,
    *,
    duration=None,
    n_spikes=None,
    engine="window",
    seed=None,
    measure=None,
    executor=None,
    workers=None,
    out=None,
    resume=False,
    progress=None,
    interrupt="return",
):
    """Run the networks of a grid of parameters, many at a time, and measure each.

    A point that fails is a row with an error, and the others go on. The table depends neither on the executor nor on
    the number of workers (but for the wall times): everything random follows from the seeds that `build` gives to its
    networks.

    Parameters
    ----------
    build : callable
        ``build(**point)`` returns the Network of a point. It is sent to the workers as it is, also from a notebook or a
        script; those of a :class:`concurrent.futures.ProcessPoolExecutor` must be able to import it.
    grid : dict of sequences, or sequence of dicts
        Values for each parameter, of which all combinations are run, the last one varying fastest; or the points
        themselves. No point may be there twice: for repetitions, let a seed be one of the parameters.
    duration, n_spikes, engine, seed : optional
        Of each run; see :meth:`sparseprop.Network.run`. At least one of `duration` and `n_spikes` is needed.
    measure : callable, optional
        ``measure(result)`` gets the :class:`Result` of a run and returns a dict, the further columns of its row; it
        runs where the network ran. Default: n_spikes, rate, cv_isi, t_stop, stop_reason, wall_time.
    executor : optional
        What runs the points: None, a pool of `workers` processes of this machine; any
        :class:`concurrent.futures.Executor` (one of processes ends with the first that dies); ``"joblib"``, or a
        ``joblib.Parallel`` that returns a generator; or a ``dask.distributed.Client``. Only what was started here is
        closed at the end.
    workers : int, optional
        Number of processes, for None and ``"joblib"``. Default: one for each core that this process may use.
    out : path, optional
        A CSV file that gets each row as soon as its point has finished, and at the end all rows in the order of the
        grid. An existing file is replaced.
    resume : bool
        Take the points that have finished from the file `out`, if it exists, and run only the others and those that
        failed. That `build` and the other options are the same as then is not checked.
    progress : None, bool or callable, optional
        None shows a bar on a terminal or in a notebook when it takes more than a second; True shows it at once, and
        elsewhere, as in a log file, prints a line for each 10 %; a callable gets the fraction of the points that is
        done.
    interrupt : {"return", "raise"}
        What Ctrl-C does. "return": the sweep ends with the points that had finished (`interrupted` is True), and the
        script goes on. "raise": it raises KeyboardInterrupt after that; the file `out` has these points. A Ctrl-C
        within 3 s after one that ended another sweep or run does so in any case.

    Returns
    -------
    SweepResult

    Raises
    ------
    KeyboardInterrupt
        See `interrupt`.
    ParameterError
        For values that are not allowed, or if the workers cannot get `build` or `measure`.
    StorageError
        If `out` cannot be written or read.
    FileFormatError
        If the file to resume is no table of a sweep.

    Notes
    -----
    A worker that dies takes only the points along that it was running. They are tried again when all others are done,
    each one alone; the one that kills its worker again is a row with an error. Memory: that of one network for each
    worker.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> def build(I_e, seed):
    ...     net = sp.Network(seed)
    ...     _ = net.add(50, sp.LIF(tau_m=10.0, I_e=I_e))
    ...     return net
    >>> with ThreadPoolExecutor(2) as threads:
    ...     result = sp.sweep(build, {"I_e": [0.5, 1.5, 2.5], "seed": [1]}, duration=1000.0, executor=threads)
    >>> [round(row["rate"]) for row in result]
    [0, 91, 196]
    """
    if not callable(build):
        raise ParameterError(f"build must be a function that returns a Network, got {shown(build)}")
    if measure is not None and not callable(measure):
        raise ParameterError(
            f"measure must be None or a function of a Result that returns a dict, got {shown(measure)}"
        )
    duration, n_spikes = check_stop_rules("sweep", duration, n_spikes)
    options = {"duration": duration, "n_spikes": n_spikes, "engine": engine, "seed": check_start(engine, seed)}
    points = _points(grid, ("error",) if measure is not None else ("error", *DEFAULT_COLUMNS))
    parameters = list(dict.fromkeys(itertools.chain.from_iterable(points)))
    resume = _validation.flag(resume, "resume")
    if out is not None:
        out = os.path.abspath(os.fspath(out))
    elif resume:
        raise ParameterError("resume=True needs the file to go on from; give it as out=")
    rows = _finished(out, parameters, points) if resume and os.path.exists(out) else {}
    bar = Progress(progress, "sweep")
    raises = check_interrupt(interrupt) == "raise"
    runner = _runner(executor, workers, len(points), (build, measure))
    calls = {k: (build, point, options, measure) for k, point in enumerate(points) if k not in rows}
    failures, interrupted = {}, False

    def fraction():
        return len(rows) / len(points)

    def table():
        return [rows[k] for k in sorted(rows)]

    file = contextlib.nullcontext() if out is None else _File(out, parameters, table)
    try:
        with runner, file, bar:
            for k, (values, error, trace) in _outcomes(runner.run, calls):
                rows[k] = points[k] | values
                if error is not None:
                    rows[k]["error"] = error
                    failures[k] = PointFailure(points[k], error, trace)
                if out is not None:
                    file.add(rows[k])
                bar.update(fraction)
            bar.finish(fraction)
    except KeyboardInterrupt as error:
        interrupted = True
        ending = ends_all(error)
        message = f"interrupted: {len(rows)} of {len(points)} points of the sweep had finished"
        if ending or raises:
            raise noted_interrupt(message, ending) from None
        log.warning("%s; %s", message, ONCE_MORE)
    return SweepResult(parameters, table(), [failures[k] for k in sorted(failures)], interrupted, out)


# Points -----------------------------------------------------------------------------------------------------


def _points(grid, taken):
    """The points of a grid as dicts of plain values."""
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if not _validation.is_array(values):
                raise ParameterError(f"grid[{name!r}] must be a sequence of values such as [1, 2], got {shown(values)}")
        points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())] if grid else []
    elif _validation.is_array(grid) and all(isinstance(point, Mapping) for point in grid):
        points = [dict(point) for point in grid]
    else:
        raise ParameterError(f"grid must be a dict of sequences, or a sequence of dicts, got {shown(grid)}")
    if not points:
        raise ParameterError(f"grid must have at least one point, got {shown(grid)}; give each parameter a value")
    seen = set()
    for point in points:
        for name, value in point.items():
            if not _is_name(name):
                raise ParameterError(f"names of the grid must be printable texts, got {name!r}")
            if name in taken:
                raise ParameterError(
                    f"name {name!r} of the grid is also a column of the results; give it another name, or a measure= "
                    "whose columns have other names"
                )
            point[name] = _plain(value)
        key = _key(point, sorted(point))
        if key in seen:
            raise ParameterError(
                f"grid must have each point once, got {shown(point)} twice; let a seed tell them apart"
            )
        seen.add(key)
    return points


def _plain(value):
    """A number of NumPy as one of Python; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _is_name(name):
    return isinstance(name, str) and name.isprintable() and name != ""


def _key(point, parameters):
    """What tells points apart in a file."""
    return tuple((name, _text(point[name])) for name in parameters if point.get(name) is not None)


def _evaluate(build, point, options, measure):
    """What a worker does: pickled (columns, error, traceback). Only an interrupt leaves it as an exception."""
    try:
        net = build(**point)
        if not hasattr(net, "engine_input"):
            raise ParameterError(f"build must return a Network, got {shown(net)}")
        simulation = Simulation(net, engine=options["engine"], seed=options["seed"])
        result = simulation.run(options["duration"], n_spikes=options["n_spikes"], progress=False, interrupt="raise")
        values = (measure or _measured)(result)
        if not isinstance(values, Mapping) or not all(map(_is_name, values)):
            raise ParameterError(f"measure must return a dict with printable texts as keys, got {shown(values)}")
        for name in values:
            if name in point or name == "error":
                raise ParameterError(f"measure must not return a column {name!r}, which there is; name it otherwise")
        return pickle.dumps(({name: _plain(value) for name, value in values.items()}, None, ""))
    except (Exception, SystemExit) as error:
        return pickle.dumps(({}, _described(error), traceback.format_exc()))


def _described(error):
    """Type and message of an exception, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _outcomes(run, calls):
    """(point, what came of it), in the order of finishing; points that were lost get a second try, alone."""
    lost = []
    for k, outcome in run(iter(calls.items())):
        if isinstance(outcome, Exception):
            log.warning("a point of the sweep was lost and will be tried again: %s", _described(outcome))
            lost.append(k)
        else:
            yield k, pickle.loads(outcome)
    for k in lost:
        [(_, outcome)] = run(iter([(k, calls[k])]))
        if isinstance(outcome, Exception):
            yield k, ({}, f"{_described(outcome)} (also alone)", "")
        else:
            yield k, pickle.loads(outcome)


# Executors --------------------------------------------------------------------------------------------------


def _runner(executor, workers, n_points, functions):
    """What runs calls: ``run(calls)`` takes (k, arguments) and gives (k, result, or the exception of a worker)."""
    if workers is not None:
        workers = _validation.integer(workers, "workers", "a whole number >= 1", low=1)
        if executor is not None and executor != "joblib":
            raise ParameterError(
                f"workers must be None if an executor is given, which has its own, got {workers}; leave it out"
            )
    if executor is None:
        return _Futures(functions, min(workers or cores(), n_points))
    if isinstance(executor, str) and executor == "joblib":
        try:
            from joblib import Parallel
        except ImportError as error:
            raise ImportError(f'executor="joblib" needs joblib: run `{EXTRA}`') from error
        return _Joblib(Parallel(n_jobs=workers or -1, batch_size=1, return_as="generator_unordered"))
    if _is(executor, "joblib", "Parallel"):
        if not executor.return_generator:
            raise ParameterError(
                "a joblib.Parallel as executor must hand out results as they come; make it with "
                f"return_as='generator_unordered', got return_as={shown(executor.return_as)}"
            )
        return _Joblib(executor)
    if _is(executor, "distributed", "Client"):
        # Not pure: dask would answer a second try of a point with the failure of the first.
        executor = executor.get_executor(pure=False)
    if isinstance(executor, Executor):
        return _Futures(functions, executor=executor)
    raise ParameterError(
        "executor must be None, a concurrent.futures.Executor, 'joblib', a joblib.Parallel or a "
        f"dask.distributed.Client, got {shown(executor)}"
    )


def _is(thing, module, name):
    """Whether it is an instance of a class of a module that need not be there."""
    cls = getattr(sys.modules.get(module), name, None)
    return cls is not None and isinstance(thing, cls)


def _pool(workers):
    """Processes of our own, to which functions are sent as they are, also those of a notebook.

    They are not forked, since there may be threads.
    """
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(os.getpid(),))


def _start_worker(parent):
    """In a process of our pool: leave Ctrl-C to the parent, and end with it, however that ends."""
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow():
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _import_probe(*functions):
    """Nothing; a worker that can run it has got the functions."""


class _Futures:
    """Calls on an executor: processes of our own, or one of the user.

    On our own never more at a time than there are processes. If one dies, only those that ran are lost with it, and new
    processes go on; an executor of the user that breaks stays broken.

    Parameters
    ----------
    functions : tuple
        What the workers must be able to get.
    workers : int, optional
        How many processes of our own.
    executor : Executor, optional
        That of the user.
    """

    def __init__(self, functions, workers=None, executor=None):
        self.functions, self.workers, self.executor = functions, workers, executor

    def __enter__(self):
        if self.workers is not None:
            self.executor = _pool(self.workers)
        try:
            self.executor.submit(_import_probe, *self.functions).result()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            if not isinstance(error, Exception):
                raise
            raise ParameterError(
                "build and measure must be functions that the workers can get: define them at the top level of a "
                "module that they can import; or leave executor out, for processes to which functions are sent as they "
                f"are. Got {_described(error)}"
            ) from error
        return self

    def __exit__(self, kind, error, trace):
        if self.workers is not None:
            self.executor.shutdown(kill_workers=kind is not None)  # then nobody waits for what still runs
        return False

    def run(self, calls):
        finished, flying, broken = queue.SimpleQueue(), {}, False
        try:
            while True:
                if broken and not flying and self.workers is not None:
                    self.executor = _pool(self.workers)
                    broken = False
                while not broken and (self.workers is None or len(flying) < self.workers):
                    k, arguments = next(calls, (None, None))
                    if arguments is None:
                        break
                    try:
                        future = self.executor.submit(_evaluate, *arguments)
                    except Exception as failure:
                        broken = self.workers is not None and isinstance(failure, BrokenExecutor)
                        yield k, failure
                    else:
                        flying[future] = k
                        future.add_done_callback(finished.put)
                if flying:
                    future = finished.get()
                    k = flying.pop(future)
                    try:
                        outcome = future.result()
                    except Exception as failure:
                        broken = broken or (self.workers is not None and isinstance(failure, BrokenExecutor))
                        outcome = failure
                    del future  # or dask keeps the result, and computes it again if it is lost
                    yield k, outcome
                elif not broken:
                    return
        finally:
            for future in flying:
                future.cancel()


class _Joblib(contextlib.nullcontext):
    """Calls by a joblib.Parallel, which ends with an error when a worker dies, and is then called for the rest."""

    def __init__(self, parallel):
        super().__init__()
        self.parallel = parallel

    def run(self, calls):
        waiting, lost = dict(calls), {}
        while waiting:
            taken = []
            try:
                for k, outcome in self.parallel(_tasks(list(waiting.items()), taken)):
                    if waiting.pop(k, None) or lost.pop(k, None):
                        yield k, outcome
            except Exception as failure:
                if not taken:
                    raise
                for k in waiting.keys() & taken:
                    lost[k] = failure
                    del waiting[k]
        yield from lost.items()


def _tasks(calls, taken):
    """Tasks for joblib. Its threads may still draw some when the call has failed: each call needs lists of its own."""
    from joblib import delayed

    for k, arguments in calls:
        taken.append(k)
        yield delayed(_numbered)(k, arguments)


def _numbered(k, arguments):
    return k, _evaluate(*arguments)


# Tables -----------------------------------------------------------------------------------------------------


def _columns(parameters, rows):
    """Names of all columns, the error last."""
    names = dict.fromkeys(itertools.chain(parameters, *rows))
    names.pop("error", None)
    return [*names, "error"]


def _text(value):
    """A cell of a file, on one line; `_value` makes the same of it again, but for things other than plain values."""
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str):
        value = str(value)
        return value if value.isprintable() and _value(value) == value else json.dumps(value)
    if not isinstance(value, (list, tuple, dict)) and not hasattr(value, "tolist"):
        return _text(_object(value))
    with contextlib.suppress(TypeError, ValueError):
        return json.dumps(value, default=lambda one: one.tolist() if hasattr(one, "tolist") else _object(one))
    return _text(repr(value))


def _object(value):
    """A text for an object: its repr, and a digest of its description, as other objects may have the same repr."""
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        return f"{value!r} #{fingerprint(value.to_dict())[:12]}"
    return repr(value)


def _value(text):
    """What a cell means."""
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    for kind in (int, float, *([json.loads] if text[0] in '"[{' else [])):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _shown(value):
    """A cell for people."""
    text = f"{value:.6g}" if isinstance(value, (float, np.floating)) else _text(value)
    return text if len(text) <= SHOWN_WIDTH else text[: SHOWN_WIDTH - 3] + "..."


def _shown_in_html(value):
    """The same, with numbers as such."""
    value = _plain(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if value is None or is_number else _shown(value)


def _first(values):
    return next((value for value in values if value is not None), None)


def _lines(rows):
    """CSV of rows of cells."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(path, columns, rows):
    """Write a table, whole or not at all."""
    path = os.path.realpath(path)
    text = _lines([columns, *([_text(row.get(column)) for column in columns] for row in rows)])
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


class _File:
    """The table of a sweep that runs: complete after each row, and in order at the end, however it ends."""

    def __init__(self, path, parameters, table):
        self.path, self.parameters, self.table = path, parameters, table
        self.columns = []

    def __enter__(self):
        self.write()
        return self

    def __exit__(self, *error):
        self.write()
        return False

    def write(self):
        rows = self.table()
        self.columns = _columns(self.parameters, rows)
        _write(self.path, self.columns, rows)

    def add(self, row):
        """A further row; it is in the table already."""
        if not row.keys() <= set(self.columns):
            self.write()
            return
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_lines([[_text(row.get(column)) for column in self.columns]]))
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror}") from error


def _finished(path, parameters, points):
    """The rows of a file whose points have finished, by the number of the point."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    limit = csv.field_size_limit(len(content) + 1)  # arrays make long cells
    try:
        # A killed process may have left the last line incomplete.
        text = content[: content.rfind(b"\n") + 1].decode()
        header, *lines = csv.reader(text.splitlines(), strict=True)
    except (ValueError, csv.Error) as error:
        raise FileFormatError(f"{path} is no table of a sweep: {error}") from error
    finally:
        csv.field_size_limit(limit)
    if header[-1:] != ["error"] or header[: len(parameters)] != parameters:
        raise ParameterError(
            f"out must be a file of the same sweep to resume it; {path} has the columns {', '.join(header)}, and the "
            f"grid has {', '.join(parameters)}. Give another file, or resume=False to replace it"
        )
    numbers = {_key(point, parameters): k for k, point in enumerate(points)}
    rows = {}
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise FileFormatError(f"{path} has {len(line)} cells in line {number}, and {len(header)} columns")
        cells = dict(zip(header, line, strict=True))
        # Taken out, as a second row of the same point is one of another sweep, with a parameter more.
        k = numbers.pop(tuple((name, cells[name]) for name in parameters if cells[name]), None)
        if k is None:
            raise ParameterError(
                f"{path} has in line {number} a point that the grid has not, or has once; give another file, or the "
                "whole grid"
            )
        if not cells["error"]:
            rows[k] = points[k] | {name: _value(cells[name]) for name in header[len(parameters) : -1]}
    return rows
