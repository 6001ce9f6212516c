"""Writing rasters, while a simulation runs or at once, so that what is committed is safe."""

from __future__ import annotations

import contextlib
import math
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._validation import flag, index_array, integer, real_array
from ..errors import ParameterError, StorageError, named_arguments, shown
from . import space
from .raster_format import FINISHED, FORMAT, FORMAT_OF_PIECES, HDF5_ERRORS, LIBVER, RUNNING, UNFINISHED, Row, crc_of
from .raster_layout import VALUES_CHUNK, lay_out
from .raster_reader import read_with_state, reading, spikes_kept
from .space import BALLAST, MARGIN, check_space, claimed
from .storage import Arrays, as_bytes, beside, encode, readable, sha256, sync_folder, to_text, writable

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Description, PathLike
    from .raster_reader import RasterData

__all__ = ["RasterWriter", "recover_raster", "write_raster"]

# Records per HDF5 chunk. Every dataset ends in a chunk that is mostly empty, so many get small ones.
_CHUNK_MAX, _CHUNK_MIN, _CHUNK_TOTAL = 2048, 64, 32768
_TIMES = "finite times >= 0 ms (readers of SONATA refuse others; cut or shift them)"
_SLICE = 1 << 20  # records that `write_raster` hands over at a time
_METADATA = 8 * 1024  # bytes of HDF5 metadata that one dataset may take

_LIVE: weakref.WeakSet[RasterWriter] = weakref.WeakSet()


