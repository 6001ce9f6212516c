"""A neuron model that the package does not have, made as docs/adding_a_model.md says: the quartic neuron of Touboul."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from sparseprop.errors import named_arguments
from sparseprop.models import Parameter, Tabulated
from sparseprop.numerics.drifts import Expression


@named_arguments
@dataclass(frozen=True, eq=False)
class Quartic(Tabulated):
    """``tau_m dV/dt = V^4 + 2 a V + I_e`` (Touboul 2008, doi:10.1137/070687268)."""

    table: ClassVar[dict[str, Parameter]] = {
        "tau_m": Parameter("ms", "time constant", "a finite time > 0 ms", positive=True, sets_tau=True),
        "I_e": Parameter("V", "constant drive"),
        "V_th": Parameter("V", "voltage of a spike"),
        "V_reset": Parameter("V", "potential after a spike"),
        "t_ref": Parameter("ms", "refractory period", "a finite time >= 0 ms", nonnegative=True),
    }
    in_table: ClassVar[tuple[str, ...]] = ("I_e", "V_th", "V_reset")

    tau_m: Any
    I_e: Any = 0.0
    V_th: Any = 4.0
    V_reset: Any = -1.0
    t_ref: Any = 0.0
    a: ClassVar[float] = 0.5

    def parameters(self):
        numbers = {name: getattr(self, name) for name in self.table}
        return {"drift": Expression("V ** 4 + 2 * a * V", {"a": self.a}), "V_min": -math.inf} | numbers

    def _check_relations(self):
        self.check_tables()

    def threshold(self):
        return self.V_th
