"""Every neuron model, also one that is added later: bit identity, accuracy, files, gradients, abuse.

What is drawn comes from the model's own table of parameters, so that a new model is tested without a word here.
"""

import ast
import functools
import importlib
import inspect
import math
import pathlib
import pkgutil
import zlib

import mpmath
import numpy as np
import pytest
from added_model import Quartic
from random_networks import outcome

import sparseprop as sp
from sparseprop import models
from sparseprop.engine.input import parameters_of
from sparseprop.engine.reference import ReferenceEngine
from sparseprop.gradients import new_sums
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


@every_model
def test_phases_of_the_cycle_are_the_time_since_the_spike_where_a_model_says_so(name, variant):
    model = example(name, variant, 6)
    phases = np.linspace(0.02, 0.98, 25)
    period, velocity = (np.broadcast_to(f(), (6,)) for f in (model.free_period, model.cycle_velocity))
    for i in range(6):
        mine = model.part(slice(i, i + 1))
        V = np.ravel(mine.cycle_voltage(phases))
        assert (np.diff(V) > 0.0).all() and (mine.threshold() > V).all()
        assert np.ravel(mine.cycle_phase(V)) == pytest.approx(phases, abs=1e-12)
        if velocity[i] > 0.0:
            assert period[i] * velocity[i] == pytest.approx(1.0, rel=1e-15)
            assert np.ravel(mine.free_voltage(phases * period[i])) == pytest.approx(V, rel=1e-9, abs=1e-12)


# What a model says of itself, so that nobody else has to know it ----------------------------------------------------


def sums_of_gradients(n):
    names = [name for name in new_sums(0, 0) if name != "tau_syn"] + ["V", "read", "I_e_times"]
    return {name: np.linspace(0.5 + k, 1.5 + k, n) for k, name in enumerate(names)}


@every_model
def test_tables_say_which_parameters_have_gradients(name, variant):
    model = example(name, variant, 3)
    known = {key for key in model.gradients(sums_of_gradients(3)) if key in model.table}
    assert known == {key for key, row in model.table.items() if row.has_gradient and not row.ports}


@every_model
def test_tables_say_which_gradients_need_those_by_time_constants(name, variant):
    model = example(name, variant, 3)
    sums = sums_of_gradients(3)
    one, other = model.gradients(sums), model.gradients(sums | {"tau_m": 2.0 * sums["tau_m"]})
    differ = {key for key in one if key in model.table and not np.array_equal(one[key], other[key])}
    assert differ == {key for key, row in model.table.items() if row.sets_tau and not row.ports}


def test_a_parameter_that_no_other_model_has_gets_its_gradient(monkeypatch):
    def gradients():
        result = described("Quartic", 0).run(40.0, tape=True)
        return result.backward(np.ones(result.n_spikes))

    before = gradients()
    monkeypatch.setattr(Quartic, "gradients", lambda self, sums: {"amplitude": 2.0 * sums["I_e"]})
    assert np.array_equal(gradients().amplitude, 2.0 * before.I_e, equal_nan=True)
    assert np.isfinite(before.I_e[:8]).all() and (before.I_e[:8] != 0.0).any()
    assert np.isnan(before.I_e[8:]).all()


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, row) for name, model in models.MODELS.items() for row in model.table]
)
def test_parameters_of_no_neuron_are_refused(name, parameter):
    model = models.MODELS[name]
    for empty in ([], np.zeros(0)):
        with pytest.raises(
            sp.errors.ParameterError, match=rf"^{name}\.{parameter} must be .*(got none|could be either)"
        ):
            model(**model.example | {parameter: empty})
    if model.table[parameter].ports:
        with pytest.raises(sp.errors.ParameterError, match=rf"{parameter}\[1\] must be .* got none"):
            model(**model.example | {parameter: (5.0, np.zeros(0))})


def test_models_of_one_kernel_are_computed_alike():
    for model in models.MODELS.values():
        kernel = models.KERNELS[model.kernel]
        assert (model.neuron, model.constants_of) == (kernel.neuron, kernel.constants_of)
        constants = model.constants_of(parameters_of(model(**model.example).parameters(), 0))
        assert {"tau", "t_ref", "frame"} <= set(constants)


