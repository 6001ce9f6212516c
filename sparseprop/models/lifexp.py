"""The leaky integrate-and-fire neuron with exponential synaptic currents."""

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import named_arguments, shown
from .base import I_E, TAU_M, Parameter
from .lif import Leaky, lif_constants

__all__ = ["LIFExp", "lifexp_constants"]


# Of time constants of one LIFExp neuron, so that an epoch is neither long nor short against any of them.
LARGEST_RATIO = 1e6
# Of the drive from the threshold of a LIFExp neuron, so that no exponential underflows before a spike.
SMALLEST_GAP = 1e-90


@named_arguments
@dataclass(frozen=True, eq=False)
class LIFExp(Leaky):
    """Leaky integrate-and-fire neuron with exponentially decaying synaptic currents.

    ``tau_m dV/dt = -(V - E_L) + I_e + I_syn``; I_syn is the sum of one current for each port, and each decays by
    itself, ``tau_syn dI/dt = -I``. An arriving spike adds its weight to the current of its port: weights are in units
    of voltage (membrane resistance 1), and one of w moves V by at most
    ``w r^(1 / (1 - r)), r = tau_syn / tau_m``, over time by ``w tau_syn`` (the area). NEST's ``iaf_psc_exp`` with a
    weight of ``w C_m / tau_m`` is the same neuron.

    A spike resets V and leaves the currents. In the refractory period V stays at `V_reset`; the currents go on and
    spikes are received.

    Every parameter but `tau_syn` is a number or an array with one value per neuron.

    Parameters
    ----------
    tau_m : float or array_like
        Membrane time constant in ms.
    tau_syn : float, array_like of shape (n,), or tuple of these
        Synaptic time constant in ms. A tuple has one for each port, up to four (in configuration files
        ``{ports = [2.0, 10.0]}``), by which :meth:`Network.connect` and :meth:`Network.drive` choose (``port=``); an
        array one for each neuron. A list of up to four could mean either and is refused. It may equal `tau_m`.
    E_L : float or array_like
        Resting potential.
    V_th : float or array_like
        Threshold. A spike is emitted when V reaches it.
    V_reset : float or array_like
        Potential after a spike, below `V_th`.
    I_e : float or array_like
        Constant drive in units of voltage. The neuron oscillates without input if ``E_L + I_e > V_th``.
    t_ref : float or array_like
        Refractory period in ms: V stays at `V_reset`, synaptic currents go on.

    Raises
    ------
    ParameterError
        For a value that is not allowed; the message names it.

    References
    ----------
    Rotter and Diesmann (1999), Biol. Cybern. 81:381, doi:10.1007/s004220050570; Wunderlich and Pehle (2021), Sci. Rep.
    11:12829, doi:10.1038/s41598-021-91786-z (weights and currents as here).
    """

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": TAU_M,
        "tau_syn": Parameter("ms", "synaptic time constant", "a finite time > 0 ms", positive=True, ports=True),
        "E_L": Parameter("V", "resting potential"),
        "V_th": Parameter("V", "threshold"),
        "V_reset": Parameter("V", "potential after a spike"),
        "I_e": I_E,
        "t_ref": Parameter(
            "ms", "refractory period: V stays at V_reset, currents go on", "a finite time >= 0 ms", nonnegative=True
        ),
    }
    kernel: ClassVar[str] = "LIFExp"
    smallest_gap: ClassVar[float] = SMALLEST_GAP
    example: ClassVar[dict[str, Any]] = {"tau_m": 10.0, "tau_syn": 2.0, "I_e": 1.2}

    tau_m: Any
    tau_syn: Any
    E_L: Any = 0.0
    V_th: Any = 1.0
    V_reset: Any = 0.0
    I_e: Any = 0.0
    t_ref: Any = 0.0

    def _check_relations(self):
        super()._check_relations()
        for k, tau_syn in enumerate(self.time_constants):
            ratio = np.asarray(tau_syn) / np.asarray(self.tau_m)
            self._relation(
                (ratio >= 1.0 / LARGEST_RATIO) & (ratio <= LARGEST_RATIO),
                f"tau_syn of port {k} must be within a factor of {LARGEST_RATIO:g} of tau_m, got {shown(tau_syn)} and "
                f"{shown(self.tau_m)} ms; for a much shorter one use LIF",
            )

    @property
    def time_constants(self):
        """The synaptic time constants in ms, a tuple with one for each port."""
        return self.tau_syn if isinstance(self.tau_syn, tuple) else (self.tau_syn,)

    @property
    def n_ports(self):
        return len(self.time_constants)

    def parameters(self):
        shared = {name: getattr(self, name) for name in self.table if name != "tau_syn"}
        return shared | {f"tau_syn_{k}": value for k, value in enumerate(self.time_constants)}

    def growth_time_constant(self):
        """The shortest time constant in ms of the exponential flow."""
        return functools.reduce(np.minimum, self.time_constants, np.asarray(self.tau_m))[()]


# Nearer than this part of tau_m, tau_syn counts as the same time constant: the exponentials are then not taken apart,
# which would lose digits by tau_m / |tau_m - tau_syn|. See docs/numerics.md.
NEAR_LIMIT = 1.0 / 16.0


def lifexp_constants(fsum, tau_m, E_L, V_th, V_reset, I_e, t_ref, **tau_syn):
    """The constants of one LIF neuron with exponential currents, in the arithmetic of `fsum`.

    Returns
    -------
    dict
        Those of :func:`lif_constants`, and ``ports``: for each its time constant ``tau``; whether it is ``near`` tau_m;
        ``gain = tau / (tau_m - tau)`` (far) and ``slope = 1 / tau_m - 1 / tau`` (near); and ``peak``, the largest
        voltage that a unit of current causes.
    """
    constants = lif_constants(fsum, tau_m, E_L, V_th, V_reset, I_e, t_ref)
    ports = []
    for k in range(len(tau_syn)):
        tau = tau_syn[f"tau_syn_{k}"]
        near = abs(tau.real - tau_m.real) < NEAR_LIMIT * tau_m.real
        ratio = float(tau.real / tau_m.real)
        ports.append(
            {
                "tau": tau,
                "near": near,
                "gain": 0.0 * tau if near else tau / (tau_m - tau),
                "slope": (tau - tau_m) / (tau_m * tau) if near else 0.0 * tau,
                # 1 / e where they are equal; only a bound for the window, so rounded up.
                "peak": 1.001 * (math.exp(-1.0) if near else ratio ** (1.0 / (1.0 - ratio))) + 0.02 * near,
            }
        )
    return constants | {"ports": ports}
