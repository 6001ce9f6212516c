"""Promise 4: gradients are exact; what has none is said."""

import math

import numpy as np
import pytest
from random_networks import random_smooth_network

import sparseprop as sp
from sparseprop.gradient_check import PARAMETERS, Comparison, _parts, directional_derivative
from sparseprop.gradients import states as states_module

LIMIT = 60  # spikes


def compared(net, duration, n_spikes, seed, mode=True, engine="window"):
    """The gradients of a random loss on spikes and voltages, and the largest error against the complex step along a
    random direction for each parameter, source, drive and projection; None if the network ends with an error."""
    rng = np.random.default_rng(seed)
    neurons = [i for p in net.populations if not p.is_source for i in range(p.first, p.first + p.n)]
    record = sp.Record(V=neurons, V_times=duration * np.sort(rng.random(3)))
    try:
        plain = net.run(duration, n_spikes=n_spikes, engine=engine)
    except (sp.errors.RunawayError, sp.errors.NumericalError):
        return None
    res = net.run(duration, n_spikes=n_spikes, engine=engine, record=record, tape=mode)
    assert res.times.tobytes() == plain.times.tobytes()
    assert res.ids.tobytes() == plain.ids.tobytes()
    dL_dtimes = rng.normal(size=res.n_spikes)
    dL_dV = np.where(np.isfinite(res.V), rng.normal(size=res.V.shape), 0.0)
    grads = res.backward(dL_dtimes, dL_dV)
    assert grads.invariant_error < 1e-12
    samples = [(t, res.V_ids) for t in res.V_times]
    I_e = np.concatenate([np.broadcast_to(getattr(p.model, "I_e", np.nan), p.n) for p in net.populations])
    found = []
    for name, key, values in _parts(net, grads, PARAMETERS):
        usable = np.isfinite(values)
        if name == "delay":  # one of 0 has a derivative on one side only
            usable = usable & (np.asarray(net.projections[key].delay) > 1e-20)
        if name == "I_e":  # near 0 the complex step loses its digits; see the test of a tiny I_e
            usable = usable & (np.abs(I_e) > 1e-3)
        direction = np.where(usable, rng.normal(size=np.shape(values)), 0.0)
        terms = np.where(usable, values, 0.0) * direction
        exact = directional_derivative(
            net, name, key, direction, duration, n_spikes, dL_dtimes=dL_dtimes, samples=samples, dL_dV=list(dL_dV)
        )
        found.append((name, float(terms.sum()), exact, float(np.abs(terms).sum())))
    largest = max((size for _, _, _, size in found), default=0.0)
    errors = [abs(mine - exact) / max(size, abs(exact), 1e-6 * largest, 1e-30) for _, mine, exact, size in found]
    return grads, max(errors, default=0.0), found


def cut_finely(monkeypatch):
    """Tapes with checkpoints are to have many parts."""
    monkeypatch.setattr(states_module, "SMALLEST_PART", 0)
    monkeypatch.setattr(states_module, "PER_NEURON", 0)
    monkeypatch.setattr(sp.run.simulation, "FIRST_BLOCK", 20)
    monkeypatch.setattr(sp.run.simulation, "BLOCK_SECONDS", 1e-5)


def assert_exact(seeds):
    n, wrong = 0, []
    for seed in seeds:
        net, duration = random_smooth_network(seed)
        mode = "checkpoint" if seed % 5 == 0 else True
        outcome = compared(net, duration, LIMIT, seed, mode, "heap" if seed % 3 == 0 else "window")
        # Neurons that have become synchronous fire at one time, and the complex step has one time for both. Where V
        # only grazes the threshold, derivatives are as large as rounding lets them be.
        if outcome is None or outcome[0].n_ties or any(w.kind == "grazing" for w in outcome[0].warnings):
            continue
        n += 1
        if not outcome[1] < 1e-9:
            wrong.append((seed, outcome[1]))
    assert not wrong, f"gradients of random_smooth_network(seed) differ for {wrong}"
    return n


@pytest.mark.parametrize("first", [0, 30, *(pytest.param(n, marks=pytest.mark.long) for n in range(60, 150, 30))])
def test_gradients_of_random_networks_equal_the_complex_step(first, monkeypatch):
    cut_finely(monkeypatch)
    assert assert_exact(range(first, first + 30)) > 15


def test_gradients_of_neurons_driven_exactly_to_threshold():
    # Where their currents change sign far beyond the spike, a step of 1e-30 is no small one.
    assert assert_exact([2071, 2173, 2277]) == 3


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("first", range(1000, 2600, 100))
def test_gradients_of_1000_random_networks_equal_the_complex_step(first, monkeypatch):
    cut_finely(monkeypatch)
    assert assert_exact(range(first, first + 100)) > 60


# By hand -------------------------------------------------------------------------------------------------------------


def test_one_lif_neuron_by_hand():
    tau, I_e, V0, t_ref = 10.0, 1.5, 0.2, 2.0
    net = sp.Network(seed=1)
    net.add(1, sp.LIF(tau_m=tau, I_e=I_e, t_ref=t_ref), V=V0)
    grads = net.run(n_spikes=1, tape=True).backward([1.0])
    assert grads.V[0] == pytest.approx(-tau / (I_e - V0), rel=1e-14)
    assert grads.I_e[0] == pytest.approx(tau / (I_e - V0) - tau / (I_e - 1.0), rel=1e-14)
    assert grads.tau_m[0] == pytest.approx(math.log((I_e - V0) / (I_e - 1.0)), rel=1e-14)
    assert grads.V_th[0] == pytest.approx(tau / (I_e - 1.0), rel=1e-14)
    assert grads.V_reset[0] == grads.t_ref[0] == 0.0
    assert grads.E_L[0] == grads.I_e[0]
    assert np.isnan(grads.V_peak[0])
    second = net.run(n_spikes=2, tape=True).backward([0.0, 1.0])
    assert second.V_reset[0] == pytest.approx(-tau / I_e, rel=1e-14)
    assert second.t_ref[0] == 1.0


