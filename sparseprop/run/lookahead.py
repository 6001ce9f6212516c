"""What the lookahead engine asks of a network and of the call, said before anything starts."""

import numpy as np

from .. import _validation
from ..engine._lookahead import Lookahead
from ..engine.input import shortest_slice
from ..errors import ParameterError

__all__ = ["checked_threads", "lookahead_engine"]


def checked_threads(n_threads, engine):
    """What ``n_threads=`` was, if the engine can run on so many; None for as many as this process may use."""
    if n_threads is None:
        return None
    n_threads = _validation.integer(n_threads, "n_threads", "a whole number >= 1, or None for all cores", low=1)
    if n_threads > 1 and engine != "lookahead":
        raise ParameterError(
            f'n_threads must be 1 for engine="{engine}", which runs on one thread, got {n_threads}; '
            'engine="lookahead" runs on several, in networks with delays'
        )
    return n_threads


def lookahead_engine(net, source, n_threads):
    """The engine for a network, of whose synapses between neurons each has a delay.

    Raises
    ------
    ParameterError
        If one has none, or one that is too short: it names the projection.
    """
    least = shortest_slice(source.clock)
    for projection in net.projections:
        if projection.pre.is_source or projection.n_synapses == 0:
            continue
        delay = float(np.min(projection.delay))
        if not delay >= least:
            raise ParameterError(
                f'engine="lookahead" needs a delay of at least {least:.3g} ms for each synapse between neurons, since '
                "it advances them on their own for as long as the smallest delay; projection "
                f"{projection.pre.name!r} -> {projection.post.name!r} has one of {delay:g} ms. Give it a delay, or use "
                'engine="window"'
            )
    return Lookahead(source, n_threads)
