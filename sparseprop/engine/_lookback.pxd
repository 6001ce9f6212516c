"""The pass back by slices of time, on all cores, for networks in which all synapses between neurons have a delay.

A slice is shorter than the smallest delay: whatever a spike in it did, it did later, so that dL/d(its time) is known
but for its own reset. Then every neuron can be taken back through the slice on its own. First all rows of synapses
along which something arrived are found; threads then put each synapse down for the block of its target (but for rows
of which each block looks up its part by itself); blocks of neurons go back through what they got and through their own
spikes (engine/_population_slice_back.pxi); and what the synapses of a row give to the time of its spike is added block
by block. Blocks are those of the network, so that no sum depends on threads or slices.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset

from sparseprop.engine._delivery cimport find_row
from sparseprop.engine._pass cimport (
    MOST_FINDINGS, OVERFLOW, Finding, Pass, back_of, keep_finding, look_for_overflow,
)
from sparseprop.engine._slice_back cimport (
    BY_DRIVE, FIRED, FIRED_OUTSIDE, WAS_CLOSE, KickBack, MarkBack, PartBack, RowBack, WayBack,
)
from sparseprop.engine._state cimport (
    NO_MEMORY, RUNNING, List, Population, Projection, State, Status, nowhere, population_of,
)
from sparseprop.engine._streams_back cimport (
    entry_time, is_delivered, is_same, lane_time_back, opening_time,
)
from sparseprop.engine._tape cimport CLOSE, DRIVEN, EMITTED, EVENT, PAST, SPIKE, Entry, TapeBuffer
from sparseprop.engine._team cimport Job, Team, take_next, team_do
from sparseprop.numerics._frames cimport Frame, Pair, before, enter_epoch, never, plus
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._scan cimport prefetch
from sparseprop.numerics._typedefs cimport count_t, neuron_t, synapse_t


cdef enum:
    # Ways, or entries of the tape, that a thread takes at a time.
    WAYS = 16
    ENTRIES = 1024
    # Items that are sorted by insertion.
    FEW_ITEMS = 16


# A spike on its way back through a row of synapses with a delay each.
cdef struct OpenRow:
    count_t entry
    Pair emission
    int64_t projection
    neuron_t source             # local id
    bint waits                  # it reached synapses in an earlier part of the run
    synapse_t begin             # of the row
    synapse_t at                # the synapse that it reaches next
    Pair next                   # when, or `never`
    double s                    # when it reached the last one


# Neurons that go back together.
cdef struct BlockBack:
    int64_t population
    neuron_t first              # local id
    neuron_t size
    double *by_open             # as in a PartBack
    count_t by_open_capacity
    MarkBack *marks             # of the slice
    count_t n_marks
    count_t capacity


# What one thread has put down for one block.
cdef struct BucketBack:
    KickBack *kicks
    count_t size
    count_t capacity


cdef struct ThreadBack:
    Pass b                      # of which it owns what follows up to `driven`
    State e
    TapeBuffer tape
    Frame **frames              # by population
    uint8_t *is_waiting
    uint8_t *is_near
    uint8_t *is_close
    List drawn
    uint32_t *table
    BucketBack *buckets         # by block
    PartBack part               # its scratch
    RowBack *rows
    count_t rows_capacity
    KickBack *kicks
    count_t kicks_capacity
    KickBack *scratch
    count_t scratch_capacity
    uint32_t *bins
    count_t bins_capacity
    count_t slice               # in which it took part last
    count_t routed              # in which it put down something last
    Finding *found              # of its blocks in the slice
    count_t n_found
    count_t found_capacity
    count_t n_counted           # what it found besides
    Status status


# What the time of a spike, and sums over a projection, get from a row that has been gone through.
cdef struct DueBack:
    double s
    count_t entry
    int64_t projection
    double total
    double weight_total


cdef struct Slices:
    Pass *b
    double longest              # ms
    count_t few                 # synapses and entries of a slice below which other threads are not asked to help
    int n_threads
    ThreadBack *threads
    int64_t n_made
    Team team
    bint stale                  # what threads have copied has changed
    BlockBack *blocks
    int64_t n_blocks
    int64_t *first_block        # by population, and how many there are at the end
    neuron_t *block_size        # by population
    uint32_t **cuts             # by projection: where in the row of a source each block begins; or NULL
    int64_t n_cuts
    double **by_process         # as in a PartBack
    double *shift
    double *shift_size
    OpenRow *open
    count_t n_open
    count_t open_capacity
    int64_t *active             # the open rows that are in use
    count_t n_active
    count_t active_capacity
    int64_t *unused
    count_t n_unused
    count_t unused_capacity
    # Rows of the part that has been taken before this one, by projection and emission: the latest first.
    int64_t *waiting
    count_t waiting_capacity
    count_t *next_waiting       # by projection: where those begin that are left, and where they end
    count_t *end_waiting
    # The slice.
    count_t slice               # its number
    Pair begin
    Pair end                    # the latest instant of it
    count_t first_entry
    count_t last_entry
    WayBack *ways               # of rows with one delay, then of the active ones
    count_t n_ways
    count_t n_whole
    count_t ways_capacity
    int64_t *pulled             # ways of which blocks look up their parts: by time, entry and projection
    count_t n_pulled
    count_t pulled_capacity
    bint some_pushed
    bint some_events
    double *by_way              # by block of the way's targets: as in a PartBack
    count_t by_way_capacity
    int64_t most_blocks         # of a population
    count_t n_synapses          # of ways that are no parts of open rows
    DueBack *due
    count_t due_capacity
    long long next_way
    long long next_entry
    long long next_block


# What there is in a slice ---------------------------------------------------------------------------------------------

cdef inline WayBack *add_way(Slices *S, count_t entry, int64_t projection, double s, synapse_t at,
                             int64_t count) noexcept nogil:
    """One more row along which something arrives; NULL if there is no memory."""
    cdef WayBack *way
    cdef State *e = S.b.e
    cdef const Projection *c = &e.projections[projection]
    cdef neuron_t neuron = S.b.tape.entries[entry].neuron
    if not grow(<void **> &S.ways, &S.ways_capacity, S.n_ways + 1, sizeof(WayBack)):
        return NULL
    way = &S.ways[S.n_ways]
    way.entry, way.projection, way.s, way.open = entry, projection, s, -1
    way.source = neuron - e.populations[population_of(e, neuron)].first
    if at >= 0:
        way.at, way.count = at, count
    elif c.degree >= 0:
        way.at, way.count = way.source * c.degree, c.degree
    else:
        way.at = c.offsets[way.source]
        way.count = c.offsets[way.source + 1] - way.at
    if way.count == 0:
        return way
    S.n_synapses += way.count
    if at < 0 and S.cuts[projection] != NULL:
        if not grow(<void **> &S.pulled, &S.pulled_capacity, S.n_pulled + 1, sizeof(int64_t)):
            return NULL
        S.pulled[S.n_pulled] = S.n_ways
        S.n_pulled += 1
    else:
        S.some_pushed = True
    S.n_ways += 1
    return way


cdef inline bint add_ways(Slices *S, count_t entry, double s, int64_t first, int64_t n) noexcept nogil:
    cdef int64_t k
    for k in range(first, first + n):
        if add_way(S, entry, k, s, -1, 0) == NULL:
            return False
    return True


cdef inline bint add_undelayed(Slices *S, count_t entry) noexcept nogil:
    """What a spike of a source reaches at its own time; False if there is no memory."""
    cdef State *e = S.b.e
    cdef Pair emission = entry_time(&S.b.tape.entries[entry])
    cdef const Population *p = &e.populations[population_of(e, S.b.tape.entries[entry].neuron)]
    cdef neuron_t source = S.b.tape.entries[entry].neuron - p.first
    cdef const Projection *c
    cdef synapse_t at
    cdef int64_t k
    if not add_ways(S, entry, emission.s, p.first_projection, p.n_projections):
        return False
    # By delays too short to move a time.
    for k in range(p.first_lane, p.first_lane + p.n_lanes):
        if is_same(plus(emission, e.lanes[k].delay, e.H), emission):
            if not add_ways(S, entry, emission.s, e.lanes[k].first_projection, e.lanes[k].n_projections):
                return False
    for k in range(p.first_delayed, p.first_delayed + p.n_delayed):
        c = &e.projections[k]
        at = c.offsets[source]
        while at < c.offsets[source + 1] and is_same(plus(emission, c.delays[at], e.H), emission):
            at += 1
        if at > c.offsets[source] and add_way(S, entry, k, emission.s, c.offsets[source],
                                              at - c.offsets[source]) == NULL:
            return False
    return True


cdef inline double since_epoch(const Slices *S, const Entry *entry) noexcept nogil:
    return <double> (entry.n - S.end.n) * S.b.e.H + entry.s


cdef inline bint add_mark(Slices *S, count_t k, int kind) noexcept nogil:
    """An entry of the tape for the block of its neuron; False if there is no memory."""
    cdef Pass *b = S.b
    cdef State *e = b.e
    cdef const Entry *entry = &b.tape.entries[k]
    cdef int64_t number = population_of(e, entry.neuron)
    cdef const Population *p = &e.populations[number]
    cdef neuron_t i = entry.neuron - p.first
    cdef BlockBack *block = &S.blocks[S.first_block[number] + i // S.block_size[number]]
    cdef MarkBack *mark
    if not grow(<void **> &block.marks, &block.capacity, block.n_marks + 1, sizeof(MarkBack)):
        return False
    mark = &block.marks[block.n_marks]
    block.n_marks += 1
    mark.s, mark.entry, mark.neuron, mark.kind = since_epoch(S, entry), k, i, <uint8_t> kind
    mark.driven = (entry.flags & DRIVEN) != 0
    mark.n_releases, mark.n_currents = b.tape.n_releases, b.tape.n_currents
    if kind == FIRED:
        b.tape.n_releases -= p.release != NULL
        if p.ops.has_currents:
            b.tape.n_currents -= 2 if p.release != NULL else 1
    return True


cdef inline bint gather_entries(Slices *S) noexcept nogil:
    """What the tape has of the slice, for the blocks; False if there is no memory."""
    cdef Pass *b = S.b
    cdef const Entry *entry
    cdef count_t k = b.at, last
    # Just behind the slice.
    while k + 1 < b.tape.size and since_epoch(S, &b.tape.entries[k + 1]) <= S.end.s + b.near:
        k += 1
    while k > b.at:
        if b.tape.entries[k].kind == SPIKE and not add_mark(S, k, FIRED_OUTSIDE):
            return False
        k -= 1
    S.last_entry = b.at
    last = -1
    while k >= 0:
        entry = &b.tape.entries[k]
        if entry.kind == PAST or entry.n != S.end.n or entry.s < S.begin.s:
            break
        if entry.kind == SPIKE:
            if not add_mark(S, k, FIRED):
                return False
            b.n_events += 1
        elif entry.kind == CLOSE:
            if not add_mark(S, k, WAS_CLOSE):
                return False
        elif entry.kind == EMITTED:
            if not add_undelayed(S, k):
                return False
        elif entry.kind == EVENT:
            S.some_events = True
        # Independent things at one time.
        if (entry.kind == SPIKE and not entry.flags & DRIVEN) or entry.kind == EMITTED or entry.kind == EVENT:
            b.n_ties += last >= 0 and b.tape.entries[last].s == entry.s
            last = k
        k -= 1
    S.first_entry = k + 1
    b.at = k
    while k >= 0 and since_epoch(S, &b.tape.entries[k]) >= S.begin.s - b.near:
        if b.tape.entries[k].kind == SPIKE and not add_mark(S, k, FIRED_OUTSIDE):
            return False
        k -= 1
    return True


cdef inline void place_next(const Slices *S, OpenRow *r) noexcept nogil:
    """Go to the latest synapse that is left of a row and was reached while the tape was kept."""
    cdef Pair t
    r.waits = False
    while r.at >= r.begin:
        t = plus(r.emission, S.b.e.projections[r.projection].delays[r.at], S.b.e.H)
        if is_delivered(S.b, t, r.emission):
            r.next = t
            return
        if not before(S.b.last_before, t):
            if before(S.b.first_before, t) and before(r.emission, t):
                r.waits = True
                r.next = never()
                return
            break
        r.at -= 1
    r.at = r.begin - 1
    r.next = never()


cdef inline int64_t take_waiting(Slices *S, int64_t projection, Pair emission, neuron_t source) noexcept nogil:
    """The row of a spike that the part of the run before this one has begun with, or -1."""
    cdef count_t *first = &S.next_waiting[projection]
    cdef count_t k = first[0]
    cdef int64_t number
    while k < S.end_waiting[projection] and is_same(S.open[S.waiting[k]].emission, emission):
        number = S.waiting[k]
        if S.open[number].source == source:
            S.waiting[k] = S.waiting[first[0]]
            first[0] += 1
            return number
        k += 1
    return -1


cdef inline bint open_row(Slices *S, int64_t projection) noexcept nogil:
    """Put the next spike of a projection on its way back through its row; False if there is no memory."""
    cdef State *e = S.b.e
    cdef const Projection *c = &e.projections[projection]
    cdef count_t entry = S.b.openings[projection].at
    cdef Pair emission = entry_time(&S.b.tape.entries[entry])
    cdef neuron_t neuron = S.b.tape.entries[entry].neuron
    cdef neuron_t source = neuron - e.populations[population_of(e, neuron)].first
    cdef OpenRow *r
    cdef BlockBack *block
    cdef int64_t number, k
    S.b.openings[projection].at -= 1
    if not grow(<void **> &S.active, &S.active_capacity, S.n_active + 1, sizeof(int64_t)):
        return False
    number = take_waiting(S, projection, emission, source)
    if number >= 0:
        # What its synapses have given is with the blocks.
        r = &S.open[number]
        r.entry = entry
        place_next(S, r)
        S.active[S.n_active] = number
        S.n_active += 1
        return True
    if S.n_unused:
        S.n_unused -= 1
        number = S.unused[S.n_unused]
    else:
        number = S.n_open
        if not grow(<void **> &S.open, &S.open_capacity, S.n_open + 1, sizeof(OpenRow)):
            return False
        memset(&S.open[number], 0, sizeof(OpenRow))
        S.n_open += 1
    r = &S.open[number]
    r.entry, r.emission, r.projection, r.source = entry, emission, projection, source
    r.s = 0.0
    r.begin, r.at = c.offsets[source], c.offsets[source + 1] - 1
    for k in range(S.first_block[c.post], S.first_block[c.post + 1]):
        block = &S.blocks[k]
        if not grow(<void **> &block.by_open, &block.by_open_capacity, 2 * S.n_open, sizeof(double)):
            return False
        block.by_open[2 * number] = block.by_open[2 * number + 1] = 0.0
    place_next(S, r)
    S.active[S.n_active] = number
    S.n_active += 1
    return True


cdef inline bint find_latest(Slices *S, Pair *latest) noexcept nogil:
    """The latest instant that is left, or the time `nowhere` if there is none; False if there is no memory."""
    cdef Pass *b = S.b
    cdef Pair t = nowhere(), other
    cdef const Population *p
    cdef count_t k = b.at
    cdef int64_t j
    # Where somebody was only close, something else happened.
    while k >= 0 and b.tape.entries[k].kind == CLOSE:
        k -= 1
    if k >= 0 and b.tape.entries[k].kind != PAST:
        t = entry_time(&b.tape.entries[k])
    for k in range(b.e.n_lanes):
        other = lane_time_back(b, k)
        if other.n < never().n and before(t, other):
            t = other
    for k in range(S.n_active):
        other = S.open[S.active[k]].next
        if other.n < never().n and before(t, other):
            t = other
    # When rows begin is not known before they are opened.
    for k in range(b.e.n_populations):
        p = &b.e.populations[k]
        for j in range(p.first_delayed, p.first_delayed + p.n_delayed):
            while True:
                other = opening_time(b, j)
                if other.n >= never().n or before(other, t):
                    break
                if not open_row(S, j):
                    return False
                other = S.open[S.active[S.n_active - 1]].next
                if other.n < never().n and before(t, other):
                    t = other
    latest[0] = t
    return True


cdef inline bint gather_arrivals(Slices *S) noexcept nogil:
    """All rows of synapses along which something arrives in the slice; False if there is no memory."""
    cdef Pass *b = S.b
    cdef State *e = b.e
    cdef Pair t
    cdef int64_t j, k
    cdef WayBack *way
    cdef OpenRow *r
    cdef const Population *p
    for k in range(e.n_lanes):
        while True:
            t = lane_time_back(b, k)
            if t.n >= never().n or before(t, S.begin):
                break
            if not add_ways(S, b.lanes[k].at, t.s, e.lanes[k].first_projection, e.lanes[k].n_projections):
                return False
            b.lanes[k].at -= 1
    for j in range(e.n_populations):
        p = &e.populations[j]
        for k in range(p.first_delayed, p.first_delayed + p.n_delayed):
            while True:
                t = opening_time(b, k)
                if t.n >= never().n or before(t, S.begin):
                    break
                if not open_row(S, k):
                    return False
    S.n_whole = S.n_ways
    for k in range(S.n_active):
        r = &S.open[S.active[k]]
        if before(r.next, S.begin) or r.next.n >= never().n:
            continue
        if not grow(<void **> &S.ways, &S.ways_capacity, S.n_ways + 1, sizeof(WayBack)):
            return False
        way = &S.ways[S.n_ways]
        S.n_ways += 1
        way.entry, way.projection, way.source, way.open = r.entry, r.projection, r.source, S.active[k]
        way.s, way.at, way.count = 0.0, r.at + 1, 0
        S.some_pushed = True
    return True


cdef inline int compare_pulled(const WayBack *x, const WayBack *y) noexcept nogil:
    if x.s != y.s:
        return 1 if x.s < y.s else -1
    if x.entry != y.entry:
        return 1 if x.entry < y.entry else -1
    return (x.projection > y.projection) - (x.projection < y.projection)


cdef inline void sort_pulled(Slices *S, int64_t *scratch) noexcept nogil:
    """The rows that blocks look up, the latest first: mostly they are in order, or a few runs of that."""
    cdef int64_t width = 1, n = S.n_pulled, first, middle, last, left, right, at
    cdef int64_t *a = S.pulled
    cdef int64_t k
    for k in range(1, n):
        if compare_pulled(&S.ways[a[k - 1]], &S.ways[a[k]]) > 0:
            break
    else:
        return
    while width < n:
        first = 0
        while first + width < n:
            middle, last = first + width, min(first + 2 * width, n)
            if compare_pulled(&S.ways[a[middle - 1]], &S.ways[a[middle]]) > 0:
                memcpy(scratch, a + first, width * sizeof(int64_t))
                left, right, at = 0, middle, first
                while left < width:
                    if right < last and compare_pulled(&S.ways[scratch[left]], &S.ways[a[right]]) > 0:
                        a[at] = a[right]
                        right += 1
                    else:
                        a[at] = scratch[left]
                        left += 1
                    at += 1
            first += 2 * width
        width *= 2


# Synapse by synapse ---------------------------------------------------------------------------------------------------

cdef inline bint put_down(Slices *S, ThreadBack *t, int64_t post, neuron_t target, double s, uint32_t way,
                          int64_t place) noexcept nogil:
    cdef BucketBack *bucket = &t.buckets[S.first_block[post] + target // S.block_size[post]]
    cdef KickBack *kick
    if bucket.size == bucket.capacity \
            and not grow(<void **> &bucket.kicks, &bucket.capacity, bucket.size + 1, sizeof(KickBack)):
        return False
    kick = &bucket.kicks[bucket.size]
    bucket.size += 1
    kick.s, kick.way, kick.place, kick.target = s, way, <uint32_t> place, target
    return True


cdef inline bint put_down_way(Slices *S, ThreadBack *t, int64_t number) noexcept nogil:
    """Put down all of a row that arrives in the slice; False if there is no memory."""
    cdef WayBack *way = &S.ways[number]
    cdef const Projection *c = &S.b.e.projections[way.projection]
    cdef const neuron_t *targets
    cdef const double *weights
    cdef OpenRow *r
    cdef int64_t k
    if way.open < 0:
        if S.cuts[way.projection] != NULL:
            return True
        if c.procedural:
            find_row(&t.e, c, way.source, &targets, &weights)
        else:
            targets = c.targets + way.at
        for k in range(way.count):
            if not put_down(S, t, c.post, targets[k], way.s, <uint32_t> number, k):
                return False
        return True
    r = &S.open[way.open]
    # Places are those in the row.
    way.at, way.count = r.begin, 0
    while r.at >= r.begin and r.next.n == S.end.n and not before(r.next, S.begin):
        way.count += 1
        r.s = r.next.s
        if not put_down(S, t, c.post, c.targets[r.at], r.next.s, <uint32_t> number, r.at - r.begin):
            return False
        r.at -= 1
        place_next(S, r)
    return True


cdef inline void enter_slice(Slices *S, ThreadBack *t) noexcept nogil:
    """What a thread knows of the slice, once."""
    cdef int64_t k, j
    cdef Population *p
    if t.slice == S.slice:
        return
    t.slice = S.slice
    t.status = RUNNING
    t.tape = S.b.tape[0]
    t.n_found = t.n_counted = 0
    t.part.n_ties = 0
    for k in range(t.e.n_populations):
        p = &t.e.populations[k]
        for j in range(p.n_frames if p.epoch != S.end.n else 0):
            enter_epoch(&p.frames[j], S.end.n)
        p.epoch = S.end.n


cdef inline void put_down_all(void *slices, int member) noexcept nogil:
    """A thread's part of the rows that are put down, and of the events of drives."""
    cdef Slices *S = <Slices *> slices
    cdef ThreadBack *t = &S.threads[member]
    cdef const Entry *entry
    cdef int64_t k, number
    cdef long long first
    cdef const Population *p
    if S.next_way >= S.n_ways and S.next_entry > S.last_entry:
        return
    enter_slice(S, t)
    t.routed = S.slice
    for k in range(S.n_blocks):
        t.buckets[k].size = 0
    while S.some_pushed:
        first = take_next(&S.next_way, WAYS)
        if first >= S.n_ways:
            break
        for k in range(first, min(first + WAYS, <long long> S.n_ways)):
            if not put_down_way(S, t, k):
                t.status = NO_MEMORY
                return
    while S.some_events:
        first = take_next(&S.next_entry, ENTRIES)
        if first > S.last_entry:
            return
        for k in range(first, min(first + ENTRIES, <long long> S.last_entry + 1)):
            entry = &S.b.tape.entries[k]
            if entry.kind != EVENT:
                continue
            number = population_of(&t.e, entry.neuron)
            p = &t.e.populations[number]
            if not put_down(S, t, number, entry.neuron - p.first, entry.s, BY_DRIVE, k - S.first_entry):
                t.status = NO_MEMORY
                return


