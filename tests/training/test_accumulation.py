"""A mini-batch in parts trains as the whole does: the same gradients and batch-norm statistics, to rounding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_runs import RECIPE, task_of, trained
from torch import Tensor, nn

import resnets
from resnets.errors import UsageError
from resnets.networks.registry import create
from resnets.specs import Recipe
from resnets.training.state import TrainingState
from resnets.training.step import require_micro_batches

Batch = tuple[Tensor, Tensor]


class Given:
    """Mini-batches of noise."""

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(1)
        for _ in range(stop):
            yield torch.randn(16, 3, 16, 16, generator=generator), torch.randint(0, 10, (16,), generator=generator)


def _train(network: nn.Module, accumulate: int, iterations: int = 1) -> TrainingState:
    recipe = Recipe(name="t", source="", iterations=iterations, batch_size=16, lr=0.1, label_smoothing=0.1)
    return trained(task_of(network, recipe, Given(), accumulate=accumulate))


def _resnet(group: int | None = 4) -> nn.Module:
    torch.manual_seed(0)
    return create("resnet8", bn_group=group)


@pytest.mark.parametrize("parts", [2, 4])
def test_gradients_and_statistics(parts: int) -> None:
    """After one iteration the momentum, which then is the gradient, and the running statistics are the same."""
    whole, in_parts = _train(_resnet(), 1).tensors(), _train(_resnet(), parts).tensors()
    assert whole.keys() == in_parts.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(in_parts[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda why, n=name: f"{n}: {why}")
    assert whole["network.bn1.num_batches_tracked"] == in_parts["network.bn1.num_batches_tracked"] == 1


def test_several_iterations_stay_together() -> None:
    """Five iterations in micro-batches give the weights and errors of whole batches."""
    whole, in_parts = _train(_resnet(), 1, 5), _train(_resnet(), 4, 5)
    torch.testing.assert_close(in_parts.meter.loss_sum, whole.meter.loss_sum, rtol=1e-4, atol=0)
    assert in_parts.meter.wrong == whole.meter.wrong
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(in_parts.network.state_dict()[name], tensor, rtol=1e-2, atol=1e-3)


def test_the_momentum_is_put_back() -> None:
    """Batch norm's momentum is the ordinary one after a step in micro-batches."""
    state = _train(_resnet(), 4)
    assert {module.momentum for module in state.network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


def test_parts_that_would_change_the_training_are_refused() -> None:
    """Micro-batches divide the batch and keep batch norm's groups whole."""
    with pytest.raises(UsageError, match="accumulate is 3.* 16"):
        require_micro_batches(_resnet(), 16, 3)
    with pytest.raises(UsageError, match="accumulate is 0"):
        require_micro_batches(_resnet(), 16, 0)
    with pytest.raises(UsageError, match="2 images .* 4 parts"):
        require_micro_batches(_resnet(), 16, 8)
    with pytest.raises(UsageError, match="16 .* 1 parts"):
        require_micro_batches(_resnet(None), 16, 2)
    require_micro_batches(_resnet(), 16, 4)
    require_micro_batches(nn.Linear(3, 3), 16, 16)  # no batch norm, no groups


def test_a_mini_batch_that_is_no_multiple_of_the_group_trains(tmp_path: Path) -> None:
    """One process that takes it whole has a smaller last group, as `BatchNorm2d` says; nothing is refused."""
    recipe = RECIPE.with_changes(bn_group=4, batch_size=10, warm_up=None)
    assert resnets.train("resnet8", "digits", recipe=recipe, iterations=2, out=tmp_path / "run").iterations == 2
    with pytest.raises(UsageError, match="accumulate is 2: .* 5 .* 4"):
        require_micro_batches(_resnet(), 10, 2)


def test_train_takes_it(tmp_path: Path) -> None:
    """By the public call: the digits in parts end near the whole; run.json records it, and a resumed run may differ."""
    recipe = RECIPE.with_changes(bn_group=4, warm_up=None)

    def run(name: str, **options: object) -> resnets.TrainResult:
        return resnets.train(
            "resnet8",
            "digits",
            recipe=recipe,
            precision="fp32",
            out=tmp_path / name,
            **options,  # type: ignore[arg-type]
        )

    whole, in_parts = run("whole"), run("parts", accumulate=4)
    assert in_parts.curve[-1].training_error == pytest.approx(whole.curve[-1].training_error, abs=3)
    assert '"accumulate": 4' in (tmp_path / "parts" / "run.json").read_text()
    assert run("parts", accumulate=2, resume=True).already_finished
