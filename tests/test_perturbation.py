"""Twins of a run: what they show is what theory says of stable and of chaotic networks."""

import math

import numpy as np
import pytest

import sparseprop as sp
from sparseprop.dynamics.distance import Metric
from sparseprop.dynamics.perturbation import Perturbation


@pytest.fixture(scope="module")
def stable():
    return sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=20, seed=1)


@pytest.fixture(scope="module")
def chaotic():
    net = sp.balanced_network(500, sp.Theta(tau_m=10.0), outdegree=100, seed=1)
    return sp.calibrate_rate(net, 1.0)


def test_a_tiny_perturbation_of_an_inhibitory_lif_network_fades_and_the_raster_is_the_same_ever_after(stable):
    twins = sp.perturb(stable, size=1e-10, n=5, duration=1000.0)
    assert twins.distance[:, 0] == pytest.approx(1e-10, rel=1e-3)
    assert (twins.first_different == math.inf).all()
    assert twins.returned.all() and twins.flux_tube_radius == math.inf
    # What is left is a shift in time, which nothing brings back.
    assert (twins.transversal[:, -1] < 1e-13).all()
    assert (np.abs(twins.time_shift) < 1e-8).all()
    late = twins.distance[:, -20:]
    assert np.ptp(late, axis=1) == pytest.approx(0.0, abs=1e-13)
    # No mode fades faster than V does without spikes.
    assert -100.0 < twins.divergence_rate < 0.0
    assert twins.decorrelation_time == math.inf


def test_the_shift_in_time_is_that_of_all_later_spikes(stable):
    """Against two runs by hand: all spikes of the second half come later by the same time."""
    sim = sp.Simulation(stable)
    sim.run(200.0)
    twin = sim.copy()
    V = sim.V.copy()
    V[3] -= 1e-6
    twin.set_state(V=V)
    for part in (sim, twin):
        part.run(1500.0)
    one, other = sim.run(200.0), twin.run(200.0)
    assert np.array_equal(one.ids, other.ids)
    shift = other.times - one.times
    assert np.abs(shift).max() > 1e-12 and np.ptp(shift) < 1e-12


@pytest.mark.parametrize("kind", ["spike", "missing spike"])
def test_one_spike_more_or_less_makes_another_raster_of_a_lif_network(stable, kind):
    twins = sp.perturb(stable, kind, n=6, duration=500.0)
    assert (twins.first_different < 100.0).all()
    assert not twins.returned.any() and twins.flux_tube_radius == 0.0
    assert np.isnan(twins.time_shift).all()
    # 20 of 200 neurons are moved, by up to 1 / sqrt(20) of the way from reset to threshold.
    assert (twins.distance[:, 0] > 1e-3).all() and (twins.distance[:, 0] < 0.05).all()
    assert twins.distance[:, -50:].mean() == pytest.approx(twins.unrelated_distance, rel=0.25)
    assert 0.0 < twins.decorrelation_time < 200.0


def test_the_flux_tube_has_a_radius(stable):
    twins = sp.perturb(stable, size=np.geomspace(1e-5, 3e-2, 8), n=10, duration=1000.0)
    back = twins.returned.reshape(8, 10).mean(axis=1)
    assert back[0] == 1.0 and back[-1] == 0.0 and (np.diff(back) <= 0.2).all()
    assert 1e-3 < twins.flux_tube_radius < 1e-2
    assert 0.0 < twins.flux_tube_radius_error < 0.5 * twins.flux_tube_radius
    # The twins that return are those that keep the order of spikes in the end.
    assert (twins.first_different[twins.returned] > twins.first_different[~twins.returned].min()).any()