@pytest.mark.parametrize("I_e", [0.3, 1e-6, 0.0, -1e-6])
def test_one_theta_neuron_by_hand(I_e):
    """Also near I_e = 0, where the time to a spike, T(V, I), has an expansion: from V = 1, T = 1 - I / 3 + ..."""
    tau, V0 = 10.0, 1.0
    net = sp.Network(seed=1)
    net.add(1, sp.Theta(tau_m=tau, I_e=I_e), V=V0)
    grads = net.run(n_spikes=1, tape=True).backward([1.0])
    assert grads.V[0] == pytest.approx(-tau / (V0**2 + I_e), rel=1e-13)
    if I_e == 0.3:
        root = math.sqrt(I_e)
        S = tau / root * (math.pi / 2 - math.atan(V0 / root))
        assert grads.I_e[0] == pytest.approx(-S / (2 * I_e) + tau * V0 / (2 * I_e * (V0**2 + I_e)), rel=1e-13)
        assert grads.tau_m[0] == pytest.approx(S / tau, rel=1e-13)
    else:
        assert grads.I_e[0] == pytest.approx(-tau / 3.0 * (1.0 - 6.0 * I_e / 5.0), rel=1e-10)
    assert grads.V_peak[0] == grads.V_reset[0] == 0.0


def test_a_driven_spike_has_the_time_of_its_cause_and_no_weight():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([3.0], [0]), name="in")
    neurons = net.add(2, sp.LIF(tau_m=10.0, t_ref=1.0), V=0.0)
    first = net.connect(source, neurons, sp.edges([0], [0]), weight=1.5, delay=2.0)
    second = net.connect(neurons, neurons, sp.edges([0], [1]), weight=1.5)
    res = net.run(20.0, tape=True)
    assert res.times.tolist() == [5.0, 5.0]
    grads = res.backward([1.0, 10.0])
    assert grads.input_times["in"].tolist() == [11.0]
    assert grads.delay[first] == 11.0
    assert grads.weight[first].tolist() == grads.weight[second].tolist() == [0.0]
    assert grads.V.tolist()[1:] == [0.0, 0.0]
    assert grads.warnings == []


def test_a_weight_by_hand_and_its_sum():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([3.0], [0]), name="in")
    neurons = net.add(2, sp.LIF(tau_m=10.0, I_e=1.5), V=[0.5, -1.0])
    p = net.connect(source, neurons, sp.all_to_all(), weight=0.1)
    res = net.run(n_spikes=1, tape=True)
    grads = res.backward([1.0])
    x = 1.0 - 0.1 * math.exp(0.3)  # of the neuron that fires, V_inf - V = x exp(-t / tau)
    assert grads.weight[p] == pytest.approx([-10.0 * math.exp(0.3) / x, 0.0], rel=1e-14)
    assert grads.weight_sum[p] == pytest.approx(grads.weight[p].sum())
    assert grads.weight[0] is grads.weight[p]
    assert repr(grads.weight).startswith("[array of shape (2,), float64: [")
    assert grads.input_times["in"] == pytest.approx([-0.1 * math.exp(0.3) / x], rel=1e-13)


def test_the_loss_may_be_on_a_voltage_alone():
    net = sp.Network(seed=1)
    net.add(2, sp.LIF(tau_m=10.0, I_e=[0.5, 0.7]), V=0.0)
    res = net.run(20.0, record=sp.Record(V=[1], V_times=[5.0]), tape=True)
    grads = res.backward([], [[1.0]])
    assert grads.V.tolist() == [0.0, pytest.approx(math.exp(-0.5), rel=1e-14)]
    assert grads.I_e[1] == pytest.approx(1.0 - math.exp(-0.5), rel=1e-14)


@pytest.mark.parametrize("tau_syn", [5.0, 10.0, math.nextafter(10.0, 11.0), 10.0 * (1.0 - 1e-9), 10.0 * (1.0 + 1e-12)])
def test_one_neuron_with_a_current_by_hand(tau_syn):
    """V = w K(t - 3): K in closed form where it is 5 ms; the limit of equal time constants otherwise."""
    tau_m, w, V_th = 10.0, 5.0, 1.0
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([3.0], [0]), name="in")
    neuron = net.add(1, sp.LIFExp(tau_m=tau_m, tau_syn=tau_syn, V_th=V_th, t_ref=1.0), V=0.0)
    p = net.connect(source, neuron, sp.all_to_all(), weight=w, delay=0.5)
    res = net.run(n_spikes=1, tape=True)
    t = res.times[0]
    u = t - 3.5
    m, s = math.exp(-u / tau_m), math.exp(-u / tau_syn)
    if tau_syn == 5.0:
        y = (1.0 + math.sqrt(1.0 - 4.0 * V_th / w)) / 2.0  # V = w (y - y^2), y = exp(-u / 10)
        assert u == pytest.approx(-10.0 * math.log(y), rel=1e-14)
        gain = tau_syn / (tau_m - tau_syn)
        K, slope = gain * (m - s), gain * (s / tau_syn - m / tau_m)
        by_syn = tau_m / (tau_m - tau_syn) ** 2 * (m - s) - gain * s * u / tau_syn**2
        by_m = -tau_syn / (tau_m - tau_syn) ** 2 * (m - s) + gain * m * u / tau_m**2
        tolerance = 1e-13
    else:
        K, slope = u / tau_m * m, (1.0 - u / tau_m) * m / tau_m
        by_syn = m * (u / tau_m) ** 2 / (2.0 * tau_m)
        by_m = by_syn - m * u / tau_m**2
        tolerance = max(1e-12, 10.0 * abs(tau_syn / tau_m - 1.0))
    grads = res.backward([1.0])
    expected = {
        "V": -math.exp(-t / tau_m), "I_e": math.exp(-t / tau_m) - 1.0, "E_L": math.exp(-t / tau_m) - 1.0,
        "V_th": 1.0, "V_reset": 0.0, "t_ref": 0.0, "tau_m": -w * by_m,
    }  # fmt: skip
    for name, value in expected.items():
        assert getattr(grads, name)[1] == pytest.approx(value / (w * slope), rel=tolerance), name
    assert grads.tau_syn.shape == (2, 1)
    assert np.isnan(grads.tau_syn[0, 0])
    assert grads.tau_syn[1, 0] == pytest.approx(-w * by_syn / (w * slope), rel=tolerance)
    assert grads.weight[p] == pytest.approx([-K / (w * slope)], rel=tolerance)
    assert grads.delay[p] == pytest.approx(1.0, rel=1e-13)
    assert grads.input_times["in"] == pytest.approx([1.0], rel=1e-13)
    assert grads.warnings == []


