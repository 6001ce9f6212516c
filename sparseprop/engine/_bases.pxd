"""Bases of the nested spans of the first 1, 2, ... vectors: a lower triangle (LU) or an orthonormal one (QR).

In place, where the tangent pass has the vectors: in blocks of columns, each row by row. A block is the panel of both
decompositions, and what it does to the blocks behind it is shared out among threads. Each number is made by the same
additions and multiplications, in the same order, whatever the number of threads and the machine: so are the bits.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sparseprop.engine._team cimport Job, Team, take_next, team_begin, team_do, team_end
from sparseprop.numerics._memory cimport allocate, allocate_lines


cdef enum:
    STRIP = 8                   # columns: a cache line of a row
    MOST = 64                   # columns of a block
    MUCH = 1 << 22              # multiplications for which threads are worth while


cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include "sparseprop/numerics/dispatch.h"

    typedef double sp_four __attribute__((vector_size(32), aligned(8)));

    enum {
        SP_STRIP = 8,
        SP_MOST = 64,
        SP_TOGETHER = 32 /* rows that are gone through together; they stay in a core's first cache */
    };

    /* Some rows of a strip of 8 columns, minus the products of as many rows of a with those of b, which follow each
       other. `many` is a constant where this is inlined. */
    static inline __attribute__((always_inline)) void sp_tile(double *const *c, const double *const *a, const double *b,
                                                              int64_t depth, const int many) {
        sp_four sum[4][2];
        for (int i = 0; i < many; i++)
            for (int q = 0; q < 2; q++)
                sum[i][q] = *(const sp_four *)(c[i] + 4 * q);
        for (int64_t k = 0; k < depth; k++) {
            sp_four first = *(const sp_four *)(b + SP_STRIP * k), second = *(const sp_four *)(b + SP_STRIP * k + 4);
            for (int i = 0; i < many; i++) {
                sum[i][0] -= a[i][k] * first;
                sum[i][1] -= a[i][k] * second;
            }
        }
        for (int i = 0; i < many; i++)
            for (int q = 0; q < 2; q++)
                *(sp_four *)(c[i] + 4 * q) = sum[i][q];
    }

    /* c -= a b, for n rows (those in `order`, or the first ones) of c and a; b by strips: depth rows of 8 columns. The
       order goes on for so many rows, which are asked for in time. */
    SP_WIDEST
    static void sp_subtract_products(double *c, const double *a, const double *b, int64_t step, const int64_t *order,
                                     int64_t n, int64_t order_size, int64_t depth, int64_t width) {
        for (int64_t begin = 0; begin < n; begin += SP_TOGETHER) {
            int64_t end = begin + SP_TOGETHER < n ? begin + SP_TOGETHER : n;
            for (int64_t j = 0; j < width; j += SP_STRIP) {
                int64_t r = begin;
                for (; r + 4 <= end; r += 4) {
                    double *rows[4];
                    const double *factors[4];
                    for (int i = 0; i < 4; i++) {
                        int64_t row = order ? order[r + i] : r + i;
                        rows[i] = c + step * row + j;
                        factors[i] = a + step * row;
                    }
                    for (int i = 0; order && i < 4 && r + i + SP_TOGETHER < order_size; i++) {
                        int64_t row = order[r + i + SP_TOGETHER];
                        __builtin_prefetch(c + step * row + j, 0, 2);
                        if (j < depth)
                            __builtin_prefetch(a + step * row + j, 0, 2);
                    }
                    sp_tile(rows, factors, b + depth * j, depth, 4);
                }
                for (; r < end; r++) {
                    int64_t row = order ? order[r] : r;
                    double *rows[1] = {c + step * row + j};
                    const double *factors[1] = {a + step * row};
                    sp_tile(rows, factors, b + depth * j, depth, 1);
                }
            }
        }
    }

    /* w += (transposed a) c, over n rows, w by strips; depth (columns of a) and width (of c) are multiples of 8. */
    SP_WIDEST
    static void sp_add_inner_products(double *w, const double *a, const double *c, int64_t step, int64_t n,
                                      int64_t depth, int64_t width) {
        for (int64_t begin = 0; begin < n; begin += SP_TOGETHER) {
            int64_t end = begin + SP_TOGETHER < n ? begin + SP_TOGETHER : n;
            for (int64_t j = 0; j < width; j += SP_STRIP)
                for (int64_t i = 0; i < depth; i += 4) {
                    double *to = w + depth * j + SP_STRIP * i;
                    sp_four sum[4][2];
                    for (int k = 0; k < 4; k++)
                        for (int q = 0; q < 2; q++)
                            sum[k][q] = *(sp_four *)(to + SP_STRIP * k + 4 * q);
                    for (int64_t r = begin; r < end; r++) {
                        const double *x = a + step * r + i, *y = c + step * r + j;
                        sp_four first = *(const sp_four *)y, second = *(const sp_four *)(y + 4);
                        for (int k = 0; k < 4; k++) {
                            sum[k][0] += x[k] * first;
                            sum[k][1] += x[k] * second;
                        }
                    }
                    for (int k = 0; k < 4; k++)
                        for (int q = 0; q < 2; q++)
                            *(sp_four *)(to + SP_STRIP * k + 4 * q) = sum[k][q];
                }
        }
    }

    static inline __attribute__((always_inline)) void sp_solve_row(double *b, const double *a, const double *scale,
                                                                   int64_t i, int64_t begin, int64_t end) {
        double *row = b + SP_STRIP * i;
        for (int64_t k = begin; k < end; k++)
            for (int q = 0; q < SP_STRIP; q++)
                row[q] -= a[k] * b[SP_STRIP * k + q];
        if (scale)
            for (int q = 0; q < SP_STRIP; q++)
                row[q] *= scale[i];
    }

    /* Row i of b minus the sum of a[i][k] times the rows k before it, times its scale; or k behind it, from the last
       row on. a has 64 columns; depth is a multiple of 4. */
    SP_WIDEST
    static void sp_solve(double *b, const double *a, const double *scale, int64_t depth, int64_t width, int from_last) {
        for (int64_t j = 0; j < width; j += SP_STRIP, b += SP_STRIP * depth)
            for (int64_t t = 0; t < depth; t += 4) {
                int64_t i = from_last ? depth - 4 - t : t, behind = from_last ? i + 4 : 0;
                double *rows[4];
                const double *factors[4];
                for (int k = 0; k < 4; k++) {
                    rows[k] = b + SP_STRIP * (i + k);
                    factors[k] = a + SP_MOST * (i + k) + behind;
                }
                sp_tile(rows, factors, b + SP_STRIP * behind, t, 4);
                for (int k = 0; k < 4; k++) {
                    int64_t row = from_last ? i + 3 - k : i + k;
                    if (from_last)
                        sp_solve_row(b, a + SP_MOST * row, scale, row, row + 1, i + 4);
                    else
                        sp_solve_row(b, a + SP_MOST * row, scale, row, i, row);
                }
            }
    }

    /* Gauss: n rows of a strip, of which the largest in its column comes first each time; `order` says where they come
       from. A number that is none is the largest one, so that it is found out. Factors are left below the diagonal. */
    SP_WIDEST
    static void sp_eliminate(double *x, int64_t *order, int64_t n, int64_t columns) {
        for (int64_t j = 0; j < columns; j++) {
            int64_t best = j;
            double most = -1.0, pivot, row[SP_STRIP], used[SP_STRIP];
            for (int64_t r = j; r < n; r++) {
                double size = fabs(x[SP_STRIP * r + j]);
                if (size > most || size != size) {
                    most = size;
                    best = r;
                    if (size != size)
                        break;
                }
            }
            for (int q = 0; q < SP_STRIP; q++) {
                row[q] = x[SP_STRIP * best + q];
                x[SP_STRIP * best + q] = x[SP_STRIP * j + q];
                x[SP_STRIP * j + q] = row[q];
                used[q] = q > j ? row[q] : 0.0;
            }
            int64_t other = order[best];
            order[best] = order[j];
            order[j] = other;
            pivot = row[j];
            for (int64_t r = j + 1; r < n; r++) {
                double *y = x + SP_STRIP * r, factor = most == 0.0 ? 0.0 : y[j] / pivot;
                for (int q = 0; q < SP_STRIP; q++)
                    y[q] -= factor * used[q];
                y[j] = factor;
            }
        }
    }

    /* Householder: n rows of a strip. R is left on and above the diagonal, below it the vectors, which begin with 1. */
    SP_WIDEST
    static void sp_reflect(double *x, int64_t n, int64_t columns, double *scale) {
        for (int64_t j = 0; j < columns; j++) {
            double sums[4][SP_STRIP] = {{0.0}}, by[SP_STRIP], *top = x + SP_STRIP * j, first, beta;
            for (int64_t r = j + 1; r < n; r++) {
                const double *y = x + SP_STRIP * r;
                double *sum = sums[r & 3];
                for (int q = 0; q < SP_STRIP; q++)
                    sum[q] += y[j] * y[q];
            }
            for (int q = 0; q < SP_STRIP; q++)
                by[q] = sums[0][q] + sums[1][q] + (sums[2][q] + sums[3][q]);
            scale[j] = 0.0;
            if (by[j] == 0.0) {
                for (int64_t r = j + 1; r < n; r++)
                    x[SP_STRIP * r + j] = 0.0;
                continue;
            }
            beta = sqrt(top[j] * top[j] + by[j]);
            beta = top[j] > 0.0 ? -beta : beta;
            first = top[j] - beta;
            scale[j] = -first / beta;
            for (int q = 0; q < SP_STRIP; q++) {
                by[q] = q > j ? scale[j] * (top[q] + by[q] / first) : 0.0;
                top[q] -= by[q];
            }
            top[j] = beta;
            for (int64_t r = j + 1; r < n; r++) {
                double *y = x + SP_STRIP * r, v = y[j] / first;
                for (int q = 0; q < SP_STRIP; q++)
                    y[q] -= v * by[q];
                y[j] = v;
            }
        }
    }

    SP_WIDEST
    static void sp_scale_each(double *c, int64_t step, int64_t n, const double *factors) {
        for (int64_t r = 0; r < n; r++)
            for (int64_t q = 0; q < step; q++)
                c[step * r + q] *= factors[r];
    }
    """
    void subtract_products "sp_subtract_products"(double *c, const double *a, const double *b, int64_t step,
                                                  const int64_t *order, int64_t n, int64_t order_size,
                                                  int64_t depth, int64_t width) noexcept nogil
    void add_inner_products "sp_add_inner_products"(double *w, const double *a, const double *c, int64_t step,
                                                    int64_t n, int64_t depth, int64_t width) noexcept nogil
    void solve "sp_solve"(double *b, const double *a, const double *scale, int64_t depth, int64_t width,
                          bint from_last) noexcept nogil
    void eliminate_strip "sp_eliminate"(double *x, int64_t *order, int64_t n, int64_t columns) noexcept nogil
    void reflect_strip "sp_reflect"(double *x, int64_t n, int64_t columns, double *scale) noexcept nogil
    void scale_each "sp_scale_each"(double *c, int64_t step, int64_t n, const double *factors) noexcept nogil


