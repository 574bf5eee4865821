"""A study in its folder: what is requested, its plan, and its images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnets import durations
from resnets.data.folder import require_outside
from resnets.data.load import Data, load_data
from resnets.data.splits import DataSplits
from resnets.depth_study import messages
from resnets.depth_study.budget import Planner
from resnets.depth_study.candidates import KINDS, candidates
from resnets.errors import ANOTHER_FOLDER, RunError, UsageError
from resnets.files import require_folder
from resnets.networks import registry
from resnets.records import base as records
from resnets.records.runs import Provenance
from resnets.records.studies import StudyRecord, StudyRequest
from resnets.runtime.device import choose_device
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.specs import Recipe
from resnets.training.config import TrainingConfig
from resnets.training.recipes import FINETUNE, RECIPES

FILE = "study.json"
BUDGETS = {"digits": 120.0}  # seconds, where no budget is given
BUDGET = 1800.0  # of other data


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenStudy:
    """A study in its folder, with its plan, the rows of the networks that are trained, and its images.

    `done_before` are those that were trained before.
    """

    folder: Path
    record: StudyRecord
    splits: DataSplits
    config: TrainingConfig
    done_before: tuple[str, ...] = ()

    def folder_of(self, network: str) -> Path:
        """Return the folder of a network's run."""
        return self.folder / "runs" / network


def open_study(
    data: Data,
    *,
    depths: Iterable[int] | None,
    kinds: Iterable[str],
    networks: Iterable[str] | None,
    budget: str | float | None,
    recipe: str | Recipe | None,
    seed: int,
    out: str | Path | None,
    resume: bool,
    device: str,
    precision: str,
    workers: int,
    notify: Callable[[str], None] | None = None,
) -> OpenStudy:
    """Plan a study, or read the plan of the one that the folder holds. Arguments and errors are those of `study`."""
    require_alone("study")
    start = time.perf_counter()
    notify = notify or (lambda _: None)
    require_folder(out)
    base = _base(recipe)
    config = TrainingConfig(recipe=recipe, seed=seed, device=device, precision=precision, workers=workers)
    default = BUDGETS.get(data, BUDGET) if isinstance(data, str) else BUDGET
    limit = default if budget is None else durations.parse(budget)
    loaded = load_data(data)
    folder = Path(out or Path("studies") / loaded.name)
    require_outside(folder, data)
    request, choices = _request(loaded, depths, kinds, networks, limit, base, config)
    record, splits = _open(folder, request, loaded, choices, Planner(start, limit, config), notify, resume=resume)
    messages.notify_plan(record.plan, notify)
    return OpenStudy(folder=folder, record=record, splits=splits, config=config)


def _base(recipe: str | Recipe | None) -> Recipe | None:
    base = RECIPES.find(recipe) if isinstance(recipe, str) else recipe
    if base is not None and (base.name == FINETUNE.name or base.distillation is not None):
        how = "starts from trained weights" if base.distillation is None else "learns from a trained network"
        raise UsageError(f"recipe {base.name!r} {how}; a study trains networks from scratch")
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
        raise RunError(f"{folder} holds a study with another {' and '.join(different)} ({was}); {ANOTHER_FOLDER}")
    if not resume:
        raise RunError(f"{folder} holds this study already: add --resume, or {ANOTHER_FOLDER}")
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
