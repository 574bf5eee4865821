"""`resnets evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from resnets.cli.train import DATA


def evaluate(
    weights: Annotated[Path, Argument(help="A run's folder or a .safetensors file.", show_default=False)],
    data: Annotated[str, Option("--data", "-d", help=DATA, show_default=False)],
    per_class: Annotated[bool, Option("--per-class", help="Show each class's error.")] = False,
    confusion: Annotated[bool, Option("--confusion", help="Show which classes are taken for which.")] = False,
    batch_size: Annotated[int, Option(help="Images at a time; the result is the same.")] = 256,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="fp32, bf16 (its agreement with fp32 is shown) or auto.")] = "fp32",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Test trained weights on a test set: the exact error, of the single view of each image."""
    import dataclasses
    from json import dumps

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

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
    if (agreement := result.agreement) is not None:
        print(
            f"{agreement.precision} by engine {agreement.engine}: the same class as in fp32 for "
            f"{agreement.same_top1:,} of the first {agreement.samples:,} images, "
            f"logits differ by {100 * agreement.logit_difference:.2g} %"
        )
    console = Console(highlight=False, soft_wrap=True)
    if per_class:
        table = Table("class")
        table.add_column("error", justify="right")
        for name, error in result.class_errors.items():
            table.add_row(escape(name), "no images" if error is None else f"{error:.2f} %")
        console.print(table)
    if confusion:
        names = list(result.class_errors)
        if len(names) > 10:
            print("the most frequent confusions:")
            pairs = [(n, i, j) for i, row in enumerate(result.confusion) for j, n in enumerate(row) if n and i != j]
            for count, true, predicted in sorted(pairs, reverse=True)[:20]:
                print(f"{count:>6,}  {names[true]} taken for {names[predicted]}")
            return
        table = Table("true class", title="by column: the predicted class")
        for number in range(len(names)):
            table.add_column(str(number), justify="right")
        for number, (name, row) in enumerate(zip(names, result.confusion, strict=True)):
            table.add_row(f"{number} {escape(name)}", *(str(count) if count else "." for count in row))
        console.print(table)