cdef struct Vectors:
    double *columns             # block by block, each row by row; columns behind the last one are 0
    int64_t n_rows
    int64_t n_columns
    int64_t block               # columns of a block, a multiple of 8
    int64_t n_blocks


# What a block that has been decomposed does to those behind it.
cdef struct Panel:
    double[MOST * MOST] a       # LU: factors of the rows of its pivots; QR: inner products of the reflectors
    double[MOST] scale          # QR


cdef struct Bases:
    Vectors *v
    Panel *panels               # of each block
    int64_t *orders[4]          # LU: rows, pivots first, as each of the last four blocks leaves them
    uint8_t *is_pivot           # LU: whether a row is one
    double *strip               # of the block that is decomposed
    double *reflectors          # QR: of the present block
    double *buffers             # of each member: two blocks of products
    double *triangle            # the triangular factor, n_blocks block columns; or NULL
    double *diagonal
    const double *factors       # of rows, to multiply them by first
    int64_t at                  # the present block
    long long next
    Team team


cdef inline double *block_of(const Vectors *v, int64_t b) noexcept nogil:
    return v.columns + b * v.n_rows * v.block


cdef inline int64_t width_of(const Vectors *v, int64_t b) noexcept nogil:
    """Without columns behind the last one."""
    return min(v.block, v.n_columns - b * v.block)


