"""Networks on several ranks: the bits of one process, for any number of ranks and threads.

Most tests have ranks that are threads of this process (thread_ranks.py); those marked `mpi` start real ones.
"""

import functools
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import time

import numpy as np
import pytest
from random_networks import longest_period, random_network
from test_lookahead import advanced, different
from thread_ranks import ThreadComm, all_on_ranks, on_ranks

import sparseprop as sp
from sparseprop import _core, connectivity
from sparseprop._ranks import Ranks
from sparseprop.connectivity import rules, shares, site
from sparseprop.engine.distributed import SharedLookahead
from sparseprop.errors import ParameterError, RankError, StorageError
from sparseprop.run.pieces import COUNTED

HERE = pathlib.Path(__file__).parent


def build(comm=None):
    """A network with all that is shared among ranks, in other ways."""
    net = sp.Network(seed=5, comm=comm)
    E = net.add(80, sp.LIF(tau_m=sp.uniform(8.0, 20.0), I_e=1.05, t_ref=1.0), name="E")
    I = net.add(20, sp.LIFExp(tau_m=10.0, tau_syn=3.0), name="I")
    few = net.add(2, sp.LIF(tau_m=[10.0, 12.0], I_e=1.5, t_ref=[0.0, 2.0]), name="few")
    P = net.add(5, sp.PoissonSource(50.0), name="P")
    S = net.add(2, sp.SpikeSource([1.0, 3.0, 3.0], [0, 1, 1]), name="S")
    net.connect(E, I, sp.fixed_indegree(10), weight=sp.normal(0.8, 0.1), delay=sp.uniform(0.5, 2.5))
    net.connect(E, E, sp.fixed_outdegree(10), weight=-0.05, delay=1.5)
    net.connect(I, E, sp.pairwise_bernoulli(0.3), weight=-0.2, delay=sp.uniform(0.5, 3.0))
    net.connect(I, I, sp.fixed_outdegree(3, procedural=True), weight=-0.2, delay=0.7)
    net.connect(E, few, sp.all_to_all(), weight=0.01, delay=2.0)
    net.connect(few, E, sp.edges([0, 1, 1], [70, 3, 40]), weight=[0.1, 0.2, 0.3], delay=[1.0, 0.9, 4.0])
    net.connect(P, E, sp.all_to_all(), weight=0.1)
    net.connect(S, E, sp.all_to_all(), weight=0.3, delay=0.2)
    net.drive(I, sp.poisson(200.0), weight=np.linspace(0.0, 0.2, 20))
    net.drive(E, sp.steps([20.0, 40.0], np.outer([0.1, 0.0], np.linspace(0.0, 1.0, 80))))
    return net


def spikes_of(*results):
    return [np.concatenate([getattr(res, name) for res in results]).tobytes() for name in ("times", "ids")]


# Engines --------------------------------------------------------------------------------------------------------------


def assert_ranks_agree(seed):
    """The number of spikes of a random network on some ranks, which are those of one engine in all that is seen."""
    rng = np.random.default_rng([seed, 23])
    net = random_network(seed, delayed=True)
    source, duration = net.engine_input(), longest_period(net)
    until = source.clock.pair(duration)
    n_spikes, budget = int(rng.choice([rng.integers(1, 300), 1500])), int(rng.choice([30, 1000, 1 << 40]))
    n_threads, block, sources = int(rng.integers(1, 4)), int(rng.choice([8, 512])), bool(rng.random() < 0.5)

    def seen(engine):
        engine.record_sources = sources
        first = advanced(engine, until, n_spikes, budget)
        if "fault" in first:
            return first, first
        return first, advanced(engine, source.clock.add(engine.now, 0.1 * duration), n_spikes + 200)

    wanted = seen(_core.Engine(source, name="window"))
    ranks = 1 + seed % 4
    for got in all_on_ranks(ranks, lambda comm: seen(SharedLookahead(source, Ranks(comm), n_threads, block))):
        for a, b in zip(wanted, got, strict=True):
            assert not different(a, b), f"random_network({seed}, delayed=True) on {ranks} ranks: {different(a, b)}"
    return wanted[0].get("n_spikes", 0)


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_ranks_agree_with_one_engine_on_random_networks(first):
    assert sum(assert_ranks_agree(seed) for seed in range(first, first + 10)) > 500


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("first", range(1000, 5000, 200))
def test_ranks_agree_on_4000_random_networks(first):
    for seed in range(first, first + 200):
        assert_ranks_agree(seed)


