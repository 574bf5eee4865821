"""Rows of a Hugging Face data set are a data set as any other."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.data import sources
from resnets.data.datasets import ImageFiles
from resnets.data.decoding import decode
from resnets.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `datasets` wrote: three splits, one of them without labels."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})

    def split(count: int, label: int | None = None) -> Any:
        rows = []
        for index in range(count):
            content = BytesIO()
            Image.fromarray(np.full((8, 10, 3), 10 * index, np.uint8)).save(content, "PNG")
            rows.append({"image": {"bytes": content.getvalue()}, "label": index % 2 if label is None else label})
        return datasets.Dataset.from_list(rows, features=features)

    everything = datasets.DatasetDict({"train": split(6), "validation": split(4), "test": split(2, -1)})
    everything.save_to_disk(str(tmp_path / "pets"))
    return tmp_path / "pets"


def test_rows_are_images_with_labels(saved: Path) -> None:
    splits = sources.load(f"hf:{saved}")
    assert (splits.name, splits.classes) == ("pets", ("cat", "dog"))
    assert isinstance(splits.train, ImageFiles) and isinstance(splits.test, ImageFiles)
    assert (splits.train.labels.tolist(), len(splits.test)) == ([0, 1, 0, 1, 0, 1], 4)
    assert decode(splits.train.paths[3]).getpixel((0, 0)) == (30, 30, 30)
    assert sources.load(f"hf:{saved}").digest == splits.digest
    assert len(sources.load(f"hf:{saved}@validation,train").test) == 6  # type: ignore[arg-type]


def test_what_cannot_be_is_said(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'tests' \(did you mean test\?\); there are train, validation, test"):
        sources.load(f"hf:{saved}@tests")
    with pytest.raises(DataError, match=r"rows without a class"):
        sources.load(f"hf:{saved}@test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"hf:.*/empty: cannot be loaded"):
        sources.load(f"hf:{tmp_path / 'empty'}")
