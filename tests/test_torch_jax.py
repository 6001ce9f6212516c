"""PyTorch and JAX: the same gradients as ours, and any optimiser or loss of theirs."""

import copy
import multiprocessing

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
    for dtype in (torch.int64, float, "float32"):
        with pytest.raises(ParameterError, match="dtype must be torch.float64"):
            SpikingNetwork(network(), DURATION, dtype=dtype)
    with pytest.raises(TypeError, match="n_spike.*did you mean 'n_spikes'"):
        SpikingNetwork(network(), DURATION, n_spike=1)
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
    for wrong in (None, 3, torch.zeros(3, 4), torch.zeros(5), [[1.0]], [(1.0, 2.0)], {"input": None}):
        with pytest.raises(ParameterError, match="inputs of 'input'.* must be") as caught:
            module(wrong)
        assert len(str(caught.value)) < 400
    with pytest.raises(ParameterError, match="'inputt'"):
        module({"inputt": torch.tensor(inputs)})
    for wrong in (torch.zeros(2, 5, dtype=torch.bool), torch.zeros(2, 5, dtype=torch.complex64)):
        with pytest.raises(ParameterError, match="real numbers"):
            module(wrong)
    for wrong in (torch.zeros(2, 5, 20), torch.randint(0, 2, (2, 5, 20)), torch.randint(0, 2, (2, 5, 20)).bool()):
        with pytest.raises(ParameterError, match=r"raster.*training.spikes_from_raster\("):
            module(wrong)
    with pytest.raises(ParameterError, match=r"dense Tensor \(tensor.to_dense\(\)\), got torch.sparse"):
        module(torch.ones(2, 5).to_sparse())
    with pytest.raises(ParameterError, match="Tensors of one shape"):
        module([torch.zeros(5), torch.zeros(4)])
    with pytest.raises(ParameterError, match="pairs .* take no part in autograd"):
        module([(torch.zeros(1, requires_grad=True), torch.tensor([0]))])
    with pytest.raises(ParameterError, match="got nan"):
        module(torch.full((2, 5), float("nan")))
    with pytest.raises(ParameterError, match="must be on the CPU, got a Tensor on meta"):
        module(torch.zeros(2, 5, device="meta"))


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


def test_types_of_torch_are_those_of_the_module(torch):
    """Computed in float64 with the values of the Parameters, whatever comes in."""
    from sparseprop.torch import SpikingNetwork

    inputs = torch.tensor(task()[0], dtype=torch.float32)
    single = SpikingNetwork(network(), 22.0, V_times=[10.0], dtype=torch.float32, train_delays=True)
    assert all(p.dtype == torch.float32 for p in single.parameters())
    given = inputs.clone().requires_grad_()
    times, V = single(given)
    assert times.dtype == V.dtype == torch.float32
    double = copy.deepcopy(single).double()
    exact, exact_V = double(inputs.double())
    assert exact.dtype == torch.float64
    assert torch.equal(times, exact.float()) and torch.equal(V, exact_V.float())
    for t in (times, exact):
        t[torch.isfinite(t)].sum().backward()
    assert given.grad.dtype == torch.float32
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert a.grad.dtype == torch.float32 and torch.equal(a.grad, b.grad.float()) and b.grad.abs().max() > 0.0
    assert double.float()(inputs)[0].dtype == torch.float32
    assert torch.equal(SpikingNetwork(network(), 22.0)(torch.zeros(2, 5, dtype=torch.int64)),
                       SpikingNetwork(network(), 22.0)(torch.zeros(2, 5, dtype=torch.float64)))  # fmt: skip


