"""The weights that a training starts from: found, loaded into its network, and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from resnets.files import sha256_of
from resnets.records.runs import StartRecord
from resnets.runtime.processes import World
from resnets.specs import InputSpec, NetworkSpec
from resnets.weights.sources import find_weights, is_published
from resnets.weights.weights_file import Weights


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a training starts: the network and the input of the weights, and the weights."""

    record: StartRecord
    spec: NetworkSpec | None
    input_spec: InputSpec | None
    weights: Weights
    notes: tuple[str, ...] = ()

    def load_into(self, network: nn.Module, classes: tuple[str, ...], input_spec: InputSpec | None) -> list[str]:
        """Load the weights into a network to be trained on some classes, and return notes on what was adapted.

        Raises: WeightsError, if they are of another network.
        """
        notes = [*self.notes, *self.weights.load_to_train(network, classes)]
        if self.input_spec is not None and input_spec is not None and self.input_spec.size != input_spec.size:
            notes.append(
                f"{self.weights.path} is for images of {self.input_spec.size} pixels; training continues with "
                f"{input_spec.size}"
            )
        return notes


def find_start(source: str | Path, network: str | nn.Module, world: World) -> Start:
    """Return the start from a source of weights; what is published is fetched by the first process, and read by all.

    Raises: WeightsError, UsageError, as `find_weights`.
    """
    if is_published(source) and world.size > 1:
        world.broadcast_object(lambda: find_weights(source, network).weights.path)
    found = find_weights(source, network)
    weights = found.weights
    record = StartRecord(
        file=str(source if is_published(source) else weights.path),
        sha256=sha256_of(weights.path),
        classes=len(weights.classes) if weights.classes else None,
    )
    return Start(
        record=record, spec=weights.spec, input_spec=weights.input_spec, weights=weights, notes=tuple(found.notes)
    )
