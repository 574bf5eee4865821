"""The weights that a training starts from: found, loaded into its network, and recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from resnets.files import sha256_of
from resnets.records.runs import RunRecord, StartRecord
from resnets.runtime.processes import World
from resnets.specs import InputSpec, NetworkSpec
from resnets.weights.import_weights import Imported
from resnets.weights.shipped import shipped_path
from resnets.weights.sources import find_weights, is_published
from resnets.weights.weights_file import WEIGHTS_IN_A_FOLDER, Weights


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a training starts: the network and the input of the weights, and the weights.

    `weights` are None for a resumed run, which has its own in its checkpoints: those that it started from are not
    fetched or read again, and may have been calibrated, moved or removed.
    """

    record: StartRecord
    spec: NetworkSpec | None
    input_spec: InputSpec | None
    weights: Weights | None
    notes: tuple[str, ...] = ()

    def load_into(self, network: nn.Module, classes: tuple[str, ...], input_spec: InputSpec | None) -> list[str]:
        """Load the weights into a network to be trained on some classes, and return notes on what was adapted.

        Raises: WeightsError, if they are of another network.
        """
        if self.weights is None:
            return []
        notes = [*self.notes, *self.weights.load_to_train(network, classes)]
        if self.input_spec is not None and input_spec is not None and self.input_spec.size != input_spec.size:
            notes.append(
                f"{self.weights.name} is for images of {self.input_spec.size} pixels; training continues with "
                f"{input_spec.size}"
            )
        return notes


def find_start(
    source: str | Path, network: str | nn.Module, world: World, earlier: Callable[[], RunRecord | None]
) -> Start:
    """Return the start from a source of weights; what is published is fetched by the first process, and read by all.

    `earlier` returns the record of the run that is to be resumed, where there is one.

    Raises: WeightsError, UsageError, as `find_weights`; RecordError.
    """
    if (run := resumed_from(source, network, earlier, world)) is not None and run.start is not None:
        return Start(record=run.start, spec=run.network.spec, input_spec=run.start.input, weights=None)
    found = find_in_turn(source, network, world)
    weights = found.weights
    count = len(weights.classes) if weights.classes else None
    record = start_record(source, weights.path, classes=count, input_spec=weights.input_spec)
    return Start(record=record, spec=weights.spec, input_spec=weights.input_spec, weights=weights, notes=found.notes)


def find_in_turn(source: str | Path, network: str | nn.Module | None, world: World) -> Imported:
    """Return the weights of a source; what is published is fetched by the first process. Raises: as `find_weights`."""
    if is_published(source) and world.size > 1:
        world.broadcast_object(lambda: find_weights(source, network).weights.path)
    return find_weights(source, network)


def resumed_from(
    source: str | Path, network: str | nn.Module, earlier: Callable[[], RunRecord | None], world: World
) -> RunRecord | None:
    """Return the record of a run of this network that is resumed, if it started from this source and has its input."""
    run = world.broadcast_object(earlier)
    if run is None or run.start is None or run.start.input is None:
        return None
    of_network = run.network.spec is None or run.network.spec.name == network or isinstance(network, nn.Module)
    names = (Path(source), *(Path(source) / name for name in WEIGHTS_IN_A_FOLDER))
    return run if of_network and Path(run.start.file) in names else None


def start_record(
    source: str | Path,
    path: Path,
    *,
    classes: int | None,
    network: str | None = None,
    input_spec: InputSpec | None = None,
    detector: bool = False,
) -> StartRecord:
    """Return the record of weights that were read from a file; shipped and published ones are known by their source."""
    return StartRecord(
        file=str(source if is_published(source) or shipped_path(source) is not None else path),
        sha256=sha256_of(path),
        of="detector" if detector else "classifier",
        classes=classes,
        network=network,
        input=input_spec,
    )
