"""Arithmetic of `double_double.h` on arrays: ufuncs of complex numbers, whose parts are the two doubles of a number.

They are called by numpy's names for :class:`.wide.Wide` arrays.
"""

cimport cython
cimport numpy as cnp

import numpy

cnp.import_array()
cnp.import_ufunc()

ctypedef double complex wide_t

cdef extern from "sparseprop/numerics/double_double.h" nogil:
    ctypedef struct number "sp_dd":
        double high "h"
        double low "l"
    number dd_negative "sp_dd_negative"(number a) noexcept
    number dd_absolute "sp_dd_absolute"(number a) noexcept
    number dd_sqrt "sp_dd_sqrt"(number a) noexcept
    number dd_exp "sp_dd_exp"(number a) noexcept
    number dd_expm1 "sp_dd_expm1"(number a) noexcept
    number dd_log "sp_dd_log"(number a) noexcept
    number dd_log1p "sp_dd_log1p"(number a) noexcept
    number dd_sin "sp_dd_sin"(number a) noexcept
    number dd_cos "sp_dd_cos"(number a) noexcept
    number dd_tan "sp_dd_tan"(number a) noexcept
    number dd_arctan "sp_dd_atan"(number a) noexcept
    number dd_arcsinh "sp_dd_asinh"(number a) noexcept
    number dd_sinh "sp_dd_sinh"(number a) noexcept
    number dd_cosh "sp_dd_cosh"(number a) noexcept
    number dd_tanh "sp_dd_tanh"(number a) noexcept
    number dd_curvature "sp_dd_curvature"(number a) noexcept
    number dd_add "sp_dd_add"(number a, number b) noexcept
    number dd_subtract "sp_dd_subtract"(number a, number b) noexcept
    number dd_multiply "sp_dd_multiply"(number a, number b) noexcept
    number dd_divide "sp_dd_divide"(number a, number b) noexcept
    number dd_power "sp_dd_power"(number a, number b) noexcept
    number dd_maximum "sp_dd_maximum"(number a, number b) noexcept
    number dd_minimum "sp_dd_minimum"(number a, number b) noexcept


cdef inline number number_of(wide_t a) noexcept nogil:
    cdef number y
    y.high = a.real
    y.low = a.imag
    return y


cdef inline wide_t pair_of(number a) noexcept nogil:
    cdef wide_t y
    y.real = a.high
    y.imag = a.low
    return y


cdef number plain(double x) noexcept nogil:
    cdef number y
    y.high = x
    y.low = 0.0
    return y


@cython.ufunc
cdef wide_t negative(wide_t a) noexcept nogil:
    return pair_of(dd_negative(number_of(a)))


@cython.ufunc
cdef wide_t absolute(wide_t a) noexcept nogil:
    return pair_of(dd_absolute(number_of(a)))


@cython.ufunc
cdef wide_t sqrt(wide_t a) noexcept nogil:
    return pair_of(dd_sqrt(number_of(a)))


@cython.ufunc
cdef wide_t exp(wide_t a) noexcept nogil:
    return pair_of(dd_exp(number_of(a)))


@cython.ufunc
cdef wide_t expm1(wide_t a) noexcept nogil:
    return pair_of(dd_expm1(number_of(a)))


@cython.ufunc
cdef wide_t log(wide_t a) noexcept nogil:
    return pair_of(dd_log(number_of(a)))


@cython.ufunc
cdef wide_t log1p(wide_t a) noexcept nogil:
    return pair_of(dd_log1p(number_of(a)))


@cython.ufunc
cdef wide_t sin(wide_t a) noexcept nogil:
    return pair_of(dd_sin(number_of(a)))


@cython.ufunc
cdef wide_t cos(wide_t a) noexcept nogil:
    return pair_of(dd_cos(number_of(a)))


@cython.ufunc
cdef wide_t tan(wide_t a) noexcept nogil:
    return pair_of(dd_tan(number_of(a)))


@cython.ufunc
cdef wide_t arctan(wide_t a) noexcept nogil:
    return pair_of(dd_arctan(number_of(a)))


