"""`resnets detect`: train, evaluate, predict, score and check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from typer import Argument, Exit, Option, Typer

from resnets.detection.recipes import DETECTION_RECIPES
from resnets.records.base import encode

DATA = r"voc:PATH\[@SETS] or coco:PATH\[@SETS]."  # the backslashes keep Rich from taking [@SETS] for markup

Data = Annotated[str, Option("--data", "-d", help=DATA)]
Classes = Annotated[str | None, Option(help="Those that count, with commas.", show_default="all that are found")]
BoxRefinement = Annotated[bool, Option("--box-refinement", help="Iterated regression and box voting.")]
MultiScale = Annotated[bool, Option("--multi-scale", help="Features of two of five scales.")]
Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")]
Precision = Annotated[str, Option(help="fp32, bf16 or auto (bf16 where it is native).")]
Workers = Annotated[int, Option(help="Processes that read image files.")]

app = Typer(no_args_is_help=True, help="Detect objects (section 4.3): Faster R-CNN, its data and its scores.")


def _of_recipe(value: str = "") -> str:
    return f"the recipe's, {value} of voc" if value else "the recipe's"


@app.command()
def train(
    network: Annotated[str, Argument(help="vgg16, resnet18, resnet34, resnet50, resnet101, resnet152 ...")],
    data: Data,
    weights: Annotated[
        Path, Option("--weights", "-w", help="Of a classifier (or a detector to fine-tune): a run's folder or a file.")
    ],
    recipe: Annotated[
        str | None,
        Option(
            help=DETECTION_RECIPES.help(),
            show_default="the one for the data",
        ),
    ] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="The run's folder.", show_default="runs/NET-detector-DATA")
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Continue the run in the folder; start it where there is none.")
    ] = False,
    iterations: Annotated[int | None, Option(help="Length; the recipe's milestones move in proportion.")] = None,
    batch_size: Annotated[int | None, Option(help="Images an iteration.", show_default=_of_recipe())] = None,
    lr: Annotated[float | None, Option(help="Learning rate at the start.", show_default=_of_recipe())] = None,
    momentum: Annotated[float | None, Option(show_default=_of_recipe())] = None,
    weight_decay: Annotated[float | None, Option(show_default=_of_recipe())] = None,
    size: Annotated[
        int | None, Option(help="Shorter side of images, in pixels.", show_default=_of_recipe("600"))
    ] = None,
    anchors: Annotated[
        str | None, Option(help="Sides of anchors in pixels, with commas.", show_default=_of_recipe("128,256,512"))
    ] = None,
    regions: Annotated[int | None, Option(help="Regions drawn of an image.", show_default=_of_recipe("128"))] = None,
    classes: Classes = None,
    frozen_stages: Annotated[
        int | None, Option(help="Stages (conv1, conv2_x ...) that are not fine-tuned.", show_default=_of_recipe("2"))
    ] = None,
    roi_pooling: Annotated[str | None, Option(help="max (2015's) or align.", show_default=_of_recipe("max"))] = None,
    context: Annotated[bool, Option("--context", help="Global context (appendix B).")] = False,
    evaluate_every: Annotated[
        int | None, Option(help="Iterations between tests.", show_default="one test, at the end")
    ] = None,
    seed: Annotated[int, Option(help="Of the new layers, the order and what is drawn.")] = 0,
    device: Device = "auto",
    precision: Annotated[str, Option(help="auto, bf16 (autocast) or fp32.")] = "auto",
    workers: Workers = 2,
    save_every: Annotated[
        int | None, Option(help="Iterations between checkpoints.", show_default="one every 30 seconds or more")
    ] = None,
) -> None:
    """Train Faster R-CNN on a network, from the weights of a classifier. Section 4.3.

    SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume goes on.
    """
    settings = dict(locals())  # each option is a setting of the same name
    from resnets.cli.display import Display
    from resnets.cli.lists import names, numbers
    from resnets.cli.resuming import resumable
    from resnets.detection.train import train_detector
    from resnets.durations import in_words

    settings |= {"anchors": numbers(anchors, "pixels", "32,64,128"), "classes": names(classes)}
    settings["context"] = context or None  # a recipe may have it without the flag
    with resumable():
        result = train_detector(**settings, observers=[Display()])
    if result.already_finished:
        print(f"{result.folder} is finished; nothing was to do")
    score = (
        "the test images' boxes are not known here" if result.mean_ap is None else f"mAP {100 * result.mean_ap:.2f} %"
    )
    print(
        f"{result.network}: {score}, after {result.iterations:,} iterations in {in_words(result.seconds)} "
        f"({result.images_per_second:,.1f} images/s)\n{result.folder}/ holds the weights, the log and result.json"
    )


@app.command()
def evaluate(
    weights: Annotated[list[Path], Argument(help="A run's folder or a .safetensors file; several are an ensemble.")],
    data: Data,
    split: Annotated[str, Option(help="test, validation or training.")] = "test",
    protocol: Annotated[
        str | None, Option("--protocol", "-p", help="voc07, voc or coco.", show_default="the data's")
    ] = None,
    classes: Classes = None,
    out: Annotated[
        Path | None,
        Option(
            "--out", "-o", help="Write the detections into this folder, as VOC's or COCO's files, and evaluation.json."
        ),
    ] = None,
    box_refinement: BoxRefinement = False,
    multi_scale: MultiScale = False,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 2,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object instead, of fractions.")] = False,
) -> None:
    """Test a detector on a data set and score it as the official tools do; appendix B's refinements are switches."""
    from resnets.cli.display import print_table, progress_of
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
    if as_json:
        print(encode(result).decode())
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
    rows = [[name, _percent(ap)] for name, ap in result.scores.ap.items()]
    means = result.scores.numbers or {"mean": result.mean_ap}
    print_table([f"AP, protocol {result.protocol}", "%"], rows, [[name, _percent(means[name])] for name in means])


