"""Spike for spike the same as NEST, whose precise-time neurons are exact too."""

import numpy as np
import pytest

import sparseprop as sp

nest = pytest.importorskip("nest", reason="NEST: pip install nest-simulator, into a Python for which there is a wheel")

N, DURATION = 400, 200.0


def described(delay, t_ref, seed):
    """A network as arrays.

    A spike that arrives exactly at the end of a refractory period counts here; in NEST that is up to rounding. The
    delays of the grid do not add up to it, which would make that happen where neurons fire together.
    """
    rng = np.random.default_rng(seed)
    K = 40
    sources = np.repeat(np.arange(N), K)
    targets = np.concatenate([rng.choice(np.delete(np.arange(N), i), K, replace=False) for i in range(N)])
    weights = np.where(sources < 300, 0.3, -1.5) * rng.uniform(0.5, 1.5, sources.size)
    delays = {"one": np.full(sources.size, 1.5), "grid": rng.choice([0.3, 0.6, 0.9, 1.5], sources.size),
              "uniform": np.round(rng.uniform(0.2, 3.0, sources.size), 1)}[delay]  # fmt: skip
    times = np.sort(rng.uniform(1.0, DURATION, 4000))
    ids = rng.integers(0, 100, times.size)
    V = rng.uniform(0.0, 14.0, N)
    return sources, targets, weights, delays, times, ids, V, t_ref


def ours(sources, targets, weights, delays, times, ids, V, t_ref, tau_syn=None):
    parameters = {"tau_m": 20.0, "V_th": 15.0, "V_reset": 0.0, "I_e": 14.5, "t_ref": t_ref}
    net = sp.Network(seed=1)
    p = net.add(N, sp.LIFExp(tau_syn=tau_syn, **parameters) if tau_syn else sp.LIF(**parameters), V=V)
    s = net.add(100, sp.SpikeSource(times, ids))
    for port, chosen in enumerate([weights > 0.0, weights < 0.0] if tau_syn else [weights != 0.0]):
        edges, delay = sp.edges(sources[chosen], targets[chosen]), delays[chosen]
        net.connect(p, p, edges, weight=weights[chosen], delay=delay, port=port)
    net.connect(s, p, sp.edges(np.arange(N) % 100, np.arange(N)), weight=10.0 if tau_syn else 1.0, delay=1.0)
    return net.run(DURATION, progress=False)


def theirs(sources, targets, weights, delays, times, ids, V, t_ref, tau_syn=None):
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = 0.1
    # I_e in NEST is a current: V_inf = I_e tau / C.
    parameters = {"tau_m": 20.0, "C_m": 20.0, "E_L": 0.0, "V_th": 15.0, "V_reset": 0.0, "I_e": 14.5, "t_ref": t_ref}
    if tau_syn:
        parameters |= {"tau_syn_ex": tau_syn[0], "tau_syn_in": tau_syn[1]}
    p = nest.Create("iaf_psc_exp_ps" if tau_syn else "iaf_psc_delta_ps", N, parameters)
    p.V_m = V
    generators = nest.Create("spike_generator", 100)
    for k in range(100):
        generators[k].set(spike_times=times[ids == k], precise_times=True)
    pre, post = np.array(p.global_id), np.array(p.global_id)
    nest.Connect(pre[sources], post[targets], "one_to_one",
                 {"weight": weights, "delay": delays})  # fmt: skip
    nest.Connect(np.array(generators.global_id)[np.arange(N) % 100], post, "one_to_one",
                 {"weight": np.full(N, 10.0 if tau_syn else 1.0), "delay": np.ones(N)})  # fmt: skip
    recorder = nest.Create("spike_recorder")
    nest.Connect(p, recorder)
    nest.Simulate(DURATION + 1.0)
    events = recorder.events
    return sorted_spikes(events["times"], events["senders"] - pre[0])


def sorted_spikes(times, ids):
    """By time and id, where times that differ by rounding are the same."""
    order = np.lexsort((ids, np.round(times, 9)))
    return times[order], ids[order]


@pytest.mark.parametrize("t_ref", [0.5, 2.0])
@pytest.mark.parametrize("delay", ["one", "grid", "uniform"])
def test_every_spike_is_that_of_nest(delay, t_ref):
    assert_same(described(delay, t_ref, seed=7), None, 1e-9)


@pytest.mark.parametrize("tau_syn", [(2.0, 5.0), (5.0, 30.0), (20.0, 2.0)])
@pytest.mark.parametrize("delay", ["one", "grid", "uniform"])
def test_every_spike_is_that_of_nest_with_exponential_currents(delay, tau_syn):
    """iaf_psc_exp_ps, with currents of their own for excitation and inhibition; one of them as fast as the membrane."""
    network = described(delay, 2.0, seed=7)
    network = (*network[:2], network[2] * 20.0 / np.where(network[2] > 0.0, *tau_syn), *network[3:])
    assert_same(network, tau_syn, 1e-9)


def assert_same(network, tau_syn, tolerance):
    result = ours(*network, tau_syn)
    times, ids = theirs(*network, tau_syn)
    n = result.n_spikes
    assert n > 1000
    our_times, our_ids = sorted_spikes(result.times, result.ids)
    assert np.array_equal(ids[:n], our_ids)
    assert np.abs(times[:n] - our_times).max() < tolerance
    assert (times[n:] >= DURATION).all()
