"""Arrays of 106-bit numbers, for what tables are made of: the same bits on every machine, as long double has not.

A :class:`Wide` array has numpy's operators, functions and methods, as far as they are named here; the others refuse it
or, where they only move numbers about, move these. Each number is the sum of two doubles (`double_double.h`), which are
kept as a complex one: so indexing, broadcasting and comparing in order are numpy's own. One operation is many of
doubles, whose flags say nothing about it: use them under ``np.errstate(all="ignore")``.
"""

import math

import numpy as np

from . import _double_double

__all__ = ["EPS", "Wide", "above", "below", "curvature", "joined", "product", "where", "wide", "zeros"]

# What is asked of such numbers, relative to their size. (They are better, by far.)
EPS = 2.0**-63

_SAME_NAME = (
    "negative", "absolute", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "arctan", "arcsinh", "sinh",
    "cosh", "tanh", "add", "subtract", "multiply", "divide", "power", "maximum", "minimum",
)  # fmt: skip
_UFUNCS = {getattr(np, name): getattr(_double_double, name) for name in _SAME_NAME}
_UFUNCS[np.fabs] = _double_double.absolute
curvature = _double_double.curvature  # exp(x) - 1 - x, also of small x
_UFUNCS[curvature] = curvature
# Of numbers in two parts, the first tells the sign, and whether it is finite.
_COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}
_OF_FIRST = {np.sign, np.isfinite, np.isnan, np.isinf, np.signbit}
# Functions that compare or move, whose arrays of pairs are right.
_MOVING = {np.argmin, np.argmax, np.searchsorted, np.empty_like, np.zeros_like, np.ones_like, np.copyto}


def wide(x):
    """An array, or an array_like of numbers and of `Wide` ones, as a `Wide` array."""
    x = np.asarray(x)
    if x.dtype == np.longdouble and np.finfo(np.longdouble).bits > 64:
        high = x.astype(float)
        with np.errstate(invalid="ignore"):
            low = np.where(np.isfinite(high), x - high, 0.0).astype(float)
        pair = np.empty(x.shape, np.complex128)
        pair.real, pair.imag = high, low
        return pair.view(Wide)
    return x.astype(np.complex128).view(Wide)


def below(x):
    """The exponent of the largest power of two that is not above x > 0."""
    return math.frexp(float(x))[1] - 1


def above(x):
    """The exponent of the smallest power of two that is not below x > 0."""
    mantissa, exponent = math.frexp(float(x))
    return exponent - (mantissa == 0.5)


def zeros(shape):
    """A `Wide` array of zeros."""
    return np.zeros(shape, np.complex128).view(Wide)


def where(condition, x, y):
    """`np.where` of `Wide` arrays."""
    return np.where(condition, _plain(x), _plain(y)).astype(np.complex128).view(Wide)


def joined(parts, axis=0):
    """`np.concatenate` of `Wide` arrays."""
    return np.concatenate([_plain(part) for part in parts], axis).astype(np.complex128).view(Wide)


def product(a, b):
    """The matrix product of two `Wide` arrays."""
    return _double_double.product(_plain(a), _plain(b)).view(Wide)


def _plain(x):
    """The pairs of a `Wide` array; anything else as an array."""
    return np.asarray(x).view(np.ndarray)


def _pairs(x):
    """`_plain` of what is an array or a number."""
    return x.view(np.ndarray) if type(x) is Wide else x


def _wide(pairs):
    """An array of pairs, or one, as `Wide`."""
    return np.asarray(pairs).view(Wide)


class Wide(np.ndarray):
    """An array of 106-bit numbers."""

    __array_priority__ = 100.0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        inputs = tuple(_plain(x) if isinstance(x, (np.ndarray, list)) else x for x in inputs)
        if ufunc in _COMPARISONS and method == "__call__":
            difference = _double_double.subtract(*inputs).real
            equal = _plain(inputs[0]) == _plain(inputs[1])  # also of infinities
            return ufunc(np.where(equal, 0.0, difference), 0.0)
        if ufunc in _OF_FIRST and method == "__call__":
            return ufunc(inputs[0].real, **options)
        if out is not None:
            options["out"] = tuple(_plain(x) for x in out)
        if ufunc is np.square:
            ufunc, inputs = np.multiply, inputs * 2
        elif ufunc is np.positive:
            ufunc, inputs = np.add, (*inputs, 0.0)
        elif ufunc is np.reciprocal:
            ufunc, inputs = np.divide, (1.0, *inputs)
        own = _UFUNCS.get(ufunc)
        if own is None:
            return NotImplemented
        result = getattr(own, method)(*inputs, **options)
        if out is not None:
            return out[0]
        return None if result is None else _wide(result)

    # What numpy's own operators come to, on a shorter way: most arrays are small.

    def __add__(self, other):
        return _wide(_double_double.add(_pairs(self), _pairs(other)))

    def __radd__(self, other):
        return _wide(_double_double.add(other, _pairs(self)))

    def __sub__(self, other):
        return _wide(_double_double.subtract(_pairs(self), _pairs(other)))

    def __rsub__(self, other):
        return _wide(_double_double.subtract(other, _pairs(self)))

    def __mul__(self, other):
        return _wide(_double_double.multiply(_pairs(self), _pairs(other)))

    def __rmul__(self, other):
        return _wide(_double_double.multiply(other, _pairs(self)))

    def __truediv__(self, other):
        return _wide(_double_double.divide(_pairs(self), _pairs(other)))

    def __rtruediv__(self, other):
        return _wide(_double_double.divide(other, _pairs(self)))

    def __array_function__(self, function, types, arguments, options):
        if function not in _MOVING:
            return NotImplemented
        return super().__array_function__(function, types, arguments, options)

    def __getitem__(self, key):
        return _wide(_pairs(self)[key])

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    def __pow__(self, exponent):
        return np.power(self, exponent)

    def __rpow__(self, base):
        return np.power(wide(base), self)

    def __float__(self):
        return float(_plain(self).real)

    def __format__(self, form):
        return format(float(self), form)

    def __repr__(self) -> str:
        return f"Wide({_plain(self).real})"

    __str__ = __repr__

    def __hash__(self):
        return hash(complex(_plain(self)))

    def astype(self, dtype=float):
        """Rounded to doubles."""
        pair = _plain(self)
        if dtype is float:
            return pair.real.copy()
        if dtype is np.longdouble:
            with np.errstate(invalid="ignore"):
                return pair.real.astype(dtype) + pair.imag
        raise TypeError(f"numbers of 106 bits are not to become {dtype}")

    def cumsum(self):
        """Sums of the first 1, 2, ... numbers of a vector."""
        return np.add.accumulate(self)
