"""Exact gradients of losses on spike times and voltages: the backward pass over a run with ``tape=True``."""

from dataclasses import dataclass

import numpy as np

from .. import _core, _validation
from ..engine._backward import Adjoint
from ..errors import GradientOverflowWarning, ParameterError, named_arguments, shown, warn
from ..inputs import SpikeSource, Steps
from ..models import PARAMETERS, TIME_CONSTANTS, WITHOUT_GRADIENT

__all__ = [
    "INVARIANT",
    "ByProjection",
    "GradientWarning",
    "Gradients",
    "backward",
    "checked_derivatives",
    "most_ports",
    "new_sums",
    "noted",
    "of_neurons",
    "of_ports",
    "overflows_are_told",
    "without_time_constants",
]

BUDGET = 1 << 20  # events between two looks for Ctrl-C
INVARIANT = 1e-9  # relative error of the sum rule that a debug build allows

KINDS = {
    0: (
        "order swap",
        "a kick comes within {near:.2g} ms of a spike of its target: in the other order the result jumps",
    ),
    1: ("several causes", "independent events at one time drove it over threshold together"),
    2: ("at a step", "it was due exactly when its current changed"),
    3: ("grazing", "V only just reaches the threshold: a little less, and the spike is gone"),
    4: (
        "overflow",
        "from here back in time derivatives are beyond 1.8e308, and all that they come to is inf or NaN. They grow by "
        "the Lyapunov exponent in a chaotic network: take a shorter run, or a loss times 1e-300 or so, to which "
        "gradients are proportional",
    ),
}
OVERFLOW = 4


@named_arguments
@dataclass(frozen=True)
class GradientWarning:
    """Something that has no gradient.

    Attributes
    ----------
    kind : {"order swap", "several causes", "at a step", "grazing", "overflow"}
    neuron : int
        Global id. Of an overflow: whose spike, or initial state, has the first derivative that is no finite number, the
        first going back in time.
    where : str
        The neuron by population and local id.
    time : float
        ms.
    source : int or None
        Global id of the neuron whose spike it was.
    message : str
    sample : int or None
        Of a batch.
    """

    kind: str
    neuron: int
    where: str
    time: float
    source: int | None
    message: str
    sample: int | None = None

    def __str__(self):
        by = "" if self.source is None else f", kicked by {self.source}"
        sample = "" if self.sample is None else f", sample {self.sample}"
        return f"{self.kind} of {self.where} at {self.time!r} ms{sample}{by}: {self.message}"


class ByProjection:
    """Values by projection: index with a Projection of the network or its number."""

    def __init__(self, network, values, missing):
        self._projections, self._values, self._missing = list(network.projections), values, missing

    def __getitem__(self, key):
        same = [projection is key for projection in self._projections]
        if True in same:
            k = same.index(True)
        elif isinstance(key, tuple({type(projection) for projection in self._projections})):
            raise ParameterError(f"{shown(key)} is no projection of the network that was run")
        else:
            k = _validation.integer(
                key, "the number of a projection", f"a Projection, or a number in [0, {len(self._values)})",
                low=0, high=len(self._values) - 1,
            )  # fmt: skip
        if self._values[k] is None:
            raise ParameterError(self._missing)
        return self._values[k]

    def __repr__(self):
        return f"[{', '.join(map(shown, self._values))}]"

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return (self[k] for k in range(len(self)))


