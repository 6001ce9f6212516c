"""The engine's elementary functions (`elementary.h`) for Python: of floats, and as ``f_many`` of arrays.

They have the bits that the compiled engines compute with, on every machine; those of ``math`` and ``numpy`` are the
platform's. None raises: where a result is infinite or not a number, it is that.
"""

from libc.stdint cimport int64_t

import numpy as np

from sparseprop.numerics cimport _elementary as elementary

ctypedef void (*of_one)(double *y, const double *x, int64_t n) noexcept nogil
ctypedef void (*of_two)(double *z, const double *x, const double *y, int64_t n) noexcept nogil


cdef object each(of_one function, object x):
    """The function of an array_like of numbers, as float64 in its shape."""
    y = np.array(x, np.float64, order="C")
    cdef double[::1] flat = y.reshape(-1)
    if flat.shape[0]:
        with nogil:
            function(&flat[0], &flat[0], flat.shape[0])
    return y


cdef object each_pair(of_two function, object x, object y):
    """The function of two array_likes of numbers, which are broadcast against each other."""
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    z, y = np.array(x, order="C"), np.array(y, order="C")
    cdef double[::1] first = z.reshape(-1)
    cdef double[::1] second = y.reshape(-1)
    if first.shape[0]:
        with nogil:
            function(&first[0], &first[0], &second[0], first.shape[0])
    return z


def exp(double x):
    """e to the power of x."""
    return elementary.exp(x)


def exp_many(x):
    """`exp` of each number of an array."""
    return each(elementary.exp_many, x)


def expm1(double x):
    """exp(x) - 1, also of small x."""
    return elementary.expm1(x)


def expm1_many(x):
    """`expm1` of each number of an array."""
    return each(elementary.expm1_many, x)


def log(double x):
    """The natural logarithm of x."""
    return elementary.log(x)


def log_many(x):
    """`log` of each number of an array."""
    return each(elementary.log_many, x)


def log1p(double x):
    """log(1 + x), also of small x."""
    return elementary.log1p(x)


def log1p_many(x):
    """`log1p` of each number of an array."""
    return each(elementary.log1p_many, x)


def sin(double x):
    """The sine of x rad."""
    return elementary.sin(x)


def sin_many(x):
    """`sin` of each number of an array."""
    return each(elementary.sin_many, x)


def cos(double x):
    """The cosine of x rad."""
    return elementary.cos(x)


def cos_many(x):
    """`cos` of each number of an array."""
    return each(elementary.cos_many, x)


def tan(double x):
    """The tangent of x rad."""
    return elementary.tan(x)


def tan_many(x):
    """`tan` of each number of an array."""
    return each(elementary.tan_many, x)


def atan(double x):
    """The angle in [-pi / 2, pi / 2] rad that has the tangent x."""
    return elementary.atan(x)


def atan_many(x):
    """`atan` of each number of an array."""
    return each(elementary.atan_many, x)


def sinh(double x):
    """The hyperbolic sine of x."""
    return elementary.sinh(x)


def sinh_many(x):
    """`sinh` of each number of an array."""
    return each(elementary.sinh_many, x)


def cosh(double x):
    """The hyperbolic cosine of x."""
    return elementary.cosh(x)


def cosh_many(x):
    """`cosh` of each number of an array."""
    return each(elementary.cosh_many, x)


def tanh(double x):
    """The hyperbolic tangent of x."""
    return elementary.tanh(x)


def tanh_many(x):
    """`tanh` of each number of an array."""
    return each(elementary.tanh_many, x)


def atanh(double x):
    """The inverse of `tanh`."""
    return elementary.atanh(x)


def atanh_many(x):
    """`atanh` of each number of an array."""
    return each(elementary.atanh_many, x)


def atan2(double y, double x):
    """The angle of the vector (x, y), in [-pi, pi] rad."""
    return elementary.atan2(y, x)


def atan2_many(y, x):
    """`atan2` of each pair of numbers of two arrays, which are broadcast against each other."""
    return each_pair(elementary.atan2_many, y, x)


def pow(double x, double y):
    """x to the power of y."""
    return elementary.pow(x, y)


def pow_many(x, y):
    """`pow` of each pair of numbers of two arrays, which are broadcast against each other."""
    return each_pair(elementary.pow_many, x, y)
