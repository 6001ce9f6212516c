"""How many neurons the lookahead engine lets advance together."""

# Neurons of a block: their states, and what arrives at them in a slice, are to stay in the cache near a core.
BLOCK = 512
# Synapses of a row that a block is to get.
PART = 48
# Synapses of a row in a block, from which on blocks look up their parts themselves.
DENSE = 4.0
# Neurons of a block, at most, where there are drives, which give each of them much in a slice.
MOST_DRIVEN = 8192
# Neurons of a block where sparse rows have a delay for each synapse, without and with drives: each weight is put down
# for another block, and if there are many of these, far away.
SPARSE = 8192
SPARSE_DRIVEN = 2048


def block_size(network, n_threads):
    """The size of blocks for an EngineInput, a power of two.

    At least :data:`BLOCK`; more, where rows are sparse, as long as all threads have a few blocks.
    """
    share, total, wanted = 0.0, 0, BLOCK
    has_drives = any(process.weight is not None for process in network.processes)
    largest = max(population.size for population in network.populations)
    for projection in network.projections:
        n, pre = projection.adjacency.n_synapses, network.populations[projection.pre].sources[1]
        if n == 0:
            continue
        part = n / pre / max(network.populations[projection.post].size, 1)  # of a row, for each neuron of a block
        if isinstance(projection.delay, float):
            share += n * part
            total += n
        elif part * BLOCK < DENSE:
            wanted = min(SPARSE_DRIVEN if has_drives else SPARSE, largest / (4 * n_threads))
    if total:
        most = MOST_DRIVEN if has_drives else 1 << 16
        wanted = max(wanted, min(PART * total / share, largest / n_threads if n_threads > 1 else largest, most))
    return max(BLOCK, 1 << max(int(wanted) - 1, 1).bit_length())
