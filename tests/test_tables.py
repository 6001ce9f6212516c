"""Neurons with tables: EIF and NumericalIF against closed forms, other solvers and 30 digits; what is refused."""

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import sparseprop as sp
from sparseprop.engine.reference import ReferenceEngine
from sparseprop.errors import NumericalError, ParameterError
from sparseprop.models import tabulated_constants
from sparseprop.numerics import tables
from sparseprop.numerics.arithmetic import MultiprecisionArithmetic
from sparseprop.numerics.drifts import drift_of

MP = mpmath.mp.clone()
MP.dps = 40

# Margin over the rheobase in units of Delta_T, and V_peak: far above, near and below the saddle-node; a peak below V_T
# and one below the unstable point.
EIFS = [(0.5, 25.0), (30.0, 10.0), (1e-6, 15.0), (-1e-6, 10.0), (-2.0, 25.0), (-50.0, 60.0), (-2.0, 0.5), (3.0, -2.0)]


# The tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("margin", "peak"), EIFS)
def test_times_to_spike_against_40_digits(margin, peak):
    """From everywhere, also from 1e6 Delta_T below: within 4e-16 of the time or, near a fixed point, of rounding V."""
    table = tables.table_of(tables.EIFDrift, margin, peak)
    assert table.error < 3e-15

    def F(v):
        return MP.expm1(v) - v + MP.mpf(margin)

    rng = np.random.default_rng(0)
    start = table.zeros[-1] if table.zeros else -1e6
    compared = 0
    voltages = peak - np.exp(rng.uniform(-3.0, math.log(1e6), 12)) if not table.zeros else rng.uniform(start, peak, 12)
    for v in voltages:
        time = table.period(float(v))
        if not math.isfinite(time):
            continue
        edges = [MP.mpf(float(v)), *map(MP.mpf, table.panels(float(v), peak)), MP.mpf(peak)]
        exact = MP.quad(lambda y: 1 / F(y), edges)
        allowed = 2e-15 * (exact + abs(float(v)) / abs(F(MP.mpf(float(v))))) + table.error * exact
        assert abs(time - exact) < allowed, v
        compared += 1
    assert compared > 5 or len(table.zeros) == 1  # with a peak below the unstable point nobody fires


@pytest.mark.parametrize(("margin", "peak"), EIFS)
def test_there_and_back_is_a_rounding(margin, peak):
    table = tables.table_of(tables.EIFDrift, margin, peak)
    rng = np.random.default_rng(1)
    voltages = [peak - math.exp(rng.uniform(-20.0, 30.0)) for _ in range(2000)]
    for zero in table.zeros:
        voltages += [zero + sign * 10.0 ** rng.uniform(-15.0, 0.0) for sign in (-1.0, 1.0) for _ in range(200)]
    for v in voltages:
        if v < peak:
            k, x = table.place(v)
            half = table.halves[k]
            # A rounding of v, and one of the time.
            speed = float(table.speed(k, max((v - half.anchor) * half.sign, 0.0)))
            assert abs(table.voltage(k, x) - v) <= 5e-16 * (max(abs(v), 1.0) + abs(x) * speed), v


def test_a_neuron_at_its_stable_point_stays_and_far_below_comes_back():
    model = sp.EIF(tau_m=10.0, I_e=0.5)
    rest = model.resting_voltage()
    net = sp.Network(seed=1)
    net.add(2, model, V=[rest, -1e12])
    res = net.run(1e6, record=sp.Record(V=[0, 1], V_times=[1.0, 100.0, 9e5]))
    assert res.n_spikes == 0
    assert (res.V[:, 0] == rest).all()
    # Without the exponential, which is nothing there.
    assert res.V[:2, 1] == pytest.approx(0.5 - (0.5 + 1e12) * np.exp([-0.1, -10.0]), rel=1e-14)
    assert res.V[2, 1] == rest


@pytest.mark.parametrize("function", ["-V + 0.7", "V * V - 0.3", "V * V + 1e-3", "sin(3 * V) - V"])
def test_numerical_drifts_against_40_digits(function):
    drift = drift_of(function, None)
    low = -8.0 if "sin" in function else None
    table = tables.table_of(tables.NumericalDrift, drift, 0.0, 3.0, low, 2.0)
    assert table.error < 3e-15
    rng = np.random.default_rng(2)
    for half in table.halves:
        a, b = np.sort(rng.uniform(max(half.low, -5.0), half.high, 2)).tolist()
        k, x = table.place(a)
        j, y = table.place(b)
        if k != j:
            continue
        exact = MP.quad(lambda v: 1 / abs(drift.exact(v, MP)), [a, *table.panels(a, b), b])
        assert abs(abs(x - y) - exact) < 4e-15 * (abs(x) + abs(y) + 1.0)


