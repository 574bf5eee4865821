"""`resnets data check` and `resnets data shard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer

from resnets.cli import options
from resnets.data.sources import SOURCES

EXAMPLES = 3  # that are shown of images that are there twice; --out has all

app = Typer(cls=options.Group, no_args_is_help=True, help="Check a data set before training, or write it as shards.")


@app.command("check", cls=options.Command)
def check(
    source: Annotated[str, Argument(help=SOURCES.help(), show_default=False)],
    out: Annotated[Path | None, Option("--out", "-o", help="JSON file to write with all findings.")] = None,
    workers: Annotated[int | None, Option(help="Decoding threads.", show_default="one per core")] = None,
) -> None:
    """Read and decode every image; report what would make training fail (exit code 1) and what looks wrong."""
    from rich.console import Console

    from resnets.cli.display import escape, print_table, progress_of
    from resnets.data.audit import FATAL, KINDS, REPEATED, check_data
    from resnets.data.passed_over import PassedOver, in_words
    from resnets.files import require_file
    from resnets.quantities import plural
    from resnets.records import base

    require_file(out)
    with progress_of("checking") as progress:
        audit = check_data(source, workers=workers, progress=progress)
    if out is not None:  # before anything is shown
        base.write(out, audit)
    console = Console(highlight=False, soft_wrap=True)
    splits = list(audit.splits.values())
    rows = (
        ("images", *(f"{split.images:,}" for split in splits)),
        ("MB", *(f"{split.bytes / 1e6:,.1f}" for split in splits)),
        ("classes", *(f"{split.classes:,}" for split in splits)),
        ("images per class", *(_range(split.class_sizes) for split in splits)),
        ("width", *(_range(split.widths) for split in splits)),
        ("height", *(_range(split.heights) for split in splits)),
    )
    title = f"{audit.name}, {plural(audit.classes, 'class')}"
    print_table((title, *audit.splits), rows, caption="smallest / median / largest")
    for kind, count in audit.counts.items():
        of_kind = [finding for finding in audit.findings if finding.kind == kind]
        fails = "[bold]training fails[/bold]: " if kind in FATAL else ""
        shown = of_kind[: EXAMPLES if kind in REPEATED else 1]
        examples = [f"for example {one.file}{f': {one.detail}' if one.detail else ''}" for one in shown]
        if kind == "passed over":
            examples = [in_words([PassedOver(finding.detail, finding.file) for finding in of_kind])]
        console.print(f"[bold]{count:,} {kind}[/bold] ({fails}{KINDS[kind]})")
        for example in examples:
            console.print(escape(f"    {example}"))
    for note in audit.notes:
        console.print(escape(note))
    print("Training would FAIL." if audit.would_fail else "Nothing would make training fail.")
    if audit.would_fail:
        raise Exit(1)


@app.command("shard", cls=options.Command)
def shard(
    source: Annotated[
        str, Argument(help="Data set of image files: folder:PATH, imagenet:PATH, hf:REPO.", show_default=False)
    ],
    folder: Annotated[Path, Argument(metavar="DEST", help="Folder for the shards.", show_default=False)],
    size: Annotated[int, Option(help="Approximate megabytes per shard.")] = 1_000,
    part: Annotated[
        str, Option(metavar="I/N", help="Of N jobs of the same command, the Ith; the last to end writes the manifest.")
    ] = "1/1",
) -> None:
    """Write tar shards (webdataset's layout) and manifest.json; after an interruption, the same command continues.

    `--data webdataset:DEST` trains on them, with the same guarantees as on single files.
    """
    from resnets.cli.display import progress_of
    from resnets.data.shard_writer import shard_data
    from resnets.quantities import megabytes, plural

    with progress_of("writing") as progress:
        written = shard_data(source, folder, size=size, part=part, progress=progress)
    kept = f" ({written.kept} written before)" if written.kept else ""
    shards = f"{plural(written.shards, 'shard')}{kept}, {megabytes(written.bytes)} in {written.folder}"
    if part != "1/1":
        shards = f"part {part}, {shards}"
    if written.missing:
        missing = ", ".join(map(str, written.missing))
        print(f"{shards}; no manifest yet: of {part.partition('/')[2]} parts these are not whole: {missing}")
        return
    print(
        f"{plural(written.train, 'training image')}, {plural(written.val, 'test image')}, "
        f"{plural(written.classes, 'class')}: {shards}{'; the manifest is written' if part != '1/1' else ''}"
    )


def _range(values: tuple[int, ...]) -> str:
    return " / ".join(f"{value:,}" for value in values)
