"""Gradients by layer: they are the gradients of the training's loss, and measuring them changes no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import resnets
from resnets.analysis.gradients import convolutions, measure
from resnets.cli import run
from resnets.data.splits import DataSplits
from resnets.errors import DataError, UsageError
from resnets.paper.recipes import CIFAR
from resnets.records import base
from resnets.records.analyses import GradientPoint, Gradients
from resnets.report.gradients import NOWHERE, findings, groups, headline

pytestmark = pytest.mark.usefixtures("one_thread")


def test_norms_are_those_of_autograd() -> None:
    """Of one mini-batch in training mode; projections are none of the layers, and the network stays as it was."""
    torch.manual_seed(0)
    network = resnets.create("resnet8", shortcut="B", num_classes=3).eval()
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 3
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = measure(network, [(images, labels)], torch.device("cpu"))
    assert not network.training and all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    expected = F.cross_entropy(network.train()(images), labels)
    expected.backward()
    assert found.loss == pytest.approx(expected.item(), rel=1e-5)
    layers = convolutions(network)
    assert list(layers) == ["conv1", *(f"layer{n}.0.conv{k}" for n in (1, 2, 3) for k in (1, 2))]
    of_layers = [layer.weight.grad for layer in layers.values() if layer.weight.grad is not None]
    assert found.gradients == pytest.approx([gradient.norm().item() for gradient in of_layers], rel=1e-4)
    assert found.weights == pytest.approx([layer.weight.detach().norm().item() for layer in layers.values()], rel=1e-4)


class Auxiliary(nn.Module):
    """A convolution whose maps two classifiers see, the second in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.other = nn.Conv2d(3, 2, 3), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Any:
        maps = self.conv(images).flatten(1)
        return (self.fc(maps), self.other(maps)) if self.training else self.fc(maps)


def test_the_loss_is_the_recipes() -> None:
    """Of all outputs in training, as the recipe weighs them."""
    torch.manual_seed(0)
    network, images, labels = Auxiliary(), torch.randn(8, 3, 4, 4), torch.arange(8) % 3
    recipe = CIFAR.with_changes(auxiliary_weight=0.5, label_smoothing=0.1)
    scores, others = network(images)
    expected = F.cross_entropy(scores, labels, label_smoothing=0.1)
    expected = expected + 0.5 * F.cross_entropy(others, labels, label_smoothing=0.1)
    (gradient,) = torch.autograd.grad(expected, [network.conv.weight])
    found = measure(network, [(images, labels)], torch.device("cpu"), recipe=recipe)
    assert found.loss == pytest.approx(expected.item(), rel=1e-5)
    assert found.gradients == pytest.approx([gradient.norm().item()], rel=1e-4)


def test_measuring_does_not_change_the_training(tiny_splits: DataSplits) -> None:
    """At the end the norms are the same however often they were measured; they differ from those of another seed."""
    often, once = (
        resnets.gradients("plain8", tiny_splits, seeds=2, iterations=6, points=points, batches=1) for points in (4, 1)
    )
    assert [point.iteration for point in often.networks[0].points] == [0, 2, 4, 6]
    assert [point.iteration for point in once.networks[0].points] == [0, 6]
    assert [one.points[-1] for one in often.networks] == [one.points[-1] for one in once.networks]
    first, second = (one.points[-1] for one in once.networks)
    assert first != second and first.gradients != once.networks[0].points[0].gradients


def test_a_run_is_measured_from_its_initial_weights_on(digits_run: Path) -> None:
    """Its initial weights are made again by its seed, and its checkpoints are read."""
    (of_run,) = resnets.gradients(digits_run, "digits", batches=1).networks
    (fresh,) = resnets.gradients("resnet8", "digits", seeds=1, batches=1).networks
    assert of_run.points[0] == fresh.points[0]
    assert of_run.points[-1].iteration == 30 and of_run.source == str(digits_run)
    assert of_run.points[-1].weights != of_run.points[0].weights


