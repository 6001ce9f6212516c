"""Dynamical systems: how what a network is off by grows or fades."""

from .perturbation import Perturbation, perturb
from .rate import RateSpectrum, rate_lyapunov

__all__ = ["Perturbation", "RateSpectrum", "perturb", "rate_lyapunov"]
