"""Neuron models: what a user writes down, and the constants that both engines derive from it.

Each parameter is declared once, in the model's table, with its unit, bounds and meaning; checking, messages,
``repr``, configuration files and the random inputs of the tests all read that table.
"""

import dataclasses
import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from . import _validation
from .connectivity import Purpose
from .distributions import Distribution, distribution_from_dict
from .drifts import Drift, drift_of
from .errors import ParameterError, named_arguments, shown, shown_range
from .tables import MAX_TABLES, EIFDrift, NumericalDrift, table_of

__all__ = [
    "EIF",
    "LIF",
    "MODELS",
    "QIF",
    "LIFExp",
    "NeuronModel",
    "NumericalIF",
    "Parameter",
    "QuadraticIF",
    "Theta",
    "UniformPhase",
    "uniform_phase",
]


# Within this range no sum or product of parameters leaves the range of a double.
LARGEST = 1e60
# Synaptic currents of a neuron; also in _lifexp.pxd.
MAX_PORTS = 4
# Of time constants of one LIFExp neuron, so that an epoch is neither long nor short against any of them.
LARGEST_RATIO = 1e6
# Of the drive from the threshold of a LIFExp neuron, so that no exponential underflows before a spike.
SMALLEST_GAP = 1e-90


@dataclass(frozen=True)
class Parameter:
    """One row of a model's table.

    Attributes
    ----------
    unit : str
        ``"ms"`` or ``"V"`` (the user's unit of voltage).
    doc : str
        What it means.
    allowed : str
        The allowed values in words, for messages.
    positive, nonnegative : bool
        Lower bound.
    infinite : float
        An infinity that is allowed besides the finite numbers, or 0.
    ports : bool
        Whether a tuple gives one value (a number, or an array with one per neuron) for each port; in dictionaries and
        configuration files, which have no tuples, ``{"ports": [...]}`` and ``{"neurons": [...]}``. Short lists, which
        could be either, are refused.
    """

    unit: str
    doc: str
    allowed: str = "a finite number"
    positive: bool = False
    nonnegative: bool = False
    infinite: float = 0.0
    ports: bool = False

    def check(self, value, name):
        """`value` as a float or as a read-only float64 array of shape (n,); for ports, also a tuple of these."""
        if not self.ports:
            return self._check_one(value, name)
        if isinstance(value, dict) and list(value) in (["ports"], ["neurons"]):
            ((kind, values),) = value.items()
            if _validation.is_array(values):
                value = tuple(values) if kind == "ports" else np.array(_validation.plain(values, name))
        elif isinstance(value, list) and len(value) <= MAX_PORTS:
            raise ParameterError(
                f"{name} must be a number, a tuple with one value for each port, or an array with one per neuron; the "
                f"list {shown(value)} could be either: give the tuple {shown(tuple(value))} for ports, or "
                f"numpy.array({shown(value)}) for neurons; in a configuration {{'ports': ...}} or {{'neurons': ...}}"
            )
        if isinstance(value, tuple):
            if not 1 <= len(value) <= MAX_PORTS:
                raise ParameterError(f"{name} must be for 1 to {MAX_PORTS} ports, got {len(value)} values")
            return tuple(self._check_one(part, f"{name}[{k}]") for k, part in enumerate(value))
        return self._check_one(value, name)

    def _check_one(self, value, name):
        if isinstance(value, dict) and "distribution" in value:
            value = distribution_from_dict(value, name)
        if isinstance(value, Distribution):
            low = 0.0 if self.positive or self.nonnegative else -math.inf
            value.require(name, self.allowed, low=low, low_open=self.positive)
            return value
        bounds: dict[str, Any] = {"infinite": self.infinite != 0.0, "unit": "ms" if self.unit == "ms" else None}
        if self.positive or self.nonnegative:
            bounds |= {"low": 0.0, "low_open": self.positive}
        if self.infinite > 0.0:
            bounds |= {"low": -math.inf, "low_open": True}
        elif self.infinite < 0.0:
            bounds |= {"high": math.inf, "high_open": True}
        if _validation.is_array(value):
            value = _validation.real_array(value, name, self.allowed, **bounds)
            value.flags.writeable = False
        else:
            value = _validation.real(value, name, self.allowed, **bounds)
        size = np.abs(value)
        extreme = (np.isfinite(size) & (size > LARGEST)) | (self.positive & (size < 1.0 / LARGEST))
        if extreme.any():
            got = float(np.ravel(value)[int(np.argmax(extreme))])
            raise ParameterError(f"{name} must be between 1 / {LARGEST:g} and {LARGEST:g} in size, got {got!r}")
        return value


