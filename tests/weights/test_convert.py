"""Other projects' weights, converted, predict and evaluate as they did there, with nothing to set."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from other_projects import Akamaster, trained
from PIL import Image
from torch import Tensor

import resnets
from resnets.data.arrays import ImageArrays
from resnets.data.cifar import CIFAR10
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.errors import DataError, UsageError, WeightsError
from resnets.networks import registry
from resnets.specs import InputSpec
from resnets.weights import weights_file
from resnets.weights.tensor_file import read_tensors, write_tensors

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def images_like_cifar(count: int = 200) -> DataSplits:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 32, 32, 3), np.uint8)
    test = ImageArrays(images, generator.integers(0, 10, count))
    return DataSplits(name="cifar10", train=test, test=test, classes=CIFAR10.classes)


@pytest.fixture(scope="module")
def akamaster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Akamaster]:
    """A checkpoint file of akamaster's ResNet-20, and the network."""
    path, peer = tmp_path_factory.mktemp("akamaster") / "resnet20.th", Akamaster(3)
    peer.load_state_dict(trained(peer))
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in peer.state_dict().items()}}, path)
    return path, peer.eval()


@torch.inference_mode()
def error_of(peer: Akamaster, test: ImageArrays) -> float:
    """Return the top-1 error that akamaster's own test loop finds: ToTensor, Normalize, argmax."""
    images = (test.images.astype(np.float32) / 255 - MEAN) / STD
    predicted = peer(torch.from_numpy(images).permute(0, 3, 1, 2)).argmax(1)
    return 100 * float((predicted != torch.from_numpy(test.labels)).double().mean())


def test_a_converted_cifar_network_has_the_error_that_it_has_there(
    akamaster: tuple[Path, Akamaster], tmp_path: Path
) -> None:
    """A converted network's error is exactly that of the other project's own test loop."""
    path, peer = akamaster
    done = resnets.convert(path, tmp_path / "resnet20.safetensors")
    assert (done.layout, done.to, done.classes) == ("akamaster", "safetensors", CIFAR10.classes)
    data = images_like_cifar()
    assert isinstance(data.test, ImageArrays)
    expected = error_of(peer, data.test)
    assert 0 < expected < 100
    assert resnets.evaluate(done.out, data).top1_error == expected


@pytest.mark.data
def test_real_cifar10_is_evaluated_with_and_without_class_names(
    akamaster: tuple[Path, Akamaster], tmp_path: Path, cifar10: DataSplits
) -> None:
    """On 500 real images the error is the other project's, whether the file has class names or not."""
    path, peer = akamaster
    assert isinstance(cifar10.test, ImageArrays)
    few = cifar10.test.select(np.arange(500))
    data = DataSplits(name="cifar10", train=cifar10.train, test=few, classes=cifar10.classes)
    out, nameless = resnets.convert(path, tmp_path / "resnet20.safetensors").out, tmp_path / "nameless.safetensors"
    found = weights_file.load(out)
    weights_file.save(nameless, found.build(), input_spec=found.input_spec)
    assert resnets.evaluate(out, data).top1_error == error_of(peer, few)
    assert resnets.evaluate(nameless, data).top1_error == error_of(peer, few)


def test_without_class_names_predict_gives_their_numbers(tmp_path: Path) -> None:
    """Weights without class names predict `class 0` and so on."""
    Image.new("RGB", (40, 40), (200, 10, 10)).save(tmp_path / "red.png")
    weights_file.save(tmp_path / "w.safetensors", registry.create("resnet8"), input_spec=InputSpec(size=32, resize=32))
    prediction = resnets.predict(tmp_path / "w.safetensors", tmp_path / "red.png", top=10)[0]
    assert set(prediction.classes) == {f"class {number}" for number in range(10)}


