"""The recipes have the paper's numbers, or say where they differ; what cannot be is refused in one line."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from torch import nn

from resnets.errors import UsageError
from resnets.networks import registry
from resnets.networks.complexity import skeleton
from resnets.specs import AreaCropFlip, PadCropFlip, Preprocessing, PrincipalColors, Recipe, ScaleCropFlip, WarmUp
from resnets.training import recipes
from resnets.training.schedule import Schedule


def test_cifar() -> None:
    """Section 4.2, number by number; the batch norm groups are the halves of 128 on its two GPUs."""
    recipe = recipes.CIFAR
    assert (recipe.weight_decay, recipe.momentum) == (0.0001, 0.9)
    assert (recipe.batch_size, recipe.bn_group) == (128, 128 // 2)
    assert (recipe.lr, recipe.decay_factor) == (0.1, 1 / 10)
    assert recipe.milestones == (32_000, 48_000)
    assert recipe.iterations == 64_000
    assert recipe.augmentation == PadCropFlip(pad=4, flip=True)
    assert recipe.preprocessing == Preprocessing(mean="pixel", std=False)
    assert recipe.departures == ()


def test_cifar_warm_up() -> None:
    """Section 4.2: 0.01 until the training error is below 80 %, from 110 layers on; a condition, with a cap.

    The paper saw it after about 400 iterations, so the cap leaves room for a slower start, and is over long before
    the first drop.
    """
    warm_up = recipes.CIFAR.warm_up
    assert warm_up is not None
    assert (warm_up.lr, warm_up.below_error, warm_up.from_depth) == (0.01, 80.0, 110)
    assert warm_up.window < 400 < warm_up.at_most < 32_000


def test_cifar_200() -> None:
    """200 epochs of 50,000 images, with the rate divided by 10 at epochs 100 and 150; the rest as in the paper."""
    recipe = recipes.CIFAR_200
    epoch = 50_000 / recipe.batch_size
    assert recipe.iterations == 200 * epoch
    assert recipe.milestones == pytest.approx((100 * epoch, 150 * epoch), abs=1)
    for field in ("batch_size", "lr", "decay_factor", "momentum", "weight_decay", "augmentation", "warm_up"):
        assert getattr(recipe, field) == getattr(recipes.CIFAR, field), field


def test_fast() -> None:
    """36 epochs at most, mirror images in turn; the network's own share, the mean of each pixel, is as in the paper."""
    recipe = recipes.FAST
    assert recipe.iterations * recipe.batch_size / 50_000 <= 36.01
    assert (recipe.nesterov, recipe.label_smoothing, recipe.decay) == (True, 0.1, "linear")
    assert isinstance(recipe.augmentation, PadCropFlip) and recipe.augmentation.alternate
    assert recipe.preprocessing == recipes.CIFAR.preprocessing


def test_imagenet() -> None:
    """Section 3.4: 256, 0.1 divided by 10, up to 60e4 iterations, 1e-4, 0.9, sides of 256 to 480, crops of 224."""
    recipe = recipes.IMAGENET
    assert (recipe.batch_size, recipe.lr, recipe.decay_factor) == (256, 0.1, 0.1)
    assert (recipe.iterations, recipe.weight_decay, recipe.momentum) == (600_000, 0.0001, 0.9)
    assert recipe.milestones == (150_000, 300_000)  # as Figure 4 shows
    assert recipe.augmentation == ScaleCropFlip(
        shortest=256, longest=480, crop=224, flip=True, colors=PrincipalColors(std=0.1)
    )
    assert recipe.preprocessing == Preprocessing(mean="pixel", std=False)
    assert recipe.bn_group == 256 // 8


def test_imagenet_on_a_plateau() -> None:
    """The same but for when the rate is divided by 10."""
    recipe = recipes.IMAGENET_PLATEAU
    assert recipe.plateau is not None and recipe.milestones == ()
    same = {"name": "imagenet", "source": recipes.IMAGENET.source, "plateau": None, "milestones": (150_000, 300_000)}
    assert recipe.with_changes(**same) == recipes.IMAGENET  # type: ignore[arg-type]


def test_imagenet_90() -> None:
    """torchvision's reference of its V1 weights, in iterations of 256 of the 1,281,167 images."""
    recipe = recipes.IMAGENET_90
    epoch = 1_281_167 / 256
    assert recipe.iterations == pytest.approx(90 * epoch, abs=1)
    assert recipe.milestones == pytest.approx((30 * epoch, 60 * epoch), abs=1)
    assert (recipe.lr, recipe.momentum, recipe.weight_decay) == (0.1, 0.9, 1e-4)
    assert recipe.augmentation == AreaCropFlip(crop=224, resize=256, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))


def test_imagenet_fast() -> None:
    """16 epochs of growing images, without decay of vectors."""
    recipe = recipes.IMAGENET_FAST
    assert recipe.iterations == pytest.approx(16 * 1_281_167 / recipe.batch_size, abs=1)
    assert (recipe.decay_all, recipe.label_smoothing, recipe.decay) == (False, 0.1, "linear")
    assert isinstance(recipe.augmentation, AreaCropFlip) and recipe.augmentation.start_crop == 128


