"""LIF neurons with exponential synaptic currents: potentials, limits, ports, refractoriness, and no spike is missed."""

import json
import math

import mpmath
import numpy as np
import pytest
from random_networks import outcome

import sparseprop as sp
from sparseprop import _core, models
from sparseprop.engine.reference import ReferenceEngine
from sparseprop.errors import ParameterError
from sparseprop.numerics.arithmetic import ComplexArithmetic, DoubleArithmetic, MultiprecisionArithmetic

ENGINES = ["window", "heap", "reference"]
TIME_CONSTANTS = [0.1, 2.0, 9.0, 9.7, 10.0 - 1e-6, 10.0, math.nextafter(10.0, 11.0), 10.3, 11.0, 80.0]
MP = mpmath.mp.clone()
MP.dps = 50


def response(t, tau_m, tau_syn, mp=MP):
    """V at t >= 0 after a unit of current at 0, at rest before; 50 digits."""
    t, tau_m, tau_syn = map(mp.mpf, (t, tau_m, tau_syn))
    if tau_m == tau_syn:
        return t / tau_m * mp.exp(-t / tau_m)
    return tau_syn / (tau_m - tau_syn) * (mp.exp(-t / tau_m) - mp.exp(-t / tau_syn))


def driven(model, times, weights, ports=None, V=0.0):
    """One neuron that gets the given spikes; each has its own source."""
    net = sp.Network(seed=1)
    p = net.add(1, model, name="neuron", V=V)
    s = net.add(len(times), sp.SpikeSource(times, np.arange(len(times))), name="source")
    for k, weight in enumerate(weights):
        port = 0 if ports is None else ports[k]
        net.connect(s, p, sp.edges([k], [0]), weight=float(weight), port=port)
    return net


# What a current does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("tau_syn", TIME_CONSTANTS)
def test_the_response_to_spikes_is_the_closed_form(engine, tau_syn):
    """Two spikes of different sign, epochs apart; V to some 1e-14, also where the time constants nearly coincide."""
    model = sp.LIFExp(tau_m=10.0, tau_syn=tau_syn, V_th=100.0)
    net = driven(model, [1.25, 130.5], [3.0, -2.0])
    times = np.array([0.5, 1.25, 1.5, 5.0, 30.0, 130.25, 130.75, 140.0, 200.0, 300.0])
    res = net.run(400.0, engine=engine, record=sp.Record(V={"neuron": True}, V_times=times), progress=False)
    for t, V in zip(times, res.V[:, 0], strict=True):
        expected = MP.mpf(0)
        for start, weight in ((1.25, 3), (130.5, -2)):
            if t > start:
                expected += weight * response(t - start, 10.0, tau_syn)
        assert abs(V - expected) < 2e-14


def test_peak_and_area_of_a_response_are_as_documented():
    for tau_syn in (0.5, 2.0, 25.0):
        model = sp.LIFExp(tau_m=10.0, tau_syn=tau_syn, V_th=10.0)
        times = np.arange(0.0, 500.0, 0.01)
        record = sp.Record(V={"neuron": True}, V_times=times)
        V = driven(model, [0.0], [1.0]).run(500.0, record=record, progress=False).V[:, 0]
        ratio = tau_syn / 10.0
        assert V.max() == pytest.approx(ratio ** (1.0 / (1.0 - ratio)), rel=1e-4)
        assert V.sum() * 0.01 == pytest.approx(tau_syn, rel=1e-3)
        port = models.lifexp_constants(math.fsum, **model.parameters())["ports"][0]
        assert V.max() <= port["peak"]
    for ratio in (1.0 - 0.0624, 1.0, 1.0 + 0.0624):
        port = models.lifexp_constants(math.fsum, **sp.LIFExp(tau_m=10.0, tau_syn=10.0 * ratio).parameters())["ports"][
            0
        ]
        assert port["near"]
        assert port["peak"] > max(float(response(0.1 * k, 10.0, 10.0 * ratio)) for k in range(90, 110))


def test_a_short_time_constant_approaches_delta_synapses():
    """weight / tau_syn fixed: the spike times differ from those of LIF by something of the order of tau_syn."""
    rng = np.random.default_rng(5)
    times, weights = np.sort(rng.uniform(0.0, 200.0, 60)), -rng.exponential(0.05, 60)
    delta = driven(sp.LIF(tau_m=10.0, I_e=1.2), times, weights).run(200.0, progress=False)
    for tau_syn in (1e-2, 1e-3, 1e-4):
        model = sp.LIFExp(tau_m=10.0, tau_syn=tau_syn, I_e=1.2)
        res = driven(model, times, weights * 10.0 / tau_syn).run(200.0, progress=False)
        assert res.n_spikes == delta.n_spikes
        assert np.abs(res.times - delta.times).max() < 20.0 * tau_syn


