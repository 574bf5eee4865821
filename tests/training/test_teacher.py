"""Students learn from a trained network: its softened scores, and before that maps of one of its layers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from observing import Crash, Recorder
from small_runs import RECIPE, differences, job, run, splits
from torch import Tensor

import resnets
from resnets.errors import UsageError, WeightsError
from resnets.networks.registry import create
from resnets.records.runs import ClassifierResult, RunRecord
from resnets.runtime.processes import ALONE
from resnets.specs import Distillation, Hint, PadCropFlip, ParameterGroup, Preprocessing, Recipe
from resnets.training.classification import ClassificationTask
from resnets.training.config import TrainingConfig, resolve
from resnets.training.recipes import RECIPES
from resnets.training.run_folder import RunFolder
from resnets.training.state import trained_parameters
from resnets.training.teacher import Lesson, find_teacher
from resnets.weights import weights_file

HINT = Hint(layer="conv", teacher_layer="layer2", iterations=6, pieces=2)
GROUPS = (ParameterGroup(names=r"regressor\..*", lr=0.5, max_norm=2.0),)
HINTED = RECIPE.with_changes(distillation=Distillation(hint=HINT), warm_up=None, groups=GROUPS)


def teacher_in(folder: Path, *, seed: int = 0, classes: tuple[str, ...] | None = None, **options: Any) -> Path:
    """Write the weights of a teacher of digits, as drawn by a seed, and return their file."""
    torch.manual_seed(seed)
    path = folder / f"teacher-{seed}.safetensors"
    network = create("resnet8", **{"in_channels": 1, **options})
    input_spec = splits().train.fit_input(Preprocessing(mean="channel", std=True), None)
    weights_file.save(path, network, classes=classes or splits().classes, input_spec=input_spec)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_in(tmp_path_factory.mktemp("teacher"))


def images_and_labels(count: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.arange(count) % 10


def lesson_of(task: ClassificationTask) -> Lesson:
    lesson = task.training.lesson
    assert lesson is not None
    return lesson


def record_in(folder: Path) -> RunRecord:
    record = RunFolder(folder).record()
    assert record is not None
    return record


def test_the_loss_by_hand(teacher: Path) -> None:
    """A share of the labels' loss, and the divergence of both softened scores, here once times 2 squared."""
    how = Distillation(temperature=2.0, labels=0.25, weight=1.0, weight_to=0.0, squared=True)
    lesson = lesson_of(job(recipe=RECIPE.with_changes(distillation=how), teacher=teacher))
    images, _ = images_and_labels()
    own = torch.randn(16, 10, requires_grad=True)
    theirs = lesson.teacher.network(images)
    ratio = (theirs / 2).log_softmax(1) - (own / 2).log_softmax(1)
    softened = ((theirs / 2).softmax(1) * ratio).sum(1).mean()
    found = lesson.loss(3, images, own, torch.tensor(8.0), "fp32")  # a quarter of 12 iterations
    torch.testing.assert_close(found, 0.25 * 8.0 + 0.75 * 4 * softened)
    once = Lesson(
        lesson.teacher, how.with_changes(squared=False, weight_to=None), 12, lesson.teacher.network, (1, 8, 8)
    )
    torch.testing.assert_close(once.loss(9, images, own, torch.tensor(8.0), "fp32"), 0.25 * 8.0 + softened)


def test_a_student_that_knows_all_learns_nothing(teacher: Path) -> None:
    """Where the scores are the teacher's, the gradient of its loss is 0."""
    how = Distillation(temperature=3.0, labels=0.0, weight=4.0)
    lesson = lesson_of(job(recipe=RECIPE.with_changes(distillation=how), teacher=teacher))
    images, _ = images_and_labels()
    same = lesson.teacher.network(images).detach().requires_grad_(True)
    lesson.loss(0, images, same, torch.tensor(0.0), "fp32").backward()
    assert same.grad is not None
    torch.testing.assert_close(same.grad, torch.zeros(16, 10), atol=1e-7, rtol=0)


