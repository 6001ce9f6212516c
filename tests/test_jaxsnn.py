"""The same spikes and gradients as jaxsnn, which differentiates closed forms, on a dense feed-forward network."""

import numpy as np
import pytest

import sparseprop as sp

REASON = "jaxsnn: pip install jaxsnn"
jax = pytest.importorskip("jax", reason=REASON)
pytest.importorskip("jaxsnn", reason=REASON)

TAU_M, DURATION = 10.0, 30.0
SIZES = (5, 12, 3)


def described(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.5, 12.0, 10))
    ids = rng.permutation(np.repeat(np.arange(SIZES[0]), 2))
    weights = rng.normal(1.5, 1.2, SIZES[:2]), rng.normal(0.9, 0.6, SIZES[1:])
    return times, ids, *weights


def theirs(tau_syn, times, ids, first, second, target):
    """Times and ids of the spikes of both layers, and the gradients of half the squared distance from `target`."""
    import jax.numpy as jnp
    from jaxsnn.event.modules import LIF, LIFParameters, Linear, Source
    from jaxsnn.event.topology import Topology
    from jaxsnn.event.types import Spike

    parameters = LIFParameters(v_reset=0.0, v_th=1.0, tau_syn=tau_syn, tau_mem=TAU_M)
    builder = Topology(t_max=DURATION)
    builder.add(
        {
            "inp": Source(SIZES[0]),
            "hidden": LIF(SIZES[1], 120, parameters),
            "out": LIF(SIZES[2], 200, parameters),
            "first": Linear(min_delay=0.0),
            "second": Linear(min_delay=0.0),
        }
    )
    builder.connect([("inp", "first"), ("first", "hidden"), ("hidden", "second"), ("second", "out")])
    init, apply = builder.done()
    weights = dict(init(jax.random.PRNGKey(0)))
    given = {"first": jnp.asarray(first), "second": jnp.asarray(second)}
    assert {name: w.shape for name, w in weights.items() if w is not None} == {n: w.shape for n, w in given.items()}
    weights |= given

    def run(weights, times):
        inputs = Spike(
            time=times[None],
            idx=jnp.asarray(ids)[None],
            current=jnp.zeros((1, len(times))),
            layer_idx=jnp.zeros((1, len(times)), dtype=int),
            internal=jnp.ones((1, len(times)), dtype=bool),
        )
        return apply({"inp": inputs}, weights)

    def fired(events):
        """Spikes of a layer itself; its record has the inputs that it received too."""
        own = events.internal[0] & (events.idx[0] >= 0) & (events.time[0] < DURATION)
        return np.flatnonzero(np.asarray(own))

    events = run(weights, jnp.asarray(times))
    own = {name: fired(events[name]) for name in ("hidden", "out")}

    def loss(weights, times):
        spikes = run(weights, times)["out"].time[0][own["out"]]
        return 0.5 * jnp.sum((spikes - target(len(own["out"]))) ** 2)

    by_weight, by_time = jax.grad(loss, argnums=(0, 1))(weights, jnp.asarray(times))
    spikes = {n: (np.asarray(events[n].time[0])[k], np.asarray(events[n].idx[0])[k]) for n, k in own.items()}
    return spikes, by_weight["first"], by_weight["second"], by_time


def ours(tau_syn, times, ids, first, second, target):
    net = sp.Network(seed=1)
    model = sp.LIFExp(tau_m=TAU_M, tau_syn=tau_syn)
    inp = net.add(SIZES[0], sp.SpikeSource(times, ids), name="inp")
    hidden, out = net.add(SIZES[1], model, name="hidden"), net.add(SIZES[2], model, name="out")
    net.connect(inp, hidden, sp.all_to_all(), weight=first.ravel())
    net.connect(hidden, out, sp.all_to_all(), weight=second.ravel())
    res = net.run(DURATION, progress=False, tape=True)
    spikes = {}
    for p in (hidden, out):
        mine = (res.ids >= p.first) & (res.ids < p.first + p.n)
        spikes[p.name] = res.times[mine], res.ids[mine] - p.first
    dL = np.zeros(res.n_spikes)
    dL[mine] = res.times[mine] - target(mine.sum())
    grads = res.backward(dL)
    return spikes, grads.weight[0].reshape(SIZES[:2]), grads.weight[1].reshape(SIZES[1:]), grads.input_times["inp"]


@pytest.mark.parametrize("seed", range(5))
def test_spikes_and_gradients_are_those_of_jaxsnn(seed):
    """In 64 bits, with the time constants for which it solves a quadratic equation: tau_m = 2 tau_syn."""
    tau_syn = 5.0

    def target(n):
        return np.linspace(5.0, 25.0, n)

    with jax.enable_x64(True):
        expected, *their_gradients = theirs(tau_syn, *described(seed), target)
    found, *gradients = ours(tau_syn, *described(seed), target)
    for layer, (times, ids) in found.items():
        assert ids.tolist() == expected[layer][1].tolist()
        assert np.abs(times - expected[layer][0]).max() < 1e-12 * DURATION
    assert len(found["out"][0]) >= 3
    for mine, other in zip(gradients, their_gradients, strict=True):
        other = np.asarray(other)
        assert np.abs(mine - other).max() <= 1e-12 * np.abs(other).max()