@pytest.mark.parametrize("engine", ENGINES)
def test_currents_of_several_ports_add(engine):
    """Weights go to the port that was asked for, by projections and by drives."""
    taus = (2.0, 10.0, 30.0)
    model = sp.LIFExp(tau_m=10.0, tau_syn=taus, V_th=100.0)
    net = driven(model, [1.0, 2.0, 2.0, 4.0], [5.0, -3.0, 2.0, 1.0], ports=[2, 0, 1, 1])
    res = net.run(60.0, engine=engine, record=sp.Record(V={"neuron": True}, V_times=[30.0, 55.0]), progress=False)
    for t, V in zip((30.0, 55.0), res.V[:, 0], strict=True):
        parts = [(1.0, 5, 2), (2.0, -3, 0), (2.0, 2, 1), (4.0, 1, 1)]
        assert abs(V - sum(w * response(t - start, 10.0, taus[port]) for start, w, port in parts)) < 2e-14


@pytest.mark.parametrize("engine", ENGINES)
def test_spikes_are_received_in_the_refractory_period_and_currents_survive_a_reset(engine):
    """A spike at 10 ln 2 from constant drive; kicks before it, in the refractory period, and two of them in one."""
    model = sp.LIFExp(tau_m=10.0, tau_syn=4.0, I_e=2.0, t_ref=3.0)
    net = driven(model, [5.0, 8.0, 9.0], [0.3, -0.4, 0.2])
    sim = sp.Simulation(net, engine=engine)
    first = sim.run(7.5, progress=False).times[0]
    assert sim.V[0] == 0.0
    second = sim.run(30.0, progress=False).times[0]
    release = first + 3.0

    def free(t, start, V):
        """V at t, from V at `start` on, with all currents."""
        decay = MP.exp(-(MP.mpf(t) - start) / 10)
        value = V * decay + 2 * (1 - decay)
        for when, weight in ((5.0, 0.3), (8.0, -0.4), (9.0, 0.2)):
            if when < t:
                now = max(MP.mpf(when), MP.mpf(start))
                current = MP.mpf(weight) * MP.exp(-(now - when) / 4)
                value += current * response(MP.mpf(t) - now, 10.0, 4.0)
        return value

    assert abs(free(first, 0.0, 0.0) - 1) < 1e-14
    assert abs(free(second, release, 0.0) - 1) < 1e-14


@pytest.mark.parametrize("engine", ENGINES)
def test_a_neuron_below_threshold_fires_from_the_current_stored_in_it(engine):
    """Long after the kick, and only if it is large enough."""
    for weight, expected in ((3.5, 0), (4.1, 1)):
        model = sp.LIFExp(tau_m=10.0, tau_syn=10.0, V_th=1.0, I_e=-0.4)
        net = driven(model, [2.0], [weight], V=-0.4)
        assert net.run(1000.0, engine=engine, progress=False).n_spikes == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("tau_syn", TIME_CONSTANTS)
def test_the_response_to_initial_currents_is_the_closed_form(engine, tau_syn):
    net = sp.Network(seed=1)
    net.add(
        2, sp.LIFExp(tau_m=10.0, tau_syn=(tau_syn, 4.0), V_th=100.0), name="n", V=0.0, I_syn=[[3.0, 0.0], [0.0, -2.0]]
    )
    times = [0.0, 0.5, 7.0, 150.0]
    for described in (net, sp.Network.from_dict(net.to_dict())):
        res = described.run(200.0, engine=engine, record=sp.Record(V={"n": True}, V_times=times), progress=False)
        for t, V in zip(times, res.V, strict=True):
            assert abs(V[0] - 3 * response(t, 10.0, tau_syn)) < 2e-14
            assert abs(V[1] + 2 * response(t, 10.0, 4.0)) < 2e-14


