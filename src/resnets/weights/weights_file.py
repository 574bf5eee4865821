"""Weights files: a safetensors file whose header says which network, classes and input they are for."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resnets.errors import UsageError, WeightsError, first_line
from resnets.networks.registry import build, name_of, spec_of
from resnets.quantities import plural
from resnets.records.evaluations import Calibration
from resnets.records.headers import ClassifierHeader, DetectorHeader, LocaliserHeader
from resnets.specs import FunctionSpec, InputSpec, NetworkSpec, first_difference
from resnets.weights import shipped
from resnets.weights.adapt import with_auxiliary_of, with_channels_of
from resnets.weights.tensor_file import read_tensors, write_tensors


@dataclass(frozen=True, eq=False)
class Weights:
    """What a weights file holds. `spec` is None for a network that is not one of ours.

    Raises: WeightsError, naming a tensor with values that are not finite; a custom module may have infinite ones.
    """

    path: Path
    tensors: dict[str, Tensor]
    spec: NetworkSpec | None
    classes: tuple[str, ...] | None
    input_spec: InputSpec | None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for name, tensor in self.tensors.items():
            if not tensor.is_floating_point():
                continue
            wrong = tensor.isnan() if self.spec is None else ~tensor.isfinite()
            if wrong.any():
                raise WeightsError(
                    f"{self.path}: {int(wrong.sum()):,} of the {tensor.numel():,} values of {name} are not finite (NaN "
                    f"or infinity): weights of a training that diverged, or a damaged file"
                )

    @property
    def name(self) -> str:
        """The path, or the name of weights that come with the package."""
        return shipped.name_of(self.path) or str(self.path)

    def build(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode.

        Raises: WeightsError, if the file does not say which network it is for, or that is not registered.
        """
        if self.spec is None:
            raise WeightsError(
                f"{self.path}: these weights do not say which network they are for; `resnets convert` "
                "writes it into files of torchvision, timm and others, and in Python there is network="
            )
        try:
            require_buildable(self.spec, self.tensors)
            network = build(self.spec)
        except (UsageError, WeightsError) as error:
            raise WeightsError(f"{self.path}: {error}", getattr(error, "details", ())) from None
        self.load_into(network)
        return network.eval()

    def load_into(self, network: nn.Module) -> None:
        """Load the weights into a network that is the same function of them.

        Names and shapes do not decide it: a plain network and a residual one with option A have the same, and so have
        both places of the stride.

        Raises: WeightsError, if the declarations differ, or as `load_into`.
        """
        own = spec_of(network)
        try:
            require_same_keys(network, self.tensors)
        except WeightsError as error:
            if self.spec is None or own is None or self.spec.in_words() == own.in_words():
                raise
            raise WeightsError(
                f"weights of another network than {own.in_words()}: {self.name} holds those of {self.spec.in_words()}",
                error.details,
            ) from None
        if self.spec is not None and own is not None and (different := first_difference(self.spec, own)):
            field, theirs, ours = different
            raise WeightsError(
                f"weights of another network than {own.name}: they are of {self.spec.name}, "
                f"whose {field} is {theirs} instead of {ours}"
            )
        load_into(network, self.tensors)

    def load_to_train(self, network: nn.Module, classes: tuple[str, ...]) -> list[str]:
        """Load the weights into a network to be trained on, and return notes on what was adapted.

        The same classes in another order keep their weights; where they are others the last layer stays as it is. The
        first convolution is adapted to the network's input channels. Auxiliary classifiers are left out where the
        network has none, and stay as they are where the weights have none.

        Raises: WeightsError, as `load_into`.
        """
        adapted, notes = self._adapted(network)
        if self.classes == classes:
            adapted.load_into(network)
            return notes
        heads = tuple(f"{layer}." for layer in score_layers(network))
        if self.classes is not None and sorted(self.classes) == sorted(classes):
            order = [self.classes.index(name) for name in classes]
            new = {name: tensor[order] for name, tensor in self.tensors.items() if name.startswith(heads)}
            note = "has the classes of the data in another order; the last layer is put in theirs"
        else:
            new = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(heads)}
            known = "names no classes" if self.classes is None else "has other classes than the data"
            note = f"{known}; the last layer is new"
        dataclasses.replace(adapted, tensors=adapted.tensors | new).load_into(network)
        return [*notes, f"{self.name} {note}"]

    def load_adapted(self, network: nn.Module) -> list[str]:
        """Load the weights into a network of other classes or channels, and return notes on what was adapted.

        With another number of classes the last layer stays as it is; the first convolution is adapted to the network's
        input channels, and auxiliary classifiers are as in `load_to_train`.

        Raises: WeightsError, as `load_into`.
        """
        adapted, notes = self._adapted(network)
        heads = tuple(f"{layer}." for layer in score_layers(network))
        own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(heads)}
        theirs = adapted.tensors
        if all(name in theirs and theirs[name].shape == tensor.shape for name, tensor in own.items()):
            adapted.load_into(network)
            return notes
        dataclasses.replace(adapted, tensors=adapted.tensors | own).load_into(network)
        return [*notes, f"{self.name} is for another number of classes; the last layer is new"]

    def _adapted(self, network: nn.Module) -> tuple[Weights, list[str]]:
        """Return the weights for the input channels and the auxiliary classifiers of a network, and notes on both."""
        spec, own = self.spec, spec_of(network)
        tensors, of_auxiliary = with_auxiliary_of(network, self.tensors, spec)
        tensors, of_channels = with_channels_of(network, tensors)
        if of_channels is not None and spec is not None and own is not None:
            spec = spec.with_changes(in_channels=own.in_channels)
        notes = [f"{self.name} {note}" for note in (of_auxiliary, of_channels) if note is not None]
        return dataclasses.replace(self, tensors=tensors, spec=spec), notes


