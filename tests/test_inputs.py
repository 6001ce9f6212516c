"""Input from outside: spike trains, Poisson processes and steps."""

import math

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import _core
from sparseprop.engine.input import Changes
from sparseprop.models import riccati_drives, riccati_parameters

ENGINES = ["window", "heap", "reference"]
SILENT = sp.LIF(tau_m=10.0)


def counted(net, duration, record_sources=True):
    return net.run(duration, record=sp.Record(record_sources=record_sources), progress=False)


# Spike sources ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_given_spikes_come_out_sorted_and_only_when_asked_for(engine):
    net = sp.Network(seed=1)
    net.add(1, sp.LIF(tau_m=10.0, I_e=2.0), name="n", V=0.0)
    net.add(3, sp.SpikeSource([4.0, 1.0, 1.0, 2.5], [0, 2, 1, 1]), name="s")
    res = net.run(6.0, engine=engine, record=sp.Record(record_sources=True))
    assert res.population("s").times.tolist() == [1.0, 1.0, 2.5, 4.0]
    assert res.population("s").ids.tolist() == [1, 2, 1, 0]
    assert res.n_spikes == 0 and res.n_neurons == 1 and res.rate == 0.0
    assert net.run(6.0, engine=engine).times.size == 0


def test_sources_have_no_potential_and_receive_nothing():
    net = sp.Network(seed=1)
    p, s = net.add(1, SILENT), net.add(2, sp.PoissonSource(10.0))
    assert np.isnan(sp.Simulation(net).V[1:]).all() and net.n_neurons == 1 and net.size == 3
    with pytest.raises(sp.errors.ParameterError, match="is a source, which receives no spikes"):
        net.connect(p, s, sp.all_to_all(), weight=1.0)
    with pytest.raises(sp.errors.ParameterError, match="is a source, which receives nothing"):
        net.drive(s, sp.poisson(1.0), weight=1.0)


def test_a_source_may_spike_twice_at_once():
    net = sp.Network(seed=1)
    s, p = net.add(1, sp.SpikeSource([1.0, 1.0], [0, 0])), net.add(1, SILENT, V=0.0)
    net.connect(s, p, sp.all_to_all(), weight=0.25, delay=2.0)
    sim = sp.Simulation(net)
    sim.run(3.5)
    assert sim.V[1] == pytest.approx(0.5 * math.exp(-0.05), rel=1e-14)


def test_a_raster_is_replayed(tmp_path):
    """Driven by the recorded spikes of E, the other population does what it did when E was simulated."""
    net = sp.Network(seed=1)
    E, I = net.add(80, sp.LIF(tau_m=10.0, I_e=1.5), name="E"), net.add(20, SILENT, name="I")
    net.connect(E, I, sp.fixed_indegree(20), weight=0.1, delay=0.5)
    first = net.run(100.0, record=tmp_path / "raster.h5")
    assert first.population("I").n_spikes > 20
    again = sp.Network(seed=1)
    E = again.add(80, sp.SpikeSource.from_raster(tmp_path / "raster.h5", "E"), name="E")
    I = again.add(20, SILENT, name="I")
    again.connect(E, I, sp.fixed_indegree(20), weight=0.1, delay=0.5)
    second = again.run(100.0)
    assert np.array_equal(second.times, first.population("I").times)
    assert np.array_equal(second.population("I").ids, first.population("I").ids)
    config = {
        "seed": 1,
        "populations": [
            {"n": 80, "model": {"name": "SpikeSource", "file": str(tmp_path / "raster.h5"), "population": "E"}},
            {"n": 20, "model": SILENT.to_dict()},
        ],
    }
    assert np.array_equal(sp.Network.from_dict(config).populations[0].model.times, first.population("E").times)


# Poisson processes --------------------------------------------------------------------------------------------------


