"""Pictures of what the analyses find: each takes Axes, or makes some, and returns them; nothing is shown or saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import integer, plain
from ..errors import ParameterError, named_arguments, unknown_name
from ..plotting import FILL, SINGLE_COLOR, new_axes
from .correlations import cross_correlation_histogram
from .counts import time_histogram
from .intervals import cv, cv2, isi_histogram, lv, rates
from .spectra import power_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import ArrayLike, PlotAxes, Spikes

__all__ = [
    "plot_cross_correlation",
    "plot_distribution",
    "plot_isi",
    "plot_matrix",
    "plot_power_spectrum",
    "plot_time_histogram",
]

MEASURES = {"rate": (rates, "rate (Hz)"), "cv": (cv, "CV"), "cv2": (cv2, "CV2"), "lv": (lv, "LV")}


@named_arguments
def plot_time_histogram(spikes: Spikes, ax: Axes | None = None, *, bin_width: float = 1.0) -> PlotAxes:
    """The :func:`time_histogram` as a stepped curve: the mean rate in Hz, or the number of spikes where it is unknown.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.
    ax : matplotlib Axes, optional
        Default: of a new figure.
    bin_width : float
        ms.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> ax = sp.analysis.plot_time_histogram(res, bin_width=5.0)
    >>> ax.get_ylabel()
    'rate (Hz)'
    """
    edges, counts, rate = time_histogram(spikes, bin_width)
    known = bool(np.isfinite(rate).all())
    ax = new_axes(ax)
    ax.stairs(rate if known else counts, edges, color=FILL, fill=True)
    ax.set(xlabel="time (ms)", ylabel="rate (Hz)" if known else "spikes per bin")
    ax.set_ylim(bottom=0.0)
    return ax


@named_arguments
def plot_isi(
    spikes: Spikes,
    ax: Axes | None = None,
    *,
    bin_width: float | None = None,
    longest: float | None = None,
    n_bins: int = 100,
    log: bool = False,
) -> PlotAxes:
    """The distribution of the interspike intervals of all neurons, as a density per ms.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.
    ax : matplotlib Axes, optional
        Default: of a new figure.
    bin_width, longest, n_bins, log
        As for :func:`isi_histogram`.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> ax = sp.analysis.plot_isi(res)
    >>> ax.get_xlabel()
    'interspike interval (ms)'
    """
    found = isi_histogram(spikes, bin_width, longest=longest, n_bins=n_bins, log=log)
    ax = new_axes(ax)
    if found.counts.size:
        ax.stairs(found.density, found.edges, color=FILL, fill=True)
    if log:
        ax.set_xscale("log")
    ax.set(xlabel="interspike interval (ms)", ylabel="density (1/ms)")
    ax.set_ylim(bottom=0.0)
    return ax


@named_arguments
def plot_distribution(spikes: Spikes, measure: str = "rate", ax: Axes | None = None, *, n_bins: int = 50) -> PlotAxes:
    """How a measure is distributed over neurons, with a line at its mean.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.
    measure : {"rate", "cv", "cv2", "lv"}
        :func:`rates`, :func:`cv`, :func:`cv2` or :func:`lv`; neurons for which it is NaN are left out.
    ax : matplotlib Axes, optional
        Default: of a new figure.
    n_bins : int

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> ax = sp.analysis.plot_distribution(res, "cv")
    >>> ax.get_xlabel()
    'CV'
    """
    if measure not in MEASURES:
        raise unknown_name("measure of plot_distribution", measure, MEASURES)
    function, label = MEASURES[measure]
    n_bins = integer(n_bins, "plot_distribution: n_bins", "a whole number >= 1", low=1)
    values = function(spikes)
    values = values[np.isfinite(values)]
    ax = new_axes(ax)
    if values.size:
        ax.stairs(*np.histogram(values, n_bins), color=FILL, fill=True)
        ax.axvline(values.mean(), color=SINGLE_COLOR, linewidth=0.8)
    ax.set(xlabel=label, ylabel="neurons")
    return ax


@named_arguments
def plot_power_spectrum(
    spikes: Spikes,
    ax: Axes | None = None,
    *,
    bin_width: float = 1.0,
    frequency_resolution: float | None = None,
    n_segments: int = 8,
) -> PlotAxes:
    """The :func:`power_spectrum` of the mean rate, on logarithmic axes and without the frequency 0.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`.
    ax : matplotlib Axes, optional
        Default: of a new figure.
    bin_width, frequency_resolution, n_segments
        As for :func:`power_spectrum`.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> ax = sp.analysis.plot_power_spectrum(res)
    >>> ax.get_xscale()
    'log'
    """
    frequencies, power = power_spectrum(
        spikes, bin_width, frequency_resolution=frequency_resolution, n_segments=n_segments
    )
    ax = new_axes(ax)
    ax.plot(frequencies[1:], power[1:], color=SINGLE_COLOR, linewidth=1.0)
    if (power[1:] > 0.0).any():
        ax.set(xscale="log", yscale="log")
    ax.set(xlabel="frequency (Hz)", ylabel="power (Hz²/Hz)")
    return ax


@named_arguments
def plot_cross_correlation(
    spikes: Spikes,
    other: Spikes | None = None,
    ax: Axes | None = None,
    *,
    bin_width: float = 1.0,
    max_lag: float = 50.0,
    coefficient: bool = True,
) -> PlotAxes:
    """The :func:`cross_correlation_histogram` of two groups of neurons, or of one with itself.

    Parameters
    ----------
    spikes, other : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`. Default of `other`: `spikes`.
    ax : matplotlib Axes, optional
        Default: of a new figure.
    bin_width, max_lag, coefficient
        As for :func:`cross_correlation_histogram`.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> ax = sp.analysis.plot_cross_correlation(res)
    >>> ax.get_xlabel()
    'lag (ms)'
    """
    lags, values = cross_correlation_histogram(
        spikes, other, bin_width=bin_width, max_lag=max_lag, coefficient=coefficient
    )
    ax = new_axes(ax)
    step = lags[1] - lags[0] if lags.size > 1 else 1.0
    ax.stairs(values, np.append(lags, lags[-1] + step) - 0.5 * step, color=SINGLE_COLOR)
    ax.axvline(0.0, color="0.8", linewidth=0.6, zorder=0.5)
    ax.set(xlabel="lag (ms)", ylabel="correlation coefficient" if coefficient else "pairs of spikes")
    return ax


@named_arguments
def plot_matrix(matrix: ArrayLike, ax: Axes | None = None, *, label: str = "") -> PlotAxes:
    """A matrix of correlations or distances of pairs of neurons, with a colour bar; NaN is left blank.

    With negative values the scale of colours is symmetric around 0; it is that of pairs, not of the diagonal.

    Parameters
    ----------
    matrix : array_like, shape (n, n)
        As of :func:`correlation_coefficient` or :func:`van_rossum_distance`.
    ax : matplotlib Axes, optional
        Default: of a new figure. The colour bar takes some of its place.
    label : str
        Of the colour bar.

    Returns
    -------
    matplotlib Axes
        Of the matrix.

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> ax = sp.analysis.plot_matrix(sp.analysis.correlation_coefficient(res, 10.0))
    >>> len(ax.images)
    1
    """
    matrix = plain(matrix, "plot_matrix: matrix")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ParameterError(f"plot_matrix: matrix must have shape (n, n), got {matrix.shape}")
    ax = new_axes(ax)
    apart = matrix[~np.eye(matrix.shape[0], dtype=bool)]
    apart = apart[np.isfinite(apart)]
    high = float(np.abs(apart).max(initial=0.0)) or 1.0
    low, colours = (-high, "RdBu_r") if (apart < 0.0).any() else (0.0, "viridis")
    image = ax.imshow(matrix, cmap=colours, vmin=low, vmax=high, interpolation="nearest", origin="lower")
    ax.figure.colorbar(image, ax=ax, label=str(label))
    ax.set(xlabel="neuron", ylabel="neuron")
    return ax