# Drifts that do not grow far below: bounded ones, which V crosses in a long time, and those that grow late or not for
# ever. The reset is a scale of V.
BOUNDED = [
    ("0 * V", 1.5, None), ("3", 0.0, None), ("1e-300 * V", 1.5, None), ("1e-12 * exp(V)", 1.5, None),
    ("-1e-20 * V", 0.15, None), ("-1e-12 * V", 0.15, None), ("0 * V", 1.5, -1e3), ("0 * V", 1.5, -1e9),
    ("0 * V", 1.5, -1e30), ("tanh(V)", 1.5, None), ("-tanh(V)", 1.5, None), ("-tanh(V)", 0.5, None),
    ("1 / (1 + V * V)", 0.0, None), ("1 / (1 + V * V)", 1.5, None), ("0.5 * exp(-V * V)", 1.5, None),
    ("-arctan(V) + V**3 * exp(-V * V)", 1.0, None), ("log(2 + V * V)", 0.0, None), ("2.4e-15 * V * V", 0.1, None),
    ("V * V / (1 + 1e-6 * V * V)", 1e-3, None), ("V * V / (1 + 1e-12 * V * V)", 1e-3, None), ("-V", 100.0, None),
]  # fmt: skip


def some(cases, n):
    """All of them, of which one in n without `pytest -m long`."""
    return [pytest.param(*case, marks=[pytest.mark.long] if k % n else []) for k, case in enumerate(cases)]


@pytest.mark.parametrize(("drift", "I_e", "V_min"), some(BOUNDED, 3))
def test_times_of_bounded_drifts_against_40_digits(drift, I_e, V_min):
    """To threshold, or from V to V where there is a stable point, to 4e-15 of the time and that in which V changes by
    its own size; and back to a rounding of V. From everywhere, also 10^9 scales below the threshold."""
    drift = drift_of(drift, None)
    table = tables.table_of(tables.NumericalDrift, drift, I_e, 1.0, V_min, 1.5)
    assert table.error < 3e-15
    rng = np.random.default_rng(5)
    reach = min(math.log10(1.0 - table.v_min), 9.0)

    def F(v):
        return drift.exact(v, MP) + MP.mpf(I_e)

    for v in [-0.5, 0.0, *(1.0 - 10.0 ** rng.uniform(-4.0, reach, 8))]:
        k, x = table.place(v)
        own = max(abs(v), 1.0) / abs(F(MP.mpf(v)))
        time, end = table.to_spike(k, x), 1.0
        if not math.isfinite(time):
            # To the end of the half, or a tenth of the way to the stable point.
            half = table.halves[k]
            end = half.high if half.direction > 0.0 else half.low
            if half.rate:
                end = half.anchor + half.sign * half.z_of(x) * 0.9
            j, y = table.place(end)
            time = y - x if j == k and half.rising else x if j != k and not half.rising else half.length - x
        exact = abs(MP.quad(lambda y: 1 / F(y), [v, *table.panels(v, end), end]))
        assert abs(time - exact) < 4e-15 * (exact + own), v
        speed = float(abs(F(MP.mpf(v))))
        assert abs(table.voltage(k, x) - v) < 4e-15 * (
            max(abs(v), 1.0) + abs(x) * speed * (table.halves[k].rate > 0)
        ), v


@pytest.mark.parametrize("drift", ["0 * V", lambda V: np.zeros(V.shape), lambda V: 0.0])
def test_a_constant_drift_has_the_period_of_a_straight_line(drift):
    model = sp.NumericalIF(drift, V_th=1.0, V_reset=0.0, tau_m=10.0, I_e=1.5)
    assert model.free_period() == pytest.approx(10.0 / 1.5, rel=4e-16)
    net = sp.Network(seed=1)
    net.add(1, model, V=0.0)
    assert net.run(1000.0).times == pytest.approx(np.arange(1, 151) * (10.0 / 1.5), rel=1e-14)


