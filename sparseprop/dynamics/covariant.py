"""Covariant Lyapunov vectors: back through what vectors were made orthonormal by (Ginelli et al. 2007)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ParameterError, named_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Floats

__all__ = ["CovariantVectors", "covariant_vectors"]


@named_arguments
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class CovariantVectors:
    """Directions that the dynamics maps onto each other, each growing with its exponent.

    Unlike the orthonormal vectors they do not depend on the coordinates of measurement, and say in which directions
    the network expands or contracts. They are found by going back from random ones at the end of the run: the last
    quarter of the samples is left for these to settle.

    Attributes
    ----------
    times : ndarray of shape (n,)
        ms: where the vectors are, the beginnings of samples.
    local : ndarray of shape (n, n_exponents)
        1/s: how each grew until the next sample; in the order of the orthonormal vectors, whose growths in a short run
        need not be those of `exponents`, which are sorted.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(30, sp.Theta(tau_m=10.0), outdegree=10, seed=1)
    >>> vectors = sp.lyapunov_spectrum(net, n_spikes=1000, covariant=True).covariant
    >>> type(vectors).__name__
    'CovariantVectors'
    """

    _cites = ("covariant",)

    times: Floats
    local: Floats
    _bases: list[Floats]
    _coefficients: list[Floats]

    def at(self, k: int) -> Floats:
        """The unit vectors at times[k]: ndarray of shape (rows, n_exponents)."""
        return self._bases[k] @ self._coefficients[k]

    def angle(self, k: int, first: slice | Sequence[int], second: slice | Sequence[int]) -> float:
        """Between the spans of two sets of vectors (slices or sequences of numbers) at times[k], in radians.

        As of the spans of those that expand and those that contract: 0 is a tangency.
        """
        from scipy.linalg import subspace_angles

        vectors = self._coefficients[k]  # in an orthonormal basis
        return float(np.min(subspace_angles(vectors[:, first], vectors[:, second])))

    @property
    def participation(self) -> Floats:
        """How many rows take part in each vector, averaged over times: ndarray of shape (n_exponents,)."""
        return np.mean([1.0 / np.sum(self.at(k) ** 4, axis=0) for k in range(len(self.times))], axis=0)

    def __repr__(self) -> str:
        return f"<CovariantVectors: {self.local.shape[1]} at each of {len(self.times)} times>"


def covariant_vectors(spectrum):
    """Of a LyapunovSpectrum whose run kept the bases and triangular factors of its samples."""
    from scipy.linalg import solve_triangular

    n = len(spectrum.bases)
    kept = n - n // 4
    if kept == n:
        raise ParameterError(f"covariant vectors need at least 4 samples, got {n}: run longer, or sample more often")
    m = spectrum.growth.shape[1]
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([n, m, 0xC1F])))
    vectors = np.triu(random.random((m, m)) - 0.5)
    vectors[np.diag_indices(m)] = 1.0
    vectors /= np.linalg.norm(vectors, axis=0)
    local, bases, coefficients = np.empty((n, m)), [], []
    for k in range(n - 1, -1, -1):
        basis, factor = spectrum.bases[k]
        if not np.all(np.diagonal(factor)):
            raise ParameterError(
                "there are no covariant vectors where spikes at the times of others make the map singular (-inf among "
                "the exponents); ask for fewer n_exponents"
            )
        vectors = solve_triangular(factor, vectors)
        length = np.linalg.norm(vectors, axis=0)
        vectors /= length
        local[k] = -np.log(length) / (spectrum.durations[k] * 1e-3)
        if k < kept:
            bases.append(basis)
            coefficients.append(vectors)
    return CovariantVectors(
        times=(spectrum.times - spectrum.durations)[:kept],
        local=local[:kept],
        _bases=bases[::-1],
        _coefficients=coefficients[::-1],
    )
