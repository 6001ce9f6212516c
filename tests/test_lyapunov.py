"""Lyapunov spectra: against dense Jacobians in numpy, against finite perturbations of the package, and by physics."""

import os
import signal

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import _core
from sparseprop.dynamics import frame
from sparseprop.engine._tangent import Tangent

N, K = 40, 10


def targets_of(net):
    p = net.projections[0]
    weights = np.broadcast_to(p.weight, p.n_synapses)
    return [(p.targets[p.sources == j], weights[p.sources == j]) for j in range(net.populations[0].n)]


def theta_maps(net, times, ids):
    """The Jacobian of each spike and what comes before it, in phases a = arctan(V / sqrt(I))."""
    model, rows = net.populations[0].model, targets_of(net)
    root, t = np.sqrt(model.I_e), 0.0
    a = np.arctan(net.engine_input(None).populations[0].V / root)
    for time, j in zip(times, ids, strict=True):
        a += root * (time - t) / model.tau_m
        t = time
        targets, weights = rows[j]
        before = np.tan(a[targets])
        after = before + weights / root
        D = (1.0 + before**2) / (1.0 + after**2)
        J = np.eye(len(a))
        J[targets, targets] = D
        J[targets, j] += 1.0 - D
        a[targets] = np.arctan(after)
        a[j] = -np.pi / 2.0
        yield J


def lif_maps(net, times, ids):
    """The same for V of LIF neurons."""
    model, rows = net.populations[0].model, targets_of(net)
    t = 0.0
    for time, j in zip(times, ids, strict=True):
        targets, weights = rows[j]
        J = np.eye(net.populations[0].n)
        by_time = -model.tau_m / (model.I_e - model.V_th)  # of the spike, by V of the neuron
        J[j, j] = -by_time * (model.I_e - model.V_reset) / model.tau_m
        J[targets, j] += weights / model.tau_m * by_time
        yield J * np.exp(-(time - t) / model.tau_m)
        t = time


def dense_growth(maps, vectors, every=1):
    """The logs of the growth of vectors, with a QR decomposition every so many maps; and the log of |det| of all."""
    growth, volume = 0.0, 0.0
    for k, J in enumerate(maps, 1):
        vectors = J @ vectors
        volume += np.linalg.slogdet(J)[1]
        if k % every == 0:
            vectors, R = np.linalg.qr(vectors)
            growth = growth + np.log(np.abs(np.diagonal(R)))
    return growth, volume


@pytest.mark.parametrize(("model", "maps"), [(sp.Theta(tau_m=10.0), theta_maps), (sp.LIF(tau_m=10.0), lif_maps)])
@pytest.mark.parametrize("every", [1, 100, 1000])
def test_exponents_are_those_of_dense_jacobians(model, maps, every):
    net = sp.balanced_network(N, model, outdegree=K, seed=3)
    measured = sp.dynamics.Lyapunov(net, every=every)
    first = measured._first_vectors()
    spectrum = measured.run(n_spikes=1000)
    res = net.run(n_spikes=1000)
    growth, volume = dense_growth(maps(net, res.times, res.ids), first)
    exponents = np.sort(growth / (res.times[-1] * 1e-3))[::-1]
    assert spectrum.n_spikes == 1000
    np.testing.assert_allclose(spectrum.exponents, exponents, rtol=0.0, atol=1e-9 * np.abs(exponents).max())
    assert spectrum.volume_rate == pytest.approx(volume / (res.times[-1] * 1e-3), rel=1e-10)
    assert spectrum.exponents.sum() == pytest.approx(spectrum.volume_rate, rel=1e-8)


