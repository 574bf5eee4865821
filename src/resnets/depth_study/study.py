"""`study`: the paper's depth study on any data. How deep is worth it, and do shortcuts help?"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnets import durations
from resnets.data.load import Data, load_data
from resnets.data.splits import DataSplits
from resnets.depth_study import messages, page, recommend
from resnets.depth_study.budget import Planner
from resnets.depth_study.candidates import KINDS, candidates, options_for
from resnets.depth_study.page import Table
from resnets.errors import RunError, TrainingError, UsageError, public
from resnets.networks import registry
from resnets.planning.together import groups, leaves_room, require_together
from resnets.records import base as records
from resnets.records.counts import wilson
from resnets.records.runs import Provenance
from resnets.records.studies import (
    PlannedNetwork,
    Recommendation,
    StudyPlan,
    StudyRecord,
    StudyRequest,
    StudyRow,
    last_images,
)
from resnets.report.depth import findings_of_rows
from resnets.report.single_page import PageText
from resnets.runtime.device import choose_device
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.runtime.turns import Session
from resnets.specs import Recipe
from resnets.training.config import TrainingConfig, resolve
from resnets.training.observers import Observer
from resnets.training.recipes import FINETUNE, find_recipe
from resnets.training.together import Process, train_together
from resnets.training.train import TrainResult, session

FILE = "study.json"
BUDGETS = {"digits": 120.0}  # seconds, where no budget is given
BUDGET = 1800.0  # of other data


@dataclass(frozen=True, kw_only=True)
class Study:
    """The result of a study. `failed` has the errors of networks that failed, `done_before` those trained before.

    `degradation` is the effect of depth on training errors; the recommendation is by validation error alone.
    """

    plan: StudyPlan
    rows: tuple[StudyRow, ...]
    failed: dict[str, str]
    done_before: tuple[str, ...]
    recommendation: Recommendation
    degradation: tuple[str, ...]
    test: str  # a sentence: the recommended network's error on the test images
    file: Path
    plot: Path
    page: Path

    @property
    def table(self) -> Table:
        """The titles of the columns, and the cells of each row."""
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
    require_alone("study")
    require_together(together)
    began = time.perf_counter()
    notify = notify or (lambda _: None)
    base = _base(recipe)
    config = TrainingConfig(recipe=recipe, seed=seed, device=device, precision=precision, workers=workers)
    default = BUDGETS.get(data, BUDGET) if isinstance(data, str) else BUDGET
    limit = default if budget is None else durations.parse(budget)
    loaded = load_data(data)
    request, choices = _request(loaded, depths, kinds, networks, limit, base, config)
    folder = Path(out or Path("studies") / loaded.name)
    record, splits = _open(folder, request, loaded, choices, Planner(began, limit, config), notify, resume=resume)
    messages.notify_plan(record.plan, notify)
    record, done_before = _train(record, splits, config, folder, observe, notify, together)
    return _conclude(record, folder, done_before)


def _base(recipe: str | Recipe | None) -> Recipe | None:
    base = find_recipe(recipe) if isinstance(recipe, str) else recipe
    if base is not None and base.name == FINETUNE.name:
        raise UsageError("recipe 'finetune' starts from trained weights; a study trains networks from scratch")
    return base


def _request(
    loaded: DataSplits,
    depths: Iterable[int] | None,
    kinds: Iterable[str],
    networks: Iterable[str] | None,
    budget: float,
    recipe: Recipe | None,
    config: TrainingConfig,
) -> tuple[StudyRequest, tuple[tuple[str, ...], ...]]:
    """Return what is requested, and the networks for it, as `candidates`. Raises: UsageError."""
    depths = None if depths is None else tuple(sorted(set(depths)))
    kinds = tuple(kinds)
    networks = None if networks is None else tuple(networks)
    choices = candidates(loaded, depths, kinds, recipe, networks)
    request = StudyRequest(
        data=loaded.digest or loaded.name,
        depths=depths,
        kinds=tuple(kind for kind in KINDS if kind in kinds),
        networks=networks,
        budget=budget,
        recipe=recipe,
        seed=config.seed,
        precision=config.precision,
    )
    return request, choices


# ---------------------------------------------------------------- the study's folder


def _open(
    folder: Path,
    request: StudyRequest,
    loaded: DataSplits,
    choices: Sequence[tuple[str, ...]],
    planner: Planner,
    notify: Callable[[str], None],
    *,
    resume: bool,
) -> tuple[StudyRecord, DataSplits]:
    """Return the record of the study that the folder holds, or of a new one, and its images.

    Raises: RunError, if it holds another study, or this one and it is not to be resumed; UsageError, as `Planner`.
    """
    record = records.read(folder / FILE, StudyRecord)
    if record is None:
        plan, splits = planner.plan(loaded, choices, notify)
        record = StudyRecord(request=request, plan=plan, provenance=(_provenance(planner),))
        records.write(folder / FILE, record)
        return record, splits
    if different := record.request.differences(request):
        was = ", ".join(f"{name} {_shown(old)}" for name, (old, _) in different.items())
        raise RunError(f"{folder} holds a study with another {' and '.join(different)} ({was}); name another --out")
    if not resume:
        raise RunError(f"{folder} holds this study already: add --resume, or name another folder with --out")
    if (now := _provenance(planner)) != record.provenance[-1]:
        record = record.with_changes(provenance=(*record.provenance, now))
    notify(f"Continuing the study in {folder}/ by its plan")
    return record, load_data(loaded, registry.decoded_side(record.plan.networks[0].network))


def _provenance(planner: Planner) -> Provenance:
    return provenance(choose_device(planner.config.device))


def _shown(value: object) -> str:
    if value is None:
        return "by default"
    text = value.name if isinstance(value, Recipe) else str(value)
    return text if len(text) <= 20 else f"{text[:16]}..."


# ---------------------------------------------------------------- the runs


def _train(
    record: StudyRecord,
    splits: DataSplits,
    config: TrainingConfig,
    folder: Path,
    observe: Callable[[str], Observer] | None,
    notify: Callable[[str], None],
    together: int | None,
) -> tuple[StudyRecord, tuple[str, ...]]:
    """Train the networks of the plan, and return the record with their rows, and those that were trained before.

    Raises: TrainingError, if no network can be trained.
    """
    rows, failed, done_before = [], dict(record.plan.left_out), []
    target = choose_device(config.device)
    of_plan = dataclasses.replace(
        config, iterations=record.plan.iterations, split=record.plan.split, network_options=options_for(splits)
    )

    def memory(planned: PlannedNetwork) -> int | None:
        return planned.memory if leaves_room(planned.network, splits) else None

    def start(planned: PlannedNetwork) -> Callable[[Process], Session[TrainResult]]:
        def make(process: Process) -> Session[TrainResult]:
            name, watching = planned.network, [observe(planned.network)] if observe else []
            training = resolve(name, splits, of_plan)
            return (yield from session(training, folder / "runs" / name, process, resume=True, observers=watching))

        return make

    for group in groups(record.plan.networks, memory, [target], together):
        results = train_together([start(planned) for planned in group], target, [planned.depth for planned in group])
        for planned, result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                failed[planned.network] = str(result)
                notify(f"{planned.network} failed: {result}")
                continue
            if result.already_finished:
                done_before.append(planned.network)
            rows.append(_row(result, planned, record.plan))
    if not rows:
        raise TrainingError(f"{folder}: no network could be trained; see its runs/ and try another --recipe")
    return record.with_changes(rows=tuple(rows), failed=failed), tuple(done_before)


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


def _conclude(record: StudyRecord, folder: Path, done_before: tuple[str, ...]) -> Study:
    """Compare what was trained, and write study.json, study.png and study.html."""
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
    plot, html = page.write(
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
        done_before=done_before,
        recommendation=found,
        degradation=degradation,
        test=" ".join(tested),
        file=folder / FILE,
        plot=plot,
        page=html,
    )
