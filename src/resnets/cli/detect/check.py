"""`resnets detect check`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from resnets.cli.detect.train import DATA


def check(
    data: Annotated[str, Argument(help=DATA, show_default=False)],
    classes: Annotated[
        str | None, Option(help="Those that count, with commas between.", show_default="all that are found")
    ] = None,
    every: Annotated[bool, Option("--all", help="List every repair, not the first ten.")] = False,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Look through a detection data set: its images and objects, and what in its annotations had to be repaired.

    SETS names what is trained and tested on: TRAIN/TEST or TRAIN/VALIDATION/TEST, joined by +, such as 07+12,
    07++12, 12trainval/07test, train+val/test or train2014/val2014.
    """
    import dataclasses
    from json import dumps

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from resnets.cli.lists import names
    from resnets.detection.score import contents, load_detection_data

    loaded = load_detection_data(data, names(classes))
    splits = contents(loaded)
    repairs = [str(repair) for repair in loaded.repairs]
    if json:
        described = {name: dataclasses.asdict(split) for name, split in splits.items()}
        print(dumps({"name": loaded.name, "digest": loaded.digest, "splits": described, "repairs": repairs}))
        return
    table = Table(escape(loaded.name))
    for name in splits:
        table.add_column(name, justify="right")
    table.add_row("images", *(f"{split.images:,}" for split in splits.values()))
    table.add_row("without objects", *(f"{split.without_objects:,}" for split in splits.values()))
    table.add_row("objects", *(f"{sum(split.objects.values()):,}" for split in splits.values()))
    table.add_row("of them difficult", *(f"{split.difficult:,}" for split in splits.values()))
    table.add_row("of them a crowd", *(f"{split.crowd:,}" for split in splits.values()), end_section=True)
    for label in loaded.classes:
        table.add_row(escape(label), *(f"{split.objects[label]:,}" for split in splits.values()))
    Console(highlight=False, soft_wrap=True).print(table)
    if not loaded.test_annotated:
        print("the test images have no annotations; their score is not known here")
    print(f"{len(repairs):,} repairs" if len(repairs) != 1 else "1 repair")
    shown = repairs if every else repairs[:10]
    for repair in shown:
        print(f"  {repair}")
    if len(shown) < len(repairs):
        print(f"  and {len(repairs) - len(shown):,} more; --all lists them")
