"""The reference engine: what every engine must compute, in plain Python, to be read in one sitting.

Its functions come from an :class:`Arithmetic`. With :class:`DoubleArithmetic` (``math``) it is the bit-exact
oracle of the compiled engines; with :class:`MultiprecisionArithmetic` (``mpmath``) the 50-digit one, which takes
exponentials and angles of the full time instead of fixed-point epochs; with :class:`ComplexArithmetic` it carries
an infinitesimal imaginary part along (the complex step). Numbers are ordered by their real parts.
"""

import cmath
import copy
import math
from typing import NamedTuple

import numpy as np
from sortedcontainers import SortedKeyList, SortedList

from ..errors import EngineFault
from ..models import lif_constants, lifexp_constants, qif_constants, riccati_parameters, tabulated_constants
from ..numerics.drifts import Drift
from ..numerics.engine_time import FRACTION_BITS, LN2, MAX_EPOCH, TWO_PI, advance_per_epoch
from .input import parameters_of

__all__ = ["ComplexArithmetic", "DoubleArithmetic", "MultiprecisionArithmetic", "ReferenceEngine"]

NEVER = (2**62, 0.0)
COUNTERS = ("n_spikes", "n_synaptic_events", "n_input_events", "n_drive_events", "n_close_calls", "n_changes")
LARGEST_STATE = 2.0**900  # so that no quotient or sum that is taken of states overflows
SCALE_STEP = 64  # growth factors, and states with them, are rescaled in steps of 2^64


# Arithmetics ------------------------------------------------------------------------------------------------------


class DoubleArithmetic:
    """IEEE doubles and the platform's libm, as the compiled engines use them."""

    exp, log, sin, cos, sqrt, tanh, log1p = math.exp, math.log, math.sin, math.cos, math.sqrt, math.tanh, math.log1p
    atan2 = staticmethod(math.atan2)
    fsum = staticmethod(math.fsum)
    number = float
    tolerance = 2.0**-52  # of a root, relative to the time to it and to tau

    def relative_expm1(self, z):
        """(exp(z) - 1) / z, and 1 at 0."""
        return math.expm1(z) / z if z != 0.0 else 1.0

    def scaled(self, x, exponent):
        """x times a power of two, infinite where it overflows."""
        try:
            return math.ldexp(x, exponent)
        except OverflowError:
            return math.copysign(math.inf, x)

    def isfinite(self, x):
        """Whether x is neither infinite nor NaN."""
        return math.isfinite(x)

    def floor(self, x):
        """The largest whole number below or at x."""
        return math.floor(x)

    def rate(self, unit, epoch, tau, square):
        """What :meth:`advance` needs to know about a frame."""
        return advance_per_epoch(unit, epoch, tau, square)

    def advance(self, rate, n):
        """n times the advance per epoch: the whole part and, as a double, the first 53 places of the rest."""
        whole, places = divmod(rate * n, 1 << FRACTION_BITS)
        return whole, (places >> (FRACTION_BITS - 53)) * 2.0**-53

    def power(self, fraction):
        """2 to a fraction in [0, 1)."""
        return self.exp(fraction * LN2)

    def angle(self, fraction):
        """A fraction of a turn in rad."""
        return fraction * TWO_PI

    @property
    def turn(self):
        """2 pi."""
        return TWO_PI


class ComplexArithmetic(DoubleArithmetic):
    """Doubles with an imaginary part that stands for a derivative: exact to first order in it.

    Frame rates are real in value; their derivative is carried to the fraction by the product rule.
    """

    exp, log, sin, cos, sqrt, tanh = cmath.exp, cmath.log, cmath.sin, cmath.cos, cmath.sqrt, cmath.tanh  # type: ignore
    number = complex  # type: ignore

    def relative_expm1(self, z):
        z = complex(z)
        x, value = z.real, super().relative_expm1(z.real)
        series = 0.5 + x / 3.0 + x * x / 8.0 + x**3 / 30.0 + x**4 / 144.0
        slope = (math.exp(x) - value) / x if abs(x) > 1e-2 else series
        return complex(value, slope * z.imag)

    def log1p(self, z):
        return complex(math.log1p(z.real), z.imag / (1.0 + z.real))

    def atan2(self, y, x):
        y, x = complex(y), complex(x)
        derivative = (x.real * y.imag - y.real * x.imag) / (x.real**2 + y.real**2)
        return complex(math.atan2(y.real, x.real), derivative)

    def fsum(self, terms):
        terms = [complex(term) for term in terms]
        return complex(math.fsum(z.real for z in terms), math.fsum(z.imag for z in terms))

    def scaled(self, x, exponent):
        x = complex(x)
        return complex(super().scaled(x.real, exponent), super().scaled(x.imag, exponent))

    def isfinite(self, x):
        return cmath.isfinite(x)

    def rate(self, unit, epoch, tau, square):
        tau, square = complex(tau), complex(square)
        fixed = advance_per_epoch(unit, epoch, tau.real, square.real)
        relative = square.imag / (2.0 * square.real) - tau.imag / tau.real
        return fixed, relative * (fixed / (1 << FRACTION_BITS))

    def advance(self, rate, n):
        whole, fraction = super().advance(rate[0], n)
        return whole, complex(fraction, n * rate[1])


class MultiprecisionArithmetic:
    """mpmath numbers with `digits` decimal digits; an oracle for accuracy, independent of fixed-point epochs."""

    def __init__(self, digits=50):
        import mpmath

        self.mp = mpmath.mp.clone()
        self.mp.dps = digits
        for name in ("exp", "log", "sin", "cos", "sqrt", "tanh", "log1p", "atan2", "fsum", "isfinite"):
            setattr(self, name, getattr(self.mp, name))
        self.number = self.mp.mpf
        self.tolerance = self.mp.mpf(10) ** -digits
        self.turn = 2 * self.mp.pi

    def scaled(self, x, exponent):
        return self.mp.ldexp(x, exponent)

    def relative_expm1(self, z):
        return self.mp.expm1(z) / z if z else self.mp.mpf(1)

    def floor(self, x):
        return int(self.mp.floor(x))

    def rate(self, unit, epoch, tau, square):
        unit = self.mp.log(2) if unit == "powers of two" else self.turn
        return epoch * self.mp.sqrt(square) / (tau * unit)

    def advance(self, rate, n):
        total = rate * n
        whole = int(self.mp.floor(total))
        return whole, total - whole

    def power(self, fraction):
        return self.mp.mpf(2) ** fraction

    def angle(self, fraction):
        return fraction * self.turn


# Frames -----------------------------------------------------------------------------------------------------------


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


# Neurons: a state that is constant between events, and what a kick, a spike and a threshold are in it ---------------