@cython.ufunc
cdef wide_t arcsinh(wide_t a) noexcept nogil:
    return pair_of(dd_arcsinh(number_of(a)))


@cython.ufunc
cdef wide_t sinh(wide_t a) noexcept nogil:
    return pair_of(dd_sinh(number_of(a)))


@cython.ufunc
cdef wide_t cosh(wide_t a) noexcept nogil:
    return pair_of(dd_cosh(number_of(a)))


@cython.ufunc
cdef wide_t tanh(wide_t a) noexcept nogil:
    return pair_of(dd_tanh(number_of(a)))


@cython.ufunc
cdef wide_t curvature(wide_t a) noexcept nogil:
    return pair_of(dd_curvature(number_of(a)))


@cython.ufunc
cdef wide_t add(wide_t a, wide_t b) noexcept nogil:
    return pair_of(dd_add(number_of(a), number_of(b)))


@cython.ufunc
cdef wide_t subtract(wide_t a, wide_t b) noexcept nogil:
    return pair_of(dd_subtract(number_of(a), number_of(b)))


@cython.ufunc
cdef wide_t multiply(wide_t a, wide_t b) noexcept nogil:
    return pair_of(dd_multiply(number_of(a), number_of(b)))


@cython.ufunc
cdef wide_t divide(wide_t a, wide_t b) noexcept nogil:
    return pair_of(dd_divide(number_of(a), number_of(b)))


@cython.ufunc
cdef wide_t power(wide_t a, wide_t b) noexcept nogil:
    return pair_of(dd_power(number_of(a), number_of(b)))


@cython.ufunc
cdef wide_t maximum(wide_t a, wide_t b) noexcept nogil:
    return pair_of(dd_maximum(number_of(a), number_of(b)))


@cython.ufunc
cdef wide_t minimum(wide_t a, wide_t b) noexcept nogil:
    return pair_of(dd_minimum(number_of(a), number_of(b)))


def product(const wide_t[:, :] a, const wide_t[:, :] b):
    """The product of two matrices."""
    cdef Py_ssize_t i, j, k
    cdef number total
    y = numpy.empty((a.shape[0], b.shape[1]), numpy.complex128)
    cdef wide_t[:, ::1] out = y
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"matrices of {a.shape[1]} columns and {b.shape[0]} rows have no product")
    with nogil:
        for i in range(a.shape[0]):
            for j in range(b.shape[1]):
                total = plain(0.0)
                for k in range(b.shape[0]):
                    total = dd_add(total, dd_multiply(number_of(a[i, k]), number_of(b[k, j])))
                out[i, j] = pair_of(total)
    return y


def horner(const wide_t[:] coefficients, const wide_t[:] x):
    """The polynomial, its constant first, at each x."""
    cdef Py_ssize_t i, k
    cdef number total, at
    y = numpy.empty(x.shape[0], numpy.complex128)
    cdef wide_t[::1] out = y
    with nogil:
        for i in range(x.shape[0]):
            total = plain(0.0)
            at = number_of(x[i])
            for k in range(coefficients.shape[0] - 1, -1, -1):
                total = dd_add(dd_multiply(total, at), number_of(coefficients[k]))
            out[i] = pair_of(total)
    return y


def clenshaw(const wide_t[:, :] coefficients, const wide_t[:] t):
    """The Chebyshev series in each row at each t."""
    cdef Py_ssize_t i, k
    cdef number one, two, x, twice, new
    y = numpy.empty(t.shape[0], numpy.complex128)
    cdef wide_t[::1] out = y
    if coefficients.shape[0] != t.shape[0]:
        raise ValueError(f"{coefficients.shape[0]} series for {t.shape[0]} places")
    with nogil:
        for i in range(t.shape[0]):
            one = two = plain(0.0)
            x = number_of(t[i])
            twice = dd_multiply(plain(2.0), x)
            for k in range(coefficients.shape[1] - 1, 0, -1):
                new = dd_subtract(dd_add(number_of(coefficients[i, k]), dd_multiply(twice, one)), two)
                two = one
                one = new
            new = dd_subtract(dd_add(number_of(coefficients[i, 0]), dd_multiply(x, one)), two)
            out[i] = pair_of(new)
    return y
