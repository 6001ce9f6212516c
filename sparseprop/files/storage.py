"""What files have in common: text with arrays beside it, names, and what is safe on the disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FileFormatError, ParameterError, StorageError, shown

if TYPE_CHECKING:
    from .._types import PathLike

__all__ = [
    "Arrays",
    "as_bytes",
    "beside",
    "decode",
    "encode",
    "full_name",
    "kind_of",
    "readable",
    "sha256",
    "sync_folder",
    "to_text",
    "writable",
]


def sha256(data):
    return hashlib.sha256(data).digest()


class Arrays:
    """Arrays that text refers to by a number: in the header which one, in the footer at which byte it begins."""

    def __init__(self, by_byte):
        self.by_byte, self.items, self.n_bytes = by_byte, [], 0

    def add(self, array):
        """Take an array in; its number."""
        number = self.n_bytes if self.by_byte else len(self.items)
        self.items.append(array)
        self.n_bytes += array.nbytes
        return number


def as_bytes(array):
    return array.reshape(-1).view(np.uint8)


def encode(value, where, arrays):
    """`value` as strict JSON; its arrays are moved to `arrays`."""
    if isinstance(value, np.ndarray):
        return _encode_array(value, where, arrays)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        # Strict JSON has no infinity, and an infinite threshold is a common parameter.
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise ParameterError(f"keys in {where} must be strings that do not begin with '$', got {shown(key)}")
        return {key: encode(item, f"{where}[{key!r}]", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item, f"{where}[{k}]", arrays) for k, item in enumerate(value)]
    raise ParameterError(
        f"{where} must be made of None, bool, int, float, str, list, dict and arrays, got {type(value).__name__}"
    )


def _encode_array(array, where, arrays):
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        raise ParameterError(
            f"{where} must be an array of booleans, integers, floats or complex numbers of "
            f"at most 64 bits per number, got dtype {array.dtype}"
        )
    array = np.array(array, order="C")
    return {
        "$array": arrays.add(array),
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "sha256": sha256(as_bytes(array)).hex(),
    }


def decode(value, where, stored):
    """The inverse of `encode`; ``stored(number, like)`` reads an array of the dtype and size of `like`."""
    if isinstance(value, list):
        return [decode(item, where, stored) for item in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value:
        return float(value["$float"])
    if "$array" in value:
        array = np.zeros(value["shape"], value["dtype"])
        if array.size:
            array[...] = stored(value["$array"], array).reshape(array.shape)
        if sha256(as_bytes(array)).hex() != value["sha256"]:
            raise FileFormatError(f"array {value['$array']} of the {where} does not match its checksum")
        return array
    return {key: decode(item, where, stored) for key, item in value.items()}


def to_text(content):
    return json.dumps(content, allow_nan=False).encode("ascii")


def full_name(path: PathLike) -> str:
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise ParameterError(f"path must be the name of a file, got {shown(path)}") from None
    if "\0" in name:
        raise ParameterError(f"path must not contain a null character, got {name!r}")
    return os.path.realpath(name)  # os.replace would put the file in place of a link


def writable(path):
    """The full name of a file that may be written.

    Raises
    ------
    StorageError
        The folder is missing or read-only, or something else has that name.
    """
    name = full_name(path)
    folder = os.path.dirname(name)
    if not os.path.isdir(folder):
        raise StorageError(f"cannot write {name}: the folder {folder} does not exist; create it first")
    if os.path.lexists(name) and not os.path.isfile(name):
        raise StorageError(f"cannot write {name}: it is a folder or a device; choose the name of a file")
    if not os.access(folder, os.W_OK | os.X_OK) or (os.path.exists(name) and not os.access(name, os.W_OK)):
        raise StorageError(f"cannot write {name}: no permission; choose another folder or change that")
    return name


def readable(path):
    """The full name of a regular file that may be read."""
    name = full_name(path)
    if os.path.lexists(name) and not os.path.isfile(name):
        raise StorageError(f"cannot read {name}: it is a folder or a device, not a file")
    try:
        with open(name, "rb"):
            return name
    except OSError as error:
        raise StorageError(f"cannot read {name}: {error.strerror}") from error


def beside(name, suffix):
    return os.path.join(os.path.dirname(name), f".{os.path.basename(name)}.{suffix}")


def sync_folder(name):
    """Make the name of a file survive a loss of power."""
    fd = os.open(os.path.dirname(name), os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def kind_of(file):
    """What an open HDF5 file is, in words, and what reads it."""
    if "sparseprop_state" in file.attrs:
        kind = json.loads(file["state"][()]).get("kind")
        if kind == "training":
            return "the state of a training (Trainer.resume reads it)"
        if kind == "lyapunov":
            return "the state of a measurement of exponents (sp.dynamics.Lyapunov.load reads it)"
        return "the state of a simulation (sp.Simulation.load reads it)"
    if "run" in file and "sparseprop_raster" in file["run"].attrs:
        return "a raster (sp.load reads it)"
    return "an HDF5 file of another program"
