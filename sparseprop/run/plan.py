"""What a run was asked for: when it stops and pauses, and what a checkpoint says of it."""

import dataclasses
import heapq
import itertools
import math
from dataclasses import dataclass

from .recording import times_every

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """What a run was asked for, and where it began; with what was recorded, all that is needed to go on with it.

    Attributes
    ----------
    start, until : tuple
        Engine-time pairs: where it began, and where it ends at the latest.
    duration : float or None
        ms, if that is a stop rule.
    n_spikes : int or None
        Stop after so many spikes of this run, if that is a stop rule.
    before : dict
        What the counters of the engine were at the start, by name.
    checkpoint : str or None
        The file of its states.
    every : float or None
        ms between two of them.
    wall_time : float
        Seconds of computing before the state it goes on from.
    record : dict
        The Record, as a dictionary.
    run_id : str
        Its identity.
    follows : str or None
        That of the run which ended where it began.
    """

    start: tuple
    until: tuple
    duration: float | None
    n_spikes: int | None
    before: dict
    checkpoint: str | None
    every: float | None
    wall_time: float
    record: dict
    run_id: str
    follows: str | None

    @classmethod
    def of_checkpoint(cls, stored):
        """The plan that :meth:`stored` made a dictionary of."""
        values = {field.name: stored[field.name] for field in dataclasses.fields(cls)}
        return cls(**values | {name: tuple(values[name]) for name in ("start", "until")})

    def stored(self, wall_time, ended):
        """All of it as a checkpoint has it, after so many seconds of computing; whether the run has ended."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        pairs = {name: list(values[name]) for name in ("start", "until")}
        return values | pairs | {"wall_time": wall_time, "ended": ended}

    @property
    def max_spikes(self):
        """What the engine's counter of spikes is when the run has enough; None without that rule."""
        return None if self.n_spikes is None else self.before["n_spikes"] + self.n_spikes

    def fraction(self, elapsed, n_spikes):
        """How much of the run is done after so many ms, and where the engine has counted so many spikes."""
        parts = [0.0]
        if self.duration:
            parts.append(elapsed / self.duration)
        if self.n_spikes:
            parts.append((n_spikes - self.before["n_spikes"]) / self.n_spikes)
        return min(max(parts), 1.0)

    def pauses(self, clock, now, record, sampled):
        """The times at which the run pauses, as pairs, and what for: a sample, "save", or None for its end.

        `now` is the pair from which it goes on; `sampled` has the times, by what is sampled, of what has been taken
        already.
        """

        def pairs(times, purpose):
            for t in times:
                pair = clock.pair(t)
                if not pair < self.until:
                    return
                yield pair, purpose

        t_start = clock.milliseconds(self.start)
        t_stop = math.inf if self.duration is None else clock.milliseconds(self.until)
        samples = [
            pairs(itertools.islice(record.sample_times(what, t_start, t_stop), len(taken), None), what)
            for what, taken in sampled.items()
        ]
        saves = () if self.every is None else times_every(self.every, t_start, t_stop)
        saves = itertools.islice(saves, 1, None)  # the first one is that of the beginning
        saves = (t for t in saves if clock.pair(t) > now)
        yield from heapq.merge(*samples, pairs(saves, "save"), key=lambda stop: stop[0])
        while True:
            yield self.until, None
