# Some neurons of a kind `Model` back through a slice of time, each on its own: instant after instant, the latest first.
# Included by the unit of that kind, after _population_back.pxi. Within an instant everything is in the order of
# engine/_backward.pyx: spikes, and then what had arrived.

from libc.stdint cimport uint32_t

from sparseprop.engine._pass cimport SEVERAL_CAUSES, AT_A_STEP
from sparseprop.engine._slice_back cimport (
    BY_DRIVE, FIRED, WAS_CLOSE, KickBack, MarkBack, PartBack, RowBack, WayBack,
)
from sparseprop.engine._state cimport Process, Projection
from sparseprop.engine._tape cimport Entry
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport count_t


# What a kick goes by.
cdef struct Came:
    int64_t projection          # or -1
    int64_t port
    neuron_t source             # global id, or -1
    count_t entry
    double weight
    double *by_weight           # its own place, or NULL
    double *by_delay
    double *given               # what the synapses of the way give, or NULL
    double *sum                 # of dL/d(weight) of all events of the drive that reach the target


cdef inline void be_back_at(Pass *b, const PartBack *w, double s) noexcept nogil:
    b.e.now.n, b.e.now.s = w.epoch, s
    b.e.instant += 1
    b.t = since_start(b, b.e.now)


cdef inline void came_by(Pass *b, const PartBack *w, const KickBack *kick, Came *c) noexcept nogil:
    """All that there is to say of a kick."""
    cdef const WayBack *way
    cdef const Projection *projection
    cdef const Process *process
    cdef const Entry *entry
    cdef int64_t number, place
    if kick.way == BY_DRIVE:
        entry = &b.tape.entries[w.first_entry + kick.place]
        number = entry.process_low + 256 * <int64_t> entry.process_high
        process = &b.e.processes[number]
        c.projection, c.port, c.source, c.entry = -1, process.port, -1, w.first_entry + kick.place
        c.weight = process.weights[kick.target] if process.weights != NULL else process.weight
        c.by_weight = b.by_drive[number] + kick.target if b.by_drive[number] != NULL else NULL
        c.by_delay = c.given = NULL
        c.sum = w.by_process[number] + kick.target
        return
    way = &w.ways[kick.way]
    projection = &b.e.projections[way.projection]
    c.projection, c.port, c.entry = way.projection, projection.port, way.entry
    c.source = b.tape.entries[way.entry].neuron
    c.weight = projection.weight
    if projection.weights != NULL:
        c.weight = projection.weights[way.at + kick.place]
    place = way.at + kick.place
    if projection.places != NULL:
        place = projection.offsets[way.source] + projection.places[place]
    c.by_weight = b.by_weight[way.projection] + place if b.by_weight[way.projection] != NULL else NULL
    c.by_delay = b.by_delay[way.projection] + place if b.by_delay[way.projection] != NULL else NULL
    c.given = w.by_way + 2 * <int64_t> kick.way if way.open < 0 else w.by_open + 2 * way.open
    c.sum = NULL


cdef inline void give_to(const Population *p, PartBack *w, const Came *c, neuron_t i, double of_weight,
                         double of_time) noexcept nogil:
    """Add what a kick gives to everything."""
    if c.by_weight != NULL:
        c.by_weight[0] += of_weight
    if c.by_delay != NULL:
        c.by_delay[0] += of_time
    if c.given != NULL:
        c.given[0] += of_time
        c.given[1] += of_weight
    else:
        c.sum[0] += of_weight
        w.shift[p.first + i] += of_time


cdef inline Status look_for_cause(Pass *b, PartBack *w, neuron_t g, neuron_t i, const Came *c,
                                  double *of_time) noexcept nogil:
    """A kick of neuron i, which may have been driven by it; as `look_at_target`."""
    if c.weight > 0.0 and get_bit(b.is_waiting, g):
        if isnan(b.waiting[g]):
            if w.cause[i - w.first] != c.entry and not find(b, SEVERAL_CAUSES, g, c.source):
                return NO_MEMORY
        else:
            of_time[0] += b.waiting[g]
            b.waiting[g] = NAN
            w.cause[i - w.first] = c.entry
    return RUNNING