cdef inline double *buffer_of(const Bases *s, int64_t member) noexcept nogil:
    return s.buffers + 2 * MOST * MOST * member


cdef inline void keep_row(const Bases *s, int64_t i, int64_t j, const double *row, int64_t n) noexcept nogil:
    """n numbers of row i of the triangular factor, from column j on."""
    if s.triangle != NULL:
        memcpy(s.triangle + i * s.v.n_blocks * s.v.block + j, row, n * sizeof(double))


cdef inline void to_strips(double *strips, int64_t depth, int64_t i, const double *row, int64_t width) noexcept nogil:
    """Row i of `depth`."""
    cdef int64_t j
    for j in range(0, width, 8):
        memcpy(strips + depth * j + STRIP * i, row + j, STRIP * sizeof(double))


cdef inline void from_strips(double *row, const double *strips, int64_t depth, int64_t i, int64_t width) noexcept nogil:
    cdef int64_t j
    for j in range(0, width, 8):
        memcpy(row + j, strips + depth * j + STRIP * i, STRIP * sizeof(double))


cdef inline void multiply_block(const Bases *s, int64_t b) noexcept nogil:
    """Its rows by their factors."""
    scale_each(block_of(s.v, b), s.v.block, s.v.n_rows, s.factors)


# LU: rows are exchanged in an order, and stay where they are ----------------------------------------------------------

