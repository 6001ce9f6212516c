"""The state of the reference engine between two instants: made, looked at, saved, restored, and changed by a user."""

import math

import numpy as np

from ..models import KERNELS
from ..numerics.drifts import Drift
from ..numerics.engine_time import MAX_EPOCH, NEVER, is_before
from ..numerics.frames import Frame
from .external import Process, Train
from .input import parameters_of

__all__ = ["COUNTERS", "ReferenceState"]

COUNTERS = ("n_spikes", "n_synaptic_events", "n_input_events", "n_drive_events", "n_close_calls", "n_changes")


class ReferenceState:
    """What a :class:`~sparseprop.engine.reference.ReferenceEngine` does while no time passes."""

    # Time in pairs, in the engine's arithmetic

    def plus(self, pair, interval):
        """`pair` + `interval`; NEVER beyond the largest time."""
        n, s = pair
        s = s + interval
        if not self.a.isfinite(s):
            return NEVER
        carry = self.a.floor(s.real / self.clock.epoch)
        if carry > MAX_EPOCH - n:
            return NEVER
        return n + carry, s - carry * self.clock.epoch

    def _pair(self, time):
        """The pair of a time in ms."""
        n, s = self.clock.pair(time)
        return n, self.a.number(s)

    # Making neurons

    def _first_neurons(self, population):
        """The neurons of a population in their initial states; None for each source."""
        if population.kernel == "source":
            return [None] * population.size
        neurons = []
        for i in range(population.size):
            neuron = self._make(population.kernel, population.parameters, i)
            if population.refractory is not None and population.refractory[i] > 0.0:
                neuron.release = self.plus(self.now, self.a.number(population.refractory[i]))
                neuron.reset(neuron.release, self.now)
            else:
                neuron.place(self.a.number(population.voltage_of(i)), self.now)
            if population.I_syn is not None:
                self._give_currents(neuron, population.I_syn[i].tolist())
            neurons.append(neuron)
        return neurons

    def _make(self, kernel, parameters, i):
        """Neuron i of a population."""
        mine = parameters_of(parameters, i).items()
        return KERNELS[kernel].neuron(self, {k: v if isinstance(v, Drift) else self.a.number(v) for k, v in mine})

    def frame(self, tau, root, square, rotates):
        """The frame of this rate, shared by all neurons that have it."""
        key = (tau, root, rotates)
        if key not in self.frames:
            self.frames[key] = Frame(self.a, self.clock, tau, root, square, rotates)
        return self.frames[key]

    def _give_currents(self, neuron, currents):
        """Initial currents are kicks at the beginning."""
        for port, current in enumerate(currents):
            if current != 0.0:
                kick = neuron.kick_held if is_before(self.now, neuron.release) else neuron.kick
                kick(self.a.number(current), self.now, port)

    # Looking, and saving

    def take(self):
        """Times in ms and ids of the spikes since the last call."""
        spikes, self.spikes = self.spikes, []
        return [self.clock.milliseconds(t) for t, _ in spikes], [i for _, i in spikes]

    def voltages(self, ids=None):
        """V now of all neurons, or of those with the given global ids; NaN for sources."""
        values = []
        for i in range(len(self.neurons)) if ids is None else ids:
            neuron = self.neurons[i]
            if neuron is None:
                values.append(math.nan)
                continue
            neuron.enter(self.now)
            refractory = is_before(self.now, neuron.release)
            values.append(neuron.V_reset if refractory else neuron.voltage(self.now))
        return values

    def currents(self, ids):
        """Synaptic currents now of neurons with these global ids: an array of shape (ids, ports), NaN for no port."""
        by_neuron = [self.neurons[i].currents_now(self.now) for i in ids]
        ports = max(len(getattr(neuron, "ports", [])) for neuron in self.neurons)
        return [row + [math.nan] * (ports - len(row)) for row in by_neuron]

    def state(self):
        """All that says how the simulation goes on, in plain numbers; any engine can go on from it.

        Returns
        -------
        dict
            ``now`` and ``last``; the counters; ``populations``, a list with, for neurons, the states ``x`` (size,
            width), and ``base`` and ``release`` as (size, 2) or None; ``emissions``, (n, s, id) of the spikes whose
            effect may be still to come; ``injected``, see there; ``recent``, (n, s, id) of what fired at the end.
        """
        populations = []
        for population in self.network.populations:
            mine = self.neurons[population.first : population.first + population.size]
            if population.kernel == "source":
                populations.append(None)
                continue
            for neuron in mine:
                neuron.enter(self.now)
            populations.append(
                {
                    "x": np.array([neuron.get_state() for neuron in mine], dtype=float),
                    "base": np.array([neuron.base for neuron in mine], dtype=float),
                    "release": np.array([neuron.release for neuron in mine], dtype=float),
                }
            )
        return {
            "now": self.now,
            "last": self.last,
            **{name: getattr(self, name) for name in COUNTERS},
            "populations": populations,
            "emissions": self.emissions(),
            "injected": self.injected,
            "recent": np.array([(*pair, i) for pair, i in self.recent], dtype=float).reshape(-1, 3),
        }

    def emissions(self):
        """(n, s, id) of the spikes whose effect may be still to come, ascending."""
        pending = {(arrival.emission, arrival.order[0]) for arrival in self.arrivals}
        self.sent_spikes = [emission for emission in self.sent_spikes if emission in pending]
        return np.array(sorted((*pair, i) for pair, i in self.sent_spikes), dtype=float).reshape(-1, 3)

    def releases(self, k):
        """The ends of the last refractory periods of the neurons of a population, as pairs: shape (size, 2)."""
        population = self.network.populations[k]
        mine = self.neurons[population.first : population.first + population.size]
        return np.array([neuron.release for neuron in mine], dtype=float)

    def restore(self, state):
        """Go on from what :meth:`state` of an engine of the same network returned."""
        self.now, self.last = tuple(state["now"]), tuple(state["last"])
        for name in COUNTERS:
            setattr(self, name, state.get(name, 0))
        self.added = state.get("injected", self.added)
        self.recent = [((int(n), s), int(i)) for n, s, i in np.asarray(state.get("recent", [])).tolist()]
        parameters = {k: population.parameters for k, population in enumerate(self.network.populations)}
        for number in getattr(self.changes, "currents", ()):
            k = self.changes.last(number, self.n_changes)
            if k >= 0:
                parameters[number] = self.changes[k][2]
        for k, (population, saved) in enumerate(zip(self.network.populations, state["populations"], strict=True)):
            for i in range(population.size if saved is not None else 0):
                neuron = self._make(population.kernel, parameters[k], i)
                if neuron.frame is not None and not neuron.frame.rotates:
                    neuron.shift = neuron.frame.shift(self.now[0])
                neuron.base = _pair_of(saved["base"], i)
                neuron.set_state(saved["x"][i].tolist())
                neuron.release = _pair_of(saved["release"], i)
                self.neurons[population.first + i] = neuron
        self.set_flights(state["emissions"], state["last"])

    # Steering: what changes between two instants

    @property
    def injected(self):
        """The injected spikes that have not been taken yet: times in ms, and global ids."""
        return self.inputs[-1].left

    @injected.setter
    def injected(self, spikes):
        self.added = spikes
        self.inputs[-1] = Train(self, spikes, self.last)

    def set_process(self, k, process):
        """From now on, input number k of the network is another one, of which nothing comes before now."""
        self.processes[k] = process
        self.inputs[k] = Process(self, process, self.last)

    def set_changes(self, changes, n_changes):
        """Other changes of parameters, of which so many are over; what is due already comes before anything else."""
        self.changes, self.n_changes = changes, n_changes

    def place(self, ids, V, refractory, currents):
        """Give neurons another state now.

        Parameters
        ----------
        ids : ndarray of int64, shape (k,)
            Global ids.
        V : ndarray, shape (k,)
        refractory : ndarray, shape (k,)
            What is left of their refractory periods in ms, during which V does not matter; 0 for those in none.
        currents : ndarray, shape (k, ports)
            Synaptic currents, for neurons that have some.
        """
        for k, i in enumerate(ids.tolist()):
            neuron = self.neurons[i]
            neuron.enter(self.now)
            if refractory[k] > 0.0:
                neuron.release = self.plus(self.now, self.a.number(refractory[k].item()))
                if neuron.ports:
                    neuron.place(neuron.V_reset, self.now)  # without currents
                neuron.reset(neuron.release, self.now)
            else:
                if is_before(self.now, neuron.release):
                    neuron.release = self.now
                neuron.place(self.a.number(V[k].item()), self.now)
            if neuron.ports:
                self._give_currents(neuron, currents[k, : len(neuron.ports)].tolist())
            self._requeue(i, self._next_spike(neuron))

    def set_flights(self, emissions, last):
        """The spikes on their way, as in :meth:`state`; what arrives by `last` is over."""
        now, self.last = self.now, tuple(last)
        self.arrivals.clear()
        self.sent_spikes = []
        for n, s, i in emissions.tolist():
            self.now = int(n), s
            self._emit(int(i))
        self.now = now
        while self.arrivals and not is_before(self.last, self.arrivals[0].time):
            self.arrivals.pop(0)
        self._set_queues()


def _pair_of(array, i):
    """Row i of saved times as a pair."""
    return (0, 0.0) if array is None else (int(array[i, 0]), float(array[i, 1]))