cdef inline bint swaps(const Pass *b, neuron_t g) noexcept nogil:
    """Whether neuron g fires now or nearly, by itself."""
    return get_bit(b.is_close, g) or (get_bit(b.is_near, g) and not get_bit(b.is_waiting, g))


cdef inline Status kick_alone_back(Pass *b, Population *p, PartBack *w, const KickBack *kick,
                                   bint crowded) noexcept nogil:
    """One kick."""
    cdef neuron_t i = kick.target, g = p.first + kick.target
    cdef const Model *m = row(p, i)
    cdef double *y = adjoint_of(b, p, i)
    cdef double of_weight = 0.0, of_time = 0.0, v = 0.0
    cdef const Frame *f
    cdef When now
    cdef Came c
    cdef bint dropped = False
    came_by(b, w, kick, &c)
    if has_currents(m):
        pass_release(b, p, m, y, i)
    elif notes_states(m):
        v = pop_kept(b, g)
        if isnan(v):
            give_to(p, w, &c, i, 0.0, 0.0)
            return RUNNING
    elif p.release != NULL:
        dropped = before(b.e.now, p.release[i])
    if not dropped:
        f = frame_back(b.e, p, m)
        now = now_of(b, m, f)
        kick_back(m, y, b.wide, f, &now, v, c.weight, c.port, &of_weight, &of_time)
        of_time *= c.weight
        if not has_currents(m) and b.driven.size and look_for_cause(b, w, g, i, &c, &of_time) != RUNNING:
            return NO_MEMORY
    if crowded and (dropped or jumps_at_spikes(m, c.weight)) and swaps(b, g) and not find(b, ORDER_SWAP, g, c.source):
        return NO_MEMORY
    give_to(p, w, &c, i, of_weight, of_time)
    return RUNNING


cdef inline Status kicks_together_back(Pass *b, Population *p, PartBack *w, const KickBack *kicks, int64_t n,
                                       bint crowded) noexcept nogil:
    """All kicks of an instant, of neurons whose state they change: one kick of each target, by the sum."""
    cdef int64_t k, at
    cdef neuron_t i, g
    cdef const Model *m
    cdef const Frame *f
    cdef double v, of_time
    cdef When now
    cdef Came c
    for k in range(n):
        came_by(b, w, &kicks[k], &c)
        at = kicks[k].target - w.first
        if w.seen[at] != -b.e.instant:
            w.seen[at] = -b.e.instant
            w.sum[at] = c.weight
        else:
            w.sum[at] += c.weight
    for k in range(n):
        i = kicks[k].target
        at = i - w.first
        g = p.first + i
        came_by(b, w, &kicks[k], &c)
        if w.seen[at] == -b.e.instant:
            w.seen[at] = b.e.instant
            v = pop_kept(b, g)
            w.of_weight[at] = w.of_time[at] = 0.0
            if not isnan(v):
                m = row(p, i)
                f = frame_back(b.e, p, m)
                now = now_of(b, m, f)
                kick_back(m, adjoint_of(b, p, i), b.wide, f, &now, v, w.sum[at], 0, &w.of_weight[at], &w.of_time[at])
        of_time = c.weight * w.of_time[at]
        if b.driven.size and look_for_cause(b, w, g, i, &c, &of_time) != RUNNING:
            return NO_MEMORY
        if crowded and jumps_at_spikes(row(p, i), c.weight) and swaps(b, g) and not find(b, ORDER_SWAP, g, c.source):
            return NO_MEMORY
        give_to(p, w, &c, i, w.of_weight[at], of_time)
    return RUNNING


cdef enum:
    AHEAD = 16      # synapses ahead that memory is asked for


