"""The package's exceptions.

Each one also inherits the builtin exception a user would think of, so ``except ValueError`` works where it
should. Ends of a run that are normal (time reached, spikes reached, silence, interrupt) are no exceptions: see
:class:`sparseprop.StopReason`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import re
import reprlib
import sys
import warnings
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "ArgumentError",
    "CapacityError",
    "CheckpointMismatchError",
    "ConnectivityError",
    "FileFormatError",
    "GradientOverflowWarning",
    "InsufficientMemoryError",
    "NumericalError",
    "ParameterError",
    "RankError",
    "RunawayError",
    "StorageError",
]


class ParameterError(ValueError):
    """A value, name or option that is not allowed.

    Examples
    --------
    >>> import sparseprop as sp
    >>> sp.LIF(tau_m=-10.0)
    Traceback (most recent call last):
        ...
    sparseprop.errors.ParameterError: LIF.tau_m must be a finite time > 0 ms, got -10.0
    """


class ArgumentError(ParameterError, TypeError):
    """An argument that does not exist, is missing, or is given in another way than there is.

    Examples
    --------
    >>> import sparseprop as sp
    >>> try:
    ...     sp.LIF(tau=10.0)
    ... except sp.errors.ArgumentError as error:
    ...     print("did you mean 'tau_m'?" in str(error))
    True
    """


class ConnectivityError(ParameterError):
    """A connection that cannot be made as described.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(10, sp.LIF(tau_m=10.0), name="E")
    >>> try:
    ...     net.connect(E, E, sp.fixed_indegree(10), weight=0.1)
    ... except sp.errors.ConnectivityError as error:
    ...     print("choose k <= 9" in str(error))
    True
    """


class NumericalError(ArithmeticError):
    """A number left the range of a double (NaN, infinity, overflow).

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> source = net.add(1, sp.SpikeSource([1.0], [0]), name="source")
    >>> E = net.add(1, sp.LIF(tau_m=1.0), name="E")
    >>> p = net.connect(source, E, sp.all_to_all(), weight=-1e300)
    >>> try:
    ...     res = net.run(1000.0)
    ... except sp.errors.NumericalError as error:
    ...     print("too large:", "E" in str(error))
    too large: True
    """


class RunawayError(RuntimeError):
    """A neuron would fire more than once in one instant.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(2, sp.LIF(tau_m=10.0, I_e=1.5), name="E")
    >>> p = net.connect(E, E, sp.all_to_all(), weight=2.0)  # no delay, no refractory period
    >>> try:
    ...     res = net.run(100.0)
    ... except sp.errors.RunawayError:
    ...     print("a loop of excitation")
    a loop of excitation
    """


class CapacityError(OverflowError):
    """More neurons, synapses or time than the package can count.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> net.add(2**31, sp.LIF(tau_m=10.0))
    Traceback (most recent call last):
        ...
    sparseprop.errors.CapacityError: a network can have 2147483647 neurons and sources, got 2147483648; use fewer
    """


class InsufficientMemoryError(MemoryError):
    """The machine has less memory than the work needs.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.Network(seed=1)
    >>> E = net.add(2_000_000_000, sp.LIF(tau_m=10.0), name="E")
    >>> try:
    ...     p = net.connect(E, E, sp.fixed_outdegree(1_000_000), weight=0.1)
    ... except MemoryError as error:
    ...     print(type(error).__name__)
    InsufficientMemoryError
    """


class StorageError(OSError):
    """A file could not be read or written.

    Examples
    --------
    >>> import sparseprop as sp
    >>> try:
    ...     res = sp.load("no_such_file.h5")
    ... except OSError as error:
    ...     print(type(error).__name__)
    StorageError
    """


class FileFormatError(ValueError):
    """A file is damaged, or is not what it should be.

    Examples
    --------
    >>> import sparseprop as sp
    >>> with open("text.h5", "w") as file:
    ...     _ = file.write("no raster")
    >>> try:
    ...     res = sp.load("text.h5")
    ... except sp.errors.FileFormatError as error:
    ...     print("text.h5" in str(error))
    True
    """


class CheckpointMismatchError(FileFormatError):
    """A saved state belongs to another network or another version.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=10, seed=1)
    >>> sp.Simulation(net).save("state.h5")
    >>> other = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=10, seed=2)
    >>> try:
    ...     sim = sp.Simulation.load("state.h5", other)
    ... except sp.errors.CheckpointMismatchError as error:
    ...     print("seed" in str(error))
    True
    """


class RankError(RuntimeError):
    """Another process of a simulation that runs under MPI has failed; the message says which, and why.

    Examples
    --------
    >>> import sparseprop as sp
    >>> issubclass(sp.errors.RankError, RuntimeError)
    True
    """


class GradientOverflowWarning(RuntimeWarning):
    """A gradient is beyond the largest double: parts of it are inf or NaN.

    Examples
    --------
    >>> import sparseprop as sp
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", sp.errors.GradientOverflowWarning)  # an exception instead
    ...     net = sp.balanced_network(100, sp.Theta(tau_m=10.0), outdegree=20, seed=1)
    ...     res = net.run(n_spikes=100, tape=True)
    ...     grads = res.backward([1.0] * res.n_spikes)
    """


class EngineFault(Exception):
    """What an engine raises; the simulation turns it into one of the errors above with names and remedies.

    Attributes
    ----------
    kind : {"runaway", "numerical"}
    neuron : int
        Global id.
    time : float
        ms.
    voltage : float or None
        V before the event.
    """

    def __init__(self, kind: str, neuron: int, time: float, voltage: float | None = None) -> None:
        super().__init__(kind, neuron, time, voltage)
        self.kind, self.neuron, self.time, self.voltage = kind, neuron, time, voltage


# Of what messages show of a value, in characters.
_FOLDER = os.path.dirname(__file__)
_SHOWN = 100
# Of the names that a message lists.
_NAMES = 24


class _Short(reprlib.Repr):
    """Short representations, also of the arrays within lists and dictionaries."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _SHOWN
        self.maxdict = self.maxset = self.maxfrozenset = 4

    def repr1(self, x, level):
        return _shown_array(x) if _is_array(x) else super().repr1(x, level)


