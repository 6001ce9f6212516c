"""The lookahead engine: the same bits as the others, for any number of threads and any blocks and slices of time."""

import functools
import math
import pickle

import numpy as np
import pytest
from random_networks import longest_period, outcome, random_network, random_record

import sparseprop as sp
from sparseprop import _core
from sparseprop.engine._lookahead import Lookahead
from sparseprop.engine.reference import ReferenceEngine
from sparseprop.errors import EngineFault, ParameterError

COUNTERS = ["n_spikes", "n_synaptic_events", "n_input_events", "n_drive_events", "n_close_calls"]
MAKERS = [
    functools.partial(_core.Engine, name="window"),
    functools.partial(_core.Engine, name="heap"),
    Lookahead,
]


def seen_of(engine, end):
    """All that an engine tells of where it is: every bit of it is to be the same in another one."""
    times, ids = engine.take()
    return {
        "end": end,
        "times": np.asarray(times, float).tobytes(),
        "ids": np.asarray(ids, np.int64).tobytes(),
        "now": tuple(engine.now),
        "V": np.asarray(engine.voltages(), float).tobytes(),
        "emissions": np.asarray(engine.emissions()).tolist(),
        **{name: getattr(engine, name) for name in COUNTERS},
    }


def advanced(engine, until, n_spikes=1500, budget=None):
    """What is seen after :meth:`advance`, perhaps in blocks of about so many events; or the fault that ended it."""
    try:
        end = engine.advance(until, n_spikes, **({} if budget is None else {"budget": budget}))
        while end == "running":
            end = engine.advance(until, n_spikes, budget)
    except EngineFault as fault:
        return {"fault": (fault.kind, fault.neuron, fault.time, fault.voltage)}
    return seen_of(engine, end)


def different(a, b):
    """The names of what differs between two things seen."""
    return sorted(name for name in {*a, *b} if a.get(name) != b.get(name))


def lookahead(source, rng, duration):
    """The engine with random numbers of threads, blocks and slices."""
    longest = None if rng.random() < 0.5 else float(duration * rng.uniform(0.003, 0.1))
    return Lookahead(source, n_threads=int(rng.integers(1, 4)), block=int(rng.choice([8, 16, 512])), longest=longest)


def assert_all_agree(seeds):
    spikes = close = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 17])
        net = random_network(seed, delayed=True)
        source, duration = net.engine_input(), longest_period(net)
        until = source.clock.pair(duration)
        engines = [MAKERS[seed % 2](source)] + [lookahead(source, rng, duration) for _ in range(2)]
        n_spikes, budget = int(rng.choice([rng.integers(1, 300), 1500])), int(rng.choice([1, 30, 1000, 1 << 40]))
        sources = bool(rng.random() < 0.5)
        for engine in engines:
            engine.record_sources = sources
        runs = [advanced(engine, until, n_spikes, budget if k == 2 else None) for k, engine in enumerate(engines)]
        for run in runs[1:]:
            assert not different(runs[0], run), f"random_network({seed}, delayed=True): {different(runs[0], run)}"
        if "fault" not in runs[0]:
            # Not only what was seen: the states go on alike.
            further = source.clock.add(engines[0].now, 0.1 * duration)
            after = [advanced(engine, further, n_spikes + 200) for engine in engines[:2]]
            assert not different(*after), f"random_network({seed}, delayed=True), further: {different(*after)}"
            spikes += runs[0]["n_spikes"]
            close += runs[0]["n_close_calls"]
    return spikes, close


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_engines_agree_on_random_delayed_networks(first):
    spikes, _ = assert_all_agree(range(first, first + 50))
    assert spikes > 4000  # the networks do something


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("first", range(1000, 21_000, 500))
def test_engines_agree_on_20000_random_delayed_networks(first):
    assert_all_agree(range(first, first + 500))


def test_the_reference_agrees():
    for seed in range(25):
        net = random_network(seed, tables=False, delayed=True)
        source, duration = net.engine_input(), 0.3 * longest_period(net)
        until = source.clock.pair(duration)
        engine = lookahead(source, np.random.default_rng(seed), duration)
        runs = [advanced(each, until, 300) for each in (ReferenceEngine(source), engine)]
        assert not different(*runs), f"random_network({seed}, tables=False, delayed=True): {different(*runs)}"


