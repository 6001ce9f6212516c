"""What a raster says of its populations, besides their spikes."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["PopulationInfo", "number_recorded", "populations_in", "recorded_in"]


@dataclass(frozen=True)
class PopulationInfo:
    """Name, size and model name of a population, the global id of its first neuron, and whether it is of sources.

    `has_currents`, whether its neurons have synaptic currents, is known while it runs.
    """

    name: str
    n: int
    model: str = ""
    first: int = 0
    is_source: bool = False
    has_currents: bool = field(default=False, repr=False, compare=False)


def populations_in(header, populations):
    """The populations of a raster, given their names and sizes, with what its header says of them."""
    described = {entry["name"]: entry for entry in header.get("populations", [])}
    infos, at = [], 0
    for name, n in populations:
        entry = described.get(name, {})
        infos.append(PopulationInfo(name, n, entry.get("model", ""), at, entry.get("is_source", False)))
        at += n
    return infos


def recorded_in(header, infos):
    """Of which neurons the header of a raster says that spikes were recorded; earlier versions do so in their way."""
    if "recorded" in header:
        return header["recorded"]
    record = header.get("run", {}).get("record", {})
    spikes, nobody = record.get("spikes", True), np.zeros(0, np.int64)
    recorded = {}
    for info in infos:
        chosen = spikes if isinstance(spikes, bool) else spikes.get(info.name, False)
        if chosen is False or (info.is_source and not record.get("record_sources", True)):
            chosen = nobody
        recorded[info.name] = chosen if chosen is True else np.unique(chosen)
    return recorded


def number_recorded(info, recorded):
    """Of how many neurons of a population spikes were recorded; None where nobody knows."""
    return info.n if recorded is True else None if recorded is None else len(recorded)
