"""What a network is made of: populations, projections, drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _validation, connectivity, inputs
from .._core import FRAME_BYTES
from .._machine import cores
from ..connectivity import Purpose, _wiring
from ..connectivity.distributions import Distribution
from ..engine.kernels import kernel
from ..errors import ParameterError, named_arguments
from ..models import UniformPhase

if TYPE_CHECKING:
    from .._types import Description, Floats, Ids, Ints, Key, NumberOrArray
    from ..connectivity import Adjacency, Drawn, ProceduralAdjacency, Rule
    from ..inputs import Poisson, Steps

__all__ = ["BOUNDS", "Drive", "Population", "Projection", "per_synapse", "require_stored"]

# What is allowed of values for synapses.
BOUNDS: dict[str, dict[str, Any]] = {
    "weight": {"allowed": "a finite number"},
    "delay": {"allowed": "a finite time >= 0 ms", "low": 0.0, "unit": "ms"},
}


def _n_different(values):
    """How many different tuples numbers and arrays, one value per neuron, give."""
    each = [value for value in values if isinstance(value, np.ndarray)]
    return len(np.unique(np.stack(each), axis=1).T) if each else 1


class _ReadOnly:
    """Attributes that are set once, by the network; a later assignment is an error and not a surprise."""

    __slots__ = ()

    def _set(self, **attributes: Any) -> None:
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

    def __setattr__(self, name: str, value: Any) -> None:
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
    model : a neuron model (any of ``sp.models.MODELS``), SpikeSource or PoissonSource
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

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(80, sp.LIF(tau_m=20.0), name="E")
    >>> I = net.add(20, sp.LIF(tau_m=20.0), name="I")
    >>> I.name, I.n, I.first
    ('I', 20, 80)
    """

    __slots__ = ("I_syn", "V", "first", "given", "index", "model", "n", "name")
    name: str
    n: int
    model: Any  # one of neurons or of a source: which, whoever adds it knows
    given: Any
    V: Any
    I_syn: Any
    first: int
    index: int

    def __init__(
        self, name: str, n: int, model: Any, V: Any, first: int, index: int, I_syn: Any = None, given: Any = None
    ) -> None:
        self._set(name=name, n=n, model=model, V=V, first=first, index=index, I_syn=I_syn)
        self._set(given=model if given is None else given)

    def _replaced(self, **attributes):
        if "model" in attributes:
            attributes.setdefault("given", attributes["model"])
        return super()._replaced(**attributes)

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return f"<Population {self.name!r}: {self.n} {type(self.model).__name__}>"

    @property
    def is_source(self) -> bool:
        """Whether it emits spikes and receives none."""
        return isinstance(self.model, inputs.Source)

    @property
    def has_currents(self) -> bool:
        """Whether its neurons have synaptic currents."""
        return not self.is_source and self.model.has_currents

    @property
    def nbytes(self) -> int:
        """Memory of the population in bytes, as the network keeps it: of arrays, and constants of tables."""
        if isinstance(self.model, inputs.SpikeSource):
            return self.model.times.nbytes + self.model.ids.nbytes
        arrays = [self.V, self.I_syn, *([self.model.rate] if self.is_source else [])]
        total = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
        return total + (0 if self.is_source else self.model.nbytes)

    def _simulation_memory(self):
        """Bytes of each neuron, and of each row of constants, that a simulation keeps; and that making it needs."""
        model = self.model
        each = 8 + 8 * model.state_doubles()  # initial voltage and state
        if np.any(np.asarray(model.t_ref) > 0.0):
            each += 16.125 + 8  # when it ends, and when it ended at the beginning
        if isinstance(self.I_syn, list):
            each += 8 * model.n_ports
        if model.size is None:
            return each, 0, 0
        frames = sum(_n_different(values) for values in model.frames()) / self.n
        row = kernel(model.kernel).row_bytes + frames * FRAME_BYTES
        return each, row, model.making_bytes * (frames or 1)

    def initial_state(self, key: Key) -> tuple[Floats, Floats | None]:
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

    def initial_currents(self, key: Key) -> Floats | None:
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

    def to_dict(self) -> Description:
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

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(3, sp.LIF(tau_m=20.0), name="E")
    >>> p = net.connect(E, E, sp.edges([2, 0, 0], [0, 1, 2]), weight=[0.3, 0.1, 0.2])
    >>> p.sources.tolist(), p.targets.tolist(), p.weight.tolist()
    ([0, 0, 2], [1, 2, 0], [0.1, 0.2, 0.3])
    >>> p.weight = 2.0 * p.weight
    >>> p.weight.tolist()
    [0.2, 0.4, 0.6]
    """

    __slots__ = (
        "_delay",
        "_weight",
        "adjacency",
        "allow_autapses",
        "allow_multapses",
        "port",
        "post",
        "pre",
        "rule",
    )
    pre: Population
    post: Population
    rule: Rule
    adjacency: Adjacency | ProceduralAdjacency
    port: int
    allow_autapses: bool
    allow_multapses: bool
    _weight: float | Floats | Drawn
    _delay: float | Floats | Drawn

    def __init__(
        self,
        pre: Population,
        post: Population,
        rule: Rule,
        adjacency: Adjacency | ProceduralAdjacency,
        weight: float | Floats | Drawn,
        delay: float | Floats | Drawn,
        allow_autapses: bool,
        allow_multapses: bool,
        port: int = 0,
    ) -> None:
        """Of what was checked before: `weight` and `delay`, numbers, arrays or Drawn, are kept and not copied."""
        if isinstance(adjacency, connectivity.Adjacency):
            adjacency.targets.flags.writeable = adjacency.offsets.flags.writeable = False
        self._set(pre=pre, post=post, rule=rule, adjacency=adjacency, port=port)
        self._set(allow_autapses=allow_autapses, allow_multapses=allow_multapses)
        self._set(_weight=weight, _delay=delay)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("weight", "delay"):
            super().__setattr__(name, value)
        object.__setattr__(self, name, value)

    def _assign(self, name: str, value: Any) -> None:
        what = f"{name} of projection {self.pre.name!r} -> {self.post.name!r}"
        bounds = BOUNDS[name]
        if _validation.is_array(value):
            require_array(self.adjacency, what)
            if _validation.is_matrix(value):
                value = _at_synapses(value, what, self.adjacency, self.post.n, bounds)
            else:
                value = _validation.real_array(value, what, size=self.n_synapses, **bounds)
        else:
            value = _validation.real(value, what, **bounds)
        self._set(**{f"_{name}": value})

    def _take_weights(self, values):
        """As an assignment of ``weight``, for a training that changes them all the time."""
        plain = type(values) is np.ndarray and values.dtype == np.float64 and values.shape == (self.n_synapses,)
        if plain and np.isfinite(values).all():
            require_stored(self.adjacency, "weight")
            self._set(_weight=values.copy())
        else:
            self.weight = values

    @property
    def weight(self) -> NumberOrArray:
        self._require_all("weight", self._weight)
        return connectivity.all_of(self._weight)

    @weight.setter
    def weight(self, value: NumberOrArray) -> None:
        self._assign("weight", value)

    @property
    def delay(self) -> NumberOrArray:
        self._require_all("delay", self._delay)
        return connectivity.all_of(self._delay)

    @delay.setter
    def delay(self, value: NumberOrArray) -> None:
        self._assign("delay", value)

    def _require_all(self, what, values=None):
        """That all synapses are here, where one value of each is asked for."""
        if isinstance(self.adjacency, connectivity.AdjacencyShare) and not isinstance(values, float):
            raise ParameterError(
                f"{what} of projection {self.pre.name!r} -> {self.post.name!r} is on no rank as a whole: the network "
                "is shared by several (comm=); build it without comm where you need it"
            )

    def kept(self, name: str) -> float | Floats | Drawn:
        """The weights or delays as they are kept: a number, an array, or Drawn, which takes no memory."""
        return getattr(self, f"_{name}")

    def __repr__(self) -> str:
        return f"<Projection {self.pre.name!r} -> {self.post.name!r}: {self.rule!r}, {self.n_synapses} synapses>"

    @property
    def sources(self) -> Ids:
        self._require_all("sources")
        return self.adjacency.sources

    @property
    def targets(self) -> Ids:
        self._require_all("targets")
        return self.adjacency.targets

    @property
    def order(self) -> Ints:
        self._require_all("order")
        return np.arange(self.n_synapses) if self.adjacency.order is None else self.adjacency.order.copy()

    @property
    def n_synapses(self) -> int:
        return self.adjacency.n_synapses

    @property
    def n_autapses(self) -> int | None:
        return self.adjacency.n_autapses

    @property
    def n_multapses(self) -> int | None:
        return self.adjacency.n_multapses

    @property
    def nbytes(self) -> int:
        """Memory of the synapses in bytes, as the network keeps them."""
        if isinstance(self.adjacency, connectivity.ProceduralAdjacency):
            return 0
        adjacency, rule = self.adjacency, self.rule
        arrays = [adjacency.targets, adjacency.offsets, adjacency.order]
        arrays += [
            v.values if isinstance(v, connectivity.Drawn) and v.is_kept else v for v in (self._weight, self._delay)
        ]
        if isinstance(adjacency.weights, np.ndarray) and adjacency.weights is not self._weight:
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
        if isinstance(self._delay, float):
            drawn = isinstance(self._weight, connectivity.Drawn) and not self._weight.is_kept
            return making, 8 * n * drawn, 0
        # The engine's rows in the order of delays: target, place, delay, and weights; what is drawn, by blocks of rows.
        drawing = 8 * min(n, cores() * _wiring.PIECE) * isinstance(self._delay, connectivity.Drawn)
        return making, (16 if isinstance(self._weight, float) else 24) * n, drawing

    def to_dict(self) -> Description:
        """The dictionary form."""
        rule, delay = self.rule, self._as_given(self._delay)
        weight: Any = self._weight
        if self.adjacency.weights is not None:
            if weight is self.adjacency.weights or np.array_equal(weight, self.adjacency.weights):
                weight = None  # the matrix has them
            else:
                rule = connectivity.edges(self.sources, self.targets)
                delay = self._delay if isinstance(self._delay, np.ndarray) else delay
        else:
            weight = self._as_given(weight)
        d: Description = {"pre": self.pre.name, "post": self.post.name, "rule": rule.to_dict()}
        if weight is not None:
            d["weight"] = weight
        d["delay"] = delay
        if self.port:
            d["port"] = self.port
        return d | {"allow_autapses": self.allow_autapses, "allow_multapses": self.allow_multapses}

    def _as_given(self, values):
        """One number, one per synapse in the order in which the user gave the edges, or their distribution."""
        if isinstance(values, connectivity.Drawn):
            return values.distribution.to_dict()
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
    population: Population
    input: Poisson | Steps
    weight: NumberOrArray
    port: int
    index: int

    def __init__(
        self, population: Population, input: Poisson | Steps, weight: float | Floats | None, index: int, port: int = 0
    ) -> None:
        self._set(population=population, input=input, weight=weight, index=index, port=port)

    def __repr__(self) -> str:
        return f"<Drive of {self.population.name!r}: {self.input!r}>"

    def to_dict(self) -> Description:
        """The dictionary form."""
        d: Description = {"population": self.population.name, "input": self.input.to_dict()}
        if self.port:
            d["port"] = self.port
        return d if self.weight is None else d | {"weight": self.weight}


def require_stored(adjacency, name):
    """Refuse values for each synapse where there are no stored ones."""
    if isinstance(adjacency, connectivity.ProceduralAdjacency):
        raise ParameterError(f"{name} must be one number, as procedural synapses store nothing of their own")


def require_array(adjacency, name):
    """Refuse an array of values for each synapse where they are not all here."""
    require_stored(adjacency, name)
    if isinstance(adjacency, connectivity.AdjacencyShare):
        raise ParameterError(
            f"{name} must be one number or a distribution, as the network is shared by several ranks (comm=), none of "
            "which has all synapses; or build it without comm, and give that to run()"
        )


def per_synapse(value, name, adjacency, n_post, bounds):
    """A number, or an array in the order of the projection; given ones are in that of the edges or the matrix."""
    if not _validation.is_array(value):
        return _validation.real(value, name, **bounds)
    require_array(adjacency, name)
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
