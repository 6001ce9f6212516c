"""Convolutions: their synapses are those of the sum, and weights that are shared are trained as one."""

import itertools

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import CheckpointMismatchError, ParameterError

LIFEXP = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
DURATION = 40.0
SHAPES = [
    ((2, 9), 3, 4, {}),
    ((1, 10), 2, 3, {"stride": 2, "padding": 1}),
    ((2, 5, 6), 3, (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    ((1, 1, 1), 2, 3, {"padding": 1}),
    ((2, 3, 4, 5), 2, 2, {"stride": (1, 2, 1), "padding": (0, 1, 1)}),
]


def by_hand(values, kernel, stride, padding):
    """The convolution of an array, from its definition."""
    stride, padding = (np.broadcast_to(x, values.ndim - 1) for x in (stride, padding))
    padded = np.pad(values, [(0, 0), *((p, p) for p in padding)])
    size = kernel.shape[2:]
    lengths = [(n - k) // s + 1 for n, k, s in zip(padded.shape[1:], size, stride, strict=True)]
    found = np.zeros((len(kernel), *lengths))
    for place in itertools.product(*map(range, lengths)):
        window = tuple(slice(y * s, y * s + k) for y, s, k in zip(place, stride, size, strict=True))
        found[(slice(None), *place)] = (kernel * padded[(slice(None), *window)]).reshape(len(kernel), -1).sum(axis=1)
    return found


def connected(shape=(1, 6, 6), channels=3, kernel_size=3, *, kernel=None, seed=1, **options):
    convolution = training.Convolution(shape, channels, kernel_size, **options)
    net = sp.Network(seed=seed)
    source = net.add(convolution.n_sources, sp.SpikeSource([], []), name="input")
    hidden = net.add(convolution.n_targets, LIFEXP, name="hidden", V=0.0)
    return convolution, net, convolution.connect(net, source, hidden, kernel=kernel)


@pytest.mark.parametrize(("shape", "channels", "size", "options"), SHAPES)
def test_synapses_are_those_of_the_sum(shape, channels, size, options):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=training.Convolution(shape, channels, size, **options).kernel_shape)
    convolution, _, p = connected(shape, channels, size, kernel=kernel, **options)
    W = np.zeros((convolution.n_targets, convolution.n_sources))
    W[p.targets, p.sources] = p.weight
    assert np.count_nonzero(W) == p.n_synapses
    values = rng.normal(size=shape)
    wanted = by_hand(values, kernel, options.get("stride", 1), options.get("padding", 0))
    assert wanted.shape == convolution.output_shape
    np.testing.assert_allclose((W @ values.ravel()).reshape(wanted.shape), wanted, rtol=1e-12, atol=1e-12)
    back = convolution.kernel(p)
    used = np.zeros(kernel.size, bool)
    used[convolution.places] = True
    assert np.array_equal(back.ravel()[used], kernel.ravel()[used]) and not back.ravel()[~used].any()
    assert used.all() or shape == (1, 1, 1)


def test_synapses_are_those_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    layer = torch.nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), bias=False, dtype=torch.float64)
    convolution, _, p = connected((2, 5, 6), 3, (3, 2), stride=(2, 1), padding=(1, 0),
                                  kernel=layer.weight.detach().numpy())  # fmt: skip
    values = torch.rand(1, 2, 5, 6, dtype=torch.float64)
    W = np.zeros((convolution.n_targets, convolution.n_sources))
    W[p.targets, p.sources] = p.weight
    wanted = layer(values).detach().numpy().ravel()
    np.testing.assert_allclose(W @ values.numpy().ravel(), wanted, rtol=1e-12)


def images(n=48, seed=3):
    """Bars, horizontal or vertical ones, at one of four places."""
    rng = np.random.default_rng(seed)
    labels, where = rng.integers(0, 2, n), rng.integers(1, 5, n)
    pixels = rng.uniform(0.0, 0.4, (n, 6, 6))
    for k in range(n):
        if labels[k]:
            pixels[k, where[k]] = 0.9
        else:
            pixels[k, :, where[k]] = 0.9
    return training.latencies(pixels.reshape(n, 36), 0.0, 20.0, large_first=True), labels


