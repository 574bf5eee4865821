"""The teacher of a training: loaded, matched with data and student, and its part of the loss. FitNets [35]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.data.normalization import transferred
from resnets.data.splits import DataSplits
from resnets.errors import UsageError, nearest
from resnets.networks.comparison.maxout import MaxoutConv2d
from resnets.networks.initialization import draw_uniformly
from resnets.networks.modes import hooked, in_mode
from resnets.networks.registry import name_of, spec_of
from resnets.records.runs import StartRecord
from resnets.runtime.device import outputs_of, place
from resnets.runtime.processes import World
from resnets.specs import AreaCropFlip, Departure, Distillation, Hint, InputSpec, Precision, Recipe
from resnets.training.start import find_in_turn, start_record

RANGE = 0.05  # of a regressor's weights at the start, on either side of 0, as FitNet's authors have it


def taught(recipe: Recipe, teacher: object, temperature: float | None, weight: float | None) -> Recipe:
    """Return the recipe with what is learned from a teacher; None of the last two keeps what it has.

    A recipe that has no distillation gets one where a teacher is given. `weight` is the teacher's part of the loss,
    and the labels get the rest.

    Raises: UsageError, if a number is impossible, or given without a teacher.
    """
    if teacher is None:
        for name, value in (("temperature", temperature), ("teacher_weight", weight)):
            if value is not None:
                raise UsageError(f"{name} is {value}, and there is no teacher; name a run's folder or a file as one")
        return recipe
    how = recipe.distillation
    if how is None:
        how = Distillation()
        why = Departure("learns from the scores of a trained network too, its teacher", "as requested")
        recipe = recipe.with_changes(departures=(*recipe.departures, why))
    if temperature is not None:
        how = how.with_changes(temperature=temperature)
    if weight is not None:
        if not 0 < weight <= 1:
            raise UsageError(f"teacher_weight is {weight}; it must be above 0, and 1 at most")
        how = how.with_changes(weight=weight, labels=round(1 - weight, 9), weight_to=None, weight_falls=None)
    return recipe.with_changes(distillation=how)


@dataclass(frozen=True, eq=False, kw_only=True)
class Teacher:
    """A trained network, in evaluation mode, and its input; `order` puts its scores into that of the data's classes."""

    name: str
    network: nn.Module
    record: StartRecord
    input_spec: InputSpec | None
    order: tuple[int, ...] | None

    def require_input(self, input_spec: InputSpec | None) -> None:
        """Verify that the images of a training are such as the teacher takes.

        Raises: UsageError, if they are of another size or number of channels, or are normalised otherwise.
        """
        own = self.input_spec
        if own is None or input_spec is None:
            return
        for what, mine, theirs in (
            ("pixels", own.size, input_spec.size),
            ("channels", own.channels, input_spec.channels),
        ):
            if mine != theirs:
                raise UsageError(
                    f"the teacher {self.name} is for images of {mine} {what}, and those of this training have {theirs}"
                )
        if transferred(own, input_spec) != input_spec:
            raise UsageError(
                f"the weights to start from take another input than the teacher {self.name} (mean, deviation, contrast "
                f"or whitening); both must take the same"
            )

    def require_images(self, shape: tuple[int, ...]) -> None:
        """Verify that its network takes images of a shape, (C, H, W). Raises: UsageError."""
        try:
            with torch.no_grad():
                self.network(torch.zeros(1, *shape))
        except RuntimeError:
            size = " x ".join(map(str, shape))
            raise UsageError(f"the teacher {self.name} does not take images of {size} (channels, pixels)") from None

    def in_words(self) -> str:
        """Return which network of which file it is."""
        spec = spec_of(self.network)
        return self.name if spec is None else f"{self.name}, a trained {spec.in_words()}"

    def scores(self, images: Tensor, precision: Precision) -> Tensor:
        """Return its scores in the order of the data's classes. Shape: (N, C, H, W) -> (N, classes)"""
        found = outputs_of(self.network, images, precision)[0]
        return found if self.order is None else found[:, list(self.order)]


def find_teacher(source: str | Path | None, recipe: Recipe, splits: DataSplits, world: World) -> Teacher | None:
    """Return the teacher that a run's folder, a weights file or a published source holds, for the classes of data.

    None is for a recipe without one.

    Raises: WeightsError, as `find_weights` and `Weights.build`; UsageError, if its classes are others, or the recipe
        needs a teacher and there is none.
    """
    if source is None:
        if recipe.distillation is None:
            return None
        raise UsageError(
            f"recipe {recipe.name!r} learns from a trained network; name a run's folder or a file as --teacher"
        )
    weights = find_in_turn(source, None, world).noted()
    network = weights.build().requires_grad_(False)
    spec = spec_of(network)
    assert spec is not None  # of what was built
    known, order = weights.classes, None
    if spec.num_classes != len(splits.classes) or (known is not None and {*known} != {*splits.classes}):
        raise UsageError(
            f"the teacher {weights.name} has other classes than {splits.name}: {_some(known, spec.num_classes)}, and "
            f"not {_some(splits.classes, len(splits.classes))}"
        )
    if known is not None and known != splits.classes:
        order = tuple(known.index(name) for name in splits.classes)
    record = start_record(source, weights.path, classes=spec.num_classes, network=spec.name)
    return Teacher(name=weights.name, network=network, record=record, input_spec=weights.input_spec, order=order)


