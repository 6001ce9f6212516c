"""Why a run ended."""

import enum

__all__ = ["StopReason"]


class StopReason(enum.StrEnum):
    """Why a run ended; all of these are normal ends."""

    TIME = "time"
    SPIKES = "spikes"
    QUIESCENT = "quiescent"
    INTERRUPTED = "interrupted"
    CALLBACK = "callback"


# How a sentence goes on that begins with "the run ended because".
REASONS = {
    StopReason.TIME: "the time was reached",
    StopReason.SPIKES: "the number of spikes was reached",
    StopReason.QUIESCENT: "the network is silent: no neuron will ever fire again without input",
    StopReason.INTERRUPTED: "it was INTERRUPTED by Ctrl-C before its end: later spikes are missing",
    StopReason.CALLBACK: "the callback asked for it",
}
