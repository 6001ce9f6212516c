import numpy as np
from numpy.typing import NDArray

absolute: np.ufunc
add: np.ufunc
arcsinh: np.ufunc
arctan: np.ufunc
cos: np.ufunc
cosh: np.ufunc
curvature: np.ufunc
divide: np.ufunc
exp: np.ufunc
expm1: np.ufunc
log: np.ufunc
log1p: np.ufunc
maximum: np.ufunc
minimum: np.ufunc
multiply: np.ufunc
negative: np.ufunc
power: np.ufunc
sin: np.ufunc
sinh: np.ufunc
sqrt: np.ufunc
subtract: np.ufunc
tan: np.ufunc
tanh: np.ufunc

def product(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> NDArray[np.complex128]: ...
def horner(coefficients: NDArray[np.complex128], x: NDArray[np.complex128]) -> NDArray[np.complex128]: ...
def clenshaw(coefficients: NDArray[np.complex128], t: NDArray[np.complex128]) -> NDArray[np.complex128]: ...