cdef inline bint is_later(const Slices *S, const KickBack *a, const KickBack *b) noexcept nogil:
    """Whether a is gone through before b: by time, entry, projection, and place in the row."""
    cdef count_t x, y
    if a.s != b.s:
        return a.s > b.s
    if a.way == b.way and a.way != BY_DRIVE:
        return a.place < b.place
    x = S.first_entry + a.place if a.way == BY_DRIVE else S.ways[a.way].entry
    y = S.first_entry + b.place if b.way == BY_DRIVE else S.ways[b.way].entry
    if x != y:
        return x > y
    if a.way == BY_DRIVE or S.ways[a.way].projection == S.ways[b.way].projection:
        return False
    return S.ways[a.way].projection < S.ways[b.way].projection


cdef inline void insert_kicks(const Slices *S, KickBack *kicks, int64_t first, int64_t last) noexcept nogil:
    cdef int64_t k, at
    cdef KickBack kick
    for k in range(first + 1, last):
        if not is_later(S, &kicks[k], &kicks[k - 1]):
            continue
        kick = kicks[k]
        at = k
        while at > first and is_later(S, &kick, &kicks[at - 1]):
            kicks[at] = kicks[at - 1]
            at -= 1
        kicks[at] = kick


cdef inline void sort_kicks(const Slices *S, KickBack *kicks, int64_t n, KickBack *scratch) noexcept nogil:
    """Runs by insertion, which are then merged."""
    cdef int64_t first = 0, last, width = FEW_ITEMS, at, left, right, middle
    while first < n:
        last = min(first + FEW_ITEMS, n)
        insert_kicks(S, kicks, first, last)
        first = last
    while width < n:
        first = 0
        while first + width < n:
            middle = first + width
            last = min(middle + width, n)
            if is_later(S, &kicks[middle], &kicks[middle - 1]):
                memcpy(scratch, kicks + first, width * sizeof(KickBack))
                left, right, at = 0, middle, first
                while left < width:
                    if right < last and is_later(S, &kicks[right], &scratch[left]):
                        kicks[at] = kicks[right]
                        right += 1
                    else:
                        kicks[at] = scratch[left]
                        left += 1
                    at += 1
            first += 2 * width
        width *= 2


