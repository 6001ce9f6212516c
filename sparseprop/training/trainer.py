"""Training a network on samples: batches, optimiser, history, checkpoints."""

import dataclasses
import time

import numpy as np

from .. import _validation
from ..batch import BatchSimulation
from ..connectivity import ProceduralAdjacency
from ..connectivity.distributions import Distribution
from ..errors import CheckpointMismatchError, NumericalError, ParameterError, named_arguments, shown, unknown_name
from ..files.checkpoint import fingerprint, read_state, write_state
from ..models import UniformPhase
from ..network import Network, Projection
from ..run.recording import Record
from ..run.watching import Progress
from .losses import Evaluation
from .optimizers import Adam
from .silence import Activity

__all__ = ["History", "Trainer", "record_for"]

EVALUATION_BATCH = 500
ENTRIES = ("loss", "accuracy", "error", "lr", "seconds", "validation_loss", "validation_accuracy", "validation_error")
SILENT_SECONDS = 10.0  # where there is no terminal; a training that takes longer says how far it is


@named_arguments
def record_for(net, duration, *losses):
    """What has to be recorded for losses, for ``run_batch(record=...)``; None if nothing.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> loss = training.MembraneCrossEntropy(times=[20.0, 40.0])
    >>> record = training.record_for(net, 50.0, loss)
    >>> sp.run_batch(net, [[1.0, 2.0]], duration=50.0, record=record, n_threads=1).V.shape
    (1, 2, 3)
    >>> training.record_for(net, 50.0, training.FirstSpikeCrossEntropy()) is None
    True
    """
    duration = _validation.real(duration, "duration", "a finite time >= 0 ms", unit="ms", low=0.0)
    found = [_readings(_checked(loss, f"losses[{k}]"), net, duration) for k, loss in enumerate(losses)]
    ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(ids for ids, times in found if len(times))]))
    times = np.unique(np.concatenate([np.zeros(0), *(times for _, times in found)]))
    return Record(V=ids, V_times=times) if len(ids) else None


def _checked(loss, name):
    if isinstance(loss, type) or not callable(loss):
        hint = f"; make one of it, {loss.__name__}(...)" if isinstance(loss, type) else ""
        raise ParameterError(
            f"{name} must be a loss, such as training.FirstSpikeCrossEntropy(), or a function of (result, targets) "
            f"that returns a training.Evaluation, got {shown(loss)}{hint}"
        )
    return loss


def _readings(loss, net, duration):
    """Which V has to be recorded for a loss: none for a function, unless it says so."""
    readings = getattr(loss, "readings", None)
    if readings is None:
        return np.zeros(0, np.int64), np.zeros(0)
    return readings(net, duration)


def _evaluated(loss, result, targets):
    """What a loss says of a batch."""
    evaluation = loss(result, targets)
    if not isinstance(evaluation, Evaluation):
        raise ParameterError(
            f"a loss must return a training.Evaluation(value, dL_dtimes, dL_dV), with its derivatives for result.times "
            f"and result.V, got {shown(evaluation)} from {shown(loss)}"
        )
    return evaluation


