from .._core import Engine
from ..numerics.engine_time import Clock
from .input import EngineInput

class Lookahead(Engine):
    n_threads: int
    def __init__(
        self,
        network: EngineInput,
        n_threads: int | None = None,
        block: int | None = None,
        longest: float | None = None,
        dense: float = ...,
    ) -> None: ...

def shortest_slice(clock: Clock) -> float: ...
def shortest_delay(network: EngineInput) -> float: ...
