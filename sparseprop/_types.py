"""Types that many signatures share: for type checkers and readers. Nothing imports this module at run time."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .analysis import SpikeTrains
    from .batch.result import BatchResult
    from .batch.spike_data import SpikeData
    from .gradients import Truncated
    from .network import Population
    from .run.result import Result
    from .training import Evaluation

__all__ = [
    "ArrayLike",
    "Bools",
    "Communicator",
    "Description",
    "EngineName",
    "Floats",
    "Ids",
    "InputSpikes",
    "Interrupt",
    "Ints",
    "Key",
    "LossFunction",
    "Metric",
    "NumberOrArray",
    "PathLike",
    "PopulationName",
    "Progress",
    "Recorded",
    "Samples",
    "SparseMatrix",
    "Spikes",
    "Tape",
]

ArrayLike: TypeAlias = npt.ArrayLike
PathLike: TypeAlias = str | os.PathLike[str]

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Ids: TypeAlias = npt.NDArray[np.int32]
Bools: TypeAlias = npt.NDArray[np.bool_]
Key: TypeAlias = npt.NDArray[np.uint64]  # of random numbers, shape (2,)

# A float, or an array with one for each neuron or synapse: which, is known only when it runs, and who reads one knows.
NumberOrArray: TypeAlias = Any
# An array, or None where it was not to be recorded: who reads one has asked for it. Likewise `int | Any`, and so on.
Recorded: TypeAlias = npt.NDArray[np.float64] | Any

Description: TypeAlias = dict[str, Any]  # plain values and arrays by name, for files and configurations

EngineName: TypeAlias = Literal["window", "heap", "lookahead", "reference"]
Interrupt: TypeAlias = Literal["return", "raise"]
Progress: TypeAlias = bool | Callable[[float], object] | None
Tape: TypeAlias = "bool | Literal['checkpoint'] | Truncated"


# What functions of `analysis` take; spike trains of neo are among them, which has no types.
Spikes: TypeAlias = (
    "Result | SpikeTrains | PathLike | tuple[ArrayLike, ArrayLike, int, float, float] | Sequence[npt.NDArray[Any]]"
)
# Spikes of the samples of a batch, of one source or by source.
Samples: TypeAlias = "ArrayLike | SpikeData | Sequence[tuple[ArrayLike, ArrayLike]]"
InputSpikes: TypeAlias = "Samples | Mapping[str, Samples]"
LossFunction: TypeAlias = "Callable[[BatchResult, Any], Evaluation]"
Metric: TypeAlias = "str | Callable[[BatchResult, Any], float]"
PopulationName: TypeAlias = "Population | str"


if TYPE_CHECKING:

    class PlotAxes(Axes):
        """Axes of a figure, not of a part of one, so that ``ax.figure.savefig`` is known; who gives others, knows."""

        figure: Figure


class Communicator(Protocol):
    """A communicator of mpi4py, such as MPI.COMM_WORLD."""

    def Get_rank(self) -> int: ...

    def Get_size(self) -> int: ...

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> Any: ...

    def Allgatherv(self, sendbuf: Any, recvbuf: Any) -> Any: ...

    def Gatherv(self, sendbuf: Any, recvbuf: Any, root: int) -> Any: ...


class SparseMatrix(Protocol):
    """A matrix or array of scipy.sparse."""

    @property
    def shape(self) -> Any: ...

    def tocoo(self) -> Any: ...
