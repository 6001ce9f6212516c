"""What a user describes a network with: populations, projections, initial states; and what engines get of it."""

import dataclasses
import math
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _html, _validation, _wiring, connectivity, inputs
from .connectivity import Purpose, Rule
from .distributions import Distribution, distribution_from_dict
from .drifts import Drift
from .engine_time import Clock
from .errors import CapacityError, InsufficientMemoryError, ParameterError, named_arguments, shown, unknown_name
from .models import (
    EIF,
    LARGEST,
    LIF,
    MODELS,
    QIF,
    SHEAR_LIMIT,
    LIFExp,
    NeuronModel,
    Theta,
    UniformPhase,
    uniform_phase,
)

__all__ = ["Drive", "EngineInput", "Network", "Population", "Projection", "balanced_network", "calibrate_rate"]

SOURCES = ("SpikeSource", "PoissonSource")

# Tables of a configuration: the entries that each must have, and those that it may have.
ENTRIES = {
    "network": (["populations"], ["seed", "projections", "drives"]),
    "populations": (["n", "model"], ["name", "V", "phase", "I_syn"]),
    "projections": (["pre", "post", "rule"], ["weight", "delay", "port", "allow_autapses", "allow_multapses"]),
    "drives": (["population", "input"], ["weight", "port"]),
}


# What is allowed of values for synapses.
BOUNDS: dict[str, dict[str, Any]] = {
    "weight": {"allowed": "a finite number"},
    "delay": {"allowed": "a finite time >= 0 ms", "low": 0.0, "unit": "ms"},
}


# Python's own memory, as measured (test_network.py::test_memory_is_what_was_estimated): the constants of a neuron with
# parameters of its own, where a model with tables keeps them; what is needed while the initial states of such neurons
# are drawn, for each; and, for parameters of their own, while an engine is made, for each frame.
CONSTANTS_BYTES = 970
TABLE_BYTES = 180
MAKING_BYTES = {"LIF": 316, "LIFExp": 388, "QIF": 390, "Tabulated": 584}


class _ReadOnly:
    """Attributes that are set once, by the network; a later assignment is an error and not a surprise."""

    __slots__ = ()

    def _set(self, **attributes):
        for name, value in attributes.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    def _replaced(self, **attributes):
        """A copy, with some attributes changed; arrays are shared."""
        new = object.__new__(type(self))
        slots = (name for cls in type(self).__mro__ for name in getattr(cls, "__slots__", ()))
        new._set(**{name: getattr(self, name) for name in slots} | attributes)
        return new

    def __setattr__(self, name, value):
        raise AttributeError(
            f"{name!r} of a {type(self).__name__} cannot be set; describe a new Network"
            if hasattr(self, name)
            else f"a {type(self).__name__} has no attribute {name!r}"
        )

    def __setstate__(self, state):
        # For copies and pickles, which set slots one by one.
        for part in state if isinstance(state, tuple) else (state,):
            self._set(**(part or {}))


@named_arguments
class Population(_ReadOnly):
    """Neurons of one model, or sources of spikes; made by :meth:`Network.add`, and not to be changed.

    Attributes
    ----------
    name : str
    n : int
        Number of neurons.
    model : a neuron model (LIF, LIFExp, QIF, Theta, QuadraticIF, EIF, NumericalIF), SpikeSource or PoissonSource
        With the numbers that were drawn, where parameters are distributions.
    given : a neuron model or a source
        As it was given, with the distributions.
    V : float, ndarray, UniformPhase, distribution or None
        Initial state as given; None is the default (see :meth:`Network.add`), and for sources.
    I_syn : ndarray of shape (n, ports), list of numbers and distributions (one for each port), or None
        Initial synaptic currents, where they were given.
    first : int
        Global id of its first neuron; local id i is global id ``first + i``.
    index : int
        Its place in ``net.populations``.
    """

    __slots__ = ("I_syn", "V", "first", "given", "index", "model", "n", "name")

    def __init__(self, name, n, model, V, first, index, I_syn=None, given=None):
        self._set(name=name, n=n, model=model, V=V, first=first, index=index, I_syn=I_syn)
        self._set(given=model if given is None else given)

    def _replaced(self, **attributes):
        if "model" in attributes:
            attributes.setdefault("given", attributes["model"])
        return super()._replaced(**attributes)

    def __len__(self):
        return self.n

    def __repr__(self):
        return f"<Population {self.name!r}: {self.n} {type(self.model).__name__}>"

    @property
    def is_source(self):
        """Whether it emits spikes and receives none."""
        return isinstance(self.model, inputs.Source)

    @property
    def nbytes(self):
        """Memory of the population in bytes, as the network keeps it: of arrays, and constants of tables."""
        if isinstance(self.model, inputs.SpikeSource):
            return self.model.times.nbytes + self.model.ids.nbytes
        arrays = [self.V, self.I_syn]
        if self.is_source:
            arrays += [self.model.rate]
        else:
            arrays += [value for _, value in self.model._values()]
        total = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
        if not self.is_source and self.model.kernel == "Tabulated" and self.model.size is not None:
            total += self.n * CONSTANTS_BYTES
        return total

    def _simulation_memory(self, sizes):
        """Bytes of each neuron, and of each row of constants, that a simulation keeps; and that making it needs."""
        model = self.model
        width = {"LIF": 1, "LIFExp": 3 + model.n_ports, "Tabulated": 4}.get(model.kernel, 2)
        each = 8 + 8 * width  # initial voltage and state
        if np.any(np.asarray(model.t_ref) > 0.0):
            each += 16.125 + 8  # when it ends, and when it ended at the beginning
        if model.kernel == "QIF" and np.any(np.abs(model.riccati_drive()) < SHEAR_LIMIT):
            each += 16
        if isinstance(self.I_syn, list):
            each += 8 * model.n_ports
        if model.size is None:
            return each, 0, 0
        frames = {"LIFExp": model.n_ports, "Tabulated": 0}.get(model.kernel, 1)
        return each, sizes[model.kernel] + frames * sizes["frame"], MAKING_BYTES[model.kernel] * max(frames, 1)

    def initial_state(self, key):
        """Initial voltages and refractory times.

        Parameters
        ----------
        key : ndarray of uint64, shape (2,)
            Of the random draws.

        Returns
        -------
        V : ndarray, shape (n,)
        refractory : ndarray, shape (n,), or None
            Remaining refractory time in ms, where `uniform_phase` found neurons within it.
        """
        if isinstance(self.V, Distribution):
            V = self.V.draw_neurons(key, Purpose.STATE, self.index, "V", self.n)
            # A limit at the threshold is allowed, a voltage there is not.
            return np.minimum(V, np.nextafter(self.model.threshold(), -np.inf)), None
        if self.V is not None and not isinstance(self.V, UniformPhase):
            return np.array(np.broadcast_to(self.V, (self.n,)), dtype=float), None
        V = np.array(np.broadcast_to(self.model.resting_voltage(), (self.n,)), dtype=float)
        period = np.broadcast_to(self.model.free_period(), (self.n,))
        t_ref = np.broadcast_to(self.model.t_ref, (self.n,))
        refractory = np.zeros(self.n) if t_ref.max() > 0.0 else None
        if not np.isfinite(self.model.free_period()).any():
            return V, None
        # In blocks, so that temporary arrays stay small in large networks.
        for first in range(0, self.n, 1 << 16):
            part = slice(first, first + (1 << 16))
            oscillates = np.isfinite(period[part])
            phase = _wiring.uniforms(key, Purpose.INITIAL_STATE, self.index, len(oscillates), first)
            with np.errstate(invalid="ignore"):
                since_spike = phase * (period[part] + t_ref[part])
                waiting = oscillates & (since_spike < t_ref[part])
                drawn = self.model.part(part).free_voltage(
                    np.where(oscillates & ~waiting, since_spike - t_ref[part], 0.0)
                )
            V[part] = np.where(oscillates, drawn, V[part])
            if refractory is not None:
                refractory[part] = np.where(waiting, t_ref[part] - since_spike, 0.0)
        # Rounding at the very end of the cycle must not put a neuron at its threshold.
        np.minimum(V, np.nextafter(self.model.threshold(), -np.inf), out=V)
        return V, refractory

    def initial_currents(self, key):
        """Initial synaptic currents of shape (n, ports), or None."""
        if not isinstance(self.I_syn, list):
            return self.I_syn
        columns = [
            one.draw_neurons(key, Purpose.STATE, self.index, f"I_syn[{k}]", self.n)
            if isinstance(one, Distribution)
            else np.full(self.n, one)
            for k, one in enumerate(self.I_syn)
        ]
        return np.ascontiguousarray(np.stack(columns, axis=1))

    def to_dict(self):
        """The dictionary form."""
        d = {"name": self.name, "n": self.n, "model": self.given.to_dict()}
        if self.V is not None:
            d["V"] = self.V.to_dict() if isinstance(self.V, (Distribution, UniformPhase)) else self.V
        if isinstance(self.I_syn, list):
            d["I_syn"] = [one.to_dict() if isinstance(one, Distribution) else one for one in self.I_syn]
        elif self.I_syn is not None:
            d["I_syn"] = self.I_syn
        return d


