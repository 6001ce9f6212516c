"""Tables and pictures for notebooks: what ``_repr_html_`` of networks, results and sweeps is made of."""

import base64
import html
import numbers
import struct
import zlib

__all__ = ["page", "picture", "table"]


class Markup(str):
    """A text that is HTML already."""


def table(rows, columns=(), caption=""):
    """A table as HTML.

    Parameters
    ----------
    rows : iterable of sequences
        Cells: numbers are set flush right (whole ones with commas, others with six digits), None is an empty cell,
        anything else is its `str`, escaped.
    columns : sequence of str, optional
        The head.
    caption : str, optional
        A line above.

    Returns
    -------
    Markup
        Self-contained, without style sheets or scripts; empty if there are no rows.
    """
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    if not body:
        return Markup()
    above = f'<caption style="text-align: left">{html.escape(caption)}</caption>' if caption else ""
    head = "".join(f'<th style="text-align: left">{html.escape(str(column))}</th>' for column in columns)
    return Markup(f"<table>{above}{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>")


def picture(pixels, text):
    """An image as HTML.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
        Red, green and blue.
    text : str
        What it shows, for those who do not see it.

    Returns
    -------
    Markup
        Self-contained: the image is a PNG in it.
    """
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # no filter
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines, 9))]
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in [*chunks, (b"IEND", b"")]:
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    code = base64.b64encode(data).decode("ascii")
    return Markup(
        f'<img alt="{html.escape(text)}" width="{width}" height="{height}" src="data:image/png;base64,{code}">'
    )


def page(title, *parts):
    """A title in bold over parts: tables and pictures, or lines of text, which are escaped."""
    below = (part if isinstance(part, Markup) else f"<div>{html.escape(part)}</div>" for part in parts if part)
    return f"<div><b>{html.escape(title)}</b>{''.join(below)}</div>"


def _cell(value):
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is None:
        text = ""
    elif is_number:
        text = f"{value:,}" if isinstance(value, numbers.Integral) else f"{value:.6g}"
    else:
        text = str(value)
    return f'<td style="text-align: {"right" if is_number else "left"}">{html.escape(text)}</td>'
