"""PyTorch and JAX: the same gradients as ours, and any optimiser or loss of theirs."""

import copy

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import ParameterError

DURATION = 45.0


def network(delay=None):
    model = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
    return training.layered_network([5, 20, 3], model, seed=2, delay=sp.uniform(0.5, 3.0) if delay is None else delay)


def task(n=30):
    values, labels = training.yin_yang(n, 3)
    return training.latencies(values, 1.0, 25.0, bias=10.0), labels


def ours(net, inputs, n_spikes, duration=22.0):
    """Gradients of sum c t over the first spikes of the outputs, with the coefficients c."""
    result = sp.run_batch(net, inputs, duration, tape=True)
    times, where = result.spike_table("output", n_spikes)
    c = np.random.default_rng(1).normal(size=times.shape)
    by_times = np.zeros(result.n_spikes)
    by_times[where[where >= 0]] = c[where >= 0]
    assert (where < 0).any() and (where >= 0).sum() > 20
    return times, c, result.backward(by_times)


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed (pip install jax)")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("n_spikes", [1, 2])
def test_gradients_of_torch_are_ours(torch, n_spikes):
    from sparseprop.torch import SpikingNetwork

    inputs, _ = task()
    times, c, grads = ours(network(), inputs, n_spikes)
    module = SpikingNetwork(network(), 22.0, n_spikes=n_spikes, train_delays=True)
    assert {name for name, _ in module.named_parameters()} == {"weights.0", "weights.1", "delays.0", "delays.1"}
    t_in = torch.tensor(inputs, requires_grad=True)
    t = module(t_in)
    assert np.array_equal(t.detach().numpy(), times[:, :, 0] if n_spikes == 1 else times)
    there = torch.isfinite(t)
    (t[there] * torch.tensor(c).reshape(t.shape)[there]).sum().backward()
    for k in range(2):
        close(module.weights[k].grad, grads.weight[k])
        close(module.delays[k].grad, grads.delay[k])
    close(t_in.grad, grads.input_times["input"])


def test_torch_agrees_with_finite_differences_through_layers_around(torch):
    """With torch's own layers before and behind, by its own check."""
    from sparseprop.torch import SpikingNetwork

    inputs, _ = task(3)
    module = SpikingNetwork(network(), DURATION, V_times=[15.0, 25.0], n_threads=1)
    weight = module.weights[1].detach().clone().requires_grad_()

    def loss(weight, shift):
        times, V = torch.func.functional_call(module, {"weights.1": weight}, (torch.tensor(inputs) + shift,))
        return torch.exp(-times / 10.0).sum(), V.sum()

    shift = torch.full((1, 5), 0.1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (weight, shift), eps=1e-6, atol=1e-4, rtol=1e-4)


