"""What came out of a run, as objects of other libraries; each is imported when it is asked for."""

from .of_neo import to_neo
from .of_pandas import to_pandas
from .of_pynapple import to_pynapple
from .of_xarray import to_xarray

__all__ = ["to_neo", "to_pandas", "to_pynapple", "to_xarray"]
