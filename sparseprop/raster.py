"""Rasters in files: what reads and writes them, for whoever has spikes of their own; see :mod:`sparseprop.files`."""

from .files.raster_reader import RasterData, raster_info, read_raster, refuse_existing
from .files.raster_writer import RasterWriter, recover_raster, write_raster

__all__ = [
    "RasterData",
    "RasterWriter",
    "raster_info",
    "read_raster",
    "recover_raster",
    "refuse_existing",
    "write_raster",
]