def test_some_exponents_are_the_first_of_all():
    net = sp.balanced_network(N, sp.Theta(tau_m=10.0), outdegree=K, seed=3)
    every = sp.dynamics.Lyapunov(net, every=100).run(n_spikes=2000)
    some = sp.dynamics.Lyapunov(net, 5, every=100).run(n_spikes=2000)
    # The first vectors differ: only what follows from the trajectory is the same.
    assert some.volume_rate == pytest.approx(every.volume_rate, rel=1e-12)
    assert np.abs(some.exponents - every.exponents[:5]).max() < 3.0
    assert np.isnan(sp.dynamics.Lyapunov(net, 2, every=100).run(n_spikes=2000).dimension)


# Finite perturbations -------------------------------------------------------------------------------------------------


def network_of(model, weight=-0.2, n=12, **initial):
    net = sp.Network(seed=1)
    population = net.add(n, model, **initial)
    net.connect(population, population, sp.fixed_outdegree(4), weight=weight)
    return net


def two_kinds():
    net = sp.Network(seed=2)
    a, b = net.add(8, sp.Theta(10.0, I_e=0.3)), net.add(6, sp.QIF(10.0, I_e=-0.2))
    for pre, post, weight in ((a, b, 0.5), (b, a, -0.3), (a, a, -0.1)):
        net.connect(pre, post, sp.fixed_outdegree(3), weight=weight)
    return net


def driven_shear():
    net = sp.Network(seed=2)
    a, source = net.add(8, sp.Theta(10.0, I_e=0.0)), net.add(5, sp.PoissonSource(30.0))
    net.connect(source, a, sp.fixed_outdegree(4), weight=0.6)
    net.connect(a, a, sp.fixed_outdegree(3), weight=-0.1)
    return net


def driven(net, values, port=None):
    options = {} if port is None else {"port": port}
    net.drive(net.populations[0], sp.poisson(50.0), weight=-0.1, **options)
    net.drive(net.populations[0], sp.steps([5.0, 20.0, 33.0], values))
    return net


def excitation():
    net = sp.Network(seed=3)
    a, b = net.add(10, sp.LIF(10.0, I_e=1.2, t_ref=1.0)), net.add(6, sp.LIF(10.0, I_e=0.9, t_ref=1.0))
    for pre, post, weight in ((a, b, 0.3), (b, a, -0.3), (a, a, 0.1)):
        net.connect(pre, post, sp.fixed_outdegree(3), weight=weight)
    return net


def two_ports():
    net = sp.Network(seed=4)
    p = net.add(10, sp.LIFExp(10.0, (2.0, 8.0), I_e=1.3, t_ref=2.0))
    net.connect(p, p, sp.fixed_outdegree(3), weight=-0.3, port=1)
    net.connect(p, p, sp.fixed_outdegree(3), weight=0.2, port=0)
    return driven(net, [0.1, 0.3, 0.05], port=0)


def multapses(model, weight):
    net = sp.Network(seed=5)
    population = net.add(10, model)
    rule = sp.fixed_outdegree(6)
    net.connect(population, population, rule, weight=weight, allow_multapses=True)
    net.connect(population, population, sp.fixed_outdegree(3), weight=0.5 * weight)
    return net


