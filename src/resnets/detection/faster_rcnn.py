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
from resnets.runtime.narrow import exact_if_narrow
from resnets.specs import DetectionRecipe, InputSpec, Precision

LOSSES = ("proposal_loss", "proposal_box_loss", "class_loss", "box_loss")
"""Log loss and box loss of the anchors, log loss and box loss of the regions; their sum is minimised."""

MASK_LOSS = "mask_loss"  # the last one, of detectors with masks


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
        if recipe.masks and not self.backbone.has_region_maps:
            raise UsageError(f"masks need conv5_x for each region, which {spec.name} has not; take a residual network")
        self.losses = (*LOSSES, MASK_LOSS) if recipe.masks else LOSSES
        self.regions = Regions(features, classes, recipe, map_channels=self.backbone.region_features)
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
        with exact_if_narrow(self.backbone.network.spec, x):
            return self.backbone.shared(x.contiguous(memory_format=self._layout)).float()

    def describe(self, maps: Tensor, regions: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the vectors of regions of an image of `size` (height, width), from which they are classified.

        With global context, each is followed by the vector of the whole image.

        Shape: (1, C, h, w), (R, 4) -> (R, D)
        """
        return self._describe(maps, regions, size)[0]

    def _describe(self, maps: Tensor, regions: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the vectors of regions, and their last maps. Shape: -> (R, D), (R, C, h, w)"""
        if not self.recipe.global_context:
            own_maps = self.region_maps(maps, regions)
            return self.backbone.pooled(own_maps), own_maps
        height, width = size
        all_maps = self.region_maps(maps, torch.cat((regions, regions.new_tensor([[0, 0, width, height]]))))
        vectors = self.backbone.pooled(all_maps)
        own, whole = vectors[:-1], vectors[-1:]
        return torch.cat((own, whole.expand_as(own)), 1), all_maps[:-1]

    def region_maps(self, maps: Tensor, regions: Tensor) -> Tensor:
        """Return the last maps of regions, from which masks are made. Shape: (1, C, h, w), (R, 4) -> (R, C', h', w')"""
        features = pool(maps, regions, self.roi_size, self.recipe.roi_pooling, self.recipe.roi_samples)
        return self.backbone.region_maps(features.contiguous(memory_format=torch.channels_last))

    def forward(
        self, image: Tensor, boxes: Tensor, labels: Tensor, crowds: Tensor, masks: Tensor | None = None
    ) -> Tensor:
        """Return the losses of one image, as `losses` names them, and the share of regions misclassified.

        `masks` are `mask_head.grids` of the objects, where the recipe has masks.

        Shape: (3, H, W) uint8, (N, 4), (N,) from 1, (M, 4), (N, S, S) uint8 -> (5,), or (6,) with masks
        """
        size = image.shape[-2], image.shape[-1]
        targets = {"boxes": boxes, "labels": labels, "crowds": crowds, "size": torch.tensor(size)}
        maps = self.maps(image)
        proposals, of_anchors = self.proposals.propose(maps, size, targets)
        regions, expected, shifts, nearest = self.regions.draw(proposals, targets)
        vectors, own_maps = self._describe(maps, regions, size)
        *of_regions, wrong = self.regions.losses(vectors, expected, shifts)
        if self.recipe.masks:
            assert masks is not None
            of_regions.append(self.regions.mask_loss(own_maps, expected, nearest, regions, targets | {"masks": masks}))
        return torch.stack((*of_anchors.values(), *of_regions, wrong))
