"""Steering a simulation: its state, injected spikes and changed drives, with all engines to the same bits."""

import copy
import math
import pickle
import tracemalloc

import numpy as np
import pytest
from random_networks import longest_period, random_network

import sparseprop as sp
from sparseprop.errors import NumericalError, ParameterError, RunawayError

ENGINES = ["window", "heap", "reference"]


def everything():
    """A network with all that is state: refractoriness, currents, spikes in flight of both kinds; and with inputs."""
    net = sp.Network(seed=1)
    hand = net.add(2, sp.SpikeSource([3.0], [1]), name="hand")
    a = net.add(5, sp.LIF(tau_m=10.0, I_e=1.2, t_ref=2.0), name="a")
    b = net.add(3, sp.LIFExp(tau_m=10.0, tau_syn=(2.0, 5.0), I_e=1.1, t_ref=1.0), name="b")
    c = net.add(3, sp.QIF(tau_m=10.0, I_e=0.5), name="c")
    d = net.add(2, sp.QuadraticIF(C_m=100.0, g_L=10.0, V_r=-60.0, V_t=-40.0, V_peak=30.0, V_reset=-55.0, I_e=120.0),
                name="d")  # fmt: skip
    f = net.add(2, sp.PoissonSource(0.0), name="f")
    net.connect(hand, a, sp.all_to_all(), weight=0.3, delay=1.0)
    net.connect(a, b, sp.all_to_all(), weight=0.1, delay=sp.uniform(0.5, 3.0))
    net.connect(b, c, sp.all_to_all(), weight=-0.1, delay=1.5)
    net.connect(c, a, sp.all_to_all(), weight=-0.05)
    net.connect(f, c, sp.all_to_all(), weight=0.2, delay=0.5)
    net.connect(a, d, sp.all_to_all(), weight=1.0)
    net.drive(a, sp.steps([5.0, 30.0], [0.1, 0.2]))
    net.drive(a, sp.steps([7.0, 28.0], [0.05, -0.1]))
    net.drive(c, sp.poisson(0.0), weight=0.1)
    return net


def pieces(net, engine, *steps):
    """What a simulation with steps of steering gives: functions of it, and durations to run for."""
    sim = sp.Simulation(net, engine=engine)
    seen = []
    for step in steps:
        if callable(step):
            step(sim)
            seen.append(sim.V.tobytes())
        else:
            r = sim.run(step, progress=False, record=sp.Record(record_sources=True))
            seen.append((r.times.tolist(), r.ids.tolist(), r.n_synaptic_events, r.n_drive_events, r.n_close_calls))
    return seen


STEPS = [
    10.0,
    lambda sim: sim.inject("hand", [sim.time, sim.time + 0.5, 12.0], [0, 1, 1]),
    lambda sim: sim.set_drive(0, [0.1, 0.2, 0.3, 0.4, 0.5]),
    lambda sim: sim.set_drive(2, 500.0),
    lambda sim: sim.set_drive("f", [0.0, 800.0]),
    12.0,
    lambda sim: sim.set_drive(2, [100.0, 0.0, 900.0]),
    lambda sim: sim.set_drive(0, 0.3),
    lambda sim: sim.inject("hand", 30.0, 0),
    5.0,
    lambda sim: sim.set_state(I_syn={"b": [0.2, -0.1]}),
    lambda sim: sim.set_state(V={"c": -0.5, "d": [-58.0, -50.0]}, keep_rest=True),
    lambda sim: sim.set_state(time_since_spike={"a": [0.0, 1.0, 1.5, 2.0, np.inf], "b": 0.25}),
    lambda sim: sim.set_state(spikes_in_flight=[(2, 0.3), (7, 0.1), (9, 1.0)]),
    20.0,
]


