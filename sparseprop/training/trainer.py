"""Training a network on samples: batches, optimiser, history, checkpoints."""

import contextlib
import time

import numpy as np

from .. import _validation
from ..batch import BatchSimulation
from ..checkpoint import fingerprint, read_state, write_state
from ..connectivity import ProceduralAdjacency
from ..errors import CheckpointMismatchError, ParameterError
from ..network import Projection
from ..recording import Record
from .losses import Evaluation
from .optimizers import Adam

__all__ = ["History", "Trainer", "record_for"]

EVALUATION_BATCH = 500


def record_for(net, duration, *losses):
    """What has to be recorded for losses, for ``run_batch(record=...)``; None if nothing."""
    found = [loss.readings(net, duration) for loss in losses]
    ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(ids for ids, times in found if len(times))]))
    times = np.unique(np.concatenate([np.zeros(0), *(times for _, times in found)]))
    return Record(V=ids, V_times=times) if len(ids) else None


class History:
    """What became of the loss: one entry for each epoch.

    Attributes
    ----------
    epochs : list of dict
        ``"loss"``, ``"accuracy"`` or ``"error"`` of the training samples as they came by, the same with
        ``"validation_"`` if there are such samples, ``"lr"``, and ``"seconds"`` of CPU time for training.
    """

    def __init__(self, epochs=()):
        self.epochs = list(epochs)

    def __len__(self):
        return len(self.epochs)

    def __getitem__(self, name):
        """The values of all epochs by name; NaN where there is none."""
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
        if names:
            ax.legend(frameon=False)
        return ax


