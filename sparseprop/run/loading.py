"""Results of what is in files: rasters of ours, and SONATA files of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .._validation import integer, real
from ..errors import FileFormatError, ParameterError, named_arguments, unknown_name
from ..files.populations import PopulationInfo, populations_in, recorded_in
from ..files.raster_reader import raster_info, read_raster
from .pieces import COUNTED, SAMPLED, joined_pieces
from .result import Result
from .stopping import StopReason
from .stored import SpikesInFile, entries_of

if TYPE_CHECKING:
    from .._types import PathLike

__all__ = ["describe", "load"]


def _from_raster(path, populations, header, footer, n_spikes, data=None):
    """The Result of a raster of ours; without `data` (a RasterData), its spikes are read when they are asked for."""
    infos = populations_in(header, populations)
    pieces = []
    for about, end, first, last in entries_of(header, footer, n_spikes):
        about = {name: value for name, value in about.items() if name not in ("populations", "recorded")}
        end = end or {}
        reason = end.get("stop_reason")
        if reason is not None and reason not in list(StopReason):
            raise FileFormatError(f"{path} gives {reason!r} as the reason for the end of the run, which there is not")
        t_start, run_id, follows = (about.pop(name, None) for name in ("t_start", "run_id", "follows"))
        t_start = 0.0 if t_start is None else t_start
        spikes = SpikesInFile(path, run_id, t_start, last - first)
        t_stop = end.get("t_stop")
        if data is not None:
            spikes = data.times[first:last], data.ids[first:last]
            # Of a run that did not finish, the last spike is all that is known.
            t_stop = (float(spikes[0][-1]) if last > first else t_start) if t_stop is None else t_stop
        piece = Result(
            spikes,
            infos,
            n_spikes=end.get("n_spikes"),
            t_start=t_start,
            t_stop=t_stop,
            stop_reason=None if reason is None else StopReason(reason),
            wall_time=end.get("wall_time"),
            **{name: end.get(name) for name in COUNTED},
            header=about,
            run_id=run_id,
            follows=follows,
            recorded=recorded_in(header, infos),
            spikes_of=end.get("spikes_of"),
        )
        for what in SAMPLED:
            if end.get(what):
                piece._set_sampled(what, *(end[what][key] for key in ("values", "times", "ids")))
        if end.get("counts"):
            piece.counts, piece.bin_width = end["counts"]["by_population"], end["counts"]["width"]
        pieces.append(piece)
    if len(pieces) == 1:
        return pieces[0]
    return joined_pieces(pieces, None if data is None else (data.times, data.ids))


def describe(path: PathLike) -> Result | None:
    """What a finished raster of this package says of itself, as a Result; its spikes are read when they are asked for.

    Returns
    -------
    Result or None
        None for a file of another program, and of a run that did not finish: only the spikes tell.

    Raises
    ------
    StorageError, FileFormatError
        As for :func:`load`.
    """
    return _described(path, raster_info(path))


def _described(path, info):
    if info["footer"] is None or "t_stop" not in info["footer"]:
        return None
    return _from_raster(path, info["populations"], info["header"], info["footer"], info["n_spikes"])


def ending_with(path: PathLike, run_id: str) -> tuple[Result | None, str | None]:
    """What :func:`describe` says of a raster that ends with a run, but for one that was killed right after it began.

    Returns
    -------
    Result or None
        None if the file does not end with that run. A run that came after it, and was killed before it had a spike,
        is left out: nothing of it has come to be.
    str or None
        The identity of the run that the file itself is of: that one, or the one that was killed.

    Raises
    ------
    StorageError, FileFormatError
        As for :func:`load`.
    """
    info = raster_info(path)
    header = info["header"]
    earlier = header.get("earlier", ())
    nothing_more = info["footer"] is None and sum(entry["n_recorded"] for entry in earlier) == info["n_spikes"]
    if earlier and nothing_more and header.get("follows") == run_id:
        *earlier, last = earlier
        info |= {"header": header | last["header"] | {"earlier": earlier}, "footer": last["footer"]}
    result = _described(path, info)
    found = result is not None and result.pieces[-1].run_id == run_id
    return (result if found else None), header.get("run_id")


@named_arguments
def load(
    path: PathLike, *, sizes: Mapping[str, int] | None = None, t_start: float | None = None, t_stop: float | None = None
) -> Result:
    """Read a raster that :meth:`Result.save` or ``run(record=path)`` wrote, or any SONATA spike file.

    Parameters
    ----------
    path : str or path-like
    sizes : dict, optional
        Of a file of another program, which says neither how many neurons there were nor which of them were recorded:
        ``{population: number of neurons}``, all of them recorded. Without it that number is guessed, as the largest id
        + 1, `recorded` is None, and `rate` NaN.
    t_start, t_stop : float, optional
        Of a file of another program, the interval of the run in ms. Default: from 0, or the first spike if that is
        before, to the last spike.

    Returns
    -------
    Result

    Raises
    ------
    StorageError
        If the file cannot be opened.
    FileFormatError
        If it is damaged or not a raster.
    ParameterError
        If `sizes`, `t_start` or `t_stop` do not fit the spikes, or are given for a file that knows them.

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=20, seed=1).run(100.0)
    >>> res.save("raster.h5")
    >>> bool((sp.load("raster.h5").times == res.times).all())
    True
    """
    data = read_raster(path)
    if data.finished and data.footer is None:
        return _foreign(data, sizes, t_start, t_stop)
    for name, value in (("sizes", sizes), ("t_start", t_start), ("t_stop", t_stop)):
        if value is not None:
            raise ParameterError(f"load: {name} is for files of other programs, and {path} has its own; leave it out")
    return _from_raster(path, data.populations, data.header, data.footer, len(data.times), data)


def _foreign(data, sizes, t_start, t_stop):
    """The Result of a file of another program."""
    sizes = {} if sizes is None else sizes
    if not isinstance(sizes, Mapping):
        raise ParameterError(f"load: sizes must be a dict of numbers by population, got {type(sizes).__name__}")
    names = [name for name, _ in data.populations]
    for name in sizes:
        if name not in names:
            raise unknown_name("population in sizes", name, names)
    guessed = np.array([n for _, n in data.populations])
    given = np.array(
        [
            integer(sizes.get(name, n), f"load: sizes of {name!r}", f"at least the largest id + 1, {n}", low=n)
            for name, n in data.populations
        ]
    )
    first_guessed, first = (np.concatenate([[0], np.cumsum(n)]) for n in (guessed, given))
    which = np.searchsorted(first_guessed, data.ids, side="right") - 1
    ids = data.ids + (first - first_guessed)[which]
    earliest, latest = (float(data.times[0]), float(data.times[-1])) if len(data.times) else (0.0, 0.0)
    if t_start is None:
        t_start = min(0.0, earliest)
    if t_stop is None:
        t_stop = max(t_start, latest)
    t_start = real(t_start, "load: t_start", "a time in ms, at most that of the first spike", unit="ms")
    t_stop = real(t_stop, "load: t_stop", f"a time in ms >= t_start, {t_start:g}", unit="ms", low=t_start)
    if len(data.times) and not t_start <= earliest <= latest <= t_stop:
        raise ParameterError(
            f"load: t_start and t_stop must enclose the spikes, from {earliest:g} to {latest:g} ms, got {t_start:g} "
            f"and {t_stop:g}; cut with res.between(t0, t1)"
        )
    return Result(
        (data.times, ids),
        [PopulationInfo(name, int(n), "", int(at)) for name, n, at in zip(names, given, first, strict=False)],
        t_start=t_start,
        t_stop=t_stop,
        recorded={name: True if name in sizes else None for name in names},
    )