def test_a_kick_in_the_refractory_period_counts_by_its_current():
    """It comes at 3 ms, and at the release, 6 ms, what is left of the current begins to move V."""
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([1.0, 3.0], [0, 0]), name="in")
    neuron = net.add(1, sp.LIFExp(tau_m=10.0, tau_syn=(5.0, 4.0), I_e=1.2, t_ref=4.0), name="neuron", V=0.999)
    p = net.connect(source, neuron, sp.all_to_all(), weight=2.0, port=1)
    res = net.run(n_spikes=2, tape=True)
    first, second = res.times
    release, x = first + 4.0, 4.0 / 6.0
    assert first < 1.0 < 3.0 < release
    kicks = 2.0 * (math.exp(-(release - 1.0) / 4.0) + math.exp(-(release - 3.0) / 4.0))  # the current at the release
    u = second - release
    m, s = math.exp(-u / 10.0), math.exp(-u / 4.0)
    K = x * (m - s)
    assert 1.2 * (1.0 - m) + kicks * K == pytest.approx(1.0, rel=1e-14)
    slope = 1.2 * m / 10.0 + kicks * x * (s / 4.0 - m / 10.0)
    grads = res.backward([0.0, 1.0])
    assert grads.weight[p] == pytest.approx([-kicks / 2.0 * K / slope], rel=1e-13)
    each = [-2.0 * math.exp(-(release - t) / 4.0) / 4.0 * K / slope for t in (1.0, 3.0)]
    assert grads.input_times["in"] == pytest.approx(each, rel=1e-12)
    assert grads.V_reset[1] == pytest.approx(-m / slope, rel=1e-13)
    assert grads.t_ref[1] == pytest.approx(1.0 + kicks / 4.0 * K / slope, rel=1e-13)
    assert grads.tau_syn[1, 0] == 0.0


# Tapes ---------------------------------------------------------------------------------------------------------------


def both_models():
    return [sp.LIF(tau_m=10.0, t_ref=1.0), sp.Theta(tau_m=10.0)]


def all_models():
    return [*both_models(), sp.LIFExp(tau_m=10.0, tau_syn=3.0, t_ref=1.0)]