def trainer_of(n_threads=1, shared=True, seed=1, **options):
    convolution, net, p = connected(seed=seed)
    output = net.add(2, training.leaky_readout(LIFEXP), name="output", V=0.0)
    net.connect(net.populations[1], output, sp.all_to_all(), weight=sp.normal(0.0, 0.1))
    loss = training.MembraneCrossEntropy(times=[15.0, 25.0, 35.0], scale=5.0)
    options = {"duration": DURATION, "batch_size": 16, "optimizer": training.Adam(lr=0.02)} | options
    given = {p: convolution} if shared else None
    return training.Trainer(net, loss, shared=given, n_threads=n_threads, **options), convolution, p


def test_the_gradient_of_a_shared_weight_is_that_of_differences():
    inputs, labels = images(8)
    trainer, convolution, p = trainer_of(projections=[0])
    kernel = convolution.kernel(p)

    def value(kernel):
        p.weight = kernel.ravel()[convolution.shared(p)]
        return trainer.evaluate(inputs, labels)["loss"]

    trainer.step(inputs, labels)
    gradient = trainer._latest[1]["weight", 0]
    assert gradient.shape == (27,) and np.any(gradient)
    for place in range(27):
        step = np.zeros(27)
        step[place] = 1e-6
        step = step.reshape(kernel.shape)
        difference = (value(kernel + step) - value(kernel - step)) / 2e-6
        assert gradient[place] == pytest.approx(difference, rel=1e-4, abs=1e-8)


def test_shared_weights_stay_equal_and_learn():
    inputs, labels = images(200)
    trainer, convolution, p = trainer_of()
    before = convolution.kernel(p)
    history = trainer.fit(inputs, labels, 15)
    kernel = convolution.kernel(p)
    assert np.array_equal(kernel.ravel()[convolution.shared(p)], p.weight)  # without a tolerance
    assert (kernel != before).all() and len(np.unique(p.weight)) == 27
    assert history["loss"][-1] < 0.5 * history["loss"][0] and history["accuracy"][-1] > 0.9
    free, convolution, p = trainer_of(shared=False)
    free.step(inputs[:16], labels[:16])
    assert not np.array_equal(convolution.kernel(p).ravel()[convolution.shared(p)], p.weight)


def test_a_shared_weight_follows_the_sum_of_gradients():
    inputs, labels = images(16)
    (tied, convolution, p), (free, *_) = trainer_of(), trainer_of(shared=False)
    before = convolution.kernel(p).ravel()
    tied.step(inputs, labels)
    free.step(inputs, labels)
    total = np.zeros(27)
    for place, by_synapse in zip(convolution.shared(p), free._latest[1]["weight", 0], strict=True):
        total[place] += by_synapse
    assert np.array_equal(tied._latest[1]["weight", 0], total)
    assert np.array_equal(convolution.kernel(p).ravel(), training.Adam(lr=0.02).update("w", before, total))


def test_cuts_and_threads(tmp_path):
    inputs, labels = images()
    weights = []
    for n_threads in (1, 2):
        trainer, _, p = trainer_of(n_threads)
        trainer.fit(inputs, labels, 3)
        weights.append(p.weight)
    cut, _, _ = trainer_of()
    cut.fit(inputs, labels, 2, checkpoint=tmp_path / "state.h5")
    resumed, _, p = trainer_of()
    resumed.resume(tmp_path / "state.h5").fit(inputs, labels, 3)
    assert np.array_equal(weights[0], weights[1]) and np.array_equal(weights[0], p.weight)
    with pytest.raises(CheckpointMismatchError, match="shared weights"):
        trainer_of(shared=False)[0].resume(tmp_path / "state.h5")


def test_bounds_hold_for_shared_weights():
    inputs, labels = images()
    convolution, net, p = connected()
    kernel = np.clip(convolution.kernel(p), 0.0, 2.0)
    p.weight = kernel.ravel()[convolution.shared(p)]
    loss = training.SpikeCountCrossEntropy("hidden")
    trainer = training.Trainer(net, loss, duration=DURATION, optimizer=training.Adam(lr=0.2), n_threads=1,
                               shared={0: convolution.shared(p)}, max_weight=2.0,
                               dale={"input": "excitatory"})  # fmt: skip
    trainer.fit(inputs, labels, 2)
    assert p.weight.min() == 0.0 and p.weight.max() == 2.0 and len(np.unique(p.weight)) < 28
    assert np.array_equal(convolution.kernel(p).ravel()[convolution.shared(p)], p.weight)


