"""Training settings, resolved into a training: network, data, recipe, device and precision."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, Unpack

import torch
from torch import nn

from resnets.data.load import Data, load_data
from resnets.data.splits import DataSplits
from resnets.errors import UsageError, warn
from resnets.networks import registry
from resnets.networks.sync_batch_norm import require_nesting
from resnets.records.runs import NetworkRecord, RunRecord
from resnets.runtime.device import choose_device, choose_precision
from resnets.runtime.narrow import is_narrow
from resnets.runtime.processes import ALONE, World
from resnets.runtime.provenance import provenance
from resnets.specs import REDUCED, AreaCropFlip, FunctionSpec, InputSpec, NetworkSpec, Recipe
from resnets.training.default_recipe import choose
from resnets.training.loss import ClassWeights, resolve_class_weights
from resnets.training.optimizers import require_groups
from resnets.training.recalibration import norms_of
from resnets.training.resolved import ResolvedTraining, data_record
from resnets.training.settings import RecipeSettings, RunSettings, TrainSettings
from resnets.training.start import find_start
from resnets.training.state import trained_parameters
from resnets.training.step import require_micro_batches
from resnets.training.teacher import Lesson, find_teacher, make_lesson, taught
from resnets.training.trial import require_scores, require_trainable


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunSettings):
    """Settings of a classifier's training."""

    recipe: str | Recipe | None = None  # None: the one for the data
    split: str = "all"  # or training images to validate on: 45k5k, 10%
    teacher: str | Path | None = None  # trained weights to learn from, by `find_weights`
    temperature: float | None = None  # that the scores of student and teacher are divided by; None: the recipe's
    teacher_weight: float | None = None  # of the teacher in the loss, the labels have the rest; None: the recipe's
    class_weights: ClassWeights = None  # in the loss, as `resolve_class_weights`
    epochs: float | None = None  # length in passes over the training images instead
    decode: str | None = None  # of large JPEGs, exact or reduced; None: the recipe's
    accumulate: int = 1  # gradient-accumulation steps
    network_options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, **settings: Unpack[TrainSettings]) -> Self:
        """Return the configuration of settings by name; what is neither here nor a recipe's is the network's.

        Raises: UsageError, as the class.
        """
        own = {one.name for one in dataclasses.fields(cls)} - {"recipe_changes", "network_options"}
        of_recipe = RecipeSettings.__annotations__.keys()
        given: dict[str, Any] = dict(settings)
        return cls(
            **{name: given[name] for name in given.keys() & own},
            recipe_changes={name: given[name] for name in given if name in of_recipe and given[name] is not None},
            network_options={
                name: value
                for name, value in given.items()
                if name not in own and name not in of_recipe and value is not None
            },
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.recipe, str | Recipe | None):
            raise UsageError(f"recipe is of type {type(self.recipe).__name__}; it must be a name or a resnets.Recipe")
        if self.iterations is not None and self.epochs is not None:
            raise UsageError("iterations and epochs are both given; one of them is enough")
        if self.epochs is not None and not (math.isfinite(self.epochs) and self.epochs > 0):
            raise UsageError(f"epochs is {self.epochs}; it must be a positive number")

    def resolve_recipe(self, splits: DataSplits, images: int | None = None) -> Recipe:
        """Return the recipe with its changes and its length; `images` are those of an epoch, by default the splits'.

        Raises: UsageError, if there is no such recipe, or a change is impossible.
        """
        if splits.train.kind == "tensors":
            for name, value in (("size", self.size), ("decode", self.decode)):
                if value is not None:
                    raise UsageError(f"{name} is {value}, and {splits.name} gives tensors, which are taken as they are")
        images = images or len(splits.train)
        base, epochs = choose(self.recipe, splits, images, fine_tuned=self.weights is not None)
        changes = dict(self.recipe_changes)
        every = changes.pop("evaluate_every", None)  # iterations of the run, whatever its length
        recipe = taught(base.with_changes(**changes), self.teacher, self.temperature, self.teacher_weight)
        iterations, epochs = self.iterations, self.epochs or epochs
        if iterations is None and epochs is not None:
            iterations = max(1, round(epochs * images / recipe.batch_size))
        if iterations is not None:
            recipe = recipe.scaled(iterations)
        if every is not None:
            if recipe.plateau is not None:
                raise UsageError(
                    f"evaluate_every is {every}, and recipe {recipe.name!r} finds its plateaus by the points of the "
                    f"curve, one in {recipe.evaluate_every} iterations; leave evaluate_every out"
                )
            recipe = recipe.with_changes(evaluate_every=every)
        if self.decode is not None:
            recipe = recipe.with_decoding(self.decode)
        return recipe if self.size is None else recipe.with_crops(self.size)


