"""Which halves a flow has: where they meet, from which end times are counted, and which half follows which."""

import math

import numpy as np

from ..errors import ParameterError
from .half_builder import TAIL_BITS, HalfBuilder, roundings_lost
from .halves import Half
from .pieces import NotSmooth
from .series import legendre
from .wide import above, below, joined, wide

__all__ = ["MAX_HALVES", "TableBuilder"]

MAX_HALVES = 32
# Far below the threshold a time in the table may be so many times the one in which v changes by itself: so many
# roundings are what TOLERANCE allows.
MOST_LOST = 128.0


class TableBuilder:
    """Makes the halves of a flow.

    Parameters
    ----------
    drift : EIFDrift or NumericalDrift
    zeros : list of Wide
        Those of the drift, ascending.
    what : str
        What to call it in messages.
    """

    def __init__(self, drift, zeros, what):
        self.drift, self.zeros, self.what = drift, zeros, what
        self.halves = []
        # Between the ends: None for far below and for the threshold.
        ends = [None, *zeros] + ([] if zeros and zeros[-1] == drift.v_th else [None])
        for k in range(len(ends) - 1):
            self._interval(ends[k], ends[k + 1])
        lost = max(half.lost for half in self.halves)
        if not lost <= MOST_LOST:
            self._refuse_range(lost)

    def _interval(self, low, high):
        """The halves between neighbouring zeros."""
        top = wide(self.drift.v_th) if high is None else high
        up = bool(self.drift(wide([self._inside(low, high)]))[0] > 0.0)
        middle = self._middle(low, high)
        if not (wide(self.drift.v_far) if low is None else low) < middle < top:
            raise ParameterError(
                f"{self.what} has fixed points or a threshold that are too near to each other, at {middle}"
            )
        halves = self._far(middle) if low is None else [self._at_zero(low, middle, -1, not up)]
        if high is not None:
            halves.append(self._at_zero(high, middle, 1, up))
        else:
            if low is None and middle == self.drift.bottleneck():
                # A half of its own for the way out of it, in which steps are small near the bottleneck.
                halves.append(self._out(middle, float((middle + top) / 2)))
                middle = halves[-1].high
            halves.append(self._at_threshold(middle, up))
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

    def _inside(self, low, high):
        """A point of the interval."""
        low = wide(self.drift.v_far) if low is None else low
        return (low + (wide(self.drift.v_th) if high is None else high)) / 2

    def _middle(self, low, high):
        """Where the halves of an interval meet; a double."""
        v_th = wide(self.drift.v_th)
        if low is not None:
            top = v_th if high is None else high
            return float((low + top) / 2)
        if high is not None:
            return float(high - self.drift.scale)
        narrow = self.drift.bottleneck()
        if self.drift.leak_to is None:
            # Not what is just the lowest place of a drift that does not grow below it.
            there, below = self.drift(wide([narrow, self.drift.v_far]))
            if below < 2 * there:
                return float(v_th - self.drift.scale)
        if self.drift.v_far < narrow < self.drift.v_th - 1e-3 * self.drift.scale:
            return float(narrow)
        return float(v_th - self.drift.scale)

    def _make(self, half, speed, z_end, from_end, z_low, beyond=None):
        builder = HalfBuilder(half, self.drift, speed, z_end, from_end, z_low, beyond)
        try:
            builder.times()
            builder.distances()
            half.error = builder.check()
        except NotSmooth as place:
            at = half.anchor + half.sign * float(place.args[0])
            # A range to try, where it is one that nobody asked for.
            far = beyond is not None and self.drift.v_th - at > 16.0 * self.drift.scale
            such = f", such as V_min = {self.drift.v_th - (self.drift.v_th - at) / 4.0:.4g}" if far else ""
            raise ParameterError(
                f"{self.what} cannot be expanded to the tolerance near {at!r}: it is not smooth there, or two fixed "
                "points (or one and the threshold) are nearly equal. Move the parameters apart, or keep to a range "
                f"(V_min) in which it is smooth{such}"
            ) from None
        return builder

    def _at_zero(self, zero, middle, side, attracts):
        """A half that ends at a fixed point above (side 1) or below it."""
        anchor = float(zero)
        z_end = abs(wide(middle) - zero)
        half = Half(anchor, -float(side), min(anchor, middle), max(anchor, middle), rising=attracts, spikes=False)

        def speed(z):
            return np.abs(self.drift.near(zero, -side * z))

        exponent = below(z_end) - TAIL_BITS
        half.z_tail = 2.0**exponent
        builder = self._make(half, speed, z_end, True, half.z_tail)
        half.rate = float(abs(self.drift.slope(zero)))
        half.x_tail = float(builder.X)
        half.W_tail = float(builder.W)
        return half

    def _at_threshold(self, middle, spikes):
        """The half below the threshold, which the flow reaches or comes from."""
        v_th = self.drift.v_th
        half = Half(v_th, -1.0, middle, v_th, rising=not spikes, spikes=spikes)
        builder = self._make(half, lambda z: np.abs(self.drift(wide(v_th) - z)), wide(v_th) - middle, False, 0.0)
        half.whole, half.W_whole = float(builder.X), float(builder.W)
        half.length = math.inf if spikes else half.whole
        return half

    def _out(self, middle, end):
        """The half from a bottleneck up to `end`."""
        half = Half(middle, 1.0, middle, end, rising=False, spikes=False)
        builder = self._make(half, lambda z: np.abs(self.drift(wide(middle) + z)), wide(end) - middle, True, 0.0)
        half.whole, half.W_whole = float(builder.X), float(builder.W)
        return half

    def _far(self, middle):
        """The half that comes from far below, or the two of them."""
        z_end = wide(middle) - wide(self.drift.v_far)
        if self.drift.leak_to is not None:
            halves = self._far_halves(middle, [(0.0, z_end, True)])
            halves[0].z_far = float(z_end)
            halves[0].leak = float(wide(self.drift.leak_to) - wide(middle))
            return halves
        plans = self._plans(middle, z_end)
        # Not finite where F is zero, which is refused below.
        if MOST_LOST < plans[0][0] < math.inf:
            self._refuse_range(plans[0][0])
        refused = None
        for _, plan in plans:
            try:
                return self._far_halves(middle, plan)
            except ParameterError as error:
                refused = refused or error
        raise refused

    def _far_halves(self, middle, plan):
        """The halves of a plan, ascending in v."""
        z_end = plan[-1][1]
        halves = []
        for begin, end, rising in plan:
            anchor = float(wide(middle) - begin)
            low = -math.inf if end == z_end else float(wide(middle) - end)
            length = z_end - begin if end == z_end else wide(anchor) - wide(low)
            half = Half(anchor, -1.0, low, anchor, rising=rising, spikes=False)
            builder = self._make(
                half, lambda z, a=anchor: np.abs(self.drift(wide(a) - z)), length, rising, 0.0, float(begin)
            )
            half.whole, half.W_whole = float(builder.X), float(builder.W)
            half.length = half.whole if rising else math.inf
            halves.insert(0, half)
        return halves

    def _plans(self, middle, z_end):
        """What may be tried far below: of each what `roundings_lost` will be, and halves as (z from, z to, rising).

        Times from the far end are short where F grows downwards: v comes from infinity in a finite time, or from a leak
        in a few time constants. Where F does not grow they are long, and those near the threshold would be differences
        of them: there x is the time to the near end. A drift that does both needs a half for each.
        """
        octaves = np.arange(max(above(z_end / self.drift.scale), 0))
        z = joined([[0.0], self.drift.scale * np.ldexp(1.0, octaves), [z_end]])
        # The ends of halves have to be doubles.
        z[1:-1] = wide(middle) - (wide(middle) - z[1:-1]).astype(float)
        low, high = z[:-1, None], z[1:, None]
        t, weights = legendre()
        with np.errstate(all="ignore"):
            steps = weights / np.abs(self.drift(wide(middle) - (low + high) / 2 - (high - low) / 2 * t))
            x = joined([[0.0], (steps.sum(axis=1) * (z[1:] - z[:-1]) / 2).cumsum()]).astype(float)
            own = (np.maximum(z, self.drift.scale) / np.abs(self.drift(wide(middle) - z))).astype(float)

        def one(a, b, rising):
            part = slice(a, b + 1)
            return roundings_lost(x[b] - x[part] if rising else x[part] - x[a], own[part], rising)

        last = len(z) - 1
        since, left = one(0, last, True), one(0, last, False)
        options = [(since, [(wide(0), z_end, True)]), (left, [(wide(0), z_end, False)])]
        for inner in (True, False) if len(self.zeros) * 2 + 3 <= MAX_HALVES else ():
            for k in range(1, last):
                lost = max(one(0, k, inner), one(k, last, not inner))
                if lost <= MOST_LOST / 2.0:
                    options.append((lost, [(wide(0), z[k], inner), (z[k], z_end, not inner)]))
                    break
        good = [option for option in options if option[0] <= MOST_LOST / 2.0]
        return good or [min(options, key=lambda option: option[0])]

    def _refuse_range(self, lost):
        """Say which V_min would do."""
        middle = self._middle(None, next(iter(self.zeros), None))
        reach = wide(middle) - wide(self.drift.v_far)
        while reach > self.drift.scale and not self._plans(middle, reach)[0][0] <= MOST_LOST / 2.0:
            reach /= 2
        raise ParameterError(
            f"{self.what}: times from V_min = {self.drift.v_far!r} to the threshold are so long, for a drift that "
            f"hardly grows there, that its table would lose {math.log10(lost):.0f} digits. Give a V_min nearer to the "
            f"threshold, such as {float(wide(middle) - reach):.4g}"
        )
