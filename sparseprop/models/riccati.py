"""Neurons whose voltage follows a Riccati equation: QIF, theta, quadratic integrate-and-fire."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ParameterError, named_arguments, shown
from ..numerics._functions import atan2_many, atan_many, atanh_many, tan_many, tanh_many
from ..numerics.engine_time import NEVER
from .base import I_E, T_REF, TAU_M, NeuronModel, Parameter, cycle_voltage
from .neuron import LARGEST_STATE, Neuron

if TYPE_CHECKING:
    from .._types import Description, Floats, NumberOrArray

__all__ = ["QIF", "QuadraticIF", "Theta", "qif_constants", "riccati_drives", "riccati_parameters"]


class _Riccati(NeuronModel):
    """What QIF, Theta and QuadraticIF share: ``tau_m dV/dt = V^2 + I_e`` between V_reset and V_peak."""

    _cites: ClassVar[tuple[str, ...]] = ("quadratic",)
    kernel: ClassVar[str] = "Riccati"
    drive_sets_tau: ClassVar[bool] = True
    kernel_parameters: ClassVar[tuple[str, ...]] = ("tau_m", "I_e", "V_peak", "V_reset", "t_ref")

    if TYPE_CHECKING:

        @property
        def V_peak(self) -> NumberOrArray: ...

    def _check_relations(self):
        self._relation(
            np.asarray(self.V_reset) < np.asarray(self.V_peak),
            f"V_reset must be below V_peak, got V_reset = {shown(self.V_reset)} and V_peak = {shown(self.V_peak)}",
        )
        self._relation(np.abs(self.I_e) <= 1e12, f"I_e must be between -1e12 and 1e12, got {shown(self.I_e)}")
        self._check_refractory(self.growth_time_constant())

    def growth_time_constant(self) -> NumberOrArray:
        """The time constant in ms of the exponential flow, tau_m / (2 sqrt(-I_e)); inf where there is none."""
        with np.errstate(divide="ignore"):
            return self.tau_m / (2.0 * np.sqrt(np.maximum(-np.asarray(self.I_e), 0.0)))

    def free_period(self) -> NumberOrArray:
        """Time from reset to peak without input in ms, ``inf`` for a neuron at rest; float or array."""
        I_e, low, high = np.broadcast_arrays(self.I_e, self.V_reset, self.V_peak)
        kappa = np.sqrt(np.maximum(-I_e, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(I_e)
            # atan(high / root) - atan(low / root), which would cancel for small roots
            finite = atan2_many(root * (high - low), I_e + low * high) / root
            infinite = (atan2_many(high, root) - atan2_many(low, root)) / root
            oscillating = np.where(np.isfinite(low) & np.isfinite(high), finite, infinite)
            returning = np.where(
                I_e < 0.0, (atanh_many(kappa / low) - atanh_many(kappa / high)) / kappa, 1.0 / low - 1.0 / high
            )
        # For I_e <= 0 only a neuron reset above the unstable, or peaking below the stable point comes round.
        silent = np.where((low > kappa) | (high < -kappa), returning, np.inf)
        return (self.tau_m * np.where(I_e > 0.0, oscillating, silent))[()]

    def free_voltage(self, elapsed: NumberOrArray) -> NumberOrArray:
        """V at `elapsed` ms after reset (0 <= elapsed < :meth:`free_period`) without input."""
        u = np.asarray(elapsed) / self.tau_m
        I_e = np.asarray(self.I_e)
        root = np.sqrt(np.abs(I_e))
        with np.errstate(divide="ignore", invalid="ignore"):
            tangent = np.where(I_e > 0.0, tan_many(root * u) / root, np.where(I_e < 0.0, tanh_many(root * u) / root, u))
            voltage: Any = np.where(
                np.isinf(self.V_reset), -1.0 / tangent, (self.V_reset + I_e * tangent) / (1.0 - self.V_reset * tangent)
            )
        return voltage[()]

    def resting_voltage(self) -> NumberOrArray:
        """The stable fixed point -sqrt(-I_e) of a neuron that does not oscillate; V_reset if V_peak is not above it."""
        fixed = -np.sqrt(np.maximum(-np.asarray(self.I_e), 0.0))
        return np.where(fixed < self.V_peak, fixed, self.V_reset)[()]

    def threshold(self) -> NumberOrArray:
        """The voltage at which the neuron fires."""
        return self.V_peak

    def _is_angle(self):
        return np.isinf(self.V_peak) | np.isinf(self.V_reset)

    def cycle_phase(self, V: NumberOrArray) -> NumberOrArray:
        root = np.sqrt(np.abs(self.I_e))
        with np.errstate(invalid="ignore"):
            angle = 0.5 + atan_many(np.asarray(V) / np.where(root > 0.0, root, 1.0)) / np.pi
            return np.where(self._is_angle(), angle, super().cycle_phase(V))

    def cycle_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        root = np.sqrt(np.abs(self.I_e))
        with np.errstate(invalid="ignore"):
            V = np.where(root > 0.0, root, 1.0) * tan_many(np.pi * (np.asarray(phase) - 0.5))
            return np.where(self._is_angle(), V, super().cycle_voltage(phase))

    def cycle_velocity(self) -> NumberOrArray:
        whole = np.isinf(self.V_peak) & np.isinf(self.V_reset) & (np.asarray(self.t_ref) == 0.0)
        return np.where(whole, 1.0 / self.free_period(), 0.0)

    def riccati_drive(self) -> NumberOrArray:
        """The I_e of the equation above; its sign and size choose the coordinates."""
        return self.I_e

    @staticmethod
    def constants_of(parameters: Description) -> Description:
        return riccati_constants(math.sqrt, parameters)

    @staticmethod
    def origin_of(parameters: Description) -> NumberOrArray:
        return origin_of(parameters)

    @staticmethod
    def neuron(engine: Any, parameters: Description) -> Neuron:
        return riccati_neuron(engine, parameters)

    def state_doubles(self) -> int:
        return 4 if np.any(np.abs(self.riccati_drive()) < SHEAR_LIMIT) else 2  # a shear has a time

    def frames(self) -> list[tuple[Any, ...]]:
        return [(self.tau_m, self.riccati_drive())]

    def loses_complex_step(self) -> bool:
        return bool((np.abs(self.riccati_drive()) < 1e-3).any())


class _Dimensionless(_Riccati):
    """What QIF and Theta share: V and I_e are those of the equation."""

    def balance(self, drive: float, weight: float) -> tuple[float, float]:
        return drive, weight

    def gain(self) -> tuple[float, float]:
        return 1.0, float(np.mean(np.sqrt(np.abs(self.I_e)))) or 1.0

    def starting_voltage(self) -> NumberOrArray:
        return 0.0 if np.isfinite(self.free_period()).any() else self.resting_voltage()


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class QIF(_Dimensionless):
    """Quadratic integrate-and-fire neuron, ``tau_m dV/dt = V^2 + I_e``, V dimensionless, with delta synapses.

    Every parameter is a number or an array with one value per neuron.

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms.
    I_e : float or array_like
        Constant drive. The neuron oscillates for ``I_e > 0`` and is excitable for ``I_e < 0``.
    V_peak : float or array_like
        Voltage at which a spike is emitted; ``inf`` (default) is the theta neuron's.
    V_reset : float or array_like
        Voltage after a spike, below `V_peak`; ``-inf`` (default) is the theta neuron's.
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset` and kicks are dropped.

    Raises
    ------
    ParameterError
        For a value that is not allowed; the message names it.

    Examples
    --------
    >>> import sparseprop as sp
    >>> sp.QIF(tau_m=10.0, I_e=1.0).free_period()  # 10 ms pi
    np.float64(31.41592653589793)
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": TAU_M,
        "I_e": I_E,
        "V_peak": Parameter("V", "voltage of a spike", "a number or inf", infinite=1.0),
        "V_reset": Parameter("V", "potential after a spike", "a number or -inf", infinite=-1.0),
        "t_ref": T_REF,
    }
    is_quadratic: ClassVar[bool] = True
    has_gain: ClassVar[bool] = True

    tau_m: NumberOrArray
    I_e: NumberOrArray = 0.0
    V_peak: NumberOrArray = math.inf
    V_reset: NumberOrArray = -math.inf
    t_ref: NumberOrArray = 0.0

    def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return cycle_voltage(self, phase)


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class Theta(_Dimensionless):
    """Theta neuron, ``tau_m dtheta/dt = (1 - cos theta) + I_e (1 + cos theta)``, with delta synapses.

    It is the :class:`QIF` with infinite peak and reset, ``V = tan(theta / 2)``: weights and V are voltages of
    that form, and ``phase=`` gives the initial state as theta in (-pi, pi).

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms.
    I_e : float or array_like
        Constant drive. The neuron oscillates for ``I_e > 0`` and is excitable for ``I_e < 0``.

    References
    ----------
    Ermentrout and Kopell (1986), SIAM J. Appl. Math. 46:233, doi:10.1137/0146017.

    Examples
    --------
    >>> import sparseprop as sp
    >>> sp.Theta(tau_m=10.0, I_e=1.0).free_period()  # that of a QIF neuron: 10 ms pi
    np.float64(31.41592653589793)
    """

    table: ClassVar[dict[str, Parameter]] = {"tau_m": TAU_M, "I_e": I_E}
    is_quadratic: ClassVar[bool] = True
    has_gain: ClassVar[bool] = True
    V_peak: ClassVar[float] = math.inf
    V_reset: ClassVar[float] = -math.inf
    t_ref: ClassVar[float] = 0.0

    tau_m: NumberOrArray
    I_e: NumberOrArray = 0.0

    def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """V at a phase theta in (-pi, pi)."""
        if not (np.abs(phase) < np.pi).all():
            raise ParameterError("phase of a Theta neuron must be in (-pi, pi), the range of theta")
        return tan_many(np.asarray(phase) / 2.0)[()]


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class QuadraticIF(_Riccati):
    """Quadratic integrate-and-fire neuron in physical units, with delta synapses.

    ``C_m dV/dt = g_L (V - V_r) (V - V_t) / (V_t - V_r) + I_e``: near the resting potential V_r it is a leaky neuron
    with time constant ``C_m / g_L``; from V_t on V runs away. It is the :class:`QIF` of ``V - (V_r + V_t) / 2`` with
    ``tau_m = C_m (V_t - V_r) / g_L`` and ``I_e (V_t - V_r) / g_L - (V_t - V_r)^2 / 4`` as its drive, and runs on the
    same closed forms. Weights, initial and recorded V are voltages in the unit of the parameters.

    Units: any that fit together, with times in ms; for example pF, nS, mV and pA.

    Every parameter is a number or an array with one value per neuron.

    Parameters
    ----------
    C_m : float or array_like
        Membrane capacitance.
    g_L : float or array_like
        Leak conductance at rest.
    V_r, V_t : float or array_like
        Resting potential and threshold of the instability, ``V_r < V_t``.
    V_peak : float or array_like
        Voltage at which a spike is emitted; ``inf`` (default) takes the neuron to infinity.
    V_reset : float or array_like
        Voltage after a spike, below `V_peak`; ``-inf`` is the default.
    I_e : float or array_like
        Constant current. The neuron oscillates above the rheobase ``g_L (V_t - V_r) / 4``.
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset` and kicks are dropped.

    Raises
    ------
    ParameterError
        For a value that is not allowed; the message names it.

    Examples
    --------
    >>> import sparseprop as sp
    >>> model = sp.QuadraticIF(C_m=100.0, g_L=10.0, V_r=-60.0, V_t=-50.0, V_peak=30.0, V_reset=-65.0, I_e=100.0)
    >>> round(model.free_period(), 6)
    np.float64(26.862183)
    """

    table: ClassVar[dict[str, Parameter]] = {
        "C_m": Parameter("g_L ms", "membrane capacitance", "a finite number > 0", positive=True, sets_tau=True),
        "g_L": Parameter("I / V", "leak conductance at rest", "a finite number > 0", positive=True, sets_tau=True),
        "V_r": Parameter("V", "resting potential", sets_tau=True),
        "V_t": Parameter("V", "where V runs away", sets_tau=True),
        "V_peak": Parameter("V", "voltage of a spike", "a number or inf", infinite=1.0),
        "V_reset": Parameter("V", "potential after a spike", "a number or -inf", infinite=-1.0),
        "I_e": Parameter("g_L V", "constant current"),
        "t_ref": T_REF,
    }
    kernel_parameters: ClassVar[tuple[str, ...]] = tuple(table)
    example: ClassVar[dict[str, Any]] = {"C_m": 10.0, "g_L": 1.0, "V_r": -0.5, "V_t": 0.5}

    C_m: NumberOrArray
    g_L: NumberOrArray
    V_r: NumberOrArray
    V_t: NumberOrArray
    V_peak: NumberOrArray = math.inf
    V_reset: NumberOrArray = -math.inf
    I_e: NumberOrArray = 0.0
    t_ref: NumberOrArray = 0.0

    def _check_relations(self):
        self._relation(
            np.asarray(self.V_r) < np.asarray(self.V_t),
            f"V_r must be below V_t, got V_r = {shown(self.V_r)} and V_t = {shown(self.V_t)}",
        )
        self._relation(
            np.asarray(self.V_reset) < np.asarray(self.V_peak),
            f"V_reset must be below V_peak, got V_reset = {shown(self.V_reset)} and V_peak = {shown(self.V_peak)}",
        )
        self._relation(
            np.abs(self._qif.I_e) <= 1e12,
            "the squares of voltages must be below 1e12, and of I_e / g_L; use other units of voltage",
        )
        self._check_refractory(self.growth_time_constant())

    @functools.cached_property
    def _qif(self) -> QIF:
        """The same neuron in the engine's terms, as numbers or arrays."""
        size = self.size
        each = {name: np.broadcast_to(getattr(self, name), 1 if size is None else size) for name in self.table}
        D = each["V_t"] - each["V_r"]
        centre = origin_of(each)
        values = {
            "tau_m": each["C_m"] * D / each["g_L"],
            "I_e": riccati_drives(each["g_L"], each["V_r"], each["V_t"], each["I_e"]),
            # The same operations as in riccati_parameters; infinite ones stay so.
            "V_peak": each["V_peak"] - centre,
            "V_reset": each["V_reset"] - centre,
            "t_ref": np.array(each["t_ref"]),
        }
        if size is None:
            values = {name: value[0].item() for name, value in values.items()}
        model = object.__new__(QIF)
        for name, value in values.items():
            object.__setattr__(model, name, value)
        return model

    @property
    def tau_m(self) -> NumberOrArray:
        """The time constant at rest in ms, C_m / g_L."""
        return self.C_m / self.g_L

    @property
    def _centre(self):
        return 0.5 * (np.asarray(self.V_r) + self.V_t)

    def growth_time_constant(self) -> NumberOrArray:
        return self._qif.growth_time_constant()

    def free_period(self) -> NumberOrArray:
        return self._qif.free_period()

    def free_voltage(self, elapsed: NumberOrArray) -> NumberOrArray:
        return (self._centre + self._qif.free_voltage(elapsed))[()]

    def resting_voltage(self) -> NumberOrArray:
        return (self._centre + self._qif.resting_voltage())[()]

    def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return cycle_voltage(self, phase)

    def cycle_phase(self, V: NumberOrArray) -> NumberOrArray:
        return self._qif.cycle_phase(np.asarray(V) - self._centre)

    def cycle_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        return self._centre + self._qif.cycle_voltage(phase)

    def cycle_velocity(self) -> NumberOrArray:
        return self._qif.cycle_velocity()

    def riccati_drive(self) -> NumberOrArray:
        return self._qif.I_e

    @property
    def nbytes(self) -> int:
        return super().nbytes + self._qif.nbytes

    def part(self, neurons: slice) -> Any:
        part = super().part(neurons)
        if part is not self:
            part.__dict__.pop("_qif", None)
        return part

    def drive_scale(self) -> NumberOrArray:
        return (self.V_t - self.V_r) / self.g_L

    def gradients(self, sums: dict[str, Floats]) -> dict[str, Floats]:
        D, scale = self.V_t - self.V_r, self.drive_scale()
        by_D = self.C_m / self.g_L * sums["tau_m"] + sums["I_e_times"] / self.g_L - D / 2.0 * sums["I_e"]
        by_centre = sums["read"] - sums["threshold"] - sums["V_reset"] - sums["V"]
        return {
            "C_m": scale * sums["tau_m"],
            "g_L": -scale / self.g_L * (self.C_m * sums["tau_m"] + sums["I_e_times"]),
            "V_r": by_centre / 2.0 - by_D,
            "V_t": by_centre / 2.0 + by_D,
            "V_peak": sums["threshold"],
            "V_reset": sums["V_reset"],
            "I_e": scale * sums["I_e"],
            "t_ref": sums["t_ref"],
            "V": sums["V"],
        }


