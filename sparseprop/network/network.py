"""Networks: what is put together of populations, projections and drives, and run."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import secrets
import sys
from typing import TYPE_CHECKING

import numpy as np

from .. import _html, _validation, connectivity, inputs
from .._ranks import ranks_of
from ..connectivity import Purpose, Rule
from ..connectivity.distributions import Distribution, distribution_from_dict
from ..errors import CapacityError, ParameterError, named_arguments, shown, unknown_name
from ..models import LARGEST, NeuronModel, UniformPhase, names_of, require_currents
from ..run.simulation import Simulation
from .configuration import network_from_dict
from .lowering import engine_input
from .memory import human_bytes, network_memory, simulation_memory
from .parts import BOUNDS, Drive, Population, Projection, per_synapse, require_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .._ranks import Ranks
    from .._types import (
        ArrayLike,
        Communicator,
        Description,
        EngineName,
        Interrupt,
        PathLike,
        Progress,
        SparseMatrix,
        Tape,
    )
    from ..engine.input import EngineInput
    from ..inputs import Poisson, Source, Steps
    from ..run.recording import Record
    from ..run.result import Result

__all__ = ["Network"]


@named_arguments
class Network:
    """Populations of neurons and sources, the projections between them, and what drives them.

    Parameters
    ----------
    seed : int, optional
        Everything random follows from it: connectivity, initial states and Poisson input. Without one, one is drawn
        and printed to stderr, so that the run can be repeated.
    comm : communicator of mpi4py, optional
        Such as ``MPI.COMM_WORLD``: the network is shared by all processes of it, each of which runs the same script.
        Rules then draw, and keep, on each rank only the synapses onto the neurons that it has; results are the bits of
        one process. See ``docs/howto/many_machines.md``.

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

    seed: int
    populations: list[Population]
    projections: list[Projection]
    drives: list[Drive]

    def __init__(self, seed: int | None = None, comm: Communicator | None = None) -> None:
        self._ranks = ranks_of(comm, "Network")
        if seed is None:
            seed = secrets.randbits(32)
            if self._ranks is not None:
                seed = self._ranks.agree(seed)
            if self._ranks is None or self._ranks.is_first:
                print(f"sparseprop: no seed given, using Network(seed={seed})", file=sys.stderr)
        self.seed = _validation.integer(seed, "Network.seed", "a whole number >= 0", low=0)
        self.populations = []
        self.projections = []
        self.drives = []

    # Building ---------------------------------------------------------------------------------------------------

    def add(
        self,
        n: int,
        model: NeuronModel | Source,
        name: str | None = None,
        V: ArrayLike | Distribution | UniformPhase | None = None,
        phase: ArrayLike | None = None,
        I_syn: ArrayLike | Distribution | Sequence[float | Distribution] | None = None,
    ) -> Population:
        """Add a population.

        Parameters
        ----------
        n : int
            Number of neurons, at least 1.
        model : LIF, LIFExp, QIF, Theta, QuadraticIF, RapidTheta, PWLIF, EIF, NumericalIF, SpikeSource or PoissonSource
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
        given: Any = model
        own = given
        if isinstance(model, NeuronModel) and model.distributions:
            try:
                own = model.drawn(connectivity.random_key(self.seed), len(self.populations), n)
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
            reached = own.phase_to_voltage(_real_or_array(phase, f"phase of population {name!r}", n))
            V = np.minimum(reached, np.nextafter(own.threshold(), -np.inf))[()]
        if isinstance(V, UniformPhase):
            silent = ~np.isfinite(np.broadcast_to(own.free_period(), (n,)))
            if silent.any():
                raise ParameterError(
                    f"V=uniform_phase() needs neurons that oscillate without input; neuron {int(np.argmax(silent))} "
                    f"of population {name!r} does not. Leave V out, or give voltages"
                )
        elif isinstance(V, Distribution) or (isinstance(V, dict) and "distribution" in V):
            V = self._distribution_of_voltages(V, own, name)
        elif V is not None:
            V = self._initial_voltage(V, own, name, n)
        if I_syn is not None:
            I_syn = self._initial_currents(I_syn, own, name, n)
        population = Population(name, n, own, V, self.size, len(self.populations), I_syn, given)
        self.populations.append(population)
        return population

    @staticmethod
    def _initial_currents(I_syn, model, name, n):
        """I_syn as an array of shape (n, ports)."""
        what = f"I_syn of population {name!r}"
        if not model.has_currents:
            known = names_of(lambda model: model.has_currents)
            raise ParameterError(
                f"{what} is for {known} neurons, which have synaptic currents; {shown(model)} has none"
            )
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
        self,
        pre: Population | str,
        post: Population | str,
        rule_or_matrix: Rule | ArrayLike | SparseMatrix,
        weight: ArrayLike | Distribution | SparseMatrix | None = None,
        delay: ArrayLike | Distribution | SparseMatrix = 0.0,
        allow_autapses: bool = False,
        allow_multapses: bool = False,
        port: int = 0,
    ) -> Projection:
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
        with contextlib.nullcontext() if self._ranks is None else self._ranks.as_one():
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
                share=None if self._ranks is None else self._ranks.share(post.n),
            )
            if isinstance(adjacency, connectivity.AdjacencyShare):
                found = self._ranks.gather_objects((adjacency.n_autapses, adjacency.n_multapses))
                n_autapses, n_multapses = (sum(numbers) for numbers in zip(*found, strict=True))
                adjacency = dataclasses.replace(adjacency, n_autapses=n_autapses, n_multapses=n_multapses)

        def drawn_or_given(value, name, purpose):
            what, bounds = f"{name} of {where}", BOUNDS[name]
            if isinstance(value, dict) and not hasattr(value, "tocoo"):  # sparse matrices in DOK format are dicts
                value = distribution_from_dict(value, what)
            if isinstance(value, Distribution):
                low = bounds.get("low", -math.inf)
                if not value.bounds()[0] >= low:
                    raise ParameterError(f"{what} must be {bounds['allowed']}, got {shown(value)}; give it low={low:g}")
                require_stored(adjacency, what)
                return connectivity.Drawn(
                    value, key, purpose, len(self.projections), connectivity.whole_offsets(adjacency)
                )
            return per_synapse(value, what, adjacency, post.n, bounds)

        weights: Any = adjacency.weights if weight is None else drawn_or_given(weight, "weight", Purpose.WEIGHT)
        delays = drawn_or_given(delay, "delay", Purpose.DELAY)
        projection = Projection(pre, post, rule, adjacency, weights, delays, allow_autapses, allow_multapses, port)
        self.projections.append(projection)
        return projection

    def drive(
        self, population: Population | str, input: Poisson | Steps, weight: ArrayLike | None = None, port: int = 0
    ) -> Drive:
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
            weights = None
        elif weight is None:
            raise ParameterError(f"weight of {where} is missing; give weight=, the voltage jump at each event")
        else:
            weights = _real_or_array(weight, f"weight of {where}", population.n)
        drive = Drive(population, input, weights, len(self.drives), port)
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

    def _population(self, given: Any, what: str) -> Population:
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

    def __copy__(self) -> Network:
        return self._copy()

    # Looking ----------------------------------------------------------------------------------------------------

    @property
    def n_neurons(self) -> int:
        """Number of neurons, without sources."""
        return sum(population.n for population in self.populations if not population.is_source)

    @property
    def size(self) -> int:
        """Number of global ids: neurons and sources."""
        return sum(population.n for population in self.populations)

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return sum(projection.n_synapses for projection in self.projections)

    def estimate_memory(self) -> int:
        """Bytes of memory that the network and a simulation of it with the default engine take at most.

        Without recorded spikes, and what is given to the network (arrays of the user). The peak may be while the
        network is built, while a simulation is made of it, or while that runs.

        Returns
        -------
        int
        """
        network, making = network_memory(self)
        return int(max(making, network + simulation_memory(self)))

    def __str__(self) -> str:
        lines = [
            f"Network of {self.n_neurons:,} neurons and {self.n_synapses:,} synapses, seed {self.seed}, "
            f"{human_bytes(self.estimate_memory())} in a simulation"
        ]
        lines += [
            f"  {p.name}: {p.n:,} {'sources' if p.is_source else 'neurons'}, {p.given!r}" for p in self.populations
        ]
        for p in self.projections:
            delays = p.kept("delay")
            delay = "" if isinstance(delays, float) and delays == 0.0 else f", {_range('delay', delays)} ms"
            lines.append(
                f"  {p.pre.name} -> {p.post.name}: {p.rule!r}, {p.n_synapses:,} synapses, "
                f"{_range('weight', p.kept('weight'))}{delay}, {_count(p.n_autapses)} autapses, "
                f"{_count(p.n_multapses)} multapses"
            )
        for drive in self.drives:
            weight = "" if drive.weight is None else f", {_range('weight', drive.weight)}"
            lines.append(f"  input to {drive.population.name}: {drive.input!r}{weight}")
        return "\n".join(lines)

    def _repr_html_(self):
        projections = [
            (
                f"{p.pre.name} → {p.post.name}",
                repr(p.rule),
                p.n_synapses,
                _span(p.kept("weight")),
                _span(p.kept("delay")),
            )
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

    def __repr__(self) -> str:
        return f"<Network: {self.n_neurons} neurons, {self.n_synapses} synapses, seed {self.seed}>"

    @property
    def _cites(self):
        return [key for p in self.populations if not p.is_source for key in p.model._cites]

    # Description ------------------------------------------------------------------------------------------------

    def to_dict(self) -> Description:
        """The whole description as a dictionary of plain values and arrays; see :meth:`from_dict`."""
        return {
            "seed": self.seed,
            "populations": [population.to_dict() for population in self.populations],
            "projections": [projection.to_dict() for projection in self.projections],
            "drives": [drive.to_dict() for drive in self.drives],
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], comm: Communicator | None = None) -> Network:
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
        comm : communicator of mpi4py, optional
            As of the class.

        Raises
        ------
        ParameterError
            For a missing or unknown entry, and for whatever :meth:`add` and :meth:`connect` refuse.
        """
        return network_from_dict(cls, d, comm)

    def engine_input(self, seed: int | None = None, ranks: Ranks | None = None) -> EngineInput:
        """What the engines get: plain numbers, and what is drawn per run from `seed` (default: the network's).

        Of a network that is shared by ranks, only who gives these gets it: it has the synapses of one of them.
        """
        if self._ranks is not ranks and self._ranks is not None:
            raise ParameterError(
                "this network is shared by several ranks (comm=), and only run() and Simulation go on from there; "
                "build it without comm for anything else"
            )
        if seed is not None:
            seed = _validation.integer(seed, "seed", "a whole number >= 0", low=0)
        return engine_input(self, self.seed if seed is None else seed, ranks)

    # Running ----------------------------------------------------------------------------------------------------

    def run(
        self,
        duration: float | None = None,
        *,
        n_spikes: int | None = None,
        engine: EngineName | None = None,
        record: PathLike | Record | None = None,
        progress: Progress = None,
        seed: int | None = None,
        n_threads: int | None = None,
        tape: Tape = False,
        callback: Callable[[Simulation], object] | None = None,
        checkpoint: PathLike | None = None,
        every: float | None = None,
        interrupt: Interrupt = "return",
        overwrite: bool = False,
        comm: Communicator | None = None,
    ) -> Result:
        """Simulate from the initial state; see :class:`sparseprop.Simulation` for runs that go on.

        Parameters
        ----------
        duration : float, optional
            ms. All instants with t < duration are taken.
        n_spikes : int, optional
            Stop after the instant in which this many spikes are reached. At least one of the two stop rules is
            needed; whichever comes first ends the run.
        engine : {"window", "heap", "lookahead", "reference"}, optional
            All give the same spikes, bit for bit; ``"lookahead"`` is for networks with delays, on all cores;
            ``"reference"`` is the readable specification, and slow. Default: the faster one of window and lookahead;
            see :class:`sparseprop.Simulation`.
        record : None, path or Record
            None keeps the spikes in memory; a path streams them into an HDF5 raster (SONATA); see
            :class:`sparseprop.Record` for more.
        progress : None, bool or callable, optional
            None shows a bar on a terminal or in a notebook when the run takes more than a second. True shows it at
            once, and elsewhere, as in a log file, prints a line for each 10 %. A callable gets the fraction that is
            done.
        seed : int, optional
            Of initial states and Poisson input, if they are to differ from the network's own.
        n_threads : int, optional
            Of ``engine="lookahead"``, which more than one asks for; the spikes are the same bits for any number.
            Default: one for each core that this process may use.
        tape : bool, "checkpoint" or Truncated
            Whether :meth:`sparseprop.Result.backward` is wanted; see :meth:`sparseprop.Simulation.run`.
        callback, checkpoint, every
            See :meth:`sparseprop.Simulation.run`.
        interrupt : {"return", "raise"}
            Whether Ctrl-C ends the run, which returns the spikes until then (`stop_reason` is ``"interrupted"``), or
            raises KeyboardInterrupt after that. Two of them within 3 s end a loop of runs in any case.
        overwrite : bool
            Replace a file that is at the path of `record` already; otherwise that is an error.
        comm : communicator of mpi4py, optional
            Run on all its processes, each of which makes this call; default: that of the network.

        Returns
        -------
        Result
        """
        simulation = Simulation(self, engine=engine, seed=seed, n_threads=n_threads, comm=comm)
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


# Small helpers ----------------------------------------------------------------------------------------------------


def _range(name, values):
    """A number, or the smallest and largest of several, with its name."""
    if isinstance(values, float):
        return f"{name} {_span(values)}"
    return f"{name}s {_span(values)}" if values.size else f"no {name}s"


def _span(values):
    """A number, or the smallest and largest of several."""
    if isinstance(values, float):
        return f"{values:g}"
    low, high = connectivity.extremes(values)
    return f"{low:g} to {high:g}" if values.size else "none"


def _real_or_array(value, name, n, **bounds):
    """A float, or a float64 array of shape (n,)."""
    if _validation.is_array(value):
        return _validation.real_array(value, name, size=n, **bounds)
    return _validation.real(value, name, **bounds)


def _count(n):
    """A number that may not be known."""
    return "uncounted" if n is None else f"{n:,}"
