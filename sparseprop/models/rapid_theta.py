"""The rapid theta neuron: two Riccati neurons that meet at V = 0, and the constants that engines derive from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ParameterError, named_arguments, shown
from ..numerics._functions import atan_many, tan_many, tanh_many
from ..numerics.arithmetic import DoubleArithmetic
from ..numerics.engine_time import NEVER
from .base import TAU_M, NeuronModel, Parameter
from .neuron import LARGEST_STATE, Neuron
from .riccati import SHEAR_LIMIT, qif_constants, qif_neuron, qif_regime

if TYPE_CHECKING:
    from .._types import Description, Floats, NumberOrArray

__all__ = ["RapidTheta", "rapid_theta_constants"]


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class RapidTheta(NeuronModel):
    """Rapid theta neuron with delta synapses: a theta neuron whose spikes set in as fast as one likes.

    ::

        tau_m dV/dt = a_S V^2 + I_e     V <= 0,     a_S = (rapidness + 1) / (2 rapidness)
        tau_m dV/dt = a_U V^2 + I_e     V > 0,      a_U = rapidness^2 a_S

    The two parabolas are glued where both have their minimum. At rest without input, that is with ``I_e = -I_rheo``,
    ``I_rheo = rapidness / (2 (rapidness + 1))``, the slope of dV/dt is ``-1 / tau_m`` at the stable and ``rapidness /
    tau_m`` at the unstable fixed point, which are 1 apart. Published currents are often counted from there: subtract
    I_rheo (:meth:`rheobase`) from them, since here the neuron oscillates for ``I_e > 0``. With ``rapidness=1`` it is
    :class:`Theta`, bit for bit; as rapidness grows, it becomes a quadratic integrate-and-fire neuron with a threshold
    at 0.

    Weights and V are voltages of the equation above. The phase in (-pi, pi), which ``phase=`` takes, is uniform in time
    at ``I_e = 1``; V = 0 is at ``pi (rapidness - 1) / (rapidness + 1)``. With another I_e > 0 V is ``sqrt(I_e)``
    times larger, and the phase of the free oscillation advances by ``2 sqrt(I_e / a_S) / tau_m``.

    Every parameter is a number or an array with one value per neuron.

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms.
    rapidness : float or array_like
        Slope of dV/dt at the unstable fixed point, in units of that at the stable one; from 1e-3 to 1e6.
    I_e : float or array_like
        Constant drive, counted from the rheobase. The neuron oscillates for ``I_e > 0`` and is excitable for
        ``I_e < 0``.

    Raises
    ------
    ParameterError
        For a value that is not allowed; the message names it.

    References
    ----------
    Monteforte, Dynamic flux tubes and chaos in neural networks (thesis, Goettingen, 2011); Engelken, Monteforte and
    Wolf (2024), Sparse chaos in cortical circuits, arXiv:2412.21188.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(100, sp.RapidTheta(tau_m=10.0, rapidness=10.0), outdegree=20, seed=1)
    >>> net.run(1000.0).n_spikes > 0
    True
    """

    _cites: ClassVar[tuple[str, ...]] = ("rapid theta",)
    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": TAU_M,
        "rapidness": Parameter(
            "1", "slope at the unstable fixed point, in units of that at the stable one", "a number > 0", positive=True
        ),
        "I_e": Parameter("V", "constant drive, counted from the rheobase"),
    }
    kernel: ClassVar[str] = "Rapid_Theta"
    kernel_parameters: ClassVar[tuple[str, ...]] = (*table, "t_ref")
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0, "rapidness": 3.0}
    has_gain: ClassVar[bool] = True
    drive_sets_tau: ClassVar[bool] = True
    making_bytes: ClassVar[int] = 390
    V_peak: ClassVar[float] = math.inf
    V_reset: ClassVar[float] = -math.inf
    t_ref: ClassVar[float] = 0.0

    tau_m: NumberOrArray
    rapidness: NumberOrArray
    I_e: NumberOrArray = 0.0

    def _check_relations(self):
        self._relation(
            (np.asarray(self.rapidness) >= 1e-3) & (np.asarray(self.rapidness) <= 1e6),
            f"rapidness must be from 1e-3 to 1e6, got {shown(self.rapidness)}",
        )
        self._relation(
            np.abs(self.I_e) <= 1e12 / np.maximum(*self._curvatures()),
            f"I_e must be between -1e12 and 1e12, divided by the larger curvature, got {shown(self.I_e)}",
        )

    @staticmethod
    def constants_of(parameters: Description) -> Description:
        return rapid_theta_constants(DoubleArithmetic(), **parameters)

    @staticmethod
    def neuron(engine: Any, parameters: Description) -> Neuron:
        return RapidThetaNeuron(engine, parameters)

    def state_doubles(self) -> int:
        return 5 if np.any((np.asarray(self.rapidness) != 1.0) | (np.abs(self.I_e) < SHEAR_LIMIT)) else 3

    def frames(self) -> list[tuple[Any, ...]]:
        return [(self.tau_m, self._drives()[0])]

    def loses_complex_step(self) -> bool:
        return bool(any((np.abs(drive) < 1e-3).any() for drive in self._drives()))

    def _curvatures(self):
        """a_S and a_U."""
        return curvatures(np.asarray(self.rapidness, float))

    def _drives(self):
        """I_e of the two Riccati equations for a_S V and a_U V."""
        return [a * np.asarray(self.I_e) for a in self._curvatures()]

    def rheobase(self) -> NumberOrArray:
        """I_rheo, how far published currents are above `I_e`; float or array."""
        return (np.asarray(self.rapidness) / (2.0 * (np.asarray(self.rapidness) + 1.0)))[()]

    def growth_time_constant(self) -> NumberOrArray:
        """The time constant in ms of the exponential flow below 0, tau_m / (2 sqrt(-a_S I_e)); inf without one."""
        with np.errstate(divide="ignore"):
            return self.tau_m / (2.0 * np.sqrt(np.maximum(-self._drives()[0], 0.0)))

    def free_period(self) -> NumberOrArray:
        """Time from spike to spike without input in ms, ``inf`` for a neuron at rest; float or array."""
        with np.errstate(divide="ignore", invalid="ignore"):
            quarters = [0.5 * np.pi / np.sqrt(drive) for drive in self._drives()]
            return (self.tau_m * np.where(np.asarray(self.I_e) > 0.0, sum(quarters), np.inf))[()]

    def free_voltage(self, elapsed: NumberOrArray) -> NumberOrArray:
        """V at `elapsed` ms after a spike (0 <= elapsed < :meth:`free_period`) without input."""
        u = np.asarray(elapsed) / self.tau_m
        (a_S, a_U), (drive_S, drive_U) = self._curvatures(), self._drives()
        root_S, root_U = (np.sqrt(np.abs(drive)) for drive in (drive_S, drive_U))
        with np.errstate(divide="ignore", invalid="ignore"):
            tangent = np.where(drive_S > 0.0, tan_many(root_S * u), np.where(drive_S < 0.0, tanh_many(root_S * u), u))
            tangent = tangent / np.where(drive_S != 0.0, root_S, 1.0)
            V = -1.0 / tangent / a_S
            over = u - 0.5 * np.pi / root_S
            above = (drive_S > 0.0) & (over > 0.0) & (np.asarray(self.rapidness) != 1.0)
            return np.where(above, root_U * tan_many(root_U * over) / a_U, V)[()]

    def resting_voltage(self) -> NumberOrArray:
        """The stable fixed point of a neuron that does not oscillate; 0 for one that does."""
        return (-np.sqrt(np.maximum(-np.asarray(self.I_e), 0.0) / self._curvatures()[0]))[()]

    def threshold(self) -> NumberOrArray:
        """The voltage at which the neuron fires."""
        return self.V_peak

    def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """V at a phase in (-pi, pi)."""
        if not (np.abs(phase) < np.pi).all():
            raise ParameterError("phase of a RapidTheta neuron must be in (-pi, pi), uniform in time at I_e = 1")
        a_S, _ = self._curvatures()
        r = np.asarray(self.rapidness)
        angle = a_S * (np.asarray(phase) - np.pi * (r - 1.0) / (r + 1.0)) / 2.0
        return (np.where(angle > 0.0, tan_many(r * angle) / r, tan_many(angle)) / np.sqrt(a_S))[()]

    def _cycle(self):
        """sqrt(|I_e| a), or sqrt(a) at the rheobase, below and above, and the part of the phases that is below."""
        size = np.where(np.asarray(self.I_e) == 0.0, 1.0, np.abs(self.I_e))
        root_S, root_U = (np.sqrt(a * size) for a in self._curvatures())
        return root_S, root_U, root_U / (root_S + root_U)

    def cycle_phase(self, V: NumberOrArray) -> NumberOrArray:
        (root_S, root_U, below), (a_S, a_U), V = self._cycle(), self._curvatures(), np.asarray(V)
        up = below + (1.0 - below) * (2.0 / np.pi) * atan_many(a_U * V / root_U)
        return np.where(V > 0.0, up, below * (1.0 + (2.0 / np.pi) * atan_many(a_S * V / root_S)))

    def cycle_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        (root_S, root_U, below), (a_S, a_U), phase = self._cycle(), self._curvatures(), np.asarray(phase)
        over = (phase - below) * (0.5 * np.pi)
        up = root_U * tan_many(over / (1.0 - below)) / a_U
        return np.where(over > 0.0, up, root_S * tan_many(over / below) / a_S)

    def cycle_velocity(self) -> NumberOrArray:
        return 1.0 / np.asarray(self.free_period())

    def gradients(self, sums: dict[str, Floats]) -> dict[str, Floats]:
        return super().gradients(sums) | {"rapidness": sums["shape"]}

    def balance(self, drive: float, weight: float) -> tuple[float, float]:
        return drive, weight

    def gain(self) -> tuple[float, float]:
        return 1.0, float(np.mean(np.sqrt(np.abs(self._curvatures()[0] * self.I_e)))) or 1.0

    def starting_voltage(self) -> NumberOrArray:
        return 0.0 if np.isfinite(self.free_period()).any() else self.resting_voltage()


def curvatures(rapidness):
    """a_S and a_U, in any arithmetic."""
    return (rapidness + 1.0) / (2.0 * rapidness), rapidness * (rapidness + 1.0) / 2.0


def rapid_theta_constants(a, tau_m, rapidness, I_e, t_ref):
    """The constants of one RapidTheta neuron, in the arithmetic `a`.

    Returns
    -------
    dict
        ``below``: those of a Riccati neuron with w = a_S V, from -inf to the glue point 0, in coordinates that rotate
        or as of a time; of a rotation ``peak`` is the direction that the neuron would have below if it fired at that
        time. ``glued``, whether there is something else above, so whether rapidness is not 1. Above w = a_U V: ``I_U``
        and ``root_U`` for I_e a_U and its root; ``climbs``, whether V passes 0 by itself, and ``rise``, the time from
        there to infinity in units of tau; ``kick_S`` and ``kick_U``, what a weight of 1 is, a_S and a_U, and their
        derivatives by rapidness; ``ratio`` = a_U / a_S.
    """
    kick_S, kick_U = curvatures(rapidness)
    number, glued = 0.0 * rapidness, rapidness != 1.0  # or it is 1, and something is to be derived by it
    I_S, I_U = kick_S * I_e, kick_U * I_e
    regime = qif_regime(I_S.real)
    if glued and (regime == "saddle" or rapidness.real < 1.0):
        regime = "shear"
    infinity = a.number(math.inf)
    below = qif_constants(a.sqrt, tau_m, I_S, number if glued else infinity, -infinity, t_ref, regime)
    root_U = a.sqrt(I_U if I_U.real >= 0.0 else -I_U)
    climbs = glued and I_S.real > 0.0 and I_U.real > 0.0
    if glued and regime == "rotation":
        angle = a.turn / (4.0 * rapidness)
        below["peak"] = a.cos(angle), a.sin(angle)
    return {
        "tau": tau_m,
        "t_ref": t_ref,
        "V_reset": -infinity,
        "frame": below["frame"],
        "below": below | {"origin": None},
        "glued": glued,
        "I_U": I_U,
        "root_U": root_U,
        "climbs": climbs,
        "rise": 0.25 * a.turn / root_U if climbs else number,
        "kick_S": kick_S,
        "kick_U": kick_U,
        "ratio": rapidness * rapidness,
        "kick_S_slope": -0.5 / (rapidness * rapidness),
        "kick_U_slope": rapidness + 0.5,
        "I_e": I_e,
    }


# The specification, for the reference engine ------------------------------------------------------------------------

FAR = 2.0**830  # w of a neuron that by rounding has passed infinity


class RapidThetaNeuron(Neuron):
    """``below``, a Riccati neuron for w = a_S V, or ``above``, w = a_U V > 0 as of its ``base``; the other is 0.

    The state of ``below`` stays as it is while V passes 0 by itself, until the next kick.
    """

    def __init__(self, engine, parameters):
        super().__init__(engine)
        constants = rapid_theta_constants(self.a, **parameters)
        self.below = qif_neuron(engine, constants.pop("below"))
        self.frame = self.below.frame
        del constants["frame"]
        vars(self).update(constants)
        self.zero = self.above = self.a.number(0.0)

    @property
    def base(self):
        """The time that the state is as of, where it is."""
        return self.below.base

    @base.setter
    def base(self, pair):
        self.below.base = pair

    @property
    def shift(self):
        """Of the frame of ``below``."""
        return self.below.shift

    @shift.setter
    def shift(self, shift):
        self.below.shift = shift

    def enter(self, now):
        self.below.enter(now)

    def get_state(self):
        return [*self.below.get_state(), self.above]

    def set_state(self, numbers):
        self.below.set_state(numbers[:2])
        self.above = numbers[2]

    def since_base(self, t):
        """In units of tau."""
        return ((t[0] - self.base[0]) * self.engine.clock.epoch + (t[1] - self.base[1])) / self.tau

    def risen(self, w, u):
        """w after a time u (in units of tau) above 0, and not beyond."""
        root, I_U = self.root_U, self.I_U
        if I_U.real < 0.0 and w.real <= 2.0 * root.real:
            # By the distances from the fixed points: nothing is lost near the unstable one.
            distance = (w - root) / (w + root)
            if distance.real == 0.0:
                return w
            distance = distance * self.a.exp(2.0 * root * u)
            return root * ((1.0 + distance) / (1.0 - distance)) if distance.real < 1.0 else self.a.number(FAR)
        if I_U.real > 0.0:
            if (root * u).real > 1.6:
                return self.a.number(FAR)
            C, S = self.a.cos(root * u), self.a.sin(root * u) / root
        elif I_U.real < 0.0:
            C, S = 1.0, self.a.tanh(root * u) / root
        else:
            C, S = 1.0, u
        left = C - S * w
        return (I_U * S + C * w) / left if left.real > 0.0 else self.a.number(FAR)

    def passed(self, over):
        """w at a time `over` (in units of tau) after V passed 0 from below."""
        angle = self.root_U * over
        cosine = self.a.cos(angle)
        if angle.real > 1.6 or cosine.real <= 0.0:
            return self.a.number(FAR)
        return self.root_U * self.a.sin(angle) / cosine

    def seen(self, now):
        """w as Q / P and 0 where it is not above 0; otherwise something, and w > 0."""
        a = self.a
        if self.above.real > 0.0:
            u = self.since_base(now)
            if self.I_U.real < 0.0 and self.above.real < self.root_U.real:
                over = u - 0.5 * a.log1p(2.0 * self.above / (self.root_U - self.above)) / self.root_U
                if over.real >= 0.0:
                    root = self.below.root
                    return a.number(1.0), -(root * a.tanh(root * over)), self.zero
            w = self.risen(self.above, u)
            return a.number(1.0), self.zero, w if w.real > 0.0 else self.zero
        P, Q = self.below.direction_now(now)
        if self.climbs:
            if self.frame is None:
                over = self.since_base(now) - self.climb()
            else:
                over = a.atan2(Q, self.below.root * P) / self.below.root if Q.real > 0.0 else self.zero
            if over.real > 0.0:
                w = self.passed(over)
                if w.real > 0.0:
                    return P, Q, w
        return P, Q, self.zero

    def climb(self):
        """From the time of a state below, as of a time, to 0, in units of tau; I > 0."""
        below = self.below
        return self.a.atan2(-below.q, below.root * below.p) / below.root

    def put_below(self, P, Q, now):
        """w = Q / P <= 0."""
        self.above = self.zero
        self.below.place_direction(P, Q, now)
        return True

    def put_above(self, w, now):
        """w > 0, if it is in range; whether it is."""
        if not w.real < LARGEST_STATE:
            return False
        self.below.p = self.below.q = self.zero
        self.above, self.base = w, now
        return True

    def place(self, V, now):
        if self.glued and V.real > 0.0:
            self.put_above(self.kick_U * V, now)
        else:
            self.above = self.zero
            self.below.place(self.kick_S * V, now)

    def take_over(self, other, now):
        P, Q, w = other.seen(now)
        if w.real > 0.0:
            self.put_above(w, now)
        else:
            self.put_below(P, Q, now)

    def kick(self, weight, now, port):
        if not self.glued:
            return self.below.kick(self.kick_S * weight, now, port)
        P, Q, w = self.seen(now)
        if w.real > 0.0:
            w = w + self.kick_U * weight
            if w.real > 0.0:
                return self.put_above(w, now)
            return w.real > -LARGEST_STATE and self.put_below(self.a.number(1.0), w / self.ratio, now)
        if P.real <= 0.0:
            return True  # at infinity, where kicks do nothing
        Q = Q + self.kick_S * weight * P
        if Q.real > 0.0:
            return self.put_above(Q / P * self.ratio, now)
        if self.above.real > 0.0:
            return Q.real > -LARGEST_STATE and self.put_below(P, Q, now)
        return self.below.kick(self.kick_S * weight, now, port)

    def over_threshold(self, now):
        return False

    def next_spike(self, since, now):
        a, w = self.a, self.above
        if w.real > 0.0:
            root = self.root_U
            if self.I_U.real > 0.0:
                u = a.atan2(root, w) / root
            elif self.I_U.real == 0.0:
                u = 1.0 / w
            elif w.real <= root.real:
                return NEVER
            else:
                u = 0.5 * a.log1p(2.0 * root / (w - root)) / root
            return self.engine.plus(self.base, self.tau * u)
        if self.glued and self.frame is None:
            if not self.climbs:
                return NEVER
            return self.engine.plus(self.base, self.tau * (self.climb() + self.rise))
        return self.below.next_spike(since, now)

    def reset(self, release, now):
        self.above = self.zero
        self.below.reset(release, now)

    def voltage(self, now):
        P, Q, w = self.seen(now)
        return w / self.kick_U if w.real > 0.0 else self.below.ratio(Q, P) / self.kick_S
