"""What a run keeps so that its gradients can be computed afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _core, _validation
from ..engine._lookahead import Lookahead
from ..errors import ParameterError, named_arguments, shown
from .states import States, Stop, brought_to, first_left, part_size, repeated

__all__ = ["Tape", "Truncated", "check_tape"]

NEAR = 1e-9  # of the shortest time constant, nearly: what is closer than that to a spike has no sure order


@named_arguments
@dataclass(frozen=True)
class Truncated:
    """A tape of the end of a run; for ``run(tape=...)``: truncated back-propagation through time.

    Gradients are then those of a run that begins within this one, from the state which it had there: what happened
    before is taken as given, and derivatives of the state by anything are left out. So `V` (and `I_syn`) of
    :class:`Gradients` are of the state at that time, their `t_start`; spikes from before have fixed times, also those
    that arrive later; and derivatives of the loss by times and voltages from before count for nothing. Input spikes
    from before have NaN.

    States are kept as by ``tape="checkpoint"``, only those that are needed.

    Parameters
    ----------
    duration : float, optional
        ms before the end of the run.
    n_spikes : int, optional
        The last spikes, so many at most: it begins after the instant in which the one before them was reached. At least
        one of the two is needed; with both it begins at the later time.

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(200, sp.Theta(tau_m=10.0), outdegree=20, seed=1)
    >>> res = net.run(1000.0, tape=sp.Truncated(duration=50.0))
    >>> grads = res.backward(np.ones(res.n_spikes))
    >>> grads.t_start
    950.0
    """

    duration: float | None = None
    n_spikes: int | None = None

    def __post_init__(self) -> None:
        if self.duration is None and self.n_spikes is None:
            raise ParameterError("Truncated() needs a duration in ms, or n_spikes, or both")
        if self.duration is not None:
            duration = _validation.real(
                self.duration, "Truncated.duration", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True
            )
            object.__setattr__(self, "duration", duration)
        if self.n_spikes is not None:
            n_spikes = _validation.integer(self.n_spikes, "Truncated.n_spikes", "a whole number >= 1", low=1)
            object.__setattr__(self, "n_spikes", n_spikes)


def check_tape(tape, engine):
    """What ``tape=`` was, if it is allowed and the engine can keep one."""
    if not (isinstance(tape, (bool, Truncated)) or (isinstance(tape, str) and tape == "checkpoint")):
        raise ParameterError(f'tape must be False, True, "checkpoint" or sp.Truncated(...), got {shown(tape)}')
    if tape and engine == "reference":
        raise ParameterError(
            'tape needs engine="window", "heap" or "lookahead", got engine="reference"; sp.check_gradients uses that '
            "one for derivatives by the complex step"
        )
    return tape


class Tape:
    """The recording of a run, or the states from which to make it again.

    Parameters
    ----------
    engine : Engine
        Of the run that begins now.
    source : EngineInput
    mode : True, "checkpoint" or Truncated
        With True all is kept; otherwise the states at some times, and the run is repeated from each when its gradients
        are computed.

    Attributes
    ----------
    start, last_before, begins : tuple
        The pair at which it begins, the instant that was taken last before, and the first one that was not.
    currents : list of ndarray
        The sums of synaptic currents where voltages are recorded, by time and neuron; 0 for neurons without.
    parts : list
        Of the run, in its order: all as a TapePart, or a Stop for each.
    """

    def __init__(self, engine, source, mode):
        self.engine, self.source = engine, source
        self.window = mode if isinstance(mode, Truncated) else None
        self.n_threads = getattr(engine, "n_threads", None)
        self.start, self.last_before, self.begins = engine.now, engine.last, engine.now
        self.near = NEAR * source.clock.epoch / 8.0
        self.currents = []
        self.parts = []
        self.states = None if mode is True else States(engine, self)
        if mode is True:
            engine.start_tape(self.near)

    def sample(self, ids):
        """Voltages of these neurons are recorded now."""
        self.currents.append(np.nansum(self.engine.currents(ids), axis=1))

    def look(self):
        """Keep the present state if the one before is far back; between instants only."""
        if self.states is not None:
            if self.states.is_due():
                self.states.keep()
            self._forget()
            if self.engine.tape_size > part_size(self.source):
                self.states.restart_tape()

    def _forget(self):
        """Drop states from before the window, but the last one of these."""
        stops = self.states.stops
        while self.window is not None and len(stops) > 1 and self._is_before_window(stops[1].state):
            del stops[0]

    def _is_before_window(self, state):
        """Whether the window begins later than this state, if the run ends now."""
        window = self.window
        if window.n_spikes is not None and state["n_spikes"] < self.engine.n_spikes - window.n_spikes:
            return True
        return window.duration is not None and state["now"] < self._before(self.engine.now, window.duration)

    def _before(self, now, duration):
        """The pair so many ms before another one, at 0 at the earliest."""
        clock = self.source.clock
        return clock.pair(max(clock.milliseconds(now) - duration, 0.0))

    def finish(self):
        """The run has ended."""
        engine = self.engine
        if self.states is None:
            self.parts = [engine.stop_tape()]
        else:
            self._forget()
            self.end, self.n_spikes, self.until = engine.now, engine.n_spikes, first_left(engine, self.source.clock)
            engine.stop_tape()
            self.parts = self.states.stops
        self.engine = self.states = None

    def discard(self):
        """The run has failed."""
        self.engine.stop_tape()
        self.engine = self.states = None

    def new_engine(self):
        """One that gives the same bits as that of the run."""
        if self.n_threads is not None:
            return Lookahead(self.source, self.n_threads)
        return _core.Engine(self.source, "window")

    def open(self):
        """Find the beginning of the window."""
        if self.window is None:
            return
        clock, stop, window = self.source.clock, self.parts[0], self.window
        engine = self.new_engine()
        engine.restore(stop.state)
        if engine.notes_releases:
            engine.start_tape(self.near, stop.at_release)
        if window.n_spikes is not None:
            brought_to(engine, self.until, self.n_spikes - window.n_spikes)
        if window.duration is not None:
            brought_to(engine, self._before(self.end, window.duration))
        first = Stop(engine.state(), first_left(engine, clock), engine.at_release)
        self.parts = [first, *(stop for stop in self.parts if stop.begins > first.begins)]
        self.start, self.last_before, self.begins, self.window = engine.now, engine.last, first.begins, None

    def recordings(self):
        """The recordings of all parts, the last one first; used up by whoever asks."""
        while self.parts:
            part = self.parts.pop()
            if isinstance(part, Stop):
                found = repeated(self, part, self.until, not self.parts)
                if found is None or isinstance(found, list):
                    self.parts += found or []
                    continue
                self.until, part = part.begins, found
            yield part
