"""What comes out of a run."""

from __future__ import annotations

import copy
import math
import secrets
from typing import TYPE_CHECKING

import numpy as np

from .. import _html, exports
from .._validation import is_array, real
from ..connectivity._wiring import sort_by_source
from ..errors import FileFormatError, ParameterError, StorageError, named_arguments, unknown_name
from ..files.populations import PopulationInfo, number_recorded
from ..files.raster_reader import refuse_existing
from ..files.raster_writer import write_raster
from ..gradients.backward import backward
from ..models import MODELS
from ..numerics.bins import bin_of, is_edge
from ..numerics.trains import cv_of_intervals, intervals_of
from ..plotting import plot_raster, small_raster
from .pieces import COUNTED, SAMPLED, joined_pieces
from .stopping import REASONS
from .stored import SpikesInFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from matplotlib.axes import Axes

    from .._types import ArrayLike, Description, Floats, Ints, PathLike, PlotAxes, Recorded
    from ..gradients import Gradients
    from ..network import Population
    from .stopping import StopReason

__all__ = ["PopulationInfo", "Result", "new_run_id"]

# A summary computes the CV of no more spikes than these: it sorts them, and reads them where they are in a file.
SHOWN_CV_IN_MEMORY, SHOWN_CV_IN_FILE = 10_000_000, 1_000_000


