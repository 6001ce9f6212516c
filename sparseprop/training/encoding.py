"""From values to spike times of a population of sources."""

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, shown

__all__ = ["latencies"]


@named_arguments
def latencies(values, first=0.0, last=30.0, *, large_first=False, silent_below=None, bias=None):
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
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ParameterError(f"values must be an array of shape (samples, n), got {shown(values)}") from None
    if values.ndim != 2:
        raise ParameterError(f"values must be of shape (samples, n), got shape {values.shape}")
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
        bias = _validation.real_array(np.atleast_1d(bias), "bias", "finite times >= 0 ms", unit="ms", low=0.0)
        times = np.concatenate([times, np.broadcast_to(bias, (len(times), len(bias)))], axis=1)
    return times
