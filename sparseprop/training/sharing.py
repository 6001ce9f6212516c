"""Synapses that share a weight, as those of a convolution do: one parameter, whose gradient is the sum of theirs."""

import numpy as np

from .. import _validation
from ..errors import ParameterError, shown
from ..network import Projection
from .convolution import Convolution

__all__ = ["SharedWeights"]


class SharedWeights:
    """Which synapses of trained projections share a weight.

    Parameters
    ----------
    net : Network
    trained : list of int
        Projections whose weights are trained.
    number : callable
        From a projection, or its number, to its number.
    shared : dict or None
        See :class:`Trainer`.
    """

    def __init__(self, net, trained, number, shared):
        self.groups = {}  # by projection: the parameter of each synapse, and the first synapse of each parameter
        if shared is None:
            return
        if not isinstance(shared, dict):
            raise ParameterError(
                f"shared must be a dictionary {{projection: which weight each synapse has}}, or {{projection: "
                f"Convolution}}, got {shown(shared)}"
            )
        for key, groups in shared.items():
            if not isinstance(key, (Projection, int, np.integer)):
                raise ParameterError(f"shared must have projections or their numbers as keys, got {shown(key)}")
            k = number(key)
            p = net.projections[k]
            if k not in trained:
                raise ParameterError(f"shared has projection {k}, whose weights are not trained")
            groups = groups.shared(p) if isinstance(groups, Convolution) else groups
            groups = _validation.index_array(groups, f"shared weights of projection {k}", 2**62)
            if len(groups) != p.n_synapses:
                raise ParameterError(
                    f"shared weights of projection {k} must be a number for each of its {p.n_synapses} synapses, got "
                    f"{len(groups)}"
                )
            _, first, of_synapse = np.unique(groups, return_index=True, return_inverse=True)
            self.groups[k] = of_synapse, first
            wrong = p.weight != p.weight[first][of_synapse]
            if wrong.any():
                s = int(np.argmax(wrong))
                raise ParameterError(
                    f"weights of projection {k} that are shared must be equal to begin with, got {p.weight[s]} and "
                    f"{p.weight[first[of_synapse[s]]]} for the number {groups[s]}"
                )

    def to_dict(self):
        """What there is, by which :meth:`Trainer.resume` knows it; nothing if there is none."""
        return {"shared weights": {str(k): groups for k, (groups, _) in self.groups.items()}} if self.groups else {}

    def check(self, k, values, what):
        """Refuse what differs between synapses that share a weight."""
        if k in self.groups and np.ndim(values):
            of_synapse, first = self.groups[k]
            if (values != values[first][of_synapse]).any():
                raise ParameterError(f"{what} of projection {k} differ between synapses that share a weight")

    def parameters(self, k, weight):
        """One value for each parameter."""
        return weight[self.groups[k][1]] if k in self.groups else weight

    def gradient(self, k, by_synapse):
        """The derivative by each parameter: a sum over synapses, in their order."""
        if k not in self.groups:
            return by_synapse
        of_synapse, first = self.groups[k]
        return np.bincount(of_synapse, by_synapse, minlength=len(first))

    def weights(self, k, parameters):
        """One value for each synapse."""
        return parameters[self.groups[k][0]] if k in self.groups else parameters
