"""The pass back, for what takes many samples through it."""

from libc.stdint cimport int64_t

from sparseprop._core cimport TapePart
from sparseprop.engine._loaded cimport Loaded
from sparseprop.engine._pass cimport Delivery, Pass, Synapses
from sparseprop.engine._state cimport Status
from sparseprop.engine._tape cimport TapeBuffer
from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._typedefs cimport count_t, neuron_t


cdef class Adjoint:

    cdef Pass b
    cdef Loaded loaded
    cdef TapePart part
    cdef list kept
    cdef bint has_begun         # some part has been loaded
    cdef double[::1] by_time
    cdef readonly double[::1] weight_sums
    cdef readonly double[::1] delay_sums
    cdef readonly double[::1] drive_sums

    cdef double *_pointer(self, array)
    cdef _begin_streams(self)
    cdef _set_parameters(self, int64_t k, int64_t n_changes)
    cdef bint _is_popped(self)


cdef Status instants_back(Pass *b, Pair until, count_t budget) noexcept nogil
cdef void begin_back(Pass *b, TapeBuffer *tape, Pair last_before, Pair last, Pair start) noexcept nogil
cdef bint begin_streams_back(Pass *b) noexcept nogil
cdef void go_back(Pass *b, Pair now) noexcept nogil
cdef void read_in(Pass *b, neuron_t i, double V, double current, double by_V) noexcept nogil
cdef bint is_used_up(const Pass *b) noexcept nogil

# For who goes through a tape forward.
cdef Delivery *new_delivery(Pass *b, count_t entry) noexcept nogil
cdef bint gather_undelayed(Pass *b, count_t entry) noexcept nogil
cdef void synapses_of(Pass *b, const Delivery *d, int64_t k, Synapses *c) noexcept nogil
