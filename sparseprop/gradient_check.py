"""Gradients compared with derivatives of the reference engine."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _validation
from .connectivity import ProceduralAdjacency, all_of
from .engine.reference import ReferenceEngine
from .errors import ParameterError, named_arguments, shown, unknown_name
from .gradients import checked_derivatives
from .inputs import SpikeSource
from .models import PARAMETERS as NEURON_PARAMETERS
from .numerics.arithmetic import ComplexArithmetic, DoubleArithmetic
from .run.recording import Record
from .run.simulation import Simulation, check_stop_rules

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike, EngineName, Floats, Ints
    from .gradients import GradientWarning
    from .network import Network

__all__ = ["Comparison", "GradientReport", "check_gradients", "directional_derivative"]

STEP = 1e-30  # of the complex step: no difference is taken, so it can be this small
LARGEST_STEP = 1e-6  # of differences by I_e, where the complex step loses its digits
FEWEST_DIGITS = 1e-4  # a difference that is known to less confirms nothing
PARAMETERS = (*NEURON_PARAMETERS, "tau_syn", "V", "I_syn", "weight", "delay", "input_times", "drive_weight", "steps")


# A network with values off by a little -------------------------------------------------------------------------------


def _shifted(value, shift):
    """`value` plus `shift`, infinite ones left alone."""
    value, shift = np.broadcast_arrays(np.asarray(value), np.asarray(shift))
    return np.where(np.isfinite(value), value + np.where(np.isfinite(value), shift, 0.0), value)


def _with_parameters(source, name, shift):
    """The engine's input with a parameter of all neurons shifted, by one value for each global id."""

    def changed(parameters, population):
        part = slice(population.first, population.first + population.size)
        if name not in parameters:
            return parameters
        return parameters | {name: _shifted(np.broadcast_to(parameters[name], (population.size,)), shift[part])}

    populations = [dataclasses.replace(p, parameters=changed(p.parameters, p)) for p in source.populations]
    changes = [(time, k, changed(parameters, source.populations[k])) for time, k, parameters in source.changes]
    return dataclasses.replace(source, populations=populations, changes=changes)


def _with_voltages(source, shift):
    populations = [
        dataclasses.replace(p, V=_shifted(p.V, shift[p.first : p.first + p.size])) if p.kernel != "source" else p
        for p in source.populations
    ]
    return dataclasses.replace(source, populations=populations)


def _with_currents(net, source, port, shift):
    """The engine's input with initial synaptic currents of a port shifted."""
    populations = []
    for population, p in zip(net.populations, source.populations, strict=True):
        ports = population.model.n_ports if population.has_currents else 0
        if port < ports:
            currents = np.zeros((p.size, ports)) if p.I_syn is None else p.I_syn
            currents = currents.astype(np.result_type(currents, shift))
            currents[:, port] += shift[p.first : p.first + p.size]
            p = dataclasses.replace(p, I_syn=currents)
        populations.append(p)
    return dataclasses.replace(source, populations=populations)


def _with_projection(source, k, name, shift):
    """The engine's input with weights or delays of projection k shifted, by one number or one per synapse."""
    projections = list(source.projections)
    value = all_of(getattr(projections[k], name))
    if not isinstance(projections[k].adjacency, ProceduralAdjacency):
        value = np.broadcast_to(value, (projections[k].adjacency.n_synapses,))
    value = value + shift
    projections[k] = dataclasses.replace(projections[k], **{name: value})
    return dataclasses.replace(source, projections=projections)


def _with_drive(source, index, shift):
    processes = [
        dataclasses.replace(p, weight=p.weight + shift) if p.weight is not None and p.index == index else p
        for p in source.processes
    ]
    return dataclasses.replace(source, processes=processes)


def _with_steps(net, source, index, shift):
    """The engine's input with the values of a drive of steps shifted, by an array of their shape."""
    drive = net.drives[index]
    changes = []
    for time, k, parameters in source.changes:
        at = int(np.searchsorted(drive.input.times, time, side="right")) - 1
        if k == drive.population.index and at >= 0:
            current = np.broadcast_to(parameters["I_e"], (drive.population.n,)) + shift[at]
            parameters = parameters | {"I_e": current}
        changes.append((time, k, parameters))
    return dataclasses.replace(source, changes=changes)


