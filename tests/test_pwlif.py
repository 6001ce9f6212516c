"""The piecewise linear neuron against what nobody here wrote: scipy's solver, and mpmath; and where its cases meet."""

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
    "oscillates": sp.PWLIF(tau_m=10.0, I_e=1.2, slope=2.0),
    "rests": sp.PWLIF(tau_m=10.0, E_L=-65.0, V_T=-50.0, slope=3.0, V_th=-20.0, V_reset=-60.0, I_e=10.0, t_ref=1.5),
    "at the rheobase": sp.PWLIF(tau_m=10.0, I_e=1.0, slope=0.7, V_th=1.8, V_reset=-0.5),
    "reset above the kink": sp.PWLIF(tau_m=10.0, I_e=0.9, slope=1.0, V_th=2.5, V_reset=1.05, t_ref=0.3),
    "reset above the unstable point": sp.PWLIF(tau_m=10.0, I_e=0.8, slope=1.0, V_th=2.5, V_reset=1.3),
    "steep": sp.PWLIF(tau_m=10.0, I_e=1.01, slope=50.0, V_th=3.0),
    "flat": sp.PWLIF(tau_m=10.0, I_e=1.3, slope=1e-6, V_th=1.5),
    "falls at threshold": sp.PWLIF(tau_m=10.0, I_e=0.6, slope=0.5, V_th=1.4),
}


