"""What threads do in a slice: they go along rows, and take blocks of neurons through it.

First all rows of synapses along which something arrives are gone along, and each weight is put down for the block of
its target (but for those of which each block looks up its part by itself); then each block brings what it got into the
order of time, and its neurons advance.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sparseprop.engine._delivery cimport find_row
from sparseprop.engine._flights cimport draw_before, draw_interval, process_time
from sparseprop.engine._look cimport Block, Bucket, Flights, Look, Place, Thread, Way
from sparseprop.engine._lists cimport (
    begin_lists, order_kicks, put_down, put_down_one, put_events, put_in_lists, take_chosen,
)
from sparseprop.engine._pull cimport keep_spans, open_spans, pull_chosen, pull_into_lists, pull_kicks
from sparseprop.engine._slice cimport Kick, Lists, Part, RowPart, note_fault
from sparseprop.engine._slice_tape cimport begin_block_tape
from sparseprop.engine._state cimport NO_MEMORY, RUNNING, Cursor, Population, Process, Projection, State, Status
from sparseprop.engine._tape cimport EVENT, tape_note, tape_reach
from sparseprop.engine._team cimport take_next
from sparseprop.numerics._frames cimport Pair, before, enter_epoch, interval, place_edge, plus
from sparseprop.numerics._lanes cimport ask
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport MAX_PORTS, count_t, neuron_t, synapse_t


cdef enum:
    # Rows that a thread takes at a time.
    ROWS = 8


# Rows ---------------------------------------------------------------------------------------------------------------

cdef inline bint go_along(Look *L, Thread *t, const Way *way) noexcept nogil:
    """Put down all that arrives along a row in the slice; False if there is no memory."""
    cdef const State *e = &t.e
    cdef const Projection *c = &e.projections[way.projection]
    cdef Bucket *buckets = t.buckets + L.first_block[c.post]
    cdef Bucket *bucket
    cdef const neuron_t *targets
    cdef const double *weights
    cdef synapse_t k, count
    cdef double s, back, delay
    cdef Cursor *cursor
    cdef uint32_t number = way.number
    cdef int shift = L.shift
    cdef neuron_t within = (1 << shift) - 1
    if way.cursor < 0:
        count = find_row(e, c, way.source, &targets, &weights)
        for k in range(count):
            bucket = &buckets[targets[k] >> shift]
            if weights == NULL:
                if not put_down(bucket, targets[k] & within, way.s, number):
                    return False
            elif not put_down_one(bucket, targets[k] & within, way.s, weights[k], number, k):
                return False
        t.n_synaptic_events += count
        if count:
            t.last = max(t.last, way.s)
        return True
    cursor = &L.cursors[way.cursor]
    back = <double> (L.begin.n - cursor.emission.n) * e.H
    s = -1.0
    k = cursor.at
    while k < cursor.stop:
        # As by `plus`, if it arrives in this epoch; otherwise it is behind the end.
        delay = (cursor.emission.s + c.delays[k]) - back
        if not (delay < L.stop):
            break
        s = max(delay, L.begin.s)
        bucket = &buckets[c.targets[k] >> shift]
        if c.weights == NULL:
            if not put_down(bucket, c.targets[k] & within, s, number):
                return False
        elif not put_down_one(bucket, c.targets[k] & within, s, c.weights[k], number, c.places[k]):
            return False
        k += 1
    t.n_synaptic_events += k - cursor.at
    t.last = max(t.last, s)
    cursor.at = k
    return True


cdef inline void enter_slice(Look *L, Thread *t) noexcept nogil:
    """What a thread knows of the slice, once: the epoch and the edge of its frames."""
    cdef int64_t k, j
    cdef Population *p
    cdef double ahead
    if t.slice == L.slice:
        return
    t.slice = L.slice
    t.status = RUNNING
    t.fault.kind = 0
    # Behind the end by more than rounding moves a next spike.
    t.q.edge = plus(L.end, 4.0 * tape_reach(L.e.tape, L.e.tolerance) + 2.0 * L.e.margin, L.e.H)
    ahead = interval(L.begin, t.q.edge, L.e.H)
    for k in range(L.e.n_populations):
        p = &t.e.populations[k]
        for j in range(p.n_frames if p.epoch != L.begin.n else 0):
            enter_epoch(&p.frames[j], L.begin.n)
        p.epoch = L.begin.n
        for j in range(p.n_frames if p.oscillates else 0):
            place_edge(&p.frames[j], L.begin.n, t.q.edge, ahead, L.e.H)


cdef inline void ask_for_way(const Look *L, int64_t k, bint only_where) noexcept nogil:
    """Ask for what will be read first along a row; or only for where that is."""
    cdef const Projection *c
    cdef const Way *way
    cdef synapse_t at, stop
    cdef int64_t j
    if k >= L.n_ways:
        return
    way = &L.ways[k]
    c = &L.e.projections[way.projection]
    if way.cursor >= 0:
        if only_where:
            return
        at, stop = L.cursors[way.cursor].at, L.cursors[way.cursor].stop
        for j in range(0, min(stop - at, <synapse_t> 256), 8):
            ask(c.delays + at + j)
            ask(c.targets + at + j)
    elif not c.procedural:
        if only_where:
            ask(c.offsets + way.source)
            return
        at, stop = c.offsets[way.source], c.offsets[way.source + 1]
        for j in range(0, min(stop - at, <synapse_t> 256), 16):
            ask(c.targets + at + j)


cdef inline void take_ways(void *look, int member) noexcept nogil:
    """A thread's part of the rows, of which it puts down what arrives."""
    cdef Look *L = <Look *> look
    cdef Thread *t = &L.threads[member]
    cdef int64_t k
    cdef long long first
    if L.next_way >= L.n_ways:
        return
    enter_slice(L, t)
    t.rows_slice = L.slice
    t.n_synaptic_events = 0
    t.last = -1.0
    for k in range(L.n_blocks):
        t.buckets[k].size = t.buckets[k].n_extras = 0
    while True:
        first = take_next(&L.next_way, ROWS)
        if first >= L.n_ways:
            return
        for k in range(first, min(first + ROWS, <long long> L.n_ways)):
            ask_for_way(L, k + 4, True)
            ask_for_way(L, k + 1, False)
            if not go_along(L, t, &L.ways[k]):
                t.status = NO_MEMORY
                return


