"""Consecutive pieces of one simulation, joined by a user."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from .._validation import is_array
from ..errors import ParameterError, named_arguments
from .pieces import joined_pieces, same_recorded
from .result import Result

__all__ = ["concatenate"]


@named_arguments
def concatenate(results: Sequence[Result]) -> Result:
    """Join consecutive pieces of one Simulation, as if they had been one run.

    Parameters
    ----------
    results : sequence of Result
        In their order: each begins where the one before ends, what was recorded is the same in all, and each is the
        run of the Simulation that came after the one before, which their identities tell, also after :func:`load` and
        ``Simulation.load``. (Adjacent parts of one run, from :meth:`Result.between`, can be joined again.)

    Returns
    -------
    Result
        Its `pieces` are the runs. V and I_syn are joined if they are of the same neurons in all pieces, `counts` if the
        bins are of one width and go on from piece to piece (each piece but the last one has whole bins); otherwise they
        are None, and those of the pieces are in `pieces`.

    Raises
    ------
    ParameterError
        If they are not consecutive pieces of one Simulation, or not of the same populations and neurons.

    Examples
    --------
    >>> import sparseprop as sp
    >>> sim = sp.Simulation(sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=50, seed=1))
    >>> res = sp.concatenate([sim.run(50.0), sim.run(70.0)])
    >>> res.t_start, res.t_stop, len(res.pieces)
    (0.0, 120.0, 2)
    """
    if isinstance(results, Result) or not is_array(results) or not all(isinstance(r, Result) for r in results):
        raise ParameterError(f"results must be a sequence of Results, got {type(results).__name__}")
    if not len(results):
        raise ParameterError("results must have at least one Result, got none")
    for k in range(1, len(results)):
        _check_follows(results[k - 1], results[k], f"results[{k - 1}]", f"results[{k}]")
    if len(results) == 1:
        return results[0]
    pieces = [piece for result in results for piece in result.pieces]
    runs = [_whole(list(parts)) for _, parts in itertools.groupby(pieces, lambda piece: piece.run_id)]
    return runs[0] if len(runs) == 1 else joined_pieces(runs)


def _whole(parts):
    """One piece of adjacent parts of one run."""
    if len(parts) == 1:
        return parts[0]
    joined = joined_pieces(parts)
    joined._spikes, joined._pieces = joined._arrays(), None
    return joined


def _check_follows(a, b, name_a, name_b):
    """Refuse to join what does not belong together."""
    if a.populations != b.populations:
        raise ParameterError(
            f"{name_b} has other populations than {name_a}; only pieces of one Simulation can be joined"
        )
    if not same_recorded(a.recorded, b.recorded):
        raise ParameterError(
            f"{name_b} has the spikes of other neurons than {name_a}; record the same ones in all pieces"
        )
    if a.t_stop != b.t_start:
        raise ParameterError(
            f"{name_b} begins at {b.t_start!r} ms and {name_a} ends at {a.t_stop!r} ms; give consecutive pieces of one "
            "Simulation, in their order"
        )
    last, first = a.pieces[-1], b.pieces[0]
    if last.run_id != first.run_id and last.run_id != first.follows:
        raise ParameterError(
            f"{name_b} is not the run that came after {name_a} on the same Simulation (that is run "
            f"{first.follows or 'none'}, and {name_a} is {last.run_id}); give consecutive pieces of one Simulation"
        )
