"""Networks, and what engines get of them."""

from .network import (
    ENTRIES,
    Changes,
    Drive,
    EngineInput,
    Network,
    PoissonInput,
    Population,
    Projection,
    balanced_network,
    calibrate_rate,
    parameter_rows,
    parameters_of,
    require_currents,
)

__all__ = [
    "ENTRIES",
    "Changes",
    "Drive",
    "EngineInput",
    "Network",
    "PoissonInput",
    "Population",
    "Projection",
    "balanced_network",
    "calibrate_rate",
    "parameter_rows",
    "parameters_of",
    "require_currents",
]
