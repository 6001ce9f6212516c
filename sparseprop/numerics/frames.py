"""Frames: growth factors and angles as functions of time, in which a state is constant between events."""

from .engine_time import MAX_EPOCH, NEVER

__all__ = ["SCALE_STEP", "Frame"]

SCALE_STEP = 64  # growth factors, and states with them, are rescaled in steps of 2^64


class Frame:
    """The growth E = exp(t / T) or the angle alpha = rate t, as functions of the engine-time pair."""

    def __init__(self, arithmetic, clock, tau, root, square, rotates):
        self.a, self.clock, self.rotates = arithmetic, clock, rotates
        self.rate = arithmetic.rate("turns" if rotates else "powers of two", clock.epoch, tau, square)
        self.scale = root / tau if rotates else tau / root
        self.epochs = {}

    def epoch(self, n):
        """At the start of epoch n: the mantissa in [1, 2) and the exponent of E, or the angle and whole turns."""
        if n not in self.epochs:
            whole, fraction = self.a.advance(self.rate, n)
            self.epochs = {n: (self.a.angle(fraction) if self.rotates else self.a.power(fraction), whole)}
        return self.epochs[n]

    def shift(self, n):
        """The power of two taken out of E, and of states, in epoch n."""
        return self.epoch(n)[1] // SCALE_STEP * SCALE_STEP

    def growth(self, t, shift):
        """E at t, divided by 2^shift."""
        mantissa, exponent = self.epoch(t[0])
        return self.a.scaled(mantissa * self.a.exp(t[1] / self.scale), exponent - shift)

    def alpha(self, t):
        """The angle at t up to whole turns."""
        return self.epoch(t[0])[0] + self.scale * t[1]

    def offset(self, value, anchor, n):
        """The s, any real number, for which E(n, s) = value 2^anchor, or alpha(n, s) = value + 2 pi anchor."""
        mantissa, exponent = self.epoch(n)
        if self.rotates:
            return ((value - mantissa) + self.a.turn * (anchor - exponent)) / self.scale
        return self.scale * self.a.log(self.a.scaled(value / mantissa, anchor - exponent))

    def locate(self, value, anchor, n):
        """The pair at which E = value 2^anchor or alpha = value + 2 pi anchor; n is only where to begin.

        The pair's n is the smallest one for which s < H, and s is at least 0: a pure function of value and anchor.
        """
        H = self.clock.epoch
        # s is rounded relative to H and to the frame's time scale, which may be much longer.
        margin = 2.0**-40 * (H + (1.0 / self.scale.real if self.rotates else self.scale.real))
        s = self.offset(value, anchor, n)
        if not 0.0 <= s.real < H:
            if s.real >= H * MAX_EPOCH:
                return NEVER
            n = max(n + self.a.floor(s.real / H), 0)
            s = self.offset(value, anchor, n)
            while s.real >= H:
                n += self.a.floor(s.real / H)
                s = self.offset(value, anchor, n)
        while s.real < margin and n > 0:
            earlier = self.offset(value, anchor, n - 1)
            if earlier.real >= H:
                break
            n, s = n - 1, earlier
        if s.real < 0.0:
            s = s - s.real
        return n, s

    def turn_to(self, beta, since, n):
        """The pair at which alpha = beta modulo 2 pi, from a quarter turn before `since` to three quarters after."""
        angle, turns = self.epoch(since[0])
        ahead = (beta - (angle + self.scale * since[1])) / self.a.turn
        return self.locate(beta, turns - self.a.floor(ahead.real + 0.25), n)
