"""Networks as users describe them: sizes, names, dictionaries, memory, randomness."""

import dataclasses
import resource
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from random_networks import random_network

import sparseprop as sp

LIF = sp.LIF(tau_m=10.0, I_e=1.1)


def spikes(net, **options):
    res = net.run(50.0, n_spikes=3000, progress=False, **options)
    return res.times.tobytes(), res.ids.tobytes()


@pytest.mark.parametrize("seed", range(20))
def test_to_dict_and_back_gives_the_same_spikes(seed):
    net = random_network(seed)
    again = sp.Network.from_dict(net.to_dict())
    for p, q in zip(net.projections, again.projections, strict=True):
        assert np.array_equal(p.targets, q.targets)
        assert np.array_equal(p.sources, q.sources)
        assert np.array_equal(p.weight, q.weight)
    try:
        assert spikes(net) == spikes(again)
    except sp.errors.RunawayError:
        with pytest.raises(sp.errors.RunawayError):
            spikes(again)


def test_dictionaries_of_matrices_edges_and_weights():
    rng = np.random.default_rng(0)
    net = sp.Network(seed=1)
    E, I = net.add(30, LIF, name="E", V=rng.random(30) * 0.9), net.add(10, LIF, name="I", phase=0.5)
    W = scipy.sparse.random_array((10, 30), density=0.2, rng=rng, data_sampler=lambda size: rng.normal(0, 0.1, size))
    sources, targets = rng.integers(0, 10, 50), rng.integers(0, 30, 50)
    net.connect(E, I, W)
    p = net.connect(I, E, sp.edges(sources, targets), weight=np.arange(50.0) / 1000.0, allow_multapses=True)
    net.connect(E, E, sp.fixed_indegree(3), weight=rng.normal(0.0, 0.1, 90))
    # Weights came with the user's edges and went with them into the order of the projection.
    for source, target, weight in zip(p.sources, p.targets, p.weight, strict=True):
        k = round(weight * 1000.0)
        assert (sources[k], targets[k]) == (source, target)
    again = sp.Network.from_dict(net.to_dict())
    for a, b in zip(net.projections, again.projections, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert np.array_equal(a.targets, b.targets)
    assert spikes(net) == spikes(again)


@pytest.mark.parametrize("options", [{}, {"allow_autapses": True}, {"allow_multapses": True}])
@pytest.mark.parametrize("k", [0, 1, 30, 70])
def test_procedural_synapses_are_the_stored_ones(k, options):
    runs, projections = [], []
    for procedural in (False, True):
        net = sp.Network(seed=5)
        a = net.add(80, sp.LIF(tau_m=10.0, I_e=1.2), name="a")
        b = net.add(71, sp.Theta(tau_m=10.0, I_e=0.4), name="b")
        projections.append([])
        for pre, post in ((a, a), (a, b), (b, a), (b, b)):
            p = net.connect(pre, post, sp.fixed_outdegree(k, procedural), weight=-0.05, **options)
            projections[-1].append(p)
        runs += [spikes(net, engine=engine) for engine in ("window", "heap", "reference")]
        assert spikes(sp.Network.from_dict(net.to_dict())) == runs[0]
    assert all(run == runs[0] for run in runs)
    for stored, drawn in zip(*projections, strict=True):
        assert np.array_equal(stored.targets, drawn.targets)
        assert np.array_equal(stored.sources, drawn.sources)
        assert np.array_equal(stored.adjacency.offsets, drawn.adjacency.offsets)
        assert stored.n_synapses == drawn.n_synapses
        assert drawn.nbytes == 0
        assert "uncounted" in str(net) or not options
        with pytest.raises(sp.errors.ParameterError, match="must be one number, as procedural synapses"):
            drawn.weight = np.zeros(drawn.n_synapses)


def test_procedural_targets_that_do_not_fit_into_memory():
    net = sp.Network(seed=1)
    a = net.add(100_000_000, sp.LIF(tau_m=10.0))
    p = net.connect(a, a, sp.fixed_outdegree(1000, procedural=True), weight=-0.1)
    assert p.n_synapses == 10**11
    with pytest.raises(sp.errors.InsufficientMemoryError, match="ask for rows with row"):
        _ = p.targets
    assert len(set(p.adjacency.row(99_999_999))) == 1000


def test_weights_that_were_set_later_are_part_of_the_description():
    net = sp.Network(seed=1)
    a = net.add(3, LIF, name="a")
    net.connect(a, a, np.array([[0.0, 0.1, 0.0], [0.0, 0.0, 0.2], [0.3, 0.0, 0.0]])).weight = [-0.1, -0.2, -0.3]
    again = sp.Network.from_dict(net.to_dict())
    assert again.projections[0].weight.tolist() == [-0.1, -0.2, -0.3]
    assert spikes(net) == spikes(again)


def test_matrix_is_target_by_source():
    W = np.zeros((3, 2))
    W[2, 0] = 1.5
    W[1, 1] = -0.5
    net = sp.Network(seed=1)
    p = net.connect(net.add(2, LIF, name="pre"), net.add(3, LIF, name="post"), W)
    assert (p.sources.tolist(), p.targets.tolist(), p.weight.tolist()) == ([0, 1], [2, 1], [1.5, -0.5])


def test_a_projection_depends_on_seed_and_its_place_only():
    def targets(seed, before, n_other):
        net = sp.Network(seed=seed)
        a, b = net.add(50, LIF, name="a"), net.add(n_other, LIF, name="b")
        for _ in range(before):
            net.connect(a, b, sp.one_to_one() if n_other == 50 else sp.all_to_all(), weight=1.0)
        return net.connect(a, a, sp.fixed_outdegree(5), weight=1.0).targets

    assert np.array_equal(targets(1, 0, 50), targets(1, 0, 7))
    assert np.array_equal(targets(1, 1, 50), targets(1, 1, 7))
    assert not np.array_equal(targets(1, 0, 50), targets(1, 1, 50))
    assert not np.array_equal(targets(1, 0, 50), targets(2, 0, 50))


def test_seeds_of_the_run_change_initial_states_only():
    net = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=20, seed=3)
    assert spikes(net) == spikes(net, seed=3)
    assert spikes(net) != spikes(net, seed=4)
    assert sp.Simulation(net, seed=4).V.tolist() != sp.Simulation(net).V.tolist()


