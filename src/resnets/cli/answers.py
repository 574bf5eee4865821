"""Answers of networks for images, printed as they arrive."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, TypeVar

from typer import Exit

from resnets.cli.display import progress_of
from resnets.cli.output import DEBUG, outlive
from resnets.errors import DataError, printable
from resnets.files import to_json
from resnets.inference.predictions import Prediction

T = TypeVar("T")


def counted(answers: Iterable[T], what: str, of: Iterable[Any], *, printed: bool) -> Iterator[T]:
    """Yield the answers to `of` and show their progress, unless they are `printed` on the same terminal."""
    if printed and sys.stdout.isatty():
        yield from answers
        return
    total = len(of) if isinstance(of, Sized) else None
    with progress_of(what) as progress:
        for done, answer in enumerate(answers, 1):
            yield answer
            progress(done, total)


def print_answers(
    answers: Iterable[tuple[Path | str, T | DataError]],
    fields: Callable[[T], dict[str, Any]],
    text: Callable[[T], str | None] | None,
) -> bool:
    """Print the answer for each image as it arrives, and return whether every file was an image.

    Prints a line of `text`, unless that is None, or without `text` an element of a JSON list that has the `fields`.
    Files that are not images are listed on standard error at the end.
    """
    errors, opening = [], "["
    try:
        for image, answer in answers:
            if isinstance(answer, DataError):
                errors.append(answer)
            elif text is not None and (line := text(answer)) is not None:
                print(printable(f"{image}: {line}"))
            if text is None:  # one at a time: there may be very many
                found = {"error": str(answer)} if isinstance(answer, DataError) else fields(answer)
                print(opening + to_json({"image": str(image), **found}), end="")
                opening = ", "
        if text is None:
            print("]" if opening != "[" else "[]")
    finally:  # also of those before an interruption
        for error in errors:
            if DEBUG.get():
                traceback.print_exception(error)
            else:
                print(f"resnets: error: {error}", file=sys.stderr)
    return not errors


def classes_of(prediction: Prediction) -> list[dict[str, str | float]]:
    """Return the most probable classes of an image, the best first, as JSON shows them."""
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return [{"name": name, "probability": probability} for name, probability in pairs]


def classes_in_words(prediction: Prediction) -> str:
    """Return the most probable classes of an image with their probabilities, the best first."""
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in pairs)


def print_boxes(
    answers: Iterable[tuple[Path | str, T | DataError]],
    fields: Callable[[T], dict[str, Any]],
    text: Callable[[T], str | None] | None,
    out: Path | None,
) -> None:
    """Print the boxes of each image as `print_answers` does, and where `out` has the images with their boxes.

    Raises: Exit, with code 1, if a file is no image.
    """
    if out is not None:
        outlive()
    complete = print_answers(answers, fields, text)
    if out is not None and text is not None:
        print(f"{out}/ holds the images with their boxes, and detections.json")
    if not complete:
        raise Exit(1)
