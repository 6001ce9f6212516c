"""States of simulations in files: written whole or not at all, and checked when they are read."""

import contextlib
import json
import os

from ..errors import CheckpointMismatchError, FileFormatError, StorageError
from .storage import (
    Arrays,
    beside,
    decode,
    encode,
    full_name,
    kind_of,
    readable,
    sha256,
    sync_folder,
    to_text,
    writable,
)

__all__ = ["fingerprint", "read_state", "refuse_other_files", "write_state"]

# Of the meaning of what is in a state; another one means that numbers would come out differently.
VERSION = 2
WRITERS = {"simulation": "Simulation.save", "training": "Trainer.save", "lyapunov": "Lyapunov.save"}


def fingerprint(description):
    """A SHA-256, in hexadecimal, of a description: a dictionary with arrays."""
    return sha256(to_text(encode(description, "the network", Arrays(by_byte=False)))).hex()


def refuse_other_files(path):
    """Refuse to put states, one after the other, in the place of a file that is something else.

    Raises
    ------
    StorageError
        If there is a file that is no saved state, and not empty.
    """
    import h5py

    name = full_name(path)
    if not os.path.isfile(name) or os.path.getsize(name) == 0:
        return
    try:
        with h5py.File(name, "r") as file:
            kind = None if "sparseprop_state" in file.attrs else kind_of(file)
    except OSError:
        kind = "no HDF5 file, or damaged"
    if kind is not None:
        raise StorageError(f"cannot write {name}: it exists, and is {kind}; delete it, or give another name")


def write_state(path, content):
    """Write a dictionary with arrays; what was there before stays until all of the new file is safe on the disk.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    import h5py

    name = writable(path)
    partial = beside(name, "partial")
    arrays = Arrays(by_byte=False)
    text = to_text(encode(content, "the state", arrays))
    try:
        with h5py.File(partial, "w") as file:
            file.attrs["sparseprop_state"] = VERSION
            file.attrs["sha256"] = sha256(text).hex()
            file["state"] = text.decode("ascii")
            for k, array in enumerate(arrays.items):
                file[f"arrays/{k}"] = array
        _sync(partial)
        os.replace(partial, name)
        sync_folder(name)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise StorageError(f"cannot write {name}: {error}; what was there before is untouched") from error


def _sync(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_state(path, kind):
    """What :func:`write_state` wrote, with all checksums checked.

    Parameters
    ----------
    path : path-like
    kind : {"simulation", "training", "lyapunov"}
        Of what it has to be the state.

    Raises
    ------
    StorageError
        If the file cannot be read.
    FileFormatError
        If it is damaged, or not a saved state.
    CheckpointMismatchError
        If it is the state of something else, or was written by a version whose states mean something else.
    """
    import h5py

    name = readable(path)
    try:
        with h5py.File(name, "r") as file:
            if "sparseprop_state" not in file.attrs:
                raise FileFormatError(f"it is {kind_of(file)}, and not a saved state; {WRITERS[kind]} writes these")
            if int(file.attrs["sparseprop_state"]) != VERSION:
                raise CheckpointMismatchError(
                    f"it is of version {int(file.attrs['sparseprop_state'])}, and this package goes on from version "
                    f"{VERSION} only; finish the run with the package that began it"
                )
            text = file["state"][()]
            if sha256(text).hex() != file.attrs["sha256"]:
                raise FileFormatError("it does not match its checksum")
            content = json.loads(text)
            if content.get("kind", "simulation") != kind:
                raise CheckpointMismatchError(f"it is {kind_of(file)}, and not that of a {kind}")
            return decode(content, "state", lambda number, _: file[f"arrays/{number}"][()])
    except FileFormatError as error:
        raise type(error)(f"{name}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:
        raise FileFormatError(f"{name} is damaged, or no saved state: {error}") from error
