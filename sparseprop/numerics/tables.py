"""Tables of one-dimensional flows without a closed form: the time along the flow as a function of V, and back.

A neuron with ``dv/dt = F(v)`` moves along one of the intervals between the zeros of F. Each interval is cut into an
upstream and a downstream half; each half has an anchor (a zero of F, the threshold, or where both meet), a distance z
>= 0 of v from it, and a time x along the flow. A table has x(z) and z(x) as polynomials on pieces that are found by
arithmetic: octaves of the argument, each divided into as many equal pieces as it needs. Behind the last octave there
is the exponential flow near a zero of F, or that of a leak far below.

The tables are made in extended precision and then checked in double precision against a quadrature that shares nothing
with them but F. docs/numerics.md has the mathematics.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ParameterError

__all__ = ["DEGREE", "MAX_HALVES", "MAX_TABLES", "TOLERANCE", "EIFDrift", "Half", "NumericalDrift", "Table", "table_of"]

# Of the polynomials; a piece is its centre, the inverse of half its width, and DEGREE + 1 coefficients; see _table.pxd.
DEGREE = 9
# How they are stored: what is multiplied by the same in pairs.
ORDER = (0, 9, 1, 5, 2, 6, 3, 7, 4, 8)
MAX_HALVES = 32
# Of times, relative to the time to the half's origin and the time in which z changes by itself.
TOLERANCE = 2.0**-46
# Different tables of one model.
MAX_TABLES = 200
# No distance from a zero of F is less; a neuron at the zero is taken to be there.
SMALLEST = 2.0**-200
# Nor, of one that has decayed, is a distance less than this for derivatives, which are quotients of such distances.
TINY = 1e-250
# Where the exponential flow near a zero of F begins, as a part of the half; and the linear one far below.
TAIL_BITS = 56
# Of the default range of a numerical drift below its threshold, relative to V_th - V_reset.
RANGE_BITS = 40
# Far below the threshold a time in the table may be so many times the one in which v changes by itself: so many
# roundings are what TOLERANCE allows.
MOST_LOST = 128.0
# An octave in more pieces than that is not smooth.
MOST_DIVISIONS = 9

LONG = np.longdouble
EPS = np.finfo(LONG).eps
NODES = 22
PI = 4 * np.arctan(LONG(1))


def _chebyshev():
    """Nodes in (-1, 1); values there to coefficients; coefficients of degree <= DEGREE to powers."""
    angles = (np.arange(NODES, dtype=LONG) + LONG(0.5)) * (PI / NODES)
    to_coefficients = np.cos(np.outer(np.arange(NODES, dtype=LONG), angles)) * (LONG(2) / NODES)
    to_coefficients[0] /= 2
    powers = np.zeros((DEGREE + 1, DEGREE + 1), LONG)
    powers[0, 0] = powers[1, 1] = 1
    for k in range(2, DEGREE + 1):
        powers[k, 1:] = 2 * powers[k - 1, :-1]
        powers[k] -= powers[k - 2]
    return np.cos(angles), to_coefficients, powers


T_NODES, TO_COEFFICIENTS, TO_POWERS = _chebyshev()


def _coefficients(values):
    """Chebyshev coefficients, (pieces, NODES), of values at the nodes."""
    return values @ TO_COEFFICIENTS.T


def _integral(coefficients):
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


def _clenshaw(coefficients, t):
    """The series of one piece for each t; coefficients (len(t), n)."""
    one = two = np.zeros_like(t)
    for k in range(coefficients.shape[1] - 1, 0, -1):
        one, two = coefficients[:, k] + 2 * t * one - two, one
    return coefficients[:, 0] + t * one - two


# Drifts -----------------------------------------------------------------------------------------------------------


class EIFDrift:
    """``F(v) = exp(v) - v + margin - 1`` in v = (V - V_T) / Delta_T; margin is what the drive exceeds the rheobase by.

    Written so that it loses no digits near the saddle-node at v = 0, margin = 0.
    """

    scale = 1.0
    noise = 4 * EPS

    def __init__(self, margin, v_th):
        self.margin, self.v_th = LONG(margin), v_th
        # Below it the exponential is nothing beside a rounding of v.
        self.v_far = float(min(-64.0, -64.0 + min(float(margin), 0.0), v_th - 64.0))
        self.leak_to = float(self.margin - 1)

    @staticmethod
    def _curvature(v):
        """exp(v) - 1 - v."""
        small = np.abs(v) < 0.5
        with np.errstate(over="ignore"):
            value = np.expm1(v) - v
        w = np.where(small, v, 0)
        term = total = w * w / 2
        for k in range(3, 20):
            term = term * w / k
            total = total + term
        return np.where(small, total, value)

    def __call__(self, v):
        return self._curvature(np.asarray(v, LONG)) + self.margin

    def near(self, zero, z):
        """F(zero + z), to a relative precision."""
        z = np.asarray(z, LONG)
        return np.expm1(zero) * z + np.exp(zero) * self._curvature(z)

    def slope(self, zero):
        """F' at a zero."""
        return np.expm1(zero)

    def zeros(self):
        """All zeros of F below v_th, ascending."""
        if self.margin >= 0.0:
            return []
        found = []
        for v, side in ((self.margin - 1, -1), (np.log(2 - 2 * self.margin) + 2 * np.sqrt(-2 * self.margin), 1)):
            # F is convex, and positive here: Newton's method cannot step over the zero.
            for _ in range(200):
                step = self(v) / np.expm1(v)
                v = v - step
                if np.abs(step) <= EPS * np.abs(v) or v * side <= 0:
                    break
            if v < self.v_th:
                found.append(v)
        return found

    def bottleneck(self):
        """Where F is smallest."""
        return 0.0

    def exact(self, neuron):
        """F in the arithmetic of a neuron's parameters."""
        return lambda v: neuron.a.mp.expm1(v) - v + neuron.drive


