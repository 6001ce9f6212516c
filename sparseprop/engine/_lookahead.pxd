"""The lookahead engine, for those who look into it."""

from libc.stdint cimport int64_t, uint8_t

from sparseprop._core cimport Engine
from sparseprop.engine._look cimport Look, Thread


cdef class Lookahead(Engine):

    cdef Look look
    cdef readonly int n_threads
    cdef readonly object ranks  # among which the network is shared, or None

    cdef _place_blocks(self)
    cdef _place_lanes(self)
    cdef _cut_rows(self, double dense)
    cdef _cut_delayed(self, int64_t number, int64_t n_pre)
    cdef _forget(self, size_t address)
    cdef _free_thread(self, Thread *t)
    cdef _make_threads(self)
    cdef _make_saved(self)
    cdef _find_kinds(self)
    cdef bint _take_kind(self, bint is_one, double weight, uint8_t *kind)
    cdef _weigh(self)
    cdef _copy_frames(self)
    cdef _drop_block_tapes(self)
