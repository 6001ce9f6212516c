"""One network on several ranks: what each of them gets of it, and the engine that makes them one.

Each rank has a share of the neurons of each population, one behind the other, and the synapses onto these. All ranks
know all spikes: after each slice of the lookahead engine, which is no longer than the smallest delay, they swap those
of it (engine/_swap.pxd). So all that is done with spikes, from the synapses along which they arrive to the rule that
ends the run, is done alike on all ranks; only states are on one rank each, and are gathered where they are asked for.
Sources are small, and are on all ranks.
"""

import collections
import dataclasses

import numpy as np

from ..connectivity import share_of_adjacency
from ._lookahead import Lookahead
from .input import Changes, shortest_delay

__all__ = ["SharedLookahead", "share_of"]


def share_of(network, ranks):
    """What this rank gets of an EngineInput, whose projections may be its share already.

    Parameters
    ----------
    network : EngineInput
        With the initial states of all neurons.
    ranks : Ranks

    Returns
    -------
    EngineInput
        Populations with the neurons of this rank, rows of synapses with the targets that are among these.
    """
    parts = {}
    for k, population in enumerate(network.populations):
        low, high = (0, population.size) if population.kernel == "source" else ranks.share(population.size)
        parts[k] = slice(low, high)
    populations = [_share_of_population(p, parts[k]) for k, p in enumerate(network.populations)]
    projections = []
    for p in network.projections:
        part = parts[p.post]
        adjacency, (weight, delay) = share_of_adjacency(p.adjacency, (p.weight, p.delay), part.start, part.stop)
        projections.append(dataclasses.replace(p, adjacency=adjacency, weight=weight, delay=delay))
    changes = share_of_changes(network.changes, parts)
    return dataclasses.replace(network, populations=populations, projections=projections, changes=changes)


def _share_of_population(population, part):
    if population.kernel == "source":
        return population

    def cut(values):
        if not isinstance(values, np.ndarray) or values.ndim == 0:
            return values
        # Of no neurons, parameters are those of some other one.
        return values[part]

    def cut_parameter(values):
        if isinstance(values, np.ndarray) and values.ndim and part.start == part.stop:
            return float(values[0])
        return cut(values)

    return dataclasses.replace(
        population,
        first=population.first + part.start,
        size=part.stop - part.start,
        whole=(population.first, population.size),
        parameters={name: cut_parameter(value) for name, value in population.parameters.items()},
        V=cut(population.V),
        refractory=cut(population.refractory),
        I_syn=cut(population.I_syn),
    )


def share_of_changes(changes, parts):
    """The :class:`Changes` of the neurons in `parts`, slices by population."""
    shared = Changes({}, {}, {})
    shared.times, shared.populations, shared.rows = changes.times, changes.populations, changes.rows
    for number, currents in changes.currents.items():
        part = parts[number] if currents.shape[1] > 1 else slice(None)
        shared.currents[number] = np.ascontiguousarray(currents[:, part])
        shared.parameters[number] = {
            name: value[parts[number]] if isinstance(value, np.ndarray) and value.ndim else value
            for name, value in changes.parameters[number].items()
        }
    return shared


class SharedLookahead(Lookahead):
    """The lookahead engine on several ranks, each of which has one and makes the same calls.

    Parameters
    ----------
    network : EngineInput
        Of all ranks.
    ranks : Ranks
    n_threads : int, optional
        Of this rank.
    """

    def __init__(self, network, ranks, n_threads=None, block=None, longest=None):
        self._sizes = [None if p.kernel == "source" else p.size for p in network.populations]
        self._firsts = [p.first for p in network.populations]
        shortest = min(ranks.gather_objects(min(shortest_delay(network), np.inf if longest is None else longest)))
        super().__init__(share_of(network, ranks), n_threads, block, float(shortest), ranks=ranks)

    def _parts(self):
        return {k: slice(*self.ranks.share(size)) for k, size in enumerate(self._sizes) if size is not None}

    def _mine(self, ids):
        """Which of some neurons, by global id, are on this rank."""
        mine = np.zeros(len(ids), bool)
        for k, part in self._parts().items():
            mine |= (ids >= self._firsts[k] + part.start) & (ids < self._firsts[k] + part.stop)
        return mine

    def _gathered(self, look, ids, width):
        """What `look` tells of the neurons of this rank, of all ranks; NaN for sources."""
        ids = np.arange(self.network.size, dtype=np.int64) if ids is None else np.asarray(ids, np.int64)
        values = np.full((len(ids), *width), np.nan)
        where = np.flatnonzero(self._mine(ids))
        parts = self.ranks.gather_objects((where, look(ids[where])))
        for where, found in parts:
            values[where] = found
        return values

    def voltages(self, ids=None, internal=False):
        """As :meth:`Engine.voltages`."""
        return self._gathered(lambda mine: Lookahead.voltages(self, mine, internal), ids, ())

    def currents(self, ids):
        """As :meth:`Engine.currents`."""
        ports = Lookahead.currents(self, np.zeros(0, np.int64)).shape[1]
        return self._gathered(lambda mine: Lookahead.currents(self, mine), ids, (ports,))

    def releases(self, k):
        """As :meth:`Engine.releases`."""
        return np.concatenate(self.ranks.gather_objects(Lookahead.releases(self, k)))

    def emissions(self):
        """As :meth:`Engine.emissions`: what is on its way to a neuron of some rank."""
        emissions: collections.Counter = collections.Counter()
        for rows in self.ranks.gather_objects(Lookahead.emissions(self).tolist()):
            # A source may emit several spikes at a time; those that are on their way here may be the same elsewhere.
            emissions |= collections.Counter(map(tuple, rows))
        return np.array(sorted(emissions.elements()), dtype=float).reshape(-1, 3)

    def state(self):
        """As :meth:`Engine.state`, on the first rank; on the others what need not be gathered."""
        state = Lookahead.state(self)
        for mine in state["populations"]:
            for name in mine or ():
                # Where only some neurons have a refractory period, a rank may have none of them.
                if any(self.ranks.gather_objects(mine[name] is not None)):
                    mine[name] = self.ranks.collect(np.zeros((len(mine["x"]), 2)) if mine[name] is None else mine[name])
        return state

    def restore(self, state):
        """As :meth:`Engine.restore`, from the state of all neurons."""
        parts = self._parts()
        populations = [
            saved and {name: None if array is None else array[parts[k]] for name, array in saved.items()}
            for k, saved in enumerate(state["populations"])
        ]
        Lookahead.restore(self, state | {"populations": populations})

    def place(self, ids, V, refractory, currents):
        """As :meth:`Engine.place`, of any neurons."""
        mine = self._mine(ids)
        Lookahead.place(self, ids[mine], V[mine], refractory[mine], currents[mine])

    def set_changes(self, changes, n_changes):
        """As :meth:`Loaded.set_changes`, of all neurons."""
        if changes is not self.network.changes:  # which are the share's
            changes = share_of_changes(changes, self._parts())
        Lookahead.set_changes(self, changes, n_changes)
