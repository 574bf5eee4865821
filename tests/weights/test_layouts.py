"""Weights of each project's layout become a network here that computes the same."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from other_projects import (
    Akamaster,
    caffe2_blobs,
    caffe_blobs,
    caffe_forward,
    caffe_letters,
    close,
    detectron2_names,
    noise,
    trained,
)
from torch import Tensor, nn

import resnets
from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.networks.complexity import skeleton
from resnets.specs import InputSpec, ResNetSpec
from resnets.weights.import_weights import Imported, declare, import_weights
from resnets.weights.layouts import akamaster, caffe, recognise
from resnets.weights.layouts import torchvision as torchvision_layout
from resnets.weights.readers import read_foreign
from resnets.weights.sources import find_weights

IMAGENET = InputSpec(size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
FIFTY = (3, 4, 6, 3)


def images(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def logits(found: Imported, size: int) -> Tensor:
    return found.weights.build()(images(size))


@torch.inference_mode()
def run(network: nn.Module, state: dict[str, Tensor], size: int) -> Tensor:
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()(images(size))


@pytest.mark.parametrize("blocks", [3, 5])
def test_akamasters_option_a_has_its_zeros_on_both_sides(tmp_path: Path, blocks: int) -> None:
    """A checkpoint as its trainer writes it, of a network written down again in the tests."""
    path, peer = tmp_path / "checkpoint.th", Akamaster(blocks)
    state = trained(peer)
    checkpoint = {"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}, "best_prec1": 91.73}
    torch.save(checkpoint, path)
    found = import_weights(path)
    spec = found.weights.spec
    assert isinstance(spec, ResNetSpec)
    assert (found.layout, spec.name) == ("akamaster", f"resnet{6 * blocks + 2}")
    assert (spec.shortcut, spec.zeros) == ("A", "around")
    assert found.weights.input_spec == InputSpec(size=32, resize=32, mean=IMAGENET.mean, std=IMAGENET.std)
    expected = run(peer, state, 32)
    close(logits(found, 32), expected)
    appended = registry.create(spec.name).eval()  # with the zeros where they are otherwise it is another function
    with pytest.raises(WeightsError, match="zeros"):
        found.weights.load_into(appended)
    appended.load_state_dict(found.weights.tensors)
    with torch.inference_mode():
        assert not torch.allclose(appended(images(32)), expected, rtol=1e-2)


@pytest.mark.parametrize(("classes", "mean"), [(10, (0.4914, 0.4822, 0.4465)), (100, (0.507, 0.4865, 0.4409))])
def test_chenyaofo_has_option_b(tmp_path: Path, classes: int, mean: tuple[float, ...]) -> None:
    """Its names are torchvision's; the mean is that of the data set, which the number of classes determines."""
    path, counterpart = tmp_path / "cifar_resnet20.pt", registry.create("resnet20", shortcut="B", num_classes=classes)
    torch.save(trained(counterpart), path)
    found = import_weights(path)
    assert found.layout == "chenyaofo" and found.weights.spec == counterpart.spec
    assert found.weights.input_spec is not None and found.weights.input_spec.mean == mean
    close(logits(found, 32), run(counterpart, trained(counterpart), 32))


@pytest.mark.parametrize(("ours", "theirs"), [("resnet18", "resnet18"), ("resnet50_v1_5", "resnet50")])
def test_torchvisions_networks(tmp_path: Path, ours: str, theirs: str) -> None:
    """Weights of torchvision's ResNet-18 and ResNet-50 give their logits."""
    path = tmp_path / "weights.pth"
    with torch.device("meta"):
        peer = torchvision.models.get_model(theirs)
    state = trained(peer)
    torch.save(state, path)
    found = import_weights(path)
    assert found.layout == "torchvision" and found.weights.spec == registry.declare(ours)
    assert found.weights.input_spec == IMAGENET
    close(logits(found, 64), run(peer, state, 64))


