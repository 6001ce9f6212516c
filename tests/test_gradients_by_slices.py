"""Gradients of networks with delays: the same bits by each engine, and on any number of threads."""

import functools
import importlib

import numpy as np
import pytest
from random_networks import longest_period, random_network
from test_gradients import compared
from test_lookahead import network_of_ties

import sparseprop as sp
from sparseprop.engine._slices_back import AdjointBySlices
from sparseprop.errors import ParameterError

module = importlib.import_module("sparseprop.gradients.backward")

OF_NEURONS = ("I_e", "V", "tau_m", "V_th", "V_peak", "V_reset", "E_L", "t_ref", "tau_syn", "I_syn")


def bits(grads, weights=True):
    """All of some Gradients, by name, as bytes."""
    found = {name: np.asarray(getattr(grads, name, np.nan), float).tobytes() for name in OF_NEURONS}
    for name in ("weight", "weight_sum", "delay"):
        if name != "weight" or weights:
            found[name] = [np.asarray(each, float).tobytes() for each in getattr(grads, name)]
    for name in ("input_times", "drive_weight", "steps"):
        found[name] = {key: np.asarray(each, float).tobytes() for key, each in getattr(grads, name).items()}
    found["warnings"] = [(w.kind, w.neuron, w.time, w.source) for w in grads.warnings]
    found["n_warnings"], found["n_ties"] = grads.n_warnings, grads.n_ties
    return found


def different(a, b):
    """The names of what differs."""
    return sorted(name for name in a if a[name] != b[name])


def cut_at_random(monkeypatch, block, rng):
    """Passes back go by other slices of time, with blocks of this size, and all threads help with little work, too."""
    pieces = {"block": block, "longest": float(10.0 ** rng.uniform(-2.0, 2.0)), "few": 0}
    monkeypatch.setattr(module, "AdjointBySlices", functools.partial(AdjointBySlices, **pieces))


def taped(net, duration, n_spikes, seed, engine, n_threads=None, mode=True):
    """The gradient of a random loss on spikes and voltages; None if the run ends with an error."""
    rng = np.random.default_rng(seed)
    neurons = [i for p in net.populations if not p.is_source for i in range(p.first, p.first + p.n)]
    record = sp.Record(V=neurons, V_times=duration * np.sort(rng.random(3)))
    try:
        res = net.run(duration, n_spikes=n_spikes, engine=engine, n_threads=n_threads, record=record, tape=mode)
    except (sp.errors.RunawayError, sp.errors.NumericalError):
        return None
    dL_dV = np.where(np.isfinite(res.V), rng.normal(size=res.V.shape), 0.0)
    return res.backward(rng.normal(size=res.n_spikes), dL_dV, n_threads=n_threads)


def assert_all_same(monkeypatch, nets, duration_of, modes=lambda seed: True):
    """The number of networks, of (seed, network), whose gradients were compared."""
    n = 0
    for seed, net in nets:
        engines = [("window", 1), ("heap", 1)][seed % 2 : seed % 2 + 1] + [("lookahead", 1), ("lookahead", 3)]
        block, found = int(np.random.default_rng(seed).integers(1, 40)), []
        for engine, n_threads in engines:
            cut_at_random(monkeypatch, block, np.random.default_rng([seed, len(found)]))
            found.append(taped(net, duration_of(net), 150, seed, engine, n_threads, modes(seed)))
        if found[0] is None:
            assert found[1] is None and found[2] is None
            continue
        n += 1
        assert found[0].invariant_error < 1e-12, f"network of seed {seed}"
        for grads in found[1:]:
            names = different(bits(found[0]), bits(grads))
            assert not names, f"network of seed {seed}: {names}"
    return n


@pytest.mark.parametrize("first", range(0, 200, 40))
def test_gradients_of_random_delayed_networks_have_the_same_bits(first, monkeypatch):
    nets = ((seed, random_network(seed, delayed=True)) for seed in range(first, first + 40))
    assert assert_all_same(monkeypatch, nets, longest_period, lambda seed: "checkpoint" if seed % 5 == 0 else True) > 20


def test_gradients_have_the_same_bits_where_spikes_meet(monkeypatch):
    assert assert_all_same(monkeypatch, ((seed, network_of_ties(seed)) for seed in range(60)), lambda net: 60.0) > 20


@pytest.mark.parametrize("model", [sp.LIF(tau_m=10.0, I_e=1.2), sp.Theta(tau_m=10.0, I_e=0.3)])
@pytest.mark.parametrize("delay", [1.5, sp.uniform(0.5, 2.5)])
def test_gradients_of_a_large_network_have_the_same_bits_on_all_threads(model, delay):
    net = sp.Network(seed=2)
    neurons = net.add(20_000, model)
    net.connect(neurons, neurons, sp.fixed_outdegree(50), weight=-0.02, delay=delay)
    found = []
    for engine, n_threads in (("window", 1), ("lookahead", 2), ("lookahead", 3)):
        res = net.run(n_spikes=30_000, engine=engine, tape=True)
        dL_dtimes = np.random.default_rng(3).normal(size=res.n_spikes)
        found.append(bits(res.backward(dL_dtimes, n_threads=n_threads)))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("model", [sp.LIF(tau_m=10.0, I_e=1.2), sp.LIFExp(tau_m=10.0, tau_syn=4.0, I_e=1.2, t_ref=1.0)])
