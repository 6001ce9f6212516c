"""A recorded raster as input: half of a network is replaced by its own spikes, and the other half does not notice.

A raster has times rounded to doubles in ms, the simulation has more digits: so the replay differs by some 1e-13 ms.

Run it with `python replay.py`; it writes replay.h5.
"""

import numpy as np

import sparseprop as sp

NEURON = sp.LIF(tau_m=20.0, V_th=20.0, V_reset=10.0, I_e=24.0, t_ref=2.0)


def network(n: int, driver: sp.LIF | sp.SpikeSource) -> sp.Network:
    """Neurons E that excite neurons F; `driver` is what E consists of."""
    net = sp.Network(seed=1)
    E = net.add(n, driver, name="E")
    F = net.add(n, NEURON, name="F")
    net.connect(E, F, sp.fixed_indegree(50), weight=sp.normal(0.2, 0.02), delay=sp.uniform(0.5, 3.0))
    net.connect(F, F, sp.fixed_indegree(50), weight=-0.2, delay=1.5)
    return net


def main(n: int = 1000, duration: float = 500.0) -> tuple[sp.Result, sp.Result]:
    """Record E and F, then replay E."""
    recorded = network(n, NEURON).run(duration, record="replay.h5", overwrite=True)
    print(recorded)
    replayed = network(n, sp.SpikeSource.from_raster("replay.h5", "E")).run(duration)
    before, after = recorded.population("F"), replayed.population("F")
    if np.array_equal(before.ids, after.ids):
        difference = np.abs(before.times - after.times).max()
        print(f"F fired the same {after.n_spikes:,} spikes as in the recorded run, within {difference:.1e} ms")
    return recorded, replayed


if __name__ == "__main__":
    main()
