"""From values, or rasters in steps of time, to spike times of a population of sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..batch import is_raster, padded
from ..errors import ParameterError, named_arguments, shown

if TYPE_CHECKING:
    from .._types import ArrayLike, Floats

__all__ = ["latencies", "spikes_from_raster"]


@named_arguments
def latencies(
    values: ArrayLike,
    first: float = 0.0,
    last: float = 30.0,
    *,
    large_first: bool = False,
    silent_below: float | None = None,
    bias: ArrayLike | None = None,
) -> Floats:
    """Each value as the time of the only spike of a source.

    Parameters
    ----------
    values : array_like of shape (samples, n)
        Between 0 and 1.
    first, last : float
        ms: a value of 0 is a spike at `first`, one of 1 a spike at `last`.
    large_first : bool
        The other way round: 1 at `first`, 0 at `last`, as for pixels.
    silent_below : float, optional
        Values below it make no spike.
    bias : float or array_like, optional
        Times (ms) of more sources, which are the same in all samples.

    Returns
    -------
    ndarray of shape (samples, n + number of bias times)
        ms; inf for no spike.

    Raises
    ------
    ParameterError
        For values outside [0, 1], and for times that are not allowed.

    Examples
    --------
    >>> from sparseprop import training
    >>> training.latencies([[0.0, 0.5]], 5.0, 25.0, bias=0.0).tolist()
    [[5.0, 15.0, 0.0]]
    """
    if not _validation.is_array(values):
        raise ParameterError(f"values must be an array of shape (samples, n), got {shown(values)}")
    values = _validation.plain(values, "values").astype(float)
    if values.ndim != 2:
        hint = "; for a raster of spikes see training.spikes_from_raster(raster, dt)" if is_raster(values) else ""
        raise ParameterError(f"values must be of shape (samples, n), got shape {values.shape}{hint}")
    outside = ~((values >= 0.0) & (values <= 1.0))
    if outside.any():
        raise ParameterError(
            f"values must be between 0 and 1, got {values[outside][0]}; scale them: (values - low) / (high - low)"
        )
    first = _validation.real(first, "first", "a finite time >= 0 ms", unit="ms", low=0.0)
    last = _validation.real(last, "last", f"a finite time >= first, {first} ms", unit="ms", low=first)
    share = 1.0 - values if _validation.flag(large_first, "large_first") else values
    times = first + (last - first) * share
    if silent_below is not None:
        times[values < _validation.real(silent_below, "silent_below")] = np.inf
    if bias is not None:
        bias = _validation.real_array(
            bias if _validation.is_array(bias) else [bias], "bias", "finite times >= 0 ms", unit="ms", low=0.0
        )
        times = np.concatenate([times, np.broadcast_to(bias, (len(times), len(bias)))], axis=1)
    return times


@named_arguments
def spikes_from_raster(raster: ArrayLike, dt: float, *, first: float = 0.0, time_axis: int = -1) -> Floats:
    """Spike times from a dense raster in steps of time, the format of snnTorch and Norse.

    Parameters
    ----------
    raster : array_like of shape (samples, n, steps), or torch.Tensor
        1 or True where a source spikes in a step, else 0. Rasters of snnTorch and Norse are (steps, samples, n): say
        ``time_axis=0``.
    dt : float
        ms, of a step.
    first : float
        ms: when the spikes of the first step are; those of step k are at ``first + k dt``.
    time_axis : int
        Which axis the steps are; the other two are samples and sources, in this order.

    Returns
    -------
    ndarray of float64 of shape (samples, n, m)
        ms, ascending, m being the largest number of spikes that a source has in a sample (at least 1); inf for none.
        :class:`BatchSimulation`, :class:`sparseprop.torch.SpikingNetwork` (as a tensor), :mod:`sparseprop.jax`, and
        losses on spike trains take it.

    Raises
    ------
    ParameterError
        For other shapes, values that are neither 0 nor 1, and a `dt` that is not positive.

    Examples
    --------
    >>> from sparseprop import training
    >>> training.spikes_from_raster([[[0, 1, 0, 1], [0, 0, 0, 0]]], dt=0.5).tolist()
    [[[0.5, 1.5], [inf, inf]]]
    """
    if hasattr(raster, "detach"):
        raster = raster.detach().cpu()
    raster = _validation.without_units(raster, "raster")
    try:
        raster = np.asarray(raster)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"raster must be an array of shape (samples, n, steps): {error}") from None
    if raster.ndim != 3:
        raise ParameterError(
            f"raster must have three axes, (samples, n, steps), got shape {raster.shape}; of one sample give "
            "raster[None]"
        )
    if raster.dtype.kind not in "biuf" or not ((raster == 0) | (raster == 1)).all():
        got = f"dtype {raster.dtype}"
        if raster.dtype.kind in "iuf":
            got = repr(raster[(raster != 0) & (raster != 1)][0].item())
        raise ParameterError(f"raster must be 0 or 1 in each step, at most one spike, got {got}")
    dt = _validation.real(dt, "dt", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True)
    first = _validation.real(first, "first", "a finite time >= 0 ms", unit="ms", low=0.0)
    axis = _validation.integer(time_axis, "time_axis", "an axis of the raster, from -3 to 2", low=-3, high=2)
    sample, source, step = np.nonzero(np.moveaxis(raster, axis, -1))
    shape = np.moveaxis(raster, axis, -1).shape[:2]
    return padded(shape, sample, source, first + step * dt)
