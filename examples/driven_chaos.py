"""Input tames chaos: conditional exponents and trial-to-trial variability of a driven theta network.

Each neuron gets two Poisson inputs of one rate, with weights of either sign. The input is frozen: it is the same for
perturbed states, and for the two trials, which begin differently.

Run it with `python driven_chaos.py`; it takes some minutes, and writes driven_chaos.png.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

import sparseprop as sp


def network(n: int, outdegree: int, strength: float, rate: float, trial: int = 0) -> sp.Network:
    """A balanced network with input of a rate in Hz; trials differ in the initial state alone."""
    net = sp.balanced_network(n, sp.Theta(tau_m=10.0), outdegree=outdegree, seed=1)
    neurons = net.populations[0]
    driven = sp.Network(seed=1)
    phases = np.random.default_rng(trial).uniform(-np.pi, np.pi, n)
    population = driven.add(n, neurons.model, phase=phases)
    driven.connect(population, population, sp.fixed_outdegree(outdegree), weight=net.projections[0].weight)
    if rate > 0.0:
        for sign in (1.0, -1.0):
            driven.drive(population, sp.poisson(rate), weight=sign * strength)
    return driven


def variability(first: sp.Result, second: sp.Result, window: float = 1.0, start: float = 1000.0) -> float:
    """Which part of the spikes of a trial has none of the same neuron within so many ms in another one."""
    unmatched = total = 0
    for i in range(first.n_neurons):
        times, others = (np.append(r.times[(r.ids == i) & (r.times > start)], np.inf) for r in (first, second))
        at = np.searchsorted(others, times[:-1])
        distance = np.minimum(np.abs(others[at] - times[:-1]), np.abs(times[:-1] - others[np.maximum(at - 1, 0)]))
        unmatched, total = unmatched + int((distance > window).sum()), total + len(times) - 1
    return unmatched / max(total, 1)


def main(
    n: int = 200,
    outdegree: int = 50,
    strengths: Sequence[float] = (0.3, 1.0, 3.0),
    rates: Sequence[float] = (0.0, 1.0, 3.0, 10.0, 30.0),
    spikes: int = 100,
) -> list[tuple[float, ...]]:
    """Draws driven_chaos.png and returns rows of (strength, rate, largest exponent, its error, bits, variability)."""
    rows: list[tuple[float, ...]] = []
    for strength in strengths:
        for rate in rates:
            net = network(n, outdegree, strength, rate)
            spectrum = sp.lyapunov_spectrum(net, n_exponents=n // 2, n_spikes=spikes * n)
            first, second = (network(n, outdegree, strength, rate, k).run(4000.0, progress=False) for k in (0, 1))
            row = (strength, rate, spectrum.exponents[0], spectrum.errors[0], spectrum.entropy_per_spike)
            rows.append((*row, variability(first, second)))
            print(
                "weight {:g}, {:g} Hz: {:.2f} +- {:.2f} 1/s, {:.3f} bits per spike, variability {:.2f}".format(
                    *rows[-1]
                )
            )
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    labels = ("largest exponent (1/s)", "bits per spike", "trial-to-trial variability")
    for ax, column, label in zip(figure.subplots(1, 3), (2, 4, 5), labels, strict=True):
        for strength in strengths:
            mine = np.array([row for row in rows if row[0] == strength])
            errors = 2.0 * mine[:, 3] if column == 2 else None
            ax.errorbar(mine[:, 1], mine[:, column], errors, marker="o", label=f"weight {strength:g}")
        ax.axhline(0.0, color="0.7", linewidth=0.8)
        ax.set(xscale="symlog", xlim=(-0.2, 1.4 * max(rates)), xlabel="input rate (Hz)", ylabel=label)
    ax.legend()
    figure.savefig("driven_chaos.png", dpi=150)
    return rows


if __name__ == "__main__":
    main()