def test_engines_agree_on_steered_simulations():
    seen = [pieces(everything(), engine, *STEPS) for engine in ENGINES]
    assert seen[0] == seen[1] == seen[2]
    assert [len(piece[0]) > 5 for piece in seen[0] if isinstance(piece, tuple)] == [True] * 4
    assert seen[0][-1][3] > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_steered_simulation_goes_on_from_its_file(engine, tmp_path):
    """Saved at each step, also where what was changed has not been taken yet; loaded into another engine."""
    net = everything()
    whole = pieces(net, engine, *STEPS)
    other = ENGINES[(ENGINES.index(engine) + 1) % 3]
    sim = sp.Simulation(net, engine=engine)
    for k, step in enumerate(STEPS):
        sim.save(tmp_path / "state.h5")
        sim = sp.Simulation.load(tmp_path / "state.h5", net, engine=other if k % 2 else engine)
        rest = pieces_from(sim, [step])
        assert rest == whole[k : k + 1]


def pieces_from(sim, steps):
    seen = []
    for step in steps:
        if callable(step):
            step(sim)
            seen.append(sim.V.tobytes())
        else:
            r = sim.run(step, progress=False, record=sp.Record(record_sources=True))
            seen.append((r.times.tolist(), r.ids.tolist(), r.n_synaptic_events, r.n_drive_events, r.n_close_calls))
    return seen


# State --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(700, 712))
def test_setting_the_state_to_what_it_is_changes_nothing(seed, engine):
    net = random_network(seed)
    try:
        duration = net.run(longest_period(net), n_spikes=300, progress=False).t_stop
        whole = net.run(duration, engine=engine, progress=False)
    except (RunawayError, NumericalError):
        pytest.skip("this network ends with an error")
    sim, times = sp.Simulation(net, engine=engine), []
    for _ in range(4):
        times += sim.run(duration / 4.0 - 1e-9, progress=False).times.tolist()
        sim.set_state(**sim.state)
    times += sim.run(duration, progress=False).times.tolist()
    assert times[: whole.n_spikes] == whole.times.tolist()


@pytest.mark.parametrize("seed", range(700, 712))
def test_the_state_of_all_engines_is_the_same(seed):
    net = random_network(seed)
    states = []
    for engine in ENGINES:
        sim = sp.Simulation(net, engine=engine)
        try:
            sim.run(longest_period(net) / 4.0, n_spikes=200, progress=False)
        except (RunawayError, NumericalError):
            pytest.skip("this network ends with an error")
        states.append({name: array.tobytes() for name, array in sim.state.items()})
    assert states[0] == states[1] == states[2]


def test_a_state_goes_over_to_another_simulation():
    """V, currents, refractoriness and spikes in flight are all that there is: the rest follows, at another time too."""
    net = everything()
    net.drives.clear()
    net.connect("a", "a", sp.all_to_all(), weight=0.05, delay=2.5)
    sim = sp.Simulation(net)
    sim.run(23.0)
    state = dict(sim.state)
    assert len(state["spikes_in_flight"]) and np.isfinite(state["time_since_spike"]).any()
    first = sim.run(20.0)
    other = sp.Simulation(net, engine="heap")
    other.run(4.0)
    other.set_state(**state)
    second = other.run(20.0)
    assert np.array_equal(first.ids, second.ids) and first.n_spikes > 10
    assert np.allclose(first.times - 23.0, second.times - 4.0, rtol=0.0, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(700, 706))
def test_a_copy_goes_on_with_the_same_bits_and_by_itself(seed, engine):
    net = random_network(seed)
    sim = sp.Simulation(net, engine=engine)
    try:
        sim.run(longest_period(net) / 4.0, n_spikes=100, progress=False)
        twin = sim.copy()
        one = sim.run(longest_period(net) / 4.0, n_spikes=100, progress=False)
    except (RunawayError, NumericalError):
        pytest.skip("this network ends with an error")
    assert twin.time == one.t_start
    other = twin.run(longest_period(net) / 4.0, n_spikes=100, progress=False)
    assert one.times.tobytes() == other.times.tobytes() and one.ids.tobytes() == other.ids.tobytes()


