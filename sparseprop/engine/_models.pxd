"""What the engines ask of a neuron model, for each model: the only place where models are told apart by type.

`m` is a neuron's parameter row, `x` its state, `f` its frame at the present instant; `base`, a time beside the state,
is NULL but for shears. docs/numerics.md has the mathematics, and CONTRIBUTING.md how to add a model.
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t

from sparseprop.models._lif cimport (
    LIF, lif_coordinate, lif_fires_before_edge, lif_has_coordinate, lif_kick, lif_next_spike, lif_over_threshold,
    lif_place, lif_reset, lif_voltage,
)
from sparseprop.models._lifexp cimport (
    LIFExp, lifexp_brings_forward, lifexp_change, lifexp_fires_before_edge, lifexp_kick, lifexp_kick_held,
    lifexp_next_spike, lifexp_place, lifexp_reset, lifexp_soonest, lifexp_voltage,
)
from sparseprop.models._qif cimport (
    QIF, ROTATION, SHEAR, qif_coordinate, qif_direction, qif_fires_before_edge, qif_kick, qif_next_spike,
    qif_over_threshold, qif_place, qif_place_direction, qif_reset, qif_voltage,
)
from sparseprop.models._table cimport (
    Tabulated, table_fires_before_edge, table_kick, table_next_spike, table_now, table_over_threshold, table_place,
    table_reset, table_voltage,
)
from sparseprop.numerics._frames cimport Frame, Pair, enter_instant

ctypedef fused Model:
    LIF
    LIFExp
    QIF
    Tabulated

# By which a population knows the type of its parameter rows.
cdef enum Kernel:
    SOURCE
    LIF_KERNEL
    LIFEXP_KERNEL
    QIF_KERNEL
    TABLE_KERNEL


cdef inline int64_t width_of(const Model *m) noexcept nogil:
    """Doubles of state per neuron."""
    if Model is LIF:
        return 1
    elif Model is LIFExp:
        return 3 + m.n_ports
    elif Model is Tabulated:
        return 4
    else:
        return 2


cdef inline void enter_other_frames(const Model *m, Frame *frames, Pair now, int64_t instant) noexcept nogil:
    """The numbers at `now` of all frames of the neuron but frames[m.frame]."""
    cdef int64_t k
    if Model is LIFExp:
        for k in range(1, m.n_ports):
            enter_instant(&frames[m.ports[k].frame], now, instant)


cdef inline bint brings_forward(const Model *m, const double *x, const Frame *f, double weight,
                                int64_t port) noexcept nogil:
    """Whether a kick that was just given may have moved the next spike to an earlier time, by more than the margin.

    A shear, or a neuron with a table, is set anew by any kick, which may move a spike far ahead by more than the
    margin.
    """
    if Model is LIF:
        return weight > 0.0
    elif Model is LIFExp:
        return lifexp_brings_forward(m, x, f, weight, port)
    elif Model is Tabulated:
        return True
    else:
        return weight > 0.0 or m.regime == SHEAR


cdef inline void place_at(const Model *m, double *x, Pair *base, double V, const Frame *f, Pair now) noexcept nogil:
    """The state of a neuron whose voltage now is V."""
    if Model is LIF:
        lif_place(m, x, V, f.E)
    elif Model is LIFExp:
        lifexp_place(m, x, V, now)
    elif Model is Tabulated:
        table_place(m, x, (V - m.offset) / m.unit, now)
    else:
        qif_place(m, x, base, V, f, now)


cdef inline void seen_state(const Model *m, const double *x, const Pair *base, const Frame *f, Pair now, double H,
                            double *seen) noexcept nogil:
    """Up to two numbers from which, and x, `place_seen` makes the state under other parameters, V being the same."""
    if Model is LIF:
        seen[0] = x[0]
    elif Model is Tabulated:
        seen[0] = table_now(m, x, now, H)
    elif Model is QIF:
        qif_direction(m, x, base, f, now, H, &seen[0], &seen[1])


cdef inline void place_seen(const Model *m, const Model *old, double *x, Pair *base, const double *seen,
                            const Frame *f, Pair now, double H) noexcept nogil:
    if Model is LIF:
        x[0] = seen[0] + ((m.V_inf - old.V_inf) + (m.V_inf_low - old.V_inf_low)) * f.E
    elif Model is LIFExp:
        lifexp_change(m, old, x, now, H)
    elif Model is Tabulated:
        table_place(m, x, seen[0], now)
    else:
        qif_place_direction(m, x, base, seen[0], seen[1], f, now)


cdef inline bint kick_state(const Model *m, double *x, Pair *base, const Frame *f, Pair now, double H, double weight,
                            int64_t port) noexcept nogil:
    """V, or the current of a port, += weight; whether the new state is in range; if not, it is left as it was."""
    if Model is LIF:
        return lif_kick(m, x, f, weight)
    elif Model is LIFExp:
        return lifexp_kick(m, x, f, now, H, weight, port)
    elif Model is Tabulated:
        return table_kick(m, x, now, H, weight)
    else:
        return qif_kick(m, x, base, f, now, H, weight)


cdef inline bint hears_when_refractory(const Model *m) noexcept nogil:
    """Whether kicks in the refractory period count."""
    return Model is LIFExp


cdef inline bint kick_held(const Model *m, double *x, Pair now, double H, double weight, int64_t port) noexcept nogil:
    """Such a kick, as `kick_state`."""
    if Model is LIFExp:
        return lifexp_kick_held(m, x, now, H, weight, port)
    else:
        return True


cdef inline bint over_threshold(const Model *m, const double *x, const Frame *f) noexcept nogil:
    """Whether a neuron that excitation just kicked is at or above threshold."""
    if Model is LIF:
        return lif_over_threshold(m, x, f)
    elif Model is LIFExp:
        return False
    elif Model is Tabulated:
        return table_over_threshold(m, x)
    else:
        return qif_over_threshold(m, x, f)


cdef inline Pair next_crossing(const Model *m, const double *x, const Pair *base, const Frame *f, Pair since,
                               int64_t epoch, double H) noexcept nogil:
    """When threshold is reached without input, from `since` on: a pure function of the state."""
    if Model is LIF:
        return lif_next_spike(m, x, f, epoch, H)
    elif Model is LIFExp:
        return lifexp_next_spike(m, x, H)
    elif Model is Tabulated:
        return table_next_spike(m, x, H)
    else:
        return qif_next_spike(m, x, base, f, since, epoch, H)


cdef inline bint crosses_before_edge(const Model *m, const double *x, const Pair *base, Frame *frames, Pair now,
                                     int64_t instant, Pair edge, double H) noexcept nogil:
    """Whether that may be before the window's edge; cheap, and never False if it is."""
    if Model is LIF:
        return lif_fires_before_edge(m, x, &frames[m.frame])
    elif Model is LIFExp:
        enter_instant(&frames[m.frame], now, instant)
        enter_other_frames(m, frames, now, instant)
        return lifexp_fires_before_edge(m, x, &frames[m.frame], now, H)
    elif Model is Tabulated:
        return table_fires_before_edge(m, x, edge, H)
    else:
        return qif_fires_before_edge(m, x, base, &frames[m.frame], edge, H)


