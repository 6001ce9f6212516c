"""Many samples of one network, on all cores."""

from .simulation import (
    BatchResult,
    BatchSimulation,
    are_pairs,
    by_source,
    check_no_raster,
    check_shape,
    input_array,
    is_raster,
    padded,
    padded_pairs,
    run_batch,
    sources_of,
)

__all__ = [
    "BatchResult",
    "BatchSimulation",
    "are_pairs",
    "by_source",
    "check_no_raster",
    "check_shape",
    "input_array",
    "is_raster",
    "padded",
    "padded_pairs",
    "run_batch",
    "sources_of",
]
