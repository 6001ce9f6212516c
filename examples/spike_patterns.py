"""A sparse recurrent network learns when ten of its neurons are to fire, each three times in 100 ms.

Pseudospikes let spikes come and go through the end of the trial: what a neuron must not fire within it is given a time
after it. It writes spike_patterns.png.
"""

import matplotlib.pyplot as plt
import numpy as np

import sparseprop as sp
from sparseprop import training


def main(
    n: int = 1000,
    indegree: int = 50,
    epochs: int = 3000,
    lr: float = 0.02,
    decay: float = 0.998,
    duration: float = 100.0,
) -> float:
    """Train all weights; returns the mean distance in ms of the spikes from the prescribed ones."""
    rng = np.random.default_rng(1)
    net = training.recurrent_network(
        200, n, sp.Theta(tau_m=10.0, I_e=0.2), indegree=indegree, input_indegree=50, input_mean=0.0, input_std=0.3,
        weight_std=0.02, delay=0.0, seed=1,
    )  # fmt: skip
    inputs = rng.uniform(0.0, duration, (1, 200))
    wanted = (np.arange(3) + rng.uniform(0.2, 0.8, (1, 10, 3))) * duration / 3.0
    targets = np.concatenate([wanted, np.full((1, 10, 1), duration + 15.0)], axis=2)  # the fourth: later
    loss = training.SpikeTimeError("recurrent", neurons=np.arange(10), pseudospikes=True)
    optimizer = training.Adam(lr=lr, decay=decay)
    trainer = training.Trainer(net, loss, duration=duration, optimizer=optimizer, batch_size=1)
    before = trainer.run(inputs)
    trainer.fit(inputs, targets, epochs)
    after = trainer.run(inputs)
    counts = after.spike_counts("recurrent")[0, :10]
    times = after.spike_table("recurrent", 3)[0][0, :10]
    error = float(np.abs(np.minimum(times, duration) - wanted[0]).mean())
    print(f"{counts.tolist()} spikes, {error:.4f} ms from the prescribed times on average")

    figure = plt.figure(layout="constrained")
    ax = figure.add_subplot(xlabel="time (ms)", ylabel="neuron")
    for result, marker, name in ((before, "x", "before"), (after, "|", "after training")):
        t, ids = result[0]
        shown = ids - 200 < 10
        ax.plot(t[shown], ids[shown] - 200, marker, label=name)
    ax.plot(wanted[0].T, np.arange(10) * np.ones((3, 1)), "o", color="k", fillstyle="none", label="_")
    ax.legend()
    figure.savefig("spike_patterns.png")
    return error


if __name__ == "__main__":
    main()
