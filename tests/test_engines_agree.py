"""Promises 1 and 3: the engines give bit-identical spikes, however a run is cut, recorded or placed."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from random_networks import longest_period, outcome, random_network, random_record

import sparseprop as sp
from sparseprop import _core

ENGINES = ["window", "heap", "reference"]


def spikes_of(run, net, record):
    """What a run ended with, and its spikes of those neurons (not sources) that `record` wants."""
    if isinstance(run[1], str):
        return run
    times, ids = np.frombuffer(run[0]), np.frombuffer(run[1], np.int64)
    wanted = [
        np.full(p.n, not p.is_source and (record.spikes is True or p.name in record.spikes)) for p in net.populations
    ]
    mine = np.concatenate(wanted)[ids]
    return times[mine].tolist(), ids[mine].tolist(), run[2:7]


def assert_engines_agree(seeds, **options):
    different = []
    spikes = 0
    for seed in seeds:
        net = random_network(seed, **options)
        duration = longest_period(net)
        record = random_record(seed, net, duration)
        runs = [outcome(net, engine, duration, n_spikes=1500, record=record) for engine in ENGINES]
        # Recording changes nothing.
        plain = outcome(net, ENGINES[seed % 2], duration, n_spikes=1500)
        mine = spikes_of(plain, net, record)
        spikes += len(plain[0]) // 8
        if not (runs[0] == runs[1] == runs[2] and mine == spikes_of(runs[0], net, record)):
            different.append(seed)
    assert not different, f"engines differ on random_network(seed) for seeds {different}"
    return spikes


@pytest.mark.parametrize("first", range(0, 500, 50))
def test_engines_agree_on_random_networks(first):
    spikes = assert_engines_agree(range(first, first + 50))
    assert spikes > 5000  # the networks do something


@pytest.mark.parametrize("seed", [2376, 3164, 4203, 11896, 13830, 15692, 16128, 17016])
def test_networks_on_which_engines_once_differed(seed):
    """Neurons that a step puts exactly at threshold, in the first instant of an epoch; at the end of the run, a spike
    on its way to nobody; LIFExp neurons that are driven exactly to threshold; rotations kicked before a window that
    began behind a gap."""
    assert_engines_agree([seed], repetitions=False)


def network_of_ties(seed):
    """Groups of equal neurons, of which one half kicks the other over threshold after one delay or a few: what is due
    and what arrives meets by rounding."""
    rng = np.random.default_rng(seed)
    t_ref = float(rng.choice([0.0, 1.5]))
    models = [
        sp.LIF(tau_m=10.0, I_e=1.5, t_ref=t_ref),
        sp.QIF(tau_m=10.0, I_e=0.5, V_peak=5.0, V_reset=-3.0, t_ref=t_ref),
        sp.Theta(tau_m=10.0, I_e=0.5),
        sp.LIFExp(tau_m=10.0, tau_syn=3.0, I_e=1.5, t_ref=t_ref),
        sp.NumericalIF("V * V", V_th=10.0, V_reset=-5.0, I_e=0.375, tau_m=10.0, t_ref=t_ref),
    ]
    net = sp.Network(seed=seed)
    delays = rng.choice([0.5, rng.uniform(0.1, 3.0), rng.uniform(0.1, 3.0)], 2)
    for k in rng.choice(5, 1 + seed % 2):
        net.add(6, models[k], V=rng.choice([-0.5, rng.uniform(0.2, 0.7)], 6))
    for pre in net.populations:
        for post in net.populations:
            rule = sp.edges(rng.integers(0, 3, 4), rng.integers(3, 6, 4))
            weight = float(rng.choice([0.4, 2.0] if pre is post else [0.4, -0.125]))
            net.connect(pre, post, rule, weight=weight, delay=float(rng.choice(delays)), allow_multapses=True)
    return net


def test_engines_agree_on_networks_of_ties():
    """Also how often rounding decided: which targets of which kicks were about to fire."""
    close = 0
    for seed in range(60):
        net = network_of_ties(seed)
        runs = [outcome(net, engine, 100.0, n_spikes=400) for engine in ENGINES]
        assert runs[0] == runs[1] == runs[2], f"seed {seed}"
        close += runs[0][6][1] if len(runs[0]) > 2 else 0
    assert close > 100


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("first", range(1000, 21_000, 500))
def test_engines_agree_on_20000_random_networks(first):
    assert_engines_agree(range(first, first + 500))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(700, 730))
def test_a_run_cut_at_random_points_equals_a_whole_one(seed, engine):
    net = random_network(seed)
    try:
        duration = net.run(longest_period(net), n_spikes=1000, progress=False).t_stop
        whole = net.run(duration, engine=engine, progress=False)
    except (sp.errors.RunawayError, sp.errors.NumericalError):
        pytest.skip("this network ends with an error")
    rng = np.random.default_rng(seed)
    sim = sp.Simulation(net, engine=engine)
    pieces = []
    while sim.time < 0.9 * duration:
        if rng.random() < 0.3:
            pieces.append(sim.run(duration - sim.time, n_spikes=int(rng.integers(0, 20)), progress=False))
            _ = sim.V  # looking at the state changes nothing
        else:
            cut = duration * rng.exponential(0.1)
            pieces.append(sim.run(min(cut, duration - sim.time), progress=False))
    pieces.append(sim.run(1.1 * duration - sim.time, progress=False))  # times of cuts are rounded: end well after
    times = np.concatenate([piece.times for piece in pieces])
    n = whole.n_spikes
    assert np.array_equal(times[:n], whole.times)
    assert np.array_equal(np.concatenate([piece.ids for piece in pieces])[:n], whole.ids)
    assert (times[n:] >= duration).all()
    for before, after in zip(pieces, pieces[1:], strict=False):
        assert before.t_stop == after.t_start


@pytest.mark.parametrize("name", ["window", "heap"])
def test_block_sizes_change_nothing(name):
    net = sp.balanced_network(300, sp.LIF(tau_m=10.0), outdegree=30, seed=4)
    whole = net.run(300.0, progress=False)
    source = net.engine_input()
    for budget in (1, 7, 1000, 10**6):
        engine = _core.Engine(source, name)
        times, ids = [], []
        while True:
            end = engine.advance(source.clock.pair(300.0), None, budget)
            t, i = engine.take()
            times.append(t)
            ids.append(i)
            if end != "running":
                break
        assert np.array_equal(np.concatenate(times), whole.times)
        assert np.array_equal(np.concatenate(ids), whole.ids)


DIGEST = """
import hashlib, sys, sparseprop as sp
net = sp.balanced_network(500, sp.{model}(tau_m=10.0), outdegree=50, seed=9)
res = net.run(300.0, {options})
print(hashlib.sha256(res.times.tobytes() + res.ids.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("model", ["LIF", "Theta"])
def test_any_process_recording_and_progress_gives_the_same_spikes(model, tmp_path):
    options = [
        "progress=False",
        "progress=True",
        "progress=lambda fraction: None",
        f"record={str(tmp_path / 'raster.h5')!r}",
        "engine='heap'",
        "engine='reference'",
    ]
    digests = set()
    for k, option in enumerate(options):
        script = DIGEST.format(model=model, options=option)
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": str(k)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_engines_agree_on_times_at_the_starts_of_epochs_of_very_slow_neurons():
    """A time constant of 10^7 epochs: which epoch a time belongs to must not depend on who asks when."""
    net = sp.Network(seed=1)
    tau, n = 1e7, 2000
    starts = 8.0 * np.arange(1, n + 1)  # tau_m = 1 makes epochs of 8 ms
    net.add(n, sp.LIF(tau_m=tau, I_e=2.0), V=2.0 - np.exp(starts / tau))
    net.add(1, sp.LIF(tau_m=1.0, I_e=1.5))
    runs = [net.run(8.0 * (n + 1), engine=engine) for engine in ("window", "heap")]
    assert np.array_equal(runs[0].times, runs[1].times)
    assert np.array_equal(runs[0].ids, runs[1].ids)


@pytest.mark.parametrize(
    ("model", "weight"),
    [
        (sp.LIF(tau_m=10.0, I_e=1.1), -0.1),
        (sp.Theta(tau_m=10.0, I_e=0.1), -0.1),
        (sp.LIF(tau_m=10.0, I_e=1.1, t_ref=2.0), 2.0**-8),
        (sp.QIF(tau_m=10.0, I_e=0.1, V_peak=10.0, V_reset=-5.0, t_ref=2.0), 2.0**-7),
    ],
    ids=["LIF-inhibitory", "Theta-inhibitory", "LIF-excitatory", "QIF-excitatory"],
)
def test_window_equals_heap_on_a_large_network(model, weight):
    """10,000 neurons, 200,000 spikes: many windows, epochs and rescalings."""
    net = sp.Network(seed=6)
    p = net.add(10_000, model)
    net.connect(p, p, sp.fixed_outdegree(30), weight=weight)
    runs = [net.run(n_spikes=200_000, engine=engine, progress=False) for engine in ("window", "heap")]
    assert np.array_equal(runs[0].times, runs[1].times)
    assert np.array_equal(runs[0].ids, runs[1].ids)


def test_threads_at_once_give_the_same_spikes():
    import concurrent.futures

    net = sp.balanced_network(500, sp.LIF(tau_m=10.0), outdegree=50, seed=9)

    def digest(_):
        res = net.run(200.0, progress=False)
        return hashlib.sha256(res.times.tobytes() + res.ids.tobytes()).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(digest, range(20)))) == 1


@pytest.mark.parametrize("n", [1, 7, 31, 32, 33, 64, 1000])
def test_scans_find_the_same_with_all_registers(n):
    """Against numpy, which compares the same doubles."""
    rng = np.random.default_rng(n)
    x = rng.choice([-1.0, 1.0], 2 * n) * rng.choice([0.1, 0.3, 0.5, 0.7], 2 * n)
    a, b = x[::2], x[1::2]
    for bound in (-1.0, 0.3, 0.5, 1.0):
        below, turned = np.flatnonzero(x <= bound), np.flatnonzero(a + 0.5 * b <= bound * (np.abs(a) + np.abs(b)))
        for width in range(3):
            try:
                found = _core.find_with_registers(width, x, bound)
            except ValueError:  # not on this processor
                assert width > 0
                break
            assert np.array_equal(found[0], below) and np.array_equal(found[1], turned)
