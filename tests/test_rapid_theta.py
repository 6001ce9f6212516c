"""The rapid theta neuron against scipy's solver and mpmath; and the theta neuron, which it is, bit for bit."""

import math

import mpmath
import numpy as np
import pytest
from random_networks import outcome
from scipy.integrate import solve_ivp

import sparseprop as sp

# The window is to be tested on small networks too, which would get a heap.
sp.run.simulation.SMALL = 0

MODELS = {
    "oscillates": sp.RapidTheta(tau_m=10.0, rapidness=3.0, I_e=0.3),
    "oscillates fast": sp.RapidTheta(tau_m=10.0, rapidness=10.0, I_e=2.0),
    "rests": sp.RapidTheta(tau_m=10.0, rapidness=4.0, I_e=-0.4),
    "at the rheobase": sp.RapidTheta(tau_m=10.0, rapidness=2.0),
    "near the rheobase": sp.RapidTheta(tau_m=10.0, rapidness=2.0, I_e=3e-5),
    "just below the rheobase": sp.RapidTheta(tau_m=10.0, rapidness=2.0, I_e=-3e-5),
    "steep": sp.RapidTheta(tau_m=10.0, rapidness=100.0, I_e=0.1),
    "almost theta": sp.RapidTheta(tau_m=10.0, rapidness=1.0 + 1e-9, I_e=0.3),
    "slow": sp.RapidTheta(tau_m=10.0, rapidness=0.2, I_e=0.3),
    "slow at rest": sp.RapidTheta(tau_m=10.0, rapidness=0.2, I_e=-0.1),
}
INFINITE = (
    1e4  # where the solver takes V as infinite, but for what is left of the way, tau_m / (a_U V) or tau_m / (a_S V)
)


def curvatures(model):
    r = model.rapidness
    return (r + 1.0) / (2.0 * r), r * (r + 1.0) / 2.0


