"""Loops over the spikes of a batch: input spikes in the engine's order, first spikes, numbers of spikes."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.stdlib cimport qsort

import numpy as np


cdef struct Spike:
    double time
    int64_t id
    int64_t place


cdef int compare(const void *a, const void *b) noexcept nogil:
    cdef const Spike *x = <const Spike *> a
    cdef const Spike *y = <const Spike *> b
    if x.time != y.time:
        return 1 if x.time > y.time else -1
    if x.id != y.id:
        return 1 if x.id > y.id else -1
    return (x.place > y.place) - (x.place < y.place)


def in_order(const double[:, ::1] times, int64_t per_source, int64_t first):
    """The spikes of an array of times, by sample, time and id.

    Parameters
    ----------
    times : ndarray of shape (samples, sources * per_source)
        ms; inf for none.
    per_source : int
        How many of each source.
    first : int
        The id of the first source.

    Returns
    -------
    times, ids : ndarray
    offsets : ndarray of shape (samples + 1,)
        Where those of each sample begin.
    places : ndarray of int
        Where in the flat array each was.
    wrong : int
        Where there is a time that is none, below 0 or NaN; -1 if nowhere.
    """
    cdef int64_t n = times.shape[0], width = times.shape[1], k, j, at = 0, size
    cdef double t
    cdef int64_t[::1] offsets = np.zeros(n + 1, np.int64)
    cdef double[::1] found = np.empty(n * width)
    cdef int64_t[::1] ids = np.empty(n * width, np.int64), places = np.empty(n * width, np.int64)
    cdef Spike[::1] spikes = np.empty(max(width, 1), [("time", float), ("id", np.int64), ("place", np.int64)])
    for k in range(n):
        size = 0
        for j in range(width):
            t = times[k, j]
            if not t >= 0.0:
                return None, None, None, None, k * width + j
            if t == INFINITY:
                continue
            spikes[size].time, spikes[size].id, spikes[size].place = t, first + j // per_source, k * width + j
            size += 1
        if size > 1:
            qsort(&spikes[0], size, sizeof(Spike), compare)
        for j in range(size):
            found[at], ids[at], places[at] = spikes[j].time, spikes[j].id, spikes[j].place
            at += 1
        offsets[k + 1] = at
    return found.base[:at], ids.base[:at], offsets.base, places.base[:at], -1


def first_spikes(const double[::1] times, const int64_t[::1] ids, const int64_t[::1] offsets, int64_t first, int64_t n):
    """When the neurons from `first` on, n of them, fire first in each sample, and where in `times` that is.

    `times` and `ids` are those of all samples, one after the other, which begin at `offsets`. Infinite and -1 where a
    neuron does not fire; both of shape (samples, n).
    """
    cdef int64_t n_samples = offsets.shape[0] - 1, k, j, i
    cdef double[:, ::1] when = np.full((n_samples, n), np.inf)
    cdef int64_t[:, ::1] where = np.full((n_samples, n), -1)
    for k in range(n_samples):
        for j in range(offsets[k], offsets[k + 1]):
            i = ids[j] - first
            if 0 <= i < n and where[k, i] < 0:
                where[k, i] = j
                when[k, i] = times[j]
    return when.base, where.base


def spike_counts(const int64_t[::1] ids, const int64_t[::1] offsets, int64_t first, int64_t n):
    """How often the neurons from `first` on, n of them, fire in each sample, of shape (samples, n)."""
    cdef int64_t n_samples = offsets.shape[0] - 1, k, j, i
    cdef int64_t[:, ::1] counts = np.zeros((n_samples, n), np.int64)
    for k in range(n_samples):
        for j in range(offsets[k], offsets[k + 1]):
            i = ids[j] - first
            if 0 <= i < n:
                counts[k, i] += 1
    return counts.base


def spikes_by_population(const int64_t[::1] ids, const int64_t[::1] ends):
    """How many of these ids are below each of `ends`, ascending, and not below the one before."""
    cdef int64_t[::1] counts = np.zeros(ends.shape[0], np.int64)
    cdef int64_t j, p, n = ends.shape[0]
    for j in range(ids.shape[0]):
        p = 0
        while p < n and ids[j] >= ends[p]:
            p += 1
        if p < n:
            counts[p] += 1
    return counts.base
