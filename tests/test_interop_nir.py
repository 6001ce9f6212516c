"""NIR: graphs of LIF, CubaLIF and recurrent networks, there and back, and those of snnTorch and Norse.

What a graph means is checked by the spikes: of NIR's equations in small steps of our own, and of the libraries that
wrote the graph, whose spikes come to ours as their step goes to 0.
"""

import sys
import warnings

import numpy as np
import pytest

import sparseprop as sp
from sparseprop.errors import FileFormatError, ParameterError
from sparseprop.interop import from_nir, to_nir

nir = pytest.importorskip("nir", reason='nir: pip install "sparseprop-sim[nir]"')
SNNTORCH = "snnTorch: pip install torch==2.13.0 snntorch nirtorch"
NORSE = "Norse: pip install torch==2.13.0; pip install --no-deps norse nirtorch"
INPUT = ([1.0, 3.0, 4.0, 8.0, 9.0, 15.0, 16.0, 17.0, 25.0, 30.0], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


def recurrent(delay=0.0):
    net = sp.Network(seed=1)
    src = net.add(3, sp.SpikeSource(*INPUT), name="in")
    E = net.add(4, sp.LIF(tau_m=[8.0, 9.0, 10.0, 11.0], V_reset=-0.2, E_L=0.1, I_e=0.2), name="E")
    C = net.add(2, sp.LIFExp(tau_m=10.0, tau_syn=np.array([3.0, 4.0]), I_e=0.3), name="C")
    rng = np.random.default_rng(2)
    net.connect(src, E, rng.uniform(0.3, 0.9, (4, 3)), delay=delay)
    net.connect(E, E, 0.1 * rng.normal(size=(4, 4)), allow_autapses=True, delay=delay)
    net.connect(E, C, rng.uniform(0.5, 2.0, (2, 4)))
    net.connect(C, E, rng.uniform(-0.3, 0.0, (4, 2)), delay=2.0)
    return net


def spikes(net, duration=40.0):
    """By population, from V = v_leak, where an imported network begins."""
    sim = sp.Simulation(net)
    V = [np.broadcast_to(0.0 if p.is_source else np.asarray(p.model.E_L) + p.model.I_e, p.n) for p in net.populations]
    if not any(p.V is not None for p in net.populations):
        sim.set_state(V=np.concatenate(V), keep_rest=True)
    res = sim.run(duration)
    return {p.name: (res[p.name].times, res[p.name].ids) for p in net.populations if not p.is_source}


@pytest.mark.parametrize("delay", [0.0, 1.5])
@pytest.mark.parametrize("area", [1.0, 1e-4])
def test_round_trip(tmp_path, delay, area):
    net = recurrent(delay)
    graph = to_nir(net, spike_area=area)
    nir.write(tmp_path / "net.nir", graph)
    again = from_nir(tmp_path / "net.nir", spike_area=area, spikes={"in": sp.SpikeSource(*INPUT)}, seed=1)
    assert sorted(p.name for p in again.populations) == ["C", "E", "in"]
    a, b = spikes(net), spikes(again)
    assert sum(len(times) for times, _ in a.values()) > 15
    for name, (times, ids) in a.items():
        assert np.array_equal(b[name][1], ids) and b[name][0] == pytest.approx(times, rel=1e-10)
    again = to_nir(again, spike_area=area, structure_only=True)
    for name in ("E", "C"):
        for key, value in vars(graph.nodes[name]).items():
            if isinstance(value, np.ndarray):
                assert getattr(again.nodes[name], key) == pytest.approx(value, rel=1e-14), key


def test_weights_of_the_graph_are_those_of_the_network():
    net = recurrent()
    graph = to_nir(net)
    p = net.projections[0]
    assert np.array_equal(graph.nodes["weights_0"].weight[p.targets, p.sources], p.weight)
    back = from_nir(graph, seed=1).projections
    assert next(q for q in back if q.pre.name == "in").weight == pytest.approx(p.weight, rel=1e-15)


def test_nodes_and_ends():
    graph = to_nir(recurrent(1.5))
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert (kinds["in"], kinds["E"], kinds["C"], kinds["delay_0"]) == ("Input", "LIF", "CubaLIF", "Delay")
    assert [name for name, kind in kinds.items() if kind == "Output"] == ["output_E", "output_C"]  # a circle
    net = recurrent()
    assert "output_E" not in to_nir(net, outputs=["C"]).nodes and "output_C" in to_nir(net, outputs=["C"]).nodes
    assert graph.nodes["delay_0"].delay.tolist() == [0.0015] * 3
    assert graph.nodes["E"].v_leak == pytest.approx(np.full(4, 0.3))


# What a graph means --------------------------------------------------------------------------------------------------


def in_steps(graph, h, duration):
    """Spikes of the node "n" by NIR's own equations in steps of h s, in which an input spike is 1/h for a step."""
    node, W, b = graph.nodes["n"], np.asarray(graph.nodes["w"].weight), np.asarray(graph.nodes["w"].bias)
    n = len(node.v_threshold)
    v = np.where(node.v_leak < node.v_threshold, node.v_leak, node.v_reset)
    I, found = np.zeros(n), []
    arrivals = np.rint(np.array(INPUT[0]) * 1e-3 / h).astype(int)
    for k in range(round(duration / h)):
        S = np.bincount(np.array(INPUT[1])[arrivals == k], minlength=3) / h
        if isinstance(node, nir.CubaLIF):
            I += h / node.tau_syn * (node.w_in * (W @ S + b) - I)
            v += h / node.tau_mem * (node.v_leak - v + node.r * I)
        else:
            v += h / node.tau * (node.v_leak - v + node.r * (W @ S + b))
        fired = v > node.v_threshold
        v[fired] = node.v_reset[fired]
        found += [(k * h * 1e3, i) for i in np.flatnonzero(fired)]
    return found


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_nir_s_own_equations(kind):
    """With a bias, other resistances, and a reset."""
    shared = {"r": np.array([2.0, 1.5]), "v_leak": np.array([1.15, -0.1]), "v_threshold": np.array([1.0, 0.9]),
              "v_reset": np.array([-0.1, 0.05])}  # fmt: skip
    if kind == "LIF":
        node = nir.LIF(tau=np.array([0.01, 0.02]), **shared)
        W = np.array([[3e-3, 2e-3, 4e-3], [5e-3, 8e-3, 2e-3]])
    else:
        tau = {"tau_mem": np.array([0.01, 0.02]), "tau_syn": np.array([3e-3, 5e-3])}
        node = nir.CubaLIF(**tau, w_in=np.array([0.7, 1.3]), **shared)
        W = np.array([[9e-3, 5e-3, 8e-3], [9e-3, 8e-3, 7e-3]])
    b = np.array([0.2, 0.15])
    nodes = {"in": nir.Input({"input": np.array([3])}), "w": nir.Affine(W, b), "n": node,
             "out": nir.Output({"output": np.array([2])})}  # fmt: skip
    graph = nir.NIRGraph(nodes, [("in", "w"), ("w", "n"), ("n", "out")])
    times, ids = spikes(from_nir(graph, spikes={"in": sp.SpikeSource(*INPUT)}, seed=1))["n"]
    assert set(ids) == {0, 1}
    gaps = []
    for h in (1e-5, 1e-6):
        steps, who = np.array(in_steps(graph, h, 0.04)).T
        gaps.append(distance((steps, who), times, ids))
    assert len(ids) > 6 and gaps[1] < 0.03 and gaps[1] < 0.2 * gaps[0], gaps


def distance(found, times, ids):
    """Of spikes (times, ids), neuron by neuron."""
    assert sorted(found[1]) == sorted(ids.tolist())
    return max(np.abs(np.sort(found[0][found[1] == i]) - times[ids == i]).max() for i in set(ids.tolist()))


def input_rows(h, duration):
    """The spikes of INPUT in steps of h ms."""
    rows = np.zeros((round(duration / h), 1, 3), np.float32)
    rows[np.rint(np.array(INPUT[0]) / h).astype(int), 0, INPUT[1]] = 1.0
    return rows


def snntorch_layers(torch, snn, kind, h):
    """Two layers with a step of h ms, the first one recurrent; weights as in continuous time."""
    beta, alpha = 1.0 - h / 10.0, 1.0 - h / 3.0
    W = np.random.default_rng(5).uniform(0.3, 0.9, (4, 3))
    R = 0.1 * np.random.default_rng(6).normal(size=(4, 4))
    U = np.random.default_rng(7).uniform(0.4, 0.7, (2, 4))
    to_current = h / 3.0  # a step of a current adds it to V; in all, a spike adds w tau_syn / h steps of it
    common = {"reset_mechanism": "zero", "init_hidden": True}
    of = {"beta": torch.full((4,), beta), "linear_features": 4} | common
    last = {"beta": torch.full((2,), beta), "threshold": torch.ones(2), "output": True} | common
    if kind == "leaky":  # driven by a bias and inhibited: kicks in the step after a spike are lost to the reset there
        first, second = snn.RLeaky(**of), snn.Synaptic(alpha=torch.full((2,), alpha), **last)
        W, R, U, bias = -0.1 * W, -0.3 * np.abs(R) * (1.0 - np.eye(4)), U * to_current * 3.0, 0.2 * h
    else:
        first, second = snn.RSynaptic(alpha=torch.full((4,), alpha), **of), snn.Leaky(**last)
        W, R, bias = 2.5 * W * to_current, R * to_current, 0.02 * h * to_current
    into, between = torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(4, 2)
    with torch.no_grad():
        into.weight[:], between.weight[:], between.bias[:] = torch.tensor(W), torch.tensor(U), 0.0
        first.recurrent.weight[:], first.recurrent.bias[:] = torch.tensor(R), bias
    return into, first, between, second


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["leaky", "synaptic"])
def test_graphs_of_snntorch(kind):
    """Its exporter takes the step for 0.1 ms, so that a smaller one makes everything last longer."""
    torch = pytest.importorskip("torch", reason=SNNTORCH)
    snn = pytest.importorskip("snntorch", reason=SNNTORCH)
    from snntorch.export_nir import export_to_nir

    gaps, duration = [], 32.0
    for h in (0.05, 0.0125, 0.003125):
        layers = snntorch_layers(torch, snn, kind, h)
        graph = export_to_nir(torch.nn.Sequential(*layers), torch.zeros(1, 3), ignore_dims=[0])
        given = {"input": sp.SpikeSource(np.array(INPUT[0]) * 0.1 / h, INPUT[1])}
        net = from_nir(graph, dialect="snntorch", spikes=given, seed=1)
        fired = []
        with torch.no_grad():
            for k, row in enumerate(torch.tensor(input_rows(h, duration))):
                one = layers[1](layers[0](row))
                one = one[0] if isinstance(one, tuple) else one
                two = layers[3](layers[2](one))[0]
                fired += [("1", k, i) for i in one[0].nonzero()[:, 0].tolist()]
                fired += [("3", k, i) for i in two[0].nonzero()[:, 0].tolist()]
        ours = spikes(net, duration * 0.1 / h)
        ours = {name.partition(".")[0]: (times * h / 0.1, ids) for name, (times, ids) in ours.items()}
        gaps.append(largest_distance(fired, h, ours))
    assert gaps[2] < 0.1 and gaps[2] < 0.5 * gaps[1] < 0.25 * gaps[0], gaps


