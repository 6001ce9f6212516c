"""The waist: a network in plain numbers, which is all that engines get, and what they get of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..connectivity import Adjacency, Drawn, ProceduralAdjacency, _wiring, all_of, extremes
from ..numerics.drifts import Drift
from ..numerics.engine_time import Clock

__all__ = ["Changes", "EngineInput", "PoissonInput", "PopulationInput", "ProjectionInput"]


@dataclass(frozen=True)
class PopulationInput:
    """A population in plain numbers; the kernel of sources is ``"source"``."""

    kernel: str
    first: int
    size: int
    parameters: dict[str, Any]
    V: np.ndarray
    refractory: np.ndarray | None
    I_syn: np.ndarray | None = None
    whole: tuple[int, int] | None = None  # of a rank's share: first and size on all ranks

    @property
    def sources(self):
        """Global id of the first neuron whose synapses there may be, and how many these are."""
        return (self.first, self.size) if self.whole is None else self.whole

    def voltage_of(self, i):
        """The initial voltage of neuron i."""
        return self.V[i].item()


def parameters_of(parameters, i):
    """The parameters of neuron i, of numbers and arrays."""
    return {
        name: value
        if isinstance(value, Drift)
        else value[i].item()
        if isinstance(value, np.ndarray)
        else np.asarray(value)[()].item()
        for name, value in parameters.items()
    }


def parameter_rows(parameters, size):
    """How many different parameters there may be, one or one per neuron, and an iterator of them as dictionaries."""
    n_rows = size if any(isinstance(value, np.ndarray) for value in parameters.values()) else 1
    return n_rows, (parameters_of(parameters, i) for i in range(n_rows))


@dataclass(frozen=True)
class ProjectionInput:
    """A projection in plain numbers; populations by index, targets by local id."""

    pre: int
    post: int
    adjacency: Adjacency | ProceduralAdjacency
    weight: float | np.ndarray | Drawn
    delay: float | np.ndarray | Drawn
    has_multapses: bool
    port: int

    def row(self, source):
        """(target, weight, delay) of the synapses of a source (local ids), in order."""
        part = slice(None)
        if isinstance(self.adjacency, ProceduralAdjacency):
            targets = self.adjacency.row(source)
        else:
            part = slice(self.adjacency.offsets[source], self.adjacency.offsets[source + 1])
            targets = self.adjacency.targets[part]
        columns = [
            np.broadcast_to(values[part] if isinstance(values, np.ndarray) else values, targets.shape).tolist()
            for values in (all_of(self.weight), all_of(self.delay))
        ]
        return zip(targets.tolist(), *columns, strict=True)


@dataclass(frozen=True)
class PoissonInput:
    """Poisson processes of a population: kicks of its neurons, or spikes of its sources (no weight).

    Their events are those of :func:`sparseprop.connectivity._wiring.poisson_events`.
    """

    population: int
    n: int
    key: np.ndarray
    purpose: int
    index: int
    interval: float
    n_intervals: int  # no events behind the last one of them
    means: np.ndarray
    times: np.ndarray | None
    fractions: np.ndarray | None
    weight: float | np.ndarray | None
    port: int

    @classmethod
    def of(cls, process, population, key, purpose, index, weight, epoch, port=0):
        """The input for a :class:`sparseprop.inputs.Poisson`; without intervals where no event ever comes."""
        interval = process.interval(16.0 * epoch)
        means = process.highest() * interval
        times, fractions = process.times, process.fractions()
        n_intervals = _wiring.MAX_INTERVALS if means.any() else 0
        if n_intervals and fractions is not None and not fractions[-1].any():
            n_intervals = min(n_intervals, math.ceil(times[-1] / interval))
        return cls(
            *(population.index, population.n, key, int(purpose), index, interval, n_intervals),
            *(means, times, fractions, weight, port),
        )

    def first_interval(self, k):
        """The first one from k on in which there may be events: silence may last for a great many."""
        if self.times is None:
            return k
        piece = int(np.searchsorted(self.times, k * self.interval, side="right")) - 1
        each, last = self.fractions.shape[1] > 1, len(self.times) - 1
        while piece < last and (piece < 0 or not each and self.fractions[piece, 0] == 0.0):
            piece += 1
        return max(k, int(self.times[piece] / self.interval))

    def events(self, k):
        """Offsets in ms from the start of interval k, ascending, and whose (local ids)."""
        return _wiring.poisson_events(
            self.key, self.purpose, self.index, self.n, self.interval, self.means, self.times, self.fractions, k
        )


@dataclass(frozen=True)
class EngineInput:
    """A network in plain numbers, with its initial state.

    Attributes
    ----------
    clock : Clock
    size : int
        Number of neurons and sources.
    populations : list of PopulationInput
    projections : list of ProjectionInput
    spikes : tuple of ndarray
        Times in ms, ascending, and global ids of the spikes of all SpikeSources.
    processes : list of PoissonInput
        First those of sources, then drives.
    changes : sequence of (float, int, dict)
        Time in ms, index of the population, and its parameters from then on; ascending. See :class:`Changes`.
    """

    clock: Clock
    size: int
    populations: list[PopulationInput]
    projections: list[ProjectionInput]
    spikes: tuple[np.ndarray, np.ndarray]
    processes: list[PoissonInput]
    changes: Sequence[tuple[float, int, dict[str, Any]]]

    def population_of(self, i):
        """The index of the population of a global id."""
        return max(k for k, population in enumerate(self.populations) if population.first <= i)

    def synapses_of(self, i):
        """(projection, place in its row, target (global), weight, delay, port) of the synapses of a global id."""
        pre = self.population_of(i)
        for k, projection in enumerate(self.projections):
            if projection.pre != pre:
                continue
            first = self.populations[projection.post].first
            for place, (target, weight, delay) in enumerate(projection.row(i - self.populations[pre].first)):
                yield k, place, first + target, weight, delay, projection.port


def shortest_slice(clock):
    """Delays between neurons that are shorter, in ms, are not for slices of time: there would be too many of these."""
    return 2.0**-20 * clock.epoch


def shortest_delay(network):
    """The smallest delay of a synapse between neurons of an EngineInput, in ms; infinite if there is none."""
    shortest = np.inf
    for projection in network.projections:
        if network.populations[projection.pre].kernel == "source" or projection.adjacency.n_synapses == 0:
            continue
        shortest = min(shortest, extremes(projection.delay)[0])
    return shortest


def goes_by_slices(network):
    """Whether neurons can be taken through slices of time on their own: all synapses between them have a delay."""
    return shortest_delay(network) >= shortest_slice(network.clock)


class Changes(Sequence):
    """All changes of I_e by steps, in plain numbers; item k is (time in ms, population, its parameters from then on).

    Ascending in time, then by population.

    Attributes
    ----------
    times : ndarray, shape (n_changes,)
        ms.
    populations : ndarray of int64, shape (n_changes,)
        Their indices.
    rows : ndarray of int64, shape (n_changes,)
        Which row of `currents` of its population a change takes.
    currents : dict of ndarray, shape (changes of the population, 1 or n)
        I_e from then on, by population.
    parameters : dict of dict
        Those without the changes, by population.
    """

    def __init__(self, times, currents, parameters):
        """`times`: of each population, ascending."""
        self.currents = {number: np.ascontiguousarray(each) for number, each in currents.items()}
        self.parameters = parameters
        every = np.concatenate([np.zeros(0), *times.values()])
        populations = [np.full(len(times[number]), number, np.int64) for number in times]
        populations = np.concatenate([np.zeros(0, np.int64), *populations])
        order = np.lexsort((populations, every))
        self.times, self.populations = every[order], populations[order]
        rows = [np.arange(len(each), dtype=np.int64) for each in times.values()]
        self.rows = np.concatenate([np.zeros(0, np.int64), *rows])[order]

    def __len__(self):
        return len(self.times)

    def __getitem__(self, k):
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        number = int(self.populations[k])
        return float(self.times[k]), number, self.parameters[number] | {"I_e": self.current(k)}

    def current(self, k):
        """I_e from change k on: a number, or one per neuron."""
        number = int(self.populations[k])
        current = self.currents[number][self.rows[k]]
        one = len(current) == 1 and not isinstance(self.parameters[number]["I_e"], np.ndarray)
        return float(current[0]) if one else current

    def last(self, number, n):
        """The last of the first `n` changes that is of a population; -1 if there is none."""
        mine = np.flatnonzero(self.populations[:n] == number)
        return int(mine[-1]) if len(mine) else -1