KICKED = [("-tanh(V)",), ("-1e-20 * V",), ("V * V / (1 + 1e-6 * V * V)",), ("2.4e-15 * V * V",)]


@pytest.mark.parametrize("drift", some(KICKED, 2))
def test_bounded_drifts_with_kicks_in_all_engines_and_against_30_digits(drift):
    """Kicks that lead through all halves; and derivatives by the complex step."""
    model = sp.NumericalIF(drift, V_th=1.0, V_reset=0.0, tau_m=10.0, I_e=0.1 if "V * V" in drift else 1.5)
    net, found = kicked(model, [2.0, 3.0, 30.0, 31.0, 100.0], [-0.7, 0.5, -900.0, 880.0, 25.0], 395.0)
    assert len(found) >= 3
    for engine in ("heap", "reference"):
        assert np.array_equal(net.run(395.0, engine=engine).times, found)
    source = net.engine_input()
    engine = ReferenceEngine(source, MultiprecisionArithmetic(30))
    engine.advance(source.clock.pair(395.0))
    exact = [n * source.clock.epoch + s for (n, s), _ in engine.spikes]
    assert len(exact) == len(found)
    assert max(abs(float(t - s)) for t, s in zip(found, exact, strict=True)) < 1e-12 * 10.0
    report = sp.check_gradients(net, 150.0)
    assert report.error < 1e-8, report


# Single neurons -------------------------------------------------------------------------------------------------------


def kicked(model, times, weights, duration):
    """Spike times of one neuron with kicks at given times."""
    net = sp.Network(seed=1)
    p = net.add(1, model, V=model.V_reset)
    for k, (time, weight) in enumerate(zip(times, weights, strict=True)):
        s = net.add(1, sp.SpikeSource([time], [0]), name=f"s{k}")
        net.connect(s, p, sp.all_to_all(), weight=weight)
    return net, net.run(duration).times


@pytest.mark.parametrize("I_e", [0.7, 0.95, 1.4])
def test_eif_with_kicks_against_a_high_order_solver(I_e):
    """DOP853 with tolerances of 1e-13, from kick to kick: 1e-11 relative. It knows nothing of tables."""
    model = sp.EIF(tau_m=10.0, I_e=I_e, Delta_T=0.1, V_peak=1.8, V_reset=0.1)
    rng = np.random.default_rng(3)
    times = np.sort(rng.uniform(0.0, 150.0, 40))
    weights = np.where(rng.random(40) < 0.7, 0.25, -0.3) * rng.uniform(0.3, 1.5, 40)
    _, found = kicked(model, times, weights, 150.0)

    def slope(_, V):
        return (-V + 0.1 * np.exp((V - 1.0) / 0.1) + I_e) / 10.0

    def peak(_, V):
        return V[0] - 1.8

    peak.terminal = True
    spikes, V, t = [], 0.1, 0.0
    for end, weight in [*zip(times, weights, strict=True), (150.0, 0.0)]:
        while t < end:
            part = solve_ivp(slope, (t, end), [V], method="DOP853", rtol=1e-13, atol=1e-13, events=peak)
            t, V = float(part.t[-1]), float(part.y[0, -1])
            if part.status == 1:
                spikes.append(t)
                V = 0.1
        V += weight
        if weight > 0.0 and V >= 1.8:
            spikes.append(t)
            V = 0.1
    assert len(found) == len(spikes) >= 2
    assert np.abs(found / np.array(spikes) - 1.0).max() < 1e-11


@pytest.mark.parametrize("I_e", [0.8, 1.3])
def test_eif_with_kicks_against_30_digits(I_e):
    rng = np.random.default_rng(4)
    times = np.sort(rng.uniform(0.0, 60.0, 12))
    model = sp.EIF(tau_m=20.0, E_L=0.0, I_e=I_e, t_ref=0.5)
    net, found = kicked(model, times, rng.uniform(-0.3, 0.5, 12), 60.0)
    source = net.engine_input()
    engine = ReferenceEngine(source, MultiprecisionArithmetic(30))
    engine.advance(source.clock.pair(60.0))
    exact = [n * source.clock.epoch + s for (n, s), _ in engine.spikes]
    assert len(exact) == len(found) >= 2
    assert max(abs(float(t - s)) for t, s in zip(found, exact, strict=True)) < 1e-13 * 20.0