def test_the_second_version_of_torchvisions_weights_is_known_by_its_file() -> None:
    """The file's name decides the size to resize to."""
    spec = registry.declare("resnet50_v1_5")
    second = torchvision_layout.LAYOUT.input_spec(spec, {"file": "resnet50-11ad3fa6.pth"})
    assert second is not None and (second.size, second.resize) == (224, 232)
    assert torchvision_layout.LAYOUT.input_spec(spec, {"file": "resnet50-0676ba61.pth"}) == IMAGENET
    assert torchvision_layout.LAYOUT.input_spec(spec, {"file": "mine.pth"}) == IMAGENET


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in torchvision_layout.NAMES if name != "googlenet"),
        ("googlenet", {"batch_norm": True, "branch3_kernel": 3, "pool4_kernel": 2, "lrn": False}),
        *((name, {"shortcut": "B"}) for name in ("resnet20", "resnet56", "resnet110", "resnet50_cifar")),
        ("resnet32", {"shortcut": "C"}),
        ("resnet34", {"shortcut": "C", "num_classes": 7}),
        ("resnet20", {"shortcut": "B", "in_channels": 1, "residual_layers": 3}),
    ],
)
def test_names_and_shapes_tell_the_network_and_its_options(name: str, options: dict[str, Any]) -> None:
    """With option B where names alone would not distinguish it from a plain one; nothing is allocated."""
    spec = registry.declare(name, **options)
    with torch.device("meta"):
        tensors = skeleton(spec).state_dict()
    layout = recognise(tensors, {})
    assert layout is not None and declare(tensors, layout) == spec


def test_a_network_that_shapes_cannot_tell_must_be_named(tmp_path: Path) -> None:
    """Option A and the plain counterpart have the same weights."""
    path, network = tmp_path / "weights.pth", registry.create("plain20")
    torch.save(network.state_dict(), path)
    with pytest.raises(WeightsError, match=r"convert --network resnet20.*--network plain20"):
        import_weights(path)
    assert import_weights(path, "plain20").weights.spec == network.spec
    assert import_weights(path, "resnet20").weights.spec == registry.declare("resnet20")
    assert import_weights(path, "resnet20").weights.input_spec is None


def test_a_name_with_another_stride_than_the_projects_is_refused() -> None:
    """resnet50 has the names and shapes of torchvision's and is another function; its published files are known."""
    with torch.device("meta"):
        tensors = skeleton(registry.declare("resnet50_v1_5")).state_dict()
    with pytest.raises(WeightsError, match="resnet50_v1_5"):
        declare(tensors, torchvision_layout.LAYOUT, "resnet50", {"file": "resnet50-0676ba61.pth"})
    with pytest.raises(WeightsError, match="resnet50$"):
        declare(tensors, caffe.LAYOUT, "resnet50_v1_5")


@pytest.mark.parametrize("name", ["resnet18", "plain18", "resnet50", "plain50"])
def test_imagenet_type_weights_without_projections_must_be_named(tmp_path: Path, name: str) -> None:
    """Also where the file names torchvision's network; the name makes them option A or the plain counterpart."""
    options: dict[str, Any] = {"shortcut": "A"} if name.startswith("resnet") else {}
    network, path = registry.create(name, num_classes=7, **options), tmp_path / "weights.pth"
    network.load_state_dict(state := trained(network))
    for content in (state, {"arch": name.replace("plain", "resnet"), "state_dict": state}):
        torch.save(content, path)
        with pytest.raises(WeightsError, match=r"--network resnet(18|50_v1_5)` or `--network plain(18|50_v1_5)`"):
            import_weights(path)
        found = import_weights(path, name)
        assert found.weights.spec == network.spec
    close(logits(found, 64), run(network, state, 64))