def test_layers_of_torch_fit_before_and_behind(torch):
    from sparseprop.torch import SpikingNetwork

    torch.manual_seed(1)
    network_ = SpikingNetwork(network(), DURATION, dtype=torch.float32)
    encoder, readout = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Softplus()), torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam([*encoder.parameters(), *network_.parameters(), *readout.parameters()], lr=0.02)
    values, labels = training.yin_yang(40, 3)
    data = torch.utils.data.TensorDataset(torch.tensor(values, dtype=torch.float32), torch.tensor(labels))
    losses = []
    for _ in range(12):
        for x, y in torch.utils.data.DataLoader(data, batch_size=20):
            t = network_(10.0 * encoder(x)).clamp(max=DURATION)
            loss = torch.nn.functional.cross_entropy(readout(t / 10.0), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_torch_takes_what_batches_take(torch):
    from sparseprop.torch import SpikingNetwork

    times = task(6)[0]
    times[0, :3] = np.inf
    module = SpikingNetwork(network(), DURATION)
    wanted = module(torch.tensor(times))
    pairs = [(row[np.isfinite(row)], np.flatnonzero(np.isfinite(row))) for row in times]
    forms = [
        times, times.tolist(), list(torch.tensor(times)), pairs, tuple(pairs),
        [(torch.tensor(t), torch.tensor(i)) for t, i in pairs],
        {"input": times}, {"input": pairs}, torch.tensor(times)[:, :, None],
        np.stack([np.full((6, 5), np.inf), times], axis=2),
    ]  # fmt: skip
    for given in forms:
        assert torch.equal(module(given), wanted)
    raster = np.random.default_rng(1).random((6, 5, 40)) < 0.05
    from_raster = module(torch.tensor(training.spikes_from_raster(torch.tensor(raster), 0.5)))
    assert np.array_equal(from_raster.detach().numpy(), sp.run_batch(
        network(), training.spikes_from_raster(raster, 0.5), DURATION).first_spikes("output")[0])  # fmt: skip


def test_torch_takes_sources_by_name_in_any_order(torch):
    from sparseprop.torch import SpikingNetwork

    net, inputs = network(), torch.tensor(task(4)[0])
    more = net.add(2, sp.SpikeSource([], []), name="more")
    net.connect(more, "hidden", sp.all_to_all(), weight=0.5)
    module = SpikingNetwork(net, DURATION)
    others = torch.full((4, 2), 3.0, dtype=torch.float64, requires_grad=True)
    a = module({"input": inputs, "more": others})
    b = module({"more": others, "input": inputs})
    assert torch.equal(a, b)
    grads = [torch.autograd.grad(t.clamp(max=40.0).sum(), others)[0] for t in (a, b)]
    assert torch.equal(*grads) and grads[0].abs().max() > 0.0
    with pytest.raises(ParameterError, match="same number of samples for all sources, got {'input': 4, 'more': 3}"):
        module({"input": inputs, "more": others[:3]})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"n_spikes": 2, "V_times": [10.0, 30.0], "train_delays": True}])
def test_torch_compile_takes_the_whole_graph(torch, options):
    from sparseprop.torch import SpikingNetwork

    inputs = torch.tensor(task(10)[0])
    module = SpikingNetwork(network(), DURATION, **options)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")

    def outcome(f):
        t = inputs.clone().requires_grad_()
        out = f(t)
        total = sum(torch.nan_to_num(o, posinf=0.0).sum() for o in (out if isinstance(out, tuple) else [out]))
        module.zero_grad()
        total.backward()
        return [total.detach(), t.grad, *(p.grad.clone() for p in module.parameters())]

    for _ in range(2):
        eager, other = outcome(module), outcome(compiled)
        assert len(eager) == 2 + len(list(module.parameters()))
        assert all(torch.equal(a, b) for a, b in zip(eager, other, strict=True))
        with torch.no_grad():
            for p in module.parameters():
                p.mul_(1.1)
    for n in range(1, 11):  # one graph for all of them: ten would be too many
        first = [out[0] if isinstance(out, tuple) else out for out in (compiled(inputs[:n]), module(inputs[:n]))]
        assert torch.equal(*first)
    copied = copy.deepcopy(module)
    with torch.no_grad():
        copied.weights[0].mul_(1.5)
    again = torch.compile(copied, fullgraph=True, backend="aot_eager")(inputs)
    for a, b in zip(*(out if isinstance(out, tuple) else (out,) for out in (again, copied(inputs))), strict=True):
        assert torch.equal(a, b)


