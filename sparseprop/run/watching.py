"""What watches work that takes long: its progress on a screen or in a log file, and Ctrl-C."""

import signal
import sys
import threading
import time
import warnings

from ..errors import ParameterError, shown

__all__ = ["INTERRUPT", "ONCE_MORE", "Interrupts", "Progress", "check_interrupt", "ends_all", "noted_interrupt"]

INTERRUPT = ("return", "raise")
AGAIN_SECONDS = 3.0  # a Ctrl-C this soon after one that ended a run is meant for the whole script
REDRAW_SECONDS = 0.1
BAR_SECONDS = 1.0
ONCE_MORE = f"the script goes on; Ctrl-C once more within {AGAIN_SECONDS:g} s ends it"

_last_interrupt = float("-inf")  # when a Ctrl-C last ended something, as time.monotonic() tells it


def check_interrupt(interrupt):
    """What Ctrl-C does, after a look at it."""
    if not isinstance(interrupt, str) or interrupt not in INTERRUPT:
        raise ParameterError(
            "interrupt must be 'return' (Ctrl-C ends the run, which returns what it has) or 'raise' (it raises "
            f"KeyboardInterrupt then), got {shown(interrupt)}"
        )
    return interrupt


def note_interrupt():
    """Take note of a Ctrl-C; whether the last one is so short a time ago that this one is to end the whole script."""
    global _last_interrupt
    now = time.monotonic()
    again = now - _last_interrupt < AGAIN_SECONDS
    _last_interrupt = now
    return again


def noted_interrupt(message, ends_all):
    """A KeyboardInterrupt of which note has been taken.

    Of no class of its own: Python ends with 130, as the shell expects, for this very class only.
    """
    error = KeyboardInterrupt(message)
    error.ends_all = ends_all  # type: ignore[attr-defined]
    return error


def ends_all(error):
    """Whether a KeyboardInterrupt is to end the whole script; takes note of it, if nobody has."""
    return error.ends_all if hasattr(error, "ends_all") else note_interrupt()


class Interrupts:
    """While open, the first Ctrl-C only sets `pending`; a second one is a KeyboardInterrupt.

    So an interrupt can never hit between taking spikes from the engine and recording them. A handler that is not
    Python's own, and threads other than the main one, are left alone; so is a SIGINT that is ignored, as in a job that
    a shell started in the background.

    Attributes
    ----------
    pending : bool
        Whether there was one.
    ends_all : bool
        Whether it came so soon after one that had ended another run that the whole script is to end: what is on is left
        in order, and then a KeyboardInterrupt is raised.
    """

    def __init__(self):
        self.pending = self.ends_all = False
        self.installed = False

    def __enter__(self):
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._first)
            self.installed = True
        return self

    def _first(self, number, frame):
        self.pending, self.ends_all = True, note_interrupt()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *error):
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return False


class Progress:
    """A bar, lines in a log file, a callable, or nothing.

    On a terminal and in a notebook it is a bar, redrawn ten times a second. Where standard error is neither, as in the
    log file of a batch system, it is a line for each 10 %.

    Parameters
    ----------
    wanted : None, bool or callable
        None: a bar after a second, where there is something to show it on, else nothing (or lines, see
        `silent_seconds`); True: in any case; a callable gets the fraction that is done.
    what : str
        What goes on, for the lines.
    silent_seconds : float
        None and no terminal: lines begin after this time.
    """

    def __init__(self, wanted, what="run", silent_seconds=float("inf")):
        if not (wanted is None or isinstance(wanted, bool) or callable(wanted)):
            raise ParameterError(f"progress must be None, True, False or a callable, got {shown(wanted)}")
        self.wanted, self.what = wanted, what
        self.bar, self.draws = None, False
        self.began = self.last = time.perf_counter()
        self.lines_from = {None: silent_seconds, True: 0.0}.get(wanted if wanted in (None, True) else False)
        self.tenths = 0

    def __enter__(self):
        self.draws = (self.wanted is None or self.wanted is True) and is_interactive()
        return self

    def update(self, fraction, note=""):
        """Show how far it is, if that was not shown a moment ago; `fraction` is a function."""
        now = time.perf_counter()
        if now - self.last >= REDRAW_SECONDS:
            self.last = now
            self.finish(fraction, note)

    def finish(self, fraction, note=""):
        """Show how far it is in any case; `note` is a text behind it, such as a loss."""
        if self.draws:
            self._bar(fraction(), note)
        elif callable(self.wanted):
            self.wanted(fraction())
        elif self.lines_from is not None:
            self._line(fraction(), note)

    def _bar(self, fraction, note):
        """Draw the bar; for who did not ask for it, only where it takes a while."""
        seconds = time.perf_counter() - self.began
        if self.bar is None:
            if self.wanted is None and seconds < BAR_SECONDS:
                return
            self.bar = _tqdm()(
                total=100.0,
                leave=False,
                bar_format="{percentage:3.0f}% |{bar}| {elapsed} < {remaining}{postfix}",
            )
            self.bar.start_t -= seconds
        self.bar.n = 100.0 * fraction
        self.bar.set_postfix_str(note)  # which draws it

    def _line(self, fraction, note):
        """A line for each further tenth, with the time so far and what is left at this pace."""
        seconds = time.perf_counter() - self.began
        tenths = int(10.0 * fraction + 1e-9)
        if tenths > self.tenths and seconds >= self.lines_from:
            self.tenths = tenths
            left = f", {_duration(seconds * (1.0 - fraction) / fraction)} left" if fraction < 1.0 else ""
            behind = f" ({note})" if note else ""
            print(f"{self.what}: {10 * tenths}% after {_duration(seconds)}{left}{behind}", file=sys.stderr, flush=True)

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()
        return False


def _tqdm():
    """The bar of a notebook, or of a terminal also where a notebook lacks the package for bars, without a warning."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm
    return tqdm


def is_interactive():
    """Whether there is a terminal or a notebook to show a bar on."""
    return (sys.stderr is not None and sys.stderr.isatty()) or "ipykernel" in sys.modules


def _duration(seconds):
    """A time for people: 7 s, 12:30, 3:05:00."""
    if seconds < 60.0:
        return f"{seconds:.2g} s" if seconds < 10.0 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
