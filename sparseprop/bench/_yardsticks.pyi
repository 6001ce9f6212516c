from typing import final

import numpy as np
from numpy.typing import NDArray

PREFETCHING: tuple[str, ...]

def random_updates(
    targets: NDArray[np.int32], degree: int, rows: NDArray[np.int64], n: int, prefetching: str = "none"
) -> float: ...
def draw_events(means: NDArray[np.float64], n: int, block: int, intervals: int) -> tuple[int, float]: ...

class Phases:
    def __init__(
        self,
        model: str,
        phases: NDArray[np.float64],
        targets: NDArray[np.int32],
        degree: int,
        kick: float,
        omega: float,
        period: float,
    ) -> None: ...
    def advance(self, n_spikes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...

@final
class PaperHeap(Phases):
    def __init__(
        self,
        model: str,
        phases: NDArray[np.float64],
        targets: NDArray[np.int32],
        degree: int,
        kick: float,
        omega: float,
        period: float,
        *,
        prefetching: bool = False,
    ) -> None: ...

@final
class Conventional(Phases): ...
