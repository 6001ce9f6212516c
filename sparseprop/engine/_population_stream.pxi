# Equal neurons whose kicks only add up (`adds_up`) through a slice: a kick is a subtraction and a comparison. Included
# by the unit of a kind `Model`, after _population_lookahead.pxi: what is rare takes that way, the way of all neurons.
#
# `stream` takes what arrives in the order of time, for neurons that do not fire by themselves. Refractory ones are not
# reached by any kick: their x is infinite, and what it will be waits in a list. `advance_lists` takes a list
# for each neuron, eight lists side by side.

from sparseprop.engine._slice cimport Away, Lists
from sparseprop.numerics._constants cimport LARGEST_KICK
from sparseprop.numerics._elementary cimport exp_many
from sparseprop.numerics._frames cimport growth_at
from sparseprop.numerics._lanes cimport (
    LANES, SLOTS, Group, KicksOf, add_row, kick_lanes, kick_sums, prepare, sort_lanes, tied_lanes,
)

cdef enum:
    # Kicks whose numbers are made at a time.
    CHUNK = 256


# Kicks from the `first` one on, `n` of them: what each takes from x, and the x up to which it drives a neuron.
cdef struct Chunk:
    int64_t first
    int64_t n
    bint is_tied                # whether two have one time
    double s[CHUNK + 1]
    double step[CHUNK]
    double bound[CHUNK]


cdef inline void fill_chunk(Chunk *c, const Part *w, const Frame *f, double gap, int64_t first) noexcept nogil:
    cdef int64_t k
    cdef double weight, E
    c.first, c.n = first, min(<int64_t> CHUNK, w.n_kicks - first)
    c.is_tied = False
    for k in range(c.n):
        c.s[k] = w.kicks[first + k].s
        c.step[k] = c.s[k] / f.scale
    c.s[c.n] = w.kicks[first + c.n].s if first + c.n < w.n_kicks else INFINITY
    for k in range(c.n):
        c.is_tied |= c.s[k] == c.s[k + 1]
    exp_many(c.step, c.step, c.n)
    for k in range(c.n):
        weight = weight_of(w, &w.kicks[first + k])
        E = f.start * c.step[k]
        c.step[k] = weight * E
        c.bound[k] = gap * E if weight > 0.0 else -INFINITY


cdef bint is_plain(const State *e, const Population *p, const Part *w) noexcept nogil:
    """Whether kicks of these neurons in this slice are no more than subtractions."""
    cdef const Model *m = <const Model *> p.rows
    if not adds_up(m) or p.heterogeneous or e.tape != NULL or w.n_forced or w.changed:
        return False
    # No sum of kicks of this size leaves the range of a state.
    return w.largest * growth_at(&p.frames[m.frame], p.epoch, w.end) < LARGEST_KICK


cdef inline bint send_away(Population *p, Part *w, neuron_t i) noexcept nogil:
    """Put a refractory neuron out of reach until its release; False if there is no memory."""
    cdef Pair release = p.release[i]
    cdef count_t k = w.n_away
    cdef Away entry
    entry.s = release.s if release.n == w.begin.n else INFINITY
    entry.x, entry.neuron = p.x[i], i
    if not grow(<void **> &w.away, &w.away_capacity, w.n_away + 1, sizeof(Away)):
        return False
    while k > w.first_away and w.away[k - 1].s > entry.s:
        w.away[k] = w.away[k - 1]
        k -= 1
    w.away[k] = entry
    w.n_away += 1
    p.x[i] = INFINITY
    return True


cdef inline void come_back(Population *p, Part *w, double s) noexcept nogil:
    """Those that are released by now."""
    while w.first_away < w.n_away and w.away[w.first_away].s <= s:
        p.x[w.away[w.first_away].neuron] = w.away[w.first_away].x
        clear_bit(p.waiting, w.away[w.first_away].neuron)
        w.first_away += 1


cdef inline Status fire_driven(State *e, Population *p, Part *w) noexcept nogil:
    """Those that were driven to threshold now fire."""
    cdef count_t k
    cdef neuron_t i
    cdef Status status
    for k in range(e.driven.size):
        i = e.driven.items[k]
        if w.has_fired[i - w.first]:
            continue
        w.has_fired[i - w.first] = True
        status = spike(e, p, w, i)
        if status != RUNNING:
            return status
        if p.release != NULL and before(e.now, p.release[i]) and not send_away(p, w, i):
            return NO_MEMORY
    for k in range(e.driven.size):
        w.has_fired[e.driven.items[k] - w.first] = False
    e.driven.size = 0
    return RUNNING


cdef inline Status kick_streamed(State *e, Window *q, Population *p, Part *w, const RowPart *r) noexcept nogil:
    """Kick the targets of a row, all of them different."""
    cdef const Model *m = <const Model *> p.rows
    cdef Neurons all
    cdef int64_t k, n, held
    if not reserve(&e.found, r.count + 1) or not reserve(&e.held, r.count):
        return NO_MEMORY
    all = neurons_now(e, q, p)
    all.waiting = NULL
    n = kick_row(m, &all, r.targets, r.weights, r.weight, r.largest, r.count, r.port, e.found.items, e.held.items,
                 &held)
    for k in range(n):
        if not append(&e.driven, e.found.items[k]):
            return NO_MEMORY
    return RUNNING


