"""Does gradient flossing lengthen the time over which a chaotic theta network learns to remember?

Which of two patterns of spikes came within the first 10 ms is to be read from the phases of two outputs after a delay,
beyond some of which chaos leaves nothing to learn from. In the networks that are prepared, the first Lyapunov exponents
of short trials are brought nearer to 0. `python flossing.py` takes a few minutes, and writes flossing.png.
"""

import matplotlib.pyplot as plt
import numpy as np

import sparseprop as sp
from sparseprop import training

SOURCES, DRIVE = 20, 0.1


def network(n: int, indegree: int, seed: int) -> sp.Network:
    net, model, weight = sp.Network(seed=seed), sp.Theta(tau_m=10.0, I_e=DRIVE), -1.0 / np.sqrt(indegree)
    source = net.add(SOURCES, sp.SpikeSource([], []), name="input")
    recurrent = net.add(n, model, name="recurrent", V=sp.uniform_phase())
    net.connect(source, recurrent, sp.fixed_indegree(SOURCES // 2), weight=sp.normal(0.0, 0.3))
    net.connect(recurrent, recurrent, sp.fixed_indegree(indegree), weight=sp.normal(weight, -0.2 * weight))
    net.connect(recurrent, net.add(2, model, name="output", V=-0.2), sp.all_to_all(), weight=sp.normal(-0.02, 0.05))
    return net


def samples(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each source spikes once, within 0.5 ms (standard deviation) of the pattern's time; times and labels."""
    rng, patterns = np.random.default_rng(seed), np.random.default_rng(99).uniform(2.0, 10.0, (2, SOURCES))
    labels = rng.integers(0, 2, n)
    return np.maximum(patterns[labels] + 0.5 * rng.standard_normal((n, SOURCES)), 0.0), labels


def by_phases(result: sp.BatchResult, labels: np.ndarray) -> training.Evaluation:
    """Cross entropy; an output's score is 3 sin(theta), theta = 2 atan(V / sqrt(I_e)) its phase."""
    V, square = result.V[:, 0], DRIVE + result.V[:, 0] ** 2
    scores, by_V = 6.0 * np.sqrt(DRIVE) * V / square, 6.0 * np.sqrt(DRIVE) * (DRIVE - V**2) / square**2
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    right = np.arange(2) == np.asarray(labels)[:, None]
    dL_dV = ((p - right) * by_V / len(V))[:, None]
    return training.Evaluation(-np.log(p[right]).mean(), dL_dV=dL_dV, predictions=scores.argmax(axis=1))


def trained(
    delay: float, seed: int, steps: int, k: int = 5, epochs: int = 12, n: int = 50, indegree: int = 25
) -> tuple[float, float]:
    """The share of new samples that are right after training, and the largest exponent before it."""
    net, (inputs, labels), flossing = network(n, indegree, seed), samples(512, seed), training.Flossing(k)
    for duration in (min(150.0, delay), delay) if steps else ():
        slower = training.Adam(lr=0.02, decay=0.1 ** (1.0 / steps))
        trainer = training.Trainer(net, flossing, duration=duration, optimizer=slower, batch_size=16, n_threads=1)
        trainer.fit(inputs[:64], labels[:64], steps, progress=False)
    largest = flossing.exponents(sp.run_batch(net, inputs[:16], delay)).max(axis=1).mean()
    loss, optimizer = training.FunctionLoss(by_phases, "output", V_times=[delay]), training.Adam(lr=0.01, decay=0.85)
    trainer = training.Trainer(net, loss, duration=delay, optimizer=optimizer, n_threads=1)
    trainer.fit(inputs, labels, epochs, progress=False)
    return trainer.evaluate(*samples(512, 1000 + seed))["accuracy"], largest


def main(
    delays: tuple[float, ...] = (200.0, 400.0, 600.0), seeds: range = range(1, 6), steps: int = 20, **options: int
) -> dict[str, np.ndarray]:
    """Draws flossing.png; returns (share that is right, largest exponent) of each delay, with and without, and seed."""
    figure, found = plt.figure(figsize=(5.0, 3.4), layout="constrained"), {}
    ax = figure.add_subplot(xlabel="delay (ms)", ylabel="right")
    for name, color, number in (("control", "C3", 0), ("gradient flossing", "C0", steps)):
        found[name] = np.array([[trained(delay, seed, number, **options) for seed in seeds] for delay in delays])
        for delay, each in zip(delays, found[name], strict=True):
            mean, largest = each.mean(axis=0)
            print(f"{name}, {delay:g} ms: right {np.round(each[:, 0], 2)}, mean {mean:.2f}; exponent {largest:.1f} 1/s")
        ax.plot(delays, found[name][:, :, 0], "o", color=color, alpha=0.4, markersize=4)
        ax.plot(delays, found[name][:, :, 0].mean(axis=1), color=color, label=name)
    ax.legend()
    figure.savefig("flossing.png", dpi=110)
    return found


if __name__ == "__main__":
    main()