def test_a_copy_of_a_steered_simulation_is_steered():
    net = everything()
    sim = sp.Simulation(net)
    sim.run(10.0)
    for drive in net.drives:
        sim.set_drive(drive, 0.3)
    twin = sim.copy()
    one, other = sim.run(30.0), twin.run(30.0)
    assert one.times.tobytes() == other.times.tobytes() and one.n_spikes > 0


def test_looking_at_the_state():
    net = everything()
    sim = sp.Simulation(net)
    res = sim.run(20.0, record=sp.Record(record_sources=True, I_syn=[7, 8, 9], I_syn_times=[19.9999999999]))
    state = sim.state
    assert list(state) == ["V", "I_syn", "time_since_spike", "spikes_in_flight"]
    assert np.isnan(state["V"][:2]).all() and np.isfinite(state["V"][2:15]).all()
    assert np.allclose(state["I_syn"][7:10], res.I_syn[0], rtol=1e-9) and np.isnan(state["I_syn"][:7]).all()
    assert np.array_equal(sim.I_syn, state["I_syn"], equal_nan=True)
    for i in range(2, 10):
        t_ref = 2.0 if i < 7 else 1.0
        mine = res.times[res.ids == i]
        since = 20.0 - mine[-1] if len(mine) else math.inf
        assert state["time_since_spike"][i] == (pytest.approx(since, abs=1e-12) if since < t_ref else math.inf)
    delays = net.projections[1].delay
    for i in range(2, 7):
        longest = delays[net.projections[1].sources == i - 2].max()
        ages = 20.0 - res.times[(res.ids == i) & (res.times > 20.0 - longest)]
        flights = state["spikes_in_flight"]
        assert np.allclose(np.sort(flights["age"][flights["id"] == i]), np.sort(ages), rtol=0.0, atol=1e-12)
    plain = sp.Simulation(sp.balanced_network(10, sp.LIF(tau_m=10.0), outdegree=2, seed=1))
    assert "I_syn" not in plain.state and plain.I_syn.shape == (10, 0)


def test_what_is_seen_cannot_be_changed():
    sim = sp.Simulation(sp.balanced_network(10, sp.LIF(tau_m=10.0), outdegree=2, seed=1))
    V = sim.V
    for change in (
        lambda: sim.V.__setitem__(0, 1.0),
        lambda: V.__iadd__(1.0),
        lambda: np.add(V, 1.0, out=V),
        lambda: setattr(sim, "V", 0.0),
        lambda: setattr(sim, "I_syn", 0.0),
        lambda: sim.state["V"].__setitem__(slice(None), 0.0),
    ):
        with pytest.raises(ParameterError, match="set_state"):
            change()
    with pytest.raises(TypeError):
        sim.state["V"] = 0.0
    mine = V.copy()
    mine[0] -= 1e-10
    mine += 0.0
    assert mine[0] != V[0] and np.array_equal(sim.V, V)
    assert type(V + 1.0) is np.ndarray and repr(V).startswith("array(")


def test_setting_V_moves_the_next_spike():
    net = sp.Network(seed=1)
    net.add(2, sp.LIF(tau_m=10.0, I_e=2.0), name="n", V=0.0)
    sim = sp.Simulation(net)
    sim.run(1.0)
    sim.set_state(V=[0.5, 0.0])
    res = sim.run(n_spikes=2)
    assert res.times == pytest.approx([1.0 + 10.0 * math.log(1.5), 1.0 + 10.0 * math.log(2.0)], abs=1e-13)
    sim.set_state(V={"n": 0.25})
    assert sim.V.tolist() == pytest.approx([0.25, 0.25], abs=1e-15)