def test_fitnets_weight_falls_as_its_authors_have_it() -> None:
    """4 until epoch 5 of the second stage, 1 from epoch 400 on, and the same at another length."""
    recipe = RECIPES.find("authors-fitnet")
    for one in (recipe, recipe.scaled(recipe.iterations // 100)):
        how = one.distillation
        assert how is not None and how.hint is not None
        per_epoch = 50_000 / 128 * one.iterations / recipe.iterations
        weights = [
            how.weight_at(how.hint.iterations + round(epoch * per_epoch), one.iterations)
            for epoch in (0, 5, 202.5, 400)
        ]
        assert weights == pytest.approx([4.0, 4.0, 2.5, 1.0], abs=0.01)


@pytest.mark.parametrize("parts", [1, 2])
def test_stages(teacher: Path, parts: int) -> None:
    """First the layers up to the hint's and the regressor are trained, then all but the regressor."""
    how = Distillation(hint=HINT.with_changes(layer="layer1"))
    moved: dict[int, set[str]] = {}
    for iteration in (5, 6):
        recipe = HINTED.with_changes(distillation=how, bn_group=8)
        config = TrainingConfig(recipe=recipe, teacher=teacher, accumulate=parts, workers=0, precision="fp32")
        task = ClassificationTask(resolve("resnet8", splits(), config))
        state = task.initial_state()
        state.iteration = iteration
        state.set_lr(0.1)
        before = {name: tensor.clone() for name, tensor in trained_parameters(state.network, state.regressor)}
        with task.stepping(state) as step:
            step(*images_and_labels())
        after = trained_parameters(state.network, state.regressor)
        moved[iteration] = {name.partition(".")[0] for name, one in after if not torch.equal(one, before[name])}
    assert moved[5] == {"conv1", "bn1", "layer1", "regressor"}
    assert moved[6] == {"conv1", "bn1", "layer1", "layer2", "layer3", "fc"}


def test_the_loss_of_a_hint_by_hand(teacher: Path) -> None:
    """Half the squared difference of the regressor's maps and the teacher's, summed over rows, else averaged."""
    task = job(recipe=HINTED, teacher=teacher)
    lesson, network = lesson_of(task), task.training.network.eval()
    images, _ = images_and_labels()
    with lesson.listening(network):
        found = lesson.loss(0, images, network(images), torch.tensor(9.0), "fp32")
    hint = lesson.teacher.network.features(images, out_indices=(2,))[0]  # type: ignore[operator]
    assert lesson.regressor is not None
    maps = lesson.regressor(network.get_submodule("conv")(images))
    assert maps.shape == hint.shape == (16, 32, 4, 4)
    torch.testing.assert_close(found, ((maps - hint) ** 2).sum(2).mean() / 2)


def test_fitnets_regressor(tmp_path: Path) -> None:
    """From 80 maps of 8x8 to the Maxout network's 192 of 7x7, by 2x2 maxout convolutions of two pieces."""
    path = tmp_path / "maxout.safetensors"
    weights_file.save(path, create("maxout", fc_pieces=1), classes=tuple("0123456789"))
    pixels = np.zeros((10, 32, 32, 3), np.uint8)
    data = resnets.DataSplits(
        name="black",
        train=(images := resnets.data.arrays.ImageArrays(pixels, np.arange(10))),
        test=images,
        classes=tuple("0123456789"),
    )
    recipe = RECIPES.find("authors-fitnet").with_changes(preprocessing=Preprocessing())
    training = resolve("fitnet19", data, TrainingConfig(recipe=recipe, teacher=path, iterations=8, workers=0))
    assert training.lesson is not None and training.lesson.regressor is not None
    assert training.lesson.regressor.get_parameter("conv.weight").shape == (384, 80, 2, 2)
    assert training.recipe.distillation.hint.iterations == 2  # type: ignore[union-attr]


@pytest.fixture(scope="module", params=["sgd", "rmsprop"])
def student(
    request: pytest.FixtureRequest, teacher: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recipe, Path]:
    """A recipe with either optimiser, and the folder of its run, which nothing interrupted."""
    recipe, path = HINTED.with_changes(optimizer=request.param, lr=0.01, ema=0.9), tmp_path_factory.mktemp("student")
    run(job(recipe=recipe, teacher=teacher), path)
    return recipe, path


@pytest.mark.parametrize("crash_after", [4, 9])
def test_students_resume(tmp_path: Path, teacher: Path, student: tuple[Recipe, Path], crash_after: int) -> None:
    """In either stage: after a crash a run ends bit for bit as without it, the regressor too."""
    recipe, whole = student
    with pytest.raises(Crash):
        run(job(recipe=recipe, teacher=teacher, crash_after=crash_after), tmp_path)
    run(job(recipe=recipe, teacher=teacher, process_seed=1), tmp_path)
    assert differences(whole, tmp_path) == []


def test_a_run_from_a_teacher(tmp_path: Path, teacher: Path) -> None:
    """Any recipe takes one: it is recorded with what is learned, and a changed file does not continue the run."""
    settings: dict[str, Any] = {"recipe": RECIPE, "device": "cpu", "workers": 0, "out": tmp_path / "run"}
    seen = Recorder()
    given = {"teacher": teacher, "temperature": 2.0, "teacher_weight": 0.7, "observers": [seen]}
    resnets.train("resnet8", splits(), **settings, **given)
    record = record_in(tmp_path / "run")
    assert record.teacher is not None and (record.teacher.file, record.teacher.network) == (str(teacher), "resnet8")
    assert isinstance(record.recipe, Recipe)
    assert record.recipe.distillation == Distillation(temperature=2.0, weight=0.7, labels=0.3)
    assert [one.what for one in record.recipe.departures if "teacher" in one.what]
    assert [note for note in seen.notes if str(teacher) in note and "resnet8" in note]
    expected = weights_file.load(teacher).input_spec
    assert weights_file.load(tmp_path / "run" / "weights.safetensors").input_spec == expected
    again = resnets.train("resnet8", splits(), **settings, **given, resume=True)
    assert again.already_finished
    other = teacher_in(tmp_path, seed=1)
    with pytest.raises(
        resnets.RunError, match=f"its teacher is {re.escape(str(teacher))}.* and {re.escape(str(other))}"
    ):
        resnets.train("resnet8", splits(), **settings, **{**given, "teacher": other}, resume=True)
    shutil.copy(teacher, tmp_path / "kept")
    try:
        shutil.copy(other, teacher)
        with pytest.raises(resnets.RunError, match=f"{re.escape(str(teacher))}.* has changed since"):
            resnets.train("resnet8", splits(), **settings, **given, resume=True)
    finally:
        shutil.copy(tmp_path / "kept", teacher)


def test_a_student_of_its_teachers_data_learns(tmp_path: Path, teacher: Path) -> None:
    """From the teacher's scores alone a student comes to give the teacher's answers, whatever the labels are."""
    how = Distillation(labels=0.0, weight=1.0, temperature=1.0)
    recipe = RECIPE.with_changes(distillation=how, iterations=60, lr=0.02, milestones=(), warm_up=None, momentum=0.0)
    task = job(recipe=recipe.with_changes(augmentation=PadCropFlip(pad=0, flip=False)), teacher=teacher)
    result = run(task, tmp_path / "run")
    assert isinstance(result, ClassifierResult)
    images, _ = next(iter(splits().train.test_batches(task.training.input_spec, batch_size=100)))
    with torch.no_grad():
        answers = lesson_of(task).teacher.scores(images, "fp32").softmax(1)
        before = F.cross_entropy(job(teacher=teacher).training.network.eval()(images), answers)
        after = F.cross_entropy(task.training.network.eval()(images), answers)
    assert after < before


def test_classes_in_another_order(tmp_path: Path) -> None:
    """The teacher's scores are put in the order of the data's classes."""
    order = [3, 1, 0, 2, 4, 5, 6, 7, 9, 8]
    path = teacher_in(tmp_path, classes=tuple(splits().classes[place] for place in order))
    images, _ = images_and_labels()
    found = find_teacher(path, RECIPE, splits(), ALONE)
    assert found is not None
    scores = found.scores(images, "fp32")
    for place, label in enumerate(order):
        assert torch.equal(scores[:, label], found.network(images)[:, place])


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"recipe": HINTED}, "learns from a trained network; name .* --teacher"),
        ({"temperature": 2.0}, "temperature is 2.0, and there is no teacher"),
        ({"teacher": 1, "temperature": 0.0}, "temperature is 0.0"),
        ({"teacher": 1, "teacher_weight": 1.5}, "teacher_weight is 1.5"),
        ({"teacher": 1, "recipe": (HINT.with_changes(layer="cnv"))}, "'cnv', which a hint names .did you mean conv"),
        ({"teacher": 1, "recipe": (HINT.with_changes(teacher_layer="layer9"))}, "resnet8 has no layer 'layer9'"),
        ({"teacher": 1, "recipe": (HINT.with_changes(teacher_layer="fc"))}, "'fc' of resnet8 gives no maps"),
        ({"teacher": 1, "recipe": (HINT.with_changes(layer="fc"))}, "gives no maps"),
    ],
)
def test_impossible_lessons(teacher: Path, settings: dict[str, Any], wrong: str) -> None:
    """Each is refused before anything is trained, with the name or the value."""
    given = dict(settings)
    if "teacher" in given:
        given["teacher"] = teacher
    if isinstance(hint := given.get("recipe"), Hint):
        given["recipe"] = RECIPE.with_changes(distillation=Distillation(hint=hint))
    with pytest.raises(UsageError, match=wrong):
        job(**given)


