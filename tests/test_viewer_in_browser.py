"""The page to look at a raster in, in a headless Chromium, by real events of mouse, fingers and keys.

What is counted is compared with numpy and `sparseprop.analysis` on the same spikes, what is drawn pixel by pixel.
"""

import base64
import time

import chromium
import numpy as np
import pytest
from test_viewer import HOSTILE, made_up, poisson, same_bits

import sparseprop as sp

pytestmark = pytest.mark.skipif(chromium.found() is None, reason="there is no Chromium here")

READY = "window.viewer && viewer.firstPicture"
SHIFT, ALT = 8, 1


@pytest.fixture(scope="module")
def browser():
    with chromium.Chromium() as browser:
        yield browser


class Page:
    """A page that is open."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.open(path, READY)

    def rest(self):
        """Wait until the last change is drawn, and drawn whole."""
        self.browser.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.browser.until("!isMoving && !isAsked")

    def value(self, expression):
        return self.browser.value(expression)

    @property
    def view(self):
        self.rest()
        return self.value("view")

    @property
    def found(self):
        """What was counted, as plain lists."""
        self.rest()
        return self.value(
            "({...found, isi: {...found.isi, counts: [...found.isi.counts]}, perPopulation: found.perPopulation.map("
            "({population, nRows, nSpikes, counts}) => ({name: population.name, nRows, nSpikes, counts}))})"
        )

    def place(self, share_x, share_y, canvas="raster"):
        """In the browser's window, of a share of the plot's width and height."""
        return self.value(
            f"(() => {{ const box = canvas.{canvas}.getBoundingClientRect(), high = canvas.raster.clientHeight;"
            f"return [box.left + left() + {share_x} * (box.width - left() - RIGHT),"
            f"box.top + TOP + {share_y} * ('{canvas}' === 'raster' ? high - 2 * TOP : 100)] }})()"
        )

    def click(self, selector):
        x, y = self.value(
            f"(() => {{ const box = document.querySelector('{selector}').getBoundingClientRect();"
            "return [box.left + box.width / 2, box.top + box.height / 2] })()"
        )
        for what in ("pressed", "released"):
            self.browser.mouse(what, x, y, button="left", clickCount=1)
        self.rest()


SIZES = (800, 200)


@pytest.fixture(scope="module")
def result():
    return poisson(100_000, SIZES, t_stop=1000.0)


@pytest.fixture(scope="module")
def path(result, tmp_path_factory):
    return sp.view(result, tmp_path_factory.mktemp("pages") / "page.html")


@pytest.fixture
def opened(browser, path):
    browser.size(1280, 800)
    return Page(browser, path)


def cut(result, region, ids=None):
    """Spikes of a region, with both ends, of all rows or of some ids."""
    mine = (result.times >= region["t0"]) & (result.times <= region["t1"])
    if ids is not None:
        mine &= np.isin(result.ids, ids)
    return result.times[mine], result.ids[mine]


def assert_counts_are_right(result, found, rows=(0, 1000)):
    """Numbers of spikes, rates and intervals, of a region of rows [first, end)."""
    region, ids = found["region"], np.arange(*rows)
    times, who = cut(result, region, ids)
    assert sum(part["nSpikes"] for part in found["perPopulation"]) == times.size
    for part, info in zip(found["perPopulation"], result.populations, strict=True):
        assert part["nRows"] == np.count_nonzero((ids >= info.first) & (ids < info.first + info.n))
        edges = np.array(found["edges"])
        mine = (result.ids >= max(info.first, rows[0])) & (result.ids < min(info.first + info.n, rows[1]))
        assert part["counts"] == np.histogram(result.times[mine], edges)[0].tolist()
    order = np.lexsort((times, who))
    intervals = np.diff(times[order])[np.diff(who[order]) == 0]
    assert found["isi"]["n"] == intervals.size
    if intervals.size:
        assert found["isi"]["sums"][0] == pytest.approx(intervals.sum(), rel=1e-9)
    if "width" in found["isi"]:
        bins = np.floor(intervals / found["isi"]["width"])
    else:
        bins = np.floor(10.0 * np.log10(intervals)) + 30
    size = found["isi"]["size"]
    expected = np.bincount(np.where((bins >= 0) & (bins < size), bins, size).astype(int), minlength=size + 1)
    assert found["isi"]["counts"] == expected.tolist()
    return intervals.size


def test_first_picture(opened, result):
    assert opened.value("viewer.firstPicture") > 0.0 and not opened.browser.errors()
    assert opened.value("byId('whole').textContent") == "100,000 spikes, 0 to 1000 ms"
    assert assert_counts_are_right(result, opened.found) > 90_000
    assert "mean rate 100 Hz" in opened.value("byId('found').textContent")
    labels = opened.value("[...document.querySelectorAll('.count')].map((label) => label.textContent)")
    counts = np.bincount(result.ids >= 800)
    assert [label.split(",")[0] for label in labels] == [str(counts[0])[:2], str(counts[1])[:2]]


def test_spikes_have_the_same_bits_in_the_browser(opened, result):
    for k, first in enumerate((0, 800)):
        mine = (result.ids >= first) & (result.ids < first + SIZES[k])
        sent = {}
        for name in ("times", "rows"):
            sent[name] = base64.b64decode(
                opened.value(
                    f"(() => {{ const bytes = new Uint8Array(populations[{k}].{name}.buffer); let text = '';"
                    "for (let i = 0; i < bytes.length; i += 8192)"
                    "text += String.fromCharCode(...bytes.subarray(i, i + 8192)); return btoa(text) })()"
                )
            )
        assert same_bits(np.frombuffer(sent["times"], np.float64), result.times[mine])
        assert np.array_equal(np.frombuffer(sent["rows"], np.uint32), result.ids[mine] - first)


def test_the_wheel_zooms_about_the_pointer(opened, result):
    x, y = opened.place(0.3, 0.5)
    for _ in range(5):
        opened.browser.mouse("wheel", x, y, deltaX=0, deltaY=-200)
    view = opened.view
    width = 1000.0 * np.exp(-0.0015 * 1000)
    assert view["t1"] - view["t0"] == pytest.approx(width, rel=1e-9)
    assert view["t0"] + 0.3 * width == pytest.approx(300.0, abs=1e-9)
    assert (view["y0"], view["y1"]) == (0, 1000)
    assert assert_counts_are_right(result, opened.found) > 1000
    opened.browser.mouse("wheel", x, y, deltaX=0, deltaY=-300, modifiers=ALT)
    view = opened.view
    height = 1000 * np.exp(-0.45)
    assert (view["y0"], view["y1"]) == pytest.approx((500 - 0.5 * height, 500 + 0.5 * height), abs=1.0)  # a pixel
    rows = [int(np.ceil(view[end] - 0.5)) for end in ("y0", "y1")]
    assert_counts_are_right(result, opened.found, rows=rows)
    for _ in range(40):
        opened.browser.mouse("wheel", x, y, deltaX=0, deltaY=200)
    assert (opened.view["t0"], opened.view["t1"]) == (0, 1000)


def test_dragging_pans(opened):
    x, y = opened.place(0.5, 0.5)
    for _ in range(5):
        opened.browser.mouse("wheel", x, y, deltaX=0, deltaY=-200)
    before, begin, end = opened.view, opened.place(0.5, 0.5), opened.place(0.25, 0.4)
    opened.browser.drag(begin, end)
    after = opened.view
    span = before["t1"] - before["t0"]
    assert after["t0"] == pytest.approx(before["t0"] + 0.25 * span) and after["t1"] - after["t0"] == pytest.approx(span)
    for _ in range(4):
        opened.browser.drag(opened.place(0.01, 0.5), opened.place(0.99, 0.5))
    assert opened.view["t0"] == 0 and opened.value("selection") is None


def test_a_box_is_selected_and_histograms_follow(opened, result):
    opened.browser.drag(opened.place(0.2, 0.1), opened.place(0.6, 0.9), modifiers=SHIFT)
    found = opened.found
    assert found["region"] == pytest.approx({"t0": 200.0, "t1": 600.0, "y0": 100, "y1": 900}, abs=1e-3)
    assert opened.value("byId('region').textContent") == "Selected" and opened.view["t0"] == 0
    assert assert_counts_are_right(result, found, rows=(100, 900)) > 10_000
    # The same bins as those of the analyses, on the same spikes.
    region = found["region"]
    for part, (first, end) in zip(found["perPopulation"], ((100, 800), (800, 900)), strict=True):
        times, ids = cut(result, region, np.arange(first, end))
        width = found["edges"][1] - found["edges"][0]
        spikes = (times, ids - first, end - first, region["t0"], region["t1"])
        assert part["counts"] == sp.analysis.time_histogram(spikes, bin_width=round(width, 9)).counts.tolist()
    opened.click("#log")
    assert_counts_are_right(result, opened.found, rows=(100, 900))
    opened.click("#log")
    opened.click("#zoom-selection")
    assert opened.view == pytest.approx(region)
    opened.click("#clear")
    assert opened.found["region"] == pytest.approx(region) and opened.value("byId('region').textContent") == "In view"


def test_a_time_is_selected_below(opened, result):
    opened.click("#select")
    opened.browser.drag(opened.place(0.5, 0.5, "rate"), opened.place(0.51, 0.6, "rate"))
    found = opened.found
    assert found["region"] == pytest.approx({"t0": 500.0, "t1": 510.0, "y0": 0, "y1": 1000}, abs=1e-3)
    assert_counts_are_right(result, found)
    x, y = opened.place(0.5, 0.5)
    for what in ("pressed", "released"):
        opened.browser.mouse(what, x, y, button="left", clickCount=1)
    opened.rest()
    assert opened.value("selection") is None


def test_populations_are_hidden_and_shown(opened, result):
    opened.click("#populations li:first-child input")
    found = opened.found
    (part,) = found["perPopulation"]
    mine = result.ids >= 800
    assert (part["name"], part["nSpikes"], part["nRows"]) == ("P1", np.count_nonzero(mine), 200)
    assert (opened.view["y0"], opened.view["y1"]) == (0, 200)
    assert found["isi"]["n"] == part["nSpikes"] - 200
    assert opened.value("document.querySelector('.count').textContent") == "hidden"
    opened.click("#populations li:last-child input")
    assert opened.found["perPopulation"] == [] and not opened.browser.errors()
    for item in ("first", "last"):
        opened.click(f"#populations li:{item}-child input")
    assert_counts_are_right(result, opened.found)


def test_double_click_and_buttons_and_keys(opened):
    opened.click("#zoom-in")
    opened.click("#zoom-in")
    assert (opened.view["t0"], opened.view["t1"]) == (375, 625)
    opened.click("#zoom-out")
    assert (opened.view["t0"], opened.view["t1"]) == (250, 750)
    x, y = opened.place(0.5, 0.5)
    for count in (1, 2):
        for what in ("pressed", "released"):
            opened.browser.mouse(what, x, y, button="left", clickCount=count)
    assert (opened.view["t0"], opened.view["t1"]) == (0, 1000)
    opened.value("canvas.raster.focus()")
    for key, text in (("+", "+"), ("]", "]"), ("ArrowRight", None), ("ArrowDown", None)):
        opened.browser.key(key, text)
    assert opened.view == pytest.approx({"t0": 300, "t1": 800, "y0": 300, "y1": 800})
    opened.browser.key("Home")
    assert opened.view == {"t0": 0, "t1": 1000, "y0": 0, "y1": 1000}
    opened.value("select({t0: 100, t1: 200, y0: 0, y1: 10})")
    opened.browser.key("z", "z")
    assert opened.view == {"t0": 100, "t1": 200, "y0": 0, "y1": 10}
    opened.browser.key("Escape")
    opened.rest()
    assert opened.value("selection") is None


def test_a_spike_at_the_pointer_is_named(opened, result):
    for _ in range(6):
        opened.browser.mouse("wheel", *opened.place(0.5, 0.5), deltaX=0, deltaY=-400)
        opened.browser.mouse("wheel", *opened.place(0.5, 0.5), deltaX=0, deltaY=-400, modifiers=ALT)
    view = opened.view
    times, ids = cut(result, view)
    inside = (ids > view["y0"] + 1) & (ids < view["y1"] - 1)
    when, who = times[inside][0], int(ids[inside][0])
    share = (when - view["t0"]) / (view["t1"] - view["t0"]), (who + 0.5 - view["y0"]) / (view["y1"] - view["y0"])
    opened.browser.mouse("moved", *opened.place(*share))
    name = f"P0 {who}" if who < 800 else f"P1 {who - 800}"
    assert opened.value("byId('tip').hidden ? null : byId('tip').textContent") == f"{name}: {float(when)!r} ms"


@pytest.mark.parametrize("zoomed", [False, True])
@pytest.mark.parametrize("sizes", [SIZES, (1000,), (70, 30), (40,)])
def test_every_spike_is_at_its_pixel(browser, tmp_path, sizes, zoomed):
    """And there is nothing else: where there is a pixel, there are spikes."""
    browser.size(600, 500)
    result = poisson(100_000, sizes)
    opened = Page(browser, sp.view(result, tmp_path / "page.html"))
    if zoomed:
        opened.browser.mouse("wheel", *opened.place(0.7, 0.3), deltaX=0, deltaY=-500)
    view = opened.view
    width, height = opened.value("[image.width, image.height]")
    text = opened.value(
        "(() => { const seen = new Uint32Array(image.data.buffer); let text = '';"
        "for (const pixel of seen) text += pixel ? 1 : 0; return text })()"
    )
    seen = np.array(list(text), int).reshape(height, width)
    times, ids = cut(result, view)
    assert times.size > 20_000
    x = np.floor((times - view["t0"]) * (width / (view["t1"] - view["t0"]))).astype(int)
    per_row = height / (view["y1"] - view["y0"])
    y, tall = np.floor((ids + 0.5 - view["y0"]) * per_row).astype(int), int(0.8 * per_row + 0.5) if per_row > 1.5 else 1
    expected = np.zeros((height, width), int)
    for k in range(tall):  # where rows are high, around the middle of each
        expected[np.clip(y - tall // 2 + k, 0, height - 1), np.minimum(x, width - 1)] = 1
    assert np.array_equal(seen[::-1] if len(sizes) == 1 else seen, expected) and expected.any()


def test_few_spikes_are_marked(browser, tmp_path):
    """A tick each, in the row's middle, once rows are high."""
    browser.size(800, 600)
    result = made_up([10.0, 50.0, 50.0, 99.0], [0, 1, 3, 9], [10], t_stop=100.0)
    opened = Page(browser, sp.view(result, tmp_path / "page.html"))
    height, width = opened.value("[image.height, image.width]")
    for when, row in zip(result.times, result.ids, strict=True):
        x, y = int(when / 100.0 * width), height - 1 - int((row + 0.5) / 10 * height)
        assert opened.value(f"new Uint32Array(image.data.buffer)[{y * width + x}]") != 0
    assert opened.value("new Uint32Array(image.data.buffer).reduce((n, pixel) => n + (pixel ? 1 : 0), 0)") == 4 * 2 * 16


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (made_up([], [], [10], t_stop=100.0), "0 spikes of 10 neurons, 0.0 to 100.0 ms, mean rate 0 Hz"),
        (made_up([], [], [], t_stop=0.0), "0 spikes of 0 neurons"),
        (made_up([3.0], [0], [1], t_stop=10.0), "1 spikes of 1 neurons, 0.00 to 10.00 ms, mean rate 100 Hz"),
        (
            made_up([5.0, 7.0], [3, 1_900_000_000], [2_000_000_000], t_stop=9.0, recorded=[None]),
            "2 spikes of 2 neurons",
        ),
        (made_up([1e12, 1e12 + 0.5], [0, 0], [1]), "2 spikes of 1 neurons"),
        (made_up([-5.0, 5.0], [0, 0], [1]), "2 spikes of 1 neurons, -5.00 to 5.00 ms"),
    ],
    ids=["silent", "no neurons", "one spike", "gaps", "long", "negative"],
)
def test_odd_rasters(browser, tmp_path, result, said):
    browser.size(1280, 800)
    opened = Page(browser, sp.view(result, tmp_path / "page.html"))
    opened.rest()
    assert opened.value("byId('found').textContent").startswith(said)
    assert opened.value("byId('message').textContent") == ("" if len(result.times) else "No spikes")
    for _ in range(100):
        opened.browser.mouse("wheel", *opened.place(1.0, 0.5), deltaX=0, deltaY=-1000)
    view = opened.view
    assert view["t1"] == result.t_stop or result.t_stop == 0.0
    assert 0.0 < view["t1"] - view["t0"] <= max(2e-6, 1e-11 * result.t_stop)
    assert len(set(opened.value("timeAxis(800).ticks.map(({label}) => label)"))) > 1
    assert not opened.browser.errors()


