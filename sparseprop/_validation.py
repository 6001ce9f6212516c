"""Checks of what users hand in; every message names the parameter, what is allowed, what came and the remedy."""

import math
import numbers
from collections.abc import Sequence

import numpy as np

from .errors import ParameterError, shown

# NumPy refuses complex -> real silently only with a warning; we refuse it with an error.
_REAL_KINDS = "biuf"


def real(
    value,
    name,
    allowed="a finite number",
    *,
    low=-math.inf,
    high=math.inf,
    low_open=False,
    high_open=False,
    infinite=False,
):
    """`value` as a float in the given range.

    Raises
    ------
    ParameterError
        Naming `name`, what is `allowed` and the value.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, (numbers.Real, np.number))
        or isinstance(value, np.complexfloating)
    ):
        raise ParameterError(f"{name} must be {allowed}, got {shown(value)}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"{name} must be {allowed}, got {shown(value)}") from None
    inside = (low < number if low_open else low <= number) and (number < high if high_open else number <= high)
    if not inside or math.isnan(number) or (math.isinf(number) and not infinite):
        raise ParameterError(f"{name} must be {allowed}, got {number!r}")
    return number


def integer(value, name, allowed="a whole number", *, low=None, high=None):
    """`value` as an int in ``[low, high]``; booleans and floats (even whole ones) are refused."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Integral, np.integer)):
        raise ParameterError(f"{name} must be {allowed}, got {shown(value)}")
    number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ParameterError(f"{name} must be {allowed}, got {number}")
    return number


def flag(value, name):
    """`value` as a bool; anything truthy that is not a boolean is refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def is_array(value):
    """Whether `value` is meant as several values: an array or Series, a list, a tuple or a range."""
    if isinstance(value, (str, bytes)):
        return False
    return getattr(value, "ndim", 0) > 0 or isinstance(value, Sequence)


def real_array(
    value,
    name,
    allowed="one finite number per entry",
    *,
    size=None,
    low=-math.inf,
    high=math.inf,
    low_open=False,
    high_open=False,
    infinite=False,
):
    """`value` as a fresh one-dimensional float64 array, every entry in the given range.

    Raises
    ------
    ParameterError
        For a wrong shape or kind; for an entry out of range it names the first one.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} must be an array of numbers, got {type(value).__name__} ({error})") from None
    if array.dtype.kind not in _REAL_KINDS or array.dtype.kind == "b":
        raise ParameterError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ParameterError(f"{name} must be one-dimensional, got shape {array.shape}")
    if size is not None and array.shape[0] != size:
        raise ParameterError(f"{name} must have {size} entries, got {array.shape[0]}")
    array = np.array(array, dtype=np.float64)
    inside = (low < array if low_open else low <= array) & (array < high if high_open else array <= high)
    inside &= ~np.isnan(array) if infinite else np.isfinite(array)
    if not inside.all():
        k = int(np.argmin(inside))
        raise ParameterError(f"{name} must be {allowed}, got {float(array[k])!r} at index {k}")
    return array


def index_array(value, name, n):
    """`value` as a one-dimensional int64 array of indices in ``[0, n)``."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} must be an array of integers, got {type(value).__name__} ({error})") from None
    if array.size == 0 and array.ndim == 1:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise ParameterError(f"{name} must be an array of integers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ParameterError(f"{name} must be one-dimensional, got shape {array.shape}")
    outside = (array < 0) | (array >= n)
    if outside.any():
        k = int(np.argmax(outside))
        raise ParameterError(f"{name} must be in [0, {n}), got {int(array[k])} at index {k}")
    return array.astype(np.int64)
