"""Neuron models: what a user describes neurons with, and the constants that engines derive from it."""

import math

from .base import LARGEST, NeuronModel, Parameter, UniformPhase, uniform_phase
from .currents import require_currents
from .lif import LIF, lif_constants
from .lifexp import LIFExp, lifexp_constants
from .riccati import (
    QIF,
    SHEAR_LIMIT,
    QuadraticIF,
    Theta,
    qif_constants,
    riccati_drives,
    riccati_parameters,
    voltage_origin,
)
from .tabulated import EIF, NumericalIF, tabulated_constants

__all__ = [
    "EIF",
    "LARGEST",
    "LIF",
    "MODELS",
    "QIF",
    "SHEAR_LIMIT",
    "LIFExp",
    "NeuronModel",
    "NumericalIF",
    "Parameter",
    "QuadraticIF",
    "Theta",
    "UniformPhase",
    "constants_of",
    "lif_constants",
    "lifexp_constants",
    "qif_constants",
    "require_currents",
    "riccati_drives",
    "riccati_parameters",
    "tabulated_constants",
    "uniform_phase",
    "voltage_origin",
]

# What files and the command line know by name.
MODELS = {model.__name__: model for model in (LIF, LIFExp, QIF, Theta, QuadraticIF, EIF, NumericalIF)}


def constants_of(kernel, parameters):
    """The constants of a neuron with these parameters."""
    if kernel == "QIF":
        return qif_constants(math.sqrt, **riccati_parameters(**parameters)[0])
    make = {"LIF": lif_constants, "LIFExp": lifexp_constants, "Tabulated": tabulated_constants}[kernel]
    return make(math.fsum, **parameters)