@app.command()
def predict(
    weights: Annotated[Path, Argument(help="A detector's run folder or .safetensors file.")],
    images: Annotated[list[Path], Argument(help="Image files of any size.")],
    out: Annotated[
        Path | None, Option("--out", "-o", help="Write the images with boxes, and detections.json, into this folder.")
    ] = None,
    threshold: Annotated[float, Option(help="The least score of an object, from 0 to 1.")] = 0.5,
    box_refinement: BoxRefinement = False,
    multi_scale: MultiScale = False,
    device: Device = "auto",
    precision: Precision = "fp32",
    as_json: Annotated[bool, Option("--json", help="Print a JSON list instead.")] = False,
) -> None:
    """Find objects on images: their classes, scores and boxes.

    A box is x1, y1, x2, y2 in pixels. A file that is no image is reported on standard error (and in the JSON list, as
    its "error"), the others are still done, and the exit code is 1.
    """
    from resnets.cli.display import print_answers
    from resnets.detection.predict import detect
    from resnets.detection.writer import DetectedObject

    def listed(objects: list[DetectedObject]) -> list[dict[str, Any]]:
        return [msgspec.to_builtins(one) for one in objects]

    def text(objects: list[DetectedObject]) -> str:
        lines = [f"{one.name} {one.score:.2f}  {' '.join(f'{side:.1f}' for side in one.box)}" for one in objects]
        return "\n  ".join([f"{len(objects)} object{'' if len(objects) == 1 else 's'}", *lines])

    found = detect(
        weights,
        images,
        threshold=threshold,
        out=out,
        box_refinement=box_refinement,
        multi_scale=multi_scale,
        device=device,
        precision=precision,
    )
    complete = print_answers(found, "objects", listed, None if as_json else text)
    if out is not None and not as_json:
        print(f"{out}/ holds the images with their boxes, and detections.json")
    if not complete:
        raise Exit(1)


