"""Samples of a batch dealt to the workers of a dask cluster; sums are those of one process, bit for bit."""

import pickle
import re
import sys
import threading
import uuid
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np

from ..batch import BatchResult, BatchSimulation
from ..batch.backward import Summed, piece_size
from ..batch.inputs import Inputs
from ..batch.result import structure
from ..errors import NumericalError, ParameterError, RunawayError, shown
from .samples import taken

__all__ = ["Workers", "checked_client"]

EXTRA = 'pip install "sparseprop-sim[dask]"'
MOST_KEPT = 16  # simulations that a process keeps, with the tapes of their last batch


def checked_client(client):
    """What ``client=`` was, if it is a Client of dask."""
    module = sys.modules.get("distributed")
    if client is None or (module is not None and isinstance(client, module.Client)):
        return client
    raise ParameterError(f"client must be None or a dask.distributed.Client (`{EXTRA}`), got {shown(client)}")


class Workers:
    """Those of a client, for the batches of one training.

    A batch is cut into the pieces within which one process adds up, too; each worker has some that follow one another.
    It runs them and keeps their tapes; the loss is taken of the whole batch, here; then workers go back, and sums of
    pieces are added in their order. Whoever takes over from a worker that was lost repeats what that had done.

    Parameters
    ----------
    client : dask.distributed.Client
    simulation : BatchSimulation
        Of the network as it is here.
    """

    def __init__(self, client, simulation):
        self.client, self.simulation = client, simulation
        self.step, self.same, self.calls = 0, None, []

    def _network(self):
        """The network without what changes, pickled, and its name; sent again only where it has become another."""
        net = self.simulation.network
        same = (*structure(net), *(p.model for p in net.populations))
        if self.same is None or list(map(id, same)) != list(map(id, self.same)):
            self.same = same
            self.base = [(p.weight, p.delay) for p in net.projections]
            self.name = uuid.uuid4().hex
            self.sent = self.client.scatter(pickle.dumps(net), broadcast=True, hash=False)
        return self.name, self.sent

    def _changed(self):
        """(number of a projection, name, values) of weights and delays that are not those that were sent."""
        return [
            (k, name, getattr(p, name))
            for k, (p, before) in enumerate(zip(self.simulation.network.projections, self.base, strict=True))
            for name, value in zip(("weight", "delay"), before, strict=True)
            if getattr(p, name) is not value
        ]

    def run(self, inputs, duration, record):
        """The BatchResult of a batch; its tapes are with the workers."""
        simulation = self.simulation
        checked = Inputs(simulation.sources, inputs)
        n, addresses = checked.n_samples, sorted(self.client.nthreads())
        if not addresses:
            raise ParameterError("client has no workers; start some, or wait for them: client.wait_for_workers(1)")
        size = piece_size(n)
        edges = [*range(0, n, size), n]
        n_calls = min(len(addresses), len(edges) - 1)
        cuts = [k * (len(edges) - 1) // n_calls for k in range(n_calls + 1)]
        name, network = self._network()
        self.step += 1
        values = self._changed()
        self.calls = []
        for slot in range(n_calls):
            own = edges[cuts[slot] : cuts[slot + 1] + 1]
            given = taken(inputs, np.arange(own[0], own[-1]))
            work = (name, slot, self.step, values, given, own, duration, record, simulation.n_threads)
            self.calls.append((addresses[slot], network, work))
        found = self._gather(forward, [()] * n_calls)
        before = np.cumsum([0, *(len(part[0]) for part in found)])
        offsets = [part[2][1:] + shift for part, shift in zip(found, before[:-1], strict=True)]
        ids, times = found[0][4:6]
        samples = SimpleNamespace(
            times=np.concatenate([part[0] for part in found]),
            ids=np.concatenate([part[1] for part in found]),
            offsets=np.concatenate([np.zeros(1, np.int64), *offsets]),
            V=np.zeros((n, len(times), len(ids))),
            counts=tuple(int(total) for total in np.sum([part[6] for part in found], axis=0)),
        )
        result = BatchResult(simulation, checked, None, duration, samples, ids, times, False)
        result.V = np.concatenate([part[3] for part in found])
        return result

    def backward(self, result, dL_dtimes, dL_dV):
        """The sums of the pass back through the batch that was run last."""
        dL_dtimes = np.zeros(len(result.times)) if dL_dtimes is None else np.asarray(dL_dtimes, float)
        dL_dV = np.zeros(result.V.shape) if dL_dV is None else np.asarray(dL_dV, float)
        edges = [work[5] for _, _, work in self.calls]
        more = [(dL_dtimes[result.offsets[own[0]] : result.offsets[own[-1]]], dL_dV[own[0] : own[-1]]) for own in edges]
        pieces = [piece for part in self._gather(back, more) for piece in part]
        flat = pieces[0][0].copy()
        for piece in pieces[1:]:
            flat += piece[0]
        found = (
            flat,
            np.concatenate([piece[1] for piece in pieces]),
            [finding for piece in pieces for finding in piece[2]],
            *(sum(piece[k] for piece in pieces) for k in (3, 4)),
            max(piece[5] for piece in pieces),
        )
        return Summed(self.simulation, True, found)

    def _gather(self, function, more):
        """What a function of the workers gives for each of the calls."""
        from distributed import CancelledError, KilledWorker

        futures = [
            self.client.submit(function, network, *work, *rest, workers=[address], allow_other_workers=True, pure=False)
            for (address, network, work), rest in zip(self.calls, more, strict=True)
        ]
        try:
            return self.client.gather(futures)
        except (KilledWorker, CancelledError) as error:
            raise RuntimeError(
                "a batch was lost since its workers ended, also those that took over; nothing was changed. Look at "
                f"their logs and memory, or train without client. What dask says: {error}"
            ) from error
        finally:
            for future in futures:
                future.cancel()


# On a worker ----------------------------------------------------------------------------------------------------------

_kept: OrderedDict[tuple[str, int], SimpleNamespace] = OrderedDict()  # by (name of a network, slot)
_lock = threading.Lock()


def _own(network, name, slot, n_threads):
    """The simulation of a slot, and what it has done last; made anew where it is not known."""
    with _lock:
        own = _kept.setdefault((name, slot), SimpleNamespace(lock=threading.Lock(), simulation=None, step=None))
        _kept.move_to_end((name, slot))
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    with own.lock:
        if own.simulation is None:
            own.simulation = BatchSimulation(pickle.loads(network), n_threads=n_threads)
    return own


def _run(own, step, values, inputs, edges, duration, record):
    """Results with tapes, piece by piece."""
    net = own.simulation.network
    for k, name, value in values:
        setattr(net.projections[k], name, value)
    own.step, own.results = None, []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        chosen = taken(inputs, np.arange(first - edges[0], last - edges[0]))
        try:
            own.results.append(own.simulation.run(chosen, duration, record=record, tape=True))
        except (RunawayError, NumericalError) as error:
            number = re.match(r"sample (\d+):", str(error))
            if number is None:
                raise
            text = str(error)[number.end() :]
            raise type(error)(f"sample {first + int(number[1])}:{text}") from None
    own.step = step


def forward(network, name, slot, step, values, inputs, edges, duration, record, n_threads):
    """Run the samples from edges[0] to edges[-1]; their spikes and voltages."""
    own = _own(network, name, slot, n_threads)
    with own.lock:
        _run(own, step, values, inputs, edges, duration, record)
        results = own.results
        before, offsets = 0, [np.zeros(1, np.int64)]
        for result in results:
            offsets.append(result.offsets[1:] + before)
            before += len(result.times)
        counts = [(r.n_spikes, r.n_synaptic_events, r.n_input_events, r.n_close_calls) for r in results]
        return (
            np.concatenate([result.times for result in results]),
            np.concatenate([result.ids for result in results]),
            np.concatenate(offsets),
            np.concatenate([result.V for result in results]),
            results[0].V_ids,
            results[0].V_times,
            np.sum(counts, axis=0),
        )


def back(network, name, slot, step, values, inputs, edges, duration, record, n_threads, dL_dtimes, dL_dV):
    """Take them back; the sums of each piece."""
    own = _own(network, name, slot, n_threads)
    size = edges[1] - edges[0]
    with own.lock:
        if own.step != step:
            _run(own, step, values, inputs, edges, duration, record)
        own.step, results, own.results = None, own.results, []
        sums, at = [], 0
        for first, result in zip(edges[:-1], results, strict=True):
            begin = first - edges[0]
            by_V = dL_dV[begin : begin + result.n_samples]
            found = result._summed(dL_dtimes[at : at + len(result.times)], by_V, size).found
            findings = [(sample + first, *rest) for sample, *rest in found[2]]
            sums.append((found[0], found[1], findings, *found[3:]))
            at += len(result.times)
        return sums
