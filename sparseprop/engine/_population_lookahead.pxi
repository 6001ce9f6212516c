# Some neurons of a kind `Model` through a slice of time, for the lookahead engine: instant after instant of what
# arrives at them, each neuron on its own. Included by the unit of that kind, after _population.pxi. Within an instant
# everything is in the order of engine/_instant.pxd.
#
# Those that may fire by themselves before the edge, a little behind the slice's end, have entries in the thread's
# window, whose keys are lower bounds of their next spikes up to rounding (the engine's margin), as everywhere.

from libc.math cimport INFINITY, fabs
from libc.stdint cimport uint32_t, uintptr_t

from sparseprop.engine._slice cimport (
    HAS_EXTRA, Arrived, Fault, Kick, Part, Route, RowPart, Spike, Sum, note_fault, sort_items,
)
from sparseprop.engine._state cimport RUNAWAY
from sparseprop.engine._tape cimport CLOSE, DRIVEN, tape_note, tape_reach, tape_spike
from sparseprop.engine._window cimport window_pop
from sparseprop.numerics._frames cimport never
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t


cdef inline void be_at(State *e, const Part *w, double s) noexcept nogil:
    """A new instant."""
    e.now.n = w.begin.n
    e.now.s = s
    e.instant += 1


cdef inline Pair soon(const State *e, const Window *q, const Population *p, neuron_t i) noexcept nogil:
    """When neuron i fires without input, if that may be before the edge; otherwise `never`."""
    if not p.oscillates or not fires_before_edge(e, q, p, i):
        return never()
    return next_spike(e, p, i)


cdef inline void fail(State *e, Part *w, Status kind, int64_t port, int64_t source, int64_t rank, int64_t place,
                      neuron_t neuron) noexcept nogil:
    cdef Fault fault
    fault.s = e.now.s
    fault.kind = kind
    fault.port, fault.source, fault.rank, fault.place = port, source, rank, place
    fault.neuron = neuron
    note_fault(&w.fault, &fault)


cdef inline Status spike(State *e, Population *p, Part *w, neuron_t i) noexcept nogil:
    """Neuron i fires now."""
    if e.tape != NULL and not tape_spike(e.tape, e.now, p.first + i, False):
        return NO_MEMORY
    if renew(e, p, row(p, i), i) != RUNNING:
        return NO_MEMORY
    if not grow(<void **> &w.spikes, &w.capacity, w.n_spikes + 1, sizeof(Spike)):
        return NO_MEMORY
    w.spikes[w.n_spikes].s = e.now.s
    w.spikes[w.n_spikes].neuron = p.first + i
    w.n_spikes += 1
    w.last_spike = max(w.last_spike, e.now.s)
    return RUNNING


cdef inline Status await_next(State *e, Window *q, Population *p, Part *w, neuron_t i, Pair *due) noexcept nogil:
    """An entry for neuron i, which has just fired, if it fires again before the edge; then is when it does."""
    due[0] = soon(e, q, p, i)
    if not before(e.now, due[0]):
        fail(e, w, RUNAWAY, 0, p.first + i, 0, 0, p.first + i)
        due[0] = never()
    if before(due[0], q.edge) and not window_push(q, window_key(q, due[0], e.H), i):
        return NO_MEMORY
    return RUNNING


cdef Status look_around(State *e, Window *q, Population *p, Part *w) noexcept nogil:
    """Entries for all that may fire before the edge."""
    cdef const Model *m = <const Model *> p.rows
    cdef Neurons all
    cdef int64_t k, found = -1
    cdef neuron_t i
    cdef Pair due
    if not reserve(&e.found, w.size + 1):
        return NO_MEMORY
    if w.is_part:
        for k in range(w.n_chosen):
            due = soon(e, q, p, w.chosen[k])
            if before(due, q.edge) and not window_push(q, window_key(q, due, e.H), w.chosen[k]):
                return NO_MEMORY
        return RUNNING
    if not p.heterogeneous:
        all = neurons_now(e, q, p)
        found = scan_block(m, &all, w.first, w.size, e.found.items)
    for k in range(found if found >= 0 else w.size):
        i = w.first + (e.found.items[k] if found >= 0 else <neuron_t> k)
        due = soon(e, q, p, i)
        if before(due, q.edge) and not window_push(q, window_key(q, due, e.H), i):
            return NO_MEMORY
    return RUNNING


