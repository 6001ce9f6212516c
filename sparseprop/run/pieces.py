"""Several pieces of one simulation, one after the other, as one Result."""

import copy

import numpy as np

from .._validation import is_array
from ..files.storage import sha256
from ..numerics.bins import bin_of, is_edge

__all__ = ["COUNTED", "SAMPLED", "joined_pieces", "same_recorded"]

SAMPLED = ("V", "I_syn")
COUNTED = ("n_synaptic_events", "n_drive_events", "n_close_calls")  # of a run, besides spikes


def same_recorded(a, b):
    """Whether the same neurons were recorded."""
    return a.keys() == b.keys() and all(
        np.array_equal(a[name], b[name]) if is_array(a[name]) and is_array(b[name]) else a[name] is b[name]
        for name in a
    )


class _Together:
    """The spikes of all pieces, joined when they are first asked for."""

    def __init__(self, pieces):
        self.pieces = pieces

    def __call__(self):
        times, ids = (np.concatenate(arrays) for arrays in zip(*(p._arrays() for p in self.pieces), strict=True))
        begin = 0
        for piece in self.pieces:  # views from now on: no spike is in memory twice
            end = begin + len(piece.times)
            piece._spikes = times[begin:end], ids[begin:end]
            begin = end
        return times, ids


def joined_pieces(pieces, spikes=None):
    """One Result of consecutive pieces; `spikes` are theirs, if they are at hand."""
    pieces = tuple(copy.copy(piece) for piece in pieces)
    first, last = pieces[0], pieces[-1]

    joined = type(first)(
        _Together(pieces) if spikes is None else spikes,
        first.populations,
        t_start=first.t_start,
        t_stop=last.t_stop,
        stop_reason=last.stop_reason,
        n_spikes=_sum(p._n_spikes for p in pieces),
        **{name: _sum(getattr(p, name) for p in pieces) for name in COUNTED},
        wall_time=_sum(p.wall_time for p in pieces),
        header=last.header,
        run_id=_digest(dict.fromkeys(p.run_id for p in pieces)),
        follows=first.follows,
        recorded=first.recorded,
        spikes_of={
            name: sum(p.spikes_of[name] for p in pieces)
            for name in first.spikes_of
            if all(name in p.spikes_of for p in pieces)
        },
    )
    joined._pieces = pieces
    for piece in pieces:
        piece._tape = None
    for what in SAMPLED:
        joined._set_sampled(what, *_joined_samples(pieces, what))
    joined.counts, joined.bin_width = _joined_counts(pieces)
    return joined


def _sum(values):
    """The sum; None if one is not known."""
    values = list(values)
    return None if None in values else sum(values)


def _digest(run_ids):
    """One identity for runs in their order."""
    return next(iter(run_ids)) if len(run_ids) == 1 else sha256(" ".join(run_ids).encode()).hex()[:32]


def _joined_samples(pieces, what):
    """Values, times and ids of V or I_syn in all pieces; None if they are not of the same neurons."""
    samples = [piece._sampled(what) for piece in pieces]
    if any(values is None or not np.array_equal(ids, samples[0][2]) for values, _, ids in samples):
        return None, None, None
    filled = [values for values, times, _ in samples if len(times)] or [samples[0][0]]
    return np.concatenate(filled), np.concatenate([times for _, times, _ in samples]), samples[0][2]


def _joined_counts(pieces):
    """Counts in the bins of all pieces, and their width; None if the bins do not go on from piece to piece."""
    start, width = pieces[0].t_start, pieces[0].bin_width
    if any(p.counts is None or p.bin_width != width or not is_edge(p.t_start, start, width) for p in pieces):
        return None, None
    begins = [int(bin_of(p.t_start, start, width)) for p in pieces]
    joined = {}
    for name in pieces[0].counts:
        parts = [p.counts[name] for p in pieces]
        joined[name] = np.zeros(max(begin + len(part) for begin, part in zip(begins, parts, strict=True)), np.int64)
        for begin, part in zip(begins, parts, strict=True):
            # Added: a spike at the very end of a piece is in a bin that the next one begins with.
            joined[name][begin : begin + len(part)] += part
    return joined, width
