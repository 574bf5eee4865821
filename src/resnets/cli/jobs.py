"""Runs of a command as jobs of a cluster: the options, the commands of the jobs, and the states that are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from resnets.errors import RecordError, UsageError

if TYPE_CHECKING:
    from resnets.runtime.cluster import Cluster, Jobs, RunState

Context = Annotated[typer.Context, "the command as it was typed"]
ClusterName = Annotated[
    str | None,
    Option("--cluster", help="Make the runs as jobs: slurm, or local (this machine).", show_default="here and now"),
]
Partition = Annotated[str | None, Option(help="Slurm partition.", show_default="Slurm's")]
AtOnce = Annotated[
    int | None, Option(help="Maximum number of jobs at once.", show_default="slurm: no limit; local: one for each GPU")
]
JobTime = Annotated[
    str | None,
    Option("--time", help="Time limit per Slurm job, such as 8h; it is requeued and continues.", show_default="8h"),
]
OPTIONS = ("cluster", "partition", "at_once", "job_time")


def read_cluster(
    name: str | None, partition: str | None, at_once: int | None, job_time: str | None, *, workers: int
) -> Cluster | None:
    """Return the cluster that options name, or None without one. Raises: UsageError, as `Cluster`."""
    if name is None:
        for option, value in (("--partition", partition), ("--at-once", at_once), ("--time", job_time)):
            if value is not None:
                raise UsageError(f"{option} is of jobs: add --cluster slurm or --cluster local")
        return None
    from resnets.runtime.cluster import Cluster

    return Cluster(kind=name, partition=partition, at_once=at_once, time=job_time, cores=1 + workers)  # type: ignore[arg-type]


def typed(context: typer.Context, without: Collection[str]) -> list[str]:
    """Return the arguments of a command as they were typed, but for those of some parameters."""
    words: list[str] = []
    for module in (context.parent.params.get("modules") or ()) if context.parent is not None else ():
        words += ["--import", str(module)]
    words.append(str(context.info_name))
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in without:
            continue
        values: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            words += map(str, values)
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += (f"{max(parameter.opts, key=len)}={one}" for one in values)
    return words


def make_by_jobs(
    jobs: Jobs,
    groups: Sequence[Sequence[str]],
    command: Callable[[tuple[str, ...]], Sequence[str]],
    is_done: Callable[[str], bool],
    folders: Mapping[str, Path],
    started: Collection[str],
    *,
    resume: bool,
) -> dict[str, RunState]:
    """Submit the runs that are to be made, show the states of all and return them; arguments as `bring_forward`."""
    from resnets.cli.display import print_table

    states = jobs.bring_forward(groups, command, is_done, started, resume=resume)
    lines = [(run, state.state, state.job, _reached(folders[run])) for run, state in states.items()]
    counts = Counter(state.state for state in states.values())
    if lines:
        print_table(("run", "state", "job", "iteration"), lines, words=("state", "job"))
        print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if any(state.in_progress for state in states.values()):
        print("The jobs go on without this command; the same command shows their states, and at the end the results.")
    if counts["failed"]:
        print("The same command with --resume submits again what failed; it continues from its last checkpoint.")
    return states


def _reached(folder: Path) -> str:
    """Return the last iteration of a run that is logged or saved."""
    from resnets.training.run_folder import RunFolder

    run = RunFolder(folder)
    found = [int(path.stem.partition("-")[2]) for path in run.checkpoints.paths()[:1]]
    with suppress(RecordError):  # of a line that is being written
        found += [line.iteration for line in run.logged()[-1:]]
    return f"{max(found):,}" if found else ""
