"""Samples and their targets: checked, taken for a batch, and what is summed over them."""

import numpy as np

from .. import _validation
from ..batch import SpikeData
from ..errors import ParameterError, shown

__all__ = ["checked_samples", "count", "no_samples", "summary", "taken"]


def no_samples(metrics=()):
    """Sums over samples, to begin with."""
    sums = {"samples": 0, "loss": 0.0, "right": 0, "error": 0.0, "seconds": 0.0}
    return sums | {"metrics": dict.fromkeys(metrics, 0.0)} if metrics else sums


def count(sums, evaluation, targets, measures):
    """Add a batch to the sums, and what was measured in it."""
    n = len(targets)
    for name, value in measures.items():
        # A metric that was added within an epoch has no value for all of it.
        sums.setdefault("metrics", {}).setdefault(name, np.nan if sums["samples"] else 0.0)
        sums["metrics"][name] += value * n
    sums["samples"] += n
    sums["loss"] += evaluation.value * n
    sums["error"] = None if evaluation.error is None else sums["error"] + evaluation.error * n
    right = evaluation.predictions
    sums["right"] = None if right is None else sums["right"] + int(np.sum(right == targets))


def summary(sums):
    found = {"loss": sums["loss"], "accuracy": sums["right"], "error": sums["error"]} | sums.get("metrics", {})
    return {name: value / sums["samples"] for name, value in found.items() if value is not None}


def checked_samples(inputs, targets, what=""):
    """Targets as an array, and how many samples there are: as many as targets, and at least one."""
    sources = inputs if isinstance(inputs, dict) else {"": inputs}
    if not sources:
        raise ParameterError(f"{what}inputs must have spikes for at least one source, got none")
    for values in sources.values():
        if not _validation.is_array(values) and not isinstance(values, SpikeData):
            raise ParameterError(
                f"{what}inputs must be an array, a sequence with one entry for each sample, a training.SpikeData, or a "
                f"dictionary of these, got {shown(values)}"
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


def taken(inputs, chosen):
    """Some of the samples."""
    if isinstance(inputs, dict):
        return {name: taken(values, chosen) for name, values in inputs.items()}
    if isinstance(inputs, SpikeData):
        return inputs[chosen]
    if isinstance(inputs, (list, tuple)):
        return [inputs[k] for k in chosen]
    return np.asarray(_validation.without_unit(inputs, "inputs", "ms"))[chosen]
