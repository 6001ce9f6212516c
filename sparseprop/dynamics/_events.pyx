"""What each event of a trial does to vectors of what all neurons are off by, and the adjoint of that.

docs/dynamics.md has the mathematics. Two walks go through the events of one trial. The first has the states of the
neurons and finds the numbers of each event: T of a kick, S and R of a spike. The second takes vectors c through them:

    spike of j      dt = S c_j,  c_j <- R c_j
    its kicks       c_i <- c_i + T_i dt

Both go back, too: the second gives the adjoints of these numbers, and the first what follows for times, weights, drives
and initial states.
"""

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np

from sparseprop.numerics._elementary cimport cosh, exp, sincos, sinh

cdef double SHEAR_LIMIT = 1e-4  # as in models/riccati.py: below that size of the drive the angle is that of (V, 1)
cdef double DROPPED = -1.0  # as the time since the last event of a target: a kick in a refractory period


cdef struct Flow:
    # Of (x, y), V = x / y: x C + drive y S and y C - x S, and the derivatives of C and S by the drive.
    double C, S, of_C, of_S


cdef inline Flow flow_of(double drive, double u) noexcept nogil:
    """tau V' = V^2 + drive for u = t / tau."""
    cdef Flow f
    cdef double root = sqrt(fabs(drive)), q = drive * u * u, sine, cosine
    if drive > 0.0:
        sincos(&sine, &cosine, root * u)
        f.C, f.S = cosine, sine / root
    elif drive < 0.0:
        f.C, f.S = cosh(root * u), sinh(root * u) / root
    else:
        f.C, f.S = 1.0, u
    f.of_C = -0.5 * u * f.S
    if fabs(q) > 1e-3:
        f.of_S = (u * f.C - f.S) / (2.0 * drive)
    else:  # where that would cancel
        f.of_S = u * u * u * (-1.0 / 6.0 + q * (1.0 / 60.0 - q / 1680.0))
    return f


cdef class Neurons:
    """Neurons and their synapses, as both walks need them.

    Parameters
    ----------
    is_linear : ndarray of uint8, shape (n,)
        ``tau V' = drive - V``; else ``tau V' = V^2 + drive``.
    tau, drive, V_peak, V_reset, t_ref : ndarray of shape (n,)
    first : ndarray of int64, shape (n_all + 1,)
        Where the synapses of each neuron or source, by global id, begin.
    target : ndarray of int32
        Of each of these; none twice for one neuron.
    row : ndarray of int32, shape (n_all,)
        Which of the n neurons each is; -1 for sources.
    """

    cdef const uint8_t[::1] is_linear
    cdef const double[::1] tau, drive, V_peak, V_reset, t_ref
    cdef const int64_t[::1] first
    cdef const int32_t[::1] target, row
    cdef readonly int64_t n

    def __init__(self, is_linear, tau, drive, V_peak, V_reset, t_ref, first, target, row):
        self.is_linear, self.tau, self.drive = is_linear, tau, drive
        self.V_peak, self.V_reset, self.t_ref = V_peak, V_reset, t_ref
        self.first, self.target, self.row = first, target, row
        self.n = len(tau)

    cdef inline bint peak_is_finite(self, int32_t i) noexcept nogil:
        return fabs(self.V_peak[i]) < 1e300

    cdef inline double gap(self, int32_t i) noexcept nogil:
        return self.drive[i] - self.V_peak[i]

    cdef inline double over(self, int32_t i, double V) noexcept nogil:
        """x^2 + drive y^2 of (V, 1), or of (1, 0) where V is infinite."""
        return V * V + self.drive[i] if fabs(V) < 1e300 else 1.0