@named_arguments
class Projection(_ReadOnly):
    """Synapses from one population to another; made by :meth:`Network.connect`.

    Synapses are ordered by source; those of one source in the order in which the rule drew them or the user gave
    them. Everything that has one value per synapse is in this order, what is assigned to `weight` and `delay` too (but
    for matrices, whose entries are found by row and column). Only these two can be set.

    Attributes
    ----------
    pre, post : Population
    rule : Rule
    sources, targets : ndarray of int, shape (n_synapses,)
        Local ids.
    order : ndarray of int, shape (n_synapses,)
        ``order[s]`` is the place of synapse s in the edges or the matrix that were given (0, 1, ... for drawn rules),
        so ``p.weight = w[p.order]`` takes one value for each of the edges given. The order of the entries of a dense
        matrix is that of ``W[W != 0]``, of a sparse one that of ``W.tocoo()``.
    weight : float or ndarray, shape (n_synapses,)
        Voltage jump of the target, or what is added to a synaptic current; a number if all synapses share it. Assign a
        new number or array, or a matrix ``W[target, source]`` with a value for each synapse, to change it (the array
        itself is read-only); simulations that exist already keep what they have, a :class:`BatchSimulation` takes it
        over.
    delay : float or ndarray, shape (n_synapses,)
        ms from emission to effect; can be set like `weight`.
    port : int
        Which synaptic current of the targets gets the weight.
    n_synapses, n_autapses, n_multapses : int
        A multapse is a synapse beyond the first between the same two neurons. Autapses and multapses that are allowed
        are not counted (None) where synapses are procedural.
    """

    __slots__ = (
        "_delay",
        "_described",
        "_weight",
        "adjacency",
        "allow_autapses",
        "allow_multapses",
        "port",
        "post",
        "pre",
        "rule",
    )

    def __init__(
        self, pre, post, rule, adjacency, weight, delay, allow_autapses, allow_multapses, described=None, port=0
    ):
        """Of what was checked before: `weight` and `delay` are kept and not copied.

        `described`: the distributions that they were drawn from, ``{"weight": ...}``.
        """
        if isinstance(adjacency, connectivity.Adjacency):
            adjacency.targets.flags.writeable = adjacency.offsets.flags.writeable = False
        self._set(pre=pre, post=post, rule=rule, adjacency=adjacency, port=port)
        self._set(allow_autapses=allow_autapses, allow_multapses=allow_multapses)
        self._set(_weight=weight, _delay=delay, _described=described or {})

    def __setattr__(self, name, value):
        if name not in ("weight", "delay"):
            super().__setattr__(name, value)
        what = f"{name} of projection {self.pre.name!r} -> {self.post.name!r}"
        bounds = BOUNDS[name]
        if _validation.is_array(value):
            _require_stored(self.adjacency, what)
            if _validation.is_matrix(value):
                value = _at_synapses(value, what, self.adjacency, self.post.n, bounds)
            else:
                value = _validation.real_array(value, what, size=self.n_synapses, **bounds)
        else:
            value = _validation.real(value, what, **bounds)
        described = {key: distribution for key, distribution in self._described.items() if key != name}
        self._set(**{f"_{name}": value}, _described=described)

    @property
    def weight(self):
        return self._weight

    @property
    def delay(self):
        return self._delay

    def __repr__(self):
        return f"<Projection {self.pre.name!r} -> {self.post.name!r}: {self.rule!r}, {self.n_synapses} synapses>"

    @property
    def sources(self):
        return self.adjacency.sources

    @property
    def targets(self):
        return self.adjacency.targets

    @property
    def order(self):
        return np.arange(self.n_synapses) if self.adjacency.order is None else self.adjacency.order.copy()

    @property
    def n_synapses(self):
        return self.adjacency.n_synapses

    @property
    def n_autapses(self):
        return self.adjacency.n_autapses

    @property
    def n_multapses(self):
        return self.adjacency.n_multapses

    @property
    def nbytes(self):
        """Memory of the synapses in bytes, as the network keeps them."""
        if isinstance(self.adjacency, connectivity.ProceduralAdjacency):
            return 0
        adjacency, rule = self.adjacency, self.rule
        arrays = [adjacency.targets, adjacency.offsets, adjacency.order, self.weight, self.delay]
        if isinstance(adjacency.weights, np.ndarray) and adjacency.weights is not self.weight:
            arrays.append(adjacency.weights)
        arrays += [getattr(rule, name, None) for name in ("sources", "targets", "weights")]
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))

    def _transient_memory(self):
        """Bytes needed besides while the synapses were made; that a simulation keeps, and needs, for them."""
        if isinstance(self.adjacency, connectivity.ProceduralAdjacency):
            return 0, 0, 0
        n = self.n_synapses
        making = 8 * self.pre.n
        if self.rule.name == "fixed_indegree":  # rows by target first
            making += 4 * n + 8 * self.post.n
        if not self._described and (isinstance(self.weight, np.ndarray) or isinstance(self.delay, np.ndarray)):
            making = max(making, n)  # what is in range
        if not isinstance(self.delay, np.ndarray):
            return making, 0, 0
        # The engine's rows in the order of delays: target, place, delay; with weights these and the order.
        with_weights = isinstance(self.weight, np.ndarray)
        return making, (32 if with_weights else 16) * n, (4 if with_weights else 16) * n

    def to_dict(self):
        """The dictionary form."""
        rule, weight, delay = self.rule, self.weight, self._as_given(self.delay)
        if self.adjacency.weights is not None:
            if weight is self.adjacency.weights or np.array_equal(weight, self.adjacency.weights):
                weight = None  # the matrix has them
            else:
                rule, delay = connectivity.edges(self.sources, self.targets), self.delay
        else:
            weight = self._as_given(weight)
        d = {"pre": self.pre.name, "post": self.post.name, "rule": rule.to_dict()}
        if weight is not None:
            d["weight"] = weight
        d["delay"] = delay
        if self.port:
            d["port"] = self.port
        return (
            d
            | {name: distribution.to_dict() for name, distribution in self._described.items()}
            | {
                "allow_autapses": self.allow_autapses,
                "allow_multapses": self.allow_multapses,
            }
        )

    def _as_given(self, values):
        """One number, or one per synapse in the order in which the user gave the edges."""
        return _given(self.adjacency, values) if isinstance(values, np.ndarray) else values


class Drive(_ReadOnly):
    """Input from outside to one population; made by :meth:`Network.drive`, and not to be changed.

    Attributes
    ----------
    population : Population
    input : what :func:`sparseprop.poisson` or :func:`sparseprop.steps` returned
    weight : float, ndarray of shape (n,), or None
        Voltage jump at each event of a Poisson process, or what is added to a synaptic current.
    port : int
        Which synaptic current of the neurons gets the weight.
    index : int
        Its place in ``net.drives``; random numbers depend on it.
    """

    __slots__ = ("index", "input", "population", "port", "weight")

    def __init__(self, population, input, weight, index, port=0):
        self._set(population=population, input=input, weight=weight, index=index, port=port)

    def __repr__(self):
        return f"<Drive of {self.population.name!r}: {self.input!r}>"

    def to_dict(self):
        """The dictionary form."""
        d = {"population": self.population.name, "input": self.input.to_dict()}
        if self.port:
            d["port"] = self.port
        return d if self.weight is None else d | {"weight": self.weight}