def test_gradients_from_the_lookahead_engine_equal_the_complex_step(model):
    net = sp.Network(seed=3)
    neurons, source = net.add(6, model), net.add(3, sp.SpikeSource([1.0, 2.5, 7.0, 11.0], [0, 1, 2, 0]))
    net.connect(neurons, neurons, sp.fixed_outdegree(3), weight=sp.uniform(-0.1, 0.05), delay=sp.uniform(0.5, 4.0))
    net.connect(source, neurons, sp.all_to_all(), weight=0.05)
    grads, error, _ = compared(net, 60.0, 40, 1, engine="lookahead")
    assert error < 1e-9 and grads.n_ties == 0


def test_procedural_rows_have_the_gradients_of_stored_ones():
    found = []
    for procedural in (False, True):
        net = sp.Network(seed=4)
        neurons = net.add(2000, sp.LIF(tau_m=10.0, I_e=1.2))
        net.connect(neurons, neurons, sp.fixed_outdegree(20, procedural=procedural), weight=-0.02, delay=1.5)
        res = net.run(n_spikes=3000, engine="lookahead", tape=True)
        found.append(bits(res.backward(np.ones(res.n_spikes), weights=False, n_threads=2), weights=False))
    assert found[0] == found[1]


def test_more_threads_are_refused_where_there_is_one():
    net = sp.Network(seed=1)
    neurons = net.add(3, sp.LIF(tau_m=10.0, I_e=1.5))
    net.connect(neurons, neurons, sp.fixed_outdegree(1), weight=0.1)
    res = net.run(20.0, tape=True)
    with pytest.raises(ParameterError, match=r"n_threads must be 1 or None .*, got 2: .*has a delay"):
        res.backward(np.ones(res.n_spikes), n_threads=2)
    with pytest.raises(ParameterError, match="n_threads must be a whole number >= 1, or None for all cores, got 0"):
        res.backward(np.ones(res.n_spikes), n_threads=0)
    res.backward(np.ones(res.n_spikes), n_threads=1)


def test_more_is_found_in_one_slice_than_is_listed(monkeypatch):
    """Neurons that are kicked by many sources at the time at which they fire by themselves: the same are listed,
    whichever thread takes which of the blocks, that are found in as many places."""
    net = sp.Network(seed=1)
    neurons = net.add(400, sp.LIF(tau_m=10.0, I_e=1.5), V=0.0)
    given = net.add(100, sp.SpikeSource(np.full(100, 10.0 * np.log(3.0)), np.arange(100)))
    net.connect(given, neurons, sp.all_to_all(), weight=-0.001)
    net.connect(neurons, neurons, sp.fixed_outdegree(2), weight=-0.01, delay=sp.uniform(1.0, 2.0))
    listed = set()
    for n_threads in (1, 2, 3, 3):
        cut_at_random(monkeypatch, 60, np.random.default_rng(0))
        result = net.run(12.0, engine="lookahead", tape=True)
        grads = result.backward(np.ones(result.n_spikes), n_threads=n_threads)
        listed.add(tuple((warning.kind, warning.neuron, warning.time, warning.source) for warning in grads.warnings))
        assert grads.n_warnings == 400 * 100 and len(grads.warnings) == 10_000
        assert {warning.kind for warning in grads.warnings} == {"order swap"}
        assert {warning.source for warning in grads.warnings} <= set(range(400, 500))
    assert len(listed) == 1


def test_the_overflow_that_is_told_is_the_first_one_going_back_on_any_threads(monkeypatch):
    """Two groups of neurons without anything in common, whose derivatives overflow at times of their own."""
    net = sp.Network(seed=1)
    neurons = net.add(40, sp.LIF(tau_m=10.0, I_e=np.linspace(1.0005, 1.1, 40)), V=np.linspace(-0.5, 0.5, 40))
    net.connect(neurons, neurons, sp.fixed_outdegree(2), weight=0.01, delay=sp.uniform(1.0, 2.0))
    told = set()
    for n_threads in (1, 2, 3, 3):
        cut_at_random(monkeypatch, 4, np.random.default_rng(0))
        result = net.run(300.0, engine="lookahead", tape=True)
        with pytest.warns(sp.errors.GradientOverflowWarning):
            grads = result.backward(np.full(result.n_spikes, 1e307), n_threads=n_threads)
        told.add(tuple((w.neuron, w.time) for w in grads.warnings if w.kind == "overflow"))
    assert len(told) == 1
    assert len(told.pop()) == 1
