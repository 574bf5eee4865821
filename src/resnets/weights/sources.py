"""Weights by their source: a run, a file of any project, what comes with the package or what others publish."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import nn

from resnets.errors import UsageError, WeightsError, nearest
from resnets.networks.registry import spec_of
from resnets.weights import shipped
from resnets.weights.hub import fetch_repository
from resnets.weights.import_weights import Imported, fetch_weights, import_weights, known_classes
from resnets.weights.readers import read_foreign
from resnets.weights.tensor_file import read_tensors
from resnets.weights.weights_file import Weights, load, weights_path


def is_published(source: str | Path) -> bool:
    """Return whether a source is fetched, once into the cache, rather than a path."""
    kind, colon, _ = str(source).partition(":")
    return kind == "torchvision" or (colon == ":" and kind in ("timm", "hf"))


def find_weights(
    source: str | Path, network: str | nn.Module | None = None, *, averaged: bool = False, revision: str | None = None
) -> Imported:
    """Return the weights of a source, with the classes that its project is known to have; no code in a file is run.

    A name of weights that come with the package will do, unless a file or folder has it.

    `network` is the one to load them into, or its name: needed for torchvision's, and where names and shapes of
    another project's tensors leave it open. A module that is not one of ours takes the tensors by their names.

    Raises: WeightsError, if they cannot be fetched or read, or are of no network that is known; UsageError, if the
        source does not say which weights.
    """
    kind, _, name = str(source).partition(":")
    if not is_published(source):
        return _read(local_path(source), network, averaged)
    if kind == "torchvision":
        if (requested := _name(network)) is None:
            raise UsageError("torchvision's weights of which network? `resnets convert --network` names it")
        return _with_classes(fetch_weights(requested, name or None))
    name, _, given = name.partition("@")
    return _read(fetch_repository(f"timm/{name}" if kind == "timm" else name, given or revision), network, averaged)


def local_path(source: str | Path) -> Path:
    """Return the file of weights that are not fetched, by their name or the path of a run. Raises: WeightsError."""
    if (path := shipped.shipped_path(source)) is not None:
        return path
    if not Path(source).exists():
        hint = nearest(str(source), ("torchvision", *shipped.names()))
        raise WeightsError(f"{source}: no such file or folder, and no weights of this name come with resnets{hint}")
    return weights_path(Path(source))


def _read(path: Path, network: str | nn.Module | None, averaged: bool) -> Imported:
    if path.suffix == ".safetensors" and path.exists() and read_tensors(path)[1] is not None:
        if averaged:
            raise UsageError(f"{path}: ema is for checkpoints of other projects; a run's weights are averaged already")
        return Imported(load(path), "resnets")
    if isinstance(network, nn.Module) and spec_of(network) is None:
        tensors, about = read_foreign(path, averaged=averaged)
        return Imported(Weights(path, tensors, None, None, None), "state_dict", about.get("notes", ()))
    return _with_classes(import_weights(path, _name(network), averaged=averaged))


def _name(network: str | nn.Module | None) -> str | None:
    if isinstance(network, nn.Module):
        spec = spec_of(network)
        return None if spec is None else spec.name
    return network


def _with_classes(found: Imported) -> Imported:
    assert found.weights.spec is not None
    classes = found.weights.classes or known_classes(found.layout, found.weights.spec)
    return dataclasses.replace(found, weights=dataclasses.replace(found.weights, classes=classes))
