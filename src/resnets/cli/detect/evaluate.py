"""`resnets detect evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from resnets.cli.detect.train import DATA


def evaluate(
    weights: Annotated[
        list[Path], Argument(help="A run's folder or a .safetensors file; several are an ensemble.", show_default=False)
    ],
    data: Annotated[str, Option("--data", "-d", help=DATA, show_default=False)],
    split: Annotated[str, Option(help="test, validation or training.")] = "test",
    protocol: Annotated[
        str | None, Option("--protocol", "-p", help="voc07, voc or coco.", show_default="the data's")
    ] = None,
    classes: Annotated[
        str | None, Option(help="Those that count, with commas.", show_default="all that are found")
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            "--out", "-o", help="Write the detections into this folder, as VOC's or COCO's files, and evaluation.json."
        ),
    ] = None,
    box_refinement: Annotated[bool, Option("--box-refinement", help="Iterated regression and box voting.")] = False,
    multi_scale: Annotated[bool, Option("--multi-scale", help="Features of two of five scales.")] = False,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="fp32, bf16 or auto (bf16 where it is native).")] = "fp32",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead, of fractions.")] = False,
) -> None:
    """Test a detector on a data set and score it as the official tools do; appendix B's refinements are switches."""
    import dataclasses
    from json import dumps

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from resnets.cli.display import progress_of
    from resnets.cli.lists import names
    from resnets.detection.evaluate import evaluate_detector

    with progress_of("images") as progress:
        result = evaluate_detector(
            weights,
            data,
            split=split,
            protocol=protocol,
            classes=names(classes),
            out=out,
            box_refinement=box_refinement,
            multi_scale=multi_scale,
            device=device,
            precision=precision,
            workers=workers,
            progress=progress,
        )
    if json:
        print(dumps(dataclasses.asdict(result)))
        return
    used = f", with {', '.join(result.refinements)}" if result.refinements else ""
    print(
        f"{' + '.join(result.networks)} on the {result.images:,} {result.split} images of {result.data}{used}, "
        f"{result.seconds_per_image:.2f} s an image"
    )
    if result.repairs:
        print(
            f"annotations were repaired or left out, {result.repairs:,} times (`resnets detect check` lists repairs); "
            "the official tools take them as they are"
        )
    if result.mean_ap is None:
        print("the boxes of these images are not known here; their server scores the files of --out")
        return
    table = Table(f"AP, protocol {result.protocol}")
    table.add_column("%", justify="right")
    for name, ap in result.scores["ap"].items():
        table.add_row(escape(name), "no objects" if ap is None else f"{100 * ap:.2f}")
    table.add_section()
    for name, value in result.scores.get("numbers", {"mean": result.mean_ap}).items():
        table.add_row(name, "no objects" if value < 0 else f"{100 * value:.2f}")
    Console(highlight=False, soft_wrap=True).print(table)
