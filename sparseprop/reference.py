"""The reference engine: what every engine must compute, in plain Python, to be read in one sitting.

Its functions come from an :class:`Arithmetic`. With :class:`DoubleArithmetic` (``math``) it is the bit-exact
oracle of the compiled engines; with :class:`MultiprecisionArithmetic` (``mpmath``) the 50-digit one, which takes
exponentials and angles of the full time instead of fixed-point epochs; with :class:`ComplexArithmetic` it carries
an infinitesimal imaginary part along (the complex step). Numbers are ordered by their real parts.
"""

import cmath
import math
from typing import NamedTuple

import numpy as np
from sortedcontainers import SortedKeyList, SortedList

from .engine_time import FRACTION_BITS, LN2, MAX_EPOCH, TWO_PI, advance_per_epoch
from .errors import EngineFault
from .models import lif_constants, qif_constants
from .network import parameters_of

__all__ = ["ComplexArithmetic", "DoubleArithmetic", "MultiprecisionArithmetic", "ReferenceEngine"]

NEVER = (2**62, 0.0)
LARGEST_STATE = 2.0**900  # so that no quotient or sum that is taken of states overflows
SCALE_STEP = 64  # growth factors, and states with them, are rescaled in steps of 2^64


# Arithmetics ------------------------------------------------------------------------------------------------------


