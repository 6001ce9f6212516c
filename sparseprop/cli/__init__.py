"""The command `sparseprop`."""

from .commands import main

__all__ = [
    "main",
]
