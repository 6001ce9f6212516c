"""Currents that come on top of I_e: whether neurons are made for them."""

import dataclasses

import numpy as np

from ..errors import ParameterError

__all__ = ["require_currents"]


def require_currents(model, times, currents, where):
    """Refuse currents, added to I_e, of shape (n_times, 1 or n), that the neurons are not made for.

    By models of one neuron for each time and neuron, which are checked as all are: a block of them at a time.

    Returns
    -------
    list of NeuronModel
        One for each block.
    """
    values = model.I_e + currents
    n = max(values.shape[1], model.size or 1)
    values = np.broadcast_to(values, (len(values), n))
    models = []
    per_block = max((1 << 18) // n, 1)
    for first in range(0, len(values), per_block):
        block = values[first : first + per_block]
        neurons, I_e = np.tile(np.arange(n), len(block)), block.ravel()
        if model.has_tables:
            # A table for each different value, of all times and of none, is what is counted and made.
            neurons, I_e = _different(model, np.vstack([values, np.broadcast_to(model.I_e, (1, n))]))
        try:
            models.append(dataclasses.replace(model.part(neurons), I_e=I_e))
        except ParameterError as error:
            text, _, index = str(error).rpartition(" at index ")
            place = "" if not text or len(I_e) != block.size else f" at {times[first + int(index) // n]} ms"
            raise ParameterError(f"{where}: with the values of sp.steps, {text or error}{place}") from None
        if model.has_tables:
            break
    return models


def _different(model, I_e):
    """Of neurons with these I_e, of shape (times, n), those that differ: which they are, and their I_e."""
    each = [value for _, value in model._values() if isinstance(value, np.ndarray)]
    if not each:
        found = np.unique(I_e)
        return np.zeros(len(found), np.int64), found
    _, first, kind = np.unique(np.stack(each), axis=1, return_index=True, return_inverse=True)
    kinds, found = np.unique(np.stack([np.tile(kind.ravel(), len(I_e)), I_e.ravel()]), axis=1)
    return first[kinds.astype(np.int64)], found
