"""Gradient flossing: exponents of trials against Lyapunov spectra, their gradients against differences of runs."""

import dataclasses

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training

T = 250.0


def network(*populations, seed=1, weight=-0.3, indegree=4, input_weight=0.2, V=None):
    """Populations of (model, n), all in all connected, each its weight; and five inputs, frozen ones."""
    net = sp.Network(seed=seed)
    source = net.add(5, sp.SpikeSource([], []), name="input")
    there = [net.add(n, model, name=f"population {k}", V=V) for k, (model, n) in enumerate(populations)]
    for pre in there:
        for post in there:
            net.connect(
                pre, post, sp.fixed_indegree(indegree), weight=sp.uniform(*sorted((0.5 * weight, 1.5 * weight)))
            )
    for post in there:
        net.connect(source, post, sp.fixed_indegree(2), weight=input_weight)
    return net


def inputs_of(seed=0, rate=20.0):
    rng = np.random.default_rng(seed)
    n = rng.poisson(5e-3 * rate * T)
    times = np.sort(rng.uniform(0.0, T, n))
    return times, rng.integers(0, 5, n)


def multapses():
    net = network((sp.Theta(10.0, I_e=0.2), 10))
    p = net.populations[1]
    net.connect(p, p, sp.fixed_indegree(6), weight=-0.1, allow_multapses=True)
    net.connect(p, p, sp.fixed_indegree(6), weight=-0.05, allow_autapses=True)
    return net


LIF, TAU = sp.LIF(10.0, I_e=1.2), np.linspace(8.0, 15.0, 12)
CASES = {
    "theta": (lambda: network((sp.Theta(10.0, I_e=0.2), 12)), (1, 3, 12)),
    "theta, larger": (lambda: network((sp.Theta(10.0, I_e=0.1), 60), indegree=20, weight=-0.2), (1, 20, 60)),
    "theta, excitable and not": (lambda: network((sp.Theta(TAU, I_e=np.linspace(-0.2, 0.3, 12)), 12)), (2, 12)),
    "theta, excitation": (lambda: network((sp.Theta(10.0, I_e=0.02), 15), weight=0.2), (2, 15)),
    "theta, shear": (lambda: network((sp.Theta(10.0, I_e=0.0), 12), weight=0.1, input_weight=0.8,
                                    V=sp.uniform(-1.0, 1.0)), (2,)),
    "multapses": (multapses, (1, 10)),
    "QIF, finite": (lambda: network((sp.QIF(10.0, I_e=0.2, V_peak=5.0, V_reset=-3.0, t_ref=2.0), 12),
                                    input_weight=-0.2, V=sp.uniform(-2.0, 2.0)), (1, 12)),
    "QIF, one finite": (lambda: network((sp.QIF(10.0, I_e=0.2, V_reset=-3.0), 12)), (3,)),
    "LIF": (lambda: network((LIF, 12), weight=-0.2, input_weight=-0.1), (1, 3, 12)),
    "LIF, larger": (lambda: network((LIF, 50), weight=-0.1, indegree=20, input_weight=-0.1), (1, 20, 50)),
    "LIF, each its tau_m, t_ref": (lambda: network((sp.LIF(TAU, E_L=0.1, I_e=1.2, t_ref=3.0), 12), weight=-0.2,
                                                   input_weight=-0.1, V=sp.uniform(0.1, 0.9)), (1, 12)),
    "LIF and theta": (lambda: network((LIF, 6), (sp.Theta(20.0, I_e=0.3), 6), weight=-0.1, input_weight=-0.1), (1, 12)),
}  # fmt: skip
EACH = [(name, k) for name, (_, ks) in CASES.items() for k in ks]


def copied(net, trial=None, I_e=None, V=None):
    """The same network, with given spikes of its source, or with other I_e and initial V, by global id."""
    other, start = sp.Network(seed=net.seed), net.engine_input(None)
    more = [np.zeros(net.size) if values is None else values for values in (I_e, V)]
    for p in net.populations:
        if p.is_source:
            other.add(p.n, p.model if trial is None else sp.SpikeSource(*trial), name=p.name)
            continue
        by_I, by_V = (values[p.first : p.first + p.n] for values in more)
        model = dataclasses.replace(p.model, I_e=p.model.I_e + by_I)
        other.add(p.n, model, name=p.name, V=start.populations[p.index].V + by_V)
    for p in net.projections:
        matrix = np.zeros((p.post.n, p.pre.n))
        np.add.at(matrix, (p.targets, p.sources), p.weight)
        ends = (other.populations[q.index] for q in (p.pre, p.post))
        other.connect(*ends, matrix, allow_autapses=True)
    return other