def _some(classes: tuple[str, ...] | None, count: int) -> str:
    return str(count) if classes is None else f"{count} ({', '.join(classes[:3])}{', ...' if count > 3 else ''})"


class Lesson:
    """What a student learns from its teacher, as a part of its loss; with a hint there is a regressor to be trained.

    The regressor's initial weights are drawn from torch's random state. `iterations` is the length of the training.

    Shape: `shape` is that of an image, (C, H, W)
    Raises: UsageError, if the teacher does not take such images, there is no layer that a hint names, or the maps of
        its layers do not fit.
    """

    def __init__(
        self, teacher: Teacher, how: Distillation, iterations: int, student: nn.Module, shape: tuple[int, ...]
    ) -> None:
        self.teacher, self.how, self.iterations = teacher, how, iterations
        teacher.require_images(shape)
        self.regressor = None if how.hint is None else _regressor(teacher, how.hint, student, shape)
        self.maps: list[Tensor] = []  # of the student's layer, the last that it gave

    def place(self, device: torch.device) -> None:
        """Move teacher and regressor to a device."""
        for network in (self.teacher.network, self.regressor):
            if network is not None:
                place(network, device)

    @contextmanager
    def listening(self, student: nn.Module) -> Iterator[None]:
        """Keep the maps of the student's layer, while it is trained."""
        if self.how.hint is None:
            yield
            return
        with _maps_of(student, self.how.hint.layer) as self.maps:
            yield

    def loss(self, iteration: int, images: Tensor, scores: Tensor, of_labels: Tensor, precision: Precision) -> Tensor:
        """Return the loss of an iteration, counted from 0, from the student's scores and the loss of the labels.

        Shape: (N, C, H, W), (N, classes), () -> ()
        """
        how, hint, teacher = self.how, self.how.hint, self.teacher
        if hint is not None and iteration < hint.iterations:
            assert self.regressor is not None
            with torch.no_grad(), _maps_of(teacher.network, hint.teacher_layer) as maps:
                teacher.scores(images, precision)
            own, theirs = self.regressor(self.maps[0].float()), maps[0].float()
            return theirs.shape[2] * F.mse_loss(own, theirs) / 2
        with torch.no_grad():
            answers = teacher.scores(images, precision)
        own, theirs = ((one / how.temperature).log_softmax(1) for one in (scores, answers))
        of_teacher = F.kl_div(own, theirs, reduction="batchmean", log_target=True)
        of_teacher = of_teacher * (how.temperature**2 if how.squared else 1.0)
        return how.labels * of_labels + how.weight_at(iteration, self.iterations) * of_teacher


def make_lesson(
    teacher: Teacher, recipe: Recipe, network: nn.Module, splits: DataSplits, input_spec: InputSpec | None
) -> Lesson:
    """Return what a network learns from a teacher by a recipe. Raises: UsageError, as `Lesson` and `require_input`."""
    teacher.require_input(input_spec)
    assert recipe.distillation is not None
    crops = recipe.augmentation
    if input_spec is not None:
        shape: tuple[int, ...] = input_spec.channels, input_spec.size, input_spec.size
        if isinstance(crops, AreaCropFlip):  # that may grow
            teacher.require_images((input_spec.channels, crops.size_at(0), crops.size_at(0)))
    else:
        shape = next(iter(splits.test.test_batches(None, batch_size=1)))[0].shape[1:]
    return Lesson(teacher, recipe.distillation, recipe.iterations, network, shape)


def _regressor(teacher: Teacher, hint: Hint, student: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return a convolution without padding from the maps of the student's layer to those of the teacher's."""
    own = _shape_of_maps(student, hint.layer, shape)
    theirs = _shape_of_maps(teacher.network, hint.teacher_layer, shape)
    kernel = own[2] - theirs[2] + 1
    if kernel < 1:
        raise UsageError(
            f"the hint's maps of {theirs[2]} x {theirs[3]} ({hint.teacher_layer} of {teacher.name}) are larger than "
            f"the student's of {own[2]} x {own[3]} ({hint.layer}); a regressor needs as many pixels or more"
        )
    regressor = MaxoutConv2d(own[1], theirs[1], kernel, padding=0, pieces=hint.pieces)
    draw_uniformly(regressor, RANGE)
    return regressor


def _shape_of_maps(network: nn.Module, layer: str, shape: tuple[int, ...]) -> torch.Size:
    """Return the shape of a layer's output for one image. Raises: UsageError, if there is none, or it is no maps."""
    device = next(network.parameters()).device
    with in_mode(network, training=False), _maps_of(network, layer) as maps, torch.no_grad():
        network(torch.zeros(1, *shape, device=device))
    if not maps or not isinstance(maps[0], Tensor) or maps[0].dim() != 4:
        raise UsageError(
            f"the hint's layer {layer!r} of {name_of(network)} gives no maps; a hint is of a layer that does"
        )
    return maps[0].shape


@contextmanager
def _maps_of(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Keep, while it is entered, what a layer gave last. Raises: UsageError, if there is no such layer."""
    layers = dict(network.named_modules())
    if not layer or layer not in layers:
        raise UsageError(f"{name_of(network)} has no layer {layer!r}, which a hint names{nearest(layer, layers)}")
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept[:] = [output]

    with hooked([(layers[layer], keep)]):
        yield kept
