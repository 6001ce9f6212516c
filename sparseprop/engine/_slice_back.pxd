"""A slice of time back through which neurons go on their own: what arrived in it, and who fired. Later things first."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t


# A row of synapses, or a part of one, along which something arrives in the slice.
cdef struct WayBack:
    count_t entry               # of the tape: the spike
    int64_t projection
    neuron_t source             # local id
    double s                    # when; of rows with a delay for each synapse, not read
    synapse_t at                # where it begins in the arrays of the projection
    int64_t count
    int64_t open                # which open row it is a part of, or -1


# A part of a row: what of it arrives at some neurons.
cdef struct RowBack:
    double s
    int64_t way
    int64_t begin               # in the way
    int64_t count


# One synapse of a way, or an event of a drive.
cdef struct KickBack:
    double s
    uint32_t way                # or BY_DRIVE
    uint32_t place              # in the way; of an event, how many entries behind the first of the slice
    neuron_t target             # local id


cdef enum:
    BY_DRIVE = 0xFFFFFFFF


cdef enum MarkKind:
    FIRED           # in the slice
    FIRED_OUTSIDE   # near its ends
    WAS_CLOSE       # about to fire by itself when something else happened


cdef struct MarkBack:
    double s
    count_t entry
    count_t n_releases          # on the tape, before this spike takes its own
    count_t n_currents
    neuron_t neuron             # local id
    uint8_t kind
    bint driven


# Some neurons of one population, while one thread has them.
cdef struct PartBack:
    neuron_t first              # local id
    neuron_t size
    int64_t epoch
    count_t first_entry         # of the slice
    const WayBack *ways
    const RowBack *rows
    int64_t n_rows
    const KickBack *kicks
    int64_t n_kicks
    const MarkBack *marks
    int64_t n_marks
    # What synapses of these neurons give to the time of a spike, and to the sum of all weights: two numbers for each
    # way that is no part of an open row, and for each open row.
    double *by_way
    double *by_open
    # Sums that are kept by target, so that their order is that of time: dL/d(weight) by process, of local ids; dL/dt of
    # all at fixed times, and its sizes, of global ids.
    double **by_process
    double *shift
    double *shift_size
    # Scratch of the thread, by place in the part.
    int64_t *seen               # the instant in which something reached it last
    count_t *origin             # and what
    count_t *cause              # that it was driven by
    double *sum
    double *of_weight
    double *of_time
    KickBack *together          # all that arrives in an instant
    count_t together_capacity
    count_t n_ties
