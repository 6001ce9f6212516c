"""Steering a simulation between two instants: its state, which can be read and set, and inputs that are changed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .. import _validation, inputs
from ..connectivity import ProceduralAdjacency, Purpose, _wiring, random_key
from ..engine.input import Changes, PoissonInput
from ..errors import ParameterError, shown, unknown_name
from ..models import names_of, require_currents

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

    from .._types import ArrayLike, Floats
    from ..network import Network, Population
    from ..network.parts import Drive
    from ..numerics.engine_time import Clock

__all__ = ["IN_FLIGHT", "Steered"]

#: A spike in flight: the global id of its neuron or source, and how many ms ago it was emitted.
IN_FLIGHT = np.dtype([("id", np.int64), ("age", np.float64)])

KEEP = "or keep_rest=True to leave the rest as it is"


class _Seen(np.ndarray):
    """An array that shows a part of the state; what tries to change it in place is told how."""

    def __new__(cls, values, name):
        array = np.array(values).view(cls)
        array.name = name
        array.flags.writeable = False
        return array

    def __array_finalize__(self, other):
        self.name = getattr(other, "name", "state")

    def _refuse(self):
        if not self.flags.writeable:
            raise ParameterError(
                f"{self.name} of a simulation is read-only: it is what was seen at one time, and a change would change "
                f"nothing. Make a copy, {self.name} = sim.{self.name}.copy(), change that, and call "
                f"sim.set_state({self.name}={self.name})"
            )

    def __setitem__(self, key: Any, value: Any) -> None:
        self._refuse()
        super().__setitem__(key, value)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        for array in out:
            if isinstance(array, _Seen):
                array._refuse()
        if out:
            options["out"] = tuple(_plain(array) for array in out)
        result = getattr(ufunc, method)(*(_plain(array) for array in inputs), **options)
        return out[0] if out and len(out) == 1 else result

    def __repr__(self) -> str:
        return repr(_plain(self))

    def __reduce__(self):
        return np.array, (_plain(self).copy(),)


class State(Mapping[str, np.ndarray]):
    """The state of a simulation at one time: arrays by name, for :meth:`Simulation.set_state`."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __or__(self, others: dict[str, Any]) -> dict[str, Any]:
        return dict(self) | others

    def __repr__(self) -> str:
        return f"<State: {', '.join(f'{name} {array.shape}' for name, array in self.items())}>"


def _age(value):
    """The age of a spike as a number in ms."""
    return _validation.real(value, "spikes_in_flight: age", "ages >= 0 ms", unit="ms", low=0.0)


def _plain(array):
    return array.view(np.ndarray) if isinstance(array, _Seen) else array


def _is_drive(given):
    """Whether it is a drive of some network: networks are described above this, and know what runs them."""
    return hasattr(given, "input")


