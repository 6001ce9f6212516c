"""The picture of docs/architecture.md, and the list of what imports what in it, from the imports in the sources.

    python docs/architecture.py docs

Draws docs/architecture.svg and writes the list into docs/architecture.md. The order of the layers, and how imports are
read (of modules, within functions, cimports), is that of tests/test_package.py, so that there is one opinion on both.
"""

import argparse
import itertools
import pathlib
import sys
import textwrap

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
import test_package
from test_package import LAYERS, SOURCES, UNITS, arrows

WAIST = "engine.input"  # which has a place of its own, below the rest of its folder
MODULES = [*SOURCES, *UNITS]
COMPILED, MIXED, PYTHON, NARROW, LINES, TO_WAIST, BAND = (
    "#fbd0ae",
    "#fdf0e0",
    "#dde9f7",
    "#ffd84d",
    "#556",
    "#c08a00",
    "#f3f3f3",
)
SWEEPS = 60
LINE, MARGIN, GAP, BETWEEN = 0.155, 0.12, 0.16, 0.40  # inches: a line, around text, between boxes, and rows
LETTER = 0.075  # of its width, about
BEGIN, END = "<!-- begin: by architecture.py -->\n", "<!-- end: by architecture.py -->\n"


# What is drawn --------------------------------------------------------------------------------------------------------


def place_of(module):
    """Where a module is in the order of layers: by itself, or with its package."""
    return module if module == WAIST else test_package.place_of(module)


def imports_of_places():
    """What each place imports from others."""
    found = {}
    for module, imported in arrows().items():
        found.setdefault(place_of(module), set()).update(map(place_of, imported))
    return {place: others - {place} for place, others in found.items()}


def is_compiled(module):
    """Whether a module is Cython: a .pyx, a header, what several include, or what setup.py writes."""
    return module in UNITS or any(path.suffix in (".pyx", ".pxd", ".pxi") for path in SOURCES[module])


def is_package(module):
    """Whether a module is the `__init__` of a folder with others."""
    return module != "sparseprop" and any(path.name == "__init__.py" for path in SOURCES.get(module, ()))


def rows_of_places():
    """The layers from above to below; the headers at the top level of a layer share a box, a tuple."""
    rows = []
    for layer in reversed(LAYERS):
        headers = sorted(place for place in layer if all(path.suffix == ".pxd" for path in SOURCES[place]))
        boxes = [(place,) for place in sorted(layer - set(headers))]
        rows.append(boxes + ([tuple(headers)] if headers else []))
        if WAIST.partition(".")[0] in layer:
            rows.append([(WAIST,)])
    return rows


def arrows_of(rows):
    """(from, to) of the boxes, without arrows that a longer way says already; but all to the waist."""
    box_of = {place: box for row in rows for box in row for place in box}
    direct = {box: set() for row in rows for box in row}
    for place, imported in imports_of_places().items():
        direct[box_of[place]] |= {box_of[other] for other in imported} - {box_of[place]}
    below = {}
    for row in reversed(rows):
        for box in row:
            below[box] = direct[box].union(*(below[other] for other in direct[box]))
    return [
        (box, other)
        for box in direct
        for other in sorted(direct[box])
        if other == (WAIST,) or not any(other in below[between] for between in direct[box])
    ]


def name_of(arrow):
    """How an arrow is called in the picture's source."""
    return "->".join("+".join(box) for box in arrow)


# Where it stands ------------------------------------------------------------------------------------------------------


class Node:
    """A box, or a point of a long arrow in a row that it passes."""

    def __init__(self, box=None):
        self.box, self.above, self.below, self.x, self.rank = box, [], [], 0.0, 0.5
        self.title, self.lines = text_of(box) if box else ("", [])
        longest = max(map(len, [self.title, *self.lines]))
        self.width = LETTER * longest + 2 * MARGIN if box else 0.05
        self.height = LINE * (1 + len(self.lines)) + 2 * MARGIN if box else 0.0


def text_of(box):
    """A title, and lines with the files."""
    if len(box) > 1:
        return "headers (.pxd)", textwrap.wrap(", ".join(box), 44)
    (place,) = box
    inside = sorted(module[len(place) + 1 :] for module in MODULES if module != place and place_of(module) == place)
    if inside:
        return place.replace(".", "/") + "/", textwrap.wrap(", ".join(inside), 44)
    suffix = max(path.suffix for path in SOURCES[place] if path.suffix != ".pyi")  # .pyx before .pxd
    lines = ["the waist: a network in plain numbers"] if place == WAIST else []
    return ("__init__" if place == "sparseprop" else place.replace(".", "/")) + suffix, lines


def laid_out(rows, links):
    """Rows of nodes with their places, and of each arrow its nodes from above to below."""
    nodes = {box: Node(box) for row in rows for box in row}
    grid = [[nodes[box] for box in row] for row in rows]
    row_of = {box: k for k, row in enumerate(rows) for box in row}
    ways = {}
    for upper, lower in links:
        way = [nodes[upper], *(Node() for _ in range(row_of[upper] + 1, row_of[lower])), nodes[lower]]
        for k, (a, b) in enumerate(itertools.pairwise(way), row_of[upper]):
            a.below.append(b)
            b.above.append(a)
            if b.box is None:
                grid[k + 1].append(b)
        ways[upper, lower] = way
    best = None
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        for row in grid if downward else reversed(grid):
            for node in row:
                node.wanted = mean([other.rank for other in (node.above if downward else node.below)], node.rank)
            row.sort(key=lambda node: node.wanted)
            for k, node in enumerate(row):
                node.rank = (k + 0.5) / len(row)
        crossings = sum(map(n_crossings, grid))
        if best is None or crossings < best[0]:
            best = crossings, [list(row) for row in grid]
    grid = best[1]
    swap(grid)
    for sweep in range(SWEEPS):
        for row in grid if sweep % 2 else reversed(grid):
            put(row, [mean([other.x for other in node.above + node.below], 0.0) for node in row])
    return grid, ways