def test_eif_becomes_lif_as_the_slope_factor_goes_to_zero():
    """The period's difference goes as Delta_T."""
    lif = sp.LIF(tau_m=10.0, I_e=1.5).free_period()
    differences = []
    for Delta_T in (1e-1, 1e-2, 1e-3, 1e-4):
        model = sp.EIF(tau_m=10.0, V_T=1.0, Delta_T=Delta_T, V_peak=1.0 + 20.0 * Delta_T, I_e=1.5)
        differences.append(model.free_period() - lif)
    assert abs(differences[-1]) < 20.0 * 1e-4 * 10.0
    ratios = np.array(differences[1:]) / differences[:-1]
    assert (np.abs(ratios[1:]) < 0.2).all()


# Networks -------------------------------------------------------------------------------------------------------------


def pair_of_networks(analytic, numerical, n, outdegree, weight, seed=2):
    nets = []
    for model in (analytic, numerical):
        net = sp.Network(seed=seed)
        p = net.add(n, model, V=sp.uniform_phase())
        net.connect(p, p, sp.fixed_outdegree(outdegree), weight=weight)
        nets.append(net)
    V = nets[0].populations[0].initial_state(np.array([1, 2], np.uint64))[0]
    for k, model in enumerate((analytic, numerical)):
        net = sp.Network(seed=seed)
        p = net.add(n, model, V=V)
        net.connect(p, p, sp.fixed_outdegree(outdegree), weight=weight)
        nets[k] = net
    return nets


LIKE_LIF = (sp.LIF(tau_m=10.0, I_e=1.04), dict(drift="-V", V_th=1.0, V_reset=0.0, tau_m=10.0, I_e=1.04), -0.1)
LIKE_QIF = (
    sp.QIF(tau_m=10.0, I_e=0.1, V_peak=20.0, V_reset=-10.0),
    dict(drift="V * V", V_th=20.0, V_reset=-10.0, tau_m=10.0, I_e=0.1),
    -0.1,
)


@pytest.mark.parametrize(("analytic", "numerical", "weight"), [LIKE_LIF, LIKE_QIF], ids=["LIF", "QIF"])
def test_table_and_closed_form_fire_in_the_same_order(analytic, numerical, weight):
    """20,000 spikes of a balanced network; a chaotic one would differ at once if an error were made anywhere."""
    nets = pair_of_networks(analytic, sp.NumericalIF(**numerical), 1000, 50, weight / math.sqrt(50))
    one, other = (net.run(n_spikes=20_000) for net in nets)
    assert np.array_equal(one.ids, other.ids)
    assert np.abs(one.times - other.times).max() < 1e-10


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("analytic", "numerical", "weight"), [LIKE_LIF, LIKE_QIF], ids=["LIF", "QIF"])
def test_table_and_closed_form_fire_in_the_same_order_over_a_million_spikes(analytic, numerical, weight):
    """N = 10^5, K = 100, as docs/table_lif.png shows."""
    nets = pair_of_networks(analytic, sp.NumericalIF(**numerical), 100_000, 100, weight / 10.0)
    one, other = (net.run(n_spikes=1_000_000) for net in nets)
    n = 1_000_000
    assert np.array_equal(one.ids[:n], other.ids[:n])
    assert np.abs(one.times[:n] - other.times[:n]).max() < 1e-10


def test_a_drift_as_a_function_is_the_same_as_an_expression():
    results = []
    for drift in ("-V + exp(V - 2) / 4", lambda V: -V + np.exp(V - 2) / 4):
        net = sp.Network(seed=1)
        p = net.add(20, sp.NumericalIF(drift, V_th=3.0, V_reset=0.0, I_e=2.6, tau_m=10.0))
        net.connect(p, p, sp.fixed_outdegree(5), weight=-0.1)
        results.append(net.run(100.0))
    assert results[0].n_spikes > 20
    assert np.abs(results[0].times - results[1].times).max() < 1e-11


def test_neurons_with_different_time_constants_share_a_table():
    before = tables.table_of.cache_info().misses
    sp.EIF(tau_m=np.linspace(5.0, 20.0, 1000), V_reset=np.linspace(-1.0, 0.5, 1000), I_e=1.234, t_ref=np.ones(1000))
    assert tables.table_of.cache_info().misses == before + 1