TAU = np.linspace(8.0, 20.0, 12)
CASES = {
    "LIF": (lambda: network_of(sp.LIF(10.0, I_e=1.3)), 60.0),
    "LIF, each its tau_m": (lambda: network_of(sp.LIF(TAU, I_e=1.3)), 60.0),
    "LIF, t_ref, each its weight": (lambda: network_of(sp.LIF(10.0, I_e=1.3, t_ref=3.0), sp.uniform(-0.3, 0.0)), 60.0),
    "LIF, driven": (lambda: driven(network_of(sp.LIF(10.0, I_e=1.3, t_ref=1.0)), [0.1, 0.3, 0.05]), 60.0),
    "LIF, excitation": (excitation, 40.0),
    "Theta": (lambda: network_of(sp.Theta(10.0, I_e=0.3)), 150.0),
    "Theta, driven": (lambda: driven(network_of(sp.Theta(10.0, I_e=0.3)), [0.1, -0.5, 0.2]), 100.0),
    "Theta, shear": (driven_shear, 150.0),
    "Theta and excitable": (two_kinds, 150.0),
    "QIF, finite": (lambda: network_of(sp.QIF(10.0, I_e=0.3, V_peak=3.0, V_reset=-2.0, t_ref=2.0)), 150.0),
    "QIF, saddle": (
        lambda: network_of(sp.QIF(10.0, I_e=-0.3, V_peak=10.0, V_reset=0.7), -0.02, V=sp.uniform(0.8, 2.0)),
        20.0,
    ),
    "Theta, multapses": (lambda: multapses(sp.Theta(10.0, I_e=0.3), -0.1), 150.0),
    "LIF, multapses": (lambda: multapses(sp.LIF(10.0, I_e=1.3), -0.1), 60.0),
    "LIFExp, multapses": (lambda: multapses(sp.LIFExp(10.0, 2.0, I_e=1.3), -0.1), 60.0),
    "QIF, finite, excitation": (lambda: network_of(sp.QIF(10.0, I_e=0.2, V_peak=3.0, V_reset=-2.0), 0.3), 60.0),
    "EIF": (lambda: network_of(sp.EIF(10.0, I_e=20.0), -1.0), 30.0),
    "EIF, driven": (lambda: driven(network_of(sp.EIF(10.0, I_e=20.0, t_ref=2.0), -1.0), [1.0, -2.0, 2.0]), 60.0),
    "NumericalIF": (lambda: network_of(sp.NumericalIF("V ** 4 + V", 4.0, -1.0, 10.0, I_e=0.6)), 60.0),
    "PWLIF": (lambda: network_of(sp.PWLIF(**sp.PWLIF.example)), 60.0),
    "QuadraticIF": (lambda: network_of(sp.QuadraticIF(**sp.QuadraticIF.example | {"I_e": 1.0})), 60.0),
    "LIFExp": (lambda: network_of(sp.LIFExp(10.0, 2.0, I_e=1.3), 0.2), 130.0),
    "LIFExp, equal time constants": (lambda: network_of(sp.LIFExp(10.0, 10.0, I_e=1.3)), 60.0),
    "LIFExp, t_ref, each its tau_m": (lambda: network_of(sp.LIFExp(TAU, 5.0, I_e=1.3, t_ref=4.0), 0.3), 130.0),
    "LIFExp, two ports, driven": (two_ports, 130.0),
}


def unit_of(net, V, step=0.0):
    """What a unit of V counts in the coordinates of measurement, with a step of all currents."""
    units = []
    for population in net.populations:
        model, v = population.model, V[population.first : population.first + population.n]
        if population.is_source:
            continue
        if isinstance(model, sp.QuadraticIF):
            model, v = model._qif, v - model._centre
        if isinstance(model, (sp.QIF, sp.Theta)):
            drive = model.I_e + step
            root = np.sqrt(drive) if drive > 0.0 else 1.0
            units.append(root / (root**2 + v**2))
        else:
            units.append(np.ones(population.n))
    return np.concatenate(units)


def engine_of(source):
    return _core.Engine(source, "heap")


def state_of(engine, ids, ports):
    """V of each neuron and behind it its currents, flat."""
    columns = [engine.voltages(ids)[:, None]]
    return np.hstack([*columns, engine.currents(ids)[:, :ports]]).ravel()


