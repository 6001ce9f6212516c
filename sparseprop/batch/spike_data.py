"""The spikes of many samples as ragged arrays, any number in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from .. import _validation
from ..errors import ParameterError, named_arguments, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .._types import ArrayLike, Floats, Ints

__all__ = ["SpikeData"]


@named_arguments
class SpikeData:
    """Spikes of many samples, any number in each, and their labels.

    What batches and trainings take as inputs beside arrays and pairs. Times of all samples are in one array, and so are
    ids: nothing is padded, a batch is taken without a loop over samples, and spikes are put in order once, here.

    Parameters
    ----------
    times : array_like of shape (n_spikes,)
        ms; sample after sample, in any order within one: they come to be in that of time, then of id.
    ids : array_like of int, shape (n_spikes,)
        Which source each spike is of.
    offsets : array_like of int, shape (n_samples + 1,)
        Spikes of sample k are ``times[offsets[k]:offsets[k + 1]]``.
    labels : array_like, optional
        Of samples, one row for each.
    n : int, optional
        Number of sources; default: the largest id and one.

    Attributes
    ----------
    times, ids, offsets : ndarray
        Read-only.
    labels : ndarray or None
    n, n_spikes : int
    counts : ndarray of int, shape (n_samples,)
        Number of spikes of each sample.

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Notes
    -----
    ``len(data)`` is the number of samples; ``data[k]`` is (times, ids) of one, ``data[[3, 1, 2]]`` and ``data[:100]``
    are SpikeData of some. The backward pass has derivatives by input times in one array, in the order of `times`.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> data = training.SpikeData([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1], [0, 1, 1, 4], labels=[2, 0, 1])
    >>> data
    <SpikeData: 3 samples, 4 spikes of 2 sources in 4 ms>
    >>> data[[2, 0]].times.tolist(), data[[2, 0]].offsets.tolist(), data[[2, 0]].labels.tolist()
    ([2.0, 3.0, 4.0, 1.0], [0, 3, 4], [1, 2])
    >>> net = training.layered_network([2, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    >>> len(sp.run_batch(net, data, duration=50.0))
    3
    """

    times: Floats
    ids: Ints
    offsets: Ints
    labels: np.ndarray | Any  # None where there are none
    n: int

    def __init__(
        self,
        times: ArrayLike,
        ids: ArrayLike,
        offsets: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        n: int | None = None,
    ) -> None:
        times = _validation.real_array(times, "times", "finite times >= 0 ms", unit="ms", low=0.0)
        ids = _validation.index_array(ids, "ids", 2**31 - 1)
        offsets = _validation.index_array(offsets, "offsets", 2**62)
        if len(ids) != len(times):
            raise ParameterError(f"ids must be one for each of the {len(times)} times, got {len(ids)}")
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(times) or (np.diff(offsets) < 0).any():
            raise ParameterError(
                f"offsets must go up from 0 to the number of spikes, {len(times)}, one more of them than samples, got "
                f"{shown(offsets)}"
            )
        most = int(ids.max(initial=-1)) + 1
        if n is None:
            n = most
        else:
            n = _validation.integer(
                n, "n", f"a whole number above all ids, of which the largest is {most - 1}", low=most
            )
        if labels is not None:
            labels = _labels(labels, len(offsets) - 1)
        times, ids = _in_order(times, ids, offsets)
        self._set(times, ids, offsets, labels, n)

    def _set(self, times, ids, offsets, labels, n):
        self.times, self.ids, self.offsets, self.labels, self.n = times, ids, offsets, labels, n
        for array in (times, ids, offsets):
            array.flags.writeable = False

    @property
    def n_spikes(self) -> int:
        return len(self.times)

    @property
    def counts(self) -> Ints:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        last = f" in {self.times.max():.6g} ms" if self.n_spikes else ""
        return f"<SpikeData: {len(self)} samples, {self.n_spikes} spikes of {self.n} sources{last}>"

    @overload
    def __getitem__(self, samples: int) -> tuple[Floats, Ints]: ...
    @overload
    def __getitem__(self, samples: slice | Sequence[int] | np.ndarray) -> SpikeData: ...
    def __getitem__(self, samples: Any) -> Any:
        if isinstance(samples, (int, np.integer)) and not isinstance(samples, bool):
            k = int(samples) + (len(self) if samples < 0 else 0)
            if not 0 <= k < len(self):
                raise IndexError(f"there are {len(self)} samples, got the number {int(samples)}")
            spikes = slice(self.offsets[k], self.offsets[k + 1])
            return self.times[spikes], self.ids[spikes]
        chosen = self._chosen(samples)
        counts = self.counts[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        spikes = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], counts)
        labels = None if self.labels is None else self.labels[chosen]
        some = SpikeData.__new__(SpikeData)
        some._set(self.times[spikes], self.ids[spikes], offsets, labels, self.n)
        return some

    def _chosen(self, samples):
        """Numbers of samples, from a slice, numbers or a mask."""
        if isinstance(samples, slice):
            return np.arange(len(self))[samples]
        samples = np.asarray(samples)
        if samples.dtype.kind == "b":
            if samples.shape != (len(self),):
                raise ParameterError(
                    f"a mask must be of shape ({len(self)},), one for each sample, got {samples.shape}"
                )
            return np.nonzero(samples)[0]
        return _validation.index_array(samples, "samples", len(self))


def _in_order(times, ids, offsets):
    """Times and ids, those of each sample by time, then by id."""
    sample = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    steps, back = np.diff(times), np.diff(ids) < 0
    if not ((np.diff(sample) == 0) & ((steps < 0.0) | ((steps == 0.0) & back))).any():
        return times, ids
    order = np.lexsort((ids, times, sample))
    return times[order], ids[order]


def _labels(labels, n):
    try:
        labels = np.array(_validation.without_units(labels, "labels"))
    except ValueError as error:
        raise ParameterError(f"labels must be an array, with a row for each sample ({error})") from None
    if labels.ndim == 0 or len(labels) != n:
        got = shown(labels.item()) if labels.ndim == 0 else len(labels)
        raise ParameterError(f"labels must be one for each of the {n} samples, got {got}")
    return labels
