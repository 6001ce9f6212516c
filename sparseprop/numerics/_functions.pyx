"""The engine's elementary functions (`elementary.h`) for Python: of floats, and as ``f_many`` of arrays.

They have the bits that the compiled engines compute with, on every machine; those of ``math`` and ``numpy`` are the
platform's. None raises: where a result is infinite or not a number, it is that.
"""

from libc.stdint cimport int64_t

import numpy as np

from sparseprop.numerics cimport _elementary as elementary

ctypedef void (*many)(double *y, const double *x, int64_t n) noexcept nogil


cdef object of_array(many function, object x):
    """The function of an array_like of numbers, as float64 in its shape."""
    y = np.array(x, np.float64, order="C")
    cdef double[::1] flat = y.reshape(-1)
    if flat.shape[0]:
        with nogil:
            function(&flat[0], &flat[0], flat.shape[0])
    return y


def exp(double x):
    """e to the power of x."""
    return elementary.exp(x)


def expm1(double x):
    """exp(x) - 1, also of small x."""
    return elementary.expm1(x)


def log(double x):
    """The natural logarithm of x."""
    return elementary.log(x)


def log1p(double x):
    """log(1 + x), also of small x."""
    return elementary.log1p(x)


def sin(double x):
    """The sine of x rad."""
    return elementary.sin(x)


def cos(double x):
    """The cosine of x rad."""
    return elementary.cos(x)


def tan(double x):
    """The tangent of x rad."""
    return elementary.tan(x)


def atan(double x):
    """The angle in [-pi / 2, pi / 2] rad that has the tangent x."""
    return elementary.atan(x)


def atan2(double y, double x):
    """The angle of the vector (x, y), in [-pi, pi] rad."""
    return elementary.atan2(y, x)


def sinh(double x):
    """The hyperbolic sine of x."""
    return elementary.sinh(x)


def cosh(double x):
    """The hyperbolic cosine of x."""
    return elementary.cosh(x)


def tanh(double x):
    """The hyperbolic tangent of x."""
    return elementary.tanh(x)


def exp_many(x):
    """`exp` of each number of an array."""
    return of_array(elementary.exp_many, x)


def expm1_many(x):
    """`expm1` of each number of an array."""
    return of_array(elementary.expm1_many, x)


def log_many(x):
    """`log` of each number of an array."""
    return of_array(elementary.log_many, x)


def log1p_many(x):
    """`log1p` of each number of an array."""
    return of_array(elementary.log1p_many, x)


def sin_many(x):
    """`sin` of each number of an array."""
    return of_array(elementary.sin_many, x)


def cos_many(x):
    """`cos` of each number of an array."""
    return of_array(elementary.cos_many, x)


def tan_many(x):
    """`tan` of each number of an array."""
    return of_array(elementary.tan_many, x)


def atan_many(x):
    """`atan` of each number of an array."""
    return of_array(elementary.atan_many, x)


def atan2_many(y, x):
    """`atan2` of each pair of two arrays, which are broadcast against each other."""
    y, x = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
    angle, x = np.array(y, order="C"), np.ascontiguousarray(x)
    cdef double[::1] flat = angle.reshape(-1)
    cdef const double[::1] across = x.reshape(-1)
    if flat.shape[0]:
        with nogil:
            elementary.atan2_many(&flat[0], &flat[0], &across[0], flat.shape[0])
    return angle


def sinh_many(x):
    """`sinh` of each number of an array."""
    return of_array(elementary.sinh_many, x)


def cosh_many(x):
    """`cosh` of each number of an array."""
    return of_array(elementary.cosh_many, x)


def tanh_many(x):
    """`tanh` of each number of an array."""
    return of_array(elementary.tanh_many, x)
