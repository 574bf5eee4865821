"""Grouped batch norm is what separate batch norms on the paper's several GPUs are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnets.networks import registry
from resnets.networks.batch_norm import BatchNorm2d


def maps(count: int, channels: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 + 3 * torch.randn(count, channels, 4, 3, generator=generator, dtype=torch.float64)


def norms(group: int, channels: int = 5) -> tuple[BatchNorm2d, nn.BatchNorm2d]:
    """Return a grouped and an ordinary batch norm with the same weights."""
    grouped, plain = BatchNorm2d(channels, group).double(), nn.BatchNorm2d(channels).double()
    with torch.no_grad():
        grouped.weight.copy_(torch.linspace(0.5, 1.5, channels))
        grouped.bias.copy_(torch.linspace(-1, 1, channels))
    plain.load_state_dict(grouped.state_dict())
    return grouped, plain


@pytest.fixture(params=["group by group", "at once"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the groups computed as on a CPU, and as on a GPU."""
    if request.param == "at once":
        monkeypatch.setattr(BatchNorm2d, "groups_at_once", lambda norm, input: len(input) % norm.group == 0)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize(("count", "group"), [(8, 4), (6, 2), (8, 8), (4, 8), (7, 3), (5, 4)])
def test_outputs_and_gradients_are_those_of_a_batch_norm_on_each_group(count: int, group: int) -> None:
    """Also where the last group is smaller, and where the batch is one group or less."""
    grouped, plain = norms(group)
    ours, theirs = maps(count).requires_grad_(), maps(count).requires_grad_()
    weights = maps(count).sin()  # some loss that distinguishes all elements
    (grouped(ours) * weights).sum().backward()
    torch.cat([plain(part) for part in theirs.split(group)]).mul(weights).sum().backward()
    torch.testing.assert_close(grouped(ours), torch.cat([plain(part) for part in theirs.split(group)]))
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(grouped.weight.grad, plain.weight.grad)
    torch.testing.assert_close(grouped.bias.grad, plain.bias.grad)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize(("count", "group"), [(8, 4), (7, 3)])
def test_running_statistics_move_once_towards_the_mean_of_the_groups(count: int, group: int) -> None:
    """Each group's mean and unbiased variance weigh as its images do; the momentum is the ordinary 0.1."""
    grouped, _ = norms(group)
    x = maps(count)
    grouped(x)
    parts = [part.transpose(0, 1).flatten(1) for part in x.split(group)]  # (C, n * H * W)
    shares = [part.shape[0] / count for part in x.split(group)]
    mean = sum(share * part.mean(1) for share, part in zip(shares, parts, strict=True))
    variance = sum(share * part.var(1) for share, part in zip(shares, parts, strict=True))
    torch.testing.assert_close(grouped.running_mean, 0.1 * mean)
    torch.testing.assert_close(grouped.running_var, 0.9 + 0.1 * variance)
    assert grouped.num_batches_tracked == 1


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_both_ways_agree_in_bf16_and_keep_the_memory_format(
    monkeypatch: pytest.MonkeyPatch, memory_format: torch.memory_format
) -> None:
    """Statistics and sums are float32 whatever the activations are: outputs differ by bf16's rounding alone."""
    found = []
    for at_once in (False, True):
        monkeypatch.setattr(BatchNorm2d, "groups_at_once", lambda *_, at_once=at_once: at_once)
        grouped = norms(4)[0].float()
        x = maps(8).bfloat16().contiguous(memory_format=memory_format).requires_grad_()
        out = grouped(x)
        out.float().square().sum().backward()
        assert out.dtype == torch.bfloat16 and out.is_contiguous(memory_format=memory_format)
        found.append((out, x.grad, grouped.weight.grad, grouped.running_mean, grouped.running_var))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_batch_of_one_group_is_ordinary_batch_norm_statistics_included() -> None:
    """A batch of one group has the outputs and running statistics of nn.BatchNorm2d."""
    grouped, plain = norms(8)
    torch.testing.assert_close(grouped(maps(8)), plain(maps(8)), rtol=0, atol=0)
    torch.testing.assert_close(grouped.running_mean, plain.running_mean, rtol=0, atol=0)
    torch.testing.assert_close(grouped.running_var, plain.running_var, rtol=0, atol=0)


def test_evaluation_is_ordinary_batch_norm_whatever_the_batch() -> None:
    """In evaluation mode groups do not exist."""
    grouped, plain = norms(2)
    grouped(maps(8))
    plain.load_state_dict(grouped.state_dict())
    grouped.eval(), plain.eval()
    assert torch.equal(grouped(maps(8)), plain(maps(8)))
    assert torch.equal(grouped(maps(8))[:1], grouped(maps(8)[:1]))


def test_averages_of_weights_can_have_statistics_of_their_own() -> None:
    """`torch.optim.swa_utils.update_bn` takes the momentum away: statistics are then the mean over all batches."""
    grouped, _ = norms(4)
    batches = [maps(8), maps(8).sin()]
    torch.optim.swa_utils.update_bn(batches, grouped)
    mean = sum(batch.mean((0, 2, 3)) for batch in batches) / 2
    torch.testing.assert_close(grouped.running_mean, mean)
    assert grouped.momentum == 0.1


@pytest.mark.usefixtures("_either_way")
def test_groups_do_not_see_each_other() -> None:
    """Changing the second half of a batch leaves the first half's outputs alone; in one group it does not."""
    halves, whole = norms(4)
    x, y = maps(8), maps(8)
    y[4:] *= 10
    assert torch.equal(halves(x)[:4], halves(y)[:4])
    assert not torch.allclose(whole(x)[:4], whole(y)[:4])


def test_bn_group_reaches_every_batch_norm_and_leaves_the_state_dict_alone() -> None:
    """All 21 batch norms of the network have the group, and its weights fit the network without groups."""
    grouped, plain = registry.create("resnet20", shortcut="B", bn_group=64), registry.create("resnet20", shortcut="B")
    layers = [module for module in grouped.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(layers) == 21 and all(isinstance(layer, BatchNorm2d) and layer.group == 64 for layer in layers)
    assert list(grouped.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(grouped.state_dict())
    x = torch.randn(3, 3, 32, 32)
    assert torch.equal(grouped.eval()(x), plain.eval()(x))


def test_a_networks_gradient_in_groups_is_the_mean_of_the_gpus_gradients() -> None:
    """A step on 8 images in groups of 4 is the step of two GPUs with 4 images each: the paper's arrangement."""
    torch.manual_seed(0)
    network = registry.create("resnet8", bn_group=4).double().train()
    images, labels = torch.randn(8, 3, 16, 16).double(), torch.arange(8)

    def gradients(images: Tensor, labels: Tensor) -> list[Tensor]:
        loss = nn.functional.cross_entropy(network(images), labels)
        return list(torch.autograd.grad(loss, list(network.parameters())))

    once = gradients(images, labels)
    gpus = zip(gradients(images[:4], labels[:4]), gradients(images[4:], labels[4:]), strict=True)
    for ours, (first, second) in zip(once, gpus, strict=True):
        torch.testing.assert_close(ours, (first + second) / 2)
