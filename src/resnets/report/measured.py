"""Results of runs, compared with what they answer: measured runs of classifiers, detectors and localisers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal

from resnets.localisation.recipes import all_recipes
from resnets.paper.declarations import SCORED_BY, DetectionTest
from resnets.paper.detection_data import after
from resnets.paper.detection_data import identify as identify_detection_data
from resnets.paper.tables import TABLES
from resnets.records import base
from resnets.records.evaluations import DetectionTested, Errors, ReproducedRun, Scale
from resnets.records.runs import (
    ClassifierResult,
    CurvePoint,
    DetectionScores,
    DetectorResult,
    LocaliserResult,
    NetworkRecord,
    Result,
    RunRecord,
)
from resnets.records.studies import last_images
from resnets.report.runs import (
    SHORT,
    SHOWN_SCALES,
    Measured,
    MeasuredDetector,
    MeasuredLocaliser,
    Point,
    Run,
    Scores,
    ShownScale,
)
from resnets.specs import PUBLISHED_IMAGES, ComparisonSpec, Recipe, ResNetSpec, Setting, VGGSpec, identify

IMAGENET_CLASSES = 1_000  # that the paper's backbones know
IMAGENET_TESTED = 50_000  # validation images
LOCALISER_TEST = "center-crop"  # by which a localiser's training tests at its end

_FITTED = ("at_most", "values", "vectors")  # a warm-up's bound; the axes of the colours of the training images
_PARTS = {"preprocessing contrast": "contrast normalisation", "preprocessing whitening": "ZCA whitening"}
_NO_EFFECT = ("kind", "name", "source", "departures", "evaluate_every")  # of a recipe; they change no weight


class NotAResult(ValueError):
    """A file's content is not a result; says why."""


def measured(file: str, result: ClassifierResult, answer: ReproducedRun | None = None) -> Measured:
    """Return the measured run of a classifier's result; `answer` says what it answers. Raises: NotAResult."""
    run = result.run
    spec = run.network.spec
    curve_on: Literal["test", "validation"] = "test" if result.validation_error is None else "validation"
    curve = tuple(_point(point) for point in result.curve)
    if any(after.iteration <= before.iteration for before, after in pairwise(curve)):
        raise NotAResult("the iterations of its curve do not ascend")
    view = "center-crop" if spec is not None and spec.type == "imagenet" else "single-view"
    errors = {view: Errors(result.test_error, result.test_top5_error)}
    if answer is not None:
        errors = errors | answer.errors | errors
    best = min(curve, key=lambda point: point.tested) if curve_on == "validation" else None
    return Measured(
        **vars(_run(file, result, answer, _data(result) if answer is None else answer.data, classifier=True)),
        depth=run.network.depth,
        is_residual=isinstance(spec, ResNetSpec) and spec.residual,
        errors=errors,
        training_error=result.training_error,
        training_images=last_images((point.iteration for point in curve), run.recipe.batch_size),
        curve=curve,
        curve_on=curve_on,
        best_validation=None if best is None else (best.iteration, best.tested),
        responses=() if answer is None else answer.responses,
    )


def measured_detector(file: str, result: DetectorResult, answer: ReproducedRun | None = None) -> MeasuredDetector:
    """Return the measured run of a detector's result, as `measured` does. Raises: NotAResult."""
    run = result.run
    data = run.data
    name = identify_detection_data(data.name, data.training_images, data.test_images, len(data.classes))
    if run.start is not None and run.start.of == "detector":
        name = after(name, run.start.classes or 0)
    own = DetectionTested(protocol=result.scores.protocol or "", scores=result.scores)
    return MeasuredDetector(
        **vars(_run(file, result, answer, name if answer is None else answer.data, classifier=False)),
        tests=dict(detection_tests((own, *(() if answer is None else answer.tests)))),
    )


def measured_localiser(file: str, result: LocaliserResult, answer: ReproducedRun | None = None) -> MeasuredLocaliser:
    """Return the measured run of a localiser's result, as `measured` does. Raises: NotAResult."""
    tests = {LOCALISER_TEST: result.scores}
    tests |= {} if answer is None else {one.protocol: one.scores for one in answer.localisations}
    data = result.run.data
    is_imagenet = (len(data.classes), data.test_images) == (IMAGENET_CLASSES, IMAGENET_TESTED)
    name = "imagenet-loc" if is_imagenet else data.name
    return MeasuredLocaliser(
        **vars(_run(file, result, answer, name if answer is None else answer.data, classifier=False)), tests=tests
    )


