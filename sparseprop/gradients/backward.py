"""The pass back through a run with ``tape=True``, and its pauses."""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

import numpy as np

from .. import _core, _validation
from ..engine._backward import Adjoint
from ..engine._slices_back import AdjointBySlices
from ..engine.input import goes_by_slices
from ..errors import ParameterError
from ..inputs import SpikeSource, Steps
from .gradients import OVERFLOW, assembled, given_currents, most_ports, new_sums, noted, sums_by_projection

if TYPE_CHECKING:
    from typing import Any

    from .._types import Floats

__all__ = ["INVARIANT", "backward", "checked_derivatives", "overflows_are_told"]

BUDGET = 1 << 20  # events between two looks for Ctrl-C
INVARIANT = 1e-9  # relative error of the sum rule that a debug build allows


def backward(result, dL_dtimes, dL_dV=None, *, weights=True, tau_m=True, n_threads=None):
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
    n_threads = _checked_threads(n_threads, tape.source)
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
    tape.open()
    with overflows_are_told():
        return _Backward(result, tape, weights, tau_m, n_threads).run(dL_dtimes, dL_dV)


def _checked_threads(n_threads, source):
    """What ``n_threads=`` was, if the pass back through this network can use so many; None for all cores."""
    if n_threads is None:
        return None
    n_threads = _validation.integer(n_threads, "n_threads", "a whole number >= 1, or None for all cores", low=1)
    if n_threads > 1 and not goes_by_slices(source):
        raise ParameterError(
            f"n_threads must be 1 or None for the backward pass of this network, got {n_threads}: there are several "
            "threads only where each synapse between neurons has a delay"
        )
    return n_threads


def _is_worth_slices(source):
    """Whether the pass back goes by slices: where projections have one delay each, it is faster instant by instant."""
    return goes_by_slices(source) and any(
        not isinstance(projection.delay, float) and projection.adjacency.n_synapses for projection in source.projections
    )


def overflows_are_told():
    """A context in which NumPy is silent of sums that are no finite numbers, as :func:`noted` tells neuron and time."""
    return np.errstate(over="ignore", invalid="ignore")


def checked_derivatives(values: Any, name: str, shape: tuple[int, ...], meaning: str) -> Floats:
    """`values` as a float64 array of a shape, all finite."""
    is_such = type(values) is np.ndarray and values.dtype == np.float64 and values.shape == shape
    if is_such and values.flags.c_contiguous and np.isfinite(values).all():
        return values
    array = _validation.plain(values, name)
    if array.shape != shape:
        raise ParameterError(f"{name} must have shape {shape}, {meaning}, got shape {array.shape}")
    return _validation.real_array(array, name, "finite numbers", ndim=len(shape), copy=False)


