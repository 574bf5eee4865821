"""Tables of predictions have the columns and layouts of timm's inference script."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from resnets.errors import UsageError
from resnets.inference.predictions import Prediction, require_table, write_predictions

NAMES = ("a,b.png", "\udce9.png")  # a comma; and a name that is no UTF-8
SHOWN = ("a,b.png", "\\udce9.png")


def table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table, numbers as numbers."""
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return [{key: float(value) if "prob" in key else value for key, value in row.items()} for row in rows]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return [{"filename": name, **row} for name, row in json.loads(path.read_text()).items()]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
def test_a_table_has_timms_columns(tmp_path: Path, suffix: str) -> None:
    """Of one class filename, label and prob; of more one column for each rank; "unsure" in place of the best class."""
    path = tmp_path / "new" / f"out{suffix}"
    write_predictions(path, [Prediction(name, ("cat",), (0.5,), name == NAMES[1]) for name in NAMES], 1)
    labels = ("cat", "unsure")
    expected = [{"filename": name, "label": label, "prob": 0.5} for name, label in zip(SHOWN, labels, strict=True)]
    assert table(path) == expected
    write_predictions(path, [Prediction(Path("x.png"), ("cat", "dog"), (0.5, 0.25))], 2)
    (row,) = table(path)
    assert list(row.items()) == [
        *(("filename", "x.png"), ("label_0", "cat"), ("label_1", "dog")),
        *(("prob_0", 0.5), ("prob_1", 0.25)),
    ]
    write_predictions(path, [], 2)
    assert table(path) == []
    if suffix == ".csv":
        assert path.read_text() == "filename,label_0,label_1,prob_0,prob_1\n"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_object_of_json_has_each_answer(tmp_path: Path) -> None:
    """Of an image that was given twice it is one; other answers of one name are numbered."""
    found = [Prediction("x", (name,), (0.5,)) for name in ("cat", "dog", "cat", "emu")]
    write_predictions(tmp_path / "out.json", found, 1)
    names = {name: row["label"] for name, row in json.loads((tmp_path / "out.json").read_text()).items()}
    assert names == {"x": "cat", "x (2)": "dog", "x (3)": "emu"}


@pytest.mark.parametrize("name", ["out.txt", "out", "folder.csv"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is predicted: another suffix, none, or a folder."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=name):
        require_table(tmp_path / name)


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra that has it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoArrow(), *sys.meta_path])
    with pytest.raises(UsageError, match=r"pyarrow.*resnets\[datasets\]"):
        require_table(tmp_path / "out.parquet")


class _NoArrow:
    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