def _in_brief(value):
    """What a model shows of a parameter: arrays by their range."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_in_brief, value))}{',' if len(value) == 1 else ''})"
    return shown_range(value) if isinstance(value, np.ndarray) else repr(value)


class NeuronModel:
    """What all neuron models share: checking against the table, sizes, and the dictionary form.

    Any parameter may be a distribution (:func:`sparseprop.normal` and others); :meth:`Network.add` draws one number for
    each neuron.
    """

    table: ClassVar[dict[str, Parameter]]
    # Arguments that make one, for tests that take every model there is.
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0}

    def __post_init__(self):
        for name, parameter in self.table.items():
            object.__setattr__(self, name, parameter.check(getattr(self, name), f"{type(self).__name__}.{name}"))
        shape = {name: value.shape[0] for name, value in self._values() if isinstance(value, np.ndarray)}
        if len(set(shape.values())) > 1:
            sizes = ", ".join(f"{name}: {n}" for name, n in shape.items())
            raise ParameterError(
                f"the parameters of {type(self).__name__} given per neuron must have one length, got {sizes}"
            )
        self._prepare()
        if not self.distributions:
            self._check_relations()

    def _prepare(self):
        """Arguments that are no parameters of the table."""

    def _check_relations(self):
        """Checks between parameters."""

    def __repr__(self):
        values = (f"{field.name}={_in_brief(getattr(self, field.name))}" for field in dataclasses.fields(self))
        return f"{type(self).__name__}({', '.join(values)})"

    @property
    def distributions(self):
        """Names of the parameters that are to be drawn; a population has a model in which they are."""
        return [name for name, value in self._values() if isinstance(value, Distribution)]

    def drawn(self, key, population, n):
        """The model of n neurons, with numbers drawn for parameters that are distributions.

        Parameters
        ----------
        key : ndarray of uint64, shape (2,)
        population : int
            Its place in the network.
        n : int
        """
        if not self.distributions:
            return self
        values = {}
        for name, value in self._values():
            if isinstance(value, Distribution):
                value = value.draw_neurons(key, Purpose.PARAMETER, population, name, n)
            values[name] = value
        whole = {
            name: tuple(values[f"{name}[{k}]"] for k in range(len(getattr(self, name))))
            if isinstance(getattr(self, name), tuple)
            else values[name]
            for name in self.table
        }
        return dataclasses.replace(self, **whole)

    def _values(self):
        """Names and values of all parameters, those of ports one by one."""
        for name in self.table:
            value = getattr(self, name)
            if isinstance(value, tuple):
                yield from ((f"{name}[{k}]", part) for k, part in enumerate(value))
            else:
                yield name, value

    @property
    def n_ports(self):
        """The number of kinds of synapses: what ``port=`` of :meth:`Network.connect` can be is 0 to n_ports - 1."""
        return 1

    @property
    def size(self):
        """The number of neurons the model's arrays are for, or None if every parameter is one number."""
        for _, value in self._values():
            if isinstance(value, np.ndarray):
                return value.shape[0]
        return None

    def part(self, neurons):
        """The model of a slice of the neurons; itself if all share their parameters."""
        if self.size is None:
            return self

        def taken(value):
            if isinstance(value, tuple):
                return tuple(taken(one) for one in value)
            return value[neurons] if isinstance(value, np.ndarray) else value

        return dataclasses.replace(self, **{name: taken(getattr(self, name)) for name in self.table})

    def parameters(self):
        """The parameters of the equations, ``{name: float or array}``, in the order of :attr:`kernel_parameters`."""
        return {name: getattr(self, name) for name in self.kernel_parameters}

    def to_dict(self):
        """The dictionary form: the model's name and its parameters."""
        values = {name: getattr(self, name) for name in self.table}
        return {"name": type(self).__name__} | {name: _as_plain(value) for name, value in values.items()}

    def lowest_voltage(self):
        """The voltage below which the neuron has no equations; float or array."""
        return -math.inf

    def gradients(self, sums):
        """Derivatives by the model's own parameters.

        Parameters
        ----------
        sums : dict of ndarray, shape (n,)
            Those by the engine's: ``I_e, tau_m, threshold, V_reset, t_ref``, V (at the beginning), ``read`` (the sum of
            dL/dV of all readings) and ``I_e_times`` (``I_e`` times the I_e of the time).

        Returns
        -------
        dict
            By name; without one for parameters whose derivative is not known.
        """
        known = sums | {"E_L": sums["I_e"], "V_th": sums["threshold"], "V_peak": sums["threshold"]}
        return {name: known[name] for name in self.parameters() if name in known}

    def drive_scale(self):
        """By what a change of I_e is multiplied in the engine; float or array."""
        return 1.0

    def _relation(self, holds, message):
        """Raise with `message` and the first index where `holds` is False."""
        holds = np.asarray(holds)
        if not holds.all():
            where = f" at index {int(np.argmin(holds))}" if holds.ndim else ""
            raise ParameterError(f"{type(self).__name__}: {message}{where}")

    def _check_refractory(self, growth_tau):
        # A refractory neuron holds the state of its release time, a factor exp(t_ref / tau) ahead of the present.
        self._relation(
            np.asarray(self.t_ref) <= 500.0 * np.asarray(growth_tau),
            "t_ref must be at most 500 time constants of the exponential flow; use a shorter t_ref or a larger tau_m",
        )