def test_without_a_seed_one_is_drawn_and_printed(capsys):
    net = sp.Network()
    assert f"Network(seed={net.seed})" in capsys.readouterr().err
    assert sp.Network().seed != net.seed


def test_default_initial_states():
    net = sp.Network(seed=1)
    net.add(3, sp.LIF(tau_m=10.0, E_L=-65.0, V_th=-50.0, V_reset=-70.0, I_e=[0.0, 20.0, 15.0]), name="LIF")
    net.add(3, sp.QIF(tau_m=10.0, I_e=[-0.25, 0.0, 0.5]), name="QIF")
    V = sp.Simulation(net).V
    assert V[0] == -65.0  # at rest
    assert -70.0 <= V[1] < -50.0  # oscillates: uniform phase
    assert V[2] == -70.0  # driven exactly to threshold: at reset
    assert V[3] == pytest.approx(-0.5, abs=1e-15)
    assert V[4] == 0.0
    assert np.isfinite(V[5])


def test_str_says_what_the_network_is():
    net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=100, seed=1)
    text = str(net)
    for part in (
        "1,000 neurons",
        "100,000 synapses",
        "seed 1",
        "LIF(tau_m=10.0",
        "fixed_outdegree",
        "weight -0.1",
        "0 autapses",
        "0 multapses",
        "kB",
    ):
        assert part in text
    assert "1000 neurons" in repr(net)
    empty = sp.Network(seed=2)
    a = empty.add(2, LIF, name="a")
    empty.connect(a, a, sp.edges([], []), weight=[])
    assert "no weights" in str(empty)
    empty.connect(a, a, sp.edges([0, 1], [1, 0]), weight=[0.1, 0.2])
    assert "weights 0.1 to 0.2" in str(empty)
    assert repr(a) == "<Population 'a': 2 LIF>"
    assert "1 synapses" not in repr(empty.projections[1])
    assert len(a) == 2


