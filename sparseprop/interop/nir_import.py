"""Networks of graphs of NIR, the Neuromorphic Intermediate Representation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._validation import real
from ..errors import FileFormatError, ParameterError, named_arguments, shown, unknown_name, warn
from ..exports.parts import imported
from ..inputs import SpikeSource
from ..models import LIF, LIFExp
from ..network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal


__all__ = ["from_nir"]

_SHORT, _LONG = 0.1, 1e4  # ms, of plausible time constants


class _Dialect(NamedTuple):
    """What an exporter means: of its step in s, factor of time constants, and what a spike of weight 1 adds."""

    step: float
    tau: float  # time constants of the graph times this are s
    jumps: bool  # whether a spike adds w to the current of a CubaLIF, whatever tau_syn


def _dialect_of(name, spike_area, step):
    if name == "nir":
        if step is not None:
            raise ParameterError("step is for dialects of others; give spike_area, in s")
        return _Dialect(spike_area, 1.0, False)
    if spike_area != 1.0:
        raise ParameterError("spike_area is for dialect='nir'; give step, in s")
    if name == "snntorch":
        return _Dialect(1e-4 if step is None else step, 1.0, False)
    if name == "norse":
        step = 1e-3 if step is None else step
        return _Dialect(step, 1.0 / step, True)
    raise unknown_name("dialect of NIR", name, ("nir", "snntorch", "norse"))


@named_arguments
def from_nir(
    graph: Any,
    *,
    dialect: Literal["nir", "snntorch", "norse"] = "nir",
    spike_area: float = 1.0,
    step: float | None = None,
    spikes: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Network:
    """The network of a NIR graph of LIF and CubaLIF neurons, feed-forward or recurrent.

    Parameters
    ----------
    graph : nir.NIRGraph or path-like
        Or a file that ``nir.write`` wrote.
    dialect : {"nir", "snntorch", "norse"}
        Whose meaning the numbers have. "nir": that of NIR's equations. "snntorch": a spike is a current of 1 for a
        step, and its exporter takes steps of 0.1 ms. "norse": its exporter (1.1.0) gives time constants times the step,
        a spike adds its weight to the current of a CubaLIF as it is, and the reset is not in the graph, which is 0.
    spike_area : float
        With "nir", the integral over a spike in s: 1 for delta functions, the step of a simulator in which a spike is a
        current of 1 for a step.
    step : float, optional
        With the others, the step in s that the exporter took; default: theirs, 1e-4 and 1e-3.
    spikes : dict, optional
        ``{name of an Input: SpikeSource}``; default: sources without spikes (batches bring their own).
    seed : int, optional
        Of the network.

    Returns
    -------
    Network
        A population for each node of neurons and each Input, named as in the graph (with dots for graphs within it),
        and a projection for each way of matrices between two of them. Neurons begin at v_leak, or at v_reset where
        v_leak is not below threshold. A constant input (the bias of an ``Affine``) is in I_e; that of CubaLIF neurons
        rises with tau_syn, for which their I_syn begins below 0.

    Raises
    ------
    ParameterError
        For nodes that cannot be expressed, by name and kind, and for values that are not allowed.
    FileFormatError
        For a file that is none of NIR.
    ImportError
        Without nir: ``pip install "sparseprop-sim[nir]"``.

    Warns
    -----
    UserWarning
        For time constants below 0.1 ms or above 10 s: the graph probably means something else.

    Examples
    --------
    >>> from sparseprop import interop
    >>> net = interop.from_nir("graph.nir", dialect="snntorch")  # doctest: +SKIP
    """
    nir = imported("nir", "from_nir")
    spike_area = real(spike_area, "spike_area", "a finite time > 0 in s", low=0.0, low_open=True)
    if step is not None:
        step = real(step, "step", "a finite time > 0 in s", low=0.0, low_open=True)
    meaning = _dialect_of(dialect, spike_area, step)
    if isinstance(graph, (str, bytes, os.PathLike)):
        try:
            graph = nir.read(os.fsdecode(graph))
        except Exception as error:  # of HDF5, and of nir's own checks
            raise FileFormatError(f"{os.fsdecode(graph)} is no file of NIR: {error}") from error
    if not isinstance(graph, nir.NIRGraph):
        raise ParameterError(f"graph must be a nir.NIRGraph, or the path of one, got {shown(graph)}")
    return _Import(nir, graph, meaning).network(dict(spikes or {}), seed)


class _Import:
    """A graph, flat, with what it becomes."""

    def __init__(self, nir, graph, meaning):
        self.nir, self.meaning = nir, meaning
        self.nodes, self.edges = {}, []
        self._flatten(graph, "")
        self.after = {name: [] for name in self.nodes}
        self.before = {name: [] for name in self.nodes}
        for a, b in dict.fromkeys(self.edges):
            if a not in self.nodes or b not in self.nodes:
                raise ParameterError(f"the graph has an edge ({a!r}, {b!r}) of a node that it does not have")
            self.after[a].append(b)
            self.before[b].append(a)
        self.neurons = [name for name in self.nodes if isinstance(self.nodes[name], (nir.LIF, nir.CubaLIF))]
        self.inputs = [name for name in self.nodes if self._is_input(name)]
        self._refuse()

    def _flatten(self, graph, prefix):
        """Graphs within a graph become nodes of it; their Inputs and Outputs pass on what they get."""
        nir = self.nir
        inner = {name for name, node in graph.nodes.items() if isinstance(node, nir.NIRGraph)}
        for name, node in graph.nodes.items():
            if name in inner:
                self._flatten(node, f"{prefix}{name}.")
            else:
                self.nodes[prefix + name] = node
        for a, b in graph.edges:
            end = self._end(graph.nodes.get(a), nir.Output, prefix + a) if a in inner else prefix + a
            begin = self._end(graph.nodes.get(b), nir.Input, prefix + b) if b in inner else prefix + b
            self.edges.append((end, begin))

    def _end(self, graph, kind, where):
        ends = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
        if len(ends) != 1:
            raise ParameterError(f"the graph {where!r} has {len(ends)} nodes {kind.__name__}, and must have one")
        return f"{where}.{ends[0]}"

    def _is_input(self, name):
        return isinstance(self.nodes[name], self.nir.Input) and not self.before[name]

    def _refuse(self):
        nir = self.nir
        passing = (nir.Linear, nir.Affine, nir.Delay, nir.Flatten, nir.Input, nir.Output, nir.LIF, nir.CubaLIF)
        others = [f"{name!r} ({type(n).__name__})" for name, n in self.nodes.items() if not isinstance(n, passing)]
        if others:
            raise ParameterError(
                f"the graph has nodes that are neither LIF nor CubaLIF neurons nor matrices or delays: "
                f"{', '.join(others)}; they cannot be expressed here"
            )
        if not self.neurons:
            raise ParameterError("the graph has no LIF or CubaLIF neurons")

    # Sizes and parameters ---------------------------------------------------------------------------------------

    def _size(self, name):
        """How many neurons a node has: as its parameters, or the matrices beside it, say."""
        node = self.nodes[name]
        if name in self.inputs:
            return int(np.prod(np.asarray(next(iter(node.input_type.values())))))
        sizes = {_array(value).size for key, value in vars(node).items() if key in _PARAMETERS and value is not None}
        sizes -= {1}
        rows = {np.shape(self.nodes[a].weight)[0] for a in self.before[name] if hasattr(self.nodes[a], "weight")}
        columns = {np.shape(self.nodes[b].weight)[1] for b in self.after[name] if hasattr(self.nodes[b], "weight")}
        found = sizes | rows | columns
        if len(found) > 1:
            raise ParameterError(f"the size of node {name!r} is not the same everywhere: {sorted(found)}")
        return int(found.pop()) if found else 1

    def _each(self, name, key, n):
        value = getattr(self.nodes[name], key)
        value = np.zeros(()) if value is None else _array(value)
        return np.array(np.broadcast_to(value.reshape(-1) if value.size > 1 else value.reshape(()), (n,)))

    def _model(self, name, n, bias):
        """The model, what a spike of weight 1 adds, the initial V and I_syn."""
        nir, node, meaning = self.nir, self.nodes[name], self.meaning

        def of(key):
            return self._each(name, key, n)

        leak, threshold, reset = of("v_leak"), of("v_threshold"), of("v_reset")
        shared = {"E_L": _one(leak), "V_th": _one(threshold), "V_reset": _one(reset)}
        V = np.where(leak < threshold, leak, reset)
        if isinstance(node, nir.LIF):
            tau = of("tau") * meaning.tau
            self._check(name, "tau", tau)
            drive = of("r") * bias
            model = LIF(tau_m=_one(tau * 1e3), I_e=_one(drive), **shared)
            return model, of("r") * meaning.step / tau, V, None
        tau, tau_syn = of("tau_mem") * meaning.tau, of("tau_syn") * meaning.tau
        self._check(name, "tau_mem", tau)
        self._check(name, "tau_syn", tau_syn)
        gain = of("r") * of("w_in") * (1.0 if meaning.jumps else meaning.step / tau_syn)
        drive = gain * tau_syn / meaning.step * bias
        model = LIFExp(tau_m=_one(tau * 1e3), tau_syn=_one(tau_syn * 1e3), I_e=_one(drive), **shared)
        return model, gain, V, -drive if drive.any() else None

    @staticmethod
    def _check(name, key, tau):
        odd = (tau * 1e3 < _SHORT) | (tau * 1e3 > _LONG)
        if odd.any():
            warn(
                f"{key} of node {name!r} is {float(tau[odd][0]):g} s, which is no plausible time constant: if Norse or "
                "snnTorch wrote the graph, give dialect= and its step",
                UserWarning,
            )

    # Ways -------------------------------------------------------------------------------------------------------

    def _ways(self, start, value, delay=0.0, path=()):
        """Targets of neurons, what comes there of a value (a matrix, or a constant input), and the delay."""
        nir = self.nir
        for name in self.after[start]:
            node, here, later = self.nodes[name], value, delay
            if name in self.neurons:
                yield name, value, delay
                continue
            if name in path:
                raise ParameterError(f"the graph has a circle without neurons, through {name!r}")
            if isinstance(node, (nir.Linear, nir.Affine)):
                weight = _array(node.weight)
                if weight.ndim != 2:
                    raise ParameterError(f"weights of node {name!r} must be a matrix, got shape {weight.shape}")
                here = weight if value is None else weight @ value
            elif isinstance(node, nir.Delay):
                delays = np.unique(_array(node.delay))
                if delays.size != 1:
                    raise ParameterError(
                        f"node {name!r} has delays that differ between neurons, which is not read; split it"
                    )
                later = delay + float(delays[0]) * 1e3
            yield from self._ways(name, here, later, (*path, name))

    def network(self, spikes, seed):
        net = Network(seed)
        sizes = {name: self._size(name) for name in [*self.inputs, *self.neurons]}
        bias = {name: np.zeros(sizes[name]) for name in self.neurons}
        for name, node in self.nodes.items():
            if isinstance(node, self.nir.Affine) and np.any(_array(node.bias)):
                for target, value, _ in self._ways(name, _array(node.bias)):
                    bias[target] = bias[target] + value
        for name in spikes:
            if name not in self.inputs:
                raise unknown_name("Input in spikes", name, self.inputs)
        for name in self.inputs:
            net.add(sizes[name], spikes.get(name, SpikeSource([], [])), name=name)
        gains = {}
        for name in self.neurons:
            model, gains[name], V, I_syn = self._model(name, sizes[name], bias[name])
            net.add(sizes[name], model, name=name, V=V, I_syn=I_syn)
        for name in [*self.inputs, *self.neurons]:
            for target, weights, delay in self._ways(name, None):
                matrix = np.eye(sizes[target]) if weights is None else weights
                if matrix.shape != (sizes[target], sizes[name]):
                    raise ParameterError(
                        f"weights from {name!r} to {target!r} must have the shape {(sizes[target], sizes[name])}, got "
                        f"{matrix.shape}"
                    )
                matrix = gains[target][:, None] * matrix
                net.connect(name, target, matrix, delay=delay, allow_autapses=True)
        return net


_PARAMETERS = ("tau", "tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in")


def _array(value):
    """Numbers of NIR as doubles: of arrays, numbers, and the tensors that exporters leave in a graph."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=float)


def _one(values):
    """A number where all are the same."""
    return float(values[0]) if (values == values[0]).all() else values