def test_V_alone_is_refused_where_it_is_not_the_whole_state():
    net = everything()
    sim = sp.Simulation(net)
    sim.run(20.0)
    V = sim.V.copy()
    with pytest.raises(ParameterError, match="spikes are in flight and .* are refractory and synaptic currents.*keep"):
        sim.set_state(V=V)
    with pytest.raises(ParameterError, match="Give I_syn as well"):
        sim.set_state(V=V, spikes_in_flight=[], time_since_spike=np.full(17, np.inf))
    V[12] -= 0.1
    sim.set_state(V=V, keep_rest=True)
    assert sim.V[12] == pytest.approx(V[12]) and np.array_equal(sim.V[:12], V[:12], equal_nan=True)
    held = int(np.argmax(np.isfinite(sim.state["time_since_spike"])))
    V[held] -= 0.1
    with pytest.raises(ParameterError, match=r"is refractory for [\d.]+ ms .* V_reset = 0.0 .* time_since_spike=inf"):
        sim.set_state(V=V, keep_rest=True)
    whole = dict(sim.state) | {"spikes_in_flight": [], "time_since_spike": np.full(17, np.inf), "V": V}
    sim.set_state(**whole)
    assert sim.V[held] == pytest.approx(V[held]) and not len(sim.state["spikes_in_flight"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "nothing to set"),
        ({"V": np.zeros(3)}, r"V must have shape \(17,\)"),
        ({"V": {"a": 1.5}, "keep_rest": True}, "below the threshold 1.0"),
        ({"V": {"a": math.nan}, "keep_rest": True}, "V of population 'a'"),
        ({"V": {"hand": 0.0}, "keep_rest": True}, "hand"),
        ({"I_syn": {"a": 1.0}}, "no currents"),
        ({"I_syn": {"b": [1.0, 2.0, 3.0, 4.0]}}, "I_syn of population 'b'"),
        ({"time_since_spike": {"a": -1.0}}, "time_since_spike of population 'a' must be times >= 0"),
        ({"spikes_in_flight": [(2, 50.0)]}, "not in flight: the longest delay"),
        ({"spikes_in_flight": [(99, 0.5)]}, r"must be in \[0, 17\)"),
        ({"spikes_in_flight": [(2, -0.5)]}, "ages >= 0"),
        ({"spikes_in_flight": "all"}, "fields id and age"),
        ({"V": {"a": 0.5}, "keep_rest": 1}, "keep_rest"),
    ],
)
def test_states_that_cannot_be_set(state, message):
    sim = sp.Simulation(everything())
    sim.run(20.0)
    before = {name: array.tobytes() for name, array in sim.state.items()}
    with pytest.raises(ParameterError, match=message):
        sim.set_state(**state)
    assert {name: array.tobytes() for name, array in sim.state.items()} == before


# Injected spikes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_injected_spikes_are_as_if_the_source_had_been_made_with_them(engine):
    rng = np.random.default_rng(3)
    times, ids = np.sort(rng.uniform(0.0, 30.0, 40)), rng.integers(0, 3, 40)
    times[5:8] = times[5]  # several at once

    def net(times, ids):
        net = sp.Network(seed=1)
        source = net.add(3, sp.SpikeSource(times, ids), name="s")
        n = net.add(5, sp.LIF(tau_m=10.0, I_e=0.9), name="n")
        net.connect(source, n, sp.all_to_all(), weight=0.2)
        net.connect(source, n, sp.all_to_all(), weight=0.2, delay=sp.uniform(0.5, 2.0))
        return net

    keep = rng.random(40) < 0.5
    whole = net(times, ids).run(40.0, engine=engine, record=sp.Record(record_sources=True))
    sim = sp.Simulation(net(times[keep], ids[keep]), engine=engine)
    seen = []
    for t in (0.0, 10.0, 20.0):
        now = ~keep & (times >= t) & (times < t + 10.0)
        order = rng.permutation(np.flatnonzero(now))
        sim.inject("s", times[order][::2], ids[order][::2])
        sim.inject("s", times[order][1::2], ids[order][1::2])
        seen += sim.run(10.0, record=sp.Record(record_sources=True)).times.tolist()
    seen += sim.run(10.0, record=sp.Record(record_sources=True)).times.tolist()
    assert seen == whole.times.tolist() and whole.n_spikes > 10


