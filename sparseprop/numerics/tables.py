"""Tables of one-dimensional flows without a closed form: the time along the flow as a function of V, and back.

A neuron with ``dv/dt = F(v)`` moves along one of the intervals between the zeros of F. Each interval is cut into an
upstream and a downstream half; each half has an anchor (a zero of F, the threshold, or where both meet), a distance z
>= 0 of v from it, and a time x along the flow. A table has x(z) and z(x) as polynomials on pieces that are found by
arithmetic: octaves of the argument, each divided into as many equal pieces as it needs. Behind the last octave there
is the exponential flow near a zero of F, or that of a leak far below.

F is in ``flows.py``, a half in ``halves.py``, its polynomials in ``pieces.py``. Which halves a flow has is decided in
``table_builder.py``, and ``half_builder.py`` makes one. They are made in 106 bits and then checked in double
precision against a quadrature that shares nothing with them but F. docs/numerics.md has the mathematics.
"""

import functools
import math

import numpy as np

from ..errors import ParameterError
from .flows import EIFDrift, NumericalDrift
from .series import legendre
from .table_builder import MAX_HALVES, TableBuilder
from .wide import wide

__all__ = ["MAX_HALVES", "MAX_TABLES", "TOLERANCE", "EIFDrift", "NumericalDrift", "Table", "table_of"]

# Of times, relative to the time to the half's origin and the time in which z changes by itself.
TOLERANCE = 2.0**-46
# Different tables of one model.
MAX_TABLES = 200
# Nor, of one that has decayed, is a distance less than this for derivatives, which are quotients of such distances.
TINY = 1e-250


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

    @np.errstate(all="ignore")
    def __init__(self, drift, what):
        self.drift = drift
        self.v_th = drift.v_th
        self.v_min = -math.inf if drift.leak_to is not None else drift.v_far
        zeros = drift.zeros()
        if len(zeros) * 2 + 2 > MAX_HALVES:
            raise ParameterError(f"{what} must have at most {MAX_HALVES // 2 - 1} fixed points, got {len(zeros)}")
        self.zeros = [float(zero) for zero in zeros]
        self._exact = dict(zip(self.zeros, zeros, strict=True))
        if not drift(wide([drift.v_far]))[0] > 0.0:
            raise ParameterError(
                f"{what} must be positive far below the threshold, got "
                f"{float(drift(wide([drift.v_far]))[0])!r} at V = {drift.v_far!r}: V would run away "
                "downwards; give a V_min at which it is positive"
            )
        self.halves = TableBuilder(drift, zeros, what).halves
        self.error = max(half.error for half in self.halves)
        if not self.error <= TOLERANCE:
            raise ParameterError(
                f"{what}: the error of its table is {self.error:.1e}, and {TOLERANCE:.1e} is allowed; this happens for "
                "fixed points, or a drive and a threshold, that are nearly equal, and for a drift that is not smooth. "
                "Move the parameters apart, or keep to a range (V_min) in which it is smooth"
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

    @np.errstate(all="ignore")
    def speed(self, k, z):
        """|F| at a distance in a half, from the drift itself, to a relative precision."""
        half = self.halves[k]
        z = wide(z)
        if half.rate:
            zero = self._exact[half.anchor]
            return np.abs(self.drift.near(zero, half.sign * np.maximum(z, TINY))).astype(float)
        return np.abs(self.drift(wide(half.anchor) + wide(half.sign) * z)).astype(float)

    def weighted_time(self, k, x, elapsed, end):
        """The integral of ``end / F`` along the way from a state, by quadrature; `end` is |F| at its end.

        It does not use the integrals in the tables. What is long ago near a stable point counts for nothing; towards
        the end the steps become as short as F may ask for.
        """
        t, weights = (values.astype(float) for values in legendre())
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
