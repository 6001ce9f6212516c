"""A kind of neurons, for the engines: what the unit of each models/_<m>.pxd makes."""

from sparseprop.engine._state cimport Ops


cdef class Kernel:

    cdef const Ops *ops
