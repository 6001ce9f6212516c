"""What all exporters ask of a Result: who is who, and what was recorded."""

import importlib

import numpy as np

from ..errors import ParameterError, shown, unknown_name

__all__ = ["WHAT", "imported", "owners", "recorded_part"]

WHAT = ("spikes", "V", "I_syn", "counts")
_RECORD = {
    "V": "sp.Record(V=..., V_times=...)",
    "I_syn": "sp.Record(I_syn=..., I_syn_times=...)",
    "counts": "sp.Record(bins=...)",
}


def imported(library, what):
    """A library of others, which an extra of its name installs.

    Raises
    ------
    ImportError
        With the remedy.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(f'{what} needs {library}: run `pip install "sparseprop-sim[{library}]"`') from error


def owners(result, ids):
    """Of each id the number of its population, and its id within it."""
    firsts = np.array([info.first for info in result.populations], np.int64)
    ids = np.asarray(ids, np.int64)
    population = np.searchsorted(firsts, ids, side="right") - 1
    return population, ids - firsts[population]


def recorded_part(result, what, who, allowed=WHAT):
    """Insist that this kind of recording is known and there; values, times and ids of V and I_syn, else None.

    Raises
    ------
    ParameterError
        With `who`, the exporter, in the message.
    """
    if not isinstance(what, str):
        raise ParameterError(f"{who}: what must be one of {', '.join(map(repr, allowed))}, got {shown(what)}")
    if what not in allowed:
        raise unknown_name(f"part of a Result for {who}", what, allowed)
    if what == "spikes":
        return None
    values = getattr(result, what)
    if values is None:
        pieces = ", or look at res.pieces, which do not fit together" if len(result.pieces) > 1 else ""
        raise ParameterError(f"{who}: there is no {what} here; run with record={_RECORD[what]}{pieces}")
    return None if what == "counts" else (values, getattr(result, f"{what}_times"), getattr(result, f"{what}_ids"))
