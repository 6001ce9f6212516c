#!/usr/bin/env python3
"""SHA-256 fingerprints of what sparseprop computes, to compare two builds bit for bit.

With one build, and then with the other:

    python tests/verification/same_bits.py --save before.json
    python tests/verification/same_bits.py --compare before.json    # exit status 1 if any bit differs

Each fingerprint is of numbers, texts and the shapes of arrays, and of nothing that is not a result: no dates, no run
ids, no padding, no pickles. What goes in is made of exact arithmetic only (`random` and `integers` of numpy's
generators; `normal` would call the C library), so that whatever differs comes from the package. Only public names are
used, so that the script stays as it is while the package is rebuilt.
"""

import argparse
import fnmatch
import functools
import hashlib
import json
import os
import platform
import sys
import tempfile

import h5py
import numpy as np

import sparseprop as sp

# --- what a fingerprint is ---------------------------------------------------------------------------------------


def sha256(*parts):
    """The fingerprint of numbers, arrays, texts, and dictionaries and sequences of these."""
    state = hashlib.sha256()
    for part in parts:
        _add(state, part)
    return state.hexdigest()


def _add(state, part):
    if isinstance(part, dict):
        state.update(b"{%d" % len(part))
        for key in sorted(part, key=str):  # the order is of no importance
            _add(state, str(key))
            _add(state, part[key])
    elif isinstance(part, (list, tuple)):
        state.update(b"[%d" % len(part))
        for value in part:
            _add(state, value)
    elif isinstance(part, str) or part is None:
        text = repr(part).encode()
        state.update(b"'%d" % len(text) + text)
    else:
        array = np.asarray(part)
        if array.dtype.names:  # each field by itself: there may be padding between them
            return _add(state, {name: array[name] for name in array.dtype.names})
        kind = {"b": "<i8", "i": "<i8", "u": "<u8", "f": "<f8"}[array.dtype.kind]
        if array.dtype.itemsize > 8:
            raise TypeError(f"{array.dtype} has no bits that are the same everywhere")
        array = np.array(array, dtype=kind, order="C")
        if kind == "<f8":
            array[np.isnan(array)] = np.nan  # its sign and payload depend on the processor
        state.update(f"{kind}{array.shape}".encode() + array.tobytes())
    return None


FINGERPRINTS = {}


def fingerprint(name):
    """Enter a function that returns what the fingerprint `name` is of."""

    def enter(function):
        if name in FINGERPRINTS:
            raise ValueError(f"two fingerprints are called {name}")
        FINGERPRINTS[name] = function
        return function

    return enter


def raster(result, least=100):
    """What there is to a Result; one with hardly any spikes would show nothing."""
    if min(result.n_spikes, result.n_synaptic_events) < least:
        raise AssertionError(f"too little happens for a fingerprint: {result}")
    return {
        "times": result.times,
        "ids": result.ids,
        "end": [result.t_start, result.t_stop, str(result.stop_reason)],
        "counters": [
            result.n_spikes, result.n_synaptic_events, result.n_drive_events, result.n_close_calls
        ],
        "V": [result.V_times, result.V_ids, result.V],
        "I_syn": [result.I_syn_times, result.I_syn_ids, result.I_syn],
        "counts": result.counts,
    }  # fmt: skip


OF_NEURONS = (
    "V", "I_e", "tau_m", "V_th", "V_peak", "V_reset", "E_L", "V_T", "C_m", "g_L", "V_r", "V_t", "t_ref", "tau_syn",
    "I_syn",
)  # fmt: skip


def gradients(grads):
    """What there is to Gradients; those without any derivative that matters would show nothing."""
    weights = np.concatenate([np.ravel(values) for values in grads.weight])
    if np.count_nonzero(np.isfinite(weights) & (weights != 0.0)) < 10:
        raise AssertionError("too few derivatives by weights for a fingerprint")
    return {
        **{name: getattr(grads, name) for name in OF_NEURONS},
        "weight": list(grads.weight),
        "weight_sum": list(grads.weight_sum),
        "delay": list(grads.delay),
        "input_times": grads.input_times,
        "drive_weight": grads.drive_weight,
        "steps": grads.steps,
        "found": [grads.n_warnings, grads.n_ties],
    }


def state(simulation):
    """All that the future of a Simulation depends on."""
    return dict(simulation.state) | {"time": simulation.time}


def random(seed, *shape):
    """Numbers in [-1, 1) that are the same everywhere."""
    return 2.0 * np.random.default_rng(seed).random(shape) - 1.0


