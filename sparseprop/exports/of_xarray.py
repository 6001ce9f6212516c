"""Results as Datasets of xarray."""

import numpy as np

from .parts import imported, owners

__all__ = ["to_xarray"]

_MS = {"units": "ms"}


def to_xarray(result):
    """The Dataset of a Result; see :meth:`sparseprop.Result.to_xarray`."""
    xarray = imported("xarray", "to_xarray")
    names = np.array([info.name for info in result.populations])
    of, local = owners(result, result.ids)
    variables = {
        "time": ("spike", np.array(result.times), _MS),
        "id": ("spike", np.array(result.ids)),
        "neuron": ("spike", local),
        "of_population": ("spike", of, {"long_name": "place in the coordinate population"}),
        "n_neurons": ("population", np.array([info.n for info in result.populations])),
    }
    coordinates = {"population": names}
    for what in ("V", "I_syn"):
        values, times, ids = (getattr(result, name) for name in (what, f"{what}_times", f"{what}_ids"))
        if values is None:
            continue
        of, local = owners(result, ids)
        dims = (f"{what}_time", f"{what}_id", *(["port"] if what == "I_syn" else []))
        variables[what] = (dims, np.array(values))
        variables[f"{what}_population"] = (f"{what}_id", names[of])
        variables[f"{what}_neuron"] = (f"{what}_id", local)
        coordinates |= {f"{what}_time": (f"{what}_time", np.array(times), _MS), f"{what}_id": np.array(ids)}
    if result.counts:
        counts = np.stack(list(result.counts.values()), axis=1)
        variables["counts"] = (("bin", "counted"), counts, {"bin_width": result.bin_width})
        begins = result.t_start + np.arange(len(counts)) * result.bin_width
        coordinates |= {"bin": ("bin", begins, _MS), "counted": list(result.counts)}
    about = {"t_start": float(result.t_start), "t_stop": float(result.t_stop), "run_id": result.run_id} | _MS
    return xarray.Dataset(variables, coordinates, about)
