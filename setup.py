"""The compiled extensions; everything else about the package is in pyproject.toml.

Environment variables read at build time:

SPARSEPROP_DEBUG=1
    Bounds checks, overflow checks and the queue's invariant audit after every instant.
SPARSEPROP_SANITIZE=1
    Address and undefined-behaviour sanitizers (see CONTRIBUTING.md for how to run such a build).
"""

import os
import pathlib

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("SPARSEPROP_DEBUG", "0") == "1"
SANITIZE = os.environ.get("SPARSEPROP_SANITIZE", "0") == "1"

# What is built in one way is not taken for what is built in another.
MODE = "-".join(["debug" if DEBUG else "release"] + ["sanitize"] * SANITIZE)
BUILD = pathlib.Path("build") / MODE
SHARED = "sparseprop._cyutility"  # what Cython would otherwise put into each extension: memoryviews

# One ulp of difference becomes another raster: no contraction into fused multiply-adds, no fast-math,
# no instructions beyond the platform's baseline.
compile_args = ["-O3", "-g" if DEBUG else "-g0", "-ffp-contract=off", "-fno-math-errno", "-Wno-unused-function"]
link_args = []
if SANITIZE:
    compile_args = [
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-ffp-contract=off",
        "-fsanitize=address,undefined",
    ]
    link_args = ["-fsanitize=address,undefined"]

directives = {
    "language_level": 3,
    "embedsignature": True,
    "cdivision": True,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
}


def extension(name, source):
    return Extension(
        name,
        [source],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
            ("SPARSEPROP_DEBUG", str(int(DEBUG))),
        ],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


class BuildExtensions(build_ext):
    """Translates what has changed, once and only where something is to be compiled; compiles in parallel."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count()

    def build_extensions(self):
        from Cython.Build import cythonize

        translated = cythonize(
            self.extensions,
            compiler_directives=directives,
            shared_utility_qualified_name=SHARED,
            build_dir=str(BUILD),
            nthreads=self.parallel,
        )
        # An editable install puts what it builds beside the sources, whatever the mode: a change of mode makes it old.
        stamp = BUILD.parent / "mode"
        if not stamp.is_file() or stamp.read_text() != MODE:
            stamp.write_text(MODE)
        for old, new in zip(self.extensions, translated, strict=True):
            assert old.name == new.name
            old.sources, old.depends = new.sources, [*old.depends, str(stamp)]
        super().build_extensions()


setup(
    ext_modules=[
        *(extension(f"sparseprop.{name}", f"sparseprop/{name}.pyx") for name in ("_core", "_wiring", "_yardsticks")),
        extension(SHARED, f"{SHARED.replace('.', '/')}.c"),
    ],
    cmdclass={"build_ext": BuildExtensions},
    options={"build": {"build_base": str(BUILD)}},
)
