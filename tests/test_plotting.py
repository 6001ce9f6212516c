"""What is in a raster plot: every spike, whose it is, and the rates."""

import io
import itertools
import sys

import matplotlib
import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

import sparseprop as sp
from sparseprop.plotting import plot_raster, save_raster_plot
from sparseprop.run.result import PopulationInfo, Result


def made_up(n_spikes, sizes, names="EISABC", t_start=0.0, t_stop=1000.0, seed=1):
    """A Result with spikes at random."""
    rng = np.random.default_rng(seed)
    infos, first = [], 0
    for name, n in zip(names, sizes, strict=False):
        infos.append(PopulationInfo(name, n, "LIF", first))
        first += n
    times = np.sort(rng.uniform(t_start, t_stop, n_spikes))
    return Result((times, rng.integers(0, max(first, 1), n_spikes)), infos, t_start=t_start, t_stop=t_stop)


def drawn(result, **options):
    """The two Axes of a picture that was rendered as well."""
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    ax = plot_raster(result, figure.add_subplot(), **options)
    figure.savefig(io.BytesIO(), format="png")
    return ax, next(other for other in figure.axes if other is not ax)


def markers(ax):
    """The lines that are spikes, not borders between populations."""
    return [line for line in ax.lines if line.get_linestyle() == "None"]


def spikes_in(rates, sizes):
    """Number of spikes of each population in the histogram."""
    found = {}
    for patch, n in zip(rates.patches[::-1], sizes, strict=True):
        values, edges, _ = patch.get_data()
        found[patch.get_label()] = float(np.sum(values * np.diff(edges)) * n / 1e3)
    return found


@pytest.fixture
def agg():
    from matplotlib import pyplot

    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    pyplot.close("all")
    matplotlib.use(backend)


def test_one_marker_per_spike():
    result = made_up(100, [20])
    ax, rates = drawn(result)
    (line,) = ax.lines
    assert np.array_equal(line.get_xdata(), result.times)
    assert np.array_equal(line.get_ydata(), result.ids)
    assert not ax.images
    assert ax.get_xlim() == (0.0, 1000.0) and ax.get_ylim() == (-0.5, 19.5)
    assert ax.get_ylabel() == "E (20)"
    assert rates.get_xlabel() == "time (ms)" and rates.get_ylabel() == "rate (Hz)"
    assert rates.get_ylim()[0] == 0.0
    assert spikes_in(rates, [20]) == {"E": pytest.approx(100)}


def test_axes_share_the_time():
    ax, rates = drawn(made_up(100, [20]))
    assert ax.get_shared_x_axes().joined(ax, rates)
    raster, histogram = ax.get_position(), rates.get_position()
    assert raster.y0 > histogram.y1
    assert (raster.x0, raster.x1) == pytest.approx((histogram.x0, histogram.x1))
    assert not any(label.get_visible() for label in ax.get_xticklabels())


def test_the_first_population_is_on_top():
    result = made_up(3000, [60, 25, 15])
    ax, rates = drawn(result)
    lines = {line.get_label(): line for line in markers(ax)}
    assert list(lines) == ["E", "I", "S"]
    assert len({line.get_color() for line in lines.values()}) == 3
    assert ax.get_ylim() == (99.5, -0.5)  # downwards
    for name, first in (("E", 0), ("I", 60), ("S", 85)):
        population = result.population(name)
        assert np.array_equal(lines[name].get_xdata(), population.times)
        assert np.array_equal(lines[name].get_ydata(), population.ids + first)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["E\n60", "I\n25", "S\n15"]
    colors = [line.get_color() for line in lines.values()]
    assert [text.get_color() for text in ax.get_yticklabels()] == colors
    assert spikes_in(rates, [60, 25, 15]) == {
        name: pytest.approx(result.population(name).n_spikes) for name in ("E", "I", "S")
    }