def detection_tests(tests: Iterable[DetectionTested]) -> Iterator[tuple[DetectionTest, Scores]]:
    """Yield the tests of a detector that were scored. Raises: NotAResult, for an unknown protocol."""
    for test in tests:
        if test.scores.mean_ap is None:  # only a server knows these boxes
            continue
        if test.protocol not in SCORED_BY.values():
            raise NotAResult(f"a test by the protocol {test.protocol!r}")
        made = DetectionTest(
            protocol=test.protocol,  # type: ignore[arg-type]
            box_refinement=test.box_refinement,
            multi_scale=test.multi_scale,
        )
        yield made, _scores(test.scores, test.scores.mean_ap)


def _run(file: str, result: Result, answer: ReproducedRun | None, data: str, *, classifier: bool) -> Run:
    """Return what any measured run has."""
    run, network = result.run, result.run.network
    recipe = run.recipe
    shortcut = getattr(network.spec, "shortcut", None)
    on = data if run.data.split == "all" else f"{data} ({run.data.split})"
    itself = Setting(network=network.name, shortcut=shortcut, recipe=recipe.name, data=on)
    declared = (itself if answer is None else answer.declared).with_default_shortcut()
    named_recipe = all_recipes().get(declared.recipe)
    full = recipe.iterations if named_recipe is None else named_recipe.iterations
    return Run(
        file=file,
        network=network.name,
        shortcut=shortcut,
        recipe=recipe.name,
        iterations=recipe.iterations,
        declared_iterations=full,
        data=on,
        seed=run.seed,
        scale=scale_of(None if answer is None else answer.scale, recipe.iterations, full),
        declared=declared,
        changes=(
            *_other_network(network, declared),
            *_other_channels(network, data),
            *_other_start(run, classifier=classifier),
            *_other_teacher(run, declared),
            *([] if run.class_weights is None else ["the classes weigh differently in the loss"]),
            *_other_recipe(recipe, network, declared),
        ),
        recipe_departures=tuple((one.what, one.why) for one in recipe.departures),
        precision=run.precision,
        seconds=result.seconds,
        images_per_second=result.images_per_second,
        provenance=run.provenance,
        fingerprint=run.fingerprint(),
        built=base.encode(run.network).decode(),
        trained=base.encode(_trained(run, declared, data)).decode(),
        files=tuple(None if one is None else one.sha256 for one in (run.start, run.teacher, run.rpn)),
    )


def _trained(run: RunRecord, declared: Setting, data: str) -> dict[str, Any]:
    """Return the values of a training that neither its declaration nor the words on what it changes have.

    Published images are known by their name, and a declared recipe by what it changes.
    """
    same = run.identity()
    images, spec = same["data"], run.network.spec
    trained = {"class_weights": same["class_weights"], "channels": None if spec is None else spec.in_channels}
    if data not in PUBLISHED_IMAGES:
        trained |= {name: images[name] for name in ("digest", "classes", "training_images", "test_images")}
    if run.recipe.name != declared.recipe or run.recipe.name not in all_recipes():
        trained["recipe"] = {name: _not_fitted(of) for name, of in same["recipe"].items() if name not in _NO_EFFECT}
    return trained


def _data(result: ClassifierResult) -> str:
    """Return what was trained on, as its images show."""
    data = result.run.data
    return identify(
        data.name,
        digest=data.digest,
        train=data.training_images if data.split == "all" else None,
        test=result.test_samples,
        classes=len(data.classes),
    )


def _point(point: CurvePoint) -> Point:
    tested = point.validation_error if point.test_error is None else point.test_error
    if tested is None:
        raise NotAResult(f"its curve has no error at iteration {point.iteration:,}")
    return Point(point.iteration, point.training_error, tested)


def scale_of(named: Scale | None, iterations: int, full: int) -> ShownScale:
    """Return the scale that a record names, or a lesser one that its length shows."""
    shown: ShownScale = "full" if iterations >= full else "short" if iterations >= round(full / SHORT) else "reduced"
    return shown if named is None else max(shown, named, key=SHOWN_SCALES.index)


def _scores(scores: DetectionScores, mean_ap: float) -> Scores:
    classes = {name: 100 * ap for name, ap in scores.ap.items() if ap is not None}
    masks = None if scores.masks is None else _coco_means(scores.masks.numbers)
    mean_50, mean = (100 * mean_ap, None) if scores.numbers is None else _coco_means(scores.numbers)
    return Scores(mean_50, mean, classes, masks)


def _coco_means(numbers: Mapping[str, float]) -> tuple[float, float]:
    """Return COCO's two means in percent. Raises: NotAResult, if they are not among the numbers."""
    if missing := {"AP", "AP50"} - numbers.keys():
        raise NotAResult(f"its scores have no {missing.pop()}")
    return 100 * numbers["AP50"], 100 * numbers["AP"]


# ---------------------------------------------------------------- what differs from the declaration


