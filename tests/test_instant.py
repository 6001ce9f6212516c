"""The semantics of an instant (docs/semantics.md): phases, generations, refractoriness, ties."""

import math

import numpy as np
import pytest

import sparseprop as sp

ENGINES = ["window", "heap", "reference"]
RESTING = sp.LIF(tau_m=20.0)  # rests at 0, threshold 1


def driven(net, V=0.5, n=1, **options):
    """A population of LIF neurons that fire together, first at 20 log(1.6 / 0.6) ms for V = 0.5 and I_e = 2.1."""
    return net.add(n, sp.LIF(tau_m=20.0, I_e=2.1, t_ref=1000.0), V=V, **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cascade_without_delay_is_one_instant_in_generations(engine):
    net = sp.Network(seed=1)
    last, middle = net.add(1, RESTING, name="last"), net.add(1, RESTING, name="middle")
    first = driven(net, name="first")
    net.connect(first, middle, sp.one_to_one(), weight=1.5)
    net.connect(middle, last, sp.one_to_one(), weight=1.5)
    res = net.run(100.0, engine=engine)
    assert res.ids.tolist() == [2, 1, 0]  # by generation, though the ids descend
    assert res.times.tolist() == [res.times[0]] * 3
    assert res.times[0] == pytest.approx(20.0 * math.log(1.6 / 1.1), rel=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("inhibition", "fires"), [(-0.3, True), (-0.7, False)])
def test_weights_that_arrive_together_are_added_first(engine, inhibition, fires):
    """Excitation alone would fire the target; what counts is the sum, whoever has the lower id."""
    for excitation_first in (True, False):
        net = sp.Network(seed=1)
        a, b = driven(net, name="a"), driven(net, name="b")
        target = net.add(1, RESTING, name="target")
        for source, weight in zip((a, b) if excitation_first else (b, a), (1.5, inhibition), strict=True):
            net.connect(source, target, sp.one_to_one(), weight=weight)
        res = net.run(100.0, engine=engine)
        assert (2 in res.ids) == fires


@pytest.mark.parametrize("engine", ENGINES)
def test_neurons_that_are_due_together_fire_together(engine):
    """Inhibition between them comes too late for this instant."""
    net = sp.Network(seed=1)
    p = driven(net, n=5)
    net.connect(p, p, sp.all_to_all(), weight=-3.0)
    res = net.run(100.0, engine=engine)
    assert res.ids.tolist() == [0, 1, 2, 3, 4]
    assert len(set(res.times)) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_overshoot_is_lost_and_kicks_after_the_spike_count(engine):
    """Without refractoriness a spike's own generation of kicks reaches neurons after their reset."""
    net = sp.Network(seed=1)
    source = driven(net)
    pair = net.add(2, RESTING, name="pair")
    net.connect(source, pair, sp.all_to_all(), weight=5.0)
    net.connect(pair, pair, sp.edges([0, 1], [1, 0]), weight=-0.25)
    sim = sp.Simulation(net, engine=engine)
    sim.run(n_spikes=3)
    assert sim.V[1:] == pytest.approx([-0.25, -0.25], abs=1e-15)


@pytest.mark.parametrize("engine", ENGINES)
def test_kicks_are_dropped_in_the_refractory_period_and_count_at_its_end(engine):
    def V_after(interval):
        """V of a target that fires at time 0.5 + 7.49..., kicked again `interval` later."""
        net = sp.Network(seed=1)
        target = net.add(1, sp.LIF(tau_m=20.0, t_ref=4.0), name="target")
        # A neuron with tau_m = 20 and I_e = 2.1 reaches threshold at 20 log((2.1 - V) / 1.1).
        sources = net.add(
            2,
            sp.LIF(tau_m=20.0, I_e=2.1, t_ref=1000.0),
            V=[2.1 - 1.1 * math.exp(t / 20.0) for t in (8.0, 8.0 + interval)],
        )
        net.connect(sources, target, sp.edges([0, 1], [0, 0]), weight=[2.0, -0.5])
        sim = sp.Simulation(net, engine=engine)
        sim.run(8.0 + interval + 1e-9)
        return sim.V[0]

    assert V_after(3.999) == 0.0
    assert V_after(4.001) == pytest.approx(-0.5, abs=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_psp_decays_exponentially(engine):
    net = sp.Network(seed=1)
    source, target = driven(net), net.add(1, RESTING)
    net.connect(source, target, sp.one_to_one(), weight=0.75)
    sim = sp.Simulation(net, engine=engine)
    t = sim.run(n_spikes=1).times[0]
    for elapsed in (1.0, 10.0, 100.0):
        sim.run(t + elapsed - sim.time)
        assert sim.V[1] == pytest.approx(0.75 * math.exp(-elapsed / 20.0), rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_of_excitation_without_refractoriness_is_an_error(engine):
    net = sp.Network(seed=1)
    a = net.add(1, sp.LIF(tau_m=20.0, I_e=2.1), V=0.5, name="a")
    b = net.add(1, RESTING, name="b")
    net.connect(a, b, sp.one_to_one(), weight=1.5)
    net.connect(b, a, sp.one_to_one(), weight=1.5)
    sim = sp.Simulation(net, engine=engine)
    with pytest.raises(sp.errors.RunawayError, match=r"neuron 0 of population 'a' .* t = 7\.49.*t_ref > 0"):
        sim.run(100.0)
    with pytest.raises(sp.errors.RunawayError, match="make a new one"):
        sim.run(100.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_of_excitation_with_refractoriness_runs(engine):
    net = sp.Network(seed=1)
    p = net.add(2, sp.LIF(tau_m=20.0, I_e=2.1, t_ref=1.0), V=[0.5, 0.1])
    net.connect(p, p, sp.all_to_all(), weight=1.5)
    res = net.run(100.0, engine=engine)
    assert (res.times[0::2] == res.times[1::2]).all()
    assert res.n_spikes > 6


@pytest.mark.parametrize("engine", ENGINES)
def test_a_period_below_the_resolution_of_time_is_an_error(engine):
    net = sp.Network(seed=1)
    net.add(1, sp.LIF(tau_m=1.0, V_reset=1.0 - 1e-16, I_e=3.0), V=-5.0)
    net.add(1, sp.LIF(tau_m=1e6, I_e=0.5))  # does not matter: the shortest tau sets the resolution
    with pytest.raises(sp.errors.RunawayError, match="resolution of time"):
        net.run(100.0, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_overflow_names_the_neuron_the_time_and_the_state_before(engine):
    net = sp.Network(seed=1)
    source, target = driven(net), net.add(1, RESTING, V=0.25, name="target")
    net.connect(source, target, sp.one_to_one(), weight=-1.7e308)
    net.connect(source, target, sp.one_to_one(), weight=-1.7e308)
    with pytest.raises(sp.errors.NumericalError, match=r"neuron 0 of population 'target' .* before the event was 0\.1"):
        net.run(100.0, engine=engine)


def excitatory_network(sources, targets, V):
    """Random excitatory LIF network without delay; the weights' sums are exact."""
    net = sp.Network(seed=1)
    p = net.add(len(V), sp.LIF(tau_m=20.0, I_e=1.05, t_ref=2.0), V=V)
    net.connect(p, p, sp.edges(sources, targets), weight=2.0**-5)
    return net


@pytest.mark.parametrize("seed", range(5))
def test_renumbering_permutes_the_raster_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    n = 200
    V = rng.choice(rng.uniform(0.0, 1.0, 40), n)  # many neurons tie
    pairs = rng.permutation(n * n)[: 20 * n]
    sources, targets = pairs // n, pairs % n
    sources, targets = sources[sources != targets], targets[sources != targets]
    new = rng.permutation(n)  # the neuron that was i becomes new[i]
    a = excitatory_network(sources, targets, V).run(400.0)
    V_new = np.empty(n)
    V_new[new] = V
    b = excitatory_network(new[sources], new[targets], V_new).run(400.0)
    assert a.n_spikes > 1000
    assert len(set(a.times)) < 0.9 * a.n_spikes  # instants with several spikes
    assert np.array_equal(a.times, b.times)
    order = np.lexsort((new[a.ids], a.times))
    assert np.array_equal(new[a.ids][order], b.ids[np.lexsort((b.ids, b.times))])


def test_voltage_jump_benchmark_of_brette_et_al_2007():
    """Benchmark 4 without delay: 9.5 to 9.7 Hz under every sound rule for simultaneous spikes (design, section 5)."""
    net = sp.Network(seed=2)
    model = sp.LIF(tau_m=20.0, E_L=-49.0, V_th=-50.0, V_reset=-60.0, t_ref=5.0)
    V = -60.0 + 10.0 * np.random.default_rng(1).random(4000)
    E, I = net.add(3200, model, name="E", V=V[:3200]), net.add(800, model, name="I", V=V[3200:])
    for post in (E, I):
        net.connect(E, post, sp.pairwise_bernoulli(0.02), weight=0.25)
        net.connect(I, post, sp.pairwise_bernoulli(0.02), weight=-2.25)
    assert 9.0 < net.run(3000.0).rate < 10.2


@pytest.mark.parametrize("engine", ENGINES)
def test_driven_exactly_to_threshold_needs_a_kick(engine):
    net = sp.Network(seed=1)
    source, target = driven(net), net.add(1, sp.LIF(tau_m=1.0, I_e=1.0), name="target")
    net.connect(source, target, sp.one_to_one(), weight=1.5)
    res = net.run(1000.0, engine=engine)
    assert res.ids.tolist() == [0, 1]  # alone it comes as near as 1 - exp(-1000), and does not fire


def test_theta_and_infinite_qif_are_one_model():
    runs = []
    for model in (sp.Theta(tau_m=10.0, I_e=0.1), sp.QIF(tau_m=10.0, I_e=0.1)):
        net = sp.Network(seed=1)
        p = net.add(50, model)
        net.connect(p, p, sp.fixed_outdegree(10), weight=-0.1)
        runs.append(net.run(500.0))
    assert np.array_equal(runs[0].times, runs[1].times)
    assert runs[0].n_spikes > 100


def test_phases_of_an_oscillator_are_times_to_its_spike():
    net = sp.Network(seed=1)
    phase = np.array([0.0, 0.25, 0.5, 0.9])
    models = {
        "lif": sp.LIF(tau_m=10.0, I_e=1.5),
        "qif": sp.QIF(tau_m=10.0, I_e=0.3, V_peak=10.0, V_reset=-3.0),
        "qif_infinite": sp.QIF(tau_m=10.0, I_e=0.3),
    }
    for name, model in models.items():
        net.add(4, model, name=name, phase=phase)
    net.add(3, sp.Theta(tau_m=10.0, I_e=1.0), name="theta", phase=[-math.pi / 2, 0.0, math.pi / 2])
    res = net.run(100.0)
    for name, model in models.items():
        first = [res.population(name).times[res.population(name).ids == i][0] for i in range(4)]
        assert first == pytest.approx((1.0 - phase) * model.free_period(), rel=1e-12)
    # theta' = 2 / tau for I_e = 1
    theta = res.population("theta")
    first = [theta.times[theta.ids == i][0] for i in range(3)]
    assert first == pytest.approx(5.0 * (math.pi - np.array([-math.pi / 2, 0.0, math.pi / 2])), rel=1e-12)


def test_uniform_phase_is_uniform_in_time_with_the_refractory_period():
    """First spikes of free neurons are then uniform over the whole cycle."""
    for model in (sp.LIF(tau_m=10.0, I_e=1.1, t_ref=10.0), sp.QIF(tau_m=10.0, I_e=0.2, V_peak=9.0, t_ref=10.0)):
        net = sp.Network(seed=3)
        net.add(4000, model, V=sp.uniform_phase())
        cycle = model.free_period() + 10.0
        res = net.run(cycle * 0.9999)
        assert res.n_spikes == pytest.approx(4000, abs=4)  # each fires once in a cycle
        _, first = np.unique(res.ids, return_index=True)
        phase = np.sort(res.times[first]) / cycle
        assert np.abs(phase - np.arange(len(phase)) / len(phase)).max() < 1.63 / math.sqrt(4000)  # KS, p = 0.01


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("second", [1e-9, 1.0, -1e-9])
def test_a_saddle_kicked_onto_its_unstable_point_stays_there_until_the_next_kick(engine, second):
    """V = kappa without input: nothing grows, for thousands of time constants."""
    net = sp.Network(seed=1)
    sources = net.add(2, sp.LIF(tau_m=20.0, I_e=2.1, t_ref=1000.0), V=[0.5, -1e4])
    target = net.add(1, sp.QIF(tau_m=0.01, I_e=-1.0, V_peak=10.0, V_reset=-1.0), V=-1.0, name="target")
    net.connect(sources, target, sp.edges([0, 1], [0, 0]), weight=[2.0, second])
    sim = sp.Simulation(net, engine=engine)
    sim.run(100.0)
    assert sim.V[2] == 1.0
    fired = sim.run(400.0).population("target").times
    if second < 0.0:
        assert len(fired) == 0
        assert sim.V[2] == pytest.approx(-1.0)
    else:
        t = 20.0 * math.log((2.1 + 1e4) / 1.1)
        # From 1 + w to 10: V' = V^2 - 1
        climb = 0.01 * 0.5 * math.log(9.0 / 11.0 * (2.0 + second) / second)
        assert fired == pytest.approx([t + climb], abs=1e-9)


def test_free_periods_do_not_cancel():
    for I_e in (1e-40, 1e-30, 1e-20, 0.0):
        model = sp.QIF(tau_m=10.0, I_e=I_e, V_reset=1.0, V_peak=2.0)
        assert model.free_period() == pytest.approx(5.0, rel=1e-14)
    assert sp.LIF(tau_m=10.0, E_L=1.0, I_e=1e-20, V_th=1.0).free_period() == pytest.approx(10.0 * math.log(1e20))


def test_default_states_are_below_threshold():
    net = sp.Network(seed=1)
    net.add(1, sp.QIF(tau_m=10.0, I_e=-1.0, V_peak=-1.0, V_reset=-3.0))
    net.add(1, sp.QIF(tau_m=10.0, I_e=0.0, V_peak=0.0, V_reset=-1.0))
    assert sp.Simulation(net).V.tolist() == [-3.0, -1.0]


# Close calls --------------------------------------------------------------------------------------------------------


def two_equal_neurons(delay):
    """The one that is behind is driven over threshold by the other, and so is due when the next kick arrives."""
    net = sp.Network(seed=1)
    n = net.add(2, sp.LIF(tau_m=10.0, I_e=1.5), V=[0.6, 0.0])
    net.connect(n, n, sp.edges([0], [1]), weight=0.4, delay=delay)
    return net


def test_a_tie_that_rounding_decides_is_a_close_call():
    """(t + d) + P and (t + P) + d: the kick is lost in the overshoot, or it is what the next period begins with."""
    last, delay = set(), 1.7
    for _ in range(16):
        runs = [two_equal_neurons(delay).run(30.0, engine=engine) for engine in ENGINES]
        assert runs[0].times.tolist() == runs[1].times.tolist() == runs[2].times.tolist()
        assert [res.n_close_calls for res in runs] == [runs[0].n_close_calls] * 3 and runs[0].n_close_calls >= 1
        last.add(round(float(runs[0].times[runs[0].ids == 1][-1]), 3))
        delay = math.nextafter(delay, 2.0)
    assert last == {26.449, 29.55}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("after", "t_ref", "close"),
    [(-2e-12, 0.0, 0), (-5e-13, 0.0, 1), (0.0, 0.0, 1), (5e-13, 0.0, 1), (5e-13, 1.0, 1), (2e-12, 0.0, 0)],
)
@pytest.mark.parametrize("weight", [0.001, -0.001])
def test_kicks_within_rounding_of_a_spike_are_close_calls(engine, after, t_ref, close, weight):
    """2^-46 of an epoch of 64 ms is 9e-13 ms; before the spike and after it, where it is refractory too."""

    def net(times):
        net = sp.Network(seed=1)
        source = net.add(1, sp.SpikeSource(times, [0] * len(times)))
        bystander, n = net.add(2, sp.LIF(tau_m=10.0)), net.add(1, sp.LIF(tau_m=10.0, I_e=2.0, t_ref=t_ref), V=0.0)
        net.connect(source, bystander, sp.all_to_all(), weight=weight)
        net.connect(source, n, sp.all_to_all(), weight=weight)
        return net

    (spike,) = net([]).run(n_spikes=1, engine=engine).times
    res = net([spike + after, 9.0]).run(10.0, engine=engine)
    assert res.n_close_calls == close and res.n_synaptic_events == 6
    assert ("1 close calls" in str(res)) == bool(close)
    batch = sp.run_batch(net([]), [([spike + after, 9.0], [0, 0])] * 2, duration=10.0)
    assert batch.n_close_calls == 2 * close


def test_irregular_networks_have_no_close_calls():
    assert sp.balanced_network(500, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(n_spikes=20_000).n_close_calls == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_undelayed_kicks_are_close_calls_too_but_of_one_generation(engine):
    net = sp.Network(seed=1)
    n = net.add(2, sp.LIF(tau_m=10.0, I_e=2.0), V=[0.0, -1e-13])  # due 5e-13 ms after the other
    net.connect(n, n, sp.edges([0], [1]), weight=-0.001)
    assert net.run(n_spikes=2, engine=engine).n_close_calls == 1
    equal = sp.Network(seed=1)
    n = equal.add(2, sp.LIF(tau_m=10.0, I_e=2.0), V=0.0)  # due together: in one generation, which has an order
    equal.connect(n, n, sp.edges([0], [1]), weight=-0.001)
    assert equal.run(n_spikes=2, engine=engine).n_close_calls == 0


def test_close_calls_are_counted_across_cuts_and_files(tmp_path):
    delay = 1.7
    while two_equal_neurons(delay).run(30.0).times[-1] > 29.0:
        delay = math.nextafter(delay, 2.0)
    net = two_equal_neurons(delay)
    whole = net.run(30.0, record=tmp_path / "raster.h5")
    assert sp.load(tmp_path / "raster.h5").n_close_calls == whole.n_close_calls >= 1
    assert "close calls" in str(sp.load(tmp_path / "raster.h5"))
    for engine in ENGINES:
        sim, count = sp.Simulation(net, engine=engine), 0
        while sim.time < 25.0:
            count += sim.run(n_spikes=1).n_close_calls  # also between the spike and the kick just after it
            sim.save(tmp_path / "state.h5")
            sim = sp.Simulation.load(tmp_path / "state.h5", net)
        assert count == whole.n_close_calls
