"""Networks with several outputs in training, other losses and optimisers, and groups of parameters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_runs import CPU, RECIPE, Crash, Tiny, differences, job, run, splits
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks.complexity import skeleton
from resnets.networks.registry import declare
from resnets.planning.together import leaves_room
from resnets.runtime.device import forward, outputs_of
from resnets.specs import ParameterGroup, Recipe
from resnets.training.loss import loss_of_outputs, make_loss, squared_hinge
from resnets.training.optimizers import require_groups
from resnets.training.recipes import RECIPES
from resnets.training.state import TrainingState
from resnets.training.step import make_step


class Companions(Tiny):
    """Tiny, and in training a second classifier of the same maps."""

    def __init__(self) -> None:
        super().__init__()
        self.companion = nn.Linear(6 * 64, 10)

    def forward(self, images: Tensor) -> Any:
        scores = super().forward(images)
        return (scores, self.companion(self.conv(images).flatten(1))) if self.training else scores


GROUPS = (
    ParameterGroup(names=r".*bias", lr=2, weight_decay=0),
    ParameterGroup(names=r"fc\..*", lr=0.1),
    ParameterGroup(names=r"companion\..*", lr=0.5, fade=(0.5, 0.75)),
    ParameterGroup(names=r"conv\.weight", max_norm=0.5),
)
FULL = RECIPE.with_changes(groups=GROUPS, loss="squared-hinge", auxiliary_weight=0.7, auxiliary_iterations=8)


def images_and_labels() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(8, 1, 8, 8, generator=generator), torch.arange(8)


def test_squared_hinge_by_hand() -> None:
    """Two images of three classes: the squares of what is missing to 1 for the class, and to -1 for the others."""
    scores = torch.tensor([[0.5, -2.0, 0.0], [2.0, 0.25, -1.5]])
    first = (1 - 0.5) ** 2 + 0 + (1 + 0.0) ** 2  # class 0
    second = (1 + 2.0) ** 2 + (1 - 0.25) ** 2 + 0  # class 1
    labels = torch.tensor([0, 1])
    assert squared_hinge(scores, labels).item() == pytest.approx((first + second) / 2)
    weighted = make_loss(FULL, (2.0, 10.0, 1.0), CPU)
    assert weighted(scores, labels).item() == pytest.approx((2 * first + 10 * second) / 2)


def test_other_outputs_have_a_weight_in_the_loss() -> None:
    """The loss is that of the scores and a share of each other output's, in the first iterations alone."""
    one, other, labels = torch.randn(4, 5), torch.randn(4, 5), torch.tensor([0, 1, 2, 3])
    recipe = RECIPE.with_changes(auxiliary_weight=0.3, auxiliary_iterations=10, label_smoothing=0.1)
    alone, share = (F.cross_entropy(scores, labels, label_smoothing=0.1) for scores in (one, other))
    loss = make_loss(recipe, None, CPU)
    assert torch.equal(loss_of_outputs(loss, recipe, 10, (one, other), labels), alone)
    torch.testing.assert_close(loss_of_outputs(loss, recipe, 9, (one, other, other), labels), alone + 0.6 * share)


def test_only_the_scores_count_in_tests() -> None:
    """`forward` returns the first output, in training as in evaluation mode."""
    network, (images, _) = Companions().train(), images_and_labels()
    torch.manual_seed(0)
    several = outputs_of(network, images, "fp32")
    torch.manual_seed(0)
    assert torch.equal(forward(network, images, "fp32"), several[0]) and len(several) == 2
    assert len(outputs_of(network.eval(), images, "fp32")) == 1


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_trains_on_all_outputs(parts: int) -> None:
    """Whole or in micro-batches the companion learns while it counts, and stays as it is after that."""
    images, labels = images_and_labels()
    moved = {}
    for iteration in (7, 8):
        network = Companions()
        network.bn, network.dropout = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        recipe = FULL.with_changes(weight_decay=0.0, batch_size=8)
        state = TrainingState.start(network, recipe, CPU)
        state.iteration = iteration
        state.set_lr(0.1)
        before = network.companion.weight.detach().clone()
        make_step(state, recipe, CPU, "fp32", accumulate=parts)(images, labels)
        moved[iteration] = not torch.equal(before, network.companion.weight)
        assert state.meter.loss_sum > 0
    assert moved == {7: True, 8: False}


def test_groups_multiply() -> None:
    """Rates and decays are products of the factors of all groups of a parameter, and fade with the iteration."""
    network = Companions()
    state = TrainingState.start(network, FULL, CPU)
    state.iteration = 4
    state.set_lr(0.2)

    def settings(parameter: Tensor) -> tuple[float, float]:
        group = next(one for one in state.optimizer.param_groups if any(p is parameter for p in one["params"]))
        return group["lr"], group["weight_decay"]

    fading = (1 + 0.5 * 4) ** -0.75
    assert settings(network.bn.weight) == (0.2, 1e-4)
    assert settings(network.bn.bias) == (0.4, 0.0)
    assert settings(network.fc.weight) == pytest.approx((0.02, 1e-4))
    assert settings(network.fc.bias) == pytest.approx((0.04, 0.0))
    assert settings(network.companion.weight) == pytest.approx((0.1 * fading, 1e-4))
    state.iteration = 5
    state.set_lr(0.2)
    assert settings(network.companion.weight)[0] == pytest.approx(0.1 * 3.5**-0.75)


