"""Losses on spike times and membrane potentials of a batch, and their exact derivatives.

A loss is called with a :class:`sparseprop.BatchResult` and the targets of its samples and returns an
:class:`Evaluation`; all values are means over the samples of the batch. ``readings(net, duration)`` tells which
membrane potentials have to be recorded for it. Anything with these two can be given to a :class:`Trainer`, also a
function, for which nothing is recorded but spikes; :class:`FunctionLoss` is a function with recorded potentials.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _validation
from ..batch import BatchResult, check_no_raster
from ..errors import ParameterError, named_arguments, shown, unknown_name
from ..models import names_of
from ..numerics._functions import exp_many, log_many
from ..numerics.bins import are_beyond
from ..numerics.trains import exponential_products
from . import _step
from .pseudospikes import Pseudospikes, check_net

if TYPE_CHECKING:
    from typing import Literal

    from .._types import ArrayLike, Description, Floats, Ints, LossFunction, PopulationName, Recorded
    from ..network import Network

__all__ = [
    "Evaluation",
    "FirstSpikeCrossEntropy",
    "FunctionLoss",
    "Loss",
    "MembraneCrossEntropy",
    "PeakMargin",
    "SpikeCountCrossEntropy",
    "SpikeCountPenalty",
    "SpikeTimeError",
    "VanRossumDistance",
]


@named_arguments
@dataclass
class Evaluation:
    """What a loss says of a batch.

    Attributes
    ----------
    value : float
        Mean over samples.
    dL_dtimes : ndarray of shape (n_spikes,), or None
        The derivative for each of the batch's `times`.
    dL_dV : ndarray of the shape of V, or None
        The derivative for each of the recorded membrane potentials.
    dL_dweight : dict
        By number of a projection: what weights do to the loss other than by the run. Only pseudospikes have it.
    predictions : ndarray of int of shape (samples,), or None
        The class that each sample is taken for; -1 if for none: if no output fires, or several share the first place.
    error : float or None
        What is easier to read than `value`, such as the mean error of spike times in ms.

    Examples
    --------
    >>> from sparseprop import training
    >>> training.Evaluation(0.5, dL_dtimes=[0.1, -0.1]).value
    0.5
    """

    value: float
    dL_dtimes: Recorded = None
    dL_dV: Recorded = None
    dL_dweight: dict[int, Any] = field(default_factory=dict)
    predictions: Ints | None = None
    error: float | None = None

    def add(self, other: Evaluation) -> None:
        """Add the value and the derivatives of another loss of the same batch."""
        self.value += other.value
        for name in ("dL_dtimes", "dL_dV"):
            mine, more = getattr(self, name), getattr(other, name)
            setattr(self, name, more if mine is None else mine if more is None else mine + more)
        for k, values in other.dL_dweight.items():
            self.dL_dweight[k] = self.dL_dweight.get(k, 0.0) + values


@named_arguments
class Loss:
    """What all losses share: the population that they look at, and no recorded potentials unless they say so.

    Examples
    --------
    >>> from sparseprop import training
    >>> loss = training.SpikeTimeError("output")
    >>> isinstance(loss, training.Loss), loss.population
    (True, 'output')
    """

    population: str
    pseudospikes: bool

    def __init__(self, population: PopulationName, pseudospikes: bool = False) -> None:
        name: Any = getattr(population, "name", population)
        if not isinstance(name, str):
            raise ParameterError(f"population must be one of the network, or its name, got {shown(population)}")
        self.population = name
        self.pseudospikes = _validation.flag(pseudospikes, "pseudospikes")
        self._pseudospikes = None

    def _of(self, net):
        """The population in a network."""
        check_net(net)
        found = {p.name: p for p in net.populations if not p.is_source}
        if self.population not in found:
            raise unknown_name("population", self.population, found)
        return found[self.population]

    def to_dict(self) -> Description:
        """Its name and settings, by which :meth:`Trainer.resume` knows it: all public attributes."""
        return {"name": type(self).__name__} | {k: value for k, value in vars(self).items() if not k.startswith("_")}

    def __repr__(self) -> str:
        settings = (f"{key}={shown(value)}" for key, value in self.to_dict().items() if key != "name")
        return f"{type(self).__name__}({', '.join(settings)})"

    def readings(self, net: Network, duration: float) -> tuple[Ints, Floats]:
        """Global ids of the neurons whose V is needed, and when (ms)."""
        self._of(net)
        if not self.pseudospikes:
            return np.zeros(0, np.int64), np.zeros(0)
        return self._pseudo(net).ids, np.array([float(duration)])

    def _pseudo(self, net):
        if self._pseudospikes is None or self._pseudospikes.network is not net:
            self._pseudospikes = Pseudospikes(net, self.population)
        return self._pseudospikes

    def _labels(self, targets, result, n):
        labels = _validation.index_array(targets, "labels", n)
        if len(labels) != result.n_samples:
            raise ParameterError(f"labels must be one for each of the {result.n_samples} samples, got {len(labels)}")
        return labels


def check_result(result):
    if not isinstance(result, BatchResult):
        raise ParameterError(
            "a loss is called with the BatchResult of sp.run_batch, BatchSimulation.run or Trainer.run, and targets, "
            f"got {shown(result)}"
        )


def _positive(value, name, unit=None):
    allowed = "a number > 0" if unit is None else f"a number > 0 {unit}"
    return _validation.real(value, name, allowed, unit=unit, low=0.0, low_open=True)


def _cross_entropy(logits, labels):
    """(-log softmax of the label of each sample, its derivative by logits)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = exp_many(shifted)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    rows = np.arange(len(labels))
    value = log_many(total[:, 0]) - shifted[rows, labels]
    p[rows, labels] -= 1.0
    return value, p