cdef inline void solve_pivots(const Bases *s, const int64_t *order, int64_t first, const double *of_pivots,
                              int64_t depth, double *c, int64_t column, int64_t width, double *to) noexcept nogil:
    """What is subtracted from other rows, of columns c that begin with number `column`; the pivots' rows are 0 then.

    The first pivot is number `first`; `of_pivots` has the factors of their rows.
    """
    cdef const Vectors *v = s.v
    cdef double[MOST] kept
    cdef int64_t i
    for i in range(depth):
        to_strips(to, depth, i, c + v.block * order[first + i], width)
        memset(c + v.block * order[first + i], 0, width * sizeof(double))
    solve(to, of_pivots, NULL, depth, width, False)
    for i in range(depth if s.triangle != NULL else 0):
        from_strips(kept, to, depth, i, width)
        keep_row(s, first + i, column, kept, width)


cdef inline void eliminate_one(const Bases *s, int64_t a, int64_t b, double *buffer) noexcept nogil:
    """Take the pivots of block a out of block b."""
    cdef const Vectors *v = s.v
    cdef const int64_t *order = s.orders[a & 3]
    cdef int64_t first = a * v.block, n = v.n_rows - first - v.block
    solve_pivots(s, order, first, s.panels[a].a, v.block, block_of(v, b), b * v.block, v.block, buffer)
    subtract_products(block_of(v, b), block_of(v, a), buffer, v.block, order + first + v.block, n, n, v.block, v.block)


cdef inline void eliminate_two(const Bases *s, int64_t a, int64_t b, double *buffer) noexcept nogil:
    """Take the pivots of blocks a and a + 1 out of block b, which comes from memory once for both."""
    cdef const Vectors *v = s.v
    cdef int64_t step = v.block, first = a * step, n = v.n_rows - first - 2 * step, k
    cdef const int64_t *order = s.orders[(a + 1) & 3]
    cdef const int64_t *others = order + first + 2 * step
    cdef double *second = buffer + MOST * MOST
    cdef double *c = block_of(v, b)
    if a == 0:
        multiply_block(s, b)
    solve_pivots(s, order, first, s.panels[a].a, step, c, b * step, step, buffer)
    subtract_products(c, block_of(v, a), buffer, step, order + first + step, step, step, step, step)
    solve_pivots(s, order, first + step, s.panels[a + 1].a, step, c, b * step, step, second)
    for k in range(0, n, 32):
        subtract_products(c, block_of(v, a), buffer, step, others + k, min(n - k, 32), n - k, step, step)
        subtract_products(c, block_of(v, a + 1), second, step, others + k, min(n - k, 32), n - k, step, step)


