"""`resnets locate`: train, evaluate, predict, score and check."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option, Typer

from resnets.cli import options
from resnets.cli.options import BY_RECIPE
from resnets.errors import printable
from resnets.files import to_json
from resnets.localisation.recipes import LOCALISATION_RECIPES
from resnets.localisation.sources import LOCALISATION_SOURCES
from resnets.records.base import as_json as json_of
from resnets.records.base import encode

DATA = LOCALISATION_SOURCES.help()
Data = Annotated[str, Option("--data", "-d", help=DATA)]
DataOfRun = Annotated[str | None, Option("--data", "-d", help=DATA, show_default="the run's")]
Protocol = Annotated[str, Option("--protocol", "-p", help="center-crop or dense-multi-scale.")]
Scales = Annotated[
    str | None, Option(help="Comma-separated shorter sides in pixels for dense testing.", show_default=BY_RECIPE)
]
Voting = Annotated[bool, Option("--voting/--no-voting", help="Move boxes to the mean of those that overlap them.")]

app = Typer(
    cls=options.Group,
    no_args_is_help=True,
    help="Locate the one object of an image (appendix C): per-class RPN and R-CNN.",
)


@app.command(cls=options.TrainingCommand)
def train(
    network: Annotated[str, Argument(help="resnet18, resnet34, resnet50, resnet101, resnet20 ...")],
    data: Data,
    weights: Annotated[
        str,
        Option(
            "--weights",
            "-w",
            help="Classifier to start from: a run folder, a weights file (.pth too), torchvision, timm:NAME or "
            "hf:OWNER/NAME.",
        ),
    ],
    rpn: Annotated[
        Path | None,
        Option(
            help="Run folder or weights file of a per-class RPN: train an R-CNN on its proposals.",
            show_default="train a per-class RPN",
        ),
    ] = None,
    recipe: Annotated[str | None, Option(help=LOCALISATION_RECIPES.help(), show_default="the paper's")] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Run folder.", show_default="runs/NET-rpn-DATA or runs/NET-rcnn-DATA")
    ] = None,
    resume: options.Resume = False,
    iterations: options.Iterations = None,
    batch_size: Annotated[
        int | None, Option(help="Images per iteration, or regions of an R-CNN.", show_default=BY_RECIPE)
    ] = None,
    lr: options.LearningRate = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    size: Annotated[
        int | None,
        Option(help="Side of the crops in pixels; other lengths in proportion.", show_default=f"{BY_RECIPE}, 224"),
    ] = None,
    anchors: Annotated[
        str | None,
        Option(help="Comma-separated anchor sizes of an RPN in pixels.", show_default=f"{BY_RECIPE}, 64,128,224"),
    ] = None,
    anchors_per_image: Annotated[
        int | None, Option(help="Anchors of an RPN sampled per image.", show_default=f"{BY_RECIPE}, 8")
    ] = None,
    box_weight: Annotated[float | None, Option(help="Weight of the box loss.", show_default=f"{BY_RECIPE}, 1")] = None,
    proposals: Annotated[
        int | None, Option(help="Proposals of an image, for an R-CNN.", show_default=f"{BY_RECIPE}, 200")
    ] = None,
    split: Annotated[str, Option(help="all, or a share of the training images to validate on: 10%.")] = "all",
    evaluate_every: Annotated[
        int | None, Option(help="Iterations between tests.", show_default="one test, at the end")
    ] = None,
    seed: Annotated[int, Option(help="Random seed for new layers, data order, crops and sampling.")] = 0,
    device: options.Device = "auto",
    precision: options.TrainingPrecision = "auto",
    workers: options.Workers = 2,
    save_every: options.SaveEvery = None,
) -> None:
    """Train a per-class RPN from the weights of a classifier or, with --rpn, a per-class R-CNN. Appendix C.

    SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume continues.
    """
    settings = dict(locals())  # each option is a setting of the same name
    from resnets.cli.display import displays, print_trained, progress_until_done
    from resnets.cli.lists import numbers
    from resnets.cli.output import resumable
    from resnets.localisation.train import train_localiser

    settings |= {"anchors": numbers(anchors, "pixels", "64,128,224")}
    with resumable(), progress_until_done("proposals") as progress:
        result = train_localiser(**settings, observers=displays(default_length=iterations is None), progress=progress)
    error = "the test images are not annotated" if result.error is None else f"{result.error:.2f} % localisation error"
    print_trained(result, f"{error} on the true class")


@app.command(cls=options.Command)
def evaluate(
    weights: Annotated[
        list[Path],
        Argument(help="Run folders or weights files of localisers; several are an ensemble.", show_default=False),
    ],
    data: DataOfRun = None,
    classifier: Annotated[
        list[str] | None,
        Option(
            "--classifier",
            "-c",
            help="Run folder or weights of a classifier, whose five best classes are located; several are an ensemble.",
            show_default="the true class alone",
        ),
    ] = None,
    split: Annotated[str, Option(help="test, train or validation.")] = "test",
    protocol: Protocol = "dense-multi-scale",
    scales: Scales = None,
    voting: Voting = True,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="Folder for the guesses, in the format of the server, and evaluation.json."),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = 2,
    as_json: options.Json = False,
) -> None:
    """Evaluate a localiser by ILSVRC's rules: the error on the true class, and with --classifier on its guesses."""
    settings = dict(locals())  # each option is a setting of the same name, but for that of the output
    del settings["as_json"]
    from resnets.cli.display import progress_of
    from resnets.cli.lists import numbers
    from resnets.data.named_splits import adjective
    from resnets.durations import of_a_step
    from resnets.localisation.evaluate import evaluate_localiser

    settings |= {"classifier": classifier or (), "scales": numbers(scales, "pixels", "224,256,384")}
    with progress_of("images") as progress:
        result = evaluate_localiser(settings.pop("weights"), **settings, progress=progress)
    if as_json:
        print(encode(result).decode())
        return
    localisers = ", ".join("+".join(names) for names in result.networks)
    guessed = f", classes by {', '.join(result.classifiers)}" if result.classifiers else ""
    print(
        f"{localisers} on the {adjective(result.split)} images of {result.data}, {result.protocol}{guessed}, "
        f"{of_a_step(result.seconds_per_image)} per image"
    )
    if result.scores.true_class_error is None:
        print(f"these images are not annotated; the server scores {out}/guesses_{split}.txt")
        return
    _print(json_of(result.scores))