cdef Status fire_alone(State *e, Window *q, Population *p, Part *w, double limit) noexcept nogil:
    """All that fire by themselves before `limit`, which each does on its own; nothing arrives until then."""
    cdef double since = e.now.s
    cdef count_t k
    cdef neuron_t i
    cdef Pair due
    cdef Status status
    # A neuron may have several entries.
    e.due.size = 0
    while q.size and q.entries[0].key < limit + e.margin:
        i = q.entries[0].neuron
        window_pop(q)
        if w.has_fired[i - w.first]:
            continue
        w.has_fired[i - w.first] = True
        if not append(&e.due, i):
            return NO_MEMORY
    for k in range(e.due.size):
        i = e.due.items[k]
        w.has_fired[i - w.first] = False
        be_at(e, w, since)
        due = soon(e, q, p, i)
        while True:
            if w.changed and before(due, w.begin):
                due = w.begin
            if not (due.n == w.begin.n and due.s < limit):
                break
            be_at(e, w, due.s)
            status = spike(e, p, w, i)
            if status != RUNNING:
                return status
            due = soon(e, q, p, i)
            if not before(e.now, due):
                fail(e, w, RUNAWAY, 0, p.first + i, 0, 0, p.first + i)
                due = never()
        if before(due, q.edge) and not window_push(q, window_key(q, due, e.H), i):
            return NO_MEMORY
    be_at(e, w, since)
    return RUNNING


cdef bint is_close_to_spike(State *e, Window *q, Population *p, const Part *w, neuron_t i) noexcept nogil:
    """Whether neuron i fires by itself within rounding of now, or has just fired in an earlier instant."""
    cdef count_t k
    cdef Pair due = soon(e, q, p, i)
    if due.n < never().n and interval(e.now, due, e.H) <= e.tolerance:
        return True
    for k in range(w.n_spikes):
        if w.spikes[k].neuron == p.first + i and e.now.s - w.spikes[k].s <= e.tolerance:
            return True
    for k in range(w.n_recent):
        if w.recent[k].neuron == p.first + i and interval(w.recent[k].time, e.now, e.H) <= e.tolerance:
            return True
    return False


cdef bint note_close(State *e, Window *q, Population *p, neuron_t i) noexcept nogil:
    """For the tape: whether neuron i is about to fire by itself; False if there is no memory."""
    cdef Pair due = soon(e, q, p, i)
    if due.n >= never().n or interval(e.now, due, e.H) > e.tape.near:
        return True
    return tape_note(e.tape, CLOSE, e.now, p.first + i, 0 if before(e.now, due) else DRIVEN, 0)


cdef inline Status note_kicks(State *e, Population *p, const neuron_t *targets, int64_t count) noexcept nogil:
    """For the tape: V of neurons that are about to be kicked, where derivatives need it."""
    if e.tape != NULL and notes_states(<const Model *> p.rows):
        return note_states(e, p, targets, count)
    return RUNNING


cdef inline Status kick_alone(State *e, Window *q, Population *p, Part *w, const Model *m, neuron_t i, double weight,
                              int64_t port, const Route *route, int64_t place, bint careful) noexcept nogil:
    """One kick of neuron i; it is noted if that drives it, or may bring its next spike forward.

    `careful`: somebody's own spike is near now.
    """
    cdef Outcome outcome
    if careful:
        w.n_close += is_close_to_spike(e, q, p, w, i)
        if e.tape != NULL and not note_close(e, q, p, i):
            return NO_MEMORY
    outcome = give_kick(e, p, m, i, weight, port)
    if outcome == DROPPED:
        return RUNNING
    if outcome == FAILED:
        fail(e, w, NUMERICAL, port, route.source, route.rank, place, p.first + i)
        return RUNNING
    if outcome == DROVE:
        return RUNNING if append(&e.driven, i) else NO_MEMORY
    if p.oscillates and (careful or outcome == HELD
                         or brings_forward(m, state_of(p, m, i), &p.frames[m.frame], weight, port)):
        if not append(&e.looked, i):
            return NO_MEMORY
    return RUNNING