# Synapses -------------------------------------------------------------------------------------------------------------

RULES = [
    connectivity.fixed_outdegree(7),
    connectivity.fixed_indegree(6),
    connectivity.fixed_indegree(0),
    connectivity.pairwise_bernoulli(0.2),
    connectivity.pairwise_bernoulli(0.0),
    connectivity.fixed_total_number(300),
    connectivity.fixed_total_number(2000),
    connectivity.all_to_all(),
    connectivity.one_to_one(),
]


@pytest.mark.parametrize("at_a_time", [50, shares.AT_A_TIME])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_shares_of_drawn_synapses_are_those_of_the_whole(rule, at_a_time, monkeypatch):
    for module in (shares, site, rules):
        monkeypatch.setattr(module, "AT_A_TIME", at_a_time)
    key = connectivity.random_key(3)
    n_checked = 0
    for same, multapses, autapses in np.ndindex(2, 2, 2):
        n_pre, n_post = (50, 50) if same else (41, 60)
        options = {"same_population": bool(same), "key": key, "projection": 2}
        options |= {"allow_multapses": bool(multapses), "allow_autapses": bool(autapses)}
        try:
            whole = connectivity.build(rule, n_pre, n_post, **options)
        except sp.errors.ConnectivityError:
            continue
        drawn = connectivity.Drawn(sp.normal(1.0, 0.3, low=0.5), key, connectivity.Purpose.WEIGHT, 2, whole.offsets)
        n_autapses = n_multapses = n = 0
        for low, high in ((0, 13), (13, 14), (14, 14), (14, n_post)):
            share = connectivity.build(rule, n_pre, n_post, share=(low, high), **options)
            of_whole, (given, array, one) = connectivity.share_of_adjacency(
                whole, (drawn, drawn.values, 2.0), low, high
            )
            mine, (own, also_one) = connectivity.share_of_adjacency(share, (drawn, 2.0), low, high)
            assert share.n_synapses == whole.n_synapses
            assert np.array_equal(mine.offsets, of_whole.offsets)
            assert np.array_equal(mine.targets, of_whole.targets) and mine.targets.dtype == np.int32
            values = connectivity.all_of(own)
            assert np.array_equal(values, array) and np.array_equal(given, array) and one == also_one == 2.0
            if isinstance(own, connectivity.Drawn):
                part = slice(mine.offsets[3], mine.offsets[20])
                assert np.array_equal(own.rows(3, 20), array[part])
            if isinstance(share, connectivity.AdjacencyShare):
                n_autapses, n_multapses = n_autapses + share.n_autapses, n_multapses + share.n_multapses
            n += len(values)
        assert n == whole.n_synapses
        if isinstance(share, connectivity.AdjacencyShare):
            assert (n_autapses, n_multapses) == (whole.n_autapses, whole.n_multapses)
        n_checked += 1
    assert n_checked


def test_no_rank_holds_the_synapses_of_others():
    def held(comm):
        (projection,) = network(comm).projections
        return projection.adjacency.targets.size, projection.n_synapses

    def network(comm):
        net = sp.Network(seed=1, comm=comm)
        E = net.add(1000, sp.LIF(tau_m=10.0), name="E")
        net.connect(E, E, sp.fixed_indegree(20), weight=0.1, delay=1.0)
        return net

    assert all_on_ranks(4, held) == 4 * [(5000, 20_000)]