class _Backward:
    """One backward pass: the compiled one, and what is needed at its pauses."""

    def __init__(self, result, tape, weights, tau_m, n_threads):
        self.result, self.tape, self.source, self.net = result, tape, tape.source, result._network
        self.weights, self.tau_m = weights, tau_m
        n = self.source.size
        self.sums = new_sums(n, most_ports(self.net))
        self.by_current = np.full((n, most_ports(self.net)), np.nan)
        self.by_weight = [np.zeros(p.n_synapses) if weights else None for p in self.net.projections]
        self.by_delay = [
            None if isinstance(p.kept("delay"), float) else np.zeros(p.n_synapses) for p in self.net.projections
        ]
        self.by_drive = [
            np.zeros(process.n) if isinstance(process.weight, np.ndarray) else None for process in self.source.processes
        ]
        self.near = tape.near
        arrays = (self.sums, self.by_weight, self.by_delay, self.by_drive)
        if _is_worth_slices(self.source):
            self.adjoint = AdjointBySlices(self.source, tape.start, *arrays, tau_m, self.near, n_threads)
        else:
            self.adjoint = Adjoint(self.source, tape.start, *arrays, tau_m, self.near)
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
        for recording in self.tape.recordings():
            spikes = self._recorded(recording)
            by_time = np.zeros(len(recording))
            position -= len(spikes)
            by_time[spikes] = dL_dtimes[position : position + len(spikes)]
            self._give(recording, by_time, carried, dL_dtimes[:position])
            self.adjoint.load(recording, by_time, self.tape.last_before)
            self._take(recording, samples)
            carried = self._carry(recording, by_time)
            self._note_inputs(recording, by_time)
            self.size += float(np.abs(by_time).sum())
            last = recording
        self.rest += sum(sum(values) for values in carried.values())
        V = self._start(last)
        return self._gradients(V, float(dL_dtimes[position:].sum()))

    # Parts

    def _recorded(self, recording):
        """Where on the tape the spikes are that belong to result.times."""
        _, _, ids, where = recording.entries("spikes")
        if self.result._record_sources:
            more = recording.entries("emitted")
            ids, where = np.concatenate([ids, more[2]]), np.concatenate([where, more[3]])
            order = np.argsort(where, kind="stable")
            ids, where = ids[order], where[order]
        mask = self.result._mask
        return where if mask is None else where[mask[ids]]

    def _give(self, recording, by_time, carried, dL_dtimes):
        """To the spikes of a part all of dL/d(time) that later ones found, to which this one adds.

        What is on its way when the part begins is a spike of an earlier one, with one of these `dL_dtimes`.
        """
        new = []
        first = min(carried, default=(math.inf, 0.0))[:2]
        for kind in ("past", "spikes", "emitted"):
            n, s, ids, where = recording.entries(kind)
            some = slice(None) if kind == "past" else (n > first[0]) | ((n == first[0]) & (s >= first[1]))
            for *key, k in zip(*(column[some].tolist() for column in (n, s, ids, where)), strict=True):
                if carried.get(tuple(key)):
                    by_time[k] = carried[tuple(key)].pop(0)
                elif kind == "past" and tuple(key[:2]) > self.tape.last_before:
                    new.append((*key, k))
        if new and dL_dtimes.any():
            self._begin_with_the_loss(new, by_time, dL_dtimes)

    def _begin_with_the_loss(self, spikes, by_time, dL_dtimes):
        """To spikes (n, s, id, place on the tape) of earlier parts what the loss says of them, if it has them."""
        times, ids = self.result.times[: len(dL_dtimes)], self.result.ids
        seen = {}  # a source may spike several times at one time: the last ones are on their way
        for n, s, i, k in reversed(spikes):
            t = self.source.clock.milliseconds((n, s))
            low, high = (int(np.searchsorted(times, t, side=side)) for side in ("left", "right"))
            found = low + np.flatnonzero(ids[low:high] == i)
            at = seen[t, i] = seen.get((t, i), 0) + 1
            if at <= len(found):
                by_time[k] = dL_dtimes[found[-at]]

    @staticmethod
    def _carry(recording, by_time):
        """dL/d(time) so far of spikes of earlier parts that were on their way when this one began."""
        carried = {}  # lists: a source may spike several times at one time
        for n, s, i, k in zip(*(column.tolist() for column in recording.entries("past")), strict=True):
            carried.setdefault((n, s, i), []).append(by_time[k])
        return carried

    def _samples(self, dL_dV):
        """The recorded voltages that matter, as [(pair, V, sums of synaptic currents, dL/dV)], ascending."""
        if dL_dV is None:
            return []
        result, pairs = self.result, [self.source.clock.pair(float(t)) for t in self.result.V_times]
        first = bisect.bisect_left(pairs, self.tape.begins)
        np.add.at(self.read, result.V_ids, dL_dV[first:].sum(axis=0))
        rows = list(zip(pairs, result.V, self.tape.currents, dL_dV, strict=True))
        return [
            (pair, np.ascontiguousarray(V), currents, np.ascontiguousarray(by_V))
            for pair, V, currents, by_V in rows[first:]
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
        # The stretch that the run began in belongs to the change of parameters before, which took place earlier.
        in_force = {self.source.changes[k][1]: k for k in range(recording.n_changes_before)}
        for number, k in in_force.items():
            stretch = self._stretch(number, self.source.changes[k][2]["I_e"])
            self.by_step[k] = stretch * self._model(number).drive_scale()
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
        adjoint.add_up()
        shift, size = adjoint.shift
        total = shift + self.rest - explicit
        error = abs(total) / max(self.size + size, 1e-300)
        findings, n_warnings = adjoint.findings
        overflows = any(finding[0] == OVERFLOW for finding in findings)
        if _core.BUILD_MODE.startswith("debug") and not overflows and not error <= INVARIANT:
            raise AssertionError(f"later by the same for all is not the same: {total!r}")
        weight_sums, delay_sums = sums_by_projection(adjoint)
        drives, k = {}, 0
        for k, process in enumerate(self.source.processes):
            if process.weight is not None:
                array = self.by_drive[k]
                drives[process.index] = float(np.asarray(adjoint.drive_sums)[k]) if array is None else array
        last = self.sums["I_e"]
        sums = self.sums | {"V": V, "read": self.read, "I_e": last + self.I_e_before}
        sums["I_e_times"] = last * given_currents(self.source) + self.I_e_times
        return assembled(
            self.net,
            sums,
            self.by_current,
            (self.by_weight, weight_sums, self.by_delay, delay_sums),
            self.tau_m,
            input_times=self._of_inputs(),
            drive_weight=drives,
            steps=self._of_steps(),
            **noted(
                self.net,
                self.near,
                [(None, *finding) for finding in reversed(findings)],
                n_warnings,
                [*self.sums.values(), self.read],
                [weight_sums, delay_sums],
            ),
            n_ties=adjoint.n_ties,
            t_start=self.source.clock.milliseconds(self.tape.start),
            invariant_error=error,
        )
