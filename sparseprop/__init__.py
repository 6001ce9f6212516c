"""Exact event-based simulation of sparse spiking networks: the public API."""

import importlib.util

if importlib.util.find_spec("sparseprop._core") is None:
    raise ImportError(
        "sparseprop's compiled part is missing. Python has probably imported the source folder instead of the "
        "installed package: run `pip install .` in the source folder, then start Python somewhere else"
    )

from . import errors
from .connectivity import (
    all_to_all,
    edges,
    fixed_indegree,
    fixed_outdegree,
    fixed_total_number,
    one_to_one,
    pairwise_bernoulli,
)
from .models import LIF, QIF, Theta, uniform_phase
from .network import Network, Population, Projection, balanced_network, calibrate_rate
from .result import Result, load
from .simulation import Simulation, StopReason

__all__ = [
    "LIF",
    "QIF",
    "Network",
    "Population",
    "Projection",
    "Result",
    "Simulation",
    "StopReason",
    "Theta",
    "all_to_all",
    "balanced_network",
    "calibrate_rate",
    "edges",
    "errors",
    "fixed_indegree",
    "fixed_outdegree",
    "fixed_total_number",
    "load",
    "one_to_one",
    "pairwise_bernoulli",
    "uniform_phase",
]
