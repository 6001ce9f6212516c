"""The leaky integrate-and-fire neuron, and the constants that engines derive from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import named_arguments, shown
from ..numerics._functions import exp_many, expm1_many, log1p_many, log_many
from ..numerics.engine_time import NEVER
from .base import I_E, T_REF, TAU_M, NeuronModel, Parameter, cycle_voltage
from .neuron import LARGEST_STATE, Neuron

if TYPE_CHECKING:
    from .._types import Description, NumberOrArray

__all__ = ["LIF", "Leaky", "lif_constants", "scaled_gap"]


class Leaky(NeuronModel):
    """What LIF and LIFExp share: ``tau_m dV/dt = -(V - E_L) + I_e`` without input, below V_th."""

    E_L: NumberOrArray
    V_th: NumberOrArray

    smallest_gap: ClassVar[float] = 1e-300  # of the drive from the threshold: below, doubles lose their digits

    def _check_relations(self):
        self._relation(
            np.asarray(self.V_reset) < np.asarray(self.V_th),
            f"V_reset must be below V_th, got V_reset = {shown(self.V_reset)} and V_th = {shown(self.V_th)}",
        )
        gap = np.abs(self._gap())
        self._relation(
            (gap == 0.0) | (gap >= self.smallest_gap),
            f"E_L + I_e must be V_th or at least {self.smallest_gap:g} away from it; use another unit of voltage",
        )
        self._check_refractory(self.growth_time_constant())

    def growth_time_constant(self) -> NumberOrArray:
        """The shortest time constant in ms of the exponential flow."""
        return self.tau_m

    def free_period(self) -> NumberOrArray:
        """Time from reset to threshold without input in ms, ``inf`` for a neuron at rest; float or array."""
        gap = self._gap()
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = (np.asarray(self.V_th) - self.V_reset) / gap
            return np.where(gap > 0.0, self.tau_m * log1p_many(ratio), np.inf)[()]

    def _gap(self):
        """E_L + I_e - V_th, with the rounding of the first sum put back."""
        E_L, I_e = np.asarray(self.E_L), np.asarray(self.I_e)
        V_inf = E_L + I_e
        back = V_inf - E_L
        return (V_inf - self.V_th) + ((E_L - (V_inf - back)) + (I_e - back))

    def free_voltage(self, elapsed: NumberOrArray) -> NumberOrArray:
        """V at `elapsed` ms after reset (0 <= elapsed < :meth:`free_period`) without input."""
        V_inf = np.asarray(self.E_L) + np.asarray(self.I_e)
        return V_inf - (V_inf - self.V_reset) * exp_many(-elapsed / self.tau_m)

    def resting_voltage(self) -> NumberOrArray:
        """Where a neuron that does not oscillate stays; V_reset for one driven exactly to threshold."""
        V_inf = np.asarray(self.E_L) + np.asarray(self.I_e)
        return np.where(self._gap() < 0.0, np.minimum(V_inf, np.nextafter(self.V_th, -np.inf)), self.V_reset)[()]

    def threshold(self) -> NumberOrArray:
        """The voltage at which the neuron fires."""
        return self.V_th

    def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return cycle_voltage(self, phase)

    def balance(self, drive: float, weight: float) -> tuple[float, float]:
        scale = self.V_th - self.V_reset
        return (self.V_th - self.E_L) + scale * drive, weight * scale

    def gain(self) -> tuple[float, float]:
        return 1.0, float(np.mean(np.asarray(self.V_th) - self.resting_voltage())) or 1.0

    def starting_voltage(self) -> NumberOrArray:
        return self.E_L if np.isfinite(self.free_period()).any() else self.resting_voltage()


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class LIF(Leaky):
    """Leaky integrate-and-fire neuron, ``tau_m dV/dt = -(V - E_L) + I_e``, with delta synapses.

    Every parameter is a number or an array with one value per neuron.

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms.
    E_L : float or array_like
        Resting potential.
    V_th : float or array_like
        Threshold. A spike is emitted when V reaches it, by itself or by a kick.
    V_reset : float or array_like
        Potential after a spike, below `V_th`.
    I_e : float or array_like
        Constant drive in units of voltage. The neuron oscillates if ``E_L + I_e > V_th``.
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset` and kicks are dropped.

    Raises
    ------
    ParameterError
        For a value that is not allowed; the message names it.

    Examples
    --------
    >>> import sparseprop as sp
    >>> model = sp.LIF(tau_m=20.0, V_th=20.0, V_reset=10.0, I_e=30.0, t_ref=2.0)
    >>> model.free_period()  # 20 ms ln 2
    np.float64(13.862943611198906)
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": TAU_M,
        "E_L": Parameter("V", "resting potential"),
        "V_th": Parameter("V", "threshold"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": I_E,
        "t_ref": T_REF,
    }
    kernel: ClassVar[str] = "LIF"
    is_linear: ClassVar[bool] = True
    has_gain: ClassVar[bool] = True
    making_bytes: ClassVar[int] = 316
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0, "I_e": 1.2}
    kernel_parameters: ClassVar[tuple[str, ...]] = ("tau_m", "E_L", "V_th", "V_reset", "I_e", "t_ref")

    tau_m: NumberOrArray
    E_L: NumberOrArray = 0.0
    V_th: NumberOrArray = 1.0
    V_reset: NumberOrArray = 0.0
    I_e: NumberOrArray = 0.0
    t_ref: NumberOrArray = 0.0

    def _cycle(self):
        """How far V_inf is above V_reset, and the free period in units of tau_m; of neurons at rest inf and inf."""
        gap = np.asarray(self._gap())
        depth = np.where(gap > 0.0, gap + (np.asarray(self.V_th) - self.V_reset), np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            return depth, np.where(gap > 0.0, log_many(depth / gap), np.inf)

    def cycle_phase(self, V: NumberOrArray) -> NumberOrArray:
        depth, length = self._cycle()
        with np.errstate(invalid="ignore"):
            phase = -log1p_many((self.V_reset - np.asarray(V)) / depth) / length
        return np.where(np.isfinite(depth), phase, super().cycle_phase(V))

    def cycle_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        depth, length = self._cycle()
        with np.errstate(invalid="ignore"):
            V = self.V_reset - depth * expm1_many(-np.asarray(phase) * length)
        return np.where(np.isfinite(depth), V, super().cycle_voltage(phase))

    def cycle_velocity(self) -> NumberOrArray:
        return np.where(np.asarray(self.t_ref) > 0.0, 0.0, 1.0 / self.free_period())

    @staticmethod
    def constants_of(parameters: Description) -> Description:
        return lif_constants(math.fsum, **parameters)

    @staticmethod
    def neuron(engine: Any, parameters: Description) -> Neuron:
        return LIFNeuron(engine, parameters)

    def state_doubles(self) -> int:
        return 1

    def frames(self) -> list[tuple[Any, ...]]:
        return [(self.tau_m,)]


def lif_constants(fsum, tau_m, E_L, V_th, V_reset, I_e, t_ref):
    """The constants of one LIF neuron, in the arithmetic of `fsum` (a correctly rounded sum).

    Returns
    -------
    dict
        ``V_inf`` and its rounding error ``V_inf_low``, ``gap = V_inf - V_th`` (also as mantissa and power of two in
        ``gap_scaled``), ``depth = V_inf - V_reset``, and ``frame``: the flow's time constant as tau / root, with
        root^2 = square.
        The differences are sums of the parameters themselves: subtracting from the rounded V_inf would cost up
        to three digits of the spike times.
    """
    V_inf = fsum([E_L, I_e])
    gap = fsum([E_L, I_e, -V_th])
    return {
        "tau": tau_m,
        "V_inf": V_inf,
        "V_inf_low": fsum([E_L, I_e, -V_inf]),
        "gap": gap,
        "gap_scaled": scaled_gap(gap),
        "depth": fsum([E_L, I_e, -V_reset]),
        "V_reset": V_reset,
        "t_ref": t_ref,
        "frame": {"tau": tau_m, "root": 1.0, "square": 1.0, "rotates": False},
    }


def scaled_gap(gap):
    """(g, k) with gap = g 2^k. k is 0 unless the gap is so small that a state divided by it could overflow."""
    k = math.frexp(gap.real)[1] if 0.0 < gap.real < 2.0**-100 else 0
    return (gap * 2.0 ** (-k // 2) * 2.0 ** (-k - -k // 2) if k else gap), k


# The specification, for the reference engine ------------------------------------------------------------------------


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