def test_long_times_are_readable(browser, tmp_path):
    browser.size(1280, 800)
    opened = Page(browser, sp.view(made_up([0.0, 86_400_000.0], [0, 0], [1]), tmp_path / "page.html"))
    assert opened.value("timeAxis(800).title") == "time (s)"
    opened.value("show(40000000.123, 40000000.124)")
    opened.rest()
    axis = opened.value("timeAxis(800)")
    assert axis["title"] == "time after 40000000.12 ms (ms)"
    assert all(len(tick["label"]) <= 8 for tick in axis["ticks"]) and len(axis["ticks"]) > 3
    for tick in axis["ticks"]:
        assert 40000000.12 + float(tick["label"]) == pytest.approx(tick["time"], abs=1e-7)


def test_names_of_others_do_nothing(browser, tmp_path):
    result = poisson(100, [5, 5], names=["E", HOSTILE])
    opened = Page(browser, sp.view(result, tmp_path / "page.html", title=HOSTILE))
    assert opened.value("document.title") == opened.value("byId('title').textContent") == HOSTILE
    assert opened.value("document.querySelectorAll('.name')[1].textContent") == HOSTILE
    assert opened.value("document.querySelectorAll('img').length") == 0 and not browser.errors()


def test_a_phone(browser, path, result):
    browser.size(390, 844, 2.0, True)
    opened = Page(browser, path)
    assert opened.value("document.documentElement.scrollWidth") <= 390
    (x, y), (x2, _) = opened.place(0.4, 0.5), opened.place(0.6, 0.5)
    (far, _), (far2, _) = opened.place(0.2, 0.5), opened.place(0.8, 0.5)
    browser.touch("Start", (x, y), (x2, y))
    for k in range(1, 6):
        browser.touch("Move", (x + (far - x) * k / 5, y), (x2 + (far2 - x2) * k / 5, y))
    browser.touch("End")
    view = opened.view
    assert (view["t0"], view["t1"]) == pytest.approx((1000 / 3, 2000 / 3), abs=3.0)
    browser.touch("Start", (x, y))
    browser.touch("Move", (far, y))
    browser.touch("End")
    moved = opened.view
    assert moved["t0"] - view["t0"] == pytest.approx(0.2 * 1000 / 3, abs=2.0)
    assert_counts_are_right(result, opened.found)
    browser.size(1280, 800)


