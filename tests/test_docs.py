"""The documentation: links lead somewhere, tests that it names exist, and what README shows runs."""

import importlib
import inspect
import os
import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from threadpoolctl import threadpool_limits

import sparseprop as sp

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(page for page in ROOT.rglob("docs/**/*.md") if "_made" not in page.parts)])
pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="the documentation is not here")


def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^( *)(```|~~~).*?^ *\2", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """What headings can be linked to as, by GitHub's rule."""
    headings = re.findall(r"^#+ +(.*?) *#*$", prose(page), flags=re.MULTILINE)
    headings = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`(?!\])", "", prose(page))
    links = re.findall(r"\[[^\]]*\]\(\s*<?([^)\s>]+)", text) + re.findall(r"^\[[^\]]+\]: +(\S+)", text, re.MULTILINE)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which there is not"
        assert target.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}: headings are {sorted(anchors(target))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page):
    sources = {path.name: path.read_text() for path in (ROOT / "tests").glob("*.py")}
    everything = "\n".join(sources.values())
    for span in re.findall(r"`([^`\n]+)`", prose(page)):
        named = re.fullmatch(r"(?:(?:\.\./)?tests/)?(test_\w+\.py)?(?:::)?(test_\w+)?(\[.*\])?", span)
        if named is None:
            continue
        file, name, _ = named.groups()
        assert file is None or file in sources, f"{page.name} names {file}, which there is not"
        if name is not None and f"{name}.py" not in sources:
            found = re.search(rf"def {name}\(", everything if file is None else sources[file])
            assert found, f"{page.name} names the test {span}, which there is not"


def defined(path):
    """What a source defines: functions, classes, structs, constants; methods and attributes as ``Class.name``."""
    names, owner = set(), ""
    for indent, name in re.findall(
        r"^(|    )(?:(?:cdef|def|class|ctypedef) [^#(=:\n]*?)?(\w+) *[(:=]", path.read_text(), re.M
    ):
        names.add(f"{owner}.{name}" if indent else name)
        owner = owner if indent else name
    return names


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/adding_a_model.md"])
def test_files_and_functions_that_are_named_exist(page):
    spans = re.findall(r"`([^`\n]+)`", prose(ROOT / page))
    named = [re.fullmatch(r"([\w/]+\.(?:py|pyx|pxd|pxi))(?:: ([\w.]+))?", span) for span in spans]
    for file, name in (span.groups() for span in named if span):
        paths = [path for path in (ROOT / "sparseprop" / file, ROOT / file) if path.is_file()]
        assert paths, f"{page} names {file}, which there is not"
        assert name is None or name in defined(paths[0]), f"{page} names {name} in {file}, which there is not"
    assert sum(span is not None for span in named) > 10


def files():
    """All files of the repository, but what was built."""
    left_out = {".git", "build", "__pycache__", "_made"}
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in left_out and not name.startswith(".venv")]
        yield from (Path(folder, name).relative_to(ROOT) for name in names)


FILES = list(files())
SOURCES = [path for path in FILES if path.parts[0] == "sparseprop" and re.fullmatch(r"\.p(y|yi|yx|xd|xi)", path.suffix)]
# What was, and what others have.
HISTORY = ("CHANGELOG.md", "docs/decisions.md")
OTHERS = ("script.py", "tests/__init__.py")


def test_files_that_are_named_exist():
    """In pages, and in comments and docstrings of the package; by the end of their path."""
    ends = {"/".join(path.parts[k:]) for path in FILES for k in range(len(path.parts))}
    named = re.compile(r"(?<![\w<>*{}/.-])(?:\.\./)*((?:[\w-]+/)*\w+\.(?:pyx|pxd|pxi|pyi|py))\b")
    found = [
        (str(path), name)
        for path in [*(page.relative_to(ROOT) for page in PAGES), *SOURCES]
        if str(path) not in HISTORY
        for name in named.findall((ROOT / path).read_text())
    ]
    assert not [pair for pair in found if pair[1] not in ends and pair[1] not in OTHERS]
    assert len(found) > 100


