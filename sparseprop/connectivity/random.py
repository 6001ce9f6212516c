"""Random numbers by their purpose.

What is drawn is a pure function of (seed, purpose, index, neuron), through the counter-based generator Philox4x64-10:
it does not depend on other projections, on the size of other populations, or on the process.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .._types import Key

__all__ = ["Purpose", "random_key"]


class Purpose(enum.IntEnum):
    """What random numbers are for: the last word of the generator's counter, (block, neuron, index, purpose).

    Streams of different purposes never share a number. A value that has been released is never given another
    meaning, because networks in people's papers depend on it.
    """

    #: Ids of a row; index = projection, neuron = source (target, for `fixed_indegree`).
    CONNECTIVITY = 1
    #: Initial phases; index = population.
    INITIAL_STATE = 2
    #: How many edges of `fixed_total_number` each source has; index = projection, neuron = 0.
    ROW_LENGTHS = 3
    #: Events of a drive, of which this makes a key (see ``_poisson.pxd``); index = number of the drive, neuron = 0.
    DRIVE = 4
    #: Spikes of a PoissonSource, in the same way; index = population.
    POISSON_SOURCE = 5
    #: Weights; index = projection, neuron = source.
    WEIGHT = 6
    #: Delays; index = projection, neuron = source.
    DELAY = 7
    #: Parameters of neurons; index = population and name (see ``distributions.py``).
    PARAMETER = 8
    #: Initial voltages and currents from distributions; index = population and name.
    STATE = 9


def random_key(seed: int | Sequence[int]) -> Key:
    """The key of the counter-based generator for a seed.

    Parameters
    ----------
    seed : int or sequence of int
        As for :class:`numpy.random.SeedSequence`, which makes the keys of neighbouring seeds unrelated.

    Returns
    -------
    ndarray of uint64, shape (2,)
    """
    return np.asarray(np.random.SeedSequence(seed).generate_state(2, np.uint64), np.uint64)