@pytest.mark.parametrize("model", all_models(), ids=["LIF", "Theta", "LIFExp"])
def test_checkpoints_give_the_same_gradients_as_a_whole_tape(model, monkeypatch):
    cut_finely(monkeypatch)
    net = sp.balanced_network(120, model, outdegree=20, seed=3)
    net.connect("neurons", "neurons", sp.fixed_outdegree(5), weight=sp.uniform(-0.05, 0.0), delay=sp.uniform(0.0, 30.0))
    net.connect("neurons", "neurons", sp.fixed_outdegree(5), weight=-0.02, delay=25.0)
    net.drive("neurons", sp.steps([50.0, 90.0], [0.05, -0.05]))
    rng = np.random.default_rng(0)
    grads, parts = [], []
    for mode in (True, "checkpoint"):
        res = net.run(800.0, record=sp.Record(V=[3, 5], V_times=7.7), tape=mode)
        parts.append(len(res._tape.parts))
        grads.append(res.backward(rng.normal(size=res.n_spikes), 0.1 * rng.normal(size=res.V.shape)))
        assert grads[-1].invariant_error < 1e-12
        rng = np.random.default_rng(0)
    assert parts[0] == 1
    assert parts[1] > 3
    for name in ("I_e", "V", "tau_m", "V_reset", "tau_syn"):
        np.testing.assert_allclose(getattr(grads[0], name), getattr(grads[1], name), rtol=1e-8, atol=1e-8)
    for k in range(3):
        scale = np.abs(grads[0].weight[k]).max()
        np.testing.assert_allclose(grads[0].weight[k], grads[1].weight[k], rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(grads[0].delay[k], grads[1].delay[k], rtol=1e-8, atol=1e-10 * scale)
    np.testing.assert_allclose(grads[0].steps[0], grads[1].steps[0], rtol=1e-8)


def test_two_spikes_of_a_source_at_one_time_keep_their_gradients_over_the_parts_of_a_tape(monkeypatch):
    cut_finely(monkeypatch)
    monkeypatch.setattr(sp.run.simulation, "FIRST_BLOCK", 5)
    net = sp.Network(seed=1)
    times = np.repeat(np.arange(1.0, 60.0, 1.5), 2)
    source = net.add(2, sp.SpikeSource(times, np.repeat(np.arange(40) % 2, 2)), name="in")
    neurons = net.add(6, sp.Theta(tau_m=10.0, I_e=0.5), name="n", V=np.linspace(0.0, 0.9, 6))
    net.connect(source, neurons, np.random.default_rng(1).normal(0.1, 0.05, (6, 2)), delay=12.5)
    grads = []
    for mode in (True, "checkpoint"):
        res = net.run(60.0, tape=mode)
        assert mode is True or len(res._tape.parts) > 20
        grads.append(res.backward(np.random.default_rng(2).normal(size=res.n_spikes)))
        assert grads[-1].invariant_error < 1e-12
    whole, parts = (g.input_times["in"] for g in grads)
    np.testing.assert_allclose(parts, whole, rtol=1e-10, atol=1e-12)
    assert np.array_equal(whole[::2], whole[1::2]) and (np.abs(whole) > 1e-3).sum() > 20


@pytest.mark.parametrize("engine", ["window", "heap"])
@pytest.mark.parametrize("model", all_models(), ids=["LIF", "Theta", "LIFExp"])
def test_a_tape_changes_no_bit(model, engine):
    net = sp.balanced_network(2000, model, outdegree=50, seed=2)
    runs = [net.run(n_spikes=20_000, engine=engine, tape=mode) for mode in (False, True, "checkpoint")]
    for res in runs[1:]:
        assert res.times.tobytes() == runs[0].times.tobytes()
        assert res.ids.tobytes() == runs[0].ids.tobytes()


def test_a_part_of_a_run_has_the_gradient_from_its_own_beginning():
    """Spikes that were on their way, refractory neurons and steps included."""
    net = sp.Network(seed=1)
    p = net.add(6, sp.LIF(tau_m=10.0, I_e=np.linspace(1.3, 2.0, 6), t_ref=2.0), V=np.linspace(-0.5, 0.5, 6))
    c = net.connect(p, p, sp.fixed_outdegree(3), weight=-0.05, delay=sp.uniform(1.0, 9.0))
    net.drive(p, sp.steps([10.0, 25.0], [0.1, -0.1]))
    sim = sp.Simulation(net)
    sim.run(22.0)
    V = sim.V
    res = sim.run(30.0, tape=True)
    dL = np.random.default_rng(0).normal(size=res.n_spikes)
    grads = res.backward(dL)
    assert grads.invariant_error < 1e-13

    def loss(weight):
        c.weight = weight
        later = sp.Simulation(net)
        later.run(22.0)
        return later.run(30.0).times @ dL

    # The weights also act before the cut; so take the derivative of the whole run, less that of the state at the cut.
    whole = sp.Simulation(net).run(52.0, tape=True)
    first = whole.n_spikes - res.n_spikes
    total = whole.backward(np.concatenate([np.zeros(first), dL]))
    step = 1e-6 * np.ones(c.n_synapses)
    numeric = (loss(-0.05 + step) - loss(-0.05 - step)) / 2e-6
    assert total.weight_sum[c] == pytest.approx(numeric, rel=1e-7)
    assert np.isfinite(grads.weight[c]).all()
    assert V.shape == grads.V.shape


def test_a_part_of_a_run_with_currents_begins_with_these():
    """In another unit of time everything is the same: sums over all derivatives for times, from V and I at the cut."""
    net = sp.Network(seed=1)
    model = sp.LIFExp(tau_m=10.0, tau_syn=(3.0, np.linspace(9.0, 11.0, 6)), I_e=np.linspace(1.3, 2.0, 6))
    p = net.add(6, model, V=np.linspace(-0.5, 0.5, 6))
    net.connect(p, p, sp.fixed_outdegree(3), weight=-0.15)
    net.connect(p, p, sp.fixed_outdegree(2), weight=0.1, port=1)
    sim = sp.Simulation(net)
    sim.run(22.0)
    res = sim.run(30.0, record=sp.Record(V=[0, 3], V_times=[31.0, 44.0]), tape=True)
    rng = np.random.default_rng(0)
    dL, dL_dV = rng.normal(size=res.n_spikes), rng.normal(size=res.V.shape)
    grads = res.backward(dL, np.zeros_like(dL_dV))
    assert grads.invariant_error < 1e-13
    scaled = grads.tau_m @ np.broadcast_to(10.0, 6) + grads.tau_syn[:, 0].sum() * 3.0
    scaled += grads.tau_syn[:, 1] @ np.linspace(9.0, 11.0, 6)
    assert scaled == pytest.approx(dL @ (res.times - 22.0), rel=1e-10)

    sim = sp.Simulation(net)
    sim.run(22.0)
    res = sim.run(30.0, record=sp.Record(V=[0, 3], V_times=[31.0, 44.0]), tape=True)
    assert res.backward(dL, dL_dV).invariant_error < 1e-13


AT_REST = [  # with dV/dI_e there
    (sp.LIF(tau_m=10.0, I_e=0.3), 1.0),
    (sp.LIFExp(tau_m=10.0, tau_syn=5.0, E_L=-60.0, V_th=-50.0, V_reset=-65.0, I_e=0.7), 1.0),
    (sp.Theta(tau_m=10.0, I_e=-0.3), 0.5 / math.sqrt(0.3)),
    (sp.QIF(tau_m=10.0, I_e=-0.04, V_peak=10.0, V_reset=-2.0), 2.5),
    (sp.RapidTheta(tau_m=10.0, rapidness=4.0, I_e=-0.3), 0.5 / math.sqrt(0.3 * (5.0 / 8.0))),
    (sp.PWLIF(tau_m=10.0, V_T=1.0, slope=3.0, V_th=2.0, V_reset=0.0), 1.0),
    (sp.EIF(tau_m=10.0, Delta_T=0.125, V_peak=2.0, V_reset=0.0, I_e=0.75), None),
    (sp.NumericalIF("-V", tau_m=10.0, V_th=1.0, V_reset=0.0, I_e=0.0), 1.0),
]


@pytest.mark.parametrize(("model", "slope"), AT_REST)
def test_at_rest_the_self_test_does_not_take_rounding_for_a_part(model, slope):
    """dV/dt is the difference of two numbers there, and all that is left of the sum is rounding."""
    net = sp.Network(seed=1)
    net.add(3, model)
    res = net.run(2000.0, record=sp.Record(V=range(3), V_times=[1500.0, 1900.0]), tape=True)
    dL_dV = np.random.default_rng(1).normal(size=res.V.shape)
    grads = res.backward([], dL_dV)
    assert grads.invariant_error < 1e-15
    if slope is not None:
        assert grads.I_e == pytest.approx(slope * dL_dV.sum(axis=0), rel=1e-12)


def test_at_the_unstable_fixed_point_gradients_grow_until_they_overflow():
    """V stays there, and dV/dV(0) = exp(2 sqrt(-I_e) t / tau_m), which is finite where its inverse squared is 0."""
    net = sp.Network(seed=1)
    net.add(1, sp.QIF(tau_m=1.0, I_e=-0.25, V_peak=10.0, V_reset=-10.0), V=0.5)

    def gradients(duration):
        res = net.run(duration + 1.0, record=sp.Record(V=[0], V_times=[duration]), tape=True)
        assert res.V[0, 0] == 0.5
        return res.backward([], [[1.0]])

    for duration in (20.0, 300.0, 400.0, 700.0):
        grads = gradients(duration)
        assert grads.n_warnings == 0
        assert grads.V[0] == pytest.approx(math.exp(duration), rel=1e-12)
        assert grads.I_e[0] == pytest.approx(math.expm1(duration), rel=1e-12)
        assert grads.tau_m[0] == 0.0
    with pytest.warns(sp.errors.GradientOverflowWarning):
        grads = gradients(800.0)
    assert grads.V[0] == grads.I_e[0] == math.inf
    assert grads.tau_m[0] == 0.0


def test_the_tape_of_lif_neurons_takes_a_few_bytes_per_spike():
    net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=100, seed=1)
    sizes = []
    for n in (20_000, 40_000):
        res = net.run(n_spikes=n, tape=True)
        (recording,) = res._tape.parts
        sizes.append(recording.nbytes / res.n_spikes)
    assert max(sizes) <= 24.0


