"""Spike times for JAX: ``sparseprop.jax.spike_times(net, params, inputs)``. Only this module imports jax.

The engine is called back on the host, in float64: ``jax.config.update("jax_enable_x64", True)``. Gradients are the
exact ones of :meth:`sparseprop.BatchResult.backward`, by ``jax.custom_vjp``: reverse mode only.
"""

from __future__ import annotations

import functools

import numpy as np

try:
    import jax
except ImportError as error:
    raise ImportError('sparseprop.jax needs JAX: run `pip install "sparseprop-sim[jax]"`') from error

from typing import TYPE_CHECKING, Any

from . import _validation
from .batch import BatchSimulation, are_pairs, by_source, check_shape, input_array, padded_pairs, sources_of
from .connectivity import ProceduralAdjacency
from .errors import ParameterError, named_arguments, shown, unknown_name
from .network import Network
from .training import optimizers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._types import Description, Floats, PopulationName
    from .network import Network

__all__ = ["Optimizer", "parameters", "spike_times"]


@named_arguments
def parameters(net: Network, delays: bool = False) -> dict[str, list[jax.Array]]:
    """The weights of a network, and its delays if there is one for each synapse, as a pytree for :func:`spike_times`.

    Parameters
    ----------
    net : Network
    delays : bool
        Whether delays are among them.

    Returns
    -------
    dict
        ``"weight"``: a list with an array of shape (n_synapses,) for each projection that stores its synapses;
        ``"delay"``: a list likewise, of those that have one delay for each synapse.

    Examples
    --------
    >>> import jax, sparseprop as sp, sparseprop.jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> net = sp.training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> [weight.shape for weight in sparseprop.jax.parameters(net)["weight"]]
    [(6,)]
    """
    _check_x64()
    _check_net(net)
    found = {"weight": [np.array(np.broadcast_to(p.weight, (p.n_synapses,)), float) for p in _stored(net)]}
    if _validation.flag(delays, "delays"):
        found["delay"] = [p.delay for p in net.projections if isinstance(p.delay, np.ndarray)]
    return jax.tree.map(jax.numpy.asarray, found)


def _check_net(net):
    if not isinstance(net, Network):
        raise ParameterError(f"net must be a Network, got {shown(net)}")


def _stored(net):
    return [p for p in net.projections if not isinstance(p.adjacency, ProceduralAdjacency)]


def _check_x64():
    if not jax.config.jax_enable_x64:
        raise ParameterError(
            'sparseprop.jax needs numbers of 64 bits: call jax.config.update("jax_enable_x64", True) first'
        )


@named_arguments
def spike_times(
    net: Network,
    params: Mapping[str, Any],
    inputs: Any,
    *,
    duration: float,
    population: PopulationName | None = None,
    n_spikes: int = 1,
    n_threads: int | None = None,
) -> jax.Array:
    """The first spikes of a population in each sample, differentiable by parameters and input times.

    Parameters
    ----------
    net : Network
        Its weights (and delays) are replaced by those of `params`; it should be used for nothing else meanwhile.
    params : dict
        As :func:`parameters` returns it.
    inputs : array_like of shape (samples, n) or (samples, n, m), sequence of (times, ids), or dict
        Spike times in ms of the network's :class:`sparseprop.SpikeSource`, inf for none; a dictionary by name where
        there are several. Like `params` they are taken as float64.
    duration : float
        ms of a trial.
    population : str, optional
        Default: the last one.
    n_spikes : int
        How many spikes of each neuron: the first ones.
    n_threads : int, optional
        Default: all cores.

    Returns
    -------
    array of shape (samples, neurons), or (samples, neurons, n_spikes) if `n_spikes` is more than 1
        ms; inf where there is no spike, without a gradient.

    Raises
    ------
    ParameterError
        For values that are not allowed, and without ``jax_enable_x64``.

    Notes
    -----
    The run is repeated in the backward pass, since JAX keeps arrays only and no tapes. It may be used in ``jax.jit``,
    ``jax.vmap`` and ``jax.jacrev``, which call the engine once for each entry of the new axis; samples, the first axis
    of `inputs`, are run together. There are no forward derivatives (``jax.jvp``, ``jax.jacfwd``), and none of
    derivatives.

    Examples
    --------
    >>> import jax, sparseprop as sp, sparseprop.jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> net = sp.Network(seed=1)
    >>> source = net.add(1, sp.SpikeSource([], []), name="source")
    >>> output = net.add(1, sp.LIFExp(tau_m=20.0, tau_syn=5.0), name="output", V=0.0)
    >>> p = net.connect(source, output, sp.all_to_all(), weight=8.0)
    >>> def time(params):
    ...     return sparseprop.jax.spike_times(net, params, [[1.0]], duration=50.0)[0, 0]
    >>> bool(jax.grad(time)(sparseprop.jax.parameters(net))["weight"][0][0] < 0.0)
    True
    """
    _check_x64()
    _check_net(net)
    duration = _validation.real(duration, "duration", "a finite time >= 0 ms", unit="ms", low=0.0)
    n_spikes = _validation.integer(n_spikes, "n_spikes", "a whole number >= 1", low=1)
    if n_threads is not None:
        n_threads = _validation.integer(n_threads, "n_threads", "a whole number >= 1, or None for all cores", low=1)
    names = [p.name for p in net.populations if not p.is_source]
    if not names:
        raise ParameterError("net must have a population of neurons, whose spikes are wanted: net.add(n, model)")
    name = names[-1] if population is None else getattr(population, "name", population)
    if name not in names:
        raise unknown_name("population", name, names)
    params = {key: _as_float64(key, list(values)) for key, values in _checked(net, params).items()}
    times = _function(net, duration, name, n_spikes, n_threads)(params, _arrays(net, inputs))
    return times[:, :, 0] if n_spikes == 1 else times


