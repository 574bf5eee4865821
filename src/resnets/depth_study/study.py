"""`study`: the paper's depth study on any data. How deep is worth it, and do shortcuts help?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resnets import durations
from resnets.data.load import Data
from resnets.depth_study import messages, page, recommend
from resnets.depth_study.candidates import KINDS
from resnets.depth_study.open_study import FILE, OpenStudy, open_study
from resnets.errors import TrainingError, UsageError, nearest, public
from resnets.planning.together import groups, leaves_room, require_together
from resnets.records import base as records
from resnets.records.counts import wilson
from resnets.records.studies import (
    PlannedNetwork,
    Recommendation,
    StudyPlan,
    StudyRow,
    last_images,
)
from resnets.report.depth import findings_of_rows
from resnets.report.single_page import PageText
from resnets.report.wording import Grid
from resnets.runtime.device import choose_device
from resnets.runtime.turns import Session
from resnets.specs import Recipe
from resnets.training.config import resolve
from resnets.training.observers import Observer
from resnets.training.together import Process, train_together
from resnets.training.train import TrainResult, session


@dataclass(frozen=True, kw_only=True)
class Study:
    """The result of a study. `failed` has the errors of networks that failed, `done_before` those trained before.

    `training_images` is the number that `train` trains on by default; those of the study are in its plan.
    `degradation` is the effect of depth on training errors; the recommendation is by validation error alone.
    """

    plan: StudyPlan
    rows: tuple[StudyRow, ...]
    failed: dict[str, str]
    done_before: tuple[str, ...]
    recommendation: Recommendation
    degradation: tuple[str, ...]
    test: str  # a sentence: the recommended network's error on the test images
    training_images: int
    file: Path
    plot: Path
    page: Path

    @property
    def table(self) -> Grid:
        """The errors, the size, the time and the memory of each network."""
        return messages.table(self.rows)


@public
def study(
    data: Data,
    *,
    depths: Iterable[int] | None = None,
    kinds: Iterable[str] = KINDS,
    networks: Iterable[str] | None = None,
    budget: str | float | None = None,
    recipe: str | Recipe | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    together: int | None = None,
    workers: int = 2,
    observe: Callable[[str], Observer] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Study:
    """Train plain and residual networks of several depths on the same data within a time budget, and compare them.

    Every network gets the same number of iterations, as many as fit in the budget by a quick measurement. They are
    compared on images held out of the training images; the test images have no part in the choice.

    Args:
        data: a source (`cifar10`, `folder:PATH` ...) or splits, as in `train`.
        depths: by default 20, 56 and 110; for images of 64 pixels and more 18, 34 and 50, if the budget allows.
        kinds: `plain`, `residual` or both.
        networks: names of networks, instead of depths and kinds.
        budget: a duration (`90s`, `30m`, `2h`) or seconds; None is two minutes for `digits`, else half an hour.
        recipe: a name or a recipe, scaled to the iterations; None is the one for the data.
        seed: of the held-out images, initialisation and data order.
        out: study folder; None is studies/DATA.
        resume: continue the study in the folder, by its plan.
        device, precision: as in `train`.
        together: networks for small images that are trained at once, as in `reproduce`.
        workers: data-loading processes.
        observe: makes an observer for the network of a name.
        notify: is called with sentences about the progress.

    Raises: UsageError, also if the budget is too small; DataError; RunError, if `out` holds another study;
        Interrupted after a signal.
    Paper: Figures 1 and 6, section 4.2, on any data.
    """
    require_together(together)
    opened = open_study(
        data,
        depths=depths,
        kinds=kinds,
        networks=networks,
        budget=budget,
        recipe=recipe,
        seed=seed,
        out=out,
        resume=resume,
        device=device,
        precision=precision,
        workers=workers,
        notify=notify,
    )
    names = [planned.network for planned in opened.record.plan.networks]
    return conclude(train_networks(opened, names, observe=observe, notify=notify, together=together))


# ---------------------------------------------------------------- the runs


def train_networks(
    opened: OpenStudy,
    networks: Sequence[str],
    *,
    observe: Callable[[str], Observer] | None = None,
    notify: Callable[[str], None] | None = None,
    together: int | None = None,
) -> OpenStudy:
    """Train networks of the plan, and return the study with their rows.

    Raises: UsageError, if the plan has no such network; TrainingError, if none can be trained; Interrupted after a
        signal.
    """
    record, splits, config, folder = opened.record, opened.splits, opened.config, opened.folder
    chosen = {planned.network: planned for planned in record.plan.networks if planned.network in networks}
    for name in networks:
        if name not in chosen:
            known = [planned.network for planned in record.plan.networks]
            raise UsageError(f"the study in {folder} has no network {name!r}{nearest(name, known)}")
    rows, failed, done_before = [], dict(record.plan.left_out), []
    target = choose_device(config.device)
    of_plan = dataclasses.replace(config, iterations=record.plan.iterations, split=record.plan.split)

    def memory(planned: PlannedNetwork) -> int | None:
        return planned.memory if leaves_room(planned.network, splits) else None

    def run(planned: PlannedNetwork, process: Process) -> Session[TrainResult]:
        name, watching = planned.network, [observe(planned.network)] if observe else []
        training = resolve(name, splits, of_plan)
        return (yield from session(training, opened.folder_of(name), process, resume=True, observers=watching))

    for group in groups(list(chosen.values()), memory, [target], together):
        runs = [partial(run, planned) for planned in group]
        results = train_together(runs, target, [planned.depth for planned in group])
        for planned, result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                failed[planned.network] = str(result)
                if notify is not None:
                    notify(f"{planned.network} failed: {result}")
                continue
            if result.already_finished:
                done_before.append(planned.network)
            rows.append(_row(result, planned, record.plan))
    if not rows:
        raise TrainingError(f"{folder}: no network could be trained; see its runs/ and try another --recipe")
    record = record.with_changes(rows=tuple(rows), failed=failed)
    return dataclasses.replace(opened, record=record, done_before=tuple(done_before))


def _row(result: TrainResult, planned: PlannedNetwork, plan: StudyPlan) -> StudyRow:
    assert result.validation_error is not None
    curve = tuple((point.iteration, point.training_error, point.validation_error or 0.0) for point in result.curve)
    return StudyRow(
        network=result.network,
        depth=planned.depth,
        residual=planned.residual,
        training_error=result.training_error,
        training_images=last_images((point[0] for point in curve), plan.batch_size),
        validation_error=result.validation_error,
        validation_images=plan.validation_images,
        interval=wilson(result.validation_error, plan.validation_images),
        test_error=result.test_error,
        seconds=result.seconds,
        parameters=planned.parameters,
        macs=planned.macs,
        memory=planned.memory,
        curve=curve,
    )


# ---------------------------------------------------------------- the result


def conclude(opened: OpenStudy, failed: Mapping[str, str] | None = None) -> Study:
    """Compare what was trained, and write study.json, study.png and study.html; `failed` are more networks, and why."""
    folder, record = opened.folder, opened.record.with_changes(failed={**opened.record.failed, **(failed or {})})
    plan, rows = record.plan, record.rows
    found = recommend.recommend(
        rows,
        majority_class_error=plan.majority_class_error,
        first_drop=plan.first_drop,
        longer=durations.at_least(4 * plan.budget),
    )
    missing = (f"{name} is not among them: {reason}." for name, reason in record.failed.items())
    found = found.with_changes(cautions=(*missing, *found.cautions))
    degradation = findings_of_rows(rows, tests=False)
    tested = messages.tested(rows, found, plan)
    files = page.write(
        rows,
        PageText(
            title=f"How deep is worth it on {plan.data}?",
            headline=found.headline,
            sentences=(*found.reasons, *tested, *degradation),
            cautions=found.cautions,
            note=messages.note(plan, record.provenance[-1]),
        ),
        messages.table(rows),
        folder,
        name="study",
        curve_on="validation",
        intervals={row.network: row.interval for row in rows},
    )
    records.write(folder / FILE, record.with_changes(recommendation=found, degradation=degradation))
    return Study(
        plan=plan,
        rows=rows,
        failed=record.failed,
        done_before=opened.done_before,
        recommendation=found,
        degradation=degradation,
        test=" ".join(tested),
        training_images=len(opened.splits.divided("all", plan.seed).train),
        file=folder / FILE,
        plot=files.plot,
        page=files.page,
    )
