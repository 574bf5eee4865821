"""`resnets data check` and `resnets data shard`, and fine-tuning from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import resnets
from resnets.errors import UsageError, WeightsError
from resnets.networks import registry
from resnets.records import base
from resnets.records.audits import Audit
from resnets.specs import InputSpec
from resnets.training.run_folder import RunFolder
from resnets.weights import weights_file

Command = Callable[..., tuple[int, str, str]]

MakePhotos = Callable[..., Path]


def test_a_valid_data_set_passes(photo_folder: Path, command: Command) -> None:
    """Its audit finds nothing, and nothing is an error."""
    code, out, err = command("data", "check", f"folder:{photo_folder}")
    assert (code, err) == (0, "")
    assert "Nothing would make training fail." in out


def test_a_broken_one_fails_with_a_table_and_json(photo_folder: Path, tmp_path: Path, command: Command) -> None:
    """The finding, its file, and exit code 1."""
    (photo_folder / "val" / "dog" / "text[red].jpg").write_text("no image")
    file = tmp_path / "audit.json"
    code, out, _ = command("data", "check", f"folder:{photo_folder}", "--out", file)
    assert code == 1
    assert "unreadable" in out and "text[red].jpg: not a JPEG, PNG, WebP" in out and "would FAIL" in out
    report = base.read(file, Audit)
    assert report is not None and report.would_fail and report.counts == {"unreadable": 1}
    assert report.findings[0].split == "val" and report.splits["train"].images == 12


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_training_that_meets_a_broken_image_names_the_check(
    photo_folder: Path, tmp_path: Path, command: Command, workers: str
) -> None:
    """Of its own source, after the file and the last checkpoint, whichever process read the image."""
    (photo_folder / "val" / "dog" / "text.jpg").write_text("no image")
    options = ("--iterations", "1", "--batch-size", "2", "--size", "64", "--workers", workers, "--out", tmp_path / "r")
    code, _, err = command("train", "resnet18", "--data", f"folder:{photo_folder}", *options)
    assert code == 1 and "text.jpg: not a" in err and "checkpoint" in err
    assert err.rstrip().endswith(f"; `resnets data check folder:{photo_folder}` lists all such files")


def test_a_test_that_meets_a_broken_image_names_the_check(photo_folder: Path, tmp_path: Path, command: Command) -> None:
    """Of the data that the run was trained on, where none is named."""
    options = ("--iterations", "1", "--batch-size", "2", "--size", "64", "--workers", "0", "--out", tmp_path / "r")
    assert command("train", "resnet18", "--data", f"folder:{photo_folder}", *options)[0] == 0
    image = next((photo_folder / "val" / "dog").iterdir())
    image.write_bytes(bytes(image.stat().st_size))  # of another size it would be other data
    code, _, err = command("evaluate", tmp_path / "r", "--workers", "0")
    assert code == 1
    assert err.rstrip().endswith(f"; `resnets data check folder:{photo_folder}` lists all such files")


def test_shards_are_written_and_trained_on(photo_folder: Path, tmp_path: Path, command: Command) -> None:
    """Once; and a training on them ends as one on the files."""
    code, out, _ = command("data", "shard", f"folder:{photo_folder}", tmp_path / "shards")
    assert code == 0
    assert "12 training images, 6 test images, 3 classes: 2 shards" in out
    code, out, _ = command("data", "shard", f"folder:{photo_folder}", tmp_path / "shards")
    assert "2 shards (2 written before)" in out
    options = {"iterations": 2, "batch_size": 4, "workers": 0, "device": "cpu"}
    parts = ("data", "shard", f"folder:{photo_folder}", tmp_path / "parts", "--part")
    code, out, _ = command(*parts, "2/2")
    assert code == 0 and "part 2/2, 1 shard, " in out and "of 2 parts these are not whole: 1" in out
    code, out, _ = command(*parts, "1/2")
    assert code == 0 and "part 1/2, 1 shard, " in out and "the manifest is written" in out
    here = resnets.train("resnet8", f"webdataset:{tmp_path / 'shards'}", out=tmp_path / "a", **options)
    there = resnets.train("resnet8", f"folder:{photo_folder}", out=tmp_path / "b", **options)
    assert (here.training_error, here.test_error) == (there.training_error, there.test_error)


def test_training_begins_with_other_weights_and_a_new_head(make_photos: MakePhotos, tmp_path: Path) -> None:
    """The backbone and the input's mean are the old network's, the last layer is new; another file is another run."""
    options = {"recipe": "fast", "batch_size": 4, "workers": 0, "device": "cpu", "lr": 1e-12, "weight_decay": 0.0}
    pets, birds = make_photos(), make_photos("birds", classes=("owl", "tit"))
    resnets.train("resnet8", f"folder:{pets}", out=tmp_path / "pets", iterations=3, **options | {"lr": 0.1})
    start = {"weights": tmp_path / "pets", "out": tmp_path / "birds", "iterations": 1}
    resnets.train("resnet8", f"folder:{birds}", **start, **options)
    old, new = resnets.load(tmp_path / "pets"), resnets.load(tmp_path / "birds")
    before, after = old.network.state_dict(), new.network.state_dict()
    assert torch.allclose(before["layer3.0.conv1.weight"], after["layer3.0.conv1.weight"], atol=1e-8)
    assert after["fc.weight"].shape == (2, 64)
    assert new.input_spec == old.input_spec and new.classes == ("owl", "tit")
    run = RunFolder(tmp_path / "birds").record()
    assert run is not None and run.start is not None and len(run.start.sha256) == 64
    started = re.escape(f"its start is {tmp_path / 'pets' / 'weights.safetensors'} (SHA-256 {run.start.sha256[:12]}")
    for other, requested in ((None, "random weights"), (tmp_path / "birds", str(tmp_path / "birds"))):
        with pytest.raises(resnets.RunError, match=f"{started}.*{requested}"):
            resnets.train("resnet8", f"folder:{birds}", **start | {"weights": other}, **options)
    with pytest.raises(WeightsError, match="resnet14"):
        resnets.train("resnet14", f"folder:{birds}", **start | {"out": tmp_path / "other"}, **options)


def test_converted_weights_are_fine_tuned_with_their_own_pooling(photo_folder: Path, tmp_path: Path) -> None:
    """The authors' pooling rounds up, which no name of a network says."""
    spec = registry.declare("resnet18", num_classes=5).with_changes(pool="ceil")
    input_spec = InputSpec(size=64, resize=72, mean=(0.5, 0.5, 0.5))
    weights_file.save(tmp_path / "w.safetensors", registry.build(spec), classes=tuple("abcde"), input_spec=input_spec)
    run = resnets.train(
        "resnet18",
        f"folder:{photo_folder}",
        recipe="finetune",
        weights=tmp_path / "w.safetensors",
        size=64,
        batch_size=4,
        iterations=1,
        workers=0,
        device="cpu",
        out=tmp_path / "run",
    )
    assert resnets.load(run.folder).network.spec.pool == "ceil"


def test_the_recipe_finetune_needs_weights(photo_folder: Path) -> None:
    """Else it would train from scratch with a recipe that is not made for it."""
    with pytest.raises(UsageError, match="finetune"):
        resnets.train("resnet18", f"folder:{photo_folder}", recipe="finetune", iterations=1, device="cpu")
