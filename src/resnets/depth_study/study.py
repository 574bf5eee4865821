"""`study`: the paper's question asked of one's own data. How deep is worth it, and do shortcuts help?"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from resnets import durations
from resnets.data.load import Data, load_data
from resnets.data.splits import DataSplits
from resnets.depth_study import messages, page, recommend
from resnets.depth_study.budget import PlannedNetwork, Planner, StudyPlan
from resnets.depth_study.candidates import KINDS, candidates, options_for
from resnets.depth_study.page import PageText, Table
from resnets.depth_study.recommend import Recommendation
from resnets.errors import RunError, TrainingError, UsageError, public
from resnets.files import write_json
from resnets.networks import registry
from resnets.records.base import as_json
from resnets.records.studies import StudyRow, last_images
from resnets.report.depth import findings_of_rows
from resnets.runtime.device import choose_device
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.specs import Recipe
from resnets.training.config import RunSettings
from resnets.training.observers import Observer
from resnets.training.recipes import FINETUNE, find_recipe
from resnets.training.train import TRAINING_FAILURES, TrainResult, train

BUDGETS = {"digits": 120.0}  # seconds, where no budget is given
BUDGET = 1800.0  # of other data


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study found. `failed` says of networks that could not be trained why, `done_before` of which was known.

    `degradation` is what depth did to training errors; the recommendation is by validation error alone.
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
    workers: int = 2,
    observe: Callable[[str], Observer] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Study:
    """Train plain and residual networks of several depths on the same data within a budget of time, and compare them.

    Every network gets the same number of iterations, as many as fit in the budget by a quick measurement, so that
    none has an advantage. They are compared on images that are held out of the training images; the test images have
    no part in the choice. `data` is as in `train`. `depths` are by default 20, 56 and 110, and for photos of 64 pixels
    and more 18, 34 and 50, where the budget is long enough; `networks` names the networks instead. `budget` is a length
    of time (`90s`, `30m`, `2h`) or seconds; None is two minutes for `digits`, else half an hour. `recipe` is scaled to
    the iterations. With `resume` a study found in `out` (None: studies/DATA) goes on by the plan that it was begun
    with. `observe` makes an observer for the network of a name, and `tell` is given sentences on what is done.

    Raises: UsageError, also where the budget is too small; DataError; RunError, if `out` holds another study;
        Interrupted after a signal.
    Paper: Figures 1 and 6, section 4.2, on any data.
    """
    require_alone("study")
    began = time.perf_counter()
    tell = tell or (lambda _: None)
    RunSettings(seed=seed, workers=workers)  # an impossible one is refused before data is read
    base = find_recipe(recipe) if isinstance(recipe, str) else recipe
    if base is not None and base.name == FINETUNE.name:
        raise UsageError("recipe 'finetune' begins with trained weights; a study trains networks from random ones")
    named = None if depths is None else tuple(depths)
    kinds = tuple(kinds)
    networks = None if networks is None else tuple(networks)
    seconds = None if budget is None else durations.parse(budget)
    loaded = load_data(data)
    seconds = seconds or (BUDGETS.get(data, BUDGET) if isinstance(data, str) else BUDGET)
    choices = candidates(loaded, named, kinds, base, networks)
    folder = Path(out or Path("studies") / loaded.name)
    asked = {
        "data": loaded.digest or loaded.name,
        "depths": None if named is None else sorted(set(named)),
        "kinds": [kind for kind in KINDS if kind in kinds],
        "networks": networks and list(networks),
        "budget": seconds,
        "recipe": None if base is None else as_json(base),
        "seed": seed,
        "precision": precision,
    }
    file = folder / "study.json"
    if (old := _read(file)) is not None:
        plan, splits = _continue(file, old, asked, loaded, resume=resume)
        provenances = [*old["provenance"]]
        if (now := as_json(provenance(choose_device(device)))) != provenances[-1]:
            provenances.append(now)
        tell(f"Continuing the study in {folder}/ by its plan")
    else:
        planner = Planner(
            began=began,
            budget=seconds,
            recipe=base,
            seed=seed,
            device=device,
            precision=precision,
            workers=workers,
        )
        plan, splits = planner.plan(loaded, choices, tell)
        provenances = [as_json(provenance(choose_device(device)))]
        write_json(
            file, {"kind": "study", "asked": asked, "plan": msgspec.to_builtins(plan), "provenance": provenances}
        )
    messages.tell_plan(plan, tell)
    rows, failed, done_before = [], {}, []
    for network in plan.networks:
        try:
            result = train(
                network.network,
                splits,
                recipe=base,
                iterations=plan.iterations,
                seed=seed,
                split=plan.split,
                out=folder / "runs" / network.network,
                resume=True,
                device=device,
                precision=precision,
                workers=workers,
                observers=[observe(network.network)] if observe else [],
                **options_for(splits),
            )
        except TRAINING_FAILURES as error:
            failed[network.network] = str(error)
            tell(f"{network.network} cannot be trained so: {error}")
            continue
        if result.already_finished:
            done_before.append(network.network)
        rows.append(_row(result, network, plan))
    if not rows:
        raise TrainingError(f"{folder}: no network could be trained; see its runs/ and try another --recipe")
    return _conclude(
        folder,
        plan,
        rows,
        failed,
        tuple(done_before),
        {"asked": asked, "provenance": provenances},
    )


def _conclude(
    folder: Path,
    plan: StudyPlan,
    rows: Sequence[StudyRow],
    failed: dict[str, str],
    done_before: tuple[str, ...],
    record: dict[str, Any],
) -> Study:
    """Compare what was trained, and write study.json, study.png and study.html."""
    found = recommend.recommend(
        rows,
        majority_class_error=plan.majority_class_error,
        first_drop=plan.first_drop,
        longer=durations.at_least(4 * plan.budget),
    )
    found = dataclasses.replace(
        found, cautions=(*(f"{name} is not among them: {reason}." for name, reason in failed.items()), *found.cautions)
    )
    sentences = findings_of_rows(rows, tests=False)
    tested = messages.tested(rows, found, plan)
    plot, html = page.write(
        rows,
        PageText(
            title=f"How deep is worth it on {plan.data}?",
            headline=found.headline,
            sentences=(*found.reasons, *tested, *sentences),
            cautions=found.cautions,
            note=messages.note(plan, record["provenance"][-1]),
        ),
        messages.table(rows),
        folder,
        name="study",
        curve_on="validation",
        intervals={row.network: row.interval for row in rows},
    )
    file = folder / "study.json"
    networks = [msgspec.to_builtins(row) | {"interval": row.interval, "run": f"runs/{row.network}"} for row in rows]
    content = {
        "kind": "study",
        "asked": record["asked"],
        "plan": msgspec.to_builtins(plan),
        "networks": networks,
        "failed": failed,
        "recommendation": msgspec.to_builtins(found),
        "degradation": sentences,
        "provenance": record["provenance"],
    }
    write_json(file, content)
    return Study(
        plan=plan,
        rows=tuple(rows),
        failed=failed,
        done_before=done_before,
        recommendation=found,
        degradation=sentences,
        test=" ".join(tested),
        file=file,
        plot=plot,
        page=html,
    )


def _row(result: TrainResult, planned: PlannedNetwork, plan: StudyPlan) -> StudyRow:
    assert result.validation_error is not None
    curve = tuple((point.iteration, point.training_error, point.validation_error or 0.0) for point in result.curve)
    return StudyRow(
        network=result.network,
        depth=planned.depth,
        residual=planned.residual,
        training_error=result.training_error,
        training_images=last_images(curve, plan.batch_size),
        validation_error=result.validation_error,
        validation_images=plan.validation_images,
        test_error=result.test_error,
        seconds=result.seconds,
        parameters=planned.parameters,
        macs=planned.macs,
        memory=planned.memory,
        curve=curve,
    )


# ---------------------------------------------------------------- the study's folder


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: cannot be read ({error})") from None
    if not (isinstance(content, dict) and {"asked", "plan", "provenance"} <= content.keys()):
        raise RunError(f"{file}: not the file of a study; name another folder with --out")
    return content


def _continue(
    file: Path, old: dict[str, Any], asked: dict[str, Any], loaded: DataSplits, *, resume: bool
) -> tuple[StudyPlan, DataSplits]:
    """Return the plan of the study that is here, and its images."""
    different = [key for key in asked if asked[key] != old["asked"].get(key)]
    if different:
        was = ", ".join(f"{key} {_shown(old['asked'].get(key))}" for key in different)
        raise RunError(
            f"{file.parent} holds a study with another {' and '.join(different)} ({was}); name another --out"
        )
    if not resume:
        raise RunError(f"{file.parent} holds this study already: add --resume, or name another folder with --out")
    try:
        plan = StudyPlan.from_dict(old["plan"])
    except (KeyError, TypeError):
        raise RunError(f"{file} was written by another version; name another folder with --out") from None
    return plan, load_data(loaded, registry.decoded_side(plan.networks[0].network))


def _shown(value: Any) -> str:
    text = value["name"] if isinstance(value, dict) else "by default" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:16]}..."
