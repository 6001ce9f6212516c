"""What the lookahead engine has in memory beside the State of all engines."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from sparseprop.engine._slice cimport Arrived, Away, Extra, Fault, Kick, Lists, Recent, Route, RowPart, Spike, Sum
from sparseprop.engine._state cimport Cursor, Lane, Process, State, Status
from sparseprop.engine._tape cimport Entry, TapeBuffer
from sparseprop.engine._team cimport Team
from sparseprop.engine._window cimport Window
from sparseprop.numerics._frames cimport Frame, Pair
from sparseprop.numerics._typedefs cimport count_t, neuron_t


# What is still to come along a cut: places in the row.
cdef struct Span:
    uint32_t at
    uint32_t stop


# Neurons that advance together: those of one population from `first` on.
cdef struct Block:
    int64_t population
    neuron_t first              # local id
    neuron_t size
    int64_t first_drive
    int64_t n_drives
    TapeBuffer *tape            # what it notes for gradients, or NULL
    count_t n_values_before     # on it, when the slice began
    Span *spans                 # by spike in Flights
    count_t n_spans
    count_t spans_capacity
    Span *kept                  # as they were when the slice began
    count_t n_kept
    count_t kept_capacity
    float *due                  # by span: not behind its next arrival, where that is known
    count_t n_due
    count_t due_capacity
    int64_t due_epoch           # the epoch in which these are times
    # Of this slice.
    count_t n_pulled            # what came by spans
    Spike *spikes
    count_t n_spikes
    count_t capacity
    count_t n_close
    count_t n_drive_events
    count_t n_kicks
    count_t no_lists            # slices for which they did not pay
    bint by_lists               # whether it took the last slice by them
    double last                 # the last event of a drive; negative without one


# What one thread has put down for one block.
cdef struct Bucket:
    Kick *kicks
    count_t size
    count_t capacity
    Extra *extras
    count_t n_extras
    count_t extras_capacity


# What a thread has for itself: frames are stamped with an instant, and each thread is in its own.
cdef struct Thread:
    State e                     # of which it owns the structs of populations, `drawn`, `table` and `solved`
    Window q                    # only its edge is used
    Frame **frames              # by population
    Bucket *buckets             # by block
    uint8_t *driven             # as in a TapeBuffer
    # Of the present block.
    Bucket drives
    const Bucket **sources      # what else there is, and these; as many as there are threads and some more
    int64_t n_sources
    Bucket pulled
    uint32_t *from_             # by span: where it began in this slice; or the spans that may have an arrival in it
    count_t from_capacity
    Bucket some                 # of those that are chosen
    Bucket kicks                # all, by time
    Lists lists
    count_t lists_capacity      # items
    uint8_t *is_chosen
    neuron_t *chosen
    Kick *scratch               # as what follows
    count_t scratch_capacity
    Arrived *together
    count_t together_capacity
    Away *away
    count_t away_capacity
    uint32_t *bins
    count_t bins_capacity
    RowPart *rows
    count_t rows_capacity
    double *sums
    uint8_t *has_sum
    uint8_t *has_fired
    Sum *touched
    neuron_t *together_targets
    double *together_weights
    # Of this slice.
    count_t slice               # in which it took part last; what follows is of that one
    count_t rows_slice          # in which it went along rows last: buckets, events and `last` are of that one
    count_t n_synaptic_events
    double last                 # the last arrival; negative without one
    Fault fault
    Status status


# A spike on its way along a row that is cut by blocks of targets.
cdef struct Flying:
    Pair emission
    double back                 # the time from the emission's epoch to that of the slice
    const char *row             # its cuts; see _pull.pxd
    int width
    double weight               # of all synapses
    uint8_t kind
    uint32_t route
    neuron_t source             # local id
    int64_t population          # its
    int64_t projection
    count_t number              # of the spike in the log


# All those to one population; what is before the head has arrived.
cdef struct Flights:
    Flying *items
    count_t head
    count_t size
    count_t capacity


# A row of synapses, or the rest of one, along which something arrives in the slice.
cdef struct Way:
    int64_t projection
    neuron_t source             # local id
    double s                    # when, if all of it has one delay
    int64_t cursor              # otherwise which; or -1
    uint32_t number             # of its route
    Route route


# Where an input was when a slice began.
cdef struct Place:
    int64_t k
    count_t at


cdef struct Saved:
    double **x                  # by population, as the following
    Pair **base
    Pair **release
    uint8_t **waiting
    double *at_release          # as in a TapeBuffer, with a tape
    count_t *log_size
    count_t *next               # by lane
    count_t *n_flying           # by population
    Cursor *cursors
    count_t n_cursors
    count_t cursors_capacity
    count_t trains[2]
    Place *processes
    Place *drives


# What a slice came to, on all ranks if there are several.
cdef struct Totals:
    count_t n_spikes
    count_t n_synaptic_events
    count_t n_drive_events
    count_t n_close
    double last                 # what happened last; negative if nothing did
    double load                 # kicks of a block, at most, over what should not be exceeded
    Fault fault


cdef struct Look:
    State *e
    void *ranks                 # the Ranks among which the network is shared, or NULL
    bint failed                 # and they could not speak: their `failure` says why
    Window *window
    double longest              # ms, of a slice
    double length               # of the next ones, so that a block gets not too much
    double grid                 # of intervals of drives, at whose ends slices end rather; or 0
    int n_threads
    Thread *threads
    int64_t n_made              # threads that are allocated
    Team team
    int shift                   # a block has 2^shift neurons
    Bucket nothing
    Block *blocks
    int64_t n_blocks
    int64_t *first_block        # by population, and how many there are at the end
    uint32_t **cuts             # by projection: where in the row of a source each block begins; or NULL
    int64_t n_cuts
    char **rows                 # by projection with a delay for each synapse and cuts: what is in these, or NULL
    int *widths                 # and bytes for each synapse
    double *longest_delay       # as well
    Flights *flying             # by target population
    double kinds[256]           # the weights of projections and drives that have only one
    int64_t n_kinds
    uint8_t *kind               # by projection
    uint8_t *has_own            # by population, whether other weights arrive
    double *largest             # by population, the size of a weight that may arrive
    Process *drives             # by block and drive
    int64_t n_drives
    Lane *lanes                 # with those of sources whose synapses have no delay
    int64_t n_lanes
    Cursor *cursors
    count_t n_cursors
    count_t cursors_capacity
    bint stale                  # what threads have copied has changed
    int64_t empty_slices        # in a row
    # The slice.
    count_t slice               # its number
    Pair begin
    Pair end
    double stop                 # the s of its end; H at the end of an epoch
    bint changed
    Route *routes               # drives, by their number in the network, then rows
    count_t routes_capacity
    count_t n_routes
    Way *ways                   # along which weights are put down for blocks
    count_t n_ways
    count_t ways_capacity
    Way *pulled                 # of which blocks take their parts themselves: by time, source and projection
    count_t n_pulled
    count_t pulled_capacity
    count_t n_pulled_events
    double last_pulled          # s; negative without one
    long long next_way
    long long next_block
    Spike *spikes               # of neurons
    count_t n_spikes
    count_t spikes_capacity
    Spike *emitted              # of sources
    count_t n_emitted
    count_t emitted_capacity
    Entry *notes                # of all blocks for the tape
    count_t n_notes
    count_t notes_capacity
    Recent *recent
    count_t n_recent
    count_t recent_capacity
    Totals totals
    # To take a slice once more.
    bint keeps
    bint again
    Saved saved
