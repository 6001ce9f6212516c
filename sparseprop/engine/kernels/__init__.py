"""The compiled kinds of neurons: a unit for each models/_<m>.pxd, which setup.py writes and compiles."""

import functools
import importlib

__all__ = ["kernel"]


@functools.cache
def kernel(name):
    """The Kernel whose name a model has in `kernel`; it is imported when it is first needed."""
    return importlib.import_module(f"{__name__}._{name.lower()}").KERNEL