def test_references_in_docstrings_lead_somewhere():
    found = [
        (str(path), name)
        for path in SOURCES
        for name in re.findall(r":\w+:`~?sparseprop\.([\w.]+)`", (ROOT / path).read_text())
        if not re.match(r"(torch|jax)\b", name)
    ]
    for path, name in found:
        thing = sp
        for part in name.split("."):
            if inspect.ismodule(thing) and not hasattr(thing, part):
                importlib.import_module(f"{thing.__name__}.{part}")
            assert hasattr(thing, part), f"{path} refers to {name}, which there is not"
            thing = getattr(thing, part)
    assert len(found) > 10


def test_the_picture_of_the_architecture_is_drawn_from_the_sources():
    script = runpy.run_path(str(ROOT / "docs" / "architecture.py"))
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert script["with_list"](page) == page, "run python docs/architecture.py docs"
    picture = ElementTree.parse(ROOT / "docs" / "architecture.svg")
    drawn = {element.get("id") for element in picture.iter() if "->" in (element.get("id") or "")}
    assert drawn == set(map(script["name_of"], script["arrows_of"](script["rows_of_places"]())))
    assert "run->engine.input" in drawn and len(drawn) > 30


def blocks(page):
    """The Python that a page shows."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["docs/adding_a_model.md", "docs/numerics.md"])
def test_what_pages_show_runs(page, monkeypatch, capsys):
    monkeypatch.setattr(sp.models.riccati, "SHEAR_LIMIT", sp.models.riccati.SHEAR_LIMIT)  # which a script changes
    for block in blocks(page):
        exec(block, {"__name__": "__main__"})
    table = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("1e-")]
    rows = re.findall(r"^\| (1e-\d+) \|(.*)\|$", (ROOT / page).read_text(), re.MULTILINE)
    assert [row[0] for row in table] == [name for name, _ in rows]
    for row, (_, said) in zip(table, rows, strict=True):
        # Of roundings, which another C library may do otherwise.
        assert np.allclose(np.log10(np.array(row[1:], float)), np.log10(np.array(said.split("|"), float)), atol=0.5)


def test_what_the_page_on_statistics_shows_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    (block,) = blocks("docs/analysis.md")
    exec(block, {})
    irregularity, correlation = map(float, capsys.readouterr().out.split())
    assert 0.5 < irregularity < 1.5 and abs(correlation) < 0.1
    assert [path.name for path in tmp_path.iterdir()] == ["analysis.png"]
    pyplot.close("all")
    matplotlib.use(backend)


FIGURES = runpy.run_path(str(ROOT / "docs" / "figures.py")) if (ROOT / "docs" / "figures.py").exists() else {}
SHOWN = FIGURES["pages"]() if FIGURES else []


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_tutorials_and_how_tos_run_and_print_what_they_say(page, tmp_path, monkeypatch):
    if "import torch" in page.read_text():
        pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    monkeypatch.chdir(tmp_path)
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    with threadpool_limits(1):  # small matrices, of which threads of LAPACK on a busy machine make hard work
        for block, printed in FIGURES["run_page"](page.read_text()):
            assert block["said"] is None or block["said"] == printed
    for picture in tmp_path.glob("*.png"):
        assert (page.parent / picture.name).exists(), "python docs/figures.py draws it"
    pyplot.close("all")
    matplotlib.use(backend)


@pytest.mark.parametrize(("other", "ours", "apart"), [("nest", 0, 1e-11), ("brian2", 0, 0.06), ("snntorch", 1, 1e-9)])
def test_networks_side_by_side_fire_alike(other, ours, apart):
    """What is shown of other simulators, where they are installed."""
    mine = [code for code in blocks("docs/coming_from.md") if "import sparseprop" in code]
    names = {}
    exec(mine[ours], names)
    expected = {0: 102, 1: 98}[ours]
    assert len(names["times"]) == expected
    pytest.importorskip(other, reason=f"{other} is not installed")
    theirs = {}
    (code,) = [code for code in blocks("docs/coming_from.md") if re.search(rf"^(import|from) {other}", code, re.M)]
    exec(code, theirs)
    assert len(theirs["times"]) == expected
    assert np.abs(np.sort(theirs["times"]) - np.sort(names["times"])).max() < apart


def test_there_are_tutorials_and_how_tos():
    assert {page.parent.name for page in SHOWN} == {"tutorials", "howto", "docs"} and len(SHOWN) > 10


# Pages of the reference, which only the site shows.
REFERENCE = "\n".join(page.read_text() for page in ROOT.glob("docs/reference/*.md"))
MODULES = ("", "training", "analysis", "dynamics", "interop", "errors")


def public():
    """All public functions and classes, and where they are."""
    for module in (importlib.import_module(f"sparseprop.{name}".rstrip(".")) for name in MODULES):
        for name in module.__all__:
            if callable(getattr(module, name)):
                yield module.__name__, name, getattr(module, name)


def test_every_public_name_is_in_the_reference():
    listed = re.findall(r"^\.\. currentmodule:: ([\w.]+)\n(.*?)^```", REFERENCE, re.DOTALL | re.MULTILINE)
    named = [(module, name) for module, text in listed for name in re.findall(r"^   (\w+)$", text, re.MULTILINE)]
    assert len(named) == len(set(named)) and set(named) >= {(m, n) for m, n, _ in public() if m != "sparseprop"}
    # What is of dynamics is listed there.
    known = {name for _, name in named}
    assert {name for _, name, _ in public()} <= known
    for name in ("torch.SpikingNetwork", "torch.Optimizer", "jax.parameters", "jax.spike_times", "jax.Optimizer"):
        assert f"   sparseprop.{name}\n" in REFERENCE


def test_every_public_name_has_an_example():
    """Which `tests/test_package.py::test_doctests` runs."""
    lacking = [f"{module}.{name}" for module, name, thing in public() if ">>>" not in (inspect.getdoc(thing) or "")]
    assert not lacking


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("pydata_sphinx_theme", reason='the site needs pip install ".[docs]"')
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "tutorials/first_raster.html", "_made/api/sparseprop.LIF.html"} <= pages
    for page in pages:
        loaded = re.findall(r"<(?:script|img|link)[^>]*(?:src|href)=.(https?:[^\"']*)", (tmp_path / page).read_text())
        assert not loaded, f"{page} loads {loaded}"


def test_pages_of_the_site_are_in_its_contents():
    listed = set()
    for page in PAGES:
        for text in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            listed |= {
                (page.parent / f"{name}.md").resolve()
                for name in re.findall(r"^([\w./]+)$", text, re.MULTILINE)
                if not name.startswith(("/", "_made"))
            }
    assert listed == {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {ROOT / "docs" / "index.md"}


def test_every_function_of_analysis_is_on_its_page():
    page = (ROOT / "docs" / "analysis.md").read_text()
    functions = [name for name in sp.analysis.__all__ if inspect.isfunction(getattr(sp.analysis, name))]
    assert len(functions) > 20 and all(f"`{name}`" in page for name in functions)
    for name in sp.analysis.__all__:
        assert inspect.getdoc(getattr(sp.analysis, name)), f"{name} has no docstring"


def test_what_readme_shows_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    script, gradients = blocks("README.md")
    names = {}
    exec(script, names)
    assert "10,000 neurons" in capsys.readouterr().out and names["res"].n_spikes > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.h5", "network.png"]
    assert np.array_equal(sp.load("network.h5").times, names["res"].times)
    names = {}
    exec(gradients, names)
    grads, text = names["grads"], " ".join((ROOT / "README.md").read_text().split())
    earlier, later = -grads.weight[names["synapses"]], grads.input_times["inputs"]
    assert (earlier > 0.1).all() and (later > 0.1).all() and later.sum() == pytest.approx(1.0) and not grads.warnings
    values = [f"{value:.2f}" for value in (names["res"].times[0], *earlier, *later)]
    said = text[text.index("The output fires at") :]
    assert re.findall(r"\d+\.\d\d", said)[:7] == values
    pyplot.close("all")
    matplotlib.use(backend)
