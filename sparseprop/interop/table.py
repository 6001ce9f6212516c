"""Spikes as they are in any file: what readers return, and writers get."""

from typing import NamedTuple

import numpy as np

from ..errors import FileFormatError, ParameterError
from ..files.populations import PopulationInfo
from ..run.result import Result

__all__ = ["SpikeTable", "table_of"]


class SpikeTable(NamedTuple):
    """Spikes in their order, of populations by name; what a file does not say is None.

    Attributes
    ----------
    times : ndarray of float64, shape (n,)
        ms.
    names : tuple of str
        Of populations.
    population, neuron : ndarray of int64, shape (n,)
        The place of the population in `names`, and the id within it.
    sizes : tuple of int or None
        Of each population.
    t_start, t_stop : float or None
        ms.
    run_id : str or None
    recorded : tuple
        Of each population True, an array of local ids, or None where nobody knows.
    sources : tuple of str
        Names of the populations that are sources, where the file says so.
    """

    times: np.ndarray
    names: tuple
    population: np.ndarray
    neuron: np.ndarray
    sizes: tuple
    t_start: float | None = None
    t_stop: float | None = None
    run_id: str | None = None
    recorded: tuple | None = None
    sources: tuple = ()

    def result(self, path, sizes, t_start, t_stop):
        """The Result; what the file does not say is given by the user, or guessed as by :func:`sparseprop.load`.

        Raises
        ------
        ParameterError, FileFormatError
            If spikes are not within the interval or the populations.
        """
        if self.neuron.size and self.neuron.min() < 0:
            raise FileFormatError(f"{path}: ids must not be negative, got {int(self.neuron.min())}")
        if not np.isfinite(self.times).all():
            raise FileFormatError(f"{path}: times must be finite, got {self.times[~np.isfinite(self.times)][0]}")
        infos, recorded, first = [], {}, 0
        for k, (name, known) in enumerate(zip(self.names, self.sizes, strict=True)):
            least = int(self.neuron[self.population == k].max(initial=-1)) + 1
            n = sizes.get(name, known)
            if n is not None and n < least:
                raise ParameterError(f"{path}: population {name!r} has a neuron {least - 1}, and so not {n} neurons")
            infos.append(PopulationInfo(name, least if n is None else n, "", first, name in self.sources))
            recorded[name] = None if n is None else True
            if self.recorded is not None and name not in sizes:
                recorded[name] = self.recorded[k]
            first += infos[-1].n
        order = np.argsort(self.times, kind="stable")
        times = self.times[order]
        ids = np.array([info.first for info in infos], np.int64)[self.population[order]] + self.neuron[order]
        begin = self.t_start if t_start is None else t_start
        begin = times.min(initial=0.0) if begin is None else begin
        end = self.t_stop if t_stop is None else t_stop
        end = times.max(initial=begin) if end is None else end
        if times.size and not begin <= times[0] <= times[-1] <= end:
            raise ParameterError(
                f"{path}: t_start and t_stop must enclose the spikes, from {times[0]:g} to {times[-1]:g} ms, got "
                f"{begin:g} and {end:g}"
            )
        more = {} if self.run_id is None else {"run_id": self.run_id}
        return Result((times, ids), infos, t_start=float(begin), t_stop=float(end), recorded=recorded, **more)


def table_of(result):
    """The spikes of a Result."""
    firsts = np.array([info.first for info in result.populations], np.int64)
    population = np.searchsorted(firsts, result.ids, side="right") - 1
    return SpikeTable(
        result.times,
        tuple(info.name for info in result.populations),
        population,
        result.ids - firsts[population],
        tuple(info.n for info in result.populations),
        float(result.t_start),
        float(result.t_stop),
        result.run_id,
        tuple(result.recorded[info.name] for info in result.populations),
        tuple(info.name for info in result.populations if info.is_source),
    )
