"""What all neuron models have: a table of parameters, and what is asked of it.

Each parameter is declared once, in the model's table, with its unit, bounds and meaning; checking, messages,
``repr``, configuration files and the random inputs of the tests all read that table.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import _validation
from ..connectivity import Purpose
from ..connectivity.distributions import Distribution, distribution_from_dict
from ..errors import ParameterError, named_arguments, shown, shown_range

if TYPE_CHECKING:
    from .._types import Description, Floats, Key, NumberOrArray

__all__ = ["LARGEST", "NeuronModel", "Parameter", "UniformPhase", "uniform_phase"]


# Within this range no sum or product of parameters leaves the range of a double.
LARGEST = 1e60
# Synaptic currents of a neuron; also in _lifexp.pxd.
MAX_PORTS = 4


@dataclass(frozen=True)
class Parameter:
    """One row of a model's table.

    Attributes
    ----------
    unit : str
        ``"ms"``, ``"V"`` (the user's unit of voltage), or in words; ``"1"`` of what has none.
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
    sets_tau : bool
        Whether a time constant depends on it: gradients leave it out with ``backward(..., tau_m=False)``.
    has_gradient : bool
        Whether :meth:`NeuronModel.gradients` knows the derivative.
    """

    unit: str
    doc: str
    allowed: str = "a finite number"
    positive: bool = False
    nonnegative: bool = False
    infinite: float = 0.0
    ports: bool = False
    sets_tau: bool = False
    has_gradient: bool = True

    def check(self, value: Any, name: str) -> NumberOrArray:
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
            if not value.size:
                raise ParameterError(f"{name} must be {self.allowed}, or an array with one for each neuron, got none")
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
    __dataclass_fields__: ClassVar[dict[str, Any]]  # which each model is
    kernel_parameters: ClassVar[tuple[str, ...]]
    # What to cite for it: keys of citing.WORKS.
    _cites: ClassVar[tuple[str, ...]] = ()
    # The name of what engines compute it with; models may share one.
    kernel: ClassVar[str]
    # Arguments that make one, for tests that take every model there is.
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0}
    # What each class says for itself, as a subclass may have another equation: whether that is tau_m dV/dt =
    # E_L - V + I_e, with or without currents, or tau_m dV/dt = V^2 + I_e, in V and I_e as they are given; and whether
    # its `gain` is known.
    is_linear: ClassVar[bool] = False
    is_quadratic: ClassVar[bool] = False
    has_gain: ClassVar[bool] = False
    # Whether kicks add to synaptic currents, one for each port, and not to V.
    has_currents: ClassVar[bool] = False
    # Whether engines take its flow from tables, one for each different set of parameters.
    has_tables: ClassVar[bool] = False
    # Whether the shortest time constant depends on I_e.
    drive_sets_tau: ClassVar[bool] = False
    # Bytes of Python's own while an engine is made, as tests/test_network.py measures: for each frame of neurons with
    # parameters of their own, or for each such neuron of a kernel that has no frames.
    making_bytes: ClassVar[int] = 390

    if TYPE_CHECKING:  # what each model has, as a field, a constant or a method of its own

        @property
        def tau_m(self) -> NumberOrArray: ...
        @property
        def I_e(self) -> NumberOrArray: ...
        @property
        def V_reset(self) -> NumberOrArray: ...
        @property
        def t_ref(self) -> NumberOrArray: ...
        def threshold(self) -> NumberOrArray: ...
        def growth_time_constant(self) -> NumberOrArray: ...
        def free_period(self) -> NumberOrArray: ...
        def free_voltage(self, elapsed: NumberOrArray) -> NumberOrArray: ...
        def resting_voltage(self) -> NumberOrArray: ...
        def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray: ...

    def __init_subclass__(cls):
        for name in ("is_linear", "is_quadratic", "has_gain"):
            if name not in vars(cls):
                setattr(cls, name, False)

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

    def __repr__(self) -> str:
        values = (f"{field.name}={_in_brief(getattr(self, field.name))}" for field in dataclasses.fields(self))
        return f"{type(self).__name__}({', '.join(values)})"

    @property
    def distributions(self) -> list[str]:
        """Names of the parameters that are to be drawn; a population has a model in which they are."""
        return [name for name, value in self._values() if isinstance(value, Distribution)]

    def drawn(self, key: Key, population: int, n: int) -> Any:
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

    @staticmethod
    def constants_of(parameters: Description) -> Description:
        """The constants of one neuron with these :meth:`parameters`, for the compiled engines."""
        raise NotImplementedError

    @staticmethod
    def origin_of(parameters: Description) -> NumberOrArray:
        """The voltage (a number or an array) that is 0 for the compiled neurons with these parameters; None if 0 is."""

    @staticmethod
    def neuron(engine: Any, parameters: Description) -> Any:
        """One neuron with these :meth:`parameters`, in the arithmetic of a reference engine."""
        raise NotImplementedError

    def state_doubles(self) -> int:
        """How many doubles the compiled engines keep for the state of one neuron."""
        return 2

    def frames(self) -> list[tuple[Any, ...]]:
        """For each frame that a neuron has, a tuple of numbers and arrays: neurons that agree in them share it."""
        return []

    @property
    def n_ports(self) -> int:
        """The number of kinds of synapses: what ``port=`` of :meth:`Network.connect` can be is 0 to n_ports - 1."""
        return 1

    @property
    def size(self) -> int | None:
        """The number of neurons the model's arrays are for, or None if every parameter is one number."""
        for _, value in self._values():
            if isinstance(value, np.ndarray):
                return value.shape[0]
        return None

    @property
    def nbytes(self) -> int:
        """Memory of its arrays in bytes."""
        return sum(value.nbytes for _, value in self._values() if isinstance(value, np.ndarray))

    def part(self, neurons: slice) -> Any:
        """The model of a slice of the neurons; itself if all share their parameters."""
        if self.size is None:
            return self

        def taken(value):
            if isinstance(value, tuple):
                return tuple(taken(one) for one in value)
            return value[neurons] if isinstance(value, np.ndarray) else value

        return dataclasses.replace(self, **{name: taken(getattr(self, name)) for name in self.table})

    def parameters(self) -> dict[str, NumberOrArray]:
        """The parameters of the equations, ``{name: float or array}``, in the order of :attr:`kernel_parameters`."""
        return {name: getattr(self, name) for name in self.kernel_parameters}

    def to_dict(self) -> Description:
        """The dictionary form: the model's name and its parameters."""
        values = {name: getattr(self, name) for name in self.table}
        return {"name": type(self).__name__} | {name: as_plain(value) for name, value in values.items()}

    def lowest_voltage(self) -> NumberOrArray:
        """The voltage below which the neuron has no equations; float or array."""
        return -math.inf

    def gradients(self, sums: dict[str, Floats]) -> dict[str, Floats]:
        """Derivatives by the model's own parameters.

        Parameters
        ----------
        sums : dict of ndarray, shape (n,)
            Those by the engine's: ``I_e, tau_m, threshold, V_reset, t_ref``, ``shape`` (one more, of the kernel's
            own), V (at the beginning), ``read`` (the sum of dL/dV of all readings) and ``I_e_times`` (``I_e`` times the
            I_e of the time).

        Returns
        -------
        dict
            By name; without one for parameters whose derivative is not known.
        """
        known = sums | {"E_L": sums["I_e"], "V_th": sums["threshold"], "V_peak": sums["threshold"]}
        return {name: known[name] for name in self.parameters() if name in known}

    def drive_scale(self) -> NumberOrArray:
        """By what a change of I_e is multiplied in the engine; float or array."""
        return 1.0

    # What perturbations are measured in.

    def cycle_phase(self, V: NumberOrArray) -> NumberOrArray:
        """The phase of a voltage: 0 at reset, 1 at threshold, and there the circle is closed; below 0 before reset.

        The time since the spike as a part of the free period, where the model knows it in closed form and the neuron
        oscillates; otherwise by V, or an angle of it if reset or threshold are infinite.
        """
        return (np.asarray(V) - self.V_reset) / (np.asarray(self.threshold()) - self.V_reset)

    def cycle_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """The voltage at a phase: the inverse of :meth:`cycle_phase`."""
        return self.V_reset + np.asarray(phase) * (np.asarray(self.threshold()) - self.V_reset)

    def cycle_velocity(self) -> NumberOrArray:
        """How fast the phase of the free neuron changes, per ms, where that is the same everywhere; 0 elsewhere."""
        return 0.0

    def loses_complex_step(self) -> bool:
        """Whether complex numbers with a tiny imaginary part of I_e lose their digits in the reference engine."""
        return False

    # Units of networks that are made in a line. A model without `balance`, or not `has_gain`, is refused there.

    def balance(self, drive: float, weight: float) -> tuple[float, float]:
        """I_e and weight of a balanced network, from those of a neuron in units of its own voltage.

        Returns
        -------
        tuple of float
        """
        raise NotImplementedError

    def gain(self) -> tuple[float, float]:
        """How far a unit of weight can move V, and how far it is from rest to a spike; means over neurons.

        Returns
        -------
        tuple of float
        """
        raise NotImplementedError

    def starting_voltage(self) -> NumberOrArray:
        """V at the beginning of a trial: rest; of neurons that oscillate without input, rest without I_e."""
        return self.resting_voltage()

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


TAU_M = Parameter("ms", "membrane time constant", "a finite time > 0 ms", positive=True, sets_tau=True)
I_E = Parameter("V", "constant drive, in units of voltage (membrane resistance 1)")
T_REF = Parameter(
    "ms", "refractory period: V stays at V_reset and kicks are dropped", "a finite time >= 0 ms", nonnegative=True
)


def as_plain(value: Any) -> Any:
    """A parameter in the form of dictionaries."""
    if isinstance(value, tuple):
        return {"ports": [as_plain(part) for part in value]}
    return value.to_dict() if isinstance(value, Distribution) else value


def cycle_voltage(model: NeuronModel, phase: NumberOrArray) -> NumberOrArray:
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

    def to_dict(self) -> str:
        """The dictionary form."""
        return "uniform_phase"


@named_arguments
def uniform_phase() -> UniformPhase:
    """Initial states drawn uniformly in time along each neuron's free oscillation.

    A neuron that oscillates with period T and refractory period t_ref is found at any point of its cycle
    T + t_ref with equal probability, the refractory part included. Drawn from (network seed, population,
    neuron). Neurons that do not oscillate without input have no such distribution, and adding them with it is
    an error.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(100, sp.LIF(tau_m=20.0, I_e=1.5), name="E", V=sp.uniform_phase())
    >>> net.run(E.model.free_period()).n_spikes
    100
    """
    return UniformPhase()
