"""Writing the page."""

from __future__ import annotations

import contextlib
import html
import json
import os
import pathlib
import string
from typing import TYPE_CHECKING

from .._validation import flag, integer
from ..errors import ParameterError, StorageError, named_arguments
from ..files.raster_reader import refuse_existing
from ..files.storage import beside, full_name, writable
from ..plotting import interval_to_show
from ..run.loading import load
from ..run.result import Result
from .content import bands_of_result, bands_of_trains, between, described, packed

if TYPE_CHECKING:
    from .._types import PathLike, Spikes

__all__ = ["view"]

FOLDER = pathlib.Path(__file__).parent
PARTS = ("page.html", "page.css", "spikes.js", "raster.js", "drawing.js", "moving.js")


@named_arguments
def view(
    spikes: Spikes,
    path: PathLike | None = None,
    *,
    t_start: float | None = None,
    t_stop: float | None = None,
    title: str | None = None,
    max_spikes: int = 10_000_000,
    overwrite: bool = False,
) -> pathlib.Path:
    """Write a page to look at a raster in: one HTML file that any browser opens, without a server and without network.

    In it the raster can be panned and zoomed, populations be hidden, and boxes be selected; histograms of rates and
    of interspike intervals are those of what is in view, or selected. It has all spikes, with all bits of their times,
    and draws each at its pixel, at every zoom. See docs/howto/looking.md.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`sparseprop.analysis.SpikeTrains.of`; a path is that of a raster.
    path : str or path-like, optional
        Of the page. Default: that of the raster with ``.html`` for its suffix, and ``raster.html`` where the spikes are
        in no file.
    t_start, t_stop : float, optional
        The interval to show, in ms, both ends included; default: that of the spikes.
    title : str, optional
        Default: the name of the file.
    max_spikes : int
        The most spikes that a page may have. 10^6 take some 8 MB, and 10^7 ten times that, which a browser takes
        seconds to open.
    overwrite : bool
        Whether an existing file may be replaced, once the new one is complete.

    Returns
    -------
    pathlib.Path
        Of the page.

    Raises
    ------
    ParameterError
        For a value that is not allowed, and for more spikes than `max_spikes`.
    StorageError
        If the page cannot be written, or is there.

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=100, seed=1).run(200.0)
    >>> page = sp.view(res, "network.html")
    >>> page.name, page.stat().st_size < 200_000
    ('network.html', True)
    """
    max_spikes = integer(max_spikes, "view: max_spikes", "a whole number >= 0", low=0)
    overwrite = flag(overwrite, "view: overwrite")
    if title is not None and not isinstance(title, str):
        raise ParameterError(f"view: title must be a text, got {type(title).__name__}")
    source, name = _with_name(spikes)
    target = full_name(f"{os.path.splitext(name)[0]}.html" if path is None else path)
    refuse_existing(target, overwrite)
    target = writable(target)
    first, last = interval_to_show(source, t_start, t_stop)
    bands = bands_of_result(source) if isinstance(source, Result) else bands_of_trains(source)
    bands = between(bands, first, last)
    n_spikes = sum(band.times.size for band in bands)
    if n_spikes > max_spikes:
        raise ParameterError(
            f"view: {n_spikes:,} spikes from {first:g} to {last:g} ms are more than max_spikes, {max_spikes:,}; give "
            "t_start and t_stop (on the command line --from and --to), or a larger max_spikes"
        )
    title = os.path.basename(name) if title is None else title
    about = {"title": title, "start": first, "stop": last, "populations": described(bands)}
    _write(target, _page(title, about, packed(bands)))
    return pathlib.Path(target)


def _with_name(spikes):
    """Something with spikes, and the name of the file that they are in, or of the page's."""
    if isinstance(spikes, Result):
        return spikes, spikes.path or "raster"
    if isinstance(spikes, (str, bytes, os.PathLike)):
        return load(spikes), os.fsdecode(spikes)
    from ..analysis.trains import SpikeTrains  # slow to import

    return SpikeTrains.of(spikes), "raster"


def _page(title, about, data):
    page, style, *scripts = ((FOLDER / name).read_text(encoding="utf-8") for name in PARTS)
    return string.Template(page).substitute(
        title=html.escape(title),
        style=style,
        # What is in a script ends at the first "</script", whatever it is part of.
        about=json.dumps(about, allow_nan=False).replace("<", "\\u003c"),
        data=data,
        script="\n".join(scripts),
    )


def _write(target, text):
    """Put a file in its place once it is complete."""
    partial = beside(target, "partial")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
