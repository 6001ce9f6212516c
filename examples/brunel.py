"""Brunel's network of excitatory and inhibitory neurons in its four regimes (J. Comput. Neurosci. 8:183, 2000).

10,000 excitatory and 2,500 inhibitory neurons with delays of 1.5 ms and Poisson input to each. Which regime it is
follows from the strength of inhibition g and the external rate, in units of the one that just reaches threshold.

Run it with `python brunel.py`; it takes about two minutes, and writes brunel.png.
"""

import math

import numpy as np

import sparseprop as sp

REGIMES = {"A: synchronous regular": (3.0, 2.0), "B: synchronous irregular, fast": (6.0, 4.0)}
REGIMES |= {"C: asynchronous irregular": (5.0, 2.0), "D: synchronous irregular, slow": (4.5, 0.9)}
TAU, THRESHOLD, J, T_REF = 20.0, 20.0, 0.1, 2.0


def network(g: float, eta: float, n: int = 12_500, V_reset: float = 10.0, seed: int = 1) -> sp.Network:
    """Brunel's model A: every neuron gets n/12.5 excitatory, n/50 inhibitory and n/12.5 external connections."""
    c_e, c_i = 2 * n // 25, n // 50
    net = sp.Network(seed=seed)
    neuron = sp.LIF(tau_m=TAU, V_th=THRESHOLD, V_reset=V_reset, t_ref=T_REF)
    E, I = net.add(4 * n // 5, neuron, name="E", V=0.0), net.add(n // 5, neuron, name="I", V=0.0)
    for post in (E, I):
        net.connect(E, post, sp.fixed_indegree(c_e), weight=J, delay=1.5)
        net.connect(I, post, sp.fixed_indegree(c_i), weight=-g * J, delay=1.5)
        net.drive(post, sp.poisson(1e3 * eta * THRESHOLD / (J * TAU)), weight=J)
    return net


def siegert_rate(g: float, eta: float, n: int = 12_500, V_reset: float = 10.0) -> float:
    """The rate in Hz of the asynchronous state in mean-field theory: first passage of white noise (eq. 21 there)."""
    from scipy.integrate import quad
    from scipy.optimize import brentq
    from scipy.special import erfcx

    c_e, c_i, external = 2 * n // 25, n // 50, eta * THRESHOLD / (J * TAU)  # per ms

    def response(rate: float) -> float:
        mean = TAU * J * (external + 1e-3 * rate * (c_e - g * c_i))
        sigma = math.sqrt(TAU * J**2 * (external + 1e-3 * rate * (c_e + g**2 * c_i)))
        low, high = (V_reset - mean) / sigma, (THRESHOLD - mean) / sigma
        if low > 20.0:
            return 0.0
        return 1e3 / (T_REF + TAU * math.sqrt(math.pi) * float(quad(lambda u: erfcx(-u), low, high)[0]))

    return float(brentq(lambda rate: response(rate) - rate, 1e-6, 500.0))


def oscillation(counts: np.ndarray) -> float:
    """The frequency in Hz at which the spectrum of spike counts in bins of 1 ms is highest, above 5 Hz."""
    power, frequency = np.abs(np.fft.rfft(counts - counts.mean())) ** 2, np.fft.rfftfreq(counts.size, 1e-3)
    power[frequency < 5.0] = 0.0
    return float(frequency[np.argmax(power)])


def main(n: int = 12_500, duration: float = 600.0, picture: str = "brunel.png") -> dict[str, float]:
    """Simulate the four regimes for `duration` ms each, after 200 ms of transient."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    rates = {}
    for ax, (name, (g, eta)) in zip(axes.flat, REGIMES.items(), strict=True):
        sim = sp.Simulation(network(g, eta, n))
        sim.run(200.0)
        res = sim.run(duration, record=sp.Record(spikes={"E": range(50)}, bins=1.0))
        rates[name] = res.rate
        peak, theory = oscillation(res.counts["E"]), siegert_rate(g, eta, n)
        print(f"{name:32} {res.rate:6.1f} Hz, mean field {theory:6.1f} Hz, peak at {peak:5.1f} Hz", flush=True)
        ax.plot(res.times, res.ids, "k.", markersize=2)
        ax.set(title=f"{name}\n{res.rate:.1f} Hz", xlabel="time (ms)", ylabel="neuron", xlim=(200.0, 300.0))
    figure.savefig(picture, dpi=80)
    return rates


if __name__ == "__main__":
    main()
