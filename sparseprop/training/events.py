"""Data sets of spikes: files in the layout of the Heidelberg data sets, and events as tonic has them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..batch import SpikeData
from ..errors import FileFormatError, ParameterError, StorageError, named_arguments, shown, unknown_name
from ..files.storage import beside, readable, writable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from .._types import ArrayLike, PathLike

__all__ = ["read_shd", "spikes_from_events", "write_shd"]

UNITS = ("s", "ms", "us")


def _in_ms(times, unit):
    times = np.asarray(times, np.float64)
    return times * 1000.0 if unit == "s" else times / 1000.0 if unit == "us" else times


def _unit(unit):
    if not isinstance(unit, str) or unit not in UNITS:
        raise unknown_name("unit", unit, UNITS)
    return unit


def _offsets(counts):
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


@named_arguments
def read_shd(
    path: PathLike, *, n: int = 700, unit: Literal["s", "ms", "us"] = "s", samples: slice | None = None
) -> SpikeData:
    """Read spikes and labels from an HDF5 file in the layout of the Heidelberg data sets, SHD and SSC.

    Such a file has ``spikes/times`` and ``spikes/units``, arrays of any length for each sample, and ``labels``. Its
    times are seconds and **come out in ms**. Those of SHD are numbers of 16 bits: late in a sample they are 0.5 or 1 ms
    apart, and many coincide.

    Parameters
    ----------
    path : path-like
    n : int
        Number of sources, 700 for SHD and SSC.
    unit : {"s", "ms", "us"}
        Of the times in the file.
    samples : slice, optional
        Which to read; default: all. SHD's 8156 samples for training take about 1 GB here, 16 bytes for each spike.

    Returns
    -------
    SpikeData
        With int64 labels.

    Raises
    ------
    StorageError
        If the file cannot be read.
    FileFormatError
        If it has another layout.
    ParameterError
        For values that are not allowed.

    References
    ----------
    Cramer et al. (2022), doi:10.1109/TNNLS.2020.3044364.

    Examples
    --------
    >>> import h5py, numpy as np, tempfile, os
    >>> from sparseprop import training
    >>> path = os.path.join(tempfile.mkdtemp(), "shd_train.h5")
    >>> with h5py.File(path, "w") as file:
    ...     file["labels"] = np.array([3, 1], np.uint16)
    ...     times = file.create_dataset("spikes/times", 2, h5py.vlen_dtype(np.float16))
    ...     units = file.create_dataset("spikes/units", 2, h5py.vlen_dtype(np.uint16))
    ...     times[0], times[1] = [0.5, 0.25], [1.0]
    ...     units[0], units[1] = [7, 0], [2]
    >>> data = training.read_shd(path)
    >>> data
    <SpikeData: 2 samples, 3 spikes of 700 sources in 1000 ms>
    >>> data.times.tolist(), data.ids.tolist(), data.labels.tolist()
    ([250.0, 500.0, 1000.0], [0, 7, 2], [3, 1])
    """
    import h5py

    n = _validation.integer(n, "n", "a whole number >= 1", low=1)
    unit = _unit(unit)
    samples = slice(None) if samples is None else samples
    if not isinstance(samples, slice):
        raise ParameterError(f"samples must be a slice, such as slice(0, 1000), got {shown(samples)}")
    name = readable(path)
    try:
        with h5py.File(name, "r") as file:
            times, units = _ragged(file, "spikes/times"), _ragged(file, "spikes/units")
            if "labels" not in file or not len(times) == len(units) == len(file["labels"]):
                raise FileFormatError("it must have a label, times and units for each sample")
            times, units, labels = times[samples], units[samples], file["labels"][samples]
    except FileFormatError as error:
        raise FileFormatError(f"{name} has not the layout of SHD: {error}") from None
    except OSError as error:
        raise FileFormatError(f"{name} is no HDF5 file, or damaged: {error}") from error
    counts, others = ([len(part) for part in parts] for parts in (times, units))
    if counts != others:
        k = next(k for k, pair in enumerate(zip(counts, others, strict=True)) if pair[0] != pair[1])
        raise FileFormatError(f"{name}: sample {k} has {counts[k]} times and {others[k]} units")
    times = np.concatenate([np.zeros(0, np.float16), *times])
    units = np.concatenate([np.zeros(0, np.uint8), *units])
    try:
        ids = _validation.index_array(units, "spikes/units", n)
        return SpikeData(_in_ms(times, unit), ids, _offsets(counts), labels.astype(np.int64), n=n)
    except ParameterError as error:
        raise FileFormatError(f"{name}: {error}; n is the number of sources, here {n}") from None


@named_arguments
def write_shd(path: PathLike, data: SpikeData) -> None:
    """Write spikes and labels as an HDF5 file in the layout of the Heidelberg data sets: what :func:`read_shd` reads.

    Parameters
    ----------
    path : path-like
        What is there is replaced.
    data : SpikeData
        With a label, a whole number >= 0, for each sample. Times are written in seconds, as doubles, and come back
        within a rounding.

    Raises
    ------
    StorageError
        If the file cannot be written.
    ParameterError
        For data without such labels.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> from sparseprop import training
    >>> path = os.path.join(tempfile.mkdtemp(), "words.h5")
    >>> data = training.spoken_digits(10, seed=1)
    >>> training.write_shd(path, data)
    >>> again = training.read_shd(path)
    >>> np.allclose(again.times, data.times, rtol=1e-15), np.array_equal(again.labels, data.labels)
    (True, True)
    """
    import h5py

    if not isinstance(data, SpikeData):
        raise ParameterError(f"data must be a SpikeData, such as training.spoken_digits(...), got {shown(data)}")
    if data.labels is None:
        raise ParameterError("data must have a label for each sample, got none: SpikeData(..., labels=)")
    labels = _validation.index_array(data.labels, "labels of data", 2**16)
    name = writable(path)
    partial = beside(name, "partial")
    try:
        with h5py.File(partial, "w") as file:
            file["labels"] = labels.astype(np.uint16)
            for key, values, kind in (("times", data.times / 1000.0, np.float64), ("units", data.ids, np.uint32)):
                parts = file.create_dataset(f"spikes/{key}", len(data), h5py.vlen_dtype(kind))
                for k, (first, end) in enumerate(zip(data.offsets[:-1], data.offsets[1:], strict=True)):
                    parts[k] = values[first:end].astype(kind)
        os.replace(partial, name)
    except OSError as error:
        raise StorageError(f"cannot write {name}: {error}") from error


def _ragged(file, name):
    """A dataset of arrays of any length."""
    import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != 1 or h5py.check_vlen_dtype(found.dtype) is None:
        raise FileFormatError(f"{name!r} must be a dataset of arrays of any length (vlen), one for each sample")
    return found


@named_arguments
def spikes_from_events(
    events: Sequence[Any],
    sensor_size: Sequence[int],
    *,
    labels: ArrayLike | None = None,
    unit: Literal["us", "ms", "s"] = "us",
) -> SpikeData:
    """Spikes from events as tonic has them: structured arrays with fields t, x, p, and y where there are two axes.

    Sources are the pixels of the sensor, x first, then y, then polarity: ``x + width (y + height p)``. Times **come out
    in ms**.

    Parameters
    ----------
    events : sequence
        An array of events for each sample; or pairs (events, label), such as a data set of tonic.
    sensor_size : (int, int, int)
        Width, height and number of polarities, tonic's ``dataset.sensor_size``. If there is one polarity, p is not
        looked at: tonic's SHD has (700, 1, 1), and p = 1.
    labels : array_like, optional
        Of samples, if they are not beside the events.
    unit : {"us", "ms", "s"}
        Of t; microseconds in tonic.

    Returns
    -------
    SpikeData

    Raises
    ------
    ParameterError
        For other fields, events beyond the sensor, and values that are not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseprop import training
    >>> dtype = np.dtype([("t", int), ("x", int), ("y", int), ("p", int)])
    >>> dataset = [(np.array([(1500, 3, 1, 0), (2000, 0, 0, 1)], dtype), 7), (np.zeros(0, dtype), 4)]
    >>> data = training.spikes_from_events(dataset, sensor_size=(4, 2, 2))
    >>> data.times.tolist(), data.ids.tolist(), data.labels.tolist(), data.n
    ([1.5, 2.0], [7, 8], [7, 4], 16)
    """
    if not hasattr(events, "__len__") or not hasattr(events, "__getitem__") or isinstance(events, (str, bytes, dict)):
        raise ParameterError(f"events must be a sequence with an array for each sample, got {shown(events)}")
    unit = _unit(unit)
    sensor_size = _validation.without_unit(sensor_size, "sensor_size")
    if not _validation.is_array(sensor_size) or len(sensor_size) != 3:
        raise ParameterError(f"sensor_size must be (width, height, polarities), got {shown(sensor_size)}")
    width, height, polarities = (
        _validation.integer(size, f"sensor_size[{k}]", "a whole number >= 1", low=1)
        for k, size in enumerate(sensor_size)
    )
    samples = [events[k] for k in range(len(events))]
    if samples and all(isinstance(sample, tuple) and len(sample) == 2 for sample in samples):
        if labels is not None:
            raise ParameterError("labels must not be given where they are beside the events")
        samples, labels = [sample for sample, _ in samples], [label for _, label in samples]
    axes = [("x", width), ("y", height), ("p", polarities)]
    axes = [(axis, size) for axis, size in axes if axis == "x" or size > 1]
    for k, sample in enumerate(samples):
        names = getattr(getattr(sample, "dtype", None), "names", None) or ()
        lacking = [name for name in ("t", *(axis for axis, _ in axes)) if name not in names]
        if lacking or sample.ndim != 1:
            raise ParameterError(
                f"events of sample {k} must be a structured array with the fields t, x, p (and y), got {shown(sample)}"
            )

    def column(name):
        return np.concatenate([np.zeros(0, np.int8), *(sample[name] for sample in samples)])

    ids, stride = np.zeros(sum(map(len, samples)), np.int64), 1
    for axis, size in axes:
        values = column(axis)
        values = values.astype(np.int8) if values.dtype.kind == "b" else values
        ids += stride * _validation.index_array(values, f"{axis} of events", size)
        stride *= size
    times = _in_ms(_validation.plain(column("t"), "t of events"), unit)
    return SpikeData(times, ids, _offsets([len(sample) for sample in samples]), labels, n=stride)