cdef inline bint order_put_down(Slices *S, ThreadBack *t, int64_t number) noexcept nogil:
    """What was put down for a block, the latest first; False if there is no memory."""
    cdef const BucketBack *bucket
    cdef int64_t k, bin, n_bins = 16
    cdef count_t j, total = 0
    cdef uint32_t start, size, longest = 0
    cdef double scale, end = S.end.s
    for k in range(S.team.n):
        total += S.threads[k].buckets[number].size if S.threads[k].routed == S.slice else 0
    t.part.n_kicks = total
    if total == 0:
        return True
    while n_bins < total and n_bins < 1 << 16:
        n_bins *= 2
    scale = n_bins / max(end - S.begin.s, 1e-300)
    if not grow(<void **> &t.kicks, &t.kicks_capacity, total, sizeof(KickBack)) \
            or not grow(<void **> &t.bins, &t.bins_capacity, n_bins + 1, sizeof(uint32_t)):
        return False
    memset(t.bins, 0, (n_bins + 1) * sizeof(uint32_t))
    for k in range(S.team.n):
        bucket = &S.threads[k].buckets[number]
        for j in range(bucket.size if S.threads[k].routed == S.slice else 0):
            t.bins[<int64_t> min((end - bucket.kicks[j].s) * scale, <double> (n_bins - 1))] += 1
    start = 0
    for k in range(n_bins + 1):
        size = t.bins[k]
        t.bins[k] = start
        start += size
        longest = max(longest, size)
    for k in range(S.team.n):
        bucket = &S.threads[k].buckets[number]
        for j in range(bucket.size if S.threads[k].routed == S.slice else 0):
            bin = <int64_t> min((end - bucket.kicks[j].s) * scale, <double> (n_bins - 1))
            t.kicks[t.bins[bin]] = bucket.kicks[j]
            t.bins[bin] += 1
    if longest > FEW_ITEMS:
        if not grow(<void **> &t.scratch, &t.scratch_capacity, longest, sizeof(KickBack)):
            return False
        start = 0
        for k in range(n_bins):
            size = t.bins[k] - start
            if size > FEW_ITEMS:
                sort_kicks(S, t.kicks + start, size, t.scratch)
            start = t.bins[k]
    insert_kicks(S, t.kicks, 0, total)
    t.part.kicks = t.kicks
    return True


