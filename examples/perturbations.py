"""Stable and unstable chaos: twins of a network from one state, that begin a little apart, or a spike.

Inhibitory LIF networks forget a small difference, but not a large one, nor a single spike: their spike patterns have
flux tubes around them. Theta networks forget none, and those of rapid theta neurons lie in between.

Run it with `python perturbations.py`; it writes perturbations.png.
"""

import numpy as np
from matplotlib.figure import Figure

import sparseprop as sp


def network(model: sp.LIF | sp.Theta | sp.RapidTheta, n: int, K: int) -> sp.Network:
    """The balanced network with a rate of 1 Hz."""
    return sp.calibrate_rate(sp.balanced_network(n, model, outdegree=K, seed=1), 1.0)


def main(n: int = 500, K: int = 100, twins: int = 10, duration: float = 2000.0) -> dict[str | float, sp.Perturbation]:
    """Run twins of LIF, theta and rapid theta networks; returns what they show, by name."""
    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    (fading, tube), (growing, rapid) = figure.subplots(2, 2)
    found: dict[str | float, sp.Perturbation] = {}

    lif = network(sp.LIF(tau_m=10.0), n, K)
    found["LIF"] = sp.perturb(lif, size=np.geomspace(1e-10, 1e-2, 5), n=twins, duration=duration)
    found["LIF"].plot(fading).set_title("LIF: differences in phase, by their size")

    found["tube"] = sp.perturb(lif, size=np.geomspace(1e-5, 1e-1, 9), n=3 * twins, duration=duration, n_times=20)
    sizes, radius = np.unique(found["tube"].sizes), found["tube"].flux_tube_radius
    tube.plot(sizes, found["tube"].returned.reshape(len(sizes), -1).mean(axis=1), "o")
    fine = np.geomspace(sizes[0], sizes[-1], 200)
    tube.plot(fine, np.exp(-fine / radius), label=f"exp(-size / {radius:.2g})")
    tube.set(xscale="log", xlabel="size", ylabel="twins that return", title="LIF: the radius of its flux tubes")
    tube.legend()

    found["spike"] = sp.perturb(lif, "spike", n=twins, duration=duration)
    found["missing spike"] = sp.perturb(lif, "missing spike", n=twins, duration=duration)
    for kind, color in (("spike", "black"), ("missing spike", "red")):
        twin = found[kind]
        growing.plot(twin.times / 1e3, twin.transversal.mean(axis=0), color=color, label=f"LIF, {kind}")
    found["theta"] = sp.perturb(network(sp.Theta(tau_m=10.0), n, K), n=twins, duration=duration)
    found["theta"].plot(growing)
    growing.set_title(f"theta: {found['theta'].divergence_rate:.1f} per s, and LIF with a spike more or less")

    for r in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0):
        net = network(sp.RapidTheta(tau_m=10.0, rapidness=r), n, K)
        found[r] = sp.perturb(net, n=twins, duration=duration)
        rapid.errorbar(r, found[r].divergence_rate, found[r].divergence_rate_error, fmt="ok", capsize=3)
    rapid.axhline(0.0, color="gray", linewidth=0.8)
    rapid.set(xscale="log", xlabel="rapidness", ylabel="divergence rate (1/s)", title="rapid theta")

    figure.savefig("perturbations.png", dpi=110)
    for name, twin in found.items():
        print(name, twin)
    print(f"flux tube radius {radius:.2g} +- {found['tube'].flux_tube_radius_error:.1g}")
    return found


if __name__ == "__main__":
    main()
