"""`resnets detect`: train, evaluate, predict, score and check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from typer import Argument, Exit, Option, Typer

from resnets.cli import options
from resnets.cli.options import BY_RECIPE
from resnets.cli.output import note
from resnets.detection.recipes import DETECTION_RECIPES
from resnets.detection.sources import DETECTION_SOURCES
from resnets.errors import printable
from resnets.files import to_json
from resnets.records.base import encode

DATA = DETECTION_SOURCES.help()
Data = Annotated[str, Option("--data", "-d", help=DATA)]
DataOfRun = Annotated[str | None, Option("--data", "-d", help=DATA, show_default="the run's")]
Classes = Annotated[str | None, Option(help="Comma-separated classes to use.", show_default="all of the data")]
BoxRefinement = Annotated[bool, Option("--box-refinement", help="Iterative box regression and box voting.")]
MultiScale = Annotated[bool, Option("--multi-scale", help="Maxout of the features at two of five scales.")]

app = Typer(
    cls=options.Group, no_args_is_help=True, help="Detect objects (section 4.3): Faster R-CNN, its data and its scores."
)


@app.command(cls=options.TrainingCommand)
def train(
    network: Annotated[str, Argument(help="vgg16, resnet18, resnet34, resnet50, resnet101, resnet152 ...")],
    data: Data,
    weights: Annotated[
        str,
        Option(
            "--weights",
            "-w",
            help="To start from: a run folder, a weights file (.pth too), torchvision, timm:NAME or hf:OWNER/NAME, of "
            "a classifier; or a detector to fine-tune.",
        ),
    ],
    recipe: Annotated[str | None, Option(help=DETECTION_RECIPES.help(), show_default="the one for the data")] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Run folder.", show_default="runs/NET-detector-DATA")
    ] = None,
    resume: options.Resume = False,
    iterations: options.Iterations = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    size: Annotated[
        int | None, Option(help="Shorter side of images in pixels.", show_default=f"{BY_RECIPE}, 600 in voc")
    ] = None,
    anchors: Annotated[
        str | None,
        Option(help="Comma-separated anchor sizes in pixels.", show_default=f"{BY_RECIPE}, 128,256,512 in voc"),
    ] = None,
    regions: Annotated[
        int | None, Option(help="Regions sampled per image.", show_default=f"{BY_RECIPE}, 128 in voc")
    ] = None,
    classes: Classes = None,
    frozen_stages: Annotated[
        int | None,
        Option(help="Stages (conv1, conv2_x ...) that are not fine-tuned.", show_default=f"{BY_RECIPE}, 2 in voc"),
    ] = None,
    roi_pooling: Annotated[
        str | None, Option(help="max (RoI max pooling) or align (RoIAlign).", show_default=f"{BY_RECIPE}, max in voc")
    ] = None,
    roi_size: Annotated[
        int | None,
        Option(
            help="Side of a region's pooled features (residual networks); masks are as fine.",
            show_default=f"{BY_RECIPE}, 14 in coco, 8 in small",
        ),
    ] = None,
    context: Annotated[bool, Option("--context", help="Global context (appendix B).")] = False,
    evaluate_every: Annotated[
        int | None, Option(help="Iterations between tests.", show_default="one test, at the end")
    ] = None,
    seed: Annotated[int, Option(help="Random seed for new layers, data order and sampling.")] = 0,
    device: options.Device = "auto",
    precision: options.TrainingPrecision = "auto",
    workers: options.Workers = 2,
    save_every: options.SaveEvery = None,
) -> None:
    """Train Faster R-CNN on a network, from the weights of a classifier. Section 4.3.

    With the recipes coco-masks and small-masks it learns a mask of each object too, as Mask R-CNN.

    SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume continues.
    """
    settings = dict(locals())  # each option is a setting of the same name
    from resnets.cli.display import displays, print_trained
    from resnets.cli.lists import names, numbers
    from resnets.cli.output import resumable
    from resnets.detection.train import train_detector

    settings |= {"anchors": numbers(anchors, "pixels", "32,64,128"), "classes": names(classes)}
    settings["context"] = context or None  # a recipe may have it without the flag
    with resumable():
        result = train_detector(**settings, observers=displays(default_length=iterations is None))
    score = "the test images are not annotated" if result.mean_ap is None else f"mAP {100 * result.mean_ap:.2f} %"
    if result.scores.masks is not None:
        score += f", of masks {_percent(result.scores.masks.numbers['AP'])} % (COCO's)"
    print_trained(result, score)


@app.command(cls=options.Command)
def evaluate(
    weights: options.Weights,
    data: DataOfRun = None,
    split: Annotated[str, Option(help="test, train or validation.")] = "test",
    protocol: Annotated[
        str | None, Option("--protocol", "-p", help="voc07, voc, coco or ilsvrc.", show_default="the data's")
    ] = None,
    classes: Classes = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="Folder for the detections, in the protocol's format, and evaluation.json."),
    ] = None,
    box_refinement: BoxRefinement = False,
    multi_scale: MultiScale = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = 2,
    as_json: Annotated[bool, Option("--json", help="Print JSON instead, with fractions.")] = False,
) -> None:
    """Evaluate a detector on a data set with the official metrics; appendix B's refinements are options."""
    settings = dict(locals())  # each option is a setting of the same name, but for that of the output
    del settings["as_json"]
    from resnets.cli.display import print_table, progress_of
    from resnets.cli.lists import names
    from resnets.data.named_splits import adjective
    from resnets.detection.evaluate import evaluate_detector
    from resnets.durations import of_a_step
    from resnets.quantities import plural

    settings["classes"] = names(classes)
    with progress_of("images") as progress:
        result = evaluate_detector(settings.pop("weights"), **settings, progress=progress)
    if as_json:
        print(encode(result).decode())
        return
    images = plural(result.images, f"{adjective(result.split)} image")
    used = f", with {', '.join(result.refinements)}" if result.refinements else ""
    print(
        f"{' + '.join(result.networks)} on {images} of {result.data}{used}, "
        f"{of_a_step(result.seconds_per_image)} per image"
    )
    if result.repairs:
        print(
            f"{plural(result.repairs, 'annotation')} repaired or left out (`resnets detect check` lists them); "
            "the official tools use annotations as they are"
        )
    if result.mean_ap is None:
        print("these images are not annotated; the evaluation server scores the files of --out")
        return
    rows = [[name, _percent(ap)] for name, ap in result.scores.ap.items()]
    means = result.scores.numbers or {"mean": result.mean_ap}
    print_table([f"AP, protocol {result.protocol}", "%"], rows, [[name, _percent(means[name])] for name in means])
    if (masks := result.scores.masks) is not None:
        rows = [[name, _percent(ap)] for name, ap in masks.ap.items()]
        print_table(
            ["AP of masks, COCO's", "%"], rows, [[name, _percent(masks.numbers[name])] for name in masks.numbers]
        )