@pytest.mark.parametrize("mean", ["pixel", "image"])
def test_bgr_of_0_to_255_is_predicted_and_evaluated_as_computed_by_hand(tmp_path: Path, mean: str) -> None:
    """The authors' input: bytes as they are, blue first, minus a mean in that order, resized by Pillow and cropped."""
    generator = np.random.default_rng(1)
    picture = Image.fromarray(generator.integers(0, 256, (50, 70, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    mean_array = np.array([103.06, 115.9, 123.15], np.float32)
    if mean == "image":
        mean_array = (mean_array[:, None, None] + generator.normal(0, 20, (3, 40, 40))).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean_array)
    network = registry.create("resnet8", shortcut="B")
    network.load_state_dict(trained(network))
    with torch.no_grad():
        network.conv1.weight /= 100  # for inputs of hundreds
    torch.save(network.state_dict(), tmp_path / "w.pth")
    done = resnets.convert(
        tmp_path / "w.pth",
        tmp_path / "w.safetensors",
        mean=tmp_path / "mean.npy",
        input={"size": 40, "resize": 44, "std": None, "max_value": 255, "channel_order": "BGR"},
    )
    assert done.input_spec is not None and (done.input_spec.mean is None) == (mean == "image")

    resized = picture.resize((int(70 * 44 / 50), 44), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 40) / 2), round((resized.height - 40) / 2)
    view = np.asarray(resized.crop((left, top, left + 40, top + 40))).astype(np.float32)
    planes = torch.from_numpy(view[..., ::-1].copy()).permute(2, 0, 1)  # (3, 40, 40), blue first
    planes -= torch.from_numpy(mean_array.reshape(3, 1, 1) if mean == "pixel" else mean_array)
    with torch.inference_mode():
        expected = network.eval()(planes[None]).softmax(1)[0]
    prediction = resnets.predict(done.out, tmp_path / "a.png", top=10)[0]
    order = [CIFAR10.classes.index(name) for name in prediction.classes]
    assert prediction.probabilities == pytest.approx(expected[order].tolist(), abs=1e-5)
    assert order[0] == int(expected.argmax()) and expected.max() < 0.99

    label = np.array([order[0]])
    files = DataSplits(
        name="one",
        train=ImageFiles((tmp_path / "a.png",), label),
        test=ImageFiles((tmp_path / "a.png",), label),
        classes=CIFAR10.classes,
    )
    loss = resnets.evaluate(done.out, files, workers=0).loss
    assert loss == pytest.approx(-float(expected[order[0]].log()), abs=1e-5)


def test_the_input_may_be_changed(akamaster: tuple[Path, Akamaster], tmp_path: Path) -> None:
    """Fields that are given replace the layout's, and are in the file."""
    out = tmp_path / "w.safetensors"
    found = resnets.convert(akamaster[0], out, input={"interpolation": "bicubic", "mean": [0, 0.5, 1], "size": 28})
    std = (0.229, 0.224, 0.225)
    expected = InputSpec(size=28, resize=32, mean=(0, 0.5, 1), std=std, interpolation="bicubic")
    assert weights_file.load(out).input_spec == found.input_spec == expected


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"resise": 32}, "'resise'.*resize"),
        ({"channel_order": "GBR"}, "'GBR'"),
        ({"max_value": 254}, "1 or 255"),
        ({"interpolation": "nearest"}, "bilinear or bicubic"),
        ({"mean": [0.5]}, "3 numbers"),
        ({"size": 0}, "from 1 to 4,096"),
        ({"size": 5000, "resize": 5000}, "5000.*4,096"),
        ({"size": 64}, "64.*32"),
        ({"mean": [0.5, float("nan"), 0.5]}, "3 numbers"),
        ({"std": [0.5, 0.0, 0.5]}, "positive"),
    ],
)
def test_a_wrong_input_is_refused(
    akamaster: tuple[Path, Akamaster], tmp_path: Path, wrong: dict[str, Any], named: str
) -> None:
    """The error names the field, its value or what would be right."""
    with pytest.raises(UsageError, match=named):
        resnets.convert(akamaster[0], tmp_path / "w.safetensors", input=wrong)


def test_a_grey_network_predicts_with_an_input_of_its_own(tmp_path: Path) -> None:
    """Without one a note says that it is needed; mean and std are one number, for one channel."""
    torch.save(registry.create("resnet18", num_classes=3, in_channels=1).state_dict(), tmp_path / "grey.pth")
    out = tmp_path / "w.safetensors"
    done = resnets.convert(tmp_path / "grey.pth", out)
    assert done.input_spec is None and any("--input" in note for note in done.notes)
    with pytest.raises(UsageError, match="must be 1 number,"):
        resnets.convert(tmp_path / "grey.pth", out, input={"mean": [0.5, 0.5, 0.5]})
    done = resnets.convert(tmp_path / "grey.pth", out, input={"mean": [0.5], "std": [0.2]})
    assert done.input_spec == InputSpec(size=224, resize=256, channels=1, mean=(0.5,), std=(0.2,))
    Image.new("RGB", (40, 40), (200, 10, 10)).save(tmp_path / "red.png")
    assert len(resnets.predict(out, tmp_path / "red.png")[0].classes) == 3


