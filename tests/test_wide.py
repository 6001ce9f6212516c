"""Numbers of 106 bits: as accurate as they are to be, and no operation of numpy takes their two parts apart."""

import mpmath
import numpy as np
import pytest

from sparseprop.numerics.wide import EPS, Wide, above, below, curvature, joined, product, where, wide, zeros

MP = mpmath.mp.clone()
MP.prec = 400
RANGES = {
    "exp": (-600.0, 700.0), "expm1": (-50.0, 50.0), "log": (1e-3, 1e3), "log1p": (-0.999, 5.0), "sin": (-50.0, 50.0),
    "cos": (-50.0, 50.0), "tan": (-5.0, 5.0), "arctan": (-100.0, 100.0), "arcsinh": (-100.0, 100.0),
    "sinh": (-200.0, 200.0), "cosh": (-20.0, 20.0), "tanh": (-60.0, 60.0), "sqrt": (0.0, 1e10),
    "absolute": (-1.0, 1.0), "negative": (-1.0, 1.0),
}  # fmt: skip
OTHER_NAMES = {"arctan": "atan", "arcsinh": "asinh", "absolute": "fabs"}


def exact(x):
    """mpmath numbers."""
    return [MP.mpf(float(pair.real)) + MP.mpf(float(pair.imag)) for pair in x.view(np.ndarray).ravel()]


def drawn(low, high, n=100, seed=0):
    """Numbers whose second part is not 0."""
    rng = np.random.default_rng(seed)
    x = low + (high - low) * rng.random(n)
    return wide(x) + x * (rng.random(n) - 0.5) * 2.0**-53


def largest_error(found, expected):
    return max(abs((a - b) / b) for a, b in zip(exact(found), expected, strict=True))


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-9])
@pytest.mark.parametrize("name", RANGES)
def test_functions_against_120_digits(name, scale):
    low, high = RANGES[name]
    x = drawn(low * scale, high * scale)
    function = getattr(MP, OTHER_NAMES.get(name, name), None) or (lambda v: -v)
    with np.errstate(all="ignore"):
        found = getattr(np, name)(x)
    # Where the result is near the smallest double, its second part has fewer bits.
    assert largest_error(found, [function(v) for v in exact(x)]) < (1e-19 if name == "exp" else 1e-28)


def test_arithmetic_against_120_digits():
    a, b = drawn(-10.0, 10.0), drawn(-10.0, 10.0, seed=1)
    x, y = exact(a), exact(b)
    for found, expected in (
        (a + b, [u + v for u, v in zip(x, y, strict=True)]),
        (a - b, [u - v for u, v in zip(x, y, strict=True)]),
        (a * b, [u * v for u, v in zip(x, y, strict=True)]),
        (a / b, [u / v for u, v in zip(x, y, strict=True)]),
        (a**-3, [u**-3 for u in x]),
        (np.abs(a) ** 2.5, [abs(u) ** MP.mpf(2.5) for u in x]),
        (3 - a, [3 - u for u in x]),
        (1 / a, [1 / u for u in x]),
        (curvature(a * 1e-3), [MP.expm1(u) - u for u in exact(a * 1e-3)]),
    ):
        assert isinstance(found, Wide)
        assert largest_error(found, expected) < 1e-28
    assert [bool(v) for v in a < b] == [u < v for u, v in zip(x, y, strict=True)]
    assert float(a.sum()) == pytest.approx(float(sum(x)), rel=1e-15)
    assert float(np.abs(a).max()) == float(max(map(abs, x)))


@np.errstate(all="ignore")
def test_two_parts_are_one_number():
    one = wide(1.0)
    little = one + EPS * 1e-5
    assert little > one and little != one and not little <= one and float(little) == 1.0
    assert float(little - one) == EPS * 1e-5
    assert np.sign(-little) == -1.0 and np.isfinite(little) and not np.isfinite(one / zeros(()))
    assert wide(np.inf) == wide(np.inf) and wide(np.inf) > little
    pair = joined([[little], where([True], wide([2.0]), zeros(1))])
    assert pair.shape == (2,) and pair[0] == little and [float(v) for v in pair] == [1.0, 2.0]
    assert product(pair[None, :], pair[:, None])[0, 0] > 5.0
    assert (below(8.0), above(8.0), below(9.0), above(9.0)) == (3, 3, 3, 4)


@pytest.mark.parametrize(
    "operation", [lambda x: np.where([True, True], x, x), np.concatenate, lambda x: x @ x, np.log10, np.real]
)
def test_what_would_take_the_parts_for_numbers_is_refused(operation):
    x = drawn(1.0, 2.0, 2)
    with pytest.raises(TypeError):
        operation([x, x] if operation is np.concatenate else x)
