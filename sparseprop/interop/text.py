"""Spikes in text: comma-separated values, also as bmtk and others write them."""

import csv
import json

import numpy as np

from ..errors import FileFormatError
from .table import SpikeTable

__all__ = ["read_csv", "write_csv"]

# Names of columns, here and elsewhere, with the factor to ms.
_TIMES = {"time_ms": 1.0, "time": 1.0, "times": 1.0, "timestamps": 1.0, "t": 1.0, "time_s": 1e3}
_NEURONS = ("neuron", "node_ids", "node_id", "id", "ids", "i", "senders", "sender", "gid", "gids")
_POPULATIONS = ("population", "populations")
_UNNAMED = "spikes"


def write_csv(path, table):
    """A line of JSON behind ``#`` with what is known of the run, the names of the columns, and a line for each spike.

    Times have the digits that give the same bits when they are read.
    """
    recorded = [who.tolist() if isinstance(who, np.ndarray) else who for who in table.recorded]
    about = {
        "t_start": table.t_start,
        "t_stop": table.t_stop,
        "run_id": table.run_id,
        "sources": table.sources,
        "populations": [list(pair) for pair in zip(table.names, table.sizes, recorded, strict=True)],
    }
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(f"# {json.dumps(about)}\n")
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["time_ms", "population", "neuron"])
        names = map(table.names.__getitem__, table.population.tolist())
        rows.writerows(zip(map(repr, table.times.tolist()), names, table.neuron.tolist(), strict=True))


def read_csv(path):
    """Columns by their names, separated by commas, semicolons, tabs or spaces; see docs/interop.md."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        about, line = {}, file.readline()
        while line.startswith("#") or line == "\n":
            about = _about(line) or about
            line = file.readline()
        separator = next((mark for mark in ",;\t " if mark in line), ",")
        names = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
        names = [name.strip().lower() for name in names]
        time, neuron = _column(path, names, _TIMES), _column(path, names, _NEURONS)
        population = next((names.index(name) for name in _POPULATIONS if name in names), None)
        try:
            columns = list(zip(*csv.reader(file, delimiter=separator, skipinitialspace=True), strict=True))
        except (ValueError, csv.Error) as error:
            raise FileFormatError(f"{path}: all rows must have as many fields as there are columns: {error}") from None
    columns = columns or [[] for _ in names]
    if len(columns) != len(names):
        raise FileFormatError(f"{path}: rows have {len(columns)} fields, and there are {len(names)} names of columns")
    try:
        times = np.array(columns[time], float)
        neurons = np.array(columns[neuron], str).astype(np.int64)
    except ValueError as error:
        raise FileFormatError(f"{path}: times must be numbers and neurons whole numbers: {error}") from None
    factor = _TIMES[names[time]]
    times = times * factor if factor != 1.0 else times
    known = {name: (n, who) for name, n, who in about.get("populations", [])}
    if population is None:
        found, which = (_UNNAMED,), np.zeros(len(times), np.int64)
    else:
        found, which = np.unique(np.array(columns[population], object).astype(str), return_inverse=True)
        found = tuple(found.tolist())
    every = (*known, *(name for name in found if name not in known))
    place = np.array([every.index(name) for name in found], np.int64)
    return SpikeTable(
        times,
        every,
        place[which] if len(which) else np.zeros(0, np.int64),
        neurons,
        tuple(known.get(name, (None,))[0] for name in every),
        about.get("t_start"),
        about.get("t_stop"),
        about.get("run_id"),
        tuple(_who(known.get(name, (None, None))[1]) for name in every) if known else None,
        tuple(about.get("sources", ())),
    )


def _about(line):
    """What :func:`write_csv` said of the run, or None for another comment."""
    try:
        about = json.loads(line.lstrip("# "))
    except ValueError:
        return None
    return about if isinstance(about, dict) and "populations" in about else None


def _who(recorded):
    return np.array(recorded, np.int64) if isinstance(recorded, list) else recorded


def _column(path, names, known):
    for name in known:
        if name in names:
            return names.index(name)
    raise FileFormatError(
        f"{path}: the first line must name the columns, among them one of {', '.join(known)}; got {names}"
    )