def test_the_radius_is_that_of_the_likelihood():
    rng = np.random.default_rng(3)
    size = np.repeat(np.geomspace(1e-4, 1e-1, 20), 200)
    back = rng.random(size.size) < np.exp(-size / 7e-3)
    distance = np.stack([size, np.where(back, 0.5, 2.0) * size], axis=1)
    nothing = np.full(size.size, np.nan)
    twins = sp.Perturbation("state", np.array([0.0, 1.0]), size, distance, distance, nothing, nothing, 0.2)
    assert abs(twins.flux_tube_radius - 7e-3) < 4.0 * twins.flux_tube_radius_error
    assert twins.flux_tube_radius_error < 5e-4

    def log_likelihood(radius):
        p = np.exp(-size / radius)
        return np.log(np.where(back, p, 1.0 - p)).sum()

    best = twins.flux_tube_radius
    assert log_likelihood(best) > max(log_likelihood(best * 1.01), log_likelihood(best / 1.01))


def test_a_theta_network_diverges_as_its_largest_lyapunov_exponent_says(chaotic):
    """About 20 per s for N = 500, K = 100, J0 = 1, 1 Hz, tau_m = 10 ms."""
    twins = sp.perturb(chaotic, n=8, duration=2000.0)
    assert twins.divergence_rate == pytest.approx(20.0, abs=max(3.0, 4.0 * twins.divergence_rate_error))
    assert np.isfinite(twins.first_different).all()
    assert twins.distance[:, -60:].mean() == pytest.approx(twins.unrelated_distance, rel=0.25)
    # From 1e-10 to the size of the attractor, some e^20.
    assert 500.0 < twins.decorrelation_time < 1800.0
    exponent = 20.0
    if hasattr(sp, "lyapunov_spectrum"):
        exponent = float(sp.lyapunov_spectrum(chaotic, n_exponents=1, n_spikes=20_000).exponents[0])
        assert twins.divergence_rate == pytest.approx(exponent, rel=0.15)


def test_slopes_are_those_of_exponentials():
    times = np.linspace(0.0, 1000.0, 201)
    grows = 1e-10 * np.exp(0.02 * times)
    fades = 1e-8 * np.exp(-0.03 * times)
    distance = np.stack([np.minimum(grows, 0.2), fades])
    nothing = np.full(2, np.nan)
    twins = sp.Perturbation("state", times, distance[:, 0], distance, distance, nothing, nothing, 0.2)
    assert twins.rates() == pytest.approx([20.0, -30.0], rel=1e-9)
    assert twins.divergence_rate == pytest.approx(-5.0) and twins.divergence_rate_error == pytest.approx(25.0)
    assert twins.rates(low=1e-9, high=1e-7)[0] == pytest.approx(20.0, rel=1e-9)
    assert np.isnan(twins.rates(low=1e-3, high=1.01e-3)[0])
    with pytest.raises(sp.errors.ParameterError, match="low must be a distance > 0"):
        twins.rates(low=0.0)


def test_the_error_knows_that_all_twins_are_beside_one_run():
    """Their logarithms grow by what the stretches of one run add, and by little of their own."""
    times, nothing = np.linspace(0.0, 1500.0, 301), np.full(6, np.nan)
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        common = np.cumsum(rng.normal(0.015 * 5.0, 0.2, 300))
        log = common + np.cumsum(rng.normal(0.0, 0.02, (6, 300)), axis=1)
        distance = 1e-10 * np.exp(np.column_stack([np.zeros(6), log]))
        twins = sp.Perturbation("state", times, distance[:, 0], distance, distance, nothing, nothing, 1.0)
        found.append((twins.divergence_rate, twins.divergence_rate_error))
    rates, errors = np.array(found).T
    assert rates.mean() == pytest.approx(15.0, abs=0.5)
    assert errors.mean() == pytest.approx(rates.std(), rel=0.3)


