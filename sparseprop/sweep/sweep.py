"""Many networks over a grid of parameters, run side by side, with one table of what was measured."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from .. import _validation
from ..errors import ParameterError, named_arguments, shown
from ..run.simulation import check_start, check_stop_rules
from ..run.watching import ONCE_MORE, Progress, check_interrupt, ends_all, noted_interrupt
from .executors import outcomes_of, runner_of
from .points import DEFAULT_COLUMNS, points_of
from .table import PointFailure, SweepResult, TableFile, finished_rows

if TYPE_CHECKING:
    from typing import Any

    from .._types import EngineName, Interrupt, PathLike
    from .._types import Progress as ProgressOption
    from ..network import Network
    from ..run.result import Result

__all__ = ["sweep"]

log = logging.getLogger("sparseprop")


@named_arguments
def sweep(
    build: Callable[..., Network],
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    *,
    duration: float | None = None,
    n_spikes: int | None = None,
    engine: EngineName | None = None,
    seed: int | None = None,
    measure: Callable[[Result], Mapping[str, Any]] | None = None,
    executor: Any = None,
    workers: int | None = None,
    out: PathLike | None = None,
    resume: bool = False,
    progress: ProgressOption = None,
    interrupt: Interrupt = "return",
) -> SweepResult:
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
    points = points_of(grid, ("error",) if measure is not None else ("error", *DEFAULT_COLUMNS))
    parameters = list(dict.fromkeys(itertools.chain.from_iterable(points)))
    resume = _validation.flag(resume, "resume")
    if out is not None:
        out = os.path.abspath(os.fspath(out))
    elif resume:
        raise ParameterError("resume=True needs the file to go on from; give it as out=")
    rows = finished_rows(out, parameters, points) if resume and out is not None and os.path.exists(out) else {}
    bar = Progress(progress, "sweep")
    raises = check_interrupt(interrupt) == "raise"
    runner = runner_of(executor, workers, len(points), (build, measure))
    calls = {k: (build, point, options, measure) for k, point in enumerate(points) if k not in rows}
    failures, interrupted = {}, False

    def fraction():
        return len(rows) / len(points)

    def table():
        return [rows[k] for k in sorted(rows)]

    file: Any = contextlib.nullcontext() if out is None else TableFile(out, parameters, table)
    try:
        with runner, file, bar:
            for k, (values, error, trace) in outcomes_of(runner.run, calls):
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