@named_arguments
class Network:
    """Populations of neurons and sources, the projections between them, and what drives them.

    Parameters
    ----------
    seed : int, optional
        Everything random follows from it: connectivity, initial states and Poisson input. Without one, one is drawn
        and printed to stderr, so that the run can be repeated.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(80, sp.LIF(tau_m=20.0, I_e=1.2), name="E")
    >>> I = net.add(20, sp.LIF(tau_m=20.0, I_e=1.2), name="I")
    >>> p = net.connect(E, I, sp.fixed_indegree(10), weight=0.05)
    >>> p.n_synapses
    200
    """

    def __init__(self, seed=None):
        if seed is None:
            seed = secrets.randbits(32)
            print(f"sparseprop: no seed given, using Network(seed={seed})", file=sys.stderr)
        self.seed = _validation.integer(seed, "Network.seed", "a whole number >= 0", low=0)
        self.populations = []
        self.projections = []
        self.drives = []

    # Building ---------------------------------------------------------------------------------------------------

    def add(self, n, model, name=None, V=None, phase=None, I_syn=None):
        """Add a population.

        Parameters
        ----------
        n : int
            Number of neurons, at least 1.
        model : LIF, LIFExp, QIF, Theta, QuadraticIF, EIF, NumericalIF, SpikeSource or PoissonSource
        name : str, optional
            Default ``"population_0"``, and so on.
        V : float, array_like of shape (n,), distribution or uniform_phase(), optional
            Initial voltage; distributions, such as ``sp.normal(0.5, 0.1, high=1.0)``, must end at or below the
            threshold. Default: `uniform_phase` for the neurons that oscillate without input, and the
            resting point for the others.
        phase : float or array_like of shape (n,), optional
            The other way to give the initial state: the fraction in [0, 1) of the free oscillation since
            reset. Theta: theta in (-pi, pi).
        I_syn : float or array_like, optional
            LIFExp: initial synaptic currents, as V in units of voltage. One port: a number or one per neuron; several:
            of shape (ports,) or (n, ports). Or a distribution, or a list with a number or distribution for each port.
            Default: 0.

        Returns
        -------
        Population

        Raises
        ------
        ParameterError
            For a value that is not allowed.
        CapacityError
            For more than 2^31 - 1 neurons in the network.
        """
        if name is None:
            name = f"population_{len(self.populations)}"
        if not isinstance(name, str) or not name.isprintable() or not name or "/" in name or name in (".", ".."):
            raise ParameterError(f"name of a population must be a printable text without '/', got {shown(name)}")
        if any(name == population.name for population in self.populations):
            raise ParameterError(f"name {name!r} is taken by another population; give each its own")
        n = _validation.integer(n, f"n of population {name!r}", "a whole number of neurons >= 1", low=1)
        if self.size + n > connectivity.MAX_NEURONS:
            raise CapacityError(
                f"a network can have {connectivity.MAX_NEURONS} neurons and sources, got {self.size + n}; use fewer"
            )
        if not isinstance(model, (NeuronModel, inputs.Source)):
            raise ParameterError(
                f"model of population {name!r} must be a neuron model such as sp.LIF(tau_m=10.0), or a source such as "
                f"sp.SpikeSource(times, ids), got {shown(model)}"
            )
        if model.size not in (None, n):
            raise ParameterError(
                f"the parameters of {type(model).__name__} are for {model.size} neurons, population {name!r} has {n}"
            )
        if isinstance(model, inputs.Source):
            if V is not None or phase is not None:
                raise ParameterError(f"population {name!r} is a source, which has no V and no phase; leave them out")
            if isinstance(model, inputs.SpikeSource) and model.ids.size and model.ids.max() >= n:
                raise ParameterError(
                    f"ids of the SpikeSource {name!r} must be below n = {n}, got {int(model.ids.max())}; they are "
                    "local to the population"
                )
        given = model
        if isinstance(model, NeuronModel) and model.distributions:
            try:
                model = model.drawn(connectivity.random_key(self.seed), len(self.populations), n)
            except ParameterError as error:
                raise ParameterError(
                    f"population {name!r}, with what was drawn for {', '.join(given.distributions)}: {error}; give the "
                    "distributions low= and high="
                ) from None
        if isinstance(model, inputs.Source):
            pass
        elif phase is not None:
            if V is not None:
                raise ParameterError(f"give V or phase for population {name!r}, not both")
            V = model.phase_to_voltage(_real_or_array(phase, f"phase of population {name!r}", n))
            V = np.minimum(V, np.nextafter(model.threshold(), -np.inf))[()]
        if isinstance(V, UniformPhase):
            silent = ~np.isfinite(np.broadcast_to(model.free_period(), (n,)))
            if silent.any():
                raise ParameterError(
                    f"V=uniform_phase() needs neurons that oscillate without input; neuron {int(np.argmax(silent))} "
                    f"of population {name!r} does not. Leave V out, or give voltages"
                )
        elif isinstance(V, Distribution) or (isinstance(V, dict) and "distribution" in V):
            V = self._distribution_of_voltages(V, model, name)
        elif V is not None:
            V = self._initial_voltage(V, model, name, n)
        if I_syn is not None:
            I_syn = self._initial_currents(I_syn, model, name, n)
        population = Population(name, n, model, V, self.size, len(self.populations), I_syn, given)
        self.populations.append(population)
        return population

    @staticmethod
    def _initial_currents(I_syn, model, name, n):
        """I_syn as an array of shape (n, ports)."""
        what = f"I_syn of population {name!r}"
        if not isinstance(model, LIFExp):
            raise ParameterError(f"{what} is for LIFExp neurons, which have synaptic currents; {shown(model)} has none")
        each = list(I_syn) if isinstance(I_syn, (list, tuple)) else [I_syn] * model.n_ports
        each = [
            distribution_from_dict(one, what) if isinstance(one, dict) and "distribution" in one else one
            for one in each
        ]
        if any(isinstance(one, Distribution) for one in each):
            if len(each) != model.n_ports:
                raise ParameterError(f"{what} must have one number or distribution for each port, got {shown(I_syn)}")
            return [one if isinstance(one, Distribution) else _validation.real(one, what) for one in each]
        array = np.atleast_1d(_validation.plain(I_syn, what))
        ports = model.n_ports
        shapes = [(1,), (n,), (n, 1)] if ports == 1 else [(ports,), (n, ports)]
        if array.shape not in shapes:
            wanted = f"a number, or have the shape ({n},)" if ports == 1 else f"of shape ({ports},) or ({n}, {ports})"
            raise ParameterError(f"{what} must be {wanted}, got {shown(I_syn)}")
        allowed = f"finite numbers of at most {LARGEST:g} in size"
        array = _validation.real_array(array.ravel(), what, allowed, low=-LARGEST, high=LARGEST).reshape(array.shape)
        if ports == 1:
            array = array.reshape(-1, 1)
        return np.array(np.broadcast_to(array, (n, ports)), dtype=float, order="C")

    @staticmethod
    def _distribution_of_voltages(V, model, name):
        """V as a distribution between the lowest voltage and the threshold."""
        what = f"V of population {name!r}"
        V = distribution_from_dict(V, what) if isinstance(V, dict) else V
        low, high = float(np.max(model.lowest_voltage())), float(np.min(model.threshold()))
        V.require(what, "above V_min and below the threshold", low=low, high=high)
        return V

    @staticmethod
    def _initial_voltage(V, model, name, n):
        """V as a float or an array of n, finite (or a reset at -inf) and below threshold."""
        what = f"V of population {name!r}"
        if isinstance(V, str):
            raise ParameterError(f"{what} must be a number, an array or sp.uniform_phase(), got {shown(V)}")
        V = _real_or_array(V, what, n, infinite=bool(np.isinf(model.V_reset).any()))
        if (np.isfinite(V) & (np.abs(V) > LARGEST)).any():
            raise ParameterError(f"{what} must be at most {LARGEST:g} in size, got {shown(V)}")
        threshold = np.broadcast_to(model.threshold(), (n,))
        above = np.broadcast_to(V, (n,)) >= threshold
        if above.any():
            i = int(np.argmax(above))
            got = float(np.broadcast_to(V, (n,))[i])
            raise ParameterError(f"{what} must be below the threshold {threshold[i]}, got {got!r} for neuron {i}")
        lowest = np.broadcast_to(model.lowest_voltage(), (n,))
        below = np.broadcast_to(V, (n,)) < lowest
        if below.any():
            i = int(np.argmax(below))
            got = float(np.broadcast_to(V, (n,))[i])
            raise ParameterError(f"{what} must be at least V_min = {lowest[i]}, got {got!r} for neuron {i}")
        return V

    def connect(
        self, pre, post, rule_or_matrix, weight=None, delay=0.0, allow_autapses=False, allow_multapses=False, port=0
    ):
        """Connect two populations.

        Parameters
        ----------
        pre, post : Population or str
            Populations of this network, or their names.
        rule_or_matrix : rule, scipy.sparse array or matrix, or array_like of shape (post.n, pre.n)
            A rule such as ``sp.fixed_indegree(100)``, or the weights ``W[target, source]``.
        weight : float, distribution or array_like of shape (n_synapses,)
            Voltage jump of the target, or what is added to a synaptic current (:class:`sparseprop.LIFExp`); its sign is
            its effect. Needed unless a matrix gives the weights. One value
            per synapse is in the order of the edges for ``sp.edges``, else in that of the projection; or a matrix
            ``[target, source]``. Distributions are :func:`sparseprop.uniform` and :func:`sparseprop.normal`.
        delay : float, distribution, array_like of shape (n_synapses,) or (post.n, pre.n)
            ms from emission to effect, >= 0. One value per synapse is in the order of `weight`; where a matrix gives
            the weights, in that of its entries: ``D[W != 0]`` for a dense one, that of ``W.tocoo()`` for a sparse one
            (``W.data`` of CSR, CSC and COO). Or itself a matrix ``D[target, source]``, dense or sparse, whose entries
            are found by row and column.
        allow_autapses, allow_multapses : bool
            Whether a neuron may connect to itself, and two neurons more than once.
        port : int
            Which of the synaptic currents of a :class:`sparseprop.LIFExp` gets the weight, in the order of its
            `tau_syn`; 0 for all other models.

        Returns
        -------
        Projection

        Raises
        ------
        ConnectivityError
            If the rule cannot be met, or a matrix or list of edges has what is not allowed.
        ParameterError
            For any other value that is not allowed.
        InsufficientMemoryError
            If the synapses would not fit into memory.
        """
        pre, post = self._population(pre, "pre"), self._population(post, "post")
        where = f"projection {pre.name!r} -> {post.name!r}"
        allow_autapses = _validation.flag(allow_autapses, "allow_autapses")
        allow_multapses = _validation.flag(allow_multapses, "allow_multapses")
        if post.is_source:
            raise ParameterError(
                f"{where}: {post.name!r} is a source, which receives no spikes; connect from it instead"
            )
        port = self._port(port, post, where)
        rule = rule_or_matrix if isinstance(rule_or_matrix, Rule) else connectivity.matrix(rule_or_matrix)
        if (weight is None) != (rule.name == "matrix"):
            raise ParameterError(
                f"weight of {where} is missing; give weight=, the voltage jump of the target"
                if weight is None
                else f"weight of {where} is given twice; leave weight= out where a matrix gives the weights"
            )
        key = connectivity.random_key(self.seed)
        adjacency = connectivity.build(
            rule,
            pre.n,
            post.n,
            same_population=pre is post,
            key=key,
            projection=len(self.projections),
            allow_autapses=allow_autapses,
            allow_multapses=allow_multapses,
            where=where,
        )
        described = {}

        def per_synapse(value, name, purpose):
            what, bounds = f"{name} of {where}", BOUNDS[name]
            if isinstance(value, dict) and not hasattr(value, "tocoo"):  # sparse matrices in DOK format are dicts
                value = distribution_from_dict(value, what)
            if isinstance(value, Distribution):
                described[name] = value
                low = bounds.get("low", -math.inf)
                if not value.bounds()[0] >= low:
                    raise ParameterError(f"{what} must be {bounds['allowed']}, got {shown(value)}; give it low={low:g}")
                _require_stored(adjacency, what)
                return value.draw(key, purpose, len(self.projections), adjacency.offsets)
            return _per_synapse(value, what, adjacency, post.n, bounds)

        weight = adjacency.weights if weight is None else per_synapse(weight, "weight", Purpose.WEIGHT)
        delay = per_synapse(delay, "delay", Purpose.DELAY)
        projection = Projection(
            pre, post, rule, adjacency, weight, delay, allow_autapses, allow_multapses, described, port
        )
        self.projections.append(projection)
        return projection

    def drive(self, population, input, weight=None, port=0):
        """Drive a population from outside.

        Parameters
        ----------
        population : Population or str
            Of neurons, not of sources.
        input : what ``sp.poisson(rate)`` or ``sp.steps(times, values)`` returned
            Poisson: each neuron gets events of its own, independent of all others. Steps: a current that is added to
            I_e, in its unit, and changes exactly at the given times.
        weight : float or array_like of shape (n,)
            Voltage jump at each event of a Poisson process, or what is added to a synaptic current; steps have none.
        port : int
            As in :meth:`connect`; steps have none.

        Returns
        -------
        Drive

        Raises
        ------
        ParameterError
            For a value that is not allowed.
        """
        population = self._population(population, "population")
        where = f"drive of population {population.name!r}"
        if population.is_source:
            raise ParameterError(f"{where}: it is a source, which receives nothing; drive its targets instead")
        if not isinstance(input, (inputs.Poisson, inputs.Steps)):
            raise ParameterError(f"{where} must be sp.poisson(rate) or sp.steps(times, values), got {shown(input)}")
        if input.size not in (None, population.n):
            raise ParameterError(
                f"{where}: {shown(input)} is for {input.size} neurons, the population has {population.n}"
            )
        port = self._port(port, population, where)
        if isinstance(input, inputs.Steps):
            if port != 0:
                raise ParameterError(f"port of {where} must be left out: steps are added to I_e, got {port}")
            if weight is not None:
                raise ParameterError(f"weight of {where} must be left out: the values of steps are the current itself")
            require_currents(population.model, input.times, input.values, where)
        elif weight is None:
            raise ParameterError(f"weight of {where} is missing; give weight=, the voltage jump at each event")
        else:
            weight = _real_or_array(weight, f"weight of {where}", population.n)
        drive = Drive(population, input, weight, len(self.drives), port)
        self.drives.append(drive)
        return drive

    @staticmethod
    def _port(port, post, where):
        """A port of the neurons of `post`."""
        last = post.model.n_ports - 1
        allowed = f"a whole number from 0 to {last}, by the tau_syn of its targets" if last else "0"
        return _validation.integer(
            port, f"port of {where}", f"{allowed} for a {type(post.model).__name__}", low=0, high=last
        )

    def _population(self, given, what):
        """The population that `given`, itself or its name, stands for."""
        if isinstance(given, str):
            for population in self.populations:
                if population.name == given:
                    return population
            raise unknown_name("population", given, [population.name for population in self.populations])
        if not any(given is population for population in self.populations):
            raise ParameterError(
                f"{what} must be a population of this network (what add() returned), got {shown(given)}"
            )
        return given

    def _copy(self, changes=lambda population: {}):
        """A network of its own of the same parts; arrays, which are read-only, are shared.

        This is how the package copies a network, so that no part is left behind.

        Parameters
        ----------
        changes : function, optional
            Of a population: which of its attributes are others in the copy, such as ``{"model": model}``.
        """
        new = object.__new__(type(self))
        vars(new).update(vars(self))
        populations = {id(p): p._replaced(**changes(p)) for p in self.populations}
        new.populations = list(populations.values())
        new.projections = [
            p._replaced(pre=populations[id(p.pre)], post=populations[id(p.post)]) for p in self.projections
        ]
        new.drives = [d._replaced(population=populations[id(d.population)]) for d in self.drives]
        return new

    def __copy__(self):
        return self._copy()

    # Looking ----------------------------------------------------------------------------------------------------

    @property
    def n_neurons(self):
        """Number of neurons, without sources."""
        return sum(population.n for population in self.populations if not population.is_source)

    @property
    def size(self):
        """Number of global ids: neurons and sources."""
        return sum(population.n for population in self.populations)

    @property
    def n_synapses(self):
        """Number of synapses."""
        return sum(projection.n_synapses for projection in self.projections)

    def estimate_memory(self):
        """Bytes of memory that the network and a simulation of it with the default engine take at most.

        Without recorded spikes, and what is given to the network (arrays of the user). The peak may be while the
        network is built, while a simulation is made of it, or while that runs.

        Returns
        -------
        int
        """
        network, making = self._network_memory()
        return int(max(making, network + self._simulation_memory()))

    def _network_memory(self):
        """Bytes that the network keeps, and the most it took while it was built."""
        kept = sum(population.nbytes for population in self.populations)
        most = kept + max((p.model.times.nbytes * 3 for p in self.populations if _is_train(p)), default=0)
        kept += sum(d.input.values.nbytes for d in self.drives if isinstance(d.input, inputs.Steps))
        for projection in self.projections:
            kept += projection.nbytes
            most = max(most, kept + projection._transient_memory()[0])
        return kept, most

    def _simulation_memory(self):
        """Bytes that a simulation takes besides, at most."""
        from ._core import SIZES

        kept = running = 0
        transients = [0]
        neurons = [p for p in self.populations if not p.is_source]
        costly = any(p.model.kernel == "LIFExp" for p in neurons)
        # Bits for who has fired and who is kicked, and the window's entries.
        kept += self.size * (0.125 * (1 + max((p.model.n_ports for p in neurons), default=1)) + 8 * costly)
        running += 1.2 * self.size
        for p in neurons:
            each, row, transient = p._simulation_memory(SIZES)
            kept += p.n * (each + row)
            if p.model.kernel == "Tabulated":  # drawing initial states, a block at a time
                kept += TABLE_BYTES * min(p.n, 1 << 16)
            transients.append(p.n * transient)
        for projection in self.projections:
            _, keeps, transient = projection._transient_memory()
            kept += keeps
            transients.append(transient)
        trains = sum(p.model.times.nbytes for p in self.populations if _is_train(p))
        kept += 2 * trains
        transients.append(4 * trains)
        # Of the events of an interval: time, whose, order, and the same unsorted.
        epoch = Clock(float(min((_shortest_time(p.model) for p in neurons), default=1.0))).epoch
        processes = [(d.population.n, d.input) for d in self.drives if isinstance(d.input, inputs.Poisson)]
        processes += [(p.n, p.model.process) for p in self.populations if isinstance(p.model, inputs.PoissonSource)]
        for n, process in processes:
            highest = process.highest()
            running += 34 * process.interval(16.0 * epoch) * (highest.sum() if len(highest) > 1 else n * highest[0])
        for p in neurons:
            if any(d.population is p and isinstance(d.input, inputs.Steps) for d in self.drives):
                rows = [d.input.values for d in self.drives if d.population is p and isinstance(d.input, inputs.Steps)]
                kept += 2 * max(values.nbytes for values in rows)
        return kept + max(max(transients), running)

    def __str__(self):
        lines = [
            f"Network of {self.n_neurons:,} neurons and {self.n_synapses:,} synapses, seed {self.seed}, "
            f"{_human_bytes(self.estimate_memory())} in a simulation"
        ]
        lines += [
            f"  {p.name}: {p.n:,} {'sources' if p.is_source else 'neurons'}, {p.given!r}" for p in self.populations
        ]
        for p in self.projections:
            delay = "" if isinstance(p.delay, float) and p.delay == 0.0 else f", {_range('delay', p.delay)} ms"
            lines.append(
                f"  {p.pre.name} -> {p.post.name}: {p.rule!r}, {p.n_synapses:,} synapses, "
                f"{_range('weight', p.weight)}{delay}, {_count(p.n_autapses)} autapses, "
                f"{_count(p.n_multapses)} multapses"
            )
        for drive in self.drives:
            weight = "" if drive.weight is None else f", {_range('weight', drive.weight)}"
            lines.append(f"  input to {drive.population.name}: {drive.input!r}{weight}")
        return "\n".join(lines)

    def _repr_html_(self):
        projections = [
            (f"{p.pre.name} → {p.post.name}", repr(p.rule), p.n_synapses, _span(p.weight), _span(p.delay))
            for p in self.projections
        ]
        drives = [
            (d.population.name, repr(d.input), None if d.weight is None else _span(d.weight)) for d in self.drives
        ]
        return _html.page(
            f"Network: {self.n_neurons:,} neurons, {self.n_synapses:,} synapses, seed {self.seed}",
            _html.table([(p.name, p.n, repr(p.given)) for p in self.populations], ("population", "n", "model")),
            _html.table(projections, ("projection", "rule", "synapses", "weight", "delay (ms)")),
            _html.table(drives, ("input to", "what", "weight")),
        )

    def __repr__(self):
        return f"<Network: {self.n_neurons} neurons, {self.n_synapses} synapses, seed {self.seed}>"

    # Description ------------------------------------------------------------------------------------------------

    def to_dict(self):
        """The whole description as a dictionary of plain values and arrays; see :meth:`from_dict`."""
        return {
            "seed": self.seed,
            "populations": [population.to_dict() for population in self.populations],
            "projections": [projection.to_dict() for projection in self.projections],
            "drives": [drive.to_dict() for drive in self.drives],
        }

    @classmethod
    def from_dict(cls, d):
        """The network that a dictionary describes: what :meth:`to_dict` returns, or a configuration file's content.

        Parameters
        ----------
        d : dict
            ``seed`` (optional), ``populations``: a list of ``{"n", "model": {"name", parameters...}, "name", "V",
            "phase"}``, ``projections`` (optional): a list of ``{"pre", "post", "rule": {"name", ...}, "weight",
            "delay", "port", "allow_autapses", "allow_multapses"}``, and ``drives`` (optional): a list of
            ``{"population", "input": {"name", ...}, "weight", "port"}``. A weight or delay, V, I_syn and any parameter
            of neurons may be ``{"distribution": "normal", "mean", "std"}``, several time constants ``tau_syn`` are
            ``{"ports": [2.0, 10.0]}``, the model of a population may be
            ``{"name": "SpikeSource", "file": "raster.h5", "population": "E"}``.

        Raises
        ------
        ParameterError
            For a missing or unknown entry, and for whatever :meth:`add` and :meth:`connect` refuse.
        """
        _check_keys(d, "the network", *ENTRIES["network"])
        net = cls(d.get("seed"))
        for k, entry in enumerate(_list_of_tables(d["populations"], "populations")):
            _check_keys(entry, f"populations[{k}]", *ENTRIES["populations"])
            entry = dict(entry)
            if isinstance(entry.get("V"), str) and entry["V"] == "uniform_phase":
                entry["V"] = uniform_phase()
            net.add(entry.pop("n"), _model_from_dict(entry.pop("model"), f"populations[{k}].model"), **entry)
        for k, entry in enumerate(_list_of_tables(d.get("projections", []), "projections")):
            _check_keys(entry, f"projections[{k}]", *ENTRIES["projections"])
            entry = dict(entry)
            net.connect(entry.pop("pre"), entry.pop("post"), connectivity.rule_from_dict(entry.pop("rule")), **entry)
        for k, entry in enumerate(_list_of_tables(d.get("drives", []), "drives")):
            _check_keys(entry, f"drives[{k}]", *ENTRIES["drives"])
            entry = dict(entry)
            net.drive(entry.pop("population"), inputs.input_from_dict(entry.pop("input")), **entry)
        return net

    def engine_input(self, seed=None):
        """What the engines get: plain numbers, and what is drawn per run from `seed` (default: the network's)."""
        return EngineInput.of(self, self.seed if seed is None else seed)

    # Running ----------------------------------------------------------------------------------------------------

    def run(
        self,
        duration=None,
        *,
        n_spikes=None,
        engine="window",
        record=None,
        progress=None,
        seed=None,
        n_threads=1,
        tape=False,
        callback=None,
        checkpoint=None,
        every=None,
        interrupt="return",
        overwrite=False,
    ):
        """Simulate from the initial state; see :class:`sparseprop.Simulation` for runs that go on.

        Parameters
        ----------
        duration : float, optional
            ms. All instants with t < duration are taken.
        n_spikes : int, optional
            Stop after the instant in which this many spikes are reached. At least one of the two stop rules is
            needed; whichever comes first ends the run.
        engine : {"window", "heap", "reference"}
            All give the same spikes, bit for bit; ``"window"`` is the fastest, ``"reference"`` the readable
            specification, and slow.
        record : None, path or Record
            None keeps the spikes in memory; a path streams them into an HDF5 raster (SONATA); see
            :class:`sparseprop.Record` for more.
        progress : None, bool or callable, optional
            None shows a bar on a terminal or in a notebook when the run takes more than a second. True shows it at
            once, and elsewhere, as in a log file, prints a line for each 10 %. A callable gets the fraction that is
            done.
        seed : int, optional
            Of initial states and Poisson input, if they are to differ from the network's own.
        n_threads : int
            1; more threads come with the lookahead engine.
        tape : bool or "checkpoint"
            Whether :meth:`sparseprop.Result.backward` is wanted; see :meth:`sparseprop.Simulation.run`.
        callback, checkpoint, every
            See :meth:`sparseprop.Simulation.run`.
        interrupt : {"return", "raise"}
            Whether Ctrl-C ends the run, which returns the spikes until then (`stop_reason` is ``"interrupted"``), or
            raises KeyboardInterrupt after that. Two of them within 3 s end a loop of runs in any case.
        overwrite : bool
            Replace a file that is at the path of `record` already; otherwise that is an error.

        Returns
        -------
        Result
        """
        from .simulation import Simulation

        if _validation.integer(n_threads, "n_threads", low=1) != 1:
            raise ParameterError(f"n_threads must be 1: this version runs on one thread, got {n_threads}")
        simulation = Simulation(self, engine=engine, seed=seed)
        simulation._belongs_to_one_run = True
        return simulation.run(
            duration,
            n_spikes=n_spikes,
            record=record,
            progress=progress,
            callback=callback,
            checkpoint=checkpoint,
            every=every,
            tape=tape,
            interrupt=interrupt,
            overwrite=overwrite,
        )


