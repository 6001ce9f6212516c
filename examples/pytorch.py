"""Yin-Yang in PyTorch: a spiking network as a module, with torch's own loss and optimiser."""

import torch

import sparseprop as sp
from sparseprop import training
from sparseprop.torch import SpikingNetwork

DURATION = 50.0


def main(n: int = 5000, epochs: int = 20, hidden: int = 120, batch_size: int = 50, lr: float = 5e-3) -> float:
    """Train, and return the share of test samples that are right."""
    torch.manual_seed(1)
    neuron = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
    output = sp.LIFExp(tau_m=20.0, tau_syn=5.0, I_e=1.2)  # fires at 36 ms by itself, so that none is silent
    network = SpikingNetwork(training.layered_network([5, hidden, 3], [neuron, output], seed=1), DURATION)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    def samples(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        values, labels = training.yin_yang(number, seed)
        return torch.tensor(training.latencies(values, bias=15.0)), torch.tensor(labels)

    train, test = samples(n, 42), samples(n, 40)
    for epoch in range(epochs):
        for chosen in torch.randperm(n).split(batch_size):
            inputs, labels = (values[chosen] for values in train)
            t = network(inputs).clamp(max=DURATION)  # outputs that still do not fire
            late = torch.exp(t.gather(1, labels[:, None]) / 6.4).mean()
            loss = torch.nn.functional.cross_entropy(-t / 0.5, labels) + 3e-3 * late
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # near grazing gradients have no bound
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            right: float = (network(test[0]).argmin(dim=1) == test[1]).double().mean().item()
        print(f"epoch {epoch + 1}: {100.0 * right:.2f} % right")
    return right


if __name__ == "__main__":
    main()