def test_kernels_are_drawn_from_the_seed():
    kernels = [training.Convolution.kernel(c, p) for c, _, p in (connected(), connected(), connected(seed=2))]
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])
    assert kernels[0].std() > 0.0


def shared(groups, **options):
    def call():
        net = training.layered_network([2, 3], LIFEXP, weight_std=0.0, seed=1)
        return training.Trainer(
            net, training.FirstSpikeCrossEntropy(), duration=9.0, n_threads=1, shared=groups, **options
        )

    return call


def mixed_signs():
    """A shared weight of an excitatory and an inhibitory neuron."""
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([], []), name="input")
    hidden = net.add(2, LIFEXP, name="hidden", V=0.0)
    net.connect(source, hidden, sp.one_to_one(), weight=1.0)
    p = net.connect(hidden, hidden, sp.edges([0, 1, 0, 1], [1, 0, 0, 1]), weight=[0.0, 0.0, 1.0, -1.0],
                    allow_autapses=True)  # fmt: skip
    return training.Trainer(net, training.FirstSpikeCrossEntropy("hidden"), duration=9.0, dale=True, n_threads=1,
                            shared={p: np.array([0, 0, 1, 2])[p.order]})  # fmt: skip


REFUSED = [
    (lambda: training.Convolution(5, 1, 3), "input_shape must be"),
    (lambda: training.Convolution((5,), 1, 3), "input_shape must be"),
    (lambda: training.Convolution((1, 0), 1, 3), r"input_shape\[1\] must be a whole number >= 1"),
    (lambda: training.Convolution((1, 5), 0, 3), "channels must be"),
    (lambda: training.Convolution((1, 5), 1, (3, 3)), "kernel_size must be one number, or one for each of the 1 axes"),
    (lambda: training.Convolution((1, 5), 1, 3, stride=0), "stride must be whole numbers >= 1, got 0"),
    (lambda: training.Convolution((1, 5), 1, 3, padding=-1), "padding must be whole numbers >= 0, got -1"),
    (lambda: training.Convolution((1, 5), 1, 6), "kernel_size must be at most the length of its axis"),
    (lambda: connected(kernel=np.zeros((3, 1, 3, 2))), r"kernel must be of shape \(3, 1, 3, 3\), got \(3, 1, 3, 2\)"),
    (lambda: connected(kernel=3.0), "kernel must be"),
    (lambda: training.Convolution((1, 5), 1, 3).connect(3, None, None), "net must be a Network"),
    (lambda: training.Convolution((1, 5), 1, 3).connect(sp.Network(seed=1), None, None), "needs a population of 5"),
    (lambda: training.Convolution((1, 5), 1, 3).shared(3), "projection must be one that this convolution has made"),
    (lambda: training.Convolution((1, 5), 1, 3).kernel(connected()[2]), "of 9 synapses, got <Projection"),
    (shared([0]), "shared must be a dictionary"),
    (shared({"input": [0]}), "shared must have projections or their numbers as keys, got 'input'"),
    (shared({0: [0, 1]}), "a number for each of its 6 synapses, got 2"),
    (shared({0: [0.5] * 6}), "shared weights of projection 0 must be an array of integers"),
    (shared({0: [0] * 6}, train_weights=False, train_delays=False), "nothing to train"),
    (lambda: training.Trainer(connected()[1], training.FirstSpikeCrossEntropy("hidden"), duration=1.0, n_threads=1,
                              shared={0: np.zeros(connected()[2].n_synapses, int)}), "equal to begin with, got"),
    (mixed_signs, "bounds of weights of projection 1 differ between synapses that share a weight"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "match"), REFUSED, ids=[match for _, match in REFUSED])
def test_what_is_refused(call, match):
    with pytest.raises(ParameterError, match=match):
        call()
