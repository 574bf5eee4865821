"""Faster R-CNN on any network of this package, VGG-16 or ResNet-101 by the same code: section 4.3, appendix A."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.detection.backbones import STRIDE, make_backbone
from resnets.detection.proposals import ProposalNetwork
from resnets.detection.regions import Regions, pool
from resnets.errors import UsageError
from resnets.networks.registry import spec_of
from resnets.specs import DetectionRecipe, InputSpec, Precision

LOSSES = ("proposal_loss", "proposal_box_loss", "class_loss", "box_loss")
"""Log loss and box loss of the anchors, log loss and box loss of the regions; their sum is minimised."""


class FasterRCNN(nn.Module):
    """A detector: shared layers, region proposal network, and for each region the layers after them.

    One image at a time: images of different shapes need no padding, so that a result never depends on its
    neighbours. The `input` is that of the backbone's pre-training, with a mean of each channel; images are resized by
    the recipe.

    Raises: UsageError, if there is no class, or the network does not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        classes: int,
        recipe: DetectionRecipe,
        input: InputSpec,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError("a detector needs at least one class")
        spec = spec_of(network)
        if spec is None:
            raise UsageError(f"a detector needs a network with a name, not a {type(network).__name__}")
        self.spec = spec
        self.recipe = recipe
        self.backbone = make_backbone(
            network, frozen_stages=recipe.frozen_stages, head_stride=1 if recipe.head_stride == 1 else 2
        )
        chosen = None if self.backbone.has_fixed_roi_size else recipe.roi_size
        self.roi_size = chosen or self.backbone.roi_size
        features = self.backbone.region_features * (2 if recipe.global_context else 1)
        self.proposals = ProposalNetwork(self.backbone.shared_channels, recipe)
        self.regions = Regions(features, classes, recipe)
        self.input = input
        self._layout = torch.channels_last
        for name, values in (("mean", input.mean or (0.0, 0.0, 0.0)), ("std", input.std or (1.0, 1.0, 1.0))):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def lay_out_for(self, device: torch.device, precision: Precision) -> None:
        """Put the shared layers as they train fastest; regions, which are many, are always channels-last.

        Gradients of one image's float32 maps are half as fast channels-last on a CPU: VGG-16 then takes 1.3 times
        as long a step. Values are unchanged.
        """
        by_channel = device.type == "cpu" and precision == "fp32"
        self._layout = torch.contiguous_format if by_channel else torch.channels_last
        for stage in self.backbone.shared_stages:
            for module in stage:
                module.to(memory_format=self._layout)

    def maps(self, image: Tensor) -> Tensor:
        """Return the shared maps of one image, whose right and lower border is filled up to the stride.

        Shape: (3, H, W) uint8 -> (1, C, ceil(H / 16), ceil(W / 16)) float32
        """
        height, width = image.shape[-2:]
        if self.input.channel_order == "BGR":
            image = image.flip(0)
        x = (image.float() * (self.input.max_value / 255) - self.mean) / self.std
        x = F.pad(x, (0, -width % STRIDE, 0, -height % STRIDE))[None]
        return self.backbone.shared(x.contiguous(memory_format=self._layout)).float()

    def describe(self, maps: Tensor, regions: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the vectors of regions of an image of `size` (height, width), from which they are classified.

        With global context, each is followed by the vector of the whole image.

        Shape: (1, C, h, w), (R, 4) -> (R, D)
        """
        context = self.recipe.global_context
        if context:
            height, width = size
            regions = torch.cat((regions, regions.new_tensor([[0, 0, width, height]])))
        features = pool(maps, regions, self.roi_size, self.recipe.roi_pooling)
        vectors = self.backbone.per_region(features.contiguous(memory_format=torch.channels_last))
        if not context:
            return vectors
        own, whole = vectors[:-1], vectors[-1:]
        return torch.cat((own, whole.expand_as(own)), 1)

    def forward(self, image: Tensor, boxes: Tensor, labels: Tensor, crowds: Tensor) -> Tensor:
        """Return the losses of one image, as `LOSSES` names them, and the share of regions misclassified.

        Shape: (3, H, W) uint8, (N, 4), (N,) from 1, (M, 4) -> (5,)
        """
        size = image.shape[-2], image.shape[-1]
        targets = {"boxes": boxes, "labels": labels, "crowds": crowds, "size": torch.tensor(size)}
        maps = self.maps(image)
        proposals, of_anchors = self.proposals.propose(maps, size, targets)
        regions, wanted, shifts = self.regions.draw(proposals, targets)
        *of_regions, wrong = self.regions.losses(self.describe(maps, regions, size), wanted, shifts)
        return torch.stack((*of_anchors.values(), *of_regions, wrong))
