from .._core import Engine
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
