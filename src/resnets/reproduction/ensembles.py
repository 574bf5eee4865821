"""Ensembles of a reproduction: tested when their members are trained, one of each seed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resnets.files import sha256_of
from resnets.paper.declarations import Row
from resnets.records.base import read_valid, write
from resnets.records.evaluations import Evaluation
from resnets.reproduction.data_resolver import ResolvedData
from resnets.reproduction.planned_run import PlannedRun
from resnets.reproduction.run import evaluate_by
from resnets.reproduction.run_list import ReproductionPlan
from resnets.training.run_folder import RunFolder


def evaluate_ensembles(plan: ReproductionPlan, *, workers: int) -> None:
    """Test the ensembles of a plan whose members are all trained, and write a result file for each.

    One that its file has of the same weights is not tested again.

    Raises: as `evaluate`.
    """
    for table in plan.selection.tables:
        for row in (row for row in table.rows if row.members):
            for seed in {run.seed for run in plan.runs}:
                members = _members(plan, row, seed)
                if members:
                    _evaluate(table.name, row, members, device=plan.devices[0], workers=workers)


def _members(plan: ReproductionPlan, row: Row, seed: int) -> list[PlannedRun]:
    """Return the runs of a row's members in their order; [] where one is missing."""
    runs = {run.task.training: run for run in plan.runs if run.seed == seed}
    found = [runs[training] for training in row.trainings if training in runs]
    trained = all((run.folder / "result.json").is_file() for run in found)
    return found if trained and len(found) == len(row.members) else []


def _evaluate(table: str, row: Row, members: Sequence[PlannedRun], *, device: str, workers: int) -> None:
    first = members[0]
    data = first.data
    assert isinstance(data, ResolvedData) and row.protocol is not None
    parts = (table, row.slug, data.splits.name, first.scale, f"seed{first.seed}")
    file = first.file.with_name("-".join(re.sub(r"[^a-z0-9]+", "_", part.lower()) for part in parts) + ".json")
    weights = [RunFolder(run.folder).weights for run in members]
    earlier = read_valid(file, Evaluation)
    if earlier is not None and [one.sha256 for one in earlier.members] == [sha256_of(path) for path in weights]:
        return
    found = evaluate_by(row.protocol, [run.folder for run in members], data.splits, device=device, workers=workers)
    write(file, found)
