"""`resnets study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Option

from resnets.cli import jobs, options
from resnets.cli.output import note
from resnets.errors import TrainingError, printable
from resnets.training.recipes import RECIPES

if TYPE_CHECKING:
    from resnets.depth_study.open_study import OpenStudy
    from resnets.depth_study.study import Study
    from resnets.runtime.cluster import Cluster


def study(
    context: jobs.Context,
    data: options.Data,
    budget: Annotated[str | None, Option(help="Total time: 90s, 30m, 2h.", show_default="30m, for digits 2m")] = None,
    depths: Annotated[
        str | None,
        Option(
            help="Comma-separated depths, such as 20,32,44.",
            show_default="20,56,110; for large images 18,34,50 if the budget allows",
        ),
    ] = None,
    networks: Annotated[
        str | None, Option(help="Comma-separated networks instead, such as resnet20,mine.", show_default=False)
    ] = None,
    kinds: Annotated[str, Option(help="plain, residual or both, comma-separated.")] = "plain,residual",
    recipe: Annotated[
        str | None, Option(help=RECIPES.help(without="finetune"), show_default="the one for the data")
    ] = None,
    seed: Annotated[int, Option(help="Random seed for the held-out images, initialisation and data order.")] = 0,
    out: Annotated[Path | None, Option("--out", "-o", help="Study folder.", show_default="studies/DATA")] = None,
    resume: Annotated[bool, Option("--resume", help="Continue the study in the folder, by its plan.")] = False,
    device: options.Device = "auto",
    precision: options.TrainingPrecision = "auto",
    together: options.Together = None,
    workers: options.Workers = 2,
    run: Annotated[
        list[str] | None,
        Option(help="Train only this network of the plan, and compare nothing, as jobs do.", show_default=False),
    ] = None,
    cluster: jobs.ClusterName = None,
    partition: jobs.Partition = None,
    at_once: jobs.AtOnce = None,
    job_time: jobs.JobTime = None,
) -> None:
    """Find on your data how deep a network should be, and whether shortcuts help: the paper's question.

    Trains plain and residual networks of several depths for the same number of iterations, as many as fit in the
    budget, compares them on held-out training images, and recommends one, with reasons.
    With --cluster each network is a job; the plan is measured here; the same command shows the jobs, and at the end
    the result.
    """
    from rich.console import Console

    from resnets.cli.display import ShortDisplay
    from resnets.cli.lists import names, numbers
    from resnets.cli.output import resumable
    from resnets.depth_study import open_study as opening
    from resnets.depth_study import study as studying

    where = jobs.read_cluster(cluster, partition, at_once, job_time, workers=workers)
    console = Console(highlight=False, soft_wrap=True)
    settings: dict[str, Any] = {
        "depths": numbers(depths, "numbers of layers", "20,56,110"),
        "kinds": names(kinds) or (),
        "networks": names(networks),
        "budget": budget,
        "recipe": recipe,
        "seed": seed,
        "out": out,
        "resume": resume or where is not None,
        "device": device,
        "precision": precision,
        "workers": workers,
        "notify": print,
    }
    chosen = f"--data {data}{f' --recipe {recipe}' if recipe else ''}"
    shown: dict[str, Any] = {"observe": lambda name: ShortDisplay(name, console), "together": together}
    if where is not None:
        _show_jobs(context, opening.open_study(data, **settings), where, chosen, resume=resume)
        return
    with resumable():
        if run:
            opened = studying.train_networks(opening.open_study(data, **settings), run, **shown)
            if failed := [f"{name}: {why}" for name, why in opened.record.failed.items() if name in run]:
                raise TrainingError("; ".join(failed))
            return
        found = studying.study(data, **settings, **shown)
    _show(found, chosen)


def _show_jobs(context: Context, opened: OpenStudy, cluster: Cluster, chosen: str, *, resume: bool) -> None:
    """Train the networks of a study by jobs, and show them, and once all have ended the result."""
    from typer import Exit

    from resnets.depth_study.study import conclude, train_networks
    from resnets.runtime.cluster import Jobs

    base = jobs.typed(context, {"out", "resume", *jobs.OPTIONS})
    folders = {planned.network: opened.folder_of(planned.network) for planned in opened.record.plan.networks}
    states = jobs.make_by_jobs(
        Jobs(opened.folder / "jobs", cluster),
        [[name] for name in folders],
        lambda names: [*base, *(f"--run={name}" for name in names), f"--out={opened.folder}", "--resume"],
        lambda name: (folders[name] / "result.json").exists(),
        folders,
        (),
        resume=resume,
    )
    failed = {name: state.why for name, state in states.items() if state.state == "failed"}
    for name, reason in failed.items():
        note(f"{name} failed: {reason}")
    done = [name for name, state in states.items() if state.state == "done"]
    if done and len(done) + len(failed) == len(states):
        _show(conclude(train_networks(opened, done), failed), chosen)
    if failed:
        raise Exit(1)


def _show(found: Study, chosen: str) -> None:
    from rich.console import Console

    from resnets.cli.display import print_grid
    from resnets.durations import in_words
    from resnets.quantities import plural

    console = Console(highlight=False, soft_wrap=True)
    if found.done_before:
        print(f"trained before: {', '.join(found.done_before)}")
    print_grid(found.table)
    advice = found.recommendation
    console.print(advice.headline, style="bold", markup=False)
    for sentence in (*advice.reasons, *([found.test] if found.test else []), *found.degradation):
        print(printable(f"- {sentence}"))
    print("Cautions:")
    for sentence in advice.cautions:
        print(printable(f"- {sentence}"))
    seconds = sum(row.seconds for row in found.rows)
    slower = "; the machine was slower than when measured" if seconds > found.plan.budget else ""
    print(f"{in_words(seconds)} of training; budget {in_words(found.plan.budget)}{slower}")
    if advice.network is not None:
        run = found.file.parent / "runs" / advice.network
        print(f"To use it:    resnets predict {run} IMAGE ...")
        how = f"({plural(found.training_images, 'training image')}, the full recipe)"
        print(f"To train it:  resnets train {advice.network} {chosen}  {how}")
    print(f"The curves: {found.plot} and {found.page}; every number: {found.file}")
