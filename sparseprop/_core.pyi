import numpy as np
from numpy.typing import NDArray

from .engine.input import Changes, EngineInput, PoissonInput
from .errors import EngineFault

BUILD_MODE: str
SIZES: dict[str, int]

def contracts_multiply_add() -> bool: ...
def find_with_registers(
    width: int, x: NDArray[np.float64], bound: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...

class Engine:
    name: str
    def __init__(self, network: EngineInput, name: str) -> None: ...
    @property
    def now(self) -> tuple[int, float]: ...
    @property
    def n_spikes(self) -> int: ...
    @property
    def n_synaptic_events(self) -> int: ...
    @property
    def n_input_events(self) -> int: ...
    @property
    def n_drive_events(self) -> int: ...
    @property
    def n_close_calls(self) -> int: ...
    n_changes: int
    @property
    def last(self) -> tuple[int, float]: ...
    injected: tuple[NDArray[np.float64], NDArray[np.int64]]
    def set_process(self, k: int, process: PoissonInput) -> None: ...
    def set_changes(self, changes: Changes, n_changes: int) -> None: ...
    def place(
        self,
        ids: NDArray[np.int64],
        V: NDArray[np.float64],
        refractory: NDArray[np.float64],
        currents: NDArray[np.float64],
    ) -> None: ...
    def set_flights(self, emissions: NDArray[np.float64], last: tuple[int, float]) -> None: ...
    def emissions(self) -> NDArray[np.float64]: ...
    def releases(self, k: int) -> NDArray[np.float64]: ...
    def advance(self, until: tuple[int, float], max_spikes: int | None = None, budget: int = ...) -> str: ...
    def take_weights(self) -> None: ...
    def take(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
    @property
    def origins(self) -> NDArray[np.float64] | None: ...
    def voltages(self, ids: NDArray[np.int64] | None = ..., internal: bool = ...) -> NDArray[np.float64]: ...
    def currents(self, ids: NDArray[np.int64]) -> NDArray[np.float64]: ...
    def state(self) -> dict: ...
    def restore(self, state: dict) -> None: ...
    def start_tape(self, near: float) -> None: ...
    def stop_tape(self) -> Recording | None: ...
    @property
    def tape_size(self) -> int: ...

class Recording:
    n_changes_before: int
    n_changes: int
    V: NDArray[np.float64]
    voltages: list[NDArray[np.float64]]
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def n_spikes(self) -> int: ...
    @property
    def last_before_pair(self) -> tuple[int, float]: ...
    def entries(
        self, wanted: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]: ...

class Adjoint:
    weight_sums: NDArray[np.float64]
    delay_sums: NDArray[np.float64]
    drive_sums: NDArray[np.float64]
    def __init__(
        self,
        network: EngineInput,
        start: tuple[int, float],
        sums: dict[str, NDArray[np.float64]],
        by_weight: list,
        by_delay: list,
        by_drive: list,
        wide: bool,
        near: float,
    ) -> None: ...
    def load(self, recording: Recording, by_time: NDArray[np.float64]) -> None: ...
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
    def is_used_up(self) -> bool: ...
    @property
    def shift(self) -> tuple[float, float]: ...
    @property
    def ranks(self) -> list[int]: ...
    @property
    def n_ties(self) -> int: ...
    @property
    def findings(self) -> tuple[list[tuple[int, int, int, float]], int]: ...

class StopFlag:
    def set(self) -> None: ...

class Samples:
    times: NDArray[np.float64]
    ids: NDArray[np.int64]
    ends: NDArray[np.int64]
    V: NDArray[np.float64]
    counts: NDArray[np.int64]

class SampleFault(Exception):
    sample: int
    fault: EngineFault

class Runner:
    beginning: Recording
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
    def __init__(self, adjoint: Adjoint, beginning: Recording) -> None: ...
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
        by_current: list,
        by_input: NDArray[np.float64],
        offsets: NDArray[np.int64],
        flag: StopFlag,
    ) -> float: ...
    def take_weights(self) -> None: ...
    def clear(self) -> None: ...
    @property
    def findings(self) -> tuple[list[tuple[int, int, int, int, float]], int]: ...