def test_norms_are_limited_after_each_update() -> None:
    """Filters above the limit are scaled down to it in their direction; those below stay as they are."""
    network, recipe = Tiny(), RECIPE.with_changes(groups=GROUPS, lr=1e-9, warm_up=None)
    with torch.no_grad():
        network.conv.weight[0].fill_(1.0)  # of norm 3
        network.conv.weight[1:].mul_(0.1)
    small = network.conv.weight[1:].detach().clone()
    state = TrainingState.start(network, recipe, CPU)
    make_step(state, recipe, CPU, "fp32")(*images_and_labels())
    torch.testing.assert_close(network.conv.weight[0], torch.full((1, 3, 3), 0.5 / 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(network.conv.weight[1:], small, atol=1e-6, rtol=0)


def test_biases_of_a_group_have_no_limit() -> None:
    """A group may name a whole layer: the rows of its weight are limited, its bias stays."""
    network = Tiny()
    recipe = RECIPE.with_changes(groups=(ParameterGroup(names=r"fc\..*", max_norm=0.5),), lr=1e-9, warm_up=None)
    with torch.no_grad():
        network.fc.weight.fill_(1.0)
        network.fc.bias.fill_(3.0)
    make_step(TrainingState.start(network, recipe, CPU), recipe, CPU, "fp32")(*images_and_labels())
    torch.testing.assert_close(network.fc.weight.norm(dim=1), torch.full((10,), 0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(network.fc.bias, torch.full((10,), 3.0), atol=1e-5, rtol=0)


def test_rmsprop_is_torchs() -> None:
    """The same updates as torch's own optimiser, with a mean over about ten gradients."""
    images, labels = images_and_labels()
    ours, theirs = nn.Linear(64, 10), nn.Linear(64, 10)
    theirs.load_state_dict(ours.state_dict())
    recipe = Recipe(name="r", source="test", iterations=9, batch_size=8, lr=0.01, momentum=0.0, optimizer="rmsprop")
    state = TrainingState.start(nn.Sequential(nn.Flatten(), ours), recipe, CPU)
    reference = torch.optim.RMSprop(theirs.parameters(), 0.01, alpha=0.9, eps=1e-5, weight_decay=1e-4)
    step = make_step(state, recipe, CPU, "fp32")
    for _ in range(3):
        step(images, labels)
        reference.zero_grad()
        F.cross_entropy(theirs(images.flatten(1)), labels).backward()
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "rmsprop", "lr": 1e-3}, {"momentum": 0.0}])
def test_all_of_it_resumes(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Groups, hinge loss, companions, dropout and RMSProp: after a crash a run ends bit for bit as without it."""
    recipe = FULL.with_changes(**changes)
    run(job(recipe=recipe, network=Companions), tmp_path / "whole")
    with pytest.raises(Crash):
        run(job(recipe=recipe, network=Companions, crash_after=7), tmp_path / "cut")
    run(job(recipe=recipe, network=Companions, process_seed=1), tmp_path / "cut")
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_groups_that_name_no_parameter() -> None:
    """A recipe of another network is refused with the group, but for one that a network may be without."""
    group = ParameterGroup(names=r"cccp6\..*")
    with pytest.raises(UsageError, match=r"'cccp6\\\\\..*' of recipe 'small'.* conv.weight"):
        job(recipe=RECIPE.with_changes(groups=(group,)))
    job(recipe=RECIPE.with_changes(groups=(group.with_changes(optional=True),)))


@pytest.mark.parametrize(
    ("name", "network"),
    [
        *((f"authors-{name}", name) for name in ("maxout", "nin", "dsn", "googlenet")),
        *(("authors-fitnet", "fitnet19"), ("authors-highway", "highway19"), ("authors-highway", "highway32")),
        *(("authors-bn-inception", "bn_inception"), ("authors-prelu-net", "prelu_net_a")),
    ],
)
def test_groups_of_the_authors_recipes(name: str, network: str) -> None:
    """Each names parameters of its network."""
    require_groups(skeleton(declare(network)).named_parameters(), RECIPES.find(name))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"loss": "squared-hinge", "label_smoothing": 0.1}, "0.1"),
        ({"auxiliary_weight": -1.0}, "-1.0"),
        ({"decay_to": 0.5}, "0.5"),
        ({"optimizer": "rmsprop", "nesterov": True}, "RMSProp"),
    ],
)
def test_impossible_recipes(changes: dict[str, Any], wrong: str) -> None:
    """Each is refused when the recipe is made, with the value."""
    with pytest.raises(UsageError) as caught:
        RECIPE.with_changes(**changes)
    assert wrong in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"names": "("}, "'\\('"),
        ({"max_norm": 0.0}, "max_norm of the group 'a' is 0.0"),
        ({"max_norm": math.nan}, "is nan"),
        ({"lr": -1.0}, "lr of the group 'a' is -1.0; it must be finite"),
        ({"lr": math.nan}, "is nan"),
        ({"weight_decay": math.inf}, "weight_decay of the group 'a' is inf"),
        ({"fade": (-1.0, 0.5)}, "g of the group 'a' is -1.0"),
        ({"fade": (1.0, math.nan)}, "p of the group 'a' is nan"),
    ],
)
def test_impossible_groups(settings: dict[str, Any], wrong: str) -> None:
    """Each is refused when the group is made, with its names and the value."""
    with pytest.raises(UsageError, match=wrong):
        ParameterGroup(**{"names": "a", **settings})


def test_another_length_moves_what_depends_on_the_iteration() -> None:
    """The end of the auxiliary losses, and how fast a rate fades."""
    scaled = FULL.scaled(6)
    assert scaled.auxiliary_iterations == 4
    assert scaled.groups[2].fade == (1.0, 0.75)


def test_networks_with_dropout_are_trained_alone() -> None:
    """They take no turns with others, for on a GPU their random numbers would depend on these."""
    rooms = {name: leaves_room(name, splits()) for name in ("resnet20", "nin", "maxout", "fitnet19", "highway19")}
    assert rooms == {"resnet20": True, "nin": False, "maxout": False, "fitnet19": True, "highway19": False}