def _shift(net, source, name, key, shift):
    """The engine's input with something shifted; `name` and `key` as in :func:`_parts`."""
    if name in NEURON_PARAMETERS:
        return _with_parameters(source, name, shift)
    if name == "tau_syn":
        return _with_parameters(source, f"tau_syn_{key}", shift)
    if name == "V":
        return _with_voltages(source, shift)
    if name == "I_syn":
        return _with_currents(net, source, key, shift)
    if name in ("weight", "delay"):
        return _with_projection(source, key, name, shift)
    if name == "drive_weight":
        return _with_drive(source, key, shift)
    if name == "steps":
        return _with_steps(net, source, key, shift)
    times, ids = source.spikes
    mine = (ids >= net.populations[key].first) & (ids < net.populations[key].first + net.populations[key].n)
    times = times.astype(np.result_type(times, shift))
    times[mine] += shift
    return dataclasses.replace(source, spikes=(times, ids))


def _parts(net, gradients, names):
    """(name, key, gradient) of all that gradients are compared of; keys are numbers of projections, drives and
    ports."""
    for name in names:
        if name in NEURON_PARAMETERS or name == "V":
            array = getattr(gradients, name)
            if np.isfinite(array).any():
                yield name, None, array
        elif name in ("tau_syn", "I_syn"):
            array = getattr(gradients, name)
            for k in range(array.shape[1]):
                yield name, k, array[:, k]
        elif name in ("weight", "delay"):
            for k, projection in enumerate(net.projections):
                value = getattr(gradients, name)[k]
                if name == "weight" and isinstance(projection.adjacency, ProceduralAdjacency):
                    value = gradients.weight_sum[k]
                if np.size(value):
                    yield name, k, value
        elif name == "input_times":
            for k, p in enumerate(net.populations):
                if isinstance(p.model, SpikeSource) and p.model.times.size:
                    yield name, k, gradients.input_times[p.name]
        elif name == "drive_weight":
            for k in gradients.drive_weight:
                yield name, k, gradients.drive_weight[k]
        else:
            for k in gradients.steps:
                yield name, k, gradients.steps[k]


# Derivatives of the reference engine ---------------------------------------------------------------------------------


def _loss(engine, until, max_spikes, samples, dL_dtimes, dL_dV):
    """Run a reference engine: the linear loss of its spikes and voltages, and who fired in which order."""
    clock, loss = engine.clock, 0.0
    for (time, ids), weights in zip(samples, dL_dV, strict=True):
        engine.advance(clock.pair(time), max_spikes)
        loss += sum(w * V for w, V in zip(weights.tolist(), engine.voltages(ids), strict=True) if w)
    engine.advance(until, max_spikes)
    for ((n, s), _), weight in zip(engine.spikes, dL_dtimes.tolist(), strict=False):
        loss += weight * (1j * s.imag if isinstance(s, complex) else n * clock.epoch + s)
    return loss, [i for _, i in engine.spikes]


