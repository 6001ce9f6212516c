"""Results for neo, and with it for elephant and what else reads it."""

import numpy as np

from ..errors import ParameterError, shown
from .parts import imported, owners

__all__ = ["to_neo"]


def to_neo(result, unit="dimensionless"):
    """The Block of a Result; see :meth:`sparseprop.Result.to_neo`."""
    neo = imported("neo", "to_neo")
    import quantities as pq

    try:
        unit = pq.unit_registry[unit]
    except Exception as error:  # its parser has several
        raise ParameterError(
            f"to_neo: unit must be the name of a unit of voltage that quantities knows, such as 'mV', got {shown(unit)}"
        ) from error
    segment = neo.Segment(name="run", index=0)
    names = [info.name for info in result.populations]
    trains = result.spike_trains()
    of, local = owners(result, list(trains))
    ends = {"units": pq.ms, "t_start": float(result.t_start), "t_stop": float(result.t_stop)}
    # All at once: neo compares each train that is appended with all before it.
    segment.spiketrains.extend(
        [
            neo.SpikeTrain(times, **ends, name=f"{names[k]} {neuron}", population=names[k], neuron=neuron, channel_id=i)
            for (i, times), k, neuron in zip(trains.items(), of.tolist(), local.tolist(), strict=True)
        ]
    )
    for what in ("V", "I_syn"):
        for name, values, times, ids in _signals(result, what):
            of, local = owners(result, ids)
            arrays = {"channel_ids": np.array(ids), "population": np.array(names)[of], "neuron": local}
            segment.irregularlysampledsignals.append(
                neo.IrregularlySampledSignal(
                    np.array(times), np.array(values), units=unit, time_units=pq.ms, name=name, array_annotations=arrays
                )
            )
    for name, counts in (result.counts or {}).items():
        segment.analogsignals.append(
            neo.AnalogSignal(
                counts[:, None],
                units="dimensionless",
                t_start=float(result.t_start) * pq.ms,
                sampling_period=result.bin_width * pq.ms,
                name=f"counts of {name}",
            )
        )
    block = neo.Block(name="sparseprop", run_id=result.run_id)
    block.segments.append(segment)
    return block


def _signals(result, what):
    """Name, values of shape (times, neurons), times and ids of what was sampled; currents port by port."""
    values, times, ids = (getattr(result, name) for name in (what, f"{what}_times", f"{what}_ids"))
    if values is None:
        return
    if what == "V":
        yield what, values, times, ids
        return
    for port in range(values.shape[2]):
        there = ~np.isnan(values[:, :, port]).all(axis=0)  # neurons that have it
        yield f"{what} of port {port}", values[:, there, port], times, ids[there]
