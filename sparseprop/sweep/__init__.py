"""Grids of networks."""

from .grid import SweepResult, sweep

__all__ = [
    "SweepResult",
    "sweep",
]
