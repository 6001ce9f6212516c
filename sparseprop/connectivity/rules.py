"""Connection rules: how two populations are connected.

:func:`build` draws the synapses of a rule. Names follow NEST and Senk et al. (2022), Connectivity concepts in
neuronal network modeling, doi 10.1371/journal.pcbi.1010086.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .._validation import flag, index_array, integer, is_array, plain, real, real_array
from ..errors import CapacityError, ConnectivityError, ParameterError, named_arguments, shown, unknown_name
from . import _wiring
from .adjacency import MAX_NEURONS, Adjacency, ProceduralAdjacency
from .random import Purpose
from .shares import AT_A_TIME, blocks_of_rows
from .site import Site

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Description, Key

__all__ = [
    "Rule",
    "all_to_all",
    "build",
    "edges",
    "fixed_indegree",
    "fixed_outdegree",
    "fixed_total_number",
    "matrix",
    "one_to_one",
    "pairwise_bernoulli",
    "rule_from_dict",
]


@dataclass(frozen=True, repr=False)
class Rule:
    """How two populations are connected. Made by the functions of this module, such as `fixed_indegree`."""

    name: ClassVar[str]

    def to_dict(self) -> Description:
        """Name and parameters as plain values and arrays, such as ``{"name": "fixed_indegree", "k": 100}``."""
        return {"name": self.name} | {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _wire(self, site: Site) -> Adjacency | ProceduralAdjacency:
        raise NotImplementedError

    def __repr__(self) -> str:
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
        return f"{self.name}({values})"

    # Each rule has a method _wire(site): the `Adjacency` between the populations of a `Site`.

    def _put(self, name, value):
        """Store a checked value in place of what the user gave."""
        object.__setattr__(self, name, value)


@dataclass(frozen=True, repr=False)
class _FixedOutdegree(Rule):
    name: ClassVar[str] = "fixed_outdegree"
    k: int
    procedural: bool = False

    def __post_init__(self):
        self._put("k", integer(self.k, "fixed_outdegree: k", "a whole number >= 0 of targets", low=0))
        self._put("procedural", flag(self.procedural, "fixed_outdegree: procedural"))

    def _wire(self, site):
        site.require_degree(self, site.n_post, "targets", "source")
        if self.procedural:
            # What is allowed and therefore may occur would have to be counted by drawing everything.
            n_autapses = None if site.same_population and site.allow_autapses else 0
            n_multapses = None if site.allow_multapses else 0
            return ProceduralAdjacency(
                site.key, site.projection, self.k, site.n_pre, site.n_post, site.skip_self, site.allow_multapses,
                n_autapses, n_multapses,
            )  # fmt: skip
        remedy = "choose a smaller k, or procedural=True, which stores nothing"
        site.require_memory(site.n_pre * self.k, 4, remedy, longest=self.k)
        return site.rows_of_targets(np.full(site.n_pre, self.k))


@dataclass(frozen=True, repr=False)
class _FixedIndegree(Rule):
    name: ClassVar[str] = "fixed_indegree"
    k: int

    def __post_init__(self):
        self._put("k", integer(self.k, "fixed_indegree: k", "a whole number >= 0 of sources", low=0))

    def _wire(self, site):
        site.require_degree(self, site.n_pre, "sources", "target")
        # Twice the result: as drawn, and turned around.
        site.require_memory(site.n_post * self.k, 8, "choose a smaller k", longest=self.k)
        if site.share is not None:
            return self._share(site)
        sources = site.draw_rows(self.k * np.arange(site.n_post + 1), site.n_pre)
        return site.drawn(*_wiring.transpose(sources, max(self.k, 1), site.n_pre))

    def _share(self, site):
        """The synapses onto some targets. Of those of the others it counts how many each source has."""
        low, high = site.share
        offsets = self.k * np.arange(site.n_post + 1)

        def counted(begin, end):
            counts = np.zeros(site.n_pre, np.int64)
            for first, stop in blocks_of_rows(offsets, begin, end):
                sources = site.draw_rows(offsets[: stop - first + 1], site.n_pre, first)
                counts += np.bincount(sources, minlength=site.n_pre)
            return counts

        skipped = counted(0, low)
        sources = site.draw_rows(offsets[: high - low + 1], site.n_pre, low)
        here, targets = _wiring.transpose(sources, max(self.k, 1), site.n_pre)
        return site.shared(here, targets + np.int32(low), skipped + np.diff(here) + counted(high, site.n_post), skipped)


@dataclass(frozen=True, repr=False)
class _PairwiseBernoulli(Rule):
    name: ClassVar[str] = "pairwise_bernoulli"
    p: float

    def __post_init__(self):
        self._put("p", real(self.p, "pairwise_bernoulli: p", "a probability in [0, 1]", low=0.0, high=1.0))

    def _wire(self, site):
        if self.p == 1.0:
            return _AllToAll()._wire(site)
        cells = site.n_pre * max(site.n_post - site.skip_self, 0)
        # Four standard deviations above the mean: seldom too little, and never much too much.
        expected = self.p * cells
        room = min(cells, math.ceil(expected + 4.0 * math.sqrt(expected) + 16.0))
        site.require_memory(room, 4, "choose a smaller p")
        if self.p == 0.0 or cells == 0:
            return site.rows_of_targets(np.zeros(site.n_pre, np.int64))

        def draw(n_rows, room, first=0):
            return _wiring.draw_bernoulli(
                site.key,
                Purpose.CONNECTIVITY,
                site.projection,
                n_rows,
                site.n_post,
                self.p,
                site.skip_self,
                room,
                first,
            )

        if site.share is None:
            return site.drawn(*draw(site.n_pre, room))
        rows = max(AT_A_TIME // max(room // site.n_pre, 1), 1)
        numbers = range(0, site.n_pre, rows)
        return site.share_of_rows(draw(min(rows, site.n_pre - first), AT_A_TIME // 4, first) for first in numbers)


@dataclass(frozen=True, repr=False)
class _FixedTotalNumber(Rule):
    name: ClassVar[str] = "fixed_total_number"
    n: int

    def __post_init__(self):
        self._put("n", integer(self.n, "fixed_total_number: n", "a whole number >= 0 of synapses", low=0))

    def _wire(self, site):
        width = max(site.n_post - site.skip_self, 0)
        cells = site.n_pre * width
        if self.n > cells and not (site.allow_multapses and cells):
            among = " of different neurons" if site.skip_self else ""
            remedy = " or allow_multapses=True" if cells and not site.allow_multapses else ""
            raise site.error(
                ConnectivityError,
                f"{self!r} asks for {self.n} {'' if site.allow_multapses else 'different '}pairs, but there "
                f"are {cells} pairs{among} between {site.n_pre} sources and {site.n_post} targets; choose "
                f"n <= {cells}{remedy}",
            )
        site.require_memory(self.n, 4, "choose a smaller n", longest=self.n // max(site.n_pre, 1))
        # Above half of all pairs, draw where an edge is missing.
        missing = not site.allow_multapses and 2 * self.n > cells
        lengths = _wiring.draw_row_lengths(
            site.key,
            Purpose.ROW_LENGTHS,
            site.projection,
            site.n_pre,
            width,
            cells - self.n if missing else self.n,
            site.allow_multapses,
        )
        return site.rows_of_targets(width - lengths if missing else lengths)


@dataclass(frozen=True, repr=False)
class _OneToOne(Rule):
    name: ClassVar[str] = "one_to_one"

    def _wire(self, site):
        n = site.n_pre
        if n != site.n_post:
            raise site.error(
                ConnectivityError,
                f"{self!r} needs as many sources as targets, got {n} and {site.n_post}; use edges(sources, targets)",
            )
        if site.skip_self and n:
            raise site.error(
                ConnectivityError,
                f"{self!r} within one population connects each of its {n} neurons to itself; connect two "
                "populations, or set allow_autapses=True",
            )
        site.require_memory(n, 4, "use smaller populations")
        n_autapses = n if site.same_population else 0
        return Adjacency(np.arange(n + 1, dtype=np.int64), np.arange(n, dtype=np.int32), n_autapses=n_autapses)


@dataclass(frozen=True, repr=False)
class _AllToAll(Rule):
    name: ClassVar[str] = "all_to_all"

    def _wire(self, site):
        width = max(site.n_post - site.skip_self, 0)
        site.require_memory(site.n_pre * width, 4, "use a sparse rule, or smaller populations")
        # Drawing all there is needs no random number. Each pair is there once, whatever is allowed.
        once = dataclasses.replace(site, allow_multapses=False)
        return once.rows_of_targets(np.full(site.n_pre, width))


@dataclass(frozen=True, repr=False, eq=False)
class _ArrayRule(Rule):
    """A rule that holds arrays, which the comparison of dataclasses cannot compare."""

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in dataclasses.fields(self)
        )

    def __hash__(self):
        return hash((self.name, self.sources.shape[0]))

    def __repr__(self):
        return f"{self.name}(<{self.sources.shape[0]} edges>)"

    def _put_ids(self, name, limit):
        ids = index_array(getattr(self, name), f"{self.name}: {name}", limit).astype(np.int32)
        ids.flags.writeable = False
        self._put(name, ids)

    def _require_pairs(self):
        if self.sources.shape != self.targets.shape:
            raise ParameterError(
                f"{self.name}: sources and targets must have the same length, one entry per edge, got "
                f"{self.sources.shape[0]} and {self.targets.shape[0]}"
            )


@dataclass(frozen=True, repr=False, eq=False)
class _Edges(_ArrayRule):
    name: ClassVar[str] = "edges"
    sources: Any
    targets: Any

    def __post_init__(self):
        self._put_ids("sources", MAX_NEURONS)
        self._put_ids("targets", MAX_NEURONS)
        self._require_pairs()

    def _wire(self, site):
        prefix = f"{site.where}: edges: " if site.where else "edges: "
        for ids, name, n in ((self.sources, "sources", site.n_pre), (self.targets, "targets", site.n_post)):
            index_array(ids, prefix + name, n)
        return site.given(self.sources, self.targets, None, "edges")


@dataclass(frozen=True, repr=False, eq=False)
class _Matrix(_ArrayRule):
    name: ClassVar[str] = "matrix"
    shape: tuple
    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def __post_init__(self):
        try:
            n_post, n_pre = self.shape
        except (TypeError, ValueError):
            raise ParameterError(f"matrix: shape must be (n_post, n_pre), got {shown(self.shape)}") from None
        n_post = integer(n_post, "matrix: number of rows", low=0, high=MAX_NEURONS)
        n_pre = integer(n_pre, "matrix: number of columns", low=0, high=MAX_NEURONS)
        self._put("shape", (n_post, n_pre))
        self._put_ids("sources", n_pre)
        self._put_ids("targets", n_post)
        self._require_pairs()
        weights = real_array(
            self.weights, "matrix: weights", "finite numbers, one per edge", size=self.sources.shape[0]
        )
        weights.flags.writeable = False
        self._put("weights", weights)

    def to_dict(self) -> Description:
        """Name and parameters: the shape, and arrays with each edge's source, target and weight."""
        return super().to_dict() | {"shape": list(self.shape)}

    def _wire(self, site):
        if self.shape != (site.n_post, site.n_pre):
            turned = "; it looks transposed, give W.T" if self.shape == (site.n_pre, site.n_post) else ""
            raise site.error(
                ConnectivityError,
                f"the matrix W[target, source] must have shape {(site.n_post, site.n_pre)}, got {self.shape}{turned}",
            )
        return site.given(self.sources, self.targets, self.weights, "the matrix")