def test_a_name_decides_the_stride_of_weights_of_this_package(tmp_path: Path) -> None:
    """torch.save of either network has torchvision's names: what is assumed without a name is a note."""
    network, path = registry.create("resnet50", num_classes=3), tmp_path / "weights.pth"
    network.load_state_dict(state := trained(network))
    torch.save(state, path)
    named = import_weights(path, "resnet50")
    assert named.weights.spec == network.spec and ["resnet50_v1_5" in note for note in named.notes] == [True]
    close(logits(named, 64), run(network, state, 64))
    unnamed, v1_5 = import_weights(path), import_weights(path, "resnet50_v1_5")
    assert unnamed.weights.spec == v1_5.weights.spec == registry.declare("resnet50_v1_5", num_classes=3)
    assert ["1x1" in note for note in unnamed.notes] == [True] and v1_5.notes == ()
    with pytest.warns(UserWarning, match="1x1"):
        resnets.load(path, device="cpu")
    with pytest.warns(UserWarning, match="resnet50_v1_5"):
        assert resnets.create("resnet50", num_classes=3, weights=path).spec == network.spec  # type: ignore[attr-defined]


@pytest.mark.parametrize("layout", ["torchvision", "akamaster", "chenyaofo"])
def test_weights_of_grey_images_have_no_projects_input(tmp_path: Path, layout: str) -> None:
    """Its mean is of three channels, and its classes are of colour images."""
    options: dict[str, Any] = {"shortcut": "B"} if layout == "chenyaofo" else {}
    network = registry.create("resnet18" if layout == "torchvision" else "resnet20", in_channels=1, **options)
    names = {"fc.": "linear."} if layout == "akamaster" else {}
    state = {key.replace("fc.", names.get("fc.", "fc.")): tensor for key, tensor in network.state_dict().items()}
    torch.save(state, path := tmp_path / "weights.pth")
    found = find_weights(path)
    assert found.layout == layout and found.weights.spec is not None and found.weights.spec.in_channels == 1
    assert found.weights.input_spec is None and found.weights.classes is None


def test_a_plain_name_for_weights_of_residual_networks_is_refused() -> None:
    """akamaster's have option A, so that their names and shapes are a plain network's too."""
    tensors = skeleton(registry.declare("plain20")).state_dict()
    with pytest.raises(WeightsError, match="plain20.*akamaster"):
        declare(tensors, akamaster.LAYOUT, "plain20")


def test_what_does_not_fit_is_listed_key_by_key(tmp_path: Path) -> None:
    """Missing, unexpected and differently shaped weights are each a detail of the error."""
    path, tensors = tmp_path / "weights.pth", registry.create("resnet20", shortcut="B").state_dict()
    tensors["layer1.0.conv2.weight"] = torch.zeros(16, 16, 1, 1)
    tensors["extra.weight"] = torch.zeros(3)
    for key in [key for key in tensors if key.startswith("layer3.2.")]:
        del tensors[key]
    torch.save(tensors, path)
    with pytest.raises(WeightsError, match="resnet20.* and 6 more") as caught:
        import_weights(path, "resnet20")
    details = caught.value.details
    assert len(details) == 12 and "\n" not in str(caught.value)
    assert "missing     layer3.2.conv1.weight (64, 64, 3, 3)" in details
    assert "unexpected  extra.weight (3,)" in details
    assert "other shape layer1.0.conv2.weight (16, 16, 1, 1) instead of (16, 16, 3, 3)" in details


def test_an_unknown_layout_lists_its_names(tmp_path: Path) -> None:
    """The error names the known layouts, and its details the file's weights."""
    path = tmp_path / "weights.pth"
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(6, 2)}, path)
    with pytest.raises(WeightsError, match="akamaster, chenyaofo, .*torchvision") as caught:
        import_weights(path)
    assert caught.value.details == ("blocks.0.attn.qkv.weight (6, 2)",)


# ---------------------------------------------------------------- the authors' networks


@pytest.fixture(scope="module")
def authors() -> tuple[dict[str, list[Tensor]], Tensor]:
    """Blobs of a ResNet-50 under the authors' names, and what their prototxt makes of two images."""
    blobs = caffe_blobs(FIFTY)
    with torch.inference_mode():
        return blobs, caffe_forward(blobs, images(75), FIFTY)


