"""A test by a single view, of the logits alone: the original image of section 4.2, or a photo's centre crop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from resnets.data.datasets import Images
from resnets.data.pipeline import single_pass
from resnets.evaluation.metrics import Counts
from resnets.networks.execution import Precision, forward
from resnets.networks.inference import BATCH_ON_CPU, Engine
from resnets.specs import InputConvention

COMPARED_IMAGES = 1_000


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far an engine agrees with float32 on the first 1,000 test images, or all where there are fewer.

    `logit_difference` is the Euclidean norm of the difference of all logits over that of float32's.
    """

    engine: str
    precision: str
    samples: int
    same_top1: int  # samples of the same most probable class
    logit_difference: float


@torch.inference_mode()
def single_view(
    network: nn.Module,
    split: Images,
    convention: InputConvention | None,
    *,
    classes: int,
    device: torch.device,
    precision: Precision,
    batch_size: int = 256,
    workers: int = 0,
) -> Counts:
    """Test a network on one view of each image; the network's mode is restored afterwards.

    Paper: section 4.2 ("we only evaluate the single view of the original 32x32 image").
    """
    counts = Counts(classes)
    at_once = min(batch_size, BATCH_ON_CPU) if device.type == "cpu" else batch_size
    with in_evaluation_mode(network):
        for images, labels in single_pass(split, convention, batch_size=batch_size, workers=workers):
            parts = [forward(network, part.to(device), precision) for part in images.split(at_once)]
            counts.add(torch.cat(parts), labels)
    return counts


@torch.inference_mode()
def single_view_by_engine(
    engine: Engine,
    reference: nn.Module,
    split: Images,
    convention: InputConvention | None,
    *,
    classes: int,
    batch_size: int = 256,
    workers: int = 0,
) -> tuple[Counts, Agreement]:
    """Test an engine on one view of each image, and compare it with its network in float32."""
    counts = Counts(classes)
    samples = same = 0
    difference = norm = 0.0
    with in_evaluation_mode(reference):
        for images, labels in single_pass(split, convention, batch_size=batch_size, workers=workers):
            logits = engine(images)
            counts.add(logits, labels)
            if samples < COMPARED_IMAGES:
                some = images[: COMPARED_IMAGES - samples].to(engine.device)
                expected, compared = forward(reference, some, "fp32"), logits[: len(some)]
                samples += len(some)
                same += int((compared.argmax(1) == expected.argmax(1)).sum())
                difference += float((compared - expected).double().square().sum())
                norm += float(expected.double().square().sum())
    return counts, Agreement(
        engine=engine.name,
        precision=engine.precision,
        samples=samples,
        same_top1=same,
        logit_difference=(difference / norm) ** 0.5 if norm else 0.0,
    )


@contextlib.contextmanager
def in_evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network, and all of its parts, into evaluation mode, and restore each part's own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]  # parts may be frozen in evaluation mode
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