def test_maps_that_are_smaller_than_the_teachers(teacher: Path) -> None:
    """A student whose layer has fewer pixels than the teacher's is refused, with both."""
    hint = Hint(layer="layer3", teacher_layer="layer1", iterations=1)
    recipe = RECIPE.with_changes(distillation=Distillation(hint=hint))
    with pytest.raises(UsageError, match=r"8 x 8 .*larger .* 2 x 2"):
        resolve("resnet8", splits(), TrainingConfig(recipe=recipe, teacher=teacher, workers=0))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"classes": ("a", "b"), "num_classes": 2}, r"other classes than few-digits: 2 \(a, b\), and not 10"),
        ({"classes": tuple("abcdefghij")}, r"10 \(a, b, c, \.\.\.\)"),
        ({"size": 16, "resize": 16}, "is for images of 16 pixels, and those of this training have 8"),
        ({"channels": 3, "mean": (0.5,) * 3, "std": (1.0,) * 3}, "is for images of 3 channels"),
    ],
)
def test_teachers_of_something_else(tmp_path: Path, changes: dict[str, Any], wrong: str) -> None:
    """Other classes, another size or other channels: one line with both."""
    own = dict(changes)
    classes = own.pop("classes", splits().classes)
    path = teacher_in(tmp_path, classes=classes, num_classes=own.pop("num_classes", 10))
    found = weights_file.load(path)
    assert found.input_spec is not None
    network = create("resnet8", num_classes=len(classes), in_channels=own.get("channels", 1))
    weights_file.save(path, network, classes=classes, input_spec=found.input_spec.with_changes(**own))
    with pytest.raises(UsageError, match=wrong):
        job(teacher=path)


