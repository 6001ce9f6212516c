"""The input spikes of all samples of a batch: arrays or pairs from users, checked, and as engines take them."""

import numpy as np

from .. import _validation
from ..errors import ParameterError, shown, unknown_name
from ..inputs import SpikeSource
from . import _spikes
from .spike_data import SpikeData

__all__ = [
    "Inputs",
    "are_pairs",
    "by_source",
    "check_no_raster",
    "check_shape",
    "input_array",
    "is_raster",
    "padded",
    "padded_pairs",
    "sources_of",
]


def sources_of(net):
    """The populations whose spikes a batch gives."""
    sources = [p for p in net.populations if isinstance(p.model, SpikeSource)]
    if not sources:
        raise ParameterError(
            "a batch needs a network with a SpikeSource, whose spikes it replaces: "
            'net.add(n, sp.SpikeSource([], []), name="input")'
        )
    return sources


def is_raster(array):
    """Whether an array looks like spikes in steps of time, 0 or 1 (or their numbers), and not like times.

    As times most of its spikes would be several of one source at once, at 0 and 1 ms.
    """
    if array.ndim != 3 or array.shape[2] < 3 or not array.size:
        return False
    if array.dtype.kind == "b" or ((array == 0) | (array == 1)).all():
        return True
    whole = (array == np.floor(array)) & np.isfinite(array)
    return bool(whole.all() and 2 * np.count_nonzero(array == 0) > array.size)


def check_no_raster(array, name):
    """Refuse a raster where times are wanted, and say how it is converted."""
    if is_raster(array):
        raise ParameterError(
            f"{name} must be times in ms, got an array of shape {array.shape} of zeros and ones, or small whole "
            "numbers, which looks like a raster in steps of time: convert it, training.spikes_from_raster(raster, dt)"
        )


def padded(shape, sample, place, times):
    """Spikes as an array of shape (*shape, m), ascending, inf for none.

    Parameters
    ----------
    shape : (int, int)
        Numbers of samples and of sources.
    sample, place : ndarray of int
        Whose each spike is.
    times : ndarray
        ms.
    """
    cells = sample * shape[1] + place
    order = np.lexsort((times, cells))
    counts = np.bincount(cells, minlength=shape[0] * shape[1])
    k = np.arange(len(cells)) - np.repeat(np.cumsum(counts) - counts, counts)
    array = np.full((shape[0] * shape[1], max(int(counts.max(initial=0)), 1)), np.inf)
    array[cells[order], k] = times[order]
    return array.reshape(*shape, -1)


def by_source(sources, inputs):
    """`inputs` as a dictionary by name of all these populations."""
    names = [p.name for p in sources]
    if not isinstance(inputs, dict):
        if len(sources) > 1:
            raise ParameterError(f"inputs must be a dictionary, one entry for each of the sources {names}")
        return {names[0]: inputs}
    for name in inputs:
        if name not in names:
            raise unknown_name("source", name, names)
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ParameterError(f"inputs has no spikes for {missing[0]!r}: give all sources of a batch, {names}")
    return inputs


def are_pairs(values):
    """Whether the spikes of a source are SpikeData or a sequence of (times, ids). Tuples: nested lists are arrays."""
    return (
        isinstance(values, SpikeData)
        or isinstance(values, (list, tuple))
        and len(values) > 0
        and isinstance(values[0], tuple)
    )


def check_shape(source, shape):
    """Refuse an array of the spikes of a source that has another shape than is allowed."""
    if len(shape) not in (2, 3) or shape[1] != source.n:
        raise ParameterError(f"{_wanted(source)}, got shape {tuple(shape)}")


def _wanted(source):
    return (
        f"inputs of {source.name!r} must be times of shape (samples, {source.n}) or (samples, {source.n}, m), inf for "
        "no spike, a sequence of (times, ids), one pair for each sample, or a training.SpikeData"
    )


def input_array(source, values):
    """The times of a source's spikes in all samples, from an array of numbers, as float64."""
    name = f"inputs of {source.name!r}"
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        check_no_raster(values, name)
    if not _validation.is_array(values):
        raise ParameterError(f"{_wanted(source)}, got {shown(values)}")
    array = _validation.plain(values, name, "ms")
    check_no_raster(array, name)
    check_shape(source, array.shape)
    array = array.astype(float)
    if not (array >= 0.0).all():
        raise _no_time(name, array[~(array >= 0.0)][0])
    return array


def _no_time(name, value):
    return ParameterError(f"{name} must be times >= 0 ms, or inf for no spike, got {value}")


