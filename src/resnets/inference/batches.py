"""Batches of images, decoded in the background while the batch before is computed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resnets.data import loading
from resnets.data.decoding import reading
from resnets.data.given_images import GivenImage, Picture, as_image
from resnets.data.stored_file import ImageFile
from resnets.errors import DataError, WeightsError
from resnets.specs import InputSpec

Result = TypeVar("Result")
Compute = Callable[[Sequence[Path | str], NDArray[np.uint8]], Iterable[Result]]
"""What is computed of the names and single views of images. Shape: (N, size, size, channels) -> N results"""


def in_batches(
    images: Iterable[GivenImage | Picture], input_spec: InputSpec, compute: Compute[Result], size: int
) -> Iterator[tuple[list[tuple[Path | str, Result | DataError]], bool]]:
    """Yield for each batch the images' paths or names with their results, and whether it is the last.

    In place of the result of a file that is no image is the error.

    Raises: UsageError, for what is neither an image nor a path.
    """
    ready: list[tuple[Path | str, NDArray[np.uint8] | DataError]] = []
    given = (as_image(image, f"images[{number}]") for number, image in enumerate(images))
    for files in itertools.chain(loading.in_batches(given, size), [[]]):
        with reading(files, input_spec) as views:
            good = [(name, view) for name, view in ready if not isinstance(view, DataError)]
            found: Iterator[Result] = iter(())
            if good:
                found = iter(compute([name for name, _ in good], np.stack([view for _, view in good])))
            results = [(name, view if isinstance(view, DataError) else next(found)) for name, view in ready]
        if results:
            yield results, not files
        ready = [(name_of_image(file), _result(view)) for file, view in zip(files, views, strict=True)]


def all_read(answers: Iterable[tuple[Path | str, Result | DataError]]) -> Iterator[tuple[Path | str, Result]]:
    """Yield images' paths or names with their results. Raises: DataError, for the first file that is no image."""
    for name, answer in answers:
        if isinstance(answer, DataError):
            raise answer
        yield name, answer


def name_of_image(image: ImageFile | Picture) -> Path | str:
    """Return an image's path or, of one that is no file of its own, its name; neither holds its content."""
    return image if isinstance(image, Path) else str(image)


def require_finite(path: Path, found: Tensor, names: Sequence[Path | str]) -> None:
    """Raise WeightsError, if the weights of a path give numbers that are not finite for an image. Shape: (N, D)"""
    if not (finite := found.isfinite().all(1)).all():
        number = int((~finite).nonzero()[0])
        where = names[number] if names else f"image {number}"
        raise WeightsError(f"{path}: gives numbers that are not finite for {where}")


def _result(view: Future[NDArray[np.uint8]]) -> NDArray[np.uint8] | DataError:
    error = view.exception()
    if error is None:
        return view.result()
    if isinstance(error, DataError):
        return error
    raise error
