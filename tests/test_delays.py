"""Delays: when spikes arrive, and in which order what arrives together is added."""

import math

import numpy as np
import pytest

import sparseprop as sp

ENGINES = ["window", "heap", "lookahead", "reference"]
SILENT = sp.LIF(tau_m=10.0)  # fires only when kicked


@pytest.mark.parametrize("engine", ENGINES)
def test_a_chain_fires_after_the_sum_of_its_delays(engine):
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([0.5], [0]))
    chain = net.add(4, SILENT)
    net.connect(source, chain, sp.edges([0], [0]), weight=2.0, delay=0.25)
    net.connect(chain, chain, sp.edges([0, 1, 2], [1, 2, 3]), weight=2.0, delay=[1.0, 2.5, 0.125])
    res = net.run(10.0, engine=engine)
    assert res.times.tolist() == [0.75, 1.75, 4.25, 4.375]
    assert res.ids.tolist() == [1, 2, 3, 4]
    assert res.n_synaptic_events == 4


@pytest.mark.parametrize("engine", ENGINES)
def test_what_arrives_together_is_one_kick(engine):
    """Two halves over different delays and projections arrive in one instant and fire together; apart they do not."""
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([1.0, 2.0], [0, 1]))
    target = net.add(1, SILENT)
    net.connect(source, target, sp.edges([0], [0]), weight=0.75, delay=3.0)
    net.connect(source, target, sp.edges([1], [0]), weight=0.75, delay=2.0)
    net.connect(source, target, sp.edges([1], [0]), weight=-0.5, delay=2.0)
    assert net.run(10.0, engine=engine).times.tolist() == [4.0]
    net.connect(source, target, sp.edges([1], [0]), weight=-0.125, delay=2.0)
    assert net.run(10.0, engine=engine).n_spikes == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_are_in_the_order_of_source_projection_and_place(engine):
    """(a + b) + c and a + (b + c) differ in floating point: the order does not depend on when spikes were sent."""
    weights = [1e16, 1.0, -1e16]  # 1e16 + 1 is 1e16
    net = sp.Network(seed=1)
    source = net.add(3, sp.SpikeSource([3.0, 1.0, 2.0], [0, 1, 2]))
    target = net.add(1, SILENT, V=0.0)
    net.connect(source, target, sp.edges([0, 1, 2], [0, 0, 0]), weight=weights, delay=[1.0, 3.0, 2.0])
    sim = sp.Simulation(net, engine=engine)
    sim.run(4.5)
    assert sim.V[3] == 0.0  # in the order of time of emission it would be about 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("times", "delay"),
    [
        ([1.0, 1.0], 0.0),
        ([1.0, 1.0], 1.5),
        ([1.0, 1.0], [0.5, 0.5, 0.5]),
        ([1.0, math.nextafter(1.0, 2.0)], 4096.0),  # the delay takes away what distinguishes the two
    ],
    ids=["undelayed", "one delay", "a delay each", "sent at two times"],
)
def test_spikes_of_one_source_that_arrive_together_are_added_place_by_place(engine, times, delay):
    """w0 + w0 + w1 + w1 + w2 + w2, not w0 + w1 + w2 + w0 + w1 + w2: next to threshold, a spike more or less."""
    w = [0.008, 0.407, 0.085]
    by_place, by_row = sum([w[0], w[0], w[1], w[1], w[2], w[2]]), sum(w + w)
    assert by_place < 1.0 <= by_row
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource(times, [0, 0]))
    target = net.add(1, SILENT, V=0.0)
    net.connect(source, target, sp.edges([0, 0, 0], [0, 0, 0]), weight=w, delay=delay, allow_multapses=True)
    sim = sp.Simulation(net, engine=engine)
    assert sim.run(1.25 + np.max(delay)).n_spikes == 0
    assert sim.V[1] == pytest.approx(by_place * math.exp(-0.025), rel=1e-14)
    batch = sp.run_batch(net, [(times, [0, 0])], duration=1.25 + np.max(delay))
    assert batch.n_spikes == 0 and batch.n_synaptic_events == 6


def test_gradients_of_spikes_of_one_source_that_arrive_together():
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([1.0, 1.0, 1.0, 4.0, 4.0], [0, 0, 1, 1, 1]))
    target = net.add(2, sp.LIF(tau_m=10.0, I_e=[1.5, 1.2]), V=[0.0, 0.2])
    rule = sp.edges([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])
    for delay in (0.0, 1.5, [0.5, 0.5, 1.0, 0.25, 0.25]):
        net.connect(source, target, rule, weight=[0.1, -0.07, 0.03, 0.05, -0.02], delay=delay, allow_multapses=True)
    report = sp.check_gradients(net, n_spikes=5, parameters=["weight", "V", "I_e"])
    assert report.passed, str(report)


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine != "lookahead"])  # it refuses them
def test_a_delay_below_the_resolution_of_time_is_none(engine):
    net = sp.Network(seed=1)
    pulse = net.add(2, SILENT)
    source = net.add(1, sp.SpikeSource([5.0], [0]))
    net.connect(source, pulse, sp.edges([0], [0]), weight=2.0)
    net.connect(pulse, pulse, sp.edges([0], [1]), weight=2.0, delay=1e-20)
    assert net.run(10.0, engine=engine).times.tolist() == [5.0, 5.0]