def test_torch_func_takes_modules(torch):
    from sparseprop.torch import SpikingNetwork

    func, inputs = torch.func, torch.tensor(task(6)[0])
    module = SpikingNetwork(network(), DURATION, V_times=[20.0])
    params = {name: p.detach() for name, p in module.named_parameters()}

    def totals(params, shift=0.0):
        times, V = func.functional_call(module, params, (inputs + shift,))
        return times.clamp(max=40.0).sum(dim=0) + V.sum(dim=(0, 1))

    out = totals(dict(module.named_parameters()))
    wanted = [torch.autograd.grad(o, list(module.parameters()), retain_graph=True) for o in out]
    jacobian = func.jacrev(totals)(params)
    for k, name in enumerate(params):
        close(jacobian[name].numpy(), np.stack([g[k].numpy() for g in wanted]))
    by_sum = func.grad(lambda p: totals(p).sum())(params)
    for k, name in enumerate(params):
        close(by_sum[name].numpy(), sum(g[k] for g in wanted).numpy())
    shifts = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    assert torch.equal(func.vmap(lambda s: totals(params, s))(shifts), torch.stack([totals(params, s) for s in shifts]))
    slopes = func.vmap(func.grad(lambda s: totals(params, s).sum()))(shifts)
    close(slopes.numpy(), np.array([func.grad(lambda s: totals(params, s).sum())(s).item() for s in shifts]))
    stacked = {name: torch.stack([p, 1.1 * p]) for name, p in params.items()}
    both = func.vmap(func.grad(lambda p: totals(p).sum()))(stacked)
    close(both["weights.1"][0].numpy(), by_sum["weights.1"].numpy())
    assert not torch.equal(both["weights.1"][0], both["weights.1"][1])
    with pytest.raises(NotImplementedError, match="no derivatives of derivatives"):
        func.grad(lambda s: func.grad(lambda s: totals(params, s).sum())(s))(shifts[1])


def test_gradients_that_overflow_are_told_by_torch_and_jax(torch, jax):
    from sparseprop.jax import parameters, spike_times
    from sparseprop.torch import SpikingNetwork

    inputs = task(6)[0]
    with pytest.warns(sp.errors.GradientOverflowWarning, match="sample"):
        (1.7e308 * SpikingNetwork(network(), DURATION)(inputs).clamp(max=40.0)).sum().backward()
    net = network()
    with pytest.warns(sp.errors.GradientOverflowWarning, match="sample"):
        jax.grad(lambda p: (1.7e308 * jax.numpy.clip(spike_times(net, p, inputs, duration=DURATION), 0.0, 40.0)).sum())(
            parameters(net)
        )


class Times:
    """A data set of torch whose samples are made by a network, in the processes of a DataLoader."""

    def __init__(self, module, inputs):
        self.module, self.inputs = module, inputs

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, k):
        return self.module(self.inputs[[k] * 20]).detach()[0]


# Python 3.12 and JAX warn of forks of processes with threads.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:os.fork:RuntimeWarning")
def test_workers_of_a_torch_data_loader_go_on(torch):
    from sparseprop.torch import SpikingNetwork

    inputs = torch.tensor(task(8)[0])
    module = SpikingNetwork(network(), DURATION, n_threads=2)
    wanted = module(torch.cat([inputs, inputs, inputs])).detach()[:8]
    assert module.simulation._pool is not None
    context = multiprocessing.get_context("fork")
    loader = torch.utils.data.DataLoader(
        Times(module, inputs), batch_size=4, num_workers=1, multiprocessing_context=context, timeout=60
    )
    assert torch.equal(torch.cat(list(loader)), wanted)


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


def test_jax_takes_vmap_and_jacrev(jax):
    from sparseprop.jax import parameters, spike_times

    net, inputs = network(), task(6)[0]
    params = parameters(net, delays=True)

    def totals(params, shift=0.0):
        return jax.numpy.clip(spike_times(net, params, inputs + shift, duration=DURATION), 0.0, 40.0).sum(axis=0)

    shifts = np.array([0.0, 0.5, 2.0])
    wanted = np.stack([totals(params, s) for s in shifts])
    for wrapped in (lambda f: f, jax.jit):
        close(wrapped(jax.vmap(lambda s: totals(params, s)))(shifts), wanted)
    more = jax.tree.map(lambda a: jax.numpy.stack([a, 1.1 * a]), params)
    close(jax.vmap(totals)(more), np.stack([totals(params), totals(jax.tree.map(lambda a: 1.1 * a, params))]))
    jacobian, one = jax.jit(jax.jacrev(totals))(params), jax.jit(jax.grad(lambda p, k: totals(p)[k]))
    for k in range(3):
        for a, b in zip(jax.tree.leaves(jacobian), jax.tree.leaves(one(params, k)), strict=True):
            close(a[k], np.asarray(b))
    slope = jax.grad(lambda s: totals(params, s).sum())
    close(jax.jit(jax.vmap(slope))(shifts), np.array([slope(s) for s in shifts]))