# Below this |I_e| the eigen-coordinates of the Riccati flow lose digits (by 1 / sqrt|I_e|), and the neuron is
# integrated from kick to kick instead. See docs/numerics.md.
SHEAR_LIMIT = 1e-4


def qif_regime(I_e):
    """Which coordinates a Riccati neuron uses: ``"rotation"``, ``"saddle"`` or ``"shear"``."""
    if abs(I_e) < SHEAR_LIMIT:
        return "shear"
    return "rotation" if I_e > 0.0 else "saddle"


def _direction(a, b):
    """The direction of the vector (a, b), scaled so that its larger component is 1; an infinite `b` counts as such."""
    if math.isinf(b.real):
        return 0.0 * a, math.copysign(1.0, b.real) + 0.0 * a
    size = max(abs(a.real), abs(b.real))
    return a / size, b / size


def origin_of(parameters):
    """The voltage (a number or an array) that is 0 for the engines' neurons with these parameters, or None if 0 is."""
    return (parameters["V_r"] + parameters["V_t"]) / 2 if "V_t" in parameters else None


def riccati_parameters(**parameters):
    """The parameters of :func:`qif_constants` for a neuron of any Riccati model, and the V that is 0 in it (or None).

    In the arithmetic that the parameters are in; in doubles the drive of a :class:`QuadraticIF` is rounded once, since
    its terms cancel where the neuron is near the rheobase.
    """
    if "C_m" not in parameters:
        return parameters, None
    C_m, g_L, V_r, V_t, I_e = (parameters[name] for name in ("C_m", "g_L", "V_r", "V_t", "I_e"))
    D = V_t - V_r
    tau_m, drive, centre = C_m * D / g_L, I_e * D / g_L - D * D / 4, origin_of(parameters)
    if isinstance(drive, (float, complex)):
        exact = _riccati_drive(*(float(value.real) for value in (g_L, V_r, V_t, I_e)))
        drive = exact if isinstance(drive, float) else complex(exact, drive.imag)
    return {
        "tau_m": tau_m,
        "I_e": drive,
        "V_peak": parameters["V_peak"] if math.isinf(parameters["V_peak"].real) else parameters["V_peak"] - centre,
        "V_reset": parameters["V_reset"] if math.isinf(parameters["V_reset"].real) else parameters["V_reset"] - centre,
        "t_ref": parameters["t_ref"],
    }, centre


