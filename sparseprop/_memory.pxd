"""Allocation with the size checked for overflow."""

from libc.stdint cimport SIZE_MAX
from libc.stdlib cimport malloc, realloc


cdef inline void *allocate(size_t n, size_t size) noexcept nogil:
    """n items of `size` bytes, or NULL; never NULL for want of items."""
    if n > (SIZE_MAX - size) // size:
        return NULL
    return malloc(n * size + size)


cdef inline void *reallocate(void *old, size_t n, size_t size) noexcept nogil:
    """`old` with room for n items of `size` bytes, or NULL with `old` untouched."""
    if n > (SIZE_MAX - size) // size:
        return NULL
    return realloc(old, n * size + size)
