from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_INTERVALS: int
PIECE: int

def philox(
    counter: Sequence[int] | NDArray[np.uint64], key: Sequence[int] | NDArray[np.uint64]
) -> NDArray[np.uint64]: ...
def uniforms(key: NDArray[np.uint64], purpose: int, index: int, n: int, first: int = 0) -> NDArray[np.float64]: ...
def draw_rows(
    key: NDArray[np.uint64],
    purpose: int,
    projection: int,
    offsets: NDArray[np.int64],
    n: int,
    skip_self: bool,
    with_replacement: bool,
    first: int = 0,
) -> NDArray[np.int32]: ...
def draw_bernoulli(
    key: NDArray[np.uint64],
    purpose: int,
    projection: int,
    n_rows: int,
    n: int,
    p: float,
    skip_self: bool,
    capacity: int,
    number: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]: ...
def draw_row_lengths(
    key: NDArray[np.uint64],
    purpose: int,
    projection: int,
    n_rows: int,
    width: int,
    total: int,
    with_replacement: bool,
) -> NDArray[np.int64]: ...
def transpose(ids: NDArray[np.int32], k: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]: ...
def sort_by_source(sources: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def audit(
    offsets: NDArray[np.int64], targets: NDArray[np.int32], n_post: int, same_population: bool
) -> tuple[int, int, int, int]: ...
def count_repeats(offsets: NDArray[np.int64], targets: NDArray[np.int32], same_population: bool) -> tuple[int, int]: ...
def synapse_values(
    key: NDArray[np.uint64],
    purpose: int,
    projection: int,
    offsets: NDArray[np.int64],
    kind: str,
    a: float,
    b: float,
    low: float,
    high: float,
    first: int = 0,
) -> NDArray[np.float64]: ...
def sort_rows(
    offsets: NDArray[np.int64],
    values: NDArray[np.float64] | Any,
    targets: NDArray[np.int32],
    by_all_cores: bool = True,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]: ...
def row_blocks(offsets: NDArray[np.int64]) -> list[tuple[int, int]]: ...
def rows_of(
    values: NDArray[np.float64] | Any, offsets: NDArray[np.int64], first: int, stop: int
) -> NDArray[np.float64]: ...
def take_places(
    offsets: NDArray[np.int64],
    places: NDArray[np.int32],
    values: NDArray[np.float64] | Any,
    out: NDArray[np.float64],
) -> None: ...
def poisson_events(
    key: NDArray[np.uint64],
    purpose: int,
    index: int,
    n: int,
    interval: float,
    means: NDArray[np.float64],
    times: NDArray[np.float64] | None,
    fractions: NDArray[np.float64] | None,
    k: int,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]: ...
