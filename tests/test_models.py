"""Every neuron model, also one that is added later: bit identity, accuracy, files, gradients, abuse.

What is drawn comes from the model's own table of parameters, so that a new model is tested without a word here.
"""

import functools
import math
import zlib

import mpmath
import numpy as np
import pytest
from added_model import Quartic
from random_networks import outcome

import sparseprop as sp
from sparseprop import models
from sparseprop.engine.reference import ReferenceEngine
from sparseprop.numerics.arithmetic import DoubleArithmetic, MultiprecisionArithmetic

# The window is to be tested on small networks too, which would get a heap.
sp.run.simulation.SMALL = 0

ALL = models.MODELS | {"Quartic": Quartic}
VARIANTS = range(3)
every_model = pytest.mark.parametrize(("name", "variant"), [(name, k) for name in ALL for k in VARIANTS])


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The added model can be found by its name, as in a configuration file."""
    monkeypatch.setitem(models.MODELS, "Quartic", Quartic)


@functools.cache
def example(name, variant, n):
    """A model with parameters from its table: the example, or drawn; the last one with some of them per neuron."""
    cls = ALL[name]
    rng = np.random.default_rng([zlib.crc32(name.encode()), variant])
    for _ in range(300):
        given = dict(cls.example)
        for key, parameter in cls.table.items():
            if variant == 0 or (key not in cls.example and rng.random() < 0.3):
                continue
            size = n if variant == 2 and parameter.unit == "ms" and key != "tau_syn" else None
            if parameter.positive:
                given[key] = float(given.get(key, 0.2)) * np.exp(rng.uniform(-0.5, 0.5, size))
            elif parameter.nonnegative:
                given[key] = rng.uniform(0.1, 2.0, size)
            elif not parameter.infinite:
                given[key] = float(given.get(key, 0.0)) + rng.uniform(-0.8, 0.8)
        try:
            return cls(**given)
        except sp.errors.ParameterError:
            continue
    raise AssertionError(f"no parameters of the table of {name} are accepted")


def described(name, variant, n=8, scale=1.0):
    """A small network of the model with excitation, inhibition, delays, a drive and steps."""
    model = example(name, variant, n)
    net = sp.Network(seed=7)
    p = net.add(n, model, name="p")
    strength = scale * 0.15
    source = net.add(2, sp.SpikeSource(np.linspace(0.37, 38.1, 23), np.arange(23) % 2), name="s")
    net.connect(source, p, sp.fixed_outdegree(min(4, n)), weight=6.0 * strength, delay=sp.uniform(0.1, 3.0))
    net.connect(p, p, sp.fixed_outdegree(min(2, n - 1)), weight=strength, delay=sp.uniform(0.5, 2.0))
    net.connect(p, p, sp.fixed_outdegree(min(3, n - 1)), weight=-strength)
    net.drive(p, sp.poisson(rate=60.0), weight=-0.7 * strength)
    net.drive(p, sp.steps([11.3, 23.1], [0.2, -0.1]))
    return net


@every_model
def test_engines_agree_on_every_model(name, variant):
    net = described(name, variant)
    record = {"record": sp.Record(V=np.arange(8), V_times=[1.0, 7.7, 19.0, 30.0])}
    window, heap, reference = (outcome(net, engine, 40.0, **record) for engine in ("window", "heap", "reference"))
    assert window == heap == reference
    assert len(window[0]) >= 6 * 8  # bytes: some spikes


@every_model
def test_saved_and_continued_by_another_engine(name, variant, tmp_path):
    net = described(name, variant)
    whole = net.run(40.0)
    engines = ["window", "reference", "heap"]
    sim, pieces = sp.Simulation(net, engine=engines[variant]), []
    for k, duration in enumerate((9.1, 13.7, 17.2)):
        pieces.append(sim.run(duration))
        sim.save(tmp_path / "state.h5")
        sim = sp.Simulation.load(tmp_path / "state.h5", net, engine=engines[(variant + k + 1) % 3])
    assert np.array_equal(np.concatenate([piece.times for piece in pieces]), whole.times)
    assert np.array_equal(np.concatenate([piece.ids for piece in pieces]), whole.ids)


@every_model
def test_dictionaries_and_rasters_keep_every_model(name, variant, tmp_path):
    net = described(name, variant)
    result = net.run(40.0)
    again = sp.Network.from_dict(net.to_dict()).run(40.0)
    assert again.times.tobytes() == result.times.tobytes()
    result.save(tmp_path / "raster.h5")
    assert np.array_equal(sp.load(tmp_path / "raster.h5").times, result.times)


@every_model
def test_gradients_of_every_model_equal_the_complex_step(name, variant):
    report = sp.check_gradients(described(name, variant, n=4), 40.0, n_spikes=25, most=6)
    assert report.n_spikes >= 3
    assert report.error < (1e-9 if all(c.method == "complex step" for c in report.comparisons) else 1e-5), report


@every_model
def test_every_model_against_30_digits(name, variant):
    """Same spikes; each time within 1e-12 of the time constant."""
    net = described(name, variant, n=2)
    source = net.engine_input()
    engines = [ReferenceEngine(source, a) for a in (DoubleArithmetic(), MultiprecisionArithmetic(30))]
    for engine in engines:
        engine.advance(source.clock.pair(20.0))
    double, exact = (engine.spikes for engine in engines)
    assert [i for _, i in double] == [i for _, i in exact]
    assert len(double) >= 1
    for (s, _), (t, _) in zip(double, exact, strict=True):
        error = (s[0] - t[0]) * mpmath.mpf(source.clock.epoch) + (mpmath.mpf(s[1]) - t[1])
        assert abs(error) < 1e-12 * np.max(net.populations[0].model.tau_m)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("weight", [1e-300, -1e-300, 1e3, -1e3, 1e9, -1e9, 1e300, -1e300])
def test_any_weight_runs_alike_in_all_engines_or_is_refused(name, weight):
    net = sp.Network(seed=3)
    p = net.add(4, example(name, 0, 4), name="p")
    s = net.add(1, sp.SpikeSource([1.0, 2.5, 2.5 + 1e-12, 30.0], [0, 0, 0, 0]))
    net.connect(s, p, sp.fixed_outdegree(3), weight=weight)
    net.connect(p, p, sp.fixed_outdegree(2), weight=0.1)
    window, heap, reference = (outcome(net, engine, 60.0, n_spikes=60) for engine in ("window", "heap", "reference"))
    assert window == heap == reference


@every_model
def test_initial_states_of_every_model(name, variant):
    """A free neuron fires after free_period from reset, is where free_voltage says, and rests where it says."""
    model = example(name, variant, 6)
    period, rest = (np.broadcast_to(f(), (6,)) for f in (model.free_period, model.resting_voltage))
    assert (rest < model.threshold()).all()
    for i in range(6):
        mine = model.part(slice(i, i + 1))
        net = sp.Network(seed=1)
        oscillates = math.isfinite(period[i])
        if not np.isfinite(mine.V_reset).all():
            continue
        net.add(1, mine, V=mine.V_reset if oscillates else rest[i : i + 1])
        if oscillates:
            when = 0.4 * period[i]
            res = net.run(1.5 * period[i], record=sp.Record(V=[0], V_times=[when]))
            tau = float(np.ravel(mine.tau_m)[0])
            assert abs(res.times[0] - period[i]) < 1e-11 * max(period[i], tau)
            assert res.V[0, 0] == pytest.approx(float(np.ravel(mine.free_voltage(when))[0]), rel=1e-9, abs=1e-9)
        else:
            res = net.run(100.0, record=sp.Record(V=[0], V_times=[99.0]))
            assert res.n_spikes == 0
            assert res.V[0, 0] == pytest.approx(rest[i], rel=1e-12, abs=1e-12)