def test_initial_currents_count_in_the_refractory_period_too():
    """Neurons of a uniform phase that begin in it have V_reset until it ends, and the current all the time."""
    model = sp.LIFExp(tau_m=10.0, tau_syn=8.0, I_e=1.5, t_ref=30.0)
    net = sp.Network(seed=1)
    net.add(50, model, name="n", I_syn=0.4)
    record = dict(V={"n": True}, V_times=[0.0], I_syn={"n": True}, I_syn_times=[0.0, 5.0])
    runs = [net.run(100.0, engine=engine, record=sp.Record(**record), progress=False) for engine in ENGINES]
    assert (runs[0].V[0] == 0.0).sum() > 10
    assert runs[0].I_syn[1] == pytest.approx(0.4 * math.exp(-5.0 / 8.0), rel=1e-14)
    for res in runs:
        assert res.times.tobytes() == runs[0].times.tobytes() and res.I_syn.tobytes() == runs[0].I_syn.tobytes()


@pytest.mark.parametrize(
    ("model", "I_syn", "message"),
    [
        (sp.LIF(tau_m=10.0), 1.0, "I_syn of population 'n' is for LIFExp neurons"),
        (sp.LIFExp(tau_m=10.0, tau_syn=5.0), [1.0, 2.0], r"must be a number, or have the shape \(3,\), got"),
        (sp.LIFExp(tau_m=10.0, tau_syn=(5.0, 2.0)), 1.0, r"must be of shape \(2,\) or \(3, 2\), got 1.0"),
        (sp.LIFExp(tau_m=10.0, tau_syn=(5.0, 2.0)), [1.0, math.nan], "must be finite numbers of at most"),
        (sp.LIFExp(tau_m=10.0, tau_syn=5.0), "much", "must be a"),
        (sp.LIFExp(tau_m=10.0, tau_syn=(5.0, 2.0)), [[1.0], [1.0, 2.0]], "must be an array of"),
    ],
)
def test_initial_currents_that_make_no_sense_are_refused(model, I_syn, message):
    with pytest.raises(ParameterError, match=message):
        sp.Network(seed=1).add(3, model, name="n", I_syn=I_syn)


def test_currents_stay_when_the_drive_changes():
    model = sp.LIFExp(tau_m=10.0, tau_syn=(5.0, 10.0), V_th=50.0, t_ref=1.0)
    net = driven(model, [1.0, 2.0], [4.0, 2.0], ports=[0, 1])
    net.drive("neuron", sp.steps([10.0, 20.0], [3.0, 0.0]))
    for engine in ENGINES:
        res = net.run(40.0, engine=engine, record=sp.Record(V={"neuron": True}, V_times=[35.0]), progress=False)
        step = 3 * (MP.exp(-MP.mpf(15) / 10) - MP.exp(-MP.mpf(25) / 10))
        expected = 4 * response(34, 10.0, 5.0) + 2 * response(33, 10.0, 10.0) + step
        assert abs(res.V[0, 0] - expected) < 1e-14


# Accuracy ---------------------------------------------------------------------------------------------------------


def autapse(tau_syn):
    net = sp.Network(seed=1)
    p = net.add(1, sp.LIFExp(tau_m=10.0, tau_syn=tau_syn, I_e=1.5, t_ref=0.5), V=0.0)
    net.connect(p, p, sp.one_to_one(), weight=-0.7, delay=1.25, allow_autapses=True)
    return net.engine_input()


@pytest.mark.parametrize("tau_syn", [3.0, 9.9, 10.0])
def test_nothing_drifts_over_a_million_periods_with_currents(tau_syn):
    """A neuron that inhibits itself: the period of 50 digits, to some ulp, at the beginning and in the end."""
    source = autapse(tau_syn)
    engine = ReferenceEngine(source, MultiprecisionArithmetic(50))
    engine.advance(source.clock.pair(10_000.0), 60)
    (n, s), (m, t) = engine.spikes[-2][0], engine.spikes[-1][0]
    period = (m - n) * MP.mpf(source.clock.epoch) + (t - s)
    engine = _core.Engine(source, "heap")
    for start in (60, 10_000, 999_000):
        engine.advance((2**51, 0.0), start)
        engine.take()
        before = engine.now
        for k in range(start + 1, start + 50):
            engine.advance((2**51, 0.0), k)
            now = engine.now
            interval = (now[0] - before[0]) * MP.mpf(source.clock.epoch) + (MP.mpf(now[1]) - MP.mpf(before[1]))
            assert abs(interval - period) < 2e-14 * 10.0
            before = now


