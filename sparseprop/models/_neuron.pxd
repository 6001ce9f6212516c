"""What a compiled neuron offers to the engines, and what it gets for what it leaves out.

models/_<m>.pxd declares a struct and `ctypedef <struct> Model`, with at least the fields `frame`, `V_reset` and
`t_ref`, and defines functions of the names below. setup.py makes one compiled unit of each such file:
engine/_population.pxi and engine/_population_back.pxi, the code that all kinds of neurons share, with this Model. All
names of this file are known there first, then those of models/_<m>.pxd, which take their places.

`m` is a neuron's parameters, `x` its state (`width_of` doubles), `f` its frame at the present instant; `base`, a time
beside the state, is NULL but for neurons with `keeps_base`. docs/adding_a_model.md is the way through.
"""

from libc.math cimport INFINITY, NAN, fabs
from libc.stdint cimport int64_t, uint8_t

from sparseprop.numerics._frames cimport MOMENTS, Frame, Moments, Pair
from sparseprop.numerics._typedefs cimport neuron_t

# To be defined by each model, with these arguments:
#
#   int64_t width_of(const Model *m)
#   object fill(Model *m, constants, frames, double H)
#       The struct, of the constants that models/<m>.py makes; returns what must be kept as long as the struct, or None.
#   void place_at(const Model *m, double *x, Pair *base, double V, const Frame *f, Pair now)
#       The state of a neuron whose voltage now is V.
#   bint kick_state(const Model *m, double *x, Pair *base, const Frame *f, Pair now, double H, double weight,
#                   int64_t port)
#       V, or the current of a port, += weight. Whether the new state is in range; if not, it is left as it was.
#   bint over_threshold(const Model *m, const double *x, const Frame *f)
#       Whether a neuron that excitation just kicked is at or above threshold.
#   Pair next_crossing(const Model *m, const double *x, const Pair *base, const Frame *f, Pair since, int64_t epoch,
#                      double H)
#       When threshold is reached without input, from `since` on: a pure function of the state.
#   bint crosses_before_edge(const Model *m, const double *x, const Pair *base, Frame *frames, Pair now,
#                            int64_t instant, Pair edge, double H)
#       Whether that may be before the window's edge; cheap, and never False if it is.
#   void reset_at(const Model *m, double *x, Pair *base, const Frame *f, int64_t epoch, Pair release, bint now,
#                 double H)
#       The state at the end of the refractory period; `now` if that is the present instant, which `f` is at.
#   double voltage_at(const Model *m, const double *x, const Pair *base, const Frame *f, Pair now, double H)
#   void seen_state(const Model *m, const double *x, const Pair *base, const Frame *f, Pair now, double H, double *seen)
#   void place_seen(const Model *m, const Model *old, double *x, Pair *base, const double *seen, const Frame *f,
#                   Pair now, double H)
#       At a change of parameters from `old`, V stays: two numbers that say what it is, and the state that follows.
#
# and for gradients, with `y`, the adjoint of a neuron (`adjoint_width` doubles): first dL/d(state), by the stretch of
# free flow that begins or ends here; then sums. The gradient g of a stretch's end is dL/dV, or dL/d(-1/V) where V is
# infinite. docs/gradients.md has the mathematics.
#
#   int64_t adjoint_width(const Model *m, bint wide)
#   double leave(const Model *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
#                double distance)
#       A stretch of free flow that begins with V, transposed; returns g at its start.
#   void arrive(const Model *m, double *y, bint wide, const Sums *sums, int64_t i, const When *w, double V,
#               double distance, double g)
#       A stretch of free flow that ends with V and the gradient g.
#   double velocity(const Model *m, double tau, double V, double distance, double current)
#       How fast V changes (-1/V where it is infinite), per ms; `current` is the sum of the synaptic ones.
#   double tau_of(const Model *m, const Frame *f)
#       tau_m.
#   void kick_back(const Model *m, double *y, bint wide, const Frame *f, const When *w, double V, double weight,
#                  int64_t port, double *by_weight, double *by_time)
#       A kick: dL/d(weight), and dL/dt over the weight.
#   void settle_sums(const Model *m, double *y, bint wide, const Sums *sums, int64_t i)
#       Add the sums that are kept beside the adjoint to those of the parameters.
#
# What follows may be left out.


cdef enum:
    N_SHARED = 32