@named_arguments
def fixed_outdegree(k: int, procedural: bool = False) -> Rule:
    """Each source neuron gets `k` targets, drawn uniformly.

    The targets are different from each other unless multapses are allowed, and from the source itself unless
    autapses are. This is the rule of the published SparseProp code.

    Parameters
    ----------
    k : int
        Number of targets of each source, >= 0.
    procedural : bool
        Draw a row each time it is needed instead of storing it: no memory per synapse, and some 20 ns of
        computing per synaptic event. The synapses are the same as with False, bit for bit.

    Returns
    -------
    Rule

    Raises
    ------
    ParameterError
        If `k` is no whole number >= 0, or `procedural` is not a boolean.

    Notes
    -----
    Row j depends on (seed, projection, j), on `k` and on the number of targets. O(n_pre k).

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(10, sp.LIF(tau_m=20.0), name="E")
    >>> p = net.connect(E, E, sp.fixed_outdegree(3), weight=0.1)
    >>> np.bincount(p.sources).tolist()
    [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    """
    return _FixedOutdegree(k, procedural)


@named_arguments
def fixed_indegree(k: int) -> Rule:
    """Each target neuron gets `k` sources, drawn uniformly.

    The sources are different from each other unless multapses are allowed, and from the target itself unless
    autapses are.

    Parameters
    ----------
    k : int
        Number of sources of each target, >= 0.

    Returns
    -------
    Rule

    Raises
    ------
    ParameterError
        If `k` is no whole number >= 0.

    Notes
    -----
    The sources of target i depend on (seed, projection, i), on `k` and on the number of sources.
    O(n_pre + n_post k).

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(10, sp.LIF(tau_m=20.0), name="E")
    >>> p = net.connect(E, E, sp.fixed_indegree(3), weight=0.1)
    >>> np.bincount(p.targets).tolist()
    [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    """
    return _FixedIndegree(k)