class Trainer:
    """Trains the weights of a network, and its delays if they are wanted.

    Parameters
    ----------
    net : Network
        Its projections get new weights.
    loss : Loss
        See :mod:`sparseprop.training`.
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

    def __init__(
        self, net, loss, *, duration, optimizer=None, batch_size=32, penalties=(), projections=None,
        train_weights=True, train_delays=False, min_delay=0.0, max_delay=np.inf, delay_lr=1.0, seed=0, n_threads=None,
    ):  # fmt: skip
        self.network, self.loss, self.penalties = net, loss, list(penalties)
        self.duration = _validation.real(duration, "duration", "a finite time > 0 ms", low=0.0, low_open=True)
        self.optimizer = Adam() if optimizer is None else optimizer
        self.batch_size = _validation.integer(batch_size, "batch_size", "a whole number >= 1", low=1)
        self.min_delay = _validation.real(min_delay, "min_delay", "a finite time >= 0 ms", low=0.0)
        self.max_delay = _validation.real(
            max_delay, "max_delay", f"a time >= min_delay, {min_delay} ms, or inf", low=self.min_delay, infinite=True
        )
        self.delay_lr = _validation.real(delay_lr, "delay_lr", "a number > 0", low=0.0, low_open=True)
        self.seed = _validation.integer(seed, "seed", "a whole number >= 0", low=0)
        trained = range(len(net.projections)) if projections is None else [self._number(p) for p in projections]
        self._weights = list(trained) if _validation.flag(train_weights, "train_weights") else []
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
        self._running = {"samples": 0, "loss": 0.0, "right": 0, "error": 0.0, "seconds": 0.0}

    def _number(self, projection):
        if isinstance(projection, Projection):
            for k, p in enumerate(self.network.projections):
                if p is projection:
                    return k
            raise ParameterError(f"{projection!r} is no projection of the network")
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
            Looked at after each epoch.
        checkpoint : path-like, optional
            File for :meth:`save`, written every `every` epochs.
        progress : bool or None
            None: a bar where there is a terminal.
        callback : callable, optional
            Called with the trainer after each epoch; training ends if it returns True.

        Returns
        -------
        History

        Raises
        ------
        ParameterError, RunawayError, NumericalError
        """
        targets = np.asarray(targets)
        n = _n_samples(inputs)
        if len(targets) != n:
            raise ParameterError(f"targets must be one for each of the {n} samples, got {len(targets)}")
        if n == 0:
            raise ParameterError("inputs must have at least one sample")
        epochs = _validation.integer(epochs, "epochs", "a whole number >= 0", low=0)
        every = _validation.integer(every, "every", "a whole number of epochs >= 1", low=1)
        with self._bar(epochs, progress) as bar:
            while self.epoch < epochs:
                order = np.random.default_rng([self.seed, self.epoch]).permutation(n)
                for first in range(self.batch * self.batch_size, n, self.batch_size):
                    chosen = order[first : first + self.batch_size]
                    self.step(_taken(inputs, chosen), targets[chosen])
                entry = self._end_of_epoch(validation)
                bar.update()
                bar.set_postfix({k: f"{v:.4g}" for k, v in entry.items() if k not in ("lr", "seconds")}, refresh=False)
                if checkpoint is not None and (self.epoch % every == 0 or self.epoch == epochs):
                    self.save(checkpoint)
                if callback is not None and callback(self):
                    break
        return self.history

    @staticmethod
    def _bar(epochs, progress):
        from tqdm.auto import tqdm

        disable = None if progress is None else not _validation.flag(progress, "progress")
        return contextlib.closing(tqdm(total=epochs, unit="epoch", disable=disable, leave=False))

    def step(self, inputs, targets):
        """Train on one batch.

        Returns
        -------
        Evaluation
            Before the step.
        """
        began = time.process_time()
        result = self._simulation.run(inputs, self.duration, record=self._record, tape=True)
        evaluation = self._evaluation(result, targets)
        total = evaluation
        if self.penalties:
            total = Evaluation(evaluation.value, evaluation.dL_dtimes, evaluation.dL_dV, dict(evaluation.dL_dweight))
            for penalty in self.penalties:
                total.add(penalty(result, targets))
        grads = result.backward(total.dL_dtimes, total.dL_dV, tau_m=False)
        projections = self.network.projections
        for k in self._weights:
            by_weight = grads.weight[k] + total.dL_dweight.get(k, 0.0)
            new = self.optimizer.update(f"weight {k}", projections[k].weight, by_weight, epoch=self.epoch)
            projections[k].weight = new
        for k in self._delays:
            delay = self.optimizer.update(
                f"delay {k}", projections[k].delay, grads.delay[k], epoch=self.epoch, scale=self.delay_lr
            )
            projections[k].delay = np.clip(delay, self.min_delay, self.max_delay)
        self.batch += 1
        running, n = self._running, result.n_samples
        running["samples"] += n
        running["loss"] += total.value * n
        running["error"] = None if evaluation.error is None else running["error"] + evaluation.error * n
        running["right"] = None if evaluation.predictions is None else running["right"] + _n_right(evaluation, targets)
        running["seconds"] += time.process_time() - began
        return total

    def _evaluation(self, result, targets):
        evaluation = self.loss(result, targets)
        if not np.isfinite(evaluation.value):
            raise ParameterError(f"the loss is {evaluation.value}; a smaller learning rate, or other units, may help")
        return evaluation

    def _end_of_epoch(self, validation):
        running = self._running
        entry = _summary(running["samples"], running["loss"], running["right"], running["error"])
        entry["lr"] = self.optimizer.lr * self.optimizer.decay**self.epoch
        entry["seconds"] = running["seconds"]
        if validation is not None:
            entry |= {f"validation_{name}": value for name, value in self.evaluate(*validation).items()}
        self.history.epochs.append(entry)
        self.epoch, self.batch = self.epoch + 1, 0
        self._running = {"samples": 0, "loss": 0.0, "right": 0, "error": 0.0, "seconds": 0.0}
        return entry

    def evaluate(self, inputs, targets):
        """The loss and, if the loss has such, accuracy or error, of samples; nothing is trained.

        Returns
        -------
        dict
            ``"loss"``, ``"accuracy"``, ``"error"``.
        """
        targets, n = np.asarray(targets), _n_samples(inputs)
        loss, right, error = 0.0, 0, 0.0
        for first in range(0, n, EVALUATION_BATCH):
            chosen = np.arange(first, min(n, first + EVALUATION_BATCH))
            result = self._simulation.run(_taken(inputs, chosen), self.duration, record=self._record)
            evaluation = self.loss(result, targets[chosen])
            loss += evaluation.value * len(chosen)
            error = None if evaluation.error is None else error + evaluation.error * len(chosen)
            right = None if evaluation.predictions is None else right + _n_right(evaluation, targets[chosen])
        return _summary(n, loss, right, error)

    def run(self, inputs, *, record=None, tape=False):
        """A :class:`BatchResult` of the network as it is now, with what the loss needs recorded by default."""
        record = self._record if record is None else record
        return self._simulation.run(inputs, self.duration, record=record, tape=tape)

    def close(self):
        """End the threads."""
        self._simulation.close()

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _fingerprint(self):
        """Of what a state belongs to: the network without what is trained, and how it is trained."""
        net = self.network
        return fingerprint(
            {
                "populations": [p.to_dict() for p in net.populations],
                "projections": [
                    {"pre": p.pre.name, "post": p.post.name, "sources": p.sources, "targets": p.targets, "port": p.port}
                    for p in net.projections
                    if not isinstance(p.adjacency, ProceduralAdjacency)
                ],
                "trained": [self._weights, self._delays],
                "how": [self.batch_size, self.seed, self.duration, self.min_delay, self.max_delay, self.delay_lr],
                "loss": [type(loss).__name__ for loss in (self.loss, *self.penalties)],
            }
        )

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
                "fingerprint": self._fingerprint(),
                "weights": {str(k): projections[k].weight for k in self._weights},
                "delays": {str(k): projections[k].delay for k in self._delays},
                "optimizer": self.optimizer.to_dict(),
                "epoch": self.epoch,
                "batch": self.batch,
                "running": self._running,
                "history": self.history.epochs,
            },
        )

    def resume(self, path):
        """Go on from what :meth:`save` wrote; weights come out as if there had been no cut, bit for bit.

        The trainer has to be made as the one that was saved, with the same network.

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
        state = read_state(path)
        if state.get("kind") != "training":
            raise CheckpointMismatchError(f"{path} is the state of a simulation, and not of a training")
        if state["fingerprint"] != self._fingerprint():
            raise CheckpointMismatchError(
                f"{path} belongs to another network or training: make network and Trainer as they were when it was "
                "saved (populations, synapses, batch_size, seed, duration, losses, what is trained)"
            )
        for k, weight in state["weights"].items():
            self.network.projections[int(k)].weight = weight
        for k, delay in state["delays"].items():
            self.network.projections[int(k)].delay = delay
        self.optimizer.restore(state["optimizer"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self._running, self.history = state["running"], History(state["history"])
        return self


def _summary(n, loss, right, error):
    n = max(n, 1)
    found = {"loss": loss / n, "accuracy": None if right is None else right / n}
    found["error"] = None if error is None else error / n
    return {name: value for name, value in found.items() if value is not None}


def _n_right(evaluation, targets):
    return int(np.sum(evaluation.predictions == targets))


def _n_samples(inputs):
    if isinstance(inputs, dict):
        if not inputs:
            raise ParameterError("inputs must have spikes for at least one source, got none")
        return len(next(iter(inputs.values())))
    return len(inputs)


def _taken(inputs, chosen):
    """Some of the samples."""
    if isinstance(inputs, dict):
        return {name: _taken(values, chosen) for name, values in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return [inputs[k] for k in chosen]
    return np.asarray(inputs)[chosen]