cdef inline void factors_of(const Vectors *v, const int64_t *pivots, const double *a, int64_t n,
                            double *to) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        memcpy(to + MOST * i, a + v.block * pivots[i], n * sizeof(double))


cdef inline void decompose_lu(Bases *s, int64_t b, double *buffer) noexcept nogil:
    """A block, strip by strip."""
    cdef Vectors *v = s.v
    cdef int64_t *order = s.orders[b & 3]
    cdef double *block = block_of(v, b)
    cdef double *row
    cdef int64_t width = width_of(v, b), first, k, r, i, n
    cdef double[MOST * STRIP] of_pivots
    if b > 0:
        memcpy(order, s.orders[(b - 1) & 3], v.n_rows * sizeof(int64_t))
    for k in range(0, width, 8):
        first = b * v.block + k
        n = min(STRIP, width - k)
        for r in range(first, v.n_rows):
            memcpy(s.strip + STRIP * (r - first), block + v.block * order[r] + k, STRIP * sizeof(double))
        eliminate_strip(s.strip, order + first, v.n_rows - first, n)
        for i in range(n):
            row = s.strip + STRIP * i
            s.diagonal[first + i] = row[i]
            keep_row(s, first + i, first + i, row + i, n - i)
            row[i] = 1.0
            memset(row + i + 1, 0, (STRIP - i - 1) * sizeof(double))
        for r in range(first, v.n_rows):
            memcpy(block + v.block * order[r] + k, s.strip + STRIP * (r - first), STRIP * sizeof(double))
        if k + n < width:
            factors_of(v, order + first, block + k, n, of_pivots)
            row = block + k + n
            solve_pivots(s, order, first, of_pivots, n, row, first + n, v.block - k - n, buffer)
            r = v.n_rows - first - n
            subtract_products(row, block + k, buffer, v.block, order + first + n, r, r, n, v.block - k - n)
    factors_of(v, order + b * v.block, block, width, s.panels[b].a)
    # The others in the order in which they are in memory.
    for r in range(b * v.block, b * v.block + width):
        s.is_pivot[order[r]] = True
    n = b * v.block + width
    for r in range(v.n_rows):
        if not s.is_pivot[r]:
            order[n] = r
            n += 1


cdef inline void decompose_two_lu(Bases *s, int64_t b, double *buffer) noexcept nogil:
    """Blocks b and b + 1, if there is one."""
    decompose_lu(s, b, buffer)
    if b + 1 < s.v.n_blocks:
        eliminate_one(s, b, b + 1, buffer)
        decompose_lu(s, b + 1, buffer)


cdef inline void go_on_lu(void *shared, int member) noexcept nogil:
    """A job of the team: the present two blocks' pivots are taken out of others; the next two are then decomposed."""
    cdef Bases *s = <Bases *> shared
    cdef double *buffer = buffer_of(s, member)
    cdef int64_t b
    while True:
        b = take_next(&s.next, 1)
        if b >= s.v.n_blocks:
            return
        if b == s.at + 3:
            continue
        eliminate_two(s, s.at, b, buffer)
        if b == s.at + 2:
            if b + 1 < s.v.n_blocks:
                eliminate_two(s, s.at, b + 1, buffer)
            decompose_two_lu(s, b, buffer)


# QR -------------------------------------------------------------------------------------------------------------------

cdef inline void reflect(const double *a, const double *inner, const double *scale, int64_t step, int64_t n,
                         int64_t depth, double *c, int64_t width, bint from_last, double *buffer) noexcept nogil:
    """Take n rows of c through the reflections by the columns of a, the first of them first, or the last.

    Together they are I - a T a', T an upper triangle. Its inverse has 1 / scale on the diagonal and the inner products
    of the columns above it, so what T makes of a' c is found row by row.
    """
    memset(buffer, 0, depth * width * sizeof(double))
    add_inner_products(buffer, a, c, step, n, depth, width)
    solve(buffer, inner, scale, depth, width, from_last)
    subtract_products(c, a, buffer, step, NULL, n, n, depth, width)