def everything():
    """Delays, refractory periods, currents, excitation, inputs."""
    net = sp.Network(seed=2)
    E = net.add(60, sp.LIFExp(tau_m=10.0, tau_syn=3.0, I_e=1.2, t_ref=1.0), name="E")
    I = net.add(40, sp.RapidTheta(tau_m=10.0, rapidness=5.0, I_e=0.2), name="I")
    Q = net.add(20, sp.QIF(tau_m=10.0, I_e=0.3, V_peak=10.0, V_reset=-5.0), name="Q")
    for pre, weight in ((E, 0.05), (I, -0.1), (Q, -0.1)):
        net.connect(pre, E, sp.fixed_outdegree(8), weight=weight, delay=sp.uniform(0.0, 3.0))
        net.connect(pre, I, sp.fixed_outdegree(8), weight=weight)
        net.connect(pre, Q, sp.fixed_outdegree(4), weight=weight, delay=1.0)
    net.drive(E, sp.poisson(rate=100.0), weight=0.2)
    net.connect(net.add(3, sp.PoissonSource(50.0), name="s"), Q, sp.fixed_outdegree(5), weight=0.1)
    return net


@pytest.mark.parametrize("kind", ["state", "spike", "missing spike"])
def test_all_engines_have_the_same_twins(kind):
    found = []
    for engine in ("window", "heap", "reference"):
        twins = sp.perturb(everything(), kind, n=3, duration=80.0, warmup=60.0, n_times=9, engine=engine, seed=5)
        found.append((twins.distance.tobytes(), twins.transversal.tobytes(), twins.first_different.tobytes()))
    assert found[0] == found[1] == found[2]
    again = sp.perturb(everything(), kind, n=3, duration=80.0, warmup=60.0, n_times=9, seed=5)
    assert again.distance.tobytes() == found[0][0]
    assert (again.distance[:, 0] > 0.0).any()


def test_a_spike_more_is_what_an_injected_spike_does():
    """Of a source that has the same synapses, at the same time."""
    net = sp.Network(seed=4)
    n = 50
    source = net.add(n, sp.SpikeSource([], []), name="s")
    p = net.add(n, sp.Theta(tau_m=10.0, I_e=0.1), name="p")
    rng = np.random.default_rng(1)
    edges = [(i, j) for i in range(n) for j in rng.permutation(n)[:5].tolist() if i != j]
    sources, targets = np.array(edges).T
    delay = np.where(rng.random(len(edges)) < 0.5, 0.0, 1.5)
    for pre in (source, p):
        net.connect(pre, p, sp.edges(sources, targets), weight=-0.2, delay=delay)
    from sparseprop.dynamics.perturbation import _act

    for i in (0, 7, 23):
        sim = sp.Simulation(net)
        sim.run(40.0)
        added, injected = sim.copy(), sim.copy()
        assert _act(added, net, p.first + i, 1.0)
        injected.inject("s", injected.time, i)
        one, other = added.run(60.0), injected.run(60.0)
        assert np.array_equal(one.ids, other.ids)
        assert one.times == pytest.approx(other.times, abs=1e-9)


def test_without_inputs_and_with_uniform_phases_only_there_is_a_transversal_distance(stable):
    assert np.all(Metric(stable).velocity > 0.0)
    metric = Metric(stable)
    rng = np.random.default_rng(0)
    difference = 1e-6 * rng.standard_normal(200)
    shift = 0.3 * metric.velocity
    assert metric.transversal(difference + shift) == pytest.approx(metric.transversal(difference), rel=1e-6)
    assert metric.distance(difference + shift) > 100.0 * metric.distance(difference)
    driven = everything()
    difference = rng.standard_normal(120)
    assert Metric(driven).transversal(difference) == Metric(driven).distance(difference)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "spikes"}, "kind must be one of 'state', 'spike', 'missing spike', got 'spikes'"),
        ({"kind": "spike", "size": 1e-3}, "size is for kind='state'"),
        ({"size": 0.0}, "size must be a distance from 1e-14 to 0.1"),
        ({"size": [1e-3, np.nan]}, "size must be a distance from 1e-14 to 0.1"),
        ({"n": 2**70}, "n must be a whole number from 1 to"),
        ({"size": []}, "size must be a distance from .*, got none"),
        ({"kind": np.array([])}, "kind must be one of"),
        ({"n": 0}, "n must be a whole number from 1 to"),
        ({"duration": 0.0}, "duration must be a time > 0 ms"),
        ({"warmup": -1.0}, "warmup must be a time >= 0 ms"),
        ({"n_times": 1}, "n_times must be a whole number from 2 to"),
    ],
)
def test_what_is_refused(stable, given, message):
    with pytest.raises(sp.errors.ParameterError, match=message):
        sp.perturb(stable, **given)


