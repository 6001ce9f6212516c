"""What runs a network: stop rules, recording, progress, interrupts."""

import contextlib
import enum
import functools
import importlib.metadata
import logging
import os
import platform
import signal
import sys
import threading
import time

import numpy as np

from . import _core, _validation, reference
from .engine_time import MAX_EPOCH
from .errors import EngineFault, NumericalError, ParameterError, RunawayError, unknown_name
from .result import PopulationInfo, Result, SpikesInFile

__all__ = ["Simulation", "StopReason"]

log = logging.getLogger("sparseprop")

SMALL = 64  # neurons; for fewer of them a heap is faster than a window, and the spikes are the same


def _window_engine(source):
    """The engine with a window of candidates, or with a heap where that is faster."""
    return _core.Engine(source, name="window" if source.size >= SMALL else "heap")


ENGINES = {
    "window": _window_engine,
    "heap": functools.partial(_core.Engine, name="heap"),
    "reference": reference.ReferenceEngine,
}
BLOCK_SECONDS = 0.03  # an engine returns about this often, for Ctrl-C, progress and recording


class StopReason(enum.StrEnum):
    """Why a run ended; all of these are normal ends."""

    TIME = "time"
    SPIKES = "spikes"
    QUIESCENT = "quiescent"
    INTERRUPTED = "interrupted"


class Simulation:
    """A simulation that can be run piece by piece; the pieces together are bit-identical to one run.

    Parameters
    ----------
    net : Network
        As it is now; populations and projections added later are not part of this simulation.
    engine : {"window", "heap", "reference"}
        All give the same spikes, bit for bit. ``"window"`` is the fast one, amortised O(K) per spike; ``"heap"`` is
        the paper's, O(K log N); ``"reference"`` is the readable specification in plain Python.
    seed : int, optional
        Of the initial states; default: the network's.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=50, seed=1)
    >>> sim = sp.Simulation(net)
    >>> first, second = sim.run(50.0), sim.run(50.0)
    >>> first.n_spikes + second.n_spikes == net.run(100.0).n_spikes
    True
    """

    def __init__(self, net, engine="window", seed=None):
        if not hasattr(net, "engine_input"):
            raise ParameterError(f"net must be a Network, got {net!r}")
        if not isinstance(engine, str) or engine not in ENGINES:
            raise unknown_name("engine", engine, ENGINES)
        if seed is not None:
            seed = _validation.integer(seed, "seed", "a whole number >= 0", low=0)
        self.network = net
        source = net.engine_input(seed)
        self._clock = source.clock
        self._populations = [PopulationInfo(p.name, p.n, type(p.model).__name__, p.first) for p in net.populations]
        self._header = {
            "network": net.to_dict(),
            "seed": net.seed if seed is None else seed,
            "engine": engine,
            "versions": {
                "sparseprop": importlib.metadata.version("sparseprop-sim"),
                "numpy": np.__version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
            },
        }
        self._fault = None
        self._lock = threading.RLock()  # one thread at a time; a progress callable may look at the state
        self._running = False
        try:
            self._engine = ENGINES[engine](source)
        except EngineFault as fault:
            raise self._explained(fault) from None

    @property
    def time(self):
        """The present in ms."""
        return self._clock.milliseconds(self._engine.now)

    @property
    def n_spikes(self):
        """Spikes since the start."""
        return self._engine.n_spikes

    @property
    def V(self):
        """Membrane potentials now, shape (n_neurons,), global order; V_reset where refractory."""
        with self._owned():
            return np.asarray(self._engine.voltages(), dtype=float)

    @contextlib.contextmanager
    def _owned(self):
        """Nothing else may use the engine meanwhile."""
        if not self._lock.acquire(blocking=False):
            raise ParameterError("this Simulation is running in another thread; make one Simulation for each thread")
        try:
            yield
        finally:
            self._lock.release()

    def __reduce__(self):
        raise TypeError("a Simulation cannot be copied or pickled; make a new one from its network")

    def run(self, duration=None, *, n_spikes=None, record=None, progress=None):
        """Go on from the present.

        Parameters
        ----------
        duration : float, optional
            ms from now. All instants before its end are taken.
        n_spikes : int, optional
            Stop after the instant in which this many further spikes are reached. At least one of the two stop
            rules is needed; whichever comes first ends the run.
        record : None or path
            None keeps the spikes in memory; a path streams them into an HDF5 raster.
        progress : None, bool or callable, optional
            None shows a bar on a terminal or in a notebook when it takes more than a second; a callable gets the
            fraction that is done.

        Returns
        -------
        Result
            Of this piece. An interrupt by Ctrl-C is a normal end (`stop_reason`), after which run() can go on; a
            second Ctrl-C raises KeyboardInterrupt at once.

        Raises
        ------
        ParameterError
            For values that are not allowed.
        RunawayError
            If a neuron would fire twice in one instant.
        NumericalError
            If a state leaves the range of a double.
        StorageError
            If the raster cannot be written. What the message calls safe stays readable; spikes after that are lost,
            and the simulation is at the time of the failure.
        """
        if duration is None and n_spikes is None:
            raise ParameterError("run() needs a duration in ms, or n_spikes, or both")
        if duration is not None:
            duration = _validation.real(duration, "duration", "a finite time >= 0 ms", low=0.0)
        if n_spikes is not None:
            n_spikes = _validation.integer(
                n_spikes, "n_spikes", "a whole number >= 0 and below 2^62", low=0, high=2**62
            )
        with self._owned():
            if self._running:
                raise ParameterError("run() was called by the progress callable of a run of the same Simulation")
            if self._fault is not None:
                raise type(self._fault)(f"this simulation has ended with an error; make a new one. {self._fault}")
            self._running = True
            try:
                return self._run(duration, n_spikes, record, progress)
            finally:
                self._running = False

    def _run(self, duration, n_spikes, record, progress):
        engine = self._engine
        until = (MAX_EPOCH, 0.0) if duration is None else self._clock.add(engine.now, duration)
        max_spikes = None if n_spikes is None else engine.n_spikes + n_spikes
        before = engine.n_spikes, engine.n_synaptic_events
        t_start = self.time
        result = Result(
            None,
            self._populations,
            t_start=t_start,
            t_stop=t_start,
            header=self._header,
            path=None if record is None else os.path.abspath(record),
        )
        shown = _Progress(progress)
        recorder = _MemoryRecorder() if record is None else _FileRecorder(result)
        began = time.perf_counter()

        def fraction():
            """How much of the run is done."""
            parts = [0.0]
            if duration:
                parts.append((self.time - t_start) / duration)
            if n_spikes:
                parts.append((engine.n_spikes - before[0]) / n_spikes)
            return min(max(parts), 1.0)

        with recorder, _Interrupts() as interrupts, shown:
            budget = 1000
            while True:
                block = time.perf_counter()
                try:
                    end = engine.advance(until, max_spikes, budget)
                except EngineFault as fault:
                    self._fault = self._explained(fault)
                    raise self._fault from None
                finally:
                    recorder.append(*engine.take())
                shown.update(fraction)
                if end != "running":
                    result.stop_reason = StopReason(end)
                    break
                if interrupts.pending:
                    result.stop_reason = StopReason.INTERRUPTED
                    break
                budget = _adapted(budget, time.perf_counter() - block)
            result.t_stop = self.time
            result._n_spikes = engine.n_spikes - before[0]
            result.n_synaptic_events = engine.n_synaptic_events - before[1]
            result.wall_time = time.perf_counter() - began
            result._spikes = recorder.finish(result)
            shown.finish(fraction)
        if result.stop_reason == StopReason.INTERRUPTED:
            log.warning("interrupted at %g ms; run() on the same Simulation goes on from there", self.time)
        return result

    def _explained(self, fault):
        """The user's error for what an engine found."""
        for population in self._populations:
            if population.first <= fault.neuron < population.first + population.n:
                break
        who = f"neuron {fault.neuron - population.first} of population {population.name!r}"
        if fault.kind == "runaway":
            return RunawayError(
                f"{who} would fire twice in one instant, at t = {fault.time!r} ms: excitation without delay closes a "
                "loop, or its period is shorter than the resolution of time. Give it a refractory period (t_ref > 0), "
                "or make the excitatory weights smaller"
            )
        return NumericalError(
            f"the state of {who} left the range of a double at t = {fault.time!r} ms; V before the event was "
            f"{fault.voltage!r}. Look for weights, drives or time constants that are far too large"
        )