def kicks_of(model, seed, duration):
    """Times and weights of kicks of both signs that cross 0 often."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.5, duration, 40))
    scale = math.sqrt(max(abs(model.I_e), 0.05))
    return times, scale * rng.choice([-0.7, -0.2, 0.3, 0.9, 1.9], times.size)


def solved(model, V, times, weights, duration):
    """Spikes and the final V by DOP853, which is restarted at each passage of 0 and knows V as infinite from 1e4 on."""
    a_S, a_U = curvatures(model)

    def drift(_, V):
        V = np.minimum(V, 1e100)  # steps that are tried
        return ((a_U if V[0] > 0.0 else a_S) * V**2 + model.I_e) / model.tau_m

    def at_infinity(_, V):
        return V[0] - INFINITE

    def at_glue(_, V):
        return V[0]

    at_infinity.terminal = at_glue.terminal = True
    spikes, t = [], 0.0
    for end, weight in [*zip(times, weights, strict=True), (duration, 0.0)]:
        while t < end:
            way = solve_ivp(
                drift, (t, end), [V], method="DOP853", rtol=1e-12, atol=1e-13, events=[at_infinity, at_glue]
            )
            t, V = way.t[-1], way.y[0, -1]
            if way.t_events[0].size:
                spikes.append(t + model.tau_m / (a_U * INFINITE))
                t, V = spikes[-1] + model.tau_m / (a_S * INFINITE), -INFINITE
            elif way.t_events[1].size:
                V = math.copysign(1e-14, drift(t, np.array([V]))[0])
        V += weight
    return np.array(spikes), V


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_rapid_theta_with_kicks_against_a_high_order_solver(name, seed):
    model, duration = MODELS[name], 150.0
    times, weights = kicks_of(model, seed, duration)
    V = float(-0.4 * math.sqrt(abs(model.I_e) + 0.01))
    expected, V_end = solved(model, V, times, weights, duration)
    net = sp.Network(seed=1)
    p = net.add(1, model, V=V)
    for t, w in zip(times.tolist(), weights.tolist(), strict=True):
        net.connect(net.add(1, sp.SpikeSource([t], [0])), p, sp.all_to_all(), weight=w)
    res = net.run(duration + 1.0, record=sp.Record(V=[0], V_times=[duration]))
    spikes = res.times[res.times <= duration]
    # What the solver leaves out at infinity, and kicks there, are of the order tau_m / 1e4^3.
    assert spikes.size == expected.size
    assert spikes == pytest.approx(expected, rel=0.0, abs=1e-7)
    assert res.V[0, 0] == pytest.approx(V_end, rel=1e-6, abs=1e-6)


def theta_network(model):
    net = sp.Network(seed=5)
    p = net.add(60, model, name="p")
    net.connect(p, p, sp.fixed_outdegree(12), weight=-0.2)
    net.connect(p, p, sp.fixed_outdegree(5), weight=0.15, delay=sp.uniform(0.1, 3.0))
    net.drive(p, sp.poisson(rate=80.0), weight=0.5)
    net.drive(p, sp.poisson(rate=50.0), weight=-0.4)
    net.drive(p, sp.steps([30.0, 60.0], [0.2, -0.2]))
    return net


@pytest.mark.parametrize("I_e", [0.7, -0.3, 5e-5, -5e-5, 0.0, np.linspace(-0.3, 0.4, 60)], ids=str)
def test_with_rapidness_1_it_is_the_theta_neuron_bit_for_bit(I_e):
    record = {"record": sp.Record(V=np.arange(60), V_times=np.linspace(0.5, 99.5, 50)), "tape": True}
    ways = []
    for engine in ("window", "heap"):
        for model in (sp.Theta(10.0, I_e), sp.RapidTheta(10.0, 1.0, I_e)):
            res = theta_network(model).run(100.0, engine=engine, **record)
            ways.append((res.times.tobytes(), res.ids.tobytes(), res.V.tobytes()))
    assert len(set(ways)) == 1
    assert len(ways[0][0]) > 8 * 20
    # Derivatives are computed in other coordinates.
    theta, rapid = (
        net.run(100.0, tape=True).backward(np.ones(res.n_spikes))
        for net in map(theta_network, (sp.Theta(10.0, I_e), sp.RapidTheta(10.0, 1.0, I_e)))
    )
    for name in ("I_e", "tau_m", "V"):
        expected = getattr(theta, name)
        assert getattr(rapid, name) == pytest.approx(expected, rel=1e-8, abs=1e-10 * np.abs(expected).max()), name


@pytest.mark.parametrize("rapidness", [0.05, 0.5, 0.999999, 1.0, 1.000001, 2.0, 30.0, 1e6])
@pytest.mark.parametrize("I_e", [1.0, 1.01e-4, 0.9e-4, 1e-9, 1e-300, 5e-324, 0.0, -1e-300, -1e-9, -1e-4, -1e-2, -1.0])
def test_engines_agree_at_any_rapidness(rapidness, I_e):
    """Networks with neurons that are kicked over 0 both ways, and pass it by themselves."""
    if I_e == 1.0 and rapidness == 1e6:
        I_e = 0.5
    root = math.sqrt(max(abs(I_e), 1e-4))
    model = sp.RapidTheta(tau_m=10.0, rapidness=rapidness, I_e=I_e)
    net = sp.Network(seed=3)
    unstable = math.sqrt(abs(I_e) / curvatures(model)[1])
    V = np.array([-1.0, -1e-3, -1e-20, 0.0, 1e-300, unstable, unstable * (1.0 + 1e-15), 0.9])
    p = net.add(8, model, V=V)
    net.connect(p, p, sp.fixed_outdegree(3), weight=-0.4 * root)
    net.connect(p, p, sp.fixed_outdegree(2), weight=0.9 * root, delay=sp.uniform(0.1, 2.0))
    net.drive(p, sp.poisson(rate=80.0), weight=(1.5 + 1.5 / rapidness) * root)
    net.drive(p, sp.poisson(rate=60.0), weight=-0.6 * root)
    net.drive(p, sp.poisson(rate=60.0), weight=-1e-12)
    net.drive(p, sp.steps([200.0, 300.0], [0.25 * root**2, -0.25 * root**2]))
    record = {"record": sp.Record(V=np.arange(8), V_times=np.linspace(1.0, 390.0, 40)), "n_spikes": 500}
    window, heap, reference = (outcome(net, engine, 400.0, **record) for engine in ("window", "heap", "reference"))
    assert window == heap == reference
    assert len(window[0]) > 0


def test_a_population_of_all_kinds():
    """Neurons of every rapidness and drive in one population, also in a batch and with delays on all cores."""
    n = 240
    rapidness = np.resize([1.0, 0.3, 1.0 + 1e-12, 5.0, 100.0], n)
    I_e = np.resize([0.5, -0.1, 3e-5, 0.0, 1.0, -3e-5, 0.02], n)
    net = sp.Network(seed=9)
    p = net.add(n, sp.RapidTheta(tau_m=np.linspace(5.0, 15.0, n), rapidness=rapidness, I_e=I_e), name="p")
    net.connect(p, p, sp.fixed_outdegree(20), weight=-0.05, delay=1.5)
    net.connect(p, p, sp.fixed_outdegree(10), weight=0.1, delay=2.0)
    net.drive(p, sp.poisson(rate=100.0), weight=0.3)
    ways = {outcome(net, engine, 200.0) for engine in ("window", "heap", "reference", "lookahead")}
    assert len(ways) == 1


def test_gradients_of_neurons_of_all_kinds():
    n = 20
    rapidness, I_e = np.resize([1.0, 0.3, 5.0, 100.0], n), np.resize([0.5, -0.1, 0.01, 1.0, -0.3], n)
    net = sp.Network(seed=9)
    p = net.add(n, sp.RapidTheta(tau_m=np.linspace(5.0, 15.0, n), rapidness=rapidness, I_e=I_e), name="p")
    net.connect(p, p, sp.fixed_outdegree(10), weight=-0.05, delay=1.5)
    net.connect(p, p, sp.fixed_outdegree(5), weight=0.1)
    net.drive(p, sp.poisson(rate=100.0), weight=0.3)
    report = sp.check_gradients(net, 60.0, n_spikes=100, most=20)
    assert all(comparison.method == "complex step" for comparison in report.comparisons)
    assert report.error < 1e-9


def test_derivatives_of_the_period_by_all_parameters_against_mpmath():
    """Of the second spike of a free neuron, by differences of the closed form at 50 digits."""
    mp = mpmath.mp.clone()
    mp.dps = 50

    def period(tau_m, r, I_e):
        return mp.pi * tau_m * mp.sqrt((r + 1) / (2 * r) / I_e)

    for name in ("oscillates", "oscillates fast", "near the rheobase", "steep", "almost theta", "slow"):
        model = MODELS[name]
        at = [mp.mpf(getattr(model, key)) for key in model.table]
        net = sp.Network(seed=1)
        net.add(1, model, V=-0.1)
        res = net.run(n_spikes=2, tape=True)
        assert float(res.times[1] - res.times[0]) == pytest.approx(float(period(*at)), rel=1e-13)
        assert float(model.free_period()) == pytest.approx(float(period(*at)), rel=1e-14)
        # The state at the beginning is no reset: what is between two spikes is the period.
        grads = res.backward(np.array([-1.0, 1.0]))
        for k, key in enumerate(model.table):
            exact = float(mp.diff(period, tuple(at), tuple(int(j == k) for j in range(3))))
            assert float(getattr(grads, key)[0]) == pytest.approx(exact, rel=1e-9, abs=1e-9), (name, key)


@pytest.mark.parametrize("rapidness", [0.2, 1.0, 3.0, 50.0])
def test_the_phase_transition_curve_has_two_branches(rapidness):
    """A kick at a phase brings the neuron to the phase of the published curve, and it fires so much sooner or later."""
    model, r = sp.RapidTheta(tau_m=10.0, rapidness=rapidness, I_e=0.4), rapidness
    a_S, glue = (r + 1.0) / (2.0 * r), math.pi * (r - 1.0) / (r + 1.0)
    omega = 2.0 * math.sqrt(model.I_e / a_S) / model.tau_m
    assert model.phase_to_voltage(glue) == pytest.approx(0.0, abs=1e-15)

    def branches(phi):
        """a_S tan of the angle from the glue point, V a_S / sqrt(a_S I) below and r as much of its argument above."""
        angle = a_S * (phi - glue) / 2.0
        return math.tan(angle) if phi <= glue else math.tan(r * angle) / r

    def transition(phi, weight):
        s = branches(phi) + weight * math.sqrt(a_S / model.I_e)
        return glue + 2.0 / a_S * (math.atan(s) if s <= 0.0 else math.atan(r * s) / r)

    for phi in np.linspace(-3.0, 3.0, 13):
        for weight in (-0.8, -0.1, 0.1, 0.8):
            net = sp.Network(seed=1)
            V = model.phase_to_voltage(phi) * math.sqrt(model.I_e)
            p = net.add(1, model, V=float(V))
            net.connect(net.add(1, sp.SpikeSource([0.0], [0])), p, sp.all_to_all(), weight=weight)
            (spike,) = net.run(n_spikes=1).times
            assert spike == pytest.approx((math.pi - transition(phi, weight)) / omega, rel=1e-10, abs=1e-10)


def test_at_the_published_rheobase_slopes_and_fixed_points_are_those_of_the_definition():
    for r in (0.5, 1.0, 3.0, 40.0):
        rheobase = sp.RapidTheta(10.0, r).rheobase()
        model = sp.RapidTheta(tau_m=10.0, rapidness=r, I_e=-rheobase)
        a_S, a_U = curvatures(model)
        stable, unstable = float(model.resting_voltage()), math.sqrt(rheobase / a_U)
        assert unstable - stable == pytest.approx(1.0, rel=1e-14)
        assert 2.0 * a_S * stable == pytest.approx(-1.0, rel=1e-14)
        assert 2.0 * a_U * unstable == pytest.approx(r, rel=1e-14)
        # Just below the unstable point it comes back, just above it fires.
        for factor, n_spikes in ((1.0 - 1e-12, 0), (1.0 + 1e-12, 1)):
            net = sp.Network(seed=1)
            net.add(1, model, V=factor * unstable)
            assert net.run(40.0 * model.tau_m / min(r, 1.0)).n_spikes == n_spikes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rapidness": 0.0}, "rapidness must be"),
        ({"rapidness": 1e-4}, "rapidness must be from 1e-3 to 1e6"),
        ({"rapidness": 1e7}, "rapidness must be from 1e-3 to 1e6"),
        ({"rapidness": 1e6, "I_e": 10.0}, "I_e must be between"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(sp.errors.ParameterError, match=message):
        sp.RapidTheta(tau_m=10.0, **given)


def test_phases_are_of_one_turn():
    with pytest.raises(sp.errors.ParameterError, match="phase of a RapidTheta neuron"):
        sp.RapidTheta(10.0, 3.0).phase_to_voltage(math.pi)
