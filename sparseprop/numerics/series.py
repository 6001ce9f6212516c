"""Chebyshev series and Gauss-Legendre quadrature in 106 bits, which tables of flows are made with."""

import functools

import numpy as np

from . import _double_double
from .wide import Wide, product, wide, zeros

__all__ = [
    "DEGREE",
    "NODES",
    "T_NODES",
    "clenshaw",
    "coefficients_of",
    "integral_of",
    "legendre",
    "to_powers",
]

# Of the polynomials. A piece is its centre, the inverse of half its width, and DEGREE + 1 coefficients, as in
# _tabulated.pxd.
DEGREE = 9
NODES = 22
PI = 4 * np.arctan(wide(1.0))


def to_powers(n):
    """The Chebyshev polynomials T_0 to T_(n - 1) in powers: row k has the coefficients of T_k, whole numbers."""
    powers = np.zeros((n, n))
    powers[0, 0] = powers[1, 1] = 1
    for k in range(2, n):
        powers[k, 1:] = 2 * powers[k - 1, :-1]
        powers[k] -= powers[k - 2]
    return powers


def _chebyshev():
    """Nodes in (-1, 1), and the matrix from values there to coefficients."""
    angles = (np.arange(NODES) + 0.5) * (PI / NODES)
    to_coefficients = np.cos(np.arange(NODES)[:, None] * angles) * (wide(2.0) / NODES)
    to_coefficients[0] *= 0.5
    return np.cos(angles), to_coefficients


T_NODES, TO_COEFFICIENTS = _chebyshev()


def coefficients_of(values):
    """Chebyshev coefficients, (pieces, NODES), of values at the nodes."""
    return product(values, TO_COEFFICIENTS.T)


def integral_of(coefficients):
    """Coefficients of the integral from -1."""
    n = coefficients.shape[1]
    padded = zeros((len(coefficients), n + 2))
    padded[:, :n] = coefficients
    result = zeros((len(coefficients), n + 1))
    result[:, 1] = padded[:, 0] - padded[:, 2] / 2
    k = np.arange(2, n + 1)
    result[:, 2:] = (padded[:, 1:n] - padded[:, 3 : n + 2]) / (2 * k)
    signs = np.where(np.arange(n + 1) % 2, -1.0, 1.0)
    result[:, 0] -= (result[:, 1:] * signs[1:]).sum(axis=1)
    return result


def clenshaw(coefficients, t):
    """The series of one piece for each t; coefficients (len(t), n)."""
    return _double_double.clenshaw(coefficients, wide(t)).view(Wide)


@functools.cache
def legendre():
    """Nodes and weights of 24 points, from what they are for many."""
    n = 24
    t = np.cos(PI * ((np.arange(n, 0, -1) - 0.25) / (n + 0.5)))
    for _ in range(6):
        before, now = np.ones_like(t), t
        for k in range(1, n):
            before, now = now, ((2 * k + 1) * t * now - k * before) / (k + 1)
        slope = n * (before - t * now) / (1 - t * t)
        t = t - now / slope
    return t, 2 / ((1 - t * t) * slope * slope)
