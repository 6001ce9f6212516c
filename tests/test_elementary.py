"""The elementary functions of our own: special values, accuracy, and the same bits one by one, by arrays and builds.

`tests/verification/elementary.py` does the same over 1e8 points and with all compilers.
"""

import itertools
import math
import pathlib
import shutil
import struct
import subprocess
import sys

import mpmath
import numpy as np
import pytest

from sparseprop.numerics import _functions as own

ROOT = pathlib.Path(__file__).resolve().parent.parent
INF, NAN = math.inf, math.nan
TINY = 5e-324
ONE = ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "atanh")
TWO = ("atan2", "pow")
ODD = ("sin", "tan", "atan", "sinh", "tanh", "atanh")

# The largest error in ulp, as docs/numerics.md has it, and where: |x| uniform ("u") or alike in each octave ("o").
ACCURACY = {
    "exp": (0.55, [("u", -1, 1), ("u", -708, 709.7), ("o", 1e-20, 1)]),
    "expm1": (0.65, [("u", -1, 1), ("u", -40, 40), ("o", 1e-300, 700)]),
    "log": (0.52, [("u", 0.5, 2), ("u", 0.98, 1.02), ("o", 5e-324, 1e308)]),
    "log1p": (0.52, [("u", -0.99, 2), ("u", -0.02, 0.02), ("o", 1e-300, 1e308)]),
    "sin": (0.74, [("u", -7, 7), ("u", -4000, 4000), ("o", 1e-300, 1e308)]),
    "cos": (0.76, [("u", -7, 7), ("u", -4000, 4000), ("o", 1e-20, 1e308)]),
    "tan": (0.85, [("u", -7, 7), ("u", -4000, 4000), ("o", 1e-300, 1e308)]),
    "atan": (0.70, [("u", -1, 1), ("u", -10, 10), ("o", 1e-300, 1e308)]),
    "sinh": (0.76, [("u", -1, 1), ("u", -40, 40), ("o", 1e-300, 710)]),
    "cosh": (0.68, [("u", -1, 1), ("u", -40, 40), ("o", 1e-20, 710)]),
    "tanh": (0.56, [("u", -1, 1), ("u", -22, 22), ("o", 1e-300, 22)]),
    "atanh": (0.53, [("u", -1, 1), ("u", -0.02, 0.02), ("o", 1e-300, 1)]),
    "atan2": (0.70, [("u", -1, 1), ("o", 1e-3, 1e3), ("o", 1e-300, 1e300)]),
    "pow": (0.68, [("u", 0, 4), ("u", 0.98, 1.02), ("o", 1e-300, 1e300)]),
}
EXPONENTS = [("u", -30, 30), ("u", -20000, 20000), ("o", 1e-10, 1)]  # of pow


def bits(x):
    return np.asarray(x, np.float64).view(np.uint64).tolist()


def draw(rng, kind, low, high, n):
    if kind == "u":
        return rng.uniform(low, high, n)
    x = np.exp(rng.uniform(math.log(low), math.log(high), n))
    return np.minimum(x, high)


def arguments(rng, name, n):
    """n arguments from each range; of both signs where `name` has them."""
    for k, (kind, low, high) in enumerate(ACCURACY[name][1]):
        x = draw(rng, kind, low, high, n)
        if kind == "o" and name in (*ODD, "exp", "expm1", "cos", "cosh", "atan2"):
            x *= rng.choice([-1.0, 1.0], n)
        if name in TWO:
            ranges = EXPONENTS if name == "pow" else ACCURACY[name][1]
            yield x, draw(rng, *ranges[k], n) * rng.choice([-1.0, 1.0], n)
        else:
            yield (x,)


def error(y, exact):
    """|y - exact| in units of the spacing of doubles at `exact`, a number of mpmath."""
    if exact == 0:
        return 0.0 if y == 0.0 else INF
    exponent = max(mpmath.frexp(exact)[1] - 1, -1022)
    return float(abs(mpmath.mpf(y) - exact) * mpmath.mpf(2) ** (52 - exponent))


