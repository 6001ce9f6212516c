"""The pass back, for the loop that goes through instants and for the kinds of neurons."""

from libc.math cimport NAN, fabs, isfinite, isnan
from libc.stdint cimport int64_t, uint8_t

from sparseprop.engine._agenda cimport Agenda
from sparseprop.engine._slice_back cimport PartBack
from sparseprop.engine._state cimport NO_MEMORY, RUNNING, List, Population, State, Status, get_bit
from sparseprop.engine._tape cimport TapeBuffer
from sparseprop.models._neuron cimport Sums
from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._memory cimport grow
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
    Pair emission               # of what has been on its way
    neuron_t neuron


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


cdef struct Pass


# A part of a delivery that reaches one population.
cdef struct Synapses:
    int64_t projection          # -1 for an event
    int64_t process
    Population *post
    const neuron_t *targets
    const double *weights
    double weight
    synapse_t count
    synapse_t first             # of the row in the user's order
    const neuron_t *places


# The functions of a kind of neurons going back: models/_<m>.pxd in engine/_population_back.pxi, which explains them.
cdef struct BackOps:
    int64_t (*adjoint_width)(const Population *p, bint wide) noexcept nogil
    bint (*jumps_at_spikes)(const Population *p, neuron_t i, double weight) noexcept nogil
    Status (*row_back)(Pass *b, const Synapses *c, neuron_t source, double *by_time) noexcept nogil
    Status (*merged_kick_back)(Pass *b, Population *p, neuron_t i, double V) noexcept nogil
    Status (*spike_back)(Pass *b, Population *p, neuron_t i, bint driven, double *by_time) noexcept nogil
    void (*read_back)(Pass *b, Population *p, neuron_t i, double V, double current, double by_V) noexcept nogil
    bint (*leave)(Pass *b, Population *p, const double *V, bint begins, const double *currents, double *by_V,
                  double *by_current) noexcept nogil
    void (*arrive)(Pass *b, Population *p, const double *V, const double *by_V) noexcept nogil
    bint changes_with_epochs
    void (*move_back)(Pass *b, Population *p, int64_t epoch) noexcept nogil
    bint scales_with_frame
    void (*rescale_back)(Pass *b, Population *p) noexcept nogil
    # Some neurons, each on its own: engine/_population_slice_back.pxi.
    Status (*go_back_through)(Pass *b, Population *p, PartBack *w) noexcept nogil


cdef struct Pass:
    State *e
    TapeBuffer *tape
    Pair start
    Pair last_before
    Pair first_before           # of the first part
    Pair last
    double t                    # now, in ms since the start
    count_t at                  # the next entry
    # With a tape that names the targets of kicks: V before each kick that is left, by neuron; or NULL.
    double *kept
    count_t *n_kept             # for each neuron, where what is left of its values ends
    count_t kept_begin          # the sum of where they begin
    double *popped              # scratch: those of a row
    count_t popped_capacity
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


cdef inline const BackOps *back_of(const Population *p) noexcept nogil:
    return <const BackOps *> p.ops.back


cdef inline double since_start(const Pass *b, Pair t) noexcept nogil:
    return <double> (t.n - b.start.n) * b.e.H + (t.s - b.start.s)


cdef inline double pop_kept(Pass *b, neuron_t i) noexcept nogil:
    """V of neuron i (global id) before the latest kick that is left."""
    b.n_kept[i] -= 1
    return b.kept[b.n_kept[i]]


cdef inline double *adjoint_of(const Pass *b, const Population *p, neuron_t i) noexcept nogil:
    """Of the neuron of local id i."""
    cdef int64_t number = p - b.e.populations
    return b.y[number] + b.widths[number] * <int64_t> i


cdef inline double *end_of_period(const Pass *b, const Population *p, double *y) noexcept nogil:
    """When the period ends that is still to come, and after it the derivative for the end of the one it is in."""
    return y + b.widths[p - b.e.populations] - 2


cdef enum FindingKind:
    ORDER_SWAP = 0
    SEVERAL_CAUSES = 1
    AT_A_STEP = 2
    GRAZING = 3
    OVERFLOW = 4


cdef inline void add_shift(Pass *b, double by_time) noexcept nogil:
    b.shift += by_time
    b.shift_size += fabs(by_time)


cdef inline bint keep_finding(Pass *b, const Finding *finding) noexcept nogil:
    """One more; False if there is no memory. Only the first ones are kept."""
    # Beyond the first ones an overflow takes the place of the last: it is what spoils numbers.
    cdef count_t k = b.n_findings if finding.kind != OVERFLOW else min(b.n_findings, MOST_FINDINGS - 1)
    if k < MOST_FINDINGS:
        if not grow(<void **> &b.findings, &b.findings_capacity, k + 1, sizeof(Finding)):
            return False
        b.findings[k] = finding[0]
    b.n_findings += 1
    return True


cdef inline bint find(Pass *b, FindingKind kind, neuron_t neuron, neuron_t other) noexcept nogil:
    """Note what has no gradient; False if there is no memory."""
    cdef Finding finding
    finding.sample, finding.kind, finding.neuron, finding.other = b.sample, kind, neuron, other
    finding.time = b.e.now.n * b.e.H + b.e.now.s
    return keep_finding(b, &finding)


cdef inline bint look_for_overflow(Pass *b, double value, neuron_t neuron) noexcept nogil:
    """Note the first derivative that is no finite number, of an event of this neuron; False if there is no memory.

    All that it comes to is inf or NaN, so later ones say nothing new.
    """
    if isfinite(value) or b.has_overflowed:
        return True
    b.has_overflowed = True
    return find(b, OVERFLOW, neuron, -1)


cdef inline Status look_at_target(Pass *b, neuron_t i, neuron_t source, double weight, double *by_time) noexcept nogil:
    """A kick of neuron i (global id) in a phase where neurons wait for their cause: it may be that."""
    if b.driven.size and weight > 0.0 and get_bit(b.is_waiting, i):
        if isnan(b.waiting[i]):
            # Somebody else has been taken for the cause.
            if not b.one_origin and not find(b, SEVERAL_CAUSES, i, source):
                return NO_MEMORY
        else:
            by_time[0] += b.waiting[i]
            b.waiting[i] = NAN
    return RUNNING


cdef inline bint is_swap(const Pass *b, neuron_t i) noexcept nogil:
    """Whether neuron i fires now or nearly, and not as a consequence of the same event as the kick."""
    if get_bit(b.is_close, i):
        return True
    return get_bit(b.is_near, i) and not get_bit(b.is_waiting, i) and not (b.one_origin and get_bit(b.e.has_fired, i))


cdef inline void note_sums(Pass *b, const Synapses *c, double weight_sum, double total) noexcept nogil:
    if c.projection >= 0:
        b.weight_sums[c.projection] += weight_sum
        b.delay_sums[c.projection] += total
    else:
        b.drive_sums[c.process] += weight_sum