# Simulations ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 5])
def test_runs_on_ranks_are_those_of_one_process(size, tmp_path):
    record = {"V": [0, 79, 80, 99, 101], "V_times": 7.0, "bins": 5.0, "I_syn": [85], "I_syn_times": [3.0, 50.0]}
    wanted = build().run(100.0, record=sp.Record(**record))
    assert wanted.n_spikes > 200
    whole = build()
    other = sp.Simulation(whole)
    other.run(30.0)

    def work(comm):
        net = build(comm)
        results = [net.run(100.0, record=sp.Record(**record)), build().run(100.0, comm=comm)]
        sim = sp.Simulation(net, n_threads=2)
        first = sim.run(30.0, record=tmp_path / "raster.h5", checkpoint=tmp_path / "checkpoint.h5", every=7.0)
        sim.save(tmp_path / "state.h5")
        state, again = dict(sim.state), sim.copy()
        loaded = sp.Simulation.load(tmp_path / "state.h5", net)
        ends = [each.run(70.0) for each in (loaded, again)]
        second = sim.run(70.0, record=tmp_path / "raster.h5")
        return results, (first, second), ends, state

    for results, pieces, ends, state in all_on_ranks(size, work):
        for res in results:
            assert spikes_of(res) == spikes_of(wanted)
            assert all(getattr(res, name) == getattr(wanted, name) for name in COUNTED)
        assert np.array_equal(results[0].V, wanted.V) and np.array_equal(results[0].I_syn, wanted.I_syn, equal_nan=True)
        for name, counts in wanted.counts.items():
            assert np.array_equal(results[0].counts[name], counts)
        assert spikes_of(*pieces) == spikes_of(wanted)
        assert spikes_of(ends[0]) == spikes_of(ends[1]) == spikes_of(pieces[1])
        for name, array in other.state.items():
            same = np.array_equal(state[name], array) if array.dtype.names else np.array_equal(state[name], array, True)
            assert same, name
    # One process goes on from what several saved, and the other way round.
    assert spikes_of(sp.Simulation.load(tmp_path / "state.h5", whole).run(70.0)) == spikes_of(ends[0])
    assert spikes_of(sp.load(tmp_path / "raster.h5")) == spikes_of(wanted)
    other.save(tmp_path / "one.h5")

    def go_on(comm):
        return sp.Simulation.load(tmp_path / "one.h5", whole, comm=comm).run(70.0)

    for res in all_on_ranks(size, go_on):
        assert spikes_of(res) == spikes_of(ends[0])


def steered(comm=None):
    """A run that is steered in between, and stops by spikes."""
    net = build(comm)
    sim = sp.Simulation(net)
    results = [sim.run(n_spikes=50)]
    V = sim.V.copy()
    V[3] -= 0.01
    V[79] -= 0.02
    sim.set_state(V=V, keep_rest=True)
    sim.inject("S", sim.time + np.array([0.5, 1.5]), [0, 1])
    sim.set_drive(0, 500.0)
    sim.set_drive(1, np.linspace(0.0, 0.2, 80))
    results.append(sim.run(20.0))
    sim.set_state(spikes_in_flight=sim.state["spikes_in_flight"][::2])
    results.append(sim.run(20.0, callback=lambda sim: False))
    return results, sim.V


def test_steering_on_ranks():
    wanted, V = steered()
    for results, voltages in all_on_ranks(3, steered):
        assert spikes_of(*results) == spikes_of(*wanted)
        assert np.array_equal(voltages, V, equal_nan=True)


