"""Many samples of one network, each with its own input spikes: forward, backward, on all cores."""

import dataclasses
import itertools
import math
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .. import _core, _validation
from .._machine import cores
from ..connectivity import ProceduralAdjacency
from ..engine import _batch
from ..engine._backward import Adjoint
from ..errors import ParameterError, named_arguments, shown, unknown_name
from ..gradients import (
    INVARIANT,
    ByProjection,
    Gradients,
    checked_derivatives,
    most_ports,
    new_sums,
    noted,
    of_neurons,
    of_ports,
    overflows_are_told,
    without_time_constants,
)
from ..gradients.tape import NEAR
from ..inputs import SpikeSource
from ..network import Network
from ..numerics import bins
from ..run.recording import Record
from ..run.simulation import explained, infos

__all__ = ["BatchResult", "BatchSimulation", "run_batch"]

# Samples are shared out in pieces whose number does not depend on that of the threads, so that sums do not either.
SMALLEST_PIECE = 8
MOST_PIECES = 16


@named_arguments
def run_batch(net, inputs, duration, *, n_threads=None, record=None, tape=False, seed=None):
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


def structure(net):
    """What identifies the populations, projections and drives that a network has now."""
    return [id(part) for part in (*net.populations, *net.projections, *net.drives)]


def sources_of(net):
    """The populations whose spikes a batch gives."""
    sources = [p for p in net.populations if isinstance(p.model, SpikeSource)]
    if not sources:
        raise ParameterError(
            "a batch needs a network with a SpikeSource, whose spikes it replaces: "
            'net.add(n, sp.SpikeSource([], []), name="input")'
        )
    return sources


# Threads do not live on in a forked child, where a pool of them would be waited for for ever.
_simulations: weakref.WeakSet = weakref.WeakSet()