def test_jax_takes_what_batches_take(jax):
    from sparseprop.jax import parameters, spike_times

    net, times = network(), task(6)[0]
    times[0, :3] = np.inf
    params = parameters(net)
    wanted = np.asarray(spike_times(net, params, times, duration=DURATION))
    pairs = [(row[np.isfinite(row)], np.flatnonzero(np.isfinite(row))) for row in times]
    for given in (
        times.tolist(),
        pairs,
        {"input": times.tolist()},
        {"input": pairs},
        list(times),
        jax.numpy.asarray(times),
    ):
        assert np.array_equal(np.asarray(spike_times(net, params, given, duration=DURATION)), wanted)
    rows = jax.jit(lambda *rows: spike_times(net, params, list(rows), duration=DURATION))(*times)
    assert np.array_equal(np.asarray(rows), wanted)


def test_what_jax_refuses(jax):
    from sparseprop.jax import parameters, spike_times

    net, (inputs, _) = network(), task(2)
    params = parameters(net)
    with pytest.raises(ParameterError, match="'outputt'"):
        spike_times(net, params, inputs, duration=1.0, population="outputt")
    with pytest.raises(TypeError, match="n_spike.*did you mean 'n_spikes'"):
        spike_times(net, params, inputs, duration=1.0, n_spike=1)
    for wrong in ({"weights": []}, None):
        with pytest.raises(ParameterError, match="params must be a dictionary"):
            spike_times(net, wrong, inputs, duration=1.0)
    with pytest.raises(ParameterError, match="one array for each of"):
        spike_times(net, {"weight": params["weight"][:1]}, inputs, duration=1.0)
    for wrong in ("spikes", None, [[1.0]], np.zeros((2, 4)), [(1.0, 2.0)], [["1"] * 5], np.full((2, 5), np.nan)):
        with pytest.raises(ParameterError, match="inputs of 'input'.* must be"):
            spike_times(net, params, wrong, duration=1.0)
    with pytest.raises(ParameterError, match=r"raster.*training.spikes_from_raster\("):
        spike_times(net, params, np.zeros((2, 5, 20)), duration=1.0)
    with pytest.raises(ParameterError, match="'inputt'"):
        spike_times(net, params, {"inputt": inputs}, duration=1.0)
    for wrong in (np.zeros((2, 4)), np.zeros((2, 5), bool)):  # shapes and types are known in jit, too
        with pytest.raises(ParameterError, match="inputs of 'input' must be"):
            jax.jit(lambda t: spike_times(net, params, t, duration=1.0))(wrong)
    with pytest.raises(ParameterError, match=r"pairs \(times, ids\) are for values that are known"):
        jax.jit(lambda t: spike_times(net, params, [(t, np.array([0]))], duration=1.0))(np.array([1.0]))
    for wrong in ({"weight": 3}, {"weight": None}):
        with pytest.raises(ParameterError, match="must be a list of arrays"):
            spike_times(net, wrong, inputs, duration=1.0)
    with pytest.raises(ParameterError, match=r"params\['weight'\]\[0\] must be .* got nan"):
        spike_times(net, {"weight": [np.nan * w for w in params["weight"]]}, inputs, duration=1.0)
    with pytest.raises(ParameterError, match="n_threads"):
        spike_times(net, params, inputs, duration=1.0, n_threads=[1])
    with pytest.raises(ParameterError, match="net must be a Network"):
        parameters(None)
    alone = sp.Network(seed=1)
    alone.add(1, sp.SpikeSource([], []))
    with pytest.raises(ParameterError, match="population of neurons"):
        spike_times(alone, {"weight": []}, inputs, duration=1.0)
    with pytest.raises(ParameterError, match="net must be a Network"):
        spike_times(None, params, inputs, duration=1.0)
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ParameterError, match="64 bits"):
        spike_times(net, params, inputs, duration=1.0)


