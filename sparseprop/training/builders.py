"""Networks to train: layers, and sparse recurrent ones, with weights to begin with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from .. import _validation, connectivity, inputs
from ..connectivity import Purpose, random_key
from ..connectivity._wiring import synapse_values
from ..errors import ParameterError, named_arguments, shown
from ..models import NeuronModel, names_of
from ..network import Network
from .readout import leaky_readout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..connectivity.distributions import Distribution
    from ..models import NeuronModel

__all__ = ["layered_network", "recurrent_network"]


def _model_of_layers(model):
    """A model of one number for each parameter that says what weights to begin with."""
    if not isinstance(model, NeuronModel):
        raise ParameterError(
            f"model must be one of neurons, such as sp.LIFExp(tau_m=20.0, tau_syn=5.0), got {shown(model)}"
        )
    if not model.has_gain:
        raise ParameterError(
            f"model must be a {names_of(lambda model: model.has_gain)}, got {type(model).__name__}, for which there "
            "are no weights to begin with: build the network with net.add(n, model) and net.connect(pre, post, "
            "sp.all_to_all(), weight=...)"
        )
    if model.distributions:
        raise ParameterError(f"model must have one number for each parameter, got {shown(model)}")
    if model.size is not None:
        raise ParameterError(f"model must have one number for each parameter, got arrays for {model.size} neurons")
    return model


def _deviation(value, name):
    return _validation.real(value, name, "a number >= 0", low=0.0)


def _per_layer(values, name, n, check=_validation.real):
    if values is None:
        return [None] * n
    if not _validation.is_array(values):
        return [check(values, name)] * n
    if len(values) != n:
        raise ParameterError(
            f"{name} must be one number, or one for each of the {n} layers of synapses, got {shown(values)}"
        )
    return [check(value, f"{name}[{k}]") for k, value in enumerate(values)]


# Where the tails of the normal distribution begin that numpy takes from the C library's logarithm, which is not the
# same everywhere (the ziggurat of Marsaglia and Tsang).
TAIL = 3.6541528853610088


class _Normal:
    """Normal numbers: those of numpy's generator, but for tails, which are drawn anew by our own functions."""

    def __init__(self, seed):
        self.generator, self.key, self.drawn = np.random.default_rng(seed), random_key([*seed, 1]), 0

    def draw(self, mean, std, n):
        """n of them."""
        numbers = self.generator.standard_normal(n)
        far = np.abs(numbers) >= TAIL
        offsets = np.array([0, far.sum()], np.int64)
        tails = synapse_values(self.key, Purpose.WEIGHT, self.drawn, offsets, "normal", 0.0, 1.0, TAIL, np.inf)
        numbers[far] = np.copysign(tails, numbers[far])
        self.drawn += 1
        return mean + std * numbers


def first_weights(model, n, shape, seed):
    """Weights to begin with of neurons that have n inputs from sources."""
    gain, distance = _model_of_layers(model).gain()
    mean, std = 1.2 * distance / (gain * n), 0.6 * distance / (gain * np.sqrt(n))
    return _Normal(seed).draw(mean, std, math.prod(shape)).reshape(shape)


