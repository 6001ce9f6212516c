"""The numbers that a specification is in: doubles, complex numbers for derivatives, or as many digits as one likes.

With :class:`DoubleArithmetic` the reference engine is the bit-exact oracle of the compiled engines; with
:class:`MultiprecisionArithmetic` (``mpmath``) the 50-digit one, which takes exponentials and angles of the full time
instead of fixed-point epochs; with :class:`ComplexArithmetic` it carries an infinitesimal imaginary part along (the
complex step). Numbers are ordered by their real parts.
"""

import cmath
import math

from . import _functions
from .engine_time import FRACTION_BITS, LN2, TWO_PI, advance_per_epoch

__all__ = ["ComplexArithmetic", "DoubleArithmetic", "MultiprecisionArithmetic"]


class DoubleArithmetic:
    """IEEE doubles and the functions of `elementary.h`, as the compiled engines use them."""

    exp, log, log1p = map(staticmethod, (_functions.exp, _functions.log, _functions.log1p))
    sin, cos, tanh = map(staticmethod, (_functions.sin, _functions.cos, _functions.tanh))
    sqrt, atan2 = staticmethod(math.sqrt), staticmethod(_functions.atan2)
    fsum = staticmethod(math.fsum)
    number = float
    tolerance = 2.0**-52  # of a root, relative to the time to it and to tau

    def relative_expm1(self, z):
        """(exp(z) - 1) / z, and 1 at 0."""
        return _functions.expm1(z) / z if z != 0.0 else 1.0

    def scaled(self, x, exponent):
        """x times a power of two, infinite where it overflows."""
        try:
            return math.ldexp(x, exponent)
        except OverflowError:
            return math.copysign(math.inf, x)

    def isfinite(self, x):
        """Whether x is neither infinite nor NaN."""
        return math.isfinite(x)

    def floor(self, x):
        """The largest whole number below or at x."""
        return math.floor(x)

    def rate(self, unit, epoch, tau, square):
        """What :meth:`advance` needs to know about a frame."""
        return advance_per_epoch(unit, epoch, tau, square)

    def advance(self, rate, n):
        """n times the advance per epoch: the whole part and, as a double, the first 53 places of the rest."""
        whole, places = divmod(rate * n, 1 << FRACTION_BITS)
        return whole, (places >> (FRACTION_BITS - 53)) * 2.0**-53

    def power(self, fraction):
        """2 to a fraction in [0, 1)."""
        return self.exp(fraction * LN2)

    def angle(self, fraction):
        """A fraction of a turn in rad."""
        return fraction * TWO_PI

    @property
    def turn(self):
        """2 pi."""
        return TWO_PI


class ComplexArithmetic(DoubleArithmetic):
    """Doubles with an imaginary part that stands for a derivative: exact to first order in it.

    Frame rates are real in value; their derivative is carried to the fraction by the product rule.
    """

    number = complex  # type: ignore

    def exp(self, z):
        z = complex(z)
        value = _functions.exp(z.real)
        return complex(value, value * z.imag)

    def log(self, z):
        z = complex(z)
        return complex(_functions.log(z.real), z.imag / z.real)

    def sin(self, z):
        z = complex(z)
        return complex(_functions.sin(z.real), _functions.cos(z.real) * z.imag)

    def cos(self, z):
        z = complex(z)
        return complex(_functions.cos(z.real), -_functions.sin(z.real) * z.imag)

    def sqrt(self, z):
        z = complex(z)
        value = math.sqrt(z.real)
        return complex(value, z.imag / (2.0 * value) if value != 0.0 else 0.0)

    def tanh(self, z):
        z = complex(z)
        value = _functions.tanh(z.real)
        return complex(value, (1.0 - value * value) * z.imag)

    def relative_expm1(self, z):
        z = complex(z)
        x, value = z.real, super().relative_expm1(z.real)
        series = 0.5 + x / 3.0 + x * x / 8.0 + x**3 / 30.0 + x**4 / 144.0
        slope = (_functions.exp(x) - value) / x if abs(x) > 1e-2 else series
        return complex(value, slope * z.imag)

    def log1p(self, z):
        return complex(_functions.log1p(z.real), z.imag / (1.0 + z.real))

    def atan2(self, y, x):
        y, x = complex(y), complex(x)
        derivative = (x.real * y.imag - y.real * x.imag) / (x.real**2 + y.real**2)
        return complex(_functions.atan2(y.real, x.real), derivative)

    def fsum(self, terms):
        terms = [complex(term) for term in terms]
        return complex(math.fsum(z.real for z in terms), math.fsum(z.imag for z in terms))

    def scaled(self, x, exponent):
        x = complex(x)
        return complex(super().scaled(x.real, exponent), super().scaled(x.imag, exponent))

    def isfinite(self, x):
        return cmath.isfinite(x)

    def rate(self, unit, epoch, tau, square):
        tau, square = complex(tau), complex(square)
        fixed = advance_per_epoch(unit, epoch, tau.real, square.real)
        relative = square.imag / (2.0 * square.real) - tau.imag / tau.real
        return fixed, relative * (fixed / (1 << FRACTION_BITS))

    def advance(self, rate, n):
        whole, fraction = super().advance(rate[0], n)
        return whole, complex(fraction, n * rate[1])


class MultiprecisionArithmetic:
    """mpmath numbers with `digits` decimal digits; an oracle for accuracy, independent of fixed-point epochs."""

    def __init__(self, digits=50):
        import mpmath

        self.mp = mpmath.mp.clone()
        self.mp.dps = digits
        for name in ("exp", "log", "sin", "cos", "sqrt", "tanh", "log1p", "atan2", "fsum", "isfinite"):
            setattr(self, name, getattr(self.mp, name))
        self.number = self.mp.mpf
        self.tolerance = self.mp.mpf(10) ** -digits
        self.turn = 2 * self.mp.pi

    def scaled(self, x, exponent):
        return self.mp.ldexp(x, exponent)

    def relative_expm1(self, z):
        return self.mp.expm1(z) / z if z else self.mp.mpf(1)

    def floor(self, x):
        return int(self.mp.floor(x))

    def rate(self, unit, epoch, tau, square):
        unit = self.mp.log(2) if unit == "powers of two" else self.turn
        return epoch * self.mp.sqrt(square) / (tau * unit)

    def advance(self, rate, n):
        total = rate * n
        whole = int(self.mp.floor(total))
        return whole, total - whole

    def power(self, fraction):
        return self.mp.mpf(2) ** fraction

    def angle(self, fraction):
        return fraction * self.turn
