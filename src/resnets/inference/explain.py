"""`explain`: class activation maps of images, by a trained network."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from resnets.data.decoding import decode, resized, single_view, within_ratio
from resnets.data.given_images import GivenImage, Picture, as_image
from resnets.errors import DataError, UsageError, WeightsError, nearest, public, require_at_least
from resnets.files import free_name, require_results_folder, write_bytes
from resnets.inference.activation import Layer, class_activation, last_maps
from resnets.inference.batches import all_read, name_of_image
from resnets.inference.images import STDIN, AnyImage, find_images
from resnets.inference.model import Model, load
from resnets.inference.predictions import Prediction
from resnets.specs import InputSpec

Region = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of an image; a region may reach over its edges."""

SHOWN = (256, 1_024)
"""Pixels that the longer side of a drawn picture has at least and at most."""

_ALPHA = (0.25, 0.75)  # of the colours over an image: where the map is 0, and where it is 1


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where in an image the evidence for a class is, and the image's most probable classes.

    `map` is of the single view that the network is given: 1 where the evidence for `class_name` is strongest, 0 where
    there is none; 0 everywhere if nothing supports that class. `region` is the part of the upright image, of `size`
    (width, height), that the view shows.

    Shape: map (view's side, view's side) float32
    Units: pixels of the upright image for `region` and `size`; probabilities in [0, 1]
    """

    prediction: Prediction
    class_name: str
    probability: float
    map: NDArray[np.float32]
    region: Region
    size: tuple[int, int]

    @property
    def peak(self) -> tuple[int, int]:
        """The pixel (x, y) of the image where the evidence is strongest."""
        row, column = np.unravel_index(int(self.map.argmax()), self.map.shape)
        left, top, right, bottom = self.region
        x = left + (column + 0.5) * (right - left) / self.map.shape[1]
        y = top + (row + 0.5) * (bottom - top) / self.map.shape[0]
        return min(max(int(x), 0), self.size[0] - 1), min(max(int(y), 0), self.size[1] - 1)

    def drawn_on(self, image: Image.Image) -> Image.Image:
        """Return the image that was explained with the map over it; what the network does not see of it is dim.

        The longer side is 1,024 pixels at most; small images are enlarged.
        """
        scale = min(max(1.0, SHOWN[0] / max(image.size)), SHOWN[1] / max(image.size))
        if scale > 1:
            scale = float(round(scale))  # so that each pixel stays a square
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
        picture = image.convert("RGB").resize(size, how)
        left, top, right, bottom = (round(edge * scale) for edge in self.region)
        right, bottom = max(right, left + 1), max(bottom, top + 1)  # of a very long image
        seen = picture.crop((left, top, right, bottom))
        heat = Image.fromarray((255 * self.map).round().astype(np.uint8)).resize(seen.size, Image.Resampling.BICUBIC)
        over = blended(np.asarray(seen), np.asarray(heat, np.float32) / np.float32(255))
        dim = Image.blend(picture, Image.new("RGB", size, (128, 128, 128)), 0.65)
        dim.paste(Image.fromarray(over), (left, top))
        return dim


def blended(image: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image with a map from 0 to 1 over it in colours, from violet to yellow, that also differ in lightness.

    Shape: (H, W, 3) uint8, (H, W) -> (H, W, 3) uint8
    """
    colours, alpha = _coloured(heat)
    return (image * (1 - alpha) + colours * alpha).round().astype(np.uint8)


def overlay(heat: NDArray[np.float32]) -> Image.Image:
    """Return a picture of a map from 0 to 1 that gives, laid over an image, what `blended` does.

    Shape: (H, W) -> RGBA of W x H
    """
    colours, alpha = _coloured(heat)
    return Image.fromarray(np.concatenate([colours, 255 * alpha], axis=2).round().astype(np.uint8))