@named_arguments
class Result:
    """The spikes of a run and what is to be known about them.

    Attributes
    ----------
    times : ndarray of float64, shape (n_recorded,)
        Times in ms of the spikes that were recorded, in the order (time, generation, id).
    ids : ndarray of int64, shape (n_recorded,)
        Who fired: global ids (local ones in what :meth:`population` returns).
    populations : tuple of PopulationInfo
    recorded : dict
        Of which neurons spikes were recorded, in the form that ``Record(spikes=...)`` takes: by population True (all),
        or an array of local ids; None if nobody knows, as for files of other programs.
    t_start, t_stop : float
        The simulated interval in ms.
    n_spikes : int or None
        How often the neurons fired, recorded or not; None where it is not known.
    spikes_of : dict
        How often populations fired of which not all neurons were recorded, where that was counted: numbers by name.
    n_synaptic_events, n_drive_events : int or None
        A synaptic event is one spike that reaches one target, a drive event one of :func:`sparseprop.poisson` that
        kicks one neuron; None where it is not known.
    n_close_calls : int or None
        Kicks within rounding (2^-46 of an epoch, some 1e-13 tau_m) of a spike of their target, before or after: which
        came first was decided by rounding, and may decide all that follows. See docs/semantics.md.
    stop_reason : StopReason or None
        Why the run ended; None for a part that does not reach to its end.
    wall_time : float or None
        Seconds.
    run_id : str
        32 hexadecimal digits that no other run has; of several pieces together, a digest of theirs.
    follows : str or None
        The `run_id` of the piece of the same Simulation that ended where this one begins.
    pieces : tuple of Result
        The runs that this consists of: more than one where pieces of a Simulation were recorded to one file, or joined
        by :func:`sparseprop.concatenate`.
    header : dict
        The network's description, seed, engine and versions; of several pieces, those of the last one.
    V, V_times, V_ids : ndarray or None
        Recorded membrane potentials, shape (n_times, n_recorded); when, in ms; and of whom, in the numbering of `ids`.
    I_syn, I_syn_times, I_syn_ids : ndarray or None
        Recorded synaptic currents, shape (n_times, n_recorded, ports), NaN for a port that the neuron does not have.
    counts : dict or None
        Recorded numbers of spikes in bins, ``{population: array of shape (n_bins,)}``; the bins are `bin_width` ms wide
        and begin at `t_start`, the last one may reach over the end. A spike less than a billionth of the width before
        a bin counts as in it.
    path : str or None
        The raster that the spikes are in, if they were streamed; `times` and `ids` then read it when first asked for.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(10, sp.LIF(tau_m=10.0, I_e=1.5), name="E", V=0.0)
    >>> res = net.run(50.0)
    >>> res.n_spikes, res.times[:2].round(3).tolist(), res.ids[:2].tolist(), res["E"].rate
    (40, [10.986, 10.986], [0, 1], 80.0)
    """

    populations: tuple[PopulationInfo, ...]
    t_start: float
    t_stop: float
    stop_reason: StopReason | None
    wall_time: float | Any  # None where nobody knows, as the three below
    n_synaptic_events: int | Any
    n_drive_events: int | Any
    n_close_calls: int | Any
    header: Description
    path: str | None
    run_id: str
    follows: str | None
    recorded: dict[str, Any]
    spikes_of: dict[str, int]
    V: Recorded
    V_times: Recorded
    V_ids: Recorded
    I_syn: Recorded
    I_syn_times: Recorded
    I_syn_ids: Recorded
    counts: dict[str, Ints] | Any  # None where they were not to be recorded
    bin_width: float | None

    __iter__ = None  # without it, Python would try res[0], res[1], ...

    def __init__(
        self,
        spikes: tuple[Floats, Ints] | Callable[[], tuple[Floats, Ints]],
        populations: Iterable[PopulationInfo],
        *,
        t_start: float,
        t_stop: float,
        stop_reason: StopReason | None = None,
        n_spikes: int | None = None,
        n_synaptic_events: int | None = None,
        n_drive_events: int | None = None,
        n_close_calls: int | None = None,
        wall_time: float | None = None,
        header: Description | None = None,
        path: str | None = None,
        run_id: str | None = None,
        follows: str | None = None,
        recorded: Mapping[str, Any] | None = None,
        spikes_of: Mapping[str, int] | None = None,
    ) -> None:
        self._spikes = spikes
        self.populations = tuple(populations)
        self.t_start, self.t_stop = t_start, t_stop
        self.stop_reason, self.wall_time = stop_reason, wall_time
        self.n_synaptic_events, self.n_drive_events = n_synaptic_events, n_drive_events
        self.n_close_calls = n_close_calls
        self._n_spikes = n_spikes
        self.header = header or {}
        self.path = path
        self.run_id = run_id or new_run_id()
        self.follows = follows
        self.recorded = {info.name: True for info in self.populations} if recorded is None else dict(recorded)
        self.spikes_of = dict(spikes_of or {})
        self._pieces = None
        self.V = self.V_times = self.V_ids = self.counts = self.bin_width = None
        self.I_syn = self.I_syn_times = self.I_syn_ids = None
        self._tape = None

    def __getstate__(self):
        # Copies and pickles are without a tape, which is memory of the compiled engine.
        return vars(self) | {"_tape": None}

    def _arrays(self):
        if callable(self._spikes):
            self._spikes = self._spikes()
        return self._spikes

    @property
    def times(self) -> Floats:
        return self._arrays()[0]

    @property
    def ids(self) -> Ints:
        return self._arrays()[1]

    @property
    def pieces(self) -> tuple[Result, ...]:
        return (self,) if self._pieces is None else self._pieces

    @property
    def n_spikes(self) -> int | Any:
        if self._n_spikes is None:
            numbers = [self._n_of(info) for info in self._counted()]
            return None if None in numbers else sum(numbers)
        return self._n_spikes

    def _counted(self):
        """The populations whose spikes and neurons are counted: not the sources, unless there is nothing else."""
        return [info for info in self.populations if not info.is_source] or self.populations

    def _n_of(self, info):
        """How often a population fired; None if that is not known."""
        if info.name in self.spikes_of:
            return self.spikes_of[info.name]
        if is_array(self.recorded[info.name]):
            return None
        return int(np.count_nonzero((self.ids >= info.first) & (self.ids < info.first + info.n)))

    @property
    def _cites(self):
        models = [MODELS[info.model]._cites for info in self.populations if info.model in MODELS]
        return [key for keys in models for key in keys] + (["gradients"] if self._tape is not None else [])

    @property
    def engine(self) -> str | None:
        """The name of the engine that ran; None where nobody knows, as in a file of another program."""
        return self.header.get("engine")

    @property
    def n_neurons(self) -> int:
        """Number of neurons, without sources (unless there is nothing else)."""
        return sum(info.n for info in self._counted())

    @property
    def duration(self) -> float:
        """Simulated time in ms."""
        return self.t_stop - self.t_start

    @property
    def rate(self) -> float:
        """Mean rate per neuron in Hz, of all neurons, whether recorded or not.

        NaN for a run of no time, and where nobody knows how often all fired: of sources without ``record_sources``; of
        a part of the time (:meth:`between`) of a run that recorded some neurons only; and of a file of another program,
        unless :func:`load` is told the sizes of its populations. See `rates` for those neurons that are known.
        """
        time = self.n_neurons * self.duration
        unknown = any(self.recorded[info.name] is None for info in self._counted())
        n_spikes = None if unknown or not time > 0.0 else self.n_spikes
        return float("nan") if n_spikes is None else 1e3 * n_spikes / time

    @property
    def rates(self) -> Floats:
        """Rate of each neuron in Hz, shape (n,), in the numbering of `ids`; NaN for those that were not recorded."""
        counts = np.bincount(self.ids, minlength=self._n_ids).astype(float)
        seconds = 1e-3 * self.duration
        rates = counts / seconds if seconds > 0.0 else np.full(counts.shape, np.nan)
        rates[~self._mask_of_recorded()] = np.nan
        return rates

    def _mask_of_recorded(self):
        """Of which ids the spikes are known, as a bool array; where nobody knows, of those that fired."""
        mask = np.zeros(self._n_ids, bool)
        for info in self.populations:
            mine, recorded = mask[info.first : info.first + info.n], self.recorded[info.name]
            if recorded is None:
                ids = self.ids[(self.ids >= info.first) & (self.ids < info.first + info.n)]
                mine[ids - info.first] = True
            else:
                mine[slice(None) if recorded is True else recorded] = True
        return mask

    @property
    def cv_isi(self) -> float:
        """Irregularity: standard deviation over mean of a neuron's interspike intervals, averaged over neurons.

        Over the recorded neurons with at least two intervals; NaN if there is none. 0 for a clock, 1 for a Poisson
        process. Short trains bias it towards 0, as they hold no long intervals: the balanced theta network gives 0.69
        for trains of 26 spikes, 0.73 for 50 and 0.77 for 260. :func:`sparseprop.analysis.cv` is that of each neuron.
        """
        ids, times = self.ids, self.times
        for info in self.populations:
            if info.is_source and len(self.populations) > 1:
                others = (ids < info.first) | (ids >= info.first + info.n)
                ids, times = ids[others], times[others]
        order = _order_by_id(ids, self._n_ids)
        intervals, owner = intervals_of(times[order], ids[order])
        _, owner = np.unique(owner, return_inverse=True)  # there may be many more neurons than such as fire
        cv = cv_of_intervals(intervals, owner, owner.max(initial=-1) + 1)
        cv = cv[~np.isnan(cv)]
        return float(np.mean(cv)) if cv.size else float("nan")

    @property
    def _n_ids(self):
        return sum(info.n for info in self.populations)

    def spike_trains(self) -> dict[int, Floats]:
        """The spike times of each neuron.

        Returns
        -------
        dict of {int: ndarray}
            By id, ascending, in ms; empty for a neuron that was silent. Neurons that were not recorded are not in it
            (nor are silent ones of files of other programs, where nobody knows whether they were).
        """
        order = _order_by_id(self.ids, self._n_ids)
        recorded = np.flatnonzero(self._mask_of_recorded())
        ends = np.searchsorted(self.ids[order], recorded, side="right")
        begins = np.searchsorted(self.ids[order], recorded, side="left")
        times = self.times[order]
        return {int(i): times[begin:end] for i, begin, end in zip(recorded, begins, ends, strict=True)}

    def population(self, name: str | Population) -> Result:
        """The spikes of one population, as a Result with local ids; ``res["E"]`` is short for it.

        What was recorded of it (V, I_syn, counts) comes along.

        Parameters
        ----------
        name : str or Population

        Raises
        ------
        ParameterError
            If there is no population of that name.
        """
        name = getattr(name, "name", name)
        for info in self.populations:
            if info.name == name:
                break
        else:
            raise unknown_name("population", name, [info.name for info in self.populations])
        mine = (self.ids >= info.first) & (self.ids < info.first + info.n)
        part = Result(
            (self.times[mine], self.ids[mine] - info.first),
            [PopulationInfo(info.name, info.n, info.model, 0, info.is_source)],
            t_start=self.t_start,
            t_stop=self.t_stop,
            stop_reason=self.stop_reason,
            wall_time=self.wall_time,
            header=self.header,
            run_id=self.run_id,
            follows=self.follows,
            recorded={info.name: self.recorded[info.name]},
            spikes_of={name: n for name, n in self.spikes_of.items() if name == info.name},
        )
        for what in SAMPLED:
            values, times, ids = self._sampled(what)
            if values is not None:
                local = (ids >= info.first) & (ids < info.first + info.n)
                part._set_sampled(what, values[:, local], times, ids[local] - info.first)
        if self.counts is not None and info.name in self.counts:
            part.counts, part.bin_width = {info.name: self.counts[info.name]}, self.bin_width
        return part

    __getitem__ = population

    def __contains__(self, name: object) -> bool:
        return getattr(name, "name", name) in [info.name for info in self.populations]

    def _sampled(self, what):
        """Values, times and ids of what was sampled."""
        return getattr(self, what), getattr(self, f"{what}_times"), getattr(self, f"{what}_ids")

    def _set_sampled(self, what, values, times, ids):
        setattr(self, what, values)
        setattr(self, f"{what}_times", times)
        setattr(self, f"{what}_ids", ids)

    def between(self, t0: float, t1: float | None = None) -> Result:
        """What happened in a part of the time, for example after a warm-up.

        Parameters
        ----------
        t0, t1 : float
            ms, within the run; default of `t1`: its end. As for runs, spikes at `t0` belong to it and those at `t1` do
            not, unless that is the end of the run (or of one of its pieces, whose spikes these are).

        Returns
        -------
        Result
            With the same `recorded`, and V and I_syn of the same interval. `counts` are those of the bins within; None
            if `t0` or `t1` is not at an edge of a bin. `n_spikes` and `rate` are known where all neurons were recorded.
            Without a tape, and without what is known of whole runs only: `wall_time` and the numbers of events.

        Raises
        ------
        ParameterError
            For times outside of the run, or in another order.

        Examples
        --------
        >>> import sparseprop as sp
        >>> net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=50, seed=1)
        >>> res = net.run(300.0).between(100.0)
        >>> res.t_start, res.t_stop, bool(res.times[0] >= 100.0)
        (100.0, 300.0, True)
        """
        t0 = self._within(t0, "t0")
        t1 = self.t_stop if t1 is None else self._within(t1, "t1")
        if not t0 <= t1:
            raise ParameterError(f"between: t0 must be at most t1, got {t0:g} and {t1:g} ms")
        if self._pieces is None:
            return self._cut(t0, t1)
        inside = [p for p in self._pieces if p.t_start < t1 and p.t_stop > t0]
        inside = inside or [p for p in self._pieces if p.t_start <= t0][-1:]  # of no time
        cut = [p._cut(*(min(max(t, p.t_start), p.t_stop) for t in (t0, t1))) for p in inside]
        return cut[0] if len(cut) == 1 else joined_pieces(cut)

    def _within(self, time, name):
        time = real(time, f"between: {name}", "a finite time in ms", unit="ms")
        for end in (self.t_start, self.t_stop):
            if math.isclose(time, end, rel_tol=1e-12):
                return end
        if not self.t_start <= time <= self.t_stop:
            raise ParameterError(
                f"between: {name} must be within the run, from {self.t_start:g} to {self.t_stop:g} ms, got {time:g}"
            )
        return time

    def _cut(self, t0, t1):
        """:meth:`between` for a single piece."""
        if (t0, t1) == (self.t_start, self.t_stop):
            part = copy.copy(self)
            part._tape = None
            return part
        to_the_end = t1 == self.t_stop
        first = np.searchsorted(self.times, t0, side="left")
        last = np.searchsorted(self.times, t1, side="right" if to_the_end else "left")
        part = Result(
            (self.times[first:last], self.ids[first:last]),
            self.populations,
            t_start=t0,
            t_stop=t1,
            stop_reason=self.stop_reason if to_the_end else None,
            header=self.header,
            run_id=self.run_id,
            follows=self.follows if t0 == self.t_start else None,
            recorded=self.recorded,
        )
        for what in SAMPLED:
            values, times, ids = self._sampled(what)
            if values is not None:
                inside = (times >= t0) & ((times < t1) | to_the_end)
                part._set_sampled(what, values[inside], times[inside], ids)
        if self.counts is not None and all(
            t == self.t_stop or is_edge(t, self.t_start, self.bin_width) for t in (t0, t1)
        ):
            begin = int(bin_of(t0, self.t_start, self.bin_width))
            end = None if to_the_end else int(bin_of(t1, self.t_start, self.bin_width))
            part.bin_width = self.bin_width
            part.counts = {name: counts[begin:end].copy() for name, counts in self.counts.items()}
        return part

    def _keep_tape(self, tape, network, recorder):
        """What :meth:`backward` needs."""
        self._tape, self._network = tape, network
        self._n_recorded, self._mask = recorder.n_recorded, recorder.mask
        self._record_sources = recorder.record.record_sources

    def backward(
        self,
        dL_dtimes: ArrayLike,
        dL_dV: ArrayLike | None = None,
        *,
        weights: bool = True,
        tau_m: bool = True,
        n_threads: int | None = None,
    ) -> Gradients:
        """The gradient of a loss on the spikes and voltages of a run with ``tape=True``, exactly.

        Parameters
        ----------
        dL_dtimes : array_like, shape (n,)
            The derivative of the loss with respect to each of `times`.
        dL_dV : array_like, shape of `V`, optional
            The same for the recorded voltages.
        weights : bool
            False leaves out the derivatives of single weights, which take 8 bytes per synapse, and keeps their sums.
        tau_m : bool
            False leaves out those of tau_m (and tau_syn), which cost some more time for each synaptic event of LIF and
            LIFExp neurons.
        n_threads : int, optional
            Threads of networks in which all synapses between neurons have a delay, whichever engine ran; the results
            are the same bits for any number. Default: one for each core that the process may use. Only one is used
            where no projection has a delay for each synapse, which is faster. Other networks take one, and more are
            refused.

        Returns
        -------
        Gradients

        Raises
        ------
        ParameterError
            Without a tape, if it was used before, for arrays of another shape, or for `n_threads` above 1 where there
            is one thread.

        Notes
        -----
        O(K) for each spike. What an exact gradient cannot tell is in ``Gradients.warnings`` and docs/gradients.md.

        Examples
        --------
        >>> import sparseprop as sp
        >>> net = sp.Network(seed=1)
        >>> neurons = net.add(2, sp.LIF(tau_m=10.0, I_e=[1.5, 1.2]), V=[0.5, 0.0])
        >>> p = net.connect(neurons, neurons, sp.edges([0], [1]), weight=0.1)
        >>> res = net.run(n_spikes=3, tape=True)
        >>> grads = res.backward([0.0, 0.0, 1.0])  # of the time of the third spike
        >>> grads.weight[p].shape, grads.warnings
        ((1,), [])
        """
        return backward(self, dL_dtimes, dL_dV, weights=weights, tau_m=tau_m, n_threads=n_threads)

    def save(self, path: PathLike, *, overwrite: bool = True) -> None:
        """Write an HDF5 raster in the SONATA layout; :func:`sparseprop.load` reads it back.

        Parameters
        ----------
        path : path-like
        overwrite : bool
            An existing file is replaced, once the new one is complete, so that a script can be run again; False refuses
            that. (A run that records to a file is more careful by default, as it has no spikes yet to put in the place
            of others.)

        Raises
        ------
        StorageError
            If it cannot be written, or is there with ``overwrite=False``; an existing file is then left as it was.
        ParameterError
            For times below 0, as in files of other programs: readers of SONATA refuse them.
        """
        refuse_existing(path, overwrite)
        write_raster(
            path,
            self.times,
            self.ids,
            [(info.name, info.n) for info in self.populations],
            header=self.file_header(),
            footer=self.file_footer(),
            n_recorded=self.numbers_recorded(),
        )

    def numbers_recorded(self) -> list[int | None]:
        """Of how many neurons of each population spikes were recorded; None where nobody knows."""
        return [number_recorded(info, self.recorded[info.name]) for info in self.populations]

    def file_header(self, earlier: Sequence[Result] = ()) -> Description:
        """What a raster file says about a run before its spikes.

        Parameters
        ----------
        earlier : sequence of Result
            The pieces whose spikes come before those of this Result in the file.

        Raises
        ------
        ParameterError
            If the network cannot be described in a file, as with a Python function for a drift.
        """
        if isinstance(self.header.get("network"), ParameterError):
            raise self.header["network"]
        pieces = [*earlier, *self.pieces]
        before, last = pieces[:-1], pieces[-1]
        header = (
            last.header
            | last._identity()
            | {
                "populations": [
                    {"name": info.name, "n": info.n, "model": info.model, "is_source": info.is_source}
                    for info in last.populations
                ],
                "recorded": last.recorded,
            }
        )
        if before:
            header["earlier"] = [
                {
                    "header": {name: p.header[name] for name in ("engine", "versions", "run") if name in p.header}
                    | p._identity(),
                    "n_recorded": p.n_in_file,
                    "footer": p.file_footer(),
                }
                for p in before
            ]
        return header

    def _identity(self):
        return {"run_id": self.run_id, "follows": self.follows, "t_start": float(self.t_start)}

    @property
    def n_in_file(self) -> int:
        """How many spikes were recorded; does not read the file that they are in."""
        if self._pieces is not None:
            return sum(piece.n_in_file for piece in self._pieces)
        return self._spikes.n_spikes if isinstance(self._spikes, SpikesInFile) else len(self.times)

    def _currents(self):
        return {"times": self.I_syn_times, "ids": self.I_syn_ids, "values": self.I_syn}

    def file_footer(self) -> Description:
        """What a raster file says about the run (of several pieces: the last one) after its spikes."""
        last = self.pieces[-1]
        return {
            "t_stop": float(last.t_stop),
            "n_spikes": last.n_spikes,
            "spikes_of": last.spikes_of,
            "stop_reason": None if last.stop_reason is None else str(last.stop_reason),
            **{name: getattr(last, name) for name in COUNTED},
            "wall_time": last.wall_time,
            "V": None if last.V is None else {"times": last.V_times, "ids": last.V_ids, "values": last.V},
            **({} if last.I_syn is None else {"I_syn": last._currents()}),
            "counts": None if last.counts is None else {"width": last.bin_width, "by_population": last.counts},
        }

    def plot_raster(self, ax: Axes | None = None, **options: Any) -> PlotAxes:
        """Raster over a histogram of the rate; see :func:`sparseprop.plotting.plot_raster`. Returns the Axes."""
        return plot_raster(self, ax, **options)

    def to_neo(self, unit: str = "dimensionless") -> Any:
        """For neo, and with it for elephant: a Block with one Segment.

        Parameters
        ----------
        unit : str
            Of V and I_syn, as the library quantities names it, such as ``"mV"``: what unit your voltages have, nobody
            but you knows.

        Returns
        -------
        neo.Block
            A SpikeTrain for each neuron that was recorded, silent ones too, in ms and with the same bits as `times`;
            its annotations `population`, `neuron` (the local id) and `channel_id` (that of `ids`) say whose it is.
            V and I_syn are IrregularlySampledSignals, the latter for each port, and counts AnalogSignals.

        Raises
        ------
        ParameterError
            For an unknown unit.
        ImportError
            Without neo: ``pip install "sparseprop-sim[neo]"``.
        """
        return exports.to_neo(self, unit)

    def to_pandas(self, what: str = "spikes") -> Any:
        """A DataFrame of pandas.

        Parameters
        ----------
        what : {"spikes", "V", "I_syn", "counts"}

        Returns
        -------
        pandas.DataFrame
            Of spikes a row for each, in their order: `time` (ms), `id`, `population` (categorical), `neuron` (the local
            id). Of V and I_syn the index is the time in ms, with a column for each neuron (and port). Of counts it is
            the beginning of the bin, with a column for each population. All numbers have the same bits as here;
            `attrs` has `t_start` and `t_stop`.

        Raises
        ------
        ParameterError
            If that was not recorded.
        ImportError
            Without pandas: ``pip install "sparseprop-sim[pandas]"``.
        """
        return exports.to_pandas(self, what)

    def to_pynapple(self, what: str = "spikes") -> Any:
        """For pynapple, which counts in seconds: each time is ``time / 1000``, rounded once.

        Parameters
        ----------
        what : {"spikes", "V", "I_syn"}

        Returns
        -------
        pynapple.TsGroup, TsdFrame or TsdTensor
            Of spikes a Ts for each neuron that was recorded, by id, with the columns `population` and `neuron` (the
            local id); of V a TsdFrame with a column for each id; of I_syn a TsdTensor. The time support is the run.

        Raises
        ------
        ParameterError
            If that was not recorded, for counts, and for a run of no time, all of which pynapple has nothing for.
        ImportError
            Without pynapple: ``pip install "sparseprop-sim[pynapple]"``.
        """
        return exports.to_pynapple(self, what)

    def to_xarray(self) -> Any:
        """All that was recorded, as one Dataset of xarray.

        Returns
        -------
        xarray.Dataset
            Spikes along `spike` (`time` in ms, `id`, `neuron`, and `of_population`, the place in the coordinate
            `population`), V along `V_time` and `V_id`, I_syn along `I_syn_time`, `I_syn_id` and `port`, counts along
            `bin` (whose coordinate is where each begins) and `counted`. The same bits as here.

        Raises
        ------
        ImportError
            Without xarray: ``pip install "sparseprop-sim[xarray]"``.
        """
        return exports.to_xarray(self)

    def _shown_cv(self):
        """The CV for a summary: a number, or where it would take long, None. Looking at spikes does not change it."""
        in_file = any(p.path is not None or isinstance(p._spikes, SpikesInFile) for p in self.pieces)
        if self.n_in_file > (SHOWN_CV_IN_FILE if in_file else SHOWN_CV_IN_MEMORY):
            return None
        try:
            return self.cv_isi
        except (StorageError, FileFormatError):  # the file is not there any more
            return None

    def speed(self) -> str:
        """How long a spike and a synaptic event took, in words; events of Poisson drives are synaptic events here."""
        if self.wall_time is None:
            return ""
        words, of_spikes, of_drives = [], self.n_synaptic_events or 0, self.n_drive_events or 0
        if self.n_spikes:
            words.append(f"{1e6 * self.wall_time / self.n_spikes:.3g} microseconds per spike")
        if of_spikes + of_drives:
            counted = f"{of_spikes:,} of spikes and {of_drives:,} of Poisson drives"
            if not of_drives:
                counted = f"{of_spikes:,} of them"
            time = 1e9 * self.wall_time / (of_spikes + of_drives)
            words.append(f"{time:.3g} ns per synaptic event ({counted})")
        return ", ".join(words)

    def __str__(self) -> str:
        names = ", ".join(f"{info.name}: {info.n:,}{self._kept(info)}" for info in self.populations)
        cv = self._shown_cv()
        cv = "" if cv is None else f", CV of the interspike intervals {cv:.3g}"
        lines = [
            f"{_number(self.n_spikes)} spikes of {self.n_neurons:,} neurons ({names}) from {self.t_start:g} to "
            f"{self.t_stop:g} ms",
            f"  rate {self.rate:.4g} Hz{cv}",
        ]
        if len(self.pieces) > 1:
            lines.append(f"  in {len(self.pieces)} pieces, of one run each")
        if self.stop_reason is not None:
            lines.append(f"  the run ended because {REASONS[self.stop_reason]}")
        if self.wall_time and self.n_synaptic_events is not None:
            lines.append(", ".join([f"  {self.wall_time:.3g} s of computing", *filter(None, [self.speed()])]))
        if self.n_close_calls:
            lines.append(
                f"  {self.n_close_calls:,} close calls: kicks within rounding of a spike of their target, of which "
                "rounding decided what came first (docs/semantics.md)"
            )
        if self.path is not None:
            lines.append(f"  spikes are in {self.path}")
        return "\n".join(lines)

    def _kept(self, info):
        """In words, how much of a population was recorded, unless it was all, or none of a source."""
        recorded = self.recorded[info.name]
        if not is_array(recorded) or (info.is_source and not len(recorded)):
            return ""
        return f", {len(recorded):,} recorded"

    def __repr__(self) -> str:
        ending = ", interrupted" if self.stop_reason == "interrupted" else ""
        return (
            f"<Result: {_number(self.n_spikes)} spikes of {self.n_neurons} neurons, {self.t_start:g} to "
            f"{self.t_stop:g} ms{ending}>"
        )

    def _repr_html_(self):
        """For notebooks: a small raster, and a table with a row for each population."""
        title, *lines = str(self).splitlines()
        columns = ("population", "model", "neurons", "recorded", "spikes", "rate (Hz)", "CV")
        read = self._shown_cv() is not None
        rows = [self._row(info, n, read) for info, n in zip(self.populations, self.numbers_recorded(), strict=True)]
        raster = ""
        if read and len(self.times):
            from_top = f": {', '.join(info.name for info in self.populations)} from the top"
            said = f"spikes from {self.t_start:g} to {self.t_stop:g} ms{from_top if len(rows) > 1 else ''}"
            raster = _html.picture(small_raster(self), f"Raster of {said}")
        return _html.page(title, *map(str.strip, lines), raster, _html.table(rows, columns))

    def _row(self, info, n_recorded, read):
        """The cells of :meth:`_repr_html_` for one population; spikes are looked at only if `read`."""
        part = self.population(info.name) if read else None
        found = (None, None, None) if part is None else (_or_unknown(part.n_spikes), part.rate, part.cv_isi)
        return (info.name, info.model, info.n, _or_unknown(n_recorded), *found)


def new_run_id() -> str:
    """32 hexadecimal digits that no other run has."""
    return secrets.token_hex(16)


def _order_by_id(ids, n):
    """The order that makes ids in [0, n) ascend, and keeps that of equal ones."""
    if n > ids.size:  # counting them would take more memory than the spikes
        return np.argsort(ids, kind="stable")
    return sort_by_source(ids.astype(np.int32), n)[1]


def _or_unknown(n):
    return "?" if n is None else n


def _number(n):
    return "an unknown number of" if n is None else f"{n:,}"