def test_one_delay_per_projection_and_per_synapse_give_the_same_spikes():
    def net(delay):
        net = sp.Network(seed=3)
        p = net.add(200, sp.LIF(tau_m=10.0, I_e=1.5))
        q = net.connect(p, p, sp.fixed_outdegree(20), weight=-0.05, delay=1.5)
        if delay == "each":
            net.projections.clear()
            net.connect(p, p, sp.fixed_outdegree(20), weight=-0.05, delay=np.full(q.n_synapses, 1.5))
        elif delay == "nearly":  # one of another value makes every row a row of its own delays
            net.projections.clear()
            delays = np.full(q.n_synapses, 1.5)
            delays[-1] = math.nextafter(1.5, 2.0)
            net.connect(p, p, sp.fixed_outdegree(20), weight=-0.05, delay=delays)
        return net

    one, each, nearly = (net(kind).run(100.0) for kind in ("one", "each", "nearly"))
    assert one.n_spikes > 800
    assert np.array_equal(one.times, each.times) and np.array_equal(one.ids, each.ids)
    first = np.flatnonzero(one.times[: nearly.n_spikes] != nearly.times[: one.n_spikes])
    assert first.size == 0 or first[0] > 100


def test_a_short_delay_tends_to_none():
    def net(delay):
        net = sp.Network(seed=5)
        p = net.add(300, sp.LIF(tau_m=10.0, I_e=1.5))
        net.connect(p, p, sp.fixed_outdegree(10), weight=-0.05, delay=delay)
        return net.run(30.0)

    none, short = net(0.0), net(1e-9)
    assert none.n_spikes == short.n_spikes > 500
    assert np.abs(none.times - short.times).max() < 1e-6


@pytest.mark.parametrize("rule", [sp.fixed_indegree(5), sp.pairwise_bernoulli(0.2)])
def test_distributions_of_weights_and_delays(rule):
    net = sp.Network(seed=1)
    p = net.add(100, SILENT)
    q = net.connect(p, p, rule, weight=sp.normal(1.0, 0.5, low=0.0), delay=sp.uniform(1.0, 3.0))
    assert q.weight.shape == q.delay.shape == (q.n_synapses,)
    assert q.weight.min() >= 0.0 and q.delay.min() >= 1.0 and q.delay.max() < 3.0
    n = q.n_synapses
    # Mean of a normal distribution cut off at 2 standard deviations below: 1 + 0.5 pdf(2) / cdf(2).
    assert abs(q.weight.mean() - 1.02762) < 5 * 0.5 / math.sqrt(n)
    assert abs(q.delay.mean() - 2.0) < 5 * 2.0 / math.sqrt(12 * n)
    again = sp.Network.from_dict(net.to_dict()).projections[0]
    assert net.to_dict()["projections"][0]["weight"] == {
        "distribution": "normal", "mean": 1.0, "std": 0.5, "low": 0.0, "high": math.inf,
    }  # fmt: skip
    assert np.array_equal(again.weight, q.weight) and np.array_equal(again.delay, q.delay)
    q.weight = 2.0
    assert net.to_dict()["projections"][0]["weight"] == 2.0


def test_draws_of_a_source_depend_on_it_alone():
    def projection(n):
        net = sp.Network(seed=1)
        p, q = net.add(n, SILENT), net.add(50, SILENT)
        return net.connect(p, q, sp.fixed_outdegree(10), weight=sp.normal(0.0, 1.0), delay=sp.uniform(0.0, 1.0))

    small, large = projection(5), projection(20)
    assert np.array_equal(small.weight, large.weight[:50]) and np.array_equal(small.delay, large.delay[:50])
    assert not np.array_equal(small.weight[:10], small.weight[10:20])
    assert abs(np.corrcoef(large.weight, large.delay)[0, 1]) < 0.3


def test_normal_numbers_are_normal():
    scipy_stats = pytest.importorskip("scipy.stats", reason="scipy")
    net = sp.Network(seed=2)
    p = net.add(200, SILENT)
    weight = net.connect(p, p, sp.fixed_outdegree(100), weight=sp.normal(0.0, 1.0)).weight
    assert scipy_stats.kstest(weight, "norm").pvalue > 0.001