def _riccati_drive(g_L, V_r, V_t, I_e):
    """``I_e (V_t - V_r) / g_L - (V_t - V_r)^2 / 4``, rounded once."""
    D = Fraction(V_t) - Fraction(V_r)
    return float(Fraction(I_e) * D / Fraction(g_L) - D**2 / 4)


def riccati_drives(g_L, V_r, V_t, I_e):
    """The same for arrays of one shape, in pairs of doubles; where these cannot tell the rounding, in fractions."""
    D, D_low = _two_sum(V_t, -V_r)
    product, product_low = _two_product(I_e, D)
    product_low = product_low + I_e * D_low
    ratio = product / g_L
    back, back_low = _two_product(ratio, g_L)
    ratio_low = ((product - back) - back_low + product_low) / g_L
    square, square_low = _two_product(D, D)
    square, square_low = 0.25 * square, 0.25 * (square_low + 2.0 * D * D_low)
    high, low = _two_sum(ratio, -square)
    high, low = _two_sum(high, low + (ratio_low - square_low))
    error = 2.0**-95 * (np.abs(ratio) + square)
    certain = (high + (low - error) == high) & (high + (low + error) == high)
    drives = np.array(high)
    for k in np.flatnonzero(~certain):
        drives[k] = _riccati_drive(*(float(value[k]) for value in (g_L, V_r, V_t, I_e)))
    return drives


