"""Spikes in numpy's npz."""

import zipfile

import numpy as np

from ..errors import FileFormatError
from .table import SpikeTable

__all__ = ["read_npz", "write_npz"]


def write_npz(path, table):
    """Arrays `times`, `ids` (global), `populations`, `sizes`, `sources`, `t_start`, `t_stop`, `run_id`, `recorded`."""
    firsts = np.concatenate([[0], np.cumsum(table.sizes)[:-1]]).astype(np.int64)
    recorded = [np.zeros(n, bool) for n in table.sizes]
    unknown = [who is None for who in table.recorded]
    for mask, who in zip(recorded, table.recorded, strict=True):
        mask[slice(None) if who is True else [] if who is None else who] = True
    with open(path, "wb") as file:  # given a name, numpy would add a suffix
        np.savez(
            file,
            times=table.times,
            ids=firsts[table.population] + table.neuron,
            populations=np.array(table.names),
            sizes=np.array(table.sizes, np.int64),
            t_start=table.t_start,
            t_stop=table.t_stop,
            run_id=table.run_id,
            recorded=np.concatenate([np.zeros(0, bool), *recorded]),
            recorded_unknown=np.array(unknown),
            sources=np.array(table.sources, str),
        )


def read_npz(path):
    """At least `times` (ms) and `ids`; the others as :func:`write_npz` has them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise FileFormatError(f"{path} is no npz file of plain arrays: {error}") from error
    missing = [name for name in ("times", "ids") if name not in content]
    if missing:
        raise FileFormatError(f"{path} has no array {missing[0]!r}; it has {', '.join(content) or 'none'}")
    times, ids = content["times"], content["ids"]
    if times.ndim != 1 or times.shape != ids.shape or times.dtype.kind not in "iuf" or ids.dtype.kind not in "iu":
        raise FileFormatError(f"{path}: times and ids must be columns of numbers of one length")
    names = tuple(content["populations"].tolist()) if "populations" in content else ("spikes",)
    sizes = tuple(content["sizes"].tolist()) if "sizes" in content else (None,)
    if len(names) != len(sizes) or (None in sizes and len(sizes) > 1):
        raise FileFormatError(f"{path}: populations and sizes must be there both, with one size for each")
    ids = ids.astype(np.int64)
    ends = np.cumsum([np.iinfo(np.int64).max if n is None else n for n in sizes])
    if ids.size and not 0 <= ids.min() <= ids.max() < ends[-1]:
        raise FileFormatError(f"{path}: ids must be in [0, {ends[-1]}), got {ids.min()} to {ids.max()}")
    which = np.searchsorted(ends, ids, side="right")
    recorded = None
    if "recorded" in content and "sizes" in content:
        masks = np.split(content["recorded"], ends[:-1])
        unknown = content["recorded_unknown"].tolist() if "recorded_unknown" in content else [False] * len(masks)
        recorded = tuple(
            None if dark else True if mask.all() else np.flatnonzero(mask)
            for mask, dark in zip(masks, unknown, strict=True)
        )
    firsts = np.concatenate([[0], ends[:-1]])
    begin, end = (float(content[name]) if name in content else None for name in ("t_start", "t_stop"))
    run_id = str(content["run_id"]) if "run_id" in content else None
    sources = tuple(content["sources"].tolist()) if "sources" in content else ()
    neurons = ids - firsts[which]
    return SpikeTable(times.astype(float), names, which, neurons, sizes, begin, end, run_id, recorded, sources)
