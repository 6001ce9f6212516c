from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core import Engine, TapePart
from ..errors import EngineFault
from ._backward import Adjoint
from .input import EngineInput

class StopFlag:
    def set(self) -> None: ...

class Samples:
    times: NDArray[np.float64]
    ids: NDArray[np.int64]
    ends: NDArray[np.int64]
    V: NDArray[np.float64]
    counts: NDArray[np.int64]

class SampleFault(Exception):
    def __init__(self, sample: int, fault: EngineFault) -> None: ...
    sample: int
    fault: EngineFault

class Runner:
    engine: Engine
    beginning: TapePart
    def __init__(self, network: EngineInput, near: float) -> None: ...
    def take_weights(self) -> None: ...
    def run(
        self,
        times: NDArray[np.float64],
        ids: NDArray[np.int64],
        offsets: NDArray[np.int64],
        first: int,
        n: int,
        until: tuple[int, float],
        stop_epochs: NDArray[np.int64],
        stop_s: NDArray[np.float64],
        V_ids: NDArray[np.int64],
        keep: bool,
        flag: StopFlag,
    ) -> Samples: ...

class BackwardRunner:
    adjoint: Adjoint
    def __init__(self, adjoint: Adjoint, beginning: TapePart) -> None: ...
    def run(
        self,
        samples: Samples,
        first: int,
        by_spike: NDArray[np.float64],
        stop_epochs: NDArray[np.int64],
        stop_s: NDArray[np.float64],
        V_ids: NDArray[np.int64],
        by_V: NDArray[np.float64],
        by_start: NDArray[np.float64],
        by_current: list[Any],
        by_input: NDArray[np.float64],
        offsets: NDArray[np.int64],
        flag: StopFlag,
    ) -> float: ...
    def take_weights(self) -> None: ...
    def clear(self) -> None: ...
    @property
    def findings(self) -> tuple[list[tuple[int, int, int, int, float]], int]: ...
