"""Headers of safetensors files: what the tensors are of, and all that is needed to use them."""

from __future__ import annotations

from resnets.records.base import Record
from resnets.records.checkpoints import CheckpointHeader
from resnets.records.evaluations import Calibration
from resnets.specs import DetectionRecipe, InputSpec, LocalisationRecipe, NetworkSpec, Spec
from resnets.specs.base import Natural


class ClassifierHeader(Record, frozen=True, kw_only=True, tag="classifier weights"):
    """Of the weights of a classifier. `network` is None for a custom module; what else is not known is None."""

    network: NetworkSpec | None = None
    classes: tuple[str, ...] | None = None
    input: InputSpec | None = None
    calibration: Calibration | None = None


class DetectorHeader(Record, frozen=True, kw_only=True, tag="detector weights"):
    """Of the weights of a detector on a network."""

    network: NetworkSpec
    recipe: DetectionRecipe
    input: InputSpec
    classes: tuple[str, ...]


class StageHeader(Spec, frozen=True, kw_only=True):
    """One stage of a localiser, on a network of its own."""

    network: NetworkSpec
    recipe: LocalisationRecipe
    input: InputSpec


class LocaliserHeader(Record, frozen=True, kw_only=True, tag="localiser weights"):
    """Of the weights of a localiser, whose tensors have the names of its stages in front."""

    rpn: StageHeader
    rcnn: StageHeader | None = None
    classes: tuple[str, ...]


class ProposalsHeader(Record, frozen=True, kw_only=True, tag="proposals"):
    """Of the `count` best boxes for each of some images; `of` says of which weights and images they are."""

    of: str
    count: Natural
    images: Natural


Header = ClassifierHeader | DetectorHeader | LocaliserHeader | ProposalsHeader | CheckpointHeader