ZEROS = [(0.0, 0.0), (-0.0, -0.0), (TINY, TINY), (-TINY, -TINY)]
SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (1e300, INF), (-1e300, 0.0), (TINY, 1.0), (1.0, math.e),
            (709.782712893384, 1.7976931348622732e308), (709.7827128933841, INF),
            (-745.1332191019411, TINY), (-745.1332191019412, 0.0)],
    "expm1": [*ZEROS, (INF, INF), (-INF, -1.0), (-50.0, -1.0), (-1e300, -1.0), (1e-300, 1e-300),
              (709.7827128933841, INF)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (-TINY, NAN), (-INF, NAN),
            (TINY, -744.4400719213812), (2.0, 0.6931471805599453)],
    "log1p": [*ZEROS, (-1.0, -INF), (INF, INF), (-1.1, NAN), (-INF, NAN), (1e-300, 1e-300),
              (1.7976931348623157e308, 709.782712893384)],
    "sin": [*ZEROS, (INF, NAN), (-INF, NAN), (math.pi, 1.2246467991473532e-16)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (TINY, 1.0), (INF, NAN), (-INF, NAN), (math.pi, -1.0),
            (math.pi / 2, 6.123233995736766e-17)],
    "tan": [*ZEROS, (INF, NAN), (-INF, NAN), (math.pi / 2, 1.633123935319537e16)],
    "atan": [*ZEROS, (INF, math.pi / 2), (-INF, -math.pi / 2), (1e300, math.pi / 2), (1.0, math.pi / 4),
             (-1.0, -math.pi / 4)],
    "sinh": [*ZEROS, (INF, INF), (-INF, -INF), (711.0, INF), (-711.0, -INF)],
    "cosh": [(0.0, 1.0), (-0.0, 1.0), (TINY, 1.0), (INF, INF), (-INF, INF), (711.0, INF), (-711.0, INF)],
    "tanh": [*ZEROS, (INF, 1.0), (-INF, -1.0), (20.0, 1.0), (1e300, 1.0), (-1e300, -1.0)],
    "atanh": [*ZEROS, (1.0, INF), (-1.0, -INF), (1.1, NAN), (-INF, NAN)],
}  # fmt: skip


@pytest.mark.parametrize("name", ONE)
def test_special_values(name):
    of_one, of_many = getattr(own, name), getattr(own, f"{name}_many")
    for x, y in [*SPECIAL[name], (NAN, NAN), (-NAN, NAN)]:
        assert bits(of_one(x)) == bits(y), (x, of_one(x), y)
    x, y = np.array(SPECIAL[name]).T
    assert bits(of_many(x)) == bits(y)


def test_atan2_of_special_values():
    values = [0.0, -0.0, 1.0, -1.0, TINY, -TINY, 1e308, -1e308, 1e-300, INF, -INF]
    for y, x in itertools.product(values, repeat=2):
        if abs(y) != abs(x) or y in (0.0, 1.0, INF):
            assert bits(own.atan2(y, x)) == bits(math.atan2(y, x)), (y, x)
    assert own.atan2(TINY, TINY) == own.atan2(1e308, 1e308) == math.pi / 4
    assert own.atan2(TINY, -TINY) == own.atan2(1e308, -1e308) == 0.75 * math.pi
    assert bits(own.atan2(-1e-320, 1e-10)) == bits(-1e-320 / 1e-10)
    for y, x in [(NAN, 1.0), (1.0, NAN), (NAN, INF)]:
        assert bits(own.atan2(y, x)) == bits(NAN)