def test_a_population_may_have_a_table_for_each_neuron():
    I_e = np.array([0.5, 0.8, 1.1, 1.4])
    net = sp.Network(seed=1)
    p = net.add(4, sp.EIF(tau_m=10.0, I_e=I_e), V=0.0)
    net.connect(p, p, sp.all_to_all(), weight=0.05)
    fired = {name: net.run(100.0, engine=name) for name in ("window", "heap", "reference")}
    assert len({res.times.tobytes() for res in fired.values()}) == 1
    alone = [sp.Network(seed=1) for _ in I_e]
    for single, current in zip(alone, I_e, strict=True):
        single.add(1, sp.EIF(tau_m=10.0, I_e=current), V=0.0)
    assert [single.run(100.0).n_spikes > 0 for single in alone] == [False, False, True, True]


def test_oscillating_eif_neurons_go_on_from_a_file(tmp_path):
    net = sp.Network(seed=3)
    p = net.add(20, sp.EIF(tau_m=10.0, I_e=1.3), V=sp.uniform_phase())
    net.connect(p, p, sp.fixed_outdegree(5), weight=-0.05, delay=1.5)
    whole = net.run(100.0)
    for k, cut in enumerate((0.7, 33.3, 70.0)):
        sim = sp.Simulation(net, engine=("window", "heap", "reference")[k])
        first = sim.run(cut)
        sim.save(tmp_path / "state.h5")
        rest = sp.Simulation.load(tmp_path / "state.h5", net).run(100.0 - cut)
        assert rest.n_spikes > 20
        assert np.array_equal(np.concatenate([first.times, rest.times]), whole.times)
        assert np.array_equal(np.concatenate([first.ids, rest.ids]), whole.ids)


# Gradients of what has no closed form --------------------------------------------------------------------------------


def test_derivatives_by_the_drive_against_differences_of_tables():
    """The tables for I_e + h and I_e - h are made independently of each other."""
    h = 1e-5
    for I_e in (0.7, 1.2):
        times = []
        for current in (I_e - h, I_e + h):
            net, found = kicked(sp.EIF(tau_m=10.0, I_e=current), [3.0, 9.0, 9.5], [0.4, -0.2, 0.9], 60.0)
            times.append(found[0])
        net, _ = kicked(sp.EIF(tau_m=10.0, I_e=I_e), [3.0, 9.0, 9.5], [0.4, -0.2, 0.9], 60.0)
        grads = net.run(n_spikes=1, tape=True).backward([1.0])
        assert grads.I_e[0] == pytest.approx((times[1] - times[0]) / (2.0 * h), rel=1e-7)
        with pytest.raises(AttributeError, match="Delta_T is not computed.*Take differences"):
            _ = grads.Delta_T


def test_derivative_of_a_neuron_that_rested():
    """From its stable point, where distances have no digits, the derivatives are those of a linear decay."""
    model = sp.EIF(tau_m=10.0, I_e=0.5)
    net = sp.Network(seed=1)
    net.add(1, model)
    res = net.run(50.0, record=sp.Record(V=[0], V_times=[20.0]), tape=True)
    grads = res.backward(np.zeros(0), np.array([[1.0]]))
    rate = 1.0 - math.exp((model.resting_voltage() - 1.0) / 0.1)
    assert grads.V[0] == pytest.approx(math.exp(-2.0 * rate), rel=1e-9)
    assert grads.I_e[0] == pytest.approx((1.0 - math.exp(-2.0 * rate)) / rate, rel=1e-9)


# What is refused ------------------------------------------------------------------------------------------------------

