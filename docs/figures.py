"""The code of pages: runs it, and draws the figures that tutorials and how-tos show.

``python docs/figures.py`` draws them anew, ``python docs/figures.py first_raster`` those of one page. With ``--print``
what the code prints now is written into the pages. ``python docs/figures.py --gallery`` runs examples for theirs.
"""

import contextlib
import io
import os
import re
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
BLOCKS = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<said>.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def run_page(text):
    """Runs the Python of a page, block after block; yields the match of each, and what it printed."""
    names = {"__name__": "__main__"}
    for block in BLOCKS.finditer(text):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block["code"], "a block of the page", "exec"), names)
        yield block, printed.getvalue()


def pages():
    """Pages all of whose Python runs, as one script each."""
    found = [*DOCS.glob("tutorials/*.md"), *DOCS.glob("howto/*.md"), DOCS / "steering.md"]
    return sorted(page for page in found if BLOCKS.search(page.read_text()))


def draw(page, new_text=False):
    text, folder = page.read_text(), os.getcwd()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            changes = [(block, printed) for block, printed in run_page(text)]
        finally:
            os.chdir(folder)
        for picture in Path(empty).glob("*.png"):
            if f"({picture.name})" in text:
                shutil.copy(picture, page.parent)
    for block, printed in reversed(changes if new_text else []):
        if block["said"] is not None:
            text = text[: block.start("said")] + printed + text[block.end("said") :]
    page.write_text(text)


# Examples whose figures are in no page: what makes an Axes of what `main` returns, where that draws nothing itself.
GALLERY = {
    "excitatory_inhibitory": None,
    "from_matrix": None,
    "connectome": None,
    "microcircuit": None,
    "sweep_rate": None,
    "replay": lambda runs: runs[0].plot_raster(neurons=200),
    "digits": lambda trainer: trainer.history.plot(),
    "learned_delays": None,
}


def draw_gallery(names):
    folder, target = os.getcwd(), DOCS / "gallery"
    for name in names or GALLERY:
        with tempfile.TemporaryDirectory() as empty:
            os.chdir(empty)
            try:
                main = runpy.run_path(str(DOCS.parent / "examples" / f"{name}.py"))["main"]
                shown = main()
                if GALLERY[name] is not None:
                    GALLERY[name](shown).figure.savefig(f"{name}.png")
                else:
                    shrink(Path(f"{name}.png"))
                shutil.copy(f"{name}.png", target)
            finally:
                os.chdir(folder)


def shrink(path, width=900):
    """A picture of a script, no wider than a page."""
    from PIL import Image  # which matplotlib brings

    picture = Image.open(path).convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, picture.height * width // picture.width), Image.Resampling.LANCZOS)
    picture.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("Agg")
    if "--gallery" in sys.argv:
        (DOCS / "gallery").mkdir(exist_ok=True)
        draw_gallery([name for name in sys.argv[1:] if not name.startswith("--")])
        sys.exit()
    wanted = [name for name in sys.argv[1:] if not name.startswith("--")]
    for page in pages():
        if not wanted or page.stem in wanted:
            draw(page, "--print" in sys.argv)
            print(page.relative_to(DOCS))
