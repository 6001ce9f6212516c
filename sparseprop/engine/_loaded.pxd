"""A network in the structs that loops go by, for the units that are made of it."""

from libc.stdint cimport int64_t, uint32_t

from sparseprop.engine._state cimport Population, Process, Projection, State
from sparseprop.numerics._frames cimport Frame, Pair
from sparseprop.numerics._typedefs cimport neuron_t, synapse_t


cdef struct Series:
    # Of a population whose I_e changes: one row of currents for each change, one or one per neuron.
    const double *currents
    int64_t width
    # Of leaky neurons: E_L, V_th and V_reset, one row or one for each neuron.
    const double *leaks
    int64_t n_leaks


cdef class Loaded:

    cdef State e
    cdef readonly object network
    cdef object clock
    cdef readonly object changes    # of currents: a Changes of network.py
    cdef readonly int64_t n_changes     # of those that are over
    cdef int64_t[::1] change_n  # when parameters change, as pairs
    cdef double[::1] change_s
    cdef const int64_t[::1] change_number, change_row  # of which population, and the row of its Series
    cdef Series *series         # of all populations; empty without changes
    cdef dict bases, constants  # of populations whose I_e changes: parameters by row, and what follows from them
    cdef readonly object origins    # the voltages that are 0 for the neurons, by global id; None if they all are
    cdef list arrays            # keeps alive what the structs point into
    cdef list delayed           # (number in the C loops, order, weights) of projections with a delay for each synapse
    cdef list processes         # the Poisson inputs, whose arrays the structs point into
    cdef dict flows             # memory that populations share, by what it is of

    cdef _add_population(self, Population *p, population)
    cdef _set_rows(self, Population *p, int64_t n_rows, rows)
    cdef _take_own(self, Population *p, int64_t n_rows)
    cdef _add_projections(self, network)
    cdef synapse_t _add_projection(self, Projection *c, rank, projection, bint by_delay=*) except -1
    cdef _add_delayed(self, int64_t number, rank, projection, bint with_places)
    cdef synapse_t _add_procedural(self, Projection *c, adjacency, post) except -1
    cdef _add_inputs(self, network)
    cdef _fill_process(self, Process *c, process)
    cdef _set_currents(self, int64_t number, const double *currents, int64_t width)
    cdef list _base(self, int64_t number)
    cdef _constants(self, int64_t number, int64_t k, double I_e)
    cdef _after_changes(self, int64_t number, int64_t n_changes)


cdef saved_pairs(const Pair *pairs, neuron_t n)
cdef restore_pairs(Pair *pairs, saved)
cdef own_frames(const State *e, Population *populations, Frame **frames)
cdef double largest_of(const double[::1] values) noexcept
cdef void largest_rows(const State *e, int64_t n_projections, int64_t *degree, int64_t *table) noexcept
cdef uint32_t *row_cuts(const Projection *c, int64_t n_pre, int64_t n_blocks, int64_t size) except? NULL
cdef void *owned(void *memory) except NULL
cdef void *zeros(size_t n, size_t size) except NULL
