"""The leaky integrate-and-fire neuron with exponential synaptic currents."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import named_arguments, shown
from ..numerics._functions import exp, pow, pow_many
from ..numerics.arithmetic import DoubleArithmetic
from ..numerics.engine_time import NEVER
from .base import I_E, TAU_M, Parameter
from .lif import Leaky, lif_constants
from .neuron import LARGEST_STATE, Neuron

if TYPE_CHECKING:
    from .._types import Description, NumberOrArray

__all__ = ["LIFExp", "lifexp_constants"]


# Of time constants of one LIFExp neuron, so that an epoch is neither long nor short against any of them.
LARGEST_RATIO = 1e6
# Of the drive from the threshold of a LIFExp neuron, so that no exponential underflows before a spike.
SMALLEST_GAP = 1e-90


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class LIFExp(Leaky):
    """Leaky integrate-and-fire neuron with exponentially decaying synaptic currents.

    ``tau_m dV/dt = -(V - E_L) + I_e + I_syn``; I_syn is the sum of one current for each port, and each decays by
    itself, ``tau_syn dI/dt = -I``. An arriving spike adds its weight to the current of its port: weights are in units
    of voltage (membrane resistance 1), and one of w moves V by at most
    ``w r^(1 / (1 - r)), r = tau_syn / tau_m``, over time by ``w tau_syn`` (the area). NEST's ``iaf_psc_exp`` with a
    weight of ``w C_m / tau_m`` is the same neuron.

    A spike resets V and leaves the currents. In the refractory period V stays at `V_reset`; the currents go on and
    spikes are received.

    Every parameter but `tau_syn` is a number or an array with one value per neuron.

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms.
    tau_syn : float, array_like of shape (n,), or tuple of these
        Synaptic time constant in ms. A tuple has one for each port, up to four (in configuration files
        ``{ports = [2.0, 10.0]}``), by which :meth:`Network.connect` and :meth:`Network.drive` choose (``port=``); an
        array one for each neuron. A list of up to four could mean either and is refused. It may equal `tau_m`.
    E_L : float or array_like
        Resting potential.
    V_th : float or array_like
        Threshold. A spike is emitted when V reaches it.
    V_reset : float or array_like
        Potential after a spike, below `V_th`.
    I_e : float or array_like
        Constant drive in units of voltage. The neuron oscillates without input if ``E_L + I_e > V_th``.
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset`, synaptic currents go on.

    Raises
    ------
    ParameterError
        For a value that is not allowed; the message names it.

    References
    ----------
    Rotter and Diesmann (1999), Biol. Cybern. 81:381, doi:10.1007/s004220050570; Wunderlich and Pehle (2021), Sci. Rep.
    11:12829, doi:10.1038/s41598-021-91786-z (weights and currents as here).

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> source = net.add(1, sp.SpikeSource([1.0], [0]), name="source")
    >>> neuron = net.add(1, sp.LIFExp(tau_m=20.0, tau_syn=5.0), name="neuron")
    >>> p = net.connect(source, neuron, sp.all_to_all(), weight=8.0)
    >>> net.run(50.0)["neuron"].times.round(6).tolist()
    [5.116609]
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": TAU_M,
        "tau_syn": Parameter(
            "ms", "synaptic time constant", "a finite time > 0 ms", positive=True, ports=True, sets_tau=True
        ),
        "E_L": Parameter("V", "resting potential"),
        "V_th": Parameter("V", "threshold"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": I_E,
        "t_ref": Parameter(
            "ms", "refractory period: V stays at V_reset, currents go on", "a finite time >= 0 ms", nonnegative=True
        ),
    }
    kernel: ClassVar[str] = "LIFExp"
    _cites: ClassVar[tuple[str, ...]] = ("exponential currents",)
    is_linear: ClassVar[bool] = True
    has_gain: ClassVar[bool] = True
    has_currents: ClassVar[bool] = True
    making_bytes: ClassVar[int] = 388
    smallest_gap: ClassVar[float] = SMALLEST_GAP
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0, "tau_syn": 2.0, "I_e": 1.2}

    tau_m: NumberOrArray
    tau_syn: NumberOrArray
    E_L: NumberOrArray = 0.0
    V_th: NumberOrArray = 1.0
    V_reset: NumberOrArray = 0.0
    I_e: NumberOrArray = 0.0
    t_ref: NumberOrArray = 0.0

    def _check_relations(self):
        super()._check_relations()
        for k, tau_syn in enumerate(self.time_constants):
            ratio = np.asarray(tau_syn) / np.asarray(self.tau_m)
            self._relation(
                (ratio >= 1.0 / LARGEST_RATIO) & (ratio <= LARGEST_RATIO),
                f"tau_syn of port {k} must be within a factor of {LARGEST_RATIO:g} of tau_m, got {shown(tau_syn)} and "
                f"{shown(self.tau_m)} ms; for a much shorter one use LIF",
            )

    @property
    def time_constants(self) -> tuple[NumberOrArray, ...]:
        """The synaptic time constants in ms, a tuple with one for each port."""
        return self.tau_syn if isinstance(self.tau_syn, tuple) else (self.tau_syn,)

    @property
    def n_ports(self) -> int:
        return len(self.time_constants)

    def parameters(self) -> dict[str, NumberOrArray]:
        shared = {name: getattr(self, name) for name in self.table if name != "tau_syn"}
        return shared | {f"tau_syn_{k}": value for k, value in enumerate(self.time_constants)}

    @staticmethod
    def constants_of(parameters: Description) -> Description:
        return lifexp_constants(math.fsum, **parameters)

    @staticmethod
    def neuron(engine: Any, parameters: Description) -> Neuron:
        return LIFExpNeuron(engine, parameters)

    def state_doubles(self) -> int:
        return 3 + self.n_ports

    def frames(self) -> list[tuple[Any, ...]]:
        return [(self.tau_m, tau) for tau in self.time_constants]

    def balance(self, drive: float, weight: float) -> tuple[float, float]:
        I_e, weight = super().balance(drive, weight)
        return I_e, weight * (self.tau_m / self.time_constants[0])

    def gain(self) -> tuple[float, float]:
        ratio = np.asarray(self.time_constants[0], float) / np.asarray(self.tau_m, float)
        # The peak of the response to one spike; see above.
        off = np.where(np.abs(ratio - 1.0) < 1e-6, ratio * (1.0 + 1e-5), ratio)
        return float(np.mean(pow_many(off, 1.0 / (1.0 - off)))), super().gain()[1]

    def growth_time_constant(self) -> NumberOrArray:
        """The shortest time constant in ms of the exponential flow."""
        return functools.reduce(np.minimum, self.time_constants, np.asarray(self.tau_m))[()]


# Nearer than this part of tau_m, tau_syn counts as the same time constant: the exponentials are then not taken apart,
# which would lose digits by tau_m / |tau_m - tau_syn|. See docs/numerics.md.
NEAR_LIMIT = 1.0 / 16.0


def lifexp_constants(fsum, tau_m, E_L, V_th, V_reset, I_e, t_ref, **tau_syn):
    """The constants of one LIF neuron with exponential currents, in the arithmetic of `fsum`.

    Returns
    -------
    dict
        Those of :func:`lif_constants`, and ``ports``: for each its time constant ``tau``; whether it is ``near`` tau_m;
        ``gain = tau / (tau_m - tau)`` (far) and ``slope = 1 / tau_m - 1 / tau`` (near); and ``peak``, the largest
        voltage that a unit of current causes.
    """
    constants = lif_constants(fsum, tau_m, E_L, V_th, V_reset, I_e, t_ref)
    ports = []
    for k in range(len(tau_syn)):
        tau = tau_syn[f"tau_syn_{k}"]
        near = abs(tau.real - tau_m.real) < NEAR_LIMIT * tau_m.real
        ratio = float(tau.real / tau_m.real)
        ports.append(
            {
                "tau": tau,
                "near": near,
                "gain": 0.0 * tau if near else tau / (tau_m - tau),
                "slope": (tau - tau_m) / (tau_m * tau) if near else 0.0 * tau,
                # 1 / e where they are equal; only a bound for the window, so rounded up.
                "peak": 1.001 * (exp(-1.0) if near else pow(ratio, 1.0 / (1.0 - ratio))) + 0.02 * near,
            }
        )
    return constants | {"ports": ports}


# The specification, for the reference engine ------------------------------------------------------------------------


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

    def currents_now(self, now):
        """Its synaptic currents."""
        u = self.elapsed(now)
        return [a * self.a.exp(-u / p["tau"]) for a, p in zip(self.currents, self.ports, strict=True)]

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
