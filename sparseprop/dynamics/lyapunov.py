"""Lyapunov exponents of a network, from the exact derivatives of its events."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from .. import _core, _machine, _validation
from ..connectivity import extremes
from ..errors import (
    CheckpointMismatchError,
    EngineFault,
    InsufficientMemoryError,
    NumericalError,
    ParameterError,
    named_arguments,
    shown,
)
from ..files.checkpoint import fingerprint, read_state, write_state
from ..numerics.engine_time import MAX_EPOCH
from ..run.simulation import SMALL, explained
from ..run.stopping import StopReason
from ..run.watching import Interrupts, Progress, check_interrupt, noted_interrupt
from .frame import Frame
from .spectrum import LyapunovSpectrum

if TYPE_CHECKING:
    from typing import Any, Literal

    from .._types import Interrupt, PathLike
    from .._types import Progress as ProgressOption
    from ..network import Network

__all__ = ["Lyapunov", "lyapunov_spectrum"]

log = logging.getLogger("sparseprop")

SAMPLES = 40  # of a run with reorthonormalise="auto"
SPREAD = math.log(2500.0)  # growth of one of n vectors over that of another, over n, at which there is another basis
TOO_MUCH = math.log(10.0)  # beyond that what was done since the last sample is done again in smaller steps
SIZE = (
    100.0  # log of how much a vector may grow or shrink itself until then; at twice that, squares would leave a double
)
NULL = math.log(1e13)  # below the largest: where a map is singular, what is less is rounding
NEAR = 1e-9  # ms
EVENTS = 1 << 18  # synaptic events for which there is a plan at a time
UPDATES = 1 << 27  # numbers that are taken through a plan between two looks for Ctrl-C


@named_arguments
def lyapunov_spectrum(
    net: Network,
    n_exponents: int | None = None,
    n_spikes: int | None = None,
    warmup: int | None = None,
    reorthonormalise: int | Literal["auto"] = "auto",
    seed: int | None = None,
    n_threads: int | None = None,
    *,
    duration: float | None = None,
    covariant: bool = False,
    progress: ProgressOption = None,
    interrupt: Interrupt = "return",
) -> LyapunovSpectrum:
    """Lyapunov exponents of a network, and what follows from them.

    Vectors of what all neurons are off by are taken through the exact derivatives of all events of one run, and made
    orthonormal now and then; the means of the logs of their growth are the exponents (docs/dynamics.md).

    Parameters
    ----------
    net : Network
        Without delays. Sources and drives, of currents too, are frozen: the same input whatever the neurons do, so that
        the exponents are conditional ones.
    n_exponents : int, optional
        The largest ones. Default: all, one for each neuron, and one for each synaptic current of LIFExp neurons.
    n_spikes : int, optional
        Over which to measure. At least one of this and `duration` is needed; whichever comes first ends it, at the next
        sample.
    duration : float, optional
        ms over which to measure.
    warmup : int, optional
        Spikes before that: during the first half of these the network runs alone, then with the vectors. Default: a
        tenth of `n_spikes`; with `duration` alone a tenth of it.
    reorthonormalise : "auto" or int
        Spikes from one sample to the next: vectors are made orthonormal (by a QR decomposition) and local exponents
        noted. ``"auto"``: 40 samples in all. In between, vectors get another basis of the same nested spans (by an LU
        decomposition) as soon as some of n have grown 2500 n times as much as others, which changes no result.
    seed : int, optional
        Of the initial states, the Poisson input and the first vectors. Default: the network's.
    n_threads : int
        Which share out the vectors; the exponents are the same bits for any number. Default: one for each core that
        this process may use.
    covariant : bool
        Also find covariant vectors: see :attr:`LyapunovSpectrum.covariant`. Keeps n_exponents^2 numbers and the vectors
        of each sample.
    progress, interrupt
        As of :meth:`sparseprop.Simulation.run`. After Ctrl-C the result is that of the samples so far.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    ParameterError
        For values that are not allowed, and for a network with delays: the spikes on their way are part of its state,
        which then has no fixed number of dimensions.
    InsufficientMemoryError
        If the vectors, of which three copies are needed, do not fit.
    NumericalError
        If a state leaves the range of a double, or vectors vanish.

    Notes
    -----
    O(K n_exponents) for each spike, and O(N n_exponents^2) for each decomposition. Memory O(N n_exponents). The run is
    bit-identical to ``net.run(seed=seed)``. The decompositions are no LAPACK's, so exponents have the same bits on all
    machines.

    References
    ----------
    R. Engelken, F. Wolf, L. F. Abbott, Phys. Rev. Research 5, 043044 (2023). M. Monteforte, F. Wolf, Phys. Rev. Lett.
    105, 268104 (2010).

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=20, seed=1)
    >>> spectrum = sp.lyapunov_spectrum(net, n_spikes=4000)
    >>> spectrum.n_positive > 0
    True
    """
    n_spikes, duration = _stop_rules("lyapunov_spectrum", n_spikes, duration)
    if not (isinstance(reorthonormalise, str) and reorthonormalise == "auto"):
        reorthonormalise = _validation.integer(
            reorthonormalise,
            "reorthonormalise",
            'a whole number from 1 to n_spikes, or "auto"',
            low=1,
            high=2**60 if n_spikes is None else max(n_spikes, 1),
        )
        every: dict[str, Any] = {"every": reorthonormalise}
    elif n_spikes is not None:
        every = {"every": max(n_spikes // SAMPLES, 1)}
    else:
        every = {"every_ms": duration / SAMPLES}
    measured = Lyapunov(net, n_exponents, seed=seed, n_threads=n_threads, covariant=covariant, **every)
    if warmup is not None:
        measured.warm_up(
            n_spikes=_validation.integer(warmup, "warmup", "a whole number >= 0 and below 2^60", low=0, high=2**60)
        )
    elif n_spikes is not None:
        measured.warm_up(n_spikes=n_spikes // 10)
    else:
        measured.warm_up(duration=duration / 10)
    return measured.run(n_spikes, duration, progress=progress, interrupt=interrupt)


def _stop_rules(function, n_spikes, duration):
    if n_spikes is None and duration is None:
        raise ParameterError(f"{function}() needs n_spikes, or a duration in ms, or both")
    if n_spikes is not None:
        n_spikes = _validation.integer(n_spikes, "n_spikes", "a whole number >= 1 and below 2^60", low=1, high=2**60)
    if duration is not None:
        duration = _validation.real(duration, "duration", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True)
    return n_spikes, duration


class _Ended(Exception):
    """A sample cannot be ended: the network is silent, or there was a Ctrl-C."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


