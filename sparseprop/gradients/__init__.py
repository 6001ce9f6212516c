"""The pass back through what a run has left, and what comes out of it."""

from .gradients import (
    INVARIANT,
    ByProjection,
    Gradients,
    GradientWarning,
    backward,
    checked_derivatives,
    most_ports,
    new_sums,
    noted,
    of_neurons,
    of_ports,
    overflows_are_told,
    without_time_constants,
)

__all__ = [
    "INVARIANT",
    "ByProjection",
    "GradientWarning",
    "Gradients",
    "backward",
    "checked_derivatives",
    "most_ports",
    "new_sums",
    "noted",
    "of_neurons",
    "of_ports",
    "overflows_are_told",
    "without_time_constants",
]
