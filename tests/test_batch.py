"""Batches: each sample is a run of its own, bit for bit; gradients are sums over samples, on any number of threads."""

import copy
import multiprocessing
import pickle
import threading
import warnings

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import ParameterError, RunawayError

DURATION = 60.0
MODELS = {
    "LIF": sp.LIF(tau_m=20.0, I_e=0.7),
    "refractory LIF": sp.LIF(tau_m=20.0, I_e=1.2, t_ref=2.0),
    "LIFExp": sp.LIFExp(tau_m=20.0, tau_syn=(10.0, 5.0), I_e=0.3, t_ref=1.0),
    "QIF": sp.QIF(tau_m=20.0, I_e=-0.2, V_peak=5.0, V_reset=-5.0, t_ref=1.0),
    "Theta": sp.Theta(tau_m=10.0, I_e=0.3),
}
DELAYS = {"none": lambda n: 0.0, "one": lambda n: 1.5, "each": lambda n: np.random.default_rng(2).uniform(0.5, 4.0, n)}


def network(model, delays, spikes=((), ()), n_hidden=80):
    """A layered and recurrent network of several populations; its connections are always the same."""
    rng = np.random.default_rng(1)
    net = sp.Network(seed=3)
    source = net.add(5, sp.SpikeSource(*spikes), name="input")
    start = {} if isinstance(model, sp.Theta) else {"V": 0.1}
    hidden = net.add(n_hidden, model, name="hidden", **start)
    output = net.add(4, model, name="output", **start)
    port = {"port": 1} if isinstance(model, sp.LIFExp) else {}
    net.connect(source, hidden, rng.normal(0.6, 0.4, (n_hidden, 5)), delay=delays(5 * n_hidden))
    net.connect(hidden, output, rng.normal(0.1, 0.3, (4, n_hidden)), delay=delays(4 * n_hidden), **port)
    net.connect(hidden, hidden, sp.fixed_outdegree(5), weight=-0.1, delay=delays(5 * n_hidden))
    return net


def latencies(n_samples=20):
    rng = np.random.default_rng(5)
    times = rng.uniform(0.0, 30.0, (n_samples, 5))
    times[rng.random(times.shape) < 0.2] = np.inf
    return times


def derivatives(result):
    rng = np.random.default_rng(7)
    by_V = rng.normal(size=result.V.shape)
    by_V[np.isinf(result.V)] = 0.0
    return rng.normal(size=result.n_spikes), by_V


RECORD = sp.Record(V={"output": [0, 1]}, V_times=[20.0, 40.0])


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("model", MODELS)
def test_a_batch_is_its_samples_one_by_one(model, delays):
    times = latencies()
    with sp.BatchSimulation(network(MODELS[model], DELAYS[delays]), n_threads=2) as simulation:
        simulation.run(times[::-1], DURATION)  # what came before leaves nothing
        batch = simulation.run(times, DURATION, record=RECORD, tape=True)
        by_time, by_V = derivatives(batch)
        grads = batch.backward(by_time, by_V)
    assert batch.n_samples == len(batch) == 20 and batch.n_spikes > 20
    sums = {"I_e": 0.0, "V": 0.0, "tau_m": 0.0, "V_reset": 0.0}
    if model == "LIFExp":
        sums |= {"I_syn": 0.0, "tau_syn": 0.0}
    weight, delay = [0.0] * 3, [0.0] * 3
    for k, row in enumerate(times):
        there = np.flatnonzero(np.isfinite(row))
        there = there[np.argsort(row[there])]
        single = network(MODELS[model], DELAYS[delays], (row[there], there)).run(DURATION, record=RECORD, tape=True)
        assert np.array_equal(single.times, batch[k][0]) and np.array_equal(single.ids, batch[k][1])
        assert np.array_equal(single.V, batch.V[k])
        alone = single.backward(by_time[batch.offsets[k] : batch.offsets[k + 1]], by_V[k])
        for name in sums:
            sums[name] = sums[name] + getattr(alone, name)
        for j in range(3):
            weight[j] = weight[j] + alone.weight[j]
            delay[j] = delay[j] + alone.delay[j]
        close = {"rtol": 1e-12, "atol": 1e-12 * np.abs(alone.input_times["input"]).max(initial=0.0)}
        np.testing.assert_allclose(grads.input_times["input"][k][there], alone.input_times["input"], **close)
    assert (grads.input_times["input"][np.isinf(times)] == 0.0).all()
    for name, wanted in sums.items():
        np.testing.assert_allclose(
            getattr(grads, name), wanted, rtol=1e-11, atol=1e-11 * np.nanmax(np.abs(wanted)), err_msg=name
        )
    for j in range(3):
        np.testing.assert_allclose(grads.weight[j], weight[j], rtol=1e-11, atol=1e-11 * np.abs(weight[j]).max())
        np.testing.assert_allclose(grads.delay[j], delay[j], rtol=1e-11, atol=1e-11 * np.abs(delay[j]).max())
    assert grads.invariant_error < 1e-12


