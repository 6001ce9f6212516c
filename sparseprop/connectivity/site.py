"""Between which two populations a rule draws, and what is allowed there."""

from dataclasses import dataclass

import numpy as np

from .._machine import available_memory, cores
from ..errors import CapacityError, ConnectivityError, InsufficientMemoryError, shown
from . import _wiring
from .adjacency import MAX_NEURONS, Adjacency
from .random import Purpose
from .shares import AT_A_TIME, AdjacencyShare, blocks_of_rows

__all__ = ["Site"]


@dataclass(frozen=True)
class Site:
    """The two populations of a projection, its random numbers and what is allowed in it."""

    n_pre: int
    n_post: int
    same_population: bool
    key: np.ndarray
    projection: int
    allow_autapses: bool
    allow_multapses: bool
    where: str
    share: tuple[int, int] | None = None  # only targets from the first up to the second are wanted

    @property
    def skip_self(self):
        """Whether a neuron must be left out of its own row."""
        return self.same_population and not self.allow_autapses

    def error(self, kind, message):
        return kind(f"{self.where}: {message}" if self.where else message)

    def require_memory(self, n_synapses, bytes_each, remedy, longest=0):
        """Refuse before the work begins what cannot end well.

        Parameters
        ----------
        n_synapses : int
            How many there will be.
        bytes_each : int
            Memory per synapse while they are made: the result, and what is needed on the way.
        remedy : str
        longest : int
            Length of the longest row that is drawn through a table.
        """
        # Per neuron: the lengths of the rows, and where they begin, as drawn and as they come out. The table
        # has up to five places of four bytes per value, and each core has one.
        tables = min(cores(), max(self.n_pre, self.n_post))
        if self.share is not None:
            n_synapses = n_synapses * (self.share[1] - self.share[0]) // max(self.n_post, 1) + AT_A_TIME
        needed = n_synapses * bytes_each + 24 * (max(self.n_pre, self.n_post) + 1) + 20 * longest * tables
        available = available_memory()
        if needed > available:
            raise self.error(
                InsufficientMemoryError,
                f"{n_synapses} synapses need {needed / 2**30:.3g} GiB while they are made, and "
                f"{available / 2**30:.3g} GiB of memory are available; {remedy}",
            )

    def draw_rows(self, offsets, n, first=0):
        """Rows from number `first` on, separated by `offsets`: ids from [0, n), ascending in each."""
        return _wiring.draw_rows(
            self.key, Purpose.CONNECTIVITY, self.projection, offsets, n, self.skip_self, self.allow_multapses, first
        )

    def rows_of_targets(self, lengths):
        """The `Adjacency` of drawn rows of the given lengths, by source."""
        offsets = np.zeros(lengths.shape[0] + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        if self.share is None:
            return self.drawn(offsets, self.draw_rows(offsets, self.n_post))

        def blocks():
            for first, stop in blocks_of_rows(offsets):
                part = offsets[first : stop + 1] - offsets[first]
                yield part, self.draw_rows(part, self.n_post, first)

        return self.share_of_rows(blocks())

    def share_of_rows(self, blocks):
        """What is wanted of all rows, which come block by block: offsets, and ids that ascend in each row."""
        low, high = self.share
        zero = np.zeros(1, np.int64)
        lengths, counts, skipped, targets = [], [], [], [np.zeros(0, np.int32)]
        for offsets, ids in blocks:
            wanted = (ids >= low) & (ids < high)
            before, up_to = (np.concatenate([zero, np.cumsum(some)]) for some in (ids < low, wanted))
            lengths.append(np.diff(offsets))
            skipped.append(np.diff(before[offsets]))
            counts.append(np.diff(up_to[offsets]))
            targets.append(ids[wanted])
        counts, lengths, skipped = (np.concatenate(arrays) for arrays in (counts, lengths, skipped))
        offsets = np.concatenate([zero, np.cumsum(counts)])
        return self.shared(offsets, np.concatenate(targets), lengths, skipped)

    def shared(self, offsets, targets, lengths, skipped):
        """The `AdjacencyShare` of rows of what is wanted; how long whole rows are, and what is before in them."""
        low, high = self.share
        whole = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        repeats = self._repeats(offsets, targets)
        targets -= np.int32(low)
        return AdjacencyShare(offsets, targets, None, None, *repeats, low, high, whole, skipped)

    def _repeats(self, offsets, targets):
        """How many autapses and multapses there are, where there may be some."""
        if self.allow_multapses or (self.same_population and self.allow_autapses):
            return _wiring.count_repeats(offsets, targets, self.same_population)
        return 0, 0

    def drawn(self, offsets, targets):
        """The `Adjacency` of drawn rows; what is not allowed was not drawn and need not be counted."""
        return Adjacency(offsets, targets, None, None, *self._repeats(offsets, targets))

    def require_degree(self, rule, n, chosen, per):
        """Refuse a degree `rule.k` that `n` neurons cannot give.

        Parameters
        ----------
        chosen, per : str
            What is drawn, for whom: ``"targets"``, ``"source"``.
        """
        available = max(n - self.skip_self, 0)
        if rule.k > MAX_NEURONS:
            raise self.error(
                CapacityError,
                f"{shown(rule)}: a neuron has at most {MAX_NEURONS} {chosen}; choose a smaller k",
            )
        if rule.k > (MAX_NEURONS if self.allow_multapses and available else available):
            others = " beside the neuron itself" if self.skip_self else ""
            remedies = [f"choose k <= {available}"]
            if self.skip_self:
                remedies.append("allow_autapses=True")
            if available and not self.allow_multapses:
                remedies.append("allow_multapses=True")
            raise self.error(
                ConnectivityError,
                f"{shown(rule)} asks for {rule.k} {'' if self.allow_multapses else 'different '}{chosen} of each "
                f"{per}, but there are {available}{others}; {' or '.join(remedies)}",
            )

    def given(self, sources, targets, weights, in_list):
        """The `Adjacency` of explicit edges: sorted by source, and refused if they hold what is not allowed.

        Parameters
        ----------
        sources, targets : ndarray of int32
        weights : ndarray of float64 or None
        in_list : str
            Name of the list in messages.
        """
        bytes_each = 12 if weights is None else 20
        self.require_memory(sources.shape[0], bytes_each, "give fewer edges, or use a bigger machine")
        order = None
        offsets, place = _wiring.sort_by_source(sources, self.n_pre)
        if (sources[1:] < sources[:-1]).any():
            order = place
        targets = targets.copy() if order is None else targets[order]
        if weights is not None:
            weights = weights.copy() if order is None else weights[order]
        n_autapses, autapse, n_multapses, multapse = _wiring.audit(offsets, targets, self.n_post, self.same_population)
        for count, first, allowed, what, option in (
            (n_autapses, autapse, self.allow_autapses, "connect a neuron to itself", "allow_autapses"),
            (n_multapses, multapse, self.allow_multapses, "repeat another one", "allow_multapses"),
        ):
            if count and not allowed:
                edge = first if order is None else int(order[first])
                source = int(sources[edge])
                raise self.error(
                    ConnectivityError,
                    f"{in_list}: {count} of {sources.shape[0]} connections {what}, the first is {source} -> "
                    f"{int(targets[first])} (at index {edge}); remove them, or set {option}=True",
                )
        return Adjacency(offsets, targets, weights, order, n_autapses, n_multapses)
