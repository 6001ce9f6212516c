"""Gradients of long runs: the same bits from states as from a whole tape, and those of the end of a run alone."""

import numpy as np
import pytest
from random_networks import longest_period, random_network, random_smooth_network
from test_gradients import cut_finely
from test_gradients_by_slices import bits, different
from test_lookahead import network_of_ties

import sparseprop as sp
from sparseprop.errors import ParameterError
from sparseprop.gradients import states as states_module

LIMIT = 150  # spikes


def recorded(net, duration, seed):
    """What to record, so that voltages are part of the loss."""
    neurons = [i for p in net.populations if not p.is_source for i in range(p.first, p.first + p.n)]
    return sp.Record(V=neurons, V_times=duration * np.sort(np.random.default_rng(seed).random(3)))


def gradient(res, seed):
    """Of a random loss on spikes and voltages."""
    rng = np.random.default_rng([seed, 1])
    dL_dV = np.where(np.isfinite(res.V), rng.normal(size=res.V.shape), 0.0)
    return res.backward(rng.normal(size=res.n_spikes), dL_dV)


def kinds_of_networks(kind, first, last):
    for seed in range(first, last):
        if kind == "smooth":
            net, duration = random_smooth_network(seed)
        elif kind == "ties":
            net, duration = network_of_ties(seed), 60.0
        else:
            net = random_network(seed, delayed=kind == "delayed")
            duration = longest_period(net)
        by_slices = kind in ("delayed", "ties") and seed % 3 == 0
        yield seed, net, duration, "lookahead" if by_slices else "window" if seed % 2 else "heap"


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(20, 200, 20))])
@pytest.mark.parametrize("kind", ["all", "smooth", "delayed", "ties"])
def test_states_give_the_bits_of_a_whole_tape(kind, first, monkeypatch):
    """Adjoints, dL/d(time) of spikes on their way, and rows that have been half way back go over from part to part."""
    cut_finely(monkeypatch)
    n, n_parts = 0, 0
    for seed, net, duration, engine in kinds_of_networks(kind, first, first + 20):
        # Few states, so that stretches between them are cut again when they are repeated, and parts of any length.
        monkeypatch.setattr(states_module, "MOST_STATES", 5 if seed % 2 else 10_000)
        monkeypatch.setattr(states_module, "BUDGET", 40 if seed % 2 else 1 << 20)
        found = []
        for mode in (True, "checkpoint"):
            try:
                res = net.run(duration, n_spikes=LIMIT, engine=engine, record=recorded(net, duration, seed), tape=mode)
            except (sp.errors.RunawayError, sp.errors.NumericalError):
                break
            n_parts += len(res._tape.parts)
            found.append(gradient(res, seed))
            assert found[-1].invariant_error < 1e-12
        if found:
            n += 1
            assert not different(*map(bits, found)), f"network of seed {seed}"
    assert n > 10 and n_parts > 20 * n


