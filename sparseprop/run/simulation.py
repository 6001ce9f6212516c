"""What runs a network: stop rules, recording, progress, interrupts."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import math
import os
import platform
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from .. import _core, _validation
from .._ranks import ranks_of
from ..engine import reference
from ..errors import (
    CheckpointMismatchError,
    EngineFault,
    NumericalError,
    ParameterError,
    RunawayError,
    named_arguments,
    shown,
    unknown_name,
)
from ..files.checkpoint import fingerprint, read_state, refuse_other_files, write_state
from ..files.storage import full_name
from ..gradients.tape import Tape, check_tape
from ..numerics.engine_time import MAX_EPOCH
from .lookahead import checked_threads, chosen_engine, lookahead_engine, shared_engine
from .pieces import COUNTED
from .plan import Plan
from .recording import SHORTEST_INTERVAL, Record, Recorder
from .result import PopulationInfo, Result, new_run_id
from .steering import Steered
from .stopping import StopReason
from .watching import ONCE_MORE, Interrupts, Progress, check_interrupt, noted_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._types import Communicator, EngineName, Interrupt, PathLike
    from .._types import Progress as ProgressOption
    from .._types import Tape as TapeOption
    from ..network import Network

__all__ = ["Simulation", "StopReason", "explained", "infos"]

log = logging.getLogger("sparseprop")

SMALL = 64  # neurons; for fewer of them a heap is faster than a window, and the spikes are the same


def _window_engine(net, source, n_threads):
    """The engine with a window of candidates, or with a heap where that is faster."""
    return _core.Engine(source, name="window" if source.size >= SMALL else "heap")


def _heap_engine(net, source, n_threads):
    return _core.Engine(source, name="heap")


def _reference_engine(net, source, n_threads):
    return reference.ReferenceEngine(source)


ENGINES = {
    "window": _window_engine,
    "heap": _heap_engine,
    "lookahead": lookahead_engine,
    "reference": _reference_engine,
}
FIRST_BLOCK = 1000  # events
BLOCK_SECONDS = 0.03  # an engine returns about this often, for Ctrl-C, progress and recording


@functools.cache
def _versions():
    """What ran; reading the package's own takes longer than a small network does."""
    return {
        "sparseprop": importlib.metadata.version("sparseprop-sim"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


@named_arguments
class Simulation(Steered):
    """A simulation that can be run piece by piece; the pieces together are bit-identical to one run.

    Parameters
    ----------
    net : Network
        As it is now; populations and projections added later are not part of this simulation.
    engine : {"window", "heap", "lookahead", "reference"}, optional
        All give the same spikes, bit for bit. ``"window"`` takes amortised O(K) per spike; ``"heap"`` is the paper's,
        O(K log N); ``"lookahead"`` is for networks in which every synapse between neurons has a delay, on all cores;
        ``"reference"`` is the readable specification in plain Python. Default: the faster one of window and lookahead,
        by the rule in ``docs/engines.md``; :attr:`engine` says which.
    seed : int, optional
        Of initial states and Poisson input; default: the network's.
    n_threads : int, optional
        Of ``engine="lookahead"``, which more than one asks for; the spikes are the same bits for any number. Default:
        one for each core that this process may use.
    comm : communicator of mpi4py, optional
        Such as ``MPI.COMM_WORLD``: each of its processes (ranks) has a share of the neurons, and all of them make the
        same calls in the same order; every rank gets the whole :class:`Result`, and the first one writes files.
        Results, and checkpoints, are the bits of one process. Default: that of the network. See
        ``docs/howto/many_machines.md``.

    Raises
    ------
    ParameterError
        For values that are not allowed, and for a network that the engine is not for.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=50, seed=1)
    >>> sim = sp.Simulation(net)
    >>> first, second = sim.run(50.0), sim.run(50.0)
    >>> first.n_spikes + second.n_spikes == net.run(100.0).n_spikes
    True
    """

    @property
    def _cites(self):
        return self.network._cites

    def __init__(
        self,
        net: Network,
        engine: EngineName | None = None,
        seed: int | None = None,
        n_threads: int | None = None,
        comm: Communicator | None = None,
    ) -> None:
        if not hasattr(net, "engine_input"):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
        seed = check_start(engine, seed)
        n_threads = checked_threads(n_threads, engine)
        self._ranks = _ranks_for(net, comm, engine)
        self.network, self._n_threads = net, n_threads
        with self._as_one():
            self._make(net, engine, seed, n_threads)

    def _make(self, net, engine, seed, n_threads):
        source = net.engine_input(seed) if self._ranks is None else net.engine_input(seed, self._ranks)
        if self._ranks is not None:
            engine = "lookahead"
        elif engine is None:
            engine = chosen_engine(net, source, n_threads)
        self._clock, self._source = source.clock, source
        self._populations = infos(net)
        self._header = {
            "network": _description(net),
            "seed": net.seed if seed is None else seed,
            "engine": engine,
            "versions": dict(_versions()),
        }
        self._fault = None
        self._unfinished = None  # the run that the file this was loaded from belongs to, if that did not end
        self._checkpointed = None  # the same, whether it ended or not
        self._last_run = None  # identity of the run that ended where this is now
        self._lock = threading.RLock()  # one thread at a time; a progress callable may look at the state
        self._running = self._taped = False
        self._belongs_to_one_run = False  # of Network.run, so that nobody can go on with it
        self._start_steering()
        try:
            if self._ranks is not None:
                self._engine = shared_engine(net, source, n_threads, self._ranks)
            else:
                self._engine = ENGINES[engine](net, source, n_threads)
        except EngineFault as fault:
            raise explained(fault, net) from None

    def _as_one(self):
        """What ends on all ranks alike, if there are several."""
        return contextlib.nullcontext() if self._ranks is None else self._ranks.as_one()

    def _any(self, mine):
        """Whether something holds on some rank."""
        return mine if self._ranks is None else self._ranks.any(mine)

    def _agreed(self, value):
        """What the first rank has."""
        return value if self._ranks is None else self._ranks.agree(value)

    @property
    def _writes(self):
        """Whether this process writes files, and shows progress."""
        return self._ranks is None or self._ranks.is_first

    @classmethod
    def load(
        cls,
        path: PathLike,
        net: Network,
        engine: EngineName | None = None,
        n_threads: int | None = None,
        comm: Communicator | None = None,
    ) -> Simulation:
        """The simulation that :meth:`save`, or a checkpoint of a run, has put into a file.

        It goes on bit-identically, also with another engine.

        Parameters
        ----------
        path : path-like
        net : Network
            The same as that of the saved simulation: its fingerprint is compared.
        engine : str, optional
            Default: the one it was saved from.
        n_threads : int, optional
            As of the class.
        comm : communicator of mpi4py, optional
            As of the class; on any number of ranks, whatever it was saved on.

        Returns
        -------
        Simulation

        Raises
        ------
        StorageError
            If the file cannot be read.
        FileFormatError
            If it is damaged or not a saved state.
        CheckpointMismatchError
            If it belongs to another network, or a version whose numbers are others.
        """
        content = read_state(path, "simulation")
        if not hasattr(net, "engine_input"):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
        if content["fingerprint"] != fingerprint(net.to_dict()):
            raise CheckpointMismatchError(
                f"{os.fspath(path)} belongs to another network (fingerprint {content['fingerprint'][:12]}); build it "
                "as it was when it was saved, with the same seed"
            )
        shared = _ranks_for(net, comm, engine) is not None
        engine = content["engine"] if engine is None and not shared else engine
        simulation = cls(net, engine=engine, seed=content["seed"], n_threads=n_threads, comm=comm)
        simulation._restore_steering(content.get("steering"))
        simulation._engine.restore(content["state"])
        simulation._last_run = content.get("last_run")
        if content["run"] is not None:
            simulation._checkpointed = content["run"]
            if not content["run"]["ended"]:
                simulation._unfinished = content["run"]
        return simulation

    @property
    def engine(self) -> str:
        """The name of the engine."""
        return self._header["engine"]

    def save(self, path: PathLike) -> None:
        """Save the present state, atomically: all of it is in the file, or the file is as it was.

        States, spikes on their way, counters and places in the inputs; random numbers are functions of the seed.
        Recorded spikes are not part of it. A run that goes on from it is bit-identical to one that was never cut.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        with self._owned():
            self._require_sound()
            with self._as_one():
                self._save(path, None, self._last_run)

    def _save(self, path, run, last_run):
        state = self._engine.state()  # of all ranks
        if not self._writes:
            return
        write_state(
            path,
            {
                "fingerprint": self._fingerprint,
                "seed": self._header["seed"],
                "engine": self._header["engine"],
                "versions": self._header["versions"],
                "state": state,
                "steering": self._steering_state(),
                "run": run,
                "last_run": last_run,
            },
        )

    def copy(self) -> Simulation:
        """Another simulation of the same network in the same state, at the same time.

        What is saved by :meth:`save` and loaded, without a file: both go on bit-identically, and independently.

        Returns
        -------
        Simulation
        """
        with self._owned():
            self._require_sound()
            self._require_idle()
            other = type(self)(
                self.network,
                engine=self._header["engine"],
                seed=self._header["seed"],
                n_threads=self._n_threads,
                comm=self._ranks,
            )
            other._restore_steering(self._steering_state())
            other._engine.restore(self._agreed(self._engine.state()))
            return other

    @functools.cached_property
    def _fingerprint(self):
        """Of the network as it was when this began; it takes a look at every synapse."""
        description = self._header["network"]
        if isinstance(description, ParameterError):
            raise description
        return fingerprint(description)

    def _require_sound(self):
        if self._fault is not None:
            raise type(self._fault)(f"this simulation has ended with an error; make a new one. {self._fault}")

    @property
    def time(self) -> float:
        """The present in ms."""
        return self._clock.milliseconds(self._engine.now)

    @property
    def n_spikes(self) -> int:
        """Spikes since the start."""
        return self._engine.n_spikes

    def __repr__(self) -> str:
        if not self._lock.acquire(blocking=False):
            return "<Simulation that is running in another thread>"
        try:
            names = ", ".join(f"{info.n} {info.name}" for info in self._populations)
            end = ", ended with an error" if self._fault is not None else ""
            return (
                f"<Simulation of {names}: {self._header['engine']} engine, seed {self._header['seed']}, at "
                f"{self.time:g} ms, {self.n_spikes} spikes so far{end}>"
            )
        finally:
            self._lock.release()

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
        raise TypeError("a Simulation cannot be pickled, or copied but by copy(); make a new one from its network")

    def run(
        self,
        duration: float | None = None,
        *,
        n_spikes: int | None = None,
        record: PathLike | Record | None = None,
        progress: ProgressOption = None,
        callback: Callable[[Simulation], object] | None = None,
        checkpoint: PathLike | None = None,
        every: float | None = None,
        tape: TapeOption = False,
        interrupt: Interrupt = "return",
        overwrite: bool = False,
    ) -> Result:
        """Go on from the present.

        Parameters
        ----------
        duration : float, optional
            ms from now. All instants before its end are taken.
        n_spikes : int, optional
            Stop after the instant in which this many further spikes are reached. At least one of the two stop
            rules is needed; whichever comes first ends the run.
        record : None, path or Record
            None keeps the spikes in memory; a path streams them into an HDF5 raster, behind those of the runs of this
            Simulation before, if they were recorded there; :class:`sparseprop.Record` says more precisely what to keep.
        progress : None, bool or callable, optional
            None shows a bar on a terminal or in a notebook when it takes more than a second; True shows it at once, and
            elsewhere, as in a log file, prints a line for each 10 %; a callable gets the fraction that is done.
        callback : callable, optional
            Called with this Simulation every 30 ms or so of computing, between two instants; where it returns True
            the run ends (`stop_reason` is ``"callback"``). When that is in simulated time depends on the machine. It
            may look at `state`, and steer the simulation (:meth:`inject`, :meth:`set_drive`, :meth:`set_state`); what
            should not depend on the machine is steered between short runs.
        checkpoint : path, optional
            Save the state there at the beginning, then every `every` ms of simulated time, and at the end. After a
            crash ``Simulation.load(checkpoint, net).resume()`` ends the run as if nothing had happened. (`run` on what
            was loaded goes on with the simulation but not with that run.)
        every : float, optional
            ms between two checkpoints; needed with `checkpoint`.
        tape : bool, "checkpoint" or Truncated
            True: keep what :meth:`sparseprop.Result.backward` needs, some 24 bytes for each spike and event of a drive,
            for QIF and Theta neurons also 8 for each synaptic event. "checkpoint": keep some states instead, and repeat
            the run in parts when gradients are computed, which are the same bits, in memory that does not grow with the
            run. :class:`sparseprop.Truncated`: keep the end of the run only.
        interrupt : {"return", "raise"}
            What Ctrl-C does. "return": the run ends normally with the spikes until then (`stop_reason` is
            ``"interrupted"``), run() can go on, and so does the script. "raise": it raises KeyboardInterrupt when the
            run has ended so and its files are complete. A Ctrl-C within 3 s after one that ended another run does so in
            any case, so that two of them end a loop of runs; a second one during a run raises KeyboardInterrupt at
            once.
        overwrite : bool
            Replace a file that is at the path of `record` already. Otherwise that is an error, unless this Simulation
            has recorded there until now.

        Returns
        -------
        Result
            Of this piece.

        Raises
        ------
        KeyboardInterrupt
            See `interrupt`.
        ParameterError
            For values that are not allowed.
        RunawayError
            If a neuron would fire twice in one instant.
        NumericalError
            If a state leaves the range of a double.
        StorageError
            If the raster or the checkpoint cannot be written, or another file is in the place of the raster. What the
            message calls safe stays readable; spikes after that are lost, and the simulation is at the time of the
            failure.
        """
        duration, n_spikes = check_stop_rules("run", duration, n_spikes)
        if (checkpoint is None) != (every is None):
            raise ParameterError(
                "checkpoint and every belong together: give a file, and the ms between two checkpoints"
            )
        if checkpoint is not None:
            every = _validation.real(
                every, "every", f"a time >= {SHORTEST_INTERVAL:g} ms", unit="ms", low=SHORTEST_INTERVAL
            )
            checkpoint = full_name(checkpoint)
            refuse_other_files(checkpoint)
        record = Record.of(record, overwrite)
        if checkpoint is not None and record.path is not None and full_name(record.path) == checkpoint:
            raise ParameterError(f"the checkpoint and the raster must be two files, got {checkpoint} for both")
        record.check_size(self._populations, duration)
        engine = self._engine
        check_tape(tape, self._header["engine"])
        if tape and self._ranks is not None:
            raise ParameterError(
                f"tape must be False on several ranks (comm=), where gradients are not computed, got {tape!r}; run "
                "without comm"
            )
        with self._owned():
            self._require_idle()
            self._require_sound()
            if tape:
                self._check_tape_after()
            plan = Plan(
                start=(engine.now[0], float(engine.now[1])),
                until=(MAX_EPOCH, 0.0) if duration is None else self._clock.add(engine.now, duration),
                duration=duration,
                n_spikes=n_spikes,
                before={name: getattr(engine, name) for name in ("n_spikes", *COUNTED)},
                checkpoint=checkpoint,
                every=every,
                wall_time=0.0,
                record=record.to_dict(),
                run_id=self._agreed(new_run_id()),
                follows=self._last_run,
            )
            return self._run(plan, record, None, progress, callback, interrupt, tape)

    def resume(
        self,
        progress: ProgressOption = None,
        callback: Callable[[Simulation], object] | None = None,
        interrupt: Interrupt = "return",
    ) -> Result:
        """End the run during which the file that this simulation was loaded from was written as a checkpoint.

        Its raster is taken up where the checkpoint was made, so that it becomes that of the undisturbed run, bit for
        bit. The arguments are those of :meth:`run`.

        Returns
        -------
        Result
            Of the whole run, from its beginning.

        Raises
        ------
        ParameterError
            If there is no such run, or it has ended.
        StorageError, FileFormatError
            If its raster cannot be taken up, or is that of another run.
        """
        with self._owned():
            self._require_idle()
            if self._unfinished is None:
                raise ParameterError("there is no run to resume: this is no checkpoint of a run that did not end")
            if "run_id" not in self._unfinished:
                raise CheckpointMismatchError(
                    "this checkpoint is of an earlier version, whose runs had no identity; end the run with that one"
                )
            plan, recorded = Plan.of_checkpoint(self._unfinished), self._unfinished["recorded"]
            return self._run(plan, Record(**plan.record), recorded, progress, callback, interrupt)

    @property
    def is_resumable(self) -> bool:
        """Whether this was loaded from a checkpoint of a run that did not end."""
        return self._unfinished is not None

    @property
    def checkpointed_run(self) -> dict[str, Any] | None:
        """How the run was called that wrote the checkpoint this was loaded from: a dictionary, or None.

        ``duration``, ``n_spikes``, ``every``; ``record``, as a dictionary; ``seed``, ``time`` at its start, and whether
        it had ``ended``.
        """
        run = self._checkpointed
        if run is None:
            return None
        about = {name: run[name] for name in ("duration", "n_spikes", "every", "record", "ended")}
        return about | {"seed": self._header["seed"], "time": self._clock.milliseconds(tuple(run["start"]))}

    def _require_idle(self):
        if self._running:
            raise ParameterError("run() was called by a callable that a run of the same Simulation had called")

    def _run(self, plan, record, recorded, progress, callback, interrupt, tape=False):
        raises = check_interrupt(interrupt) == "raise"
        self._running, self._taped = True, bool(tape)
        try:
            with self._as_one():
                result, interrupts = self._watched_run(plan, record, recorded, progress, callback, tape)
        finally:
            self._running = self._taped = False
        if interrupts.pending:
            self._tell_interrupt(result, raises, interrupts.ends_all)
        return result

    def _about(self, plan):
        """What a Result says of how its run was called, and of what was steered before."""
        about = {"duration": plan.duration, "n_spikes": plan.n_spikes, "record": plan.record}
        return about | ({"steered": list(self._calls)} if self._calls else {})

    def _tell_interrupt(self, result, raises, ends_all):
        """Say in the log that there was a Ctrl-C, and how to go on; or raise it."""
        if result.stop_reason == StopReason.INTERRUPTED:
            duration = result.header["run"]["duration"]
            of = "" if duration is None else f" of {result.t_start + duration:g}"
            where = f"interrupted at {result.t_stop:g}{of} ms: the Result has the spikes until then"
            if not self._belongs_to_one_run:
                where += ", and run() on the same Simulation goes on from there"
        else:
            where = f"interrupted when the run had just ended, at {result.t_stop:g} ms: nothing is missing"
        if raises or ends_all:
            raise noted_interrupt(where, ends_all)
        log.warning("%s; %s", where, ONCE_MORE)

    def _watched_run(self, plan, record, recorded, progress, callback, tape):
        """Carry out what a plan says, from the present on; `recorded` is what a checkpoint had recorded."""
        engine = self._engine
        if callback is not None and not callable(callback):
            raise ParameterError(f"callback must be callable, got {shown(callback)}")
        t_start = self._clock.milliseconds(plan.start)
        result = Result(
            None,
            self._populations,
            t_start=t_start,
            t_stop=t_start,
            header=self._header | {"run": self._about(plan)},
            path=None if record.path is None else os.path.abspath(os.fsdecode(record.path)),
            run_id=plan.run_id,
            follows=plan.follows,
        )
        bar = Progress(progress if self._writes else False)
        recorder = Recorder(record, result, recorded, self._writes)
        # Only now, as a run that was refused has changed nothing. Two runs after one checkpoint would leave a gap.
        self._unfinished = self._last_run = None
        if recorded is None:
            self._checkpointed = None
        engine.record_sources = record.record_sources
        tape = Tape(engine, self._source, tape) if tape else None
        began = time.perf_counter() - plan.wall_time

        def fraction():
            return plan.fraction(self.time - t_start, engine.n_spikes)

        def save(ended):
            """Write the checkpoint, after what was recorded is safe."""
            if plan.checkpoint is not None:
                run = plan.stored(time.perf_counter() - began, ended)
                if not ended:
                    recorder.flush()
                    run["recorded"] = recorder.state()
                self._save(plan.checkpoint, run, result.run_id if ended else None)

        def look(what):
            now, ids = self._clock.milliseconds(engine.now), recorder.ids[what]
            recorder.sample(what, now, engine.voltages(ids) if what == "V" else engine.currents(ids))
            if tape is not None and what == "V":
                tape.sample(ids)

        with recorder, Interrupts() as interrupts, bar:
            pauses = plan.pauses(self._clock, engine.now, record, recorder.sample_times)
            if recorded is None:
                save(False)
            budget = FIRST_BLOCK
            stop, purpose = next(pauses)
            while True:
                block = time.perf_counter()
                try:
                    end = engine.advance(stop, plan.max_spikes, budget)
                except EngineFault as fault:
                    self._fault = explained(fault, self.network)
                    if tape is not None:
                        tape.discard()
                    raise self._fault from None
                finally:
                    recorder.append(*engine.take())
                bar.update(fraction)
                if tape is not None:
                    tape.look()
                if end in ("time", "quiescent") and purpose is not None:
                    save(False) if purpose == "save" else look(purpose)
                    stop, purpose = next(pauses)
                elif end != "running":
                    result.stop_reason = StopReason(end)
                    break
                if self._any(interrupts.pending):
                    interrupts.pending, interrupts.ends_all = True, self._any(interrupts.ends_all)
                    result.stop_reason = StopReason.INTERRUPTED
                    break
                if callback is not None and self._any(callback(self)):
                    result.stop_reason = StopReason.CALLBACK
                    break
                if end == "running":
                    budget = self._agreed(_adapted(budget, time.perf_counter() - block))
            result.t_stop = self.time
            if tape is not None:
                tape.finish()
                result._keep_tape(tape, self.network, recorder)
            result._n_spikes = engine.n_spikes - plan.before["n_spikes"]
            for name in COUNTED:
                setattr(result, name, getattr(engine, name) - plan.before[name])
            result.wall_time = time.perf_counter() - began
            interrupted = result.stop_reason == StopReason.INTERRUPTED
            if interrupted:
                save(False)
            recorder.finish()
            self._last_run = result.run_id
            if not interrupted:
                save(True)
            bar.finish(fraction)
        return result, interrupts


def _ranks_for(net, comm, engine):
    """The Ranks of a simulation of a network, or None; `engine` is what was asked for."""
    ranks = ranks_of(comm, "Simulation")
    own = getattr(net, "_ranks", None)
    if own is not None and ranks is not None and ranks is not own and ranks.comm is not own.comm:
        raise ParameterError("comm must be that of the network, which is shared by its ranks already; leave it out")
    ranks = ranks if own is None else own
    if ranks is not None and engine not in (None, "lookahead"):
        raise ParameterError(
            f'engine must be "lookahead" on several ranks (comm=), got "{engine}": the others go from one spike of the '
            "whole network to the next one; leave engine out"
        )
    return ranks


def infos(net):
    """What a Result knows of the populations of a network."""
    return [
        PopulationInfo(p.name, p.n, type(p.model).__name__, p.first, p.is_source, p.has_currents)
        for p in net.populations
    ]


def explained(fault, net):
    """The user's error for what an engine found."""
    for population in net.populations:
        if population.first <= fault.neuron < population.first + population.n:
            break
    who = f"neuron {fault.neuron - population.first} of population {population.name!r}"
    if fault.kind == "runaway":
        return RunawayError(
            f"{who} would fire twice in one instant, at t = {fault.time!r} ms: excitation without delay closes a "
            "loop, or its period is shorter than the resolution of time. Give it a refractory period (t_ref > 0), "
            "or make the excitatory weights smaller"
        )
    lowest = np.broadcast_to(population.model.lowest_voltage(), (population.n,))
    lowest = float(lowest[fault.neuron - population.first])
    if math.isfinite(lowest):
        return NumericalError(
            f"a kick took {who} below V_min = {lowest!r}, where its drift is not known, at t = {fault.time!r} ms; V "
            f"before the event was {fault.voltage!r}. Give a lower V_min, or smaller inhibitory weights"
        )
    return NumericalError(
        f"the state of {who} left the range of a double at t = {fault.time!r} ms; V before the event was "
        f"{fault.voltage!r}. Look for weights, drives or time constants that are far too large"
    )


def _description(net):
    """The network as a dictionary; or, if a Python function is part of it, the error that whoever saves it gets."""
    try:
        return net.to_dict()
    except ParameterError as error:
        return error


def check_start(engine, seed):
    """The seed of a run, or None, after a look at the name of its engine."""
    if engine is not None and (not isinstance(engine, str) or engine not in ENGINES):
        raise unknown_name("engine", engine, ENGINES)
    return None if seed is None else _validation.integer(seed, "seed", "a whole number >= 0", low=0)


def check_stop_rules(function, duration, n_spikes):
    """The two stop rules of a run, of which at least one must be there."""
    if duration is None and n_spikes is None:
        raise ParameterError(f"{function}() needs a duration in ms, or n_spikes, or both")
    if duration is not None:
        duration = _validation.real(duration, "duration", "a finite time >= 0 ms", unit="ms", low=0.0)
    if n_spikes is not None:
        n_spikes = _validation.integer(n_spikes, "n_spikes", "a whole number >= 0 and below 2^62", low=0, high=2**62)
    return duration, n_spikes


def _adapted(budget, seconds):
    """The number of events for the next block, so that it takes about BLOCK_SECONDS."""
    return int(budget * min(max(BLOCK_SECONDS / max(seconds, 1e-6), 0.25), 4.0)) + 1