# Blocks ---------------------------------------------------------------------------------------------------------------

cdef inline bint find_parts(Slices *S, ThreadBack *t, int64_t number) noexcept nogil:
    """A block's parts of the rows that blocks look up themselves; False if there is no memory."""
    cdef const BlockBack *block = &S.blocks[number]
    cdef const Projection *c
    cdef const WayBack *way
    cdef const uint32_t *cut
    cdef RowBack *r
    cdef int64_t j, first = S.first_block[block.population], n = S.first_block[block.population + 1] - first
    cdef count_t found = 0
    if not grow(<void **> &t.rows, &t.rows_capacity, S.n_pulled, sizeof(RowBack)):
        return False
    for j in range(S.n_pulled):
        if j + 8 < S.n_pulled:
            way = &S.ways[S.pulled[j + 8]]
            prefetch(S.cuts[way.projection] + way.source * (n + 1) + (number - first), 1)
        way = &S.ways[S.pulled[j]]
        c = &S.b.e.projections[way.projection]
        if c.post != block.population:
            continue
        cut = S.cuts[way.projection] + way.source * (n + 1) + (number - first)
        if cut[0] == cut[1]:
            continue
        r = &t.rows[found]
        found += 1
        r.s, r.way, r.begin, r.count = way.s, S.pulled[j], cut[0], cut[1] - cut[0]
        prefetch(c.targets + way.at + cut[0], min(r.count, <int64_t> 16) * sizeof(neuron_t))
    t.part.rows, t.part.n_rows = t.rows, found
    return True