def test_what_cannot_be_added_or_left_out_is_said():
    with pytest.raises(sp.errors.ParameterError, match="net must be a Network"):
        sp.perturb(3)
    sources = sp.Network(seed=1)
    sources.add(2, sp.PoissonSource(3.0))
    with pytest.raises(sp.errors.ParameterError, match="net must have neurons"):
        sp.perturb(sources)
    silent = sp.Network(seed=1)
    p = silent.add(5, sp.LIF(tau_m=10.0))
    with pytest.raises(sp.errors.ParameterError, match="this network is silent"):
        sp.perturb(silent, "missing spike")
    with pytest.raises(sp.errors.ParameterError, match="10 neurons whose spike is heard .* 0 found; synapses"):
        sp.perturb(silent, "spike")
    silent.connect(p, p, sp.fixed_outdegree(2), weight=2.0)
    with pytest.raises(sp.errors.ParameterError, match="and 0 found"):
        sp.perturb(silent, "spike", n=2)
    chain = sp.Network(seed=1)
    p = chain.add(5, sp.LIF(tau_m=10.0, I_e=2.0), V=0.0)
    chain.connect(p, p, sp.fixed_outdegree(4), weight=2.0, delay=1e-3)
    with pytest.raises(sp.errors.ParameterError, match="0 of 1000 could be; spikes that come one by one"):
        sp.perturb(chain, "missing spike", n=2, warmup=0.0)


def test_neurons_that_are_all_refractory_have_no_phase_to_move():
    net = sp.Network(seed=1)
    net.add(2, sp.LIF(tau_m=10.0, I_e=1.5, t_ref=5.0), V=0.0)
    with pytest.raises(sp.errors.ParameterError, match="warmup ended where all neurons are refractory"):
        sp.perturb(net, warmup=11.0)


def test_spikes_that_are_still_on_their_way_have_no_distance():
    net = sp.Network(seed=1)
    p = net.add(50, sp.LIF(tau_m=10.0, I_e=1.5))
    net.connect(p, p, sp.fixed_outdegree(5), weight=-0.1, delay=1.0)
    twins = sp.perturb(net, "spike", n=3, duration=50.0, warmup=20.0, n_times=100)
    assert (twins.sizes == 0.0).all()
    assert np.isnan(twins.flux_tube_radius) and np.isnan(twins.flux_tube_radius_error)
    assert not np.isinf(twins.rates()).any()
    near = Perturbation("spike", twins.times, twins.sizes, twins.distance.copy(), twins.distance, *[np.zeros(3)] * 3)
    near.distance[0, 0] = 1e-3
    near.transversal[0, 0] = 1e300
    assert near.flux_tube_radius == np.inf  # of the one that has a distance


def test_low_is_below_high(stable):
    twins = sp.perturb(stable, n=1, duration=20.0, warmup=0.0)
    with pytest.raises(sp.errors.ParameterError, match="low must be below high, got low=0.5 and high=0.1"):
        twins.rates(0.5, 0.1)


def test_plot(stable):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert sp.perturb(stable, size=[1e-6, 1e-2], n=2, duration=100.0).plot(ax) is ax
    assert len(ax.lines) == 2 * 2 + 2 + 1 and ax.get_yscale() == "log"
    ax = Figure().add_subplot()
    twins = sp.perturb(stable, "spike", n=2, duration=100.0)
    twins.plot(ax)
    assert len(ax.lines) == 2 + 1 + 1
    assert "spike" in repr(twins)
