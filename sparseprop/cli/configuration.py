"""Configuration files: the network, and the tables [run] and [sweep] beside it."""

import copy
import tomllib

from ..errors import FileFormatError, ParameterError, StorageError, shown, unknown_name
from ..files.raster_reader import raster_info
from ..models import MODELS
from ..network import ENTRIES, Network

__all__ = ["RUN_KEYS", "network_of", "read_config", "run_of", "run_table", "sweep_table", "swept_network"]

RUN_KEYS = ("duration", "n_spikes", "engine", "seed", "checkpoint", "every")


def read_config(path):
    """The content of a TOML file."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no text in UTF-8 (byte {error.start})") from error


def run_of(path):
    """The network, the run and the Record (as dictionaries) of a configuration, or of the run that wrote a raster."""
    if not path.lower().endswith((".h5", ".hdf5")):
        config = read_config(path)
        return config, run_table(config, path), {}
    header = raster_info(path)["header"]
    if "network" not in header or "run" not in header:
        raise ParameterError(f"{path} does not say how it was made: it has no network and run in its header")
    if "earlier" in header:
        raise ParameterError(f"{path} holds {len(header['earlier']) + 1} pieces of a simulation; repeat them in Python")
    if header.get("t_start", 0.0) != 0.0:
        raise ParameterError(
            f"{path} holds a later piece of a simulation, from {header['t_start']:g} ms on; repeat all of it"
        )
    options = {key: header["run"][key] for key in ("duration", "n_spikes") if header["run"][key] is not None}
    return header["network"], options | {key: header[key] for key in ("engine", "seed")}, header["run"]["record"]


def run_table(config, path, keys=RUN_KEYS):
    """Take the table [run] out of a configuration."""
    options = config.pop("run", {})
    if not isinstance(options, dict):
        raise ParameterError(f"{path}: run must be a table, [run], got {shown(options)}")
    for key in options:
        if key not in keys:
            raise ParameterError(f"{path}: {unknown_name('entry of [run]', key, keys)}")
    return options


def sweep_table(config, path):
    """Take the table [sweep] out of a configuration, as a grid of paths that are there."""
    table = config.pop("sweep", {})
    if not isinstance(table, dict):
        raise ParameterError(f"{path}: sweep must be a table, [sweep], got {shown(table)}")
    grid = dict(_flat(table))
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ParameterError(
                f"{path}: {name} in [sweep] must be a list of values such as [1, 2], got {shown(values)}"
            )
        try:
            _place(config, name)
        except ParameterError as error:
            raise ParameterError(f"{path}: {error}") from error
    return grid


def _flat(table, path=""):
    """(path, values) of a table; without quotes around a path, TOML makes tables in tables of it."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield path + key, value


def _place(config, path):
    """The table or list that a path leads to, and the key in it."""
    place, above = config, []
    parts = path.split(".")
    for k, part in enumerate(parts):
        if isinstance(place, list):
            names = [entry.get("name") if isinstance(entry, dict) else None for entry in place]
            keys = {str(key): key for key in range(len(place))} | {
                name: key for key, name in enumerate(names) if above == ["populations"] and isinstance(name, str)
            }
        elif isinstance(place, dict):
            keys = {key: key for key in [*place, *_optional_entries(place, above)]}
        else:
            keys = {}
        if part not in keys:
            what = f"part of the path {shown(path)} in [sweep]"
            if not keys:
                raise ParameterError(f"unknown {what}: {shown(part)}, as {'.'.join(parts[:k])} has no parts")
            raise unknown_name(what, part, keys)
        above.append(part)
        if k < len(parts) - 1:
            if isinstance(place, dict) and keys[part] not in place:
                raise ParameterError(
                    f"path {shown(path)} in [sweep] leads through {shown(part)}, which the configuration lacks"
                )
            place = place[keys[part]]
    return place, keys[part]


def _optional_entries(table, above):
    """What a table of a configuration may have besides what it has."""
    if not above or (len(above) == 2 and above[0] in ENTRIES):
        required, optional = ENTRIES[above[0] if above else "network"]
        return required + optional
    if above[0] == "populations" and above[2:] == ["model"] and str(table.get("name")) in MODELS:
        return list(MODELS[table["name"]].table)
    return []


def swept_network(config, **point):
    """The network of a configuration with other values at some paths."""
    config = copy.deepcopy(config)
    for path, value in point.items():
        place, key = _place(config, path)
        place[key] = copy.deepcopy(value)
    return Network.from_dict(config)


def network_of(config, path, comm=None):
    """The network of a configuration, perhaps shared by several processes; messages begin with its name."""
    try:
        return Network.from_dict(config, comm)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error