@pytest.mark.parametrize(("name", "k"), EACH)
def test_exponents_are_those_of_the_spectrum(name, k):
    net = CASES[name][0]()
    trials = [inputs_of(seed) for seed in range(2)]
    result = sp.run_batch(net, trials, T)
    assert (np.diff(result.offsets) > 5).all()
    flossing = training.Flossing(k)
    exponents = flossing.exponents(result)
    for found, trial in zip(exponents, trials, strict=True):
        spectrum = sp.lyapunov_spectrum(copied(net, trial), k, duration=T, warmup=0, seed=net.seed)
        np.testing.assert_allclose(np.sort(found)[::-1], spectrum.exponents, rtol=0.0, atol=1e-9)
    evaluation = flossing(result)
    assert evaluation.value == pytest.approx((exponents**2).sum() / 2.0, rel=1e-13)
    assert evaluation.error == pytest.approx(np.sqrt(np.mean(exponents**2)))
    assert training.Flossing(k, strength=0.1)(result).value == pytest.approx(0.1 * evaluation.value)


def test_neurons_that_begin_refractory():
    net = network((sp.LIF(10.0, I_e=1.2, t_ref=3.0), 12), (sp.QIF(10.0, I_e=0.3, t_ref=9.0), 6), input_weight=-0.1)
    assert max(p.refractory.max() for p in net.engine_input(None).populations[1:]) > 0.0
    for duration in (1.0, 40.0, 200.0):
        (found,) = training.Flossing(18).exponents(sp.run_batch(net, [([], [])], duration))
        spectrum = sp.lyapunov_spectrum(net, duration=duration, warmup=0)
        np.testing.assert_allclose(np.sort(found)[::-1], spectrum.exponents, rtol=0.0, atol=1e-8)


# Gradients ------------------------------------------------------------------------------------------------------------


def slope(value, step):
    """The derivative of a smooth function at 0, by differences of sixth order."""
    first, second, third = ((value(m * step) - value(-m * step)) / (2.0 * m * step) for m in (1, 2, 3))
    return 1.5 * first - 0.6 * second + 0.1 * third


def assert_is_slope(found, value):
    """At one of some steps: too large a one changes the order of spikes, too small a one has rounding."""
    slopes = [slope(value, step) for step in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)]
    assert min(abs(found / other - 1.0) for other in slopes) < 1e-6, (found, slopes)


@pytest.mark.parametrize(("name", "k"), EACH)
def test_gradients_are_differences_of_runs(name, k):
    net = CASES[name][0]()
    for p in net.projections:
        p.weight = np.broadcast_to(p.weight, p.n_synapses).copy()
    trials = [inputs_of(seed) for seed in range(2)]
    flossing = training.Flossing(k)
    grads = flossing.gradients(sp.run_batch(net, trials, T, tape=True))
    rng = np.random.default_rng(7)
    weights = [p.weight for p in net.projections]
    ways = [rng.standard_normal(len(weight)) for weight in weights]

    def by_weights(step):
        for p, weight, way in zip(net.projections, weights, ways, strict=True):
            p.weight = weight + step * way
        value = flossing(sp.run_batch(net, trials, T)).value
        for p, weight in zip(net.projections, weights, strict=True):
            p.weight = weight
        return value

    assert_is_slope(sum(by @ way for by, way in zip(grads.weight, ways, strict=True)), by_weights)
    assert grads.weight_sum[0] == pytest.approx(grads.weight[0].sum())
    way = rng.standard_normal(net.size)
    neurons = np.flatnonzero(np.isfinite(grads.I_e))
    for parameter in ("I_e", "V"):

        def by_neurons(step, parameter=parameter):
            return flossing(sp.run_batch(copied(net, **{parameter: step * way}), trials, T)).value

        found = getattr(grads, parameter)[neurons] @ way[neurons]
        if parameter == "V" and "LIF" in name and "theta" not in name and "tau_m" not in name:
            assert abs(found) < 1e-6 * np.abs(grads.I_e[neurons]).max()  # only the order of spikes counts
        else:
            assert_is_slope(found, by_neurons)
    ways = [rng.standard_normal(len(times)) for times, _ in trials]

    def by_inputs(step):
        moved = [(times + step * way, ids) for (times, ids), way in zip(trials, ways, strict=True)]
        return flossing(sp.run_batch(net, moved, T)).value

    found = sum(by @ way for by, way in zip(grads.input_times["input"], ways, strict=True))
    if "LIF" in name and "theta" not in name and "tau_m" not in name:
        assert abs(found) < 1e-6 * np.abs(grads.I_e[neurons]).max()
    else:
        assert_is_slope(found, by_inputs)