def largest_distance(fired, h, ours):
    """Of the first spikes of each neuron of both layers, in ms: an error of a step adds up from spike to spike."""
    gaps = []
    for name, (times, ids) in ours.items():
        for i in range(4 if name == "1" else 2):
            mine = times[ids == i][:-1][:4]  # the last one may be cut off there
            theirs = np.array([k * h for layer, k, who in fired if (layer, who) == (name, i)])
            assert 1 <= len(mine) <= len(theirs)
            gaps.append(np.abs(theirs[: len(mine)] - mine).max())
    return max(gaps)


@pytest.mark.filterwarnings("ignore")
def test_graphs_of_norse():
    torch = pytest.importorskip("torch", reason=NORSE)
    norse = pytest.importorskip("norse.torch", reason=NORSE)
    from norse.torch.utils.export_nir import to_nir as norse_to_nir

    W = np.random.default_rng(5).uniform(1.0, 3.0, (4, 3))
    U = np.random.default_rng(7).uniform(0.2, 0.5, (2, 4))
    gaps, duration = [], 32.0
    for h in (0.05, 0.0125, 0.003125):
        dt = h * 1e-3
        p = norse.LIFParameters(tau_mem_inv=torch.tensor(100.0), tau_syn_inv=torch.tensor(250.0))
        q = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(50.0))
        net = norse.SequentialState(
            torch.nn.Linear(3, 4, bias=False), norse.LIFCell(p, dt=dt),
            torch.nn.Linear(4, 2, bias=False), norse.LIFBoxCell(q, dt=dt),
        )  # fmt: skip
        with torch.no_grad():
            net[0].weight[:] = torch.tensor(W)
            net[2].weight[:] = torch.tensor(U * 0.02 / dt)  # a current for a step
        graph = norse_to_nir(net, torch.zeros(1, 3), dt=dt)
        ours = from_nir(graph, dialect="norse", step=dt, spikes={"input": sp.SpikeSource(*INPUT)}, seed=1)
        fired = []
        states = [None, None]
        with torch.no_grad():
            for k, row in enumerate(torch.tensor(input_rows(h, duration))):
                one, states[0] = net[1](net[0](row), states[0])
                two, states[1] = net[3](net[2](one), states[1])
                fired += [("1", k, i) for i in one[0].nonzero()[:, 0].tolist()]
                fired += [("3", k, i) for i in two[0].nonzero()[:, 0].tolist()]
        gaps.append(largest_distance(fired, h, spikes(ours, duration)))
    assert gaps[2] < 0.1 and gaps[2] < 0.5 * gaps[1] < 0.25 * gaps[0], gaps
    with pytest.warns(UserWarning, match="no plausible time constant: if Norse or snnTorch"):
        from_nir(graph, seed=1)


