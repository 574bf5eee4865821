"""Batch norm's statistics recalibrated: the exact mean and variance of what each layer is given in training."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from small_runs import CPU, RECIPE, job, run
from torch import Tensor, nn

import resnets
from resnets.errors import UsageError
from resnets.networks.batch_norm import BatchNorm2d
from resnets.training.recalibration import recompute_statistics
from resnets.training.run_folder import RunFolder
from resnets.weights.tensor_file import read_tensors


def _network(group: int | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    first, second = BatchNorm2d(3, group=group), BatchNorm2d(4, group=group)
    return nn.Sequential(first, nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), second, nn.Dropout(0.5)).train()


def _batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(3 + 2 * torch.randn(n, 3, 6, 6, generator=generator), torch.zeros(n)) for n in sizes]


def _expect(norm: nn.Module, inputs: Tensor) -> None:
    """The statistics of a layer are the mean and the unbiased variance of its inputs, over images and positions."""
    values = inputs.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, values.mean(1).float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, values.var(1).float(), rtol=1e-5, atol=1e-6)


def test_one_batch_is_torchs_own() -> None:
    """Of one mini-batch they are what torch's running statistics are with momentum 1."""
    network, reference = _network(), _network()
    ((images, labels),) = _batches(16)
    recompute_statistics(network, [(images, labels)], 16, CPU)
    for norm in (reference[0], reference[3]):
        norm.momentum = 1.0
    reference(images)
    for which in (0, 3):
        _expect(network[which], images if which == 0 else _inputs_of_second(_network(), images, 16))
        torch.testing.assert_close(network[which].running_mean, reference[which].running_mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(network[which].running_var, reference[which].running_var, rtol=1e-5, atol=1e-6)


def _inputs_of_second(network: nn.Sequential, images: Tensor, group: int) -> Tensor:
    """Return what the second batch norm is given: each group of images normalised by its own statistics upstream."""
    with torch.no_grad():
        return torch.cat([network[2](network[1](network[0](part))) for part in images.split(group)])


@pytest.mark.parametrize("group", [None, 4])
def test_all_images_count_the_same(group: int | None) -> None:
    """Over mini-batches of different sizes, with and without groups: no image counts more for being seen last."""
    batches = _batches(12, 8, 4)
    network = _network(group)
    recompute_statistics(network, batches, 24, CPU)
    _expect(network[0], torch.cat([images for images, _ in batches]))
    inputs = [_inputs_of_second(_network(), images, group or len(images)) for images, _ in batches]
    _expect(network[3], torch.cat(inputs))


def test_so_many_images_and_no_more() -> None:
    """Statistics are of exactly the requested number of images."""
    batches = _batches(12, 8, 4)
    network = _network()
    recompute_statistics(network, batches, 15, CPU)
    _expect(network[0], torch.cat([batches[0][0], batches[1][0][:3]]))


@pytest.mark.parametrize(("group", "count"), [(None, 13), (4, 5), (4, 17)])
def test_no_image_is_alone(group: int | None, count: int) -> None:
    """Of maps of one pixel torch refuses a group of one image, so the last group then has two."""
    batches = _batches(12, 8)
    norm = BatchNorm2d(3, group=group)
    recompute_statistics(nn.Sequential(nn.AdaptiveAvgPool2d(1), norm), batches, count, CPU)
    images = torch.cat([images for images, _ in batches])
    _expect(norm, images[: count + 1].mean((2, 3), keepdim=True))


def test_nothing_else_changes() -> None:
    """Weights, counters, modes and momenta stay, no random number is drawn, and no hook is left."""
    network = _network()
    network[3].eval()  # frozen
    whole = pickle.dumps(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random = torch.random.get_rng_state()
    recompute_statistics(network, _batches(8), 8, CPU)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"{which}.running_{what}" for which in (0, 3) for what in ("mean", "var")}
    assert [module.training for module in network] == [True, True, True, False, True]
    assert torch.equal(torch.random.get_rng_state(), random)
    network.load_state_dict(before)
    assert pickle.dumps(network) == whole


def test_a_run_ends_with_it(reference: Path, tmp_path: Path) -> None:
    """The weights that are saved and tested have them, of what would have come next; its training was the same."""
    small = job(recipe=RECIPE.with_changes(bn_images=40))
    run(small, tmp_path)
    saved = []
    for path in (reference, tmp_path):
        with RunFolder(path) as folder:
            saved.append(read_tensors(folder.weights)[0])
    different = {name for name in saved[0] if not torch.equal(saved[0][name], saved[1][name])}
    assert different == {"bn.running_mean", "bn.running_var"}
    images = torch.cat([images for images, _ in small.train.batches(RECIPE.iterations, RECIPE.iterations + 3)])[:40]
    network = small.training.network
    maps = network.conv(images)  # type: ignore[operator]
    torch.testing.assert_close(saved[1]["bn.running_mean"], maps.mean((0, 2, 3)).detach(), rtol=1e-4, atol=1e-5)


def test_a_network_without_batch_norm_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    """`bn_images` for a network without batch norm is an error, and nothing is written."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(UsageError, match="bn_images"):
        resnets.train(network, "digits", bn_images=100, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="bn_images is 0"):
        RECIPE.with_changes(bn_images=0)
