"""Grids of networks."""

from .sweep import sweep
from .table import SweepResult

__all__ = [
    "SweepResult",
    "sweep",
]
