"""The compiled extensions; everything else about the package is in pyproject.toml.

Environment variables read at build time:

SPARSEPROP_DEBUG=1
    Bounds checks, overflow checks and the queue's invariant audit after every instant.
SPARSEPROP_SANITIZE=1
    Address and undefined-behaviour sanitizers (see CONTRIBUTING.md for how to run such a build).
"""

import os
import pathlib
import shutil
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

if os.name == "nt":
    sys.exit("sparseprop's threads, signals and file locks are those of POSIX: on Windows install it in WSL")

DEBUG = os.environ.get("SPARSEPROP_DEBUG", "0") == "1"
SANITIZE = os.environ.get("SPARSEPROP_SANITIZE", "0") == "1"

# What is built in one way is never taken for what is built in another: each has a folder of its own.
MODE = "-".join(["debug"] * DEBUG + ["sanitize"] * SANITIZE) or "release"
BUILD = pathlib.Path("build") / MODE
HEADERS = [f"sparseprop/numerics/{name}.h" for name in ("dispatch", "elementary", "lanes", "philox")]
SHARED = "sparseprop._cyutility"  # what Cython would otherwise put into each extension: memoryviews
MODULES = (
    "_core",
    "engine._kernel",
    "engine._loaded",
    "engine._backward",
    "engine._slices_back",
    "engine._batch",
    "batch._spikes",
    "training._step",
    "engine._lookahead",
    "engine._tangent",
    "dynamics._events",
    "connectivity._wiring",
    "numerics._double_double",
    "numerics._functions",
    "bench._yardsticks",
)

# Those in which little time is spent are made small.
SMALL = {
    SHARED,
    *(f"sparseprop.{name}" for name in ("engine._loaded", "numerics._double_double", "numerics._functions")),
}
# Loops over neurons, synapses and vectors, and what they are measured against. -O2 serves the rest as well, and builds
# sooner.
FAST = (
    "sparseprop.engine.kernels.",
    "sparseprop.engine._lookahead",
    "sparseprop.engine._tangent",
    "sparseprop.training._step",
    "sparseprop.bench.",
)

# Each kind of neurons is a unit of its own: what models/_<m>.pxd defines, in what all kinds share.
KERNELS = sorted(path.stem for path in pathlib.Path("sparseprop/models").glob("_*.pxd") if path.stem != "_neuron")
KERNEL = """\
\"\"\"The kernel of models/{name}.pxd; written by setup.py.\"\"\"

from sparseprop.models._neuron cimport *
from sparseprop.models.{name} cimport *

include "sparseprop/engine/_population.pxi"
include "sparseprop/engine/_population_lookahead.pxi"
include "sparseprop/engine/_population_stream.pxi"
include "sparseprop/engine/_population_back.pxi"
include "sparseprop/engine/_population_tangent.pxi"
include "sparseprop/engine/_population_slice_back.pxi"
"""

# One ulp of difference becomes another raster: no contraction into fused multiply-adds, no fast-math,
# no instructions beyond the platform's baseline.
compile_args = ["-O2", "-g0", "-ffp-contract=off", "-fno-math-errno", "-Wno-unused-function", "-pthread"]
link_args = ["-pthread"] if DEBUG or sys.platform == "darwin" else ["-pthread", "-s"]
if DEBUG:
    compile_args += ["-g", "-O1"]  # the last one counts
if SANITIZE:
    compile_args = [
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-ffp-contract=off",
        "-fsanitize=address,undefined",
        "-pthread",
    ]
    link_args = ["-fsanitize=address,undefined", "-pthread"]

directives = {
    "language_level": 3,
    "embedsignature": True,
    "cdivision": True,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
}


def numpy_headers(name):
    """Where numpy's are, for what makes ufuncs."""
    if not name.endswith("._double_double"):
        return []
    import numpy

    return [numpy.get_include()]


def level(name):
    """How much this unit is optimised, where it differs."""
    if MODE != "release":
        return []
    return ["-Os"] if name in SMALL else ["-O3"] if name.startswith(FAST) else []


def extension(name, source):
    return Extension(
        name,
        [source],
        include_dirs=[".", *numpy_headers(name)],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
            ("SPARSEPROP_DEBUG", str(int(DEBUG))),
            ("SPARSEPROP_BUILD_MODE", f'"{MODE}"'),
        ],
        depends=["sparseprop/numerics/double_double.h"] * name.endswith("._double_double"),
        extra_compile_args=[*compile_args, *level(name)],
        extra_link_args=link_args,
    )


def kernel(name):
    """The extension of a kind of neurons; its source is written where it is not there yet."""
    source = BUILD / "kernels" / f"{name}.pyx"
    text = KERNEL.format(name=name)
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    return extension(f"sparseprop.engine.kernels.{name}", str(source))


class BuildExtensions(build_ext):
    """Translates and compiles what has changed, in parallel, into a folder that wheels and editable installs share."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def build_extensions(self):
        from Cython.Build import cythonize

        translated = cythonize(
            self.extensions,
            compiler_directives=directives,
            include_path=["."],
            shared_utility_qualified_name=SHARED,
            build_dir=str(BUILD),
            nthreads=self.parallel,
            force=bool(self.force) or is_older_than_setup(BUILD.glob("sparseprop/**/*.c")),
        )
        for old, new in zip(self.extensions, translated, strict=True):
            assert old.name == new.name
            old.sources = new.sources
            old.depends = ["setup.py", *HEADERS, *old.depends]  # the former has the options of the compiler
        # An editable install has temporary folders, in which nothing is ever up to date.
        wanted, self.build_lib = self.build_lib, str(BUILD / "extensions")
        self.build_temp = str(BUILD / "objects")
        try:
            super().build_extensions()
            built = [self.get_ext_fullpath(ext.name) for ext in self.extensions]
        finally:
            self.build_lib = wanted
        for path, ext in zip(built, self.extensions, strict=True):
            target = self.get_ext_fullpath(ext.name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(path, target)  # as new: setuptools copies no older file over the one beside the sources


def is_older_than_setup(files):
    """Whether one of them was made before this file, and with it the options of the translation, was changed."""
    return any(file.stat().st_mtime < os.path.getmtime("setup.py") for file in files)


class BuildModules(build_py):
    """Leaves nothing in a wheel that is not in the sources any more."""

    def run(self):
        if BUILD.resolve() in pathlib.Path(self.build_lib).resolve().parents:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(
    ext_modules=[
        *(extension(f"sparseprop.{name}", f"sparseprop/{name.replace('.', '/')}.pyx") for name in MODULES),
        *(kernel(name) for name in KERNELS),
        extension(SHARED, f"{SHARED.replace('.', '/')}.c"),
    ],
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildModules},
    options={"build": {"build_base": str(BUILD)}},
)
