"""Many samples of one network, each with its own input spikes: forward, backward, on all cores."""

from __future__ import annotations

import dataclasses
import itertools
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from .._machine import cores
from ..connectivity import ProceduralAdjacency
from ..engine import _batch
from ..errors import ParameterError, named_arguments, shown
from ..gradients.tape import NEAR
from ..inputs import SpikeSource
from ..network import Network
from ..numerics import bins
from ..run.recording import Record
from ..run.simulation import explained, infos
from .backward import shapes_of
from .inputs import Inputs, sources_of
from .result import BatchResult, structure

if TYPE_CHECKING:
    from .._types import InputSpikes
    from ..run.recording import Record

__all__ = ["BatchSimulation", "run_batch"]


@named_arguments
def run_batch(
    net: Network,
    inputs: InputSpikes,
    duration: float,
    *,
    n_threads: int | None = None,
    record: Record | None = None,
    tape: bool = False,
    seed: int | None = None,
) -> BatchResult:
    """Simulate a network once for each sample of a batch, each time from the initial state.

    See :class:`BatchSimulation`, of which this makes a new one; use one yourself where there are many batches, as in
    training.

    Parameters
    ----------
    net : Network
    inputs : array_like, sequence or dict
        What the network's SpikeSource emits in each sample instead of its own spikes; a dictionary by name where there
        are several: see :meth:`BatchSimulation.run`.
    duration : float
        ms.
    n_threads : int, optional
        Default: all cores that this process may use. The result does not depend on it.
    record, tape
        See :meth:`BatchSimulation.run`.
    seed : int, optional
        Of the initial state, which is that of all samples, if it is to differ from the network's own.

    Returns
    -------
    BatchResult

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> source = net.add(2, sp.SpikeSource([], []), name="input")
    >>> neurons = net.add(3, sp.LIFExp(tau_m=20.0, tau_syn=10.0), name="output", V=0.0)
    >>> _ = net.connect(source, neurons, np.full((3, 2), 3.0))
    >>> result = sp.run_batch(net, [[1.0, 2.0], [3.0, np.inf]], duration=50.0, tape=True)
    >>> times, where = result.first_spikes("output")
    >>> times.round(2).tolist()
    [[6.27, 6.27, 6.27], [inf, inf, inf]]
    """
    with BatchSimulation(net, n_threads=n_threads, seed=seed) as simulation:
        return simulation.run(inputs, duration, record=record, tape=tape)


# Threads do not live on in a forked child, where they would be waited for for ever; and another one than that which
# forks may have been in the middle of samples.
_simulations: weakref.WeakSet = weakref.WeakSet()


def _begin_anew_in_child():
    for simulation in list(_simulations):
        simulation._pool, simulation._lock = None, threading.Lock()
        simulation._forget_runners()


os.register_at_fork(after_in_child=_begin_anew_in_child)