def test_a_gradient_that_overflows_in_one_sample_is_told_with_the_sample():
    net = network(MODELS["LIFExp"], DELAYS["each"])
    with sp.BatchSimulation(net, n_threads=2) as simulation:
        batch = simulation.run(latencies(), DURATION, tape=True)
        by_time, k = np.ones(batch.n_spikes), int(np.diff(batch.offsets).argmax())
        by_time[batch.offsets[k] : batch.offsets[k + 1]] = 1.7e308
        with pytest.warns(sp.errors.GradientOverflowWarning, match=f", sample {k}: from here back") as caught:
            grads = batch.backward(by_time)
        assert caught[0].filename == __file__
        (told,) = (w for w in grads.warnings if w.kind == "overflow")
        assert told.sample == k and not np.isfinite(grads.weight[0]).all()
        assert np.isfinite(grads.input_times["input"][np.arange(20) != k]).all()
        # What overflowed leaves nothing behind.
        batch = simulation.run(latencies(), DURATION, tape=True)
        assert np.isfinite(batch.backward(np.ones(batch.n_spikes)).weight[0]).all()


def test_nothing_depends_on_the_number_of_threads():
    times, outcomes = latencies(100), []
    for n_threads in (1, 2, 5):
        with sp.BatchSimulation(network(MODELS["LIFExp"], DELAYS["each"]), n_threads=n_threads) as simulation:
            for _ in range(2):  # the second time with engines that have been used
                batch = simulation.run(times, DURATION, tape=True)
                grads = batch.backward(derivatives(batch)[0])
            outcomes.append((batch.times, batch.ids, grads.weight[0], grads.weight[1], grads.delay[2], grads.I_e))
    for other in outcomes[1:]:
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(outcomes[0], other, strict=True))


def test_weights_are_those_that_the_network_has_at_each_run():
    times = latencies()
    net = network(MODELS["LIFExp"], DELAYS["each"])
    with sp.BatchSimulation(net, n_threads=1) as simulation:
        before = simulation.run(times, DURATION, tape=True)
        before.backward(np.ones(before.n_spikes))
        for projection in net.projections:
            projection.weight = 1.5 * projection.weight
        after = simulation.run(times, DURATION, tape=True)
        grads = after.backward(np.ones(after.n_spikes))
    fresh = sp.run_batch(net, times, DURATION, tape=True)
    assert not np.array_equal(before.times, after.times)
    assert np.array_equal(fresh.times, after.times) and np.array_equal(fresh.ids, after.ids)
    assert np.array_equal(fresh.backward(np.ones(fresh.n_spikes)).weight[0], grads.weight[0])


