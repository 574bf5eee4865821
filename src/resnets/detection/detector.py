"""Detectors in files, and how a new one starts: from the weights of a classifier, whose layers keep their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnets.data import class_names
from resnets.data.decoding import decode
from resnets.data.image_files import ImageFiles
from resnets.data.normalization import fit_photos, mean_of
from resnets.detection.annotations import AnnotatedImage
from resnets.detection.detectron2 import is_detectron2, load_detectron2
from resnets.detection.faster_rcnn import FasterRCNN
from resnets.detection.pixels import as_tensor
from resnets.errors import UsageError, WeightsError, first_line, public
from resnets.networks import registry
from resnets.networks.complexity import skeleton
from resnets.records.headers import DetectorHeader, Header, StageHeader
from resnets.runtime.device import choose_device, place
from resnets.specs import InputSpec, Preprocessing
from resnets.weights.tensor_file import read_header, read_tensors, write_tensors
from resnets.weights.weights_file import Weights, last_layer, load_into, require_input, require_same_keys, weights_path

N = TypeVar("N", bound=nn.Module)

FITTED_IMAGES = 200  # training images whose mean is taken where the weights do not record one
RECALIBRATION_IMAGES, RECALIBRATION_SIDE = 8, 128  # images, and their sides in pixels, for batch norm's statistics


def detector_input(trained: InputSpec | None, images: Sequence[AnnotatedImage]) -> InputSpec:
    """Return the input of a classifier, or where it is unknown one with the mean of images.

    A mean image is replaced by the mean of each channel, since a detector's images have any size.

    Raises: DataError, if an image fails to decode; UsageError, if the classifier takes images of equal contrast or
        whitened ones.
    """
    if trained is None:
        chosen = [image.path for image in images[:: max(1, len(images) // FITTED_IMAGES)]]
        files = ImageFiles(chosen, np.zeros(len(chosen), np.int64)).subsample(FITTED_IMAGES)
        return fit_photos(files.paths, Preprocessing(mean="channel"))
    if trained.contrast is not None or trained.whitening is not None:
        raise UsageError("these weights take images of equal contrast or whitened ones, and a detector's are neither")
    if trained.mean is not None:
        return trained
    mean = mean_of(trained).astype(np.float64).mean(axis=(0, 1))
    return trained.with_changes(mean_image=None, mean=tuple(mean.tolist()))


def classifier(name: str, start: Weights | None) -> nn.Module:
    """Return a network with the weights of a classifier, of any classes, or fresh ones.

    Raises: UsageError, if there is no such network; WeightsError, if the weights are of another.
    """
    spec = registry.declare(name)
    if start is None:
        return registry.build(spec)
    if start.spec is None:
        last = f"{last_layer(skeleton(spec))}.weight"
        if last not in start.tensors:
            raise WeightsError(f"{start.path}: not the weights of a classifier {name}: there is no {last}")
        network = registry.create(name, num_classes=len(start.tensors[last]))
        start.load_into(network)
        return network
    if start.spec.name != name:
        raise WeightsError(f"{start.path}: these are the weights of {start.spec.name}, not of {name}")
    return start.build()


@torch.no_grad()
def recalibrate(network: nn.Module, images: Sequence[AnnotatedImage]) -> None:
    """Set the batch-norm statistics of a network that was not pre-trained to those of a few images.

    A detector's batch norm is frozen: with initial statistics, the maps of a deep residual network would grow until no
    loss is finite.

    Raises: DataError, if an image fails to decode.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    chosen = images[:: max(1, len(images) // RECALIBRATION_IMAGES)][:RECALIBRATION_IMAGES]
    size = (RECALIBRATION_SIDE, RECALIBRATION_SIDE)
    views = torch.stack([as_tensor(decode(image.path).resize(size)) for image in chosen])
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the statistics of this one batch
    pixels = views.float() / 255
    network.train()(pixels - pixels.mean((0, 2, 3), keepdim=True))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@dataclass(frozen=True, eq=False)
class Detector:
    """A trained detector in evaluation mode, with its classes by label."""

    path: Path
    network: FasterRCNN
    classes: tuple[str, ...]
    device: torch.device

    def __repr__(self) -> str:
        """Return a summary in a few lines."""
        return (
            f"Detector(\n"
            f"  network: {self.network.spec.name}\n"
            f"  recipe: {self.network.recipe.name}\n"
            f"  classes: {class_names.in_words(self.classes)}\n"
            f"  device: {self.device}\n"
            f"  path: {self.path}\n"
            f")"
        )


def header_of(path: Path) -> Header | None:
    """Return the header of the weights file of a run's folder, or of a file; None if it has none."""
    file = path / "weights.safetensors" if path.is_dir() else path
    try:
        return read_header(file)
    except WeightsError:
        return None  # whoever reads the file reports what is wrong with it


def is_detector(path: Path) -> bool:
    """Return whether a run's folder or a weights file is a detector's, of this package or of detectron2."""
    return isinstance(header_of(path), DetectorHeader) or is_detectron2(path)


def save_detector(path: Path, network: FasterRCNN, classes: Sequence[str]) -> None:
    """Write a detector's weights, with its network, recipe, input and classes."""
    header = DetectorHeader(network=network.spec, recipe=network.recipe, input=network.input, classes=tuple(classes))
    write_tensors(path, network.state_dict(), header)


@public
def load_detector(path: str | Path, *, device: str = "auto") -> Detector:
    """Return the trained detector of a run's folder, a weights file or a file of detectron2, as `load_detectron2`.

    Raises: WeightsError, if there is none, or it is damaged; UsageError, if the device is not available.
    """
    target, path = choose_device(device), weights_path(Path(path))
    if is_detectron2(path):
        network, classes = load_detectron2(path)
    else:
        tensors, header = read_tensors(path)
        if not isinstance(header, DetectorHeader):
            raise WeightsError(f"{path}: not a detector's weights; `resnets detect train` makes them")
        classes = header.classes
        network = rebuilt(FasterRCNN, header, len(classes), tensors, path)
    place(network.eval(), target)
    return Detector(path, network, classes, target)


def rebuilt(
    make: Callable[[nn.Module, int, Any, InputSpec], N],
    about: DetectorHeader | StageHeader,
    classes: int,
    tensors: dict[str, Tensor],
    path: Path,
) -> N:
    """Return the network that a header and its tensors give.

    Raises: WeightsError, if the parts of the header, or the tensors, do not fit together.
    """
    if about.network.layers > len(tensors):
        raise WeightsError(f"{path}: it declares {about.network.layers:,} layers, and holds {len(tensors):,} tensors")
    require_input(about.input, path, about.network)
    try:
        with torch.device("meta"):  # which takes no memory, whatever is declared
            shapes = make(registry.build(about.network), classes, about.recipe, about.input)
        require_same_keys(shapes, tensors)
        network = make(registry.build(about.network), classes, about.recipe, about.input)
    except WeightsError:
        raise
    except Exception as error:  # fields that do not fit together raise nearly anything
        raise WeightsError(f"{path}: it declares a network that cannot be built ({first_line(error)})") from None
    load_into(network, tensors)
    return network