def test_delays_of_matrices():
    W = np.array([[0.0, 1.0], [2.0, 0.0]])
    D = np.array([[9.0, 3.0], [4.0, 9.0]])
    net = sp.Network(seed=1)
    p, q = net.add(2, SILENT), net.add(2, SILENT)
    assert net.connect(p, q, W, delay=D).delay.tolist() == [4.0, 3.0]
    sparse = pytest.importorskip("scipy.sparse", reason="scipy")
    entries = ([1.0, 2.0, 3.0], ([1, 0, 1], [1, 0, 0]))
    W, D = sparse.coo_array(entries), sparse.coo_array(([4.0, 5.0, 6.0], entries[1]))
    c = net.connect(p, q, W, delay=D)
    assert c.weight.tolist() == [2.0, 3.0, 1.0] and c.delay.tolist() == [5.0, 6.0, 4.0]
    again = sp.Network.from_dict(net.to_dict()).projections[1]
    assert np.array_equal(again.delay, c.delay) and np.array_equal(again.weight, c.weight)
    with pytest.raises(sp.errors.ParameterError, match="one entry for each synapse"):
        net.connect(p, q, W, delay=sparse.coo_array(([1.0], ([0], [0])), (2, 2)))


@pytest.mark.parametrize("procedural", [False, True])
def test_procedural_rows_take_one_delay(procedural):
    net = sp.Network(seed=1)
    p = net.add(300, sp.LIF(tau_m=10.0, I_e=1.5))
    net.connect(p, p, sp.fixed_outdegree(20, procedural), weight=-0.05, delay=0.7)
    other = sp.Network(seed=1)
    p = other.add(300, sp.LIF(tau_m=10.0, I_e=1.5))
    other.connect(p, p, sp.fixed_outdegree(20), weight=-0.05, delay=0.7)
    assert np.array_equal(net.run(50.0).times, other.run(50.0).times)


def test_an_autapse_with_a_delay_longer_than_the_run_is_not_silence():
    net = sp.Network(seed=1)
    p = net.add(1, SILENT)
    source = net.add(1, sp.SpikeSource([1.0], [0]))
    net.connect(source, p, sp.all_to_all(), weight=2.0, delay=100.0)
    sim = sp.Simulation(net)
    assert sim.run(50.0).stop_reason == "time"
    assert sim.run(100.0).times.tolist() == [101.0]
    assert sim.run(50.0).stop_reason == "quiescent"


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_happens_where_a_spike_arrives_at_nobody(engine):
    """A network that falls silent has its end at the last event, not where an empty row would have been delivered."""
    net = sp.Network(seed=1)
    p = net.add(3, SILENT, V=0.0)
    source = net.add(1, sp.SpikeSource([1.0], [0]))
    net.connect(source, p, sp.edges([0], [2]), weight=1.5)
    net.connect(p, p, sp.edges([2], [0]), weight=1.5, delay=2.0)
    res = net.run(n_spikes=100, engine=engine)
    assert res.stop_reason == "quiescent"
    assert res.times.tolist() == [1.0, 3.0]
    assert res.t_stop == 3.0


def silent_chain(seed):
    """Some spikes that go on along random edges, with one delay or one for each; many neurons have no synapses."""
    rng = np.random.default_rng([seed, 5])
    n, n_synapses = 12, int(rng.integers(0, 14))
    loops = {"allow_autapses": True, "allow_multapses": True}
    net = sp.Network(seed=seed)
    p = net.add(n, sp.LIF(tau_m=10.0, t_ref=4.0), V=0.0)
    source = net.add(3, sp.SpikeSource(np.sort(rng.uniform(0.0, 5.0, 3)), [0, 1, 2]))
    net.connect(source, p, sp.edges([0, 1, 2], [0, 1, 2]), weight=1.5)
    net.connect(p, p, sp.edges(*rng.integers(0, n, (2, n_synapses))), weight=1.5, delay=2.0, **loops)
    net.connect(p, p, sp.edges(*rng.integers(0, n, (2, 3))), weight=1.5, delay=rng.uniform(0.5, 3.0, 3), **loops)
    return net


def test_engines_fall_silent_at_the_same_time():
    n_silent = 0
    for seed in range(40):
        runs = [silent_chain(seed).run(n_spikes=200, engine=engine) for engine in ENGINES]
        ends = [(r.stop_reason, r.t_stop, r.n_synaptic_events, r.times.tolist(), r.ids.tolist()) for r in runs]
        assert all(end == ends[0] for end in ends), f"silent_chain({seed})"
        n_silent += runs[0].stop_reason == "quiescent"
    assert n_silent > 20
