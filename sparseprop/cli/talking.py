"""What the command prints, also when nobody reads any more, and its exit codes."""

import os
import sys

from .launched import is_first

__all__ = ["FAILED", "INTERRUPTED", "OK", "USAGE", "complain", "failed", "flushed", "ignore", "interrupted", "say"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def say(text):
    """Tell the user."""
    _print(text, sys.stdout)


def complain(text):
    """Tell the user on stderr what is wrong."""
    _print(f"sparseprop: {text}", sys.stderr)


def ignore(text):
    """Say nothing."""


def _print(text, file):
    """Print at once, on the first of several processes. When nobody reads any more (``| head``), go on in silence."""
    if not is_first():
        return
    try:
        print(text, file=file, flush=True)
    except BrokenPipeError:
        _silence(file)


def _silence(file):
    """Let all further output to `file`, and Python's own at exit, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def flushed(code):
    """The exit code, after everything was printed; Python's flush at exit would end in a traceback."""
    if sys.stdout is None:  # closed by the shell
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        if code == OK and not isinstance(error, BrokenPipeError):
            code = failed(error)
    return code


def failed(error):
    """The exit code after an error, which is told in one line."""
    message = str(error) or type(error).__name__
    complain("error: " + " ".join(message.splitlines()))
    return FAILED


def interrupted(what):
    """The exit code after Ctrl-C, which is told with what is kept."""
    complain(f"interrupted{what}")
    return INTERRUPTED
