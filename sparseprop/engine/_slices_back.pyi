from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._backward import Adjoint
from .input import EngineInput

class AdjointBySlices(Adjoint):
    n_threads: int
    def __init__(
        self,
        network: EngineInput,
        start: tuple[int, float],
        sums: dict[str, NDArray[np.float64]],
        by_weight: list[Any],
        by_delay: list[Any],
        by_drive: list[Any],
        wide: bool,
        near: float,
        n_threads: int | None = ...,
        block: int | None = ...,
        longest: float | None = ...,
        few: int = ...,
    ) -> None: ...
