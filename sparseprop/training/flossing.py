"""Gradient flossing: Lyapunov exponents of trials as a penalty, so that gradients neither vanish nor explode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..dynamics.flossing import TrialExponents, check
from ..errors import ParameterError, named_arguments
from ..gradients import with_more
from .losses import Evaluation, Loss, check_result

if TYPE_CHECKING:
    from typing import Any

    from .._types import Floats, Ints
    from ..batch import BatchResult
    from ..gradients import Gradients
    from ..network import Network

__all__ = ["Flossing"]


@named_arguments
class Flossing(Loss):
    """Gradient flossing: the squares of the first k Lyapunov exponents of each trial.

    ``L = strength sum_i lambda_i^2``, lambda_i in 1/s. A gradient that goes back through a trial grows or fades as
    vectors do that go forward through it; exponents near 0 keep it from either. As a penalty beside another loss, or
    alone, as the loss of a Trainer with which a network is prepared.

    The exponents are finite-time ones, from the exact derivatives of all events: those of
    ``sp.lyapunov_spectrum(net, k, duration=..., warmup=0)`` on the same trial. The derivative goes through the vectors,
    their bases and the states at all events, and is exact: it contains second derivatives of the neurons' flow.

    Parameters
    ----------
    k : int
        How many exponents, from 1 to the number of neurons.
    strength : float
        Per (1/s)^2.
    seed : int, optional
        Of the first vectors; default: the network's.

    Raises
    ------
    ParameterError
        When it is used: for a network with delays, with fewer than k neurons, or with neurons that are no LIF, QIF or
        Theta.
    NumericalError
        When it is used: if a kick drives a LIF neuron (or QIF with a finite V_peak) over threshold. What the neuron was
        off by is lost then.

    Notes
    -----
    `error` of its Evaluation is the root mean square of the exponents, in 1/s. Time O(K k) for each spike, and O(N k^2)
    for every N / 4 of them; memory of one trial O((K + k) n_spikes). LAPACK takes part, so weights may differ in the
    last digits between machines.

    References
    ----------
    R. Engelken, Gradient flossing: improving gradient descent through dynamic control of Jacobians, NeurIPS 36 (2023).

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> from sparseprop import training
    >>> model = sp.Theta(tau_m=10.0, I_e=0.2)
    >>> net = training.recurrent_network(2, 20, model, indegree=5, delay=0.0, seed=1)
    >>> trainer = training.Trainer(net, training.Flossing(3), duration=200.0, n_threads=1)
    >>> history = trainer.fit(np.full((16, 2), 5.0), np.zeros(16), epochs=10)
    >>> bool(history["loss"][-1] < history["loss"][0])
    True
    """

    def __init__(self, k: int, *, strength: float = 1.0, seed: int | None = None) -> None:
        self.k = _validation.integer(k, "k", "a whole number >= 1", low=1)
        self.strength = _validation.real(strength, "strength", "a number > 0", low=0.0, low_open=True)
        self.seed = None if seed is None else _validation.integer(seed, "seed", "a whole number >= 0", low=0)
        self._of_source = None, None

    def readings(self, net: Network, duration: float) -> tuple[Ints, Floats]:
        check(net)
        n = sum(p.n for p in net.populations if not p.is_source)
        if self.k > n:
            raise ParameterError(f"k must be at most the number of neurons, {n}, got {self.k}")
        return np.zeros(0, np.int64), np.zeros(0)

    def _exponents_of(self, result):
        """What goes through the trials of a network; kept as long as it is the same."""
        check_result(result)
        if result.duration == 0.0:
            raise ParameterError("a trial of 0 ms has no exponents: run for a duration > 0 ms")
        simulation = result._simulation
        source, kept = self._of_source
        if source is not simulation._source:
            self.readings(result._network, result.duration)
            seeds = self.seed, simulation._seed, result._network.seed
            seed = next(seed for seed in seeds if seed is not None)
            kept = TrialExponents(result._network, simulation._source, self.k, seed)
            self._of_source = simulation._source, kept
        return kept

    def _trials(self, result):
        """(trial, where its spikes are in result.times, where its inputs are, the order of these and those)."""
        of, given = self._exponents_of(result), result._inputs
        weights = of.weights(result._weights)
        for k in range(result.n_samples):
            spikes = slice(result.offsets[k], result.offsets[k + 1])
            inputs = slice(given.offsets[k], given.offsets[k + 1])
            inputs = slice(inputs.start, inputs.start + int((given.times[inputs] < result.duration).sum()))
            times = np.concatenate([given.times[inputs], result.times[spikes]])
            ids = np.concatenate([given.ids[inputs], result.ids[spikes]])
            order = np.argsort(times, kind="stable")
            yield of.trial(times[order], ids[order], weights, result.duration), spikes, inputs, order

    def exponents(self, result: BatchResult) -> Floats:
        """The exponents of each trial of a batch, in the order of the vectors.

        Parameters
        ----------
        result : BatchResult

        Returns
        -------
        ndarray of shape (n_samples, k)
            1/s.
        """
        return np.array([trial.exponents for trial, *_ in self._trials(result)]).reshape(-1, self.k)

    def _summed(self, result):
        """The exponents of all trials, and partial derivatives: by spikes, inputs, pairs, drives, initial V."""
        of, given = self._exponents_of(result), result._inputs
        by_times, by_inputs = np.zeros(result.n_spikes), np.zeros(len(given.times))
        by_pair, by_drive, by_V = 0.0, np.zeros(of.n), np.zeros(of.n)
        exponents = np.zeros((result.n_samples, self.k))
        for k, (trial, spikes, inputs, order) in enumerate(self._trials(result)):
            exponents[k] = trial.exponents
            by_exponent = (2.0 * self.strength / result.n_samples) * trial.exponents
            at, pairs, drive, V = trial.backward(by_exponent)
            by_time = np.empty(len(at))
            by_time[order] = at
            n_inputs = inputs.stop - inputs.start
            by_inputs[inputs], by_times[spikes] = by_time[:n_inputs], by_time[n_inputs:]
            by_pair, by_drive, by_V = by_pair + pairs, by_drive + drive, by_V + V
        by_weight = of.by_projection(by_pair + np.zeros(of.n_pairs))
        return exponents, by_times, by_inputs, by_weight, by_drive, by_V

    def __call__(self, result: BatchResult, targets: Any = None) -> Evaluation:
        exponents, by_times, _, by_weight, _, _ = self._summed(result)
        return Evaluation(
            self._value(exponents),
            by_times,
            dL_dweight=dict(enumerate(by_weight)),
            error=float(np.sqrt(np.mean(exponents**2))) if exponents.size else None,
        )

    def _value(self, exponents):
        return self.strength * float(np.sum(exponents**2)) / max(len(exponents), 1)

    def gradients(self, result: BatchResult) -> Gradients:
        """The exact gradient of the penalty, which uses the tapes up.

        An Evaluation has what training needs. This is for all else.

        Parameters
        ----------
        result : BatchResult
            With ``tape=True``.

        Returns
        -------
        Gradients
            `weight`, `weight_sum`, `I_e`, `E_L`, `V` (of the initial state) and `input_times`; no derivatives by other
            parameters.
        """
        exponents, by_times, by_inputs, by_weight, by_drive, by_V = self._summed(result)
        by_neuron = np.zeros((2, result._network.size))
        by_neuron[:, self._exponents_of(result).rows] = by_drive, by_V
        return with_more(
            result.backward(by_times, tau_m=False),
            weight=by_weight,
            I_e=by_neuron[0],
            V=by_neuron[1],
            input_times=result._inputs.given_back(by_inputs),
        )
