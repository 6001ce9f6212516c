"""The processes that share a simulation under MPI, and what they say to each other.

All ranks run the same script and make the same calls in the same order: every call here is one that all of them make.
Each message begins with whether its rank still works, so that an error on one rank becomes an error on all, wherever
the others wait for it.
"""

import contextlib
import os
import pickle
import platform
import sys
import traceback

import numpy as np

from ._machine import cores
from .errors import ParameterError, RankError, shown

__all__ = ["Ranks", "ranks_of"]

HEAD = 2  # whether the rank works, and the bytes of what it has to say
WORKS, FAILED = 0, 1
ROOM = 1 << 10  # bytes of what comes with the head, at first; so that one message is mostly enough
MOST_ROOM = 1 << 20
_key: list[int] = []  # under which communicators of mpi4py know their Ranks
NEEDED = ("Get_rank", "Get_size", "Allgather", "Allgatherv", "Gatherv")


class Ranks:
    """This process among those of an MPI communicator.

    Parameters
    ----------
    comm : communicator
        As of mpi4py. What goes over it is kept apart from what else the script sends, by a copy of it.

    Attributes
    ----------
    comm : communicator
        The one that was given.
    rank, size : int
    n_here : int
        How many of the ranks are on this machine, and share its memory.
    n_threads : int
        How many threads each rank may have, so that those on one machine do not take each other's cores.
    failure : Exception or None
        Why the last exchange that compiled code asked for failed.
    """

    def __init__(self, comm):
        self.comm = comm
        self._comm = comm.Dup() if hasattr(comm, "Dup") else comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.failure = None
        self._make_room(ROOM)
        machines = self.gather_objects((platform.node(), cores()))
        here = [n for name, n in machines if name == platform.node()]
        self.n_here = len(here)
        # Where the launcher has bound ranks to cores of their own, they have these.
        self.n_threads = cores() if sum(here) <= (os.cpu_count() or 1) else max(1, cores() // self.n_here)

    @property
    def is_first(self):
        """Whether this is the rank that writes files and shows progress."""
        return self.rank == 0

    def share(self, n):
        """From where to before where the neurons of this rank are, of a population of n."""
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    @contextlib.contextmanager
    def as_one(self):
        """What is done here ends on all ranks alike: where one of them fails, all do."""
        try:
            yield
            self.together()
        except BaseException as error:
            with contextlib.suppress(Exception):  # the error is what counts, even if nobody hears of it
                self.fail(error)
            raise

    def any(self, mine):
        """Whether something holds on some rank."""
        return any(self.gather_objects(bool(mine)))

    def _make_room(self, room):
        self._room = room
        self._mine = np.zeros(8 * HEAD + room, np.uint8)
        self._all = np.zeros((self.size, 8 * HEAD + room), np.uint8)

    def _swap_heads(self, status, payload):
        """The heads of all ranks, and what came with them."""
        head = self._mine[: 8 * HEAD].view(np.int64)
        head[:] = status, len(payload)
        first = min(len(payload), self._room)
        self._mine[8 * HEAD : 8 * HEAD + first] = np.frombuffer(payload, np.uint8, first)
        self._comm.Allgather(self._mine, self._all)
        return self._all[:, : 8 * HEAD].copy().view(np.int64)

    def gather(self, payload):
        """What all ranks have to say.

        Parameters
        ----------
        payload : bytes

        Returns
        -------
        list of bytes
            By rank.

        Raises
        ------
        RankError
            If another rank has failed.
        """
        heads = self._swap_heads(WORKS, payload)
        self._look_at(heads)
        sizes = heads[:, 1]
        room, most = self._room, int(sizes.max())
        if most <= room:
            parts = [self._all[rank, 8 * HEAD : 8 * HEAD + size].tobytes() for rank, size in enumerate(sizes)]
        else:
            rest = np.maximum(sizes - room, 0)
            everything = np.empty(int(rest.sum()), np.uint8)
            self._comm.Allgatherv(np.frombuffer(payload, np.uint8)[room:], (everything, rest))
            at = np.concatenate([[0], np.cumsum(rest)])
            parts = [
                self._all[rank, 8 * HEAD : 8 * HEAD + min(size, room)].tobytes()
                + everything[at[rank] : at[rank + 1]].tobytes()
                for rank, size in enumerate(sizes)
            ]
            self._make_room(min(MOST_ROOM, 1 << (2 * most - 1).bit_length()))
        return parts

    def gather_objects(self, value):
        """What all ranks have, of any Python type that can be pickled, by rank."""
        return [pickle.loads(part) for part in self.gather(pickle.dumps(value))]

    def agree(self, value):
        """What the first rank has."""
        return self.gather_objects(value if self.is_first else None)[0]

    def collect(self, array):
        """The rows of all ranks, one rank's behind the other's, on the first one; None on the others."""
        array = np.ascontiguousarray(array)
        counts = self.gather_objects(array.size)
        joined = np.empty(sum(counts), array.dtype) if self.is_first else None
        self._comm.Gatherv(array.reshape(-1), None if joined is None else (joined, counts), 0)
        return None if joined is None else joined.reshape(-1, *array.shape[1:])

    def together(self):
        """Wait until all are here; raises what :meth:`gather` does."""
        self.gather(b"")

    def _look_at(self, heads):
        """Raise the error of another rank, if one has failed; all of those that work come here at the same time."""
        failed = np.flatnonzero(heads[:, 0] == FAILED)
        if not failed.size:
            return
        rank = int(failed[0])
        size = int(heads[rank, 1])
        text = self._all[rank, 8 * HEAD : 8 * HEAD + min(size, self._room)].tobytes().decode(errors="replace")
        raise RankError(f"rank {rank} of {self.size} has failed, and the run has ended on all of them. There: {text}")

    def fail(self, error):
        """Tell the others, who are about to speak, that this rank has failed: once, and not what they have told."""
        if isinstance(error, RankError) or getattr(error, "is_told", False):
            return
        error.is_told = True
        text = "".join(traceback.format_exception_only(error)).strip().encode()[: self._room]
        self._swap_heads(FAILED, text)


def ranks_of(comm, where):
    """The :class:`Ranks` of what ``comm=`` got; None without it, and where there is only one rank."""
    if comm is None or isinstance(comm, Ranks):
        return comm
    missing = [name for name in NEEDED if not hasattr(comm, name)]
    if missing:
        raise ParameterError(
            f"{where}: comm must be a communicator as of mpi4py, such as MPI.COMM_WORLD, got {shown(comm)}; "
            'pip install "sparseprop-sim[mpi]", and from mpi4py import MPI'
        )
    if comm.Get_size() == 1:
        return None
    _end_all_on_error(comm)
    return _cached(comm)


def _cached(comm):
    """The Ranks of a communicator, one object as long as it lives: an MPI has only so many communicators to copy."""
    if not hasattr(comm, "Get_attr"):
        return Ranks(comm)
    from mpi4py import MPI

    if not _key:
        _key.append(MPI.Comm.Create_keyval())
    ranks = comm.Get_attr(_key[0])
    if ranks is None:
        ranks = Ranks(comm)
        comm.Set_attr(_key[0], ranks)
    return ranks


def _end_all_on_error(comm):
    """An exception that nobody catches on one rank ends all of them, which would wait for it forever otherwise."""
    if not hasattr(comm, "Abort") or getattr(sys.excepthook, "ends_all", False):
        return
    before = sys.excepthook

    def end_all(kind, error, trace):
        before(kind, error, trace)
        sys.stderr.flush()
        comm.Abort(1)

    end_all.ends_all = True  # type: ignore[attr-defined]
    sys.excepthook = end_all