cdef inline void inner_products(const double *a, int64_t step, int64_t n, int64_t width, double *to,
                                double *buffer) noexcept nogil:
    """Of all pairs of columns; `to` has 64 columns."""
    cdef int64_t i
    memset(buffer, 0, width * width * sizeof(double))
    add_inner_products(buffer, a, a, step, n, width, width)
    for i in range(width):
        from_strips(to + MOST * i, buffer, width, i, width)


cdef inline void keep_rows(const Bases *s, int64_t first, int64_t n, double *c, int64_t column,
                           int64_t width) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        keep_row(s, first + i, column, c + s.v.block * i, width)


cdef inline void decompose_qr(Bases *s, int64_t b, double *buffer) noexcept nogil:
    """A block, strip by strip: the reflectors in its place, each 0 before its 1."""
    cdef Vectors *v = s.v
    cdef int64_t step = v.block, width = width_of(v, b), top = b * v.block, first, k, r, i, n
    cdef double *block = block_of(v, b) + top * step
    cdef double *row
    cdef double *scale = s.panels[b].scale
    cdef double[MOST * STRIP] inner
    memset(scale, 0, MOST * sizeof(double))
    for k in range(0, width, 8):
        first = top + k
        n = min(STRIP, width - k)
        keep_rows(s, top, k, block + k, first, STRIP)
        for r in range(k):
            memset(block + step * r + k, 0, STRIP * sizeof(double))
        for r in range(v.n_rows - first):
            memcpy(s.strip + STRIP * r, block + step * (k + r) + k, STRIP * sizeof(double))
        reflect_strip(s.strip, v.n_rows - first, n, scale + k)
        for i in range(n):
            row = s.strip + STRIP * i
            s.diagonal[first + i] = row[i]
            keep_row(s, first + i, first + i, row + i, n - i)
            row[i] = 1.0
            memset(row + i + 1, 0, (STRIP - i - 1) * sizeof(double))
        for r in range(v.n_rows - first):
            memcpy(block + step * (k + r) + k, s.strip + STRIP * r, STRIP * sizeof(double))
        if k + n < width:
            row = block + step * k + k
            inner_products(row, step, v.n_rows - first, STRIP, inner, buffer)
            reflect(row, inner, scale + k, step, v.n_rows - first, STRIP, row + STRIP, step - k - STRIP, False, buffer)
    inner_products(block, step, v.n_rows - top, step, s.panels[b].a, buffer)


cdef inline void go_on_qr(void *shared, int member) noexcept nogil:
    """A job of the team: others are taken through the present block's reflections; the next one is then decomposed."""
    cdef Bases *s = <Bases *> shared
    cdef Vectors *v = s.v
    cdef int64_t b, top = s.at * v.block, from_top = top * v.block
    while True:
        b = take_next(&s.next, 1)
        if b >= v.n_blocks:
            return
        if s.at == 0:
            multiply_block(s, b)
        reflect(block_of(v, s.at) + from_top, s.panels[s.at].a, s.panels[s.at].scale, v.block, v.n_rows - top, v.block,
                block_of(v, b) + from_top, v.block, False, buffer_of(s, member))
        keep_rows(s, top, v.block, block_of(v, b) + from_top, b * v.block, v.block)
        if b == s.at + 1:
            decompose_qr(s, b, buffer_of(s, member))


cdef inline void go_back_qr(void *shared, int member) noexcept nogil:
    """A job of the team: blocks from the present one on become those of the orthonormal factor, so far."""
    cdef Bases *s = <Bases *> shared
    cdef Vectors *v = s.v
    cdef int64_t b, k, top = s.at * v.block, from_top = top * v.block
    cdef double *block
    while True:
        b = take_next(&s.next, 1)
        if b >= v.n_blocks:
            return
        block = block_of(v, b)
        if b == s.at:
            memset(block, 0, v.n_rows * v.block * sizeof(double))
            for k in range(width_of(v, b)):
                block[from_top + v.block * k + k] = -1.0 if s.diagonal[top + k] < 0.0 else 1.0
        reflect(s.reflectors, s.panels[s.at].a, s.panels[s.at].scale, v.block, v.n_rows - top, v.block,
                block + from_top, v.block, True, buffer_of(s, member))


# Whole ones -----------------------------------------------------------------------------------------------------------

