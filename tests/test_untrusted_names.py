"""Names of files that no file can have, or that are not UTF-8: documented exceptions, or they work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import resnets
from resnets.data import folder
from resnets.errors import DataError, ResnetsError
from resnets.records.base import as_json, encode
from resnets.weights import weights_file

CALLS: dict[str, Callable[[str], object]] = {
    "load": resnets.load,
    "convert from": lambda name: resnets.convert(f"{name}.pth", "out.safetensors"),
    "convert to": lambda name: resnets.convert("w.safetensors", f"{name}.safetensors"),
    "convert classes": lambda name: resnets.convert("w.safetensors", "out.safetensors", classes=name),
    "evaluate": lambda name: resnets.evaluate(name, "digits"),
    "check": lambda name: resnets.check_data(f"folder:{name}"),
    "shards": lambda name: resnets.check_data(f"webdataset:{name}.tar,{name}.tar"),
    "report": lambda name: resnets.write_report([name]),
    "detector": lambda name: resnets.load_detector(name),
    "score": lambda name: resnets.score_detections(name, name, "voc07"),
    "train": lambda name: resnets.train("resnet8", "digits", iterations=1, out=name),
    "train from": lambda name: resnets.train("resnet8", "digits", iterations=1, out="run", weights=name),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["a\0b", "x" * 5_000, "a/" * 3_000 + "b"], ids=["null byte", "long name", "long path"])
def test_a_name_that_no_file_can_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str
) -> None:
    """Each public call answers an impossible name with one line of an exception of the package."""
    monkeypatch.chdir(tmp_path)
    weights_file.save(Path("w.safetensors"), resnets.create("resnet8"))
    with pytest.raises(ResnetsError) as caught:
        CALLS[call](name)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_class_whose_folder_is_not_utf8_is_refused(make_photos: Callable[..., Path]) -> None:
    """Weights and records could not hold its name."""
    with pytest.raises(DataError, match=r"caf\\udce9"):
        folder.load(make_photos(classes=("apple", os.fsdecode(b"caf\xe9"))))


def test_a_path_that_is_not_utf8_is_recorded_with_escapes() -> None:
    """Records stay valid JSON whatever a path's bytes are."""
    path = Path(os.fsdecode(b"caf\xe9.pth"))
    assert encode({"weights": path, "files": [str(path)]}).isascii()
    assert as_json(path) == r"caf\udce9.pth"
