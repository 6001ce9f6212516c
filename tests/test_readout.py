"""Leaky integrators: potentials of neurons that never fire, by formula, and trainings on them."""

import warnings

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import ParameterError

TAU_M, TAU_SYN = 20.0, 5.0
LIFEXP = sp.LIFExp(tau_m=TAU_M, tau_syn=TAU_SYN)
TIMES = np.arange(5.0, 60.0, 5.0)
DURATION = 60.0


def kernel(model, t):
    """The response of V to a spike of weight 1."""
    t = np.maximum(t, 0.0)
    if isinstance(model, sp.LIF):
        return np.exp(-t / TAU_M)
    return TAU_SYN / (TAU_M - TAU_SYN) * (np.exp(-t / TAU_M) - np.exp(-t / TAU_SYN))


def task(n=40):
    values, labels = training.yin_yang(n, 3)
    return training.latencies(values, 1.0, 25.0, bias=0.5), labels


@pytest.mark.parametrize("output", [LIFEXP, sp.LIF(tau_m=TAU_M)])
@pytest.mark.parametrize("engine", ["batch", "window", "heap", "reference"])
def test_potentials_are_sums_of_responses_however_high(output, engine):
    """Also far above what would be the threshold."""
    net = training.layered_network([5, 14, 3], [LIFEXP, output], readout=True, seed=2)
    net.projections[1].weight = 40.0 * net.projections[1].weight
    inputs, _ = task(3)
    record = sp.Record(V=np.arange(19, 22), V_times=TIMES)
    W = np.zeros((3, 14))
    p = net.projections[1]
    W[p.targets, p.sources] = p.weight
    for k in range(3):
        if engine == "batch":
            result = sp.run_batch(net, inputs[k : k + 1], DURATION, record=record, n_threads=1)
            times, ids, V = result.times, result.ids, result.V[0]
        else:
            given = sp.Network.from_dict(net.to_dict() | {"populations": [
                {**q, "model": sp.SpikeSource(inputs[k], np.arange(5)).to_dict()} if q["name"] == "input" else q
                for q in net.to_dict()["populations"]
            ]})  # fmt: skip
            result = given.run(DURATION, engine=engine, record=record)
            times, ids, V = result.times, result.ids, result.V
        assert len(times) > 10 and ids.max() < 19
        wanted = np.zeros((len(TIMES), 3))
        for t, i in zip(times, ids, strict=True):
            there = t <= TIMES
            wanted[there] += kernel(output, TIMES[there] - t)[:, None] * W[:, i - 5]
        assert np.abs(wanted).max() > 10.0
        np.testing.assert_allclose(V, wanted, rtol=0.0, atol=1e-12 * np.abs(wanted).max())


def test_it_is_the_neuron_of_any_threshold_that_is_not_reached_bit_for_bit():
    inputs, labels = task()
    loss, found = training.MembraneCrossEntropy(times=TIMES), []
    for model in (LIFEXP, sp.LIFExp(tau_m=TAU_M, tau_syn=TAU_SYN, V_th=500.0)):
        readout = model is LIFEXP
        net = training.layered_network([5, 14, 3], [LIFEXP, model], weight_mean=[1.5, 0.2], weight_std=[0.8, 0.5],
                                       readout=readout, seed=2)  # fmt: skip
        trainer = training.Trainer(net, loss, duration=DURATION, n_threads=1)
        trainer.fit(inputs, labels, 2)
        found.append([trainer.run(inputs).V, *(p.weight for p in net.projections)])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_derivatives_are_those_of_differences():
    inputs, labels = task(8)
    net = training.layered_network([5, 14, 3], LIFEXP, readout=True, seed=2)
    loss = training.MembraneCrossEntropy(times=TIMES, reduce="mean")
    record = training.record_for(net, DURATION, loss)

    def value():
        return loss(sp.run_batch(net, inputs, DURATION, record=record, n_threads=1), labels).value

    result = sp.run_batch(net, inputs, DURATION, record=record, tape=True, n_threads=1)
    evaluation = loss(result, labels)
    grads = result.backward(evaluation.dL_dtimes, evaluation.dL_dV)
    for k, p in enumerate(net.projections):
        before = p.weight
        for s in np.argsort(-np.abs(grads.weight[k]))[:4]:
            values = []
            for sign in (1.0, -1.0):
                weight = before.copy()
                weight[s] += sign * 1e-6
                p.weight = weight
                values.append(value())
            p.weight = before
            assert grads.weight[k][s] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-9)
        assert np.any(grads.weight[k])


def test_it_learns_and_readouts_are_neither_silent_nor_slow_neurons():
    inputs, labels = task(300)
    net = training.layered_network([5, 30, 3], LIFEXP, readout=True, seed=1)
    loss = training.MembraneCrossEntropy(times=np.arange(5.0, 41.0, 5.0), scale=20.0)
    trainer = training.Trainer(net, loss, duration=40.0, optimizer=training.Adam(lr=0.02), n_threads=1,
                               metrics=["rate", "silent_share"])  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = trainer.fit(inputs, labels, 30)
    assert history["accuracy"][-1] > 0.8 and history["loss"][-1] < 0.4 * history["loss"][0]
    hidden = trainer.run(inputs).spike_counts("hidden")
    evaluated = trainer.evaluate(inputs, labels)
    assert evaluated["rate"] == pytest.approx(hidden.mean() / 0.04)
    assert evaluated["silent_share"] == pytest.approx((hidden == 0).mean())


def test_a_dead_hidden_layer_is_named_and_the_readout_is_not():
    inputs, labels = task(24)
    net = training.layered_network([5, 14, 3], LIFEXP, weight_mean=0.0, weight_std=0.01, readout=True, seed=2)
    trainer = training.Trainer(net, training.MembraneCrossEntropy(times=TIMES), duration=DURATION, n_threads=1)
    with pytest.warns(training.SilenceWarning, match="no neuron of 'hidden' fired") as caught:
        trainer.fit(inputs, labels, 1)
    assert "'output' fired" not in str(caught[0].message)


def test_a_readout_of_an_oscillating_neuron_rests_at_its_drive():
    net = training.layered_network([2, 3], sp.LIFExp(tau_m=TAU_M, tau_syn=TAU_SYN, I_e=1.5), readout=True, seed=1)
    record = sp.Record(V=np.arange(2, 5), V_times=[0.0, 30.0])
    result = sp.run_batch(net, np.full((1, 2), np.inf), 30.0, record=record, n_threads=1)
    assert (result.V == 1.5).all() and result.n_spikes == 0


@pytest.mark.parametrize("model", [sp.Theta(tau_m=10.0, I_e=0.2), sp.QIF(tau_m=10.0), "LIF", sp.LIF])
def test_other_models_are_refused(model):
    with pytest.raises(ParameterError, match="a leaky readout must be made of a LIF or LIFExp"):
        training.leaky_readout(model)
    if isinstance(model, sp.QIF):
        with pytest.raises(ParameterError, match="a leaky readout must be made of a LIF or LIFExp"):
            training.layered_network([2, 3], model, readout=True, seed=1)
