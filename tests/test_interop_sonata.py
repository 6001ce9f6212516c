"""Networks to and from SONATA circuits, which libsonata reads: the same spikes."""

import json

import h5py
import libsonata
import numpy as np
import pytest

import sparseprop as sp
from sparseprop.errors import FileFormatError, ParameterError, StorageError
from sparseprop.interop import read_sonata_network, write_sonata_network


def circuit(source=False):
    net = sp.Network(seed=1)
    E = net.add(30, sp.LIF(tau_m=np.linspace(9.0, 11.0, 30), I_e=1.2, t_ref=1.0), name="E")
    I = net.add(8, sp.LIFExp(tau_m=10.0, tau_syn=(2.0, np.full(8, 3.0)), I_e=1.1), name="I")
    net.add(3, sp.QIF(tau_m=10.0, I_e=0.5), name="Q")
    net.connect(E, I, sp.fixed_indegree(4), weight=sp.normal(0.1, 0.02), delay=sp.uniform(1.0, 2.0), port=1)
    net.connect(E, I, sp.fixed_indegree(2), weight=0.03, delay=0.5)
    net.connect(I, E, np.random.default_rng(1).normal(size=(30, 8)) * (np.arange(240).reshape(30, 8) % 3 == 0) * 0.02)
    net.connect(E, E, sp.edges([0, 0, 5], [0, 0, 5]), weight=[0.1, 0.2, 0.3], allow_autapses=True, allow_multapses=True)
    if source:
        src = net.add(4, sp.SpikeSource([1.0, 2.0], [0, 3]), name="in")
        net.connect(src, E, sp.all_to_all(), weight=0.1)
    return net


def test_the_same_spikes(tmp_path):
    net = circuit()
    write_sonata_network(net, tmp_path / "c")
    again = read_sonata_network(tmp_path / "c", seed=net.seed)
    a, b = net.run(100.0, seed=3), again.run(100.0, seed=3)
    assert [p.name for p in again.populations] == ["E", "I", "Q"]
    for p in net.populations:
        q = next(q for q in again.populations if q.name == p.name)
        for name in p.model.table:
            given, read = getattr(p.model, name), getattr(q.model, name)
            for one, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (given, read)), strict=True):
                assert np.array_equal(one, other), name
    assert len(a.times) > 100 and again.n_synapses == net.n_synapses
    assert np.array_equal(a.times, b.times) and np.array_equal(a.ids, b.ids)


def test_libsonata_reads_nodes_and_edges(tmp_path):
    net = circuit()
    write_sonata_network(net, tmp_path)
    config = libsonata.CircuitConfig.from_file(str(tmp_path / "circuit_config.json"))
    assert config.node_populations == {"E", "I", "Q"}
    assert config.edge_populations == {"E_to_I", "E_to_I_1", "I_to_E", "E_to_E"}
    nodes = config.node_population("E")
    assert len(nodes) == 30
    tau = nodes.get_dynamics_attribute("tau_m", nodes.select_all())
    assert np.array_equal(tau, net.populations[0].model.tau_m)
    edges = config.edge_population("E_to_I")
    every, p = edges.select_all(), net.projections[0]
    assert (edges.source, edges.target) == ("E", "I")
    assert np.array_equal(edges.source_nodes(every), p.sources) and np.array_equal(edges.target_nodes(every), p.targets)
    assert np.array_equal(edges.get_attribute("syn_weight", every), p.weight)
    assert np.array_equal(edges.get_attribute("delay", every), p.delay)
    assert set(edges.get_attribute("port", every)) == {1}


