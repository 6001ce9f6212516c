"""What a run keeps so that its gradients can be computed afterwards."""

import math

import numpy as np

from .. import _core
from ..engine._lookahead import Lookahead
from ..errors import ParameterError, shown

__all__ = ["Tape", "check_tape"]

# In a run with tape="checkpoint", what is recomputed at a time, at least.
SMALLEST_PART = 1 << 26  # bytes
NEAR = 1e-9  # of the shortest time constant, nearly: what is closer than that to a spike has no sure order
PER_NEURON = 1024  # bytes; so that the states take a small share of what they save


def check_tape(tape, engine):
    """What ``tape=`` was, if it is allowed and the engine can keep one."""
    if not (isinstance(tape, bool) or (isinstance(tape, str) and tape == "checkpoint")):
        raise ParameterError(f'tape must be False, True or "checkpoint", got {shown(tape)}')
    if tape and engine == "reference":
        raise ParameterError(
            'tape needs engine="window", "heap" or "lookahead", got engine="reference"; sp.check_gradients uses that '
            "one for derivatives by the complex step"
        )
    return tape


class Tape:
    """The recordings of a run, or the states from which to make them again.

    Parameters
    ----------
    engine : Engine
        Of the run that begins now.
    source : EngineInput
    mode : True or "checkpoint"
        With True all is kept; otherwise the states at some times, and the run is repeated from each when its gradients
        are computed.

    Attributes
    ----------
    start : tuple
        The pair at which the run began.
    currents : list of ndarray
        The sums of synaptic currents where voltages are recorded, by time and neuron; 0 for neurons without.
    parts : list
        Of the run, in its order: a TapePart, or the state to begin with and the first pair that is not taken.
    """

    def __init__(self, engine, source, mode):
        self.engine, self.source, self.mode = engine, source, mode
        self.n_threads = getattr(engine, "n_threads", None)
        self.start = engine.now
        self.near = NEAR * source.clock.epoch / 8.0
        self.currents = []
        self.parts = []
        self.part_size = max(SMALLEST_PART, PER_NEURON * source.size)
        self._begin()

    def _begin(self):
        self.state = self.engine.state() if self.mode == "checkpoint" else None
        self.engine.start_tape(self.near)

    def sample(self, ids):
        """Voltages of these neurons are recorded now."""
        self.currents.append(np.nansum(self.engine.currents(ids), axis=1))

    def look(self):
        """Begin a new part if the present one is large; between instants only."""
        if self.mode == "checkpoint" and self.engine.tape_size > self.part_size:
            self._end()
            self._begin()

    def _end(self):
        recording = self.engine.stop_tape()
        if self.mode == "checkpoint":
            self.parts.append((self.state, self._first_left()))
        else:
            self.parts.append(recording)

    def _first_left(self):
        """The first pair that has not been taken: now, or the next one if the present instant has been taken."""
        n, s = now = self.engine.now
        if now > self.engine.state()["last"]:
            return now
        s = math.nextafter(s, math.inf)
        return (n, s) if s < self.source.clock.epoch else (n + 1, 0.0)

    def finish(self):
        """The run has ended."""
        self._end()
        self.engine = self.state = None

    def discard(self):
        """The run has failed."""
        self.engine.stop_tape()
        self.engine = None

    def recordings(self):
        """The recordings of all parts, the last one first; used up by whoever asks."""
        while self.parts:
            part = self.parts.pop()
            yield self._recorded(*part) if self.mode == "checkpoint" else part

    def _recorded(self, state, until):
        """Repeat a part of the run."""
        lookahead = self.n_threads is not None
        engine = Lookahead(self.source, self.n_threads) if lookahead else _core.Engine(self.source, "window")
        engine.restore(state)
        engine.start_tape(self.near)
        while engine.advance(until, None, 1 << 22) == "running":
            pass
        return engine.stop_tape()