def _delayed(net):
    return [p for p in net.projections if isinstance(p.delay, np.ndarray)]


def _checked(net, params):
    """`params`, if they have the entries and shapes that the network needs."""
    wanted = {"weight": _stored(net), "delay": _delayed(net)}
    if not isinstance(params, dict) or "weight" not in params or not set(params) <= set(wanted):
        raise ParameterError(f"params must be a dictionary with 'weight' and perhaps 'delay', got {shown(params)}")
    for key, values in params.items():
        if not isinstance(values, (list, tuple)) and getattr(values, "ndim", 0) != 2:
            raise ParameterError(
                f"params[{key!r}] must be a list of arrays, one for each projection, got {shown(values)}: start from "
                "sparseprop.jax.parameters(net)"
            )
        shapes = [np.shape(value) for value in values]
        if shapes != [(p.n_synapses,) for p in wanted[key]]:
            raise ParameterError(
                f"params[{key!r}] must be one array for each of {shown(wanted[key])}, one value for each synapse, got "
                f"shapes {shown(shapes)}: start from sparseprop.jax.parameters(net)"
            )
        for k, value in enumerate(values):
            if not isinstance(value, jax.core.Tracer):
                low = 0.0 if key == "delay" else -np.inf
                _validation.real_array(np.asarray(value), f"params[{key!r}][{k}]", low=low, copy=False)
    return params


def _as_float64(name, tree):
    """All arrays of a pytree in float64; gradients come back in the types that were given."""
    try:
        return jax.tree.map(lambda value: jax.numpy.asarray(value, np.float64), tree)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} must be arrays of numbers: {error}") from None


def _arrays(net, inputs):
    """The inputs as arrays of shapes that are allowed, by source if a dictionary was given."""
    sources = sources_of(net)
    arrays = {p.name: _array(p, values) for p, values in _of_sources(sources, inputs)}
    numbers = {name: len(array) for name, array in arrays.items()}
    if len(set(numbers.values())) > 1:
        raise ParameterError(f"inputs must have the same number of samples for all sources, got {numbers}")
    return arrays if isinstance(inputs, dict) else arrays[sources[0].name]


def _of_sources(sources, inputs):
    named = by_source(sources, inputs)
    return [(p, named[p.name]) for p in sources]


def _array(source, values):
    name = f"inputs of {source.name!r}"
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))
    if are_pairs(values):
        if traced:
            raise ParameterError(
                f"{name}: pairs (times, ids) are for values that are known, outside of jit, grad and vmap: give an "
                "array of shape (samples, n, m), inf for no spike"
            )
        return jax.numpy.asarray(padded_pairs(source, values))
    if not traced:
        return jax.numpy.asarray(input_array(source, values))
    # The values are not known yet; the engine looks at them.
    try:
        values = jax.numpy.asarray(values)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} must be an array of numbers: {shown(error)}") from None
    if values.dtype.kind not in "iuf":
        raise ParameterError(f"{name} must be an array of real numbers, got dtype {values.dtype}")
    check_shape(source, values.shape)
    return _as_float64(name, values)


class _Host:
    """What runs on the host: one network, its simulation kept from call to call."""

    def __init__(self, net, duration, name, n_spikes, n_threads):
        self.net, self.duration, self.name, self.n_spikes = net, duration, name, n_spikes
        self.simulation = BatchSimulation(net, n_threads=n_threads)
        self.n = next(p.n for p in net.populations if p.name == name)

    def _run(self, params, inputs, tape):
        for p, weight in zip(_stored(self.net), params["weight"], strict=True):
            p.weight = np.asarray(weight)
        delayed = _delayed(self.net)
        for p, delay in zip(delayed, params.get("delay", [p.delay for p in delayed]), strict=True):
            if not np.array_equal(p.delay, delay):  # other delays make the engine sort synapses again
                p.delay = np.asarray(delay)
        return self.simulation.run(jax.tree.map(np.asarray, inputs), self.duration, tape=tape)

    def forward(self, params, inputs):
        return self._run(params, inputs, False).spike_table(self.name, self.n_spikes)[0]

    def backward(self, params, inputs, by_times):
        result = self._run(params, inputs, True)
        _, where = result.spike_table(self.name, self.n_spikes)
        dL_dtimes = np.zeros(result.n_spikes)
        dL_dtimes[where[where >= 0]] = np.asarray(by_times)[where >= 0]
        grads = result.backward(dL_dtimes, tau_m=False)
        projections = self.net.projections
        numbers = {id(p): k for k, p in enumerate(projections)}
        by_params = {"weight": [grads.weight[numbers[id(p)]] for p in _stored(self.net)]}
        if "delay" in params:
            by_params["delay"] = [grads.delay[k] for k, p in enumerate(projections) if isinstance(p.delay, np.ndarray)]
        by_inputs = grads.input_times if isinstance(inputs, dict) else next(iter(grads.input_times.values()))
        return by_params, by_inputs


