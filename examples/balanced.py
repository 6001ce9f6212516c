"""The balanced network of the SparseProp paper: inhibition alone, and yet irregular spikes.

Run it with `python balanced.py`; it writes balanced.h5 (the spikes) and balanced.png (a picture).
"""

import sparseprop as sp


def main(n: int = 10_000, duration: float = 1000.0) -> sp.Result:
    """Simulate `n` neurons for `duration` ms."""
    net = sp.balanced_network(n, sp.LIF(tau_m=10.0), outdegree=100, j0=1.0, rate=1.0, seed=1)
    print(net)
    res = net.run(duration)
    print(res)
    res.save("balanced.h5")
    res.plot_raster(neurons=500).figure.savefig("balanced.png", dpi=150)
    return res


if __name__ == "__main__":
    main()