@dataclass(frozen=True, eq=False, kw_only=True)
class Training(ResolvedTraining):
    """A classifier's training, resolved."""

    data: DataSplits
    input_spec: InputSpec | None
    lesson: Lesson | None = None  # from a teacher


def load_for(network: str | nn.Module, data: Data, options: Mapping[str, Any]) -> DataSplits:
    """Return the images as a network with its options takes them. Raises: UsageError, DataError."""
    read = load_data(data).with_channels(options.get("in_channels"))
    return load_data(read, registry.decoded_side(network))


def resolve(
    network: str | nn.Module,
    data: Data,
    config: TrainingConfig,
    world: World = ALONE,
    earlier: Callable[[str], RunRecord | None] = lambda _: None,
) -> Training:
    """Return a training from its settings. torch's random state is set from the seed.

    `earlier` returns, for the name of the data, the record of the run that is to be resumed, where there is one.

    Raises: UsageError, DataError, WeightsError.
    """
    options = config.network_options
    _require_declared(network, options)  # a wrong name or option is reported before the data is read
    device = choose_device(config.device if world.size == 1 else world.device)
    precision = choose_precision(config.precision, device)
    splits = load_for(network, data, options).divided(config.split, config.seed)
    recipe = _applicable(config.resolve_recipe(splits), network, splits)
    class_weights = resolve_class_weights(config.class_weights, splits)
    source = config.weights
    start = None if source is None else find_start(source, network, world, lambda: earlier(splits.name))
    teacher = find_teacher(config.teacher, recipe, splits, world)
    input_spec = None
    if recipe.preprocessing is not None:
        trained = next((one.input_spec for one in (start, teacher) if one and one.input_spec), None)
        input_spec = splits.train.fit_input(recipe.preprocessing, recipe.augmentation, trained)
    recipe = recipe.with_changes(augmentation=splits.train.fit_augmentation(recipe.augmentation))
    *size, channels = (  # read before torch is seeded, since a dataset may draw at random
        splits.train.stats()[:3] if input_spec is None else (input_spec.size, input_spec.size, input_spec.channels)
    )
    torch.manual_seed(config.seed)
    of_start = None if start is None else start.spec
    module = _build_network(network, splits, recipe, input_spec, channels, options, of_start)
    networks = [module] if teacher is None else [module, teacher.network]
    recipe = _with_least_crops(recipe, networks)
    notes = splits.remarks()
    if start is not None:
        notes += start.load_into(module, splits.classes, input_spec)
    lesson = None if teacher is None else make_lesson(teacher, recipe, module, splits, input_spec)
    notes += [] if teacher is None else [f"learns from {teacher.in_words()}"]
    if config.precision == "auto" and device.type == "cpu" and is_narrow(registry.spec_of(module), *size):
        precision = "fp32"
    _require_fitting(module, lesson, recipe, world, config.accumulate)
    if not isinstance(network, str) or isinstance(registry.spec_of(module), FunctionSpec):
        require_scores(module, _shapes(recipe, channels, *size), len(splits.classes), device, precision)
    record = RunRecord(
        network=network_record(module),
        recipe=recipe,
        data=data_record(
            splits,
            data,
            split=config.split,
            roles=splits.roles,
            source_digest=splits.source_digest or splits.digest,
        ),
        seed=config.seed,
        precision=precision,
        start=None if start is None else start.record,
        teacher=None if teacher is None else teacher.record,
        class_weights=class_weights,
        workers=config.workers,
        accumulate=config.accumulate,
        provenance=(provenance(device, world.size),),
    )
    return Training(
        network=module,
        data=splits,
        recipe=recipe,
        input_spec=input_spec,
        lesson=lesson,
        device=device,
        precision=precision,
        record=record,
        keep_precision=config.precision == "auto",
        save_every=config.save_every,
        notes=tuple(notes),
        world=world,
    )