def test_an_input_of_other_channels_than_the_networks_is_refused(tmp_path: Path) -> None:
    """When a file is read, so that no image is made for a network that does not take it."""
    path, grey = tmp_path / "w.safetensors", InputSpec(size=32, resize=32, channels=1)
    weights_file.save(path, registry.create("resnet8"), input_spec=grey)
    with pytest.raises(WeightsError, match=r"1 channel, .*resnet8, takes 3"):
        weights_file.load(path)


def test_another_size_has_no_mean_image(tmp_path: Path) -> None:
    """Its mean of each channel takes its place, which is said; what could not be read replaces no file."""
    image = np.arange(8 * 8 * 3, dtype="<f4").reshape(8, 8, 3)
    spec = InputSpec(size=8, resize=8, mean_image=base64.b64encode(image.tobytes()).decode())
    source, out = tmp_path / "w.safetensors", tmp_path / "out.safetensors"
    network = registry.create("resnet8")
    weights_file.save(source, network, input_spec=spec)
    found = resnets.convert(source, out, input={"size": 6})
    mean = tuple(image.mean(axis=(0, 1), dtype=float).tolist())
    assert weights_file.load(out).input_spec == found.input_spec == InputSpec(size=6, resize=8, mean=mean)
    assert any("mean of each channel" in note for note in found.notes)
    assert resnets.convert(source, out, input={"resize": 40}).input_spec == spec.with_changes(resize=40)
    matrix = np.zeros(spec.numbers * (spec.numbers + 1) // 2, "<f4")
    weights_file.save(
        source, network, input_spec=spec.with_changes(whitening=base64.b64encode(matrix.tobytes()).decode())
    )
    before = out.read_bytes()
    for wrong in ({"size": 6}, {"size": 5000, "resize": 5000}, {"resize": True}, {"max_value": True}):
        with pytest.raises(UsageError):
            resnets.convert(source, out, input=wrong)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    "mean",
    [
        np.zeros((3, 30, 30), "f4"),
        np.zeros(4, "f4"),
        np.zeros((32, 32), "f4"),
        np.full(3, np.nan, "f4"),
        np.array([print], object),
    ],
)
def test_a_wrong_mean_is_refused(akamaster: tuple[Path, Akamaster], tmp_path: Path, mean: np.ndarray[Any, Any]) -> None:
    """A mean of another shape than (3,) or the input's, of NaN, or a pickle, is an error with the file's name."""
    np.save(tmp_path / "mean.npy", mean)
    with pytest.raises(WeightsError, match=r"mean\.npy"):
        resnets.convert(akamaster[0], tmp_path / "w.safetensors", mean=tmp_path / "mean.npy")


def test_class_names_come_from_a_file_or_are_known(akamaster: tuple[Path, Akamaster], tmp_path: Path) -> None:
    """Names are from a file or a list of the right length, else ImageNet's or CIFAR-10's."""
    names = [f"thing {number}" for number in range(10)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    out = tmp_path / "w.safetensors"
    assert resnets.convert(akamaster[0], out, classes=tmp_path / "names.txt").classes == tuple(names)
    assert weights_file.load(out).classes == tuple(names)
    with pytest.raises(UsageError, match="3 .* 10 "):
        resnets.convert(akamaster[0], out, classes=["a", "b", "c"])
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "r18.pth")
    imagenet = resnets.convert(tmp_path / "r18.pth", out).classes
    assert imagenet is not None and (imagenet[0], imagenet[-1], len(imagenet)) == ("tench", "toilet tissue", 1000)


