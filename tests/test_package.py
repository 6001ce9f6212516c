"""The package itself: layering, light import, build mode, stubs, doctests."""

import ast
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
from sparseprop import _core, _wiring, _yardsticks

FOLDER = pathlib.Path(sp.__file__).parent
ROOT = pathlib.Path(__file__).resolve().parents[1]
# Imports at module level point from left to right only (design, section 7).
LAYERS = [
    {"errors", "_html"},
    {"watching"},
    {"_validation", "bins", "engine_time", "_wiring"},
    {"drifts", "tables"},
    {"distributions", "inputs", "models", "connectivity"},
    {"network"},
    {"_core", "_yardsticks", "reference"},
    {"storage"},
    {"checkpoint", "raster", "result"},
    {"recording", "steering", "tape"},
    {"simulation"},
    {"gradients", "gradient_check"},
    {"batch"},
    {"sweep"},
    {"plotting", "bench", "cli"},
    {"training.data", "training.encoding", "training.builders", "training.optimizers", "training.pseudospikes"},
    {"training.losses"},
    {"training.silence"},
    {"training.trainer"},
    {"training"},
    {"torch", "jax"},
    {"__main__"},
]


def module_level_imports(path):
    """Modules of the package that a module imports, by their names within it."""
    inside = len(path.relative_to(FOLDER).parts) - 1
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = "training." if node.level == inside else ""
            assert node.level <= inside + 1
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (folder + name for name in names)


def test_imports_point_one_way():
    level = {name: k for k, names in enumerate(LAYERS) for name in names}
    modules = {path.stem: path for path in FOLDER.glob("*.py") if path.stem != "__init__"}
    modules |= {
        "training" if path.stem == "__init__" else f"training.{path.stem}": path
        for path in (FOLDER / "training").glob("*.py")
    }
    assert set(modules) <= set(level), "a module without a place in LAYERS"
    for name, path in modules.items():
        for imported in module_level_imports(path):
            assert level[imported] <= level[name], f"{name} imports {imported}"


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


@pytest.mark.parametrize("module", [_core, _wiring, _yardsticks])
def test_stubs_name_what_is_there(module):
    stub = ast.parse((FOLDER / f"{module.__name__.split('.')[-1]}.pyi").read_text())
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
    for name in ("_core.pyx", "_core.pyi", "_frames.pxd", "_lif.pxd", "_qif.pxd", "py.typed"):
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
    names = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "__main__", "torch", "jax"}
    names |= {f"training.{path.stem}" for path in (FOLDER / "training").glob("*.py") if path.stem != "__init__"}
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
