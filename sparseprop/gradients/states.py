"""States of a run from which parts of it can be repeated, a bounded number of them."""

import math
from dataclasses import dataclass

__all__ = ["States", "Stop", "brought_to", "first_left", "part_size", "repeated"]

# A part is what is recorded at a time when gradients are computed: of so many bytes, about.
SMALLEST_PART = 1 << 26
PER_NEURON = 1024  # so that states take a small share of what they save
MOST_STATES = 32  # of a run, or of a stretch of it that is repeated: beyond them every second one is dropped
BUDGET = 1 << 20  # events between two looks

# Bytes on a tape, at most: of an entry; of what spikes have besides; of V before a kick, with its target.
ENTRY, OF_SPIKE, OF_KICK = 24, 32, 12


@dataclass(frozen=True)
class Stop:
    """A state of an engine, and the first pair that had not been taken then.

    Attributes
    ----------
    state : dict
    begins : tuple
    at_release : ndarray or None
        Of the tape that was kept until then.
    """

    state: dict
    begins: tuple
    at_release: object


def first_left(engine, clock):
    """The first pair that has not been taken: now, or the next one if the present instant has been taken."""
    n, s = now = engine.now
    if now > engine.last:
        return now
    s = math.nextafter(s, math.inf)
    return (n, s) if s < clock.epoch else (n + 1, 0.0)


def part_size(source):
    """Bytes of a tape after which a new part begins."""
    return max(SMALLEST_PART, PER_NEURON * source.size)


def brought_to(engine, until, n_spikes=None):
    """Let an engine go on to a pair, or until there are so many spikes, unless it has come so far."""
    if until > engine.now and (n_spikes is None or n_spikes > engine.n_spikes):
        while engine.advance(until, n_spikes, BUDGET) == "running":
            pass


def is_quiet(engine, clock, until, near):
    """Whether nothing happens for so many ms after the last instant, to which the engine goes on; or until a pair.

    A part that begins within `near` of another's end would not know which kicks come that near to a spike.
    """
    last = engine.last
    if last >= (0, 0.0):
        engine.advance(min(until, clock.add(last, 2.0 * near)))
    return engine.last == last


def repeated(tape, stop, until, is_first):
    """A part of a run once more, from a Stop to a pair.

    Returns
    -------
    TapePart, list of Stop or None
        The part as it was recorded; if that gets too long, this Stop and others in it; and None if it begins too near
        to the end of the one before.
    """
    engine, clock, size = tape.new_engine(), tape.source.clock, part_size(tape.source)
    engine.restore(stop.state)
    engine.start_tape(tape.near, stop.at_release)
    if not is_first and not is_quiet(engine, clock, until, tape.near):
        return None
    states, is_whole = States(engine, tape, stop), True
    while engine.advance(until, None, BUDGET) == "running" and first_left(engine, clock) < until:
        if states.is_due() and is_quiet(engine, clock, until, tape.near) and first_left(engine, clock) < until:
            states.keep()
        if engine.tape_size > 2 * size and len(states.stops) > 1:
            is_whole = False
            states.restart_tape()
    part = engine.stop_tape()
    return part if is_whole else states.stops


class States:
    """Those of a run that goes on.

    Parameters
    ----------
    engine : Engine
        What runs.
    tape : Tape
    stop : Stop, optional
        From which it has been restored, with a tape; default: it begins now.

    Attributes
    ----------
    stops : list of Stop
    """

    def __init__(self, engine, tape, stop=None):
        self.engine, self.clock, self.near = engine, tape.source.clock, tape.near
        self.every = part_size(tape.source)
        self.of_kick = OF_KICK if engine.notes_states else 0
        self.stops = [] if stop is None else [stop]
        self.size = self._size()
        if stop is None:
            self.restart_tape()
            self.keep()

    def _size(self):
        """Bytes that a tape from the beginning would have, about."""
        e = self.engine
        spikes = (ENTRY + OF_SPIKE) * e.n_spikes + ENTRY * (e.n_input_events + e.n_drive_events)
        return spikes + self.of_kick * e.n_synaptic_events

    def restart_tape(self):
        """Forget what is on the tape, and keep one only where states need it.

        Sums of currents at the ends of refractory periods depend on the order of kicks, which nothing else follows.
        """
        part = self.engine.stop_tape()
        if self.engine.notes_releases:
            self.engine.start_tape(self.near, None if part is None else part.at_release)

    def is_due(self):
        """Whether the state before is far back."""
        return self._size() - self.size > self.every

    def keep(self):
        """Keep the present state; between instants only."""
        engine = self.engine
        self.stops.append(Stop(engine.state(), first_left(engine, self.clock), engine.at_release))
        if len(self.stops) > MOST_STATES:
            del self.stops[1::2]
            self.every *= 2
        self.size = self._size()
