"""What a Trainer does beside its steps: learning rates, early stopping, metrics, callbacks, bounds of weights."""

import math

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import CheckpointMismatchError, ParameterError
from sparseprop.files.checkpoint import read_state

LIFEXP = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
DURATION = 45.0


def task(n=48, seed=3):
    values, labels = training.yin_yang(n, seed)
    return training.latencies(values, 1.0, 25.0, bias=0.5), labels


def trainer_of(net=None, **options):
    net = training.layered_network([5, 14, 3], LIFEXP, seed=2, delay=sp.uniform(0.5, 2.0)) if net is None else net
    options = {"duration": DURATION, "batch_size": 16, "seed": 4, "n_threads": 1} | options
    return training.Trainer(net, training.FirstSpikeCrossEntropy(), **options)


def parameters(trainer):
    return [array for p in trainer.network.projections for array in (p.weight, p.delay)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# Learning rates -------------------------------------------------------------------------------------------------------


def test_schedules_are_those_of_their_formulas():
    cosine = training.CosineDecay(0.2, 12, lr_end=0.02, warmup=3)
    assert [cosine(epoch) for epoch in range(3)] == [0.05, 0.1, 0.2 * 3 / 4]
    for epoch in range(3, 12):
        wanted = 0.02 + 0.18 * (1.0 + math.cos(math.pi * (epoch - 3) / 9)) / 2.0
        assert cosine(epoch) == pytest.approx(wanted, rel=1e-15)
    assert cosine(3) == 0.2 and [cosine(epoch) for epoch in (12, 13, 1000)] == [0.02] * 3
    steps = training.StepDecay(1.0, 3, factor=0.5)
    assert [steps(epoch) for epoch in range(8)] == [1.0] * 3 + [0.5] * 3 + [0.25] * 2
    assert training.StepDecay(1.0, (2, 5))(5) == pytest.approx(0.01, rel=1e-15)
    assert repr(steps) == "StepDecay(lr=1.0, epochs=3, factor=0.5)"


def test_adam_takes_the_learning_rate_of_the_epoch():
    rates = [0.3, 0.1, 0.05]
    scheduled = training.Adam(lr=lambda epoch: rates[epoch], clip=None)
    by_hand = training.Adam(lr=1.0, clip=None)
    a = b = np.array([1.0, -2.0])
    for epoch, gradient in enumerate(np.random.default_rng(1).normal(size=(3, 2))):
        by_hand.lr = rates[epoch]
        a, b = scheduled.update("w", a, gradient, epoch=epoch), by_hand.update("w", b, gradient, epoch=epoch)
        assert np.array_equal(a, b)
    history = trainer_of(optimizer=training.Adam(lr=training.StepDecay(0.01, 1, factor=0.5))).fit(*task(), 3)
    assert history["lr"].tolist() == [0.01, 0.005, 0.0025]
    still = trainer_of(optimizer=training.Adam(lr=training.StepDecay(0.01, 1), decay=0.5))
    assert still.optimizer.rate(2) == pytest.approx(0.01 * 0.1**2 * 0.5**2)
    assert "StepDecay(lr=0.01" in repr(still)


def test_a_scheduled_training_that_was_cut_goes_on_bit_for_bit(tmp_path):
    def trainer(lr=None):
        return trainer_of(optimizer=training.Adam(lr=lr or training.CosineDecay(0.02, 4, warmup=1)), train_delays=True)

    whole, cut = trainer(), trainer()
    whole.fit(*task(), 4)
    cut.fit(*task(), 2, checkpoint=tmp_path / "state.h5")
    resumed = trainer().resume(tmp_path / "state.h5")
    resumed.fit(*task(), 4)
    assert same(parameters(whole), parameters(resumed))
    assert np.array_equal(whole.history["lr"], resumed.history["lr"]) and len(set(whole.history["lr"])) == 4
    for lr in (0.02, training.CosineDecay(0.02, 5, warmup=1), lambda epoch: 0.02):
        with pytest.raises(CheckpointMismatchError, match="lr of the optimizer"):
            trainer(lr).resume(tmp_path / "state.h5")
    with pytest.raises(ParameterError, match="restored into one with the same lr, got Adam"):
        training.Adam(lr=0.1).restore(whole.optimizer.to_dict())


# Early stopping -------------------------------------------------------------------------------------------------------


def measured_as(values):
    """A metric that is the next of these values in each epoch of one batch."""
    values = iter(values)
    return {"score": lambda result, targets: next(values)}


@pytest.mark.parametrize(("mode", "sign"), [("max", 1.0), ("min", -1.0)])
def test_a_training_ends_when_patience_does_and_goes_back_to_the_best(mode, sign):
    scores = sign * np.array([1.0, 3.0, 3.125, 2.0, 3.1, 9.0])
    trainer, after = trainer_of(metrics=measured_as(scores), batch_size=48), []
    stopping = training.EarlyStopping(3, monitor="score", mode=mode, min_delta=0.2)
    history = trainer.fit(*task(), 10, stopping=stopping, callback=lambda t: after.append(parameters(t)))
    assert len(history) == 5 and history["score"].tolist() == scores[:5].tolist()
    assert (trainer.best.epoch, trainer.best.value, trainer.best.monitor) == (2, 3.0 * sign, "score")
    assert same(parameters(trainer), after[1]) and not same(after[1], after[4])
    trainer.fit(*task(), 10, stopping=stopping)
    assert trainer.epoch == 5  # it has ended


def test_weights_stay_the_latest_if_that_is_wanted_and_nan_is_never_the_best():
    trainer, after = trainer_of(metrics=measured_as([np.nan, 2.0, 1.0, 1.0]), batch_size=48), []
    stopping = training.EarlyStopping(np.inf, monitor="score", mode="max", restore=False)
    trainer.fit(*task(), 4, stopping=stopping, callback=lambda t: after.append(parameters(t)))
    assert len(trainer.history) == 4 and trainer.best.epoch == 2
    assert same(parameters(trainer), after[-1])
    trainer.restore_best()
    assert same(parameters(trainer), after[1])


def test_the_best_is_that_of_validation_samples_and_forgotten_by_another_fit():
    inputs, labels = task(64)
    trainer = trainer_of(optimizer=training.Adam(lr=0.3))  # too large, so that the last epoch is not the best
    validation, stopping = (inputs[48:], labels[48:]), training.EarlyStopping(2)
    history = trainer.fit(inputs[:48], labels[:48], 12, validation=validation, stopping=stopping)
    best = int(np.argmin(history["validation_loss"]))
    assert len(history) == best + 3 and trainer.best.epoch == best + 1
    assert trainer.evaluate(*validation)["loss"] == history["validation_loss"][best]
    trainer.fit(inputs[:48], labels[:48], len(history))
    assert trainer.best is None
    with pytest.raises(ParameterError, match="there is no best epoch"):
        trainer.restore_best()


def test_a_training_with_patience_that_was_cut_ends_where_the_whole_does(tmp_path):
    inputs, labels = task(64)
    given = {"validation": (inputs[48:], labels[48:]), "stopping": training.EarlyStopping(2)}

    def trainer():
        return trainer_of(optimizer=training.Adam(lr=0.3), train_delays=True, min_delay=0.1, metrics=["rate"])

    whole, path = trainer(), tmp_path / "state.h5"
    whole.fit(inputs[:48], labels[:48], 15, **given)
    assert len(whole.history) < 15
    cut = trainer()
    cut.fit(inputs[:48], labels[:48], whole.best.epoch + 1, checkpoint=path, **given)
    resumed = trainer().resume(path)
    assert resumed.best.epoch == cut.best.epoch == cut.epoch - 1
    assert not same(parameters(resumed), parameters(cut))  # the file has the latest weights
    resumed.fit(inputs[:48], labels[:48], 15, checkpoint=path, **given)
    assert same(parameters(whole), parameters(resumed)) and whole.best.epoch == resumed.best.epoch
    for name in ("loss", "validation_loss", "rate", "validation_rate"):
        assert np.array_equal(whole.history[name], resumed.history[name])
    over = trainer().resume(path)
    over.fit(inputs[:48], labels[:48], 15, **given)
    assert len(over.history) == len(whole.history) and same(parameters(whole), parameters(over))


def test_what_is_not_used_is_not_in_a_file(tmp_path):
    """So files are those of before there were metrics, best epochs and bounds, which can be read."""
    trainer = trainer_of()
    trainer.fit(*task(), 1, checkpoint=tmp_path / "state.h5")
    state = read_state(tmp_path / "state.h5", "training")
    assert set(state) == {
        "kind", "fingerprints", "weights", "delays", "optimizer", "epoch", "batch", "running", "activity", "history",
    }  # fmt: skip
    assert set(state["running"]) == {"samples", "loss", "right", "error", "seconds"}
    assert set(state["fingerprints"]) == {
        "populations", "synapses", "seed of the network", "weights that are not trained",
        "delays that are not trained", "what is trained", "loss", "penalties", "batch_size", "seed", "duration",
        "min_delay", "max_delay", "delay_lr", "optimizer", "lr of the optimizer", "decay of the optimizer",
        "betas of the optimizer", "epsilon of the optimizer", "clip of the optimizer",
    }  # fmt: skip


# Metrics and callbacks ------------------------------------------------------------------------------------------------


def test_metrics_are_means_over_samples():
    inputs, labels = task(40)

    def hidden_spikes(result, targets):
        assert len(targets) == result.n_samples
        return result.spike_counts("hidden").sum() / result.n_samples

    metrics = ["rate", hidden_spikes, "silent_share"]
    trainer = trainer_of(metrics=metrics, optimizer=training.Adam(lr=1e-300))  # weights stay
    history = trainer.fit(inputs, labels, 1, validation=(inputs[:7], labels[:7]))
    for prefix, n in (("", 40), ("validation_", 7)):
        result = trainer.run(inputs[:n])
        counts = np.concatenate([result.spike_counts(name) for name in ("hidden", "output")], axis=1)
        assert counts.shape == (n, 17) and counts.sum() > 0
        assert history[f"{prefix}hidden_spikes"][0] == pytest.approx(counts[:, :14].sum() / n)
        assert history[f"{prefix}rate"][0] == pytest.approx(counts.mean() / 0.045)
        assert history[f"{prefix}silent_share"][0] == pytest.approx((counts == 0).mean())
    assert set(trainer.evaluate(inputs, labels)) == {"loss", "accuracy", "rate", "silent_share", "hidden_spikes"}
    named = trainer_of(metrics={"first": "rate", "second": lambda result, targets: 2.0}).evaluate(inputs, labels)
    assert named["second"] == 2.0 and named["first"] == pytest.approx(history["rate"][0])


def test_a_metric_that_is_added_within_an_epoch_has_no_value_for_it(tmp_path):
    trainer, step = trainer_of(), training.Trainer.step

    def stopping(self, *batch):
        if self.batch == 2:
            raise KeyboardInterrupt
        return step(self, *batch)

    trainer.step = stopping.__get__(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*task(), 1)
    trainer.save(tmp_path / "state.h5")
    history = trainer_of(metrics=["rate"]).resume(tmp_path / "state.h5").fit(*task(), 2)
    assert np.isnan(history["rate"][0]) and history["rate"][1] > 0.0


def test_all_callbacks_are_called_and_one_ends_training():
    called = []
    callbacks = [lambda t: called.append(("a", t.epoch)) or t.epoch == 2, lambda t: called.append(("b", t.epoch))]
    trainer = trainer_of()
    trainer.fit(*task(), 5, callback=callbacks)
    assert called == [("a", 1), ("b", 1), ("a", 2), ("b", 2)] and trainer.epoch == 2


# Bounds of weights ----------------------------------------------------------------------------------------------------


def recurrent(**options):
    """Excitatory and inhibitory neurons, one of them without synapses, and the trainer of them."""
    net = training.recurrent_network(5, 30, LIFEXP, indegree=6, seed=1)
    p = net.projections[1]
    signs = np.where(np.arange(30) < 20, 1.0, -1.0)
    p.weight = np.clip(np.abs(p.weight) * signs[p.sources], -2.0, 0.75)
    net.projections[0].weight = np.clip(net.projections[0].weight, -2.0, 2.0)
    loss = training.FirstSpikeCrossEntropy("recurrent")
    options = {"duration": DURATION, "batch_size": 12, "optimizer": training.Adam(lr=0.2), "n_threads": 1} | options
    return training.Trainer(net, loss, **options), signs[p.sources]


def test_weights_stay_between_bounds_and_nothing_else_changes():
    low, high = -1.0, 3.0

    def stepped(bounds=lambda net: {}):
        """Weights after one step, which moves each by 4.0 in the direction of its gradient."""
        net = training.layered_network([5, 14, 3], LIFEXP, seed=2)
        for p in net.projections:
            p.weight = np.clip(p.weight, low, high)
        trainer = trainer_of(net, optimizer=training.Adam(lr=4.0), **bounds(net))
        trainer.step(*task(48))
        return [p.weight for p in net.projections]

    free = stepped()
    for weight in free:
        assert (weight < low).any() and (weight > high).any()
    bounded = [np.clip(weight, low, high) for weight in free]
    assert same(stepped(lambda net: {"min_weight": low, "max_weight": high}), bounded)
    assert same(stepped(lambda net: {"min_weight": {0: low}, "max_weight": {0: high}}), [bounded[0], free[1]])
    first = stepped(lambda net: {"max_weight": {net.projections[1]: high}})
    assert same(first, [free[0], np.minimum(free[1], high)])


def test_bounds_hold_in_each_step_without_tolerance():
    trainer, _ = recurrent(min_weight=-2.0, max_weight={1: 0.75})
    reached = set()
    for _ in range(20):
        trainer.step(*task(12))
        for k, high in ((0, np.inf), (1, 0.75)):
            weight = trainer.network.projections[k].weight
            assert weight.min() >= -2.0 and weight.max() <= high
            reached |= {float(x) for x in (weight.min(), weight.max())}
    assert {-2.0, 0.75} <= reached


@pytest.mark.parametrize("dale", [True, {"recurrent": "initial", "input": "excitatory"}])
def test_neurons_keep_their_sign(dale):
    options = {"dale": dale}
    if dale is not True:
        trainer, _ = recurrent()
        p = trainer.network.projections[0]
        p.weight = np.abs(p.weight)
        trainer = training.Trainer(trainer.network, trainer.loss, duration=DURATION, n_threads=1,
                                   optimizer=training.Adam(lr=0.2), **options)  # fmt: skip
        signs = recurrent()[1]
    else:
        trainer, signs = recurrent(**options)
    before = parameters(trainer)
    for _ in range(20):
        trainer.step(*task(12))
        assert (trainer.network.projections[1].weight * signs >= 0.0).all()
        if dale is not True:
            assert (trainer.network.projections[0].weight >= 0.0).all()
    weight = trainer.network.projections[1].weight
    assert (weight == 0.0).any() and not same(before, parameters(trainer))
    free, _ = recurrent()
    for _ in range(20):
        free.step(*task(12))
    assert (free.network.projections[1].weight * signs < 0.0).any()  # without it, they do not


def test_signs_are_those_of_the_beginning_after_a_cut(tmp_path):
    def trainer(**options):
        return recurrent(**{"dale": True, "min_weight": -3.0, "optimizer": training.Adam(lr=0.05)} | options)[0]

    inputs, labels = task(24)
    whole, cut, resumed = trainer(), trainer(), trainer()
    whole.fit(inputs, labels, 4)
    cut.fit(inputs, labels, 2, checkpoint=tmp_path / "state.h5")
    resumed.resume(tmp_path / "state.h5").fit(inputs, labels, 4)
    assert same(parameters(whole), parameters(resumed))
    p = cut.network.projections[1]
    assert (p.weight == 0.0).any()
    trainer(dale={"recurrent": "initial"}).resume(tmp_path / "state.h5")  # the same in other words
    for options in ({"dale": False}, {"min_weight": -2.9}, {"max_weight": 9.0}):
        with pytest.raises(CheckpointMismatchError, match=next(iter(options))):
            trainer(**options).resume(tmp_path / "state.h5")


def zeros():
    """Neurons whose weights are all 0."""
    net = training.layered_network([2, 3, 2], LIFEXP, weight_mean=0.0, weight_std=0.0, seed=1)
    return trainer_of(net, dale=True)


def fit(validation=None, **options):
    return lambda: trainer_of(metrics=["rate"]).fit(*task(), 1, validation=validation, **options)


def stopping(*args, **options):
    return lambda: training.EarlyStopping(*args, **options)


REFUSED = [
    (lambda: training.Adam(lr="a"), "lr of Adam must be a number > 0, or a function of the epoch, got 'a'"),
    (lambda: training.Adam(lr=training.CosineDecay), "lr of Adam must be"),
    (lambda: training.Adam(lr=lambda epoch: -1.0).rate(3), "lr of Adam in epoch 3 must be a number >= 0, got -1.0"),
    (lambda: training.CosineDecay(0.0, 3), "lr of CosineDecay must be"),
    (lambda: training.CosineDecay(1.0, 0), "epochs of CosineDecay"),
    (lambda: training.CosineDecay(1.0, 3, lr_end=2.0), "lr_end of CosineDecay must be a number from 0 to lr, 1"),
    (lambda: training.CosineDecay(1.0, 3, warmup=3), "warmup of CosineDecay must be .* from 0 to 2.* got 3"),
    (lambda: training.CosineDecay(1.0, 3)(-1), "epoch must be a whole number >= 0"),
    (lambda: training.StepDecay(1.0, []), "epochs of StepDecay must be ascending, at least one"),
    (lambda: training.StepDecay(1.0, [3, 3]), "epochs of StepDecay must be ascending"),
    (lambda: training.StepDecay(1.0, [1.5]), r"epochs\[0\] of StepDecay"),
    (lambda: training.StepDecay(1.0, 0), "epochs of StepDecay"),
    (lambda: training.StepDecay(1.0, 2, factor=1.5), "factor of StepDecay"),
    (stopping(0), "patience must be a whole number of epochs >= 1, or inf, got 0"),
    (stopping(2.5), "patience must be"),
    (stopping(monitor=3), "monitor must be an entry of the history"),
    (stopping(mode="most"), "unknown mode: 'most'"),
    (stopping(monitor="rate"), "needs mode='min' or mode='max' for 'rate'"),
    (stopping(min_delta=-1.0), "min_delta must be"),
    (stopping(restore=1), "restore must be True or False"),
    (fit(stopping=3), "stopping must be a training.EarlyStopping.* got 3"),
    (fit(stopping=training.EarlyStopping(monitor="validation_loss")), "no validation samples.*monitor='loss'"),
    (fit(stopping=training.EarlyStopping(monitor="rat", mode="max")), "unknown entry of the history: 'rat'.*'rate'"),
    (lambda: recurrent(min_weight=1.0, max_weight=0.5), "at most max_weight, got 1.0 and 0.5 for 'input'"),
    (lambda: recurrent(min_weight="a"), "min_weight must be a number, or -inf for none, got 'a'"),
    (lambda: recurrent(min_weight={1: np.nan}), "min_weight of projection 1 must be a number"),
    (lambda: recurrent(min_weight={7: 0.0}), "the number of a projection must be from 0 to 1, got 7"),
    (lambda: recurrent(min_weight={"input": 0.0}), "have numbers by projection, got the key 'input'"),
    (lambda: recurrent(max_weight={1: 0.0}, projections=[0]), "projection 1, whose weights are not trained"),
    (lambda: recurrent(min_weight=0.0), "for 'input' -> 'recurrent' must be within their bounds to begin with, got -"),
    (lambda: recurrent(dale=1), "dale must be True or False, got 1"),
    (lambda: recurrent(dale={"E": "excitatory"}), "unknown population: 'E'"),
    (lambda: recurrent(dale={"recurrent": 1}), "unknown kind of neurons of 'recurrent': 1"),
    (lambda: recurrent(dale={"input": "initial"}), "one sign to begin with, got 5 of 'input' with both signs"),
    (lambda: recurrent(dale={"input": "excitatory"}), "within their bounds to begin with.* np.abs"),
    (lambda: recurrent(dale=True, min_weight={1: 0.1}), "leave nothing for 'recurrent' -> .* from 0.1 to inf"),
    (lambda: zeros(), "one sign to begin with, got 3 of 'hidden' with no sign"),
    (fit(callback=[print, 3]), "callback must be a function of the trainer, or a sequence"),
    (lambda: trainer_of(metrics="rate"), r"metrics must be a sequence of names and functions, such as \['rate'\]"),
    (lambda: trainer_of(metrics=["rates"]), "unknown metric: 'rates'.*'rate'"),
    (lambda: trainer_of(metrics=["rate", "rate"]), "different names, got 'rate' more than once"),
    (lambda: trainer_of(metrics=[lambda result, targets: 1.0]), r"metrics\[0\] has no name"),
    (lambda: trainer_of(metrics={"loss": "rate"}), "names of their own.* got 'loss'"),
    (lambda: trainer_of(metrics={"validation_x": "rate"}), "names of their own.* got 'validation_x'"),
    (lambda: trainer_of(metrics={"x": 3}), "the metric 'x' must be a function"),
    (lambda: trainer_of(metrics={"x": lambda result, targets: "a"}).fit(*task(), 1), "what the metric 'x' returns"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "match"), REFUSED, ids=[match for _, match in REFUSED])
def test_what_is_refused(call, match):
    with pytest.raises(ParameterError, match=match):
        call()
