"""The table of a sweep: in memory, and in a CSV file that a sweep can go on from."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .. import _html
from ..errors import FileFormatError, ParameterError, StorageError, named_arguments, unknown_name
from ..files.checkpoint import fingerprint

if TYPE_CHECKING:
    from .._types import PathLike

__all__ = [
    "EXTRA",
    "PointFailure",
    "SweepResult",
    "TableFile",
    "cell_of",
    "finished_rows",
    "key_of",
    "plain",
    "value_of",
]

SHOWN_ROWS = 60  # more than these are shortened in str()
SHOWN_WIDTH = 60  # characters of a cell of text
EXTRA = 'pip install "sparseprop-sim[sweep]"'


@dataclass(frozen=True)
class PointFailure:
    """A point of a sweep that has no result.

    Attributes
    ----------
    point : dict
        Its parameters.
    error : str
        Type and message of the exception, as in the column ``error``.
    traceback : str
        Of the exception, where it was raised; empty if a worker died.
    """

    point: dict[str, Any]
    error: str
    traceback: str


@named_arguments
class SweepResult(Sequence[dict[str, Any]]):
    """The table of a sweep: a sequence of rows, each a dict with all columns, in the order of the grid.

    ``result[0]`` is the first row, ``result["rate"]`` the column of that name as a list.

    Attributes
    ----------
    parameters : tuple of str
        The columns that the grid gives.
    columns : tuple of str
        All of them: parameters, what was measured, and ``error``, which is None where all went well. What a row has no
        value for is None.
    failures : tuple of PointFailure
        The points that failed, with tracebacks.
    interrupted : bool
        Whether Ctrl-C ended the sweep; points that had not finished then have no row.
    path : str or None
        The file with the same table.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> def build(seed):
    ...     return sp.balanced_network(100, sp.LIF(tau_m=10.0), outdegree=20, seed=seed)
    >>> with ThreadPoolExecutor(1) as threads:
    ...     result = sp.sweep(build, {"seed": [1, 2]}, n_spikes=100, executor=threads)
    >>> len(result), result[1]["seed"], result[1]["stop_reason"], result.failures
    (2, 2, 'spikes', ())
    """

    parameters: tuple[str, ...]
    columns: tuple[str, ...]
    failures: tuple[PointFailure, ...]
    interrupted: bool
    path: str | None

    def __init__(
        self,
        parameters: Sequence[str],
        rows: Sequence[dict[str, Any]],
        failures: Iterable[PointFailure] = (),
        interrupted: bool = False,
        path: str | None = None,
    ) -> None:
        self.parameters = tuple(parameters)
        self.columns = tuple(columns_of(parameters, rows))
        self.failures, self.interrupted, self.path = tuple(failures), interrupted, path
        self._rows = [{column: row.get(column) for column in self.columns} for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    @overload
    def __getitem__(self, index: str) -> list[Any]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            if index not in self.columns:
                raise unknown_name("column", index, self.columns)
            return [row[index] for row in self._rows]
        return self._rows[index]

    def table(self, max_rows: int | None = None) -> str:
        """The rows as aligned text.

        Parameters
        ----------
        max_rows : int, optional
            Leave out the middle of a longer table; default: show all.
        """
        columns = self._shown_columns()
        lines = [columns] + [[_shown(row[column]) for column in columns] for row in self._rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = [isinstance(_first(row[column] for row in self._rows), str) for column in columns]
        if max_rows is not None and len(self) > max_rows:
            tail = max_rows // 2
            lines[1 + max_rows - tail : len(lines) - tail] = [["..."] * len(columns)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if left else cell.rjust(width)
                for cell, width, left in zip(cells, widths, text, strict=True)
            ).rstrip()
            for cells in lines
        )

    def _ending(self):
        """How many points there are, and what is missing."""
        failed = f", {len(self.failures)} failed" if self.failures else ""
        stopped = ", interrupted: points that had not finished are missing" if self.interrupted else ""
        return f"{len(self)} points{failed}{stopped}"

    def _shown_columns(self):
        return [column for column in self.columns if column != "error" or self.failures]

    def _repr_html_(self):
        columns = self._shown_columns()
        rows = [[_shown_in_html(row[column]) for column in columns] for row in self._rows]
        if len(rows) > SHOWN_ROWS:
            rows[SHOWN_ROWS - SHOWN_ROWS // 2 : -(SHOWN_ROWS // 2)] = [["..."] * len(columns)]
        return _html.page(f"Sweep: {self._ending()}", _html.table(rows, columns))

    def __str__(self) -> str:
        return f"{self.table(SHOWN_ROWS)}\n{self._ending()}"

    def __repr__(self) -> str:
        return f"<SweepResult: {len(self)} points of {', '.join(self.parameters)}, {len(self.failures)} failed>"

    def to_csv(self, path: PathLike) -> None:
        """Write the table as CSV.

        Floats by their repr, None as an empty cell, lists and dicts as JSON, objects as their repr with a digest.

        Raises
        ------
        StorageError
            If it cannot be written; an existing file is then left as it was.
        """
        _write(os.fspath(path), self.columns, self._rows)

    def to_pandas(self) -> Any:
        """The table as a DataFrame; needs pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError(f"to_pandas() needs pandas: run `{EXTRA}`") from error
        return pandas.DataFrame(self._rows, columns=list(self.columns))