@pytest.mark.parametrize("name", CASES)
def test_vectors_grow_as_finite_perturbations_do(name):
    build, duration = CASES[name]
    net = build()
    source = net.engine_input(None)
    end = source.clock.pair(duration)
    neurons = [p for p in net.populations if not p.is_source]
    ids = np.concatenate([np.arange(p.first, p.first + p.n) for p in neurons])
    ports = neurons[0].model.n_ports if neurons[0].has_currents else 0
    width = 1 + ports
    engine = engine_of(source)
    state, first_units = state_of(engine, ids, ports), unit_of(net, engine.voltages())
    free_before = is_free(engine, neurons)
    tangent = Tangent(source, len(state), 8)
    gain = tangent.begin(engine)
    tangent.put(np.eye(len(state), order="F"), gain)
    reason = "running"
    while reason == "running":
        engine.start_tape(1e-9)
        reason = engine.advance(end, None, 40)
        tangent.load(engine.stop_tape())
        tangent.apply()
        tangent.clear()
    gain_after = tangent.measure(engine)
    J = np.zeros((len(state),) * 2, order="F")
    tangent.get(J, gain_after)
    step = net.drives[-1].input.values[-1] if net.drives else 0.0
    units = np.repeat(unit_of(net, engine.voltages(), step), width) if not ports else np.ones(len(state))
    first_units = np.repeat(first_units, width) if not ports else np.ones(len(state))
    J = J / units[:, None] * first_units
    eps, found = 1e-7, np.empty_like(J)
    refractory = np.zeros(source.size)
    for p in source.populations:
        if p.kernel != "source" and p.refractory is not None:
            refractory[p.first : p.first + p.size] = p.refractory
    for k in range(len(state)):
        ends = []
        for sign in (1.0, -1.0):
            other, changed = engine_of(source), state.reshape(-1, width).copy()
            changed[k // width, k % width] += sign * eps
            i = ids[k // width]
            currents = np.zeros((1, max(ports, 1)))
            currents[0, :ports] = changed[k // width, 1:]
            other.place(np.array([i]), changed[k // width, :1].copy(), refractory[i : i + 1].copy(), currents)
            other.advance(end, None, 1 << 40)
            ends.append(state_of(other, ids, ports))
        found[:, k] = (ends[0] - ends[1]) / (2.0 * eps)
    # Where V is held it says nothing of what it is off by.
    rows, columns = np.ones(len(state), bool), np.ones(len(state), bool)
    rows[::width], columns[::width] = is_free(engine, neurons), free_before
    J, found = J[rows][:, columns], found[rows][:, columns]
    assert engine.n_spikes > 5
    np.testing.assert_allclose(J, found, rtol=0.0, atol=1e-5 * np.abs(found).max())


def is_free(engine, populations):
    """Who is not refractory."""
    return [tuple(release) <= engine.now for p in populations for release in engine.releases(p.index).tolist()]


# Runs -----------------------------------------------------------------------------------------------------------------


def small(model=None, **options):
    return sp.balanced_network(N, sp.Theta(tau_m=10.0) if model is None else model, outdegree=K, seed=3, **options)


def test_number_of_threads_changes_no_bit():
    net = sp.balanced_network(150, sp.Theta(tau_m=10.0), outdegree=20, seed=1)
    one, three = (sp.lyapunov_spectrum(net, n_spikes=1000, n_threads=n) for n in (1, 3))
    assert (one.growth == three.growth).all() and (one.vectors == three.vectors).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"warm_up\(\) needs n_spikes, or a duration"),  # it would have no end
        ({"n_spikes": -1}, "n_spikes must be a whole number >= 0"),
        ({"n_spikes": [3]}, "n_spikes must be a whole number >= 0"),
        ({"duration": float("nan")}, "duration must be a finite time >= 0 ms"),
    ],
)
def test_a_warm_up_without_an_end_is_refused(given, message):
    measured = sp.dynamics.Lyapunov(small(), 2, every=10)
    with pytest.raises(sp.errors.ParameterError, match=message):
        measured.warm_up(**given)


def test_pieces_and_files_change_no_bit(tmp_path):
    net = small()

    def new():
        measured = sp.dynamics.Lyapunov(net, every=150, covariant=True)
        measured.warm_up(n_spikes=300)
        return measured

    whole = new().run(n_spikes=1200)
    pieces = new()
    pieces.run(n_spikes=450)
    pieces.save(tmp_path / "state.h5")
    again = sp.dynamics.Lyapunov.load(tmp_path / "state.h5", net)
    for measured in (pieces, again):
        spectrum = measured.run(n_spikes=750)
        for name in ("growth", "volumes", "times", "participation", "vectors"):
            assert (getattr(spectrum, name) == getattr(whole, name)).all(), name
        assert (spectrum.covariant.local == whole.covariant.local).all()
    with pytest.raises(sp.errors.CheckpointMismatchError, match="another network"):
        sp.dynamics.Lyapunov.load(tmp_path / "state.h5", sp.balanced_network(N, sp.Theta(10.0), outdegree=K, seed=4))
    with pytest.raises(sp.errors.CheckpointMismatchError, match="not that of a simulation"):
        sp.Simulation.load(tmp_path / "state.h5", net)


def test_bases_in_between_change_no_result():
    net = small()
    often, seldom = (sp.lyapunov_spectrum(net, n_spikes=1200, warmup=0, reorthonormalise=n) for n in (20, 600))
    np.testing.assert_allclose(often.exponents, seldom.exponents, atol=1e-6)
    assert often.volume_rate == pytest.approx(seldom.volume_rate, rel=1e-12)


@pytest.mark.parametrize("options", [{"every": 2}, {"every_ms": 2.0}])
def test_near_threshold_there_are_no_more_steps_than_spikes(options, monkeypatch):
    """A spike of LIF neurons that hardly reach threshold makes vectors differ by more than a step is to."""
    taken = []
    triangular = frame.Frame.make_triangular
    monkeypatch.setattr(
        frame.Frame, "make_triangular", lambda self, engine: taken.append(1) or triangular(self, engine)
    )
    net = sp.Network(seed=1)
    p = net.add(100, sp.LIF(tau_m=10.0, I_e=1.0 + 2e-7), V=sp.uniform(0.0, 0.9))
    net.connect(p, p, sp.fixed_outdegree(20), weight=-0.2)
    measured = sp.dynamics.Lyapunov(net, **options)
    spectrum = measured.run(n_spikes=300)
    assert len(taken) < 6 * (300 + len(spectrum.times))
    assert spectrum.exponents[0] < 0.1


@pytest.mark.parametrize("name", CASES)
def test_a_sample_that_is_done_again_in_smaller_steps_changes_no_result(name):
    """Whatever happens in it: what its first try has left must not stay."""
    build, duration = CASES[name]
    found = []
    for steps in (1, 300):
        measured = sp.dynamics.Lyapunov(build(), every_ms=2.0 * duration)
        measured._steps = steps
        spectrum = measured.run(duration=4.0 * duration)
        # What has come to an end goes on in an arbitrary direction.
        growth = np.cumsum(spectrum.growth, axis=0)
        found.append((np.where(np.isneginf(growth), -1e3, growth), spectrum.volumes))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9)


def test_samples_may_be_longer_than_vectors_fit_into_doubles():
    """They grow by e^6000 in one of 10^6 ms, and where nothing happens they shrink by e^-12500."""
    net = sp.balanced_network(20, sp.Theta(tau_m=10.0), outdegree=8, seed=1)
    often = sp.lyapunov_spectrum(net, 1, n_spikes=40_000, reorthonormalise=100, warmup=0)
    for options in ({"reorthonormalise": 20_000}, {"reorthonormalise": 40_000}):
        seldom = sp.lyapunov_spectrum(net, 1, n_spikes=40_000, warmup=0, **options)
        np.testing.assert_allclose(seldom.exponents, often.exponents, rtol=1e-9)
    often, seldom = (sp.dynamics.Lyapunov(net, 1, every_ms=ms).run(duration=1e6) for ms in (1e3, 1e6))
    np.testing.assert_allclose(seldom.exponents, often.exponents, rtol=1e-9)
    net = sp.Network(seed=1)
    net.add(4, sp.LIF(tau_m=20.0, I_e=0.5), V=0.2)
    np.testing.assert_allclose(sp.lyapunov_spectrum(net, duration=1e7).exponents, -50.0, rtol=1e-10)


@pytest.mark.parametrize("model", [sp.LIF(10.0, I_e=1.2), sp.LIF(10.0, I_e=1.2, t_ref=3.0), sp.Theta(10.0, I_e=0.3)])
def test_one_neuron_has_no_exponent_but_that_of_time(model):
    net = sp.Network(seed=1)
    net.add(1, model)
    spectrum = sp.lyapunov_spectrum(net, n_spikes=300)
    np.testing.assert_allclose(spectrum.exponents, 0.0, atol=0.5)
    assert spectrum.participation.shape[1] == 1 and (spectrum.participation == 1.0).all()


def test_ctrl_c_leaves_the_samples_so_far(caplog, ctrl_c):
    net = small()
    whole = sp.lyapunov_spectrum(net, n_spikes=4000, warmup=0, reorthonormalise=100)

    stopped = []

    def stop(fraction):
        if fraction > 0.005 and not stopped:
            stopped.append(fraction)
            os.kill(os.getpid(), signal.SIGINT)

    measured = sp.dynamics.Lyapunov(net, every=100)
    part = measured.run(n_spikes=400_000, progress=stop)
    assert part.stop_reason == sp.StopReason.INTERRUPTED and "interrupted" in caplog.text
    n = min(len(part.times), len(whole.times))
    assert n > 5 and (part.growth[:n] == whole.growth[:n]).all()
    measured.run(n_spikes=200)
    assert len(measured.spectrum().times) == len(part.times) + 2


def test_a_duration_ends_it_too():
    spectrum = sp.lyapunov_spectrum(small(), 3, duration=400.0, warmup=0)
    assert spectrum.stop_reason == sp.StopReason.TIME
    assert spectrum.duration == pytest.approx(400.0) and len(spectrum.times) == 40
    assert sp.lyapunov_spectrum(small(), 3, n_spikes=50, warmup=0).stop_reason == sp.StopReason.SPIKES


def test_silence():
    net = sp.Network(seed=1)
    net.add(4, sp.LIF(tau_m=20.0, I_e=0.5), V=0.2)
    with pytest.raises(sp.errors.ParameterError, match="silent"):
        sp.lyapunov_spectrum(net, n_spikes=10)
    # All that is off by something relaxes.
    spectrum = sp.lyapunov_spectrum(net, duration=200.0)
    np.testing.assert_allclose(spectrum.exponents, -50.0, rtol=1e-10)
    assert np.isnan(spectrum.entropy_per_spike)


# Physics --------------------------------------------------------------------------------------------------------------


def test_inhibitory_lif_network_is_stable_but_for_time():
    net = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=50, seed=2)
    spectrum = sp.lyapunov_spectrum(net, n_spikes=20_000)
    assert abs(spectrum.exponents[0]) < 0.1
    assert (spectrum.exponents[1:] < -20.0).all()
    assert -100.0 < spectrum.exponents[-1] < -98.0
    assert spectrum.n_positive == 0 and spectrum.dimension < 1.1


