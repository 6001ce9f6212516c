"""The compiled extensions; everything else about the package is in pyproject.toml.

Environment variables read at build time:

SPARSEPROP_DEBUG=1
    Bounds checks, overflow checks and the queue's invariant audit after every instant.
SPARSEPROP_SANITIZE=1
    Address and undefined-behaviour sanitizers (see CONTRIBUTING.md for how to run such a build).
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("SPARSEPROP_DEBUG", "0") == "1"
SANITIZE = os.environ.get("SPARSEPROP_SANITIZE", "0") == "1"

# One ulp of difference becomes another raster: no contraction into fused multiply-adds, no fast-math,
# no instructions beyond the platform's baseline.
compile_args = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wno-unused-function"]
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

extensions = [
    Extension(
        f"sparseprop.{name}",
        [f"sparseprop/{name}.pyx"],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
            ("SPARSEPROP_DEBUG", str(int(DEBUG))),
        ],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )
    for name in ("_core", "_wiring", "_yardsticks")
]

setup(
    # A debug build after a release build, or the other way round, must not reuse what the other one left.
    ext_modules=cythonize(extensions, compiler_directives=directives, force=True),
    options={"build_ext": {"force": True}},
)