def test_another_input_than_that_of_the_weights(tmp_path: Path, teacher: Path) -> None:
    """A run that starts from weights and learns from a teacher needs one input for both."""
    start = teacher_in(tmp_path)
    found = weights_file.load(start)
    assert found.input_spec is not None
    shifted = found.input_spec.with_changes(mean=(0.9,))
    weights_file.save(start, found.build(), classes=found.classes, input_spec=shifted)
    config = TrainingConfig(recipe=RECIPE, weights=start, teacher=teacher, workers=0)
    with pytest.raises(UsageError, match="another input than the teacher"):
        resolve("resnet8", splits(), config)


def test_a_file_that_names_no_network(tmp_path: Path) -> None:
    """Weights of a custom module are no teacher that could be built."""
    path = tmp_path / "own.safetensors"
    weights_file.save(path, torch.nn.Linear(64, 10))
    with pytest.raises(WeightsError, match="do not say which network"):
        job(teacher=path)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: Distillation(weight=-1.0), "weight of a distillation is -1.0"),
        (lambda: Distillation(temperature=float("nan")), "temperature is nan"),
        (lambda: Distillation(weight_falls=(5, 5)), r"weight_falls is \(5, 5\)"),
        (lambda: Hint(layer="a", teacher_layer="b", iterations=0), "iterations of a hint is 0"),
    ],
)
def test_impossible_distillations(make: Any, wrong: str) -> None:
    """Each is refused when it is made, with the value."""
    with pytest.raises(UsageError, match=wrong):
        make()
