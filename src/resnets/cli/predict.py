"""`resnets predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Exit, Option

from resnets.cli import options


def predict(
    weights: options.Trained,
    images: options.ImagesOrData = None,
    data: options.ImageSource = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="File for a table: .csv, .json, .jsonl or .parquet; or a folder for many."),
    ] = None,
    top: Annotated[int | None, Option(help="Number of classes to show.", min=1, show_default="5; with --out 1")] = None,
    min_confidence: Annotated[
        float, Option(help='Probability of the best class below which the answer is "unsure".', min=0, max=1)
    ] = 0.0,
    decode: options.DecodeAgain = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    part_images: options.PartImages = 1_000,
    json: options.Json = False,
) -> None:
    """Classify images: the most probable classes with their probabilities.

    Files that are not images are listed on standard error at the end (and as "error" in the JSON), the others are
    processed, and the exit code is 1. With --out, the answers are a table (filename, label, prob) and are not printed.

    Into a folder they are written in parts, by any number of processes of torchrun; the same command continues after an
    interruption. There a file that is not an image has a row with its error.
    """
    from resnets.cli.answers import classes_in_words, classes_of, counted, print_answers
    from resnets.cli.in_parts import is_folder, write_shown
    from resnets.cli.output import outlive
    from resnets.inference.images import find_images
    from resnets.inference.model import load
    from resnets.inference.predict import predict_into
    from resnets.inference.predictions import Prediction, require_table, write_predictions
    from resnets.quantities import plural
    from resnets.runtime.launch import require_alone

    names = options.images_of(images, data)
    if out is not None and is_folder(out):
        how: dict[str, Any] = {"min_confidence": min_confidence, "decode": decode, "part_images": part_images}
        how |= {"top": top or 1, "device": device, "precision": precision}
        write_shown(lambda observe: predict_into(weights, names, out, observe=observe, **how), json=json)
        return
    require_alone("predict without a folder as --out")

    def fields(prediction: Prediction) -> dict[str, Any]:
        return {"classes": classes_of(prediction), "unsure": prediction.unsure}

    def text(prediction: Prediction) -> str | None:
        if out is not None:
            return None
        shown = classes_in_words(prediction)
        return f"unsure ({shown})" if prediction.unsure else shown

    if out is not None:
        require_table(out)
        if not json:
            outlive()
    files, kept = find_images(names), []
    model, count = load(weights, device=device).decoding(decode), top or (5 if out is None else 1)
    answers = model.answers(files, top=count, min_confidence=min_confidence, precision=precision)

    def keeping() -> Any:
        for image, answer in counted(answers, "images", files, printed=out is None or json):
            if out is not None and isinstance(answer, Prediction):
                kept.append(answer)
            yield image, answer

    complete = print_answers(keeping(), fields, None if json else text)
    if out is not None:
        write_predictions(out, kept, min(count, len(model.classes_and_input()[0])))
        if not json:
            print(f"{out}: the classes of {plural(len(kept), 'image')}")
    if not complete:
        raise Exit(1)
