"""Lyapunov exponents and what follows from them."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from .. import _html
from .._validation import index_array
from ..errors import ParameterError, named_arguments
from ..run.stopping import StopReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from .._types import Floats, Ints, PlotAxes
    from .covariant import CovariantVectors

__all__ = ["LyapunovSpectrum"]

BATCHES = 20  # of consecutive samples, for errors


@named_arguments
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class LyapunovSpectrum:
    """What :func:`sparseprop.lyapunov_spectrum` has found.

    Errors are standard errors over up to 20 batches of consecutive samples (the jackknife of a ratio): they tell how
    much a longer run would change, and not how much another network would. They are NaN with fewer than four samples.

    Attributes
    ----------
    times : ndarray of shape (samples,)
        The ends of samples, in ms.
    durations : ndarray of shape (samples,)
        Of the stretches that they end, in ms.
    n_spikes_each : ndarray of shape (samples,)
        Spikes in these.
    growth : ndarray of shape (samples, n_exponents)
        The logs of what vectors have grown by in these.
    participation : ndarray of shape (samples, n_exponents)
        How many neurons take part in each vector: 1 / sum of p^2, p the share of a neuron in the square of its length.
    vectors : ndarray of shape (rows, n_exponents)
        The orthonormal vectors at the end, in the coordinates of measurement; one row for each neuron, and one for each
        synaptic current of LIFExp neurons behind it.
    n_neurons, n_rows : int
    stop_reason : StopReason
    wall_time : float
        Seconds.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(50, sp.Theta(tau_m=10.0), outdegree=20, seed=1)
    >>> spectrum = sp.lyapunov_spectrum(net, n_spikes=1000)
    >>> len(spectrum.exponents), bool(spectrum.exponents[0] > 0.0), bool(1.0 < spectrum.dimension < 50.0)
    (50, True, True)
    """

    _cites = ("lyapunov",)

    growth: Floats
    durations: Floats
    times: Floats
    n_spikes_each: Ints
    volumes: Floats
    participation: Floats
    vectors: Floats
    bases: list[Floats]
    n_neurons: int
    n_rows: int
    stop_reason: StopReason
    wall_time: float

    # Exponents

    @functools.cached_property
    def _order(self):
        return np.argsort(-self._mean(self.growth), kind="stable")

    def _mean(self, sums):
        """The rate per second of what has been added up by sample."""
        return sums.sum(axis=0) / (self.durations.sum() * 1e-3)

    @property
    def exponents(self) -> Floats:
        """1/s, descending: ndarray of shape (n_exponents,). -inf where driven spikes take dimensions."""
        return self._mean(self.growth)[self._order]

    @property
    def errors(self) -> Floats:
        """Standard errors of the exponents."""
        return self._error(lambda part: self._part(part)[self._order])

    @property
    def duration(self) -> float:
        """ms over which was measured."""
        return float(self.durations.sum())

    @property
    def n_spikes(self) -> int:
        """Spikes of neurons over which was measured."""
        return int(self.n_spikes_each.sum())

    @property
    def rate(self) -> float:
        """Spikes per second and neuron."""
        return self.n_spikes / (self.duration * 1e-3) / self.n_neurons

    @property
    def local(self) -> Floats:
        """Exponents of each sample, 1/s: ndarray of shape (samples, n_exponents), in the order of `exponents`.

        They depend on the coordinates of measurement (docs/dynamics.md); their means do not.
        """
        return self.growth[:, self._order] / (self.durations[:, None] * 1e-3)

    @property
    def convergence(self) -> Floats:
        """Exponents as they were at the end of each sample: ndarray of shape (samples, n_exponents)."""
        return np.cumsum(self.growth[:, self._order], axis=0) / (np.cumsum(self.durations)[:, None] * 1e-3)

    @property
    def volume_rate(self) -> float:
        """The mean of log of the absolute determinant of the Jacobians of all events and stretches, 1/s.

        It is the sum of all exponents, also where only some of them were asked for.
        """
        return float(self._mean(self.volumes))

    # What follows

    @property
    def is_complete(self) -> bool:
        """Whether there are all exponents."""
        return self.growth.shape[1] == self.n_rows

    @property
    def n_positive(self) -> int:
        """How many exponents are larger than 0 by more than twice their error; NaN errors count as 0."""
        return int((self.exponents > 2.0 * np.nan_to_num(self.errors)).sum())

    @property
    def dimension(self) -> float:
        """Kaplan-Yorke: the dimension of the attractor. NaN where it is larger than the number of exponents."""
        return _dimension(self.exponents, self.is_complete)

    @property
    def dimension_error(self) -> float:
        """Its standard error."""
        return float(self._error(lambda part: np.array(_dimension(self._sorted(part), self.is_complete))))

    @property
    def entropy_rate(self) -> float:
        """Bits per second: the sum of the positive exponents over log 2, a bound of the Kolmogorov-Sinai entropy.

        NaN where all exponents that there are are positive, and not all were asked for.
        """
        return _entropy(self.exponents, self.is_complete)

    @property
    def entropy_rate_error(self) -> float:
        """Its standard error."""
        return float(self._error(lambda part: np.array(_entropy(self._sorted(part), self.is_complete))))

    @property
    def entropy_per_spike(self) -> float:
        """Bits: the entropy rate over the number of spikes of all neurons per second."""
        return self.entropy_rate / (self.n_spikes / (self.duration * 1e-3)) if self.n_spikes else float("nan")

    @property
    def entropy_per_spike_error(self) -> float:
        """Its standard error."""

        def bits(part):
            spikes = self.n_spikes_each[part].sum() / (self.durations[part].sum() * 1e-3)
            return np.array(_entropy(self._sorted(part), self.is_complete) / spikes if spikes else np.nan)

        return float(self._error(bits))

    def _part(self, part):
        return self.growth[part].sum(axis=0) / (self.durations[part].sum() * 1e-3)

    def _sorted(self, part):
        return -np.sort(-self._part(part))

    def _error(self, value):
        """Standard error of a function of samples, which gets a mask of them: the jackknife over batches."""
        n = len(self.durations)
        batches = min(BATCHES, n)
        whole = value(np.ones(n, bool))
        if batches < 4:
            return np.full(whole.shape, np.nan)
        batch = np.arange(n) * batches // n
        with np.errstate(invalid="ignore"):
            left_out = np.array([value(batch != k) for k in range(batches)])
            return np.sqrt((batches - 1) / batches * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0))

    # Covariant vectors

    @functools.cached_property
    def covariant(self) -> CovariantVectors:
        """Covariant vectors, from a run with ``covariant=True``: see :class:`CovariantVectors`.

        Raises
        ------
        ParameterError
            If it was another run.
        """
        if not self.bases:
            raise ParameterError("covariant vectors need a run with covariant=True")
        from .covariant import covariant_vectors

        return covariant_vectors(self)

    # Looking at it

    def __repr__(self) -> str:
        first = ", ".join(f"{value:.4g}" for value in self.exponents[:3])
        return (
            f"<LyapunovSpectrum of {self.n_neurons} neurons at {self.rate:.3g} Hz: {len(self.exponents)} of "
            f"{self.n_rows} exponents, {first}, ... 1/s over {self.duration:.4g} ms>"
        )

    def _rows(self):
        return [
            ("largest exponent (1/s)", self.exponents[0], self.errors[0]),
            ("smallest (1/s)", self.exponents[-1], self.errors[-1]),
            ("positive ones", self.n_positive, None),
            ("dimension", self.dimension, self.dimension_error),
            ("entropy (bit/s)", self.entropy_rate, self.entropy_rate_error),
            ("entropy (bit/spike)", self.entropy_per_spike, self.entropy_per_spike_error),
            ("sum of all exponents (1/s)", self.volume_rate, None),
            ("rate (Hz)", self.rate, None),
        ]

    def __str__(self) -> str:
        lines = [repr(self)[1:-1]]
        for name, value, error in self._rows():
            lines.append(f"  {name}: {value:.6g}" + ("" if error is None else f" +- {error:.2g}"))
        return "\n".join(lines)

    def _repr_html_(self):
        return _html.page(repr(self)[1:-1], _html.table(self._rows(), ("", "value", "standard error")))

    @named_arguments
    def plot(self, ax: Axes | None = None, *, fraction: bool = True) -> PlotAxes:
        """The exponents, with two standard errors, over their number.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.
        fraction : bool
            Whether the number is that over all there are, i / N, by which spectra of extensive chaos are one curve.

        Returns
        -------
        matplotlib Axes
        """
        from ..plotting import new_axes

        ax = new_axes(ax)
        x = (np.arange(len(self.exponents)) + 0.5) / self.n_rows if fraction else np.arange(1, len(self.exponents) + 1)
        line = ax.plot(x, self.exponents)[0]
        ax.fill_between(
            x, self.exponents - 2 * self.errors, self.exponents + 2 * self.errors, alpha=0.3, color=line.get_color()
        )
        ax.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        ax.set(xlabel="$i / N$" if fraction else "$i$", ylabel=r"$\lambda_i$ (1/s)")
        return ax

    @named_arguments
    def plot_convergence(self, ax: Axes | None = None, *, which: Sequence[int] | None = None) -> PlotAxes:
        """Exponents over the time over which they were measured.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.
        which : sequence of int, optional
            Which of them; default: ten, from the first to the last.

        Returns
        -------
        matplotlib Axes
        """
        from ..plotting import new_axes

        ax = new_axes(ax)
        n = self.growth.shape[1]
        given = np.unique(np.linspace(0, n - 1, min(n, 10)).astype(int)) if which is None else which
        columns = index_array(given, "which", n)
        ax.plot(np.cumsum(self.durations) * 1e-3, self.convergence[:, columns])
        ax.set(xlabel="time (s)", ylabel=r"$\lambda_i$ (1/s)")
        return ax


def _dimension(exponents, is_complete):
    """Of descending exponents, those of a complete spectrum or the first ones."""
    sums = np.cumsum(exponents)
    below = np.flatnonzero(sums < 0.0)
    if not below.size:
        return float(len(exponents)) if is_complete else float("nan")
    k = int(below[0])
    if k == 0:
        return 0.0
    return k + float(sums[k - 1] / -exponents[k])


def _entropy(exponents, is_complete):
    """Bits per second."""
    positive = exponents[exponents > 0.0]
    if len(positive) == len(exponents) and not is_complete:
        return float("nan")
    return float(positive.sum() / np.log(2.0))