def plain(value):
    """A number of NumPy as one of Python; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def key_of(point, parameters):
    """What tells points apart in a file."""
    return tuple((name, cell_of(point[name])) for name in parameters if point.get(name) is not None)


def columns_of(parameters, rows):
    """Names of all columns, the error last."""
    names = dict.fromkeys(itertools.chain(parameters, *rows))
    names.pop("error", None)
    return [*names, "error"]


def cell_of(value):
    """A cell of a file, on one line; `value_of` makes the same of it again, but for things other than plain values."""
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str):
        value = str(value)
        return value if value.isprintable() and value_of(value) == value else json.dumps(value)
    if not isinstance(value, (list, tuple, dict)) and not hasattr(value, "tolist"):
        return cell_of(_object(value))
    with contextlib.suppress(TypeError, ValueError):
        return json.dumps(value, default=lambda one: one.tolist() if hasattr(one, "tolist") else _object(one))
    return cell_of(repr(value))


def _object(value):
    """A text for an object: its repr, and a digest of its description, as other objects may have the same repr."""
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        return f"{value!r} #{fingerprint(value.to_dict())[:12]}"
    return repr(value)


def value_of(text):
    """What a cell means."""
    if text in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[text]
    for kind in (int, float, *([json.loads] if text[0] in '"[{' else [])):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _shown(value):
    """A cell for people."""
    text = f"{value:.6g}" if isinstance(value, (float, np.floating)) else cell_of(value)
    return text if len(text) <= SHOWN_WIDTH else text[: SHOWN_WIDTH - 3] + "..."


def _shown_in_html(value):
    """The same, with numbers as such."""
    value = plain(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if value is None or is_number else _shown(value)


def _first(values):
    return next((value for value in values if value is not None), None)


def _lines(rows):
    """CSV of rows of cells."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(path, columns, rows):
    """Write a table, whole or not at all."""
    path = os.path.realpath(path)
    text = _lines([columns, *([cell_of(row.get(column)) for column in columns] for row in rows)])
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


class TableFile:
    """The table of a sweep that runs: complete after each row, and in order at the end, however it ends."""

    def __init__(self, path, parameters, table):
        self.path, self.parameters, self.table = path, parameters, table
        self.columns = []

    def __enter__(self):
        self.write()
        return self

    def __exit__(self, *error):
        self.write()
        return False

    def write(self):
        rows = self.table()
        self.columns = columns_of(self.parameters, rows)
        _write(self.path, self.columns, rows)

    def add(self, row):
        """A further row; it is in the table already."""
        if not row.keys() <= set(self.columns):
            self.write()
            return
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_lines([[cell_of(row.get(column)) for column in self.columns]]))
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror}") from error


def finished_rows(path, parameters, points):
    """The rows of a file whose points have finished, by the number of the point."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    limit = csv.field_size_limit(len(content) + 1)  # arrays make long cells
    try:
        # A killed process may have left the last line incomplete.
        text = content[: content.rfind(b"\n") + 1].decode()
        header, *lines = csv.reader(text.splitlines(), strict=True)
    except (ValueError, csv.Error) as error:
        raise FileFormatError(f"{path} is no table of a sweep: {error}") from error
    finally:
        csv.field_size_limit(limit)
    if header[-1:] != ["error"] or header[: len(parameters)] != parameters:
        raise ParameterError(
            f"out must be a file of the same sweep to resume it; {path} has the columns {', '.join(header)}, and the "
            f"grid has {', '.join(parameters)}. Give another file, or resume=False to replace it"
        )
    numbers = {key_of(point, parameters): k for k, point in enumerate(points)}
    rows = {}
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise FileFormatError(f"{path} has {len(line)} cells in line {number}, and {len(header)} columns")
        cells = dict(zip(header, line, strict=True))
        # Taken out, as a second row of the same point is one of another sweep, with a parameter more.
        k = numbers.pop(tuple((name, cells[name]) for name in parameters if cells[name]), None)
        if k is None:
            raise ParameterError(
                f"{path} has in line {number} a point that the grid has not, or has once; give another file, or the "
                "whole grid"
            )
        if not cells["error"]:
            rows[k] = points[k] | {name: value_of(cells[name]) for name in header[len(parameters) : -1]}
    return rows
