"""Promise 5: bad input is a clear error that names the parameter, the value, what is allowed and the remedy."""

import dataclasses
import inspect
import math
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparseprop as sp
from sparseprop import _core, plotting, raster, training
from sparseprop.errors import ParameterError, named_arguments, shown
from sparseprop.models import MODELS

LIF = sp.LIF(tau_m=10.0)


def one_population(n=5, model=LIF, **options):
    net = sp.Network(seed=1)
    return net, net.add(n, model, name="E", **options)


MODEL_CASES = [
    (lambda: sp.LIF(tau_m=-10.0), r"LIF\.tau_m must be a finite time > 0 ms, got -10\.0"),
    (lambda: sp.LIF(tau_m=0), r"LIF\.tau_m must be a finite time > 0 ms, got 0\.0"),
    (lambda: sp.LIF(tau_m=math.nan), r"LIF\.tau_m .* got nan"),
    (lambda: sp.LIF(tau_m=math.inf), r"LIF\.tau_m .* got inf"),
    (lambda: sp.LIF(tau_m=1e-99), r"LIF\.tau_m must be between 1 / 1e\+60 and 1e\+60 in size, got 1e-99"),
    (lambda: sp.LIF(tau_m=10.0, I_e=[0.0, -1e99]), r"LIF\.I_e must be between .* got -1e\+99"),
    (lambda: sp.LIF(tau_m="10"), r"LIF\.tau_m .* got '10'"),
    (lambda: sp.LIF(tau_m=True), r"LIF\.tau_m .* got True"),
    (lambda: sp.LIF(tau_m=10**400), r"LIF\.tau_m must be"),
    (lambda: sp.LIF(tau_m=1j), r"LIF\.tau_m .* got 1j"),
    (lambda: sp.LIF(tau_m=None), r"LIF\.tau_m .* got None"),
    (lambda: sp.LIF(tau_m=[10.0, -1.0]), r"LIF\.tau_m .* got -1\.0 at index 1"),
    (lambda: sp.LIF(tau_m=[[10.0]]), r"LIF\.tau_m must be one-dimensional, got shape \(1, 1\)"),
    (lambda: sp.LIF(tau_m=[1.0, [2.0]]), r"LIF\.tau_m must be an array of numbers"),
    (lambda: sp.LIF(tau_m=np.array([1.0, None])), r"LIF\.tau_m must be an array of real numbers, got dtype object"),
    (lambda: sp.LIF(tau_m=10.0, I_e=[1.0, math.nan]), r"LIF\.I_e must be a finite number, got nan at index 1"),
    (lambda: sp.LIF(tau_m=10.0, t_ref=-1.0), r"LIF\.t_ref must be a finite time >= 0 ms, got -1\.0"),
    (lambda: sp.LIF(tau_m=10.0, V_reset=1.0), r"V_reset must be below V_th, got V_reset = 1\.0 and V_th = 1\.0"),
    (lambda: sp.LIF(tau_m=10.0, V_reset=[0.0, 2.0]), r"V_reset must be below V_th.* at index 1"),
    (lambda: sp.LIF(tau_m=[1.0, 2.0], I_e=[1.0]), r"must have one length, got tau_m: 2, I_e: 1"),
    (lambda: sp.LIF(tau_m=10.0, tref=2.0), r"unknown parameter of LIF: 'tref'.*did you mean 't_ref'\?"),
    (lambda: sp.LIF(tau_m=1.0, t_ref=600.0), r"t_ref must be at most 500 time constants"),
    (lambda: sp.QIF(tau_m=10.0, V_peak=-math.inf), r"QIF\.V_peak must be a number or inf, got -inf"),
    (lambda: sp.QIF(tau_m=10.0, V_reset=math.inf), r"QIF\.V_reset must be a number or -inf, got inf"),
    (lambda: sp.QIF(tau_m=10.0, V_peak=1.0, V_reset=2.0), r"V_reset must be below V_peak"),
    (lambda: sp.QIF(tau_m=10.0, I_e=1e13), r"I_e must be between -1e12 and 1e12"),
    (lambda: sp.QIF(tau_m=1.0, I_e=-1e6, t_ref=10.0), r"t_ref must be at most 500 time constants"),
    (lambda: sp.Theta(tau_m=10.0, V_reset=0.0), r"unknown parameter of Theta: 'V_reset'"),
]


