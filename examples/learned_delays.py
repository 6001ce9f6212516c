"""Delays are learned as weights are: Yin-Yang with few hidden neurons, with and without. Writes learned_delays.png."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

import sparseprop as sp
from sparseprop import training

DURATION = 50.0


def train(delays: bool, n: int, epochs: int, hidden: int, seed: int) -> tuple[training.Trainer, float]:
    """A trained trainer, and its accuracy."""
    model = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
    net = training.layered_network([5, hidden, 3], model, seed=seed, delay=sp.uniform(0.0, 2.0))
    # For outputs that do not fire where they should: no part of the exact gradient.
    wake = training.PeakMargin("output", times=np.arange(5.0, DURATION, 4.0), strength=60.0, of_label=True)
    trainer = training.Trainer(
        net, training.FirstSpikeCrossEntropy(), duration=DURATION, optimizer=training.Adam(lr=5e-3, decay=0.95),
        penalties=[wake], train_delays=delays, delay_lr=10.0, max_delay=20.0, seed=seed,
    )  # fmt: skip
    values, labels = training.yin_yang(n, 42)
    trainer.fit(training.latencies(values, bias=15.0), labels, epochs)
    values, labels = training.yin_yang(2 * n, 40)
    return trainer, trainer.evaluate(training.latencies(values, bias=15.0), labels)["accuracy"]


def main(
    n: int = 5000, epochs: int = 40, hidden: int = 30, seeds: Sequence[int] = (1, 2, 3)
) -> dict[bool, list[float]]:
    """Accuracies without and with trained delays, one for each seed."""
    figure, accuracies = plt.figure(layout="constrained"), {}
    ax = figure.add_subplot()
    for delays in (False, True):
        found = [train(delays, n, epochs, hidden, seed) for seed in seeds]
        accuracies[delays] = [accuracy for _, accuracy in found]
        print(f"delays {'trained' if delays else 'as drawn'}: {np.round(100.0 * np.array(accuracies[delays]), 2)} %")
        found[0][0].history.plot(ax)
    ax.legend(["delays as drawn", "delays trained"])
    figure.savefig("learned_delays.png")
    return accuracies


if __name__ == "__main__":
    main()
