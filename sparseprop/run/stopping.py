"""Why a run ended."""

import enum

__all__ = ["StopReason"]


class StopReason(enum.StrEnum):
    """Why a run ended; all of these are normal ends.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=20, seed=1)
    >>> net.run(100.0).stop_reason == sp.StopReason.TIME, net.run(n_spikes=10).stop_reason == "spikes"
    (True, True)
    """

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
