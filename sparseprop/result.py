"""What comes out of a run."""

import copy
import itertools
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import _html
from ._validation import integer, is_array, real
from .bins import bin_of, is_edge
from .errors import FileFormatError, ParameterError, StorageError, named_arguments, unknown_name
from .storage import sha256

__all__ = ["PopulationInfo", "Result", "concatenate", "describe", "load", "new_run_id"]

# A summary computes the CV of no more spikes than these: it sorts them, and reads them where they are in a file.
SHOWN_CV_IN_MEMORY, SHOWN_CV_IN_FILE = 10_000_000, 1_000_000
SAMPLED = ("V", "I_syn")
COUNTED = ("n_synaptic_events", "n_drive_events", "n_close_calls")  # of a run, besides spikes

_ENDS = {
    "time": "the time was reached",
    "spikes": "the number of spikes was reached",
    "quiescent": "the network is silent: no neuron will ever fire again without input",
    "interrupted": "it was INTERRUPTED by Ctrl-C before its end: later spikes are missing",
    "callback": "the callback asked for it",
}


@dataclass(frozen=True)
class PopulationInfo:
    """Name, size and model name of a population, the global id of its first neuron, and whether it is of sources."""

    name: str
    n: int
    model: str = ""
    first: int = 0
    is_source: bool = False


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
    """

    __iter__ = None  # without it, Python would try res[0], res[1], ...

    def __init__(
        self,
        spikes,
        populations,
        *,
        t_start,
        t_stop,
        stop_reason=None,
        n_spikes=None,
        n_synaptic_events=None,
        n_drive_events=None,
        n_close_calls=None,
        wall_time=None,
        header=None,
        path=None,
        run_id=None,
        follows=None,
        recorded=None,
        spikes_of=None,
    ):
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
    def times(self):
        return self._arrays()[0]

    @property
    def ids(self):
        return self._arrays()[1]

    @property
    def pieces(self):
        return (self,) if self._pieces is None else self._pieces

    @property
    def n_spikes(self):
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
    def n_neurons(self):
        """Number of neurons, without sources (unless there is nothing else)."""
        return sum(info.n for info in self._counted())

    @property
    def duration(self):
        """Simulated time in ms."""
        return self.t_stop - self.t_start

    @property
    def rate(self):
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
    def rates(self):
        """Rate of each neuron in Hz, shape (n,), in the numbering of `ids`; NaN for those that were not recorded."""
        counts = np.bincount(self.ids, minlength=sum(info.n for info in self.populations)).astype(float)
        seconds = 1e-3 * self.duration
        rates = counts / seconds if seconds > 0.0 else np.full(counts.shape, np.nan)
        rates[~self._mask_of_recorded()] = np.nan
        return rates

    def _mask_of_recorded(self):
        """Of which ids the spikes are known, as a bool array; where nobody knows, of those that fired."""
        mask = np.zeros(sum(info.n for info in self.populations), bool)
        for info in self.populations:
            mine, recorded = mask[info.first : info.first + info.n], self.recorded[info.name]
            if recorded is None:
                ids = self.ids[(self.ids >= info.first) & (self.ids < info.first + info.n)]
                mine[ids - info.first] = True
            else:
                mine[slice(None) if recorded is True else recorded] = True
        return mask

    @property
    def cv_isi(self):
        """Irregularity: standard deviation over mean of a neuron's interspike intervals, averaged over neurons.

        Over the recorded neurons with at least two intervals; NaN if there is none. 0 for a clock, 1 for a Poisson
        process. Short trains bias it towards 0, as they hold no long intervals: the balanced theta network gives 0.69
        for trains of 26 spikes, 0.73 for 50 and 0.77 for 260.
        """
        ids, times = self.ids, self.times
        for info in self.populations:
            if info.is_source and len(self.populations) > 1:
                others = (ids < info.first) | (ids >= info.first + info.n)
                ids, times = ids[others], times[others]
        order = np.argsort(ids, kind="stable")
        ids, times = ids[order], times[order]
        intervals = np.diff(times)[ids[1:] == ids[:-1]]
        owner = ids[1:][ids[1:] == ids[:-1]]
        if owner.size == 0:
            return float("nan")
        _, owner, count = np.unique(owner, return_inverse=True, return_counts=True)
        mean = np.bincount(owner, intervals) / count
        spread = np.sqrt(np.bincount(owner, (intervals - mean[owner]) ** 2) / count)
        enough = (count >= 2) & (mean > 0.0)
        return float(np.mean(spread[enough] / mean[enough])) if enough.any() else float("nan")

    def spike_trains(self):
        """The spike times of each neuron.

        Returns
        -------
        dict of {int: ndarray}
            By id, ascending, in ms; empty for a neuron that was silent. Neurons that were not recorded are not in it
            (nor are silent ones of files of other programs, where nobody knows whether they were).
        """
        order = np.argsort(self.ids, kind="stable")
        recorded = np.flatnonzero(self._mask_of_recorded())
        ends = np.searchsorted(self.ids[order], recorded, side="right")
        begins = np.searchsorted(self.ids[order], recorded, side="left")
        times = self.times[order]
        return {int(i): times[begin:end] for i, begin, end in zip(recorded, begins, ends, strict=True)}

    def population(self, name):
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

    def __contains__(self, name):
        return getattr(name, "name", name) in [info.name for info in self.populations]

    def _sampled(self, what):
        """Values, times and ids of what was sampled."""
        return getattr(self, what), getattr(self, f"{what}_times"), getattr(self, f"{what}_ids")

    def _set_sampled(self, what, values, times, ids):
        setattr(self, what, values)
        setattr(self, f"{what}_times", times)
        setattr(self, f"{what}_ids", ids)

    def between(self, t0, t1=None):
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
        return cut[0] if len(cut) == 1 else _joined(cut)

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

    def backward(self, dL_dtimes, dL_dV=None, *, weights=True, tau_m=True):
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

        Returns
        -------
        Gradients

        Raises
        ------
        ParameterError
            Without a tape, if it was used before, or for arrays of another shape.

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
        from .gradients import backward

        return backward(self, dL_dtimes, dL_dV, weights=weights, tau_m=tau_m)

    def save(self, path, *, overwrite=True):
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
        from .raster import refuse_existing, write_raster

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

    def numbers_recorded(self):
        """Of how many neurons of each population spikes were recorded; None where nobody knows."""
        return [
            info.n if recorded is True else None if recorded is None else len(recorded)
            for info, recorded in ((info, self.recorded[info.name]) for info in self.populations)
        ]

    def file_header(self, earlier=()):
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
    def n_in_file(self):
        """How many spikes were recorded; does not read the file that they are in."""
        if self._pieces is not None:
            return sum(piece.n_in_file for piece in self._pieces)
        return self._spikes.n_spikes if isinstance(self._spikes, SpikesInFile) else len(self.times)

    def _currents(self):
        return {"times": self.I_syn_times, "ids": self.I_syn_ids, "values": self.I_syn}

    def file_footer(self):
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

    def plot_raster(self, ax=None, **options):
        """Raster over a histogram of the rate; see :func:`sparseprop.plotting.plot_raster`. Returns the Axes."""
        from .plotting import plot_raster

        return plot_raster(self, ax, **options)

    def _shown_cv(self):
        """The CV for a summary: a number, or where it would take long, None. Looking at spikes does not change it."""
        in_file = any(p.path is not None or isinstance(p._spikes, SpikesInFile) for p in self.pieces)
        if self.n_in_file > (SHOWN_CV_IN_FILE if in_file else SHOWN_CV_IN_MEMORY):
            return None
        try:
            return self.cv_isi
        except (StorageError, FileFormatError):  # the file is not there any more
            return None

    def speed(self):
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

    def __str__(self):
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
            lines.append(f"  the run ended because {_ENDS[self.stop_reason]}")
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

    def __repr__(self):
        ending = ", interrupted" if self.stop_reason == "interrupted" else ""
        return (
            f"<Result: {_number(self.n_spikes)} spikes of {self.n_neurons} neurons, {self.t_start:g} to "
            f"{self.t_stop:g} ms{ending}>"
        )

    def _repr_html_(self):
        """A table for notebooks: a row for each population."""
        title, *lines = str(self).splitlines()
        columns = ("population", "model", "neurons", "recorded", "spikes", "rate (Hz)", "CV")
        read = self._shown_cv() is not None
        rows = [self._row(info, n, read) for info, n in zip(self.populations, self.numbers_recorded(), strict=True)]
        return _html.page(title, *map(str.strip, lines), _html.table(rows, columns))

    def _row(self, info, n_recorded, read):
        """The cells of :meth:`_repr_html_` for one population; spikes are looked at only if `read`."""
        part = self.population(info.name) if read else None
        found = (None, None, None) if part is None else (_or_unknown(part.n_spikes), part.rate, part.cv_isi)
        return (info.name, info.model, info.n, _or_unknown(n_recorded), *found)


def new_run_id():
    """32 hexadecimal digits that no other run has."""
    return secrets.token_hex(16)


def _or_unknown(n):
    return "?" if n is None else n


def _number(n):
    return "an unknown number of" if n is None else f"{n:,}"


class SpikesInFile:
    """The spikes of a streamed run, read from its file when they are first asked for.

    Parameters
    ----------
    path : str
    run_id : str
    t_start : float
        With `run_id`, what tells the run from all others in files of that name.
    n_spikes : int
        How many of them: the first ones, where the run was resumed later.
    """

    def __init__(self, path, run_id, t_start, n_spikes):
        self.path, self.run_id, self.t_start, self.n_spikes = path, run_id, t_start, n_spikes

    def __call__(self):
        from .raster import read_raster

        data = read_raster(self.path)
        for header, _, first, last in _entries(data.header, data.footer, len(data.times)):
            same = header.get("run_id") == self.run_id and header.get("t_start") == self.t_start
            if same and last - first >= self.n_spikes:
                mine = slice(first, first + self.n_spikes)
                return data.times[mine], data.ids[mine]
        raise StorageError(
            f"{self.path} does not have the {self.n_spikes} spikes that this run ({self.run_id}) recorded there: the "
            "file was replaced since. Record each run in a file of its own, or look at `times` before the next run"
        )


def _entries(header, footer, n_spikes):
    """(header, footer, first spike, end) of each piece that is in a raster."""
    header, first, entries = dict(header), 0, []
    for entry in header.pop("earlier", ()):
        end = first + entry["n_recorded"]
        entries.append((header | entry["header"], entry["footer"], first, end))
        first = end
    return [*entries, (header, footer, first, n_spikes)]


def _recorded_of(header, infos):
    """Of which neurons the header of a raster says that spikes were recorded; earlier versions do so in their way."""
    if "recorded" in header:
        return header["recorded"]
    record = header.get("run", {}).get("record", {})
    spikes, nobody = record.get("spikes", True), np.zeros(0, np.int64)
    recorded = {}
    for info in infos:
        chosen = spikes if isinstance(spikes, bool) else spikes.get(info.name, False)
        if chosen is False or (info.is_source and not record.get("record_sources", True)):
            chosen = nobody
        recorded[info.name] = chosen if chosen is True else np.unique(chosen)
    return recorded


def _from_raster(path, populations, header, footer, n_spikes, data=None):
    """The Result of a raster of ours; without `data` (a RasterData), its spikes are read when they are asked for."""
    from .simulation import StopReason

    described = {entry["name"]: entry for entry in header.get("populations", [])}
    infos, at = [], 0
    for name, n in populations:
        entry = described.get(name, {})
        infos.append(PopulationInfo(name, n, entry.get("model", ""), at, entry.get("is_source", False)))
        at += n
    pieces = []
    for about, end, first, last in _entries(header, footer, n_spikes):
        about = {name: value for name, value in about.items() if name not in ("populations", "recorded")}
        end = end or {}
        reason = end.get("stop_reason")
        if reason is not None and reason not in list(StopReason):
            raise FileFormatError(f"{path} gives {reason!r} as the reason for the end of the run, which there is not")
        t_start, run_id, follows = (about.pop(name, None) for name in ("t_start", "run_id", "follows"))
        t_start = 0.0 if t_start is None else t_start
        spikes = SpikesInFile(path, run_id, t_start, last - first)
        t_stop = end.get("t_stop")
        if data is not None:
            spikes = data.times[first:last], data.ids[first:last]
            # Of a run that did not finish, the last spike is all that is known.
            t_stop = (float(spikes[0][-1]) if last > first else t_start) if t_stop is None else t_stop
        piece = Result(
            spikes,
            infos,
            n_spikes=end.get("n_spikes"),
            t_start=t_start,
            t_stop=t_stop,
            stop_reason=None if reason is None else StopReason(reason),
            wall_time=end.get("wall_time"),
            **{name: end.get(name) for name in COUNTED},
            header=about,
            run_id=run_id,
            follows=follows,
            recorded=_recorded_of(header, infos),
            spikes_of=end.get("spikes_of"),
        )
        for what in SAMPLED:
            if end.get(what):
                piece._set_sampled(what, *(end[what][key] for key in ("values", "times", "ids")))
        if end.get("counts"):
            piece.counts, piece.bin_width = end["counts"]["by_population"], end["counts"]["width"]
        pieces.append(piece)
    if len(pieces) == 1:
        return pieces[0]
    return _joined(pieces, None if data is None else (data.times, data.ids))


def describe(path):
    """What a finished raster of this package says of itself, as a Result; its spikes are read when they are asked for.

    Returns
    -------
    Result or None
        None for a file of another program, and of a run that did not finish: only the spikes tell.

    Raises
    ------
    StorageError, FileFormatError
        As for :func:`load`.
    """
    from .raster import raster_info

    info = raster_info(path)
    if info["footer"] is None or "t_stop" not in info["footer"]:
        return None
    return _from_raster(path, info["populations"], info["header"], info["footer"], info["n_spikes"])


@named_arguments
def load(path, *, sizes=None, t_start=None, t_stop=None):
    """Read a raster that :meth:`Result.save` or ``run(record=path)`` wrote, or any SONATA spike file.

    Parameters
    ----------
    path : str or path-like
    sizes : dict, optional
        Of a file of another program, which says neither how many neurons there were nor which of them were recorded:
        ``{population: number of neurons}``, all of them recorded. Without it that number is guessed, as the largest id
        + 1, `recorded` is None, and `rate` NaN.
    t_start, t_stop : float, optional
        Of a file of another program, the interval of the run in ms. Default: from 0, or the first spike if that is
        before, to the last spike.

    Returns
    -------
    Result

    Raises
    ------
    StorageError
        If the file cannot be opened.
    FileFormatError
        If it is damaged or not a raster.
    ParameterError
        If `sizes`, `t_start` or `t_stop` do not fit the spikes, or are given for a file that knows them.
    """
    from .raster import read_raster

    data = read_raster(path)
    if data.finished and data.footer is None:
        return _foreign(data, sizes, t_start, t_stop)
    for name, value in (("sizes", sizes), ("t_start", t_start), ("t_stop", t_stop)):
        if value is not None:
            raise ParameterError(f"load: {name} is for files of other programs, and {path} has its own; leave it out")
    return _from_raster(path, data.populations, data.header, data.footer, len(data.times), data)


def _foreign(data, sizes, t_start, t_stop):
    """The Result of a file of another program."""
    sizes = {} if sizes is None else sizes
    if not isinstance(sizes, Mapping):
        raise ParameterError(f"load: sizes must be a dict of numbers by population, got {type(sizes).__name__}")
    names = [name for name, _ in data.populations]
    for name in sizes:
        if name not in names:
            raise unknown_name("population in sizes", name, names)
    guessed = np.array([n for _, n in data.populations])
    given = np.array(
        [
            integer(sizes.get(name, n), f"load: sizes of {name!r}", f"at least the largest id + 1, {n}", low=n)
            for name, n in data.populations
        ]
    )
    first_guessed, first = (np.concatenate([[0], np.cumsum(n)]) for n in (guessed, given))
    which = np.searchsorted(first_guessed, data.ids, side="right") - 1
    ids = data.ids + (first - first_guessed)[which]
    earliest, latest = (float(data.times[0]), float(data.times[-1])) if len(data.times) else (0.0, 0.0)
    if t_start is None:
        t_start = min(0.0, earliest)
    if t_stop is None:
        t_stop = max(t_start, latest)
    t_start = real(t_start, "load: t_start", "a time in ms, at most that of the first spike", unit="ms")
    t_stop = real(t_stop, "load: t_stop", f"a time in ms >= t_start, {t_start:g}", unit="ms", low=t_start)
    if len(data.times) and not t_start <= earliest <= latest <= t_stop:
        raise ParameterError(
            f"load: t_start and t_stop must enclose the spikes, from {earliest:g} to {latest:g} ms, got {t_start:g} "
            f"and {t_stop:g}; cut with res.between(t0, t1)"
        )
    return Result(
        (data.times, ids),
        [PopulationInfo(name, int(n), "", int(at)) for name, n, at in zip(names, given, first, strict=False)],
        t_start=t_start,
        t_stop=t_stop,
        recorded={name: True if name in sizes else None for name in names},
    )


# Several pieces -----------------------------------------------------------------------------------------------------


@named_arguments
def concatenate(results):
    """Join consecutive pieces of one Simulation, as if they had been one run.

    Parameters
    ----------
    results : sequence of Result
        In their order: each begins where the one before ends, what was recorded is the same in all, and each is the
        run of the Simulation that came after the one before, which their identities tell, also after :func:`load` and
        ``Simulation.load``. (Adjacent parts of one run, from :meth:`Result.between`, can be joined again.)

    Returns
    -------
    Result
        Its `pieces` are the runs. V and I_syn are joined if they are of the same neurons in all pieces, `counts` if the
        bins are of one width and go on from piece to piece (each piece but the last one has whole bins); otherwise they
        are None, and those of the pieces are in `pieces`.

    Raises
    ------
    ParameterError
        If they are not consecutive pieces of one Simulation, or not of the same populations and neurons.

    Examples
    --------
    >>> import sparseprop as sp
    >>> sim = sp.Simulation(sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=50, seed=1))
    >>> res = sp.concatenate([sim.run(50.0), sim.run(70.0)])
    >>> res.t_start, res.t_stop, len(res.pieces)
    (0.0, 120.0, 2)
    """
    if isinstance(results, Result) or not is_array(results) or not all(isinstance(r, Result) for r in results):
        raise ParameterError(f"results must be a sequence of Results, got {type(results).__name__}")
    if not len(results):
        raise ParameterError("results must have at least one Result, got none")
    for k in range(1, len(results)):
        _check_follows(results[k - 1], results[k], f"results[{k - 1}]", f"results[{k}]")
    if len(results) == 1:
        return results[0]
    pieces = [piece for result in results for piece in result.pieces]
    runs = [_whole(list(parts)) for _, parts in itertools.groupby(pieces, lambda piece: piece.run_id)]
    return runs[0] if len(runs) == 1 else _joined(runs)


def _whole(parts):
    """One piece of adjacent parts of one run."""
    if len(parts) == 1:
        return parts[0]
    joined = _joined(parts)
    joined._spikes, joined._pieces = joined._arrays(), None
    return joined


def _check_follows(a, b, name_a, name_b):
    """Refuse to join what does not belong together."""
    if a.populations != b.populations:
        raise ParameterError(
            f"{name_b} has other populations than {name_a}; only pieces of one Simulation can be joined"
        )
    if not same_recorded(a.recorded, b.recorded):
        raise ParameterError(
            f"{name_b} has the spikes of other neurons than {name_a}; record the same ones in all pieces"
        )
    if a.t_stop != b.t_start:
        raise ParameterError(
            f"{name_b} begins at {b.t_start!r} ms and {name_a} ends at {a.t_stop!r} ms; give consecutive pieces of one "
            "Simulation, in their order"
        )
    last, first = a.pieces[-1], b.pieces[0]
    if last.run_id != first.run_id and last.run_id != first.follows:
        raise ParameterError(
            f"{name_b} is not the run that came after {name_a} on the same Simulation (that is run "
            f"{first.follows or 'none'}, and {name_a} is {last.run_id}); give consecutive pieces of one Simulation"
        )


def same_recorded(a, b):
    """Whether the same neurons were recorded."""
    return a.keys() == b.keys() and all(
        np.array_equal(a[name], b[name]) if is_array(a[name]) and is_array(b[name]) else a[name] is b[name]
        for name in a
    )


class _Together:
    """The spikes of all pieces, joined when they are first asked for."""

    def __init__(self, pieces):
        self.pieces = pieces

    def __call__(self):
        times, ids = (np.concatenate(arrays) for arrays in zip(*(p._arrays() for p in self.pieces), strict=True))
        begin = 0
        for piece in self.pieces:  # views from now on: no spike is in memory twice
            end = begin + len(piece.times)
            piece._spikes = times[begin:end], ids[begin:end]
            begin = end
        return times, ids


def _joined(pieces, spikes=None):
    """One Result of consecutive pieces; `spikes` are theirs, if they are at hand."""
    pieces = tuple(copy.copy(piece) for piece in pieces)
    first, last = pieces[0], pieces[-1]

    joined = Result(
        _Together(pieces) if spikes is None else spikes,
        first.populations,
        t_start=first.t_start,
        t_stop=last.t_stop,
        stop_reason=last.stop_reason,
        n_spikes=_sum(p._n_spikes for p in pieces),
        **{name: _sum(getattr(p, name) for p in pieces) for name in COUNTED},
        wall_time=_sum(p.wall_time for p in pieces),
        header=last.header,
        run_id=_digest(dict.fromkeys(p.run_id for p in pieces)),
        follows=first.follows,
        recorded=first.recorded,
        spikes_of={
            name: sum(p.spikes_of[name] for p in pieces)
            for name in first.spikes_of
            if all(name in p.spikes_of for p in pieces)
        },
    )
    joined._pieces = pieces
    for piece in pieces:
        piece._tape = None
    for what in SAMPLED:
        joined._set_sampled(what, *_joined_samples(pieces, what))
    joined.counts, joined.bin_width = _joined_counts(pieces)
    return joined


def _sum(values):
    """The sum; None if one is not known."""
    values = list(values)
    return None if None in values else sum(values)


def _digest(run_ids):
    """One identity for runs in their order."""
    return next(iter(run_ids)) if len(run_ids) == 1 else sha256(" ".join(run_ids).encode()).hex()[:32]


def _joined_samples(pieces, what):
    """Values, times and ids of V or I_syn in all pieces; None if they are not of the same neurons."""
    samples = [piece._sampled(what) for piece in pieces]
    if any(values is None or not np.array_equal(ids, samples[0][2]) for values, _, ids in samples):
        return None, None, None
    filled = [values for values, times, _ in samples if len(times)] or [samples[0][0]]
    return np.concatenate(filled), np.concatenate([times for _, times, _ in samples]), samples[0][2]


def _joined_counts(pieces):
    """Counts in the bins of all pieces, and their width; None if the bins do not go on from piece to piece."""
    start, width = pieces[0].t_start, pieces[0].bin_width
    if any(p.counts is None or p.bin_width != width or not is_edge(p.t_start, start, width) for p in pieces):
        return None, None
    begins = [int(bin_of(p.t_start, start, width)) for p in pieces]
    joined = {}
    for name in pieces[0].counts:
        parts = [p.counts[name] for p in pieces]
        joined[name] = np.zeros(max(begin + len(part) for begin, part in zip(begins, parts, strict=True)), np.int64)
        for begin, part in zip(begins, parts, strict=True):
            # Added: a spike at the very end of a piece is in a bin that the next one begins with.
            joined[name][begin : begin + len(part)] += part
    return joined, width