def _coloured(heat: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return a map's colours and their opacity. Shape: (H, W) -> (H, W, 3) and (H, W, 1)"""
    low, high = _ALPHA
    return _colours()[(255 * heat).round().astype(np.uint8)], (low + (high - low) * heat)[..., None]


@cache
def _colours() -> NDArray[np.float64]:
    """Return the colours of a map from 0 to 255. Shape: (256, 3)"""
    from matplotlib import colormaps  # it takes a while to import

    return 255 * colormaps["plasma"](np.arange(256))[:, :3]


class Explainer:
    """Explains images, by a loaded model: call it from any thread; the layer of the maps is found once.

    An engine of `resnets.optimize` gives no maps, so the network itself runs, in float32.

    Raises: WeightsError, if the weights have no classes and input.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.classes, self.input_spec = model.classes_and_input()
        self._layer: Layer | None = None
        self._finding = threading.Lock()

    def __call__(
        self,
        image: GivenImage | Picture,
        *,
        class_name: str | None = None,
        top: int = 5,
    ) -> Explanation:
        """Return the map of a class, by default the most probable one, for the single centre view of an image.

        `image` is what `Model.predict` takes.

        Raises: DataError, if it is not an image; UsageError, if there is no such class; WeightsError.
        """
        return self.explained(image, class_name=class_name, top=top)[0]

    def explained(
        self, image: GivenImage | Picture, *, class_name: str | None = None, top: int = 5
    ) -> tuple[Explanation, Image.Image]:
        """Return what calling it does, and the upright image."""
        chosen = None if class_name is None else self.index(class_name)
        file = as_image(image)
        name, picture = name_of_image(file), decode(file, self.input_spec.channels)
        spec = self.input_spec
        view = single_view(file, spec)  # which is not of `picture` where photos are decoded at a reduced size
        probabilities, maps = self.of_views(view[None], None if chosen is None else [chosen], name=str(name))
        best = np.argsort(-probabilities[0], kind="stable")[: max(1, top)]
        index = int(best[0]) if chosen is None else chosen
        prediction = Prediction(
            name, tuple(self.classes[i] for i in best), tuple(float(probabilities[0, i]) for i in best)
        )
        return Explanation(
            prediction=prediction,
            class_name=self.classes[index],
            probability=float(probabilities[0, index]),
            map=maps[0],
            region=region_of_view(picture.size, spec),
            size=picture.size,
        ), picture

    def of_views(
        self, views: NDArray[np.uint8], classes: list[int] | None = None, *, name: str = "an image"
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the probabilities of views, and the map of a class of each, by default the most probable one.

        Shape: (N, size, size, channels) -> (N, classes), (N, size, size) from 0 to 1
        Raises: WeightsError, if the network gives numbers that are not finite; UsageError, if it has no maps.
        """
        images, network = self.model.normalized(views), self.model.network
        with self._finding:
            self._layer = self._layer or last_maps(network, images[:1])
        selected = None if classes is None else torch.tensor(classes)
        logits, maps = class_activation(network, images, selected, layer=self._layer)
        if not (logits.isfinite().all() and maps.isfinite().all()):
            raise WeightsError(f"{self.model.path}: gives numbers that are not finite for {name}")
        maps = functional.interpolate(maps[:, None], views.shape[1:3], mode="bilinear")[:, 0]
        maps = maps / maps.amax((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        return logits.softmax(1).cpu().numpy(), maps.clamp(0, 1).cpu().numpy()

    def index(self, name: str) -> int:
        """Return the number of a class. Raises: UsageError, if there is none of this name."""
        if name not in self.classes:
            raise UsageError(
                f"{self.model.source}: there is no class {name!r}{nearest(name, self.classes)} among the "
                f"{len(self.classes)} classes of these weights"
            )
        return self.classes.index(name)

    def explanations(
        self, images: Iterable[AnyImage], *, class_name: str | None = None, top: int = 5, out: Path | None = None
    ) -> Iterator[tuple[Path | str, tuple[Explanation, Path | None] | DataError]]:
        """Yield each image's path or name with its explanation and what was drawn, or the error if it is no image.

        `out` is a folder for one PNG of each image, named after it; what the folder holds is kept.

        Raises: UsageError, WeightsError; RunError, if a picture cannot be written.
        """
        taken: set[str] = set()
        for image in images:
            where = name_of_image(image)
            try:
                found, picture = self.explained(image, class_name=class_name, top=top)
            except DataError as error:
                yield where, error
                continue
            drawn = None
            if out is not None:
                stem = "standard-input" if image.name == STDIN else Path(image.name).stem or "image"
                drawn = out / free_name(out, stem, ".png", taken)
                content = BytesIO()
                found.drawn_on(picture).save(content, "PNG")
                write_bytes(drawn, content.getvalue())
            yield where, (found, drawn)


def region_of_view(size: tuple[int, int], input_spec: InputSpec) -> Region:
    """Return the part of an image of a size (width, height) that the single view of a network shows."""
    left, top, right, bottom = within_ratio(size)
    width, height = resized((right - left, bottom - top), input_spec.resize)
    across, down = (right - left) / width, (bottom - top) / height
    x, y = round((width - input_spec.size) / 2), round((height - input_spec.size) / 2)  # as `centre_crop`
    return (
        left + x * across,
        top + y * down,
        left + (x + input_spec.size) * across,
        top + (y + input_spec.size) * down,
    )


@public
def explain(
    path: str | Path | Model,
    images: GivenImage | Iterable[GivenImage],
    *,
    class_name: str | None = None,
    top: int = 5,
    out: str | Path | None = None,
    device: str = "auto",
) -> list[Explanation]:
    """Return where in images the evidence for a class is: class activation maps, by a trained network.

    The map is of the single centre view, also for a network that is tested by several views.

    Args:
        path: a run folder, a weights file or a loaded model.
        images: as in `predict`.
        class_name: the class whose evidence is shown; None is each image's most probable one.
        top: number of classes per image.
        out: folder for one PNG of each image, with the map over it; files that it holds are kept.
        device: `auto` is the first GPU, else the CPU; a loaded model keeps its own.

    Raises: WeightsError, as `load`; DataError, for the first file that is not an image; UsageError, if there is no such
        class, or the network has no maps; RunError, if `out` cannot be written.
    """
    require_at_least(1, top=top)
    require_results_folder(out)
    folder = None if out is None else Path(out)
    explainer = Explainer(path if isinstance(path, Model) else load(path, device=device))
    answers = explainer.explanations(find_images(images), class_name=class_name, top=top, out=folder)
    return [explanation for _, (explanation, _) in all_read(answers)]
