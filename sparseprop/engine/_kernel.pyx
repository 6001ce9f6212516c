"""A kind of neurons, for the engines: what the unit of each models/_<m>.pxd makes."""


cdef class Kernel:
    """The compiled functions of a kind of neurons, which all its populations share."""

    @property
    def row_bytes(self):
        """Of the constants of a neuron."""
        return self.ops.row_size