# Equal neurons, as the loops over many of them see them.
cdef struct Neurons:
    double *x
    Pair *base                  # or NULL
    int64_t size
    bint far                    # their states do not stay in the caches near a core
    double *drift               # see Population
    const uint8_t *waiting      # a bit for every neuron that may be refractory, or NULL without a refractory period
    Frame *frame                # of the first port, at the present
    double *own                 # of neurons that are not equal: `own_width` doubles for each
    double *edges               # and `edge_width` more
    double *shared              # and N_SHARED for all of them together
    bint one_frame              # which these share all the same
    Pair now
    Pair edge                   # of the window
    double H


cdef inline bint has_currents(const void *m) noexcept nogil:
    """Whether kicks go to synaptic currents, in the refractory period too, and not to V."""
    return False


cdef inline int64_t ports_of(const void *m) noexcept nogil:
    return 1


cdef inline bint kick_held(const void *m, double *x, const Frame *f, Pair now, double H, double weight,
                           int64_t port) noexcept nogil:
    """A kick in the refractory period, as `kick_state`; with `has_currents`."""
    return True


cdef inline double port_current(const void *m, const double *x, Pair now, double H, int64_t port) noexcept nogil:
    """The synaptic current of a port."""
    return NAN


cdef inline double current_at(const void *m, const double *x, const Frame *f, Pair t, double H) noexcept nogil:
    """The sum of the synaptic currents at t, not before the time of the state."""
    return 0.0


cdef inline double left_of_current(const void *m, int64_t port, double u) noexcept nogil:
    """What is left of a unit of current of a port after a time u."""
    return 0.0


cdef inline void enter_other_frames(const void *m, Frame *frames, Pair now, int64_t instant) noexcept nogil:
    """The numbers at `now` of all frames of the neuron but frames[m.frame]."""


cdef inline void place_other_edges(const void *m, Frame *frames, int64_t epoch, Pair edge, double ahead,
                                   double H) noexcept nogil:
    """The window's edge in all frames of the neuron but frames[m.frame]."""


# Kicks one after the other.
cdef struct Kicks:
    neuron_t targets[MOMENTS]
    double weights[MOMENTS]
    int64_t ports[MOMENTS]


cdef inline bint has_moments(const void *m) noexcept nogil:
    """Whether `make_all_moments` makes the numbers of the neuron's frames at many instants side by side.

    And `kick_far_below` gives kicks at these.
    """
    return False


cdef inline void make_all_moments(const void *m, const Frame *frames, const double *s, int64_t n,
                                  Moments *all) noexcept nogil:
    """Those at n times of the present epoch, by port."""


cdef inline void enter_all_moments(const void *m, Frame *frames, const Moments *all, int64_t k,
                                   int64_t instant) noexcept nogil:
    """The frames are at the k-th of these times, the present instant."""


cdef inline int64_t kick_far_below(const void *m, double *states, const uint8_t *waiting, const Frame *f,
                                   const Kicks *kicks, const double *s, const Moments *all, int64_t first, int64_t n,
                                   double epoch) noexcept nogil:
    """Give kicks from `first` on to before n, at times s; the first one that is not given.

    That is the first one after which little does not suffice to know that the neuron does not fire before the edge, or
    whose neuron may be refractory or has a state of another epoch. With `has_moments`.
    """
    return first


cdef inline bint keeps_base(const void *m) noexcept nogil:
    """Whether the neuron has a time beside its state."""
    return False


cdef inline bint keeps_its_scale(const void *m, const double *x) noexcept nogil:
    """Whether the powers of two that leave a growing frame are not to be taken out of x[0]."""
    return True


cdef inline bint may_oscillate(const void *m) noexcept nogil:
    """Whether it may fire by itself, or after a kick; False if only at a kick."""
    return True


cdef inline bint brings_forward(const void *m, const double *x, const Frame *f, double weight,
                                int64_t port) noexcept nogil:
    """Whether a kick that was just given may have moved the next spike to an earlier time, by more than the margin.

    That is 2^-36 time constants, by rounding or otherwise. Where it is False the neuron's key in the window is kept.
    """
    return True


cdef inline bint adds_up(const void *m) noexcept nogil:
    """Whether a kick takes weight E from x[0] and no more, and drives if x[0] <= `gap_of` E then."""
    return False


