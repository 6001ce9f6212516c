"""Neurons that never fire, whose potentials are read."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np

from ..errors import ParameterError, named_arguments, shown
from ..models import NeuronModel, names_of
from ..models.base import LARGEST

__all__ = ["is_readout", "leaky_readout"]

_Model = TypeVar("_Model", bound=NeuronModel)


@named_arguments
def leaky_readout(model: _Model) -> _Model:
    """A leaky integrator: the neuron without spikes, for losses on membrane potentials.

    Its threshold is 1e60, the largest that there is: V follows ``tau_m dV/dt = -(V - E_L) + I_e`` and its input,
    exactly as below any other threshold that is not reached.

    Parameters
    ----------
    model : LIF or LIFExp

    Returns
    -------
    LIF or LIFExp

    Raises
    ------
    ParameterError
        For other models.

    Examples
    --------
    >>> import numpy as np, sparseprop as sp
    >>> from sparseprop import training
    >>> net = sp.Network(seed=1)
    >>> source = net.add(1, sp.SpikeSource([], []), name="input")
    >>> output = net.add(1, training.leaky_readout(sp.LIF(tau_m=20.0)), name="output", V=0.0)
    >>> _ = net.connect(source, output, sp.all_to_all(), weight=50.0)
    >>> record = sp.Record(V={"output": [0]}, V_times=[21.0])
    >>> result = sp.run_batch(net, [[[1.0, 2.0]]], 30.0, record=record, n_threads=1)
    >>> result.n_spikes, bool(np.isclose(result.V[0, 0, 0], 50.0 * (np.exp(-1.0) + np.exp(-19.0 / 20.0))))
    (0, True)
    """
    if isinstance(model, type) or not getattr(model, "is_linear", False):
        raise ParameterError(
            f"a leaky readout must be made of a {names_of(lambda model: model.is_linear)}, such as "
            f"sp.LIFExp(tau_m=20.0, tau_syn=5.0), got {shown(model)}"
        )
    return dataclasses.replace(model, V_th=LARGEST)


def is_readout(population):
    """Whether the neurons of a population never fire."""
    V_th = getattr(population.model, "V_th", None)
    return V_th is not None and bool(np.all(np.asarray(V_th) == LARGEST))
