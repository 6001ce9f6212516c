"""Gradients of losses on spike times and voltages: what comes out of a pass back, made of its sums."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from .. import _validation
from ..errors import GradientOverflowWarning, ParameterError, named_arguments, shown, warn
from ..models import PARAMETERS, TIME_CONSTANTS, WITHOUT_GRADIENT

if TYPE_CHECKING:
    from typing import Any

    from .._types import Floats
    from ..network import Network, Projection

__all__ = [
    "OVERFLOW",
    "GradientWarning",
    "Gradients",
    "assembled",
    "given_currents",
    "most_ports",
    "new_sums",
    "noted",
    "sums_by_projection",
    "with_more",
]


KINDS = {
    0: (
        "order swap",
        "a kick comes within {near:.2g} ms of a spike of its target: in the other order the result jumps",
    ),
    1: ("several causes", "independent events at one time drove it over threshold together"),
    2: ("at a step", "it was due exactly when its current changed"),
    3: ("grazing", "V only just reaches the threshold: a little less, and the spike is gone"),
    4: (
        "overflow",
        "from here back in time derivatives are beyond 1.8e308, and all that they come to is inf or NaN. They grow by "
        "the Lyapunov exponent in a chaotic network: take a shorter run, or a loss times 1e-300 or so, to which "
        "gradients are proportional",
    ),
}
OVERFLOW = 4


@named_arguments
@dataclass(frozen=True)
class GradientWarning:
    """Something that has no gradient.

    Attributes
    ----------
    kind : {"order swap", "several causes", "at a step", "grazing", "overflow"}
    neuron : int
        Global id. Of an overflow: whose spike, or initial state, has the first derivative that is no finite number, the
        first going back in time.
    where : str
        The neuron by population and local id.
    time : float
        ms.
    source : int or None
        Global id of the neuron whose spike it was.
    message : str
    sample : int or None
        Of a batch.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> model = sp.LIF(tau_m=10.0, I_e=1.5)
    >>> neuron = net.add(1, model, name="neuron", V=0.0)
    >>> source = net.add(1, sp.SpikeSource([model.free_period() - 1e-10], [0]), name="source")
    >>> p = net.connect(source, neuron, sp.all_to_all(), weight=-0.1)  # just before it would have fired
    >>> (warning,) = net.run(15.0, tape=True).backward([1.0]).warnings
    >>> warning.kind, warning.neuron
    ('order swap', 0)
    """

    kind: str
    neuron: int
    where: str
    time: float
    source: int | None
    message: str
    sample: int | None = None

    def __str__(self) -> str:
        by = "" if self.source is None else f", kicked by {self.source}"
        sample = "" if self.sample is None else f", sample {self.sample}"
        return f"{self.kind} of {self.where} at {self.time!r} ms{sample}{by}: {self.message}"


class ByProjection:
    """Values by projection: index with a Projection of the network or its number."""

    def __init__(self, network: Network, values: list[Any], missing: str) -> None:
        self._projections, self._values, self._missing = list(network.projections), values, missing

    def __getitem__(self, key: Projection | int) -> Any:
        same = [projection is key for projection in self._projections]
        if True in same:
            k = same.index(True)
        elif isinstance(key, tuple({type(projection) for projection in self._projections})):
            raise ParameterError(f"{shown(key)} is no projection of the network that was run")
        else:
            k = _validation.integer(
                key, "the number of a projection", f"a Projection, or a number in [0, {len(self._values)})",
                low=0, high=len(self._values) - 1,
            )  # fmt: skip
        if self._values[k] is None:
            raise ParameterError(self._missing)
        return self._values[k]

    def plus(self, values: list[Any]) -> ByProjection:
        """The same with a list of others added."""
        total = copy.copy(self)
        total._values = [mine + more for mine, more in zip(self._values, values, strict=True)]
        return total

    def __repr__(self) -> str:
        return f"[{', '.join(map(shown, self._values))}]"

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))


@named_arguments
class Gradients:
    """Derivatives of a loss with respect to everything that a run depends on.

    Arrays "of neurons" have one value for each global id, NaN where the model has no such parameter (and for sources).

    Attributes
    ----------
    weight : by projection, ndarray of shape (n_synapses,)
        In the order of the Projection; index with it or with its number.
    weight_sum : by projection, float
        The sum of these: the derivative for all weights of a projection together.
    delay : by projection, float or ndarray of shape (n_synapses,)
        As the delay of the projection is one number or one per synapse. At a delay of 0 it is that for a longer one.
    I_e, V, tau_m, V_th, V_peak, V_reset, E_L, V_T, slope, C_m, g_L, V_r, V_t, t_ref : ndarray of neurons
        V: of the state at the beginning of the run. Of parameters that neurons share, take the sum. An infinite V_peak
        or V_reset has the derivative 0.
    tau_syn, I_syn : ndarray of shape (n, ports)
        Of neurons with synaptic currents, one for each port; NaN where there is none. I_syn: of the currents at the
        beginning of the run.
    input_times : dict of ndarray
        For each SpikeSource, by name, one value for each of ``model.times``; NaN for spikes before `t_start`.
    drive_weight : dict of ndarray or float
        For each Poisson drive, by its number in ``net.drives``: one per neuron, or their sum where they share a weight.
    steps : dict of ndarray
        For each ``sp.steps`` drive, by its number, of the shape of its values.
    warnings : list of GradientWarning
        What has no gradient, or one that is no finite number (which is also a Python warning, a
        :class:`sparseprop.errors.GradientOverflowWarning`); `n_warnings` counts also those that the list is too short
        for.
    n_ties : int
        Instants in which independent events coincided exactly (in networks whose synapses between neurons all have a
        delay: how often inputs or neurons that fire by themselves did, and what reached one neuron). For LIF neurons
        the derivative is right nevertheless, if nothing is in `warnings`; of a QIF neuron that several of them kick, it
        is one between those on the two sides.
    t_start : float
        ms: the beginning of the run, or of what :class:`sparseprop.Truncated` has left of it.
    invariant_error : float
        What is left of a sum that is 0 because nothing changes if everything happens later, over its largest part; NaN
        after an overflow.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> neuron = net.add(1, sp.LIF(tau_m=10.0, I_e=1.5), name="neuron", V=0.0)
    >>> grads = net.run(15.0, tape=True).backward([1.0])  # of the time of the only spike
    >>> grads.I_e.round(6).tolist(), grads.V.round(6).tolist()
    ([-13.333333], [-6.666667])
    """

    weight: ByProjection
    weight_sum: ByProjection
    delay: ByProjection
    I_e: Floats
    V: Floats
    tau_m: Floats
    V_th: Floats
    V_peak: Floats
    V_reset: Floats
    E_L: Floats
    V_T: Floats
    slope: Floats
    rapidness: Floats
    C_m: Floats
    g_L: Floats
    V_r: Floats
    V_t: Floats
    t_ref: Floats
    tau_syn: Floats
    I_syn: Floats
    input_times: dict[str, Any]
    drive_weight: dict[int, Any]
    steps: dict[int, Floats]
    warnings: list[GradientWarning]
    n_warnings: int
    n_ties: int
    t_start: float
    invariant_error: float

    _cites = ("gradients",)

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __getattr__(self, name: str) -> NoReturn:
        if name in TIME_CONSTANTS:
            raise AttributeError(f"{name} was left out by backward(..., tau_m=False)")
        if name in WITHOUT_GRADIENT:
            raise AttributeError(
                f"the derivative with respect to {name} is not computed: the table of such a neuron is only "
                "differentiated by its drive. Take differences of runs"
            )
        raise AttributeError(f"Gradients have no attribute {name!r}")

    def __repr__(self) -> str:
        return (
            f"<Gradients of {len(self.I_e)} neurons and {len(self.weight_sum)} projections: {self.n_warnings} warnings>"
        )


def assembled(net, sums, I_syn, synapses, tau_m, **others):
    """The Gradients of a network.

    Parameters
    ----------
    net : Network
    sums : dict of ndarray
        Those of :func:`new_sums`, and of neurons besides: V; read, the sum of dL/dV of all readings; and I_e_times,
        dL/dI_e times I_e, each stretch with its own.
    I_syn : ndarray of shape (n, ports)
        dL/d(initial currents).
    synapses : tuple
        By weight and by delay, lists with an array or None for each projection, each followed by an array with its sum
        for each projection.
    tau_m : bool
        Whether the sums for tau_m were kept.
    others
        What else Gradients have.
    """
    values = of_neurons(net, sums) | {"tau_syn": of_ports(net, sums), "I_syn": I_syn}
    if not tau_m:
        values = without_time_constants(values)
    by_weight, weight_sums, by_delay, delay_sums = synapses
    delays = [total if array is None else array for total, array in zip(delay_sums.tolist(), by_delay, strict=True)]
    left_out = "weights were left out by backward(..., weights=False); weight_sum has their sums"
    return Gradients(
        **values,
        weight=ByProjection(net, by_weight, left_out),
        weight_sum=ByProjection(net, weight_sums.tolist(), ""),
        delay=ByProjection(net, delays, ""),
        **others,
    )


def with_more(gradients, *, weight, I_e, V, input_times):
    """The Gradients of a loss that also depends in other ways than by the run on what it is derived by.

    Only what the others are derivatives by stays.

    Parameters
    ----------
    gradients : Gradients
        By the run.
    weight : list of ndarray
        One for each projection.
    I_e, V : ndarray of neurons
    input_times : dict
        As in Gradients.
    """
    values = {name: value for name, value in vars(gradients).items() if name not in PARAMETERS}
    values |= {name: getattr(gradients, name) + I_e for name in ("I_e", "E_L")} | {"V": gradients.V + V}
    values["weight"] = gradients.weight.plus(weight)
    values["weight_sum"] = gradients.weight_sum.plus([float(by.sum()) for by in weight])
    values["input_times"] = {name: _plus(by, input_times[name]) for name, by in gradients.input_times.items()}
    return Gradients(**values)


def _plus(one, other):
    if isinstance(one, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return one + other


def new_sums(n, ports):
    """Where the compiled pass adds up derivatives for the parameters of n neurons."""
    sums = {name: np.zeros(n) for name in ("I_e", "tau_m", "threshold", "V_reset", "t_ref", "shape")}
    return sums | {"tau_syn": np.zeros(ports * n)}


def sums_by_projection(adjoint):
    """Of all weights, and of all delays of each projection: the sums of their derivatives, in the network's order."""
    order = np.argsort(adjoint.ranks, kind="stable")
    n = len(order)
    return np.asarray(adjoint.weight_sums)[:n][order], np.asarray(adjoint.delay_sums)[:n][order]


