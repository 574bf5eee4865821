"""Objects on image files: found, drawn and listed; and never a photo that is overwritten."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_detectors import CLASSES, TinyDetector

from resnets.detection.predict import detect
from resnets.errors import DataError, UsageError

pytestmark = pytest.mark.usefixtures("small_networks")


def test_objects_are_found_drawn_and_listed(tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """Each image's objects are returned, listed in a JSON file and drawn; a file that is no image is an error."""
    image = tiny_detector.data.train[0]
    (tmp_path / "no.jpg").write_bytes(b"no image")
    paths = [image.path, tmp_path / "no.jpg", image.path]
    found = [objects for _, objects in detect(tiny_detector.run, paths, out=tmp_path / "drawn", device="cpu")]
    assert isinstance(found[1], DataError)
    objects = found[0]
    assert not isinstance(objects, DataError)
    assert sorted(one.name for one in objects) == sorted(CLASSES[label] for label in image.labels)
    assert all(one.score >= 0.5 for one in objects)
    first = min(objects, key=lambda one: one.box[0])
    assert np.abs(np.asarray(first.box) - image.boxes[0]).max() < 8
    entries = json.loads((tmp_path / "drawn" / "detections.json").read_text())
    assert [entry["drawn"] for entry in entries] == ["000000.jpg", "000000-2.jpg"]
    assert entries[0]["objects"][0] == objects[0].entry()
    assert (tmp_path / "drawn" / "000000-2.jpg").stat().st_size > 1000


def test_images_are_named_as_in_predict(
    tiny_detector: TinyDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, a pattern and standard input; what leads to no image is an error in its place."""
    photo = tiny_detector.data.train[0].path
    (tmp_path / "photo.png").write_bytes(photo.read_bytes())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(photo.read_bytes())))
    names = [str(tmp_path), str(tmp_path / "*.png"), "-", str(tmp_path / "*.gif")]
    found = list(detect(tiny_detector.run, names, out=tmp_path / "drawn", device="cpu"))
    assert [name for name, _ in found] == [tmp_path / "photo.png", tmp_path / "photo.png", "-", names[-1]]
    assert [isinstance(objects, DataError) for _, objects in found] == [False, False, False, True]
    assert (tmp_path / "drawn" / "stdin.jpg").exists()


def test_photos_are_never_overwritten(tiny_detector: TinyDetector, tmp_path: Path) -> None:
    """Drawn into the photo's own folder twice, the drawing replaces itself; a list of something else is kept."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(tiny_detector.data.train[0].path.read_bytes())
    before = photo.read_bytes()
    for _ in range(2):
        list(detect(tiny_detector.run, [photo], out=tmp_path, device="cpu"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detections.json", "photo-2.jpg", "photo.jpg"]
    assert photo.read_bytes() == before
    (tmp_path / "detections.json").write_text("[{}]")
    with pytest.raises(UsageError, match="detections.json"):
        list(detect(tiny_detector.run, [photo], out=tmp_path, device="cpu"))
    assert (tmp_path / "detections.json").read_text() == "[{}]"


def test_a_low_threshold_shows_what_is_unlikely(tiny_detector: TinyDetector) -> None:
    """Also below the recipe's 0.05, at which detectors are tested."""
    photo = tiny_detector.data.train[0].path
    ((_, few),) = detect(tiny_detector.run, photo, threshold=0.05, device="cpu")
    ((_, many),) = detect(tiny_detector.run, photo, threshold=0.0001, device="cpu")
    assert not isinstance(few, DataError) and not isinstance(many, DataError)
    assert min(found.score for found in many) < 0.05 < min(found.score for found in few)


def test_a_threshold_is_a_probability(tiny_detector: TinyDetector) -> None:
    """A threshold above 1 is refused before an image is read."""
    with pytest.raises(UsageError, match="2"):
        next(detect(tiny_detector.run, [], threshold=2.0))
