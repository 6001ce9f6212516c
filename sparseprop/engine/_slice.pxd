"""A slice of time within an epoch, and the neurons that go through it on their own: what arrives, and what came of it.

All times of a slice belong to one epoch, so that a double, the s of a pair, is a time.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from sparseprop.numerics._frames cimport Pair
from sparseprop.numerics._typedefs cimport MAX_PORTS, count_t, neuron_t


# What arrives in a slice along one row of synapses, or from one drive.
cdef struct Route:
    int64_t source              # global id; for a drive a number above all
    int64_t rank                # of the projection
    int64_t port
    Pair emission
    double weight               # of all synapses, where they have one
    uint8_t kind                # which of the weights of Lists that is


# A weight that arrives at a neuron, as short as can be: most of the time goes into sorting these.
cdef struct Kick:
    double s
    uint32_t what               # a route, or HAS_EXTRA and the number of an Extra
    uint16_t target             # place in the block


cdef enum:
    HAS_EXTRA = 0x80000000


# What else there is to say of a kick whose synapses have a weight each.
cdef struct Extra:
    double weight
    uint32_t route
    int32_t place               # in the row


# All of it, where the order matters in which weights are added.
cdef struct Arrived:
    double s
    double weight
    uint32_t route
    int32_t place
    neuron_t target             # local id


# A part of a row of synapses with one delay: what of it arrives at some neurons.
cdef struct RowPart:
    double s
    uint32_t route
    bint has_multapses          # in the projection
    int64_t port
    const neuron_t *targets     # local ids
    const double *weights       # one per synapse, or NULL
    double weight
    double largest              # size of a weight
    int64_t count


# What arrives at a neuron in one instant, by one port, and what of it comes first.
cdef struct Sum:
    neuron_t target             # local id
    const Route *route
    int64_t place


cdef struct Spike:
    double s
    neuron_t neuron             # global id


# Of all faults of a slice the first one counts: by time, and within an instant in the order in which it goes on.
cdef struct Fault:
    double s
    int64_t kind                # a Status; 0 for none
    int64_t port
    int64_t source
    int64_t rank
    int64_t place
    neuron_t neuron             # global id


# A neuron that no kick reaches until its release, and its state then.
cdef struct Away:
    double s                    # of the release; infinite behind the epoch
    double x
    neuron_t neuron             # local id


cdef struct Recent:
    Pair time
    neuron_t neuron             # global id


# What arrives at each neuron of a block, in no order: 8 neurons side by side (numerics/_lanes.pxd).
cdef struct Lists:
    uint32_t *counts            # by neuron; what is behind the last slot is counted, but not here
    int64_t stride              # slots
    double *times               # by group of 8, slot and lane, as the following
    uint8_t *kinds              # which weight
    double *own                 # or all weights
    const double *weights       # by kind; at least 4
    int64_t n_kinds
    int64_t most                # that were counted for one neuron lately


# Some neurons of one population in a slice, while one thread has them.
cdef struct Part:
    Pair begin
    Pair end
    double stop                 # the s of the end; H at the end of an epoch
    neuron_t first              # local id
    neuron_t size
    const Route *routes
    const RowPart *rows             # by s, source and projection
    int64_t n_rows
    const Kick *kicks           # by s
    int64_t n_kicks
    const Extra *extras
    double largest              # size of the weight of a kick
    bint changed                # parameters have just changed: who is due by rounding, fires at the beginning
    const neuron_t *forced      # global ids of those that fire then in any case
    count_t n_forced
    const Recent *recent        # who fired within rounding of the beginning
    count_t n_recent
    Lists lists
    bint is_part                # only those that are chosen
    neuron_t *chosen            # local ids; first those that take no list
    count_t n_chosen
    uint8_t *is_chosen
    # Scratch of the thread.
    double *sums                # by port and neuron
    uint8_t *has_sum
    uint8_t *has_fired
    Sum *touched[MAX_PORTS]
    int64_t n_touched[MAX_PORTS]
    neuron_t *together_targets
    double *together_weights
    Arrived *together           # all that arrives in one instant, and as much again
    count_t together_capacity
    Away *away                  # by s, from the first one on
    count_t first_away
    count_t n_away
    count_t away_capacity
    # What came of it.
    Spike *spikes
    count_t n_spikes
    count_t capacity
    double last_spike           # s; negative without one
    count_t n_close
    Fault fault


cdef inline bint comes_first(const Arrived *a, const Arrived *b, const Route *routes) noexcept nogil:
    """Whether a is to be added before b: by time, source, projection, place in the row, and time of emission."""
    cdef const Route *x
    cdef const Route *y
    if a.s != b.s:
        return a.s < b.s
    if a.route == b.route:
        return a.place < b.place
    x = &routes[a.route]
    y = &routes[b.route]
    if x.source != y.source:
        return x.source < y.source
    if x.rank != y.rank:
        return x.rank < y.rank
    if a.place != b.place:
        return a.place < b.place
    return x.emission.n < y.emission.n or (x.emission.n == y.emission.n and x.emission.s < y.emission.s)


cdef enum:
    RUN = 16    # items that are sorted by insertion


ctypedef fused Item:
    Kick
    Arrived


cdef inline bint is_before(const Item *a, const Item *b, const Route *routes) noexcept nogil:
    if Item is Kick:
        return a.s < b.s
    else:
        return comes_first(a, b, routes)


cdef inline void insert_items(Item *items, int64_t first, int64_t last, const Route *routes) noexcept nogil:
    """The items from `first` to before `last`, of which few are out of order, in order."""
    cdef int64_t k, at
    cdef Item item
    for k in range(first + 1, last):
        if not is_before(&items[k], &items[k - 1], routes):
            continue
        item = items[k]
        at = k
        while at > first and is_before(&item, &items[at - 1], routes):
            items[at] = items[at - 1]
            at -= 1
        items[at] = item


cdef inline void sort_items(Item *kicks, int64_t n, Item *scratch, const Route *routes) noexcept nogil:
    """By time, or in the order in which weights are added: runs by insertion, which are then merged."""
    cdef int64_t first, last, width, at, left, right, middle
    first = 0
    while first < n:
        last = min(first + RUN, n)
        insert_items(kicks, first, last, routes)
        first = last
    width = RUN
    while width < n:
        first = 0
        while first + width < n:
            middle = first + width
            last = min(middle + width, n)
            if is_before(&kicks[middle], &kicks[middle - 1], routes):
                memcpy(scratch, kicks + first, width * sizeof(Item))
                left, right, at = 0, middle, first
                while left < width:
                    if right < last and is_before(&kicks[right], &scratch[left], routes):
                        kicks[at] = kicks[right]
                        right += 1
                    else:
                        kicks[at] = scratch[left]
                        left += 1
                    at += 1
            first += 2 * width
        width *= 2


cdef inline bint is_earlier(const Fault *a, const Fault *b) noexcept nogil:
    if a.s != b.s:
        return a.s < b.s
    if a.kind != b.kind:
        return a.kind > b.kind  # kicks come before spikes
    if a.port != b.port:
        return a.port < b.port
    if a.source != b.source:
        return a.source < b.source
    if a.rank != b.rank:
        return a.rank < b.rank
    return a.place < b.place


cdef inline void note_fault(Fault *first, const Fault *other) noexcept nogil:
    """The first one of the two."""
    if other.kind and (first.kind == 0 or is_earlier(other, first)):
        first[0] = other[0]
