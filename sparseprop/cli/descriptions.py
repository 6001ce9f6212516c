"""Results, rasters and networks in words, for people who have not seen one before."""

import math

import numpy as np

from ..connectivity.distributions import distribution_from_dict
from ..errors import shown_range
from ..run.stopping import REASONS, StopReason

__all__ = ["described", "spikes_of", "summary", "what_is_kept"]

CV_MAX_SPIKES = 50_000_000  # the CV needs all spikes in memory
CV_MIN_SPIKES = 20  # per neuron; with fewer the CV is visibly too small


def spikes_of(result, population, n_in_file):
    """What a raster has of a population, in words; its spikes are not read for that."""
    recorded = result.recorded[population.name]
    n_recorded = None if recorded is None else population.n if recorded is True else len(recorded)
    if n_recorded == 0 and population.is_source:
        return f"{population.n:,} sources, not recorded"
    n_spikes = n_in_file if n_recorded == population.n else result.spikes_of.get(population.name)
    rate = ""
    if n_spikes is not None and population.n and result.duration > 0.0:
        rate = f", {1e3 * n_spikes / (population.n * result.duration):.4g} Hz"
    if n_recorded is None:
        return f"{population.n:,} neurons (the largest id + 1), {n_in_file:,} spikes"
    if n_recorded == population.n:
        return f"{population.n:,} neurons, {n_in_file:,} spikes{rate}"
    in_all = "" if n_spikes is None else f" of {n_spikes:,}"
    return f"{population.n:,} neurons, {n_recorded:,} of them recorded, {n_in_file:,}{in_all} spikes{rate}"


def summary(result):
    """What happened, for people who have not seen such a result before."""
    lines = [f"Spikes        {result.n_spikes:,} in {result.duration:g} ms of the network's time"]
    if result.duration > 0.0:
        lines.append(f"Rate          {result.rate:.3g} Hz: spikes of a neuron per second, on average")
    cv = result.cv_isi if result.n_spikes <= CV_MAX_SPIKES else math.nan
    if not math.isnan(cv):
        lines.append(
            f"Irregularity  {cv:.2f}: the CV of the intervals between a neuron's spikes (a clock "
            "has 0, a Poisson process 1)"
        )
        if result.n_spikes < CV_MIN_SPIKES * result.n_neurons:
            lines.append("              (short runs miss the long intervals: it grows with the duration)")
    if result.stop_reason != StopReason.TIME:
        lines.append(f"End           {REASONS[result.stop_reason]}")
    if result.n_close_calls:
        lines.append(
            f"Close calls   {result.n_close_calls:,}: kicks at a spike of their target, whose order is rounding"
        )
    lines.append(f"Computing     {': '.join([f'{result.wall_time:.3g} s', *filter(None, [result.speed()])])}")
    return "\n".join(lines)


def what_is_kept(result):
    return f" at {result.t_stop:g} ms; the {result.n_in_file:,} spikes until then are in {result.path}"


def described(network):
    """Lines about a network in its dictionary form, without building it."""
    yield f"seed {network['seed']}"
    for population in network["populations"]:
        yield f"{population['name']}: {population['n']:,} neurons, {_call(population['model'])}"
    for projection in network["projections"]:
        weight = f", weight {_short(projection['weight'])}" if "weight" in projection else ""
        yield f"{projection['pre']} -> {projection['post']}: {_call(projection['rule'])}{weight}"


def _call(table):
    """``name(key=value, ...)`` of a model's or a rule's table."""
    parameters = [f"{key}={_short(value)}" for key, value in table.items() if key != "name"]
    return f"{table['name']}({', '.join(parameters)})"


def _short(value):
    """A value in a few characters."""
    if isinstance(value, dict) and "distribution" in value:
        return repr(distribution_from_dict(value, value["distribution"]))
    if isinstance(value, dict) and "ports" in value:
        return f"({', '.join(map(_short, value['ports']))})"
    if isinstance(value, (list, tuple)) and len(value) > 3:
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        return shown_range(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
