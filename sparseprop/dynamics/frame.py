"""Vectors along a trajectory: taken through its events, and made orthonormal or triangular now and then."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..engine._tangent import Tangent

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
        from scipy.linalg import lapack

        self.lapack = lapack
        share = -(-n // (8 * n_threads)) * 8
        self.tangent = Tangent(source, n, min(WIDTH, max(share, 8)))
        self.shape = self.tangent.n_rows, n
        self.n_threads = n_threads
        self.pool = None
        self.neurons = self.tangent.neurons  # where the rows of each begin; None if each has one

    def begin(self, engine, vectors, keeps_factor=False):
        """Go on with orthonormal vectors in the coordinates of measurement, shape (rows, n), at the present."""
        self.volume = 0.0  # the log of what the volume of all states has been multiplied by since then
        self.factor = np.eye(self.shape[1]) if keeps_factor else None  # how the vectors follow from the present ones
        self._start(engine, lambda gain: self.tangent.put(vectors, gain))

    def _start(self, engine, put):
        gain = self.tangent.begin(engine)
        put(gain)
        self._mark = _log_of(gain)

    def follow(self, part):
        """Take them through a tape."""
        tangent = self.tangent
        tangent.load(part)
        n_blocks = tangent.n_blocks
        if self.n_threads == 1 or n_blocks == 1:
            tangent.apply(0, n_blocks)
        else:
            if self.pool is None:
                self.pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="sparseprop")
            edges = [n_blocks * k // self.n_threads for k in range(self.n_threads + 1)]
            list(self.pool.map(tangent.apply, edges[:-1], edges[1:]))
        tangent.clear()

    def _taken(self, engine):
        """The vectors in the coordinates of measurement."""
        gain = self.tangent.measure(engine)
        self.volume += self.tangent.log_volume + _log_of(gain) - self._mark
        vectors = np.empty(self.shape, order="F")
        self.tangent.get(vectors, gain)
        return vectors

    def make_triangular(self, engine):
        """Another basis of the same nested spans; the logs of what each vector has grown by."""
        lu, pivots, _ = self.lapack.dgetrf(self._taken(engine), overwrite_a=1)
        order = _order(pivots, self.shape[0])
        self._start(engine, lambda gain: self.tangent.put_lower(lu, order, gain))
        self._multiply(np.triu(lu[: self.shape[1]]))
        return _logs(lu)

    def make_orthonormal(self, engine):
        """The orthonormal basis of the same nested spans, and the logs of the growth; the frame is to begin anew."""
        vectors = self._taken(engine)
        work = 64 * self.shape[1]
        qr, tau, _, _ = self.lapack.dgeqrf(vectors, lwork=work, overwrite_a=1)
        growth = _logs(qr)
        signs = np.where(np.diagonal(qr) < 0.0, -1.0, 1.0)
        self._multiply(np.triu(qr[: self.shape[1]]) * signs[:, None])
        vectors, _, _ = self.lapack.dorgqr(qr, tau, lwork=work, overwrite_a=1)
        vectors *= signs
        return vectors, growth

    def _multiply(self, triangle):
        if self.factor is not None:
            self.factor = triangle @ self.factor


def _logs(factor):
    """Of the sizes of the diagonal of a triangular factor."""
    with np.errstate(divide="ignore"):
        return np.log(np.abs(np.diagonal(factor)))


def _log_of(gain):
    with np.errstate(divide="ignore"):
        return float(np.log(np.abs(gain)).sum())


def _order(pivots, n):
    """Which row comes first, second, ... after the exchanges of an LU decomposition."""
    order = np.arange(n, dtype=np.int64)
    for k, other in enumerate(pivots):
        order[k], order[other] = order[other], order[k]
    return order
