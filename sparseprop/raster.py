"""Spike rasters in files: written while a simulation runs, safe against crashes, readable by SONATA tools.

A raster is a SONATA spike file (HDF5), so libsonata and what is built on it read it; what SONATA has no place
for is in the group ``/run``::

    /                       magic = 0x0A7A, version = [0, 1]
    /spikes/<population>    sorting = by_time; n_neurons, n_recorded (where they are known)
        timestamps          float64, units = "ms"
        node_ids            uint64, local to the population
    /run                    sparseprop_raster = 1 (the version of what follows; 2 with several pieces)
        header              JSON text: populations with their sizes, the caller's header (with what is known of
                            earlier pieces, under "earlier"); attribute sha256
        arrays/<k>          the arrays of the header (their SHA-256 is in the header text)
        order               population of each spike in the merged order (only with several populations)
        tails               two slots for records that do not fill a chunk yet (only in streamed files)
        footer              JSON text, written at the end
        values              the arrays of the footer, byte after byte (their SHA-256 is in the footer text)
        committed           two rows of 64-bit words: what of all this is valid (see `_Row`)

How a raster survives ``kill -9`` at any moment. Bulk data have a checksum per chunk, so a chunk is written
once and whole: rewriting one can tear it. Records that do not fill a chunk go into one of two slots of
``tails``, and then a row of ``committed`` (with a sequence number and its own SHA-256) says how many records
of each dataset count, with a CRC of them. Slots and rows alternate: while one is written, the other one and
the chunks that it speaks of are left alone. A reader takes the newest row whose checks hold. The last rows,
written when the file is closed, are both the same, so damage to one of them loses nothing. To go on with a
raster, or to append another piece to it, the spikes to be kept are copied into a new file, which takes the name
once they are committed there, and whose header says all that is known of the pieces before.

HDF5 is never shown a full disk if that can be helped, as it takes the interpreter down with it: the space is
checked before each commit, and a hidden ballast file beside the raster is emptied at the first error, so that
the file can be closed. The ballast file carries the lock that keeps a second writer out.
"""