def test_quiescence_and_faults_are_agreed_on():
    def silent(comm):
        net = sp.Network(seed=1, comm=comm)
        E = net.add(6, sp.LIF(tau_m=10.0), name="E", V=0.0)
        S = net.add(1, sp.SpikeSource([1.0], [0]), name="S")
        net.connect(S, E, sp.edges([0], [5]), weight=1.5)
        net.connect(E, E, sp.edges([5], [0]), weight=1.5, delay=2.0)
        return net.run(n_spikes=100, engine="lookahead")

    one = silent(None)
    for res in all_on_ranks(3, silent):
        assert (res.stop_reason, res.t_stop, spikes_of(res)) == (one.stop_reason, one.t_stop, spikes_of(one))
    assert one.stop_reason == "quiescent"

    def runaway(comm):
        net = sp.Network(seed=1, comm=comm)
        E = net.add(4, sp.LIF(tau_m=10.0), name="E", V=0.0)
        S = net.add(2, sp.SpikeSource([1.0, 1.0], [0, 1]), name="S")
        net.connect(S, E, sp.edges([0, 1], [3, 3]), weight=1e308)
        net.connect(E, E, sp.edges([3], [0]), weight=0.1, delay=1.0)
        return net.run(10.0)

    try:
        runaway(None)
    except Exception as error:
        expected = type(error), str(error)
    assert {(type(error), str(error)) for error in on_ranks(2, runaway)} == {expected}


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "work"),
    [
        ("tape must be False on several ranks", lambda comm: build(comm).run(10.0, tape=True)),
        ('engine must be "lookahead" on several ranks', lambda comm: build(comm).run(10.0, engine="window")),
        ("targets of projection 'E' -> 'I' is on no rank as a whole", lambda comm: build(comm).projections[0].targets),
        ("weight of projection 'E' -> 'I' is on no rank", lambda comm: build(comm).projections[0].weight),
        ("only run\\(\\) and Simulation go on", lambda comm: build(comm).engine_input()),
        (
            "comm must be that of the network",
            lambda comm: build(comm).run(10.0, comm=ThreadComm(comm.rank, comm.board)),
        ),
        ("comm must be a communicator as of mpi4py", lambda comm: build("MPI.COMM_WORLD")),
    ],
)
def test_what_ranks_cannot_do_is_refused(message, work):
    for error in on_ranks(2, work):
        assert isinstance(error, ParameterError), error
        with pytest.raises(ParameterError, match=message):
            raise error


def test_networks_without_delay_are_refused():
    def work(comm):
        net = sp.Network(seed=1, comm=comm)
        E = net.add(10, sp.LIF(tau_m=10.0), name="E")
        net.connect(E, E, sp.all_to_all(), weight=0.1)
        return net.run(10.0)

    for error in on_ranks(2, work):
        assert isinstance(error, ParameterError)
        assert "needs a delay" in str(error) and "without comm" in str(error)


def test_arrays_of_values_are_refused_where_no_rank_has_all_synapses():
    def work(comm):
        net = sp.Network(seed=1, comm=comm)
        E = net.add(10, sp.LIF(tau_m=10.0), name="E")
        net.connect(E, E, sp.fixed_indegree(2), weight=np.full(20, 0.1), delay=1.0)

    for error in on_ranks(2, work):
        assert isinstance(error, ParameterError) and "build it without comm" in str(error)


def test_an_error_on_one_rank_is_one_on_all(tmp_path):
    def work(comm):
        path = tmp_path / "raster.h5" if comm.rank else tmp_path / "nowhere" / "raster.h5"
        return build(comm).run(10.0, record=path)

    first, *others = on_ranks(3, work)
    assert isinstance(first, StorageError)
    for error in others:
        assert isinstance(error, RankError)
        assert "rank 0 of 3 has failed" in str(error) and "nowhere" in str(error)

    def interrupted(comm):
        def callback(sim):
            if comm.rank == 1:
                raise ZeroDivisionError("of the callback")

        return build(comm).run(2000.0, callback=callback)

    outcome = on_ranks(3, interrupted)
    assert isinstance(outcome[1], ZeroDivisionError)
    assert all(isinstance(outcome[rank], RankError) and "ZeroDivisionError" in str(outcome[rank]) for rank in (0, 2))


def test_long_messages_come_in_two_parts():
    def work(comm):
        ranks = Ranks(comm)
        sizes = [0, 5, 70_000, 2_000_000, 3]
        got = [ranks.gather(bytes([comm.rank + 1]) * (n * (comm.rank + 1))) for n in sizes]
        arrays = [ranks.collect(np.full((comm.rank + 1, 2), comm.rank))]
        return [[(len(part), set(part)) for part in parts] for parts in got], arrays

    for rank, (got, (array,)) in enumerate(all_on_ranks(3, work)):
        for n, parts in zip([0, 5, 70_000, 2_000_000, 3], got, strict=True):
            assert parts == [(n * k, {k} if n else set()) for k in (1, 2, 3)]
        assert (
            (array is None) if rank else np.array_equal(array, [[0] * 2, [1] * 2, [1] * 2, [2] * 2, [2] * 2, [2] * 2])
        )


# MPI ------------------------------------------------------------------------------------------------------------------

SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))
MPIRUN = shutil.which("mpirun", path=f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.fixture(scope="session")
def mpi():
    """That there is an MPI that can start two processes."""
    if MPIRUN is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpirun or mpi4py is missing: pip install .[mpi]")
    try:
        done = mpirun(2, sys.executable, "-c", "from mpi4py import MPI; MPI.COMM_WORLD.Barrier()", check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("mpirun does not start two processes here within 200 s")
    if done.returncode:
        pytest.skip(f"mpirun does not start two processes here: {done.stderr[-1000:]}")


def mpirun(n, *command, check=True, cwd=None):
    """A command on n ranks, which may be more than there are cores."""
    root = os.geteuid() == 0  # as in containers
    env = os.environ | ({"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if root else {})
    done = subprocess.run(
        [MPIRUN, "--oversubscribe", "--bind-to", "none", "-n", str(n), *map(str, command)],
        capture_output=True, text=True, timeout=200, env=env, cwd=cwd,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


@functools.cache
def fingerprints(n, threads):
    """What tests/ranks_script.py prints on the first of n ranks."""
    return json.loads(mpirun(n, sys.executable, HERE / "ranks_script.py", "fingerprints", threads).stdout)


@pytest.mark.mpi
@pytest.mark.parametrize(("n", "threads"), [(2, 1), (3, 2), (4, 1)])
def test_mpi_gives_the_bits_of_one_process(mpi, n, threads):
    one, several = fingerprints(1, 1), fingerprints(n, threads)
    assert (one["ranks"], several["ranks"]) == (1, n)
    assert len(one) > 20
    assert several | {"ranks": 1} == one


@pytest.mark.mpi
def test_a_killed_rank_ends_all_and_its_run_can_be_resumed(mpi, tmp_path):
    wanted = json.loads(mpirun(1, sys.executable, HERE / "ranks_script.py", "run", tmp_path / "whole.h5").stdout)
    began = time.monotonic()
    killed = mpirun(3, sys.executable, HERE / "ranks_script.py", "killed", tmp_path, check=False)
    assert time.monotonic() - began < 60.0
    assert killed.returncode != 0
    assert re.search(r"rank 1 .*signal 9", killed.stderr, re.DOTALL), killed.stderr
    resumed = json.loads(mpirun(2, sys.executable, HERE / "ranks_script.py", "resumed", tmp_path).stdout)
    assert resumed == wanted


@pytest.mark.mpi
def test_an_uncaught_error_on_one_rank_ends_all(mpi, tmp_path):
    began = time.monotonic()
    failed = mpirun(3, sys.executable, HERE / "ranks_script.py", "failed", check=False)
    assert failed.returncode != 0 and time.monotonic() - began < 60.0
    assert "ZeroDivisionError" in failed.stderr


@pytest.mark.mpi
def test_the_command_line_under_mpirun(mpi, tmp_path):
    (tmp_path / "net.toml").write_text(
        'seed = 3\npopulations = [{ n = 100, name = "E", model = { name = "LIF", tau_m = 10.0, I_e = 1.1 } }]\n'
        'projections = [{ pre = "E", post = "E", rule = { name = "fixed_indegree", k = 10 }, weight = -0.1, '
        "delay = 1.5 }]\nrun = { duration = 100.0 }\n"
    )
    command = [sys.executable, "-m", "sparseprop", "run", "net.toml"]
    subprocess.run([*command, "-o", "one.h5", "--quiet"], check=True, cwd=tmp_path)
    told = mpirun(3, *command, "-o", "three.h5", cwd=tmp_path).stdout
    assert told.count("Spikes are in three.h5") == 1
    assert spikes_of(sp.load(tmp_path / "three.h5")) == spikes_of(sp.load(tmp_path / "one.h5"))
    again = mpirun(2, *command, "-o", "three.h5", check=False, cwd=tmp_path)
    assert again.returncode != 0 and again.stderr.count("sparseprop: error") == 1
    assert "--overwrite" in again.stderr
    demo = mpirun(2, sys.executable, "-m", "sparseprop", "demo", check=False, cwd=tmp_path)
    assert "demo runs in one process" in demo.stderr and not (tmp_path / "raster.h5").exists()
