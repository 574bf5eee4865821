"""Predictions, and their table with the columns of timm's inference script: CSV, JSON, JSON lines or Parquet."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets.errors import DataError, UsageError, import_extra
from resnets.files import require_file, write_bytes

UNSURE = "unsure"
Row = dict[str, str | float]


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, the best first, with their probabilities in [0, 1].

    `image` is its path; a text, if it is on standard input (`-`) or in a shard. `unsure` is whether the best
    probability is below the requested one.
    """

    image: Path | str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    unsure: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, the best one replaced by "unsure" if it is not probable enough."""
        return (UNSURE, *self.classes[1:]) if self.unsure else self.classes


def require_table(path: Path) -> None:
    """Make sure that predictions can be written to a file, before the hours that they take.

    Raises: UsageError, if it is a folder or of another suffix, or for Parquet where pyarrow is not installed; RunError,
        if nothing can be written there.
    """
    require_file(path)
    require_format(path, "predictions", _FORMATS)


def require_format(path: Path, what: str, suffixes: Collection[str]) -> None:
    """Make sure that a file has one of some suffixes, of formats that are installed. Raises: UsageError."""
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: {what} are written as {', '.join(suffixes)}; name a file with such a suffix")
    if path.suffix.lower() == ".parquet":
        import_extra("pyarrow.parquet", "datasets")


def write_predictions(path: Path, predictions: Sequence[Prediction], top: int) -> None:
    """Write predictions of `top` classes whole or not at all, in the format of the file's suffix.

    The columns are `filename`, `label` and `prob`; of more than one class, `filename`, `label_0`, `label_1`, ...,
    `prob_0`, `prob_1`, ..., also where there are no predictions.

    Raises: UsageError, as `require_table`; RunError, if the file cannot be written.
    """
    require_table(path)
    rows = [_row(prediction) for prediction in predictions]
    write_bytes(path, _FORMATS[path.suffix.lower()](rows, columns_of(top)))


def _row(prediction: Prediction) -> Row:
    probabilities = [float(str(np.float32(one))) for one in prediction.probabilities]  # in as few digits as it has
    values: list[str | float] = [writable(prediction.image), *prediction.labels, *probabilities]
    return dict(zip(columns_of(len(probabilities)), values, strict=True))


def writable(name: Path | str) -> str:
    """Return the name of a file as UTF-8, which it may not be, with escapes for what is none."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def columns_of(top: int) -> list[str]:
    """Return the columns of a table of the `top` classes of each image."""
    names = ("label", "prob")
    return ["filename", *(name if top == 1 else f"{name}_{rank}" for name in names for rank in range(top))]


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _json(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    """As timm and pandas do by `orient="index"`: an object for each name; other answers of one name are numbered."""
    by_name: dict[str, Row] = {}
    for row in rows:
        name, answer = str(row["filename"]), {column: row[column] for column in columns[1:]}
        keys = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        by_name.setdefault(next(key for key in keys if by_name.get(key, answer) == answer), answer)
    return (json.dumps(by_name, indent=4) + "\n").encode()


def _json_lines(rows: Sequence[Row], _: Sequence[str]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parquet(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    return parquet_bytes(_arrow(rows, columns))


def arrow_table(results: Sequence[tuple[Path | str, Prediction | DataError]], top: int) -> Any:
    """Return the pyarrow table of the `top` classes of some images, with a column `error` that says why there are none.

    Raises: UsageError, without pyarrow.
    """
    rows: list[Row] = [
        {"filename": writable(name), "error": writable(str(found))} if isinstance(found, DataError) else _row(found)
        for name, found in results
    ]
    return _arrow(rows, [*columns_of(top), "error"])


def _arrow(rows: Sequence[Row], columns: Sequence[str]) -> Any:
    arrow = import_extra("pyarrow", "datasets")
    kinds = {column: arrow.float32() if column.startswith("prob") else arrow.string() for column in columns}
    return arrow.Table.from_pylist(rows, arrow.schema(kinds.items()))


def parquet_bytes(table: Any) -> bytes:
    """Return a pyarrow table as the content of a Parquet file. Raises: UsageError, without pyarrow."""
    content = io.BytesIO()
    import_extra("pyarrow.parquet", "datasets").write_table(table, content)
    return content.getvalue()


_FORMATS: dict[str, Callable[[Sequence[Row], Sequence[str]], bytes]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