def directional_derivative(net, name, key, direction, duration=None, n_spikes=None, *, dL_dtimes, samples=(), dL_dV=(),
                           seed=None, difference=None):  # fmt: skip
    """The derivative of sum(dL_dtimes * times) + sum(dL_dV * V) along a direction, by the reference engine.

    Parameters
    ----------
    net : Network
    name, key : str, int
        What is varied: ``"I_e"`` (and other parameters of neurons) or ``"V"``, key None; ``"tau_syn"`` or ``"I_syn"``
        and the port; ``"weight"`` or ``"delay"`` and the number of a projection; ``"input_times"`` and that of a
        population; ``"drive_weight"`` or ``"steps"`` and that of a drive.
    direction : ndarray or float
        Of the shape of that.
    duration, n_spikes
        As for ``net.run``.
    dL_dtimes : ndarray
    samples : list of (float, ndarray)
        Times in ms, and ids, of voltages.
    dL_dV : list of ndarray
    difference : float, optional
        Take a central difference with this step instead of the complex step.

    Returns
    -------
    float
    """
    source = net.engine_input(seed)
    until = (2**51, 0.0) if duration is None else source.clock.pair(duration)
    options = until, n_spikes, samples, np.asarray(dL_dtimes), dL_dV
    direction = np.asarray(direction)[()]
    if difference is None:
        engine = ReferenceEngine(_shift(net, source, name, key, 1j * STEP * direction), ComplexArithmetic())
        return complex(_loss(engine, *options)[0]).imag / STEP
    values = []
    for step in (difference, -difference):
        engine = ReferenceEngine(_shift(net, source, name, key, step * direction), DoubleArithmetic())
        values.append(_loss(engine, *options))
    if values[0][1] != values[1][1]:
        raise _OrderChanged(
            f"a step of {difference} in {name} changes the order of spikes: take a smaller one, or, if neurons fire at "
            "the same time by themselves, other initial states or parameters"
        )
    return (values[0][0] - values[1][0]) / (2.0 * difference)


class _OrderChanged(ParameterError):
    """A step is too large."""


def _from_differences(derivative, step, smallest, rounding):
    """A derivative from central differences of one step and of twice as much, and how well it is known.

    Steps that change the order of spikes are made smaller, down to `smallest`. `rounding` is that of the loss.
    """
    while True:
        try:
            one, two = derivative(difference=step), derivative(difference=2.0 * step)
            return (4.0 * one - two) / 3.0, 10.0 * abs(one - two) + rounding / step
        except _OrderChanged:
            if step * 0.1 < smallest:
                raise
            step *= 0.1


