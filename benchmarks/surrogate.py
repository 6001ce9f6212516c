"""Networks of ours in steps of time, in PyTorch: what benchmarks of surrogate gradients share."""

import numpy as np


class DenseWeights:
    """Weights of a projection as a dense matrix: zeros where there is no synapse, the rest trained."""

    def __init__(self, torch, p):
        self.at = p.targets, p.sources
        self.values = torch.zeros(p.post.n, p.pre.n)
        self.values[self.at] = torch.tensor(np.array(p.weight)).float()
        self.there = torch.zeros_like(self.values)
        self.there[self.at] = 1.0
        self.values.requires_grad_()

    def __call__(self):
        return self.values * self.there

    def of_synapses(self, matrix):
        """Entries of a matrix in the order of the projection's synapses."""
        return matrix.detach().numpy()[self.at].astype(float)


def response(model, t):
    """V of a LIFExp neuron at t after a spike of weight 1 that meets it at rest; 0 before."""
    a, b = np.exp(-np.maximum(t, 0.0) / model.tau_syn), np.exp(-np.maximum(t, 0.0) / model.tau_m)
    return model.tau_syn / (model.tau_syn - model.tau_m) * (a - b)


def readout_kernel(torch, model, times, step, n_steps):
    """V of a readout at times (rows) by spikes in steps (columns), which count from the ends of steps."""
    return torch.tensor(response(model, np.subtract.outer(times, step * np.arange(1, n_steps + 1)))).float()


def binned(times, sample, ids, shape, step):
    """Numbers of spikes of (steps, samples, sources)."""
    counts = np.zeros(shape, np.float32)
    np.add.at(counts, (np.minimum((times / step).astype(np.int64), shape[0] - 1), sample, ids), 1.0)
    return counts


def snntorch_neurons(snntorch, model, step, slope):
    """(What a spike of weight 1 adds to a current, neurons that take a step): snnTorch's Synaptic.

    Its potentials and currents are those of a LIFExp neuron at the ends of steps, without rounding of time constants;
    a spike resets the potential in the next step. Currents are added to potentials as they are, hence the factor.
    """
    neurons = snntorch.Synaptic(
        alpha=np.exp(-step / model.tau_syn), beta=np.exp(-step / model.tau_m), reset_mechanism="zero",
        spike_grad=snntorch.surrogate.fast_sigmoid(slope=slope),
    )  # fmt: skip

    def advance(current, state):
        fired, *state = neurons(current, *state)
        return fired, state

    return float(response(model, step)), advance


def norse_neurons(torch, model, step, alpha):
    """The same for Norse's LIF neurons: steps of Euler, SuperSpike."""
    from norse.torch.functional import lif

    rates = {"tau_syn_inv": 1.0 / model.tau_syn, "tau_mem_inv": 1.0 / model.tau_m, "alpha": alpha}
    parameters = lif.LIFParameters(method="super", **{name: torch.tensor(value) for name, value in rates.items()})

    def advance(current, state):
        v, i = state[1], state[0]
        fired, state = lif.lif_feed_forward_step(current, lif.LIFFeedForwardState(v=v, i=i), parameters, dt=step)
        return fired, (state.i, state.v)

    return 1.0, advance
