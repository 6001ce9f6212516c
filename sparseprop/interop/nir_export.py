"""Networks as graphs of NIR, the Neuromorphic Intermediate Representation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._machine import available_memory
from .._validation import flag, real
from ..connectivity import ProceduralAdjacency
from ..errors import InsufficientMemoryError, ParameterError, named_arguments, shown
from ..exports.parts import imported
from ..inputs import SpikeSource
from ..models import LIF, LIFExp
from ..network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .._types import PopulationName
    from ..network import Network

__all__ = ["to_nir"]


@named_arguments
def to_nir(
    net: Network,
    *,
    spike_area: float = 1.0,
    outputs: Sequence[PopulationName] | None = None,
    structure_only: bool = False,
) -> Any:
    """The graph of a network of LIF and LIFExp neurons.

    Parameters
    ----------
    net : Network
        Of :class:`sparseprop.LIF` (which become nodes ``LIF``), :class:`sparseprop.LIFExp` with one port (``CubaLIF``),
        and :class:`sparseprop.SpikeSource` (``Input``; the spikes themselves are no part of a graph).
    spike_area : float
        What the integral over a spike is, in s: 1 for NIR's own equations, in which spikes are delta functions; the
        step (in s) of a simulator in which a spike is a current of 1 for a step. `r` and `w_in` are chosen so that the
        weights of the graph are those of the network.
    outputs : sequence of Population or str, optional
        Which populations have an ``Output``; default: those that project to nobody, or else all.
    structure_only : bool
        Whether given initial states may be left out, for which there is no place.

    Returns
    -------
    nir.NIRGraph
        Times in s, voltages in the network's unit, ``v_leak = E_L + I_e``; a matrix ``Linear`` for each projection, and
        before it a ``Delay`` where it has one.

    Raises
    ------
    ParameterError
        For what NIR cannot express, by name: other models, refractory periods, drives, several ports, delays that
        differ between the synapses of a projection, PoissonSource, procedural synapses.
    InsufficientMemoryError
        For matrices that do not fit into memory.
    ImportError
        Without nir: ``pip install "sparseprop-sim[nir]"``.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(3, sp.LIF(tau_m=10.0), name="E")
    >>> graph = sp.interop.to_nir(net)  # doctest: +SKIP
    """
    nir = imported("nir", "to_nir")
    if not isinstance(net, Network):
        raise ParameterError(f"net must be a Network, got {shown(net)}")
    spike_area = real(spike_area, "spike_area", "a finite time > 0 in s", low=0.0, low_open=True)
    _refuse(net, flag(structure_only, "structure_only"))
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    for p in net.populations:
        if p.is_source:
            nodes[p.name] = nir.Input(input_type={"input": np.array([p.n])})
        else:
            nodes[p.name] = _neurons(nir, p, spike_area)
    for k, projection in enumerate(net.projections):
        weights = np.zeros((projection.post.n, projection.pre.n))
        np.add.at(weights, (projection.targets, projection.sources), projection.weight)
        chain = [projection.pre.name]
        delay = float(np.max(projection.delay, initial=0.0))
        if delay > 0.0:
            nodes[f"delay_{k}"] = nir.Delay(delay=np.full(projection.pre.n, delay / 1e3))
            chain.append(f"delay_{k}")
        nodes[f"weights_{k}"] = nir.Linear(weight=weights)
        chain += [f"weights_{k}", projection.post.name]
        edges += list(zip(chain, chain[1:], strict=False))
    for p in _outputs(net, outputs):
        name = f"output_{p.name}"
        nodes[name] = nir.Output(output_type={"output": np.array([p.n])})
        edges.append((p.name, name))
    return nir.NIRGraph(nodes=nodes, edges=edges)


def _outputs(net, outputs):
    if outputs is not None:
        return [net._population(given, "outputs") for given in outputs]
    neurons = [p for p in net.populations if not p.is_source]
    last = [p for p in neurons if not any(q.pre is p and q.post is not p for q in net.projections)]
    return last or neurons


def _neurons(nir, p, area):
    def each(value):
        return np.array(np.broadcast_to(np.asarray(value, float), (p.n,)))

    model = p.model
    shared = {
        "v_leak": each(np.asarray(model.E_L) + np.asarray(model.I_e)),
        "v_threshold": each(model.V_th),
        "v_reset": each(model.V_reset),
    }
    tau = each(model.tau_m) / 1e3
    if isinstance(model, LIF):
        return nir.LIF(tau=tau, r=tau / area, **shared)
    tau_syn = each(model.time_constants[0]) / 1e3
    return nir.CubaLIF(tau_mem=tau, tau_syn=tau_syn, r=each(1.0), w_in=tau_syn / area, **shared)


def _refuse(net, structure_only):
    """What NIR has no place for, by name."""
    reasons = []
    for p in net.populations:
        where = f"population {p.name!r}"
        if p.is_source:
            if not isinstance(p.model, SpikeSource):
                reasons.append(f"{where}: a {type(p.model).__name__}; give its spikes as a SpikeSource")
            continue
        if type(p.model) not in (LIF, LIFExp):
            reasons.append(f"{where}: {type(p.model).__name__} neurons; NIR has LIF and CubaLIF (LIFExp)")
            continue
        if np.any(np.asarray(p.model.t_ref) > 0.0):
            reasons.append(f"{where}: refractory periods t_ref")
        if p.model.n_ports > 1:
            reasons.append(f"{where}: several synaptic currents; CubaLIF has one")
        if not structure_only and (p.V is not None or p.I_syn is not None):
            reasons.append(f"{where}: initial states; structure_only=True leaves them out")
    reasons += [f"the drive of {drive.population.name!r}: {drive.input!r}" for drive in net.drives]
    for p in net.projections:
        where = f"projection {p.pre.name!r} -> {p.post.name!r}"
        if isinstance(p.adjacency, ProceduralAdjacency):
            reasons.append(f"{where}: procedural synapses")
        elif isinstance(p.delay, np.ndarray) and p.delay.size and (p.delay != p.delay[0]).any():
            reasons.append(f"{where}: delays that differ between synapses; use one for each projection")
    if reasons:
        raise ParameterError(f"NIR has nothing for {'; '.join(reasons)}")
    needed, available = 8 * sum(p.pre.n * p.post.n for p in net.projections), available_memory()
    if needed > available:
        raise InsufficientMemoryError(
            f"NIR's matrices of the projections take {needed / 2**30:.3g} GiB, and {available / 2**30:.3g} GiB of "
            "memory are available; export a smaller network"
        )
