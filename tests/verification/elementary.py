"""Verification of sparseprop/numerics/elementary.h: builds elementary.c beside this file in several ways, and runs it.

    python tests/verification/elementary.py accuracy [N]    largest errors over N points of each function, ulp
    python tests/verification/elementary.py checksums [N]   N results of each function, by every compiler that is there
    python tests/verification/elementary.py speed           ns per value, against the C library

`accuracy` compares with 64-bit long doubles, which x86-64 has, and takes the worst point of each range again with 50
digits (mpmath). With N = 1e8, the default, it takes half an hour; a third argument restricts it to one function.
`checksums` (N = 1e7: minutes) builds with gcc and clang with all sorts of options, and for 64-bit Arm with
aarch64-linux-gnu-gcc, which qemu-aarch64 (of Debian's qemu-user) runs; what is not on the PATH is named and left out.
It fails if two builds differ in a single bit.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PLAIN = "-DSP_WIDEST="  # no choice at run time: arrays by what the options allow

EMULATOR = "qemu-aarch64-static" if shutil.which("qemu-aarch64-static") else "qemu-aarch64"
BUILDS = (
    ("gcc", "-O3 -fno-math-errno"),  # as setup.py has it
    ("gcc", "-O0"),
    ("gcc", "-O1"),
    ("gcc", f"-O3 {PLAIN}"),
    ("gcc", f"-O3 -march=x86-64-v2 {PLAIN}"),
    ("gcc", f"-O3 -march=x86-64-v3 {PLAIN}"),
    ("gcc", f"-O3 -march=x86-64-v4 {PLAIN}"),
    ("gcc", f"-O3 -march=x86-64-v4 -mprefer-vector-width=512 {PLAIN}"),
    ("clang", "-O1"),
    ("clang", "-O3"),
    ("clang", "-O3 -march=x86-64-v3"),
    ("clang", "-O3 -march=x86-64-v4"),
    ("aarch64-linux-gnu-gcc", "-O1 -static"),
    ("aarch64-linux-gnu-gcc", "-O3 -static"),
)


def build(folder, compiler="gcc", options="-O3 -fno-math-errno"):
    """The program, compiled."""
    program = pathlib.Path(folder) / "elementary"
    command = [compiler, "-std=gnu11", *options.split(), "-ffp-contract=off", f"-I{ROOT}", str(HERE / "elementary.c")]
    subprocess.run([*command, "-o", str(program), "-lm"], check=True)
    return program


def run(program, *arguments, compiler="gcc"):
    """What it prints."""
    emulator = [EMULATOR] if compiler.startswith("aarch64") else []
    command = [*emulator, str(program), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def exact_error(name, x, second, y):
    """The error of y = f(x) in ulp, from 50 digits, and those that a large angle loses."""
    from mpmath import mp, mpf

    mp.dps = 400 if name in ("sin", "cos", "tan") else 50
    two = {"atan2": mp.atan2, "pow": mp.power}
    exact = two[name](mpf(x), mpf(second)) if name in two else getattr(mp, name)(mpf(x))
    exponent = int(mp.floor(mp.log(abs(exact), 2)))
    return float(abs(mpf(y) - exact) / mpf(2) ** (max(exponent, -1022) - 52))


def accuracy(n="1e8", function=None):
    worst = {}
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        command = [str(program), "accuracy", n, *([function] if function else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                name, kind, low, high, error, *point = line.split()
                x, second, y = map(float.fromhex, point)
                again = exact_error(name, x, second, y)
                worst[name] = max(worst.get(name, (0.0,)), (again, x, second))
                print(
                    f"{name:6} {kind} {low:>10} to {high:10} {error}, {again:.4f} with 50 digits, at {x!r}", flush=True
                )
    print(f"\nlargest error, {n} points of each function:")
    for name, (error, x, second) in worst.items():
        print(f"| `{name}` | {error:.4f} | {x!r}{f', {second!r}' if second else ''} |")


def checksums(n="1e7"):
    seen = {}
    for compiler, options in BUILDS:
        tools = (compiler, EMULATOR) if compiler.startswith("aarch64") else (compiler,)
        missing = [tool for tool in tools if not shutil.which(tool)]
        if missing:
            print(f"{compiler} {options}: left out, no {missing[0]} on the PATH")
            continue
        with tempfile.TemporaryDirectory() as folder:
            program = build(folder, compiler, options)
            try:
                text = run(program, "checksum", n, compiler=compiler)
            except subprocess.CalledProcessError as error:
                if error.returncode != -4:  # an instruction that this processor does not have
                    raise
                print(f"{compiler} {options}: left out, not for this processor")
                continue
        seen.setdefault(text, []).append(f"{compiler} {options}")
        print(f"{compiler} {options}: built and run", flush=True)
    for text, builds in seen.items():
        print(f"\n{text}", *(f"  by {each}" for each in builds), sep="\n")
    if len(seen) > 1:
        sys.exit("builds differ")
    print(f"all {len(builds)} builds have the same bits")


def speed():
    with tempfile.TemporaryDirectory() as folder:
        print(run(build(folder), "speed"))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("accuracy", "checksums", "speed"):
        sys.exit(__doc__)
    {"accuracy": accuracy, "checksums": checksums, "speed": speed}[sys.argv[1]](*sys.argv[2:])
