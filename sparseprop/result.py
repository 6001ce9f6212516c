"""What comes out of a run."""

from dataclasses import dataclass

import numpy as np

from .errors import FileFormatError, ParameterError, StorageError, unknown_name

__all__ = ["PopulationInfo", "Result", "load"]

_ENDS = {
    "time": "the time was reached",
    "spikes": "the number of spikes was reached",
    "quiescent": "the network is silent: no neuron will ever fire again without input",
    "interrupted": "it was interrupted; run() on the same Simulation goes on from there",
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


class Result:
    """The spikes of a run and what is to be known about them.

    Attributes
    ----------
    times : ndarray of float64, shape (n_spikes,)
        Spike times in ms, in the order (time, generation, id).
    ids : ndarray of int64, shape (n_spikes,)
        Who fired: global ids (local ones in what :meth:`population` returns).
    populations : tuple of PopulationInfo
    t_start, t_stop : float
        The simulated interval in ms.
    n_spikes, n_synaptic_events, n_drive_events : int
        A synaptic event is one spike that reaches one target, a drive event one of :func:`sparseprop.poisson` that
        kicks one neuron; None where it is not known.
    n_close_calls : int
        Kicks within rounding (2^-46 of an epoch, some 1e-13 tau_m) of a spike of their target, before or after: which
        came first was decided by rounding, and may decide all that follows. See docs/semantics.md.
    stop_reason : StopReason
        Why the run ended.
    wall_time : float
        Seconds.
    header : dict
        The network's description, seed, engine and versions.
    V, V_times, V_ids : ndarray or None
        Recorded membrane potentials, shape (n_times, n_recorded); when, in ms; and of whom, global ids.
    I_syn, I_syn_times, I_syn_ids : ndarray or None
        Recorded synaptic currents, shape (n_times, n_recorded, ports), NaN for a port that the neuron does not have.
    counts : dict or None
        Recorded numbers of spikes in bins, ``{population: array of shape (n_bins,)}``; the bins are `bin_width` ms wide
        and begin at `t_start`, the last one may reach over the end.
    path : str or None
        The raster that the spikes are in, if they were streamed; `times` and `ids` then read it when first asked for.
    """

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
        self.V = self.V_times = self.V_ids = self.counts = self.bin_width = None
        self.I_syn = self.I_syn_times = self.I_syn_ids = None
        self._tape = None

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
    def n_spikes(self):
        return len(self.times) if self._n_spikes is None else self._n_spikes

    @property
    def n_neurons(self):
        """Number of neurons, without sources (unless there is nothing else)."""
        return sum(info.n for info in self.populations if not info.is_source) or sum(
            info.n for info in self.populations
        )

    @property
    def duration(self):
        """Simulated time in ms."""
        return self.t_stop - self.t_start

    @property
    def rate(self):
        """Mean rate per neuron in Hz, whether recorded or not; NaN for a run of no time."""
        time = self.n_neurons * self.duration
        return 1e3 * self.n_spikes / time if time > 0.0 else float("nan")

    @property
    def cv_isi(self):
        """Irregularity: standard deviation over mean of a neuron's interspike intervals, averaged over neurons.

        Over the neurons with at least two intervals; NaN if there is none. 0 for a clock, 1 for a Poisson process.
        Short trains bias it towards 0, as they hold no long intervals: the balanced theta network gives 0.69 for
        trains of 26 spikes, 0.73 for 50 and 0.77 for 260.
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

    def population(self, name):
        """The spikes of one population, as a Result with local ids.

        Raises
        ------
        ParameterError
            If there is no population of that name.
        """
        for info in self.populations:
            if info.name == name:
                break
        else:
            raise unknown_name("population", name, [info.name for info in self.populations])
        mine = (self.ids >= info.first) & (self.ids < info.first + info.n)
        return Result(
            (self.times[mine], self.ids[mine] - info.first),
            [PopulationInfo(info.name, info.n, info.model, 0, info.is_source)],
            t_start=self.t_start,
            t_stop=self.t_stop,
            stop_reason=self.stop_reason,
            wall_time=self.wall_time,
            header=self.header,
        )

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

    def save(self, path):
        """Write an HDF5 raster in the SONATA layout; :func:`sparseprop.load` reads it back.

        Raises
        ------
        StorageError
            If it cannot be written; an existing file is then left as it was.
        """
        from .raster import write_raster

        write_raster(
            path,
            self.times,
            self.ids,
            [(info.name, info.n) for info in self.populations],
            header=self.file_header(),
            footer=self.file_footer(),
        )

    def file_header(self):
        """What a raster file says about the run before its spikes.

        Raises
        ------
        ParameterError
            If the network cannot be described in a file, as with a Python function for a drift.
        """
        if isinstance(self.header.get("network"), ParameterError):
            raise self.header["network"]
        return self.header | {
            "t_start": float(self.t_start),
            "populations": [
                {"name": info.name, "n": info.n, "model": info.model, "is_source": info.is_source}
                for info in self.populations
            ],
        }

    def _currents(self):
        return {"times": self.I_syn_times, "ids": self.I_syn_ids, "values": self.I_syn}

    def file_footer(self):
        """What a raster file says about the run after its spikes."""
        return {
            "t_stop": float(self.t_stop),
            "n_spikes": self.n_spikes,
            "stop_reason": None if self.stop_reason is None else str(self.stop_reason),
            "n_synaptic_events": self.n_synaptic_events,
            "n_drive_events": self.n_drive_events,
            "n_close_calls": self.n_close_calls,
            "wall_time": self.wall_time,
            "V": None if self.V is None else {"times": self.V_times, "ids": self.V_ids, "values": self.V},
            **({} if self.I_syn is None else {"I_syn": self._currents()}),
            "counts": None if self.counts is None else {"width": self.bin_width, "by_population": self.counts},
        }

    def plot_raster(self, ax=None, **options):
        """Raster over a histogram of the rate; see :func:`sparseprop.plotting.plot_raster`. Returns the Axes."""
        from .plotting import plot_raster

        return plot_raster(self, ax, **options)

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
        names = ", ".join(f"{info.name}: {info.n:,}" for info in self.populations)
        # Spikes that are only in a file are not read for the sake of a summary.
        cv = "" if callable(self._spikes) else f", CV of the interspike intervals {self.cv_isi:.3g}"
        lines = [
            f"{self.n_spikes:,} spikes of {self.n_neurons:,} neurons ({names}) from {self.t_start:g} to "
            f"{self.t_stop:g} ms",
            f"  rate {self.rate:.4g} Hz{cv}",
        ]
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

    def __repr__(self):
        return f"<Result: {self.n_spikes} spikes of {self.n_neurons} neurons, {self.t_start:g} to {self.t_stop:g} ms>"


class SpikesInFile:
    """The spikes of a streamed run, read from its file when they are first asked for."""

    def __init__(self, path, n_spikes):
        self.path, self.n_spikes = path, n_spikes

    def __call__(self):
        from .raster import read_raster

        data = read_raster(self.path)
        if len(data.times) != self.n_spikes:
            raise StorageError(
                f"{self.path} has {len(data.times)} spikes, but the run recorded {self.n_spikes} there: the file was "
                "replaced since. Record each run in a file of its own, or look at `times` before the next run"
            )
        return data.times, data.ids


def load(path):
    """Read a raster that :meth:`Result.save` or ``run(record=path)`` wrote, or any SONATA spike file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Result

    Raises
    ------
    StorageError
        If the file cannot be opened.
    FileFormatError
        If it is damaged or not a raster.
    """
    from .raster import read_raster
    from .simulation import StopReason

    data = read_raster(path)
    header, footer = dict(data.header), data.footer or {}
    described = {entry["name"]: entry for entry in header.pop("populations", [])}
    infos, first = [], 0
    for name, n in data.populations:
        entry = described.get(name, {})
        infos.append(PopulationInfo(name, n, entry.get("model", ""), first, entry.get("is_source", False)))
        first += n
    last = float(data.times[-1]) if len(data.times) else 0.0
    reason = footer.get("stop_reason")
    if reason is not None and reason not in list(StopReason):
        raise FileFormatError(f"{path} gives {reason!r} as the reason for the end of the run, which there is not")
    result = Result(
        (data.times, data.ids),
        infos,
        n_spikes=footer.get("n_spikes"),
        t_start=header.pop("t_start", 0.0),
        t_stop=footer.get("t_stop", last),
        stop_reason=None if reason is None else StopReason(reason),
        wall_time=footer.get("wall_time"),
        n_synaptic_events=footer.get("n_synaptic_events"),
        n_drive_events=footer.get("n_drive_events"),
        n_close_calls=footer.get("n_close_calls"),
        header=header,
    )
    if footer.get("V"):
        result.V, result.V_times, result.V_ids = (footer["V"][key] for key in ("values", "times", "ids"))
    if footer.get("I_syn"):
        result.I_syn, result.I_syn_times, result.I_syn_ids = (
            footer["I_syn"][key] for key in ("values", "times", "ids")
        )
    if footer.get("counts"):
        result.counts, result.bin_width = footer["counts"]["by_population"], footer["counts"]["width"]
    return result
