"""Predictions, and their table with the columns of timm's inference script: CSV, JSON, JSON lines or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets.errors import UsageError, import_extra
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

    Raises: UsageError, if it is a folder or of another suffix, or for Parquet where pyarrow is not installed.
    """
    require_file(path)
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"{path}: predictions are written as {', '.join(_FORMATS)}; name a file with such a suffix")
    if path.suffix.lower() == ".parquet":
        import_extra("pyarrow.parquet", "datasets")


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write predictions whole or not at all, in the format of the file's suffix.

    The columns are `filename`, `label` and `prob`; of more than one class, `filename`, `label_0`, `label_1`, ...,
    `prob_0`, `prob_1`, ...

    Raises: UsageError, as `require_table`; RunError, if the file cannot be written.
    """
    require_table(path)
    write_bytes(path, _FORMATS[path.suffix.lower()]([_row(prediction) for prediction in predictions]))


def _row(prediction: Prediction) -> Row:
    name = str(prediction.image).encode("utf-8", "backslashreplace").decode()  # a name of a file may be no UTF-8
    probabilities = [float(str(np.float32(one))) for one in prediction.probabilities]  # in as few digits as it has
    row: Row = {"filename": name}
    columns: tuple[tuple[str, Sequence[str | float]], ...] = (("label", prediction.labels), ("prob", probabilities))
    for column, values in columns:
        row |= {column if len(values) == 1 else f"{column}_{rank}": value for rank, value in enumerate(values)}
    return row


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(rows[0]) if rows else ["filename", "label", "prob"]


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _json(rows: Sequence[Row]) -> bytes:
    """As timm and pandas do by `orient="index"`: an object for each name."""
    by_name = {row["filename"]: {column: row[column] for column in _columns(rows)[1:]} for row in rows}
    return (json.dumps(by_name, indent=4) + "\n").encode()


def _json_lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parquet(rows: Sequence[Row]) -> bytes:
    arrow, parquet = (import_extra(name, "datasets") for name in ("pyarrow", "pyarrow.parquet"))
    kinds = {column: arrow.float32() if column.startswith("prob") else arrow.string() for column in _columns(rows)}
    columns: dict[str, Any] = {column: [row[column] for row in rows] for column in kinds}
    content = io.BytesIO()
    parquet.write_table(arrow.table(columns, schema=arrow.schema(kinds.items())), content)
    return content.getvalue()


_FORMATS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
