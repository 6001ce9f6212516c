"""Evenly spaced times, and which of them a spike comes after: one rule for recordings, pictures and batches.

Edge k of a grid is ``start + k * width``, as a double. A time that is less than the tolerance before an edge counts as
at the edge: the spike at 3 * 0.1 ms is in bin 3 of bins of 0.1 ms, whichever way the two numbers were rounded, and
2.1 ms have seven bins of 0.3 ms. The tolerance is a billionth of the width, or four units in the last place of the time
where that is more (beyond some 10^6 widths).
"""

import math

import numpy as np

__all__ = ["are_beyond", "bin_of", "edges", "is_edge", "n_bins", "n_points", "tolerance"]

_OF_WIDTH = 1e-9
_ULPS = 4.0


def tolerance(times, start, width):
    """How much before an edge a time may be that counts as at the edge, in ms, for each of `times`."""
    return np.maximum(_OF_WIDTH * width, _rounding(np.maximum(np.abs(times), abs(start))))


def _rounding(times):
    return _ULPS * np.spacing(np.abs(times))


def are_beyond(times, stop):
    """Which times are after `stop`, by more than rounding: 3 * 0.1 ms are not beyond 0.3 ms."""
    return times - _rounding(times) > stop


def edges(start, width, n):
    """The first `n` edges, in ms."""
    return start + width * np.arange(n)


def bin_of(times, start, width):
    """In which bin times are, from 0; each bin includes its beginning.

    Parameters
    ----------
    times : float or array_like of float
        ms.
    start, width : float
        Where bin 0 begins, and the width of all, in ms.

    Returns
    -------
    int64, or ndarray of it
        Negative for times before `start`.
    """
    later = np.asarray(times, dtype=float) + tolerance(times, start, width)
    # The quotient is off by one next to an edge; the edges themselves decide.
    bins = np.floor((later - start) / width)
    bins += later >= start + width * (bins + 1.0)
    bins -= later < start + width * bins
    return bins.astype(np.int64)


def n_bins(start, stop, width):
    """How many bins cover the times from `start` to before `stop`; the last one may reach over it."""
    if not start < stop:
        return 0
    last = int(bin_of(stop, start, width))
    at_edge = start + width * last >= stop - float(tolerance(stop, start, width))
    return last if at_edge else last + 1


def n_points(start, stop, width):
    """How many of the edges are at or before `stop`."""
    return 0 if stop < start else int(bin_of(stop, start, width)) + 1


def is_edge(time, start, width):
    """Whether a time is at an edge, within the tolerance."""
    nearest = start + width * round((time - start) / width)
    return math.isclose(time, nearest, rel_tol=0.0, abs_tol=float(tolerance(time, start, width)))