def test_a_folder_for_the_hub_may_have_a_dot_in_its_name(akamaster: tuple[Path, Akamaster], tmp_path: Path) -> None:
    """Named as a folder, or there already; a name of a file is none."""
    assert resnets.convert(akamaster[0], tmp_path / "resnet20.v1", to="hub").to == "hub"
    assert (tmp_path / "resnet20.v1" / "config.json").exists()
    assert resnets.convert(akamaster[0], tmp_path / "resnet20.v1").to == "hub"
    with pytest.raises(UsageError, match="resnet20.v2"):
        resnets.convert(akamaster[0], tmp_path / "resnet20.v2")
    for name, to in (("a.pth", "hub"), ("a.v1", "torchvision"), ("a", "safetensors")):
        with pytest.raises(UsageError, match=f"for --to {to} the name must"):
            resnets.convert(akamaster[0], tmp_path / name, to=to)


def test_a_file_of_names_may_start_with_a_byte_order_mark_and_names_each_class_once(
    akamaster: tuple[Path, Akamaster], tmp_path: Path
) -> None:
    """A byte-order mark is no part of the first name, and a name that is there twice is an error."""
    names = [f"class-{number}" for number in range(10)]
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8-sig")
    done = resnets.convert(akamaster[0], tmp_path / "w.safetensors", classes=tmp_path / "names.txt")
    assert done.classes == tuple(names)
    for wrong in (["class-1", *names[1:]], ["", *names[1:]]):
        with pytest.raises(UsageError, match="class [01] is named"):
            resnets.convert(akamaster[0], tmp_path / "w.safetensors", classes=wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_wherever_they_are_read(
    akamaster: tuple[Path, Akamaster], tmp_path: Path, value: float
) -> None:
    """By convert, and from a file of the package by load, predict and evaluate."""
    resnets.convert(akamaster[0], tmp_path / "good.safetensors")
    state = torch.load(akamaster[0], weights_only=True)["state_dict"]
    tensor = next(tensor for key, tensor in state.items() if key.endswith("conv1.weight"))
    tensor[0, 0, 0, 0] = value
    torch.save({"state_dict": state}, tmp_path / "bad.th")
    with pytest.raises(WeightsError, match=r"1 of the 432 values of conv1.weight"):
        resnets.convert(tmp_path / "bad.th", tmp_path / "bad.safetensors")
    tensors, about = read_tensors(tmp_path / "good.safetensors")
    tensors["conv1.weight"][0, 0, 0, 0] = value
    write_tensors(tmp_path / "bad.safetensors", tensors, about)
    for use in (
        lambda: resnets.load(tmp_path / "bad.safetensors"),
        lambda: resnets.evaluate(tmp_path / "bad.safetensors", "digits"),
        lambda: resnets.predict(tmp_path / "bad.safetensors", tmp_path / "a.png"),
    ):
        with pytest.raises(WeightsError, match="conv1.weight"):
            use()


def test_imagenets_names_are_known_with_and_without_their_wordnet_ids(tmp_path: Path) -> None:
    """A data set has the ids of its folders, torchvision's weights the names alone."""
    names = ("tench", "goldfish")
    network = registry.create("resnet8", num_classes=2)
    weights_file.save(tmp_path / "w.safetensors", network, classes=names, input_spec=InputSpec(size=32, resize=32))
    images = ImageArrays(np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]))

    def data(*classes: str) -> DataSplits:
        return DataSplits(name="two", train=images, test=images, classes=classes)

    assert resnets.evaluate(tmp_path / "w.safetensors", data("n01440764 tench", "n01443537 goldfish")).samples == 2
    with pytest.warns(UserWarning, match="in another order"):
        resnets.evaluate(tmp_path / "w.safetensors", data("n01443537 goldfish", "n01440764 tench"))
    with pytest.raises(DataError, match="'n01443537 goldfish'.*'tench'"):
        resnets.evaluate(tmp_path / "w.safetensors", data("n01443537 goldfish", "n01484850 great white shark"))


# ---------------------------------------------------------------- out


def test_a_run_is_converted_like_a_file(digits_run: Path, tmp_path: Path) -> None:
    """A run's folder gives its weights, and not under another network's name."""
    done = resnets.convert(digits_run, tmp_path / "copy.safetensors")
    ours, copy = weights_file.load(digits_run / "weights.safetensors"), weights_file.load(done.out)
    assert (copy.spec, copy.classes, copy.input_spec) == (ours.spec, ours.classes, ours.input_spec)
    with pytest.raises(WeightsError, match="resnet8.*resnet20"):
        resnets.convert(digits_run, tmp_path / "copy.safetensors", network="resnet20")