def test_injecting_ends_silence_and_at_the_present_is_next():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([], []), name="s")
    n = net.add(1, sp.LIF(tau_m=10.0))
    net.connect(source, n, sp.all_to_all(), weight=1.5)
    sim = sp.Simulation(net)
    assert str(sim.run(5.0).stop_reason) == "quiescent"
    sim.inject(source, sim.time, 0)
    res = sim.run(5.0)
    assert res.times.tolist() == [5.0] and res.header["run"]["steered"] == ["inject"]
    sim.inject(source, 12.0, 0)
    sim.run(n_spikes=1)
    sim.inject(source, sim.time, 0)  # this instant is over; what comes now is next
    assert sim.run(5.0).times.tolist() == [math.nextafter(12.0, 13.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s", 4.0, 0), "must be after the present, 5.0 ms, got 4.0"),
        (("s", [6.0, 4.0], [0, 0]), "got 4.0"),
        (("s", [6.0, math.nan], [0, 0]), "inject: times"),
        (("s", 6.0, 1), "inject: ids"),
        (("s", [6.0, 7.0], 0), "one length, got 2 and 1"),
        (("n", 6.0, 0), "must be a SpikeSource"),
        (("p", 6.0, 0), "must be a SpikeSource"),
        (("nobody", 6.0, 0), "nobody"),
    ],
)
def test_spikes_that_cannot_be_injected(arguments, message):
    net = sp.Network(seed=1)
    net.add(1, sp.SpikeSource([], []), name="s")
    net.add(1, sp.LIF(tau_m=10.0), name="n")
    net.add(1, sp.PoissonSource(1.0), name="p")
    sim = sp.Simulation(net)
    sim.run(5.0)
    with pytest.raises(ParameterError, match=message):
        sim.inject(*arguments)
    sim.inject("s", [], [])
    late = net.add(1, sp.SpikeSource([], []), name="late")
    with pytest.raises(ParameterError, match="added after this simulation"):
        sim.inject(late, 6.0, 0)


def test_a_closed_loop_from_a_callback():
    """Each spike is answered by the callback; all that it does is taken, whenever it is called."""
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([], []), name="s")
    n = net.add(1, sp.LIF(tau_m=10.0, I_e=1.5))
    net.connect(source, n, sp.all_to_all(), weight=-0.1)
    sim, answers = sp.Simulation(net), []

    def answer(sim):
        answers.append(sim.time + 1.0)
        sim.inject("s", answers[-1], 0)
        sim.set_state(V=sim.V)
        return len(answers) == 3

    res = sim.run(1e7, n_spikes=10**7, callback=answer, record=sp.Record(record_sources=True), progress=False)
    assert str(res.stop_reason) == "callback" and len(answers) == 3
    end = sim.run(2.0, record=sp.Record(record_sources=True))
    times = np.concatenate([res.times[res.ids == 0], end.times[end.ids == 0]])
    assert times.tolist() == answers


# Drives -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_changed_current_is_as_a_step_that_was_planned(engine):
    def net(times, values):
        net = sp.Network(seed=1)
        n = net.add(3, sp.LIF(tau_m=10.0, I_e=0.5), name="n")
        net.drive(n, sp.steps(times, values))
        net.drive(n, sp.steps([8.0, 24.0], [0.125, 0.5]))
        q = net.add(2, sp.Theta(tau_m=10.0, I_e=0.25), name="q")
        net.drive(q, sp.steps([4.0, 20.0], [0.5, 0.25]))
        net.connect(n, q, sp.all_to_all(), weight=0.1)
        return net

    planned = net([2.0, 10.0, 16.0], [[1.0] * 3, [2.0] * 3, [0.75, 1.0, 1.25]]).run(40.0, engine=engine)
    sim = sp.Simulation(net([2.0, 30.0], [1.0, 7.0]), engine=engine)
    times = [sim.run(10.0).times]
    sim.set_drive(0, 2.0)
    times.append(sim.run(6.0).times)
    sim.set_drive(sim.network.drives[0], np.array([0.75, 1.0, 1.25]))
    times.append(sim.run(24.0).times)
    assert np.concatenate(times).tolist() == planned.times.tolist() and planned.n_spikes > 10