@named_arguments
class Gradients:
    """Derivatives of a loss with respect to everything that a run depends on.

    Arrays "of neurons" have one value for each global id, NaN where the model has no such parameter (and for sources).

    Attributes
    ----------
    weight : by projection, ndarray of shape (n_synapses,)
        In the order of the Projection; index with it or with its number.
    weight_sum : by projection, float
        The sum of these: the derivative for all weights of a projection together.
    delay : by projection, float or ndarray of shape (n_synapses,)
        As the delay of the projection is one number or one per synapse. At a delay of 0 it is that for a longer one.
    I_e, V, tau_m, V_th, V_peak, V_reset, E_L, V_T, C_m, g_L, V_r, V_t, t_ref : ndarray of neurons
        V: of the state at the beginning of the run. Of parameters that neurons share, take the sum. An infinite V_peak
        or V_reset has the derivative 0.
    tau_syn, I_syn : ndarray of shape (n, ports)
        Of neurons with synaptic currents, one for each port; NaN where there is none. I_syn: of the currents at the
        beginning of the run.
    input_times : dict of ndarray
        For each SpikeSource, by name, one value for each of ``model.times``; NaN for spikes before the run.
    drive_weight : dict of ndarray or float
        For each Poisson drive, by its number in ``net.drives``: one per neuron, or their sum where they share a weight.
    steps : dict of ndarray
        For each ``sp.steps`` drive, by its number, of the shape of its values.
    warnings : list of GradientWarning
        What has no gradient, or one that is no finite number (which is also a Python warning, a
        :class:`sparseprop.errors.GradientOverflowWarning`); `n_warnings` counts also those that the list is too short
        for.
    n_ties : int
        Instants in which independent events coincided exactly. For LIF neurons the derivative is right nevertheless, if
        nothing is in `warnings`; of a QIF neuron that several of them kick, it is one between those on the two sides.
    invariant_error : float
        What is left of a sum that is 0 because nothing changes if everything happens later, over its largest part; NaN
        after an overflow.
    """

    def __init__(self, **values):
        vars(self).update(values)

    def __getattr__(self, name):
        if name in TIME_CONSTANTS:
            raise AttributeError(f"{name} was left out by backward(..., tau_m=False)")
        if name in WITHOUT_GRADIENT:
            raise AttributeError(
                f"the derivative with respect to {name} is not computed: the table of such a neuron is only "
                "differentiated by its drive. Take differences of runs"
            )
        raise AttributeError(f"Gradients have no attribute {name!r}")

    def __repr__(self):
        return (
            f"<Gradients of {len(self.I_e)} neurons and {len(self.weight_sum)} projections: {self.n_warnings} warnings>"
        )


def backward(result, dL_dtimes, dL_dV=None, *, weights=True, tau_m=True):
    """See :meth:`sparseprop.Result.backward`."""
    tape = result._tape
    if tape is None:
        raise ParameterError(
            "this Result has no tape: run with tape=True, and use the Result of the whole network, not a copy or "
            "pickle of it (gradients can be pickled)"
        )
    if not tape.parts:
        raise ParameterError("backward() was called before: a tape is used up by it; run again with tape=True")
    weights, tau_m = _validation.flag(weights, "weights"), _validation.flag(tau_m, "tau_m")
    net = result._network
    if (net.size, len(net.projections)) != (tape.source.size, len(tape.source.projections)):
        raise ParameterError("something was added to the network since the run: run again with tape=True")
    dL_dtimes = checked_derivatives(dL_dtimes, "dL_dtimes", (result._n_recorded,), "one for each of result.times")
    if dL_dV is not None:
        if result.V is None:
            raise ParameterError("dL_dV needs recorded voltages: run with record=sp.Record(V=..., V_times=...)")
        dL_dV = checked_derivatives(dL_dV, "dL_dV", result.V.shape, "as result.V")
        hidden = np.isinf(result.V) & (dL_dV != 0.0)
        if hidden.any():
            k, i = np.argwhere(hidden)[0]
            raise ParameterError(
                f"dL_dV must be 0 where V is infinite, got {dL_dV[k, i]} for neuron {result.V_ids[i]} at "
                f"{result.V_times[k]} ms"
            )
    with overflows_are_told():
        return _Backward(result, tape, weights, tau_m).run(dL_dtimes, dL_dV)


def overflows_are_told():
    """A context in which NumPy is silent of sums that are no finite numbers, as :func:`noted` tells neuron and time."""
    return np.errstate(over="ignore", invalid="ignore")


def checked_derivatives(values, name, shape, meaning):
    """`values` as a float64 array of a shape, all finite."""
    array = _validation.plain(values, name)
    if array.shape != shape:
        raise ParameterError(f"{name} must have shape {shape}, {meaning}, got shape {array.shape}")
    return _validation.real_array(array, name, "finite numbers", ndim=len(shape), copy=False)


