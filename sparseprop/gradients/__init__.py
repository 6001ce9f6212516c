"""The pass back through what a run has left, and what comes out of it."""

from .backward import INVARIANT, backward, checked_derivatives, overflows_are_told
from .gradients import (
    Gradients,
    GradientWarning,
    assembled,
    given_currents,
    most_ports,
    new_sums,
    noted,
    sums_by_projection,
    with_more,
)
from .tape import Truncated

__all__ = [
    "INVARIANT",
    "GradientWarning",
    "Gradients",
    "Truncated",
    "assembled",
    "backward",
    "checked_derivatives",
    "given_currents",
    "most_ports",
    "new_sums",
    "noted",
    "overflows_are_told",
    "sums_by_projection",
    "with_more",
]
