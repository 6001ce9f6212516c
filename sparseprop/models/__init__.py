"""Neuron models: what a user describes neurons with, and the constants that engines derive from it."""

import dataclasses
from collections.abc import Callable

from .base import LARGEST, NeuronModel, Parameter, UniformPhase, uniform_phase
from .currents import require_currents
from .lif import LIF, lif_constants
from .lifexp import LIFExp, lifexp_constants
from .pwlif import PWLIF
from .rapid_theta import RapidTheta
from .riccati import (
    QIF,
    SHEAR_LIMIT,
    QuadraticIF,
    Theta,
    qif_constants,
    riccati_drives,
    riccati_parameters,
)
from .tabulated import EIF, NumericalIF, Tabulated, tabulated_constants

__all__ = [
    "EIF",
    "KERNELS",
    "LARGEST",
    "LIF",
    "MODELS",
    "PARAMETERS",
    "PWLIF",
    "QIF",
    "SHEAR_LIMIT",
    "TIME_CONSTANTS",
    "WITHOUT_GRADIENT",
    "LIFExp",
    "NeuronModel",
    "NumericalIF",
    "Parameter",
    "QuadraticIF",
    "RapidTheta",
    "Tabulated",
    "Theta",
    "UniformPhase",
    "lif_constants",
    "lifexp_constants",
    "names_of",
    "qif_constants",
    "require_currents",
    "riccati_drives",
    "riccati_parameters",
    "tabulated_constants",
    "uniform_phase",
]

# What files and the command line know by name.
MODELS = {
    model.__name__: model for model in (LIF, LIFExp, QIF, Theta, QuadraticIF, RapidTheta, EIF, NumericalIF, PWLIF)
}
# A model for each kernel: those that share one have the same `constants_of` and `neuron`.
KERNELS = {model.kernel: model for model in MODELS.values()}

_ROWS = [row for model in MODELS.values() for row in model.table.items()]
# The parameters of all models that gradients have for each neuron, of which those that set time constants. What has one
# value for each port comes from kernels with currents.
PARAMETERS = tuple(dict.fromkeys(name for name, row in _ROWS if row.has_gradient and not row.ports))
TIME_CONSTANTS = tuple(dict.fromkeys(name for name, row in _ROWS if row.sets_tau))
# What else models are made with.
WITHOUT_GRADIENT = {field.name for model in MODELS.values() for field in dataclasses.fields(model)} - {
    name for name, row in _ROWS if row.has_gradient
}


def names_of(can: Callable[[type[NeuronModel]], bool], last: str = "or") -> str:
    """The models for which `can` holds, in words, for messages: ``"LIF, LIFExp or QIF"``."""
    *names, one = [name for name, model in MODELS.items() if can(model)]
    return f"{', '.join(names)} {last} {one}" if names else one
