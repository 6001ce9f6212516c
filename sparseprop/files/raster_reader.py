"""Reading rasters: ours, also damaged or unfinished ones, and SONATA files of other programs."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._validation import flag
from ..errors import FileFormatError, StorageError, named_arguments
from .raster_format import FINISHED, FORMAT_OF_PIECES, HDF5_ERRORS, RUNNING, Row, crc_of
from .storage import decode, full_name, kind_of, readable, sha256

if TYPE_CHECKING:
    from .._types import Description, Floats, Ints, PathLike

__all__ = ["RasterData", "raster_info", "read_raster", "refuse_existing"]

_COPY = 1 << 16  # records that `RasterWriter.resume` takes over at a time
_IN_USE = (errno.EAGAIN, errno.EACCES)

# The first bytes of an HDF5 file: signature, version, sizes of offsets and lengths, who has it open, four
# addresses (base, extension, end of file, root group), checksum.
_SUPERBLOCK = struct.Struct("<8s4B4QI")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_WRITE = 4
_WORD = 0xFFFFFFFF

_READ_ATTEMPTS = 3

# Of timestamps in files of other programs, in ms; bmtk writes "milliseconds".
_UNITS = {"ms": 1.0, "milliseconds": 1.0, "millisecond": 1.0, "s": 1e3, "seconds": 1e3, "second": 1e3}
# The population of spikes that are in no population.
_UNNAMED = "spikes"


@named_arguments
@dataclass(frozen=True, eq=False)
class RasterData:
    """A raster as it was read.

    Attributes
    ----------
    times : numpy.ndarray of float64, shape (n_spikes,)
        Times in ms, non-decreasing.
    ids : numpy.ndarray of int64, shape (n_spikes,)
        Global ids, in the merged order.
    populations : tuple of (str, int)
        Name and size of each population in the order of the global ids.
    header : dict
        As it was given to the writer; empty for files of other programs.
    footer : dict or None
        As it was given at the end; None if the run did not finish, and for files of other programs.
    finished : bool
        Whether the run that wrote the file came to its end.
    n_recorded : tuple of int or None
        Of how many neurons of each population spikes were recorded, where the file says so.
    """

    times: Floats
    ids: Ints
    populations: tuple[tuple[str, int], ...]
    header: dict[str, Any]
    footer: dict[str, Any] | None
    finished: bool
    n_recorded: tuple[int | None, ...] = ()


class _Info(NamedTuple):
    """A file of ours without its spikes."""

    populations: tuple[tuple[str, int], ...]
    header: dict[str, Any]
    rows: list[Row]  # newest first


@contextlib.contextmanager
def reading(path):
    """The open HDF5 file, and whether its writer never closed it; h5py's many errors become one of ours."""
    name = readable(path)
    file, patched = _opened(name)
    try:
        yield file, patched is not None
    except (MemoryError, StorageError):
        raise
    except FileFormatError as error:
        raise FileFormatError(f"{name}: {error}") from error
    except Exception as error:
        if getattr(error, "errno", None) == errno.EIO:
            raise StorageError(f"cannot read {name}: {error}") from error
        raise FileFormatError(f"{name} is damaged: {error}") from error
    finally:
        file.close()
        if patched is not None:
            patched.close()


def _opened(name):
    """The open file, and what stands between it and HDF5 if its writer never closed it (else None)."""
    import h5py

    try:
        return h5py.File(name, "r"), None
    except Exception as error:
        superblock = _left_open_superblock(name)
        if superblock is not None:
            with contextlib.suppress(Exception):
                patched = _Patched(name, superblock)
                return h5py.File(patched, "r"), patched
        if getattr(error, "errno", None) in _IN_USE:
            raise StorageError(f"cannot read {name}: another program has it open for writing") from error
        raise FileFormatError(f"{name} is no HDF5 file, or is damaged: {error}") from error


