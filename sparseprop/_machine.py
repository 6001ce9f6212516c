"""What the machine has for this process: memory and cores, and work that is shared out to these."""

import os
import threading
from collections import deque

__all__ = ["available_memory", "cores", "share_out"]

LITTLE_MEMORY = 1 << 26  # bytes, which are asked for without a look


def available_memory():
    """Bytes of memory that can be had now: Linux's own estimate, elsewhere the whole of it.

    Never less than 64 MiB: under load the estimate can be 0 for a moment, and a small network was refused once.
    """
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return max(1024 * int(line.split()[1]), LITTLE_MEMORY)
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(work, pieces):
    """Call ``work(*piece)`` for each of the pieces, on all cores that this process may use; the order is open.

    For what releases the GIL. One piece needs no thread. Ctrl-C, as any exception, is raised when the pieces under way
    are done.
    """
    if len(pieces) < 2:
        for piece in pieces:
            work(*piece)
        return
    left, errors, threads = deque(pieces), [], []

    def take():
        while left:
            try:
                piece = left.popleft()
            except IndexError:  # another thread was faster
                return
            work(*piece)

    def take_beside():
        try:
            take()
        except BaseException as error:
            left.clear()
            errors.append(error)

    try:
        for _ in range(min(cores(), len(left)) - 1):
            thread = threading.Thread(target=take_beside, name="sparseprop")
            try:
                thread.start()
            except RuntimeError:  # no more threads are allowed: those that there are do it
                break
            threads.append(thread)
        take()
    finally:
        left.clear()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