# What engines get -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PopulationInput:
    """A population in plain numbers; the kernel of sources is ``"source"``."""

    kernel: str
    first: int
    size: int
    parameters: dict[str, Any]
    V: np.ndarray
    refractory: np.ndarray | None
    I_syn: np.ndarray | None = None

    def voltage_of(self, i):
        """The initial voltage of neuron i."""
        return self.V[i].item()


def parameters_of(parameters, i):
    """The parameters of neuron i, of numbers and arrays."""
    return {
        name: value
        if isinstance(value, Drift)
        else value[i].item()
        if isinstance(value, np.ndarray)
        else np.asarray(value)[()].item()
        for name, value in parameters.items()
    }


def parameter_rows(parameters, size):
    """How many different parameters there may be, one or one per neuron, and an iterator of them as dictionaries."""
    n_rows = size if any(isinstance(value, np.ndarray) for value in parameters.values()) else 1
    return n_rows, (parameters_of(parameters, i) for i in range(n_rows))


@dataclass(frozen=True)
class ProjectionInput:
    """A projection in plain numbers; populations by index, targets by local id."""

    pre: int
    post: int
    adjacency: connectivity.Adjacency | connectivity.ProceduralAdjacency
    weight: float | np.ndarray
    delay: float | np.ndarray
    has_multapses: bool
    port: int

    def row(self, source):
        """(target, weight, delay) of the synapses of a source (local ids), in order."""
        part = slice(None)
        if isinstance(self.adjacency, connectivity.ProceduralAdjacency):
            targets = self.adjacency.row(source)
        else:
            part = slice(self.adjacency.offsets[source], self.adjacency.offsets[source + 1])
            targets = self.adjacency.targets[part]
        columns = [
            np.broadcast_to(values[part] if isinstance(values, np.ndarray) else values, targets.shape).tolist()
            for values in (self.weight, self.delay)
        ]
        return zip(targets.tolist(), *columns, strict=True)


