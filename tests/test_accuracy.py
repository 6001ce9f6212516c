"""Promise 1: spike times against 50-digit arithmetic and closed forms."""

import math

import mpmath
import numpy as np
import pytest
from random_networks import longest_period, random_network

import sparseprop as sp
from sparseprop import _core
from sparseprop.engine.reference import ReferenceEngine
from sparseprop.errors import EngineFault
from sparseprop.numerics.arithmetic import ComplexArithmetic, DoubleArithmetic, MultiprecisionArithmetic
from sparseprop.numerics.engine_time import FRACTION_BITS, LN2, TWO_PI, Clock, advance_per_epoch

MP = mpmath.mp.clone()
MP.dps = 50


def interval(clock, earlier, later):
    """Time between two engine-time pairs in 50 digits, ms."""
    return (later[0] - earlier[0]) * MP.mpf(clock.epoch) + (MP.mpf(later[1]) - MP.mpf(earlier[1]))


def spike_pairs(source, arithmetic, duration, n_spikes):
    engine = ReferenceEngine(source, arithmetic)
    engine.advance(source.clock.pair(duration), n_spikes)
    return engine.spikes


@pytest.mark.parametrize(
    "first", [*range(0, 40, 20), *(pytest.param(n, marks=pytest.mark.long) for n in range(40, 200, 20))]
)
def test_networks_against_50_digits(first):
    """Same spikes in the same order; every time within 1e-12 of the neuron's membrane time constant."""
    compared = swaps = 0
    for seed in range(first, first + 20):
        net = random_network(seed, tables=False)
        source = net.engine_input()
        duration = longest_period(net)
        try:
            double = spike_pairs(source, DoubleArithmetic(), duration, 150)
        except EngineFault:
            continue
        exact = spike_pairs(source, MultiprecisionArithmetic(50), duration, 150)
        neurons = [p for p in net.populations if not p.is_source]  # sources come last
        tau = np.concatenate([np.broadcast_to(p.model.tau_m, p.n) for p in neurons])
        for (t, i), (s, j) in zip(double, exact, strict=False):
            # The error of one interval is relative to tau; over 150 spikes of a network, errors add up.
            assert abs(interval(source.clock, s, t)) < 1e-12 * max(tau[i], 10.0), f"random_network({seed}), neuron {i}"
            if i != j:
                swaps += 1
                break  # at the same time but for rounding: from here on it is another network
            compared += 1
        else:
            assert len(double) == len(exact)
    assert compared > 700
    assert swaps <= 2


def closed_form_period(model):
    """The free period in ms at 50 digits."""
    mpf = MP.mpf
    if isinstance(model, sp.EIF):
        unit = mpf(model.Delta_T)
        margin = (mpf(model.E_L) + mpf(model.I_e) - mpf(model.V_T)) / unit
        low, high = ((mpf(V) - mpf(model.V_T)) / unit for V in (model.V_reset, model.V_peak))
        # As many panels as F is wide, and more where it is narrow.
        edges = [low, *[mpf(k) / 8 for k in range(math.ceil(8 * low), math.floor(8 * high) + 1)], high]
        period = mpf(model.tau_m) * MP.quad(lambda v: 1 / (MP.exp(v) - v + margin), edges)
    elif isinstance(model, sp.NumericalIF) and model.drift.text == "V * V":
        return closed_form_period(
            sp.QIF(tau_m=model.tau_m, I_e=model.I_e, V_peak=model.V_th, V_reset=model.V_reset, t_ref=model.t_ref)
        )
    elif isinstance(model, sp.QuadraticIF):
        D = mpf(model.V_t) - mpf(model.V_r)
        centre = (mpf(model.V_t) + mpf(model.V_r)) / 2
        drive = mpf(model.I_e) * D / mpf(model.g_L) - D * D / 4
        root = MP.sqrt(drive)
        low, high = (MP.atan((mpf(V) - centre) / root) for V in (model.V_reset, model.V_peak))
        period = mpf(model.C_m) * D / mpf(model.g_L) / root * (high - low)
    elif isinstance(model, sp.PWLIF):
        gap, slope = mpf(model.E_L) + mpf(model.I_e) - mpf(model.V_T), mpf(model.slope)
        low, high = (mpf(V) - mpf(model.V_T) for V in (model.V_reset, model.V_th))
        leak = MP.log((gap - low) / gap) if low < 0 else mpf(0)
        growth = MP.log((gap + slope * high) / (gap + slope * max(low, 0))) / slope
        period = mpf(model.tau_m) * (leak + growth)
    elif isinstance(model, (sp.LIF, sp.LIFExp, sp.NumericalIF)):
        drive = mpf(getattr(model, "E_L", 0.0)) + mpf(model.I_e)
        period = mpf(model.tau_m) * MP.log((drive - mpf(model.V_reset)) / (drive - mpf(model.V_th)))
    elif isinstance(model, sp.RapidTheta):
        r = mpf(model.rapidness)
        period = MP.pi * mpf(model.tau_m) * MP.sqrt((r + 1) / (2 * r) / mpf(model.I_e))
    else:
        root = MP.sqrt(abs(mpf(model.I_e)))
        low, high = mpf(model.V_reset), mpf(model.V_peak)
        if model.I_e > 0:
            period = mpf(model.tau_m) / root * (MP.atan(high / root) - MP.atan(low / root))
        elif model.I_e < 0:
            period = mpf(model.tau_m) / root * (MP.atanh(root / low) - MP.atanh(root / high))
        else:
            period = mpf(model.tau_m) * (1 / low - 1 / high)
    return period + mpf(model.t_ref)


