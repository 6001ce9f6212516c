"""What an engine has in memory, and what is asked of it alone, whichever pass asks.

The structs are declared here only; each compiled unit that works with them takes them from here.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sparseprop.connectivity._poisson cimport Drawing, Poisson
from sparseprop.engine._agenda cimport Agenda
from sparseprop.engine._heap cimport Heap
from sparseprop.engine._slice cimport Part
from sparseprop.engine._tape cimport TapeBuffer
from sparseprop.engine._window cimport Window
from sparseprop.numerics._frames cimport Frame, Pair
from sparseprop.numerics._memory cimport grow
from sparseprop.numerics._typedefs cimport MAX_PORTS, count_t, neuron_t, synapse_t


cdef enum:
    # States beyond this number, half a MiB of LIF, do not stay in the caches near a core.
    FAR = 65536
    # Next spikes that are remembered, a power of two.
    N_SOLVED = 256


# The event queues. A heap has an entry for every neuron, moved at every kick. A window has entries only for those that
# may fire before its edge, and knows when they can be stale.
ctypedef fused Queue:
    Heap
    Window


cdef enum Status:
    RUNNING = 0
    TIME = 1
    SPIKES = 2
    QUIESCENT = 3
    # Faults: the engine cannot go on.
    RUNAWAY = 4
    NUMERICAL = 5
    NO_MEMORY = 6
    DISORDER = 7
    FAILED = 8                  # an exception waits to be raised


cdef struct Projection:
    int64_t post                # index of the target population
    int64_t rank                # its number in the network
    int64_t port                # which current of the targets gets the weight
    bint has_multapses
    double delay                # ms, of all synapses
    const double *delays        # one per synapse, or NULL; rows are then in the order of delays
    const neuron_t *places      # with `delays`: where in the row each synapse is for the user
    bint procedural             # rows are drawn when they are needed: what follows up to n_post; otherwise stored
    uint64_t key[2]
    uint64_t stream
    uint64_t purpose
    bint skip_self
    bint with_replacement
    int64_t n_post
    neuron_t low                # of what is drawn, the targets from here to before `high` are here, numbered from 0
    neuron_t high
    const synapse_t *offsets
    int64_t degree              # of every source, or -1 if they differ
    const neuron_t *targets
    const double *weights       # one per synapse, or NULL
    double weight               # of all synapses
    double largest              # size of a weight


cdef struct Flight:
    Pair emission
    neuron_t source             # local id


# All synapses of a population that have one delay.
cdef struct Lane:
    int64_t population
    double delay
    int64_t first_projection
    int64_t n_projections
    bint one_weight_per_target
    bint may_reach_nobody       # whether some sources have no synapse
    count_t next                # number of the spike in the log that is delivered next


# A spike on its way through a row of synapses with a delay each.
cdef struct Cursor:
    Pair emission
    neuron_t source             # local id
    int64_t population
    int64_t projection
    count_t number              # of the spike, as in the log
    synapse_t at                # the next synapse, in the arrays of the projection
    synapse_t stop
    int64_t next_free


cdef struct Train:
    const double *times         # ms
    const int64_t *ids          # global
    count_t size
    count_t at


cdef struct Process:
    Poisson poisson
    int64_t number              # in the network
    int64_t population
    bint is_source
    int64_t port
    const double *weights       # one per neuron, or NULL
    double weight
    Pair start                  # of the interval that is drawn
    int64_t n_intervals         # no events behind the last one of them
    count_t at


cdef enum:
    AHEAD = 32


# Exponentials of a drive's next events, which are taken many at a time: growth[j] = exp(s[j] / scale).
cdef struct Ahead:
    const Process *process
    int64_t k                   # the interval of the process
    count_t first               # which of its events s[0] is
    count_t n
    double scale
    double s[AHEAD]
    double growth[AHEAD]


# A part of what arrives in an instant: a row, one synapse of it, or an event of a drive.
cdef struct Arrival:
    int64_t source              # global id; for a drive a number above all
    int64_t rank
    int64_t place
    Pair emission
    int64_t projection          # -1 for a drive
    synapse_t at                # in the projection's arrays, or -1 for the whole row
    neuron_t target             # global id, for a drive
    double weight


cdef struct Ops             # what follows below: the functions of a kind of neurons
cdef struct State


cdef struct Population:
    neuron_t first              # global id of its first neuron here
    neuron_t size
    neuron_t origin             # global id of its first neuron on all ranks: rows of synapses begin with its own
    neuron_t n_sources          # and how many neurons that are
    const Ops *ops              # NULL for sources
    void *rows                  # parameters, of the kernel's type
    bint heterogeneous          # one row per neuron; otherwise one for all
    Frame *frames
    neuron_t n_frames
    int64_t epoch               # to which frames and states belong
    int64_t width               # doubles of state per neuron
    double *own                 # of heterogeneous kernels with `kick_each`: what that reads, or NULL
    double *edges               # behind it: the part that depends on the window's edge
    double *shared              # behind that: what its neurons share
    int64_t own_epoch           # and for which epoch and edge that is
    Pair own_edge
    bint own_fits               # the loops that go by it hold for all its neurons
    bint own_suffices           # to say who fires before the edge, of all its neurons
    bint one_frame              # all its neurons have the same frames
    double drift                # of kernels that keep lengths in range: powers of two by which they may be off
    double *x
    Pair *base                  # a time beside each state, of kernels with `keeps_base`, or NULL
    Pair *release               # end of the refractory period, or NULL without one
    uint8_t *waiting            # with `release`: a bit for every neuron that may be refractory
    int64_t first_projection    # of those without delay
    int64_t n_projections
    int64_t first_delayed       # of those with a delay for each synapse
    int64_t n_delayed
    int64_t first_lane          # of the others
    int64_t n_lanes
    Flight *log                 # spikes that some lane has not delivered yet
    count_t log_start           # the number of the first one, of all spikes since the start
    count_t log_size
    count_t log_capacity
    bint one_weight_per_target  # one spike reaches no target twice without delay
    bint oscillates             # some neuron may fire by itself
    int64_t scan_cost           # of a neuron in a scan, in units of that of LIF
    bint plain                  # one parameter row, no refractoriness: the hot loops apply


cdef struct List:
    neuron_t *items
    count_t size
    count_t capacity


cdef struct Gathered:
    Pair time
    neuron_t neuron


# A next spike that was costly to solve for, and the state that it follows from.
cdef struct Solved:
    neuron_t neuron
    double state[3 + MAX_PORTS]  # of no kernel is it wider
    Pair t


cdef struct State:
    double H
    Pair now
    Pair last                   # the instant that was taken last: what came by then is over
    bint restoring              # spikes are put on their way again, and what was over is left out
    int64_t instant             # counts instants; what frames are stamped with
    neuron_t n
    int64_t n_populations
    Population *populations
    Projection *projections
    double margin               # ms; rounding never moves a next spike by as much
    Agenda agenda
    Lane *lanes
    int64_t n_lanes
    Cursor *cursors
    count_t n_cursors
    count_t cursors_capacity
    int64_t free_cursor         # the first of a chain of free ones, or -1
    Train trains[2]             # what the sources were made with, and what was injected since
    Process *processes
    int64_t n_processes
    Drawing drawing             # scratch for their events
    Ahead ahead
    Solved *solved              # by neuron modulo N_SOLVED; NULL without models that need it
    bint collected              # window: e.due has been filled while the instant was looked for
    Gathered *gathered          # window: entries that are due together, or nearly
    count_t n_gathered
    count_t gathered_capacity
    # This instant.
    List due                    # heap positions, then ids, of the generation
    List forced                 # neurons that were due when their parameters changed
    List driven                 # window: neurons that a kick of this generation brought to threshold
    List found                  # scratch of the hot loops
    List held
    List drawn                  # the present row of a procedural projection
    neuron_t asked[4]           # neurons whose rows were asked for last
    int64_t next_asked
    uint32_t *table             # scratch for drawing, all bits set
    List fired                  # all that fired in this instant
    List touched[MAX_PORTS]     # targets with an arriving weight, by port
    List emitting               # sources that spike now
    Arrival *arrivals
    count_t n_arrivals
    count_t arrivals_capacity
    uint8_t *has_fired          # bit sets over all neurons
    int64_t n_ports             # the largest number that a population has
    uint8_t *has_arrival        # one such set for each port
    double *arriving            # summed weights of this generation by port, allocated when first needed
    # What came out.
    bint record_sources
    double *spike_times
    List spike_ids
    count_t spike_capacity
    count_t n_spikes
    count_t n_synaptic_events
    count_t n_input_events      # spikes of sources and events of drives
    count_t n_drive_events      # the latter
    # Kicks that come within rounding of a spike of their target.
    count_t n_close_calls
    double tolerance            # ms
    uint8_t *is_close           # bit set over all neurons: who fires within rounding of this instant, or has just fired
    List close                  # those in it
    List looked                 # scratch: positions in the queue
    bint crowded                # window: more than the due neurons may be close
    Pair fired_time             # of the last spike, whose neurons are in `fired`
    Gathered *recent            # who fired before that, within rounding of the next instant
    count_t n_recent
    count_t recent_capacity
    # Where a fault happened.
    neuron_t faulty
    TapeBuffer *tape                  # for gradients, or NULL


# The functions of a kind of neurons, by which the loop reaches them: models/_<m>.pxd in engine/_population.pxi, where
# they are explained. The two of a name are for the two kinds of queue.
cdef struct Ops:
    size_t row_size
    # What a population of such neurons is like, once its rows are filled in.
    object (*fill)(void *rows, int64_t k, constants, frames, double H)
    bint (*describe)(Population *p, int64_t n_rows) noexcept nogil
    void (*give_current)(void *rows, int64_t k, double I_e, const double *leak) noexcept nogil  # or NULL
    const void *back            # a BackOps of engine/_pass.pxd
    const void *tangent         # a TangentOps of engine/_plan.pxd
    bint is_costly
    bint has_currents
    bint notes_states
    int64_t own_width
    int64_t edge_width
    int64_t (*ports)(const Population *p) noexcept nogil
    bint (*has_coordinate)(const Population *p) noexcept nogil
    # Whole populations.
    void (*rescale)(Population *p) noexcept nogil
    void (*place)(State *e, Population *p, const double *V, const double *refractory) noexcept nogil
    void (*look)(const State *e, const Population *p, double *seen) noexcept nogil
    void (*take_over)(State *e, Population *p, const void *old, bint heterogeneous,
                      const double *seen) noexcept nogil
    Status (*scan)(State *e, Window *q, Population *p) noexcept nogil
    void (*take_own)(const State *e, const Window *q, Population *p) noexcept nogil
    # One neuron, by its local id.
    void (*place_one)(State *e, Population *p, neuron_t i, double V, double refractory) noexcept nogil
    void (*place_currents)(State *e, Population *p, neuron_t i, const double *currents) noexcept nogil
    Pair (*next_spike)(const State *e, const Population *p, neuron_t i) noexcept nogil
    bint (*fires_before_edge)(const State *e, const Window *q, const Population *p, neuron_t i) noexcept nogil
    double (*earliest)(const State *e, const Window *q, const Population *p, neuron_t i) noexcept nogil
    double (*coordinate)(const Window *q, const Population *p, neuron_t i) noexcept nogil
    bint (*is_unchanged)(const Population *p, neuron_t i, Pair since) noexcept nogil
    double (*voltage)(const State *e, const Population *p, neuron_t i) noexcept nogil
    double (*port_current)(const State *e, const Population *p, neuron_t i, int64_t port) noexcept nogil
    double (*current_sum)(const State *e, const Population *p, neuron_t i, Pair t) noexcept nogil
    Status (*schedule)(State *e, Window *q, const Population *p, neuron_t i) noexcept nogil
    Status (*reset_in_heap)(State *e, Heap *q, Population *p, neuron_t i) noexcept nogil
    Status (*reset_in_window)(State *e, Window *q, Population *p, neuron_t i) noexcept nogil
    Status (*kick_in_heap)(State *e, Heap *q, Population *p, neuron_t i, double weight, int64_t port) noexcept nogil
    Status (*kick_in_window)(State *e, Window *q, Population *p, neuron_t i, double weight,
                             int64_t port) noexcept nogil
    Status (*deliver_in_heap)(State *e, Heap *q, Population *p, const neuron_t *targets, const double *weights,
                              double weight, double largest, int64_t count, int64_t port) noexcept nogil
    Status (*deliver_in_window)(State *e, Window *q, Population *p, const neuron_t *targets, const double *weights,
                                double weight, double largest, int64_t count, int64_t port) noexcept nogil
    # Some neurons, each on its own: models/_<m>.pxd in engine/_population_lookahead.pxi.
    Status (*advance)(State *e, Window *q, Population *p, Part *w) noexcept nogil
    # NULL where kicks do not only add up.
    bint (*takes_lists)(const State *e, const Population *p, const Part *w) noexcept nogil
    Status (*advance_lists)(State *e, Window *q, Population *p, Part *w) noexcept nogil


cdef inline bint reserve(List *a, count_t n) noexcept nogil:
    """Room for n items; False if there is no memory."""
    return grow(<void **> &a.items, &a.capacity, n, sizeof(neuron_t))


cdef inline bint append(List *a, neuron_t item) noexcept nogil:
    if a.size == a.capacity and not reserve(a, a.size + 1):
        return False
    a.items[a.size] = item
    a.size += 1
    return True


cdef inline bint get_bit(const uint8_t *bits, neuron_t i) noexcept nogil:
    return (bits[i >> 3] >> (i & 7)) & 1


cdef inline void set_bit(uint8_t *bits, neuron_t i) noexcept nogil:
    bits[i >> 3] |= <uint8_t> (1 << (i & 7))


cdef inline void clear_bit(uint8_t *bits, neuron_t i) noexcept nogil:
    bits[i >> 3] &= <uint8_t> ~(1 << (i & 7))


cdef inline int64_t population_of(const State *e, neuron_t i) noexcept nogil:
    cdef int64_t low = 0, high = e.n_populations - 1, middle
    while low < high:
        middle = (low + high + 1) // 2
        if e.populations[middle].origin <= i:
            low = middle
        else:
            high = middle - 1
    return low


cdef inline Pair nowhere() noexcept nogil:
    """Before all times."""
    cdef Pair t
    t.n = -1
    t.s = 0.0
    return t