cdef inline int compare_findings(const void *x, const void *y) noexcept nogil:
    cdef const Finding *a = <const Finding *> x
    cdef const Finding *b = <const Finding *> y
    if a.time != b.time:
        return 1 if a.time < b.time else -1
    if a.kind != b.kind:
        return 1 if a.kind > b.kind else -1
    if a.neuron != b.neuron:
        return 1 if a.neuron < b.neuron else -1
    return (a.other < b.other) - (a.other > b.other)


cdef inline int compare_kept(const void *x, const void *y) noexcept nogil:
    """Overflows come first, as there is to be one on the list."""
    cdef const Finding *a = <const Finding *> x
    cdef const Finding *b = <const Finding *> y
    if (a.kind == OVERFLOW) != (b.kind == OVERFLOW):
        return 1 if b.kind == OVERFLOW else -1
    return compare_findings(x, y)


cdef inline bint keep_of_block(ThreadBack *t) noexcept nogil:
    """Among what the thread has found, the latest, put what it has in a block; False if there is no memory.

    That is the same whichever thread takes which blocks.
    """
    cdef count_t kept = min(t.b.n_findings, <count_t> MOST_FINDINGS)
    if kept == 0:
        return True
    if not grow(<void **> &t.found, &t.found_capacity, t.n_found + kept, sizeof(Finding)):
        return False
    memcpy(t.found + t.n_found, t.b.findings, kept * sizeof(Finding))
    t.n_found += kept
    t.n_counted += t.b.n_findings - kept
    if t.n_found > 2 * MOST_FINDINGS:
        qsort(t.found, t.n_found, sizeof(Finding), compare_kept)
        t.n_counted += t.n_found - MOST_FINDINGS
        t.n_found = MOST_FINDINGS
    return True


