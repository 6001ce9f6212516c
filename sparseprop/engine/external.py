"""What comes to the reference engine from outside: given spikes, and the events of Poisson inputs."""

import numpy as np

from ..numerics.engine_time import NEVER, is_before

__all__ = ["Process", "Train"]


class Train:
    """Given spikes of sources (times in ms and global ids), in the order of time; what was by `since` is over."""

    is_source, first = True, 0

    def __init__(self, engine, spikes, since):
        times, ids = self.given = spikes
        self.spikes = [(engine._pair(t), i) for t, i in zip(times.tolist(), ids.tolist(), strict=True)]
        self.at = sum(not is_before(since, pair) for pair, _ in self.spikes)

    @property
    def left(self):
        """Times in ms and global ids of the spikes that have not been taken."""
        return tuple(column[self.at :] for column in self.given)

    @property
    def next(self):
        """The next spike."""
        return self.spikes[self.at][0] if self.at < len(self.spikes) else NEVER

    def take(self, now):
        """Ids of those that spike now."""
        while not is_before(now, self.next):
            self.at += 1
            yield self.spikes[self.at - 1][1]


class Process:
    """The events of a Poisson input, interval by interval; the start of each is a time too, to draw it.

    What was by `since` is over.
    """

    def __init__(self, engine, process, since):
        self.engine, self.process = engine, process
        self.is_source = process.weight is None
        self.first = engine.network.populations[process.population].first
        ratio = engine.clock.epoch / process.interval  # a power of two
        self.k = process.first_interval(int(max(since[0], 0) * ratio) + int(since[1].real // process.interval))
        self.next, self.event, self.events = self.start(self.k), None, iter(())
        for _ in self.take(since):
            pass

    def start(self, k):
        """The pair at which interval k begins; NEVER behind the last one."""
        if k >= self.process.n_intervals:
            return NEVER
        H, length = self.engine.clock.epoch, self.process.interval
        number = self.engine.a.number
        if length > H:
            return k * int(length / H), number(0.0)
        n, part = divmod(k, int(H / length))
        return n, number(part * length)

    def weight(self, i):
        """The jump of neuron i (local id)."""
        weight = self.process.weight
        return self.engine.a.number(weight[i].item() if isinstance(weight, np.ndarray) else weight)

    def take(self, now):
        """Local ids of the neurons that have an event now; what was earlier is left out."""
        while not is_before(now, self.next):
            if self.event is not None and not is_before(self.next, now):
                yield self.event
            self.next, self.event = next(self.events, (None, None))
            if self.next is None:
                self.draw()

    def draw(self):
        """Go on to interval k, and then to the start of the next one."""
        start = self.start(self.k)
        drawn = zip(*(column.tolist() for column in self.process.events(self.k)), strict=True)
        self.k = self.process.first_interval(self.k + 1)
        self.events = iter([(self.engine.plus(start, t), i) for t, i in drawn] + [(self.start(self.k), None)])
        self.next, self.event = next(self.events)