def test_recorded_spikes_of_sources_and_of_some_populations():
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([1.0, 2.0, 4.0], [1, 0, 1]), name="in")
    a = net.add(2, sp.LIF(tau_m=10.0, I_e=[1.5, 1.7]), name="a", V=[0.0, 0.1])
    b = net.add(1, sp.LIF(tau_m=10.0, I_e=1.6), name="b", V=0.2)
    for post in (a, b):
        net.connect(source, post, sp.all_to_all(), weight=0.1)
    all_spikes = net.run(30.0)
    dL = np.where(all_spikes.ids >= 4, np.cos(all_spikes.times), 0.0)
    whole = net.run(30.0, tape=True).backward(dL)
    res = net.run(30.0, record=sp.Record(spikes=["b"]), tape=True)
    part = res.backward(np.cos(res.times))
    assert part.input_times["in"].tolist() == whole.input_times["in"].tolist()
    with_sources = net.run(30.0, record=sp.Record(record_sources=True), tape=True)
    dL = np.where(with_sources.ids < 2, 1.0, 0.0)
    assert with_sources.backward(dL).input_times["in"].tolist() == [1.0, 1.0, 1.0]


def test_leaving_out_what_is_not_wanted():
    net = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=10, seed=1)
    dL = np.random.default_rng(0).normal(size=net.run(n_spikes=500).n_spikes)
    whole = net.run(n_spikes=500, tape=True).backward(dL)
    less = net.run(n_spikes=500, tape=True).backward(dL, weights=False, tau_m=False)
    assert less.weight_sum[0] == pytest.approx(whole.weight_sum[0], rel=1e-12)
    np.testing.assert_allclose(less.V, whole.V, rtol=1e-12)
    with pytest.raises(sp.errors.ParameterError, match="weights=False"):
        less.weight[0]
    with pytest.raises(AttributeError, match="tau_m=False"):
        _ = less.tau_m
    with pytest.raises(AttributeError, match="tau_syn was left out"):
        _ = less.tau_syn
    with pytest.raises(AttributeError, match="no attribute 'tau'"):
        _ = less.tau


# What has no gradient -----------------------------------------------------------------------------------------------


def two_oscillators(model, delta):
    """Two neurons, the first of which kicks the second, that would fire at 10 and 10 + delta ms."""
    net = sp.Network(seed=1)
    period = 10.0
    gap = model.I_e - 1.0
    V = [model.I_e - gap * math.exp(t / 10.0) for t in (period, period + delta)]
    p = net.add(2, model, V=V)
    net.connect(p, p, sp.edges([0], [1]), weight=-0.2)
    return net


@pytest.mark.parametrize("delta", [1e-9, -1e-9])
def test_an_order_swap_is_reported(delta):
    net = two_oscillators(sp.LIF(tau_m=10.0, I_e=1.5), delta)
    res = net.run(n_spikes=3, tape=True)
    (warning,) = res.backward(np.ones(res.n_spikes)).warnings
    assert warning.kind == "order swap"
    assert warning.neuron == 1
    assert warning.source == 0
    assert warning.time == pytest.approx(10.0)
    assert "neuron 1 of population 'population_0'" in str(warning)


