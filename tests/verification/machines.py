#!/usr/bin/env python3
"""Whether other processors, C libraries and compilers give the same bits, as far as one machine can tell.

    python tests/verification/machines.py                       # all ways; some minutes
    python tests/verification/machines.py normal glibc clang    # these
    python tests/verification/machines.py --record              # and write down what all of them agree on

Each way is a run of `same_bits.py`, in another environment or with a build of its own, made in a temporary folder from
a copy of this tree. It is compared with the fingerprints in `same_bits.json`, if they were recorded, else with the
first way. Simulations and trainings are also saved in the first way and go on in each, and the other way round.
The C functions are run on Arm too, by qemu. Exit status 1 if anything differs.

For all ways: `apt-get install clang gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user`, and Cython, numpy and
setuptools beside sparseprop. A way that is not possible here is skipped, and the table says why.
"""

import argparse
import fnmatch
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORDED = HERE / "same_bits.json"
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "sparseprop")  # what a build needs
PRODUCTS = shutil.ignore_patterns("*.so", "*.o", "__pycache__", "objects", "extensions", "lib", "lib.*", "bdist.*")
PROGRAM = HERE / "elementary.c"  # prints a line "name fingerprint" for each function of ours in C

# What processors of each level have, by the names of /proc/cpuinfo.
LEVELS = {
    "x86-64-v2": {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"},
    "x86-64-v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"},
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}

# Numbers that depend on which variants of functions glibc and numpy take for this processor; where the package is.
PROBE = """
import hashlib, json, math
from importlib.util import find_spec
import numpy as np
x = 20.0 * np.random.default_rng(0).random(100_000) - 10.0
functions = [np.exp, np.log1p, np.sin, np.tan, np.arctan]
bits = lambda arrays: hashlib.sha256(b"".join(np.asarray(a, "<f8").tobytes() for a in arrays)).hexdigest()
print(json.dumps({
    "glibc": bits([[math.exp(v) for v in x]]),
    "numpy": bits([f(np.abs(x)) for f in functions]),
    "numpy takes": np.show_config(mode="dicts")["SIMD Extensions"].get("found", []),
    "core": find_spec("sparseprop._core").origin,
}))
"""


class Impossible(Exception):
    """Why a way cannot be gone on this machine."""


@dataclass(frozen=True)
class Way:
    """A way to build and run the package.

    `compiler` and `flags` make a build of its own, `environment` is added to that of the runs, and `changes` names what
    of :data:`PROBE` it is to change: where it does not, it tests nothing.
    """

    what: str
    compiler: str | None = None
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    changes: str | None = None
    level: str | None = None


WAYS = {
    "normal": Way("the package that is installed"),
    "glibc": Way(
        "glibc's functions without fused multiply-add",
        environment={"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
        changes="glibc",
    ),
    "numpy": Way("numpy's functions without wide instructions", changes="numpy"),
    "clang": Way("built with clang", compiler="clang"),
    "clang-O3-v3": Way("built with clang", "clang", ("-O3", "-march=x86-64-v3"), level="x86-64-v3"),
    **{
        f"gcc{O}-{level[-2:]}": Way(f"built with gcc {O}", "gcc", (O, f"-march={level}"), level=level)
        for O in ("-O1", "-O3")
        for level in LEVELS
    },
}
ARM = "arm"

# --- builds ------------------------------------------------------------------------------------------------------


def require(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise Impossible(f"{' and '.join(missing)} not installed")


def require_level(level):
    """That this processor has all that programs of a level use."""
    if platform.machine() != "x86_64":
        raise Impossible(f"no {level} on {platform.machine()}")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).partition(":")[2].split())
    for name, wanted in LEVELS.items():
        if not wanted <= flags:
            raise Impossible(f"this processor is no {level}: it has no {', '.join(sorted(wanted - flags))}")
        if name == level:
            return


