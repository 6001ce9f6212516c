"""What an exact gradient can and cannot tell: three figures for docs/gradients.md.

python docs/gradient_limits.py docs
"""

import math
import pathlib
import sys

import numpy as np

import sparseprop as sp


def second_neuron(model, shift, weight, n_spikes):
    """Spike times of the second of two neurons that the first one kicks, and their derivatives with respect to V.

    Without the kick it would fire `shift` ms after the first one.
    """
    net = sp.Network(seed=1)
    V = [voltage_before(model, 10.0), voltage_before(model, 10.0 + shift)]
    neurons = net.add(2, model, V=V)
    net.connect(neurons, neurons, sp.edges([0], [1]), weight=weight)
    res = net.run(60.0, tape=True)
    mine = np.flatnonzero(res.ids == 1)[:n_spikes]
    dL = np.zeros(res.n_spikes)
    dL[mine[-1]] = 1.0
    return res.times[mine], res.backward(dL).V[1]


def voltage_before(model, time):
    """V of a neuron that fires after so many ms without input."""
    return float(model.free_voltage(model.free_period() - time))


def order_swap(axes):
    """LIF: the spike jumps as the kick passes it, and the derivative on neither side says so. QIF: nothing jumps."""
    shifts = np.linspace(-1.0, 1.0, 81) + 1e-4
    for ax, model, title in zip(
        axes,
        (sp.LIF(tau_m=10.0, I_e=1.5), sp.Theta(tau_m=10.0, I_e=0.5)),
        ("LIF: jumps", "theta: is continuous"),
        strict=True,
    ):
        times = np.array([second_neuron(model, shift, -0.2, 2)[0] for shift in shifts])
        for k, label in enumerate(("first spike", "second spike")):
            curve = times[:, k].copy()
            if isinstance(model, sp.LIF):
                curve[np.argmax(shifts > 0.0) - 1] = np.nan  # no line across the jump
            ax.plot(shifts, curve, label=label)
        ax.set(title=title, xlabel="own spike - kick (ms)", ylabel="spike times (ms)")
        ax.legend()


def end_of_trial(ax):
    """QIF: a spike leaves through the end of the trial, where its time varies smoothly until it is not counted."""
    weights = np.linspace(-1.5, 1.0, 126)
    last = 30.0
    times, slopes = [], []
    for weight in weights:
        net = sp.Network(seed=1)
        source = net.add(1, sp.SpikeSource([10.0], [0]))
        neuron = net.add(1, sp.Theta(tau_m=10.0, I_e=1.0), V=-1.0)
        p = net.connect(source, neuron, sp.all_to_all(), weight=float(weight))
        res = net.run(last, tape=True)
        times.append(res.times[0] if res.n_spikes else math.nan)
        slopes.append(res.backward([1.0] * res.n_spikes).weight[p][0] if res.n_spikes else 0.0)
    ax.plot(weights, times, label="spike time (ms)")
    ax.plot(weights, slopes, label="its derivative (ms)")
    ax.axhline(last, color="grey", lw=0.8, ls=":")
    ax.set(title="theta: a spike leaves", xlabel="weight of the input", ylim=(-12.0, 34.0))
    ax.legend()


def grazing(ax):
    """LIF: the closer the drive is to threshold, the steeper the spike time; below it the spike is gone."""
    gaps = np.logspace(-6, 0, 40)
    slopes = []
    for gap in gaps:
        net = sp.Network(seed=1)
        net.add(1, sp.LIF(tau_m=10.0, I_e=1.0 + gap), V=0.0)
        slopes.append(-net.run(n_spikes=1, tape=True).backward([1.0]).I_e[0])
    ax.loglog(gaps, slopes)
    ax.set(title="LIF: grazing the threshold", xlabel="I_e - V_th", ylabel="-d(spike time) / d I_e (ms)")


def main(folder):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder = pathlib.Path(folder)
    for name, draw, columns in (
        ("order_swap", order_swap, 2),
        ("grazing", grazing, 1),
        ("end_of_trial", end_of_trial, 1),
    ):
        figure, axes = plt.subplots(1, columns, figsize=(4.0 * columns, 3.0), layout="constrained")
        draw(axes)
        figure.savefig(folder / f"gradient_{name}.png", dpi=80)
        plt.close(figure)
        print(folder / f"gradient_{name}.png")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
