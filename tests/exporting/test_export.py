"""Exported networks compute what the network computes, say what they take, and are written only if so."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import nn

import resnets
from resnets.errors import DataError, RunError, UsageError
from resnets.networks import registry
from resnets.specs import InputSpec
from resnets.weights import weights_file

onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="resnets[export] is not installed",
)
openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
FORMATS = {"out.onnx": (onnx,), "out.pt2": (), "out": (openvino,)}
PHOTOS = InputSpec(size=32, resize=36, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
BGR = PHOTOS.with_changes(channel_order="BGR", max_value=255, interpolation="bicubic", mean=(9.0, 8.0, 7.0), std=None)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    """The logits of an exported file, by its runtime."""
    if path.suffix == ".onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).run(None, {"images": x})[0]
    if path.suffix == ".pt2":
        with torch.no_grad():
            return torch.export.load(path).module()(torch.from_numpy(x)).numpy()
    import openvino as ov

    model = ov.Core().compile_model(path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return model({"images": x})["logits"]


def metadata(path: Path) -> dict[str, str]:
    if path.suffix == ".onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    if path.suffix == ".pt2":
        files = {"resnets.json": ""}
        torch.export.load(path, extra_files=files)
        return json.loads(files["resnets.json"])
    import openvino as ov

    about = ov.Core().read_model(path / "model.xml").get_rt_info()["resnets"]
    return {key: about[key].astype(str) for key in ("classes", "input", "takes", "network")}


def made(tmp_path: Path, network: nn.Module, input_spec: InputSpec = PHOTOS) -> resnets.Model:
    """A model of a network that has seen images, so that its batch norms matter."""
    torch.manual_seed(0)
    network.train()
    with torch.no_grad():
        network(torch.randn(4, input_spec.channels, input_spec.size, input_spec.size) + 0.5)
    weights_file.save(tmp_path / "made.safetensors", network, input_spec=input_spec)
    return resnets.load(tmp_path / "made.safetensors")


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks) for name, marks in FORMATS.items()])
def test_a_trained_network_in_each_format(digits_run: Path, tmp_path: Path, name: str) -> None:
    """The file's logits are the model's for another number of images, and its metadata is the model's.

    It takes normalised images; one that takes pixels is then written in its place.
    """
    model, out = resnets.load(digits_run), tmp_path / "new" / name
    digits = resnets.load_data("digits").test.images[:3]
    x = model.preprocess(digits)
    for source, normalize in ((digits_run, False), (model, True)):
        done = resnets.export(source, out, normalize=normalize)
        assert done.path == out and done.difference < 1e-5
        assert run(out, digits if normalize else x.numpy()) == pytest.approx(model(x).numpy(), abs=1e-4)
        about = metadata(out)
        assert json.loads(about["classes"]) == list(model.classes or ())
        assert json.loads(about["input"])["mean_image"] == model.input_spec.mean_image  # type: ignore[union-attr]
        assert about["takes"] == ("pixels" if normalize else "normalized") and "resnet8" in about["network"]
        left = {"out.onnx", "out.onnx.py"} if name == "out.onnx" else {name}
        assert {path.name for path in out.parent.iterdir()} == left


SMALL = {
    "photos": ("resnet18", {}),
    "projections": ("resnet8", {"shortcut": "C"}),
    "plain": ("plain8", {}),
}
LARGE = {
    "option A on photos": ("resnet34", {"shortcut": "A"}),
    "bottlenecks": ("resnet50", {}),
    "bottlenecks v1.5": ("resnet50_v1_5", {"shortcut": "C"}),
    "deep": ("resnet110", {}),
    **{
        name: (name, {})
        for family in registry.NETWORKS
        if family.name not in ("cifar", "imagenet")
        for name in family.names
    },
}


def each_network() -> list[Any]:
    """Return each network with each format; all are slow but one format of each small network."""
    cases = []
    for number, kind in enumerate((*SMALL, *LARGE)):
        for place, (name, marks) in enumerate(FORMATS.items()):
            always = kind in SMALL and number == place
            cases.append(pytest.param(kind, name, marks=marks if always else (*marks, pytest.mark.slow)))
    return cases


@pytest.mark.parametrize(("kind", "name"), each_network())
def test_every_network_of_the_package(tmp_path: Path, kind: str, name: str) -> None:
    """In each format, with normalised photos in BGR from 0 to 255."""
    declared, options = {**SMALL, **LARGE}[kind]
    input_spec = PHOTOS.with_changes(channel_order="BGR", max_value=255, mean=(110.0, 120.0, 130.0), std=(60.0,) * 3)
    network = resnets.create(declared, num_classes=5, **options)
    size = max(32, registry.spec_of(network).least_size)  # type: ignore[union-attr]
    model = made(tmp_path, network, input_spec.with_changes(size=size, resize=size))
    if kind.startswith("prelu_net") and name == "out.onnx":  # torch does not export adaptive max pooling to ONNX
        with pytest.raises(RunError, match="adaptive_max_pool2d"):
            resnets.export(model, tmp_path / name)
        return
    done = resnets.export(model, tmp_path / name, normalize=True)
    pixels = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), np.uint8)
    found = run(tmp_path / name, pixels)
    expected = model(model.preprocess(pixels)).numpy()
    assert found == pytest.approx(expected, abs=1e-4 * float(abs(expected).max())) and done.difference < 1e-4


@onnx
def test_what_differs_is_not_written(digits_run: Path, tmp_path: Path) -> None:
    """Neither a file nor a part of it, and what was there stays; the error has the tolerance."""
    (tmp_path / "out.onnx").write_text("mine")
    with pytest.raises(RunError, match="1e-30"):
        resnets.export(digits_run, tmp_path / "out.onnx", tolerance=1e-30)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_images_to_verify_on_that_cannot_be_read(digits_run: Path, tmp_path: Path) -> None:
    """Are named, and nothing is written."""
    with pytest.raises(DataError, match=r"none\.png"):
        resnets.export(digits_run, tmp_path / "out.pt2", images=tmp_path / "none.png")
    assert list(tmp_path.iterdir()) == []


class Branching(nn.Module):
    """A network whose graph depends on values, which torch.export refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 32 * 32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1)) * (2 if x.sum() > 0 else 1)