# what of a recipe has to be explained where it is not the paper's
COMPARED = ("iterations", "milestones", "bn_group", "preprocessing", "augmentation", "warm_up", "lr")


@pytest.mark.parametrize(
    "name", [name for name in recipes.RECIPES.names() if name not in ("cifar", "imagenet", "imagenet-plateau")]
)
def test_departures_are_listed(name: str) -> None:
    """A recipe that differs from its section says what differs and why, in at least as many words as need be."""
    recipe = recipes.RECIPES.find(name)
    paper = recipes.CIFAR if isinstance(recipe.augmentation, PadCropFlip) else recipes.IMAGENET
    differing = [field for field in COMPARED if getattr(recipe, field) != getattr(paper, field)]
    assert differing
    assert recipe.departures
    assert all(deviation.what and deviation.why for deviation in recipe.departures)
    said = " ".join(f"{deviation.what} {deviation.why}".lower() for deviation in recipe.departures)
    words = {
        "iterations": ("iterations", "epochs"),
        "milestones": ("iterations", "epochs"),
        "bn_group": ("batch norm",),
        "preprocessing": ("mean",),
        "augmentation": ("padding", "mirror", "crops"),
        "warm_up": ("warm-up",),
        "lr": ("lr", "learning rate"),
    }
    for field in differing:
        assert any(word in said for word in words[field]), f"{name} does not say that its {field} differs"


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("authors-maxout", "maxout"),
        ("authors-nin", "nin"),
        ("authors-dsn", "dsn"),
        ("authors-highway", "highway19"),
        ("authors-highway", "highway32"),
        ("authors-googlenet", "googlenet"),
        ("authors-prelu-net", "prelu_net_c"),
    ],
)
def test_groups_are_of_the_networks_parameters(name: str, network: str) -> None:
    """Each group of an authors' recipe names some parameters of its network, none names all; biases do not decay."""
    recipe, parameters = recipes.RECIPES.find(name), dict(skeleton(registry.declare(network)).named_parameters())
    for group in recipe.groups:
        named = [key for key in parameters if re.fullmatch(group.names, key)]
        assert 0 < len(named) < len(parameters), group
        if name == "authors-prelu-net":
            modules = skeleton(registry.declare(network)).named_modules()
            slopes = {f"{key}.weight" for key, module in modules if isinstance(module, nn.PReLU)}
            assert set(named) == slopes
    if name == "authors-dsn":
        factors = {
            key: math.prod(group.lr for group in recipe.groups if re.fullmatch(group.names, key)) for key in parameters
        }
        assert factors["companions.1.fc.bias"] == pytest.approx(0.002)
        assert (factors["conv1.weight"], factors["conv2.bias"]) == (1, 2)
        assert (factors["cccp6.weight"], factors["cccp6.bias"]) == pytest.approx((0.1, 0.2))


def test_authors_lengths_and_rates() -> None:
    """Epochs of 50,000 images, and the last rates, as their authors' files have them."""
    maxout, nin, dsn = (recipes.RECIPES.find(f"authors-{name}") for name in ("maxout", "nin", "dsn"))
    assert maxout.iterations == pytest.approx(474 * 50_000 / 128, abs=1)
    assert Schedule(maxout, 5).lr(maxout.iterations - 1) == pytest.approx(0.17 * (1 - 0.99 * 473 / 499), rel=1e-3)
    assert nin.iterations == pytest.approx(260 * 50_000 / 128, abs=1)
    assert Schedule(dsn, 9).lr(199_999) == pytest.approx(1e-4)
    assert Schedule(recipes.RECIPES.find("authors-bn-inception"), 34).lr(53_382) == pytest.approx(0.045 * 0.96)


def test_names() -> None:
    """Each recipe is found by its own name."""
    assert {"cifar", "cifar-200", "digits", "imagenet"} <= set(recipes.RECIPES.names())
    assert all(recipes.RECIPES.find(name).name == name for name in recipes.RECIPES.names())


@pytest.mark.parametrize(("name", "meant"), [("cifar10", "cifar"), ("cifar200", "cifar-200"), ("digit", "digits")])
def test_unknown_name(name: str, meant: str) -> None:
    """An unknown name is answered with the nearest ones, and with all."""
    with pytest.raises(UsageError, match=rf"unknown recipe '{name}' \(did you mean .*{meant}.*\?\); known: cifar, "):
        recipes.RECIPES.find(name)