# --- networks ----------------------------------------------------------------------------------------------------

# For each kind of neuron: how to make a model of it that fires by itself, from `t_ref` and further parameters, and by
# how much a strong synapse moves V.
NEURONS = {
    "LIF": (functools.partial(sp.LIF, tau_m=10.0, I_e=1.3), 0.1),
    "LIFExp": (functools.partial(sp.LIFExp, tau_m=10.0, tau_syn=3.0, I_e=1.3), 0.2),
    "LIFExp_two_ports": (functools.partial(sp.LIFExp, tau_m=10.0, tau_syn=(2.0, 10.0), I_e=1.3), 0.2),
    "QIF": (functools.partial(sp.QIF, tau_m=10.0, I_e=0.6, V_peak=8.0, V_reset=-4.0), 0.3),
    "Theta": (functools.partial(sp.Theta, tau_m=10.0, I_e=0.6), 0.3),
    "QuadraticIF": (
        functools.partial(
            sp.QuadraticIF, C_m=200.0, g_L=10.0, V_r=-65.0, V_t=-50.0, V_peak=30.0, V_reset=-75.0, I_e=150.0
        ),
        4.0,
    ),
    "EIF": (functools.partial(sp.EIF, tau_m=10.0, Delta_T=0.125, I_e=1.25), 0.1),
    "NumericalIF": (
        functools.partial(sp.NumericalIF, "a * V * (V - 1.0)", V_th=4.0, V_reset=-1.0, I_e=0.5, tau_m=10.0),
        0.1,
    ),
    "PWLIF": (functools.partial(sp.PWLIF, tau_m=10.0, V_T=1.0, V_th=2.0, slope=2.0, I_e=1.25), 0.1),
}
# Kinds that came later: those in NEURONS are together in networks whose fingerprints are to stay.
LATER = {
    "RapidTheta": (functools.partial(sp.RapidTheta, tau_m=10.0, rapidness=3.0, I_e=0.6), 0.3),
}
KINDS = NEURONS | LATER
MORE = {"NumericalIF": {"constants": {"a": 0.75}}}


@functools.cache
def neuron(kind, **parameters):
    """A model of a kind, with other parameters where they are given; tables take a while, so models are kept."""
    return KINDS[kind][0](**MORE.get(kind, {}), **parameters)


