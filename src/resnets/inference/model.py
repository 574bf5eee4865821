"""`load` and `predict`: a trained network with its classes and the input that it expects, ready for image files."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.data.decoding import reading, single_view
from resnets.data.normalization import normalize
from resnets.data.stored_file import ImageFile
from resnets.errors import DataError, UsageError, WeightsError, printable, public
from resnets.inference.engine import PREPARATION_SECONDS, Engine, fastest
from resnets.inference.images import find_images
from resnets.inference.predictions import Prediction, require_table, write_predictions
from resnets.networks.registry import name_of, spec_of
from resnets.records.evaluations import Calibration
from resnets.runtime.device import choose_device, choose_precision, forward, keep_freed_memory, place
from resnets.specs import InputSpec, Precision
from resnets.weights.sources import find_weights
from resnets.weights.weights_file import Weights

BATCH = 32  # images that `predict_many` reads and runs at a time


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network in evaluation mode. `classes` and `input_spec` are None if the file does not have them.

    `calibration` is that of weights which `resnets.calibrate` wrote.
    `engine` runs it in the network's stead after `resnets.optimize`; a copy, or what is pickled, is without it.
    """

    path: Path
    network: nn.Module
    classes: tuple[str, ...] | None
    input_spec: InputSpec | None
    device: torch.device
    engine: Engine | None = None
    calibration: Calibration | None = None

    def __repr__(self) -> str:
        """Return a summary in a few lines; `network`, `classes` and `input_spec` have the details."""
        expected = self.input_spec
        size, classes = "unknown", "unknown"
        if expected is not None:
            size = f"{expected.size} x {expected.size} {'grey' if expected.channels == 1 else expected.channel_order}"
        if self.classes is not None:
            some = printable(", ".join(self.classes[:3]))
            classes = f"{len(self.classes)} ({some}{', ...' if len(self.classes) > 3 else ''})"
        calibrated = "" if self.calibration is None else f"  temperature: {self.calibration.temperature:.3g}\n"
        return (
            f"Model(\n"
            f"  network: {name_of(self.network)}\n"
            f"  classes: {classes}\n"
            f"  input: {size}\n"
            f"  device: {self.device}\n"
            f"  engine: {self.engine.name if self.engine else 'none'}\n"
            f"{calibrated}"
            f"  path: {self.path}\n"
            f")"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: all but the engine, which is of this process and machine."""
        return {**self.__dict__, "engine": None}

    def predict(self, image: str | Path, *, top: int = 5, min_confidence: float = 0.0) -> Prediction:
        """Return the `top` most probable classes of an image file of any size and mode.

        Below `min_confidence`, from 0 to 1, the prediction is `unsure`.

        Raises: DataError, if the file is not an image; WeightsError, if the weights have no classes and input.
        """
        _, input_spec = self._known(top, min_confidence)
        view = single_view(Path(image), input_spec)
        return self._classify([(Path(image), view)], top, min_confidence, "fp32")[0]

    def predict_many(
        self,
        images: Iterable[str | ImageFile],
        *,
        top: int = 5,
        min_confidence: float = 0.0,
        precision: str = "fp32",
    ) -> Iterator[Prediction | DataError]:
        """Yield for each image file, in order, its most probable classes, or the error if it is no image.

        Files are decoded in the background, a batch ahead. An engine is prepared meanwhile if the images that
        remain (of an iterator: as many as were seen) would take longer without. `precision` is that of a model
        without an engine of its own.

        Raises: WeightsError and UsageError, as `predict`.
        """
        for _, answer in self.answers(images, top=top, min_confidence=min_confidence, precision=precision):
            yield answer

    def answers(
        self, images: Iterable[str | ImageFile], *, top: int, min_confidence: float, precision: str
    ) -> Iterator[tuple[Path | str, Prediction | DataError]]:
        """Yield what `predict_many` does, each with its image's path or, of a shard or standard input, its name."""
        _, input_spec = self._known(top, min_confidence)
        multiply = choose_precision(precision, self.device)
        total = len(images) if isinstance(images, Sized) else None
        model, seconds, done = self, 0.0, 0
        ready: list[tuple[Path | str, NDArray[np.uint8] | DataError]] = []
        for paths in itertools.chain(_batches(images), [[]]):
            with reading(paths, input_spec) as files:
                start = time.perf_counter()
                good = [(path, view) for path, view in ready if not isinstance(view, DataError)]
                predictions = iter(model._classify(good, top, min_confidence, multiply))
                seconds += time.perf_counter() - start
                results = [(path, view if isinstance(view, DataError) else next(predictions)) for path, view in ready]
            yield from results
            done += len(results)
            if done == BATCH and self.device.type == "cpu":
                keep_freed_memory()
            remaining = done if total is None else total - done
            if model.engine is None and paths and seconds / max(1, done) * remaining > PREPARATION_SECONDS:
                model = model._prepared(multiply)
            names = [path if isinstance(path, Path) else str(path) for path in paths]  # which hold no contents
            ready = [(name, _result(file)) for name, file in zip(names, files, strict=True)]

    def classes_and_input(self) -> tuple[tuple[str, ...], InputSpec]:
        """Return the classes, numbered where they have no names, and the input that images are made into.

        Raises: WeightsError, if the weights do not have them.
        """
        spec = spec_of(self.network)
        classes = self.classes
        if classes is None and spec is not None:
            classes = tuple(f"class {number}" for number in range(spec.num_classes))
        if self.input_spec is None or classes is None:
            raise WeightsError(f"{self.path}: these weights have no classes and input, which images need")
        return classes, self.input_spec

    @torch.inference_mode()
    def probabilities(
        self, views: NDArray[np.uint8], *, precision: Precision = "fp32", names: Sequence[Path | str] = ()
    ) -> Tensor:
        """Return the probability of each class for images that are decoded, resized and cropped; by the engine, if any.

        `names` are those of the images, for the error.

        Shape: (N, size, size, channels) uint8 -> (N, classes) float32
        Raises: WeightsError, if the network gives numbers that are not finite, or has no classes and input.
        """
        _, input_spec = self.classes_and_input()
        images = torch.from_numpy(normalize(views, input_spec)).permute(0, 3, 1, 2).to(self.device)  # (N, C, H, W)
        logits = forward(self.network, images, precision) if self.engine is None else self.engine(images)
        if not (finite := logits.isfinite().all(1)).all():
            number = int((~finite).nonzero()[0])
            where = names[number] if names else f"image {number}"
            raise WeightsError(f"{self.path}: gives numbers that are not finite for {where}")
        return logits.softmax(1)

    def _known(self, top: int, min_confidence: float = 0.0) -> tuple[tuple[str, ...], InputSpec]:
        known = self.classes_and_input()
        if top < 1:
            raise UsageError(f"top is {top}; it must be 1 or more")
        if not 0 <= min_confidence <= 1:
            raise UsageError(f"min_confidence is {min_confidence}; it must be from 0 to 1")
        return known

    def _prepared(self, precision: Precision) -> Model:
        _, input_spec = self._known(1)
        shape = (input_spec.channels, input_spec.size, input_spec.size)
        engine = fastest(self.network, shape=shape, batch_size=BATCH, device=self.device, precision=precision)
        return dataclasses.replace(self, engine=engine)

    def _classify(
        self, views: list[tuple[Path | str, NDArray[np.uint8]]], top: int, min_confidence: float, precision: Precision
    ) -> list[Prediction]:
        if not views:
            return []
        classes, _ = self._known(top)
        names = [name for name, _ in views]
        found = self.probabilities(np.stack([view for _, view in views]), precision=precision, names=names)
        best = found.topk(min(top, len(classes)))
        return [
            Prediction(
                name, tuple(classes[i] for i in indices), tuple(probabilities), probabilities[0] < min_confidence
            )
            for name, indices, probabilities in zip(names, best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def _batches(images: Iterable[str | ImageFile]) -> Iterator[list[ImageFile]]:
    files = (Path(image) if isinstance(image, str | os.PathLike) else image for image in images)
    while batch := list(itertools.islice(files, BATCH)):
        yield batch


def _result(file: Future[NDArray[np.uint8]]) -> NDArray[np.uint8] | DataError:
    error = file.exception()
    if error is None:
        return file.result()
    if isinstance(error, DataError):
        return error
    raise error


@public
def load(path: str | Path, *, network: nn.Module | None = None, device: str = "auto") -> Model:
    """Return the trained network of a run's folder, a folder for the Hub, or any file that `convert` reads.

    `timm:NAME` and `hf:OWNER/NAME` are published weights, fetched once.

    `network` is needed only where the weights are of a module that is not one of this package's.

    Raises: WeightsError, if there are no weights, or they are damaged or of another network.
    """
    if not isinstance(network, nn.Module | None):
        raise UsageError(f"network is of type {type(network).__name__}; it must be a torch module")
    return _loaded(find_weights(path, network).weights, network, device)


def _loaded(found: Weights, network: nn.Module | None, device: str) -> Model:
    if network is None:
        network = found.build()
    else:
        found.load_into(network)
    on = choose_device(device)
    network = place(network.eval(), on)
    return Model(found.path, network, found.classes, found.input_spec, on, calibration=found.calibration)


@public
def from_pretrained(name: str | Path, *, revision: str | None = None, device: str = "auto") -> Model:
    """Return the model of a folder that `save_pretrained` wrote, or of a repository on the Hub.

    A repository of timm's, such as `timm/resnet50.tv_in1k`, will do too: its weights come with their input.

    Raises: WeightsError, if there is no such folder or repository, or its weights are not known.
    """
    if Path(name).is_dir():
        return load(name, device=device)
    return _loaded(find_weights(f"hf:{name}", revision=revision).weights, None, device)


@public
def predict(
    path: str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    min_confidence: float = 0.0,
    out: str | Path | None = None,
    device: str = "auto",
    precision: str = "fp32",
) -> list[Prediction]:
    """Return the most probable classes of image files, by the network of a run folder or a weights file.

    Args:
        path: a run folder or a weights file.
        images: one or more image files of any size, folders, patterns, `webdataset:` shards or `-` (standard input).
        top: number of classes per image.
        min_confidence: best probability, from 0 to 1, below which a prediction is `unsure`.
        out: file for a table of them, .csv, .json, .jsonl or .parquet (`filename`, `label`, `prob`).
        device: `auto` is the first GPU, else the CPU.
        precision: `fp32`, `bf16` or `auto`.

    Raises: WeightsError, as `load`; DataError, for the first file that is not an image; UsageError, RunError, if
        `out` is not a file for a table, or cannot be written.
    """
    if out is not None:
        require_table(Path(out))
    model = load(path, device=device)
    predictions = []
    files = find_images([images] if isinstance(images, str | Path) else images)
    for prediction in model.predict_many(files, top=top, min_confidence=min_confidence, precision=precision):
        if isinstance(prediction, DataError):
            raise prediction
        predictions.append(prediction)
    if out is not None:
        write_predictions(Path(out), predictions)
    return predictions