def given_currents(source):
    """I_e of each neuron of an EngineInput, for all global ids; 0 for sources."""
    currents = np.zeros(source.size)
    for p in source.populations:
        if p.kernel != "source":
            currents[p.first : p.first + p.size] = p.parameters["I_e"]
    return currents


def most_ports(net):
    """The largest number of synaptic currents that a population of the network has."""
    return max((p.model.n_ports for p in net.populations if p.has_currents), default=0)


def of_neurons(net, sums):
    """The derivatives by parameters of neurons, each for all global ids, from those by the engine's parameters."""
    n = net.size
    arrays = {name: np.full(n, np.nan) for name in (*PARAMETERS, "V")}
    for p in net.populations:
        if p.is_source:
            continue
        part = slice(p.first, p.first + p.n)
        own = {name: values[part] for name, values in sums.items() if name != "tau_syn"}
        for name, values in (p.model.gradients(own) | {"V": own["V"]}).items():
            arrays.setdefault(name, np.full(n, np.nan))[part] = values
    return arrays


def without_time_constants(values):
    """What is left of these derivatives if the sums for tau_m were not kept."""
    return {name: array for name, array in values.items() if name not in TIME_CONSTANTS}


def of_ports(net, sums):
    """The derivative for tau_syn for all global ids and ports."""
    values = sums["tau_syn"].reshape(most_ports(net), net.size).T
    array = np.full(values.shape, np.nan)
    for p in net.populations:
        if p.has_currents:
            array[p.first : p.first + p.n, : p.model.n_ports] = values[p.first : p.first + p.n, : p.model.n_ports]
    return array