def _begin_anew_in_child():
    for simulation in list(_simulations):
        simulation._pool, simulation._lock = None, threading.Lock()


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
    """

    def __init__(self, net, n_threads=None, seed=None):
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

    def __repr__(self):
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
        self._beginning = first.beginning
        self._runners, self._backward_runners = [first], {}

    def _found(self):
        """Of each projection its delays, which order the rows of synapses, and what else is taken over once."""
        return [(p.delay, p.weight if self._is_procedural(p) else p.n_synapses) for p in self.network.projections]

    @staticmethod
    def _is_procedural(projection):
        return isinstance(projection.adjacency, ProceduralAdjacency)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """End the threads; what was computed stays, and another run begins new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def run(self, inputs, duration, *, record=None, tape=False):
        """Run all samples of a batch.

        Parameters
        ----------
        inputs : array_like, sequence or dict
            The spikes of the network's SpikeSource in each sample, in ms; a dictionary by name where there are several,
            which has to name all. Either an array of shape (samples, n), the time of the only spike of each source, or
            (samples, n, m) of several, where inf stands for no spike; or a sequence with a tuple (times, ids) for each
            sample, ids local to the population.
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
        self._take_weights()
        given = _Inputs(self.sources, inputs)
        ids, times = self._readings(record, duration)
        began = time.perf_counter()
        clock = self._source.clock
        pairs = [clock.pair(min(float(t), duration)) for t in times]  # the last one may be beyond it by rounding
        stops = np.array([n for n, _ in pairs], np.int64), np.array([s for _, s in pairs], float)
        until = clock.add((0, 0.0), duration)
        size = max(SMALLEST_PIECE, -(-given.n_samples // MOST_PIECES))
        pieces = [(first, min(size, given.n_samples - first)) for first in range(0, given.n_samples, size)]

        def work(runner, piece, flag):
            return runner.run(given.times, given.ids, given.offsets, *piece, until, *stops, ids, tape, flag)

        samples = self._shared_out(self._runners, self._new_runner, work, pieces)
        result = BatchResult(self, given, duration, pieces, samples, ids, times, stops, tape)
        result.wall_time = time.perf_counter() - began
        return result

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

    def _new_runner(self):
        runner = _batch.Runner(self._source, self._near)
        runner.take_weights()
        return runner

    def _shared_out(self, free, make, work, pieces):
        """``work(runner, piece, flag)`` for all pieces, on all threads; what they return."""
        flag = _batch.StopFlag()

        def one(piece):
            with self._lock:
                runner = free.pop() if free else None
            runner = make() if runner is None else runner
            try:
                result = work(runner, piece, flag)
            except _batch.SampleFault as fault:
                error = explained(fault.fault, self.network)
                raise type(error)(f"sample {fault.sample}: {error}") from None
            # Not if it failed: its state is undefined then.
            with self._lock:
                free.append(runner)
            return result

        if self.n_threads == 1 or len(pieces) <= 1:
            return [one(piece) for piece in pieces]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="sparseprop")
        futures = [self._pool.submit(one, piece) for piece in pieces]
        try:
            return [future.result() for future in futures]
        except BaseException:
            flag.set()
            for future in futures:
                future.cancel()
            raise


def is_raster(array):
    """Whether an array looks like spikes in steps of time, 0 or 1 (or their numbers), and not like times.

    As times most of its spikes would be several of one source at once, at 0 and 1 ms.
    """
    if array.ndim != 3 or array.shape[2] < 3 or not array.size:
        return False
    if array.dtype.kind == "b" or ((array == 0) | (array == 1)).all():
        return True
    whole = (array == np.floor(array)) & np.isfinite(array)
    return bool(whole.all() and 2 * np.count_nonzero(array == 0) > array.size)


def check_no_raster(array, name):
    """Refuse a raster where times are wanted, and say how it is converted."""
    if is_raster(array):
        raise ParameterError(
            f"{name} must be times in ms, got an array of shape {array.shape} of zeros and ones, or small whole "
            "numbers, which looks like a raster in steps of time: convert it, training.spikes_from_raster(raster, dt)"
        )


def padded(shape, sample, place, times):
    """Spikes as an array of shape (*shape, m), ascending, inf for none.

    Parameters
    ----------
    shape : (int, int)
        Numbers of samples and of sources.
    sample, place : ndarray of int
        Whose each spike is.
    times : ndarray
        ms.
    """
    cells = sample * shape[1] + place
    order = np.lexsort((times, cells))
    counts = np.bincount(cells, minlength=shape[0] * shape[1])
    k = np.arange(len(cells)) - np.repeat(np.cumsum(counts) - counts, counts)
    array = np.full((shape[0] * shape[1], max(int(counts.max(initial=0)), 1)), np.inf)
    array[cells[order], k] = times[order]
    return array.reshape(*shape, -1)


def by_source(sources, inputs):
    """`inputs` as a dictionary by name of all these populations."""
    names = [p.name for p in sources]
    if not isinstance(inputs, dict):
        if len(sources) > 1:
            raise ParameterError(f"inputs must be a dictionary, one entry for each of the sources {names}")
        return {names[0]: inputs}
    for name in inputs:
        if name not in names:
            raise unknown_name("source", name, names)
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ParameterError(f"inputs has no spikes for {missing[0]!r}: give all sources of a batch, {names}")
    return inputs


def are_pairs(values):
    """Whether the spikes of a source are a sequence of (times, ids). Tuples: nested lists are arrays."""
    return isinstance(values, (list, tuple)) and len(values) > 0 and isinstance(values[0], tuple)


def check_shape(source, shape):
    """Refuse an array of the spikes of a source that has another shape than is allowed."""
    if len(shape) not in (2, 3) or shape[1] != source.n:
        raise ParameterError(f"{_wanted(source)}, got shape {tuple(shape)}")


def _wanted(source):
    return (
        f"inputs of {source.name!r} must be times of shape (samples, {source.n}) or (samples, {source.n}, m), inf for "
        "no spike, or a sequence of (times, ids), one pair for each sample"
    )


def input_array(source, values):
    """The times of a source's spikes in all samples, from an array of numbers, as float64."""
    name = f"inputs of {source.name!r}"
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        check_no_raster(values, name)
    if not _validation.is_array(values):
        raise ParameterError(f"{_wanted(source)}, got {shown(values)}")
    array = _validation.plain(values, name, "ms")
    check_no_raster(array, name)
    check_shape(source, array.shape)
    array = array.astype(float)
    if not (array >= 0.0).all():
        wrong = array[~(array >= 0.0)][0]
        raise ParameterError(f"{name} must be times >= 0 ms, or inf for no spike, got {wrong}")
    return array