@named_arguments
def layered_network(
    sizes: Sequence[int],
    model: NeuronModel | Sequence[NeuronModel],
    *,
    weight_mean: float | Sequence[float] | None = None,
    weight_std: float | Sequence[float] | None = None,
    delay: float | Distribution | Sequence[float | Distribution] = 0.0,
    V: float | None = None,
    readout: bool = False,
    seed: int | None = None,
) -> Network:
    """A feed-forward network, each layer connected to all of the next.

    Parameters
    ----------
    sizes : sequence of int
        Number of sources, of neurons in each hidden layer, and of outputs.
    model : LIF, LIFExp, QIF or Theta, or sequence of these
        Of all neurons, or one for each layer of neurons.
    weight_mean, weight_std : float or sequence, optional
        Of the normal distribution of weights, for each layer of synapses. By default such that some of the hidden
        neurons fire in answer to one spike of each source: in units of what takes a neuron from rest to threshold, the
        responses to n inputs add up to 1.2 (outputs of hidden layers, few of which are active at a time: 4), and have a
        standard deviation of 0.6.
    delay : float, distribution or sequence of these
        ms; one for each layer of synapses if it is a sequence. Delays that are to be trained are one per synapse:
        ``sp.uniform(...)``.
    V : float, optional
        At the beginning of each trial; default: the resting potential, for QIF and theta neurons that oscillate 0.
    readout : bool
        Whether outputs are leaky integrators, which never fire (:func:`leaky_readout`), for losses on their potentials:
        :class:`MembraneCrossEntropy`. Weights are by default those of outputs that fire, of this model.
    seed : int, optional
        Of the weights; see :class:`Network`.

    Returns
    -------
    Network
        With the populations "input" (a :class:`SpikeSource`), "hidden" ("hidden_1", "hidden_2"... if there are
        several), and "output".

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([5, 120, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> [p.n for p in net.populations], net.n_synapses
    ([5, 120, 3], 960)

    Outputs that are read:

    >>> values, labels = training.yin_yang(150, seed=1)
    >>> net = training.layered_network([5, 30, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), readout=True, seed=1)
    >>> loss = training.MembraneCrossEntropy(times=[20.0, 30.0, 40.0])
    >>> trainer = training.Trainer(net, loss, duration=40.0, n_threads=1)
    >>> history = trainer.fit(training.latencies(values, bias=0.0), labels, epochs=3)
    >>> bool(history["loss"][2] < history["loss"][0]), trainer.run([[0.0] * 5]).spike_counts("output").sum().item()
    (True, 0)
    """
    if not _validation.is_array(sizes) or len(sizes) < 2:
        raise ParameterError(f"sizes must be at least two numbers, of sources and of outputs, got {shown(sizes)}")
    sizes = _validation.without_unit(sizes, "sizes")
    sizes = [_validation.integer(n, f"sizes[{k}]", "a whole number >= 1", low=1) for k, n in enumerate(sizes)]
    layers = len(sizes) - 1
    models = [_model_of_layers(m) for m in (model if isinstance(model, (list, tuple)) else [model] * layers)]
    if len(models) != layers:
        raise ParameterError(
            f"model must be one, or one for each of the {layers} layers of neurons, got {shown(model)}"
        )
    means = _per_layer(weight_mean, "weight_mean", layers)
    stds = _per_layer(weight_std, "weight_std", layers, _deviation)
    if _validation.flag(readout, "readout"):
        outputs = leaky_readout(models[-1])
    delays: list[Any] = list(cast("Any", delay)) if _validation.is_array(delay) else [delay] * layers
    if len(delays) != layers:
        raise ParameterError(
            f"delay must be one, or one for each of the {layers} layers of synapses, got {shown(delay)}"
        )
    net = Network(seed=seed)
    before = net.add(sizes[0], inputs.SpikeSource([], []), name="input")
    for k, n in enumerate(sizes[1:]):
        name = "output" if k == layers - 1 else "hidden" if layers == 2 else f"hidden_{k + 1}"
        own = outputs if readout and k == layers - 1 else models[k]
        layer = net.add(n, own, name=name, V=own.starting_voltage() if V is None else V)
        gain, distance = models[k].gain()
        mean = (1.2 if k == 0 else 4.0) * distance / (gain * before.n) if means[k] is None else means[k]
        std = 0.6 * distance / (gain * np.sqrt(before.n)) if stds[k] is None else stds[k]
        # Seeds of weights are apart from those of what the network itself draws.
        weights = _Normal([net.seed, 1, k]).draw(mean, std, n * before.n).reshape(n, before.n)
        sources, targets = np.divmod(np.arange(n * before.n), n)
        net.connect(before, layer, connectivity.all_to_all(), weight=weights[targets, sources], delay=delays[k])
        before = layer
    return net


@named_arguments
def recurrent_network(
    n_inputs: int,
    n: int,
    model: NeuronModel,
    *,
    indegree: int,
    input_indegree: int | None = None,
    weight_std: float | None = None,
    input_mean: float | None = None,
    input_std: float | None = None,
    delay: float | Distribution = 1.0,
    V: float | None = None,
    seed: int | None = None,
) -> Network:
    """A sparse recurrent network that is driven by sources.

    Parameters
    ----------
    n_inputs, n : int
        Number of sources, and of neurons.
    model : LIF, LIFExp, QIF or Theta
    indegree : int
        Synapses from within the network for each neuron.
    input_indegree : int, optional
        Synapses from sources for each neuron; default: all.
    weight_std : float, optional
        Of recurrent weights, whose mean is 0. Default: the responses of all inputs at once have a standard deviation of
        0.5 of the distance from rest to threshold.
    input_mean, input_std : float, optional
        Of weights of sources. Default: responses add up to 1.2, with a standard deviation of 0.6, in these units.
    delay : float, distribution
        ms, of recurrent synapses.
    V, seed
        As in :func:`layered_network`.

    Returns
    -------
    Network
        With the populations "input" and "recurrent".

    Raises
    ------
    ParameterError, ConnectivityError
        For values that are not allowed.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.recurrent_network(20, 100, sp.Theta(tau_m=10.0, I_e=0.2), indegree=10, seed=1)
    >>> [(p.name, p.n) for p in net.populations], [p.n_synapses for p in net.projections]
    ([('input', 20), ('recurrent', 100)], [2000, 1000])
    """
    model = _model_of_layers(model)
    net = Network(seed=seed)
    source = net.add(n_inputs, inputs.SpikeSource([], []), name="input")
    neurons = net.add(n, model, name="recurrent", V=model.starting_voltage() if V is None else V)
    gain, distance = model.gain()
    fan_in = source.n if input_indegree is None else input_indegree
    from_input = net.connect(source, neurons, connectivity.fixed_indegree(fan_in), weight=0.0)
    within = net.connect(neurons, neurons, connectivity.fixed_indegree(indegree), weight=0.0, delay=delay)
    n_in, n_within = max(fan_in, 1), max(indegree, 1)  # without synapses there are no weights to scale
    mean = 1.2 * distance / (gain * n_in) if input_mean is None else _validation.real(input_mean, "input_mean")
    std = 0.6 * distance / (gain * np.sqrt(n_in)) if input_std is None else _deviation(input_std, "input_std")
    draws = _Normal([net.seed, 1])
    from_input.weight = draws.draw(mean, std, from_input.n_synapses)
    std = 0.5 * distance / (gain * np.sqrt(n_within)) if weight_std is None else _deviation(weight_std, "weight_std")
    within.weight = draws.draw(0.0, std, within.n_synapses)
    return net