def two_populations(model, strong, delay=0.0, n=100):
    """Excitatory and inhibitory neurons of one kind: shared weights, and weights of a distribution."""
    net = sp.Network(seed=15)
    E, I = net.add(4 * n // 5, model, name="E"), net.add(n // 5, model, name="I")
    last_port = getattr(model, "n_ports", 1) - 1
    for post in (E, I):
        net.connect(E, post, sp.fixed_outdegree(8), weight=0.5 * strong, delay=delay)
        inhibition = sp.normal(-2.0 * strong, 0.5 * strong)
        net.connect(I, post, sp.fixed_indegree(4), weight=inhibition, delay=delay, port=last_port)
    return net


def all_neurons(n=12, delays=(0.0,), t_ref=0.0):
    """A population of each kind of neuron, all connected to each other, the delays in turn."""
    net = sp.Network(seed=16)
    for kind in NEURONS:
        options = {"t_ref": t_ref} if t_ref and kind != "Theta" else {}
        net.add(n, neuron(kind, **options), name=kind)
    for j, pre in enumerate(net.populations):
        for k, post in enumerate(net.populations):
            strong = NEURONS[post.name][1] * (0.3 if (j + k) % 2 else -0.3)
            port = (j + k) % getattr(post.model, "n_ports", 1)
            net.connect(pre, post, sp.fixed_outdegree(3), weight=strong, delay=delays[(j + k) % len(delays)], port=port)
    return net


DELAYS = {"no_delay": 0.0, "one_delay": 1.25, "delays": sp.uniform(0.5, 4.0)}
MIXED = (0.0, 1.25, sp.uniform(0.0, 3.0), sp.normal(1.0, 0.5, low=0.1))


def one_value_per_neuron(n):
    """Neurons of all kinds, each with other parameters, on all sides of the saddle-node."""
    net = sp.Network(seed=18)
    u = (random(k, n) for k in range(100))
    net.add(
        n,
        sp.LIF(
            tau_m=10.0 + 3.0 * next(u), E_L=0.1 * next(u), V_th=1.0 + 0.1 * next(u), V_reset=0.2 * next(u),
            I_e=1.3 + 0.5 * next(u), t_ref=1.0 + next(u),
        ),
        name="LIF",
    )  # fmt: skip
    tau_syn = 3.0 + 2.0 * next(u), 10.0 + next(u), 10.0
    net.add(n, sp.LIFExp(10.0, tau_syn, I_e=1.3 + 0.4 * next(u)), name="LIFExp", I_syn=[0.1, 0.0, 0.2])
    V_peak, V_reset = 9.0 + next(u), -3.0 + next(u)
    qif = sp.QIF(10.0 + next(u), 0.5 * next(u) + 0.2, V_peak, V_reset, 1.0 + next(u))
    net.add(n, qif, name="QIF", V=0.2 * next(u))
    drives = np.resize([0.5, 0.0, -0.1, 1e-7, -1e-7], n)
    net.add(n, sp.Theta(10.0 + next(u), drives), name="Theta", V=0.5 * next(u))
    eif = sp.EIF(10.0 + next(u), Delta_T=0.125, V_reset=0.1 * next(u), I_e=np.resize([0.75, 1.25], n))
    net.add(n, eif, name="EIF")
    for pre in net.populations:
        for k, post in enumerate(net.populations):
            net.connect(pre, post, sp.fixed_indegree(4), weight=sp.uniform(-0.1, 0.15), delay=MIXED[k % 4])
    return net


def with_inputs(net):
    """The network with given spikes that excite all of its populations, by delays of their own."""
    times = 40.0 * np.random.default_rng(10).random(40)
    source = net.add(8, sp.SpikeSource(times, np.random.default_rng(11).integers(0, 8, 40)), name="input")
    for population in net.populations:
        if population is not source:
            strong = NEURONS.get(population.name, (None, 0.1))[1]
            weight, delay = sp.uniform(0.1 * strong, strong), sp.uniform(0.5, 2.0)
            net.connect(source, population, sp.fixed_outdegree(3), weight=weight, delay=delay)
    return net


def with_all_inputs():
    """Neurons of all kinds with all kinds of delays and inputs."""
    net = with_inputs(all_neurons(delays=MIXED, t_ref=1.5))
    net.drive("LIF", sp.poisson(300.0), weight=0.1)
    net.drive("LIFExp", sp.steps([5.0, 50.0], [0.25, -0.25]))
    return net


# --- rasters: every kind of neuron with every kind of delay -------------------------------------------------------


def _raster(kind, delay):
    return raster(two_populations(neuron(kind), KINDS[kind][1], delay).run(2000.0, n_spikes=10_000, progress=False))


for _kind in KINDS:
    for _name, _delay in DELAYS.items():
        fingerprint(f"raster/{_kind}/{_name}")(functools.partial(_raster, _kind, _delay))


# --- rasters: features -------------------------------------------------------------------------------------------


def _engine(engine):
    return raster(all_neurons(delays=MIXED, t_ref=1.5).run(100.0, engine=engine, progress=False))


for _name in ("window", "heap", "reference"):  # three times the same hash
    fingerprint(f"engine/{_name}")(functools.partial(_engine, _name))


@fingerprint("recording/V_I_syn_counts")
def _recording():
    net = all_neurons(delays=MIXED)
    everybody, ports = np.arange(net.size), {"LIFExp": True, "LIFExp_two_ports": [0, 5, 11]}
    record = sp.Record(V=everybody, V_times=2.5, I_syn=ports, I_syn_times=5.0, bins=10.0)
    return raster(net.run(60.0, record=record, progress=False))


@fingerprint("input/poisson")
def _poisson():
    net = all_neurons()
    for population in net.populations:
        strong, ports = NEURONS[population.name][1], getattr(population.model, "n_ports", 1)
        net.drive(population, sp.poisson(400.0), weight=strong, port=ports - 1)
        net.drive(population, sp.poisson([300.0, 0.0, 2000.0], [0.0, 20.0, 40.0]), weight=-0.2 * strong)
        net.drive(population, sp.poisson(np.linspace(0.0, 600.0, population.n)), weight=0.3 * strong * random(1, 12))
    return raster(net.run(80.0, progress=False))


@fingerprint("input/poisson_from_below")
def _poisson_from_below():
    neurons = {"LIF": (sp.LIF(tau_m=20.0, t_ref=2.0), 0.1), "QIF": (sp.QIF(tau_m=10.0, I_e=-0.2), 0.4)}
    neurons["LIFExp"] = sp.LIFExp(tau_m=20.0, tau_syn=4.0, t_ref=2.0), 0.4
    neurons["EIF"] = sp.EIF(tau_m=20.0, Delta_T=0.125, I_e=0.5), 0.1
    net = sp.Network(seed=17)
    for name, (model, weight) in neurons.items():
        net.drive(net.add(20, model, name=name), sp.poisson(1500.0), weight=weight)
        net.connect(name, name, sp.fixed_indegree(3), weight=-0.1, delay=sp.uniform(0.5, 1.5))
    return raster(net.run(150.0, progress=False))


@fingerprint("input/sources")
def _sources():
    net = all_neurons(delays=MIXED)
    times = 64.0 * np.random.default_rng(2).random(200)
    times[:100] = np.round(times[:100])  # many at once
    given = net.add(10, sp.SpikeSource(times, np.random.default_rng(3).integers(0, 10, 200)), name="given")
    noise = net.add(10, sp.PoissonSource(np.linspace(50.0, 500.0, 10)), name="noise")
    for name in NEURONS:
        net.connect(given, name, sp.fixed_outdegree(4), weight=NEURONS[name][1], delay=0.5)
        net.connect(noise, name, sp.fixed_outdegree(4), weight=-NEURONS[name][1], delay=sp.lognormal(0.0, 0.5))
    return raster(net.run(70.0, record=sp.Record(record_sources=True), progress=False))


@fingerprint("input/steps")
def _steps():
    net = all_neurons(delays=MIXED)
    for population in net.populations:
        size = 10.0 if population.name == "QuadraticIF" else 0.125
        net.drive(population, sp.steps([10.0, 25.5, 40.25], [size, -size, 2.0 * size]))
    each = random(4, 2, 12)
    net.drive("LIF", sp.steps([5.0, 30.0], 0.2 * each))
    net.drive("QIF", sp.steps([5.0, 30.0], 2.0 * each))  # over and back over the saddle-node
    net.drive("LIFExp_two_ports", sp.steps([5.0, 30.0], 0.2 * each))
    return raster(net.run(60.0, progress=False))


@fingerprint("parameters/refractory")
def _refractory():
    return raster(all_neurons(n=15, delays=MIXED, t_ref=2.5).run(120.0, progress=False))


@fingerprint("parameters/one_value_per_neuron")
def _heterogeneous():
    net = one_value_per_neuron(30)
    for population in net.populations:
        net.drive(population, sp.poisson(200.0), weight=0.2)
    return raster(net.run(120.0, progress=False))


@fingerprint("parameters/drawn")
def _drawn_parameters():
    net = sp.Network(seed=19)
    model = sp.LIF(tau_m=sp.normal(10.0, 1.0, low=5.0), V_th=sp.uniform(0.9, 1.1), I_e=sp.lognormal(0.3, 0.1))
    E = net.add(60, model, name="E", V=sp.normal(0.2, 0.3, high=0.9))
    model = sp.LIFExp(tau_m=10.0, tau_syn=(sp.uniform(1.0, 3.0), 9.0), I_e=sp.normal(1.3, 0.1))
    X = net.add(60, model, name="X", I_syn=[sp.normal(0.0, 0.2), 0.1])
    net.connect(E, X, sp.fixed_indegree(5), weight=-0.2, port=1)
    net.connect(X, E, sp.fixed_indegree(5), weight=-0.05)
    drawn = [E.model.tau_m, E.model.V_th, E.model.I_e, X.model.tau_syn, X.model.I_e]
    return [drawn, state(sp.Simulation(net)), raster(net.run(100.0, progress=False))]


@fingerprint("parameters/initial_states")
def _initial_states():
    # Where the neurons of all kinds begin by default, and by phases that are given.
    net = all_neurons(n=40)
    for kind in NEURONS:
        phase = 0.999 * random(5, 40) * np.pi if kind == "Theta" else 0.5 + 0.499 * random(5, 40)
        net.add(40, neuron(kind), name=f"{kind} with phases", phase=phase)
    net.add(40, sp.LIF(tau_m=10.0), name="at rest")
    return [state(sp.Simulation(net, seed=seed)) for seed in (1, 2)]


@fingerprint("connectivity/procedural_raster")
def _procedural():
    net = sp.balanced_network(500, sp.LIF(tau_m=10.0), outdegree=50, seed=1)
    other = sp.Network(seed=1)
    E = other.add(500, net.populations[0].model, name="E")
    rule = sp.fixed_outdegree(50, procedural=True)
    other.connect(E, E, rule, weight=net.projections[0].weight, delay=0.75)
    return [raster(net.run(n_spikes=3000, progress=False)), raster(other.run(n_spikes=3000, progress=False))]


@fingerprint("balanced/LIF")
def _balanced_lif():
    return raster(
        sp.balanced_network(2000, sp.LIF(tau_m=10.0), outdegree=100, seed=1).run(n_spikes=20_000, progress=False)
    )


@fingerprint("balanced/Theta")
def _balanced_theta():
    return raster(
        sp.balanced_network(2000, sp.Theta(tau_m=10.0), outdegree=100, seed=1).run(n_spikes=20_000, progress=False)
    )


@fingerprint("balanced/calibrated_rate")
def _calibrated():
    net = sp.calibrate_rate(sp.balanced_network(300, sp.LIF(tau_m=10.0), outdegree=30, seed=2), 8.0, tol=0.05)
    return [net.populations[0].model.I_e, raster(net.run(500.0, progress=False))]


@fingerprint("time/200_000_periods")
def _long():
    # Two neurons of two kinds far from time zero, where times have few digits after the point.
    net = sp.Network(seed=20)
    a, b = net.add(1, neuron("LIF"), V=0.1), net.add(1, neuron("QIF"), V=0.2)
    net.connect(a, b, sp.all_to_all(), weight=0.125)
    net.connect(b, a, sp.all_to_all(), weight=-0.0625, delay=2.0)
    return raster(net.run(n_spikes=400_000, progress=False))


# --- connectivity ------------------------------------------------------------------------------------------------

RULES = {
    "fixed_outdegree": sp.fixed_outdegree(20),
    "fixed_indegree": sp.fixed_indegree(20),
    "pairwise_bernoulli": sp.pairwise_bernoulli(0.2),
    "fixed_total_number": sp.fixed_total_number(1500),
    "one_to_one": sp.one_to_one(),
    "all_to_all": sp.all_to_all(),
    "edges": sp.edges(np.arange(300) * 7 % 100, np.arange(300) // 3),
    "matrix": np.where(random(6, 100, 100) > 0.8, random(7, 100, 100), 0.0),
}


def _connectivity(name):
    net, found = sp.Network(seed=21), []
    A, B = net.add(100, sp.LIF(tau_m=10.0), name="A"), net.add(100, sp.LIF(tau_m=10.0), name="B")
    weights = [0.5, sp.uniform(-1.0, 2.0), sp.normal(0.5, 0.2, low=0.0, high=1.0), sp.lognormal(-1.0, 0.5)]
    delays = [0.0, sp.lognormal(0.0, 0.3, high=2.0), sp.uniform(0.5, 1.5), sp.normal(1.0, 0.3, low=0.1)]
    for k, (weight, delay) in enumerate(zip(weights, delays, strict=True)):
        post, allowed = (A, B)[k % 2], k >= 2
        options = {"allow_autapses": allowed or name in ("one_to_one", "matrix"), "allow_multapses": allowed}
        if name == "edges":
            options = dict.fromkeys(options, True)
        p = net.connect(A, post, RULES[name], weight=None if name == "matrix" else weight, delay=delay, **options)
        found.append([p.sources, p.targets, p.weight, p.delay, p.order, p.n_autapses, p.n_multapses])
    return found


for _name in RULES:
    fingerprint(f"connectivity/{_name}")(functools.partial(_connectivity, _name))


# --- gradients ---------------------------------------------------------------------------------------------------


def _loss(result, V=False):
    """Derivatives of a loss that has a part of each spike."""
    dL_dtimes = random(8, len(result.times))
    return [dL_dtimes, random(9, *result.V.shape)] if V else [dL_dtimes]


def _gradient(kind, delay, tape=True):
    net = with_inputs(two_populations(neuron(kind), KINDS[kind][1], delay, n=60))
    result = net.run(40.0, tape=tape, progress=False)
    return [raster(result, 20), gradients(result.backward(*_loss(result)))]


for _kind in KINDS:
    _name = "no_delay" if _kind in ("LIF", "QIF", "LIFExp") else "delays"
    fingerprint(f"gradient/{_kind}/{_name}")(functools.partial(_gradient, _kind, DELAYS[_name]))


@fingerprint("gradient/all_neurons_V_drives_steps")
def _gradient_of_all():
    net = with_inputs(all_neurons(n=8, delays=MIXED, t_ref=1.5))
    for population in net.populations[:-1]:
        strong = NEURONS[population.name][1]
        net.drive(population, sp.poisson(100.0), weight=0.2 * strong * random(12, 8))
        size = 10.0 if population.name == "QuadraticIF" else 0.125
        net.drive(population, sp.steps([10.0, 25.5], [size, -size]))
    record = sp.Record(V=np.arange(32), V_times=3.0)
    result = net.run(40.0, tape=True, record=record, progress=False)
    return [raster(result), gradients(result.backward(*_loss(result, V=True)))]


@fingerprint("gradient/one_value_per_neuron")
def _gradient_of_heterogeneous():
    net = with_inputs(one_value_per_neuron(10))
    result = net.run(40.0, tape=True, progress=False)
    return [raster(result), gradients(result.backward(*_loss(result)))]


@fingerprint("gradient/RapidTheta_one_value_per_neuron")
def _gradient_of_rapid_theta():
    """Of each rapidness and drive, on all sides of the saddle-node."""
    n = 30
    net = sp.Network(seed=19)
    rapidness, I_e = np.resize([1.0, 0.25, 3.0, 100.0], n), np.resize([0.5, 0.0, -0.1, 1e-7, -1e-7], n)
    model = sp.RapidTheta(tau_m=10.0 + random(1, n), rapidness=rapidness, I_e=I_e)
    p = net.add(n, model, name="RapidTheta", V=0.5 * random(2, n))
    net.connect(p, p, sp.fixed_outdegree(5), weight=sp.uniform(-0.1, 0.2), delay=sp.uniform(0.5, 2.0))
    result = with_inputs(net).run(60.0, tape=True, progress=False)
    grads = result.backward(*_loss(result))
    return [raster(result, 20), gradients(grads), grads.rapidness]


@fingerprint("gradient/Theta_by_checkpoints")
def _gradient_by_checkpoints():
    return _gradient("Theta", DELAYS["delays"], tape="checkpoint")


# --- batches and training ----------------------------------------------------------------------------------------


def _batch(kind, delay):
    net = sp.Network(seed=22)
    source = net.add(5, sp.SpikeSource([], []), name="input")
    strong = KINDS[kind][1]
    hidden = net.add(20, neuron(kind), name="hidden", V=0.0 if kind != "QuadraticIF" else -60.0)
    last = getattr(hidden.model, "n_ports", 1) - 1
    net.connect(source, hidden, sp.all_to_all(), weight=sp.uniform(0.2 * strong, strong), delay=delay)
    net.connect(hidden, hidden, sp.fixed_indegree(3), weight=-strong, delay=delay, port=last)
    given = 20.0 * np.random.default_rng(13).random((12, 5))
    record = sp.Record(V=hidden.first + np.arange(20), V_times=[5.0, 17.5])
    result = sp.run_batch(net, given, 30.0, n_threads=1, record=record, tape=True)
    if result.n_spikes < 100:
        raise AssertionError(f"{result.n_spikes} spikes are too few for a fingerprint")
    found = [result.times, result.ids, result.offsets, result.V, result.n_synaptic_events, result.n_input_events]
    return [*found, gradients(result.backward(*_loss(result, V=True)))]


for _kind, _name in (("LIF", "delays"), ("LIFExp_two_ports", "one_delay"), ("Theta", "no_delay"), ("EIF", "no_delay")):
    fingerprint(f"batch/{_kind}/{_name}")(functools.partial(_batch, _kind, DELAYS[_name]))


def ten_steps(model, loss, bias, **options):
    """Weights, delays and the losses of ten steps of training, forward, backward and update."""
    from sparseprop import training

    values, labels = training.yin_yang(160, seed=1)
    times = training.latencies(values, bias=bias)
    delay = sp.uniform(0.0, 2.0) if "train_delays" in options else 0.0
    net = training.layered_network([5, 20, 3], model, delay=delay, seed=1)
    optimizer = training.Adam(lr=0.01)
    trainer = training.Trainer(net, loss, duration=40.0, optimizer=optimizer, n_threads=1, **options)
    losses = [trainer.step(times[k : k + 16], labels[k : k + 16]).value for k in range(0, 160, 16)]
    return [losses, [[p.weight, p.delay] for p in net.projections]]


@fingerprint("training/ten_steps_Theta")
def _training_theta():
    from sparseprop import training

    loss = training.FirstSpikeCrossEntropy(tau=1.0, tau_late=20.0, pseudospikes=True)
    return ten_steps(sp.Theta(tau_m=20.0, I_e=0.25), loss, bias=15.0)


@fingerprint("training/ten_steps_LIFExp_delays")
def _training_lifexp():
    from sparseprop import training

    loss = training.FirstSpikeCrossEntropy()
    return ten_steps(sp.LIFExp(tau_m=20.0, tau_syn=5.0), loss, bias=0.0, train_delays=True)


@fingerprint("training/convolution")
def _training_convolution():
    """A kernel, a readout, bounds, a learning rate that changes, and ragged inputs: two epochs."""
    from sparseprop import training

    values, labels = training.yin_yang(64, seed=1)
    times = np.sort(training.latencies(np.tile(values, 4), bias=0.0)[:, 1:], axis=1)
    data = training.SpikeData(times.ravel(), np.tile(np.arange(16), 64), 16 * np.arange(65), labels)
    model = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
    convolution = training.Convolution((1, 16), channels=3, kernel_size=5, stride=2, padding=2)
    net = sp.Network(seed=1)
    source = net.add(16, sp.SpikeSource([], []), name="input")
    hidden = net.add(convolution.n_targets, model, name="hidden", V=0.0)
    output = net.add(3, training.leaky_readout(model), name="output", V=0.0)
    p = convolution.connect(net, source, hidden)
    q = net.connect(hidden, output, sp.all_to_all(), weight=sp.uniform(-0.2, 0.2))
    loss = training.MembraneCrossEntropy(times=[15.0, 25.0, 35.0], scale=5.0)
    trainer = training.Trainer(
        net, loss, duration=40.0, optimizer=training.Adam(lr=training.CosineDecay(0.05, 3, warmup=1)), batch_size=16,
        shared={p: convolution}, min_weight={q: -0.2}, max_weight={q: 0.2}, metrics=["rate"], n_threads=1,
    )  # fmt: skip
    history = trainer.fit(data, data.labels, 2)
    if not 0.0 < history["rate"][0] < 1000.0 or not (q.weight == 0.2).any():
        raise AssertionError("a training in which nobody fires, or no bound is reached, is no fingerprint")
    return [history["loss"], history["lr"], history["rate"], convolution.kernel(p), q.weight]


# --- simulations that are cut and steered ------------------------------------------------------------------------


def checkpoint(path):
    """What is in a saved state, but for which program wrote it and which runs it follows."""
    with h5py.File(path) as file:
        content = json.loads(file["state"][()])
        arrays = {k: file["arrays"][k][()] for k in sorted(file["arrays"], key=int)}
    content = {name: value for name, value in content.items() if name not in ("versions", "run", "last_run")}
    return [json.dumps(content, sort_keys=True), arrays]


def _checkpoint(net, engine):
    """A run, its saved state, and how it goes on from there."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "state.h5")
        simulation = sp.Simulation(net, engine=engine)
        first = simulation.run(40.0, progress=False)
        simulation.save(path)
        loaded = sp.Simulation.load(path, net)
        return [raster(first), checkpoint(path), state(loaded), raster(loaded.run(40.0, progress=False))]


@fingerprint("checkpoint/window")
def _checkpoint_of_window():
    return _checkpoint(with_all_inputs(), "window")


@fingerprint("checkpoint/heap_no_delay")
def _checkpoint_of_heap():
    return _checkpoint(all_neurons(t_ref=1.5), "heap")


@fingerprint("checkpoint/training")
def _checkpoint_of_training():
    from sparseprop import training

    values, labels = training.yin_yang(96, seed=3)
    given = training.latencies(values, bias=15.0), labels

    def trainer():
        net = training.layered_network([5, 20, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
        loss = training.FirstSpikeCrossEntropy(tau=1.0, tau_late=20.0, pseudospikes=True)
        return training.Trainer(net, loss, duration=35.0, batch_size=16, n_threads=1)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "training.h5")
        first = trainer()
        first.fit(*given, epochs=1, progress=False)
        first.save(path)
        second = trainer()
        second.resume(path)
        second.fit(*given, epochs=2, progress=False)
    return [second.history["loss"], second.history["accuracy"], [p.weight for p in second.network.projections]]


@fingerprint("steering/everything")
def _steering():
    net = all_neurons(delays=MIXED, t_ref=1.5)
    hand = net.add(5, sp.SpikeSource([], []), name="hand")
    for kind in NEURONS:
        net.connect(hand, kind, sp.fixed_outdegree(4), weight=NEURONS[kind][1], delay=1.0)
    noise = net.drive("LIF", sp.poisson(500.0), weight=0.1)
    bias = [net.drive(name, sp.steps([0.0], [0.1])) for name in ("LIF", "QIF", "LIFExp")]
    simulation, found = sp.Simulation(net), []
    for k in range(8):
        result = simulation.run(5.0, progress=False)
        found += [raster(result, 1), state(simulation)]
        simulation.inject("hand", [simulation.time + 0.5, simulation.time + 7.0], [k % 5, 3])
        simulation.set_drive(noise, 300.0 + 100.0 * k)
        simulation.set_drive(bias[k % 3], 0.0625 * k)
        if k % 4 == 3:
            V = np.array(simulation.state["V"])
            free = np.flatnonzero(np.isinf(simulation.state["time_since_spike"]) & ~np.isnan(V))
            V[free[::3]] -= 0.125
            simulation.set_state(V=V, keep_rest=True)
    return found


@fingerprint("steering/state_goes_over")
def _state_goes_over():
    net = all_neurons(delays=MIXED, t_ref=1.5)
    first, second = sp.Simulation(net), sp.Simulation(net, seed=5)
    first.run(33.0, progress=False)
    second.run(7.0, progress=False)
    second.set_state(**first.state)
    return [state(second), raster(second.run(50.0, progress=False))]


def exponents(spectrum):
    bases = [part for pair in spectrum.bases for part in pair]
    return [spectrum.growth, spectrum.volumes, spectrum.participation, spectrum.vectors, *bases]


@fingerprint("exponents/balanced")
def _exponents_balanced():
    found = []
    for model in (sp.Theta(tau_m=10.0), sp.LIF(tau_m=10.0)):
        net = sp.balanced_network(150, model, outdegree=20, seed=1)
        found.append(exponents(sp.lyapunov_spectrum(net, n_spikes=1000, covariant=True, progress=False)))
    return found


@fingerprint("exponents/currents")
def _exponents_currents():
    net = sp.Network(seed=4)
    p = net.add(30, sp.LIFExp(10.0, (2.0, 8.0), I_e=1.3, t_ref=2.0))
    net.connect(p, p, sp.fixed_outdegree(5), weight=-0.3, port=1)
    net.connect(p, p, sp.fixed_outdegree(5), weight=0.2, port=0)
    net.drive(p, sp.poisson(50.0), weight=-0.1, port=0)
    net.drive(p, sp.steps([5.0, 20.0], [0.1, 0.3]))
    return exponents(sp.lyapunov_spectrum(net, duration=400.0, covariant=True, progress=False))


# --- the command ---------------------------------------------------------------------------------------------------


def matches(name, patterns):
    """Whether one of these patterns is of this name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def fingerprints(patterns=("*",), tell=lambda name, value: None):
    """SHA-256 by name, of those whose names match a pattern."""
    names = [name for name in FINGERPRINTS if matches(name, patterns)]
    if not names:
        raise SystemExit(f"no fingerprint has a name like {' or '.join(patterns)}; there are {', '.join(FINGERPRINTS)}")
    found = {}
    for name in names:
        found[name] = sha256(FINGERPRINTS[name]())
        tell(name, found[name])
    return found


def about():
    """Where these fingerprints are from; not compared."""
    return {
        "package": os.path.dirname(sp.__file__),
        "sparseprop": sp.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
    }


def differences(before, after):
    """A line for each name that is in both and differs, or is in one of them only."""
    lines = []
    for name in before | after:
        if name not in after:
            lines.append(f"{name}: only in the file")
        elif name not in before:
            lines.append(f"{name}: not in the file")
        elif before[name] != after[name]:
            lines.append(f"{name}: {before[name]} in the file, {after[name]} now")
    return lines


def main(arguments=None):
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("patterns", nargs="*", default=["*"], help="names of fingerprints, such as 'raster/LIF/*'")
    parser.add_argument("--save", metavar="FILE.json", help="write what was found into this file")
    parser.add_argument("--compare", metavar="FILE.json", help="exit with 1 if anything differs from this file")
    options = parser.parse_args(arguments)
    before = None
    if options.compare:
        with open(options.compare, encoding="utf-8") as file:
            before = json.load(file)
        before = before.get("sha256", before)  # same_bits.json has nothing else
    found = fingerprints(options.patterns, lambda name, value: print(f"{name:44} {value}", flush=True))
    if options.save:
        with open(options.save, "w", encoding="utf-8") as file:
            json.dump({"about": about(), "sha256": found}, file, indent=1)
            file.write("\n")
    if before is None:
        return 0
    before = {name: value for name, value in before.items() if matches(name, options.patterns)}
    lines = differences(before, found)
    print(*lines, f"{len(lines)} of {len(before | found)} differ from {options.compare}", sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
