"""Spiking networks as modules of PyTorch: ``sparseprop.torch.SpikingNetwork``. Only this module imports torch.

The engine computes in float64 on the CPU; tensors of other types are converted on the way in and out. The gradients are
the exact ones of :meth:`sparseprop.BatchResult.backward`.
"""

from __future__ import annotations

import itertools
import weakref

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError('sparseprop.torch needs PyTorch: run `pip install "sparseprop-sim[torch]"`') from error

from typing import TYPE_CHECKING, Any

from . import _validation
from .batch import (
    BatchSimulation,
    SpikeData,
    are_pairs,
    by_source,
    check_no_raster,
    check_shape,
    input_array,
    padded_pairs,
)
from .connectivity import ProceduralAdjacency
from .errors import ParameterError, named_arguments, shown, unknown_name
from .network import Network, Population
from .run.recording import Record
from .training import optimizers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import ArrayLike, Description, Floats, PopulationName
    from .network import Network, Projection

__all__ = ["Optimizer", "SpikingNetwork"]

# Modules by their handles, for operators of torch, which take nothing but tensors and plain values.
_modules: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_handles = itertools.count()


@named_arguments
class SpikingNetwork(torch.nn.Module):
    """A network whose spike times and membrane potentials take part in autograd.

    Parameters
    ----------
    net : Network
        With one :class:`sparseprop.SpikeSource`, or several.
    duration : float
        ms of a trial.
    outputs : sequence of str or Population, optional
        Populations whose spike times are returned; default: the last one.
    n_spikes : int
        How many spikes of each neuron: the first ones.
    V_times : array_like, optional
        When (ms) the membrane potentials of the outputs are returned besides.
    train_delays : bool
        Delays of projections that have one for each synapse are Parameters, too. Each call clamps them at `min_delay`.
    min_delay : float
        ms.
    n_threads : int, optional
        Default: all cores.
    dtype : torch.dtype
        Of the Parameters, and so of what comes out: that of torch.float32 fits to layers of torch as they are made by
        default. ``module.to(dtype)`` (``.float()``, ``.double()``) changes it. In any case the engine computes in
        float64, with the values of the Parameters; times come out rounded.

    Attributes
    ----------
    weights, delays : ParameterList
        Of the projections that have such, in their order, of shape (n_synapses,); see ``projections``.
    projections : list of Projection
        Those that `weights` belong to. Weights and delays of the Network itself follow the Parameters at each call.
    simulation : BatchSimulation

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> import sparseprop as sp, torch
    >>> from sparseprop.torch import SpikingNetwork
    >>> net = sp.training.layered_network([5, 120, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> module = SpikingNetwork(net, duration=50.0)
    >>> t = module(torch.rand(32, 5, dtype=torch.float64) * 30.0)
    >>> torch.nn.functional.cross_entropy(-t / 0.5, torch.zeros(32, dtype=int)).backward()
    """

    network: Network
    duration: float
    projections: list[Projection]
    simulation: BatchSimulation
    weights: torch.nn.ParameterList
    delays: torch.nn.ParameterList

    def __init__(
        self,
        net: Network,
        duration: float,
        *,
        outputs: Sequence[PopulationName] | None = None,
        n_spikes: int = 1,
        V_times: ArrayLike | None = None,
        train_delays: bool = False,
        min_delay: float = 0.0,
        n_threads: int | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        if not isinstance(net, Network):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ParameterError(f"dtype must be torch.float64 or another floating-point one, got {shown(dtype)}")
        self.network = net
        self.duration = _validation.real(
            duration, "duration", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True
        )
        self.n_spikes = _validation.integer(n_spikes, "n_spikes", "a whole number >= 1", low=1)
        self.min_delay = _validation.real(min_delay, "min_delay", "a finite time >= 0 ms", unit="ms", low=0.0)
        neurons = {p.name: p for p in net.populations if not p.is_source}
        if outputs is None:
            outputs = list(neurons)[-1:]
        elif isinstance(outputs, (str, Population)):
            outputs = [outputs]
        if not isinstance(outputs, (list, tuple)) or not outputs:
            raise ParameterError(f"outputs must be populations or their names, at least one, got {shown(outputs)}")
        names: list[Any] = [getattr(name, "name", name) for name in outputs]
        for name in names:
            if not isinstance(name, str) or name not in neurons:
                raise unknown_name("population", name, neurons)
        self.outputs = [neurons[name] for name in names]
        self.output_ids = np.concatenate([np.arange(p.first, p.first + p.n) for p in self.outputs])
        if len(np.unique(self.output_ids)) < len(self.output_ids):
            raise ParameterError(f"outputs must be different populations, got {shown(names)}")
        self._record = None
        if V_times is not None:
            times = V_times if _validation.is_array(V_times) else [V_times]
            times = _validation.real_array(times, "V_times", "finite times >= 0 ms", unit="ms", low=0.0)
            if (times > self.duration).any() or (np.diff(times) <= 0.0).any():
                raise ParameterError(
                    f"V_times must be ascending, and at most the duration, {self.duration} ms, got {shown(times)}"
                )
            self._record = Record(V=np.sort(self.output_ids), V_times=times)
        self.projections = [p for p in net.projections if not isinstance(p.adjacency, ProceduralAdjacency)]
        numbers = {id(p): k for k, p in enumerate(net.projections)}
        self._numbers = [numbers[id(p)] for p in self.projections]
        self.weights = torch.nn.ParameterList(
            torch.tensor(np.array(np.broadcast_to(p.weight, (p.n_synapses,)), dtype=float)).to(dtype)
            for p in self.projections
        )
        delayed = [k for k, p in enumerate(net.projections) if isinstance(p.delay, np.ndarray)]
        self._delayed = delayed if _validation.flag(train_delays, "train_delays") else []
        if train_delays and not delayed:
            raise ParameterError(
                "train_delays needs projections with one delay for each synapse: connect with delay=sp.uniform(low, "
                "high), or an array"
            )
        self.delays = torch.nn.ParameterList(
            torch.tensor(np.maximum(net.projections[k].delay, self.min_delay)).to(dtype) for k in self._delayed
        )
        # Changes its type as the Parameters do; there may be none of these.
        self.register_buffer("_like", torch.empty(0, dtype=dtype), persistent=False)
        self.simulation = BatchSimulation(net, n_threads=n_threads)
        self._register()

    def _register(self):
        self._handle = next(_handles)
        _modules[self._handle] = self

    def __setstate__(self, state):
        # Of a copy, which is a module of its own.
        super().__setstate__(state)
        self._register()

    def extra_repr(self) -> str:
        return f"{self.network!r}, duration={self.duration:g}"

    def forward(self, inputs: Any) -> Any:
        """Run a batch.

        Parameters
        ----------
        inputs : Tensor, array_like, sequence or dict
            Spike times in ms of the sources, of shape (samples, n) or (samples, n, m), inf for none; or all else that
            :meth:`BatchSimulation.run` takes, such as a sequence of (times, ids). A dictionary by name if there are
            several sources. Tensors take part in autograd, but for those in pairs.

        Returns
        -------
        times : Tensor of shape (samples, neurons), or (samples, neurons, n_spikes) if `n_spikes` is more than 1
            ms; inf where there is no spike, without a gradient.
        V : Tensor of shape (samples, times, neurons)
            Only with `V_times`: (times, V) is returned.

        Notes
        -----
        It may be used in :func:`torch.compile`, also with ``fullgraph=True``, and in ``torch.func`` (grad, vmap,
        jacrev; no derivatives of derivatives, and none forward); the backward pass repeats the run there.
        """
        sources = self.simulation.sources
        named = by_source(sources, inputs)
        tensors = [_tensor(p, named[p.name]) for p in sources]
        parameters = [*self.weights, *self.delays]
        for t in (*tensors, *parameters):
            if t.device.type != "cpu":
                raise ParameterError(f"inputs, weights and delays must be on the CPU, got a Tensor on {t.device}")
        # Not by a set of them: torch.compile would make a graph for each number of samples.
        if any(t.shape[0] != tensors[0].shape[0] for t in tensors[1:]):
            numbers = {p.name: len(t) for p, t in zip(sources, tensors, strict=True)}
            raise ParameterError(f"inputs must have the same number of samples for all sources, got {numbers}")
        if self._delayed:
            with torch.no_grad():
                for delay in self.delays:
                    delay.clamp_(min=self.min_delay)
        exact = [t.to(torch.float64) for t in (*tensors, *parameters)]
        if torch.compiler.is_compiling():
            times, V = torch.ops.sparseprop.run(self._handle, exact)
        elif torch._C._are_functorch_transforms_active():
            times, V = _Transformed.apply(self, *exact)
        else:
            times, V = _Run.apply(self, *exact)
        times = (times[:, :, 0] if self.n_spikes == 1 else times).to(self._like.dtype)
        return times if self._record is None else (times, V.to(self._like.dtype))


def _tensor(source, values):
    """The spikes of a source as a Tensor of one of the shapes that are allowed."""
    name = f"inputs of {source.name!r}"
    if isinstance(values, SpikeData):
        return torch.from_numpy(padded_pairs(source, values))
    if are_pairs(values):
        pairs = [
            tuple(_detached(part, name) for part in pair) if isinstance(pair, (tuple, list)) else pair
            for pair in values
        ]
        return torch.from_numpy(padded_pairs(source, pairs))
    if isinstance(values, (list, tuple)) and values and all(isinstance(row, torch.Tensor) for row in values):
        try:
            values = torch.stack(list(values))
        except RuntimeError as error:
            raise ParameterError(f"{name} must have Tensors of one shape: {shown(error)}") from None
    if not isinstance(values, torch.Tensor):
        return torch.from_numpy(input_array(source, values))
    if values.layout != torch.strided:
        raise ParameterError(f"{name} must be a dense Tensor (tensor.to_dense()), got {values.layout}")
    if values.is_complex() or values.dtype == torch.bool:
        if values.dim() == 3:
            check_no_raster(values.numpy(force=True), name)
        raise ParameterError(f"{name} must be times in ms, real numbers, got {values.dtype}")
    check_shape(source, values.shape)
    return values


def _detached(values, name):
    """What may be a Tensor, for NumPy."""
    if not isinstance(values, torch.Tensor):
        return values
    if values.requires_grad:
        raise ParameterError(
            f"{name}: pairs (times, ids) take no part in autograd: give a Tensor of shape (samples, n, m), inf for no "
            "spike, or times.detach()"
        )
    return values.numpy(force=True)


class _Run(torch.autograd.Function):
    """One batch: forward by the engine, backward by its adjoint."""

    @staticmethod
    def forward(ctx, module, *tensors):
        values = [t.detach().numpy().copy() for t in tensors]
        ctx.module, ctx.values = module, values
        ctx.result = _run(module, values, any(ctx.needs_input_grad))
        return _outputs(module, ctx.result)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_times, by_V):
        result = ctx.result
        if not result.has_gradients:
            # Weights were changed in between, or this is a second time: the run is repeated, the same bit for bit.
            result = _run(ctx.module, ctx.values, True)
        return None, *_gradients(ctx.module, result, by_times.numpy(), by_V.numpy())