def kicks_of(model, seed, duration):
    """Times and weights of kicks of both signs that cross the kink often."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.5, duration, 60))
    scale = float(model.V_th - model.V_reset)
    return times, scale * rng.choice([-0.15, 0.1, 0.25, 0.45], times.size)


def solved(model, V, times, weights, duration):
    """Spikes and the final V by DOP853, which is restarted at each passage of the kink."""

    def drift(_, V):
        leak = model.E_L + model.I_e - np.minimum(V, model.V_T)
        return (leak + model.slope * np.maximum(V - model.V_T, 0.0)) / model.tau_m

    def at_threshold(_, V):
        return V[0] - model.V_th

    def at_kink(_, V):
        return V[0] - model.V_T

    at_threshold.terminal = at_kink.terminal = True
    at_threshold.direction = 1.0
    spikes, t, scale = [], 0.0, model.V_th - model.V_reset
    for end, weight in [*zip(times, weights, strict=True), (duration, 0.0)]:
        while t < end:
            way = solve_ivp(
                drift,
                (t, end),
                [V],
                method="DOP853",
                rtol=3e-14,
                atol=1e-16 * scale,
                events=[at_threshold, at_kink],
                max_step=0.1,
            )
            t, V = way.t[-1], way.y[0, -1]
            if way.t_events[0].size:
                spikes.append(t)
                t, V = t + model.t_ref, model.V_reset
            elif way.t_events[1].size:
                # Beyond the kink by a rounding, so that it is not found again.
                V = model.V_T + math.copysign(1e-14 * scale, drift(t, np.array([V]))[0])
        if t <= end:
            V += weight
            if weight > 0.0 and model.V_th <= V:
                spikes.append(end)
                t, V = end + model.t_ref, model.V_reset
    return np.array(spikes), V


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_pwlif_with_kicks_against_a_high_order_solver(name, seed):
    model, duration = MODELS[name], 120.0
    times, weights = kicks_of(model, seed, duration)
    V = (
        float(model.V_reset + 0.3 * (model.V_T - model.V_reset))
        if model.V_reset < model.V_T
        else float(model.V_T) - 0.2
    )
    expected, V_end = solved(model, V, times, weights, duration)
    net = sp.Network(seed=1)
    p = net.add(1, model, V=V)
    for t, w in zip(times.tolist(), weights.tolist(), strict=True):
        net.connect(net.add(1, sp.SpikeSource([t], [0])), p, sp.all_to_all(), weight=w)
    res = net.run(duration + 1.0, record=sp.Record(V=[0], V_times=[duration]))
    spikes = res.times[res.times <= duration]
    assert len(spikes) >= 3
    assert spikes == pytest.approx(expected, rel=0.0, abs=1e-9)
    if duration - spikes[-1] > model.t_ref:
        assert res.V[0, 0] == pytest.approx(V_end, rel=0.0, abs=1e-9 * float(model.V_th - model.V_reset))


PERIODS = ["oscillates", "reset above the unstable point", "steep", "flat"]


@pytest.mark.parametrize("name", PERIODS)
def test_derivatives_of_the_period_by_all_parameters_against_mpmath(name):
    """Of the second spike of a free neuron, by differences of the closed form at 50 digits."""
    model, mp = MODELS[name], mpmath.mp.clone()
    mp.dps = 50
    names = list(model.table)

    def period(*values):
        q = dict(zip(names, values, strict=True))
        gap, low, high = q["E_L"] + q["I_e"] - q["V_T"], q["V_reset"] - q["V_T"], q["V_th"] - q["V_T"]
        leak = mp.log((gap - low) / gap) if low < 0 else mp.mpf(0)
        start = low if low > 0 else mp.mpf(0)
        growth = mp.log((gap + q["slope"] * high) / (gap + q["slope"] * start)) / q["slope"]
        return q["tau_m"] * (leak + growth) + q["t_ref"]

    at = [mp.mpf(float(getattr(model, key))) for key in names]
    net = sp.Network(seed=1)
    net.add(1, model, V=float(model.V_reset))
    res = net.run(2.5 * float(period(*at)), tape=True)
    assert float(res.times[1] - res.times[0]) == pytest.approx(float(period(*at)), rel=1e-13)
    # The state at the beginning is no reset: what is between two spikes is the period.
    grads = res.backward(np.array([-1.0, 1.0]))
    for k, key in enumerate(names):
        exact = float(mp.diff(period, tuple(at), tuple(int(j == k) for j in range(len(at)))))
        got = float(getattr(grads, key)[0])
        assert got == pytest.approx(exact, rel=1e-9, abs=1e-9), key


def test_below_the_kink_it_is_lif():
    """V of a resting neuron that is kicked, but not over V_T."""
    records = []
    for model in (
        sp.LIF(tau_m=10.0, E_L=-65.0, V_th=-50.0, V_reset=-65.0, I_e=5.0),
        sp.PWLIF(tau_m=10.0, E_L=-65.0, V_T=-50.0, V_th=-40.0, V_reset=-65.0, I_e=5.0),
    ):
        net = sp.Network(seed=1)
        p = net.add(20, model)
        net.drive(p, sp.poisson(rate=300.0), weight=1.0)
        net.drive(p, sp.poisson(rate=300.0), weight=-1.0)
        records.append(net.run(200.0, record=sp.Record(V=np.arange(20), V_times=np.arange(1.0, 200.0, 7.3))))
    lif, pwlif = records
    assert lif.n_spikes == pwlif.n_spikes == 0
    assert np.abs(lif.V - pwlif.V).max() < 1e-12
    assert lif.V.max() > -57.0


GAPS = [1.0, 1e-3, 1e-9, 1e-17, 1e-99, 1e-101, 1e-280, 0.0, -1e-280, -1e-17, -1e-3, -1.0]


@pytest.mark.parametrize("slope", [1e-9, 1e-3, 0.05, 2.0, 1e3, 1e9])
@pytest.mark.parametrize("gap", GAPS)
def test_engines_agree_near_the_rheobase_at_any_slope(gap, slope):
    """Networks with neurons that are kicked over the kink both ways, and pass it by themselves, perhaps for long."""
    model = sp.PWLIF(tau_m=10.0, V_T=0.0, V_th=1.0, V_reset=-1.0, I_e=gap, slope=slope, t_ref=0.2)
    net = sp.Network(seed=3)
    p = net.add(8, model, V=np.array([-1.0, -1e-3, -1e-20, 0.0, 1e-300, 1e-9, 0.3, 0.9]))
    net.connect(p, p, sp.fixed_outdegree(3), weight=-0.07)
    net.connect(p, p, sp.fixed_outdegree(2), weight=0.2, delay=sp.uniform(0.1, 2.0))
    net.drive(p, sp.poisson(rate=100.0), weight=0.3)
    net.drive(p, sp.poisson(rate=60.0), weight=-0.4)
    net.drive(p, sp.poisson(rate=60.0), weight=-1e-12)
    net.drive(p, sp.steps([400.0, 600.0], [0.25, -0.25]))
    record = {"record": sp.Record(V=np.arange(8), V_times=np.linspace(1.0, 780.0, 40)), "n_spikes": 3000}
    window, heap, reference = (outcome(net, engine, 800.0, **record) for engine in ("window", "heap", "reference"))
    assert window == heap == reference


def test_a_long_rise_above_the_kink_without_a_kick():
    """Over 10^5 time constants, in which the leak's own frame has long lost V."""
    model = sp.PWLIF(tau_m=10.0, V_T=0.0, V_th=1.0, V_reset=-1.0, I_e=1e-6, slope=1e-4)
    net = sp.Network(seed=1)
    net.add(1, model, V=-1.0)
    period = float(model.free_period())
    assert period > 4e5
    half = period / 2.0
    for engine in ("window", "heap", "reference"):
        res = net.run(2.5 * period, engine=engine, record=sp.Record(V=[0], V_times=[half, period * 1.5]))
        assert res.times == pytest.approx(period * np.array([1.0, 2.0]), rel=1e-13)
        assert res.V[0] == pytest.approx(float(model.free_voltage(half)), rel=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"V_th": 1.0}, "V_T must be below V_th"),
        ({"V_reset": 2.0}, "V_reset must be below V_th"),
        ({"slope": 1e-10}, "slope must be from 1e-9 to 1e9"),
        ({"slope": 1e10}, "slope must be from 1e-9 to 1e9"),
        ({"slope": 0.0}, "slope must be"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(sp.errors.ParameterError, match=message):
        sp.PWLIF(tau_m=10.0, **given)
