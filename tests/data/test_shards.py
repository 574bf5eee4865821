"""Shards hold the data set that they were written from, byte for byte, and notice what happened to them since."""

from __future__ import annotations

import dataclasses
import json
import re
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnets.data import folder, shard_writer, sources, webdataset
from resnets.data.image_files import ImageFiles
from resnets.data.loading import Batching
from resnets.data.normalization import fit_photos
from resnets.data.splits import DataSplits
from resnets.data.stored_file import content_of
from resnets.data.streams import ImageStream
from resnets.errors import DataError, RunError, UsageError
from resnets.runtime.processes import Share
from resnets.specs import Preprocessing, ScaleCropFlip

MakePhotos = Callable[..., Path]
SMALL = 20_000  # bytes of a shard: about eight images
HOW = ScaleCropFlip(shortest=28, longest=40, crop=24)


@pytest.fixture
def photos(make_photos: MakePhotos) -> DataSplits:
    return folder.load(make_photos(train=8, val=3))


@pytest.fixture
def written(photos: DataSplits, tmp_path: Path) -> Path:
    shard_writer.write(photos, tmp_path / "shards", size=SMALL)
    return tmp_path / "shards"


def images_of(split: object) -> tuple[list[bytes], list[int]]:
    assert isinstance(split, ImageFiles)
    return [content_of(file) for file in split.paths], split.labels.tolist()


def batches_of(splits: DataSplits, start: int = 0, stop: int = 6, workers: int = 0) -> list[Any]:
    input_spec = fit_photos(splits.train.paths, Preprocessing(mean="channel"), size=24, resize=32)  # type: ignore[arg-type]
    batches = splits.train.training_batches(input_spec, HOW, Batching(batch_size=7, seed=3, workers=workers)).batches(
        start, stop
    )
    return [(images.numpy().tobytes(), labels.tolist()) for images, labels in batches]


# ---------------------------------------------------------------- written and read


def test_the_same_images_in_the_same_order(photos: DataSplits, written: Path) -> None:
    """With the same digest and name, so that a run begun on the folder can go on from the shards."""
    splits = sources.load(f"webdataset:{written}")
    assert images_of(splits.train) == images_of(photos.train)
    assert images_of(splits.test) == images_of(photos.test)
    assert (splits.digest, splits.name, splits.classes) == (photos.digest, photos.name, photos.classes)
    assert len(list(written.glob("train-*.tar"))) > 2


@pytest.mark.parametrize("workers", [0, 2])
def test_training_sees_what_it_sees_from_single_files(photos: DataSplits, written: Path, workers: int) -> None:
    """At any iteration of any epoch: all that is promised of resumption holds."""
    splits = sources.load(f"webdataset:{written}")
    whole = batches_of(photos)
    assert batches_of(splits, workers=workers) == whole
    assert batches_of(splits, start=4, workers=workers) == whole[4:]


def test_the_library_reads_them(photos: DataSplits, written: Path) -> None:
    """webdataset itself finds in each sample the image and its class; those to train on are mixed."""
    iterators = pytest.importorskip("webdataset.tariterators")  # WebDataset itself leaves files open
    samples = []
    for path in sorted(written.glob("train-*.tar")):
        with open(path, "rb") as file:
            samples += list(iterators.group_by_keys(iterators.tar_file_expander([{"url": str(path), "stream": file}])))
    contents, labels = images_of(photos.train)
    found = {sample["jpg"]: int(sample["cls"]) for sample in samples}
    assert found == dict(zip(contents, labels, strict=True))
    order = [int(sample["cls"]) for sample in samples]
    assert order != sorted(order)


