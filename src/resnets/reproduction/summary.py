"""The lines that the command prints: of a plan, and of its results compared with the paper's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from resnets.durations import in_words
from resnets.quantities import megabytes, plural
from resnets.report.compare_figures import ComparedCurve, ComparedFigure
from resnets.report.compare_tables import ComparedRow, ComparedTable
from resnets.report.verdict import Status
from resnets.report.view import compared_line, shown
from resnets.report.wording import NOTHING, published
from resnets.reproduction.planned_run import PlannedRun
from resnets.reproduction.run_list import ReproductionPlan

PLAN = ("network", "for", "runs", "iterations", "time", "disk")
CURVES = ("", "", "published", "measured", "runs", "status")
_SAID = (Status.NOT_RUN, Status.CITED, Status.REPRODUCED, Status.COUNTED)  # statuses that need no more words here

Line = tuple[str, ...]


# ---------------------------------------------------------------- the plan


def plan_title(plan: ReproductionPlan) -> str:
    """Return what is run, at which scale and on which data."""
    data = dict.fromkeys(run.data.name for run in plan.runs)
    return f"{plan.selection.name}, {plan.scale}, on {' and '.join(data)}"


def plan_lines(plan: ReproductionPlan) -> list[Line]:
    """Return a line for each network, in the order of `PLAN`; its runs are those of all seeds.

    A network that is trained by several recipes has a line for each, which names it.
    """
    groups: dict[object, list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault(run.task.training, []).append(run)
    recipes: dict[str, set[str]] = {}
    for run in plan.runs:
        recipes.setdefault(run.task.name, set()).add(run.task.training.recipe)
    return [_plan_line(runs, several_recipes=len(recipes[runs[0].task.name]) > 1) for runs in groups.values()]


def _plan_line(runs: list[PlannedRun], *, several_recipes: bool) -> Line:
    task, training, todo = runs[0].task, runs[0].task.training, [run for run in runs if run.state != "done"]
    done = len(runs) - len(todo)
    started = "".join(f", one at {run.iteration:,}" for run in todo if run.state == "started")
    count = f"{len(todo)}{f' + {done} done' if done else ''}{started}" if todo else f"{done} done"
    seconds = [run.seconds for run in todo]
    unknown = "seconds" if runs[0].scale == "smoke" else "not measured"
    time = unknown if None in seconds else in_words(sum(one for one in seconds if one is not None))
    name = (
        task.name
        if training.shortcut is None or task.detections or task.localises
        else f"{training.network} ({training.shortcut})"
    )
    return (
        f"{name}, {training.recipe}" if several_recipes else name,
        " ".join(runs[0].task.asked_by),
        count,
        f"{runs[0].recipe.iterations:,}",
        time if todo else NOTHING,
        megabytes(sum(run.disk_bytes for run in todo)) if todo else NOTHING,
    )


def plan_sentences(plan: ReproductionPlan) -> Iterator[str]:
    """Yield what all runs take together, what is not run and why, and what else there is to know."""
    todo, done = len(plan.todo), len(plan.runs) - len(plan.todo)
    if todo:
        time = "some seconds each" if plan.scale == "smoke" else "time not measured"
        rests = ""
        if plan.scale != "smoke" and plan.seconds is not None:
            time = f"about {in_words(plan.seconds)}"
            rests = ", from a second of each network's training, measured here and now"
            if plan.device_kind is not None:
                rests = ", ESTIMATED from its data sheet: none of it is measured, and no reading of photos is in it"
            if plan.unmeasured:
                rests += f", and {plural(plan.unmeasured, 'run')} whose time was not measured"
        at_once = max(map(len, plan.groups))
        devices = ", ".join(plan.devices) if plan.device_kind is None else f"{len(plan.devices)} {plan.device_kind}"
        where = f" on {devices}{f', {at_once} at once' if at_once > 1 else ''}"
        yield (
            f"{plural(todo, 'run')} to do{f', {done} done' if done else ''}: {time}{where}{rests}; "
            f"up to {megabytes(plan.disk_bytes)} in {plan.out}/, with {megabytes(plan.free_bytes)} free"
            + (": NOT ENOUGH" if plan.disk_bytes > plan.free_bytes else "")
        )
    elif done:
        yield f"{'the run is' if done == 1 else f'all {done} runs are'} done; results in {plan.results}/"
    else:
        yield "nothing to train"
    by_reason: dict[str, Counter[str]] = {}
    for one in plan.left_out:
        by_reason.setdefault(one.why, Counter())[one.asked_by] += 1
    for why, counts in by_reason.items():
        where = ", ".join(
            f"{name} ({plural(count, 'curve' if name.startswith('figure') else 'row')})"
            for name, count in counts.items()
        )
        yield f"left out, {why}: {where}"
    yield from plan.notes


# ---------------------------------------------------------------- what came out


def table_lines(table: ComparedTable, *, all_rows: bool = True) -> list[Line]:
    """Return published and measured numbers, in the order of `COMPARED`; counts that agree are left out.

    Without `all_rows` only those that have a number of ours.
    """
    lines = []
    for row in table.rows:
        cells = shown(row)
        if cells:
            lines += [compared_line(row, cell) for cell in cells]
        elif all_rows:
            lines.append(_row_line(row))
    return lines


def _row_line(row: ComparedRow) -> Line:
    """Return the line of a row without a number of ours: its main number, and its status."""
    printed = [cell for cell in row.cells if cell.published is not None]
    compared = [cell for cell in printed if cell.column.name in row.row.compared]
    trained = [cell for cell in compared or printed if not cell.is_exact]
    main = next(iter(trained or compared or printed), None)
    name, number = (main.column.name, main.paper) if main else ("", NOTHING)
    return (row.row.label, name, number, NOTHING, "", "", row.verdict.status.signed)


def figure_lines(figure: ComparedFigure, *, all_curves: bool = True) -> list[Line]:
    """Return where each curve ends, ours and the paper's, in the order of `CURVES`.

    Of layer responses it is their mean over the layers.
    """
    return [
        _curve_line(curve, panel.draws)
        for panel, curves in zip(figure.figure.panels, figure.panels, strict=True)
        for curve in curves
        if (all_curves or curve.runs) and panel.draws != "sorted responses"  # the same numbers in another order
    ]


def _curve_line(curve: ComparedCurve, draws: str) -> Line:
    last = curve.curve.published[-1] if curve.curve.published and draws == "error" else None
    ours = "" if curve.measured is None else f"{curve.measured:.2f}" if draws == "error" else f"{curve.measured:.3g}"
    return (
        curve.curve.label,
        f"{curve.curve.split} error" if draws == "error" else "response",
        published(last) if last else NOTHING,
        (ours + ("" if curve.std is None else f" ± {curve.std:.2f}")) or NOTHING,
        str(len(curve.runs) or ""),
        curve.verdict.status.signed,
    )


def reasons(tables: Iterable[ComparedTable], figures: Iterable[ComparedFigure]) -> list[str]:
    """Return what the statuses rest on, each once: `reduced: digits instead of cifar10; ...`."""
    verdicts = [row.verdict for table in tables for row in table.rows]
    verdicts += [curve.verdict for figure in figures for panel in figure.panels for curve in panel]
    return list(dict.fromkeys(f"{one.status}: {one.why}" for one in verdicts if one.status not in _SAID))
