"""What of a projection is on one rank: the synapses onto the neurons that live there, with the bits of the whole.

Rows are drawn by source from counters, so that every rank can draw each of them, and keeps what it needs; no rank holds
all of them at any time.
"""

from dataclasses import dataclass

import numpy as np

from . import _wiring
from .adjacency import Adjacency, ProceduralAdjacency
from .drawn import Drawn

__all__ = ["AT_A_TIME", "AdjacencyShare", "blocks_of_rows", "share_of_adjacency", "whole_offsets"]

# Synapses that are drawn at a time, of which most may be of other ranks.
AT_A_TIME = 1 << 23


@dataclass(frozen=True, eq=False)
class AdjacencyShare(Adjacency):
    """The synapses of a projection onto the neurons of one rank; rows ascend, so that they are a part of each row.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_pre + 1,)
    targets : ndarray of int32
        As of :class:`Adjacency`, of those that are here: ids within the population, counted from `low`.
    low, high : int
        The targets from `low` to before `high` are here.
    whole : ndarray of int64, shape (n_pre + 1,)
        The offsets of whole rows.
    skipped : ndarray of int64, shape (n_pre,)
        How many synapses of each row are before those that are here.
    """

    low: int = 0
    high: int = 0
    whole: np.ndarray | None = None
    skipped: np.ndarray | None = None

    @property
    def n_synapses(self):
        """Number of synapses on all ranks."""
        return int(self.whole[-1])

    def cut(self, values):
        """Of values of all synapses, those of the synapses that are here."""
        return DrawnShare(values, self) if isinstance(values, Drawn) else values


class DrawnShare(Drawn):
    """Values from a distribution, of the synapses that are on one rank."""

    def __init__(self, drawn, share):
        super().__init__(drawn.distribution, *drawn._stream, share.offsets)
        self._share, self._drawn = share, drawn

    def rows(self, first, stop):
        """As of :class:`Drawn`."""
        share = self._share
        begin = share.offsets[first]
        found = np.empty(share.offsets[stop] - begin)
        for a, b in blocks_of_rows(share.whole, first, stop):
            values = self._drawn.rows(a, b)
            starts = share.whole[a:b] - share.whole[a] + share.skipped[a:b]
            counts = np.diff(share.offsets[a : b + 1])
            found[share.offsets[a] - begin : share.offsets[b] - begin] = values[_places(starts, counts)]
        return found

    @property
    def values(self):
        """As of :class:`Drawn`."""
        if self._values is None:
            values = self.rows(0, len(self.offsets) - 1)
            values.flags.writeable = False
            self._values = values
        return self._values


def blocks_of_rows(offsets, first=0, stop=None):
    """Rows from `first` to before `stop`, so many together that they have about `AT_A_TIME` synapses."""
    stop = len(offsets) - 1 if stop is None else stop
    while first < stop:
        end = int(np.searchsorted(offsets, offsets[first] + AT_A_TIME, side="right")) - 1
        end = min(max(end, first + 1), stop)
        yield first, end
        first = end


def _places(starts, counts):
    """The numbers from each start on, so many of each, one behind the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - counts), counts) + np.arange(total)


def whole_offsets(adjacency):
    """The offsets of the rows of all synapses of a projection."""
    return adjacency.whole if isinstance(adjacency, AdjacencyShare) else adjacency.offsets


def share_of_adjacency(adjacency, values, low, high):
    """The synapses onto the targets from `low` to before `high`, and their values.

    Parameters
    ----------
    adjacency : Adjacency, AdjacencyShare or ProceduralAdjacency
        A procedural one is as it is: rows are cut when they are drawn. A share must be that of these targets.
    values : sequence of float, ndarray or Drawn
        For each synapse of all.

    Returns
    -------
    Adjacency or ProceduralAdjacency
        Targets are counted from `low`.
    list of float, ndarray or Drawn
    """
    if isinstance(adjacency, ProceduralAdjacency):
        return adjacency, list(values)
    if isinstance(adjacency, AdjacencyShare):
        if (adjacency.low, adjacency.high) != (low, high):
            raise ValueError(f"targets {low} to {high} of a share of those from {adjacency.low} to {adjacency.high}")
        here = Adjacency(adjacency.offsets, adjacency.targets, n_multapses=adjacency.n_multapses)
        return here, [adjacency.cut(each) for each in values]
    offsets, parts = [np.zeros(1, np.int64)], []
    kept = [[] for _ in values]
    for first, stop in blocks_of_rows(adjacency.offsets):
        begin, end = adjacency.offsets[first], adjacency.offsets[stop]
        targets = adjacency.targets[begin:end]
        wanted = (targets >= low) & (targets < high)
        up_to = np.concatenate([[0], np.cumsum(wanted)])
        offsets.append(up_to[adjacency.offsets[first + 1 : stop + 1] - begin] + offsets[-1][-1])
        parts.append(targets[wanted] - np.int32(low))
        for each, value in zip(kept, values, strict=True):
            if not isinstance(value, float):
                each.append(_wiring.rows_of(value, adjacency.offsets, first, stop)[wanted])
    cut = [
        value if isinstance(value, float) else np.concatenate([np.zeros(0), *each])
        for each, value in zip(kept, values, strict=True)
    ]
    targets = np.concatenate([np.zeros(0, np.int32), *parts])
    return Adjacency(np.concatenate(offsets), targets, n_multapses=adjacency.n_multapses), cut
