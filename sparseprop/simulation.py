"""The names of :mod:`sparseprop.run.simulation` under the path that they had first."""

from .run.simulation import ENGINES, Simulation, StopReason

__all__ = ["ENGINES", "Simulation", "StopReason"]
