"""What the machine has for this process: memory and cores."""

import os

__all__ = ["available_memory", "cores"]

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
