"""Checks of what users hand in; every message names the parameter, what is allowed, what came and the remedy.

All numbers and arrays of users come in through :func:`real`, :func:`integer`, :func:`real_array`, :func:`index_array`
and :func:`plain`, which none of the following passes silently: units (of neo, quantities, pint, Brian2, astropy: times
become ms and rates Hz, others are refused), masked entries, dates, complex numbers, booleans, texts and objects.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._machine import share_out
from .errors import ParameterError, shown

if TYPE_CHECKING:
    from ._types import Floats, Ints

# NumPy refuses complex -> real silently only with a warning; we refuse it with an error.
_REAL_KINDS = "iuf"
_KINDS = {"b": "booleans", "c": "complex numbers", "U": "texts", "S": "texts", "M": "dates", "m": "durations"}
_REMEDIES = {
    "M": "; give times as numbers in ms: (dates - start) / numpy.timedelta64(1, 'ms')",
    "m": "; give times as numbers in ms: durations / numpy.timedelta64(1, 'ms')",
}
# Entries of an array that are looked at together: what is found out about them stays in a cache.
_PIECE = 1 << 16
# Types of single numbers, which cannot carry anything but a value.
_PLAIN = (float, int)


def real(
    value: Any,
    name: str,
    allowed: str = "a finite number",
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
    infinite: bool = False,
    unit: str | None = None,
) -> float:
    """`value` as a float in the given range; `unit` ("ms" or "Hz") is what quantities are converted to.

    Raises
    ------
    ParameterError
        Naming `name`, what is `allowed` and the value.
    """
    value = _number(value, name, unit)
    if isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(
        value, (numbers.Real, np.integer, np.floating)
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


def integer(
    value: Any, name: str, allowed: str = "a whole number", *, low: int | None = None, high: int | None = None
) -> int:
    """`value` as an int in ``[low, high]``; booleans and floats (even whole ones) are refused."""
    value = _number(value, name, None)
    if isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(value, (numbers.Integral, np.integer)):
        raise ParameterError(f"{name} must be {allowed}, got {shown(value)}")
    number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ParameterError(f"{name} must be {allowed}, got {shown(number)}")
    return number


def _number(value, name, unit):
    """A single number, without its unit."""
    if type(value) in _PLAIN:
        return value
    value = without_unit(value, name, unit)
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def flag(value: Any, name: str) -> bool:
    """`value` as a bool; anything truthy that is not a boolean is refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def is_array(value: object) -> bool:
    """Whether `value` is meant as several values: an array or Series, a list, a tuple or a range."""
    if isinstance(value, (str, bytes)):
        return False
    return getattr(value, "ndim", 0) > 0 or isinstance(value, Sequence)


def is_matrix(value: Any) -> bool:
    """Whether `value` is meant as an array of two dimensions."""
    if isinstance(value, (list, tuple)):
        return bool(value) and is_array(value[0])
    return getattr(value, "ndim", 0) == 2


def without_unit(value: Any, name: str, unit: str | None = None) -> Any:
    """The plain numbers of a quantity of another library in `unit` ("ms", "Hz", or None: it must have no dimension).

    Anything else comes back as it is. No such library is imported: quantities are known by their methods.

    Raises
    ------
    ParameterError
        If it cannot be converted.
    """
    kind = type(value)
    if kind in _PLAIN or kind is np.ndarray or isinstance(value, np.generic):
        return value
    try:
        if hasattr(kind, "rescale") and hasattr(value, "dimensionality"):  # quantities, neo
            return np.asarray(value.rescale(unit or "dimensionless").magnitude)
        if hasattr(kind, "magnitude") and hasattr(kind, "m_as"):  # pint
            return value.m_as(unit or "")
        if hasattr(kind, "to_value"):  # astropy, unyt
            return value.to_value(unit or "")
        if hasattr(kind, "has_same_dimensions") and hasattr(kind, "get_best_unit"):  # Brian2, in SI units
            return _of_brian2(value, unit)
    except Exception as error:  # each library has its own
        allowed = {"ms": "a time, or plain numbers in ms", "Hz": "a rate, or plain numbers in Hz"}
        wanted = allowed.get(unit or "", "plain numbers, as its unit is up to you")
        raise ParameterError(
            f"{name} must be {wanted}, got {shown(value)} with a "
            f"unit that cannot be converted ({shown(error)}); take its numbers in the unit that you use, such as "
            "value.magnitude or value / mV"
        ) from None
    return value


def without_units(value: Any, name: str, unit: str | None = None) -> Any:
    """The same for what may also be lists within lists, such as arrays that are checked later by somebody else."""
    if isinstance(value, (list, tuple)):
        parts = [without_units(part, name, unit) for part in value]
        return tuple(parts) if type(value) is tuple else parts
    return without_unit(value, name, unit)