@pytest.mark.parametrize(
    ("out", "to", "right"),
    [
        ("w.onnx", None, r"\.safetensors, \.pth or \.pt"),
        ("w.pth", "safetensors", r"\.safetensors"),
        ("w.pth", "hub", "folder"),
        ("w.pth", "caffe", "safetensors, torchvision, hub"),
    ],
)
def test_name_and_format_of_what_is_written_must_agree(
    akamaster: tuple[Path, Akamaster], tmp_path: Path, out: str, to: str | None, right: str
) -> None:
    """The ending names the format, and an unknown or another one is refused with the right ones."""
    with pytest.raises(UsageError, match=right):
        resnets.convert(akamaster[0], tmp_path / out, to=to)


def test_create_takes_another_projects_file(akamaster: tuple[Path, Akamaster], tmp_path: Path) -> None:
    """As the function that it is, which may have option A with its zeros on both sides."""
    counterpart = registry.create("resnet8", shortcut="B")
    torch.save(counterpart.state_dict(), tmp_path / "w.pth")
    network = resnets.create("resnet8", shortcut="B", weights=tmp_path / "w.pth")
    assert torch.equal(network.fc.weight, counterpart.fc.weight)
    assert resnets.create("resnet20", weights=akamaster[0]).spec.zeros == "around"  # type: ignore[union-attr]


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(("count", "shown"), [(1, "1: a"), (2, "2: a, b"), (3, "3: a, b, ...")])
def test_the_first_classes_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, shown: str
) -> None:
    """However few there are."""
    from resnets.cli import run

    network = registry.create("resnet8", num_classes=count)
    weights_file.save(tmp_path / "w.safetensors", network, classes=("a", "b", "c")[:count])
    assert run(["convert", str(tmp_path / "w.safetensors"), str(tmp_path / "out.safetensors")]) == 0
    assert f"classes  {shown}\n" in capsys.readouterr().out


def test_the_command_says_what_it_found(
    akamaster: tuple[Path, Akamaster], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints layout, network, classes and input, or one JSON object."""
    from resnets.cli import run

    assert run(["convert", str(akamaster[0]), str(tmp_path / "w.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert "(akamaster) ->" in shown
    assert "resnet20 (option A with its zeros half before, half after)" in shown
    assert "10: airplane, automobile, ..." in shown
    assert "32 x 32, RGB from 0 to 1, minus 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225" in shown
    assert run(["convert", str(akamaster[0]), str(tmp_path / "w.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layout"] == "akamaster"


def test_the_command_lists_all_that_does_not_fit_above_its_one_line(
    akamaster: tuple[Path, Akamaster], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each missing weight has a line before the error, and nothing is written."""
    from resnets.cli import run

    assert run(["convert", str(akamaster[0]), str(tmp_path / "w.safetensors"), "--network", "resnet26"]) == 1
    *listed, line = capsys.readouterr().err.splitlines()
    assert len(listed) == 3 * 10 and all(entry.startswith("missing     layer") for entry in listed)
    assert line.startswith("resnets: error: ") and "weights of another network than resnet26" in line
    assert not (tmp_path / "w.safetensors").exists()
    assert run(["convert", str(akamaster[0]), str(tmp_path / "w.safetensors"), "--input", "resize=32"]) == 2
    assert "--input is not JSON" in capsys.readouterr().err


def test_a_network_with_zeros_around_survives_the_file(tmp_path: Path, akamaster: tuple[Path, Akamaster]) -> None:
    """Saved, loaded and deepened, it keeps the zeros of option A on both sides."""
    out = resnets.convert(akamaster[0], tmp_path / "w.safetensors").out
    images: Tensor = torch.randn(2, 3, 32, 32)
    model = resnets.load(out)
    with torch.inference_mode():
        assert torch.allclose(model.network(images.to(model.device)).cpu(), akamaster[1](images), rtol=1e-4, atol=1e-5)
        deeper = resnets.deepen(model.network, 26).eval()
        assert torch.equal(deeper(images.to(model.device)), model.network(images.to(model.device)))