def swap(grid):
    """Swap neighbours in a row as long as fewer arrows cross then."""
    for row in grid:
        for k, node in enumerate(row):
            node.rank = k
    fewest, before = sum(map(n_crossings, grid)), None
    while fewest != before:
        before = fewest
        for row in grid:
            for k in range(len(row) - 1):
                row[k].rank, row[k + 1].rank = k + 1, k
                crossings = sum(map(n_crossings, grid))
                if crossings < fewest:
                    fewest = crossings
                    row[k], row[k + 1] = row[k + 1], row[k]
                else:
                    row[k].rank, row[k + 1].rank = k, k + 1


def mean(values, otherwise):
    """The mean, of something."""
    return sum(values) / len(values) if values else otherwise


def n_crossings(row):
    """How many arrows to the next row cross."""
    ends = [(node.rank, other.rank) for node in row for other in node.below]
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in itertools.combinations(ends, 2))


def put(row, wanted):
    """Put the nodes of a row near where they are wanted, in their order and apart: least squares."""
    offsets = [0.0]
    for a, b in itertools.pairwise(row):
        offsets.append(offsets[-1] + (a.width + b.width) / 2 + GAP)
    blocks = []  # of nodes that touch: sum, and how many
    for x, offset in zip(wanted, offsets, strict=True):
        blocks.append([x - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, n = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += n
    places = [total / n for total, n in blocks for _ in range(n)]
    for node, place, offset in zip(row, places, offsets, strict=True):
        node.x = place + offset


# How it looks ---------------------------------------------------------------------------------------------------------


def draw(path):
    """Draw the picture."""
    plt.rcParams |= {"svg.hashsalt": "sparseprop", "font.family": "DejaVu Sans"}  # the same bytes each time
    rows = rows_of_places()
    grid, ways = laid_out(rows, arrows_of(rows))
    y = 0.0
    for row in grid:
        height = max(node.height for node in row)
        for node in row:
            node.top, node.bottom = y - (height - node.height) / 2, y - (height + node.height) / 2
            if node.box is None:
                node.top, node.bottom = y, y - height
        y -= height + BETWEEN
    left = min(node.x - node.width / 2 for row in grid for node in row) - GAP
    right = max(node.x + node.width / 2 for row in grid for node in row) + GAP
    low, high = y + BETWEEN - GAP, GAP
    figure = plt.figure(figsize=(right - left, high - low))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(low, high))
    ax.set_axis_off()
    for row in grid[::2]:
        ax.axhspan(min(node.bottom for node in row) - BETWEEN / 2, max(node.top for node in row) + BETWEEN / 2, fc=BAND)
    for arrow, way in ways.items():
        colour, width = (TO_WAIST, 1.6) if arrow[1] == (WAIST,) else (LINES, 0.8)
        look = {"arrowstyle": "-|>", "mutation_scale": 8, "color": colour, "lw": width}
        ax.add_patch(FancyArrowPatch(path=curve(way), gid=name_of(arrow), **look))
    for node in itertools.chain(*grid):
        if node.box is not None:
            draw_box(ax, node)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def curve(way):
    """From the lower edge of a box to the upper edge of another, vertical in each row."""
    points, codes = [], []
    for a, b in itertools.pairwise(way):
        start, end = (port(a, a.below, b), a.bottom), (port(b, b.above, a), b.top)
        middle = (start[1] + end[1]) / 2
        points += [start, (start[0], middle), (end[0], middle), end]
        codes += [Path.LINETO if codes else Path.MOVETO, *[Path.CURVE4] * 3]
    return Path(points, codes)


def port(node, others, other):
    """Where on its edge an arrow leaves a node, or comes in: in the order of where they go or come from."""
    k = sorted(others, key=lambda node: node.x).index(other)
    return node.x + node.width * 0.8 * ((k + 0.5) / len(others) - 0.5)


def draw_box(ax, node):
    """A box with its title and its files."""
    kinds = {is_compiled(m) for m in MODULES if place_of(m) in node.box and not is_package(m)}
    colour = NARROW if node.box == (WAIST,) else PYTHON if kinds == {False} else COMPILED if kinds == {True} else MIXED
    corner = (node.x - node.width / 2, node.bottom)
    ax.add_patch(FancyBboxPatch(corner, node.width, node.height, "round,pad=0,rounding_size=0.06", fc=colour, ec=LINES))
    for k, line in enumerate([node.title, *node.lines]):
        y = node.top - MARGIN - LINE * (k + 0.5)
        ax.text(node.x, y, line, ha="center", va="center", size=9 if k == 0 else 8, weight="bold" if k == 0 else None)


# The list -------------------------------------------------------------------------------------------------------------


def listed():
    """What imports what, as a list from above to below."""
    order = [place for row in rows_of_places() for box in row for place in box]
    found = imports_of_places()
    return "".join(
        f"- `{place}`: {', '.join(f'`{other}`' for other in order if other in found[place]) or 'nothing'}\n"
        for place in order
    )


def with_list(text):
    """The page with the list as the sources have it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + listed() + END + after


def main():
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    draw(folder / "architecture.svg")
    page = folder / "architecture.md"
    page.write_text(with_list(page.read_text()))


if __name__ == "__main__":
    main()
