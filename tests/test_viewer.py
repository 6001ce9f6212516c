"""The page to look at a raster in: what Python puts into it, and in test_viewer_in_browser.py, what a browser shows."""

import base64
import json
import os
import pathlib
import re
import zlib

import numpy as np
import pytest

import sparseprop as sp
from sparseprop import plotting
from sparseprop.errors import ParameterError, StorageError
from sparseprop.run.result import PopulationInfo, Result
from sparseprop.viewer import content, page

FOLDER = pathlib.Path(page.__file__).parent


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made_up(times, ids, sizes, t_stop=None, recorded=None, names=None, **more):
    """A Result of spikes of populations of such sizes."""
    names, first, infos = names or [f"P{k}" for k in range(len(sizes))], 0, []
    for name, n in zip(names, sizes, strict=True):
        infos.append(PopulationInfo(name, n, "LIF", first))
        first += n
    order = np.argsort(times, kind="stable")
    times, ids = np.asarray(times, float)[order], np.asarray(ids, np.int64)[order]
    t_stop = float(times.max(initial=0.0)) if t_stop is None else t_stop
    recorded = None if recorded is None else dict(zip(names, recorded, strict=True))
    return Result((times, ids), infos, t_start=min(0.0, *times[:1], 0.0), t_stop=t_stop, recorded=recorded, **more)


def poisson(n_spikes, sizes, t_stop=1000.0, seed=1, **more):
    random = np.random.default_rng(seed)
    return made_up(
        random.uniform(0.0, t_stop, n_spikes), random.integers(sum(sizes), size=n_spikes), sizes, t_stop, **more
    )


def part_of(text, name):
    return re.search(rf'<script type="[\w/]+" id="{name}">(.*?)</script>', text, re.DOTALL)[1]


def unpacked(path):
    """What the page says of the raster, and of each population times, local ids; read by the format alone."""
    text = path.read_text(encoding="utf-8")
    about = json.loads(part_of(text, "about"))
    data, at = np.frombuffer(zlib.decompress(base64.b64decode(part_of(text, "data"))), np.uint8), 0

    def take(n, size, dtype):
        nonlocal at
        planes = data[at : at + n * size].reshape(size, n)
        at += n * size
        return sum(plane.astype(dtype) << dtype(8 * k) for k, plane in enumerate(planes)).astype(dtype)

    found = []
    for told in about["populations"]:
        n = told["nSpikes"]
        times = np.cumsum(take(n, 8, np.uint64), dtype=np.uint64).view(np.float64)
        rows = take(n, 4, np.uint32).astype(np.int64)
        ids = take(told["nRows"], 4, np.uint32).astype(np.int64) if told["hasIds"] else np.arange(told["n"])
        found.append((times, ids[rows]))
    assert at == data.size
    return about, found


def same_bits(a, b):
    return np.array_equal(np.asarray(a, np.float64).view(np.uint64), np.asarray(b, np.float64).view(np.uint64))


def assert_has(path, result):
    about, found = unpacked(path)
    assert [told["name"] for told in about["populations"]] == [info.name for info in result.populations]
    for info, (times, ids) in zip(result.populations, found, strict=True):
        mine = (result.ids >= info.first) & (result.ids < info.first + info.n)
        assert same_bits(times, result.times[mine]) and np.array_equal(ids, result.ids[mine] - info.first)
    return about


def network():
    net = sp.Network(seed=3)
    E = net.add(80, sp.LIF(tau_m=10.0, I_e=1.5), name="E")
    net.add(20, sp.QIF(tau_m=10.0, I_e=1.0), name="I")
    net.add(3, sp.SpikeSource([1.0, 2.0, 2.0], [0, 1, 2]), name="in")
    net.connect("in", E, sp.all_to_all(), weight=0.01)
    net.connect("I", E, sp.fixed_outdegree(10), weight=-0.1)
    return net


def test_the_page_has_all_spikes_to_the_last_bit():
    result = network().run(200.0, record=sp.Record(record_sources=True))
    assert len(np.unique(result.ids)) > 80
    about = assert_has(sp.view(result, "page.html"), result)
    assert (about["start"], about["stop"]) == (0.0, 200.0)
    assert [told["nRows"] for told in about["populations"]] == [80, 20, 3]