class _Backward:
    """One backward pass: the compiled one, and what is needed at its pauses."""

    def __init__(self, result, tape, weights, tau_m):
        self.result, self.tape, self.source, self.net = result, tape, tape.source, result._network
        self.weights, self.tau_m = weights, tau_m
        n = self.source.size
        self.sums = new_sums(n, most_ports(self.net))
        self.by_current = np.full((n, most_ports(self.net)), np.nan)
        self.by_weight = [np.zeros(p.n_synapses) if weights else None for p in self.net.projections]
        self.by_delay = [
            np.zeros(p.n_synapses) if isinstance(p.delay, np.ndarray) else None for p in self.net.projections
        ]
        self.by_drive = [
            np.zeros(process.n) if isinstance(process.weight, np.ndarray) else None for process in self.source.processes
        ]
        self.near = tape.near
        self.adjoint = Adjoint(
            self.source, tape.start, self.sums, self.by_weight, self.by_delay, self.by_drive, tau_m, self.near
        )
        self.I_e_before = np.zeros(n)  # dL/dI_e of the stretches that are done
        self.I_e_times = np.zeros(n)  # the same, each times the I_e of the stretch
        self.read = np.zeros(n)  # the sum of dL/dV of all readings
        self.by_step = {}
        self.input_times = []
        self.rest = self.size = 0.0  # of the invariant

    def run(self, dL_dtimes, dL_dV):
        samples = self._samples(dL_dV)
        carried, last = {}, None
        position = len(dL_dtimes)
        explicit = float(dL_dtimes.sum())
        for recording in self.tape.recordings():
            spikes = self._recorded(recording)
            by_time = np.zeros(len(recording))
            position -= len(spikes)
            by_time[spikes] = dL_dtimes[position : position + len(spikes)]
            self._give(recording, by_time, carried)
            self.adjoint.load(recording, by_time)
            self._take(recording, samples)
            carried = self._carry(recording, by_time)
            self._note_inputs(recording, by_time)
            self.size += float(np.abs(by_time).sum())
            last = recording
        self.rest += sum(sum(values) for values in carried.values())
        V = self._start(last)
        return self._gradients(V, explicit)

    # Parts

    def _recorded(self, recording):
        """Where on the tape the spikes are that belong to result.times."""
        _, _, ids, where = recording.entries("spikes")
        if self.result._record_sources:
            more = recording.entries("emitted")
            ids, where = np.concatenate([ids, more[2]]), np.concatenate([where, more[3]])
            order = np.argsort(where)
            ids, where = ids[order], where[order]
        mask = self.result._mask
        return where if mask is None else where[mask[ids]]

    def _give(self, recording, by_time, carried):
        """To the spikes of a part what they had done in later ones."""
        if not carried:
            return
        for kind in ("past", "spikes", "emitted"):
            for n, s, i, k in zip(*(column.tolist() for column in recording.entries(kind)), strict=True):
                if carried.get((n, s, i)):
                    by_time[k] += carried[n, s, i].pop(0)

    @staticmethod
    def _carry(recording, by_time):
        """What spikes of earlier parts did in this one."""
        carried = {}  # lists: a source may spike several times at one time
        for n, s, i, k in zip(*(column.tolist() for column in recording.entries("past")), strict=True):
            carried.setdefault((n, s, i), []).append(by_time[k])
        return carried

    def _samples(self, dL_dV):
        """The recorded voltages that matter, as [(pair, V, sums of synaptic currents, dL/dV)], ascending."""
        if dL_dV is None:
            return []
        clock, result = self.source.clock, self.result
        np.add.at(self.read, result.V_ids, dL_dV.sum(axis=0))
        rows = zip(result.V_times, result.V, self.tape.currents, dL_dV, strict=True)
        return [
            (clock.pair(float(t)), np.ascontiguousarray(V), currents, np.ascontiguousarray(by_V))
            for t, V, currents, by_V in rows
            if by_V.any()
        ]

    def _take(self, recording, samples):
        """Take all instants of a part, with the changes of parameters and samples in it."""
        clock = self.source.clock
        changes = list(range(recording.n_changes_before, recording.n_changes))
        while True:
            change = clock.pair(self.source.changes[changes[-1]][0]) if changes else (-1, 0.0)
            sample = samples[-1][0] if samples and samples[-1][0] > recording.last_before_pair else (-1, 0.0)
            self._run_to(max(change, sample))
            if changes and change >= sample:
                k = changes.pop()
                self._change(change, k, recording.voltages[k - recording.n_changes_before])
            elif sample >= (0, 0.0):
                pair, V, currents, by_V = samples.pop()
                self.adjoint.read(pair, self.result.V_ids, V, currents, by_V)
            else:
                break
        if not self.adjoint.is_used_up():
            raise AssertionError("the backward pass does not fit to the forward pass; please report this as a bug")

    def _run_to(self, pair):
        while not self.adjoint.run(pair, BUDGET):
            pass

    def _change(self, pair, k, V):
        """The parameters changed, for the k-th time."""
        _, number, _ = self.source.changes[k]
        by_V, _ = self.adjoint.leave(pair, number, V, False)
        stretch = self._stretch(number, self.source.changes[k][2]["I_e"])
        self.by_step[k] = stretch * self._model(number).drive_scale()
        self.adjoint.arrive(number, V, by_V, k)

    def _model(self, number):
        return self.net.populations[number].model

    def _stretch(self, number, current):
        """dL/dI_e of the stretch that has been taken last, of a population whose I_e was `current`."""
        population = self.source.populations[number]
        part = slice(population.first, population.first + population.size)
        stretch = self.sums["I_e"][part].copy()
        self.I_e_before[part] += stretch
        self.I_e_times[part] += stretch * current
        self.sums["I_e"][part] = 0.0
        return stretch

    def _start(self, recording):
        """dL/dV at the beginning of the run."""
        V = np.full(self.source.size, np.nan)
        for number, population in enumerate(self.source.populations):
            if population.kernel != "source":
                part = slice(population.first, population.first + population.size)
                V[part], by_current = self.adjoint.leave(
                    self.tape.start, number, recording.V[part], True, recording.currents[number]
                )
                if by_current is not None:
                    self.by_current[part, : by_current.shape[1]] = by_current
                V[part][np.isinf(recording.V[part])] = 0.0
        return V

    # Results

    def _note_inputs(self, recording, by_time):
        """dL/d(time) of spikes of sources."""
        _, _, ids, where = recording.entries("emitted")
        self.rest += float(by_time[where].sum())
        given = np.zeros(self.source.size, bool)
        for p in self.net.populations:
            given[p.first : p.first + p.n] = isinstance(p.model, SpikeSource)
        self.input_times.insert(0, by_time[where[given[ids]]])
        self.last_before = recording.last_before_pair

    def _of_inputs(self):
        """dL/d(time) for all given spikes of all sources."""
        found = np.concatenate([np.zeros(0), *self.input_times])
        times, ids = self.source.spikes
        before = 0
        while before < len(times) and self.source.clock.pair(float(times[before])) <= self.last_before:
            before += 1
        all_times = np.zeros(len(times))
        all_times[:before] = np.nan
        all_times[before : before + len(found)] = found
        return {
            p.name: all_times[(ids >= p.first) & (ids < p.first + p.n)]
            for p in self.net.populations
            if isinstance(p.model, SpikeSource)
        }

    def _of_steps(self):
        """dL/d(value) of all steps."""
        steps = {d.index: np.zeros(d.input.values.shape) for d in self.net.drives if isinstance(d.input, Steps)}
        for k, stretch in self.by_step.items():
            time, number, _ = self.source.changes[k]
            for d in self.net.drives:
                if d.index not in steps or d.population.index != number:
                    continue
                at = int(np.searchsorted(d.input.times, time, side="right")) - 1
                if at >= 0:
                    steps[d.index][at] += stretch if d.input.size else stretch.sum()
        return steps

    def _gradients(self, V, explicit):
        adjoint = self.adjoint
        shift, size = adjoint.shift
        total = shift + self.rest - explicit
        error = abs(total) / max(self.size + size, 1e-300)
        findings, n_warnings = adjoint.findings
        overflows = any(finding[0] == OVERFLOW for finding in findings)
        if _core.BUILD_MODE.startswith("debug") and not overflows and not error <= INVARIANT:
            raise AssertionError(f"later by the same for all is not the same: {total!r}")
        order = np.argsort(adjoint.ranks)
        n = len(order)
        weight_sums, delays = np.asarray(adjoint.weight_sums)[:n][order], np.asarray(adjoint.delay_sums)[:n][order]
        drives, k = {}, 0
        for k, process in enumerate(self.source.processes):
            if process.weight is not None:
                array = self.by_drive[k]
                drives[process.index] = float(np.asarray(adjoint.drive_sums)[k]) if array is None else array
        last = self.sums["I_e"]
        currents = np.zeros(self.source.size)
        for p in self.source.populations:
            if p.kernel != "source":
                currents[p.first : p.first + p.size] = p.parameters["I_e"]
        sums = self.sums | {"V": V, "read": self.read, "I_e": last + self.I_e_before}
        sums["I_e_times"] = last * currents + self.I_e_times
        values = of_neurons(self.net, sums)
        values["tau_syn"] = of_ports(self.net, self.sums)
        values["I_syn"] = self.by_current
        if not self.tau_m:
            values = without_time_constants(values)
        left_out = "weights were left out by backward(..., weights=False); weight_sum has their sums"
        return Gradients(
            **values,
            weight=ByProjection(self.net, self.by_weight, left_out),
            weight_sum=ByProjection(self.net, weight_sums.tolist(), ""),
            delay=ByProjection(
                self.net, [d if a is None else a for d, a in zip(delays.tolist(), self.by_delay, strict=True)], ""
            ),
            input_times=self._of_inputs(),
            drive_weight=drives,
            steps=self._of_steps(),
            **noted(
                self.net,
                self.near,
                [(None, *finding) for finding in reversed(findings)],
                n_warnings,
                [*self.sums.values(), self.read],
                [weight_sums, delays],
            ),
            n_ties=adjoint.n_ties,
            invariant_error=error,
        )


