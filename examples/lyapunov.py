"""Extensive chaos: Lyapunov spectra of inhibitory theta networks of several sizes, beside a stable LIF network.

Run it with `python lyapunov.py`; it takes some minutes, and writes lyapunov.png.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import sparseprop as sp


def spectrum_of(
    model: sp.Theta | sp.LIF, n: int, seed: int, spikes: int, share: float, outdegree: int, rate: float = 1.0
) -> sp.LyapunovSpectrum:
    """The first `share` of the exponents of a balanced network that fires at `rate` Hz."""
    net = sp.calibrate_rate(sp.balanced_network(n, model, outdegree=outdegree, seed=seed), rate)
    return sp.lyapunov_spectrum(net, n_exponents=round(share * n), n_spikes=spikes * n)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) / np.sqrt(len(values))


def main(
    sizes: Sequence[int] = (200, 500, 1000),
    graphs: int = 3,
    spikes: int = 40,
    share: float = 0.35,
    outdegree: int = 100,
) -> list[dict[str, Any]]:
    """`spikes` of each neuron on each of so many graphs; draws lyapunov.png and returns the table."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    table = []
    for n in sizes:
        spectra = [spectrum_of(sp.Theta(tau_m=10.0), n, seed, spikes, share, outdegree) for seed in range(graphs)]
        spectra[0].plot(axes[0])
        axes[0].lines[-2].set_label(f"N = {n}")
        row: dict[str, Any] = {"n": n}
        for name, values in (
            ("largest", [s.exponents[0] for s in spectra]),
            ("dimension / N", [s.dimension / n for s in spectra]),
            ("bits per spike", [s.entropy_per_spike for s in spectra]),
            ("flow", [np.abs(s.exponents).min() for s in spectra]),
        ):
            row[name] = mean_and_error(values)
        table.append(row)
        print(", ".join([f"N = {n}", *(f"{name}: {row[name][0]:.4g} +- {row[name][1]:.2g}" for name in list(row)[1:])]))
    axes[0].legend()
    axes[0].set_title("theta: one curve over i / N")
    for name, scale in (("largest", 20.0), ("dimension / N", 0.2), ("bits per spike", 1.0)):
        values, errors = np.array([row[name] for row in table]).T / scale
        axes[1].errorbar(sizes, values, errors, marker="o", label=f"{name}, over {scale:g}")
    axes[1].set(xscale="log", xlabel="N", ylim=(0.0, None), title="theta")
    axes[1].legend()
    stable = spectrum_of(sp.LIF(tau_m=10.0), sizes[0], 0, spikes, 1.0, outdegree)
    stable.plot(axes[2])
    axes[2].set_title(f"LIF, N = {sizes[0]}: stable")
    figure.savefig("lyapunov.png", dpi=150)
    print(
        f"LIF, N = {sizes[0]}: {stable.exponents[0]:.3g}, {stable.exponents[1]:.4g}, ... {stable.exponents[-1]:.5g} 1/s"
    )
    return table


if __name__ == "__main__":
    main()
