"""Distributions of weights and delays: one random number per synapse."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

from . import _wiring
from ._validation import real
from .errors import ParameterError, named_arguments, shown, unknown_name

__all__ = ["Distribution", "distribution_from_dict", "normal", "uniform"]


class Distribution:
    """What :func:`uniform` and :func:`normal` return."""

    kind: ClassVar[str]

    def bounds(self):
        """The smallest and the largest number there can be."""
        raise NotImplementedError

    def draw(self, key, purpose, projection, offsets):
        """One number for each synapse of the rows that `offsets` separates."""
        raise NotImplementedError

    def to_dict(self):
        """The dictionary form."""
        return {"distribution": self.kind} | vars(self)


@dataclass(frozen=True)
class _Uniform(Distribution):
    low: float
    high: float
    kind = "uniform"

    def __post_init__(self):
        low, high = real(self.low, "uniform: low"), real(self.high, "uniform: high")
        if not low <= high or not math.isfinite(high - low):
            raise ParameterError(f"uniform: low must be at most high, got {low} and {high}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def __repr__(self):
        return f"uniform({self.low:g}, {self.high:g})"

    def bounds(self):
        return self.low, self.high

    def draw(self, key, purpose, projection, offsets):
        return _wiring.synapse_values(
            key, purpose, projection, offsets, self.kind, self.low, self.high, self.low, self.high
        )


@dataclass(frozen=True)
class _Normal(Distribution):
    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf
    kind = "normal"

    def __post_init__(self):
        for name in ("mean", "std", "low", "high"):
            value = getattr(self, name)
            infinite = name in ("low", "high")
            object.__setattr__(self, name, real(value, f"normal: {name}", infinite=infinite))
        if self.std < 0.0:
            raise ParameterError(f"normal: std must be a finite number >= 0, got {self.std}")
        if self.std > 0.0:
            curve = NormalDist(self.mean, self.std)
            inside = (curve.cdf(self.high) if self.high < math.inf else 1.0) - (
                curve.cdf(self.low) if self.low > -math.inf else 0.0
            )
        else:
            inside = float(self.low <= self.mean <= self.high)
        if not inside >= 1e-3:
            raise ParameterError(
                f"normal: low and high must leave at least 0.001 of the distribution, as numbers outside are drawn "
                f"again, got [{self.low}, {self.high}] for mean {self.mean} and std {self.std}"
            )

    def __repr__(self):
        limits = "" if self.bounds() == (-math.inf, math.inf) else f", low={self.low:g}, high={self.high:g}"
        return f"normal({self.mean:g}, {self.std:g}{limits})"

    def bounds(self):
        return self.low, self.high

    def draw(self, key, purpose, projection, offsets):
        return _wiring.synapse_values(
            key, purpose, projection, offsets, self.kind, self.mean, self.std, self.low, self.high
        )


@named_arguments
def uniform(low, high):
    """Numbers that are uniform in [low, high), one for each synapse, for ``weight=`` and ``delay=``.

    Drawn from (network seed, projection, source).

    Raises
    ------
    ParameterError
        If `low` is above `high`.
    """
    return _Uniform(low, high)


@named_arguments
def normal(mean, std, low=-math.inf, high=math.inf):
    """Normal numbers, one for each synapse, for ``weight=`` and ``delay=``; those outside [low, high] are drawn again.

    A delay needs ``low >= 0``. Drawn from (network seed, projection, source).

    Raises
    ------
    ParameterError
        For a negative `std`, and if nearly all numbers would lie outside.
    """
    return _Normal(mean, std, low, high)


def distribution_from_dict(d, name):
    """The distribution that :meth:`Distribution.to_dict` describes.

    Raises
    ------
    ParameterError
        If there is none of that name, or its parameters are wrong; `name` says whose it is.
    """
    kinds = {kind.kind: kind for kind in (_Uniform, _Normal)}
    kind = d.get("distribution")
    if not isinstance(kind, str) or kind not in kinds:
        raise unknown_name(f"distribution of {name}", kind, kinds)
    parameters = {key: value for key, value in d.items() if key != "distribution"}
    allowed = list(kinds[kind].__annotations__)
    for key in parameters:
        if key not in allowed:
            raise unknown_name(f"parameter of {kind}", key, allowed)
    try:
        return kinds[kind](**parameters)
    except TypeError:
        raise ParameterError(f"{name}: {kind} needs {', '.join(allowed[:2])}, got {shown(parameters)}") from None