@app.command(cls=options.Command)
def predict(
    weights: Annotated[Path, Argument(help="Run folder or .safetensors file of a localiser.")],
    images: options.Images,
    classifier: Annotated[
        str, Option("--classifier", "-c", help="Run folder or weights of a classifier of the same classes.")
    ],
    top: Annotated[int, Option(help="Number of classes.")] = 5,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Folder for the images with boxes, and detections.json.")
    ] = None,
    protocol: Protocol = "dense-multi-scale",
    scales: Scales = None,
    voting: Voting = True,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    as_json: options.Json = False,
) -> None:
    """Classify images and locate the object of each class: its probability and box.

    A box is x1, y1, x2, y2 in pixels. Files that are not images are listed on standard error at the end (and as "error"
    in the JSON), the others are processed, and the exit code is 1.
    """
    settings = dict(locals())  # each option is a setting of the same name, but for that of the output
    del settings["as_json"]
    from resnets.cli.answers import print_boxes
    from resnets.cli.lists import numbers
    from resnets.detection.writer import DetectedObject
    from resnets.localisation.predict import locate

    def fields(guesses: list[DetectedObject]) -> dict[str, Any]:
        return {"guesses": [one.entry() for one in guesses]}

    def text(guesses: list[DetectedObject]) -> str:
        return "\n  ".join(map(str, guesses))

    settings["scales"] = numbers(scales, "pixels", "224,256,384")
    print_boxes(locate(settings.pop("weights"), **settings), fields, None if as_json else text, out)


