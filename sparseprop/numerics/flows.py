"""One-dimensional flows ``dv/dt = F(v)`` in 106 bits: F, its zeros, F near them, and where it is smallest."""

from typing import Any

import numpy as np

from ..errors import ParameterError
from ._double_double import horner
from .drifts import Function
from .series import NODES, T_NODES, coefficients_of, to_powers
from .wide import EPS, Wide, curvature, joined, where, wide, zeros

__all__ = ["EIFDrift", "NumericalDrift"]

# Of the default range of a numerical drift below its threshold, relative to V_th - V_reset.
RANGE_BITS = 40


class EIFDrift:
    """``F(v) = exp(v) - v + margin - 1`` in v = (V - V_T) / Delta_T; margin is what the drive exceeds the rheobase by.

    Written so that it loses no digits near the saddle-node at v = 0, margin = 0.
    """

    scale = 1.0
    noise = 4 * EPS

    def __init__(self, margin, v_th):
        self.margin, self.v_th = wide(margin), v_th
        # Below it the exponential is nothing beside a rounding of v.
        self.v_far = float(min(-64.0, -64.0 + min(float(margin), 0.0), v_th - 64.0))
        self.leak_to = float(self.margin - 1)

    @np.errstate(all="ignore")
    def __call__(self, v):
        return curvature(wide(v)) + self.margin

    @np.errstate(all="ignore")
    def near(self, zero, z):
        """F(zero + z), to a relative precision."""
        z = wide(z)
        return np.expm1(zero) * z + np.exp(zero) * curvature(z)

    @np.errstate(all="ignore")
    def slope(self, zero):
        """F' at a zero."""
        return np.expm1(zero)

    @np.errstate(all="ignore")
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
        An `Expression`, or a vectorised Python function, which gets numpy's long doubles: the digits of these, and so
        of its table, are the machine's.
    constant : float
    v_th, v_min : float
        The range; `v_min` None for 2^40 times `scale` below `v_th`.
    scale : float
        A size in which the function changes.
    """

    leak_to = None

    def __init__(self, function, constant, v_th, v_min, scale):
        self.function, self.constant = function, wide(constant)
        self.v_th, self.scale = v_th, scale
        self.v_far = v_th - scale * 2.0**RANGE_BITS if v_min is None else v_min
        self._near: dict[Any, Any] = {}
        self._narrow = None
        self.noise = 4 * EPS
        self._evaluate(wide([v_th]))

    def _evaluate(self, v):
        try:
            with np.errstate(all="ignore"):
                values = self.function(v if not isinstance(self.function, Function) else v.astype(np.longdouble))
        except Exception as error:
            raise ParameterError(
                f"NumericalIF.drift must take an array of voltages, got {type(error).__name__}: {error}"
            ) from error
        values = values if isinstance(values, Wide) else np.asarray(values)
        real = isinstance(values, Wide) or values.dtype.kind in "iuf"
        if not real or values.shape not in ((), v.shape):
            raise ParameterError(
                f"NumericalIF.drift must return one real number for each voltage, got dtype {values.dtype} and shape "
                f"{values.shape} for an array of shape {v.shape}"
            )
        if values.dtype.kind == "f" and np.finfo(values.dtype).eps > EPS:
            self.noise = max(self.noise, 8 * float(np.finfo(values.dtype).eps))
        with np.errstate(all="ignore"):
            values = (wide(values) + zeros(v.shape)) + self.constant
        if not np.isfinite(values).all():
            at = float(v[int(np.argmin(np.isfinite(values)))])
            raise ParameterError(
                f"NumericalIF.drift must be finite from V_min to V_th, got {values[~np.isfinite(values)][0]} at V = "
                f"{at!r}; give a V_min above what the drift is made for, or another drift"
            )
        return values

    @np.errstate(all="ignore")
    def __call__(self, v):
        v = wide(v)
        return self._evaluate(v.ravel()).reshape(v.shape)

    def _grid(self):
        """Voltages that zeros are looked for between."""
        span = wide(self.v_th) - wide(self.v_far)
        reach = wide(8.0) * self.scale
        below = [min(reach, span) * (np.arange(8001) / wide(8000.0))]
        while reach < span:
            below.append(reach + (min(2 * reach, span) - reach) * (np.arange(1, 65) / 64.0))
            reach *= 2
        return (wide(self.v_th) - joined(below))[::-1]

    @np.errstate(all="ignore")
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
                value = self(wide([middle]))[0]
                if np.sign(value) == sign:
                    low = middle
                else:
                    high = middle
            found.append((low + high) / 2)
        found += [grid[k] for k in np.flatnonzero(values[:-1] == 0.0)]
        if np.abs(values[-1]) <= 8 * self.noise * np.abs(values[-8001:]).max():
            # The threshold is a fixed point: from below it is approached and never reached.
            found = [v for v in found if self.v_th - v > 1e-9 * self.scale] + [wide(self.v_th)]
        return sorted(v for v in found if v <= self.v_th)

    def bottleneck(self):
        """Where F is smallest in size."""
        if self._narrow is None:
            grid = self._grid()
            k = int(np.argmin(np.abs(self(grid))))
            low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
            for _ in range(60):
                inner = low + (high - low) * wide([wide(1) / 3, wide(2) / 3])
                first, second = np.abs(self(inner))
                low, high = (low, inner[1]) if first < second else (inner[0], high)
            self._narrow = float((low + high) / 2)
        return self._narrow

    def _series(self, zero):
        """Radius and coefficients of F(zero + r y) = y (c_0 + c_1 y + ...), from values that cancel little."""
        key = float(zero), float(zero - wide(float(zero)))
        if key in self._near:
            return self._near[key]
        radius = 16 * wide(self.scale)
        for _ in range(80):
            # A radius that reaches over the threshold is all right: F is smooth there, or it is made smaller.
            try:
                series = coefficients_of(self(zero + radius * T_NODES)[None, :])[0]
            except ParameterError:
                radius /= 2
                continue
            # Not so large that F is much larger there than its slope at the zero says, which costs digits.
            linear = np.abs(
                (series[1::2] * np.arange(1, NODES, 2) * np.where(np.arange(NODES // 2) % 2, -1.0, 1.0)).sum()
            )
            if np.abs(series[-3:]).max() <= 2 * self.noise * np.abs(series).max() <= 16 * self.noise * linear:
                break
            radius /= 2
        else:
            raise ParameterError(
                f"NumericalIF.drift must be smooth where it is zero, and at V = {float(zero)!r} it is not"
            )
        series[np.abs(series) < self.noise * np.abs(series).max() / 8] = 0.0
        self._near[key] = radius, (series[:, None] * to_powers(NODES)).sum(axis=0)[1:]
        return self._near[key]

    @np.errstate(all="ignore")
    def near(self, zero, z):
        """F(zero + z), to a relative precision."""
        z = wide(z)
        radius, series = self._series(zero)
        close = np.abs(z) < radius / 8
        y = where(close, z, 0) / radius
        values = horner(series, y.reshape(-1)).view(Wide).reshape(y.shape) * y
        if not close.all():
            values = where(close, values, self(zero + where(close, radius, z)))
        return values

    @np.errstate(all="ignore")
    def slope(self, zero):
        """F' at a zero."""
        radius, series = self._series(zero)
        return series[0] / radius

    def exact(self, neuron):
        """F in the arithmetic of a neuron's parameters."""
        return lambda v: self.function.exact(v, neuron.a.mp) + neuron.drive