def test_the_manifest_tells_everything(photos: DataSplits, written: Path) -> None:
    """It has classes, counts, sizes and hashes of each shard."""
    manifest = json.loads((written / "manifest.json").read_text())
    train = manifest["splits"]["train"]
    assert (manifest["kind"], manifest["version"]) == ("shards", 1)
    assert manifest["classes"] == ["cat", "dog", "emu"]
    assert train["samples"] == 24 == sum(len(shard["samples"]) for shard in train["shards"])
    for shard in train["shards"]:
        import hashlib

        content = (written / shard["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
    with tarfile.open(written / "val-000000.tar") as tar:
        assert tar.getnames()[:2] == ["00000000-000.jpg", "00000000-000.cls"]
    assert not [path.name for path in written.iterdir() if path.suffix == ".json" and path.name != "manifest.json"]


def test_the_same_images_make_the_same_bytes(photos: DataSplits, written: Path, tmp_path: Path) -> None:
    """Shards that are written again are equal byte for byte."""
    shard_writer.write(photos, tmp_path / "again", size=SMALL)
    for path in written.glob("*.tar"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


# ---------------------------------------------------------------- interrupted, repeated, refused


def test_what_was_interrupted_goes_on(photos: DataSplits, written: Path, tmp_path: Path) -> None:
    """The shards that were whole are kept, and what comes out is what an uninterrupted call writes."""

    class Stop(Exception):
        pass

    calls: list[int] = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            raise Stop

    with pytest.raises(Stop):
        shard_writer.write(photos, tmp_path / "again", size=SMALL, progress=stop)
    assert not (tmp_path / "again" / "manifest.json").exists()
    with pytest.raises(DataError, match=r"no .*/again/manifest.json: 2 of 7 shards"):
        sources.load(f"webdataset:{tmp_path / 'again'}")
    (tmp_path / "again" / ".train-000002.tar.partial").write_bytes(b"torn")
    result = shard_writer.write(photos, tmp_path / "again", size=SMALL)
    assert result.kept == 2
    assert json.loads((tmp_path / "again" / "manifest.json").read_text()) == json.loads(
        (written / "manifest.json").read_text()
    )


def test_a_second_call_has_nothing_to_do(photos: DataSplits, written: Path) -> None:
    """Shards that exist are kept, untouched."""
    before = {path: path.stat().st_mtime_ns for path in written.glob("*.tar")}
    result = shard_writer.write(photos, written, size=SMALL)
    assert result.kept == result.shards == len(before)
    assert {path: path.stat().st_mtime_ns for path in written.glob("*.tar")} == before


def test_shards_of_other_images_are_not_overwritten(photos: DataSplits, written: Path, make_photos: MakePhotos) -> None:
    """Other images or another shard size are an error."""
    other = folder.load(make_photos("other", train=3))
    with pytest.raises(DataError, match=re.escape(str(written))):
        shard_writer.write(other, written, size=SMALL)
    with pytest.raises(DataError, match=re.escape(str(written))):
        shard_writer.write(photos, written, size=2 * SMALL)


def test_a_shard_is_written_by_one_process_at_a_time(photos: DataSplits, tmp_path: Path) -> None:
    """One that another process writes is an error that names it; the others can be written meanwhile."""
    import filelock

    with filelock.FileLock(tmp_path / ".train-000001.tar.lock"):
        with pytest.raises(RunError, match=r"train-000001.tar: another process"):
            shard_writer.write(photos, tmp_path, size=SMALL)
        assert shard_writer.write(photos, tmp_path, size=SMALL, share=Share(0, 2)).kept == 1


# ---------------------------------------------------------------- by several jobs


def test_parts_are_together_what_one_call_writes(photos: DataSplits, written: Path, tmp_path: Path) -> None:
    """In any order, of any number, also of several numbers in one folder: the same files, each image once."""
    parts = [Share(2, 3), Share(0, 3), Share(0, 2), Share(1, 2), Share(8, 9)]
    missing = [shard_writer.write(photos, tmp_path / "parts", size=SMALL, share=part).missing for part in parts]
    assert missing == [(1, 2), (2,), (2,), (), ()]
    files = {path.name: path.read_bytes() for path in written.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()} == files
    assert images_of(sources.load(f"webdataset:{tmp_path / 'parts'}").train) == images_of(photos.train)


def test_parts_at_the_same_time(photos: DataSplits, written: Path, tmp_path: Path) -> None:
    """Of four that start together each writes its own, and the last to end writes the manifest."""
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(shard_writer.write, photos, tmp_path, size=SMALL, share=Share(rank, 4)) for rank in range(4)
        ]
        assert sum(call.result().shards for call in calls) == len(list(written.glob("*.tar")))
    assert (tmp_path / "manifest.json").read_bytes() == (written / "manifest.json").read_bytes()


def test_a_part_of_other_images_is_refused_at_its_start(
    photos: DataSplits, tmp_path: Path, make_photos: MakePhotos
) -> None:
    """Also where no part has written a shard yet: what is written is known from the first moment."""

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        shard_writer.write(photos, tmp_path / "parts", size=SMALL, share=Share(0, 2), progress=stop)
    (first,) = (tmp_path / "parts").glob("*.tar")
    first.unlink(), (tmp_path / "parts" / f".{first.name}.json").unlink()
    with pytest.raises(DataError, match="other images"):
        shard_writer.write(
            folder.load(make_photos("other", train=3)), tmp_path / "parts", size=SMALL, share=Share(1, 2)
        )
    assert not list((tmp_path / "parts").glob("*.tar"))


@pytest.mark.parametrize("part", ["5/4", "0/4", "1/0", "1", "a/b", "-1/2"])
def test_parts_that_are_none(part: str, tmp_path: Path) -> None:
    """A usage error that names it, before anything is read."""
    with pytest.raises(UsageError, match=re.escape(part)):
        shard_writer.shard_data("folder:/absent", tmp_path, part=part)


def test_only_files_are_sharded(tmp_path: Path) -> None:
    """Data in memory is refused with its name."""
    with pytest.raises(UsageError, match="digits.* memory"):
        shard_writer.write(sources.load("digits"), tmp_path, size=SMALL)


# ---------------------------------------------------------------- damaged


def test_a_shard_that_is_missing_or_cut_is_refused_at_once(written: Path) -> None:
    """The error names the shard, before training."""
    path = written / "train-000001.tar"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"train-000001.tar: .*[\d,]+ bytes instead of [\d,]+"):
        sources.load(f"webdataset:{written}")
    path.unlink()
    with pytest.raises(DataError, match="train-000001.tar: "):
        sources.load(f"webdataset:{written}")


def test_a_changed_byte_is_noticed_when_it_is_read(written: Path) -> None:
    """Which a JPEG decoder may well not notice."""
    splits = sources.load(f"webdataset:{written}")
    assert isinstance(splits.train, ImageFiles)
    member: Any = splits.train.paths[5]
    content = bytearray(Path(member.shard).read_bytes())
    content[member.offset + member.size // 2] ^= 1
    Path(member.shard).write_bytes(content)
    with pytest.raises(DataError, match=r"train-\d+.tar, byte [\d,]+"):
        batches_of(splits)


# ---------------------------------------------------------------- shards of others


def tar_of(path: Path, samples: list[dict[str, bytes]]) -> None:
    numbered = [(number, *one) for number, sample in enumerate(samples) for one in sample.items()]
    tar_members(path, [(f"some/where/{number:03}.{suffix}", content) for number, suffix, content in numbered])


def tar_members(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))


@pytest.mark.parametrize("braces", ["{0..1}", "{0,1}"])
def test_shards_without_a_manifest_are_indexed(photos: DataSplits, tmp_path: Path, braces: str) -> None:
    """By brace patterns, with classes in .cls or .json files."""
    pytest.importorskip("webdataset")
    contents, labels = images_of(photos.train)
    for part in range(2):
        chosen = range(part * 12, part * 12 + 12)
        tar_of(tmp_path / f"train-{part}.tar", [{"jpg": contents[i], "cls": b"%d" % labels[i]} for i in chosen])
    tar_of(tmp_path / "test.tar", [{"json": b'{"label": 2}', "JPEG": contents[-1], "txt": b"an emu"}])
    splits = sources.load(f"webdataset:{tmp_path}/train-{braces}.tar,{tmp_path}/test.tar")
    assert images_of(splits.train) == (contents, labels)
    assert images_of(splits.test) == (contents[-1:], [2])
    assert splits.classes == ("0", "1", "2")


def test_gzipped_shards_are_read(photos: DataSplits, tmp_path: Path) -> None:
    """From their start, as remote ones; their content decides, not their name."""
    contents, labels = images_of(photos.train)
    samples = [{"jpg": content, "cls": b"%d" % label} for content, label in zip(contents, labels, strict=True)]
    tar_of(tmp_path / "train.tar.gz", samples)
    (tmp_path / "train.tar.gz").rename(tmp_path / "train.tar")
    tar_of(tmp_path / "val.tar", samples[:2])
    splits = sources.load(f"webdataset:{tmp_path}/train.tar,{tmp_path}/val.tar")
    assert isinstance(splits.train, ImageStream) and not splits.train.random_access
    assert [file.read() for _, file in splits.train.numbered()] == contents
    assert splits.train.labels.tolist() == labels
    cut = (tmp_path / "train.tar").read_bytes()[:-100]
    (tmp_path / "train.tar").write_bytes(cut)
    with pytest.raises(DataError, match=r"train\.tar"):
        list(splits.train.numbered())
    with pytest.raises(DataError, match=r"train\.tar: "):
        sources.load(f"webdataset:{tmp_path}/train.tar,{tmp_path}/val.tar")


def test_members_of_no_sample_are_passed_over_as_the_library_does(photos: DataSplits, tmp_path: Path) -> None:
    """macOS's ._ files, and samples without an image; each is named. A .json next to a .cls is metadata."""
    contents, _ = images_of(photos.train)
    members = [
        *(("./._0.jpg", b"x"), ("./0.jpg", contents[0]), ("./._0.cls", b"x"), ("./0.cls", b"1\n")),
        *(("./1.jpg", contents[1]), ("./1.json", b'{"label": 7, "cls": "no number"}'), ("./1.cls", b"0")),
        *(("./2.cls", b"1"), ("./3.txt", b"a note")),
    ]
    tar_members(tmp_path / "a.tar", members)
    splits = sources.load(f"webdataset:{tmp_path}/a.tar,{tmp_path}/a.tar")
    assert images_of(splits.train) == (contents[:2], [1, 0])
    passed = [(one.kind, one.where.rpartition(": ")[2]) for one in splits.passed_over]
    hidden = [("hidden members", "./._0.jpg"), ("hidden members", "./._0.cls")]
    assert passed == 2 * [*hidden, ("samples without an image", "./2"), ("samples without an image", "./3")]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ((("0.jpg", "image"), ("0.txt", "cat")), "0 has no label of its class in a .cls or .json"),
        ((("0.txt", "nothing"),), "no images with labels"),
        ((("0.jpg", "image"), ("0.cls", "cat")), "0 has the label 'cat' in its .cls file"),
        ((("0.jpg", "image"), ("0.json", '{"label": "cat"}')), "0 has the label 'cat' in its .json file"),
        ((("0.jpg", "image"), ("0.json", "[" * 100_000)), "0 has a .json file that is not JSON"),
        ((("0.jpg", "image"), ("0.png", "image"), ("0.cls", "1")), "0 has two images, .jpg and .png"),
        ((("0.jpg", "image"), ("0.cls", "1"), ("0.jpg", "image"), ("0.cls", "2")), "0 is there twice"),
        ((("0.jpg", "image"), ("0.cls", "1"), ("1.jpg", ""), ("1.cls", "1"), ("0.jpg", "")), "0 is there twice"),
    ],
)
def test_samples_that_are_not_one_image_and_one_class_are_refused(
    tmp_path: Path, members: tuple[tuple[str, str], ...], message: str
) -> None:
    """The true cause is named: a text in place of a number, no label, two images or two samples of one key."""
    tar_members(tmp_path / "a.tar", [(name, content.encode()) for name, content in members])
    with pytest.raises(DataError, match=message):
        sources.load(f"webdataset:{tmp_path}/a.tar,{tmp_path}/a.tar")