@named_arguments
def pairwise_bernoulli(p: float) -> Rule:
    """Each ordered pair of neurons is connected with probability `p`, independently of all others.

    Parameters
    ----------
    p : float
        Probability, in [0, 1].

    Returns
    -------
    Rule

    Raises
    ------
    ParameterError
        If `p` is no number in [0, 1].

    Notes
    -----
    Pairs of a neuron with itself are left out unless autapses are allowed.

    O(n_pre + number of edges): the distance to the next edge is drawn from its geometric distribution.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(100, sp.LIF(tau_m=20.0), name="E")
    >>> 900 < net.connect(E, E, sp.pairwise_bernoulli(0.1), weight=0.1).n_synapses < 1100
    True
    """
    return _PairwiseBernoulli(p)


@named_arguments
def fixed_total_number(n: int) -> Rule:
    """Exactly `n` synapses, drawn uniformly from all pairs.

    The pairs are different from each other unless multapses are allowed, and none is of a neuron with itself
    unless autapses are.

    Parameters
    ----------
    n : int
        Number of synapses, >= 0.

    Returns
    -------
    Rule

    Raises
    ------
    ParameterError
        If `n` is no whole number >= 0.

    Notes
    -----
    Depends on (seed, projection), on `n` and on the sizes of both populations. O(n_pre + n): the number of
    synapses of each source is drawn first, then their targets.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(10, sp.LIF(tau_m=20.0), name="E")
    >>> net.connect(E, E, sp.fixed_total_number(25), weight=0.1).n_synapses
    25
    """
    return _FixedTotalNumber(n)


