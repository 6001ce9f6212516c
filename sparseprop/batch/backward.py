"""The pass back through all samples of a batch, on all threads, and the sums that it makes."""

import functools
import math

import numpy as np

from .. import _core
from ..engine import _batch
from ..engine._backward import Adjoint
from ..gradients import INVARIANT, assembled, given_currents, most_ports, new_sums, noted

__all__ = ["backward", "piece_size", "shapes_of", "summed"]

NAMES = tuple(new_sums(0, 0))  # of sums by neuron
# Sums are made piece by piece, whose number does not depend on that of the threads, so that they do not either.
SMALLEST_PIECE = 8
MOST_PIECES = 16


def piece_size(n):
    """How many of n samples are added up first."""
    return max(SMALLEST_PIECE, -(-n // MOST_PIECES))


def shapes_of(simulation, weights):
    """Of all arrays that a backward pass adds to, those of :func:`new_sums` first; None of what is not wanted."""
    net = simulation.network
    shapes = [array.shape for array in new_sums(net.size, most_ports(net)).values()]
    shapes += [(p.n_synapses,) if weights else None for p in net.projections]
    shapes += [(p.n_synapses,) if isinstance(p.delay, np.ndarray) else None for p in net.projections]
    shapes += [None if array is None else array.shape for array in simulation._beginning.currents]
    return [*shapes, (net.size,), *2 * [(len(net.projections),)]]


def _split(flat, shapes):
    """Arrays of these shapes in a flat one."""
    parts, at = [], 0
    for shape in shapes:
        size = 0 if shape is None else math.prod(shape)
        parts.append(None if shape is None else flat[at : at + size].reshape(shape))
        at += size
    return parts


def _new_runner(simulation, weights, tau_m):
    """A backward runner, whose sums are parts of a flat array."""
    source, n = simulation._source, len(simulation.network.projections)
    shapes = simulation._shapes_of(weights)
    flat = np.zeros(sum(math.prod(shape) for shape in shapes if shape is not None))
    parts = iter(_split(flat, shapes))
    parameters = {name: next(parts) for name in NAMES}
    by_weight, by_delay = ([next(parts) for _ in range(n)] for _ in range(2))
    I_syn = [next(parts) for _ in simulation._beginning.currents]
    adjoint = Adjoint(source, (0, 0.0), parameters, by_weight, by_delay, [], tau_m, simulation._near)
    runner = _batch.BackwardRunner(adjoint, simulation._beginning, flat, next(parts), I_syn)
    runner.take_weights()
    return runner


class Summed:
    """What a pass back has added up.

    Attributes
    ----------
    by_neuron : dict of ndarray
        As of :func:`new_sums`.
    I_syn : list
        By population dL/d(initial currents), or None.
    by_input : ndarray
        dL/d(time) of input spikes.
    findings, n_warnings, n_ties, error
        See :func:`sparseprop.engine._batch.run_back`.
    found : tuple
        All of that.
    """

    def __init__(self, simulation, weights, found):
        self.found = found
        self._flat, self.by_input, self.findings, self.n_warnings, self.n_ties, self.error = found
        self._shapes, self._n = simulation._shapes_of(weights), len(simulation.network.projections)

    @functools.cached_property
    def _parts(self):
        return _split(self._flat, self._shapes)

    @property
    def by_neuron(self):
        return dict(zip(NAMES, self._parts, strict=False))

    @property
    def I_syn(self):
        return self._parts[len(NAMES) + 2 * self._n : -3]

    @property
    def rest(self):
        """dL/dV at the beginning; and by projection the sums of derivatives by weight and by delay."""
        return self._parts[-3:]

    @functools.cached_property
    def synapses(self):
        """By weight and by delay an array for each projection, or None."""
        n = len(NAMES)
        at = sum(math.prod(shape) for shape in self._shapes[:n])
        parts = _split(self._flat[at:], self._shapes[n : n + 2 * self._n])
        return parts[: self._n], parts[self._n :]

    def noted(self, net, near):
        """`warnings` and `n_warnings` of Gradients."""
        by_neuron = list(self.by_neuron.values())
        return noted(net, near, self.findings, self.n_warnings, by_neuron, self.rest[1:])

    def is_plain(self):
        """Whether nothing was found, and all sums are finite numbers."""
        return self.n_warnings == 0 and bool(np.isfinite(self._flat).all())


def summed(simulation, result, samples, dL_dtimes, dL_dV, weights, tau_m, size=None):
    """The pass back through all samples, of which so many are added up first."""
    size = piece_size(result.n_samples) if size is None else size
    with simulation._lock:
        free = simulation._backward_runners.setdefault((weights, tau_m), [])
        n_pieces = -(-result.n_samples // size)
        runners = simulation._taking_part(free, lambda: _new_runner(simulation, weights, tau_m), n_pieces)
        found = simulation._alone(
            lambda crew: _batch.run_back(crew, runners, samples, result._given, size, dL_dtimes, dL_dV), len(runners)
        )
    done = Summed(simulation, weights, found)
    if _core.BUILD_MODE.startswith("debug") and not done.error <= INVARIANT:
        raise AssertionError(f"later by the same for all is not the same: {done.error!r}")
    return done


def backward(simulation, result, samples, dL_dtimes, dL_dV, weights, tau_m):
    """See :meth:`BatchResult.backward`."""
    net = simulation.network
    done = summed(simulation, result, samples, dL_dtimes, dL_dV, weights, tau_m)
    I_syn = np.full((net.size, most_ports(net)), np.nan)
    for p, by_current in zip(net.populations, done.I_syn, strict=True):
        if by_current is not None:
            I_syn[p.first : p.first + p.n, : by_current.shape[1]] = by_current
    V, weight_sums, delay_sums = done.rest
    by_weight, by_delay = done.synapses
    sums = done.by_neuron | {"V": V, "I_e_times": done.by_neuron["I_e"] * given_currents(simulation._source)}
    sums["read"] = np.zeros(net.size)
    np.add.at(sums["read"], result.V_ids, dL_dV.sum(axis=(0, 1)))
    return assembled(
        net,
        sums,
        I_syn,
        (by_weight, weight_sums, by_delay, delay_sums),
        tau_m,
        input_times=result._inputs.given_back(done.by_input),
        drive_weight={},
        steps={},
        **done.noted(net, simulation._near),
        n_ties=done.n_ties,
        t_start=0.0,
        invariant_error=done.error,
    )