def test_forms_of_inputs_say_the_same():
    times = latencies()
    net = network(MODELS["LIF"], DELAYS["one"])
    pairs = [(row[np.isfinite(row)], np.flatnonzero(np.isfinite(row))) for row in times]
    several = np.full((20, 5, 3), np.inf)
    several[:, :, 1] = times
    forms = (times, several, pairs, {"input": times}, several.tolist())
    results = [sp.run_batch(net, given, DURATION, tape=True) for given in forms]
    by_time = derivatives(results[0])[0]
    grads = [result.backward(by_time) for result in results]
    for result in results[1:]:
        assert np.array_equal(result.times, results[0].times)
    wanted = grads[0].input_times["input"]
    assert np.array_equal(grads[1].input_times["input"][:, :, 1], wanted)
    assert all(np.array_equal(got, row[np.isfinite(t)])
               for got, row, t in zip(grads[2].input_times["input"], wanted, times, strict=True))  # fmt: skip


def test_lists_of_two_sources_are_not_taken_for_times_and_ids():
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([], []), name="input")
    neurons = net.add(1, sp.LIF(tau_m=10.0), name="n", V=0.0)
    net.connect(source, neurons, np.array([[1.5, 0.0]]))
    result = sp.run_batch(net, [[[1.0, 2.0], [0.0, 1.0]]], 10.0)
    assert result.n_input_events == 4 and result.times.tolist() == [1.0, 2.0]


def test_other_delays_begin_no_more_threads():
    net = network(MODELS["LIF"], DELAYS["each"])
    with sp.BatchSimulation(net, n_threads=2) as simulation:
        simulation.run(latencies(), DURATION)
        before = threading.active_count()
        for k in range(3):
            net.projections[0].delay = 1.0 + k + net.projections[0].delay
            after = simulation.run(latencies(), DURATION)
        assert threading.active_count() == before
    assert np.array_equal(after.times, sp.run_batch(net, latencies(), DURATION).times)


def test_several_sources_and_an_empty_batch():
    net = sp.Network(seed=1)
    sources = [net.add(n, sp.SpikeSource([], []), name=name) for n, name in ((2, "a"), (3, "b"))]
    neurons = net.add(4, sp.LIFExp(tau_m=20.0, tau_syn=10.0), name="n", V=0.0)
    for source in sources:
        net.connect(source, neurons, np.full((4, source.n), 1.5))
    inputs = {"a": np.array([[1.0, 2.0]]), "b": np.array([[3.0, np.inf, 1.0]])}
    result = sp.run_batch(net, inputs, 50.0, tape=True)
    assert result.n_spikes > 0 and result.n_input_events == 4
    grads = result.backward(np.ones(result.n_spikes))
    assert grads.input_times["a"].shape == (1, 2) and grads.input_times["b"][0, 1] == 0.0
    assert sum(by.sum() for by in grads.input_times.values()) == pytest.approx(result.n_spikes, rel=1e-12)
    empty = sp.run_batch(net, {"a": np.zeros((0, 2)), "b": np.zeros((0, 3))}, 50.0, tape=True)
    assert len(empty) == empty.n_spikes == 0
    assert (empty.backward(np.zeros(0)).weight[0] == 0.0).all()
    with pytest.raises(ParameterError, match="must be a dictionary"):
        sp.run_batch(net, inputs["a"], 50.0)
    with pytest.raises(ParameterError, match="no spikes for 'b'"):
        sp.run_batch(net, {"a": inputs["a"]}, 50.0)
    with pytest.raises(ParameterError, match="same number of samples"):
        sp.run_batch(net, {"a": np.zeros((3, 2)), "b": np.zeros((2, 3))}, 50.0)
    with pytest.raises(ParameterError, match="'c'"):
        sp.run_batch(net, inputs | {"c": inputs["a"]}, 50.0)