@named_arguments
def one_to_one() -> Rule:
    """Source i is connected to target i, for all i; both populations have the same size.

    Returns
    -------
    Rule

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E, I = net.add(10, sp.LIF(tau_m=20.0), name="E"), net.add(10, sp.LIF(tau_m=20.0), name="I")
    >>> p = net.connect(E, I, sp.one_to_one(), weight=0.1)
    >>> bool((p.sources == p.targets).all())
    True
    """
    return _OneToOne()


@named_arguments
def all_to_all() -> Rule:
    """Each source is connected to each target, but to itself only if autapses are allowed.

    Returns
    -------
    Rule

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(10, sp.LIF(tau_m=20.0), name="E")
    >>> net.connect(E, E, sp.all_to_all(), weight=0.1).n_synapses
    90
    """
    return _AllToAll()


@named_arguments
def edges(sources: ArrayLike, targets: ArrayLike) -> Rule:
    """The connections of a list.

    Parameters
    ----------
    sources, targets : array_like of int
        For each edge the id of its source and of its target, within their populations.

    Returns
    -------
    Rule

    Raises
    ------
    ParameterError
        If these are not two lists of ids with the same length.

    Notes
    -----
    They are stored sorted by source, those of the same source in the order given; `Adjacency.order` says
    where each came from. O(n_pre + n_post + number of edges).

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(3, sp.LIF(tau_m=20.0), name="E")
    >>> net.connect(E, E, sp.edges([0, 1], [1, 2]), weight=[0.1, 0.2]).targets.tolist()
    [1, 2]
    """
    return _Edges(sources, targets)


