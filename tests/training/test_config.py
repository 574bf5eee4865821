"""A setting has one name: in TrainingConfig or its recipe, in TrainSettings with its type, and as an option."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from resnets.cli.train import train as command
from resnets.errors import UsageError
from resnets.specs import Recipe, ResNetSpec
from resnets.training.config import NetworkSettings, RecipeSettings, TrainingConfig, TrainSettings

PYTHON_ONLY = {"num_classes", "in_channels", "bn_group", "label_smoothing"}  # not options of the command
OF_THE_COMMAND = {"network", "data", "out", "resume"}


def test_settings_are_the_fields_of_the_configuration_the_recipe_and_the_network() -> None:
    """Each key of TrainSettings is a field of TrainingConfig, of Recipe, or an option of a network's name."""
    own = {field.name for field in dataclasses.fields(TrainingConfig)} - {"recipe_changes", "network_options"}
    assert own == (
        TrainSettings.__annotations__.keys()
        - RecipeSettings.__annotations__.keys()
        - NetworkSettings.__annotations__.keys()
    )
    assert RecipeSettings.__annotations__.keys() <= {*Recipe.__struct_fields__}
    assert NetworkSettings.__annotations__.keys() == inspect.signature(ResNetSpec.named).parameters.keys() - {"name"}


def test_each_setting_is_an_option() -> None:
    """The command has an option for each setting but those that only Python needs."""
    options = inspect.signature(command).parameters.keys() - OF_THE_COMMAND
    assert options == TrainSettings.__annotations__.keys() - PYTHON_ONLY


def test_settings_are_divided() -> None:
    """Settings of the recipe and the network are kept apart, and None keeps the recipe's value."""
    config = TrainingConfig.from_settings(lr=0.2, ema=None, shortcut="B", seed=3)
    assert (config.recipe_changes, config.network_options, config.seed) == ({"lr": 0.2}, {"shortcut": "B"}, 3)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"workers": -1}, "workers is -1"),
        ({"save_every": 0}, "save_every is 0"),
        ({"epochs": float("nan")}, "epochs is nan"),
        ({"epochs": 0}, "epochs is 0"),
        ({"iterations": 1, "epochs": 1}, "iterations and epochs"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], named: str) -> None:
    """Before any data is read, naming the value."""
    with pytest.raises(UsageError, match=named):
        TrainingConfig.from_settings(**settings)  # type: ignore[arg-type]