def test_balanced_network_formulas():
    net = sp.balanced_network(
        200, sp.LIF(tau_m=20.0, E_L=-60.0, V_th=-50.0, V_reset=-65.0), 100, j0=2.0, rate=3.0, seed=1
    )
    assert net.populations[0].model.I_e == pytest.approx(10.0 + 15.0 * 0.02 * 10.0 * 2.0 * 3.0)
    assert net.projections[0].weight == pytest.approx(-2.0 * 15.0 / 10.0)
    net = sp.balanced_network(200, sp.QIF(tau_m=20.0), 100, j0=2.0, rate=3.0, seed=1)
    assert net.populations[0].model.I_e == pytest.approx(0.02 * 10.0 * 2.0 * 3.0)
    assert net.projections[0].weight == pytest.approx(-0.2)


def test_models_compare_parameters_through_to_dict_and_replace():
    model = dataclasses.replace(LIF, t_ref=2.0)
    assert model.to_dict() == {
        "name": "LIF",
        "tau_m": 10.0,
        "E_L": 0.0,
        "V_th": 1.0,
        "V_reset": 0.0,
        "I_e": 1.1,
        "t_ref": 2.0,
    }


PEAK = """
import sparseprop as sp
def status(name):  # kB; ru_maxrss would be inherited from the parent process
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
sp.balanced_network(100, sp.{model}(tau_m=10.0), outdegree=10, seed=1).run(1.0, progress=False)
before = status("VmRSS")
net = sp.balanced_network(400_000, sp.{model}(tau_m=10.0), outdegree=100, seed=1)
sp.Simulation(net).run(n_spikes=1000, progress=False)
print((status("VmHWM") - before) * 1024, net.estimate_memory())
"""


@pytest.mark.parametrize("model", ["LIF", "Theta"])
def test_memory_is_what_was_estimated(model, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PEAK.format(model=model)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    peak, estimate = map(int, done.stdout.split())
    assert peak == pytest.approx(estimate, rel=0.1)


def test_memory_that_is_not_there_is_an_error_before_work_begins():
    net = sp.Network(seed=1)
    a = net.add(2_000_000_000, LIF)
    with pytest.raises(sp.errors.InsufficientMemoryError):
        net.connect(a, a, sp.fixed_outdegree(1000), weight=0.1)
    with pytest.raises(sp.errors.InsufficientMemoryError, match="GB"):
        net.run(1.0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 1024**2  # kB


def test_tables_in_notebooks():
    net = sp.Network(seed=1)
    cells = net.add(1000, sp.LIF(tau_m=10.0), name="<E>")
    source = net.add(3, sp.SpikeSource([1.0], [0]), name="s")
    net.connect(source, cells, sp.all_to_all(), weight=0.25, delay=1.5)
    net.connect(cells, cells, sp.fixed_indegree(2), weight=sp.uniform(0.5, 1.0))
    net.drive(cells, sp.poisson(3.0), weight=0.125)
    shown = net._repr_html_()
    assert "Network: 1,000 neurons, 5,000 synapses, seed 1" in shown and "<E>" not in shown
    for cell in (
        "&lt;E&gt;",
        "1,000",
        "LIF(tau_m=10.0",
        "s → &lt;E&gt;",
        "3,000",
        "0.25",
        "1.5",
        "poisson(3 Hz)",
        "0.125",
    ):
        assert f">{cell}" in shown, cell
    assert shown.count("<table>") == 3 and shown.count("<tr>") == 3 + 2 + 2 + 1
    assert sp.Network(seed=1)._repr_html_().count("<table>") == 0