def matrix(W: Any) -> Rule:
    """The connections and weights of a matrix.

    Parameters
    ----------
    W : array_like or scipy.sparse matrix or array, shape (n_post, n_pre)
        ``W[target, source]`` is a weight. In a dense array zeros are no synapse. In a sparse one each stored
        entry is a synapse, a stored zero too (of the DIA format, which cannot tell, each that is not zero);
        entries that repeat the same pair are multapses, which are never added up. The order of its entries, in which
        delays can be given, is that of ``W[W != 0]`` for a dense array (by target, then source) and of ``W.tocoo()``
        for a sparse one, which for CSR, CSC and COO is that of ``W.data``.

    Returns
    -------
    Rule

    Raises
    ------
    ParameterError
        If it is no two-dimensional array of finite real numbers.

    Notes
    -----
    O(n_pre + n_post + number of stored entries); a dense array is read once.
    """
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(W):
        if W.ndim != 2:
            raise ParameterError(f"matrix: W must be two-dimensional, W[target, source], got shape {W.shape}")
        W = W.tocoo()
        _require_weights(W.data, W.row, W.col)
        return _Matrix(W.shape, W.col, W.row, W.data)
    _refuse_names(W)
    if not (is_array(W) or hasattr(W, "__array__")):
        raise ParameterError(
            "a connection must be a rule such as fixed_indegree(k), or a matrix W[target, source] with two "
            f"dimensions, got {shown(W)}"
        )
    if getattr(getattr(W, "dtype", None), "kind", None) == "b":
        raise ParameterError(
            "matrix: W must hold weights, which are real numbers, got dtype bool; for a list of connections without "
            "weights use edges(sources, targets): targets, sources = numpy.nonzero(W)"
        )
    W = plain(W, "matrix: W")
    if W.ndim != 2:
        raise ParameterError(
            f"a connection must be a rule such as fixed_indegree(k), or a matrix W[target, source] with two "
            f"dimensions, got ndarray with shape {W.shape}"
        )
    targets, sources = np.nonzero(W)
    weights = W[targets, sources]
    _require_weights(weights, targets, sources)
    return _Matrix(W.shape, sources, targets, weights)


def _refuse_names(rule):
    """Refuse the name of a rule, or its function, where the rule itself is meant."""
    name = rule if isinstance(rule, str) else getattr(rule, "__name__", None) if callable(rule) else None
    if name in _RULES:
        raise ParameterError(
            f"a connection must be a rule, got {shown(rule)}; call it: sp.{name}({', '.join(_needed(name))})"
        )
    if isinstance(rule, str):
        raise unknown_name("connection rule", rule, [f"sp.{name}({', '.join(_needed(name))})" for name in _RULES])


def _needed(name):
    """The parameters that a rule must be given."""
    if name == "matrix":
        return ["W"]
    return [field.name for field in dataclasses.fields(_RULES[name]) if field.default is dataclasses.MISSING]


def _require_weights(values, rows, columns):
    if values.dtype.kind not in "iuf":
        raise ParameterError(
            f"matrix: W must hold weights, which are real numbers, got dtype {values.dtype}; for a list of "
            "connections without weights use edges(sources, targets)"
        )
    finite = np.isfinite(values)
    if not finite.all():
        k = int(np.argmin(finite))
        raise ParameterError(
            f"matrix: weights must be finite, got W[{int(rows[k])}, {int(columns[k])}] = {float(values[k])}; "
            "leave the entry out if there is no synapse"
        )


_RULES = {
    rule.name: rule
    for rule in (
        _FixedOutdegree,
        _FixedIndegree,
        _PairwiseBernoulli,
        _FixedTotalNumber,
        _OneToOne,
        _AllToAll,
        _Edges,
        _Matrix,
    )
}


