"""`resnets evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from resnets.cli import options

if TYPE_CHECKING:
    from resnets.records.evaluations import Evaluation, Tested


def evaluate(
    weights: options.Weights,
    data: options.DataOfRun = None,
    protocol: Annotated[
        str | None,
        Option(
            "--protocol",
            "-p",
            help="single-view (of 32 x 32 images), center-crop, ten-crop, 144-crop or dense-multi-scale (of larger "
            "images); may be abbreviated.",
            show_default="single-view or center-crop",
        ),
    ] = None,
    scales: Annotated[
        str | None,
        Option(
            help="Comma-separated shorter sides in pixels for dense testing.",
            show_default="224,256,384,480,640 at 224 pixels",
        ),
    ] = None,
    flips: Annotated[
        bool | None,
        Option(
            "--flips/--no-flips", help="Also average over horizontal flips.", show_default="in multi-crop and dense"
        ),
    ] = None,
    per_class: Annotated[bool, Option("--per-class", help="Show the error of each class.")] = False,
    confusion: Annotated[bool, Option("--confusion", help="Show the confusion matrix.")] = False,
    decode: options.DecodeAgain = None,
    split: Annotated[
        str, Option(help="Images to test on: test, train, validation, or all of a folder PATH/CLASS/*.")
    ] = "test",
    batch_size: options.TestBatchSize = 256,
    device: options.Device = "auto",
    precision: Annotated[
        str, Option(help="fp32, bf16 (with its agreement with fp32, for a single view) or auto.")
    ] = "fp32",
    workers: options.Workers = 2,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Result file to write, for `resnets report`.", show_default=False)
    ] = None,
    mistakes: Annotated[
        Path | None,
        Option(
            help="Folder to write a page of the mistakes to, mistakes.html, and a line for each image, mistakes.csv.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Evaluate trained weights on a test set by one of the paper's protocols: the error, with its 95 % interval."""
    settings = dict(locals())  # each option is a setting of the same name, but for those of the output
    del settings["per_class"], settings["confusion"], settings["json"]
    from resnets.cli.lists import numbers
    from resnets.evaluation import evaluate as evaluation
    from resnets.quantities import plural
    from resnets.records.base import encode

    settings["scales"] = numbers(scales, "pixels", "224,256,384")
    result = evaluation.evaluate(settings.pop("weights"), **settings)
    if json:
        print(encode(result).decode())
        return
    print(
        f"{result.network} on {plural(result.samples, 'test image' if split == 'test' else 'image')} of "
        f"{result.data}, {result.protocol}: "
        f"{_errors(result)}"
    )
    if len(result.members) > 1:
        for member in result.members:
            print(f"  {member.network} alone: {_errors(member)}  {member.weights}")
    if (agreement := result.agreement) is not None:
        print(
            f"{agreement.precision} with engine {agreement.engine}: the same class as fp32 for "
            f"{agreement.same_top1:,} of the first {plural(agreement.samples, 'image')}, "
            f"logits differ by {100 * agreement.logit_difference:.2g} %"
        )
    if per_class:
        _show_classes(result)
    if confusion:
        _show_confusion(result)
    if mistakes is not None:
        print(f"{mistakes / 'mistakes.html'}: the mistakes")


def _errors(tested: Tested) -> str:
    low, high = tested.top1_interval
    top1 = f"top-1 error {tested.top1_error:.2f} % ({low:.1f} to {high:.1f})"
    if len(tested.class_errors) < 20:  # among ten classes a top-5 error says little
        return top1
    low, high = tested.top5_interval
    return f"{top1}, top-5 error {tested.top5_error:.2f} % ({low:.1f} to {high:.1f})"


def _show_classes(result: Evaluation) -> None:
    from resnets.cli.display import print_table

    shown = {name: "no images" if error is None else f"{error:.2f} %" for name, error in result.class_errors.items()}
    print_table(("class", "error"), shown.items())


def _show_confusion(result: Evaluation) -> None:
    from msgspec import UNSET

    from resnets.cli.display import print_table
    from resnets.errors import printable

    names, confusion = list(result.class_errors), result.confusion
    assert confusion is not UNSET  # but in a file
    if len(names) > 10:
        print("the most frequent confusions:")
        pairs = [(n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j]
        for count, true, predicted in sorted(pairs, reverse=True)[:20]:
            print(printable(f"{count:>6,}  {names[true]} predicted as {names[predicted]}"))
        return
    rows = [
        (f"{number} {name}", *(str(count) if count else "." for count in row))
        for number, (name, row) in enumerate(zip(names, confusion, strict=True))
    ]
    print_table(("true class", *map(str, range(len(names)))), rows, title="columns: predicted class")
