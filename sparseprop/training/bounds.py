"""Weights that stay between bounds, or keep the sign of the neuron that they come from."""

import numpy as np

from .. import _validation
from ..connectivity import ProceduralAdjacency
from ..errors import ParameterError, shown, unknown_name
from ..network import Population, Projection

__all__ = ["WeightBounds"]

SIGNS = {"excitatory": 1, "inhibitory": -1}


class WeightBounds:
    """Between which values the weights of each trained projection stay.

    Parameters
    ----------
    net : Network
    trained : list of int
        Projections whose weights are trained.
    number : callable
        From a projection, or its number, to its number.
    min_weight, max_weight : float, or dict
        A dictionary has numbers by projection.
    dale : bool or dict
        See :class:`Trainer`.
    """

    def __init__(self, net, trained, number, min_weight, max_weight, dale):
        self.network, self.trained = net, trained
        low = _by_projection(min_weight, "min_weight", trained, number, -np.inf)
        high = _by_projection(max_weight, "max_weight", trained, number, np.inf)
        self.plain = {k: (low[k], high[k]) for k in trained}
        for k in trained:
            if low[k] > high[k]:
                raise ParameterError(f"min_weight must be at most max_weight, got {low[k]} and {high[k]} {self._of(k)}")
        self.kinds = {p.name: kind for p, kind in self._populations(dale)}
        self.signs = {p.name: self._signs(p, self.kinds[p.name]) for p in net.populations if p.name in self.kinds}
        self._combine()
        for k in trained:
            self._check(k)

    def to_dict(self):
        """What there is of bounds, by which :meth:`Trainer.resume` knows them; nothing if there are none."""
        found = {}
        for name, place, none in (("min_weight", 0, -np.inf), ("max_weight", 1, np.inf)):
            values = [self.plain[k][place] for k in self.trained]
            if any(value != none for value in values):
                found[name] = values
        if self.kinds:
            found["dale"] = self.kinds
        return found

    def restore(self, signs):
        """Take over the signs of a training that goes on."""
        self.signs = {name: np.asarray(values) for name, values in signs.items()}
        self._combine()

    def apply(self, k, weight):
        """The nearest weights that are allowed."""
        return np.clip(weight, *self.bounds[k]) if k in self.bounds else weight

    def _combine(self):
        """Bounds of each synapse, of the projections that have any."""
        self.bounds = {}
        for k in self.trained:
            p, (low, high) = self.network.projections[k], self.plain[k]
            if p.pre.name in self.signs:
                signs = self.signs[p.pre.name][p.sources]
                low = np.where(signs > 0, np.maximum(low, 0.0), low)
                high = np.where(signs < 0, np.minimum(high, 0.0), high)
                if (low > high).any():
                    low, high = self.plain[k]
                    raise ParameterError(
                        f"bounds of weights leave nothing {self._of(k)}: from {low} to {high}, where neurons are "
                        f"{'inhibitory' if low > 0.0 else 'excitatory'}"
                    )
            if not (np.all(low == -np.inf) and np.all(high == np.inf)):
                self.bounds[k] = low, high

    def _of(self, k):
        p = self.network.projections[k]
        return f"for {p.pre.name!r} -> {p.post.name!r}"

    def _check(self, k):
        """Weights are allowed to begin with: what is not would be changed by the first step, beyond its gradient."""
        weight = self.network.projections[k].weight
        wrong = weight != self.apply(k, weight)
        if wrong.any():
            s = int(np.argmax(wrong))
            low, high = (np.broadcast_to(bound, weight.shape)[s] for bound in self.bounds[k])
            raise ParameterError(
                f"weights {self._of(k)} must be within their bounds to begin with, got {weight[s]} at synapse {s}, "
                f"where they are {low} to {high}: set projection.weight = np.clip(projection.weight, low, high), or "
                "np.abs(projection.weight) for excitatory neurons"
            )

    def _populations(self, dale):
        """(population, what its neurons are) for all that keep their signs."""
        if isinstance(dale, dict):
            names = {p.name: p for p in self.network.populations}
            for key, kind in dale.items():
                name = key.name if isinstance(key, Population) else key
                if not isinstance(name, str) or name not in names:
                    raise unknown_name("population", name, names)
                if kind != "initial" and (not isinstance(kind, str) or kind not in SIGNS):
                    raise unknown_name(f"kind of neurons of {name!r}", kind, [*SIGNS, "initial"])
                yield names[name], kind
        elif _validation.flag(dale, "dale"):
            for p in self.network.populations:
                if not p.is_source:
                    yield p, "initial"

    def _signs(self, p, kind):
        """1 or -1 for each neuron of a population; 0 for those without synapses."""
        if kind in SIGNS:
            return np.full(p.n, SIGNS[kind], np.int64)
        positive, negative, any_synapse = np.zeros(p.n, bool), np.zeros(p.n, bool), np.zeros(p.n, bool)
        for q in self.network.projections:
            if q.pre is not p or q.n_synapses == 0:
                continue
            if isinstance(q.adjacency, ProceduralAdjacency):
                positive |= q.weight > 0.0
                negative |= q.weight < 0.0
                continue
            weight, sources = np.broadcast_to(q.weight, (q.n_synapses,)), q.sources
            positive[sources[weight > 0.0]] = True
            negative[sources[weight < 0.0]] = True
            any_synapse[sources] = True
        remedy = f"say what they are, dale={{{p.name!r}: 'excitatory'}}, and set their weights so"
        for wrong, what in ((positive & negative, "both signs"), (any_synapse & ~positive & ~negative, "no sign")):
            if wrong.any():
                raise ParameterError(
                    f"dale needs neurons whose weights have one sign to begin with, got {np.count_nonzero(wrong)} of "
                    f"{p.name!r} with {what}, the first is {int(np.argmax(wrong))}; {remedy}"
                )
        return positive.astype(np.int64) - negative


def _by_projection(value, name, trained, number, none):
    """A bound for each trained projection."""
    allowed = f"a number, or {none} for none"
    if not isinstance(value, dict):
        return dict.fromkeys(trained, _validation.real(value, name, allowed, infinite=True))
    found = dict.fromkeys(trained, none)
    for key, bound in value.items():
        if not isinstance(key, (Projection, int, np.integer)):
            raise ParameterError(f"{name} must be a number, or have numbers by projection, got the key {shown(key)}")
        k = number(key)
        if k not in found:
            raise ParameterError(f"{name} has a number for projection {k}, whose weights are not trained")
        found[k] = _validation.real(bound, f"{name} of projection {k}", allowed, infinite=True)
    return found
