"""What became of a training: one entry for each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, shown, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from matplotlib.axes import Axes

    from .._types import Floats, PlotAxes

__all__ = ["History"]

ENTRIES = ("loss", "accuracy", "error", "lr", "seconds", "validation_loss", "validation_accuracy", "validation_error")


@named_arguments
class History:
    """What became of the loss: one entry for each epoch.

    Attributes
    ----------
    epochs : list of dict
        ``"loss"``, ``"accuracy"`` or ``"error"`` of the training samples as they came by, the same with
        ``"validation_"`` if there are such samples, ``"lr"``, and ``"seconds"`` of CPU time for training. Metrics of
        the Trainer are there as losses are.

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

    epochs: list[dict[str, Any]]

    def __init__(self, epochs: Iterable[dict[str, Any]] = ()) -> None:
        if not _validation.is_array(epochs) or not all(isinstance(epoch, dict) for epoch in epochs):
            raise ParameterError(f"epochs must be a sequence of dictionaries, one for each epoch, got {shown(epochs)}")
        self.epochs = list(epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.epochs)

    def __contains__(self, name: object) -> bool:
        """Whether any epoch has an entry of that name."""
        return any(name in epoch for epoch in self.epochs)

    def __getitem__(self, name: str) -> Floats:
        """The values of all epochs by name; NaN where there is none."""
        if not isinstance(name, str) or name not in ENTRIES and name not in self:
            raise unknown_name("entry of the history", name, ENTRIES)
        return np.array([epoch.get(name, np.nan) for epoch in self.epochs], dtype=float)

    def __repr__(self) -> str:
        last = (
            ", ".join(f"{name} {value:.4g}" for name, value in self.epochs[-1].items()) if self.epochs else "none yet"
        )
        return f"<History of {len(self)} epochs; {last}>"

    def plot(self, ax: Axes | None = None, names: Sequence[str] | None = None) -> PlotAxes:
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
