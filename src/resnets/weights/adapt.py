"""The first convolution for images of another number of channels, as timm adapts it."""

from __future__ import annotations

import math

from torch import Tensor


def adapted_channels(weight: Tensor, channels: int) -> Tensor:
    """Return a convolution's weight for other input channels: summed for one, else repeated and rescaled.

    Shape: (O, C, H, W) -> (O, channels, H, W)
    """
    own = weight.shape[1]
    if channels == own:
        return weight
    if channels == 1:
        return weight.float().sum(dim=1, keepdim=True)
    repeated = weight.float().repeat(1, math.ceil(channels / own), 1, 1)[:, :channels]
    return repeated * (own / channels)
