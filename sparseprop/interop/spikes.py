"""Spikes from files of one kind to files of another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._validation import flag, integer, real
from ..errors import ParameterError, named_arguments, shown, unknown_name
from ..files.raster_reader import refuse_existing
from ..files.storage import beside, full_name, readable, writable
from ..run.loading import load
from ..run.result import Result
from .arrays import read_npz, write_npz
from .nwb import read_nwb, write_nwb
from .table import table_of
from .text import read_csv, write_csv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._types import PathLike
    from ..run.result import Result

__all__ = ["FORMATS", "convert", "read_spikes", "write_spikes"]


class _Format(NamedTuple):
    suffixes: tuple[str, ...]
    about: str
    read: Any  # a path becomes a SpikeTable; None: load() does it
    write: Any  # of a path and a SpikeTable; None: Result.save does it


def _sonata(path, table, units, names, sorting):
    """SONATA as other programs write it: a group for each population (or one without), or the old layout."""
    import h5py

    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.attrs.create("magic", 0x0A7A, dtype="<u4")
        file.attrs.create("version", [0, 1], dtype="<u4")
        for k, name in enumerate(table.names):
            mine = table.population == k
            group = file.create_group("spikes" if names is None else f"spikes/{name}")
            if sorting:
                group.attrs["sorting"] = sorting
            group["timestamps"] = table.times[mine]
            group["gids" if names is None else "node_ids"] = table.neuron[mine].astype(np.uint64)
            if units:
                group["timestamps"].attrs["units"] = units


def _write_bmtk(path, table):
    _sonata(path, table, "milliseconds", True, "by_time")


def _write_old(path, table):
    if len(table.names) > 1:
        raise ParameterError(
            f"sonata-old has no populations, and there are {', '.join(map(repr, table.names))}; write one, "
            "res['E'], or another format"
        )
    _sonata(path, table, None, None, None)


FORMATS = {
    "sonata": _Format((".h5", ".hdf5"), "SONATA, as this package writes it", None, None),
    "sonata-bmtk": _Format((), 'SONATA with units "milliseconds", as bmtk writes it', None, _write_bmtk),
    "sonata-old": _Format((), "SONATA before it had populations: /spikes/timestamps and gids", None, _write_old),
    "nwb": _Format((".nwb",), "Neurodata Without Borders: a table of units, in seconds", read_nwb, write_nwb),
    "csv": _Format((".csv", ".tsv", ".txt"), "a line for each spike", read_csv, write_csv),
    "npz": _Format((".npz",), "arrays of numpy", read_npz, write_npz),
}


def _format_of(path, given, what):
    if given is not None:
        if not isinstance(given, str) or given not in FORMATS:
            raise unknown_name(what, given, FORMATS)
        return given
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    for name, form in FORMATS.items():
        if suffix in form.suffixes:
            return name
    known = ", ".join(suffix for form in FORMATS.values() for suffix in form.suffixes)
    raise ParameterError(
        f"{what} of {os.fsdecode(path)} cannot be told from its suffix ({known}); give one of {', '.join(FORMATS)}"
    )


@named_arguments
def read_spikes(
    path: PathLike,
    format: str | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    t_start: float | None = None,
    t_stop: float | None = None,
) -> Result:
    """Read spikes of any of the kinds of :data:`FORMATS`.

    Parameters
    ----------
    path : path-like
    format : str, optional
        ``"sonata"`` (all layouts), ``"nwb"``, ``"csv"`` or ``"npz"``; default: by the suffix.
    sizes : dict, optional
        ``{population: number of neurons}`` where the file does not say them; all of them were recorded. Default: the
        largest id + 1.
    t_start, t_stop : float, optional
        ms: the interval, where the file does not say it. Default: from 0, or the first spike if that is before, to the
        last spike.

    Returns
    -------
    Result

    Raises
    ------
    StorageError, FileFormatError
        If the file cannot be read, or is of another kind.
    ParameterError
        For an interval or sizes that the spikes do not fit into.
    ImportError
        For NWB without pynwb: ``pip install "sparseprop-sim[pynwb]"``.

    Examples
    --------
    >>> import pathlib, sparseprop as sp
    >>> from sparseprop import interop
    >>> _ = pathlib.Path("spikes.csv").write_text("time,id\\n1.5,0\\n2.25,3\\n")
    >>> result = interop.read_spikes("spikes.csv", sizes={"spikes": 10}, t_stop=100.0)
    >>> result.times.tolist(), result.n_neurons, result.t_stop
    ([1.5, 2.25], 10, 100.0)
    """
    name = _format_of(path, format, "format")
    t_start = None if t_start is None else real(t_start, "t_start", "a finite time in ms", unit="ms")
    t_stop = None if t_stop is None else real(t_stop, "t_stop", "a finite time in ms", unit="ms")
    if FORMATS[name].read is None:
        return load(path, sizes=sizes, t_start=t_start, t_stop=t_stop)
    table = FORMATS[name].read(readable(path))
    sizes = {} if sizes is None else sizes
    if not isinstance(sizes, Mapping):
        raise ParameterError(f"sizes must be a dict of numbers by population, got {shown(sizes)}")
    for population in sizes:
        if population not in table.names:
            raise unknown_name("population in sizes", population, table.names)
    sizes = {key: integer(n, f"sizes of {key!r}", "a whole number >= 1", low=1) for key, n in sizes.items()}
    return table.result(os.fsdecode(path), sizes, t_start, t_stop)


@named_arguments
def write_spikes(
    result: Result, path: PathLike, format: str | None = None, *, spikes_only: bool = False, overwrite: bool = False
) -> None:
    """Write the spikes of a Result in any of the kinds of :data:`FORMATS`.

    Parameters
    ----------
    result : Result
    path : path-like
    format : str, optional
        Default: by the suffix.
    spikes_only : bool
        Whether V, I_syn and counts may be left out, for which all formats but ``"sonata"`` have no place.
    overwrite : bool
        Whether an existing file may be replaced, once the new one is complete.

    Raises
    ------
    ParameterError
        For what the format has no place for.
    StorageError
        If it cannot be written, or is there.
    ImportError
        For NWB without pynwb: ``pip install "sparseprop-sim[pynwb]"``.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import interop
    >>> result = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=10, seed=1).run(100.0)
    >>> interop.write_spikes(result, "written.npz")
    >>> bool((interop.read_spikes("written.npz").times == result.times).all())
    True
    """
    if not isinstance(result, Result):
        raise ParameterError(f"result must be a Result, got {shown(result)}")
    form = FORMATS[name := _format_of(path, format, "format")]
    spikes_only = flag(spikes_only, "spikes_only")
    refuse_existing(path, flag(overwrite, "overwrite"))
    if form.write is None:
        result.save(path)
        return
    more = [what for what in ("V", "I_syn", "counts") if getattr(result, what) is not None]
    if more and not spikes_only:
        raise ParameterError(
            f"{name} has no place for {', '.join(more)}, which this Result has; give spikes_only=True to leave that "
            "out, or write sonata"
        )
    target = writable(path)
    partial = beside(target, "partial") + os.path.splitext(target)[1]  # pynwb warns of other suffixes
    try:
        form.write(partial, table_of(result))
        os.replace(partial, target)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


@named_arguments
def convert(
    source: PathLike,
    target: PathLike,
    *,
    source_format: str | None = None,
    target_format: str | None = None,
    spikes_only: bool = False,
    overwrite: bool = False,
    **known: Any,
) -> Result:
    """Spikes from a file of one kind to one of another; ``sparseprop convert`` on the command line.

    Parameters
    ----------
    source, target : path-like
    source_format, target_format : str, optional
        See :data:`FORMATS`; default: by the suffixes.
    spikes_only, overwrite : bool
        See :func:`write_spikes`.
    **known
        `sizes`, `t_start` and `t_stop` for :func:`read_spikes`.

    Returns
    -------
    Result

    Raises
    ------
    ParameterError, StorageError, FileFormatError, ImportError
        As for :func:`read_spikes` and :func:`write_spikes`.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import interop
    >>> result = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=10, seed=1).run(100.0)
    >>> result.save("raster.h5")
    >>> interop.convert("raster.h5", "raster.csv").n_spikes == result.n_spikes
    True
    """
    _format_of(target, target_format, "target_format")
    if full_name(source) == full_name(target):
        raise ParameterError(f"source and target are one file, {os.fsdecode(source)}; give another target")
    result = read_spikes(source, _format_of(source, source_format, "source_format"), **known)
    write_spikes(result, target, target_format, spikes_only=spikes_only, overwrite=overwrite)
    return result
