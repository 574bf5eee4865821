"""Weights that come with the package, by their names: a weights file each, with the result of its run next to it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from resnets.errors import WeightsError
from resnets.files import make_folder
from resnets.quantities import plural
from resnets.records import base
from resnets.records.runs import ClassifierResult
from resnets.weights.tensor_file import read_tensors, write_tensors

FOLDER = Path(__file__).with_name("files")


def names() -> tuple[str, ...]:
    """Return the names of all weights that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def shipped_path(source: str | Path) -> Path | None:
    """Return the file of weights by their name; None where there are none, or what is here has that name."""
    return FOLDER / f"{source}.safetensors" if str(source) in names() and not Path(source).exists() else None


def name_of(path: Path) -> str | None:
    """Return the name of the weights in a file; None of one that does not come with the package."""
    return path.stem if path.parent == FOLDER else None


def shipped_result(name: str) -> ClassifierResult:
    """Return the result of the run that shipped weights are of. Raises: RecordError; WeightsError, without one."""
    found = base.read(FOLDER / f"{name}.json", ClassifierResult)
    if found is None:
        raise WeightsError(f"{name}: no weights of this name come with the package")
    return found


def write(run: Path, target: Path, *, half: bool) -> None:
    """Write the weights of a finished run to a file, and its result next to it, without where its data was.

    With `half`, filters and other matrices are stored as float16; batch norm and biases, which are small, are not.

    Raises: WeightsError, if the run has no weights; RecordError.
    """
    tensors, header = read_tensors(run / "weights.safetensors")
    result = base.read(run / "result.json", ClassifierResult)
    if result is None or header is None:
        raise WeightsError(f"{run} holds no result.json; weights are shipped with the result of a finished run")
    if half:
        tensors = {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in tensors.items()}
    data = result.run.data.with_changes(source=None)
    make_folder(target.parent)
    write_tensors(target, tensors, header)
    base.write(target.with_suffix(".json"), result.with_changes(run=result.run.with_changes(data=data)))


class ShippedWeights(msgspec.Struct, frozen=True):
    """What `resnets list weights` shows of shipped weights. Units: bytes; the test error in percent."""

    name: str
    network: str
    data: str
    classes: int
    recipe: str
    test_error: float
    bytes: int
    parameters: int

    @classmethod
    def of(cls, name: str) -> ShippedWeights:
        """Return the summary of shipped weights."""
        result = shipped_result(name)
        run = result.run
        return cls(
            name=name,
            network=run.network.name,
            data=run.data.name,
            classes=len(run.data.classes),
            recipe=f"{run.recipe.name}, {plural(run.recipe.iterations, 'iteration')}",
            test_error=result.test_error,
            bytes=(FOLDER / f"{name}.safetensors").stat().st_size,
            parameters=run.network.parameters,
        )