class _Transformed(torch.autograd.Function):
    """The same for torch.func, which wants the backward pass as a function of its own; no tapes are kept."""

    @staticmethod
    def forward(module, *tensors):
        return _outputs(module, _run(module, [t.detach().numpy() for t in tensors], False))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.module, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, by_times, by_V):
        return None, *_TransformedBack.apply(ctx.module, by_times, by_V, *ctx.saved_tensors)

    @staticmethod
    def vmap(info, in_dims, module, *tensors):
        return _one_by_one(_Transformed, info, in_dims, module, tensors)


class _TransformedBack(torch.autograd.Function):
    """The backward pass of that."""

    @staticmethod
    def forward(module, by_times, by_V, *tensors):
        result = _run(module, [t.detach().numpy() for t in tensors], True)
        return tuple(_gradients(module, result, by_times.detach().numpy(), by_V.detach().numpy()))

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *gradients):
        _no_second(ctx, *gradients)

    @staticmethod
    def vmap(info, in_dims, module, *tensors):
        return _one_by_one(_TransformedBack, info, in_dims, module, tensors)


def _one_by_one(function, info, in_dims, module, tensors):
    """A function for each entry of the axis that torch.func.vmap puts before others; its outputs, and their axes."""
    done = []
    for k in range(info.batch_size):
        parts = (t if dim is None else t.select(dim, k) for t, dim in zip(tensors, in_dims[1:], strict=True))
        done.append(function.apply(module, *parts))
    outputs = tuple(torch.stack(parts) for parts in zip(*done, strict=True))
    return outputs, (0,) * len(outputs)


