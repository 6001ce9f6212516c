"""Types: all that is public says of each argument, result and attribute what it is."""

import importlib
import inspect
import pathlib
import re
import subprocess
import sys

import pytest

import sparseprop as sp

FOLDER = pathlib.Path(sp.__file__).parent
MODULES = ["", "analysis", "dynamics", "errors", "interop", "raster", "simulation", "training", "torch", "jax"]
SPECIAL = {"__call__", "__contains__", "__enter__", "__exit__", "__getitem__", "__init__", "__iter__", "__len__"}
SPECIAL |= {"__repr__", "__str__"}


def public_things(name):
    """Functions and classes of a module by their names, without modules and constants."""
    module = importlib.import_module(f"sparseprop.{name}".rstrip("."))
    for public in module.__all__:
        thing = getattr(module, public)
        if callable(thing) and getattr(thing, "__module__", "").startswith("sparseprop"):
            yield f"{module.__name__}.{public}", thing


def members(cls):
    """Functions behind methods and properties that a class has from this package, by name."""
    for owner in cls.__mro__:
        for name, member in vars(owner).items():
            if name.startswith("_") and name not in SPECIAL:
                continue
            function = getattr(member, "fget", getattr(member, "func", getattr(member, "__func__", member)))
            if inspect.isfunction(function) and is_written_here(function):
                yield name, function


def is_written_here(function):
    """Whether its source is in this package: not of a base from elsewhere, nor made by a dataclass or a NamedTuple."""
    return pathlib.Path(inspect.unwrap(function).__code__.co_filename).is_relative_to(FOLDER)


def lacks(function):
    """The parameters of a function that have no annotation, and "return"."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    found = [p.name for p in parameters if p.annotation is p.empty]
    return found + ["return"] * (signature.return_annotation is signature.empty)


def documented_attributes(cls):
    """The names in the section "Attributes" of a docstring."""
    section = re.search(
        r"^Attributes\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", inspect.getdoc(cls) or "", re.MULTILINE | re.DOTALL
    )
    for names in re.findall(r"^(\w[\w, ]*?)(?: :.*)?$", section[1] if section else "", re.MULTILINE):
        yield from names.split(", ")


def annotated(cls):
    """Names that a class, or one that it is derived from, annotates."""
    return {name for owner in cls.__mro__ for name in inspect.get_annotations(owner)}


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_and_methods_are_annotated(name):
    if name in ("torch", "jax"):
        pytest.importorskip(name)
    for where, thing in public_things(name):
        if inspect.isclass(thing):
            for member, function in members(thing):
                assert not lacks(function), f"{where}.{member} has no annotation of {', '.join(lacks(function))}"
        else:
            assert not lacks(thing), f"{where} has no annotation of {', '.join(lacks(thing))}"


@pytest.mark.parametrize("name", MODULES)
def test_documented_attributes_are_annotated(name):
    if name in ("torch", "jax"):
        pytest.importorskip(name)
    for where, thing in public_things(name):
        if inspect.isclass(thing):
            known = annotated(thing) | {member for member, _ in members(thing)}
            for attribute in documented_attributes(thing):
                assert attribute in known, f"{where}.{attribute} is documented, and has no annotation"


def test_what_lacks_an_annotation_is_found():
    def function(a, b: int, *, c=1) -> None: ...

    class Thing:
        """A thing.

        Attributes
        ----------
        x, y : float
            In ms.
        """

        x: float

        def method(self, a: int): ...

    assert lacks(function) == ["a", "c"] and lacks(Thing.method) == ["return"]
    assert set(documented_attributes(Thing)) - annotated(Thing) == {"y"}
    names = {name for module in ("", "training") for name, _ in public_things(module)}
    assert len(names) > 60 and {"sparseprop.Network", "sparseprop.sweep", "sparseprop.training.Adam"} <= names
    found = {name for name, _ in members(sp.Simulation)}
    assert {"run", "__init__", "load", "V", "state", "inject", "time"} <= found


def test_types_that_signatures_share_cost_nothing_at_run_time(tmp_path):
    script = "import sys, sparseprop.analysis, sparseprop.training; print('sparseprop._types' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