def test_sources_become_virtual_nodes(tmp_path):
    net = circuit(source=True)
    with pytest.raises(ParameterError, match="no place for the spikes of the source 'in'; give structure_only=True"):
        write_sonata_network(net, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    write_sonata_network(net, tmp_path / "c", structure_only=True)
    again = read_sonata_network(tmp_path / "c", seed=1)
    assert next(p for p in again.populations if p.name == "in").is_source
    given = {"in": sp.SpikeSource([1.0, 2.0], [0, 3])}
    again = read_sonata_network(tmp_path / "c", given, seed=1)
    assert next(p for p in again.populations if p.name == "in").model is given["in"]


def of_others(folder, n=5, **changes):
    """A circuit as others write it: constants by type, no groups, names of variables in the manifest."""
    folder.mkdir()
    with h5py.File(folder / "n.h5", "w") as file:
        file["nodes/cortex/node_type_id"] = np.array([100] * (n - 1) + [101])
    with h5py.File(folder / "e.h5", "w") as file:
        group = file.create_group("edges/cortex_cortex")
        for end, ids in (("source", [0, 1, 2, 0]), ("target", [1, 2, 3, 4])):
            group[f"{end}_node_id"] = np.array(ids, np.uint64)
            group[f"{end}_node_id"].attrs["node_population"] = np.bytes_("cortex")
        group["edge_type_id"] = np.array([7, 7, 8, 8])
        if "groups" in changes:
            group["edge_group_id"] = np.array([0, 0, 1, 1])
    (folder / "nt.csv").write_text(
        'node_type_id model_type model_template ei\n100 point_neuron "nest:iaf_psc_delta" e\n'
        "101 point_neuron nest:iaf_psc_delta i\n"
    )
    (folder / "et.csv").write_text(changes.get("types", "edge_type_id syn_weight delay\n7 0.5 1.5\n8 -2.0 2.5\n"))
    networks = {
        "nodes": [{"nodes_file": "$NET/n.h5", "node_types_file": "${NET}/nt.csv"}],
        "edges": [{"edges_file": "$NET/e.h5", "edge_types_file": "$NET/et.csv"}],
    }
    content = {"manifest": {"$NET": "$BASE/.", "$BASE": "."}, "networks": networks}
    (folder / "config.json").write_text(json.dumps(content))
    return folder / "config.json"


def test_circuits_of_others(tmp_path):
    config = of_others(tmp_path / "c")
    net = read_sonata_network(config, {"cortex": sp.LIF(tau_m=10.0)}, seed=1)
    (p,) = net.projections
    found = sorted(zip(p.sources.tolist(), p.targets.tolist(), p.weight.tolist(), p.delay.tolist(), strict=True))
    assert found == [(0, 1, 0.5, 1.5), (0, 4, -2.0, 2.5), (1, 2, 0.5, 1.5), (2, 3, -2.0, 2.5)]
    with pytest.raises(ParameterError, match="nodes 'cortex' are nest:iaf_psc_delta, which may mean anything"):
        read_sonata_network(config, seed=1)


def test_what_is_refused(tmp_path):
    model = {"cortex": sp.LIF(tau_m=10.0)}
    with pytest.raises(FileFormatError, match="in several groups"):
        read_sonata_network(of_others(tmp_path / "a", groups=True), model, seed=1)
    with pytest.raises(ParameterError, match="edges 'cortex_cortex' have no syn_weight"):
        read_sonata_network(of_others(tmp_path / "b", types="edge_type_id delay\n7 1.0\n8 2.0\n"), model, seed=1)
    with pytest.raises(ParameterError, match="models has 'x', and the circuit no such population"):
        read_sonata_network(of_others(tmp_path / "c"), model | {"x": model["cortex"]}, seed=1)
    with pytest.raises(ParameterError, match=r"models\['cortex'\] must be a neuron model or a source, got 3"):
        read_sonata_network(tmp_path / "c" / "config.json", {"cortex": 3}, seed=1)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(FileFormatError, match="no configuration of a SONATA circuit"):
        read_sonata_network(tmp_path / "x.json", seed=1)
    with pytest.raises(StorageError, match="cannot read"):
        read_sonata_network(tmp_path / "y.json", seed=1)
    (tmp_path / "c" / "e.h5").write_text("nothing")
    with pytest.raises(FileFormatError, match="damaged or incomplete"):
        read_sonata_network(tmp_path / "c" / "config.json", model, seed=1)
    with pytest.raises(ParameterError, match="net must be a Network, got 3"):
        write_sonata_network(3, tmp_path / "d")
    net = sp.Network(seed=1)
    E = net.add(5, sp.LIF(tau_m=10.0), name="E", V=0.5)
    net.drive(E, sp.poisson(5.0), weight=0.1)
    with pytest.raises(ParameterError, match="no place for the drive of 'E', V of 'E'"):
        write_sonata_network(net, tmp_path / "d")
    net.connect(E, E, sp.fixed_outdegree(2, procedural=True), weight=0.1)
    with pytest.raises(ParameterError, match="procedural synapses, which are not stored"):
        write_sonata_network(net, tmp_path / "d", structure_only=True)
    write_sonata_network(circuit(), tmp_path / "d")
    with pytest.raises(StorageError, match="it exists; give overwrite=True"):
        write_sonata_network(circuit(), tmp_path / "d")
    write_sonata_network(circuit(), tmp_path / "d", overwrite=True)
