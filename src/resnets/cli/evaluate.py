"""`resnets evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from resnets.data.sources import SOURCES

if TYPE_CHECKING:
    from resnets.records.evaluations import Evaluation, Tested


def evaluate(
    weights: Annotated[
        list[Path],
        Argument(help="A run's folder or a .safetensors file; several make an ensemble.", show_default=False),
    ],
    data: Annotated[str, Option("--data", "-d", help=SOURCES.help(), show_default=False)],
    protocol: Annotated[
        str | None,
        Option(
            "--protocol",
            "-p",
            help="single-view (of small images), center-crop, ten-crop or dense-multi-scale (of photos); "
            "a beginning will do.",
            show_default="single-view or center-crop",
        ),
    ] = None,
    scales: Annotated[
        str | None,
        Option(help="Shorter sides of dense testing, in pixels.", show_default="224,256,384,480,640 at 224 pixels"),
    ] = None,
    flips: Annotated[
        bool | None,
        Option("--flips/--no-flips", help="Average over mirror images too.", show_default="in ten-crop and dense"),
    ] = None,
    per_class: Annotated[bool, Option("--per-class", help="Show each class's error.")] = False,
    confusion: Annotated[bool, Option("--confusion", help="Show which classes are taken for which.")] = False,
    batch_size: Annotated[int, Option(help="Images at a time; the result is the same.")] = 256,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[
        str, Option(help="fp32, bf16 (of a single view, its agreement with fp32 is shown) or auto.")
    ] = "fp32",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Write a result file, for `resnets report`.", show_default=False)
    ] = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Test trained weights on a test set by one of the paper's protocols: the exact error, with its 95 % interval."""
    from resnets.cli.lists import numbers
    from resnets.evaluation import evaluate as evaluation
    from resnets.records.base import encode

    result = evaluation.evaluate(
        weights,
        data,
        protocol=protocol,
        scales=numbers(scales, "pixels", "224,256,384"),
        flips=flips,
        device=device,
        precision=precision,
        batch_size=batch_size,
        workers=workers,
        out=out,
    )
    if json:
        print(encode(result).decode())
        return
    print(
        f"{result.network} on the {result.samples:,} test images of {result.data}, {result.protocol}: {_errors(result)}"
    )
    if len(result.members) > 1:
        for member in result.members:
            print(f"  {member.network} alone: {_errors(member)}  {member.weights}")
    if (agreement := result.agreement) is not None:
        print(
            f"{agreement.precision} by engine {agreement.engine}: the same class as in fp32 for "
            f"{agreement.same_top1:,} of the first {agreement.samples:,} images, "
            f"logits differ by {100 * agreement.logit_difference:.2g} %"
        )
    if per_class:
        _show_classes(result)
    if confusion:
        _show_confusion(result)


def _errors(tested: Tested) -> str:
    low, high = tested.top1_interval
    top1 = f"top-1 error {tested.top1_error:.2f} % ({low:.1f} to {high:.1f})"
    if len(tested.class_errors) < 20:  # among ten classes five guesses say little
        return top1
    low, high = tested.top5_interval
    return f"{top1}, top-5 error {tested.top5_error:.2f} % ({low:.1f} to {high:.1f})"


def _show_classes(result: Evaluation) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("class")
    table.add_column("error", justify="right")
    for name, error in result.class_errors.items():
        table.add_row(escape(name), "no images" if error is None else f"{error:.2f} %")
    Console(highlight=False, soft_wrap=True).print(table)


def _show_confusion(result: Evaluation) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

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
    Console(highlight=False, soft_wrap=True).print(table)