@pytest.mark.parametrize("network", ["own", "branching"])
def test_networks_of_your_own(tmp_path: Path, network: str) -> None:
    """Any module is exported, unless its graph depends on values: then nothing is written."""
    own = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3600, 2))
    module = own if network == "own" else Branching()
    weights_file.save(tmp_path / "own.safetensors", module, classes=("a", "b"), input_spec=PHOTOS)
    model = resnets.load(tmp_path / "own.safetensors", network=module)
    if network == "own":
        assert resnets.export(model, tmp_path / "own.pt2").network == "Sequential"
        return
    with pytest.raises(RunError, match="Branching"):
        resnets.export(model, tmp_path / "own.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]


def test_a_file_needs_no_suffix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the format is named nothing is logged of the name, and a link to a file leads to it as before."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))
    weights_file.save(tmp_path / "own.safetensors", module, classes=("a", "b"), input_spec=PHOTOS)
    (tmp_path / "current").symlink_to("first")
    resnets.export(resnets.load(tmp_path / "own.safetensors", network=module), tmp_path / "current", format="pt2")
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    assert (tmp_path / "current").is_symlink() and (tmp_path / "first").is_file()


class Several(nn.Module):
    """A network that gives its features next to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.conv(x).mean((2, 3))
        return self.fc(features), features


@pytest.mark.parametrize("normalize", [False, True])
def test_of_several_outputs_the_first_is_exported(tmp_path: Path, normalize: bool) -> None:
    """A file has one output, the logits."""
    module = Several()
    weights_file.save(tmp_path / "own.safetensors", module, classes=tuple("abcde"), input_spec=PHOTOS)
    model = resnets.load(tmp_path / "own.safetensors", network=module)
    resnets.export(model, tmp_path / "own.pt2", normalize=normalize)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    x = model.normalized(pixels)
    found = run(tmp_path / "own.pt2", pixels if normalize else x.numpy())
    assert found == pytest.approx(model(x).numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("out", "options", "named"),
    [
        ("out.pb", {}, r"out\.pb"),
        ("out.pt2", {"format": "tflite"}, "tflite"),
        ("taken", {}, "taken.*mine"),
        ("taken", {"format": "pt2"}, "taken"),
    ],
)
def test_what_cannot_be_a_file_is_refused(
    digits_run: Path, tmp_path: Path, out: str, options: dict[str, Any], named: str
) -> None:
    """Unknown suffixes and formats, a folder that holds other files, a folder in the place of a file."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=named):
        resnets.export(digits_run, tmp_path / out, **options)
    assert (tmp_path / "taken" / "mine.txt").read_text() == "mine"


BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "torchvision", "resnets"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""


@onnx
@pytest.mark.parametrize(
    ("input_spec", "normalize"),
    [
        pytest.param(PHOTOS, False, id="mean and std"),
        pytest.param(BGR, True, id="BGR, pixels"),
        pytest.param(BGR, False, id="BGR", marks=pytest.mark.slow),
        pytest.param(None, True, id="mean image, pixels"),
        pytest.param(None, False, id="mean image", marks=pytest.mark.slow),
    ],
)
def test_the_example_runs_without_torch(
    digits_run: Path, tmp_path: Path, input_spec: InputSpec | None, normalize: bool
) -> None:
    """Where torch and resnets cannot be imported it prints what `predict` answers, also of an image on its side.

    One that is absent ends it with a line. The file's name is one that a docstring cannot hold as it is.
    """
    own = None if input_spec is None else made(tmp_path, resnets.create("resnet8", num_classes=3), input_spec)
    model = resnets.load(digits_run) if own is None else own
    done = resnets.export(model, tmp_path / 'b\\N"""net.onnx', normalize=normalize)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (41, 60, 3), np.uint8)
    Image.fromarray(pixels).resize((120, 82)).save(tmp_path / "photo.jpg", exif=exif)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKER)
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    blocked = subprocess.run([sys.executable, "-c", "import torch"], env=environment, capture_output=True, text=True)
    assert "torch is blocked" in blocked.stderr
    call = [sys.executable, str(done.example), "photo.jpg", "photo.jpg", "none.jpg"]
    ran = subprocess.run(call, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    expected = model.predict(tmp_path / "photo.jpg")
    lines = ran.stdout.splitlines()
    assert len(lines) == 2 and ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1 and ran.stderr.startswith("none.jpg: ")
    for line in lines:
        name, _, probability = line.removeprefix("photo.jpg: ").rpartition(" ")
        assert name == expected.classes[0]
        assert float(probability) == pytest.approx(expected.probabilities[0], abs=1e-4)


@onnx
def test_an_edited_example_is_kept(digits_run: Path, tmp_path: Path) -> None:
    """One as it was written is replaced, and removed where there is to be none; an edited one is refused."""
    program = tmp_path / "net.onnx.py"
    resnets.export(digits_run, tmp_path / "net.onnx")
    resnets.export(digits_run, tmp_path / "net.onnx", normalize=True)
    assert '"mean_image"' not in program.read_text()
    (tmp_path / "contrast").mkdir()
    changed = PHOTOS.with_changes(contrast=1.0)
    model = made(tmp_path / "contrast", registry.create("resnet8", num_classes=3), changed)
    assert resnets.export(model, tmp_path / "net.onnx").example is None and not program.exists()
    resnets.export(digits_run, tmp_path / "net.onnx")
    edited = program.read_text().replace("photo.jpg", "image.jpg")
    program.write_text(edited)
    before = (tmp_path / "net.onnx").read_bytes()
    for one in (digits_run, model):
        with pytest.raises(UsageError, match=r"net\.onnx\.py"):
            resnets.export(one, tmp_path / "net.onnx")
    assert (program.read_text(), (tmp_path / "net.onnx").read_bytes()) == (edited, before)


@onnx
def test_a_network_of_other_channels_has_no_example(tmp_path: Path) -> None:
    """Image files are RGB or grey, and would be broadcast to four channels; none is verified on either."""
    network = registry.create("resnet8", num_classes=3, in_channels=4)
    four = made(tmp_path, network, PHOTOS.with_changes(channels=4, mean=(0.1,) * 4, std=None))
    done = resnets.export(four, tmp_path / "net.onnx", normalize=True)
    assert done.example is None and not (tmp_path / "net.onnx.py").exists()
    with pytest.raises(UsageError, match="4"):
        resnets.export(four, tmp_path / "net.onnx", images=tmp_path / "photo.png")


def test_contrast_and_whitening_are_not_left_out_silently(tmp_path: Path) -> None:
    """A file that took pixels, or an example, would normalise otherwise than the network expects."""
    model = made(tmp_path, registry.create("resnet8", num_classes=3), PHOTOS.with_changes(contrast=1.0))
    with pytest.raises(UsageError, match="contrast"):
        resnets.export(model, tmp_path / "out.pt2", normalize=True)
    assert not (tmp_path / "out.pt2").exists()