class Neuron:
    """One neuron. Subclasses are the models' coordinates; times are engine-time pairs.

    ``place(V, now)`` sets the state from a voltage, ``kick(weight, now, port)`` adds `weight` to V or to a current,
    ``over_threshold(now)`` is asked after a kick only, ``next_spike(since, now)`` is the next spike without
    input, ``reset(release, now)`` is the state after a spike for the time `release`, ``voltage(now)`` reads V,
    ``take_over(other, now)`` sets the state to that of `other`, the same neuron with other parameters, and
    ``hold(other, now)`` does so for a refractory one. ``kick_held(weight, now, port)`` is a kick in the refractory
    period. ``state`` names the attributes that say all about the present, besides the time ``base``.
    """

    state: tuple[str, ...]

    frame = None
    base = (0, 0.0)
    shift = 0
    origin = None  # the voltage that is 0 for the neuron, or None if that is 0

    def __init__(self, engine):
        self.engine, self.a = engine, engine.a
        self.release = (0, 0.0)  # the end of the refractory period

    def enter(self, now):
        """Bring a state that grows with E to the scale of the present epoch, in steps that all engines share."""
        shift = self.frame.shift(now[0])
        for _ in range(min((shift - self.shift) // SCALE_STEP, 40)):
            self.grown = self.a.scaled(self.grown, -SCALE_STEP)
        self.shift = shift

    def hold(self, other, now):
        """Nothing but the release time matters."""
        self.reset(self.release, now)

    def kick_held(self, weight, now, port):
        """Kicks are dropped; whether that is all right."""
        return True

    def get_state(self):
        """The numbers of the present."""
        return [getattr(self, name) for name in self.state]

    def set_state(self, numbers):
        """Undo :meth:`get_state`."""
        for name, value in zip(self.state, numbers, strict=True):
            setattr(self, name, value)


class LIFNeuron(Neuron):
    """x = (V_inf - V) E, kept with 2^shift taken out of x and E."""

    state = ("grown",)

    def __init__(self, engine, parameters):
        super().__init__(engine)
        vars(self).update(lif_constants(self.a.fsum, **parameters))
        self.frame = engine.frame(**self.frame)

    def place(self, V, now):
        self.grown = ((self.V_inf - V) + self.V_inf_low) * self.frame.growth(now, self.shift)

    def take_over(self, other, now):
        change = (self.V_inf - other.V_inf) + (self.V_inf_low - other.V_inf_low)
        self.grown = other.grown + change * self.frame.growth(now, self.shift)

    def kick(self, weight, now, port):
        grown = self.grown - weight * self.frame.growth(now, self.shift)
        if not abs(grown.real) < LARGEST_STATE:
            return False
        self.grown = grown
        return True

    def over_threshold(self, now):
        return self.grown.real <= (self.gap * self.frame.growth(now, self.shift)).real

    def next_spike(self, since, now):
        if self.gap.real <= 0.0:
            return NEVER
        gap, power = self.gap_scaled
        return self.frame.locate(self.grown / gap, self.shift - power, now[0])

    def reset(self, release, now):
        self.grown = self.depth * self.frame.growth(release, self.shift)

    def voltage(self, now):
        return self.V_inf - self.grown / self.frame.growth(now, self.shift)


class RiccatiNeuron(Neuron):
    """tau dV/dt = V^2 + I; the state is a direction in the plane, its length has no meaning.

    In the coordinates that all regimes share, ``direction_now`` and ``place_direction``, it is (P, Q) with V = Q / P.
    """

    def __init__(self, engine, constants):
        super().__init__(engine)
        vars(self).update(constants)
        self.frame = engine.frame(**self.frame) if self.frame else None
        self.inverse_root = 1.0 / self.root if self.regime != "shear" else None

    def place(self, V, now):
        if math.isinf(V.real):
            self.place_direction(self.a.number(0.0), self.a.number(-1.0), now)
        else:
            self.place_direction(self.a.number(1.0), V, now)

    def take_over(self, other, now):
        self.place_direction(*other.direction_now(now), now)

    def in_range(self, x, y, unit=1.0):
        """(x, y), rescaled by a power of two when far from `unit`; None if it is not finite."""
        size = abs(x.real) + abs(y.real) * unit
        if not size < LARGEST_STATE:
            return None
        step = -100 if size > unit * 2.0**100 else 100 if size < unit * 2.0**-100 else 0
        return (self.a.scaled(x, step), self.a.scaled(y, step)) if step else (x, y)

    def direction(self, x, y):
        """(x, y) scaled so that its larger component is 1."""
        size = max(abs(x.real), abs(y.real))
        return x / size, y / size

    @staticmethod
    def ratio(above, below):
        """above / below, infinite where the neuron is passing through infinity."""
        return above / below if below.real != 0.0 else math.copysign(math.inf, above.real)


class RotationNeuron(RiccatiNeuron):
    """I > 0: V / sqrt(I) = q / p; (p, q) is constant in the frame that rotates with alpha, and p >= 0 as seen now."""

    def enter(self, now):
        """Nothing grows here."""

    def turned(self, t):
        """cos and sin of alpha."""
        alpha = self.frame.alpha(t)
        return self.a.cos(alpha), self.a.sin(alpha)

    state = ("p", "q")

    def direction_now(self, now):
        c, s = self.turned(now)
        return self.p * c - self.q * s, self.root * (self.p * s + self.q * c)

    def place_direction(self, P, Q, now):
        p, q = self.direction(self.root * P, Q)
        c, s = self.turned(now)
        self.p, self.q = p * c + q * s, q * c - p * s

    def kick(self, weight, now, port):
        c, s = self.turned(now)
        d = weight * self.inverse_root * (self.p * c - self.q * s)
        state = self.in_range(self.p + d * s, self.q + d * c)
        self.p, self.q = state or (self.p, self.q)
        return state is not None

    def over_threshold(self, now):
        if not self.finite_peak:
            return False
        c, s = self.turned(now)
        a, b = self.peak
        return (b * (self.p * c - self.q * s) - a * (self.p * s + self.q * c)).real <= 0.0

    def next_spike(self, since, now):
        a, b = self.peak
        beta = self.a.atan2(b * self.p - a * self.q, a * self.p + b * self.q)
        return self.frame.turn_to(beta, since, now[0])

    def reset(self, release, now):
        a, b = self.reset_direction
        c, s = self.turned(release)
        self.p, self.q = a * c + b * s, b * c - a * s

    def voltage(self, now):
        c, s = self.turned(now)
        return self.ratio(self.root * (self.p * s + self.q * c), self.p * c - self.q * s)


class SaddleNeuron(RiccatiNeuron):
    """I < 0: V = kappa (a - b E) / (a + b E), kappa = sqrt(-I), E = exp(2 kappa t / tau); a is kept as x is in LIF."""

    def enter(self, now):
        if self.b.real != 0.0:  # at the unstable point nothing grows, and the length of the vector has no meaning
            super().enter(now)
        self.shift = self.frame.shift(now[0])

    state = ("grown", "b")

    def direction_now(self, now):
        E = self.frame.growth(now, self.shift)
        return self.grown + self.b * E, self.root * (self.grown - self.b * E)

    def place_direction(self, P, Q, now):
        first, self.b = self.direction(self.root * P + Q, self.root * P - Q)
        self.grown = first * self.frame.growth(now, self.shift)

    def kick(self, weight, now, port):
        E = self.frame.growth(now, self.shift)
        d = weight * (self.grown + self.b * E) / (2.0 * self.root)
        state = self.in_range(self.grown + d, self.b - d / E, E.real)
        self.grown, self.b = state or (self.grown, self.b)
        return state is not None

    def over_threshold(self, now):
        if not self.finite_peak:
            return False
        a, b = self.peak
        return (a * (self.b * self.frame.growth(now, self.shift)) - b * self.grown).real <= 0.0

    def next_spike(self, since, now):
        a, b = self.peak
        if (a * self.b).real >= 0.0:
            return NEVER
        return self.frame.locate((b * self.grown) / (a * self.b), self.shift, now[0])

    def reset(self, release, now):
        a, self.b = self.reset_direction
        self.grown = a * self.frame.growth(release, self.shift)

    def voltage(self, now):
        E = self.frame.growth(now, self.shift)
        return self.ratio(self.root * (self.grown - self.b * E), self.grown + self.b * E)


class ShearNeuron(RiccatiNeuron):
    """I at or near 0: V = q / p at the time `base` of the last kick or spike."""

    def enter(self, now):
        """Nothing grows here."""

    def at(self, now):
        """(p, q) at `now`, up to a positive factor."""
        H = self.engine.clock.epoch
        u = ((now[0] - self.base[0]) * H + (now[1] - self.base[1])) / self.tau
        if self.I_e.real > 0.0:
            C, S = self.a.cos(self.root * u), self.a.sin(self.root * u) / self.root
            return C * self.p - S * self.q, self.I_e * S * self.p + C * self.q
        S = self.a.tanh(self.root * u) / self.root if self.I_e.real < 0.0 else u
        return self.p - S * self.q, self.I_e * S * self.p + self.q

    state = ("p", "q")

    def direction_now(self, now):
        return self.at(now)

    def place_direction(self, P, Q, now):
        self.p, self.q = self.direction(P, Q)
        self.base = now

    def kick(self, weight, now, port):
        p, q = self.at(now)
        state = self.in_range(p, q + weight * p)
        if state is not None:
            (self.p, self.q), self.base = state, now
        return state is not None

    def over_threshold(self, now):
        a, b = self.peak
        return self.finite_peak and (b * self.p - a * self.q).real <= 0.0

    def next_spike(self, since, now):
        a, b = self.peak
        across = b * self.p - a * self.q
        along = b * self.q + a * self.I_e * self.p
        if self.I_e.real > 0.0:
            u = self.a.atan2(self.root * across, along) / self.root
        elif along.real <= 0.0:
            return NEVER
        elif self.I_e.real == 0.0:
            u = across / along
        else:
            u = self.root * across / along
            if u.real >= 1.0:
                return NEVER
            u = 0.5 * self.a.log1p(2.0 * u / (1.0 - u)) / self.root
        return self.engine.plus(self.base, self.tau * u if u.real > 0.0 else 0.0 * u)

    def reset(self, release, now):
        self.p, self.q = self.reset_direction
        self.base = release

    def voltage(self, now):
        p, q = self.at(now)
        return self.ratio(q, p)


REGIMES = {"rotation": RotationNeuron, "saddle": SaddleNeuron, "shear": ShearNeuron}


def qif_neuron(engine, parameters):
    """A Riccati neuron in the coordinates of its regime."""
    parameters, origin = riccati_parameters(**parameters)
    constants = qif_constants(engine.a.sqrt, **parameters) | {"origin": origin}
    constants["reset_direction"] = constants.pop("reset")  # `reset` is the method
    return REGIMES[constants["regime"]](engine, constants)


class LIFExpNeuron(Neuron):
    """A leaky neuron with synaptic currents, D = V_inf - V and the currents I_k being sums of exponentials.

    The state belongs to the time ``base`` of the last kick, spike or change, but is extrapolated from there to the
    start of base's epoch: with u the time since then, I_k = a_k exp(-u / tau_k), and

        D = exp(-u / tau) (x + sum over near ports of a_k phi_k(u)) + sum over far ports of gain_k I_k.

    So a kick of a neuron that was kicked in the same epoch multiplies and adds, and all neurons share the factors.
    """

    def __init__(self, engine, parameters):
        super().__init__(engine)
        vars(self).update(lifexp_constants(self.a.fsum, **parameters))
        self.frame = None
        self.base = (0, self.a.number(0.0))
        self.x, self.currents = self.a.number(0.0), [self.a.number(0.0) for _ in self.ports]
        self.real = self.without_derivatives() if isinstance(self.gap, complex) else None

    def without_derivatives(self):
        """The same neuron in doubles."""
        real = copy.copy(self)
        real.a, real.tau, real.gap = DoubleArithmetic(), self.tau.real, self.gap.real
        real.ports = [{name: value.real for name, value in port.items()} for port in self.ports]
        return real

    def enter(self, now):
        """Nothing grows here."""

    def get_state(self):
        return [*self.base, self.x, *self.currents]

    def set_state(self, numbers):
        n, s, self.x, *self.currents = numbers
        self.base = int(n), s

    def elapsed(self, now):
        """Time since the start of the epoch of ``base``; exact but for one rounding."""
        return (now[0] - self.base[0]) * self.engine.clock.epoch + now[1]

    def phi(self, port, u):
        """D exp(u / tau) for a unit of current at 0, of a near port: minus the convolution of both exponentials."""
        if u.real > 700.0 * self.tau.real:
            return 0.0 * u
        return -(u / self.tau) * self.a.relative_expm1(port["slope"] * u)

    def move_to(self, n):
        """Extrapolate the state to the start of epoch n instead."""
        if n == self.base[0]:
            return
        u = self.a.number((n - self.base[0]) * self.engine.clock.epoch)
        for k, port in enumerate(self.ports):
            if port["near"]:
                self.x = self.x + self.currents[k] * self.phi(port, u)
            self.currents[k] = self.currents[k] * self.a.exp(-u / port["tau"])
        self.x = self.x * self.a.exp(-u / self.tau)

    def place(self, V, now):
        self.x = ((self.V_inf - V) + self.V_inf_low) * self.a.exp(now[1] / self.tau)
        self.currents = [self.a.number(0.0) for _ in self.ports]
        self.base = now

    def take_over(self, other, now):
        self.x, self.currents, self.base = other.x, other.currents, other.base
        self.move_to(now[0])
        change = (self.V_inf - other.V_inf) + (self.V_inf_low - other.V_inf_low)
        self.x = self.x + change * self.a.exp(now[1] / self.tau)
        self.base = now

    def hold(self, other, now):
        self.x, self.currents, self.base = other.x, other.currents, other.base
        self.set_depth()

    def kick(self, weight, now, port):
        self.move_to(now[0])
        s, tau, p = now[1], self.tau, self.ports[port]
        growth = self.a.exp(s / p["tau"])
        reach = growth * self.phi(p, s) if p["near"] else p["gain"] * self.a.exp(s / tau)
        x, current = self.x - weight * reach, self.currents[port] + weight * growth
        self.base = now
        if not (abs(x.real) < LARGEST_STATE and abs(current.real) < LARGEST_STATE):
            return False
        self.x, self.currents[port] = x, current
        return True

    def kick_held(self, weight, now, port):
        u = self.elapsed(now)
        current = self.currents[port] + weight * self.a.exp(u / self.ports[port]["tau"])
        if not abs(current.real) < LARGEST_STATE:
            return False
        self.currents[port] = current
        self.set_depth()
        return True

    def over_threshold(self, now):
        """No kick moves V."""
        return False

    def reset(self, release, now):
        self.move_to(release[0])
        self.base = release
        self.set_depth()

    def set_depth(self):
        """D = depth at ``base``, whatever the currents are."""
        s = self.base[1]
        x = self.depth
        for a, port in zip(self.currents, self.ports, strict=True):
            if not port["near"]:
                x = x - port["gain"] * (a * self.a.exp(-s / port["tau"]))
        x = x * self.a.exp(s / self.tau)
        for a, port in zip(self.currents, self.ports, strict=True):
            if port["near"]:
                x = x - a * self.phi(port, s)
        self.x = x

    def at(self, x, currents, u):
        """D and the currents after a time u, from x and currents at 0."""
        inner, outer, later = x, 0.0 * x, []
        for a, port in zip(currents, self.ports, strict=True):
            current = a * self.a.exp(-u / port["tau"])
            later.append(current)
            if port["near"]:
                inner = inner + a * self.phi(port, u)
            else:
                outer = outer + port["gain"] * current
        return inner * self.a.exp(-u / self.tau) + outer, later

    def voltage(self, now):
        return self.V_inf - self.at(self.x, self.currents, self.elapsed(now))[0]

    def next_spike(self, since, now):
        """The first root of D = gap from ``base`` on; its derivative by the implicit function, at the double it is."""
        s = self.base[1]
        x = self.x
        for a, port in zip(self.currents, self.ports, strict=True):
            if port["near"]:
                x = x + a * self.phi(port, s)
        x = x * self.a.exp(-s / self.tau)
        currents = [a * self.a.exp(-s / port["tau"]) for a, port in zip(self.currents, self.ports, strict=True)]
        outer = 0.0 * x
        for current, port in zip(currents, self.ports, strict=True):
            if not port["near"]:
                outer = outer + port["gain"] * current
        D = x + outer
        if not (D - self.gap).real > 0.0:
            return self.base
        if self.real is None:
            u = self.first_root(x, currents, D)
        else:
            u = self.real.first_root(x.real, [current.real for current in currents], D.real)
            u = None if u is None else self.with_derivative(u, x, currents)
        return NEVER if u is None else self.engine.plus(self.base, u)

    def with_derivative(self, u, x, currents):
        """A root with its derivative, if V does not only graze the threshold."""
        D, later = self.at(x, currents, complex(u))
        slope = self.real.gap + sum(current.real for current in later)
        return complex(u, self.real.tau * (D - self.gap).imag / slope if slope > 0.0 else 0.0)

    def first_root(self, x, currents, D):
        """The first root of D = gap, from 0 on; None if there is none.

        exp(u / tau) (D - gap) falls where the sum of the currents exceeds -gap and rises where not. So the ends of the
        intervals in which it falls tell whether one of these has a root.
        """
        positive, at_once = 0.0, self.gap
        for current in currents:
            positive, at_once = positive + max(current, 0.0), at_once + current
        if positive + self.gap <= 0.0:
            return None
        flowing = [(a, port["tau"]) for a, port in zip(currents, self.ports, strict=True) if a != 0.0]
        flowing, taus = [a for a, _ in flowing], [tau for _, tau in flowing]
        turns = []
        if flowing and not self.rises_only(x, currents, flowing, taus, D):
            turns = sign_changes(self.a, flowing, taus, self.gap)
        begin = 0.0 * x
        falls = at_once > 0.0 or (not turns and self.falls_at_last(flowing, taus))
        if self.gap == 0.0:  # where currents underflow, their sum has no sign
            turns = [end for end in turns if not end > 200.0 * self.longest()]
        for end in turns:
            if falls and not self.at(x, currents, end)[0] - self.gap > 0.0:
                return self.find_root(x, currents, D, begin, end)
            falls, begin = not falls, end
        if not falls or self.gap < 0.0:
            return None
        return self.find_root(x, currents, D, begin, None)

    def is_inhibited(self, currents):
        """Whether the sum of the currents and the gap can only rise, to what is positive."""
        return self.gap > 0.0 and all(current <= 0.0 for current in currents)

    def start(self, x, D):
        """Where the search for the root begins in inhibited neurons."""
        return self.tau * self.a.log((x if x > self.gap else D) / self.gap)

    def rises_only(self, x, currents, flowing, taus, D):
        """Whether that sum is positive where the search begins, which leaves nothing to divide the time by."""
        if not self.is_inhibited(currents):
            return False
        if _sum_at(self.a, flowing, taus, self.gap, 0.0 * x) > 0.0:
            return True
        return _sum_at(self.a, flowing, taus, self.gap, self.start(x, D)) > 0.0

    def falls_at_last(self, currents, taus):
        """Whether D falls in the end, where the sum of the currents has one sign that rounding hid at first."""
        return self.gap > 0.0 or (self.gap == 0.0 and last_sign(currents, taus) > 0.0)

    def find_root(self, x, currents, D, begin, end):
        """The root of D = gap in [begin, end], or from `begin` on (None where there is none after all).

        A step goes to where D would be at `gap` if the currents stayed as they are, and then once more with their mean
        over that step. It is exact without currents; its error is of third order in the step, which tells when to stop.
        An interval that holds the root makes it safe.
        """
        low, high, tau, longest = begin, end, self.tau, self.longest()
        u = begin
        if self.is_inhibited(currents):
            u = self.start(x, D)
            if not u > low:
                u = low
        for _ in range(100):
            if end is None and u > 200.0 * longest and self.gap == 0.0:
                return None
            D, later = self.at(x, currents, u)
            F, S, first, second = D - self.gap, self.gap, 0.0, 0.0
            for current, port in zip(later, self.ports, strict=True):
                rate = abs(current) / port["tau"]
                S, first = S + current, first + rate
                second = second + rate * (1.0 / port["tau"] + 1.0 / tau)
            if F > 0.0:
                low = u
            else:
                high = u
            new = None
            if S > 0.0 and F > -S:
                step, mean = tau * self.a.log1p(F / S), self.gap
                for current, port in zip(later, self.ports, strict=True):
                    mean = mean + (current / (1.0 + step / (2.0 * port["tau"])) if step > -port["tau"] else current)
                if mean > 0.0 and F + mean > 0.0:
                    step = tau * self.a.log1p(F / mean)
                new = u + step
                size, turn = abs(step), first * step / S
                if size * (turn * turn + size * size * second / S) <= self.a.tolerance * (u + tau):
                    return low if new < begin else new
            if new is None or not (low < new and (high is None or new < high)):
                new = low + tau if high is None else 0.5 * (low + high)
            if new == u:
                return new
            u = new
        # Driven exactly to threshold, V may come ever nearer to it without an end.
        return None if high is None and self.gap == 0.0 else u

    def longest(self):
        """The longest time constant."""
        longest = self.tau
        for port in self.ports:
            longest = max(longest, port["tau"])
        return longest


def last_sign(weights, taus):
    """A number with the sign that a sum of decaying exponentials has in the end."""
    slowest, sign = 0.0, 0.0
    for weight, tau in zip(weights, taus, strict=True):
        if weight != 0.0 and tau >= slowest:
            slowest, sign = tau, weight
    return sign


def sign_changes(a, weights, taus, constant):
    """The zeros u > 0 of constant + sum of weights[k] exp(-u / taus[k]), ascending.

    Multiplied by exp(u / taus[0]) and differentiated, it loses a term; between the zeros of what remains there is at
    most one.
    """
    if len(weights) == 1:
        ratio = -weights[0] / constant if constant != 0.0 else 0.0
        return [taus[0] * a.log(-weights[0] / constant)] if ratio > 1.0 else []
    first, longest = taus[0], taus[0]
    for tau in taus[1:]:
        longest = max(longest, tau)
    inner = sign_changes(
        a,
        [w * ((tau - first) / (first * tau)) for w, tau in zip(weights[1:], taus[1:], strict=True)],
        taus[1:],
        constant / first,
    )
    zeros = []
    left, left_sign = 0.0 * first, _sum_at(a, weights, taus, constant, 0.0 * first) > 0.0
    for right in inner:
        right_sign = _sum_at(a, weights, taus, constant, right) > 0.0
        if left_sign != right_sign:
            zeros.append(_zero_between(a, weights, taus, constant, left, right, left_sign))
        left, left_sign = right, right_sign
    end = constant if constant != 0.0 else last_sign(weights, taus)
    if left_sign != (end > 0.0):
        step = longest
        for _ in range(12):
            right = left + step
            if (_sum_at(a, weights, taus, constant, right) > 0.0) != left_sign:
                zeros.append(_zero_between(a, weights, taus, constant, left, right, left_sign))
                break
            step = 2.0 * step
    return zeros


def _sum_at(a, weights, taus, constant, u):
    total = constant
    for weight, tau in zip(weights, taus, strict=True):
        total = total + weight * a.exp(-u / tau)
    return total


def _zero_between(a, weights, taus, constant, low, high, positive):
    """The zero in [low, high] of a sum that is positive at `low` or not, by Newton's method kept in the interval."""
    u = 0.5 * (low + high)
    for _ in range(200):
        value, slope = constant, 0.0 * constant
        for weight, tau in zip(weights, taus, strict=True):
            term = weight * a.exp(-u / tau)
            value, slope = value + term, slope - term / tau
        if (value > 0.0) == positive:
            low = u
        else:
            high = u
        new = None
        if slope != 0.0:
            step = -value / slope
            new = u + step
            if abs(step) <= 2.0**-30 * u and low <= new <= high:
                return new
        if new is None or not low < new < high:
            new = 0.5 * (low + high)
        if new == u:
            return new
        u = new
    return u


class TabulatedNeuron(Neuron):
    """A flow in a table: a time x along it, and the half of the table that it is in, as of ``base``.

    The tables are those of the compiled engines. At and above threshold x is -1.
    """

    def __init__(self, engine, constants):
        super().__init__(engine)
        vars(self).update(constants)
        self.base = (0, self.a.number(0.0))
        self.x, self.half = 0.0, 0

    def get_state(self):
        return [*self.base, self.x, float(self.half)]

    def set_state(self, numbers):
        n, s, self.x, half = numbers
        self.base, self.half = (int(n), s), int(half)

    def enter(self, now):
        """Nothing grows here."""

    def elapsed(self, now):
        """The time since ``base`` in units of tau."""
        H = self.engine.clock.epoch
        return ((now[0] - self.base[0]) * H + (now[1] - self.base[1])) * self.inverse_tau

    def now(self, now):
        """The voltage of the table now."""
        half, x = self.table.advance(self.half, self.x, self.elapsed(now))
        return self.table.voltage(half, x)

    def put(self, v, now):
        """The state from a voltage of the table."""
        self.half, self.x = self.table.place(v)
        self.base = now

    def place(self, V, now):
        self.put((V - self.offset) / self.unit, now)

    def take_over(self, other, now):
        self.put(other.now(now), now)

    def kick(self, weight, now, port):
        v = self.now(now) + weight * self.inverse_unit
        if not abs(v.real) < LARGEST_STATE or v.real < self.table.v_min:
            return False
        self.put(v, now)
        return True

    def over_threshold(self, now):
        return self.x == -1.0 and self.half == len(self.table.halves) - 1

    def next_spike(self, since, now):
        u = self.table.to_spike(self.half, self.x)
        return self.engine.plus(self.base, self.tau * max(u, 0.0)) if u < math.inf else NEVER

    def reset(self, release, now):
        self.half, self.x = self.reset_place
        self.base = release

    def voltage(self, now):
        return self.offset + self.unit * self.now(now)


class TabulatedDerivative(TabulatedNeuron):
    """The same with infinitesimal parts: the real part is that of the tables, the derivatives are those of the flow.

    Over a time h, v goes to w, and dw = F(w) (dv / F(v) + dh + drive' times the integral of 1 / F along the way). None
    of this uses the derivatives of the tables, which the backward pass of the compiled engine does.
    """

    def __init__(self, engine, constants):
        super().__init__(engine, constants)
        self.moved = 0.0  # dv at `base`
        self.depth = self.at_reset.imag

    def real_of(self, half, x):
        """The distance in a half, and |F| there."""
        z = self.table.halves[half].z_of(x)
        return z, float(self.table.speed(half, z))

    def later(self, elapsed):
        """The state after a complex time, and its infinitesimal part."""
        table, u = self.table, elapsed.real
        half, x = table.advance(self.half, self.x, u)
        start, end = self.real_of(self.half, self.x)[1], self.real_of(half, x)[1]
        change = end / start * self.moved + table.halves[half].direction * end * elapsed.imag
        if self.drive.imag:
            change += self.drive.imag * table.weighted_time(self.half, self.x, u, end)
        return half, x, change

    def now(self, now):
        half, x, change = self.later(self.elapsed(now))
        return complex(self.table.voltage(half, x), change)

    def put(self, v, now):
        self.half, self.x = self.table.place(v.real)
        self.moved, self.base = v.imag, now

    def next_spike(self, since, now):
        table = self.table
        u = max(table.to_spike(self.half, self.x), 0.0)
        if not u < math.inf:
            return NEVER
        last = len(table.halves) - 1
        speed = float(table.speed(last, 0.0))
        start = self.real_of(self.half, self.x)[1]
        change = (self.v_th.imag - speed / start * self.moved) / speed
        if self.drive.imag:
            change -= self.drive.imag * table.weighted_time(self.half, self.x, u, speed) / speed
        return self.engine.plus(self.base, self.tau * complex(u, change))

    def reset(self, release, now):
        super().reset(release, now)
        self.moved = self.depth


class TabulatedExactly(TabulatedNeuron):
    """The same in any precision: v itself at ``base``, and the time between two voltages by quadrature.

    The table only says where Newton's method begins.
    """

    def __init__(self, engine, constants):
        super().__init__(engine, constants)
        self.v = self.a.number(0)
        self.low = self.table.drift.exact(self)

    def between(self, v, w):
        """The time from v to w."""
        mp = self.a.mp
        edges = [mp.mpf(v), *(mp.mpf(e) for e in self.table.panels(float(v), float(w))), mp.mpf(w)]
        return sum(
            (mp.quad(lambda y: 1 / self.low(y), pair) for pair in zip(edges, edges[1:], strict=False)), mp.mpf(0)
        )

    def put(self, v, now):
        self.half, self.x = self.table.place(float(v))
        self.v, self.base = v, now

    def now(self, now):
        u = self.elapsed(now)
        if u == 0:
            return self.v
        half, x = self.table.advance(self.half, self.x, float(u))
        w = self.a.number(self.table.voltage(half, x))
        if self.low(self.v) == 0 or w == self.v:
            return self.v
        missing = u - self.between(self.v, w)
        # The guess has 16 digits, so the second step has all.
        for _ in range(2):
            step = missing * self.low(w)
            missing = missing - self.between(w, w + step)
            w = w + step
        return w

    def next_spike(self, since, now):
        if self.v >= self.v_th:
            return self.base
        if not self.table.to_spike(self.half, self.x) < math.inf:
            return NEVER
        return self.engine.plus(self.base, self.tau * self.between(self.v, self.v_th))

    def reset(self, release, now):
        super().reset(release, now)
        self.v = self.at_reset


def tabulated_neuron(engine, parameters):
    """A neuron with a table, in the way of the arithmetic."""
    constants = tabulated_constants(engine.a.fsum, **parameters)
    constants["reset_place"] = constants.pop("reset")  # `reset` is the method
    kinds = {ComplexArithmetic: TabulatedDerivative, MultiprecisionArithmetic: TabulatedExactly}
    return kinds.get(type(engine.a), TabulatedNeuron)(engine, constants)


KERNELS = {"LIF": LIFNeuron, "LIFExp": LIFExpNeuron, "QIF": qif_neuron, "Tabulated": tabulated_neuron}


# What comes from outside ------------------------------------------------------------------------------------------


class _Train:
    """Given spikes of sources (times in ms and global ids), in the order of time; what was by `since` is over."""

    is_source, first = True, 0

    def __init__(self, engine, spikes, since):
        times, ids = self.given = spikes
        self.spikes = [(engine._pair(t), i) for t, i in zip(times.tolist(), ids.tolist(), strict=True)]
        self.at = sum(not _before(since, pair) for pair, _ in self.spikes)

    @property
    def left(self):
        """Times in ms and global ids of the spikes that have not been taken."""
        return tuple(column[self.at :] for column in self.given)

    @property
    def next(self):
        """The next spike."""
        return self.spikes[self.at][0] if self.at < len(self.spikes) else NEVER

    def take(self, now):
        """Ids of those that spike now."""
        while not _before(now, self.next):
            self.at += 1
            yield self.spikes[self.at - 1][1]


class _Process:
    """The events of a Poisson input, interval by interval; the start of each is a time too, to draw it.

    What was by `since` is over.
    """

    def __init__(self, engine, process, since):
        self.engine, self.process = engine, process
        self.is_source = process.weight is None
        self.first = engine.network.populations[process.population].first
        ratio = engine.clock.epoch / process.interval  # a power of two
        self.k = int(max(since[0], 0) * ratio) + int(since[1].real // process.interval)
        self.next, self.event, self.events = self.start(self.k), None, iter(())
        for _ in self.take(since):
            pass

    def start(self, k):
        """The pair at which interval k begins; NEVER behind the last one."""
        if k >= self.process.n_intervals:
            return NEVER
        H, length = self.engine.clock.epoch, self.process.interval
        number = self.engine.a.number
        if length > H:
            return k * int(length / H), number(0.0)
        n, part = divmod(k, int(H / length))
        return n, number(part * length)

    def weight(self, i):
        """The jump of neuron i (local id)."""
        weight = self.process.weight
        return self.engine.a.number(weight[i].item() if isinstance(weight, np.ndarray) else weight)

    def take(self, now):
        """Local ids of the neurons that have an event now; what was earlier is left out."""
        while not _before(now, self.next):
            if self.event is not None and not _before(self.next, now):
                yield self.event
            self.next, self.event = next(self.events, (None, None))
            if self.next is None:
                self.draw()

    def draw(self):
        """Go on to interval k, and then to the start of the next one."""
        start = self.start(self.k)
        drawn = zip(*(column.tolist() for column in self.process.events(self.k)), strict=True)
        self.k += 1
        self.events = iter([(self.engine.plus(start, t), i) for t, i in drawn] + [(self.start(self.k), None)])
        self.next, self.event = next(self.events)


# The event loop ---------------------------------------------------------------------------------------------------


def _order(pair):
    """What pairs are ordered by."""
    return pair[0], pair[1].real


def _before(a, b):
    return _order(a) < _order(b)


class Arrival(NamedTuple):
    """A weight on its way to a neuron; `order` is the source, the projection and the place in its row."""

    time: tuple
    order: tuple
    emission: tuple
    target: int
    weight: float
    port: int

    def key(self):
        """By time, and within an instant by the order in which weights are added."""
        return (*_order(self.time), *self.order, *_order(self.emission))


class ReferenceEngine:
    """The event loop over a :class:`~sparseprop.engine.input.EngineInput`, instant by instant.

    Parameters
    ----------
    network : EngineInput
        Populations, projections and inputs with plain numbers.
    arithmetic : DoubleArithmetic, ComplexArithmetic or MultiprecisionArithmetic
        Where the functions come from.

    Attributes
    ----------
    now : tuple
        The present as an engine-time pair.
    last : tuple
        The instant that was taken last; what came by then is over.
    spikes : list of (pair, int)
        What fired since :meth:`take`, in the order (time, generation, id).
    record_sources : bool
        Whether the spikes of sources are among them, before those of neurons in each instant.
    n_close_calls : int
        How many kicks came within rounding of a spike of their target; see :meth:`_close`.
    """

    name = "reference"

    def __init__(self, network, arithmetic=None):
        self.a = arithmetic or DoubleArithmetic()
        self.network, self.clock = network, network.clock
        self.processes = list(network.processes)
        self.now = (0, self.a.number(0.0))
        self.last = (-1, self.a.number(0.0))
        self.spikes = []
        self.record_sources = False
        for name in COUNTERS:
            setattr(self, name, 0)
        self.changes = network.changes
        self.added = np.zeros(0), np.zeros(0, np.int64)  # injected spikes that have not been taken
        self.recent = []  # (pair, id) of the spikes within rounding of the last instant
        self.frames = {}
        self.neurons = []
        for population in network.populations:
            if population.kernel == "source":
                self.neurons += [None] * population.size
                continue
            for i in range(population.size):
                neuron = self._make(population.kernel, population.parameters, i)
                if population.refractory is not None and population.refractory[i] > 0.0:
                    neuron.release = self.plus(self.now, self.a.number(population.refractory[i]))
                    neuron.reset(neuron.release, self.now)
                else:
                    V = self.a.number(population.voltage_of(i))
                    neuron.place(V if neuron.origin is None else V - neuron.origin, self.now)
                if population.I_syn is not None:
                    self._give_currents(neuron, population.I_syn[i].tolist())
                self.neurons.append(neuron)
        self.arrivals = SortedKeyList(key=Arrival.key)
        self.sent_spikes = []  # (pair, id) of spikes with delayed synapses
        self._set_queues()

    def _give_currents(self, neuron, currents):
        """Initial currents are kicks at the beginning."""
        for port, current in enumerate(currents):
            if current != 0.0:
                kick = neuron.kick_held if _before(self.now, neuron.release) else neuron.kick
                kick(self.a.number(current), self.now, port)

    def _set_queues(self):
        """Everything that can be told from the states and from what is over."""
        self.next_spike = [NEVER if neuron is None else self._next_spike(neuron) for neuron in self.neurons]
        self.queue = SortedList(self._entry(i) for i in range(len(self.neurons)))
        self.inputs = [_Process(self, process, self.last) for process in self.processes]
        self.inputs += [_Train(self, spikes, self.last) for spikes in (self.network.spikes, self.added)]

    def _make(self, kernel, parameters, i):
        """Neuron i of a population."""
        mine = parameters_of(parameters, i).items()
        return KERNELS[kernel](self, {k: v if isinstance(v, Drift) else self.a.number(v) for k, v in mine})

    def frame(self, tau, root, square, rotates):
        """The frame of this rate, shared by all neurons that have it."""
        key = (tau, root, rotates)
        if key not in self.frames:
            self.frames[key] = Frame(self.a, self.clock, tau, root, square, rotates)
        return self.frames[key]

    def plus(self, pair, interval):
        """`pair` + `interval`; NEVER beyond the largest time."""
        n, s = pair
        s = s + interval
        if not self.a.isfinite(s):
            return NEVER
        carry = self.a.floor(s.real / self.clock.epoch)
        if carry > MAX_EPOCH - n:
            return NEVER
        return n + carry, s - carry * self.clock.epoch

    def advance(self, until, max_spikes=None, budget=None):
        """Take instants before `until` (a pair).

        Parameters
        ----------
        until : tuple
            The first time that is not taken.
        max_spikes : int, optional
            Stop after the instant in which this many spikes of neurons since the start of the simulation are reached.
        budget : int, optional
            Return after about this many events, to be called again.

        Returns
        -------
        str
            ``"time"``, ``"spikes"``, ``"quiescent"`` (nothing will ever happen) or ``"running"`` (budget used up).
        """
        stop_at = None if budget is None else self.n_events + budget
        while max_spikes is None or self.n_spikes < max_spikes:
            if stop_at is not None and self.n_events >= stop_at:
                return "running"
            instant, change = self._next_instant(), self._next_change()
            if _before(change, until) and not _before(instant, change):
                self.now = change
                self._change_parameters()
            elif instant[0] >= NEVER[0] and change[0] >= NEVER[0]:
                if until[0] < MAX_EPOCH:
                    self.now = until
                return "quiescent"
            elif not _before(instant, until):
                self.now = until
                return "time"
            else:
                self.now = instant
                self._instant()
        return "spikes"

    @property
    def n_events(self):
        return self.n_spikes + self.n_synaptic_events + self.n_input_events

    def _next_instant(self):
        """The first time at which something happens."""
        times = [self.next_spike[self.queue[0][2]]] if self.queue else []
        times += [source.next for source in self.inputs]
        times += [self.arrivals[0].time] if self.arrivals else []
        return min(times, key=_order, default=NEVER)

    def _instant(self, due=()):
        """What comes from outside and from before; then generations of spikes, until nobody fires.

        The neurons `due` fire in any case.
        """
        self.last = self.now
        close = self._close()
        fired, arriving = set(), self._arriving()
        while True:
            self._kick_all(arriving, close - fired)
            generation = sorted({*due, *self._due()})
            if not generation:
                return
            due = ()
            for i in generation:
                if i in fired:
                    raise EngineFault("runaway", i, self.clock.milliseconds(self.now))
                fired.add(i)
                self.spikes.append((self.now, i))
                self.recent.append((self.now, i))
                self._fire(i)
            self.n_spikes += len(generation)
            arriving = [arrival for i in generation for arrival in self._emit(i)]

    def _close(self):
        """The neurons whose own spike is within rounding of now: due so soon, or fired so shortly before.

        A kick of one of them is a close call: rounding may have decided which came first.
        """
        tolerance = self.clock.tolerance
        self.recent = [(t, i) for t, i in self.recent if self._interval(t, self.now) <= tolerance]
        close = {i for _, i in self.recent}
        for _, _, i in self.queue:
            interval = self._interval(self.now, self.next_spike[i])
            if interval <= tolerance:
                close.add(i)
            elif interval > 2.0 * tolerance:
                break
        return close

    def _interval(self, a, b):
        """From the pair a to the pair b, in ms."""
        return (b[0] - a[0]) * self.clock.epoch + (b[1].real - a[1].real)

    def _arriving(self):
        """What arrives at the beginning of the instant: delayed and undelayed spikes, and events of drives."""
        arriving, sources = [], []
        while self.arrivals and not _before(self.now, self.arrivals[0].time):
            arriving.append(self.arrivals.pop(0))
        for number, source in enumerate(self.inputs):
            for i in source.take(self.now):
                self.n_input_events += 1
                if source.is_source:
                    sources.append(source.first + i)
                else:
                    self.n_drive_events += 1
                    order = (self.network.size + number, 0, i)
                    target, weight = source.first + i, source.weight(i)
                    arriving.append(Arrival(self.now, order, self.now, target, weight, source.process.port))
        for i in sorted(sources):
            if self.record_sources:
                self.spikes.append((self.now, i))
            arriving += self._emit(i)
        return sorted(arriving, key=Arrival.key)

    def _emit(self, i):
        """Send a spike of i: what arrives at once is returned, what arrives later is kept."""
        arrivals = [
            Arrival(self.plus(self.now, self.a.number(delay)), (i, projection, place), self.now, target, weight, port)
            for projection, place, target, weight, delay, port in self.network.synapses_of(i)
        ]
        later = [arrival for arrival in arrivals if _before(self.now, arrival.time)]
        if later:
            self.sent_spikes.append((self.now, i))
            self.arrivals.update(arrival for arrival in later if arrival.time[0] < NEVER[0])
        return [arrival for arrival in arrivals if not _before(self.now, arrival.time)]

    def _kick_all(self, arriving, close):
        """Add what arrives at each port of each neuron, and kick it once: port after port, in the order of arrival."""
        sums = {}
        for arrival in arriving:
            target, weight = (arrival.port, arrival.target), self.a.number(arrival.weight)
            sums[target] = sums[target] + weight if target in sums else weight
            self.n_synaptic_events += arrival.order[0] < self.network.size
        for (port, target), weight in sorted(sums.items(), key=lambda item: item[0][0]):
            self.n_close_calls += target in close
            self._kick(target, weight, port)

    def _due(self):
        """The neurons whose next spike is now or was an instant ago by rounding."""
        for n, s, i in self.queue:
            if (n, s) > (self.now[0], self.now[1].real):
                return
            yield i

    def _fire(self, i):
        neuron = self.neurons[i]
        neuron.enter(self.now)
        neuron.release = self.plus(self.now, neuron.t_ref)
        neuron.reset(neuron.release, self.now)
        self._requeue(i, self._next_spike(neuron))

    def _kick(self, i, weight, port):
        neuron = self.neurons[i]
        held = _before(self.now, neuron.release)
        neuron.enter(self.now)
        if not (neuron.kick_held if held else neuron.kick)(weight, self.now, port):
            raise EngineFault("numerical", i, self.clock.milliseconds(self.now), self.voltages([i])[0])
        over = not held and weight.real > 0.0 and neuron.over_threshold(self.now)
        self._requeue(i, self.now if over else self._next_spike(neuron))

    # Changes of parameters

    def _next_change(self):
        """When parameters change next."""
        if self.n_changes == len(self.changes):
            return NEVER
        return max(self._pair(self.changes[self.n_changes][0]), self.now, key=_order)

    def _change_parameters(self):
        """The changes that are due now; a neuron that is due stays due, and fires now."""
        due = []
        while not _before(self.now, self._next_change()):
            _, number, parameters = self.changes[self.n_changes]
            self.n_changes += 1
            population = self.network.populations[number]
            for k in range(population.size):
                i = population.first + k
                old = self.neurons[i]
                if not _before(self.now, self.next_spike[i]):
                    due.append(i)
                old.enter(self.now)
                new = self.neurons[i] = self._make(population.kernel, parameters, k)
                new.release = old.release
                if new.frame is not None:
                    new.shift = new.frame.shift(self.now[0]) if not new.frame.rotates else 0
                if _before(self.now, new.release):
                    new.hold(old, self.now)
                else:
                    new.take_over(old, self.now)
                self._requeue(i, self._next_spike(new))
        # By rounding, a spike under the new parameters may lie a little before the change.
        if due or _before(self._next_instant(), self.now):
            self._instant(due)

    def _pair(self, time):
        """The pair of a time in ms."""
        n, s = self.clock.pair(time)
        return n, self.a.number(s)

    # The queue of spontaneous spikes

    def _next_spike(self, neuron):
        """When it will fire without input, not before the end of its refractory period."""
        since = neuron.release if _before(self.now, neuron.release) else self.now
        t = neuron.next_spike(since, self.now)
        return neuron.release if _before(t, neuron.release) else t

    def _entry(self, i):
        n, s = self.next_spike[i]
        return n, s.real, i

    def _requeue(self, i, t):
        self.queue.remove(self._entry(i))
        self.next_spike[i] = t
        self.queue.add(self._entry(i))

    # Looking, and saving

    def take(self):
        """Times in ms and ids of the spikes since the last call."""
        spikes, self.spikes = self.spikes, []
        return [self.clock.milliseconds(t) for t, _ in spikes], [i for _, i in spikes]

    def voltages(self, ids=None):
        """V now of all neurons, or of those with the given global ids; NaN for sources."""
        values = []
        for i in range(len(self.neurons)) if ids is None else ids:
            neuron = self.neurons[i]
            if neuron is None:
                values.append(math.nan)
                continue
            neuron.enter(self.now)
            refractory = _before(self.now, neuron.release)
            V = neuron.V_reset if refractory else neuron.voltage(self.now)
            values.append(V if neuron.origin is None else V + neuron.origin)
        return values

    def currents(self, ids):
        """Synaptic currents now of neurons with these global ids: an array of shape (ids, ports), NaN for no port."""
        by_neuron = []
        for i in ids:
            neuron = self.neurons[i]
            u = neuron.elapsed(self.now)
            by_neuron.append(
                [a * self.a.exp(-u / p["tau"]) for a, p in zip(neuron.currents, neuron.ports, strict=True)]
            )
        ports = max(len(getattr(neuron, "ports", [])) for neuron in self.neurons)
        return [row + [math.nan] * (ports - len(row)) for row in by_neuron]

    def state(self):
        """All that says how the simulation goes on, in plain numbers; any engine can go on from it.

        Returns
        -------
        dict
            ``now`` and ``last``; the counters; ``populations``, a list with, for neurons, the states ``x`` (size,
            width), and ``base`` and ``release`` as (size, 2) or None; ``emissions``, (n, s, id) of the spikes whose
            effect may be still to come; ``injected``, see there; ``recent``, (n, s, id) of what fired at the end.
        """
        populations = []
        for population in self.network.populations:
            mine = self.neurons[population.first : population.first + population.size]
            if population.kernel == "source":
                populations.append(None)
                continue
            for neuron in mine:
                neuron.enter(self.now)
            populations.append(
                {
                    "x": np.array([neuron.get_state() for neuron in mine], dtype=float),
                    "base": np.array([neuron.base for neuron in mine], dtype=float),
                    "release": np.array([neuron.release for neuron in mine], dtype=float),
                }
            )
        return {
            "now": self.now,
            "last": self.last,
            **{name: getattr(self, name) for name in COUNTERS},
            "populations": populations,
            "emissions": self.emissions(),
            "injected": self.injected,
            "recent": np.array([(*pair, i) for pair, i in self.recent], dtype=float).reshape(-1, 3),
        }

    def emissions(self):
        """(n, s, id) of the spikes whose effect may be still to come, ascending."""
        pending = {(arrival.emission, arrival.order[0]) for arrival in self.arrivals}
        self.sent_spikes = [emission for emission in self.sent_spikes if emission in pending]
        return np.array(sorted((*pair, i) for pair, i in self.sent_spikes), dtype=float).reshape(-1, 3)

    def releases(self, k):
        """The ends of the last refractory periods of the neurons of a population, as pairs: shape (size, 2)."""
        population = self.network.populations[k]
        mine = self.neurons[population.first : population.first + population.size]
        return np.array([neuron.release for neuron in mine], dtype=float)

    def restore(self, state):
        """Go on from what :meth:`state` of an engine of the same network returned."""
        self.now, self.last = tuple(state["now"]), tuple(state["last"])
        for name in COUNTERS:
            setattr(self, name, state.get(name, 0))
        self.added = state.get("injected", self.added)
        self.recent = [((int(n), s), int(i)) for n, s, i in np.asarray(state.get("recent", [])).tolist()]
        parameters = {k: population.parameters for k, population in enumerate(self.network.populations)}
        for number in getattr(self.changes, "currents", ()):
            k = self.changes.last(number, self.n_changes)
            if k >= 0:
                parameters[number] = self.changes[k][2]
        for k, (population, saved) in enumerate(zip(self.network.populations, state["populations"], strict=True)):
            for i in range(population.size if saved is not None else 0):
                neuron = self._make(population.kernel, parameters[k], i)
                if neuron.frame is not None and not neuron.frame.rotates:
                    neuron.shift = neuron.frame.shift(self.now[0])
                neuron.base = _pair_of(saved["base"], i)
                neuron.set_state(saved["x"][i].tolist())
                neuron.release = _pair_of(saved["release"], i)
                self.neurons[population.first + i] = neuron
        self.set_flights(state["emissions"], state["last"])

    # Steering: what changes between two instants

    @property
    def injected(self):
        """The injected spikes that have not been taken yet: times in ms, and global ids."""
        return self.inputs[-1].left

    @injected.setter
    def injected(self, spikes):
        self.added = spikes
        self.inputs[-1] = _Train(self, spikes, self.last)

    def set_process(self, k, process):
        """From now on, input number k of the network is another one, of which nothing comes before now."""
        self.processes[k] = process
        self.inputs[k] = _Process(self, process, self.last)

    def set_changes(self, changes, n_changes):
        """Other changes of parameters, of which so many are over; what is due already comes before anything else."""
        self.changes, self.n_changes = changes, n_changes

    def place(self, ids, V, refractory, currents):
        """Give neurons another state now.

        Parameters
        ----------
        ids : ndarray of int64, shape (k,)
            Global ids.
        V : ndarray, shape (k,)
        refractory : ndarray, shape (k,)
            What is left of their refractory periods in ms, during which V does not matter; 0 for those in none.
        currents : ndarray, shape (k, ports)
            Synaptic currents, for neurons that have some.
        """
        for k, i in enumerate(ids.tolist()):
            neuron = self.neurons[i]
            neuron.enter(self.now)
            if refractory[k] > 0.0:
                neuron.release = self.plus(self.now, self.a.number(refractory[k].item()))
                if isinstance(neuron, LIFExpNeuron):
                    neuron.place(neuron.V_reset, self.now)  # without currents
                neuron.reset(neuron.release, self.now)
            else:
                if _before(self.now, neuron.release):
                    neuron.release = self.now
                origin = 0.0 if neuron.origin is None else neuron.origin
                neuron.place(self.a.number(V[k].item()) - origin, self.now)
            if isinstance(neuron, LIFExpNeuron):
                self._give_currents(neuron, currents[k, : len(neuron.ports)].tolist())
            self._requeue(i, self._next_spike(neuron))

    def set_flights(self, emissions, last):
        """The spikes on their way, as in :meth:`state`; what arrives by `last` is over."""
        now, self.last = self.now, tuple(last)
        self.arrivals.clear()
        self.sent_spikes = []
        for n, s, i in emissions.tolist():
            self.now = int(n), s
            self._emit(int(i))
        self.now = now
        while self.arrivals and not _before(self.last, self.arrivals[0].time):
            self.arrivals.pop(0)
        self._set_queues()


def _pair_of(array, i):
    """Row i of saved times as a pair."""
    return (0, 0.0) if array is None else (int(array[i, 0]), float(array[i, 1]))