def _abandon(file, claim, remove, pid):
    """Let go of all that a writer holds, with what is committed; never raises. Also the finalizer at exit."""
    if os.getpid() != pid or claim.fd is None:
        return
    with contextlib.suppress(OSError):
        claim.empty()
    if file is not None:
        # HDF5 may be unable to write its last metadata; the committed rows do not need them.
        with contextlib.suppress(*HDF5_ERRORS):
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
    >>> from sparseprop.raster import read_raster
    >>> import numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "raster.h5")
    >>> with RasterWriter(path, [("E", 80), ("I", 20)], header={"seed": 1}) as writer:
    ...     writer.append(np.array([0.5, 0.5, 2.0]), np.array([3, 99, 7]))
    ...     writer.close(t_stop=10.0)
    >>> read_raster(path).ids
    array([ 3, 99,  7])
    """

    def __init__(
        self,
        path: PathLike,
        populations: Sequence[tuple[str, int]],
        *,
        header: Description,
        chunk: int = 65536,
        atomic: bool = False,
        n_recorded: Sequence[int | None] | None = None,
    ) -> None:
        populations, chunk, atomic = _checked_populations(populations), _checked_chunk(chunk), flag(atomic, "atomic")
        self._n_recorded = [None] * len(populations) if n_recorded is None else list(n_recorded)
        self._begin(path, populations, _checked_header(header), chunk, atomic=atomic)

    @classmethod
    def resume(
        cls,
        path: PathLike,
        n_spikes: int,
        *,
        chunk: int = 65536,
        run_id: str | None = None,
        header: Description | None = None,
    ) -> RasterWriter:
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
        >>> from sparseprop.raster import read_raster
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
        check_space(name, BALLAST + MARGIN)
        claim = claimed(name)  # before reading: nobody may write meanwhile
        writer = cls.__new__(cls)
        try:
            with reading(name) as (file, _):
                kept = spikes_kept(file, n_spikes, run_id)
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
        self._format = FORMAT_OF_PIECES if "earlier" in header else FORMAT
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

        need = len(text) + arrays.n_bytes + MARGIN + (BALLAST if claim is None else 0)
        need += _METADATA * (8 + len(arrays.items) + 2 * len(self._populations))
        need += 0 if kept is None else 18 * kept.n_spikes  # time, id, population
        check_space(self._name, need)
        self._claim = claim or claimed(self._name)
        file = None
        try:
            # No chunk cache: only whole chunks are written, and after an error nothing must be left in it.
            file = h5py.File(self._partial, "w", libver=LIBVER, rdcc_nbytes=0)
            layout = lay_out(
                file,
                self._populations,
                self._n_recorded,
                self._format,
                self._chunk_records,
                self._atomic,
                text,
                arrays.items,
            )
            self._streams, self._footer, self._values, self._tails, self._committed = layout
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
            if isinstance(error, HDF5_ERRORS) and not isinstance(error, StorageError):
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

    def _buffers(self, n):
        """Room for the spikes between two commits, or for `n` if that is more."""
        size = max(n, 2 * self._chunk)
        return np.empty(size, "<f8"), np.empty(size, np.int64)

    # -- what it holds

    @property
    def n_spikes(self) -> int:
        """Number of spikes that were appended (after an interrupt it tells whether the last block counts)."""
        return self._state.n_spikes

    @property
    def n_committed(self) -> int:
        """Number of spikes that are safe in the file."""
        return self._state.n_committed

    # -- writing

    def append(self, times: ArrayLike, ids: ArrayLike) -> None:
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
            self._commit(RUNNING)

    def flush(self) -> int:
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
            self._commit(RUNNING)
        with self._giving_up():
            _sync(self._fd)
        return self._state.n_committed

    def close(self, **footer: Any) -> None:
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
        self._finish(FINISHED, *_encoded_footer(footer))

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if error is None:
                self.close()
            elif not (self._closed or self._atomic or self._failure or os.getpid() != self._pid):
                # The exception on its way says what went wrong; if this fails, the last commit remains.
                with contextlib.suppress(StorageError):
                    self._finish(UNFINISHED)
        finally:
            self._finalizer()  # nothing to do after all went well, nor in a child process
            self._closed = True

    def __repr__(self) -> str:
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
        """New records of each stream (see `Row` for their order), from the spikes in the buffer."""
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
        n_values += n_values // 128 + VALUES_CHUNK  # HDF5 keeps some 20 bytes for each chunk
        self._check_room(sum(piece.nbytes for piece in pieces) + len(footer) + n_values)
        with self._giving_up():
            parts = self._write_chunks(state.parts, pieces, whole_only=stage == RUNNING)
            sequence, n_committed = state.sequence, state.n_committed
            if stage != RUNNING:
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
            final=stage != RUNNING,
        )

    def _write_chunks(self, parts, pieces, whole_only):
        """Write each stream up to its last whole chunk, or to the end."""
        written, new_parts = [], []
        for stream, part, piece in zip(self._streams, parts, pieces, strict=True):
            n = piece.size - piece.size % self._chunk_records if whole_only else piece.size
            if n:
                _write(stream, part.stored, piece[:n])
                written.append(stream)
            new_parts.append(_Part(part.stored + n, crc_of(piece[:n], part.crc), piece[n:].copy()))
        for stream in written:
            _flush(stream)
        return tuple(new_parts)

    def _write_running(self, sequence, n_spikes, parts):
        sequence += 1
        tails = b"".join(part.tail.tobytes() for part in parts)
        if tails:
            self._tails[sequence % 2, : len(tails)] = np.frombuffer(tails, "u1")
            _flush(self._tails)
        self._write_row(sequence, RUNNING, n_spikes, parts, b"")
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
        row = Row(
            sequence,
            stage,
            n_spikes,
            len(footer),
            sha256(footer),
            tuple(part.stored + part.tail.size for part in parts),
            tuple(crc_of(part.tail, part.crc) for part in parts),
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
        room = space.room_at(self._fd, os.fstat(self._fd).st_size)
        if room < need + MARGIN:
            raise StorageError(
                f"cannot write {self._name}: the disk is nearly full ({room} bytes free, "
                f"{need + MARGIN} needed); "
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
        except HDF5_ERRORS as error:
            self._failure = (
                f"cannot write {self._name}: {error} ({space.free_at(self._claim.fd)} bytes free); "
                + self._safe(" and can be read with read_raster; record to another disk")
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
def write_raster(
    path: PathLike,
    times: ArrayLike,
    ids: ArrayLike,
    populations: Sequence[tuple[str, int]],
    *,
    header: Description,
    footer: Description,
    n_recorded: Sequence[int | None] | None = None,
) -> None:
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
        writer._finish(FINISHED, *_encoded_footer(footer))


@named_arguments
def recover_raster(path: PathLike, new_path: PathLike) -> RasterData:
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
    data, _ = read_with_state(path)
    footer = {"recovered": True} if data.footer is None else data.footer
    n_recorded = data.n_recorded or None
    write_raster(
        new_path, data.times, data.ids, data.populations, header=data.header, footer=footer, n_recorded=n_recorded
    )
    return replace(data, footer=footer, finished=True)
