"""Pictures: spike rasters over population rates. Only drawing a picture imports matplotlib."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, cast

import numpy as np

from . import _validation
from .errors import ParameterError, StorageError, named_arguments, shown
from .numerics import bins

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes

    from ._types import PathLike, PlotAxes
    from .run.result import Result

__all__ = ["plot_raster", "save_raster_plot"]

SIZE = (8.0, 5.0)  # inches
# Told apart also by colour-blind readers (Wong 2011, doi:10.1038/nmeth.1618; with a wine red for his yellow, which is
# hardly seen on white).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
SINGLE_COLOR = "#202020"  # of spikes, where there is one population
FILL = "#808080"  # of its histogram
MAX_NAMED = 12  # populations that get a label and a rate curve each
MIN_SHARE = 0.1  # of the height, for a label on the axis
CELLS_PER_INCH = 75  # of the density image
MAX_BINS = 1_000_000
BLOCK = 1 << 20  # spikes that are counted at a time
SMALL = (120, 480)  # pixels of a small raster, high and wide
FEW = 3000  # spikes that are larger in it


@named_arguments
def plot_raster(
    result: Result,
    ax: Axes | None = None,
    *,
    t_start: float | None = None,
    t_stop: float | None = None,
    neurons: int | None = None,
    bin_width: float | None = None,
    max_markers: int = 20_000,
) -> PlotAxes:
    """Spike raster over a histogram of the population rates, sharing the time axis.

    Up to `max_markers` spikes are drawn as one marker each. More are counted on a grid nearly as fine as the
    picture's pixels, and the more spikes are in a cell the darker it is: no spike is left out.

    Parameters
    ----------
    result : Result
    ax : matplotlib Axes, optional
        Where to draw; the lower part of it becomes the histogram. Default: a new figure.
    t_start, t_stop : float, optional
        Interval to show, in ms; default: that of the result.
    neurons : int, optional
        Show at most this many neurons of each population, the first ones (the labels say so); the rates are
        always those of all neurons that were recorded (of each; spikes in all per second where nobody knows how many
        these are, as in files of other programs). Default: all.
    bin_width : float, optional
        Of the histogram, in ms; default: a round number that makes 100 to 250 bins. A spike less than a billionth of
        the width before a bin counts as in it, as for ``Record(bins=...)``.
    max_markers : int
        The most spikes that are drawn as markers.

    Returns
    -------
    matplotlib Axes
        Of the raster; the figure is ``ax.figure``. Nothing is shown or saved.

    Raises
    ------
    ParameterError
        For a value that is not allowed.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    O(number of spikes), a second or two for 10^7.
    """
    _require_matplotlib()
    first, last = interval_to_show(result, t_start, t_stop)
    edges, bin_width = _bin_edges(first, last, bin_width)
    if neurons is not None:
        neurons = _validation.integer(neurons, "neurons", "a whole number >= 1", low=1)
    max_markers = _validation.integer(max_markers, "max_markers", "a whole number >= 0", low=0)
    ax = new_axes(ax)
    rates = _axes_below(ax)
    bands = _Band.stack(result, neurons)
    times, ids = _spikes_between(result, first, last)
    _draw_spikes(ax, bands, times, ids, (first, last), max_markers)
    _draw_rates(rates, bands, times, ids, edges, bin_width)
    _label_neurons(ax, bands)
    ax.tick_params(labelbottom=False)
    ax.set_xlim(first, last)
    rates.set_xlabel("time (ms)")
    rates.set_ylabel("rate (Hz)" if _are_known(bands) else "spikes / s")
    return ax


def save_raster_plot(result: Result, path: PathLike, *, dpi: float = 150, **options: Any) -> None:
    """Draw :func:`plot_raster` into a file, without a window and without touching pyplot.

    Parameters
    ----------
    result : Result
    path : str or path-like
        The suffix is the format, such as ``.png``, ``.pdf`` or ``.svg``.
    dpi : float
        Pixels per inch; the picture has 8 by 5 inches.
    **options
        As for :func:`plot_raster`.

    Raises
    ------
    ParameterError
        For a format that matplotlib does not have, and as for :func:`plot_raster`.
    StorageError
        If the file cannot be written.
    ImportError
        If matplotlib is not installed.
    """
    _require_matplotlib()
    from matplotlib.figure import Figure

    dpi = _validation.real(dpi, "dpi", "a finite number > 0", low=0.0, low_open=True)
    figure = Figure(figsize=SIZE, layout="constrained")
    path = os.fspath(path)
    formats = sorted(figure.canvas.get_supported_filetypes())
    if os.path.splitext(path)[1][1:].lower() not in formats:
        raise ParameterError(f"name of the picture must end in one of .{', .'.join(formats)}, got {shown(path)}")
    plot_raster(result, figure.add_subplot(), **options)
    try:
        figure.savefig(path, dpi=dpi)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def small_raster(result: Result) -> np.ndarray:
    """The spikes of a Result as an array of pixels, for where a picture has to be small and made at once.

    Parameters
    ----------
    result : Result

    Returns
    -------
    ndarray of uint8, shape (120, 480, 3)
        Red, green and blue, on white: the darker, the more spikes are in a pixel. Populations are on top of each other
        as in :func:`plot_raster`.
    """
    height, width = SMALL
    bands = _Band.stack(result, None)
    first, last = interval_to_show(result, None, None)
    n_rows = max(sum(band.shown for band in bands), 1)
    colors = [band.color for band in bands[: len(COLORS)]]  # which come again after these
    counts: np.ndarray = np.zeros((len(colors), height * width), np.int64)
    starts = np.array([band.first_row for band in bands], np.int64)
    for block in _blocks(result.times.size):
        index, local = _located(bands, result.ids[block])
        row = (starts[index] + local) * height // n_rows
        column = np.minimum(((result.times[block] - first) * (width / (last - first))).astype(np.int64), width - 1)
        cell = (height - 1 - row if len(bands) == 1 else row) * width + column
        for k in range(len(colors)):
            counts[k] += np.bincount(cell[index % len(COLORS) == k], minlength=height * width)
    counts = counts.reshape(-1, height, width)
    if result.times.size <= FEW:
        for axis in (1, 2):
            counts[(slice(None),) * axis + (slice(1, None),)] += counts[(slice(None),) * axis + (slice(-1),)]
    pixels = np.full((height, width, 3), 255, np.uint8)
    most = max(float(np.percentile(counts[counts > 0], 99.0)), 1.0) if counts.any() else 1.0
    for name, number in zip(colors, counts, strict=True):
        color = np.array([int(name[k : k + 2], 16) for k in (1, 3, 5)])
        # In eight shades, which makes files small.
        shade = np.ceil(8.0 * np.sqrt(np.minimum(number[number > 0] / most, 1.0))) / 8.0
        pixels[number > 0] = 255 - shade[:, None] * (255 - color)
    return pixels


def new_axes(ax: Axes | None = None) -> PlotAxes:
    """Axes to draw a curve into: those that are given, or of a new figure."""
    _require_matplotlib()
    from matplotlib.axes import Axes

    if ax is None:
        from matplotlib import pyplot

        return cast("PlotAxes", pyplot.figure(figsize=SIZE, layout="constrained").add_subplot())
    if not isinstance(ax, Axes):
        raise ParameterError(f"ax must be Axes of matplotlib, got {shown(ax)}")
    return cast("PlotAxes", ax)


def _require_matplotlib():
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('plots need matplotlib: run `pip install "sparseprop-sim[plot]"`') from error


def _axes_below(ax):
    """Axes that take the lower quarter of the place of `ax`, with the same time axis."""
    place = ax.get_subplotspec()
    if place is None:  # axes with a position of their own, which no layout engine moves
        from mpl_toolkits.axes_grid1 import make_axes_locatable

        return make_axes_locatable(ax).append_axes("bottom", size="32%", pad=0.08, sharex=ax)
    upper, lower = place.subgridspec(2, 1, height_ratios=(3.0, 1.0), hspace=0.06)
    ax.set_subplotspec(upper)
    return ax.figure.add_subplot(lower, sharex=ax)


class _Band:
    """The rows of one population in the raster: its neuron i is in row `first_row + i`, for i < `shown`."""

    def __init__(self, info, n_recorded, first_row, shown, color):
        self.name, self.n, self.first, self.n_recorded = info.name, info.n, info.first, n_recorded
        self.first_row, self.shown, self.color = first_row, shown, color

    @classmethod
    def stack(cls, result, neurons):
        """The bands of all populations, in their order."""
        bands, first_row = [], 0
        for k, (info, n_recorded) in enumerate(zip(result.populations, result.numbers_recorded(), strict=True)):
            color = COLORS[k % len(COLORS)] if len(result.populations) > 1 else SINGLE_COLOR
            shown = info.n if neurons is None else min(info.n, neurons)
            bands.append(cls(info, n_recorded, first_row, shown, color))
            first_row += shown
        return bands

    def count(self):
        """The neurons in words, and which of them are shown and recorded."""
        shown = f"{self.n:,}" if self.shown == self.n else f"{self.shown:,} of {self.n:,}"
        return shown if self.n_recorded in (self.n, None) else f"{shown}, {self.n_recorded:,} recorded"


def interval_to_show(result, t_start, t_stop):
    """What is to be shown, in ms; a run of no time gets 1 ms."""
    first, last = result.t_start, result.t_stop
    if t_start is not None:
        first = _validation.real(t_start, "t_start", "a finite time in ms", unit="ms")
    if t_stop is not None:
        last = _validation.real(t_stop, "t_stop", "a finite time in ms", unit="ms")
    if (t_start is not None or t_stop is not None) and not first < last:
        raise ParameterError(
            f"t_start must be before t_stop, got {first:g} and {last:g} ms (the run is from "
            f"{result.t_start:g} to {result.t_stop:g} ms)"
        )
    return first, last if last - first > 1e-12 * abs(first) else first + 1.0


def _bin_edges(first, last, bin_width):
    """Edges of the histogram's bins in ms, of which the last one may be narrower than the others; and the width."""
    if bin_width is None:
        target = (last - first) / 100.0
        power = 10.0 ** math.floor(math.log10(target))
        bin_width = power * max(step for step in (1.0, 2.0, 5.0) if step * power <= target * (1.0 + 1e-12))
    else:
        bin_width = _validation.real(bin_width, "bin_width", "a finite time > 0 ms", unit="ms", low=0.0, low_open=True)
        if last - first > MAX_BINS * bin_width:
            raise ParameterError(
                f"bin_width must be at least {(last - first) / MAX_BINS:g} ms, which makes "
                f"{MAX_BINS:,} bins, got {bin_width:g}"
            )
    return np.append(bins.edges(first, bin_width, max(bins.n_bins(first, last, bin_width), 1)), last), bin_width