def test_everything_has_a_name(opened):
    """For those who do not see it."""
    nodes = opened.browser("Accessibility.getFullAXTree")["nodes"]
    roles = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    named = {role: name for role, name in roles}
    assert {"button", "checkbox", "image", "application", "heading"} <= set(named)
    for role, name in roles:
        if role in ("button", "checkbox", "image", "application", "heading", "toolbar"):
            assert name.strip(), f"a {role} without a name"
    assert "100,000 spikes" in named["application"]


def test_light_and_dark(opened):
    back = "getComputedStyle(document.body).backgroundColor"
    pixel = "new Uint32Array(image.data.buffer).find((pixel) => pixel)"
    light = opened.value(back), opened.value(pixel)
    opened.browser.scheme("dark")
    opened.rest()
    dark = opened.value(back), opened.value(pixel)
    opened.browser.scheme("light")
    assert light[0] == "rgb(255, 255, 255)" and dark[0] != light[0] and dark[1] != light[1]


def test_frames_of_a_million_spikes(browser, tmp_path):
    """While it is panned and zoomed. On a busy machine a frame may wait for its turn, so the median counts here."""
    browser.size(1280, 800)
    path = sp.view(poisson(1_000_000, (8000, 2000), t_stop=10_000.0), tmp_path / "page.html")
    assert path.stat().st_size < 12e6
    opened = Page(browser, path)
    opened.value("var frames = [], last = 0; (function note(now) { frames.push(now); requestAnimationFrame(note) })(0)")
    x, y = opened.place(0.5, 0.5)
    for _ in range(30):
        browser.mouse("wheel", x, y, deltaX=0, deltaY=-15)
        time.sleep(0.016)
    browser.drag((x, y), (x - 200, y + 50), steps=30)
    for _ in range(30):
        browser.mouse("wheel", x, y, deltaX=0, deltaY=15)
        time.sleep(0.016)
    frames = np.diff(opened.value("frames")[1:])
    assert frames.size > 20 and np.median(frames) < 50.0
    opened.rest()
    assert opened.value("viewer.firstPicture") < 20_000.0