def lif_of(tau, r):
    """Two neurons with v_leak 0, threshold 1 and reset 0."""
    return nir.LIF(*(np.full(2, x) for x in (tau, r, 0.0, 1.0, 0.0)))


def test_graphs_within_graphs():
    """As recurrent layers of snnTorch are, without snnTorch."""
    inner = nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([2])}), "lif": lif_of(0.01, 0.01),
            "w_rec": nir.Affine(np.array([[0.0, 0.3], [0.2, 0.1]]), np.array([0.5, 1.0])),
            "output": nir.Output({"output": np.array([2])}),
        },
        edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )  # fmt: skip
    nodes = {"in": nir.Input({"input": np.array([3])}), "w": nir.Linear(np.arange(6.0).reshape(2, 3)), "1": inner,
             "out": nir.Output({"output": np.array([2])})}  # fmt: skip
    net = from_nir(nir.NIRGraph(nodes, [("in", "w"), ("w", "1"), ("1", "out")]), seed=1)
    assert [p.name for p in net.populations] == ["in", "1.lif"]
    into, back = net.projections
    assert (into.n_synapses, back.n_synapses) == (5, 3) and net.populations[1].model.I_e.tolist() == [0.005, 0.01]
    assert sorted(zip(back.sources, back.targets, back.weight.round(12), strict=True)) == [
        (0, 1, 0.2), (1, 0, 0.3), (1, 1, 0.1)
    ]  # fmt: skip


