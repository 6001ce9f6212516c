import numpy as np

class Neurons:
    n: int
    def __init__(
        self,
        is_linear: np.ndarray,
        tau: np.ndarray,
        drive: np.ndarray,
        V_peak: np.ndarray,
        V_reset: np.ndarray,
        t_ref: np.ndarray,
        first: np.ndarray,
        target: np.ndarray,
        row: np.ndarray,
    ) -> None: ...

class Walk:
    T: np.ndarray
    S: np.ndarray
    R: np.ndarray
    by_T: np.ndarray
    by_S: np.ndarray
    by_R: np.ndarray
    first_kick: np.ndarray
    by_time: np.ndarray
    by_weight: np.ndarray
    by_drive: np.ndarray
    by_V: np.ndarray
    def __init__(
        self,
        neurons: Neurons,
        weight: np.ndarray,
        times: np.ndarray,
        ids: np.ndarray,
        V: np.ndarray,
        refractory: np.ndarray,
    ) -> None: ...
    def begin(self, start: float) -> np.ndarray: ...
    def forth(self, low: int, high: int) -> int: ...
    def first_gain(self, by: np.ndarray | None = None) -> np.ndarray: ...
    def last_gain(self, t: float, by: np.ndarray | None = None) -> np.ndarray: ...
    def back(self, low: int, high: int) -> None: ...
    def end(self) -> None: ...
    def take(self, c: np.ndarray, fired: np.ndarray, low: int, high: int) -> None: ...
    def take_back(self, a: np.ndarray, fired: np.ndarray, by_dt: np.ndarray, low: int, high: int) -> None: ...
