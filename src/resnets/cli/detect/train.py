"""`resnets detect train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

DATA = r"voc:PATH\[@SETS] or coco:PATH\[@SETS]."  # the backslashes keep Rich from taking [@SETS] for markup


def train(
    network: Annotated[
        str, Argument(help="vgg16, resnet18, resnet34, resnet50, resnet101, resnet152 ...", show_default=False)
    ],
    data: Annotated[str, Option("--data", "-d", help=DATA, show_default=False)],
    weights: Annotated[
        Path,
        Option(
            "--weights",
            "-w",
            help="Of a classifier (or a detector to fine-tune): a run's folder or a file.",
            show_default=False,
        ),
    ],
    recipe: Annotated[
        str | None,
        Option(
            help="voc, coco, either with -context, or small for some hundred images on a CPU.",
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
    batch_size: Annotated[int | None, Option(help="Images an iteration.", show_default="the recipe's")] = None,
    lr: Annotated[float | None, Option(help="Learning rate at the start.", show_default="the recipe's")] = None,
    momentum: Annotated[float | None, Option(show_default="the recipe's")] = None,
    weight_decay: Annotated[float | None, Option(show_default="the recipe's")] = None,
    size: Annotated[
        int | None, Option(help="Shorter side of images, in pixels.", show_default="the recipe's, 600 of voc")
    ] = None,
    anchors: Annotated[
        str | None,
        Option(help="Sides of anchors in pixels, with commas.", show_default="the recipe's, 128,256,512 of voc"),
    ] = None,
    regions: Annotated[
        int | None, Option(help="Regions drawn of an image.", show_default="the recipe's, 128 of voc")
    ] = None,
    classes: Annotated[
        str | None, Option(help="Those that count, with commas.", show_default="all that are found")
    ] = None,
    frozen_stages: Annotated[
        int | None,
        Option(help="Stages (conv1, conv2_x ...) that are not fine-tuned.", show_default="the recipe's, 2 of voc"),
    ] = None,
    roi_pooling: Annotated[
        str | None, Option(help="max (2015's) or align.", show_default="the recipe's, max of voc")
    ] = None,
    context: Annotated[bool, Option("--context", help="Global context (appendix B).")] = False,
    evaluate_every: Annotated[
        int | None, Option(help="Iterations between tests.", show_default="one test, at the end")
    ] = None,
    seed: Annotated[int, Option(help="Of the new layers, the order and what is drawn.")] = 0,
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    precision: Annotated[str, Option(help="auto, bf16 (autocast) or fp32.")] = "auto",
    workers: Annotated[int, Option(help="Processes that read image files.")] = 2,
    save_every: Annotated[
        int | None, Option(help="Iterations between checkpoints.", show_default="one every 30 seconds or more")
    ] = None,
) -> None:
    """Train Faster R-CNN on a network, from the weights of a classifier. Section 4.3.

    SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume goes on.
    """
    from resnets.cli.display import Display, duration
    from resnets.cli.lists import names, numbers
    from resnets.cli.resuming import resumable
    from resnets.detection.train import train_detector

    with resumable():
        result = train_detector(
            network,
            data,
            weights=weights,
            recipe=recipe,
            out=out,
            resume=resume,
            iterations=iterations,
            batch_size=batch_size,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            size=size,
            anchors=numbers(anchors, "pixels", "32,64,128"),
            regions=regions,
            classes=names(classes),
            frozen_stages=frozen_stages,
            roi_pooling=roi_pooling,
            context=context,
            evaluate_every=evaluate_every,
            seed=seed,
            device=device,
            precision=precision,
            workers=workers,
            save_every=save_every,
            observers=[Display()],
        )
    if result.already_finished:
        print(f"{result.folder} is finished; nothing was to do")
    score = (
        "the test images' boxes are not known here" if result.mean_ap is None else f"mAP {100 * result.mean_ap:.2f} %"
    )
    print(
        f"{result.network}: {score}, after {result.iterations:,} iterations in {duration(result.seconds)} "
        f"({result.images_per_second:,.1f} images/s)\n{result.folder}/ holds the weights, the log and result.json"
    )