@pytest.mark.parametrize("delta", [1e-11, -1e-11])
@pytest.mark.parametrize("engine", ["window", "heap"])
def test_an_order_swap_is_reported_late_in_a_large_network(engine, delta):
    """Where the window orders by growth instead of time, which then is another number."""
    net = sp.Network(seed=1)
    V = np.full(200, -1.0)
    V[:2] = 0.0, 1.02 * -math.expm1(-delta / 10.0)
    p = net.add(200, sp.LIF(tau_m=10.0, I_e=1.02), V=V)
    net.connect(p, p, sp.edges([0], [1]), weight=-0.2)
    sim = sp.Simulation(net, engine=engine)
    assert sim._engine.name == engine
    res = sim.run(n_spikes=2, tape=True)
    (warning,) = res.backward(np.ones(res.n_spikes)).warnings
    assert (warning.kind, warning.neuron, warning.source) == ("order swap", 1, 0)
    assert warning.time > 39.0


def test_no_warning_where_spikes_are_apart_and_none_for_theta_neurons():
    net = two_oscillators(sp.LIF(tau_m=10.0, I_e=1.5), 0.1)
    res = net.run(n_spikes=3, tape=True)
    assert res.backward(np.ones(res.n_spikes)).warnings == []
    net = sp.Network(seed=1)
    p = net.add(2, sp.Theta(tau_m=10.0, I_e=0.5), V=0.0)
    net.connect(p, p, sp.edges([0], [1]), weight=-0.2)
    res = net.run(n_spikes=4, tape=True)
    assert res.backward(np.ones(res.n_spikes)).warnings == []


def grazed(margin):
    """A neuron whose V would reach 1 + margin (about margin) by its one input, with currents on two ports."""
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([3.0], [0]))
    neuron = net.add(1, sp.LIFExp(tau_m=10.0, tau_syn=(5.0, 2.0)), V=0.0)
    net.connect(source, neuron, sp.all_to_all(), weight=4.0 * (1.0 + margin))  # the peak is a quarter of it
    return net.run(100.0, tape=True)


def test_grazing_is_reported():
    assert grazed(-1e-9).n_spikes == 0
    res = grazed(1e-13)
    assert res.n_spikes == 1
    (warning,) = res.backward([1.0]).warnings
    assert warning.kind == "grazing"
    assert warning.neuron == 1
    assert warning.source is None
    assert warning.time == pytest.approx(3.0 + 10.0 * math.log(2.0), abs=1e-4)
    assert grazed(1e-6).backward([1.0]).warnings == []


@pytest.mark.parametrize("weight", [0.2, -0.2])
@pytest.mark.parametrize("delta", [1e-9, -1e-9])
def test_only_inhibition_can_swap_with_a_spike_of_a_neuron_with_currents(weight, delta):
    """V goes on through a kick; but the spike that inhibition might have prevented is there or not."""
    net = sp.Network(seed=1)
    p = net.add(
        2, sp.LIFExp(tau_m=10.0, tau_syn=3.0, I_e=1.1), V=[1.1 - 0.1 * math.exp(t / 10) for t in (10, 10 + delta)]
    )
    net.connect(p, p, sp.edges([0], [1]), weight=weight)
    res = net.run(n_spikes=3, tape=True)
    assert [w.kind for w in res.backward(np.ones(res.n_spikes)).warnings] == ["order swap"] * (weight < 0.0)


def test_several_causes_are_reported():
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([3.0, 3.0], [0, 1]), name="in")
    neuron = net.add(1, sp.LIF(tau_m=10.0), V=0.0)
    net.connect(source, neuron, sp.all_to_all(), weight=0.7)
    res = net.run(10.0, tape=True)
    assert res.n_spikes == 1
    (warning,) = res.backward([1.0]).warnings
    assert warning.kind == "several causes"
    assert warning.neuron == 2


def test_a_spike_that_is_due_at_a_step_is_reported():
    net = sp.Network(seed=1)
    p = net.add(1, sp.LIF(tau_m=10.0, I_e=1.5), V=0.0)
    time = net.run(n_spikes=1).times[0]
    net.drive(p, sp.steps([time], [-5.0]))
    res = net.run(30.0, tape=True)
    assert res.times.tolist() == [time]
    (warning,) = res.backward([1.0]).warnings
    assert warning.kind == "at a step"


def all_derivatives(grads):
    yield from grads.weight
    yield from grads.delay
    yield from (getattr(grads, name) for name in ("I_e", "V", "tau_m", "V_th", "V_reset", "t_ref"))
    yield from grads.input_times.values()