cdef inline void ask_for_row(const Pass *b, const Population *p, const PartBack *w, int64_t k) noexcept nogil:
    """Ask for what a row a little after the k-th will read first: all are known."""
    cdef int64_t j, place
    cdef const WayBack *way
    cdef const neuron_t *targets
    k += 1 + 2 * AHEAD // w.rows[k].count
    if k >= w.n_rows:
        return
    way = &w.ways[w.rows[k].way]
    place = way.at + w.rows[k].begin
    targets = b.e.projections[way.projection].targets + place
    for j in range(min(w.rows[k].count, <int64_t> AHEAD)):
        prefetch(adjoint_of(b, p, targets[j]), 1)
        if notes_states(<const Model *> p.rows):
            prefetch(&b.n_kept[p.first + targets[j]], 1)
    if b.by_weight[way.projection] != NULL:
        prefetch(b.by_weight[way.projection] + place, min(w.rows[k].count, <int64_t> 2 * AHEAD) * sizeof(double))


cdef inline void ask_for_kick(const Pass *b, const Population *p, const PartBack *w, int64_t k) noexcept nogil:
    """The same for the k-th kick."""
    cdef const KickBack *kick
    cdef const WayBack *way
    cdef const Projection *c
    cdef int64_t place
    if k < w.n_kicks:
        kick = &w.kicks[k]
        prefetch(adjoint_of(b, p, kick.target), 1)
        if notes_states(<const Model *> p.rows):
            prefetch(&b.n_kept[p.first + kick.target], 1)
        if kick.way != BY_DRIVE:
            way = &w.ways[kick.way]
            c = &b.e.projections[way.projection]
            if c.places != NULL:
                prefetch(c.places + way.at + kick.place, 1)
            if c.weights != NULL:
                prefetch(c.weights + way.at + kick.place, 1)
    if 6 <= k < w.n_kicks + 6:
        kick = &w.kicks[k - 6]
        if notes_states(<const Model *> p.rows):
            prefetch(&b.kept[b.n_kept[p.first + kick.target] - 1], 1)
        if kick.way != BY_DRIVE:
            way = &w.ways[kick.way]
            c = &b.e.projections[way.projection]
            place = way.at + kick.place
            if c.places != NULL:
                place = c.offsets[way.source] + c.places[place]
            if b.by_weight[way.projection] != NULL:
                prefetch(b.by_weight[way.projection] + place, 1)
            if b.by_delay[way.projection] != NULL:
                prefetch(b.by_delay[way.projection] + place, 1)