def test_pow_of_special_values():
    bases = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, INF, -INF, 2.0**-1074, -(2.0**1000)]
    exponents = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 2.0**52 + 1, 2.0**53, 1e300, -1e300, INF, -INF]
    for x, y in itertools.product(bases, exponents):
        with np.errstate(all="ignore"):
            assert bits(own.pow(x, y)) == bits(np.float64(x) ** np.float64(y)), (x, y)
    for x, y in [(-2.0, 0.5), (-2.0, 1e-300), (NAN, 1.0), (2.0, NAN), (-INF, NAN)]:
        assert bits(own.pow(x, y)) == bits(NAN), (x, y)
    assert own.pow(1.0, NAN) == own.pow(NAN, 0.0) == own.pow(-INF, 0.0) == 1.0
    assert own.pow(-INF, 0.5) == INF
    for n in range(1, 34):  # 3^33 has 53 bits
        assert own.pow(3.0, n) == 3**n
        assert own.pow(2.0, -n) == 2.0**-n


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_errors_are_as_the_documents_say(name):
    rng = np.random.default_rng(1)
    bound, _ = ACCURACY[name]
    with mpmath.workdps(400 if name in ("sin", "cos", "tan") else 50):
        for x in arguments(rng, name, 1500):
            y = getattr(own, f"{name}_many")(*x)
            for point in zip(*x, y, strict=True):
                exact = getattr(mpmath, {"pow": "power"}.get(name, name))(*map(mpmath.mpf, point[:-1]))
                if mpmath.mpf(2) ** -1022 <= abs(exact) < mpmath.mpf(2) ** 1023:
                    assert error(point[-1], exact) <= bound, point
                elif abs(exact) <= mpmath.mpf(2) ** -1022:  # rounded twice
                    assert error(point[-1], exact) <= 0.78, point


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no long doubles with 64 bits")
@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_errors_over_many_points(name):
    names = {"atan": "arctan", "atan2": "arctan2", "atanh": "arctanh", "pow": "power"}
    rng = np.random.default_rng(2)
    with np.errstate(all="ignore"):
        for x in arguments(rng, name, 40_000):
            exact = getattr(np, names.get(name, name))(*(each.astype(np.longdouble) for each in x))
            normal = (np.abs(exact) >= 2.0**-1022) & (np.abs(exact) < 2.0**1023)
            y, exact = getattr(own, f"{name}_many")(*x)[normal], exact[normal]
            assert normal.sum() > 10_000
            unit = np.ldexp(np.longdouble(1), np.frexp(exact)[1] - 53)
            assert (np.abs(y - exact) / unit).max() <= ACCURACY[name][0] + 0.002


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_next_to_multiples_of_a_quarter_turn(name):
    """Among them the double that is next to one of all: 6381956970095103 2^797."""
    rng = np.random.default_rng(3)
    x = [6381956970095103 * 2.0**797, 2.0**1023, 1.7976931348623157e308, 3216.9, 3217.0, 3217.1, 1e22]
    with mpmath.workdps(400):
        for k in [*range(1, 50), *range(2000, 2100), *np.exp2(rng.uniform(11, 52, 300)).astype(int).tolist()]:
            nearest = float(k * mpmath.pi / 2)
            x += [math.nextafter(nearest, 0.0), nearest, math.nextafter(nearest, INF)]
        for each in x:
            assert error(getattr(own, name)(each), getattr(mpmath, name)(mpmath.mpf(each))) <= ACCURACY[name][0], each


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_arrays_have_the_bits_of_single_values(name):
    rng = np.random.default_rng(4)
    n = 1_000_000 // 3
    for x in arguments(rng, name, n):
        for each in x:  # some that take the rare path, anywhere in a chunk
            each[rng.integers(0, n, 300)] = rng.choice(
                [0.0, -0.0, INF, -INF, NAN, TINY, 1e300, -1e300, 800.0, -740.0], 300
            )
        one = np.array(list(map(getattr(own, name), *(each.tolist() for each in x))))
        many = getattr(own, f"{name}_many")(*x)
        assert np.array_equal(one.view(np.uint64), many.view(np.uint64))