@dataclass(frozen=True)
class PoissonInput:
    """Poisson processes of a population: kicks of its neurons, or spikes of its sources (no weight).

    Their events are those of :func:`sparseprop._wiring.poisson_events`.
    """

    population: int
    n: int
    key: np.ndarray
    purpose: int
    index: int
    interval: float
    n_intervals: int  # no events behind the last one of them
    means: np.ndarray
    times: np.ndarray | None
    fractions: np.ndarray | None
    weight: float | np.ndarray | None
    port: int

    @classmethod
    def of(cls, process, population, key, purpose, index, weight, epoch, port=0):
        """The input for a :class:`sparseprop.inputs.Poisson`; without intervals where no event ever comes."""
        interval = process.interval(16.0 * epoch)
        means = process.highest() * interval
        times, fractions = process.times, process.fractions()
        n_intervals = _wiring.MAX_INTERVALS if means.any() else 0
        if n_intervals and fractions is not None and not fractions[-1].any():
            n_intervals = min(n_intervals, math.ceil(times[-1] / interval))
        return cls(
            *(population.index, population.n, key, int(purpose), index, interval, n_intervals),
            *(means, times, fractions, weight, port),
        )

    def events(self, k):
        """Offsets in ms from the start of interval k, ascending, and whose (local ids)."""
        return _wiring.poisson_events(
            self.key, self.purpose, self.index, self.n, self.interval, self.means, self.times, self.fractions, k
        )