cdef Status kick_many(State *e, Window *q, Population *p, Part *w, const neuron_t *targets, const double *weights,
                      double weight, double largest, int64_t count, int64_t port, const Route *route,
                      const Sum *sums) noexcept nogil:
    """One kick for each of some neurons, while nobody's own spike is near.

    They come along one route and from the places of a row, or from where `sums` says.
    """
    cdef const Model *m = <const Model *> p.rows
    cdef Neurons all
    cdef int64_t k, at, n = -1, held = 0
    cdef neuron_t i
    cdef Status status = note_kicks(e, p, targets, count)
    if status != RUNNING:
        return status
    if not p.heterogeneous:
        if not reserve(&e.found, count + 1) or not reserve(&e.held, count):
            return NO_MEMORY
        all = neurons_now(e, q, p)
        # States of vectors are looked at one by one: others of the population are with other threads.
        all.far = width_of(m) > 1
        n = kick_row(m, &all, targets, weights, weight, largest, count, port, e.found.items, e.held.items, &held)
        for k in range(n):
            i = e.found.items[k]
            if not over_threshold(m, state_of(p, m, i), all.frame):
                if not append(&e.looked, i):
                    return NO_MEMORY
                continue
            if e.tape != NULL:
                tape_drive(e.tape, p.first + i)
            if not append(&e.driven, i):
                return NO_MEMORY
    for k in range(held if n >= 0 else count):
        at = e.held.items[k] if n >= 0 else k
        i = targets[at]
        status = kick_alone(e, q, p, w, row(p, i), i, weights[at] if weights != NULL else weight, port,
                            sums[at].route if sums != NULL else route, sums[at].place if sums != NULL else at, False)
        if status != RUNNING:
            return status
    return RUNNING


cdef inline void add(Part *w, neuron_t i, double weight, const Route *route, int64_t place) noexcept nogil:
    """Add a weight to what arrives now."""
    cdef int64_t at = route.port * w.size + (i - w.first)
    cdef Sum *sum
    if w.has_sum[at]:
        w.sums[at] += weight
        return
    w.has_sum[at] = True
    w.sums[at] = weight
    sum = &w.touched[route.port][w.n_touched[route.port]]
    w.n_touched[route.port] += 1
    sum.target, sum.route, sum.place = i, route, place


cdef inline Arrived all_of(const Part *w, const Kick *kick) noexcept nogil:
    """All that there is to say of a kick."""
    cdef Arrived a
    a.s, a.target = kick.s, w.first + kick.target
    if kick.what & HAS_EXTRA:
        a.route = w.extras[kick.what & ~<uint32_t> HAS_EXTRA].route
        a.weight = w.extras[kick.what & ~<uint32_t> HAS_EXTRA].weight
        a.place = w.extras[kick.what & ~<uint32_t> HAS_EXTRA].place
    else:
        a.route = kick.what
        a.weight = w.routes[kick.what].weight
        a.place = 0
    return a


cdef inline double weight_of(const Part *w, const Kick *kick) noexcept nogil:
    # Kicks of both sorts come in no order, so that a branch would be guessed wrong.
    cdef uint32_t number = kick.what & ~<uint32_t> HAS_EXTRA
    cdef uintptr_t extra = <uintptr_t> &w.extras[number].weight, plain = <uintptr_t> &w.routes[number].weight
    return (<const double *> (plain ^ ((plain ^ extra) & -<uintptr_t> (kick.what >> 31))))[0]


cdef inline uint32_t route_of(const Part *w, const Kick *kick) noexcept nogil:
    return w.extras[kick.what & ~<uint32_t> HAS_EXTRA].route if kick.what & HAS_EXTRA else kick.what


