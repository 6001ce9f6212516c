"""Results as tables of pandas."""

import numpy as np

from .parts import imported, owners, recorded_part

__all__ = ["to_pandas"]


def to_pandas(result, what="spikes"):
    """The table of a Result; see :meth:`sparseprop.Result.to_pandas`."""
    pandas = imported("pandas", "to_pandas")
    part = recorded_part(result, what, "to_pandas")
    names = [info.name for info in result.populations]
    if what == "spikes":
        of, local = owners(result, result.ids)
        table = pandas.DataFrame(
            {
                "time": np.array(result.times),
                "id": np.array(result.ids),
                "population": pandas.Categorical.from_codes(of, names),
                "neuron": local,
            }
        )
    elif what == "counts":
        width = result.bin_width
        n = len(next(iter(result.counts.values()), ()))
        begins = pandas.Index(result.t_start + np.arange(n) * width, name="time")
        table = pandas.DataFrame({name: np.array(counts) for name, counts in result.counts.items()}, index=begins)
    else:
        values, times, ids = part
        of, local = owners(result, ids)
        levels, ports = [np.array(names, object)[of], local], []
        if what == "I_syn":
            n = values.shape[2]
            levels = [*(np.repeat(level, n) for level in levels), np.tile(np.arange(n), len(ids))]
            ports = ["port"]
        columns = pandas.MultiIndex.from_arrays(levels, names=["population", "neuron", *ports])
        table = pandas.DataFrame(
            np.array(values.reshape(len(times), -1)),
            index=pandas.Index(np.array(times), name="time"),
            columns=columns,
        )
    table.attrs |= {"t_start": float(result.t_start), "t_stop": float(result.t_stop), "time_unit": "ms"}
    if what == "counts":
        table.attrs["bin_width"] = result.bin_width
    return table
