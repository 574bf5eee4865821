"""Results of many images in a folder of Parquet files: each image once, in order, and only what is missing."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.errors import DataError, RunError, UsageError
from resnets.inference.parts import PartsProgress
from resnets.runtime.locks import Lock

pytest.importorskip("pyarrow")

RUN = "resnet20-digits"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images and, among them, a broken and an empty one."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 256, (9, 9), np.uint8)).save(folder / f"{number:02}.png")
    (folder / "03.png").write_bytes(b"no image")
    (folder / "09.png").write_bytes(b"")
    return folder


@pytest.mark.parametrize("top", [1, 3])
def test_parts_hold_the_predictions_of_all_images_in_order(images: Path, tmp_path: Path, top: int, pandas: Any) -> None:
    """With the columns of `predict`'s table, and an error in place of the classes of what is no image."""
    seen: list[PartsProgress] = []
    done = resnets.predict_into(RUN, f"folder:{images}", tmp_path / "out", top=top, part_images=5, observe=seen.append)
    assert (done.parts, done.images, done.unreadable) == (3, 12, 2)
    assert (seen[-1].images, seen[-1].all_images, seen[-1].parts, seen[-1].all_parts) == (12, 12, 3, 3)
    table = pandas.read_parquet(tmp_path / "out")
    assert table.filename.tolist() == [str(images / f"{number:02}.png") for number in range(12)]
    assert table[table.error.notna()].filename.str[-6:].tolist() == ["03.png", "09.png"]
    good = table[table.error.isna()].drop(columns="error")
    resnets.predict(RUN, good.filename.tolist(), top=top, out=tmp_path / "table.parquet")
    pandas.testing.assert_frame_equal(good.reset_index(drop=True), pandas.read_parquet(tmp_path / "table.parquet"))


def test_features_are_written_in_parts_too(images: Path, tmp_path: Path, pandas: Any) -> None:
    """They are those of `embed`, and `neighbours` searches in them once all are there."""
    done = resnets.embed_into(RUN, images, tmp_path / "out", part_images=7)
    assert (done.parts, done.images, done.unreadable) == (2, 12, 2)
    table = pandas.read_parquet(tmp_path / "out").dropna(subset="features")
    expected = resnets.embed(RUN, table.filename.tolist())
    assert np.stack(table.features) == pytest.approx(expected.features, abs=1e-6)
    query = images / "05.png"
    (found,) = resnets.neighbours(RUN, query, tmp_path / "out", top=10)
    assert (found.names[0], len(found.names)) == (str(query), 10)
    (tmp_path / "out" / "part-000001.parquet").unlink()
    with pytest.raises(DataError, match="out"):
        resnets.neighbours(RUN, query, tmp_path / "out")


def test_without_images_no_folder_is_made(tmp_path: Path) -> None:
    """Nothing to compute is an error, as for a folder without images."""
    for into in (resnets.predict_into, resnets.embed_into):
        with pytest.raises(DataError, match="no images"):
            into(RUN, [], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_only_missing_parts_are_computed(images: Path, tmp_path: Path, pandas: Any) -> None:
    """The others stay as they are; a tar file is one part, whatever it holds."""
    for name, content in (("full", images), ("empty", None)):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            if content is not None:
                tar.add(content, "images")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "full.tar").read_bytes()[:3000])
    tars = [f"webdataset:{tmp_path}/{name}.tar" for name in ("full", "empty", "cut")]
    given, out = [images / "00.png", *tars, images / "01.png"], tmp_path / "out"
    done = resnets.predict_into(RUN, given, out)
    table = pandas.read_parquet(out)
    assert (done.parts, done.images) == (5, len(table))
    assert table.filename.iloc[[0, 1, 12, -1]].tolist() == [
        *(str(images / "00.png"), f"{tmp_path}/full.tar/images/00.png", f"{tmp_path}/full.tar/images/11.png"),
        str(images / "01.png"),
    ]
    (cut,) = table[table.filename == f"{tmp_path}/cut.tar"].error
    assert "cut.tar" in cut
    parts = sorted(out.glob("part-*"))
    parts[1].unlink()
    before = [part.stat().st_mtime_ns for part in parts if part.exists()]
    assert resnets.predict_into(RUN, given, out) == done
    assert [part.stat().st_mtime_ns for part in parts if part != parts[1]] == before
    pandas.testing.assert_frame_equal(pandas.read_parquet(out), table)


def test_a_folder_is_of_one_run(images: Path, tmp_path: Path) -> None:
    """Other images, weights, settings or contents are refused, and so are a folder of other files and one in use."""
    out = tmp_path / "out"
    resnets.predict_into(RUN, images, out)
    for other, match in [
        (lambda: resnets.predict_into(RUN, images / "00.png", out), "listing"),
        (lambda: resnets.predict_into(RUN, images, out, part_images=4), "parts"),
        (lambda: resnets.predict_into(RUN, images, out, min_confidence=0.5), "min_confidence"),
        (lambda: resnets.embed_into(RUN, images, out), "content"),
    ]:
        with pytest.raises(RunError, match=f"{match}.*--out$"):
            other()
    with pytest.raises(RunError, match="00.png"):
        resnets.predict_into(RUN, images, images)
    with Lock(out / ".lock"), pytest.raises(RunError, match="another process"):
        resnets.predict_into(RUN, images, out)
    for where, match in ((images / "00.png", "00.png"), ("s3://bucket/out", "s3")):
        with pytest.raises(UsageError, match=match):
            resnets.predict_into(RUN, images, where)
    for given in (tmp_path / "absent*.png", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=given.name.replace("*", r"\*")):
            resnets.predict_into(RUN, given, tmp_path / "none")
    assert not (tmp_path / "none").exists()