@pytest.mark.parametrize("name", ALL)
def test_states_are_as_wide_as_models_say(name):
    """By which memory is estimated: the doubles of a state in a checkpoint, and of its time where it has one."""
    sim = sp.Simulation(described(name, 0), engine="heap")
    sim.run(10.0)
    state = sim._engine.state()["populations"][0]
    width = state["x"].shape[1] + (0 if state["base"] is None else 2)
    assert example(name, 0, 8).state_doubles() == width


def classes_of_models():
    """All classes of models and of their neurons, but for what all share."""
    for info in pkgutil.iter_modules(models.__path__):
        if not pathlib.Path(models.__path__[0], f"{info.name}.py").is_file():
            continue
        for name, cls in inspect.getmembers(importlib.import_module(f"sparseprop.models.{info.name}"), inspect.isclass):
            if issubclass(cls, (models.NeuronModel, models.neuron.Neuron)) and cls.__bases__ != (object,):
                yield name


CLASSES = set(classes_of_models())
NAMES = {*models.MODELS, *models.KERNELS}  # of models and kernels, as texts
# Parameters of one model alone, whose names stand in its table and nowhere else.
OWN = {name for model in models.MODELS.values() for name, row in model.table.items() if not row.ports}
OWN = {name for name in OWN if sum(name in model.table for model in models.MODELS.values()) == 1}


def told_apart(tree):
    """Where code asks which model or kernel something is, by class or by name, or names one model's parameters."""

    def names_one(*nodes):
        return any(
            (isinstance(part, ast.Constant) and part.value in NAMES)
            or (isinstance(part, ast.Name) and part.id in CLASSES)
            or (isinstance(part, ast.Attribute) and part.attr in CLASSES)
            for node in nodes
            for part in ast.walk(node)
        )

    for node in ast.walk(tree):
        by_comparing = isinstance(node, (ast.Compare, ast.match_case)) and names_one(
            *([node.pattern] if isinstance(node, ast.match_case) else [node])
        )
        by_type = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
            and names_one(*node.args)
        )
        by_table = isinstance(node, ast.Dict) and any(key is not None and names_one(key) for key in node.keys)
        own = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in OWN
        if by_comparing or by_type or by_table or own:
            yield ast.unparse(node)


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(model, LIF)",
        "isinstance(model, (sp.QIF, Theta))",
        "type(model) in (LIF, LIFExp)",
        "type(model) is not models.EIF",
        "population.model.kernel == 'QIF'",
        "info.model != 'LIFExp'",
        "width = {'LIF': 1, 'Tabulated': 4}[kernel]",
        "make = {LIF: f, QIF: g}[type(model)]",
        "isinstance(neuron, LIFExpNeuron)",
        "match kernel:\n  case 'LIF': pass",
        "match model:\n  case LIF(): pass",
        "PARAMETERS = ('I_e', 'tau_m', 'C_m')",
        "origin = parameters['V_t']",
    ],
)
def test_code_that_tells_models_apart_is_found(code):
    assert list(told_apart(ast.parse(code)))


def test_code_that_asks_models_is_left_alone():
    code = "isinstance(model, NeuronModel) and population.kernel != 'source' and model.has_currents; LIF(tau_m=10.0)"
    assert not list(told_apart(ast.parse(code)))


# Graphs of NIR have nodes for two of our models.
OTHERS = ("interop/nir_export.py", "interop/nir_import.py")


def test_only_models_know_which_model_it_is():
    """Python outside `models/` asks the model: a new one needs no line there."""
    folder = pathlib.Path(sp.__file__).parent
    found = {
        f"{path.relative_to(folder)}: {text}"
        for path in folder.rglob("*.py")
        if path.parent.name != "models" and path.relative_to(folder).as_posix() not in OTHERS
        for text in told_apart(ast.parse(path.read_text()))
    }
    assert not found
