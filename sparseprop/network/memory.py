"""How much memory a network and a simulation of it take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import inputs
from ..numerics.engine_time import Clock

if TYPE_CHECKING:
    from .network import Network
    from .parts import Population

__all__ = ["human_bytes", "is_train", "network_memory", "shortest_time", "simulation_memory"]

# While the initial states of neurons are drawn that each have a table, bytes for each of them, as measured.
TABLE_BYTES = 180


def network_memory(net: Network) -> tuple[int, int]:
    """Bytes that the network keeps, and the most it took while it was built."""
    kept = sum(population.nbytes for population in net.populations)
    most = kept + max((p.model.times.nbytes * 3 for p in net.populations if is_train(p)), default=0)
    kept += sum(d.input.values.nbytes for d in net.drives if isinstance(d.input, inputs.Steps))
    for projection in net.projections:
        kept += projection.nbytes
        most = max(most, kept + projection._transient_memory()[0])
    return kept, most


def simulation_memory(net):
    """Bytes that a simulation takes besides, at most."""
    kept = running = 0
    transients = [0]
    neurons = [p for p in net.populations if not p.is_source]
    # Bits for who has fired and who is kicked; with currents, until when a neuron cannot fire.
    currents = any(p.has_currents for p in neurons)
    kept += net.size * (0.125 * (1 + max((p.model.n_ports for p in neurons), default=1)) + 8 * currents)
    running += 1.2 * net.size
    for p in neurons:
        each, row, transient = p._simulation_memory()
        kept += p.n * (each + row)
        if p.model.has_tables:  # drawing initial states, a block at a time
            kept += TABLE_BYTES * min(p.n, 1 << 16)
        transients.append(p.n * transient)
    for projection in net.projections:
        _, keeps, transient = projection._transient_memory()
        kept += keeps
        transients.append(transient)
    trains = sum(p.model.times.nbytes for p in net.populations if is_train(p))
    kept += 2 * trains
    transients.append(4 * trains)
    # The events of an interval; those of one process at a time also out of order.
    epoch = Clock(float(min((shortest_time(p.model) for p in neurons), default=1.0))).epoch
    processes = [(d.population.n, d.input) for d in net.drives if isinstance(d.input, inputs.Poisson)]
    processes += [(p.n, p.model.process) for p in net.populations if isinstance(p.model, inputs.PoissonSource)]
    drawing = 0
    for n, process in processes:
        highest, fractions = process.highest(), process.fractions()
        kept += highest.nbytes + (fractions.nbytes if fractions is not None else 0)
        expected = process.interval(16.0 * epoch) * (highest.sum() if len(highest) > 1 else n * highest[0])
        running += 8 * (expected + 6.0 * expected**0.5)
        drawing = max(drawing, 8 * expected + 100_000)
    running += drawing
    for p in neurons:
        if any(d.population is p and isinstance(d.input, inputs.Steps) for d in net.drives):
            rows = [d.input.values for d in net.drives if d.population is p and isinstance(d.input, inputs.Steps)]
            kept += 2 * max(values.nbytes for values in rows)
    return kept + max(max(transients), running)


def is_train(population: Population) -> bool:
    """Whether it is of given spikes."""
    return isinstance(population.model, inputs.SpikeSource)


def shortest_time(model):
    """The shortest time in ms on which its neurons change."""
    return min(np.min(model.tau_m), 8.0 * np.min(model.growth_time_constant()))


def human_bytes(n: float) -> str:
    """A number of bytes, to be read."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