def _left_open_superblock(name):
    """The first bytes of a file as if its SWMR writer had closed it; None for any other file.

    HDF5 itself opens such a file only in its mode for SWMR readers. That waits for damaged metadata to become
    right, ever longer and in the end for years.
    """
    with open(name, "rb") as file:
        head = file.read(_SUPERBLOCK.size)
    if len(head) < _SUPERBLOCK.size:
        return None
    *fields, checksum = _SUPERBLOCK.unpack(head)
    signature, version, _, _, flags, _, _, _, _ = fields
    left_open = signature == _SIGNATURE and version == 3 and flags & _SWMR_WRITE
    if not left_open or checksum != _lookup3(head[:-4]):
        return None
    fields[4], fields[7] = 0, os.path.getsize(name)  # open for nobody; the end of the file is here
    head = _SUPERBLOCK.pack(*fields, 0)[:-4]
    return head + _lookup3(head).to_bytes(4, "little")


def _lookup3(data):
    """Checksum of HDF5's metadata, Bob Jenkins's lookup3 (slow, and not for no data at all)."""

    def rotated(x, k):
        return (x << k | x >> (32 - k)) & _WORD

    a = b = c = (0xDEADBEEF + len(data)) & _WORD
    words = np.frombuffer(data + bytes(-len(data) % 12), "<u4").tolist()
    for k in range(0, len(words), 3):
        a, b, c = (a + words[k]) & _WORD, (b + words[k + 1]) & _WORD, (c + words[k + 2]) & _WORD
        if k + 3 < len(words):
            for shift in (4, 6, 8, 16, 19, 4):
                a = (a - c & _WORD) ^ rotated(c, shift)
                a, b, c = b, (c + b) & _WORD, a
    for shift in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - rotated(b, shift) & _WORD
        a, b, c = b, c, a
    return b


class _Patched(io.RawIOBase):
    """A file, to be read with other bytes at its beginning."""

    def __init__(self, name, head):
        super().__init__()
        self._file = open(name, "rb", buffering=0)  # noqa: SIM115 (closed with this object)
        self._head = head

    def seek(self, offset, whence=os.SEEK_SET):
        return self._file.seek(offset, whence)

    def tell(self):
        return self._file.tell()

    def readinto(self, buffer):
        view = memoryview(buffer).cast("B")
        start, n = self._file.tell(), 0
        while n < len(view) and (k := self._file.readinto(view[n:])):
            n += k
        view[n:] = bytes(len(view) - n)  # behind the end; HDF5 does not look at how much was read
        n_head = len(self._head[start : start + len(view)])
        view[:n_head] = self._head[start : start + n_head]
        return len(view)

    def close(self):
        self._file.close()
        super().close()


def _is_ours(file):
    if "run" not in file or "sparseprop_raster" not in file["run"].attrs:
        return False
    version = int(file["run"].attrs["sparseprop_raster"])
    if version > FORMAT_OF_PIECES:
        raise FileFormatError(
            f"written by a newer version of sparseprop (format {version}, this one reads "
            f"up to {FORMAT_OF_PIECES}); update sparseprop"
        )
    return True


def _read_info(file):
    run = file["run"]
    text = run["header"][()].tobytes()
    if sha256(text) != run["header"].attrs["sha256"].tobytes():
        raise FileFormatError("the header does not match its checksum")
    content = json.loads(text)
    rows = [Row.from_words(words) for words in run["committed"][()]]
    valid = sorted((row for row in rows if row is not None), reverse=True)
    if not valid and run["committed"][()].any():
        raise FileFormatError("the table of committed spikes is damaged")
    populations = tuple((name, n) for name, n in content["populations"])
    header = decode(content["header"], "header", lambda k, like: run[f"arrays/{k}"][()])
    return _Info(populations, header, valid)


def _streams(file, populations):
    streams = []
    for name, _ in populations:
        group = file["spikes"][name]
        streams += [group["timestamps"], group["node_ids"]]
    return streams + ([file["run/order"]] if len(populations) > 1 else [])


