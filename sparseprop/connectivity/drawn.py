"""Values of synapses from a distribution: drawn by rows when they are needed, and kept only where all are asked for."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from .._machine import share_out
from . import _wiring

if TYPE_CHECKING:
    from .._types import Floats, Ints, Key
    from .distributions import Distribution
    from .random import Purpose

__all__ = ["Drawn", "all_of", "extremes"]


class Drawn:
    """One number from a distribution for each synapse of a projection, which takes no memory until `values` is read.

    Parameters
    ----------
    distribution : Distribution
    key : ndarray of uint64, shape (2,)
    purpose : Purpose
    projection : int
        Its place in the network.
    offsets : ndarray of int64, shape (n_pre + 1,)
        Where rows begin.
    """

    def __init__(self, distribution: Distribution, key: Key, purpose: Purpose, projection: int, offsets: Ints) -> None:
        self.distribution, self.offsets = distribution, offsets
        self._stream = key, purpose, projection
        self._values: Floats | None = None

    def __getstate__(self):
        # Copies and pickles draw for themselves.
        return {name: value for name, value in self.__dict__.items() if name != "extremes"} | {"_values": None}

    @property
    def size(self) -> int:
        """Number of synapses."""
        return int(self.offsets[-1])

    @property
    def is_kept(self) -> bool:
        """Whether there is an array of all values by now."""
        return self._values is not None

    @property
    def values(self) -> Floats:
        """All of them, shape (n_synapses,), not to be written to; kept from now on, 8 bytes for each."""
        if self._values is None:
            values = self.distribution.draw(*self._stream, self.offsets)
            values.flags.writeable = False
            self._values = values
        return self._values

    def rows(self, first: int, stop: int) -> Floats:
        """Those of the synapses of the sources from `first` up to `stop`."""
        begin, end = self.offsets[first], self.offsets[stop]
        if self._values is not None:
            return self._values[begin:end]
        return self.distribution.draw(*self._stream, self.offsets[first : stop + 1] - begin, first)

    @functools.cached_property
    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest of them, found without keeping them; infinite where there are none."""
        found = []

        def note(first, stop):
            part = self.rows(first, stop)
            if part.size:
                found.append((part.min(), part.max()))

        share_out(note, _wiring.row_blocks(self.offsets))
        return min((low for low, _ in found), default=np.inf), max((high for _, high in found), default=-np.inf)


def all_of(values: float | Floats | Drawn) -> float | Floats:
    """A number as it is, or an array of what is drawn, which is then kept."""
    return values.values if isinstance(values, Drawn) else values


def extremes(values: float | Floats | Drawn) -> tuple[float, float]:
    """The smallest and the largest of a number or of the values of synapses; infinite where there are none."""
    if isinstance(values, Drawn):
        return values.extremes
    return float(np.min(values, initial=np.inf)), float(np.max(values, initial=-np.inf))