WAYS = {"V_th": 2.0, "V_reset": 0.0, "tau_m": 10.0}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sp.EIF(tau_m=10.0, V_reset=3.0), "V_reset must be below V_peak"),
        (lambda: sp.EIF(tau_m=10.0, Delta_T=0.0), "Delta_T must be a finite number > 0"),
        (lambda: sp.EIF(tau_m=10.0, V_peak=20.0), r"V_peak must be at most V_T \+ 100 Delta_T"),
        (lambda: sp.EIF(tau_m=10.0, Delta_T=1e-6, V_peak=1.0, V_T=2.0), "V_peak must be at least V_T - 1e5 Delta_T"),
        (lambda: sp.EIF(tau_m=10.0, Delta_T=1e-6, V_peak=1.0), "within 1e5 Delta_T of V_T"),
        (lambda: sp.EIF(tau_m=10.0, I_e=0.875, Delta_T=0.125), "EIF cannot be expanded.*fixed points.*nearly equal"),
        (lambda: sp.EIF(tau_m=10.0, I_e=np.linspace(1.0, 2.0, 300)), "at most 200 are allowed, got 300.*Round"),
        (lambda: sp.NumericalIF("-V", V_th=0.0, V_reset=1.0), "V_reset must be below V_th"),
        (lambda: sp.NumericalIF("-V", V_min=0.5, **WAYS), "V_min must be below V_reset"),
        (lambda: sp.NumericalIF("V", V_min=-5.0, **WAYS), "must be positive far below.*run away downwards"),
        (lambda: sp.NumericalIF("2 - V + abs(V - 0.5)", **WAYS), "cannot be expanded to the tolerance near"),
        (lambda: sp.NumericalIF("1 / (V + 3)", **WAYS), "must be finite from V_min to V_th.*V_min above"),
        (lambda: sp.NumericalIF("(V - 2.0000000001)**2 - 1e-24", **WAYS), "the threshold.*nearly equal"),
        (lambda: sp.NumericalIF("1 / 0 + V", **WAYS), "has no value|must be finite"),
        (lambda: sp.NumericalIF("1.5 + cos(10 * V) * 2", V_min=-12.0, **WAYS), "at most 15 fixed points, got"),
        (lambda: sp.NumericalIF("9**9**9 - V", **WAYS), "must be finite from V_min to V_th, got inf"),
        (lambda: sp.NumericalIF("10**5000 * V", **WAYS), "must be finite from V_min to V_th, got -?inf"),
        (lambda: sp.NumericalIF("9**9**9**9 - V", **WAYS), "must be finite from V_min to V_th, got inf"),
        (lambda: sp.NumericalIF(1500 * "1 + " + "- V", **WAYS), "must be an expression"),
        (lambda: sp.NumericalIF("3 + 2 * sin(V)", **WAYS), r"cannot be expanded.*\(V_min\).*, such as V_min = -"),
        (lambda: sp.NumericalIF("\u00b5 - V", **WAYS, constants={"\u00b5": 1.0, "\u03bc": 2.0}), "different names"),
        (lambda: sp.NumericalIF("-V +", **WAYS), "must be an expression of V, numbers"),
        (lambda: sp.NumericalIF("V.real", **WAYS), "must be an expression of V, numbers.*got 'V.real'"),
        (lambda: sp.NumericalIF("__import__('os')", **WAYS), "unknown function in NumericalIF.drift: '__import__'"),
        (lambda: sp.NumericalIF("(lambda: 1)()", **WAYS), "must be an expression"),
        (lambda: sp.NumericalIF("V if V else 1", **WAYS), "must be an expression"),
        (lambda: sp.NumericalIF("exp(V, 2)", **WAYS), "must be an expression"),
        (lambda: sp.NumericalIF("True * V", **WAYS), "must be an expression"),
        (lambda: sp.NumericalIF("-V + I0", **WAYS, constants={"I_0": 1.0}), "unknown name.*'I0'.*did you mean 'I_0'"),
        (lambda: sp.NumericalIF("-V", **WAYS, constants={"a": 1.0}), "'a' does not occur in the drift"),
        (lambda: sp.NumericalIF("-V", **WAYS, constants={"V": 1.0}), "must have names that are free"),
        (lambda: sp.NumericalIF("-V", **WAYS, constants=[1.0]), "must be a dict of numbers by name"),
        (lambda: sp.NumericalIF("-V + a", **WAYS, constants={"a": "x"}), r"constants\['a'\] must be a finite number"),
        (lambda: sp.NumericalIF(3.0, **WAYS), "must be a function of V or an expression"),
        (lambda: sp.NumericalIF(lambda V: -V, **WAYS, constants={"a": 1.0}), "must be left out for a function"),
        (lambda: sp.NumericalIF(lambda V: "x", **WAYS), "must return one real number for each voltage"),
        (lambda: sp.NumericalIF(lambda V: V[:2], **WAYS), "must return one real number for each voltage"),
        (lambda: sp.NumericalIF(lambda V: 1 / int(V), **WAYS), "must take an array of voltages, got TypeError"),
        (lambda: sp.balanced_network(10, sp.NumericalIF("-V", **WAYS), 3), "must be a LIF, .* EIF or PWLIF"),
        (lambda: sp.balanced_network(10, sp.EIF(tau_m=10.0, V_reset=1.5), 3), "must have V_reset below V_T"),
    ],
)  # fmt: skip
def test_models_with_tables_refuse(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_a_function_runs_but_cannot_be_written(tmp_path):
    net = sp.Network(seed=1)
    net.add(3, sp.NumericalIF(lambda V: -V, I_e=3.0, **WAYS))
    sim = sp.Simulation(net)
    result = sim.run(50.0)
    assert result.n_spikes > 0
    for write in (net.to_dict, lambda: result.save(tmp_path / "r.h5"), lambda: sim.save(tmp_path / "s.h5")):
        with pytest.raises(ParameterError, match="is a Python function.*give it as an expression"):
            write()
    assert not list(tmp_path.iterdir())


def test_a_kick_below_the_lowest_voltage_names_it():
    net = sp.Network(seed=1)
    p = net.add(2, sp.NumericalIF("-V", I_e=3.0, V_min=-1.0, **WAYS), V=0.0, name="p")
    s = net.add(1, sp.SpikeSource([4.0], [0]))
    net.connect(s, p, sp.edges([0], [1]), weight=-5.0)
    for engine in ("window", "heap", "reference"):
        with pytest.raises(NumericalError, match=r"took neuron 1 of population 'p' below V_min = -1.0.*t = 4.0 ms"):
            net.run(10.0, engine=engine)
    with pytest.raises(ParameterError, match=r"V of population 'q' must be at least V_min = -1.0, got -2.0"):
        net.add(1, sp.NumericalIF("-V", V_min=-1.0, I_e=3.0, **WAYS), V=-2.0, name="q")


def test_steps_that_tables_cannot_be_made_for_are_refused_when_they_are_given():
    net = sp.Network(seed=1)
    p = net.add(2, sp.EIF(tau_m=10.0, I_e=0.5, Delta_T=0.125))
    with pytest.raises(ParameterError, match="EIF cannot be expanded"):
        net.drive(p, sp.steps([1.0], [0.375]))


def test_configurations_with_drifts(tmp_path):
    d = sp.Network(seed=1)
    d.add(2, sp.NumericalIF("a * V * V - b", V_th=5.0, V_reset=-1.0, V_min=-50.0, constants={"a": 2.0, "b": 0.5}))
    described = d.to_dict()["populations"][0]["model"]
    assert described["drift"] == "a * V * V - b"
    assert described["constants"] == {"a": 2.0, "b": 0.5}
    assert described["V_min"] == -50.0
    again = sp.Network.from_dict(d.to_dict())
    assert again.populations[0].model.drift == d.populations[0].model.drift


def test_whole_numbers_in_drifts_are_exact_and_those_beyond_are_floats():
    V = np.array([1.5, -2.0], np.longdouble)
    assert (drift_of("V**3 + 2**-1 - V**(1 + 1) / 2**3**2", None)(V) == V * V * V + 0.5 - V * V / 512).all()
    assert drift_of("10**20 * V", None)(V)[1] == np.longdouble(10) ** 20 * -2


def test_names_of_constants_are_read_as_the_parser_does():
    """The micro sign of a keyboard and the Greek letter are one name."""
    for text in ("\u00b5 - V", "\u03bc - V"):
        for name in ("\u00b5", "\u03bc"):
            model = sp.NumericalIF(text, V_th=1.0, V_reset=0.0, constants={name: 1.5})
            assert model.free_period() == pytest.approx(math.log(3.0), rel=1e-15)
            again = sp.NumericalIF(**{key: value for key, value in model.to_dict().items() if key != "name"})
            assert again.free_period() == model.free_period()


def test_the_constants_of_both_engines_are_these():
    constants = tabulated_constants(math.fsum, **sp.EIF(tau_m=10.0, E_L=-65.0, V_T=-50.0, Delta_T=2.0, V_peak=0.0,
                                                       V_reset=-60.0, I_e=14.0).parameters())  # fmt: skip
    assert constants["table"] is tables.table_of(tables.EIFDrift, 0.5, 25.0)
    assert constants["at_reset"] == -5.0
