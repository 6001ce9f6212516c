"""The constants of sparseprop/numerics/elementary.h, and how good they are.

    python tests/verification/elementary_coefficients.py

Every polynomial is the best one in the largest relative error of the function it stands in (Remez' exchange, mpmath
with 60 digits), its coefficients rounded to doubles one after the other, lowest first, each time with the best choice
of those that are left. What is printed is the C text of the header and, before each polynomial, the largest relative
error that it alone causes. 10 s.
"""

import struct

from mpmath import mp, mpf

mp.dps = 60
GRID = 400


def best(function, weight, begin, end, n, fixed=()):
    """The coefficients of a polynomial on [begin, end] with n terms, the first of them `fixed`, and the largest error.

    The error is weight (polynomial - function), and is made as small as it can be.
    """
    free = n - len(fixed)
    z = [begin + (end - begin) * (1 - mp.cos(mp.pi * (2 * i + 1) / (2 * GRID))) / 2 for i in range(GRID)]
    z = [mpf(begin), *z, end]
    given = [mp.polyval(list(fixed)[::-1], x) if fixed else mpf(0) for x in z]
    goal = [function(x) - y for x, y in zip(z, given, strict=True)]
    weights = [weight(x) for x in z]
    if not free:
        return fixed, max(abs(w * g) for w, g in zip(weights, goal, strict=True))
    at = [round((1 - mp.cos(mp.pi * i / free)) / 2 * (len(z) - 1)) for i in range(free + 1)]
    if weights[0] == 0 and at[0] == 0:
        at[0] = 1
    for _ in range(30):
        matrix, right = mp.matrix(free + 1), mp.matrix(free + 1, 1)
        for row, i in enumerate(at):
            for k in range(free):
                matrix[row, k] = z[i] ** (len(fixed) + k)
            matrix[row, free] = (-1) ** row / weights[i]
            right[row] = goal[i]
        solution = list(mp.lu_solve(matrix, right))
        level, c = abs(solution.pop()), solution
        error = [w * (x ** len(fixed) * mp.polyval(c[::-1], x) - g) for x, w, g in zip(z, weights, goal, strict=True)]
        peaks = [
            i
            for i in range(len(z))
            if error[i] != 0
            and (i == 0 or abs(error[i]) >= abs(error[i - 1]) or error[i] * error[i - 1] < 0)
            and (i == len(z) - 1 or abs(error[i]) > abs(error[i + 1]) or error[i] * error[i + 1] < 0)
        ]
        alternating = []
        for i in peaks:
            if alternating and error[i] * error[alternating[-1]] > 0:
                if abs(error[i]) > abs(error[alternating[-1]]):
                    alternating[-1] = i
            else:
                alternating.append(i)
        while len(alternating) > free + 1:
            alternating.pop(0 if abs(error[alternating[0]]) < abs(error[alternating[-1]]) else -1)
        if len(alternating) < free + 1 or max(map(abs, error)) < level * mpf("1.0001"):
            break
        at = alternating
    return [*fixed, *c], max(map(abs, error))


def rounded(function, weight, begin, end, n):
    """The same, of doubles; where 0 is inside, the powers are small, and they are all rounded at once."""
    fixed = [mpf(float(x)) for x in best(function, weight, begin, end, n)[0]] if begin < 0 else []
    while len(fixed) < n:
        c, _ = best(function, weight, begin, end, n, fixed)
        fixed.append(mpf(float(c[len(fixed)])))
    return best(function, weight, begin, end, n, fixed)


def series(terms):
    """A function of z by its Taylor series, which does not cancel at 0."""
    c = [terms(k) for k in range(100)][::-1]
    return lambda z: mp.polyval(c, z)


def cut(x, bits):
    """x rounded down to so many significant bits."""
    scale = mpf(2) ** (bits - 1 - int(mp.floor(mp.log(abs(x), 2))))
    return mp.floor(x * scale) / scale


def parts(name, x, *bits):
    """x as a sum of numbers with so many bits each, and the rest as a double."""
    for k, n in enumerate(bits, 1):
        part = cut(x, n)
        print(f"#define {name}_{k} {float(part).hex()}")
        x -= part
    print(f"#define {name}_{len(bits) + 1} {float(x).hex()}")


def polynomial(name, function, weight, end, n, begin=0):
    c, error = rounded(function, weight, begin, end, n)
    print(f"/* relative error 2^{float(mp.log(error, 2)):.1f} */")
    for k, x in enumerate(c):
        print(f"#define {name}_{k} {float(x).hex()}")


def table(name, numbers):
    print(f"static const double {name}[{len(numbers)}] = {{")
    for i in range(0, len(numbers), 4):
        print("    " + ", ".join(float(x).hex() for x in numbers[i : i + 4]) + ",")
    print("};")