cdef inline void take_blocks(void *slices, int member) noexcept nogil:
    """A thread's part of the blocks."""
    cdef Slices *S = <Slices *> slices
    cdef ThreadBack *t = &S.threads[member]
    cdef const BlockBack *block
    cdef Population *p
    cdef PartBack *w = &t.part
    cdef long long number, each = S.n_blocks // S.team.n
    if S.next_block >= S.n_blocks:
        return
    enter_slice(S, t)
    while t.status == RUNNING:
        number = take_next(&S.next_block, 1)
        if number >= S.n_blocks:
            return
        # Far from those of other threads: parts of a row that are neighbours share lines of memory.
        if number < each * S.team.n:
            number = (number % S.team.n) * each + number // S.team.n
        if not find_parts(S, t, number) or not order_put_down(S, t, number):
            t.status = NO_MEMORY
            return
        block = &S.blocks[number]
        if w.n_rows == 0 and w.n_kicks == 0 and block.n_marks == 0:
            continue
        w.first, w.size, w.epoch, w.first_entry, w.ways = block.first, block.size, S.end.n, S.first_entry, S.ways
        w.marks, w.n_marks = block.marks, block.n_marks
        w.by_way = S.by_way + 2 * (number - S.first_block[block.population]) * S.n_whole
        w.by_open = block.by_open
        w.by_process, w.shift, w.shift_size = S.by_process, S.shift, S.shift_size
        p = &t.e.populations[block.population]
        t.b.n_findings, t.b.has_overflowed = 0, S.b.has_overflowed
        t.status = back_of(p).go_back_through(&t.b, p, w)
        if not keep_of_block(t):
            t.status = NO_MEMORY