class Builder:
    """Builds of copies of the tree, of which only the first is translated to C."""

    def __init__(self, folder):
        self.folder, self.translated = folder, None

    def build(self, name, way):
        """Build in a way; returns the folder to put first on Python's path."""
        require(way.compiler)
        copy, target = self.folder / name / "copy", self.folder / name / "target"
        copy.mkdir(parents=True)
        for source in SOURCES:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, copy / source, ignore=PRODUCTS)
            else:
                shutil.copy2(ROOT / source, copy / source)
        if self.translated is not None:
            shutil.copytree(self.translated, copy / "build", ignore=PRODUCTS)
        # CFLAGS come before the -O3 of setup.py; what comes last counts.
        log = self.folder / name / "compiled"
        compiler = self.folder / name / "cc"
        flags = " ".join((*way.flags, "-ffp-contract=off"))
        compiler.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexec {way.compiler} "$@" {flags}\n')
        compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-build-isolation",
            "--no-deps",
            "--target",
            target,
            copy,
        ]
        environment = {name: value for name, value in os.environ.items() if name not in ("CFLAGS", "LDSHARED")}
        done = subprocess.run(
            [*map(str, command)],
            env=environment | {"CC": str(compiler)},
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise SystemExit(f"{name}: the build failed\n{done.stdout}\n{done.stderr}")
        if "-c " not in log.read_text():
            raise SystemExit(f"{name}: the build did not call the compiler that it was told to")
        if self.translated is None:
            self.translated = copy / "build"
        return target


# --- runs --------------------------------------------------------------------------------------------------------


class Ready:
    """A way that has been built, and is known to be another one than the first."""

    def __init__(self, name, way, builder, first):
        self.name, self.folder = name, builder.folder
        environment = dict(way.environment)
        if way.level:
            require_level(way.level)
        if way.changes == "glibc" and platform.libc_ver()[0] != "glibc":
            raise Impossible("the C library is not glibc")
        if way.changes == "numpy":
            environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(first.probed["numpy takes"])
        if way.compiler:
            environment["PYTHONPATH"] = str(builder.build(name, way))
        drop = ("GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "PYTHONPATH")
        self.environment = {k: v for k, v in os.environ.items() if k not in drop} | environment
        self.probed = json.loads(self.python("-c", PROBE))
        if way.compiler:
            core = Path(self.probed["core"])
            if not core.is_relative_to(environment["PYTHONPATH"]):
                raise SystemExit(f"{name}: {core} was imported, and not what was built")
            if core.read_bytes() == Path(first.probed["core"]).read_bytes():
                raise Impossible(f"its machine code is that of {first.name}, so it would test nothing")
        if way.changes and self.probed[way.changes] == first.probed[way.changes]:
            raise Impossible(f"it changes nothing that {way.changes} computes here, so it would test nothing")

    def python(self, *arguments):
        """What Python prints, run in this way, outside of the source folder."""
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def fingerprints(self, patterns):
        path = self.folder / f"{self.name}.json"
        self.python(HERE / "same_bits.py", *patterns, "--save", path)
        return json.loads(path.read_text())["sha256"]

    def save(self):
        """The folder with what this way has saved of simulations and trainings."""
        folder = self.folder / f"{self.name}-saved"
        folder.mkdir()
        self.python(HERE / "relay.py", "save", folder)
        return folder

    def go_on(self, folder):
        """The fingerprints of what goes on from there, or that it refuses to."""
        try:
            lines = self.python(HERE / "relay.py", "go_on", folder).splitlines()
        except RuntimeError as error:
            if "CheckpointMismatchError" not in str(error):
                raise
            return "refused"
        return dict(line.split() for line in lines)


def on_arm(folder):
    """What the C functions give here and on 64-bit Arm: two dictionaries."""
    require("gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64")
    if not PROGRAM.exists():
        raise Impossible(f"there is no {PROGRAM.name}")
    found = []
    for compiler, runner in (("gcc", []), ("aarch64-linux-gnu-gcc", ["qemu-aarch64"])):
        program = folder / compiler
        flags = ["-O3", "-ffp-contract=off", "-static", "-I", ROOT / "sparseprop" / "numerics"]
        subprocess.run([compiler, *flags, PROGRAM, "-o", program, "-lm"], check=True)
        done = subprocess.run([*runner, program], check=True, capture_output=True, text=True)
        found.append(dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines()))
    return found


# --- the command ---------------------------------------------------------------------------------------------------


def different(expected, found):
    """The names whose values are not the same, or are in one of them only."""
    return [name for name in expected | found if expected.get(name) != found.get(name)]


def table(rows):
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def selected(values, patterns):
    return {k: v for k, v in values.items() if any(fnmatch.fnmatchcase(k, pattern) for pattern in patterns)}


def compare(names, patterns, folder, expected=None):
    """Go these ways.

    Returns
    -------
    rows : list of list of str
        For the table.
    differ : dict of list of str
        By way, which fingerprints differ; only where any does.
    expected : dict of str
        What they were compared with.
    """
    builder = Builder(folder)
    rows = [["way", "differ", "goes on from first", "first goes on", "seconds", ""]]
    differ, first, saved, goes_on = {}, None, None, None
    for name in names:
        started, way = time.perf_counter(), WAYS.get(name)
        try:
            if name == ARM:
                here, found = on_arm(folder)
                wrong, relays = different(here, found), ["", ""]
                note, n = "the C functions by qemu, for 64-bit Arm", len(here | found)
            else:
                ready = Ready(name, way, builder, first)
                found = ready.fingerprints(patterns)
                if first is None:
                    first, saved = ready, ready.save()
                    goes_on, relays = ready.go_on(saved), ["", ""]
                else:
                    results = ready.go_on(saved), first.go_on(ready.save())
                    relays = ["refused" if r == "refused" else "same" if r == goes_on else "differs" for r in results]
                if expected is None:
                    expected = found
                wrong, n, note = different(expected, found), len(expected | found), way.what
                wrong += [title for title, relay in zip(rows[0][2:4], relays, strict=True) if relay not in ("", "same")]
        except Impossible as why:
            rows.append([name, "skipped", "", "", "", str(why)])
            continue
        if wrong:
            differ[name] = wrong
        n_wrong = sum(k not in rows[0] for k in wrong)
        rows.append([name, f"{n_wrong} of {n}", *relays, f"{time.perf_counter() - started:.0f}", note])
    return rows, differ, expected


def main(arguments=None):
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ways", nargs="*", default=[*WAYS, ARM], help=f"which of {', '.join([*WAYS, ARM])}")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="of which fingerprints")
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name} if all ways agree")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.ways if name not in (*WAYS, ARM)]
    if unknown:
        parser.error(f"there is no way {unknown[0]!r}; there are {', '.join([*WAYS, ARM])}")
    names = ["normal", *(name for name in options.ways if name != "normal")]
    if options.record and options.only != ["*"]:
        parser.error("--record is for all fingerprints, not for --only some")
    expected = None
    if RECORDED.exists() and not options.record:
        expected = selected(json.loads(RECORDED.read_text()), options.only)
    against = "normal" if expected is None else RECORDED.name
    with tempfile.TemporaryDirectory() as folder:
        rows, differ, expected = compare(names, options.only, Path(folder), expected)
    print(table(rows))
    everything = sorted({name for names in differ.values() for name in names})
    if differ:
        print(f"\nNot the same as {against}:")
        print(
            table(
                [["", *differ], *([k, *("x" if k in names else "" for names in differ.values())] for k in everything)]
            )
        )
    else:
        print(f"\nAll the same as {against}.")
    if options.record and not differ:
        RECORDED.write_text(json.dumps(expected, indent=1) + "\n")
        print(f"recorded in {RECORDED}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
