"""`resnets data check` and `resnets data shard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from typer import Argument, Exit, Option, Typer

from resnets.data.sources import SOURCES

app = Typer(no_args_is_help=True, help="Look at a data set before it is trained on, or write it as shards.")


@app.command("check")
def check(
    source: Annotated[str, Argument(help=SOURCES.help(), show_default=False)],
    json: Annotated[Path | None, Option("--json", help="Write everything that was found to this file, too.")] = None,
    workers: Annotated[int | None, Option(help="Threads that decode.", show_default="one for each core")] = None,
) -> None:
    """Read and decode every image: what would make training fail (exit code 1), and what is worth knowing."""

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from resnets.cli.display import progress_of
    from resnets.data.audit import FATAL, KINDS, check_data
    from resnets.files import require_file, write_json

    if json is not None:
        require_file(json)
    with progress_of("checking") as progress:
        audit = check_data(source, workers=workers, progress=progress)
    console = Console(highlight=False, soft_wrap=True)
    table = Table(f"{escape(audit.name)}, {audit.classes} classes", caption="smallest / median / largest")
    for name in audit.splits:
        table.add_column(name, justify="right")
    splits = list(audit.splits.values())
    for title, values in (
        ("images", [f"{split.images:,}" for split in splits]),
        ("MB", [f"{split.bytes / 1e6:,.1f}" for split in splits]),
        ("classes", [f"{split.classes:,}" for split in splits]),
        ("images of a class", [_range(split.class_sizes) for split in splits]),
        ("width", [_range(split.widths) for split in splits]),
        ("height", [_range(split.heights) for split in splits]),
    ):
        table.add_row(title, *values)
    console.print(table)
    for kind, count in audit.counts().items():
        first = next(finding for finding in audit.findings if finding.kind == kind)
        fails = "[bold]training fails[/bold]: " if kind in FATAL else ""
        detail = f": {first.detail}" if first.detail else ""
        console.print(f"[bold]{count:,} {kind}[/bold] ({fails}{KINDS[kind]})")
        console.print(escape(f"    such as {first.file}{detail}"))
    if json is not None:
        write_json(json, msgspec.to_builtins(audit) | {"would_fail": audit.would_fail, "counts": audit.counts()})
    print("Training would FAIL." if audit.would_fail else "Nothing here would make training fail.")
    if audit.would_fail:
        raise Exit(1)


@app.command("shard")
def shard(
    source: Annotated[str, Argument(help="Image files: folder:PATH, imagenet:PATH, hf:REPO.", show_default=False)],
    folder: Annotated[Path, Argument(metavar="DEST", help="Where the shards go.", show_default=False)],
    size: Annotated[int, Option(help="Megabytes of a shard, about.")] = 1_000,
) -> None:
    """Write tar shards (webdataset's layout) and manifest.json; after an interruption the same command goes on.

    `--data webdataset:DEST` trains on them, with every promise that holds for single files.
    """
    from resnets.cli.display import progress_of
    from resnets.data.shard_writer import shard_data

    with progress_of("writing") as progress:
        written = shard_data(source, folder, size=size, progress=progress)
    kept = f", {written.kept} of which were there already" if written.kept else ""
    print(
        f"{written.train:,} images to train on and {written.val:,} to test on, {written.classes} classes: "
        f"{written.shards} shards{kept}, {written.bytes / 1e6:,.1f} MB in {written.folder}"
    )


def _range(values: tuple[int, ...]) -> str:
    return " / ".join(f"{value:,}" for value in values)
