"""Networks made fully convolutional, for whole images of any shape. Paper: section 3.4, "as in [41, 13]".

The classifier that training put after the last maps, 7x7 of a 224x224 image, is applied at every position of larger
maps, and its class scores are averaged over the positions.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks.stages import Staged


class AveragedMaps(Staged):
    """A network whose scores are a fully connected layer's of the mean of its last maps."""

    fc: nn.Linear

    def dense_window(self, size: int) -> int:
        """Return the side of the last maps of a square image: the window that dense testing averages over."""
        raise NotImplementedError

    def dense_scores(self, x: Tensor, window: int) -> Tensor:
        """Return the scores of images of any shape: the mean over all positions of a window on the last maps.

        Shape: (N, in_channels, H, W) -> (N, num_classes)
        """
        maps = F.avg_pool2d(self.features(x), window, stride=1)  # (N, C, h, w): a window at each position
        return self.fc(maps.mean((2, 3)))  # fc is linear: the mean of its scores is its score of the mean


class Dense(nn.Module):
    """A network's class scores, averaged over all positions of its classifier; it shares the network's weights.

    On images of `size` x `size` there is one position, and the scores are the network's own. The network says how, by
    `dense_window(size)` and `dense_scores(x, window)`.

    Shape: (N, in_channels, H, W) -> (N, num_classes); H and W at least `size`
    Raises: UsageError, if the network has no such methods, or a VGG's last maps are not 7x7 at `size`.
    Paper: section 3.4.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        if not hasattr(network, "dense_scores"):
            raise UsageError(
                f"{type(network).__name__} is a custom module without dense_window(size) and dense_scores(x, window), "
                f"so it is not known how to make it fully convolutional; networks of this package have them"
            )
        self.network = network
        window: Any = network.dense_window
        self.window: int = window(size)

    @property
    def spec(self) -> object:
        """The network's declaration."""
        return getattr(self.network, "spec", None)

    def forward(self, x: Tensor) -> Tensor:
        scores: Any = self.network.dense_scores
        return scores(x, self.window)