def test_torch_trains_with_its_own_optimiser_and_loss(torch):
    from sparseprop.torch import SpikingNetwork

    inputs, labels = task(60)
    torch.manual_seed(1)
    module = SpikingNetwork(network(), DURATION, train_delays=True, min_delay=0.2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        t = module(torch.tensor(inputs)).clamp(max=DURATION)
        loss = torch.nn.functional.cross_entropy(-t / 4.0, torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.8 * losses[0]
    module(torch.tensor(inputs))
    assert all((delay >= 0.2).all() for delay in module.delays)
    assert np.array_equal(module.network.projections[0].weight, module.weights[0].detach().numpy())
    again = SpikingNetwork(network(), DURATION, train_delays=True, min_delay=0.2)
    again.load_state_dict(module.state_dict())
    assert torch.equal(again(torch.tensor(inputs)), module(torch.tensor(inputs)))
    with torch.no_grad():
        assert not module(torch.tensor(inputs)).requires_grad


def test_two_batches_can_be_open_at_once_in_torch(torch):
    from sparseprop.torch import SpikingNetwork

    inputs, _ = task()
    module = SpikingNetwork(network(), DURATION)
    both = sum(module(torch.tensor(part)).clamp(max=40.0).sum() for part in (inputs[:15], inputs[15:]))
    both.backward()
    split = module.weights[0].grad.clone()
    # Other weights in between, and a second time: runs are repeated.
    t = module(torch.tensor(inputs)).clamp(max=40.0).sum()
    for _ in range(2):
        with torch.no_grad():
            module.weights[0].mul_(1.25)
            module(torch.tensor(inputs))
            module.weights[0].div_(1.25)
        module.zero_grad()
        t.backward(retain_graph=True)
        torch.testing.assert_close(split, module.weights[0].grad, rtol=1e-11, atol=1e-11)
    module.zero_grad()
    module(torch.tensor(inputs)).clamp(max=40.0).sum().backward()
    torch.testing.assert_close(split, module.weights[0].grad, rtol=1e-11, atol=1e-11)


def test_what_torch_refuses(torch):
    from sparseprop.torch import SpikingNetwork

    inputs, _ = task(2)
    with pytest.raises(ParameterError, match="float64"):
        SpikingNetwork(network(), DURATION)(torch.tensor(inputs, dtype=torch.float32))
    with pytest.raises(ParameterError, match="outputt"):
        SpikingNetwork(network(), DURATION, outputs="outputt")
    with pytest.raises(ParameterError, match="different populations"):
        SpikingNetwork(network(), DURATION, outputs=["output", "output"])
    with pytest.raises(ParameterError, match="V_times must be ascending"):
        SpikingNetwork(network(), DURATION, V_times=[50.0])
    with pytest.raises(ParameterError, match="one delay for each synapse"):
        SpikingNetwork(network(delay=1.0), DURATION, train_delays=True)
    with pytest.raises(ParameterError, match="n_spikes"):
        SpikingNetwork(network(), DURATION, n_spikes=0)
    with pytest.raises(ParameterError, match="net must be a Network"):
        SpikingNetwork(None, DURATION)
    for outputs in (3, []):
        with pytest.raises(ParameterError, match="outputs must be populations"):
            SpikingNetwork(network(), DURATION, outputs=outputs)
    module = SpikingNetwork(network(), DURATION)
    with pytest.raises(ParameterError, match="inputs must be a Tensor"):
        module(None)
    with pytest.raises(ParameterError, match=r"weights and delays must be float64"):
        module.float()(torch.tensor(inputs))


def test_modules_of_torch_can_be_copied(torch):
    from sparseprop.torch import SpikingNetwork

    inputs = torch.tensor(task(2)[0])
    net = network()
    module = SpikingNetwork(net, DURATION, outputs=net.populations[1])
    copied = copy.deepcopy(module)
    before = module(inputs)
    with torch.no_grad():
        module.weights[0] *= 1.5
    assert torch.equal(copied(inputs), before)
    assert not torch.equal(module(inputs), before)


@pytest.mark.parametrize("n_spikes", [1, 2])
@pytest.mark.parametrize("jit", [False, True])
def test_gradients_of_jax_are_ours(jax, n_spikes, jit):
    from sparseprop.jax import parameters, spike_times

    inputs, _ = task()
    times, c, grads = ours(network(), inputs, n_spikes)
    net = network()

    def run(params, inputs):
        return spike_times(net, params, inputs, duration=22.0, n_spikes=n_spikes)

    def loss(params, inputs):
        t = run(params, inputs)
        there = jax.numpy.isfinite(t)
        return (jax.numpy.where(there, t, 0.0) * c.reshape(t.shape)).sum()

    gradient = jax.grad(loss, argnums=(0, 1))
    if jit:
        run, gradient = jax.jit(run), jax.jit(gradient)
    params = parameters(net, delays=True)
    found = np.asarray(run(params, inputs))
    assert np.array_equal(found, times[:, :, 0] if n_spikes == 1 else times)
    by_params, by_inputs = gradient(params, inputs)
    for k in range(2):
        close(by_params["weight"][k], grads.weight[k])
        close(by_params["delay"][k], grads.delay[k])
    close(by_inputs, grads.input_times["input"])
    more = {"weight": [1.1 * w for w in params["weight"]]}
    assert not np.array_equal(np.asarray(run(more, inputs)), found)


def test_jax_takes_other_types_and_several_sources(jax):
    from sparseprop.jax import parameters, spike_times

    net, inputs = network(), task()[0]
    more = net.add(2, sp.SpikeSource([], []), name="more")
    net.connect(more, "hidden", sp.all_to_all(), weight=0.5)
    params = parameters(net)
    given = {"input": inputs, "more": np.full((len(inputs), 2), 3.0)}

    def loss(params, inputs):
        t = spike_times(net, params, inputs, duration=DURATION)
        return jax.numpy.where(jax.numpy.isfinite(t), t, 0.0).sum()

    by_params, by_inputs = jax.grad(loss, argnums=(0, 1))(params, given)
    rounded = jax.tree.map(lambda a: jax.numpy.asarray(a, np.float32), params)
    by_rounded = jax.grad(loss)(rounded, given)
    assert by_rounded["weight"][0].dtype == np.float32
    result = sp.run_batch(net, given, DURATION, tape=True)
    _, where = result.first_spikes("output")
    by_times = np.zeros(result.n_spikes)
    by_times[where[where >= 0]] = 1.0
    # The network has the weights of the last call, the rounded ones.
    grads = result.backward(by_times)
    np.testing.assert_allclose(by_rounded["weight"][0], grads.weight[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(by_inputs["more"], grads.input_times["more"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(by_params["weight"][0], grads.weight[0], rtol=1e-3, atol=1e-3)


def test_what_jax_refuses(jax):
    from sparseprop.jax import parameters, spike_times

    net, (inputs, _) = network(), task(2)
    params = parameters(net)
    with pytest.raises(ParameterError, match="'outputt'"):
        spike_times(net, params, inputs, duration=1.0, population="outputt")
    for wrong in ({"weights": []}, None):
        with pytest.raises(ParameterError, match="params must be a dictionary"):
            spike_times(net, wrong, inputs, duration=1.0)
    with pytest.raises(ParameterError, match="one array for each of"):
        spike_times(net, {"weight": params["weight"][:1]}, inputs, duration=1.0)
    with pytest.raises(ParameterError, match="inputs must be arrays of numbers"):
        spike_times(net, params, "spikes", duration=1.0)
    with pytest.raises(ParameterError, match="net must be a Network"):
        spike_times(None, params, inputs, duration=1.0)
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ParameterError, match="64 bits"):
        spike_times(net, params, inputs, duration=1.0)