@pytest.mark.parametrize("kind", ["all", "smooth", "delayed"])
def test_a_truncated_tape_has_the_bits_of_a_run_that_begins_there(kind, monkeypatch):
    cut_finely(monkeypatch)
    n = 0
    for seed, net, duration, engine in kinds_of_networks(kind, 0, 20):
        sim = sp.Simulation(net, engine=engine)
        try:
            if seed % 2:
                first = sim.run(0.6 * duration)
                begin = sim.time
                rest = sim.run(0.4 * duration, record=recorded(net, 1.2 * duration, seed), tape=True)
            else:
                first = sim.run(duration, n_spikes=60)
                rest = sim.run(duration, n_spikes=50, record=recorded(net, 1.2 * duration, seed), tape=True)
        except (sp.errors.RunawayError, sp.errors.NumericalError):
            continue
        if rest.n_spikes == 0 or {first.stop_reason, rest.stop_reason} != {"time" if seed % 2 else "spikes"}:
            continue
        window = sp.Truncated(duration=rest.t_stop - begin) if seed % 2 else sp.Truncated(n_spikes=rest.n_spikes)
        # What is recorded before its window is not part of it.
        stop = {"duration": rest.t_stop} if seed % 2 else {"n_spikes": first.n_spikes + rest.n_spikes}
        V_times = np.concatenate([[0.0], rest.V_times])
        record = sp.Record(V=list(range(net.populations[0].n)), V_times=V_times)
        res = net.run(**stop, engine=engine, record=record, tape=window)
        if res.n_spikes != first.n_spikes + rest.n_spikes:
            continue
        dL_dtimes = np.random.default_rng(seed).normal(size=res.n_spikes)
        dL_dV = np.where(np.isfinite(res.V), 0.5, 0.0)
        own = np.zeros(rest.V.shape)
        own[:, : net.populations[0].n] = dL_dV[1:]
        there, here = rest.backward(dL_dtimes[first.n_spikes :], own), res.backward(dL_dtimes, dL_dV)
        assert here.t_start == there.t_start == rest.t_start
        assert not different(bits(there), bits(here)), f"network of seed {seed}"
        n += 1
    assert n > 5


def network_of_delays(model):
    """With one delay, and with one for each synapse; longer than a part of its tape."""
    net = sp.Network(seed=3)
    source = net.add(20, sp.PoissonSource(rate=20.0), name="in")
    neurons = net.add(300, model, name="neurons")
    net.connect(source, neurons, sp.fixed_outdegree(30), weight=0.1, delay=1.0)
    net.connect(neurons, neurons, sp.fixed_outdegree(20), weight=sp.uniform(-0.1, 0.02), delay=sp.uniform(1.0, 40.0))
    net.connect(neurons, neurons, sp.fixed_outdegree(10), weight=-0.02, delay=25.0)
    return net


