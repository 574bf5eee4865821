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
    """Rows have their images, labels and class names."""
    splits = sources.load(f"hf:{saved}")
    assert (splits.name, splits.classes) == ("pets", ("cat", "dog"))
    assert isinstance(splits.train, ImageFiles) and isinstance(splits.test, ImageFiles)
    assert (splits.train.labels.tolist(), len(splits.test)) == ([0, 1, 0, 1, 0, 1], 4)
    assert decode(splits.train.paths[3]).getpixel((0, 0)) == (30, 30, 30)
    assert sources.load(f"hf:{saved}").digest == splits.digest
    assert len(sources.load(f"hf:{saved}@validation,train").test) == 6  # type: ignore[arg-type]


def test_a_folder_has_its_name_by_every_path(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From within it too."""
    monkeypatch.chdir(saved)
    assert sources.load("hf:.").name == sources.load("hf:../pets").name == "pets"


@pytest.mark.parametrize("named", ["validation", "valid", "val"])
def test_with_a_validation_and_a_test_split_both_are_used(tmp_path: Path, named: str) -> None:
    """As of a folder: one for choices, one for the test; a split that is named is used alone."""
    source = table(tmp_path, **{"train": rows(6), named: rows(4), "test": rows(2)})
    splits = sources.load(source)
    assert [splits.validation and len(splits.validation), len(splits.test)] == [4, 2]
    assert f"validated on split {named}, tested on split test" in splits.roles
    alone = sources.load(f"{source}@{named}")
    assert (alone.validation, len(alone.test)) == (None, 4) and alone.digest != splits.digest


def test_a_test_split_without_classes_is_not_used(saved: Path) -> None:
    """Its labels are -1, as those of a competition: the validation split is tested on, and a note says so."""
    splits = sources.load(f"hf:{saved}")
    assert (splits.validation, len(splits.test)) == (None, 4)
    assert any("split test" in note for note in splits.notes)


def test_what_cannot_be_is_said(saved: Path, tmp_path: Path) -> None:
    """An unknown split, a row without a class and an empty folder are errors that name them."""
    with pytest.raises(DataError, match="'tests'.*train, validation, test"):
        sources.load(f"hf:{saved}@tests")
    with pytest.raises(DataError, match=r"split test, row 0: .*-1"):
        sources.load(f"hf:{saved}@test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"hf:.*/empty: "):
        sources.load(f"hf:{tmp_path / 'empty'}")


def table(tmp_path: Path, **splits: Any) -> str:
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "table"))
    return f"hf:{tmp_path / 'table'}"


def relabelled(names: list[str], labels: list[Any], **columns: Any) -> Any:
    """Return rows whose column `label` has these names and numbers, and other columns by their names."""
    datasets = pytest.importorskip("datasets")
    made = rows(len(labels)).remove_columns("label")
    made = made.add_column("label", labels, feature=datasets.ClassLabel(names=names))
    for name, (values, feature) in columns.items():
        made = made.add_column(name, values, feature=feature)
    return made


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    """A split that lists them in another order, or only some of them, is tested by the same classes."""
    train = relabelled(["red", "green", "blue"], [0, 1, 2, 0])
    test = relabelled(["blue", "red"], [0, 1, 0])
    splits = sources.load(table(tmp_path, train=train, test=test))
    assert splits.classes == ("red", "green", "blue")
    assert splits.test.labels is not None and splits.test.labels.tolist() == [2, 0, 2]
    assert any("split test" in note for note in splits.notes)


def test_a_class_that_only_the_test_split_has_is_refused(tmp_path: Path) -> None:
    """Classes of the test split are those of the training split."""
    train, test = relabelled(["red", "green"], [0, 1]), relabelled(["green", "blue"], [0, 1])
    with pytest.raises(DataError, match="split test: class 'blue'"):
        sources.load(table(tmp_path, train=train, test=test))


@pytest.mark.parametrize(
    ("columns", "named", "expected"),
    [
        ({"image_id": "int", "label": "int"}, "", "label"),
        ({"coarse": "class", "fine_label": "class"}, "", "fine_label"),
        ({"image_id": "int", "species": "class"}, "", "species"),
        ({"image_id": "int"}, "", "image_id"),
        ({"coarse": "class", "species": "class"}, "#coarse", "coarse"),
        ({"coarse": "class", "species": "class"}, "", "columns coarse, species are all class labels"),
        ({"image_id": "int", "size": "int"}, "", "columns image_id, size are all integers"),
        ({"coarse": "class", "name": "text"}, "#name", "no column of classes 'name'"),
        ({"name": "text"}, "", "a column of class labels is needed"),
    ],
)
def test_the_column_of_the_classes_is_never_guessed(
    tmp_path: Path, columns: dict[str, str], named: str, expected: str
) -> None:
    """The usual names come first, then the only candidate, and among several an option decides; else it is refused."""
    datasets = pytest.importorskip("datasets")
    kinds = {
        "int": datasets.Value("int64"),
        "class": datasets.ClassLabel(names=["a", "b"]),
        "text": datasets.Value("string"),
    }
    made = rows(2).remove_columns("label")
    for number, (name, kind) in enumerate(columns.items()):
        values = ["a", "b"] if kind == "text" else [number % 2, 1]
        made = made.add_column(name, values, feature=kinds[kind])
    source = table(tmp_path, train=made, test=made) + named
    if expected not in columns:
        with pytest.raises(DataError, match=expected):
            sources.load(source)
        return
    splits = sources.load(source)
    assert splits.train.labels is not None
    assert splits.train.labels.tolist() == [list(columns).index(expected) % 2, 1]
    assert len(columns) == 1 or named or expected == "label" or any(expected in note for note in splits.notes)


@pytest.mark.parametrize("what", ["label", "image"])
def test_nulls_are_refused_by_split_and_row(tmp_path: Path, what: str) -> None:
    """A row without a class, or without an image, naming where."""
    datasets = pytest.importorskip("datasets")
    whole = rows(4)
    table_rows = whole.cast_column("image", datasets.Image(decode=False)).to_list()
    table_rows[2] = (
        table_rows[2]
        | {
            "label": {"label": None},
            "image": {"image": None},
            "content": {"image": {"bytes": None, "path": None}},
        }[what]
    )
    broken = datasets.Dataset.from_list(table_rows, features=whole.features)
    with pytest.raises(DataError, match=r"split test, row 2: there is no (class|image)"):
        sources.load(table(tmp_path, train=whole, test=broken))


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
    with pytest.raises(DataError, match="row 2 of file 2 of 3 of split train"):
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
    """A data set on disk is read as files, not as a stream."""
    with pytest.raises(DataError, match=r" hf:"):
        sources.load(f"hf-stream:{saved}")
