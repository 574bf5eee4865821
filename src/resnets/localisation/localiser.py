"""Localisers in files: a per-class RPN, alone or with a per-class R-CNN on its proposals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from resnets.errors import UsageError, WeightsError, first_line, public
from resnets.localisation.networks import PerClass, PerClassRCNN, PerClassRPN
from resnets.networks import registry
from resnets.runtime.device import choose_device, place
from resnets.specs import InputSpec, LocalisationRecipe, NetworkSpec
from resnets.weights.tensor_file import read_tensors, write_tensors
from resnets.weights.weights_file import load_into, require_input, require_same_keys, weights_path

PARTS: dict[str, type[PerClass]] = {"rpn": PerClassRPN, "rcnn": PerClassRCNN}


@dataclass(frozen=True, eq=False)
class Localiser:
    """A trained localiser in evaluation mode, with its classes by label; `rcnn` is its second stage, if it has one."""

    path: Path
    rpn: PerClassRPN
    rcnn: PerClassRCNN | None
    classes: tuple[str, ...]
    device: torch.device

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its networks."""
        return tuple(part.spec.name for part in (self.rpn, self.rcnn) if part is not None)


def save_localiser(path: Path, rpn: PerClassRPN, rcnn: PerClassRCNN | None, classes: Sequence[str]) -> None:
    """Write a localiser's weights, with the network, recipe and input of each stage, and the classes."""
    parts: dict[str, PerClass] = {"rpn": rpn} if rcnn is None else {"rpn": rpn, "rcnn": rcnn}
    tensors = {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.state_dict().items()}
    about = {
        name: {
            "network": msgspec.to_builtins(part.spec),
            "recipe": msgspec.to_builtins(part.recipe),
            "input": msgspec.to_builtins(part.input_spec),
        }
        for name, part in parts.items()
    }
    write_tensors(path, tensors, {"localiser": about, "classes": list(classes)})


@public
def load_localiser(path: str | Path, *, device: str = "auto") -> Localiser:
    """Return the trained localiser of a run's folder or a weights file.

    Raises: WeightsError, if there is none, or it is damaged; UsageError, if the device is not available.
    """
    target, path = choose_device(device), weights_path(Path(path))
    tensors, description = read_tensors(path)
    if "localiser" not in description:
        raise WeightsError(f"{path}: not a localiser's weights; `resnets locate train` makes them")
    parts, classes = _parts(path, description, tensors)
    for part in parts.values():
        place(part.eval(), target)
    rpn, rcnn = parts["rpn"], parts.get("rcnn")
    assert isinstance(rpn, PerClassRPN) and (rcnn is None or isinstance(rcnn, PerClassRCNN))
    return Localiser(path, rpn, rcnn, classes, target)


class _Part(msgspec.Struct, frozen=True):
    """What the header of a localiser's weights says of one stage."""

    network: NetworkSpec
    recipe: dict[str, Any]
    input: InputSpec


class _About(msgspec.Struct, frozen=True):
    rpn: _Part
    rcnn: _Part | None = None


def _parts(
    path: Path, description: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, PerClass], tuple[str, ...]]:
    """Return the stages by name, with their weights, and the classes. Raises: WeightsError."""
    made: dict[str, PerClass] = {}
    try:
        about = msgspec.convert(description["localiser"], _About)
        classes = msgspec.convert(description["classes"], tuple[str, ...])
        for name, part in (("rpn", about.rpn), ("rcnn", about.rcnn)):
            if part is None:
                continue
            recipe = msgspec.convert(part.recipe | {"departures": ()}, LocalisationRecipe)  # which are text
            if part.network.layers > len(tensors):
                raise UsageError(f"{part.network.layers:,} layers, and {len(tensors):,} tensors")
            require_input(part.input, path)
            own = {key[len(name) + 1 :]: tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
            with torch.device("meta"):  # which takes no memory, whatever is declared
                shapes = PARTS[name](registry.build(part.network), len(classes), recipe, part.input)  # type: ignore[call-arg]
            require_same_keys(shapes, own)
            made[name] = PARTS[name](registry.build(part.network), len(classes), recipe, part.input)  # type: ignore[call-arg]
            load_into(made[name], own)
    except WeightsError:
        raise
    except Exception as error:  # fields that do not fit together raise nearly anything
        raise WeightsError(
            f"{path}: its description is not understood ({first_line(error)}); was it written by a newer version?"
        ) from None
    return made, classes
