"""Rasters: the names of :mod:`sparseprop.files.raster` that whoever writes files of their own needs."""

from .files.raster import RasterWriter, raster_info, read_raster, recover_raster, write_raster

__all__ = ["RasterWriter", "raster_info", "read_raster", "recover_raster", "write_raster"]
