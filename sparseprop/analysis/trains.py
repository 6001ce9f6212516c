"""The door of the analyses: whatever has spikes becomes spike trains, neuron by neuron."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from .._machine import available_memory
from .._validation import index_array, integer, is_array, real, real_array
from ..connectivity._wiring import sort_by_source
from ..errors import InsufficientMemoryError, ParameterError, named_arguments, shown
from ..numerics import bins
from ..run.loading import load
from ..run.result import Result

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Bools, Floats, Ints, Spikes

__all__ = ["SpikeTrains"]

MAX_BINS = 1 << 40  # far beyond it, times have no digits left


class Counts(NamedTuple):
    """How many spikes neurons have in bins, where there are any; ordered by neuron, then by bin."""

    neuron: Ints
    bin: Ints
    number: Ints
    n_bins: int


@named_arguments
class SpikeTrains:
    """Spikes of n neurons in an interval, neuron by neuron: what all functions of this package make of what they get.

    They take a :class:`sparseprop.Result` (``res["E"]`` for one population), the path of a raster, a tuple ``(times,
    ids, n, t_start, t_stop)``, spike trains of neo, or one of these. Making it once saves time where several functions
    look at the same spikes, and ``trains[ids]`` are some of the neurons.

    Parameters
    ----------
    times : array_like of float
        ms, in any order.
    ids : array_like of int
        Who fired, in [0, n).
    n : int
        Number of neurons.
    t_start, t_stop : float
        The interval in ms. Spikes at both ends are in it.
    recorded : array_like of int, optional
        Ids of those neurons whose spikes are known; default: all. What is said of others is NaN.

    Attributes
    ----------
    times, ids : ndarray
        Of the spikes, in ms, in the order of ids, those of a neuron in that of times.
    n, t_start, t_stop
        As above.
    known : ndarray of bool, shape (n,)
        Of which neurons the spikes are known. Where nobody can tell (a file of another program, see
        :func:`sparseprop.load`), of those that fired.
    pooled : ndarray of bool, shape (n,)
        Which neurons are in what is said of all together: those that are known, and no sources beside neurons.
    n_pooled : float
        How many these are; NaN where nobody can tell.

    Examples
    --------
    >>> import sparseprop as sp
    >>> trains = sp.analysis.SpikeTrains([1.0, 2.0, 4.0, 3.0], [0, 0, 0, 1], n=3, t_start=0.0, t_stop=5.0)
    >>> trains.n_spikes.tolist(), trains[[1, 2]].n_spikes.tolist(), sp.analysis.rates(trains).tolist()
    ([3, 1, 0], [1, 0], [600.0, 200.0, 0.0])
    """

    times: Floats
    ids: Ints
    n: int
    t_start: float
    t_stop: float
    known: Bools
    pooled: Bools
    n_pooled: float

    def __init__(
        self,
        times: ArrayLike,
        ids: ArrayLike,
        n: int,
        t_start: float,
        t_stop: float,
        *,
        recorded: ArrayLike | None = None,
    ) -> None:
        n = integer(n, "SpikeTrains: n", "a whole number of neurons >= 0", low=0, high=2**31 - 1)
        t_start = real(t_start, "SpikeTrains: t_start", "a finite time in ms", unit="ms")
        t_stop = real(t_stop, "SpikeTrains: t_stop", f"a time in ms >= t_start, {t_start:g}", unit="ms", low=t_start)
        times = real_array(times, "SpikeTrains: times", "finite times in ms", unit="ms", copy=False)
        ids = index_array(ids, "SpikeTrains: ids", n)
        if times.size != ids.size:
            raise ParameterError(f"SpikeTrains: times and ids must have one length, got {times.size} and {ids.size}")
        if times.size and not t_start <= times.min() <= times.max() <= t_stop:
            raise ParameterError(
                f"SpikeTrains: t_start and t_stop must enclose the spikes, from {times.min():g} to {times.max():g} ms, "
                f"got {t_start:g} and {t_stop:g}"
            )
        known = np.ones(n, bool)
        if recorded is not None:
            recorded = index_array(recorded, "SpikeTrains: recorded", n)
            known[:] = False
            known[recorded] = True
            if not known[ids].all():
                k = int(np.argmin(known[ids]))
                raise ParameterError(
                    f"SpikeTrains: recorded must have all neurons that fired, got spikes of neuron {int(ids[k])}"
                )
        self._take(times, ids, n, t_start, t_stop)
        self.known = self.pooled = known
        self._guessed = np.zeros(n, bool)
        self.n_pooled = float(np.count_nonzero(known))

    def _take(self, times, ids, n, t_start, t_stop):
        """Spikes in any order."""
        by_id = not (ids[1:] < ids[:-1]).any()
        back = times[1:] < times[:-1]
        if (back & (ids[1:] == ids[:-1])).any() if by_id else back.any():
            order = np.argsort(times, kind="stable")
            times, ids, by_id = times[order], ids[order], False
        if not by_id:
            bounds, order = sort_by_source(ids.astype(np.int32), n)
            times, ids = times[order], np.repeat(np.arange(n), np.diff(bounds))
        self._take_ordered(times, ids, n, t_start, t_stop)

    def _take_ordered(self, times, ids, n, t_start, t_stop):
        """Spikes in the order of ids, and of times within them."""
        self.times, self.ids, self.n, self.t_start, self.t_stop = times, ids, n, t_start, t_stop

    @classmethod
    def of(cls, spikes: Spikes) -> SpikeTrains:
        """Spike trains of whatever has spikes.

        Parameters
        ----------
        spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
            A path is that of a raster, which :func:`sparseprop.load` reads; a tuple is ``(times, ids, n, t_start,
            t_stop)``; of neo's, one, or a list of those of several neurons with the same `t_start` and `t_stop`.

        Returns
        -------
        SpikeTrains

        Raises
        ------
        ParameterError
            For anything else, and as the constructor.
        """
        if isinstance(spikes, cls):
            return spikes
        if isinstance(spikes, Result):
            return cls._of_result(spikes)
        if isinstance(spikes, (str, bytes, os.PathLike)):
            return cls._of_result(load(spikes))
        if _has_ends(spikes):
            return cls.from_trains([cast("Any", spikes)])
        if isinstance(spikes, Sequence) and len(spikes) and all(map(_has_ends, spikes)):
            return cls.from_trains(spikes)
        if isinstance(spikes, (tuple, list)) and len(spikes) == 5:
            return cls(*spikes)
        raise ParameterError(
            "spikes must be a Result, the path of a raster, a tuple (times, ids, n, t_start, t_stop), SpikeTrains, or "
            f"spike trains of neo, got {shown(spikes)}; SpikeTrains.from_trains takes a list of arrays"
        )

    @classmethod
    def from_trains(
        cls, trains: Sequence[ArrayLike], t_start: float | None = None, t_stop: float | None = None
    ) -> SpikeTrains:
        """Of one array of spike times for each neuron.

        Parameters
        ----------
        trains : sequence of array_like
            Spike times of each neuron in ms, or with units of time.
        t_start, t_stop : float, optional
            The interval in ms. Default: that of spike trains of neo, which must have the same.

        Raises
        ------
        ParameterError
            Without an interval, for spike trains of neo whose intervals differ, and as the constructor.
        """
        if not is_array(trains) or not all(map(is_array, trains)):
            raise ParameterError(
                f"from_trains: trains must be a sequence with an array of times for each neuron, got {shown(trains)}"
            )
        ends: dict[str, Any] = {"t_start": t_start, "t_stop": t_stop}
        for name, value in ends.items():
            if value is None:
                ends[name] = _common_end(trains, name)
        arrays = [
            real_array(train, f"from_trains: train {k}", "finite times in ms", unit="ms", copy=False)
            for k, train in enumerate(trains)
        ]
        sizes = [array.size for array in arrays]
        times = np.concatenate(arrays) if arrays else np.zeros(0)
        return cls(times, np.repeat(np.arange(len(arrays)), sizes), len(arrays), **ends)

    @classmethod
    def _of_result(cls, result):
        trains = cls.__new__(cls)
        n = sum(info.n for info in result.populations)
        trains._take(result.times, result.ids, n, result.t_start, result.t_stop)
        trains.known = result._mask_of_recorded()
        trains._guessed, counted = np.zeros(n, bool), np.zeros(n, bool)
        for info in result.populations:
            trains._guessed[info.first : info.first + info.n] = result.recorded[info.name] is None
        for info in result._counted():
            counted[info.first : info.first + info.n] = True
        trains.pooled = trains.known & counted
        guessed = bool((trains._guessed & counted).any())
        trains.n_pooled = math.nan if guessed else float(np.count_nonzero(trains.pooled))
        return trains

    @property
    def n_spikes(self) -> Ints:
        """How often each neuron fired, shape (n,), 0 for those that were not recorded."""
        return np.diff(self._bounds)

    @property
    def duration(self) -> float:
        """ms."""
        return self.t_stop - self.t_start

    @functools.cached_property
    def _bounds(self):
        """Where the spikes of each neuron begin, and their end, shape (n + 1,)."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.ids, minlength=self.n))])

    def __getitem__(self, ids: int | slice | ArrayLike) -> SpikeTrains:
        """The spike trains of some neurons, which are numbered from 0.

        Parameters
        ----------
        ids : int, slice or array_like of int
            Each at most once.
        """
        if isinstance(ids, slice):
            ids = np.arange(self.n)[ids]
        elif not is_array(ids):
            ids = [integer(ids, "SpikeTrains: id", f"an id in [0, {self.n})", low=0, high=self.n - 1)]
        ids = index_array(ids, "SpikeTrains: ids", self.n)
        if np.unique(ids).size != ids.size:
            raise ParameterError(f"SpikeTrains: ids must have each neuron once, got {shown(ids)}")
        begin, size = self._bounds[ids], self._bounds[ids + 1] - self._bounds[ids]
        first = np.cumsum(size) - size
        at = np.repeat(begin - first, size) + np.arange(size.sum())
        part = type(self).__new__(type(self))
        part._take_ordered(self.times[at], np.repeat(np.arange(ids.size), size), ids.size, self.t_start, self.t_stop)
        part.known = part.pooled = self.known[ids]
        part._guessed = self._guessed[ids] & ~part.known
        part.n_pooled = math.nan if part._guessed.any() else float(np.count_nonzero(part.pooled))
        return part

    __iter__ = None  # without it, Python would try trains[0], trains[1], ...

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return (
            f"<SpikeTrains: {self.times.size:,} spikes of {self.n:,} neurons, {self.t_start:g} to {self.t_stop:g} ms>"
        )

    def pool(self) -> tuple[Floats, Ints]:
        """These spike trains without neurons that are not in `pooled`: times, and whose they are, from 0."""
        if self.pooled.all():
            return self.times, self.ids
        mine = self.pooled[self.ids]
        number = np.cumsum(self.pooled) - 1
        return self.times[mine], number[self.ids[mine]]

    def n_bins(self, width: float, name: str = "bin_width") -> int:
        """How many whole bins of a width in ms the interval has; what is left over at its end is in none."""
        if self.duration > MAX_BINS * width:
            raise ParameterError(f"{name} must be at least {self.duration / MAX_BINS:g} ms, got {width:g}")
        return max(bins.n_points(self.t_start, self.t_stop, width) - 1, 0)

    def counts(self, width: float, name: str = "bin_width") -> Counts:
        """The :class:`Counts` in bins of a width in ms; each includes its beginning, as for ``Record(bins=...)``."""
        n_bins = self.n_bins(width, name)
        found = bins.bin_of(self.times, self.t_start, width)
        inside = found < n_bins
        ids, found = (self.ids, found) if inside.all() else (self.ids[inside], found[inside])
        first = np.ones(ids.size, bool)
        first[1:] = (ids[1:] != ids[:-1]) | (found[1:] != found[:-1])
        at = np.flatnonzero(first)
        return Counts(ids[at], found[at], np.diff(at, append=ids.size), n_bins)