def test_sizes_by_the_matrices_beside():
    """Where parameters are numbers, as Norse writes them."""
    node = nir.LIF(*(np.array(x) for x in (0.01, 0.01, 0.0, 1.0, 0.0)))
    nodes = {"in": nir.Input({"input": np.array([3])}), "w": nir.Linear(np.ones((5, 3))), "n": node}
    net = from_nir(nir.NIRGraph(nodes, [("in", "w"), ("w", "n")], type_check=False), seed=1)
    assert (net.populations[1].n, net.populations[1].model.tau_m) == (5, 10.0)


# What is refused -----------------------------------------------------------------------------------------------------


def one(model=None, **options):
    net = sp.Network(seed=1)
    return net, net.add(3, model or sp.LIF(tau_m=10.0), name="E", **options)


def test_what_nir_cannot_express_is_named():
    net, E = one(sp.LIF(tau_m=10.0, t_ref=2.0), V=0.5)
    net.drive(E, sp.poisson(5.0), weight=0.1)
    net.add(2, sp.QIF(tau_m=10.0), name="Q")
    net.add(2, sp.LIFExp(tau_m=10.0, tau_syn=(1.0, 2.0)), name="X")
    net.add(2, sp.PoissonSource(5.0), name="P")
    net.connect(E, E, sp.fixed_outdegree(1), weight=0.1, delay=sp.uniform(1.0, 2.0))
    net.connect(E, E, sp.fixed_outdegree(1, procedural=True), weight=0.1)
    with pytest.raises(ParameterError) as caught:
        to_nir(net)
    for reason in ("'E': refractory periods", "'E': initial states; structure_only=True", "the drive of 'E'",
                   "'Q': QIF neurons", "'X': several synaptic currents", "'P': a PoissonSource",
                   "delays that differ between synapses", "procedural synapses"):  # fmt: skip
        assert reason in str(caught.value)
    with pytest.raises(ParameterError, match="net must be a Network, got 3"):
        to_nir(3)
    net, _ = one(V=0.5)
    assert "E" in to_nir(net, structure_only=True).nodes