# The function and its simulation are kept, so that jit compiles once; a few networks at a time.
@functools.lru_cache(maxsize=8)
def _function(net, duration, name, n_spikes, n_threads):
    host = _Host(net, duration, name, n_spikes, n_threads)
    like = functools.partial(jax.tree.map, lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype))

    @jax.custom_vjp
    def times(params, inputs):
        n_samples = jax.tree.leaves(inputs)[0].shape[0]
        shape = jax.ShapeDtypeStruct((n_samples, host.n, n_spikes), np.float64)
        return jax.pure_callback(host.forward, shape, params, inputs, vmap_method="sequential")

    def forward(params, inputs):
        return times(params, inputs), (params, inputs)

    def backward(saved, by_times):
        params, inputs = saved
        shapes = like((params, inputs))
        return jax.pure_callback(host.backward, shapes, params, inputs, by_times, vmap_method="sequential")

    times.defvjp(forward, backward)
    return times


@named_arguments
class Optimizer(optimizers.Optimizer):
    """A gradient transformation of optax for :class:`sparseprop.training.Trainer`.

    Parameters
    ----------
    transformation : optax.GradientTransformation
        Such as ``optax.adam(1e-2)``, with optax's own schedules, which go by steps. Each array of weights or delays has
        a state of its own.

    Raises
    ------
    ParameterError
        For something else, and without ``jax_enable_x64``.

    Notes
    -----
    Steps are computed by JAX, whose bits may differ from one processor to another, where ours do not. A training that
    is resumed compares the shape of the state, not the settings, which a transformation does not tell.

    Examples
    --------
    >>> import jax, sparseprop as sp, sparseprop.jax
    >>> import optax
    >>> jax.config.update("jax_enable_x64", True)
    >>> from sparseprop import training
    >>> values, labels = training.yin_yang(200, seed=1)
    >>> net = training.layered_network([5, 30, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> optimizer = sparseprop.jax.Optimizer(optax.adam(5e-3))
    >>> loss = training.FirstSpikeCrossEntropy()
    >>> trainer = training.Trainer(net, loss, duration=50.0, optimizer=optimizer, n_threads=1)
    >>> history = trainer.fit(training.latencies(values, bias=0.0), labels, epochs=3)
    >>> bool(history["loss"][2] < history["loss"][0])
    True
    """

    def __init__(self, transformation: Any) -> None:
        _check_x64()
        if not callable(getattr(transformation, "init", None)) or not callable(getattr(transformation, "update", None)):
            raise ParameterError(
                f"transformation must be one of optax, such as optax.adam(1e-2), got {shown(transformation)}"
            )
        self.transformation = transformation
        self._states: dict[str, Any] = {}
        self._saved: dict[str, Any] = {}
        self._structure = str(jax.tree.structure(transformation.init(jax.numpy.zeros(1))))

    def __repr__(self) -> str:
        return f"Optimizer({self._structure})"

    def update(self, name: str, values: Floats, gradient: Floats, *, epoch: int = 0, scale: float = 1.0) -> Floats:
        """`values` after a step, a new array; see :meth:`sparseprop.training.Optimizer.update`."""
        now, by_now = (jax.numpy.asarray(array, np.float64) for array in (values, gradient))
        state = self._states.get(name)
        if state is None:
            state = self.transformation.init(now)
            if name in self._saved:
                leaves = [jax.numpy.asarray(leaf) for leaf in self._saved.pop(name)]
                state = jax.tree.unflatten(jax.tree.structure(state), leaves)
        change, self._states[name] = self.transformation.update(by_now, state, now)
        return np.asarray(now + scale * change)

    def to_dict(self) -> Description:
        """The shape of its state, and all that it keeps of arrays."""
        state = {name: [np.asarray(leaf) for leaf in jax.tree.leaves(of)] for name, of in self._states.items()}
        return {"settings": {"state": self._structure}, "state": self._saved | state}

    def restore(self, d: Description) -> None:
        """Go on from what :meth:`to_dict` returned."""
        self._states, self._saved = {}, dict(d["state"])
