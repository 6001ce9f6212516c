"""Allocation with the size checked for overflow."""

from libc.stdint cimport SIZE_MAX, int64_t
from libc.stdlib cimport malloc, realloc

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __linux__
    #include <sys/mman.h>
    #endif
    /* Memory on huge pages, if the system has them: random access to a large array then misses fewer translations. */
    static void *sp_huge(size_t size) {
        void *memory = NULL;
        if (posix_memalign(&memory, (size_t)1 << 21, size))
            return NULL;
    #ifdef MADV_HUGEPAGE
        madvise(memory, size, MADV_HUGEPAGE);
    #endif
        return memory;
    }
    """
    void *huge "sp_huge"(size_t size) noexcept nogil
    int posix_memalign(void **memory, size_t alignment, size_t size) noexcept nogil


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


cdef inline bint grow(void **items, int64_t *capacity, int64_t n, size_t size) noexcept nogil:
    """Make an array long enough for n items of `size` bytes; False, and all as it was, if there is no memory."""
    cdef void *grown
    if n <= capacity[0]:
        return True
    n = max(n, 2 * capacity[0] + 64)
    grown = reallocate(items[0], n, size)
    if grown == NULL:
        return False
    items[0] = grown
    capacity[0] = n
    return True


cdef inline void *allocate_large(size_t n, size_t size) noexcept nogil:
    """`allocate` for arrays that are accessed at random."""
    if n < (1 << 22) // size:
        return allocate(n, size)
    if n > (SIZE_MAX - size) // size:
        return NULL
    return huge(n * size + size)


cdef inline void *allocate_lines(size_t n, size_t size) noexcept nogil:
    """`allocate_large` from the beginning of a cache line on."""
    cdef void *memory = NULL
    if n >= (1 << 22) // size:
        return allocate_large(n, size)
    return memory if posix_memalign(&memory, 64, n * size + size) == 0 else NULL