cdef inline bint is_repeated(const RowPart *r) noexcept nogil:
    """Whether one of the targets, which ascend, is there twice."""
    cdef int64_t k
    cdef bint found = False
    for k in range(1, r.count if r.has_multapses else 0):
        found |= r.targets[k] == r.targets[k - 1]
    return found


cdef bint is_in_order(const Part *w, const RowPart *rows, int64_t n_rows, const Arrived *kicks,
                      int64_t n_kicks) noexcept nogil:
    """Whether weights are added in the right order row by row, and then kick by kick."""
    cdef const Route *a
    cdef const Route *b = NULL
    cdef int64_t k
    for k in range(n_rows):
        a = b
        b = &w.routes[rows[k].route]
        if a != NULL and a.source == b.source and a.rank == b.rank:
            return False
    # Rows come first, except for kicks of drives.
    return n_kicks == 0 or n_rows == 0 or w.routes[kicks[0].route].source > b.source


cdef Status take_together(State *e, Window *q, Population *p, Part *w, const RowPart *rows, int64_t n_rows,
                          const Kick *kicks, int64_t n_kicks, bint careful) noexcept nogil:
    """What arrives in one instant in several ways: added by target and port, and then one kick each."""
    cdef const RowPart *r
    cdef const Sum *sum
    cdef Arrived *all
    cdef int64_t j, k, n = n_kicks, port
    cdef double largest = 0.0
    cdef Status status
    for j in range(n_rows):
        n += rows[j].count
    if not grow(<void **> &w.together, &w.together_capacity, 2 * n, sizeof(Arrived)):
        return NO_MEMORY
    all = w.together
    for k in range(n_kicks):
        all[k] = all_of(w, &kicks[k])
    sort_items(all, n_kicks, all + n, w.routes)
    if is_in_order(w, rows, n_rows, all, n_kicks):
        for j in range(n_rows):
            r = &rows[j]
            for k in range(r.count):
                add(w, r.targets[k], r.weights[k] if r.weights != NULL else r.weight, &w.routes[r.route], k)
        for k in range(n_kicks):
            add(w, all[k].target, all[k].weight, &w.routes[all[k].route], all[k].place)
    else:
        n = n_kicks
        for j in range(n_rows):
            r = &rows[j]
            for k in range(r.count):
                all[n].s, all[n].route, all[n].place, all[n].target = r.s, r.route, <int> k, r.targets[k]
                all[n].weight = r.weights[k] if r.weights != NULL else r.weight
                n += 1
        sort_items(all, n, all + n, w.routes)
        for k in range(n):
            add(w, all[k].target, all[k].weight, &w.routes[all[k].route], all[k].place)
    for port in range(ports_of(<const Model *> p.rows)):
        n = w.n_touched[port]
        w.n_touched[port] = 0
        for k in range(n):
            j = port * w.size + (w.touched[port][k].target - w.first)
            w.has_sum[j] = False
            w.together_targets[k] = w.touched[port][k].target
            w.together_weights[k] = w.sums[j]
            largest = max(largest, fabs(w.sums[j]))
        if n and not careful:
            status = kick_many(e, q, p, w, w.together_targets, w.together_weights, 0.0, largest, n, port, NULL,
                               w.touched[port])
            if status != RUNNING:
                return status
            continue
        status = note_kicks(e, p, w.together_targets, n)
        if status != RUNNING:
            return status
        for k in range(n):
            sum = &w.touched[port][k]
            status = kick_alone(e, q, p, w, row(p, sum.target), sum.target, w.together_weights[k], port, sum.route,
                                sum.place, careful)
            if status != RUNNING:
                return status
    return RUNNING


