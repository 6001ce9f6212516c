"""Whether mpirun, or the like, has started this process as one of several, and what these share."""

import os

from .._ranks import ranks_of
from ..errors import ParameterError

__all__ = ["is_first", "launched", "ranks_of_run", "refuse_ranks"]

# What launchers say in the environment of each process: Open MPI; MPICH, Intel MPI and others; srun.
SAID = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


def launched():
    """Number of this process, and how many there are."""
    for size, rank in SAID:
        if os.environ.get(size, "").isdecimal() and os.environ.get(rank, "").isdecimal():
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def is_first():
    """Whether this process speaks for all."""
    return launched()[0] == 0


def ranks_of_run():
    """The Ranks of the processes that were started together; None for a single one."""
    n = launched()[1]
    if n == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        raise ImportError(
            f"{n} processes were started together, which need mpi4py to share a network; "
            'pip install "sparseprop-sim[mpi]"'
        ) from None
    if MPI.COMM_WORLD.Get_size() != n:
        raise ParameterError(
            f"{n} processes were started together, and MPI knows {MPI.COMM_WORLD.Get_size()}: mpi4py belongs to "
            "another MPI than mpirun; start them with the mpirun of the same environment"
        )
    return ranks_of(MPI.COMM_WORLD, "run")


def refuse_ranks(command):
    """Refuse several processes for a command of one."""
    n = launched()[1]
    if n > 1:
        raise ParameterError(
            f"sparseprop {command} runs in one process, and {n} were started together; leave mpirun out (it is for "
            "sparseprop run)"
        )
