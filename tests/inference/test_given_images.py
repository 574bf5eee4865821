"""A model takes images in every form that callers have them, and answers the same to each."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

import resnets
from resnets.errors import DataError, UsageError
from resnets.specs import InputSpec
from resnets.weights import weights_file


@pytest.fixture(scope="module")
def model(digits_run: Path) -> resnets.Model:
    """A trained model for grey images of 8 x 8 pixels."""
    return resnets.load(digits_run)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colour image of 30 x 20 pixels that is stored on its side, as its EXIF orientation says."""
    path = tmp_path_factory.mktemp("given") / "photo.png"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def upright(path: Path) -> np.ndarray:
    """The pixels of the image as it is meant to be seen."""
    with Image.open(path) as image:
        return np.ascontiguousarray(np.rot90(np.asarray(image), -1))


def opened(path: Path) -> io.BufferedReader:
    return path.open("rb")


FORMS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "path": (lambda path: path, "photo.png"),
    "text": (str, "photo.png"),
    "bytes": (Path.read_bytes, "image"),
    "bytearray": (lambda path: bytearray(path.read_bytes()), "image"),
    "open file": (opened, "photo.png"),
    "open bytes": (lambda path: io.BytesIO(path.read_bytes()), "image"),
    "picture": (Image.open, "photo.png"),
    "converted picture": (lambda path: Image.open(path).convert("RGBA"), "image"),
    "array": (upright, "image"),
    "transparent array": (lambda path: np.dstack([upright(path), np.zeros((30, 20), np.uint8)]), "image"),
}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("form", FORMS)
def test_one_image(model: resnets.Model, photo: Path, form: str) -> None:
    """In any form its answer is that of the file, upright, and it is called by its name where it has one."""
    make, name = FORMS[form]
    expected, found = model.predict(photo), model.predict(make(photo))
    assert (found.classes, found.probabilities) == (expected.classes, expected.probabilities)
    assert Path(found.image).name == name
    assert torch.equal(model.preprocess(make(photo)), model.preprocess(photo))
    assert resnets.explain(model, make(photo))[0].size == (20, 30)


def test_several_images(model: resnets.Model, photo: Path) -> None:
    """A list, an iterator and an array of many give a list, in their order; without a name it is their number."""
    array = upright(photo)
    arrays = np.stack([array, array[::-1], array[:, ::-1]])
    expected = [model.predict(image).probabilities for image in arrays]

    def each() -> Iterator[np.ndarray]:
        yield from arrays

    for many in (arrays, list(arrays), each()):
        found = model.predict(many)
        assert [one.probabilities for one in found] == [pytest.approx(one, abs=1e-6) for one in expected]
        assert [one.image for one in found] == ["images[0]", "images[1]", "images[2]"]
    mixed = resnets.predict(model.path, [photo, array, photo.read_bytes()])
    assert [one.image for one in mixed] == [photo, "images[1]", "images[2]"]
    assert model.predict([]) == []
    grey = array[..., 0]
    assert model.predict(grey).probabilities == model.predict(grey[..., None]).probabilities


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (5, "int"),
        (None, "NoneType"),
        (torch.zeros(3, 8, 8), "Tensor"),
        (np.zeros((8, 8, 3)), r"float64 \(8, 8, 3\)"),
        (np.zeros((3, 8, 8), np.uint8), r"uint8 \(3, 8, 8\)"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 \(0, 8, 3\)"),
        ([b"", 5], r"images\[1\] is of type int"),
        (io.StringIO("text"), "binary"),
    ],
)
def test_what_is_no_image_is_named(model: resnets.Model, given: Any, named: str) -> None:
    """The error says of which type or shape it is."""
    with pytest.raises(UsageError, match=named):
        model.predict(given)
    with pytest.raises(UsageError, match=named):
        resnets.predict(model.path, given)


