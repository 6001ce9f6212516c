"""A half: a part of the line of v in which the flow has one direction, with the time along it and back."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["SMALLEST", "Half"]

# No distance from a zero of F is less; a neuron at the zero is taken to be there.
SMALLEST = 2.0**-200


@dataclass
class Half:
    """A part of the line of v in which the flow has one direction.

    Attributes
    ----------
    anchor, sign : float
        ``v = anchor + sign z``.
    low, high : float
        The range of v.
    rising : bool
        Whether x grows with time (from the origin), or is the time to it.
    next : int
        The half that the flow enters at the end, or -1.
    length : float
        x at that end, for a rising half; infinite where there is none.
    entry : float
        x of the next half there.
    spikes : bool
        Whether x is the time to threshold, and there is no next.
    to_x, to_z, to_W, to_F : Grid
        x(z), z(x), the integral of dz / F^2 from the origin, and |F|.
    z_tail, x_tail, W_tail, rate : float
        Nearer than `z_tail`, v decays (or grows) with `rate`; 0 without such a tail.
    z_far, leak : float
        Beyond `z_far`, v decays with rate 1 to the voltage for which ``z = -leak``; infinite without such a tail.
    W_far : float
        What `to_W` is at `z_far`.
    whole, W_whole : float
        x and to_W at the end that is not the origin, where they are finite.
    entry_W : float
        to_W of the next half where it is entered.
    after : float
        The time from the end of the half to threshold, infinite if it is never reached.
    direction : float
        1 where v rises with time, -1 where it falls.
    error : float
        Found by the check, see :data:`TOLERANCE`.
    lost : float
        Of halves far below, by how many roundings their times are off where they cancel most, see :data:`MOST_LOST`.
    """

    anchor: float
    sign: float
    low: float
    high: float
    rising: bool
    spikes: bool
    to_x: Any = None
    to_z: Any = None
    to_W: Any = None
    to_F: Any = None
    next: int = -1
    length: float = math.inf
    entry: float = 0.0
    z_tail: float = 0.0
    x_tail: float = math.inf
    W_tail: float = 0.0
    rate: float = 0.0
    z_far: float = math.inf
    leak: float = 0.0
    whole: float = math.inf
    W_whole: float = math.inf
    entry_W: float = 0.0
    after: float = math.inf
    direction: float = 1.0
    error: float = 0.0
    lost: float = 0.0

    # The two functions below are those of _tabulated.pxd, operation by operation.

    def x_of(self, z):
        """The time that belongs to a distance."""
        if z < self.z_tail:
            return self.x_tail + math.log(self.z_tail / max(z, SMALLEST)) / self.rate
        if z > self.z_far:
            return -math.log((z + self.leak) / (self.z_far + self.leak))
        return max(self.to_x.at(max(z, 0.0)), 0.0)

    def z_of(self, x):
        """The distance that belongs to a time."""
        if x > self.x_tail:
            return self.z_tail * math.exp((self.x_tail - x) * self.rate)
        if x < 0.0 and self.z_far < math.inf:
            return (self.z_far + self.leak) * math.exp(-x) - self.leak
        return self.to_z.at(max(x, 0.0))

    def xs(self, z):
        """`x_of` for an array."""
        z = np.asarray(z, float)
        with np.errstate(all="ignore"):
            tail = self.x_tail + np.log(self.z_tail / np.maximum(z, SMALLEST)) / (self.rate or 1.0)
            far = -np.log((z + self.leak) / (self.z_far + self.leak))
        inside = np.clip(z, max(self.z_tail, 0.0), self.z_far)
        return np.where(z < self.z_tail, tail, np.where(z > self.z_far, far, np.maximum(self.to_x.values(inside), 0.0)))

    def zs(self, x):
        """`z_of` for an array."""
        x = np.asarray(x, float)
        inside = np.clip(x, 0.0, self.x_tail)
        with np.errstate(all="ignore"):
            tail = self.z_tail * np.exp((self.x_tail - x) * self.rate) if self.rate else np.zeros_like(x)
            far = (self.z_far + self.leak) * np.exp(-x) - self.leak if math.isfinite(self.z_far) else np.zeros_like(x)
        return np.where(x > self.x_tail, tail, np.where(x < 0.0, far, self.to_z.values(inside)))