def test_theta_network_is_chaotic():
    net = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=50, seed=2)
    spectrum = sp.lyapunov_spectrum(net, n_spikes=20_000)
    assert spectrum.exponents[0] > 5.0 and spectrum.n_positive > 5
    assert np.abs(spectrum.exponents).min() < 0.1  # the direction of the flow
    assert 0.0 < spectrum.dimension < 100.0 and 0.1 < spectrum.entropy_per_spike < 2.0
    assert spectrum.exponents.sum() == pytest.approx(spectrum.volume_rate, rel=1e-8)


def test_uncoupled_neurons_keep_what_they_are_off_by():
    net = sp.Network(seed=1)
    net.add(6, sp.Theta(tau_m=10.0, I_e=0.2))
    spectrum = sp.lyapunov_spectrum(net, n_spikes=200)
    np.testing.assert_allclose(spectrum.exponents, 0.0, atol=1e-10)


def test_driven_spikes_take_dimensions():
    net = excitation()
    spectrum = sp.lyapunov_spectrum(net, n_spikes=2000)
    assert np.isneginf(spectrum.exponents[-1]) and np.isneginf(spectrum.volume_rate)
    assert np.isfinite(spectrum.exponents[0])
    assert np.isfinite(sp.lyapunov_spectrum(net, 2, n_spikes=2000).exponents).all()