def _spikes_between(result, first, last):
    """Times and ids from `first` to `last`, both included: a run that stops at a spike ends with it."""
    begin = np.searchsorted(result.times, first, side="left")
    end = np.searchsorted(result.times, last, side="right")
    return result.times[begin:end], result.ids[begin:end]


def _located(bands, ids):
    """Index of the band, and local id, of global ids."""
    first = np.array([band.first for band in bands], dtype=np.int64)
    index = np.searchsorted(first, ids, side="right") - 1 if len(bands) > 1 else np.zeros(ids.shape, np.int64)
    return index, ids - first[index]


def _draw_spikes(ax, bands, times, ids, interval, max_markers):
    """The raster itself: markers, or for many spikes their density."""
    n_rows = sum(band.shown for band in bands)
    _set_rows(ax, bands)
    if not n_rows:
        return
    shown = np.array([band.shown for band in bands])
    drawn = np.zeros(ids.shape, bool)
    for block in _blocks(ids.size):
        index, local = _located(bands, ids[block])
        drawn[block] = local < shown[index]
    n_spikes = int(np.count_nonzero(drawn))
    width, height = ax.get_window_extent().size / ax.figure.dpi  # inches
    if n_spikes <= max_markers:
        _draw_markers(ax, bands, times[drawn], ids[drawn], 72.0 * height / n_rows)
    else:
        columns, rows = max(int(CELLS_PER_INCH * width), 1), max(int(CELLS_PER_INCH * height), 1)
        _draw_density(ax, bands, times, ids, drawn, interval, columns, rows)


