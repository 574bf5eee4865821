"""`load` and `predict`: a trained network with its classes and the input that it expects, ready for image files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from resnets.data.convention import normalize
from resnets.data.decoding import single_view
from resnets.errors import UsageError, WeightsError
from resnets.networks import weights
from resnets.networks.execution import choose_device, forward, place
from resnets.networks.weights import Weights
from resnets.specs import InputConvention


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, the best first, with their probabilities in [0, 1]."""

    image: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network in evaluation mode. `classes` and `convention` are None where the file does not tell them."""

    path: Path
    network: nn.Module
    classes: tuple[str, ...] | None
    convention: InputConvention | None
    device: torch.device

    @torch.inference_mode()
    def predict(self, image: str | Path, *, top: int = 5) -> Prediction:
        """Return the `top` most probable classes of an image file of any size and mode.

        Raises: DataError, if the file is no image; WeightsError, if the weights do not tell their classes and input.
        """
        if self.convention is None or self.classes is None:
            raise WeightsError(
                f"{self.path}: these weights do not tell their classes and input, so images cannot be read"
            )
        if top < 1:
            raise UsageError(f"top is {top}; it must be 1 or more")
        view = normalize(single_view(Path(image), self.convention)[None], self.convention)  # (1, H, W, C)
        logits = forward(self.network, torch.from_numpy(view).permute(0, 3, 1, 2).to(self.device), "fp32")
        probabilities, classes = logits.softmax(1)[0].topk(min(top, len(self.classes)))
        return Prediction(Path(image), tuple(self.classes[i] for i in classes.tolist()), tuple(probabilities.tolist()))


def load(path: str | Path, *, network: nn.Module | None = None, device: str = "auto") -> Model:
    """Return the trained network of a run's folder or a weights file.

    `network` is needed only where the weights are of a module that is not one of this package's.

    Raises: WeightsError, if there are no weights, or they are damaged or of another network.
    """
    found = load_weights(path)
    if network is None:
        network = found.build()
    else:
        found.load_into(network)
    on = choose_device(device)
    return Model(found.path, place(network.eval(), on), found.classes, found.convention, on)


def load_weights(path: str | Path) -> Weights:
    """Read the weights of a run's folder or a weights file.

    Raises: WeightsError, as `load`.
    """
    path = Path(path)
    if not path.is_dir():
        return weights.load(path)
    if not (path / "weights.safetensors").exists():
        unfinished = (path / "run.json").exists()
        why = "this run has not finished: continue it with --resume" if unfinished else "this folder is not of a run"
        raise WeightsError(f"{path} holds no weights.safetensors; {why}")
    return weights.load(path / "weights.safetensors")


def predict(
    path: str | Path, images: str | Path | Iterable[str | Path], *, top: int = 5, device: str = "auto"
) -> list[Prediction]:
    """Return the most probable classes of one or more image files by a run's or a weights file's network.

    Raises: WeightsError, as `load`; DataError, for the first file that is no image.
    """
    model = load(path, device=device)
    return [model.predict(image, top=top) for image in ([images] if isinstance(images, str | Path) else images)]