def save(
    path: Path,
    network: nn.Module,
    *,
    classes: tuple[str, ...] | None = None,
    input_spec: InputSpec | None = None,
    calibration: Calibration | None = None,
) -> None:
    """Write a network's weights, with what is needed to use them elsewhere."""
    header = ClassifierHeader(network=spec_of(network), classes=classes, input=input_spec, calibration=calibration)
    write_tensors(path, network.state_dict(), header)


def load(path: Path) -> Weights:
    """Read a weights file.

    Raises: WeightsError, as `read_tensors`, or if it is not of a classifier, or its header does not fit together.
    """
    tensors, header = read_tensors(path)
    tensors = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in tensors.items()}
    if isinstance(header, DetectorHeader):
        raise WeightsError(f"{path}: a detector's weights, not a classifier's; `resnets detect` uses them")
    if isinstance(header, LocaliserHeader):
        raise WeightsError(f"{path}: a localiser's weights, not a classifier's; `resnets locate` uses them")
    if header is None:  # another project's
        header = ClassifierHeader()
    if not isinstance(header, ClassifierHeader):
        raise WeightsError(f"{path}: not the weights of a trained network; name the folder of a finished run")
    spec, classes, input_spec = header.network, header.classes or None, header.input
    if classes is not None and spec is not None and len(classes) != spec.num_classes:
        raise WeightsError(f"{path}: its header has {len(classes)} class names for {spec.num_classes} classes")
    if input_spec is not None:
        require_input(input_spec, path, spec)
    return Weights(path, tensors, spec, classes, input_spec, header.calibration)