@named_arguments
class BatchSimulation:
    """Runs of one network with the inputs of many samples, each from the same initial state.

    What is costly to set up is kept from one batch to the next. Weights and delays are taken over from the projections
    of the network at each run: assign ``projection.weight`` and run again. Other delays mean another order of synapses,
    so that takes longer.

    Parameters
    ----------
    net : Network
        With at least one SpikeSource, and without Poisson input and steps of currents.
    n_threads : int, optional
        Default: all cores that this process may use. Neither spikes nor gradients depend on it.
    seed : int, optional
        Of the initial state.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> net = training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> with sp.BatchSimulation(net, n_threads=1) as simulation:
    ...     result = simulation.run([[1.0, 2.0], [2.0, 1.0]], duration=50.0)
    >>> len(result)
    2
    """

    network: Network
    n_threads: int

    def __init__(self, net: Network, n_threads: int | None = None, seed: int | None = None) -> None:
        if not isinstance(net, Network):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
        allowed = "a whole number >= 1, or None for all cores"
        self.n_threads = cores() if n_threads is None else _validation.integer(n_threads, "n_threads", allowed, low=1)
        self.network = net
        self._seed = None if seed is None else _validation.integer(seed, "seed", "a whole number >= 0", low=0)
        self._pool = None
        self._lock = threading.Lock()
        _simulations.add(self)
        self._build()

    def __repr__(self) -> str:
        return f"<BatchSimulation of {self.network!r}: {self.n_threads} threads>"

    def __reduce__(self):
        # Copies and pickles begin anew: engines and threads cannot be taken along.
        return BatchSimulation, (self.network, self.n_threads, self._seed)

    def _build(self):
        """Set up what does not depend on weights."""
        net = self.network
        self.sources = sources_of(net)
        if any(p.is_source and not isinstance(p.model, SpikeSource) for p in net.populations) or net.drives:
            raise ParameterError(
                "a batch takes no PoissonSource and no net.drive(...), which would be the same in all samples: give "
                "spikes of your own for each sample, and constant currents as I_e"
            )
        source = net.engine_input(self._seed)
        self._structure, self._shape = structure(net), self._found()
        projections = [
            p if isinstance(p.adjacency, ProceduralAdjacency)
            else dataclasses.replace(p, weight=np.full(q.n_synapses, 0.0))
            for p, q in zip(source.projections, net.projections, strict=True)
        ]  # fmt: skip
        self._source = dataclasses.replace(source, projections=projections, spikes=(np.zeros(0), np.zeros(0, np.int64)))
        self._near = NEAR * source.clock.epoch / 8.0
        first = _batch.Runner(self._source, self._near)
        self._beginning, self._origins = first.beginning, first.engine.origins
        self._runners, self._backward_runners = [first], {}
        self._stops, self._shapes = (None, None), {}

    def _forget_runners(self):
        """Others are made where they are wanted: after a failure their state is undefined."""
        self._runners, self._backward_runners = [], {}

    def _found(self):
        """Of each projection its delays, which order the rows of synapses, and what else is taken over once."""
        return [(p.delay, p.weight if self._is_procedural(p) else p.n_synapses) for p in self.network.projections]

    @staticmethod
    def _is_procedural(projection):
        return isinstance(projection.adjacency, ProceduralAdjacency)

    def __enter__(self) -> BatchSimulation:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; what was computed stays, and another run begins new ones."""
        self._pool = None

    def run(
        self, inputs: InputSpikes, duration: float, *, record: Record | None = None, tape: bool = False
    ) -> BatchResult:
        """Run all samples of a batch.

        Parameters
        ----------
        inputs : array_like, sequence or dict
            The spikes of the network's SpikeSource in each sample, in ms; a dictionary by name where there are several,
            which has to name all. Either an array of shape (samples, n), the time of the only spike of each source, or
            (samples, n, m) of several, where inf stands for no spike; or a sequence with a tuple (times, ids) for each
            sample, ids local to the population; or a :class:`sparseprop.training.SpikeData`, such a sequence in three
            arrays, which costs least.
        duration : float
            ms. All instants with t < duration are taken.
        record : Record, optional
            ``sp.Record(V=..., V_times=...)``: membrane potentials at times up to `duration`, that one included (also
            where a time is beyond it by rounding, as 3 * 0.1 is beyond 0.3). Spikes of all neurons are always recorded.
        tape : bool
            Keep what :meth:`BatchResult.backward` needs.

        Returns
        -------
        BatchResult

        Raises
        ------
        ParameterError
            For values that are not allowed.
        RunawayError, NumericalError
            As :meth:`Simulation.run`; the message names the sample.
        """
        duration = _validation.real(duration, "duration", "a finite time >= 0 ms", unit="ms", low=0.0)
        tape = _validation.flag(tape, "tape")
        with self._lock:
            self._take_weights()
            checked = Inputs(self.sources, inputs)
            ids, times, (epochs, s), until = self._times(record, duration)
            began = time.perf_counter()
            given = _batch.Given(checked.times, checked.ids, checked.offsets, epochs, s, ids)
            runners = self._taking_part(self._runners, self._new_runner, checked.n_samples)
            samples = self._alone(lambda crew: _batch.run(crew, runners, given, until, tape), len(runners))
        result = BatchResult(self, checked, given, duration, samples, ids, times, tape)
        result.wall_time = time.perf_counter() - began
        return result

    def _times(self, record, duration):
        """What `_readings` says, and these times and the end as pairs; kept, as they mostly are those of before."""
        if self._stops[0] is None or self._stops[0][0] is not record or self._stops[0][1] != duration:
            ids, times = self._readings(record, duration)
            clock = self._source.clock
            pairs = [clock.pair(min(float(t), duration)) for t in times]  # the last may be beyond it by rounding
            stops = np.array([n for n, _ in pairs], np.int64), np.array([s for _, s in pairs], float)
            self._stops = (record, duration), (ids, times, stops, clock.add((0, 0.0), duration))
        return self._stops[1]

    def _readings(self, record, duration):
        """Global ids of the neurons whose V is wanted, and when."""
        if record is None:
            return np.zeros(0, np.int64), np.zeros(0)
        if not isinstance(record, Record):
            raise ParameterError(
                f"record must be None or sp.Record(V=..., V_times=...) in a batch, got {shown(record)}"
            )
        others = (record.path, record.bins, record.I_syn)
        if any(other is not None for other in others) or record.record_sources or record.spikes is not True:
            raise ParameterError(
                "record takes nothing but V and V_times in a batch: spikes of all neurons stay in memory"
            )
        populations = infos(self.network)
        if isinstance(record.V_times, float):
            times = bins.edges(0.0, record.V_times, bins.n_points(0.0, duration, record.V_times))
        else:
            times = np.zeros(0) if record.V_times is None else record.V_times
            if bins.are_beyond(times, duration).any():
                raise ParameterError(f"V_times must be at most the duration, {duration} ms, got {times.max()}")
        return record.sampled_ids("V", populations), times

    def _take_weights(self):
        if structure(self.network) != self._structure or any(
            delay is not other_delay or rest != other_rest
            for (delay, rest), (other_delay, other_rest) in zip(self._found(), self._shape, strict=True)
        ):
            self._build()
        for p, q in zip(self.network.projections, self._source.projections, strict=True):
            if isinstance(q.weight, np.ndarray):
                q.weight[...] = p.weight
        for runner in [*self._runners, *itertools.chain(*self._backward_runners.values())]:
            runner.take_weights()

    def _shapes_of(self, weights):
        """Of what a pass back adds up; the same until something is added to the network."""
        if weights not in self._shapes:
            self._shapes[weights] = shapes_of(self, weights)
        return self._shapes[weights]

    def _new_runner(self):
        runner = _batch.Runner(self._source, self._near)
        runner.take_weights()
        return runner

    def _taking_part(self, runners, make, n_parts):
        """One for each thread that is of use where there are so many parts."""
        while len(runners) < max(min(self.n_threads, n_parts), 1):
            runners.append(make())
        return runners[: max(min(self.n_threads, n_parts), 1)]

    def _alone(self, work, n_runners):
        """``work(crew)``, with this many runners: on all threads."""
        if n_runners > 1 and self._pool is None:
            self._pool = _batch.Crew(self.n_threads)
        try:
            return work(self._pool if n_runners > 1 else None)
        except _batch.SampleFault as fault:
            self._forget_runners()
            error = explained(fault.fault, self.network)
            raise type(error)(f"sample {fault.sample}: {error}") from None
        except BaseException:
            self._forget_runners()
            raise
