"""Rates, and how regular spike trains are: measures of each neuron, from its spikes and the intervals between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._validation import flag, integer, real
from ..errors import ParameterError, named_arguments
from ..numerics.trains import cv_of_intervals, intervals_of
from .trains import SpikeTrains, width_of

if TYPE_CHECKING:
    from .._types import Floats, Ints, Spikes

__all__ = ["Histogram", "Intervals", "cv", "cv2", "isi", "isi_histogram", "lv", "lvr", "rates"]

MAX_BINS = 10_000_000


class Intervals(NamedTuple):
    """Interspike intervals in ms, and whose they are: neuron by neuron, in the order of time.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> found = sp.analysis.isi(spikes)
    >>> found.intervals.tolist(), found.ids.tolist()
    ([1.0, 2.0, 1.5], [0, 0, 1])
    """

    intervals: Floats
    ids: Ints


class Histogram(NamedTuple):
    """Edges of bins, shape (n_bins + 1,), and how many there are in each, shape (n_bins,).

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> found = sp.analysis.isi_histogram(spikes, bin_width=1.0, longest=3.0)
    >>> found.edges.tolist(), found.counts.tolist()
    ([0.0, 1.0, 2.0, 3.0], [0, 2, 1])
    """

    edges: Floats
    counts: Ints

    @property
    def density(self) -> Floats:
        """The histogram as a density, which has the integral 1; NaN if there is nothing in it."""
        total = self.counts.sum()
        return self.counts / (total * np.diff(self.edges)) if total else np.full(self.counts.shape, np.nan)


@named_arguments
def rates(spikes: Spikes) -> Floats:
    """The mean firing rate of each neuron.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.

    Returns
    -------
    ndarray, shape (n,)
        Hz; 0 for a neuron that was silent, NaN for one that was not recorded, and for an interval of no time.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.rates(spikes).tolist()  # Hz
    [600.0, 400.0]
    """
    trains = SpikeTrains.of(spikes)
    found = np.full(trains.n, np.nan)
    if trains.duration > 0.0:
        found[trains.known] = trains.n_spikes[trains.known] / (1e-3 * trains.duration)
    return found


@named_arguments
def isi(spikes: Spikes) -> Intervals:
    """The interspike intervals of all neurons.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.

    Returns
    -------
    Intervals
        ``(intervals, ids)``: in ms, and the neuron of each.

    Examples
    --------
    >>> import sparseprop as sp
    >>> intervals, ids = sp.analysis.isi(([1.0, 2.0, 2.5, 4.0], [0, 1, 0, 0], 2, 0.0, 5.0))
    >>> intervals.tolist(), ids.tolist()
    ([1.5, 1.5], [0, 0])
    """
    trains = SpikeTrains.of(spikes)
    return Intervals(*intervals_of(trains.times, trains.ids))


@named_arguments
def isi_histogram(
    spikes: Spikes,
    bin_width: float | None = None,
    *,
    longest: float | None = None,
    n_bins: int = 100,
    log: bool = False,
) -> Histogram:
    """The distribution of the interspike intervals of all neurons together.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`. Sources are left out, unless there is nothing else.
    bin_width : float, optional
        ms; default: what makes `n_bins` bins. Not with `log`.
    longest : float, optional
        ms; intervals from there on are left out. Default: all are in it.
    n_bins : int
        Where no `bin_width` is given.
    log : bool
        Whether bins are equally wide in the logarithm of the interval, from the shortest one above 0 on.

    Returns
    -------
    Histogram
        ``(edges, counts)``, edges in ms; its `density` is per ms. Each bin includes its beginning, the last one its end
        if that is the longest interval. Empty if there is no interval.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> edges, counts = sp.analysis.isi_histogram(spikes, bin_width=1.0, longest=3.0)
    >>> edges.tolist(), counts.tolist()
    ([0.0, 1.0, 2.0, 3.0], [0, 2, 1])
    """
    trains = SpikeTrains.of(spikes)
    intervals, _ = intervals_of(*trains.pool())
    logarithmic = flag(log, "isi_histogram: log")
    n_bins = integer(n_bins, "isi_histogram: n_bins", "a whole number >= 1", low=1, high=MAX_BINS)
    if logarithmic:
        if bin_width is not None:
            raise ParameterError("isi_histogram: bin_width must be left out with log=True; give n_bins")
        intervals = intervals[intervals > 0.0]
    if longest is not None:
        longest = width_of(longest, "isi_histogram: longest")
        intervals = intervals[intervals < longest]
    if not intervals.size:
        return Histogram(np.zeros(1), np.zeros(0, np.int64))
    last = float(intervals.max()) if longest is None else longest
    if logarithmic:
        first = float(intervals.min())
        edges = np.geomspace(first, last if last > first else 2.0 * first, n_bins + 1)
    else:
        edges = _even_edges(last, bin_width, n_bins)
    counts = np.bincount(
        np.minimum(np.searchsorted(edges, intervals, side="right") - 1, edges.size - 2), minlength=edges.size - 1
    )
    return Histogram(edges, counts)


def _even_edges(last, bin_width, n_bins):
    if bin_width is None:
        return np.linspace(0.0, last or 1.0, n_bins + 1)
    width = width_of(bin_width, "isi_histogram: bin_width")
    if last > MAX_BINS * width:
        raise ParameterError(
            f"isi_histogram: bin_width must be at least {last / MAX_BINS:g} ms, which makes {MAX_BINS:,} bins, "
            f"got {width:g}"
        )
    return width * np.arange(max(int(np.ceil(last / width * (1.0 - 1e-12))), 1) + 1)


@named_arguments
def cv(spikes: Spikes) -> Floats:
    """The coefficient of variation of each neuron's interspike intervals: standard deviation over mean.

    0 for a clock, 1 for a Poisson process. Short trains bias it towards 0, as they hold no long intervals.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.

    Returns
    -------
    ndarray, shape (n,)
        NaN for fewer than two intervals (three spikes), and where all of them are 0. ``Result.cv_isi`` is the mean of
        the others. The standard deviation is that of the intervals themselves (divided by their number).

    Examples
    --------
    >>> import sparseprop as sp
    >>> sp.analysis.cv(([0.0, 1.0, 4.0, 2.0], [0, 0, 0, 1], 2, 0.0, 5.0)).tolist()
    [0.5, nan]
    """
    trains = SpikeTrains.of(spikes)
    intervals, owner = intervals_of(trains.times, trains.ids)
    return cv_of_intervals(intervals, owner, trains.n)


@named_arguments
def cv2(spikes: Spikes) -> Floats:
    """CV2 of each neuron: twice the mean of ``|I' - I| / (I' + I)`` over successive intervals.

    Local: it hardly changes where the rate drifts slowly. 0 for a clock, 1 for a Poisson process.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.

    Returns
    -------
    ndarray, shape (n,)
        NaN for fewer than two intervals, and where two successive ones are 0.

    References
    ----------
    Holt, Softky, Koch and Douglas (1996), J. Neurophysiol. 75:1806, doi:10.1152/jn.1996.75.5.1806.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.cv2(spikes).round(4).tolist()
    [0.6667, nan]
    """
    return _local(spikes, lambda before, after: 2.0 * np.abs(after - before) / (after + before))


@named_arguments
def lv(spikes: Spikes) -> Floats:
    """Local variation LV of each neuron: three times the mean of ``((I' - I) / (I' + I))^2``.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.

    Returns
    -------
    ndarray, shape (n,)
        0 for a clock, 1 for a Poisson process; NaN for fewer than two intervals, and where two successive ones are 0.

    References
    ----------
    Shinomoto, Shima and Tanji (2003), Neural Comput. 15:2823, doi:10.1162/089976603322518759.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.lv(spikes).round(4).tolist()
    [0.3333, nan]
    """
    return _local(spikes, lambda before, after: 3.0 * ((after - before) / (after + before)) ** 2)


@named_arguments
def lvr(spikes: Spikes, R: float = 5.0) -> Floats:
    """Local variation of each neuron, corrected for refractoriness.

    Three times the mean of ``(1 - 4 I I' / (I + I')^2) (1 + 4 R / (I + I'))``.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.
    R : float
        The constant of refractoriness in ms, >= 0; with 0 it is :func:`lv`.

    Returns
    -------
    ndarray, shape (n,)
        NaN for fewer than two intervals, and where two successive ones are 0.

    References
    ----------
    Shinomoto et al. (2009), PLoS Comput. Biol. 5:e1000433, doi:10.1371/journal.pcbi.1000433.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.lvr(spikes, R=0.5).round(4).tolist()
    [0.5556, nan]
    """
    R = real(R, "lvr: R", "a finite time >= 0 ms", unit="ms", low=0.0)

    def term(before, after):
        both = before + after
        return 3.0 * (1.0 - 4.0 * before * after / both**2) * (1.0 + 4.0 * R / both)

    return _local(spikes, term)


def _local(spikes, term):
    """The mean of a term of two successive intervals, for each neuron."""
    trains = SpikeTrains.of(spikes)
    intervals, last = np.diff(trains.times), trains.ids[2:]
    with np.errstate(all="ignore"):  # two intervals of 0, and those from neuron to neuron: not defined
        terms = np.where(last == trains.ids[:-2], term(intervals[:-1], intervals[1:]), 0.0)
    total, count = np.bincount(last, terms, trains.n), trains.n_spikes - 2
    return np.divide(total, count, out=np.full(trains.n, np.nan), where=count > 0)