class DoubleArithmetic:
    """IEEE doubles and the platform's libm, as the compiled engines use them."""

    exp, log, sin, cos, sqrt, tanh, log1p = math.exp, math.log, math.sin, math.cos, math.sqrt, math.tanh, math.log1p
    atan2 = staticmethod(math.atan2)
    fsum = staticmethod(math.fsum)
    number = float

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
        self.turn = 2 * self.mp.pi

    def scaled(self, x, exponent):
        return self.mp.ldexp(x, exponent)

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

    ``place(V, now)`` sets the state from a voltage, ``kick(weight, now)`` adds `weight` to V,
    ``over_threshold(now)`` is asked after a kick only, ``next_spike(since, now)`` is the next spike without
    input, ``reset(release, now)`` is the state after a spike for the time `release`, ``voltage(now)`` reads V,
    ``take_over(other, now)`` sets the state to that of `other`, the same neuron with other parameters.
    ``state`` names the attributes that say all about the present.
    """

    state: tuple[str, ...]

    frame = None
    shift = 0

    def __init__(self, engine):
        self.engine, self.a = engine, engine.a
        self.release = (0, 0.0)  # the end of the refractory period

    def enter(self, now):
        """Bring a state that grows with E to the scale of the present epoch, in steps that all engines share."""
        shift = self.frame.shift(now[0])
        for _ in range(min((shift - self.shift) // SCALE_STEP, 40)):
            self.grown = self.a.scaled(self.grown, -SCALE_STEP)
        self.shift = shift


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

    def kick(self, weight, now):
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

    def kick(self, weight, now):
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

    def kick(self, weight, now):
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

    def kick(self, weight, now):
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
    constants = qif_constants(engine.a.sqrt, **parameters)
    constants["reset_direction"] = constants.pop("reset")  # `reset` is the method
    return REGIMES[constants["regime"]](engine, constants)


KERNELS = {"LIF": LIFNeuron, "QIF": qif_neuron}


# What comes from outside ------------------------------------------------------------------------------------------


class _Train:
    """The given spikes of all sources, in the order of time; what was by `since` is over."""

    is_source, first = True, 0

    def __init__(self, engine, since):
        times, ids = engine.network.spikes
        self.spikes = [(engine._pair(t), i) for t, i in zip(times.tolist(), ids.tolist(), strict=True)]
        self.at = sum(not _before(since, pair) for pair, _ in self.spikes)

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
        return self.engine.a.number(float(weight[i]) if isinstance(weight, np.ndarray) else weight)

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

    def key(self):
        """By time, and within an instant by the order in which weights are added."""
        return (*_order(self.time), *self.order, *_order(self.emission))


class ReferenceEngine:
    """The event loop over a :class:`~sparseprop.network.EngineInput`, instant by instant.

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
    """

    name = "reference"

    def __init__(self, network, arithmetic=None):
        self.a = arithmetic or DoubleArithmetic()
        self.network, self.clock = network, network.clock
        self.now = (0, self.a.number(0.0))
        self.last = (-1, self.a.number(0.0))
        self.spikes = []
        self.record_sources = False
        self.n_spikes = self.n_synaptic_events = self.n_input_events = self.n_changes = 0
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
                    neuron.place(self.a.number(population.voltage_of(i)), self.now)
                self.neurons.append(neuron)
        self.arrivals = SortedKeyList(key=Arrival.key)
        self.emissions = []  # (pair, id) of spikes with delayed synapses
        self._set_queues()

    def _set_queues(self):
        """Everything that can be told from the states and from what is over."""
        self.next_spike = [NEVER if neuron is None else self._next_spike(neuron) for neuron in self.neurons]
        self.queue = SortedList(self._entry(i) for i in range(len(self.neurons)))
        self.inputs = [_Process(self, process, self.last) for process in self.network.processes]
        if len(self.network.spikes[0]):
            self.inputs.append(_Train(self, self.last))

    def _make(self, kernel, parameters, i):
        """Neuron i of a population."""
        return KERNELS[kernel](self, {k: self.a.number(v) for k, v in parameters_of(parameters, i).items()})

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
        fired, arriving = set(), self._arriving()
        while True:
            self._kick_all(arriving)
            generation = sorted({*due, *self._due()})
            if not generation:
                return
            due = ()
            for i in generation:
                if i in fired:
                    raise EngineFault("runaway", i, self.clock.milliseconds(self.now))
                fired.add(i)
                self.spikes.append((self.now, i))
                self._fire(i)
            self.n_spikes += len(generation)
            arriving = [arrival for i in generation for arrival in self._emit(i)]

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
                    order = (self.network.size + number, 0, i)
                    arriving.append(Arrival(self.now, order, self.now, source.first + i, source.weight(i)))
        for i in sorted(sources):
            if self.record_sources:
                self.spikes.append((self.now, i))
            arriving += self._emit(i)
        return sorted(arriving, key=Arrival.key)

    def _emit(self, i):
        """Send a spike of i: what arrives at once is returned, what arrives later is kept."""
        arrivals = [
            Arrival(self.plus(self.now, self.a.number(delay)), (i, projection, place), self.now, target, weight)
            for projection, place, target, weight, delay in self.network.synapses_of(i)
        ]
        later = [arrival for arrival in arrivals if _before(self.now, arrival.time)]
        if later:
            self.emissions.append((self.now, i))
            self.arrivals.update(arrival for arrival in later if arrival.time[0] < NEVER[0])
        return [arrival for arrival in arrivals if not _before(self.now, arrival.time)]

    def _kick_all(self, arriving):
        """Add what arrives at each neuron, and kick it once."""
        sums = {}
        for arrival in arriving:
            target, weight = arrival.target, self.a.number(arrival.weight)
            sums[target] = sums[target] + weight if target in sums else weight
            self.n_synaptic_events += arrival.order[0] < self.network.size
        for target, weight in sums.items():
            self._kick(target, weight)

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

    def _kick(self, i, weight):
        neuron = self.neurons[i]
        if _before(self.now, neuron.release):
            return
        neuron.enter(self.now)
        if not neuron.kick(weight, self.now):
            raise EngineFault("numerical", i, self.clock.milliseconds(self.now), neuron.voltage(self.now))
        over = weight.real > 0.0 and neuron.over_threshold(self.now)
        self._requeue(i, self.now if over else self._next_spike(neuron))

    # Changes of parameters

    def _next_change(self):
        """When parameters change next."""
        changes = self.network.changes
        return self._pair(changes[self.n_changes][0]) if self.n_changes < len(changes) else NEVER

    def _change_parameters(self):
        """The changes that are due now; a neuron that is due stays due, and fires now."""
        due = []
        while not _before(self.now, self._next_change()):
            _, number, parameters = self.network.changes[self.n_changes]
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
                    new.reset(new.release, self.now)
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
            values.append(neuron.V_reset if refractory else neuron.voltage(self.now))
        return values

    def state(self):
        """All that says how the simulation goes on, in plain numbers; any engine can go on from it.

        Returns
        -------
        dict
            ``now`` and ``last``; the counters; ``populations``, a list with, for neurons, the states ``x`` (size,
            width), and ``base`` and ``release`` as (size, 2) or None; ``emissions``, (n, s, id) of the spikes whose
            effect may be still to come.
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
                    "x": np.array([[getattr(neuron, name) for name in neuron.state] for neuron in mine], dtype=float),
                    "base": np.array([getattr(neuron, "base", (0, 0.0)) for neuron in mine], dtype=float),
                    "release": np.array([neuron.release for neuron in mine], dtype=float),
                }
            )
        pending = {(arrival.emission, arrival.order[0]) for arrival in self.arrivals}
        self.emissions = [emission for emission in self.emissions if emission in pending]
        return {
            "now": self.now,
            "last": self.last,
            "n_spikes": self.n_spikes,
            "n_synaptic_events": self.n_synaptic_events,
            "n_input_events": self.n_input_events,
            "n_changes": self.n_changes,
            "populations": populations,
            "emissions": np.array([(*pair, i) for pair, i in self.emissions], dtype=float).reshape(-1, 3),
        }

    def restore(self, state):
        """Go on from what :meth:`state` of an engine of the same network returned."""
        self.now, self.last = tuple(state["now"]), tuple(state["last"])
        for name in ("n_spikes", "n_synaptic_events", "n_input_events", "n_changes"):
            setattr(self, name, state[name])
        parameters = {k: population.parameters for k, population in enumerate(self.network.populations)}
        parameters |= {number: changed for _, number, changed in self.network.changes[: self.n_changes]}
        for k, (population, saved) in enumerate(zip(self.network.populations, state["populations"], strict=True)):
            for i in range(population.size if saved is not None else 0):
                neuron = self._make(population.kernel, parameters[k], i)
                if neuron.frame is not None and not neuron.frame.rotates:
                    neuron.shift = neuron.frame.shift(self.now[0])
                for name, value in zip(neuron.state, saved["x"][i].tolist(), strict=True):
                    setattr(neuron, name, value)
                neuron.base = _pair_of(saved["base"], i)
                neuron.release = _pair_of(saved["release"], i)
                self.neurons[population.first + i] = neuron
        self.arrivals.clear()
        now = self.now
        self.emissions = []
        for n, s, i in state["emissions"].tolist():
            self.now = int(n), s
            self._emit(int(i))
        self.now = now
        while self.arrivals and not _before(self.last, self.arrivals[0].time):
            self.arrivals.pop(0)
        self._set_queues()


def _pair_of(array, i):
    """Row i of saved times as a pair."""
    return (0, 0.0) if array is None else (int(array[i, 0]), float(array[i, 1]))