@pytest.mark.parametrize("tau_syn", [2.0, 9.5, 10.0, (3.0, 30.0)])
def test_complex_step_equals_finite_differences_at_50_digits_with_currents(tau_syn):
    model = sp.LIFExp(tau_m=10.0, tau_syn=tau_syn, I_e=1.3, t_ref=0.5)
    net = driven(model, [1.0, 4.0, 9.0], [0.31, -0.4, 0.25], ports=[0, 0, model.n_ports - 1])
    source = net.engine_input()
    for value in (1.3, 0.31, 10.0):
        times = []
        for step in (0.0, 1e-20):
            engine = ReferenceEngine(source, _Shifting(MultiprecisionArithmetic(50), value, step))
            engine.advance((2**51, 0.0), 4)
            times.append([n * source.clock.epoch + s for (n, s), _ in engine.spikes])
        engine = ReferenceEngine(source, _Shifting(ComplexArithmetic(), value, 1e-30j))
        engine.advance((2**51, 0.0), 4)
        for ((_, s), _), zero, plus in zip(engine.spikes, *times, strict=True):
            assert complex(s).imag * 1e30 == pytest.approx(float((plus - zero) / MP.mpf(1e-20)), rel=1e-9, abs=1e-12)


class _Shifting:
    """An arithmetic that adds `step` to one value when it makes a number of a parameter or a weight."""

    def __init__(self, arithmetic, value, step):
        self._arithmetic, self._value, self._step = arithmetic, value, step

    def __getattr__(self, name):
        return getattr(self._arithmetic, name)

    def number(self, value):
        return self._arithmetic.number(value) + (self._step if value == self._value else 0.0)


# No spike is missed -----------------------------------------------------------------------------------------------

LONG = np.longdouble


def kernel(u, tau_m, tau_syn):
    """`response` of arrays, in extended precision, without the cancellation of nearly equal time constants."""
    z = (tau_syn - tau_m) / (tau_syn * tau_m) * u
    z = np.where(z == 0.0, LONG(1e-30), z)
    late = np.exp(-u / tau_m) - np.exp(-u / tau_syn)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        near = np.exp(-u / tau_m) * (u / tau_m) * (np.expm1(z) / z)
        return np.where(np.abs(z) < 1.0, near, tau_syn / (tau_m - tau_syn) * late)


def grazing_cases(n, n_ports, seed):
    """Neurons below threshold that a kick to each port at time 0 brings near it: parameters, V(0), weights, and the
    relative distance of the first maximum of V from threshold as it was aimed at."""
    rng = np.random.default_rng(seed)
    tau_m = np.exp(rng.uniform(math.log(2.0), math.log(50.0), n))
    taus = [tau_m * np.exp(rng.uniform(math.log(0.05), math.log(5.0), n)) for _ in range(n_ports)]
    if n_ports == 1:
        near = rng.random(n) < 0.3
        factor = 1.0 + rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-4.0, -1.3, n)
        taus[0] = np.where(near, tau_m * factor, taus[0])
    drive = rng.uniform(-1.0, 0.95, n)
    V = np.where(rng.random(n) < 0.3, drive, rng.uniform(-1.0, 0.9, n))
    weights = [rng.exponential(1.0, n) * (1.0 if k == 0 else rng.choice([-1.0, 1.0], n)) for k in range(n_ports)]
    aim = rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-13.0, -1.0, n)
    return tau_m, taus, drive, V, weights, aim


def potential(u, tau_m, taus, drive, V, weights):
    """V at times u (n, m) of n neurons, in extended precision."""
    values = [np.asarray(a, LONG)[:, None] for a in (tau_m, drive, V)]
    result = values[1] + (values[2] - values[1]) * np.exp(-u / values[0])
    for tau, weight in zip(taus, weights, strict=True):
        result = result + np.asarray(weight, LONG)[:, None] * kernel(u, values[0], np.asarray(tau, LONG)[:, None])
    return result


def highest(tau_m, taus, drive, V, weights, sections=400, zooms=12):
    """The largest V on a grid, with the best point refined by repeatedly zooming in."""
    scale = np.maximum(np.asarray(tau_m), np.max(taus, axis=0)).astype(LONG)[:, None]
    # Dense at the beginning, where short time constants act.
    u = scale * np.concatenate([np.geomspace(1e-5, 20.0, sections)]).astype(LONG)[None, :]
    values = potential(u, tau_m, taus, drive, V, weights)
    for _ in range(zooms):
        k = np.clip(values.argmax(axis=1), 1, u.shape[1] - 2)
        rows = np.arange(len(k))
        low, high = u[rows, k - 1][:, None], u[rows, k + 1][:, None]
        u = low + (high - low) * np.linspace(0.0, 1.0, 9).astype(LONG)[None, :]
        values = potential(u, tau_m, taus, drive, V, weights)
    return np.maximum(values.max(axis=1), np.asarray(V))