@pytest.mark.parametrize("name", sorted({*ONE} - {"cos", "cosh"}))
def test_no_function_that_grows_falls_from_one_double_to_the_next(name):
    low, high = {"sin": (-1.57, 1.57), "tan": (-1.57, 1.57), "log": (0.0, 2.0), "atan": (-3.0, 3.0)}.get(
        name, (-0.99, 0.99)
    )
    rng = np.random.default_rng(6)
    for width in (1.0, 0.02):
        x = (low + high) / 2 + width * rng.uniform(low - (low + high) / 2, high - (low + high) / 2, 200_000)
        y, after = (getattr(own, f"{name}_many")(each) for each in (x, np.nextafter(x, INF)))
        assert (after >= y).all()


@pytest.mark.parametrize("name", ODD)
def test_odd_functions(name):
    rng = np.random.default_rng(5)
    for (x,) in arguments(rng, name, 20_000):
        function = getattr(own, f"{name}_many")
        assert bits(function(-x)) == bits(-function(x))


@pytest.mark.parametrize("name", ["cos", "cosh"])
def test_even_functions(name):
    for (x,) in arguments(np.random.default_rng(5), name, 20_000):
        function = getattr(own, f"{name}_many")
        assert bits(function(-x)) == bits(function(x))


def test_shapes_and_types_of_arrays():
    assert own.exp_many(2).shape == ()
    assert own.exp_many([]).shape == (0,)
    assert own.exp_many(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    x = np.arange(24.0).reshape(4, 6)
    for view in (x.T, x[::2, ::-1], x.astype(np.float32), x.astype(int).tolist()):
        y = own.exp_many(view)
        assert y.dtype == np.float64 and y.flags.c_contiguous
        assert y.tolist() == [[own.exp(each) for each in row] for row in np.asarray(view, float).tolist()]
    assert x[0, 1] == 1.0  # not in place
    assert own.atan2_many(x, x[:1]).shape == (4, 6)
    assert own.atan2_many(x[:, :1], x[0]).tolist() == [[own.atan2(a, b) for b in x[0]] for a in x[:, 0]]
    assert own.pow_many(2.0, 0.5) == own.pow(2.0, 0.5)
    with pytest.raises(ValueError):
        own.atan2_many([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(TypeError):
        own.exp("1")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("options", ["-O1", "-O3 -DSP_WIDEST="])
def test_python_has_the_bits_of_another_build(tmp_path, options):
    """The C program of the verification, not optimised and without the choice of instructions at run time."""
    program = tmp_path / "elementary"
    source = ROOT / "tests" / "verification" / "elementary.c"
    command = ["gcc", "-std=gnu11", *options.split(), "-ffp-contract=off", f"-I{ROOT}", str(source), "-o", str(program)]
    subprocess.run([*command, "-lm"], check=True)
    n = 8 * 4096
    data = subprocess.run([str(program), "values", str(n)], check=True, stdout=subprocess.PIPE).stdout
    names = [name.decode() for name in subprocess.run([str(program), "names"], stdout=subprocess.PIPE).stdout.split()]
    assert sorted(names) == sorted([*ONE, *TWO])
    numbers = np.array(struct.unpack(f"<{len(data) // 8}d", data)).reshape(len(names), n, 3)
    for name, (x, second, y) in zip(names, numbers.transpose(0, 2, 1), strict=True):
        again = getattr(own, f"{name}_many")(*((x, second) if name in TWO else (x,)))
        assert np.array_equal(again.view(np.uint64), y.view(np.uint64)), name


@pytest.mark.long
def test_the_constants_are_those_of_the_script_that_explains_them():
    """10 s."""
    script = ROOT / "tests" / "verification" / "elementary_coefficients.py"
    text = subprocess.run([sys.executable, str(script)], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert text in (ROOT / "sparseprop" / "numerics" / "elementary.h").read_text()
