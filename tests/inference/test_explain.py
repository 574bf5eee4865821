"""Class activation maps: those of captum and of the definition, in their place on the image."""

from __future__ import annotations

import dataclasses
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import resnets
from resnets.errors import UsageError
from resnets.inference.activation import class_activation
from resnets.inference.explain import Explainer
from resnets.inference.model import Model
from resnets.specs import InputSpec


class Flattening(nn.Module):
    """A custom network: no global pooling, a ReLU in place after the last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 3), nn.ReLU(True))
        self.head = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(4))
        self.eval()(torch.zeros(1, 3, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = Flattening() if name == "own" else resnets.create(name, num_classes=7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # else every image's logits are nearly the same
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("resnet8", "layer3", 32),
        ("plain8", "layer3", 32),
        ("resnet50", "layer4", 64),
        ("vgg16", "features.29", 64),
        ("dsn", "cccp6", 32),
        ("googlenet", "inception5b", 64),
        ("own", "body.3", 32),
    ],
)
def test_maps_are_captums(name: str, layer: str, size: int) -> None:
    """On the layer that Grad-CAM is taken of, for a class that is chosen for each image, up to one factor."""
    captum = pytest.importorskip("captum.attr")
    network = make(name)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    classes = torch.tensor([1, 3])
    _, ours = class_activation(network, images, classes)
    theirs = captum.LayerGradCam(network, network.get_submodule(layer)).attribute(
        images, target=classes, relu_attributions=True
    )
    theirs = theirs.detach()[:, 0]
    assert ours.shape == theirs.shape and theirs.sum() > 0
    scaled = ours * (theirs.sum() / ours.sum())
    torch.testing.assert_close(scaled, theirs, rtol=1e-4, atol=1e-4 * float(theirs.max()))


@pytest.mark.parametrize("name", ["nin", "maxout", "fitnet19", "highway19"])
def test_every_family_has_maps(name: str) -> None:
    """Also where a layer runs several times, or maps are made without a layer; logits are the network's."""
    network = make(name)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    logits, maps = class_activation(network, images)
    with torch.no_grad():
        torch.testing.assert_close(logits, network(images))
    assert maps.shape[1:].numel() > 1 and maps.min() >= 0 and maps.amax((1, 2)).min() > 0


def test_after_global_average_pooling_a_map_is_the_weights_times_the_features() -> None:
    """The class activation map of Zhou et al., of the most probable class; nothing is left on the network."""
    network = make("resnet20")
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():  # as a server may be in
        logits, maps = class_activation(network, images)
        best = network(images).argmax(1)
        expected = torch.einsum("nc,nchw->nhw", network.fc.weight[best], network.features(images)).relu()
    assert torch.equal(logits.argmax(1), best)
    torch.testing.assert_close(64 * maps, expected, rtol=1e-4, atol=1e-5)
    assert all(parameter.grad is None for parameter in network.parameters())


class Reds(nn.Module):
    """The evidence for "red" is where an image is red, and for "blue" where it is blue."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        colours = torch.tensor([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]])
        self.conv.weight.data = colours[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        other = threading.Thread(target=lambda: self.conv(x.clone()))  # as a server's
        other.start()
        other.join()
        return 50 * self.conv(x).relu().mean((2, 3))


@pytest.fixture
def reds() -> Model:
    spec = InputSpec(size=40, resize=50)
    return Model(Path("reds"), Reds().eval(), ("red", "blue"), spec, torch.device("cpu"))


def picture() -> Image.Image:
    """Black, 200 wide and 100 high, with a red square about (80, 40) and a smaller blue one about (121, 61)."""
    image = Image.new("RGB", (200, 100))
    image.paste((255, 0, 0), (70, 30, 90, 50))
    image.paste((0, 0, 255), (116, 56, 126, 66))
    return image


def test_a_map_is_in_its_place_on_the_image(reds: Model) -> None:
    """The view is the centre, the peak is in the square of the class's colour, and the rest of the picture is dim.

    What another thread computes by the network meanwhile does not count.
    """
    explainer, image = Explainer(reds), picture()
    red, blue = explainer(image), explainer(image, class_name="blue")
    assert red.class_name == red.prediction.classes[0] == "red" and blue.prediction == red.prediction
    assert red.region == (60, 10, 140, 90) and red.size == (200, 100)
    assert red.map.shape == (40, 40) and (red.map.min(), red.map.max()) == (0, 1)
    assert 70 <= red.peak[0] < 90 and 30 <= red.peak[1] < 50
    assert 116 <= blue.peak[0] < 126 and 56 <= blue.peak[1] < 66
    drawn = red.drawn_on(image)
    assert drawn.size == (200, 100)
    strong, weak, outside = (np.array(drawn.getpixel(at), int) for at in ((80, 40), (100, 80), (20, 50)))
    assert strong.sum() > weak.sum() and len(set(outside)) == 1 and 60 < outside[0] < 128
    content = BytesIO()
    image.save(content, "PNG")
    assert np.array_equal(explainer(content.getvalue()).map, red.map)


def test_the_network_is_given_what_predict_gives_it(reds: Model, tmp_path: Path) -> None:
    """Also of photos that are decoded at a reduced size; the region is of the whole photo."""
    assert reds.input_spec is not None
    model = dataclasses.replace(reds, input_spec=reds.input_spec.with_changes(decode="reduced"))
    picture().resize((1600, 800)).save(tmp_path / "large.jpg")
    found = Explainer(model)(tmp_path / "large.jpg")
    assert found.prediction.probabilities == model.predict(tmp_path / "large.jpg").probabilities
    assert found.region == (480, 80, 1120, 720) and found.size == (1600, 800)


def test_a_network_without_maps_is_refused() -> None:
    """The error names it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(UsageError, match="Sequential"):
        class_activation(network, torch.zeros(1, 3, 2, 2))
