import numpy as np
from numpy.typing import NDArray

from .._core import Engine, TapePart
from ..errors import EngineFault
from ._backward import Adjoint
from .input import EngineInput

class Crew:
    def __new__(cls, n: int) -> Crew: ...

class Samples:
    times: NDArray[np.float64]
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    V: NDArray[np.float64]
    counts: tuple[int, int, int, int]

class SampleFault(Exception):
    def __init__(self, sample: int, fault: EngineFault) -> None: ...
    sample: int
    fault: EngineFault

class Runner:
    engine: Engine
    beginning: TapePart
    def __init__(self, network: EngineInput, near: float) -> None: ...
    def take_weights(self) -> None: ...

class Given:
    def __init__(
        self,
        times: NDArray[np.float64],
        ids: NDArray[np.int64],
        offsets: NDArray[np.int64],
        epochs: NDArray[np.int64],
        s: NDArray[np.float64],
        V_ids: NDArray[np.int64],
    ) -> None: ...

def run(crew: Crew | None, runners: list[Runner], given: Given, until: tuple[int, float], keep: bool) -> Samples: ...

class BackwardRunner:
    adjoint: Adjoint
    def __init__(
        self,
        adjoint: Adjoint,
        beginning: TapePart,
        flat: NDArray[np.float64],
        by_start: NDArray[np.float64],
        by_current: list[NDArray[np.float64] | None],
    ) -> None: ...
    def take_weights(self) -> None: ...

def run_back(
    crew: Crew | None,
    runners: list[BackwardRunner],
    samples: Samples,
    given: Given,
    size: int,
    by_spike: NDArray[np.float64],
    by_V: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[int, int, int, int, float]], int, int, float]: ...