@dataclass(frozen=True)
class EngineInput:
    """A network in plain numbers, with its initial state.

    Attributes
    ----------
    clock : Clock
    size : int
        Number of neurons and sources.
    populations : list of PopulationInput
    projections : list of ProjectionInput
    spikes : tuple of ndarray
        Times in ms, ascending, and global ids of the spikes of all SpikeSources.
    processes : list of PoissonInput
        First those of sources, then drives.
    changes : sequence of (float, int, dict)
        Time in ms, index of the population, and its parameters from then on; ascending. See :class:`Changes`.
    """

    clock: Clock
    size: int
    populations: list[PopulationInput]
    projections: list[ProjectionInput]
    spikes: tuple[np.ndarray, np.ndarray]
    processes: list[PoissonInput]
    changes: Sequence[tuple[float, int, dict[str, Any]]]

    @classmethod
    def of(cls, net, seed):
        """The input for a network with initial states and Poisson input drawn from `seed`."""
        if not net.populations:
            raise ParameterError("the network has no populations; add() some")
        needed = net._simulation_memory()
        available = connectivity.available_memory()
        if needed > available:
            raise InsufficientMemoryError(
                f"a simulation of {net.n_neurons:,} neurons needs {_human_bytes(needed)}, and "
                f"{_human_bytes(available)} of memory are available; use fewer neurons"
            )
        key = connectivity.random_key(seed)
        changes, changed = _changes(net)
        models = [p.model for p in net.populations if not p.is_source] + changed
        # An epoch must also not be long against the exponential flow of a strongly inhibited QIF neuron.
        shortest = min((_shortest_time(model) for model in models), default=1.0)
        longest = max((np.max(model.tau_m) for model in models), default=1.0)
        if longest > 1e12 * shortest:
            raise ParameterError(
                f"tau_m must be at most 1e12 times the shortest time constant of the network, got {longest} ms and "
                f"{shortest} ms: times have no digits left for such a neuron"
            )
        clock = Clock(float(shortest))
        populations = []
        trains = [(np.zeros(0), np.zeros(0, np.int64))]
        processes = []
        for p in net.populations:
            if isinstance(p.model, inputs.SpikeSource):
                trains.append((p.model.times, p.model.ids + p.first))
            elif isinstance(p.model, inputs.PoissonSource):
                processes.append(
                    PoissonInput.of(p.model.process, p, key, Purpose.POISSON_SOURCE, p.index, None, clock.epoch)
                )
            if p.is_source:
                populations.append(PopulationInput("source", p.first, p.n, {}, np.zeros(0), None))
                continue
            V, refractory = p.initial_state(key)
            parameters = p.model.parameters()
            populations.append(
                PopulationInput(p.model.kernel, p.first, p.n, parameters, V, refractory, p.initial_currents(key))
            )
        processes += [
            PoissonInput.of(d.input, d.population, key, Purpose.DRIVE, d.index, d.weight, clock.epoch, d.port)
            for d in net.drives
            if isinstance(d.input, inputs.Poisson)
        ]
        times, ids = (np.concatenate(arrays) for arrays in zip(*trains, strict=True))
        order = np.lexsort((ids, times))
        projections = [
            ProjectionInput(p.pre.index, p.post.index, p.adjacency, p.weight, p.delay, p.n_multapses != 0, p.port)
            for p in net.projections
        ]
        return cls(
            clock,
            net.size,
            populations,
            projections,
            (times[order], ids[order]),
            processes,
            changes,
        )

    def population_of(self, i):
        """The index of the population of a global id."""
        return max(k for k, population in enumerate(self.populations) if population.first <= i)

    def synapses_of(self, i):
        """(projection, place in its row, target (global), weight, delay, port) of the synapses of a global id."""
        pre = self.population_of(i)
        for k, projection in enumerate(self.projections):
            if projection.pre != pre:
                continue
            first = self.populations[projection.post].first
            for place, (target, weight, delay) in enumerate(projection.row(i - self.populations[pre].first)):
                yield k, place, first + target, weight, delay, projection.port


def _is_train(population):
    return isinstance(population.model, inputs.SpikeSource)


def _shortest_time(model):
    return min(np.min(model.tau_m), 8.0 * np.min(model.growth_time_constant()))