def test_poisson_sources_are_poisson():
    scipy_stats = pytest.importorskip("scipy.stats", reason="scipy")
    net = sp.Network(seed=11)
    net.add(1, SILENT)
    net.add(1000, sp.PoissonSource(50.0), name="s")
    s = counted(net, 2000.0).population("s")
    n = np.bincount(s.ids, minlength=1000)
    assert abs(n.mean() - 100.0) < 5 * 10.0 / math.sqrt(1000)
    assert abs(n.var() / n.mean() - 1.0) < 5 * math.sqrt(2.0 / 1000)  # the Fano factor
    assert scipy_stats.kstest(s.times, "uniform", (0.0, 2000.0)).pvalue > 0.001
    order = np.lexsort((s.times, s.ids))
    intervals = np.diff(s.times[order])[np.diff(s.ids[order]) == 0]
    assert scipy_stats.kstest(intervals, "expon", (0.0, 20.0)).pvalue > 1e-4  # but for the cut at the end
    # Counts of different neurons, and of one in different windows, have nothing in common.
    windows = np.histogram2d(s.ids, s.times, [1000, 20], [[0, 1000], [0.0, 2000.0]])[0]
    assert abs(np.corrcoef(windows[:-1].ravel(), windows[1:].ravel())[0, 1]) < 5 / math.sqrt(20_000)
    assert abs(np.corrcoef(windows[:, :-1].ravel(), windows[:, 1:].ravel())[0, 1]) < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("rate", [1e-3, 3.0, 977.0, 1e6])
def test_rates_of_all_sizes(rate):
    net = sp.Network(seed=5)
    net.add(1, SILENT)
    net.add(100, sp.PoissonSource(rate))
    duration = 2e5 / rate  # 20,000 spikes in all
    n = len(counted(net, duration).times)
    assert abs(n - 20_000) < 5 * math.sqrt(20_000)


def test_rates_per_neuron_and_in_time():
    net = sp.Network(seed=5)
    net.add(1, SILENT)
    net.add(3, sp.PoissonSource([0.0, 100.0, 200.0]), name="each")
    net.add(2, sp.PoissonSource([[100.0, 0.0], [0.0, 50.0]], times=[1000.0, 5000.0]), name="both")
    res = counted(net, 20_000.0)
    n = np.bincount(res.population("each").ids, minlength=3)
    assert n[0] == 0 and abs(n[1] - 2000) < 250 and abs(n[2] - 4000) < 350
    both = res.population("both")
    first, second = both.times[both.ids == 0], both.times[both.ids == 1]
    assert first.min() >= 1000.0 and first.max() < 5000.0 and abs(first.size - 400) < 100
    assert second.min() >= 5000.0 and abs(second.size - 750) < 140


def test_poisson_input_depends_on_the_seed_and_its_place_only():
    def spikes(seed, extra=False, run_seed=None, rate=100.0):
        net = sp.Network(seed=seed)
        p = net.add(5, sp.LIF(tau_m=10.0, I_e=1.2), V=0.0)
        if extra:
            net.connect(p, p, sp.fixed_outdegree(2), weight=0.0)
        net.drive(p, sp.poisson(rate), weight=0.05)
        return net.run(300.0, seed=run_seed).times

    assert np.array_equal(spikes(1), spikes(1, extra=True))
    assert not np.array_equal(spikes(1), spikes(2))
    assert not np.array_equal(spikes(1), spikes(1, run_seed=2))


def test_neighbouring_neurons_drives_and_seeds_share_no_events():
    def events(seed):
        net = sp.Network(seed=seed)
        net.add(1, SILENT)
        for _ in range(2):
            net.add(20, sp.PoissonSource(100.0))
        return counted(net, 1000.0).times

    times = np.concatenate([events(1), events(2)])
    assert np.unique(times).size == times.size > 7000


def test_shot_noise_has_the_mean_and_variance_of_campbells_theorem():
    """V of a passive neuron: mean w rate tau, variance w^2 rate tau / 2."""
    net = sp.Network(seed=3)
    p = net.add(2000, sp.LIF(tau_m=10.0, V_th=1e9), V=2.0)
    net.drive(p, sp.poisson(2000.0), weight=0.1)
    V = net.run(100.0, record=sp.Record(V=range(2000), V_times=[60.0, 99.0])).V[1]
    assert abs(V.mean() - 2.0) < 5 * math.sqrt(0.1 / 2000)
    assert abs(V.var() / 0.1 - 1.0) < 5 * math.sqrt(2.0 / 2000)