@pytest.mark.parametrize(
    "times",
    [
        [],
        [5.0],
        [0.0, 0.0, 5e-324, 1e-300, 1.0, np.nextafter(1.0, 2.0)],
        [-1e9, -3.5, np.nextafter(-3.5, 0.0), -5e-324, -0.0, 0.0, 2.0],
        [1e15, np.nextafter(1e15, 2e15), 3e18],
    ],
    ids=["none", "one", "tiny", "negative", "huge"],
)
def test_any_times(times):
    result = made_up(times, np.arange(len(times)) % 3, [3])
    assert_has(sp.view(result, "page.html"), result)


def test_neurons_that_were_not_recorded_have_no_rows():
    net = network()
    result = net.run(200.0, record=sp.Record(spikes={"E": [7, 3, 50]}))
    about = assert_has(sp.view(result, "page.html"), result)
    rows = {told["name"]: (told["nRows"], told["isKnown"]) for told in about["populations"]}
    assert rows == {"E": (3, True), "I": (0, True), "in": (0, True)}
    assert len(result.times) > 10


def test_ids_with_gaps_of_another_program():
    """Nobody knows of which neurons spikes were recorded; ids are anything."""
    result = made_up([1.0, 2.0, 3.0, 4.0], [5, 2_000_000_000, 5, 70], [2_000_000_001], recorded=[None])
    about = assert_has(sp.view(result, "page.html"), result)
    assert [(told["nRows"], told["isKnown"]) for told in about["populations"]] == [(3, False)]


def test_what_can_be_looked_at():
    result = poisson(100, [10])
    result.save("raster.h5")
    expected = unpacked(sp.view(result, "result.html"))[1][0]
    for k, source in enumerate(
        [
            "raster.h5",
            pathlib.Path("raster.h5"),
            (result.times[::-1], result.ids[::-1], 10, 0.0, 1000.0),
            sp.analysis.SpikeTrains.of(result),
        ]
    ):
        about, ((times, ids),) = unpacked(sp.view(source, f"{k}.html"))
        assert same_bits(times, expected[0]) and np.array_equal(ids, expected[1])
        assert (about["start"], about["stop"], about["populations"][0]["nRows"]) == (0.0, 1000.0, 10)
    some = sp.analysis.SpikeTrains([1.0, 2.0], [0, 4], 5, 0.0, 3.0, recorded=[0, 4])
    assert unpacked(sp.view(some, "some.html"))[0]["populations"][0]["nRows"] == 2
    with pytest.raises(ParameterError, match="spikes must be a Result"):
        sp.view(3, "no.html")
    assert not pathlib.Path("no.html").exists()


def test_names_of_pages_and_titles(empty_folder):
    result = poisson(10, [10])
    result.save("a.b.h5")
    assert sp.view("a.b.h5") == empty_folder / "a.b.html"
    assert sp.view(result) == empty_folder / "raster.html"
    streamed = sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=10, seed=1).run(20.0, record="streamed.h5")
    assert sp.view(streamed) == empty_folder / "streamed.html"
    assert "<title>a.b.h5</title>" in pathlib.Path("a.b.html").read_text()
    assert "<title>A &lt; B &amp; C</title>" in sp.view(result, "t.html", title="A < B & C").read_text()
    with pytest.raises(ParameterError, match="view: title must be a text, got int"):
        sp.view(result, "u.html", title=3)


def test_a_part_of_the_time():
    result = poisson(1000, [10])
    about, ((times, _),) = unpacked(sp.view(result, "page.html", t_start=200.0, t_stop=300.0))
    assert (about["start"], about["stop"]) == (200.0, 300.0)
    assert same_bits(times, result.times[(result.times >= 200.0) & (result.times <= 300.0)])
    with pytest.raises(ParameterError, match="t_start must be before t_stop"):
        sp.view(result, "other.html", t_start=300.0, t_stop=200.0)


def test_a_run_of_no_time():
    about, _ = unpacked(sp.view(made_up([], [], [10], t_stop=0.0), "page.html"))
    assert (about["start"], about["stop"]) == (0.0, 1.0)


def test_too_many_spikes_are_refused_with_what_helps():
    result = poisson(1000, [10])
    with pytest.raises(ParameterError, match=r"1,000 spikes from 0 to 1000 ms .* max_spikes, 999; give t_start"):
        sp.view(result, "page.html", max_spikes=999)
    assert not pathlib.Path("page.html").exists()
    assert sp.view(result, "page.html", max_spikes=999, t_stop=500.0).exists()