def test_first_spikes_and_counts():
    result = sp.run_batch(network(MODELS["refractory LIF"], DELAYS["one"]), latencies(), DURATION)
    times, where = result.first_spikes("hidden")
    counts = result.spike_counts("hidden")
    for k in range(len(result)):
        t, i = result[k]
        for neuron in range(80):
            mine = np.sort(t[i - 5 == neuron])
            assert counts[k, neuron] == len(mine)
            assert times[k, neuron] == (mine[0] if len(mine) else np.inf)
            assert where[k, neuron] == -1 if not len(mine) else result.times[where[k, neuron]] == mine[0]
    with pytest.raises(ParameterError, match="hiden"):
        result.first_spikes("hiden")
    table, at = result.spike_table("hidden")
    assert table.shape == (20, 80, counts.max()) and np.array_equal(np.isfinite(table).sum(axis=2), counts)
    assert (np.diff(np.where(at < 0, 1e9, table), axis=2) >= 0.0).all()
    assert np.array_equal(table[at >= 0], result.times[at[at >= 0]])
    assert np.array_equal(result.spike_table("hidden", 1)[0][:, :, 0], times)
    assert np.array_equal(result.spike_table("hidden", 1)[1][:, :, 0], where)


def test_potentials_at_the_end_are_those_before_anything_else_happens():
    net = network(MODELS["Theta"], DELAYS["none"])
    record = sp.Record(V={"output": [0]}, V_times=[0.0, DURATION])
    result = sp.run_batch(net, latencies(3), DURATION, record=record)
    longer = sp.run_batch(net, latencies(3), 2 * DURATION, record=sp.Record(V={"output": [0]}, V_times=[DURATION]))
    assert np.array_equal(result.V[:, 1], longer.V[:, 0])
    assert result.V.shape == (3, 2, 1)


def test_a_failing_sample_is_named():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([], []), name="input")
    pair = net.add(2, sp.LIF(tau_m=10.0), name="pair", V=0.0)
    net.connect(source, pair, np.array([[2.0], [0.0]]))
    net.connect(pair, pair, np.array([[0.0, 2.0], [2.0, 0.0]]), allow_autapses=True)
    times = np.full((40, 1), np.inf)
    times[23] = 1.0
    with pytest.raises(RunawayError, match="sample 23: "):
        sp.run_batch(net, times, 10.0, n_threads=2)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        (np.zeros((3, 4)), r"shape \(samples, 5\)"),
        (np.full((3, 5), np.nan), "inf for no spike, got nan"),
        (np.full((3, 5), -1.0), "times >= 0 ms"),
        ("spikes", "must be times of shape"),
        ([([1.0, 2.0], [0])], "one id for each time"),
        ([([1.0], [5])], "ids of sample 0"),
        ([([1.0], [0]), None], "sample 1 must be a pair"),
        ([(1.0, 2.0), (3.0, 4.0)], "sample 0 must be a pair of arrays"),
        ([["1", "2", "3", "4", "5"]], "must be an array of real numbers, got dtype <U1, texts"),
        ([[True, False, True, False, True]], "must be an array of real numbers, got True"),
    ],
)
def test_inputs_that_are_refused(inputs, match):
    with pytest.raises(ParameterError, match=match):
        sp.run_batch(network(MODELS["LIF"], DELAYS["none"]), inputs, 10.0)


def test_what_is_added_to_the_network_is_in_the_next_run():
    net = network(MODELS["LIF"], DELAYS["none"])
    with sp.BatchSimulation(net, n_threads=1) as simulation:
        result = simulation.run(latencies(), DURATION, tape=True)
        net.add(2, sp.LIF(tau_m=10.0, I_e=2.0), name="more", V=0.0)
        assert not result.has_gradients
        with pytest.raises(ParameterError, match="something was added to the network since the run"):
            result.backward(np.ones(result.n_spikes))
        more = simulation.run(latencies(), DURATION)
        assert (more.spike_counts("more") > 0).all()
        assert np.array_equal(more.times, sp.run_batch(net, latencies(), DURATION).times)
        net.drive("more", sp.steps([0.0], [1.0]))
        with pytest.raises(ParameterError, match="takes no PoissonSource and no net.drive"):
            simulation.run(latencies(), DURATION)


