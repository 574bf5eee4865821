"""Networks made fully convolutional, for whole images of any shape. Paper: section 3.4, "as in [41, 13]".

The classifier that training put after the last maps, 7x7 of a 224x224 image, is applied at every position of larger
maps, and its class scores are averaged over the positions.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from resnets.errors import UsageError


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

    def forward(self, x: Tensor) -> Tensor:
        scores: Any = self.network.dense_scores
        return scores(x, self.window)