def test_of_too_many_spikes_some_are_drawn_while_they_move(browser, tmp_path):
    """As many as there is time for; all of them, and what is counted, when they rest."""
    browser.size(1280, 800)
    result = poisson(1_000_000, (1000,))
    opened = Page(browser, sp.view(result, tmp_path / "page.html"))
    total = "cells.subarray(0, image.width * image.height).reduce((sum, value) => sum + value, 0)"
    assert opened.value(total) == 1_000_000
    browser.mouse("wheel", *opened.place(0.5, 0.5), deltaX=0, deltaY=-100)
    opened.rest()
    view, n = opened.view, opened.value(total)
    some, counted = opened.value(
        f"(() => {{ isMoving = true; pace = 1e-4; view.t1 -= 1; draw(); view.t1 += 1;"
        f"const drawn = [{total}, found.region.t1]; move(); return drawn }})()"
    )
    assert n / 7 < some < n / 5 and counted == view["t1"]  # 86 ms for all of them: every sixth
    opened.rest()
    assert opened.value(total) == n == cut(result, view)[0].size
    assert_counts_are_right(result, opened.found)


def test_rates_of_many_populations_are_one_curve(browser, tmp_path):
    result = poisson(1000, (5,) * 13)
    opened = Page(browser, sp.view(result, tmp_path / "page.html"))
    (curve,) = opened.value("curvesOf(found.perPopulation)")
    assert curve["nRows"] == 65 and sum(curve["counts"]) == np.count_nonzero(result.times < opened.found["edges"][-1])
    opened.click("#populations li:first-child input")
    assert len(opened.value("curvesOf(found.perPopulation)")) == 12
