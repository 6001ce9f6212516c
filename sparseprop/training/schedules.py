"""Learning rates by epoch: functions from the number of an epoch (0, 1, ...) to a learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, shown
from ..numerics._functions import cos, pow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .._types import Description

__all__ = ["CosineDecay", "StepDecay"]


class _Schedule:
    """A learning rate to begin with, and what it is in an epoch."""

    def __init__(self, lr: float) -> None:
        name = f"lr of {type(self).__name__}"
        self.lr = _validation.real(lr, name, "a number > 0", low=0.0, low_open=True)

    def to_dict(self) -> Description:
        """Its name and settings, by which :meth:`Trainer.resume` knows it."""
        return {"name": type(self).__name__} | vars(self)

    def __repr__(self) -> str:
        settings = (f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(settings)})"


def _epoch(epoch):
    return _validation.integer(epoch, "epoch", "a whole number >= 0", low=0)


@named_arguments
class CosineDecay(_Schedule):
    """A learning rate that falls along half a period of a cosine, perhaps after a linear rise.

    ``lr_end + (lr - lr_end) (1 + cos(pi t / T)) / 2``, with t the epochs after the rise, of T; ``lr_end`` afterwards.

    Parameters
    ----------
    lr : float
        The largest.
    epochs : int
        After how many the end is reached, those of the rise included.
    lr_end : float
    warmup : int
        Epochs of the rise: ``lr (epoch + 1) / (warmup + 1)``.

    Raises
    ------
    ParameterError
        For values that are not allowed.

    References
    ----------
    Loshchilov and Hutter (2017), arXiv:1608.03983.

    Examples
    --------
    >>> from sparseprop import training
    >>> schedule = training.CosineDecay(0.1, epochs=6, warmup=2)
    >>> [round(schedule(epoch), 3) for epoch in range(8)]
    [0.033, 0.067, 0.1, 0.085, 0.05, 0.015, 0.0, 0.0]
    >>> training.Adam(lr=schedule).rate(4) == schedule(4)
    True
    """

    def __init__(self, lr: float, epochs: int, *, lr_end: float = 0.0, warmup: int = 0) -> None:
        super().__init__(lr)
        self.epochs = _validation.integer(epochs, "epochs of CosineDecay", "a whole number >= 1", low=1)
        allowed = f"a number from 0 to lr, {self.lr:g}"
        self.lr_end = _validation.real(lr_end, "lr_end of CosineDecay", allowed, low=0.0, high=self.lr)
        allowed = f"a whole number of epochs from 0 to {self.epochs - 1}, as there are {self.epochs} epochs in all"
        self.warmup = _validation.integer(warmup, "warmup of CosineDecay", allowed, low=0, high=self.epochs - 1)

    def __call__(self, epoch: int) -> float:
        epoch = _epoch(epoch)
        if epoch < self.warmup:
            return self.lr * (epoch + 1) / (self.warmup + 1)
        if epoch >= self.epochs:
            return self.lr_end
        share = (epoch - self.warmup) / (self.epochs - self.warmup)
        return self.lr_end + (self.lr - self.lr_end) * (1.0 + cos(np.pi * share)) / 2.0


@named_arguments
class StepDecay(_Schedule):
    """A learning rate that is multiplied by a factor at some epochs.

    Parameters
    ----------
    lr : float
        To begin with.
    epochs : int or sequence of int
        At each multiple of a number, or at these epochs, ascending.
    factor : float

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> from sparseprop import training
    >>> schedule = training.StepDecay(0.1, [2, 4], factor=0.5)
    >>> [schedule(epoch) for epoch in range(6)]
    [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    """

    def __init__(self, lr: float, epochs: int | Sequence[int], *, factor: float = 0.1) -> None:
        super().__init__(lr)
        given: Any = _validation.without_unit(epochs, "epochs of StepDecay")
        self.epochs: int | list[int]
        if _validation.is_array(given):
            self.epochs = [
                _validation.integer(epoch, f"epochs[{k}] of StepDecay", "a whole number >= 1", low=1)
                for k, epoch in enumerate(given)
            ]
            if not self.epochs or any(b <= a for a, b in zip(self.epochs, self.epochs[1:], strict=False)):
                raise ParameterError(f"epochs of StepDecay must be ascending, at least one, got {shown(given)}")
        else:
            self.epochs = _validation.integer(given, "epochs of StepDecay", "a whole number >= 1", low=1)
        name = "factor of StepDecay"
        self.factor = _validation.real(factor, name, "a number > 0, and at most 1", low=0.0, low_open=True, high=1.0)

    def __call__(self, epoch: int) -> float:
        epoch = _epoch(epoch)
        steps = sum(epoch >= at for at in self.epochs) if isinstance(self.epochs, list) else epoch // self.epochs
        return self.lr * pow(self.factor, steps)