def _other_network(network: NetworkRecord, declared: Setting) -> list[str]:
    """Return in what a network differs from the declared one. Raises: NotAResult, if there is none of its name."""
    name, spec = network.name, network.spec
    found = [] if name == declared.network else [f"{name} instead of {declared.network}"]
    if isinstance(spec, ComparisonSpec | VGGSpec):
        try:
            own = type(spec).named(spec.name, num_classes=spec.num_classes, in_channels=spec.in_channels)
        except (KeyError, ValueError):
            raise NotAResult(f"there is no network {spec.name!r}") from None
        changed = own.differences(spec).items()
        found += [f"{option} {ours} instead of {usual}" for option, (usual, ours) in changed if option != "bn_group"]
    if not isinstance(spec, ResNetSpec):
        return found
    if name == declared.network and spec.shortcut is not None and spec.shortcut != declared.shortcut:
        found.append(f"shortcut option {spec.shortcut} instead of {declared.shortcut}")
    if spec.residual_layers != 2:
        found.append(f"shortcuts span {spec.residual_layers} layers")
    if spec.initialization != "he_fan_in":
        found.append(f"initialisation {spec.initialization}")
    if spec.stride == "3x3" and not name.endswith("_v1_5"):
        found.append("stride 2 on the 3x3 of a bottleneck")
    return found


def _other_channels(network: NetworkRecord, data: str) -> list[str]:
    """Return that images of a published data set, all in colour, were read as grey."""
    channels = 3 if network.spec is None else network.spec.in_channels
    return [f"images of {channels} channel instead of 3"] if data in PUBLISHED_IMAGES and channels != 3 else []


def _other_start(run: RunRecord, *, classifier: bool) -> list[str]:
    """Return in what the weights that a run starts from differ: none of a classifier, an ImageNet one of a detector."""
    start = run.start
    if classifier:
        return [] if start is None else ["started from trained weights"]
    if start is None:
        return ["started from random weights instead of an ImageNet classifier's"]
    if start.of == "detector" or start.classes == IMAGENET_CLASSES:  # the data's name says so of a detector
        return []
    what = "weights of unknown classes" if start.classes is None else f"a classifier of {start.classes:,} classes"
    return [f"started from {what} instead of ImageNet's {IMAGENET_CLASSES:,}"]


def _other_teacher(run: RunRecord, declared: Setting) -> list[str]:
    """Return that a run learned from another network than the declared one, where its record names it."""
    own = None if run.teacher is None else run.teacher.network
    if own is None:
        return []
    rows = (row for table in TABLES.values() for row in table.rows if declared in row.trainings)
    teachers = [row.teacher.network for row in rows if row.teacher is not None]
    return [] if own in teachers or not teachers else [f"learned from {own} instead of {teachers[0]}"]


def _other_recipe(recipe: Recipe, network: NetworkRecord, declared: Setting) -> list[str]:
    """Return in what a recipe differs from the declared one at the run's length.

    A warm-up that the network is too shallow for does not count, nor does the bound on its length.
    """
    if recipe.name != declared.recipe:
        return [f"recipe {recipe.name} instead of {declared.recipe}"]
    full = all_recipes().get(declared.recipe)
    if full is None:
        return []
    expected, found = full.scaled(recipe.iterations), recipe
    depth = network.depth or 0
    if all(depth < one.from_depth for one in (expected.warm_up, found.warm_up) if one is not None):
        expected, found = expected.with_changes(warm_up=None), found.with_changes(warm_up=None)
    longer = [f"{recipe.iterations:,} iterations instead of {full.iterations:,}"]
    return (longer if recipe.iterations > full.iterations else []) + [
        f"no {_PARTS.get(name, name)}" if one is None else f"{name} {_plain(one)} instead of {_plain(other)}"
        for field, (whole, whole_other) in found.differences(expected).items()
        if field not in _NO_EFFECT
        for name, one, other in _differences(field.replace("_", " "), base.as_json(whole), base.as_json(whole_other))
    ]


def _differences(name: str, found: Any, expected: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the values that differ, of objects field by field, but for those that are fitted to the data."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping) and found.get("kind") == expected.get("kind"):
        for key in (key for key in found if key not in _FITTED):
            yield from _differences(f"{name} {key.replace('_', ' ')}", found[key], expected[key])
    elif found != expected:
        yield name, found, expected


def _not_fitted(value: Any) -> Any:
    """Return a value of a recipe without what is fitted to the images, which a seed may hold out."""
    if isinstance(value, Mapping):
        return {key: _not_fitted(inner) for key, inner in value.items() if key not in _FITTED}
    return value


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        fields = ", ".join(f"{key.replace('_', ' ')} {inner}" for key, inner in value.items() if key not in _FITTED)
        return str(value.get("kind", fields))
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