cdef inline double gap_of(const void *m) noexcept nogil:
    return NAN


cdef inline bint is_costly(const void *m) noexcept nogil:
    """Whether a next spike is so costly to solve for that engines remember it."""
    return False


cdef inline bint is_unchanged_since(const void *m, const double *x, Pair since) noexcept nogil:
    """Whether the state says that it has not changed from `since` on; False where it does not tell."""
    return False


cdef inline bint has_soonest(const void *m) noexcept nogil:
    """Whether a window asks for `soonest` before it solves for a next spike."""
    return False


cdef inline double soonest(const void *m, const double *x, Frame *frames, Pair now, int64_t instant) noexcept nogil:
    """A neuron that is not refractory fires no earlier than after so many ms; cheap, and infinite if it never does."""
    return 0.0


cdef inline bint has_coordinate(const void *m) noexcept nogil:
    """Whether `coordinate` orders the neurons of one frame by their next spikes."""
    return False


cdef inline double coordinate(const void *m, const double *x, const Frame *f) noexcept nogil:
    """What the frame will be at the next spike: E, or tan(alpha - alpha at the window's edge); no transcendental."""
    return NAN


cdef inline bint gives_current(const void *m) noexcept nogil:
    """Whether `give_current` changes I_e; otherwise all constants are made anew."""
    return False


cdef inline void give_current(void *m, double I_e, const double *leak) noexcept nogil:
    """What follows from I_e in a neuron whose E_L, V_th and V_reset are `leak`; all else stays."""


cdef inline int64_t scan_cost(const void *m, bint alone) noexcept nogil:
    """Of a neuron in a scan, in units of that of LIF; `alone` if each neuron has its own parameters."""
    return 8


cdef inline int64_t kick_row(const void *m, const Neurons *p, const neuron_t *targets, const double *weights,
                             double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                             neuron_t *others, int64_t *n_others) noexcept nogil:
    """Kick each of `count` equal neurons once, in a hot loop; no weight is larger in size than `largest`.

    Those that may fire before the edge are put into `near`, and their number is returned; those in whose way there is
    something rare, or maybe a refractory period, are left as they are and put into `others`, by their places in the
    row. Returns -1, having done nothing, if there is no such loop.
    """
    return -1


# Neurons of which each has its own parameters; these loops go by numbers for each, which lie together. There, `m` has
# the parameters of a population's first neuron.

cdef inline int64_t own_width(const void *m) noexcept nogil:
    """How many doubles for each neuron belong to an epoch; 0 if there are no such loops."""
    return 0


cdef inline int64_t edge_width(const void *m) noexcept nogil:
    """How many more belong to the window's edge."""
    return 0


cdef inline bint own_fits(const void *m, const void *other) noexcept nogil:
    """Whether these loops hold for a population with these two neurons, of which `m` is the first."""
    return True


cdef inline bint own_suffices(const void *m) noexcept nogil:
    """Whether `own_crosses` says of this neuron what `crosses_before_edge` does, so that this is never asked."""
    return False


cdef inline void own_numbers(const void *m, const Frame *f, const Neurons *p, int64_t i) noexcept nogil:
    """The numbers of neuron i, with parameters m, in the present epoch."""


cdef inline void own_edges(const void *m, const Neurons *p, double late, double ahead) noexcept nogil:
    """Those of all neurons for an edge `late` ms after the present epoch's start and `ahead` ms after the present."""


cdef inline bint own_crosses(const Neurons *p, int64_t i) noexcept nogil:
    """`crosses_before_edge` of neuron i by these numbers."""
    return True


cdef inline double own_lead(const Neurons *p, int64_t i) noexcept nogil:
    """So many ms before the edge, at the most, does a neuron fire for which `own_crosses`; infinite if unknown."""
    return INFINITY


cdef inline int64_t kick_each(const void *m, const Neurons *p, const neuron_t *targets, const double *weights,
                              double weight, double largest, int64_t count, int64_t port, neuron_t *near,
                              neuron_t *others, int64_t *n_others) noexcept nogil:
    """`kick_row`, for neurons of which each has its own parameters."""
    return -1


cdef inline int64_t scan_each(const void *m, const Neurons *p, int64_t first, int64_t n,
                              neuron_t *found) noexcept nogil:
    """`scan_block`, for neurons of which each has its own parameters."""
    return -1


