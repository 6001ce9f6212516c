"""Loops of a training step: what pseudospikes need of all samples, and Adam.

Each result is a fixed sequence of operations, in the order in which the text of the callers has them; sums are added up
in the order of synapses, or of samples.
"""

from libc.math cimport sqrt
from libc.stdint cimport int64_t

import numpy as np

from sparseprop.numerics._elementary cimport atan_many

cdef double PI = np.pi


def angles(const double[:, ::1] V, const double[::1] root):
    """atan(V / root), of the shape of V."""
    cdef int64_t n = V.shape[0], width = V.shape[1], k, j
    cdef double[:, ::1] found = np.empty((n, width))
    for k in range(n):
        for j in range(width):
            found[k, j] = V[k, j] / root[j]
    if n * width:
        atan_many(&found[0, 0], &found[0, 0], n * width)
    return found.base


def parts(const double[:, ::1] V, const double[::1] root):
    """Which part of the way to the next spike is covered at V: ``1/2 + atan(V / root) / pi``."""
    cdef double[:, ::1] found = angles(V, root)
    cdef int64_t k, j
    for k in range(V.shape[0]):
        for j in range(V.shape[1]):
            found[k, j] = 0.5 + found[k, j] / PI
    return found.base


def next_times(const double[:, ::1] V, const double[::1] root, const double[::1] tau, double T):
    """When neurons at V at the time T fire: ``T + tau / root (pi / 2 - atan(V / root))``."""
    cdef double[:, ::1] found = angles(V, root)
    cdef int64_t k, j
    for k in range(V.shape[0]):
        for j in range(V.shape[1]):
            found[k, j] = T + tau[j] / root[j] * (0.5 * PI - found[k, j])
    return found.base


def by_V(const double[:, ::1] by_angle, const double[:, ::1] V, const double[::1] root):
    """The derivative by V from that by atan(V / root)."""
    cdef double[:, ::1] found = np.empty((V.shape[0], V.shape[1]))
    cdef int64_t k, j
    for k in range(V.shape[0]):
        for j in range(V.shape[1]):
            found[k, j] = by_angle[k, j] * (root[j] / (root[j] * root[j] + V[k, j] * V[k, j]))
    return found.base


def kicked(const double[:, ::1] s, const double[::1] weights, const int64_t[::1] sources, const int64_t[::1] targets,
           int64_t n):
    """The sum of weight times s of the source, for n targets in all samples, in the order of the synapses."""
    cdef double[:, ::1] total = np.zeros((s.shape[0], n))
    cdef int64_t k, j
    for k in range(s.shape[0]):
        for j in range(weights.shape[0]):
            total[k, targets[j]] += weights[j] * s[k, sources[j]]
    return total.base


cdef void add_products(const double *g, const double *s, int64_t j, int64_t n_targets, int64_t n_sources,
                       const int64_t[::1] sources, const int64_t[::1] targets, int64_t n, bint first,
                       double *sums) noexcept nogil:
    """One more sample, the j-th, for each of n synapses."""
    cdef int64_t k
    g += j * n_targets
    s += j * n_sources
    if first:
        for k in range(n):
            sums[k] = g[targets[k]] * s[sources[k]]
    else:
        for k in range(n):
            sums[k] += g[targets[k]] * s[sources[k]]


cdef void sum_products(const double *g, const double *s, int64_t begin, int64_t end, int64_t n_targets,
                       int64_t n_sources, const int64_t[::1] sources, const int64_t[::1] targets, int64_t n,
                       double *sums, double *room) noexcept nogil:
    """The samples from `begin` to `end`, in NumPy's order: eight sums side by side, and halves of many."""
    cdef int64_t j, k, middle
    cdef double *r = sums
    if end - begin < 8:
        for j in range(begin, end):
            add_products(g, s, j, n_targets, n_sources, sources, targets, n, j == begin, sums)
        return
    if end - begin > 128:
        middle = (end - begin) // 2
        middle = begin + middle - middle % 8
        sum_products(g, s, begin, middle, n_targets, n_sources, sources, targets, n, sums, room)
        sum_products(g, s, middle, end, n_targets, n_sources, sources, targets, n, room, room + 8 * n)
        for k in range(n):
            sums[k] += room[k]
        return
    middle = end - (end - begin) % 8
    for j in range(begin, middle):
        r = room + ((j - begin) % 8) * n
        add_products(g, s, j, n_targets, n_sources, sources, targets, n, j < begin + 8, r)
    for k in range(n):
        sums[k] = ((room[k] + room[n + k]) + (room[2 * n + k] + room[3 * n + k])) + (
            (room[4 * n + k] + room[5 * n + k]) + (room[6 * n + k] + room[7 * n + k])
        )
    for j in range(middle, end):
        add_products(g, s, j, n_targets, n_sources, sources, targets, n, False, sums)


def by_synapse(const double[:, ::1] g, const double[:, ::1] s, const int64_t[::1] sources, const int64_t[::1] targets):
    """The sum over samples of g of the target times s of the source, for each synapse."""
    cdef int64_t n = sources.shape[0], n_samples = g.shape[0], depth = 1
    cdef double[::1] total = np.zeros(n), room
    while n_samples >> depth > 64:
        depth += 1
    room = np.empty((8 * depth + 8) * n)
    if n_samples and n:
        sum_products(&g[0, 0], &s[0, 0], 0, n_samples, g.shape[1], s.shape[1], sources, targets, n, &total[0],
                     &room[0])
    return total.base


def adam(const double[::1] values, const double[::1] gradient, const double[::1] first, const double[::1] second,
         double scale, double b1, double b2, double unbias_1, double unbias_2, double lr, double epsilon):
    """A step of Adam with `scale` times the gradient: new values, and the running means of it and of its square."""
    cdef int64_t n = values.shape[0], k
    cdef double[::1] new = np.empty(n), m = np.empty(n), v = np.empty(n)
    cdef double g, c1 = 1.0 - b1, c2 = 1.0 - b2
    for k in range(n):
        g = gradient[k] * scale
        m[k] = b1 * first[k] + c1 * g
        v[k] = b2 * second[k] + c2 * (g * g)
        new[k] = values[k] - lr * (m[k] / unbias_1) / (sqrt(v[k] / unbias_2) + epsilon)
    return new.base, m.base, v.base