@app.command(cls=options.Command)
def predict(
    weights: Annotated[Path, Argument(help="Run folder or file of a detector, or one of detectron2 (.pkl).")],
    images: options.Images,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Folder for the images with boxes, and detections.json.")
    ] = None,
    threshold: Annotated[float, Option(help="Minimum score of an object, from 0 to 1.")] = 0.5,
    box_refinement: BoxRefinement = False,
    multi_scale: MultiScale = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    as_json: options.Json = False,
) -> None:
    """Detect objects in images: their classes, scores and boxes, and masks by a detector of masks.

    A box is x1, y1, x2, y2 in pixels; of a mask the number of its pixels is printed, the JSON has COCO's run lengths.
    Files that are not images are listed on standard error at the end (and as "error" in the JSON), the others are
    processed, and the exit code is 1.
    """
    settings = dict(locals())  # each option is a setting of the same name, but for that of the output
    del settings["as_json"]
    from resnets.cli.answers import print_boxes
    from resnets.detection.predict import detect
    from resnets.detection.writer import DetectedObject
    from resnets.quantities import plural

    def fields(objects: list[DetectedObject]) -> dict[str, Any]:
        return {"objects": [one.entry() for one in objects]}

    def text(objects: list[DetectedObject]) -> str:
        return "\n  ".join([plural(len(objects), "object"), *map(str, objects)])

    print_boxes(detect(settings.pop("weights"), **settings), fields, None if as_json else text, out)


