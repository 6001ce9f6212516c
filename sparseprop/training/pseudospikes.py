"""What QIF and theta neurons would do after the end of the trial: spikes that leave through it stay in the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ParameterError, named_arguments, shown, unknown_name
from ..network import Network
from . import _step

if TYPE_CHECKING:
    from .._types import Floats, Ints, PopulationName
    from ..batch import BatchResult

__all__ = ["Pseudospikes"]


@named_arguments
class Pseudospikes:
    """Spikes after the end of the trial, continuous with those before it.

    A spike of a QIF neuron with infinite peak and reset varies smoothly with all weights, until it leaves the trial
    through its end, T. What it did until then goes on here. With the membrane potentials V(T):

    - The way of a neuron to its next spike is covered to a part ``s = 1/2 + atan(V / sqrt(I_e)) / pi``, in time. That
      part of its next spike counts: ``V_i <- V_i(T) + sum_j w_ij s_j``, from the first population to the last.
    - From there each neuron is driven by its own I_e: its spike is at
      ``T + tau_m / sqrt(I_e) (pi/2 - atan(V / sqrt(I_e)))``, and the next ones come a period later each.

    When a neuron's spike passes T, s goes from 0 to 1 and its kicks from V_i(T) to the sum: nothing jumps. Also the
    weights of neurons that are silent have a derivative, since s is smooth.

    Parameters
    ----------
    net : Network
    population : str or Population
        The one whose spikes are wanted.

    Attributes
    ----------
    ids : ndarray of int
        Global ids of the neurons whose V(T) has to be recorded.

    Raises
    ------
    ParameterError
        If one of the neurons on the way is no theta neuron (or QIF with infinite peak and reset and without
        refractoriness; no QuadraticIF) that oscillates without input (I_e > 0), or a projection has a delay.

    References
    ----------
    Klos and Memmesheimer (2025), Phys. Rev. Lett. 134:027301, doi:10.1103/PhysRevLett.134.027301: pseudospikes. The
    continuation here is another one.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> continued = training.Pseudospikes(net, "output")
    >>> type(continued).__name__
    'Pseudospikes'
    """

    ids: Ints

    def __init__(self, net: Network, population: PopulationName) -> None:
        check_net(net)
        self.network = net
        population = getattr(population, "name", population)
        names = {p.name: p for p in net.populations if not p.is_source}
        if not isinstance(population, str) or population not in names:
            raise unknown_name("population", population, names)
        self.population = names[population]
        self._projections = self._upstream()
        neurons = [self.population, *(p.pre for _, p in self._projections)]
        self._populations = sorted({p.index: p for p in neurons}.values(), key=lambda p: p.index)
        for p in self._populations:
            _check(p)
        for _, p in self._projections:
            if np.any(np.asarray(p.delay) != 0.0):
                raise ParameterError(
                    f"pseudospikes need projections without delay: {p.pre.name!r} -> {p.post.name!r} has one"
                )
        self.ids = np.concatenate([np.arange(p.first, p.first + p.n) for p in self._populations])
        self._synapses = {k: _Synapses(p) for k, p in self._projections}
        self._root = {p.index: np.sqrt(np.full(p.n, p.model.I_e, float)) for p in self._populations}
        self._tau = {p.index: np.full(p.n, p.model.tau_m, float) for p in self._populations}

    def _upstream(self):
        """(number, projection) of those by which neurons reach the population."""
        reached, found = {self.population.index}, {}
        while True:
            more = {
                k: p for k, p in enumerate(self.network.projections)
                if k not in found and p.post.index in reached and not p.pre.is_source
            }  # fmt: skip
            if not more:
                return sorted(found.items())
            found |= more
            reached |= {p.pre.index for p in more.values()}

    def __call__(self, result: BatchResult) -> _Continuation:
        """Of a batch whose V was recorded at its end."""
        return _Continuation(self, result)


def check_net(net):
    """Refuse what is no network."""
    if not isinstance(net, Network):
        raise ParameterError(f"net must be a Network, got {shown(net)}")


def _check(p):
    model = p.model
    if not model.is_quadratic or np.any(np.isfinite(model.V_peak)) or np.any(np.isfinite(model.V_reset)):
        raise ParameterError(
            f"pseudospikes are for theta neurons, and QIF with infinite V_peak and V_reset, population {p.name!r} has "
            f"{type(model).__name__}; write a QuadraticIF as a QIF, and for a LIFExp use training.PeakMargin"
        )
    if np.any(np.asarray(model.t_ref) != 0.0):
        raise ParameterError(f"pseudospikes need neurons without refractoriness, population {p.name!r} has a t_ref")
    if not np.all(np.asarray(model.I_e) > 0.0):
        raise ParameterError(
            f"pseudospikes need neurons that fire without input in the end, I_e > 0, population {p.name!r} has "
            f"I_e = {model.I_e!r}"
        )


class _Continuation:
    """One batch after its end.

    All in the angle atan(V / root), which is finite where V is not.
    """

    def __init__(self, rule: Pseudospikes, result: BatchResult) -> None:
        self.rule, self.result, self.T = rule, result, result.duration
        rows = np.flatnonzero(result.V_times == result.duration)
        columns = np.searchsorted(result.V_ids, rule.ids)
        if (
            not len(rows) or not len(result.V_ids) or (columns >= len(result.V_ids)).any()
            or not np.array_equal(result.V_ids[columns], rule.ids)
        ):  # fmt: skip
            raise ParameterError(
                "pseudospikes need V at the end of the trial: run with "
                "record=training.record_for(net, duration, loss), or record that yourself"
            )
        self._row, self._columns, at = int(rows[0]), {}, 0
        self._V, self._root, self._tau = {}, rule._root, rule._tau
        V = result.V[:, self._row]
        for p in rule._populations:
            self._columns[p.index] = columns[at : at + p.n]
            at += p.n
            self._V[p.index] = V.take(self._columns[p.index], axis=1)
        self._after = dict(self._V)
        self._part = {}  # by projection: s of its sources, as it was taken
        for p in rule._populations:
            total = 0.0
            for k, projection in rule._projections:
                if projection.post is p:
                    self._part[k] = s = self._progress(projection.pre)
                    total = total + rule._synapses[k].kicked(s)
            self._after[p.index] = self._V[p.index] + total

    def _progress(self, p):
        return _step.parts(self._after[p.index], self._root[p.index])

    def times(self, which: Ints | None = None, ids: Ints | None = None) -> Floats:
        """When the neurons of the population fire after the end: the first time, or the `which`-th after that.

        Parameters
        ----------
        which : ndarray of int of shape (samples, neurons, m), optional
        ids : ndarray of int, optional
            Local ids of these neurons.

        Returns
        -------
        ndarray of shape (samples, n), or that of `which`
            ms.
        """
        p = self.rule.population
        root, tau = self._root[p.index], self._tau[p.index]
        first = _step.next_times(self._after[p.index], root, tau, self.T)
        if which is None:
            return first
        return first[:, ids, None] + (np.pi * tau / root)[ids, None] * which

    def progress(self) -> Floats:
        """Which part of the way to the next spike the neurons of the population have covered, shape (samples, n)."""
        return self._progress(self.rule.population)

    def backward(
        self, by_times: Floats | None = None, by_progress: Floats | None = None
    ) -> tuple[Floats, dict[int, Floats]]:
        """From the derivatives of a loss by the first of :meth:`times` and by :meth:`progress`: (dL_dV, dL_dweight)."""
        p = self.rule.population
        shape = self._V[p.index].shape
        by_angle = np.zeros(shape)
        if by_times is not None:
            by_angle = by_angle - by_times * self._tau[p.index] / self._root[p.index]
        if by_progress is not None:
            by_angle = by_angle + by_progress / np.pi
        # By V after the kicks; what is taken before that (of recurrent projections) goes to V itself.
        after = {q.index: np.zeros(self._V[q.index].shape) for q in self.rule._populations}
        before = {q.index: np.zeros(self._V[q.index].shape) for q in self.rule._populations}
        after[p.index] += self._by_V(by_angle, self._after, p)
        weights = {}
        for q in reversed(self.rule._populations):
            for k, projection in reversed(self.rule._projections):
                if projection.post is not q:
                    continue
                g = after[q.index]
                synapses = self.rule._synapses[k]
                weights[k] = synapses.by_weight(g, self._part[k])
                by_part = synapses.back(g)
                later = projection.pre.index >= q.index
                states, sums = (self._V, before) if later else (self._after, after)
                sums[projection.pre.index] += self._by_V(by_part / np.pi, states, projection.pre)
        dL_dV = np.zeros(self.result.V.shape)
        for q in self.rule._populations:
            dL_dV[:, self._row, self._columns[q.index]] = after[q.index] + before[q.index]
        return dL_dV, weights

    def _by_V(self, by_angle, states, p):
        """The derivative by V from that by atan(V / root)."""
        return _step.by_V(by_angle, states[p.index], self._root[p.index])


class _Synapses:
    """The synapses of a projection, in the order of targets and then of sources."""

    def __init__(self, projection):
        self.projection = projection
        sources, targets = projection.sources, projection.targets
        self._order = np.lexsort((sources, targets))
        self._sources, self._targets = (ids[self._order].astype(np.int64) for ids in (sources, targets))
        self._unsorted = sources.astype(np.int64), targets.astype(np.int64)

    def _weights(self):
        weight = self.projection.weight
        return weight[self._order] if isinstance(weight, np.ndarray) else np.full(len(self._order), float(weight))

    def kicked(self, s):
        """sum_j w_ij s_j for all samples."""
        return _step.kicked(s, self._weights(), self._sources, self._targets, self.projection.post.n)

    def by_weight(self, g, s):
        """sum over samples of g_i s_j for each synapse."""
        return _step.by_synapse(g, s, *self._unsorted)

    def back(self, g):
        """sum_i w_ij g_i for all samples."""
        return _step.kicked(g, self._weights(), self._targets, self._sources, self.projection.pre.n)
