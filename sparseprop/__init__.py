"""Exact event-based simulation of sparse spiking networks: the public API."""

import importlib
import importlib.util
from typing import TYPE_CHECKING

if importlib.util.find_spec("sparseprop._core") is None:
    raise ImportError(
        "sparseprop's compiled part is missing. Python has probably imported the source folder instead of the "
        "installed package: run `pip install .` in the source folder, then start Python somewhere else"
    )

from . import dynamics, errors
from .batch import BatchResult, BatchSimulation, run_batch
from .citing import cite
from .connectivity import (
    all_to_all,
    edges,
    fixed_indegree,
    fixed_outdegree,
    fixed_total_number,
    one_to_one,
    pairwise_bernoulli,
)
from .connectivity.distributions import lognormal, normal, uniform
from .dynamics import LyapunovSpectrum, Perturbation, lyapunov_spectrum, perturb
from .gradient_check import GradientReport, check_gradients
from .gradients import Gradients, GradientWarning, Truncated
from .inputs import PoissonSource, SpikeSource, poisson, steps
from .models import EIF, LIF, PWLIF, QIF, LIFExp, NumericalIF, QuadraticIF, RapidTheta, Theta, uniform_phase
from .network import Network, Population, Projection, balanced_network, calibrate_rate
from .run.concatenation import concatenate
from .run.loading import load
from .run.recording import Record
from .run.result import Result
from .run.simulation import Simulation, StopReason
from .sweep import SweepResult, sweep
from .viewer import view

if TYPE_CHECKING:
    from . import analysis as analysis
    from . import interop as interop
    from . import jax as jax
    from . import raster as raster
    from . import simulation as simulation
    from . import torch as torch
    from . import training as training

    __version__: str

__all__ = [
    "EIF",
    "LIF",
    "LIFExp",
    "PWLIF",
    "QIF",
    "BatchResult",
    "BatchSimulation",
    "GradientReport",
    "GradientWarning",
    "Gradients",
    "LyapunovSpectrum",
    "Network",
    "NumericalIF",
    "Perturbation",
    "PoissonSource",
    "Population",
    "Projection",
    "QuadraticIF",
    "RapidTheta",
    "Record",
    "Result",
    "Simulation",
    "SpikeSource",
    "StopReason",
    "SweepResult",
    "Theta",
    "Truncated",
    "all_to_all",
    "balanced_network",
    "calibrate_rate",
    "check_gradients",
    "cite",
    "concatenate",
    "dynamics",
    "edges",
    "errors",
    "fixed_indegree",
    "fixed_outdegree",
    "fixed_total_number",
    "load",
    "lognormal",
    "lyapunov_spectrum",
    "normal",
    "one_to_one",
    "pairwise_bernoulli",
    "perturb",
    "poisson",
    "run_batch",
    "steps",
    "sweep",
    "uniform",
    "uniform_phase",
    "view",
]


_LAZY = ("analysis", "interop", "jax", "torch", "training")  # modules that are imported when they are first asked for
_FORMER = ("raster", "simulation")  # paths of names that have moved


if not TYPE_CHECKING:  # which takes it for any name that there could be

    def __getattr__(name):
        if name in _LAZY or name in _FORMER:
            return importlib.import_module(f"{__name__}.{name}")
        if name == "__version__":
            from importlib.metadata import version

            return version("sparseprop-sim")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names only, for whoever presses the tab key."""
    return sorted([*__all__, *_LAZY, "__version__"])