cdef Status settle_instant(State *e, Window *q, Population *p, Part *w) noexcept nogil:
    """Those that were driven to threshold now, or have become due, fire."""
    cdef count_t k
    cdef neuron_t i
    cdef Pair due
    cdef Status status
    for k in range(e.looked.size):
        i = e.looked.items[k]
        due = soon(e, q, p, i)
        if not before(e.now, due):
            if not append(&e.driven, i):
                return NO_MEMORY
        elif before(due, q.edge) and not window_push(q, window_key(q, due, e.H), i):
            return NO_MEMORY
    e.looked.size = 0
    for k in range(e.driven.size):
        i = e.driven.items[k]
        if w.has_fired[i - w.first]:
            continue
        w.has_fired[i - w.first] = True
        status = spike(e, p, w, i)
        if status == RUNNING:
            status = await_next(e, q, p, w, i, &due)
        if status != RUNNING:
            return status
    for k in range(e.driven.size):
        w.has_fired[e.driven.items[k] - w.first] = False
    e.driven.size = 0
    return RUNNING


include "sparseprop/engine/_population_moments.pxi"


cdef Status advance(State *e, Window *q, Population *p, Part *w) noexcept nogil:
    """Some neurons through a slice, up to the first fault of one."""
    cdef int64_t j = 0, k = 0, rows, kicks
    cdef count_t f
    cdef double s, near = e.margin + 2.0 * tape_reach(e.tape, e.tolerance)
    cdef bint careful, forced = False
    cdef Arrived one
    cdef const RowPart *one_row
    cdef Ahead ahead
    cdef Status status = RUNNING
    q.size = 0
    q.first_epoch = w.begin.n
    e.driven.size = e.looked.size = 0
    w.last_spike = -INFINITY
    ahead.n = 0
    be_at(e, w, w.begin.s)
    if p.oscillates:
        status = look_around(e, q, p, w)
    for f in range(w.n_forced):
        if p.first + w.first <= w.forced[f] < p.first + w.first + w.size:
            forced = True
            if not append(&e.driven, w.forced[f] - p.first):
                return NO_MEMORY
    while status == RUNNING:
        s = INFINITY
        if j < w.n_rows:
            s = w.rows[j].s
        if k < w.n_kicks:
            s = min(s, w.kicks[k].s)
        if forced:
            s = w.begin.s
        if q.size and q.entries[0].key < min(s, w.stop) + e.margin:
            status = fire_alone(e, q, p, w, min(s, w.stop))
            if status != RUNNING:
                return status
        if s == INFINITY or w.fault.kind:
            return RUNNING
        if goes_singly(e, q, p, w, j, k, forced, near):
            kicks = k
            status = kick_singly(e, q, p, w, &ahead, &k, singly_until(q, w, j, near))
            if status == RUNNING and e.looked.size:
                status = settle_instant(e, q, p, w)
            if k > kicks:
                continue
        be_at(e, w, s)
        rows, kicks = j, k
        while j < w.n_rows and w.rows[j].s == s:
            j += 1
        while k < w.n_kicks and w.kicks[k].s == s:
            k += 1
        rows, kicks = j - rows, k - kicks
        careful = (
            forced or (q.size > 0 and q.entries[0].key <= s + near) or s - w.last_spike <= 2.0 * e.tolerance
            or (w.n_recent > 0 and s - w.begin.s <= 2.0 * e.tolerance)
        )
        if rows == 0 and kicks == 1:
            one = all_of(w, &w.kicks[k - 1])
            status = note_kicks(e, p, &one.target, 1)
            if status == RUNNING:
                status = kick_alone(e, q, p, w, row(p, one.target), one.target, one.weight, w.routes[one.route].port,
                                    &w.routes[one.route], one.place, careful)
        elif rows == 1 and kicks == 0 and not careful and not is_repeated(&w.rows[j - 1]):
            one_row = &w.rows[j - 1]
            status = kick_many(e, q, p, w, one_row.targets, one_row.weights, one_row.weight, one_row.largest,
                               one_row.count, one_row.port, &w.routes[one_row.route], NULL)
        else:
            status = take_together(e, q, p, w, w.rows + j - rows, rows, w.kicks + k - kicks, kicks, careful)
        forced = False
        if status == RUNNING and (e.looked.size or e.driven.size):
            status = settle_instant(e, q, p, w)
        if w.fault.kind:
            return RUNNING
    return status