class _Column(NamedTuple):
    """The records of a stream that a row speaks of: first those in its dataset, then those in the tails."""

    stream: Any
    size: int
    crc: int
    stored: int
    tail: np.ndarray

    def read(self, start, stop):
        """Records `start` to `stop`."""
        stored = self.stream[min(start, self.stored) : min(stop, self.stored)]
        return np.concatenate([stored, self.tail[max(start - self.stored, 0) : max(stop - self.stored, 0)]])

    def check(self, slices):
        """Insist that `slices` are all the records, whole and in order."""
        n, crc = 0, 0
        for records in slices:
            n, crc = n + records.size, crc_of(records, crc)
        if n != self.size or crc != self.crc:
            raise FileFormatError(f"the records of {self.stream.name} do not match their checksum")


def _columns(file, streams, row):
    columns = []
    at = 0
    for stream, count, crc in zip(streams, row.counts, row.crcs, strict=True):
        stored = count - count % stream.chunks[0] if row.stage == RUNNING else count
        n_bytes = (count - stored) * stream.dtype.itemsize
        tail = file["run/tails"][row.sequence % 2, at : at + n_bytes] if n_bytes else np.zeros(0, "u1")
        columns.append(_Column(stream, count, crc, stored, tail.view(stream.dtype)))
        at += n_bytes
    return columns


def _read_records(file, streams, row):
    """The records of each stream that `row` speaks of, checked against their CRC."""
    records = []
    for column in _columns(file, streams, row):
        data = column.read(0, column.size)
        column.check([data])
        records.append(data)
    return records


def _read_footer(file, row):
    """The footer of a finished run, or None."""
    if row.stage != FINISHED:
        return None
    text = file["run/footer"][: row.footer_size].tobytes()
    if sha256(text) != row.footer_sha256:
        raise FileFormatError("the footer does not match its checksum")
    return decode(
        json.loads(text),
        "footer",
        lambda start, like: file["run/values"][start : start + like.nbytes].view(like.dtype),
    )


def _merged(populations, records):
    """Times and global ids in the merged order."""
    starts = np.concatenate([[0], np.cumsum([n for _, n in populations], dtype=np.int64)])
    if len(populations) == 1:
        return records[0], records[1].astype(np.int64)
    by_population = np.argsort(records[-1], kind="stable")
    times = np.empty(by_population.size)
    ids = np.empty(by_population.size, np.int64)
    times[by_population] = np.concatenate(records[0:-1:2])
    ids[by_population] = np.concatenate(
        [local.astype(np.int64) + start for local, start in zip(records[1::2], starts, strict=False)]
    )
    return times, ids


def _newest(rows, read):
    """What `read` makes of the newest row whose checks hold; None if no row was written yet."""
    failure: Exception | None = None
    for row in rows:
        try:
            return read(row)
        except (FileFormatError, *HDF5_ERRORS) as error:
            failure = failure or error
    if failure is not None:
        raise FileFormatError(str(failure)) from failure
    return None


def _read_ours(file):
    info = _read_info(file)
    streams = _streams(file, info.populations)
    n_recorded = _n_recorded(file, info.populations)

    def data(row):
        footer = _read_footer(file, row)
        times, ids = _merged(info.populations, _read_records(file, streams, row))
        return RasterData(times, ids, info.populations, info.header, footer, row.stage == FINISHED, n_recorded)

    nothing = RasterData(np.zeros(0), np.zeros(0, np.int64), info.populations, info.header, None, False, n_recorded)
    return _newest(info.rows, data) or nothing  # the writer was killed before its first commit


class _Kept(NamedTuple):
    """The first spikes of a raster, to begin a new one with."""

    populations: tuple[tuple[str, int], ...]
    header: dict[str, Any]
    n_spikes: int
    columns: list[_Column]
    n_recorded: tuple[int | None, ...]

    def blocks(self):
        """Times and ids in the merged order, slice by slice."""
        done = [0] * len(self.populations)
        for start in range(0, self.n_spikes, _COPY):
            stop = min(start + _COPY, self.n_spikes)
            order = self.columns[-1].read(start, stop) if len(done) > 1 else np.zeros(stop - start, np.uint8)
            records = []
            for k, n in enumerate(np.bincount(order, minlength=len(done)).tolist()):
                records += [column.read(done[k], done[k] + n) for column in self.columns[2 * k : 2 * k + 2]]
                done[k] += n
            yield _merged(self.populations, [*records, order])