def new_sums(n, ports):
    """Where the compiled pass adds up derivatives for the parameters of n neurons."""
    sums = {name: np.zeros(n) for name in ("I_e", "tau_m", "threshold", "V_reset", "t_ref")}
    return sums | {"tau_syn": np.zeros(ports * n)}


def most_ports(net):
    """The largest number of synaptic currents that a population of the network has."""
    return max((p.model.n_ports for p in net.populations if p.has_currents), default=0)


def of_neurons(net, sums):
    """The derivatives by parameters of neurons, each for all global ids, from those by the engine's parameters."""
    n = net.size
    arrays = {name: np.full(n, np.nan) for name in (*PARAMETERS, "V")}
    for p in net.populations:
        if p.is_source:
            continue
        part = slice(p.first, p.first + p.n)
        own = {name: values[part] for name, values in sums.items() if name != "tau_syn"}
        for name, values in (p.model.gradients(own) | {"V": own["V"]}).items():
            arrays.setdefault(name, np.full(n, np.nan))[part] = values
    return arrays


def without_time_constants(values):
    """What is left of these derivatives if the sums for tau_m were not kept."""
    return {name: array for name, array in values.items() if name not in TIME_CONSTANTS}


def of_ports(net, sums):
    """The derivative for tau_syn for all global ids and ports."""
    values = sums["tau_syn"].reshape(most_ports(net), net.size).T
    array = np.full(values.shape, np.nan)
    for p in net.populations:
        if p.has_currents:
            array[p.first : p.first + p.n, : p.model.n_ports] = values[p.first : p.first + p.n, : p.model.n_ports]
    return array


