from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core import TapePart
from .input import EngineInput

class Adjoint:
    weight_sums: NDArray[np.float64]
    delay_sums: NDArray[np.float64]
    drive_sums: NDArray[np.float64]
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
    ) -> None: ...
    def load(
        self, part: TapePart, by_time: NDArray[np.float64], first_before: tuple[int, float] | None = None
    ) -> None: ...
    def run(self, until: tuple[int, float], budget: int) -> bool: ...
    def read(
        self,
        time: tuple[int, float],
        ids: NDArray[np.int64],
        V: NDArray[np.float64],
        currents: NDArray[np.float64],
        by_V: NDArray[np.float64],
    ) -> None: ...
    def leave(
        self,
        time: tuple[int, float],
        k: int,
        V: NDArray[np.float64],
        begins: bool,
        currents: NDArray[np.float64] | None = ...,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]: ...
    def arrive(self, k: int, V: NDArray[np.float64], by_V: NDArray[np.float64], n_changes: int) -> None: ...
    def add_up(self) -> None: ...
    def is_used_up(self) -> bool: ...
    @property
    def shift(self) -> tuple[float, float]: ...
    @property
    def ranks(self) -> list[int]: ...
    @property
    def n_ties(self) -> int: ...
    @property
    def findings(self) -> tuple[list[tuple[int, int, int, float]], int]: ...
