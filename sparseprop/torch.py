"""Spiking networks as modules of PyTorch: ``sparseprop.torch.SpikingNetwork``. Only this module imports torch.

Everything is float64 on the CPU; the gradients are the exact ones of :meth:`sparseprop.BatchResult.backward`.
"""

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError('sparseprop.torch needs PyTorch: run `pip install "sparseprop-sim[torch]"`') from error

from . import _validation
from .batch import BatchSimulation
from .connectivity import ProceduralAdjacency
from .errors import ParameterError, shown, unknown_name
from .network import Network, Population
from .recording import Record

__all__ = ["SpikingNetwork"]


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
    >>> import sparseprop as sp, torch  # doctest: +SKIP
    >>> from sparseprop.torch import SpikingNetwork  # doctest: +SKIP
    >>> net = sp.training.layered_network([5, 120, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)  # doctest: +SKIP
    >>> module = SpikingNetwork(net, duration=50.0)  # doctest: +SKIP
    >>> t = module(torch.rand(32, 5, dtype=torch.float64) * 30.0)  # doctest: +SKIP
    >>> torch.nn.functional.cross_entropy(-t / 0.5, torch.zeros(32, dtype=int)).backward()  # doctest: +SKIP
    """

    def __init__(
        self, net, duration, *, outputs=None, n_spikes=1, V_times=None, train_delays=False, min_delay=0.0,
        n_threads=None,
    ):  # fmt: skip
        super().__init__()
        if not isinstance(net, Network):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
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
        names = [getattr(name, "name", name) for name in outputs]
        for name in names:
            if name not in neurons:
                raise unknown_name("population", name, neurons)
        self.outputs = [neurons[name] for name in names]
        self.output_ids = np.concatenate([np.arange(p.first, p.first + p.n) for p in self.outputs])
        if len(np.unique(self.output_ids)) < len(self.output_ids):
            raise ParameterError(f"outputs must be different populations, got {shown(names)}")
        self._record = None
        if V_times is not None:
            times = np.atleast_1d(_validation.real_array(np.atleast_1d(V_times), "V_times", low=0.0))
            if (times > self.duration).any() or (np.diff(times) <= 0.0).any():
                raise ParameterError(
                    f"V_times must be ascending, and at most the duration, {self.duration} ms, got {shown(times)}"
                )
            self._record = Record(V=np.sort(self.output_ids), V_times=times)
        self.projections = [p for p in net.projections if not isinstance(p.adjacency, ProceduralAdjacency)]
        numbers = {id(p): k for k, p in enumerate(net.projections)}
        self._numbers = [numbers[id(p)] for p in self.projections]
        self.weights = torch.nn.ParameterList(
            torch.tensor(np.array(np.broadcast_to(p.weight, (p.n_synapses,)), dtype=float)) for p in self.projections
        )
        delayed = [k for k, p in enumerate(net.projections) if isinstance(p.delay, np.ndarray)]
        self._delayed = delayed if _validation.flag(train_delays, "train_delays") else []
        if train_delays and not delayed:
            raise ParameterError(
                "train_delays needs projections with one delay for each synapse: connect with delay=sp.uniform(low, "
                "high), or an array"
            )
        self.delays = torch.nn.ParameterList(
            torch.tensor(np.maximum(net.projections[k].delay, self.min_delay)) for k in self._delayed
        )
        self.simulation = BatchSimulation(net, n_threads=n_threads)

    def extra_repr(self):
        return f"{self.network!r}, duration={self.duration:g}"

    def forward(self, inputs):
        """Run a batch.

        Parameters
        ----------
        inputs : Tensor or dict
            Spike times in ms of the sources, float64, of shape (samples, n) or (samples, n, m), inf for none; a
            dictionary by name if there are several sources. They take part in autograd.

        Returns
        -------
        times : Tensor of shape (samples, neurons), or (samples, neurons, n_spikes) if `n_spikes` is more than 1
            ms; inf where there is no spike, without a gradient.
        V : Tensor of shape (samples, times, neurons)
            Only with `V_times`: (times, V) is returned.
        """
        named = inputs if isinstance(inputs, dict) else None
        tensors = list(inputs.values()) if named is not None else [inputs]
        if not all(isinstance(t, torch.Tensor) for t in tensors):
            raise ParameterError(f"inputs must be a Tensor, or a dictionary of them by source, got {shown(inputs)}")
        for what, group in (("inputs", tensors), ("weights and delays", [*self.weights, *self.delays])):
            for t in group:
                if t.dtype != torch.float64 or t.device.type != "cpu":
                    raise ParameterError(f"{what} must be float64 on the CPU, got {t.dtype} on {t.device}")
        if self._delayed:
            with torch.no_grad():
                for delay in self.delays:
                    delay.clamp_(min=self.min_delay)
        names = None if named is None else list(named)
        times, V = _Run.apply(self, names, len(tensors), *tensors, *self.weights, *self.delays)
        times = times[:, :, 0] if self.n_spikes == 1 else times
        return times if self._record is None else (times, V)


class _Run(torch.autograd.Function):
    """One batch: forward by the engine, backward by its adjoint."""

    @staticmethod
    def forward(ctx, module, names, n_inputs, *tensors):
        values = [t.detach().numpy().copy() for t in tensors]
        ctx.module, ctx.names = module, names
        ctx.values = values[:n_inputs], values[n_inputs:]
        result = _run(module, names, *ctx.values, any(ctx.needs_input_grad))
        times, where = _first_spikes(result, module.outputs, module.n_spikes)
        V = result.V
        if module._record is not None:
            V = V[:, :, np.searchsorted(result.V_ids, module.output_ids)]
        ctx.result, ctx.where = result, where
        return torch.from_numpy(times), torch.from_numpy(np.ascontiguousarray(V))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_times, by_V):
        module, result, where = ctx.module, ctx.result, ctx.where
        if not result.has_gradients:
            # Weights were changed in between, or this is a second time: the run is repeated, the same bit for bit.
            result = _run(module, ctx.names, *ctx.values, True)
        dL_dtimes = np.zeros(result.n_spikes)
        there = where >= 0
        # What is made of inf (a softmax, say) may have no derivative there; nothing depends on it.
        dL_dtimes[where[there]] = by_times.numpy()[there]
        dL_dV = None
        if module._record is not None:
            dL_dV = np.zeros(result.V.shape)
            dL_dV[:, :, np.searchsorted(result.V_ids, module.output_ids)] = by_V.numpy()
        grads = result.backward(dL_dtimes, dL_dV, tau_m=False)
        sources = list(grads.input_times.values()) if ctx.names is None else [grads.input_times[k] for k in ctx.names]
        values = [
            *sources,
            *(grads.weight[k] for k in module._numbers),
            *(grads.delay[k] for k in module._delayed),
        ]
        return None, None, None, *(torch.from_numpy(np.ascontiguousarray(value)) for value in values)


def _run(module, names, inputs, parameters, tape):
    """A run with these values of all Parameters."""
    n = len(module.projections)
    for p, weight in zip(module.projections, parameters[:n], strict=True):
        _give(p, "weight", weight)
    for k, delay in zip(module._delayed, parameters[n:], strict=True):
        _give(module.network.projections[k], "delay", delay)
    given = inputs[0] if names is None else dict(zip(names, inputs, strict=True))
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
