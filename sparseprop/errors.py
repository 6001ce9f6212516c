"""The package's exceptions.

Each one also inherits the builtin exception a user would think of, so ``except ValueError`` works where it
should. Ends of a run that are normal (time reached, spikes reached, silence, interrupt) are no exceptions: see
:class:`sparseprop.StopReason`.
"""

import difflib

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
    return ParameterError(f"unknown {what}: {name!r} (there are: {', '.join(allowed)}){hint}")