def _is_array(value):
    return not isinstance(value, type) and hasattr(value, "dtype") and bool(getattr(value, "shape", ()))


def _shown_array(array):
    """Type, shape, dtype and first entries of an array, a tensor, a Series or a sparse matrix."""
    kind = "array" if type(array) is np.ndarray else type(array).__name__
    text = f"{kind} of shape {tuple(array.shape)}, {array.dtype}"
    if hasattr(array, "nnz"):
        return f"{text}, {array.nnz} entries"
    try:
        first = np.asarray(array[(slice(0, 4),) * len(array.shape)]).ravel()[:4].tolist()
        size = int(np.prod(array.shape))
    except Exception:  # of another library, whose arrays need not have values (tracers) or come to NumPy (GPUs)
        return text
    entries = ", ".join(reprlib.repr(entry) for entry in first)
    return f"{text}: [{entries}{', ...' if size > len(first) else ''}]"


def warn(message: str, category: type[Warning]) -> None:
    """A Python warning that points to the user's line that led to it, however deep in the package it comes from."""
    frame: FrameType | None
    frame, level = sys._getframe(1), 2
    while frame is not None and os.path.dirname(frame.f_code.co_filename).startswith(_FOLDER):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def shown(value: object) -> str:
    """What messages show of a value that a user gave: its repr, in one line of at most some 100 characters.

    Arrays show their shape, dtype and first entries; long texts, lists and dictionaries are cut.
    """
    try:
        text = " ".join(_Short().repr(value).split())
    except Exception:  # whole numbers of thousands of digits, and reprs that fail
        text = f"a value of type {type(value).__name__}"
    if len(text) > _SHOWN:
        text = f"{text[: 2 * _SHOWN // 3]}...{text[len(text) + 3 - _SHOWN // 3 :]}"
    return text


def shown_range(array: np.ndarray) -> str:
    """What a summary shows of an array of numbers: how many, from where to where."""
    span = f" from {array.min():g} to {array.max():g}" if array.size else ""
    return f"<{array.size:,} values{span}>"


def unknown_name(what: str, name: object, allowed: Iterable[str]) -> ParameterError:
    """A :class:`ParameterError` for a name that does not exist, with the nearest one that does.

    Parameters
    ----------
    what : str
        What the name is a name of, such as ``"parameter of LIF"``.
    name : str
        The name that was given.
    allowed : iterable of str
        The names there are.
    """
    return ParameterError(_unknown(what, name, allowed))


def _unknown(what, name, allowed):
    allowed = list(allowed)
    near = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    if not near:  # in other letters
        near = [other for other in allowed if str(other).lower() == str(name).lower()]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    more = f" and {len(allowed) - _NAMES} more" if len(allowed) > _NAMES else ""
    return f"unknown {what}: {shown(name)} (there are: {', '.join(map(str, allowed[:_NAMES]))}{more}){hint}"