def noted(net, near, findings, n_warnings, by_neuron, by_projection):
    """`warnings` and `n_warnings` of Gradients; derivatives that overflow are told by a Python warning besides.

    Parameters
    ----------
    findings : list of tuple
        (sample or None, kind, neuron, source or -1, ms) of what the compiled pass found.
    by_neuron, by_projection : list of ndarray
        Sums of derivatives, which are finite numbers if nothing overflows.
    """
    listed = [gradient_warning(net, near, *finding, sample=sample) for sample, *finding in findings]
    overflows = [warning for warning in listed if warning.kind == "overflow"]
    if not overflows:
        # Times and voltages are finite: a sum over them, or its product with a weight, is not.
        bad = [int(np.argmin(np.isfinite(a))) % net.size for a in by_neuron if not np.isfinite(a).all()]
        bad += [net.projections[int(np.argmin(np.isfinite(a)))].post.first for a in by_projection
                if not np.isfinite(a).all()]  # fmt: skip
        overflows = [gradient_warning(net, near, OVERFLOW, bad[0], -1, float("nan"))] if bad else []
        listed, n_warnings = listed + overflows, n_warnings + len(overflows)
    if overflows:
        more = f" (so in {len(overflows)} samples)" if len(overflows) > 1 else ""
        warn(f"{overflows[0]}{more}", GradientOverflowWarning)
    return {"warnings": listed, "n_warnings": n_warnings}


def gradient_warning(net, near, kind, neuron, source, time, sample=None):
    """What the compiled pass found, for the user."""
    p = next(p for p in net.populations if p.first <= neuron < p.first + p.n)
    name, message = KINDS[kind]
    where = f"neuron {neuron - p.first} of population {p.name!r}"
    source = None if source < 0 else source
    return GradientWarning(name, neuron, where, time, source, message.format(near=near), sample)