fac = mp.factorial
step = mp.ln2 / 64
r = step * mpf(
    "0.50001"
)  # a little more than half: the quotient by it is rounded before it is rounded to a whole number
print("/* exp(r) = 1 + r + r^2 (1/2 + r CUBE), |r| <= ln(2) / 128; 2^(i / 64) = high (1 + low) */")
polynomial("SP_EXP", series(lambda k: 1 / fac(k + 3)), lambda x: abs(x) ** 3, r, 3, -r)
parts("SP_EXP_STEP", step, 36)
print(f"#define SP_EXP_STEPS {float(1 / step).hex()}")
powers = [mpf(2) ** (mpf(i) / 64) for i in range(64)]
table("sp_exp_high", powers)
table("sp_exp_low", [x / mpf(float(x)) - 1 for x in powers])

half = mpf("0.34662")  # as above
print("/* exp(r) = 1 + r + r^2 / 2 + r^3 ODD + r^4 EVEN, the latter polynomials of r^2, |r| <= ln(2) / 2 */")
polynomial("SP_ODD", series(lambda k: 1 / fac(2 * k + 3)), lambda z: z ** mpf(1.5) / mp.exp(-mp.sqrt(z)), half**2, 5)
polynomial("SP_EVEN", series(lambda k: 1 / fac(2 * k + 4)), lambda z: z**2 / mp.exp(-mp.sqrt(z)), half**2, 5)
parts("SP_LN2", mp.ln2, 42)
print(f"#define SP_LOG2_E {float(1 / mp.ln2).hex()}")

print(
    "/* log: 64 intervals of the mantissa, equal in its bits, from SP_LOG_START on; 1 is in the middle of one of them."
)
print("   Each has 1 / c, c near its middle, with 10 bits, and log(c), the first part a multiple of 2^-42. */")
start = mpf(1) - (37 + mpf(2) / 3) / 128  # in units of 2^-7 below 1, where an interval has that width, and twice above
start = mp.floor(start * 2**53) / 2**53
print(f"#define SP_LOG_START UINT64_C(0x{struct.unpack('<q', struct.pack('<d', float(start)))[0]:016x})")


def at(i):
    """Where the i-th interval begins."""
    below = start + mpf(i) / 128
    return below if below <= 1 else 1 + (below - 1) * 2


rows, widest = [], mpf(0)
for i in range(64):
    inverse = mpf(1) if at(i) < 1 < at(i + 1) else mp.nint(1024 * 2 / (at(i) + at(i + 1))) / 1024
    high = mp.nint(-mp.log(inverse) * 2**42) / 2**42
    rows.append((inverse, high, -mp.log(inverse) - high))
    widest = max(widest, abs(at(i) * inverse - 1), abs(at(i + 1) * inverse - 1))
for name, numbers in zip(("inverse", "high", "low"), zip(*rows, strict=True), strict=True):
    table(f"sp_log_{name}", numbers)
print(f"/* log(1 + r) = r + r^2 (-1/2 + r LOG), |r| <= {float(widest):.5f} */")
polynomial("SP_LOG", series(lambda k: mpf((-1) ** k) / (k + 3)), lambda x: x**2, widest, 6, -widest)

quarter = mp.pi / 4 + mpf(2) ** -40
print("/* sin(r) = r + r z SIN(z), cos(r) = 1 - z / 2 + z^2 COS(z), z = r^2, |r| <= pi / 4 */")
polynomial("SP_SIN", series(lambda k: (-1) ** (k + 1) / fac(2 * k + 3)), lambda z: z, quarter**2, 6)
polynomial("SP_COS", series(lambda k: (-1) ** k / fac(2 * k + 4)), lambda z: z**2 / mp.cos(mp.sqrt(z)), quarter**2, 6)
parts("SP_HALF_PI", mp.pi / 2, 42, 42)
print(f"#define SP_TWO_OVER_PI {float(2 / mp.pi).hex()}")
print(f"#define SP_HALF_PI_HIGH {float(mp.pi / 2).hex()}")
print(f"#define SP_HALF_PI_LOW {float(mp.pi / 2 - mpf(float(mp.pi / 2))).hex()}")

t = mp.sqrt(2) - 1  # tan(pi / 8)
print("/* atan(t) = t + t z ATAN(z), z = t^2, |t| <= tan(pi / 8) */")
polynomial(
    "SP_ATAN", series(lambda k: mpf((-1) ** (k + 1)) / (2 * k + 3)), lambda z: z, (t * (1 + mpf(2) ** -40)) ** 2, 11
)
parts("SP_QUARTER_PI", mp.pi / 4, 50)

print("/* the binary places of 2 / pi */")
mp.prec = 1400
places = int(mp.floor(2 / mp.pi * mpf(2) ** (32 * 38)))
words = [f"0x{places >> (32 * (37 - i)) & 0xFFFFFFFF:08x}u" for i in range(38)]
print("static const uint32_t sp_two_over_pi[38] = {")
for i in range(0, 38, 8):
    print("    " + ", ".join(words[i : i + 8]) + ",")
print("};")
