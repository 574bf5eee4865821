"""Errors of localisers on a split: for the true class, and for the classes that classifiers guess. Tables 13 and 14."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.data.load import load_of_runs, require_trained_on
from resnets.detection.evaluate import EVALUATION
from resnets.errors import DataError, UsageError, public, warn
from resnets.evaluation.members import load_all as load_models
from resnets.evaluation.members import prepare
from resnets.evaluation.multi_view import ensemble
from resnets.files import require_results_folder
from resnets.inference.model import Model
from resnets.inference.several import load_each
from resnets.localisation.boxed_images import BoxedImages, LocalisationSplits
from resnets.localisation.inference import LocalisationTest, locate_all
from resnets.localisation.localiser import Localiser, load_localiser
from resnets.localisation.score import GUESSES, Guesses, score, truth_of, write_guesses
from resnets.localisation.sources import load_localisation_data
from resnets.networks.registry import name_of
from resnets.records import base
from resnets.records.evaluations import LocalisationEvaluation
from resnets.records.runs import LocalisationScores, LocaliserResult, record_of, result_next_to
from resnets.runtime.device import choose_precision, keep_freed_memory
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.training.settings import RunSettings

Weights = str | Path | Model
Labels = NDArray[np.int64]
Located = tuple[NDArray[np.float32], NDArray[np.float32]]


@public
def evaluate_localiser(
    path: str | Path | Localiser | Sequence[str | Path | Localiser],
    data: str | LocalisationSplits | None = None,
    *,
    classifier: Weights | Sequence[Weights] = (),
    split: str = "test",
    protocol: str = "dense-multi-scale",
    scales: Sequence[int] | None = None,
    voting: bool = True,
    out: str | Path | None = None,
    device: str = "auto",
    precision: str = "fp32",
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> LocalisationEvaluation:
    """Evaluate a localiser, or an ensemble of several, on a split by ILSVRC's rules.

    Args:
        path: a run folder, a weights file or a loaded localiser; several are an ensemble.
        data: `clsloc:PATH`, `voc:PATH`, `coco:PATH` or splits; None is the source of the run.
        classifier: one or several classifiers of the same classes, whose five best guesses are located too; () locates
            the true class alone.
        split: `test`, `train` or `validation`.
        protocol: `center-crop` (Table 13's 1-crop) or `dense-multi-scale`, which may be abbreviated; by it the
            classifier is tested too.
        scales: shorter sides in pixels for dense testing of the localiser; None is its recipe's.
        voting: move a box to the mean of those that overlap it, weighted by their scores.
        out: folder for the guesses, in the format of the server (guesses_SPLIT.txt), and `evaluation.json`.
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.
        workers: data-loading processes.
        progress: is called after each image with the number of processed images and their total.

    Raises: WeightsError, UsageError, DataError, also if the classes are not those of the training.
    Paper: appendix C.
    """
    RunSettings(workers=workers)
    require_alone("locate evaluate")
    require_results_folder(out)
    test = LocalisationTest.of(protocol, scales, voting=voting)
    localisers = load_all(path, device)
    splits = _load(localisers, data)
    if split != "test":
        splits = _divided_as_trained(localisers, splits)
    images = splits.of(split)
    models = load_models(classifier, str(localisers[0].device)) if classifier else []
    annotated = split != "test" or splits.test_annotated
    _require_answerable(splits, models, annotated=annotated, out=out)
    for note in splits.notes:
        warn(note)
    if localisers[0].device.type == "cpu":
        keep_freed_memory()
    start = time.perf_counter()
    guessed = None if not models else _guessed(models, splits, split, test.protocol, precision, workers)
    found = locate_all(
        localisers,
        images.files,
        _classes(images, guessed),
        test,
        precision=choose_precision(precision, localisers[0].device),
        workers=workers,
    )
    located = [boxes for boxes, _ in _watched(found, len(images), progress)]
    guesses = None
    if guessed is not None:
        guesses = [Guesses(labels, boxes[1:]) for labels, boxes in zip(guessed, located, strict=True)]
    scores = LocalisationScores(images=len(images))
    if annotated:
        truth, excluded = truth_of(images), splits.blacklist_of(split)
        scores = score(truth, boxes=[boxes[0] for boxes in located], guesses=guesses, blacklist=excluded)
    evaluation = LocalisationEvaluation(
        networks=tuple(one.names for one in localisers),
        classifiers=tuple(name_of(model.network) for model in models),
        data=splits.name,
        digest=splits.digest,
        split=split,
        protocol=test.protocol,
        scales=test.scales,
        voting=test.voting,
        scores=scores,
        seconds_per_image=(time.perf_counter() - start) / len(images),
        results=tuple(result_next_to(one.path, LocaliserResult, (one.rcnn or one.rpn).spec) for one in localisers),
        provenance=provenance(localisers[0].device),
    )
    if out is not None:
        if guesses is not None:
            write_guesses(Path(out) / f"guesses_{split}.txt", guesses, splits.class_ids or ())
        base.write(Path(out) / EVALUATION, evaluation)
    return evaluation


def _classes(images: BoxedImages, guessed: Sequence[Labels] | None) -> list[list[int]]:
    """Return the classes to locate in each image: its own one, and those that were guessed."""
    own = images.files.labels.tolist()
    return [[label] if guessed is None else [label, *guessed[place].tolist()] for place, label in enumerate(own)]


def _watched(found: Iterable[Located], total: int, progress: Callable[[int, int], None] | None) -> Iterator[Located]:
    for done, one in enumerate(found, 1):
        yield one
        if progress is not None:
            progress(done, total)


def load_all(path: str | Path | Localiser | Sequence[str | Path | Localiser], device: str) -> list[Localiser]:
    """Return one localiser or the members of an ensemble, of the same classes, all with an R-CNN or none.

    Raises: WeightsError, as `load_localiser`; UsageError.
    """
    found = load_each(path, Localiser, partial(load_localiser, device=device))
    for other in found[1:]:
        if other.classes != found[0].classes:
            raise UsageError(f"{other.path} knows other classes than {found[0].path}; an ensemble needs the same")
        if (other.rcnn is None) != (found[0].rcnn is None):
            raise UsageError(f"{other.path} and {found[0].path}: all localisers of an ensemble need an R-CNN, or none")
    return found


def _require_answerable(
    splits: LocalisationSplits, models: Sequence[Model], *, annotated: bool, out: str | Path | None
) -> None:
    """Verify before hours of work that they end in something. Raises: UsageError."""
    if not annotated and (not models or out is None):
        raise UsageError(f"only a server knows the boxes of {splits.name}'s test images; name a classifier and out")
    if models and out is not None and splits.class_ids is None:
        raise UsageError(
            f"{splits.name} has no map_clsloc.txt with the server's numbers of the classes, which out needs"
        )


def _guessed(
    models: Sequence[Model], splits: LocalisationSplits, split: str, protocol: str, precision: str, workers: int
) -> list[Labels]:
    """Return the five most probable classes of each image, by the mean of the classifiers' probabilities."""
    data = splits.to_classify(split)
    members = [
        prepare(model, data, precision=precision, protocol=protocol, scales=None, flips=None, decode=None)
        for model in models
    ]
    passes: Iterator[object] = (member.score(256, workers) for member in members)
    _, _, scored = ensemble(passes, len(data.test), len(splits.classes))  # type: ignore[arg-type]
    best = scored.probabilities.topk(min(GUESSES, len(splits.classes)), dim=1).indices
    return list(best.numpy())


def _load(localisers: Sequence[Localiser], data: str | LocalisationSplits | None) -> LocalisationSplits:
    """Return the given data, or where there is none what the runs of localisers were trained on, with their classes."""
    first = localisers[0]
    if data is not None:
        return _with_classes_of(first, data)
    splits = load_of_runs([one.path for one in localisers], lambda source: _with_classes_of(first, source))
    for one in localisers:
        require_trained_on(one.path, splits, splits.digest)
    return splits


def _divided_as_trained(localisers: Sequence[Localiser], splits: LocalisationSplits) -> LocalisationSplits:
    """Return a data set as the runs of localisers divided it, or as it is where it is not theirs.

    Raises: UsageError, if they held out different images.
    """
    runs = [run for one in localisers if (run := record_of(one.path)) is not None]
    divisions = {(run.data.split, run.seed) for run in runs if run.data.digest == splits.digest}
    if {split for split, _ in divisions} <= {"all"}:
        return splits
    if len(divisions) > 1:
        raise UsageError(f"the runs held out different images of {splits.name}; test each alone")
    return splits.divided(*divisions.pop())


def _with_classes_of(localiser: Localiser, data: str | LocalisationSplits) -> LocalisationSplits:
    """Return a data set, whose classes must be a localiser's."""
    splits = load_localisation_data(data) if isinstance(data, str) else data
    if splits.classes != localiser.classes:
        raise DataError(
            f"{splits.name} is not what {localiser.path} was trained on: it has {len(splits.classes):,} classes, "
            f"{splits.classes[0]} ...; the weights know {len(localiser.classes):,}, {localiser.classes[0]} ..."
        )
    return splits