@pytest.fixture(scope="module", params=[2, 4, 6])
def many_channels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> resnets.Model:
    """A model for images of 8 x 8 pixels of other channels than files have."""
    channels = request.param
    spec = InputSpec(size=8, resize=8, channels=channels, mean=tuple(0.1 * one for one in range(channels)))
    network = resnets.create("resnet8", num_classes=3, in_channels=channels)
    path = tmp_path_factory.mktemp("channels") / "weights.safetensors"
    weights_file.save(path, network, classes=("a", "b", "c"), input_spec=spec)
    return resnets.load(path)


def test_arrays_of_other_channels(many_channels: resnets.Model) -> None:
    """Are taken as they are, each channel for itself: none is an alpha channel, by which Pillow multiplies others."""
    channels = many_channels.input_spec.channels  # type: ignore[union-attr]
    arrays = np.random.default_rng(0).integers(0, 256, (3, 8, 8, channels), np.uint8)
    expected = many_channels.normalized(arrays)
    assert torch.equal(many_channels.preprocess(arrays), expected)
    one, *_ = many_channels.predict(list(arrays))
    assert one.probabilities == pytest.approx(many_channels.predict(arrays[0]).probabilities, abs=1e-6)
    assert many_channels.embed(arrays).shape == (3, 64)
    assert resnets.explain(many_channels, arrays[0])[0].size == (8, 8)
    large = np.random.default_rng(1).integers(0, 256, (20, 30, channels), np.uint8)
    bands = [many_channels.preprocess(np.stack([large[..., band]] * channels, 2))[0, band] for band in range(channels)]
    assert torch.equal(many_channels.preprocess(large)[0], torch.stack(bands))
    assert f"{channels} channels" in repr(many_channels)


def test_other_channels_than_the_networks(model: resnets.Model, many_channels: resnets.Model, photo: Path) -> None:
    """Files and arrays are refused with what the network takes, alone, among several and where they are explained."""
    channels = many_channels.input_spec.channels  # type: ignore[union-attr]
    for given in (photo, [photo], np.zeros((8, 8, 3), np.uint8), Image.new("RGB", (9, 9))):
        for answer in (many_channels.predict, many_channels.embed, partial(resnets.explain, many_channels)):
            with pytest.raises(UsageError, match=rf"width, {channels}\)"):
                answer(given)  # type: ignore[operator]
    array = np.zeros((8, 8, 6), np.uint8)
    for answer in (model.predict, partial(resnets.explain, model)):
        with pytest.raises(UsageError, match=r"\(8, 8, 6\)"):
            answer(array)  # type: ignore[operator]


def test_what_cannot_be_read_is_named(model: resnets.Model, photo: Path) -> None:
    """Damaged content, a closed file, a picture whose file is cut off: data errors, of many the first one."""
    content = photo.read_bytes()
    closed = io.BytesIO(content)
    closed.close()
    for given in (b"", content[:60], closed, Image.open(io.BytesIO(content[:900]))):
        with pytest.raises(DataError, match="^image: "):
            model.predict(given)
    with pytest.raises(DataError, match=r"images\[1\]"):
        model.predict([content, content[:60], b""])
    found = list(model.predict_many([content, content[:60], content]))
    assert [isinstance(one, DataError) for one in found] == [False, True, False]


def test_a_model_is_called_with_tensors(model: resnets.Model, photo: Path) -> None:
    """Its logits of preprocessed images are those behind its predictions, with an engine too; others are refused."""
    x = model.preprocess([photo, upright(photo)[::-1]])
    assert x.shape == (2, 1, 8, 8) and x.dtype == torch.float32
    for one in (model, resnets.optimize(model, engine="eager", precision="fp32")):
        logits = one(x)
        assert logits.shape == (2, 10) and not logits.requires_grad
        expected = model.predict(photo, top=10)
        assert logits[0].softmax(0).sort(descending=True).values.tolist() == pytest.approx(
            expected.probabilities, abs=1e-6
        )
    for wrong, named in (
        (x[0], r"\(1, 8, 8\)"),
        (x.byte(), "uint8"),
        (torch.zeros(1, 3, 8, 8), r"\(1, 3, 8, 8\).*\(N, 1, H, W\)"),
        (x.numpy(), "ndarray"),
    ):
        with pytest.raises(UsageError, match=named):
            model(wrong)