def random_dense_network(seed):
    """Neurons that get many kicks in each slice, mostly with a delay for each synapse: equal ones, that fire by
    themselves or not, and others."""
    rng = np.random.default_rng([seed, 5])
    net = sp.Network(seed=seed)
    smallest = float(rng.uniform(0.3, 2.0))
    for _ in range(rng.integers(1, 4)):
        n = int(rng.integers(3, 70))
        options = {"tau_m": float(rng.uniform(5.0, 20.0)), "t_ref": float(rng.choice([0.0, rng.uniform(0.1, 5.0)]))}
        I_e = float(rng.choice([0.0, rng.uniform(-0.5, 0.9), rng.uniform(1.01, 1.4)]))
        kind = rng.choice(["LIF", "LIF", "LIF", "each", "QIF", "LIFExp"])
        if kind == "QIF":
            model = sp.QIF(**options, I_e=I_e - 0.5, V_peak=10.0, V_reset=-10.0)
        elif kind == "LIFExp":
            model = sp.LIFExp(**options, tau_syn=3.0, I_e=I_e)
        else:
            model = sp.LIF(**options, I_e=I_e if kind == "LIF" else rng.uniform(0.0, 1.2, n))
        net.add(n, model, V=rng.uniform(-0.5, 0.95, n))
    for pre in net.populations:
        for post in net.populations:
            repeated = bool(rng.random() < 0.3)
            n = int(pre.n * post.n * rng.uniform(0.2, 1.0)) + 1
            pairs = rng.integers(0, pre.n * post.n, n) if repeated else rng.permutation(pre.n * post.n)[:n]
            weight = float(rng.choice([0.05, 0.1, -0.1, rng.uniform(-0.3, 0.3)]))
            few = [smallest, math.nextafter(smallest, 9.0), 2.0 * smallest, 3.0 * smallest]
            delays = {
                "one": smallest,
                "each": rng.uniform(smallest, smallest * rng.uniform(1.0, 8.0), len(pairs)),
                "few": rng.choice(few, len(pairs)),
            }
            net.connect(
                pre,
                post,
                sp.edges(*np.divmod(pairs, post.n)),
                weight=weight if rng.random() < 0.7 else rng.uniform(min(weight, 0.0), max(weight, 0.0), len(pairs)),
                delay=delays[rng.choice(["one", "each", "each", "few"])],
                allow_autapses=True,
                allow_multapses=True,
            )
        if rng.random() < 0.8:
            w = float(rng.choice([0.05, 0.1, rng.uniform(0.02, 0.2)]))
            net.drive(
                pre,
                sp.poisson(1e3 * float(rng.uniform(0.1, 4.0))),
                weight=w if rng.random() < 0.8 else rng.uniform(-0.05, w, pre.n),
            )
    return net


def network_of_ties(seed):
    """Groups of equal neurons of which one half kicks the other over threshold after one delay or a few, which are
    sums of each other: what is due and what arrives meets by rounding."""
    rng = np.random.default_rng(seed)
    t_ref = float(rng.choice([0.0, 1.5]))
    models = [
        sp.LIF(tau_m=10.0, I_e=1.5, t_ref=t_ref),
        sp.QIF(tau_m=10.0, I_e=0.5, V_peak=5.0, V_reset=-3.0, t_ref=t_ref),
        sp.Theta(tau_m=10.0, I_e=0.5),
        sp.LIFExp(tau_m=10.0, tau_syn=3.0, I_e=1.5, t_ref=t_ref),
    ]
    net = sp.Network(seed=seed)
    delay = float(rng.choice([0.5, rng.uniform(0.1, 3.0)]))
    delays = [delay, math.nextafter(delay, 9.0), 2.0 * delay, 3.0 * delay]
    for k in rng.choice(4, 1 + seed % 2):
        net.add(6, models[k], V=rng.choice([-0.5, rng.uniform(0.2, 0.7)], 6))
    for pre in net.populations:
        for post in net.populations:
            rule = sp.edges(rng.integers(0, 3, 6), rng.integers(3, 6, 6))
            weight = float(rng.choice([0.4, 2.0] if pre is post else [0.4, -0.125]))
            each = float(rng.choice(delays)) if rng.random() < 0.5 else rng.choice(delays, 6)
            net.connect(pre, post, rule, weight=weight, delay=each, allow_multapses=True)
    source = net.add(2, sp.SpikeSource(np.repeat(np.arange(40.0), 2), np.tile([0, 0, 1, 1], 20)))
    net.connect(source, net.populations[0], sp.all_to_all(), weight=0.05, delay=rng.choice([0.0, delay]))
    return net


