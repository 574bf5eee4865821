"""`resnets evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def evaluate(
    weights: Annotated[Path, Argument(help="A run's folder or a .safetensors file.", show_default=False)],
    data: Annotated[
        str, Option("--data", "-d", help="digits, cifar10[:PATH], cifar100[:PATH] or folder:PATH.", show_default=False)
    ],
    per_class: Annotated[bool, Option("--per-class", help="Show each class's error.")] = False,
    confusion: Annotated[bool, Option("--confusion", help="Show which classes are taken for which.")] = False,
    batch_size: Annotated[int, Option(help="Images at a time; the result is the same.")] = 256,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="fp32, bf16 (autocast) or auto.")] = "fp32",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Test trained weights on a test set: the exact error, of the single view of each image."""
    import dataclasses
    from json import dumps

    from resnets.api import evaluation

    result = evaluation.evaluate(
        weights, data, device=device, precision=precision, batch_size=batch_size, workers=workers
    )
    if json:
        print(dumps(dataclasses.asdict(result)))
        return
    enough = len(result.class_errors) >= 20  # among ten classes five guesses say little
    top5 = f", top-5 error {result.top5_error:.2f} %" if enough else ""
    print(
        f"{result.network} on the {result.samples:,} test images of {result.data}: "
        f"top-1 error {result.top1_error:.2f} %{top5}"
    )
    if per_class or confusion:
        from rich.console import Console
        from rich.table import Table

        table = Table("class", title="errors of the classes, in percent" if per_class else None)
        if per_class:
            table.add_column("error", justify="right")
        if confusion:
            table.title = "true class by row, predicted class by column"
            for name in result.class_errors:
                table.add_column(name, justify="right")
        for (name, error), row in zip(result.class_errors.items(), result.confusion, strict=True):
            cells = [name]
            if per_class:
                cells.append("no images" if error is None else f"{error:.2f}")
            if confusion:
                cells += [str(count) if count else "." for count in row]
            table.add_row(*cells)
        Console().print(table)