def input_pairs(source, values):
    """(number of spikes of each sample, times, local ids) from SpikeData or a sequence of (times, ids)."""
    name = f"inputs of {source.name!r}"
    if isinstance(values, SpikeData):
        if values.n > source.n:
            raise ParameterError(f"{name} must be of its {source.n} sources, got {values!r}")
        return values.counts, values.times, values.ids
    sizes, all_times, all_ids = [], [np.zeros(0)], [np.zeros(0, np.int64)]
    for k, pair in enumerate(values):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(_is_flat(part) for part in pair):
            raise ParameterError(
                f"{name}: sample {k} must be a pair of arrays (times, ids), as tuples stand for such pairs (lists "
                f"for times of all sources), got {shown(pair)}"
            )
        times = _validation.real_array(
            pair[0], f"{name}: times of sample {k}", "finite times >= 0 ms", unit="ms", low=0.0
        )
        ids = _validation.index_array(pair[1], f"{name}: ids of sample {k}", source.n)
        if times.shape != ids.shape:
            raise ParameterError(f"{name}: sample {k} must have one id for each time, got {len(ids)} for {len(times)}")
        sizes.append(len(times))
        all_times.append(times)
        all_ids.append(ids)
    return sizes, np.concatenate(all_times), np.concatenate(all_ids)


def _is_flat(values):
    if isinstance(values, (list, tuple)):  # of numbers, which may have units
        return not any(map(_validation.is_array, values))
    try:
        return np.ndim(values) == 1
    except (TypeError, ValueError):
        return False


def padded_pairs(source, values):
    """SpikeData or a sequence of (times, ids) as an array of shape (samples, n, m)."""
    sizes, times, ids = input_pairs(source, values)
    return padded((len(sizes), source.n), np.repeat(np.arange(len(sizes)), sizes), ids, times)


class Inputs:
    """The input spikes of all samples, as the engine takes them.

    Attributes
    ----------
    n_samples : int
    times, ids : ndarray
        All spikes, by sample, time and global id.
    offsets : ndarray of shape (n_samples + 1,)
    """

    def __init__(self, sources, inputs):
        if len(sources) == 1 and type(inputs) is np.ndarray and inputs.dtype == np.float64:
            self._take(sources[0], inputs)
            return
        by_name = {p.name: p for p in sources}
        inputs = by_source(sources, inputs)
        self.given = [self._flat(by_name[name], values) for name, values in inputs.items()]
        numbers = {name: given[0] for name, given in zip(inputs, self.given, strict=True)}
        self.n_samples = next(iter(numbers.values()))
        if len(set(numbers.values())) > 1:
            raise ParameterError(f"inputs must have the same number of samples for all sources, got {numbers}")
        self.names = list(inputs)
        sample, times, ids = (np.concatenate([given[k] for given in self.given]) for k in (1, 2, 3))
        is_in_order = len(inputs) == 1 and isinstance(next(iter(inputs.values())), SpikeData)
        self.order = np.arange(len(times)) if is_in_order else np.lexsort((ids, times, sample))
        self.times, self.ids = times[self.order], ids[self.order]
        self.offsets = np.concatenate([[0], np.cumsum(np.bincount(sample, minlength=self.n_samples))])

    def _take(self, source, array):
        """The same for the times of the only source, in one loop."""
        name = f"inputs of {source.name!r}"
        check_no_raster(array, name)
        check_shape(source, array.shape)
        n = len(array)
        per_source = array.shape[2] if array.ndim == 3 else 1
        flat = np.ascontiguousarray(array).reshape(n, source.n * per_source)
        self.times, self.ids, self.offsets, places, wrong = _spikes.in_order(flat, per_source, source.first)
        if wrong >= 0:
            raise _no_time(name, flat.flat[wrong])
        self.names, self.n_samples = [source.name], n
        # As they are given back: in their order in the array.
        self.order = slice(None)
        self.given = [(n, None, self.times, None, (array.shape, np.unravel_index(places, array.shape)))]

    @staticmethod
    def _flat(source, values):
        """(number of samples, sample and time and global id of each spike, how to give values back) of one source."""
        if are_pairs(values):
            sizes, times, ids = input_pairs(source, values)
            form = None if isinstance(values, SpikeData) else sizes
            return len(sizes), np.repeat(np.arange(len(sizes)), sizes), times, source.first + ids, form
        array = input_array(source, values)
        there = np.nonzero(np.isfinite(array))
        return array.shape[0], there[0], array[there], source.first + there[1], (array.shape, there)

    def given_back(self, values):
        """Values of the spikes in the engine's order, by source and in the form in which they were given."""
        unsorted = np.empty(len(values))
        unsorted[self.order] = values
        result, at = {}, 0
        for name, (_, _, times, _, form) in zip(self.names, self.given, strict=True):
            part = unsorted[at : at + len(times)]
            at += len(times)
            if form is None:
                result[name] = part
            elif isinstance(form, list):
                result[name] = np.split(part, np.cumsum(form)[:-1]) if form else []
            else:
                shape, there = form
                result[name] = np.zeros(shape)
                result[name][there] = part
        return result
