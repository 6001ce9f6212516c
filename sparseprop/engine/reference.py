"""The reference engine: what happens in an instant, in plain Python, to be read in one sitting.

What a neuron is, is said beside its dataclass (``models/``); in which numbers, in ``numerics/arithmetic.py``; how
neurons are made, saved and steered while no time passes, in ``reference_state.py``. With doubles it is the bit-exact
oracle of the compiled engines.
"""

from typing import NamedTuple

import numpy as np
from sortedcontainers import SortedKeyList, SortedList

from ..errors import EngineFault
from ..numerics.arithmetic import DoubleArithmetic
from ..numerics.engine_time import MAX_EPOCH, NEVER, is_before, order_of
from .external import Process, Train
from .reference_state import COUNTERS, ReferenceState

__all__ = ["ReferenceEngine"]


class Arrival(NamedTuple):
    """A weight on its way to a neuron; `order` is the source, the projection and the place in its row."""

    time: tuple
    order: tuple
    emission: tuple
    target: int
    weight: float
    port: int

    def key(self):
        """By time, and within an instant by the order in which weights are added."""
        return (*order_of(self.time), *self.order, *order_of(self.emission))


class ReferenceEngine(ReferenceState):
    """The event loop over a :class:`~sparseprop.engine.input.EngineInput`, instant by instant.

    Parameters
    ----------
    network : EngineInput
        Populations, projections and inputs with plain numbers.
    arithmetic : DoubleArithmetic, ComplexArithmetic or MultiprecisionArithmetic
        Where the functions come from.

    Attributes
    ----------
    now : tuple
        The present as an engine-time pair.
    last : tuple
        The instant that was taken last; what came by then is over.
    spikes : list of (pair, int)
        What fired since :meth:`take`, in the order (time, generation, id).
    record_sources : bool
        Whether the spikes of sources are among them, before those of neurons in each instant.
    n_close_calls : int
        How many kicks came within rounding of a spike of their target; see :meth:`_close`.
    """

    name = "reference"

    def __init__(self, network, arithmetic=None):
        self.a = arithmetic or DoubleArithmetic()
        self.network, self.clock = network, network.clock
        self.processes = list(network.processes)
        self.now = (0, self.a.number(0.0))
        self.last = (-1, self.a.number(0.0))
        self.spikes = []
        self.record_sources = False
        for name in COUNTERS:
            setattr(self, name, 0)
        self.changes = network.changes
        self.added = np.zeros(0), np.zeros(0, np.int64)  # injected spikes that have not been taken
        self.recent = []  # (pair, id) of the spikes within rounding of the last instant
        self.frames = {}
        self.neurons = []
        for population in network.populations:
            self.neurons += self._first_neurons(population)
        self.arrivals = SortedKeyList(key=Arrival.key)
        self.sent_spikes = []  # (pair, id) of spikes with delayed synapses
        self._set_queues()

    def _set_queues(self):
        """Everything that can be told from the states and from what is over."""
        self.next_spike = [NEVER if neuron is None else self._next_spike(neuron) for neuron in self.neurons]
        self.queue = SortedList(self._entry(i) for i in range(len(self.neurons)))
        self.inputs = [Process(self, process, self.last) for process in self.processes]
        self.inputs += [Train(self, spikes, self.last) for spikes in (self.network.spikes, self.added)]

    def advance(self, until, max_spikes=None, budget=None):
        """Take instants before `until` (a pair).

        Parameters
        ----------
        until : tuple
            The first time that is not taken.
        max_spikes : int, optional
            Stop after the instant in which this many spikes of neurons since the start of the simulation are reached.
        budget : int, optional
            Return after about this many events, to be called again.

        Returns
        -------
        str
            ``"time"``, ``"spikes"``, ``"quiescent"`` (nothing will ever happen) or ``"running"`` (budget used up).
        """
        stop_at = None if budget is None else self.n_events + budget
        while max_spikes is None or self.n_spikes < max_spikes:
            if stop_at is not None and self.n_events >= stop_at:
                return "running"
            instant, change = self._next_instant(), self._next_change()
            if is_before(change, until) and not is_before(instant, change):
                self.now = change
                self._change_parameters()
            elif instant[0] >= NEVER[0] and change[0] >= NEVER[0]:
                if until[0] < MAX_EPOCH:
                    self.now = until
                return "quiescent"
            elif not is_before(instant, until):
                self.now = until
                return "time"
            else:
                self.now = instant
                self._instant()
        return "spikes"

    @property
    def n_events(self):
        return self.n_spikes + self.n_synaptic_events + self.n_input_events

    def _next_instant(self):
        """The first time at which something happens."""
        times = [self.next_spike[self.queue[0][2]]] if self.queue else []
        times += [source.next for source in self.inputs]
        times += [self.arrivals[0].time] if self.arrivals else []
        return min(times, key=order_of, default=NEVER)

    def _instant(self, due=()):
        """What comes from outside and from before; then generations of spikes, until nobody fires.

        The neurons `due` fire in any case.
        """
        self.last = self.now
        close = self._close()
        fired, arriving = set(), self._arriving()
        while True:
            self._kick_all(arriving, close - fired)
            generation = sorted({*due, *self._due()})
            if not generation:
                return
            due = ()
            for i in generation:
                if i in fired:
                    raise EngineFault("runaway", i, self.clock.milliseconds(self.now))
                fired.add(i)
                self.spikes.append((self.now, i))
                self.recent.append((self.now, i))
                self._fire(i)
            self.n_spikes += len(generation)
            arriving = [arrival for i in generation for arrival in self._emit(i)]

    def _close(self):
        """The neurons whose own spike is within rounding of now: due so soon, or fired so shortly before.

        A kick of one of them is a close call: rounding may have decided which came first.
        """
        tolerance = self.clock.tolerance
        self.recent = [(t, i) for t, i in self.recent if self._interval(t, self.now) <= tolerance]
        close = {i for _, i in self.recent}
        for _, _, i in self.queue:
            interval = self._interval(self.now, self.next_spike[i])
            if interval <= tolerance:
                close.add(i)
            elif interval > 2.0 * tolerance:
                break
        return close

    def _interval(self, a, b):
        """From the pair a to the pair b, in ms."""
        return (b[0] - a[0]) * self.clock.epoch + (b[1].real - a[1].real)

    def _arriving(self):
        """What arrives at the beginning of the instant: delayed and undelayed spikes, and events of drives."""
        arriving, sources = [], []
        while self.arrivals and not is_before(self.now, self.arrivals[0].time):
            arriving.append(self.arrivals.pop(0))
        for number, source in enumerate(self.inputs):
            for i in source.take(self.now):
                self.n_input_events += 1
                if source.is_source:
                    sources.append(source.first + i)
                else:
                    self.n_drive_events += 1
                    order = (self.network.size + number, 0, i)
                    target, weight = source.first + i, source.weight(i)
                    arriving.append(Arrival(self.now, order, self.now, target, weight, source.process.port))
        for i in sorted(sources):
            if self.record_sources:
                self.spikes.append((self.now, i))
            arriving += self._emit(i)
        return sorted(arriving, key=Arrival.key)

    def _emit(self, i):
        """Send a spike of i: what arrives at once is returned, what arrives later is kept."""
        arrivals = [
            Arrival(self.plus(self.now, self.a.number(delay)), (i, projection, place), self.now, target, weight, port)
            for projection, place, target, weight, delay, port in self.network.synapses_of(i)
        ]
        later = [arrival for arrival in arrivals if is_before(self.now, arrival.time)]
        if later:
            self.sent_spikes.append((self.now, i))
            self.arrivals.update(arrival for arrival in later if arrival.time[0] < NEVER[0])
        return [arrival for arrival in arrivals if not is_before(self.now, arrival.time)]

    def _kick_all(self, arriving, close):
        """Add what arrives at each port of each neuron, and kick it once: port after port, in the order of arrival."""
        sums = {}
        for arrival in arriving:
            target, weight = (arrival.port, arrival.target), self.a.number(arrival.weight)
            sums[target] = sums[target] + weight if target in sums else weight
            self.n_synaptic_events += arrival.order[0] < self.network.size
        for (port, target), weight in sorted(sums.items(), key=lambda item: item[0][0]):
            self.n_close_calls += target in close
            self._kick(target, weight, port)

    def _due(self):
        """The neurons whose next spike is now or was an instant ago by rounding."""
        for n, s, i in self.queue:
            if (n, s) > (self.now[0], self.now[1].real):
                return
            yield i

    def _fire(self, i):
        neuron = self.neurons[i]
        neuron.enter(self.now)
        neuron.release = self.plus(self.now, neuron.t_ref)
        neuron.reset(neuron.release, self.now)
        self._requeue(i, self._next_spike(neuron))

    def _kick(self, i, weight, port):
        neuron = self.neurons[i]
        held = is_before(self.now, neuron.release)
        neuron.enter(self.now)
        if not (neuron.kick_held if held else neuron.kick)(weight, self.now, port):
            raise EngineFault("numerical", i, self.clock.milliseconds(self.now), self.voltages([i])[0])
        over = not held and weight.real > 0.0 and neuron.over_threshold(self.now)
        self._requeue(i, self.now if over else self._next_spike(neuron))

    # Changes of parameters

    def _next_change(self):
        """When parameters change next."""
        if self.n_changes == len(self.changes):
            return NEVER
        return max(self._pair(self.changes[self.n_changes][0]), self.now, key=order_of)

    def _change_parameters(self):
        """The changes that are due now; a neuron that is due stays due, and fires now."""
        due = []
        while not is_before(self.now, self._next_change()):
            _, number, parameters = self.changes[self.n_changes]
            self.n_changes += 1
            population = self.network.populations[number]
            for k in range(population.size):
                i = population.first + k
                old = self.neurons[i]
                if not is_before(self.now, self.next_spike[i]):
                    due.append(i)
                old.enter(self.now)
                new = self.neurons[i] = self._make(population.kernel, parameters, k)
                new.release = old.release
                if new.frame is not None:
                    new.shift = new.frame.shift(self.now[0]) if not new.frame.rotates else 0
                if is_before(self.now, new.release):
                    new.hold(old, self.now)
                else:
                    new.take_over(old, self.now)
                self._requeue(i, self._next_spike(new))
        # By rounding, a spike under the new parameters may lie a little before the change.
        if due or is_before(self._next_instant(), self.now):
            self._instant(due)

    # The queue of spontaneous spikes

    def _next_spike(self, neuron):
        """When it will fire without input, not before the end of its refractory period."""
        since = neuron.release if is_before(self.now, neuron.release) else self.now
        t = neuron.next_spike(since, self.now)
        return neuron.release if is_before(t, neuron.release) else t

    def _entry(self, i):
        n, s = self.next_spike[i]
        return n, s.real, i

    def _requeue(self, i, t):
        self.queue.remove(self._entry(i))
        self.next_spike[i] = t
        self.queue.add(self._entry(i))
