"""The points of a sweep, and what a worker does with one."""

import itertools
import pickle
import traceback
from collections.abc import Mapping

from .. import _validation
from ..errors import ParameterError, shown
from ..run.simulation import Simulation
from .table import key_of, plain

__all__ = ["DEFAULT_COLUMNS", "described", "evaluate", "points_of"]

DEFAULT_COLUMNS = ("n_spikes", "rate", "cv_isi", "t_stop", "stop_reason", "wall_time")


def _measured(result):
    """The columns that a sweep has if it is not told others."""
    return {name: getattr(result, name) for name in DEFAULT_COLUMNS} | {"stop_reason": str(result.stop_reason)}


def points_of(grid, taken):
    """The points of a grid as dicts of plain values."""
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if not _validation.is_array(values):
                raise ParameterError(f"grid[{name!r}] must be a sequence of values such as [1, 2], got {shown(values)}")
        points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())] if grid else []
    elif _validation.is_array(grid) and all(isinstance(point, Mapping) for point in grid):
        points = [dict(point) for point in grid]
    else:
        raise ParameterError(f"grid must be a dict of sequences, or a sequence of dicts, got {shown(grid)}")
    if not points:
        raise ParameterError(f"grid must have at least one point, got {shown(grid)}; give each parameter a value")
    seen = set()
    for point in points:
        for name, value in point.items():
            if not is_name(name):
                raise ParameterError(f"names of the grid must be printable texts, got {name!r}")
            if name in taken:
                raise ParameterError(
                    f"name {name!r} of the grid is also a column of the results; give it another name, or a measure= "
                    "whose columns have other names"
                )
            point[name] = plain(value)
        key = key_of(point, sorted(point))
        if key in seen:
            raise ParameterError(
                f"grid must have each point once, got {shown(point)} twice; let a seed tell them apart"
            )
        seen.add(key)
    return points


def is_name(name):
    return isinstance(name, str) and name.isprintable() and name != ""


def evaluate(build, point, options, measure):
    """What a worker does: pickled (columns, error, traceback). Only an interrupt leaves it as an exception."""
    try:
        net = build(**point)
        if not hasattr(net, "engine_input"):
            raise ParameterError(f"build must return a Network, got {shown(net)}")
        # The points share the cores out among themselves.
        simulation = Simulation(net, engine=options["engine"], seed=options["seed"], n_threads=1)
        result = simulation.run(options["duration"], n_spikes=options["n_spikes"], progress=False, interrupt="raise")
        values = (measure or _measured)(result)
        if not isinstance(values, Mapping) or not all(map(is_name, values)):
            raise ParameterError(f"measure must return a dict with printable texts as keys, got {shown(values)}")
        for name in values:
            if name in point or name == "error":
                raise ParameterError(f"measure must not return a column {name!r}, which there is; name it otherwise")
        return pickle.dumps(({name: plain(value) for name, value in values.items()}, None, ""))
    except (Exception, SystemExit) as error:
        return pickle.dumps(({}, described(error), traceback.format_exc()))


def described(error):
    """Type and message of an exception, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
