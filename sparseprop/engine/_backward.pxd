"""The pass back, for what takes many samples through it."""

from libc.stdint cimport int64_t, uint8_t

from sparseprop._core cimport Engine, Recording
from sparseprop.engine._adjoint cimport Sums
from sparseprop.engine._agenda cimport Agenda
from sparseprop.engine._state cimport List, Population, State, Status
from sparseprop.engine._tape cimport Tape
from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t


cdef enum:
    MOST_FINDINGS = 10000       # that are kept; the others are counted


# What arrives together in a phase: rows of one spike, a part of a row, or an event of a drive.
cdef struct Delivery:
    count_t entry
    int64_t projection          # the first one, or -1 for an event
    int64_t n_projections
    synapse_t at                # of a part: where it begins in the arrays of the projection; else -1
    synapse_t count


# A spike on its way back through a row with a delay each.
cdef struct Return:
    count_t entry
    int64_t projection
    synapse_t begin             # of the row
    synapse_t at                # the synapse that it reaches next
    int64_t next_free


# The stream of spikes that a lane, or a projection with a delay each, takes from the tape.
cdef struct Stream:
    int64_t population
    count_t at                  # in the tape
    double delay                # the longest


cdef struct Finding:
    int64_t sample              # of a batch; else 0
    int64_t kind
    neuron_t neuron
    neuron_t other              # the source, or -1
    double time


cdef struct Pass:
    State *e
    Tape *tape
    Pair start
    Pair last_before
    Pair last
    double t                    # now, in ms since the start
    count_t at                  # the next entry
    double *by_time             # dL/d(time) of each entry
    double **y                  # adjoints, by population
    int64_t *widths
    bint wide
    Sums sums
    double *by_release          # of neurons that were refractory at a change of parameters, or NULL
    double *at_release          # of neurons with synaptic currents: their sum at the end of the refractory period
    double shift                # dL/d(time) of all that happens at fixed times; the sum of sizes
    double shift_size
    double **by_weight          # by projection, in the user's order, or NULL
    double **by_delay
    double *weight_sums
    double *delay_sums
    double **by_drive           # by process
    double *drive_sums
    Agenda agenda               # with negative times, so that the latest is first
    Stream *lanes
    Stream *openings            # by projection
    Return *returns
    count_t n_returns
    count_t returns_capacity
    int64_t free_return
    Delivery *deliveries
    count_t n_deliveries
    count_t deliveries_capacity
    # Neurons that were driven over threshold, whose cause comes next.
    uint8_t *is_waiting
    double *waiting
    List driven
    bint one_origin             # of everything in this instant
    count_t n_ties              # instants with several
    # Merged kicks, by target.
    double *kick_by_weight
    double *kick_by_time
    # Neurons that fire within `near` ms of now; what of the tape they are.
    double near
    uint8_t *is_near
    count_t near_low
    count_t near_high
    count_t n_near
    uint8_t *is_close           # who was about to fire by itself
    count_t n_close
    count_t n_here              # spikes of this instant
    int64_t sample              # of a batch
    Finding *findings
    count_t n_findings
    count_t findings_capacity
    bint has_overflowed         # in this sample
    count_t n_events


cdef inline double since_start(const Pass *b, Pair t) noexcept nogil:
    return <double> (t.n - b.start.n) * b.e.H + (t.s - b.start.s)


cdef inline double *adjoint_of(const Pass *b, const Population *p, neuron_t i) noexcept nogil:
    """Of the neuron of local id i."""
    cdef int64_t number = p - b.e.populations
    return b.y[number] + b.widths[number] * <int64_t> i


cdef inline double *end_of_period(const Pass *b, const Population *p, double *y) noexcept nogil:
    """When the period ends that is still to come, and after it the derivative for the end of the one it is in."""
    return y + b.widths[p - b.e.populations] - 2


cdef class Adjoint:

    cdef Pass b
    cdef Engine engine
    cdef Recording recording
    cdef list kept
    cdef bint loaded
    cdef double[::1] by_time
    cdef readonly double[::1] weight_sums
    cdef readonly double[::1] delay_sums
    cdef readonly double[::1] drive_sums

    cdef double *_pointer(self, array)
    cdef _set_parameters(self, int64_t k, int64_t n_changes)


cdef Status instants_back(Pass *b, Pair until, count_t budget) noexcept nogil
cdef void begin_back(Pass *b, Tape *tape, Pair last_before, Pair last, Pair start) noexcept nogil
cdef bint begin_streams_back(Pass *b) noexcept nogil
cdef void go_back(Pass *b, Pair now) noexcept nogil
cdef void read_in(Pass *b, neuron_t i, double V, double current, double by_V) noexcept nogil
cdef bint leave_in(Pass *b, Population *p, const double *V, bint begins, const double *currents, double *by_V,
                   double *by_current) noexcept nogil
cdef bint is_used_up(const Pass *b) noexcept nogil
