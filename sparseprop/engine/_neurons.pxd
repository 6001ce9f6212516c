"""Where a neuron's parameters, state and frame are: `m` is its parameter row, i its local id."""

from libc.stdint cimport int64_t

from sparseprop.engine._models cimport Model, enter_other_frames, width_of
from sparseprop.engine._state cimport Population, State
from sparseprop.numerics._frames cimport Frame, Pair, enter_instant
from sparseprop.numerics._typedefs cimport neuron_t


cdef inline const Model *row(const Population *p, const Model *rows, neuron_t i) noexcept nogil:
    return &rows[i] if p.heterogeneous else rows


cdef inline double *state_of(const Population *p, const Model *m, neuron_t i) noexcept nogil:
    return p.x + width_of(m) * <int64_t> i


cdef inline Pair *base_of(const Population *p, neuron_t i) noexcept nogil:
    return p.base + i if p.base != NULL else NULL


cdef inline Frame *frame_now(const State *e, const Population *p, const Model *m) noexcept nogil:
    cdef Frame *f = &p.frames[m.frame]
    enter_instant(f, e.now, e.instant)
    enter_other_frames(m, p.frames, e.now, e.instant)
    return f
