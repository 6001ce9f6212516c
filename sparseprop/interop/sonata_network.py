"""Networks as SONATA circuits: nodes, edges, and the tables of their types."""

from __future__ import annotations

import csv
import json
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from .._validation import flag
from ..connectivity import ProceduralAdjacency, edges
from ..errors import FileFormatError, ParameterError, StorageError, named_arguments, shown
from ..files.storage import readable
from ..inputs import Source, SpikeSource
from ..models import MODELS, NeuronModel
from ..network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .._types import PathLike

__all__ = ["read_sonata_network", "write_sonata_network"]

_CONFIG, _NODES, _EDGES = "circuit_config.json", "nodes.h5", "edges.h5"
_NODE_TYPES, _EDGE_TYPES, _MODELS = "node_types.csv", "edge_types.csv", "models"
_TEMPLATE = "sparseprop:"
_WEIGHTS = ("syn_weight", "weight")


def _refuse_what_is_lost(net, structure_only):
    """What SONATA's nodes and edges have no place for, by name."""
    lost = [f"the drive of {drive.population.name!r}" for drive in net.drives]
    lost += [f"the spikes of the source {p.name!r}" for p in net.populations if p.is_source]
    lost += [f"V of {p.name!r}" for p in net.populations if p.V is not None]
    lost += [f"I_syn of {p.name!r}" for p in net.populations if p.I_syn is not None]
    if lost and not structure_only:
        raise ParameterError(
            f"SONATA's nodes and edges have no place for {', '.join(lost)}; give structure_only=True to leave that out "
            "(sources become virtual nodes)"
        )
    for p in net.projections:
        if isinstance(p.adjacency, ProceduralAdjacency):
            raise ParameterError(
                f"projection {p.pre.name!r} -> {p.post.name!r} has procedural synapses, which are not stored; connect "
                "with procedural=False"
            )