@pytest.mark.parametrize(("make", "message"), MODEL_CASES)
def test_models_refuse(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


CALL_CASES = [
    (lambda net: sp.LIF(), r"LIF needs tau_m \(float or array_like: Membrane time constant in ms\)"),
    (lambda net: sp.LIF(tau=3.0), r"unknown parameter of LIF: 'tau' .*did you mean 'tau_m'\?"),
    (lambda net: sp.Record(v=[0]), r"unknown parameter of Record: 'v' .*did you mean 'V'\?"),
    (lambda net: net.run(dt=0.1), r"unknown parameter of Network\.run: 'dt' .*there is no time step"),
    (lambda net: net.run(T=10.0), r"unknown parameter of Network\.run: 'T' .*did you mean 'duration'\?"),
    # The name elsewhere goes before what looks alike: time and tape, V_threshold and V_reset.
    (lambda net: net.run(time=10.0), r"did you mean 'duration'\?"),
    (lambda net: net.run(10.0, verbose=True), r"did you mean 'progress'\?"),
    (lambda net: sp.LIF(tau_m=10.0, V_threshold=1.0), r"did you mean 'V_th'\?"),
    (lambda net: sp.LIF(tau_m=10.0, v_rest=1.0), r"did you mean 'E_L'\?"),
    (lambda net: sp.normal(0.0, 1.0, min=0.0), r"did you mean 'low'\?"),
    (lambda net: sp.lognormal(mean=0.0, std=1.0), r"did you mean 'mu'\?"),
    (lambda net: sp.fixed_indegree(indegree=3), r"did you mean 'k'\?"),
    # Methods are those of the class that one has, not of the one that it inherits from.
    (lambda net: sp.Simulation(net).set_state(v=0.0), r"parameter of Simulation\.set_state: 'v'"),
    (lambda net: training.SpikeTimeError().readings(net), r"SpikeTimeError\.readings needs duration"),
    (lambda net: sp.steps([5.0, 1.0], [1.0, 2.0]), r"^steps: times must be at least one"),
    (lambda net: net.run(10.0).plot_raster(tstart=1.0), r"parameter of plot_raster: 'tstart' .* mean 't_start'\?"),
    (lambda net: net.run(10.0, 5), r"Network\.run takes at most 1 argument without a name, got 2; .* n_spikes="),
    (lambda net: net.add(3), r"Network\.add needs model"),
    (lambda net: net.connect(), r"Network\.connect needs pre \(Population or str: .*, post .*, rule_or_matrix"),
    (lambda net: sp.Network.from_dict(), r"Network\.from_dict needs d"),
    (lambda net: sp.fixed_indegree(), r"fixed_indegree needs k \(int: Number of sources of each target"),
    (lambda net: sp.normal(0.0, sigma=1.0), r"unknown parameter of normal: 'sigma' .*did you mean 'std'\?"),
    (lambda net: sp.LIF(1.0, tau_m=3.0), r"LIF: tau_m is given twice"),
    (lambda net: sp.SpikeSource([1.0]), r"SpikeSource needs ids"),
    (lambda net: sp.Simulation(), r"Simulation needs net"),
    (lambda net: sp.EIF(tau_m=10.0, Delta_T=0), r"EIF\.Delta_T must be a finite number > 0 .*use LIF.*got 0\.0"),
    (lambda net: net.connect("E", "E", "all_to_all", weight=1.0), r"got 'all_to_all'; call it: sp\.all_to_all\(\)"),
    (lambda net: net.connect("E", "E", sp.one_to_one, weight=1.0), r"got <function .*; call it: sp\.one_to_one\(\)"),
    (lambda net: net.connect("E", "E", "fixed_indegre", weight=1.0), r"did you mean 'sp\.fixed_indegree\(k\)'\?"),
    (lambda net: sp.NumericalIF("V^4", 1.0, 0.0), r"in which a power is written \*\*, got 'V \^ 4'"),
    (lambda net: sp.NumericalIF("np.exp(V)", 1.0, 0.0), r"by their names alone, exp, got 'np\.exp'"),
    (lambda net: sp.NumericalIF("math.pi * V", 1.0, 0.0), r"by their names alone, pi, got 'math\.pi'"),
    (lambda net: sp.NumericalIF("2V", 1.0, 0.0), r"multiplication is written \*"),
    (lambda net: sp.NumericalIF("v + 1", 1.0, 0.0), r"unknown name in NumericalIF.drift: 'v' .*did you mean 'V'\?"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALL_CASES)
def test_calls_with_wrong_arguments_are_explained(call, message):
    with pytest.raises(ParameterError, match=message) as caught:
        call(one_population()[0])
    assert len(str(caught.value)) < 600


def test_all_public_functions_classes_and_methods_name_an_unknown_argument():
    callables = {name: getattr(sp, name) for name in sp.__all__ if callable(getattr(sp, name))}
    for module in (training, raster, plotting):
        callables |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    del callables["StopReason"]
    for name, thing in list(callables.items()):
        if isinstance(thing, type):
            methods = {key for cls in thing.__mro__ if cls.__module__.startswith("sparseprop") for key in vars(cls)}
            for method in methods:
                if (
                    not method.startswith("_")
                    and inspect.isroutine(found := getattr(thing, method))
                    and callable(found)
                ):
                    callables[f"{name}.{method}"] = getattr(thing, method)
    for name, thing in callables.items():
        try:
            parameters = inspect.signature(thing).parameters.values()
        except ValueError:  # pragma: no cover
            continue
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            continue
        with pytest.raises(TypeError) as caught:
            thing(nonsense=1)
        assert isinstance(caught.value, ParameterError), name
        assert "unknown parameter of" in str(caught.value), name


def test_type_errors_within_a_function_are_left_alone():
    def build(n):
        return len(n)

    with pytest.raises(TypeError, match="has no len") as caught:
        named_arguments(build)(3)
    assert not isinstance(caught.value, ParameterError)
    assert named_arguments(build)([1, 2]) == 2 and pickle.loads(pickle.dumps(sp.LIF(tau_m=3.0))).tau_m == 3.0


NETWORK_CASES = [
    (lambda net, E: net.add(0, LIF), r"n of population 'population_1' must be a whole number of neurons >= 1, got 0"),
    (lambda net, E: net.add(2.0, LIF), r"n of population .* got 2\.0"),
    (lambda net, E: net.add(2, LIF, name="E"), r"name 'E' is taken"),
    (lambda net, E: net.add(2, LIF, name="a/b"), r"must be a printable text without '/', got 'a/b'"),
    (lambda net, E: net.add(2, LIF, name=""), r"must be a printable text"),
    (lambda net, E: net.add(2, sp.LIF), r"model of population .* must be a neuron model"),
    (lambda net, E: net.add(2, sp.LIF(tau_m=[1.0, 2.0, 3.0])), r"are for 3 neurons, population .* has 2"),
    (lambda net, E: net.add(2, LIF, V=1.0), r"V of population .* below the threshold 1\.0, got 1\.0 for neuron 0"),
    (lambda net, E: net.add(2, LIF, V=[0.0, 1.5]), r"got 1\.5 for neuron 1"),
    (lambda net, E: net.add(2, LIF, V=[0.0]), r"must have 2 entries, got 1"),
    (lambda net, E: net.add(2, LIF, V=math.nan), r"V of population .* got nan"),
    (lambda net, E: net.add(2, LIF, V=-math.inf), r"V of population .* got -inf"),
    (
        lambda net, E: net.add(2, LIF, V="uniform"),
        r"must be a number, an array or sp\.uniform_phase\(\), got 'uniform'",
    ),
    (lambda net, E: net.add(2, LIF, V=sp.uniform_phase()), r"neuron 0 of population .* Leave V out"),
    (lambda net, E: net.add(2, LIF, V=0.0, phase=0.5), r"give V or phase .*, not both"),
    (lambda net, E: net.add(2, LIF, phase=0.5), r"phase= needs neurons that oscillate"),
    (lambda net, E: net.add(2, sp.LIF(tau_m=1.0, I_e=2.0), phase=1.0), r"phase of a LIF neuron must be in \[0, 1\)"),
    (lambda net, E: net.add(2, sp.Theta(tau_m=1.0), phase=4.0), r"must be in \(-pi, pi\)"),
    (lambda net, E: net.add(2, LIF, name="a\tb"), r"must be a printable text"),
    (lambda net, E: net.add(2, LIF, V=-1e99), r"V of population .* must be at most 1e\+60 in size, got -1e\+99"),
    (lambda net, E: sp.Simulation(None), r"net must be a Network, got None"),
    (lambda net, E: sp.calibrate_rate(None, 1.0), r"net must be a Network, got None"),
    (lambda net, E: net.connect(E, "F", sp.all_to_all(), weight=1.0), r"unknown population: 'F' \(there are: E\)"),
    (lambda net, E: net.connect(E, 3, sp.all_to_all(), weight=1.0), r"post must be a population of this network"),
    (
        lambda net, E: net.connect(one_population()[1], E, sp.all_to_all(), weight=1.0),
        r"pre must be a population of this",
    ),
    (lambda net, E: net.connect(E, E, sp.all_to_all()), r"weight of projection 'E' -> 'E' is missing"),
    (lambda net, E: net.connect(E, E, np.zeros((5, 5)), weight=1.0), r"is given twice"),
    (lambda net, E: net.connect(E, E, sp.all_to_all(), weight=math.nan), r"weight of projection .* got nan"),
    (lambda net, E: net.connect(E, E, sp.all_to_all(), weight=[1.0]), r"must have 20 entries, got 1"),
    (lambda net, E: net.connect(E, E, sp.all_to_all(), weight=1.0, delay=-1.0), r"delay of .* >= 0 ms, got -1\.0"),
    (lambda net, E: net.connect(E, E, sp.all_to_all(), weight=1.0, allow_autapses=1), r"must be True or False, got 1"),
    (lambda net, E: net.run(), r"run\(\) needs a duration in ms, or n_spikes, or both"),
    (lambda net, E: net.run(-1.0), r"duration must be a finite time >= 0 ms, got -1\.0"),
    (lambda net, E: net.run(math.inf), r"duration .* got inf"),
    (lambda net, E: net.run(n_spikes=1.5), r"n_spikes must be a whole number .* got 1\.5"),
    (lambda net, E: net.run(n_spikes=-1), r"n_spikes .* got -1"),
    (
        lambda net, E: net.run(1.0, engine="windo"),
        r"unknown engine: 'windo' \(there are: window, heap, lookahead, reference\)",
    ),
    (lambda net, E: net.run(1.0, engine=["heap"]), r"unknown engine: \['heap'\]"),
    (lambda net, E: net.run(n_spikes=2**70), r"n_spikes must be a whole number >= 0 and below 2\^62"),
    (lambda net, E: net.run(1.0, engine="haep"), r"did you mean 'heap'\?"),
    (lambda net, E: net.run(1.0, n_threads=2, engine="window"), r'n_threads must be 1 for engine="window".*got 2'),
    (lambda net, E: net.run(1.0, n_threads=0), r"n_threads must be a whole number >= 1.*got 0"),
    (lambda net, E: net.run(1.0, tape="yes"), r"tape must be False"),
    (lambda net, E: net.run(1.0, progress="yes"), r"progress must be None, True, False or a callable, got 'yes'"),
    (lambda net, E: net.run(1.0, seed=-1), r"seed must be a whole number >= 0, got -1"),
    (lambda net, E: sp.Network(seed=1.0), r"Network\.seed must be a whole number >= 0, got 1\.0"),
    (lambda net, E: sp.Network(seed=1).run(1.0), r"the network has no populations"),
    (lambda net, E: sp.calibrate_rate(net, -1.0), r"target must be a finite rate > 0 Hz"),
    (lambda net, E: sp.calibrate_rate(net, 1.0, tol=2.0), r"tol must be a number in \(0, 1\)"),
    (lambda net, E: sp.balanced_network(10, sp.LIF(tau_m=1.0, I_e=1.0), 5), r"must not have its own I_e, got 1\.0"),
    (lambda net, E: sp.balanced_network(10, sp.LIF(tau_m=[1.0] * 10), 5), r"must have numbers, not arrays"),
    (lambda net, E: sp.balanced_network(10, "LIF", 5), r"must be a neuron model"),
    (lambda net, E: sp.balanced_network(10, LIF, 0), r"outdegree must be a whole number >= 1"),
    (lambda net, E: sp.balanced_network(10, LIF, 10), r"asks for 10 different targets"),
    (lambda net, E: sp.balanced_network(10, LIF, 5, j0=0.0), r"j0 must be a finite number > 0"),
    (lambda net, E: sp.balanced_network(10, LIF, 5, rate=0.0), r"rate must be a finite rate > 0 Hz"),
    (lambda net, E: net.run(1.0).population("I"), r"unknown population: 'I'"),
]


@pytest.mark.parametrize(("act", "message"), NETWORK_CASES)
def test_networks_and_runs_refuse(act, message):
    with pytest.raises(ParameterError, match=message):
        act(*one_population())


def test_too_many_neurons_and_too_long_times_are_capacity_errors():
    net, _ = one_population()
    with pytest.raises(sp.errors.CapacityError, match="2147483647 neurons"):
        net.add(2**31 - 1, LIF)
    with pytest.raises(sp.errors.CapacityError, match="shorter duration"):
        net.run(1e300)


CONFIG_CASES = [
    ({}, r"the network has no entry 'populations'"),
    (
        {"populations": [], "poplations": []},
        r"unknown entry of the network: 'poplations'.*did you mean 'populations'\?",
    ),
    ({"populations": {"n": 1}}, r"populations must be a list of tables"),
    ({"seed": 1, "populations": [{"n": 1}]}, r"populations\[0\] has no entry 'model'"),
    ({"seed": 1, "populations": [{"n": 1, "model": "LIF"}]}, r"populations\[0\]\.model must be a table"),
    (
        {"seed": 1, "populations": [{"n": 1, "model": {"name": "LFI"}}]},
        r"unknown neuron model: 'LFI'.*did you mean 'LIF'",
    ),
    ({"seed": 1, "populations": [{"n": 1, "model": {"name": ["LIF"]}}]}, r"unknown neuron model: \['LIF'\]"),
    ({"seed": 1, "populations": [{"n": 1, "model": {"name": "LIF"}}]}, r"populations\[0\]\.model has no entry 'tau_m'"),
    (
        {"seed": 1, "populations": [{"n": 1, "model": {"name": "LIF", "tau_m": 1.0, "tau": 2}}]},
        r"unknown entry of populations\[0\]\.model: 'tau'",
    ),
    ({"seed": 1, "populations": [], "projections": [{"pre": "E"}]}, r"projections\[0\] has no entry 'post'"),
    ({"seed": 1, "populations": [], "projections": ["E"]}, r"projections must be a list of tables"),
    ([], r"the network must be a table"),
]


@pytest.mark.parametrize(("config", "message"), CONFIG_CASES)
def test_configurations_refuse(config, message):
    with pytest.raises(ParameterError, match=message):
        sp.Network.from_dict(config)


def test_two_threads_on_one_simulation_are_refused():
    net = sp.balanced_network(1000, LIF, outdegree=100, seed=1)
    sim = sp.Simulation(net)
    started, errors = threading.Event(), []

    def run():
        sim.run(2_000_000.0, progress=lambda fraction: started.set())

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(30)
    try:
        sim.run(1.0)
    except ParameterError as error:
        errors.append(str(error))
    thread.join()
    assert "running in another thread" in errors[0]


def test_misuse_of_the_compiled_engine():
    engine = _core.Engine.__new__(_core.Engine)
    with pytest.raises(RuntimeError, match="never initialised"):
        engine.advance((1, 0.0))
    assert engine.n_spikes == 0
    assert len(engine.voltages()) == 0
    assert [len(array) for array in engine.take()] == [0, 0]
    net, _ = one_population()
    engine.__init__(net.engine_input(), "window")
    with pytest.raises(RuntimeError, match="initialised once"):
        engine.__init__(net.engine_input(), "window")


NASTY = [
    None, "", "x", b"x", True, math.nan, math.inf, -math.inf, -1, -1.0, 0, 2**31, 2**63, 2**64, 1e308, 1j, [],
    [[]], [None], np.zeros(0), np.zeros((2, 2)), np.array([1.0, math.nan, 3.0]), np.array(["a", "b", "c"]),
    np.arange(3, dtype=object), np.array([0.1, 0.2, 0.3], dtype=">f8"), np.arange(6.0)[::2] / 10, {},
    object(), lambda: 0,
]  # fmt: skip


@pytest.mark.parametrize("value", NASTY, ids=lambda value: repr(value).partition(" at 0x")[0][:40])
def test_every_parameter_with_every_nasty_value_works_or_is_an_error_of_ours(value):
    for cls in MODELS.values():
        for name in cls.table:
            try:
                model = cls(**(cls.example | {name: value}))
                net, _ = one_population(3, model)
                net.run(1.0, n_spikes=1000)
            except (ParameterError, sp.errors.CapacityError, sp.errors.RunawayError) as error:
                assert str(error)  # noqa: PT017
    for name in ("n", "name", "V", "phase"):
        arguments = {"n": 3, "name": "x", name: value}
        # An enormous n is allowed until memory is needed; it is not what this test is about.
        if name == "n" and isinstance(value, int) and value > 10**6 and value < 2**31:
            continue
        try:
            net = sp.Network(seed=1)
            net.add(arguments.pop("n"), sp.LIF(tau_m=10.0, I_e=1.5), **arguments)
            net.run(1.0)
        except (ParameterError, sp.errors.CapacityError):
            pass
    for name in ("weight", "delay", "allow_autapses", "allow_multapses", "port"):
        net, E = one_population(3)
        try:
            net.connect(E, E, sp.all_to_all(), **({"weight": 0.1} | {name: value}))
            net.run(1.0)
        except ParameterError:
            pass


finite = st.floats(-1e6, 1e6)


@settings(max_examples=150, deadline=None)
@given(
    tau_m=st.floats(1e-3, 1e4), E_L=finite, V_th=finite, V_reset=finite, I_e=finite, t_ref=st.floats(0.0, 1e3),
    weight=finite, V=finite,
)  # fmt: skip
def test_lif_with_any_numbers_runs_alike_in_both_engines_or_is_refused(
    tau_m, E_L, V_th, V_reset, I_e, t_ref, weight, V
):
    try:
        model = sp.LIF(tau_m=tau_m, E_L=E_L, V_th=V_th, V_reset=V_reset, I_e=I_e, t_ref=t_ref)
        net = sp.Network(seed=1)
        p = net.add(3, model, V=V)
    except ParameterError:
        return
    net.connect(p, p, sp.all_to_all(), weight=weight)
    compare_engines(net)


@settings(max_examples=150, deadline=None)
@given(
    tau_m=st.floats(1e-3, 1e4), I_e=st.one_of(finite, st.floats(-1e-3, 1e-3)),
    V_peak=st.one_of(finite, st.just(math.inf)), V_reset=st.one_of(finite, st.just(-math.inf)),
    t_ref=st.floats(0.0, 1e3), weight=finite, V=finite,
)  # fmt: skip
def test_qif_with_any_numbers_runs_alike_in_both_engines_or_is_refused(tau_m, I_e, V_peak, V_reset, t_ref, weight, V):
    try:
        model = sp.QIF(tau_m=tau_m, I_e=I_e, V_peak=V_peak, V_reset=V_reset, t_ref=t_ref)
        net = sp.Network(seed=1)
        p = net.add(3, model, V=V)
    except ParameterError:
        return
    net.connect(p, p, sp.all_to_all(), weight=weight)
    compare_engines(net)


def compare_engines(net):
    from random_networks import outcome

    window, heap, reference = (outcome(net, name, 200.0, n_spikes=200) for name in ("window", "heap", "reference"))
    assert window == heap == reference


def test_models_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LIF.tau_m = 3.0
    model = sp.LIF(tau_m=[1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        model.tau_m[0] = 3.0


def test_populations_and_projections_are_not_to_be_changed():
    net, E = one_population()
    p = net.connect(E, E, sp.all_to_all(), weight=0.1)
    for thing, name in ((E, "V"), (E, "model"), (E, "n"), (p, "port"), (p, "rule"), (p, "targets")):
        with pytest.raises(AttributeError, match="cannot be set; describe a new Network"):
            setattr(thing, name, 5.0)
    with pytest.raises(AttributeError, match="has no attribute 'wieght'"):
        p.wieght = 3.0
    for array in (p.targets, p.adjacency.offsets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_delays_can_be_set_and_are_checked():
    net, E = one_population()
    p = net.connect(E, E, sp.all_to_all(), weight=sp.normal(0.1, 0.1), delay=sp.uniform(1.0, 2.0))
    drawn = p.weight
    p.delay = np.arange(20)
    assert p.delay.dtype == np.float64 and p.delay.tolist() == list(range(20))
    with pytest.raises(ValueError, match="read-only"):
        p.delay[0] = 1.0
    for value, match in ((-1.0, ">= 0 ms, got -1.0"), (np.full(20, np.nan), "at index 0"), (np.ones(3), "20 entries")):
        with pytest.raises(ParameterError, match=match):
            p.delay = value
    again = sp.Network.from_dict(net.to_dict()).projections[0]  # the weights are still a distribution
    assert np.array_equal(again.weight, drawn) and np.array_equal(again.delay, p.delay)
    procedural = net.connect(E, E, sp.fixed_outdegree(2, procedural=True), weight=0.1)
    with pytest.raises(ParameterError, match="procedural"):
        procedural.delay = np.ones(procedural.n_synapses)
    procedural.delay = 2.5
    assert procedural.delay == 2.5


def test_setting_weights_of_a_matrix_leaves_drawn_delays():
    net, E = one_population()
    W = np.arange(E.n**2, dtype=float).reshape(E.n, E.n) * (1.0 - np.eye(E.n))
    p = net.connect(E, E, W, delay=sp.uniform(1.0, 2.0))
    p.weight = 0.5 * p.weight
    again = sp.Network.from_dict(net.to_dict()).projections[0]
    assert np.array_equal(again.weight, p.weight) and np.array_equal(again.delay, p.delay)


def test_weights_can_be_set_and_are_checked():
    net, E = one_population()
    p = net.connect(E, E, sp.all_to_all(), weight=0.1)
    p.weight = np.arange(40, dtype=np.int16)[::2]
    assert p.weight.dtype == np.float64
    assert p.weight.tolist() == list(range(0, 40, 2))
    with pytest.raises(ValueError, match="read-only"):
        p.weight[0] = 1.0
    p.weight = np.float32(0.5)
    assert p.weight == 0.5
    for value, message in (
        ([1.0], "must have 20 entries, got 1"),
        (math.nan, "weight of projection 'E' -> 'E' must be a finite number, got nan"),
        (np.full(20, math.inf), "got inf at index 0"),
        ("x", "got 'x'"),
    ):
        with pytest.raises(ParameterError, match=message):
            p.weight = value


def test_time_constants_too_far_apart_are_refused():
    net = sp.Network(seed=1)
    net.add(2, sp.LIF(tau_m=[1.0, 1e26], I_e=2.0), V=0.0)
    with pytest.raises(ParameterError, match="at most 1e12 times the shortest"):
        net.run(5.0)


def test_what_messages_show_of_a_value_is_short():
    sparse = pytest.importorskip("scipy.sparse")
    array = np.arange(1e6)
    assert shown(-10.0) == "-10.0" and shown("10") == "'10'" and shown(None) == "None"
    assert shown(array) == "array of shape (1000000,), float64: [0.0, 1.0, 2.0, 3.0, ...]"
    assert shown(np.zeros((2, 1), np.int32)) == "array of shape (2, 1), int32: [0, 0]"
    assert shown(sparse.csr_matrix(np.eye(3))) == "csr_matrix of shape (3, 3), float64, 3 entries"
    assert shown(list(range(1000))) == "[0, 1, 2, 3, 4, 5, ...]"
    assert shown([array]) == "[array of shape (1000000,), float64: [0.0, 1.0, 2.0, 3.0, ...]]"

    class Broken:
        def __repr__(self):
            raise RuntimeError

    long = ["x" * 10**5, [array] * 100, {"a" * 1000: array}, sp.LIF(tau_m=np.arange(1.0, 999.0)), 10**10000, Broken()]
    assert all(len(shown(value)) <= 100 and "\n" not in shown(value) for value in long)


LONG = [
    np.full(10**4, np.nan), "x" * 10**5, [[1.0, 2.0]] * 10**4, ["x"] * 10**4, {str(i): i for i in range(10**4)},
    np.full((300, 300), np.inf), [(np.arange(100), np.arange(100))] * 100, sp.LIF(tau_m=np.arange(1.0, 999.0)),
]  # fmt: skip


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_no_message_prints_a_whole_value(value):
    net, E = one_population(3, sp.LIF(tau_m=10.0, I_e=1.5))
    p = net.connect(E, E, sp.all_to_all(), weight=0.1)
    result = net.run(50.0, tape=True)
    calls = [
        *(lambda m=m, name=name: m(**(m.example | {name: value})) for m in MODELS.values() for name in m.table),
        *(lambda name=name: net.add(3, LIF, **{name: value}) for name in ("V", "phase", "I_syn")),
        lambda: net.add(value, LIF),
        lambda: net.add(3, [value]),
        *(lambda name=name: net.connect(E, E, sp.all_to_all(), **({"weight": 0.1} | {name: value}))
          for name in ("weight", "delay", "port", "allow_autapses")),
        lambda: net.connect(E, E, value),
        lambda: net.connect(value, E, sp.all_to_all(), weight=1.0),
        lambda: net.drive(E, value, weight=1.0),
        lambda: net.drive(E, sp.poisson(1.0), weight=value),
        *(lambda rule=rule: rule(value) for rule in (sp.fixed_indegree, sp.pairwise_bernoulli, sp.poisson)),
        *(lambda rule=rule: rule(value, [0]) for rule in (sp.edges, sp.steps, sp.SpikeSource)),
        *(lambda rule=rule: rule([0.0], value) for rule in (sp.edges, sp.steps, sp.SpikeSource, sp.normal)),
        lambda: sp.poisson(value, times=[0.0]),
        lambda: setattr(p, "weight", value),
        lambda: setattr(p, "delay", value),
        *(lambda name=name: net.run(**({"duration": 1.0} | {name: value}))
          for name in ("duration", "n_spikes", "engine", "progress", "tape", "seed", "callback", "n_threads")),
        lambda: result.backward(value),
        lambda: result.population(value),
        lambda: sp.Network.from_dict(value),
        lambda: sp.Network.from_dict({"seed": 1, "populations": [{"n": 3, "model": value}]}),
        lambda: sp.run_batch(net, value, 10.0),
        lambda: sp.sweep(value, value),
    ]  # fmt: skip
    for k, call in enumerate(calls):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            call()
        assert len(str(caught.value)) < 500, f"call {k}: {str(caught.value)[:300]}"


# Masks, and what else is no number (units: test_units.py) ------------------------------------------------------------

MASKED = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])


def array_entries(value, net, E, models=None):
    """Calls that hand an array of three entries to each place that takes one."""
    W = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    p = net.connect(E, E, W)
    result = sp.Network.run(net, 10.0, n_spikes=3, tape=True)
    as_matrix = W * value if isinstance(value, np.ndarray) and value.dtype.kind in "fc" else [value] * 3
    ids = value.astype(int) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
    return [
        lambda: result.backward(value),
        *(lambda cls=cls, name=name: cls(**(cls.example | {name: value})) for cls in models or MODELS.values()
          for name in cls.table),
        lambda: net.add(3, LIF, V=value),
        lambda: net.add(3, sp.LIF(tau_m=10.0, I_e=2.0), phase=value),
        lambda: net.add(3, sp.LIFExp(tau_m=10.0, tau_syn=2.0), I_syn=value),
        lambda: sp.SpikeSource(value, [0, 1, 2]),
        lambda: sp.SpikeSource([1.0, 2.0, 3.0], ids),
        lambda: sp.poisson(value),
        lambda: sp.poisson(value, times=[1.0, 2.0, 3.0]),
        lambda: sp.poisson([1.0, 2.0, 3.0], times=value),
        lambda: sp.PoissonSource(value, times=[1.0, 2.0, 3.0]),
        lambda: sp.steps(value, [1.0, 2.0, 3.0]),
        lambda: sp.steps([1.0, 2.0, 3.0], value),
        lambda: sp.steps([1.0], [value]),
        lambda: net.drive(E, sp.poisson(1.0), weight=value),
        lambda: sp.edges(ids, [0, 1, 2]),
        lambda: sp.edges([0, 1, 2], ids),
        lambda: net.connect(E, E, as_matrix),
        lambda: net.connect(E, E, W, delay=value),
        lambda: net.connect(E, E, W, delay=as_matrix),
        lambda: net.connect(E, E, sp.edges([0, 1, 2], [1, 2, 0]), weight=value),
        lambda: setattr(p, "weight", value),
        lambda: setattr(p, "delay", value),
        lambda: setattr(p, "weight", as_matrix),
        lambda: sp.Record(V=[0], V_times=value),
        lambda: sp.Record(V=ids, V_times=[1.0]),
        lambda: sp.Record(spikes={"E": ids}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        MASKED,
        np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[D]"),
        np.array([1, 2, 3], "m8[ms]"),
        np.array([1j, 2.0, 3.0]),
        np.array([True, False, True]),
        np.array(["1.0", "2.0", "3.0"]),
        np.array([b"1", b"2", b"3"]),
        np.array([1.0, 2.0, None]),
        [True, 2.0, 3.0],
        ["1", "2", "3"],
        [1.0, 2.0, np.ma.masked],
        [np.timedelta64(1, "ms")] * 3,
    ],
    ids=str,
)
def test_what_is_no_number_is_refused_wherever_an_array_enters(value):
    net, E = one_population(3, sp.LIF(tau_m=10.0, I_e=1.5))
    net.add(3, sp.SpikeSource([], []), name="source")
    for k, call in enumerate(array_entries(value, net, E)):
        with pytest.raises(ParameterError) as caught:
            call()
        assert len(str(caught.value)) < 500, k


def test_an_array_without_masked_entries_is_as_good_as_any():
    net, E = one_population(3, sp.LIF(tau_m=10.0, I_e=1.5))
    net.add(3, sp.SpikeSource([], []), name="source")
    value = np.ma.masked_array([0.25, 0.5, 0.75], False)
    for call in array_entries(value, net, E, models=[sp.LIF, sp.LIFExp, sp.QIF]):
        try:
            call()
        except ParameterError as error:
            assert "mask" not in str(error)  # noqa: PT017
    assert sp.SpikeSource(value, [0, 1, 2]).times.tolist() == [0.25, 0.5, 0.75]


def test_masked_entries_are_named():
    with pytest.raises(ParameterError, match=r"times must have no masked entries, got 1, the first at index 1"):
        sp.SpikeSource(MASKED, [0, 1, 2])
    net, E = one_population(3)
    W = np.ma.masked_array(np.ones((3, 3)), np.eye(3))
    with pytest.raises(ParameterError, match=r"W must have no masked entries, got 3, the first at index \(0, 0\)"):
        net.connect(E, E, W)
    with pytest.raises(ParameterError, match="dates; give times as numbers in ms"):
        sp.steps(np.array(["2020-01-01"], "M8[D]"), [1.0])


@pytest.mark.parametrize("value", [np.timedelta64(5, "ms"), np.datetime64("2020-01-01"), np.ma.masked, 1j, "5"])
def test_what_is_no_number_is_refused_wherever_a_number_enters(value):
    net, E = one_population(3)
    p = net.connect(E, E, sp.all_to_all(), weight=0.1)
    calls = [
        lambda: sp.LIF(tau_m=value),
        lambda: sp.poisson(value),
        lambda: net.run(value),
        lambda: net.run(n_spikes=value),
        lambda: net.add(value, LIF),
        lambda: sp.fixed_indegree(value),
        lambda: sp.pairwise_bernoulli(value),
        lambda: sp.normal(value, 1.0),
        lambda: setattr(p, "weight", value),
        lambda: setattr(p, "delay", value),
        lambda: net.connect(E, E, sp.all_to_all(), weight=value),
        lambda: sp.Record(bins=value),
        lambda: sp.Network(seed=value),
        lambda: sp.balanced_network(10, LIF, 5, j0=value),
    ]
    for call in calls:
        with pytest.raises(ParameterError):
            call()