def spikes_kept(file, n_spikes, run_id):
    """The first `n_spikes` spikes of a file, after all checks."""
    if not _is_ours(file):
        raise FileFormatError("this file of another program cannot be gone on with; load it and record to a new one")
    info = _read_info(file)
    if run_id is not None and info.header.get("run_id") != run_id:
        raise FileFormatError(
            f"this is the raster of run {info.header.get('run_id')}, not of {run_id}: it was replaced since; put the "
            "right file in its place, or begin anew"
        )
    streams = _streams(file, info.populations)

    def checked(row):
        columns = _columns(file, streams, row)
        for column in columns:
            column.check(column.read(at, min(at + _COPY, column.size)) for at in range(0, column.size, _COPY))
        return row.n_spikes, columns

    n_committed, columns = _newest(info.rows, checked) or (0, [])
    if n_committed < n_spikes:
        raise FileFormatError(
            f"{n_committed} spikes are committed in this file, too few to go on behind the first {n_spikes}; go on "
            "from an earlier state, or begin a new file"
        )
    return _Kept(info.populations, info.header, n_spikes, columns, _n_recorded(file, info.populations))


def _n_recorded(file, populations):
    """Of how many neurons of each population the file says that spikes were recorded."""
    numbers = [file["spikes"][name].attrs.get("n_recorded") for name, _ in populations]
    return tuple(None if number is None else int(number) for number in numbers)


def _foreign_groups(file):
    spikes = file.get("spikes")
    groups = {}
    if spikes is not None and hasattr(spikes, "keys"):
        # Before populations came to SONATA, spikes were in the group itself, and ids were gids.
        candidates = {_UNNAMED: spikes} | {name: spikes[name] for name in spikes}
        groups = {name: group for name, group in candidates.items() if _ids_in(group) and "timestamps" in group}
    if not groups:
        raise FileFormatError(
            f"it is {kind_of(file)}, and has no spikes in SONATA format (/spikes/<population>/timestamps and node_ids)"
        )
    return groups


def _ids_in(group):
    """The name of the ids in a group of spikes, or None."""
    return next((name for name in ("node_ids", "gids") if hasattr(group, "keys") and name in group), None)


def _foreign_population(name, group):
    """Times in ms and local ids of one population of a file that is not ours."""
    times, ids = group["timestamps"][()], group[_ids_in(group)][()]
    numbers = times.dtype.kind in "fiu" and ids.dtype.kind in "iu"
    if times.ndim != 1 or times.shape != ids.shape or not numbers:
        raise FileFormatError(f"population {name!r} has timestamps or node_ids that are no column of numbers")
    units = group["timestamps"].attrs.get("units", "ms")
    units = units.decode() if isinstance(units, bytes) else str(units)
    if units not in _UNITS:
        raise FileFormatError(
            f"times of population {name!r} are in {units!r}; only {', '.join(map(repr, _UNITS))} are known"
        )
    times = times.astype(np.float64) * _UNITS[units]
    if not np.isfinite(times).all() or (ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 1 << 48):
        raise FileFormatError(f"population {name!r} has times that are not finite, or ids out of range")
    return times, ids.astype(np.uint64)


def _read_foreign(file):
    """A SONATA file of another program: sizes are guessed, and equal times stay in the order of the file."""
    columns = {name: _foreign_population(name, group) for name, group in _foreign_groups(file).items()}
    populations = tuple((name, int(ids.max()) + 1 if ids.size else 0) for name, (_, ids) in columns.items())
    starts = np.cumsum([0] + [n for _, n in populations])
    times = np.concatenate([times for times, _ in columns.values()])
    ids = np.concatenate(
        [ids.astype(np.int64) + start for (_, ids), start in zip(columns.values(), starts, strict=False)]
    )
    order = np.argsort(times, kind="stable")
    return RasterData(times[order], ids[order], populations, {}, None, True)


