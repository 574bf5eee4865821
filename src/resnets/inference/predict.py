"""`predict` and `predict_into`: the most probable classes of image files, by a trained network, also as tables."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from resnets.data.given_images import GivenImage
from resnets.errors import public
from resnets.inference.batches import all_read
from resnets.inference.images import find_images
from resnets.inference.model import load
from resnets.inference.parts import IMAGES, ImageParts, Observe, Work, require_parts_folder, write_parts
from resnets.inference.predictions import Prediction, arrow_table, columns_of, require_table, write_predictions
from resnets.runtime.launch import joined


@public
def predict(
    path: str | Path,
    images: GivenImage | Iterable[GivenImage],
    *,
    top: int = 5,
    min_confidence: float = 0.0,
    out: str | Path | None = None,
    decode: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
) -> list[Prediction]:
    """Return the most probable classes of image files, by the network of a run folder or a weights file.

    Args:
        path: a run folder or a weights file.
        images: one or more image files of any size, folders, patterns, `webdataset:` shards or `-` (standard input), or
            images as `Model.predict` takes them.
        top: number of classes per image.
        min_confidence: best probability, from 0 to 1, below which a prediction is `unsure`.
        out: file for a table of them, .csv, .json, .jsonl or .parquet (`filename`, `label`, `prob`).
        decode: large JPEGs `exact` or `reduced`, as in `train`; None is as in training.
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.

    Raises: WeightsError, as `load`; DataError, for the first file that is not an image; UsageError, RunError, if
        `out` is not a file for a table, or cannot be written.
    """
    if out is not None:
        require_table(Path(out))
    model = load(path, device=device).decoding(decode)
    answers = model.answers(find_images(images), top=top, min_confidence=min_confidence, precision=precision)
    predictions = [prediction for _, prediction in all_read(answers)]
    if out is not None:
        write_predictions(Path(out), predictions, min(top, len(model.classes_and_input()[0])))
    return predictions


@public
def predict_into(
    path: str | Path,
    images: GivenImage | Iterable[GivenImage],
    out: str | Path,
    *,
    top: int = 1,
    min_confidence: float = 0.0,
    decode: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    part_images: int = IMAGES,
    observe: Observe = lambda progress: None,
) -> ImageParts:
    """Write the most probable classes of many images to a folder of Parquet files, which an interruption does not undo.

    Where torchrun started several processes, each computes a share of the parts, and all return the same. The same call
    continues what was interrupted. The columns are those of `predict`, and `error`, why an image could not be read.

    Args:
        path: a run folder or a weights file.
        images: as in `predict`.
        out: the folder; a new one, or one that the same call left unfinished.
        top, min_confidence, decode, device, precision: as in `predict`.
        part_images: images of a file; those of a tar file are one file of results.
        observe: called with the progress of all processes, at most twice a second.

    Raises: WeightsError, as `load`; DataError, if there are no images; StorageError, if remote storage fails;
        UsageError; RunError, if the folder is in use, holds other results, or cannot be written.
    """
    require_parts_folder(Path(out), part_images)
    with joined(device) as world:
        model = load(path, device=world.device).decoding(decode)
        classes, input_spec = model.validated(top, min_confidence)
        top = min(top, len(classes))
        work = Work(
            content="predictions",
            weights=model.path,
            settings={
                "top": top,
                "min_confidence": min_confidence,
                "decode": input_spec.decode,
                "precision": precision,
            },
            columns=[*columns_of(top), "error"],
            answers=partial(model.answers, top=top, min_confidence=min_confidence, precision=precision),
            table=partial(arrow_table, top=top),
        )
        return write_parts(Path(out), images, work, world, part_images=part_images, observe=observe)