def _has_ends(train):
    """Whether this is a spike train of neo, or behaves like one."""
    return not isinstance(train, Result) and all(
        hasattr(train, name) for name in ("t_start", "t_stop", "magnitude", "rescale")
    )


def _common_end(trains, name):
    """The `t_start` or `t_stop` that spike trains of neo have in common."""
    if not len(trains) or not all(map(_has_ends, trains)):
        raise ParameterError(f"from_trains: {name} must be given, a time in ms, unless all trains are neo's")
    ends = [real(getattr(train, name), f"from_trains: {name}", "a finite time", unit="ms") for train in trains]
    if min(ends) != max(ends):
        raise ParameterError(
            f"from_trains: {name} must be the same for all trains, got {min(ends):g} and {max(ends):g} ms; give {name}="
        )
    return ends[0]


def width_of(value, name):
    """A width of bins that a user gave, in ms."""
    return real(value, name, "a finite time > 0 ms", unit="ms", low=0.0, low_open=True)


def check_memory(n_bytes, what, remedy):
    """Refuse arrays that do not fit into memory."""
    available = available_memory()
    if n_bytes > available:
        raise InsufficientMemoryError(
            f"{what} takes {n_bytes / 2**30:.3g} GiB, and {available / 2**30:.3g} GiB of memory are available; {remedy}"
        )