class NumericalDrift:
    """A drift in the user's unit, 1 / tau_m per unit of time: a vectorised function plus a constant.

    Parameters
    ----------
    function : callable
        Of an array (of numpy's long doubles, where the function can take them).
    constant : float
    v_th, v_min : float
        The range; `v_min` None for 2^40 times `scale` below `v_th`.
    scale : float
        A size in which the function changes.
    """

    leak_to = None

    def __init__(self, function, constant, v_th, v_min, scale):
        self.function, self.constant = function, LONG(constant)
        self.v_th, self.scale = v_th, scale
        self.v_far = v_th - scale * 2.0**RANGE_BITS if v_min is None else v_min
        self._near: dict[Any, Any] = {}
        self._narrow = None
        self.noise = 4 * EPS
        self._evaluate(np.array([v_th], LONG))

    def _evaluate(self, v):
        try:
            with np.errstate(all="ignore"):
                values = self.function(v)
        except Exception as error:
            raise ParameterError(
                f"NumericalIF.drift must take an array of voltages, got {type(error).__name__}: {error}"
            ) from error
        values = np.asarray(values)
        if values.dtype.kind not in "iuf" or values.shape not in ((), v.shape):
            raise ParameterError(
                f"NumericalIF.drift must return one real number for each voltage, got dtype {values.dtype} and shape "
                f"{values.shape} for an array of shape {v.shape}"
            )
        if values.dtype.kind == "f" and np.finfo(values.dtype).eps > EPS:
            self.noise = max(self.noise, 8 * LONG(np.finfo(values.dtype).eps))
        values = np.broadcast_to(values, v.shape).astype(LONG) + self.constant
        if not np.isfinite(values).all():
            at = float(v[int(np.argmin(np.isfinite(values)))])
            raise ParameterError(
                f"NumericalIF.drift must be finite from V_min to V_th, got {values[~np.isfinite(values)][0]} at V = "
                f"{at!r}; give a V_min above what the drift is made for, or another drift"
            )
        return values

    def __call__(self, v):
        v = np.asarray(v, LONG)
        return self._evaluate(v.ravel()).reshape(v.shape)

    def _grid(self):
        """Voltages that zeros are looked for between."""
        span = LONG(self.v_th) - LONG(self.v_far)
        below = [np.linspace(LONG(0), min(LONG(8) * self.scale, span), 8001)]
        reach = LONG(8) * self.scale
        while reach < span:
            below.append(np.linspace(reach, min(2 * reach, span), 65)[1:])
            reach *= 2
        return (LONG(self.v_th) - np.concatenate(below))[::-1]

    def zeros(self):
        """All zeros of F below v_th, ascending, that 1000 steps for each `scale` can tell apart."""
        grid = self._grid()
        values = self(grid)
        found = []
        for k in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0):
            low, high = grid[k], grid[k + 1]
            sign = np.sign(values[k])
            for _ in range(140):
                middle = (low + high) / 2
                if not low < middle < high:
                    break
                value = self(np.array([middle]))[0]
                if np.sign(value) == sign:
                    low = middle
                else:
                    high = middle
            found.append((low + high) / 2)
        found += [grid[k] for k in np.flatnonzero(values[:-1] == 0.0)]
        if np.abs(values[-1]) <= 8 * self.noise * np.abs(values[-8001:]).max():
            # The threshold is a fixed point: from below it is approached and never reached.
            found = [v for v in found if self.v_th - v > 1e-9 * self.scale] + [LONG(self.v_th)]
        return sorted(v for v in found if v <= self.v_th)

    def bottleneck(self):
        """Where F is smallest in size."""
        if self._narrow is None:
            grid = self._grid()
            k = int(np.argmin(np.abs(self(grid))))
            low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
            for _ in range(60):
                inner = low + (high - low) * np.array([LONG(1) / 3, LONG(2) / 3])
                first, second = np.abs(self(inner))
                low, high = (low, inner[1]) if first < second else (inner[0], high)
            self._narrow = float((low + high) / 2)
        return self._narrow

    def _series(self, zero):
        """Radius and coefficients of F(zero + r y) = y (c_0 + c_1 y + ...), from values that cancel little."""
        key = float(zero), float(zero - LONG(float(zero)))
        if key in self._near:
            return self._near[key]
        radius = 16 * LONG(self.scale)
        for _ in range(80):
            # A radius that reaches over the threshold is all right: F is smooth there, or it is made smaller.
            try:
                series = _coefficients(self(zero + radius * T_NODES)[None, :])[0]
            except ParameterError:
                radius /= 2
                continue
            # Not so large that F is much larger there than its slope at the zero says, which costs digits.
            linear = np.abs((series[1::2] * np.arange(1, NODES, 2) * LONG(-1) ** np.arange(NODES // 2)).sum())
            if np.abs(series[-3:]).max() <= 2 * self.noise * np.abs(series).max() <= 16 * self.noise * linear:
                break
            radius /= 2
        else:
            raise ParameterError(
                f"NumericalIF.drift must be smooth where it is zero, and at V = {float(zero)!r} it is not"
            )
        powers = np.zeros((NODES, NODES), LONG)
        powers[0, 0] = powers[1, 1] = 1
        for k in range(2, NODES):
            powers[k, 1:] = 2 * powers[k - 1, :-1]
            powers[k] -= powers[k - 2]
        series[np.abs(series) < self.noise * np.abs(series).max() / 8] = 0.0
        self._near[key] = radius, (series[:, None] * powers).sum(axis=0)[1:]
        return self._near[key]

    def near(self, zero, z):
        """F(zero + z), to a relative precision."""
        z = np.asarray(z, LONG)
        radius, series = self._series(zero)
        close = np.abs(z) < radius / 8
        y = np.where(close, z, 0) / radius
        total = np.zeros_like(y)
        for c in series[::-1]:
            total = total * y + c
        values = total * y
        if not close.all():
            values = np.where(close, values, self(zero + np.where(close, radius, z)))
        return values

    def slope(self, zero):
        """F' at a zero."""
        radius, series = self._series(zero)
        return series[0] / radius

    def exact(self, neuron):
        """F in the arithmetic of a neuron's parameters."""
        return lambda v: self.function.exact(v, neuron.a.mp) + neuron.drive


# Pieces -----------------------------------------------------------------------------------------------------------


class _NotSmooth(Exception):
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


class _Builder:
    """Pieces of one function, collected octave by octave, in either order."""

    def __init__(self):
        self.cell = None  # (lo, hi, coefficients)
        self.octaves = {}  # exponent: (divisions, lows, highs, coefficients, [more coefficients])

    def grid(self, lowest, which=3):
        """The grid of what was collected, from exponent `lowest`; the piece below is constant if there is none."""
        pieces = []
        if self.cell is not None:
            pieces.append(_rows(*self.cell[:2], self.cell[which - 1]))
        else:
            edge = self.octaves[lowest]
            at = _clenshaw(edge[which][:1], np.array([LONG(-1)]))
            pieces.append(_rows(np.zeros(1, LONG), edge[1][:1], at[:, None]))
        octaves = [(0, 52)]
        n = 1
        for e in range(lowest, max(self.octaves, default=lowest - 1) + 1):
            divisions, lows, highs = self.octaves[e][:3]
            octaves.append((n, 52 - divisions))
            pieces.append(_rows(lows, highs, self.octaves[e][which]))
            # The last octave may end early: what is beyond by rounding is of its last piece.
            missing = (1 << divisions) - len(lows)
            pieces.append(np.repeat(pieces[-1][-1:], missing, axis=0))
            n += 1 << divisions
        octaves.append((n - 1, 52))
        return Grid(lowest, np.array(octaves, np.int32), np.ascontiguousarray(np.concatenate(pieces).astype(float)))


def _rows(lows, highs, coefficients):
    """Pieces in powers, of Chebyshev coefficients that are good enough when cut at DEGREE."""
    lows, highs = np.atleast_1d(lows), np.atleast_1d(highs)
    kept = np.zeros((len(lows), DEGREE + 1), LONG)
    n = min(DEGREE + 1, coefficients.shape[1])
    kept[:, :n] = coefficients[:, :n]
    powers = kept @ TO_POWERS
    # The centre as the double that it will be, so that the piece belongs to it.
    centre, half = (lows + highs) / 2, (highs - lows) / 2
    shift = (centre.astype(float).astype(LONG) - centre) / half
    for k in range(len(lows)):
        if shift[k] != 0.0:
            powers[k] = _shifted(powers[k], shift[k])
    return np.concatenate([centre[:, None], (1 / half)[:, None], powers[:, ORDER]], axis=1)


def _shifted(powers, shift):
    """Coefficients of the polynomial of t + shift."""
    result = powers.copy()
    for i in range(len(powers) - 1):
        for k in range(len(powers) - 2, i - 1, -1):
            result[k] += shift * result[k + 1]
    return result


def _edges(low, high, divisions, end):
    """The pieces of [low, high) in 2^divisions parts that begin before `end`, the last one cut there."""
    parts = 1 << divisions
    edges = low + (high - low) * np.arange(parts + 1, dtype=LONG) / parts
    lows = edges[:-1][edges[:-1] < end]
    return lows, np.minimum(edges[1 : len(lows) + 1], end)


# Halves -----------------------------------------------------------------------------------------------------------


@dataclass
class Half:
    """A part of the line of v in which the flow has one direction.

    Attributes
    ----------
    anchor, sign : float
        ``v = anchor + sign z``.
    low, high : float
        The range of v.
    rising : bool
        Whether x grows with time (from the origin), or is the time to it.
    next : int
        The half that the flow enters at the end, or -1.
    length : float
        x at that end, for a rising half; infinite where there is none.
    entry : float
        x of the next half there.
    spikes : bool
        Whether x is the time to threshold, and there is no next.
    to_x, to_z, to_W, to_F : Grid
        x(z), z(x), the integral of dz / F^2 from the origin, and |F|.
    z_tail, x_tail, W_tail, rate : float
        Nearer than `z_tail`, v decays (or grows) with `rate`; 0 without such a tail.
    z_far, leak : float
        Beyond `z_far`, v decays with rate 1 to the voltage for which ``z = -leak``; infinite without such a tail.
    W_far : float
        What `to_W` is at `z_far`.
    whole, W_whole : float
        x and to_W at the end that is not the origin, where they are finite.
    entry_W : float
        to_W of the next half where it is entered.
    after : float
        The time from the end of the half to threshold, infinite if it is never reached.
    direction : float
        1 where v rises with time, -1 where it falls.
    error : float
        Found by the check, see :data:`TOLERANCE`.
    lost : float
        Of halves far below, by how many roundings their times are off where they cancel most, see :data:`MOST_LOST`.
    """

    anchor: float
    sign: float
    low: float
    high: float
    rising: bool
    spikes: bool
    to_x: Any = None
    to_z: Any = None
    to_W: Any = None
    to_F: Any = None
    next: int = -1
    length: float = math.inf
    entry: float = 0.0
    z_tail: float = 0.0
    x_tail: float = math.inf
    W_tail: float = 0.0
    rate: float = 0.0
    z_far: float = math.inf
    leak: float = 0.0
    whole: float = math.inf
    W_whole: float = math.inf
    entry_W: float = 0.0
    after: float = math.inf
    direction: float = 1.0
    error: float = 0.0
    lost: float = 0.0

    # The two functions below are those of _table.pxd, operation by operation.

    def x_of(self, z):
        """The time that belongs to a distance."""
        if z < self.z_tail:
            return self.x_tail + math.log(self.z_tail / max(z, SMALLEST)) / self.rate
        if z > self.z_far:
            return -math.log((z + self.leak) / (self.z_far + self.leak))
        return max(self.to_x.at(max(z, 0.0)), 0.0)

    def z_of(self, x):
        """The distance that belongs to a time."""
        if x > self.x_tail:
            return self.z_tail * math.exp((self.x_tail - x) * self.rate)
        if x < 0.0 and self.z_far < math.inf:
            return (self.z_far + self.leak) * math.exp(-x) - self.leak
        return self.to_z.at(max(x, 0.0))

    def xs(self, z):
        """`x_of` for an array."""
        z = np.asarray(z, float)
        with np.errstate(all="ignore"):
            tail = self.x_tail + np.log(self.z_tail / np.maximum(z, SMALLEST)) / (self.rate or 1.0)
            far = -np.log((z + self.leak) / (self.z_far + self.leak))
        inside = np.clip(z, max(self.z_tail, 0.0), self.z_far)
        return np.where(z < self.z_tail, tail, np.where(z > self.z_far, far, np.maximum(self.to_x.values(inside), 0.0)))

    def zs(self, x):
        """`z_of` for an array."""
        x = np.asarray(x, float)
        inside = np.clip(x, 0.0, self.x_tail)
        with np.errstate(all="ignore"):
            tail = self.z_tail * np.exp((self.x_tail - x) * self.rate) if self.rate else np.zeros_like(x)
            far = (self.z_far + self.leak) * np.exp(-x) - self.leak if math.isfinite(self.z_far) else np.zeros_like(x)
        return np.where(x > self.x_tail, tail, np.where(x < 0.0, far, self.to_z.values(inside)))


class _HalfBuilder:
    """Makes the grids of a half.

    Parameters
    ----------
    half : Half
    speed : callable
        |F| as a function of z, vectorised, in extended precision.
    z_end : float
        The largest distance in the table.
    from_end : bool
        Whether times are counted from z_end (else from z = 0).
    z_low : float
        The smallest distance in the table; 0, or the beginning of a tail.
    beyond : float
        For halves far below, how far below the middle they begin.
    """

    def __init__(self, half, drift, speed, z_end, from_end, z_low, beyond=None):
        self.half, self.drift, self.speed = half, drift, speed
        self.z_end, self.from_end, self.z_low = LONG(z_end), from_end, LONG(z_low)
        self.divisions = 0

        # The piece that begins at z = 0 is good to a rounding of its far end, so that must be where v has such ones
        # anyway. And a longer piece, of a drift that is nearly constant, could miss all that is near the threshold.
        self.beyond = beyond
        self.scale = max(drift.scale, beyond or 0.0)
        self.highest = math.floor(math.log2(self.scale))

    def _fit(self, lows, highs, X, W):
        """Times on pieces, continuing from (X, W): coefficients of both, their values at the end, and whether it is
        good."""
        half = (highs - lows) / 2
        z = ((lows + highs) / 2)[:, None] + half[:, None] * T_NODES[None, :]
        speed = self.speed(z)
        if not (speed > 0.0).all():
            raise _NotSmooth(float(z.flat[int(np.argmin(speed))]))
        g = _coefficients(1 / speed)
        w = _coefficients(1 / (speed * speed))
        series = _integral(g * half[:, None])
        W_series = _integral(w * half[:, None])
        F_series = _coefficients(speed)
        total, W_total = series.sum(axis=1), W_series.sum(axis=1)
        if self.from_end:
            # Times grow with decreasing z.
            X_high = X + np.concatenate([np.cumsum(total[::-1])[::-1][1:], [LONG(0)]])
            W_high = W + np.concatenate([np.cumsum(W_total[::-1])[::-1][1:], [LONG(0)]])
            series, W_series = -series, -W_series
            series[:, 0] += X_high + total
            W_series[:, 0] += W_high + W_total
            largest, end, W_largest, W_end = (
                X_high + total,
                X_high[0] + total[0],
                W_high + W_total,
                W_high[0] + W_total[0],
            )
        else:
            X_low = X + np.concatenate([[LONG(0)], np.cumsum(total)[:-1]])
            W_low = W + np.concatenate([[LONG(0)], np.cumsum(W_total)[:-1]])
            series[:, 0] += X_low
            W_series[:, 0] += W_low
            largest, end, W_largest, W_end = (
                X_low + total,
                X_low[-1] + total[-1],
                W_low + W_total,
                W_low[-1] + W_total[-1],
            )
        noise = self.drift.noise
        good = np.abs(series[:, DEGREE + 1 :]).sum(axis=1) <= (1e-16 + noise) * largest
        good &= np.abs(g[:, -2:]).max(axis=1) * half <= (2 * noise + EPS) * largest
        good &= np.abs(W_series[:, DEGREE + 1 :]).sum(axis=1) <= 1e-12 * W_largest
        good &= np.abs(F_series[:, DEGREE + 1 :]).sum(axis=1) <= (1e-14 + noise) * speed.max(axis=1)
        return (series, W_series, F_series), end, W_end, bool(good.all())

    def times(self):
        """Fill in to_x and to_W."""
        build = self.build = _Builder()
        top = int(np.ceil(np.log2(self.z_end))) - 1
        X = W = LONG(0)
        if self.from_end:
            bottom = int(np.floor(np.log2(self.z_low))) if self.z_low > 0.0 else None
            e = top
            while bottom is None or e >= bottom:
                if bottom is None and e < self.highest and self._cell(e + 1, X, W):
                    break
                X, W = self._octave(e, X, W)
                e -= 1
                if bottom is None and e < min(top, self.highest) - 80:
                    raise _NotSmooth(0.0)
            lowest = e + 1
            if bottom is None:
                X, W = self.cell_end
        else:
            lowest = highest = min(top + 1, self.highest)
            while not self._cell(lowest, X, W):
                lowest -= 1
                if lowest < highest - 80:
                    raise _NotSmooth(0.0)
            X, W = self.cell_end
            for e in range(lowest, top + 1):
                X, W = self._octave(e, X, W)
        self.X, self.W, self.lowest = X, W, lowest
        half = self.half
        half.to_x, half.to_W, half.to_F = build.grid(lowest), build.grid(lowest, 4), build.grid(lowest, 5)
        self._flatten()

    def _cell(self, e, X, W):
        """Whether one piece will do for [0, 2^e)."""
        low, high = np.zeros(1, LONG), np.array([min(LONG(2) ** e, self.z_end)])
        series, end, W_end, good = self._fit(low, high, X, W)
        if good:
            self.build.cell = low, high, *series
            self.cell_end = end, W_end
        return good

    def _octave(self, e, X, W):
        """The pieces of [2^e, 2^(e + 1))."""
        low = LONG(2) ** e
        for divisions in range(self.divisions, MOST_DIVISIONS + 1):
            lows, highs = _edges(low, 2 * low, divisions, self.z_end)
            series, end, W_end, good = self._fit(lows, highs, X, W)
            if good:
                # Neighbours need about as many.
                self.divisions = max(divisions - 1, 0)
                self.build.octaves[e] = divisions, lows, highs, *series
                return end, W_end
        raise _NotSmooth(float(low))

    def _flatten(self):
        """All pieces of to_x in ascending order, in extended precision, to invert them."""
        build = self.build
        parts = [] if build.cell is None else [build.cell[:3]]
        parts += [build.octaves[e][1:4] for e in sorted(build.octaves)]
        self.lows, self.highs, self.series = (np.concatenate(column) for column in zip(*parts, strict=True))
        ends = np.full(len(self.lows), LONG(1))
        x_low, x_high = _clenshaw(self.series, -ends), _clenshaw(self.series, ends)
        if self.from_end:
            self.x_edges = np.concatenate([x_high[::-1], x_low[:1]])
        else:
            self.x_edges = np.concatenate([x_low, x_high[-1:]])

    def distance(self, x):
        """z at times x, in extended precision: Newton's method on the series of to_x."""
        n = len(self.lows)
        place = np.clip(np.searchsorted(self.x_edges, x, side="right") - 1, 0, n - 1)
        piece = n - 1 - place if self.from_end else place
        series, low, high = self.series[piece], self.lows[piece], self.highs[piece]
        half, centre = (high - low) / 2, (high + low) / 2
        part = (x - self.x_edges[place]) / (self.x_edges[place + 1] - self.x_edges[place])
        t = 2 * part - 1
        direction = 1
        if self.from_end:
            t, direction = -t, -1
        for _ in range(12):
            step = (_clenshaw(series, t) - x) * self.speed(np.maximum(centre + half * t, SMALLEST)) * direction / half
            t = np.clip(t - step, LONG(-1.01), LONG(1.01))
            if (np.abs(step) <= 8 * EPS).all():
                break
        return centre + half * t

    def _fit_back(self, lows, highs):
        """Distances on pieces of times: coefficients, and whether they are good."""
        x = ((lows + highs) / 2)[:, None] + ((highs - lows) / 2)[:, None] * T_NODES[None, :]
        z = self.distance(x.ravel()).reshape(x.shape)
        series = _coefficients(z)
        # No better than a rounding in the lowest piece that begins at z = 0.
        largest = np.maximum(np.abs(z).max(axis=1), self.z_low or LONG(2) ** self.lowest)
        good = np.abs(series[:, DEGREE + 1 :]).sum(axis=1) <= (1e-16 + 4 * self.drift.noise) * largest
        return series, bool(good.all())

    def distances(self):
        """Fill in to_z."""
        end = self.X
        build = _Builder()
        top = int(np.ceil(np.log2(end))) - 1
        lowest = highest = top + 1
        if not self.from_end:
            # As for `highest`: the first piece of times ends where that of distances may.
            at = min(LONG(2) ** self.highest, self.z_end)
            lowest = highest = min(top + 1, math.floor(math.log2(self.half.xs(at))))
        while True:
            low, high = np.zeros(1, LONG), np.array([min(LONG(2) ** lowest, end)])
            series, good = self._fit_back(low, high)
            if good:
                break
            lowest -= 1
            if lowest < highest - 160:
                raise _NotSmooth(0.0)
        build.cell = low, high, series
        divisions = 0
        for e in range(lowest, top + 1):
            low = LONG(2) ** e
            for parts in range(max(divisions - 1, 0), MOST_DIVISIONS + 1):
                lows, highs = _edges(low, 2 * low, parts, end)
                series, good = self._fit_back(lows, highs)
                if good:
                    divisions = parts
                    build.octaves[e] = divisions, lows, highs, series
                    break
            else:
                raise _NotSmooth(float(self.distance(np.array([low]))[0]))
        self.half.to_z = build.grid(lowest)

    def check(self):
        """The largest error of the half in double precision, against Gauss-Legendre quadrature, and of the way back."""
        rng = np.random.default_rng(0)
        low = max(float(self.z_low), float(self.z_end) * 2.0**-TAIL_BITS)
        logs = np.exp(rng.uniform(math.log(low), math.log(float(self.z_end)), 200))
        z = np.unique(np.concatenate([logs, rng.uniform(low, float(self.z_end), 100), [float(self.z_end)]]))
        z = z[(z >= low) & (z <= float(self.z_end))]
        begin = np.concatenate([[self.z_low], z[:-1].astype(LONG)])
        if self.z_low == 0.0:
            # From 0 to the first one F is nearly constant, or the time is nothing.
            begin[0] = 0
        t, weights = _legendre()
        edges_low, edges_high, owner = [], [], []
        for k in range(len(z)):
            # No panel longer than an eighth of its distance, or of that in which the time changes by much.
            parts = 1 + int(16 * (z[k] - float(begin[k])) / max(float(begin[k]), z[k] / 16))
            edge = begin[k] + (LONG(z[k]) - begin[k]) * np.arange(parts + 1, dtype=LONG) / parts
            edges_low.append(edge[:-1])
            edges_high.append(edge[1:])
            owner.append(np.full(parts, k))
        lows, highs, owner = np.concatenate(edges_low), np.concatenate(edges_high), np.concatenate(owner)
        at = ((lows + highs) / 2)[:, None] + ((highs - lows) / 2)[:, None] * t[None, :]
        panels = ((1 / self.speed(at)) * weights).sum(axis=1) * (highs - lows) / 2
        steps = np.zeros(len(z), LONG)
        np.add.at(steps, owner, panels)
        # Summed from the origin, so that short times keep their digits.
        exact = np.cumsum(np.append(steps[1:], 0)[::-1])[::-1] if self.from_end else np.cumsum(steps)
        # What belongs to a rounding in the lowest piece, which begins at 0, is one of its size.
        size = z if self.z_low > 0.0 else np.maximum(z, min(2.0**self.lowest, float(self.z_end)))
        speed = self.speed(z.astype(LONG)).astype(float)
        x = self.half.xs(z)
        error = np.abs((x - exact).astype(float)) / (np.abs(x) + size / speed)
        back = np.abs(self.half.zs(x) - z) / (size + np.abs(x) * speed)
        if self.beyond is not None:
            own = np.maximum(self.beyond + z, self.drift.scale) / speed
            self.half.lost = _lost(exact.astype(float), own, self.half.rising)
        return float(max(error.max(), back.max()))


def _lost(x, own, rising):
    """How many times larger than they may be the times are, at places in a half far below.

    Their roundings should be those of the way that is left, or of the time `own` in which v changes by itself.
    """
    left = x.max() - x if rising else 0.0
    return float((x / (own + left)).max())


@functools.cache
def _legendre():
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


# Tables -----------------------------------------------------------------------------------------------------------


class Table:
    """The halves of a flow, ascending in v.

    Attributes
    ----------
    halves : list of Half
    v_th : float
    v_min : float
        The lowest voltage; -inf if there is none.
    error : float
        The largest one found by the check, see :data:`TOLERANCE`.
    zeros : list of float
    """

    def __init__(self, drift, what):
        self.drift = drift
        self.v_th = drift.v_th
        self.v_min = -math.inf if drift.leak_to is not None else drift.v_far
        zeros = drift.zeros()
        if len(zeros) * 2 + 2 > MAX_HALVES:
            raise ParameterError(f"{what} must have at most {MAX_HALVES // 2 - 1} fixed points, got {len(zeros)}")
        self.zeros = [float(zero) for zero in zeros]
        self._exact = dict(zip(self.zeros, zeros, strict=True))
        if not drift(np.array([drift.v_far], LONG))[0] > 0.0:
            raise ParameterError(
                f"{what} must be positive far below the threshold, got "
                f"{float(drift(np.array([drift.v_far], LONG))[0])!r} at V = {drift.v_far!r}: V would run away "
                "downwards; give a V_min at which it is positive"
            )
        self.halves = []
        # Between the ends: None for far below and for the threshold.
        ends = [None, *zeros] + ([] if zeros and zeros[-1] == drift.v_th else [None])
        for k in range(len(ends) - 1):
            self._interval(drift, ends[k], ends[k + 1], what)
        lost = max(half.lost for half in self.halves)
        if not lost <= MOST_LOST:
            self._refuse_range(drift, lost, what)
        self.error = max(half.error for half in self.halves)
        if not self.error <= TOLERANCE:
            raise ParameterError(
                f"{what}: the error of its table is {self.error:.1e}, and {TOLERANCE:.1e} is allowed; this happens for "
                "fixed points, or a drive and a threshold, that are nearly equal, and for a drift that is not smooth. "
                "Move the parameters apart, or keep to a range (V_min) in which it is smooth"
            )

    def _interval(self, drift, low, high, what):
        """The halves between neighbouring zeros."""
        top = LONG(drift.v_th) if high is None else high
        up = bool(drift(np.array([self._inside(drift, low, high)], LONG))[0] > 0.0)
        middle = self._middle(drift, low, high)
        if not (LONG(drift.v_far) if low is None else low) < middle < top:
            raise ParameterError(f"{what} has fixed points or a threshold that are too near to each other, at {middle}")
        if low is not None:
            halves = [self._at_zero(drift, low, middle, -1, not up, what)]
        else:
            halves = self._far(drift, middle, what)
        if high is not None:
            halves.append(self._at_zero(drift, high, middle, 1, up, what))
        else:
            if low is None and middle == drift.bottleneck():
                # A half of its own for the way out of it, in which steps are small near the bottleneck.
                halves.append(self._out(drift, middle, float((middle + top) / 2), what))
                middle = halves[-1].high
            halves.append(self._at_threshold(drift, middle, up, what))
        for half in halves:
            half.direction = 1.0 if up else -1.0
        here = len(self.halves)
        numbers = range(here, here + len(halves))
        self.halves += halves
        numbers = list(numbers if up else reversed(numbers))
        for k, number in enumerate(numbers[:-1]):
            half, after = self.halves[number], self.halves[numbers[k + 1]]
            half.next = numbers[k + 1]
            half.entry, half.entry_W = (0.0, 0.0) if after.rising else (after.whole, after.W_whole)
        for k in reversed(range(len(numbers))):
            half = self.halves[numbers[k]]
            if half.next < 0:
                half.after = 0.0 if half.spikes else math.inf
            else:
                after = self.halves[half.next]
                half.after = after.after + (after.length if after.rising else half.entry)

    @staticmethod
    def _inside(drift, low, high):
        """A point of the interval."""
        low = LONG(drift.v_far) if low is None else low
        return (low + (LONG(drift.v_th) if high is None else high)) / 2

    @staticmethod
    def _middle(drift, low, high):
        """Where the halves of an interval meet; a double."""
        v_th = LONG(drift.v_th)
        if low is not None:
            top = v_th if high is None else high
            return float((low + top) / 2)
        if high is not None:
            return float(high - drift.scale)
        narrow = drift.bottleneck()
        if drift.leak_to is None:
            # Not what is just the lowest place of a drift that does not grow below it.
            there, below = drift(np.array([narrow, drift.v_far], LONG))
            if below < 2 * there:
                return float(v_th - drift.scale)
        if drift.v_far < narrow < drift.v_th - 1e-3 * drift.scale:
            return float(narrow)
        return float(v_th - drift.scale)

    def _make(self, half, drift, speed, z_end, from_end, z_low, what, beyond=None):
        builder = _HalfBuilder(half, drift, speed, z_end, from_end, z_low, beyond)
        try:
            builder.times()
            builder.distances()
            half.error = builder.check()
        except _NotSmooth as place:
            at = half.anchor + half.sign * float(place.args[0])
            # A range to try, where it is one that nobody asked for.
            far = beyond is not None and drift.v_th - at > 16.0 * drift.scale
            such = f", such as V_min = {drift.v_th - (drift.v_th - at) / 4.0:.4g}" if far else ""
            raise ParameterError(
                f"{what} cannot be expanded to the tolerance near {at!r}: it is not smooth there, or two fixed points "
                "(or one and the threshold) are nearly equal. Move the parameters apart, or keep to a range (V_min) in "
                f"which it is smooth{such}"
            ) from None
        return builder

    def _at_zero(self, drift, zero, middle, side, attracts, what):
        """A half that ends at a fixed point above (side 1) or below it."""
        anchor = float(zero)
        z_end = abs(LONG(middle) - zero)
        half = Half(anchor, -float(side), min(anchor, middle), max(anchor, middle), rising=attracts, spikes=False)

        def speed(z):
            return np.abs(drift.near(zero, -side * z))

        exponent = math.floor(math.log2(float(z_end))) - TAIL_BITS
        half.z_tail = 2.0**exponent
        builder = self._make(half, drift, speed, z_end, True, half.z_tail, what)
        half.rate = float(abs(drift.slope(zero)))
        half.x_tail = float(builder.X)
        half.W_tail = float(builder.W)
        return half

    def _at_threshold(self, drift, middle, spikes, what):
        """The half below the threshold, which the flow reaches or comes from."""
        v_th = drift.v_th
        half = Half(v_th, -1.0, middle, v_th, rising=not spikes, spikes=spikes)
        builder = self._make(
            half, drift, lambda z: np.abs(drift(LONG(v_th) - z)), LONG(v_th) - middle, False, 0.0, what
        )
        half.whole, half.W_whole = float(builder.X), float(builder.W)
        half.length = math.inf if spikes else half.whole
        return half

    def _out(self, drift, middle, end, what):
        """The half from a bottleneck up to `end`."""
        half = Half(middle, 1.0, middle, end, rising=False, spikes=False)
        builder = self._make(
            half, drift, lambda z: np.abs(drift(LONG(middle) + z)), LONG(end) - middle, True, 0.0, what
        )
        half.whole, half.W_whole = float(builder.X), float(builder.W)
        return half

    def _far(self, drift, middle, what):
        """The half that comes from far below, or the two of them."""
        z_end = LONG(middle) - LONG(drift.v_far)
        if drift.leak_to is not None:
            halves = self._far_halves(drift, middle, [(0.0, z_end, True)], what)
            halves[0].z_far = float(z_end)
            halves[0].leak = float(LONG(drift.leak_to) - LONG(middle))
            return halves
        plans = self._plans(drift, middle, z_end)
        # Not finite where F is zero, which is refused below.
        if MOST_LOST < plans[0][0] < math.inf:
            self._refuse_range(drift, plans[0][0], what)
        refused = None
        for _, plan in plans:
            try:
                return self._far_halves(drift, middle, plan, what)
            except ParameterError as error:
                refused = refused or error
        raise refused

    def _far_halves(self, drift, middle, plan, what):
        """The halves of a plan, ascending in v."""
        z_end = plan[-1][1]
        halves = []
        for begin, end, rising in plan:
            anchor = float(LONG(middle) - begin)
            low = -math.inf if end == z_end else float(LONG(middle) - end)
            length = z_end - begin if end == z_end else LONG(anchor) - LONG(low)
            half = Half(anchor, -1.0, low, anchor, rising=rising, spikes=False)
            builder = self._make(
                half, drift, lambda z, a=anchor: np.abs(drift(LONG(a) - z)), length, rising, 0.0, what, float(begin)
            )
            half.whole, half.W_whole = float(builder.X), float(builder.W)
            half.length = half.whole if rising else math.inf
            halves.insert(0, half)
        return halves

    def _plans(self, drift, middle, z_end):
        """What may be tried far below: for each about what `_lost` will be, and halves as (z from, z to, rising).

        Times from the far end are short where F grows downwards: v comes from infinity in a finite time, or from a leak
        in a few time constants. Where F does not grow they are long, and those near the threshold would be differences
        of them: there x is the time to the near end. A drift that does both needs a half for each.
        """
        octaves = np.arange(max(math.ceil(math.log2(z_end / drift.scale)), 0))
        z = np.concatenate([[LONG(0)], LONG(drift.scale) * LONG(2) ** octaves, [z_end]])
        # The ends of halves have to be doubles.
        z[1:-1] = LONG(middle) - (LONG(middle) - z[1:-1]).astype(float)
        low, high = z[:-1, None], z[1:, None]
        t, weights = _legendre()
        with np.errstate(all="ignore"):
            steps = weights / np.abs(drift(LONG(middle) - (low + high) / 2 - (high - low) / 2 * t))
            x = np.append(LONG(0), np.cumsum(steps.sum(axis=1) * (z[1:] - z[:-1]) / 2)).astype(float)
            own = (np.maximum(z, drift.scale) / np.abs(drift(LONG(middle) - z))).astype(float)

        def one(a, b, rising):
            part = slice(a, b + 1)
            return _lost(x[b] - x[part] if rising else x[part] - x[a], own[part], rising)

        last = len(z) - 1
        since, left = one(0, last, True), one(0, last, False)
        options = [(since, [(LONG(0), z_end, True)]), (left, [(LONG(0), z_end, False)])]
        for inner in (True, False) if len(self.zeros) * 2 + 3 <= MAX_HALVES else ():
            for k in range(1, last):
                lost = max(one(0, k, inner), one(k, last, not inner))
                if lost <= MOST_LOST / 2.0:
                    options.append((lost, [(LONG(0), z[k], inner), (z[k], z_end, not inner)]))
                    break
        good = [option for option in options if option[0] <= MOST_LOST / 2.0]
        return good or [min(options, key=lambda option: option[0])]

    def _refuse_range(self, drift, lost, what):
        """Say which V_min would do."""
        middle = self._middle(drift, None, next(iter(self._exact.values()), None))
        reach = LONG(middle) - LONG(drift.v_far)
        while reach > drift.scale and not self._plans(drift, middle, reach)[0][0] <= MOST_LOST / 2.0:
            reach /= 2
        raise ParameterError(
            f"{what}: times from V_min = {drift.v_far!r} to the threshold are so long, for a drift that hardly grows "
            f"there, that its table would lose {math.log10(lost):.0f} digits. Give a V_min nearer to the threshold, "
            f"such as {float(LONG(middle) - reach):.4g}"
        )

    # What both engines do, in doubles --------------------------------------------------------------------------------

    def half_of(self, v):
        """The number of the half that v is in."""
        last = len(self.halves) - 1
        k = 0
        while k < last and v >= self.halves[k].high:
            k += 1
        return k

    def place(self, v):
        """(half, x) of a voltage; x is -1 in the last half at and above threshold."""
        if v >= self.v_th:
            return len(self.halves) - 1, -1.0
        k = self.half_of(v)
        half = self.halves[k]
        return k, half.x_of((v - half.anchor) * half.sign)

    def advance(self, k, x, elapsed):
        """(half, x) after a time."""
        half = self.halves[k]
        if half.rising:
            x = x + elapsed
            over = x - half.length
        else:
            x = x - elapsed
            over = -x
        while over > 0.0:
            if half.next < 0:
                return k, 0.0
            k, entry = half.next, half.entry
            half = self.halves[k]
            if half.rising:
                x = entry + over
                over = x - half.length
            else:
                x = entry - over
                over = -x
        return k, x

    def to_spike(self, k, x):
        """The time to threshold, infinite if it is never reached."""
        half = self.halves[k]
        return (half.length - x if half.rising else x) + half.after

    def voltage(self, k, x):
        """v of a state."""
        half = self.halves[k]
        return half.anchor + half.sign * half.z_of(x)

    def speed(self, k, z):
        """|F| at a distance in a half, from the drift itself, to a relative precision."""
        half = self.halves[k]
        z = np.asarray(z, LONG)
        if half.rate:
            zero = self._exact[half.anchor]
            return np.abs(self.drift.near(zero, half.sign * np.maximum(z, TINY))).astype(float)
        return np.abs(self.drift(LONG(half.anchor) + LONG(half.sign) * z)).astype(float)

    def weighted_time(self, k, x, elapsed, end):
        """The integral of ``end / F`` along the way from a state, by quadrature; `end` is |F| at its end.

        It does not use the integrals in the tables. What is long ago near a stable point counts for nothing; towards
        the end the steps become as short as F may ask for.
        """
        t, weights = (values.astype(float) for values in _legendre())
        start = 0.0
        if any(half.rate and half.rising for half in self.halves):
            start = max(0.0, elapsed - 60.0 / min(half.rate for half in self.halves if half.rate))
        steps, step = [0.0], 2.0**-56
        while steps[-1] < elapsed - start:
            steps.append(min(steps[-1] + step, elapsed - start))
            step = min(4.0 * step, 0.125)
        edges = elapsed - np.array(steps)
        width = (edges[:-1] - edges[1:]) / 2.0
        times = ((edges[:-1] + edges[1:]) / 2.0)[:, None] + width[:, None] * t[None, :]
        ratio = np.empty_like(times)
        for half, where, at in self._on(k, x, times):
            ratio[where] = end / self.speed(half, self.halves[half].zs(at))
        return float(((ratio * weights).sum(axis=1) * width).sum())

    def panels(self, v, w):
        """Voltages between v and w, in their order, between which F changes little."""
        low, high = min(v, w), max(v, w)
        edges = {half.low for half in self.halves} | {half.high for half in self.halves}
        for half in self.halves:
            z = half.high - half.low if half.low > -math.inf else max(half.anchor - low, 0.0)
            reach = z
            while half.rate and reach > 2.0**-60 * z:
                edges.add(half.anchor + half.sign * reach)
                reach /= 2.0
            parts = 40 if half.low > -math.inf else 0
            edges |= {half.anchor + half.sign * z * k / parts for k in range(1, parts)}
            step = self.drift.scale
            while (half.low == -math.inf or z > 40.0 * self.drift.scale) and step < z:
                edges.add(half.anchor + half.sign * step)
                step *= 1.5
        inside = sorted(edge for edge in edges if low < edge < high)
        return inside if v < w else inside[::-1]

    # Arrays, for initial states --------------------------------------------------------------------------------------

    def period(self, v):
        """The time to threshold from v."""
        return self.to_spike(*self.place(v))

    def flow(self, v, elapsed):
        """v after times, an array, from one v whose way leads to the threshold."""
        elapsed = np.asarray(elapsed, float)
        result = np.empty_like(elapsed)
        for k, where, x in self._on(*self.place(v), elapsed):
            half = self.halves[k]
            result[where] = half.anchor + half.sign * half.zs(x)
        return result

    def _on(self, k, x, elapsed):
        """`advance` for an array of times: for each half that is met, its number, which times, and x at these."""
        half = self.halves[k]
        x = x + elapsed if half.rising else x - elapsed
        inside = np.ones(elapsed.shape, bool)
        while inside.any():
            half = self.halves[k]
            over = x - half.length if half.rising else -x
            here = inside & ((over <= 0.0) | (half.next < 0))
            yield k, here, (x[here] if half.rising else np.maximum(x[here], 0.0))
            inside &= ~here
            if half.next >= 0:
                x = half.entry + over if self.halves[half.next].rising else half.entry - over
                k = half.next

    def rest(self, v):
        """The stable point that v goes to; itself if it goes to the threshold."""
        half = self.halves[self.half_of(v)]
        while half.next >= 0:
            half = self.halves[half.next]
        return v if half.spikes else half.anchor


@functools.lru_cache(maxsize=4096)
def table_of(kind, *arguments):
    """The table of a drift, made once.

    Parameters
    ----------
    kind : type
        :class:`EIFDrift` or :class:`NumericalDrift`.
    arguments
        Its arguments, hashable.
    """
    what = "EIF" if kind is EIFDrift else "NumericalIF.drift"
    return Table(kind(*arguments), what)
