"""Shards and manifests that are damaged, or were made to do harm: read, or refused in one line and at once."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fuzzing import COUNTS, fuzz
from PIL import Image

from resnets.data import folder, shard_writer, sources
from resnets.data.image_files import ImageFiles
from resnets.data.stored_file import content_of
from resnets.errors import DataError


@pytest.fixture
def written(make_photos: Callable[..., Path], tmp_path: Path) -> Path:
    shard_writer.write(folder.load(make_photos(train=2, val=1)), tmp_path / "shards", size=10**6)
    return tmp_path / "shards"


def read_all(source: str) -> None:
    splits = sources.load(source)
    for split in (splits.train, splits.test):
        assert isinstance(split, ImageFiles)
        for file in split.paths:
            content_of(file)


def changed(**fields: Any) -> dict[str, Any]:
    return {"splits": {"train": fields}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, "'other'"),
        ({"version": 2}, r"\$\.version"),
        ({"spilts": {}}, "`spilts`"),
        ({"splits": {}}, "no split"),
        ({"classes": [1, 2, 3]}, "classes"),
        (changed(file="../../etc/x.tar"), "is not a file next to it"),
        (changed(file=".."), "is missing"),
        (changed(labels=[0]), "1 labels for 6 samples"),
        (changed(labels=0), "labels"),
        (changed(labels=[0, 1.7, 2, 0, 1, 2]), "float"),
        (changed(labels=[0, "1", 2, 0, 1, 2]), "str"),
        (changed(labels=[0, True, 2, 0, 1, 2]), "bool"),
        (changed(labels=[0, None, 2, 0, 1, 2]), "null"),
        (changed(labels=[0, -1, 2, 0, 1, 2]), ">= 0"),
        (changed(labels=[0, 10**30, 2, 0, 1, 2]), "labels"),
        (changed(labels=[0, 3, 2, 0, 1, 2]), "label 3"),
        (changed(samples=[0, 0, 1, 2, 3, 4]), "missing or there twice"),
        (changed(sizes=[10**15] * 6), "overlap"),
        (changed(offsets=[10**15] * 6), "overlap"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(written: Path, change: dict[str, Any], message: str) -> None:
    """Wrong types and values of a manifest are errors of one line."""
    manifest = json.loads((written / "manifest.json").read_text())
    fields = change.get("splits", {}).get("train")
    if fields is None:
        manifest |= change
    else:
        manifest["splits"]["train"]["shards"][0] |= fields
    (written / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=message):
        sources.load(f"webdataset:{written}")


def tar_of(path: Path, members: list[tuple[str, bytes, dict[str, Any]]]) -> str:
    """Write a tar file of members; fields of a header are changed where there are some. Return the source."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, fields in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content)) if not fields else _add(tar, entry, content, fields)
    return f"webdataset:{path},{path}"


def _add(tar: tarfile.TarFile, entry: tarfile.TarInfo, content: bytes, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(entry, name, value)
    kind = tarfile.PAX_FORMAT if "pax_headers" in fields else tarfile.GNU_FORMAT
    tar.fileobj.write(entry.tobuf(kind) + content + bytes(-len(content) % 512))  # type: ignore[union-attr]


def jpeg() -> bytes:
    content = BytesIO()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(content, "JPEG")
    return content.getvalue()


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "0.cls", "GNU.sparse.realsize": "9" * 10}


@pytest.mark.parametrize(
    "member",
    [
        ("1.jpg", b"", {"size": 10**15}),
        ("1.cls", b"", {"size": 10**15}),
        ("1.mp4", b"", {"size": 10**15}),
        ("1.mp4", b"", {"size": 300_000_000}),
        ("0.cls", b"0", {"pax_headers": {"GNU.sparse.map": "0,1", "GNU.sparse.size": "10000000000"}}),
        ("0.cls", b"1000000\n" + bytes(504), {"pax_headers": SPARSE}),
        ("0.cls", b"100000000", {}),
        ("0.cls", b"1" * 2_000_000, {}),
        ("0.json", b"[" * 100_000, {}),
    ],
)
def test_a_member_that_declares_too_much_is_refused_at_once(tmp_path: Path, member: Any) -> None:
    """A member's declared size is verified before it is read."""
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        read_all(tar_of(tmp_path / "a.tar", [("0.jpg", jpeg(), {}), member]))
    assert "\n" not in str(caught.value) and time.perf_counter() - start < 10


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_shards_are_read_or_refused(tmp_path: Path, count: int) -> None:
    """Damaged shards give images or a DataError of one line."""
    path = tmp_path / "a.tar"
    labels = [("0.cls", b"0"), ("1.cls", b"1"), ("2.json", b'{"label": 1}')]
    members = [member for name, label in labels for member in ((f"{name[0]}.jpg", jpeg(), {}), (name, label, {}))]
    source = tar_of(path, members)

    def read(variant: bytes) -> None:
        path.write_bytes(variant)
        read_all(source)

    fuzz(read, path.read_bytes(), count, documented=DataError)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_manifests_are_read_or_refused(written: Path, count: int) -> None:
    """Damaged manifests are read or give a DataError of one line."""
    path = written / "manifest.json"

    def read(variant: bytes) -> None:
        path.write_bytes(variant)
        read_all(f"webdataset:{written}")

    fuzz(read, path.read_bytes(), count, documented=DataError, text=True)
