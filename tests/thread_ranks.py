"""Ranks that are threads of one process, for tests of what ranks do: communicators with mpi4py's methods.

Where a rank ends with an error that it told nobody, the others' next message fails after a minute.
"""

import sys
import threading

import numpy as np

WAIT = 60.0  # s


class ThreadComm:
    """One rank's communicator; all of them share `board`."""

    def __init__(self, rank, board):
        self.rank, self.board = rank, board

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return len(self.board["said"])

    def _swap(self, array):
        """What all ranks say."""
        barrier = self.board["barrier"]
        self.board["said"][self.rank] = np.array(array, copy=True)
        barrier.wait(WAIT)
        said = list(self.board["said"])
        barrier.wait(WAIT)
        return said

    def Allgather(self, mine, everything):
        everything[...] = np.stack(self._swap(mine)).reshape(everything.shape)

    def Allgatherv(self, mine, everything):
        array, counts = everything
        said = self._swap(mine)
        assert [len(each) for each in said] == list(counts)
        array[...] = np.concatenate(said)

    def Gatherv(self, mine, everything, root):
        said = self._swap(mine)
        if self.rank == root:
            array, counts = everything
            assert [len(each) for each in said] == list(counts)
            array[...] = np.concatenate(said)


def on_ranks(size, work):
    """What ``work(comm)`` returns on each of so many ranks; or the exceptions that it raised there, by rank."""
    board = {"said": [None] * size, "barrier": threading.Barrier(size)}
    outcome = [None] * size

    def run(rank):
        try:
            outcome[rank] = work(ThreadComm(rank, board))
        except BaseException as error:
            outcome[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # they wait for each other all the time
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return outcome


def all_on_ranks(size, work):
    """As :func:`on_ranks`, where no rank is to fail."""
    outcome = on_ranks(size, work)
    failures = [each for each in outcome if isinstance(each, BaseException)]
    for each in sorted(failures, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise each
    return outcome
