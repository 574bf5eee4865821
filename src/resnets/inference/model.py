"""`load`: a trained network with its classes and the input that it expects, ready for image files."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.data import class_names
from resnets.data.decoding import single_view, single_views
from resnets.data.given_images import GivenImage, Picture, as_image, as_images
from resnets.data.normalization import normalize
from resnets.errors import DataError, UsageError, WeightsError, public, require_at_least
from resnets.inference.activation import features_of
from resnets.inference.batches import all_read, in_batches, name_of_image, require_finite
from resnets.inference.engine import PREPARATION_SECONDS, Engine, fastest
from resnets.inference.predictions import Prediction
from resnets.networks.registry import name_of, spec_of
from resnets.records.evaluations import Calibration
from resnets.runtime.device import choose_device, choose_precision, forward, keep_freed_memory, place
from resnets.specs import InputSpec, Precision, require_decoding
from resnets.weights import shipped
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
        size = "unknown" if expected is None else f"{expected.size} x {expected.size} {expected.colours}"
        calibrated = "" if self.calibration is None else f"  temperature: {self.calibration.temperature:.3g}\n"
        return (
            f"Model(\n"
            f"  network: {name_of(self.network)}\n"
            f"  classes: {'unknown' if self.classes is None else class_names.in_words(self.classes)}\n"
            f"  input: {size}\n"
            f"  device: {self.device}\n"
            f"  engine: {self.engine.name if self.engine else 'none'}\n"
            f"{calibrated}"
            f"  path: {self.path}\n"
            f")"
        )

    @property
    def source(self) -> str:
        """The run's folder, the weights file, or the name of weights that come with the package."""
        of_run = self.path.name == "weights.safetensors"
        return shipped.name_of(self.path) or str(self.path.parent if of_run else self.path)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: all but the engine, which is of this process and machine."""
        return {**self.__dict__, "engine": None}

    @public
    def decoding(self, decode: str | None) -> Model:
        """Return the model with large JPEGs decoded `exact` or `reduced`, as `train` has it; None: as in training.

        Raises: UsageError, if there is no such way.
        """
        if decode is None or self.input_spec is None:
            return self
        require_decoding(decode)
        return dataclasses.replace(self, input_spec=self.input_spec.with_changes(decode=decode))

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits of images that are normalised, as `preprocess` returns them; by the engine, if any.

        Shape: (N, C, H, W) float -> (N, classes), on the model's device
        Raises: UsageError, if x is not such a tensor.
        """
        known = spec_of(self.network)
        channels = "C" if known is None else known.in_channels
        fits = isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point()
        if not fits or (known is not None and x.shape[1] != channels):
            what = f"a tensor of {x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else f"of type {type(x).__name__}"
            raise UsageError(
                f"x is {what}; a model is called with a tensor of floats (N, {channels}, H, W), normalised as "
                f"model.preprocess(images) returns them; model.predict takes images"
            )
        with torch.no_grad():
            return self._logits(x.to(self.device), "fp32")

    @public
    def preprocess(self, images: GivenImage | Iterable[GivenImage]) -> Tensor:
        """Return the single views of one or more images, as in `predict`, normalised for the network.

        Shape: (N, C, size, size) float32, on the model's device; of one image N is 1
        Raises: as `predict`.
        """
        _, input_spec = self.classes_and_input()
        files = list(as_images(images) or [as_image(images)])  # type: ignore[arg-type]
        return self.normalized(single_views(files, input_spec))

    @overload
    def predict(  # type: ignore[overload-overlap]
        self, images: GivenImage, *, top: int = ..., min_confidence: float = ...
    ) -> Prediction: ...

    @overload
    def predict(
        self, images: Iterable[GivenImage], *, top: int = ..., min_confidence: float = ...
    ) -> list[Prediction]: ...

    @public
    def predict(
        self, images: GivenImage | Iterable[GivenImage], *, top: int = 5, min_confidence: float = 0.0
    ) -> Prediction | list[Prediction]:
        """Return the `top` most probable classes of an image of any size and mode; of several, a list in their order.

        An image is a path, the content of a file (bytes), a file that is open in binary mode, a picture of Pillow's, or
        a NumPy array of uint8. Several are a list or an iterator of such, or an array (N, height, width, channels).
        A picture that has an EXIF orientation is turned upright, as a file is. Below `min_confidence`, from 0 to 1, a
        prediction is `unsure`.

        Shape: an array is (height, width), (height, width, 3) or, with alpha channel, (height, width, 4); for a network
            that takes other channels than grey or RGB (height, width, channels), and no file is read
        Raises: DataError, for the first file that is not an image; UsageError, for what is of another type;
            WeightsError, if the weights have no classes and input.
        """
        _, input_spec = self.validated(top, min_confidence)
        if as_images(images) is None:
            file = as_image(images)  # type: ignore[arg-type]
            view = single_view(file, input_spec)
            return self._classify([name_of_image(file)], view[None], top, min_confidence, "fp32")[0]
        answers = self.answers(images, top=top, min_confidence=min_confidence, precision="fp32")  # type: ignore[arg-type]
        return [prediction for _, prediction in all_read(answers)]

    @public
    def predict_many(
        self,
        images: Iterable[GivenImage | Picture],
        *,
        top: int = 5,
        min_confidence: float = 0.0,
        precision: str = "fp32",
    ) -> Iterator[Prediction | DataError]:
        """Yield for each image, in order, its most probable classes, or the error if it is no image.

        Files are decoded in the background, a batch ahead. An engine is prepared meanwhile if the images that
        remain (of an iterator: as many as were seen) would take longer without. `precision` is that of a model
        without an engine of its own.

        Raises: WeightsError and UsageError, as `predict`.
        """
        for _, answer in self.answers(images, top=top, min_confidence=min_confidence, precision=precision):
            yield answer

    @public
    def answers(
        self, images: Iterable[GivenImage | Picture], *, top: int, min_confidence: float, precision: str
    ) -> Iterator[tuple[Path | str, Prediction | DataError]]:
        """Yield what `predict_many` does, each with its image's path or, without one, its name."""
        _, input_spec = self.validated(top, min_confidence)
        multiply = choose_precision(precision, self.device)
        total = len(images) if isinstance(images, Sized) else None
        model, seconds, done, prepares = self, 0.0, 0, self.engine is None

        def classify(names: Sequence[Path | str], views: NDArray[np.uint8]) -> list[Prediction]:
            nonlocal seconds
            start = time.perf_counter()
            found = model._classify(names, views, top, min_confidence, multiply)
            seconds += time.perf_counter() - start
            return found

        for results, is_last in in_batches(images, input_spec, classify, BATCH):
            yield from results
            done += len(results)
            if done == BATCH and self.device.type == "cpu":
                keep_freed_memory()
            remaining = done if total is None else total - done
            if prepares and not is_last and seconds / done * remaining > PREPARATION_SECONDS:
                model, prepares = self._prepared(multiply), False

    @public
    def embed(self, images: GivenImage | Iterable[GivenImage]) -> NDArray[np.float32]:
        """Return the features of an image, or of several as in `predict`: what the network's classifier is given.

        An engine gives none, so the network itself runs, in float32.

        Shape: (D,), of several (N, D)
        Raises: as `predict`.
        """
        _, input_spec = self.classes_and_input()
        if (several := as_images(images)) is None:
            return self.embed([images])[0]  # type: ignore[list-item]
        black = np.zeros((1, input_spec.size, input_spec.size, input_spec.channels), np.uint8)
        found = (features[None] for _, features in all_read(self.each_features(several)))
        return np.concatenate([self._features([], black)[:0], *found])

    @public
    def each_features(
        self, images: Iterable[GivenImage | Picture]
    ) -> Iterator[tuple[Path | str, NDArray[np.float32] | DataError]]:
        """Yield each image's path or name with its features, (D,), or the error if it is no image."""
        _, input_spec = self.classes_and_input()
        for results, _ in in_batches(images, input_spec, self._features, BATCH):
            yield from results

    @public
    def classes_and_input(self) -> tuple[tuple[str, ...], InputSpec]:
        """Return the classes, numbered where they have no names, and the input that images are made into.

        Raises: WeightsError, if the weights do not have them.
        """
        spec, classes = spec_of(self.network), self.classes
        if classes is None and spec is not None:
            classes = tuple(f"class {number}" for number in range(spec.num_classes))
        if self.input_spec is None or classes is None:
            raise WeightsError(f"{self.path}: these weights have no classes and input, which images need")
        return classes, self.input_spec

    @public
    @torch.inference_mode()
    def probabilities(
        self, views: NDArray[np.uint8], *, precision: Precision = "fp32", names: Sequence[Path | str] = ()
    ) -> Tensor:
        """Return the probability of each class for images that are decoded, resized and cropped; by the engine, if any.

        `names` are those of the images, for the error.

        Shape: (N, size, size, channels) uint8 -> (N, classes) float32
        Raises: WeightsError, if the network gives numbers that are not finite, or has no classes and input.
        """
        logits = self._logits(self.normalized(views), precision)
        require_finite(self.path, logits, names)
        return logits.softmax(1)

    def _features(self, names: Sequence[Path | str], views: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = features_of(self.network, self.normalized(views))
        require_finite(self.path, found, names)
        return found.cpu().numpy()

    @public
    def normalized(self, views: NDArray[np.uint8]) -> Tensor:
        """Return images that are decoded, resized and cropped as the network takes them, on its device.

        Shape: (N, size, size, channels) uint8 -> (N, C, size, size) float32
        """
        _, input_spec = self.classes_and_input()
        return torch.from_numpy(normalize(views, input_spec)).permute(0, 3, 1, 2).to(self.device)

    def _logits(self, x: Tensor, precision: Precision) -> Tensor:
        return forward(self.network, x, precision) if self.engine is None else self.engine(x)

    @public
    def validated(self, top: int, min_confidence: float = 0.0) -> tuple[tuple[str, ...], InputSpec]:
        """Return what `classes_and_input` does, for predictions of the `top` classes.

        Raises: UsageError, if they are impossible; WeightsError, as `classes_and_input`.
        """
        require_at_least(1, top=top)
        if not 0 <= min_confidence <= 1:
            raise UsageError(f"min_confidence is {min_confidence}; it must be from 0 to 1")
        return self.classes_and_input()

    def _prepared(self, precision: Precision) -> Model:
        """Return the model with the fastest engine; as it is, where none runs its network."""
        _, spec = self.classes_and_input()
        shape = (spec.channels, spec.size, spec.size)
        with contextlib.suppress(UsageError):
            engine = fastest(self.network, shape=shape, batch_size=BATCH, device=self.device, precision=precision)
            return dataclasses.replace(self, engine=engine)
        return self

    def _classify(
        self,
        names: Sequence[Path | str],
        views: NDArray[np.uint8],
        top: int,
        min_confidence: float,
        precision: Precision,
    ) -> list[Prediction]:
        classes, _ = self.classes_and_input()
        best = self.probabilities(views, precision=precision, names=names).topk(min(top, len(classes)))
        return [
            Prediction(
                name, tuple(classes[i] for i in indices), tuple(probabilities), probabilities[0] < min_confidence
            )
            for name, indices, probabilities in zip(names, best.indices.tolist(), best.values.tolist(), strict=True)
        ]


@public
def load(path: str | Path, *, network: nn.Module | None = None, device: str = "auto") -> Model:
    """Return the trained network of a run's folder, a folder for the Hub, or any file that `convert` reads.

    `timm:NAME` and `hf:OWNER/NAME` are published weights, fetched once; a name of `resnets list weights`, such as
    `resnet20-digits`, is of those that come with the package.

    `network` is needed only where the weights are of a module that is not one of this package's.

    Raises: WeightsError, if there are no weights, or they are damaged or of another network.
    """
    if not isinstance(network, nn.Module | None):
        raise UsageError(f"network is of type {type(network).__name__}; it must be a torch module")
    return _loaded(find_weights(path, network).noted(), network, device)


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
    return _loaded(find_weights(f"hf:{name}", revision=revision).noted(), None, device)