# Blocks -------------------------------------------------------------------------------------------------------------

cdef inline bint go_back(State *e, Process *c, const Place *place) noexcept nogil:
    """The place in an input where it was; False if there is no memory."""
    if c.poisson.k != place.k:
        c.poisson.k = place.k - 1
        if place.k < 0:
            c.poisson.k = -1
            c.poisson.n_events = 0
        elif not draw_interval(e, c):
            return False
    c.at = place.at
    return True


cdef inline bint take_drive(Look *L, Thread *t, Block *b, Process *c, uint32_t route,
                            const Lists *lists) noexcept nogil:
    """The events of a drive for a block in the slice, into lists or, if these are NULL, t.drives; False if there is no
    memory."""
    cdef Bucket *drives = &t.drives
    cdef const Population *p = &L.e.populations[b.population]
    cdef neuron_t begin_of_block = b.first + (p.first - p.origin)
    cdef count_t first = drives.size, n_events = 0, at, n
    cdef double begin, s, last = -1.0, stop = L.stop, unit = c.poisson.unit
    # Sums with the beginnings of intervals are exact, but where these are very short.
    cdef bint exact = L.e.H <= 1048576.0 * c.poisson.interval
    cdef const uint64_t *events
    cdef neuron_t i
    cdef Kick *kick
    cdef Pair time
    while True:
        if c.at == c.poisson.n_events:
            if not before(process_time(&t.e, c, c.at), L.end):
                break
            # Lists are sorted later.
            if not draw_before(&t.e, c, &L.end if exact and b.by_lists else NULL):
                return False
            continue
        begin = c.start.s - <double> (L.begin.n - c.start.n) * L.e.H
        if lists != NULL and exact:
            at = c.at
            c.at = put_events(L, lists, c, begin_of_block, begin, route, &last)
            n_events += c.at - at
            if c.at < c.poisson.n_events:
                break
            continue
        if not grow(<void **> &drives.kicks, &drives.capacity, drives.size + c.poisson.n_events - c.at, sizeof(Kick)):
            return False
        events, at, n = c.poisson.events, c.at, c.poisson.n_events
        while at < n:
            s = begin + <double> <int64_t> (events[at] >> 32) * unit
            if not exact:
                s = process_time(&t.e, c, at).s if before(process_time(&t.e, c, at), L.end) else stop
            if not s < stop:
                break
            last = max(last, s)
            i = <neuron_t> (events[at] & 0xFFFFFFFFULL)
            at += 1
            if c.weights != NULL:
                if not put_down_one(drives, i - begin_of_block, s, c.weights[i], route, i):
                    return False
                continue
            kick = &drives.kicks[drives.size]
            drives.size += 1
            kick.s, kick.what, kick.target = s, route, <uint16_t> (i - begin_of_block)
        c.at = at
        if at < n:
            break
    b.n_drive_events += n_events + (drives.size - first)
    b.last = max(b.last, last)
    if b.tape != NULL:
        time.n = L.begin.n
        for at in range(first, drives.size):
            time.s = drives.kicks[at].s
            i = p.first + b.first + drives.kicks[at].target
            if not tape_note(b.tape, EVENT, time, i, 0, c.number):
                return False
    return True