def assert_dense_ones_agree(seeds):
    spikes = kicks = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 6])
        source = random_dense_network(seed).engine_input()
        until, further = source.clock.pair(rng.uniform(5.0, 60.0)), source.clock.pair(70.0)
        longest = None if rng.random() < 0.7 else float(rng.uniform(0.05, 1.0))
        engines = [
            _core.Engine(source, name="window"),
            Lookahead(source, n_threads=int(rng.integers(1, 4)), block=int(rng.choice([8, 16, 64])), longest=longest),
        ]
        n_spikes = int(rng.choice([rng.integers(1, 300), 3000]))
        for k, stop in enumerate([until, until, further, further]):
            runs = [advanced(engine, stop, n_spikes + 50 * k) for engine in engines]
            assert not different(*runs), f"random_dense_network({seed}): {different(*runs)}"
            if "fault" in runs[0]:
                break
        if "fault" not in runs[0]:
            spikes += runs[0]["n_spikes"]
            kicks += runs[0]["n_synaptic_events"] + runs[0]["n_drive_events"]
            # From a state.
            other = Lookahead(source, n_threads=2, block=8)
            other.restore(pickle.loads(pickle.dumps(engines[1].state())))
            engines[0].restore(engines[0].state())
            end = source.clock.pair(75.0)
            runs = [advanced(engine, end, 5000) for engine in (engines[0], other)]
            assert not different(*runs), f"random_dense_network({seed}), restored: {different(*runs)}"
    return spikes, kicks


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_engines_agree_on_dense_networks(first):
    spikes, kicks = assert_dense_ones_agree(range(first, first + 50))
    assert spikes > 4000 and kicks > 200_000


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("first", range(1000, 21_000, 500))
def test_engines_agree_on_20000_dense_networks(first):
    assert_dense_ones_agree(range(first, first + 500))


def test_weights_that_were_changed_in_place_are_taken():
    rng = np.random.default_rng(3)
    net = sp.Network(seed=1)
    p = net.add(40, sp.LIF(tau_m=10.0, I_e=1.2))
    for delay in (rng.uniform(0.5, 3.0, 400), 1.0):
        net.connect(p, p, sp.fixed_outdegree(10), weight=rng.uniform(-0.2, 0.1, 400), delay=delay)
    source = net.engine_input()
    engines = [make(source) for make in (MAKERS[0], functools.partial(Lookahead, block=8, n_threads=2))]
    before = [advanced(engine, source.clock.pair(20.0)) for engine in engines]
    for k, projection in enumerate(source.projections):
        weights = np.array(projection.weight)
        weights[k::2] *= -2.0
        projection.weight.setflags(write=True)
        projection.weight[:] = weights
    for engine in engines:
        engine.take_weights()
    after = [advanced(engine, source.clock.pair(60.0)) for engine in engines]
    fresh = advanced(MAKERS[0](source), source.clock.pair(20.0))
    assert not different(*before) and not different(*after) and different(before[0], fresh)
    assert after[0]["n_spikes"] > 2 * before[0]["n_spikes"] > 40


def test_engines_agree_on_ties_also_how_often_rounding_decided():
    close = 0
    for seed in range(60):
        net = network_of_ties(seed)
        source = net.engine_input()
        until = source.clock.pair(100.0)
        engines = [MAKERS[seed % 2](source), lookahead(source, np.random.default_rng(seed), 100.0)]
        runs = [advanced(engine, until, 400) for engine in engines]
        assert not different(*runs), f"network_of_ties({seed}): {different(*runs)}"
        close += runs[0].get("n_close_calls", 0)
    assert close > 60


@pytest.mark.parametrize("seed", range(40))
def test_what_is_recorded_is_the_same(seed):
    net = random_network(seed, delayed=True)
    duration = longest_period(net)
    record = random_record(seed, net, duration)
    runs = [outcome(net, engine, duration, n_spikes=500, record=record) for engine in ("window", "lookahead")]
    assert runs[0] == runs[1]