# What parameters are called here, by the names that they have elsewhere: in other simulators, and in NumPy.
_ELSEWHERE = {
    there: here.split()
    for here, others in {
        "duration": "T t time simtime sim_time t_sim t_stop num_steps n_steps",
        "n": "N size num", "name": "label", "V": "V_m V_init V0 v0 v_init", "n_threads": "threads n_jobs",
        "std sigma": "sigma std scale stdev", "mean mu": "mu mean loc", "low": "min minimum", "high": "max maximum",
        "V_th": "threshold V_threshold v_threshold V_thresh v_thresh", "E_L": "V_rest v_rest E_rest E_leak v_leak rest",
        "t_ref": "refractory tau_ref tau_refrac", "tau_m": "tau_mem", "tau_syn": "tau_syn_ex tau_syn_in tau_s",
        "weight": "w J", "delay": "d", "k": "indegree outdegree", "p": "prob probability", "seed": "rng random_state",
        "rule_or_matrix": "conn_spec rule", "progress": "verbose report",
        "times": "spike_times", "ids": "i indices senders",
    }.items()
    for there in others.split()
}  # fmt: skip


_Named = TypeVar("_Named", bound=Callable[..., Any])


def named_arguments(thing: _Named) -> _Named:
    """A function, or a class with its constructor and public methods, whose calls with wrong arguments are explained.

    Python's own TypeError becomes an :class:`ArgumentError` (which is one, too) with the nearest name, or with what a
    missing argument is for, as the docstring says. Calls that are right cost nothing but the call.
    """
    if not inspect.isclass(thing):
        return _named_function(thing, thing.__name__, thing)
    named: Any = thing
    if "__init__" in vars(named):
        named.__init__ = _named_function(named.__init__, named.__name__, named)
    for cls in named.__mro__:
        for name, method in list(vars(cls).items()) if cls.__module__.startswith("sparseprop.") else ():
            function = getattr(method, "__func__", method)
            if name.startswith("_") or not inspect.isfunction(function) or hasattr(function, "has_names"):
                continue
            inner = _named_function(function, f"{cls.__name__}.{name}", function, cls)
            setattr(cls, name, inner if function is method else type(method)(inner))
    return thing


def _named_function(function, what, documented, owner=None):
    """`owner`: the class that defines it, if it is a method; messages name the class of the object."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            # One that was raised within the function is none of its arguments.
            if error.__traceback__.tb_next is not None:
                raise
            called = what
            if owner is not None and args and isinstance(args[0], owner):
                called = f"{type(args[0]).__name__}.{function.__name__}"
            message = _explanation(function, called, documented, args, kwargs)
            if message is None:
                raise
        raise ArgumentError(message)

    call.has_names = True
    return call


def _explanation(function, what, documented, args, kwargs):
    """Why a call does not fit to the signature; None if it does."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters, args = parameters[1:], args[1:]
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in kwargs:
            if name not in names:
                message = _unknown(f"parameter of {what}", name, names)
                found = [other for other in _ELSEWHERE.get(name, ()) if other in names]
                if name != "dt" and not found:
                    return message
                hint = f"did you mean {found[0]!r}?" if found else "there is no time step: spikes are exact to rounding"
                return f"{message.partition('; did you')[0]}; {hint}"
    if len(args) > len(places) and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        behind = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        remedy = f"; give the others by name: {', '.join(f'{name}=' for name in behind[:8])}" if behind else ""
        most = f"{len(places)} argument{'s' if len(places) != 1 else ''}"
        return f"{what} takes at most {most} without a name, got {len(args)}{remedy}"
    for p in places[: len(args)]:
        if p.name in kwargs:
            return f"{what}: {p.name} is given twice, once without its name"
    missing = [
        p
        for p in parameters
        if p.default is p.empty and p.name not in kwargs and p not in places[: len(args)] and p.name in names
    ]
    if not missing:
        return None
    needs = ", ".join(f"{p.name}{_meaning(documented, p.name)}" for p in missing)
    return f"{what} needs {needs}"


def _meaning(documented, name):
    """What the docstring says about a parameter, in parentheses: its type and the first sentence."""
    found = re.search(
        rf"^(?:\w+, )*{name}(?:, \w+)* : (.*)\n((?:[ ]+.*\n?)*)", inspect.getdoc(documented) or "", re.MULTILINE
    )
    if not found:
        return ""
    text = " ".join(found[2].split()).split(". ")[0].rstrip(".")
    return f" ({found[1]}{f': {text}' if 0 < len(text) <= 2 * _SHOWN else ''})"
