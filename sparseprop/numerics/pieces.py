"""Functions of x >= 0 as polynomials on pieces that are found by arithmetic: octaves, each in 2^n equal parts."""

import math
from dataclasses import dataclass, field

import numpy as np

from .series import DEGREE, clenshaw, to_powers
from .wide import joined, product, where, wide, zeros

__all__ = ["Grid", "NotSmooth", "PiecesBuilder", "edges_of"]

# How they are stored: what is multiplied by the same in pairs.
ORDER = (0, 9, 1, 5, 2, 6, 3, 7, 4, 8)
TO_POWERS = wide(to_powers(DEGREE + 1))


class NotSmooth(Exception):
    """No polynomial on a piece is good enough; the place."""


@dataclass
class Grid:
    """A function of x >= 0 as polynomials on pieces.

    Attributes
    ----------
    lowest : int
        Piece 0 is [0, 2^lowest); the octave [2^e, 2^(e + 1)) is row ``e - lowest + 1`` of `octaves`.
    octaves : ndarray of int32, shape (n + 2, 2)
        The first piece of each, and by how many bits the 52 of a mantissa are to be shifted for the others. The first
        row is what is below, and the last row what is above all octaves.
    pieces : ndarray, shape (n, DEGREE + 3)
        Centre, one over half the width, and the coefficients of the powers of t = (x - centre) / half the width, in the
        order of :data:`ORDER`.
    """

    lowest: int
    octaves: np.ndarray
    pieces: np.ndarray
    rows: list = field(repr=False, default_factory=list)

    def __post_init__(self):
        self.rows = self.pieces.tolist()
        self.starts = self.octaves.tolist()

    def index(self, x):
        """The piece of x."""
        if x == 0.0:
            return 0
        mantissa, exponent = math.frexp(x)
        first, shift = self.starts[min(max(exponent - self.lowest, 0), len(self.starts) - 1)]
        return first + (int(math.ldexp(mantissa, 53)) - (1 << 52) >> shift)

    def at(self, x):
        """The value at x."""
        c = self.rows[self.index(x)]
        t = (x - c[0]) * c[1]
        t2 = t * t
        t4 = t2 * t2
        low = (c[4] + c[6] * t) + (c[8] + c[10] * t) * t2
        high = (c[5] + c[7] * t) + (c[9] + c[11] * t) * t2
        return c[2] + t * ((low + high * t4) + c[3] * (t4 * t4))

    def values(self, x):
        """`at` for an array."""
        x = np.asarray(x, float)
        mantissa, exponent = np.frexp(x)
        octave = np.where(x == 0.0, 0, np.clip(exponent - self.lowest, 0, len(self.octaves) - 1))
        first, shift = self.octaves[octave].T.astype(np.int64)
        place = first + np.where(x == 0.0, 0, np.ldexp(mantissa, 53).astype(np.int64) - (1 << 52) >> shift)
        c = self.pieces[place].T
        t = (x - c[0]) * c[1]
        total = np.zeros_like(t)
        for k in range(DEGREE, 0, -1):
            total = (total + c[2 + ORDER.index(k)]) * t
        return c[2] + total


class PiecesBuilder:
    """Pieces of one function, collected octave by octave, in either order."""

    def __init__(self):
        self.cell = None  # (lo, hi, coefficients)
        self.octaves = {}  # exponent: (divisions, lows, highs, coefficients, [more coefficients])

    def grid(self, lowest, which=3):
        """The grid of what was collected, from exponent `lowest`; the piece below is constant if there is none."""
        pieces = []
        if self.cell is not None:
            pieces.append(rows_of(*self.cell[:2], self.cell[which - 1]))
        else:
            edge = self.octaves[lowest]
            at = clenshaw(edge[which][:1], [-1.0])
            pieces.append(rows_of(zeros(1), edge[1][:1], at[:, None]))
        octaves = [(0, 52)]
        n = 1
        for e in range(lowest, max(self.octaves, default=lowest - 1) + 1):
            divisions, lows, highs = self.octaves[e][:3]
            octaves.append((n, 52 - divisions))
            pieces.append(rows_of(lows, highs, self.octaves[e][which]))
            # The last octave may end early: what is beyond by rounding is of its last piece.
            missing = (1 << divisions) - len(lows)
            pieces.append(pieces[-1][-1:].repeat(missing, axis=0))
            n += 1 << divisions
        octaves.append((n - 1, 52))
        return Grid(lowest, np.array(octaves, np.int32), joined(pieces).astype(float))


def rows_of(lows, highs, coefficients):
    """Pieces in powers, of Chebyshev coefficients that are good enough when cut at DEGREE."""
    lows, highs = wide(lows).reshape(-1), wide(highs).reshape(-1)
    kept = zeros((len(lows), DEGREE + 1))
    n = min(DEGREE + 1, coefficients.shape[1])
    kept[:, :n] = coefficients[:, :n]
    powers = product(kept, TO_POWERS)
    # The centre as the double that it will be, so that the piece belongs to it.
    centre, half = (lows + highs) / 2, (highs - lows) / 2
    shift = (centre.astype(float) - centre) / half
    if (shift != 0.0).any():
        powers = where((shift != 0.0)[:, None], _shifted(powers, shift), powers)
    return joined([centre[:, None], (1 / half)[:, None], powers[:, ORDER]], axis=1)


def _shifted(powers, shift):
    """Coefficients of the polynomials of t + shift."""
    columns = [powers[:, k] for k in range(DEGREE + 1)]
    for i in range(DEGREE):
        for k in range(DEGREE - 1, i - 1, -1):
            columns[k] = columns[k] + shift * columns[k + 1]
    return joined([column[:, None] for column in columns], axis=1)


def edges_of(low, high, divisions, end):
    """The pieces of [low, high) in 2^divisions parts that begin before `end`, the last one cut there."""
    parts = 1 << divisions
    edges = low + (high - low) * np.arange(parts + 1) / parts
    lows = edges[:-1][edges[:-1] < end]
    return lows, np.minimum(edges[1 : len(lows) + 1], end)