OSCILLATORS = [
    sp.LIF(tau_m=10.0, I_e=1.1),
    sp.LIF(tau_m=10.0, I_e=1.0 + 1e-9),
    sp.LIF(tau_m=20.0, E_L=-65.0, V_th=-50.0, V_reset=-65.0, I_e=15.1, t_ref=2.0),
    sp.LIF(tau_m=0.37, I_e=50.0),
    sp.LIFExp(tau_m=10.0, tau_syn=2.0, I_e=1.1),
    sp.LIFExp(tau_m=20.0, tau_syn=(20.0, 0.1), E_L=-65.0, V_th=-50.0, V_reset=-65.0, I_e=15.1, t_ref=2.0),
    sp.QIF(tau_m=10.0, I_e=0.1),
    sp.QIF(tau_m=10.0, I_e=1e-4),
    sp.QIF(tau_m=10.0, I_e=0.3, V_peak=10.0, V_reset=-5.0, t_ref=1.5),
    sp.QIF(tau_m=10.0, I_e=2.0, V_reset=1.0),
    sp.QIF(tau_m=10.0, I_e=1e4),
    sp.QIF(tau_m=10.0, I_e=1e-9),
    sp.QIF(tau_m=10.0, I_e=1e-9, V_peak=20.0, V_reset=-3.0),
    sp.QIF(tau_m=10.0, I_e=0.0, V_peak=20.0, V_reset=0.5, t_ref=0.3),
    sp.QIF(tau_m=10.0, I_e=-1e-6, V_reset=0.5),
    sp.QIF(tau_m=10.0, I_e=-0.5, V_peak=20.0, V_reset=0.8),
    sp.QIF(tau_m=10.0, I_e=-30.0, V_reset=6.0, t_ref=4.0),
    sp.Theta(tau_m=7.0, I_e=0.7),
    sp.RapidTheta(tau_m=7.0, rapidness=1.0, I_e=0.7),
    sp.RapidTheta(tau_m=7.0, rapidness=3.0, I_e=0.7),
    sp.RapidTheta(tau_m=10.0, rapidness=1e6, I_e=1e-3),
    sp.RapidTheta(tau_m=10.0, rapidness=0.1, I_e=0.3),
    sp.RapidTheta(tau_m=10.0, rapidness=10.0, I_e=1e-9),
    sp.EIF(tau_m=10.0, I_e=1.1),
    sp.EIF(tau_m=10.0, I_e=0.9 + 1e-7),
    sp.EIF(tau_m=20.0, E_L=-65.0, V_T=-50.0, Delta_T=2.0, V_peak=20.0, V_reset=-60.0, I_e=20.0, t_ref=2.0),
    sp.EIF(tau_m=0.4, Delta_T=0.01, V_peak=1.5, V_reset=0.2, I_e=2.0),
    sp.NumericalIF("-V", V_th=1.0, V_reset=0.0, tau_m=10.0, I_e=1.1),
    sp.NumericalIF("V * V", V_th=20.0, V_reset=-10.0, tau_m=10.0, I_e=0.3, t_ref=1.5),
    sp.QuadraticIF(C_m=200.0, g_L=10.0, V_r=-65.0, V_t=-50.0, V_peak=20.0, V_reset=-70.0, I_e=40.0, t_ref=2.0),
    sp.QuadraticIF(C_m=200.0, g_L=10.0, V_r=-65.0, V_t=-50.0, I_e=37.5 + 1e-3),
    sp.PWLIF(tau_m=10.0, I_e=1.1),
    sp.PWLIF(tau_m=10.0, I_e=1.0 + 1e-9, slope=5.0, V_th=3.0),
    sp.PWLIF(tau_m=10.0, I_e=1.0 + 1e-9, slope=0.01),
    sp.PWLIF(tau_m=20.0, E_L=-65.0, V_T=-50.0, slope=2.0, V_th=-30.0, V_reset=-60.0, I_e=15.1, t_ref=2.0),
    sp.PWLIF(tau_m=10.0, I_e=0.5, slope=2.0, V_reset=1.5, t_ref=1.0),
    sp.PWLIF(tau_m=10.0, I_e=1.5, slope=2.0, V_reset=1.5),
    sp.PWLIF(tau_m=10.0, I_e=1.0, slope=0.3, V_reset=1.5),
]