class Steered:
    """What of a :class:`sparseprop.Simulation` looks at its state and changes what goes on."""

    network: Network
    _engine: Any
    _clock: Clock

    if TYPE_CHECKING:  # of a Simulation

        @property
        def time(self) -> float: ...
        def _owned(self) -> AbstractContextManager[None]: ...

    def _start_steering(self):
        self._longest = None
        self._calls = []  # what was called, without repetition
        self._drives = list(self.network.drives)
        self._steps = [drive for drive in self._drives if isinstance(drive.input, inputs.Steps)]
        self._changes = self._source.changes  # all changes of currents, also once some are not the network's own
        self._set_drives = {}  # by number of a drive with steps: what it adds to I_e from then on
        self._set_rates = {}  # by number of a Poisson input: rates in Hz, since when, the how manieth

    # Looking ----------------------------------------------------------------------------------------------------

    @property
    def V(self) -> Floats:
        """Membrane potentials now, shape (n,), global order; V_reset where refractory, NaN for sources. Read-only."""
        with self._owned():
            return _Seen(self._voltages(), "V")

    @V.setter
    def V(self, values: Any) -> None:
        raise ParameterError("V of a simulation is read-only; call sim.set_state(V=...)")

    @property
    def I_syn(self) -> Floats:
        """Synaptic currents now, shape (n, ports), global order; NaN where there is no such port. Read-only."""
        with self._owned():
            return _Seen(self._currents(), "I_syn")

    @I_syn.setter
    def I_syn(self, values: Any) -> None:
        raise ParameterError("I_syn of a simulation is read-only; call sim.set_state(I_syn=...)")

    @property
    def state(self) -> State:
        """All that the future depends on, besides the network and its inputs: a read-only mapping of arrays.

        ``V`` : shape (n,)
            As :attr:`V`.
        ``I_syn`` : shape (n, ports)
            As :attr:`I_syn`; only in networks with synaptic currents.
        ``time_since_spike`` : shape (n,)
            ms since the last spike of neurons in their refractory periods; infinite for all others, of which it does
            not matter.
        ``spikes_in_flight`` : structured array with the fields ``id`` and ``age``
            Spikes that have not reached all of their targets: the global id of the neuron or source, and how many ms
            ago it was emitted.

        ``sim.set_state(**sim.state)`` changes nothing. See docs/steering.md.
        """
        with self._owned():
            state = {"V": _Seen(self._voltages(), "V")}
            if self._ports():
                state["I_syn"] = _Seen(self._currents(), "I_syn")
            state["time_since_spike"] = _Seen(self._time_since_spike(), "time_since_spike")
            state["spikes_in_flight"] = _Seen(self._in_flight()[0], "spikes_in_flight")
            return State(state)

    def _voltages(self):
        return np.asarray(self._engine.voltages(), dtype=float)

    def _ports(self):
        """The largest number of synaptic currents that a population has; 0 if none has any."""
        return max((p.model.n_ports for p in self._neurons() if p.has_currents), default=0)

    def _neurons(self):
        """The populations that are not of sources, as of the beginning."""
        return [p for p in self.network.populations[: len(self._populations)] if not p.is_source]

    def _currents(self):
        currents = np.full((self._source.size, self._ports()), np.nan)
        for p in self._neurons():
            if p.has_currents:
                ids = np.arange(p.first, p.first + p.n)
                currents[ids] = np.asarray(self._engine.currents(ids), dtype=float)[:, : self._ports()]
        return currents

    def _time_since_spike(self):
        since = np.full(self._source.size, np.inf)
        for p in self._neurons():
            left = self._interval(self._engine.now, self._engine.releases(p.index))
            held = left > 0.0
            t_ref = np.broadcast_to(p.model.t_ref, (p.n,))
            since[p.first : p.first + p.n][held] = np.maximum(t_ref[held] - left[held], 0.0)
        return since

    def _interval(self, start, pairs):
        """From one pair to each row of an array of pairs, in ms."""
        return (pairs[:, 0] - start[0]) * self._clock.epoch + (pairs[:, 1] - start[1])

    def _in_flight(self):
        """The spikes in flight, and as (n, s, id)."""
        emissions, last, longest = self._engine.emissions(), tuple(self._engine.last), self._longest_delay
        kept = [
            (n, s, i)
            for n, s, i in emissions.tolist()
            if longest[int(i)] > 0.0 and self._clock.add((int(n), s), longest[int(i)].item()) > last
        ]
        emissions = np.array(sorted(kept), dtype=float).reshape(-1, 3)
        flights = np.empty(len(emissions), IN_FLIGHT)
        flights["id"] = emissions[:, 2]
        flights["age"] = -self._interval(self._engine.now, emissions)
        return flights, emissions

    @property
    def _longest_delay(self):
        """Of the synapses of each neuron and source; 0 where it has none."""
        if self._longest is None:
            mine = self._longest_here()
            self._longest = mine if self._ranks is None else np.max(self._ranks.gather_objects(mine), axis=0)
        return self._longest

    def _longest_here(self):
        """The same, of the synapses that are here."""
        longest = np.zeros(self._source.size)
        for projection in self._source.projections:
            pre = self._source.populations[projection.pre]
            mine = longest[pre.first : pre.first + pre.size]
            if isinstance(projection.adjacency, ProceduralAdjacency):
                if projection.adjacency.degree:
                    np.maximum(mine, projection.delay, out=mine)
                continue
            rows, offsets = np.flatnonzero(np.diff(projection.adjacency.offsets)), projection.adjacency.offsets
            if isinstance(projection.delay, float):
                mine[rows] = np.maximum(mine[rows], projection.delay)
                continue
            for first, stop in _wiring.row_blocks(offsets):
                filled = rows[np.searchsorted(rows, first) : np.searchsorted(rows, stop)]
                if filled.size:
                    delays = _wiring.rows_of(projection.delay, offsets, first, stop)
                    longest_of_rows = np.maximum.reduceat(delays, offsets[filled] - offsets[first])
                    mine[filled] = np.maximum(mine[filled], longest_of_rows)
        return longest

    # Setting ----------------------------------------------------------------------------------------------------

    def set_state(
        self,
        *,
        V: ArrayLike | Mapping[str, ArrayLike] | None = None,
        I_syn: ArrayLike | Mapping[str, ArrayLike] | None = None,
        time_since_spike: ArrayLike | Mapping[str, ArrayLike] | None = None,
        spikes_in_flight: ArrayLike | None = None,
        keep_rest: bool = False,
    ) -> None:
        """Set what is given, at the present time; nothing else changes.

        Parameters
        ----------
        V : array_like of shape (n,), or dict by population, optional
            Membrane potentials below threshold, global order, NaN for sources; or ``{"E": ...}`` with a number or one
            per neuron. Neurons in their refractory periods are at V_reset.
        I_syn : array_like of shape (n, ports), or dict by population, optional
            Synaptic currents.
        time_since_spike : array_like of shape (n,), or dict by population, optional
            ms since the last spike: who spiked less than t_ref ago is refractory for the rest of it. Infinite: is not.
        spikes_in_flight : array_like with the fields ``id`` and ``age``, optional
            In place of those that are in flight.
        keep_rest : bool
            V alone is not the whole state of a network with spikes in flight, refractory neurons or currents. Where it
            is not, and the rest is not given, this has to say that the rest is to stay as it is.

        Raises
        ------
        ParameterError
            For values that are not allowed; for V without the rest of the state.

        Notes
        -----
        In a callback of a run, too, but not with ``tape=True``. Neurons whose values do not differ from the present
        ones are not touched, so ``sim.set_state(**sim.state)`` is exactly nothing.

        Examples
        --------
        >>> import sparseprop as sp
        >>> net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=50, seed=1)
        >>> sim = sp.Simulation(net)
        >>> _ = sim.run(50.0)
        >>> V = sim.V.copy()
        >>> V[0] -= 1e-6
        >>> sim.set_state(V=V)
        >>> bool(sim.V[0] < V[0] + 1e-7)
        True
        """
        keep_rest = _validation.flag(keep_rest, "keep_rest")
        with self._steered("set_state"):
            given = {"V": V, "I_syn": I_syn, "time_since_spike": time_since_spike, "spikes_in_flight": spikes_in_flight}
            given = {name: value for name, value in given.items() if value is not None}
            if not given:
                raise ParameterError(
                    "set_state() got nothing to set; give V, I_syn, time_since_spike, spikes_in_flight"
                )
            seen = dict(self.state)
            wanted = {
                name: self._global(name, given[name], seen[name]) if name in given else _plain(seen[name])
                for name in ("V", "I_syn", "time_since_spike")
                if name in seen or name in given
            }
            if "V" in given and not keep_rest:
                self._require_whole(given, seen)
            flights = self._wanted_flights(given["spikes_in_flight"]) if "spikes_in_flight" in given else None
            self._place(given, wanted, seen)
            if flights is not None:
                self._engine.set_flights(*flights)

    def _require_whole(self, given, seen):
        """That what V does not say is given too, where there is anything."""
        missing = {}
        if "spikes_in_flight" not in given and len(seen["spikes_in_flight"]):
            missing["spikes_in_flight"] = f"{len(seen['spikes_in_flight'])} spikes are in flight"
        if "time_since_spike" not in given and np.isfinite(seen["time_since_spike"]).any():
            missing["time_since_spike"] = f"{np.isfinite(seen['time_since_spike']).sum()} neurons are refractory"
        if "I_syn" not in given and "I_syn" in seen and (np.nan_to_num(seen["I_syn"]) != 0.0).any():
            missing["I_syn"] = "synaptic currents flow"
        if missing:
            raise ParameterError(
                f"V is not the whole state now: {' and '.join(missing.values())}. Give {', '.join(missing)} as well "
                f"(sim.state has them all), {KEEP}"
            )

    def _global(self, name, given, seen):
        """What was given, as an array in global order."""
        if name == "I_syn" and not self._ports():
            known = names_of(lambda model: model.has_currents)
            raise ParameterError(f"I_syn is for networks with {known} neurons; no neuron of this one has currents")
        unit = "ms" if name == "time_since_spike" else None
        if not isinstance(given, dict):
            given = _validation.plain(_plain(given), name, unit)
            if given.shape != seen.shape:
                raise ParameterError(
                    f"{name} must have shape {seen.shape}, in global order, or be a dict by population, got shape "
                    f"{given.shape}"
                )
            given = {p.name: given[p.first : p.first + p.n] for p in self._neurons()}
        wanted = _plain(seen).copy()
        for key, value in given.items():
            p = self._neuron_population(key)
            part = slice(p.first, p.first + p.n)
            what = f"{name} of population {p.name!r}"
            value = _validation.plain(_plain(value), what, unit)
            if name == "V":
                # What is now need not be below threshold: a neuron may be due.
                same = value.shape == (p.n,) and value == wanted[part]
                value = np.where(same, np.broadcast_to(p.model.V_reset, (p.n,)), value) if np.any(same) else value
                checked = self.network._initial_voltage(value, p.model, p.name, p.n)
                wanted[part] = np.where(same, wanted[part], checked)
            elif name == "time_since_spike":
                value = value if value.ndim else np.full(p.n, value)
                wanted[part] = _validation.real_array(value, what, "times >= 0 ms", size=p.n, low=0.0, infinite=True)
            elif p.has_currents:
                ports = p.model.n_ports
                if value.shape == (p.n, self._ports()):
                    value = value[:, :ports]  # behind them are those of other populations
                wanted[part, :ports] = self.network._initial_currents(value, p.model, p.name, p.n)
            elif not np.isnan(value).all():
                raise ParameterError(f"{what} must be NaN or left out: it has no currents")
        return wanted

    def _neuron_population(self, key):
        """A population of neurons, by itself or its name."""
        for p in self._neurons():
            if key is p or key == p.name:
                return p
        raise unknown_name("population", getattr(key, "name", key), [p.name for p in self._neurons()])

    def _place(self, given, wanted, seen):
        """Give the neurons that differ their new states."""
        n = self._source.size
        differs = np.zeros(n, bool)
        for name, array in wanted.items():
            if name in given:
                same = (array == seen[name]) | (np.isnan(array) & np.isnan(_plain(seen[name])))
                differs |= ~same.reshape(n, -1).all(axis=1)
        ids = np.flatnonzero(differs)
        if not ids.size:
            return
        t_ref, V_reset = np.zeros(n), np.full(n, np.nan)
        for p in self._neurons():
            t_ref[p.first : p.first + p.n] = p.model.t_ref
            V_reset[p.first : p.first + p.n] = p.model.V_reset
        refractory = np.maximum(t_ref - wanted["time_since_spike"], 0.0)[ids]
        V = np.where(refractory > 0.0, V_reset[ids], wanted["V"][ids])
        if "V" in given:
            wrong = (refractory > 0.0) & (wanted["V"][ids] != V)
            if wrong.any():
                k = int(np.argmax(wrong))
                p = next(p for p in self._neurons() if p.first <= ids[k] < p.first + p.n)
                raise ParameterError(
                    f"V of population {p.name!r}: neuron {ids[k] - p.first} is refractory for {refractory[k]:g} ms and "
                    f"stays at V_reset = {float(V[k])!r} meanwhile, got {float(wanted['V'][ids[k]])!r}; leave it at "
                    "that, or end the period with time_since_spike=inf"
                )
        currents = np.ascontiguousarray(wanted["I_syn"][ids]) if "I_syn" in wanted else np.zeros((ids.size, 1))
        self._engine.place(ids, np.ascontiguousarray(V), refractory, currents)

    def _wanted_flights(self, given):
        """What an engine needs to set spikes in flight; None where nothing differs."""
        if isinstance(given, (list, tuple)):
            given = [(pair[0], _age(pair[1])) if isinstance(pair, tuple) and len(pair) == 2 else pair for pair in given]
        try:
            given = np.atleast_1d(np.asarray(given, dtype=IN_FLIGHT))
        except (TypeError, ValueError):
            raise ParameterError(
                "spikes_in_flight must be an array with the fields id and age, as that of sim.state, or a list of "
                "tuples (id, age)"
            ) from None
        flights, emissions = self._in_flight()
        if np.array_equal(given, flights):
            return None
        ids = _validation.index_array(given["id"], "spikes_in_flight: id", self._source.size)
        ages = _validation.real_array(given["age"], "spikes_in_flight: age", "ages >= 0 ms", low=0.0)
        H, now = self._clock.epoch, self._engine.now
        # All before now is over, and if the present instant has been taken, so is what arrives now.
        last = tuple(self._engine.last)
        over = max(last, (now[0], np.nextafter(now[1], -1.0).item()) if now[1] > 0.0 else (now[0] - 1, H))
        longest = self._longest_delay
        wanted = []
        known = dict(zip(flights.tolist(), emissions.tolist(), strict=True))
        for i, age in zip(ids.tolist(), ages.tolist(), strict=True):
            if (i, age) in known:
                wanted.append(tuple(known[i, age]))
                continue
            pair = self._clock.add(now, -age)
            if abs(longest[i] - age) <= self._clock.tolerance and over < now:
                # What arrives now by all but rounding, arrives now.
                while self._clock.add(pair, longest[i].item()) < now:
                    pair = (pair[0], np.nextafter(pair[1], np.inf).item())
            if not longest[i] > 0.0 or self._clock.add(pair, longest[i].item()) <= over:
                raise ParameterError(
                    f"spikes_in_flight: a spike of id {i}, {age!r} ms old, is not in flight: the longest delay of its "
                    f"synapses is {float(longest[i])!r} ms; leave it out"
                )
            wanted.append((*pair, i))
        return np.array(sorted(wanted), dtype=float).reshape(-1, 3), over

    # Inputs -----------------------------------------------------------------------------------------------------

    def inject(self, population: Population | str, times: ArrayLike, ids: ArrayLike) -> None:
        """Add spikes to those of a source, after the present time: between two runs, or in a callback of one.

        Parameters
        ----------
        population : Population or str
            Made with :class:`sparseprop.SpikeSource` (which may be without spikes: ``sp.SpikeSource([], [])``).
        times : float or array_like
            ms, in any order; after `time`, or at it as long as that instant has not been taken (as after a run with a
            duration).
        ids : int or array_like of int
            Which neuron of the population each one is of.

        Raises
        ------
        ParameterError
            For spikes in the past, a population that is none of given spikes, or in a run with a tape.

        Examples
        --------
        >>> import sparseprop as sp
        >>> net = sp.Network(seed=1)
        >>> hand = net.add(1, sp.SpikeSource([], []), name="hand")
        >>> neuron = net.add(1, sp.LIF(tau_m=10.0), name="neuron")
        >>> p = net.connect(hand, neuron, sp.all_to_all(), weight=1.5, delay=1.0)
        >>> sim = sp.Simulation(net)
        >>> for _ in range(3):
        ...     _ = sim.run(5.0)
        ...     sim.inject("hand", sim.time + 0.5, 0)
        >>> sim.run(5.0).times
        array([16.5])
        """
        with self._steered("inject"):
            p = self._any_population(population)
            if not isinstance(p.model, inputs.SpikeSource):
                raise ParameterError(
                    f"population must be a SpikeSource, got {p!r}; add one, sp.SpikeSource([], []), and connect it to "
                    "the neurons that the spikes are for"
                )
            given_times = times if _validation.is_array(times) else [times]
            given_ids = ids if _validation.is_array(ids) else [ids]
            times = _validation.real_array(given_times, "inject: times", "finite times >= 0 ms", unit="ms", low=0.0)
            ids = _validation.index_array(given_ids, "inject: ids", p.n)
            if times.size != ids.size:
                raise ParameterError(f"inject: times and ids must have one length, got {times.size} and {ids.size}")
            if not times.size:
                return
            times = np.where(times == self.time, self._present(), times) + 0.0
            if self._clock.pair(times.min().item()) < self._engine.now:
                raise ParameterError(
                    f"inject: times must be after the present, {self.time!r} ms, got {float(times.min())!r}"
                )
            before_times, before_ids = self._engine.injected
            times, ids = np.concatenate([before_times, times]), np.concatenate([before_ids, ids + p.first])
            order = np.lexsort((ids, times))
            self._engine.injected = times[order], ids[order]

    def _present(self):
        """The first time in ms from now on that has not been taken; it reads as the present, but for rounding."""
        now, time = self._engine.now, self.time
        while self._clock.pair(time) < now or self._clock.pair(time) <= tuple(self._engine.last):
            time = math.nextafter(time, math.inf)
        return time

    def set_drive(self, drive: Drive | Population | int | str, values: ArrayLike) -> None:
        """Change a current or a rate from now on: between two runs, or in a callback of one.

        Parameters
        ----------
        drive : Drive, int, Population or str
            What :meth:`Network.drive` returned, or its number; or a population made with
            :class:`sparseprop.PoissonSource`.
        values : float or array_like of shape (n,)
            Of ``sp.steps``: what is added to I_e; V goes on continuously. Of ``sp.poisson`` or a PoissonSource: the
            rate in Hz. They hold until the next call: what the drive itself says of later times is dropped.

        Raises
        ------
        ParameterError
            For values that are not allowed, or in a run with a tape.
        """
        with self._steered("set_drive"):
            known = self._known_drive(drive)
            if _is_drive(known) and isinstance(known.input, inputs.Steps):
                self._set_current(known, values)
            else:
                self._set_rate(known, values)

    def _known_drive(self, given):
        """A drive of the network, or a population of Poisson sources."""
        if _is_drive(given):
            if any(given is drive for drive in self._drives):
                return given
            raise ParameterError(f"drive must be one of this network, got {shown(given)}")
        if isinstance(given, str) or hasattr(given, "model"):
            p = self._any_population(given)
            if isinstance(p.model, inputs.PoissonSource):
                return p
            raise ParameterError(
                f"drive must be what net.drive() returned, or a PoissonSource, got {p!r}; net.drives has the drives"
            )
        last = len(self._drives) - 1
        allowed = f"what net.drive() returned, its number from 0 to {last}, or a PoissonSource"
        return self._drives[_validation.integer(given, "drive", allowed, low=0, high=last)]

    def _any_population(self, given):
        p = self.network._population(given, "population")
        if p.index >= len(self._populations):
            raise ParameterError(f"{p!r} was added after this simulation was made; make a new one")
        return p

    def _set_current(self, drive, values):
        """What the drive adds to I_e of its population."""
        p, where = drive.population, f"values for the {drive!r}"
        if _validation.is_array(values):
            values = _validation.real_array(values, where, size=p.n)
        else:
            values = _validation.real(values, where)
        drives = self._set_drives | {drive.index: values}
        # What holds now of each population, and what is to come; of this one the other drives' steps.
        old, over, times, currents = self._changes, self._engine.n_changes, {}, {}
        for number in sorted({p.index, *old.currents}):
            held = old.last(number, over)
            later = over + np.flatnonzero(old.populations[over:] == number)
            when, then = old.times[later], [old.currents[number][old.rows[later]]] if number in old.currents else []
            if number == p.index:
                when, total = self._all_steps(p, drives)
                require_currents(p.model, when, total, where)
                then = [p.model.I_e + total]
            if held >= 0:
                # It is over, whenever that was: before all others, and time 0 may be still to come.
                when, then = np.append(-1.0, when), [old.currents[number][old.rows[held]][None], *then]
            width = max(part.shape[1] for part in then)
            times[number] = when
            currents[number] = np.concatenate([np.broadcast_to(part, (len(part), width)) for part in then])
        self._give_changes(times, currents, sum(old.last(number, over) >= 0 for number in old.currents))
        self._set_drives = drives

    def _all_steps(self, p, drives):
        """When I_e of a population changes from now on, the first time now; and what is added to it then.

        With what was set of some drives, by their numbers.
        """
        now = self.time
        mine = [d for d in self._steps if d.population is p]
        times = [d.input.times[d.input.times > now] for d in mine if d.index not in drives]
        times = np.unique(np.concatenate([[now], *times]))
        parts = [np.reshape(drives[d.index], (1, -1)) if d.index in drives else d.input.at(times) for d in mine]
        return times, sum(parts, np.zeros((len(times), 1)))

    def _give_changes(self, times, currents, over):
        """To the engine, as :class:`sparseprop.engine.input.Changes`; so many are over."""
        parameters = {number: self.network.populations[number].model.parameters() for number in times}
        self._changes = Changes(times, currents, parameters)
        self._engine.set_changes(self._changes, over)

    def _set_rate(self, drive, values):
        """The rates of Poisson processes."""
        is_drive = _is_drive(drive)
        n = (drive.population if is_drive else drive).n
        if _validation.is_array(values):
            values = _validation.real_array(
                values, f"values for the {drive!r}", "rates >= 0 Hz", unit="Hz", size=n, low=0.0
            )
        else:
            values = _validation.real(values, f"values for the {drive!r}", "a rate >= 0 Hz", unit="Hz", low=0.0)
        purpose = Purpose.DRIVE if is_drive else Purpose.POISSON_SOURCE
        k = next(k for k, p in enumerate(self._source.processes) if (p.purpose, p.index) == (int(purpose), drive.index))
        number = self._set_rates[k][2] + 1 if k in self._set_rates else 1
        rates = values, self._clock.milliseconds(self._engine.now), number
        self._set_process(k, *rates)
        self._set_rates[k] = rates

    def _set_process(self, k, values, since, number):
        """Give the engine rates for the Poisson input number k since a time; with random numbers of its own."""
        process = inputs.poisson(np.reshape(values, (1, -1)), [since])
        old = self._source.processes[k]
        key = random_key([self._header["seed"], old.purpose, old.index, number])
        population = self.network.populations[old.population]
        self._engine.set_process(
            k,
            PoissonInput.of(process, population, key, old.purpose, old.index, old.weight, self._clock.epoch, old.port),
        )

    # Rules ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _steered(self, name):
        """Nothing else may use the engine meanwhile; a tape does not know of what is done here."""
        self._require_sound()
        if self._taped:
            raise ParameterError(
                f"{name}() was called in a run with tape=True, of which gradients would then be wrong; leave the tape "
                "out, or steer between two runs"
            )
        with self._owned():
            yield
        if name not in self._calls:
            self._calls.append(name)

    def _check_tape_after(self):
        """What was steered before a run with a tape."""
        if self._set_rates or self._set_drives:
            raise ParameterError(
                "tape: gradients know the drives that the network was made with only, and set_drive() was called; "
                "describe the input by sp.steps or sp.poisson with times"
            )
        if len(self._engine.injected[0]):
            raise ParameterError(
                "tape: gradients know the spikes that a SpikeSource was made with only, and injected ones are still to "
                "come; give them to sp.SpikeSource, or run until they are over"
            )

    def _steering_state(self):
        """For a file: what was set, besides what is in the engine's state."""
        return {
            "calls": self._calls,
            "changes": self._packed_changes() if self._set_drives else None,
            "drives": [[k, value] for k, value in self._set_drives.items()],
            "rates": [[k, *rest] for k, rest in self._set_rates.items()],
        }

    def _restore_steering(self, saved):
        """Undo :meth:`_steering_state`, before the engine's state is restored."""
        if saved is None:
            return
        self._calls = list(saved["calls"])
        self._set_drives = {int(k): value for k, value in saved["drives"]}
        self._set_rates = {int(k): (values, since, int(number)) for k, values, since, number in saved["rates"]}
        for k, rates in self._set_rates.items():
            self._set_process(k, *rates)
        if saved["changes"] is not None:
            times, currents = ({int(k): array for k, array in pairs} for pairs in saved["changes"])
            self._give_changes(times, currents, 0)

    def _packed_changes(self):
        """Times and currents, by population."""
        changes = self._changes
        times = [[k, changes.times[changes.populations == k]] for k in changes.currents]
        return [times, [[k, array] for k, array in changes.currents.items()]]