def _winners(scores):
    """The class with the highest score of each sample; -1 where several share it, as those of silent outputs do."""
    best = scores.max(axis=1, keepdims=True)
    return np.where((scores == best).sum(axis=1) == 1, scores.argmax(axis=1), -1)


def _mean(values):
    return float(np.add.reduce(values)) / len(values) if len(values) else 0.0


@named_arguments
class FunctionLoss(Loss):
    """A function as a loss, with the membrane potentials that it needs; without such, give the function itself.

    Parameters
    ----------
    function : callable
        ``function(result, targets)`` returns an :class:`Evaluation`. ``result.V`` of shape (samples, times, neurons)
        has the potentials of the neurons ``result.V_ids`` at ``result.V_times``; where other losses or penalties record
        too, these are all of them.
    population : str or Population
        Whose V is recorded.
    V_times : array_like
        ms; when.

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> from sparseprop import training
    >>> def high_at_the_end(result, targets):
    ...     by_V = np.full(result.V.shape, -1.0 / result.V.size)
    ...     return training.Evaluation(-result.V.mean(), dL_dV=by_V)
    >>> loss = training.FunctionLoss(high_at_the_end, "output", V_times=[20.0])
    >>> net = training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0, V_th=100.0), seed=1)
    >>> trainer = training.Trainer(net, loss, duration=20.0, n_threads=1)
    >>> history = trainer.fit(np.zeros((4, 2)), np.zeros(4), epochs=2)
    >>> bool(history["loss"][1] < history["loss"][0])
    True
    """

    def __init__(self, function: LossFunction, population: PopulationName = "output", *, V_times: ArrayLike) -> None:
        super().__init__(population)
        if not callable(function) or isinstance(function, type):
            raise ParameterError(f"function must be a function of (result, targets), got {shown(function)}")
        self._function = function
        self.V_times = _reading_times(V_times, "V_times")

    def to_dict(self) -> Description:
        """As that of other losses, with the function's name."""
        return super().to_dict() | {"function": getattr(self._function, "__qualname__", type(self._function).__name__)}

    def readings(self, net: Network, duration: float) -> tuple[Ints, Floats]:
        p = self._of(net)
        return np.arange(p.first, p.first + p.n), _within(self.V_times, "V_times", duration)

    def __call__(self, result: BatchResult, targets: Any) -> Evaluation:
        return self._function(result, targets)