def test_what_cannot_be(digits_run: Path, tiny_splits: DataSplits) -> None:
    """A run is measured on what it was trained on; numbers are one or more; networks exist."""
    with pytest.raises(DataError, match="tiny"):
        resnets.gradients(digits_run, tiny_splits)
    with pytest.raises(UsageError, match="seeds is 0"):
        resnets.gradients("plain8", tiny_splits, seeds=0)
    begun: list[str] = []
    with pytest.raises(UsageError, match="plan20"):
        resnets.gradients(["plain8", "plan20"], tiny_splits, notify=begun.append)
    assert not begun


@pytest.fixture(scope="module")
def measured() -> Gradients:
    """A plain network at its start, of which a test changes the norms."""
    return resnets.gradients("plain8", "digits", seeds=1, batches=1)


@pytest.mark.parametrize(
    ("norms", "said"), [((300.0, 1.0), "grows 300-fold"), ((0.01, 1.0), "shrinks to 0.01"), ((2.0, 1.0), "2 times")]
)
def test_findings(norms: tuple[float, float], said: str, measured: Gradients) -> None:
    """What the gradient does towards the input, and whether it vanishes in a plain network."""
    one = measured.networks[0].with_changes(
        points=(GradientPoint(iteration=0, loss=1.0, gradients=norms, signals=norms, weights=norms),)
    )
    seeds = measured.with_changes(networks=(one, one.with_changes(seed=1)))
    assert [len(group.members) for group in groups(seeds)] == [2]
    first, last = findings(seeds)
    assert said in first and ("In no plain network" in last) == (norms[0] > 0.1)


def test_a_gradient_of_0_vanishes_and_one_that_is_not_finite_is_not_measured(measured: Gradients) -> None:
    """Neither is one that does not vanish."""
    for first, said in ((0.0, "vanishes towards the input"), (None, "not finite")):
        point = GradientPoint(iteration=0, loss=1.0, gradients=(first, 1.0), signals=(1.0, 1.0), weights=(1.0, 1.0))
        one = measured.networks[0].with_changes(points=(point,))
        changed = measured.with_changes(networks=(one,))
        assert said in headline(changed) and NOWHERE not in list(findings(changed))


def test_runs_of_one_seed_are_no_seeds_of_one_network(measured: Gradients) -> None:
    """As those with another shortcut: each is shown alone."""
    one = measured.networks[0]
    pair = measured.with_changes(networks=(one.with_changes(source="a"), one.with_changes(source="b")))
    assert [group.label for group in groups(pair)] == ["plain8 (a)", "plain8 (b)"]


def test_small_gradients_of_large_weights_do_not_vanish(measured: Gradients) -> None:
    """Batch norm divides a gradient by the scale of the weights, so the norms are multiplied before it is said."""
    start = GradientPoint(iteration=0, loss=1.0, gradients=(1.0, 1.0), signals=(1.0, 1.0), weights=(2.0, 2.0))
    for weights, said in (((60.0, 2.0), "grown 30-fold"), ((2.0, 2.0), "it vanishes")):
        end = start.with_changes(iteration=9, gradients=(0.04, 1.0), weights=weights)
        one = measured.networks[0].with_changes(points=(start, end))
        assert said in list(findings(measured.with_changes(networks=(one,))))[-1]


def test_the_command(digits_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the record, the figure and a page that needs no other file."""
    out = tmp_path / "why"
    arguments = ["gradients", "plain8", str(digits_run), "--data", "digits", "--seeds", "1", "--batches", "1"]
    assert run([*arguments, "--out", str(out)]) == 0
    assert "plain8: at initialisation" in capsys.readouterr().out
    found = base.read(out / "gradients.json", Gradients)
    assert found is not None and [one.network for one in found.networks] == ["plain8", "resnet8"]
    assert (out / "gradients.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "gradients.html").read_text()
    assert "<svg" in page and "<script src" not in page and "Cautions" in page
