"""Engine time: pairs (n, s) that mean t = n H + s, and rates that stay exact over any number of epochs.

H, the length of an epoch, is a power of two in ms; n is an integer and s a double in [0, H). So a time has the
resolution of a double of the size of H at any simulated time, adding to it carries exactly, and two events are
simultaneous if and only if their pairs are equal.

A frame needs exp(n H / T) or the angle n omega H at epoch n. Taking them of the product in double precision
would lose a digit with every factor of ten in n. Here the advance per epoch is a fixed-point integer with
:data:`FRACTION_BITS` binary places, so n times it is exact integer arithmetic in both engines, and only the
last step, from the fraction to a double, rounds.
"""

import functools
import math

import numpy as np

from ..errors import CapacityError

__all__ = [
    "FRACTION_BITS",
    "LN2",
    "MAX_EPOCH",
    "NEVER",
    "TWO_PI",
    "Clock",
    "advance_per_epoch",
    "is_before",
    "order_of",
]

FRACTION_BITS = 128
# ln 2 and 2 pi as doubles (every conversion of a fraction uses these), and with 320 binary places.
LN2 = 0.6931471805599453  # as in _frames.pxd
TWO_PI = 2.0 * math.pi
_CONSTANT_BITS = 320
# Of sqrt(square) behind the point, which is far more than the places that are kept.
_ROOT_BITS = 400
_UNITS = {
    "powers of two": 0xB17217F7D1CF79ABC9E3B39803F2F6AF40F343267298B62D8A0D175B8BAAFA2BE7B876206DEBAC98,
    "turns": 0x6487ED5110B4611A62633145C06E0E68948127044533E63A0105DF531D89CD9128A5043CC71A026EF,
}
# Beyond 2^52 epochs the counting itself would no longer be exact in a double; nothing happens there.
MAX_EPOCH = 2**52
NEVER = (2**62, 0.0)


class Clock:
    """Conversions between times in ms and engine-time pairs.

    Parameters
    ----------
    shortest_tau : float
        The smallest membrane time constant in the network, in ms.

    Attributes
    ----------
    epoch : float
        H in ms: the power of two nearest to eight times `shortest_tau`.
    tolerance : float
        ms, 2^-46 H: up to 128 roundings of times in an epoch. What is nearer than that may have come in either order.
    """

    def __init__(self, shortest_tau):
        mantissa, exponent = math.frexp(8.0 * shortest_tau)
        self.epoch = math.ldexp(1.0, exponent - (mantissa < math.sqrt(0.5)))  # the nearest power of two
        self.tolerance = 2.0**-46 * self.epoch

    def pair(self, time):
        """The pair of a time in ms (exact)."""
        return self.add((0, 0.0), time)

    def pairs(self, times):
        """The pairs of times in ms, as two arrays (int64 and float64); beyond the largest time that of never, 2^62."""
        carry = np.floor(times / self.epoch)
        there = carry <= MAX_EPOCH
        carry = np.where(there, carry, 0.0)
        return np.where(there, carry.astype(np.int64), 1 << 62), np.where(there, times - carry * self.epoch, 0.0)

    def add(self, pair, interval):
        """`pair` plus an interval >= 0 in ms: one rounding of s, exact carries of H.

        Raises
        ------
        CapacityError
            If the sum is beyond the largest time.
        """
        n, s = pair
        s = s + interval
        carry = math.floor(s.real / self.epoch)  # .real: the reference engine also runs on complex times
        if n + carry > MAX_EPOCH:
            raise CapacityError(
                f"the time {self.milliseconds(pair)!r} + {interval!r} ms is beyond the largest one the engine can "
                f"represent, {MAX_EPOCH * self.epoch:.3g} ms; use a shorter duration"
            )
        return n + carry, s - carry * self.epoch

    def milliseconds(self, pair):
        """The time of a pair, rounded once to a double in ms."""
        n, s = pair
        return n * self.epoch + s


def advance_per_epoch(unit, epoch, tau, square=1.0):
    """``epoch * sqrt(square) / (tau * u)`` with :data:`FRACTION_BITS` binary places, as an integer.

    Parameters
    ----------
    unit : {"powers of two", "turns"}
        What is counted: u is ln 2 for exponentials, 2 pi for rotations.
    epoch, tau : float
        H and a time constant, in ms.
    square : float
        The square of the rate in units of 1 / `tau`; taken as the exact rational number that the double is.

    Returns
    -------
    int
        Rounded down; its error is below one unit in the last of the 128 binary places.
    """
    up, down = square.as_integer_ratio()
    numerator, denominator = _rate(unit, epoch, tau)
    return math.isqrt((up << (2 * _ROOT_BITS)) // down) * numerator // denominator


@functools.lru_cache(maxsize=1 << 12)
def _rate(unit, epoch, tau):
    """What the root of the square in :func:`advance_per_epoch` is multiplied with and divided by."""
    epoch_up, epoch_down = epoch.as_integer_ratio()
    tau_up, tau_down = tau.as_integer_ratio()
    numerator = epoch_up * tau_down << (_CONSTANT_BITS + FRACTION_BITS)
    denominator = tau_up * epoch_down * _UNITS[unit] << _ROOT_BITS
    common = math.gcd(numerator, denominator)
    return numerator // common, denominator // common


def order_of(pair):
    """What pairs are ordered by."""
    return pair[0], pair[1].real


def is_before(a, b):
    """Whether pair a is earlier than pair b."""
    return order_of(a) < order_of(b)
