"""How large is a page of `sp.view`, when is its first picture there, and how long does a frame take?

Of Brunel's network (2,500 neurons, synchronous irregular): the first spikes of 100 neurons, or where that would take
more than a minute of simulated time, of all. The page is opened in headless Chromium, 1280 by 800 pixels, some times
anew; then the wheel zooms in about the middle, the mouse drags the raster around, and the wheel zooms out again.

- first picture: from the beginning of the navigation until after the first frame with spikes is painted;
- frames: intervals between them while something moves; 16.7 ms is the screen's own pace;
- drawing: how much of them the page's own work is, all histograms included.

All on the wall clock, as a user sees it: on a busy machine it is longer.

    python benchmarks/viewer.py -o viewer.json
    python benchmarks/viewer.py --pictures docs/howto
"""

import argparse
import pathlib
import sys
import tempfile
import time

import numpy as np
from common import in_process, markdown, options_of, report_head, save

import sparseprop as sp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
import chromium

QUICK = {"spikes": [1000], "rounds": 1}
READY = "window.viewer && viewer.firstPicture"
NOTE = """
var intervals = [], drawing = [], last = null;
(function note(now) {
  if (last !== null && isMoving) { intervals.push(now - last); drawing.push(viewer.frame); }
  last = now;
  requestAnimationFrame(note);
})(null)
"""


def brunel(seed, g=4.5, eta=0.9, n=2500, weight=0.5):
    """That of docs/tutorials/brunel.md."""
    net = sp.Network(seed=seed)
    lif = sp.LIF(tau_m=20.0, V_th=20.0, V_reset=10.0, t_ref=2.0)
    E, I = net.add(4 * n // 5, lif, name="E", V=0.0), net.add(n // 5, lif, name="I", V=0.0)
    for post in (E, I):
        net.connect(E, post, sp.fixed_indegree(E.n // 10), weight=weight, delay=1.5)
        net.connect(I, post, sp.fixed_indegree(I.n // 10), weight=-g * weight, delay=1.5)
        net.drive(post, sp.poisson(1000.0 * eta * 20.0 / (weight * 20.0)), weight=weight)
    return net


def spikes_of(n_spikes, seed):
    """A Result with at least so many spikes, and when the last one of them is."""
    simulation = sp.Simulation(brunel(seed))
    simulation.run(200.0)
    is_few = n_spikes < 20_000
    chosen = {"E": range(80), "I": range(20)} if is_few else True
    share = 25 if is_few else 1
    result = simulation.run(n_spikes=int(1.2 * n_spikes * share), record=sp.Record(spikes=chosen))
    return result, float(result.times[n_spikes - 1])


def run_case(case):
    result, stop = spikes_of(case["spikes"], case["seed"])
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        path = sp.view(
            result, pathlib.Path(folder, "page.html"), t_stop=stop, title="Brunel's network", max_spikes=10**8
        )
        wrote = time.process_time() - began
        with chromium.Chromium() as browser:
            first = []
            for _ in range(case["rounds"]):
                browser.open(path, READY)
                first.append(browser.value("viewer.firstPicture"))
            shown = browser.value("found.perPopulation.reduce((sum, part) => sum + part.nSpikes, 0)")
            time.sleep(0.5)
            if case["picture"]:
                take_picture(browser, case["picture"])
            frames = move(browser)
        size = path.stat().st_size
    return {**case, "shown": shown, "bytes": size, "writing_seconds": wrote, "first_picture_ms": first, **frames}


def take_picture(browser, name):
    """In a smaller window, as a page of the docs is narrow, and with few colours."""
    from PIL import Image

    browser.size(960, 640)
    time.sleep(0.5)
    browser.picture(pathlib.Path(name))
    Image.open(name).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(name, optimize=True)
    browser.size(1280, 800)
    time.sleep(0.5)


def move(browser):
    """Zoom in, pan, zoom out, at the pace of a hand; intervals between frames and times of drawing in ms."""
    browser.value(NOTE)
    x, y = 500.0, 300.0
    for amount in (*[-20] * 60, None, *[20] * 60):
        if amount is not None:
            browser.mouse("wheel", x, y, deltaX=0, deltaY=amount)
            time.sleep(0.016)
            continue
        browser.mouse("pressed", x, y, button="left", buttons=1, clickCount=1)
        for k in range(120):
            to = x + 200.0 * np.sin(k / 10.0), y + 80.0 * np.sin(k / 7.0)
            browser.mouse("moved", *to, button="left", buttons=1)
            time.sleep(0.016)
        browser.mouse("released", x, y, button="left", clickCount=1)
    return {"frames_ms": browser.value("intervals"), "drawing_ms": browser.value("drawing")}


def row_of(done):
    first, frames, drawing = (np.array(done[name]) for name in ("first_picture_ms", "frames_ms", "drawing_ms"))
    return [
        f"{done['shown']:,}",
        f"{done['bytes'] / 1e6:.2f}",
        f"{done['writing_seconds']:.2f}",
        f"{np.median(first):.0f}",
        f"{np.median(frames):.1f}, {frames.max():.1f}",
        f"{np.median(drawing):.1f}, {drawing.max():.1f}",
    ]


COLUMNS = ["spikes", "MB", "s to write", "ms to the first picture", "frame: median, worst (ms)", "of it drawing"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spikes", type=int, nargs="+", default=[1000, 1_000_000], help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="how often each page is opened (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--pictures", metavar="FOLDER", help="where screenshots go")
    options = options_of(parser, run_case, QUICK)
    report = report_head("viewer", __doc__.splitlines()[0], seed=options.seed, cases=[])
    if chromium.found() is None:
        print("there is no Chromium here", file=sys.stderr)
        return 1
    for n_spikes in options.spikes:
        picture = options.pictures and str(
            pathlib.Path(options.pictures, f"looking_{n_spikes:.0e}.png".replace("+0", ""))
        )
        case = {"spikes": n_spikes, "rounds": options.rounds, "seed": options.seed, "picture": picture}
        report["cases"].append(in_process(__file__, case))
        save(report, options.out)
    failed = [case for case in report["cases"] if "error" in case]
    print(markdown(COLUMNS, [row_of(case) for case in report["cases"] if case not in failed]))
    for case in failed:
        print(case["error"], file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