def input_pairs(source, values):
    """(number of spikes of each sample, times, local ids) from a sequence of (times, ids)."""
    name = f"inputs of {source.name!r}"
    sizes, all_times, all_ids = [], [np.zeros(0)], [np.zeros(0, np.int64)]
    for k, pair in enumerate(values):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(_is_flat(part) for part in pair):
            raise ParameterError(
                f"{name}: sample {k} must be a pair of arrays (times, ids), as tuples stand for such pairs (lists "
                f"for times of all sources), got {shown(pair)}"
            )
        times = _validation.real_array(
            pair[0], f"{name}: times of sample {k}", "finite times >= 0 ms", unit="ms", low=0.0
        )
        ids = _validation.index_array(pair[1], f"{name}: ids of sample {k}", source.n)
        if times.shape != ids.shape:
            raise ParameterError(f"{name}: sample {k} must have one id for each time, got {len(ids)} for {len(times)}")
        sizes.append(len(times))
        all_times.append(times)
        all_ids.append(ids)
    return sizes, np.concatenate(all_times), np.concatenate(all_ids)


def _is_flat(values):
    try:
        return np.ndim(values) == 1
    except (TypeError, ValueError):
        return False


def padded_pairs(source, values):
    """A sequence of (times, ids) as an array of shape (samples, n, m)."""
    sizes, times, ids = input_pairs(source, values)
    return padded((len(sizes), source.n), np.repeat(np.arange(len(sizes)), sizes), ids, times)


