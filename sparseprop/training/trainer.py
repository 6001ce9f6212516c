"""Training a network on samples: batches, optimiser, history, checkpoints."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..batch import BatchSimulation
from ..connectivity import ProceduralAdjacency
from ..connectivity.distributions import Distribution
from ..errors import CheckpointMismatchError, NumericalError, ParameterError, named_arguments, shown
from ..files.checkpoint import fingerprint, read_state, write_state
from ..models import UniformPhase
from ..network import Network, Projection
from ..run.watching import Progress
from .bounds import WeightBounds
from .history import History
from .metrics import checked_metrics, measured
from .optimizers import Adam, Optimizer, described
from .readings import checked_loss, evaluated, record_for
from .samples import checked_samples, count, no_samples, summary, taken
from .sharing import SharedWeights
from .silence import Activity
from .stopping import BestEpoch, EarlyStopping
from .workers import Workers, checked_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from distributed import Client

    from .._types import InputSpikes, LossFunction, Metric, PathLike
    from .._types import Progress as ProgressOption
    from ..batch import BatchResult
    from ..run.recording import Record
    from .losses import Evaluation
    from .stopping import EarlyStopping

__all__ = ["Trainer"]

EVALUATION_BATCH = 500
SILENT_SECONDS = 10.0  # where there is no terminal; a training that takes longer says how far it is


@named_arguments
class Trainer:
    """Trains the weights of a network, and its delays if they are wanted.

    Parameters
    ----------
    net : Network
        Its projections get new weights.
    loss : Loss or callable
        See :mod:`sparseprop.training`; or a function of a :class:`sparseprop.BatchResult` and targets that returns an
        :class:`Evaluation`. One that needs recorded V is given as :class:`FunctionLoss`.
    duration : float
        ms of a trial.
    optimizer : Optimizer, optional
        Default: ``Adam(lr=5e-3)``. Those of PyTorch and optax are made by :class:`sparseprop.torch.Optimizer` and
        :class:`sparseprop.jax.Optimizer`.
    batch_size : int
    penalties : sequence of Loss
        Which are added to the loss.
    metrics : sequence of str and callable, or dict
        What else the history has of each epoch: ``"rate"``, the mean firing rate of all neurons in Hz,
        ``"silent_share"``, the share of neurons that do not fire in a sample, and functions of a
        :class:`sparseprop.BatchResult` and targets that return the mean over its samples; a dictionary gives names.
    projections : sequence of Projection or int, optional
        Those that are trained; default: all.
    train_weights : bool
    train_delays : bool
        Also the delays of those that have one for each synapse.
    min_delay, max_delay : float
        ms; trained delays stay between them.
    delay_lr : float
        Learning rate of delays in units of that of weights.
    min_weight, max_weight : float, or dict
        Between which trained weights stay: after each step they are set to the nearest value that is allowed. A
        dictionary has a number for each :class:`Projection` that is bounded.
    dale : bool or dict
        Dale's law: all trained weights of a neuron keep one sign, or are 0. True: that of its weights as they are now,
        for all populations of neurons; a dictionary says ``"excitatory"``, ``"inhibitory"`` or ``"initial"`` by
        population, sources among them.
    shared : dict, optional
        ``{projection: numbers}``: synapses of the same number share a weight, whose gradient is the sum of theirs; or
        ``{projection: convolution}`` for what a :class:`Convolution` has connected.
    seed : int
        Of the order of samples.
    n_threads : int, optional
        Default: all cores (of a worker, where there is a client). Weights do not depend on it.
    client : dask.distributed.Client, optional
        The samples of each batch are dealt to its workers; weights are the same bits for any number of them, and
        without. A worker that dies is replaced by another one. See ``docs/training.md``.

    Attributes
    ----------
    history : History
    epoch, batch : int
        How many epochs are done, and how many batches of the one that is not.
    best : BestEpoch or None
        Of a training with :class:`EarlyStopping`.

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> values, labels = training.yin_yang(200, seed=1)
    >>> net = training.layered_network([5, 30, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> trainer = training.Trainer(net, training.FirstSpikeCrossEntropy(), duration=50.0, n_threads=1)
    >>> history = trainer.fit(training.latencies(values, bias=0.0), labels, epochs=3)
    >>> bool(history["loss"][2] < history["loss"][0])
    True
    """

    network: Network
    loss: LossFunction
    history: History
    best: BestEpoch | Any  # None without `stopping`
    epoch: int
    batch: int

    @property
    def _cites(self):
        pseudospikes = ["pseudospikes"] if getattr(self.loss, "pseudospikes", False) else []
        return [*self.network._cites, "gradients", *pseudospikes]

    def __init__(
        self,
        net: Network,
        loss: LossFunction,
        *,
        duration: float,
        optimizer: Optimizer | None = None,
        batch_size: int = 32,
        penalties: Sequence[LossFunction] = (),
        metrics: Sequence[Metric] | Mapping[str, Metric] = (),
        projections: Sequence[Projection | int] | None = None,
        train_weights: bool = True,
        train_delays: bool = False,
        min_delay: float = 0.0,
        max_delay: float = np.inf,
        delay_lr: float = 1.0,
        min_weight: float | Mapping[Projection, float] = -np.inf,
        max_weight: float | Mapping[Projection, float] = np.inf,
        dale: bool | Mapping[Any, str] = False,
        shared: Mapping[Projection, Any] | None = None,
        seed: int = 0,
        n_threads: int | None = None,
        client: Client | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise ParameterError(f"net must be a Network, such as training.layered_network(...), got {shown(net)}")
        if not _validation.is_array(penalties):
            raise ParameterError(f"penalties must be a sequence of losses, such as [loss], got {shown(penalties)}")
        self.network, self.loss = net, checked_loss(loss, "loss")
        self.penalties = [checked_loss(penalty, f"penalties[{k}]") for k, penalty in enumerate(penalties)]
        self.metrics = checked_metrics(metrics)
        self.duration = _validation.real(
            duration, "duration", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True
        )
        self.optimizer = Adam() if optimizer is None else optimizer
        if not isinstance(self.optimizer, Optimizer):
            raise ParameterError(
                "optimizer must be an Adam, such as training.Adam(lr=5e-3), or another training.Optimizer, such as "
                f"sparseprop.torch.Optimizer(torch.optim.SGD, lr=0.1), got {shown(optimizer)}"
            )
        self.batch_size = _validation.integer(batch_size, "batch_size", "a whole number >= 1", low=1)
        self.min_delay = _validation.real(min_delay, "min_delay", "a finite time >= 0 ms", unit="ms", low=0.0)
        self.max_delay = _validation.real(
            max_delay,
            "max_delay",
            f"a time >= min_delay, {self.min_delay:g} ms, or inf",
            unit="ms",
            low=self.min_delay,
            infinite=True,
        )
        self.delay_lr = _validation.real(delay_lr, "delay_lr", "a number > 0", low=0.0, low_open=True)
        self.seed = _validation.integer(seed, "seed", "a whole number >= 0", low=0)
        trained = self._numbers(projections)
        self._weights = trained if _validation.flag(train_weights, "train_weights") else []
        self._delays = []
        if _validation.flag(train_delays, "train_delays"):
            self._delays = [k for k in trained if isinstance(net.projections[k].delay, np.ndarray)]
            if not self._delays:
                raise ParameterError(
                    "train_delays needs projections with one delay for each synapse: connect with "
                    "delay=sp.uniform(low, high), or an array"
                )
        if not self._weights and not self._delays:
            raise ParameterError("there is nothing to train: train_weights is False, and train_delays too")
        for k in self._weights:
            p = net.projections[k]
            if isinstance(p.adjacency, ProceduralAdjacency):
                raise ParameterError(f"{p!r} stores no synapses (procedural=True), so its weights cannot be trained")
            if not isinstance(p.weight, np.ndarray):
                p.weight = np.full(p.n_synapses, p.weight)
        self._bounds = WeightBounds(net, self._weights, self._number, min_weight, max_weight, dale)
        self._shared = SharedWeights(net, self._weights, self._number, shared)
        for k, bounds in self._bounds.bounds.items():
            for bound in bounds:
                self._shared.check(k, bound, "bounds of weights")
        self._record = record_for(net, self.duration, loss, *self.penalties)
        self._simulation = BatchSimulation(net, n_threads=n_threads)
        self._workers = None if checked_client(client) is None else Workers(client, self._simulation)
        self.history, self.best = History(), None
        self.epoch = self.batch = 0
        self._running = no_samples(self.metrics)
        trained = [("weight", k) for k in self._weights] + [("delay", k) for k in self._delays]
        self._activity = Activity(net, [key for key in trained if net.projections[key[1]].n_synapses])
        self._latest: Any = None  # what the last step saw

    def _numbers(self, projections):
        """Numbers of the projections that are trained."""
        if projections is None:
            return list(range(len(self.network.projections)))
        if not _validation.is_array(projections):
            raise ParameterError(f"projections must be a sequence of them, such as [0], got {shown(projections)}")
        numbers = [self._number(p) for p in projections]
        if not numbers:
            raise ParameterError("projections must name at least one to train, got none; leave it out to train all")
        if len(set(numbers)) < len(numbers):
            raise ParameterError(f"projections must be different ones, got the numbers {numbers}")
        return numbers

    def _number(self, projection):
        if isinstance(projection, Projection):
            for k, p in enumerate(self.network.projections):
                if p is projection:
                    return k
            raise ParameterError(f"{shown(projection)} is no projection of the network")
        last = len(self.network.projections) - 1
        return _validation.integer(projection, "the number of a projection", f"from 0 to {last}", low=0, high=last)

    def __repr__(self) -> str:
        return f"<Trainer of {self.network!r}: epoch {self.epoch}, {self.loss.__class__.__name__}, {self.optimizer!r}>"

    # Training -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        inputs: InputSpikes,
        targets: Any,
        epochs: int,
        *,
        validation: tuple[InputSpikes, Any] | None = None,
        checkpoint: PathLike | None = None,
        every: int = 1,
        progress: ProgressOption = None,
        callback: Callable[[Trainer], object] | Sequence[Callable[[Trainer], object]] | None = None,
        stopping: EarlyStopping | None = None,
    ) -> History:
        """Train until so many epochs are done.

        Parameters
        ----------
        inputs : array_like, sequence or dict
            As :meth:`BatchSimulation.run` takes them, with all samples.
        targets : array_like
            For the loss, one row for each sample.
        epochs : int
            How many in all, those included that were done before: a resumed training goes on to the same end.
        validation : (inputs, targets), optional
            Evaluated after each epoch.
        checkpoint : path-like, optional
            File for :meth:`save`, written every `every` epochs.
        progress : None, bool or callable
            None: a bar where there is a terminal or a notebook, elsewhere a line for each 10 % if it takes more than 10
            seconds. A callable gets the fraction that is done.
        callback : callable or sequence of callable, optional
            Called with the trainer after each epoch, one after the other; training ends if one returns True.
        stopping : EarlyStopping, optional
            When training ends before, and whether weights are then those of the best epoch. A file that is written
            has the latest ones, and the best beside them: a resumed training that is given the same EarlyStopping goes
            on to the same end. Without it, the best epoch of an earlier `fit` is forgotten.

        Returns
        -------
        History

        Raises
        ------
        ParameterError, RunawayError
        NumericalError
            As :meth:`BatchSimulation.run`, and if a gradient is no finite number: weights are then those before the
            batch, and the message names neuron and time.

        Warns
        -----
        SilenceWarning
            After an epoch in which no gradient reached something that is trained, or a population was silent and out of
            reach; once of each.
        """
        targets, n = checked_samples(inputs, targets)
        if validation is not None:
            if not isinstance(validation, (tuple, list)) or len(validation) != 2:
                raise ParameterError(f"validation must be a pair (inputs, targets), got {shown(validation)}")
            checked_samples(*validation, "validation ")
        callbacks = _functions(callback)
        monitor = self._monitor(stopping, validation)
        if checkpoint is not None:
            self._fingerprints()  # what cannot be written is refused before hours of training
        if self.batch and self._running["of"] != n:
            raise ParameterError(
                f"the training was cut within an epoch of {self._running['of']} samples, which goes on: give the same "
                f"inputs and targets, got {n} samples"
            )
        epochs = _validation.integer(epochs, "epochs", "a whole number >= 0", low=0)
        every = _validation.integer(every, "every", "a whole number of epochs >= 1", low=1)
        before = self.epoch + self.batch * self.batch_size / n

        def fraction():
            return min((self.epoch + self.batch * self.batch_size / n - before) / max(epochs - before, 1e-9), 1.0)

        with Progress(progress, "training", SILENT_SECONDS) as bar:
            while not self._has_ended(epochs, stopping):
                self._train(inputs, targets, n, lambda: bar.update(fraction, self._note()))
                self._end_of_epoch(validation)
                if stopping is not None and stopping.is_better(self.history.epochs[-1], monitor, self.best):
                    self.best = BestEpoch(monitor, self.epoch, self.history.epochs[-1][monitor], *self._trained())
                bar.finish(fraction, self._note())
                if checkpoint is not None and (self.epoch % every == 0 or self._has_ended(epochs, stopping)):
                    self.save(checkpoint)
                if any([function(self) for function in callbacks]):
                    break
        if stopping is not None and stopping.restore and self.best is not None:
            self.restore_best()
        return self.history

    def _has_ended(self, epochs, stopping):
        return self.epoch >= epochs or (stopping is not None and stopping.is_over(self.best, self.epoch))

    def _monitor(self, stopping, validation):
        """The entry of the history that is compared; what was the best of another one is forgotten."""
        monitor = None
        if stopping is not None:
            if not isinstance(stopping, EarlyStopping):
                raise ParameterError(
                    f"stopping must be a training.EarlyStopping, such as training.EarlyStopping(patience=10), got "
                    f"{shown(stopping)}"
                )
            monitor = stopping.monitored(validation is not None)
        if self.best is not None and self.best.monitor != monitor:
            self.best = None
        return monitor

    def _train(self, inputs, targets, n, progress):
        """The batches of an epoch that are not done."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(n)
        self._running["of"] = n
        for first in range(self.batch * self.batch_size, n, self.batch_size):
            chosen = order[first : first + self.batch_size]
            batch = taken(inputs, chosen), targets[chosen]
            began = time.process_time()
            evaluation = self.step(*batch)
            self.batch += 1
            self._running["seconds"] += time.process_time() - began
            count(self._running, evaluation, batch[1], measured(self.metrics, self._latest[0], batch[1]))
            self._activity.add(*self._latest)
            progress()

    def _trained(self):
        """Weights and delays that are trained, by number of the projection."""
        projections = self.network.projections
        return {k: projections[k].weight for k in self._weights}, {k: projections[k].delay for k in self._delays}

    def restore_best(self) -> None:
        """Set weights and delays to those of the best epoch, ``trainer.best``; :meth:`fit` does so when it has ended.

        Raises
        ------
        ParameterError
            If there is none: if the latest `fit` had no :class:`EarlyStopping`, or has not done an epoch.
        """
        if self.best is None:
            raise ParameterError(
                "there is no best epoch to go back to: give fit(..., stopping=training.EarlyStopping()), and let it "
                "finish an epoch"
            )
        self._assign(self.best.weights, self.best.delays)

    def _assign(self, weights, delays):
        projections = self.network.projections
        for name, values in (("weight", weights), ("delay", delays)):
            for k, array in values.items():
                if not np.array_equal(getattr(projections[k], name), array):
                    setattr(projections[k], name, array)

    def _note(self):
        """Where it is, for the progress."""
        entry = self.history.epochs[-1] if self.history.epochs else {}
        values = [f"{k} {v:.4g}" for k, v in entry.items() if k not in ("lr", "seconds")]
        return ", ".join([f"epoch {self.epoch}", *values])

    def step(self, inputs: InputSpikes, targets: Any) -> Evaluation:
        """Train on one batch, by itself: it is part of no epoch, and :meth:`fit` goes on where it was.

        Returns
        -------
        Evaluation
            Before the step; value and derivatives are those of loss and penalties together.
        """
        if self._workers is None:
            result = self._simulation.run(inputs, self.duration, record=self._record, tape=True)
        else:
            result = self._workers.run(inputs, self.duration, self._record)
        total = self._evaluation(result, targets)
        if self.penalties:
            total = dataclasses.replace(total, dL_dweight=dict(total.dL_dweight))
            for penalty in self.penalties:
                total.add(evaluated(penalty, result, targets))
        if self._workers is None:
            sums = result._summed(total.dL_dtimes, total.dL_dV)
        else:
            sums = self._workers.backward(result, total.dL_dtimes, total.dL_dV)
        gradients = self._gradients(sums, total)
        projections = self.network.projections
        for k in self._weights:
            values = self._shared.parameters(k, projections[k].weight)
            values = self.optimizer.update(f"weight {k}", values, gradients["weight", k], epoch=self.epoch)
            projections[k]._take_weights(self._bounds.apply(k, self._shared.weights(k, values)))
        for k in self._delays:
            delay = self.optimizer.update(
                f"delay {k}", projections[k].delay, gradients["delay", k], epoch=self.epoch, scale=self.delay_lr
            )
            projections[k].delay = np.clip(delay, self.min_delay, self.max_delay)
        self._latest = result, gradients
        return total

    def _gradients(self, sums, evaluation):
        """Of all that is trained; finite, or else nothing is changed."""
        warnings = [] if sums.is_plain() else sums.noted(self.network, self._simulation._near)["warnings"]
        by_weight, by_delay = sums.synapses
        found = {
            ("weight", k): self._shared.gradient(k, by_weight[k] + evaluation.dL_dweight.get(k, 0.0))
            for k in self._weights
        }
        found |= {("delay", k): by_delay[k] for k in self._delays}
        for (name, k), values in found.items():
            if not np.isfinite(values).all():
                p = self.network.projections[k]
                why = next((f": {w}" for w in warnings if w.kind == "overflow"), "")
                raise NumericalError(
                    f"the gradient of the {name}s of {p.pre.name!r} -> {p.post.name!r} is not finite, and nothing was "
                    f"changed{why}"
                )
        return found

    def _evaluation(self, result, targets):
        evaluation = evaluated(self.loss, result, targets)
        if not np.isfinite(evaluation.value):
            raise ParameterError(f"the loss is {evaluation.value}; a smaller learning rate, or other units, may help")
        return evaluation

    def _end_of_epoch(self, validation):
        entry = summary(self._running)
        entry["lr"] = self.optimizer.rate(self.epoch)
        entry["seconds"] = self._running["seconds"]
        if validation is not None:
            entry |= {f"validation_{name}": value for name, value in self.evaluate(*validation).items()}
        self.history.epochs.append(entry)
        self._activity.tell(self.epoch)
        self._activity.clear()
        self.epoch, self.batch = self.epoch + 1, 0
        self._running = no_samples(self.metrics)

    def evaluate(self, inputs: InputSpikes, targets: Any) -> dict[str, float]:
        """The loss and, if the loss has such, accuracy or error, of samples, and the metrics; nothing is trained.

        Returns
        -------
        dict
            ``"loss"``, ``"accuracy"``, ``"error"``, and the metrics by name.

        Raises
        ------
        ParameterError
            If there are no samples, or not as many targets as samples.
        """
        targets, n = checked_samples(inputs, targets)
        sums = no_samples(self.metrics)
        for first in range(0, n, EVALUATION_BATCH):
            chosen = np.arange(first, min(n, first + EVALUATION_BATCH))
            result = self._simulation.run(taken(inputs, chosen), self.duration, record=self._record)
            measures = measured(self.metrics, result, targets[chosen])
            count(sums, evaluated(self.loss, result, targets[chosen]), targets[chosen], measures)
        return summary(sums)

    def run(self, inputs: InputSpikes, *, record: Record | None = None, tape: bool = False) -> BatchResult:
        """A :class:`BatchResult` of the network as it is now, with what the loss needs recorded by default."""
        record = self._record if record is None else record
        return self._simulation.run(inputs, self.duration, record=record, tape=tape)

    def close(self) -> None:
        """End the threads."""
        self._simulation.close()

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _fingerprints(self):
        """Of what a state belongs to, by part: the network without what is trained, and how it is trained."""
        net = self.network
        procedural = [p for p in net.projections if isinstance(p.adjacency, ProceduralAdjacency)]
        stored = [(k, p) for k, p in enumerate(net.projections) if p not in procedural]
        draws = procedural or any(_draws_its_state(p) for p in net.populations)
        parts = {
            "populations": [p.to_dict() for p in net.populations],
            "synapses": [
                {"pre": p.pre.name, "post": p.post.name, "sources": p.sources, "targets": p.targets, "port": p.port}
                for _, p in stored
            ]
            + [p.to_dict() for p in procedural],
            "seed of the network": net.seed if draws else None,
            "weights that are not trained": [p.weight for k, p in stored if k not in self._weights],
            "delays that are not trained": [p.delay for k, p in stored if k not in self._delays],
            "what is trained": [self._weights, self._delays],
            "loss": described(self.loss),
            "penalties": [described(penalty) for penalty in self.penalties],
        }
        settings = ("batch_size", "seed", "duration", "min_delay", "max_delay", "delay_lr")
        parts |= {name: getattr(self, name) for name in settings}
        parts |= self._bounds.to_dict() | self._shared.to_dict()
        parts["optimizer"] = type(self.optimizer).__name__
        parts |= {f"{name} of the optimizer": value for name, value in self.optimizer.to_dict()["settings"].items()}
        return {name: fingerprint({name: part}) for name, part in parts.items()}

    def save(self, path: PathLike) -> None:
        """Write everything that training goes on from: weights, delays, the optimiser's means, position, history.

        Raises
        ------
        StorageError
            If it cannot be written; what was there before is untouched.
        """
        weights, delays = (_named(values) for values in self._trained())
        state = {
            "kind": "training",
            "fingerprints": self._fingerprints(),
            "weights": weights,
            "delays": delays,
            "optimizer": self.optimizer.to_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "running": self._running,
            "activity": self._activity.state(),
            "history": self.history.epochs,
        }
        if self._bounds.signs:
            state["signs"] = self._bounds.signs
        if self.best is not None:
            best = vars(self.best)
            state["best"] = best | {"weights": _named(best["weights"]), "delays": _named(best["delays"])}
        write_state(path, state)

    def resume(self, path: PathLike) -> Trainer:
        """Go on from what :meth:`save` wrote; weights come out as if there had been no cut, bit for bit.

        The trainer has to be made as the one that was saved, with the same network: what is not trained is compared,
        and the settings of Trainer, optimiser and losses (of a loss of one's own without ``to_dict()`` the name only).

        Returns
        -------
        Trainer
            Itself.

        Raises
        ------
        StorageError, FileFormatError
            If the file cannot be read.
        CheckpointMismatchError
            If it belongs to another network or another training.
        """
        state = read_state(path, "training")
        saved, mine = state.get("fingerprints", {}), self._fingerprints()
        others = [name for name in mine | saved if saved.get(name) != mine.get(name)]
        if others:
            raise CheckpointMismatchError(
                f"{path} belongs to another network or training: make network and Trainer as they were when it was "
                f"saved; what differs: {', '.join(others)}"
            )
        self._assign(_numbered(state["weights"]), _numbered(state["delays"]))
        self.optimizer.restore(state["optimizer"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self._running, self.history = state["running"], History(state["history"])
        if "signs" in state:
            self._bounds.restore(state["signs"])
        self.best = None
        if "best" in state:
            best = state["best"]
            arrays = {name: _numbered(best[name]) for name in ("weights", "delays")}
            self.best = BestEpoch(**best | arrays)
        if "activity" in state:
            self._activity.restore(state["activity"])
        return self


def _draws_its_state(p):
    """Whether the initial state of a population is drawn from the network's seed."""
    return (
        isinstance(p.V, (Distribution, UniformPhase))
        or isinstance(p.I_syn, list)
        or (p.V is None and not p.is_source and bool(np.isfinite(p.model.free_period()).any()))
    )


def _functions(callback):
    """The callbacks, from one, several or none."""
    functions = [] if callback is None else list(callback) if _validation.is_array(callback) else [callback]
    if not all(callable(function) for function in functions):
        raise ParameterError(
            f"callback must be a function of the trainer, or a sequence of these, got {shown(callback)}"
        )
    return functions


def _named(values):
    """What files have: names instead of numbers of projections."""
    return {str(k): value for k, value in values.items()}


def _numbered(values):
    return {int(k): value for k, value in values.items()}