@app.command(cls=options.Command)
def score(
    ground_truth: Annotated[
        Path,
        Option(
            "--ground-truth",
            "-g",
            help="A folder as clsloc:PATH takes it, a folder of XML files, or Kaggle's LOC_val_solution.csv.",
        ),
    ],
    guesses: Annotated[
        Path, Option("--guesses", help="A line for each image: up to five times ID xmin ymin xmax ymax.")
    ],
    class_ids: Annotated[
        Path | None, Option(help="Numbers of the classes: map_clsloc.txt.", show_default="the folder's")
    ] = None,
    blacklist: Annotated[
        Path | None, Option(help="Numbers of images that do not count.", show_default="the folder's")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Score a file of guesses as ILSVRC's development kit does; needs neither a model nor the images."""
    from resnets.localisation.score import score_guesses

    found = json_of(score_guesses(ground_truth, guesses, class_ids=class_ids, blacklist=blacklist))
    if as_json:
        print(to_json(found))
        return
    _print(found)


@app.command(cls=options.Command)
def check(
    data: Annotated[str, Argument(help=DATA)],
    images: Annotated[
        bool, Option("--images", help="Decode every image too, as training does, and compare it with its boxes.")
    ] = False,
    every: Annotated[bool, Option("--all", help="List every such image instead of the first ten.")] = False,
    as_json: options.Json = False,
) -> None:
    """Check a localisation data set: its images, boxes and classes, and what is left out of it.

    --images compares boxes with the images too. The exit code is 1 if it finds a damaged image, or one of which the
    annotation is of another picture.
    """
    from resnets.cli.display import print_lines, print_table, progress_of
    from resnets.localisation.checks import BoxedContent, CheckedImages, check_images
    from resnets.localisation.sources import load_localisation_data
    from resnets.quantities import plural

    loaded = load_localisation_data(data)
    splits = {name: BoxedContent.of(loaded, name) for name in loaded.splits()}
    checked = CheckedImages()
    if images:
        with progress_of("checking") as progress:
            checked = check_images(loaded, progress)
    notes, failed = [*loaded.notes, *checked.notes], bool(checked.damaged or checked.mismatched)
    if as_json:
        described = {name: asdict(split) for name, split in splits.items()}
        found = {"name": loaded.name, "digest": loaded.digest, "splits": described, "notes": notes}
        listed = {"damaged": checked.damaged, "mismatched": checked.mismatched} if images else {}
        print(to_json(found | listed))
        raise Exit(1 if failed else 0)
    known = [sorted(split.of_class.values()) if split.of_class else None for split in splits.values()]
    rows: dict[str, list[int | None]] = {
        "images": [split.images for split in splits.values()],
        "excluded by the blacklist": [split.excluded for split in splits.values()],
        "boxes": [split.boxes for split in splits.values()],
        "fewest images of a class": [counts[0] if counts else None for counts in known],
        "most images of a class": [counts[-1] if counts else None for counts in known],
    }
    print_table(
        [f"{loaded.name}, {plural(len(loaded.classes), 'class')}", *splits],
        [[name, *("unknown" if count is None else f"{count:,}" for count in counts)] for name, counts in rows.items()],
    )
    if not loaded.test_annotated:
        print("the test images are not annotated; their errors are unknown")
    for note in notes:
        print(printable(f"note: {note}"))
    if images:
        print_lines("damaged image", checked.damaged, every=every)
        print_lines("mismatched image", checked.mismatched, every=every)
    if failed:
        raise Exit(1)


def _print(scores: dict[str, Any]) -> None:
    """Print the errors of localisation scores, as JSON has them."""
    from resnets.cli.display import print_table
    from resnets.quantities import plural

    rows = []
    if scores["true_class_error"] is not None:
        rows.append(["one box, true class", f"{scores['true_class_error']:.2f}", ""])
    if scores["errors"] is not None:
        pairs = zip(scores["errors"], scores["class_errors"], strict=True)
        rows += [
            [f"best of {plural(count, 'guess')}", f"{located:.2f}", f"{classified:.2f}"]
            for count, (located, classified) in enumerate(pairs, 1)
        ]
    excluded = f", {scores['blacklisted']:,} excluded" if scores["blacklisted"] else ""
    print_table([f"error on {plural(scores['images'], 'image')}{excluded}", "localisation %", "class %"], rows)
