"""Vectors along a trajectory: taken through its events, and made orthonormal or triangular now and then."""

import math

import numpy as np

from ..engine._tangent import Tangent, product
from ..numerics._functions import log_many

__all__ = ["Frame"]

WIDTH = 64  # columns that are taken through a plan together; they stay in a core's cache


class Frame:
    """n vectors of what all neurons are off by.

    Their span is all that matters for exponents. It goes through events as it is. When the vectors have come to lie in
    nearly one direction it gets another basis: by an LU decomposition with row pivoting, which is cheap, or by a QR
    decomposition, where an orthonormal one is asked for. Both keep the span of the first k vectors for each k, and the
    diagonals of their triangular factors multiply to the growth of its volume, up to that of the last L; so the growth
    from one orthonormal frame to the next is the same as with QR decompositions alone.

    Parameters
    ----------
    source : EngineInput
    n : int
        Of vectors.
    n_threads : int
        Which share out the columns; the bits do not depend on it.
    """

    def __init__(self, source, n, n_threads):
        self.tangent = Tangent(source, n, min(WIDTH, -(-n // 8) * 8))
        self.shape = self.tangent.n_rows, n
        self.n_threads = n_threads
        self.neurons = self.tangent.neurons  # where the rows of each begin; None if each has one

    def orthonormal(self, vectors):
        """The orthonormal basis of the nested spans of any vectors, shape (rows, n); the frame is to begin anew."""
        ones = np.ones(self.shape[0])
        self.tangent.put(vectors, ones)
        self.tangent.make_orthonormal(ones, None, self.n_threads)
        return self._vectors(ones)

    def begin(self, engine, vectors, keeps_factor=False):
        """Go on with orthonormal vectors in the coordinates of measurement, shape (rows, n), at the present."""
        self.volume = 0.0  # the log of what the volume of all states has been multiplied by since then
        padded = self.tangent.padded
        self._factor = np.eye(padded) if keeps_factor else None  # how the vectors follow from the present ones
        self._start(engine, lambda gain: self.tangent.put(vectors, gain))

    @property
    def factor(self):
        """The triangular factor of all decompositions since :meth:`begin`, if it is kept: the last vectors times it are
        what has become of the first ones."""
        n = self.shape[1]
        return None if self._factor is None else self._factor[:n, :n].copy()

    def _start(self, engine, put):
        gain = self.tangent.begin(engine)
        put(gain)
        self._mark = _log_of(gain)

    def follow(self, part):
        """Take them through a tape."""
        self.tangent.load(part)
        self.tangent.apply(self.n_threads)
        self.tangent.clear()

    def _measure(self, engine):
        """What a unit of each row comes to in the coordinates of measurement."""
        gain = self.tangent.measure(engine)
        self.volume += self.tangent.log_volume + _log_of(gain) - self._mark
        return gain

    def _vectors(self, gain):
        vectors = np.empty(self.shape)
        self.tangent.get(vectors, gain)
        return vectors

    def make_triangular(self, engine):
        """Another basis of the same nested spans; the logs of what each vector has grown by."""
        diagonal = self._decomposed(self.tangent.make_lower, self._measure(engine))
        self._start(engine, lambda gain: self.tangent.put_back(gain, self.n_threads))
        return log_many(np.abs(diagonal))

    def make_orthonormal(self, engine):
        """The orthonormal basis of the same nested spans, and the logs of the growth; the frame is to begin anew."""
        diagonal = self._decomposed(self.tangent.make_orthonormal, self._measure(engine))
        return self._vectors(np.ones(self.shape[0])), log_many(diagonal)

    def _decomposed(self, make, gain):
        """The diagonal of the triangular factor of a decomposition."""
        if self._factor is None:
            return make(gain, None, self.n_threads)
        triangle = np.zeros_like(self._factor)
        diagonal = make(gain, triangle, self.n_threads)
        self._factor = product(triangle, self._factor, self.shape[1])
        return diagonal


def _log_of(gain):
    return math.fsum(log_many(np.abs(gain)))
