"""What else is measured in an epoch: numbers by name, or functions of results and targets."""

import numpy as np

from .. import _validation
from ..errors import ParameterError, shown, unknown_name
from .history import ENTRIES

__all__ = ["checked_metrics", "measured"]


def _neurons(result):
    return [p for p in result._network.populations if not p.is_source]


def _rate(result, targets):
    """Mean firing rate of all neurons in Hz."""
    spikes = sum(result.spike_counts(p.name).sum() for p in _neurons(result))
    return spikes / (sum(p.n for p in _neurons(result)) * result.n_samples * result.duration * 1e-3)


def _silent_share(result, targets):
    """Share of neurons that do not fire in a sample, on average."""
    silent = sum((result.spike_counts(p.name) == 0).sum() for p in _neurons(result))
    return silent / (sum(p.n for p in _neurons(result)) * result.n_samples)


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