def _draw_markers(ax, bands, times, ids, points_per_row):
    """One marker per spike: a tick where a row has the height for it, else a dot."""
    if points_per_row >= 3.0:
        style = {"marker": "|", "markersize": min(0.8 * points_per_row, 12.0), "markeredgewidth": 0.8}
    else:
        style = {
            "marker": "o",
            "markersize": min(max(120.0 / max(times.size, 1) ** 0.5, 1.0), 2.5),
            "markeredgewidth": 0.0,
        }
    index, local = _located(bands, ids)
    for k, band in enumerate(bands):
        mine = index == k
        # In a vector format many markers would make a file that no viewer likes.
        ax.plot(
            times[mine],
            local[mine] + band.first_row,
            linestyle="none",
            color=band.color,
            label=band.name,
            rasterized=times.size > 5000,
            **style,
        )


def _draw_density(ax, bands, times, ids, drawn, interval, columns, rows):
    """The number of spikes per cell as darkness, one image per band."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    n_rows = sum(band.shown for band in bands)
    shown = np.array([max(band.shown, 1) for band in bands])
    cells = np.array([min(max(round(rows * band.shown / n_rows), 1), max(band.shown, 1)) for band in bands])
    start = np.concatenate([[0], np.cumsum(cells)])
    counts = np.zeros(start[-1] * columns, np.int64)
    first, last = interval
    for block in _blocks(ids.size):
        mine = drawn[block]
        index, local = _located(bands, ids[block][mine])
        row = start[index] + local * cells[index] // shown[index]
        column = ((times[block][mine] - first) * (columns / (last - first))).astype(np.int64)
        counts += np.bincount(row * columns + np.minimum(column, columns - 1), minlength=counts.size)
    counts = counts.reshape(-1, columns)
    # The darkest percent of the cells saturate; a cell with one spike is still seen.
    norm = PowerNorm(0.5, vmin=0.0, vmax=max(float(np.percentile(counts[counts > 0], 99.0)), 2.0), clip=True)
    for k, band in enumerate(bands):
        if band.shown:
            ax.imshow(
                counts[start[k] : start[k + 1]],
                norm=norm,
                label=band.name,
                origin="lower",
                aspect="auto",
                cmap=LinearSegmentedColormap.from_list(band.name, ["#ffffff00", band.color]),
                extent=(first, last, band.first_row - 0.5, band.first_row + band.shown - 0.5),
                interpolation="nearest",
            )
    _set_rows(ax, bands)


def _set_rows(ax, bands):
    """Neurons upwards, as it is usual; but of several populations the first one is on top, as in tables and legends."""
    below, above = -0.5, max(sum(band.shown for band in bands), 1) - 0.5
    ax.set_ylim(*((below, above) if len(bands) <= 1 else (above, below)))


def _blocks(n):
    """Slices of up to BLOCK entries."""
    return [slice(begin, min(begin + BLOCK, n)) for begin in range(0, n, BLOCK)]


def _are_known(bands):
    """Whether it is known how many neurons were recorded."""
    return all(band.n_recorded is not None for band in bands)


def _number(n_recorded, n):
    """What to divide by: NaN if there are neurons, and none was recorded."""
    return n_recorded or (math.nan if n else 1)


def _draw_rates(ax, bands, times, ids, edges, bin_width):
    """Rates of all recorded neurons of each population; of very many populations, their mean."""
    separate = len(bands) <= MAX_NAMED
    n_bins = edges.size - 1
    counts = np.zeros((len(bands) if separate else 1) * n_bins, np.int64)
    for block in _blocks(ids.size):
        column = np.clip(bins.bin_of(times[block], edges[0], bin_width), 0, n_bins - 1)
        row = _located(bands, ids[block])[0] if separate else 0
        counts += np.bincount(row * n_bins + column, minlength=counts.size)
    counts = counts.reshape(-1, n_bins)
    rates = counts / (np.diff(edges) / 1e3)
    if separate:
        known = _are_known(bands)
        for k, band in reversed(list(enumerate(bands))):
            values = rates[k] / _number(band.n_recorded, band.n) if known else rates[k]
            ax.stairs(
                values, edges, color=band.color if len(bands) > 1 else FILL, fill=len(bands) == 1, label=band.name
            )
    else:
        n = _number(sum(band.n_recorded for band in bands), sum(band.n for band in bands)) if _are_known(bands) else 1
        ax.stairs(rates[0] / n, edges, color=FILL, fill=True, label="all")
    ax.set_ylim(bottom=0.0)
    ax.margins(x=0.0)


def _label_neurons(ax, bands):
    """Say whose rows these are, on the axis or where that is too narrow in a legend."""
    n_rows = sum(band.shown for band in bands)
    for band in bands[1:]:
        ax.axhline(band.first_row - 0.5, color="0.8", linewidth=0.6, zorder=0.5)
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    if len(bands) == 1:
        subset = "first " if bands[0].shown < bands[0].n else ""
        ax.set_ylabel(f"{bands[0].name} ({subset}{bands[0].count()})")
    elif len(bands) > MAX_NAMED:
        subset = ", the first of each" if any(band.shown < band.n for band in bands) else ""
        ax.set_ylabel(f"neurons of {len(bands)} populations{subset}")
    elif all(band.shown >= MIN_SHARE * n_rows for band in bands):
        ticks = [band.first_row + 0.5 * (band.shown - 1) for band in bands]
        ax.set_yticks(ticks, [f"{band.name}\n{band.count()}" for band in bands])
        ax.tick_params(axis="y", length=0)
        for text, band in zip(ax.get_yticklabels(), bands, strict=True):
            text.set_color(band.color)
    else:
        from matplotlib.patches import Patch

        ax.set_ylabel("neuron")
        patches = [Patch(color=band.color, label=f"{band.name} ({band.count()})") for band in bands]
        ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
