"""How parameters follow their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, shown
from ..numerics._functions import pow
from . import _step

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._types import Description, Floats

__all__ = ["Adam", "Optimizer"]


def described(thing):
    """By what a loss, or a learning rate that is a function, is known: its `to_dict()`, or its name."""
    if hasattr(thing, "to_dict"):
        return thing.to_dict()
    return {"name": getattr(thing, "__qualname__", type(thing).__name__)}  # a function's own, or that of the class


@named_arguments
class Optimizer:
    """What a :class:`Trainer` asks of an optimiser: the base of :class:`Adam`, those of PyTorch and optax, and yours.

    A class of one's own has `update`, and, if something is to be kept in files, `to_dict` and `restore`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseprop import training
    >>> class Descent(training.Optimizer):
    ...     def update(self, name, values, gradient, *, epoch=0, scale=1.0):
    ...         return values - 0.1 * scale * gradient
    >>> Descent().update("w", np.array([1.0, 2.0]), np.array([3.0, -0.5])).tolist()
    [0.7, 2.05]
    """

    def __init__(self) -> None:
        pass  # with which named_arguments says what is wrong with an argument

    def update(self, name: str, values: Floats, gradient: Floats, *, epoch: int = 0, scale: float = 1.0) -> Floats:
        """`values` after a step, a new array.

        Parameters
        ----------
        name : str
            Of the array, for what is kept of it.
        values, gradient : ndarray
        epoch : int
        scale : float
            Factor of the learning rate.
        """
        raise NotImplementedError(f"{type(self).__name__} needs update(name, values, gradient, *, epoch, scale)")

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, for the history; NaN: not known."""
        return float("nan")

    def to_dict(self) -> Description:
        """What a training goes on from: ``{"settings": ..., "state": ...}``, of plain values and arrays."""
        return {"settings": {}, "state": {}}

    def restore(self, d: Description) -> None:
        """Go on from what :meth:`to_dict` returned."""


@named_arguments
class Adam(Optimizer):
    """Adam with a learning rate that decays from epoch to epoch.

    Parameters
    ----------
    lr : float or callable
        Step size, in the unit of the parameter; or a function from the number of an epoch (0, 1, ...) to it, such as
        :class:`CosineDecay`.
    decay : float
        Factor of the learning rate from one epoch to the next.
    betas : (float, float)
        Of the running means of gradients and of their squares.
    epsilon : float
    clip : float or None
        A gradient of an array whose Euclidean norm is more than this times the root of its running mean square is
        scaled down to that. Exact gradients have no bound where spikes graze the threshold, and one such gradient would
        otherwise move all weights by 30 learning rates, and then stop them for a thousand steps. None: never.

    References
    ----------
    Kingma and Ba (2015), arXiv:1412.6980.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseprop import training
    >>> adam = training.Adam(lr=0.1)
    >>> adam.update("w", np.array([1.0, 2.0]), np.array([3.0, -0.5])).round(3).tolist()
    [0.9, 2.1]
    """

    def __init__(
        self,
        lr: float | Callable[[int], float] = 5e-3,
        decay: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        clip: float | None = 3.0,
    ) -> None:
        positive: dict[str, Any] = {"low": 0.0, "low_open": True}
        self.lr: float | Callable[[int], float]
        if callable(lr) and not isinstance(lr, type):
            self.lr = lr
        else:
            self.lr = _validation.real(lr, "lr of Adam", "a number > 0, or a function of the epoch", **positive)
        self.decay = _validation.real(decay, "decay of Adam", "a number > 0, and at most 1", high=1.0, **positive)
        if not _validation.is_array(betas) or len(betas) != 2:
            raise ParameterError(
                f"betas of Adam must be two numbers in [0, 1), such as (0.9, 0.999), got {shown(betas)}"
            )
        betas = _validation.without_unit(betas, "betas of Adam")
        self.betas = tuple(
            _validation.real(beta, f"betas[{k}] of Adam", "a number in [0, 1)", low=0.0, high=1.0, high_open=True)
            for k, beta in enumerate(betas)
        )
        self.epsilon = _validation.real(epsilon, "epsilon of Adam", "a number > 0", **positive)
        self.clip = None if clip is None else _validation.real(clip, "clip of Adam", "a number > 0 or None", **positive)
        self._state: dict[str, Any] = {}

    def __repr__(self) -> str:
        lr = repr(self.lr) if callable(self.lr) else f"{self.lr:g}"
        values = f"lr={lr}, decay={self.decay:g}, betas={self.betas}, epsilon={self.epsilon:g}"
        return f"Adam({values}, clip={self.clip})"

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch."""
        lr = self._lr(epoch)
        return lr * self.decay**epoch

    def _lr(self, epoch):
        """Without the decay."""
        if not callable(self.lr):
            return self.lr
        return _validation.real(self.lr(epoch), f"lr of Adam in epoch {epoch}", "a number >= 0", low=0.0)

    def update(self, name: str, values: Floats, gradient: Floats, *, epoch: int = 0, scale: float = 1.0) -> Floats:
        """`values` after a step, a new array.

        Parameters
        ----------
        name : str
            Of the array, for what is kept of it.
        values, gradient : ndarray
        epoch : int
            For the decay.
        scale : float
            Factor of the learning rate.
        """
        values, gradient = _validation.plain(values, "values"), _validation.plain(gradient, "gradient")
        if values.shape != gradient.shape:
            raise ParameterError(
                f"gradient must be of the shape of values, {values.shape}, got shape {gradient.shape} for {shown(name)}"
            )
        first, second, steps = self._state.get(name) or (np.zeros_like(values), np.zeros_like(values), 0)
        b1, b2 = self.betas
        clip = 0.0 if self.clip is None or not steps else self.clip
        before = 1.0 - pow(b2, steps) if steps else 1.0
        now = 1.0 - pow(b1, steps + 1), 1.0 - pow(b2, steps + 1)
        lr = self._lr(epoch) * scale * pow(self.decay, epoch)
        x, g, m, v = (np.ascontiguousarray(array, float).reshape(-1) for array in (values, gradient, first, second))
        new, first, second = _step.adam(x, g, m, v, clip, b1, b2, before, now[0], now[1], lr, self.epsilon)
        self._state[name] = first.reshape(values.shape), second.reshape(values.shape), steps + 1
        return new.reshape(values.shape)

    def to_dict(self) -> Description:
        """Its settings and all running means."""
        settings = {name: getattr(self, name) for name in ("lr", "decay", "epsilon", "clip")}
        if callable(self.lr):
            settings["lr"] = described(self.lr)
        state = {name: {"m": m, "v": v, "steps": steps} for name, (m, v, steps) in self._state.items()}
        return {"settings": settings | {"betas": list(self.betas)}, "state": state}

    def restore(self, d: Description) -> None:
        """Go on from what :meth:`to_dict` returned; an `lr` that is a function stays the one that there is."""
        if not isinstance(d, dict) or not {"settings", "state"} <= set(d):
            raise ParameterError(f"an Adam is restored from what its to_dict() returned, got {shown(d)}")
        settings = dict(d["settings"])
        self.betas = tuple(settings.pop("betas"))
        if callable(self.lr) or isinstance(settings["lr"], dict):
            if not callable(self.lr) or settings["lr"] != described(self.lr):
                raise ParameterError(
                    f"an Adam with lr={shown(settings['lr'])} is restored into one with the same lr, got {self!r}"
                )
            del settings["lr"]
        vars(self).update(settings)
        self._state = {name: (s["m"], s["v"], s["steps"]) for name, s in d["state"].items()}
