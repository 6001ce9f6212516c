"""A table against the closed form: the same network of LIF neurons, once as sp.LIF and once as sp.NumericalIF("-V").

    python docs/table_lif.py docs [--spikes 1000000 --size 100000]

Draws docs/table_lif.png: the differences of spike times over 10^6 spikes, and prints whether the order is the same.
"""

import argparse
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import sparseprop as sp

TAU = 10.0
CASES = {
    "LIF": (
        sp.LIF(tau_m=TAU, I_e=1.04),
        sp.NumericalIF("-V", V_th=1.0, V_reset=0.0, tau_m=TAU, I_e=1.04),
    ),
    "QIF": (
        sp.QIF(tau_m=TAU, I_e=0.1, V_peak=20.0, V_reset=-10.0),
        sp.NumericalIF("V * V", V_th=20.0, V_reset=-10.0, tau_m=TAU, I_e=0.1),
    ),
}


def fired(model, V, n, spikes):
    """Times and ids of the balanced network from given initial voltages."""
    net = sp.Network(seed=2)
    p = net.add(n, model, V=V)
    net.connect(p, p, sp.fixed_outdegree(100), weight=-0.01)
    result = net.run(n_spikes=spikes, progress=False)
    return result.times[:spikes], result.ids[:spikes]


def main():
    """Run both networks twice and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--spikes", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=100_000)
    options = parser.parse_args()
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.2), sharey=True, layout="constrained")
    for ax, (name, (analytic, table)) in zip(axes, CASES.items(), strict=True):
        rng = np.random.default_rng(1)
        V = np.minimum(analytic.free_voltage(rng.random(options.size) * analytic.free_period()), 0.999)
        (times, ids), (others, other_ids) = (
            fired(model, V, options.size, options.spikes) for model in (analytic, table)
        )
        difference = np.abs(times - others) / TAU
        same = np.array_equal(ids, other_ids)
        print(f"{name}: {len(times)} spikes, order {'the same' if same else 'DIFFERENT'}, "
              f"largest difference {difference.max():.1e} tau_m, median {np.median(difference):.1e}")  # fmt: skip
        step = max(len(times) // 20_000, 1)
        k = np.arange(0, len(times), step)
        ax.plot(k, np.maximum(difference[k], 1e-18), ",", color="tab:blue", label="|difference| / tau_m")
        ax.plot(k, np.spacing(times[k]) / TAU, color="tab:orange", lw=1, label="resolution of a reported time")
        ax.set(yscale="log", xlabel="spike", title=f"{name}: table against closed form", ylim=(1e-18, 1e-11))
        ax.legend(loc="upper left", fontsize=8)
    axes[0].set_ylabel("in units of tau_m")
    figure.savefig(options.folder / "table_lif.png", dpi=120)


if __name__ == "__main__":
    main()
