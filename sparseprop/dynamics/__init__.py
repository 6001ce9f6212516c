"""Dynamical systems: how what a network is off by grows or fades."""

from .covariant import CovariantVectors
from .lyapunov import Lyapunov, lyapunov_spectrum
from .perturbation import Perturbation, perturb
from .rate import RateSpectrum, rate_lyapunov
from .spectrum import LyapunovSpectrum

__all__ = [
    "CovariantVectors",
    "Lyapunov",
    "LyapunovSpectrum",
    "Perturbation",
    "RateSpectrum",
    "lyapunov_spectrum",
    "perturb",
    "rate_lyapunov",
]
