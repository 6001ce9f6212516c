"""Distributions: of weights and delays, one random number per synapse; of V and parameters, one per neuron."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._validation import real
from ..errors import ParameterError, named_arguments, shown, unknown_name
from ..numerics._functions import exp, log
from . import _wiring

if TYPE_CHECKING:
    from .._types import Description, Floats, Ints, Key
    from .random import Purpose

__all__ = ["Distribution", "distribution_from_dict", "lognormal", "normal", "uniform"]


class Distribution:
    """What :func:`uniform`, :func:`normal` and :func:`lognormal` return."""

    kind: ClassVar[str]

    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest number there can be."""
        raise NotImplementedError

    def draw(self, key: Key, purpose: Purpose, projection: int, offsets: Ints, first: int = 0) -> Floats:
        """One number for each synapse of the rows that `offsets` separates, the first of which is number `first`."""
        raise NotImplementedError

    def draw_neurons(self, key: Key, purpose: Purpose, population: int, name: str, n: int) -> Floats:
        """One number for each of `n` neurons: a function of key, purpose, population, `name` and neuron.

        Parameters
        ----------
        key : ndarray of uint64, shape (2,)
        purpose : Purpose
        population : int
            Its place in the network.
        name : str
            Of what is drawn, such as ``"tau_m"``, ``"tau_syn[1]"``, ``"V"`` or ``"I_syn[0]"``.
        n : int

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        # The index of a stream has 64 bits: the name in the upper half.
        index = zlib.crc32(name.encode()) << 32 | population
        return self.draw(key, purpose, index, np.arange(n + 1, dtype=np.int64))

    def require(
        self, name: str, allowed: str, low: float = -math.inf, high: float = math.inf, low_open: bool = False
    ) -> None:
        """Refuse a distribution that reaches out of what is allowed."""
        lowest, highest = self.bounds()
        if not (lowest > low if low_open else lowest >= low):
            above = f"above {low:g}" if low_open else f"at least {low:g}"
            raise ParameterError(f"{name} must be {allowed}, got {self!r}; give it a low= {above}")
        if not highest <= high:
            raise ParameterError(f"{name} must be {allowed}, got {self!r}; give it high={high:g}")

    def to_dict(self) -> Description:
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

    def __repr__(self) -> str:
        return f"uniform({self.low:g}, {self.high:g})"

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def draw(self, key: Key, purpose: Purpose, projection: int, offsets: Ints, first: int = 0) -> Floats:
        return _wiring.synapse_values(
            key, purpose, projection, offsets, self.kind, self.low, self.high, self.low, self.high, first
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
        _require_enough(self, self.mean, self.std, self.low, self.high)

    def __repr__(self) -> str:
        limits = "" if self.bounds() == (-math.inf, math.inf) else f", low={self.low:g}, high={self.high:g}"
        return f"normal({self.mean:g}, {self.std:g}{limits})"

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def draw(self, key: Key, purpose: Purpose, projection: int, offsets: Ints, first: int = 0) -> Floats:
        return _wiring.synapse_values(
            key, purpose, projection, offsets, self.kind, self.mean, self.std, self.low, self.high, first
        )


def _require_enough(distribution, mean, std, low, high):
    """Refuse limits within which a normal number hardly ever lies."""
    if std > 0.0:
        curve = NormalDist(mean, std)
        inside = (curve.cdf(high) if high < math.inf else 1.0) - (curve.cdf(low) if low > -math.inf else 0.0)
    else:
        inside = float(low <= mean <= high)
    if not inside >= 1e-3:
        center, width = list(vars(distribution))[:2]
        raise ParameterError(
            f"{distribution.kind}: low and high must leave at least 0.001 of the distribution, as numbers outside are "
            f"drawn again, got [{distribution.low}, {distribution.high}] for {center} {mean} and {width} {std}"
        )


@dataclass(frozen=True)
class _Lognormal(Distribution):
    mu: float
    sigma: float
    low: float = 0.0
    high: float = math.inf
    kind = "lognormal"

    def __post_init__(self):
        for name in ("mu", "sigma", "low", "high"):
            object.__setattr__(self, name, real(getattr(self, name), f"lognormal: {name}", infinite=name == "high"))
        if self.sigma < 0.0:
            raise ParameterError(f"lognormal: sigma must be a finite number >= 0, got {self.sigma}")
        if not abs(self.mu) + 40.0 * self.sigma <= 700.0:
            raise ParameterError(
                f"lognormal: mu and sigma are of the logarithm, and must be so small that numbers stay in range, got "
                f"{self.mu} and {self.sigma}"
            )
        low = log(self.low) if self.low > 0.0 else -math.inf
        high = (log(self.high) if self.high > 0.0 else -math.inf) if self.high < math.inf else math.inf
        _require_enough(self, self.mu, self.sigma, low, high)

    def __repr__(self) -> str:
        limits = "" if self.bounds() == (0.0, math.inf) else f", low={self.low:g}, high={self.high:g}"
        return f"lognormal({self.mu:g}, {self.sigma:g}{limits})"

    def bounds(self) -> tuple[float, float]:
        # Without a limit, the least number there can be is above 0: no normal number is beyond 8.6 standard deviations.
        return self.low or exp(self.mu - 40.0 * self.sigma), self.high

    def draw(self, key: Key, purpose: Purpose, projection: int, offsets: Ints, first: int = 0) -> Floats:
        return _wiring.synapse_values(
            key, purpose, projection, offsets, self.kind, self.mu, self.sigma, self.low, self.high, first
        )


@named_arguments
def uniform(low: float, high: float) -> Distribution:
    """Numbers that are uniform in [low, high), one for each synapse or neuron.

    For ``weight=`` and ``delay=`` of :meth:`Network.connect`, drawn from (network seed, projection, source); for any
    parameter of neurons, drawn from (network seed, population, neuron, name); for ``V=`` and ``I_syn=`` of
    :meth:`Network.add`, drawn from (seed of the run, population, neuron, name).

    Raises
    ------
    ParameterError
        If `low` is above `high`.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(100, sp.LIF(tau_m=sp.uniform(10.0, 20.0)), name="E")
    >>> bool(10.0 <= E.model.tau_m.min() < E.model.tau_m.max() < 20.0)
    True
    """
    return _Uniform(low, high)


@named_arguments
def normal(mean: float, std: float, low: float = -math.inf, high: float = math.inf) -> Distribution:
    """Normal numbers, one for each synapse or neuron; those outside [low, high] are drawn again.

    For what :func:`uniform` is for. A delay needs ``low >= 0``, a time constant ``low > 0``.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(1000, sp.LIF(tau_m=sp.normal(10.0, 1.0, low=5.0)), name="E", V=sp.normal(0.5, 0.1, high=1.0))
    >>> E.model.tau_m.shape, float(E.model.tau_m.mean().round(1))
    ((1000,), 10.0)

    Raises
    ------
    ParameterError
        For a negative `std`, and if nearly all numbers would lie outside.
    """
    return _Normal(mean, std, low, high)


@named_arguments
def lognormal(mu: float, sigma: float, low: float = 0.0, high: float = math.inf) -> Distribution:
    """Numbers whose logarithm is normal, one for each synapse or neuron; those outside [low, high] are drawn again.

    For what :func:`uniform` is for. The median is exp(mu), the mean exp(mu + sigma^2 / 2).

    Parameters
    ----------
    mu, sigma : float
        Mean and standard deviation of the logarithm.
    low, high : float
        Limits of the numbers themselves.

    Raises
    ------
    ParameterError
        For a negative `sigma`, and if nearly all numbers would lie outside.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(100, sp.LIF(tau_m=20.0), name="E")
    >>> p = net.connect(E, E, sp.fixed_indegree(10), weight=sp.lognormal(-2.0, 1.0))
    >>> bool((p.weight > 0.0).all())
    True
    """
    return _Lognormal(mu, sigma, low, high)


def distribution_from_dict(d: Any, name: str) -> Distribution:
    """The distribution that :meth:`Distribution.to_dict` describes.

    Raises
    ------
    ParameterError
        If there is none of that name, or its parameters are wrong; `name` says whose it is.
    """
    kinds = {kind.kind: kind for kind in (_Uniform, _Normal, _Lognormal)}
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
