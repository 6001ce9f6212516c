"""The engines, for the compiled units that stand above them: the pass back, and batches."""

from libc.stdint cimport int64_t

from sparseprop.engine._heap cimport Heap
from sparseprop.engine._loaded cimport Loaded
from sparseprop.engine._state cimport Population, Process, State, Status
from sparseprop.engine._tape cimport TapeBuffer
from sparseprop.engine._window cimport Window
from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._typedefs cimport count_t, neuron_t


cdef class TapePart:

    cdef TapeBuffer *tape
    cdef object network
    cdef int64_t n
    cdef Pair start, last_before, last
    cdef readonly int64_t n_changes_before, n_changes
    cdef readonly object V
    cdef readonly list voltages     # V of a population at each change of parameters
    cdef readonly list currents
    cdef list releases              # by population: the ends of refractory periods at the end

    cdef _note_currents(self, State *e)
    cdef finish(self, Engine engine)


cdef class Engine(Loaded):

    cdef readonly str name
    cdef Heap heap
    cdef Window window
    cdef bint windowed
    cdef object added           # the arrays of injected spikes
    cdef double *seen           # while parameters change
    cdef TapePart tape_part     # of what the tape keeps, or None

    cdef _place_population(self, Population *p, population)
    cdef _order(self)
    cdef _start_inputs(self)
    cdef _start_train(self, int64_t k)
    cdef _start_process(self, int64_t k)
    cdef _begin_process(self, Process *c)
    cdef Status _take(self, Pair until, count_t most, count_t budget)
    cdef bint _is_silent(self)
    cdef Pair _next_change(self)
    cdef _change_parameters(self, Pair now)
    cdef _take_forced(self)
    cdef _change_population(self, int64_t number, const double *currents, int64_t width)
    cdef _fault(self, Status status)
    cdef _note_voltages(self, Population *p)


cdef Status take_instants_in_window(State *e, Window *q, Pair until, count_t max_spikes, count_t budget) noexcept nogil
cdef double voltage_of(const State *e, neuron_t i) noexcept nogil
