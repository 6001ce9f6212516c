"""Spikes in Neurodata Without Borders, which counts in seconds."""

import datetime

import numpy as np

from ..errors import FileFormatError, warn
from ..exports.parts import imported
from .table import SpikeTable

__all__ = ["read_nwb", "write_nwb"]

_START = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)  # simulated time has no date


def write_nwb(path, table):
    """A table of units, one for each neuron that was recorded, with the columns population and neuron.

    Times are ``time / 1000`` in s, rounded once. Warns of equal times of one unit, which validators of NWB call
    critical.
    """
    pynwb = imported("pynwb", "NWB")
    from hdmf.common import VectorData, VectorIndex

    firsts = np.concatenate([[0], np.cumsum(table.sizes)[:-1]]).astype(np.int64)
    ids = firsts[table.population] + table.neuron
    units = np.concatenate([np.zeros(0, np.int64), *map(_recorded, range(len(table.sizes)), [table] * len(firsts))])
    order = np.lexsort((np.arange(len(ids)), ids))
    times, ids = table.times[order] / 1e3, ids[order]
    same = int(np.count_nonzero((np.diff(times) == 0.0) & (np.diff(ids) == 0)))
    if same:
        warn(
            f"{same} spikes are at the same time in seconds as the one before of the same unit; validators of NWB call "
            "that critical",
            UserWarning,
        )
    which = np.searchsorted(firsts, units, side="right") - 1
    interval = np.tile([table.t_start / 1e3, table.t_stop / 1e3], (len(units), 1))
    spikes = VectorData(name="spike_times", description="s", data=times)
    ends = np.searchsorted(ids, units, side="right")
    observed = VectorData(name="obs_intervals", description="of the run, in s", data=interval)
    columns = [
        spikes,
        VectorIndex(name="spike_times_index", target=spikes, data=ends.astype(np.uint64)),
        observed,
        VectorIndex(name="obs_intervals_index", target=observed, data=np.arange(1, len(units) + 1, dtype=np.uint64)),
        VectorData(name="population", description="name of its population", data=np.array(table.names, object)[which]),
        VectorData(name="neuron", description="id within its population", data=units - firsts[which]),
    ]
    file = pynwb.NWBFile("simulated by sparseprop", table.run_id or "unknown", _START)
    sizes = ", ".join(f"{name}: {n}" for name, n in zip(table.names, table.sizes, strict=True))
    file.units = pynwb.misc.Units(name="units", description=f"simulated neurons ({sizes})", columns=columns, id=units)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def _recorded(k, table):
    """Global ids of those of a population that were recorded; where nobody knows, of those that fired."""
    first, who = int(np.sum(table.sizes[:k], dtype=np.int64)), table.recorded[k]
    if who is None:
        who = np.unique(table.neuron[table.population == k])
    return first + (np.arange(table.sizes[k]) if who is True else np.asarray(who, np.int64))


def read_nwb(path):
    """The table of units of a file; those of other programs have a population and numbers of their own.

    Populations are those of a column `population`, else all are in ``"units"``; neurons are numbered by a column
    `neuron`, else by the ids of units where these are whole numbers from 0 on and different.
    """
    pynwb = imported("pynwb", "NWB")
    try:
        with pynwb.NWBHDF5IO(path, "r") as io:
            file = io.read()
            units = file.units
            if units is None or "spike_times" not in units.colnames:
                raise FileFormatError(f"{path} has no table of units with spike times")
            spikes, ends = units["spike_times"].target.data[:], np.asarray(units["spike_times"].data[:], np.int64)
            numbers = np.asarray(units["neuron"].data[:] if "neuron" in units.colnames else units.id[:], np.int64)
            names = ["units"] * len(numbers)
            if "population" in units.colnames:
                names = [str(name) for name in units["population"].data[:]]
            begin = end = None
            if "obs_intervals" in units.colnames and len(numbers):
                observed = np.asarray(units["obs_intervals"].target.data[:])
                if len(observed):
                    begin, end = 1e3 * float(observed.min()), 1e3 * float(observed.max())
            identifier = file.identifier
    except (OSError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path} is no NWB file: {error}") from error
    found = tuple(dict.fromkeys(names))
    which = np.array([found.index(name) for name in names], np.int64)
    per_unit = np.diff(ends, prepend=0)
    times = np.asarray(spikes, float) * 1e3
    recorded = []
    for k in range(len(found)):
        mine = np.sort(numbers[which == k])
        if (np.diff(mine) == 0).any():
            raise FileFormatError(f"{path}: units of {found[k]!r} must have different numbers, got some twice")
        recorded.append(mine if mine.size and mine[-1] + 1 > mine.size else True)
    if times.size and end is not None:  # what multiplying with 1000 has rounded
        begin, end = min(begin, times.min()), max(end, times.max())
    sizes = tuple(int(numbers[which == k].max(initial=-1)) + 1 for k in range(len(found)))
    return SpikeTable(
        times, found, np.repeat(which, per_unit), np.repeat(numbers, per_unit), sizes, begin, end, identifier,
        tuple(recorded),
    )  # fmt: skip
