"""Sums of decaying exponentials and a constant: where they change their sign."""

from libc.math cimport fabs
from libc.stdint cimport int64_t

from sparseprop.numerics._elementary cimport exp, log
from sparseprop.numerics._typedefs cimport MAX_PORTS


cdef inline double last_sign(const double *weights, const double *taus, int64_t n) noexcept nogil:
    """A number with the sign that a sum of decaying exponentials has in the end."""
    cdef double slowest = 0.0, sign = 0.0
    cdef int64_t k
    for k in range(n):
        if weights[k] != 0.0 and taus[k] >= slowest:
            slowest = taus[k]
            sign = weights[k]
    return sign


cdef inline double sum_at(const double *weights, const double *taus, int64_t n, double constant,
                          double u) noexcept nogil:
    cdef double total = constant
    cdef int64_t k
    for k in range(n):
        total = total + weights[k] * exp(-u / taus[k])
    return total


cdef inline double zero_between(const double *weights, const double *taus, int64_t n, double constant, double low,
                                double high, bint positive) noexcept nogil:
    """The zero in [low, high] of a sum that is positive at `low` or not, by Newton's method kept in the interval."""
    cdef double u = 0.5 * (low + high), value, slope, term, step, new
    cdef bint inside
    cdef int64_t k, _
    for _ in range(200):
        value = constant
        slope = 0.0
        for k in range(n):
            term = weights[k] * exp(-u / taus[k])
            value = value + term
            slope = slope - term / taus[k]
        if (value > 0.0) == positive:
            low = u
        else:
            high = u
        inside = False
        new = 0.0
        if slope != 0.0:
            step = -value / slope
            new = u + step
            if fabs(step) <= 9.313225746154785e-10 * u and low <= new and new <= high:
                return new
            inside = low < new and new < high
        if not inside:
            new = 0.5 * (low + high)
        if new == u:
            return new
        u = new
    return u


cdef inline int64_t sign_changes(const double *weights, const double *taus, int64_t n, double constant,
                                 double *zeros) noexcept nogil:
    """The zeros u > 0 of constant + sum of weights[k] exp(-u / taus[k]), ascending; how many, at most n.

    Multiplied by exp(u / taus[0]) and differentiated, it loses a term; between the zeros of what remains there is at
    most one.
    """
    cdef double inner[MAX_PORTS]
    cdef double derived[MAX_PORTS]
    cdef double first = taus[0], longest = taus[0], left = 0.0, right, end, step, ratio
    cdef bint left_sign, right_sign
    cdef int64_t k, _, n_inner, count = 0
    if n == 1:
        ratio = -weights[0] / constant if constant != 0.0 else 0.0
        if ratio > 1.0:
            zeros[0] = taus[0] * log(ratio)
            return 1
        return 0
    for k in range(1, n):
        longest = max(longest, taus[k])
        derived[k - 1] = weights[k] * ((taus[k] - first) / (first * taus[k]))
    n_inner = sign_changes(derived, taus + 1, n - 1, constant / first, inner)
    left_sign = sum_at(weights, taus, n, constant, 0.0) > 0.0
    for k in range(n_inner):
        right = inner[k]
        right_sign = sum_at(weights, taus, n, constant, right) > 0.0
        if left_sign != right_sign:
            zeros[count] = zero_between(weights, taus, n, constant, left, right, left_sign)
            count += 1
        left = right
        left_sign = right_sign
    end = constant if constant != 0.0 else last_sign(weights, taus, n)
    if left_sign != (end > 0.0):
        step = longest
        for _ in range(12):
            right = left + step
            if (sum_at(weights, taus, n, constant, right) > 0.0) != left_sign:
                zeros[count] = zero_between(weights, taus, n, constant, left, right, left_sign)
                return count + 1
            step = 2.0 * step
    return count
