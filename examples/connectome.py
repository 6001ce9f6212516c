"""A real connectome: the chemical synapses of the worm C. elegans, 280 neurons, as leaky integrate-and-fire neurons.

The graph is that of Varshney et al. (2011, doi:10.1371/journal.pcbi.1001066, CC BY), as the C. elegans Connectome
Toolbox has it (MIT licence): `pip install --no-deps cect`. Only the graph is the worm's: its neurons hardly spike.
GABA neurons inhibit, all others excite. Compared with a graph in which synapses have other targets.

Run it with `python connectome.py`; it writes connectome.png.
"""

import importlib.util
import json
import pathlib

import numpy as np

import sparseprop as sp

GABA = ("DD", "VD", "RME", "RIS", "AVL", "DVB")  # what names of GABA neurons begin with (McIntire et al. 1993)


def connectome(path: str | pathlib.Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Names of the neurons, and how many synapses each has to each: [target, source]."""
    if path is None:
        found = importlib.util.find_spec("cect")
        if found is None or found.origin is None:
            raise ImportError("the connectome is in the package cect: pip install --no-deps cect")
        path = pathlib.Path(found.origin).parent / "cache" / "VarshneyDataReader.json"
    data = json.loads(pathlib.Path(path).read_text())
    names, synapses = np.array(data["nodes"]), np.array(data["connections"]["Generic_CS"]).T  # there [source, target]
    np.fill_diagonal(synapses, 0.0)
    neurons = names != "BWM"  # all muscles of the body wall
    return names[neurons], synapses[np.ix_(neurons, neurons)]


def rewired(synapses: np.ndarray, seed: int) -> np.ndarray:
    """The same numbers of synapses, from the same sources, to targets drawn at random."""
    rng = np.random.default_rng(seed)
    other = np.zeros_like(synapses)
    for source in range(len(synapses)):
        targets = np.delete(np.arange(len(synapses)), source)
        other[rng.permutation(targets), source] = np.delete(synapses[:, source], source)
    return other


def network(names: np.ndarray, synapses: np.ndarray, weight: float, rate: float, seed: int) -> sp.Network:
    """Each synapse moves V by `weight`; each neuron gets Poisson events at `rate` Hz besides."""
    signs = np.where([name.startswith(GABA) for name in names], -1.0, 1.0)
    net = sp.Network(seed=seed)
    neurons = net.add(len(names), sp.LIF(tau_m=20.0, V_th=20.0, V_reset=10.0, t_ref=2.0), name="neurons", V=0.0)
    net.connect(neurons, neurons, weight * synapses * signs, delay=1.5)
    net.drive(neurons, sp.poisson(rate), weight=2.0)
    return net


def main(
    path: str | pathlib.Path | None = None, duration: float = 5000.0, weight: float = 0.2, rate: float = 450.0
) -> dict[str, np.ndarray]:
    """Simulate both graphs for `duration` ms; returns the rates of all neurons in each."""
    names, synapses = connectome(path)
    rates = {}
    for graph, W in (("the worm's graph", synapses), ("other targets", rewired(synapses, seed=1))):
        res = network(names, W, weight, rate, seed=1).run(duration)
        rates[graph] = res["neurons"].rates
        most = np.argsort(rates[graph])[::-1][:6]
        fastest = ", ".join(f"{names[k]} {rates[graph][k]:.0f}" for k in most)
        print(f"{graph}: {res.rate:.1f} Hz, CV {res.cv_isi:.2f}; the fastest: {fastest} Hz")
        if W is synapses:
            res.plot_raster(t_stop=min(duration, 1000.0)).figure.savefig("connectome.png", dpi=100)
    return rates


if __name__ == "__main__":
    main()
