"""Eight neurons side by side, as in `lanes.h`: see there."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

cdef extern from "sparseprop/numerics/lanes.h":
    enum:
        LANES "SP_LANES"
        SLOTS "SP_SLOTS"
        # Bytes of a synapse of a row that is cut, without and with a weight.
        NARROW "(int) sizeof(sp_synapse)"
        WIDE "(int) sizeof(sp_weighted_synapse)"
    void ask "sp_ask"(const void *address) noexcept nogil
    ctypedef struct Synapse "sp_synapse":
        double delay
        uint16_t target
    ctypedef struct WeightedSynapse "sp_weighted_synapse":
        Synapse synapse
        double weight
        int32_t place
    const Synapse *synapse_at "SP_SYNAPSE_AT"(const char *row, int64_t width, int64_t k) noexcept nogil
    uint32_t pull "sp_pull"(const char *row, uint32_t k, uint32_t end, double s, double back, double begin,
                            double stop, uint32_t *counts, int64_t stride, double *times, uint8_t *kinds,
                            uint8_t kind) noexcept nogil
    uint32_t pull_own "sp_pull_own"(const char *row, int64_t width, uint32_t k, uint32_t end, double s, double back,
                                    double begin, double stop, uint32_t *counts, int64_t stride, double *times,
                                    double *own, double weight) noexcept nogil
    int64_t add_row "sp_add_row"(double *sums, uint8_t *has, int32_t *noted, int64_t n, const int32_t *targets,
                                 const double *weights, double weight, int64_t count, int32_t first) noexcept nogil
    int64_t kick_sums "sp_kick_sums"(double *x, const double *sums, uint8_t *has, const int32_t *noted, int64_t n,
                                     double E, double bound, int32_t *found) noexcept nogil
    ctypedef struct Group "sp_group":
        uint32_t keys[]
        double steps[]
        double bounds[]
        double x[]
    ctypedef struct KicksOf "sp_kicks_of":
        double begin
        double stop
        double scale
        double tau
        double start
        double gap
        double least
        const double *weights
        int64_t n_kinds
    void prepare "sp_prepare"(Group *g, const double *times, const uint8_t *kinds, const double *own,
                              const uint32_t *counts, int64_t n_slots, const KicksOf *f) noexcept nogil
    void sort_lanes "sp_sort_lanes"(Group *g, int64_t n_slots) noexcept nogil
    uint32_t tied_lanes "sp_tied_lanes"(const Group *g, int64_t n_slots) noexcept nogil
    uint32_t kick_lanes "sp_kick_lanes"(Group *g, int64_t n_slots) noexcept nogil
