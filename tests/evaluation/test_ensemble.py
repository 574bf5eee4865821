"""An ensemble is the mean of its members' probabilities, on the same images, each member counted alone as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from resnets.errors import DataError
from resnets.evaluation.ensemble import ensemble
from resnets.evaluation.metrics import Counts
from resnets.evaluation.multi_view import Scored


def _pass(probabilities: Tensor, labels: Tensor, order: list[int], stretch: int = 3) -> Iterator[Scored]:
    """Yield the images in an order and in stretches of their own, as shapes may put them together."""
    for part in torch.tensor(order).split(stretch):
        yield Scored(part, labels[part], probabilities[part])


def _random(members: int, samples: int, classes: int) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(samples)
    logits = 2 * torch.randn(members, samples, classes, generator=generator)
    return list(logits.softmax(2)), torch.randint(0, classes, (samples,), generator=generator)


@pytest.mark.parametrize("samples", [1, 7, 100])
@pytest.mark.parametrize("members", [1, 2, 6])
def test_the_mean_of_the_probabilities_decides(members: int, samples: int) -> None:
    probabilities, labels = _random(members, samples, 8)
    orders = [torch.randperm(samples, generator=torch.Generator().manual_seed(i)).tolist() for i in range(members)]
    together, alone = ensemble(
        [_pass(each, labels, order) for each, order in zip(probabilities, orders, strict=True)], samples, 8
    )
    mean = torch.stack(probabilities).mean(0)
    assert together.samples == samples
    assert together.top1_wrong == int((mean.argmax(1) != labels).sum())
    best = mean.topk(5).indices
    assert together.top5_wrong == int((best != labels[:, None]).all(1).sum())
    assert together.loss == pytest.approx(-float(mean[torch.arange(samples), labels].log().mean()), rel=1e-5)
    for counts, each in zip(alone, probabilities, strict=True):
        assert counts.top1_wrong == int((each.argmax(1) != labels).sum())


def test_two_that_err_differently_are_right_together() -> None:
    """What an ensemble is for: where one is wrong, the other is surer."""
    labels = torch.tensor([0, 1])
    one = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0]])
    other = torch.tensor([[0.4, 0.6, 0.0], [0.1, 0.9, 0.0]])
    together, alone = ensemble([_pass(each, labels, [0, 1]) for each in (one, other)], 2, 3)
    assert [counts.top1_error for counts in alone] == [50.0, 50.0]
    assert together.top1_error == 0.0


def test_other_labels_in_another_pass_are_an_error() -> None:
    (one, other), labels = _random(2, 5, 4)
    with pytest.raises(DataError, match="another order or other labels"):
        ensemble([_pass(one, labels, [*range(5)]), _pass(other, (labels + 1) % 4, [*range(5)])], 5, 4)


def test_an_image_that_does_not_come_is_an_error() -> None:
    (one,), labels = _random(1, 5, 4)
    with pytest.raises(DataError, match="2 of 5 images were not given"):
        ensemble([_pass(one, labels, [0, 1, 3])], 5, 4)


def test_a_probability_of_zero_is_counted() -> None:
    """It underflows in float32; the loss stays finite."""
    counts = Counts(3)
    counts.add_probabilities(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([1]))
    assert (counts.top1_wrong, counts.samples) == (1, 1)
    assert 80 < counts.loss < 90