def test_a_state_goes_on_in_any_engine():
    """Cut at a time or at a number of spikes; each piece is of another engine."""
    whole_spikes = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        net = random_network(seed, delayed=True)
        source, duration = net.engine_input(), longest_period(net)
        until = source.clock.pair(duration)
        whole = advanced(_core.Engine(source, "window"), until, 800)
        if "fault" in whole or whole["end"] == "spikes":
            continue
        kinds = [MAKERS[0], functools.partial(lookahead, rng=rng, duration=duration)]
        engine, times, ids = kinds[seed % 2](source), b"", b""
        for k in range(1, 5):
            stop = source.clock.pair(duration * k / 4.0)
            piece = advanced(engine, stop, engine.n_spikes + int(rng.integers(0, 60)) if k < 4 else None)
            times, ids = times + piece["times"], ids + piece["ids"]
            state = pickle.loads(pickle.dumps(engine.state()))
            engine = kinds[(seed + k) % 2](source)
            engine.restore(state)
        last = seen_of(engine, whole["end"]) | {"times": times, "ids": ids}
        assert not different(last, whole), f"random_network({seed}, delayed=True): {different(last, whole)}"
        whole_spikes += whole["n_spikes"]
    assert whole_spikes > 2000


def test_spikes_that_are_injected_and_rates_and_states_that_are_set():
    def pieces(engine, **options):
        net = sp.Network(seed=3)
        neurons = net.add(40, sp.LIF(tau_m=10.0, I_e=np.linspace(0.5, 1.4, 40), t_ref=1.0))
        source = net.add(2, sp.PoissonSource(300.0))
        net.connect(neurons, neurons, sp.fixed_outdegree(6), weight=0.1, delay=sp.uniform(0.7, 3.0))
        net.connect(source, neurons, sp.all_to_all(), weight=0.1)
        hand = net.add(2, sp.SpikeSource([], []))
        net.connect(hand, neurons, sp.all_to_all(), weight=0.3, delay=0.5)
        drive = net.drive(neurons, sp.poisson(200.0), weight=0.05)
        steps = net.drive(neurons, sp.steps([4.0, 9.5], [0.4, -0.1]))
        sim = sp.Simulation(net, engine=engine, **options)
        seen = [sim.run(6.0, progress=False)]
        sim.set_drive(drive, 900.0)
        sim.inject(hand, [7.0, 7.5, 7.5], [0, 1, 0])
        seen.append(sim.run(3.0, progress=False))
        sim.set_drive(steps, 0.2)
        sim.set_state(V=0.5 * sim.V, keep_rest=True)
        seen.append(sim.run(9.0, progress=False))
        return [
            (res.times.tobytes(), res.ids.tobytes(), res.n_drive_events, res.n_close_calls) for res in seen
        ], sim.V.tobytes()

    assert pieces("window") == pieces("lookahead", n_threads=2)


def test_a_network_that_falls_silent_says_so_and_when():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([0.5], [0]))
    chain = net.add(4, sp.LIF(tau_m=10.0))
    net.connect(source, chain, sp.edges([0], [0]), weight=2.0, delay=0.25)
    net.connect(chain, chain, sp.edges([0, 1, 2], [1, 2, 3]), weight=2.0, delay=[1.0, 2.5, 0.125])
    for stops in ({"duration": 1e6}, {"n_spikes": 10}):
        runs = [net.run(**stops, engine=engine, progress=False) for engine in ("reference", "lookahead")]
        assert runs[1].times.tolist() == [0.75, 1.75, 4.25, 4.375]
        assert [run.stop_reason for run in runs] == ["quiescent"] * 2
        assert runs[0].t_stop == runs[1].t_stop


def test_long_gaps_are_jumped_over():
    """10^9 slices, if they were gone through."""
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([1.0, 1e6], [0, 0]))
    neurons = net.add(2, sp.LIF(tau_m=10.0))
    net.connect(source, neurons, sp.edges([0], [0]), weight=2.0)
    net.connect(neurons, neurons, sp.edges([0], [1]), weight=2.0, delay=1e-3)
    assert net.run(2e6, engine="lookahead", progress=False).times.tolist() == [1.0, 1.001, 1e6, 1e6 + 1e-3]


@pytest.mark.parametrize("delay", [0.0, 1e-18, 1e-6, [1.0, 0.0, 1.0]])
def test_networks_that_it_is_not_for_are_refused_by_name(delay):
    net = sp.Network(seed=1)
    E, late = net.add(3, sp.LIF(tau_m=10.0), name="E"), net.add(1, sp.LIF(tau_m=10.0), name="late")
    net.connect(late, E, sp.all_to_all(), weight=0.1, delay=1.0)
    net.connect(E, late, sp.edges([0, 1, 2], [0, 0, 0]), weight=0.1, delay=delay)
    with pytest.raises(ParameterError, match=r"projection 'E' -> 'late' has one of .* ms\. .*engine=\"window\""):
        net.run(1.0, engine="lookahead")


