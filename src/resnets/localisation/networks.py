"""The per-class region proposal network and the per-class R-CNN of appendix C, on a residual or plain network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image

from resnets.data.normalization import Normalizer
from resnets.detection.regions import BOX_WEIGHTS
from resnets.errors import UsageError
from resnets.networks.resnet import ResNet
from resnets.runtime.narrow import exact_if_narrow
from resnets.specs import InputSpec, LocalisationRecipe, ResNetSpec

LOSSES = ("class_loss", "box_loss")
"""Log loss and box loss of what is drawn; their sum is minimised."""

ANCHOR_CODER = BoxCoder((1.0, 1.0, 1.0, 1.0))
REGION_CODER = BoxCoder(BOX_WEIGHTS)


class PerClass(nn.Module):
    """A classifier without its last layer, with two sibling layers in its place: each class has rows of its own.

    The scores of a class are binary: this box holds an object of the class, or not.

    Raises: UsageError, if there is no class, or the network does not fit.
    """

    rows: int  # scores of a class

    def __init__(
        self, network: nn.Module, classes: int, recipe: LocalisationRecipe, input_spec: InputSpec, rows: int
    ) -> None:
        super().__init__()
        if not isinstance(network, ResNet):
            raise UsageError(f"a localiser needs a residual or a plain network, not a {type(network).__name__}")
        if network.spec.in_channels != 3:
            raise UsageError(
                f"{network.spec.name} takes {network.spec.in_channels} channels; a localiser needs RGB images"
            )
        if classes < 1:
            raise UsageError("a localiser needs at least one class")
        self.spec: ResNetSpec = network.spec
        self.recipe, self.input_spec, self.rows, self.classes = recipe, input_spec, rows, classes
        self.channels = network.fc.in_features
        network.fc = nn.Identity()  # type: ignore[assignment]
        self.network = network
        self.scores = nn.Linear(self.channels, classes * rows)
        self.boxes = nn.Linear(self.channels, classes * rows * 4)
        for layer in (self.scores, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self._normalizer: Normalizer | None = None

    def normalized(self, images: Tensor) -> Tensor:
        """Return images as the network expects them, on its device. Shape: (N, H, W, 3) uint8 -> (N, 3, H, W)"""
        device = self.scores.weight.device
        if self._normalizer is None or self._normalizer.device != device:
            self._normalizer = Normalizer(self.input_spec, device)
        return self._normalizer(images)

    def _of(self, layer: nn.Linear, numbers: int) -> tuple[Tensor, Tensor]:
        """Return the weights and offsets of a layer by class. Shape: (K, rows, numbers, C), (K, rows, numbers)"""
        shape = (self.classes, self.rows, numbers)
        return layer.weight.view(*shape, self.channels), layer.bias.view(shape)

    def losses(self, vectors: Tensor, labels: Tensor, rows: Tensor, targets: Tensor, shifts: Tensor) -> Tensor:
        """Return the two losses, and the share of scores that are wrong, of what is drawn: D of each of B images.

        `targets` is 1 for an object, 0 for none, and -1 where nothing is drawn; `rows` are those of the class. In each
        image both kinds have the same weight, also where there is less of one: the paper's 1:1.

        Shape: (B, D, C), (B,), (B, D), (B, D), (B, D, 4) -> (3,)
        """
        weight, bias = self._of(self.scores, 1)
        scores = torch.einsum("bdc,bdnc->bdn", vectors, weight[labels[:, None], rows]) + bias[labels[:, None], rows]
        weight, bias = self._of(self.boxes, 4)
        found = torch.einsum("bdc,bdnc->bdn", vectors, weight[labels[:, None], rows]) + bias[labels[:, None], rows]
        scores, drawn, objects = scores[..., 0].float(), targets >= 0, targets == 1
        weights = balance(objects) + balance(drawn & ~objects)
        log_loss = F.binary_cross_entropy_with_logits(scores, targets.clamp(min=0), reduction="none")
        distance = F.smooth_l1_loss(found.float(), shifts, reduction="none").sum(-1)
        wrong = ((scores.detach() > 0) != objects) & drawn
        count = targets.numel()
        return torch.stack(
            (
                (log_loss * weights).sum() / count,
                self.recipe.box_weight * (distance * objects * weights).sum() / count,
                wrong.sum() / drawn.sum().clamp(min=1),
            )
        )

    def answers(self, vectors: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores before the logistic function, and the shifts, of some classes.

        Shape: (P, C), (c,) -> (c, P * rows), (c, P * rows, 4)
        """
        found = []
        for layer, numbers in ((self.scores, 1), (self.boxes, 4)):
            weight, bias = self._of(layer, numbers)
            own = F.linear(vectors, weight[classes].flatten(0, 2), bias[classes].flatten()).float()  # (P, c * rows * n)
            found.append(own.view(len(vectors), len(classes), self.rows, numbers).transpose(0, 1).flatten(1, 2))
        return found[0][..., 0], found[1]