_TAU_M = Parameter("ms", "membrane time constant", "a finite time > 0 ms", positive=True)
_I_E = Parameter("V", "constant drive, in units of voltage (membrane resistance 1)")
_T_REF = Parameter(
    "ms", "refractory period: V stays at V_reset and kicks are dropped", "a finite time >= 0 ms", nonnegative=True
)


class _Leaky(NeuronModel):
    """What LIF and LIFExp share: ``tau_m dV/dt = -(V - E_L) + I_e`` without input, below V_th."""

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

    def growth_time_constant(self):
        """The shortest time constant in ms of the exponential flow."""
        return self.tau_m

    def free_period(self):
        """Time from reset to threshold without input in ms, ``inf`` for a neuron at rest; float or array."""
        gap = self._gap()
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = (np.asarray(self.V_th) - self.V_reset) / gap
            return np.where(gap > 0.0, self.tau_m * np.log1p(ratio), np.inf)[()]

    def _gap(self):
        """E_L + I_e - V_th, with the rounding of the first sum put back."""
        E_L, I_e = np.asarray(self.E_L), np.asarray(self.I_e)
        V_inf = E_L + I_e
        back = V_inf - E_L
        return (V_inf - self.V_th) + ((E_L - (V_inf - back)) + (I_e - back))

    def free_voltage(self, elapsed):
        """V at `elapsed` ms after reset (0 <= elapsed < :meth:`free_period`) without input."""
        V_inf = np.asarray(self.E_L) + np.asarray(self.I_e)
        return V_inf - (V_inf - self.V_reset) * np.exp(-elapsed / self.tau_m)

    def resting_voltage(self):
        """Where a neuron that does not oscillate stays; V_reset for one driven exactly to threshold."""
        V_inf = np.asarray(self.E_L) + np.asarray(self.I_e)
        return np.where(self._gap() < 0.0, np.minimum(V_inf, np.nextafter(self.V_th, -np.inf)), self.V_reset)[()]

    def threshold(self):
        """The voltage at which the neuron fires."""
        return self.V_th

    def phase_to_voltage(self, phase):
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return _cycle_voltage(self, phase)


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class LIF(_Leaky):
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
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": _TAU_M,
        "E_L": Parameter("V", "resting potential"),
        "V_th": Parameter("V", "threshold"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": _I_E,
        "t_ref": _T_REF,
    }
    kernel: ClassVar[str] = "LIF"
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0, "I_e": 1.2}
    kernel_parameters: ClassVar[tuple[str, ...]] = ("tau_m", "E_L", "V_th", "V_reset", "I_e", "t_ref")

    tau_m: Any
    E_L: Any = 0.0
    V_th: Any = 1.0
    V_reset: Any = 0.0
    I_e: Any = 0.0
    t_ref: Any = 0.0


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class LIFExp(_Leaky):
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
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": _TAU_M,
        "tau_syn": Parameter("ms", "synaptic time constant", "a finite time > 0 ms", positive=True, ports=True),
        "E_L": Parameter("V", "resting potential"),
        "V_th": Parameter("V", "threshold"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": _I_E,
        "t_ref": Parameter(
            "ms", "refractory period: V stays at V_reset, currents go on", "a finite time >= 0 ms", nonnegative=True
        ),
    }
    kernel: ClassVar[str] = "LIFExp"
    smallest_gap: ClassVar[float] = SMALLEST_GAP
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0, "tau_syn": 2.0, "I_e": 1.2}

    tau_m: Any
    tau_syn: Any
    E_L: Any = 0.0
    V_th: Any = 1.0
    V_reset: Any = 0.0
    I_e: Any = 0.0
    t_ref: Any = 0.0

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
    def time_constants(self):
        """The synaptic time constants in ms, a tuple with one for each port."""
        return self.tau_syn if isinstance(self.tau_syn, tuple) else (self.tau_syn,)

    @property
    def n_ports(self):
        return len(self.time_constants)

    def parameters(self):
        shared = {name: getattr(self, name) for name in self.table if name != "tau_syn"}
        return shared | {f"tau_syn_{k}": value for k, value in enumerate(self.time_constants)}

    def growth_time_constant(self):
        """The shortest time constant in ms of the exponential flow."""
        return functools.reduce(np.minimum, self.time_constants, np.asarray(self.tau_m))[()]


