"""What a neuron is for the reference engine; the neurons of a model are beside its dataclass."""

from collections.abc import Sequence

from ..numerics.frames import SCALE_STEP

__all__ = ["LARGEST_STATE", "Neuron"]

LARGEST_STATE = 2.0**900  # so that no quotient or sum that is taken of states overflows


class Neuron:
    """One neuron. Subclasses are the models' coordinates; times are engine-time pairs.

    ``place(V, now)`` sets the state from a voltage, ``kick(weight, now, port)`` adds `weight` to V or to a current,
    ``over_threshold(now)`` is asked after a kick only, ``next_spike(since, now)`` is the next spike without
    input, ``reset(release, now)`` is the state after a spike for the time `release`, ``voltage(now)`` reads V,
    ``take_over(other, now)`` sets the state to that of `other`, the same neuron with other parameters, and
    ``hold(other, now)`` does so for a refractory one. ``kick_held(weight, now, port)`` is a kick in the refractory
    period. ``state`` names the attributes that say all about the present, besides the time ``base``. V and weights are
    the user's. A neuron with synaptic currents has ``ports``, and ``currents_now(now)``, a list with one for each.
    """

    state: tuple[str, ...]

    frame = None
    base = (0, 0.0)
    shift = 0
    ports: Sequence = ()

    def __init__(self, engine):
        self.engine, self.a = engine, engine.a
        self.release = (0, 0.0)  # the end of the refractory period

    def enter(self, now):
        """Bring a state that grows with E to the scale of the present epoch, in steps that all engines share."""
        shift = self.frame.shift(now[0])
        for _ in range(min((shift - self.shift) // SCALE_STEP, 40)):
            self.grown = self.a.scaled(self.grown, -SCALE_STEP)
        self.shift = shift

    def hold(self, other, now):
        """Nothing but the release time matters."""
        self.reset(self.release, now)

    def kick_held(self, weight, now, port):
        """Kicks are dropped; whether that is all right."""
        return True

    def get_state(self):
        """The numbers of the present."""
        return [getattr(self, name) for name in self.state]

    def set_state(self, numbers):
        """Undo :meth:`get_state`."""
        for name, value in zip(self.state, numbers, strict=True):
            setattr(self, name, value)