def test_small_population_is_named_in_a_legend():
    ax, _ = drawn(made_up(100, [1000, 10]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["E (1,000)", "I (10)"]


# How colours look to people without one of the three kinds of cones (Machado et al. 2009, doi:10.1109/TVCG.2009.113).
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color):
    """Linear RGB of #rrggbb."""
    values = np.array(matplotlib.colors.to_rgb(color))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB, in which distances are roughly those that are seen."""
    f = XYZ @ np.clip(rgb, 0.0, 1.0) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(f > 0.008856, np.cbrt(f), 7.787 * f + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_eight_populations_are_told_apart_by_colour(vision):
    ax, rates = drawn(made_up(800, [10] * 8, names="ABCDEFGH"))
    colors = [line.get_color() for line in markers(ax)]
    assert len(set(colors)) == 8
    seen = [lab(np.array(VISION[vision]) @ linear(color)) for color in colors]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15.0
    assert min(1.05 / (XYZ[1] @ linear(color) + 0.05) for color in colors) > 2.0  # contrast with white
    assert [patch.get_edgecolor() for patch in rates.patches[::-1]] == [
        matplotlib.colors.to_rgba(color) for color in colors
    ]


def test_very_many_populations():
    result = made_up(100, [5] * 40, names=[f"p{k}" for k in range(40)])
    ax, rates = drawn(result)
    assert ax.get_ylabel() == "neurons of 40 populations"
    assert sum(line.get_xdata().size for line in markers(ax)) == 100
    assert spikes_in(rates, [200]) == {"all": pytest.approx(100)}
    ax, _ = drawn(result, neurons=2)
    assert ax.get_ylabel() == "neurons of 40 populations, the first of each"


@pytest.mark.parametrize("sizes", [[10_000], [8000, 1500, 500]])
def test_many_spikes_become_a_density_without_losing_one(sizes):
    result = made_up(100_000, sizes)
    ax, rates = drawn(result)
    assert markers(ax) == []
    counts = {image.get_label(): int(image.get_array().sum()) for image in ax.images}
    expected = {info.name: result.population(info.name).n_spikes for info in result.populations}
    assert counts == expected
    assert spikes_in(rates, sizes) == pytest.approx(expected)
    below, above = -0.5, sum(sizes) - 0.5
    assert ax.get_ylim() == ((below, above) if len(sizes) == 1 else (above, below))
    first = 0
    for image, n in zip(ax.images, sizes, strict=True):
        assert image.get_extent() == [0.0, 1000.0, first - 0.5, first + n - 0.5]
        first += n


def test_density_has_spikes_in_their_place():
    times = np.sort(np.concatenate([np.full(300, 10.0), np.full(600, 990.0)]))
    ids = np.concatenate([np.full(300, 2), np.full(600, 97)])
    ax, _ = drawn(Result((times, ids), [PopulationInfo("E", 100)], t_start=0.0, t_stop=1000.0), max_markers=0)
    counts = ax.images[0].get_array()
    rows, columns = np.nonzero(counts)
    assert sorted(counts[rows, columns].tolist()) == [300, 600]
    low, high = np.argsort(counts[rows, columns])
    assert rows[low] / counts.shape[0] == pytest.approx(0.02, abs=0.01)
    assert columns[low] / counts.shape[1] == pytest.approx(0.01, abs=0.01)
    assert rows[high] / counts.shape[0] == pytest.approx(0.97, abs=0.01)
    assert columns[high] / counts.shape[1] == pytest.approx(0.99, abs=0.01)


def test_a_million_spikes_and_more_than_one_block():
    result = made_up(1_200_000, [5000, 5000])
    ax, rates = drawn(result)
    assert sum(int(image.get_array().sum()) for image in ax.images) == 1_200_000
    assert sum(spikes_in(rates, [5000, 5000]).values()) == pytest.approx(1_200_000)


def test_subset_of_neurons_is_said():
    result = made_up(5000, [300, 200])
    ax, rates = drawn(result, neurons=50)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["E\n50 of 300", "I\n50 of 200"]
    lines = markers(ax)
    inhibitory = result.population("I")
    assert np.array_equal(lines[1].get_xdata(), inhibitory.times[inhibitory.ids < 50])
    assert lines[1].get_ydata().min() >= 50 and lines[1].get_ydata().max() < 100
    assert sum(spikes_in(rates, [300, 200]).values()) == pytest.approx(5000)  # rates are of all
    ax, _ = drawn(made_up(100, [3000]), neurons=1000)
    assert ax.get_ylabel() == "E (first 1,000 of 3,000)"
    ax, _ = drawn(made_up(100, [3000]), neurons=5000)
    assert ax.get_ylabel() == "E (3,000)"


def test_interval():
    result = made_up(1000, [20], t_start=500.0, t_stop=1500.0)
    ax, _ = drawn(result)
    assert ax.get_xlim() == (500.0, 1500.0)
    ax, rates = drawn(result, t_start=600.0, t_stop=700.0)
    inside = (result.times >= 600.0) & (result.times <= 700.0)
    assert ax.get_xlim() == (600.0, 700.0)
    assert np.array_equal(ax.lines[0].get_xdata(), result.times[inside])
    assert spikes_in(rates, [20]) == {"E": pytest.approx(np.count_nonzero(inside))}


def test_bins():
    result = made_up(1000, [20], t_stop=95.0)
    _, rates = drawn(result, bin_width=10.0)
    values, edges, _ = rates.patches[0].get_data()
    assert np.array_equal(edges, [*range(0, 100, 10), 95])
    assert values[0] == pytest.approx(1e3 * np.count_nonzero(result.times < 10.0) / (20 * 10.0))
    _, rates = drawn(result)
    edges = rates.patches[0].get_data()[1]
    assert edges[1] == 0.5 and edges.size == 191


def test_bins_have_the_edges_of_recorded_ones():
    times = np.arange(100) * 0.1
    for given in (times, np.nextafter(times[1:], 0.0)):
        result = Result((given, np.zeros(given.size, int)), [PopulationInfo("E", 1)], t_start=0.0, t_stop=10.0)
        _, rates = drawn(result, bin_width=0.1)
        values, edges, _ = rates.patches[0].get_data()
        assert edges.size == 101 and values.max() == pytest.approx(1e4) and np.count_nonzero(values) == given.size
    result = Result((np.zeros(0), np.zeros(0, int)), [PopulationInfo("E", 1)], t_start=0.0, t_stop=2.1)
    assert drawn(result, bin_width=0.3)[1].patches[0].get_data()[1].size == 8


def test_rates_are_of_the_neurons_that_were_recorded():
    whole = made_up(4000, [300, 200])
    few = (whole.ids < 30) | (whole.ids >= 300)
    infos = whole.populations
    for recorded, kept in (
        ({"E": np.arange(30), "I": True}, few),
        ({"E": np.zeros(0, int), "I": True}, whole.ids >= 300),
    ):
        result = Result((whole.times[kept], whole.ids[kept]), infos, t_start=0.0, t_stop=1000.0, recorded=recorded)
        ax, rates = drawn(result)
        n = len(recorded["E"])
        values = {patch.get_label(): patch.get_data() for patch in rates.patches}
        assert rates.get_ylabel() == "rate (Hz)"
        total = np.nansum(values["E"].values * np.diff(values["E"].edges)) * 1e-3 * n
        assert total == pytest.approx(np.count_nonzero(result.ids < 300)) and np.isnan(values["E"].values).all() == (
            n == 0
        )
        assert ax.get_yticklabels()[0].get_text() == f"E\n300, {n} recorded"
        ax.figure.savefig(io.BytesIO())  # NaN can be drawn


def test_rates_of_an_unknown_number_of_neurons_are_spikes_per_second():
    whole = made_up(4000, [300])
    result = Result((whole.times, whole.ids), whole.populations, t_start=0.0, t_stop=1000.0, recorded={"E": None})
    _, rates = drawn(result)
    values, edges, _ = rates.patches[0].get_data()
    assert rates.get_ylabel() == "spikes / s" and np.sum(values * np.diff(edges)) == pytest.approx(4e6)
    many = made_up(4000, [10] * 20, names=[f"p{k}" for k in range(20)])
    many = Result((many.times, many.ids), many.populations, t_start=0.0, t_stop=1000.0,
                  recorded={f"p{k}": True if k else np.zeros(0, int) for k in range(20)})  # fmt: skip
    values, edges, _ = drawn(many)[1].patches[0].get_data()
    assert np.sum(values * np.diff(edges)) * 190 == pytest.approx(4e6)


def test_spike_at_the_very_end_counts():
    spikes = np.array([1.0, 10.0]), np.array([0, 1])
    result = Result(spikes, [PopulationInfo("E", 2)], t_start=0.0, t_stop=10.0)
    for options in ({}, {"max_markers": 0}):
        ax, rates = drawn(result, **options)
        assert spikes_in(rates, [2]) == {"E": pytest.approx(2)}
    assert ax.images[0].get_array().sum() == 2


@pytest.mark.parametrize(
    "result",
    [
        made_up(0, [10]),
        made_up(0, [10, 5]),
        made_up(0, [0]),
        made_up(0, []),
        made_up(0, [10], t_stop=0.0),
    ],
)
def test_nothing_to_show_is_empty_axes(result):
    ax, rates = drawn(result)
    assert sum(line.get_xdata().size for line in markers(ax)) == 0
    assert ax.get_xlim()[0] == 0.0
    assert rates.get_xlabel() == "time (ms)"


def test_no_time_but_spikes():
    result = Result((np.zeros(3), np.arange(3)), [PopulationInfo("E", 5)], t_start=0.0, t_stop=0.0)
    for options in ({}, {"max_markers": 0}):
        ax, rates = drawn(result, **options)
        assert ax.get_xlim() == (0.0, 1.0)
        assert spikes_in(rates, [5]) == {"E": pytest.approx(3)}


def test_own_figure(agg):
    from matplotlib import pyplot

    ax = made_up(100, [20]).plot_raster()
    assert ax.figure.axes[0] is ax and len(ax.figure.axes) == 2
    assert pyplot.fignum_exists(ax.figure.number)
    ax.figure.canvas.draw()


def test_given_axes_among_others():
    figure = Figure(figsize=(8.0, 5.0))
    left, right = figure.subplots(1, 2)
    before = left.get_position()
    result = made_up(100, [20])
    assert result.plot_raster(left) is left
    figure.savefig(io.BytesIO())
    (rates,) = [ax for ax in figure.axes if ax not in (left, right)]
    assert rates.get_position().y0 == pytest.approx(before.y0)
    assert left.get_position().y1 == pytest.approx(before.y1)
    assert left.get_position().x1 < right.get_position().x0
    assert not right.lines


def test_given_axes_with_their_own_position():
    figure = Figure(figsize=(8.0, 5.0))
    ax = figure.add_axes((0.2, 0.2, 0.6, 0.6))
    assert plot_raster(made_up(100, [20]), ax) is ax
    figure.savefig(io.BytesIO())
    rates = figure.axes[1]
    assert rates.get_window_extent().y0 == pytest.approx(0.2 * figure.bbox.height)
    assert ax.get_window_extent().y1 == pytest.approx(0.8 * figure.bbox.height)
    assert ax.get_window_extent().y0 > rates.get_window_extent().y1


def test_result_of_a_run():
    net = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=20, seed=1)
    result = net.run(100.0)
    ax, _ = drawn(result)
    assert ax.lines[0].get_xdata().size == result.n_spikes > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t_start": 5.0, "t_stop": 5.0}, "t_start must be before t_stop, got 5 and 5 ms"),
        ({"t_start": 2000.0}, "t_start must be before t_stop, got 2000 and 1000 ms"),
        ({"t_start": float("nan")}, "t_start must be a finite time in ms"),
        ({"t_stop": "late"}, "t_stop must be a finite time in ms"),
        ({"bin_width": 0.0}, "bin_width must be a finite time > 0 ms"),
        ({"bin_width": 1e-6}, "bin_width must be at least 0.001 ms"),
        ({"neurons": 0}, "neurons must be a whole number >= 1"),
        ({"max_markers": -1}, "max_markers must be a whole number >= 0"),
        ({"ax": "here"}, "ax must be Axes of matplotlib, got 'here'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(sp.errors.ParameterError, match=message):
        plot_raster(made_up(10, [5]), **options)


def test_missing_matplotlib_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "sparseprop-sim\[plot\]"'):
        plot_raster(made_up(10, [5]))
    with pytest.raises(ImportError, match=r'pip install "sparseprop-sim\[plot\]"'):
        save_raster_plot(made_up(10, [5]), tmp_path / "raster.png")


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_save(tmp_path, suffix):
    path = tmp_path / f"raster.{suffix}"
    save_raster_plot(made_up(30_000, [50, 50]), path, neurons=10, dpi=50)
    assert path.stat().st_size > 1000


def test_save_errors(tmp_path):
    result = made_up(10, [5])
    with pytest.raises(sp.errors.ParameterError, match=r"must end in one of .*\.png.*, got '.*raster\.h5'"):
        save_raster_plot(result, tmp_path / "raster.h5")
    with pytest.raises(sp.errors.StorageError, match="cannot write .*No such file or directory"):
        save_raster_plot(result, tmp_path / "missing" / "raster.png")
    with pytest.raises(sp.errors.ParameterError, match="dpi must be a finite number > 0"):
        save_raster_plot(result, tmp_path / "raster.png", dpi=0)
    assert list(tmp_path.iterdir()) == []