@pytest.mark.parametrize("engine", ENGINES)
def test_a_current_is_changed_at_time_0_once_its_step_at_0_is_over(engine):
    """Steps of two populations at 0 are over after a spike at 0: what is set then is not."""
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([0.0], [0]), name="s")
    a, b = (net.add(1, sp.LIF(tau_m=10.0, I_e=0.5), name=name, V=0.0) for name in "ab")
    net.connect(source, a, sp.all_to_all(), weight=2.0)
    net.drive(a, sp.steps([0.0], [0.125]))
    net.drive(b, sp.steps([0.0], [0.75]))
    sim = sp.Simulation(net, engine=engine)
    assert sim.run(n_spikes=1).times.tolist() == [0.0]
    sim.set_drive(0, 2.0)
    res = sim.run(10.0)
    assert res.population("a").times == pytest.approx([10.0 * math.log(2.5 / 1.5)], abs=1e-13)
    assert sim.run(10.0).population("b").times == pytest.approx([10.0 * math.log(1.25 / 0.25)], abs=1e-13)


@pytest.mark.parametrize("engine", ["window", "reference"])
def test_memory_does_not_grow_with_the_number_of_calls(engine):
    net = sp.Network(seed=1)
    n = net.add(5000, sp.LIF(tau_m=10.0), name="n")
    net.drive(n, sp.poisson(0.0), weight=0.1)
    net.drive(n, sp.steps([0.0, 500.0], [0.0, 0.1]))
    sim, values = sp.Simulation(net, engine=engine), np.zeros(5000)
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(2):
            for _ in range(100):
                sim.set_drive(0, values)
                sim.set_drive(1, values)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 10 * values.nbytes


def test_a_drive_that_was_refused_is_as_it_was(tmp_path):
    net = sp.Network(seed=1)
    e = net.add(2, sp.EIF(tau_m=10.0, Delta_T=0.125, V_peak=2.0, V_reset=0.0, I_e=1.0), name="e")
    net.drive(e, sp.steps([5.0], [0.25]))
    net.drive(e, sp.steps([6.0], [0.25]))
    net.drive(e, sp.poisson(10.0), weight=0.01)
    net.add(2, sp.PoissonSource(5.0), name="f")
    sim = sp.Simulation(net)
    for drive, values in ((0, 1e300), (0, [1e200, 0.0]), (2, 1e20), ("f", [1e13, 1.0])):
        with pytest.raises(ParameterError):
            sim.set_drive(drive, values)
    sim.run(1.0, tape=True)
    sim.set_drive(1, 0.25)
    sim.save(tmp_path / "saved.h5")
    loaded = sp.Simulation.load(tmp_path / "saved.h5", net)
    assert loaded.run(50.0).times.tolist() == sim.run(50.0).times.tolist()


def test_a_changed_rate_holds_from_now_on_with_events_of_its_own():
    net = sp.Network(seed=1)
    n = net.add(200, sp.LIF(tau_m=10.0))
    drive = net.drive(n, sp.poisson([100.0] * 200), weight=0.01)
    source = net.add(50, sp.PoissonSource(100.0), name="s")
    net.connect(source, n, sp.fixed_outdegree(1), weight=0.01)
    sim = sp.Simulation(net)
    record = sp.Record(record_sources=True)
    counts, trains = [], []
    for rate in (None, 20.0, 0.0, 400.0, 400.0):
        if rate is not None:
            sim.set_drive(drive, rate)
            sim.set_drive("s", np.full(50, rate))
        start = sim.time
        res = sim.run(500.0, record=record, progress=False)
        counts.append(res.n_drive_events)
        of_sources = res.population("s")
        assert (of_sources.times >= start).all()
        trains.append(of_sources.times - start)
        expected = 50 * 0.5 * (100.0 if rate is None else rate)
        assert abs(len(of_sources.times) - expected) <= 5.0 * math.sqrt(expected)
    for count, rate in zip(counts, (100.0, 20.0, 0.0, 400.0, 400.0), strict=True):
        assert abs(count - 100.0 * rate) <= 5.0 * math.sqrt(100.0 * rate)
    assert not np.isin(np.round(trains[3], 9), np.round(trains[4], 9)).any()
    assert "of Poisson drives" in str(res)


