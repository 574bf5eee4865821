"""Rows of a Hugging Face data set are a data set as any other."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.data import sources
from resnets.data.decoding import decode
from resnets.data.image_files import ImageFiles
from resnets.data.stored_file import content_of
from resnets.data.streams import ImageStream
from resnets.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def rows(count: int, label: int | None = None, first: int = 0) -> Any:
    """Return rows of images of one grey each, the classes in turn."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    made = []
    for index in range(count):
        content = BytesIO()
        Image.fromarray(np.full((8, 10, 3), 10 * (first + index), np.uint8)).save(content, "PNG")
        made.append({"image": {"bytes": content.getvalue()}, "label": index % 2 if label is None else label})
    return datasets.Dataset.from_list(made, features=features)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `datasets` wrote: three splits, one of them without labels."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    everything = datasets.DatasetDict({"train": rows(6), "validation": rows(4), "test": rows(2, -1)})
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
    with pytest.raises(DataError, match=r"hf:.*/empty: failed to load"):
        sources.load(f"hf:{tmp_path / 'empty'}")


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the Hub keeps it: images to train on in three files, to test on in one."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "pets"
    folder.mkdir()
    for number in range(3):
        rows(6, first=6 * number).to_parquet(str(folder / f"train-{number:05}-of-00003.parquet"))
    rows(4).to_parquet(str(folder / "validation-00000-of-00001.parquet"))
    return folder


def grey(content: bytes) -> int:
    return int(np.asarray(Image.open(BytesIO(content)))[0, 0, 0])


def test_a_stream_has_the_same_images(parquet: Path) -> None:
    """Each with its label, in the order of the files; none is read by itself."""
    streamed, fetched = sources.load(f"hf-stream:{parquet}").train, sources.load(f"hf:{parquet}").train
    assert isinstance(streamed, ImageFiles) and isinstance(fetched, ImageFiles)
    assert isinstance(streamed, ImageStream)
    assert streamed.labels.tolist() == fetched.labels.tolist()
    assert [(sample, held.read()) for sample, held in streamed.numbered()] == [
        (sample, content_of(file)) for sample, file in enumerate(fetched.paths)
    ]
    with pytest.raises(DataError, match="row 2 of file 2 of 3 of split train: a stream is read from the start"):
        content_of(streamed.paths[8])


def test_a_stream_goes_on_in_the_middle_of_an_epoch(parquet: Path) -> None:
    """With no image lost or repeated, in an order that differs from epoch to epoch."""
    train = sources.load(f"hf-stream:{parquet}").train
    assert isinstance(train, ImageFiles)
    whole = [(epoch, grey(held.read())) for epoch, _, held in train.training_stream(0, 0, 36)]
    assert sorted(whole) == [(epoch, 10 * image) for epoch in range(2) for image in range(18)]
    assert [image for _, image in whole[:18]] != [image for _, image in whole[18:]]
    for start in (1, 7, 17, 20):
        assert [(epoch, grey(held.read())) for epoch, _, held in train.training_stream(0, start, 36)] == whole[start:]


def test_a_network_trains_on_a_stream(parquet: Path, tmp_path: Path) -> None:
    """The command's way, to the end: two iterations, and a test in which each image counts once."""
    result = resnets.train(
        "resnet18", f"hf-stream:{parquet}", size=64, batch_size=4, iterations=2, workers=0, out=tmp_path / "run"
    )
    assert json.loads((tmp_path / "run" / "result.json").read_text())["test_samples"] == 4
    assert result.iterations == 2


def test_files_of_other_kinds_are_streamed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of images, of which labels cannot be read by themselves."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for number, (split, name) in enumerate((s, n) for s in ("train", "validation") for n in ("cat", "dog")):
        (tmp_path / "pets" / split / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 10, 3), 10 * number, np.uint8)).save(tmp_path / "pets" / split / name / "1.png")
    splits = sources.load(f"hf-stream:{tmp_path / 'pets'}")
    assert isinstance(splits.test, ImageFiles)
    assert [(sample, grey(held.read())) for sample, held in splits.test.numbered()] == [(0, 20), (1, 30)]
    assert splits.classes == ("cat", "dog")


def test_what_was_saved_to_disk_needs_no_stream(saved: Path) -> None:
    with pytest.raises(DataError, match=r"is here already, and needs no stream: hf:"):
        sources.load(f"hf-stream:{saved}")
