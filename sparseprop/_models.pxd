"""What the engines ask of a neuron model, for each model: the only place where models are told apart by type.

`m` is a neuron's parameter row, `x` its state, `f` its frame at the present instant; `base`, a time beside the state,
is NULL but for shears. docs/numerics.md has the mathematics, and CONTRIBUTING.md how to add a model.
"""

from libc.stdint cimport int64_t

from sparseprop._frames cimport Frame, Pair
from sparseprop._lif cimport (
    LIF, lif_coordinate, lif_fires_before_edge, lif_has_coordinate, lif_kick, lif_next_spike, lif_over_threshold,
    lif_place, lif_reset, lif_voltage,
)
from sparseprop._qif cimport (
    QIF, ROTATION, SHEAR, qif_coordinate, qif_direction, qif_fires_before_edge, qif_kick, qif_next_spike,
    qif_over_threshold, qif_place, qif_place_direction, qif_reset, qif_voltage,
)

ctypedef fused Model:
    LIF
    QIF

# By which a population knows the type of its parameter rows.
cdef enum Kernel:
    SOURCE
    LIF_KERNEL
    QIF_KERNEL


cdef inline int64_t width_of(const Model *m) noexcept nogil:
    """Doubles of state per neuron."""
    return 1 if Model is LIF else 2


cdef inline bint only_excitation_brings_forward(const Model *m) noexcept nogil:
    """Whether inhibition leaves the old next spike a lower bound, to the engine's margin.

    A shear is set anew by any kick, which may move a spike far ahead by more than the margin.
    """
    if Model is LIF:
        return True
    else:
        return m.regime != SHEAR


cdef inline void place_at(const Model *m, double *x, Pair *base, double V, const Frame *f, Pair now) noexcept nogil:
    """The state of a neuron whose voltage now is V."""
    if Model is LIF:
        lif_place(m, x, V, f.E)
    else:
        qif_place(m, x, base, V, f, now)


cdef inline void seen_state(const Model *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    """Up to two numbers from which `place_seen` makes the state under other parameters, V being the same."""
    if Model is LIF:
        seen[0] = x[0]
    else:
        qif_direction(m, x, base, f, now, H, &seen[0], &seen[1])


cdef inline void place_seen(const Model *m, const Model *old, double *x, Pair *base, const double *seen,
                            const Frame *f, Pair now) noexcept nogil:
    if Model is LIF:
        x[0] = seen[0] + ((m.V_inf - old.V_inf) + (m.V_inf_low - old.V_inf_low)) * f.E
    else:
        qif_place_direction(m, x, base, seen[0], seen[1], f, now)


cdef inline bint kick_state(const Model *m, double *x, Pair *base, const Frame *f, Pair now, double H,
                            double weight) noexcept nogil:
    """V += weight; whether the new state is in range; if not, it is left as it was."""
    if Model is LIF:
        return lif_kick(m, x, f, weight)
    else:
        return qif_kick(m, x, base, f, now, H, weight)


cdef inline bint over_threshold(const Model *m, const double *x, const Frame *f) noexcept nogil:
    """Whether a neuron that excitation just kicked is at or above threshold."""
    if Model is LIF:
        return lif_over_threshold(m, x, f)
    else:
        return qif_over_threshold(m, x, f)


cdef inline Pair next_crossing(const Model *m, const double *x, const Pair *base, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    """When threshold is reached without input, from `since` on: a pure function of the state."""
    if Model is LIF:
        return lif_next_spike(m, x, f, epoch, H)
    else:
        return qif_next_spike(m, x, base, f, since, epoch, H)


cdef inline bint crosses_before_edge(const Model *m, const double *x, const Pair *base, const Frame *f, Pair edge,
                                     double H) noexcept nogil:
    """Whether that may be before the window's edge; cheap, and never False if it is."""
    if Model is LIF:
        return lif_fires_before_edge(m, x, f)
    else:
        return qif_fires_before_edge(m, x, base, f, edge, H)


cdef inline bint has_coordinate(const Model *m) noexcept nogil:
    """Whether `coordinate` orders the neurons of one frame by their next spikes."""
    if Model is LIF:
        return lif_has_coordinate(m)
    else:
        return m.regime == ROTATION


cdef inline double coordinate(const Model *m, const double *x, const Frame *f) noexcept nogil:
    """What the frame will be at the next spike: E, or tan(alpha - alpha at the window's edge); no transcendental."""
    if Model is LIF:
        return lif_coordinate(m, x)
    else:
        return qif_coordinate(m, x, f)


cdef inline void reset_at(const Model *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release,
                          bint now) noexcept nogil:
    """The state at the end of the refractory period; `now` if that is the present instant, which `f` is at."""
    if Model is LIF:
        lif_reset(m, x, f, epoch, release, now)
    else:
        qif_reset(m, x, base, f, epoch, release, now)


cdef inline double voltage_at(const Model *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    if Model is LIF:
        return lif_voltage(m, x, f)
    else:
        return qif_voltage(m, x, base, f, now, H)


cdef inline bint keeps_its_scale(const Model *m, const double *x) noexcept nogil:
    """Whether the powers of two that leave a growing frame are not to be taken out of x[0]."""
    if Model is LIF:
        return False
    else:
        # At the unstable point there is no growth, and the length of the vector has no meaning.
        return x[1] == 0.0