@pytest.mark.parametrize("model", OSCILLATORS, ids=repr)
def test_period_against_closed_form(model):
    """The first 200 intervals of both engines, and the f-I curve's formula in models.py."""
    period = closed_form_period(model)
    assert float(abs(model.free_period() + model.t_ref - period) / period) < 1e-9
    net = sp.Network(seed=1)
    net.add(1, model, V=model.V_reset if math.isfinite(model.V_reset) else None)
    source = net.engine_input()
    for engine in (_core.Engine(source, "window"), _core.Engine(source, "heap"), ReferenceEngine(source)):
        pairs = []
        for k in range(1, 201):
            engine.advance((2**51, 0.0), k)
            pairs.append(engine.now)
        for a, b in zip(pairs, pairs[1:], strict=False):
            error = abs(interval(source.clock, a, b) - period)
            # One interval: a few roundings relative to tau, or to the interval where that is longer.
            assert error < 1e-12 * max(float(model.tau_m), float(period))


def test_f_i_curve():
    """Rates of 500 uncoupled neurons over a range of drives against the closed form."""
    drive = np.linspace(0.5, 4.0, 500)
    net = sp.Network(seed=1)
    net.add(500, sp.LIF(tau_m=10.0, I_e=drive, t_ref=1.0), V=0.0, name="LIF")
    net.add(500, sp.Theta(tau_m=10.0, I_e=drive - 1.0), V=-1e9, name="theta")
    res = net.run(5000.0, progress=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        lif = np.where(drive > 1.0, 1.0 / (1.0 + 10.0 * np.log(drive / (drive - 1.0))), 0.0)
        theta = np.where(drive > 1.0, np.sqrt(drive - 1.0) / (10.0 * np.pi), 0.0)
    for name, expected in (("LIF", lif), ("theta", theta)):
        part = res.population(name)
        counts = np.bincount(part.ids, minlength=500)
        assert np.abs(counts - 5000.0 * expected).max() <= 1.0
        assert (counts[drive <= 1.0] == 0).all()


@pytest.mark.parametrize(
    "model",
    [sp.LIF(tau_m=10.0, I_e=1.1), sp.Theta(tau_m=10.0, I_e=0.1), sp.QIF(tau_m=10.0, I_e=0.0, V_reset=0.5)],
    ids=repr,
)
def test_nothing_drifts_over_a_million_periods(model):
    net = sp.Network(seed=1)
    net.add(1, model, V=model.V_reset if math.isfinite(model.V_reset) else -1e50)
    source = net.engine_input()
    engine = _core.Engine(source, "window")
    period = closed_form_period(model)
    first = last = None
    for start in (1, 1000, 999_000):
        engine.advance((2**51, 0.0), start)
        engine.take()
        before = engine.now
        first = first or before
        for k in range(start + 1, start + 100):
            engine.advance((2**51, 0.0), k)
            error = abs(interval(source.clock, before, engine.now) - period)
            assert error < 1e-12 * float(model.tau_m)
            before = engine.now
        last = before
    total = interval(source.clock, first, last)
    n = 999_000 + 99 - 1
    # Rounding of one interval is about 1e-15 tau; a million of them, even all of one sign, stay below 1e-9 tau.
    assert abs(total - n * period) < 1e-9 * model.tau_m


def test_fixed_point_constants_against_mpmath():
    mp = mpmath.mp.clone()
    mp.prec = 600
    for unit, value in (("powers of two", mp.log(2)), ("turns", 2 * mp.pi)):
        for epoch, tau, square in ((64.0, 10.0, 1.0), (2.0**-7, 0.013, 0.1), (1024.0, 130.7, 1e12), (8.0, 1.0, 1e-4)):
            exact = mp.mpf(epoch) * mp.sqrt(mp.mpf(square)) / (mp.mpf(tau) * value)
            error = mp.mpf(advance_per_epoch(unit, epoch, tau, square)) / mp.mpf(2) ** FRACTION_BITS - exact
            assert -(mp.mpf(2) ** -FRACTION_BITS) <= error <= 0
    assert float(mp.log(2)) == LN2
    assert float(2 * mp.pi) == TWO_PI


def test_clock_carries_exactly():
    clock = Clock(10.0)
    assert clock.epoch == 64.0
    n, s = clock.pair(1e9 + 0.1)
    assert n * 64.0 + s == 1e9 + 0.1
    assert 0.0 <= s < 64.0
    n, s = clock.add((5, 63.0), 1.0)
    assert (n, s) == (6, 0.0)
    with pytest.raises(sp.errors.CapacityError, match="shorter duration"):
        clock.add((0, 0.0), 1e20)


COMPLEX_CASES = [
    (sp.LIF(tau_m=10.0, I_e=1.3), sp.LIF(tau_m=12.0, I_e=1.2)),
    (sp.Theta(tau_m=10.0, I_e=0.3), sp.QIF(tau_m=9.0, I_e=0.2, V_peak=8.0, V_reset=-4.0)),
    (sp.QIF(tau_m=10.0, I_e=-0.4, V_reset=0.8), sp.QIF(tau_m=11.0, I_e=1e-6, V_reset=-2.0, V_peak=9.0)),
]


@pytest.mark.parametrize("models", COMPLEX_CASES, ids=repr)
def test_complex_step_equals_finite_differences_at_50_digits(models):
    """d(spike times) / d(parameter) by an infinitesimal imaginary part, for a parameter of the first neuron."""
    net = sp.Network(seed=3)
    V = 0.9 if models[0].I_e < 0.0 else -0.5
    a, b = net.add(1, models[0], V=V), net.add(1, models[1], V=-0.2)
    net.connect(a, b, sp.one_to_one(), weight=0.07)
    net.connect(b, a, sp.one_to_one(), weight=-0.05)
    for name in ("I_e", "tau_m"):
        source, value, times = net.engine_input(), getattr(models[0], name), {}
        for step in (0.0, 1e-20):
            engine = ReferenceEngine(source, _Shifting(MultiprecisionArithmetic(50), value, step))
            engine.advance((2**51, 0.0), 12)
            times[step] = [n * source.clock.epoch + s for (n, s), _ in engine.spikes]
        engine = ReferenceEngine(source, _Shifting(ComplexArithmetic(), value, 1e-30j))
        engine.advance((2**51, 0.0), 12)
        assert len(engine.spikes) >= 12
        for ((_, s), _), plus, zero in zip(engine.spikes, times[1e-20], times[0.0], strict=True):
            difference = float((plus - zero) / MP.mpf(1e-20))
            assert complex(s).imag * 1e30 == pytest.approx(difference, rel=1e-9, abs=1e-9)


class _Shifting:
    """An arithmetic that adds `step` to one value when it makes a number of a parameter."""

    def __init__(self, arithmetic, value, step):
        self._arithmetic, self._value, self._step = arithmetic, value, step

    def __getattr__(self, name):
        return getattr(self._arithmetic, name)

    def number(self, value):
        return self._arithmetic.number(value) + (self._step if value == self._value else 0.0)
