"""How synchronous spike trains are, in one number for all of them or for each pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import real
from ..errors import named_arguments
from ..numerics.trains import intervals_of
from .counts import moments
from .trains import SpikeTrains, check_memory, width_of

if TYPE_CHECKING:
    from .._types import Floats, Spikes

__all__ = ["spike_contrast", "spike_time_tiling_coefficient", "synchrony_index"]


@named_arguments
def synchrony_index(spikes: Spikes, bin_width: float) -> float:
    """Golomb and Rinzel's synchrony measure chi, of numbers of spikes in bins.

    The square root of the variance over time of the mean over neurons, over the mean over neurons of their variances
    over time: 1 where all do the same, and about ``1 / sqrt(n)`` for n independent neurons.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`. Sources are left out, unless there is nothing else.
    bin_width : float
        ms, as for :func:`spike_counts`.

    Returns
    -------
    float
        In [0, 1]; NaN where the numbers do not vary, or nobody knows how many neurons were recorded.

    Notes
    -----
    O(number of spikes + bins).

    References
    ----------
    Golomb and Rinzel (1994), Physica D 72:259, doi:10.1016/0167-2789(94)90214-3 (there of voltages); Golomb (2007),
    Scholarpedia 2(1):1347, doi:10.4249/scholarpedia.1347.

    Examples
    --------
    >>> import sparseprop as sp
    >>> sp.analysis.synchrony_index(([0.5, 0.6, 2.5, 2.6], [0, 1, 0, 1], 2, 0.0, 4.0), bin_width=1.0)
    1.0
    """
    trains = SpikeTrains.of(spikes)
    width = width_of(bin_width, "synchrony_index: bin_width")
    check_memory(24.0 * trains.n_bins(width), "synchrony_index", "take wider bins")
    counted = trains.counts(width)
    total, squares = moments(counted, trains.n)
    single = (counted.n_bins * squares - total**2)[trains.pooled].sum()
    mine = trains.pooled[counted.neuron]
    summed = np.bincount(counted.bin[mine], counted.number[mine], counted.n_bins)
    together = counted.n_bins * (summed @ summed) - summed.sum() ** 2
    return float(np.sqrt(together / (trains.n_pooled * single))) if single > 0.0 else float("nan")


@named_arguments
def spike_time_tiling_coefficient(spikes: Spikes, dt: float = 5.0) -> Floats:
    """The spike time tiling coefficient of all pairs of neurons.

    ``((P_A - T_B) / (1 - P_A T_B) + (P_B - T_A) / (1 - P_B T_A)) / 2``, with P_A the fraction of the spikes of A that
    are at most `dt` from one of B, and T_A the fraction of the interval that is at most `dt` from a spike of A. It does
    not depend on the rates, unlike correlations.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`; for some neurons of many, ``SpikeTrains.of(spikes)[ids]``.
    dt : float
        ms.

    Returns
    -------
    ndarray, shape (n, n)
        In [-1, 1]; 1 on the diagonal. A term is 1/2 in itself where its denominator is 0. NaN for neurons without a
        spike or that were not recorded, and for an interval of no time.

    Notes
    -----
    O(n times number of spikes, times the logarithm of that of a neuron).

    References
    ----------
    Cutts and Eglen (2014), J. Neurosci. 34:14288, doi:10.1523/JNEUROSCI.2767-14.2014.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.spike_time_tiling_coefficient(spikes, dt=0.5).round(4).tolist()
    [[1.0, 0.1104], [0.1104, 1.0]]
    """
    dt = width_of(dt, "spike_time_tiling_coefficient: dt")
    trains = SpikeTrains.of(spikes)
    n = trains.n
    check_memory(40.0 * n**2, "spike_time_tiling_coefficient", "take fewer neurons, as SpikeTrains.of(spikes)[ids]")
    near = np.full((n, n), np.nan)  # [i, j]: of the spikes of i, those near one of j
    fires = np.flatnonzero(trains.n_spikes) if trains.duration > 0.0 else np.zeros(0, np.int64)
    for j in fires:
        mine = trains.times[trains._bounds[j] : trains._bounds[j + 1]]
        after = np.searchsorted(mine, trains.times)
        left = trains.times - mine[np.maximum(after - 1, 0)]
        right = mine[np.minimum(after, mine.size - 1)] - trains.times
        is_near = (np.abs(left) <= dt) | (np.abs(right) <= dt)
        near[fires, j] = (np.bincount(trains.ids, is_near, n) / np.maximum(trains.n_spikes, 1))[fires]
    covered = _covered(trains, dt)
    half = _half(near, covered[None, :])
    return half + half.T


def _covered(trains, dt):
    """The fraction of the interval that is at most `dt` from a spike, of each neuron; NaN without one."""
    fires = trains.n_spikes > 0
    first, last = trains.times[trains._bounds[:-1][fires]], trains.times[trains._bounds[1:][fires] - 1]
    intervals, owner = intervals_of(trains.times, trains.ids)
    between = np.bincount(owner, np.minimum(intervals, 2.0 * dt), trains.n)[fires]
    covered = np.full(trains.n, np.nan)
    ends = np.minimum(first - trains.t_start, dt) + np.minimum(trains.t_stop - last, dt)
    if trains.duration > 0.0:
        covered[fires] = (between + ends) / trains.duration
    return covered


def _half(near, covered):
    """``(P - T) / (1 - P T) / 2``, and 1/2 where P and T are 1."""
    rest = 1.0 - near * covered
    return np.divide(0.5 * (near - covered), rest, out=np.where(np.isnan(rest), np.nan, 0.5), where=rest != 0.0)


@named_arguments
def spike_contrast(spikes: Spikes, min_bin: float = 10.0, *, shrink_factor: float = 0.9) -> float:
    """Spike-contrast: how synchronous all spike trains are, at the scale of time at which they are so the most.

    At each width of overlapping bins, from half the interval down, the product of a contrast (how much the number of
    spikes changes from bin to bin) and of how many neurons are active in the bins that spikes are in; of these products
    the largest.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`. Sources are left out, unless there is nothing else.
    min_bin : float
        The narrowest bins in ms, if half the shortest interspike interval is not longer.
    shrink_factor : float
        In (0, 1): a width over the one before.

    Returns
    -------
    float
        In [0, 1]; NaN for fewer than two neurons, if none has an interval, if bins would be wider than half the
        interval, and where nobody knows how many neurons were recorded.

    Notes
    -----
    O(number of spikes + bins, for each width).

    References
    ----------
    Ciba et al. (2018), J. Neurosci. Methods 293:136, doi:10.1016/j.jneumeth.2017.09.008.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> round(sp.analysis.spike_contrast(spikes, min_bin=1.0), 4)
    0.56
    """
    min_bin = width_of(min_bin, "spike_contrast: min_bin")
    shrink_factor = real(
        shrink_factor,
        "spike_contrast: shrink_factor",
        "a number in (0, 1)",
        low=0.0,
        high=1.0,
        low_open=True,
        high_open=True,
    )
    trains = SpikeTrains.of(spikes)
    times, ids = trains.pool()
    intervals, _ = intervals_of(times, ids)
    if not trains.n_pooled > 1.0 or not intervals.size:
        return float("nan")
    shortest = float(intervals.min())
    start, stop = trains.t_start - shortest, trains.t_stop + shortest
    narrowest = max(min_bin, shortest / 2.0)
    check_memory(80.0 * (stop - start) / narrowest, "spike_contrast", "give a larger min_bin")
    order = np.argsort(times, kind="stable")
    ascending, rank = times[order], np.empty(times.size, np.int64)
    rank[order] = np.arange(times.size)
    same = ids[1:] == ids[:-1]
    best, width = float("nan"), trains.duration / 2.0
    while width >= narrowest:
        together, active = _overlapping(ascending, rank, same, np.arange(start, stop + width / 2.0, width / 2.0))
        participation = ((active * together).sum() / together.sum() - 1.0) / (trains.n_pooled - 1.0)
        contrast = np.abs(np.diff(together)).sum() / (2.0 * times.size)
        best = max(contrast * participation, -np.inf if np.isnan(best) else best)
        width *= shrink_factor
    return float(best)


def _overlapping(ascending, rank, same, edges):
    """Of bins of two steps that overlap by one: numbers of spikes, and of neurons that have one.

    `ascending` are the times of all, `rank` where in it the spikes of neuron after neuron are, and `same` which of
    these are of the same neuron as the one before.
    """
    n = edges.size - 1
    bounds = np.searchsorted(ascending, edges)
    bounds[-1] = ascending.size  # the last step includes its end
    counts = np.diff(bounds)
    step = np.repeat(np.arange(n, dtype=np.int32), counts)[rank]
    ahead = np.diff(step)
    active = np.bincount(step[1:][(ahead != 0) | ~same], minlength=n)  # each neuron once in a step
    active[step[0]] += 1
    twice = np.bincount(step[:-1][same & (ahead == 1)], minlength=n)
    return counts[:-1] + counts[1:], active[:-1] + active[1:] - twice[:-1]