def rule_from_dict(d: Any) -> Rule:
    """The rule that :meth:`Rule.to_dict` describes.

    Parameters
    ----------
    d : mapping
        ``{"name": ..., parameter: value, ...}``.

    Returns
    -------
    Rule

    Raises
    ------
    ParameterError
        If there is no such rule or parameter, if one is missing, or a value is not allowed.

    Examples
    --------
    >>> rule_from_dict({"name": "fixed_indegree", "k": 100})
    fixed_indegree(k=100)
    """
    if not isinstance(d, Mapping) or "name" not in d:
        raise ParameterError(
            f"a connection rule must be described as {{'name': ..., parameter: value}}, for example "
            f"{{'name': 'fixed_indegree', 'k': 100}}, got {shown(d)}"
        )
    name = d["name"]
    if not isinstance(name, str) or name not in _RULES:
        raise unknown_name("connection rule", name, _RULES)
    fields = dataclasses.fields(_RULES[name])
    parameters = {key: value for key, value in d.items() if key != "name"}
    for key in parameters:
        if key not in {field.name for field in fields}:
            raise unknown_name(f"parameter of {name}", key, [field.name for field in fields])
    for field in fields:
        if field.name not in parameters and field.default is dataclasses.MISSING:
            raise ParameterError(f"{name}: {field.name} is missing in {shown(d)}")
    return _RULES[name](**parameters)


def build(
    rule: Rule,
    n_pre: int,
    n_post: int,
    *,
    same_population: bool,
    key: Key,
    projection: int,
    allow_autapses: bool = False,
    allow_multapses: bool = False,
    where: str = "",
    share: tuple[int, int] | None = None,
) -> Adjacency | ProceduralAdjacency:
    """Draw, or sort, the synapses of one projection.

    Parameters
    ----------
    rule : Rule
    n_pre, n_post : int
        Number of source and of target neurons, at most 2^31 - 1.
    same_population : bool
        Whether source i and target i are the same neuron, for all i; then n_pre = n_post.
    key : ndarray of uint64, shape (2,)
        From :func:`random_key`.
    projection : int
        Number of the projection in the network, >= 0.
    allow_autapses : bool
        Whether a neuron may be connected to itself.
    allow_multapses : bool
        Whether a neuron may be connected to another one several times.
    where : str
        What to call the projection in messages, such as ``"projection 'E' -> 'I'"``.
    share : tuple of int, optional
        Only synapses onto the targets from the first to before the second are wanted, of rules that draw; the others
        are then in memory at no time. What explicit edges and matrices give is kept as a whole.

    Returns
    -------
    Adjacency, AdjacencyShare or ProceduralAdjacency

    Raises
    ------
    ParameterError
        For arguments that are not allowed, and for ids outside their population.
    ConnectivityError
        If the rule asks for more connections than there can be, or holds some that are not allowed.
    CapacityError
        For more than 2^31 - 1 neurons.
    InsufficientMemoryError
        If the synapses would not fit into the memory that is available.

    Notes
    -----
    O(n_pre + n_post + number of synapses), some 10 to 50 ns per synapse and core; all cores that the process may use
    work on it from some 10^5 synapses on, and the result does not depend on how many they are. Ctrl-C is heard after
    every few million synapses, but not within a row.
    """
    if not isinstance(rule, Rule):
        raise ParameterError(f"rule must be a connection rule such as fixed_indegree(k), got {shown(rule)}")
    site = Site(
        integer(n_pre, "n_pre", "a number of neurons", low=0),
        integer(n_post, "n_post", "a number of neurons", low=0),
        flag(same_population, "same_population"),
        key,
        integer(projection, "projection", "a whole number >= 0", low=0, high=2**64 - 1),
        flag(allow_autapses, "allow_autapses"),
        flag(allow_multapses, "allow_multapses"),
        where,
        share,
    )
    if max(site.n_pre, site.n_post) > MAX_NEURONS:
        raise site.error(
            CapacityError,
            f"a population has at most {MAX_NEURONS} neurons, got {max(site.n_pre, site.n_post)}; split it",
        )
    if site.same_population and site.n_pre != site.n_post:
        raise site.error(
            ParameterError,
            f"one population has one size, got n_pre={site.n_pre} and n_post={site.n_post}",
        )
    return rule._wire(site)