@app.command()
def score(
    ground_truth: Annotated[Path, Option("--ground-truth", "-g", help="A VOC20YY folder, or COCO's instances JSON.")],
    detections: Annotated[
        Path, Option("--detections", "-d", help="A folder of comp4_det_SPLIT_CLASS.txt, or COCO's result JSON.")
    ],
    protocol: Annotated[
        str, Option("--protocol", "-p", help="voc07 (11-point AP), voc (area AP, as from VOC 2010) or coco.")
    ],
    split: Annotated[
        str | None, Option(help="VOC's image set that counts, ImageSets/Main/SPLIT.txt.", show_default="test")
    ] = None,
    iou_type: Annotated[str, Option(help="COCO's overlap of boxes or of masks: bbox or segm.")] = "bbox",
    as_json: Annotated[bool, Option("--json", help="Print one JSON object instead, of fractions.")] = False,
) -> None:
    """Score detections in files as the official tools do: no model is needed, and no photo.

    VOC: the AP of each class and their mean at IoU 0.5, difficult objects passed over. COCO: the twelve numbers.
    """
    from resnets.cli.display import print_table
    from resnets.detection.coco_score import NUMBERS, CocoScore
    from resnets.detection.score import score_detections

    result = score_detections(ground_truth, detections, protocol, split=split, iou_type=iou_type)
    for note in result.notes:
        print(f"resnets: note: {note}", file=sys.stderr)
    if isinstance(result, CocoScore):
        if as_json:
            print(json.dumps(result.numbers))
            return
        header = [f"COCO, {'boxes' if iou_type == 'bbox' else 'masks'}, {result.images:,} images", "", "%"]
        print_table(header, [[name, NUMBERS[name], _percent(value)] for name, value in result.numbers.items()])
    else:
        if as_json:
            print(json.dumps({"mean_ap": result.mean_ap, "ap": result.ap}))
            return
        rows = [
            [name, "no detection file" if name in result.missing else _percent(ap)] for name, ap in result.ap.items()
        ]
        header = [f"{result.metric} AP at IoU 0.5, {result.images:,} images", "%"]
        print_table(header, rows, [["mean", _percent(result.mean_ap)]])


@app.command()
def check(
    data: Annotated[str, Argument(help=DATA)],
    classes: Classes = None,
    every: Annotated[bool, Option("--all", help="List every repair, not the first ten.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Look through a detection data set: its images and objects, and what in its annotations had to be repaired.

    SETS names what is trained and tested on: TRAIN/TEST or TRAIN/VALIDATION/TEST, joined by +, such as 07+12,
    07++12, 12trainval/07test, train+val/test or train2014/val2014.
    """
    from resnets.cli.display import print_table
    from resnets.cli.lists import names
    from resnets.detection.sources import load_detection_data

    loaded = load_detection_data(data, names(classes))
    splits = loaded.contents()
    repairs = [str(repair) for repair in loaded.repairs]
    if as_json:
        described = {name: msgspec.to_builtins(split) for name, split in splits.items()}
        print(json.dumps({"name": loaded.name, "digest": loaded.digest, "splits": described, "repairs": repairs}))
        return
    totals = {
        "images": [split.images for split in splits.values()],
        "without objects": [split.without_objects for split in splits.values()],
        "objects": [sum(split.objects.values()) for split in splits.values()],
        "of them difficult": [split.difficult for split in splits.values()],
        "of them a crowd": [split.crowd for split in splits.values()],
    }
    of_classes = {label: [split.objects[label] for split in splits.values()] for label in loaded.classes}
    print_table(
        [loaded.name, *splits],
        *(
            [[name, *(f"{count:,}" for count in counts)] for name, counts in part.items()]
            for part in (totals, of_classes)
        ),
    )
    if not loaded.test_annotated:
        print("the test images have no annotations; their score is not known here")
    print(f"{len(repairs):,} repairs" if len(repairs) != 1 else "1 repair")
    shown = repairs if every else repairs[:10]
    for repair in shown:
        print(f"  {repair}")
    if len(shown) < len(repairs):
        print(f"  and {len(repairs) - len(shown):,} more; --all lists them")


def _counted(counts: dict[str, list[int]]) -> list[list[str]]:
    return [[name, *(f"{count:,}" for count in of_splits)] for name, of_splits in counts.items()]


def _percent(fraction: float | None) -> str:
    return "no objects" if fraction is None or fraction < 0 else f"{100 * fraction:.2f}"
