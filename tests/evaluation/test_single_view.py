"""A test sees each sample once, changes nothing in the network, and counts what the network alone decides."""

from __future__ import annotations

import fake_cuda
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnets.data import arrays, normalization
from resnets.data.arrays import ImageArrays, ResidentImages
from resnets.evaluation.metrics import Counts
from resnets.evaluation.single_view import SingleView
from resnets.networks.registry import create
from resnets.runtime.device import Precision
from resnets.specs import InputSpec, Preprocessing


def _split(samples: int) -> ImageArrays:
    generator = np.random.default_rng(samples)
    images = generator.integers(0, 256, (samples, 8, 8, 1), dtype=np.uint8)
    return ImageArrays(images, generator.integers(0, 4, samples))


def _network() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(4 * 36, 4))


def _test(network: nn.Module, split: ImageArrays, input_spec: InputSpec, batch_size: int = 256) -> Counts:
    test = SingleView(network, split, input_spec, classes=4, device=torch.device("cpu"))
    return test("fp32", batch_size=batch_size)


@pytest.fixture
def input_spec() -> InputSpec:
    return normalization.fit(_split(50).images, Preprocessing(mean="pixel"))


@pytest.mark.parametrize("samples", [1, 6, 7, 8, 20])
@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_every_sample_once(input_spec: InputSpec, samples: int, batch_size: int) -> None:
    """For every size of the split and the batch, each sample is counted once and gets the same answer."""
    split, network = _split(samples), _network()
    counts = _test(network, split, input_spec, batch_size)
    assert counts.samples == samples
    one_by_one = [_test(network, split.select(np.array([i])), input_spec).confusion for i in range(samples)]
    assert torch.equal(counts.confusion, torch.stack(one_by_one).sum(0))


@pytest.mark.parametrize(("samples", "precision"), [(1, "fp32"), (300, "fp32"), (700, "fp32"), (700, "bf16")])
def test_images_resident_on_a_gpu_give_the_same_counts(
    monkeypatch: pytest.MonkeyPatch, samples: int, precision: Precision
) -> None:
    """By recorded batches of one size, the last of which reads some images twice; after training, too."""
    recordings = fake_cuda.install(monkeypatch)
    monkeypatch.setattr(arrays, "TESTED_PIXELS", 1)  # 256 images at a time, the least

    def resident_on_gpu(self: ImageArrays, input_spec: InputSpec, device: torch.device) -> ResidentImages | None:
        return ResidentImages(self, input_spec, device) if device is GPU else None

    monkeypatch.setattr(ImageArrays, "resident", resident_on_gpu)
    split = _split(samples)
    input_spec = normalization.fit(split.images, Preprocessing(mean="pixel", std=True))
    torch.manual_seed(0)
    network = create("resnet8", in_channels=1, num_classes=4)
    CPU, GPU = torch.device("cpu"), torch.device("cpu")
    plain, resident = (SingleView(network, split, input_spec, classes=4, device=device) for device in (CPU, GPU))
    for _ in range(5):
        ours, theirs = resident(precision), plain(precision)
        assert torch.equal(ours.confusion, theirs.confusion) and ours.in_top5 == theirs.in_top5
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        with torch.no_grad():
            network(torch.randn(16, 1, 8, 8))  # moves the statistics, and here weights follow
            network.fc.weight.add_(torch.randn_like(network.fc.weight))
    assert len(recordings) == 1


@pytest.mark.parametrize("training", [True, False])
def test_network_is_left_as_it_was(input_spec: InputSpec, training: bool) -> None:
    """The mode is restored; weights, batch norm statistics, gradients and random numbers are untouched."""
    network = _network().train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.random.get_rng_state()
    _test(network, _split(30), input_spec)
    assert all(module.training == training for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), random)
    network(torch.zeros(2, 1, 8, 8)).sum().backward()  # and it can be trained on


def test_training_mode_does_not_show(input_spec: InputSpec) -> None:
    """A network is tested in evaluation mode, whatever mode it is in: without dropout, on running statistics."""
    network, split = _network(), _split(30)
    assert _test(network.train(), split, input_spec).loss == _test(network.eval(), split, input_spec).loss


def test_mode_is_restored_after_an_error(input_spec: InputSpec) -> None:
    """Also when the network fails on the way."""

    class Fails(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise ArithmeticError

    network = Fails().train()
    with pytest.raises(ArithmeticError):
        _test(network, _split(3), input_spec)
    assert network.training
