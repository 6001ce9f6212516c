"""The lookahead engine, for those who look into it."""

from libc.stdint cimport int64_t, uint8_t

from sparseprop._core cimport Engine
from sparseprop.engine._look cimport Look, Thread
from sparseprop.engine._state cimport Projection


cdef class Lookahead(Engine):

    cdef Look look
    cdef double dense           # synapses of a row for each block, from which on it is cut
    cdef readonly int n_threads
    cdef readonly object ranks  # among which the network is shared, or None

    cdef _place_blocks(self)
    cdef _place_lanes(self)
    cdef _make_cuts(self, int64_t n)
    cdef int64_t _blocks_along(self, const Projection *c, int64_t n_pre)
    cdef _cut_rows(self)
    cdef _free_thread(self, Thread *t)
    cdef _make_threads(self)
    cdef _make_saved(self)
    cdef _find_kinds(self)
    cdef bint _take_kind(self, bint is_one, double weight, uint8_t *kind)
    cdef _weigh(self)
    cdef _copy_frames(self)
    cdef _drop_block_tapes(self)
