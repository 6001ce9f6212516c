"""The build: what is in a wheel and in an sdist, and what is built again when something has changed."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

SOURCE = pathlib.Path(__file__).parents[1]
BACKEND = pytest.importorskip("setuptools.build_meta", reason="no setuptools")
pytestmark = pytest.mark.skipif(not (SOURCE / "setup.py").exists(), reason="the sources are not here")


@pytest.fixture
def copy(tmp_path):
    """A copy of the sources, without anything that was built."""
    root = tmp_path / "source"
    root.mkdir()
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(SOURCE / name, root)
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.c")
    shutil.copytree(SOURCE / "sparseprop", root / "sparseprop", ignore=ignored)
    return root


def call(root, code, **environment):
    """Run some Python in the copy."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=root, capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def setup(root, *arguments):
    return call(root, f"import sys; sys.argv = ['setup.py', '-q', *{arguments!r}]; exec(open('setup.py').read())")


def build(root, kind, **environment):
    """The path of a wheel, an sdist or the wheel of an editable install, by the hooks that pip calls."""
    code = f"from setuptools.build_meta import build_{kind}; print(build_{kind}('out'))"
    return root / "out" / call(root, code, **environment).splitlines()[-1]


def mode(folder):
    """The build mode of the package in a folder; a sanitized one cannot be imported just so."""
    content = next(pathlib.Path(folder, "sparseprop").glob("_core.*.so")).read_bytes()
    return next(
        name for name in ("debug-sanitize", "sanitize", "debug", "release") if f"\0{name}\0".encode() in content
    )


def times(root):
    """When each extension was made."""
    found = (root / "build" / "release" / "extensions" / "sparseprop").rglob("*.so")
    return {path.name.split(".")[0]: path.stat().st_mtime_ns for path in found}


def changed(before, after):
    return {name for name in after if after[name] != before[name]}


def test_modules_that_were_deleted_do_not_stay_in_wheels(copy):
    (copy / "sparseprop" / "old_name.py").write_text("")
    setup(copy, "build_py")
    (built,) = (copy / "build" / "release").glob("lib*")
    assert (built / "sparseprop" / "old_name.py").exists()
    (copy / "sparseprop" / "old_name.py").rename(copy / "sparseprop" / "new_name.py")
    setup(copy, "build_py")
    assert not (built / "sparseprop" / "old_name.py").exists()
    assert (built / "sparseprop" / "new_name.py").exists() and (built / "sparseprop" / "_core.pyi").exists()
    assert not [path for path in built.rglob("*") if path.suffix in (".pyx", ".pxd", ".pxi", ".h")]
    assert {path.suffix for path in (built / "sparseprop" / "viewer").iterdir()} == {".py", ".html", ".css", ".js"}


def test_an_sdist_has_what_a_build_needs_and_nothing_that_was_built(copy):
    with tarfile.open(build(copy, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for path in SOURCE.glob("sparseprop/**/*"):
        if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".pyi", ".h", ".typed", ".html", ".css", ".js"):
            assert str(path.relative_to(SOURCE)) in names
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md"} <= names
    assert not [name for name in names if name.endswith((".c", ".so")) or name.startswith("build")]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_builds_of_all_modes_and_what_is_built_again(copy):
    """Some minutes: the compiled part three times, and parts of it again."""
    wheel = build(copy, "wheel")
    assert wheel.stat().st_size <= 1.95e6
    shutil.unpack_archive(wheel, copy / "wheel", "zip")
    assert mode(copy / "wheel") == "release"
    before = times(copy)
    kernels = {path.stem for path in (copy / "sparseprop" / "models").glob("_*.pxd")} - {"_neuron"}
    engines = {"_core", "_kernel", "_loaded", "_backward", "_batch", "_lookahead", "_slices_back", "_tangent"}
    others = {"_wiring", "_functions", "_double_double", "_yardsticks", "_cyutility"}
    assert set(before) == kernels | engines | others and "_lif" in kernels

    (copy / "sparseprop" / "network" / "network.py").touch()
    build(copy, "wheel")
    build(copy, "editable")
    assert times(copy) == before
    (copy / "sparseprop" / "engine" / "_backward.pyx").touch()
    build(copy, "editable")
    after = times(copy)
    assert changed(before, after) == {"_backward"}
    (copy / "sparseprop" / "models" / "_lif.pxd").touch()
    build(copy, "editable")
    before, after = after, times(copy)
    assert changed(before, after) == {"_lif"}
    (copy / "sparseprop" / "engine" / "_population.pxi").touch()
    build(copy, "editable")
    before, after = after, times(copy)
    assert changed(before, after) == kernels
    (copy / "sparseprop" / "connectivity" / "_rows.pxd").touch()
    build(copy, "wheel")
    assert changed(after, times(copy)) == engines - {"_kernel"} | {"_wiring"}

    # Each mode, again and again, for both kinds of install; what was built once is used again.
    for name in ("debug", "sanitize", "release", "debug", "sanitize", "release"):
        variables = {} if name == "release" else {f"SPARSEPROP_{name.upper()}": "1"}
        build(copy, "editable", **variables)
        assert mode(copy) == name
        with zipfile.ZipFile(build(copy, "wheel", **variables)) as archive:
            archive.extractall(copy / "wheel")
        assert mode(copy / "wheel") == name

    # From an sdist, as from a clone.
    with tarfile.open(build(copy, "sdist")) as archive:
        archive.extractall(copy / "again", filter="data")
    (root,) = (copy / "again").iterdir()
    assert build(root, "wheel").exists()
