import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

Bytes = NDArray[np.uint8]

def first_spike_cross_entropy(
    t: Doubles, labels: Integers, tau: float, alpha: float, tau_late: float
) -> tuple[Doubles, Doubles, Integers]: ...
def peaks(
    V: Doubles, rows: Integers, columns: Integers, silent: Bytes, goal: Doubles, slope: float
) -> tuple[Doubles, Doubles]: ...
def angles(V: Doubles, root: Doubles) -> Doubles: ...
def parts(V: Doubles, root: Doubles) -> Doubles: ...
def next_times(V: Doubles, root: Doubles, tau: Doubles, T: float) -> Doubles: ...
def by_V(by_angle: Doubles, V: Doubles, root: Doubles) -> Doubles: ...
def kicked(s: Doubles, weights: Doubles, sources: Integers, targets: Integers, n: int) -> Doubles: ...
def by_synapse(g: Doubles, s: Doubles, sources: Integers, targets: Integers) -> Doubles: ...
def adam(
    values: Doubles,
    gradient: Doubles,
    first: Doubles,
    second: Doubles,
    clip: float,
    b1: float,
    b2: float,
    old_unbias_2: float,
    unbias_1: float,
    unbias_2: float,
    lr: float,
    epsilon: float,
) -> tuple[Doubles, Doubles, Doubles]: ...
