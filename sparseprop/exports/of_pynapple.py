"""Results for pynapple."""

import numpy as np

from ..errors import ParameterError
from .parts import imported, owners, recorded_part

__all__ = ["to_pynapple"]


def to_pynapple(result, what="spikes"):
    """What pynapple has for a part of a Result; see :meth:`sparseprop.Result.to_pynapple`."""
    nap = imported("pynapple", "to_pynapple")
    if what == "counts":
        raise ParameterError(
            "to_pynapple: counts have bins, which pynapple has not; use res.to_pandas('counts'), or count anew with "
            "res.to_pynapple().count(bin_size)"
        )
    part = recorded_part(result, what, "to_pynapple", ("spikes", "V", "I_syn"))
    if not result.t_start < result.t_stop:
        raise ParameterError(
            f"to_pynapple: pynapple drops intervals without duration, and this run is from {result.t_start:g} to "
            f"{result.t_stop:g} ms"
        )
    # Given in seconds: times given in ms are rounded to 1e-9 s.
    support = nap.IntervalSet(result.t_start / 1e3, result.t_stop / 1e3)
    names = np.array([info.name for info in result.populations])
    if what == "spikes":
        trains = result.spike_trains()
        if not trains:
            raise ParameterError("to_pynapple: no neuron was recorded; run with record=sp.Record(spikes=...)")
        of, neurons = owners(result, list(trains))
        group = {i: nap.Ts(times / 1e3, time_support=support) for i, times in trains.items()}
        about = {"population": names[of], "neuron": neurons}
        return nap.TsGroup(group, time_support=support, bypass_check=True, metadata=about)
    values, times, ids = part
    times = times / 1e3
    if what == "I_syn":
        return nap.TsdTensor(times, np.array(values), time_support=support)
    of, neurons = owners(result, ids)
    about = {"population": names[of], "neuron": neurons}
    return nap.TsdFrame(times, np.array(values), time_support=support, columns=np.array(ids), metadata=about)
