"""How far two states of one network are from each other, in phase."""

import numpy as np

__all__ = ["Metric"]

METRIC = "mean over neurons of the difference in phase (see cycle_phase of the models), on a circle of length 1"


class Metric:
    """The phases of all neurons of a network, and what is made of the differences of two states.

    Attributes
    ----------
    velocity : ndarray of shape (n,)
        How fast the phases of the free neurons change, per ms, 0 for neurons of which that is not the same everywhere.
    """

    def __init__(self, net):
        self.populations = [p for p in net.populations if not p.is_source]
        self.neurons = np.concatenate([np.arange(p.first, p.first + p.n) for p in self.populations])
        self.velocity = np.concatenate([np.broadcast_to(p.model.cycle_velocity(), p.n) for p in self.populations])
        self._uniform = bool((self.velocity > 0.0).all()) and not (net.drives or len(self.neurons) < net.size)

    def phases(self, V):
        """Of voltages in global order; those of sources are left out."""
        return np.concatenate([p.model.cycle_phase(V[p.first : p.first + p.n]) for p in self.populations])

    def voltages(self, phases, V):
        """`V` in global order, with that of all neurons taken from `phases`."""
        V, at = np.array(V), 0
        for p in self.populations:
            V[p.first : p.first + p.n] = p.model.cycle_voltage(phases[at : at + p.n])
            at += p.n
        return V

    def difference(self, first, second):
        """Signed, from -1/2 to 1/2 unless a neuron is more than a cycle behind."""
        difference = second - first
        return difference - np.where(difference > 0.5, 1.0, np.where(difference < -0.5, -1.0, 0.0))

    def distance(self, difference):
        """Mean of the absolute values."""
        return float(np.mean(np.abs(difference)))

    def transversal(self, difference):
        """The same without what is a shift in time, for networks that know no time of their own."""
        if self._uniform:
            shift = (self.velocity @ difference) / (self.velocity @ self.velocity)
            difference = difference - shift * self.velocity
        return self.distance(difference)

    def unrelated(self, states):
        """The mean distance of two states of one run, of which one is half of the run later."""
        half = len(states) // 2
        pairs = zip(states[: len(states) - half], states[half:], strict=True)
        return float(np.mean([self.distance(self.difference(*pair)) for pair in pairs]))
