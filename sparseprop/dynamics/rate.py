"""Lyapunov spectra of networks of rate neurons, beside those of spiking ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import _machine, _validation
from ..errors import InsufficientMemoryError, ParameterError, named_arguments
from ..numerics._functions import tanh_many
from ..plotting import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import ArrayLike, Floats, PlotAxes

__all__ = ["RateSpectrum", "rate_lyapunov"]

BLOCKS = 10  # of the run, for standard errors
COPIES = 9  # of tangents, at most, in a step


@named_arguments
class RateSpectrum:
    """The Lyapunov spectrum of a rate network.

    Attributes
    ----------
    exponents : ndarray of shape (m,)
        In 1/s, descending.
    errors : ndarray of shape (m,)
        Their standard errors, by ten blocks of the run.
    local : ndarray of shape (t, m)
        Exponents between two orthonormalisations, in 1/s.
    n : int
        Neurons.
    tau : float
        ms.

    Examples
    --------
    >>> import sparseprop as sp
    >>> spectrum = sp.dynamics.rate_lyapunov(g=2.0, n=20, tau=10.0, duration=500.0, seed=1)
    >>> bool(abs(spectrum.exponents.sum() + 20 / 0.01) < 1000.0)
    True
    """

    exponents: Floats
    errors: Floats
    local: Floats
    n: int
    tau: float

    def __init__(self, local: Floats, n: int, tau: float) -> None:
        self.local, self.n, self.tau = local, n, tau
        self.exponents = local.mean(axis=0)
        blocks = np.array([part.mean(axis=0) for part in np.array_split(local, BLOCKS)])
        self.errors = blocks.std(axis=0, ddof=1) / math.sqrt(BLOCKS)

    def __repr__(self) -> str:
        return (
            f"<RateSpectrum: {len(self.exponents)} of {self.n} exponents, the largest {self.exponents[0]:.3g} +- "
            f"{self.errors[0]:.2g} per s>"
        )

    @property
    def n_positive(self) -> int:
        """How many exponents are > 0."""
        return int((self.exponents > 0.0).sum())

    @property
    def entropy_rate(self) -> float:
        """The sum of the positive exponents in bit/s, an upper bound of the Kolmogorov-Sinai entropy (Pesin)."""
        return float(self.exponents[self.exponents > 0.0].sum() / math.log(2.0))

    @property
    def dimension(self) -> float:
        """The attractor's, by Kaplan and Yorke; NaN if the sum of the exponents that are there is still positive."""
        sums = np.cumsum(self.exponents)
        below = np.flatnonzero(sums < 0.0)
        if not len(below):
            return math.nan
        k = int(below[0])
        return float(k + (sums[k - 1] / -self.exponents[k] if k else 0.0))

    def plot(self, ax: Axes | None = None) -> PlotAxes:
        """Exponents in units of 1 / tau against their place i / n.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        matplotlib Axes
        """
        ax = new_axes(ax)
        place = (np.arange(len(self.exponents)) + 0.5) / self.n
        ax.plot(place, self.exponents * self.tau * 1e-3, ".-", markersize=3.0, linewidth=0.8)
        ax.axhline(0.0, color="gray", linewidth=0.8)
        ax.set(xlabel="i / n", ylabel="exponent (1 / tau)")
        return ax


