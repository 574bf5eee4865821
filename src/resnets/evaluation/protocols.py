"""How a network is tested: here the single original view of section 4.2, or a photo's centre crop."""

from __future__ import annotations

import torch
from torch import nn

from resnets.data.datasets import Images
from resnets.data.pipeline import single_pass
from resnets.evaluation.metrics import Counts
from resnets.networks.execution import Precision, forward
from resnets.specs import InputConvention


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
    modes = [(module, module.training) for module in network.modules()]  # parts may be frozen in evaluation mode
    network.eval()
    try:
        for images, labels in single_pass(split, convention, batch_size=batch_size, workers=workers):
            counts.add(forward(network, images.to(device), precision), labels)
    finally:
        for module, mode in modes:
            module.training = mode
    return counts
