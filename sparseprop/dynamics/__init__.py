"""Dynamical systems: how what a network is off by grows or fades."""

from .perturbation import Perturbation, perturb

__all__ = ["Perturbation", "perturb"]