# The slice ------------------------------------------------------------------------------------------------------------

cdef inline bint gather_findings(Slices *S) noexcept nogil:
    """What threads have found, in the order of time, the latest first; False if there is no memory."""
    cdef Pass *b = S.b
    cdef ThreadBack *t = &S.threads[0]
    cdef ThreadBack *other
    cdef count_t n = 0, n_counted = 0, k
    cdef int64_t j
    for j in range(S.team.n):
        other = &S.threads[j]
        if other.slice != S.slice:
            other.n_found = 0
            continue
        n += other.n_found
        n_counted += other.n_counted
        b.n_ties += other.part.n_ties
        other.part.n_ties = 0
    if n == 0:
        return True
    if not grow(<void **> &t.found, &t.found_capacity, n, sizeof(Finding)):
        return False
    for j in range(1, S.team.n):
        other = &S.threads[j]
        if other.n_found == 0:
            continue
        memcpy(t.found + t.n_found, other.found, other.n_found * sizeof(Finding))
        t.n_found += other.n_found
    qsort(t.found, n, sizeof(Finding), compare_findings)
    for k in range(n):
        if t.found[k].kind == OVERFLOW:
            if b.has_overflowed:
                continue
            b.has_overflowed = True
        if not keep_finding(b, &t.found[k]):
            return False
    b.n_findings += n_counted
    return True


cdef inline int compare_due(const void *x, const void *y) noexcept nogil:
    cdef const DueBack *a = <const DueBack *> x
    cdef const DueBack *b = <const DueBack *> y
    if a.s != b.s:
        return 1 if a.s < b.s else -1
    if a.entry != b.entry:
        return 1 if a.entry < b.entry else -1
    return (a.projection > b.projection) - (a.projection < b.projection)


