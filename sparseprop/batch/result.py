"""What came out of a batch: spikes and membrane potentials of all samples, and gradients by its tapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, unknown_name
from ..gradients import checked_derivatives, overflows_are_told
from . import _spikes
from .backward import backward, summed

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Floats, Ints, PopulationName
    from ..gradients import Gradients
    from .inputs import Inputs
    from .simulation import BatchSimulation

__all__ = ["BatchResult", "structure"]


def structure(net):
    """The populations, projections and drives that a network has now, each of which equals only itself."""
    return (*net.populations, *net.projections, *net.drives)


@named_arguments
class BatchResult:
    """What came out of a batch.

    Attributes
    ----------
    times, ids : ndarray
        Spikes of neurons (ms; global ids), one sample after the other; within each as in a :class:`Result`.
    offsets : ndarray of shape (n_samples + 1,)
        Those of sample k are ``times[offsets[k]:offsets[k + 1]]``, which ``result[k]`` returns with their ids.
    V : ndarray of shape (n_samples, times, neurons)
        Membrane potentials of the neurons `V_ids` at `V_times`.
    n_samples, n_spikes, n_synaptic_events, n_input_events, n_close_calls : int
        The last one as for :class:`sparseprop.Result`.
    duration : float
        ms.
    wall_time : float
        Seconds.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    >>> result = sp.run_batch(net, [[1.0, 2.0], [2.0, 1.0]], duration=100.0, n_threads=1)
    >>> times, ids = result[0]
    >>> len(result), bool((times[1:] >= times[:-1]).all()), result.spike_counts("output").shape
    (2, True, (2, 3))
    """

    times: Floats
    ids: Ints
    offsets: Ints
    V: Floats
    V_ids: Ints
    V_times: Floats
    n_samples: int
    n_spikes: int
    n_synaptic_events: int
    n_input_events: int
    n_close_calls: int
    duration: float
    wall_time: float

    def __init__(
        self,
        simulation: BatchSimulation,
        inputs: Inputs,
        given: Any,
        duration: float,
        samples: Any,
        V_ids: Ints,
        V_times: Floats,
        tape: bool,
    ) -> None:
        self._simulation, self._inputs, self._given = simulation, inputs, given
        self._network, self._structure = simulation.network, simulation._structure
        self._samples = samples if tape else None
        self._tape = tape
        self._weights = [p.weight for p in self._network.projections]
        self._delays = [p.delay for p in self._network.projections]
        self.duration, self.n_samples, self.wall_time = duration, inputs.n_samples, 0.0
        self.V_ids, self.V_times = V_ids.copy(), V_times.copy()
        # Copies of what the pass back reads.
        self.times, self.ids, self.offsets, self.V = (
            samples.times,
            samples.ids,
            samples.offsets.copy(),
            samples.V.copy(),
        )
        if simulation._origins is not None:
            self.V += simulation._origins[V_ids]
        self.n_spikes, self.n_synaptic_events, self.n_input_events, self.n_close_calls = samples.counts

    def __getstate__(self):
        # Copies and pickles are without tapes, which are memory of the compiled engine.
        return vars(self) | {"_samples": None, "_given": None, "_tape": False}

    def __len__(self) -> int:
        return self.n_samples

    def __getitem__(self, k: int) -> tuple[Floats, Ints]:
        n = self.n_samples
        k = _validation.integer(k, "the number of a sample", f"from {-n} to {n - 1}", low=-n, high=n - 1) % n
        part = slice(self.offsets[k], self.offsets[k + 1])
        return self.times[part], self.ids[part]

    def __repr__(self) -> str:
        return f"<BatchResult of {self.n_samples} samples, {self.duration:g} ms each: {self.n_spikes} spikes>"

    @property
    def samples(self) -> Ints:
        """Which sample each spike belongs to."""
        return np.repeat(np.arange(self.n_samples), np.diff(self.offsets))

    def _population(self, population):
        names = {p.name: p for p in self._network.populations if not p.is_source}
        name = getattr(population, "name", population)
        if not isinstance(name, str) or name not in names:
            raise unknown_name("population", name, list(names))
        return names[name]

    def _of(self, population):
        """Which spikes are of a population (by name), its number of neurons, and the cells of (sample, neuron)."""
        p = self._population(population)
        where = np.flatnonzero((self.ids >= p.first) & (self.ids < p.first + p.n))
        return where, p.n, self.samples[where] * p.n + (self.ids[where] - p.first)

    def first_spikes(self, population: PopulationName) -> tuple[Floats, Ints]:
        """When each neuron of a population fires first.

        Returns
        -------
        times : ndarray of shape (n_samples, n)
            ms; inf for those that do not fire.
        where : ndarray of int of shape (n_samples, n)
            Which of `times` of the batch that is; -1 for those that do not fire.
        """
        p = self._population(population)
        return _spikes.first_spikes(self.times, self.ids, self.offsets, p.first, p.n)

    def spike_table(self, population: PopulationName, n_spikes: int | None = None) -> tuple[Floats, Ints]:
        """The spikes of each neuron of a population, in the order of time.

        Parameters
        ----------
        population : str or Population
        n_spikes : int, optional
            How many of them; default: as many as the one with the most has.

        Returns
        -------
        times : ndarray of shape (n_samples, n, n_spikes)
            ms; inf where there is none.
        where : ndarray of int of shape (n_samples, n, n_spikes)
            Which of `times` of the batch that is; -1 where there is none.
        """
        found, n, cells = self._of(population)
        order = np.argsort(cells, kind="stable")
        found, cells = found[order], cells[order]
        counts = np.bincount(cells, minlength=self.n_samples * n)
        place = np.arange(len(cells)) - np.repeat(np.cumsum(counts) - counts, counts)
        if n_spikes is None:
            n_spikes = int(counts.max(initial=0))
        n_spikes = _validation.integer(n_spikes, "n_spikes", "a whole number from 0 to 10^9", low=0, high=10**9)
        taken = place < n_spikes
        shape: tuple[int, ...] = (self.n_samples * n, n_spikes)
        times, where = np.full(shape, np.inf), np.full(shape, -1)
        times[cells[taken], place[taken]] = self.times[found[taken]]
        where[cells[taken], place[taken]] = found[taken]
        shape = (self.n_samples, n, n_spikes)
        return times.reshape(shape), where.reshape(shape)

    def spike_counts(self, population: PopulationName) -> Ints:
        """How often each neuron of a population fires, shape (n_samples, n)."""
        p = self._population(population)
        return _spikes.spike_counts(self.ids, self.offsets, p.first, p.n)

    @property
    def _cites(self):
        return (*self._network._cites, *(["gradients"] if self._samples is not None else []))

    @property
    def has_gradients(self) -> bool:
        """Whether :meth:`backward` can be called: tapes are there, and weights and delays are those of the run."""
        same = structure(self._network) == self._structure
        return same and self._samples is not None and not self._changed("weight") and not self._changed("delay")

    def _changed(self, name):
        values = self._weights if name == "weight" else self._delays
        return any(getattr(p, name) is not v for p, v in zip(self._network.projections, values, strict=True))

    def backward(
        self,
        dL_dtimes: ArrayLike | None = None,
        dL_dV: ArrayLike | None = None,
        *,
        weights: bool = True,
        tau_m: bool = True,
    ) -> Gradients:
        """Gradients of a loss, summed over the samples; uses the tapes up.

        Parameters
        ----------
        dL_dtimes : array_like, shape (n_spikes,), optional
            The derivative for each of `times`.
        dL_dV : array_like, shape of V, optional
            The derivative for each of the recorded membrane potentials.
        weights, tau_m : bool
            False leaves these out, and saves time.

        Returns
        -------
        Gradients
            As :meth:`Result.backward` gives them; `input_times` has for each source what `inputs` has, in the same
            form, with 0 where there is no spike.

        Raises
        ------
        ParameterError
            Without ``tape=True``, when called twice, for other shapes than these, for values that are not finite, or if
            weights or delays of the network were changed in between.
        """
        weights, tau_m = _validation.flag(weights, "weights"), _validation.flag(tau_m, "tau_m")
        samples, dL_dtimes, dL_dV = self._used_up(dL_dtimes, dL_dV)
        with overflows_are_told():
            return backward(self._simulation, self, samples, dL_dtimes, dL_dV, weights, tau_m)

    def _summed(self, dL_dtimes, dL_dV, size=None):
        """The sums of which :meth:`backward` makes Gradients, for who needs few of them."""
        return summed(self._simulation, self, *self._used_up(dL_dtimes, dL_dV), True, False, size)

    def _used_up(self, dL_dtimes, dL_dV):
        """The tapes, which are used up, and derivatives as arrays."""
        if not self._tape:
            raise ParameterError(
                "this BatchResult has no tapes: run with tape=True; copies and pickles have none, so take gradients "
                "before, they can be pickled"
            )
        if self._samples is None:
            raise ParameterError("backward() was called before: tapes are used up by it; run again with tape=True")
        if structure(self._network) != self._structure:
            raise ParameterError("something was added to the network since the run: run again with tape=True")
        for name in ("weight", "delay"):
            if self._changed(name):
                raise ParameterError(
                    f"{name}s of the network were changed since the run: call backward() before changing them"
                )
        shape = (len(self.times),)
        dL_dtimes = np.zeros(shape) if dL_dtimes is None else dL_dtimes
        dL_dtimes = checked_derivatives(dL_dtimes, "dL_dtimes", shape, "one for each of times")
        dL_dV = np.zeros(self.V.shape) if dL_dV is None else dL_dV
        dL_dV = checked_derivatives(dL_dV, "dL_dV", self.V.shape, "as V")
        hidden = np.isinf(self.V) & (dL_dV != 0.0)
        if hidden.any():
            where = tuple(int(k) for k in np.argwhere(hidden)[0])
            raise ParameterError(f"dL_dV must be 0 where V is infinite, got {dL_dV[where]} at index {where}")
        samples, self._samples = self._samples, None
        return samples, dL_dtimes, dL_dV
