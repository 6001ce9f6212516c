"""The spikes in a page, without a bit of them lost.

Of each population the page has the times in the order in which they are, as float64, and the row of each in the
picture, as uint32; where not all neurons have a row, then also the ids of those that do, as uint32. Of times the
64-bit patterns are stored as differences modulo 2^64, each from the one before. Of every array first comes the lowest
byte of all entries, then the next one: upper bytes repeat, and zlib leaves little of them. At 10^6 spikes a time is
left with some 4.5 bytes and a row among 10^4 with 1.7; base64 makes a third more of them.
"""

import base64
import zlib
from typing import NamedTuple

import numpy as np

from .._validation import is_array

__all__ = ["Band", "bands_of_result", "bands_of_trains", "between", "described", "packed"]

_LEVEL = 6  # of zlib; 9 takes longer and saves a hundredth


class Band(NamedTuple):
    """The rows of a population.

    Attributes
    ----------
    name, model : str
    n : int
        Neurons.
    is_known : bool
        Whether it is known of which neurons spikes were recorded: else only those that fired have a row.
    ids : ndarray or None
        Of the neurons with rows, in their order; None: of all.
    times, rows : ndarray, shape (n_spikes,)
        Of spikes, times ascending, in ms.
    """

    name: str
    model: str
    n: int
    is_known: bool
    ids: np.ndarray | None
    times: np.ndarray
    rows: np.ndarray


def bands_of_result(result):
    """A :class:`Band` for each population of a Result."""
    return [_band_of(result, info) for info in result.populations]


def _band_of(result, info):
    several = len(result.populations) > 1
    mine = (result.ids >= info.first) & (result.ids < info.first + info.n) if several else slice(None)
    times, ids, recorded = result.times[mine], result.ids[mine] - info.first, result.recorded[info.name]
    if recorded is True:
        return Band(info.name, info.model, info.n, True, None, times, ids)
    with_rows = np.unique(ids) if recorded is None else np.sort(np.asarray(recorded, np.int64))
    return _compact(Band(info.name, info.model, info.n, is_array(recorded), with_rows, times, ids))


def bands_of_trains(trains):
    """The one :class:`Band` of SpikeTrains, whose spikes are in the order of neurons."""
    order = np.argsort(trains.times, kind="stable")
    known = not trains._guessed.any()
    band = Band("neurons", "", trains.n, known, np.flatnonzero(trains.known), trains.times[order], trains.ids[order])
    return [_compact(band)]


def _compact(band):
    """With rows for those neurons only that are in `ids`, where these are not all."""
    if band.ids.size == band.n:
        return band._replace(ids=None)
    return band._replace(rows=np.searchsorted(band.ids, band.rows))


def between(bands, first, last):
    """The spikes from `first` to `last`, both included."""
    cut = []
    for band in bands:
        begin = np.searchsorted(band.times, first, side="left")
        end = np.searchsorted(band.times, last, side="right")
        cut.append(band._replace(times=band.times[begin:end], rows=band.rows[begin:end]))
    return cut


def described(bands):
    """What the page has to know of populations, for JSON."""
    return [
        {
            "name": band.name,
            "model": band.model,
            "n": band.n,
            "isKnown": band.is_known,
            "nRows": band.n if band.ids is None else band.ids.size,
            "hasIds": band.ids is not None,
            "nSpikes": band.times.size,
        }
        for band in bands
    ]


def packed(bands):
    """All arrays, compressed, as text."""
    deflate, parts = zlib.compressobj(_LEVEL), []
    for band in bands:
        bits = np.ascontiguousarray(band.times, np.float64).view(np.uint64)
        steps = np.diff(bits, prepend=np.uint64(0))  # modulo 2^64
        arrays = [steps, band.rows.astype(np.uint32)]
        if band.ids is not None:
            arrays.append(band.ids.astype(np.uint32))
        for array in arrays:
            parts += [deflate.compress(plane) for plane in _planes(array)]
    parts.append(deflate.flush())
    return base64.b64encode(b"".join(parts)).decode("ascii")


def _planes(array):
    """The lowest bytes of all entries, then the next ones."""
    little = array.astype(array.dtype.newbyteorder("<"))
    by_entry = little.view(np.uint8).reshape(-1, array.itemsize)
    return [by_entry[:, k].tobytes() for k in range(array.itemsize)]
