"""Neurons of which each has its own parameters: the hot loops that go by numbers for each give the same bits."""

import dataclasses

import numpy as np
import pytest
from random_networks import outcome

import sparseprop as sp

MODELS = {
    "LIF": sp.LIF(tau_m=10.0, I_e=1.3),
    "refractory LIF": sp.LIF(tau_m=10.0, I_e=1.3, t_ref=1.5),
    "Theta": sp.Theta(tau_m=10.0, I_e=0.5),
    "QIF": sp.QIF(tau_m=10.0, I_e=0.5, V_peak=5.0, V_reset=-3.0, t_ref=1.0),
    "LIFExp": sp.LIFExp(tau_m=10.0, tau_syn=4.0, I_e=1.3),
    "LIFExp with two ports": sp.LIFExp(tau_m=10.0, tau_syn=(2.0, 30.0), I_e=1.3, t_ref=1.0),
    "LIFExp near": sp.LIFExp(tau_m=10.0, tau_syn=(10.001, 3.0), I_e=1.3),
}
# What each neuron gets instead: factors, and something added.
SPREADS = {
    "narrow": (0.9, 1.1, 0.0),
    "wide": (0.1, 6.0, 0.0),
    "at rest too": (0.5, 1.5, -1.2),
    "equal": (1.0, 1.0, 0.0),
}


def own_values(model, parameter, spread, n, rng):
    low, high, shift = SPREADS[spread]
    values = np.full(n, getattr(model, parameter), dtype=float) * rng.uniform(low, high, n)
    return values + shift * (rng.random(n) < 0.3) if parameter == "I_e" else values


def network(name, parameters, spread, seed, strength, n=70):
    rng, rng_of_values = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    model = MODELS[name]
    changed = {key: own_values(model, key, spread, n, rng_of_values) for key in parameters}
    net = sp.Network(seed=seed)
    p = net.add(n, dataclasses.replace(model, **changed), V=rng.uniform(-0.5, 0.9, n))
    other = net.add(5, model, V=rng.uniform(-0.5, 0.9, 5))
    ports = [0, 1] if name in ("LIFExp with two ports", "LIFExp near") else [0]
    for port in ports:
        extra = {"port": port} if len(ports) > 1 else {}
        net.connect(p, p, sp.fixed_outdegree(40), weight=-strength, **extra)  # more than one block of a loop, at times
        net.connect(p, p, sp.fixed_outdegree(7), weight=sp.uniform(-strength, strength), delay=1.25, **extra)
        net.connect(other, p, sp.fixed_outdegree(65), weight=0.5 * strength, **extra)
        net.connect(other, p, sp.fixed_outdegree(66), weight=sp.uniform(0.0, strength), **extra)
    net.connect(p, other, sp.fixed_outdegree(1), weight=0.2 * strength)
    return net


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("parameters", [["tau_m"], ["I_e"], ["tau_m", "I_e"]], ids=" and ".join)
@pytest.mark.parametrize("name", MODELS)
def test_engines_agree_on_heterogeneous_neurons(name, parameters, spread):
    spikes = 0
    record = sp.Record(V=np.arange(75), V_times=np.array([3.0, 40.0, 137.5]))
    for seed, strength in enumerate([0.02, 0.3]):
        net = network(name, parameters, spread, seed, strength)
        window, heap = (outcome(net, engine, 420.0, n_spikes=1500, record=record) for engine in ("window", "heap"))
        assert window == heap, f"seed {seed}"
        spikes += len(window[0]) // 8
    assert spikes > 100
    if spread == "wide":
        short, reference = (
            outcome(net, engine, 420.0, n_spikes=200, record=record) for engine in ("window", "reference")
        )
        assert short == reference


@pytest.mark.parametrize("seed", range(12))
def test_engines_agree_on_different_kinds_together(seed):
    """Whose candidates share a window, in networks whose drives change."""
    rng = np.random.default_rng([seed, 2])
    net = sp.Network(seed=seed)
    for name in rng.choice(list(MODELS), 3, replace=False):
        model = MODELS[name]
        spread = rng.choice(list(SPREADS))
        changed = {key: own_values(model, key, spread, 30, rng) for key in rng.choice(["tau_m", "I_e"], 1)}
        net.add(30, dataclasses.replace(model, **changed), V=rng.uniform(-0.5, 0.9, 30), name=name)
    for pre in net.populations:
        for post in net.populations:
            weight = float(rng.choice([-0.2, 0.01]))
            net.connect(pre, post, sp.fixed_outdegree(20), weight=weight, delay=float(rng.choice([0.0, 0.7])))
    net.drive(net.populations[0], sp.poisson(200.0), weight=0.1)
    net.drive(net.populations[1], sp.steps([0.0, 50.0, 120.0], [0.0, 0.2, 0.05]))
    record = sp.Record(V=np.arange(90), V_times=np.array([3.0, 40.0, 137.5]))
    window, heap = (outcome(net, engine, 300.0, n_spikes=1500, record=record) for engine in ("window", "heap"))
    assert window == heap
    assert len(window[0]) > 8 * 100


@pytest.mark.parametrize("name", MODELS)
def test_equal_values_for_each_neuron_are_one_value_for_all(name):
    for seed, strength in enumerate([0.02, 0.3]):
        own, one = (network(name, parameters, "equal", seed, strength) for parameters in (["tau_m", "I_e"], []))
        assert outcome(own, "window", 420.0, n_spikes=1500) == outcome(one, "window", 420.0, n_spikes=1500)
