"""`evaluate`: the exact error of trained weights on a test set, by any protocol of the paper, alone and together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec import UNSET
from torch import nn

from resnets.data.image_files import ImageFiles
from resnets.data.load import Data
from resnets.data.splits import DataSplits, Split
from resnets.errors import DataError, RunError, UsageError, public, require_at_least
from resnets.evaluation import mistakes_page
from resnets.evaluation.members import Member as PreparedMember
from resnets.evaluation.members import data_for, divided_as_trained, prepare, tested_alone
from resnets.evaluation.metrics import Counts
from resnets.evaluation.mistakes import Mistakes
from resnets.evaluation.multi_view import Scored, ensemble
from resnets.evaluation.shown_images import require_images
from resnets.files import require_file, require_results_folder, sha256_of
from resnets.inference.model import Model, load
from resnets.inference.several import as_list, load_each
from resnets.networks.registry import spec_of
from resnets.records import base
from resnets.records.counts import wilson
from resnets.records.evaluations import Evaluation, Member, Tested
from resnets.records.runs import ClassifierResult, result_next_to
from resnets.runtime.device import keep_freed_memory
from resnets.runtime.launch import joined, require_alone
from resnets.runtime.processes import World
from resnets.runtime.provenance import provenance
from resnets.weights.shipped import name_of, shipped_result


@public
def evaluate(
    path: str | Path | Model | Sequence[str | Path | Model],
    data: Data | None = None,
    *,
    protocol: str | None = None,
    scales: Sequence[int] | None = None,
    flips: bool | None = None,
    decode: str | None = None,
    split: str = "test",
    network: nn.Module | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 256,
    workers: int = 2,
    out: str | Path | None = None,
    mistakes: str | Path | None = None,
) -> Evaluation:
    """Evaluate weights, or an ensemble of several, on the test split of a data set, or another.

    In bf16, and for an optimised model, single views are computed by an engine, and `agreement` compares it with
    float32, unless there are `mistakes` to write. Where torchrun started several processes, each tests its share of the
    images, and all return the same.

    Args:
        path: a run folder, a weights file or a loaded model; several are an ensemble.
        data: a source (`cifar10`, `folder:PATH` ...) or splits, as in `train`; None is the source of the run.
        protocol: `single-view`, `center-crop`, `ten-crop`, `144-crop` or `dense-multi-scale`, which may be abbreviated;
            None is single-view for small images and center-crop for larger ones.
        scales: shorter sides in pixels for dense testing; None is the paper's, in proportion to the network's input.
        flips: average over horizontal flips; None does so for ten-crop, 144-crop and dense testing.
        decode: large JPEGs `exact` or `reduced`, as in `train`; None is as in training.
        split: `test`, `train` or `validation`, of a run's data as the run divided it, or `all` images of a folder
            PATH/CLASS/*, of which else those are tested on that a training on the folder leaves out.
        network: the module, for weights of a custom one.
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.
        batch_size: images per batch; the result does not depend on it.
        workers: data-loading processes.
        out: JSON file to write the evaluation to, for `resnets report`.
        mistakes: folder to write a page of the mistakes to, mistakes.html, and a line for each image, mistakes.csv.

    Raises: UsageError, DataError, WeightsError, also if the classes or images are not those of the training.
    """
    require_at_least(1, batch_size=batch_size)
    require_at_least(0, workers=workers)
    paths = as_list(path, Model)
    if network is not None and len(paths) > 1:
        raise UsageError("network= is for the weights of one module; load each with resnets.load, and pass the models")
    require_file(out)
    require_results_folder(mistakes)
    if mistakes is not None:
        require_alone("evaluate with mistakes")
    with joined(device) as world:
        models = load_each(paths, Model, partial(load, network=network, device=world.device))
        splits = _testing(data_for(models, data), split, models)
        if mistakes is not None:
            require_images(splits.test)
        members = [
            prepare(model, splits, precision=precision, protocol=protocol, scales=scales, flips=flips, decode=decode)
            for model in models
        ]
        found, scored = _evaluate(members, splits, batch_size, workers, world, keep=mistakes is not None)
        if mistakes is not None and scored is not None:
            answers = Mistakes(scored.labels.numpy(), scored.probabilities.numpy())
            mistakes_page.write(Path(mistakes), found, members[0], answers, split)
        if out is not None and world.first:
            base.write(Path(out), found.with_changes(confusion=UNSET))  # of a thousand classes it is megabytes
        return found


def _testing(splits: DataSplits, split: str, models: Sequence[Model]) -> DataSplits:
    """Return the data with the images of a split to test on, under a name that says which unless it is `test`.

    Of the data that the models were trained on, training and validation images are those of their runs.

    Raises: UsageError, if there is no such split, or the runs held out different images.
    """
    if split == "test":
        return splits
    chosen: Split
    digest = None if splits.digest is None else f"{splits.digest}:{split}"
    if split == "all" and splits.test_is_drawn:
        assert isinstance(splits.train, ImageFiles) and isinstance(splits.test, ImageFiles)
        chosen = splits.train.together_with(splits.test)
    else:
        divided = divided_as_trained(models, splits)
        chosen = divided.of(split, ["all"] if splits.test_is_drawn else [])
        if divided is not splits and digest is not None:
            digest = f"{digest}:{chosen.digest()}"
    name = f"{splits.name} ({split})"
    return dataclasses.replace(splits, name=name, test=chosen, digest=digest, published=False, test_is_drawn=False)


def _evaluate(
    members: Sequence[PreparedMember], splits: DataSplits, batch_size: int, workers: int, world: World, *, keep: bool
) -> tuple[Evaluation, Scored | None]:
    """Return the evaluation, and the probabilities of all classes for each image where they are known or kept."""
    if any(member.model.device.type == "cpu" for member in members):
        keep_freed_memory()
    first, classes = members[0], len(splits.classes)
    agreement = scored = None
    if len(members) == 1 and first.is_plain and not keep:
        together, agreement = tested_alone(first, classes, batch_size, workers, world.share)
        agreement = world.broadcast_object(lambda: agreement)  # on images of the first process's share
        alone = [together]
    else:
        passes = (member.score(batch_size, workers, world.share) for member in members)
        samples = len(first.splits.test.take(world.share))
        together, alone, scored = ensemble(passes, samples, classes)
    for counts in {id(counts): counts for counts in (together, *alone)}.values():
        counts.summed(world)
    name = first.name if len(members) == 1 else f"ensemble of {len(members)}"
    evaluation = Evaluation(
        **_tested(together, name, splits.classes).fields(),
        data=splits.name,
        digest=splits.digest,
        protocol=first.label,
        flips=first.how.flips,
        scales=first.how.scales,
        precision=first.precision,
        confusion=tuple(map(tuple, together.confusion.tolist())),
        members=tuple(
            Member(
                **_tested(counts, member.name, splits.classes).fields(),
                weights=str(member.model.path),
                sha256=sha256_of(member.model.path) if member.model.path.is_file() else None,
                scales=member.how.scales,
                digest=member.splits.digest,
                result=_result_of_run(member.model),
            )
            for member, counts in zip(members, alone, strict=True)
        ),
        agreement=agreement,
        provenance=provenance(first.model.device, world.size),
    )
    return evaluation, scored


def _result_of_run(model: Model) -> ClassifierResult | None:
    """Return the result of the run that a model is of; None where it is another project's, or that is unreadable."""
    with suppress(RunError):
        shipped = name_of(model.path)
        if shipped is not None:
            return shipped_result(shipped)
        return result_next_to(model.path, ClassifierResult, spec_of(model.network))
    return None


# ---------------------------------------------------------------- the record


def _tested(counts: Counts, network: str, classes: tuple[str, ...]) -> Tested:
    if not math.isfinite(counts.loss):
        raise DataError(f"{network} gives numbers that are not finite for some images: its errors would mean nothing")
    return Tested(
        network=network,
        samples=counts.samples,
        top1_wrong=counts.top1_wrong,
        top1_error=counts.top1_error,
        top1_interval=wilson(counts.top1_error, counts.samples),
        top5_wrong=counts.top5_wrong,
        top5_error=counts.top5_error,
        top5_interval=wilson(counts.top5_error, counts.samples),
        loss=counts.loss,
        class_errors=dict(zip(classes, counts.class_errors, strict=True)),
    )
