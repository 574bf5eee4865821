"""A setting has one name: in TrainingConfig or its recipe, in TrainSettings with its type, and as an option."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from observing import Recorder
from torch import nn

import resnets
from resnets.cli import detect, locate
from resnets.cli.jobs import OPTIONS
from resnets.cli.train import train
from resnets.data.passed_over import PassedOver
from resnets.detection.config import DetectorSettings
from resnets.errors import UsageError
from resnets.localisation.config import LocaliserSettings
from resnets.networks import registry
from resnets.records.base import encode
from resnets.specs import NetworkSettings, Recipe, ResNetSpec
from resnets.training.config import TrainingConfig
from resnets.training.recipes import RECIPES
from resnets.training.settings import RecipeSettings, TrainSettings

OF_THE_COMMAND = {"context", "network", "data", "rpn", "out", "resume", "network_option", "seeds", *OPTIONS}


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


@pytest.mark.parametrize(
    ("command", "settings", "python_only"),
    [
        (train, TrainSettings, {"num_classes", "bn_group"}),
        (detect.train, DetectorSettings, set()),
        (locate.train, LocaliserSettings, {"regions_per_image"}),
    ],
)
def test_each_setting_is_an_option(command: Callable[..., None], settings: type, python_only: set[str]) -> None:
    """Each command that trains has an option for each setting but those that only Python needs."""
    named = {*settings.__annotations__, "weights"}
    assert inspect.signature(command).parameters.keys() - (OF_THE_COMMAND - named) == named - python_only


@pytest.mark.parametrize(
    ("call", "settings"),
    [
        (resnets.train, TrainSettings),
        (resnets.plan, NetworkSettings),
        (resnets.create, NetworkSettings),
        (resnets.describe, NetworkSettings),
        (resnets.train_detector, DetectorSettings),
        (resnets.train_localiser, LocaliserSettings),
    ],
)
def test_the_signature_of_a_call_names_each_setting(call: Callable[..., object], settings: type) -> None:
    """For `help` and notebooks, which show no keys of a TypedDict; a default is the configuration's."""
    parameters = inspect.signature(call).parameters
    assert settings.__annotations__.keys() <= parameters.keys()
    assert not [one for one in parameters.values() if one.kind is one.VAR_KEYWORD]
    assert "workers" not in settings.__annotations__ or parameters["workers"].default == 2


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
        ({"iterations": 2.0}, "iterations is 2.0"),
        ({"iterations": "5"}, "iterations is '5'"),
        ({"seed": None}, "seed is None"),
        ({"workers": 1.5}, "workers is 1.5"),
        ({"epochs": "1"}, "epochs is '1'"),
        ({"device": 0}, "device is 0"),
        ({"recipe": 3}, "recipe is of type int"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], named: str) -> None:
    """Before any data is read, naming the value."""
    with pytest.raises(UsageError, match=named):
        TrainingConfig.from_settings(**settings)  # type: ignore[arg-type]


def test_numbers_of_numpy_and_torch_are_taken_as_pythons() -> None:
    """So that they can be written as JSON: of a configuration, a recipe, a network and any other call."""
    config = TrainingConfig.from_settings(seed=np.int64(3), iterations=torch.tensor(5), epochs=None)  # type: ignore[arg-type]
    assert [type(value) for value in (config.seed, config.iterations)] == [int, int]
    recipe = RECIPES.find("cifar").with_changes(lr=np.float32(0.5), batch_size=np.int32(8), milestones=(4,))
    assert (recipe.lr, recipe.batch_size, type(recipe.lr), type(recipe.batch_size)) == (0.5, 8, float, int)
    assert type(registry.declare("resnet20", num_classes=np.int64(3)).num_classes) is int
    assert encode({"error": np.float32(0.5)}) == b'{"error":0.5}'


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: RECIPES.find("cifar").with_changes(batch_size=8.0), "batch_size is 8.0"),
        (lambda: RECIPES.find("cifar").with_changes(lr="0.1"), "lr is '0.1'"),
        (lambda: registry.declare("resnet20", num_classes=3.0), "num_classes is 3.0"),
        (lambda: resnets.create(42), "name is 42"),
        (lambda: resnets.train(42, "digits"), "network is of type int"),
        (lambda: resnets.evaluate("runs/none", "digits", batch_size=1.5), "batch_size is 1.5"),
        (lambda: resnets.evaluate("runs/none", "digits", scales=[32.5]), "scales is"),
        (lambda: resnets.evaluate(3, "digits"), "weights are 3"),
        (lambda: resnets.load(7), "path is 7"),
        (lambda: resnets.load("runs/none", network=42), "network is of type int"),
        (lambda: resnets.study("digits", networks="resnet20"), "networks is 'resnet20'"),
        (lambda: resnets.study("digits", depths=8), "depths is 8"),
        (lambda: resnets.optimize(nn.Flatten(), batch_size="4"), "batch_size is '4'"),
    ],
)
def test_arguments_of_another_kind_are_usage_errors(call: Callable[[], object], named: str) -> None:
    """Of every public call and declaration, naming the argument and its value, not an error from inside."""
    with pytest.raises(UsageError, match=re.escape(named)):
        call()


def test_a_run_starts_with_what_its_source_notes(tmp_path: Path) -> None:
    """What was taken for granted, and what was passed over in one line, reach the observers of a run."""
    passed = (PassedOver("hidden files", "train/a/._0.jpg"), PassedOver("hidden files", "val/a/._0.jpg"))
    splits = dataclasses.replace(resnets.load_data("digits"), notes=("a note",), passed_over=passed)
    seen = Recorder()
    resnets.train("resnet8", splits, iterations=1, batch_size=8, out=tmp_path / "run", observers=[seen])
    assert "a note" in seen.notes
    assert [note for note in seen.notes if "hidden files (2, such as train/a/._0.jpg)" in note]