def _reading_times(times, name):
    times = _validation.real_array(
        times if _validation.is_array(times) else [times], name, "finite times >= 0 ms", unit="ms", low=0.0
    )
    if not len(times):
        raise ParameterError(f"{name} must be at least one, in ms, got none")
    return times


def _within(times, name, duration):
    duration = _validation.real(duration, "duration", "a finite time >= 0 ms", unit="ms", low=0.0)
    if are_beyond(times, duration).any():
        raise ParameterError(
            f"{name} must be at most the duration, {duration} ms, got {times.max()} ms; make the trial longer"
        )
    return times


@named_arguments
class FirstSpikeCrossEntropy(Loss):
    r"""Time to first spike: the output that fires first is the class.

    ``L = -log(exp(-t_l / tau) / sum_k exp(-t_k / tau)) + alpha (exp(t_l / tau_late) - 1)``, for the label l; the second
    term has outputs fire early.

    Parameters
    ----------
    population : str or Population
        Whose neurons are the classes.
    tau : float
        ms. How far apart first spikes should be.
    alpha, tau_late : float
        Weight and time constant (ms) of the second term.
    pseudospikes : bool
        Outputs that do not fire in the trial are taken to fire later; see :class:`Pseudospikes`. False: they are taken
        to fire at its end, where nothing pulls them back.

    References
    ----------
    Goeltz et al. (2021), Nat. Mach. Intell. 3:823, doi:10.1038/s42256-021-00388-x; Wunderlich and Pehle (2021), Sci.
    Rep. 11:12829, doi:10.1038/s41598-021-91786-z (the values that are the default).

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> loss = training.FirstSpikeCrossEntropy()
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=50.0, n_threads=1)
    >>> evaluation = loss(result, [0, 2])
    >>> evaluation.dL_dtimes.shape == result.times.shape, bool(evaluation.value > 0.0)
    (True, True)
    """

    def __init__(
        self,
        population: PopulationName = "output",
        *,
        tau: float = 0.5,
        alpha: float = 3e-3,
        tau_late: float = 6.4,
        pseudospikes: bool = False,
    ) -> None:
        super().__init__(population, pseudospikes)
        self.tau, self.tau_late = _positive(tau, "tau", "ms"), _positive(tau_late, "tau_late", "ms")
        self.alpha = _validation.real(alpha, "alpha", "a number >= 0", low=0.0)

    def __call__(self, result: BatchResult, targets: Any) -> Evaluation:
        check_result(result)
        t, where = result.first_spikes(self.population)
        labels = self._labels(targets, result, t.shape[1])
        silent = where < 0
        later = None
        if self.pseudospikes:
            later = self._pseudo(result._network)(result)
            t = np.where(silent, later.times(), t)
        else:
            t = np.where(silent, result.duration, t)
        value, by_t, predictions = _step.first_spike_cross_entropy(t, labels, self.tau, self.alpha, self.tau_late)
        if later is None:
            predictions[silent.all(axis=1)] = -1
        dL_dtimes = np.zeros(result.n_spikes)
        dL_dtimes[where[~silent]] = by_t[~silent]
        evaluation = Evaluation(_mean(value), dL_dtimes, predictions=predictions)
        if later is not None:
            evaluation.dL_dV, evaluation.dL_dweight = later.backward(by_times=np.where(silent, by_t, 0.0))
        return evaluation