cdef inline bint give_due(Slices *S, count_t n) noexcept nogil:
    """To spikes and projections what is due, in the order of time, the latest first; False if there is no memory."""
    cdef Pass *b = S.b
    cdef const DueBack *due
    cdef count_t k
    for k in range(1, n):
        if compare_due(&S.due[k - 1], &S.due[k]) > 0:
            qsort(S.due, n, sizeof(DueBack), compare_due)
            break
    b.e.now.n = S.end.n
    for k in range(n):
        due = &S.due[k]
        b.by_time[due.entry] += due.total
        b.delay_sums[due.projection] += due.total
        b.weight_sums[due.projection] += due.weight_total
        b.e.now.s = due.s
        if not look_for_overflow(b, b.by_time[due.entry], b.tape.entries[due.entry].neuron):
            return False
    return True


cdef inline bint finish_slice(Slices *S) noexcept nogil:
    """Give spikes what their rows gave to their times; False if there is no memory."""
    cdef const Pass *b = S.b
    cdef const WayBack *way
    cdef const OpenRow *r
    cdef DueBack *due
    cdef count_t k, kept = 0, n = S.n_whole
    cdef int64_t j, post
    if not gather_findings(S) \
            or not grow(<void **> &S.due, &S.due_capacity, S.n_whole + S.n_active, sizeof(DueBack)) \
            or not grow(<void **> &S.unused, &S.unused_capacity, S.n_unused + S.n_active, sizeof(int64_t)):
        return False
    for k in range(S.n_whole):
        way, due = &S.ways[k], &S.due[k]
        due.s, due.entry, due.projection = way.s, way.entry, way.projection
        due.total = due.weight_total = 0.0
        post = b.e.projections[way.projection].post
        for j in range(S.first_block[post + 1] - S.first_block[post]):
            due.total += S.by_way[2 * (j * S.n_whole + k)]
            due.weight_total += S.by_way[2 * (j * S.n_whole + k) + 1]
    for k in range(S.n_active):
        r = &S.open[S.active[k]]
        if r.next.n < never().n or r.waits:
            S.active[kept] = S.active[k]
            kept += 1
            continue
        due = &S.due[n]
        n += 1
        due.s, due.entry, due.projection = r.s, r.entry, r.projection
        due.total = due.weight_total = 0.0
        post = b.e.projections[r.projection].post
        for j in range(S.first_block[post], S.first_block[post + 1]):
            due.total += S.blocks[j].by_open[2 * S.active[k]]
            due.weight_total += S.blocks[j].by_open[2 * S.active[k] + 1]
        S.unused[S.n_unused] = S.active[k]
        S.n_unused += 1
    S.n_active = kept
    return give_due(S, n)


cdef inline void work(Slices *S, Job job, bint few) noexcept nogil:
    """By all threads, or where there is little by this one."""
    if few:
        job(S, 0)
    else:
        team_do(&S.team, job, S)


cdef inline Status slice_back(Slices *S, Pair latest, Pair until) noexcept nogil:
    """The slice that ends with the instant `latest`, of instants at or after `until`; its frames are at its end."""
    cdef Pass *b = S.b
    cdef int64_t k, n
    cdef bint few
    while b.at >= 0 and b.tape.entries[b.at].kind == CLOSE and before(latest, entry_time(&b.tape.entries[b.at])):
        b.at -= 1
    S.end = latest
    S.begin.n, S.begin.s = latest.n, max(latest.s - S.longest, 0.0)
    if until.n == latest.n and until.s > S.begin.s:
        S.begin.s = until.s
    S.n_ways = S.n_pulled = S.n_synapses = 0
    S.some_pushed = S.some_events = False
    for k in range(S.n_blocks):
        S.blocks[k].n_marks = 0
    if not gather_entries(S) or not gather_arrivals(S):
        return NO_MEMORY
    n = 2 * S.most_blocks * S.n_whole
    if not grow(<void **> &S.by_way, &S.by_way_capacity, n, sizeof(double)) \
            or not grow(<void **> &S.pulled, &S.pulled_capacity, 2 * S.n_pulled, sizeof(int64_t)):
        return NO_MEMORY
    memset(S.by_way, 0, n * sizeof(double))
    sort_pulled(S, S.pulled + S.n_pulled)
    S.slice += 1
    S.next_way = S.next_block = 0
    S.next_entry = S.first_entry
    few = S.n_synapses + (S.last_entry - S.first_entry) + WAYS * (S.n_ways - S.n_whole) < S.few
    if S.some_pushed or S.some_events:
        work(S, put_down_all, few)
    work(S, take_blocks, few)
    for k in range(S.team.n):
        if S.threads[k].slice == S.slice and S.threads[k].status != RUNNING:
            return S.threads[k].status
    b.n_events += S.n_synapses + (S.last_entry - S.first_entry)
    for k in range(S.n_whole, S.n_ways):
        b.n_events += S.ways[k].count
    return RUNNING if finish_slice(S) else NO_MEMORY
