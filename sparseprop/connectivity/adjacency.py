"""What a rule makes: the targets of every source neuron, stored or drawn when they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._machine import available_memory
from ..errors import InsufficientMemoryError
from . import _wiring
from .random import Purpose

if TYPE_CHECKING:
    from .._types import Floats, Ids, Ints, Key

__all__ = ["MAX_NEURONS", "Adjacency", "ProceduralAdjacency"]

# Neurons are numbered by int32.
MAX_NEURONS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Adjacency:
    """The synapses of one projection, stored row by row: the targets of source 0, then of source 1, ...

    This is the order of every per-synapse array of a projection. Within a row the targets ascend; those of
    `edges` and of a sparse matrix stay in the order in which they were given. A row is what has one source (a column
    of W).

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_pre + 1,)
        The targets of source j are ``targets[offsets[j]:offsets[j + 1]]``.
    targets : ndarray of int32, shape (n_synapses,)
        Ids within the target population.
    weights : ndarray of float64, shape (n_synapses,), or None
        Only a matrix gives them.
    order : ndarray of int64, shape (n_synapses,), or None
        ``order[s]`` is the place of synapse s in the list of edges that the user gave, None where that is s
        itself. The list is the arguments of `edges`, for a sparse matrix the entries of ``W.tocoo()``, and for a
        dense one those that are not zero, row by row, as in ``W[W != 0]``.
    n_autapses, n_multapses : int
        Number of synapses of a neuron onto itself, and of synapses beyond the first between the same two
        neurons.
    """

    offsets: Ints
    targets: Ids
    weights: Floats | None = None
    order: Ints | None = None
    n_autapses: int = 0
    n_multapses: int = 0

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return self.targets.shape[0]

    @property
    def sources(self) -> Ids:
        """The source of each synapse, int32, made anew each time; O(n_synapses)."""
        return np.repeat(np.arange(self.offsets.shape[0] - 1, dtype=np.int32), np.diff(self.offsets))


@dataclass(frozen=True, eq=False)
class ProceduralAdjacency:
    """The rows of `fixed_outdegree(k, procedural=True)`: drawn each time they are needed, and never stored.

    The rows are those that :class:`Adjacency` would hold, bit for bit, and so are all its attributes, which are made
    anew each time they are asked for: `targets` and `sources` take four bytes per synapse.

    Attributes
    ----------
    key : ndarray of uint64, shape (2,)
    projection : int
    degree : int
        Targets per source.
    n_pre, n_post : int
    skip_self, with_replacement : bool
    """

    key: Key
    projection: int
    degree: int
    n_pre: int
    n_post: int
    skip_self: bool
    with_replacement: bool
    n_autapses: int | None
    n_multapses: int | None
    weights = None
    order = None

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return self.n_pre * self.degree

    @property
    def offsets(self) -> Ints:
        """As in :class:`Adjacency`."""
        return np.arange(self.n_pre + 1, dtype=np.int64) * self.degree

    @property
    def targets(self) -> Ids:
        """As in :class:`Adjacency`; O(n_synapses).

        Raises
        ------
        InsufficientMemoryError
            If they would not fit into memory.
        """
        needed, available = 4 * self.n_synapses + 16 * self.n_pre, available_memory()
        if needed > available:
            raise InsufficientMemoryError(
                f"the targets of {self.n_synapses} procedural synapses need {needed / 2**30:.3g} GiB, and "
                f"{available / 2**30:.3g} GiB of memory are available; ask for rows with row(source)"
            )
        return self._draw(self.offsets, 0)

    @property
    def sources(self) -> Ids:
        """As in :class:`Adjacency`."""
        return np.repeat(np.arange(self.n_pre, dtype=np.int32), self.degree)

    def row(self, source: int) -> Ids:
        """The targets of one source, shape (degree,); O(degree)."""
        return self._draw(np.array([0, self.degree], dtype=np.int64), source)

    def _draw(self, offsets: Ints, first: int) -> Ids:
        return _wiring.draw_rows(
            self.key, Purpose.CONNECTIVITY, self.projection, offsets, self.n_post, self.skip_self,
            self.with_replacement, first,
        )  # fmt: skip
