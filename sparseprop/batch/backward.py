"""The pass back through all samples of a batch, on all threads, and the sums that it makes."""

import math

import numpy as np

from .. import _core
from ..engine import _batch
from ..engine._backward import Adjoint
from ..gradients import INVARIANT, assembled, given_currents, most_ports, new_sums, noted, sums_by_projection

__all__ = ["backward"]


def _shapes(simulation, weights):
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


class Sums:
    """A backward runner with the arrays that it adds to, which are parts of a flat one."""

    def __init__(self, simulation, weights, tau_m):
        source, n = simulation._source, len(simulation.network.projections)
        shapes = _shapes(simulation, weights)
        self.flat = np.zeros(sum(math.prod(shape) for shape in shapes if shape is not None))
        parts = iter(_split(self.flat, shapes))
        parameters = {name: next(parts) for name in new_sums(0, 0)}
        by_weight, by_delay = ([next(parts) for _ in range(n)] for _ in range(2))
        self.I_syn = [next(parts) for _ in simulation._beginning.currents]
        self.V, self.weight_sums, self.delay_sums = parts
        adjoint = Adjoint(source, (0, 0.0), parameters, by_weight, by_delay, [], tau_m, simulation._near)
        self.runner = _batch.BackwardRunner(adjoint, simulation._beginning)
        self.take_weights()

    def take_weights(self):
        self.runner.take_weights()

    def clear(self):
        self.flat[:] = 0.0
        self.runner.clear()

    def taken(self, error):
        """A copy of all sums, what was found, and the error of the invariant."""
        adjoint = self.runner.adjoint
        self.weight_sums[:], self.delay_sums[:] = sums_by_projection(adjoint)
        return self.flat.copy(), self.runner.findings, adjoint.n_ties, error


def backward(simulation, result, samples, dL_dtimes, dL_dV, weights, tau_m):
    """See :meth:`BatchResult.backward`."""
    net, given = simulation.network, result._given
    by_input = np.zeros(len(given.times))
    free = simulation._backward_runners.setdefault((weights, tau_m), [])

    def work(sums, piece, flag):
        (first, n), left = piece
        sums.clear()
        spikes = dL_dtimes[result.offsets[first] : result.offsets[first + n]]
        error = sums.runner.run(
            *(left, first, spikes, *result._stops, result.V_ids, dL_dV[first : first + n]),
            *(sums.V, sums.I_syn, by_input, given.offsets, flag),
        )
        return sums.taken(error)

    pieces = list(zip(result._pieces, samples, strict=True))
    done = simulation._shared_out(free, lambda: Sums(simulation, weights, tau_m), work, pieces)
    if not done:
        done = [Sums(simulation, weights, tau_m).taken(0.0)]
    # In the order of the pieces, so that rounding does not depend on threads.
    total, findings, n_warnings, n_ties, error = done[0][0], [], 0, 0, 0.0
    for k, (flat, (found, number), ties, piece_error) in enumerate(done):
        if k:
            total += flat
        findings += found
        n_warnings += number
        n_ties += ties
        error = max(error, piece_error)
    if _core.BUILD_MODE.startswith("debug") and not error <= INVARIANT:
        raise AssertionError(f"later by the same for all is not the same: {error!r}")
    parts = iter(_split(total, _shapes(simulation, weights)))
    sums = {name: next(parts) for name in new_sums(0, 0)}
    by_weight, by_delay = ([next(parts) for _ in net.projections] for _ in range(2))
    I_syn = np.full((net.size, most_ports(net)), np.nan)
    for p in net.populations:
        by_current = next(parts)
        if by_current is not None:
            I_syn[p.first : p.first + p.n, : by_current.shape[1]] = by_current
    by_neuron = list(sums.values())
    sums["V"], weight_sums, delay_sums = parts
    sums["I_e_times"] = sums["I_e"] * given_currents(simulation._source)
    sums["read"] = np.zeros(net.size)
    np.add.at(sums["read"], result.V_ids, dL_dV.sum(axis=(0, 1)))
    return assembled(
        net,
        sums,
        I_syn,
        (by_weight, weight_sums, by_delay, delay_sums),
        tau_m,
        input_times=given.given_back(by_input),
        drive_weight={},
        steps={},
        **noted(net, simulation._near, findings, n_warnings, by_neuron, [weight_sums, delay_sums]),
        n_ties=n_ties,
        invariant_error=error,
    )
