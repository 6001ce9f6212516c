"""Yin-Yang: which of three classes a point belongs to, from the times of five spikes. Writes yin_yang.png."""

import sparseprop as sp
from sparseprop import training


def main(n: int = 5000, epochs: int = 40, hidden: int = 120) -> training.Trainer:
    values, labels = training.yin_yang(n, seed=42)
    test_values, test_labels = training.yin_yang(2 * n, seed=40)
    test = training.latencies(test_values, bias=15.0), test_labels
    net = training.layered_network([5, hidden, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    loss = training.FirstSpikeCrossEntropy(tau=1.0, tau_late=20.0, pseudospikes=True)
    trainer = training.Trainer(net, loss, duration=35.0, optimizer=training.Adam(lr=0.01, decay=0.92))
    history = trainer.fit(training.latencies(values, bias=15.0), labels, epochs, validation=test)
    history.plot().figure.savefig("yin_yang.png")
    print(trainer.evaluate(*test))
    return trainer


if __name__ == "__main__":
    main()