class _Trains(Loss):
    """Spike trains of a population, or of some of its neurons."""

    def __init__(self, population: PopulationName, neurons: ArrayLike | None, pseudospikes: bool = False) -> None:
        super().__init__(population, pseudospikes)
        self.neurons = neurons
        if neurons is not None:
            self.neurons = _validation.index_array(neurons, "neurons", 2**31 - 1)
            given, counts = np.unique(self.neurons, return_counts=True)
            if (counts > 1).any():
                raise ParameterError(f"neurons must be different ones, got {given[counts > 1][0]} more than once")

    def readings(self, net: Network, duration: float) -> tuple[Ints, Floats]:
        self._local(self._of(net).n)
        return super().readings(net, duration)

    def _local(self, n):
        """Local ids of the neurons that targets are given for, of a population of n."""
        return np.arange(n) if self.neurons is None else _validation.index_array(self.neurons, "neurons", n)

    @staticmethod
    def _targets(targets, n_samples, n):
        """Target trains as (n_samples, n, m), ascending, inf for none."""
        wanted = f"spike times >= 0 ms of shape ({n_samples}, {n}) or ({n_samples}, {n}, m), inf for none"
        if not _validation.is_array(targets):
            raise ParameterError(f"targets must be {wanted}, got {shown(targets)}")
        targets = _validation.plain(targets, "targets", "ms").astype(float)
        check_no_raster(targets, "targets")
        if targets.ndim not in (2, 3) or targets.shape[:2] != (n_samples, n):
            raise ParameterError(f"targets must be {wanted}, got shape {targets.shape}")
        if not (targets >= 0.0).all():
            raise ParameterError(f"targets must be {wanted}, got {targets[~(targets >= 0.0)][0]}")
        return np.sort(targets if targets.ndim == 3 else targets[:, :, None], axis=2)


@named_arguments
class SpikeTimeError(_Trains):
    """How far the spikes of each neuron are from prescribed ones: the k-th from the k-th.

    ``L = 1/2 sum ((t_k - target_k) / unit)^2``, over the number of target spikes of a sample. A missing spike counts as
    one at the end of the trial, where nothing pulls it back, unless there are pseudospikes. Surplus spikes count
    nothing: :class:`VanRossumDistance` counts them.

    Parameters
    ----------
    population : str or Population
    unit : float
        ms.
    neurons : array_like of int, optional
        Local ids of those that targets are given for, each once; default: all.
    pseudospikes : bool
        See :class:`Pseudospikes`.

    Notes
    -----
    Targets are times in ms of shape (samples, n) or (samples, n, m), inf for none. `error` is the mean of
    ``|t_k - target_k|`` in ms.

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> loss = training.SpikeTimeError()
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=50.0, n_threads=1)
    >>> targets = np.full((2, 3, 1), 20.0)  # (samples, outputs, spikes): one at 20 ms
    >>> evaluation = loss(result, targets)
    >>> evaluation.dL_dtimes.shape == result.times.shape, bool(evaluation.value > 0.0)
    (True, True)
    """

    def __init__(
        self,
        population: PopulationName = "output",
        *,
        unit: float = 1.0,
        neurons: ArrayLike | None = None,
        pseudospikes: bool = False,
    ) -> None:
        super().__init__(population, neurons, pseudospikes)
        self.unit = _positive(unit, "unit", "ms")

    def __call__(self, result: BatchResult, targets: Any) -> Evaluation:
        check_result(result)
        counts = result.spike_counts(self.population)
        ids = self._local(counts.shape[1])
        wanted = self._targets(targets, len(counts), len(ids))
        found, at = (table[:, ids] for table in result.spike_table(self.population, wanted.shape[2]))
        is_wanted = np.isfinite(wanted)
        missing = is_wanted & (at < 0)
        later = None
        if self.pseudospikes:
            later = self._pseudo(result._network)(result)
            which = np.arange(wanted.shape[2]) - counts[:, ids, None]  # the how manieth pseudospike
            t = np.where(at < 0, later.times(np.maximum(which, 0), ids), found)
        else:
            t = np.where(at < 0, result.duration, found)
        distance = np.where(is_wanted, t - np.where(is_wanted, wanted, 0.0), 0.0)
        number = np.maximum(is_wanted.sum(axis=(1, 2)), 1)[:, None, None]
        by_t = distance / (self.unit * self.unit * number * max(len(wanted), 1))
        value = 0.5 * ((distance / self.unit) ** 2 / number).sum(axis=(1, 2))
        dL_dtimes = np.zeros(result.n_spikes)
        there = is_wanted & ~missing
        dL_dtimes[at[there]] = by_t[there]
        error = float(np.abs(distance).sum() / max(is_wanted.sum(), 1))
        evaluation = Evaluation(_mean(value), dL_dtimes, error=error)
        if later is not None:
            by_later = np.zeros(counts.shape)
            by_later[:, ids] = np.where(missing, by_t, 0.0).sum(axis=2)
            evaluation.dL_dV, evaluation.dL_dweight = later.backward(by_times=by_later)
        return evaluation