def test_the_rate_of_a_driven_neuron_is_that_of_siegert():
    """Many small kicks are white noise: first passage of an Ornstein-Uhlenbeck process (Siegert 1951)."""
    pytest.importorskip("scipy", reason="scipy")
    from scipy.integrate import quad
    from scipy.special import erfcx

    tau, t_ref, rate, weight = 20.0, 2.0, 100_000.0, 0.01
    mean, sigma = weight * rate * tau * 1e-3, weight * math.sqrt(rate * tau * 1e-3)
    low, high = (10.0 - mean) / sigma, (20.0 - mean) / sigma
    expected = 1e3 / (t_ref + tau * math.sqrt(math.pi) * quad(lambda u: erfcx(-u), low, high)[0])
    net = sp.Network(seed=7)
    p = net.add(500, sp.LIF(tau_m=tau, V_th=20.0, V_reset=10.0, t_ref=t_ref), V=10.0)
    net.drive(p, sp.poisson(rate), weight=weight)
    sim = sp.Simulation(net)
    sim.run(50.0, progress=False)
    assert sim.run(500.0, progress=False).rate == pytest.approx(expected, rel=0.05)  # some 2700 spikes


# Steps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_are_exact_at_the_step(engine):
    """LIF, from closed forms: a drive that crosses threshold, ends, and comes back."""
    net = sp.Network(seed=1)
    p = net.add(2, sp.LIF(tau_m=10.0, I_e=0.5), V=0.0)
    net.drive(p, sp.steps([3.0, 20.0, 25.0], [[1.5, 0.0], [-0.5, 0.0], [1.0, 0.0]]))
    sim = sp.Simulation(net, engine=engine)
    V3 = 0.5 * (1.0 - math.exp(-0.3))
    first = 3.0 + 10.0 * math.log((2.0 - V3) / 1.0)
    period = 10.0 * math.log(2.0)
    res = sim.run(20.0)
    assert res.times == pytest.approx([first, first + period], rel=1e-14)
    V20 = 2.0 - 2.0 * math.exp(-(20.0 - first - period) / 10.0)
    sim.run(5.0)
    assert sim.V[0] == pytest.approx(V20 * math.exp(-0.5), rel=1e-13)
    assert sim.V[1] == pytest.approx(0.5 * (1.0 - math.exp(-2.5)), rel=1e-13)
    V25 = V20 * math.exp(-0.5)
    assert sim.run(10.0).times == pytest.approx([25.0 + 10.0 * math.log((1.5 - V25) / 0.5)], rel=1e-13)


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_of_a_qif_neuron_change_its_regime(engine):
    """Excitable, at its bifurcation, oscillating: V goes on where it was, against integration in small steps."""
    pytest.importorskip("scipy", reason="scipy")
    from scipy.integrate import solve_ivp

    net = sp.Network(seed=1)
    p = net.add(1, sp.QIF(tau_m=10.0, I_e=-1.0), V=0.3)
    times, values = [2.0, 6.0, 9.0, 9.5], [1.0, 1.0 + 1e-6, 1.5, 0.2]
    net.drive(p, sp.steps(times, values))
    sim = sp.Simulation(net, engine=engine)
    V, edges, currents = 0.3, [0.0, *times, 12.0], [-1.0, *(np.array(values) - 1.0)]
    for start, stop, current in zip(edges[:-1], edges[1:], currents, strict=True):
        V = solve_ivp(lambda t, V, I=current: (V**2 + I) / 10.0, (start, stop), [V], rtol=1e-12, atol=1e-13).y[0, -1]
        sim.run(stop - sim.time)
        assert sim.V[0] == pytest.approx(V, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_neuron_that_is_due_at_a_step_fires(engine):
    spike = sp.Network(seed=1)
    spike.add(1, sp.LIF(tau_m=10.0, I_e=2.0), V=0.0)
    due = spike.run(n_spikes=1).times[0]
    net = sp.Network(seed=1)
    p = net.add(1, sp.LIF(tau_m=10.0, I_e=2.0), V=0.0)
    net.drive(p, sp.steps([due], [-2.0]))
    res = net.run(100.0, engine=engine)
    assert res.times.tolist() == [due] and res.stop_reason == "quiescent"


def test_a_network_that_waits_for_a_step_is_not_silent():
    net = sp.Network(seed=1)
    p = net.add(1, SILENT, V=0.0)
    net.drive(p, sp.steps([50.0], [2.0]))
    assert net.run(40.0).stop_reason == "time"
    assert net.run(n_spikes=1).times == pytest.approx([50.0 + 10.0 * math.log(2.0)], rel=1e-14)


def test_drives_survive_a_round_trip_through_a_dictionary():
    net = sp.Network(seed=4)
    p = net.add(10, sp.LIF(tau_m=10.0, I_e=1.1), name="E")
    s = net.add(2, sp.PoissonSource(rate=[10.0, 20.0]), name="s")
    net.connect(s, p, sp.all_to_all(), weight=0.2, delay=sp.normal(1.0, 0.1, low=0.0))
    net.drive(p, sp.poisson([5.0, 500.0], times=[0.0, 20.0]), weight=np.linspace(0.0, 0.1, 10))
    net.drive(p, sp.steps([5.0, 10.0], [0.1, -0.2]))
    again = sp.Network.from_dict(net.to_dict())
    assert np.array_equal(net.run(100.0).times, again.run(100.0).times)
    assert net.run(100.0).n_spikes > 20
    text = str(net)
    assert "s: 2 sources" in text and "input to E: steps" in text and "delays" in text


BAD = [
    (lambda net, p: sp.SpikeSource([1.0], [0, 1]), "one length, got 1 and 2"),
    (lambda net, p: sp.SpikeSource([-1.0], [0]), "times must be finite times >= 0 ms"),
    (lambda net, p: net.add(2, sp.SpikeSource([1.0], [2])), r"below n = 2, got 2"),
    (lambda net, p: net.add(2, sp.PoissonSource([1.0, 2.0, 3.0])), "are for 3 neurons"),
    (lambda net, p: net.add(1, sp.PoissonSource(1.0), V=0.0), "is a source, which has no V"),
    (lambda net, p: sp.poisson(-1.0), "poisson: rate must be a finite rate >= 0 Hz, got -1.0"),
    (lambda net, p: sp.poisson([1.0, math.nan]), "finite rates >= 0 Hz, got nan at index 1"),
    (lambda net, p: sp.poisson([1.0, 2.0], times=[1.0]), r"must have shape \(1,\)"),
    (lambda net, p: sp.poisson([1.0, 2.0], times=[1.0, 1.0]), "each later than the one before"),
    (lambda net, p: sp.poisson(1e13), "at most 1e\\+12 Hz"),
    (lambda net, p: net.drive(p, sp.poisson(1.0)), "weight of drive of population 'p' is missing"),
    (lambda net, p: net.drive(p, sp.poisson(1.0), weight=math.inf), "weight of drive .* got inf"),
    (lambda net, p: net.drive(p, sp.poisson(1.0), weight=[1.0, 2.0]), "must have 3 entries, got 2"),
    (lambda net, p: net.drive(p, sp.steps([1.0], [1.0]), weight=1.0), "must be left out"),
    (lambda net, p: net.drive(p, sp.steps([1.0], [[1.0, 2.0]])), "is for 2 neurons, the population has 3"),
    (lambda net, p: net.drive(p, 5.0), "must be sp.poisson"),
    (lambda net, p: net.drive("q", sp.poisson(1.0), weight=1.0), "unknown population: 'q'"),
    (lambda net, p: sp.normal(0.0, -1.0), "std must be a finite number >= 0, got -1.0"),
    (lambda net, p: sp.normal(0.0, 1.0, low=9.0), "leave at least 0.001 of the distribution"),
    (lambda net, p: sp.uniform(2.0, 1.0), "low must be at most high"),
    (lambda net, p: net.connect(p, p, sp.all_to_all(), weight=1.0, delay=sp.normal(1.0, 1.0)), "give it low=0"),
    (lambda net, p: net.connect(p, p, sp.all_to_all(), weight=1.0, delay=[1.0]), "must have 6 entries, got 1"),
    (lambda net, p: net.connect(p, p, sp.all_to_all(), weight=1.0, delay=math.inf), "delay of .* got inf"),
    (
        lambda net, p: net.connect(p, p, sp.fixed_outdegree(1, procedural=True), weight=sp.uniform(0.0, 1.0)),
        "must be one number, as procedural",
    ),
    (lambda net, p: net.connect(p, p, sp.all_to_all(), weight={"distribution": "gamma"}), "unknown distribution"),
]


@pytest.mark.parametrize(("act", "message"), BAD)
def test_bad_input_is_refused(act, message):
    net = sp.Network(seed=1)
    p = net.add(3, SILENT, name="p")
    with pytest.raises(sp.errors.ParameterError, match=message):
        act(net, p)
    assert len(net.populations) == 1 and not net.projections and not net.drives


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_whose_input_is_over_is_silent(engine):
    net = sp.Network(seed=3)
    p = net.add(5, sp.LIF(tau_m=10.0), name="p")
    net.drive(p, sp.poisson([500.0, 0.0], times=[0.0, 50.0]), weight=0.1)
    net.connect(net.add(2, sp.PoissonSource([300.0, 0.0], [0.0, 60.0])), p, sp.all_to_all(), weight=0.1, delay=1.0)
    sim = sp.Simulation(net, engine=engine)
    res = sim.run(n_spikes=10**6, progress=False)
    assert res.stop_reason == "quiescent" and res.n_synaptic_events > 50 and 40.0 < res.t_stop <= 61.0
    assert sim.run(100.0, progress=False).stop_reason == "quiescent"
    net.drive(p, sp.poisson([1.0, 0.0, 1.0], times=[0.0, 50.0, 1e5]), weight=0.1)
    assert net.run(1e4, engine=engine, progress=False).stop_reason == "time"


@pytest.mark.parametrize("start", [16.0, 24.0, 37.3])
@pytest.mark.parametrize("n", [3, 80])
def test_a_step_that_finds_neurons_at_threshold_does_not_turn_time_back(n, start):
    """V is at threshold to a rounding when the step comes: the next spike may be a rounding before it, and is then at
    the step, in one instant with everything else that is due."""
    net = sp.Network(seed=1)
    tau = np.linspace(0.5, 0.6, n)
    p = net.add(n, sp.LIF(tau_m=tau, V_th=0.7, I_e=0.7), name="p", V=0.1)
    net.drive(p, sp.steps([start], [0.3]))
    net.connect(net.add(1, sp.SpikeSource([start], [0])), p, sp.all_to_all(), weight=-1e-3)
    runs = [net.run(start + 20.0, engine=engine, record=sp.Record(V=range(n), V_times=0.7)) for engine in ENGINES]
    for run in runs:
        assert run.n_spikes > n and run.times[0] >= start and (np.diff(run.times) >= 0.0).all()
        assert np.array_equal(run.times, runs[0].times) and np.array_equal(run.ids, runs[0].ids)
        assert np.array_equal(run.V, runs[0].V, equal_nan=True)


def test_a_replay_says_what_was_not_recorded(tmp_path):
    net = sp.Network(seed=1)
    net.add(10, sp.LIF(tau_m=10.0, I_e=1.5), name="E")
    net.add(5, sp.LIF(tau_m=10.0, I_e=1.5), name="I")
    net.add(2, sp.PoissonSource(100.0), name="s")
    path = tmp_path / "raster.h5"
    res = net.run(50.0, record=sp.Record(path, spikes={"E": [0, 1, 2]}))
    with pytest.warns(UserWarning, match="the spikes of 3 of 10 neurons of 'E'; the others are silent in the replay"):
        source = sp.SpikeSource.from_raster(path, "E")
    assert source.times.size == len(res.times) > 0
    for name in ("I", "s"):
        with pytest.raises(sp.errors.ParameterError, match=f"no spikes of '{name}', as they were not recorded"):
            sp.SpikeSource.from_raster(path, name)
    net.run(50.0, record=path, overwrite=True)
    assert sp.SpikeSource.from_raster(path).times.size > source.times.size  # all neurons, and no warning


def network_with_steps(seed):
    """Populations of several models, parameters for all or for each, with sums of steps for all and for each."""
    rng = np.random.default_rng(seed)
    net = sp.Network(seed=seed)
    for k in range(3):
        n, each, t_ref = int(rng.integers(1, 6)), rng.random() < 0.5, float(rng.choice([0.0, 1.0]))

        def drawn(low, high, n=n, each=each):
            return rng.uniform(low, high, n) if each else float(rng.uniform(low, high))

        kinds = [
            (sp.LIF, {"tau_m": drawn(5, 20), "E_L": drawn(-0.1, 0.1), "I_e": drawn(0.9, 1.5), "t_ref": t_ref}),
            (sp.LIFExp, {"tau_m": 10.0, "tau_syn": (2.0, drawn(3, 9)), "I_e": drawn(0.9, 1.5), "t_ref": t_ref}),
            (sp.QIF, {"tau_m": drawn(5, 20), "I_e": drawn(-0.5, 1.0), "t_ref": t_ref}),
            (sp.QuadraticIF, {"C_m": 10.0, "g_L": drawn(0.9, 1.1), "V_r": -0.5, "V_t": 0.5, "I_e": drawn(0.2, 0.6)}),
        ]
        kind, parameters = kinds[(seed + k) % 4]
        model = kind(**parameters)
        p = net.add(n, model, V=0.0)
        for _ in range(2):
            times = np.sort(rng.choice(np.arange(1.0, 60.0), 8, replace=False))
            net.drive(p, sp.steps(times, rng.normal(0.0, 0.3, (8, n) if rng.random() < 0.5 else 8).round(3)))
    for a in net.populations:
        net.connect(a, net.populations[0], sp.all_to_all(), weight=0.05, delay=1.3)
    return net


@pytest.mark.parametrize("seed", range(8))
def test_sums_of_steps_give_the_same_spikes_in_all_engines_and_after_a_restart(seed, tmp_path):
    net = network_with_steps(seed)
    whole = net.run(70.0, engine="reference")
    assert whole.n_spikes > 5
    for engine in ("window", "heap"):
        sim = sp.Simulation(net, engine=engine)
        first = sim.run(31.7)
        sim.save(tmp_path / "state.h5")
        rest = sp.Simulation.load(tmp_path / "state.h5", net).run(70.0 - 31.7)
        assert np.concatenate([first.times, rest.times]).tolist() == whole.times.tolist()
        assert np.concatenate([first.ids, rest.ids]).tolist() == whole.ids.tolist()


def test_steps_are_checked_at_once_and_make_no_models(monkeypatch):
    made = []
    check = sp.LIF.__post_init__

    def counted(self):
        made.append(self)
        check(self)

    monkeypatch.setattr(sp.LIF, "__post_init__", counted)
    net = sp.Network(seed=1)
    p = net.add(2, sp.LIF(tau_m=10.0, I_e=1.1), V=0.0)
    rng = np.random.default_rng(0)
    net.drive(p, sp.steps(np.arange(1, 20_001) * 0.01, rng.normal(0.0, 0.1, (20_000, 2))))
    made.clear()
    assert net.run(210.0).n_spikes > 10
    assert len(made) < 5
    # A step in vain changes nothing, however many there are.
    net, same = sp.Network(seed=1), sp.Network(seed=1)
    for one in (net, same):
        one.add(2, sp.LIF(tau_m=10.0, I_e=1.1), V=0.0)
    same.drive("population_0", sp.steps(np.arange(1, 20_001) * 0.01, np.zeros(20_000)))
    np.testing.assert_allclose(same.run(210.0).times, net.run(210.0).times, rtol=1e-12)


def test_values_of_steps_that_neurons_are_not_made_for_are_refused_with_their_time():
    net = sp.Network(seed=1)
    lif, qif = net.add(2, sp.LIF(tau_m=10.0)), net.add(2, sp.QIF(tau_m=10.0, t_ref=[1.0, 100.0]))
    with pytest.raises(
        sp.errors.ParameterError, match=r"drive of .*sp\.steps, LIF\.I_e must be between .* got -1e\+61"
    ):
        net.drive(lif, sp.steps([1.0, 2.0], [0.0, -1e61]))
    with pytest.raises(
        sp.errors.ParameterError, match=r"sp\.steps, QIF: t_ref must be at most 500 time constants .* at 3\.0 ms"
    ):
        net.drive(qif, sp.steps([1.0, 3.0], [-1.0, -1e5]))
    # Each alone is allowed, their sum is not.
    net.drive(lif, sp.steps([1.0], [9e59]))
    net.drive(lif, sp.steps([2.0], [9e59]))
    with pytest.raises(sp.errors.ParameterError, match=r"steps of population .* LIF\.I_e must be between"):
        net.run(5.0)


def test_steps_of_neurons_with_tables_keep_to_the_limit_of_the_constructor():
    net = sp.Network(seed=1)
    p = net.add(2, sp.EIF(tau_m=10.0, I_e=1.5))
    with pytest.raises(
        sp.errors.ParameterError, match=r"sp\.steps, EIF needs a table.* at most 200 are allowed, got 301"
    ):
        net.drive(p, sp.steps(np.arange(300.0), np.linspace(0.1, 1.0, 300)))
    # Many steps of few values share their tables.
    net.drive(p, sp.steps(np.arange(1.0, 3001.0) * 0.1, np.tile([0.25, 0.0, 0.5], 1000)))
    runs = [net.run(50.0, engine=engine).times.tolist() for engine in ("window", "heap", "reference")]
    assert runs[0] == runs[1] == runs[2] and len(runs[0]) > 5


def test_the_drive_of_a_quadratic_neuron_is_rounded_once():
    rng = np.random.default_rng(1)
    n = 2000
    g_L, V_r = 10.0 ** rng.uniform(-3, 3, n), rng.normal(-60.0, 5.0, n)
    V_t = V_r + 10.0 ** rng.uniform(-2, 2, n)
    # Near the rheobase, where the terms cancel, and far from it.
    near = 1.0 + rng.normal(size=n) * 10.0 ** rng.uniform(-18, 1, n)
    I_e = g_L * (V_t - V_r) / 4.0 * near
    exact = [riccati_parameters(C_m=1.0, g_L=a, V_r=b, V_t=c, V_peak=math.inf, V_reset=-math.inf, I_e=d, t_ref=0.0)[0]
             for a, b, c, d in zip(*(x.tolist() for x in (g_L, V_r, V_t, I_e)), strict=True)]  # fmt: skip
    assert riccati_drives(g_L, V_r, V_t, I_e).tolist() == [one["I_e"] for one in exact]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["window", "heap"])