@named_arguments
def rate_lyapunov(
    g: float = 2.0,
    n: int = 200,
    *,
    weights: ArrayLike | None = None,
    n_exponents: int | None = None,
    tau: float = 10.0,
    duration: float = 5000.0,
    warmup: float = 1000.0,
    dt: float | None = None,
    seed: int = 0,
) -> RateSpectrum:
    """Lyapunov exponents of ``tau dh/dt = -h + W tanh(h)``, W Gaussian with variance ``g^2 / n`` and no diagonal.

    Parameters
    ----------
    g : float
        Gain: without input the network is chaotic for ``g > 1``, as n grows.
    n : int
        Neurons.
    weights : array_like of shape (n, n), optional
        ``W[target, source]``, in place of `g` and `n`.
    n_exponents : int, optional
        The first ones; default: all.
    tau : float
        ms.
    duration, warmup : float
        ms to average over, and before.
    dt : float, optional
        Step of the fourth-order Runge-Kutta method in ms, for the state and its tangents; default: ``tau / 10``.
    seed : int
        Of weights, of the initial state and of tangents.

    Returns
    -------
    RateSpectrum

    Raises
    ------
    ParameterError
        For a value that is not allowed.
    InsufficientMemoryError
        If weights and tangents do not fit.

    Notes
    -----
    Tangents are orthonormalised by QR about once in tau. Time O(n^2 m duration / dt) for m exponents. Matrix products
    are those of the platform's BLAS: between machines results agree within their errors, not in all digits.

    Without a diagonal the sum of all exponents is ``-n / tau``, and the spectrum is point-symmetric about ``-1 / tau``,
    the more so the larger n is.

    References
    ----------
    Sompolinsky, Crisanti and Sommers (1988), Phys. Rev. Lett. 61:259; Engelken, Wolf and Abbott (2023), Phys. Rev.
    Research 5:043044.

    Examples
    --------
    >>> import sparseprop as sp
    >>> chaotic = sp.dynamics.rate_lyapunov(g=10.0, n=100, n_exponents=1, duration=1000.0, seed=2)
    >>> bool(chaotic.exponents[0] > 0.0)
    True
    """
    tau = _validation.real(tau, "tau", "a time > 0 ms", unit="ms", low=0.0, low_open=True)
    duration, warmup = (
        _validation.real(value, name, "a time of at most 10^9 tau", unit="ms", low=0.0, high=1e9 * tau)
        for value, name in ((duration, "duration"), (warmup, "warmup"))
    )
    if dt is None:
        dt = tau / 10.0
    else:
        dt = _validation.real(dt, "dt", "a time from 10^-6 tau to tau", unit="ms", low=1e-6 * tau, high=tau)
    rng = np.random.default_rng(_validation.integer(seed, "seed", "a whole number >= 0", low=0))
    W = None if weights is None else _given(weights)
    n = _validation.integer(n, "n", "a whole number from 2 to 10^5", low=2, high=10**5) if W is None else len(W)
    m = n if n_exponents is None else _validation.integer(n_exponents, "n_exponents", f"1 to {n}", low=1, high=n)
    between = max(round(tau / dt), 1)  # steps between orthonormalisations
    parts = math.ceil(duration / (between * dt))
    if parts < BLOCKS:
        raise ParameterError(f"duration must be at least {BLOCKS} tau, for errors by blocks, got {duration:g} ms")
    _check_memory(n, m, parts, W is None)
    W = _weights(g, n, rng) if W is None else W
    h = rng.standard_normal(n)
    Q = np.linalg.qr(rng.standard_normal((n, m)))[0]
    local = np.empty((parts, m))
    before = math.ceil(warmup / (between * dt))
    for k in range(-before, parts):
        for _ in range(between):
            h, Q = _step(W, h, Q, dt / tau)
        Q, R = np.linalg.qr(Q)
        if k >= 0:
            local[k] = np.log(np.abs(np.diag(R))) / (between * dt * 1e-3)
    return RateSpectrum(local, n, tau)


def _check_memory(n, m, parts, is_drawn):
    needed = 8 * (2 * n * n * is_drawn + COPIES * n * m + parts * m)
    if needed > _machine.available_memory():
        more = f"{n} neurons and " if is_drawn else ""
        raise InsufficientMemoryError(
            f"{more}{m} tangents of {n} numbers over {parts} pieces of the run need {needed / 2**30:.3g} GiB; take "
            f"{'a smaller n, ' if is_drawn else ''}fewer n_exponents or a shorter duration"
        )


def _weights(g, n, rng):
    """W, drawn."""
    g = _validation.real(g, "g", "a number >= 0", low=0.0)
    W = rng.standard_normal((n, n)) * (g / math.sqrt(n))
    np.fill_diagonal(W, 0.0)
    return W


def _given(weights):
    """W, given."""
    W = _validation.real_array(weights, "weights", "a square matrix of finite numbers", ndim=2)
    if W.shape[0] != W.shape[1] or not W.size:
        raise ParameterError(f"weights must be a square matrix, got shape {W.shape}")
    return W


def _step(W, h, Q, u):
    """One Runge-Kutta step of the state and of its tangents, u = dt / tau."""

    def slope(h, Q):
        r = tanh_many(h)
        return W @ r - h, W @ ((1.0 - r * r)[:, None] * Q) - Q

    a, A = slope(h, Q)
    b, B = slope(h + 0.5 * u * a, Q + 0.5 * u * A)
    c, C = slope(h + 0.5 * u * b, Q + 0.5 * u * B)
    d, D = slope(h + u * c, Q + u * C)
    return h + u / 6.0 * (a + 2.0 * (b + c) + d), Q + u / 6.0 * (A + 2.0 * (B + C) + D)