def test_covariant_vectors_grow_with_their_exponents():
    net = small()
    spectrum = sp.lyapunov_spectrum(net, 12, n_spikes=20_000, reorthonormalise=20, covariant=True)
    vectors = spectrum.covariant
    assert len(vectors.times) == 750
    np.testing.assert_allclose(vectors.local.mean(axis=0), spectrum.exponents, atol=1.0)
    np.testing.assert_allclose(np.linalg.norm(vectors.at(3), axis=0), 1.0)
    # The first is the first orthonormal one; what is mapped onto the next sample is covariant.
    assert abs(vectors.at(5)[:, 0] @ spectrum.bases[5][0][:, 0]) == pytest.approx(1.0)
    assert 0.0 <= vectors.angle(3, slice(0, 3), slice(6, 9)) <= np.pi / 2.0
    basis, factor = spectrum.bases[5]
    mapped = factor @ (basis.T @ vectors.at(5))
    mapped /= np.linalg.norm(mapped, axis=0)
    np.testing.assert_allclose(mapped, spectrum.bases[6][0].T @ vectors.at(6), atol=1e-9)


def test_what_is_refused():
    net = sp.Network(seed=1)
    a = net.add(4, sp.LIF(tau_m=10.0, I_e=1.2))
    projection = net.connect(a, a, sp.fixed_outdegree(2), weight=-0.1, delay=1.5)
    with pytest.raises(sp.errors.ParameterError, match=r"without delays.*1\.5 ms"):
        sp.lyapunov_spectrum(net, n_spikes=10)
    projection.delay = 0.0
    for options, message in (
        ({}, "needs n_spikes, or a duration"),
        ({"n_spikes": 0}, "n_spikes must be"),
        ({"n_spikes": 10, "n_exponents": 5}, "from 1 to 4"),
        ({"n_spikes": 10, "reorthonormalise": "often"}, "reorthonormalise must be"),
        ({"n_spikes": 10, "warmup": -1}, "warmup must be"),
        ({"n_spikes": 10, "n_threads": 0}, "n_threads must be"),
        ({"duration": 0.0}, "duration must be"),
    ):
        with pytest.raises(sp.errors.ParameterError, match=message):
            sp.lyapunov_spectrum(net, **options)
    with pytest.raises(sp.errors.ParameterError, match="covariant=True"):
        _ = sp.lyapunov_spectrum(net, n_spikes=10).covariant
    with pytest.raises(sp.errors.ParameterError, match="not both"):
        sp.dynamics.Lyapunov(net)
    only_sources = sp.Network(seed=1)
    only_sources.add(3, sp.PoissonSource(10.0))
    with pytest.raises(sp.errors.ParameterError, match="no neurons"):
        sp.lyapunov_spectrum(only_sources, n_spikes=10)


def test_words_and_pictures():
    spectrum = sp.lyapunov_spectrum(small(), n_spikes=1000)
    assert "40 of 40 exponents" in repr(spectrum) and "entropy (bit/spike)" in str(spectrum)
    assert "<table>" in spectrum._repr_html_()
    assert spectrum.local.shape == spectrum.convergence.shape == (40, 40)
    np.testing.assert_allclose(spectrum.convergence[-1], spectrum.exponents)
    assert (spectrum.participation >= 1.0).all() and (spectrum.participation <= 40.0).all()
    assert spectrum.plot().get_ylabel() and spectrum.plot_convergence().get_xlabel()
