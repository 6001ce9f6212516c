"""Tables for notebooks: what ``_repr_html_`` of networks, results and sweeps is made of."""

import html
import numbers

__all__ = ["page", "table"]


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
    str
        Self-contained, without style sheets or scripts; empty if there are no rows.
    """
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    if not body:
        return ""
    above = f'<caption style="text-align: left">{html.escape(caption)}</caption>' if caption else ""
    head = "".join(f'<th style="text-align: left">{html.escape(str(column))}</th>' for column in columns)
    return f"<table>{above}{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def page(title, *parts):
    """A title in bold over parts: tables, which are there already, or lines of text, which are escaped."""
    below = (part if part.startswith("<table>") else f"<div>{html.escape(part)}</div>" for part in parts if part)
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
