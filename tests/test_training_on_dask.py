"""Training over the workers of dask: the same weights as in one process, whatever happens to workers."""

import logging
import os
import signal
import time

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import training
from sparseprop.errors import NumericalError, ParameterError

distributed = pytest.importorskip("distributed", reason='optional: pip install "sparseprop-sim[dask]"')

pytestmark = pytest.mark.filterwarnings("default")  # those of dask are not ours


def cluster(n_workers, **options):
    return distributed.LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL, **options
    )


def trained(client, *, batch_size=50, n=120, callback=None):
    """Everything that two epochs leave: of a network with delays that are trained, too, and a loss on V and times."""
    values, labels = training.yin_yang(n, seed=1)
    inputs = training.latencies(values, bias=0.0)
    net = training.layered_network([5, 20, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), delay=sp.uniform(0.1, 2.0), seed=1)
    loss = training.MembraneCrossEntropy(times=[20.0, 40.0])
    penalty = training.SpikeCountPenalty("hidden", low=1)
    trainer = training.Trainer(
        net, loss, duration=50.0, penalties=[penalty], batch_size=batch_size, train_delays=True, n_threads=1,
        client=client, metrics=["rate"],
    )  # fmt: skip
    history = trainer.fit(inputs, labels, epochs=2, callback=callback, progress=False)
    weights = [np.asarray(p.weight).tobytes() + np.asarray(p.delay).tobytes() for p in net.projections]
    return weights, history["loss"].tolist(), history["rate"].tolist()


@pytest.fixture(scope="module")
def alone():
    return {size: trained(None, batch_size=size) for size in (50, 11)}


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_weights_are_the_bits_of_one_process(n_workers, alone):
    with cluster(n_workers, processes=False) as workers, distributed.Client(workers) as client:
        for size in (50, 11):
            assert trained(client, batch_size=size) == alone[size]


def test_larger_pieces_keep_their_sums():
    """Of more than 8 samples each."""
    wanted = trained(None, batch_size=200, n=200)
    with cluster(2, processes=False) as workers, distributed.Client(workers) as client:
        assert trained(client, batch_size=200, n=200) == wanted


def test_a_worker_that_dies_is_replaced(alone):
    killed = []
    with cluster(2, processes=True) as workers, distributed.Client(workers) as client:
        pids = client.run(os.getpid)

        def kill_one(trainer):
            if not killed:
                killed.append(list(pids.values())[0])
                os.kill(killed[0], signal.SIGKILL)

        assert trained(client, callback=kill_one) == alone[50]
    assert killed


def test_tapes_that_are_lost_between_the_passes_are_made_again(alone, monkeypatch):
    from sparseprop.training import workers as module

    def forget(*arguments):
        module.n_forgotten += len(module._kept)  # the module is one for all, what is pickled with this is not
        module._kept.clear()
        return back(*arguments)

    back = module.back
    monkeypatch.setattr(module, "n_forgotten", 0, raising=False)
    monkeypatch.setattr(module, "back", forget)
    with cluster(2, processes=False) as workers, distributed.Client(workers) as client:
        assert trained(client) == alone[50]
    assert module.n_forgotten > 5


def test_batches_that_kill_their_workers_end_with_an_error(monkeypatch):
    from sparseprop.training import workers as module

    monkeypatch.setattr(module, "forward", _die)
    values, labels = training.yin_yang(20, seed=1)
    net = training.layered_network([5, 5, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    before = [p.weight.tobytes() for p in net.projections]
    with cluster(1, processes=True) as workers, distributed.Client(workers) as client:
        loss = training.FirstSpikeCrossEntropy()
        trainer = training.Trainer(net, loss, duration=35.0, client=client)
        with pytest.raises(RuntimeError, match="a batch was lost since its workers ended, also those that took over"):
            trainer.step(training.latencies(values, bias=0.0), labels)
    assert [p.weight.tobytes() for p in net.projections] == before


def _die(*arguments):
    time.sleep(0.05)
    os._exit(1)


def test_errors_name_the_sample_of_the_batch():
    net = sp.Network(seed=1)
    source, neurons = net.add(1, sp.SpikeSource([], [])), net.add(2, sp.LIF(tau_m=10.0))
    net.connect(source, neurons, sp.all_to_all(), weight=1e308)
    loss = training.FirstSpikeCrossEntropy(neurons)
    inputs = [([], [])] * 19 + [([1.0, 1.0, 1.0], [0, 0, 0])]
    found = []
    with cluster(2, processes=False) as workers, distributed.Client(workers) as client:
        for each in (None, client):
            with pytest.raises((NumericalError, sp.errors.RunawayError)) as error:
                training.Trainer(net, loss, duration=5.0, client=each).step(inputs, np.zeros(20, int))
            found.append(str(error.value))
    assert found[0] == found[1] and found[0].startswith("sample 19:")


def test_what_is_no_client():
    net = training.layered_network([2, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=1)
    with pytest.raises(ParameterError, match=r"client must be None or a dask.distributed.Client \(.*\), got 'tcp"):
        training.Trainer(net, training.FirstSpikeCrossEntropy(), duration=5.0, client="tcp://here:1")