cdef inline Status kick_rows(State *e, Population *p, Part *w, const RowPart *rows, int64_t n_rows) noexcept nogil:
    """One kick for each neuron that several rows reach now, all of them in the order in which weights are added."""
    cdef const Model *m = <const Model *> p.rows
    cdef const RowPart *r
    cdef int64_t k, n = 0
    cdef double E = frame_now(e, p, m).E
    if not reserve(&e.found, w.size + 1):
        return NO_MEMORY
    for k in range(n_rows):
        r = &rows[k]
        n = add_row(w.sums, w.has_sum, w.together_targets, n, r.targets, r.weights, r.weight, r.count, w.first)
    n = kick_sums(p.x + w.first, w.sums, w.has_sum, w.together_targets, n, E, gap_of(m) * E, e.found.items)
    for k in range(n):
        if not append(&e.driven, w.first + e.found.items[k]):
            return NO_MEMORY
    return RUNNING


cdef Status stream(State *e, Window *q, Population *p, Part *w) noexcept nogil:
    """Some neurons through a slice; see `can_stream`."""
    cdef const Model *m = <const Model *> p.rows
    cdef const Frame *f = &p.frames[m.frame]
    cdef int64_t j = 0, k = 0, rows, kicks, at, n
    cdef neuron_t i
    cdef double s, limit, x, since, near = 2.0 * e.tolerance, gap = gap_of(m)
    cdef double *states = p.x + w.first
    cdef Chunk c
    cdef Status status = RUNNING
    q.size = 0
    q.first_epoch = w.begin.n
    e.driven.size = e.looked.size = 0
    w.last_spike = since = w.begin.s if w.n_recent else -INFINITY
    c.first = c.n = 0
    w.first_away = w.n_away = 0
    be_at(e, w, w.begin.s)
    for at in range(w.size if p.release != NULL else 0):
        i = w.first + <neuron_t> at
        if at & 7 == 0 and p.waiting[i >> 3] == 0 and i & 7 == 0:
            continue
        if get_bit(p.waiting, i):
            if before(e.now, p.release[i]):
                if not send_away(p, w, i):
                    return NO_MEMORY
            else:
                clear_bit(p.waiting, i)
    while status == RUNNING:
        limit = w.rows[j].s if j < w.n_rows else INFINITY
        s = min(limit, w.kicks[k].s if k < w.n_kicks else INFINITY)
        if s == INFINITY:
            break
        come_back(p, w, s)
        if w.first_away < w.n_away:
            limit = min(limit, w.away[w.first_away].s)
        if k < w.n_kicks:
            if not k - c.first < c.n:
                fill_chunk(&c, w, f, gap, k)
            at = n = k - c.first
            while n < c.n and c.s[n] < limit and not (c.is_tied and c.s[n] == c.s[n + 1]):
                n += 1
            if at < n and not c.s[at] - w.last_spike <= near:
                while at < n:
                    i = w.kicks[c.first + at].target
                    x = states[i] - c.step[at]
                    states[i] = x
                    at += 1
                    if x <= c.bound[at - 1]:
                        be_at(e, w, c.s[at - 1])
                        status = fire_driven(e, p, w) if append(&e.driven, w.first + i) else NO_MEMORY
                        break
                k = c.first + at
                continue
        s = min(w.rows[j].s if j < w.n_rows else INFINITY, w.kicks[k].s if k < w.n_kicks else INFINITY)
        be_at(e, w, s)
        rows, kicks = j, k
        while j < w.n_rows and w.rows[j].s == s:
            j += 1
        while k < w.n_kicks and w.kicks[k].s == s:
            k += 1
        rows, kicks = j - rows, k - kicks
        if rows == 1 and kicks == 0 and not is_repeated(&w.rows[j - 1]) and not s - w.last_spike <= near:
            status = kick_streamed(e, q, p, w, &w.rows[j - 1])
        elif kicks == 0 and not s - w.last_spike <= near and is_in_order(w, w.rows + j - rows, rows, NULL, 0):
            status = kick_rows(e, p, w, w.rows + j - rows, rows)
        else:
            status = take_together(e, q, p, w, w.rows + j - rows, rows, w.kicks + k - kicks, kicks,
                                   s - w.last_spike <= near)
        if status == RUNNING and e.driven.size:
            status = fire_driven(e, p, w)
        if w.fault.kind:
            break
    for at in range(w.first_away, w.n_away):
        p.x[w.away[at].neuron] = w.away[at].x
    return status


cdef Status go(State *e, Window *q, Population *p, Part *w) noexcept nogil:
    """Some neurons through a slice, up to the first fault of one."""
    if adds_up(<const Model *> p.rows) and not p.oscillates and not w.is_part and is_plain(e, p, w):
        return stream(e, q, p, w)
    return advance(e, q, p, w)