def _no_second(ctx, *gradients):
    raise NotImplementedError("sparseprop.torch has no derivatives of derivatives")


# The same as operators, of which torch.compile knows nothing but the shapes.


@torch.library.custom_op("sparseprop::run", mutates_args=())
def _run_op(module: int, tensors: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return _Transformed.forward(_modules[module], *tensors)


@_run_op.register_fake
def _(module, tensors):
    found, n_samples = _modules[module], tensors[0].shape[0]
    n, n_times = len(found.output_ids), 0 if found._record is None else len(found._record.V_times)
    return (
        tensors[0].new_empty((n_samples, n, found.n_spikes)),
        tensors[0].new_empty((n_samples, n_times, n if n_times else 0)),
    )


@torch.library.custom_op("sparseprop::run_back", mutates_args=())
def _back_op(
    module: int, by_times: torch.Tensor, by_V: torch.Tensor, tensors: list[torch.Tensor]
) -> list[torch.Tensor]:
    return list(_TransformedBack.forward(_modules[module], by_times, by_V, *tensors))


@_back_op.register_fake
def _(module, by_times, by_V, tensors):
    return [t.new_empty(t.shape) for t in tensors]


def _keep(ctx, inputs, output):
    ctx.module, tensors = inputs
    ctx.save_for_backward(*tensors)


def _back(ctx, by_times, by_V):
    return None, torch.ops.sparseprop.run_back(ctx.module, by_times, by_V, list(ctx.saved_tensors))


_run_op.register_autograd(_back, setup_context=_keep)
_back_op.register_autograd(_no_second)


def _outputs(module, result):
    """Spike times and V as Tensors."""
    times, _ = _first_spikes(result, module.outputs, module.n_spikes)
    V = result.V
    if module._record is not None:
        V = V[:, :, np.searchsorted(result.V_ids, module.output_ids)]
    return torch.from_numpy(times), torch.from_numpy(np.ascontiguousarray(V))


def _gradients(module, result, by_times, by_V):
    """By all inputs and Parameters, from those by the outputs."""
    _, where = _first_spikes(result, module.outputs, module.n_spikes)
    dL_dtimes = np.zeros(result.n_spikes)
    there = where >= 0
    # What is made of inf (a softmax, say) may have no derivative there; nothing depends on it.
    dL_dtimes[where[there]] = by_times[there]
    dL_dV = None
    if module._record is not None:
        dL_dV = np.zeros(result.V.shape)
        dL_dV[:, :, np.searchsorted(result.V_ids, module.output_ids)] = by_V
    grads = result.backward(dL_dtimes, dL_dV, tau_m=False)
    values = [
        *(grads.input_times[p.name] for p in module.simulation.sources),
        *(grads.weight[k] for k in module._numbers),
        *(grads.delay[k] for k in module._delayed),
    ]
    return [torch.from_numpy(np.ascontiguousarray(value)) for value in values]


def _run(module, values, tape):
    """A run with these values of all inputs, weights and delays."""
    names = [p.name for p in module.simulation.sources]
    n = len(names) + len(module.projections)
    inputs, weights, delays = values[: len(names)], values[len(names) : n], values[n:]
    for p, weight in zip(module.projections, weights, strict=True):
        _give(p, "weight", weight)
    for k, delay in zip(module._delayed, delays, strict=True):
        _give(module.network.projections[k], "delay", delay)
    given = dict(zip(names, inputs, strict=True))
    return module.simulation.run(given, module.duration, record=module._record, tape=tape)


def _give(projection, name, values):
    # What is as it was stays the same object: tapes of earlier runs remain of use, and delays need no sorting.
    if not np.array_equal(np.broadcast_to(getattr(projection, name), values.shape), values):
        setattr(projection, name, values)


def _first_spikes(result, populations, n_spikes):
    """Times of the first spikes of neurons, (samples, neurons, n_spikes), and where they are in result.times."""
    times, where = [], []
    for p in populations:
        found = result.spike_table(p, n_spikes)
        times.append(found[0])
        where.append(found[1])
    return np.concatenate(times, axis=1), np.concatenate(where, axis=1)


@named_arguments
class Optimizer(optimizers.Optimizer):
    """An optimiser of PyTorch for :class:`sparseprop.training.Trainer`.

    Each array of weights or delays has one of its own, whose Parameter and gradient share their memory with the arrays
    of numpy: nothing is copied but what becomes the new weights.

    Parameters
    ----------
    kind : type
        A class of torch.optim, whose ``step()`` needs no closure.
    **settings
        Of it; `lr` may also be a function of the number of an epoch (0, 1, ...).

    Raises
    ------
    ParameterError
        For something else than such a class, and settings that it does not take.

    Notes
    -----
    Steps are computed by torch, whose bits may differ from one processor to another, where ours do not. Those that look
    at all parameters at once (the norm of all gradients, say) see one array.

    Examples
    --------
    >>> import sparseprop as sp, sparseprop.torch, torch
    >>> from sparseprop import training
    >>> values, labels = training.yin_yang(200, seed=1)
    >>> net = training.layered_network([5, 30, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> optimizer = sparseprop.torch.Optimizer(torch.optim.NAdam, lr=5e-3)
    >>> loss = training.FirstSpikeCrossEntropy()
    >>> trainer = training.Trainer(net, loss, duration=50.0, optimizer=optimizer, n_threads=1)
    >>> history = trainer.fit(training.latencies(values, bias=0.0), labels, epochs=3)
    >>> bool(history["loss"][2] < history["loss"][0])
    True
    """

    def __init__(self, kind: type[torch.optim.Optimizer], **settings: Any) -> None:
        if not isinstance(kind, type) or not issubclass(kind, torch.optim.Optimizer):
            raise ParameterError(f"kind must be a class of torch.optim, such as torch.optim.SGD, got {shown(kind)}")
        self.kind, self.settings = kind, settings
        self._lr = settings["lr"] if callable(settings.get("lr")) else None
        self._of: dict[str, Any] = {}
        self._saved: dict[str, Any] = {}
        self._rate = self._make(torch.zeros(1, dtype=torch.float64, requires_grad=True)).defaults.get(
            "lr", float("nan")
        )

    def __repr__(self) -> str:
        settings = "".join(f", {key}={value!r}" for key, value in self.settings.items())
        return f"Optimizer({self.kind.__name__}{settings})"

    def _make(self, parameter):
        settings = self.settings if self._lr is None else self.settings | {"lr": self._lr(0)}
        try:
            return self.kind([parameter], **settings)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"settings of torch.optim.{self.kind.__name__}: {error}") from None

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch."""
        return float(self._rate if self._lr is None else self._lr(epoch))

    def update(self, name: str, values: Floats, gradient: Floats, *, epoch: int = 0, scale: float = 1.0) -> Floats:
        """`values` after a step, a new array; see :meth:`sparseprop.training.Optimizer.update`."""
        values = np.array(values, np.float64)  # torch steps in place, and weights of earlier steps may be in use
        gradient = np.require(gradient, np.float64, ["C", "W"])
        if name not in self._of:
            parameter = torch.nn.Parameter(torch.from_numpy(values))
            self._of[name] = parameter, self._make(parameter)
            if name in self._saved:
                self._load(name, self._saved.pop(name))
        parameter, optimizer = self._of[name]
        for group in optimizer.param_groups:
            group["lr"] = self.rate(epoch) * scale
        parameter.data, parameter.grad = torch.from_numpy(values), torch.from_numpy(gradient)
        optimizer.step()
        return values

    def to_dict(self) -> Description:
        """Its settings and all that it keeps of arrays."""
        settings = {
            key: optimizers.described(value) if callable(value) else value for key, value in self.settings.items()
        }
        kept = {name: optimizer.state_dict()["state"].get(0, {}) for name, (_, optimizer) in self._of.items()}
        state = {
            name: {key: value.numpy().copy() if isinstance(value, torch.Tensor) else value for key, value in of.items()}
            for name, of in kept.items()
        }
        return {"settings": {"kind": self.kind.__qualname__} | settings, "state": self._saved | state}

    def restore(self, d: Description) -> None:
        """Go on from what :meth:`to_dict` returned."""
        self._of, self._saved = {}, dict(d["state"])

    def _load(self, name, state):
        # Not by load_state_dict, which makes numbers of the Parameter's type of all that is kept.
        parameter, optimizer = self._of[name]
        optimizer.state[parameter] = {
            key: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
            for key, value in state.items()
        }
