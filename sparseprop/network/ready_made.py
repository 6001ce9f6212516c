"""Networks that are described in a line, and their rates."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .. import _validation
from ..connectivity import fixed_outdegree
from ..errors import ParameterError, named_arguments, shown
from ..models import NeuronModel, names_of, uniform_phase
from ..run.simulation import Simulation
from .network import Network

__all__ = ["balanced_network", "calibrate_rate"]


@named_arguments
def balanced_network(
    n: int, model: NeuronModel, outdegree: int, j0: float = 1.0, rate: float = 1.0, seed: int | None = None
) -> Network:
    """The balanced inhibitory network of the SparseProp paper.

    Each neuron inhibits `outdegree` others; drive and weights scale so that the two balance. With tau in seconds:
    LIF ``I_e = (V_th - E_L) + (V_th - V_reset) tau sqrt(outdegree) j0 rate``, weight
    ``-j0 (V_th - V_reset) / sqrt(outdegree)``; LIFExp the same, the weight times ``tau_m / tau_syn`` (of port 0), so
    that a spike has the same area in V and the mean input balances the same drive; EIF as LIF, with V_T in the place of
    V_th in units and weights, and the rheobase ``V_T - Delta_T`` as what the drive exceeds; QIF and Theta
    ``I_e = tau sqrt(outdegree) j0 rate``, weight ``-j0 / sqrt(outdegree)``. Initial states are uniform in phase.

    Parameters
    ----------
    n : int
        Number of neurons.
    model : LIF, LIFExp, EIF, QIF or Theta
        With numbers, not arrays, as parameters, and without I_e.
    outdegree : int
        Targets per neuron, K.
    j0 : float
        Coupling strength.
    rate : float
        Wanted rate in Hz. **Not the rate that comes out**: the balance is exact only for K to infinity. At K = 100
        and 1 Hz wanted it is 3.4 Hz for LIF and 1.32 Hz for theta neurons; see :func:`calibrate_rate`.
    seed : int, optional

    Returns
    -------
    Network
        With one population, named ``"neurons"``.

    References
    ----------
    Engelken (2023), SparseProp, NeurIPS 36; van Vreeswijk and Sompolinsky (1996), doi:10.1126/science.274.5293.1724.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=100, seed=1)
    >>> net.n_neurons, net.n_synapses
    (1000, 100000)
    """
    if not isinstance(model, NeuronModel):
        raise ParameterError(f"model must be a neuron model such as sp.LIF(tau_m=10.0), got {shown(model)}")
    if model.size is not None or model.distributions:
        raise ParameterError("model of a balanced network must have numbers, not arrays, as parameters")
    if model.I_e != 0.0:
        raise ParameterError(f"model of a balanced network must not have its own I_e, got {model.I_e}; leave it out")
    j0 = _validation.real(j0, "j0", "a finite number > 0", low=0.0, low_open=True)
    rate = _validation.real(rate, "rate", "a finite rate > 0 Hz", unit="Hz", low=0.0, low_open=True)
    outdegree = _validation.integer(outdegree, "outdegree", "a whole number >= 1", low=1)
    drive = model.tau_m * 1e-3 * math.sqrt(outdegree) * j0 * rate
    if type(model).balance is NeuronModel.balance:
        known = names_of(lambda model: model.balance is not NeuronModel.balance)
        raise ParameterError(
            f"model of a balanced network must be a {known}, got {shown(model)}: for another drift nobody knows the "
            "drive and the unit of weights; use Network.add and connect"
        )
    I_e, weight = model.balance(drive, -j0 / math.sqrt(outdegree))
    model = dataclasses.replace(model, I_e=I_e)
    net = Network(seed)
    neurons = net.add(n, model, name="neurons", V=uniform_phase())
    net.connect(neurons, neurons, fixed_outdegree(outdegree), weight=weight)
    return net


@named_arguments
def calibrate_rate(net: Network, target: float, tol: float = 0.01) -> Network:
    """Scale the drive so that the network fires at a given rate.

    Parameters
    ----------
    net : Network
    target : float
        Wanted mean rate over all neurons in Hz.
    tol : float
        Relative tolerance of the rate, as measured over enough spikes to resolve it.

    Returns
    -------
    Network
        A new network, the same but for I_e, which is multiplied by one number in all populations.

    Raises
    ------
    ParameterError
        If no drive gives that rate: the message has the range that was tried.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=100, seed=1)
    >>> net = sp.calibrate_rate(net, 5.0, tol=0.05)
    >>> bool(abs(net.run(2000.0).rate - 5.0) < 0.5)
    True
    """
    if not isinstance(net, Network):
        raise ParameterError(f"net must be a Network, got {shown(net)}")
    target = _validation.real(target, "target", "a finite rate > 0 Hz", unit="Hz", low=0.0, low_open=True)
    tol = _validation.real(tol, "tol", "a number in (0, 1)", low=0.0, low_open=True, high=1.0, high_open=True)
    neurons = [population for population in net.populations if not population.is_source]
    if all(np.all(np.asarray(population.model.I_e) == 0.0) for population in neurons):
        raise ParameterError("calibrate_rate scales I_e, and every I_e of this network is 0; give the models a drive")
    # Counts of nearly independent spike trains: their relative error is below 1 / sqrt(count).
    spikes = math.ceil(4.0 / tol**2)
    duration = 1e3 * spikes / (target * net.n_neurons)

    def measured(factor):
        scaled = _with_drive(net, factor)
        simulation = Simulation(scaled)
        simulation._belongs_to_one_run = True
        options = {"n_spikes": 20 * spikes, "progress": False, "interrupt": "raise"}
        simulation.run(max(0.25 * duration, 1e3 / target), **options)  # the transient
        return scaled, simulation.run(duration, **options).rate

    tried = {}

    def low_enough(factor):
        """Whether the drive gives less than the target; ends the search where it gives the target."""
        scaled, tried[factor] = measured(factor)
        if abs(tried[factor] - target) <= tol * target:
            raise _Found(scaled)
        return tried[factor] < target

    try:
        factor, step = 1.0, 2.0
        below = low_enough(factor)
        # More drive means a higher rate, so search upwards or downwards until the target lies between two factors.
        while True:
            other = factor * step if below else factor / step
            if low_enough(other) != below or not 1e-9 < other < 1e9:
                break
            factor, step = other, 2.0 * step
        low, high = sorted((factor, other))
        while len(tried) < 64 and high / low > 1.0 + 1e-12:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if low_enough(middle) else (low, middle)
    except _Found as found:
        return found.network
    rates = ", ".join(f"{tried[factor]:.4g} Hz at {factor:.4g}" for factor in (min(tried), max(tried)))
    raise ParameterError(
        f"target must be a rate that some drive gives; {target} Hz was not met within {tol:.3g}: I_e was multiplied by "
        f"{min(tried):.4g} to {max(tried):.4g} ({rates})"
    )


class _Found(Exception):
    """The end of a search, with the network that was looked for."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network


def _with_drive(net, factor):
    """A copy of the network with every I_e multiplied."""

    def scaled(p):
        return {} if p.is_source else {"model": dataclasses.replace(p.model, I_e=np.asarray(p.model.I_e)[()] * factor)}

    return net._copy(scaled)