def check_grazing(n, n_ports, seed, engine="window"):
    """Run n such neurons; each whose potential reaches threshold in extended precision fires, and no other."""
    tau_m, taus, drive, V, weights, aim = grazing_cases(n, n_ports, seed)
    top = highest(tau_m, taus, drive, V, weights).astype(float)
    size = 1.0 + np.abs(V) + np.abs(drive) + np.sum(np.abs(weights), axis=0)
    threshold = top - aim * size * 0.1
    threshold = np.maximum(threshold, np.maximum(V, drive) + 1e-6)
    model = sp.LIFExp(tau_m=tau_m, tau_syn=tuple(taus), V_th=threshold, V_reset=-20.0, I_e=drive)
    net = sp.Network(seed=1)
    p = net.add(n, model, V=V)
    source = net.add(1, sp.SpikeSource([0.0], [0]))
    for k, weight in enumerate(weights):
        net.connect(source, p, sp.edges(np.zeros(n, int), np.arange(n)), weight=weight, port=k)
    res = net.run(20.0 * float(max(tau_m.max(), np.max(taus))), engine=engine, progress=False)
    first = np.full(n, np.inf)
    np.minimum.at(first, res.ids, res.times)
    fired = np.isfinite(first)
    distance = (highest(tau_m, taus, drive, V, weights) - threshold).astype(float) / size
    undecidable = np.abs(distance) < 2e-15
    assert undecidable.mean() < 0.1
    wrong = (fired != (distance > 0.0)) & ~undecidable
    assert not wrong.any(), f"case {np.argmax(wrong)} of seed {seed}: distance {distance[wrong][0]:.2e}"
    assert 0.2 < fired.mean() < 0.8
    # The spike is at threshold, and the potential was below before.
    rows = np.flatnonzero(fired)
    u = np.linspace(0.0, 1.0, 200)[None, 1:] * first[rows, None].astype(LONG)
    chosen = (tau_m[rows], [tau[rows] for tau in taus], drive[rows], V[rows], [weight[rows] for weight in weights])
    values = potential(u, *chosen) - threshold[rows][:, None]
    assert (np.abs(values[:, -1]) < 1e-14 * size[rows]).all()
    assert (values[:, :-1].max(axis=1) < 1e-14 * size[rows]).all()
    return fired.sum()


@pytest.mark.parametrize("n_ports", [1, 2, 4])
def test_no_spike_is_missed_near_grazing(n_ports):
    assert check_grazing(4000, n_ports, seed=n_ports) > 1000


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(100, 150))
def test_no_spike_is_missed_in_a_million_cases_near_grazing(seed):
    for n_ports in (1, 2, 3, 4):
        check_grazing(5000, n_ports, seed=10 * seed + n_ports)


def test_the_first_of_several_crossings_counts():
    """Fast excitation lifts V over threshold, slower inhibition takes it down, and slow excitation lifts it again."""
    model = sp.LIFExp(tau_m=5.0, tau_syn=(1.0, 12.0, 100.0), V_th=1.0, V_reset=-1.0, t_ref=400.0)
    for weight, first in ((20.0, 0.7), (5.0, 20.0)):
        net = driven(model, [0.0, 0.0, 0.0], [weight, -6.0, 3.0], ports=[0, 1, 2])
        times = [net.run(200.0, engine=engine, progress=False).times for engine in ENGINES]
        assert np.array_equal(times[0], times[1])
        assert np.array_equal(times[0], times[2])
        assert times[0].size == 1
        assert 0.5 * first < times[0][0] < 2.0 * first