# Training -------------------------------------------------------------------------------------------------------------


def test_a_trainer_brings_exponents_nearer_to_0_alone_and_as_a_penalty():
    inputs = np.random.default_rng(1).uniform(0.0, 20.0, (16, 5))
    flossing = training.Flossing(4)
    for loss, penalties in (
        (flossing, []),
        (training.SpikeCountPenalty("population 0", low=2.0), [training.Flossing(4, strength=0.1)]),
    ):
        net = network((sp.Theta(10.0, I_e=0.2), 20))
        trainer = training.Trainer(
            net, loss, duration=T, batch_size=8, penalties=penalties, optimizer=training.Adam(lr=0.02), n_threads=1
        )
        before = (flossing.exponents(trainer.run(inputs)) ** 2).sum()
        history = trainer.fit(inputs, np.zeros(16), epochs=15)
        assert (flossing.exponents(trainer.run(inputs)) ** 2).sum() < 0.3 * before
        if loss is flossing:
            assert history["error"][-1] < 0.6 * history["error"][0]


def test_a_step_has_the_gradient_of_loss_and_penalty_together():
    net, inputs = network((LIF, 8), weight=-0.2, input_weight=-0.1), np.full((2, 5), 30.0)
    loss, penalty = training.SpikeCountPenalty("population 0", high=3.0), training.Flossing(3, strength=1e-3)
    trainer = training.Trainer(net, loss, duration=100.0, penalties=[penalty], n_threads=1)
    result = trainer.run(inputs, tape=True)
    floss, counts = penalty(result), loss(result)
    evaluation = trainer.step(inputs, np.zeros(2))
    assert evaluation.value == pytest.approx(floss.value + counts.value)
    np.testing.assert_allclose(evaluation.dL_dtimes, floss.dL_dtimes + counts.dL_dtimes, atol=1e-12)
    for k, by in floss.dL_dweight.items():
        np.testing.assert_allclose(evaluation.dL_dweight[k], by)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (sp.LIFExp(10.0, 5.0, I_e=1.2), r"LIF, QIF or Theta neurons, population 'population 0' has LIFExp: .*currents"),
        (sp.EIF(10.0, I_e=20.0), "has EIF: its flow is a table"),
        (sp.RapidTheta(10.0, 3.0, I_e=0.2), "has RapidTheta: no second derivatives"),
        (sp.PWLIF(**sp.PWLIF.example), "has PWLIF: no second derivatives"),
        (sp.QuadraticIF(**sp.QuadraticIF.example), "has QuadraticIF: .*Write it as a QIF"),
    ],
)
def test_models_without_second_derivatives_are_refused_by_name(model, why):
    net = network((model, 6), weight=-0.1)
    for use in (
        lambda: training.Trainer(net, training.Flossing(2), duration=50.0),
        lambda: training.Flossing(2)(sp.run_batch(net, [([], [])], 50.0)),
    ):
        with pytest.raises(sp.errors.ParameterError, match=why):
            use()


def test_what_else_is_refused():
    for options, message in (({"k": 0}, "k must be"), ({"k": 2, "strength": 0.0}, "strength must be")):
        with pytest.raises(sp.errors.ParameterError, match=message):
            training.Flossing(**options)
    net = network((sp.Theta(10.0, I_e=0.2), 6))
    with pytest.raises(sp.errors.ParameterError, match="k must be at most the number of neurons, 6, got 7"):
        training.Trainer(net, training.Flossing(7), duration=50.0)
    with pytest.raises(sp.errors.ParameterError, match="a trial of 0 ms has no exponents"):
        training.Flossing(2)(sp.run_batch(net, [([], [])], 0.0))
    with pytest.raises(sp.errors.ParameterError, match="a loss is called with the BatchResult"):
        training.Flossing(2)(net.run(10.0))
    net.projections[0].delay = 1.5
    with pytest.raises(sp.errors.ParameterError, match="without delays"):
        training.Trainer(net, training.Flossing(2), duration=50.0)
    driven = network((LIF, 6), weight=-0.1, input_weight=3.0)
    with pytest.raises(
        sp.errors.NumericalError, match=r"neuron \d of population 'population 0' was driven over .* 5\.5"
    ):
        training.Flossing(2)(sp.run_batch(driven, [([5.5], [0])], 50.0))
