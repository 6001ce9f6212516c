# Equal neurons with `has_moments` that are kicked one after the other: what their frames have at each of these instants
# is made for many of them side by side. Included by _population_lookahead.pxi.

from sparseprop.numerics._frames cimport MOMENTS, Moments
from sparseprop.numerics._typedefs cimport MAX_PORTS


# Kicks from the `first` one on, `n` of them.
cdef struct Ahead:
    int64_t first
    int64_t n
    double s[MOMENTS + 1]           # with that of the kick behind them
    Kicks kicks
    Moments moments[MAX_PORTS]


cdef inline void look_ahead(Ahead *a, const Population *p, const Part *w, int64_t first) noexcept nogil:
    cdef const Model *m = <const Model *> p.rows
    cdef const Kick *kick = w.kicks + first
    cdef int64_t k
    a.first, a.n = first, min(<int64_t> MOMENTS, w.n_kicks - first)
    for k in range(a.n):
        prefetch(state_of(p, m, w.first + kick[k].target), width_of(m) * <int64_t> sizeof(double))
    for k in range(a.n):
        a.s[k] = kick[k].s
        a.kicks.targets[k] = w.first + kick[k].target
        a.kicks.weights[k] = weight_of(w, &kick[k])
        a.kicks.ports[k] = w.routes[route_of(w, &kick[k])].port if ports_of(m) > 1 else 0
    a.s[a.n] = w.kicks[first + a.n].s if first + a.n < w.n_kicks else INFINITY
    make_all_moments(<const Model *> p.rows, p.frames, a.s, a.n, a.moments)


cdef inline double singly_until(const Window *q, const Part *w, int64_t j, double near) noexcept nogil:
    """The next row, or when somebody's own spike begins to be near."""
    cdef double limit = w.rows[j].s if j < w.n_rows else INFINITY
    return min(limit, q.entries[0].key - 2.0 * near) if q.size else limit


cdef inline bint goes_singly(const State *e, const Window *q, const Population *p, const Part *w, int64_t j, int64_t k,
                             bint forced, double near) noexcept nogil:
    """Whether kick k is nothing special, as far as can be told without its neuron."""
    cdef const Model *m = <const Model *> p.rows
    cdef double s
    if not has_moments(m) or p.heterogeneous or forced or k == w.n_kicks:
        return False
    if e.tape != NULL and notes_states(m):
        return False
    s = w.kicks[k].s
    return (s < singly_until(q, w, j, near) and s - w.last_spike > 2.0 * e.tolerance
            and (w.n_recent == 0 or s - w.begin.s > 2.0 * e.tolerance))


cdef inline Status kick_singly(State *e, const Window *q, Population *p, Part *w, Ahead *a, int64_t *at,
                               double limit) noexcept nogil:
    """Kicks from `at` on, which moves on, up to the first one that is not before `limit`, not alone or not simple.

    That stops behind a kick by which its neuron may fire before the edge, which is then in e.looked.
    """
    cdef const Model *m = <const Model *> p.rows
    cdef Frame *f = &p.frames[m.frame]
    cdef int64_t k, n, port
    cdef neuron_t i
    cdef double *x
    cdef double s, weight
    while at[0] < w.n_kicks:
        if not 0 <= at[0] - a.first < a.n:
            look_ahead(a, p, w, at[0])
        k = n = at[0] - a.first
        while n < a.n and a.s[n] < limit and a.s[n] < a.s[n + 1]:
            n += 1
        n = kick_far_below(m, p.x, p.waiting if p.release != NULL else NULL, f, &a.kicks, a.s, a.moments, k, n,
                           <double> w.begin.n)
        if n > k:
            be_at(e, w, a.s[n - 1])
        at[0] = a.first + n
        if n == a.n:
            continue
        if adds_up(m):
            return RUNNING  # the kick may drive the neuron to threshold, at once
        k, s = n, a.s[n]
        i = a.kicks.targets[k]
        if not (s < limit and s < a.s[k + 1]) or (p.release != NULL and get_bit(p.waiting, i)):
            return RUNNING
        be_at(e, w, s)
        enter_all_moments(m, p.frames, a.moments, k, e.instant)
        weight, port = a.kicks.weights[k], a.kicks.ports[k]
        x = state_of(p, m, i)
        if not kick_state(m, x, base_of(p, i), f, e.now, e.H, weight, port):
            return RUNNING
        at[0] += 1
        if (brings_forward(m, x, f, weight, port)
                and crosses_before_edge(m, x, base_of(p, i), p.frames, e.now, e.instant, q.edge, e.H)):
            return RUNNING if append(&e.looked, i) else NO_MEMORY
    return RUNNING