class _Inputs:
    """The input spikes of all samples, as the engine takes them.

    Attributes
    ----------
    n_samples : int
    times, ids : ndarray
        All spikes, by sample, time and global id.
    offsets : ndarray of shape (n_samples + 1,)
    """

    def __init__(self, sources, inputs):
        by_name = {p.name: p for p in sources}
        inputs = by_source(sources, inputs)
        self.given = [self._flat(by_name[name], values) for name, values in inputs.items()]
        numbers = {name: given[0] for name, given in zip(inputs, self.given, strict=True)}
        self.n_samples = next(iter(numbers.values()))
        if len(set(numbers.values())) > 1:
            raise ParameterError(f"inputs must have the same number of samples for all sources, got {numbers}")
        self.names = list(inputs)
        sample, times, ids = (np.concatenate([given[k] for given in self.given]) for k in (1, 2, 3))
        self.order = np.lexsort((ids, times, sample))
        self.times, self.ids = times[self.order], ids[self.order]
        self.offsets = np.concatenate([[0], np.cumsum(np.bincount(sample, minlength=self.n_samples))])

    @staticmethod
    def _flat(source, values):
        """(number of samples, sample and time and global id of each spike, how to give values back) of one source."""
        if are_pairs(values):
            sizes, times, ids = input_pairs(source, values)
            return len(sizes), np.repeat(np.arange(len(sizes)), sizes), times, source.first + ids, sizes
        array = input_array(source, values)
        there = np.nonzero(np.isfinite(array))
        return array.shape[0], there[0], array[there], source.first + there[1], (array.shape, there)

    def given_back(self, values):
        """Values of the spikes in the engine's order, by source and in the form in which they were given."""
        unsorted = np.empty(len(values))
        unsorted[self.order] = values
        result, at = {}, 0
        for name, (_, _, times, _, form) in zip(self.names, self.given, strict=True):
            part = unsorted[at : at + len(times)]
            at += len(times)
            if isinstance(form, list):
                result[name] = np.split(part, np.cumsum(form)[:-1]) if form else []
            else:
                shape, there = form
                result[name] = np.zeros(shape)
                result[name][there] = part
        return result


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
    """

    def __init__(self, simulation, given, duration, pieces, samples, V_ids, V_times, stops, tape):
        self._simulation, self._given, self._pieces, self._stops = simulation, given, pieces, stops
        self._network, self._structure = simulation.network, simulation._structure
        self._samples = samples if tape else None
        self._tape = tape
        self._weights = [p.weight for p in self._network.projections]
        self._delays = [p.delay for p in self._network.projections]
        self.duration, self.n_samples, self.wall_time = duration, given.n_samples, 0.0
        self.V_ids, self.V_times = V_ids, V_times
        self.times = np.concatenate([np.zeros(0), *(s.times for s in samples)])
        self.ids = np.concatenate([np.zeros(0, np.int64), *(s.ids for s in samples)])
        ends, n_before = [np.zeros(1, np.int64)], 0
        for piece in samples:
            ends.append(piece.ends + n_before)
            n_before += len(piece.times)
        self.offsets = np.concatenate(ends)
        self.V = np.concatenate([np.zeros((0, len(V_times), len(V_ids))), *(s.V for s in samples)])
        origins = simulation._runners[0].engine.origins
        if origins is not None:
            self.V += origins[V_ids]
        totals = sum((s.counts for s in samples), np.zeros(4, np.int64)).tolist()
        self.n_spikes, self.n_synaptic_events, self.n_input_events, self.n_close_calls = totals

    def __getstate__(self):
        # Copies and pickles are without tapes, which are memory of the compiled engine.
        return vars(self) | {"_samples": None, "_tape": False}

    def __len__(self):
        return self.n_samples

    def __getitem__(self, k):
        n = self.n_samples
        k = _validation.integer(k, "the number of a sample", f"from {-n} to {n - 1}", low=-n, high=n - 1) % n
        part = slice(self.offsets[k], self.offsets[k + 1])
        return self.times[part], self.ids[part]

    def __repr__(self):
        return f"<BatchResult of {self.n_samples} samples, {self.duration:g} ms each: {self.n_spikes} spikes>"

    @property
    def samples(self):
        """Which sample each spike belongs to."""
        return np.repeat(np.arange(self.n_samples), np.diff(self.offsets))

    def _of(self, population):
        """Which spikes are of a population (by name), its number of neurons, and the cells of (sample, neuron)."""
        names = {p.name: p for p in self._network.populations if not p.is_source}
        name = getattr(population, "name", population)
        if not isinstance(name, str) or name not in names:
            raise unknown_name("population", name, list(names))
        p = names[name]
        where = np.flatnonzero((self.ids >= p.first) & (self.ids < p.first + p.n))
        return where, p.n, self.samples[where] * p.n + (self.ids[where] - p.first)

    def first_spikes(self, population):
        """When each neuron of a population fires first.

        Returns
        -------
        times : ndarray of shape (n_samples, n)
            ms; inf for those that do not fire.
        where : ndarray of int of shape (n_samples, n)
            Which of `times` of the batch that is; -1 for those that do not fire.
        """
        found, n, cells = self._of(population)
        times, where = np.full(self.n_samples * n, np.inf), np.full(self.n_samples * n, -1)
        # Of several values for one place the last one stays: the earliest.
        where[cells[::-1]] = found[::-1]
        times[where >= 0] = self.times[where[where >= 0]]
        return times.reshape(self.n_samples, n), where.reshape(self.n_samples, n)

    def spike_table(self, population, n_spikes=None):
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
        shape = (self.n_samples * n, n_spikes)
        times, where = np.full(shape, np.inf), np.full(shape, -1)
        times[cells[taken], place[taken]] = self.times[found[taken]]
        where[cells[taken], place[taken]] = found[taken]
        shape = (self.n_samples, n, n_spikes)
        return times.reshape(shape), where.reshape(shape)

    def spike_counts(self, population):
        """How often each neuron of a population fires, shape (n_samples, n)."""
        _, n, cells = self._of(population)
        return np.bincount(cells, minlength=self.n_samples * n).reshape(self.n_samples, n)

    @property
    def has_gradients(self):
        """Whether :meth:`backward` can be called: tapes are there, and weights and delays are those of the run."""
        same = structure(self._network) == self._structure
        return same and self._samples is not None and not self._changed("weight") and not self._changed("delay")

    def _changed(self, name):
        values = self._weights if name == "weight" else self._delays
        return any(getattr(p, name) is not v for p, v in zip(self._network.projections, values, strict=True))

    def backward(self, dL_dtimes=None, dL_dV=None, *, weights=True, tau_m=True):
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
        if not self._tape:
            raise ParameterError(
                "this BatchResult has no tapes: run with tape=True; copies and pickles have none, so take gradients "
                "before, they can be pickled"
            )
        if self._samples is None:
            raise ParameterError("backward() was called before: tapes are used up by it; run again with tape=True")
        weights, tau_m = _validation.flag(weights, "weights"), _validation.flag(tau_m, "tau_m")
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
        with overflows_are_told():
            return _backward(self._simulation, self, samples, dL_dtimes, dL_dV, weights, tau_m)


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


class _Sums:
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
        self.ranks = np.argsort(adjoint.ranks)
        self.take_weights()

    def take_weights(self):
        self.runner.take_weights()

    def clear(self):
        self.flat[:] = 0.0
        self.runner.clear()

    def taken(self, error):
        """A copy of all sums, what was found, and the error of the invariant."""
        adjoint = self.runner.adjoint
        n = len(self.ranks)
        self.weight_sums[:] = np.asarray(adjoint.weight_sums)[:n][self.ranks]
        self.delay_sums[:] = np.asarray(adjoint.delay_sums)[:n][self.ranks]
        return self.flat.copy(), self.runner.findings, adjoint.n_ties, error


def _backward(simulation, result, samples, dL_dtimes, dL_dV, weights, tau_m):
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
    done = simulation._shared_out(free, lambda: _Sums(simulation, weights, tau_m), work, pieces)
    if not done:
        done = [_Sums(simulation, weights, tau_m).taken(0.0)]
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
    by_projection = [weight_sums, delay_sums]
    sums["I_e_times"] = np.zeros(net.size)
    for p in simulation._source.populations:
        if p.kernel != "source":
            part = slice(p.first, p.first + p.size)
            sums["I_e_times"][part] = sums["I_e"][part] * p.parameters["I_e"]
    sums["read"] = np.zeros(net.size)
    np.add.at(sums["read"], result.V_ids, dL_dV.sum(axis=(0, 1)))
    values = of_neurons(net, sums) | {"I_syn": I_syn, "tau_syn": of_ports(net, sums)}
    if not tau_m:
        values = without_time_constants(values)
    delays = [d if a is None else a for d, a in zip(delay_sums.tolist(), by_delay, strict=True)]
    left_out = "weights were left out by backward(..., weights=False); weight_sum has their sums"
    return Gradients(
        **values,
        weight=ByProjection(net, by_weight, left_out),
        weight_sum=ByProjection(net, weight_sums.tolist(), ""),
        delay=ByProjection(net, delays, ""),
        input_times=given.given_back(by_input),
        drive_weight={},
        steps={},
        **noted(net, simulation._near, findings, n_warnings, by_neuron, by_projection),
        n_ties=n_ties,
        invariant_error=error,
    )