@pytest.mark.parametrize("recorded_spikes", [True, ["neurons"], {"neurons": [1, 5, 7]}])
@pytest.mark.parametrize(
    "model",
    [
        sp.LIF(tau_m=10.0, I_e=1.2),
        sp.Theta(tau_m=10.0, I_e=0.3),
        sp.LIFExp(tau_m=10.0, tau_syn=4.0, I_e=1.2, t_ref=2.0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_spikes_that_are_on_their_way_for_several_parts_keep_their_bits(model, recorded_spikes, monkeypatch, tmp_path):
    cut_finely(monkeypatch)
    net = network_of_delays(model)
    found = []
    for k, mode in enumerate((True, "checkpoint")):
        path = tmp_path / f"{k}.h5" if recorded_spikes is True else None
        record = sp.Record(path, spikes=recorded_spikes, record_sources=recorded_spikes is True)
        res = net.run(60.0, record=record, tape=mode)
        assert mode is True or len(res._tape.parts) > 10
        found.append(bits(res.backward(np.random.default_rng(1).normal(size=len(res.times)))))
    assert not different(*found)


def test_a_truncated_gradient_is_the_slope_of_runs_from_the_state_at_its_beginning():
    rng = np.random.default_rng(1)
    net = sp.Network(seed=1)
    p = net.add(20, sp.LIF(tau_m=10.0, I_e=rng.uniform(1.2, 1.6, 20)), V=rng.uniform(0.0, 0.9, 20))
    c = net.connect(p, p, sp.fixed_outdegree(5), weight=rng.uniform(-0.1, 0.0, 100))
    net.drive(p, sp.steps([5.0, 70.0], [0.1, 0.2]))
    res = net.run(100.0, tape=sp.Truncated(duration=40.0))
    dL = rng.normal(size=res.n_spikes)
    grads = res.backward(dL)
    before = sp.Simulation(net)
    V = (before.run(60.0), before.V)[1]
    own = dL[np.searchsorted(res.times, 60.0) :]

    def loss(weight, values):
        """Of a run that begins at 60 ms in another network, whose first step is in force."""
        later = sp.Network(seed=1)
        q = later.add(20, p.model, V=V)
        later.connect(q, q, sp.edges(c.sources, c.targets), weight=weight)
        later.drive(q, sp.steps([0.0, 10.0], values))
        return float((60.0 + later.run(40.0).times) @ own)

    direction = rng.normal(size=100)
    h = 1e-6
    slope = (loss(c.weight + h * direction, [0.1, 0.2]) - loss(c.weight - h * direction, [0.1, 0.2])) / (2.0 * h)
    assert grads.weight[0] @ direction == pytest.approx(slope, rel=1e-6)
    for k in range(2):
        up, down = ([0.1 + h * sign * (k == 0), 0.2 + h * sign * (k == 1)] for sign in (1.0, -1.0))
        slope = (loss(c.weight, up) - loss(c.weight, down)) / (2.0 * h)
        assert grads.steps[0][k] == pytest.approx(slope, rel=1e-6)
    assert grads.t_start == 60.0
    assert grads.I_e.sum() == pytest.approx(grads.steps[0].sum())


def test_a_window_that_is_longer_than_the_run_is_all_of_it():
    net = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=10, seed=1)
    whole = net.run(300.0, tape=True)
    dL = np.random.default_rng(1).normal(size=whole.n_spikes)
    wanted = bits(whole.backward(dL))
    for window in (sp.Truncated(duration=1e6), sp.Truncated(n_spikes=10**9), sp.Truncated(2000.0, n_spikes=10**6)):
        assert not different(wanted, bits(net.run(300.0, tape=window).backward(dL)))
    both = net.run(300.0, tape=sp.Truncated(100.0, n_spikes=10)).backward(dL)
    few = net.run(300.0, tape=sp.Truncated(n_spikes=10)).backward(dL)
    assert not different(bits(few), bits(both)) and few.t_start == both.t_start > 200.0


def test_memory_of_states_is_bounded(monkeypatch):
    """Also where the run pauses before a block ends, for voltages."""
    monkeypatch.setattr(states_module, "SMALLEST_PART", 1 << 14)
    monkeypatch.setattr(states_module, "PER_NEURON", 0)
    net = sp.balanced_network(200, sp.Theta(tau_m=10.0), outdegree=20, seed=1)
    record = sp.Record(V=[0], V_times=1.0)
    res = net.run(5000.0, record=record, tape="checkpoint")
    assert 8 < len(res._tape.parts) <= states_module.MOST_STATES
    grads = res.backward(np.full(res.n_spikes, 1e-3) * (res.times > 4900.0))
    assert grads.invariant_error < 1e-9
    assert len(net.run(5000.0, tape=sp.Truncated(duration=20.0), record=record)._tape.parts) <= 3


def test_what_a_truncated_tape_is_not():
    with pytest.raises(ParameterError, match=r"Truncated\(\) needs a duration in ms, or n_spikes, or both"):
        sp.Truncated()
    with pytest.raises(ParameterError, match="Truncated.duration must be a finite time > 0 ms, got 0"):
        sp.Truncated(duration=0.0)
    with pytest.raises(ParameterError, match="Truncated.n_spikes must be a whole number >= 1, got 0"):
        sp.Truncated(n_spikes=0)


def test_a_sample_does_not_begin_with_the_spikes_that_the_one_before_ended_with():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([], []), name="in")
    neuron = net.add(1, sp.LIF(tau_m=10.0, I_e=1.5), name="out", V=0.0)  # fires at 10.99 ms
    net.connect(source, neuron, sp.all_to_all(), weight=-0.1)
    result = sp.run_batch(net, [[12.0], [12.0], [12.0]], duration=20.0, tape=True, n_threads=1)
    grads = result.backward(np.ones(result.n_spikes))
    assert result.n_spikes == 3 and grads.warnings == [] and grads.t_start == 0.0