def _changes(net):
    """The :class:`Changes` of all steps, and a model for each change with the shortest time constants there are."""
    currents, when, models = {}, {}, []
    for p in net.populations:
        drives = [d.input for d in net.drives if d.population is p and isinstance(d.input, inputs.Steps)]
        if not drives:
            continue
        times = np.unique(np.concatenate([drive.times for drive in drives]))
        total = np.zeros((len(times), max(drive.values.shape[1] for drive in drives)))
        for drive in drives:
            total += drive.at(times)
        currents[p.index], when[p.index] = p.model.I_e + total, times
        if len(drives) > 1 or p.model.kernel == "QIF":
            models += require_currents(p.model, times, total, f"steps of population {p.name!r}")
    parameters = {number: net.populations[number].model.parameters() for number in currents}
    return Changes(when, currents, parameters), models


def require_currents(model, times, currents, where):
    """Refuse currents, added to I_e, of shape (n_times, 1 or n), that the neurons are not made for.

    By models of one neuron for each time and neuron, which are checked as all are: a block of them at a time.

    Returns
    -------
    list of NeuronModel
        One for each block.
    """
    values = model.I_e + currents
    n = max(values.shape[1], model.size or 1)
    values = np.broadcast_to(values, (len(values), n))
    models = []
    per_block = max((1 << 18) // n, 1)
    for first in range(0, len(values), per_block):
        block = values[first : first + per_block]
        neurons, I_e = np.tile(np.arange(n), len(block)), block.ravel()
        if model.kernel == "Tabulated":
            # A table for each different value, of all times and of none, is what is counted and made.
            neurons, I_e = _different(model, np.vstack([values, np.broadcast_to(model.I_e, (1, n))]))
        try:
            models.append(dataclasses.replace(model.part(neurons), I_e=I_e))
        except ParameterError as error:
            text, _, index = str(error).rpartition(" at index ")
            place = "" if not text or len(I_e) != block.size else f" at {times[first + int(index) // n]} ms"
            raise ParameterError(f"{where}: with the values of sp.steps, {text or error}{place}") from None
        if model.kernel == "Tabulated":
            break
    return models


def _different(model, I_e):
    """Of neurons with these I_e, of shape (times, n), those that differ: which they are, and their I_e."""
    each = [value for _, value in model._values() if isinstance(value, np.ndarray)]
    if not each:
        found = np.unique(I_e)
        return np.zeros(len(found), np.int64), found
    _, first, kind = np.unique(np.stack(each), axis=1, return_index=True, return_inverse=True)
    kinds, found = np.unique(np.stack([np.tile(kind.ravel(), len(I_e)), I_e.ravel()]), axis=1)
    return first[kinds.astype(np.int64)], found


class Changes(Sequence):
    """All changes of I_e by steps, in plain numbers; item k is (time in ms, population, its parameters from then on).

    Ascending in time, then by population.

    Attributes
    ----------
    times : ndarray, shape (n_changes,)
        ms.
    populations : ndarray of int64, shape (n_changes,)
        Their indices.
    rows : ndarray of int64, shape (n_changes,)
        Which row of `currents` of its population a change takes.
    currents : dict of ndarray, shape (changes of the population, 1 or n)
        I_e from then on, by population.
    parameters : dict of dict
        Those without the changes, by population.
    """

    def __init__(self, times, currents, parameters):
        """`times`: of each population, ascending."""
        self.currents = {number: np.ascontiguousarray(each) for number, each in currents.items()}
        self.parameters = parameters
        every = np.concatenate([np.zeros(0), *times.values()])
        populations = [np.full(len(times[number]), number, np.int64) for number in times]
        populations = np.concatenate([np.zeros(0, np.int64), *populations])
        order = np.lexsort((populations, every))
        self.times, self.populations = every[order], populations[order]
        rows = [np.arange(len(each), dtype=np.int64) for each in times.values()]
        self.rows = np.concatenate([np.zeros(0, np.int64), *rows])[order]

    def __len__(self):
        return len(self.times)

    def __getitem__(self, k):
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        number = int(self.populations[k])
        return float(self.times[k]), number, self.parameters[number] | {"I_e": self.current(k)}

    def current(self, k):
        """I_e from change k on: a number, or one per neuron."""
        number = int(self.populations[k])
        current = self.currents[number][self.rows[k]]
        one = len(current) == 1 and not isinstance(self.parameters[number]["I_e"], np.ndarray)
        return float(current[0]) if one else current

    def last(self, number, n):
        """The last of the first `n` changes that is of a population; -1 if there is none."""
        mine = np.flatnonzero(self.populations[:n] == number)
        return int(mine[-1]) if len(mine) else -1


# Ready-made networks ----------------------------------------------------------------------------------------------


@named_arguments
def balanced_network(n, model, outdegree, j0=1.0, rate=1.0, seed=None):
    """The balanced inhibitory network of the SparseProp paper.

    Each neuron inhibits `outdegree` others; drive and weights scale so that the two balance. With tau in seconds:
    LIF ``I_e = (V_th - E_L) + (V_th - V_reset) tau sqrt(outdegree) j0 rate``, weight
    ``-j0 (V_th - V_reset) / sqrt(outdegree)``; LIFExp the same, the weight times ``tau_m / tau_syn`` (of port 0), so
    that a spike has the same area in V and the mean input balances the same drive; EIF as LIF, with V_T in the place of
    V_th in units and weights, and the rheobase ``V_T - Delta_T`` as what the drive exceeds; QIF and Theta
    ``I_e = tau sqrt(outdegree) j0 rate``, weight ``-j0 / sqrt(outdegree)``. Initial states are uniform in phase.

    Parameters
    ----------
    n : int
        Number of neurons.
    model : LIF, LIFExp, EIF, QIF or Theta
        With numbers, not arrays, as parameters, and without I_e.
    outdegree : int
        Targets per neuron, K.
    j0 : float
        Coupling strength.
    rate : float
        Wanted rate in Hz. **Not the rate that comes out**: the balance is exact only for K to infinity. At K = 100
        and 1 Hz wanted it is 3.4 Hz for LIF and 1.32 Hz for theta neurons; see :func:`calibrate_rate`.
    seed : int, optional

    Returns
    -------
    Network
        With one population, named ``"neurons"``.

    References
    ----------
    Engelken (2023), SparseProp, NeurIPS 36; van Vreeswijk and Sompolinsky (1996), doi:10.1126/science.274.5293.1724.
    """
    if not isinstance(model, NeuronModel):
        raise ParameterError(f"model must be a neuron model such as sp.LIF(tau_m=10.0), got {shown(model)}")
    if model.size is not None or model.distributions:
        raise ParameterError("model of a balanced network must have numbers, not arrays, as parameters")
    if model.I_e != 0.0:
        raise ParameterError(f"model of a balanced network must not have its own I_e, got {model.I_e}; leave it out")
    j0 = _validation.real(j0, "j0", "a finite number > 0", low=0.0, low_open=True)
    rate = _validation.real(rate, "rate", "a finite rate > 0 Hz", unit="Hz", low=0.0, low_open=True)
    outdegree = _validation.integer(outdegree, "outdegree", "a whole number >= 1", low=1)
    drive = model.tau_m * 1e-3 * math.sqrt(outdegree) * j0 * rate
    weight = -j0 / math.sqrt(outdegree)
    if isinstance(model, (LIF, LIFExp)):
        scale = model.V_th - model.V_reset
        model = dataclasses.replace(model, I_e=(model.V_th - model.E_L) + scale * drive)
        weight *= scale
        if isinstance(model, LIFExp):
            weight *= model.tau_m / model.time_constants[0]
    elif isinstance(model, EIF):
        scale = model.V_T - model.V_reset
        if not scale > 0.0:
            raise ParameterError(
                f"model of a balanced network must have V_reset below V_T, got V_reset = {model.V_reset} and V_T = "
                f"{model.V_T}: weights are in units of their distance"
            )
        model = dataclasses.replace(model, I_e=math.fsum([model.V_T, -model.Delta_T, -model.E_L, scale * drive]))
        weight *= scale
    elif isinstance(model, (QIF, Theta)):
        model = dataclasses.replace(model, I_e=drive)
    else:
        raise ParameterError(
            f"model of a balanced network must be a LIF, LIFExp, EIF, QIF or Theta, got {shown(model)}: for another "
            "drift nobody knows the drive and the unit of weights; use Network.add and connect"
        )
    net = Network(seed)
    neurons = net.add(n, model, name="neurons", V=uniform_phase())
    net.connect(neurons, neurons, connectivity.fixed_outdegree(outdegree), weight=weight)
    return net


@named_arguments
def calibrate_rate(net, target, tol=0.01):
    """Scale the drive so that the network fires at a given rate.

    Parameters
    ----------
    net : Network
    target : float
        Wanted mean rate over all neurons in Hz.
    tol : float
        Relative tolerance of the rate, as measured over enough spikes to resolve it.

    Returns
    -------
    Network
        A new network, the same but for I_e, which is multiplied by one number in all populations.

    Raises
    ------
    ParameterError
        If no drive gives that rate: the message has the range that was tried.
    """
    if not isinstance(net, Network):
        raise ParameterError(f"net must be a Network, got {shown(net)}")
    target = _validation.real(target, "target", "a finite rate > 0 Hz", unit="Hz", low=0.0, low_open=True)
    tol = _validation.real(tol, "tol", "a number in (0, 1)", low=0.0, low_open=True, high=1.0, high_open=True)
    neurons = [population for population in net.populations if not population.is_source]
    if all(np.all(np.asarray(population.model.I_e) == 0.0) for population in neurons):
        raise ParameterError("calibrate_rate scales I_e, and every I_e of this network is 0; give the models a drive")
    # Counts of nearly independent spike trains: their relative error is below 1 / sqrt(count).
    spikes = math.ceil(4.0 / tol**2)
    duration = 1e3 * spikes / (target * net.n_neurons)

    def measured(factor):
        scaled = _with_drive(net, factor)
        from .simulation import Simulation

        simulation = Simulation(scaled)
        simulation._belongs_to_one_run = True
        options = {"n_spikes": 20 * spikes, "progress": False, "interrupt": "raise"}
        simulation.run(max(0.25 * duration, 1e3 / target), **options)  # the transient
        return scaled, simulation.run(duration, **options).rate

    tried = {}

    def low_enough(factor):
        """Whether the drive gives less than the target; ends the search where it gives the target."""
        scaled, tried[factor] = measured(factor)
        if abs(tried[factor] - target) <= tol * target:
            raise _Found(scaled)
        return tried[factor] < target

    try:
        factor, step = 1.0, 2.0
        below = low_enough(factor)
        # More drive means a higher rate, so search upwards or downwards until the target lies between two factors.
        while True:
            other = factor * step if below else factor / step
            if low_enough(other) != below or not 1e-9 < other < 1e9:
                break
            factor, step = other, 2.0 * step
        low, high = sorted((factor, other))
        while len(tried) < 64 and high / low > 1.0 + 1e-12:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if low_enough(middle) else (low, middle)
    except _Found as found:
        return found.network
    rates = ", ".join(f"{tried[factor]:.4g} Hz at {factor:.4g}" for factor in (min(tried), max(tried)))
    raise ParameterError(
        f"target must be a rate that some drive gives; {target} Hz was not met within {tol:.3g}: I_e was multiplied by "
        f"{min(tried):.4g} to {max(tried):.4g} ({rates})"
    )


class _Found(Exception):
    """The end of a search, with the network that was looked for."""

    def __init__(self, network):
        super().__init__()
        self.network = network


def _with_drive(net, factor):
    """A copy of the network with every I_e multiplied."""

    def scaled(p):
        return {} if p.is_source else {"model": dataclasses.replace(p.model, I_e=np.asarray(p.model.I_e)[()] * factor)}

    return net._copy(scaled)


# Small helpers ----------------------------------------------------------------------------------------------------


def _require_stored(adjacency, name):
    """Refuse values for each synapse where there are no stored ones."""
    if isinstance(adjacency, connectivity.ProceduralAdjacency):
        raise ParameterError(f"{name} must be one number, as procedural synapses store nothing of their own")


def _per_synapse(value, name, adjacency, n_post, bounds):
    """A number, or an array in the order of the projection; given ones are in that of the edges or the matrix."""
    if not _validation.is_array(value):
        return _validation.real(value, name, **bounds)
    _require_stored(adjacency, name)
    if _validation.is_matrix(value):
        return _at_synapses(value, name, adjacency, n_post, bounds)
    order = adjacency.order
    value = _validation.real_array(value, name, size=adjacency.n_synapses, copy=order is None, **bounds)
    return value if order is None else value[order]


def _at_synapses(matrix, name, adjacency, n_post, bounds):
    """The entries ``matrix[target, source]`` of the synapses; those of a sparse matrix must be the synapses."""
    sparse = hasattr(matrix, "tocoo")
    if not sparse:
        matrix = _validation.plain(matrix, name, bounds.get("unit"))
    shape, given = (n_post, adjacency.offsets.shape[0] - 1), tuple(matrix.shape)
    if given != shape:
        turned = "; it looks transposed, give its .T" if given == shape[::-1] else ""
        raise ParameterError(
            f"{name} must have shape (post.n, pre.n) = {shape}, as value[target, source]; got {given}{turned}"
        )
    if not sparse:
        return _validation.real_array(matrix[adjacency.targets, adjacency.sources], name, copy=False, **bounds)
    entries = matrix.tocoo()
    # By pair; entries of the same pair, multapses, stay in the order in which they were given, as synapses do.
    wanted = adjacency.sources.astype(np.int64) * n_post + adjacency.targets
    pairs = entries.col.astype(np.int64) * n_post + entries.row
    synapses, places = np.argsort(wanted, kind="stable"), np.argsort(pairs, kind="stable")
    wanted, pairs = wanted[synapses], pairs[places]
    if not np.array_equal(wanted, pairs):
        both = min(len(wanted), len(pairs))
        k = int(np.argmin(np.append(wanted[:both] == pairs[:both], False)))
        lacking = k == len(pairs) or (k < len(wanted) and wanted[k] < pairs[k])
        source, target = divmod(int((wanted if lacking else pairs)[k]), n_post)
        what = (
            "lacks an entry for the synapse" if lacking else "has an entry where there is no synapse, or one more than"
        )
        raise ParameterError(
            f"{name}: a sparse matrix must have one entry for each synapse, zeros too, and no others; it has "
            f"{len(pairs)} for {len(wanted)} synapses, and {what} at [{target}, {source}], [target, source]"
        )
    values = np.empty(len(wanted), entries.data.dtype)
    values[synapses] = entries.data[places]
    return _validation.real_array(values, name, copy=False, **bounds)


def _given(adjacency, values):
    """Values of synapses in the order in which the user gave them."""
    if adjacency.order is None:
        return values
    given = np.empty_like(values)
    given[adjacency.order] = values
    return given


def _range(name, values):
    """A number, or the smallest and largest of several, with its name."""
    if isinstance(values, float):
        return f"{name} {_span(values)}"
    return f"{name}s {_span(values)}" if len(values) else f"no {name}s"


def _span(values):
    """A number, or the smallest and largest of several."""
    if isinstance(values, float):
        return f"{values:g}"
    return f"{values.min():g} to {values.max():g}" if len(values) else "none"


def _real_or_array(value, name, n, **bounds):
    """A float, or a float64 array of shape (n,)."""
    if _validation.is_array(value):
        return _validation.real_array(value, name, size=n, **bounds)
    return _validation.real(value, name, **bounds)


def _count(n):
    """A number that may not be known."""
    return "uncounted" if n is None else f"{n:,}"


def _human_bytes(n):
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def _list_of_tables(value, name):
    if not isinstance(value, (list, tuple)) or not all(isinstance(entry, dict) for entry in value):
        raise ParameterError(f"{name} must be a list of tables, got {shown(value)}")
    return value


def _check_keys(table, name, required, optional):
    """Every required key there, and no other than the optional ones besides."""
    if not isinstance(table, dict):
        raise ParameterError(f"{name} must be a table (dict), got {shown(table)}")
    for key in table:
        if key not in required + optional:
            raise unknown_name(f"entry of {name}", key, required + optional)
    for key in required:
        if key not in table:
            raise ParameterError(f"{name} has no entry {shown(key)}; it needs {', '.join(required)}")


def _model_from_dict(d, name):
    """The neuron model of a configuration's table."""
    if not isinstance(d, dict) or "name" not in d:
        raise ParameterError(f"{name} must be a table with the model's name and parameters, got {shown(d)}")
    if isinstance(d["name"], str) and d["name"] in SOURCES:
        return inputs.source_from_dict(d)
    if not isinstance(d["name"], str) or d["name"] not in MODELS:
        raise unknown_name("neuron model", d["name"], [*MODELS, *SOURCES])
    parameters = {key: value for key, value in d.items() if key != "name"}
    model = MODELS[d["name"]]
    required = [field.name for field in dataclasses.fields(model) if field.default is dataclasses.MISSING]
    optional = [field.name for field in dataclasses.fields(model) if field.name not in required]
    _check_keys(parameters, name, required=required, optional=optional)
    return model(**parameters)