@named_arguments
class VanRossumDistance(_Trains):
    """The distance of each neuron's spike train from a prescribed one, both smoothed with a decaying exponential.

    ``L = 1/tau integral (f - g)^2 dt`` with ``f(t) = sum_k exp(-(t - t_k) / tau)`` after each spike, summed over
    neurons. A spike too many or too few counts 1/2. It is smooth in all spike times; its derivative neither makes
    spikes nor removes them.

    Parameters
    ----------
    population : str or Population
    tau : float
        ms.
    neurons : array_like of int, optional
        Local ids of those that targets are given for, each once; default: all.

    References
    ----------
    van Rossum (2001), Neural Comput. 13:751, doi:10.1162/089976601300014321.

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> loss = training.VanRossumDistance()
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=50.0, n_threads=1)
    >>> targets = np.full((2, 3, 1), 20.0)  # (samples, outputs, spikes): one at 20 ms
    >>> evaluation = loss(result, targets)
    >>> evaluation.dL_dtimes.shape == result.times.shape, bool(evaluation.value > 0.0)
    (True, True)
    """

    def __init__(
        self, population: PopulationName = "output", *, tau: float = 10.0, neurons: ArrayLike | None = None
    ) -> None:
        super().__init__(population, neurons)
        self.tau = _positive(tau, "tau", "ms")

    def __call__(self, result: BatchResult, targets: Any) -> Evaluation:
        check_result(result)
        where, n, cells = result._of(self.population)
        ids = self._local(n)
        wanted = self._targets(targets, result.n_samples, len(ids))
        rows = np.full(n, -1)
        rows[ids] = np.arange(len(ids))
        mine = rows[cells % n] >= 0
        where, cells = where[mine], (cells[mine] // n) * len(ids) + rows[cells[mine] % n]
        sample, neuron, place = np.nonzero(np.isfinite(wanted))
        times = np.concatenate([result.times[where], wanted[sample, neuron, place]])
        cells = np.concatenate([cells, sample * len(ids) + neuron])
        signs = np.concatenate([np.ones(len(where)), np.full(len(sample), -1.0)])
        value, by_times = exponential_products(times, cells, signs, self.tau)
        value = np.bincount(cells // max(len(ids), 1), value, minlength=result.n_samples)
        dL_dtimes = np.zeros(result.n_spikes)
        dL_dtimes[where] = by_times[: len(where)] / max(result.n_samples, 1)
        return Evaluation(_mean(value), dL_dtimes)


class _Counts(Loss):
    """Smooth numbers of spikes of the neurons of a population.

    Each spike counts ``1 / (1 + exp((t - until) / edge))``: the number of spikes before `until` with an edge. With
    pseudospikes, each spike counts 1, and the part of the way to the next one that was covered at the end of the trial
    is added.
    """

    def __init__(self, population: PopulationName, until: float | None, edge: float, pseudospikes: bool) -> None:
        super().__init__(population, pseudospikes)
        self.until = None if until is None else _positive(until, "until", "ms")
        self.edge = _positive(edge, "edge", "ms")

    def _counts(self, result):
        """Counts of shape (samples, n), and a function from their derivative to an Evaluation's parts."""
        check_result(result)
        where, n, cells = result._of(self.population)
        shape = (result.n_samples, n)
        if self.pseudospikes:
            later = self._pseudo(result._network)(result)
            counts = np.bincount(cells, minlength=shape[0] * n).reshape(shape) + later.progress()

            def back(by_count):
                by_V, by_weight = later.backward(by_progress=by_count)
                return np.zeros(result.n_spikes), by_V, by_weight

            return counts, back
        until = result.duration if self.until is None else self.until
        x = np.clip((result.times[where] - until) / self.edge, -700.0, 700.0)
        each = 1.0 / (1.0 + exp_many(x))
        counts = np.bincount(cells, weights=each, minlength=shape[0] * n).reshape(shape)

        def back(by_count):
            by_times = np.zeros(result.n_spikes)
            by_times[where] = -by_count.ravel()[cells] * each * (1.0 - each) / self.edge
            return by_times, None, {}

        return counts, back


@named_arguments
class SpikeCountCrossEntropy(_Counts):
    """The output with the most spikes is the class: cross entropy over the softmax of `scale` times their numbers.

    Numbers of spikes have no derivative, so they are made smooth. Each spike counts
    ``1 / (1 + exp((t - until) / edge))``; or, with pseudospikes, 1, and to the number is added which part of the cycle
    the neuron had covered at the end of the trial (see :class:`Pseudospikes`).

    Parameters
    ----------
    population : str or Population
    scale : float
        Of the softmax.
    until : float, optional
        ms; default: the end of the trial.
    edge : float
        ms.
    pseudospikes : bool

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> loss = training.SpikeCountCrossEntropy()
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=50.0, n_threads=1)
    >>> evaluation = loss(result, [0, 2])
    >>> evaluation.dL_dtimes.shape == result.times.shape, bool(evaluation.value > 0.0)
    (True, True)
    """

    def __init__(
        self,
        population: PopulationName = "output",
        *,
        scale: float = 1.0,
        until: float | None = None,
        edge: float = 5.0,
        pseudospikes: bool = False,
    ) -> None:
        super().__init__(population, until, edge, pseudospikes)
        self.scale = _positive(scale, "scale")

    def __call__(self, result: BatchResult, targets: Any) -> Evaluation:
        counts, back = self._counts(result)
        labels = self._labels(targets, result, counts.shape[1])
        value, by_logit = _cross_entropy(self.scale * counts, labels)
        by_times, by_V, by_weight = back(self.scale * by_logit / max(len(labels), 1))
        predictions = _winners(counts)
        if not self.pseudospikes:
            predictions[(result.spike_counts(self.population) == 0).all(axis=1)] = -1
        return Evaluation(_mean(value), by_times, by_V, by_weight, predictions=predictions)


@named_arguments
class SpikeCountPenalty(_Counts):
    """A penalty on neurons that fire less or more than wanted, on average over the batch.

    ``L = strength mean_i (max(0, low - n_i)^2 + max(0, n_i - high)^2)``, with n_i the smooth number of spikes of neuron
    i (see :class:`SpikeCountCrossEntropy`), its mean over the samples. For neurons that do not fire at all only
    pseudospikes give it a derivative (QIF, theta); for a :class:`sparseprop.LIFExp` see :class:`PeakMargin`.

    Parameters
    ----------
    population : str or Population
    low, high : float
        Spikes per trial.
    strength : float
    until, edge, pseudospikes
        As in :class:`SpikeCountCrossEntropy`.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> loss = training.SpikeCountPenalty("output", high=0.5)
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=50.0, n_threads=1)
    >>> evaluation = loss(result, [0, 2])
    >>> evaluation.dL_dtimes.shape == result.times.shape, bool(evaluation.value >= 0.0)
    (True, True)
    """

    def __init__(
        self,
        population: PopulationName,
        *,
        low: float = 0.0,
        high: float = np.inf,
        strength: float = 1.0,
        until: float | None = None,
        edge: float = 5.0,
        pseudospikes: bool = False,
    ) -> None:
        super().__init__(population, until, edge, pseudospikes)
        self.low = _validation.real(low, "low", "a number >= 0", low=0.0)
        self.high = _validation.real(high, "high", f"a number >= low, {low}, or inf", low=self.low, infinite=True)
        self.strength = _positive(strength, "strength")

    def __call__(self, result: BatchResult, targets: Any = None) -> Evaluation:
        counts, back = self._counts(result)
        samples, n = max(counts.shape[0], 1), counts.shape[1]
        mean = counts.sum(axis=0) / samples
        under, over = np.maximum(self.low - mean, 0.0), np.maximum(mean - self.high, 0.0)
        by_mean = self.strength * 2.0 * (over - under) / n
        by_times, by_V, by_weight = back(np.broadcast_to(by_mean / samples, counts.shape))
        return Evaluation(self.strength * float(np.mean(under**2 + over**2)), by_times, by_V, by_weight)


class _Readout(Loss):
    """Membrane potentials of a population at given times."""

    def __init__(self, population: PopulationName, times: ArrayLike) -> None:
        super().__init__(population)
        self.times = _reading_times(times, "times")

    def readings(self, net: Network, duration: float) -> tuple[Ints, Floats]:
        p = self._of(net)
        return np.arange(p.first, p.first + p.n), _within(self.times, "times", duration)

    def _places(self, result):
        """Where in result.V the values are: indices of times and of neurons."""
        check_result(result)
        p = self._of(result._network)
        return places(result, np.arange(p.first, p.first + p.n), self.times)

    def _read(self, result):
        """V of shape (samples, times, n), and the index of these values in result.V."""
        index = np.ix_(np.arange(result.n_samples), *self._places(result))
        V = result.V[index]
        if np.isinf(V).any():
            raise self._infinite()
        return V, index

    def _infinite(self):
        return ParameterError(
            f"V of {self.population!r} is infinite at one of the times: use LIFExp neurons, or spike times"
        )


def _for_all(result, index, by_V):
    """dL/dV of all recorded values, from that of the values at `index`."""
    dL_dV = np.zeros(result.V.shape)
    np.add.at(dL_dV, index, by_V)  # a time may be there more than once
    return dL_dV


def places(result, ids, times):
    """Where values of V are: indices of times and of neurons."""
    columns = np.searchsorted(result.V_ids, ids) if len(result.V_ids) else np.zeros(0, np.int64)
    rows = np.searchsorted(result.V_times, times) if len(result.V_times) else np.zeros(0, np.int64)
    if (
        len(rows) != len(times) or (rows >= len(result.V_times)).any() or (columns >= len(result.V_ids)).any()
        or len(columns) != len(ids)
        or not np.array_equal(result.V_times[rows], times) or not np.array_equal(result.V_ids[columns], ids)
    ):  # fmt: skip
        raise ParameterError(
            "the run has not recorded the membrane potentials that the loss needs: give "
            "record=training.record_for(net, duration, loss)"
        )
    return rows, columns


@named_arguments
class MembraneCrossEntropy(_Readout):
    """The output with the highest membrane potential is the class.

    Cross entropy over the softmax of ``scale V``, with V the largest or the mean of the values at `times`.

    Parameters
    ----------
    population : str or Population
        Usually of neurons that do not fire: :func:`leaky_readout`, ``layered_network(..., readout=True)``.
    times : float or array_like
        ms; when V is read.
    scale : float
        Of the softmax, 1 / voltage.
    reduce : {"max", "mean"}
        What is made of the values at several times. The derivative is that of the values at these times, not of the
        maximum in between.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0, V_th=100.0), seed=1)
    >>> loss = training.MembraneCrossEntropy(times=[20.0, 40.0])
    >>> record = training.record_for(net, 50.0, loss)
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=50.0, record=record, n_threads=1)
    >>> evaluation = loss(result, [0, 2])
    >>> evaluation.dL_dV.shape == result.V.shape, bool(evaluation.value > 0.0)
    (True, True)
    """

    def __init__(
        self,
        population: PopulationName = "output",
        *,
        times: ArrayLike,
        scale: float = 1.0,
        reduce: Literal["max", "mean"] = "max",
    ) -> None:
        super().__init__(population, times)
        self.scale = _positive(scale, "scale")
        if not isinstance(reduce, str) or reduce not in ("max", "mean"):
            raise unknown_name("reduce", reduce, ["max", "mean"])
        self.reduce = reduce

    def __call__(self, result: BatchResult, targets: Any) -> Evaluation:
        V, index = self._read(result)
        labels = self._labels(targets, result, V.shape[2])
        if self.reduce == "max":
            which = V.argmax(axis=1)[:, None, :]
            logits = np.take_along_axis(V, which, axis=1)[:, 0]
        else:
            logits = V.mean(axis=1)
        value, by_logit = _cross_entropy(self.scale * logits, labels)
        by_logit = self.scale * by_logit[:, None, :] / max(len(labels), 1)
        by_V = np.zeros_like(V)
        if self.reduce == "max":
            np.put_along_axis(by_V, which, by_logit, axis=1)
        else:
            by_V += by_logit / V.shape[1]
        return Evaluation(_mean(value), None, _for_all(result, index, by_V), predictions=_winners(logits))


@named_arguments
class PeakMargin(_Readout):
    """For LIF and LIFExp neurons that stay silent: a pull of their highest V towards the threshold.

    ``strength mean max(0, V_th + margin (V_th - E_L) - max_t V)`` over all samples and neurons, 0 for those that fire;
    V is read at `times`. **It is no part of the exact gradient**: the loss on spike times does not know silent neurons,
    and this is a way to wake them, which ends where they fire.

    Parameters
    ----------
    population : str or Population
    times : float or array_like
        ms; when V is read. Reading costs time; some ten values will do.
    strength : float
        Per unit of voltage.
    margin : float
        In units of V_th - E_L: how far beyond the threshold the pull reaches.
    share : float
        Only neurons that fire in less than this share of the samples of a batch are pulled; 1: all that are silent in a
        sample.
    of_label : bool
        For outputs: only the neuron of each sample's label is pulled, where it is silent; `share` does not count.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0, V_th=100.0), seed=1)
    >>> loss = training.PeakMargin("output", times=[20.0, 40.0])
    >>> record = training.record_for(net, 50.0, loss)
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=50.0, record=record, n_threads=1)
    >>> evaluation = loss(result, [0, 2])
    >>> evaluation.dL_dV.shape == result.V.shape, bool(evaluation.value >= 0.0)
    (True, True)
    """

    def __init__(
        self,
        population: PopulationName,
        *,
        times: ArrayLike,
        strength: float = 0.1,
        margin: float = 0.1,
        share: float = 0.05,
        of_label: bool = False,
    ) -> None:
        super().__init__(population, times)
        self.of_label = _validation.flag(of_label, "of_label")
        self.strength = _positive(strength, "strength")
        self.margin = _validation.real(margin, "margin", "a number >= 0", low=0.0)
        self.share = _validation.real(share, "share", "a number in (0, 1]", low=0.0, low_open=True, high=1.0)

    def readings(self, net: Network, duration: float) -> tuple[Ints, Floats]:
        model = self._of(net).model
        if not model.is_linear:
            known = names_of(lambda model: model.is_linear, "and")
            raise ParameterError(
                f"PeakMargin is for {known} neurons, {self.population!r} has {type(model).__name__}: use pseudospikes "
                "for QIF and theta neurons, whose gradient is exact, and weights with which they fire to begin with "
                "for others"
            )
        return super().readings(net, duration)

    def __call__(self, result: BatchResult, targets: Any = None) -> Evaluation:
        rows, columns = self._places(result)
        model, n = self._of(result._network).model, len(columns)
        goal = np.asarray(model.V_th) + self.margin * (np.asarray(model.V_th) - np.asarray(model.E_L))
        silent = result.spike_counts(self.population) == 0
        if self.of_label:
            chosen = np.arange(n) == self._labels(targets, result, n)[:, None]
        else:
            chosen = (~silent).sum(axis=0) < self.share * len(silent)
        size = max(silent.size, 1)
        pulled = (silent & chosen).view(np.uint8)
        short, dL_dV = _step.peaks(result.V, rows, columns, pulled, np.full(n, goal), -self.strength / size)
        if short is None:
            raise self._infinite()
        return Evaluation(self.strength * float(short.sum()) / size, None, dL_dV)