def check_authors(path: Path, expected: Tensor) -> None:
    found = import_weights(path)
    assert found.weights.spec is not None and found.weights.spec.name == "resnet50"
    input_spec = found.weights.input_spec
    assert input_spec is not None and (input_spec.max_value, input_spec.channel_order) == (255, "BGR")
    assert input_spec.mean == pytest.approx((103.06, 115.90, 123.15), abs=0.01)
    close(logits(found, 75), expected)


def test_the_authors_caffe_networks(tmp_path: Path, authors: tuple[dict[str, list[Tensor]], Tensor]) -> None:
    """At 75 pixels the windows of Caffe's pooling and of a padded one lie differently."""
    blobs, expected = authors
    path = tmp_path / "ResNet-50.npz"
    np.savez(path, **{f"{layer}/{i}": blob.numpy() for layer, parts in blobs.items() for i, blob in enumerate(parts)})
    check_authors(path, expected)


def test_detectron2s_pickles_of_the_authors_networks(
    tmp_path: Path, authors: tuple[dict[str, list[Tensor]], Tensor]
) -> None:
    """The authors' weights in Caffe2's names give the prototxt's logits."""
    blobs, expected = authors
    path = tmp_path / "R-50.pkl"
    arrays = {key: tensor.numpy() for key, tensor in caffe2_blobs(blobs).items()}
    path.write_bytes(pickle.dumps({"blobs": arrays}, protocol=2))
    check_authors(path, expected)


def test_detectron2s_pickles_of_torchvisions_networks(tmp_path: Path) -> None:
    """torchvision's weights in Detectron2's names give torchvision's logits."""
    path, peer = tmp_path / "r18.pkl", torchvision.models.resnet18()
    state = trained(peer)
    arrays = {key: tensor.numpy() for key, tensor in detectron2_names(state).items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "torchvision", "matching_heuristics": True}))
    found = import_weights(path)
    assert found.weights.spec == registry.declare("resnet18") and found.weights.input_spec == IMAGENET
    close(logits(found, 64), run(peer, state, 64))


def test_the_hdf5_that_caffe_writes_is_read_as_the_archive_is(tmp_path: Path) -> None:
    """HDF5 and NumPy archives give the same tensors, with batch norm's scale divided out."""
    h5py = pytest.importorskip("h5py")
    blobs = {"conv1": [noise((4, 3, 7, 7))], "bn_conv1": [noise((4,)), noise((4,)).abs(), torch.tensor([2.0])]}
    flat = {f"{layer}/{i}": blob for layer, parts in blobs.items() for i, blob in enumerate(parts)}
    np.savez(tmp_path / "a.npz", **{key: blob.numpy() for key, blob in flat.items()})
    with h5py.File(tmp_path / "a.caffemodel.h5", "w") as file:
        for key, blob in flat.items():
            file[f"data/{key}"] = blob.numpy()
    read = [read_foreign(tmp_path / name)[0] for name in ("a.npz", "a.caffemodel.h5")]
    renamed = [caffe.LAYOUT.rename(tensors) for tensors in read]
    assert renamed[0].keys() == renamed[1].keys() == {"conv1.weight", "bn1.running_mean", "bn1.running_var"}
    assert all(torch.equal(renamed[0][key], renamed[1][key]) for key in renamed[0])
    assert torch.equal(renamed[0]["bn1.running_mean"], blobs["bn_conv1"][0] / 2)


@pytest.mark.parametrize(("name", "counts"), [("resnet101", (3, 4, 23, 3)), ("resnet152", (3, 8, 36, 3))])
def test_the_authors_names_of_the_deeper_networks(name: str, counts: tuple[int, ...]) -> None:
    """Their long stages go on as 4b1, 4b2 ... instead of b, c ..."""
    layers = [
        "conv1",
        *(f"res{block}_branch2a" for stage, n in enumerate(counts, 2) for block in caffe_letters(stage, n)),
    ]
    renamed = caffe.LAYOUT.rename({f"{layer}/0": torch.zeros(1, 1, 1, 1) for layer in layers})
    expected = {key for key in skeleton(registry.declare(name)).state_dict() if key.endswith("conv1.weight")}
    assert set(renamed) == expected
