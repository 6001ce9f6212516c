"""The package itself: layering, light import, build mode, stubs, doctests."""

import ast
import graphlib
import importlib
import importlib.metadata
import inspect
import os
import pathlib
import re
import subprocess
import sys

import pytest

import sparseprop as sp
from sparseprop import _core
from sparseprop.bench import _yardsticks
from sparseprop.connectivity import _wiring
from sparseprop.engine import _backward, _batch

FOLDER = pathlib.Path(sp.__file__).parent
ROOT = pathlib.Path(__file__).resolve().parents[1]
# What a module or a package imports stands before it, or is in the same place; docs/decisions.md says why so. A module
# that has a place of its own is not where its package is.
LAYERS = [
    {"errors", "_html", "_machine"},
    {"_validation"},
    {"numerics", "files"},
    {"connectivity", "plotting"},
    {"models", "inputs"},
    {"engine"},
    {"_core"},
    {"engine._backward"},
    {"engine._batch"},
    {"engine._lookahead"},
    {"gradients"},
    {"run"},
    {"network"},
    {"batch", "sweep", "gradient_check", "simulation", "raster"},
    {"training"},
    {"torch", "jax"},
    {"sparseprop"},
    {"bench"},
    {"cli"},
    {"__main__"},
]
CYTHON = re.compile(r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(.*)|c?import[ \t]+()()(.*))$", re.MULTILINE)


