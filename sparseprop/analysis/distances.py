"""Distances between spike trains: van Rossum's, and Victor and Purpura's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import real
from ..errors import named_arguments
from ..numerics._functions import exp_many
from ..numerics.trains import exponential_products
from .trains import SpikeTrains, check_memory

if TYPE_CHECKING:
    from .._types import Floats, Spikes

__all__ = ["van_rossum_distance", "victor_purpura_distance"]

EVENTS = 512  # spikes that go into the sums together
SPAN = 300.0  # time constants, whose exponential is far from the largest double
CLOSE = 1e-3  # of the squares of both trains: closer ones lose more than three digits in the difference
CELLS = 1 << 15  # entries of an array that stays in a core's cache
PAIRED = 1 << 22  # spikes of pairs that are in memory together


@named_arguments
def van_rossum_distance(spikes: Spikes, tau: float) -> Floats:
    """Van Rossum's distance between the spike trains of all pairs of neurons.

    The square root of ``2 / tau integral (f - g)^2 dt``, with ``f(t) = sum_k exp(-(t - t_k) / tau)`` after each spike:
    each spike too many counts 1 in the square, where it is alone. (The loss
    :class:`sparseprop.training.VanRossumDistance` is half the square.)

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`; for some neurons of many, ``SpikeTrains.of(spikes)[ids]``.
    tau : float
        Time constant in ms, > 0. For long ones the distance goes to the difference of the numbers of spikes.

    Returns
    -------
    ndarray, shape (n, n)
        0 on the diagonal, and between trains that are the same; NaN for neurons that were not recorded.

    Raises
    ------
    InsufficientMemoryError
        If that does not fit.

    Notes
    -----
    O(n times number of spikes). Trains that nearly agree are compared spike by spike, so that the distance keeps its
    digits.

    References
    ----------
    van Rossum (2001), Neural Comput. 13:751, doi:10.1162/089976601300014321; in linear time: Houghton and Kreuz (2012),
    Network 23:48, doi:10.3109/0954898X.2012.673048.

    Examples
    --------
    >>> import sparseprop as sp
    >>> trains = sp.analysis.SpikeTrains([1.0, 2.0], [0, 1], n=3, t_start=0.0, t_stop=5.0)
    >>> sp.analysis.van_rossum_distance(trains, tau=1.0).round(4).tolist()
    [[0.0, 1.1244, 1.0], [1.1244, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    tau = real(tau, "van_rossum_distance: tau", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True)
    trains = SpikeTrains.of(spikes)
    check_memory(24.0 * trains.n**2, "van_rossum_distance", "take fewer neurons, as SpikeTrains.of(spikes)[ids]")
    # Products f g over all pairs of different spikes, without those of a spike with itself.
    earlier = _earlier_products(trains, tau)
    products = earlier + earlier.T
    squares = np.diagonal(products) + trains.n_spikes
    both = np.add.outer(squares, squares)
    distance = both - 2.0 * products
    row, column = np.nonzero(np.triu(distance <= CLOSE * both, 1))
    distance[row, column] = distance[column, row] = _squares_of_pairs(trains, row, column, tau)
    np.fill_diagonal(distance, 0.0)
    distance = np.sqrt(np.maximum(distance, 0.0))
    distance[~trains.known] = np.nan
    distance[:, ~trains.known] = np.nan
    return distance


def _earlier_products(trains, tau):
    """Of neurons i and j the sum of ``exp(-(t - s) / tau)`` over spikes t of i and those s of j that come before it."""
    order = np.argsort(trains.times, kind="stable")
    times, ids = trains.times[order], trains.ids[order]
    products, state = np.zeros((trains.n, trains.n)), np.zeros(trains.n)
    begin = 0
    while begin < times.size:
        end = min(begin + EVENTS, int(np.searchsorted(times, times[begin] + SPAN * tau, side="right")))
        growth = exp_many((times[begin:end] - times[begin]) / tau)
        mine = ids[begin:end]
        # Row k: what is there of each neuron at spike k, grown as if nothing decayed since the first of the block.
        there = np.zeros((end - begin + 1, trains.n))
        there[0] = state
        there[np.arange(1, end - begin + 1), mine] += growth
        np.cumsum(there, axis=0, out=there)
        last = there[-1]
        there = there[:-1]
        there /= growth[:, None]
        by_id = np.argsort(mine, kind="stable")
        firsts = np.flatnonzero(np.diff(mine[by_id], prepend=-1))
        products[mine[by_id][firsts]] += np.add.reduceat(there[by_id], firsts, axis=0)
        if end < times.size:
            state = last * float(exp_many(np.array([(times[begin] - times[end]) / tau]))[0])
        begin = end
    return products


def _squares_of_pairs(trains, row, column, tau):
    """The squares of the distances of some pairs, from what is left where spikes of both cancel."""
    found = np.zeros(row.size)
    sizes = trains.n_spikes[row] + trains.n_spikes[column]
    for first, last in _blocks(sizes, PAIRED):
        pairs = np.stack([row[first:last], column[first:last]], axis=1).ravel()
        begin, size = trains._bounds[pairs], trains.n_spikes[pairs]
        at = np.repeat(begin - (np.cumsum(size) - size), size) + np.arange(size.sum())
        train = np.repeat(np.arange(pairs.size), size)
        value, _ = exponential_products(trains.times[at], train // 2, 1.0 - 2.0 * (train % 2), tau)
        found[first:last] = 2.0 * np.bincount(train // 2, value, last - first)
    return found


def _blocks(sizes, most):
    """Ranges of pairs with about so many spikes together."""
    first, total = 0, np.cumsum(sizes)
    while first < sizes.size:
        done = total[first - 1] if first else 0
        last = max(int(np.searchsorted(total, done + most, side="right")), first + 1)
        yield first, last
        first = last


@named_arguments
def victor_purpura_distance(spikes: Spikes, cost_factor: float) -> Floats:
    """Victor and Purpura's distance between the spike trains of all pairs of neurons.

    The least cost of making one train of the other: 1 for adding or removing a spike, `cost_factor` for moving one by a
    second.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`; for some neurons of many, ``SpikeTrains.of(spikes)[ids]``.
    cost_factor : float
        1/s (Hz), >= 0: spikes less than ``2000 / cost_factor`` ms apart are rather moved than removed. With 0 the
        distance is the difference of the numbers of spikes.

    Returns
    -------
    ndarray, shape (n, n)
        0 on the diagonal; NaN for neurons that were not recorded.

    Raises
    ------
    InsufficientMemoryError
        If that does not fit.

    Notes
    -----
    O(number of spikes squared): each spike is compared with all others.

    References
    ----------
    Victor and Purpura (1996), J. Neurophysiol. 76:1310, doi:10.1152/jn.1996.76.2.1310.

    Examples
    --------
    >>> import sparseprop as sp
    >>> trains = sp.analysis.SpikeTrains([1.0, 2.0, 4.0], [0, 1, 1], n=2, t_start=0.0, t_stop=5.0)
    >>> sp.analysis.victor_purpura_distance(trains, cost_factor=500.0).tolist()
    [[0.0, 1.5], [1.5, 0.0]]
    """
    name = "victor_purpura_distance: cost_factor"
    per_ms = 1e-3 * real(cost_factor, name, "a finite rate >= 0 Hz", unit="Hz", low=0.0)
    trains = SpikeTrains.of(spikes)
    n = trains.n
    check_memory(24.0 * n**2, "victor_purpura_distance", "take fewer neurons, as SpikeTrains.of(spikes)[ids]")
    distance = np.full((n, n), np.nan)
    known = np.flatnonzero(trains.known)
    by_size = known[np.argsort(trains.n_spikes[known], kind="stable")]
    sizes = trains.n_spikes[by_size]
    # Trains of like size are compared together: those behind each one in this order, in blocks.
    padded = np.zeros((int(sizes.max(initial=0)), by_size.size))
    of_spikes = trains[by_size]
    padded[np.arange(of_spikes.ids.size) - of_spikes._bounds[of_spikes.ids], of_spikes.ids] = of_spikes.times
    for shorter, longer in _pairs_of_like_size(sizes):
        n_shorter, n_longer = sizes[shorter], sizes[longer]
        found = _least_costs(
            padded[: n_shorter.max(), shorter], padded[: n_longer.max(), longer], n_shorter, n_longer, per_ms
        )
        i, j = by_size[shorter], by_size[longer]
        distance[i, j] = distance[j, i] = found
    distance[known, known] = 0.0
    return distance


def _pairs_of_like_size(sizes):
    """Blocks of pairs of different trains, of which each has the indices of the shorter and of the longer ones."""
    n = sizes.size
    shorter, longer = np.triu_indices(n, 1)
    begin = 0
    while begin < shorter.size:
        block = max(CELLS // (int(sizes[shorter[begin]]) + 1), 16)
        end = min(begin + block, shorter.size)
        yield shorter[begin:end], longer[begin:end]
        begin = end


def _least_costs(shorter, longer, n_shorter, n_longer, per_ms):
    """Costs of P pairs: times of shape (S, P) and (L, P), of which the first ones of each column are meant.

    By the diagonals of the table of costs G[i, j] of the first i and j spikes, i + j = d, all pairs at once.
    """
    S, L, P = shorter.shape[0], longer.shape[0], shorter.shape[1]
    backward = np.ascontiguousarray(longer[::-1])
    before, last, new = (np.zeros((S + 1, P)) for _ in range(3))  # diagonals d - 2, d - 1 and d
    moved, kept = np.empty((S, P)), np.empty((S, P))
    ends = n_shorter + n_longer
    by_end = np.argsort(ends, kind="stable")
    bounds = np.searchsorted(ends[by_end], np.arange(S + L + 2))
    costs = np.zeros(P)
    for d in range(1, S + L + 1):
        low, high = max(1, d - L), min(S, d - 1)
        if low <= high:
            move, keep = moved[: high - low + 1], kept[: high - low + 1]
            np.subtract(shorter[low - 1 : high], backward[L - d + low : L - d + high + 1], out=move)
            np.abs(move, out=move)
            move *= per_ms
            move += before[low - 1 : high]
            np.minimum(last[low - 1 : high], last[low : high + 1], out=keep)
            keep += 1.0
            np.minimum(move, keep, out=new[low : high + 1])
        if d <= L:
            new[0] = d
        if d <= S:
            new[d] = d
        done = by_end[bounds[d] : bounds[d + 1]]
        costs[done] = new[n_shorter[done], done]
        before, last, new = last, new, before
    return costs
