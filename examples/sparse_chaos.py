"""What sets chaos in balanced networks: rapidness of spike onset, in-degree, coupling and rate.

Inhibitory networks of rapid theta neurons, each calibrated to its rate. One parameter at a time is changed; of each
network the largest Lyapunov exponent, the dimension of the attractor and the entropy per spike are measured on several
graphs.

Run it with `python sparse_chaos.py`; it takes some ten minutes, and writes sparse_chaos.png.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import sparseprop as sp

STANDARD = {"rapidness": 1.0, "K": 100, "J0": 1.0, "rate (Hz)": 1.0}
VALUES = {
    "rapidness": (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0),
    "K": (25, 50, 100, 200, 400),
    "J0": (0.25, 0.5, 1.0, 2.0, 4.0),
    "rate (Hz)": (0.5, 1.0, 2.0, 5.0, 10.0),
}
COLUMNS = ("largest exponent (1/s)", "dimension / N", "bits per spike")


def measured(n: int, seed: int, spikes: int, share: float, settings: Mapping[str, Any]) -> tuple[float, ...]:
    """Largest exponent, dimension per neuron, bits per spike, and the exponent nearest to 0, of one graph."""
    model = sp.RapidTheta(tau_m=10.0, rapidness=settings["rapidness"])
    rate = settings["rate (Hz)"]
    net = sp.balanced_network(n, model, outdegree=settings["K"], j0=settings["J0"], rate=rate, seed=seed)
    spectrum = sp.lyapunov_spectrum(
        sp.calibrate_rate(net, rate), n_exponents=round(share * n), n_spikes=spikes * n, n_threads=1
    )
    nearest = np.abs(spectrum.exponents).min()
    return spectrum.exponents[0], spectrum.dimension / n, spectrum.entropy_per_spike, nearest


def main(
    n: int = 500, graphs: int = 3, spikes: int = 40, share: float = 0.7, values: Mapping[str, Sequence[float]] = VALUES
) -> list[tuple[Any, ...]]:
    """`spikes` of each neuron on each of so many graphs; returns rows of (name, value, means, standard errors)."""
    rows = []
    for name, numbers in values.items():
        for number in numbers:
            settings = STANDARD | {name: number}
            each = np.array([measured(n, seed, spikes, share, settings) for seed in range(graphs)])
            rows.append((name, number, each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(graphs)))
            texts = (f"{mean:.4g} +- {error:.2g}" for mean, error in zip(*rows[-1][2:], strict=True))
            print(f"{name} {number:g}: {', '.join(texts)}", flush=True)
    draw(rows)
    return rows


def draw(rows: list[tuple[Any, ...]]) -> None:
    """Write sparse_chaos.png."""
    names = list(dict.fromkeys(name for name, *_ in rows))
    figure = Figure(figsize=(2.6 * len(names), 5.5), layout="constrained")
    axes = figure.subplots(len(COLUMNS), len(names), squeeze=False, sharex="col", sharey="row")
    for place, name in enumerate(names):
        numbers, means, errors = zip(*(row[1:] for row in rows if row[0] == name), strict=True)
        for k, label in enumerate(COLUMNS):
            ax = axes[k, place]
            ax.errorbar(numbers, np.array(means)[:, k], np.array(errors)[:, k], marker="o", markersize=3)
            ax.axhline(0.0, color="0.7", linewidth=0.8)
            ax.set(xscale="log", ylabel="" if place else label)
        axes[-1, place].set_xticks(numbers[:: -(-len(numbers) // 5)], minor=False)
        axes[-1, place].set(xlabel=name)
        axes[-1, place].xaxis.set_major_formatter("{x:g}")
        axes[-1, place].xaxis.set_minor_formatter("")
    figure.savefig("sparse_chaos.png", dpi=110)


if __name__ == "__main__":
    main()