def test_unlike_any_name() -> None:
    """A name like none is answered with all."""
    with pytest.raises(UsageError, match="'xyz'.*cifar, cifar-200"):
        recipes.RECIPES.find("xyz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 0}, "iterations is 0; it must be 1 or more"),
        ({"iterations": -5}, "iterations is -5"),
        ({"batch_size": 0}, "batch size is 0; it must be 1 or more"),
        ({"lr": 0.0}, "lr is 0.0; it must be a positive number"),
        ({"lr": -0.1}, "lr is -0.1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"momentum": 1.0}, r"momentum is 1.0; it must be in \[0, 1\)"),
        ({"momentum": -0.1}, "momentum is -0.1"),
        ({"momentum": float("nan")}, "momentum is nan"),
        ({"weight_decay": -1e-4}, "weight decay is -0.0001; it must be 0 or more"),
        ({"weight_decay": float("nan")}, "weight decay is nan"),
        ({"bn_group": 0}, "bn_group is 0"),
        ({"evaluate_every": 0}, "evaluate_every is 0"),
    ],
)
def test_impossible(changes: dict[str, float], message: str) -> None:
    """A setting that cannot be is refused when the recipe is made: which one, what it is, what would be right."""
    with pytest.raises(UsageError, match=f"^recipe 'cifar': {message}"):
        recipes.CIFAR.with_changes(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "focal"}, "loss is 'focal'; it must be cross-entropy or squared-hinge"),
        ({"decay": "exponential"}, "decay is 'exponential'; it must be steps, linear or cosine"),
        ({"optimizer": "sdg"}, r"optimizer is 'sdg' \(did you mean sgd\?\); it must be sgd or rmsprop"),
        ({"augmentation": "flip"}, "it must be PadCropFlip, ScaleCropFlip, AreaCropFlip or None"),
        ({"groups": "fc"}, "groups is 'fc'; it must be a tuple of ParameterGroup"),
        ({"iterations": 3.0}, "iterations is 3.0; it must be a whole number"),
        ({"decay_factor": -1.0}, "decay_factor is -1.0; it must be a positive number"),
        ({"milestones": (48_000, 32_000)}, "milestones are 48000, 32000; they must be iterations in their order"),
        ({"auxiliary_weight": float("inf")}, "auxiliary_weight is inf"),
    ],
)
def test_a_value_of_another_kind(changes: dict[str, Any], message: str) -> None:
    """Is refused by a change and by the constructor alike, with what it may be: else run.json could not be read."""
    with pytest.raises(UsageError, match=message):
        recipes.CIFAR.with_changes(**changes)
    with pytest.raises(UsageError, match=message):
        Recipe(**{**recipes.CIFAR.fields(), **changes})


def test_a_field_that_is_missing() -> None:
    """Is named."""
    with pytest.raises(UsageError, match="Recipe: missing required argument 'iterations'"):
        Recipe(name="mine", source="mine")


def test_numbers_of_numpy_are_pythons() -> None:
    """In a change and in the constructor, also of a declaration's parts; a list is a tuple."""
    made = Recipe(**{**recipes.CIFAR.fields(), "iterations": np.int64(8), "lr": np.float32(0.5), "milestones": [4, 6]})
    assert made == recipes.CIFAR.with_changes(iterations=8, lr=0.5, milestones=(4, 6))
    assert type(made.iterations) is int and type(made.milestones) is tuple
    assert recipes.CIFAR.preprocessing is not None
    with pytest.raises(UsageError, match="mean is 'none'"):
        recipes.CIFAR.preprocessing.with_changes(mean="none")


@pytest.mark.parametrize("iterations", [0, -1])
def test_scaled_to_nothing(iterations: int) -> None:
    """So is a length of no iterations."""
    with pytest.raises(UsageError, match=f"'cifar': iterations is {iterations}"):
        recipes.CIFAR.scaled(iterations)


@pytest.mark.parametrize(
    ("iterations", "milestones"), [(64_000, (32_000, 48_000)), (4_000, (2_000, 3_000)), (8, (4, 6))]
)
def test_scaled(iterations: int, milestones: tuple[int, int]) -> None:
    """Another length moves the drops and the warm-up's end in proportion, and leaves the rest as it is."""
    scaled = recipes.CIFAR.scaled(iterations)
    assert (scaled.iterations, scaled.milestones) == (iterations, milestones)
    assert scaled.warm_up is not None and scaled.warm_up.at_most == max(1, round(2_000 * iterations / 64_000))
    same = scaled.with_changes(
        iterations=64_000, milestones=(32_000, 48_000), evaluate_every=500, warm_up=recipes.CIFAR.warm_up
    )
    assert same == recipes.CIFAR


def test_json() -> None:
    """A recipe is written to run.json as it is, and another one as something else."""
    written = [json.dumps(msgspec.to_builtins(recipe), sort_keys=True) for recipe in recipes.RECIPES]
    assert len(set(written)) == len(written)
    stored = json.loads(json.dumps(msgspec.to_builtins(recipes.CIFAR)))
    warm_up = stored.pop("warm_up")
    assert WarmUp(**warm_up) == recipes.CIFAR.warm_up
    assert stored["milestones"] == [32_000, 48_000] and stored["name"] == "cifar"


def test_frozen() -> None:
    """A recipe cannot be changed by accident; `with_changes` makes another one."""
    with pytest.raises(AttributeError):
        recipes.CIFAR.lr = 1.0
    assert isinstance(recipes.CIFAR.with_changes(lr=1.0), Recipe)