cdef inline int64_t scan_block(const void *m, const Neurons *p, int64_t first, int64_t n,
                               neuron_t *found) noexcept nogil:
    """Which of the equal neurons `first`, ..., n of them, may fire before the edge; -1 if there is no loop for that."""
    return -1


cdef inline bint scan_is_rough(const void *m) noexcept nogil:
    """Whether `scan_block` finds many for which `crosses_before_edge` is False."""
    return False


# For gradients --------------------------------------------------------------------------------------------------------

cdef struct Sums:
    # dL/d(parameter), one per neuron (global ids).
    double *I_e
    double *tau_m
    double *threshold
    double *V_reset
    double *t_ref
    double *shape               # of one more parameter, which the model's `gradients` names
    double *tau_syn             # of port 0, then of port 1, ...
    int64_t n


# Where a stretch begins or ends.
cdef struct When:
    double E                    # the frame's growth, where it `needs_growth`
    double s                    # the time since the present epoch's start
    double tau
    double t                    # ms since the tape's start


# A row of kicks of equal neurons.
cdef struct Row:
    const neuron_t *targets
    const double *weights       # or NULL
    double weight
    const double *V             # before each kick, NaN where it was dropped; with `notes_states`
    int64_t count
    int64_t port
    int64_t width               # doubles per adjoint
    bint wide
    bint far
    double *by_weight           # to be added to, or NULL
    const Frame *frame
    When now


cdef inline bint notes_states(const void *m) noexcept nogil:
    """Whether `kick_back` needs V before the kick, which the tape then keeps."""
    return True


cdef inline bint voltages_of_row(const void *m, const double *x, const Frame *f, const neuron_t *targets,
                                 int64_t count, double *V) noexcept nogil:
    """V of equal neurons without a refractory period, in a hot loop; False if there is none."""
    return False


cdef inline bint needs_frame(const void *m) noexcept nogil:
    """Whether derivatives need the frame at the present."""
    return True


cdef inline bint needs_growth(const void *m) noexcept nogil:
    """Whether they need the frame's growth at the end of a refractory period."""
    return False


cdef inline double distance_of(const void *m, double V) noexcept nogil:
    """V_inf - V to twice the precision, where `leave`, `arrive` and `velocity` want that."""
    return 0.0


cdef inline double distance_at_reset(const void *m) noexcept nogil:
    return 0.0


cdef inline double distance_at_threshold(const void *m) noexcept nogil:
    return 0.0


cdef inline double voltage_at_threshold(const void *m) noexcept nogil:
    """V there; not read by models that go by distances."""
    return 0.0


cdef inline double velocity_size(const void *m, double V) noexcept nogil:
    """tau_m times the size of the terms of `velocity` at a finite V, but for currents: at rest they cancel."""
    return fabs(V)


cdef inline bint jumps_at_spikes(const void *m, double weight) noexcept nogil:
    """Whether it matters if a kick comes shortly before or shortly after the neuron's own spike."""
    return True


cdef inline bint row_of_back(const void *m, double *y, const Row *row, double *total, double *sum) noexcept nogil:
    """`kick_back` of a row: dL/dt of all, and the sum of dL/d(weight). False if there is no loop for that."""
    return False


# What takes adjoints from one epoch to an earlier one.
cdef struct Span:
    double u


cdef inline bint changes_with_epochs(const void *m) noexcept nogil:
    """Whether an adjoint belongs to an epoch, and `span` and `move_back` take it to an earlier one."""
    return False


cdef inline void span_of(const void *m, double u, bint wide, Span *span) noexcept nogil:
    """What the neurons with these parameters share in going back by u ms."""


cdef inline void move_back(const void *m, double *y, bint wide, const Span *span) noexcept nogil:
    pass


cdef inline bint scales_with_frame(const void *m) noexcept nogil:
    """Whether an adjoint loses powers of two where the frame's growth loses them."""
    return False


# For tangents: the gains of a kick, a spike and a stretch are those of the pass back, for an adjoint of 1 ------------

cdef inline bint stands_still(const void *m) noexcept nogil:
    """Whether an adjoint is constant between events, so that nothing needs to be known of a stretch's beginning."""
    return False


cdef inline double measure_of(const void *m, double V) noexcept nogil:
    """What a unit of V (of -1/V where that is infinite) counts in the lengths and angles of vectors."""
    return 1.0
