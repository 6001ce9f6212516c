"""The docs site: ``pip install ".[docs]"``, then ``sphinx-build -W --keep-going docs build/site``.

Pages are those of this folder, as a code host shows them. What is not a page, but linked to, gets one: sources,
examples, CHANGELOG and CONTRIBUTING. What is known elsewhere is written from there: tables of parameters from the
declarations that check them, the promises from README. Nothing is fetched, and nothing is simulated.
"""

import ast
import dataclasses
import functools
import importlib.util
import inspect
import re
import shutil
from pathlib import Path

import sparseprop as sp
from sparseprop.cli import commands
from sparseprop.network.parts import BOUNDS

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
SUBMODULES = ("training", "analysis", "dynamics", "errors")
MADE = DOCS / "_made"  # what this file writes; not tracked

project = "sparseprop"
author = "The sparseprop developers"
version = release = sp.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
templates_path = ["_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "literal"
highlight_language = "none"
suppress_warnings = ["myst.header"]  # pages for a code host may begin where they like

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autosummary_generate = True
autodoc_mock_imports = [name for name in ("torch", "jax") if importlib.util.find_spec(name) is None]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "sparseprop"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "use_edit_page_button": False,
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "_made/readme": [], "_made/files/**": []}
copyright = "The sparseprop developers, MIT licence"


# Links of pages, which are those of a code host ----------------------------------------------------------------------


def rewritten(text, folder):
    """A page with links for the site, of a page that is in `folder`: to what is outside docs/, to pages in _made/."""

    def link(match):
        path, anchor = match["path"], match["anchor"] or ""
        if re.match(r"[a-z]+:", path) or not path:
            return match[0]
        target = (folder / path).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            return match[0]
        if target.is_dir():
            return match["text"]
        if target.is_relative_to(DOCS) and target.suffix in (".md", ".png", ".svg"):
            return f"[{match['text']}](/{target.relative_to(DOCS).as_posix()}{anchor})"
        return f"[{match['text']}](/{page_of(target).relative_to(DOCS).as_posix()}{anchor})"

    parts = re.split(r"(^ *```.*?^ *```)", text, flags=re.DOTALL | re.MULTILINE)
    inline = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<path>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
    return "".join(part if k % 2 else inline.sub(link, part) for k, part in enumerate(parts))


def page_of(path):
    """The page of a file outside docs/, which is made if there is none."""
    relative = path.relative_to(ROOT)
    if path.parent == ROOT / "examples":
        return MADE / "examples" / f"{path.stem}.md"
    if path.suffix == ".md":
        return MADE / f"{path.stem.lower()}.md"
    page = MADE / "files" / f"{relative.as_posix()}.md"
    if not page.exists():
        up = "../" * len(page.relative_to(DOCS).parent.parts)
        write(page, f"---\norphan: true\n---\n\n# `{relative}`\n\n{literal(f'{up}../{relative}', language_of(path))}")
    return page


def language_of(path):
    languages = {".py": "python", ".pyi": "python", ".pyx": "cython", ".pxd": "cython", ".pxi": "cython"}
    return languages.get(path.suffix, {".c": "c", ".h": "c", ".toml": "toml", ".sh": "sh"}.get(path.suffix, "none"))


def literal(path, language):
    return f"```{{literalinclude}} {path}\n:language: {language}\n```\n"


