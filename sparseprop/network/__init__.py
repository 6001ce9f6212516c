"""Networks, as users describe them, and the way from there to what engines get."""

from .network import (
    ENTRIES,
    Drive,
    Network,
    Population,
    Projection,
    balanced_network,
    calibrate_rate,
)

__all__ = [
    "ENTRIES",
    "Drive",
    "Network",
    "Population",
    "Projection",
    "balanced_network",
    "calibrate_rate",
]
