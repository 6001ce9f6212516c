"""The first exponents of trials, and their exact derivatives by all that a trial depends on."""

import math

import numpy as np

from ..errors import NumericalError, ParameterError
from ..models import names_of
from ._events import Neurons, Walk
from .lyapunov import random_vectors, refuse_delays

__all__ = ["TrialExponents"]

LIMIT = math.log(1e6)  # growth of one vector over that of another in a block, beyond which blocks are made shorter
TAUS = 20.0  # time constants after which a block ends at the latest: vectors grow or fade by e^20 alone


class TrialExponents:
    """The first k Lyapunov exponents of trials of a network, in the order of the vectors, and their derivatives.

    They are those of :func:`sparseprop.lyapunov_spectrum` over the same time, from the same first vectors. A trial is
    the times of all spikes, in their order, with weights, drives and initial states: what a neuron does between is a
    function of these. So derivatives are partial ones, by a spike time as if the others stayed; those of spike
    times are for the pass back through the run, which knows what the times depend on.

    Parameters
    ----------
    net : Network
    source : EngineInput
        Its initial state, which is that of all trials.
    k : int
        Exponents.
    seed : int
        Of the first vectors.

    Raises
    ------
    ParameterError
        For a network with delays, or with neurons of which second derivatives are not known.
    """

    def __init__(self, net, source, k, seed):
        check(net)
        self.net, self.k = net, k
        neurons = [p for p in net.populations if not p.is_source]
        self.rows = np.concatenate([np.arange(p.first, p.first + p.n) for p in neurons])
        self.n = len(self.rows)
        there = [source.populations[p.index] for p in neurons]
        self.V = np.concatenate([p.V for p in there])
        self.refractory = np.concatenate([np.zeros(p.size) if p.refractory is None else p.refractory for p in there])
        row = np.full(net.size, -1, np.int32)
        row[self.rows] = np.arange(self.n)
        values = {
            name: np.concatenate([np.broadcast_to(np.asarray(_values(p.model)[name], float), p.n) for p in neurons])
            for name in _values(neurons[0].model)
        }
        values["is_linear"] = values["is_linear"].astype(np.uint8)
        self.vectors = np.linalg.qr(random_vectors(seed, self.n, k))[0]
        self.shortest = float(values["tau"].min())
        self._synapses(row)
        self.neurons = Neurons(**values, first=self._first, target=self._target, row=row)

    def _synapses(self, row):
        """What has several synapses with one target kicks it once, by their sum."""
        pre = np.concatenate(
            [np.zeros(0, np.int64), *(p.pre.first + np.asarray(p.sources) for p in self.net.projections)]
        )
        post = np.concatenate(
            [np.zeros(0, np.int64), *(p.post.first + np.asarray(p.targets) for p in self.net.projections)]
        )
        pairs, self._pair = np.unique(pre * self.net.size + post, return_inverse=True)
        self._target = row[pairs % self.net.size]
        self.n_pairs = len(pairs)
        self._first = np.searchsorted(pairs, np.arange(self.net.size + 1) * self.net.size)

    def weights(self, weights):
        """Of all pairs, from those of each projection: numbers or arrays."""
        pairs = zip(weights, self.net.projections, strict=True)
        each = [np.broadcast_to(np.asarray(weight, float), p.n_synapses) for weight, p in pairs]
        return np.bincount(self._pair, np.concatenate([np.zeros(0), *each]), minlength=self.n_pairs)

    def by_projection(self, by_pair):
        """A list of derivatives by the weights of each projection."""
        return np.split(by_pair[self._pair], np.cumsum([p.n_synapses for p in self.net.projections])[:-1])

    def trial(self, times, ids, weights, duration):
        """A :class:`Trial`: spikes of neurons and sources by global id, in their order, all before `duration` (ms)."""
        every = max(self.n // 4, 1)
        while True:
            trial = Trial(self, times, ids, weights, duration, every)
            if trial.spread <= LIMIT or every == 1:
                return trial
            every = max(every // 4, 1)


class Trial:
    """One trial, gone through.

    Attributes
    ----------
    exponents : ndarray of shape (k,)
        1/s, in the order of the vectors.
    """

    def __init__(self, of, times, ids, weights, duration, every):
        self.of, self.duration = of, duration
        self.walk = Walk(of.neurons, weights, times, ids, of.V, of.refractory)
        self.fired = np.zeros((len(times), of.k))
        self.blocks = _blocks(times, duration, every, TAUS * of.shortest)
        self.spread, self.bases, growth = 0.0, [], 0.0
        self.first_gain = self.walk.first_gain()
        self.first = of.vectors / self.first_gain[:, None]
        c = self.first
        for low, high, start in self.blocks:
            scale = self.walk.begin(start)
            c, R = np.linalg.qr(c * scale[:, None])
            growth = growth + self._grown(R)
            self.bases.append((c.copy(), R, scale))
            c = np.ascontiguousarray(c)
            driven = self.walk.forth(low, high)
            if driven >= 0:
                raise _driven(of.net, int(ids[driven]), float(times[driven]))
            self.walk.take(c, self.fired, low, high)
        self.last_gain = self.walk.last_gain(duration)
        self.last = c
        self.Q, self.R = np.linalg.qr(c * self.last_gain[:, None])
        self.exponents = (growth + self._grown(self.R)) / (1e-3 * duration)

    def _grown(self, R):
        with np.errstate(divide="ignore"):
            grown = np.log(np.abs(np.diagonal(R)))
        if not np.isfinite(grown).all():
            raise NumericalError(
                f"of the {self.of.k} vectors of a trial of {self.duration:g} ms some vanish, or leave the range of a "
                "double: their exponents are not finite. Take fewer exponents"
            )
        self.spread = max(self.spread, float(np.ptp(grown)))
        return grown

    def backward(self, by_exponent):
        """Derivatives of a loss, from those by the exponents: by times, weights of pairs, drives and initial V."""
        from scipy.linalg import solve_triangular

        def off(a, R):
            return solve_triangular(R, a.T, check_finite=False).T

        walk, by = self.walk, np.asarray(by_exponent) / (1e-3 * self.duration)
        a = off(self.Q * by, self.R)
        walk.last_gain(self.duration, np.einsum("ij,ij->i", a, self.last))
        a = a * self.last_gain[:, None]
        work = np.empty(self.of.k)
        for (low, high, _), (Q, R, scale) in zip(self.blocks[::-1], self.bases[::-1], strict=True):
            a = np.ascontiguousarray(a)
            walk.take_back(a, self.fired, work, low, high)
            walk.back(low, high)
            walk.end()
            # A vector may be given multiples of those before it: that changes no exponent. What rounding has made of
            # this would grow as the first vectors do.
            known = np.triu(Q.T @ a, 1) + np.diag(np.einsum("ij,ij->j", Q, a) - by)
            a = off(a - Q @ known, R) * scale[:, None]
        walk.first_gain(-np.einsum("ij,ij->i", a, self.first) / self.first_gain)
        return walk.by_time, walk.by_weight, np.array(walk.by_drive), walk.by_V


def _blocks(times, duration, every, longest):
    """(first event, last one + 1, ms) of stretches of at most so many events and so many ms."""
    starts = [(k, float(times[k])) for k in range(every, len(times), every)]
    grid = longest * np.arange(math.ceil(duration / longest))
    starts += list(zip(np.searchsorted(times, grid).tolist(), grid.tolist(), strict=True))
    starts = sorted(set(starts))
    ends = [k for k, _ in starts[1:]] + [len(times)]
    return [(low, high, start) for (low, start), high in zip(starts, ends, strict=True)]


# Networks -------------------------------------------------------------------------------------------------------------


def _is_known(model):
    return not model.has_currents and (model.is_linear or model.is_quadratic)


def check(net):
    """Refuse a network whose exponents have no derivatives here."""
    refuse_delays(net)
    neurons = [p for p in net.populations if not p.is_source]
    if not neurons:
        raise ParameterError("net has no neurons, only sources: there is nothing to be off by")
    for p in neurons:
        if not _is_known(p.model):
            raise ParameterError(
                f"derivatives of exponents are for {names_of(_is_known)} neurons, population {p.name!r} has "
                f"{type(p.model).__name__}: {_reason(p.model)}"
            )


def _reason(model):
    if model.has_currents:
        return "what its synaptic currents are off by would have to be taken along, too. A LIF has delta synapses"
    if model.has_tables:
        return "its flow is a table, of which there are no second derivatives"
    return "no second derivatives of its flow are written down. Write it as a QIF if it is one in other units"


def _values(model):
    """Parameters in the terms of :class:`Neurons`."""
    drive = np.asarray(model.I_e)
    return {
        "is_linear": model.is_linear,
        "tau": model.tau_m,
        "drive": np.asarray(model.E_L) + drive if model.is_linear else drive,
        "V_peak": model.threshold(),
        "V_reset": model.V_reset,
        "t_ref": model.t_ref,
    }


def _driven(net, neuron, time):
    p = next(p for p in net.populations if p.first <= neuron < p.first + p.n)
    return NumericalError(
        f"neuron {neuron - p.first} of population {p.name!r} was driven over threshold by a kick at {time!r} ms: what "
        "it was off by is lost then, and exponents of minus infinity have no derivative. Take inhibition, or Theta "
        "neurons, of which no kick makes a spike at once"
    )
