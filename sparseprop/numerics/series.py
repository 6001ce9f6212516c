"""Chebyshev series and Gauss-Legendre quadrature in extended precision, which tables of flows are made with."""

import functools

import numpy as np

__all__ = [
    "DEGREE",
    "EPS",
    "LONG",
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
LONG = np.longdouble
EPS = np.finfo(LONG).eps
NODES = 22
PI = 4 * np.arctan(LONG(1))


def to_powers(n):
    """The Chebyshev polynomials T_0 to T_(n - 1) in powers: row k has the coefficients of T_k."""
    powers = np.zeros((n, n), LONG)
    powers[0, 0] = powers[1, 1] = 1
    for k in range(2, n):
        powers[k, 1:] = 2 * powers[k - 1, :-1]
        powers[k] -= powers[k - 2]
    return powers


def _chebyshev():
    """Nodes in (-1, 1), and the matrix from values there to coefficients."""
    angles = (np.arange(NODES, dtype=LONG) + LONG(0.5)) * (PI / NODES)
    to_coefficients = np.cos(np.outer(np.arange(NODES, dtype=LONG), angles)) * (LONG(2) / NODES)
    to_coefficients[0] /= 2
    return np.cos(angles), to_coefficients


T_NODES, TO_COEFFICIENTS = _chebyshev()


def coefficients_of(values):
    """Chebyshev coefficients, (pieces, NODES), of values at the nodes."""
    return values @ TO_COEFFICIENTS.T


def integral_of(coefficients):
    """Coefficients of the integral from -1."""
    n = coefficients.shape[1]
    padded = np.concatenate([coefficients, np.zeros((len(coefficients), 2), LONG)], axis=1)
    result = np.zeros((len(coefficients), n + 1), LONG)
    result[:, 1] = padded[:, 0] - padded[:, 2] / 2
    k = np.arange(2, n + 1)
    result[:, 2:] = (padded[:, 1:n] - padded[:, 3 : n + 2]) / (2 * k)
    signs = LONG(-1) ** np.arange(n + 1)
    result[:, 0] -= (result[:, 1:] * signs[1:]).sum(axis=1)
    return result


def clenshaw(coefficients, t):
    """The series of one piece for each t; coefficients (len(t), n)."""
    one = two = np.zeros_like(t)
    for k in range(coefficients.shape[1] - 1, 0, -1):
        one, two = coefficients[:, k] + 2 * t * one - two, one
    return coefficients[:, 0] + t * one - two


@functools.cache
def legendre():
    """Nodes and weights of 24 points, refined from doubles to extended precision."""
    n = 24
    t = np.polynomial.legendre.leggauss(n)[0].astype(LONG)
    for _ in range(3):
        before, now = np.ones_like(t), t
        for k in range(1, n):
            before, now = now, ((2 * k + 1) * t * now - k * before) / (k + 1)
        slope = n * (before - t * now) / (1 - t * t)
        t = t - now / slope
    return t, 2 / ((1 - t * t) * slope * slope)