def test_the_engine_is_chosen():
    """Where none is asked for: by the rule of docs/engines.md."""

    def net(delay, n=200, model=None, rate=None):
        net = sp.Network(seed=1)
        neurons = net.add(n, model or sp.LIF(tau_m=10.0, I_e=1.2), name="neurons")
        net.connect(neurons, neurons, sp.fixed_indegree(10), weight=-0.01, delay=delay)
        if rate:
            net.drive(neurons, sp.poisson(rate), weight=0.01)
        return net

    exponential = sp.LIFExp(tau_m=10.0, tau_syn=5.0, I_e=1.2)
    each, short = sp.uniform(0.5, 2.5), sp.uniform(0.1, 2.5)
    for example, engine in (
        (net(0.0), "window"),
        (net(0.0, rate=100.0), "window"),
        (net(1.5, n=2000), "window"),
        (net(1.5, rate=1000.0), "lookahead"),
        (net(1.5, rate=10.0), "window"),
        (net(0.1, rate=1000.0), "window"),
        (net(sp.uniform(0.5, 50.0), rate=1000.0), "window"),
        (net(1.5, rate=1000.0, model=exponential), "window"),
        (net(each), "window"),
        (net(each, n=2000), "lookahead"),
        (net(short, n=2000), "window"),
        (net(each, n=2000, model=exponential), "lookahead"),
    ):
        assert sp.Simulation(example).engine == engine
        assert example.run(5.0).times.tolist() == example.run(5.0, engine="heap").times.tolist()
    for threads in (2, 3):
        result = net(1.0).run(20.0, n_threads=threads)
        assert result.engine == "lookahead" and result.n_spikes
        assert result.times.tolist() == net(1.0).run(20.0, engine="heap").times.tolist()
    assert net(1.0).run(20.0, n_threads=2, engine="lookahead").engine == "lookahead"
    with pytest.raises(ParameterError, match="n_threads must be 1 for this network, got 2: .*projection 'neurons'"):
        net(0.0).run(20.0, n_threads=2)


def test_other_engines_have_one_thread():
    net = sp.Network(seed=1)
    net.add(3, sp.LIF(tau_m=10.0))
    with pytest.raises(ParameterError, match=r"n_threads must be 1 for engine=\"heap\".*lookahead"):
        net.run(1.0, engine="heap", n_threads=2)


def test_faults_are_those_of_the_other_engines():
    """The first one counts, whoever finds it, and spikes before it are there."""
    net = sp.Network(seed=1)
    source = net.add(3, sp.SpikeSource([3.0, 3.0, 2.0, 1.0], [0, 1, 2, 2]))
    neurons = net.add(40, sp.LIF(tau_m=10.0, I_e=np.linspace(0.5, 3.0, 40)))
    net.connect(source, neurons, sp.edges([0, 1, 2], [30, 2, 5]), weight=[-1e300, 1e300, 2.0])
    net.connect(neurons, neurons, sp.fixed_outdegree(5), weight=0.01, delay=4.0)
    runs = [outcome(net, engine, 10.0) for engine in ("reference", "window", "lookahead")]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][0] == "NumericalError"
    sims = [sp.Simulation(net, engine=engine) for engine in ("window", "lookahead")]
    for stop in (1, 2):  # enough spikes before the fault: no fault
        assert len({str(sim.run(10.0, n_spikes=stop, progress=False).times) for sim in sims}) == 1


def test_drives_whose_intervals_are_too_short_for_exact_sums():
    """So many events that lists are full, and all neurons take the other way."""
    net = sp.Network(seed=1)
    neurons = net.add(16, sp.LIF(tau_m=10.0), V=np.linspace(0.0, 0.99, 16))
    net.connect(neurons, neurons, sp.all_to_all(), weight=1e-3, delay=sp.uniform(0.0005, 0.002))
    net.drive(neurons, sp.poisson(2e8), weight=1e-5)
    source = net.engine_input()
    until = source.clock.pair(0.01)
    engines = [_core.Engine(source, name="window"), Lookahead(source, n_threads=2, block=8)]
    runs = [advanced(engine, until, 1000) for engine in engines]
    assert source.clock.epoch > 1048576.0 * source.processes[0].interval
    assert not different(*runs), different(*runs)
    assert runs[0]["n_drive_events"] > 20_000 and runs[0]["n_spikes"] > 0
