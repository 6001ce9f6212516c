"""Loops of a training step: losses, what pseudospikes need of all samples, and Adam.

Each result is a fixed sequence of operations. Sums over synapses of a neuron are added up in their order, and all other
ones as NumPy does, so that they have the bits that they would have there.
"""

from libc.math cimport INFINITY, isinf, sqrt
from libc.stdint cimport int64_t, uint8_t

import numpy as np

from sparseprop.numerics._elementary cimport atan_many, exp, log

cdef double PI = np.pi


cdef double sum_of(const double *x, int64_t n) noexcept nogil:
    """In NumPy's order: eight sums side by side, and halves of many."""
    cdef double r[8]
    cdef double total = 0.0
    cdef int64_t i, k
    if n < 8:
        for i in range(n):
            total += x[i]
        return total
    if n > 128:
        k = n // 2
        k -= k % 8
        return sum_of(x, k) + sum_of(x + k, n - k)
    for k in range(8):
        r[k] = x[k]
    i = 8
    while i < n - n % 8:
        for k in range(8):
            r[k] += x[i + k]
        i += 8
    total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
    while i < n:
        total += x[i]
        i += 1
    return total


# Losses ---------------------------------------------------------------------------------------------------------------

cdef int64_t winner(const double *t, int64_t n) noexcept nogil:
    """The earliest of n times; -1 where several are."""
    cdef int64_t k, first = 0, equal = 0
    for k in range(1, n):
        if t[k] < t[first]:
            first = k
    for k in range(n):
        equal += t[k] == t[first]
    return first if equal == 1 else -1


def first_spike_cross_entropy(const double[:, ::1] t, const int64_t[::1] labels, double tau, double alpha,
                              double tau_late):
    """Of first spikes of outputs, of shape (samples, n): values by sample, derivatives of their mean, and who is first.

    The last one is -1 where several share the first place.
    """
    cdef int64_t n_samples = t.shape[0], n = t.shape[1], k, j, label
    cdef double[::1] value = np.empty(n_samples)
    cdef double[:, ::1] by_t = np.empty((n_samples, n))
    cdef int64_t[::1] first = np.empty(n_samples, np.int64)
    cdef double highest, total, late, shifted = 0.0, x
    for k in range(n_samples):
        label = labels[k]
        highest = -INFINITY
        for j in range(n):
            highest = max(highest, -t[k, j] / tau)
        for j in range(n):
            x = -t[k, j] / tau - highest
            if j == label:
                shifted = x
            by_t[k, j] = exp(x)
        total = sum_of(&by_t[k, 0], n)
        late = exp(min(t[k, label] / tau_late, 700.0))
        value[k] = (log(total) - shifted) + alpha * (late - 1.0)
        for j in range(n):
            x = by_t[k, j] / total
            if j == label:
                x -= 1.0
            x = -x / tau
            if j == label:
                x += alpha * late / tau_late
            by_t[k, j] = x / <double> n_samples
        first[k] = winner(&t[k, 0], n)
    return value.base, by_t.base, first.base


def peaks(const double[:, :, ::1] V, const int64_t[::1] rows, const int64_t[::1] columns, const uint8_t[:, ::1] silent,
          const double[::1] goal, double slope):
    """How far the highest V of each silent neuron is below its goal, of shape (samples, n), and dL/dV.

    `rows` and `columns` say which of V are those of the n neurons; `slope` is dL/dV where V is below. None and None if
    V is infinite.
    """
    cdef int64_t n_samples = V.shape[0], n = columns.shape[0], k, i, j, best
    cdef double[:, ::1] short = np.zeros((n_samples, n))
    cdef double[:, :, ::1] by_V = np.zeros((V.shape[0], V.shape[1], V.shape[2]))
    for k in range(n_samples):
        for i in range(n):
            best = rows[0]
            for j in range(rows.shape[0]):
                if isinf(V[k, rows[j], columns[i]]):
                    return None, None
                if V[k, rows[j], columns[i]] > V[k, best, columns[i]]:
                    best = rows[j]
            if not silent[k, i]:
                continue
            short[k, i] = max(goal[i] - V[k, best, columns[i]], 0.0)
            if short[k, i] > 0.0:
                by_V[k, best, columns[i]] += slope
    return short.base, by_V.base


# Pseudospikes ---------------------------------------------------------------------------------------------------------

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
    cdef int64_t n_samples = s.shape[0], n_sources = s.shape[1], k, j
    cdef double[:, ::1] by_source = np.empty((n_sources, n_samples)), by_target = np.zeros((n, n_samples))
    cdef double[:, ::1] total = np.empty((n_samples, n))
    cdef double w
    cdef const double *x
    cdef double *y
    if n_samples == 0 or n == 0:
        return total.base
    for k in range(n_samples):
        for j in range(n_sources):
            by_source[j, k] = s[k, j]
    for j in range(weights.shape[0]):
        w = weights[j]
        x = &by_source[sources[j], 0]
        y = &by_target[targets[j], 0]
        for k in range(n_samples):
            y[k] += w * x[k]
    for k in range(n_samples):
        for j in range(n):
            total[k, j] = by_target[j, k]
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


# Adam -----------------------------------------------------------------------------------------------------------------

def adam(const double[::1] values, const double[::1] gradient, const double[::1] first, const double[::1] second,
         double clip, double b1, double b2, double old_unbias_2, double unbias_1, double unbias_2, double lr,
         double epsilon):
    """A step of Adam: new values, and the running means of the gradient and of its square.

    A gradient whose norm is more than `clip` times the root of the sum of `second` over `old_unbias_2` is scaled down
    to that; 0: never.
    """
    cdef int64_t n = values.shape[0], k
    cdef double[::1] new = np.empty(n), m = np.empty(n), v = np.empty(n)
    cdef double g, scale = 1.0, norm, usual, c1 = 1.0 - b1, c2 = 1.0 - b2
    if n and clip > 0.0:
        for k in range(n):
            v[k] = gradient[k] * gradient[k]
        norm, usual = sqrt(sum_of(&v[0], n)), sqrt(sum_of(&second[0], n) / old_unbias_2)
        if norm > clip * usual and clip * usual > 0.0:
            scale = clip * usual / norm
    for k in range(n):
        g = gradient[k] * scale
        m[k] = b1 * first[k] + c1 * g
        v[k] = b2 * second[k] + c2 * (g * g)
        new[k] = values[k] - lr * (m[k] / unbias_1) / (sqrt(v[k] / unbias_2) + epsilon)
    return new.base, m.base, v.base
