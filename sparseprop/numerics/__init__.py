"""How time and neurons are computed: pairs of times, drifts, tables of flows, bins."""