@pytest.mark.parametrize(
    ("drive", "values", "message"),
    [
        (0, [1.0, 2.0], "must have 5 entries"),
        (0, math.nan, "values for the"),
        (2, -1.0, "rate >= 0"),
        (2, 1e20, "at most"),
        (7, 1.0, "its number from 0 to 2"),
        ("a", 1.0, "net.drives has the drives"),
        ("hand", 1.0, "PoissonSource"),
        ("g", 1.0, "population"),
    ],
)
def test_drives_that_cannot_be_set(drive, values, message):
    sim = sp.Simulation(everything())
    with pytest.raises(ParameterError, match=message):
        sim.set_drive(drive, values)
    other = everything().drives[0]
    with pytest.raises(ParameterError, match="one of this network"):
        sim.set_drive(other, 1.0)


def test_tapes_are_refused_where_gradients_would_be_wrong():
    net = everything()
    sim = sp.Simulation(net)

    def steer(sim):
        with pytest.raises(ParameterError, match=r"inject\(\) was called in a run with tape=True"):
            sim.inject("hand", sim.time + 1.0, 0)
        with pytest.raises(ParameterError, match=r"set_drive\(\) was called in a run with tape=True"):
            sim.set_drive(0, 1.0)
        with pytest.raises(ParameterError, match=r"set_state\(\) was called in a run with tape=True"):
            sim.set_state(V=sim.V, keep_rest=True)
        return True

    sim.run(1e6, tape=True, callback=steer, progress=False)
    sim.inject("hand", sim.time + 1.0, 0)
    with pytest.raises(ParameterError, match="injected ones are still to come"):
        sim.run(5.0, tape=True)
    sim.run(5.0)
    res = sim.run(5.0, tape=True)  # it is over
    assert np.isfinite(res.backward(np.ones(len(res.times))).weight_sum[0])
    sim.set_drive(2, 100.0)
    with pytest.raises(ParameterError, match=r"set_drive\(\) was called"):
        sim.run(5.0, tape=True)


def test_gradients_begin_with_the_state_that_was_set():
    net = sp.Network(seed=1)
    net.add(1, sp.LIF(tau_m=10.0, I_e=2.0), V=0.0)
    sim = sp.Simulation(net)
    sim.run(1.0)
    sim.set_state(V=[0.5])
    res = sim.run(n_spikes=1, tape=True)
    assert res.backward([1.0]).V[0] == pytest.approx(-10.0 / 1.5)  # t = 1 + 10 log(2 - V)


def test_a_state_can_be_kept_copied_and_sent():
    net, sim = everything(), sp.Simulation(everything())
    sim.run(20.0)
    wanted = {name: array.tobytes() for name, array in sim.state.items()}
    for state in (copy.copy(sim.state), copy.deepcopy(sim.state), pickle.loads(pickle.dumps(sim.state))):
        other = sp.Simulation(net)
        other.set_state(**state)
        assert {name: array.tobytes() for name, array in state.items()} == wanted
        np.testing.assert_allclose(other.V, sim.V, rtol=1e-12)
    changed = sim.state | {"V": 0.0}
    assert changed["V"] == 0.0 and list(changed) == list(sim.state)
    assert "V (" in repr(sim.state) and len(repr(sim.state)) < 200


def test_repr_of_a_simulation():
    sim = sp.Simulation(sp.balanced_network(10, sp.LIF(tau_m=10.0), outdegree=2, seed=7), engine="heap")
    sim.run(2.5)
    assert repr(sim) == f"<Simulation of 10 neurons: heap engine, seed 7, at 2.5 ms, {sim.n_spikes} spikes so far>"