@pytest.mark.parametrize("mode", [True, "checkpoint"])
@pytest.mark.parametrize(
    "model",
    [
        sp.LIF(tau_m=10.0, I_e=1.2, t_ref=1.0),
        sp.LIFExp(tau_m=20.0, tau_syn=5.0, I_e=1.2),
        sp.QIF(tau_m=10.0, I_e=0.4, V_peak=5.0, V_reset=-5.0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_gradients_that_overflow_are_told_and_never_finite_and_wrong(model, mode, monkeypatch):
    cut_finely(monkeypatch)
    net = sp.Network(seed=1)
    rng = np.random.default_rng(0)
    source = net.add(4, sp.SpikeSource(np.sort(rng.uniform(0.0, 80.0, 60)), rng.integers(0, 4, 60)), name="in")
    neurons = net.add(40, model, name="E", V=rng.uniform(0.0, 0.9, 40))
    net.connect(source, neurons, sp.fixed_indegree(2), weight=0.3, delay=sp.uniform(0.0, 2.0))
    net.connect(neurons, neurons, sp.fixed_outdegree(8), weight=sp.uniform(-0.35, 0.2))
    res = net.run(100.0, tape=mode)
    dL_dtimes = rng.normal(size=res.n_spikes)
    usual = res.backward(dL_dtimes)
    assert all(w.kind != "overflow" for w in usual.warnings)
    largest = max(np.abs(np.nan_to_num(values)).max() for values in all_derivatives(usual))
    factor = 1.7e308 / largest * 5.0  # so that the largest one is too large by 5
    assert np.isfinite(factor * dL_dtimes).all()
    with pytest.warns(sp.errors.GradientOverflowWarning, match=r"overflow of neuron \d+ of population .* at .* ms: "):
        grads = net.run(100.0, tape=mode).backward(factor * dL_dtimes)
    (told,) = (w for w in grads.warnings if w.kind == "overflow")
    assert 0.0 <= told.time < 100.0
    n_lost = n_kept = 0
    for before, after in zip(all_derivatives(usual), all_derivatives(grads), strict=True):
        there = np.isfinite(after)
        n_lost += int((np.isfinite(before) & ~there).sum())
        n_kept += int(there.sum())
        wanted = 1e-20 * factor * np.asarray(before)[there]
        np.testing.assert_allclose(1e-20 * np.asarray(after)[there], wanted, rtol=1e-9, atol=1e-9 * 1e-20 * 1.7e308)
    assert n_lost > 0 and (n_kept > 0 or model.kernel != "LIF")
    # What the message advises: gradients are proportional to the loss.
    scaled = net.run(100.0, tape=mode).backward(1e-300 * (factor * dL_dtimes))
    assert all(np.isfinite(g).all() for g in scaled.weight)


def test_a_sum_that_overflows_though_nothing_in_it_does_is_told():
    net = sp.balanced_network(5, sp.LIF(tau_m=10.0), outdegree=2, seed=1)
    fine = {"by_neuron": [np.zeros(5)], "by_projection": [np.zeros(1)]}
    assert sp.gradients.noted(net, 1e-9, [], 0, *fine.values()) == {"warnings": [], "n_warnings": 0}
    for wrong in ({"by_neuron": [np.zeros(5), np.array([0.0, 0.0, np.inf, 0.0, 0.0])]}, {"by_projection": [[np.nan]]}):
        with pytest.warns(sp.errors.GradientOverflowWarning):
            found = sp.gradients.noted(net, 1e-9, [], 0, *(fine | wrong).values())
        assert found["n_warnings"] == 1 and found["warnings"][0].neuron == (2 if "by_neuron" in wrong else 0)


# check_gradients -----------------------------------------------------------------------------------------------------


def test_check_gradients_names_the_worst_synapse(monkeypatch):
    net = sp.Network(seed=1)
    p = net.add(5, sp.LIF(tau_m=10.0, I_e=np.linspace(1.3, 1.9, 5)), name="E", V=np.linspace(-0.4, 0.4, 5))
    net.connect(p, p, sp.fixed_outdegree(2), weight=-0.1, delay=sp.uniform(0.5, 2.0))
    report = sp.check_gradients(net, n_spikes=15)
    assert report.passed
    assert report.error < 1e-12
    assert "agree" in str(report)
    backward = sp.Result.backward

    def wrong(self, *arguments):
        grads = backward(self, *arguments)
        grads.weight[0][3] += 1.0
        return grads

    monkeypatch.setattr(sp.Result, "backward", wrong)
    report = sp.check_gradients(net, n_spikes=15, loss=lambda times, ids: np.cos(times) * (ids > 0))
    assert not report.passed
    (bad,) = [c for c in report.comparisons if c.error > 1e-9]
    assert bad.name == "weight of 'E' -> 'E'"
    assert "synapse 3, from 1" in bad.worst
    assert "DIFFER" in str(report)


def test_check_gradients_of_neurons_with_currents():
    net = sp.Network(seed=1)
    model = sp.LIFExp(tau_m=10.0, tau_syn=(5.0, np.linspace(9.9, 10.1, 5)), I_e=np.linspace(1.3, 1.9, 5), t_ref=1.0)
    p = net.add(5, model, name="E", V=np.linspace(-0.4, 0.4, 5))
    net.connect(p, p, sp.fixed_outdegree(2), weight=-0.1, delay=sp.uniform(0.5, 2.0), port=1)
    report = sp.check_gradients(net, n_spikes=15)
    assert report.passed, str(report)
    names = [c.name for c in report.comparisons]
    assert "tau_syn of port 0" in names
    assert "tau_syn of port 1" in names


def test_check_gradients_by_finite_differences_and_near_zero_drive():
    net = sp.Network(seed=1)
    model = sp.QIF(tau_m=10.0, I_e=[0.0, 1e-7, -1e-7, 1e-12], V_reset=0.3)
    p = net.add(4, model, V=np.linspace(0.2, 0.5, 4))
    net.connect(p, p, sp.fixed_outdegree(2), weight=-0.01)
    report = sp.check_gradients(net, n_spikes=12)
    assert report.passed, str(report)
    by_drive = {c.name: c for c in report.comparisons}["I_e"]
    assert by_drive.method == "finite difference"
    assert by_drive.uncertainty < 1e-7
    (coarse,) = sp.check_gradients(net, n_spikes=12, parameters=["V"], difference=1e-6).comparisons
    assert coarse.error < 1e-6
    assert coarse.error < coarse.uncertainty < 1e-4
    with pytest.raises(sp.errors.ParameterError, match="changes the order of spikes"):
        sp.check_gradients(net, n_spikes=12, parameters=["V"], difference=0.3)


@pytest.mark.parametrize("seed", [6, 10, 14, 16, 45, 52])  # drives of 0 and near it
def test_check_gradients_by_differences_raises_no_false_alarm(seed):
    net, duration = random_smooth_network(seed)
    report = sp.check_gradients(net, duration, n_spikes=30, parameters=["I_e", "steps"], most=8)
    assert report.comparisons[0].method == "finite difference"
    assert report.passed, str(report)


def test_check_gradients_by_differences_finds_a_wrong_derivative(monkeypatch):
    net = sp.Network(seed=1)
    p = net.add(4, sp.QIF(tau_m=10.0, I_e=0.0, V_reset=0.3), V=np.linspace(0.2, 0.5, 4))
    net.connect(p, p, sp.fixed_outdegree(2), weight=-0.01)
    assert sp.check_gradients(net, n_spikes=12, parameters="I_e").passed
    backward = sp.Result.backward

    def wrong(self, *arguments):
        grads = backward(self, *arguments)
        grads.I_e[np.argmax(np.abs(grads.I_e))] *= 1.0 + 1e-6
        return grads

    monkeypatch.setattr(sp.Result, "backward", wrong)
    report = sp.check_gradients(net, n_spikes=12, parameters="I_e")
    assert not report.passed
    assert "known to" in str(report)


def test_a_difference_that_is_known_to_a_few_digits_confirms_nothing():
    comparison = Comparison("I_e", 3e-4, "", 1, "finite difference", uncertainty=0.1)
    assert not comparison.agrees(1e-9)


def test_check_gradients_says_where_the_reference_is_in_doubt():
    net = sp.Network(seed=1)
    net.add(2, sp.LIF(tau_m=10.0, I_e=1.2), V=0.0)
    report = sp.check_gradients(net, 40.0, parameters="V")
    assert report.n_simultaneous == report.n_spikes == 4
    assert not report.passed
    assert "4 spikes come at the time of another one" in str(report)


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [None, 3, [["V"]], np.zeros((2, 2))])
def test_parameters_of_check_gradients_are_names(parameters):
    net = sp.balanced_network(5, sp.Theta(tau_m=10.0), outdegree=2, seed=1)
    with pytest.raises(sp.errors.ParameterError, match="parameters must be names|unknown parameter of check_gradients"):
        sp.check_gradients(net, n_spikes=3, parameters=parameters)


def test_bad_input_is_named():
    net = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=10, seed=1)
    with pytest.raises(sp.errors.ParameterError, match="tape must be .* or sp.Truncated.*, got 'all'"):
        net.run(10.0, tape="all")
    with pytest.raises(sp.errors.ParameterError, match='got engine="reference"'):
        net.run(10.0, tape=True, engine="reference")
    with pytest.raises(sp.errors.ParameterError, match="no tape"):
        net.run(10.0).backward([])
    res = net.run(n_spikes=50, tape=True)
    with pytest.raises(sp.errors.ParameterError, match="no tape"):
        res.population("neurons").backward([])
    with pytest.raises(sp.errors.ParameterError, match=r"dL_dtimes must have shape \(50,\)"):
        res.backward([1.0])
    with pytest.raises(sp.errors.ParameterError, match="dL_dtimes must be an array of real numbers, got dtype <U1"):
        res.backward(["a"])
    with pytest.raises(sp.errors.ParameterError, match=r"finite numbers, got nan at index 3"):
        res.backward(np.where(np.arange(50) == 3, np.nan, 0.0))
    with pytest.raises(sp.errors.ParameterError, match="dL_dV needs recorded voltages"):
        res.backward(np.zeros(50), [[1.0]])
    with pytest.raises(sp.errors.ParameterError, match="weights must be"):
        res.backward(np.zeros(50), weights=1)
    grads = res.backward(np.zeros(50))
    with pytest.raises(sp.errors.ParameterError, match="used up"):
        res.backward(np.zeros(50))
    with pytest.raises(sp.errors.ParameterError, match=r"the number of a projection must be .* \[0, 1\)"):
        grads.weight[1]
    other = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=10, seed=1)
    with pytest.raises(sp.errors.ParameterError, match="no projection of the network"):
        grads.weight[other.projections[0]]
    with pytest.raises(sp.errors.ParameterError, match="Did you mean 'weight'|weight"):
        sp.check_gradients(net, n_spikes=5, parameters=["weights"])
    with pytest.raises(sp.errors.ParameterError, match="needs a duration"):
        sp.check_gradients(net)


def test_no_derivative_of_an_infinite_voltage():
    net = sp.Network(seed=1)
    net.add(1, sp.QIF(tau_m=10.0, I_e=0.5, t_ref=5.0), V=10.0)
    res = net.run(10.0, record=sp.Record(V=[0], V_times=[2.0]), tape=True)
    assert res.V[0, 0] == -math.inf
    with pytest.raises(sp.errors.ParameterError, match="must be 0 where V is infinite, got 1.0 for neuron 0"):
        res.backward(np.zeros(res.n_spikes), [[1.0]])


def test_the_figures_of_the_documentation_can_be_drawn(tmp_path):
    import runpy
    from pathlib import Path

    script = Path(__file__).resolve().parent.parent / "docs" / "gradient_limits.py"
    runpy.run_path(str(script))["main"](tmp_path)
    assert len(list(tmp_path.glob("gradient_*.png"))) == 3


def test_a_network_that_has_grown_since_the_run_is_refused():
    net = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=10, seed=1)
    result = net.run(n_spikes=50, tape=True)
    net.add(3, sp.LIF(tau_m=10.0))
    with pytest.raises(sp.errors.ParameterError, match="something was added to the network since the run"):
        result.backward(np.ones(50))
