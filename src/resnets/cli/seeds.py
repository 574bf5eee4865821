"""`resnets train --seeds`: several runs, one after another, together on a GPU, or as jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Context, Exit

from resnets.cli.jobs import OPTIONS, make_by_jobs, typed
from resnets.cli.output import note, resumable
from resnets.report.wording import measured

if TYPE_CHECKING:
    from resnets.runtime.cluster import Cluster, RunState
    from resnets.training.seeds import SeedsResult, SeveralSeeds


def train_seeds(
    context: Context,
    network: str,
    data: str,
    seeds: Sequence[int],
    cluster: Cluster | None,
    *,
    out: Path | None,
    resume: bool,
    settings: dict[str, Any],
) -> None:
    """Print the runs, make them, and print the mean of their errors; exit with 1 where one failed."""
    from resnets.training.seeds import SeveralSeeds

    runs = SeveralSeeds(network, data, seeds, out=out, resume=resume or cluster is not None, **settings)
    _print_plan(runs, here=cluster is None)
    if cluster is None:
        result = _trained_here(runs)
    else:
        states = _made_by_jobs(context, runs, cluster, resume=resume)
        result = runs.train([[seed] for seed in seeds if states[seed].state == "done"])
        result.failed.update({seed: state.why for seed, state in states.items() if state.state == "failed"})
    _print_result(runs, result)
    if result.failed:
        raise Exit(1)


def _print_plan(runs: SeveralSeeds, *, here: bool) -> None:
    from resnets.durations import in_words
    from resnets.planning.defaults import estimated_seconds
    from resnets.quantities import plural, training_length

    record, left = runs.first.record, sum(not runs.is_finished(seed) for seed in runs.seeds)
    length = training_length(record.recipe.iterations, record.recipe.batch_size, record.data.training_images)
    done = f", {len(runs.seeds) - left} done" if left < len(runs.seeds) else ""
    what = f"{plural(len(runs.seeds), 'run')} of {record.network.name} on {record.data.name}"
    print(f"{what}: {length}, recipe {record.recipe.name}{done}")
    print(f"folders: {runs.folder(runs.seeds[0])} ...")
    seconds = estimated_seconds(record) if here and left else None
    if seconds is not None:
        print(f"estimated time: {in_words(left * seconds)}, one after another", flush=True)


def _trained_here(runs: SeveralSeeds) -> SeedsResult:
    from rich.console import Console

    from resnets.cli.display import ShortDisplay
    from resnets.planning.together import seed_groups

    console = Console(highlight=False, soft_wrap=True)
    groups = seed_groups(runs.first, runs.seeds)
    at_once = max(map(len, groups)) > 1
    with resumable():
        return runs.train(groups, lambda seed: ShortDisplay(f"seed {seed}", console, at_once=at_once))


def _made_by_jobs(context: Context, runs: SeveralSeeds, cluster: Cluster, *, resume: bool) -> dict[int, RunState]:
    from resnets.runtime.cluster import Jobs

    base = typed(context, {"seeds", "out", "resume", *OPTIONS})
    seeds = {runs.folder(seed).name: seed for seed in runs.seeds}

    def command(names: tuple[str, ...]) -> list[str]:
        (seed,) = (seeds[name] for name in names)
        return [*base, f"--seed={seed}", f"--out={runs.folder(seed)}", "--resume"]

    states = make_by_jobs(
        Jobs(runs.out.with_name(f"{runs.out.name}-jobs"), cluster),
        [[name] for name in seeds],
        command,
        lambda name: runs.is_finished(seeds[name]),
        {name: runs.folder(seed) for name, seed in seeds.items()},
        [name for name, seed in seeds.items() if runs.is_started(seed)],
        resume=resume,
    )
    return {seeds[name]: state for name, state in states.items()}


def _print_result(runs: SeveralSeeds, result: SeedsResult) -> None:
    for seed, why in result.failed.items():
        note(f"seed {seed} failed: {why}")
    if result.results:
        of = f"mean and standard deviation of {len(result.results)} seeds" if result.deviation is not None else "1 seed"
        error = measured(result.mean, std=result.deviation)
        print(f"{runs.network}: test error {error} % ({of})\n{runs.out}-seed*/ hold the weights, logs and results")