# The user's check ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """One group of derivatives: a parameter of all neurons, or that of one projection, source or drive.

    Attributes
    ----------
    name : str
    error : float
        The largest difference, over the largest derivative of the group.
    worst : str
        Which one that was, with both values.
    n : int
        How many were compared.
    method : {"complex step", "finite difference"}
    uncertainty : float
        How well finite differences are known, over the largest derivative: 10 times what differences of one step and of
        twice as much differ by, and a rounding of the spike times over the step. 0 for the complex step.
    """

    name: str
    error: float
    worst: str
    n: int
    method: str
    uncertainty: float = 0.0

    def agrees(self, tolerance: float) -> bool:
        """Whether the error is at most `tolerance`, or what differences cannot tell, which is to be at most 1e-4."""
        return self.error <= max(tolerance, min(self.uncertainty, FEWEST_DIGITS))


@named_arguments
@dataclass(frozen=True)
class GradientReport:
    """What :func:`check_gradients` found; print it.

    Attributes
    ----------
    comparisons : list of Comparison
    error : float
        The largest one.
    passed : bool
        Whether the error of each is at most `tolerance`, or at most its uncertainty.
    warnings : list of GradientWarning
        Where there is no gradient; differences may come from there.
    n_simultaneous : int
        How many spikes, of neurons and of SpikeSources, come at the time of another one. If that did not cause them,
        it can be the reference that is wrong: the complex step has one derivative for all that happens at one time.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> neuron = net.add(3, sp.LIF(tau_m=10.0, I_e=1.5), name="neuron", V=[0.0, 0.2, 0.4])
    >>> report = sp.check_gradients(net, 20.0)
    >>> report.passed
    True
    """

    comparisons: list[Comparison]
    tolerance: float
    warnings: list[GradientWarning]
    n_spikes: int
    n_simultaneous: int

    @property
    def error(self) -> float:
        return max((c.error for c in self.comparisons), default=0.0)

    @property
    def passed(self) -> bool:
        return all(c.agrees(self.tolerance) for c in self.comparisons)

    def __str__(self) -> str:
        verdict = "agree" if self.passed else "DIFFER"
        lines = [f"gradients of {self.n_spikes} spikes {verdict}: largest relative error {self.error:.2g}"]
        for c in self.comparisons:
            known = f", known to {c.uncertainty:.0e}" if c.uncertainty else ""
            lines.append(f"  {c.name}: {c.error:.1e} over {c.n} ({c.method}{known}); worst: {c.worst}")
        if self.n_simultaneous and not self.passed:
            lines.append(
                f"  {self.n_simultaneous} spikes come at the time of another one; if that did not cause them, the "
                "reference has no derivative of their own: compare with other initial states or parameters"
            )
        lines += [f"  warning: {warning}" for warning in self.warnings[:10]]
        return "\n".join(lines)


@named_arguments
def check_gradients(
    net: Network,
    duration: float | None = None,
    *,
    n_spikes: int | None = None,
    loss: Callable[[Floats, Ints], ArrayLike] | ArrayLike | None = None,
    parameters: Sequence[str] | str = PARAMETERS,
    engine: EngineName = "window",
    seed: int | None = None,
    tolerance: float = 1e-9,
    most: int = 200,
    difference: float | None = None,
) -> GradientReport:
    """Compare the gradients of a run with derivatives of the reference engine, one by one.

    Parameters
    ----------
    net : Network
        Small: each derivative is a run of the reference engine, which is in Python.
    duration, n_spikes
        As for ``net.run``; at least one.
    loss : callable or array_like, optional
        dL/d(times): an array, or a function of ``(times, ids)`` that returns one. Default: random numbers.
    parameters : sequence of str, or str
        Any of ``I_e, tau_m, V_th, V_peak, V_reset, E_L, V_T, slope, rapidness, C_m, g_L, V_r, V_t, t_ref, tau_syn, V,
        I_syn, weight, delay, input_times, drive_weight, steps``. Delays of 0 are left out, since they have a derivative
        on one side only.
    engine : {"window", "heap"}
    seed : int, optional
        As for ``net.run``.
    tolerance : float
        Of the relative error of a group, see :class:`Comparison`.
    most : int
        Of each group at most so many are compared, drawn at random.
    difference : float, optional
        Compare with finite differences of this step and of twice as much instead of the complex step. That is also what
        is done for I_e of networks with quadratic neurons whose I_e is near 0, where the complex step loses its digits.
        An error is then compared with what differences cannot tell, too (:class:`Comparison`).

    Returns
    -------
    GradientReport

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(10, sp.Theta(tau_m=10.0), outdegree=3, seed=1)
    >>> report = sp.check_gradients(net, n_spikes=20, parameters=["weight", "V"])
    >>> report.passed, [c.name for c in report.comparisons]
    (True, ['V', "weight of 'neurons' -> 'neurons'"])
    """
    duration, n_spikes = check_stop_rules("check_gradients", duration, n_spikes)
    tolerance = _validation.real(tolerance, "tolerance", "a number > 0", low=0.0, low_open=True)
    most = _validation.integer(most, "most", "a whole number >= 1", low=1)
    if difference is not None:
        difference = _validation.real(difference, "difference", "a step > 0", low=0.0, low_open=True)
    if not isinstance(parameters, str) and not _validation.is_array(parameters):
        raise ParameterError(f"parameters must be names of {', '.join(PARAMETERS)}, got {shown(parameters)}")
    parameters = [parameters] if isinstance(parameters, str) else list(parameters)
    for name in parameters:
        if not isinstance(name, str) or name not in PARAMETERS:
            raise unknown_name("parameter of check_gradients", name, PARAMETERS)
    result = Simulation(net, engine=engine, seed=seed).run(
        duration, n_spikes=n_spikes, record=Record(), progress=False, tape=True, interrupt="raise"
    )
    rng = np.random.default_rng(0)
    dL_dtimes = rng.normal(size=result.n_spikes) if loss is None else loss
    if callable(dL_dtimes):
        dL_dtimes = dL_dtimes(result.times, result.ids)
    gradients = result.backward(dL_dtimes)
    options: dict[str, Any] = {
        "dL_dtimes": checked_derivatives(dL_dtimes, "loss", (result.n_spikes,), "one for each spike"),
        "seed": seed,
    }
    rounding = 2.0**-54 * float(np.abs(options["dL_dtimes"] * result.times).sum())
    comparisons = []
    ordered = [name for name in PARAMETERS if name in parameters]
    for name, key, values in _parts(net, gradients, ordered):
        where = _comparable(net, name, key, values)
        if len(where) > most:
            where = np.sort(rng.choice(where, most, replace=False))
        if len(where) == 0:
            continue
        step, smallest = _step(net, name, difference, result.t_stop - result.t_start)
        mine, theirs, uncertain = np.ravel(values)[where], np.zeros(len(where)), np.zeros(len(where))
        for j, k in enumerate(where):
            derivative = functools.partial(
                directional_derivative, net, name, key, _unit(values, k), duration, n_spikes, **options
            )
            if step is None:
                theirs[j] = derivative()
            else:
                theirs[j], uncertain[j] = _from_differences(derivative, step, smallest, rounding)
        largest = max(np.abs(theirs).max(), np.abs(mine).max(), 1e-300)
        errors = np.abs(mine - theirs) / largest
        at = int(np.argmax(errors))
        worst = f"{_label(net, name, key, values, int(where[at]))}: {float(mine[at])!r}, not {float(theirs[at])!r}"
        kind, known = "complex step" if step is None else "finite difference", float(uncertain.max() / largest)
        comparisons.append(Comparison(_title(net, name, key), float(errors[at]), worst, len(where), kind, known))
    return GradientReport(comparisons, tolerance, gradients.warnings, result.n_spikes, _n_simultaneous(net, result))


def _n_simultaneous(net, result):
    """How many spikes share their time with another one."""
    inputs = [p.model.times for p in net.populations if isinstance(p.model, SpikeSource)]
    times = np.concatenate([result.times, *inputs])
    _, counts = np.unique(times[times <= result.times.max(initial=0.0)], return_counts=True)
    return int(counts[counts > 1].sum())


def _unit(values, k):
    """The direction of one derivative."""
    direction = np.zeros(np.size(values))
    direction[k] = 1.0
    return direction.reshape(np.shape(values))


def _comparable(net, name, key, values):
    """Which derivatives of a group, flat, can be compared."""
    fine = np.isfinite(np.ravel(values))
    if name == "delay":
        fine &= np.ravel(net.projections[key].delay) > 0.0
    if name in NEURON_PARAMETERS:
        for p in net.populations:
            if not p.is_source:
                fine[p.first : p.first + p.n] &= np.isfinite(np.broadcast_to(getattr(p.model, name, np.nan), (p.n,)))
    return np.flatnonzero(fine)


def _step(net, name, difference, duration):
    """The step of finite differences and the smallest to go down to; None for the complex step."""
    if difference is None and name in ("I_e", "steps"):
        near = [p.model for p in net.populations if not p.is_source and p.model.loses_complex_step()]
        if near:
            # The free flow of such a neuron depends on I_e (duration / tau_m)^2.
            tau_m = min(float(np.min(model.tau_m)) for model in near)
            return min(LARGEST_STEP, 1e-3 * (tau_m / max(duration, tau_m)) ** 2), 1e-12
    return difference, difference


def _title(net, name, key):
    if name in ("weight", "delay"):
        projection = net.projections[key]
        return f"{name} of {projection.pre.name!r} -> {projection.post.name!r}"
    if name == "input_times":
        return f"spike times of {net.populations[key].name!r}"
    if name in ("tau_syn", "I_syn"):
        return f"{name} of port {key}"
    return name if key is None else f"{name} of drive {key}"


def _label(net, name, key, values, k):
    """Which derivative it is: the synapse, neuron or spike."""
    if name in ("weight", "delay"):
        projection = net.projections[key]
        if np.ndim(values) == 0:
            return "all synapses"
        return f"synapse {k}, from {projection.sources[k]} to {projection.targets[k]}"
    if name == "input_times":
        model = net.populations[key].model
        return f"spike {k}, of {model.ids[k]} at {float(model.times[k])!r} ms"
    if key is None or name in ("tau_syn", "I_syn"):
        p = next(p for p in net.populations if p.first <= k < p.first + p.n)
        return f"neuron {k - p.first} of {p.name!r}"
    return f"value {k}"