def test_changes_that_are_given_to_an_engine_between_instants_are_as_if_they_had_been_there(seed, name):
    """What steering a run does: the changes that are over, then others than the network's."""
    net = network_with_steps(seed)
    source = net.engine_input()
    every = source.changes
    over = {k: every.times[every.populations == k] <= 30.0 for k in every.currents}
    times_over = {k: every.times[every.populations == k][early] for k, early in over.items()}
    first = Changes(times_over, {k: every.currents[k][early] for k, early in over.items()}, every.parameters)
    assert 0 < len(first) < len(every)
    times = []
    for late in (False, True):
        engine = _core.Engine(source, name)
        if late:
            engine.set_changes(first, 0)
        engine.advance(source.clock.pair(31.0))
        assert engine.n_changes == len(first)
        if late:
            engine.set_changes(every, len(first))
        engine.advance(source.clock.pair(70.0))
        times.append(engine.take()[0].tolist())
    assert times[0] == times[1] and len(times[0]) > 5


def test_steps_beyond_the_largest_time_never_come():
    net = sp.Network(seed=1)
    net.drive(net.add(1, sp.LIF(tau_m=10.0, I_e=1.1)), sp.steps([10.0, 1e300], [0.1, 1.0]))
    assert net.run(50.0).n_spikes == net.run(50.0, engine="heap").n_spikes > 0
