"""The microcircuit below 1 mm2 of cortex: 77,169 neurons, 0.3 billion synapses (Potjans & Diesmann 2014).

Four layers of excitatory and inhibitory neurons, with weights and delays from distributions and Poisson input. At a
`scale` below 1 it has that part of the neurons and of the synapses of each; weights grow by 1 / sqrt(scale), and a
constant current replaces the mean of what is missing, so that rates stay near (van Albada et al. 2015).

Run it with `python microcircuit.py`; it takes about a minute, and writes microcircuit.png.
"""

import numpy as np

import sparseprop as sp

# Neurons, external synapses and initial voltages (mean and deviation, mV) of each population; published rates in Hz.
POPULATIONS = {
    "L23E": (20683, 1600, -68.28, 5.36, 0.903), "L23I": (5834, 1500, -63.16, 4.57, 2.965),
    "L4E": (21915, 2100, -63.33, 4.74, 4.414), "L4I": (5479, 1900, -63.45, 4.94, 5.876),
    "L5E": (4850, 2000, -63.11, 4.94, 7.569), "L5I": (1065, 1900, -61.66, 4.55, 8.633),
    "L6E": (14395, 2900, -66.72, 5.46, 1.105), "L6I": (2948, 2100, -61.43, 4.48, 7.829),
}  # fmt: skip
# The probability that two neurons are connected, [to, from].
PROBABILITY = np.array([
    [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
    [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
    [0.0077, 0.0059, 0.0497, 0.135, 0.0067, 0.0003, 0.0453, 0.0],
    [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
    [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
    [0.0548, 0.0269, 0.0257, 0.0022, 0.06, 0.3158, 0.0086, 0.0],
    [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
    [0.0364, 0.001, 0.0034, 0.0005, 0.0277, 0.008, 0.0658, 0.1443],
])  # fmt: skip
TAU_M, TAU_SYN, EXTERNAL_RATE = 10.0, 0.5, 8.0  # ms, ms, Hz per external synapse
WEIGHT = 87.8 * TAU_M / 250.0  # mV: 87.8 pA, a PSP of 0.15 mV, over a membrane of 250 pF


def network(scale: float = 0.1, seed: int = 1) -> sp.Network:
    """The microcircuit, with this part of its neurons and of the synapses of each."""
    sizes, external, mean, deviation, rate = (np.array(column) for column in zip(*POPULATIONS.values(), strict=True))
    n_synapses = np.log(1.0 - PROBABILITY) / np.log(1.0 - 1.0 / np.outer(sizes, sizes))
    weight = np.tile([WEIGHT, -4.0 * WEIGHT], (8, 4))
    weight[0, 2] *= 2.0
    missing = (1.0 - np.sqrt(scale)) * 1e-3 * TAU_SYN  # of the mean current, per event per second
    current = missing * ((weight * n_synapses / sizes[:, None]) @ rate + WEIGHT * external * EXTERNAL_RATE)
    net, rng = sp.Network(seed=seed), np.random.default_rng(seed)
    for k, name in enumerate(POPULATIONS):
        n = round(scale * sizes[k])
        neuron = sp.LIFExp(TAU_M, TAU_SYN, E_L=-65.0, V_th=-50.0, V_reset=-65.0, I_e=current[k], t_ref=2.0)
        V = np.minimum(rng.normal(mean[k], deviation[k], n), -50.001)
        population = net.add(n, neuron, name=name, V=V)
        events = sp.poisson(EXTERNAL_RATE * scale * external[k])
        net.drive(population, events, weight=WEIGHT / np.sqrt(scale))
    for k, post in enumerate(net.populations):
        for j, pre in enumerate(net.populations):
            w, delay = weight[k, j] / np.sqrt(scale), 1.5 if j % 2 == 0 else 0.75
            low, high = (0.0, np.inf) if w > 0.0 else (-np.inf, 0.0)
            net.connect(
                pre, post, sp.fixed_total_number(round(scale**2 * n_synapses[k, j])),
                weight=sp.normal(w, 0.1 * abs(w), low=low, high=high), delay=sp.normal(delay, 0.5 * delay, low=0.1),
                allow_autapses=True, allow_multapses=True,  # as the number of synapses follows from the probability
            )  # fmt: skip
    return net


def main(scale: float = 0.1, duration: float = 1000.0, picture: str = "microcircuit.png") -> sp.Result:
    """Simulate `duration` ms after 500 ms of transient; rates beside the published ones."""
    sim = sp.Simulation(network(scale))
    sim.run(500.0)
    res = sim.run(duration)
    for name, (*_, published) in POPULATIONS.items():
        found = res[name]
        print(f"{name:5} {found.rate:6.2f} Hz (published {published:5.2f}), CV {found.cv_isi:.2f}")
    ax = res.plot_raster()
    ax.figure.savefig(picture, dpi=100)
    return res


if __name__ == "__main__":
    main()