cdef inline const Bucket *put_down_by(const Look *L, int64_t member, int64_t number) noexcept nogil:
    """What a thread has put down for a block in this slice."""
    return &L.threads[member].buckets[number] if L.threads[member].rows_slice == L.slice else &L.nothing


cdef inline void keep(void *old, void *states, int64_t size, bint again) noexcept nogil:
    if states == NULL:
        return
    if again:
        memcpy(states, old, size)
    else:
        memcpy(old, states, size)


cdef inline bint find_pulled(const Look *L, Thread *t, int64_t number, Part *part) noexcept nogil:
    """A block's parts of the rows that blocks look up themselves; False if there is no memory."""
    cdef Block *b = &L.blocks[number]
    cdef const Projection *c
    cdef const Way *way
    cdef const uint32_t *cut
    cdef RowPart *r
    cdef int64_t j, first = L.first_block[b.population], n = L.first_block[b.population + 1] - first
    cdef synapse_t at
    cdef count_t found = 0
    if not grow(<void **> &t.rows, &t.rows_capacity, L.n_pulled, sizeof(RowPart)):
        return False
    for j in range(L.n_pulled):
        way = &L.pulled[j]
        c = &L.e.projections[way.projection]
        if c.post != b.population:
            continue
        cut = L.cuts[way.projection] + way.source * (n + 1) + (number - first)
        if cut[0] == cut[1]:
            continue
        at = c.offsets[way.source] + cut[0]
        r = &t.rows[found]
        found += 1
        r.s, r.route, r.port, r.has_multapses = way.s, way.number, c.port, c.has_multapses
        r.targets, r.count = c.targets + at, cut[1] - cut[0]
        r.weights, r.weight, r.largest = c.weights + at if c.weights != NULL else NULL, c.weight, c.largest
        b.n_kicks += r.count
        prefetch(r.targets, min(r.count, 256) * sizeof(neuron_t))
    part.rows, part.n_rows = t.rows, found
    return True


cdef inline bint take_drives(Look *L, Thread *t, Block *b, const Lists *lists) noexcept nogil:
    """The events of all drives; see `take_drive`."""
    cdef int64_t k
    for k in range(b.first_drive, b.first_drive + b.n_drives):
        if not take_drive(L, t, b, &L.drives[k], <uint32_t> L.drives[k].number, lists):
            return False
    return True


