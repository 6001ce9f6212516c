"""How the polynomials of a half are made, in 106 bits, and checked, in double precision."""

import numpy as np

from ._functions import exp_many, log
from .halves import SMALLEST
from .pieces import NotSmooth, PiecesBuilder, edges_of
from .series import DEGREE, T_NODES, clenshaw, coefficients_of, integral_of, legendre
from .wide import EPS, above, below, joined, wide, zeros

__all__ = ["TAIL_BITS", "HalfBuilder", "roundings_lost"]

# Where the exponential flow near a zero of F begins, as a part of the half; and the linear one far below.
TAIL_BITS = 56
# An octave in more pieces than that is not smooth.
MOST_DIVISIONS = 9


class HalfBuilder:
    """Makes the grids of a half.

    Parameters
    ----------
    half : Half
    speed : callable
        |F| as a function of z, vectorised.
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
        self.z_end, self.from_end, self.z_low = wide(z_end), from_end, wide(z_low)
        self.divisions = 0

        # The piece that begins at z = 0 is good to a rounding of its far end, so that must be where v has such ones
        # anyway. And a longer piece, of a drift that is nearly constant, could miss all that is near the threshold.
        self.beyond = beyond
        self.scale = max(drift.scale, beyond or 0.0)
        self.highest = below(self.scale)

    def _fit(self, lows, highs, X, W):
        """Times on pieces, continuing from (X, W): coefficients of both, their values at the end, and whether it is
        good."""
        half = (highs - lows) / 2
        z = ((lows + highs) / 2)[:, None] + half[:, None] * T_NODES[None, :]
        speed = self.speed(z)
        if not (speed > 0.0).all():
            raise NotSmooth(float(z.flat[int(np.argmin(speed))]))
        g = coefficients_of(1 / speed)
        w = coefficients_of(1 / (speed * speed))
        series = integral_of(g * half[:, None])
        W_series = integral_of(w * half[:, None])
        F_series = coefficients_of(speed)
        total, W_total = series.sum(axis=1), W_series.sum(axis=1)
        if self.from_end:
            # Times grow with decreasing z.
            X_high = X + joined([total[::-1].cumsum()[::-1][1:], [0.0]])
            W_high = W + joined([W_total[::-1].cumsum()[::-1][1:], [0.0]])
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
            X_low = X + joined([[0.0], total.cumsum()[:-1]])
            W_low = W + joined([[0.0], W_total.cumsum()[:-1]])
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
        build = self.build = PiecesBuilder()
        top = above(self.z_end) - 1
        X = W = wide(0)
        if self.from_end:
            bottom = below(self.z_low) if self.z_low > 0.0 else None
            e = top
            while bottom is None or e >= bottom:
                if bottom is None and e < self.highest and self._cell(e + 1, X, W):
                    break
                X, W = self._octave(e, X, W)
                e -= 1
                if bottom is None and e < min(top, self.highest) - 80:
                    raise NotSmooth(0.0)
            lowest = e + 1
            if bottom is None:
                X, W = self.cell_end
        else:
            lowest = highest = min(top + 1, self.highest)
            while not self._cell(lowest, X, W):
                lowest -= 1
                if lowest < highest - 80:
                    raise NotSmooth(0.0)
            X, W = self.cell_end
            for e in range(lowest, top + 1):
                X, W = self._octave(e, X, W)
        self.X, self.W, self.lowest = X, W, lowest
        half = self.half
        half.to_x, half.to_W, half.to_F = build.grid(lowest), build.grid(lowest, 4), build.grid(lowest, 5)
        self._flatten()

    def _cell(self, e, X, W):
        """Whether one piece will do for [0, 2^e)."""
        low, high = zeros(1), wide([min(2.0**e, self.z_end)])
        series, end, W_end, good = self._fit(low, high, X, W)
        if good:
            self.build.cell = low, high, *series
            self.cell_end = end, W_end
        return good

    def _octave(self, e, X, W):
        """The pieces of [2^e, 2^(e + 1))."""
        low = wide(2.0**e)
        for divisions in range(self.divisions, MOST_DIVISIONS + 1):
            lows, highs = edges_of(low, 2 * low, divisions, self.z_end)
            series, end, W_end, good = self._fit(lows, highs, X, W)
            if good:
                # Neighbours need about as many.
                self.divisions = max(divisions - 1, 0)
                self.build.octaves[e] = divisions, lows, highs, *series
                return end, W_end
        raise NotSmooth(float(low))

    def _flatten(self):
        """All pieces of to_x in ascending order to invert them."""
        build = self.build
        parts = [] if build.cell is None else [build.cell[:3]]
        parts += [build.octaves[e][1:4] for e in sorted(build.octaves)]
        self.lows, self.highs, self.series = (joined(column) for column in zip(*parts, strict=True))
        ends = np.ones(len(self.lows))
        x_low, x_high = clenshaw(self.series, -ends), clenshaw(self.series, ends)
        if self.from_end:
            self.x_edges = joined([x_high[::-1], x_low[:1]])
        else:
            self.x_edges = joined([x_low, x_high[-1:]])

    def distance(self, x):
        """z at times x: Newton's method on the series of to_x."""
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
            step = (clenshaw(series, t) - x) * self.speed(np.maximum(centre + half * t, SMALLEST)) * direction / half
            t = np.minimum(np.maximum(t - step, -1.01), 1.01)
            if (np.abs(step) <= 8 * EPS).all():
                break
        return centre + half * t

    def _fit_back(self, lows, highs):
        """Distances on pieces of times: coefficients, and whether they are good."""
        x = ((lows + highs) / 2)[:, None] + ((highs - lows) / 2)[:, None] * T_NODES[None, :]
        z = self.distance(x.ravel()).reshape(x.shape)
        series = coefficients_of(z)
        # No better than a rounding in the lowest piece that begins at z = 0.
        largest = np.maximum(np.abs(z).max(axis=1), self.z_low or 2.0**self.lowest)
        good = np.abs(series[:, DEGREE + 1 :]).sum(axis=1) <= (1e-16 + 4 * self.drift.noise) * largest
        return series, bool(good.all())

    def distances(self):
        """Fill in to_z."""
        end = self.X
        build = PiecesBuilder()
        top = above(end) - 1
        lowest = highest = top + 1
        if not self.from_end:
            # As for `highest`: the first piece of times ends where that of distances may.
            at = min(2.0**self.highest, self.z_end)
            lowest = highest = min(top + 1, below(self.half.xs(float(at))))
        while True:
            low, high = zeros(1), wide([min(2.0**lowest, end)])
            series, good = self._fit_back(low, high)
            if good:
                break
            lowest -= 1
            if lowest < highest - 160:
                raise NotSmooth(0.0)
        build.cell = low, high, series
        divisions = 0
        for e in range(lowest, top + 1):
            low = wide(2.0**e)
            for parts in range(max(divisions - 1, 0), MOST_DIVISIONS + 1):
                lows, highs = edges_of(low, 2 * low, parts, end)
                series, good = self._fit_back(lows, highs)
                if good:
                    divisions = parts
                    build.octaves[e] = divisions, lows, highs, series
                    break
            else:
                raise NotSmooth(float(self.distance(wide([low]))[0]))
        self.half.to_z = build.grid(lowest)

    def check(self):
        """The largest error of the half in double precision, against Gauss-Legendre quadrature, and of the way back."""
        rng = np.random.default_rng(0)
        low = max(float(self.z_low), float(self.z_end) * 2.0**-TAIL_BITS)
        logs = exp_many(rng.uniform(log(low), log(float(self.z_end)), 200))
        z = np.unique(np.concatenate([logs, rng.uniform(low, float(self.z_end), 100), [float(self.z_end)]]))
        z = z[(z >= low) & (z <= float(self.z_end))]
        begin = joined([[self.z_low], z[:-1]])
        if self.z_low == 0.0:
            # From 0 to the first one F is nearly constant, or the time is nothing.
            begin[0] = 0
        t, weights = legendre()
        # No panel longer than an eighth of its distance, or of that in which the time changes by much.
        start = begin.astype(float)
        parts = 1 + (16 * (z - start) / np.maximum(start, z / 16)).astype(int)
        owner = np.repeat(np.arange(len(z)), parts)
        number = np.arange(len(owner)) - (np.cumsum(parts) - parts)[owner]
        width = (wide(z) - begin) / parts
        lows = begin[owner] + width[owner] * number
        highs = lows + width[owner]
        at = ((lows + highs) / 2)[:, None] + ((highs - lows) / 2)[:, None] * t[None, :]
        panels = ((1 / self.speed(at)) * weights).sum(axis=1) * (highs - lows) / 2
        steps = zeros(len(z))
        np.add.at(steps, owner, panels)
        # Summed from the origin, so that short times keep their digits.
        exact = joined([steps[1:], [0.0]])[::-1].cumsum()[::-1] if self.from_end else steps.cumsum()
        # What belongs to a rounding in the lowest piece, which begins at 0, is one of its size.
        size = z if self.z_low > 0.0 else np.maximum(z, min(2.0**self.lowest, float(self.z_end)))
        speed = self.speed(z).astype(float)
        x = self.half.xs(z)
        error = np.abs((x - exact).astype(float)) / (np.abs(x) + size / speed)
        back = np.abs(self.half.zs(x) - z) / (size + np.abs(x) * speed)
        if self.beyond is not None:
            own = np.maximum(self.beyond + z, self.drift.scale) / speed
            self.half.lost = roundings_lost(exact.astype(float), own, self.half.rising)
        return float(max(error.max(), back.max()))


def roundings_lost(x, own, rising):
    """How many times larger than they may be the times are, at places in a half far below.

    Their roundings should be those of the way that is left, or of the time `own` in which v changes by itself.
    """
    left = x.max() - x if rising else 0.0
    return float((x / (own + left)).max())