def _two_sum(a, b):
    """a + b, rounded, and what is lost in it."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _two_product(a, b):
    """a b, rounded, and what is lost in it (Dekker)."""

    def halves(x):
        c = 134217729.0 * x  # 2^27 + 1
        high = c - (c - x)
        return high, x - high

    p = a * b
    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def riccati_constants(sqrt, parameters):
    """The constants of one neuron of any Riccati model: those of :func:`qif_constants`, and the `origin` of its V."""
    parameters, origin = riccati_parameters(**parameters)
    return qif_constants(sqrt, **parameters) | {"origin": origin}


def qif_constants(sqrt, tau_m, I_e, V_peak, V_reset, t_ref, regime=None):
    """The constants of one Riccati neuron, in the arithmetic of `sqrt`; in the coordinates of `regime`, if given.

    Returns
    -------
    dict
        ``regime``, ``root = sqrt|I_e|``, and the directions of threshold and reset in the regime's coordinates:
        V = v is the direction (root, v) of (p, q) for rotations, (1, v) for shears, and
        (root + v, root - v) of (a, b E) for saddles. ``frame`` is None for shears.
    """
    regime = regime or qif_regime(I_e.real)
    constants = {
        "tau": tau_m,
        "I_e": I_e,
        "regime": regime,
        "V_peak": V_peak,
        "V_reset": V_reset,
        "t_ref": t_ref,
        "finite_peak": not math.isinf(V_peak.real),
    }
    root = sqrt(I_e if I_e.real >= 0.0 else -I_e)
    constants["root"] = root
    constants["frame"] = {
        "rotation": {"tau": tau_m, "root": root, "square": I_e, "rotates": True},
        "saddle": {"tau": tau_m, "root": 2.0 * root, "square": -4.0 * I_e, "rotates": False},
    }.get(regime)
    if regime == "saddle":
        if math.isinf(V_peak.real):
            constants["peak"] = (1.0 + 0.0 * root, -1.0 + 0.0 * root)
        else:
            constants["peak"] = _direction(root + V_peak, root - V_peak)
        if math.isinf(V_reset.real):
            constants["reset"] = (-1.0 + 0.0 * root, 1.0 + 0.0 * root)
        else:
            constants["reset"] = _direction(root + V_reset, root - V_reset)
    else:
        scale = root if regime == "rotation" else 1.0 + 0.0 * root
        constants["peak"] = _direction(scale, V_peak)
        constants["reset"] = _direction(scale, V_reset)
    return constants


# The specification, for the reference engine ------------------------------------------------------------------------


class RiccatiNeuron(Neuron):
    """tau dV/dt = V^2 + I; the state is a direction in the plane, its length has no meaning.

    In the coordinates that all regimes share, ``direction_now`` and ``place_direction``, it is (P, Q) with V = Q / P.
    V is that of the equation, which for some models begins to count at `origin`.
    """

    origin: Any  # the user's voltage that is 0 in the equation, or None if that is 0

    def __init__(self, engine, constants):
        super().__init__(engine)
        vars(self).update(constants)
        self.frame = engine.frame(**self.frame) if self.frame else None
        self.inverse_root = 1.0 / self.root if self.regime != "shear" else None
        self.V_reset = self.to_user(self.V_reset)

    def to_user(self, V):
        """A voltage of the equation in the user's count."""
        return V if self.origin is None else V + self.origin

    def place(self, V, now):
        if self.origin is not None:
            V = V - self.origin
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

    def ratio(self, above, below):
        """The user's V of above / below, infinite where the neuron is passing through infinity."""
        return self.to_user(above / below if below.real != 0.0 else math.copysign(math.inf, above.real))


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


def riccati_neuron(engine, parameters):
    """A Riccati neuron in the coordinates of its regime."""
    return qif_neuron(engine, riccati_constants(engine.a.sqrt, parameters))


def qif_neuron(engine, constants):
    """The same, of constants as of :func:`riccati_constants`."""
    constants["reset_direction"] = constants.pop("reset")  # `reset` is the method
    return REGIMES[constants["regime"]](engine, constants)