def _require_fitting(network: nn.Module, lesson: Lesson | None, recipe: Recipe, world: World, accumulate: int) -> None:
    """Refuse a network that a recipe does not fit, before it is trained. Raises: UsageError."""
    require_trainable(network, recipe)
    require_groups(trained_parameters(network, None if lesson is None else lesson.regressor), recipe)
    if recipe.bn_images is not None:
        norms_of(network)
    require_nesting(network, recipe.batch_size, world.size)
    require_micro_batches(network, recipe.batch_size // world.size, accumulate)


def network_record(network: nn.Module, **more: Any) -> NetworkRecord:
    """Return the record of a network: a custom module is known by its class and its number of parameters."""
    spec = registry.spec_of(network)
    return NetworkRecord(
        name=registry.name_of(network),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        spec=spec,
        **more,
    )


def _require_declared(network: str | nn.Module, options: Mapping[str, Any]) -> None:
    """Verify a network's name and its options. Raises: UsageError."""
    if not isinstance(network, str | nn.Module):
        raise UsageError(f"network is of type {type(network).__name__}; it must be a name or a torch module")
    if isinstance(network, str):
        registry.declare(network, **options)
    elif options:
        raise UsageError(f"{', '.join(options)}: an option of networks that are given by their name")


def _applicable(recipe: Recipe, network: str | nn.Module, splits: DataSplits) -> Recipe:
    """Return the recipe without what does not apply: a dataset object comes prepared, a module as it is."""
    if splits.train.kind == "tensors":
        departures = tuple(one for one in recipe.departures if one != REDUCED)
        recipe = recipe.with_changes(preprocessing=None, augmentation=None, departures=departures)
    if not isinstance(network, str):
        recipe = recipe.with_changes(bn_group=getattr(registry.spec_of(network), "bn_group", None))
    return recipe


def _with_least_crops(recipe: Recipe, networks: Sequence[nn.Module]) -> Recipe:
    """Return the recipe whose crops, where they grow, are at first no smaller than these networks take them."""
    if not isinstance(recipe.augmentation, AreaCropFlip):
        return recipe
    specs = map(registry.spec_of, networks)
    least = max((spec.least_size for spec in specs if spec is not None), default=1)
    return recipe.with_changes(augmentation=recipe.augmentation.growing_from(least))


def _shapes(recipe: Recipe, channels: int, height: int, width: int) -> list[tuple[int, int, int]]:
    """Return the shapes of a training's images, (C, H, W): one, or where crops grow the first and the last."""
    crops, last = recipe.augmentation, (channels, height, width)
    if not isinstance(crops, AreaCropFlip) or crops.start_crop is None:
        return [last]
    return [(channels, crops.start_crop, crops.start_crop), last]


# ---------------------------------------------------------------- the network


def _build_network(
    network: str | nn.Module,
    splits: DataSplits,
    recipe: Recipe,
    input_spec: InputSpec | None,
    channels: int,
    options: Mapping[str, Any],
    start: NetworkSpec | None,
) -> nn.Module:
    """Return the module, new if the network is a name; one of ours must fit the data.

    Its variant is that of the weights that it starts from, where the options leave it open.
    """
    is_ours = isinstance(network, str)
    if isinstance(network, str):
        family = registry.find_family(network)
        fitting: dict[str, int | None] = {"num_classes": len(splits.classes), "in_channels": channels}
        if input_spec is None and "in_channels" in family.fixed:
            del fitting["in_channels"]  # what its function takes is its own affair
        if "bn_group" in family.options:
            fitting["bn_group"] = recipe.bn_group
        network = registry.build(registry.declare_as(start, network, **{**fitting, **options}))
    if (spec := registry.spec_of(network)) is not None:
        if spec.num_classes != len(splits.classes):
            raise UsageError(f"{spec.name} has num_classes={spec.num_classes}; {splits.name} has {len(splits.classes)}")
        known = input_spec is not None or (is_ours and not isinstance(spec, FunctionSpec))  # else it may be edited
        if spec.in_channels != channels and known:
            raise UsageError(f"{spec.name} has in_channels={spec.in_channels}; {splits.name} has {channels}")
        if input_spec is not None:
            _check_size(spec, splits, input_spec.size)
    return network


def _check_size(spec: NetworkSpec, splits: DataSplits, size: int) -> None:
    if size < spec.least_size:
        raise UsageError(
            f"{spec.name} needs images of {spec.least_size} x {spec.least_size} pixels or more; those of {splits.name} "
            f"are {size} x {size}"
        )
    if spec.type == "imagenet" and size < 64:
        warn(
            f"{spec.name} is made for photos of 224 x 224 pixels; for images of {size} x {size} the paper has "
            f"resnet20, resnet32, resnet44, resnet56 and resnet110"
        )
