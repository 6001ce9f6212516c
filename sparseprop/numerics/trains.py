"""Spike trains as plain arrays: intervals between spikes, how irregular these are, and sums over pairs of spikes.

What results, analyses and losses share.
"""

import numpy as np

from ._functions import exp_many

__all__ = ["cv_of_intervals", "exponential_products", "intervals_of"]


def intervals_of(times, ids):
    """Interspike intervals in ms, neuron by neuron, and whose they are; of spikes in the order of ids, then times."""
    same = ids[1:] == ids[:-1]
    return np.diff(times)[same], ids[1:][same]


def cv_of_intervals(intervals, owner, n):
    """Standard deviation (with n, not n - 1) over mean of each neuron's intervals, shape (n,).

    NaN for fewer than two intervals, and where all of them are 0.
    """
    count = np.bincount(owner, minlength=n)
    some = np.maximum(count, 1)
    mean = np.bincount(owner, intervals, n) / some
    spread = np.sqrt(np.bincount(owner, (intervals - mean[owner]) ** 2, n) / some)
    known = (count >= 2) & (mean > 0.0)
    return np.divide(spread, mean, out=np.full(n, np.nan), where=known)


def exponential_products(times, cells, signs, tau):
    """``1/2 sum_jk s_j s_k exp(-|t_j - t_k| / tau)`` over all pairs within a cell, in linear time once sorted.

    Returns
    -------
    value, by_times : ndarray
        For each spike its share of the sum, and the derivative by its time.
    """
    order = np.lexsort((times, cells))
    t, cell = times[order], cells[order]
    # Spikes of a cell at one time are one with the sum of their signs: they do not push each other.
    begins = np.ones(len(t), bool)
    begins[1:] = (t[1:] != t[:-1]) | (cell[1:] != cell[:-1])
    group = np.cumsum(begins) - 1
    total = np.bincount(group, signs[order])
    t, cell = t[begins], cell[begins]
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    sizes = np.diff(starts, append=len(t))
    by_size = np.argsort(-sizes, kind="stable")
    starts, sizes = starts[by_size], sizes[by_size]
    decay = exp_many(-np.abs(np.diff(t, prepend=t[:1])) / tau)  # abs: from cell to cell, where nothing needs it
    # Decaying sums over what came before, and over what comes after: the k-th spikes of all cells that have so many.
    before, after = np.zeros(len(t)), np.zeros(len(t))
    for k in range(1, sizes.max(initial=0)):
        longer = np.searchsorted(-sizes, -k)  # how many have more than k
        at = starts[:longer] + k
        before[at] = decay[at] * (before[at - 1] + total[at - 1])
        at = starts[:longer] + sizes[:longer] - k
        after[at - 1] = decay[at] * (after[at] + total[at])
    value, by_times = np.empty(len(times)), np.empty(len(times))
    value[order] = signs[order] * (before + 0.5 * total)[group]
    by_times[order] = signs[order] * (after - before)[group] / tau
    return value, by_times