import contextlib
import errno
import fcntl
import io
import json
import math
import os
import resource
import struct
import warnings
import weakref
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ._validation import flag, index_array, integer, real_array
from .errors import FileFormatError, ParameterError, StorageError, named_arguments, shown
from .storage import (
    Arrays,
    as_bytes,
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

__all__ = [
    "RasterData",
    "RasterWriter",
    "raster_info",
    "read_raster",
    "recover_raster",
    "refuse_existing",
    "write_raster",
]

_FORMAT, _FORMAT_OF_PIECES = 1, 2
_MAGIC = 0x0A7A
_SORTING = {"none": 0, "by_id": 1, "by_time": 2}

# HDF5's own metadata carry checksums from version 1.10 on; "latest" might be too new for other readers.
_LIBVER = ("v110", "v110")

# Records per HDF5 chunk. Every dataset ends in a chunk that is mostly empty, so many get small ones.
_CHUNK_MAX, _CHUNK_MIN, _CHUNK_TOTAL = 2048, 64, 32768
_TAIL_CHUNK = 4096  # bytes
_VALUES_CHUNK = 8192  # bytes
_TIMES = "finite times >= 0 ms (readers of SONATA refuse others; cut or shift them)"
_SLICE = 1 << 20  # records that `write_raster` hands over at a time
_COPY = 1 << 16  # and those that `RasterWriter.resume` takes over at a time

_BALLAST = 512 * 1024  # bytes set aside so that a file on a full disk can still be closed
_MARGIN = 512 * 1024  # bytes that must stay free after a commit
_METADATA = 8 * 1024  # bytes of HDF5 metadata that one dataset may take

# How far a file has come; in the rows of `committed`.
_RUNNING, _UNFINISHED, _FINISHED = 0, 1, 2

# What h5py raises when HDF5 reports an error.
_HDF5_ERRORS = (OSError, RuntimeError, ValueError)
_IN_USE = (errno.EAGAIN, errno.EACCES)

# The first bytes of an HDF5 file: signature, version, sizes of offsets and lengths, who has it open, four
# addresses (base, extension, end of file, root group), checksum.
_SUPERBLOCK = struct.Struct("<8s4B4QI")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_WRITE = 4
_WORD = 0xFFFFFFFF

_READ_ATTEMPTS = 3

_LIVE: "weakref.WeakSet[RasterWriter]" = weakref.WeakSet()


def _crc(records, before=0):
    """CRC of `records`, going on from that of the ones before them."""
    return zlib.crc32(records, before)


# -----------------------------------------------------------------------------------------------------------
# The row that says what is valid
# -----------------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """What of a file is valid. On disk: the fields in this order as 64-bit words, then a SHA-256 of them.

    The streams are the datasets ``timestamps`` and ``node_ids`` of each population in turn, and then
    ``order``. While a file is running, the records of a stream that do not fill a chunk are in the slot of
    ``tails`` with the parity of the sequence number, stream after stream.
    """

    sequence: int
    stage: int
    n_spikes: int
    footer_size: int
    footer_sha256: bytes
    counts: tuple[int, ...]
    crcs: tuple[int, ...]

    def words(self):
        """The row as it is on disk."""
        head = np.array([self.sequence, self.stage, self.n_spikes, self.footer_size], "<u8")
        body = np.concatenate(
            [head, np.frombuffer(self.footer_sha256, "<u8"), np.array(self.counts, "<u8"), np.array(self.crcs, "<u8")]
        )
        return np.concatenate([body, np.frombuffer(sha256(body), "<u8")])

    @classmethod
    def from_words(cls, words):
        """The row, or None if it is torn, damaged or was never written."""
        words = np.ascontiguousarray(words, "<u8")
        body = words[:-4]
        if sha256(body) != words[-4:].tobytes():
            return None
        n_streams = (body.size - 8) // 2
        sequence, stage, n_spikes, footer_size = body[:4].tolist()
        return cls(
            sequence,
            stage,
            n_spikes,
            footer_size,
            body[4:8].tobytes(),
            tuple(body[8 : 8 + n_streams].tolist()),
            tuple(body[8 + n_streams :].tolist()),
        )


def _n_words(n_streams):
    return 8 + 2 * n_streams + 4


# -----------------------------------------------------------------------------------------------------------
# Names of files, locks and space
# -----------------------------------------------------------------------------------------------------------


def _free(where):
    """Free bytes on the disk of a folder or an open file."""
    disk = os.statvfs(where)
    return disk.f_bavail * disk.f_frsize


def _room(where, size):
    """Bytes by which a file of `size` bytes can grow, as far as the system tells (not quotas)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return _free(where) if limit == resource.RLIM_INFINITY else min(_free(where), limit - size)


def _is_open_as(fd, path):
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _check_space(name, need):
    """Refuse to begin a file for which there is no room."""
    room = _room(os.path.dirname(name), 0)
    if room < need:
        raise StorageError(
            f"cannot write {name}: {room} bytes free, {need} needed to begin; make room or choose another disk"
        )


def _claimed(name):
    try:
        return _Claim(name)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {name}: {error}") from error


class _Claim:
    """The hidden file beside a raster that holds the lock of its writer, and some space in reserve."""

    def __init__(self, name):
        self.path = beside(name, "ballast")
        self.fd = self._locked(name)
        try:
            self.empty()
            # Not zeros: file systems that compress would not set anything aside.
            data = os.urandom(_BALLAST)
            while data:
                data = data[os.write(self.fd, data) :]
        except BaseException:
            self.release()
            raise

    def _locked(self, name):
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owned = False
        except OSError:
            return fd  # a file system without locks: better to write unguarded than not at all
        else:
            owned = _is_open_as(fd, self.path)  # not so if its writer removed it between our two calls
        if not owned:
            os.close(fd)
            raise StorageError(
                f"cannot write {name}: another writer has it open; close that one first, or choose another name"
            )
        return fd

    def empty(self):
        """Give the space in reserve back to the disk; the lock stays."""
        os.ftruncate(self.fd, 0)

    def release(self):
        """Remove the file and let go of the lock; can be called again, as after an interrupt."""
        if self.fd is None:
            return
        # Remove first, and only our own: once the lock is gone there may be one of the next writer.
        if _is_open_as(self.fd, self.path):
            os.unlink(self.path)
        fd, self.fd = self.fd, None
        os.close(fd)


def _abandon(file, claim, remove, pid):
    """Let go of all that a writer holds, with what is committed; never raises. Also the finalizer at exit."""
    if os.getpid() != pid or claim.fd is None:
        return
    with contextlib.suppress(OSError):
        claim.empty()
    if file is not None:
        # HDF5 may be unable to write its last metadata; the committed rows do not need them.
        with contextlib.suppress(*_HDF5_ERRORS):
            file.close()
    if remove is not None:
        with contextlib.suppress(OSError):
            os.unlink(remove)
    with contextlib.suppress(OSError):
        claim.release()


def _detach_after_fork():
    """In a child process: let HDF5's exit handler write into nothing instead of the parent's file."""
    for writer in list(_LIVE):
        writer._detach()


os.register_at_fork(after_in_child=_detach_after_fork)


# -----------------------------------------------------------------------------------------------------------
# Writing
# -----------------------------------------------------------------------------------------------------------


def _write(dataset, start, records):
    """Put `records` at `start`, making the dataset longer if needed; doing it twice changes nothing."""
    stop = start + records.shape[0]
    if dataset.shape[0] < stop:
        dataset.resize((stop,))
    dataset[start:stop] = records


def _flush(dataset):
    dataset.flush()


def _sync(fd):
    os.fsync(fd)


class _Part(NamedTuple):
    """What the writer knows of a stream: records in the dataset, their CRC, what fills no chunk yet."""

    stored: int
    crc: int
    tail: np.ndarray


class _State(NamedTuple):
    """All that changes while a writer works, replaced in one assignment so that no interrupt can tear it."""

    times: np.ndarray  # buffer of records not yet committed: the first n_buffered count
    ids: np.ndarray
    n_buffered: int
    n_spikes: int  # all that were appended
    last_time: float
    sequence: int
    n_committed: int
    parts: tuple[_Part, ...]
    final: bool


def _checked_populations(populations):
    if isinstance(populations, (str, bytes)):
        raise ParameterError(f"populations must be a sequence of (name, n), got {shown(populations)}")
    try:
        pairs = [(name, n) for name, n in populations]
    except (TypeError, ValueError):
        raise ParameterError(f"populations must be a sequence of (name, n), got {shown(populations)}") from None
    if not 1 <= len(pairs) <= 65536:
        raise ParameterError(f"populations must be 1 to 65536 pairs (name, n), got {len(pairs)}")
    for name, _ in pairs:
        # They become names of HDF5 groups.
        if not isinstance(name, str) or not name or name == "." or not name.isprintable() or "/" in name:
            raise ParameterError(f"the name of a population must be a printable string without '/', got {name!r}")
    if len({name for name, _ in pairs}) < len(pairs):
        raise ParameterError(f"the names of populations must differ, got {shown([name for name, _ in pairs])}")
    return tuple(
        (
            str(name),
            integer(n, f"the size of population {name!r}", "a whole number from 0 to 2^46", low=0, high=1 << 46),
        )
        for name, n in pairs
    )


def _checked_chunk(chunk):
    return integer(chunk, "chunk", "a whole number of spikes from 1 to 2^26", low=1, high=1 << 26)


def _checked_header(header):
    if not isinstance(header, Mapping):
        raise ParameterError(f"header must be a dict, got {type(header).__name__}")
    return header


def _encoded_footer(footer):
    """The text of a footer, and the arrays for ``values``."""
    arrays = Arrays(by_byte=True)
    return to_text(encode(footer, "footer", arrays)), arrays.items


def _round_up(n):
    """The next power of two."""
    return 1 << max(int(n) - 1, 0).bit_length()


def _chunk_records(n_populations, chunk):
    """Records per HDF5 chunk: enough to be fast, few enough that a nearly empty chunk costs little."""
    share = _round_up(_CHUNK_TOTAL // n_populations)
    return min(max(min(_CHUNK_MAX, share), _CHUNK_MIN), _round_up(chunk))


@named_arguments
class RasterWriter:
    """Stream spikes to a SONATA file with bounded memory.

    Whatever is committed survives a killed process, a full disk and an exception. A commit happens whenever
    `chunk` spikes have come together, at :meth:`flush` and at :meth:`close`. Not for several threads at once.

    An existing file is replaced once the new one has been set up; nothing happens to it if that fails. While
    the writer is open there is a hidden file ``.<name>.ballast`` of 0.5 MiB beside the raster.

    Parameters
    ----------
    path : path-like
        Name of the file.
    populations : sequence of (str, int)
        Name and number of neurons of each population, in the order of the global ids: local neuron i of a
        population has the global id i plus the sizes of the populations before it.
    header : dict
        What should be known of the run: values of JSON (tuples become lists, scalars of NumPy become numbers
        of Python) and, anywhere in it, NumPy arrays of booleans, integers, floats or complex numbers. Keys
        are strings that do not begin with ``$``.
    chunk : int
        Spikes between two commits. The writer needs memory for about twice as many records (16 bytes each)
        plus 64 to 2048 for each population.
    atomic : bool
        If True, the file appears under its name only when :meth:`close` succeeds, and an existing one stays
        until then; nothing is committed before.
    n_recorded : sequence of int or None, optional
        Of how many neurons of each population spikes are recorded, for an attribute that says so to readers of
        SONATA; None where that is not known. Default: nothing is said.

    Raises
    ------
    ParameterError
        A parameter that is not allowed.
    StorageError
        The folder is missing, read-only or full, or another writer has the file open.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "raster.h5")
    >>> with RasterWriter(path, [("E", 80), ("I", 20)], header={"seed": 1}) as writer:
    ...     writer.append(np.array([0.5, 0.5, 2.0]), np.array([3, 99, 7]))
    ...     writer.close(t_stop=10.0)
    >>> read_raster(path).ids
    array([ 3, 99,  7])
    """

    def __init__(self, path, populations, *, header, chunk=65536, atomic=False, n_recorded=None):
        populations, chunk, atomic = _checked_populations(populations), _checked_chunk(chunk), flag(atomic, "atomic")
        self._n_recorded = [None] * len(populations) if n_recorded is None else list(n_recorded)
        self._begin(path, populations, _checked_header(header), chunk, atomic=atomic)

    @classmethod
    def resume(cls, path, n_spikes, *, chunk=65536, run_id=None, header=None):
        """Go on with a raster behind its first spikes; the others, and its footer, are dropped.

        These spikes are copied into a new file, with the populations and the header, which replaces the old
        one when all of them are safe in it. Until then, whatever happens, the old file stays as it is.

        Parameters
        ----------
        path : path-like
            A raster that was written here, whether its run finished or not.
        n_spikes : int
            How many to keep, in the merged order; at most those that are committed
            (``raster_info(path)["n_spikes"]``).
        chunk : int
            As for :class:`RasterWriter`.
        run_id : str, optional
            What the header has to have under this name, or the file is of another run and is refused.
        header : dict, optional
            The header of the new file, as for :class:`RasterWriter`; default: that of the old one.

        Returns
        -------
        RasterWriter
            It holds `n_spikes` spikes, and all of them are committed.

        Raises
        ------
        ParameterError
            A parameter that is not allowed.
        StorageError
            There is no such file, no room for a second one, or another writer has it open.
        FileFormatError
            The file is damaged, of another program or another run, or has fewer spikes.

        Notes
        -----
        The whole file is read, in slices, and checked: time is linear in its spikes, memory bounded as for
        writing.

        Examples
        --------
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "raster.h5")
        >>> write_raster(path, [0.5, 1.0, 2.0], [3, 1, 7], [("E", 10)], header={}, footer={})
        >>> with RasterWriter.resume(path, 2) as writer:
        ...     writer.append([1.5], [9])
        >>> read_raster(path).ids
        array([3, 1, 9])
        """
        n_spikes = integer(n_spikes, "n_spikes", "a whole number of spikes >= 0", low=0)
        chunk = _checked_chunk(chunk)
        name = writable(readable(path))
        _check_space(name, _BALLAST + _MARGIN)
        claim = _claimed(name)  # before reading: nobody may write meanwhile
        writer = cls.__new__(cls)
        try:
            with _reading(name) as (file, _):
                kept = _kept(file, n_spikes, run_id)
                writer._n_recorded = kept.n_recorded
                header = kept.header if header is None else _checked_header(header)
                writer._begin(name, kept.populations, header, chunk, claim=claim, kept=kept)
        except BaseException:
            getattr(writer, "_finalizer", claim.release)()
            raise
        return writer

    # -- setting up

    def _begin(self, path, populations, header, chunk, *, atomic=False, claim=None, kept=None):
        self._populations, self._chunk, self._atomic = populations, chunk, atomic
        self._format = _FORMAT_OF_PIECES if "earlier" in header else _FORMAT
        arrays = Arrays(by_byte=False)
        text = to_text({"populations": populations, "header": encode(header, "header", arrays)})
        self._name = writable(path)
        self._partial = beside(self._name, "partial")
        self._pid = os.getpid()
        self._closing = self._closed = False
        self._copying = kept is not None
        self._failure: str | None = None
        ends = np.cumsum([n for _, n in populations], dtype=np.int64)
        self._starts = np.concatenate([[0], ends[:-1]])
        self._n_neurons = int(ends[-1])
        self._chunk_records = _chunk_records(len(populations), chunk)
        self._open(text, arrays, claim, kept)

    def _open(self, text, arrays, claim, kept):
        """Make the file under a provisional name; it gets its own when all is in place."""
        import h5py

        need = len(text) + arrays.n_bytes + _MARGIN + (_BALLAST if claim is None else 0)
        need += _METADATA * (8 + len(arrays.items) + 2 * len(self._populations))
        need += 0 if kept is None else 18 * kept.n_spikes  # time, id, population
        _check_space(self._name, need)
        self._claim = claim or _claimed(self._name)
        file = None
        try:
            # No chunk cache: only whole chunks are written, and after an error nothing must be left in it.
            file = h5py.File(self._partial, "w", libver=_LIBVER, rdcc_nbytes=0)
            self._lay_out(file, text, arrays.items)
            self._file, self._fd = file, file.id.get_vfd_handle()
            # Once the file has its name, there is nothing left to remove.
            self._finalizer = weakref.finalize(self, _abandon, file, self._claim, self._partial, self._pid)
            self._state = self._nothing_yet()
            _LIVE.add(self)
            if not self._atomic:
                file.swmr_mode = True
                if kept is not None:
                    for times, ids in kept.blocks():
                        self.append(times, ids)
                    self.flush()
                os.replace(self._partial, self._name)
                if kept is not None:
                    self._copying = False
                    sync_folder(self._name)
        except BaseException as error:
            # Ctrl-C as well: nothing stays behind, and a file that was there is there still.
            _abandon(file, self._claim, self._partial, self._pid)
            if isinstance(error, _HDF5_ERRORS) and not isinstance(error, StorageError):
                raise StorageError(f"cannot write {self._name}: {error}") from error
            raise

    def _nothing_yet(self):
        times, ids = self._buffers(0)
        return _State(
            times,
            ids,
            n_buffered=0,
            n_spikes=0,
            last_time=-math.inf,
            sequence=0,
            n_committed=0,
            parts=tuple(_Part(0, 0, np.zeros(0, stream.dtype)) for stream in self._streams),
            final=False,
        )

    def _lay_out(self, file, text, arrays):
        """Make every group, dataset and attribute: none can be added in SWMR mode."""
        import h5py

        file.attrs.create("magic", _MAGIC, dtype="<u4")
        file.attrs.create("version", [0, 1], dtype="<u4")
        sorting = h5py.enum_dtype(_SORTING, basetype="i4")
        growing = {"shape": (0,), "maxshape": (None,), "fletcher32": True}
        records = {**growing, "chunks": (self._chunk_records,)}
        self._streams = []
        for (name, n), n_recorded in zip(self._populations, self._n_recorded, strict=True):
            group = file.create_group(f"spikes/{name}")
            group.attrs.create("sorting", _SORTING["by_time"], dtype=sorting)
            if n_recorded is not None:
                group.attrs.create("n_neurons", n, dtype="<u8")
                group.attrs.create("n_recorded", n_recorded, dtype="<u8")
            times = group.create_dataset("timestamps", dtype="<f8", **records)
            times.attrs["units"] = "ms"
            self._streams += [times, group.create_dataset("node_ids", dtype="<u8", **records)]
        run = file.create_group("run")
        run.attrs.create("sparseprop_raster", self._format, dtype="<u4")
        if len(self._populations) > 1:
            kind = "u1" if len(self._populations) <= 256 else "<u2"
            self._streams.append(run.create_dataset("order", dtype=kind, **records))
        header = run.create_dataset("header", data=np.frombuffer(text, "u1"), chunks=(len(text),), fletcher32=True)
        header.attrs.create("sha256", np.frombuffer(sha256(text), "u1"))
        run.create_group("arrays")
        for k, array in enumerate(arrays):
            if array.size:
                run.create_dataset(f"arrays/{k}", data=np.atleast_1d(array), chunks=True, fletcher32=True)
        self._footer = run.create_dataset("footer", dtype="u1", chunks=(1024,), **growing)
        self._values = run.create_dataset("values", dtype="u1", chunks=(_VALUES_CHUNK,), **growing)
        if not self._atomic:
            size = max((self._chunk_records - 1) * sum(stream.dtype.itemsize for stream in self._streams), 1)
            chunks = (1, min(size, _TAIL_CHUNK))
            self._tails = run.create_dataset("tails", (2, size), dtype="u1", chunks=chunks)
        n_words = _n_words(len(self._streams))
        self._committed = run.create_dataset("committed", (2, n_words), chunks=(1, n_words), dtype="<u8")

    def _buffers(self, n):
        """Room for the spikes between two commits, or for `n` if that is more."""
        size = max(n, 2 * self._chunk)
        return np.empty(size, "<f8"), np.empty(size, np.int64)

    # -- what it holds

    @property
    def n_spikes(self):
        """Number of spikes that were appended (after an interrupt it tells whether the last block counts)."""
        return self._state.n_spikes

    @property
    def n_committed(self):
        """Number of spikes that are safe in the file."""
        return self._state.n_committed

    # -- writing

    def append(self, times, ids):
        """Add spikes; they are committed when `chunk` have come together.

        A block is taken whole or not at all. If this raises from a commit (`StorageError` for a disk that is
        nearly full, `KeyboardInterrupt`), the block was taken and stays in memory; the next call writes it.

        Parameters
        ----------
        times : array_like of float64, shape (n,)
            Times in ms, >= 0 (libsonata refuses others), in non-decreasing order, also with respect to
            earlier calls.
        ids : array_like of int64, shape (n,)
            Global ids, in the order in which the spikes are to be read.

        Raises
        ------
        ParameterError
            Times that are negative, not finite or go back, ids that do not exist, different numbers of both.
        StorageError
            The disk is full, or the writer was closed, has failed or belongs to another process.
        """
        self._check_open()
        times = real_array(times, "times", _TIMES, unit="ms", low=0.0)
        ids = index_array(ids, "ids", self._n_neurons)
        if times.size != ids.size:
            raise ParameterError(f"times and ids must have the same length, got {times.size} and {ids.size}")
        if not times.size:
            return
        state = self._state
        back = times < np.concatenate([[state.last_time], times[:-1]])
        if back.any():
            k = int(np.argmax(back))
            raise ParameterError(
                f"times must not decrease, got {float(times[k])!r} after "
                f"{float(times[k - 1]) if k else state.last_time!r} at index {k}"
            )
        self._state = self._with_block(state, times, ids)
        if self._state.n_buffered >= self._chunk:
            self._commit(_RUNNING)

    def flush(self):
        """Commit what was appended.

        Returns
        -------
        int
            Number of spikes that are safe in the file, whatever happens to the process or the machine (it
            waits for the disk): all that were appended, or 0 for an atomic file.

        Raises
        ------
        StorageError
            As for :meth:`append`.
        """
        self._check_open()
        if self._state.n_buffered:
            self._commit(_RUNNING)
        with self._giving_up():
            _sync(self._fd)
        return self._state.n_committed

    def close(self, **footer):
        """Write what remains and the footer, and mark the run as finished. Calling it again does nothing.

        Parameters
        ----------
        **footer
            What is known at the end: values as in the header, arrays among them.

        Raises
        ------
        ParameterError
            The footer cannot be written; the file is still open.
        StorageError
            As for :meth:`append`. If there was no room, make some and call it again.
        """
        self._check_process()
        if self._closed:
            return
        self._check_failure()
        self._finish(_FINISHED, *_encoded_footer(footer))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                self.close()
            elif not (self._closed or self._atomic or self._failure or os.getpid() != self._pid):
                # The exception on its way says what went wrong; if this fails, the last commit remains.
                with contextlib.suppress(StorageError):
                    self._finish(_UNFINISHED)
        finally:
            self._finalizer()  # nothing to do after all went well, nor in a child process
            self._closed = True

    def __repr__(self):
        state = "closed" if self._closed else "failed" if self._failure else "open"
        return f"RasterWriter({self._name!r}, {state}, {self.n_spikes} spikes, {self.n_committed} committed)"

    # -- how

    def _check_process(self):
        if os.getpid() != self._pid:
            raise StorageError(
                f"{self._name} is written by process {self._pid}, not by {os.getpid()}; open "
                "it in the process that writes"
            )

    def _check_failure(self):
        if self._failure is not None:
            raise StorageError(self._failure)

    def _check_open(self):
        self._check_process()
        self._check_failure()
        if self._closing:
            raise StorageError(f"{self._name} has been closed; spikes can no longer be added")

    def _with_block(self, state, times, ids):
        n = state.n_buffered + times.size
        buffers = state.times, state.ids
        if n > state.times.size:
            buffers = self._buffers(n)
            for new, old in zip(buffers, (state.times, state.ids), strict=True):
                new[: state.n_buffered] = old[: state.n_buffered]
        # Behind what counts so far: an interrupt here changes nothing.
        buffers[0][state.n_buffered : n] = times
        buffers[1][state.n_buffered : n] = ids
        return state._replace(
            times=buffers[0],
            ids=buffers[1],
            n_buffered=n,
            last_time=float(times[-1]),
            n_spikes=state.n_spikes + times.size,
        )

    def _split(self, state):
        """New records of each stream (see `_Row` for their order), from the spikes in the buffer."""
        times, ids = state.times[: state.n_buffered], state.ids[: state.n_buffered]
        if len(self._populations) == 1:
            return [times, ids.astype("<u8")]
        # The last population that starts at or before an id; empty ones start where the next one does.
        population = np.searchsorted(self._starts, ids, side="right") - 1
        order = population.astype(self._streams[-1].dtype)
        by_population = np.argsort(order, kind="stable")
        times = times[by_population]
        local = (ids - self._starts[population])[by_population].astype("<u8")
        ends = np.cumsum(np.bincount(population, minlength=len(self._populations))).tolist()
        streams = []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            streams += [times[start:end], local[start:end]]
        return [*streams, order]

    def _commit(self, stage, footer=b"", values=()):
        """Write the buffer and then the row that makes it count; the writer's own state changes last.

        Interrupted anywhere, the same call (also with more in the buffer) writes the same records to the same
        places again, and the committed row is the old one or the new one.
        """
        state = self._state
        pieces = [
            np.concatenate([part.tail, new]) if new.size else part.tail
            for part, new in zip(state.parts, self._split(state), strict=True)
        ]
        n_values = sum(array.nbytes for array in values)
        n_values += n_values // 128 + _VALUES_CHUNK  # HDF5 keeps some 20 bytes for each chunk
        self._check_room(sum(piece.nbytes for piece in pieces) + len(footer) + n_values)
        with self._giving_up():
            parts = self._write_chunks(state.parts, pieces, whole_only=stage == _RUNNING)
            sequence, n_committed = state.sequence, state.n_committed
            if stage != _RUNNING:
                sequence, n_committed = self._write_final(sequence, stage, state.n_spikes, parts, footer, values)
            elif not self._atomic:
                sequence, n_committed = self._write_running(sequence, state.n_spikes, parts)
        oversized = state.times.size > 2 * self._chunk
        times, ids = self._buffers(0) if oversized else (state.times, state.ids)
        self._state = state._replace(
            times=times,
            ids=ids,
            n_buffered=0,
            sequence=sequence,
            parts=parts,
            n_committed=n_committed,
            final=stage != _RUNNING,
        )

    def _write_chunks(self, parts, pieces, whole_only):
        """Write each stream up to its last whole chunk, or to the end."""
        written, new_parts = [], []
        for stream, part, piece in zip(self._streams, parts, pieces, strict=True):
            n = piece.size - piece.size % self._chunk_records if whole_only else piece.size
            if n:
                _write(stream, part.stored, piece[:n])
                written.append(stream)
            new_parts.append(_Part(part.stored + n, _crc(piece[:n], part.crc), piece[n:].copy()))
        for stream in written:
            _flush(stream)
        return tuple(new_parts)

    def _write_running(self, sequence, n_spikes, parts):
        sequence += 1
        tails = b"".join(part.tail.tobytes() for part in parts)
        if tails:
            self._tails[sequence % 2, : len(tails)] = np.frombuffer(tails, "u1")
            _flush(self._tails)
        self._write_row(sequence, _RUNNING, n_spikes, parts, b"")
        return sequence, n_spikes

    def _write_final(self, sequence, stage, n_spikes, parts, footer, values):
        start = 0
        for array in values:
            _write(self._values, start, as_bytes(array))
            start += array.nbytes
        if start:
            _flush(self._values)
        if footer:
            _write(self._footer, 0, np.frombuffer(footer, "u1"))
            _flush(self._footer)
        for _ in range(2):  # both rows, so that damage to one of them loses nothing
            sequence += 1
            self._write_row(sequence, stage, n_spikes, parts, footer)
        return sequence, n_spikes

    def _write_row(self, sequence, stage, n_spikes, parts, footer):
        row = _Row(
            sequence,
            stage,
            n_spikes,
            len(footer),
            sha256(footer),
            tuple(part.stored + part.tail.size for part in parts),
            tuple(_crc(part.tail, part.crc) for part in parts),
        )
        self._committed[sequence % 2] = row.words()
        _flush(self._committed)

    def _finish(self, stage, footer=b"", values=()):
        """Write the end of the file and let go of it; goes on where an interrupted call stopped."""
        self._closing = True
        if not self._state.final:
            self._commit(stage, footer, values)
        with self._giving_up():
            if self._file:
                _sync(self._fd)
                self._file.close()
            if self._atomic and os.path.exists(self._partial):
                os.replace(self._partial, self._name)
            sync_folder(self._name)
            self._claim.release()
        self._finalizer.detach()
        self._closed = True

    def _check_room(self, n_bytes):
        """Refuse a commit that might fill the disk, before HDF5 sees it."""
        need = n_bytes + sum(self._chunk_records * stream.dtype.itemsize + 1024 for stream in self._streams)
        room = _room(self._fd, os.fstat(self._fd).st_size)
        if room < need + _MARGIN:
            raise StorageError(
                f"cannot write {self._name}: the disk is nearly full ({room} bytes free, "
                f"{need + _MARGIN} needed); "
                + self._safe("; make room and call flush or close, or record to another disk")
            )

    def _safe(self, remedy):
        if self._copying:
            return "the file is as it was; make room and try again"
        return f"{self.n_committed} of {self.n_spikes} spikes are safe in the file{remedy}"

    @contextlib.contextmanager
    def _giving_up(self):
        """After an error of HDF5: make room, close the file with what is committed, and say so."""
        try:
            yield
        except _HDF5_ERRORS as error:
            self._failure = f"cannot write {self._name}: {error} ({_free(self._claim.fd)} bytes free); " + self._safe(
                " and can be read with read_raster; record to another disk"
            )
            self._finalizer()
            raise StorageError(self._failure) from error

    def _detach(self):
        if not self._file:  # closed: the number may belong to another file by now
            return
        nowhere = os.memfd_create("raster")
        os.dup2(nowhere, self._fd)
        os.close(nowhere)


@named_arguments
def write_raster(path, times, ids, populations, *, header, footer, n_recorded=None):
    """Write a whole raster at once; a file that was there before survives any failure.

    Parameters
    ----------
    path : path-like
        Name of the file.
    times, ids : array_like, shape (n_spikes,)
        Times in ms (float64, >= 0, non-decreasing) and global ids (int64), in the order in which they are to
        be read.
    populations, header, n_recorded
        As for :class:`RasterWriter`.
    footer : dict
        What is known at the end of the run: values as in the header, arrays among them.

    Raises
    ------
    ParameterError, StorageError
        As for :class:`RasterWriter`.
    """
    if not isinstance(footer, Mapping):
        raise ParameterError(f"footer must be a dict, got {type(footer).__name__}")
    times = real_array(times, "times", _TIMES, unit="ms", low=0.0)
    populations = _checked_populations(populations)
    chunk = min(max(2 * times.size // len(populations), 16), 65536)
    with RasterWriter(path, populations, header=header, chunk=chunk, atomic=True, n_recorded=n_recorded) as writer:
        ids = index_array(ids, "ids", writer._n_neurons)
        if times.size != ids.size:
            raise ParameterError(f"times and ids must have the same length, got {times.size} and {ids.size}")
        for start in range(0, times.size, _SLICE):
            writer.append(times[start : start + _SLICE], ids[start : start + _SLICE])
        writer._finish(_FINISHED, *_encoded_footer(footer))


# -----------------------------------------------------------------------------------------------------------
# Reading
# -----------------------------------------------------------------------------------------------------------


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

    times: np.ndarray
    ids: np.ndarray
    populations: tuple[tuple[str, int], ...]
    header: dict[str, Any]
    footer: dict[str, Any] | None
    finished: bool
    n_recorded: tuple[int | None, ...] = ()


class _Info(NamedTuple):
    """A file of ours without its spikes."""

    populations: tuple[tuple[str, int], ...]
    header: dict[str, Any]
    rows: list[_Row]  # newest first


@contextlib.contextmanager
def _reading(path):
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
    if version > _FORMAT_OF_PIECES:
        raise FileFormatError(
            f"written by a newer version of sparseprop (format {version}, this one reads "
            f"up to {_FORMAT_OF_PIECES}); update sparseprop"
        )
    return True


def _read_info(file):
    run = file["run"]
    text = run["header"][()].tobytes()
    if sha256(text) != run["header"].attrs["sha256"].tobytes():
        raise FileFormatError("the header does not match its checksum")
    content = json.loads(text)
    rows = [_Row.from_words(words) for words in run["committed"][()]]
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
            n, crc = n + records.size, _crc(records, crc)
        if n != self.size or crc != self.crc:
            raise FileFormatError(f"the records of {self.stream.name} do not match their checksum")


def _columns(file, streams, row):
    columns = []
    at = 0
    for stream, count, crc in zip(streams, row.counts, row.crcs, strict=True):
        stored = count - count % stream.chunks[0] if row.stage == _RUNNING else count
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
    if row.stage != _FINISHED:
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
        except (FileFormatError, *_HDF5_ERRORS) as error:
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
        return RasterData(times, ids, info.populations, info.header, footer, row.stage == _FINISHED, n_recorded)

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


def _kept(file, n_spikes, run_id):
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
    groups = (
        {}
        if spikes is None
        else {name: spikes[name] for name in spikes if "timestamps" in spikes[name] and "node_ids" in spikes[name]}
    )
    if not groups:
        raise FileFormatError(
            f"it is {kind_of(file)}, and has no spikes in SONATA format (/spikes/<population>/timestamps and node_ids)"
        )
    return groups


def _foreign_population(name, group):
    """Times in ms and local ids of one population of a file that is not ours."""
    times, ids = group["timestamps"][()], group["node_ids"][()]
    numbers = times.dtype.kind in "fiu" and ids.dtype.kind in "iu"
    if times.ndim != 1 or times.shape != ids.shape or not numbers:
        raise FileFormatError(f"population {name!r} has timestamps or node_ids that are no column of numbers")
    units = group["timestamps"].attrs.get("units", "ms")
    units = units.decode() if isinstance(units, bytes) else str(units)
    factors = {"ms": 1.0, "s": 1000.0}
    if units not in factors:
        raise FileFormatError(f"times of population {name!r} are in {units!r}; only 'ms' and 's' are known")
    times = times.astype(np.float64) * factors[units]
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
def refuse_existing(path, overwrite, remedy="overwrite=True", or_else="or another name"):
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


def _read(path):
    """The raster, and whether its writer never closed it."""
    name = readable(path)
    attempt = 0
    while True:
        attempt += 1
        stamp = _stamp(name)
        try:
            with _reading(name) as (file, left_open):
                return _read_ours(file) if _is_ours(file) else _read_foreign(file), left_open
        except FileFormatError:
            # A writer that is at work may have overtaken us; a file that rests is damaged.
            if attempt == _READ_ATTEMPTS or _stamp(name) == stamp:
                raise


@named_arguments
def read_raster(path):
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
    data, left_open = _read(path)
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
def recover_raster(path, new_path):
    """Copy the committed spikes of a file whose run did not finish into a fresh, finished one.

    The footer of the new file is ``{"recovered": True}``, or that of the old one if its run did finish.

    Parameters
    ----------
    path, new_path : path-like
        Names of the old and the new file (they may be the same).

    Returns
    -------
    RasterData
        What was recovered.

    Raises
    ------
    StorageError, FileFormatError
        As for :func:`read_raster` and :func:`write_raster`.
    """
    data, _ = _read(path)
    footer = {"recovered": True} if data.footer is None else data.footer
    n_recorded = data.n_recorded or None
    write_raster(
        new_path, data.times, data.ids, data.populations, header=data.header, footer=footer, n_recorded=n_recorded
    )
    return replace(data, footer=footer, finished=True)


@named_arguments
def raster_info(path):
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
    with _reading(path) as (file, _):
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
        row = info.rows[0] if info.rows else _Row(0, _RUNNING, 0, 0, b"", (0, 0) * len(names), ())
        return {
            "populations": info.populations,
            "header": info.header,
            "footer": _read_footer(file, row),
            "finished": row.stage == _FINISHED,
            "n_spikes": row.n_spikes,
            "counts": dict(zip(names, row.counts[0 : 2 * len(names) : 2], strict=True)),
        }
