"""Gradients of networks with delays: the same bits by each engine, and on any number of threads."""

import numpy as np
import pytest
from random_networks import longest_period, random_network
from test_lookahead import network_of_ties

import sparseprop as sp

OF_NEURONS = ("I_e", "V", "tau_m", "V_th", "V_peak", "V_reset", "E_L", "t_ref", "tau_syn", "I_syn")


def bits(grads):
    """All of some Gradients, by name, as bytes."""
    found = {name: np.asarray(getattr(grads, name, np.nan), float).tobytes() for name in OF_NEURONS}
    for name in ("weight", "weight_sum", "delay"):
        found[name] = [np.asarray(each, float).tobytes() for each in getattr(grads, name)]
    for name in ("input_times", "drive_weight", "steps"):
        found[name] = {key: np.asarray(each, float).tobytes() for key, each in getattr(grads, name).items()}
    found["warnings"] = [(w.kind, w.neuron, w.time, w.source) for w in grads.warnings]
    found["n_warnings"] = grads.n_warnings
    return found


def different(a, b):
    """The names of what differs."""
    return sorted(name for name in a if a[name] != b[name])


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
    return res.backward(rng.normal(size=res.n_spikes), dL_dV)


def assert_all_same(nets, duration_of, modes=lambda seed: True):
    """The number of networks, of (seed, network), whose gradients were compared."""
    n = 0
    for seed, net in nets:
        engines = [("window", None), ("heap", None)][seed % 2 : seed % 2 + 1] + [("lookahead", 1), ("lookahead", 3)]
        found = [taped(net, duration_of(net), 150, seed, *engine, modes(seed)) for engine in engines]
        if found[0] is None:
            assert found[1] is None and found[2] is None
            continue
        n += 1
        for grads in found[1:]:
            names = different(bits(found[0]), bits(grads))
            assert not names, f"network of seed {seed}: {names}"
    return n


@pytest.mark.parametrize("first", range(0, 200, 40))
def test_engines_have_the_same_gradients_of_random_delayed_networks(first):
    nets = ((seed, random_network(seed, delayed=True)) for seed in range(first, first + 40))
    assert assert_all_same(nets, longest_period, lambda seed: "checkpoint" if seed % 5 == 0 else True) > 20


def test_engines_have_the_same_gradients_where_spikes_meet():
    assert assert_all_same(((seed, network_of_ties(seed)) for seed in range(60)), lambda net: 60.0) > 20
