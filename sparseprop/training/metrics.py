"""What else is measured in an epoch: numbers by name, or functions of results and targets."""

import numpy as np

from .. import _validation
from ..errors import ParameterError, shown, unknown_name
from .history import ENTRIES
from .readout import is_readout

__all__ = ["checked_metrics", "measured"]


def _counts(result):
    """Numbers of spikes of all neurons that may fire, of shape (samples, neurons)."""
    neurons = [p for p in result._network.populations if not p.is_source and not is_readout(p)]
    return np.concatenate([np.zeros((result.n_samples, 0)), *(result.spike_counts(p.name) for p in neurons)], axis=1)


def _rate(result, targets):
    """Mean firing rate of neurons in Hz."""
    counts = _counts(result)
    return counts.mean() / (result.duration * 1e-3) if counts.size else np.nan


def _silent_share(result, targets):
    """Share of neurons that do not fire in a sample, on average."""
    counts = _counts(result)
    return (counts == 0).mean() if counts.size else np.nan


NAMED = {"rate": _rate, "silent_share": _silent_share}


def checked_metrics(metrics):
    """The metrics by name, from names and functions, or a dictionary of these."""
    if isinstance(metrics, dict):
        given = metrics.items()
    elif _validation.is_array(metrics):
        given = [(_name(metric, k), metric) for k, metric in enumerate(metrics)]
    else:
        raise ParameterError(
            f"metrics must be a sequence of names and functions, such as ['rate'], or a dictionary, got "
            f"{shown(metrics)}"
        )
    found = {}
    for name, metric in given:
        if not isinstance(name, str) or not name or name in ENTRIES or name.startswith("validation_"):
            raise ParameterError(
                f"metrics must have names of their own, other than those of the history, {', '.join(ENTRIES)}, got "
                f"{shown(name)}"
            )
        if name in found:
            raise ParameterError(f"metrics must have different names, got {name!r} more than once; give a dictionary")
        if isinstance(metric, str):
            if metric not in NAMED:
                raise unknown_name("metric", metric, NAMED)
            metric = NAMED[metric]
        if not callable(metric) or isinstance(metric, type):
            raise ParameterError(f"the metric {name!r} must be a function of (result, targets), got {shown(metric)}")
        found[name] = metric
    return found


def _name(metric, k):
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", None)
    if name is None or name == "<lambda>":
        raise ParameterError(
            f"metrics[{k}] has no name, by which the history would know it: give a dictionary, "
            "metrics={'name': function}"
        )
    return name


def measured(metrics, result, targets):
    """The values of metrics for a batch; NaN is one."""
    return {name: _number(name, metric(result, targets)) for name, metric in metrics.items()}


def _number(name, value):
    if isinstance(value, (float, np.floating)) and np.isnan(value):
        return float(value)
    return _validation.real(value, f"what the metric {name!r} returns", "a number", infinite=True)
