"""A network from a matrix of weights, W[target, source], such as a connectome.

Here the matrix is a ring: each neuron inhibits its neighbours on either side, the nearest ones most.

Run it with `python from_matrix.py`; it writes from_matrix.png.
"""

import numpy as np
import scipy.sparse

import sparseprop as sp


def ring(n: int, reach: int) -> scipy.sparse.csr_array:
    """Weights of a ring of n neurons as a sparse matrix, in the voltage of the model."""
    distances = np.arange(1, reach + 1)
    distances = np.concatenate([distances, -distances])
    source = np.repeat(np.arange(n), len(distances))
    target = (source + np.tile(distances, n)) % n
    weight = np.tile(-0.3 * np.exp(-np.abs(distances) / (0.5 * reach)), n)
    return scipy.sparse.csr_array((weight, (target, source)), shape=(n, n))


def main(n: int = 200, duration: float = 500.0) -> sp.Result:
    """Simulate a ring of `n` theta neurons for `duration` ms."""
    W = ring(n, reach=10)

    net = sp.Network(seed=1)
    neurons = net.add(n, sp.Theta(tau_m=10.0, I_e=1.0), name="ring")
    projection = net.connect(neurons, neurons, W)
    print(net)

    res = net.run(duration)
    print(res)
    res.plot_raster().figure.savefig("from_matrix.png", dpi=150)

    # Everything that has one value per synapse is in the order of the projection.
    strongest = np.argmin(projection.weight)
    print(
        f"strongest synapse: {projection.sources[strongest]} -> {projection.targets[strongest]}, "
        f"weight {projection.weight[strongest]:.3f}"
    )
    return res


if __name__ == "__main__":
    main()
