from .._core import Engine
from .._ranks import Ranks
from .input import EngineInput

class Lookahead(Engine):
    n_threads: int
    ranks: Ranks | None
    def __init__(
        self,
        network: EngineInput,
        n_threads: int | None = None,
        block: int | None = None,
        longest: float | None = None,
        dense: float = ...,
        ranks: Ranks | None = None,
    ) -> None: ...
