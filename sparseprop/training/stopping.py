"""Trainings that end where nothing gets better, and the weights of the epoch that was best."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from .. import _validation
from ..errors import ParameterError, named_arguments, shown, unknown_name

if TYPE_CHECKING:
    from typing import Any, Literal

    from .._types import NumberOrArray

__all__ = ["BestEpoch", "EarlyStopping"]

MODES = {"loss": "min", "error": "min", "accuracy": "max"}


@named_arguments
@dataclasses.dataclass
class BestEpoch:
    """The best epoch so far: ``trainer.best`` of a training with :class:`EarlyStopping`.

    Attributes
    ----------
    monitor : str
        The entry of the history that is compared.
    epoch : int
        How many epochs were done by then.
    value : float
        Of that entry.
    weights, delays : dict
        What was trained, by number of the projection.

    Examples
    --------
    >>> from sparseprop import training
    >>> training.BestEpoch("validation_loss", 3, 0.25, {}, {}).value
    0.25
    """

    monitor: str
    epoch: int
    value: float
    weights: dict[int, NumberOrArray] = dataclasses.field(repr=False)
    delays: dict[int, NumberOrArray] = dataclasses.field(repr=False)


@named_arguments
class EarlyStopping:
    """End a training after some epochs in which nothing got better, and go back to the best.

    Parameters
    ----------
    patience : int or inf
        Epochs after the best one; inf: train to the end, and keep the best weights.
    monitor : str, optional
        An entry of the history, or a metric. Default: ``"validation_loss"`` if there are validation samples, else
        ``"loss"``. Losses of training samples are means over an epoch in which weights change.
    mode : {"min", "max"}, optional
        What is better; default: less of losses and errors, more of accuracies. Metrics of one's own need it.
    min_delta : float
        By how much an epoch has to be better than the best one.
    restore : bool
        Whether weights and delays are those of the best epoch when :meth:`Trainer.fit` has ended. The optimiser's means
        are not set back.

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> values, labels = training.yin_yang(150, seed=1)
    >>> inputs = training.latencies(values, bias=15.0)
    >>> net = training.layered_network([5, 10, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> trainer = training.Trainer(net, training.FirstSpikeCrossEntropy(pseudospikes=True), duration=35.0, n_threads=1)
    >>> stopping = training.EarlyStopping(patience=2)
    >>> validation = inputs[100:], labels[100:]
    >>> history = trainer.fit(inputs[:100], labels[:100], epochs=4, validation=validation, stopping=stopping)
    >>> trainer.evaluate(*validation)["loss"] == trainer.best.value == history["validation_loss"].min().item()
    True
    """

    def __init__(
        self,
        patience: float = 10,
        *,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
        min_delta: float = 0.0,
        restore: bool = True,
    ) -> None:
        if isinstance(patience, float) and patience == math.inf:
            self.patience = patience
        else:
            self.patience = _validation.integer(patience, "patience", "a whole number of epochs >= 1, or inf", low=1)
        if monitor is not None and not isinstance(monitor, str):
            raise ParameterError(f"monitor must be an entry of the history, such as 'loss', got {shown(monitor)}")
        if mode is not None and (not isinstance(mode, str) or mode not in ("min", "max")):
            raise unknown_name("mode", mode, ["min", "max"])
        self.monitor, self.mode = monitor, mode
        self.min_delta = _validation.real(min_delta, "min_delta", "a number >= 0", low=0.0)
        self.restore = _validation.flag(restore, "restore")
        if monitor is not None:
            self.direction(monitor)

    def __repr__(self) -> str:
        settings = (f"{key}={value!r}" for key, value in vars(self).items())
        return f"EarlyStopping({', '.join(settings)})"

    def monitored(self, has_validation: bool) -> str:
        """The entry of the history that is compared."""
        if self.monitor is None:
            return "validation_loss" if has_validation else "loss"
        if self.monitor.startswith("validation_") and not has_validation:
            raise ParameterError(
                f"EarlyStopping looks at {self.monitor!r}, but there are no validation samples: give "
                f"validation=(inputs, targets), or monitor={self.monitor.removeprefix('validation_')!r}"
            )
        return self.monitor

    def direction(self, monitor: str) -> float:
        """1.0 where more is better, -1.0 where less is."""
        mode = self.mode or MODES.get(monitor.removeprefix("validation_"))
        if mode is None:
            raise ParameterError(
                f"EarlyStopping needs mode='min' or mode='max' for {monitor!r}, which may be better either way"
            )
        return 1.0 if mode == "max" else -1.0

    def is_better(self, entry: dict[str, Any], monitor: str, best: BestEpoch | None) -> bool:
        """Whether an epoch, an entry of the history, is better than the best one."""
        if monitor not in entry:
            raise unknown_name("entry of the history", monitor, list(entry))
        gain = 0.0 if best is None else self.direction(monitor) * (entry[monitor] - best.value)
        return not math.isnan(entry[monitor]) and (best is None or gain > self.min_delta)

    def is_over(self, best: BestEpoch | None, epoch: int) -> bool:
        """Whether patience is at its end after so many epochs."""
        return best is not None and epoch - best.epoch >= self.patience
