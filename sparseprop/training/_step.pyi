import numpy as np
from numpy.typing import NDArray

_Doubles = NDArray[np.float64]
_Integers = NDArray[np.int64]

_Bytes = NDArray[np.uint8]

def first_spike_cross_entropy(
    t: _Doubles, labels: _Integers, tau: float, alpha: float, tau_late: float
) -> tuple[_Doubles, _Doubles, _Integers]: ...
def peaks(
    V: _Doubles, rows: _Integers, columns: _Integers, silent: _Bytes, goal: _Doubles, slope: float
) -> tuple[_Doubles, _Doubles]: ...
def angles(V: _Doubles, root: _Doubles) -> _Doubles: ...
def parts(V: _Doubles, root: _Doubles) -> _Doubles: ...
def next_times(V: _Doubles, root: _Doubles, tau: _Doubles, T: float) -> _Doubles: ...
def by_V(by_angle: _Doubles, V: _Doubles, root: _Doubles) -> _Doubles: ...
def kicked(s: _Doubles, weights: _Doubles, sources: _Integers, targets: _Integers, n: int) -> _Doubles: ...
def by_synapse(g: _Doubles, s: _Doubles, sources: _Integers, targets: _Integers) -> _Doubles: ...
def adam(
    values: _Doubles,
    gradient: _Doubles,
    first: _Doubles,
    second: _Doubles,
    clip: float,
    b1: float,
    b2: float,
    old_unbias_2: float,
    unbias_1: float,
    unbias_2: float,
    lr: float,
    epsilon: float,
) -> tuple[_Doubles, _Doubles, _Doubles]: ...