def noted(net, near, findings, n_warnings, by_neuron, by_projection):
    """`warnings` and `n_warnings` of Gradients; derivatives that overflow are told by a Python warning besides.

    Parameters
    ----------
    findings : list of tuple
        (sample or None, kind, neuron, source or -1, ms) of what the compiled pass found.
    by_neuron, by_projection : list of ndarray
        Sums of derivatives, which are finite numbers if nothing overflows.
    """
    listed = [gradient_warning(net, near, *finding, sample=sample) for sample, *finding in findings]
    overflows = [warning for warning in listed if warning.kind == "overflow"]
    if not overflows:
        # Times and voltages are finite: a sum over them, or its product with a weight, is not.
        bad = [int(np.argmin(np.isfinite(a))) % net.size for a in by_neuron if not np.isfinite(a).all()]
        bad += [net.projections[int(np.argmin(np.isfinite(a)))].post.first for a in by_projection
                if not np.isfinite(a).all()]  # fmt: skip
        overflows = [gradient_warning(net, near, OVERFLOW, bad[0], -1, float("nan"))] if bad else []
        listed, n_warnings = listed + overflows, n_warnings + len(overflows)
    if overflows:
        more = f" (so in {len(overflows)} samples)" if len(overflows) > 1 else ""
        warn(f"{overflows[0]}{more}", GradientOverflowWarning)
    return {"warnings": listed, "n_warnings": n_warnings}


def gradient_warning(net, near, kind, neuron, source, time, sample=None):
    """What the compiled pass found, for the user."""
    p = next(p for p in net.populations if p.first <= neuron < p.first + p.n)
    name, message = KINDS[kind]
    where = f"neuron {neuron - p.first} of population {p.name!r}"
    source = None if source < 0 else source
    return GradientWarning(name, neuron, where, time, source, message.format(near=near), sample)
