"""A module that cannot be trained is refused before its folder is made, and one that can is left as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import resnets
from resnets.data.map_datasets import MapSplit
from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.runtime.device import place
from resnets.training.config import TrainingConfig, resolve


def noise(channels: int = 3, size: int = 8) -> DataSplits:
    """Eight images of four classes, prepared."""
    torch.manual_seed(0)
    split = MapSplit(TensorDataset(torch.rand(8, channels, size, size), torch.arange(8) % 4))
    return DataSplits(name="noise", train=split, test=split, classes=("a", "b", "c", "d"))


def train(network: nn.Module, out: Path, data: DataSplits | None = None, **settings: Any) -> resnets.TrainResult:
    """Train for one iteration."""
    options: dict[str, Any] = {"recipe": "digits", "iterations": 1, "batch_size": 4, "device": "cpu", "workers": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so short a training
        return resnets.train(network, data or noise(), out=out, **options, **settings)


class Own(nn.Module):
    """A linear classifier whose scores are returned by a function, and whose parts are given."""

    def __init__(self, returned: Callable[[Tensor], Any] = lambda scores: scores, **parts: nn.Module) -> None:
        super().__init__()
        self.fc, self.returned = nn.Linear(192, 4), returned
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, images: Tensor) -> Any:
        return self.returned(self.fc(images.flatten(1)))


class Extra(Own):
    """A module whose state is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": 1}


class Parameterless(nn.Module):
    """A module that learns nothing."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :4]


class Computed(Own):
    """A module that keeps a tensor that depends on its parameters, as torch's old weight_norm does."""

    def __init__(self) -> None:
        super().__init__()
        self.doubled = 2 * self.fc.weight


def linear(outputs: int) -> nn.Module:
    """Return a classifier of so many classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, outputs))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: linear(3), "(2, 3)"),
        (lambda: linear(30), "(2, 30)"),
        (lambda: Own(lambda scores: scores[:, :, None, None]), "(2, 4, 1, 1)"),
        (lambda: Own(lambda scores: {"logits": scores}), "dict"),
        (lambda: Own(lambda scores: [scores]), "list"),
        (lambda: Own(lambda scores: (scores, None)), "NoneType"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 4)), "3 x 8 x 8"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "1.weight"),
        (Parameterless, "no parameters"),
        (lambda: linear(4).requires_grad_(False), "frozen"),
        (lambda: Own(words=nn.Embedding(4, 8, sparse=True)), "words"),
        (Extra, "_extra_state"),
    ],
)
def test_what_is_refused(make: Callable[[], nn.Module], named: str, tmp_path: Path) -> None:
    """Other outputs than a score of each class, and what no optimiser or checkpoint takes; there is no folder then."""
    with pytest.raises(UsageError) as caught:
        train(make(), tmp_path / "run")
    assert named in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_only_an_average_needs_a_copy(tmp_path: Path) -> None:
    """A module that cannot be copied trains, but without a moving average."""
    with pytest.raises(UsageError, match="ema"):
        train(Computed(), tmp_path / "run", ema=0.9)
    train(Computed(), tmp_path / "run")


def test_convolutions_over_volumes_are_trained(tmp_path: Path) -> None:
    """Their weights, which have five dimensions, cannot be channels-last as those of images."""
    network = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    before = network[1].weight.clone()
    train(network, tmp_path / "run")
    assert not torch.equal(network[1].weight, before)


def test_weights_of_one_channel_have_the_strides_of_channels_last() -> None:
    """As their gradients have them, of which torch's distributed training would say that they do not match."""
    network = place(nn.Conv2d(1, 6, 3), torch.device("cpu"))
    assert network.weight.stride() == (9, 1, 3, 1)


def test_an_attribute_of_that_name_is_no_declaration(tmp_path: Path) -> None:
    """A module's own `spec` says nothing of batch norm's groups or of its depth."""
    network = Own()
    network.spec = type("Settings", (), {"bn_group": "none", "depth": "deep"})()  # type: ignore[assignment]
    options: dict[str, Any] = {"iterations": 1, "batch_size": 4, "device": "cpu", "workers": 0}
    resnets.train(network, noise(), recipe="cifar", out=tmp_path / "run", **options)


class Counting(Own):
    """A module that counts its calls, in a number and in a buffer, and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.tensor(0))
        self.fc.eval()

    def forward(self, images: Tensor) -> Any:
        self.calls += 1
        self.seen += 1
        return super().forward(images) + torch.rand(1)


def test_a_trial_leaves_no_trace() -> None:
    """The module is not called itself, and the random numbers of the training are those of its seed."""
    network = Counting()
    resolve(network, noise(), TrainingConfig(recipe="digits", iterations=1, device="cpu", seed=3))
    drawn = torch.rand(1)
    assert (network.calls, int(network.seen), network.training, network.fc.training) == (0, 0, True, False)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
