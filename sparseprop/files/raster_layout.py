"""Where what is in a raster: its groups, datasets and attributes."""

from typing import Any, NamedTuple

import numpy as np

from .raster_format import MAGIC, SORTING, row_words
from .storage import sha256

__all__ = ["VALUES_CHUNK", "Layout", "lay_out"]

_TAIL_CHUNK = 4096  # bytes
VALUES_CHUNK = 8192  # bytes


class Layout(NamedTuple):
    """The datasets that a writer writes to."""

    streams: list  # times and local ids of each population in turn, and with several the order of all spikes
    footer: Any
    values: Any  # arrays of the footer
    tails: Any  # what fills no chunk yet, twice; None in an atomic file
    committed: Any  # two rows, see `Row`


def lay_out(file, populations, n_recorded, format_number, chunk_records, atomic, text, arrays):
    """Make every group, dataset and attribute: none can be added in SWMR mode.

    Parameters
    ----------
    file : h5py.File
        Empty, open for writing.
    populations : sequence of (str, int)
    n_recorded : sequence of int or None
        For each population.
    format_number : int
        Which of ours it is.
    chunk_records : int
        Records of a stream in an HDF5 chunk.
    atomic : bool
        Whether nothing is committed before the end, so that no place for tails is needed.
    text : bytes
        Populations and header.
    arrays : sequence of ndarray
        Those of the header.

    Returns
    -------
    Layout
    """
    import h5py

    file.attrs.create("magic", MAGIC, dtype="<u4")
    file.attrs.create("version", [0, 1], dtype="<u4")
    sorting = h5py.enum_dtype(SORTING, basetype="i4")
    growing = {"shape": (0,), "maxshape": (None,), "fletcher32": True}
    records = {**growing, "chunks": (chunk_records,)}
    streams = []
    for (name, n), recorded in zip(populations, n_recorded, strict=True):
        group = file.create_group(f"spikes/{name}")
        group.attrs.create("sorting", SORTING["by_time"], dtype=sorting)
        if recorded is not None:
            group.attrs.create("n_neurons", n, dtype="<u8")
            group.attrs.create("n_recorded", recorded, dtype="<u8")
        times = group.create_dataset("timestamps", dtype="<f8", **records)
        times.attrs["units"] = "ms"
        streams += [times, group.create_dataset("node_ids", dtype="<u8", **records)]
    run = file.create_group("run")
    run.attrs.create("sparseprop_raster", format_number, dtype="<u4")
    if len(populations) > 1:
        kind = "u1" if len(populations) <= 256 else "<u2"
        streams.append(run.create_dataset("order", dtype=kind, **records))
    header = run.create_dataset("header", data=np.frombuffer(text, "u1"), chunks=(len(text),), fletcher32=True)
    header.attrs.create("sha256", np.frombuffer(sha256(text), "u1"))
    run.create_group("arrays")
    for k, array in enumerate(arrays):
        if array.size:
            run.create_dataset(f"arrays/{k}", data=np.atleast_1d(array), chunks=True, fletcher32=True)
    footer = run.create_dataset("footer", dtype="u1", chunks=(1024,), **growing)
    values = run.create_dataset("values", dtype="u1", chunks=(VALUES_CHUNK,), **growing)
    tails = None
    if not atomic:
        size = max((chunk_records - 1) * sum(stream.dtype.itemsize for stream in streams), 1)
        chunks = (1, min(size, _TAIL_CHUNK))
        tails = run.create_dataset("tails", (2, size), dtype="u1", chunks=chunks)
    n_words = row_words(len(streams))
    committed = run.create_dataset("committed", (2, n_words), chunks=(1, n_words), dtype="<u8")
    return Layout(streams, footer, values, tails, committed)
