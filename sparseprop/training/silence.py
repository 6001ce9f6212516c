"""Trainings that cannot get anywhere: nobody fires, or no gradient reaches what is trained."""

import numpy as np

from ..batch._spikes import spikes_by_population
from ..errors import warn
from .readout import is_readout

__all__ = ["Activity", "SilenceWarning"]


class SilenceWarning(UserWarning):
    """A training in which a population never fires, or no gradient reaches weights or delays: they stay as they are.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np, sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0, V_th=100.0), seed=1)
    >>> trainer = training.Trainer(net, training.FirstSpikeCrossEntropy(), duration=50.0, n_threads=1)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     history = trainer.fit(np.full((4, 2), np.inf), np.zeros(4, int), epochs=1)  # no input spike
    >>> {warning.category.__name__ for warning in caught}
    {'SilenceWarning'}
    """


class Activity:
    """What a network did in the samples of an epoch: who fired, and which gradients were not 0.

    Parameters
    ----------
    network : Network
    trained : list of (str, int)
        What is trained: "weight" or "delay", and the number of the projection.
    """

    def __init__(self, network, trained):
        self.network, self.trained = network, trained
        self.told = set()  # each is told once
        self.clear()

    def clear(self):
        """An epoch begins."""
        self.samples, self.inputs = 0, 0
        self.fired = {}  # by number of the population
        self.reached = dict.fromkeys(self.trained, False)

    def add(self, result, gradients):
        """A batch, and its gradients by what is trained."""
        self.samples += result.n_samples
        self.inputs += result.n_input_events
        populations = self.network.populations
        counts = spikes_by_population(result.ids, np.array([p.first + p.n for p in populations], np.int64))
        for p, n in zip(populations, counts.tolist(), strict=True):
            self.fired[p.index] = self.fired.get(p.index, 0) + n
        for key in self.trained:
            self.reached[key] = self.reached[key] or bool(np.any(gradients[key]))

    def state(self):
        """For a checkpoint within an epoch."""
        return {
            "samples": self.samples,
            "inputs": self.inputs,
            "fired": [self.fired.get(p.index, 0) for p in self.network.populations],
            "reached": [self.reached[key] for key in self.trained],
        }

    def restore(self, state):
        """Go on from :meth:`state`."""
        self.clear()
        self.samples, self.inputs = state["samples"], state["inputs"]
        self.fired = dict(enumerate(state["fired"]))
        self.reached = dict(zip(self.trained, state["reached"], strict=True))

    def tell(self, epoch):
        """Warn of what has been silent or without gradient in all samples of the epoch, once of each."""
        found = [text for key, text in self._found() if key not in self.told]
        self.told |= {key for key, _ in self._found()}
        if found:
            warn(
                f"in epoch {epoch + 1} ({self.samples} samples) {'; '.join(found)}. See docs/training.md, "
                '"Silent neurons"',
                SilenceWarning,
            )

    def _found(self):
        """(key, what is wrong and the remedy), the first cause first."""
        net = self.network
        lost = [key for key in self.trained if not self.reached[key]]
        if not lost:
            return
        if self.inputs == 0:
            yield (
                "inputs",
                "no source fired: all times of the inputs are inf, or not before the end of the trial (inputs and "
                "duration are in ms)",
            )
        able = [p for p in net.populations if not p.is_source and not is_readout(p)]
        silent = {p.index for p in able if not self.fired.get(p.index)}
        waking = self._waking(silent)
        for p in net.populations:
            if p.index in silent - waking:
                yield (
                    ("population", p.index),
                    f"no neuron of {p.name!r} fired, and no gradient reached it: {_remedy(p)}",
                )
        why = (
            ": the loss does not depend on them (a spike that a kick causes at once has its time, whatever the weight)"
            if not silent - waking
            else ""
        )
        for name, k in lost:
            p = net.projections[k]
            if p.pre.index not in waking:
                yield (name, k), f"no gradient reached the {name}s of {p.pre.name!r} -> {p.post.name!r}{why}"

    def _waking(self, silent):
        """Those of silent populations that a gradient pulls (of pseudospikes, PeakMargin, readouts of V), and what may
        fire once they do."""
        projections = [(self.network.projections[k], self.reached[name, k]) for name, k in self.trained]
        waking = {p.post.index for p, is_reached in projections if is_reached} & silent
        while True:
            more = {p.post.index for p, _ in projections if p.pre.index in waking} & silent - waking
            if not more:
                return waking
            waking |= more


def _remedy(p):
    """How neurons of a population are brought to fire."""
    begin = "begin with larger weights (weight_mean=, weight_std=) or a larger I_e, or make the trial longer"
    if p.model.is_quadratic:
        return (
            f"{begin}; with I_e > 0, losses with pseudospikes=True and "
            f"training.SpikeCountPenalty({p.name!r}, low=1.0, pseudospikes=True) wake silent neurons"
        )
    if p.model.is_linear:
        return f"{begin}; penalties=[training.PeakMargin({p.name!r}, times=[...])] pulls silent neurons to threshold"
    return begin
