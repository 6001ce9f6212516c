"""Neurons whose flow has no closed form: their engines take it from tables."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..connectivity.distributions import Distribution
from ..errors import ParameterError, named_arguments, shown
from ..numerics.arithmetic import ComplexArithmetic, MultiprecisionArithmetic
from ..numerics.drifts import Drift, drift_of
from ..numerics.engine_time import NEVER
from ..numerics.tables import MAX_TABLES, EIFDrift, NumericalDrift, table_of
from .base import I_E, T_REF, TAU_M, NeuronModel, Parameter, as_plain, cycle_voltage
from .neuron import LARGEST_STATE, Neuron

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._types import Description, Floats, NumberOrArray

__all__ = ["EIF", "NumericalIF", "Tabulated", "tabulated_constants"]

# Python's own memory for the constants of a neuron with parameters of its own, as measured
# (test_network.py::test_memory_is_what_was_estimated).
CONSTANTS_BYTES = 970


class Tabulated(NeuronModel):
    """What EIF and NumericalIF share, and models of users: the flow is in tables, one for each different drift.

    Subclasses say in :meth:`parameters` what the same neuron is as a NumericalIF, and end :meth:`_check_relations` with
    :meth:`check_tables`. See docs/adding_a_model.md.
    """

    kernel: ClassVar[str] = "Tabulated"
    has_tables: ClassVar[bool] = True
    making_bytes: ClassVar[int] = 584
    # The parameters of the table that the tables depend on, for messages.
    in_table: ClassVar[tuple[str, ...]]

    @staticmethod
    def constants_of(parameters: Description) -> Description:
        return tabulated_constants(math.fsum, **parameters)

    @staticmethod
    def neuron(engine: Any, parameters: Description) -> Neuron:
        return tabulated_neuron(engine, parameters)

    def state_doubles(self) -> int:
        return 4

    @property
    def nbytes(self) -> int:
        return super().nbytes + CONSTANTS_BYTES * (self.size or 0)

    def check_tables(self) -> None:
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

    def growth_time_constant(self) -> NumberOrArray:
        """The time constant in ms that the resolution of time follows."""
        return self.tau_m

    def free_period(self) -> NumberOrArray:
        """Time from reset to threshold without input in ms, ``inf`` for a neuron at rest; float or array."""
        return self._each(lambda row: row["tau"] * row["table"].to_spike(*row["reset"]))

    def free_voltage(self, elapsed: NumberOrArray) -> NumberOrArray:
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

    def resting_voltage(self) -> NumberOrArray:
        """The stable point that a neuron goes to from V_reset; V_reset if it oscillates."""

        def rest(row):
            table = row["table"]
            if row["reset"] is None or math.isfinite(table.to_spike(*row["reset"])):
                return row["V_reset"]
            V = row["offset"] + row["unit"] * table.rest(row["at_reset"])
            return min(V, math.nextafter(row["V_threshold"], -math.inf))

        return self._each(rest)

    def phase_to_voltage(self, phase: NumberOrArray) -> NumberOrArray:
        """V at a phase in [0, 1), the fraction of the free oscillation since reset."""
        return cycle_voltage(self, phase)


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class EIF(Tabulated):
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

    Examples
    --------
    >>> import sparseprop as sp
    >>> model = sp.EIF(tau_m=20.0, E_L=-65.0, V_T=-50.0, Delta_T=2.0, V_peak=-30.0, V_reset=-60.0, I_e=20.0, t_ref=2.0)
    >>> round(model.free_period(), 6)
    32.122559
    """

    _cites: ClassVar[tuple[str, ...]] = ("exponential",)
    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": TAU_M,
        "E_L": Parameter("V", "resting potential of the leak"),
        "V_T": Parameter("V", "where the exponential takes over"),
        "Delta_T": Parameter(
            "V",
            "slope factor",
            "a finite number > 0 (for 0, a sharp threshold at V_T, use LIF)",
            positive=True,
            has_gradient=False,
        ),  # fmt: skip
        "V_peak": Parameter("V", "voltage of a spike"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": I_E,
        "t_ref": T_REF,
    }
    kernel_parameters: ClassVar[tuple[str, ...]] = tuple(table)
    in_table: ClassVar[tuple[str, ...]] = ("E_L", "V_T", "Delta_T", "V_peak", "I_e")

    tau_m: NumberOrArray
    E_L: NumberOrArray = 0.0
    V_T: NumberOrArray = 1.0
    Delta_T: NumberOrArray = 0.1
    V_peak: NumberOrArray = 2.0
    V_reset: NumberOrArray = 0.0
    I_e: NumberOrArray = 0.0
    t_ref: NumberOrArray = 0.0

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
        self.check_tables()

    def gradients(self, sums: dict[str, Floats]) -> dict[str, Floats]:
        # If all voltages of a neuron are moved together, nothing happens but that V is read there.
        by_V_T = sums["read"] - sums["I_e"] - sums["threshold"] - sums["V_reset"] - sums["V"]
        return super().gradients(sums) | {"V_T": by_V_T}

    def balance(self, drive: float, weight: float) -> tuple[float, float]:
        scale = self.V_T - self.V_reset
        if not scale > 0.0:
            raise ParameterError(
                f"model of a balanced network must have V_reset below V_T, got V_reset = {self.V_reset} and V_T = "
                f"{self.V_T}: weights are in units of their distance"
            )
        return math.fsum([self.V_T, -self.Delta_T, -self.E_L, scale * drive]), weight * scale

    def threshold(self) -> NumberOrArray:
        """The voltage at which the neuron fires."""
        return self.V_peak


@named_arguments
@dataclass(frozen=True, eq=False, repr=False)
class NumericalIF(Tabulated):
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
        "tau_m": TAU_M,
        "I_e": I_E,
        "t_ref": T_REF,
        "V_min": Parameter("V", "lowest voltage", "a number or -inf", infinite=-1.0, has_gradient=False),
    }
    kernel_parameters: ClassVar[tuple[str, ...]] = ("drift", *table)
    in_table: ClassVar[tuple[str, ...]] = ("I_e", "V_th", "V_min", "V_reset")
    example: ClassVar[dict[str, Any]] = {"drift": "V * (V - 1.7)", "V_th": 6.0, "V_reset": -1.0, "tau_m": 10.0}

    drift: str | Callable[..., Any]
    V_th: NumberOrArray
    V_reset: NumberOrArray
    tau_m: NumberOrArray = 1.0
    I_e: NumberOrArray = 0.0
    t_ref: NumberOrArray = 0.0
    V_min: NumberOrArray = -math.inf
    constants: Mapping[str, float] | None = None

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
        self.check_tables()

    def to_dict(self) -> Description:
        if not hasattr(self.drift, "text"):
            raise ParameterError(
                f"NumericalIF.drift is a Python function, {shown(self.drift)}, which cannot be written to a dictionary "
                "or file; give it as an expression, such as '-V + exp(V)', instead"
            )
        d = {"name": "NumericalIF", "drift": self.drift.text}
        d |= {name: as_plain(getattr(self, name)) for name in self.table if name != "V_min"}
        if isinstance(self.V_min, Distribution) or np.isfinite(self.V_min).any():
            d["V_min"] = as_plain(self.V_min)
        return d | ({"constants": dict(self.constants)} if self.constants else {})

    def threshold(self) -> NumberOrArray:
        """The voltage at which the neuron fires."""
        return self.V_th

    def lowest_voltage(self) -> NumberOrArray:
        return self._each(lambda row: row["offset"] + row["unit"] * row["table"].v_min)


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


# The specification, for the reference engine ------------------------------------------------------------------------


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
