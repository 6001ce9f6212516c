"""Numbers of spikes in bins: of each neuron and of all, and how they vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import named_arguments
from ..numerics import bins
from .trains import SpikeTrains, check_memory, width_of

if TYPE_CHECKING:
    from .._types import Floats, Ints, Spikes

__all__ = ["TimeHistogram", "fano_factor", "spike_counts", "time_histogram"]


class TimeHistogram(NamedTuple):
    """Activity of all neurons together in bins.

    Attributes
    ----------
    edges : ndarray, shape (n_bins + 1,)
        ms.
    counts : ndarray of int64, shape (n_bins,)
        Spikes of all neurons.
    rate : ndarray, shape (n_bins,)
        Their mean rate in Hz.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> found = sp.analysis.time_histogram(spikes, bin_width=2.5)
    >>> found.edges.tolist(), found.counts.tolist(), found.rate.tolist()
    ([0.0, 2.5, 5.0], [3, 2], [600.0, 400.0])
    """

    edges: Floats
    counts: Ints
    rate: Floats


@named_arguments
def spike_counts(spikes: Spikes, bin_width: float) -> Floats:
    """How many spikes each neuron has in each bin.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.
    bin_width : float
        ms. Bins begin at `t_start`, are whole, and include their beginning (a spike less than a billionth of the width
        before it is at it); what is left over at the end of the interval is in none, and a spike at its end neither.

    Returns
    -------
    ndarray of float, shape (n, n_bins)
        NaN for neurons that were not recorded.

    Raises
    ------
    InsufficientMemoryError
        If that does not fit; take some neurons, ``SpikeTrains.of(spikes)[ids]``.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.spike_counts(spikes, bin_width=2.5).tolist()
    [[2.0, 1.0], [1.0, 1.0]]
    """
    trains = SpikeTrains.of(spikes)
    width = width_of(bin_width, "spike_counts: bin_width")
    check_memory(8.0 * trains.n * trains.n_bins(width), "spike_counts", "take fewer neurons or wider bins")
    counted = trains.counts(width)
    found = np.zeros((trains.n, counted.n_bins))
    found[counted.neuron, counted.bin] = counted.number
    found[~trains.known] = np.nan
    return found


@named_arguments
def time_histogram(spikes: Spikes, bin_width: float) -> TimeHistogram:
    """The activity of all neurons together over time (population rate, peristimulus time histogram).

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`. Sources are left out, unless there is nothing else; ``res["E"]`` is one
        population.
    bin_width : float
        ms; as for :func:`spike_counts`.

    Returns
    -------
    TimeHistogram
        ``(edges, counts, rate)``. The rate is that of all neurons that were recorded; NaN where nobody knows how many
        these are.

    Examples
    --------
    >>> import sparseprop as sp
    >>> edges, counts, rate = sp.analysis.time_histogram(([0.5, 1.0, 1.5], [0, 1, 0], 2, 0.0, 3.0), bin_width=1.0)
    >>> edges.tolist(), counts.tolist(), rate.tolist()
    ([0.0, 1.0, 2.0, 3.0], [1, 2, 0], [500.0, 1000.0, 0.0])
    """
    trains = SpikeTrains.of(spikes)
    width = width_of(bin_width, "time_histogram: bin_width")
    counts = population_counts(trains, width)
    n = trains.n_pooled or np.nan
    edges = bins.edges(trains.t_start, width, counts.size + 1)
    return TimeHistogram(edges, counts, counts / (n * 1e-3 * width))


def population_counts(trains, width):
    """Spikes of all pooled neurons in whole bins, int64, shape (n_bins,)."""
    n_bins = trains.n_bins(width)
    check_memory(24.0 * n_bins, "the time histogram", "take wider bins")
    found = bins.bin_of(trains.pool()[0], trains.t_start, width)
    return np.bincount(found[found < n_bins], minlength=n_bins)


@named_arguments
def fano_factor(spikes: Spikes, window: float) -> Floats:
    """The Fano factor of each neuron: variance over mean of its numbers of spikes in windows of time.

    1 for a Poisson process. For a renewal process and long windows, the square of :func:`cv`.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.
    window : float
        ms; whole windows, as the bins of :func:`spike_counts`.

    Returns
    -------
    ndarray, shape (n,)
        The variance is that of the numbers themselves (divided by how many windows there are). NaN for neurons without
        a spike in them, and for fewer than two windows.

    Examples
    --------
    >>> import sparseprop as sp
    >>> sp.analysis.fano_factor(([0.5, 1.0, 1.5], [0, 1, 0], 2, 0.0, 4.0), window=1.0).tolist()
    [0.5, 0.75]
    """
    trains = SpikeTrains.of(spikes)
    counted = trains.counts(width_of(window, "fano_factor: window"), "fano_factor: window")
    total, squares = moments(counted, trains.n)
    found = np.full(trains.n, np.nan)
    some = total > 0 if counted.n_bins > 1 else np.zeros(trains.n, bool)
    total, squares = total[some], squares[some]
    found[some] = (counted.n_bins * squares - total**2) / (counted.n_bins * total)
    return found


def moments(counted, n):
    """Sums of numbers in bins, and of their squares, of each neuron: whole numbers, as float64."""
    total = np.bincount(counted.neuron, counted.number, n)
    return total, np.bincount(counted.neuron, counted.number.astype(float) ** 2, n)