def test_networks_and_their_simulations_can_be_copied():
    net = network(MODELS["LIF"], DELAYS["none"])
    with sp.BatchSimulation(net, n_threads=1) as simulation:
        result = simulation.run(latencies(), DURATION)
        for copied in (copy.deepcopy(simulation), pickle.loads(pickle.dumps(simulation))):
            assert copied.network is not net
            assert repr(copied) == repr(simulation) == f"<BatchSimulation of {net!r}: 1 threads>"
            assert np.array_equal(copied.run(latencies(), DURATION).times, result.times)
            with pytest.raises(AttributeError, match="cannot be set"):
                copied.network.populations[0].name = "other"


def in_forked_child(function):
    """What `function` returns in a forked child; an error if it takes longer than half a minute."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12, and JAX if it is there, warn of forks of processes with threads
        child = context.Process(target=lambda: theirs.send(function()))
        child.start()
    try:
        assert mine.poll(30.0), "the child hangs"
        return mine.recv()
    finally:
        child.kill()
        child.join()


def test_a_forked_child_makes_threads_of_its_own():
    net = network(MODELS["LIFExp"], DELAYS["one"])
    with sp.BatchSimulation(net, n_threads=2) as simulation:

        def outcome():
            batch = simulation.run(latencies(), DURATION, tape=True)
            return batch.times, batch.backward(np.ones(batch.n_spikes)).weight[0]

        before = outcome()
        assert simulation._pool is not None
        in_child = in_forked_child(outcome)
        again = outcome()
    assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(before, in_child, again, strict=True))


def test_a_child_that_is_forked_while_another_thread_runs_samples_goes_on():
    net = network(MODELS["LIFExp"], DELAYS["one"])
    with sp.BatchSimulation(net, n_threads=2) as simulation:
        wanted = simulation.run(latencies(), DURATION).times
        simulation._lock.acquire()  # as that thread may, at this moment
        try:
            assert np.array_equal(in_forked_child(lambda: simulation.run(latencies(), DURATION).times), wanted)
        finally:
            simulation._lock.release()


def test_a_trainer_goes_on_in_a_forked_child():
    trainer = training.Trainer(
        training.layered_network([5, 20, 4], MODELS["LIFExp"], seed=1), training.FirstSpikeCrossEntropy(),
        duration=DURATION, n_threads=2,
    )  # fmt: skip
    inputs, labels = latencies(40), np.arange(40) % 4
    trainer.fit(inputs, labels, 1)
    child = in_forked_child(lambda: trainer.fit(inputs, labels, 3)["loss"])
    assert np.array_equal(child, trainer.fit(inputs, labels, 3)["loss"])
    trainer.close()


def test_copies_and_pickles_are_without_tapes():
    net = network(MODELS["LIF"], DELAYS["none"])
    batch = sp.run_batch(net, latencies(), DURATION, tape=True)
    single = net.run(DURATION, tape=True)
    for make in (copy.deepcopy, copy.copy, lambda result: pickle.loads(pickle.dumps(result))):
        for result, match in ((batch, "copies and pickles have none"), (single, "not a copy or pickle")):
            copied = make(result)
            assert np.array_equal(copied.times, result.times)
            with pytest.raises(ParameterError, match=match):
                copied.backward(np.zeros(result.n_spikes))
    assert np.array_equal(make(batch).first_spikes("hidden")[0], batch.first_spikes("hidden")[0])
    for result in (batch, single):  # which have theirs still
        grads = result.backward(np.ones(result.n_spikes))
        assert np.array_equal(make(grads).weight[0], grads.weight[0])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda r: r["a"], "number of a sample must be from -3 to 2, got 'a'"),
        (lambda r: r[3], "number of a sample must be from -3 to 2, got 3"),
        (lambda r: r[:2], "number of a sample"),
        (lambda r: r.first_spikes(["hidden"]), "unknown population"),
        (lambda r: r.spike_counts({}), "unknown population"),
        (lambda r: r.spike_table("hidden", 10**30), "n_spikes must be a whole number from 0"),
        (lambda r: r.backward("a"), "dL_dtimes must be an array of real numbers"),
    ],
)
def test_questions_to_a_result_that_are_refused(call, match):
    result = sp.run_batch(network(MODELS["LIF"], DELAYS["none"]), latencies(3), DURATION, tape=True)
    assert np.array_equal(result[-1][0], result[2][0])
    with pytest.raises(ParameterError, match=match):
        call(result)


def test_other_calls_that_are_refused():
    with pytest.raises(ParameterError, match="net must be a Network"):
        sp.run_batch("net", latencies(), DURATION)
    net = network(MODELS["LIF"], DELAYS["none"])
    result = sp.run_batch(net, latencies(), DURATION, tape=True)
    with pytest.raises(ParameterError, match="shape"):
        result.backward(np.ones(3))
    result.backward(np.ones(result.n_spikes))
    with pytest.raises(ParameterError, match="called before"):
        result.backward(np.ones(result.n_spikes))
    with pytest.raises(ParameterError, match="tape=True"):
        sp.run_batch(net, latencies(), DURATION).backward(np.ones(1))
    result = sp.run_batch(net, latencies(), DURATION, tape=True)
    net.projections[0].weight = 0.1
    assert not result.has_gradients
    with pytest.raises(ParameterError, match="weights of the network were changed"):
        result.backward(np.ones(result.n_spikes))
    for record in ("raster.h5", sp.Record(bins=1.0), sp.Record(spikes=False), sp.Record(I_syn=[5], I_syn_times=[1.0])):
        with pytest.raises(ParameterError, match="record"):
            sp.run_batch(net, latencies(), DURATION, record=record)
    with pytest.raises(ParameterError, match="V_times must be at most the duration"):
        sp.run_batch(net, latencies(), DURATION, record=sp.Record(V=[5], V_times=[1.0, DURATION + 1.0]))
    with pytest.raises(ParameterError, match="n_threads"):
        sp.BatchSimulation(net, n_threads=0)
    alone = sp.Network(seed=1)
    alone.add(2, sp.LIF(tau_m=10.0))
    with pytest.raises(ParameterError, match="SpikeSource"):
        sp.BatchSimulation(alone)
    net.drive(net.populations[1], sp.poisson(10.0), weight=0.1)
    with pytest.raises(ParameterError, match="Poisson"):
        sp.BatchSimulation(net)


def test_readings_up_to_the_end_whichever_way_they_are_rounded():
    net = sp.Network(seed=1)
    source = net.add(1, sp.SpikeSource([], []), name="s")
    neuron = net.add(1, sp.LIFExp(tau_m=10.0, tau_syn=5.0), name="p", V=0.0)
    net.connect(source, neuron, sp.all_to_all(), weight=1.0)
    for duration, n in [(0.3, 4), (0.7, 8), (2.1, 22), (2.15, 22)]:
        expected = [k * 0.1 for k in range(n)]
        for V_times in (0.1, np.array(expected)):
            result = sp.run_batch(net, [[0.05]], duration, record=sp.Record(V=[1], V_times=V_times), tape=True)
            assert (
                result.V_times.tolist() == expected and np.isfinite(result.V).all() and (result.V[0, 1:, 0] > 0.0).all()
            )
            assert np.isfinite(result.backward(dL_dV=np.ones(result.V.shape)).weight[0]).all()
    with pytest.raises(sp.errors.ParameterError, match="V_times must be at most the duration, 0.3 ms, got 0.30001"):
        sp.run_batch(net, [[0.05]], 0.3, record=sp.Record(V=[1], V_times=[0.1, 0.30001]))