cdef inline bint is_costly(const Model *m) noexcept nogil:
    """Whether a next spike is so costly to solve for that engines remember it."""
    return Model is LIFExp


cdef inline bint is_unchanged_since(const Model *m, const double *x, Pair since) noexcept nogil:
    """Whether the state says that it has not changed from `since` on; False where it does not tell."""
    if Model is LIFExp:
        return <int64_t> x[0] < since.n or (<int64_t> x[0] == since.n and x[1] < since.s)
    else:
        return False


cdef inline bint has_soonest(const Model *m) noexcept nogil:
    """Whether a window asks for `soonest` before it solves for a next spike.

    (Not of LIFExp neurons driven exactly to threshold, which rounding may let fire at any time.)
    """
    if Model is LIFExp:
        return m.gap != 0.0
    else:
        return False


cdef inline double soonest(const Model *m, const double *x, Frame *frames, Pair now, int64_t instant) noexcept nogil:
    """A neuron that is not refractory fires no earlier than after so many ms; cheap, and infinite if it never does."""
    if Model is LIFExp:
        enter_instant(&frames[m.frame], now, instant)
        enter_other_frames(m, frames, now, instant)
        return lifexp_soonest(m, x, &frames[m.frame], now)
    else:
        return 0.0


cdef inline bint has_coordinate(const Model *m) noexcept nogil:
    """Whether `coordinate` orders the neurons of one frame by their next spikes."""
    if Model is LIF:
        return lif_has_coordinate(m)
    elif Model is LIFExp or Model is Tabulated:
        return False
    else:
        return m.regime == ROTATION


cdef inline double coordinate(const Model *m, const double *x, const Frame *f) noexcept nogil:
    """What the frame will be at the next spike: E, or tan(alpha - alpha at the window's edge); no transcendental."""
    if Model is LIF:
        return lif_coordinate(m, x)
    elif Model is LIFExp or Model is Tabulated:
        return NAN
    else:
        return qif_coordinate(m, x, f)


cdef inline void reset_at(const Model *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release,
                          bint now, double H) noexcept nogil:
    """The state at the end of the refractory period; `now` if that is the present instant, which `f` is at."""
    if Model is LIF:
        lif_reset(m, x, f, epoch, release, now)
    elif Model is LIFExp:
        lifexp_reset(m, x, release, H)
    elif Model is Tabulated:
        table_reset(m, x, release)
    else:
        qif_reset(m, x, base, f, epoch, release, now)


cdef inline double voltage_at(const Model *m, const double *x, const Pair *base, const Frame *f, Pair now,
                              double H) noexcept nogil:
    if Model is LIF:
        return lif_voltage(m, x, f)
    elif Model is LIFExp:
        return lifexp_voltage(m, x, now, H)
    elif Model is Tabulated:
        return table_voltage(m, x, now, H)
    else:
        return qif_voltage(m, x, base, f, now, H)


cdef inline bint keeps_its_scale(const Model *m, const double *x) noexcept nogil:
    """Whether the powers of two that leave a growing frame are not to be taken out of x[0]."""
    if Model is LIF:
        return False
    elif Model is LIFExp or Model is Tabulated:
        return True
    else:
        # At the unstable point there is no growth, and the length of the vector has no meaning.
        return x[1] == 0.0
