"""The package's exceptions.

Each one also inherits the builtin exception a user would think of, so ``except ValueError`` works where it
should. Ends of a run that are normal (time reached, spikes reached, silence, interrupt) are no exceptions: see
:class:`sparseprop.StopReason`.
"""

import difflib
import reprlib

import numpy as np

__all__ = [
    "CapacityError",
    "CheckpointMismatchError",
    "ConnectivityError",
    "FileFormatError",
    "GradientOverflowWarning",
    "InsufficientMemoryError",
    "NumericalError",
    "ParameterError",
    "RunawayError",
    "StorageError",
]


class ParameterError(ValueError):
    """A value, name or option that is not allowed."""


class ConnectivityError(ParameterError):
    """A connection that cannot be made as described."""


class NumericalError(ArithmeticError):
    """A number left the range of a double (NaN, infinity, overflow)."""


class RunawayError(RuntimeError):
    """A neuron would fire more than once in one instant."""


class CapacityError(OverflowError):
    """More neurons, synapses or time than the package can count."""


class InsufficientMemoryError(MemoryError):
    """The machine has less memory than the work needs."""


class StorageError(OSError):
    """A file could not be read or written."""


class FileFormatError(ValueError):
    """A file is damaged, or is not what it should be."""


class CheckpointMismatchError(FileFormatError):
    """A saved state belongs to another network or another version."""


class GradientOverflowWarning(RuntimeWarning):
    """A gradient is beyond the largest double: parts of it are inf or NaN."""


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

    def __init__(self, kind, neuron, time, voltage=None):
        super().__init__(kind, neuron, time, voltage)
        self.kind, self.neuron, self.time, self.voltage = kind, neuron, time, voltage


# Of what messages show of a value, in characters.
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


def shown(value):
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


def unknown_name(what, name, allowed):
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
    allowed = list(allowed)
    near = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    more = f" and {len(allowed) - _NAMES} more" if len(allowed) > _NAMES else ""
    return ParameterError(
        f"unknown {what}: {shown(name)} (there are: {', '.join(map(str, allowed[:_NAMES]))}{more}){hint}"
    )
