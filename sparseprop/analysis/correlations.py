"""How spike trains go together: covariances of numbers of spikes in bins, and correlograms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._validation import flag
from ..errors import ParameterError, named_arguments
from ..numerics import bins
from .counts import moments, population_counts
from .trains import SpikeTrains, check_memory, width_of

if TYPE_CHECKING:
    from .._types import Floats, Spikes

__all__ = [
    "CrossCorrelation",
    "correlation_coefficient",
    "covariance",
    "cross_correlation_histogram",
    "mean_correlation",
]

BLOCK = 1 << 22  # entries of a dense matrix that are looked at together
DENSE = 0.1  # of the bins that have spikes, from where on a dense matrix takes less time


class CrossCorrelation(NamedTuple):
    """A cross-correlogram: lags in ms, shape (2 m + 1,), and its value at each.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> found = sp.analysis.cross_correlation_histogram(spikes, bin_width=1.0, max_lag=2.0)
    >>> found.lags.tolist(), found.values.shape
    ([-2.0, -1.0, 0.0, 1.0, 2.0], (5,))
    """

    lags: Floats
    values: Floats


@named_arguments
def covariance(spikes: Spikes, bin_width: float) -> Floats:
    """The covariances of the numbers of spikes in bins, of all pairs of neurons.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`; for some neurons of many, ``SpikeTrains.of(spikes)[ids]``.
    bin_width : float
        ms, as for :func:`spike_counts`.

    Returns
    -------
    ndarray, shape (n, n)
        Divided by the number of bins minus one. NaN for neurons that were not recorded, and for fewer than two bins.

    Raises
    ------
    InsufficientMemoryError
        If that does not fit.

    Notes
    -----
    O(n^2 n_bins); :func:`mean_correlation` needs no matrix.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.covariance(spikes, bin_width=1.0).round(4).tolist()
    [[0.3, -0.05], [-0.05, 0.3]]
    """
    products, n_bins = _products(spikes, bin_width, "covariance")
    return products / (n_bins - 1) if n_bins > 1 else np.full(products.shape, np.nan)


@named_arguments
def correlation_coefficient(spikes: Spikes, bin_width: float) -> Floats:
    """Pearson's correlation coefficients of the numbers of spikes in bins, of all pairs of neurons.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`; for some neurons of many, ``SpikeTrains.of(spikes)[ids]``.
    bin_width : float
        ms, as for :func:`spike_counts`.

    Returns
    -------
    ndarray, shape (n, n)
        1 on the diagonal; NaN for neurons that were not recorded, and for such as have the same number in each bin, as
        silent ones.

    Raises
    ------
    InsufficientMemoryError
        If that does not fit.

    Notes
    -----
    O(n^2 n_bins); :func:`mean_correlation` needs no matrix.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 1.5, 3.5, 1.0, 2.5], [0, 0, 0, 1, 1], 2, 0.0, 5.0)  # times, ids, n, from, to
    >>> sp.analysis.correlation_coefficient(spikes, bin_width=1.0).round(4).tolist()
    [[1.0, -0.1667], [-0.1667, 1.0]]
    """
    products, _ = _products(spikes, bin_width, "correlation_coefficient")
    deviation = np.sqrt(np.diagonal(products))
    deviation[~(deviation > 0.0)] = np.nan
    products /= deviation
    products /= deviation[:, None]
    known = np.flatnonzero(np.isfinite(deviation))
    products[known, known] = 1.0
    return products


def _products(spikes, bin_width, what):
    """Sums over the bins of products of deviations from the mean, shape (n, n), and the number of bins."""
    trains = SpikeTrains.of(spikes)
    n, width = trains.n, width_of(bin_width, f"{what}: bin_width")
    check_memory(16.0 * n**2, what, "take fewer neurons, as SpikeTrains.of(spikes)[ids], or mean_correlation")
    counted = trains.counts(width)
    products = _sums_of_products(counted, n)
    total = np.bincount(counted.neuron, counted.number, n)
    products -= np.multiply.outer(total, total) / max(counted.n_bins, 1)
    products[~trains.known if counted.n_bins else slice(None)] = np.nan
    products[:, ~trains.known] = np.nan
    return products, counted.n_bins


def _sums_of_products(counted, n):
    """Sums over the bins of products of the numbers of two neurons: whole numbers, shape (n, n)."""
    products = np.zeros((n, n))
    step = max(BLOCK // max(n, 1), 1)
    # Empty bins add nothing: only those with spikes are columns.
    used, column = np.unique(counted.bin, return_inverse=True)
    if counted.neuron.size < DENSE * n * used.size:
        from scipy.sparse import csr_array

        begins = np.concatenate([[0], np.cumsum(np.bincount(counted.neuron, minlength=n))])
        matrix = csr_array((counted.number.astype(float), column, begins), shape=(n, used.size))
        turned = matrix.T.tocsr()
        for begin in range(0, n, step):
            products[begin : begin + step] = (matrix[begin : begin + step] @ turned).toarray()
        return products
    by_bin = np.argsort(column, kind="stable")
    neuron, column, number = counted.neuron[by_bin], column[by_bin], counted.number[by_bin]
    for begin in range(0, used.size, step):
        first, last = np.searchsorted(column, [begin, begin + step])
        dense = np.zeros((n, min(step, used.size - begin)))
        dense[neuron[first:last], column[first:last] - begin] = number[first:last]
        products += dense @ dense.T
    return products


@named_arguments
def mean_correlation(spikes: Spikes, bin_width: float) -> float:
    """The mean of the correlation coefficients of all pairs of different neurons, in linear time.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`. Sources are left out, unless there is nothing else.
    bin_width : float
        ms, as for :func:`spike_counts`.

    Returns
    -------
    float
        Over the neurons that have a :func:`correlation_coefficient`; NaN for fewer than two.

    Notes
    -----
    O(number of spikes + bins): with z_i the deviations of neuron i over their standard deviation, the sum over all
    pairs is the mean square of the sum of all z_i.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spikes = ([0.5, 0.5, 2.5, 2.5, 1.5], [0, 1, 0, 1, 2], 3, 0.0, 4.0)
    >>> round(sp.analysis.mean_correlation(spikes, bin_width=1.0), 4)
    -0.0516
    """
    trains = SpikeTrains.of(spikes)
    width = width_of(bin_width, "mean_correlation: bin_width")
    check_memory(32.0 * trains.n_bins(width), "mean_correlation", "take wider bins")
    counted = trains.counts(width)
    total, squares = moments(counted, trains.n)
    varies = counted.n_bins * squares - total**2
    mine = trains.pooled & (varies > 0.0)
    n = np.count_nonzero(mine)
    if n < 2:
        return float("nan")
    scale = np.zeros(trains.n)
    scale[mine] = np.sqrt(counted.n_bins / varies[mine])
    summed = np.bincount(counted.bin, counted.number * scale[counted.neuron], counted.n_bins)
    summed -= (total * scale).sum() / counted.n_bins
    return float((summed @ summed - n) / (n * (n - 1.0)))


@named_arguments
def cross_correlation_histogram(
    spikes: Spikes, other: Spikes | None = None, *, bin_width: float, max_lag: float, coefficient: bool = False
) -> CrossCorrelation:
    """The cross-correlogram of the numbers of spikes in bins of two groups of neurons, or of one with itself.

    At lag k it is the sum over all bins t of the number of spikes of `spikes` in bin t times that of `other` in bin
    t + k: what comes after is at positive lags.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`; the spikes of all its neurons together, but for sources beside neurons. One
        neuron is ``SpikeTrains.of(spikes)[5]``.
    other : the same, optional
        Of the same interval. Default: `spikes` itself, an autocorrelogram; at lag 0 it has each spike with itself.
    bin_width : float
        ms, as for :func:`spike_counts`; also the step of the lags.
    max_lag : float
        ms; the lags go from ``-max_lag`` to ``max_lag``, both included. At most the interval.
    coefficient : bool
        Correlation coefficients instead of numbers of pairs: minus what is expected of the means, over the product of
        the standard deviations.

    Returns
    -------
    CrossCorrelation
        ``(lags, values)``, lags in ms. NaN where no neuron of one of them was recorded; coefficients are NaN where
        the number is the same in all bins.

    Notes
    -----
    O(number of spikes + bins with spikes times lags), and exact: sums of whole numbers. Fewer bins overlap at longer
    lags, and nothing corrects for that.

    Examples
    --------
    >>> import sparseprop as sp
    >>> trains = sp.analysis.SpikeTrains([0.5, 3.5, 1.5, 4.5], [0, 0, 1, 1], 2, 0.0, 6.0)
    >>> lags, pairs = sp.analysis.cross_correlation_histogram(trains[0], trains[1], bin_width=1.0, max_lag=2.0)
    >>> lags.tolist(), pairs.tolist()
    ([-2.0, -1.0, 0.0, 1.0, 2.0], [1.0, 0.0, 0.0, 2.0, 0.0])
    """
    what = "cross_correlation_histogram"
    width = width_of(bin_width, f"{what}: bin_width")
    max_lag = width_of(max_lag, f"{what}: max_lag")
    coefficient = flag(coefficient, f"{what}: coefficient")
    first = SpikeTrains.of(spikes)
    second = first if other is None else SpikeTrains.of(other)
    if (first.t_start, first.t_stop) != (second.t_start, second.t_stop):
        raise ParameterError(
            f"{what}: other must be of the same interval, got {first.t_start:g} to {first.t_stop:g} ms and "
            f"{second.t_start:g} to {second.t_stop:g} ms; cut results with between(t0, t1)"
        )
    a = population_counts(first, width).astype(float)
    b = a if second is first else population_counts(second, width).astype(float)
    n_lags = int(bins.bin_of(min(max_lag, (a.size + 1) * width), 0.0, width))
    if n_lags >= max(a.size, 1):
        raise ParameterError(
            f"{what}: max_lag must be less than the interval of {a.size} bins, {a.size * width:g} ms, got {max_lag:g}"
        )
    values = _lagged_products(a, b, n_lags)
    if not (first.pooled.any() and second.pooled.any()):
        values[:] = np.nan
    if coefficient:
        values = _as_coefficients(values, a, b)
    return CrossCorrelation(width * np.arange(-n_lags, n_lags + 1), values)


def _lagged_products(a, b, n_lags):
    """Sums of ``a[t] b[t + k]`` over t, for k from -n_lags to n_lags."""
    padded = np.zeros(b.size + 2 * n_lags)
    padded[n_lags : n_lags + b.size] = b
    used = np.flatnonzero(a)
    if 4 * used.size > a.size:
        return np.array([a @ padded[k : k + a.size] for k in range(2 * n_lags + 1)])
    return np.array([a[used] @ padded[used + k] for k in range(2 * n_lags + 1)])


def _as_coefficients(values, a, b):
    """Sums of products as correlation coefficients."""
    n = a.size
    spread = math.sqrt((a @ a - a.sum() ** 2 / n) * (b @ b - b.sum() ** 2 / n))
    if not spread > 0.0:
        return np.full(values.shape, np.nan)
    return (values - a.sum() * b.sum() / n) / spread
