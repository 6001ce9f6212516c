"""The tangent pass, for the walk through a tape and for the kinds of neurons.

An instant is a linear map of what all neurons are off by. The walk writes the maps down once, as a plan of operations
on rows (one for each neuron, or several), and all vectors are then taken through the plan, some columns at a time.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from sparseprop.engine._pass cimport Pass, Synapses
from sparseprop.engine._state cimport Population, Status
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t, neuron_t


cdef enum OpKind:
    FIRE        # dt[slot] = the sum of values times the rows of a neuron, whose first row becomes another one times dt
    FOLLOW      # the same for a driven spike, whose dt is that of `cause`
    COMBINE     # the first row of a neuron = the sum of values times its rows
    ADD         # row += a dt[slot] (or a weight dt[slot]), for each target
    MIX         # row = D row + T dt[slot], for each target; D and T among the values
    SCALE       # row = D row


cdef struct Op:
    int64_t kind
    int64_t slot                # of the time that an event is off by; -1: it happens at a fixed time
    int64_t cause               # the slot of a driven spike's cause, or -1
    int64_t row                 # the first one, of a neuron or a population
    int64_t step                # rows from a target to the next
    int64_t count               # targets; else rows of the neuron
    const neuron_t *targets     # in the place where the network has them, or NULL
    count_t targets_at          # else among those of the plan, or -1 for all from the first on
    const double *weights       # of an ADD, or NULL
    count_t values_at
    double a


cdef struct Plan:
    Op *ops
    count_t n_ops
    count_t ops_capacity
    double *values
    count_t n_values
    count_t values_capacity
    neuron_t *targets
    count_t n_targets
    count_t targets_capacity
    int64_t n_slots             # the most in an instant
    count_t n_updates           # of rows


# Where the walk is. The tape is read by the pass back's own means, forward.
cdef struct Walk:
    Pass b
    Plan plan
    int64_t *first_row          # by population
    int64_t *width              # rows for each neuron
    double **stretch            # of kinds that do not stand still: V at the start of the present stretch, and its time
    count_t first_entry         # of this instant: its spikes are numbered from there
    count_t value               # the next ones on the tape
    count_t target
    count_t current
    double *by_time             # of neurons with merged kicks
    # Neurons with synaptic currents: whether the first row is what the end of the refractory period is off by, which is
    # then still to come; and the sum of the currents there.
    uint8_t *held
    double *at_release
    double *after_spikes        # the same for the spikes of the tape, in their order
    count_t spike
    count_t spikes_capacity
    double product              # of what the volume has been multiplied by, with the log of what left it
    double log_volume
    count_t n_driven            # spikes whose time is that of something else


# The functions of a kind of neurons: models/_<m>.pxd in engine/_population_tangent.pxi, which explains them.
cdef struct TangentOps:
    int64_t (*width)(const Population *p) noexcept nogil
    bint (*stands_still)(const Population *p) noexcept nogil
    Status (*row_forth)(Walk *w, const Synapses *c, int64_t slot) noexcept nogil
    Status (*merged_forth)(Walk *w, Population *p, neuron_t i, double V, double weight) noexcept nogil
    Status (*spike_forth)(Walk *w, Population *p, neuron_t i, int64_t slot, bint driven, int64_t cause) noexcept nogil
    Status (*move_forth)(Walk *w, Population *p, int64_t epoch) noexcept nogil
    Status (*rescale_forth)(Walk *w, Population *p) noexcept nogil
    Status (*measure)(Walk *w, Population *p, const double *V, double *gain) noexcept nogil
    Status (*begin)(Walk *w, Population *p, const double *V, double *gain) noexcept nogil
    Status (*change)(Walk *w, Population *p, const double *V, bint begins, double *gain) noexcept nogil


cdef inline const TangentOps *tangent_of(const Population *p) noexcept nogil:
    return <const TangentOps *> p.ops.tangent


cdef inline Op *new_op(Plan *plan, OpKind kind, int64_t slot) noexcept nogil:
    """An operation at the end of the plan; NULL if there is no memory."""
    cdef Op *op
    if not grow(<void **> &plan.ops, &plan.ops_capacity, plan.n_ops + 1, sizeof(Op)):
        return NULL
    op = &plan.ops[plan.n_ops]
    plan.n_ops += 1
    memset(op, 0, sizeof(Op))
    op.kind, op.slot, op.cause, op.step = kind, slot, -1, 1
    op.targets_at = op.values_at = -1
    return op


cdef inline double *new_values(Plan *plan, Op *op, int64_t n) noexcept nogil:
    """Room for n values of an operation; NULL if there is no memory."""
    if not grow(<void **> &plan.values, &plan.values_capacity, plan.n_values + n, sizeof(double)):
        return NULL
    op.values_at = plan.n_values
    plan.n_values += n
    return plan.values + op.values_at


cdef inline neuron_t *new_targets(Plan *plan, Op *op, int64_t n) noexcept nogil:
    """Room for the targets of an operation; NULL if there is no memory."""
    if not grow(<void **> &plan.targets, &plan.targets_capacity, plan.n_targets + n, sizeof(neuron_t)):
        return NULL
    op.targets_at = plan.n_targets
    plan.n_targets += n
    return plan.targets + op.targets_at