def test_tiny_and_zero_weights_keep_the_engines_together():
    """Such kicks move the next spike by rounding alone, which near grazing is far more than an ulp."""
    rng = np.random.default_rng(3)
    net = sp.Network(seed=1)
    n = 100
    p = net.add(n, sp.LIFExp(tau_m=10.0, tau_syn=5.0, I_e=0.5), V=0.5)
    source = net.add(1, sp.SpikeSource([0.0], [0]))
    late = net.add(50, sp.SpikeSource(np.sort(rng.uniform(0.0, 12.0, 50)), np.arange(50)))
    weights = 2.0 * (1.0 + rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-16.0, -9.0, n))
    net.connect(source, p, sp.edges(np.zeros(n, int), np.arange(n)), weight=weights)
    for weight in (0.0, -1e-17, -1e-13):
        net.connect(late, p, sp.pairwise_bernoulli(0.3), weight=weight)
    net.connect(p, p, sp.pairwise_bernoulli(0.5), weight=-1e-16)
    runs = [outcome(net, engine, 60.0) for engine in ENGINES]
    assert runs[0] == runs[1] == runs[2]
    assert 10 * 8 < len(runs[0][0]) < 90 * 8


# What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sp.LIFExp(tau_m=10.0, tau_syn=0.0), r"LIFExp\.tau_syn must be a finite time > 0 ms, got 0\.0"),
        (lambda: sp.LIFExp(tau_m=10.0, tau_syn=()), r"LIFExp\.tau_syn must be for 1 to 4 ports, got 0 values"),
        (lambda: sp.LIFExp(tau_m=10.0, tau_syn=(1.0,) * 5), r"LIFExp\.tau_syn must be for 1 to 4 ports, got 5 values"),
        (lambda: sp.LIFExp(tau_m=10.0, tau_syn=(1.0, -1.0)), r"LIFExp\.tau_syn\[1\] must be a finite time > 0 ms"),
        (lambda: sp.LIFExp(tau_m=10.0, tau_syn=1e-6), r"tau_syn of port 0 must be within a factor of 1e\+06 of tau_m"),
        (lambda: sp.LIFExp(tau_m=10.0, tau_syn=1.0, V_th=0.0), r"V_reset must be below V_th"),
        (lambda: sp.LIFExp(tau_m=10.0, tau_syn=1.0, t_ref=501.0), r"t_ref must be at most 500 time constants"),
        (
            lambda: sp.LIFExp(tau_m=10.0, tau_syn=1.0, V_th=0.0, V_reset=-1.0, I_e=1e-99),
            r"E_L \+ I_e must be V_th or at least 1e-90 away from it",
        ),
        (
            lambda: sp.LIFExp(tau_m=[10.0, 9.0], tau_syn=np.array([1.0, 2.0, 3.0])),
            r"parameters of LIFExp given per neuron must have one length, got tau_m: 2, tau_syn: 3",
        ),
        (lambda: connected(port=1), r"port of projection 'a' -> 'a' must be 0 for a LIFExp, got 1"),
        (
            lambda: connected((1.0, 2.0), port=2),
            r"port of .* must be a whole number from 0 to 1, by the tau_syn of its",
        ),
        (lambda: connected(port=0.5), r"port of .* got 0\.5"),
        (lambda: driven_by(sp.poisson(10.0), weight=1.0, port=1), r"port of drive of population 'a' must be 0"),
        (
            lambda: driven_by(sp.steps([1.0], [1.0]), port=1),
            r"port of drive .* must be left out: steps are added to I_e",
        ),
    ],
)
def test_bad_input_is_explained(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def connected(tau_syn=1.0, **options):
    net = sp.Network(seed=1)
    p = net.add(3, sp.LIFExp(tau_m=10.0, tau_syn=tau_syn), name="a")
    return net.connect(p, p, sp.all_to_all(), weight=0.1, **options)


def driven_by(source, **options):
    net = sp.Network(seed=1)
    p = net.add(3, sp.LIFExp(tau_m=10.0, tau_syn=(1.0, 2.0)), name="b")
    p = net.add(3, sp.LIF(tau_m=10.0), name="a") if "weight" in options else p
    return net.drive(p if "weight" in options else "b", source, **options)


def test_a_configuration_has_ports_and_time_constants():
    net = sp.Network.from_dict(
        {
            "seed": 1,
            "populations": [
                {
                    "n": 70,
                    "name": "E",
                    "model": {"name": "LIFExp", "tau_m": 20.0, "tau_syn": {"ports": [2.0, 10.0]}, "I_e": 1.1},
                }
            ],
            "projections": [
                {"pre": "E", "post": "E", "rule": {"name": "fixed_indegree", "k": 5}, "weight": -0.5, "port": 1}
            ],
            "drives": [{"population": "E", "input": {"name": "poisson", "rate": 500.0}, "weight": 0.1, "port": 1}],
        }
    )
    assert net.populations[0].model.tau_syn == (2.0, 10.0)
    assert net.projections[0].port == net.drives[0].port == 1
    again = sp.Network.from_dict(net.to_dict())
    assert np.array_equal(net.run(100.0, progress=False).times, again.run(100.0, progress=False).times)
    with pytest.raises(ParameterError, match="has no entry 'tau_syn'"):
        sp.Network.from_dict({"populations": [{"n": 1, "model": {"name": "LIFExp", "tau_m": 1.0}}]})


def test_double_precision_is_exact_for_neurons_without_input():
    """Then they are LIF neurons, to the last digits."""
    for engine in ENGINES:
        lif, exp = sp.Network(seed=1), sp.Network(seed=1)
        lif.add(1, sp.LIF(tau_m=10.0, I_e=1.3, t_ref=0.7), V=0.2)
        exp.add(1, sp.LIFExp(tau_m=10.0, tau_syn=3.0, I_e=1.3, t_ref=0.7), V=0.2)
        a, b = (net.run(500.0, engine=engine, progress=False).times for net in (lif, exp))
        assert np.abs(a - b).max() < 1e-12


def test_balanced_network_has_the_same_mean_input_as_one_of_lif_neurons():
    lif, exp = (sp.balanced_network(200, model, 20, seed=1) for model in (sp.LIF(10.0), sp.LIFExp(10.0, (2.5, 9.0))))
    assert exp.populations[0].model.I_e == lif.populations[0].model.I_e
    assert exp.projections[0].weight * 2.5 == pytest.approx(lif.projections[0].weight * 10.0)
    assert DoubleArithmetic().relative_expm1(0.0) == 1.0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_drive_at_threshold_and_opposed_currents_of_nearly_equal_time_constants(engine):
    """Their sum changes its sign far beyond where they underflow; the crossing is early nevertheless."""
    model = sp.LIFExp(tau_m=10.0, tau_syn=(10.0003, 10.0), I_e=1.0)
    net = driven(model, [1.0, 2.0], [-1.7, 9.5], ports=[0, 1])
    (t, *_) = net.run(40.0, engine=engine).times
    record = sp.Record(V=[0], V_times=[t - 1e-9])
    res = net.run(t, engine=engine, record=record)
    assert res.V[0, 0] == pytest.approx(1.0, abs=1e-8)


def test_ports_are_tuples_and_neurons_are_arrays_and_short_lists_are_refused():
    for given in ([2.0, 5.0, 9.0], [5.0], [], [2.0, np.array([1.0, 2.0])]):
        with pytest.raises(ParameterError, match=r"LIFExp\.tau_syn must be .* could be either: give the tuple"):
            sp.LIFExp(tau_m=10.0, tau_syn=given)
    ports = sp.LIFExp(tau_m=10.0, tau_syn=(2.0, np.array([5.0, 9.0, 4.0])))
    neurons = sp.LIFExp(tau_m=10.0, tau_syn=np.array([2.0, 5.0, 9.0]))
    assert (ports.n_ports, ports.size, neurons.n_ports, neurons.size) == (2, 3, 1, 3)
    assert sp.LIFExp(tau_m=10.0, tau_syn=[2.0, 3.0, 4.0, 5.0, 6.0]).size == 5
    for model in (ports, neurons, sp.LIFExp(tau_m=10.0, tau_syn=(2.0, 5.0))):
        net = sp.Network(seed=1)
        net.add(3, model, name="a")
        again = sp.Network.from_dict(net.to_dict()).populations[0].model
        assert repr(again) == repr(model)
    # As text, which has no tuples and no arrays.
    for given, n_ports in (({"ports": [2.0, 5.0]}, 2), ({"neurons": [2.0, 5.0, 9.0]}, 1), (2.0, 1)):
        model = json.loads(json.dumps({"name": "LIFExp", "tau_m": 10.0, "tau_syn": given}))
        net = sp.Network.from_dict({"seed": 1, "populations": [{"n": 3, "model": model}]})
        assert net.populations[0].model.n_ports == n_ports
    with pytest.raises(ParameterError, match=r"in a configuration \{'ports': \.\.\.\} or \{'neurons': \.\.\.\}"):
        model = {"name": "LIFExp", "tau_m": 1.0, "tau_syn": [1.0, 2.0]}
        sp.Network.from_dict({"seed": 1, "populations": [{"n": 2, "model": model}]})
