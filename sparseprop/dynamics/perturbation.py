"""Twins of one run: what becomes of a small difference between two states, of a spike more, or of one less."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, shown
from ..plotting import COLORS, new_axes
from ..run.simulation import Simulation
from .distance import METRIC, Metric

if TYPE_CHECKING:
    from typing import Literal

    from matplotlib.axes import Axes

    from .._types import ArrayLike, Bools, EngineName, Floats, PlotAxes
    from ..network import Network

__all__ = ["KINDS", "Perturbation", "perturb"]

KINDS = ("state", "spike", "missing spike")
FLOOR = 1e-13  # phases are doubles: below, distances are of rounding
UNRELATED = 50  # states that are kept to see how far they are from each other
BLOCKS = 5  # of the times between which a twin's rate is measured, for its error
TRIES = 1000  # spikes that are looked at for one that can be left out, or neurons for one that can fire


@named_arguments
class Perturbation:
    """What :func:`perturb` found: twins in the order of the sizes, `n` of each.

    Attributes
    ----------
    kind : str
    times : ndarray of shape (t,)
        ms since the perturbation; the first one is 0.
    sizes : ndarray of shape (m,)
        The distances that were asked for; of spikes, those that came out.
    distance : ndarray of shape (m, t)
        Of each twin from the undisturbed run: the mean over neurons of the absolute differences in phase.
    transversal : ndarray of shape (m, t)
        The same without what is a shift in time, which neither grows nor fades: the part of the differences along the
        phase velocities is taken off. Only in networks of neurons with a phase that is uniform in time and without
        inputs; elsewhere it is `distance`.
    first_different : ndarray of shape (m,)
        ms until the order of spikes is another one than in the undisturbed run; inf if it never was.
    time_shift : ndarray of shape (m,)
        By how much the last spike came later, in ms; NaN where the order of spikes is another one.
    unrelated_distance : float
        The mean distance of two states of the undisturbed run, of which one is half of `duration` later.
    metric : str
        What the distance is.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(50, sp.LIF(tau_m=10.0), outdegree=20, seed=1)
    >>> twins = sp.perturb(net, size=1e-8, n=2, duration=500.0)
    >>> twins.returned.tolist(), twins.distance.shape[0]
    ([True, True], 2)
    """

    kind: str
    times: Floats
    sizes: Floats
    distance: Floats
    transversal: Floats
    first_different: Floats
    time_shift: Floats
    unrelated_distance: float
    metric: str

    def __init__(
        self,
        kind: str,
        times: Floats,
        sizes: Floats,
        distance: Floats,
        transversal: Floats,
        different: Floats,
        shift: Floats,
        unrelated: float,
    ) -> None:
        self.kind, self.times, self.sizes = kind, times, sizes
        self.distance, self.transversal = distance, transversal
        self.first_different, self.time_shift = different, shift
        self.unrelated_distance = unrelated
        self.metric = METRIC

    _cites = ("perturbation",)

    def __repr__(self) -> str:
        return (
            f"<Perturbation ({self.kind}) of {len(self.sizes)} twins over {self.times[-1]:g} ms: "
            f"{self.returned.sum()} returned, divergence rate {self.divergence_rate:.3g} +- "
            f"{self.divergence_rate_error:.2g} per s>"
        )

    @property
    def returned(self) -> Bools:
        """Of each twin, whether it ended nearer than it began, but for a shift in time; bool of shape (m,)."""
        return self.transversal[:, -1] < self.transversal[:, 0]

    def rates(self, low: float | None = None, high: float | None = None) -> Floats:
        """The rates in 1/s at which the transversal distances of the twins change, one for each.

        Slopes of straight lines through the logarithms of the distances from `low` to `high`, until the distance is for
        the first time beyond them.

        Parameters
        ----------
        low, high : float, optional
            Default, where distances grow: from the geometric mean of the distance at the beginning and `high`, by when
            they do in the direction that grows fastest, to a thirtieth of `unrelated_distance`. Where they fade: from
            1e-13, or a thousandth, to a third of that at the beginning.

        Returns
        -------
        ndarray of shape (m,)
            NaN where fewer than three times are in between.
        """
        return self._fits(low, high)[0]

    def _fits(self, low=None, high=None):
        """Rates, and what each may be off by because the undisturbed run has a rate of its own in each stretch."""
        bounds = {"low": low, "high": high}
        for name, value in bounds.items():
            if value is not None:
                bounds[name] = _validation.real(value, name, "a distance > 0", low=0.0, low_open=True)
        if None not in (bounds["low"], bounds["high"]) and bounds["low"] >= bounds["high"]:
            raise ParameterError(f"low must be below high, got low={bounds['low']:g} and high={bounds['high']:g}")
        return np.array([self._fit(distance, **bounds) for distance in self.transversal]).reshape(-1, 2).T

    def _fit(self, distance, low, high):
        """That of one twin: the slope, and its error by the rates in so many blocks of time."""
        begin = distance[0]
        if distance[-1] > begin:
            high = self.unrelated_distance / 30.0 if high is None else high
            low = max(math.sqrt(begin * high), FLOOR) if low is None else low
            beyond = distance > high
        else:
            high = begin / 3.0 if high is None else high
            low = max(FLOOR, 1e-3 * begin) if low is None else low
            beyond = distance < low
        last = int(np.argmax(beyond)) if beyond.any() else len(distance)
        used = np.flatnonzero((distance[:last] >= low) & (distance[:last] <= high))
        if len(used) < 3:
            return math.nan, math.nan
        t, y = self.times[used] * 1e-3, np.log(distance[used])
        error = math.nan
        if len(used) > BLOCKS:
            # The logarithm is a sum of what each stretch adds, so that points of one twin are not independent, but
            # stretches are, nearly. A line through the points of such a sum is off by sqrt(6/5) times as much as the
            # line from its first to its last.
            edges = np.linspace(0, len(used) - 1, BLOCKS + 1).round().astype(int)
            blocks, steps = np.diff(y[edges]) / np.diff(t[edges]), np.diff(t[edges])
            mean = steps @ blocks / steps.sum()
            variance = steps @ (blocks - mean) ** 2 / steps.sum() / (BLOCKS - 1)
            error = math.sqrt(1.2 * variance)
        t = t - t.mean()
        return float(t @ y / (t @ t)), error

    @property
    def divergence_rate(self) -> float:
        """The mean of :meth:`rates` in 1/s over the twins that have one, < 0 where distances fade."""
        rates = self.rates()
        rates = rates[np.isfinite(rates)]
        return float(rates.mean()) if len(rates) else math.nan

    @property
    def divergence_rate_error(self) -> float:
        """Its standard error; NaN for fewer than two twins, or where fewer than six times are between the bounds.

        Of two parts. One is that of the mean over twins. The other is that of a single twin, by five stretches of time:
        all twins are beside one run, whose rate differs from stretch to stretch, and more of them do not help there. It
        counts as if it were the same for all twins.
        """
        rates, errors = self._fits()
        there = np.isfinite(rates)
        rates, errors = rates[there], errors[there & np.isfinite(errors)]
        if len(rates) < 2 or not len(errors):
            return math.nan
        return math.sqrt(rates.var(ddof=1) / len(rates) + np.mean(errors**2))

    @property
    def decorrelation_time(self) -> float:
        """ms until the mean distance of the twins is half of `unrelated_distance`; inf if it never is."""
        over = self.distance.mean(axis=0) >= 0.5 * self.unrelated_distance
        return float(self.times[np.argmax(over)]) if over.any() else math.inf

    def _flux_tube(self):
        """Radius and standard error by maximum likelihood, if a twin at a distance d returns with exp(-d / radius)."""
        # A spike that is still on its way has no distance.
        away = self.distance[:, 0] > 0.0
        d, back = self.distance[away, 0], self.returned[away]
        if not len(d):
            return math.nan, math.nan
        if back.all() or not back.any():
            return (math.inf if back.all() else 0.0), math.nan
        returned, left = d[back].sum(), d[~back]
        low, high = math.log(1e-6 * d.min()), math.log(1e6 * d.max())
        for _ in range(100):
            middle = 0.5 * (low + high)
            radius = math.exp(middle)
            with np.errstate(over="ignore"):
                more = returned > (left / np.expm1(left / radius)).sum()
            low, high = (middle, high) if more else (low, middle)
        with np.errstate(over="ignore"):
            information = (d**2 / np.expm1(d / radius)).sum()
        return radius, radius**2 / math.sqrt(information)

    @property
    def flux_tube_radius(self) -> float:
        """The distance beyond which a network with stable spike patterns no longer returns to its own.

        By maximum likelihood, if a twin at a distance d > 0 returns with the probability exp(-d / radius); inf if all
        returned, 0 if none did, NaN without such twins. It needs twins of several sizes, of which some return and some
        do not.
        """
        return self._flux_tube()[0]

    @property
    def flux_tube_radius_error(self) -> float:
        """Its standard error; NaN where all twins returned, or none."""
        return self._flux_tube()[1]

    def plot(self, ax: Axes | None = None) -> PlotAxes:
        """Distances against time: of the twins, thin, their geometric means by size, and that of unrelated states.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        matplotlib Axes
        """
        ax = new_axes(ax)
        seconds = self.times * 1e-3
        shown_distance = np.maximum(self.transversal, 1e-17)
        groups = np.unique(self.sizes) if self.kind == "state" else [None]
        for k, size in enumerate(groups):
            mine = shown_distance if size is None else shown_distance[self.sizes == size]
            color = COLORS[k % len(COLORS)]
            ax.plot(seconds, mine.T, color=color, alpha=0.25, linewidth=0.7)
            label = self.kind if size is None else f"{size:.1g}"
            ax.plot(seconds, np.exp(np.log(mine).mean(axis=0)), color=color, linewidth=1.8, label=label)
        ax.axhline(self.unrelated_distance, color="gray", linestyle=":", linewidth=1.0, label="unrelated states")
        ax.set(xlabel="time (s)", ylabel="distance in phase", yscale="log")
        ax.legend(fontsize="small")
        return ax


@named_arguments
def perturb(
    net: Network,
    kind: Literal["state", "spike", "missing spike"] = "state",
    *,
    size: ArrayLike | None = None,
    n: int = 10,
    duration: float = 1000.0,
    warmup: float = 1000.0,
    n_times: int = 200,
    engine: EngineName | None = None,
    seed: int | None = None,
) -> Perturbation:
    """Run twins of a network from one state, disturbed at the beginning, and see how far they go from it.

    Parameters
    ----------
    net : Network
    kind : {"state", "spike", "missing spike"}
        ``"state"``: the phases of all neurons are moved, in a random direction; ``"spike"``: the synapses of a neuron,
        another one for each twin, act as if it had fired; ``"missing spike"``: those of a neuron that fires do not act,
        of the first spike for the first twin, and so on.
    size : float or array_like, optional
        Of ``"state"``: the distance to begin with, the mean over neurons of the absolute difference in phase; several
        for flux tubes. Default: 1e-10.
    n : int
        Twins, for each size.
    duration : float
        ms to run them.
    warmup : float
        ms before the perturbation.
    n_times : int
        Times at which distances are taken, evenly spaced.
    engine : {"window", "heap", "lookahead", "reference"}, optional
        As of :class:`Simulation`.
    seed : int, optional
        Of directions and of neurons that fire; default: the network's. Initial states and inputs are the network's.

    Returns
    -------
    Perturbation

    Raises
    ------
    ParameterError
        For a value that is not allowed; if there is no neuron whose spike could be added or left out without other
        spikes in the same instant.

    Notes
    -----
    The phase of a neuron is its ``model.cycle_phase(V)``: the time since the last spike as a part of the free period,
    for LIF, theta, QIF without peak and reset, and rapid theta neurons that oscillate; otherwise V on the way from
    reset to threshold, or the angle ``2 atan(V / sqrt|I_e|)`` in turns. Currents, refractory periods and spikes that
    are on their way do not count in the distance, but act of course. All twins hear the same Poisson input.

    Time O((m + 1) duration), memory of m + 1 simulations, m the number of twins; the synapses are kept once.

    References
    ----------
    Monteforte and Wolf (2012), Phys. Rev. X 2:041007 (flux tubes).

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=20, seed=1)
    >>> twins = sp.perturb(net, size=1e-10, n=3, duration=500.0)
    >>> bool(twins.returned.all())
    True
    """
    if not hasattr(net, "engine_input"):
        raise ParameterError(f"net must be a Network, got {shown(net)}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ParameterError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {shown(kind)}")
    sizes = _checked_sizes(size, kind)
    n = _validation.integer(n, "n", "a whole number from 1 to 10^6", low=1, high=10**6)
    n_times = _validation.integer(n_times, "n_times", "a whole number from 2 to 10^7", low=2, high=10**7)
    duration = _validation.real(duration, "duration", "a time > 0 ms", unit="ms", low=0.0, low_open=True)
    warmup = _validation.real(warmup, "warmup", "a time >= 0 ms", unit="ms", low=0.0)
    seed = net.seed if seed is None else _validation.integer(seed, "seed", "a whole number >= 0", low=0)
    if all(p.is_source for p in net.populations):
        raise ParameterError("net must have neurons, got one with sources only")
    sim = Simulation(net, engine=engine)
    if warmup:
        sim.run(warmup, progress=False, interrupt="raise")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    metric = Metric(net)
    if kind == "state":
        pairs = [(sim, _moved(sim, metric, size, rng)) for size in np.repeat(sizes, n).tolist()]
    elif kind == "spike":
        pairs = _with_spikes(sim, net, n, rng)
    else:
        pairs = _without_spikes(sim, net, n)
    return _run(pairs, kind, np.repeat(sizes, n), metric, duration, n_times)


def _checked_sizes(size, kind):
    """The sizes as an array of shape (k,)."""
    if kind != "state":
        if size is not None:
            raise ParameterError(f"size is for kind='state', got size={shown(size)} for {kind!r}")
        return np.full(1, np.nan)
    size = 1e-10 if size is None else size
    allowed = "a distance from 1e-14 to 0.1, or several"
    size = np.atleast_1d(_validation.plain(size, "size", allowed))
    if not size.size:
        raise ParameterError(f"size must be {allowed}, got none")
    return _validation.real_array(size, "size", allowed, low=1e-14, high=0.1)


# Twins ----------------------------------------------------------------------------------------------------------------


def _moved(sim, metric, size, rng):
    """A copy of the simulation, moved by `size` in a random direction."""
    twin = sim.copy()
    V = np.array(twin.V)
    free = ~np.isfinite(twin.state["time_since_spike"][metric.neurons])
    if not free.any():
        raise ParameterError(
            "warmup ended where all neurons are refractory, and there is no phase to move: take another one"
        )
    phases = metric.phases(V)
    step = np.where(free, 2.0 * rng.random(len(phases)) - 1.0, 0.0)
    step *= size * len(phases) / np.abs(step).sum()
    # Nobody is brought to its threshold, nor from behind its reset.
    step = np.where((phases + step >= 1.0) | ((phases >= 0.0) & (phases + step <= 0.0)), -step, step)
    moved = metric.voltages(phases + step, V)
    moved[metric.neurons[step == 0.0]] = V[metric.neurons[step == 0.0]]
    twin.set_state(V=moved, keep_rest=True)
    return twin


def _with_spikes(sim, net, n, rng):
    """Copies in each of which another neuron has fired now, as far as others hear it."""
    neurons, pairs = rng.permutation(Metric(net).neurons), []
    for i in neurons[:TRIES].tolist():
        twin = sim.copy()
        if _act(twin, net, i, 1.0):
            pairs.append((sim, twin))
        if len(pairs) == n:
            return pairs
    remedy = "take fewer" if pairs else "synapses that are weaker, or any at all, are needed"
    raise ParameterError(
        f"n: {n} neurons whose spike is heard and brings nobody to threshold at once were wanted, and {len(pairs)} "
        f"found; {remedy}"
    )


def _without_spikes(sim, net, n):
    """Simulations after each of the next spikes, and copies in which nobody has heard that spike."""
    pairs = []
    for _ in range(TRIES):
        res = sim.run(60_000.0, n_spikes=1, progress=False, interrupt="raise")
        if not res.n_spikes:
            raise ParameterError(f"no spike within a minute after {len(pairs)} were left out; this network is silent")
        if res.n_spikes > 1:
            continue  # one may be because of the other
        undisturbed, twin = sim.copy(), sim.copy()
        if _act(twin, net, int(res.ids[0]), -1.0):
            pairs.append((undisturbed, twin))
        if len(pairs) == n:
            return pairs
    remedy = "take fewer" if pairs else "spikes that come one by one, and are heard, are needed"
    raise ParameterError(f"n: {n} spikes were to be left out, and {len(pairs)} of {TRIES} could be; {remedy}")


def _act(twin, net, i, sign):
    """Let the synapses of a neuron (global id) act now, or undo that they did; False if somebody fired of it."""
    state = dict(twin.state)
    V, heard, travels = np.array(state["V"]), False, False
    held = np.isfinite(state["time_since_spike"])
    currents = np.array(state["I_syn"]) if "I_syn" in state else None
    for projection in net.projections:
        pre, post = projection.pre, projection.post
        if not pre.first <= i < pre.first + pre.n:
            continue
        mine = np.asarray(projection.sources) == i - pre.first
        targets = post.first + np.asarray(projection.targets)[mine]
        weights = sign * np.broadcast_to(projection.weight, mine.shape)[mine]
        late = np.broadcast_to(projection.delay, mine.shape)[mine] > 0.0
        travels, heard = travels or late.any(), heard or bool(len(targets))
        targets, weights = targets[~late], weights[~late]
        if post.has_currents:
            np.add.at(currents[:, projection.port], targets, weights)
        else:
            np.add.at(V, targets[~held[targets]], weights[~held[targets]])
            limit = np.broadcast_to(post.model.threshold(), post.n)
            over = V[post.first : post.first + post.n] >= limit
            if (over & (np.array(state["V"])[post.first : post.first + post.n] < limit)).any():
                return False
    flights = list(map(tuple, np.asarray(state["spikes_in_flight"]).tolist()))
    if travels and sign > 0.0:
        flights.append((i, 0.0))
    elif travels:
        flights = [flight for flight in flights if flight[0] != i or flight[1] != 0.0]
    given = {"V": V} | ({"I_syn": currents} if currents is not None else {})
    twin.set_state(**given, **({"spikes_in_flight": flights} if travels else {}), keep_rest=True)
    return heard


# Runs -----------------------------------------------------------------------------------------------------------------


def _run(pairs, kind, sizes, metric, duration, n_times):
    """Let all of them go on, side by side."""
    steps = np.diff(np.linspace(0.0, duration, n_times))
    undisturbed = {id(sim): sim for sim, _ in pairs}
    spikes = {id(sim): [] for pair in pairs for sim in pair}
    start = {key: sim.time for key, sim in undisturbed.items()}
    distance, transversal = np.empty((2, len(pairs), n_times))
    states = []  # of the first undisturbed run, to see how far unrelated ones are from each other
    for k in range(n_times):
        if k:
            for key, sim in (undisturbed | {id(twin): twin for _, twin in pairs}).items():
                res = sim.run(steps[k - 1], progress=False, interrupt="raise")
                spikes[key].append((res.times, res.ids))
        phases = {key: metric.phases(np.array(sim.V)) for key, sim in undisturbed.items()}
        if k % math.ceil(n_times / UNRELATED) == 0:
            states.append(next(iter(phases.values())))
        for j, (sim, twin) in enumerate(pairs):
            difference = metric.difference(phases[id(sim)], metric.phases(np.array(twin.V)))
            distance[j, k], transversal[j, k] = metric.distance(difference), metric.transversal(difference)
    rasters = {key: tuple(map(np.concatenate, zip(*parts, strict=True))) for key, parts in spikes.items()}
    compared = [_compared(rasters[id(sim)], rasters[id(twin)], start[id(sim)]) for sim, twin in pairs]
    different, shift = np.array(compared).T
    if kind != "state":
        sizes = distance[:, 0].copy()
    times = np.concatenate([[0.0], np.cumsum(steps)])
    return Perturbation(kind, times, sizes, distance, transversal, different, shift, metric.unrelated(states))


def _compared(one, other, start):
    """Since when the order of spikes is another one, and otherwise how much later the last spike is."""
    (times, ids), (other_times, other_ids) = one, other
    n = min(len(ids), len(other_ids))
    differ = np.flatnonzero(ids[:n] != other_ids[:n])
    if len(differ):
        return times[differ[0]] - start, math.nan
    if abs(len(ids) - len(other_ids)) > 1:
        rest = times if len(ids) > n else other_times
        return rest[n] - start, math.nan
    # One spike more or less may be beyond the end.
    return math.inf, (other_times[n - 1] - times[n - 1] if n else 0.0)