@named_arguments
class Lyapunov:
    """What :func:`lyapunov_spectrum` does, piece by piece: pieces together are bit-identical to one run.

    Parameters
    ----------
    net : Network
    n_exponents : int, optional
    every : int, optional
        Spikes from one sample to the next.
    every_ms : float, optional
        The same in ms; one of the two is needed.
    seed, n_threads, covariant
        As of :func:`lyapunov_spectrum`.

    Raises
    ------
    ParameterError, InsufficientMemoryError
        As of :func:`lyapunov_spectrum`.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=20, seed=1)
    >>> measured = sp.dynamics.Lyapunov(net, 3, every=100)
    >>> measured.warm_up(n_spikes=1000)
    >>> first = measured.run(n_spikes=1000)
    >>> both = measured.run(n_spikes=1000)
    >>> bool(abs(both.exponents - sp.lyapunov_spectrum(net, 3, 2000, 1000, 100).exponents).max() == 0.0)
    True
    """

    def __init__(
        self,
        net: Network,
        n_exponents: int | None = None,
        *,
        every: int | None = None,
        every_ms: float | None = None,
        seed: int | None = None,
        n_threads: int | None = None,
        covariant: bool = False,
    ) -> None:
        if not hasattr(net, "engine_input"):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
        if (every is None) == (every_ms is None):
            raise ParameterError("every (spikes) or every_ms is needed, and not both: from one sample to the next")
        if every is not None:
            every = _validation.integer(every, "every", "a whole number >= 1", low=1)
        else:
            every_ms = _validation.real(every_ms, "every_ms", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True)
        if seed is not None:
            seed = _validation.integer(seed, "seed", "a whole number >= 0", low=0)
        if n_threads is not None:
            n_threads = _validation.integer(n_threads, "n_threads", "a whole number >= 1, or None", low=1)
        covariant = _validation.flag(covariant, "covariant")
        refuse_delays(net)
        n_rows = sum(p.n * (1 + (p.model.n_ports if p.has_currents else 0)) for p in net.populations if not p.is_source)
        if n_rows == 0:
            raise ParameterError("net has no neurons, only sources: there is nothing to be off by")
        if n_exponents is None:
            n_exponents = n_rows
        n_exponents = _validation.integer(
            n_exponents, "n_exponents", f"a whole number from 1 to {n_rows}, or None for all", low=1, high=n_rows
        )
        needed = 24 * n_rows * n_exponents
        if needed > _machine.available_memory():
            raise InsufficientMemoryError(
                f"{n_exponents} vectors of {n_rows} numbers need {needed / 2**30:.3g} GiB; ask for fewer n_exponents"
            )
        self.network, self._source = net, net.engine_input(seed)
        self._seed = net.seed if seed is None else seed
        self._clock = self._source.clock
        self._interval = {"every": every, "every_ms": every_ms}
        self._covariant = covariant
        self._engine = self._new_engine()
        self._frame = Frame(self._source, n_exponents, n_threads or _machine.cores())
        self._vectors: Any = None
        # Of n random directions the last ones have as little as 1/n of their length outside the span of the others.
        self._spread = SPREAD + math.log(n_exponents)
        self._steps = 1 if every is None else -(-4 * every // n_rows)
        self._samples: list[Any] = []
        self._bases: list[Any] = []
        self._wall_time = 0.0

    def _new_engine(self):
        return _core.Engine(self._source, "window" if self._source.size >= SMALL else "heap")

    # Going on

    def warm_up(self, n_spikes: int | None = None, duration: float | None = None) -> None:
        """Let the network run alone for the first half of so many spikes or ms, and with the vectors for the second.

        The latter ends with a sample, of which nothing is kept. Whichever comes first, if both are given.
        """
        if n_spikes is None and duration is None:
            raise ParameterError("warm_up() needs n_spikes, or a duration in ms, or both")
        if n_spikes is not None:
            allowed = "a whole number >= 0 and below 2^60"
            n_spikes = _validation.integer(n_spikes, "n_spikes", allowed, low=0, high=2**60)
        if duration is not None:
            duration = _validation.real(duration, "duration", "a finite time >= 0 ms", unit="ms", low=0.0)
        with Interrupts() as interrupts:
            end = self._engine.n_spikes + n_spikes if n_spikes is not None else None
            half = self._engine.n_spikes + n_spikes // 2 if n_spikes is not None else None
            until = self._pair_after(None if duration is None else duration / 2.0)
            last = self._pair_after(duration)
            try:
                while self._advance(until, half) == "running":
                    self._look(interrupts)
                while not self._is_over(end, last):
                    self._sample(interrupts, kept=False)
            except _Ended as ended:
                if ended.reason == StopReason.INTERRUPTED:
                    raise noted_interrupt("interrupted in the warm-up: there is no sample yet", True) from None
                raise _silent() from None

    def run(
        self,
        n_spikes: int | None = None,
        duration: float | None = None,
        progress: ProgressOption = None,
        interrupt: Interrupt = "return",
    ) -> LyapunovSpectrum:
        """Go on for so many spikes or ms, whichever comes first, to the end of a sample.

        Returns
        -------
        LyapunovSpectrum
            Of all samples so far.
        """
        n_spikes, duration = _stop_rules("run", n_spikes, duration)
        raises = check_interrupt(interrupt) == "raise"
        first_spike, first_time, began = self._engine.n_spikes, self._now(), time.perf_counter()
        end = None if n_spikes is None else first_spike + n_spikes
        last = self._pair_after(duration)

        def fraction():
            by_spikes = 0.0 if n_spikes is None else (self._engine.n_spikes - first_spike) / n_spikes
            by_time = 0.0 if duration is None else (self._now() - first_time) / duration
            return min(max(by_spikes, by_time), 1.0)

        reason = StopReason.SPIKES
        with Interrupts() as interrupts, Progress(progress, "exponents") as bar:
            try:
                while not self._is_over(end, last):
                    self._sample(interrupts, kept=True, look=lambda: bar.update(fraction))
                if end is None or self._engine.n_spikes < end:
                    reason = StopReason.TIME
            except _Ended as ended:
                reason = ended.reason
            bar.finish(fraction)
        self._wall_time += time.perf_counter() - began
        if not self._samples:
            if reason == StopReason.INTERRUPTED:
                raise noted_interrupt("interrupted before the first sample: there is no result", interrupts.ends_all)
            raise _silent()
        if reason == StopReason.INTERRUPTED:
            message = "interrupted: the exponents are of the samples until then, and run() goes on from there"
            if raises or interrupts.ends_all:
                raise noted_interrupt(message, interrupts.ends_all)
            log.warning("%s", message)
        return self.spectrum(reason)

    def _now(self):
        return self._clock.milliseconds(self._engine.now)

    def _pair_after(self, duration):
        return None if duration is None else self._clock.add(self._engine.now, duration)

    def _is_over(self, n_spikes, until):
        engine = self._engine
        return (n_spikes is not None and engine.n_spikes >= n_spikes) or (until is not None and engine.now >= until)

    @staticmethod
    def _look(interrupts):
        if interrupts.pending:
            raise _Ended(StopReason.INTERRUPTED)

    def _advance(self, until, n_spikes, budget=EVENTS):
        """Some instants of the network, before a pair or until there have been so many spikes in all."""
        engine = self._engine
        if n_spikes is not None and engine.n_spikes >= n_spikes:
            return "spikes"
        try:
            end = engine.advance((MAX_EPOCH, 0.0) if until is None else until, n_spikes, budget)
        except EngineFault as fault:
            raise explained(fault, self.network) from None
        engine.take()
        if end == "quiescent" and until is None:
            raise _Ended(StopReason.QUIESCENT)
        return end

    def _follow(self, until, n_spikes, interrupts, look):
        """The network and the vectors, to a place in a sample."""
        budget = max(min(EVENTS, UPDATES // self._frame.shape[1]), 8 * self._source.size)
        while True:
            self._engine.start_tape(NEAR)
            try:
                end = self._advance(until, n_spikes, budget)
            finally:
                part = self._engine.stop_tape()
            self._frame.follow(part)
            look()
            self._look(interrupts)
            if end != "running":
                return

    def _sample(self, interrupts, kept, look=lambda: None):
        """To the next sample; where that cannot be reached, back to the last one."""
        if self._vectors is None:
            self._vectors = self._first_vectors()
        state = self._engine.state()
        try:
            while not self._try_sample(state, interrupts, kept, look):
                self._go_back(state)
        except BaseException:
            self._go_back(state)
            raise

    def _go_back(self, state):
        self._engine = self._new_engine()
        self._engine.restore(state)

    def _first_vectors(self):
        return self._frame.orthonormal(random_vectors(self._seed, *self._frame.shape))

    def _try_sample(self, state, interrupts, kept, look):
        """One sample in `_steps` steps; False if vectors have grown too differently in one of these."""
        engine, frame, steps = self._engine, self._frame, self._steps
        every, every_ms = self._interval["every"], self._interval["every_ms"]
        first, begin, driven = engine.n_spikes, engine.now, frame.tangent.n_driven
        frame.begin(engine, self._vectors, self._covariant)
        growth, spread, size = 0.0, 0.0, 0.0
        for k in range(1, steps + 1):
            if every is not None:
                self._follow(None, first + every * k // steps, interrupts, look)
            else:
                self._follow(self._clock.add(begin, every_ms * (k / steps)), None, interrupts, look)
            if k == steps:
                vectors, grown = frame.make_orthonormal(engine)
            else:
                grown = frame.make_triangular(engine)
            is_singular = frame.tangent.n_driven > driven
            if is_singular:
                grown[grown < np.max(grown) - NULL] = -np.inf
            finite = grown[np.isfinite(grown)]
            if finite.size:
                spread = max(spread, float(finite.max() - finite.min()))
                size = max(size, float(np.abs(finite).max()))
            is_lost = np.isnan(grown).any() or np.isposinf(grown).any()
            if is_lost or (len(finite) < len(grown) and not is_singular):
                size = math.inf
            growth = growth + grown
            if is_lost:
                break
        wanted = self._wanted_steps(spread, size, engine.n_spikes - first)
        if (spread > self._spread + TOO_MUCH or size > 2.0 * SIZE) and wanted > steps:
            self._steps = wanted
            return False
        if is_lost:
            raise NumericalError("vectors left the range of a double; ask for smaller steps (reorthonormalise)")
        self._steps = min(wanted, 2 * steps)
        if kept:
            self._samples.append(
                {
                    "growth": growth,
                    "duration": self._clock.milliseconds(engine.now) - self._clock.milliseconds(begin),
                    "time": self._clock.milliseconds(engine.now),
                    "n_spikes": engine.n_spikes - first,
                    "volume": frame.volume,
                    "participation": _participation(vectors, frame.neurons),
                }
            )
            if self._covariant:
                self._bases.append((self._vectors, frame.factor))
        self._vectors = vectors
        return True

    def _wanted_steps(self, spread, size, n_spikes):
        """How many steps a sample is to have in which vectors differed by `spread`, and grew by `size`, in one."""
        steps = self._steps
        by_size = 2 * steps if size == math.inf else math.ceil(steps * size / SIZE)
        by_spread = math.ceil(steps * spread / self._spread)
        every, every_ms = self._interval["every"], self._interval["every_ms"]
        # Between two spikes vectors only grow or shrink; those of equal times may come apart from the spikes.
        if every is not None:
            return max(min(max(by_size, by_spread), every), 1)
        return max(min(by_size, 4 * n_spikes + math.ceil(every_ms) + 4), min(by_spread, 4 * n_spikes + 4), 1)

    # What came of it

    def spectrum(self, stop_reason: StopReason = StopReason.SPIKES) -> LyapunovSpectrum:
        """The :class:`LyapunovSpectrum` of all samples so far."""
        if not self._samples:
            raise ParameterError("there is no sample yet: run() first")
        columns = {name: np.array([sample[name] for sample in self._samples]) for name in self._samples[0]}
        return LyapunovSpectrum(
            growth=columns["growth"],
            durations=columns["duration"],
            times=columns["time"],
            n_spikes_each=columns["n_spikes"],
            volumes=columns["volume"],
            participation=columns["participation"],
            vectors=self._vectors,
            bases=list(self._bases),
            n_neurons=sum(p.n for p in self.network.populations if not p.is_source),
            n_rows=self._frame.shape[0],
            stop_reason=stop_reason,
            wall_time=self._wall_time,
        )

    # Files

    def save(self, path: PathLike) -> None:
        """Save where this is, atomically; :meth:`load` goes on bit-identically.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        write_state(
            path,
            {
                "kind": "lyapunov",
                "fingerprint": fingerprint(self.network.to_dict()),
                "seed": self._seed,
                "n_exponents": self._frame.shape[1],
                "interval": self._interval,
                "covariant": self._covariant,
                "state": self._engine.state(),
                "vectors": self._vectors,
                "steps": self._steps,
                "samples": self._samples,
                "bases": [list(pair) for pair in self._bases],
                "wall_time": self._wall_time,
            },
        )

    @classmethod
    def load(cls, path: PathLike, net: Network, n_threads: int | None = None) -> Lyapunov:
        """What :meth:`save` has put into a file, of the same network.

        Raises
        ------
        StorageError, FileFormatError
            If the file cannot be read, or is damaged or not such a state.
        CheckpointMismatchError
            If it belongs to another network.
        """
        content = read_state(path, "lyapunov")
        if not hasattr(net, "engine_input"):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
        if content["fingerprint"] != fingerprint(net.to_dict()):
            raise CheckpointMismatchError(
                f"{path} belongs to another network; build it as it was when it was saved, with the same seed"
            )
        self = cls(
            net,
            content["n_exponents"],
            seed=content["seed"],
            n_threads=n_threads,
            covariant=content["covariant"],
            **content["interval"],
        )
        self._engine.restore(content["state"])
        self._vectors = content["vectors"]
        self._steps, self._samples = content["steps"], content["samples"]
        self._bases = [tuple(pair) for pair in content["bases"]]
        self._wall_time = content["wall_time"]
        return self


def _silent():
    return ParameterError(
        "the network is silent before the first sample: no neuron will ever fire again without input. Give a duration "
        "instead of n_spikes, or more input"
    )


def random_vectors(seed, n, m):
    """m vectors in random directions, shape (n, m)."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, n, m, 0x1EA])))
    return random.random((n, m)) - 0.5


def refuse_delays(net):
    for p in net.projections:
        longest = extremes(p.kept("delay"))[1]
        if p.n_synapses and longest > 0.0:
            raise ParameterError(
                f"exponents are for networks without delays, and projection {p.pre.name!r} -> {p.post.name!r} has one "
                f"of {longest:g} ms: spikes on their way are then part of the state, which has no fixed "
                "number of dimensions. Set the delay to 0; for a source, shift its spike times instead"
            )


def _participation(vectors, neurons):
    """How many neurons take part: 1 / sum of p^2, p the share of a neuron in the square of a vector's length."""
    share = vectors**2
    if neurons is not None:
        share = np.add.reduceat(share, neurons, axis=0)
    return 1.0 / np.sum(share**2, axis=0)
