"""What is recorded for losses, and what they say of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, shown
from ..run.recording import Record
from .losses import Evaluation

if TYPE_CHECKING:
    from .._types import LossFunction
    from ..network import Network

__all__ = ["checked_loss", "evaluated", "record_for"]


@named_arguments
def record_for(net: Network, duration: float, *losses: LossFunction) -> Record | None:
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
    found = [_readings(checked_loss(loss, f"losses[{k}]"), net, duration) for k, loss in enumerate(losses)]
    ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(ids for ids, times in found if len(times))]))
    times = np.unique(np.concatenate([np.zeros(0), *(times for _, times in found)]))
    return Record(V=ids, V_times=times) if len(ids) else None


def checked_loss(loss, name):
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


def evaluated(loss, result, targets):
    """What a loss says of a batch."""
    evaluation = loss(result, targets)
    if not isinstance(evaluation, Evaluation):
        raise ParameterError(
            f"a loss must return a training.Evaluation(value, dL_dtimes, dL_dV), with its derivatives for result.times "
            f"and result.V, got {shown(evaluation)} from {shown(loss)}"
        )
    return evaluation