cdef Status row_alone_back(Pass *b, Population *p, const PartBack *w, const RowBack *r) noexcept nogil:
    """A part of a row that reaches equal neurons, nobody twice, while nothing else happens."""
    cdef const WayBack *way = &w.ways[r.way]
    cdef const Projection *c = &b.e.projections[way.projection]
    cdef const Model *m = <const Model *> p.rows
    cdef const neuron_t *targets = c.targets + way.at + r.begin
    cdef const double *weights = c.weights + way.at + r.begin if c.weights != NULL else NULL
    cdef double *by_weight = b.by_weight[way.projection]
    cdef double *by_delay = b.by_delay[way.projection]
    cdef double *y = b.y[p - b.e.populations]
    cdef int64_t width = b.widths[p - b.e.populations], k, count = r.count, port = c.port
    cdef bint wide = b.wide
    cdef const Frame *f = frame_back(b.e, p, m)
    cdef When now = now_of(b, m, f)
    cdef double weight = c.weight, v = 0.0, of_weight, of_time, total = 0.0, weight_total = 0.0
    cdef neuron_t i
    if by_weight != NULL:
        by_weight += way.at + r.begin
    if by_delay != NULL:
        by_delay += way.at + r.begin
    for k in range(count):
        i = targets[k]
        if k + AHEAD < count:
            prefetch(y + width * targets[k + AHEAD], 1)
            if notes_states(m):
                prefetch(&b.n_kept[p.first + targets[k + AHEAD]], 1)
        if notes_states(m) and k + AHEAD // 2 < count:
            prefetch(&b.kept[b.n_kept[p.first + targets[k + AHEAD // 2]] - 1], 1)
        if weights != NULL:
            weight = weights[k]
        if has_currents(m):
            pass_release(b, p, m, y + width * i, i)
        elif notes_states(m):
            v = pop_kept(b, p.first + i)
            if isnan(v):
                continue
        elif p.release != NULL and before(b.e.now, p.release[i]):
            continue
        kick_back(m, y + width * i, wide, f, &now, v, weight, port, &of_weight, &of_time)
        of_time *= weight
        total += of_time
        weight_total += of_weight
        if by_weight != NULL:
            by_weight[k] += of_weight
        if by_delay != NULL:
            by_delay[k] += of_time
    w.by_way[2 * r.way], w.by_way[2 * r.way + 1] = total, weight_total
    return RUNNING


cdef inline bint meets(Pass *b, PartBack *w, neuron_t i, count_t origin) noexcept nogil:
    """Whether something else has reached neuron i in this instant, or it fires by itself."""
    cdef int64_t at = i - w.first
    if w.seen[at] != b.e.instant:
        w.seen[at] = b.e.instant
        w.origin[at] = origin
        return False
    return w.origin[at] != origin


cdef inline count_t entry_of(const PartBack *w, const KickBack *kick) noexcept nogil:
    return w.first_entry + kick.place if kick.way == BY_DRIVE else w.ways[kick.way].entry


cdef inline bint comes_before(const PartBack *w, const KickBack *kick, const WayBack *way) noexcept nogil:
    """Whether a kick is gone through before a row of the same instant."""
    cdef count_t entry = entry_of(w, kick)
    return entry > way.entry or (entry == way.entry and w.ways[kick.way].projection < way.projection)


cdef Status instant_together_back(Pass *b, Population *p, PartBack *w, const RowBack *rows, int64_t n_rows,
                                  const KickBack *kicks, int64_t n_kicks, bint crowded) noexcept nogil:
    """All that arrives in an instant, target by target."""
    cdef const Model *m = <const Model *> p.rows
    cdef const WayBack *way
    cdef KickBack *all
    cdef int64_t j, k, at = 0, n = n_kicks
    cdef Status status
    for j in range(n_rows):
        n += rows[j].count
    if not grow(<void **> &w.together, &w.together_capacity, n, sizeof(KickBack)):
        return NO_MEMORY
    all = w.together
    # By entry and projection, as both are.
    n = 0
    for j in range(n_rows):
        way = &w.ways[rows[j].way]
        while at < n_kicks and comes_before(w, &kicks[at], way):
            all[n] = kicks[at]
            at += 1
            n += 1
        for k in range(rows[j].count):
            all[n].s, all[n].way, all[n].place = rows[j].s, <uint32_t> rows[j].way, <uint32_t> (rows[j].begin + k)
            all[n].target = b.e.projections[way.projection].targets[way.at + rows[j].begin + k]
            n += 1
    for k in range(at, n_kicks):
        all[n] = kicks[k]
        n += 1
    for k in range(n):
        w.n_ties += meets(b, w, all[k].target, entry_of(w, &all[k]))
    if notes_states(m):
        return kicks_together_back(b, p, w, all, n, crowded)
    for k in range(n):
        status = kick_alone_back(b, p, w, &all[k], crowded)
        if status != RUNNING:
            return status
    return RUNNING


cdef inline Status mark_back(Pass *b, Population *p, PartBack *w, const MarkBack *mark) noexcept nogil:
    """A spike, or somebody who was about to fire."""
    cdef neuron_t g = p.first + mark.neuron
    cdef Status status
    if mark.kind == WAS_CLOSE:
        set_bit(b.is_close, g)
        if mark.driven:
            meets(b, w, mark.neuron, -1)
        return RUNNING
    if not mark.driven:
        meets(b, w, mark.neuron, mark.entry)
    b.tape.n_releases, b.tape.n_currents = mark.n_releases, mark.n_currents
    status = spike_back(b, p, mark.neuron, mark.driven, &b.by_time[mark.entry])
    if b.shift_size != 0.0:
        w.shift[g] += b.shift
        w.shift_size[g] += b.shift_size
        b.shift = b.shift_size = 0.0
    return status


cdef inline Status end_instant_back(Pass *b, PartBack *w) noexcept nogil:
    """Who still waits for a cause was due when its parameters changed."""
    cdef count_t k
    cdef neuron_t g
    for k in range(b.driven.size):
        g = b.driven.items[k]
        clear_bit(b.is_waiting, g)
        if not isnan(b.waiting[g]):
            w.shift[g] += b.waiting[g]
            w.shift_size[g] += fabs(b.waiting[g])
            if not find(b, AT_A_STEP, g, -1):
                return NO_MEMORY
    b.driven.size = 0
    return RUNNING


cdef Status go_back_through(Pass *b, Population *p, PartBack *w) noexcept nogil:
    """Some neurons back through a slice."""
    cdef int64_t row_at = 0, kick = 0, mark = 0, rows, kicks, marks, low = 0, high = 0, n_near = 0
    cdef double s
    cdef bint crowded, plain
    cdef Status status
    while True:
        while mark < w.n_marks and w.marks[mark].kind != FIRED and w.marks[mark].kind != WAS_CLOSE:
            mark += 1
        s = -INFINITY
        if row_at < w.n_rows:
            s = w.rows[row_at].s
        if kick < w.n_kicks:
            s = max(s, w.kicks[kick].s)
        if mark < w.n_marks:
            s = max(s, w.marks[mark].s)
        if s == -INFINITY:
            break
        be_back_at(b, w, s)
        if row_at < w.n_rows and w.rows[row_at].s == s:
            ask_for_row(b, p, w, row_at)
        if kick < w.n_kicks and w.kicks[kick].s == s:
            ask_for_kick(b, p, w, kick + 12)
        # Who fires within `near`.
        while low < w.n_marks and w.marks[low].s >= s - b.near:
            if w.marks[low].kind != WAS_CLOSE:
                set_bit(b.is_near, p.first + w.marks[low].neuron)
                n_near += 1
            low += 1
        while high < low and w.marks[high].s > s + b.near:
            if w.marks[high].kind != WAS_CLOSE:
                clear_bit(b.is_near, p.first + w.marks[high].neuron)
                n_near -= 1
            high += 1
        crowded = n_near > 0
        rows, kicks, marks = row_at, kick, mark
        while mark < w.n_marks and w.marks[mark].s == s:
            if w.marks[mark].kind == FIRED or w.marks[mark].kind == WAS_CLOSE:
                crowded = crowded or w.marks[mark].kind == WAS_CLOSE
                status = mark_back(b, p, w, &w.marks[mark])
                if status != RUNNING:
                    return status
            mark += 1
        while row_at < w.n_rows and w.rows[row_at].s == s:
            row_at += 1
        while kick < w.n_kicks and w.kicks[kick].s == s:
            kick += 1
        plain = not crowded and b.driven.size == 0 and mark == marks
        if plain and row_at - rows == 1 and kick == kicks and not p.heterogeneous \
                and not b.e.projections[w.ways[w.rows[rows].way].projection].has_multapses:
            status = row_alone_back(b, p, w, &w.rows[rows])
        elif plain and row_at == rows and kick - kicks == 1:
            status = kick_alone_back(b, p, w, &w.kicks[kicks], False)
        elif row_at > rows or kick > kicks:
            status = instant_together_back(b, p, w, w.rows + rows, row_at - rows, w.kicks + kicks, kick - kicks,
                                           crowded)
        else:
            status = RUNNING
        if status == RUNNING and b.driven.size:
            status = end_instant_back(b, w)
        if status != RUNNING:
            return status
        while marks < mark:
            clear_bit(b.is_close, p.first + w.marks[marks].neuron)
            marks += 1
    while high < low:
        clear_bit(b.is_near, p.first + w.marks[high].neuron)
        high += 1
    return RUNNING


BACK.go_back_through = go_back_through
