"""Dynamical systems: how what a network is off by grows or fades."""

from .covariant import CovariantVectors
from .lyapunov import Lyapunov, lyapunov_spectrum
from .perturbation import Perturbation, perturb
from .spectrum import LyapunovSpectrum

__all__ = ["CovariantVectors", "Lyapunov", "LyapunovSpectrum", "Perturbation", "lyapunov_spectrum", "perturb"]