def ragged():
    """Samples with 0 to 6 spikes, as pairs and as SpikeData."""
    rng = np.random.default_rng(4)
    pairs = [(np.sort(rng.uniform(0.0, 25.0, n)), rng.integers(0, 5, n)) for n in (3, 0, 6, 5, 6)]
    times, ids = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return pairs, training.SpikeData(times, ids, np.cumsum([0, *(len(pair[0]) for pair in pairs)]), n=5)


def test_torch_takes_ragged_data(torch):
    from sparseprop.torch import SpikingNetwork

    pairs, data = ragged()
    one, two = (SpikingNetwork(network(), DURATION)(given) for given in (pairs, data))
    assert torch.isfinite(one).any() and torch.equal(one, two)


def test_jax_takes_ragged_data(jax):
    import sparseprop.jax

    pairs, data = ragged()
    params = sparseprop.jax.parameters(network())
    one, two = (sparseprop.jax.spike_times(network(), params, given, duration=DURATION) for given in (pairs, data))
    assert np.isfinite(one).any() and np.array_equal(one, two)


# Optimisers in a Trainer ----------------------------------------------------------------------------------------------


def trained(optimizer, epochs, path=None, resume=None, **options):
    """A trainer of weights and delays, after some epochs."""
    inputs, labels = task(48)
    options = {"batch_size": 16, "train_delays": True, "min_delay": 0.1, "n_threads": 1} | options
    trainer = training.Trainer(
        network(), training.FirstSpikeCrossEntropy(), duration=DURATION, optimizer=optimizer, **options
    )
    if resume is not None:
        trainer.resume(resume)
    trainer.fit(inputs, labels, epochs, checkpoint=path)
    return trainer


def parameters_of(trainer):
    return [array for p in trainer.network.projections for array in (p.weight, p.delay)]


def test_optimisers_of_torch_train_as_by_hand(torch):
    """Steps of a Trainer are those of torch on the Parameters of a module, by the same gradients."""
    from sparseprop.torch import Optimizer

    net, (inputs, labels) = network(), task(48)
    trainer = training.Trainer(net, training.FirstSpikeCrossEntropy(), duration=DURATION, n_threads=1, batch_size=48,
                               optimizer=Optimizer(torch.optim.NAdam, lr=0.02))  # fmt: skip
    mine = [torch.nn.Parameter(torch.tensor(p.weight)) for p in network().projections]
    theirs = torch.optim.NAdam(mine, lr=0.02)
    for _ in range(4):
        trainer.step(inputs, labels)
        for parameter, k in zip(mine, (0, 1), strict=True):
            parameter.grad = torch.tensor(trainer._latest[1]["weight", k])
        theirs.step()
        for parameter, p in zip(mine, net.projections, strict=True):
            assert np.array_equal(parameter.detach().numpy(), p.weight)


