"""Excitatory and inhibitory neurons: strong inhibition keeps them irregular and prevents a runaway.

Every neuron is driven above its threshold, gets spikes from 100 excitatory and 25 inhibitory neurons, and
rests for 2 ms after its own. Voltages are in mV.

Run it with `python excitatory_inhibitory.py`; it writes excitatory_inhibitory.png.
"""

import sparseprop as sp


def main(n: int = 5000, duration: float = 1000.0) -> sp.Result:
    """Simulate `n` neurons, four fifths of them excitatory, for `duration` ms."""
    neuron = sp.LIF(tau_m=20.0, V_th=20.0, V_reset=10.0, I_e=30.0, t_ref=2.0)

    net = sp.Network(seed=1)
    exc = net.add(4 * n // 5, neuron, name="E")
    inh = net.add(n // 5, neuron, name="I")
    for post in (exc, inh):
        net.connect(exc, post, sp.fixed_indegree(100), weight=0.5)
        net.connect(inh, post, sp.fixed_indegree(25), weight=-6.0)
    print(net)

    res = net.run(duration)
    for name in ("E", "I"):
        population = res.population(name)
        print(f"{name}: {population.rate:.1f} Hz, CV of the interspike intervals {population.cv_isi:.2f}")
    res.plot_raster(neurons=200, bin_width=5.0).figure.savefig("excitatory_inhibitory.png", dpi=150)
    return res


if __name__ == "__main__":
    main()
