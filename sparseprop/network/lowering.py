"""From a network to what engines get of it: plain numbers, with the initial state and the keys of what is drawn."""

import numpy as np

from .. import inputs
from .._machine import available_memory
from ..connectivity import Purpose, random_key
from ..engine.input import Changes, EngineInput, PoissonInput, PopulationInput, ProjectionInput
from ..errors import InsufficientMemoryError, ParameterError
from ..models import require_currents
from ..numerics.engine_time import Clock
from .memory import human_bytes, shortest_time, simulation_memory

__all__ = ["engine_input"]


def engine_input(net, seed, ranks=None):
    """The input for a network with initial states and Poisson input drawn from `seed`; of one of `ranks`, if given."""
    if not net.populations:
        raise ParameterError("the network has no populations; add() some")
    needed = simulation_memory(net)
    available = available_memory()
    if ranks is not None:  # those of one machine need their part of it together
        needed = int(needed * ranks.n_here / ranks.size)
    if needed > available:
        raise InsufficientMemoryError(
            f"a simulation of {net.n_neurons:,} neurons needs {human_bytes(needed)}, and "
            f"{human_bytes(available)} of memory are available; use fewer neurons"
        )
    key = random_key(seed)
    changes, changed = _changes(net)
    models = [p.model for p in net.populations if not p.is_source] + changed
    # An epoch must also not be long against the exponential flow of a strongly inhibited QIF neuron.
    shortest = min((shortest_time(model) for model in models), default=1.0)
    longest = max((np.max(model.tau_m) for model in models), default=1.0)
    if longest > 1e12 * shortest:
        raise ParameterError(
            f"tau_m must be at most 1e12 times the shortest time constant of the network, got {longest} ms and "
            f"{shortest} ms: times have no digits left for such a neuron"
        )
    clock = Clock(float(shortest))
    populations = []
    trains = [(np.zeros(0), np.zeros(0, np.int64))]
    processes = []
    for p in net.populations:
        if isinstance(p.model, inputs.SpikeSource):
            trains.append((p.model.times, p.model.ids + p.first))
        elif isinstance(p.model, inputs.PoissonSource):
            processes.append(
                PoissonInput.of(p.model.process, p, key, Purpose.POISSON_SOURCE, p.index, None, clock.epoch)
            )
        if p.is_source:
            populations.append(PopulationInput("source", p.first, p.n, {}, np.zeros(0), None))
            continue
        V, refractory = p.initial_state(key)
        parameters = p.model.parameters()
        populations.append(
            PopulationInput(p.model.kernel, p.first, p.n, parameters, V, refractory, p.initial_currents(key))
        )
    processes += [
        PoissonInput.of(d.input, d.population, key, Purpose.DRIVE, d.index, d.weight, clock.epoch, d.port)
        for d in net.drives
        if isinstance(d.input, inputs.Poisson)
    ]
    times, ids = (np.concatenate(arrays) for arrays in zip(*trains, strict=True))
    order = np.lexsort((ids, times))
    projections = [
        ProjectionInput(
            p.pre.index, p.post.index, p.adjacency, p.kept("weight"), p.kept("delay"), p.n_multapses != 0, p.port
        )
        for p in net.projections
    ]
    return EngineInput(
        clock,
        net.size,
        populations,
        projections,
        (times[order], ids[order]),
        processes,
        changes,
    )


def _changes(net):
    """The :class:`Changes` of all steps, and a model for each change with the shortest time constants there are."""
    currents, when, models = {}, {}, []
    for p in net.populations:
        drives = [d.input for d in net.drives if d.population is p and isinstance(d.input, inputs.Steps)]
        if not drives:
            continue
        times = np.unique(np.concatenate([drive.times for drive in drives]))
        total = np.zeros((len(times), max(drive.values.shape[1] for drive in drives)))
        for drive in drives:
            total += drive.at(times)
        currents[p.index], when[p.index] = p.model.I_e + total, times
        if len(drives) > 1 or p.model.drive_sets_tau:
            models += require_currents(p.model, times, total, f"steps of population {p.name!r}")
    parameters = {number: net.populations[number].model.parameters() for number in currents}
    return Changes(when, currents, parameters), models