OPS.advance = go


# Lists ----------------------------------------------------------------------------------------------------------------

cdef inline void choose(Part *w, neuron_t i) noexcept nogil:
    """Neuron i takes the way of all neurons."""
    if not w.is_chosen[i - w.first]:
        w.is_chosen[i - w.first] = True
        w.chosen[w.n_chosen] = i
        w.n_chosen += 1


cdef inline double released(const Population *p, const Part *w, neuron_t i) noexcept nogil:
    """The s of neuron i's release."""
    if p.release == NULL or p.release[i].n < w.begin.n:
        return -INFINITY
    return p.release[i].s if p.release[i].n == w.begin.n else INFINITY


cdef Status take_list(State *e, Population *p, Part *w, const Group *g, const double *times, int64_t lane, neuron_t i,
                      double release) noexcept nogil:
    """One neuron through the slice, that is refractory or driven to threshold."""
    cdef double x = p.x[i], t, fired = -INFINITY
    cdef int64_t k, at
    cdef Status status
    for k in range(w.lists.counts[i - w.first]):
        at = (g.keys[LANES * k + lane] & (SLOTS - 1)) * LANES + lane
        t = times[at]
        w.n_close += t - fired <= e.tolerance
        if t < release:
            continue
        x -= g.steps[at]
        if g.steps[at] > 0.0 and x <= g.bounds[at]:
            if p.oscillates:
                choose(w, i)
                return RUNNING
            p.x[i] = x
            be_at(e, w, t)
            status = spike(e, p, w, i)
            if status != RUNNING:
                return status
            x, fired, release = p.x[i], t, released(p, w, i)
    p.x[i] = x
    return RUNNING


cdef Status advance_lists(State *e, Window *q, Population *p, Part *w) noexcept nogil:
    """All that happens to some neurons in the slice but to those that are then chosen for `advance`."""
    cdef const Model *m = <const Model *> p.rows
    cdef const Frame *f = &p.frames[m.frame]
    cdef const Lists *a = &w.lists
    cdef Group g
    cdef KicksOf kicks
    cdef int64_t first, lane, n, k, n_slots
    cdef uint32_t hit, tied
    cdef neuron_t i
    cdef double gap = gap_of(m), release
    cdef Status status = RUNNING
    q.first_epoch = w.begin.n
    be_at(e, w, w.begin.s)
    kicks.begin, kicks.stop = w.begin.s, w.stop
    # An instant at 0 is shorter than any number.
    kicks.scale = 33554431.0 / (w.stop - w.begin.s) if w.stop - w.begin.s > 1e-300 else 0.0
    kicks.tau, kicks.start = f.scale, f.start
    kicks.gap, kicks.least = gap, gap * f.edge_E if gap > 0.0 else -INFINITY
    kicks.weights, kicks.n_kinds = a.weights, a.n_kinds
    for k in range(w.n_recent):
        if p.first + w.first <= w.recent[k].neuron < p.first + w.first + w.size:
            choose(w, w.recent[k].neuron - p.first)
    for k in range(w.size if p.oscillates else 0):
        if fires_before_edge(e, q, p, w.first + <neuron_t> k):
            choose(w, w.first + <neuron_t> k)
    for k in range((w.size + LANES - 1) // LANES):
        first = k * LANES
        n_slots = 0
        for lane in range(LANES):
            n_slots = max(n_slots, <int64_t> a.counts[first + lane])
        if n_slots == 0:
            continue
        n = min(<int64_t> LANES, w.size - first)
        if n_slots > a.stride:
            for lane in range(n):
                choose(w, w.first + <neuron_t> (first + lane))
            continue
        for lane in range(LANES):
            g.x[lane] = p.x[w.first + first + lane] if lane < n else INFINITY
        prepare(&g, a.times + first * a.stride, a.kinds + first * a.stride,
                a.own + first * a.stride if a.own != NULL else NULL, a.counts + first, n_slots, &kicks)
        sort_lanes(&g, n_slots)
        tied = tied_lanes(&g, n_slots)
        hit = kick_lanes(&g, n_slots)
        for lane in range(n):
            i = w.first + <neuron_t> (first + lane)
            if a.counts[first + lane] == 0 or w.is_chosen[first + lane]:
                continue
            release = -INFINITY
            if p.release != NULL and get_bit(p.waiting, i):
                release = released(p, w, i)
                if release >= w.stop:
                    continue
            if (tied >> lane) & 1:
                choose(w, i)
            elif release > w.begin.s or (hit >> lane) & 1:
                status = take_list(e, p, w, &g, a.times + first * a.stride, lane, i, release)
                if status != RUNNING:
                    return status
            else:
                p.x[i] = g.x[lane]
    return RUNNING


if adds_up(NULL):  # known to the compiler, which leaves all of this out of the other kinds
    OPS.takes_lists = is_plain
    OPS.advance_lists = advance_lists