cdef inline bint take_drives_again(Look *L, Thread *t, Block *b) noexcept nogil:
    """All events of drives, which went into lists, into t.drives."""
    cdef count_t n_drive_events = b.n_drive_events
    cdef int64_t k
    t.drives.size = t.drives.n_extras = 0
    for k in range(b.first_drive, b.first_drive + b.n_drives):
        if not go_back(&t.e, &L.drives[k], &L.saved.drives[k]):
            return False
    if not take_drives(L, t, b, NULL):
        return False
    b.n_drive_events = n_drive_events
    return True


cdef inline Status advance_by_lists(Look *L, Thread *t, Block *b, Part *part, bint has_drives) noexcept nogil:
    """Its neurons on their own, and then those that this does not do for; lists have the events of drives already, or
    they are among the sources."""
    cdef Population *p = &t.e.populations[b.population]
    cdef int64_t k
    cdef int64_t most = 0
    cdef Status status
    pull_into_lists(L, t, b, &part.lists)
    for k in range(t.n_sources):
        put_in_lists(L, &part.lists, t.sources[k])
    for k in range(part.size):
        most = max(most, <int64_t> part.lists.counts[k])
    t.lists.most = max(most, t.lists.most - t.lists.most // 16)
    status = p.ops.advance_lists(&t.e, &t.q, p, part)
    if status == RUNNING and part.n_chosen:
        if part.n_chosen > part.size // 4:
            b.no_lists = 16
        if has_drives and not take_drives_again(L, t, b):
            status = NO_MEMORY
        elif (not take_chosen(t, part) or not pull_chosen(L, t, b, &t.some, part.is_chosen)
                or not order_kicks(L, t, part)):
            status = NO_MEMORY
        else:
            part.is_part = True
            status = p.ops.advance(&t.e, &t.q, p, part)
    for k in range(part.n_chosen):
        part.is_chosen[part.chosen[k] - part.first] = False
    return status


cdef inline bint keep_block(Look *L, Thread *t, Block *b) noexcept nogil:
    """Where the drives of a block are when the slice begins, and if need be its states; False if there is no memory."""
    cdef const Population *q = &L.e.populations[b.population]
    cdef int64_t k, m = b.population
    for k in range(b.first_drive, b.first_drive + b.n_drives):
        if not L.again:
            L.saved.drives[k].k, L.saved.drives[k].at = L.drives[k].poisson.k, L.drives[k].at
        elif not go_back(&t.e, &L.drives[k], &L.saved.drives[k]):
            return False
    if not L.keeps:
        return True
    keep(L.saved.x[m] + q.width * <int64_t> b.first, q.x + q.width * <int64_t> b.first,
         q.width * b.size * sizeof(double), L.again)
    if q.base != NULL:
        keep(L.saved.base[m] + b.first, q.base + b.first, b.size * sizeof(Pair), L.again)
    if q.release != NULL:
        keep(L.saved.release[m] + b.first, q.release + b.first, b.size * sizeof(Pair), L.again)
        keep(L.saved.waiting[m] + b.first // 8, q.waiting + b.first // 8, (b.size + 7) // 8, L.again)
    if L.saved.at_release != NULL:
        k = q.first + b.first
        keep(L.saved.at_release + k, L.e.tape.at_release + k, b.size * sizeof(double), L.again)
    return keep_spans(L, b)


cdef inline void begin_part(const Look *L, const Thread *t, const Block *b, Part *part) noexcept nogil:
    """What is known of the neurons of a block before anything arrives, but for rows and lists."""
    cdef int64_t k
    part.begin, part.end, part.stop = L.begin, L.end, L.stop
    part.first, part.size = b.first, b.size
    part.routes, part.largest = L.routes, L.largest[b.population]
    part.n_kicks = 0
    part.changed = L.changed
    part.forced, part.n_forced = L.e.forced.items, L.e.forced.size
    part.recent, part.n_recent = L.recent, L.n_recent
    part.is_part = False
    part.chosen, part.n_chosen, part.is_chosen = t.chosen, 0, t.is_chosen
    part.sums, part.has_sum, part.has_fired = t.sums, t.has_sum, t.has_fired
    for k in range(MAX_PORTS):
        part.touched[k] = t.touched + (k << L.shift)
        part.n_touched[k] = 0
    part.together_targets, part.together_weights = t.together_targets, t.together_weights
    part.together, part.together_capacity = t.together, t.together_capacity
    part.away, part.away_capacity = t.away, t.away_capacity
    part.spikes, part.n_spikes, part.capacity = b.spikes, 0, b.capacity
    part.n_close = 0
    part.fault.kind = 0


cdef inline Status advance_block(Look *L, Thread *t, int64_t number) noexcept nogil:
    """All that happens to the neurons of a block in the slice."""
    cdef Block *b = &L.blocks[number]
    cdef Population *p = &t.e.populations[b.population]
    cdef const Flights *flying = &L.flying[b.population]
    cdef Part part
    cdef int64_t k
    # As many as in the slice before, it may be.
    cdef count_t expected = b.n_pulled + b.n_drive_events
    cdef bint has_drives
    cdef Status status
    if not keep_block(L, t, b):
        return NO_MEMORY
    begin_block_tape(L, t, b)
    b.n_spikes = b.n_close = b.n_drive_events = b.n_kicks = b.n_pulled = 0
    b.last = -1.0
    begin_part(L, t, b, &part)
    if not find_pulled(L, t, number, &part) or not open_spans(L, t, b, number):
        return NO_MEMORY
    t.n_sources = 0
    for k in range(L.team.n):
        t.sources[t.n_sources] = put_down_by(L, k, number)
        b.n_kicks += t.sources[t.n_sources].size
        t.n_sources += 1
    expected += b.n_kicks
    b.no_lists = max(b.no_lists - 1, <count_t> 0)
    # A tape wants what happens in the order of time.
    b.by_lists = (expected > 2 * part.size and part.n_rows == 0 and b.no_lists == 0 and b.tape == NULL
                  and p.ops.takes_lists != NULL and p.ops.takes_lists(&t.e, p, &part))
    if b.by_lists and not begin_lists(L, t, &part, b.population):
        return NO_MEMORY
    # Those that fire by themselves do not take lists, and need the events.
    has_drives = b.by_lists and not p.oscillates
    t.drives.size = t.drives.n_extras = 0
    if not take_drives(L, t, b, &part.lists if has_drives else NULL):
        return NO_MEMORY
    t.sources[t.n_sources] = &t.drives
    t.n_sources += 1
    b.n_kicks += b.n_drive_events
    if b.n_kicks == 0 and flying.size == flying.head and not p.oscillates and L.e.forced.size == 0:
        return RUNNING
    if b.by_lists:
        status = advance_by_lists(L, t, b, &part, has_drives)
    else:
        t.pulled.size = t.pulled.n_extras = 0
        # What is last may be in order by itself.
        t.sources[t.n_sources] = t.sources[t.n_sources - 1]
        t.sources[t.n_sources - 1] = &t.pulled
        t.n_sources += 1
        if not pull_kicks(L, t, b, &t.pulled) or not order_kicks(L, t, &part):
            status = NO_MEMORY
        else:
            status = p.ops.advance(&t.e, &t.q, p, &part)
    b.n_kicks += b.n_pulled
    t.together, t.together_capacity = part.together, part.together_capacity
    t.away, t.away_capacity = part.away, part.away_capacity
    b.spikes, b.n_spikes, b.capacity, b.n_close = part.spikes, part.n_spikes, part.capacity, part.n_close
    note_fault(&t.fault, &part.fault)
    return status


cdef inline void take_blocks(void *look, int member) noexcept nogil:
    """A thread's part of the blocks."""
    cdef Look *L = <Look *> look
    cdef Thread *t = &L.threads[member]
    cdef long long number
    if L.next_block >= L.n_blocks:
        return
    enter_slice(L, t)
    while t.status == RUNNING:
        number = take_next(&L.next_block, 1)
        if number >= L.n_blocks:
            return
        t.status = advance_block(L, t, number)