@named_arguments
class History:
    """What became of the loss: one entry for each epoch.

    Attributes
    ----------
    epochs : list of dict
        ``"loss"``, ``"accuracy"`` or ``"error"`` of the training samples as they came by, the same with
        ``"validation_"`` if there are such samples, ``"lr"``, and ``"seconds"`` of CPU time for training.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> values, labels = training.yin_yang(100, seed=1)
    >>> net = training.layered_network([5, 10, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> trainer = training.Trainer(net, training.FirstSpikeCrossEntropy(pseudospikes=True), duration=35.0, n_threads=1)
    >>> history = trainer.fit(training.latencies(values, bias=15.0), labels, epochs=2)
    >>> len(history["loss"]), bool(history["loss"][1] < history["loss"][0])
    (2, True)
    """

    def __init__(self, epochs=()):
        if not _validation.is_array(epochs) or not all(isinstance(epoch, dict) for epoch in epochs):
            raise ParameterError(f"epochs must be a sequence of dictionaries, one for each epoch, got {shown(epochs)}")
        self.epochs = list(epochs)

    def __len__(self):
        return len(self.epochs)

    def __iter__(self):
        return iter(self.epochs)

    def __contains__(self, name):
        """Whether any epoch has an entry of that name."""
        return any(name in epoch for epoch in self.epochs)

    def __getitem__(self, name):
        """The values of all epochs by name; NaN where there is none."""
        if not isinstance(name, str) or name not in ENTRIES and name not in self:
            raise unknown_name("entry of the history", name, ENTRIES)
        return np.array([epoch.get(name, np.nan) for epoch in self.epochs], dtype=float)

    def __repr__(self):
        last = (
            ", ".join(f"{name} {value:.4g}" for name, value in self.epochs[-1].items()) if self.epochs else "none yet"
        )
        return f"<History of {len(self)} epochs; {last}>"

    def plot(self, ax=None, names=None):
        """Learning curves: what is not 0 of loss and error of classification, on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        names : list of str, optional
            Which entries; those of accuracies are drawn as errors, 1 - accuracy. Default: these if there are any, else
            losses.

        Returns
        -------
        Axes
        """
        from ..plotting import new_axes

        if names is not None:
            if isinstance(names, str) or not _validation.is_array(names):
                raise ParameterError(f"names must be a list of entries, such as ['loss'], got {shown(names)}")
            for name in names:
                self[name]
        ax = new_axes(ax)
        there = {name for epoch in self.epochs for name in epoch}
        if names is None:
            names = [n for n in ("accuracy", "validation_accuracy") if n in there]
            names = names or [n for n in ("error", "validation_error") if n in there]
            names = names or [n for n in ("loss", "validation_loss") if n in there]
        for name in names:
            is_share = name.endswith("accuracy")
            values = 1.0 - self[name] if is_share else self[name]
            label = name.replace("validation_", "").replace("accuracy", "classification error")
            kind = "validation" if name.startswith("validation_") else "training"
            ax.semilogy(np.arange(1, len(values) + 1), values, label=f"{label}, {kind}")
        ax.set(xlabel="epoch")
        if len(names):
            ax.legend(frameon=False)
        return ax


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
    optimizer : Adam, optional
        Default: ``Adam(lr=5e-3)``.
    batch_size : int
    penalties : sequence of Loss
        Which are added to the loss.
    projections : sequence of Projection or int, optional
        Those that are trained; default: all.
    train_weights : bool
    train_delays : bool
        Also the delays of those that have one for each synapse.
    min_delay, max_delay : float
        ms; trained delays stay between them.
    delay_lr : float
        Learning rate of delays in units of that of weights.
    seed : int
        Of the order of samples.
    n_threads : int, optional
        Default: all cores. Weights do not depend on it.

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

    @property
    def _cites(self):
        pseudospikes = ["pseudospikes"] if getattr(self.loss, "pseudospikes", False) else []
        return [*self.network._cites, "gradients", *pseudospikes]

    def __init__(
        self, net, loss, *, duration, optimizer=None, batch_size=32, penalties=(), projections=None,
        train_weights=True, train_delays=False, min_delay=0.0, max_delay=np.inf, delay_lr=1.0, seed=0, n_threads=None,
    ):  # fmt: skip
        if not isinstance(net, Network):
            raise ParameterError(f"net must be a Network, such as training.layered_network(...), got {shown(net)}")
        if not _validation.is_array(penalties):
            raise ParameterError(f"penalties must be a sequence of losses, such as [loss], got {shown(penalties)}")
        self.network, self.loss = net, _checked(loss, "loss")
        self.penalties = [_checked(penalty, f"penalties[{k}]") for k, penalty in enumerate(penalties)]
        self.duration = _validation.real(
            duration, "duration", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True
        )
        self.optimizer = Adam() if optimizer is None else optimizer
        if not isinstance(self.optimizer, Adam):
            raise ParameterError(f"optimizer must be an Adam, such as training.Adam(lr=5e-3), got {shown(optimizer)}")
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
        self._record = record_for(net, self.duration, loss, *self.penalties)
        self._simulation = BatchSimulation(net, n_threads=n_threads)
        self.history = History()
        self.epoch = self.batch = 0
        self._running = _no_samples()
        trained = [("weight", k) for k in self._weights] + [("delay", k) for k in self._delays]
        self._activity = Activity(net, [key for key in trained if net.projections[key[1]].n_synapses])
        self._latest = None  # what the last step saw

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

    def __repr__(self):
        return f"<Trainer of {self.network!r}: epoch {self.epoch}, {self.loss.__class__.__name__}, {self.optimizer!r}>"

    # Training -----------------------------------------------------------------------------------------------------

    def fit(
        self, inputs, targets, epochs, *, validation=None, checkpoint=None, every=1, progress=None, callback=None
    ):  # fmt: skip
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
        callback : callable, optional
            Called with the trainer after each epoch; training ends if it returns True.

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
        targets, n = _samples(inputs, targets)
        if validation is not None:
            if not isinstance(validation, (tuple, list)) or len(validation) != 2:
                raise ParameterError(f"validation must be a pair (inputs, targets), got {shown(validation)}")
            _samples(*validation, "validation ")
        if callback is not None and not callable(callback):
            raise ParameterError(f"callback must be a function of the trainer, got {shown(callback)}")
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
            while self.epoch < epochs:
                order = np.random.default_rng([self.seed, self.epoch]).permutation(n)
                self._running["of"] = n
                for first in range(self.batch * self.batch_size, n, self.batch_size):
                    chosen = order[first : first + self.batch_size]
                    batch = _taken(inputs, chosen), targets[chosen]
                    began = time.process_time()
                    evaluation = self.step(*batch)
                    self.batch += 1
                    self._running["seconds"] += time.process_time() - began
                    _count(self._running, evaluation, batch[1])
                    self._activity.add(*self._latest)
                    bar.update(fraction, self._note())
                self._end_of_epoch(validation)
                bar.finish(fraction, self._note())
                if checkpoint is not None and (self.epoch % every == 0 or self.epoch == epochs):
                    self.save(checkpoint)
                if callback is not None and callback(self):
                    break
        return self.history

    def _note(self):
        """Where it is, for the progress."""
        entry = self.history.epochs[-1] if self.history.epochs else {}
        values = [f"{k} {v:.4g}" for k, v in entry.items() if k not in ("lr", "seconds")]
        return ", ".join([f"epoch {self.epoch}", *values])

    def step(self, inputs, targets):
        """Train on one batch, by itself: it is part of no epoch, and :meth:`fit` goes on where it was.

        Returns
        -------
        Evaluation
            Before the step; value and derivatives are those of loss and penalties together.
        """
        result = self._simulation.run(inputs, self.duration, record=self._record, tape=True)
        total = self._evaluation(result, targets)
        if self.penalties:
            total = dataclasses.replace(total, dL_dweight=dict(total.dL_dweight))
            for penalty in self.penalties:
                total.add(_evaluated(penalty, result, targets))
        gradients = self._gradients(result.backward(total.dL_dtimes, total.dL_dV, tau_m=False), total)
        projections = self.network.projections
        for k in self._weights:
            projections[k].weight = self.optimizer.update(
                f"weight {k}", projections[k].weight, gradients["weight", k], epoch=self.epoch
            )
        for k in self._delays:
            delay = self.optimizer.update(
                f"delay {k}", projections[k].delay, gradients["delay", k], epoch=self.epoch, scale=self.delay_lr
            )
            projections[k].delay = np.clip(delay, self.min_delay, self.max_delay)
        self._latest = result, gradients
        return total

    def _gradients(self, grads, evaluation):
        """Of all that is trained; finite, or else nothing is changed."""
        found = {("weight", k): grads.weight[k] + evaluation.dL_dweight.get(k, 0.0) for k in self._weights}
        found |= {("delay", k): grads.delay[k] for k in self._delays}
        for (name, k), values in found.items():
            if not np.isfinite(values).all():
                p = self.network.projections[k]
                why = next((f": {w}" for w in grads.warnings if w.kind == "overflow"), "")
                raise NumericalError(
                    f"the gradient of the {name}s of {p.pre.name!r} -> {p.post.name!r} is not finite, and nothing was "
                    f"changed{why}"
                )
        return found

    def _evaluation(self, result, targets):
        evaluation = _evaluated(self.loss, result, targets)
        if not np.isfinite(evaluation.value):
            raise ParameterError(f"the loss is {evaluation.value}; a smaller learning rate, or other units, may help")
        return evaluation

    def _end_of_epoch(self, validation):
        entry = _summary(self._running)
        entry["lr"] = self.optimizer.lr * self.optimizer.decay**self.epoch
        entry["seconds"] = self._running["seconds"]
        if validation is not None:
            entry |= {f"validation_{name}": value for name, value in self.evaluate(*validation).items()}
        self.history.epochs.append(entry)
        self._activity.tell(self.epoch)
        self._activity.clear()
        self.epoch, self.batch = self.epoch + 1, 0
        self._running = _no_samples()

    def evaluate(self, inputs, targets):
        """The loss and, if the loss has such, accuracy or error, of samples; nothing is trained.

        Returns
        -------
        dict
            ``"loss"``, ``"accuracy"``, ``"error"``.

        Raises
        ------
        ParameterError
            If there are no samples, or not as many targets as samples.
        """
        targets, n = _samples(inputs, targets)
        sums = _no_samples()
        for first in range(0, n, EVALUATION_BATCH):
            chosen = np.arange(first, min(n, first + EVALUATION_BATCH))
            result = self._simulation.run(_taken(inputs, chosen), self.duration, record=self._record)
            _count(sums, _evaluated(self.loss, result, targets[chosen]), targets[chosen])
        return _summary(sums)

    def run(self, inputs, *, record=None, tape=False):
        """A :class:`BatchResult` of the network as it is now, with what the loss needs recorded by default."""
        record = self._record if record is None else record
        return self._simulation.run(inputs, self.duration, record=record, tape=tape)

    def close(self):
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
            "loss": _described(self.loss),
            "penalties": [_described(penalty) for penalty in self.penalties],
        }
        settings = ("batch_size", "seed", "duration", "min_delay", "max_delay", "delay_lr")
        parts |= {name: getattr(self, name) for name in settings}
        parts["optimizer"] = type(self.optimizer).__name__
        parts |= {f"{name} of the optimizer": value for name, value in self.optimizer.to_dict()["settings"].items()}
        return {name: fingerprint({name: part}) for name, part in parts.items()}

    def save(self, path):
        """Write everything that training goes on from: weights, delays, the optimiser's means, position, history.

        Raises
        ------
        StorageError
            If it cannot be written; what was there before is untouched.
        """
        projections = self.network.projections
        write_state(
            path,
            {
                "kind": "training",
                "fingerprints": self._fingerprints(),
                "weights": {str(k): projections[k].weight for k in self._weights},
                "delays": {str(k): projections[k].delay for k in self._delays},
                "optimizer": self.optimizer.to_dict(),
                "epoch": self.epoch,
                "batch": self.batch,
                "running": self._running,
                "activity": self._activity.state(),
                "history": self.history.epochs,
            },
        )

    def resume(self, path):
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
        others = [name for name in mine if saved.get(name) != mine[name]]
        if others:
            raise CheckpointMismatchError(
                f"{path} belongs to another network or training: make network and Trainer as they were when it was "
                f"saved; what differs: {', '.join(others)}"
            )
        for k, weight in state["weights"].items():
            self.network.projections[int(k)].weight = weight
        for k, delay in state["delays"].items():
            self.network.projections[int(k)].delay = delay
        self.optimizer.restore(state["optimizer"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self._running, self.history = state["running"], History(state["history"])
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


def _described(loss):
    if hasattr(loss, "to_dict"):
        return loss.to_dict()
    return {"name": getattr(loss, "__qualname__", type(loss).__name__)}  # a function's own, or that of the class


def _no_samples():
    """Sums over samples, to begin with."""
    return {"samples": 0, "loss": 0.0, "right": 0, "error": 0.0, "seconds": 0.0}


def _count(sums, evaluation, targets):
    """Add a batch to the sums."""
    n = len(targets)
    sums["samples"] += n
    sums["loss"] += evaluation.value * n
    sums["error"] = None if evaluation.error is None else sums["error"] + evaluation.error * n
    right = evaluation.predictions
    sums["right"] = None if right is None else sums["right"] + int(np.sum(right == targets))


def _summary(sums):
    found = {"loss": sums["loss"], "accuracy": sums["right"], "error": sums["error"]}
    return {name: value / sums["samples"] for name, value in found.items() if value is not None}


def _samples(inputs, targets, what=""):
    """Targets as an array, and how many samples there are: as many as targets, and at least one."""
    sources = inputs if isinstance(inputs, dict) else {"": inputs}
    if not sources:
        raise ParameterError(f"{what}inputs must have spikes for at least one source, got none")
    for values in sources.values():
        if not _validation.is_array(values):
            raise ParameterError(
                f"{what}inputs must be an array, a sequence with one entry for each sample, or a dictionary of these, "
                f"got {shown(values)}"
            )
    numbers = {name: len(values) for name, values in sources.items()}
    n = next(iter(numbers.values()))
    if len(set(numbers.values())) > 1:
        raise ParameterError(f"{what}inputs must have the same number of samples for all sources, got {numbers}")
    if n == 0:
        raise ParameterError(f"{what}inputs must have at least one sample, got none")
    targets = _validation.without_units(targets, f"{what}targets", "ms")
    try:
        targets = np.asarray(targets)
    except ValueError as error:
        raise ParameterError(f"{what}targets must be an array, with a row for each sample ({error})") from None
    if targets.ndim == 0:
        raise ParameterError(f"{what}targets must be an array, with a row for each sample, got {shown(targets[()])}")
    if len(targets) != n:
        raise ParameterError(f"{what}targets must be one for each of the {n} samples, got {len(targets)}")
    return targets, n


def _taken(inputs, chosen):
    """Some of the samples."""
    if isinstance(inputs, dict):
        return {name: _taken(values, chosen) for name, values in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return [inputs[k] for k in chosen]
    return np.asarray(_validation.without_unit(inputs, "inputs", "ms"))[chosen]