@app.command(cls=options.Command)
def score(
    ground_truth: Annotated[
        Path, Option("--ground-truth", "-g", help="A VOC20YY folder, an instances JSON of COCO, or ILSVRC's data.")
    ],
    detections: Annotated[
        Path,
        Option(
            "--detections",
            "-d",
            help="A folder of comp4_det_SPLIT_CLASS.txt files, a result JSON of COCO, or ILSVRC's text file.",
        ),
    ],
    protocol: Annotated[
        str, Option("--protocol", "-p", help="voc07 (11-point AP), voc (area AP, as from VOC 2010), coco or ilsvrc.")
    ],
    split: Annotated[
        str | None,
        Option(help="Image set of VOC or ILSVRC, SPLIT.txt in ImageSets.", show_default="test, ILSVRC's val2"),
    ] = None,
    iou_type: Annotated[str, Option(help="Overlap in COCO of boxes or masks: bbox or segm.")] = "bbox",
    as_json: Annotated[bool, Option("--json", help="Print JSON instead, with fractions.")] = False,
) -> None:
    """Score detection files with the official metrics; needs neither a model nor the images.

    VOC: the AP per class and the mean AP at IoU 0.5, without difficult objects. COCO: the twelve numbers. ILSVRC: as
    VOC, with its rules for small and blacklisted objects.
    """
    from resnets.cli.display import print_table
    from resnets.detection.coco_score import NUMBERS, CocoScore
    from resnets.detection.score import score_detections
    from resnets.quantities import plural

    result = score_detections(ground_truth, detections, protocol, split=split, iou_type=iou_type)
    for remark in result.notes:
        note(remark)
    if isinstance(result, CocoScore):
        if as_json:
            print(to_json(result.numbers))
            return
        header = [f"COCO, {'boxes' if iou_type == 'bbox' else 'masks'}, {plural(result.images, 'image')}", "", "%"]
        print_table(header, [[name, NUMBERS[name], _percent(value)] for name, value in result.numbers.items()])
    else:
        if as_json:
            print(to_json({"mean_ap": result.mean_ap, "ap": result.ap}))
            return
        rows = [
            [name, "no detection file" if name in result.missing else _percent(ap)] for name, ap in result.ap.items()
        ]
        header = [f"{result.metric} AP at IoU 0.5, {plural(result.images, 'image')}", "%"]
        print_table(header, rows, [["mean", _percent(result.mean_ap)]])


@app.command(cls=options.Command)
def check(
    data: Annotated[str, Argument(help=DATA)],
    classes: Classes = None,
    masks: Annotated[
        bool, Option("--masks", help="Check the objects' masks too, as training with masks does.")
    ] = False,
    images: Annotated[bool, Option("--images", help="Read and decode every image too, as training does.")] = False,
    every: Annotated[
        bool, Option("--all", help="List every repair and every damaged image instead of the first ten.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Check a detection data set: its images and objects, what looks wrong, and the repairs of its annotations.

    The exit code is 1 if --images finds a damaged one. SETS names the sets for training and testing: TRAIN/TEST or
    TRAIN/VALIDATION/TEST, joined by +, such as 07+12, 07++12, 12trainval/07test, train+val/test, train2014/val2014 or
    val1+train1000/val2.
    """
    from resnets.cli.display import print_lines, print_table, progress_of
    from resnets.cli.lists import names
    from resnets.data.audit import damaged
    from resnets.detection.sources import load_detection_data

    loaded = load_detection_data(data, names(classes), masks=masks)
    splits = loaded.contents()
    repairs, unreadable = [str(repair) for repair in loaded.repairs], list[str]()
    if images:
        with progress_of("checking") as progress:
            files = [image.path for split in loaded.splits().values() for image in split]
            unreadable = damaged(files, progress)
    if as_json:
        described = {name: msgspec.to_builtins(split) for name, split in splits.items()}
        about = {"name": loaded.name, "digest": loaded.digest, "splits": described}
        found = {"repairs": repairs, "notes": loaded.remarks()} | ({"damaged": unreadable} if images else {})
        print(to_json(about | found))
        raise Exit(1 if unreadable else 0)
    totals = {
        "images": [split.images for split in splits.values()],
        "without objects": [split.without_objects for split in splits.values()],
        "objects": [sum(split.objects.values()) for split in splits.values()],
        "difficult objects": [split.difficult for split in splits.values()],
        "crowd objects": [split.crowd for split in splits.values()],
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
        print("the test images are not annotated; their score is unknown")
    for remark in loaded.remarks():
        print(printable(f"note: {remark}"))
    print_lines("repair", repairs, every=every)
    if images:
        print_lines("damaged image", unreadable, every=every)
    if unreadable:
        raise Exit(1)


def _percent(fraction: float | None) -> str:
    return "no objects" if fraction is None or fraction < 0 else f"{100 * fraction:.2f}"