cdef inline void share_out(Bases *s, Job job, int64_t at, int64_t first) noexcept nogil:
    """Blocks from the first on, among the members of the team."""
    s.at, s.next = at, first
    team_do(&s.team, job, s)


cdef inline void multiply_blocks(void *shared, int member) noexcept nogil:
    """A job of the team: rows times their factors."""
    cdef Bases *s = <Bases *> shared
    cdef int64_t b
    while True:
        b = take_next(&s.next, 1)
        if b >= s.v.n_blocks:
            return
        multiply_block(s, b)


cdef inline void lower(Bases *s) noexcept nogil:
    cdef int64_t k
    memset(s.is_pivot, 0, s.v.n_rows)
    for k in range(s.v.n_rows):
        s.orders[0][k] = k
    for k in range(min(2, s.v.n_blocks)):
        multiply_block(s, k)
    decompose_two_lu(s, 0, buffer_of(s, 0))
    for k in range(0, s.v.n_blocks - 2, 2):
        share_out(s, go_on_lu, k, k + 2)


cdef inline void orthonormal(Bases *s) noexcept nogil:
    cdef Vectors *v = s.v
    cdef int64_t k, j
    cdef int64_t step = v.n_blocks * v.block
    multiply_block(s, 0)
    decompose_qr(s, 0, buffer_of(s, 0))
    for k in range(v.n_blocks - 1):
        share_out(s, go_on_qr, k, k + 1)
    for k in range(v.n_blocks - 1, -1, -1):
        j = k * v.block * v.block
        memcpy(s.reflectors, block_of(v, k) + j, (v.n_rows * v.block - j) * sizeof(double))
        share_out(s, go_back_qr, k, k)
    for k in range(v.n_columns):
        if s.diagonal[k] < 0.0:
            s.diagonal[k] = -s.diagonal[k]
            for j in range(k if s.triangle != NULL else step, step):
                s.triangle[k * step + j] = -s.triangle[k * step + j]


cdef inline void multiply_triangles(double *c, const double *a, const double *b, int64_t n, int64_t step,
                                    double *buffer) noexcept nogil:
    """c += a b, upper triangles of n rows, a multiple of 8 columns each; `buffer` has 8 columns of n rows."""
    cdef int64_t j, k, q, n_rows
    for j in range(0, n, 8):
        n_rows = min(j + STRIP, n)
        for k in range(n_rows):
            for q in range(STRIP):
                buffer[STRIP * k + q] = -b[step * k + j + q]
        for k in range(0, n_rows, 64):
            subtract_products(c + step * k + j, a + step * k + k, buffer + STRIP * k, step, NULL,
                              min(MOST, n_rows - k), 0, n_rows - k, STRIP)


cdef inline bint begin_bases(Bases *s, Vectors *v, bint with_reflectors, int n_threads) noexcept nogil:
    """Memory and threads; False if there is no memory."""
    cdef int k
    cdef bint much = v.n_rows * v.n_columns * v.n_columns > MUCH
    memset(s, 0, sizeof(Bases))
    s.v = v
    if not team_begin(&s.team, <int> min(n_threads, v.n_blocks) if much else 1):
        return False
    s.panels = <Panel *> allocate(v.n_blocks, sizeof(Panel))
    s.orders[0] = <int64_t *> allocate(4 * v.n_rows, sizeof(int64_t))
    for k in range(1, 4):
        s.orders[k] = s.orders[0] + k * v.n_rows
    s.is_pivot = <uint8_t *> allocate(v.n_rows, 1)
    s.strip = <double *> allocate_lines(v.n_rows * STRIP, sizeof(double))
    s.buffers = <double *> allocate_lines(2 * MOST * MOST * s.team.n, sizeof(double))
    s.reflectors = <double *> allocate_lines(v.n_rows * v.block if with_reflectors else 0, sizeof(double))
    return (s.panels != NULL and s.orders[0] != NULL and s.is_pivot != NULL
            and s.strip != NULL and s.buffers != NULL and s.reflectors != NULL)


cdef inline void end_bases(Bases *s) noexcept nogil:
    team_end(&s.team)
    free(s.panels)
    free(s.orders[0])
    free(s.is_pivot)
    free(s.strip)
    free(s.buffers)
    free(s.reflectors)
