"""EIF neurons against NEST's, which are on a grid: the differences go to zero with its step."""

import numpy as np
import pytest

import sparseprop as sp

nest = pytest.importorskip("nest", reason="NEST: pip install nest-simulator, into a Python for which there is a wheel")

N, DURATION = 30, 60.0
NEURON = {"E_L": -65.0, "V_reset": -60.0, "V_peak": 0.0, "t_ref": 2.0}


def described():
    """Drives below and above the rheobase, excitation and inhibition, times on the coarsest grid."""
    rng = np.random.default_rng(5)
    sources = np.repeat(np.arange(N), 5)
    targets = np.concatenate([rng.choice(np.delete(np.arange(N), i), 5, replace=False) for i in range(N)])
    weights = np.where(sources < 20, 0.8, -2.0) * rng.uniform(0.5, 1.5, sources.size)
    times = np.round(np.sort(rng.uniform(1.0, DURATION - 5.0, 200)), 1)
    return sources, targets, weights, times, rng.integers(0, N, times.size), rng.uniform(10.0, 20.0, N)


def ours(sources, targets, weights, times, ids, drive):
    net = sp.Network(seed=1)
    p = net.add(N, sp.EIF(tau_m=20.0, V_T=-50.0, Delta_T=2.0, I_e=drive, **NEURON), V=-60.0)
    s = net.add(N, sp.SpikeSource(times, ids))
    net.connect(p, p, sp.edges(sources, targets), weight=weights, delay=1.5)
    net.connect(s, p, sp.one_to_one(), weight=4.0, delay=1.0)
    res = net.run(DURATION)
    return [res.times[res.ids == i] for i in range(N)]


def theirs(step, sources, targets, weights, times, ids, drive):
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = step
    p = nest.Create("aeif_psc_delta", N, NEURON | {
        "V_th": -50.0, "Delta_T": 2.0, "C_m": 200.0, "g_L": 10.0, "a": 0.0, "b": 0.0, "V_m": -60.0, "w": 0.0,
        "gsl_error_tol": 1e-12,
    })  # fmt: skip
    p.I_e = drive * 10.0
    generators = nest.Create("spike_generator", N)
    for k in range(N):
        generators[k].spike_times = np.unique(times[ids == k])
        generators[k].spike_multiplicities = np.unique(times[ids == k], return_counts=True)[1]
    everyone = np.array(p.global_id)
    nest.Connect(everyone[sources], everyone[targets], "one_to_one",
                 {"weight": weights, "delay": np.full(sources.size, 1.5)})  # fmt: skip
    nest.Connect(generators, p, "one_to_one", {"weight": 4.0, "delay": 1.0})
    recorder = nest.Create("spike_recorder")
    nest.Connect(p, recorder)
    nest.Simulate(DURATION)
    found = recorder.events
    return [np.sort(found["times"][found["senders"] == i]) for i in everyone]


def test_eif_is_where_nest_goes_as_its_step_goes_to_zero():
    case = described()
    exact = ours(*case)
    assert sum(map(len, exact)) > N
    errors = []
    for step in (0.1, 0.01, 0.001):
        grid = theirs(step, *case)
        # A spike near the end may be on either side of it.
        n = [min(len(a), len(b)) for a, b in zip(exact, grid, strict=True)]
        errors.append(max(np.abs(a[:k] - b[:k]).max() for a, b, k in zip(exact, grid, n, strict=True) if k))
        assert sum(map(len, grid)) == sum(map(len, exact))
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] < 0.05
    assert errors[2] < 0.01
