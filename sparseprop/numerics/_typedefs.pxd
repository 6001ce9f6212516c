"""The integer types of the compiled code: signed, of fixed width, the same on every platform."""

from libc.stdint cimport int32_t, int64_t

ctypedef int32_t neuron_t
ctypedef int64_t synapse_t
ctypedef int64_t count_t

cdef enum:
    MAX_PORTS = 4  # synaptic currents of a neuron