def require_input(input_spec: InputSpec, path: Path, spec: NetworkSpec | None = None) -> None:
    """Check that the parts of an input that was read fit together, and to its network. Raises: WeightsError."""
    size, channels = input_spec.size, input_spec.channels
    if spec is not None and not isinstance(spec, FunctionSpec) and channels != spec.in_channels:
        takes = f"its network, {spec.name}, takes {spec.in_channels}"
        raise WeightsError(f"{path}: its input has {plural(channels, 'channel')}, and {takes}")
    for name, values in (("mean", input_spec.mean), ("std", input_spec.std)):
        if values is not None and len(values) != channels:
            raise WeightsError(f"{path}: the {name} of its input has {len(values)} numbers for {channels} channels")
    for name, encoded, expected in (
        ("mean image", input_spec.mean_image, input_spec.numbers),
        ("whitening", input_spec.whitening, input_spec.numbers * (input_spec.numbers + 1) // 2),
    ):
        if encoded is None:
            continue
        try:
            found = len(base64.b64decode(encoded, validate=True))
        except ValueError as error:
            raise WeightsError(f"{path}: the {name} of its input is not base64 ({error})") from None
        if found != 4 * expected:
            raise WeightsError(
                f"{path}: the {name} of its input is not of {expected:,} numbers, for {size} x {size} x {channels}"
            )
    if input_spec.resize < size:
        raise WeightsError(f"{path}: its input of {size} pixels is cut out of {input_spec.resize}")


def require_buildable(spec: NetworkSpec, tensors: dict[str, Tensor]) -> None:
    """Check that a declaration is of the network whose tensors these are, before that takes time and memory.

    Raises: WeightsError, if not.
    """
    if spec.layers > len(tensors):
        raise WeightsError(f"it declares a network of {spec.layers:,} layers, and holds {len(tensors):,} tensors")
    if isinstance(spec, FunctionSpec):  # which may look at its weights
        return
    try:
        with torch.device("meta"):
            network = build(spec)
    except Exception as error:  # fields that do not fit together raise nearly anything
        raise WeightsError(f"it declares a network that cannot be built ({first_line(error)})") from None
    require_same_keys(network, tensors)


def last_layer(network: nn.Module) -> str:
    """Return the name of the layer that gives the scores."""
    return score_layers(network)[0]


def score_layers(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers that give scores, first those of tests, then of other outputs in training.

    A network with other outputs names them; else it is the last layer that has weights.
    """
    named: tuple[str, ...] | None = getattr(network, "score_layers", None)
    return named or (list(network.state_dict())[-1].rpartition(".")[0],)


def load_into(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load weights into a network; every name and shape must match.

    Raises: WeightsError, listing the keys that are missing, unexpected or of another shape.
    """
    require_same_keys(network, tensors)
    network.load_state_dict(tensors, strict=False)


def require_same_keys(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Check that tensors have the names and shapes of a network's.

    Raises: WeightsError, whose line names the first keys that do not fit and whose details all of them.
    """
    own = network.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - own.keys())
    # torchvision's oldest files lack the counter that batch norm keeps; it plays no part in evaluation
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
        for key in sorted(own.keys() & tensors.keys())
        if own[key].shape != tensors[key].shape
    ]
    problems = [
        f"{what}: {', '.join(keys[:4])}{f' and {len(keys) - 4} more' if len(keys) > 4 else ''}"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if keys
    ]
    if problems:
        details = (
            *(f"missing     {key} {tuple(own[key].shape)}" for key in missing),
            *(f"unexpected  {key} {tuple(tensors[key].shape)}" for key in unexpected),
            *(f"other shape {shape}" for shape in shapes),
        )
        raise WeightsError(f"weights of another network than {name_of(network)}: {'; '.join(problems)}", details)


WEIGHTS_IN_A_FOLDER = ("weights.safetensors", "model.safetensors")  # of a run, for the Hub


def weights_path(path: Path) -> Path:
    """Return the weights file of a run's folder or a folder for the Hub; a file is its own. Raises: WeightsError."""
    if not path.exists():
        raise WeightsError(f"{path}: no such file or folder; name the folder of a run or its weights.safetensors")
    if not path.is_dir():
        return path
    for name in WEIGHTS_IN_A_FOLDER:
        if (path / name).exists():
            return path / name
    unfinished = (path / "run.json").exists()
    why = "this run has not finished: continue it with --resume" if unfinished else "this folder is not of a run"
    raise WeightsError(f"{path} holds no weights.safetensors; {why}")
