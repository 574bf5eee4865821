"""`resnets detect score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option


def score(
    ground_truth: Annotated[
        Path, Option("--ground-truth", "-g", help="A VOC20YY folder, or COCO's instances JSON.", show_default=False)
    ],
    detections: Annotated[
        Path,
        Option(
            "--detections",
            "-d",
            help="A folder of comp4_det_SPLIT_CLASS.txt, or COCO's result JSON.",
            show_default=False,
        ),
    ],
    protocol: Annotated[
        str,
        Option(
            "--protocol",
            "-p",
            help="voc07 (11-point AP), voc (area AP, as from VOC 2010) or coco.",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None, Option(help="VOC's image set that counts, ImageSets/Main/SPLIT.txt.", show_default="test")
    ] = None,
    iou_type: Annotated[str, Option(help="COCO's overlap of boxes or of masks: bbox or segm.")] = "bbox",
    json: Annotated[bool, Option("--json", help="Print one JSON object instead, of fractions.")] = False,
) -> None:
    """Score detections in files as the official tools do: no model is needed, and no photo.

    VOC: the AP of each class and their mean at IoU 0.5, difficult objects passed over. COCO: the twelve numbers.
    """
    import sys
    from json import dumps

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from resnets.detection.score import score_detections
    from resnets.detection.scoring.coco import NUMBERS, CocoScore

    result = score_detections(ground_truth, detections, protocol, split=split, iou_type=iou_type)
    for note in result.notes:
        print(f"resnets: note: {note}", file=sys.stderr)
    if isinstance(result, CocoScore):
        if json:
            print(dumps(result.numbers))
            return
        table = Table(f"COCO, {'boxes' if iou_type == 'bbox' else 'masks'}, {result.images:,} images", "")
        table.add_column("%", justify="right")
        for name, value in result.numbers.items():
            table.add_row(name, NUMBERS[name], "no objects" if value < 0 else f"{100 * value:.2f}")
    else:
        if json:
            print(dumps({"mean_ap": result.mean_ap, "ap": result.ap}))
            return
        table = Table(f"{result.metric} AP at IoU 0.5, {result.images:,} images")
        table.add_column("%", justify="right")
        for name, ap in result.ap.items():
            nothing = "no detection file" if name in result.missing else "no objects"
            table.add_row(escape(name), nothing if ap is None else f"{100 * ap:.2f}")
        table.add_section()
        table.add_row("mean", f"{100 * result.mean_ap:.2f}")
    Console(highlight=False, soft_wrap=True).print(table)
