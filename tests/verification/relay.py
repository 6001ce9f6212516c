#!/usr/bin/env python3
"""A simulation and a training that are cut, saved in one process and go on in another one, perhaps of another build.

python tests/verification/relay.py save FOLDER     # runs the first half of each, and saves it there
python tests/verification/relay.py go_on FOLDER    # runs the second halves, and prints their fingerprints
"""

import argparse
import os

import same_bits

import sparseprop as sp
from sparseprop import training

HALF = 40.0  # ms


def trained():
    """A Trainer of delays and weights, and what it learns from."""
    values, labels = training.yin_yang(96, seed=3)
    net = training.layered_network(
        [5, 20, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), delay=sp.uniform(0.0, 2.0), seed=1
    )  # fmt: skip
    loss = training.FirstSpikeCrossEntropy()
    trainer = training.Trainer(net, loss, duration=40.0, batch_size=16, train_delays=True, n_threads=1)
    return trainer, (training.latencies(values, bias=0.0), labels)


def save(folder):
    simulation = sp.Simulation(same_bits.with_all_inputs())
    simulation.run(HALF, progress=False)
    simulation.save(os.path.join(folder, "simulation.h5"))
    trainer, samples = trained()
    trainer.fit(*samples, epochs=1, progress=False)
    trainer.save(os.path.join(folder, "training.h5"))


def go_on(folder):
    net = same_bits.with_all_inputs()
    simulation = sp.Simulation.load(os.path.join(folder, "simulation.h5"), net)
    raster = same_bits.raster(simulation.run(HALF, progress=False))
    print("simulation", same_bits.sha256(raster, same_bits.state(simulation)))
    trainer, samples = trained()
    trainer.resume(os.path.join(folder, "training.h5"))
    trainer.fit(*samples, epochs=2, progress=False)
    learned = [[p.weight, p.delay] for p in trainer.network.projections]
    print("training", same_bits.sha256(trainer.history["loss"], learned))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("leg", choices=["save", "go_on"])
    parser.add_argument("folder")
    options = parser.parse_args()
    {"save": save, "go_on": go_on}[options.leg](options.folder)