cdef class Walk:
    """The states of all neurons along one trial, and the numbers of its events.

    A neuron with a quadratic drift is (x, y), V = x / y, which goes through its infinite V and is taken through time
    and kicks by matrices of determinant 1. What it is off by is c = y dx - x dy then, up to its sign, which only kicks
    change. A linear neuron is off by c = dV exp((t - start) / tau), start the beginning of the present block.

    Parameters
    ----------
    neurons : Neurons
    weight : ndarray
        One for each of their synapses.
    times, ids : ndarray
        Spikes of neurons and sources (global ids), in their order; ms.
    V, refractory : ndarray of shape (n,)
        At the beginning; of refractory periods what is left of them then, in ms.
    """

    cdef Neurons net
    cdef const double[::1] weight, times
    cdef const int64_t[::1] ids
    cdef double[::1] x, y, last, kicked            # states at `last`; when there was the last excitatory kick
    cdef double[::1] kick_x, kick_y, kick_since    # before each kick, and the time since the event before
    cdef double[::1] spike_x, spike_y, spike_since
    cdef double[::1] by_x, by_y, by_last
    cdef readonly double[::1] by_drive
    cdef readonly object T, S, R, by_T, by_S, by_R, first_kick
    cdef readonly object by_time, by_weight, by_V
    cdef list starts, norms
    cdef double[::1] x_0, y_0, size_0, last_0     # at the beginning; V grows with x_0 times size_0

    def __init__(self, Neurons neurons, weight, times, ids, V, refractory):
        n, n_spikes = neurons.n, len(times)
        self.net, self.weight, self.times, self.ids = neurons, weight, times, ids
        self.first_kick = np.zeros(n_spikes + 1, np.int64)
        np.cumsum(np.diff(neurons.first)[ids], out=self.first_kick[1:])
        kicks = int(self.first_kick[n_spikes])
        self.kick_x, self.kick_y, self.kick_since, self.T, self.by_T = (np.zeros(kicks) for _ in range(5))
        self.spike_x, self.spike_y, self.spike_since = (np.zeros(n_spikes) for _ in range(3))
        self.S, self.R, self.by_S, self.by_R, self.by_time = (np.zeros(n_spikes) for _ in range(5))
        self.by_x, self.by_y, self.by_last, self.by_drive = (np.zeros(n) for _ in range(4))
        self.last, self.last_0 = np.array(refractory), np.array(refractory)
        self.kicked = np.full(n, -1.0)
        self.by_weight = np.zeros(len(weight))
        finite = np.abs(V) < 1e300
        size = np.where(finite, np.sqrt(1.0 + np.where(finite, V, 0.0) ** 2), 1.0)
        self.x, self.y = np.where(finite, V, 1.0) / size, np.where(finite, 1.0, 0.0) / size
        self.x_0, self.y_0, self.size_0 = np.array(self.x), np.array(self.y), np.where(finite, size, np.inf)
        self.starts, self.norms = [], []

    def begin(self, double start):
        """A block begins: what each row of vectors has to be multiplied by for it, shape (n,)."""
        cdef Neurons net = self.net
        cdef int32_t i
        cdef double size
        scale = np.ones(net.n)
        norms = np.ones(net.n)
        cdef double[::1] by = scale, sizes = norms
        for i in range(net.n):
            if net.is_linear[i]:
                if self.starts:
                    by[i] = exp((<double> self.starts[len(self.starts) - 1] - start) / net.tau[i])
                continue
            size = sqrt(self.x[i] * self.x[i] + self.y[i] * self.y[i])
            self.x[i] /= size
            self.y[i] /= size
            sizes[i] = size
            by[i] = 1.0 / (size * size)
        self.starts.append(start)
        self.norms.append(norms)
        return scale

    def forth(self, int64_t low, int64_t high):
        """The events from `low` to `high`; the first one that is a spike that a kick has driven, or -1."""
        cdef Neurons net = self.net
        cdef double start = self.starts[len(self.starts) - 1], t
        cdef double[::1] S = self.S, R = self.R, T = self.T
        cdef const int64_t[::1] first_kick = self.first_kick
        cdef int64_t s, k, q
        cdef int64_t driven = -1
        cdef int32_t j
        with nogil:
            for s in range(low, high):
                t = self.times[s]
                j = net.row[self.ids[s]]
                if j >= 0:
                    if self.kicked[j] == t and net.peak_is_finite(j):
                        driven = s
                        break
                    self.fire(j, s, t, start, &S[s], &R[s])
                k = first_kick[s]
                for q in range(net.first[self.ids[s]], net.first[self.ids[s] + 1]):
                    self.kick(net.target[q], k, t, start, self.weight[q], &T[k])
                    k += 1
        return driven

    cdef void fire(self, int32_t j, int64_t s, double t, double start, double *S, double *R) noexcept nogil:
        cdef double peak = self.net.V_peak[j], reset = self.net.V_reset[j], over, m
        if self.net.is_linear[j]:
            S[0] = -self.net.tau[j] / self.net.gap(j) * exp((start - t) / self.net.tau[j])
            R[0] = (self.net.drive[j] - reset) / self.net.gap(j) * exp(self.net.t_ref[j] / self.net.tau[j])
        else:
            self.move(j, t, &self.spike_x[s], &self.spike_y[s], &self.spike_since[s])
            m = self.spike_y[s] if self.net.peak_is_finite(j) else self.spike_x[s]
            over = self.net.over(j, peak)
            S[0] = -self.net.tau[j] / (m * m * over)
            R[0] = self.net.over(j, reset) / over
            if fabs(reset) < 1e300:
                self.x[j], self.y[j] = reset * m, m
            else:
                self.x[j], self.y[j] = m, 0.0
        self.last[j] = t + self.net.t_ref[j]

    cdef inline void move(self, int32_t i, double t, double *x, double *y, double *since) noexcept nogil:
        """(x, y) at t."""
        cdef double u = t - self.last[i] if t > self.last[i] else 0.0
        cdef Flow f = flow_of(self.net.drive[i], u / self.net.tau[i])
        since[0] = u
        x[0] = self.x[i] * f.C + self.net.drive[i] * self.y[i] * f.S
        y[0] = self.y[i] * f.C - self.x[i] * f.S

    cdef inline void kick(self, int32_t i, int64_t k, double t, double start, double w, double *T) noexcept nogil:
        cdef double x, y, after
        if t < self.last[i]:
            self.kick_since[k], T[0] = DROPPED, 0.0
            return
        if w > 0.0:
            self.kicked[i] = t
        if self.net.is_linear[i]:
            self.kick_x[k] = exp((t - start) / self.net.tau[i]) / self.net.tau[i]
            T[0] = w * self.kick_x[k]
            return
        self.move(i, t, &self.kick_x[k], &self.kick_y[k], &self.kick_since[k])
        x, y = self.kick_x[k], self.kick_y[k]
        after = x + w * y
        T[0] = (x * x - after * after) / self.net.tau[i]
        self.x[i], self.y[i], self.last[i] = after, y, t

    # At a fixed time

    def first_gain(self, by=None):
        """What a unit of c at the beginning comes to in the coordinates of measurement, shape (n,).

        With the adjoint of that, after all blocks have been gone back, it is taken further back, and by_V is set.
        """
        cdef Neurons net = self.net
        cdef int32_t i
        gains = np.ones(net.n)
        cdef double[::1] gain = gains
        cdef const double[::1] adjoint = by
        for i in range(net.n):
            if net.is_linear[i]:
                gain[i] = exp(-self.last_0[i] / net.tau[i])
            else:
                gain[i] = self.gain_of(i, self.x_0[i], self.y_0[i])
                if by is not None:
                    self.gain_back(i, self.x_0[i], self.y_0[i], gain[i], adjoint[i])
        if by is not None:
            says_nothing = (np.asarray(net.is_linear) != 0) | (np.asarray(self.last_0) > 0.0)
            self.by_V = np.where(says_nothing, 0.0, np.asarray(self.by_x) / np.asarray(self.size_0))
        return gains

    def last_gain(self, double t, by=None):
        """The same at the end, for which `t` is no earlier than all events; back, before all blocks."""
        cdef Neurons net = self.net
        cdef int32_t i
        cdef double x, y, since, start = self.starts[len(self.starts) - 1]
        gains = np.empty(net.n)
        cdef double[::1] gain = gains
        cdef const double[::1] adjoint = by
        for i in range(net.n):
            if net.is_linear[i]:
                gain[i] = exp((start - (self.last[i] if self.last[i] > t else t)) / net.tau[i])
                if by is not None and self.last[i] > t:
                    self.by_last[i] = -adjoint[i] * gain[i] / net.tau[i]
                continue
            self.move(i, t, &x, &y, &since)
            gain[i] = self.gain_of(i, x, y)
            if by is not None:
                self.gain_back(i, x, y, gain[i], adjoint[i])
                self.move_back(i, x, y, since)
        return gains

    cdef inline double gain_of(self, int32_t i, double x, double y) noexcept nogil:
        """The angle of (V, sqrt(drive)), or of (V, 1) where that does not rotate."""
        cdef double drive = self.net.drive[i]
        return sqrt(drive) / (x * x + drive * y * y) if drive >= SHEAR_LIMIT else 1.0 / (x * x + y * y)

    cdef inline void gain_back(self, int32_t i, double x, double y, double gain, double by) noexcept nogil:
        cdef double v = self.net.drive[i] if self.net.drive[i] >= SHEAR_LIMIT else 1.0, size = x * x + v * y * y
        self.by_x[i] -= by * 2.0 * x * gain / size
        self.by_y[i] -= by * 2.0 * v * y * gain / size
        if self.net.drive[i] >= SHEAR_LIMIT:
            self.by_drive[i] += by * gain * (0.5 / v - y * y / size)

    # Back

    cdef inline double move_back(self, int32_t i, double x, double y, double since) noexcept nogil:
        """The adjoint of :meth:`move`, from and to by_x and by_y; that of the time at which it ends."""
        cdef double drive = self.net.drive[i], tau = self.net.tau[i]
        cdef Flow f = flow_of(drive, since / tau)
        cdef double a = self.by_x[i], b = self.by_y[i]
        cdef double x_0 = x * f.C - drive * y * f.S, y_0 = y * f.C + x * f.S
        cdef double by_time = (a * drive * y - b * x) / tau if since > 0.0 else 0.0
        self.by_drive[i] += a * (x_0 * f.of_C + y_0 * (f.S + drive * f.of_S)) + b * (y_0 * f.of_C - x_0 * f.of_S)
        self.by_x[i] = a * f.C - b * f.S
        self.by_y[i] = a * drive * f.S + b * f.C
        self.by_last[i] = -by_time
        return by_time

    def back(self, int64_t low, int64_t high):
        """The adjoint of :meth:`forth` for the present, the last, block."""
        cdef Neurons net = self.net
        cdef double start = self.starts[len(self.starts) - 1]
        cdef const double[::1] S = self.S, R = self.R, by_T = self.by_T, by_S = self.by_S, by_R = self.by_R
        cdef const int64_t[::1] first_kick = self.first_kick
        cdef double[::1] by_time = self.by_time, by_weight = self.by_weight
        cdef int64_t s, k, q
        cdef int32_t j
        cdef double at
        with nogil:
            for s in range(high - 1, low - 1, -1):
                at = 0.0
                k = first_kick[s]
                for q in range(net.first[self.ids[s]], net.first[self.ids[s] + 1]):
                    if self.kick_since[k] != DROPPED:
                        at += self.kick_back(net.target[q], k, self.weight[q], by_T[k], &by_weight[q])
                    k += 1
                j = net.row[self.ids[s]]
                if j >= 0:
                    at += self.fire_back(j, s, start, S[s], R[s], by_S[s], by_R[s])
                by_time[s] += at

    cdef inline double kick_back(self, int32_t i, int64_t k, double w, double by_T, double *by_w) noexcept nogil:
        cdef double x = self.kick_x[k], y = self.kick_y[k], tau = self.net.tau[i], after, at
        if self.net.is_linear[i]:
            by_w[0] += by_T * x
            return by_T * w * x / tau
        at = self.by_last[i]
        after = x + w * y
        self.by_x[i] -= 2.0 * after * by_T / tau
        by_w[0] += self.by_x[i] * y
        self.by_y[i] += w * self.by_x[i]
        self.by_x[i] += 2.0 * x * by_T / tau
        return at + self.move_back(i, x, y, self.kick_since[k])

    cdef inline double fire_back(self, int32_t j, int64_t s, double start, double S, double R, double by_S,
                                 double by_R) noexcept nogil:
        cdef double at = self.by_last[j], over, of_peak, of_reset, m, by_m
        self.by_last[j] = 0.0
        if self.net.is_linear[j]:
            self.by_drive[j] += (-S * by_S + (exp(self.net.t_ref[j] / self.net.tau[j]) - R) * by_R) / self.net.gap(j)
            return at - S * by_S / self.net.tau[j]
        over = self.net.over(j, self.net.V_peak[j])
        of_peak = 1.0 if self.net.peak_is_finite(j) else 0.0
        of_reset = 1.0 if fabs(self.net.V_reset[j]) < 1e300 else 0.0
        m = self.spike_y[s] if of_peak else self.spike_x[s]
        by_m = self.net.V_reset[j] * self.by_x[j] + self.by_y[j] if of_reset else self.by_x[j]
        by_m -= 2.0 * S * by_S / m
        self.by_drive[j] += (-S * by_S * of_peak + by_R * (of_reset - R * of_peak)) / over
        self.by_x[j], self.by_y[j] = (0.0, by_m) if of_peak else (by_m, 0.0)
        return at + self.move_back(j, self.spike_x[s], self.spike_y[s], self.spike_since[s])

    def end(self):
        """The adjoint of :meth:`begin`, of states alone."""
        self.starts.pop()
        norms = self.norms.pop()
        self.by_x = np.asarray(self.by_x) / norms
        self.by_y = np.asarray(self.by_y) / norms

    # Vectors

    def take(self, double[:, ::1] c, double[:, ::1] fired, int64_t low, int64_t high):
        """Vectors, one in each column, through the events from `low` to `high`; c_j before each spike is noted."""
        cdef Neurons net = self.net
        cdef const double[::1] S = self.S, R = self.R, T = self.T
        cdef const int64_t[::1] first_kick = self.first_kick
        cdef int64_t s, k, q, v, m = c.shape[1]
        cdef int32_t j, i
        cdef double by
        with nogil:
            for s in range(low, high):
                j = net.row[self.ids[s]]
                if j < 0:
                    continue
                for v in range(m):
                    fired[s, v] = c[j, v]
                    c[j, v] *= R[s]
                k = first_kick[s]
                for q in range(net.first[self.ids[s]], net.first[self.ids[s] + 1]):
                    i = net.target[q]
                    by = T[k] * S[s]
                    for v in range(m):
                        c[i, v] += by * fired[s, v]
                    k += 1

    def take_back(self, double[:, ::1] a, const double[:, ::1] fired, double[::1] by_dt, int64_t low, int64_t high):
        """The adjoint a of vectors back through these events, and that of the numbers of each; by_dt is for work."""
        cdef Neurons net = self.net
        cdef const double[::1] S = self.S, R = self.R, T = self.T
        cdef double[::1] by_T = self.by_T, by_S = self.by_S, by_R = self.by_R
        cdef const int64_t[::1] first_kick = self.first_kick
        cdef int64_t s, k, q, v, m = a.shape[1]
        cdef int32_t j, i
        cdef double sum_T, sum_S, sum_R
        with nogil:
            for s in range(high - 1, low - 1, -1):
                j = net.row[self.ids[s]]
                if j < 0:
                    continue
                for v in range(m):
                    by_dt[v] = 0.0
                k = first_kick[s]
                for q in range(net.first[self.ids[s]], net.first[self.ids[s] + 1]):
                    i = net.target[q]
                    sum_T = 0.0
                    for v in range(m):
                        sum_T += a[i, v] * fired[s, v]
                        by_dt[v] += T[k] * a[i, v]
                    by_T[k] = sum_T * S[s]
                    k += 1
                sum_S = sum_R = 0.0
                for v in range(m):
                    sum_S += by_dt[v] * fired[s, v]
                    sum_R += a[j, v] * fired[s, v]
                    a[j, v] = R[s] * a[j, v] + S[s] * by_dt[v]
                by_S[s], by_R[s] = sum_S, sum_R