def _of_brian2(value, unit):
    time = {"ms": 1.0, "Hz": -1.0, None: 0.0}[unit]
    names = ("length", "mass", "time", "current", "temperature", "substance", "luminosity")
    exponents = {name: float(value.dim.get_dimension(name)) for name in names}
    if exponents != dict.fromkeys(names, 0.0) | {"time": time}:
        raise ValueError(f"its dimensions are {value.dim}")
    numbers = np.array(value, dtype=float)
    return numbers / 1e-3 if unit == "ms" else numbers


def plain(value: Any, name: str, unit: str | None = None) -> np.ndarray:
    """`value` as an array of integers or floating-point numbers, of any shape; it may be the one that was given.

    Raises
    ------
    ParameterError
        For units that cannot be converted, masked entries, dates, complex numbers, booleans, texts and objects.
    """
    if isinstance(value, (list, tuple)):
        value = _listed(value, name, unit)
    value = without_unit(value, name, unit)
    if isinstance(value, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(value)
        if masked.any():
            first = _index(int(np.argmax(masked)), masked.shape)
            raise ParameterError(
                f"{name} must have no masked entries, got {np.count_nonzero(masked)}, the first at index {first}; "
                "leave them out (value.compressed()), or give them a value (value.filled(...))"
            )
        value = value.data
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(
            f"{name} must be an array of numbers, got {type(value).__name__} ({shown(error)})"
        ) from None
    if array.dtype.kind not in _REAL_KINDS:
        what = f", {_KINDS[array.dtype.kind]}" if array.dtype.kind in _KINDS else ""
        raise ParameterError(
            f"{name} must be an array of real numbers, got dtype {array.dtype}{what}"
            f"{_REMEDIES.get(array.dtype.kind, '')}"
        )
    return array


def _listed(values, name, unit):
    """A list whose entries have no units and masks; NumPy drops these, and makes numbers of booleans among numbers."""
    kinds = set(map(type, values))
    if kinds <= {float, int}:
        return values
    if bool in kinds or np.bool_ in kinds:
        k = next(k for k, value in enumerate(values) if isinstance(value, (bool, np.bool_)))
        raise ParameterError(f"{name} must be an array of real numbers, got {values[k]!r} at index {k}")
    if all(issubclass(kind, (np.generic, int, float, str)) or kind is np.ndarray for kind in kinds):
        return values
    return [
        _listed(value, name, unit)
        if isinstance(value, (list, tuple))
        else plain(value, name, unit)
        if isinstance(value, np.ma.MaskedArray)
        else without_unit(value, name, unit)
        for value in values
    ]


def _index(place, shape):
    """The index of the entry at this place of an array: a number, or one for each dimension."""
    index = tuple(int(i) for i in np.unravel_index(place, shape))
    return index[0] if len(index) == 1 else index


def real_array(
    value: Any,
    name: str,
    allowed: str = "one finite number per entry",
    *,
    size: int | None = None,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
    infinite: bool = False,
    unit: str | None = None,
    ndim: int | tuple[int, ...] = 1,
    copy: bool = True,
) -> Floats:
    """`value` as a float64 array of `ndim` dimensions (a number, or several that are allowed), every entry in range.

    `unit` ("ms" or "Hz") is what quantities are converted to. Without `copy` it may be the array that was given.

    Raises
    ------
    ParameterError
        For a wrong shape or kind; for an entry out of range it names the first one.
    """
    array = plain(value, name, unit)
    if array.ndim not in (ndim if isinstance(ndim, tuple) else (ndim,)):
        names: dict[Any, str] = {1: "one-dimensional", 2: "two-dimensional"}
        dimensions = names.get(ndim, f"of {ndim} dimensions")
        raise ParameterError(f"{name} must be {dimensions}, got shape {array.shape}")
    if size is not None and array.shape[0] != size:
        raise ParameterError(f"{name} must have {size} entries, got {array.shape[0]}")
    given, array = array, array.astype(np.float64, order="C", copy=False)
    # A list has become an array of its own already.
    new = np.empty_like(array) if copy and array is given and not isinstance(value, (list, tuple, range)) else array
    flat, flat_new, outside = array.reshape(-1), new.reshape(-1), []

    def take(first):
        part = flat[first : first + _PIECE]
        inside = (low < part if low_open else low <= part) & (part < high if high_open else part <= high)
        inside &= ~np.isnan(part) if infinite else np.isfinite(part)
        if not inside.all():
            outside.append(first + int(np.argmin(inside)))
        if new is not array:
            flat_new[first : first + _PIECE] = part

    share_out(take, [(first,) for first in range(0, flat.size, _PIECE)])
    if outside:
        k = _index(min(outside), array.shape)
        raise ParameterError(f"{name} must be {allowed}, got {float(array[k])!r} at index {k}")
    return new


def index_array(value: Any, name: str, n: int) -> Ints:
    """`value` as a fresh one-dimensional int64 array of indices in ``[0, n)``."""
    array = value if isinstance(value, np.ndarray) and value.shape == (0,) else plain(value, name)
    if array.shape == (0,):
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
