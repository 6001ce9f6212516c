"""The LIF neuron in its co-moving frame: x = (V_inf - V) E is constant between events.

State: one double. The mathematics is in docs/numerics.md and, operation by operation, in reference.py.
"""

from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t

from sparseprop.numerics._frames cimport LARGEST_STATE, Frame, Pair, growth_at, growth_time, never
from sparseprop.numerics._typedefs cimport neuron_t


cdef struct LIF:
    double V_inf
    double V_inf_low      # V_inf + V_inf_low is the drive to twice the precision
    double gap            # V_inf - V_th = gap_mantissa 2^gap_exponent
    double inverse_gap
    double gap_mantissa
    int64_t gap_exponent
    double depth          # V_inf - V_reset
    double V_reset
    double t_ref
    neuron_t frame


cdef inline void lif_place(const LIF *m, double *x, double V, double E) noexcept nogil:
    x[0] = ((m.V_inf - V) + m.V_inf_low) * E


cdef inline bint lif_kick(const LIF *m, double *x, const Frame *f, double weight) noexcept nogil:
    """Whether the new state is in range; if not, it is left as it was."""
    cdef double kicked = x[0] - weight * f.E
    if not (fabs(kicked) < LARGEST_STATE):
        return False
    x[0] = kicked
    return True


cdef inline bint lif_over_threshold(const LIF *m, const double *x, const Frame *f) noexcept nogil:
    return x[0] <= m.gap * f.E


cdef inline Pair lif_next_spike(const LIF *m, const double *x, const Frame *f, int64_t epoch,
                                double H) noexcept nogil:
    if m.gap <= 0.0:
        return never()
    return growth_time(f, x[0] / m.gap_mantissa, -m.gap_exponent, epoch, H)


cdef inline bint lif_fires_before_edge(const LIF *m, const double *x, const Frame *f) noexcept nogil:
    """Whether the neuron may fire before the window's edge; never False if it does."""
    return m.gap > 0.0 and x[0] <= m.gap * f.edge_E


cdef inline bint lif_has_coordinate(const LIF *m) noexcept nogil:
    # A smaller gap might make it overflow.
    return m.gap > 7.888609052210118e-31  # 2^-100


cdef inline double lif_coordinate(const LIF *m, const double *x) noexcept nogil:
    """E at the next spike."""
    return x[0] * m.inverse_gap if m.gap > 0.0 else INFINITY


cdef inline void lif_reset(const LIF *m, double *x, const Frame *f, int64_t epoch, Pair release,
                           bint now) noexcept nogil:
    x[0] = m.depth * (f.E if now else growth_at(f, epoch, release))


cdef inline double lif_voltage(const LIF *m, const double *x, const Frame *f) noexcept nogil:
    return m.V_inf - x[0] / f.E