class _Riccati(NeuronModel):
    """What QIF and Theta share: ``tau_m dV/dt = V^2 + I_e`` between V_reset and V_peak."""

    kernel: ClassVar[str] = "QIF"
    kernel_parameters: ClassVar[tuple[str, ...]] = ("tau_m", "I_e", "V_peak", "V_reset", "t_ref")

    def _check_relations(self):
        self._relation(
            np.asarray(self.V_reset) < np.asarray(self.V_peak),
            f"V_reset must be below V_peak, got V_reset = {shown(self.V_reset)} and V_peak = {shown(self.V_peak)}",
        )
        self._relation(np.abs(self.I_e) <= 1e12, f"I_e must be between -1e12 and 1e12, got {shown(self.I_e)}")
        self._check_refractory(self.growth_time_constant())

    def growth_time_constant(self):
        """The time constant in ms of the exponential flow, tau_m / (2 sqrt(-I_e)); inf where there is none."""
        with np.errstate(divide="ignore"):
            return self.tau_m / (2.0 * np.sqrt(np.maximum(-np.asarray(self.I_e), 0.0)))

    def free_period(self):
        """Time from reset to peak without input in ms, ``inf`` for a neuron at rest; float or array."""
        I_e, low, high = np.broadcast_arrays(self.I_e, self.V_reset, self.V_peak)
        kappa = np.sqrt(np.maximum(-I_e, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(I_e)
            # atan(high / root) - atan(low / root), which would cancel for small roots
            finite = np.arctan2(root * (high - low), I_e + low * high) / root
            infinite = (np.arctan2(high, root) - np.arctan2(low, root)) / root
            oscillating = np.where(np.isfinite(low) & np.isfinite(high), finite, infinite)
            returning = np.where(
                I_e < 0.0, (np.arctanh(kappa / low) - np.arctanh(kappa / high)) / kappa, 1.0 / low - 1.0 / high
            )
        # For I_e <= 0 only a neuron reset above the unstable, or peaking below the stable point comes round.
        silent = np.where((low > kappa) | (high < -kappa), returning, np.inf)
        return (self.tau_m * np.where(I_e > 0.0, oscillating, silent))[()]

    def free_voltage(self, elapsed):
        """V at `elapsed` ms after reset (0 <= elapsed < :meth:`free_period`) without input."""
        u = np.asarray(elapsed) / self.tau_m
        I_e = np.asarray(self.I_e)
        root = np.sqrt(np.abs(I_e))
        with np.errstate(divide="ignore", invalid="ignore"):
            tangent = np.where(I_e > 0.0, np.tan(root * u) / root, np.where(I_e < 0.0, np.tanh(root * u) / root, u))
            voltage = np.where(
                np.isinf(self.V_reset), -1.0 / tangent, (self.V_reset + I_e * tangent) / (1.0 - self.V_reset * tangent)
            )
        return voltage[()]

    def resting_voltage(self):
        """The stable fixed point -sqrt(-I_e) of a neuron that does not oscillate; V_reset if V_peak is not above it."""
        fixed = -np.sqrt(np.maximum(-np.asarray(self.I_e), 0.0))
        return np.where(fixed < self.V_peak, fixed, self.V_reset)[()]

    def threshold(self):
        """The voltage at which the neuron fires."""
        return self.V_peak

    def riccati_drive(self):
        """The I_e of the equation above; its sign and size choose the coordinates."""
        return self.I_e


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class QIF(_Riccati):
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
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": _TAU_M,
        "I_e": _I_E,
        "V_peak": Parameter("V", "voltage of a spike", "a number or inf", infinite=1.0),
        "V_reset": Parameter("V", "potential after a spike", "a number or -inf", infinite=-1.0),
        "t_ref": _T_REF,
    }

    tau_m: Any
    I_e: Any = 0.0
    V_peak: Any = math.inf
    V_reset: Any = -math.inf
    t_ref: Any = 0.0

    def phase_to_voltage(self, phase):
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return _cycle_voltage(self, phase)


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class Theta(_Riccati):
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
    """

    table: ClassVar[dict[str, Parameter]] = {"tau_m": _TAU_M, "I_e": _I_E}
    V_peak: ClassVar[float] = math.inf
    V_reset: ClassVar[float] = -math.inf
    t_ref: ClassVar[float] = 0.0

    tau_m: Any
    I_e: Any = 0.0

    def phase_to_voltage(self, phase):
        """V at a phase theta in (-pi, pi)."""
        if not (np.abs(phase) < np.pi).all():
            raise ParameterError("phase of a Theta neuron must be in (-pi, pi), the range of theta")
        return np.tan(np.asarray(phase) / 2.0)


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
    """

    table: ClassVar[dict[str, Parameter]] = {
        "C_m": Parameter("g_L ms", "membrane capacitance", "a finite number > 0", positive=True),
        "g_L": Parameter("I / V", "leak conductance at rest", "a finite number > 0", positive=True),
        "V_r": Parameter("V", "resting potential"),
        "V_t": Parameter("V", "where V runs away"),
        "V_peak": Parameter("V", "voltage of a spike", "a number or inf", infinite=1.0),
        "V_reset": Parameter("V", "potential after a spike", "a number or -inf", infinite=-1.0),
        "I_e": Parameter("g_L V", "constant current"),
        "t_ref": _T_REF,
    }
    kernel_parameters: ClassVar[tuple[str, ...]] = tuple(table)
    example: ClassVar[dict[str, Any]] = {"C_m": 10.0, "g_L": 1.0, "V_r": -0.5, "V_t": 0.5}

    C_m: Any
    g_L: Any
    V_r: Any
    V_t: Any
    V_peak: Any = math.inf
    V_reset: Any = -math.inf
    I_e: Any = 0.0
    t_ref: Any = 0.0

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
    def _qif(self):
        """The same neuron in the engine's terms, as numbers or arrays."""
        size = self.size
        each = {name: np.broadcast_to(getattr(self, name), 1 if size is None else size) for name in self.table}
        D = each["V_t"] - each["V_r"]
        centre = voltage_origin(each)
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
    def tau_m(self):
        """The time constant at rest in ms, C_m / g_L."""
        return self.C_m / self.g_L

    @property
    def _centre(self):
        return 0.5 * (np.asarray(self.V_r) + self.V_t)

    def growth_time_constant(self):
        return self._qif.growth_time_constant()

    def free_period(self):
        return self._qif.free_period()

    def free_voltage(self, elapsed):
        return (self._centre + self._qif.free_voltage(elapsed))[()]

    def resting_voltage(self):
        return (self._centre + self._qif.resting_voltage())[()]

    def phase_to_voltage(self, phase):
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return _cycle_voltage(self, phase)

    def riccati_drive(self):
        return self._qif.I_e

    def part(self, neurons):
        part = super().part(neurons)
        if part is not self:
            part.__dict__.pop("_qif", None)
        return part

    def drive_scale(self):
        return (self.V_t - self.V_r) / self.g_L

    def gradients(self, sums):
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


class _Tabulated(NeuronModel):
    """What EIF and NumericalIF share: the flow is in tables, one for each different set of parameters."""

    kernel: ClassVar[str] = "Tabulated"

    def _check_tables(self):
        """Make the tables, so that parameters that they cannot be made for are refused here."""
        n = 1
        if self.size is not None:
            # As a bound; time constants, resets and refractory periods are not in the tables.
            names = [name for name in self.in_table if isinstance(getattr(self, name), np.ndarray)]
            if names:
                n = len(np.unique(np.stack([getattr(self, name) for name in names]), axis=1).T)
        if n > MAX_TABLES:
            raise ParameterError(
                f"{type(self).__name__} needs a table, which takes up to a second to make and 0.2 MB, for each "
                f"different set of {', '.join(names)}; at most {MAX_TABLES} are allowed, got {n}. Round these "
                "parameters to fewer values (tau_m, V_reset and t_ref are free), or use LIF or QIF"
            )
        for constants in self._constants():
            if not constants["at_reset"] >= constants["table"].v_min:
                raise ParameterError(
                    f"{type(self).__name__}: V_reset must be at least V_min, got {constants['V_reset']}"
                )

    @functools.cached_property
    def _rows(self):
        """The constants of all neurons, or of the one that stands for all."""
        size = 1 if self.size is None else self.size
        parameters = {
            name: value if isinstance(value, (np.ndarray, Drift)) else np.asarray(value)
            for name, value in self.parameters().items()
        }
        rows = []
        for i in range(size):
            row = {
                name: value if isinstance(value, Drift) else (value[i] if value.ndim else value[()]).item()
                for name, value in parameters.items()
            }
            rows.append(tabulated_constants(math.fsum, **row))
        return rows

    def _constants(self):
        return self._rows

    def _each(self, value):
        """A number, or an array of what `value` gives for each row of constants."""
        values = np.array([value(row) for row in self._rows], dtype=float)
        return values if self.size is not None else values[0].item()

    def growth_time_constant(self):
        """The time constant in ms that the resolution of time follows."""
        return self.tau_m

    def free_period(self):
        """Time from reset to threshold without input in ms, ``inf`` for a neuron at rest; float or array."""
        return self._each(lambda row: row["tau"] * row["table"].to_spike(*row["reset"]))

    def free_voltage(self, elapsed):
        """V at `elapsed` ms after reset (0 <= elapsed < :meth:`free_period`) without input."""
        elapsed = np.asarray(elapsed, float)
        if self.size is None:
            row = self._rows[0]
            return (row["offset"] + row["unit"] * row["table"].flow(row["at_reset"], elapsed / row["tau"]))[()]
        elapsed = np.broadcast_to(elapsed, (self.size,))
        groups: dict[Any, list[int]] = {}
        for i, row in enumerate(self._rows):
            groups.setdefault((row["table"], row["at_reset"], row["unit"], row["offset"]), []).append(i)
        V = np.empty(self.size)
        tau = np.broadcast_to(self.tau_m, (self.size,))
        for (table, at_reset, unit, offset), members in groups.items():
            V[members] = offset + unit * table.flow(at_reset, elapsed[members] / tau[members])
        return V

    def resting_voltage(self):
        """The stable point that a neuron goes to from V_reset; V_reset if it oscillates."""

        def rest(row):
            table = row["table"]
            if row["reset"] is None or math.isfinite(table.to_spike(*row["reset"])):
                return row["V_reset"]
            V = row["offset"] + row["unit"] * table.rest(row["at_reset"])
            return min(V, math.nextafter(row["V_threshold"], -math.inf))

        return self._each(rest)

    def phase_to_voltage(self, phase):
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return _cycle_voltage(self, phase)


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class EIF(_Tabulated):
    """Exponential integrate-and-fire neuron with delta synapses.

    ``tau_m dV/dt = -(V - E_L) + Delta_T exp((V - V_T) / Delta_T) + I_e``. The flow has no closed form; it is in a table
    that is made with the model, in up to a second for each different set of ``(E_L + I_e - V_T) / Delta_T`` and
    ``(V_peak - V_T) / Delta_T``, and shared by all neurons and networks that have the same. Its error, some 1e-16, is
    checked when it is made.

    The neuron oscillates if ``E_L + I_e`` exceeds the rheobase ``V_T - Delta_T`` (and V_peak is above V_T); below, it
    rests, and fires when kicks bring it over the unstable point.

    Every parameter is a number or an array with one value per neuron.

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms.
    E_L : float or array_like
        Resting potential of the leak.
    V_T : float or array_like
        Where the exponential takes over.
    Delta_T : float or array_like
        Slope factor, > 0: how sharply it does. The smaller, the more the neuron is a LIF neuron with threshold V_T.
    V_peak : float or array_like
        Voltage at which a spike is emitted, by itself or by a kick; at most ``V_T + 100 Delta_T``.
    V_reset : float or array_like
        Potential after a spike, below `V_peak`.
    I_e : float or array_like
        Constant drive in units of voltage (membrane resistance 1).
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset` and kicks are dropped.

    Raises
    ------
    ParameterError
        For a value that is not allowed; for a neuron that is exactly at its saddle-node, ``E_L + I_e = V_T - Delta_T``,
        or its V_peak at its unstable point; and wherever else the error of the table is not what it should be.

    References
    ----------
    Fourcaud-Trocme et al. (2003), J. Neurosci. 23:11628, doi:10.1523/JNEUROSCI.23-37-11628.2003.
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": _TAU_M,
        "E_L": Parameter("V", "resting potential of the leak"),
        "V_T": Parameter("V", "where the exponential takes over"),
        "Delta_T": Parameter(
            "V", "slope factor", "a finite number > 0 (for 0, a sharp threshold at V_T, use LIF)", positive=True
        ),
        "V_peak": Parameter("V", "voltage of a spike"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": _I_E,
        "t_ref": _T_REF,
    }
    kernel_parameters: ClassVar[tuple[str, ...]] = tuple(table)
    in_table: ClassVar[tuple[str, ...]] = ("E_L", "V_T", "Delta_T", "V_peak", "I_e")

    tau_m: Any
    E_L: Any = 0.0
    V_T: Any = 1.0
    Delta_T: Any = 0.1
    V_peak: Any = 2.0
    V_reset: Any = 0.0
    I_e: Any = 0.0
    t_ref: Any = 0.0

    def _check_relations(self):
        self._relation(
            np.asarray(self.V_reset) < np.asarray(self.V_peak),
            f"V_reset must be below V_peak, got V_reset = {shown(self.V_reset)} and V_peak = {shown(self.V_peak)}",
        )
        peak = (np.asarray(self.V_peak) - self.V_T) / self.Delta_T
        self._relation(
            peak <= 100.0,
            f"V_peak must be at most V_T + 100 Delta_T, got V_peak = {shown(self.V_peak)}; from there on a spike takes "
            "1e-43 tau_m, so that a lower V_peak is the same",
        )
        self._relation(
            peak >= -1e5, f"V_peak must be at least V_T - 1e5 Delta_T, got V_peak = {shown(self.V_peak)}; use LIF"
        )
        drive = (np.asarray(self.E_L) + self.I_e - self.V_T) / self.Delta_T
        self._relation(
            np.abs(drive) <= 1e5,
            f"E_L + I_e must be within 1e5 Delta_T of V_T, got I_e = {shown(self.I_e)}; for so small a Delta_T use LIF",
        )
        self._check_tables()

    def gradients(self, sums):
        # If all voltages of a neuron are moved together, nothing happens but that V is read there.
        by_V_T = sums["read"] - sums["I_e"] - sums["threshold"] - sums["V_reset"] - sums["V"]
        return super().gradients(sums) | {"V_T": by_V_T}

    def threshold(self):
        """The voltage at which the neuron fires."""
        return self.V_peak


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class NumericalIF(_Tabulated):
    """Integrate-and-fire neuron with any smooth drift, ``tau_m dV/dt = drift(V) + I_e``, and delta synapses.

    One line makes an exact event-based simulator of it. The flow is in a table that is made with the model, in up to a
    second for each different set of drift, `I_e`, `V_th` and `V_min`; its error is checked when it is made, and is of
    the size of a rounding where the drift is computed to such a precision.

    Parameters
    ----------
    drift : str or callable
        An expression of V, such as ``"-(V - E_L) + a * exp(V / b)"``, with numbers, the names in `constants`, ``+ - * /
        **`` and functions (exp, log, sqrt, sin, cos, tanh, ...); or a function that takes and returns an array, which
        cannot be written to files. Smooth from `V_min` to `V_th`, positive at `V_min`, in units of voltage (with
        the default `tau_m`, per ms).
    V_th : float or array_like
        Threshold.
    V_reset : float or array_like
        Potential after a spike, below `V_th`.
    tau_m : float or array_like
        Time constant in ms by which the drift is divided. The resolution of time follows it, so let it be the time in
        which V changes.
    I_e : float or array_like
        Constant drive, added to the drift.
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset` and kicks are dropped.
    V_min : float or array_like
        The lowest voltage; a kick below it is a NumericalError. Default -inf: ``2^40 (V_th - V_reset)`` below `V_th`.
        A drift that is not smooth, or not positive, so far below needs one that is nearer.
    constants : dict
        Numbers for the names in an expression.

    Raises
    ------
    ParameterError
        For a value that is not allowed; for a drift that is not smooth, or so near zero without being zero (at a
        bottleneck or at threshold) that its digits do not suffice for the table.

    Examples
    --------
    >>> import sparseprop as sp
    >>> quadratic = "(V - V_r) * (V - V_t) / 15.0"
    >>> model = sp.NumericalIF(quadratic, V_th=0.0, V_reset=-70.0, constants={"V_r": -65.0, "V_t": -50.0})
    >>> round(model.resting_voltage(), 6)
    -65.0
    """

    table: ClassVar[dict[str, Parameter]] = {
        "V_th": Parameter("V", "threshold"),
        "V_reset": Parameter("V", "potential after a spike"),
        "tau_m": _TAU_M,
        "I_e": _I_E,
        "t_ref": _T_REF,
        "V_min": Parameter("V", "lowest voltage", "a number or -inf", infinite=-1.0),
    }
    kernel_parameters: ClassVar[tuple[str, ...]] = ("drift", *table)
    in_table: ClassVar[tuple[str, ...]] = ("I_e", "V_th", "V_min", "V_reset")
    example: ClassVar[dict[str, Any]] = {"drift": "V * (V - 1.7)", "V_th": 6.0, "V_reset": -1.0, "tau_m": 10.0}

    drift: Any
    V_th: Any
    V_reset: Any
    tau_m: Any = 1.0
    I_e: Any = 0.0
    t_ref: Any = 0.0
    V_min: Any = -math.inf
    constants: Any = None

    def _prepare(self):
        object.__setattr__(self, "drift", drift_of(self.drift, self.constants))
        object.__setattr__(self, "constants", dict(getattr(self.drift, "constants", {})))

    def _check_relations(self):
        self._relation(
            np.asarray(self.V_reset) < np.asarray(self.V_th),
            f"V_reset must be below V_th, got V_reset = {shown(self.V_reset)} and V_th = {shown(self.V_th)}",
        )
        self._relation(
            np.asarray(self.V_reset) > np.asarray(self.V_min),
            f"V_min must be below V_reset, got V_min = {shown(self.V_min)} and V_reset = {shown(self.V_reset)}",
        )
        self._check_tables()

    def to_dict(self):
        if not hasattr(self.drift, "text"):
            raise ParameterError(
                f"NumericalIF.drift is a Python function, {shown(self.drift)}, which cannot be written to a dictionary "
                "or file; give it as an expression, such as '-V + exp(V)', instead"
            )
        d = {"name": "NumericalIF", "drift": self.drift.text}
        d |= {name: _as_plain(getattr(self, name)) for name in self.table if name != "V_min"}
        if isinstance(self.V_min, Distribution) or np.isfinite(self.V_min).any():
            d["V_min"] = _as_plain(self.V_min)
        return d | ({"constants": dict(self.constants)} if self.constants else {})

    def threshold(self):
        """The voltage at which the neuron fires."""
        return self.V_th

    def lowest_voltage(self):
        return self._each(lambda row: row["offset"] + row["unit"] * row["table"].v_min)


MODELS = {model.__name__: model for model in (LIF, LIFExp, QIF, Theta, QuadraticIF, EIF, NumericalIF)}


def _as_plain(value):
    """A parameter in the form of dictionaries."""
    if isinstance(value, tuple):
        return {"ports": [_as_plain(part) for part in value]}
    return value.to_dict() if isinstance(value, Distribution) else value


def _cycle_voltage(model, phase):
    """V at the given fraction of the free oscillation (refractory period left out)."""
    phase = np.asarray(phase)
    if not ((phase >= 0.0) & (phase < 1.0)).all():
        raise ParameterError(
            f"phase of a {type(model).__name__} neuron must be in [0, 1), the fraction of its free oscillation"
        )
    period = model.free_period()
    if not np.isfinite(period).all():
        raise ParameterError(
            f"phase= needs neurons that oscillate without input, and this {type(model).__name__} does not; "
            "give the initial state as V= instead"
        )
    return model.free_voltage(phase * period)


@dataclass(frozen=True)
class UniformPhase:
    """Initial states drawn uniformly in time along the free oscillation; see :func:`uniform_phase`."""

    def to_dict(self):
        """The dictionary form."""
        return "uniform_phase"


@named_arguments
def uniform_phase():
    """Initial states drawn uniformly in time along each neuron's free oscillation.

    A neuron that oscillates with period T and refractory period t_ref is found at any point of its cycle
    T + t_ref with equal probability, the refractory part included. Drawn from (network seed, population,
    neuron). Neurons that do not oscillate without input have no such distribution, and adding them with it is
    an error.
    """
    return UniformPhase()


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
        "gap_scaled": _scaled(gap),
        "depth": fsum([E_L, I_e, -V_reset]),
        "V_reset": V_reset,
        "t_ref": t_ref,
        "frame": {"tau": tau_m, "root": 1.0, "square": 1.0, "rotates": False},
    }


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
                "peak": 1.001 * (math.exp(-1.0) if near else ratio ** (1.0 / (1.0 - ratio))) + 0.02 * near,
            }
        )
    return constants | {"ports": ports}


def _scaled(gap):
    """(g, k) with gap = g 2^k. k is 0 unless the gap is so small that a state divided by it could overflow."""
    k = math.frexp(gap.real)[1] if 0.0 < gap.real < 2.0**-100 else 0
    return (gap * 2.0 ** (-k // 2) * 2.0 ** (-k - -k // 2) if k else gap), k


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


def voltage_origin(parameters):
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
    tau_m, drive, centre = C_m * D / g_L, I_e * D / g_L - D * D / 4, voltage_origin(parameters)
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


def qif_constants(sqrt, tau_m, I_e, V_peak, V_reset, t_ref):
    """The constants of one Riccati neuron, in the arithmetic of `sqrt`.

    Returns
    -------
    dict
        ``regime``, ``root = sqrt|I_e|``, and the directions of threshold and reset in the regime's coordinates:
        V = v is the direction (root, v) of (p, q) for rotations, (1, v) for shears, and
        (root + v, root - v) of (a, b E) for saddles. ``frame`` is None for shears.
    """
    regime = qif_regime(I_e.real)
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


def tabulated_constants(fsum, **parameters):
    """The constants of one neuron with a table, in the arithmetic of `fsum`.

    Returns
    -------
    dict
        ``V = offset + unit v`` by which V becomes that of the table; ``table``; ``tau`` (and the inverses of `unit` and
        `tau`); ``reset``: half and time of
        V_reset in the table, and ``at_reset`` and ``v_th`` the voltages; ``drive``: what the table depends on and a
        derivative is taken by, added to F; ``frame``: none.
    """
    if "drift" in parameters:
        return _numerical_constants(**parameters)
    return _eif_constants(fsum, **parameters)


def _eif_constants(fsum, tau_m, E_L, V_T, Delta_T, V_peak, V_reset, I_e, t_ref):
    margin = fsum([E_L, I_e, -V_T, Delta_T]) / Delta_T
    v_th = (V_peak - V_T) / Delta_T
    table = table_of(EIFDrift, float(margin.real), float(v_th.real))
    return _placed(table, tau_m, V_T, Delta_T, V_peak, V_reset, t_ref) | {"v_th": v_th, "drive": margin}


def _numerical_constants(drift, V_th, V_reset, tau_m, I_e, t_ref, V_min):
    high, low, least = float(V_th.real), float(V_reset.real), float(V_min.real)
    table = table_of(NumericalDrift, drift, float(I_e.real), high, None if math.isinf(least) else least, high - low)
    zero = 0.0 * V_th
    return _placed(table, tau_m, zero, zero + 1.0, V_th, V_reset, t_ref) | {"v_th": V_th, "drive": I_e}


def _placed(table, tau_m, offset, unit, V_threshold, V_reset, t_ref):
    at_reset = (V_reset - offset) / unit
    return {
        "tau": tau_m,
        "inverse_tau": 1.0 / tau_m,
        "offset": offset,
        "unit": unit,
        "inverse_unit": 1.0 / unit,
        "table": table,
        "at_reset": at_reset,
        "reset": table.place(float(at_reset.real)),
        "V_threshold": V_threshold,
        "V_reset": V_reset,
        "t_ref": t_ref,
        "frame": None,
    }
