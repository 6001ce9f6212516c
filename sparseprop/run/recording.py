"""What a run keeps: spikes in memory or in a file, membrane potentials, counts."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._machine import available_memory
from .._validation import flag, index_array, is_array, real, real_array
from ..errors import (
    FileFormatError,
    InsufficientMemoryError,
    ParameterError,
    StorageError,
    named_arguments,
    shown,
    unknown_name,
)
from ..files.raster_reader import refuse_existing
from ..files.raster_writer import RasterWriter
from ..models import names_of
from ..numerics.bins import bin_of, n_bins
from .loading import ending_with
from .pieces import same_recorded
from .stored import SpikesInFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._types import ArrayLike, Bools, Description, Ints, PathLike

__all__ = ["SHORTEST_INTERVAL", "Record", "Recorder", "times_every"]

SAMPLED = {"V": 8.0, "I_syn": 32.0}  # what can be recorded at given times, and bytes per neuron at most
SHORTEST_INTERVAL = 1e-6  # ms, of samples, bins and checkpoints: far below it times have no digits left


@named_arguments
@dataclass(frozen=True, eq=False)
class Record:
    """What to record in a run; for ``run(record=...)``.

    Parameters
    ----------
    path : path-like, optional
        Stream the spikes into this HDF5 raster; default: keep them in memory. If it holds what the same Simulation
        recorded until now, with the same Record, this piece is appended; that copies the file, so many short pieces
        are better kept in memory and joined by :func:`sparseprop.concatenate`.
    overwrite : bool
        Replace an existing file `path`; otherwise one that is not appended to is refused.
    spikes : bool, list of str, or dict
        True: of all neurons. False: of none; the result then still has their number. Names of populations, or
        ``{name: local ids}``: of those alone.
    V : dict or array_like of int, optional
        Of which neurons to record membrane potentials: ``{name of a population: local ids}`` (True for all ids), or
        global ids.
    V_times : float or array_like, optional
        When: every so many ms from the beginning of the run, or at these times (ms, ascending, of the simulation's
        time). A value at time t is exact, and that of the moment before whatever happens at t (at the beginning of a
        run: after what the run before it has taken, as one that `n_spikes` ended). Times outside [t_start, t_stop) of
        the run are left out; of an interval also the one that misses t_stop by rounding: 2.1 ms have seven times 0.3.
    I_syn, I_syn_times : optional
        The same for synaptic currents of LIFExp neurons; see `Result.I_syn`.
    bins : float, optional
        Count the spikes of each population (of sources only with `record_sources`) in bins of this width in ms, from
        the beginning of the run; takes memory for the bins only. Each bin includes its beginning (a spike less than a
        billionth of the width before it is at it: rounding must not decide); spikes at t_stop, where `n_spikes` ends a
        run, are counted too.
    record_sources : bool
        Whether spikes of sources are recorded too.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> neurons = net.add(10, sp.LIF(tau_m=10.0, I_e=1.5), name="E", V=0.0)
    >>> res = net.run(30.0, record=sp.Record(spikes=False, V={"E": [0]}, V_times=10.0, bins=15.0))
    >>> res.n_spikes, res.V.round(3).tolist(), res.counts["E"].tolist()
    (20, [[0.0], [0.948], [0.891]], [10, 10])
    """

    path: PathLike | None = None
    spikes: bool | Sequence[str] | Mapping[str, Any] = True
    V: ArrayLike | Mapping[str, Any] | None = None
    V_times: ArrayLike | None = None
    I_syn: ArrayLike | Mapping[str, Any] | None = None
    I_syn_times: ArrayLike | None = None
    bins: float | None = None
    record_sources: bool = False
    overwrite: bool = False

    def __post_init__(self):
        flag(self.record_sources, "Record: record_sources")
        if flag(self.overwrite, "Record: overwrite") and self.path is None:
            raise ParameterError("Record: overwrite=True needs the path of the file that may be replaced")
        if not isinstance(self.spikes, bool):
            object.__setattr__(self, "spikes", _by_name(self.spikes, "spikes"))
        for what in SAMPLED:
            self._check_sampled(what)
        if self.bins is not None:
            width = real(
                self.bins, "Record: bins", f"a width >= {SHORTEST_INTERVAL:g} ms", unit="ms", low=SHORTEST_INTERVAL
            )
            object.__setattr__(self, "bins", width)

    def _check_sampled(self, what):
        """Which neurons, and when, of what is sampled."""
        chosen, times = getattr(self, what), getattr(self, f"{what}_times")
        name = f"Record: {what}_times"
        if isinstance(chosen, dict):
            object.__setattr__(self, what, _by_name(chosen, what))
        elif chosen is not None:
            object.__setattr__(self, what, index_array(chosen, f"Record: {what}", 2**31 - 1))
        if (chosen is None) != (times is None):
            raise ParameterError(
                f"Record: {what} and {what}_times belong together; give both, which neurons and when, or neither"
            )
        if is_array(times):
            times = real_array(times, name, "finite times >= 0 ms", unit="ms", low=0.0)
            if not (np.diff(times) > 0.0).all():
                raise ParameterError(f"{name} must ascend, each time later than the one before")
            object.__setattr__(self, f"{what}_times", times)
        elif times is not None:
            every = real(times, name, f"an interval >= {SHORTEST_INTERVAL:g} ms", unit="ms", low=SHORTEST_INTERVAL)
            object.__setattr__(self, f"{what}_times", every)

    @classmethod
    def of(cls, record: PathLike | Record | None, overwrite: bool = False) -> Record:
        """What ``run(record=..., overwrite=...)`` got, as a Record."""
        overwrite = flag(overwrite, "overwrite")
        if isinstance(record, cls):
            return dataclasses.replace(record, overwrite=True) if overwrite else record
        if record is not None and not isinstance(record, (str, bytes, os.PathLike)):
            raise ParameterError(f"record must be None, the path of a raster, or sp.Record(...), got {shown(record)}")
        return cls(path=record, overwrite=overwrite)

    def spike_mask(self, populations: Sequence[Any]) -> Bools | None:
        """Of which global ids spikes are recorded: a bool array, or None for all."""
        sources = [info for info in populations if info.is_source]
        if self.spikes is True and (self.record_sources or not sources):
            return None
        mask = np.zeros(sum(info.n for info in populations), bool)
        if self.spikes is True:
            mask[:] = True
        elif self.spikes is not False:
            mask[_global_ids(self.spikes, populations, "spikes")] = True
        for info in sources:
            mask[info.first : info.first + info.n] &= self.record_sources
        return mask

    def sampled_ids(self, what: str, populations: Sequence[Any]) -> Ints:
        """Global ids of the neurons whose "V" or "I_syn" is recorded."""
        chosen = getattr(self, what)
        if chosen is None:
            return np.zeros(0, np.int64)
        if isinstance(chosen, dict):
            ids = _global_ids(chosen, populations, what)
        else:
            ids = index_array(chosen, f"Record: {what}", sum(info.n for info in populations))
        if what == "I_syn":
            for info in populations:
                other = (ids >= info.first) & (ids < info.first + info.n)
                if other.any() and not info.has_currents:
                    known = names_of(lambda model: model.has_currents)
                    raise ParameterError(
                        f"Record: I_syn is for {known} neurons, got neuron {int(ids[other][0])} of population "
                        f"{info.name!r}, which is {info.model}; leave it out"
                    )
        return ids

    def check_size(self, populations: Sequence[Any], duration: float | None) -> None:
        """Refuse what does not fit into memory; a run without `duration` may take any."""
        if duration is None:
            return
        needed = 0.0
        if self.bins is not None:
            needed += 8.0 * len(populations) * (duration / self.bins)
        for what, size in SAMPLED.items():
            times = getattr(self, f"{what}_times")
            if times is not None:
                n = duration / times if isinstance(times, float) else len(times)
                needed += (size * len(self.sampled_ids(what, populations)) + 128.0) * n
        available = available_memory()
        if needed > available:
            raise InsufficientMemoryError(
                f"Record: what bins, V_times and I_syn_times ask for takes {needed / 2**30:.3g} GiB in {duration} ms, "
                f"and {available / 2**30:.3g} GiB of memory are available; choose wider bins, fewer times or neurons"
            )

    def sample_times(self, what: str, t_start: float, t_stop: float) -> Iterator[float]:
        """The times in ms at which "V" or "I_syn" is recorded, ascending.

        Endless for an interval if `t_stop`, the end of the run, is infinite.
        """
        times = getattr(self, f"{what}_times")
        if times is None:
            return
        if isinstance(times, float):
            yield from times_every(times, t_start, t_stop)
        else:
            yield from times[times >= t_start].tolist()

    def to_dict(self) -> Description:
        """The dictionary form."""
        names = ("spikes", "V", "V_times", "I_syn", "I_syn_times", "bins", "record_sources")
        d = {name: getattr(self, name) for name in names if not (name.startswith("I_syn") and self.I_syn is None)}
        return d | {"path": None if self.path is None else os.path.abspath(os.fsdecode(self.path))}


def times_every(interval, t_start, t_stop):
    """The times at which something happens every so many ms from the beginning of a run to before its end."""
    numbers = range(n_bins(t_start, t_stop, interval)) if math.isfinite(t_stop) else itertools.count()
    return (t_start + k * interval for k in numbers)


def _by_name(chosen, what):
    """``{name: True or array of ids}``, where names, populations or a dictionary of them were given."""
    if not isinstance(chosen, dict):
        if isinstance(chosen, str) or not is_array(chosen):
            raise ParameterError(
                f"Record: {what} must be True, False, a list of populations, or {{population: ids}}, got "
                f"{shown(chosen)}"
            )
        chosen = dict.fromkeys(chosen, True)
    return {
        getattr(name, "name", name): True if ids is True else index_array(ids, f"Record: {what}", 2**31 - 1)
        for name, ids in chosen.items()
    }


def _global_ids(chosen, populations, what):
    """Global ids for ``{name: local ids or True}``."""
    known = {info.name: info for info in populations}
    parts = [np.zeros(0, np.int64)]
    for name, ids in chosen.items():
        if name not in known:
            raise unknown_name(f"population in Record.{what}", name, known)
        info = known[name]
        local = np.arange(info.n) if ids is True else index_array(ids, f"Record: {what} of {name!r}", info.n)
        parts.append(local + info.first)
    return np.concatenate(parts)


class Recorder:
    """What comes out of one run, as its Record wants it; a context, as it may have a file open.

    Parameters
    ----------
    record : Record
    result : Result
        Of the run; it is filled in by :meth:`finish`.
    state : dict, optional
        What :meth:`state` returned at a checkpoint, to go on from there.
    writes : bool
        False where another rank writes the file, and this one only counts.
    """

    def __init__(self, record, result, state=None, writes=True):
        self.record, self.result = record, result
        populations = result.populations
        self.mask = record.spike_mask(populations)
        self.ids = {what: record.sampled_ids(what, populations) for what in SAMPLED}
        self.starts = np.array([info.first for info in populations])
        resumed = state is not None
        state = state or {}
        self.n_recorded = state.get("n_recorded", 0)
        self.n_before = state.get("n_before", 0)  # spikes of earlier pieces in the file
        self.blocks = [(state.get("times", np.zeros(0)), state.get("ids", np.zeros(0, np.int64)))]
        self.sample_times = {what: list(state.get(f"{what}_times", ())) for what in SAMPLED}
        self.samples = {what: list(state.get(what, ())) for what in SAMPLED}
        self.counts = state.get("counts", np.zeros((len(populations), 0), np.int64))
        self.n_bins = state.get("n_bins", 0)  # up to the last one with a spike
        # How often each population fired; needed where not all of it is recorded.
        self.n_spikes = state.get("n_spikes", np.zeros(len(populations), np.int64))
        result.recorded = self._recorded(populations)
        self.writer = None
        if record.path is not None and writes:
            self.writer = self._resumed_writer() if resumed else self._new_writer()

    def _recorded(self, populations):
        """Of which neurons spikes are recorded, as ``Result.recorded`` has it."""
        recorded = {}
        for info in populations:
            mask = np.ones(info.n, bool) if self.mask is None else self.mask[info.first : info.first + info.n]
            recorded[info.name] = True if mask.all() else np.flatnonzero(mask)
        return recorded

    def _resumed_writer(self):
        return RasterWriter.resume(self.record.path, self.n_before + self.n_recorded, run_id=self.result.run_id)

    def _new_writer(self):
        """The writer of a file of its own, or behind the pieces that the Simulation recorded there before."""
        path, result = self.record.path, self.result
        before, run_id = (None, None) if self.record.overwrite else self._piece_before()
        if before is not None:
            if not same_recorded(before.recorded, result.recorded):
                raise ParameterError(
                    f"record: {os.fsdecode(path)} has the spikes of other neurons of this Simulation; record the same "
                    "ones in each piece, or to another file, or give overwrite=True to replace it"
                )
            self.n_before = before.n_in_file
            header = result.file_header(before.pieces)
            return RasterWriter.resume(path, self.n_before, run_id=run_id, header=header)
        refuse_existing(path, self.record.overwrite)
        names = [(info.name, info.n) for info in result.populations]
        return RasterWriter(path, names, header=result.file_header(), n_recorded=result.numbers_recorded())

    def _piece_before(self):
        """What is in the file if it ends with the run that came before this one on the same Simulation, else None.

        And the identity that the file has.
        """
        if self.result.follows is None or not os.path.isfile(self.record.path):
            return None, None
        try:
            before, run_id = ending_with(self.record.path, self.result.follows)
        except (FileFormatError, StorageError):
            return None, None
        if before is None or before.populations != self.result.populations or before.t_stop != self.result.t_start:
            return None, None
        return before, run_id

    def __enter__(self):
        if self.writer is not None:
            self.writer.__enter__()
        return self

    def __exit__(self, *error):
        return False if self.writer is None else self.writer.__exit__(*error)

    def append(self, times, ids):
        """Take a block of spikes in their order."""
        times, ids = np.asarray(times, dtype=np.float64), np.asarray(ids, dtype=np.int64)
        if self.record.bins is not None or self.mask is not None:
            self._count(times, np.searchsorted(self.starts, ids, side="right") - 1)
        if self.mask is not None:
            wanted = self.mask[ids]
            times, ids = times[wanted], ids[wanted]
        self.n_recorded += len(times)
        if self.writer is not None:
            self.writer.append(times, ids)
        elif self.record.path is None and len(times):
            self.blocks.append((times, ids))

    def _count(self, times, populations):
        """Count spikes of populations, given by number, whether they are recorded or not."""
        self.n_spikes = self.n_spikes + np.bincount(populations, minlength=len(self.starts))
        if self.record.bins is None:
            return
        bins = bin_of(times, self.result.t_start, self.record.bins)
        if len(bins):
            self.n_bins = int(bins[-1]) + 1
            self._reserve(self.n_bins)
        np.add.at(self.counts, (populations, bins), 1)

    def _reserve(self, n_bins):
        """Make room for bins, twice as much as is needed so that it is rare."""
        if n_bins > self.counts.shape[1]:
            more = np.zeros((len(self.starts), 2 * n_bins - self.counts.shape[1]), np.int64)
            self.counts = np.concatenate([self.counts, more], axis=1)

    def sample(self, what, time, values):
        """Take membrane potentials ("V"), or synaptic currents ("I_syn"), at a time in ms."""
        self.sample_times[what].append(time)
        self.samples[what].append(np.array(values, dtype=float))

    def flush(self):
        """Make the spikes in a file safe against whatever happens."""
        if self.writer is not None:
            self.writer.flush()

    def state(self):
        """All that was recorded besides what is safe in a file."""
        names = ("n_recorded", "n_before", "n_spikes", "counts", "n_bins")
        state = {name: getattr(self, name) for name in names}
        for what, ids in self.ids.items():
            if len(ids):
                state |= {f"{what}_times": np.array(self.sample_times[what]), what: self._sampled(what)}
        if self.record.path is None:
            state["times"], state["ids"] = self._spikes()
        return state

    def _sampled(self, what):
        samples = self.samples[what]
        if samples:
            return np.array(samples)
        return np.zeros((0, len(self.ids[what])) + ((0,) if what == "I_syn" else ()))

    def _spikes(self):
        self.blocks = [tuple(np.concatenate(arrays) for arrays in zip(*self.blocks, strict=True))]
        return self.blocks[0]

    def _finished(self, what):
        return self._sampled(what), np.array(self.sample_times[what]), self.ids[what]

    def _seen(self):
        """Number and name of each population whose spikes came here, whether they are recorded or not."""
        for k, info in enumerate(self.result.populations):
            if not info.is_source or self.record.record_sources:
                yield k, info.name

    def finish(self):
        """Hand everything to the result, and close the file."""
        result = self.result
        if self.record.V is not None:
            result.V, result.V_times, result.V_ids = self._finished("V")
        if self.record.I_syn is not None:
            result.I_syn, result.I_syn_times, result.I_syn_ids = self._finished("I_syn")
        if self.record.bins is not None:
            # A spike at the very end may be in a bin that begins there.
            n = max(n_bins(result.t_start, result.t_stop, self.record.bins), self.n_bins)
            self._reserve(n)
            result.bin_width = self.record.bins
            result.counts = {name: self.counts[k, :n].copy() for k, name in self._seen()}
        if self.mask is not None:
            result.spikes_of = {name: int(self.n_spikes[k]) for k, name in self._seen()}
        if self.writer is not None:
            self.writer.close(**result.file_footer())
        if self.record.path is None:
            result._spikes = self._spikes  # joined when first asked for
        else:
            result._spikes = SpikesInFile(result.path, result.run_id, result.t_start, self.n_recorded)