def write(path, text):
    """Leaves a file that is as it should be alone, so that Sphinx reads nothing twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


# Pages that are made -------------------------------------------------------------------------------------------------


def parameter_tables():
    """A table for each model, of what checks its parameters."""
    for name, model in sp.models.MODELS.items():
        defaults = {field.name: field.default for field in dataclasses.fields(model)}
        rows = ["| name | meaning | unit | allowed | default | gradient |", "| --- | --- | --- | --- | --- | --- |"]
        for parameter, row in model.table.items():
            default = defaults[parameter]
            shown = "needed" if default is dataclasses.MISSING else f"`{default!r}`"
            unit = {"V": "voltage", "1": ""}.get(row.unit, row.unit)
            gradient = "yes" if row.has_gradient else "no"
            rows.append(f"| `{parameter}` | {row.doc} | {unit} | {row.allowed} | {shown} | {gradient} |")
        yield name, "\n".join(rows)


def make_parameters():
    parts = [
        "# Tables of parameters",
        "Made from the declarations that check what is given, and that messages, `repr`, files and the random tests "
        "read. Any parameter may be a number, an array with one value for each neuron, or a distribution "
        "(`sp.normal(...)`). Voltages are in a unit of your choice, the same everywhere in a network; what is a "
        "current in other simulators is a voltage here (membrane resistance 1).",
    ]
    parts += [f"## {name}\n\n{{py:class}}`sparseprop.{name}`\n\n{table}" for name, table in parameter_tables()]
    rows = [f"| `{name}` | {row['allowed']} | {row.get('unit', 'voltage')} |" for name, row in BOUNDS.items()]
    parts.append("## Synapses\n\n| name | allowed | unit |\n| --- | --- | --- |\n" + "\n".join(rows))
    write(MADE / "parameters.md", "\n\n".join(parts) + "\n")


def make_root_pages():
    readme = (ROOT / "README.md").read_text()
    section = re.search(r"^## What it promises\n(.*?)^## Tests", readme, re.DOTALL | re.MULTILINE)[1]
    write(MADE / "promises.md", rewritten(f"# What it promises\n{section}", ROOT))
    first = re.search(r"^# sparseprop\n(.*?)^\*\*Training\*\*", readme, re.DOTALL | re.MULTILINE)[1]
    write(MADE / "readme.md", rewritten(f"# At a glance\n{first}", ROOT))
    for name in ("CHANGELOG", "CONTRIBUTING"):
        write(MADE / f"{name.lower()}.md", rewritten((ROOT / f"{name}.md").read_text(), ROOT))


def make_coverage():
    """Which public names have a docstring with examples, and how many lines of these the tests run."""
    parts = ["# Which names have examples", "Lines of the examples in each docstring, which `pytest` runs."]
    for module in map(importlib.import_module, ("sparseprop", *(f"sparseprop.{name}" for name in SUBMODULES))):
        rows = ["| name | what it is | lines |", "| --- | --- | ---: |"]
        for name in module.__all__:
            thing = getattr(module, name)
            if not inspect.ismodule(thing):
                text = inspect.getdoc(thing) or ""
                role = "class" if inspect.isclass(thing) else "func"
                summary = text.partition("\n")[0].replace("|", "\\|")
                rows.append(f"| {{py:{role}}}`{module.__name__}.{name}` | {summary} | {text.count('>>>')} |")
        parts.append(f"## {module.__name__}\n\n" + "\n".join(rows))
    write(MADE / "coverage.md", "\n\n".join(parts) + "\n")


def make_command_line():
    """What the command says of itself."""
    parser = commands._parser()
    (choices,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    parts = [f"# The command line\n\n```text\n{parser.format_help()}```"]
    parts += [f"## `sparseprop {name}`\n\n```text\n{one.format_help()}```" for name, one in choices.items()]
    write(MADE / "command_line.md", "\n\n".join(parts) + "\n")


# Of models: what a user asks of them, wherever it is defined. The rest is between them and the engines.
OF_MODELS = ("free_period", "free_voltage", "resting_voltage", "threshold", "phase_to_voltage", "n_ports", "to_dict")


def members_of(cls):
    """Methods and properties of a class that its page shows: those with a docstring, in the order of the source."""
    if issubclass(cls, sp.models.NeuronModel):
        return [(member, kind_of(inspect.getattr_static(cls, member))) for member in OF_MODELS]
    return [
        (member, kind_of(value))
        for member, value in vars(cls).items()
        if not member.startswith("_") and kind_of(value) and inspect.getdoc(value)
    ]


def kind_of(value):
    if isinstance(value, (property, functools.cached_property)):
        return "autoattribute"
    return "automethod" if inspect.isroutine(value) and not inspect.ismemberdescriptor(value) else None


FIGURES = {"balanced": "raster"}  # of examples, where they are not called like these
TITLES = {"pytorch": "PyTorch", "yin_yang": "Yin-Yang", "network": "A configuration", "brunel": "Brunel's network"}


def figure_of(example):
    for path in (DOCS / f"{FIGURES.get(example, example)}.png", DOCS / "gallery" / f"{example}.png"):
        if path.exists():
            return path.relative_to(DOCS).as_posix()
    return None


def examples():
    """Names, descriptions and paths of all examples; of configurations, what the page of examples says."""
    said = dict(
        re.findall(r"^\| \[`([\w.]+)`\]\([^)]*\) \| (.*) \|$", (DOCS / "examples.md").read_text(), re.MULTILINE)
    )
    for path in sorted(ROOT.glob("examples/*.*")):
        if path.suffix in (".py", ".toml"):
            yield path, rewritten(said[path.name].replace("](#", "](examples.md#"), DOCS)


def make_gallery():
    cards = []
    for path, said in examples():
        figure = figure_of(path.stem)
        title = TITLES.get(path.stem, path.stem.replace("_", " ").capitalize())
        text = [f"# {title}\n\n`examples/{path.name}`: {said}."]
        if path.suffix == ".py":
            text.append(ast.get_docstring(ast.parse(path.read_text())).replace("`", "``").replace("````", "``"))
        if figure:
            text.append(f"![{title}](/{figure})")
        text.append(literal(f"../../../examples/{path.name}", language_of(path)))
        write(MADE / "examples" / f"{path.stem}.md", "\n\n".join(text))
        card = [f":::{{grid-item-card}} {title}", f":link: /_made/examples/{path.stem}", ":link-type: doc"]
        card += [f":img-top: /{figure}"] if figure else []
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", said)
        cards.append("\n".join([*card, "", plain, ":::"]))
    names = "\n".join(f"/_made/examples/{path.stem}" for path, _ in examples())
    toctree = f"```{{toctree}}\n:hidden:\n\n{names}\n```"
    return "::::{grid} 1 2 3 3\n:gutter: 3\n\n" + "\n\n".join(cards) + f"\n::::\n\n{toctree}\n"


TABLE = re.compile(r"^\| script \|.*?\n\n", re.DOTALL | re.MULTILINE)  # in place of which the site has the gallery


def read(app, docname, source):
    """Before a page is parsed."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md" and not path.is_relative_to(MADE):
        text = rewritten(source[0], path.parent)
        source[0] = TABLE.sub(lambda match: make_gallery() + "\n", text) if docname == "examples" else text


def make(app=None):
    shutil.rmtree(MADE / "files", ignore_errors=True)
    make_parameters()
    make_root_pages()
    make_command_line()
    make_coverage()
    make_gallery()
    for page in DOCS.rglob("*.md"):  # pages of linked files have to be there before Sphinx looks which there are
        if not page.is_relative_to(MADE):
            rewritten(page.read_text(), page.parent)


def setup(app):
    app.connect("builder-inited", make, priority=100)
    app.connect("source-read", read)


def members():
    """What the pages of public classes show, by full name."""
    modules = ["sparseprop", *(f"sparseprop.{name}" for name in SUBMODULES)]
    modules += [f"sparseprop.{name}" for name in ("torch",) if name not in autodoc_mock_imports]
    for module in map(importlib.import_module, modules):
        for name in module.__all__:
            if inspect.isclass(getattr(module, name)):
                yield f"{module.__name__}.{name}", members_of(getattr(module, name))


autosummary_context = {"shown_members": dict(members())}
