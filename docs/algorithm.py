"""The pictures of docs/algorithm.md, of runs of the package itself.

python docs/algorithm.py docs
"""

import pathlib
import sys

import numpy as np

import sparseprop as sp

MODEL = sp.LIF(tau_m=10.0, I_e=1.5)
COLORS = ("C0", "C1", "C2")


def forward(figure):
    """Three neurons that inhibit each other: their voltages, phases and co-moving coordinates."""
    net = sp.Network(seed=1)
    n = net.add(3, MODEL, name="n", V=[0.7, 0.35, 0.0])
    net.connect(n, n, sp.all_to_all(), weight=-0.12)
    res = net.run(30.0, record=sp.Record(V={"n": [0, 1, 2]}, V_times=0.01))
    t, V = res.V_times, res.V
    voltage, phase, coordinate = figure.subplots(3, 1, sharex=True)
    E = np.exp(t / MODEL.tau_m)
    for k, color in enumerate(COLORS):
        voltage.plot(t, V[:, k], color=color, label=f"neuron {k}")
        phase.plot(t, MODEL.cycle_phase(V[:, k]), color=color)
        coordinate.plot(t, (MODEL.I_e - V[:, k]) * E, color=color)
    for ax in (voltage, phase, coordinate):
        for time, neuron in zip(res.times, res.ids, strict=True):
            ax.axvline(time, color=COLORS[neuron], linewidth=0.6, linestyle=":")
    voltage.axhline(MODEL.V_th, color="gray", linewidth=0.8)
    voltage.set(ylabel="V", title="Voltage: exponential curves, and kicks by a weight")
    voltage.legend(loc="lower left", ncols=3, fontsize="small")
    phase.set(ylabel="phase", title="Phase: straight lines, and kicks that depend on it")
    coordinate.plot(t, (MODEL.I_e - MODEL.V_th) * E, color="gray", linewidth=0.8, label="threshold, gap E(t)")
    coordinate.set(
        yscale="log", xlabel="time (ms)", ylabel="x", xlim=(0.0, 30.0),
        title="Co-moving coordinate x = (V_inf - V) E(t): constant, and kicks by weight times E(t)",
    )  # fmt: skip
    coordinate.legend(loc="upper left", fontsize="small")


def window(ax):
    """Who may fire before the edge of a window, and who does."""
    net = sp.balanced_network(120, sp.LIF(tau_m=10.0), outdegree=30, seed=1)
    sim = sp.Simulation(net)
    sim.run(200.0)
    V, model = sim.state["V"], net.populations[0].model
    # With E = 1 now, x is V_inf - V, and a neuron fires by itself before the edge if x <= gap E(edge).
    x, gap = model.I_e - V, model.I_e - model.V_th
    order = np.argsort(x)
    length = model.tau_m * np.log(np.sort(x)[12] / gap)
    edge = gap * np.exp(length / model.tau_m)
    may = x[order] <= edge
    fired = set(sim.run(length).ids.tolist())
    does = np.array([k in fired for k in order])
    ax.plot(x[order], ".", color="lightgray", label="left alone: no queue, a kick is a subtraction")
    ax.plot(np.flatnonzero(may), x[order][may], "o", color="C0", label="candidates, in a small heap")
    ax.plot(np.flatnonzero(does), x[order][does], "x", color="C3", label="fired in the window")
    ax.axhline(edge, color="gray", linewidth=0.8)
    ax.annotate("gap E(edge)", (len(x) * 0.7, edge), xytext=(0, 4), textcoords="offset points", color="gray")
    ax.set(title=f"A window of {length:.2g} ms", xlabel="neurons, sorted by x", ylabel="x")
    ax.legend(loc="upper left", fontsize="small")


def lookahead(ax):
    """Slices of a smallest delay: what arrives in one was emitted before it began."""
    delay = 1.5
    net = sp.Network(seed=2)
    n = net.add(24, MODEL, name="n")
    net.connect(n, n, sp.fixed_outdegree(3), weight=-0.1, delay=delay)
    res = net.run(4 * delay)
    p = net.projections[0]
    for k in range(4):
        ax.axvspan(k * delay, (k + 1) * delay, color="C0", alpha=0.06 + 0.06 * (k % 2))
    for block in (8, 16):
        ax.axhline(block - 0.5, color="gray", linewidth=0.6)
    for time, neuron in zip(res.times, res.ids, strict=True):
        for target in p.targets[p.sources == neuron]:
            ax.plot([time, time + delay], [neuron, target], color="gray", linewidth=0.5, alpha=0.6)
    ax.plot(res.times, res.ids, "k.", label="spikes")
    ax.set(
        title="Slices no longer than the smallest delay", xlabel="time (ms)", ylabel="neuron, in three blocks",
        xlim=(0.0, 4 * delay),
    )  # fmt: skip


def adjoint(figure):
    """A neuron that is kicked eight times: what each kick and each change of V does to the time of its spike."""
    times = np.array([1.0, 2.5, 4.0, 6.0, 7.0, 9.5, 11.0, 12.0])
    net = sp.Network(seed=1)
    source = net.add(8, sp.SpikeSource(times, np.arange(8)), name="source")
    n = net.add(1, MODEL, name="n", V=0.0)
    p = net.connect(source, n, sp.all_to_all(), weight=[0.1, -0.15, 0.1, -0.1, -0.2, 0.15, -0.1, 0.04])
    res = net.run(40.0, record=sp.Record(V={"n": [0]}, V_times=0.01), tape=True)
    first = float(res["n"].times[0])
    dL_dtimes = np.zeros(res.n_spikes)
    dL_dtimes[np.flatnonzero(res.times == first)[-1]] = 1.0
    by_weight = res.backward(dL_dtimes).weight[p]
    voltage, change = figure.subplots(2, 1, sharex=True)
    shown = res.V_times <= first
    voltage.plot(res.V_times[shown], res.V[shown, 0])
    voltage.axhline(MODEL.V_th, color="gray", linewidth=0.8)
    voltage.set(ylabel="V", title="Forward: V, with eight kicks, and the spike whose time is the loss")
    t = res.V_times[shown]
    velocity = (MODEL.I_e - MODEL.V_th) / MODEL.tau_m
    change.plot(t, -np.exp((t - first) / MODEL.tau_m) / velocity, color="gray", label="-E(t) p, with p constant")
    change.plot(times, by_weight[np.argsort(p.sources)], "o", color="C3", label="derivatives by the weights")
    change.set(
        xlabel="time (ms)", ylabel="ms per unit of V", xlim=(0.0, first + 1.0),
        title="Backward: what V, and so a weight, does to the time of the spike",
    )  # fmt: skip
    change.legend(loc="lower left", fontsize="small")


def main(folder):
    from matplotlib.figure import Figure

    pictures = {name: Figure(figsize=size, layout="constrained") for name, size in SIZES.items()}
    forward(pictures["forward"])
    left, right = pictures["engines"].subplots(1, 2)
    window(left)
    lookahead(right)
    adjoint(pictures["adjoint"])
    for name, figure in pictures.items():
        figure.savefig(folder / f"algorithm_{name}.png", dpi=90)


SIZES = {"forward": (9.0, 8.0), "engines": (11.0, 4.2), "adjoint": (9.0, 5.5)}

if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "."))