def test_a_truncated_shard_is_refused_wherever_it_ends(photos: DataSplits, tmp_path: Path) -> None:
    """In a header, in an image, or between two samples, where only the mark of the end is missing."""
    contents, _ = images_of(photos.train)
    tar_of(tmp_path / "whole.tar", [{"jpg": content, "cls": b"0"} for content in contents[:3]])
    whole = (tmp_path / "whole.tar").read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        third = tar.getmembers()[4].offset
    for end in (third, third + 100, third + 700):
        (tmp_path / "cut.tar").write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"cut\.tar: not a whole tar file"):
            sources.load(f"webdataset:{tmp_path}/cut.tar,{tmp_path}/whole.tar")


def test_names_that_are_no_shards_are_refused(tmp_path: Path) -> None:
    """Names without shards are an error that names them."""
    with pytest.raises(DataError, match="nowhere.tar"):
        sources.load(f"webdataset:{tmp_path}/nowhere.tar,{tmp_path}/nowhere.tar")
    for rest in ("a,b,c", "a,", ",b"):
        with pytest.raises(UsageError, match=r"webdataset"):
            sources.load(f"webdataset:{rest}")


def test_shards_of_published_data_are_trained_by_the_papers_recipe(photo_folder: Path, tmp_path: Path) -> None:
    """As the data itself, so that its runs resume from shards."""
    data = dataclasses.replace(folder.load(photo_folder), published=True)
    shard_writer.write(data, tmp_path / "shards", size=10**6)
    assert webdataset.load(str(tmp_path / "shards")).published
    shard_writer.write(folder.load(photo_folder), tmp_path / "own", size=10**6)
    assert not webdataset.load(str(tmp_path / "own")).published


@pytest.mark.data
def test_real_photos(imagenette_folder: Path, tmp_path: Path) -> None:
    """Some of them, so as to take a second."""
    whole = folder.load(imagenette_folder)
    assert isinstance(whole.train, ImageFiles) and isinstance(whole.test, ImageFiles)
    some = DataSplits(
        name="some",
        train=whole.train.select(np.arange(0, 1000, 10)),
        test=whole.test.select(np.arange(0, 300, 30)),
        classes=whole.classes,
    )
    shard_writer.write(some, tmp_path / "shards", size=10**6)
    splits = webdataset.load(str(tmp_path / "shards"))
    assert images_of(splits.train) == images_of(some.train)
    input_spec = fit_photos(splits.train.paths, Preprocessing(), size=64, resize=72)  # type: ignore[arg-type]
    for a, b in zip(
        splits.test.test_batches(input_spec, batch_size=4),
        some.test.test_batches(input_spec, batch_size=4),
        strict=True,
    ):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
