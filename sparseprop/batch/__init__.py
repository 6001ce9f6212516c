"""Many samples of one network, on all cores."""

from .inputs import (
    are_pairs,
    by_source,
    check_no_raster,
    check_shape,
    input_array,
    is_raster,
    padded,
    padded_pairs,
    sources_of,
)
from .result import BatchResult
from .simulation import BatchSimulation, run_batch
from .spike_data import SpikeData

__all__ = [
    "BatchResult",
    "BatchSimulation",
    "SpikeData",
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
