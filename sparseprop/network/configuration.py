"""Networks as tables: what a configuration file or :meth:`Network.to_dict` has."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .. import inputs
from ..connectivity import rule_from_dict
from ..errors import ParameterError, shown, unknown_name
from ..models import MODELS, uniform_phase

if TYPE_CHECKING:
    from typing import Any

    from .._types import Communicator
    from .network import Network

__all__ = ["ENTRIES", "network_from_dict"]

SOURCES = ("SpikeSource", "PoissonSource")

# Tables of a configuration: the entries that each must have, and those that it may have.
ENTRIES = {
    "network": (["populations"], ["seed", "projections", "drives"]),
    "populations": (["n", "model"], ["name", "V", "phase", "I_syn"]),
    "projections": (["pre", "post", "rule"], ["weight", "delay", "port", "allow_autapses", "allow_multapses"]),
    "drives": (["population", "input"], ["weight", "port"]),
}


def network_from_dict(kind: type[Network], d: Any, comm: Communicator | None = None) -> Network:
    """The network of a kind, :class:`~sparseprop.Network`, that a dictionary describes."""
    _check_keys(d, "the network", *ENTRIES["network"])
    net = kind(d.get("seed"), comm)
    for k, entry in enumerate(_list_of_tables(d["populations"], "populations")):
        _check_keys(entry, f"populations[{k}]", *ENTRIES["populations"])
        entry = dict(entry)
        if isinstance(entry.get("V"), str) and entry["V"] == "uniform_phase":
            entry["V"] = uniform_phase()
        net.add(entry.pop("n"), _model_from_dict(entry.pop("model"), f"populations[{k}].model"), **entry)
    for k, entry in enumerate(_list_of_tables(d.get("projections", []), "projections")):
        _check_keys(entry, f"projections[{k}]", *ENTRIES["projections"])
        entry = dict(entry)
        net.connect(entry.pop("pre"), entry.pop("post"), rule_from_dict(entry.pop("rule")), **entry)
    for k, entry in enumerate(_list_of_tables(d.get("drives", []), "drives")):
        _check_keys(entry, f"drives[{k}]", *ENTRIES["drives"])
        entry = dict(entry)
        net.drive(entry.pop("population"), inputs.input_from_dict(entry.pop("input")), **entry)
    return net


def _list_of_tables(value, name):
    if not isinstance(value, (list, tuple)) or not all(isinstance(entry, dict) for entry in value):
        raise ParameterError(f"{name} must be a list of tables, got {shown(value)}")
    return value


def _check_keys(table, name, required, optional):
    """Every required key there, and no other than the optional ones besides."""
    if not isinstance(table, dict):
        raise ParameterError(f"{name} must be a table (dict), got {shown(table)}")
    for key in table:
        if key not in required + optional:
            raise unknown_name(f"entry of {name}", key, required + optional)
    for key in required:
        if key not in table:
            raise ParameterError(f"{name} has no entry {shown(key)}; it needs {', '.join(required)}")


def _model_from_dict(d, name):
    """The neuron model of a configuration's table."""
    if not isinstance(d, dict) or "name" not in d:
        raise ParameterError(f"{name} must be a table with the model's name and parameters, got {shown(d)}")
    if isinstance(d["name"], str) and d["name"] in SOURCES:
        return inputs.source_from_dict(d)
    if not isinstance(d["name"], str) or d["name"] not in MODELS:
        raise unknown_name("neuron model", d["name"], [*MODELS, *SOURCES])
    parameters = {key: value for key, value in d.items() if key != "name"}
    model = MODELS[d["name"]]
    required = [field.name for field in dataclasses.fields(model) if field.default is dataclasses.MISSING]
    optional = [field.name for field in dataclasses.fields(model) if field.name not in required]
    _check_keys(parameters, name, required=required, optional=optional)
    return model(**parameters)
