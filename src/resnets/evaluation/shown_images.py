"""The few images of a test set that a page shows: small, each with a class activation map."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.data.arrays import ImageArrays
from resnets.data.decoding import single_views
from resnets.data.image_files import ImageFiles
from resnets.data.splits import Split
from resnets.data.stored_file import ImageFile
from resnets.errors import UsageError
from resnets.evaluation.members import Member
from resnets.inference.explain import Explainer, blended
from resnets.inference.predictions import writable

SIDE = 160  # pixels of a thumbnail: twice what a page shows on a plain screen
AT_ONCE = 16  # images that are explained together


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A test image, and the same with a map over it, as data links; `name` is its file or number."""

    name: str
    image: str
    map: str | None


def require_images(split: Split) -> ImageArrays | ImageFiles:
    """Return a split whose images can be shown. Raises: UsageError, for a dataset object, which gives tensors."""
    if not isinstance(split, ImageArrays | ImageFiles):
        raise UsageError(
            "--mistakes shows images, and a dataset object gives normalised tensors; name a source, such as folder:PATH"
        )
    return split


def names_of(split: ImageArrays | ImageFiles) -> list[str]:
    """Return the name of each image: its file, or its number where it has none."""
    if isinstance(split, ImageArrays):
        return [str(number) for number in range(len(split))]
    found = [""] * len(split)
    for sample, file in split.numbered():
        found[sample] = writable(str(file))
    return found


def thumbnails(
    member: Member, numbers: Sequence[int], classes: Sequence[int], names: Sequence[str]
) -> tuple[dict[int, Thumbnail], str]:
    """Return thumbnails of these images, each with the map of a class of the data, and why there is no map, if so.

    They are the single centre view that the network is given.

    Raises: DataError, for an image that cannot be decoded any more.
    """
    views = _views(member, numbers)
    note, explainer = "", Explainer(member.model)
    found: dict[int, Thumbnail] = {}
    for start in range(0, len(numbers), AT_ONCE):
        chosen = slice(start, start + AT_ONCE)
        maps: Sequence[NDArray[np.float32] | None] = [None] * len(numbers[chosen])
        own = [one if member.order is None else member.order[one] for one in classes[chosen]]
        if not note:
            try:
                maps = list(explainer.of_views(views[chosen], own)[1])
            except UsageError as error:  # a network without maps
                note = str(error)
        for number, view, heat in zip(numbers[chosen], views[chosen], maps, strict=True):
            image = _picture(view)
            over = None if heat is None else _link(_over(image, heat))
            found[number] = Thumbnail(name=names[number], image=_link(image), map=over)
    return found, note


def _views(member: Member, numbers: Sequence[int]) -> NDArray[np.uint8]:
    split, input_spec = require_images(member.splits.test), member.model.input_spec
    assert input_spec is not None  # without one there are only tensors
    if isinstance(split, ImageArrays):
        return split.images[list(numbers)]
    if split.random_access:
        files: list[ImageFile] = [split.paths[number] for number in numbers]
    else:
        selected = set(numbers)
        held = {sample: file for sample, file in split.numbered() if sample in selected}
        files = [held[number] for number in numbers]
    return single_views(files, input_spec)


def _picture(view: NDArray[np.uint8]) -> Image.Image:
    """Return a view in colours, at most 160 pixels wide, and enlarged by a whole number where it is small."""
    image = Image.fromarray(view[..., 0] if view.shape[-1] == 1 else view).convert("RGB")
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    factor = max(1, SIDE // max(image.size))
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)


def _over(image: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    heat = np.clip(np.asarray(Image.fromarray(heat).resize(image.size, Image.Resampling.BILINEAR)), 0, 1)
    return Image.fromarray(blended(np.asarray(image), heat))


def _link(image: Image.Image) -> str:
    content = BytesIO()
    image.save(content, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