@named_arguments
def write_sonata_network(
    net: Network, folder: PathLike, *, structure_only: bool = False, overwrite: bool = False
) -> None:
    """Write a network as a SONATA circuit: ``circuit_config.json``, nodes, edges, and the tables of their types.

    Parameters
    ----------
    net : Network
    folder : path-like
        Is made if it does not exist.
    structure_only : bool
        Whether drives, spikes of sources and initial states may be left out, for which there is no place.
    overwrite : bool
        Whether files of a circuit that are there may be replaced.

    Raises
    ------
    ParameterError
        For what cannot be expressed: see `structure_only`; procedural synapses; models that no file can describe.
    StorageError
        If a file cannot be written, or is there.

    Notes
    -----
    Each projection becomes a population of edges with `syn_weight` (the weight, in your unit of voltage), `delay` (ms)
    and, for LIFExp neurons, `port`, in the order of the projection. Parameters of neurons are in ``models/NAME.json``,
    those with a value for each neuron in ``dynamics_params`` of the nodes; libsonata reads all of it.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import interop
    >>> net = sp.Network(seed=1)
    >>> cells = net.add(50, sp.LIF(tau_m=10.0, I_e=1.2), V=0.0, name="cells")
    >>> _ = net.connect(cells, cells, sp.fixed_outdegree(5), weight=-0.1, delay=1.5)
    >>> interop.write_sonata_network(net, "circuit", structure_only=True)
    """
    import h5py

    if not isinstance(net, Network):
        raise ParameterError(f"net must be a Network, got {shown(net)}")
    _refuse_what_is_lost(net, flag(structure_only, "structure_only"))
    folder = pathlib.Path(folder)
    described = {p.name: None if p.is_source else p.model.to_dict() for p in net.populations}
    if not flag(overwrite, "overwrite"):
        there = [name for name in (_CONFIG, _NODES, _EDGES) if (folder / name).exists()]
        if there:
            raise StorageError(f"cannot write {folder / there[0]}: it exists; give overwrite=True, or another folder")
    try:
        (folder / _MODELS).mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / _NODES, "w", libver=("v110", "v110")) as file:
            _head(file)
            rows = [_write_nodes(file, p, described[p.name], folder / _MODELS) for p in net.populations]
        _write_table(folder / _NODE_TYPES, ("node_type_id", "pop_name", "model_type", "model_template",
                                            "dynamics_params"), rows)  # fmt: skip
        with h5py.File(folder / _EDGES, "w", libver=("v110", "v110")) as file:
            _head(file)
            file.create_group("edges")
            names = _names_of(net.projections)
            for p, name in zip(net.projections, names, strict=True):
                _write_edges(file, p, name)
        _write_table(folder / _EDGE_TYPES, ("edge_type_id", "name"), [(0, "projection")])
        config = {
            "manifest": {"$BASE": "."},
            "components": {"point_neuron_models_dir": f"$BASE/{_MODELS}"},
            "networks": {
                "nodes": [
                    {
                        "nodes_file": f"$BASE/{_NODES}",
                        "node_types_file": f"$BASE/{_NODE_TYPES}",
                        "populations": {row[1]: {"type": row[2]} for row in rows},
                    }
                ],
                "edges": [
                    {
                        "edges_file": f"$BASE/{_EDGES}",
                        "edge_types_file": f"$BASE/{_EDGE_TYPES}",
                        "populations": {name: {"type": "chemical"} for name in names},
                    }
                ],
            },
        }
        (folder / _CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write the circuit in {folder}: {error}") from error


def _head(file):
    file.attrs.create("magic", 0x0A7A, dtype="<u4")
    file.attrs.create("version", [0, 1], dtype="<u4")


def _names_of(projections):
    """A name for each: of its populations, with a number behind it where there are several."""
    names = []
    for p in projections:
        name = f"{p.pre.name}_to_{p.post.name}"
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def _write_nodes(file, population, described, models):
    """The nodes of a population; the row of their type."""
    group, n = file.create_group(f"nodes/{population.name}"), population.n
    group["node_id"] = np.arange(n, dtype=np.uint64)
    group["node_type_id"] = np.full(n, population.index, np.int64)
    group["node_group_id"] = np.zeros(n, np.uint32)
    group["node_group_index"] = np.arange(n, dtype=np.uint64)
    own = group.create_group("0")
    if described is None:
        return population.index, population.name, "virtual", "NULL", "NULL"
    parameters = {}
    for name, value in described.items():
        if isinstance(value, np.ndarray):
            own.require_group("dynamics_params")[name] = value
        elif name != "name":
            parameters[name] = _plain(value, own, name)
    path = models / f"{population.name}.json"
    path.write_text(json.dumps(parameters, indent=2), encoding="utf-8")
    template = f"{_TEMPLATE}{described['name']}"
    return population.index, population.name, "point_neuron", template, path.name


def _plain(value, own, name):
    """A parameter as JSON; the arrays of ports become columns of nodes."""
    if isinstance(value, dict) and "ports" in value:
        parts = []
        for k, part in enumerate(value["ports"]):
            if isinstance(part, np.ndarray):
                own.require_group("dynamics_params")[f"{name}_{k}"] = part
                part = None
            parts.append(part)
        return {"ports": parts}
    return repr(value) if isinstance(value, float) and not np.isfinite(value) else value


def _write_edges(file, p, name):
    group, n = file.create_group(f"edges/{name}"), p.n_synapses
    for end, ids, population in (("source", p.sources, p.pre), ("target", p.targets, p.post)):
        nodes = group.create_dataset(f"{end}_node_id", data=np.asarray(ids, np.uint64))
        nodes.attrs["node_population"] = population.name
    group["edge_type_id"] = np.zeros(n, np.int64)
    group["edge_group_id"] = np.zeros(n, np.uint32)
    group["edge_group_index"] = np.arange(n, dtype=np.uint64)
    own = group.create_group("0")
    own["syn_weight"] = np.broadcast_to(np.asarray(p.weight, float), (n,))
    own["delay"] = np.broadcast_to(np.asarray(p.delay, float), (n,))
    if p.post.has_currents:
        own["port"] = np.full(n, p.port, np.int64)


def _write_table(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=" ", lineterminator="\n")
        writer.writerows([names, *rows])


# Reading ------------------------------------------------------------------------------------------------------------


@named_arguments
def read_sonata_network(path: PathLike, models: Mapping[str, Any] | None = None, *, seed: int | None = None) -> Network:
    """The network of a SONATA circuit: its nodes, and edges with weights and delays.

    Parameters
    ----------
    path : path-like
        The ``circuit_config.json``, or the folder that has it.
    models : dict, optional
        ``{population: model}``: neuron models or sources, for populations whose nodes were not written by
        :func:`write_sonata_network`. What other simulators' templates mean is not guessed. Virtual nodes without one
        become a :class:`sparseprop.SpikeSource` without spikes.
    seed : int, optional
        Of the network.

    Returns
    -------
    Network
        With a projection for each population of edges (and port); weights are ``syn_weight`` (or ``weight``), without
        conversion, and delays in ms, each of the edge or else of its type.

    Raises
    ------
    FileFormatError
        For files that are no circuit, and what of SONATA is not read: several groups within a population of edges.
    ParameterError
        For a population without a model, and a weight or delay that is not there.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import interop
    >>> net = sp.Network(seed=1)
    >>> cells = net.add(50, sp.LIF(tau_m=10.0, I_e=1.2), V=0.0, name="cells")
    >>> _ = net.connect(cells, cells, sp.fixed_outdegree(5), weight=-0.1, delay=1.5)
    >>> interop.write_sonata_network(net, "circuit_to_read", structure_only=True)
    >>> interop.read_sonata_network("circuit_to_read").n_synapses
    250
    """
    import h5py

    config = pathlib.Path(path)
    config = config / _CONFIG if config.is_dir() else config
    try:
        content = json.loads(pathlib.Path(readable(config)).read_text(encoding="utf-8"))
        networks, manifest = content["networks"], content.get("manifest", {})
    except (ValueError, KeyError, AttributeError) as error:
        raise FileFormatError(f"{config} is no configuration of a SONATA circuit: {error!r}") from error
    where = _Where(config.parent, manifest, content.get("components", {}))
    models, net = dict(models or {}), Network(seed)
    try:
        for entry in networks.get("nodes", ()):
            types = _read_table(where(entry.get("node_types_file")), "node_type_id")
            with h5py.File(readable(where(entry["nodes_file"])), "r") as file:
                for name, group in _ordered(entry, file["nodes"]):
                    n = len(group["node_type_id"])
                    net.add(n, _model_of(name, group, n, types, models, where), name=name)
        for entry in networks.get("edges", ()):
            types = _read_table(where(entry.get("edge_types_file")), "edge_type_id")
            with h5py.File(readable(where(entry["edges_file"])), "r") as file:
                for name, group in _ordered(entry, file["edges"]):
                    _connect(net, name, group, types)
    except (KeyError, OSError, AttributeError) as error:
        if isinstance(error, StorageError):
            raise
        raise FileFormatError(f"{config}: a file of the circuit is damaged or incomplete: {error}") from error
    for name in models:
        if name not in [p.name for p in net.populations]:
            raise ParameterError(f"models has {name!r}, and the circuit no such population of nodes")
    return net


def _ordered(entry, groups):
    """Names and groups of populations, in the order of the configuration where it has one."""
    names = list(entry.get("populations", ()))
    return [(name, groups[name]) for name in [*names, *(name for name in groups if name not in names)]]


class _Where:
    """Paths of a configuration, with the variables of its manifest."""

    def __init__(self, folder, manifest, components):
        self.folder, self.manifest = folder, manifest
        self.models = components.get("point_neuron_models_dir", _MODELS)

    def __call__(self, path):
        if path is None or path == "NULL":
            return None
        for _ in range(len(self.manifest) + 1):  # variables may stand for others
            for name, value in self.manifest.items():
                path = path.replace("${" + name.strip("$") + "}", value).replace("$" + name.strip("$"), value)
        return self.folder / path


def _read_table(path, key):
    """The rows of a table of types, by id."""
    if path is None:
        return {}
    with open(readable(path), newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter=" ", skipinitialspace=True)
        return {int(row[key]): row for row in rows}


def _model_of(name, group, n, types, models, where):
    if name in models:
        if not isinstance(models[name], (NeuronModel, Source)):
            raise ParameterError(f"models[{name!r}] must be a neuron model or a source, got {shown(models[name])}")
        return models[name]
    rows = [types.get(int(k), {}) for k in np.unique(group["node_type_id"][()])]
    kinds, templates = ({row.get(key, "NULL") for row in rows} for key in ("model_type", "model_template"))
    if kinds == {"virtual"}:
        return SpikeSource([], [])
    template = next(iter(templates), "NULL")
    if len(rows) != 1 or not template.startswith(_TEMPLATE):
        raise ParameterError(
            f"nodes {name!r} are {', '.join(sorted(map(str, templates)))}, which may mean anything here; give "
            f"models={{{name!r}: sp.LIF(...)}}"
        )
    kind = template.removeprefix(_TEMPLATE)
    if kind not in MODELS:
        raise FileFormatError(f"nodes {name!r} are of the model {kind!r}, which this version does not have")
    parameters = json.loads(pathlib.Path(where(where.models) / rows[0]["dynamics_params"]).read_text(encoding="utf-8"))
    own = group["0"].get("dynamics_params", {})
    for key, value in parameters.items():
        if isinstance(value, dict) and "ports" in value:
            parameters[key] = tuple(
                own[f"{key}_{k}"][()] if part is None else part for k, part in enumerate(value["ports"])
            )
        elif value in ("inf", "-inf"):
            parameters[key] = float(value)
    known = {key for key in MODELS[kind].table}
    parameters |= {key: own[key][()] for key in own if key in known}
    return MODELS[kind](**parameters)


def _connect(net, name, group, types):
    if "edge_group_id" in group and (group["edge_group_id"][()] != 0).any():
        raise FileFormatError(f"edges {name!r} are in several groups, which is not read; write them as one")
    ends = [group[f"{end}_node_id"] for end in ("source", "target")]
    pre, post = (_text(ids.attrs["node_population"]) for ids in ends)
    sources, targets = (ids[()].astype(np.int64) for ids in ends)
    own, n = group.get("0", {}), len(sources)
    place = group["edge_group_index"][()].astype(np.int64) if "edge_group_index" in group else np.arange(n)

    def values(names, default=None):
        for column in names:
            if column in own:
                return np.asarray(own[column][()], float)[place]
        kinds, which = np.unique(group["edge_type_id"][()], return_inverse=True)
        rows = [types.get(int(k), {}) for k in kinds]
        for column in names:
            if rows and all(row.get(column, "NULL") != "NULL" for row in rows):
                return np.array([float(row[column]) for row in rows])[which]
        if default is None and n:
            raise ParameterError(f"edges {name!r} have no {names[0]}, neither each nor by type")
        return np.full(n, 0.0 if default is None else default)

    weights, delays, ports = values(_WEIGHTS), values(("delay",), 0.0), values(("port",), 0.0)
    for port in np.unique(ports) if n else [0.0]:
        mine = ports == port
        net.connect(
            pre, post, edges(sources[mine], targets[mine]), weight=_one(weights[mine]), delay=_one(delays[mine]),
            allow_autapses=True, allow_multapses=True, port=int(port),
        )  # fmt: skip


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _one(values):
    """A number where all are the same."""
    return float(values[0]) if len(values) and (values == values[0]).all() else values if len(values) else 0.0