def test_matrices_that_do_not_fit(monkeypatch):
    from sparseprop.interop import nir_export

    monkeypatch.setattr(nir_export, "available_memory", lambda: 10)
    net, E = one()
    net.connect(E, E, sp.fixed_outdegree(1), weight=0.1)
    with pytest.raises(sp.errors.InsufficientMemoryError, match="matrices of the projections take"):
        to_nir(net)


def graph_of(edges=None, **nodes):
    ends = {
        "in": nir.Input({"input": np.array([2])}),
        "n": lif_of(0.01, 1.0),
    }
    names = ["in", *nodes, "n"]
    edges = edges or list(zip(names, names[1:], strict=False))
    return nir.NIRGraph(ends | nodes, edges, type_check=False)


def test_what_cannot_be_expressed_here_is_named(tmp_path):
    I = np.eye(2)
    cases = [
        (graph_of(li=nir.LI(np.ones(2), np.ones(2), np.ones(2))), "'li' .LI.; they cannot be expressed here"),
        (graph_of(d=nir.Delay(np.array([1e-3, 2e-3]))), "node 'd' has delays that differ"),
        (graph_of(w=nir.Linear(np.ones((2, 3)))), "weights from 'in' to 'n' must have the shape"),
        (graph_of(w=nir.Linear(np.ones((3, 2)))), "size of node 'n' is not the same everywhere"),
        (graph_of(a=nir.Linear(I), b=nir.Linear(I), edges=[("in", "a"), ("a", "b"), ("b", "a"), ("b", "n")]),
         "a circle without neurons"),
        (graph_of(a=nir.Linear(I), edges=[("in", "a"), ("a", "x")]), "of a node that it does not have"),
        (nir.NIRGraph({"in": nir.Input({"input": np.array([2])}), "out": nir.Output({"output": np.array([2])})},
                      [("in", "out")]), "no LIF or CubaLIF neurons"),
        (3, "graph must be a nir.NIRGraph, or the path of one, got 3"),
    ]  # fmt: skip
    for graph, message in cases:
        with pytest.raises(ParameterError, match=message):
            from_nir(graph, seed=1)
    good = graph_of(w=nir.Linear(I))
    for options, message in (
        ({"dialect": "nor"}, "unknown dialect of NIR: 'nor' .*'norse'"),
        ({"step": 1e-3}, "step is for dialects of others"),
        ({"dialect": "norse", "spike_area": 0.1}, "spike_area is for dialect='nir'"),
        ({"spike_area": 0.0}, "spike_area must be a finite time > 0 in s"),
        ({"spikes": {"x": None}}, "unknown Input in spikes: 'x'"),
    ):
        with pytest.raises(ParameterError, match=message):
            from_nir(good, seed=1, **options)
    (tmp_path / "a.nir").write_text("nothing")
    with pytest.raises(FileFormatError, match=r"a\.nir is no file of NIR"):
        from_nir(tmp_path / "a.nir", seed=1)


def test_implausible_time_constants():
    node = lif_of(1e-5, 1.0)
    nodes = {"in": nir.Input({"input": np.array([2])}), "w": nir.Linear(np.eye(2)), "n": node}
    graph = nir.NIRGraph(nodes, [("in", "w"), ("w", "n")])
    with pytest.warns(UserWarning, match="tau of node 'n' is 1e-05 s, which is no plausible time constant"):
        from_nir(graph, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_nir(graph, dialect="norse", seed=1).populations[1].model.tau_m == pytest.approx(10.0)


def test_without_nir(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    for call in (lambda: to_nir(one()[0]), lambda: from_nir("a.nir")):
        with pytest.raises(ImportError, match=r"nir needs nir: run `pip install .*\[nir\]"):
            call()
