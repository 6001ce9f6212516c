"""The piecewise linear integrate-and-fire neuron, and the constants that engines derive from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ParameterError, named_arguments, shown
from ..numerics._functions import expm1_many, log1p, log1p_many
from ..numerics.engine_time import NEVER
from .base import I_E, T_REF, TAU_M, NeuronModel, Parameter, cycle_voltage
from .lif import scaled_gap
from .neuron import LARGEST_STATE, Neuron

if TYPE_CHECKING:
    from .._types import Description, Floats, NumberOrArray

__all__ = ["PWLIF", "pwlif_constants"]


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class PWLIF(NeuronModel):
    """Piecewise linear integrate-and-fire neuron with delta synapses: a leak up to V_T, exponential growth above.

    ::

        tau_m dV/dt = -(V - E_L) + I_e                                   V <= V_T
        tau_m dV/dt = -(V_T - E_L) + I_e + slope (V - V_T)               V_T < V < V_th

    The drift is continuous, and least at V_T. The neuron oscillates if ``E_L + I_e > V_T``; below this rheobase it
    rests at ``E_L + I_e``, and fires when kicks bring it over the unstable point ``V_T + (V_T - E_L - I_e) / slope``: a
    spike onset as of an EIF or QIF neuron, in closed form. With ``slope=1`` it is the absolute integrate-and-fire
    neuron of Karbowski and Kopell, ``dV/dt = |V| + I``, with units.

    Every parameter is a number or an array with one value per neuron.

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms, that of the leak; above `V_T` voltages grow apart with ``tau_m / slope``.
    E_L : float or array_like
        Resting potential of the leak.
    V_T : float or array_like
        Where the leak ends and growth begins: the kink of the drift.
    slope : float or array_like
        Slope of the drift above `V_T`, in units of the leak's, from 1e-9 to 1e9.
    V_th : float or array_like
        Threshold, above `V_T`. A spike is emitted when V reaches it, by itself or by a kick.
    V_reset : float or array_like
        Potential after a spike, below `V_th`, on either side of `V_T`.
    I_e : float or array_like
        Constant drive in units of voltage (membrane resistance 1).
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset` and kicks are dropped.

    Raises
    ------
    ParameterError
        For a value that is not allowed; the message names it.

    References
    ----------
    Karbowski and Kopell (2000), Neural Comput. 12:1573 (absolute integrate-and-fire); Tonnelier and Gerstner (2003),
    Phys. Rev. E 67:021908, and Coombes, Thul and Wedgwood (2012), Physica D 241:2042 (PWL-IF, there with a second
    variable).

    Examples
    --------
    >>> import sparseprop as sp
    >>> model = sp.PWLIF(tau_m=10.0, V_T=1.0, slope=2.0, V_th=3.0, I_e=1.5)
    >>> round(model.free_period(), 6)
    np.float64(21.972246)
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": TAU_M,
        "E_L": Parameter("V", "resting potential of the leak"),
        "V_T": Parameter("V", "where the leak ends and growth begins"),
        "slope": Parameter("1", "slope of the drift above V_T, in units of the leak's", "a number > 0", positive=True),
        "V_th": Parameter("V", "threshold"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": I_E,
        "t_ref": T_REF,
    }
    kernel: ClassVar[str] = "PWLIF"
    has_gain: ClassVar[bool] = True
    making_bytes: ClassVar[int] = 335
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0, "I_e": 1.2, "V_th": 2.0, "slope": 2.0}
    kernel_parameters: ClassVar[tuple[str, ...]] = tuple(table)
    smallest_gap: ClassVar[float] = 1e-300  # of the drive from the rheobase: below, doubles lose their digits

    tau_m: NumberOrArray
    E_L: NumberOrArray = 0.0
    V_T: NumberOrArray = 1.0
    slope: NumberOrArray = 1.0
    V_th: NumberOrArray = 2.0
    V_reset: NumberOrArray = 0.0
    I_e: NumberOrArray = 0.0
    t_ref: NumberOrArray = 0.0

    def _check_relations(self):
        self._relation(
            np.asarray(self.V_reset) < np.asarray(self.V_th),
            f"V_reset must be below V_th, got V_reset = {shown(self.V_reset)} and V_th = {shown(self.V_th)}",
        )
        self._relation(
            np.asarray(self.V_T) < np.asarray(self.V_th),
            f"V_T must be below V_th, got V_T = {shown(self.V_T)} and V_th = {shown(self.V_th)}; without a part "
            "in which V grows it is LIF",
        )
        self._relation(
            (np.asarray(self.slope) >= 1e-9) & (np.asarray(self.slope) <= 1e9),
            f"slope must be from 1e-9 to 1e9, got {shown(self.slope)}",
        )
        gap = np.abs(self._gap())
        self._relation(
            (gap == 0.0) | (gap >= self.smallest_gap),
            f"E_L + I_e must be V_T or at least {self.smallest_gap:g} away from it; use another unit of voltage",
        )
        self._check_refractory(self.growth_time_constant())

    @staticmethod
    def constants_of(parameters: Description) -> Description:
        return pwlif_constants(math.fsum, log1p, **parameters)

    @staticmethod
    def neuron(engine: Any, parameters: Description) -> Neuron:
        return PWLIFNeuron(engine, parameters)

    def state_doubles(self) -> int:
        return 4

    def frames(self) -> list[tuple[Any, ...]]:
        return [(self.tau_m,)]

    def growth_time_constant(self) -> NumberOrArray:
        """The time constant in ms of the frame: that of the leak."""
        return self.tau_m

    def _gap(self):
        """E_L + I_e - V_T, with the rounding of the first sum put back."""
        E_L, I_e = np.asarray(self.E_L), np.asarray(self.I_e)
        drive = E_L + I_e
        back = drive - E_L
        return (drive - self.V_T) + ((E_L - (drive - back)) + (I_e - back))

    def _time_to_kink(self):
        """From reset in units of tau_m; 0 from above, infinite from below if the drive is."""
        gap, below = self._gap(), np.maximum(np.asarray(self.V_T) - self.V_reset, 0.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            up = np.where(gap > 0.0, log1p_many(below / gap), np.inf)
            return np.where(np.asarray(self.V_reset) > self.V_T, 0.0, up)

    def free_period(self) -> NumberOrArray:
        """Time from reset to threshold without input in ms, ``inf`` for a neuron at rest; float or array."""
        start = np.maximum(np.asarray(self.V_reset), self.V_T)
        speed = self._gap() + self.slope * (start - self.V_T)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            way = log1p_many(self.slope * (np.asarray(self.V_th) - start) / speed) / self.slope
            return (self.tau_m * np.where(speed > 0.0, self._time_to_kink() + way, np.inf))[()]

    def free_voltage(self, elapsed: NumberOrArray) -> NumberOrArray:
        """V at `elapsed` ms after reset (0 <= elapsed < :meth:`free_period`) without input."""
        u, kink, gap = np.asarray(elapsed) / self.tau_m, self._time_to_kink(), self._gap()
        v = np.asarray(self.V_reset) - np.asarray(self.V_T)
        above = np.maximum(v, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):
            up = above + (gap + self.slope * above) * expm1_many(self.slope * (u - kink)) / self.slope
        return self.V_T + np.where(u < kink, v - (gap - v) * expm1_many(-u), up)

    def resting_voltage(self) -> NumberOrArray:
        """Where a neuron below the rheobase stays; V_reset for one above it."""
        V = np.asarray(self.E_L) + np.asarray(self.I_e)
        return np.where(self._gap() <= 0.0, np.minimum(V, self.V_T), self.V_reset)[()]

    def threshold(self) -> NumberOrArray:
        """The voltage at which the neuron fires."""
        return self.V_th

    def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return cycle_voltage(self, phase)

    def gradients(self, sums: dict[str, Floats]) -> dict[str, Floats]:
        # If all voltages of a neuron are moved together, nothing happens but that V is read there.
        by_V_T = sums["read"] - sums["I_e"] - sums["threshold"] - sums["V_reset"] - sums["V"]
        return super().gradients(sums) | {"V_T": by_V_T, "slope": sums["shape"]}

    def balance(self, drive: float, weight: float) -> tuple[float, float]:
        scale = self.V_T - self.V_reset
        if not scale > 0.0:
            raise ParameterError(
                f"model of a balanced network must have V_reset below V_T, got V_reset = {self.V_reset} and V_T = "
                f"{self.V_T}: weights are in units of their distance"
            )
        return (self.V_T - self.E_L) + scale * drive, weight * scale

    def gain(self) -> tuple[float, float]:
        # A spike is certain above the unstable point.
        above = np.minimum(np.maximum(-self._gap(), 0.0) / self.slope, np.asarray(self.V_th) - self.V_T)
        return 1.0, float(np.mean(np.asarray(self.V_T) + above - self.resting_voltage())) or 1.0

    def starting_voltage(self) -> NumberOrArray:
        rest: Any = np.where(np.asarray(self.E_L) <= self.V_T, self.E_L, self.V_reset)
        return rest[()] if np.isfinite(self.free_period()).any() else self.resting_voltage()


def pwlif_constants(fsum, log1p, tau_m, E_L, V_T, slope, V_th, V_reset, I_e, t_ref):
    """The constants of one PWLIF neuron, in the arithmetic of `fsum` (a correctly rounded sum) and `log1p`.

    Returns
    -------
    dict
        ``V_inf`` and its rounding error ``V_inf_low``; ``gap = E_L + I_e - V_T`` (also as mantissa and power of two in
        ``gap_scaled``), the drift at V_T; ``depth = E_L + I_e - V_reset``; ``v_th`` and ``v_reset``, counted from V_T;
        ``rise``, the time from V_T to threshold in units of tau_m, and whether it is ``slow``, so that x would
        underflow in it; ``frame``: the leak's time constant as tau / root, with root^2 = square.
    """
    V_inf, gap, v_th = fsum([E_L, I_e]), fsum([E_L, I_e, -V_T]), fsum([V_th, -V_T])
    rise = log1p(slope * v_th / gap) / slope if gap.real > 0.0 else 0.0 * gap
    return {
        "tau": tau_m,
        "V_inf": V_inf,
        "V_inf_low": fsum([E_L, I_e, -V_inf]),
        "gap": gap,
        "gap_scaled": scaled_gap(gap),
        "depth": fsum([E_L, I_e, -V_reset]),
        "V_T": V_T,
        "slope": slope,
        "V_th": V_th,
        "v_th": v_th,
        "v_reset": fsum([V_reset, -V_T]),
        "rise": rise,
        "slow": rise.real > 300.0 or 0.0 < gap.real < 1e-100,
        "V_reset": V_reset,
        "t_ref": t_ref,
        "frame": {"tau": tau_m, "root": 1.0, "square": 1.0, "rotates": False},
    }


# The specification, for the reference engine ------------------------------------------------------------------------


class PWLIFNeuron(Neuron):
    """Up to V_T, x = (V_inf - V) E as in LIF, kept with 2^shift taken out; above, v = V - V_T > 0 as of ``base``.

    One of the two is 0 (v where x counts). x stays as it is while V passes V_T by itself, until the next kick; if that
    may be long, ``base`` says when it does.
    """

    state = ("grown", "above")

    def __init__(self, engine, parameters):
        super().__init__(engine)
        vars(self).update(pwlif_constants(self.a.fsum, self.a.log1p, **parameters))
        self.frame = engine.frame(**self.frame)
        self.base = (0, self.a.number(0.0))
        self.zero = self.grown = self.above = self.a.number(0.0)

    def since_base(self, t):
        """In units of tau."""
        return ((t[0] - self.base[0]) * self.engine.clock.epoch + (t[1] - self.base[1])) / self.tau

    def rising(self, v, u):
        """v after a time u (in units of tau) above V_T."""
        speed, z = self.gap + self.slope * v, self.slope * u
        if z.real > 600.0:
            half = self.a.exp(0.5 * z)
            return speed * half / self.slope * half
        return v + speed * (u * self.a.relative_expm1(z))

    def seen(self, now, E):
        """V_inf - V and 0, or 0 and V - V_T where that is > 0; E is the growth now."""
        v = self.zero
        if self.above.real > 0.0:
            u = self.since_base(now)
            if (self.gap + self.slope * self.above).real < 0.0:
                over = u + self.a.log1p(self.slope * self.above / self.gap) / self.slope
                if over.real >= 0.0:
                    return self.gap * self.a.exp(-over), v
            return v, self.rising(self.above, u)
        if self.gap.real > 0.0:
            if self.slow:
                u = self.since_base(now)
                v = self.rising(v, u) if u.real > 0.0 else v
            elif self.grown.real < (self.gap * E).real:
                v = self.rising(v, self.a.log(self.gap * E / self.grown))
            if v.real > 0.0:
                return self.zero, v
        return self.grown / E, self.zero

    def kink(self, n):
        """When x passes V_T."""
        gap, power = self.gap_scaled
        return self.frame.locate(self.grown / gap, self.shift - power, n)

    def put_below(self, grown, now):
        """Set x, if it is in range; whether it is."""
        if not abs(grown.real) < LARGEST_STATE:
            return False
        self.grown, self.above = grown, self.zero
        if self.slow:
            self.base = self.kink(now[0])
        return True

    def put_above(self, v, base):
        """Set v as of `base`, if it is in range; whether it is."""
        if not v.real < LARGEST_STATE:
            return False
        self.grown, self.above, self.base = self.zero, v, base
        return True

    def place(self, V, now):
        v = V - self.V_T
        if v.real > 0.0:
            self.put_above(v, now)
        else:
            self.put_below(((self.V_inf - V) + self.V_inf_low) * self.frame.growth(now, self.shift), now)

    def take_over(self, other, now):
        distance, v = other.seen(now, other.frame.growth(now, other.shift))
        if v.real > 0.0:
            self.put_above(v, now)
        else:
            change = (self.V_inf - other.V_inf) + (self.V_inf_low - other.V_inf_low)
            self.put_below((distance + change) * self.frame.growth(now, self.shift), now)

    def kick(self, weight, now, port):
        E = self.frame.growth(now, self.shift)
        edge = self.gap * E
        if self.above.real > 0.0 or (edge.real > 0.0 and (self.slow or self.grown.real < edge.real)):
            distance, v = self.seen(now, E)
            if v.real > 0.0:
                v = v + weight
                return self.put_above(v, now) if v.real > 0.0 else self.put_below((self.gap - v) * E, now)
            grown = (distance - weight) * E
        else:
            grown = self.grown - weight * E
        if grown.real < edge.real:
            v = self.gap - grown / E
            if v.real > 0.0:
                return self.put_above(v, now)
        return self.put_below(grown, now)

    def over_threshold(self, now):
        return self.above.real >= self.v_th.real

    def next_spike(self, since, now):
        if self.above.real > 0.0:
            speed, way = self.gap + self.slope * self.above, self.v_th - self.above
            if speed.real <= 0.0:
                return NEVER
            u = self.a.log1p(self.slope * way / speed) / self.slope if way.real > 0.0 else self.zero
            return self.engine.plus(self.base, self.tau * u)
        if self.gap.real <= 0.0:
            return NEVER
        return self.engine.plus(self.base if self.slow else self.kink(now[0]), self.tau * self.rise)

    def reset(self, release, now):
        if self.v_reset.real > 0.0:
            self.put_above(self.v_reset, release)
        else:
            self.put_below(self.depth * self.frame.growth(release, self.shift), now)

    def voltage(self, now):
        distance, v = self.seen(now, self.frame.growth(now, self.shift))
        return self.V_T + v if v.real > 0.0 else self.V_inf - distance
