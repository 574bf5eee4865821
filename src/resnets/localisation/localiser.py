"""Localisers in files: a per-class RPN, alone or with a per-class R-CNN on its proposals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from resnets.data import class_names
from resnets.detection.detector import N, rebuilt
from resnets.errors import WeightsError, public
from resnets.localisation.networks import PerClass, PerClassRCNN, PerClassRPN
from resnets.records.headers import LocaliserHeader, StageHeader
from resnets.runtime.device import choose_device, place
from resnets.weights.tensor_file import read_tensors, write_tensors
from resnets.weights.weights_file import weights_path

PARTS: dict[str, type[PerClass]] = {"rpn": PerClassRPN, "rcnn": PerClassRCNN}


@dataclass(frozen=True, eq=False)
class Localiser:
    """A trained localiser in evaluation mode, with its classes by label; `rcnn` is its second stage, if it has one."""

    path: Path
    rpn: PerClassRPN
    rcnn: PerClassRCNN | None
    classes: tuple[str, ...]
    device: torch.device

    def __repr__(self) -> str:
        """Return a summary in a few lines."""
        return (
            f"Localiser(\n"
            f"  rpn: {self.rpn.spec.name}\n"
            f"  rcnn: {'none' if self.rcnn is None else self.rcnn.spec.name}\n"
            f"  classes: {class_names.in_words(self.classes)}\n"
            f"  device: {self.device}\n"
            f"  path: {self.path}\n"
            f")"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its networks."""
        return tuple(part.spec.name for part in (self.rpn, self.rcnn) if part is not None)


def save_localiser(path: Path, rpn: PerClassRPN, rcnn: PerClassRCNN | None, classes: Sequence[str]) -> None:
    """Write a localiser's weights, with the network, recipe and input of each stage, and the classes."""
    parts: dict[str, PerClass] = {"rpn": rpn} if rcnn is None else {"rpn": rpn, "rcnn": rcnn}
    tensors = {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.state_dict().items()}
    header = LocaliserHeader(rpn=_header(rpn), rcnn=None if rcnn is None else _header(rcnn), classes=tuple(classes))
    write_tensors(path, tensors, header)


def _header(stage: PerClass) -> StageHeader:
    return StageHeader(network=stage.spec, recipe=stage.recipe, input=stage.input_spec)


@public
def load_localiser(path: str | Path, *, device: str = "auto") -> Localiser:
    """Return the trained localiser of a run's folder or a weights file.

    Raises: WeightsError, if there is none, or it is damaged; UsageError, if the device is not available.
    """
    target, path = choose_device(device), weights_path(Path(path))
    tensors, header = read_tensors(path)
    if not isinstance(header, LocaliserHeader):
        raise WeightsError(f"{path}: not a localiser's weights; `resnets locate train` makes them")
    classes = header.classes

    def stage(name: str, make: Callable[..., N], about: StageHeader) -> N:
        own = {key[len(name) + 1 :]: tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
        network = rebuilt(make, about, len(classes), own, path)
        place(network.eval(), target)
        return network

    rpn = stage("rpn", PerClassRPN, header.rpn)
    rcnn = None if header.rcnn is None else stage("rcnn", PerClassRCNN, header.rcnn)
    return Localiser(path, rpn, rcnn, classes, target)