def test_our_adam_is_that_of_torch(torch):
    from sparseprop.torch import Optimizer

    ours, theirs = (
        parameters_of(trained(optimizer, 3))
        for optimizer in (training.Adam(lr=0.01, clip=None), Optimizer(torch.optim.Adam, lr=0.01))
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert not np.allclose(ours[0], network().projections[0].weight)


def test_our_adam_is_that_of_optax(jax):
    optax = pytest.importorskip("optax", reason="optax is not installed (pip install optax)")
    from sparseprop.jax import Optimizer

    ours, theirs = (
        parameters_of(trained(optimizer, 3))
        for optimizer in (training.Adam(lr=0.01, clip=None), Optimizer(optax.adam(0.01)))
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_step_of_torch_leaves_earlier_weights_as_they_were(torch):
    from sparseprop.torch import Optimizer

    optimizer = Optimizer(torch.optim.SGD, lr=0.5)
    values = np.array([1.0, 2.0])
    values.flags.writeable = False
    first = optimizer.update("w", values, np.array([1.0, -2.0]))
    second = optimizer.update("w", first, np.array([2.0, 0.0]), scale=0.5)
    assert values.tolist() == [1.0, 2.0] and first.tolist() == [0.5, 3.0] and second.tolist() == [0.0, 3.0]


def test_schedules_and_bounds_hold_for_optimisers_of_torch(torch):
    from sparseprop.torch import Optimizer

    schedule = training.StepDecay(0.1, 1, factor=0.5)
    trainer = trained(Optimizer(torch.optim.SGD, lr=schedule, momentum=0.5), 3, min_weight=-20.0, max_weight=20.0)
    assert trainer.history["lr"].tolist() == [0.1, 0.05, 0.025]
    plain = Optimizer(torch.optim.SGD, lr=schedule)
    assert plain.update("w", np.zeros(1), np.ones(1), epoch=2, scale=2.0)[0] == pytest.approx(-0.05)
    assert Optimizer(torch.optim.Adam).rate(0) == 1e-3  # torch's default


@pytest.mark.parametrize("kind", ["NAdam", "SGD", "RMSprop", "Adagrad"])
def test_a_training_with_an_optimiser_of_torch_goes_on_bit_for_bit(torch, tmp_path, kind):
    from sparseprop.errors import CheckpointMismatchError
    from sparseprop.torch import Optimizer

    def optimizer(lr=0.01):
        more = {"momentum": 0.9} if kind in ("SGD", "RMSprop") else {}
        return Optimizer(getattr(torch.optim, kind), lr=lr, **more)

    path = tmp_path / "state.h5"
    whole = trained(optimizer(), 4)
    trained(optimizer(), 2, path)
    resumed = trained(optimizer(), 4, path, resume=path)
    assert all(np.array_equal(a, b) for a, b in zip(parameters_of(whole), parameters_of(resumed), strict=True))
    again = trained(optimizer(), 4, resume=path)  # a file that was written by a resumed training
    assert all(np.array_equal(a, b) for a, b in zip(parameters_of(whole), parameters_of(again), strict=True))
    with pytest.raises(CheckpointMismatchError, match="lr of the optimizer"):
        trained(optimizer(0.02), 4, resume=path)
    with pytest.raises(CheckpointMismatchError, match="optimizer"):
        trained(training.Adam(), 4, resume=path)


def test_a_training_with_optax_goes_on_bit_for_bit(jax, tmp_path):
    optax = pytest.importorskip("optax", reason="optax is not installed (pip install optax)")
    from sparseprop.errors import CheckpointMismatchError
    from sparseprop.jax import Optimizer

    def optimizer():
        return Optimizer(optax.chain(optax.clip(1.0), optax.adamw(optax.cosine_decay_schedule(0.02, 20))))

    path = tmp_path / "state.h5"
    whole = trained(optimizer(), 4)
    trained(optimizer(), 2, path)
    resumed = trained(optimizer(), 4, resume=path)
    assert all(np.array_equal(a, b) for a, b in zip(parameters_of(whole), parameters_of(resumed), strict=True))
    assert np.isnan(resumed.history["lr"]).all()
    with pytest.raises(CheckpointMismatchError, match="state of the optimizer"):
        trained(Optimizer(optax.sgd(0.02)), 4, resume=path)


def test_optax_trains_what_is_a_function_of_spike_times(jax):
    """As any function of JAX: parameters, gradients, updates."""
    optax = pytest.importorskip("optax", reason="optax is not installed (pip install optax)")
    import sparseprop.jax

    inputs, labels = task(48)
    net = training.layered_network([5, 20, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0, I_e=1.1), seed=2)

    def loss(params):
        times = sparseprop.jax.spike_times(net, params, inputs, duration=60.0)
        return optax.losses.softmax_cross_entropy_with_integer_labels(-times / 2.0, labels).mean()

    params = sparseprop.jax.parameters(net)
    optimizer = optax.adam(0.05)
    state, losses = optimizer.init(params), []
    for _ in range(40):
        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(value))
    assert losses[-1] < 0.7 * losses[0]


def test_what_is_no_optimiser_is_refused(torch, jax):
    import sparseprop.jax
    import sparseprop.torch

    for kind in (torch.nn.Linear, "SGD", torch.optim.SGD([torch.zeros(1)], lr=1.0)):
        with pytest.raises(ParameterError, match="kind must be a class of torch.optim"):
            sparseprop.torch.Optimizer(kind)
    with pytest.raises(ParameterError, match="settings of torch.optim.SGD: "):
        sparseprop.torch.Optimizer(torch.optim.SGD, learning_rate=0.1)
    with pytest.raises(ParameterError, match="settings of torch.optim.SGD: Invalid learning rate"):
        sparseprop.torch.Optimizer(torch.optim.SGD, lr=-0.1)
    with pytest.raises(ParameterError, match="transformation must be one of optax"):
        sparseprop.jax.Optimizer(0.1)
