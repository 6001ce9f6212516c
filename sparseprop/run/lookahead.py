"""What the lookahead engine asks of a network and of the call, said before anything starts."""

import numpy as np

from .. import _validation
from ..connectivity import extremes
from ..engine._lookahead import Lookahead
from ..engine.distributed import SharedLookahead
from ..engine.input import shortest_slice
from ..errors import ParameterError
from ..inputs import Poisson

# By benchmarks/engine_choice.py.
MANY = 1000  # neurons
LONG = 0.3  # ms, of the smallest delay
SPREAD = 50.0  # the largest delay over the smallest
EVENTS = 0.5  # of a drive, for each neuron in the smallest delay

__all__ = ["checked_threads", "chosen_engine", "lookahead_engine", "shared_engine"]


def checked_threads(n_threads, engine):
    """What ``n_threads=`` was, if the engine can run on so many; None for as many as this process may use."""
    if n_threads is None:
        return None
    n_threads = _validation.integer(
        n_threads, "n_threads", "a whole number >= 1, or None for all cores", low=1, high=10**6
    )
    if n_threads > 1 and engine not in (None, "lookahead"):
        raise ParameterError(
            f'n_threads must be 1 for engine="{engine}", which runs on one thread, got {n_threads}; '
            'engine="lookahead" runs on several, in networks with delays'
        )
    return n_threads


def _without_delay(net, source):
    """The first projection between neurons that has a synapse without delay, or one too short, and that; or None."""
    for projection in net.projections:
        if projection.pre.is_source or projection.n_synapses == 0:
            continue
        delay = extremes(projection.kept("delay"))[0]
        if not delay >= shortest_slice(source.clock):
            return projection, delay
    return None


def _refused(found, source):
    """Why a network is not for the lookahead engine; `found` is what :func:`_without_delay` has."""
    projection, delay = found
    return (
        f"needs a delay of at least {shortest_slice(source.clock):.3g} ms for each synapse between neurons, since it "
        "advances them on their own for as long as the smallest delay; projection "
        f"{projection.pre.name!r} -> {projection.post.name!r} has one of {delay:g} ms. Give it a delay, or "
    )


def lookahead_engine(net, source, n_threads):
    """The engine for a network, of whose synapses between neurons each has a delay.

    Raises
    ------
    ParameterError
        If one has none, or one that is too short: it names the projection.
    """
    found = _without_delay(net, source)
    if found is not None:
        raise ParameterError(f'engine="lookahead" {_refused(found, source)}use engine="window"')
    return Lookahead(source, n_threads)


def shared_engine(net, source, n_threads, ranks):
    """The engine of this rank, for a network of which each synapse between neurons has a delay.

    Raises
    ------
    ParameterError
        If one has none, or one that is too short: it names the projection.
    """
    found = _without_delay(net, source)
    if found is not None:
        raise ParameterError(
            f"comm: a network on several ranks {_refused(found, source)}run it on one, without comm, with "
            'engine="window"'
        )
    return SharedLookahead(source, ranks, ranks.n_threads if n_threads is None else n_threads)


def chosen_engine(net, source, n_threads):
    """The name of the engine for a network, where none was asked for; the spikes are the same.

    Lookahead is for networks for which it is expected to be the faster one, and for those that are to run on several
    threads.

    Raises
    ------
    ParameterError
        If it cannot run on several threads, which were asked for.
    """
    found = _without_delay(net, source)
    if n_threads is not None and n_threads > 1:
        if found is not None:
            raise ParameterError(
                f"n_threads must be 1 for this network, got {n_threads}: the engine that runs on several, lookahead, "
                f"{_refused(found, source)}leave n_threads out"
            )
        return "lookahead"
    return "lookahead" if found is None and _pays(net) else "window"


def _pays(net):
    """Whether a network with delays can be expected to run faster, also on one thread; docs/engines.md says why so."""
    among = [p for p in net.projections if not p.pre.is_source and p.n_synapses]
    delays = [extremes(p.kept("delay")) for p in among]
    least = min((low for low, _ in delays), default=0.0)
    if least < LONG or max(high for _, high in delays) > SPREAD * least:
        return False
    driven = [d for d in net.drives if isinstance(d.input, Poisson) and d.population.model.state_doubles() <= 2]
    if any(1e-3 * least * float(np.max(drive.input.rate)) >= EVENTS for drive in driven):
        return True
    neurons = sum(p.n for p in net.populations if not p.is_source)
    return neurons >= MANY and any(not isinstance(p.kept("delay"), float) for p in among)
