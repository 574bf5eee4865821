"""Weights files: a safetensors file whose header says which network, classes and input they are for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import msgspec
from torch import Tensor, nn

from resnets.errors import UsageError, WeightsError
from resnets.networks.registry import build, name_of, spec_of
from resnets.specs import InputSpec, NetworkSpec, first_difference
from resnets.weights.tensor_file import read_tensors, write_tensors


@dataclass(frozen=True, eq=False)
class Weights:
    """What a weights file holds. `spec` is None for a network that is not one of ours."""

    path: Path
    tensors: dict[str, Tensor]
    spec: NetworkSpec | None
    classes: tuple[str, ...] | None
    input_spec: InputSpec | None

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
            network = build(self.spec)
        except UsageError as error:
            raise WeightsError(f"{self.path}: {error}") from None
        self.load_into(network)
        return network.eval()

    def load_into(self, network: nn.Module) -> None:
        """Load the weights into a network that is the same function of them.

        Names and shapes do not decide it: a plain network and a residual one with option A have the same, and so have
        both places of the stride.

        Raises: WeightsError, if the declarations differ, or as `load_into`.
        """
        require_same_keys(network, self.tensors)
        own = spec_of(network)
        if self.spec is not None and own is not None and (different := first_difference(self.spec, own)):
            field, theirs, ours = different
            raise WeightsError(
                f"weights of another network than {own.name}: they are of {self.spec.name}, "
                f"whose {field} is {theirs} instead of {ours}"
            )
        load_into(network, self.tensors)

    def load_to_train(self, network: nn.Module, classes: tuple[str, ...]) -> None:
        """Load the weights into a network to be trained on; its last layer stays as it is where the classes are others.

        Raises: WeightsError, as `load_into`.
        """
        if self.classes == classes:
            return self.load_into(network)
        own = network.state_dict()
        head = last_layer(network)
        new = {name: tensor for name, tensor in own.items() if name.startswith(f"{head}.")}
        return dataclasses.replace(self, tensors=self.tensors | new).load_into(network)


def save(
    path: Path,
    network: nn.Module,
    *,
    classes: tuple[str, ...] | None = None,
    input_spec: InputSpec | None = None,
) -> None:
    """Write a network's weights, with what is needed to use them elsewhere."""
    spec = spec_of(network)
    write_tensors(
        path,
        network.state_dict(),
        {
            "network": msgspec.to_builtins(spec) if spec is not None else None,
            "classes": classes,
            "input": msgspec.to_builtins(input_spec) if input_spec else None,
        },
    )


def load(path: Path) -> Weights:
    """Read a weights file.

    Raises: WeightsError, as `read_tensors`, or if its description is not understood.
    """
    tensors, description = read_tensors(path)
    if "detector" in description:
        raise WeightsError(f"{path}: a detector's weights, not a classifier's; `resnets detect` uses them")
    network, classes, input_spec = (description.get(key) for key in ("network", "classes", "input"))
    try:
        return Weights(
            path=path,
            tensors=tensors,
            spec=msgspec.convert(network, NetworkSpec | None),
            classes=tuple(classes) if classes else None,
            input_spec=msgspec.convert(input_spec, InputSpec | None),
        )
    except msgspec.ValidationError as error:
        raise WeightsError(
            f"{path}: its description is not understood ({error}); was it written by a newer version?"
        ) from None


def last_layer(network: nn.Module) -> str:
    """Return the name of the layer that gives the scores: the last one that has weights."""
    return list(network.state_dict())[-1].rpartition(".")[0]


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


def load_weights(path: str | Path) -> Weights:
    """Read the weights of a run's folder, a weights file or a folder for the Hugging Face Hub.

    Raises: WeightsError, as `load`.
    """
    path = Path(path)
    if not path.is_dir():
        return load(path)
    if not (path / "weights.safetensors").exists():
        unfinished = (path / "run.json").exists()
        if (path / "model.safetensors").exists():
            return load(path / "model.safetensors")
        why = "this run has not finished: continue it with --resume" if unfinished else "this folder is not of a run"
        raise WeightsError(f"{path} holds no weights.safetensors; {why}")
    return load(path / "weights.safetensors")