@named_arguments
def refuse_existing(
    path: PathLike, overwrite: bool, remedy: str = "overwrite=True", or_else: str = "or another name"
) -> None:
    """Refuse to put a file in the place of another one, unless that was asked for.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        True: nothing is refused.
    remedy, or_else : str
        What the message tells to do.

    Raises
    ------
    ParameterError
        If `overwrite` is no bool.
    StorageError
        If there is a file of that name. Empty ones, and rasters of runs of which nothing came to be, do not count.
    """
    name = full_name(path)
    if flag(overwrite, "overwrite") or not os.path.isfile(name) or os.path.getsize(name) == 0:
        return
    try:
        info = raster_info(name)
        n_spikes, header = info["n_spikes"], info["header"]
        if not (n_spikes or info["finished"] or "earlier" in header):
            return
        seed = f", seed {header['seed']}" if "seed" in header else ""
        cut = "" if info["finished"] else ", not finished"
        what = f"the raster of another run ({n_spikes:,} spikes{seed}{cut})"
    except (FileFormatError, StorageError):
        what = "not a raster, or a damaged one"
    raise StorageError(f"cannot write {name}: it exists, and is {what}; give {remedy} to replace it, {or_else}")


def _stamp(path):
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def read_with_state(path):
    """The raster, and whether its writer never closed it."""
    name = readable(path)
    attempt = 0
    while True:
        attempt += 1
        stamp = _stamp(name)
        try:
            with reading(name) as (file, left_open):
                return _read_ours(file) if _is_ours(file) else _read_foreign(file), left_open
        except FileFormatError:
            # A writer that is at work may have overtaken us; a file that rests is damaged.
            if attempt == _READ_ATTEMPTS or _stamp(name) == stamp:
                raise


@named_arguments
def read_raster(path: PathLike) -> RasterData:
    """Read a raster: one of ours, or a SONATA spike file of another program.

    Parameters
    ----------
    path : path-like
        Name of the file.

    Returns
    -------
    RasterData
        With every check of the file passed. For a file of another program the size of a population is its
        largest id + 1, and spikes are sorted by time.

    Raises
    ------
    StorageError
        The file does not exist or cannot be read.
    FileFormatError
        It is damaged, or something else.

    Warns
    -----
    UserWarning
        The run that wrote the file did not finish; the spikes that it had committed are returned.
    """
    data, left_open = read_with_state(path)
    if not data.finished:
        remedy = "; recover_raster copies them into a file that every program can read" if left_open else ""
        warnings.warn(
            f"{full_name(path)}: the run that writes this file did not finish, or still goes on; "
            f"{data.times.size} spikes are in it{remedy}",
            UserWarning,
            stacklevel=2,
        )
    return data


@named_arguments
def raster_info(path: PathLike) -> Description:
    """What a raster says of itself, without reading (or checking) the spikes.

    Parameters
    ----------
    path : path-like
        Name of the file.

    Returns
    -------
    dict
        ``populations, header, footer, finished`` as in :class:`RasterData` (for files of other programs the
        sizes of populations are None), ``n_spikes`` and ``counts``, the number of spikes by population.

    Raises
    ------
    StorageError, FileFormatError
        As for :func:`read_raster`.
    """
    with reading(path) as (file, _):
        if not _is_ours(file):
            groups = _foreign_groups(file)
            counts = {name: int(group["timestamps"].shape[0]) for name, group in groups.items()}
            return {
                "populations": tuple((name, None) for name in counts),
                "header": {},
                "footer": None,
                "finished": True,
                "n_spikes": sum(counts.values()),
                "counts": counts,
            }
        info = _read_info(file)
        names = [name for name, _ in info.populations]
        row = info.rows[0] if info.rows else Row(0, RUNNING, 0, 0, b"", (0, 0) * len(names), ())
        return {
            "populations": info.populations,
            "header": info.header,
            "footer": _read_footer(file, row),
            "finished": row.stage == FINISHED,
            "n_spikes": row.n_spikes,
            "counts": dict(zip(names, row.counts[0 : 2 * len(names) : 2], strict=True)),
        }