def module_of(path):
    """The name of a module within the package; a package is what its `__init__` is, the whole is "sparseprop"."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "sparseprop"


SOURCES = {}  # the files of each module
for _path in sorted(FOLDER.rglob("*.p*")):
    if _path.suffix in (".py", ".pyx", ".pyi", ".pxd"):
        SOURCES.setdefault(module_of(_path), []).append(_path)


def import_statements(path):
    """Of each import in a file, wherever it is: dots, module, names."""
    if path.suffix in (".pyx", ".pxd"):
        for dots, module, names, *plain in CYTHON.findall(path.read_text()):
            for name in re.findall(r"\w[\w.]*", (names or plain[-1]).partition("#")[0]) or [""]:
                yield len(dots), module, name
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((0, "", alias.name) for alias in node.names)


def imports(path):
    """Modules of the package that a file imports, by their names within it."""
    for level, module, name in import_statements(path):
        parts = [part for part in (*module.split("."), *name.split(".")) if part]
        if level:
            folder = path.relative_to(FOLDER).parts[:-1]
            assert level <= len(folder) + 1
            parts = [*folder[: len(folder) + 1 - level], *parts]
        elif parts[0] == "sparseprop":
            parts = parts[1:]
        else:
            continue
        # The longest part of the path that is a module; the rest are names in it.
        found = (".".join(parts[:k]) for k in range(len(parts), 0, -1))
        yield next((name for name in found if name in SOURCES), "sparseprop")


def arrows():
    """What each module imports."""
    return {module: {name for path in paths for name in imports(path)} for module, paths in SOURCES.items()}


def test_imports_point_one_way():
    level = {name: k for k, names in enumerate(LAYERS) for name in names}
    place = {module: module if module in level else module.partition(".")[0] for module in SOURCES}
    assert set(place.values()) == set(level), "a module or package without a place in LAYERS, or a place without one"
    for module, found in arrows().items():
        mine = place[module]
        for imported in found:
            other = place[imported]
            assert other == mine or level[other] < level[mine], f"{module} imports {imported}"


def test_imports_have_no_circle():
    others = {module: found - {module} for module, found in arrows().items()}
    graphlib.TopologicalSorter(others).prepare()  # which raises CycleError


def test_all_imports_are_seen():
    found = arrows()
    assert {"models", "numerics._scan", "engine._state", "numerics.engine_time"} <= found["_core"]  # import and cimport
    assert {"_core", "models._lifexp_adjoint", "engine._delivery", "errors"} <= found["engine._backward"]
    assert "bench.suite" in found["cli.commands"]  # within a function
    assert "numerics._philox" in found["connectivity._wiring"] and "errors" in found["bench._yardsticks"]
    assert found["sparseprop"] >= {"errors", "batch", "connectivity.distributions"}


def test_import_is_light(tmp_path):
    heavy = (
        "scipy",
        "h5py",
        "matplotlib",
        "torch",
        "jax",
        "mpmath",
        "multiprocessing",
        "joblib",
        "distributed",
        "pandas",
    )
    script = f"import sys, sparseprop; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_modules_whose_names_have_moved_are_where_they_were(tmp_path):
    script = "import sparseprop as sp; assert sp.simulation.Simulation is sp.Simulation; print(sp.raster.RasterWriter)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "raster_writer.RasterWriter" in done.stdout


def test_public_names():
    assert sorted(sp.__all__) == sorted(set(sp.__all__))
    for name in sp.__all__:
        assert getattr(sp, name) is not None
        if inspect.isclass(getattr(sp, name)) or inspect.isfunction(getattr(sp, name)):
            assert inspect.getdoc(getattr(sp, name)), f"{name} has no docstring"


def test_the_tab_key_shows_public_names_only():
    assert dir(sp) == sorted([*sp.__all__, "__version__", "jax", "torch", "training"])
    assert all(hasattr(sp, name) for name in set(dir(sp)) - {"jax", "torch"})
    assert dir(sp.training) == sorted(sp.training.__all__)


def test_version_and_links():
    about = importlib.metadata.metadata("sparseprop-sim")
    assert sp.__version__ == about["Version"] and re.fullmatch(r"\d+\.\d+\.\d+\S*", sp.__version__)
    assert re.search(rf"^version: {re.escape(sp.__version__)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert "Paper, https://arxiv.org/abs/2312.17216" in about.get_all("Project-URL")


def test_build_mode_is_the_one_that_was_asked_for():
    wanted = os.environ.get("SPARSEPROP_EXPECT_BUILD", "release")
    assert wanted == _core.BUILD_MODE


def test_multiplication_and_addition_are_not_fused():
    assert not _core.contracts_multiply_add()


@pytest.mark.parametrize("module", [_core, _backward, _batch, _wiring, _yardsticks])
def test_stubs_name_what_is_there(module):
    stub = ast.parse(pathlib.Path(FOLDER, *module.__name__.split(".")[1:]).with_suffix(".pyi").read_text())
    names = [node for node in stub.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert names
    for node in names:
        actual = getattr(module, node.name)
        members = [m for m in getattr(node, "body", []) if isinstance(m, ast.FunctionDef)]
        if isinstance(node, ast.FunctionDef):
            wanted = [a.arg for a in node.args.args + node.args.kwonlyargs]
            assert list(inspect.signature(actual).parameters) == wanted
        for member in members:
            assert hasattr(actual, member.name), f"{node.name}.{member.name}"


def test_sources_are_installed_beside_the_extension():
    for name in (
        "_core.pyx",
        "_core.pyi",
        "numerics/_frames.pxd",
        "engine/_backward.pyx",
        "engine/_state.pxd",
        "connectivity/_wiring.pyx",
        "bench/_yardsticks.pyi",
        "py.typed",
    ):
        assert (FOLDER / name).is_file()


def test_missing_extension_is_explained(tmp_path):
    (tmp_path / "sparseprop").mkdir()
    (tmp_path / "sparseprop" / "__init__.py").write_text((FOLDER / "__init__.py").read_text())
    # Without site-packages: an editable install would find its own compiled modules for this copy.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import sparseprop"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install ." in done.stderr


def test_doctests(tmp_path):
    import doctest

    tried = 0
    names = {module_of(path) for path in FOLDER.rglob("*.py")} - {"sparseprop", "__main__", "torch", "jax"}
    for name in sorted(names):
        results = doctest.testmod(importlib.import_module(f"sparseprop.{name}"))
        assert results.failed == 0, name
        tried += results.attempted
    assert tried >= 8


def test_every_error_inherits_the_builtin():
    expected = {
        "ParameterError": ValueError, "ArgumentError": TypeError, "ConnectivityError": ValueError,
        "NumericalError": ArithmeticError,
        "RunawayError": RuntimeError, "CapacityError": OverflowError, "InsufficientMemoryError": MemoryError,
        "StorageError": OSError, "FileFormatError": ValueError, "CheckpointMismatchError": ValueError,
        "GradientOverflowWarning": RuntimeWarning,
    }  # fmt: skip
    assert set(expected) == set(sp.errors.__all__)
    for name, builtin in expected.items():
        assert issubclass(getattr(sp.errors, name), builtin)