def _adapted(budget, seconds):
    """The number of events for the next block, so that it takes about BLOCK_SECONDS."""
    return int(budget * min(max(BLOCK_SECONDS / max(seconds, 1e-6), 0.25), 4.0)) + 1


class _MemoryRecorder:
    """Keeps spikes in memory."""

    def __init__(self):
        self.blocks = [(np.zeros(0), np.zeros(0, np.int64))]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def append(self, times, ids):
        self.blocks.append((np.asarray(times, dtype=np.float64), np.asarray(ids, dtype=np.int64)))

    def finish(self, result):
        return tuple(np.concatenate(arrays) for arrays in zip(*self.blocks, strict=True))


class _FileRecorder:
    """Streams spikes into a raster file."""

    def __init__(self, result):
        from .raster import RasterWriter

        populations = [(info.name, info.n) for info in result.populations]
        self.writer = RasterWriter(result.path, populations, header=result.file_header())

    def __enter__(self):
        self.writer.__enter__()
        return self

    def __exit__(self, *error):
        return self.writer.__exit__(*error)

    def append(self, times, ids):
        self.writer.append(times, ids)

    def finish(self, result):
        self.writer.close(**result.file_footer())
        return SpikesInFile(result.path, result.n_spikes)


class _Interrupts:
    """While open, the first Ctrl-C only sets `pending`; a second one is a KeyboardInterrupt.

    So an interrupt can never hit between taking spikes from the engine and recording them. A handler that is not
    Python's own, and threads other than the main one, are left alone.
    """

    def __init__(self):
        self.pending = False
        self.installed = False

    def __enter__(self):
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._first)
            self.installed = True
        return self

    def _first(self, number, frame):
        self.pending = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *error):
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return False


class _Progress:
    """A bar, a callable, or nothing; updated at most ten times a second."""

    def __init__(self, wanted):
        if not (wanted is None or isinstance(wanted, bool) or callable(wanted)):
            raise ParameterError(f"progress must be None, True, False or a callable, got {wanted!r}")
        self.wanted = wanted
        self.bar = None
        self.last = time.perf_counter()

    def __enter__(self):
        if self.wanted is True or (self.wanted is None and _is_interactive()):
            from tqdm.auto import tqdm

            self.bar = tqdm(
                total=100.0,
                unit="%",
                delay=0.0 if self.wanted else 1.0,
                leave=False,
                bar_format="{percentage:3.0f}% |{bar}| {elapsed} < {remaining}",
            )
        return self

    def update(self, fraction):
        """Show how far it is; `fraction` is a function."""
        now = time.perf_counter()
        if now - self.last >= 0.1:
            self.last = now
            self.finish(fraction)

    def finish(self, fraction):
        """Show it in any case."""
        if self.bar is not None:
            self.bar.update(100.0 * fraction() - self.bar.n)
            self.bar.refresh()
        elif callable(self.wanted):
            self.wanted(fraction())

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()
        return False


def _is_interactive():
    """Whether there is a terminal or a notebook to show a bar on."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