def test_existing_files_are_replaced_only_if_told():
    result = poisson(10, [10])
    pathlib.Path("page.html").write_text("mine")
    with pytest.raises(StorageError, match="it exists.*overwrite=True"):
        sp.view(result, "page.html")
    assert pathlib.Path("page.html").read_text() == "mine"
    assert_has(sp.view(result, "page.html", overwrite=True), result)
    with pytest.raises(StorageError, match="does not exist; create it first"):
        sp.view(result, "nowhere/page.html")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_no_half_a_file_is_left(error, empty_folder, monkeypatch):
    def fails(fd):
        raise error

    pathlib.Path("page.html").write_text("mine")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError if isinstance(error, OSError) else KeyboardInterrupt):
        sp.view(poisson(10, [10]), "page.html", overwrite=True)
    assert [path.name for path in empty_folder.iterdir()] == ["page.html"]
    assert pathlib.Path("page.html").read_text() == "mine"


HOSTILE = "</script><img src=x onerror=alert(1)>$title & <!--"


def test_names_are_not_markup():
    result = poisson(10, [5, 5], names=["E", HOSTILE])
    path = sp.view(result, "page.html", title=HOSTILE)
    text = path.read_text()
    assert "<img" not in text and text.count("<script") == text.count("</script>") == 3
    assert assert_has(path, result)["title"] == HOSTILE


def test_nothing_is_fetched():
    text = sp.view(poisson(10, [10]), "page.html").read_text()
    assert not re.search(r"https?:|\bimport\b|@import|url\(|<link(?! rel=\"icon\" href=\"data:,\")", text)
    assert not re.search(r"\bsrc\s*=", text) and "default-src 'none'" in text


def test_colours_are_those_of_other_pictures():
    style = (FOLDER / "page.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    found = re.findall(r"--c\d: (#\w{6})", light)
    assert tuple(found) == plotting.COLORS and re.search(r"--single: (#\w{6})", light)[1] == plotting.SINGLE_COLOR
    assert len(set(re.findall(r"--c\d: (#\w{6})", dark))) == len(found)


def test_a_million_spikes_are_at_most_twelve_megabytes():
    """Of 100,000 neurons without any order, which is the most that zlib has to leave."""
    bands = content.bands_of_result(poisson(1_000_000, [80_000, 20_000], t_stop=123.4))
    assert len(content.packed(bands)) < 10_000_000


def test_sources_of_the_page_are_readable():
    for name in page.PARTS:
        lines = (FOLDER / name).read_text().splitlines()
        assert 20 < len(lines) < 400 and max(map(len, lines)) <= 120


def test_a_small_raster_in_notebooks():
    result = network().run(200.0)
    shown = result._repr_html_()
    (code,) = re.findall(
        r'<img alt="Raster of spikes from 0 to 200 ms: E, I, in from the top" [^>]*base64,(.*?)">', shown
    )
    picture = plotting.small_raster(result)
    assert base64.b64decode(code).startswith(b"\x89PNG") and shown.index("<img") < shown.index("<table>")
    blue = (picture[:, :, 2] > picture[:, :, 0]) & (picture[:, :, 0] < 250)
    orange = (picture[:, :, 0] > picture[:, :, 2]) & (picture[:, :, 2] < 250)
    # 80 of 103 rows are of E, and the rest below; a dot reaches a pixel further.
    assert blue.any() and np.flatnonzero(blue.any(axis=1)).max() <= 80 * 120 // 103 + 1
    assert orange.any() and np.flatnonzero(orange.any(axis=1)).min() >= 80 * 120 // 103


def test_pixels_of_the_small_raster(empty_folder):
    """The same as a count of numpy's, and what a PNG reader finds in the file."""
    from matplotlib import image

    result = poisson(200_000, [1000])
    picture = plotting.small_raster(result)
    counts = np.zeros((120, 480))
    np.add.at(counts, (119 - result.ids * 120 // 1000, np.floor(result.times * 0.48).astype(int)), 1.0)
    assert np.array_equal(counts > 0, (picture < 255).any(axis=2))
    least, most = (picture[counts == count].mean() for count in (1.0, counts.max()))
    assert most < least < 255.0
    few = plotting.small_raster(made_up([500.0], [0], [2], t_stop=1000.0))
    assert (few < 255).any(axis=2).sum() == 2  # of a dot of four pixels, of which the lower ones are below
    code = re.search('base64,([^"]*)', result._repr_html_())[1]
    pathlib.Path("small.png").write_bytes(base64.b64decode(code))
    assert np.array_equal(np.round(image.imread("small.png")[:, :, :3] * 255), picture) and len(code) < 60_000
    assert "<img" not in made_up([], [], [3], t_stop=10.0)._repr_html_()
    many = made_up([1.0, 2.0], [0, 999], [1] * 1000, t_stop=3.0)
    assert (plotting.small_raster(many) < 255).any()