class PerClassRPN(PerClass):
    """Scores and boxes of each class relative to the anchors at each position of the last maps: 1x1 convolutions."""

    def __init__(self, network: nn.Module, classes: int, recipe: LocalisationRecipe, input_spec: InputSpec) -> None:
        super().__init__(network, classes, recipe, input_spec, len(recipe.anchor_sizes) * len(recipe.anchor_ratios))
        self.stride = 32 if self.spec.type == "imagenet" else 4

    def anchors(self, height: int, width: int) -> Tensor:
        """Return the anchors of maps, position by position, which may extend beyond the image. Shape: (h * w * k, 4)"""
        return anchors(height, width, self.stride, self.recipe)

    def positions(self, side: int) -> int:
        """Return the side of the last maps of a square image."""
        return -(-side // self.stride)

    def forward(self, images: Tensor, labels: Tensor, drawn: Tensor, targets: Tensor, shifts: Tensor) -> Tensor:
        """Return the losses of drawn anchors, as `losses` does. Shape: images (B, 3, H, W), drawn (B, D)"""
        maps = self.maps(images).flatten(2).transpose(1, 2)  # (B, h * w, C)
        places = (drawn // self.rows)[..., None].expand(-1, -1, self.channels)
        return self.losses(maps.gather(1, places), labels, drawn % self.rows, targets, shifts)

    def maps(self, images: Tensor) -> Tensor:
        """Return the network's last maps. Shape: (B, 3, H, W) -> (B, C, h, w)"""
        with exact_if_narrow(self.network.spec, images):
            found: Tensor = self.network.features(images)
        return found

    def propose(self, image: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score of each anchor for some classes, in [0, 1], and its box, clipped to the image.

        Shape: (1, 3, H, W), (c,) -> (c, A), (c, A, 4)
        """
        maps = self.maps(image)
        height, width = maps.shape[-2:]
        scores, shifts = self.answers(maps[0].flatten(1).T, classes)
        own = self.anchors(height, width).to(image.device).repeat(len(classes), 1)
        boxes = ANCHOR_CODER.decode_single(shifts.flatten(0, 1), own)
        return scores.sigmoid(), clip_boxes_to_image(boxes, (image.shape[-2], image.shape[-1])).view_as(shifts)


class PerClassRCNN(PerClass):
    """Scores and boxes of each class relative to a region, which is warped to the network's input."""

    def __init__(self, network: nn.Module, classes: int, recipe: LocalisationRecipe, input_spec: InputSpec) -> None:
        super().__init__(network, classes, recipe, input_spec, 1)

    def vectors(self, regions: Tensor) -> Tensor:
        """Return what regions are classified by. Shape: (R, 3, S, S) -> (R, C)"""
        found: Tensor = self.network(regions)
        return found

    def forward(self, images: Tensor, labels: Tensor, targets: Tensor, shifts: Tensor) -> Tensor:
        """Return the losses of D regions of each of B images, as `losses` does. Shape: images (B * D, 3, S, S)"""
        vectors = self.vectors(images).view(*targets.shape, -1)
        return self.losses(vectors, labels, torch.zeros_like(targets, dtype=torch.long), targets, shifts)


def balance(kind: Tensor) -> Tensor:
    """Return weights of what is of a kind, in each image half of the places together. Shape: (B, D) bool -> (B, D)"""
    return kind * (kind.shape[1] / 2) / kind.sum(1, keepdim=True).clamp(min=1)


def anchors(height: int, width: int, stride: int, recipe: LocalisationRecipe) -> Tensor:
    """Return anchors centred on the positions of maps, for each all sizes and proportions. Shape: (h * w * k, 4)"""
    sizes = torch.tensor(recipe.anchor_sizes, dtype=torch.float32)[:, None]
    ratios = torch.tensor(recipe.anchor_ratios).sqrt()[None]
    w, h = (sizes / ratios).flatten(), (sizes * ratios).flatten()
    own = torch.stack((-w, -h, w, h), 1) / 2  # (k, 4)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    centres = torch.stack((x, y, x, y), 2).view(-1, 1, 4) * stride
    return (centres + own).flatten(0, 1)
