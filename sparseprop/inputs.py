"""What drives a network from outside: spike trains, Poisson processes and currents that change in steps."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._validation import index_array, is_array, real, real_array
from .errors import ParameterError, named_arguments, shown, unknown_name
from .files.populations import number_recorded, populations_in, recorded_in
from .files.raster_reader import read_raster

if TYPE_CHECKING:
    from ._types import ArrayLike, Description, Floats, NumberOrArray, PathLike, PopulationName

__all__ = [
    "Poisson",
    "PoissonSource",
    "Source",
    "SpikeSource",
    "Steps",
    "input_from_dict",
    "poisson",
    "source_from_dict",
    "steps",
]

HIGHEST_RATE = 1e12  # Hz; the events of a neuron are then still 10^4 resolutions of time apart
EVENTS_PER_INTERVAL = 12.0  # expected of a neuron in an interval of a Poisson process, at most; see _poisson.pxd


def _read_only(array):
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def _profile(times, values, what, allowed, low, unit=None):
    """Checked times and values of a piecewise constant function, values of shape (n_times, 1 or n)."""
    name = f"{what.partition(':')[0]}: times"
    times = real_array(times, name, "finite times >= 0 ms", unit="ms", low=0.0)
    if not times.size or not (np.diff(times) > 0.0).all():
        raise ParameterError(f"{name} must be at least one, and each later than the one before, got {shown(times)}")
    array = real_array(values, what, allowed, low=low, unit=unit, ndim=(0, 1, 2, 3), copy=False)
    if array.ndim not in (1, 2) or array.shape[0] != times.size:
        raise ParameterError(
            f"{what} must have shape ({times.size},), one for each time, or ({times.size}, n) with one for each "
            f"neuron, got shape {array.shape}"
        )
    if not array.size:
        raise ParameterError(f"{what} must be {allowed}, got none")
    return _read_only(times), _read_only(np.array(array.reshape(times.size, -1)))


@dataclass(frozen=True, eq=False)
class Poisson:
    """Independent Poisson processes, one for each neuron; made by :func:`poisson`.

    Attributes
    ----------
    rate : float or ndarray
        Hz: a number, one per neuron, or with `times` shape (n_times, 1) or (n_times, n).
    times : ndarray or None
        ms, from which on each row of rates holds.
    """

    rate: NumberOrArray
    times: NumberOrArray = None
    name: ClassVar[str] = "poisson"

    def __post_init__(self):
        if self.times is not None:
            times, rate = _profile(self.times, self.rate, "poisson: rate", "finite numbers >= 0 Hz", 0.0, "Hz")
            object.__setattr__(self, "times", times)
        elif is_array(self.rate):
            rate = _read_only(real_array(self.rate, "poisson: rate", "finite rates >= 0 Hz", unit="Hz", low=0.0))
        else:
            rate = real(self.rate, "poisson: rate", "a finite rate >= 0 Hz", unit="Hz", low=0.0)
        if np.max(rate, initial=0.0) > HIGHEST_RATE:
            raise ParameterError(f"poisson: rate must be at most {HIGHEST_RATE:g} Hz, got {np.max(rate)}")
        object.__setattr__(self, "rate", rate)

    def __repr__(self) -> str:
        if isinstance(self.rate, float):
            return f"poisson({self.rate:g} Hz)"
        changes = "" if self.times is None else f", {self.times.size} pieces"
        return f"poisson({np.min(self.rate):g} to {np.max(self.rate):g} Hz{changes})"

    @property
    def size(self) -> int | None:
        """The number of neurons the rates are for, or None."""
        if isinstance(self.rate, float):
            return None
        if self.times is None:
            return self.rate.shape[0]
        return self.rate.shape[1] if self.rate.shape[1] > 1 else None

    def highest(self) -> Floats:
        """The highest rate of each neuron in events per ms, shape (1,) or (n,)."""
        rate = np.atleast_1d(self.rate) if self.times is None else self.rate.max(axis=0)
        return rate * 1e-3

    def fractions(self) -> Floats | None:
        """The rates over the highest one of each neuron, shape (n_times, 1 or n); None if they do not change."""
        if self.times is None:
            return None
        highest = self.rate.max(axis=0)
        return np.ascontiguousarray(self.rate / np.where(highest > 0.0, highest, 1.0))

    def interval(self, longest: float) -> float:
        """The length in ms of the intervals in which events are drawn: a power of two, at most `longest`.

        So that a neuron with the highest rate has 6 to 12 in one.
        """
        highest = float(self.highest().max(initial=0.0))
        if highest == 0.0:
            return longest
        return min(longest, math.ldexp(1.0, math.frexp(EVENTS_PER_INTERVAL / highest)[1] - 1))

    def to_dict(self) -> Description:
        """The dictionary form."""
        d = {"name": self.name, "rate": self.rate}
        return d if self.times is None else d | {"times": self.times}


@dataclass(frozen=True, eq=False)
class Steps:
    """A current that changes in steps; made by :func:`steps`.

    Attributes
    ----------
    times : ndarray, shape (n_times,)
        ms.
    values : ndarray, shape (n_times, 1) or (n_times, n)
        What is added to I_e from then on.
    """

    times: NumberOrArray
    values: NumberOrArray
    name: ClassVar[str] = "steps"

    def __post_init__(self):
        times, values = _profile(self.times, self.values, "steps: values", "finite numbers", -math.inf)
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "values", values)

    def __repr__(self) -> str:
        return f"steps({self.times.size} from {self.times[0]:g} to {self.times[-1]:g} ms)"

    @property
    def size(self) -> int | None:
        """The number of neurons the values are for, or None."""
        return self.values.shape[1] if self.values.shape[1] > 1 else None

    def at(self, times: ArrayLike) -> Floats:
        """What is added to I_e at these times, shape (n_times, 1 or n)."""
        k = np.searchsorted(self.times, times, side="right") - 1
        return np.where((k >= 0)[:, None], self.values[k], 0.0)

    def to_dict(self) -> Description:
        """The dictionary form."""
        return {"name": self.name, "times": self.times, "values": self.values}


class Source:
    """Populations that emit spikes and receive none: :class:`SpikeSource` and :class:`PoissonSource`."""

    @property
    def size(self) -> int | None:
        """The number of neurons that the parameters are for, or None."""
        raise NotImplementedError

    def to_dict(self) -> Description:
        """The dictionary form: the name and the parameters."""
        raise NotImplementedError


@named_arguments
@dataclass(frozen=True, eq=False)
class SpikeSource(Source):
    """Given spikes.

    Parameters
    ----------
    times : array_like
        Spike times in ms, >= 0, in any order.
    ids : array_like of int
        Which neuron of the population each one is of. A neuron may spike several times at once.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> source = net.add(2, sp.SpikeSource([1.0, 3.0], [0, 1]), name="input")
    >>> target = net.add(1, sp.LIF(tau_m=10.0), name="target")
    >>> p = net.connect(source, target, sp.all_to_all(), weight=1.5, delay=2.0)
    >>> net.run(10.0).times
    array([3., 5.])
    """

    times: NumberOrArray
    ids: NumberOrArray

    def __post_init__(self):
        times = real_array(self.times, "SpikeSource: times", "finite times >= 0 ms", unit="ms", low=0.0)
        ids = index_array(self.ids, "SpikeSource: ids", 2**31 - 1)
        if times.size != ids.size:
            raise ParameterError(f"SpikeSource: times and ids must have one length, got {times.size} and {ids.size}")
        order = np.lexsort((ids, times))
        object.__setattr__(self, "times", _read_only(times[order] + 0.0))
        object.__setattr__(self, "ids", _read_only(ids[order]))

    @classmethod
    def from_raster(cls, path: PathLike, population: PopulationName | None = None) -> SpikeSource:
        """The spikes of a raster file, to be replayed.

        Parameters
        ----------
        path : path-like
            A raster of this package, or any SONATA spike file.
        population : str, optional
            Whose spikes; default: those of all, with global ids.

        Raises
        ------
        StorageError, FileFormatError
            If the file cannot be read.
        ParameterError
            If it has no such population, or nothing of it was recorded.

        Warns
        -----
        UserWarning
            If some of its neurons were not recorded: they are silent in the replay.
        """
        data = read_raster(path)
        infos = populations_in(data.header, data.populations)
        if data.finished and data.footer is None:  # of another program
            recorded = dict.fromkeys((info.name for info in infos), None)
        else:
            recorded = recorded_in(data.header, infos)
        times, ids = data.times, data.ids
        if population is not None:
            name = getattr(population, "name", population)
            infos = [info for info in infos if info.name == name]
            if not infos:
                raise unknown_name("population", name, [name for name, _ in data.populations])
            first, n = infos[0].first, infos[0].n
            mine = (ids >= first) & (ids < first + n)
            times, ids = times[mine], ids[mine] - first
        numbers = [(info, number_recorded(info, recorded[info.name])) for info in infos]
        missing = [(info, n) for info, n in numbers if n not in (info.n, None) and (n or not info.is_source)]
        if population is not None and infos[0].n and numbers[0][1] == 0:
            raise ParameterError(f"{path} has no spikes of {population!r}, as they were not recorded; record them")
        if missing:
            named = ", ".join(f"{n} of {info.n} neurons of {info.name!r}" for info, n in missing)
            warnings.warn(
                f"{path} has the spikes of {named}; the others are silent in the replay", UserWarning, stacklevel=2
            )
        return cls(times, ids)

    def __repr__(self) -> str:
        return f"SpikeSource({self.times.size} spikes)"

    @property
    def size(self) -> int | None:
        """The number of neurons is not fixed; ids only have to be below it."""
        return None

    def to_dict(self) -> Description:
        return {"name": "SpikeSource", "times": self.times, "ids": self.ids}


@named_arguments
@dataclass(frozen=True, eq=False)
class PoissonSource(Source):
    """Poisson spike trains, each of which all targets of its neuron share.

    Parameters
    ----------
    rate, times
        As for :func:`poisson`.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> noise = net.add(100, sp.PoissonSource(10.0), name="noise")
    >>> target = net.add(1, sp.LIF(tau_m=20.0), name="target")
    >>> p = net.connect(noise, target, sp.all_to_all(), weight=0.1)
    >>> net.run(1000.0)["target"].n_spikes > 0
    True
    """

    rate: NumberOrArray
    times: NumberOrArray = None

    if TYPE_CHECKING:

        @property
        def process(self) -> Poisson: ...

    def __post_init__(self):
        object.__setattr__(self, "process", Poisson(self.rate, self.times))
        object.__setattr__(self, "rate", self.process.rate)
        object.__setattr__(self, "times", self.process.times)

    def __repr__(self) -> str:
        return f"PoissonSource{repr(self.process)[len('poisson') :]}"

    @property
    def size(self) -> int | None:
        """The number of neurons the rates are for, or None."""
        return self.process.size

    def to_dict(self) -> Description:
        return self.process.to_dict() | {"name": "PoissonSource"}


@named_arguments
def poisson(rate: ArrayLike, times: ArrayLike | None = None) -> Poisson:
    """Independent Poisson processes, one for each neuron, for :meth:`Network.drive`.

    Parameters
    ----------
    rate : float or array_like
        Hz. A number, or one per neuron, shape (n,). With `times`, one for each of these, shape (n_times,), or one
        for each and each neuron, shape (n_times, n).
    times : array_like, shape (n_times,), optional
        ms, ascending: from times[k] on the rate is rate[k]; before times[0] it is 0.

    Raises
    ------
    ParameterError
        For rates that are negative, above 1e12 Hz or not finite, and for shapes that do not fit.

    Notes
    -----
    Numbers are Poisson to the rounding of a double, and times are multiples of 2^-32 of an interval in which a neuron
    with the highest rate has 6 to 12 events (or fewer: it is at most 16 epochs of the network, some 100 of the smallest
    tau_m). What is drawn depends on that interval: drives with neighbouring rates share no events.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(100, sp.LIF(tau_m=20.0), name="E")
    >>> noise = net.drive(E, sp.poisson(1000.0), weight=0.1)
    >>> burst = net.drive(E, sp.poisson([0.0, 5000.0, 0.0], times=[0.0, 50.0, 60.0]), weight=0.1)
    >>> net.run(100.0).n_spikes > 0
    True
    """
    return Poisson(rate, times)


@named_arguments
def steps(times: ArrayLike, values: ArrayLike) -> Steps:
    """A current that changes in steps, for :meth:`Network.drive`; exact at each step.

    Parameters
    ----------
    times : array_like, shape (n_times,)
        ms, ascending.
    values : array_like, shape (n_times,) or (n_times, n)
        What is added to I_e from times[k] on, for all neurons or for each. Before times[0] nothing is added. Each step
        is work for each neuron: some 0.1 us for LIF and LIFExp, 10 us for QIF, Theta and QuadraticIF (3 us where the
        value comes again). EIF and NumericalIF need a table for each different value, at most 200 of them.

    Raises
    ------
    ParameterError
        For times or values that are not finite, or shapes that do not fit.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(1, sp.LIF(tau_m=10.0), name="E", V=0.0)
    >>> step = net.drive(E, sp.steps([0.0, 20.0, 40.0], [0.0, 1.5, 0.0]))
    >>> net.run(100.0).times.round(3).tolist()
    [30.986]
    """
    return Steps(times, values)


def _from_table(makers, d, what):
    name = d.get("name") if isinstance(d, dict) else None
    if not isinstance(name, str) or name not in makers:
        raise unknown_name(what, name, makers)
    make, allowed, needed = makers[name]
    arguments = {key: value for key, value in d.items() if key != "name"}
    for key in arguments:
        if key not in allowed:
            raise unknown_name(f"parameter of {name}", key, allowed)
    for key in needed:
        if key not in arguments:
            raise ParameterError(f"{what} {name} has no {shown(key)}; it needs {', '.join(needed)}")
    return make(**arguments)


def input_from_dict(d: Any) -> Any:
    """What :func:`poisson` or :func:`steps` returned, from its dictionary form."""
    makers = {
        "poisson": (Poisson, ["rate", "times"], ["rate"]),
        "steps": (Steps, ["times", "values"], ["times", "values"]),
    }
    return _from_table(makers, d, "input")


def source_from_dict(d: Any) -> Any:
    """A source from its dictionary form; a SpikeSource may also be given as ``file`` and ``population``."""
    makers: dict[str, tuple[Any, ...]] = {
        "SpikeSource": (SpikeSource, ["times", "ids"], ["times", "ids"]),
        "PoissonSource": (PoissonSource, ["rate", "times"], ["rate"]),
    }
    if isinstance(d, dict) and d.get("name") == "SpikeSource" and "file" in d:
        makers["SpikeSource"] = (_replayed, ["file", "population"], ["file"])
    return _from_table(makers, d, "source")


def _replayed(file, population=None):
    if not isinstance(file, (str, os.PathLike)):
        raise ParameterError(f"SpikeSource: file must be the name of a raster, got {shown(file)}")
    return SpikeSource.from_raster(file, population)
