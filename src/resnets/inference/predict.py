"""`predict`: the most probable classes of image files, by a trained network, also as a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from resnets.data.given_images import GivenImage
from resnets.errors import DataError, public
from resnets.inference.images import find_images
from resnets.inference.model import load
from resnets.inference.predictions import Prediction, require_table, write_predictions


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
    predictions = []
    for prediction in model.predict_many(
        find_images(images), top=top, min_confidence=min_confidence, precision=precision
    ):
        if isinstance(prediction, DataError):
            raise prediction
        predictions.append(prediction)
    if out is not None:
        write_predictions(Path(out), predictions)
    return predictions
